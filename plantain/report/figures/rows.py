"""Figures with a row for each thing, its name in a column on the left: categories, units, scopes, axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from plantain.findings.across_runs.atlas import AxisFacts, Likeness
from plantain.findings.known import Known
from plantain.findings.pairs import PairPart
from plantain.findings.unit import UnitProfile
from plantain.report.figures import svg
from plantain.report.labels import NEVER_KLEIN, run_label
from plantain.report.numbers import interval, minus, number
from plantain.runs.info import PairRecord
from plantain.stats import coin_range

_NAMES, _MARGIN = 0.37, 14  # of the width, the column of names at most; the plot's margin where there is no column


@dataclass(frozen=True)
class _Rows:
    """Named rows over one axis; names are at most two lines high."""

    width: float
    names: Sequence[str]
    ends: tuple[float, float]
    values: Sequence[str] = ()
    step: float = 32

    @cached_property
    def column(self) -> float:
        """How wide the column of names is."""
        widest = max(map(svg.text_width, self.names))
        return min(_NAMES * self.width, widest + 14) if widest else _MARGIN

    @cached_property
    def x(self) -> svg.Scale:
        right = max([_MARGIN, *(svg.text_width(minus(value)) + 14 for value in self.values)])
        return svg.Scale(*self.ends, self.column, self.width - right)

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
        drawn = svg.x_axis(self.x, self.bottom, label, ends, 0, self.width)
        drawn += [svg.line(self.x(0), 0, self.x(0), self.bottom, "pl-axis"), *marks]
        for row, name in enumerate(self.names):
            first, *rest = svg.wrap(name, self.column - 12)
            lines = [first, svg.fit(" ".join(rest), self.column - 12)] if rest else [first]
            top = self.y(row) + 4 - svg.LINE * (len(lines) - 1) / 2
            drawn += [svg.text(0, top + svg.LINE * i, words) for i, words in enumerate(lines) if words]
        for row, value in enumerate(self.values):
            drawn.append(svg.text(self.width, self.y(row) + 4, minus(value), "end"))
        explained, bottom = svg.legend(entries, self.bottom + 42, self.width) if entries else ([], self.bottom + 40)
        return svg.Drawing(self.width, bottom, [*drawn, *explained])


# --- dots --------------------------------------------------------------------------------------------------


def score_dots(parts: Sequence[PairPart], width: float) -> svg.Drawing:
    """Draw how far every pair goes the way of the others, a row a category, with the category's mean."""
    categories = list(dict.fromkeys(part.category for part in parts))
    rows = _Rows(width, categories, svg.around_zero([part.score for part in parts], 1.0))
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


def unit_dots(unit: UnitProfile, pairs: Sequence[PairRecord], sides: tuple[str, str], width: float) -> svg.Drawing:
    """Draw a unit's differences, a row a category; the line is the mean of all, the band its 95% interval.

    Parameters
    ----------
    unit : UnitProfile
    pairs : sequence of PairRecord (n_pairs,)
        The run's, in order; a dot's tooltip has its two prompts.
    sides : tuple of str
        What the positive and the negative side stand for.
    width : float
    """
    categories = list(dict.fromkeys(record.pair.category for record in pairs))
    values = [*unit.differences.tolist(), *unit.interval]
    rows = _Rows(width, categories, svg.around_zero(values, 0.0 if any(values) else 1.0))
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


def direction_dots(cosines: Sequence[float], pairs: Sequence[PairRecord], width: float) -> svg.Drawing:
    """Draw how far a unit's direction in every pair is that of all others, a row a category.

    Parameters
    ----------
    cosines : sequence of float (n_pairs,)
        From `findings.unit.UnitDirection`.
    pairs : sequence of PairRecord (n_pairs,)
        The run's, in order; a dot's tooltip has its two prompts.
    width : float
    """
    categories = list(dict.fromkeys(record.pair.category for record in pairs))
    rows, mean = _Rows(width, categories, (-1.05, 1.05)), float(np.mean(cosines))
    marks = [svg.line(rows.x(mean), 0, rows.x(mean), rows.bottom, "pl-observed", f"mean {mean:+.2f}")]
    for value, record in zip(cosines, pairs, strict=True):
        tip = f"{record.pair.id}: {value:+.2f}. {record.pair.positive} / {record.pair.negative}"
        marks.append(svg.dot(rows.x(value), rows.y(categories.index(record.pair.category)), "pl-dot", tip))
    entries = (("dot", "pl-dot", "a pair"), ("line", "pl-observed", "mean"))
    return rows.drawing(marks, "cosine", ("← against the others", "with the others →"), entries)


def redraw_dots(sets: Sequence[tuple[str, float, np.ndarray, str, bool]], what: str, width: float) -> svg.Drawing:
    """Draw chosen sets of heads, each among its redraws.

    Parameters
    ----------
    sets : sequence of (str, float, float array (n_redraws,), str, bool)
        A row each: its name, the chosen set's share, those of its redraws, its p in words, and whether it is the test
        or stands beside it.
    what : str
        What a share is of.
    width : float
    """
    values = np.concatenate([[0.0, 1.0], *([chosen, *drawn] for _, chosen, drawn, *_ in sets)])
    ends = (values.min() - 0.05, values.max() + 0.05)
    rows, marks = _Rows(width, [name for name, *_ in sets], ends, [p for *_, p, _ in sets], step=36), []
    tested = any(is_test for *_, is_test in sets)
    for row, (_, chosen, drawn, p, is_test) in enumerate(sets):
        for i, share in enumerate(drawn.tolist()):  # spread over the row's height, so that equal ones can be told
            marks.append(svg.dot(rows.x(share), rows.y(row) + 20 * (i * _GOLDEN % 1 - 0.5), "pl-dot", radius=2))
        tip = f"chosen: {chosen:.3f}; {np.count_nonzero(drawn >= chosen)} of {len(drawn)} redraws reach it"
        look = "pl-hollow" if tested and not is_test else "pl-new"
        marks.append(svg.diamond(rows.x(chosen), rows.y(row), look, f"{tip} ({p})" if p else tip))
    entries = [("diamond", "pl-new", "chosen heads, the test" if tested else "chosen heads")]
    if tested and len(sets) > 1:
        entries.append(("diamond", "pl-hollow", "beside the test"))
    entries.append(("dot", "pl-dot", "a redraw"))
    return rows.drawing(marks, what, entries=entries)


_GOLDEN = 0.618  # of the height from one dot to the next: neighbours in a list never touch


def likeness_dots(rivals: Sequence[Likeness], width: float) -> svg.Drawing:
    """Draw the true r of an axis with each rival and its interval, a row a rival; what is far outside 1 is cut."""
    said = [number(rival.true_r, "+.2f", "not estimable") for rival in rivals]
    rows = _Rows(width, [rival.name for rival in rivals], svg.around_zero([1.0], _FAR), said)
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


def told_dots(known: Sequence[Known], width: float) -> svg.Drawing:
    """Draw the percentage of pairs told right by models in which the truth is known, a row a run.

    Parameters
    ----------
    known : sequence of Known
    width : float

    Returns
    -------
    svg.Drawing
        The band of a row holds 95% of what a coin for each of its pairs gives. A run whose count is being computed has
        none yet.
    """
    said = [f"{one.told.k} of {one.told.n}" if one.told else "…" for one in known]
    names = [NEVER_KLEIN[one.run.info.weights] for one in known]
    for more in ([f"{one.run.info.size} px" for one in known], [one.name for one in known]):  # where two are alike
        names = [f"{name}, {m}" if names.count(name) > 1 else name for name, m in zip(names, more, strict=True)]
    rows = _Rows(width, names, (0, 103), said, step=40)
    marks = [svg.line(rows.x(50), 0, rows.x(50), rows.bottom, "pl-limit")]
    for row, one in enumerate(known):
        if one.told is None:
            continue
        y, n, name = rows.y(row), one.told.n, run_label(one.name, one.run.info)
        low, high = (rows.x(100 * end / n) for end in coin_range(n))
        marks.append(svg.box(low, y - 9, high - low, 18, "pl-band"))
        tip = f"{name}: {one.told.k} of {n} pairs told right, p = {one.told.p:.2g}"
        marks.append(svg.dot(rows.x(100 * one.told.k / n), y, "pl-kept" if one.is_there else "pl-turned", tip, 6))
    entries = (
        ("dot", "pl-kept", "trained to draw it"), ("dot", "pl-turned", "random weights"),
        ("line", "pl-limit", "chance"), ("box", "pl-band", "95% of a coin's counts"),
    )  # fmt: skip
    return rows.drawing(marks, "percent of pairs told right", entries=entries)


# --- bars --------------------------------------------------------------------------------------------------


def scope_bars(values: Mapping[str, float], sides: tuple[str, str], width: float) -> svg.Drawing:
    """Draw named t values as bars from zero, orange to the right, blue to the left; NaN has no bar.

    Parameters
    ----------
    values : mapping of str to float
    sides : tuple of str
        What the positive and the negative side stand for.
    width : float
    """
    numbers = [number(t, "+.2f", "no t") for t in values.values()]
    rows = _Rows(width, list(values), svg.around_zero([t for t in values.values() if t == t], 3.0), numbers, step=24)
    marks = []
    for row, (name, t) in enumerate(values.items()):
        if t == t:
            left, right = sorted((rows.x(0), rows.x(t)))
            look = "pl-plus" if t > 0 else "pl-minus"
            marks.append(svg.box(left, rows.y(row) - 8, right - left, 16, look, f"{name}: {t:+.2f}"))
    return rows.drawing(marks, "t", (f"← {sides[1]}", f"{sides[0]} →"))


def count_bars(axes: Sequence[AxisFacts], threshold: int, width: float) -> svg.Drawing:
    """Draw the share of units over a threshold, a bar an axis, the largest first and noise floors last.

    Parameters
    ----------
    axes : sequence of AxisFacts
    threshold : int
        One of `analysis.THRESHOLDS`.
    width : float

    Returns
    -------
    svg.Drawing
        The line across a bar's row is the 99th percentile of its own sign flips.
    """
    ordered = sorted(axes, key=lambda axis: (axis.role == "noise floor", -axis.thresholds[threshold].percent))
    shares = [axis.thresholds[threshold].percent for axis in ordered]
    chances = [100 * axis.thresholds[threshold].null_p99 / max(axis.n_units, 1) for axis in ordered]
    reach = max(1.0, *shares, *chances) * 1.05
    rows = _Rows(width, [axis.name for axis in ordered], (0, reach), [f"{share:.1f}%" for share in shares])
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

_OTHER = ("pl-axis-other", "control, positive contrast or noise floor")
