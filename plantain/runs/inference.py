"""What a careful paper would say of one analysis: p values, intervals, reliability, one gain or many axes.

Knows nothing about files, models or pages. Slower than `analysis` (seconds at full size), so that runs keep it.

`Inference`   per unit: exact p, family-wise p, q values, corrected effect size with its interval; and facts
`infer`       `Analysis` -> `Inference`
`null_reliability`   the split-half r of flipped data
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError, safe_open

from plantain import stats
from plantain._files import write_atomic
from plantain.runs.analysis import THRESHOLDS, Analysis, split_half_facts, threshold_name

VERSION = 3
"""Of the statistics: raise it when a number changes, so that kept results are computed anew."""


N_FLIPS = 10_000  # for the family-wise p

N_BOOTSTRAP = 2000

N_NULL_R = 100  # flips for the reliability's reference

NULL_SPLITS = 20

MAX_EXACT = 30  # pairs

COLUMNS = ("p_exact", "p_fwer", "q_bh", "q_by", "g", "d_low", "d_high", "percent")


@dataclass(frozen=True, eq=False)
class Inference:
    """Statistics of every unit, and facts about all of them.

    Attributes
    ----------
    columns : dict of str to float64 array (n_units,)
        ``p_exact`` (two-sided sign-flip p), ``p_fwer`` (max-|t|), ``q_bh``, ``q_by``, ``g`` (Hedges), ``d_low`` and
        ``d_high`` (95% interval of d_z), ``percent`` (mean difference in percent of the unit's magnitude). NaN where
        a value does not exist.
    facts : dict
        Plain JSON values: thresholds, family-wise and false-discovery counts, reliability, gain.
    """

    columns: dict[str, np.ndarray]
    facts: dict[str, Any]


def parameters() -> dict[str, int]:
    """Return what the numbers depend on beside the run, for the key of kept results."""
    return {
        "version": VERSION,
        "n_flips": N_FLIPS,
        "n_bootstrap": N_BOOTSTRAP,
        "n_null_r": N_NULL_R,
        "null_splits": NULL_SPLITS,
    }


def infer(analysis: Analysis, halves: np.ndarray, seed: int, categories: Sequence[str]) -> Inference:
    """Compute the slower statistics of an analysis.

    Parameters
    ----------
    analysis : Analysis
    halves : bool array (n_splits, n_pairs)
        The run's; the first `NULL_SPLITS` serve the reliability's reference.
    seed : int
        The run's; every draw has a stream of its own.
    categories : sequence of str (n_pairs,)
        The pairs', for halves that split each of them as evenly as possible.

    Returns
    -------
    Inference
    """
    columns = _columns(analysis, seed)
    facts = {
        "n_flips": N_FLIPS,
        "thresholds": {threshold_name(t): _threshold_facts(analysis, i, seed) for i, t in enumerate(THRESHOLDS)},
        "n_fwer_05": _count_below(columns["p_fwer"], 0.05),
        "n_bh_05": _count_below(columns["q_bh"], 0.05),
        "n_by_05": _count_below(columns["q_by"], 0.05),
        "reliability": _reliability(analysis, halves, seed, categories),
        "gain": _gain(analysis),
    }
    return Inference(columns, facts)


def _columns(a: Analysis, seed: int) -> dict[str, np.ndarray]:
    n, diffs = len(a.differences), a.differences
    p = stats.exact_sign_flip_p(diffs) if n <= MAX_EXACT else np.full(diffs.shape[1], np.nan)
    p = np.where(a.tested, p, np.nan)
    q = stats.fdr(p)
    low, high = stats.dz_interval(a.dz, n)
    with np.errstate(invalid="ignore", divide="ignore"):  # a unit that is always zero has no percentage
        percent = 100 * diffs.mean(axis=0) / a.magnitudes.mean(axis=(0, 1))
    family_wise = stats.max_t_p(diffs, N_FLIPS, rng=_rng(seed, 2))
    return dict(zip(COLUMNS, (p, family_wise, q.bh, q.by, stats.hedges_g(a.dz, n), low, high, percent), strict=True))


def _rng(seed: int, stream: int) -> np.random.Generator:
    return np.random.default_rng((seed, stream))  # 0 and 1 are the run's signs and halves


def _count_below(p: np.ndarray, level: float) -> int | None:
    """Count p values at or below a level; None where there is none at all."""
    return None if np.isnan(p).all() else int(np.count_nonzero(p <= level))


def _threshold_facts(a: Analysis, row: int, seed: int) -> dict[str, Any]:
    """Complete the null of one threshold: p of the count, intervals of p99 and of the count itself."""
    threshold, counts = THRESHOLDS[row], a.null.counts[row]
    diffs = a.differences[:, a.tested]
    observed = int(np.count_nonzero(np.abs(a.t[a.tested]) > threshold))
    return {
        "p": stats.count_p(observed, counts),
        "null_median": float(np.median(counts)),
        "null_max": int(counts.max()),
        "null_p99_interval": _ends(stats.quantile_interval(counts, 0.99)),
        "count_interval": _ends(stats.count_interval(diffs, threshold, N_BOOTSTRAP, rng=_rng(seed, 3))),
        "count_jackknife": _ends(stats.count_jackknife(diffs, threshold)),
    }


def _reliability(a: Analysis, halves: np.ndarray, seed: int, categories: Sequence[str]) -> dict[str, Any]:
    """Spearman-Brown of the median r, the median r of sign-flipped data ('above the null'), and stratified halves."""
    stratified = stats.draw_halves(len(halves), len(a.differences), _rng(seed, 4), categories)
    null = null_reliability(a, halves)
    null = null[np.isfinite(null)]
    known = a.split_r[np.isfinite(a.split_r)]
    median = float(np.median(known)) if len(known) else math.nan
    return {
        "spearman_brown": _number(stats.spearman_brown(median)),
        "null_median": _number(np.median(null)) if len(null) else None,
        "null_p95": stats.quantile_above(null, 0.95) if len(null) else None,
        "n_flips": len(null),
        "stratified": split_half_facts(stats.split_half(a.differences[:, a.tested], halves=stratified)),
    }


def null_reliability(analysis: Analysis, halves: np.ndarray) -> np.ndarray:
    """Return what the median split-half r is where nothing is true: of the first flips, over the first halves.

    Parameters
    ----------
    analysis : Analysis
    halves : bool array (n_splits, n_pairs)
        The run's.

    Returns
    -------
    float64 array (N_NULL_R,)
        As `stats.split_half_null`; a second at full size.
    """
    a = analysis
    return stats.split_half_null(a.differences[:, a.tested], a.null.signs[:N_NULL_R], halves[:NULL_SPLITS])


def _gain(a: Analysis) -> dict[str, Any] | None:
    """Ask whether all units rise together: log magnitudes, with and without their block's mean.

    None where a magnitude is zero and has no logarithm; the shares are None where all differences are zero.
    """
    if not (a.magnitudes > 0).all():
        return None
    logs = np.log(a.magnitudes[0]) - np.log(a.magnitudes[1])  # (n_pairs, n_units)
    t = stats.paired_t(without_block_means(logs, a.table.block))
    dimension = stats.dimension(logs)
    return {
        "gain_share": _number(dimension.gain_share),
        "mean_share": _number(dimension.mean_share),
        "first_share": _number(dimension.uncentred.first_share),
        "participation": _number(dimension.uncentred.participation),
        "counts_without_block_mean": {
            threshold_name(threshold): int(np.count_nonzero(np.abs(t) > threshold)) for threshold in THRESHOLDS
        },
    }


def without_block_means(values: np.ndarray, block: np.ndarray) -> np.ndarray:
    """Subtract, pair by pair, the mean over each block's units.

    Parameters
    ----------
    values : float array (n_pairs, n_units)
    block : str array (n_units,)

    Returns
    -------
    float64 array (n_pairs, n_units)
    """
    names, index = np.unique(block, return_inverse=True)
    sums = np.zeros((len(values), len(names)))
    np.add.at(sums.T, index, values.T)
    return values - (sums / np.bincount(index))[:, index]


def _ends(interval: tuple[float, float]) -> list[float | None]:
    """Write an interval for JSON; None is an end that does not exist, as of few flips' 99th percentile."""
    return [_number(end) for end in interval]


def _number(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None


FOLDER = "statistics"

_HEADER = 1 << 20  # bytes that a file may hold beside its columns


def keep(folder: Path, key: dict[str, Any], inference: Inference) -> None:
    """Write statistics into a run's folder; where it cannot be written, they are simply not kept."""
    path = _path(folder, key)
    # One metadata key: several would be written in an order that changes from run to run.
    digest = _digest(inference.columns, inference.facts)
    text = json.dumps({"key": key, "facts": inference.facts, "sha256": digest}, allow_nan=False)
    content = safetensors.numpy.save(
        {name: np.ascontiguousarray(inference.columns[name]) for name in COLUMNS}, metadata={"statistics": text}
    )
    with suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        write_atomic(path, content)


def recall(folder: Path, key: dict[str, Any], n_units: int) -> Inference | None:
    """Read statistics back if they belong to the key: capture, units, scope, version and parameters."""
    path = _path(folder, key)
    try:
        if not _is_plain(path, n_units):
            return None
        with safe_open(path, "np") as file:
            content = json.loads(file.metadata()["statistics"])
            columns = {name: file.get_tensor(name) for name in COLUMNS}
        facts = content["facts"]
        whole = content["key"] == key and content["sha256"] == _digest(columns, facts)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        return None
    fits = all(c.shape == (n_units,) and c.dtype == np.float64 for c in columns.values())
    return Inference(columns, facts) if whole and fits else None


def _is_plain(path: Path, n_units: int) -> bool:
    """Tell whether this is a file of the folder and no larger than it can be; a pipe would be waited for."""
    if path.is_symlink() or path.parent.is_symlink() or not path.is_file():
        return False
    return path.stat().st_size <= 8 * n_units * len(COLUMNS) + _HEADER


def _digest(columns: dict[str, np.ndarray], facts: dict[str, Any]) -> str:
    """Hash what is kept, so that a damaged number is not taken for one that was computed."""
    found = hashlib.sha256(json.dumps(facts, allow_nan=False).encode())
    for name in COLUMNS:
        found.update(np.ascontiguousarray(columns[name]).tobytes())
    return found.hexdigest()


def _path(folder: Path, key: dict[str, Any]) -> Path:
    return folder / FOLDER / f"{key['units']}-{key['scope']}.safetensors"
