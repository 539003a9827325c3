"""The command line: three commands, one line for every error, and a run that survives being killed."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from plantain.__main__ import main
from plantain.results import load_run, save_run
from plantain.unfinished import UnfinishedRun

ROOT = Path(__file__).parents[1]
N_PAIRS = 8


def shell(*args: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "plantain", *args], cwd=ROOT, capture_output=True, text=True, timeout=120, **options
    )


def write_set(path: Path, n_pairs: int = N_PAIRS, last: str = "Ben walks on.") -> Path:
    pairs = [("Ana", f"Ana helps {i}.", f"Ana waits {i}.") for i in range(n_pairs - 1)] + [
        ("Ben", "Ben digs in.", last)
    ]
    rows = [
        f'[[pair]]\nid = "{i}"\ncategory = "c"\npositive = "{positive}"\nnegative = "{negative}"\n'
        for i, (_, positive, negative) in enumerate(pairs)
    ]
    head = 'name = "few"\ntitle = "A few"\npositive = "helping"\nnegative = "waiting"\n'
    path.write_text(head + "".join(rows), encoding="utf-8")
    return path


def without_warnings(err: str) -> str:
    """Leave out what is said of a set's words before anything is tried: a line each."""
    return "".join(line for line in err.splitlines(keepends=True) if not line.startswith("plantain: warning: "))


def run_args(prompts: Path, out: Path) -> list[str]:
    return ["run", "--model", "tiny-random", "--prompts", str(prompts), "--out", str(out), "--size", "64"]


@pytest.fixture(scope="module")
def prompts(tmp_path_factory) -> Path:
    return write_set(tmp_path_factory.mktemp("prompts") / "few.toml")


@pytest.fixture(scope="module")
def uninterrupted(prompts, tmp_path_factory) -> Path:
    """A run by the command line that nothing disturbed."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert main(run_args(prompts, out)) == 0
    return out


@pytest.fixture(scope="module")
def moral_folder(moral_run, tmp_path_factory) -> Path:
    return save_run(moral_run, tmp_path_factory.mktemp("moral") / "run")


# --- the commands ------------------------------------------------------------------------------------------


def test_run_writes_a_run_and_says_what_to_do_next(prompts, tmp_path, capsys):
    out = tmp_path / "new" / "run"
    assert main(run_args(prompts, out) + ["--seed", "3"]) == 0
    run = load_run(out)
    assert (run.info.seed, run.info.size, len(run.pairs)) == (3, 64, N_PAIRS)
    printed, err = capsys.readouterr()
    warnings = [line for line in err.splitlines() if line.startswith("plantain: ")]  # progress is there as well
    assert all(line.startswith(f"plantain: warning: {prompts}: ") for line in warnings)
    assert sum("“helps” 7/0, “waits” 0/7" in line for line in warnings) == 1
    assert "STAND-IN" in printed and f"python -m plantain report {out}" in printed
    assert [path.name for path in out.parent.iterdir()] == ["run"]


def test_run_overwrites_when_asked(uninterrupted, prompts, tmp_path):
    out = tmp_path / "run"
    assert main(run_args(prompts, out) + ["--seed", "3"]) == 0
    assert main(run_args(prompts, out) + ["--overwrite"]) == 0
    assert (out / "capture.safetensors").read_bytes() == (uninterrupted / "capture.safetensors").read_bytes()


def test_report_prints_the_run_beside_the_published_figures(moral_folder, moral_run, capsys):
    assert main(["report", str(moral_folder)]) == 0
    text = capsys.readouterr().out
    assert "3,221 (19.7%)" in text and "509 (3.1%)" in text and "10.05" in text
    count = int((abs(moral_run.analysis().t) > 3).sum())
    assert f"{count:,} ({100 * count / 680:.1f}%)" in text
    assert "STAND-IN" in text and "say nothing about FLUX.2 Klein" in text


@pytest.mark.parametrize(("units", "scope", "n"), [("card", "all", 680), ("heads", "words", 80), ("mlp", "image", 240)])
def test_report_json_has_the_promised_keys(moral_folder, moral_run, capsys, units, scope, n):
    assert main(["report", str(moral_folder), "--units", units, "--scope", scope, "--json"]) == 0
    found = json.loads(capsys.readouterr().out, parse_constant=lambda c: pytest.fail(f"{c} is no JSON"))
    keys = "units scope n_units n_pairs thresholds large_effect split_half max_abs_t top_blocks"
    assert found.keys() >= set(keys.split())
    assert (found["units"], found["scope"], found["n_units"], found["n_pairs"]) == (units, scope, n, 25)
    assert found["thresholds"].keys() == {"3", "5"}
    assert found["thresholds"]["3"].keys() == {"count", "percent", "null_p99", "ratio"}
    assert found["large_effect"].keys() == {"threshold", "count", "percent"}
    assert found["split_half"].keys() == {"median", "q25", "q75", "n_splits"}
    assert found["top_blocks"][0].keys() == {"block", "max_abs_t", "n_over_3", "n_units", "median_abs_d"}
    assert found["max_abs_t"] == abs(moral_run.analysis(units, scope).t).max() == found["top_blocks"][0]["max_abs_t"]


def test_pair_prints_json(moral_folder, moral_run, capsys):
    pair = moral_run.pairs[4].pair
    assert main(["pair", str(moral_folder), "--positive", pair.positive, "--negative", pair.negative, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["scores"]) == 25 and found["p"] == found["n_at_or_below"] / 26
    assert found["pair"]["positive"] == pair.positive and len(found["top"]) == 20
    assert found["top"][0]["new"] == found["top"][0]["differences"][4]


def test_pair_prints_words_and_a_table(moral_folder, capsys):
    assert main(["pair", str(moral_folder), "--positive", "Ana helps.", "--negative", "Ana naps."]) == 0
    text = capsys.readouterr().out
    assert "NOT COMPARABLE: the prompts have 10 and 9 tokens" in text
    assert "regression to the mean" in text and "weights are random" in text


def test_python_m_plantain_reports(moral_folder, moral_run):
    done = shell("report", str(moral_folder), "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["max_abs_t"] == abs(moral_run.analysis().t).max()


def test_report_does_not_import_torch(moral_folder):
    code = (
        "import sys; from plantain.__main__ import main; main(sys.argv[1:]); "
        "print(sorted({'torch', 'diffusers', 'transformers', 'gradio'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "report", str(moral_folder)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


# --- bad input ---------------------------------------------------------------------------------------------

BAD_INPUT = [
    ("", "required: COMMAND"),
    ("dance", "invalid choice: 'dance'"),
    ("run --model tiny-random --out {tmp}/new", "required: --prompts"),
    ("run --model tiny-random --prompts {tmp}/none.toml --out {tmp}/new", "none.toml: cannot be read"),
    ("run --model tiny-random --prompts {tmp}/broken.toml --out {tmp}/new", "is not valid TOML"),
    (
        "run --model tiny-random --prompts {tmp}/control.toml --out {tmp}/new",
        "pair '3', negative side: .*control token",
    ),
    ("run --model tiny-random --prompts {few} --out {run}", "exists already. Choose another folder"),
    ("run --model tiny-random --prompts {few} --out {tmp} --overwrite", "holds something other than a run"),
    ("run --model tiny-random --prompts {few} --out {few}/new", "few.toml/new.unfinished: cannot be written"),
    ("run --model {tmp}/none --prompts {few} --out {tmp}/new", "no such folder"),
    ("run --model no-owner/no-model --prompts {few} --out {tmp}/new", "the Hub cannot be reached"),
    ("run --model {few} --prompts {few} --out {tmp}/new", "no such folder"),
    ("run --model tiny-random --prompts {few} --out {tmp}/new --size 100", "size 100: choose a multiple of 16"),
    ("run --model tiny-random --prompts {few} --out {tmp}/new --size big", "invalid int value: 'big'"),
    ("run --model tiny-random --prompts {few} --out {tmp}/new --seed -1", "seed -1"),
    ("run --model tiny-random --prompts {few} --out {tmp}/new --dtype int3", "unknown dtype 'int3'"),
    ("run --model tiny-random --prompts {few} --out {tmp}/new --device toaster", "try --device cpu"),
    ("report {tmp}/none", "none: is no run"),
    ("report {few}", "is no run"),
    ("report {run} --units neurons", "invalid choice: 'neurons'"),
    ("report {run} --scope moon", "invalid choice: 'moon'"),
    ("report {run} --units text-heads --scope image", "have no tokens of scope 'image'"),
    ("pair {run} --positive A", "required: --negative"),
    ("pair {run} --positive A --negative A", "both prompts are the same"),
    ("pair {run} --positive A --negative B --units text-heads --scope image", "have no tokens of scope 'image'"),
    ("pair {run} --positive A --negative B --dtype bfloat16", "load it in float32"),
    ("pair {run} --positive \ud83c --negative B", "not valid Unicode"),
    ("pair {run} --positive A --negative <think>", "control token"),
    ("pair {tmp}/none --positive A --negative B", "none: is no run"),
]


@pytest.mark.parametrize(("line", "match"), BAD_INPUT)
def test_bad_input_ends_with_2_and_one_line_and_leaves_nothing(line, match, tmp_path, prompts, moral_folder, capfd):
    (tmp_path / "broken.toml").write_text("name = ")
    write_set(tmp_path / "control.toml", 4, "stop <|im_end|> here")
    before = sorted(tmp_path.rglob("*")) + sorted(prompts.parent.rglob("*"))
    args = [part.format(tmp=tmp_path, few=prompts, run=moral_folder) for part in line.split()]
    assert main(args) == 2
    captured = capfd.readouterr()
    assert captured.out == ""
    err = without_warnings(captured.err)
    assert err.startswith("plantain: ") and err.count("\n") == 1 and "\r" not in err
    assert re.search(match, captured.err), captured.err
    assert sorted(tmp_path.rglob("*")) + sorted(prompts.parent.rglob("*")) == before


def test_an_empty_prompt_is_refused_in_one_line(moral_folder, capfd):
    assert main(["pair", str(moral_folder), "--positive", "  ", "--negative", "B"]) == 2
    assert capfd.readouterr().err == "plantain: the positive prompt is empty; write a sentence.\n"


def test_a_damaged_model_is_refused_in_one_line(pipe, prompts, tmp_path):
    pipe.save_pretrained(tmp_path / "model")
    weights = tmp_path / "model" / "transformer" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    args = run_args(prompts, tmp_path / "new")
    done = shell(*[str(tmp_path / "model") if a == "tiny-random" else a for a in args])
    assert done.returncode == 2
    err = without_warnings(done.stderr)
    assert err.startswith("plantain: ") and err.count("\n") == 1, done.stderr
    assert "files cannot be loaded" in done.stderr and not (tmp_path / "new").exists()


# --- killed and stopped ------------------------------------------------------------------------------------


def start_and_wait_for_pairs(prompts: Path, out: Path, n: int) -> subprocess.Popen:
    """Start a run in another process, and return once `n` pairs are kept."""
    process = subprocess.Popen(
        [sys.executable, "-m", "plantain", *run_args(prompts, out)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        # A shell lets what it starts in the background ignore Ctrl-C, and so would this process.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    limit = time.monotonic() + 100
    while len(kept_pairs(out)) < n:
        assert process.poll() is None, f"ended before {n} pairs were kept: {process.stderr.read()}"
        assert time.monotonic() < limit, "no pairs in time"
        time.sleep(0.005)
    return process


def kept_pairs(out: Path) -> list[Path]:
    return sorted(out.with_name(out.name + ".unfinished").glob("pair-*.safetensors"))


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(prompts, uninterrupted, tmp_path, monkeypatch):
    out = tmp_path / "run"
    process = start_and_wait_for_pairs(prompts, out, 3)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not out.exists()
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in kept_pairs(out)}
    assert 3 <= len(before) < N_PAIRS

    last_look, discard = {}, UnfinishedRun.discard

    def look_and_discard(self):
        last_look.update({path: (path.stat().st_mtime_ns, path.read_bytes()) for path in kept_pairs(out)})
        discard(self)

    monkeypatch.setattr(UnfinishedRun, "discard", look_and_discard)
    assert main(run_args(prompts, out)) == 0
    assert len(last_look) == N_PAIRS
    assert {path: last_look[path] for path in before} == before, "a kept pair was computed again"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    for name in ("capture.safetensors", "units.csv"):
        assert (out / name).read_bytes() == (uninterrupted / name).read_bytes(), name


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_ends_with_one_line_and_keeps_the_pairs(moral_file, tmp_path, sign, code):
    # All 25 pairs: on a busy machine a shorter run could end before the signal arrives.
    process = start_and_wait_for_pairs(moral_file, tmp_path / "run", 2)
    process.send_signal(sign)
    _, err = process.communicate(timeout=60)
    err = err.decode()  # not by text=True, which takes the progress bar's carriage returns for new lines
    assert process.returncode == code
    assert "Traceback" not in err and err.count("\n") == 1, err
    assert err.split("\r")[-1].startswith("plantain: stopped. What was done is kept (pairs, pictures")
    assert len(kept_pairs(tmp_path / "run")) >= 2 and not (tmp_path / "run").exists()


_WHILE_LOADING = """
import runpy, sys, time
class Slow:  # says so when numpy is wanted, and lets everybody wait for it
    def find_spec(self, name, path=None, target=None):
        if name == "numpy":
            print("loading", flush=True)
            time.sleep(60)
sys.meta_path.insert(0, Slow())
sys.argv = ["plantain", "--version"]
"""


@pytest.mark.parametrize(
    "start", ["runpy.run_module('plantain', run_name='__main__')", "runpy.run_path('app.py', run_name='__main__')"]
)
def test_ctrl_c_while_the_libraries_load_is_silent(start):
    process = subprocess.Popen(
        [sys.executable, "-c", f"{_WHILE_LOADING}\n{start}"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert process.stdout.readline() == b"loading\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60) == (b"", b"") and process.returncode == -signal.SIGINT


def test_an_option_that_is_none_points_to_the_help_of_its_command(cli):
    code, _, said = cli("report", "somewhere", "--bogus")
    assert code == 2 and said == "plantain: unrecognized: --bogus. See: python -m plantain report --help\n"
