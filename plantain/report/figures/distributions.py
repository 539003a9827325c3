"""Distributions under sign flips, with the run's own figure in them.

`null_histogram`   counts over a threshold
`split_histogram`  split-half correlations beside those of flipped data
"""

from __future__ import annotations

import numpy as np

from plantain.report.figures.svg import svg, text
from plantain.runs.analysis import THRESHOLDS, Analysis
from plantain.stats import quantile_above

_LEAST_BARS, _MOST_BARS = 10, 40


def null_histogram(analysis: Analysis, row: int, title: str) -> str:
    """Draw how many units are over a threshold under the sign flips, and how many are in the run.

    Parameters
    ----------
    analysis : Analysis
    row : int
        Of `analysis.THRESHOLDS`.
    title : str
        What the figure shows, for screen readers.

    Returns
    -------
    str
        SVG; every bar has its counts as a tooltip.
    """
    counts = analysis.null.counts[row]
    observed = int(np.count_nonzero(np.abs(analysis.t[analysis.tested]) > THRESHOLDS[row]))
    p99 = int(quantile_above(counts, 0.99))
    reach = max(observed, int(counts.max())) + 1
    step = -(-reach // _MOST_BARS)  # units a bar
    bars = max(_LEAST_BARS, -(-reach // step))
    heights = np.bincount(counts // step, minlength=bars)
    left, top, width, plot = 4, 34, 296, 110
    bar, bottom = (width - 2 * left) / bars, top + plot
    parts = [
        f'<g><title>{n} of {len(counts)} flips: {_span(i, step)} units</title><rect x="{left + i * bar:.1f}" '
        f'y="{bottom - max(1.0, plot * n / heights.max()):.1f}" width="{bar - 0.6:.1f}" '
        f'height="{max(1.0, plot * n / heights.max()):.1f}" class="pl-bar"/></g>'
        for i, n in enumerate(heights.tolist())
        if n
    ]
    parts.append(f'<line x1="{left}" y1="{bottom}" x2="{width - left}" y2="{bottom}" class="pl-axis"/>')
    for value, name, y, mark in ((p99, "99% of flips", top - 6, "pl-limit"), (observed, "this run", 12, "pl-observed")):
        x = left + (value / step + (0.5 if step == 1 else 0)) * bar  # a bar of one number has it in its middle
        # On the side away from the other line, unless there is no room.
        right = x < width / 3 or (value >= max(observed, p99) and x < width * 2 / 3)
        anchor = "start" if right else "end"
        parts.append(f'<line x1="{x:.1f}" y1="{y + 4}" x2="{x:.1f}" y2="{bottom}" class="{mark}"/>')
        parts.append(text(x + (4 if right else -4), y, f"{name}: {value:,}", anchor))
    parts.append(text(left, bottom + 16, "0", "start"))
    parts.append(text(width - left, bottom + 16, f"{bars * step - 1:,} units over |t| > {THRESHOLDS[row]:g}", "end"))
    return svg(width, bottom + 24, title, parts)


def _span(i: int, step: int) -> str:
    return f"{i * step:,}" if step == 1 else f"{i * step:,} to {(i + 1) * step - 1:,}"


def split_histogram(split_r: np.ndarray, null: np.ndarray, title: str) -> str:
    """Draw the run's split-half correlations above, and below what sign-flipped data give.

    Parameters
    ----------
    split_r : float array (n_splits,)
        Of the run, one per split.
    null : float array (n_flips,)
        Of flipped data, the median over splits per flip.
    title : str
        What the figure shows, for screen readers.

    Returns
    -------
    str
        SVG; two rows over one axis from -1 to 1, or narrower where all values fit.
    """
    known, flipped = split_r[np.isfinite(split_r)], null[np.isfinite(null)]
    reach = min(1.0, 1.1 * max([0.1, *np.abs(known), *np.abs(flipped)]))
    left, plot, tall = 4, 296, 60
    parts = []
    for top, values, words, look in (
        (20, known, "this run, a split each", "pl-bar pl-mine"),
        (106, flipped, "flipped data", "pl-bar"),
    ):
        parts.append(text(left, top - 6, f"{words} ({len(values)})", "start"))
        parts += _bars(values, reach, (left, top, plot, tall), look)
        if len(values):
            x = left + plot * (float(np.median(values)) + reach) / (2 * reach)
            parts.append(f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{top + tall}" class="pl-observed"/>')
            anchor = "end" if x > left + plot * 0.6 else "start"
            parts.append(text(x + (-5 if anchor == "end" else 5), top + 8, f"median {np.median(values):.3f}", anchor))
    bottom = 106 + tall
    for value in (-reach, 0.0, reach):
        x = left + plot * (value + reach) / (2 * reach)
        parts.append(
            text(
                x,
                bottom + 16,
                f"{value:.2g}" if value else "r = 0",
                "start" if value < 0 else "end" if value else "middle",
            )
        )
    return svg(left + plot + 4, bottom + 24, title, parts)


def _bars(values: np.ndarray, reach: float, box: tuple[int, int, int, int], look: str) -> list[str]:
    left, top, plot, tall = box
    heights, edges = np.histogram(values, bins=40, range=(-reach, reach))
    most, wide = max(1, int(heights.max())), plot / len(heights)
    drawn = [
        f'<g><title>{n} between {edges[i]:+.3f} and {edges[i + 1]:+.3f}</title><rect x="{left + i * wide:.1f}" '
        f'y="{top + tall - tall * n / most:.1f}" width="{wide - 0.6:.1f}" height="{tall * n / most:.1f}" '
        f'class="{look}"/></g>'
        for i, n in enumerate(heights.tolist())
        if n
    ]
    return [*drawn, f'<line x1="{left}" y1="{top + tall}" x2="{left + plot}" y2="{top + tall}" class="pl-axis"/>']
