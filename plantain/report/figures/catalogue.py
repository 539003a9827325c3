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
from plantain.findings.across_runs.atlas import Atlas, Axis
from plantain.findings.across_runs.comparison import Comparison, compare
from plantain.findings.directions import unit_directions
from plantain.findings.interventions import cause, set_shares
from plantain.findings.known import Known
from plantain.findings.new_pair import Control, PairResult
from plantain.findings.pairs import PairPart, by_pair
from plantain.findings.published import Published, comparable
from plantain.findings.unit import UnitProfile, profile_unit
from plantain.prompts.sets import model_of, shipped_file, shipped_sets
from plantain.report.across_runs.atlas import share_words
from plantain.report.figures.context import CONTROL, PUBLISHED, RUN, Bar, context_bars
from plantain.report.figures.distributions import null_histogram, split_histogram
from plantain.report.figures.maps import axis_triangle, drawn_units, heat_maps
from plantain.report.figures.needle import head_needles, score_needle
from plantain.report.figures.rows import (
    count_bars,
    direction_dots,
    likeness_dots,
    redraw_dots,
    scope_bars,
    score_dots,
    told_dots,
    unit_dots,
)
from plantain.report.figures.scatter import replication_plot, t_density
from plantain.report.figures.svg import FILE, Drawing, fluid, standalone
from plantain.report.interventions import REDRAW_MEANINGS, SHORT_REDRAWS, TITLES
from plantain.report.labels import UNIT_WORDS, run_sides, sides_words, weights_label, weights_words
from plantain.report.numbers import counted, interval
from plantain.runs.analysis import THRESHOLDS, Analysis
from plantain.runs.attached.interventions import Interventions
from plantain.runs.inference import NULL_SPLITS, null_reliability
from plantain.runs.run import Run
from plantain.runs.units import CARD, Selection

AGREEMENT = "z of agreement"

N_STRIPS = 5  # heads of a new pair that are seen at once

LONGEST = 90  # characters of a title: a line on the page


class FigureError(PlantainError, ValueError):
    """A figure that a choice does not have."""


@dataclass(frozen=True)
class Figure:
    """A figure and what is said of it.

    Attributes
    ----------
    draw : callable
        Draws it in a width; raises `NotComparableError` where the units of one run are not those of the other.
    title : str
        What is drawn, a sentence of one line.
    more : str
        Of what exactly, and how to read it.
    runs : tuple of Run
        Whose weights these are; empty where they are all that went in.
    weights : str
        They in words; `figure` fills it in.
    """

    draw: Callable[[float], Drawing]
    title: str
    more: str
    runs: tuple[Run, ...] = ()
    weights: str = ""

    def __post_init__(self) -> None:
        assert len(self.title) <= LONGEST, f"a title of {len(self.title)} characters: {self.title}"

    @property
    def caption(self) -> str:
        """All that is said below the title."""
        return f"{self.more} {self.weights}".strip()

    @property
    def svg(self) -> str:
        """The figure for the page."""
        return fluid(self.draw, self.title)

    @property
    def document(self) -> str:
        """The figure as an SVG file, its title and caption below it."""
        return standalone(self.draw(FILE), self.title, self.caption)


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
    words = f"{UNIT_WORDS[chosen.units]}, scope {chosen.scope}."
    return f"{words[0].upper()}{words[1:]}"


def _cut(words: str, most: int) -> str:
    """Shorten a name for a title; what follows the title has it whole."""
    return words if len(words) <= most else f"{words[: most - 1].rstrip()}…"


_ONE = {"heads": "attention head", "text-heads": "head of the text stream", "mlp": "MLP group"}
"""What a cell of a map is."""


def _mapped(units: str) -> str:
    """Return which units a map shows."""
    if units == "embedding":
        raise FigureError("The prompt embedding has no blocks and no heads to draw. Choose other units.")
    return drawn_units(units)


def _colours(sides: tuple[str, str]) -> str:
    return f"A row is a block. Orange: larger under “{sides[0]}”; blue: larger under “{sides[1]}”."


def _map(of: OneRun) -> Figure:
    units = _mapped(of.selection.units)
    positive, negative = (_cut(side, 14) for side in of.sides)
    return Figure(
        lambda width: heat_maps([(of.run.analysis(Selection(units, of.selection.scope)), "")], width),
        f"t of every {_ONE[units]}: orange under “{positive}”, blue under “{negative}”.",
        f"Paired t of {UNIT_WORDS[units]}, {sides_words(*of.sides)}, scope {of.selection.scope}. {_colours(of.sides)}",
    )


def directed_map(of: OneRun) -> Analysis:
    """Return a run's analysis with the agreement of directions, in units of its spread, in the place of t.

    Raises
    ------
    FigureError
        The run keeps no directions of these units.
    """
    drawn = Selection(_mapped(of.selection.units), of.selection.scope)
    found = unit_directions(of.run, drawn)
    if found is None:
        raise FigureError(f"This run keeps no directions of the {UNIT_WORDS[drawn.units]}: magnitudes alone.")
    return replace(of.run.analysis(drawn), t=found.agreement.z)


def _directed(of: OneRun) -> Figure:
    analysis = directed_map(of)
    return Figure(
        lambda width: heat_maps([(analysis, "")], width, AGREEMENT),
        f"How far the pairs’ directions agree in every {_ONE[analysis.table.units]}; orange: more.",
        f"Agreement of the directions of {UNIT_WORDS[analysis.table.units]}, {sides_words(*of.sides)}, scope "
        f"{of.selection.scope}. A row is a block. Orange: the pairs agree more than chance gives; blue: less. z is the "
        "agreement over its spread under sign flips, so that all heads are on one scale.",
    )


def _null(row: int, of: OneRun) -> Figure:
    a, threshold = of.run.analysis(of.selection), THRESHOLDS[row]
    p = stats.count_p(int(np.count_nonzero(np.abs(a.t) > threshold)), a.null.counts[row])
    return Figure(
        lambda width: null_histogram(a, row, width),
        f"Units over |t| > {threshold:g}: in this run, and in {len(a.null.signs):,} sign flips.",
        "The bars are what chance gives. The farther the line of this run stands to their right, the more seldom "
        f"chance gives as many. {_of(of.selection)} p of the run's count: {p:.3g} (one-sided, from these flips).",
    )


def _halves(of: OneRun) -> Figure:
    a, halves = of.run.analysis(of.selection), of.run.halves
    return Figure(
        lambda width: split_histogram(a.split_r, null_reliability(a, halves), width),
        "How alike the maps of two halves of the pairs are: this run, and flipped data.",
        f"Split-half r of t. {_of(of.selection)} Above, a value a split of the same pairs: their spread is no "
        "confidence interval. Below, a value a flip, the median over "
        f"{min(NULL_SPLITS, len(halves))} splits: what dependent units agree on by chance.",
    )


def _one_unit(of: OneRun) -> Figure:
    seen, rank = of.profile, ""
    if seen.rank is not None:
        rank = f" Rank {seen.rank:,} of {seen.n_units:,} by |t|: expect a large one to be smaller elsewhere."
    return Figure(
        lambda width: unit_dots(seen, of.run.pairs, of.sides, width),
        f"{seen.name}: the difference of each of the {len(seen.differences)} pairs.",
        f"{sides_words(*of.sides)}, scope {seen.scope}. The line is the mean of all pairs, the band its 95% "
        f"interval.{rank}",
    )


def _unit_direction(of: OneRun) -> Figure:
    seen = of.profile
    found = seen.direction
    if found is None:
        raise FigureError(f"This run keeps no directions of {seen.name}: magnitudes alone.")
    return Figure(
        lambda width: direction_dots(found.cosines.tolist(), of.run.pairs, width),
        f"{seen.name}: {found.told} of {found.n_pairs} pairs go the way of the others.",
        f"Cosine of each pair's direction with the mean direction of all others, scope {seen.scope}. {found.told} of "
        f"{found.n_pairs} are above zero: told right. The direction of a pair is the difference of its two mean "
        "vectors without the part along the head's mean.",
    )


def _by_scope(of: OneRun) -> Figure:
    seen = of.profile
    return Figure(
        lambda width: scope_bars(seen.scopes, of.sides, width),
        f"{seen.name}: t over each choice of tokens.",
        f"{sides_words(*of.sides)}. A scope is a choice of tokens.",
    )


def _slices(of: OneRun) -> Figure:
    seen = of.profile
    if not seen.slices:
        raise FigureError(f"{seen.name} has no slices inside. Choose a head or an MLP group in “One head”.")
    return Figure(
        lambda width: scope_bars({name.partition(" ")[2]: t for name, t in seen.slices.items()}, of.sides, width),
        f"{seen.name}: t of the card's slices inside it.",
        f"{sides_words(*of.sides)}, scope {seen.scope}. A slice has 16 channels.",
    )


def _pairs(of: OneRun) -> Figure:
    return Figure(
        lambda width: score_dots(of.parts, width),
        "How far each pair goes the way of the others.",
        f"{_of(of.selection)} A pair's score is its mean difference, in SDs, on the units that all other pairs choose.",
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
    title = f"{_cut(of.names[which], 50)}: t of every {_ONE[_mapped(of.selection.units)]}."
    return replace(drawn, title=title, more=f"{of.names[which]}. {drawn.more}", runs=(of.runs[which],))


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
    units = _mapped(of.selection.units)
    return Figure(
        lambda width: heat_maps([(t_difference(of), "")], width, "difference of t"),
        f"t of every {_ONE[units]}: the first run minus the second.",
        f"Difference of t of {UNIT_WORDS[units]}, {' minus '.join(of.names)}, scope {of.selection.scope}. A row is a "
        "block. A difference of two t is no t: it has no scale of chance of its own.",
    )


def _density(of: TwoRuns) -> Figure:
    found = of.found
    return Figure(
        lambda width: t_density(found.t, of.names, width),
        "t of every unit: one run to the right, the other one upward.",
        f"Upward {of.names[1]}, to the right {of.names[0]}. {_of(of.selection)} {found.n_units:,} units "
        "counted in squares; the stronger a square, the more.",
    )


# --- of a new pair -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OnePair:
    """A new pair's result, the run that it was ranked in, and what stands beside it.

    Attributes
    ----------
    result : PairResult
    run : Run
    control : Control, optional
        From `findings.new_pair.control_of`.
    earlier : tuple of float
        Scores of the visitor's earlier pairs in this run.
    """

    result: PairResult
    run: Run
    control: Control | None = None
    earlier: tuple[float, ...] = ()

    @property
    def runs(self) -> tuple[Run, ...]:
        return (self.run,)

    @property
    def sides(self) -> tuple[str, str]:
        return run_sides(self.run)


def _scores(of: OnePair) -> Figure:
    beside = ""
    if of.control:
        beside = f" Below: pairs that differ in nothing but {of.control.sides[0]} / {of.control.sides[1]}, same rule."
    how = f"{_of(of.result)} Each pair is scored on the heads that all the others choose."
    if of.result.directions:
        how = "Directions of all heads at image tokens. Each pair is scored by those of all the others."
    return Figure(
        lambda width: score_needle(of.result, of.sides, width, of.control, of.earlier),
        f"Your pair among the run's {'other ' if of.result.twin else ''}{len(of.result.scores)}.",
        f"{how}{beside} One pair is one pair.",
    )


def _heads_of_pair(start: int, stop: int | None, of: OnePair) -> Figure:
    units = of.result.top[start:stop]
    if not units:
        raise FigureError(f"The run has no more than {len(of.result.top)} top heads.")
    return Figure(
        lambda width: head_needles(units, width),
        f"Your pair on the run's top heads, {start + 1} to {start + len(units)} of {len(of.result.top)}.",
        f"Magnitudes. {_of(of.result)} Right is where the run's pairs point. The heads were chosen on the run's own "
        "pairs: expect the new one to look weaker (regression to the mean). One pair is one pair.",
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
        ours = shipped_sets(model_of(of.axes[0].run.info.prompts_sha256) or "")
        file = next(shipped_file(sha256, "") for sha256, (_, known) in ours.items() if known.role == "replication")
        raise FigureError(f"There is no run of the replication, {file}.")
    names = of.axes[0].name, found.name
    t = np.stack([axis.run.analysis(selection).t for name in names for axis in of.axes if axis.name == name])
    return Figure(
        lambda width: replication_plot(t, found, names, width),
        "Units that one set chose, measured on another set’s new pairs.",
        f"Chosen on {names[0]}, measured on {names[1]}. {_of(of.atlas)} "
        f"Dots are the {len(found.units)} units with the largest |t| on the first set, which alone "
        f"chose them and their signs: {found.n_same_sign} keep their sign on the new pairs (shaded quarters). On the "
        "dashed line t would be as large again; chosen units are expected to fall below it. Under it the mean score of "
        f"{found.n_pairs} new pairs on the chosen units, 95% interval {interval(found.interval)}.",
    )


def _counts(of: ManyAxes) -> Figure:
    return Figure(
        lambda width: count_bars(of.atlas.axes, 3, width),
        "Units over |t| > 3 on each axis.",
        f"{_of(of.atlas)} 99% of an axis' own sign flips do not exceed its dashed line. The noise floor stands last.",
    )


def _correlations(of: ManyAxes) -> Figure:
    found = {(row.first, row.second): row.true_r for row in of.atlas.between}
    return Figure(
        lambda width: axis_triangle([axis.name for axis in of.atlas.axes], found, width),
        "How alike the maps of t of every two axes are.",
        f"{_of(of.atlas)} Correlation of t. A name ends its row and stands on top of its column. The unreliability of "
        "both maps is taken out, so that r may exceed 1 by chance; a dashed cell is not estimable: a map there does "
        "not agree with itself, or the interval holds all that a correlation can be.",
    )


def _rivals(of: ManyAxes) -> Figure:
    found = of.atlas.unique
    if found is None:
        raise FigureError("There is no run of the replication, or none of a sibling or control.")
    return Figure(
        lambda width: likeness_dots(found.rivals, width),
        f"How alike {_cut(of.axes[0].name, 40)} is to each rival.",
        f"{_of(of.atlas)} Correlation of the maps of t. Their unreliability is taken out of r. Of what the axis and "
        f"its replication share, not shared with the rivals that have a map: {share_words(found)}.",
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
        lambda width: heat_maps(
            [(run.analysis(Selection("heads")), f"{weights_label(run.info)}:") for run in of.runs], width
        ),
        "Paired t of every true attention head.",
        f"{sides_words(*sides)}, all recorded tokens. {_colours(sides)}{' Below: the control.' if of.control else ''}",
    )


# --- of interventions --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OneIntervention:
    """Interventions on a run's pairs, and the run."""

    run: Run
    found: Interventions

    @property
    def runs(self) -> tuple[Run, ...]:
        return (self.run,)


def _redraws(of: OneIntervention) -> Figure:
    found, shown = of.found, cause(of.found)
    differ, sets = found.arrays["effect"] > 0, []
    for i, size in enumerate(shown.sizes):
        for against in size.redraws:
            drawn = set_shares(found, f"redraws.{against.kind}")[differ, i].mean(axis=0)
            p = "" if against.p is None else f"p {against.p:.2g}"
            name = f"{counted(size.k, 'head')}, {SHORT_REDRAWS[against.kind]}"
            sets.append((name, size.share, drawn, p, against is shown.test and against.p is not None))
    sets.sort(key=lambda row: not row[-1])  # the test comes first
    lost = shown.method == "ablate"
    meanings = " ".join(REDRAW_MEANINGS[against.kind] for against in shown.headline.redraws)
    return Figure(
        lambda width: redraw_dots(sets, "share lost" if lost else "share restored", width),
        f"{TITLES[shown.method]}: what the chosen heads {'take away' if lost else 'restore'}, among "
        f"{found.info.asked.n_redraws} redraws.",
        f"The share of the difference between both sides. Mean over {shown.n_pairs - shown.n_equal} pairs. {meanings} "
        f"p is the chosen heads' rank, {shown.floor:.2g} its floor. A share speaks of what differs in these pairs; "
        "distance is not meaning.",
    )


# --- of a run among others ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class InContext:
    """A run among other contrasts: those that were published of Klein, or for the practice model its own.

    Attributes
    ----------
    run : Run or None
        None shows what was published by itself.
    published : Published
    control : Run or None
        The untrained model on the same prompts.
    others : tuple of Run
        Saved runs, of which those of the run's own model on other contrasts are taken for the practice model: it
        stands in no chart with Klein.
    """

    run: Run | None
    published: Published
    control: Run | None = None
    others: tuple[Run, ...] = ()

    @property
    def runs(self) -> tuple[Run, ...]:
        return tuple(filter(None, (self.run, self.control)))

    @property
    def is_practice(self) -> bool:
        return self.run is not None and self.run.info.weights == "practice"

    @property
    def siblings(self) -> dict[str, Run]:
        """Runs of the same model, made in the same way, by their two sides; one of each contrast, none of its own."""
        mine = self.run.info
        found = {
            _contrast(other): other
            for other in reversed(self.others)
            if (other.info.fingerprint, other.info.setting) == (mine.fingerprint, mine.setting)
        }
        found.pop(_contrast(self.run), None)
        return dict(reversed(found.items()))


def _contrast(run: Run) -> str:
    return f"{run.info.positive} / {run.info.negative}"


def _over_3(run: Run) -> float:
    return run.headline(CARD).thresholds[3].percent


def _in_context(of: InContext) -> Figure:
    run, bars = of.run, []
    if run is not None and not (of.is_practice or comparable(run, CARD) or run.info.weights == "pretrained"):
        raise FigureError(
            "The published figures are of Klein, and of other prompts: this run cannot stand beside them."
        )
    words = {PUBLISHED: "published on Klein, authors’ own prompts", CONTROL: "untrained control", RUN: "this run"}
    if of.is_practice:
        words[PUBLISHED] = "practice model, other contrasts"
        bars = [Bar(name, _over_3(other), PUBLISHED) for name, other in of.siblings.items()]
        if not bars:
            raise FigureError("There is no run of the practice model on another contrast.")
    else:
        bars = [Bar(s.contrast, s.over_3, PUBLISHED, s.approximate) for s in of.published.family.cards]
        bars.append(Bar("moral, this card", of.published.thresholds[3].percent, PUBLISHED))
    if run is not None:
        style = CONTROL if run.info.is_random else RUN
        if run.info.is_random:
            words[CONTROL] = "this run: random weights"
        bars.append(Bar(_contrast(run), _over_3(run), style))
    if of.control is not None:
        bars.append(Bar("untrained", _over_3(of.control), CONTROL))
    return Figure(
        lambda width: context_bars(bars, words, "% of slices over |t| > 3", width),
        "Slices over |t| > 3, beside other contrasts.",
        "The grey bars are of other contrasts and other prompts"
        f"{'.' if of.is_practice else ', published by their author; none was run by this project.'}",
    )


# --- of models in which the truth is known -----------------------------------------------------------------


@dataclass(frozen=True)
class KnownTruths:
    """Runs of models in which the truth is known, one at least."""

    known: list[Known]

    @property
    def runs(self) -> tuple[Run, ...]:
        return tuple(one.run for one in self.known)


def _controls(of: KnownTruths) -> Figure:
    return Figure(
        lambda width: told_dots(of.known, width),
        "Pairs told right, in models in which the truth is known.",
        "Pairs that the rule had not seen: each is told by all others. The dashed line is chance; a coin for each pair "
        "falls into the band in 95% of cases.",
    )


# --- all of them -------------------------------------------------------------------------------------------


Input = OneRun | TwoRuns | OnePair | ManyAxes | OnCard | OneIntervention | InContext | KnownTruths

FIGURES: dict[type, dict[str, Callable[[Any], Figure]]] = {
    OneRun: {
        "map of heads": _map,
        "map of directions": _directed,
        **{f"null of |t| over {threshold:g}": partial(_null, row) for row, threshold in enumerate(THRESHOLDS)},
        "split halves": _halves,
        "one head": _one_unit,
        "one head by direction": _unit_direction,
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
    OnePair: {
        "scores": _scores,
        "top heads": partial(_heads_of_pair, 0, N_STRIPS),
        "more heads": partial(_heads_of_pair, N_STRIPS, None),
    },
    ManyAxes: {"replication": _replication, "counts": _counts, "correlations": _correlations, "rivals": _rivals},
    OnCard: {"heads": _heads},
    OneIntervention: {"redraws": _redraws},
    InContext: {"in context": _in_context},
    KnownTruths: {"controls": _controls},
}
"""What a figure is drawn from -> its name -> input to figure, in the order of the page."""


def figure(name: str, of: Input) -> Figure:
    """Look up a figure.

    Parameters
    ----------
    name : str
        One of those that `FIGURES` has for this kind of input.
    of : OneRun, TwoRuns, OnePair, ManyAxes, OnCard, OneIntervention or InContext

    Raises
    ------
    FigureError
        There is nothing to draw.
    NotComparableError
        The units of one run are not those of the other.
    """
    made = FIGURES[type(of)][name](of)
    runs = made.runs or of.runs
    return replace(made, weights=weights_words(*runs)) if runs else made
