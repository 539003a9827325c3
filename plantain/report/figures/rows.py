"""Figures with a row for each thing, its name in a column on the left: categories, units, scopes, axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from plantain.findings.atlas import AxisFacts, Likeness
from plantain.findings.new_pair import PairResult
from plantain.findings.pairs import PairPart
from plantain.findings.unit import UnitProfile
from plantain.report.figures import svg
from plantain.report.numbers import interval, number
from plantain.runs.info import PairRecord

_NAMES, _VALUES, _MARGIN = 122, 50, 14  # pixels: the columns of names and numbers, and the plot's margin without them


@dataclass(frozen=True)
class _Rows:
    """Named rows over one axis; names are at most two lines high."""

    names: Sequence[str]
    ends: tuple[float, float]
    values: Sequence[str] = ()
    step: float = 32

    @cached_property
    def x(self) -> svg.Scale:
        left, right = _NAMES if any(self.names) else _MARGIN, _VALUES if self.values else _MARGIN
        return svg.Scale(*self.ends, left, svg.WIDTH - right)

    def y(self, row: int) -> float:
        """Return the middle of a row."""
        return self.step * (row + 0.5)

    @property
    def bottom(self) -> float:
        return self.step * len(self.names)

    def drawing(
        self, marks: list[str], label: str, ends: tuple = ("", ""), entries: Sequence[tuple] = ()
    ) -> svg.Drawing:
        """Put names, numbers, axis and legend around marks; ends as for `svg.x_axis`, entries as for `svg.legend`."""
        drawn = svg.x_axis(self.x, self.bottom, label, ends, grid=0)
        drawn += [svg.line(self.x(0), 0, self.x(0), self.bottom, "pl-axis"), *marks]
        for row, name in enumerate(self.names):
            first, *rest = svg.wrap(name, _NAMES - 8)
            lines = [first, svg.fit(" ".join(rest), _NAMES - 8)] if rest else [first]
            top = self.y(row) + 4 - svg.LINE * (len(lines) - 1) / 2
            drawn += [svg.text(0, top + svg.LINE * i, words) for i, words in enumerate(lines) if words]
        for row, value in enumerate(self.values):
            drawn.append(svg.text(svg.WIDTH, self.y(row) + 4, svg.minus(value), "end"))
        explained, bottom = svg.legend(entries, self.bottom + 42) if entries else ([], self.bottom + 40)
        return svg.Drawing(svg.WIDTH, bottom, [*drawn, *explained])


# --- dots --------------------------------------------------------------------------------------------------


def score_dots(parts: Sequence[PairPart]) -> svg.Drawing:
    """Draw how far every pair goes the way of the others, a row a category, with the category's mean."""
    categories = list(dict.fromkeys(part.category for part in parts))
    rows = _Rows(categories, svg.around_zero([part.score for part in parts], 1.0))
    marks = []
    for row, category in enumerate(categories):
        y, mine = rows.y(row), [part for part in parts if part.category == category]
        mean = float(np.mean([part.score for part in mine]))
        tip = f"{category}: mean {mean:+.2f}"
        marks.append(svg.line(rows.x(mean), y - 10, rows.x(mean), y + 10, "pl-observed", tip))
        marks += [
            svg.dot(rows.x(part.score), y, "pl-dot", f"{part.id}: score {part.score:+.2f}, size {part.size:.2f}")
            for part in mine
        ]
    entries = (("dot", "pl-dot", "a pair"), ("line", "pl-observed", "the category's mean"))
    return rows.drawing(marks, "score, SDs", ("← against the rest", "with the rest →"), entries)


def unit_dots(unit: UnitProfile, pairs: Sequence[PairRecord], sides: tuple[str, str]) -> svg.Drawing:
    """Draw a unit's differences, a row a category; the line is the mean of all, the band its 95% interval.

    Parameters
    ----------
    unit : UnitProfile
    pairs : sequence of PairRecord (n_pairs,)
        The run's, in order; a dot's tooltip has its two prompts.
    sides : tuple of str
        What the positive and the negative side stand for.
    """
    categories = list(dict.fromkeys(record.pair.category for record in pairs))
    values = [*unit.differences.tolist(), *unit.interval]
    rows = _Rows(categories, svg.around_zero(values, 0.0 if any(values) else 1.0))
    low, high = (rows.x(end) for end in unit.interval)
    marks = [
        svg.box(low, 0, max(high - low, 1), rows.bottom, "pl-band"),
        svg.line(rows.x(unit.mean), 0, rows.x(unit.mean), rows.bottom, "pl-observed"),
    ]
    for value, record in zip(unit.differences.tolist(), pairs, strict=True):
        tip = f"{record.pair.id}: {value:+.4g}. {record.pair.positive} / {record.pair.negative}"
        marks.append(svg.dot(rows.x(value), rows.y(categories.index(record.pair.category)), "pl-dot", tip))
    entries = (
        ("dot", "pl-dot", "a pair"), ("line", "pl-observed", "mean"), ("box", "pl-band", "95% interval of the mean"),
    )  # fmt: skip
    return rows.drawing(marks, "difference", (f"← {sides[1]}", f"{sides[0]} →"), entries)


def rank_dots(result: PairResult) -> svg.Drawing:
    """Draw the new pair's score among the run's pairs' scores, each of them from all the others."""
    rows = _Rows([""], svg.around_zero([result.score, *result.scores], 1.0), step=44)
    y = rows.y(0)
    marks = [svg.dot(rows.x(score), y, "pl-dot", f"a pair of the run: {score:+.2f}") for score in result.scores]
    marks.append(svg.diamond(rows.x(result.score), y, "pl-new", f"the new pair: {result.score:+.2f}"))
    ends = ("← against the rest", "with the rest →")
    return rows.drawing(marks, "score, SDs", ends, _NEW_AND_OLD)


def pair_dots(result: PairResult, n_units: int) -> svg.Drawing:
    """Draw the new pair among the run's pairs on the first of the top units, in SDs of the run's differences.

    The sign of each unit's t is taken out, so that right is always where the run's pairs point. The band is where one
    more pair of the run's kind would fall in 95% of cases. A unit without spread has no SD and is left out.
    """
    units = [unit for unit in result.top if np.std(unit.differences) > 0][:n_units]
    scales = [np.sign(unit.t) / np.std(unit.differences, ddof=1) for unit in units]
    drawn = [
        scale * np.array([u.new, *u.differences, *(u.interval or ())]) for scale, u in zip(scales, units, strict=True)
    ]
    ends = svg.around_zero(np.concatenate([[], *drawn]), 3.0)
    rows = _Rows([unit.unit for unit in units], ends, [f"{values[0]:+.2f}" for values in drawn], step=26)
    marks = []
    for row, (unit, values) in enumerate(zip(units, drawn, strict=True)):
        y, (new, *others) = rows.y(row), map(rows.x, values)
        if unit.interval:
            low, high = sorted(others[-2:])
            marks.append(svg.box(low, y - 8, high - low, 16, "pl-band"))
        marks += [svg.dot(x, y, "pl-dot", radius=3.5) for x in others[: len(unit.differences)]]
        marks.append(svg.diamond(new, y, "pl-new", f"{unit.unit}: the new pair {values[0]:+.2f} SD"))
    entries = (*_NEW_AND_OLD, ("box", "pl-band", "95% of further pairs"))
    return rows.drawing(marks, "SDs", ("← against the run", "with the run →"), entries)


_NEW_AND_OLD = (("diamond", "pl-new", "the new pair"), ("dot", "pl-dot", "a pair of the run"))


def likeness_dots(rivals: Sequence[Likeness]) -> svg.Drawing:
    """Draw the true r of an axis with each rival and its interval, a row a rival; what is far outside 1 is cut."""
    said = [number(rival.true_r, "+.2f", "not estimable") for rival in rivals]
    rows = _Rows([rival.name for rival in rivals], svg.around_zero([1.0], _FAR), said)
    marks = []
    for row, rival in enumerate(rivals):
        y = rows.y(row)
        if rival.true_r is not None and None not in rival.interval:
            low, high = (rows.x(min(max(end, -_FAR), _FAR)) for end in rival.interval)
            marks.append(svg.box(low, y - 6, max(high - low, 1), 12, "pl-band"))
        if rival.true_r is not None:
            look = "pl-kept" if rival.has_map else "pl-turned"
            tip = f"{rival.name} ({rival.role}): true r {rival.true_r:+.2f} {interval(rival.interval)}"
            marks.append(svg.dot(rows.x(min(max(rival.true_r, -_FAR), _FAR)), y, look, tip))
    entries = (
        ("dot", "pl-kept", "a rival with a map"), ("dot", "pl-turned", "one without"),
        ("box", "pl-band", "95% interval"),
    )  # fmt: skip
    return rows.drawing(marks, "true r", ("← opposite", "alike →"), entries)


_FAR = 1.5  # of an r: by chance alone


# --- bars --------------------------------------------------------------------------------------------------


def scope_bars(values: Mapping[str, float], sides: tuple[str, str]) -> svg.Drawing:
    """Draw named t values as bars from zero, orange to the right, blue to the left; NaN has no bar.

    Parameters
    ----------
    values : mapping of str to float
    sides : tuple of str
        What the positive and the negative side stand for.
    """
    numbers = [number(t, "+.2f", "no t") for t in values.values()]
    rows = _Rows(list(values), svg.around_zero([t for t in values.values() if t == t], 3.0), numbers, step=24)
    marks = []
    for row, (name, t) in enumerate(values.items()):
        if t == t:
            left, right = sorted((rows.x(0), rows.x(t)))
            look = "pl-plus" if t > 0 else "pl-minus"
            marks.append(svg.box(left, rows.y(row) - 8, right - left, 16, look, f"{name}: {t:+.2f}"))
    return rows.drawing(marks, "t", (f"← {sides[1]}", f"{sides[0]} →"))


def count_bars(axes: Sequence[AxisFacts], threshold: int) -> svg.Drawing:
    """Draw the share of units over a threshold, a bar an axis, the largest first and noise floors last.

    Parameters
    ----------
    axes : sequence of AxisFacts
    threshold : int
        One of `analysis.THRESHOLDS`.

    Returns
    -------
    svg.Drawing
        The line across a bar's row is the 99th percentile of its own sign flips.
    """
    ordered = sorted(axes, key=lambda axis: (axis.role == "noise floor", -axis.thresholds[threshold].percent))
    shares = [axis.thresholds[threshold].percent for axis in ordered]
    chances = [100 * axis.thresholds[threshold].null_p99 / max(axis.n_units, 1) for axis in ordered]
    reach = max(1.0, *shares, *chances) * 1.05
    rows = _Rows([axis.name for axis in ordered], (0, reach), [f"{share:.1f}%" for share in shares])
    marks = []
    for row, (axis, share, chance) in enumerate(zip(ordered, shares, chances, strict=True)):
        y, look = rows.y(row), _ROLES.get(axis.role, _OTHER)[0]
        tip = f"{axis.name} ({axis.role}): {share:.1f}% of units; 99% of sign flips give at most {chance:.1f}%"
        marks.append(svg.box(rows.x(0), y - 8, rows.x(share) - rows.x(0), 16, look, tip))
        marks.append(svg.line(rows.x(chance), y - 11, rows.x(chance), y + 11, "pl-limit"))
    looks = dict.fromkeys(_ROLES.get(axis.role, _OTHER) for axis in ordered)
    entries = [*(("box", *look) for look in looks), ("line", "pl-limit", "99% of its sign flips")]
    return rows.drawing(marks, "percent of units", entries=entries)


_ROLES = {
    "axis": ("pl-axis-own", "the axis"), "replication": ("pl-axis-again", "its replication"),
    "sibling": ("pl-axis-sibling", "sibling"),
}  # fmt: skip
"""Role -> its class and its words; all other roles look alike."""

_OTHER = ("pl-axis-other", "control or noise floor")
