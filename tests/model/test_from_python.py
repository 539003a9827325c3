"""From Python as from the command line: progress, sets made in code, paths, and a run that prints as eleven lines."""

import dataclasses
import os
import re
import subprocess
import sys

import pytest
import torch
from browser import ROOT
from few import write_set

from plantain import _runtime
from plantain.models.load import load_pipeline
from plantain.probe.runner import ProbeConfig, run_probe
from plantain.prompts.sets import PromptError, PromptPair, load_prompt_set
from plantain.runs.io import load_run

pytestmark = pytest.mark.smoke

CONFIG = ProbeConfig(size=64)


@pytest.mark.parametrize("name", ["tiny-random", "untrained-klein-4b"])
def test_a_run_prints_as_ten_lines(name):
    run = load_run(ROOT / "precomputed" / name)
    lines = repr(run).splitlines()
    assert len(lines) == 11 and all(len(line) < 170 for line in lines)
    for fact in (run.info.model, run.info.fingerprint, run.info.prompt_set, run.info.date[:10], "25 pairs", name):
        assert fact in repr(run)


def test_what_a_run_prints_is_harmless_whatever_it_is_called(made_run):
    run = made_run()
    bad = dataclasses.replace(run.info, title="a\nb\x1b[2J" + "x" * 10_000)
    assert len(repr(dataclasses.replace(run, info=bad)).splitlines()) == 11 and "\x1b" not in repr(bad.title)


@pytest.fixture(scope="module")
def short():
    """The stand-in, with half the padding."""
    pipe = load_pipeline("tiny-random", device="cpu")
    pipe.tokenizer_max_length = 256
    return pipe


def test_a_path_is_as_good_as_a_set_and_progress_is_shown_unless_it_is_switched_off(short, tmp_path, capsys):
    path = write_set(tmp_path / "few.toml", 4)
    run = run_probe(short, path, CONFIG)
    assert re.search(r"probing.*[0-4]/4", capsys.readouterr().err)
    again = run_probe(short, str(path), CONFIG, progress=False)
    assert capsys.readouterr().err == "" and again.capture_sha256 == run.capture_sha256
    assert run.info.prompts_sha256 == again.info.prompts_sha256 == load_prompt_set(path).sha256
    with pytest.raises(PromptError, match="none.toml: cannot be read"):
        run_probe(short, tmp_path / "none.toml", CONFIG)


def copies(pairs):
    return tuple(dataclasses.replace(pairs[0], id=f"copy-{i}") for i in range(4))


BAD_SETS = {
    "four copies of one pair": (copies, "pair 'copy-1' repeats 'copy-0'"),
    "one id twice": (lambda pairs: pairs[:3] + (dataclasses.replace(pairs[3], id=pairs[0].id),), "stands twice"),
    "three pairs": (lambda pairs: pairs[:3], "has 3 pairs; the statistics need at least 4"),
    "no pairs": (lambda _: (), "has 0 pairs"),
    "equal sides": (lambda pairs: pairs[:3] + (PromptPair("x", "c", "Same.", "Same."),), "both prompts are the same"),
    "an empty prompt": (lambda pairs: pairs[:3] + (PromptPair("x", "c", " ", "Same."),), "'positive' must be a text"),
    "no text": (lambda pairs: pairs[:3] + (PromptPair("x", "c", None, "Same."),), "'positive' must be a text"),
}


@pytest.mark.parametrize("case", BAD_SETS)
def test_a_set_made_in_code_is_checked_as_a_file_is(pipe, small_set, case):
    make, match = BAD_SETS[case]
    bad = dataclasses.replace(small_set, pairs=make(small_set.pairs))
    with pytest.raises(PromptError, match=match):
        run_probe(pipe, bad, CONFIG)


@pytest.mark.parametrize("change", [{"role": "centre"}, {"positive": ""}, {"title": 3}])
def test_so_is_what_the_set_says_of_itself(pipe, small_set, change):
    with pytest.raises(PromptError, match=r"^prompt set 'small': .*(centre|positive|title)"):
        run_probe(pipe, dataclasses.replace(small_set, **change), CONFIG)


def said_by(code, **own):
    kept = {
        name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "OPENBLAS_NUM_THREADS")
    }
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**kept, **own}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_threads_wait_as_in_the_command_line():
    """What numpy and torch read when they load is set by the first import of the package, and a user's own stays."""
    code = (
        "import os, sys; {first}; import plantain; from plantain import _runtime; print(os.environ['OMP_WAIT_POLICY'], "
        "os.environ['OPENBLAS_NUM_THREADS'], {{'numpy', 'torch'}} & set(sys.modules), _runtime.TOO_LATE)"
    )
    late = "sys.modules['torch'] = None"  # as if it had been imported
    assert said_by(code.format(first="pass")) == "passive 1 set() False"
    assert said_by(code.format(first="pass"), OMP_WAIT_POLICY="active") == "active 1 set() False"
    assert said_by(code.format(first=late)) == "passive 1 {'torch'} True"
    assert said_by(code.format(first=late), OMP_WAIT_POLICY="passive") == "passive 1 {'torch'} False"


@pytest.mark.parametrize("n", [1, 2])
def test_where_torch_came_first_its_threads_do_not_spin_during_a_run_and_are_put_back(monkeypatch, n):
    """More threads than cores do not spin, and a single one waits for nobody."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(n)
        with _runtime.patient_threads():
            assert torch.get_num_threads() == n
        monkeypatch.setattr(_runtime, "TOO_LATE", True)
        with _runtime.patient_threads():
            assert torch.get_num_threads() == (1 if n == 1 else max(n, len(os.sched_getaffinity(0)) + 1))
        assert torch.get_num_threads() == n
    finally:
        torch.set_num_threads(before)
