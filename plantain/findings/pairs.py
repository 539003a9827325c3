"""The pairs behind a result: by category or kind, one by one, and by where prompts differ. Description, no tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plantain import stats
from plantain.runs.analysis import THRESHOLDS, Analysis
from plantain.runs.run import Run
from plantain.runs.units import CARD, Selection

N_PERMUTATIONS = 1_999

_STREAM = 7  # of the run's seed, for the permutations


@dataclass(frozen=True, eq=False)
class CategoryPart:
    """One category, or one kind, of a run's pairs.

    Attributes
    ----------
    name : str
    n_pairs : int
    t : float64 array (n_units,)
        Paired t over the category's pairs alone; NaN with fewer than two pairs, and for degenerate units.
    median_abs_t : float
        Over units.
    r_others : float
        Pearson r between `t` and the t of all other pairs, over units; NaN where it does not exist.
    """

    name: str
    n_pairs: int
    t: np.ndarray
    median_abs_t: float
    r_others: float


@dataclass(frozen=True)
class PairPart:
    """One pair of a run.

    Attributes
    ----------
    id, category : str
    first_difference, n_differing : int
        As in `capture.PairCapture`: the first token that differs, and at how many positions tokens differ.
    score : float
        As in `stats.conformal_scores`: how far the pair goes the way of the others on their top units, in SDs.
    size : float
        Root mean square over units of difference / root mean square of the unit's differences over pairs; the mean of
        the squares over pairs is 1.
    without : tuple of int
        Units over each of `analysis.THRESHOLDS` with this pair left out.
    """

    id: str
    category: str
    first_difference: int
    n_differing: int
    score: float
    size: float
    without: tuple[int, ...]


@dataclass(frozen=True)
class TokenRelation:
    """How pairs and units go with where, or at how many tokens, the prompts differ.

    Attributes
    ----------
    what : str
        ``position of the first differing token`` or ``number of differing tokens``.
    rho_size, rho_score : float
        Spearman's rank correlation over pairs with `PairPart.size` and `PairPart.score`; NaN where all are equal.
    halves : tuple of (int, float), twice, or None
        Pairs, and the median |t| over units, of the lower and the upper half of the pairs by this number. Pairs of one
        value are in one half, so that the halves may be uneven; None where all pairs have the same.
    """

    what: str
    rho_size: float
    rho_score: float
    halves: tuple[tuple[int, float], tuple[int, float]] | None


@dataclass(frozen=True)
class Categories:
    """Whether a run's pairs depend on one another by their category.

    Attributes
    ----------
    n : int
        Categories.
    dependence : stats.Dependence
    told, n_pairs : int
        Pairs that a rule of the other categories tells right (`stats.left_out_categories`), and pairs.
    """

    n: int
    dependence: stats.Dependence
    told: int
    n_pairs: int


def between_categories(run: Run, selection: Selection = CARD) -> Categories | None:
    """Ask whether pairs of one category agree more than pairs of different ones.

    Parameters
    ----------
    run : Run
    selection : Selection

    Returns
    -------
    Categories or None
        None where there is one category, none with two pairs, one that holds all pairs but one, or nothing moves.
    """
    a = run.analysis(selection)
    diffs, rng = a.differences[:, a.tested], np.random.default_rng((run.info.seed, _STREAM))
    found = stats.dependence(diffs, run.categories, N_PERMUTATIONS, rng)
    largest = max(map(run.categories.count, run.categories))
    if found is None or len(diffs) - largest < 2:  # no rule is learned on one pair
        return None
    told = stats.left_out_categories(diffs, run.categories)
    return Categories(len(set(run.categories)), found, told, len(diffs))


def by_category(run: Run, selection: Selection = CARD) -> list[CategoryPart]:
    """Describe every category, in the order of the prompt set.

    Parameters
    ----------
    run : Run
    selection : Selection

    Returns
    -------
    list of CategoryPart
        t of a few pairs is coarse: compare categories with one another, not with the whole.
    """
    return _by_label(run, run.categories, selection)


def by_kind(run: Run, selection: Selection = CARD) -> list[CategoryPart]:
    """Describe every kind as `by_category` does the categories; empty unless every pair of the run says its kind."""
    return _by_label(run, run.kinds, selection) if all(run.kinds) else []


def _by_label(run: Run, names: list[str], selection: Selection) -> list[CategoryPart]:
    diffs, labels, found = run.analysis(selection).differences, np.array(names), []
    for name in dict.fromkeys(names):
        t, others = _t_or_nan(diffs[labels == name]), _t_or_nan(diffs[labels != name])
        found.append(CategoryPart(name, names.count(name), t, _median_abs(t), stats.pearson(t, others)))
    return found


def _t_or_nan(diffs: np.ndarray) -> np.ndarray:
    return stats.paired_t(diffs) if len(diffs) > 1 else np.full(diffs.shape[1], np.nan)


def _median_abs(t: np.ndarray) -> float:
    known = np.abs(t[np.isfinite(t)])
    return float(np.median(known)) if len(known) else float("nan")


def by_pair(run: Run, selection: Selection = CARD) -> list[PairPart]:
    """Describe every pair, in the order of the prompt set.

    Parameters
    ----------
    run : Run
    selection : Selection

    Returns
    -------
    list of PairPart
    """
    a = run.analysis(selection)
    diffs = a.differences[:, a.tested]
    without = stats.leave_one_out_counts(diffs, THRESHOLDS)  # (n_thresholds, n_pairs)
    scores, sizes = stats.conformal_scores(diffs).tolist(), _sizes(diffs).tolist()
    rows = zip(run.pairs, scores, sizes, without.T.tolist(), strict=True)
    return [
        PairPart(r.pair.id, r.pair.category, r.first_difference, r.n_differing, score, size, tuple(counts))
        for r, score, size, counts in rows
    ]


def _sizes(diffs: np.ndarray) -> np.ndarray:
    """Root mean square over units of each pair's differences, every unit scaled to 1 over pairs."""
    moving = diffs[:, diffs.any(axis=0)]
    if not moving.size:
        return np.zeros(len(diffs))
    return np.sqrt(np.mean((moving / np.sqrt(np.mean(moving**2, axis=0))) ** 2, axis=1))


def against_tokens(run: Run, parts: list[PairPart], selection: Selection = CARD) -> list[TokenRelation]:
    """Set pairs and units against where, and at how many tokens, the prompts differ.

    Parameters
    ----------
    run : Run
    parts : list of PairPart
        From `by_pair`, for the same choice.
    selection : Selection

    Returns
    -------
    list of TokenRelation
        By position, then by number.
    """
    a = run.analysis(selection)
    numbers = {
        "position of the first differing token": np.array([p.first_difference for p in parts]),
        "number of differing tokens": np.array([p.n_differing for p in parts]),
    }
    other = [[p.size for p in parts], [p.score for p in parts]]
    return [
        TokenRelation(what, *(stats.spearman(values, o) for o in other), _halves(values, a))
        for what, values in numbers.items()
    ]


def _halves(values: np.ndarray, a: Analysis) -> tuple[tuple[int, float], tuple[int, float]] | None:
    """Cut between two values, as near to the middle as can be."""
    cuts = np.unique(values)[1:]
    if not len(cuts):
        return None
    cut = min(cuts, key=lambda c: abs(np.count_nonzero(values < c) - len(values) / 2))
    low, high = (a.differences[half] for half in (values < cut, values >= cut))
    return (len(low), _median_abs(_t_or_nan(low))), (len(high), _median_abs(_t_or_nan(high)))
