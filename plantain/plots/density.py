"""t of one run against t of another.

`t_density`         units counted in squares: thousands of dots could not be seen
`density_squares`   the squares alone
"""

from __future__ import annotations

from html import escape

import numpy as np

from plantain.plots.svg import cut, svg, text

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
