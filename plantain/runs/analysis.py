"""The model card's statistics of a run, for one choice of units and scope, and the summary of them.

Everything here follows from the sums of squares and the stored draws, and takes well under a second at full size;
`inference` has what takes longer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from plantain import stats
from plantain.runs.capture import SumsOfSquares
from plantain.runs.units import CARD, Layout, Selection, UnitTable, magnitudes, unit_table

THRESHOLDS = (3, 5)

LARGE_EFFECT = 0.8

TOP_BLOCKS = 5

N_DIRECTION_FLIPS = 9_999

DIRECTION_COLUMNS = ("k_direction", "agreement", "p_direction_fwer")


@dataclass(frozen=True, eq=False)
class Analysis:
    """The statistics of a run for one choice of units and scope.

    Attributes
    ----------
    table : UnitTable
        All units, degenerate ones included.
    magnitudes : float64 array (2, n_pairs, n_units)
    differences : float64 array (n_pairs, n_units)
        Positive minus negative.
    t, dz : float64 array (n_units,)
        NaN for degenerate units.
    null : stats.SignFlipNull
        Over the units that are not degenerate.
    split_r : float64 array (n_splits,)
    """

    table: UnitTable
    magnitudes: np.ndarray
    differences: np.ndarray
    t: np.ndarray
    dz: np.ndarray
    null: stats.SignFlipNull
    split_r: np.ndarray

    @cached_property
    def tested(self) -> np.ndarray:
        """Units that take part in counts and null: all but the degenerate ones (bool, (n_units,))."""
        return ~np.isnan(self.t)

    @cached_property
    def rms_percent(self) -> np.ndarray:
        """RMS of the differences in percent of the mean magnitude: their size, whichever way they point (n_units,).

        t grows with how alike the pairs are as well. NaN for a unit that is always zero.
        """
        mean = self.magnitudes.mean(axis=(0, 1))
        return 100 * np.sqrt(np.mean(self.differences**2, axis=0)) / np.where(mean > 0, mean, np.nan)

    @cached_property
    def ranking(self) -> np.ndarray:
        """Indices of the tested units by falling |t|."""
        return ranked(self.t)


def ranked(t: np.ndarray) -> np.ndarray:
    """Return the indices of the units that have a t, by falling |t|; t is a float array (n_units,)."""
    order = np.argsort(-np.nan_to_num(np.abs(t), nan=-1.0), kind="stable")
    return order[: np.count_nonzero(~np.isnan(t))]


def analyze(
    sums: SumsOfSquares,
    layout: Layout,
    signs: np.ndarray,
    halves: np.ndarray,
    selection: Selection = CARD,
) -> Analysis:
    """Run the card's statistics, replaying stored signs and halves.

    Parameters
    ----------
    sums : SumsOfSquares
    layout : Layout
    signs : int8 array (n_permutations, n_pairs)
    halves : bool array (n_splits, n_pairs)
    selection : Selection

    Returns
    -------
    Analysis

    Raises
    ------
    ValueError
        As `units.magnitudes` and the functions of `stats`.
    """
    values = magnitudes(sums, layout, selection)
    diffs = stats.paired_differences(*values)
    tested = ~stats.is_degenerate(diffs)
    return Analysis(
        table=unit_table(layout, selection),
        magnitudes=values,
        differences=diffs,
        t=stats.paired_t(diffs),
        dz=stats.cohens_dz(diffs),
        null=stats.sign_flip_null(diffs[:, tested], signs=signs, thresholds=THRESHOLDS),
        split_r=stats.split_half(diffs[:, tested], halves=halves),
    )


@dataclass(frozen=True, eq=False)
class DirectionAnalysis:
    """What the directions of a run's units say, for one choice of units and scope.

    Attributes
    ----------
    table : UnitTable
    gram : float64 array (n_pairs, n_pairs)
        Cosine of the directions of two pairs (`stats.direction_grams`), summed over units.
    agreement : stats.Agreement
        Of every unit.
    """

    table: UnitTable
    gram: np.ndarray
    agreement: stats.Agreement

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """What a table of units has of it, all (n_units,): pairs told right, agreement and its family-wise p."""
        a = self.agreement
        return dict(zip(DIRECTION_COLUMNS, (a.told, a.mean, a.p_fwer), strict=True))


def analyze_directions(vectors: np.ndarray, table: UnitTable, rng: np.random.Generator) -> DirectionAnalysis:
    """Compare the directions of the pairs in every unit.

    Parameters
    ----------
    vectors : float array (2, n_pairs, n_units, width)
    table : UnitTable
    rng : numpy Generator
        For `N_DIRECTION_FLIPS` sign flips.
    """
    grams = stats.direction_grams(vectors)
    signs = stats.draw_signs(N_DIRECTION_FLIPS, grams.shape[1], rng)
    return DirectionAnalysis(table, grams.sum(axis=0), stats.agreement_test(grams, signs))


@dataclass(frozen=True)
class ThresholdCount:
    """How many units have |t| over a threshold.

    Attributes
    ----------
    count : int
    percent : float
        Of the tested units.
    null_p99 : int
        99th percentile of the count over the sign flips (``method="higher"``).
    ratio : float or None
        Count over `null_p99`; None where that is zero.
    """

    count: int
    percent: float
    null_p99: int
    ratio: float | None


@dataclass(frozen=True)
class LargeEffects:
    """How many units have |d_z| over a threshold, and their percentage of the tested units."""

    threshold: float
    count: int
    percent: float


@dataclass(frozen=True)
class SplitHalf:
    """Median and quartiles of the split-half r over the splits whose r exists; None where none does."""

    median: float | None
    q25: float | None
    q75: float | None
    n_splits: int


@dataclass(frozen=True)
class BlockSummary:
    """The card's columns for one block; `n_units` are its tested units, `median_abs_d` is over them."""

    block: str
    max_abs_t: float
    n_over_3: int
    n_units: int
    median_abs_d: float


@dataclass(frozen=True)
class Summary:
    """The figures of the card's results section. No number is NaN or infinite.

    Attributes
    ----------
    units, scope : str
    n_units : int
        Tested units: all percentages leave degenerate ones out, too.
    n_pairs : int
    thresholds : dict of int to ThresholdCount
        For each of `THRESHOLDS`.
    large_effect : LargeEffects
    split_half : SplitHalf
    max_abs_t : float
    top_blocks : tuple of BlockSummary
        The first `TOP_BLOCKS` by max |t|.
    degenerate_units : tuple of str
        Names of the units that were left out.
    """

    units: str
    scope: str
    n_units: int
    n_pairs: int
    thresholds: dict[int, ThresholdCount]
    large_effect: LargeEffects
    split_half: SplitHalf
    max_abs_t: float
    top_blocks: tuple[BlockSummary, ...]
    degenerate_units: tuple[str, ...]


def summarize(analysis: Analysis) -> Summary:
    """Return the figures of the card's results section."""
    a, tested = analysis, analysis.tested
    abs_t, n_units = np.abs(a.t[tested]), int(tested.sum())
    large = int(np.count_nonzero(np.abs(a.dz[tested]) > LARGE_EFFECT))
    names = a.table.names
    return Summary(
        units=a.table.units,
        scope=a.table.scope,
        n_units=n_units,
        n_pairs=len(a.differences),
        thresholds={
            threshold: _threshold_count(int(np.count_nonzero(abs_t > threshold)), counts, n_units)
            for threshold, counts in zip(THRESHOLDS, a.null.counts, strict=True)
        },
        large_effect=LargeEffects(LARGE_EFFECT, large, _percent(large, n_units)),
        split_half=summarize_splits(a.split_r),
        max_abs_t=float(abs_t.max(initial=0.0)),
        top_blocks=tuple(blocks(a)[:TOP_BLOCKS]),
        degenerate_units=tuple(names[i] for i in np.flatnonzero(~tested)),
    )


def blocks(analysis: Analysis) -> list[BlockSummary]:
    """Summarize every block that has a tested unit, by falling max |t|."""
    a = analysis
    found = []
    for block in dict.fromkeys(a.table.block[a.tested].tolist()):
        mine = (a.table.block == block) & a.tested
        abs_t = np.abs(a.t[mine])
        n_over_3, median_d = int(np.count_nonzero(abs_t > 3)), float(np.median(np.abs(a.dz[mine])))
        found.append(BlockSummary(block, float(abs_t.max()), n_over_3, int(mine.sum()), median_d))
    return sorted(found, key=lambda summary: -summary.max_abs_t)


def summarize_splits(r: np.ndarray) -> SplitHalf:
    """Take median and quartiles of split-half correlations, over the splits whose r exists."""
    known = r[np.isfinite(r)]
    q25, median, q75 = np.quantile(known, (0.25, 0.5, 0.75)) if len(known) else (math.nan,) * 3
    return SplitHalf(finite(median), finite(q25), finite(q75), len(known))


def finite(value: float) -> float | None:
    """Return a number for JSON, which has no NaN and no infinity: None for those."""
    return float(value) if math.isfinite(value) else None


def _threshold_count(count: int, null_counts: np.ndarray, n_units: int) -> ThresholdCount:
    p99 = int(stats.quantile_above(null_counts, 0.99))
    return ThresholdCount(count, _percent(count, n_units), p99, count / p99 if p99 else None)


def _percent(count: int, total: int) -> float:
    return 100.0 * count / total if total else 0.0
