"""A new pair: ranked among a run's pairs by full conformal prediction, or measured by itself where there is no run.

It is ranked by magnitudes, and first by directions where the run's headline is of directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from weakref import WeakKeyDictionary

import numpy as np

from plantain import stats
from plantain.findings.directions import directions, keeps_directions
from plantain.findings.held_out import IMAGE, Beside
from plantain.findings.told import DIRECTION, MAGNITUDE
from plantain.models.info import ModelInfo
from plantain.prompts.overlap import Twin, twin_of
from plantain.prompts.sets import PromptPair
from plantain.runs.analysis import ranked
from plantain.runs.capture import PairCapture
from plantain.runs.directions import mean_vectors
from plantain.runs.info import Conditions
from plantain.runs.once import once
from plantain.runs.run import Run
from plantain.runs.units import HEADS, Layout, Selection, magnitudes, unit_table

N_TOP, N_FLIPS = 20, 999

N_STRONGEST = 5

LEVEL = 0.05

_STREAM = 6  # of the run's seed, for the flips

_IN_MEMORY: WeakKeyDictionary[Run, dict[Selection, Agreement]] = WeakKeyDictionary()

_DIRECTED: WeakKeyDictionary[Run, Agreement] = WeakKeyDictionary()


class Way(StrEnum):
    """What a pair does: the run's pairs have no way of their own, or the pair goes with it, against it, or neither."""

    NONE = "none"
    NEITHER = "neither"
    WITH = "with"
    AGAINST = "against"


@dataclass(frozen=True)
class Agreement:
    """Whether a run's pairs agree with one another, without which nothing can go with or against them.

    Attributes
    ----------
    k, n : int
        Pairs that the rule of the others tells right, and pairs.
    p : float
        Of at least `k`, by sign flips of the whole procedure.
    reach : float
        95% of the scores of sign-flipped pairs lie within plus or minus this; by directions as far as at least 95% of
        pairs that have nothing in common with the run's are expected, where that is farther. It is coarse: it grows
        with how well the run's own pairs agree.
    """

    k: int
    n: int
    p: float
    reach: float


@dataclass(frozen=True)
class Place:
    """Where a visitor's pair falls among a run's by one measure.

    Attributes
    ----------
    score, scores, n_at_or_below, p, own, pairs
        As in `PairResult`. By directions a score is the mean cosine of a pair's directions with those of the others,
        over pairs and over all heads at image tokens: nothing is chosen.
    measure : {"direction", "magnitude"}
    """

    score: float
    scores: tuple[float, ...]
    n_at_or_below: int
    p: float | None
    own: Agreement
    measure: str
    pairs: tuple[str, ...] = ()

    @property
    def way(self) -> Way:
        """What the pair does."""
        if self.own.p > LEVEL:
            return Way.NONE
        if abs(self.score) <= self.own.reach:
            return Way.NEITHER
        return Way.WITH if self.score > 0 else Way.AGAINST


@dataclass(frozen=True)
class UnitScore:
    """Where the new pair falls on one unit that the run's pairs chose.

    Attributes
    ----------
    unit : str
    t : float
    differences : tuple of float
        The run's pairs, positive minus negative.
    new : float
        The new pair's.
    interval : tuple of float or None
        Where one more pair of the run's kind would fall in 95% of cases (`stats.prediction_intervals`); None where
        the run has too few pairs to say.
    """

    unit: str
    t: float
    differences: tuple[float, ...]
    new: float
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class PairResult:
    """A visitor's pair against a run: by magnitudes, and first by directions where they are known.

    Attributes
    ----------
    units, scope : str
        Of the magnitudes.
    score : float
        Mean over the top units of sign(t) * difference / SD, all taken from the run's pairs.
    scores : tuple of float
        The same for each of the run's pairs, from the others and the new one; without the `twin`.
    n_at_or_below : int
        How many of all scores, the new one included, are at or below it.
    p : float or None
        ``n_at_or_below / n``: the conformal p of a pair that scores as low as this one. None where it has a `twin`:
        that is no new pair.
    tokens : tuple of int
        Tokens of the positive and the negative prompt.
    comparable : bool
        The two token counts are equal.
    own : Agreement
        Whether the run's pairs agree with one another.
    top : tuple of UnitScore
        The run's top units. Chosen on the run's pairs, without the `twin`: expect regression to the mean.
    directions : Place or None
        The same by directions; None where the run's headline is of magnitudes, or the pair's passes kept no directions.
    pairs : tuple of str
        Ids of the pairs that `scores` are of, in their order.
    twin : Twin or None
        The run's own pair with these prompts; it is left out, and the others score the pair.
    """

    units: str
    scope: str
    pair: PromptPair
    score: float
    scores: tuple[float, ...]
    n_at_or_below: int
    p: float | None
    tokens: tuple[int, int]
    comparable: bool
    own: Agreement
    top: tuple[UnitScore, ...]
    directions: Place | None = None
    pairs: tuple[str, ...] = ()
    twin: Twin | None = None

    @property
    def magnitudes(self) -> Place:
        """Where the pair falls by magnitudes."""
        return Place(self.score, self.scores, self.n_at_or_below, self.p, self.own, MAGNITUDE, self.pairs)

    @property
    def first(self) -> Place:
        """Where the pair falls by what the run's headline goes by."""
        return self.directions or self.magnitudes

    @property
    def way(self) -> Way:
        """What the pair does, by what the run's headline goes by."""
        return self.first.way

    @property
    def outside(self) -> int | None:
        """On how many of the top units the new pair falls outside the interval; None where there are none."""
        ends = [(unit.interval, unit.new) for unit in self.top if unit.interval]
        return sum(not low <= new <= high for (low, high), new in ends) if ends else None


def score_pair(run: Run, pair: PromptPair, capture: PairCapture, selection: Selection = HEADS) -> PairResult:
    """Rank a captured pair among the run's by full conformal prediction (pure arithmetic, no model).

    The new pair is put in as one more; each of all pairs is scored from the others by
    `stats.conformal_scores`. The p moves in steps of 1/(n_pairs + 1). One of the run's own pairs, also with its sides
    exchanged, is scored from the others alone, and has no p.
    """
    a = run.analysis(selection)
    twin = twin_of(pair, (record.pair for record in run.pairs))
    others = np.array([twin is None or record.pair.id != twin.id for record in run.pairs])
    differences = a.differences[others]
    new = stats.paired_differences(*magnitudes(capture.sums, run.info.layout, selection))[0]
    scores = stats.conformal_scores(np.vstack([differences, new]), N_TOP)
    place = _placed(scores, agreement(run, selection), MAGNITUDE, run, others)
    words = _words(capture)
    return PairResult(
        selection.units, selection.scope, pair, place.score, place.scores, place.n_at_or_below, place.p,
        words, words[0] == words[1], place.own, _top_units(a.table.names, differences, new),
        _by_directions(run, capture, others), place.pairs, twin,
    )  # fmt: skip


def _top_units(names: Sequence[str], differences: np.ndarray, new: np.ndarray) -> tuple[UnitScore, ...]:
    """Choose the units with the largest |t| of some pairs, and place the new one on each."""
    t, expected = stats.paired_t(differences), stats.prediction_intervals(differences, N_TOP)
    intervals = {int(u): ends for u, *ends in zip(*(part.tolist() for part in expected), strict=True)}
    return tuple(
        UnitScore(names[u], float(t[u]), tuple(differences[:, u].tolist()), float(new[u]), _known(intervals.get(u)))
        for u in ranked(t)[:N_TOP].tolist()
    )


def _placed(scores: np.ndarray, own: Agreement, measure: str, run: Run, others: np.ndarray) -> Place:
    """Find the last of all scores among those of a run's pairs, bool (n_pairs,); where one is left out, without a p."""
    low = int(np.count_nonzero(scores <= scores[-1] + 1e-9))  # equal but for rounding; ties count against a claim
    pairs = tuple(record.pair.id for record, there in zip(run.pairs, others, strict=True) if there)
    p = low / len(scores) if others.all() else None
    return Place(float(scores[-1]), tuple(scores[:-1].tolist()), low, p, own, measure, pairs)


def pair_level(run: Run) -> str:
    """Return what a new pair's passes have to keep of the mean vectors, a level of `runs.directions.LEVELS`."""
    return "image" if keeps_directions(run) else "off"


def _by_directions(run: Run, capture: PairCapture, others: np.ndarray) -> Place | None:
    if capture.means is None or not keeps_directions(run):
        return None
    vectors = run.vectors(IMAGE)[:, others], mean_vectors(capture.means, run.info.layout, IMAGE)
    grams = stats.direction_grams(np.concatenate(vectors, axis=1))
    scores = stats.direction_scores(grams.mean(axis=0))
    return _placed(scores, direction_agreement(run), DIRECTION, run, others)


def direction_agreement(run: Run) -> Agreement:
    """Say whether a run's pairs agree with one another in their directions, as its headline does; kept in memory.

    Parameters
    ----------
    run : Run
        One that `keeps_directions`.
    """

    def compute() -> Agreement:
        found, told = run.direction_analysis(IMAGE), directions(run).rule
        gram = found.gram / found.table.n_units
        signs = stats.draw_signs(N_FLIPS, len(gram), np.random.default_rng((run.info.seed, _STREAM)))
        return Agreement(told.k, told.n, told.p, stats.direction_reach(gram, signs))

    return once(_DIRECTED, run, compute)


def agreement(run: Run, selection: Selection = HEADS) -> Agreement:
    """Say whether a run's pairs agree with one another on a choice of units; kept in memory."""

    def compute() -> Agreement:
        diffs = run.analysis(selection).differences
        signs = stats.draw_signs(N_FLIPS, len(diffs), np.random.default_rng((run.info.seed, _STREAM)))
        null = stats.held_out_null(diffs, signs, N_TOP)
        told = stats.count_told(stats.conformal_scores(diffs, N_TOP), null)
        reach = float(stats.quantile_above(np.abs(null).ravel(), 0.95))
        return Agreement(told.k, told.n, told.p, reach)

    return once(_IN_MEMORY.setdefault(run, {}), selection, compute)


@dataclass(frozen=True)
class Control:
    """The pairs of a run in which nothing but a named difference changed, scored as a new pair is.

    Attributes
    ----------
    name : str
        The run's.
    sides : tuple of str
        What the positive and the negative side stand for.
    scores : tuple of float
        Of each of its pairs, by the rule of all of the other run's pairs: of directions where its headline is of them.
    """

    name: str
    sides: tuple[str, str]
    scores: tuple[float, ...]


def control_of(run: Run, beside: Beside, selection: Selection = HEADS) -> Control | None:
    """Choose the plainest control among the runs beside a run, and score its pairs by the run's rule; no pass is run.

    Parameters
    ----------
    run : Run
    beside : Beside
        From `held_out.fitting`: made by the same model in the same way, without a pair of the run.
    selection : Selection
        As for `score_pair`.

    Returns
    -------
    Control or None
        None where there is no control, or none with directions where the run's headline is of them. The choice goes by
        the names of the sets alone, never by their scores.
    """
    directed = keeps_directions(run)
    found = {**beside.controls, **beside.positives}
    found = {name: other for name, other in found.items() if other.keeps(IMAGE)} if directed else found
    if not found:
        return None
    name, other = min(found.items(), key=lambda one: (_plainness(one[1]), one[0]))
    if directed:
        vectors = other.vectors(IMAGE)
        scores = stats.learn_directions(run.vectors(IMAGE)).scores(vectors) / vectors.shape[2]  # the mean over heads
    else:
        scores = stats.learn_rule(_differences(run, selection), N_TOP).scores(_differences(other, selection))
    return Control(name, (other.info.positive, other.info.negative), tuple(scores.tolist()))


def _plainness(run: Run) -> int:
    """Return the place of a run's set among those that change what nobody would call an act; all others come after."""
    last = run.info.prompt_set.rpartition("-")[2]
    return _PLAIN.index(last) if last in _PLAIN else len(_PLAIN)


_PLAIN = ("colour", "place", "size")


def _differences(run: Run, selection: Selection) -> np.ndarray:
    return stats.paired_differences(*run.magnitudes(selection.units, selection.scope))


def _known(ends: list[float] | None) -> tuple[float, float] | None:
    """Leave out an interval without limits: JSON has no infinity."""
    return (ends[0], ends[1]) if ends and np.isfinite(ends).all() else None


@dataclass(frozen=True)
class UnitChange:
    """How one unit differs between the two prompts of a pair.

    Attributes
    ----------
    unit : str
    difference : float
        Positive minus negative, in the unit of the activations.
    percent : float
        The same in percent of the mean of both magnitudes.
    """

    unit: str
    difference: float
    percent: float


@dataclass(frozen=True, eq=False)
class PairMeasure:
    """A pair by itself: how far its two prompts move every attention head, over the image tokens.

    One pair has no t and no p.

    Attributes
    ----------
    pair : PromptPair
    model : ModelInfo
    conditions : Conditions
    names : tuple of str
        Of the units.
    magnitudes : float64 array (2, n_units)
        Positive first.
    tokens : tuple of int
        Tokens of the positive and the negative prompt.
    """

    pair: PromptPair
    model: ModelInfo
    conditions: Conditions
    names: tuple[str, ...]
    magnitudes: np.ndarray
    tokens: tuple[int, int]

    @property
    def comparable(self) -> bool:
        """The two token counts are equal."""
        return self.tokens[0] == self.tokens[1]

    @property
    def differences(self) -> np.ndarray:
        """Positive minus negative, float64 (n_units,)."""
        return self.magnitudes[0] - self.magnitudes[1]

    @property
    def percent(self) -> np.ndarray:
        """The differences in percent of the mean of both magnitudes; NaN for a unit that is zero on both sides."""
        mean = self.magnitudes.mean(axis=0)
        return 100 * self.differences / np.where(mean > 0, mean, np.nan)

    @property
    def rms_percent(self) -> float:
        """RMS of `percent` over the units."""
        found = self.percent[np.isfinite(self.percent)]
        return float(np.sqrt(np.mean(found**2))) if found.size else 0.0

    @property
    def strongest(self) -> tuple[UnitChange, ...]:
        """The units with the largest differences in percent, at most five."""
        percent, differences = self.percent, self.differences
        order = np.argsort(-np.nan_to_num(np.abs(percent), nan=-1.0), kind="stable")[:N_STRONGEST]
        found = (int(u) for u in order if np.isfinite(percent[u]))
        return tuple(UnitChange(self.names[u], float(differences[u]), float(percent[u])) for u in found)


def measure_pair(
    pair: PromptPair, capture: PairCapture, layout: Layout, model: ModelInfo, conditions: Conditions
) -> PairMeasure:
    """Measure a captured pair on the attention heads over the image tokens (pure arithmetic, no model)."""
    found = magnitudes(capture.sums, layout, IMAGE)[:, 0]
    return PairMeasure(pair, model, conditions, unit_table(layout, IMAGE).names, found, _words(capture))


def _words(capture: PairCapture) -> tuple[int, int]:
    positive, negative = capture.sums.tokens[:, 0, capture.sums.token_scopes.index("words")].tolist()
    return positive, negative
