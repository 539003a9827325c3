"""Figures as inline SVG that follow the page's light or dark theme. Knows nothing about where they are shown.

`heat_map`        signed t of every head (or MLP group), block by block
`null_histogram`  counts over a threshold under sign flips, with the observed one
`score_dots`      every pair's score against the others, by category
`pair_dots`       a visitor's pair among the run's differences, on the top units

Colours: orange where the positive side is stronger, blue where the negative side is; the pair stays apart for
all common kinds of colour blindness. Strength is opacity, so zero is the page's own background.
"""

from __future__ import annotations

from html import escape

import numpy as np

from plantain.analysis import THRESHOLDS, Analysis
from plantain.breakdown import PairPart
from plantain.pairs import PairResult, UnitScore
from plantain.stats import quantile_above

POSITIVE, NEGATIVE = "#d9690f", "#2f78c4"
_CELL_H, _LEFT, _TOP = 18, 78, 26
_PLOT_W, _MIN_CELL_W, _MAX_CELL_W = 460, 17, 48
_LEAST_BARS, _MOST_BARS = 10, 40


def heat_map(analysis: Analysis, title: str) -> str:
    """Draw t of every unit, one row a block, as an SVG element.

    Parameters
    ----------
    analysis : Analysis
        Of units that come in rows of a width that can be drawn: ``heads``, ``text-heads`` or ``mlp``.
    title : str
        What the figure shows, for screen readers.

    Returns
    -------
    str
        SVG; every cell has its unit and t as a tooltip. Degenerate units are hatched with a cross.
    """
    table, blocks = analysis.table, list(dict.fromkeys(analysis.table.block.tolist()))
    columns = max(int(np.count_nonzero(table.block == b)) for b in blocks)
    limit = max(5.0, float(np.nanmax(np.abs(analysis.t), initial=0.0)))
    cell = min(max(_PLOT_W / columns, _MIN_CELL_W), _MAX_CELL_W)
    width, height = max(_LEFT + columns * cell, 250) + 10, _TOP + len(blocks) * _CELL_H + 46
    parts = [_text(_LEFT + (i + 0.5) * cell, _TOP - 8, str(i), "middle") for i in _labelled(columns, cell)]
    names = table.names
    for row, block in enumerate(blocks):
        y = _TOP + row * _CELL_H
        parts.append(_text(_LEFT - 8, y + _CELL_H - 5, block, "end"))
        for column, unit in enumerate(np.flatnonzero(table.block == block)):
            parts.append(_cell(_LEFT + column * cell, y, cell, float(analysis.t[unit]), limit, names[unit]))
    parts.append(_legend(4, height - 26, limit))
    return _svg(width, height, title, parts)


def _labelled(columns: int, cell: float) -> range:
    return range(0, columns, 1 if cell >= 18 else 4)


def _cell(x: float, y: float, width: float, t: float, limit: float, name: str) -> str:
    box = f'x="{x + 1:.1f}" y="{y + 1}" width="{width - 2:.1f}" height="{_CELL_H - 2}" rx="2"'
    if np.isnan(t):
        return f'<g><title>{escape(name)}: degenerate, left out</title><rect {box} class="pl-none"/></g>'
    colour, strength = (POSITIVE if t > 0 else NEGATIVE), min(abs(t) / limit, 1.0)
    return (
        f'<g><title>{escape(name)}: t = {t:+.2f}</title><rect {box} class="pl-frame"/>'
        f'<rect {box} fill="{colour}" fill-opacity="{strength:.3f}"/></g>'
    )


def _legend(x: float, y: float, limit: float) -> str:
    start, width = x + 62, 7
    boxes = [
        f'<rect x="{start + i * width}" y="{y}" width="{width}" height="12" fill="{POSITIVE if s > 0 else NEGATIVE}" '
        f'fill-opacity="{abs(s):.2f}"/>'
        for i, s in enumerate(np.linspace(-1, 1, 21))
    ]
    end = start + 21 * width
    labels = _text(start - 6, y + 11, f"t: −{limit:.1f}", "end") + _text(end + 6, y + 11, f"+{limit:.1f}", "start")
    return "".join(boxes) + labels


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
        parts.append(_text(x + (4 if right else -4), y, f"{name}: {value:,}", anchor))
    parts.append(_text(left, bottom + 16, "0", "start"))
    parts.append(_text(width - left, bottom + 16, f"{bars * step - 1:,} units over |t| > {THRESHOLDS[row]:g}", "end"))
    return _svg(width, bottom + 24, title, parts)


def _span(i: int, step: int) -> str:
    return f"{i * step:,}" if step == 1 else f"{i * step:,} to {(i + 1) * step - 1:,}"


def score_dots(parts: list[PairPart], title: str) -> str:
    """Draw how far every pair goes the way of the others, a row a category; the bar is the category's mean."""
    categories = list(dict.fromkeys(part.category for part in parts))
    reach = max([1.0, *(abs(part.score) for part in parts)]) * 1.05
    left, plot, step = 6, 284, 42  # as wide as a phone shows: the name stands above its row
    bottom = 14 + step * len(categories)

    def x_of(value: float) -> float:
        return left + plot * (value + reach) / (2 * reach)

    drawn = [f'<line x1="{x_of(0):.1f}" y1="14" x2="{x_of(0):.1f}" y2="{bottom}" class="pl-axis"/>']
    for row, category in enumerate(categories):
        y, mine = 40 + row * step, [part for part in parts if part.category == category]
        x = x_of(float(np.mean([part.score for part in mine])))
        drawn.append(_text(left, y - 14, category if len(category) < 45 else category[:43] + " …", "start"))
        drawn.append(f'<line x1="{x:.1f}" y1="{y - 9}" x2="{x:.1f}" y2="{y + 9}" class="pl-observed"/>')
        drawn += [_pair_dot(x_of(part.score), y, part) for part in mine]
    drawn.append(_text(x_of(0), bottom + 16, "0", "middle"))
    drawn.append(_text(left, bottom + 32, "← against the others", "start"))
    drawn.append(_text(left + plot, bottom + 32, "with the others, in SDs →", "end"))
    return _svg(left + plot + 6, bottom + 40, title, drawn)


def _pair_dot(x: float, y: float, part: PairPart) -> str:
    words = f"{part.id}: score {part.score:+.2f}, size {part.size:.2f}"
    return f'<g><title>{escape(words)}</title><circle cx="{x:.1f}" cy="{y}" r="5" class="pl-dot"/></g>'


def pair_dots(result: PairResult, title: str) -> str:
    """Draw the new pair among the run's pairs on the top units, in SDs of the run's differences.

    The sign of each unit's t is taken out, so that right is always where the run's pairs point. The band is where one
    more pair of the run's kind would fall in 95% of cases.
    """
    units = [u for u in result.top if np.std(u.differences) > 0]
    rows = [(u.unit, *_standardised(u)) for u in units]
    reach = max([3.0, *(float(np.abs(np.concatenate([d, [n], band])).max()) for _, d, n, band in rows)])
    left, plot, step = 150, 430, 26
    width, height = left + plot + 20, 34 + step * len(rows) + 44

    def x_of(value: float) -> float:
        return left + plot * (value + reach) / (2 * reach)

    bottom = 30 + step * len(rows)
    parts = [f'<line x1="{x_of(0):.1f}" y1="24" x2="{x_of(0):.1f}" y2="{bottom}" class="pl-axis"/>']
    for i, (unit, differences, new, band) in enumerate(rows):
        y = 40 + i * step
        if len(band):
            low, high = sorted(x_of(end) for end in band)
            parts.append(f'<rect x="{low:.1f}" y="{y - 7}" width="{high - low:.1f}" height="14" class="pl-band"/>')
        parts.append(_text(left - 10, y + 4, unit, "end"))
        parts += [f'<circle cx="{x_of(d):.1f}" cy="{y}" r="3.5" class="pl-dot"/>' for d in differences]
        parts.append(_diamond(x_of(new), y, f"{unit}: your pair {new:+.2f} SD"))
    parts.append(_text(x_of(0), bottom + 16, "0", "middle"))
    parts.append(_text(left, bottom + 34, "← against the run's pairs", "start"))
    parts.append(_text(left + plot, bottom + 34, "with the run's pairs, in SDs →", "end"))
    legend = "◆ your pair   ● the run's pairs (they chose these units)   ▬ 95% of such pairs"
    parts.append(_text(left, 14, legend, "start"))
    return _svg(width, height, title, parts)


def _standardised(unit: UnitScore) -> tuple[np.ndarray, float, np.ndarray]:
    """Return differences, the new one and the interval's ends (none, or two) in SDs, right where t points."""
    scale = np.sign(unit.t) / np.std(unit.differences, ddof=1)
    return np.array(unit.differences) * scale, unit.new * scale, np.array(unit.interval or ()) * scale


def _diamond(x: float, y: float, tooltip: str) -> str:
    points = f"{x:.1f},{y - 8} {x + 8:.1f},{y} {x:.1f},{y + 8} {x - 8:.1f},{y}"
    return f'<g><title>{escape(tooltip)}</title><polygon points="{points}" fill="{POSITIVE}" class="pl-new"/></g>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="pl-text">{escape(text)}</text>'


def _svg(width: float, height: float, title: str, parts: list[str]) -> str:
    return (
        f'<svg class="pl-svg" role="img" aria-label="{escape(title, quote=True)}" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )
