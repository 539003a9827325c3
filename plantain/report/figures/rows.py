"""Pairs as dots.

`score_dots`   every pair's score against the others, by category
`rank_dots`    a visitor's pair among the run's pairs, by score
`pair_dots`    the same by difference, on the top units
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from plantain.findings.new_pair import PairResult, UnitScore
from plantain.findings.pairs import PairPart
from plantain.findings.unit import UnitProfile
from plantain.report.figures.svg import NEGATIVE, POSITIVE, svg, text
from plantain.runs.info import PairRecord

_LEFT, _PLOT = 6, 284  # as wide as a phone shows: names stand above their rows

_WIDTH = _LEFT + _PLOT + 6


def score_dots(parts: list[PairPart], title: str) -> str:
    """Draw how far every pair goes the way of the others, a row a category; the bar is the category's mean."""
    categories = list(dict.fromkeys(part.category for part in parts))
    reach = max([1.0, *(abs(part.score) for part in parts)]) * 1.05
    left, plot, step = _LEFT, _PLOT, 42
    bottom = 14 + step * len(categories)

    def x_of(value: float) -> float:
        return left + plot * (value + reach) / (2 * reach)

    drawn = [f'<line x1="{x_of(0):.1f}" y1="14" x2="{x_of(0):.1f}" y2="{bottom}" class="pl-axis"/>']
    for row, category in enumerate(categories):
        y, mine = 40 + row * step, [part for part in parts if part.category == category]
        x = x_of(float(np.mean([part.score for part in mine])))
        drawn.append(text(left, y - 14, category if len(category) < 45 else category[:43] + " …", "start"))
        drawn.append(f'<line x1="{x:.1f}" y1="{y - 9}" x2="{x:.1f}" y2="{y + 9}" class="pl-observed"/>')
        drawn += [_pair_dot(x_of(part.score), y, part) for part in mine]
    drawn.append(text(x_of(0), bottom + 16, "0", "middle"))
    drawn.append(text(left, bottom + 32, "← against the others", "start"))
    drawn.append(text(left + plot, bottom + 32, "with the others, in SDs →", "end"))
    return svg(left + plot + 6, bottom + 40, title, drawn)


def _pair_dot(x: float, y: float, part: PairPart) -> str:
    words = f"{part.id}: score {part.score:+.2f}, size {part.size:.2f}"
    return f'<g><title>{escape(words)}</title><circle cx="{x:.1f}" cy="{y}" r="5" class="pl-dot"/></g>'


def rank_dots(result: PairResult, title: str) -> str:
    """Draw the new pair's score among the run's pairs' scores, each of them from all the others."""
    reach = max([1.0, abs(result.score), *map(abs, result.scores)]) * 1.08
    y = 20
    parts = [_zero(reach, 6, y + 14)]
    parts += [f'<circle cx="{_x(s, reach):.1f}" cy="{y}" r="5" class="pl-dot"/>' for s in result.scores]
    parts.append(_diamond(_x(result.score, reach), y, f"your pair: score {result.score:+.2f}"))
    return svg(
        _WIDTH, y + 52, title, [*parts, *_ends(reach, y + 28, "← against the others", "with the others, in SDs →")]
    )


def pair_dots(result: PairResult, title: str, n_units: int = 12) -> str:
    """Draw the new pair among the run's pairs on the first of the top units, in SDs of the run's differences.

    The sign of each unit's t is taken out, so that right is always where the run's pairs point. The band is where one
    more pair of the run's kind would fall in 95% of cases.
    """
    units = [u for u in result.top if np.std(u.differences) > 0][:n_units]
    rows = [(u.unit, *_standardised(u)) for u in units]
    reach = max([3.0, *(float(np.abs(np.concatenate([d, [n], band])).max()) for _, d, n, band in rows)]) * 1.04
    step = 38
    bottom = 4 + step * len(rows)
    parts = [_zero(reach, 4, bottom)]
    for i, (unit, differences, new, band) in enumerate(rows):
        y = 28 + i * step
        if len(band):
            low, high = sorted(_x(end, reach) for end in band)
            parts.append(f'<rect x="{low:.1f}" y="{y - 7}" width="{high - low:.1f}" height="14" class="pl-band"/>')
        parts.append(text(_LEFT, y - 12, unit, "start"))
        parts.append(text(_LEFT + _PLOT, y - 12, f"yours {new:+.2f}", "end"))
        parts += [f'<circle cx="{_x(d, reach):.1f}" cy="{y}" r="3.5" class="pl-dot"/>' for d in differences]
        parts.append(_diamond(_x(new, reach), y, f"{unit}: your pair {new:+.2f} SD"))
    return svg(
        _WIDTH, bottom + 38, title, [*parts, *_ends(reach, bottom + 14, "← against the run", "with the run, in SDs →")]
    )


def _x(value: float, reach: float) -> float:
    return _LEFT + _PLOT * (value + reach) / (2 * reach)


def _zero(reach: float, top: float, bottom: float) -> str:
    x = _x(0, reach)
    return f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}" class="pl-axis"/>'


def _ends(reach: float, y: float, left: str, right: str) -> list[str]:
    """Write under a figure where zero is and what its two ends mean."""
    return [
        text(_x(0, reach), y, "0", "middle"),
        text(_LEFT, y + 16, left, "start"),
        text(_LEFT + _PLOT, y + 16, right, "end"),
    ]


def _standardised(unit: UnitScore) -> tuple[np.ndarray, float, np.ndarray]:
    """Return differences, the new one and the interval's ends (none, or two) in SDs, right where t points."""
    scale = np.sign(unit.t) / np.std(unit.differences, ddof=1)
    return np.array(unit.differences) * scale, unit.new * scale, np.array(unit.interval or ()) * scale


def _diamond(x: float, y: float, tooltip: str) -> str:
    points = f"{x:.1f},{y - 8} {x + 8:.1f},{y} {x:.1f},{y + 8} {x - 8:.1f},{y}"
    return f'<g><title>{escape(tooltip)}</title><polygon points="{points}" fill="{POSITIVE}" class="pl-new"/></g>'


_UNIT_LEFT, _UNIT_PLOT, _UNIT_STEP = 4, 290, 40  # as wide as a phone shows: the name stands above its row


def unit_dots(unit: UnitProfile, pairs: Sequence[PairRecord], sides: tuple[str, str], title: str) -> str:
    """Draw a unit's differences, a row a category; the line is the mean of all, the band its 95% interval.

    Parameters
    ----------
    unit : UnitProfile
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
    bottom = 10 + _UNIT_STEP * len(categories)

    def x_of(value: float) -> float:
        return _UNIT_LEFT + _UNIT_PLOT * (value + reach) / (2 * reach)

    low, high = (x_of(end) for end in unit.interval)
    drawn = [
        f'<rect x="{low:.1f}" y="10" width="{max(high - low, 1):.1f}" height="{bottom - 10}" class="pl-band"/>',
        _line(x_of(0), 10, bottom, "pl-axis"),
        _line(x_of(unit.mean), 10, bottom, "pl-observed"),
    ]
    for row, category in enumerate(categories):
        y = 38 + row * _UNIT_STEP
        drawn.append(text(_UNIT_LEFT, y - 14, category if len(category) < 45 else category[:43] + " …", "start"))
        drawn += [
            _dot(x_of(d), y, f"{r.pair.id}: {d:+.4g}. {r.pair.positive} / {r.pair.negative}")
            for d, r in zip(unit.differences.tolist(), pairs, strict=True)
            if r.pair.category == category
        ]
    drawn.append(text(x_of(0), bottom + 15, "0", "middle"))
    drawn.append(text(_UNIT_LEFT, bottom + 31, f"← larger under {sides[1]}", "start"))
    drawn.append(text(_UNIT_LEFT + _UNIT_PLOT, bottom + 31, f"larger under {sides[0]} →", "end"))
    return svg(_UNIT_LEFT + _UNIT_PLOT + 6, bottom + 39, title, drawn)


def scope_bars(values: Mapping[str, float], title: str) -> str:
    """Draw named t values as bars from zero, orange to the right, blue to the left; NaN has no bar."""
    known = [abs(t) for t in values.values() if np.isfinite(t)]
    reach, step, middle, half = max([3.0, *known]), 24, 180, 70
    drawn = [_line(middle, 4, 4 + step * len(values), "pl-axis")]
    for row, (name, t) in enumerate(values.items()):
        y = 4 + row * step
        drawn.append(text(_UNIT_LEFT, y + 16, name, "start"))
        if not np.isfinite(t):
            drawn.append(text(middle + 4, y + 16, "no t", "start"))
            continue
        width = half * abs(t) / reach
        x = middle if t > 0 else middle - width
        colour = POSITIVE if t > 0 else NEGATIVE
        drawn.append(f'<rect x="{x:.1f}" y="{y + 4}" width="{width:.1f}" height="{step - 8}" fill="{colour}"/>')
        drawn.append(text(_UNIT_LEFT + _UNIT_PLOT, y + 16, f"{t:+.2f}", "end"))
    return svg(_UNIT_LEFT + _UNIT_PLOT + 6, 8 + step * len(values), title, drawn)


def _line(x: float, top: float, bottom: float, look: str) -> str:
    return f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}" class="{look}"/>'


def _dot(x: float, y: float, words: str) -> str:
    return f'<g><title>{escape(words)}</title><circle cx="{x:.1f}" cy="{y}" r="5" class="pl-dot"/></g>'
