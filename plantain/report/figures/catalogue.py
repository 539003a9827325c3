"""Every figure with its title and its caption: what the page shows, what a file holds and what a card says.

`FIGURES` holds them by what they are drawn from and by their names; `figure` looks one up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from plantain import PlantainError, stats
from plantain.findings.atlas import Atlas, Axis
from plantain.findings.comparison import Comparison, compare
from plantain.findings.new_pair import PairResult
from plantain.findings.pairs import PairPart, by_pair
from plantain.findings.unit import UnitProfile, profile_unit
from plantain.report.atlas import share_words
from plantain.report.figures.distributions import null_histogram, split_histogram
from plantain.report.figures.maps import axis_triangle, drawn_units, heat_maps
from plantain.report.figures.rows import (
    count_bars,
    likeness_dots,
    pair_dots,
    rank_dots,
    scope_bars,
    score_dots,
    unit_dots,
)
from plantain.report.figures.scatter import replication_plot, t_density
from plantain.report.figures.svg import Drawing, standalone
from plantain.report.labels import UNIT_WORDS, run_sides, sides_words, weights_label, weights_words
from plantain.report.numbers import interval
from plantain.runs.analysis import THRESHOLDS, Analysis
from plantain.runs.inference import NULL_SPLITS, null_reliability
from plantain.runs.run import Run
from plantain.runs.units import Selection

N_DRAWN = 12  # heads in the picture of a new pair; the table has all


class FigureError(PlantainError, ValueError):
    """A figure that a choice does not have."""


@dataclass(frozen=True)
class Figure:
    """A figure and what is said of it.

    Attributes
    ----------
    draw : callable
        Draws it; raises `NotComparableError` where the units of one run are not those of the other.
    title, caption : str
        What is drawn, a sentence; how to read it, and which weights made it.
    runs : tuple of Run
        Whose weights these are; empty where they are all that went in.
    """

    draw: Callable[[], Drawing]
    title: str
    caption: str
    runs: tuple[Run, ...] = ()

    @property
    def svg(self) -> str:
        """The figure for the page."""
        return self.draw().svg(self.title)

    @property
    def document(self) -> str:
        """The figure as an SVG file, its title and caption below it."""
        return standalone(self.draw(), self.title, self.caption)


# --- of one run --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OneRun:
    """A run under one choice of units and scope, and the unit that is looked at: the largest where none is named."""

    run: Run
    selection: Selection
    unit: str = ""

    @property
    def runs(self) -> tuple[Run, ...]:
        return (self.run,)

    @property
    def sides(self) -> tuple[str, str]:
        """What the positive and the negative side stand for."""
        return run_sides(self.run)

    @cached_property
    def profile(self) -> UnitProfile:
        a = self.run.analysis(self.selection)
        return profile_unit(self.run, self.unit or a.table.names[a.ranking[0]], self.selection.scope)

    @cached_property
    def parts(self) -> list[PairPart]:
        return by_pair(self.run, self.selection)


def _of(chosen: Selection | PairResult | Atlas) -> str:
    return f"{UNIT_WORDS[chosen.units]}, scope {chosen.scope}"


def _mapped(units: str) -> str:
    """Return which units a map shows."""
    if units == "embedding":
        raise FigureError("The prompt embedding has no blocks and no heads to draw. Choose other units.")
    return drawn_units(units)


def _colours(sides: tuple[str, str]) -> str:
    return f"A row is a block. Orange: larger under “{sides[0]}”; blue: larger under “{sides[1]}”."


def _map(of: OneRun) -> Figure:
    units = _mapped(of.selection.units)
    return Figure(
        lambda: heat_maps([(of.run.analysis(Selection(units, of.selection.scope)), "")]),
        f"t of {UNIT_WORDS[units]}, {sides_words(*of.sides)}, scope {of.selection.scope}.",
        _colours(of.sides),
    )


def _null(row: int, of: OneRun) -> Figure:
    a, threshold = of.run.analysis(of.selection), THRESHOLDS[row]
    p = stats.count_p(int(np.count_nonzero(np.abs(a.t) > threshold)), a.null.counts[row])
    return Figure(
        lambda: null_histogram(a, row),
        f"Units over |t| > {threshold:g} in the run and under {len(a.null.signs):,} sign flips; {_of(of.selection)}.",
        f"p of the run's count: {p:.3g} (one-sided, from these flips).",
    )


def _halves(of: OneRun) -> Figure:
    a, halves = of.run.analysis(of.selection), of.run.halves
    return Figure(
        lambda: split_histogram(a.split_r, null_reliability(a, halves)),
        f"Split-half r of t, of the run and of sign-flipped data; {_of(of.selection)}.",
        "Above, a value a split of the same pairs: their spread is no confidence interval. Below, a value a flip, the "
        f"median over {min(NULL_SPLITS, len(halves))} splits: what dependent units agree on by chance.",
    )


def _one_unit(of: OneRun) -> Figure:
    seen, rank = of.profile, ""
    if seen.rank is not None:
        rank = f" Rank {seen.rank:,} of {seen.n_units:,} by |t|: expect a large one to be smaller elsewhere."
    return Figure(
        lambda: unit_dots(seen, of.run.pairs, of.sides),
        f"{seen.name}: {len(seen.differences)} differences, {sides_words(*of.sides)}, scope {seen.scope}.",
        f"The line is the mean of all pairs, the band its 95% interval.{rank}",
    )


def _by_scope(of: OneRun) -> Figure:
    seen = of.profile
    return Figure(
        lambda: scope_bars(seen.scopes, of.sides),
        f"t of {seen.name} in every scope.",
        "A scope is a choice of tokens.",
    )


def _slices(of: OneRun) -> Figure:
    seen = of.profile
    if not seen.slices:
        raise FigureError(f"{seen.name} has no slices inside. Choose a head or an MLP group in “One head”.")
    return Figure(
        lambda: scope_bars({name.partition(" ")[2]: t for name, t in seen.slices.items()}, of.sides),
        f"t of the card's slices inside {seen.name}, scope {seen.scope}.",
        "A slice has 16 channels.",
    )


def _pairs(of: OneRun) -> Figure:
    return Figure(
        lambda: score_dots(of.parts),
        f"How far each pair goes the way of the others; {_of(of.selection)}.",
        "A pair's score is its mean difference, in SDs, on the units that all other pairs choose.",
    )


# --- of two runs -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TwoRuns:
    """Two runs and their names, under one choice of units and scope."""

    runs: tuple[Run, Run]
    names: tuple[str, str]
    selection: Selection

    @cached_property
    def found(self) -> Comparison:
        return compare(*self.runs, self.selection)


def _map_of(which: int, of: TwoRuns) -> Figure:
    drawn = _map(OneRun(of.runs[which], of.selection))
    return replace(drawn, title=f"{of.names[which]}: {drawn.title}", runs=(of.runs[which],))


def t_difference(of: TwoRuns) -> Analysis:
    """Return the first run's analysis with the difference of both runs' t in the place of t.

    Raises
    ------
    FigureError
        The units have no map.
    NotComparableError
        The units of one run are not those of the other.
    """
    drawn = Selection(_mapped(of.selection.units), of.selection.scope)
    first, second = compare(*of.runs, drawn).t
    return replace(of.runs[0].analysis(drawn), t=first - second)


def _difference(of: TwoRuns) -> Figure:
    return Figure(
        lambda: heat_maps([(t_difference(of), "")], "difference of t"),
        f"Difference of t of {UNIT_WORDS[_mapped(of.selection.units)]}, {' minus '.join(of.names)}, scope "
        f"{of.selection.scope}.",
        "A row is a block. A difference of two t is no t: it has no scale of chance of its own.",
    )


def _density(of: TwoRuns) -> Figure:
    found = of.found
    return Figure(
        lambda: t_density(found.t, of.names),
        f"t in {of.names[1]} against t in {of.names[0]}; {_of(of.selection)}.",
        f"{found.n_units:,} units counted in squares; the stronger a square, the more.",
    )


# --- of a new pair -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OnePair:
    """A new pair's result, and the run that it was ranked in."""

    result: PairResult
    run: Run

    @property
    def runs(self) -> tuple[Run, ...]:
        return (self.run,)


def _scores(of: OnePair) -> Figure:
    return Figure(
        lambda: rank_dots(of.result),
        f"Score of the new pair among the run's {len(of.result.scores)}; {_of(of.result)}.",
        "Each pair is scored on the heads that all the others choose. One pair is one pair.",
    )


def _top_units(of: OnePair) -> Figure:
    result = of.result
    return Figure(
        lambda: pair_dots(result, N_DRAWN),
        f"Differences of the new pair on the run's top heads, {min(N_DRAWN, len(result.top))} of {len(result.top)}; "
        f"{_of(of.result)}.",
        "Right is where the run's pairs point. The heads were chosen on the run's own pairs: expect the new one to "
        "look weaker (regression to the mean). One pair is one pair.",
    )


# --- of several axes ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ManyAxes:
    """An atlas, and the axes that it was made of."""

    atlas: Atlas
    axes: list[Axis]

    @property
    def runs(self) -> tuple[Run, ...]:
        return (self.axes[0].run,)  # all are of one model


def _replication(of: ManyAxes) -> Figure:
    found, selection = of.atlas.replication, Selection(of.atlas.units, of.atlas.scope)
    if found is None:
        raise FigureError("There is no run of the replication, prompts/moral_valence_replication.toml.")
    names = of.axes[0].name, found.name
    t = np.stack([axis.run.analysis(selection).t for name in names for axis in of.axes if axis.name == name])
    return Figure(
        lambda: replication_plot(t, found, names),
        f"Units chosen on {names[0]}, measured on the new pairs of {names[1]}; {_of(of.atlas)}.",
        f"Dots are the {len(found.units)} units with the largest |t| on the first set, which alone chose them and "
        f"their signs: {found.n_same_sign} keep their sign on the new pairs (shaded quarters). On the dashed line "
        "t would be as large again; chosen units are expected to fall below it. Under it the mean score of "
        f"{found.n_pairs} new pairs on the chosen units, 95% interval {interval(found.interval)}.",
    )


def _counts(of: ManyAxes) -> Figure:
    return Figure(
        lambda: count_bars(of.atlas.axes, 3),
        f"Units over |t| > 3 on each axis; {_of(of.atlas)}.",
        "99% of an axis' own sign flips do not exceed its dashed line. The noise floor stands last.",
    )


def _correlations(of: ManyAxes) -> Figure:
    found = {(row.first, row.second): row.true_r for row in of.atlas.between}
    return Figure(
        lambda: axis_triangle([axis.name for axis in of.atlas.axes], found),
        f"Correlation of the maps of t of every two axes; {_of(of.atlas)}.",
        "A name ends its row and stands on top of its column. The unreliability of both maps is taken out, so that r "
        "may exceed 1 by chance; a dashed cell is not estimable: a map there does not agree with itself, or the "
        "interval holds all that a correlation can be.",
    )


def _rivals(of: ManyAxes) -> Figure:
    found = of.atlas.unique
    if found is None:
        raise FigureError("There is no run of the replication, or none of a sibling or control.")
    return Figure(
        lambda: likeness_dots(found.rivals),
        f"Correlation of {of.axes[0].name} with each rival; {_of(of.atlas)}.",
        "The unreliability of both maps is taken out of r. Of what the axis and its replication share, not shared with "
        f"the rivals that have a map: {share_words(found)}.",
    )


# --- of a card ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OnCard:
    """A run that is published, and the untrained control on the same prompts where there is one."""

    run: Run
    control: Run | None

    @property
    def runs(self) -> tuple[Run, ...]:
        return (self.run, self.control) if self.control else (self.run,)


def _heads(of: OnCard) -> Figure:
    sides = run_sides(of.run)
    return Figure(
        lambda: heat_maps([(run.analysis(Selection("heads")), f"{weights_label(run.info)}:") for run in of.runs]),
        f"Paired t of every true attention head, {sides_words(*sides)}, all recorded tokens.",
        f"{_colours(sides)}{' Below: the control.' if of.control else ''}",
    )


# --- all of them -------------------------------------------------------------------------------------------


Input = OneRun | TwoRuns | OnePair | ManyAxes | OnCard

FIGURES: dict[type, dict[str, Callable[[Any], Figure]]] = {
    OneRun: {
        "map of heads": _map,
        **{f"null of |t| over {threshold:g}": partial(_null, row) for row, threshold in enumerate(THRESHOLDS)},
        "split halves": _halves,
        "one head": _one_unit,
        "one head by scope": _by_scope,
        "slices of one head": _slices,
        "pairs": _pairs,
    },
    TwoRuns: {
        "map of the first run": partial(_map_of, 0),
        "map of the second run": partial(_map_of, 1),
        "map of the difference": _difference,
        "t against t": _density,
    },
    OnePair: {"scores": _scores, "top heads": _top_units},
    ManyAxes: {"replication": _replication, "counts": _counts, "correlations": _correlations, "rivals": _rivals},
    OnCard: {"heads": _heads},
}
"""What a figure is drawn from -> its name -> input to figure, in the order of the page."""


def figure(name: str, of: Input) -> Figure:
    """Look up a figure.

    Parameters
    ----------
    name : str
        One of those that `FIGURES` has for this kind of input.
    of : OneRun, TwoRuns, OnePair, ManyAxes or OnCard

    Raises
    ------
    FigureError
        There is nothing to draw.
    NotComparableError
        The units of one run are not those of the other.
    """
    made = FIGURES[type(of)][name](of)
    return replace(made, caption=f"{made.caption} {weights_words(*(made.runs or of.runs))}")
