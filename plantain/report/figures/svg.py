"""The marks that every figure is drawn with, and the frame around them: one kit, so that all figures look alike.

Marks are SVG text. Colours are classes of ``figures.css``, so that a figure follows the page's light or dark theme.
Lengths are pixels. Words are measured in DejaVu Sans, which is wider than the fonts of most screens: what fits here
fits there, and it is the font that `png` draws with.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path

from PIL import ImageFont

from plantain.report.numbers import minus

FONT = Path(__file__).parent / "DejaVuSans.ttf"

STYLES = Path(__file__).parent / "figures.css"

LAYOUTS = (330, 480, 820)
"""The widths that a figure is drawn in for the page: its text is never small, and never huge, in any column."""

WIDTH = LAYOUTS[0]

FILE = LAYOUTS[1]  # the width of a figure in a file

LETTERS, LINE = 12, 15  # the size of the text, and from one line of it to the next

_TICK, _APART = 4, 32  # the length of a tick, and the fewest pixels between two of them

_TICKS = 3  # on an axis at least: fewer do not show its scale


@dataclass(frozen=True)
class Scale:
    """Values from low to high drawn from one pixel to another; a vertical scale runs from its bottom to its top."""

    low: float
    high: float
    start: float
    end: float
    whole: bool = False  # only whole numbers have a tick

    def __post_init__(self) -> None:
        assert self.low < self.high, f"a scale from {self.low} to {self.high}"

    def __call__(self, value: float) -> float:
        return self.start + (self.end - self.start) * (value - self.low) / (self.high - self.low)

    def ticks(self, apart: float = 0) -> list[float]:
        """Return round values, 1, 2, 3 or 5 times a power of ten apart, as many as have room.

        Where that were fewer than three, they stand closer.

        Parameters
        ----------
        apart : float
            The fewest pixels between two of them; 0 leaves room for their numbers side by side.
        """
        power, enough = math.floor(math.log10((self.high - self.low) / 100)), []
        for step in (m * 10.0**e for e in itertools.count(power) for m in (1, 2, 3, 5)):
            if self.whole and step < 1:
                continue
            first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
            values = [float(f"{i * step:.12g}") for i in range(first, last + 1)]
            enough = values if len(values) >= _TICKS else enough or values
            room = abs(self(step) - self(0))
            if room >= (apart or _APART) and (apart or all(text_width(number(v)) + 10 <= room for v in values)):
                return enough


def around_zero(values: Sequence[float], least: float) -> tuple[float, float]:
    """Return the ends of a scale with zero in its middle that holds all values, and `least` at least."""
    reach = max([least, *map(abs, values)]) * 1.05
    return -reach, reach


def number(value: float) -> str:
    """Write a number of an axis."""
    return minus(f"{value:,.6g}")


# --- words -------------------------------------------------------------------------------------------------


@cache
def _font() -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(FONT, 1000, layout_engine=ImageFont.Layout.BASIC)  # large: hinting rounds widths


def text_width(words: str, size: float = LETTERS) -> float:
    """Return how wide words are in pixels."""
    return _font().getlength(words) * size / 1000


def fit(words: str, room: float) -> str:
    """Cut words that are too long for their place."""
    if text_width(words) <= room:
        return words
    fitting = (words[:n] for n in range(int(room), 0, -1) if text_width(f"{words[:n]}…") <= room)
    return f"{next(fitting, '').rstrip()}…"


def wrap(words: str, room: float, size: float = LETTERS) -> list[str]:
    """Break words into lines that fit, at blanks and after ``_``, ``-`` and ``/``, else anywhere."""
    lines, line = [], ""
    for piece in re.findall(r"[^\s_/-]*[_/-]*\s*", " ".join(words.split())):
        if line and text_width((line + piece).rstrip(), size) > room:
            lines.append(line.rstrip())
            line = ""
        while text_width(piece.rstrip(), size) > room:
            most = next(n for n in range(len(piece) - 1, 0, -1) if text_width(piece[:n], size) <= room)
            lines.append(piece[:most])
            piece = piece[most:]
        line += piece
    return [*lines, line.rstrip()]


# --- marks -------------------------------------------------------------------------------------------------


def _mark(tag: str, look: str, tip: str, **places: float | str) -> str:
    values = {"class": look, **places}
    words = " ".join(f'{k}="{v if isinstance(v, str) else f"{round(float(v), 2):g}"}"' for k, v in values.items())
    return _tipped(f"<{tag} {words}/>", tip)


def _tipped(drawn: str, tip: str) -> str:
    return f"<g><title>{escape(tip)}</title>{drawn}</g>" if tip else drawn


def text(x: float, y: float, words: str, anchor: str = "start") -> str:
    """Write words on a base line; anchor is start, middle or end."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="pl-text">{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, look: str, tip: str = "") -> str:
    """Draw a line; the tip is shown where one points at it."""
    return _mark("line", look, tip, x1=x1, y1=y1, x2=x2, y2=y2)


def box(x: float, y: float, width: float, height: float, look: str, tip: str = "", opacity: float | None = None) -> str:
    """Fill a rectangle."""
    shade = {} if opacity is None else {"fill-opacity": opacity}
    return _mark("rect", look, tip, x=x, y=y, width=width, height=height, **shade)


def dot(x: float, y: float, look: str, tip: str = "", radius: float = 5) -> str:
    """Draw a dot."""
    return _mark("circle", look, tip, cx=x, cy=y, r=radius)


def diamond(x: float, y: float, look: str, tip: str = "") -> str:
    """Draw a diamond, its right corner first."""
    corners = ((x + 8, y), (x, y + 8), (x - 8, y), (x, y - 8))
    return _mark("polygon", look, tip, points=" ".join(f"{a:.1f},{b:.1f}" for a, b in corners))


def cell(x: float, y: float, width: float, height: float, share: float, tip: str = "") -> str:
    """Colour a cell by a share from -1 to 1: orange is positive, blue negative, strength the size; NaN is dashed.

    The pair of colours stays apart for all common kinds of colour blindness.
    """
    place = (x + 0.5, y + 0.5, width - 1, height - 1)
    if math.isnan(share):
        return box(*place, "pl-none", tip)
    colour = box(*place, "pl-plus" if share > 0 else "pl-minus", opacity=min(abs(share), 1.0))
    return _tipped(box(*place, "pl-zero") + colour, tip)


# --- axes and legends --------------------------------------------------------------------------------------


def x_axis(
    scale: Scale,
    y: float,
    label: str,
    ends: tuple[str, str] = ("", ""),
    grid: float | None = None,
    width: float = WIDTH,
) -> list[str]:
    """Draw an axis with ticks below a figure's marks, 36 pixels high.

    Parameters
    ----------
    scale : Scale
    y : float
        Where its line is.
    label : str
        What is measured, and in what.
    ends : tuple of str
        What the left and the right end mean.
    grid : float, optional
        Up to where the ticks are drawn on as thin lines.
    width : float
        Of the figure: the words may be wider than the axis.
    """
    drawn = [line(scale.start, y, scale.end, y, "pl-axis")]
    for value in scale.ticks():
        x = scale(value)
        drawn.append(line(x, y if grid is None else grid, x, y + _TICK, "pl-axis" if grid is None else "pl-grid"))
        drawn.append(text(x, y + 17, number(value), "middle"))
    if not any(ends):
        return [*drawn, text((scale.start + scale.end) / 2, y + 33, label, "middle")]
    left, right = (fit(words, (width - text_width(label)) / 2 - 10) for words in ends)
    free = width - sum(map(text_width, (left, label, right))) - 20
    start = min(scale.start, free)  # under the axis where there is room
    end = max(scale.end, start + sum(map(text_width, (left, label, right))) + 20)
    middle = (start + text_width(left) + end - text_width(right)) / 2
    places = ((start, left, "start"), (middle, label, "middle"), (end, right, "end"))
    return drawn + [text(x, y + 33, words, anchor) for x, words, anchor in places]


def y_axis(scale: Scale, x: float, right: float) -> list[str]:
    """Draw the ticks of a vertical axis and thin lines from them to the right; its label stands above the figure."""
    ticks = [(scale(value), number(value)) for value in scale.ticks(apart=24)]
    lines = [line(x - _TICK, y, right, y, "pl-grid") for y, _ in ticks]
    return lines + [text(x - _TICK - 3, y + 4, words, "end") for y, words in ticks]


def legend(entries: Sequence[tuple[str, str, str]], y: float, width: float = WIDTH) -> tuple[list[str], float]:
    """Explain marks in rows that are as wide as a figure.

    Parameters
    ----------
    entries : sequence of tuple
        (``dot``, ``line``, ``box`` or ``diamond``, its class, what it means).
    y : float
        The top.
    width : float
        Of the figure.

    Returns
    -------
    marks : list of str
    bottom : float
    """
    drawn, x = [], 0.0
    for shape, look, words in entries:
        words = fit(words, width - 22)
        wide = 20 + text_width(words)
        if x and x + wide > width:
            x, y = 0.0, y + 18
        drawn += [_SAMPLES[shape](x, y, look), text(x + 20, y + 12, words)]
        x += wide + 14
    return drawn, y + 22


_SAMPLES: dict[str, Callable[[float, float, str], str]] = {
    "dot": lambda x, y, look: dot(x + 8, y + 8, look, radius=4.5),
    "line": lambda x, y, look: line(x + 8, y + 1, x + 8, y + 15, look),
    "box": lambda x, y, look: box(x + 2, y + 3, 12, 10, look),
    "diamond": lambda x, y, look: diamond(x + 8, y + 8, look),
}


def colour_bar(y: float, limit: float, what: str, width: float) -> list[str]:
    """Explain the colours of cells, from -limit to limit, 30 pixels high."""
    ends = (f"−{limit:.1f}", f"+{limit:.1f}")
    start = text_width(what) + text_width(ends[0]) / 2 + 8
    n, wide = 11, min(240.0, width - start - text_width(ends[1]) / 2)
    cells = [cell(start + i * wide / n, y, wide / n, 13, 2 * i / (n - 1) - 1) for i in range(n)]
    places = ((start, ends[0]), (start + wide / 2, "0"), (start + wide, ends[1]))
    return [text(0, y + 11, what), *cells, *(text(x, y + 26, words, "middle") for x, words in places)]


# --- frames ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Drawing:
    """Marks on a ground that holds all of them."""

    width: float
    height: float
    marks: Sequence[str]

    def svg(self, title: str, look: str = "pl-svg") -> str:
        """Frame the marks for the page; the title is for screen readers.

        It is as wide as its place, unless it were taller than the screen, and never so narrow that its text is small.
        """
        least, most = _READABLE * self.width, _TALLEST * self.width / self.height
        return (
            f'<svg class="{look}" role="img" aria-label="{escape(title, quote=True)}" '
            f'viewBox="0 0 {self.width:g} {self.height:g}" style="min-width: {least:.0f}px; '
            f'max-width: max({least:.0f}px, {most:.0f}vh)" xmlns="http://www.w3.org/2000/svg">{"".join(self.marks)}</svg>'
        )


_READABLE, _TALLEST = 0.92, 70  # of its width, so that 12 pixels are 11; percent of the screen's height

_NARROWEST, _MARGIN = 416, 14  # of a file

_FAMILY = "'Segoe UI', Roboto, 'Helvetica Neue', 'DejaVu Sans', sans-serif"


def fluid(draw: Callable[[float], Drawing], title: str) -> str:
    """Frame a figure for the page in all its layouts; the styles show the one that fits its column.

    Parameters
    ----------
    draw : callable
        Takes one of `LAYOUTS`. A figure that does not grow any more may return the drawing of a narrower one.
    title : str
        For screen readers.
    """
    drawn: dict[float, tuple[Drawing, list[str]]] = {}
    for name, width in zip(("narrow", "middle", "wide"), LAYOUTS, strict=True):
        found = draw(width)
        drawn.setdefault(found.width, (found, []))[1].append(f"pl-{name}")
    return "".join(found.svg(title, " ".join(("pl-svg", *names))) for found, names in drawn.values())


def standalone(drawing: Drawing, title: str, caption: str) -> str:
    """Write a figure as a document that looks as on the page, in light colours, its title and caption below it."""
    scale = max(1.0, _NARROWEST / drawing.width)
    room, y = drawing.width * scale, drawing.height * scale + _MARGIN
    lines = []
    for words, size in ((title, 14), (caption, 12)):
        y += 6
        for part in wrap(words, room, size):
            y += size + 4
            lines.append(f'<text x="{_MARGIN}" y="{y:g}" class="pl-words" font-size="{size}">{escape(part)}</text>')
    wide, tall = math.ceil(room + 2 * _MARGIN), math.ceil(y + _MARGIN)  # whole pixels, as of a PNG
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{wide}" height="{tall}" '
        f'viewBox="0 0 {wide} {tall}"><title>{escape(f"{title} {caption}")}</title><style>{_light()}</style>'
        f'<rect width="100%" height="100%" fill="#ffffff"/><g transform="translate({_MARGIN} {_MARGIN}) '
        f'scale({scale:g})">{"".join(drawing.marks)}</g>{"".join(lines)}</svg>\n'
    )


@cache
def _light() -> str:
    """Return the figures' styles with the light theme's colours put in: a file has no theme."""
    css = re.sub(r"/\*.*?\*/", "", STYLES.read_text(encoding="utf-8"), flags=re.DOTALL)
    light, dark, rules = css.split("}", 2)
    assert light.lstrip().startswith(":root") and dark.lstrip().startswith(".dark"), "the colours stand first"
    colours = dict(re.findall(r"(--[\w-]+): ([^;]+);", light))
    rules = re.sub(r"var\((--[\w-]+)\)", lambda found: colours[found[1]], rules)
    return f"text {{font-family: {_FAMILY};}}{rules}"
