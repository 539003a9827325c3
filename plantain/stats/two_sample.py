"""Statistics between two or more sets of pairs: counts of large |t|, selectivity, and the correlation of maps of t."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from plantain.stats._checks import checked_diffs
from plantain.stats.correlation import pearson
from plantain.stats.paired import is_degenerate, paired_t
from plantain.stats.reliability import draw_halves

_UNITS = 512  # in one block: the arrays stay in the cache

_ROUNDING = 1e-12  # of a sum of squares: less is no spread


@dataclass(frozen=True)
class MembershipTest:
    """Two sets' counts of units over a threshold, and how surprising their difference is.

    Attributes
    ----------
    counts : tuple of int
        Units with |t| strictly above the threshold in the first and the second set.
    null : int array (n_permutations,)
        Difference of the counts, first minus second, where the pairs were dealt to the sets at random.
    p : float
        One-sided: how often that is at least the observed difference, (b + 1) / (m + 1).
    """

    counts: tuple[int, int]
    null: np.ndarray
    p: float


def membership_test(
    first: np.ndarray, second: np.ndarray, threshold: float = 3.0, n_permutations: int = 9_999, *,
    rng: np.random.Generator,
) -> MembershipTest:  # fmt: skip
    """Ask whether one set of pairs has more units over a threshold than another, by permuting the membership.

    The test is of the equality of the two sets' distributions, their orientation included: sets whose counts agree
    in expectation but which differ otherwise may be told apart, too, and units that respond to both sets in opposite
    directions look to it like units that vary.

    Parameters
    ----------
    first, second : float array (n_pairs, n_units)
        Differences of the same units; the numbers of pairs may differ.
    threshold : float
    n_permutations : int
    rng : numpy Generator

    Returns
    -------
    MembershipTest

    Raises
    ------
    ValueError
        Bad differences, or other numbers of units.

    References
    ----------
    Pitman (1937), Suppl. J. R. Stat. Soc. 4, 119-130. Phipson & Smyth (2010), Stat. Appl. Genet. Mol. Biol. 9, 39
    (the p of a drawn permutation).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> large, none = rng.normal(1.0, 1.0, (20, 100)), rng.normal(0.0, 1.0, (20, 100))
    >>> found = membership_test(large, none, 3.0, 999, rng=rng)
    >>> found.counts, found.p
    ((88, 1), 0.001)
    """
    first, second = _same_units([first, second])
    pool = np.concatenate([first, second])
    members = _dealings(len(first), len(pool), n_permutations, rng)
    counts = np.zeros((2, n_permutations + 1), dtype=np.int64)
    for start in range(0, pool.shape[1], _UNITS):
        counts += _counts_by_membership(pool[:, start : start + _UNITS], members, threshold)
    difference = counts[0] - counts[1]
    p = (1 + np.count_nonzero(difference[1:] >= difference[0])) / (n_permutations + 1)
    return MembershipTest((int(counts[0, 0]), int(counts[1, 0])), difference[1:], float(p))


def _counts_by_membership(pool: np.ndarray, members: np.ndarray, threshold: float) -> np.ndarray:
    """Count units over the threshold in both groups of every dealing: (2, n_dealings).

    With S and Q the sums and the sums of squares of a group of n: t^2 = (n - 1) S^2 / (n Q - S^2).
    """
    squares, n = pool**2, members[0].sum()
    s, q = members @ pool, members @ squares
    groups = (n, s, q), (len(pool) - n, pool.sum(axis=0) - s, squares.sum(axis=0) - q)
    # Without a quotient: where all differences are zero both sides are, and nothing counts.
    over = [(size - 1) * s**2 > threshold**2 * np.maximum(size * q - s**2, 0.0) for size, s, q in groups]
    return np.count_nonzero(over, axis=2)


@dataclass(frozen=True)
class SelectivityTest:
    """How much more units respond to one set than to each of the others.

    Attributes
    ----------
    selectivity : float array (n_others, n_units)
        Signed d_z on the set minus |d_z| on each other set; NaN where one of the two does not exist.
    each_p : float array (n_others, n_units)
        Family-wise: against the largest selectivity of all units where the pairs of both sets were dealt at random.
    """

    selectivity: np.ndarray
    each_p: np.ndarray

    @property
    def p(self) -> np.ndarray:
        """The largest p over the other sets, (n_units,): a unit is selective where it is so against every one."""
        return self.each_p.max(axis=0)


def selectivity_test(
    target: np.ndarray, others: Sequence[np.ndarray], signs: np.ndarray, n_permutations: int = 9_999, *,
    rng: np.random.Generator,
) -> SelectivityTest:  # fmt: skip
    """Test the selectivity of units that were chosen, with their signs, on other pairs.

    Parameters
    ----------
    target : float array (n_pairs, n_units)
        Differences of the chosen units on pairs that did not choose them.
    others : sequence of float array (n_pairs, n_units)
        The same units on the sets that they should not respond to.
    signs : float array (n_units,)
        The direction in which the choosing pairs pointed, 1 or -1.
    n_permutations : int
    rng : numpy Generator

    Returns
    -------
    SelectivityTest

    Raises
    ------
    ValueError
        Bad differences, other numbers of units, or no other set.

    Notes
    -----
    A unit that responds more strongly to the target than to another set is selective here even where both sets move
    the same units: `unique_share` sees that.

    References
    ----------
    Hewitt & Liang (2019), EMNLP (selectivity against control tasks). Westfall & Young (1993), Resampling-Based Multiple
    Testing (the largest statistic). Berger (1982), Technometrics 24, 295-300 (the largest p).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> target, other = rng.normal([2.0, 0.0], 1.0, (20, 2)), rng.normal(0.0, 1.0, (20, 2))
    >>> selectivity_test(target, [other], np.ones(2), 999, rng=rng).p.tolist()
    [0.001, 0.727]
    """
    if not others:
        raise ValueError("selectivity needs at least one set to be selective against.")
    target, *others = _same_units([target, *others])
    found = [_selective_against(target, other, signs, n_permutations, rng) for other in others]
    return SelectivityTest(*map(np.array, zip(*found, strict=True)))


def _selective_against(
    target: np.ndarray, other: np.ndarray, signs: np.ndarray, n_permutations: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the selectivity of every unit against one set, and its family-wise p."""
    pool = np.concatenate([target, other])
    members = _dealings(len(target), len(pool), n_permutations, rng)
    first, second = (_t_of_groups(pool, m) / np.sqrt(m[0].sum()) for m in (members, 1 - members))
    observed, *dealt = signs * first - np.abs(second)
    largest = np.max(dealt, axis=1)
    p = (1 + np.count_nonzero(largest[:, None] >= observed, axis=0)) / (n_permutations + 1)
    unknown = is_degenerate(target) | is_degenerate(other)
    return np.where(unknown, np.nan, observed), np.where(unknown, np.nan, p)


def _dealings(n_first: int, n_pairs: int, n_permutations: int, rng: np.random.Generator) -> np.ndarray:
    """Say which pairs belong to the first set: as it was, then as dealt at random, (1 + n_permutations, n_pairs)."""
    members = np.zeros((n_permutations + 1, n_pairs), dtype=np.float64)
    members[0, :n_first] = 1.0
    members[1:] = rng.permuted(np.tile(members[0], (n_permutations, 1)), axis=1)
    return members


@dataclass(frozen=True)
class TrueCorrelation:
    """The correlation of two maps of t, corrected for what their pairs' noise takes away.

    Attributes
    ----------
    value : float
        May exceed 1 by chance; NaN where a map does not agree with itself.
    interval : tuple of float
        95%, by the jackknife over the pairs of both sets.
    observed : float
        Correlation of the maps of all pairs.
    uncentred : float
        `value` with what all units share counted in: cosines in the place of correlations. Two maps that move other
        units, one up and one down, have a correlation above zero and a cosine of zero.
    """

    value: float
    interval: tuple[float, float]
    observed: float
    uncentred: float


def true_correlation(
    first: np.ndarray, second: np.ndarray, n_splits: int = 50, *, rng: np.random.Generator
) -> TrueCorrelation:
    """Correlate two sets' maps of t, with the attenuation by their unreliability taken out.

    Halves of both sets are correlated across the sets and within them: r = mean(across) / sqrt(within * within), all of
    half as many pairs, so that the length cancels.

    Parameters
    ----------
    first, second : float array (n_pairs, n_units)
        At least six pairs each.
    n_splits : int
        Random halves.
    rng : numpy Generator

    Returns
    -------
    TrueCorrelation

    Raises
    ------
    ValueError
        Bad differences, or other numbers of units.

    References
    ----------
    Spearman (1904), American Journal of Psychology 15, 72-101. Efron (1982), The Jackknife, the Bootstrap and Other
    Resampling Plans.

    Examples
    --------
    Two noisy samples of one map:

    >>> rng = np.random.default_rng(0)
    >>> effects = rng.normal(size=100)
    >>> found = true_correlation(*(rng.normal(effects, 3.0, (12, 100)) for _ in range(2)), rng=rng)
    >>> round(found.observed, 2), round(float(found.value), 2)
    (0.56, 1.01)
    """
    first, second = _same_units([first, second], min_pairs=6)
    seed = int(rng.integers(2**63))

    def estimate(a: np.ndarray, b: np.ndarray, centred: bool = True) -> float:
        # The same halves in all replicates, as far as their sizes allow: what differs is the pair that is left out.
        halves = [_halved_maps(x, n_splits, centred, np.random.default_rng((seed, i))) for i, x in enumerate((a, b))]
        return _disattenuated(*halves)

    value = estimate(first, second)
    without = (
        [estimate(np.delete(first, i, axis=0), second) for i in range(len(first))],
        [estimate(first, np.delete(second, i, axis=0)) for i in range(len(second))],
    )
    reach = 1.96 * np.sqrt(sum((len(values) - 1) * np.var(values) for values in without))  # by the jackknife
    observed, uncentred = pearson(paired_t(first), paired_t(second)), estimate(first, second, centred=False)
    return TrueCorrelation(value, (value - reach, value + reach), observed, uncentred)


def _halved_maps(diffs: np.ndarray, n_splits: int, centred: bool, rng: np.random.Generator) -> np.ndarray:
    """Standardise the maps of t of both halves of every split: (2, n_splits, n_units), so that a product is an r.

    Where they are not centred it is a cosine.
    """
    halves = draw_halves(n_splits, len(diffs), rng)
    maps = np.array([_t_of_groups(diffs, side.astype(np.float64)) for side in (halves, ~halves)])
    if centred:
        maps -= maps.mean(axis=2, keepdims=True)
    norm = np.sqrt(np.sum(maps**2, axis=2, keepdims=True))
    return maps / np.where(norm > 0, norm, 1.0)


def _t_of_groups(diffs: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Compute t of groups of pairs, each a row of `members`; 0 where it does not exist: (n_groups, n_units)."""
    sizes = members.sum(axis=1, keepdims=True)
    s, q = members @ diffs, members @ diffs**2
    spread = sizes * q - s**2
    known = spread > _ROUNDING * sizes * q
    return np.where(known, np.sqrt(sizes - 1) * s / np.sqrt(np.where(known, spread, 1.0)), 0.0)


def _disattenuated(a: np.ndarray, b: np.ndarray) -> float:
    """Divide the mean r across two sets by the geometric mean of those within them; NaN where one is not positive."""
    within = [float(np.mean(np.sum(x[0] * x[1], axis=1))) for x in (a, b)]
    across = float(np.mean(np.sum((a[0] + a[1]) * (b[0] + b[1]), axis=1))) / 4
    return across / math.sqrt(within[0] * within[1]) if min(within) > 0 else math.nan


def _same_units(sets: Sequence[np.ndarray], min_pairs: int = 2) -> list[np.ndarray]:
    checked = [checked_diffs(s, min_pairs) for s in sets]
    if len({s.shape[1] for s in checked}) != 1:
        raise ValueError(f"the sets have other units: {[s.shape[1] for s in checked]}.")
    return checked
