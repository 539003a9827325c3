"""Several axes at once.

`count_bars`      how many units each of them moves, in percent
`axis_triangle`   how alike every two of them are
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from plantain.findings.atlas import AxisFacts
from plantain.report.figures.svg import NEGATIVE, POSITIVE, cut, svg, text

_LEFT, _PLOT, _STEP = 4, 296, 36  # as wide as a phone shows: names stand above their bars

_TRIANGLE, _CELL, _LETTER = 316, 24, 6.4  # pixels; _LETTER of one letter of a name


_LOOKS = {"axis": "pl-axis-own", "replication": "pl-axis-again", "sibling": "pl-axis-sibling"}
"""Role -> class; all other roles look alike."""


def count_bars(axes: Sequence[AxisFacts], threshold: int, title: str) -> str:
    """Draw the share of units over a threshold, a bar an axis, the largest first and noise floors last.

    Parameters
    ----------
    axes : sequence of AxisFacts
    threshold : int
        One of `analysis.THRESHOLDS`.
    title : str
        What the figure shows, for screen readers.

    Returns
    -------
    str
        SVG; the line across a bar's row is the 99th percentile of its own sign flips.
    """
    rows = sorted(axes, key=lambda axis: (axis.role == "noise floor", -axis.thresholds[threshold].percent))
    shares = [(row.thresholds[threshold].percent, _chance(row, threshold)) for row in rows]
    reach = max([1.0, *(value for pair in shares for value in pair)]) * 1.02
    bottom = 4 + _STEP * len(rows)
    drawn = [f'<line x1="{_LEFT}" y1="4" x2="{_LEFT}" y2="{bottom}" class="pl-axis"/>']
    for i, (row, (share, chance)) in enumerate(zip(rows, shares, strict=True)):
        drawn += _bar(row, share, chance, 4 + i * _STEP, reach)
    drawn.append(text(_LEFT, bottom + 15, "0%", "start"))
    drawn.append(text(_LEFT + _PLOT, bottom + 15, f"{reach:.3g}% of units", "end"))
    return svg(_LEFT + _PLOT + 6, bottom + 22, title, drawn)


def _chance(axis: AxisFacts, threshold: int) -> float:
    """Return the 99th percentile of the counts under sign flips, in percent of the same units."""
    return 100 * axis.thresholds[threshold].null_p99 / max(axis.n_units, 1)


def _bar(row: AxisFacts, share: float, chance: float, y: float, reach: float) -> list[str]:
    look = _LOOKS.get(row.role, "pl-axis-other")
    words = f"{row.name} ({row.role}): {share:.1f}% of units; 99% of sign flips give at most {chance:.1f}%"
    x = _LEFT + _PLOT * chance / reach
    return [
        f'<g><title>{escape(words)}</title><rect x="{_LEFT}" y="{y + 18}" width="{_PLOT * share / reach:.1f}" '
        f'height="12" class="{look}"/></g>',
        f'<line x1="{x:.1f}" y1="{y + 15}" x2="{x:.1f}" y2="{y + 33}" class="pl-limit"/>',
        text(_LEFT + 3, y + 13, f"{cut(row.name, 28)} · {row.role}", "start"),
        text(_LEFT + _PLOT, y + 13, f"{share:.1f}%", "end"),
    ]


def axis_triangle(names: list[str], correlations: dict[tuple[str, str], float | None], title: str) -> str:
    """Draw the correlation of every two axes, each axis' name at the end of its row and on top of its column.

    Parameters
    ----------
    names : list of str
        Of the axes, in order.
    correlations : dict
        (an earlier name, a later one) -> correlation, None where it does not exist.
    title : str
        What the figure shows, for screen readers.

    Returns
    -------
    str
        SVG; orange is the same direction, blue the opposite one, strength the size up to 1.
    """
    cell = min(_CELL, (_TRIANGLE - 76) / max(len(names) - 1, 1))
    drawn = []
    for row, name in enumerate(names):
        y = 4 + row * cell
        for column, other in enumerate(names[:row]):
            drawn += _cell(_LEFT + column * cell, y, cell, correlations[other, name], f"{other} and {name}")
        room = int((_TRIANGLE - row * cell) / _LETTER)
        drawn.append(text(_LEFT + row * cell + 4, y + cell / 2 + 4, cut(name, room), "start"))
    return svg(_LEFT + _TRIANGLE, 10 + len(names) * cell, title, drawn)


def _cell(x: float, y: float, side: float, value: float | None, words: str) -> list[str]:
    box = f'x="{x + 1:.1f}" y="{y + 1:.1f}" width="{side - 2:.1f}" height="{side - 2:.1f}" rx="2"'
    if value is None:
        return [f'<g><title>{escape(words)}: does not exist</title><rect {box} class="pl-none"/></g>']
    colour, strength = (POSITIVE if value > 0 else NEGATIVE), min(abs(value), 1.0)
    drawn = [
        f'<g><title>{escape(words)}: {value:+.2f}</title><rect {box} class="pl-frame"/>'
        f'<rect {box} fill="{colour}" fill-opacity="{strength:.3f}"/></g>'
    ]
    if side >= _CELL:  # else the figures do not fit; the tooltip and the table have them
        drawn.append(text(x + side / 2, y + side / 2 + 4, _short(value), "middle"))
    return drawn


def _short(value: float) -> str:
    """Write a correlation in three letters: ``.42``, ``−.1``, ``1.2``."""
    if abs(value) >= 0.995:
        return f"{value:.1f}".replace("-", "−") if abs(value) < 9.95 else "≫" if value > 0 else "≪"
    return f"{value:.2f}".replace("0.", ".", 1).replace("-", "−")
