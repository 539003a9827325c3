"""Figures as high as two lines of text, without words of their own: one beside each of a page's six answers."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence

import numpy as np

from plantain.report.figures import svg
from plantain.runs.analysis import Analysis

WIDTH, HEIGHT = 160, 40

_MARGIN = 8

_SEEN = 2.0  # |t| from which a cell of the smallest map has a colour


def told_dots(k: int, n: int) -> svg.Drawing:
    """Draw a dot a pair: those that are told right first, in colour."""
    rows = math.ceil(n / 25)
    columns = math.ceil(n / rows)
    step = min(WIDTH / columns, HEIGHT / rows, 16)
    left, top = (WIDTH - step * columns) / 2, (HEIGHT - step * rows) / 2
    return _drawing(
        svg.dot(
            left + step * (i % columns + 0.5),
            top + step * (i // columns + 0.5),
            "pl-mine" if i < k else "pl-bar",
            radius=0.42 * step,
        )
        for i in range(n)
    )


def tiny_map(analysis: Analysis) -> svg.Drawing:
    """Draw the map of t as cells of a few pixels, a row a block; the small values are left out."""
    rows = [np.flatnonzero(analysis.table.block == block) for block in analysis.table.blocks]
    limit = max(5.0, float(np.nanmax(np.abs(analysis.t), initial=0.0)))
    wide, high = WIDTH / max(map(len, rows)), HEIGHT / len(rows)
    marks = [svg.box(0, high * y, wide * len(units), high, "pl-zero") for y, units in enumerate(rows)]
    for y, units in enumerate(rows):
        for x, t in enumerate(analysis.t[units].tolist()):
            if abs(t) > _SEEN:
                look = "pl-plus" if t > 0 else "pl-minus"
                marks.append(svg.box(wide * x, high * y, wide, high, look, opacity=abs(t) / limit))
    return _drawing(marks)


def among(chosen: float | None, others: Sequence[float], ends: tuple[float, float]) -> svg.Drawing:
    """Draw one value among others on a line with marks at zero and one; what is outside the ends stands there."""
    x, middle = svg.Scale(*ends, _MARGIN, WIDTH - _MARGIN), HEIGHT / 2
    marks = [svg.line(x.start, middle, x.end, middle, "pl-axis")]
    marks += [svg.line(x(at), 4, x(at), HEIGHT - 4, "pl-grid") for at in (0, 1) if ends[0] <= at <= ends[1]]
    for i, value in enumerate(others):  # spread in height, so that equal ones can be told
        y = middle + (0 if len(others) < 10 else 20 * (i * 0.618 % 1 - 0.5))
        marks.append(svg.dot(x(min(max(value, ends[0]), ends[1])), y, "pl-dot", radius=4 if len(others) < 10 else 2))
    if chosen is not None:
        marks.append(svg.diamond(x(min(max(chosen, ends[0]), ends[1])), middle, "pl-new"))
    return _drawing(marks)


def needle(scores: Sequence[float]) -> svg.Drawing:
    """Draw pairs as dots on a line, and a needle that nobody has set yet."""
    x, y = svg.Scale(*svg.around_zero(scores, 1.0), _MARGIN, WIDTH - _MARGIN), HEIGHT - 10
    marks = [svg.line(x.start, y, x.end, y, "pl-axis"), svg.line(x(0), y - 6, x(0), y + 6, "pl-axis")]
    marks += [svg.dot(x(score), y, "pl-dot", radius=3) for score in scores]
    return _drawing([*marks, svg.line(x(0), y, x(0) + 26, 4, "pl-observed"), svg.dot(x(0), y, "pl-kept", radius=4)])


def two_pictures(pictures: tuple[bytes, bytes]) -> svg.Drawing:
    """Show two small pictures (WebP) side by side."""
    left = (WIDTH - 2 * HEIGHT - 6) / 2
    return _drawing(
        f'<image x="{left + i * (HEIGHT + 6):g}" y="0" width="{HEIGHT}" height="{HEIGHT}" '
        f'href="data:image/webp;base64,{base64.b64encode(packed).decode()}"/>'
        for i, packed in enumerate(pictures)
    )


def _drawing(marks: Sequence[str]) -> svg.Drawing:
    return svg.Drawing(WIDTH, HEIGHT, list(marks))
