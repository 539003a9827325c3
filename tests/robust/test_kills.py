"""A run that is killed or stopped: what is done stays, and a run that goes on ends with the same bytes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from browser import ROOT
from few import N_PAIRS, run_args

from plantain.cli import main
from plantain.probe.checkpoint import Checkpoint


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

    last_look, discard = {}, Checkpoint.discard

    def look_and_discard(self):
        last_look.update({path: (path.stat().st_mtime_ns, path.read_bytes()) for path in kept_pairs(out)})
        discard(self)

    monkeypatch.setattr(Checkpoint, "discard", look_and_discard)
    assert main(run_args(prompts, out)) == 0
    assert len(last_look) == N_PAIRS
    assert {path: last_look[path] for path in before} == before, "a kept pair was computed again"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    for name in ("capture.safetensors", "directions.safetensors", "units.csv"):
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
    assert err.split("\r")[-1].startswith("plantain: stopped. Repeat the command: pairs, pictures")
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
