"""Signed numbers as coloured cells: t of every head, block by block, and how alike every two axes are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from plantain.report.figures import svg
from plantain.report.numbers import minus
from plantain.runs.analysis import Analysis

PANELS = ("heads", "text-heads", "mlp")  # what a row of a map can show; 768 slices in a row cannot be seen

_ROW, _WIDEST = 18, 80  # pixels: a row's height, and the width of a cell at most


def drawn_units(units: str) -> str:
    """Return what a map shows of some units: whole heads for slices."""
    return units if units in PANELS else "heads"


def heat_maps(panels: Sequence[tuple[Analysis, str]], width: float, what: str = "t") -> svg.Drawing:
    """Draw a signed number of every unit, a row a block, the maps below one another on one scale of colour.

    Parameters
    ----------
    panels : sequence of tuple
        (the analysis of units whose rows can be drawn: ``heads``, ``text-heads`` or ``mlp``; a heading or nothing).
    width : float
        At most: few cells need less.
    what : str
        What the number is.

    Returns
    -------
    svg.Drawing
        Every cell has its unit and number as a tooltip. Degenerate units are dashed.
    """
    rows = [{b: np.flatnonzero(a.table.block == b) for b in a.table.blocks} for a, _ in panels]
    limit = max([5.0, *(float(np.nanmax(np.abs(a.t), initial=0.0)) for a, _ in panels)])
    columns = max(len(units) for blocks in rows for units in blocks.values())
    left = max(svg.text_width(block) for blocks in rows for block in blocks) + 10
    side = min((width - left - 4) / columns, _WIDEST)
    width, marks, y = max(left + columns * side + 4, svg.WIDTH), [], 0.0
    for (analysis, heading), blocks in zip(panels, rows, strict=True):
        for words in svg.wrap(heading, width) if heading else ():
            y += svg.LINE
            marks.append(svg.text(0, y, words))
        marks.append(svg.text(0, y + 18, "block"))
        marks += [svg.text(left + (i + 0.5) * side, y + 18, str(i), "middle") for i in range(0, columns, _apart(side))]
        y += 24
        for block, units in blocks.items():
            marks.append(svg.text(0, y + _ROW - 5, block))
            marks += [
                svg.cell(left + i * side, y, side, _ROW, analysis.t[unit] / limit, _said(analysis, unit, what))
                for i, unit in enumerate(units)
            ]
            y += _ROW
        y += 8
    return svg.Drawing(width, y + 38, [*marks, *svg.colour_bar(y + 4, limit, what, width)])


def _apart(side: float) -> int:
    """Return how many columns apart their numbers fit."""
    return next(step for step in (1, 2, 4, 8, 16) if step * side >= 20)


def _said(analysis: Analysis, unit: int, what: str) -> str:
    name, t = analysis.table.names[unit], analysis.t[unit]
    return f"{name}: degenerate, left out" if np.isnan(t) else f"{name}: {what} = {t:+.2f}"


_CELL, _LAST = 34, 76  # pixels: a number fits into a cell; room for the last name


def axis_triangle(names: list[str], correlations: dict[tuple[str, str], float | None], width: float) -> svg.Drawing:
    """Draw the correlation of every two axes, each axis' name at the end of its row and on top of its column.

    Parameters
    ----------
    names : list of str
        Of the axes, in order.
    correlations : dict
        (an earlier name, a later one) -> correlation, None where it does not exist.
    width : float
        At most.

    Returns
    -------
    svg.Drawing
        Orange is the same direction, blue the opposite one, strength the size up to 1.
    """
    width = min(width, svg.FILE)
    side = min(_CELL, (width - _LAST) / max(len(names) - 1, 1))
    marks = []
    for row, name in enumerate(names):
        y = row * side
        for column, other in enumerate(names[:row]):
            value = correlations[other, name]
            said = f"{other} and {name}: {'does not exist' if value is None else f'{value:+.2f}'}"
            marks.append(svg.cell(column * side, y, side, side, np.nan if value is None else value, said))
            if value is not None and side >= _CELL:  # else they do not fit; the tooltip and the table have them
                marks.append(svg.text((column + 0.5) * side, y + side / 2 + 4, _short(value), "middle"))
        marks.append(svg.text(row * side + 4, y + side / 2 + 4, svg.fit(name, width - row * side - 4)))
    bottom = len(names) * side
    return svg.Drawing(width, bottom + 46, [*marks, *svg.colour_bar(bottom + 12, 1.0, "r", width)])


def _short(value: float) -> str:
    """Write a correlation in three letters: ``.42``, ``−.1``, ``1.2``."""
    if abs(value) >= 0.995:
        return minus(f"{value:.1f}") if abs(value) < 9.95 else "≫" if value > 0 else "≪"
    return minus(f"{value:.2f}".replace("0.", ".", 1))
