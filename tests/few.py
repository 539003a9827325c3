"""Few pairs where their number is not the point: a small prompt set, the command that runs it on the stand-in, and
what a run of the first pairs has to find. Used by the tests of the command line and of the page.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from browser import ROOT

from plantain.prompts.sets import SHIPPED
from plantain.runs.run import Run

N_PAIRS = 8

STUDY_SETS = ("moral_valence", "tempo")  # the fewest of which there is an atlas


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


def write_sets(folder: Path, names: Sequence[str] = STUDY_SETS, n_pairs: int = 6) -> Path:
    """Write the first pairs of some shipped sets into a folder, as if no others were shipped."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        head, *pairs = (SHIPPED / f"{name}.toml").read_text(encoding="utf-8").split("[[pair]]")
        (folder / f"{name}.toml").write_text("[[pair]]".join([head, *pairs[:n_pairs]]), encoding="utf-8")
    return folder


def run_args(prompts: Path, out: Path) -> list[str]:
    return ["run", "--model", "tiny-random", "--prompts", str(prompts), "--out", str(out), "--size", "64"]


def max_abs_t(run: Run, n_pairs: int) -> float:
    """Return the largest |t| of the card's slices over the first pairs of a run: what a run of these alone has."""
    positive, negative = run.magnitudes()[:, :n_pairs]
    difference = positive - negative
    return np.abs(difference.mean(axis=0) / difference.std(axis=0, ddof=1)).max() * n_pairs**0.5


def without_warnings(err: str) -> str:
    """Leave out what is said of a set's words before anything is tried: a line each."""
    return "".join(line for line in err.splitlines(keepends=True) if not line.startswith("plantain: warning: "))


def shell(*args: str, **options) -> subprocess.CompletedProcess:
    """Run a command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "plantain", *args], cwd=ROOT, capture_output=True, text=True, timeout=120, **options
    )
