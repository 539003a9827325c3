"""Units that one set of pairs chose, on new pairs.

`replication_plot`   t on the new pairs against t on the first, and what a new pair scores
"""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from plantain.plots.density import density_squares
from plantain.plots.svg import cut, svg, text

_LEFT, _TOP, _PLOT = 34, 8, 270
_STRIP = _TOP + _PLOT + 100  # where the mean score is drawn


def replication_plot(t: np.ndarray, found: dict[str, Any], names: tuple[str, str], title: str) -> str:
    """Draw where chosen units fall on new pairs, among all units, and the mean score of a new pair below.

    Parameters
    ----------
    t : float array (2, n_units)
        Of all units on the first set and on the new one; units with a NaN are left out.
    found : dict
        ``replication`` of an atlas: the chosen units, the mean score and its interval.
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
    middle_x, middle_y, bottom = _LEFT + _PLOT / 2, _TOP + _PLOT / 2, _TOP + _PLOT
    drawn = [
        # Where t keeps its sign: the two quarters in which a chosen unit comes again.
        f'<rect x="{middle_x}" y="{_TOP}" width="{_PLOT / 2}" height="{_PLOT / 2}" class="pl-again"/>',
        f'<rect x="{_LEFT}" y="{middle_y}" width="{_PLOT / 2}" height="{_PLOT / 2}" class="pl-again"/>',
        *density_squares(known, reach, (_LEFT, _TOP), _PLOT),
        f'<line x1="{_LEFT}" y1="{middle_y}" x2="{_LEFT + _PLOT}" y2="{middle_y}" class="pl-axis"/>',
        f'<line x1="{middle_x}" y1="{_TOP}" x2="{middle_x}" y2="{bottom}" class="pl-axis"/>',
        f'<line x1="{_LEFT}" y1="{bottom}" x2="{_LEFT + _PLOT}" y2="{_TOP}" class="pl-limit"/>',
    ]
    drawn += [_dot(unit, reach, middle_x, middle_y) for unit in found["units"] if unit["t_again"] is not None]
    drawn += [
        text(_LEFT - 4, _TOP + 10, f"+{reach:.1f}", "end"),
        text(_LEFT - 4, bottom, f"−{reach:.1f}", "end"),
        text(_LEFT, bottom + 15, f"−{reach:.1f}", "start"),
        text(_LEFT + _PLOT, bottom + 15, f"+{reach:.1f}", "end"),
        text(_LEFT, bottom + 33, f"→ t of {cut(names[0], 36)}", "start"),
        text(_LEFT, bottom + 49, f"↑ t of {cut(names[1], 36)}", "start"),
        *_score(found),
    ]
    return svg(_LEFT + _PLOT + 8, _STRIP + 46, title, drawn)


def _dot(unit: dict[str, Any], reach: float, middle_x: float, middle_y: float) -> str:
    scale = _PLOT / 2 / reach
    x, y = middle_x + unit["t"] * scale, middle_y - unit["t_again"] * scale
    look = "pl-kept" if unit["t"] * unit["t_again"] > 0 else "pl-turned"
    words = f"{unit['unit']}: t {unit['t']:+.2f} where it was chosen, {unit['t_again']:+.2f} on new pairs"
    return f'<g><title>{escape(words)}</title><circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" class="{look}"/></g>'


def _score(found: dict[str, Any]) -> list[str]:
    """Draw the mean score of a new pair with its interval, and zero."""
    ends = [end for end in found["interval"] if end is not None]
    reach = max(0.5, *(abs(value) for value in (found["score"], *ends))) * 1.1

    def x_of(value: float) -> float:
        return _LEFT + _PLOT * (value + reach) / (2 * reach)

    drawn = [text(_LEFT, _STRIP - 20, f"a new pair's mean score: {found['score']:+.2f} SD", "start")]
    drawn.append(f'<line x1="{_LEFT}" y1="{_STRIP}" x2="{_LEFT + _PLOT}" y2="{_STRIP}" class="pl-axis"/>')
    drawn.append(f'<line x1="{x_of(0):.1f}" y1="{_STRIP - 12}" x2="{x_of(0):.1f}" y2="{_STRIP + 12}" class="pl-axis"/>')
    if len(ends) == 2:
        low, high = (x_of(end) for end in ends)
        words = f"95% interval {ends[0]:+.2f} to {ends[1]:+.2f}"
        drawn.append(
            f'<g><title>{words}</title><rect x="{low:.1f}" y="{_STRIP - 6}" width="{max(high - low, 1):.1f}" '
            f'height="12" class="pl-interval"/></g>'
        )
    x = x_of(found["score"])
    drawn.append(f'<circle cx="{x:.1f}" cy="{_STRIP}" r="5" class="pl-kept"/>')
    drawn.append(text(x_of(0), _STRIP + 26, "0", "middle"))
    drawn.append(text(_LEFT, _STRIP + 42, "← the other way", "start"))
    drawn.append(text(_LEFT + _PLOT, _STRIP + 42, "as on the first set →", "end"))
    return drawn
