"""What a run's directions say: the rule of all heads, where it goes on to hold, and the heads whose pairs agree.

A rule of directions chooses nothing: it adds up all heads' scores. The prompt embedding is taken in its slices of 16
channels, as its magnitudes are: each counts alike, so that the few channels of a text encoder that are a hundred times
as large as the others do not speak for all, and nothing has to be known of how many layers it is put together from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

import numpy as np

from plantain import stats
from plantain.findings.told import DIRECTION, EMBEDDING, IMAGE, LEFT_OUT, N_FLIPS, Told, held_out_flips, told
from plantain.runs.analysis import DirectionAnalysis, finite
from plantain.runs.once import once
from plantain.runs.run import Run
from plantain.runs.units import HEADS, Selection

MIN_OF_KIND = 8
"""Pairs of a kind below which a rule is neither learned nor tested on it."""

LEVEL = 0.05

LEFT_OUT_CATEGORY = "leave one category out"

_IN_MEMORY: WeakKeyDictionary[Run, Directions] = WeakKeyDictionary()


@dataclass(frozen=True)
class KindTransfer:
    """A rule that was learned on pairs of one kind, on the pairs of another.

    Attributes
    ----------
    learned, tested : str
        Two of `prompts.sets.KINDS`.
    k : int or None
        Pairs told right; None where one of the kinds has fewer than `MIN_OF_KIND` pairs.
    n : int
        Pairs of the kind that is tested.
    p : float or None
        Exact binomial, one-sided.
    """

    learned: str
    tested: str
    k: int | None
    n: int
    p: float | None


@dataclass(frozen=True)
class AtTime:
    """What the directions say at a time at which both sides of a pair saw the same picture.

    Attributes
    ----------
    time : float
        Sigma, the share of noise; 1 is the run's own first step.
    k, n : int
        Pairs told right, each by all others.
    agreement : float
        Mean cosine of two pairs' directions, over heads.
    p, p_fwer : float
        Of the agreement, by sign flips: at this time alone, and against the largest of all times, each in units of its
        spread under flips.
    """

    time: float
    k: int
    n: int
    agreement: float
    p: float
    p_fwer: float


@dataclass(frozen=True)
class Directions:
    """What the directions of a run's heads say at image tokens.

    Attributes
    ----------
    units, scope : str
    n_units, n_pairs, n_flips : int
    rule, all_tokens, embedding : Told
        Each pair by all others: heads at image tokens, heads over all tokens, the prompt embedding.
    strengths : dict of str to (float or None)
        Mean of the held-out scores over their SD (d'), of the three: what a count of all pairs cannot tell apart.
    n_fwer_05 : int
        Heads whose pairs agree by a family-wise p of at most .05.
    categories : Told or None
        Each pair by the pairs of the other categories; None where there is one category.
    categories_p : float or None
        Its p by flips of whole categories, which holds where the pairs of one depend on one another too.
    kinds : tuple of KindTransfer
        Every kind's rule on every other kind; empty where a pair does not say its kind.
    times : tuple of AtTime
        Empty where the run keeps no later times than the first.
    """

    units: str
    scope: str
    n_units: int
    n_pairs: int
    n_flips: int
    rule: Told
    all_tokens: Told
    embedding: Told
    strengths: dict[str, float | None]
    n_fwer_05: int
    categories: Told | None
    categories_p: float | None
    kinds: tuple[KindTransfer, ...]
    times: tuple[AtTime, ...] = ()


def keeps_directions(run: Run) -> bool:
    """Tell whether a run keeps the mean vectors that its headline needs: of the heads and of the prompt embedding."""
    return run.keeps(HEADS) and run.keeps(EMBEDDING)


def directions(run: Run) -> Directions:
    """Say what a run's directions show; half a second at full size, once.

    Parameters
    ----------
    run : Run
        One that `keeps_directions`.
    """
    return once(_IN_MEMORY, run, lambda: _directions(run))


def _directions(run: Run) -> Directions:
    flips = held_out_flips(run)
    grams = {name: run.direction_analysis(of).gram for name, of in _RULES.items()}
    rules = {
        name: told(stats.direction_test(gram, flips), LEFT_OUT, _RULES[name], DIRECTION) for name, gram in grams.items()
    }
    categories = whole = None
    if len(set(run.categories)) > 1:
        test = stats.direction_test(grams["rule"], flips, run.categories)
        categories = told(test, LEFT_OUT_CATEGORY, IMAGE, DIRECTION)
        whole = stats.whole_group_p(grams["rule"], flips, run.categories)
    agreement = run.direction_analysis(IMAGE).agreement
    return Directions(
        units=IMAGE.units,
        scope=IMAGE.scope,
        n_units=len(agreement.mean),
        n_pairs=len(run.pairs),
        n_flips=N_FLIPS,
        **rules,
        strengths={name: finite(stats.score_strength(stats.direction_scores(gram))) for name, gram in grams.items()},
        n_fwer_05=int(np.count_nonzero(agreement.p_fwer <= LEVEL)),
        categories=categories,
        categories_p=whole,
        kinds=tuple(_between_kinds(run)),
        times=tuple(_at_times(run, flips)),
    )


def _at_times(run: Run, flips: np.ndarray) -> list[AtTime]:
    if not run.directions.times:
        return []
    times = (1.0, *run.directions.times)
    grams = np.stack([stats.direction_grams(run.vectors_at(time)).mean(axis=0) for time in times])
    found, n = stats.agreement_test(grams, flips), len(run.pairs)
    told_right = [int(np.count_nonzero(stats.direction_scores(gram) > 0)) for gram in grams]
    return [
        AtTime(time, k, n, *(float(values[i]) for values in (found.mean, found.p, found.p_fwer)))
        for i, (time, k) in enumerate(zip(times, told_right, strict=True))
    ]


_RULES = {"rule": IMAGE, "all_tokens": HEADS, "embedding": EMBEDDING}


def unit_directions(run: Run, selection: Selection) -> DirectionAnalysis | None:
    """Return what the directions of a kind of units say; None where the run keeps none of theirs."""
    return run.direction_analysis(selection) if run.keeps(selection) else None


def scores(run: Run) -> np.ndarray:
    """Score every pair by the directions of all others, heads at image tokens, float64 (n_pairs,)."""
    return stats.direction_scores(run.direction_analysis(IMAGE).gram)


def _between_kinds(run: Run) -> list[KindTransfer]:
    if not all(run.kinds):
        return []
    names, kinds, vectors = list(dict.fromkeys(run.kinds)), np.array(run.kinds), run.vectors(IMAGE)
    of = {name: vectors[:, kinds == name] for name in names}
    rules = {name: stats.learn_directions(own) for name, own in of.items() if own.shape[1] >= MIN_OF_KIND}
    found = []
    for learned in names:
        for tested in names:
            n = of[tested].shape[1]
            if learned == tested:
                continue
            if learned in rules and tested in rules:
                test = stats.direction_transfer_test(rules[learned], of[tested])
                found.append(KindTransfer(learned, tested, test.k, n, test.p))
            else:
                found.append(KindTransfer(learned, tested, None, n, None))
    return found


def frozen(learned: Run, tested: Run, name: str, two_sided: bool = False) -> Told:
    """Try the rule of one run's directions on the pairs of another.

    Parameters
    ----------
    learned, tested : Run
        Both keep directions; of one model, and without a common pair.
    name : str
        Of the run that is not at hand, in `Told.rule`.
    two_sided : bool
        For a control's rule.

    Returns
    -------
    Told
        With its `cosine`, and the interval of that: the mean score over the geometric mean of both sets' mean held-out
        scores. A mean score alone grows with the agreement of the pairs that the rule was learned on, however little it
        has to do with the pairs that are tested.
    """
    across = stats.direction_cosines(learned.vectors(IMAGE), tested.vectors(IMAGE))
    found = across.mean(axis=0)  # the scores of `learn_directions`' rule
    counted = told(stats.count_frozen(found, two_sided), name, IMAGE, DIRECTION)
    if not all(map(_tells_its_own, (learned, tested))):
        return counted
    cosine = float(found.mean()) / math.sqrt(scores(learned).mean() * scores(tested).mean())
    grams = (run.direction_analysis(IMAGE).gram for run in (learned, tested))
    return replace(counted, cosine=round(cosine, 9), cosine_interval=stats.rule_cosine_interval(across, *grams))


def _tells_its_own(run: Run) -> bool:
    return directions(run).rule.p <= LEVEL and scores(run).mean() > 0


@dataclass(frozen=True)
class BesideUntrained(stats.AgreementDifference):
    """A run's agreement beside that of a transformer which has learned nothing, on the same prompts.

    Attributes
    ----------
    name : str
        Of the other run.
    weights : str
        Its kind, of `models.info.CONTROLS`.
    """

    name: str
    weights: str


def beside_untrained(run: Run, name: str, untrained: Run) -> BesideUntrained:
    """Hold a run's agreement against that of a control of random weights, pair by pair.

    Parameters
    ----------
    run : Run
    name : str
        Of the control.
    untrained : Run
        Of the same prompts in the same order; both keep directions.
    """
    of = (each.direction_analysis(IMAGE) for each in (run, untrained))
    test = stats.agreement_difference_test(*(found.gram / found.table.n_units for found in of))
    return BesideUntrained(**vars(test), name=name, weights=untrained.info.weights)


@dataclass(frozen=True)
class Transfers:
    """Rules of directions that go from set to set, over the heads at image tokens.

    Attributes
    ----------
    names : tuple of str
    n : tuple of int
        Pairs of each set.
    k : tuple of tuple of int
        Pairs of the column's set that the row's rule tells right; on the diagonal each pair by all others.
    cosine : tuple of tuple of (float or None)
        Of the rule and the pairs' own, as `Told.cosine`; 1 on the diagonal. None where one of the two does not tell its
        own pairs.
    interval : tuple of tuple of ((float, float) or None)
        As `Told.cosine_interval`; None on the diagonal.
    """

    names: tuple[str, ...]
    n: tuple[int, ...]
    k: tuple[tuple[int, ...], ...]
    cosine: tuple[tuple[float | None, ...], ...]
    interval: tuple[tuple[tuple[float, float] | None, ...], ...]


def transfers(runs: Mapping[str, Run]) -> Transfers:
    """Try the rule of each run's directions on the pairs of every run.

    Parameters
    ----------
    runs : mapping of str to Run
        By name: of one model, all with directions, and without a common pair.
    """

    def told_by(name: str, learned: Run) -> list[Told]:
        own = replace(directions(learned).rule, cosine=1.0 if _tells_its_own(learned) else None)
        return [own if run is learned else frozen(learned, run, name) for run in runs.values()]

    rows = [told_by(name, run) for name, run in runs.items()]
    return Transfers(
        tuple(runs),
        tuple(len(run.pairs) for run in runs.values()),
        tuple(tuple(each.k for each in row) for row in rows),
        tuple(tuple(each.cosine for each in row) for row in rows),
        tuple(tuple(each.cosine_interval for each in row) for row in rows),
    )
