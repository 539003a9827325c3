"""Signed t of every head (or MLP group), block by block.

`heat_map`      a whole figure
`drawn_units`   what a map shows of some units
"""

from __future__ import annotations

from html import escape

import numpy as np

from plantain.report.figures.svg import NEGATIVE, POSITIVE, svg, text
from plantain.runs.analysis import Analysis

PANELS = ("heads", "text-heads", "mlp")  # what a row of a map can show; 768 slices in a row cannot be seen

_CELL_H, _LEFT, _TOP = 18, 78, 26

_PLOT_W, _MIN_CELL_W, _MAX_CELL_W = 460, 17, 48


def drawn_units(units: str) -> str:
    """Return what a map shows of some units: whole heads for slices."""
    return units if units in PANELS else "heads"


def heat_map(analysis: Analysis, title: str, what: str = "t") -> str:
    """Draw a signed number of every unit, one row a block, as an SVG element.

    Parameters
    ----------
    analysis : Analysis
        Of units that come in rows of a width that can be drawn: ``heads``, ``text-heads`` or ``mlp``.
    title : str
        What the figure shows, for screen readers.
    what : str
        What the number is.

    Returns
    -------
    str
        SVG; every cell has its unit and number as a tooltip. Degenerate units are hatched with a cross.
    """
    table, blocks = analysis.table, list(dict.fromkeys(analysis.table.block.tolist()))
    columns = max(int(np.count_nonzero(table.block == b)) for b in blocks)
    limit = max(5.0, float(np.nanmax(np.abs(analysis.t), initial=0.0)))
    cell = min(max(_PLOT_W / columns, _MIN_CELL_W), _MAX_CELL_W)
    width, height = max(_LEFT + columns * cell, 243 + 7 * len(what)) + 10, _TOP + len(blocks) * _CELL_H + 46
    parts = [text(_LEFT + (i + 0.5) * cell, _TOP - 8, str(i), "middle") for i in _labelled(columns, cell)]
    names = table.names
    for row, block in enumerate(blocks):
        y = _TOP + row * _CELL_H
        parts.append(text(_LEFT - 8, y + _CELL_H - 5, block, "end"))
        for column, unit in enumerate(np.flatnonzero(table.block == block)):
            parts.append(_cell(_LEFT + column * cell, y, cell, float(analysis.t[unit]), limit, (names[unit], what)))
    parts.append(_legend(4, height - 26, limit, what))
    return svg(width, height, title, parts)


def _labelled(columns: int, cell: float) -> range:
    return range(0, columns, 1 if cell >= 18 else 4)


def _cell(x: float, y: float, width: float, t: float, limit: float, words: tuple[str, str]) -> str:
    name, what = words
    box = f'x="{x + 1:.1f}" y="{y + 1}" width="{width - 2:.1f}" height="{_CELL_H - 2}" rx="2"'
    if np.isnan(t):
        return f'<g><title>{escape(name)}: degenerate, left out</title><rect {box} class="pl-none"/></g>'
    colour, strength = (POSITIVE if t > 0 else NEGATIVE), min(abs(t) / limit, 1.0)
    return (
        f'<g><title>{escape(name)}: {escape(what)} = {t:+.2f}</title><rect {box} class="pl-frame"/>'
        f'<rect {box} fill="{colour}" fill-opacity="{strength:.3f}"/></g>'
    )


def _legend(x: float, y: float, limit: float, what: str) -> str:
    start, width = x + 55 + 7 * len(what), 7
    boxes = [
        f'<rect x="{start + i * width}" y="{y}" width="{width}" height="12" fill="{POSITIVE if s > 0 else NEGATIVE}" '
        f'fill-opacity="{abs(s):.2f}"/>'
        for i, s in enumerate(np.linspace(-1, 1, 21))
    ]
    end = start + 21 * width
    labels = text(start - 6, y + 11, f"{what}: −{limit:.1f}", "end") + text(end + 6, y + 11, f"+{limit:.1f}", "start")
    return "".join(boxes) + labels
