"""The command ``intervene`` on the practice model: what it writes, how it goes on after a kill, what it refuses."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from browser import ROOT

from plantain.cli import main
from plantain.runs.attached.interventions import INTERVENTIONS, Unfinished, read_interventions, write_interventions

SHIPPED = ROOT / "precomputed"

FEW = ("--random-sets", "1", "--heads", "top:2", "--redraws", "within", "--no-blocks")

N_PAIRS, N_ROWS = 25, 25 * (2 + 2 * 4)  # chosen, a redraw, all heads, all MLP

SOME = ("--pairs", "raises-deserts", "warms-evades")


def bare(place: Path) -> Path:
    """Copy the shipped run of the practice model without the interventions that are shipped with it."""
    without = shutil.ignore_patterns(INTERVENTIONS)
    return Path(shutil.copytree(SHIPPED / "picture-book-moral", place, ignore=without))


@pytest.fixture
def run(tmp_path) -> Path:
    return bare(tmp_path / "run")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The same, with what patching found that nothing disturbed."""
    copy = bare(tmp_path_factory.mktemp("whole") / "run")
    assert main(["intervene", str(copy), *FEW]) == 0
    return copy


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / INTERVENTIONS).iterdir()}


def without_clock(content: bytes) -> dict:
    found = json.loads(content)
    return {**found, "info": {k: v for k, v in found["info"].items() if k not in ("date", "seconds")}}


def test_the_result_stands_in_the_run_and_its_own_files_are_as_they_were(whole):
    assert set(files(whole)) == {"patch.json", "patch.safetensors"}
    for path in (SHIPPED / "picture-book-moral").glob("*.*"):
        assert (whole / path.name).read_bytes() == path.read_bytes()
    (found,) = read_interventions(whole)
    assert found.info.asked.ks == (2,) and found.info.weights == "practice" and found.info.n_rows <= N_ROWS
    np.testing.assert_allclose(found.arrays["heads"][..., 0], 1, atol=1e-4)  # by construction
    np.testing.assert_allclose(found.arrays["heads"][..., 1], 0, atol=1e-4)
    assert (np.abs(found.arrays["chosen"][..., 0]) < 2).all() and (found.arrays["effect"] > 0).all()


def test_report_shows_it(whole, cli):
    code, text, _ = cli("report", whole)
    assert (
        code == 0
        and "## Do these heads matter more than others? Patching" in text
        and "numbers say nothing about FLUX.2 Klein" in text
    )
    code, told, _ = cli("report", whole, "--json")
    (found,) = json.loads(told)["interventions"]
    assert code == 0 and found["finding"] in text and found["sizes"][0]["k"] == 2


def test_asked_again_it_answers_at_once(whole, cli, monkeypatch):
    monkeypatch.setattr("plantain.cli.intervene.PhasedPipeline", None)
    before = files(whole)
    code, text, _ = cli("intervene", whole, *FEW)
    assert code == 0 and "has this result already" in text and files(whole) == before
    code, told, _ = cli("intervene", whole, *FEW, "--json")
    assert code == 0 and json.loads(told)["method"] == "patch"


def test_a_result_from_before_it_was_measured_how_much_heads_write_is_a_result(cli, monkeypatch, tmp_path):
    monkeypatch.setattr("plantain.cli.intervene.PhasedPipeline", None)
    run = shutil.copytree(SHIPPED / "picture-book-moral", tmp_path / "run")
    (new,) = (each for each in read_interventions(run) if each.info.asked.name == "patch")
    given = ("--random-sets", "199", "--control-runs", SHIPPED / "picture-book-nearness")
    code, text, _ = cli("intervene", run, *given)
    assert code == 0 and "has this result already" in text and "Lengths" in text
    arrays = {name: values for name, values in new.arrays.items() if not name.startswith("written.")}
    info = replace(new.info, asked=replace(new.info.asked, written=False))
    write_interventions(run, replace(new, info=info, arrays=arrays), {})
    code, text, _ = cli("intervene", run, *given)
    assert code == 0 and "has this result already" in text and "Lengths" not in text


def test_a_killed_command_goes_on_and_ends_with_the_same_bytes(run, whole, monkeypatch):
    command = [sys.executable, "-m", "plantain", "intervene", str(run), *FEW]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    kept, limit = run / INTERVENTIONS / "patch.unfinished", time.monotonic() + 100
    while len(list(kept.glob("pair-*"))) < 2:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < limit
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert read_interventions(run) == ()
    # As in pairs that were kept before it was measured how much heads write.
    assert "written" not in json.loads((kept / "settings.json").read_text(encoding="utf-8"))["asked"]
    before = {path: path.stat().st_mtime_ns for path in kept.glob("pair-*")}
    assert 2 <= len(before) < N_PAIRS
    last_look, discard = {}, Unfinished.discard

    def look_and_discard(self):
        last_look.update({path: path.stat().st_mtime_ns for path in kept.glob("pair-*")})
        discard(self)

    monkeypatch.setattr(Unfinished, "discard", look_and_discard)
    assert main(["intervene", str(run), *FEW]) == 0
    assert len(last_look) == N_PAIRS
    assert {path: last_look[path] for path in before} == before, "a kept pair was computed again"
    ours, theirs = files(run), files(whole)
    assert ours["patch.safetensors"] == theirs["patch.safetensors"]
    assert without_clock(ours["patch.json"]) == without_clock(theirs["patch.json"])


def test_one_half_of_the_model_at_a_time_gives_the_same_bytes(run, whole, monkeypatch):
    monkeypatch.setattr("plantain.models.load.PhasedPipeline.fit_together", lambda _self: False)
    assert main(["intervene", str(run), *FEW]) == 0
    assert files(run)["patch.safetensors"] == files(whole)["patch.safetensors"]


def test_the_price_comes_first_and_a_dry_run_writes_nothing(run, cli, monkeypatch):
    monkeypatch.setattr("plantain.cli.intervene.PhasedPipeline", None)
    code, text, _ = cli("intervene", run, *FEW, "--dry-run")
    assert code == 0 and f"at most {N_ROWS:,} prompts" in text and "the smallest p is 0.5" in text
    assert not (run / INTERVENTIONS).exists()


@pytest.mark.parametrize("method", ["steer", "ablate"])
def test_the_other_methods(run, cli, method):
    code, text, err = cli("intervene", run, "--method", method, "--random-sets", "2", "--heads", "top:2", *SOME)
    assert code == 0, err
    assert f"{method}-part.json: written" in text and "A part of the pairs" in text
    (found,) = read_interventions(run)
    assert found.arrays["chosen"].shape == (2, 1, 2, 2) and np.isfinite(found.arrays["chosen"]).all()


def test_heads_from_another_run_and_controls(run, cli):
    again, size = (SHIPPED / f"picture-book-{name}" for name in ("replication", "size"))
    code, text, err = cli("intervene", run, *FEW, "--heads-from", again, "--control-runs", size)
    assert code == 0, err
    assert "the 2 heads that picture-book-replication chooses" in text
    assert "Beside picture-book-size: the run's heads restore" in text
    (found,) = read_interventions(run)
    assert found.info.asked.name == "patch-from-picture-book-replication"
    assert np.isfinite(found.arrays["control.0.their_heads"]).all()


def test_a_result_of_other_settings_is_not_replaced_unasked(run, cli):
    one, two = (
        ("--random-sets", "1", "--heads", head, "--redraws", "within", *SOME) for head in ("top:1", "single[3].1")
    )
    assert cli("intervene", run, *one)[0] == 0
    before = files(run)
    code, _, err = cli("intervene", run, *two)
    assert code == 2 and "a result patch-part of other settings" in err and err.count("\n") == 1
    assert files(run) == before
    code, text, _ = cli("intervene", run, *two, "--overwrite")
    assert code == 0 and "the one head that was named" in text
    assert [found.info.asked.heads for found in read_interventions(run)] == ["single[3].1"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--heads", "single[99].1"), "in short, single[5].5"),
        (("--pairs", "nobody"), "no pair 'nobody'"),
        (("--random-sets", "0"), "give a whole number from 1"),
        (("--random-sets", "10000"), "1 to 9,999"),
        (("--method", "think"), "invalid choice"),
        (("--heads-from", "."), "is no run"),
        (("--dtype", "bfloat16"), "load it in float32"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(run, cli, words, said):
    code, _, err = cli("intervene", run, *FEW, *words)
    assert code == 2 and said in err and err.count("\n") == 1, err
    assert not (run / INTERVENTIONS).exists()


def test_another_model_is_refused(run, cli, book):
    code, _, err = cli("intervene", run, *FEW, "--model", book)
    assert code == 2 and "the run was made by picture-book" in err and err.count("\n") == 1
    assert not (run / INTERVENTIONS).exists()


def test_its_own_pairs_are_no_control(run, cli):
    for option in ("--control-runs", "--heads-from"):
        code, _, err = cli("intervene", run, *FEW, option, SHIPPED / "picture-book-moral")
        assert code == 2 and f"shares {N_PAIRS} pairs with the run" in err
