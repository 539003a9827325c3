"""A run that is killed at random moments, again and again, and started anew; run by hand.

    python tests/benchmarks/bench_kill.py [KILLS] [SEED]

Starts the command line's run of 8 pairs, kills it with SIGKILL after a random time, and starts it again; where a run
ends before it is killed, the next one begins from nothing. After every end the run's bytes are compared with those of
a run that nothing disturbed. Prints a line a kill, and at the end how many kills fell into which part of a run.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]


def main() -> None:
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    moments, found = random.Random(seed), Counter()
    with tempfile.TemporaryDirectory() as folder:
        prompts = _prompts(Path(folder) / "few.toml")
        undisturbed = Path(folder) / "undisturbed"
        start = time.monotonic()
        _start(prompts, undisturbed).wait()
        whole = time.monotonic() - start
        print(f"undisturbed: {whole:.1f} s")
        done = ends = 0
        while done < kills:
            out = Path(folder) / f"run-{ends}"
            process, patience = _start(prompts, out), moments.uniform(0.1, 1.1) * whole
            try:
                process.wait(patience)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                done += 1
                where = _where(out)
                found[where] += 1
                print(f"kill {done:>3} after {patience:5.2f} s: {where}", flush=True)
                if not (out / "run.json").exists():
                    continue  # the same command again
            else:
                assert process.returncode == 0, process.returncode
            _compare(out, undisturbed)
            ends += 1
        if not (out / "run.json").exists():
            _start(prompts, out).wait()
        _compare(out, undisturbed)
    print(f"{done} kills, {ends + 1} ends, all with the same bytes: {dict(found)}")


def _prompts(path: Path) -> Path:
    head, *pairs = (ROOT / "prompts" / "moral_valence.toml").read_text(encoding="utf-8").split("[[pair]]")
    path.write_text("[[pair]]".join([head, *pairs[:8]]), encoding="utf-8")
    return path


def _start(prompts: Path, out: Path) -> subprocess.Popen:
    words = ["run", "--model", "tiny-random", "--prompts", str(prompts), "--size", "64", "--out", str(out)]
    return subprocess.Popen(
        [sys.executable, "-m", "plantain", *words],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def _where(out: Path) -> str:
    if (out / "run.json").exists():
        return "after the run stood"
    kept = list(out.with_name(f"{out.name}.unfinished").glob("pair-*.safetensors"))
    return f"with {len(kept)} of 8 pairs kept"


def _compare(out: Path, undisturbed: Path) -> None:
    for name in ("capture.safetensors", "units.csv"):
        assert (out / name).read_bytes() == (undisturbed / name).read_bytes(), f"{out / name} differs"


if __name__ == "__main__":
    main()
