"""The slower statistics of a run: corrected p, intervals, reliability, one gain or many axes.

They take seconds at full size, so they are computed once and cached: in memory, and in the folder of a saved run. A
cached file counts only if its key has the run's capture, the choice and `VERSION` with all parameters, and if its own
hash is right; whatever else a folder brings is computed anew.
"""

from __future__ import annotations

import hashlib
import json
import math
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError, safe_open

from plantain import stats
from plantain._files import plain, strict_record, write_atomic
from plantain.runs.analysis import THRESHOLDS, Analysis, SplitHalf, finite, summarize_splits
from plantain.runs.once import once
from plantain.runs.units import Selection

if TYPE_CHECKING:
    from plantain.runs.run import Run

VERSION = 4
"""Of the statistics: raise it when a number changes, so that cached results are computed anew."""

N_FLIPS = 10_000  # for the family-wise p

N_BOOTSTRAP = 2000

N_NULL_R = 100  # flips for the reliability's reference

NULL_SPLITS = 20

MAX_EXACT = stats.MAX_PAIRS

N_FLIPS_P = 99_999  # for a unit's own p above that; of 16,320 units four need the smallest p before a q can be .05

_STREAM_P = 8  # of the run's seed, for these flips; 0 to 4 are the other draws', 5 to 7 those of findings

COLUMNS = ("p_exact", "p_fwer", "q_bh", "q_by", "g", "d_low", "d_high", "percent")

DRAWN_COLUMNS = ("p_flips", "p_flips_error")  # after the others, where there are too many pairs for `p_exact`

STATISTICS = "statistics"  # their folder in that of a run

_HEADER = 1 << 20  # bytes that a file may hold beside its columns

_NULL_R: WeakKeyDictionary[Analysis, dict[bytes, np.ndarray]] = WeakKeyDictionary()  # by the halves

_ONE_AT_A_TIME = threading.Lock()  # seconds on all cores

Interval = tuple[float | None, float | None]
"""None is an end that does not exist, as of few flips' 99th percentile."""


@dataclass(frozen=True)
class ThresholdFacts:
    """What the null says of the count of units over a threshold.

    Attributes
    ----------
    p : float
        Of the count, against those under sign flips.
    null_median : float
    null_max : int
    null_p99_interval : Interval
        95%, of the null's 99th percentile.
    count_interval, count_jackknife : Interval
        95%, of the count in a new sample, by wild bootstrap and by jackknife.
    """

    p: float
    null_median: float
    null_max: int
    null_p99_interval: Interval
    count_interval: Interval
    count_jackknife: Interval


@dataclass(frozen=True)
class Reliability:
    """How far the map of t would come again in other pairs.

    Attributes
    ----------
    spearman_brown : float or None
        The median split-half r, stepped up to all pairs.
    null_median, null_p95 : float or None
        Of the median r of sign-flipped data.
    n_flips : int
        Flips whose r exists.
    stratified : SplitHalf
        With each category split as evenly as possible.
    uncentred : SplitHalf
        The agreement of the halves with what all units share counted in (`stats.cosine`).
    """

    spearman_brown: float | None
    null_median: float | None
    null_p95: float | None
    n_flips: int
    stratified: SplitHalf
    uncentred: SplitHalf


@dataclass(frozen=True)
class Gain:
    """Whether all units rise together: log magnitudes, with and without their block's mean.

    Attributes
    ----------
    gain_share, mean_share, first_share, participation : float or None
        As in `stats.Dimension`; None where all differences are zero.
    counts_without_block_mean : dict of int to int
        Per threshold the units over it once their block's mean is subtracted.
    """

    gain_share: float | None
    mean_share: float | None
    first_share: float | None
    participation: float | None
    counts_without_block_mean: dict[int, int]


@dataclass(frozen=True)
class InferenceFacts:
    """What the slower statistics say of all units together.

    Attributes
    ----------
    n_flips : int
        Sign flips of the family-wise p.
    thresholds : dict of int to ThresholdFacts
    n_fwer_05, n_bh_05, n_by_05 : int or None
        Units with a family-wise p or a q value of at most .05; None where no unit has one. q is of the exact p, and
        above `MAX_EXACT` pairs of that of drawn flips.
    reliability : Reliability
    gain : Gain or None
        None where a magnitude is zero and has no logarithm.
    """

    n_flips: int
    thresholds: dict[int, ThresholdFacts]
    n_fwer_05: int | None
    n_bh_05: int | None
    n_by_05: int | None
    reliability: Reliability
    gain: Gain | None


@dataclass(frozen=True, eq=False)
class Inference:
    """Statistics of every unit, and facts about all of them.

    Attributes
    ----------
    columns : dict of str to float64 array (n_units,)
        ``p_exact`` (two-sided sign-flip p), ``p_fwer`` (max-|t|), ``q_bh``, ``q_by``, ``g`` (Hedges), ``d_low`` and
        ``d_high`` (95% interval of d_z), ``percent`` (mean difference in percent of the unit's magnitude). Above
        `MAX_EXACT` pairs also ``p_flips``, the p of up to `N_FLIPS_P` drawn flips in place of the exact one, and
        ``p_flips_error``, its standard error. NaN where a value does not exist.
    facts : InferenceFacts
    """

    columns: dict[str, np.ndarray]
    facts: InferenceFacts


def columns_of(n_pairs: int) -> tuple[str, ...]:
    """Return the columns of `Inference` for a number of pairs."""
    return COLUMNS if n_pairs <= MAX_EXACT else COLUMNS + DRAWN_COLUMNS


def unit_p(diffs: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the sign-flip p of each unit for itself: the exact one, or of drawn flips where there are too many pairs.

    Parameters
    ----------
    diffs : float array (n_pairs, n_units)
        A unit's p does not depend on which other units are here.
    seed : int
        The run's.

    Returns
    -------
    p, error : float64 arrays (n_units,)
        `error` is the standard error of a p of drawn flips; 0 where it is exact.
    """
    if len(diffs) <= MAX_EXACT:
        p = stats.exact_sign_flip_p(diffs)
        return p, np.zeros_like(p)
    return stats.sign_flip_p(diffs, N_FLIPS_P, rng=_rng(seed, _STREAM_P))


def finite_ends(interval: tuple[float, float]) -> Interval:
    """Return an interval whose ends are numbers or None; see `analysis.finite`."""
    return finite(interval[0]), finite(interval[1])


def cached_inference(run: Run, selection: Selection) -> Inference:
    """Return a run's slower statistics for one choice: from memory, from the run's folder, or computed.

    Parameters
    ----------
    run : Run
    selection : Selection

    Returns
    -------
    Inference
    """

    def read_or_computed() -> Inference:
        with _ONE_AT_A_TIME:
            found = read_cached(run.folder, run, selection) if run.folder else None
            if found is None:
                found = infer(run.analysis(selection), run.halves, run.info.seed, run.categories)
                if run.folder:
                    write_cached(run.folder, run, selection, found)
            return found

    return once(run.inferences, selection, read_or_computed)


def write_cached(folder: Path, run: Run, selection: Selection, inference: Inference) -> None:
    """Write statistics into a run's folder; a folder that cannot be written costs time, not the answer."""
    path = _path(folder, selection)
    facts = plain(inference.facts)
    # One metadata key: several would be written in an order that changes from run to run.
    digest = _digest(inference.columns, facts)
    text = json.dumps({"key": cache_key(run, selection), "facts": facts, "sha256": digest}, allow_nan=False)
    columns = {name: np.ascontiguousarray(values) for name, values in inference.columns.items()}
    content = safetensors.numpy.save(columns, metadata={"statistics": text})
    with suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        write_atomic(path, content)


def read_cached(folder: Path, run: Run, selection: Selection) -> Inference | None:
    """Read the statistics of a choice from a run's folder; None where there are none that belong to it."""
    path, n_units = _path(folder, selection), run.analysis(selection).table.n_units
    names = columns_of(len(run.pairs))
    try:
        if not _is_plain(path, 8 * n_units * len(names) + _HEADER):
            return None
        with safe_open(path, "np") as file:
            content = json.loads(file.metadata()["statistics"])
            columns = {name: file.get_tensor(name) for name in names}
        if content["key"] != cache_key(run, selection) or content["sha256"] != _digest(columns, content["facts"]):
            return None
        facts = strict_record(InferenceFacts, content["facts"], "facts")
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        return None
    fits = all(c.shape == (n_units,) and c.dtype == np.float64 for c in columns.values())
    return Inference(columns, facts) if fits else None


def cache_key(run: Run, selection: Selection) -> dict[str, Any]:
    """Return what cached statistics must have been computed from to be this run's."""
    drawn = {"n_flips_p": N_FLIPS_P, "stream_p": _STREAM_P} if len(run.pairs) > MAX_EXACT else {}
    return {
        "capture": run.capture_sha256,
        "categories": run.categories,
        **vars(selection),
        "version": VERSION,
        "n_flips": N_FLIPS,
        "n_bootstrap": N_BOOTSTRAP,
        "n_null_r": N_NULL_R,
        "null_splits": NULL_SPLITS,
        **drawn,
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
    facts = InferenceFacts(
        n_flips=N_FLIPS,
        thresholds={t: _threshold_facts(analysis, i, seed) for i, t in enumerate(THRESHOLDS)},
        n_fwer_05=_count_below(columns["p_fwer"], 0.05),
        n_bh_05=_count_below(columns["q_bh"], 0.05),
        n_by_05=_count_below(columns["q_by"], 0.05),
        reliability=_reliability(analysis, halves, seed, categories),
        gain=_gain(analysis),
    )
    return Inference(columns, facts)


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
        As `stats.split_half_null`; seconds at full size, once.
    """
    a = analysis

    def compute() -> np.ndarray:
        found = stats.split_half_null(a.differences[:, a.tested], a.null.signs[:N_NULL_R], halves[:NULL_SPLITS])
        found.flags.writeable = False  # of everybody
        return found

    return once(_NULL_R.setdefault(a, {}), halves[:NULL_SPLITS].tobytes(), compute)


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


def _columns(a: Analysis, seed: int) -> dict[str, np.ndarray]:
    n, diffs = len(a.differences), a.differences
    p, error = (np.where(a.tested, values, np.nan) for values in unit_p(diffs, seed))
    q = stats.fdr(p)
    exact, drawn = (p, ()) if n <= MAX_EXACT else (np.full_like(p, np.nan), (p, error))
    low, high = stats.dz_interval(a.dz, n)
    with np.errstate(invalid="ignore", divide="ignore"):  # a unit that is always zero has no percentage
        percent = 100 * diffs.mean(axis=0) / a.magnitudes.mean(axis=(0, 1))
    family_wise = stats.max_t_p(diffs, N_FLIPS, rng=_rng(seed, 2))
    columns = (exact, family_wise, q.bh, q.by, stats.hedges_g(a.dz, n), low, high, percent, *drawn)
    return dict(zip(columns_of(n), columns, strict=True))


def _rng(seed: int, stream: int) -> np.random.Generator:
    return np.random.default_rng((seed, stream))  # 0 and 1 are the run's signs and halves


def _count_below(p: np.ndarray, level: float) -> int | None:
    """Count p values at or below a level; None where there is none at all."""
    return None if np.isnan(p).all() else int(np.count_nonzero(p <= level))


def _threshold_facts(a: Analysis, row: int, seed: int) -> ThresholdFacts:
    threshold, counts = THRESHOLDS[row], a.null.counts[row]
    diffs = a.differences[:, a.tested]
    observed = int(np.count_nonzero(np.abs(a.t[a.tested]) > threshold))
    return ThresholdFacts(
        p=stats.count_p(observed, counts),
        null_median=float(np.median(counts)),
        null_max=int(counts.max()),
        null_p99_interval=finite_ends(stats.quantile_interval(counts, 0.99)),
        count_interval=finite_ends(stats.count_interval(diffs, threshold, N_BOOTSTRAP, rng=_rng(seed, 3))),
        count_jackknife=finite_ends(stats.count_jackknife(diffs, threshold)),
    )


def _reliability(a: Analysis, halves: np.ndarray, seed: int, categories: Sequence[str]) -> Reliability:
    stratified = stats.draw_halves(len(halves), len(a.differences), _rng(seed, 4), categories)
    null = null_reliability(a, halves)
    null = null[np.isfinite(null)]
    known = a.split_r[np.isfinite(a.split_r)]
    median = float(np.median(known)) if len(known) else math.nan
    return Reliability(
        spearman_brown=finite(stats.spearman_brown(median)),
        null_median=finite(np.median(null)) if len(null) else None,
        null_p95=stats.quantile_above(null, 0.95) if len(null) else None,
        n_flips=len(null),
        stratified=summarize_splits(stats.split_half(a.differences[:, a.tested], halves=stratified)),
        uncentred=summarize_splits(stats.split_half(a.differences[:, a.tested], halves=halves, centred=False)),
    )


def _gain(a: Analysis) -> Gain | None:
    if not (a.magnitudes > 0).all():
        return None
    logs = np.log(a.magnitudes[0]) - np.log(a.magnitudes[1])  # (n_pairs, n_units)
    t = stats.paired_t(without_block_means(logs, a.table.block))
    shares = {name: finite(value) for name, value in vars(stats.dimension(logs)).items()}
    return Gain(**shares, counts_without_block_mean={c: int(np.count_nonzero(np.abs(t) > c)) for c in THRESHOLDS})


def _is_plain(path: Path, largest: int) -> bool:
    """Tell whether this is a file of the folder and no larger than it can be; a pipe would be waited for."""
    if path.is_symlink() or path.parent.is_symlink() or not path.is_file():
        return False
    return path.stat().st_size <= largest


def _digest(columns: dict[str, np.ndarray], facts: dict[str, Any]) -> str:
    """Hash what is kept, so that a damaged number is not taken for one that was computed."""
    found = hashlib.sha256(json.dumps(facts, allow_nan=False).encode())
    for values in columns.values():  # in the order of `columns_of`
        found.update(np.ascontiguousarray(values).tobytes())
    return found.hexdigest()


def _path(folder: Path, selection: Selection) -> Path:
    return folder / STATISTICS / f"{selection.units}-{selection.scope}.safetensors"
