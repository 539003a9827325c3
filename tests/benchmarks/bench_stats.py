"""Speed and coverage of the statistics, by hand: ``OMP_NUM_THREADS=1 python tests/benchmarks/bench_stats.py``.

One run, the same data for all: 25 pairs x 16,320 units, 1,000 sign flips, float64, one core, warm, median of five.
The peers are optional (``pip install mne nilearn``); the goals are 3 times faster than MNE, 6 times faster than
nilearn, and all exact p in 10 seconds on two cores. ``--coverage N`` measures the intervals of counts and the
family-wise error instead, on N simulated data sets for each world of tests/sampling.py.
"""
# ruff: noqa: E402  the number of cores has to be set before numpy is imported

from __future__ import annotations

import os

ONE_CORE = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
for _name in ONE_CORE:
    os.environ[_name] = "1"  # read when numpy is first imported

import argparse
import inspect
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parents[1])]

from plantain import stats

N_PAIRS, N_UNITS, N_FLIPS = 25, 16_320, 1000
GOALS = {"MNE permutation_t_test": 3.0, "nilearn permuted_ols": 6.0}


def data() -> np.ndarray:
    """Draw differences with shared noise and an effect of its own in every unit, (n_pairs, n_units)."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(N_PAIRS, N_UNITS)) + 0.5 * rng.normal(size=(N_PAIRS, 1)) + 0.2 * rng.normal(size=N_UNITS)


def machine() -> str:
    """Name the processor, where the system tells."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return f"{model or platform.processor() or platform.machine()}, {os.cpu_count()} cores, numpy {np.__version__}"


def peers(diffs: np.ndarray) -> dict[str, Callable[[], object]]:
    """Return what can be timed; a peer that is not installed is named and left out."""
    rng = np.random.default_rng(1)
    signs = stats.draw_signs(N_FLIPS, N_PAIRS, rng)
    flips = signs.astype(np.float64)
    runs: dict[str, Callable[[], object]] = {
        "plantain: counts and max |t|": lambda: stats.sign_flip_null(diffs, N_FLIPS, rng=rng),
        "bare matrix product": lambda: flips @ diffs,
    }
    for name, make in (("MNE permutation_t_test", _mne), ("nilearn permuted_ols", _nilearn)):
        try:
            runs[name] = make(diffs)
        except ImportError as error:
            print(f"{name} is left out: {error}. pip install mne nilearn")
    return runs


def _mne(diffs: np.ndarray) -> Callable[[], object]:
    test = import_module("mne.stats").permutation_t_test
    seed = {"rng" if "rng" in inspect.signature(test).parameters else "seed": 0}  # renamed in newer versions
    return lambda: test(diffs, n_permutations=N_FLIPS, tail=0, n_jobs=1, verbose=False, **seed)


def _nilearn(diffs: np.ndarray) -> Callable[[], object]:
    ols = import_module("nilearn.mass_univariate").permuted_ols
    ones = np.ones((len(diffs), 1))
    return lambda: ols(ones, diffs, n_perm=N_FLIPS, two_sided_test=True, n_jobs=1, random_state=0, output_type="dict")


def median_of_five(runs: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Time all runs in turn, five rounds after two warm ones: what slows one round down slows all of them."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(7):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values[2:]) for name, values in times.items()}


def speed() -> None:
    """Print the table."""
    diffs = data()
    print(f"{machine()}\n{N_PAIRS} pairs x {N_UNITS:,} units, {N_FLIPS:,} flips, float64, one core, median of five\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seconds = median_of_five(peers(diffs))
    ours = next(iter(seconds.values()))
    for name, value in seconds.items():
        goal = f"  goal {GOALS[name]:g}x: {'met' if value / ours >= GOALS[name] else 'MISSED'}" if name in GOALS else ""
        print(f"{name:30} {value * 1000:8.1f} ms {value / ours:7.2f} x ours{goal}")
    start = time.perf_counter()
    stats.exact_sign_flip_p(diffs)
    print(f"exact p of {N_UNITS:,} units, a thread a core: {time.perf_counter() - start:.1f} s")
    start = time.perf_counter()
    stats.max_t_p(diffs, 10_000, rng=np.random.default_rng(0))
    print(f"max-|t| p of {N_UNITS:,} units, 10,000 flips: {time.perf_counter() - start:.2f} s")


def report() -> None:
    """Print how long ``report`` takes on a saved full-size run, the first time and with its statistics kept."""
    shipped = ROOT / "precomputed" / "untrained-klein-4b"
    with tempfile.TemporaryDirectory() as folder:
        run = shutil.copytree(shipped, Path(folder) / "run", ignore=shutil.ignore_patterns("statistics"))
        command = [sys.executable, "-m", "plantain", "report", str(run)]
        seconds = []
        for _ in range(6):
            start = time.perf_counter()
            subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
            seconds.append(time.perf_counter() - start)
    first, kept = seconds[0], statistics.median(seconds[1:])
    print(f"report of 16,320 units, first time: {first:.1f} s  goal 60 s: {'met' if first < 60 else 'MISSED'}")
    print(f"report with its statistics kept: {kept:.2f} s  goal 2 s: {'met' if kept < 2 else 'MISSED'}")


def coverage(n_sets: int) -> None:
    """Print how often the 95% intervals of counts cover the expected count, and the family-wise error."""
    worlds = import_module("sampling")
    print(f"{n_sets} data sets of {worlds.N_PAIRS} pairs x {worlds.N_UNITS} units, 1,000 bootstrap draws\n")
    print(f"{'effects':8} {'dependence':13} {'|t| >':5} {'expected':>8} {'wild':>6} {'jackknife':>9}")
    for effects in worlds.EFFECTS:
        for factors in worlds.FACTORS:
            for threshold in (3, 5):
                truth, wild, jackknife = worlds.coverage(effects, factors, threshold, n_sets)
                print(f"{effects:8} {factors:13} {threshold:5} {truth:8.1f} {wild:6.3f} {jackknife:9.3f}", flush=True)
    family_wise_error(worlds, n_sets)


def family_wise_error(worlds: ModuleType, n_sets: int) -> None:
    """Print the share of data sets without an effect in which max-|t| claims one at .05."""
    print("\nfamily-wise error of max-|t| at .05, 999 flips\n")
    for factors in worlds.FACTORS:
        normal, skewed = (worlds.false_claims(factors, n_sets, skewed=s) / n_sets for s in (False, True))
        print(f"{factors:13} normal {normal:.3f}  skewed (exponential) {skewed:.3f}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coverage", type=int, metavar="N", help="measure coverage on N data sets instead")
    chosen = parser.parse_args()
    if chosen.coverage:
        coverage(chosen.coverage)
    else:
        speed()
        report()
