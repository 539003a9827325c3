"""t of one run against t of another, over all units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plantain.findings.across_runs.atlas import Replication
from plantain.report.figures import svg

_BINS, _LEFT, _TOP, _MARGIN = 40, 44, 22, 14


@dataclass(frozen=True)
class _Square:
    """A plot that is as high as it is wide, in a figure of some width."""

    width: float

    @property
    def right(self) -> float:
        return self.width - _MARGIN

    @property
    def bottom(self) -> float:
        return _TOP + self.side

    @property
    def side(self) -> float:
        return self.right - _LEFT


def _square(width: float) -> _Square:
    return _Square(min(width, svg.FILE))  # a larger one would be higher than the screen


def t_density(t: np.ndarray, names: tuple[str, str], width: float) -> svg.Drawing:
    """Draw how many units have which t in two runs; darker is more, by the logarithm.

    Parameters
    ----------
    t : float array (2, n_units)
        The first run's to the right, the second's upward; units with a NaN are left out.
    names : tuple of str
        Of the two runs, at the axes.
    width : float
        At most.
    """
    square = _square(width)
    x, y, marks = _plot(t, names, square)
    return svg.Drawing(square.width, square.bottom + 40, [*marks, *_zeros(x, y)])


def _plot(t: np.ndarray, names: tuple[str, str], square: _Square) -> tuple[svg.Scale, svg.Scale, list[str]]:
    """Draw axes and a square for every place where units are: thousands of dots could not be seen."""
    known = t[:, np.isfinite(t).all(axis=0)]
    ends = svg.around_zero(known.ravel().tolist(), 3.0)
    x, y = svg.Scale(*ends, _LEFT, square.right), svg.Scale(*ends, square.bottom, _TOP)
    room = square.width - 10
    marks = [svg.text(0, 12, svg.fit(f"↑ t of {names[1]}", room)), *svg.y_axis(y, _LEFT, square.right)]
    marks += svg.x_axis(x, square.bottom, svg.fit(f"t of {names[0]} →", room - _LEFT), grid=_TOP)
    counts, edges, _ = np.histogram2d(*known, bins=_BINS, range=[ends] * 2)
    most, side = np.log1p(max(counts.max(), 1)), square.side / _BINS
    middles = (edges[:-1] + edges[1:]) / 2
    for i, j in zip(*np.nonzero(counts), strict=True):
        n = int(counts[i, j])
        tip = f"{n:,} unit{'s' if n > 1 else ''}: t about {middles[i]:+.1f} and {middles[j]:+.1f}"
        shade = 0.2 + 0.8 * float(np.log1p(n) / most)
        marks.append(svg.box(x(edges[i]), y(edges[j + 1]), side, side, "pl-square", tip, shade))
    return x, y, marks


def _zeros(x: svg.Scale, y: svg.Scale) -> list[str]:
    return [
        svg.line(x.start, y(0), x.end, y(0), "pl-axis"), svg.line(x(0), y.start, x(0), y.end, "pl-axis")
    ]  # fmt: skip


def replication_plot(t: np.ndarray, found: Replication, names: tuple[str, str], width: float) -> svg.Drawing:
    """Draw where chosen units fall on new pairs, among all units, and the mean score of a new pair below.

    Parameters
    ----------
    t : float array (2, n_units)
        Of all units on the first set and on the new one; units with a NaN are left out.
    found : Replication
        The chosen units, the mean score and its interval.
    names : tuple of str
        Of the two sets, at the axes.
    width : float
        At most.

    Returns
    -------
    svg.Drawing
        All units are squares; a chosen one is a full dot where it keeps its sign, an open one where not.
    """
    square = _square(width)
    x, y, marks = _plot(t, names, square)
    half = square.side / 2
    shaded = [svg.box(x(0), _TOP, half, half, "pl-again"), svg.box(_LEFT, y(0), half, half, "pl-again")]
    marks += [*_zeros(x, y), svg.line(_LEFT, square.bottom, square.right, _TOP, "pl-limit")]
    for unit in found.units:
        if unit.t_again is not None:
            look = "pl-kept" if unit.t * unit.t_again > 0 else "pl-turned"
            tip = f"{unit.unit}: t {unit.t:+.2f} where it was chosen, {unit.t_again:+.2f} on new pairs"
            marks.append(svg.dot(x(unit.t), y(unit.t_again), look, tip, radius=4.5))
    explained, bottom = svg.legend(
        [
            ("dot", "pl-kept", "chosen, keeps its sign"), ("dot", "pl-turned", "chosen, turns its sign"),
            ("box", "pl-square", "all units"), ("line", "pl-limit", "as large again"),
        ],
        square.bottom + 42,
        square.width,
    )  # fmt: skip
    return svg.Drawing(square.width, bottom + 110, [*shaded, *marks, *explained, *_score(found, bottom, square)])


def _score(found: Replication, top: float, square: _Square) -> list[str]:
    """Draw the mean score of a new pair with its interval, and zero."""
    ends = [end for end in found.interval if end is not None]
    x, y = svg.Scale(*svg.around_zero([found.score, *ends], 0.5), _LEFT, square.right), top + 48
    drawn = [svg.text(0, top + 22, f"a new pair's mean score: {found.score:+.2f} SD")]
    drawn += svg.x_axis(x, y + 20, "score, SDs", ("← against", "as chosen →"), y - 14, square.width)
    drawn.append(svg.line(x(0), y - 14, x(0), y + 20, "pl-axis"))
    if len(ends) == 2:
        low, high = (x(end) for end in ends)
        tip = f"95% interval {ends[0]:+.2f} to {ends[1]:+.2f}"
        drawn.append(svg.box(low, y - 6, max(high - low, 1), 12, "pl-interval", tip))
    return [*drawn, svg.dot(x(found.score), y, "pl-kept")]
