"""A small prompt set, and the command that runs it on the stand-in. Used by the tests of the command line."""

import subprocess
import sys
from pathlib import Path

from browser import ROOT

N_PAIRS = 8


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


def run_args(prompts: Path, out: Path) -> list[str]:
    return ["run", "--model", "tiny-random", "--prompts", str(prompts), "--out", str(out), "--size", "64"]


def without_warnings(err: str) -> str:
    """Leave out what is said of a set's words before anything is tried: a line each."""
    return "".join(line for line in err.splitlines(keepends=True) if not line.startswith("plantain: warning: "))


def shell(*args: str, **options) -> subprocess.CompletedProcess:
    """Run a command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "plantain", *args], cwd=ROOT, capture_output=True, text=True, timeout=120, **options
    )
