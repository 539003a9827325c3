"""Distributions under sign flips, with the run's own number in them."""

from __future__ import annotations

import numpy as np

from plantain.report.figures import svg
from plantain.report.numbers import minus
from plantain.runs.analysis import THRESHOLDS, Analysis
from plantain.stats import quantile_above

_LEAST_BARS, _MOST_BARS = 10, 40

_LEAST_COUNT = 2.0  # that an axis of counts reaches: it has three ticks at least

_LOWEST = 110  # pixels that a plot is high at least

_LEFT, _MARGIN = 44, 14  # of the plot: counts stand on its left


def null_histogram(analysis: Analysis, row: int, width: float) -> svg.Drawing:
    """Draw how many units are over a threshold under the sign flips, and how many are in the run.

    Parameters
    ----------
    analysis : Analysis
    row : int
        Of `analysis.THRESHOLDS`.
    width : float
    """
    counts = analysis.null.counts[row]
    observed = int(np.count_nonzero(np.abs(analysis.t[analysis.tested]) > THRESHOLDS[row]))
    p99 = int(quantile_above(counts, 0.99))
    right, reach = width - _MARGIN, max(observed, int(counts.max())) + 1
    step = -(-reach // _MOST_BARS)  # units a bar
    n_bars = max(_LEAST_BARS, -(-reach // step))
    heights = np.bincount(counts // step, minlength=n_bars)
    marks, top = svg.legend(
        [("line", "pl-observed", f"this run: {observed:,}"), ("line", "pl-limit", f"99% of flips: {p99:,}")], 0, width
    )
    top, bottom = top + 20, top + 20 + max(_LOWEST, 0.28 * width)
    # A whole number n fills its axis from n - 1/2 to n + 1/2.
    x = svg.Scale(-0.5, n_bars * step - 0.5, _LEFT, right, whole=True)
    y = svg.Scale(0, max(_LEAST_COUNT, float(heights.max())), bottom, top, whole=True)
    spans = [f"{i:,}" if step == 1 else f"{i:,} to {i + step - 1:,}" for i in range(0, n_bars * step, step)]
    tips = [f"{n} of {len(counts)} flips: {span} units" for n, span in zip(heights.tolist(), spans, strict=True)]
    marks += [svg.text(0, top - 8, "sign flips"), *svg.y_axis(y, _LEFT, right)]
    marks += _bars(heights, np.arange(n_bars + 1) * step - 0.5, (x, y), "pl-bar", tips)
    marks += [svg.line(x(v), top, x(v), bottom, look) for v, look in ((p99, "pl-limit"), (observed, "pl-observed"))]
    marks += svg.x_axis(x, bottom, f"units over |t| > {THRESHOLDS[row]:g}")
    return svg.Drawing(width, bottom + 40, marks)


def _bars(
    heights: np.ndarray, edges: np.ndarray, scales: tuple[svg.Scale, svg.Scale], look: str, tips: list[str]
) -> list[str]:
    """Draw a bar for every number that is not zero, a pixel high at least."""
    x, y = scales
    drawn = []
    for i in np.flatnonzero(heights).tolist():
        left, right, top = x(edges[i]), x(edges[i + 1]), min(y(heights[i]), y(0) - 1)
        drawn.append(svg.box(left, top, right - left - 0.6, y(0) - top, look, tips[i]))
    return drawn


def split_histogram(split_r: np.ndarray, null: np.ndarray, width: float) -> svg.Drawing:
    """Draw the run's split-half correlations above, and below what sign-flipped data give.

    Parameters
    ----------
    split_r : float array (n_splits,)
        Of the run, one per split.
    null : float array (n_flips,)
        Of flipped data, the median over splits per flip.
    width : float

    Returns
    -------
    svg.Drawing
        Two rows over one axis from -1 to 1, or narrower where all values fit.
    """
    known, flipped = split_r[np.isfinite(split_r)], null[np.isfinite(null)]
    reach = min(1.0, 1.1 * max([0.1, *np.abs(known), *np.abs(flipped)]))
    right = width - _MARGIN
    x = svg.Scale(-reach, reach, _LEFT, right)
    marks, bottom = [], 0
    for values, words, look in ((known, "this run, a split each", "pl-mine"), (flipped, "flipped data", "pl-bar")):
        top, bottom = bottom + 30, bottom + 30 + max(64, 0.14 * width)
        heights, edges = np.histogram(values, bins=40, range=(-reach, reach))
        y = svg.Scale(0, max(_LEAST_COUNT, float(heights.max())), bottom, top, whole=True)
        tips = [
            f"{n} between {low:+.3f} and {high:+.3f}"
            for n, low, high in zip(heights, edges[:-1], edges[1:], strict=True)
        ]
        marks += [svg.text(0, top - 9, f"{words} ({len(values)})"), *svg.y_axis(y, _LEFT, right)]
        marks += _bars(heights, edges, (x, y), look, tips)
        marks.append(svg.line(_LEFT, bottom, right, bottom, "pl-axis"))
        if len(values):
            median = float(np.median(values))
            marks.append(svg.line(x(median), top, x(median), bottom, "pl-median"))
            marks.append(svg.text(width, top - 9, minus(f"median {median:.3f}"), "end"))
    return svg.Drawing(width, bottom + 40, [*marks, *svg.x_axis(x, bottom, "r of the two halves")])
