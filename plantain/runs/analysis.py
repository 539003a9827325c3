"""One choice of units and scope, put through the statistics. Knows nothing about files, models or pages.

`Analysis`   everything that a page, a report or a table shows of a run
`analyze`    sums of squares, signs and halves -> `Analysis`
`summarize`  the figures of the card's results section, as plain numbers for JSON
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from plantain import stats
from plantain.runs.capture import SumsOfSquares
from plantain.runs.units import Layout, UnitTable, magnitudes, unit_table

THRESHOLDS = (3.0, 5.0)

LARGE_EFFECT = 0.8

TOP_BLOCKS = 5


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
        order = np.argsort(-np.nan_to_num(np.abs(self.t), nan=-1.0), kind="stable")
        return order[: int(self.tested.sum())]


def analyze(
    sums: SumsOfSquares,
    layout: Layout,
    signs: np.ndarray,
    halves: np.ndarray,
    units: str = "card",
    scope: str = "all",
) -> Analysis:
    """Run the card's statistics, replaying stored signs and halves.

    Parameters
    ----------
    sums : SumsOfSquares
    layout : Layout
    signs : int8 array (n_permutations, n_pairs)
    halves : bool array (n_splits, n_pairs)
    units, scope : str
        As for `units.magnitudes`.

    Returns
    -------
    Analysis

    Raises
    ------
    ValueError
        As `units.magnitudes` and the functions of `stats`.
    """
    values = magnitudes(sums, layout, units, scope)
    diffs = stats.paired_differences(*values)
    tested = ~stats.is_degenerate(diffs)
    return Analysis(
        table=unit_table(layout, units, scope),
        magnitudes=values,
        differences=diffs,
        t=stats.paired_t(diffs),
        dz=stats.cohens_dz(diffs),
        null=stats.sign_flip_null(diffs[:, tested], signs=signs, thresholds=THRESHOLDS),
        split_r=stats.split_half(diffs[:, tested], halves=halves),
    )


def summarize(analysis: Analysis) -> dict[str, Any]:
    """Return the figures of the card's results section; every value is JSON, never NaN or infinity.

    Returns
    -------
    dict
        ``units, scope, n_units, n_pairs, thresholds, large_effect, split_half, max_abs_t, top_blocks,
        degenerate_units``. ``n_units`` and all percentages leave degenerate units out. ``null_p99`` is the
        99th percentile over the sign flips (``method="higher"``); ``ratio`` is null when it is zero.
    """
    a, tested = analysis, analysis.tested
    abs_t, n_units = np.abs(a.t[tested]), int(tested.sum())
    large = int(np.count_nonzero(np.abs(a.dz[tested]) > LARGE_EFFECT))
    names = a.table.names
    return {
        "units": a.table.units,
        "scope": a.table.scope,
        "n_units": n_units,
        "n_pairs": len(a.differences),
        "thresholds": {
            threshold_name(threshold): _threshold(int(np.count_nonzero(abs_t > threshold)), counts, n_units)
            for threshold, counts in zip(a.null.thresholds, a.null.counts, strict=True)
        },
        "large_effect": {"threshold": LARGE_EFFECT, "count": large, "percent": _percent(large, n_units)},
        "split_half": split_half_facts(a.split_r),
        "max_abs_t": float(abs_t.max(initial=0.0)),
        "top_blocks": blocks(a)[:TOP_BLOCKS],
        "degenerate_units": [names[i] for i in np.flatnonzero(~tested)],
    }


def blocks(analysis: Analysis) -> list[dict[str, Any]]:
    """Return the card's columns for every block, by falling max |t|."""
    a = analysis
    rows = []
    for block in dict.fromkeys(a.table.block[a.tested].tolist()):
        mine = (a.table.block == block) & a.tested
        abs_t = np.abs(a.t[mine])
        rows.append(
            {
                "block": block,
                "max_abs_t": float(abs_t.max()),
                "n_over_3": int(np.count_nonzero(abs_t > 3)),
                "n_units": int(mine.sum()),
                "median_abs_d": float(np.median(np.abs(a.dz[mine]))),
            }
        )
    return sorted(rows, key=lambda row: -row["max_abs_t"])


def threshold_name(threshold: float) -> str:
    """Write a threshold as it stands in JSON: ``3``, ``5``."""
    return f"{threshold:g}"


def _threshold(count: int, null_counts: np.ndarray, n_units: int) -> dict[str, Any]:
    p99 = int(stats.quantile_above(null_counts, 0.99))
    return {
        "count": count,
        "percent": _percent(count, n_units),
        "null_p99": p99,
        "ratio": count / p99 if p99 else None,
    }


def split_half_facts(r: np.ndarray) -> dict[str, Any]:
    """Summarize split-half correlations for JSON: median and quartiles over the splits whose r exists."""
    known = r[np.isfinite(r)]
    q25, median, q75 = np.quantile(known, (0.25, 0.5, 0.75)) if len(known) else (math.nan,) * 3
    return {"median": _number(median), "q25": _number(q25), "q75": _number(q75), "n_splits": len(known)}


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _percent(count: int, total: int) -> float:
    return 100.0 * count / total if total else 0.0
