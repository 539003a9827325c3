"""A new pair: ranked among a run's pairs by full conformal prediction, or measured by itself where there is no run."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from weakref import WeakKeyDictionary

import numpy as np

from plantain import stats
from plantain.findings.held_out import IMAGE
from plantain.models.info import ModelInfo
from plantain.prompts.sets import PromptPair
from plantain.runs.capture import PairCapture
from plantain.runs.info import Conditions
from plantain.runs.run import Run
from plantain.runs.units import HEADS, Layout, Selection, magnitudes, unit_table

N_TOP, N_FLIPS = 20, 999

N_STRONGEST = 5

LEVEL = 0.05

_STREAM = 6  # of the run's seed, for the flips

_IN_MEMORY: WeakKeyDictionary[Run, dict[Selection, Agreement]] = WeakKeyDictionary()


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
        95% of the scores of sign-flipped pairs lie within plus or minus this.
    """

    k: int
    n: int
    p: float
    reach: float


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
    """A visitor's pair against a run.

    Attributes
    ----------
    score : float
        Mean over the top units of sign(t) * difference / SD, all taken from the run's pairs.
    scores : tuple of float
        The same for each of the run's pairs, from the others and the new one.
    n_at_or_below : int
        How many of all scores, the new one included, are at or below it.
    p : float
        ``n_at_or_below / n``: the conformal p of a pair that scores as low as this one.
    tokens : tuple of int
        Tokens of the positive and the negative prompt.
    comparable : bool
        The two token counts are equal.
    own : Agreement
        Whether the run's pairs agree with one another.
    top : tuple of UnitScore
        The run's top units. Chosen on the run's pairs: expect regression to the mean.
    """

    units: str
    scope: str
    pair: PromptPair
    score: float
    scores: tuple[float, ...]
    n_at_or_below: int
    p: float
    tokens: tuple[int, int]
    comparable: bool
    own: Agreement
    top: tuple[UnitScore, ...]

    @property
    def way(self) -> Way:
        """What the pair does."""
        if self.own.p > LEVEL:
            return Way.NONE
        if abs(self.score) <= self.own.reach:
            return Way.NEITHER
        return Way.WITH if self.score > 0 else Way.AGAINST

    @property
    def outside(self) -> int | None:
        """On how many of the top units the new pair falls outside the interval; None where there are none."""
        ends = [(unit.interval, unit.new) for unit in self.top if unit.interval]
        return sum(not low <= new <= high for (low, high), new in ends) if ends else None


def score_pair(run: Run, pair: PromptPair, capture: PairCapture, selection: Selection = HEADS) -> PairResult:
    """Rank a captured pair among the run's by full conformal prediction (pure arithmetic, no model).

    The new pair is put in as one more; each of all pairs is scored from the others by
    `stats.conformal_scores`. The p moves in steps of 1/(n_pairs + 1).
    """
    a = run.analysis(selection)
    new = stats.paired_differences(*magnitudes(capture.sums, run.info.layout, selection))[0]
    scores = stats.conformal_scores(np.vstack([a.differences, new]), N_TOP)
    # One of the run's own pairs, put in again, ties with itself but for rounding; ties count against a claim.
    low = int(np.count_nonzero(scores <= scores[-1] + 1e-9))
    words, names = _words(capture), a.table.names
    expected = stats.prediction_intervals(a.differences, N_TOP)
    intervals = {int(u): ends for u, *ends in zip(*(part.tolist() for part in expected), strict=True)}
    top = tuple(
        UnitScore(names[u], float(a.t[u]), tuple(a.differences[:, u].tolist()), float(new[u]), _known(intervals.get(u)))
        for u in a.ranking[:N_TOP].tolist()
    )
    return PairResult(
        selection.units, selection.scope, pair, float(scores[-1]), tuple(scores[:-1].tolist()), low, low / len(scores),
        words, words[0] == words[1], agreement(run, selection), top,
    )  # fmt: skip


def agreement(run: Run, selection: Selection = HEADS) -> Agreement:
    """Say whether a run's pairs agree with one another on a choice of units; kept in memory."""
    known = _IN_MEMORY.setdefault(run, {})
    if selection not in known:
        diffs = run.analysis(selection).differences
        signs = stats.draw_signs(N_FLIPS, len(diffs), np.random.default_rng((run.info.seed, _STREAM)))
        null = stats.held_out_null(diffs, signs, N_TOP)
        told = stats.count_told(stats.conformal_scores(diffs, N_TOP), null)
        reach = float(stats.quantile_above(np.abs(null).ravel(), 0.95))
        known[selection] = Agreement(told.k, told.n, told.p, reach)
    return known[selection]


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
