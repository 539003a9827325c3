"""t of one run against t of another.

`t_density`         units counted in squares: thousands of dots could not be seen
`density_squares`   the squares alone
"""

from __future__ import annotations

from html import escape

import numpy as np

from plantain.findings.atlas import ReplicatedUnit, Replication
from plantain.report.figures.svg import cut, svg, text

_BINS, _LEFT, _TOP, _PLOT = 40, 34, 8, 256


def t_density(t: np.ndarray, names: tuple[str, str], title: str) -> str:
    """Draw how many units have which t in two runs; darker is more, by the logarithm.

    Parameters
    ----------
    t : float array (2, n_units)
        The first run's to the right, the second's upward; units with a NaN are left out.
    names : tuple of str
        Of the two runs, at the axes.
    title : str
        What the figure shows, for screen readers.

    Returns
    -------
    str
        SVG; every square has its count as a tooltip.
    """
    known = t[:, np.isfinite(t).all(axis=0)]
    reach = max(3.0, float(np.abs(known).max(initial=0.0))) * 1.02
    middle_x, middle_y, bottom = _LEFT + _PLOT / 2, _TOP + _PLOT / 2, _TOP + _PLOT
    drawn = [
        f'<line x1="{_LEFT}" y1="{middle_y}" x2="{_LEFT + _PLOT}" y2="{middle_y}" class="pl-axis"/>',
        f'<line x1="{middle_x}" y1="{_TOP}" x2="{middle_x}" y2="{bottom}" class="pl-axis"/>',
        *density_squares(known, reach, (_LEFT, _TOP), _PLOT),
    ]
    drawn += [
        text(_LEFT - 4, y, words, "end") for y, words in ((_TOP + 10, f"+{reach:.1f}"), (bottom, f"−{reach:.1f}"))
    ]
    drawn += [
        text(_LEFT, bottom + 15, f"−{reach:.1f}", "start"),
        text(_LEFT + _PLOT, bottom + 15, f"+{reach:.1f}", "end"),
    ]
    drawn.append(text(_LEFT, bottom + 32, f"→ t of {cut(names[0], 36)}", "start"))
    drawn.append(text(_LEFT, bottom + 48, f"↑ t of {cut(names[1], 36)}", "start"))
    return svg(_LEFT + _PLOT + 8, bottom + 56, title, drawn)


def density_squares(t: np.ndarray, reach: float, corner: tuple[float, float], plot: float) -> list[str]:
    """Draw a square for every place where units are: t (2, n_units), from -reach to reach, in a frame's corner."""
    (left, top), side = corner, plot / _BINS
    counts, edges, _ = np.histogram2d(*t, bins=_BINS, range=[(-reach, reach)] * 2)
    most, drawn = np.log1p(max(counts.max(), 1)), []
    for i, j in zip(*np.nonzero(counts), strict=True):
        n = int(counts[i, j])
        words = f"{n:,} unit{'s' if n > 1 else ''}: t about {_middle(edges, i):+.1f} and {_middle(edges, j):+.1f}"
        shade = f'class="pl-square" fill-opacity="{0.2 + 0.8 * np.log1p(n) / most:.2f}"'
        drawn.append(
            f'<g><title>{escape(words)}</title><rect x="{left + i * side:.1f}" y="{top + plot - (j + 1) * side:.1f}" '
            f'width="{side:.1f}" height="{side:.1f}" {shade}/></g>'
        )
    return drawn


def _middle(edges: np.ndarray, i: int) -> float:
    return float(edges[i] + edges[i + 1]) / 2


_X0, _Y0, _SIDE = 34, 8, 270

_STRIP = _Y0 + _SIDE + 100  # where the mean score is drawn


def replication_plot(t: np.ndarray, found: Replication, names: tuple[str, str], title: str) -> str:
    """Draw where chosen units fall on new pairs, among all units, and the mean score of a new pair below.

    Parameters
    ----------
    t : float array (2, n_units)
        Of all units on the first set and on the new one; units with a NaN are left out.
    found : Replication
        The chosen units, the mean score and its interval.
    names : tuple of str
        Of the two sets, at the axes.
    title : str
        What the figure shows, for screen readers.

    Returns
    -------
    str
        SVG. All units are squares; a chosen one is a full dot where it keeps its sign, an open one where not.
    """
    known = t[:, np.isfinite(t).all(axis=0)]
    reach = max(3.0, float(np.abs(known).max(initial=0.0))) * 1.05
    middle_x, middle_y, bottom = _X0 + _SIDE / 2, _Y0 + _SIDE / 2, _Y0 + _SIDE
    drawn = [
        # Where t keeps its sign: the two quarters in which a chosen unit comes again.
        f'<rect x="{middle_x}" y="{_Y0}" width="{_SIDE / 2}" height="{_SIDE / 2}" class="pl-again"/>',
        f'<rect x="{_X0}" y="{middle_y}" width="{_SIDE / 2}" height="{_SIDE / 2}" class="pl-again"/>',
        *density_squares(known, reach, (_X0, _Y0), _SIDE),
        f'<line x1="{_X0}" y1="{middle_y}" x2="{_X0 + _SIDE}" y2="{middle_y}" class="pl-axis"/>',
        f'<line x1="{middle_x}" y1="{_Y0}" x2="{middle_x}" y2="{bottom}" class="pl-axis"/>',
        f'<line x1="{_X0}" y1="{bottom}" x2="{_X0 + _SIDE}" y2="{_Y0}" class="pl-limit"/>',
    ]
    drawn += [_dot(unit, reach, middle_x, middle_y) for unit in found.units if unit.t_again is not None]
    drawn += [
        text(_X0 - 4, _Y0 + 10, f"+{reach:.1f}", "end"),
        text(_X0 - 4, bottom, f"−{reach:.1f}", "end"),
        text(_X0, bottom + 15, f"−{reach:.1f}", "start"),
        text(_X0 + _SIDE, bottom + 15, f"+{reach:.1f}", "end"),
        text(_X0, bottom + 33, f"→ t of {cut(names[0], 36)}", "start"),
        text(_X0, bottom + 49, f"↑ t of {cut(names[1], 36)}", "start"),
        *_score(found),
    ]
    return svg(_X0 + _SIDE + 8, _STRIP + 46, title, drawn)


def _dot(unit: ReplicatedUnit, reach: float, middle_x: float, middle_y: float) -> str:
    scale = _SIDE / 2 / reach
    x, y = middle_x + unit.t * scale, middle_y - unit.t_again * scale
    look = "pl-kept" if unit.t * unit.t_again > 0 else "pl-turned"
    words = f"{unit.unit}: t {unit.t:+.2f} where it was chosen, {unit.t_again:+.2f} on new pairs"
    return f'<g><title>{escape(words)}</title><circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" class="{look}"/></g>'


def _score(found: Replication) -> list[str]:
    """Draw the mean score of a new pair with its interval, and zero."""
    ends = [end for end in found.interval if end is not None]
    reach = max(0.5, *(abs(value) for value in (found.score, *ends))) * 1.1

    def x_of(value: float) -> float:
        return _X0 + _SIDE * (value + reach) / (2 * reach)

    drawn = [text(_X0, _STRIP - 20, f"a new pair's mean score: {found.score:+.2f} SD", "start")]
    drawn.append(f'<line x1="{_X0}" y1="{_STRIP}" x2="{_X0 + _SIDE}" y2="{_STRIP}" class="pl-axis"/>')
    drawn.append(f'<line x1="{x_of(0):.1f}" y1="{_STRIP - 12}" x2="{x_of(0):.1f}" y2="{_STRIP + 12}" class="pl-axis"/>')
    if len(ends) == 2:
        low, high = (x_of(end) for end in ends)
        words = f"95% interval {ends[0]:+.2f} to {ends[1]:+.2f}"
        drawn.append(
            f'<g><title>{words}</title><rect x="{low:.1f}" y="{_STRIP - 6}" width="{max(high - low, 1):.1f}" '
            f'height="12" class="pl-interval"/></g>'
        )
    x = x_of(found.score)
    drawn.append(f'<circle cx="{x:.1f}" cy="{_STRIP}" r="5" class="pl-kept"/>')
    drawn.append(text(x_of(0), _STRIP + 26, "0", "middle"))
    drawn.append(text(_X0, _STRIP + 42, "← the other way", "start"))
    drawn.append(text(_X0 + _SIDE, _STRIP + 42, "as on the first set →", "end"))
    return drawn
