"""Strips of dots with a needle: where a new pair falls among a run's pairs, on their score and on single heads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from plantain.findings.new_pair import Control, PairResult, UnitScore
from plantain.findings.told import DIRECTION, MAGNITUDE
from plantain.report.figures import svg
from plantain.report.new_pair import score_words
from plantain.report.numbers import counted, minus

_MARGIN, _RADIUS = 14, 4.0  # pixels: left and right of the plot; of a dot

_UNITS = {MAGNITUDE: "SDs", DIRECTION: "mean cosine"}

_LEAST = {MAGNITUDE: 1.0, DIRECTION: 0.01}  # which an axis reaches on both sides

_NAME, _LANE = 18, 30  # pixels: the height of a row's name and of its dots


@dataclass(frozen=True)
class Strip:
    """Dots of one kind over an axis, and the needle among them.

    Attributes
    ----------
    name : str
    dots : sequence of float
    needle : float
    value : str
        Stands at the right end of the name's line.
    earlier : sequence of float
        Thin marks.
    band : tuple of float or None
        Shaded from one value to the other.
    measure : {"magnitude", "direction"}
        What the values are scores of: SDs, or mean cosines.
    """

    name: str
    dots: Sequence[float]
    needle: float
    value: str = ""
    earlier: Sequence[float] = ()
    band: tuple[float, float] | None = None
    measure: str = MAGNITUDE

    def words(self, value: float) -> str:
        """Write a value of the axis."""
        return score_words(value, self.measure)


def score_needle(
    result: PairResult,
    sides: tuple[str, str],
    width: float,
    control: Control | None = None,
    earlier: Sequence[float] = (),
) -> svg.Drawing:
    """Draw a new pair's score as a needle among the run's pairs, and through the pairs of a control.

    Parameters
    ----------
    result : PairResult
    sides : tuple of str
        What the run's positive and negative side stand for: the ends of the axis.
    width : float
    control : Control, optional
        A second line of dots, on the same axis.
    earlier : sequence of float
        Scores of a visitor's earlier pairs.
    """
    place = result.first
    said, reach = f"{len(place.scores)} pairs of this run", place.own.reach
    chance = (-reach, reach) if reach > 0 else None
    strips = [Strip(said, place.scores, place.score, earlier=earlier, band=chance, measure=place.measure)]
    if control:
        changed = " / ".join(control.sides)
        strips.append(
            Strip(
                f"{counted(len(control.scores), 'pair')} of a control, {changed}",
                control.scores,
                place.score,
                band=chance,
                measure=place.measure,
            )
        )
    values = [place.score, *place.scores, *earlier, *(control.scores if control else ()), reach]
    entries = [("box", "pl-band", "chance alone (95%)")] if chance else []
    entries += [("line", "pl-limit", "your earlier tries")] if earlier else []
    ends = (f"← {sides[1]}", f"{sides[0]} →")
    axis = svg.around_zero(values, _LEAST[place.measure])
    return _drawing(strips, axis, ends, f"yours {strips[0].words(place.score)}", width, entries)


def head_needles(units: Sequence[UnitScore], width: float) -> svg.Drawing:
    """Draw a strip for each of some heads, in SDs of the run's differences; right is where the run's pairs point.

    The sign of each unit's t is taken out. The band is where one more pair of the run's kind would fall in 95% of
    cases. A unit without spread has no SD and is left out.

    Parameters
    ----------
    units : sequence of UnitScore
    width : float
    """
    strips = []
    for unit in (unit for unit in units if np.std(unit.differences) > 0):
        scale = float(np.sign(unit.t) / np.std(unit.differences, ddof=1))
        dots, new = [scale * d for d in unit.differences], scale * unit.new
        band = (min(ends := [scale * end for end in unit.interval]), max(ends)) if unit.interval else None
        strips.append(Strip(unit.unit, dots, new, minus(f"{new:+.2f}"), band=band))
    values = [v for strip in strips for v in (strip.needle, *strip.dots)]  # a wide band is cut at the axis' ends
    entries = (
        ("line", "pl-observed", "yours"), ("dot", "pl-dot", "a pair of the run"),
        ("box", "pl-band", "95% of further pairs"),
    )  # fmt: skip
    return _drawing(strips, svg.around_zero(values, 3.0), ("← against", "with the run →"), "", width, entries)


def _drawing(
    strips: Sequence[Strip], ends: tuple[float, float], sides: tuple[str, str], label: str, width: float,
    entries: Sequence[tuple[str, str, str]],
) -> svg.Drawing:  # fmt: skip
    """Draw strips below one another over one axis; the label stands over the first needle."""
    x, marks, y = svg.Scale(*ends, _MARGIN, width - _MARGIN), [], 0.0
    ticks = x.ticks()
    for strip in strips:
        room = width - svg.text_width(strip.value) - 8
        marks.append(svg.text(0, y + 13, svg.fit(strip.name, room)))
        marks += [svg.text(width, y + 13, strip.value, "end")] if strip.value else []
        y += _NAME
        if label:
            half = svg.text_width(label) / 2
            middle = min(max(x(strip.needle), half), width - half)
            marks.append(svg.text(middle, y + 12, minus(label), "middle"))
            y, label = y + 16, ""
        marks += _lane(strip, x, ticks, y)
        y += _LANE + 4
    marks += svg.x_axis(x, y, _UNITS[strips[0].measure if strips else MAGNITUDE], sides, width=width)
    explained, bottom = svg.legend(entries, y + 42, width) if entries else ([], y + 40)
    return svg.Drawing(width, bottom, [*marks, *explained])


def _lane(strip: Strip, x: svg.Scale, ticks: Sequence[float], top: float) -> list[str]:
    """Draw one strip's dots, spread so that none hides another as far as there is room, and its needle."""
    bottom, middle = top + _LANE, top + _LANE / 2
    marks = [svg.line(x(value), top, x(value), bottom, "pl-grid") for value in ticks]
    marks.append(svg.line(x(0), top, x(0), bottom, "pl-axis"))
    if strip.band:
        low, high = (x(min(max(end, x.low), x.high)) for end in strip.band)
        marks.append(svg.box(low, top + 3, high - low, _LANE - 6, "pl-band"))
    marks += [
        svg.line(x(old), top, x(old), bottom, "pl-limit", f"an earlier try: {strip.words(old)}")
        for old in strip.earlier
    ]
    for value, offset in zip(strip.dots, _spread([x(value) for value in strip.dots]), strict=True):
        marks.append(svg.dot(x(value), middle + offset, "pl-dot", f"a pair: {strip.words(value)}", _RADIUS))
    tip, place = f"yours: {strip.words(strip.needle)} {_UNITS[strip.measure]}", x(strip.needle)
    return [*marks, svg.line(place, top, place, bottom, "pl-observed", tip), svg.dot(place, top + 2, "pl-new", tip, 4)]


def _spread(places: Sequence[float]) -> list[float]:
    """Return how far each dot is moved up or down: the least of five steps at which it hides no other."""
    taken: dict[float, list[float]] = {step: [] for step in _STEPS}
    found = []
    for place in places:
        free = (step for step, there in taken.items() if all(abs(place - other) >= 2 * _RADIUS for other in there))
        found.append(next(free, 0.0))
        taken[found[-1]].append(place)
    return found


_STEPS = (0.0, -6.0, 6.0, -11.0, 11.0)
