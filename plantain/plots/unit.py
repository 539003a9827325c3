"""One unit's differences.

`unit_dots`    a dot a pair, by category, with the mean and its interval
`scope_bars`   t of the unit in every scope, or of its slices
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from plantain.closeup import CloseUp
from plantain.plots.svg import NEGATIVE, POSITIVE, svg, text
from plantain.provenance import PairRecord

_LEFT, _PLOT, _STEP = 4, 290, 40  # as wide as a phone shows: the name stands above its row


def unit_dots(unit: CloseUp, pairs: Sequence[PairRecord], sides: tuple[str, str], title: str) -> str:
    """Draw a unit's differences, a row a category; the line is the mean of all, the band its 95% interval.

    Parameters
    ----------
    unit : CloseUp
    pairs : sequence of PairRecord (n_pairs,)
        The run's, in order; a dot's tooltip has its two prompts.
    sides : tuple of str
        What the positive and the negative side stand for.
    title : str
        What the figure shows, for screen readers.

    Returns
    -------
    str
        SVG.
    """
    categories = list(dict.fromkeys(record.pair.category for record in pairs))
    reach = max(float(np.abs(unit.differences).max()), *(abs(end) for end in unit.interval)) * 1.06 or 1.0
    bottom = 10 + _STEP * len(categories)

    def x_of(value: float) -> float:
        return _LEFT + _PLOT * (value + reach) / (2 * reach)

    low, high = (x_of(end) for end in unit.interval)
    drawn = [
        f'<rect x="{low:.1f}" y="10" width="{max(high - low, 1):.1f}" height="{bottom - 10}" class="pl-band"/>',
        _line(x_of(0), 10, bottom, "pl-axis"),
        _line(x_of(unit.mean), 10, bottom, "pl-observed"),
    ]
    for row, category in enumerate(categories):
        y = 38 + row * _STEP
        drawn.append(text(_LEFT, y - 14, category if len(category) < 45 else category[:43] + " …", "start"))
        drawn += [
            _dot(x_of(d), y, f"{r.pair.id}: {d:+.4g}. {r.pair.positive} / {r.pair.negative}")
            for d, r in zip(unit.differences.tolist(), pairs, strict=True)
            if r.pair.category == category
        ]
    drawn.append(text(x_of(0), bottom + 15, "0", "middle"))
    drawn.append(text(_LEFT, bottom + 31, f"← larger under {sides[1]}", "start"))
    drawn.append(text(_LEFT + _PLOT, bottom + 31, f"larger under {sides[0]} →", "end"))
    return svg(_LEFT + _PLOT + 6, bottom + 39, title, drawn)


def scope_bars(values: Mapping[str, float], title: str) -> str:
    """Draw named t values as bars from zero, orange to the right, blue to the left; NaN has no bar."""
    known = [abs(t) for t in values.values() if np.isfinite(t)]
    reach, step, middle, half = max([3.0, *known]), 24, 180, 70
    drawn = [_line(middle, 4, 4 + step * len(values), "pl-axis")]
    for row, (name, t) in enumerate(values.items()):
        y = 4 + row * step
        drawn.append(text(_LEFT, y + 16, name, "start"))
        if not np.isfinite(t):
            drawn.append(text(middle + 4, y + 16, "no t", "start"))
            continue
        width = half * abs(t) / reach
        x = middle if t > 0 else middle - width
        colour = POSITIVE if t > 0 else NEGATIVE
        drawn.append(f'<rect x="{x:.1f}" y="{y + 4}" width="{width:.1f}" height="{step - 8}" fill="{colour}"/>')
        drawn.append(text(_LEFT + _PLOT, y + 16, f"{t:+.2f}", "end"))
    return svg(_LEFT + _PLOT + 6, 8 + step * len(values), title, drawn)


def _line(x: float, top: float, bottom: float, look: str) -> str:
    return f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}" class="{look}"/>'


def _dot(x: float, y: float, words: str) -> str:
    return f'<g><title>{escape(words)}</title><circle cx="{x:.1f}" cy="{y}" r="5" class="pl-dot"/></g>'
