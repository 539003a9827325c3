"""How much one run moves beside others: a bar each, in three fixed styles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from plantain.report.figures import svg

PUBLISHED, CONTROL, RUN = "published", "control", "run"

_NAMES, _VALUES, _ROW, _THICK = 122, 58, 30, 14  # pixels: the columns of names and numbers, a row and its bar

_APART = 5  # pixels between two lines of a hatching


@dataclass(frozen=True)
class Bar:
    """One bar: what it is of, its share in percent, its style, and whether the share is rounded."""

    name: str
    percent: float
    style: str
    is_rounded: bool = False


def context_bars(bars: Sequence[Bar], words: dict[str, str], what: str, width: float) -> svg.Drawing:
    """Draw shares as bars, the largest first.

    Parameters
    ----------
    bars : sequence of Bar
    words : dict of str to str
        What each style that is used means.
    what : str
        What the share is of, below the axis.
    width : float

    Returns
    -------
    svg.Drawing
        Grey bars are others', a hatched one is a control's, the filled one is the run's.
    """
    ordered = sorted(bars, key=lambda bar: -bar.percent)
    x = svg.Scale(0, max(1.0, ordered[0].percent) * 1.05, _NAMES, width - _VALUES)
    bottom = _ROW * len(ordered)
    marks = svg.x_axis(x, bottom, what, grid=0)
    for row, bar in enumerate(ordered):
        middle, value = _ROW * (row + 0.5), f"{'about ' * bar.is_rounded}{_percent(bar)}"
        top, wide = middle - _THICK / 2, x(bar.percent) - x(0)
        marks += _filled(bar.style, x(0), top, wide, f"{bar.name}: {value}; {words[bar.style]}")
        first, *rest = svg.wrap(bar.name, _NAMES - 8)
        names = [first, svg.fit(" ".join(rest), _NAMES - 8)] if rest else [first]
        start = middle + 4 - (svg.LINE - 3) * (len(names) - 1) / 2
        marks += [svg.text(0, start + (svg.LINE - 3) * i, line) for i, line in enumerate(names)]
        marks.append(svg.text(width, middle + 4, f"{'~' * bar.is_rounded}{_percent(bar)}", "end"))
    y = bottom + 44
    for style in (style for style in (RUN, CONTROL, PUBLISHED) if any(bar.style == style for bar in ordered)):
        marks += [*_filled(style, 0, y, 22, ""), svg.text(30, y + 12, svg.fit(words[style], width - 30))]
        y += 20
    return svg.Drawing(width, y, marks)


def _percent(bar: Bar) -> str:
    return f"{bar.percent:g}%" if bar.is_rounded else f"{bar.percent:.1f}%"


def _filled(style: str, x: float, y: float, width: float, tip: str) -> list[str]:
    """Fill a bar in its style; a hatched one shows its ground, so that it differs without colour too."""
    if style != CONTROL:
        return [svg.box(x, y, width, _THICK, "pl-mine" if style == RUN else "pl-bar", tip)]
    return [svg.box(x, y, max(width, 1), _THICK, "pl-band", tip), *_hatching(x, y, max(width, 1))]


def _hatching(x: float, y: float, width: float) -> Iterator[str]:
    """Draw slanted lines within a bar, and its outline."""
    for offset in range(0, int(width + _THICK) + 1, _APART):  # from the upper edge down to the left
        start, end = min(offset, width), max(offset - _THICK, 0)
        if start > end:
            yield svg.line(x + start, y + offset - start, x + end, y + offset - end, "pl-axis")
    corners = [(x, y), (x + width, y), (x + width, y + _THICK), (x, y + _THICK)]
    for a, b in zip(corners, [*corners[1:], corners[0]], strict=True):
        yield svg.line(*a, *b, "pl-axis")
