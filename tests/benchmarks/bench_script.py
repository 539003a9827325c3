"""A run from a script against the command line's, interleaved, beside a busy core.

Run ``python tests/benchmarks/bench_script.py``. Each is a new process that loads the stand-in, runs the pairs and
saves them. A script that imports torch and numpy before plantain is measured too: then it is late to tell their threads
how to wait.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

SCRIPT = """
import plantain
pipe = plantain.load_pipeline("tiny-random", device="cpu")
run = plantain.run_probe(pipe, {prompts!r}, plantain.probe.ProbeConfig(size={size}), progress=False)
plantain.save_run(run, {out!r})
"""


def commands(prompts: str, size: int, out: str) -> dict[str, list[str]]:
    """Return what is timed, by name."""
    script = SCRIPT.format(prompts=prompts, size=size, out=out)
    words = ["run", "--model", "tiny-random", "--prompts", prompts, "--size", str(size), "--out", out]
    return {
        "command line": [sys.executable, "-m", "plantain", *words, "--device", "cpu"],
        "script": [sys.executable, "-c", script],
        "script, torch first": [sys.executable, "-c", f"import numpy, torch\n{script}"],
    }


@contextmanager
def busy_core() -> Iterator[None]:
    """Keep one core busy with something else."""
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        other.kill()
        other.wait()


def main() -> None:
    """Time all in turn, and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=5, metavar="N")
    parser.add_argument("--size", type=int, default=64, metavar="PX")
    parser.add_argument("--prompts", default="moral_valence", metavar="FILE")
    options = parser.parse_args()
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, busy_core():
        for i in range(options.times):
            for j, name in enumerate(commands("", 0, "")):
                command = commands(options.prompts, options.size, f"{folder}/{i}-{j}")[name]
                start = time.perf_counter()
                subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
                seconds.setdefault(name, []).append(time.perf_counter() - start)
                print(f"{name}: {seconds[name][-1]:.1f} s", file=sys.stderr)
    medians = {name: statistics.median(own) for name, own in seconds.items()}
    for name, median in medians.items():
        ratios = [own / base for own, base in zip(seconds[name], seconds["command line"], strict=True)]
        print(f"| {name} | {median:.1f} s | {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) |")


if __name__ == "__main__":
    main()
