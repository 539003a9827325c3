"""Directions: does a head turn its vector the same way in all pairs, whatever the vector's length?

A head's mean vectors on the two sides of a pair differ in length, which the magnitude sees, and in direction, which it
does not. Along the head's grand mean lies the change of length; what is left, the tangential part, scaled to one, is
the direction of a pair's difference.

``vectors`` is always float (2, n_pairs, n_heads, width): positive sides, negative sides. A pair's flip exchanges its
sides: it changes the sign of its directions and nothing else, since the grand mean is over both sides.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from plantain.stats.counts import quantile_above
from plantain.stats.held_out import HeldOut, count_frozen, count_told
from plantain.stats.randomization.sign_flips import checked_signs

_ROUNDING = 1e-6  # of a difference: a part across the mean that is no larger is the rounding of float32

_TIE = 1e-10  # agreements that differ by less are one agreement and rounding

_HEADS = 64  # whose directions are in memory at a time

_SUMS = 4_000_000  # products of signs in memory at a time


def grand_mean(vectors: np.ndarray) -> np.ndarray:
    """Return every head's mean over all pairs and both sides, float64 (n_heads, width)."""
    return checked_vectors(vectors).mean(axis=(0, 1), dtype=np.float64)


def tangential_directions(vectors: np.ndarray, along: np.ndarray | None = None) -> np.ndarray:
    """Return the direction of every pair's difference in every head, without the change of length.

    Parameters
    ----------
    vectors : float array (2, n_pairs, n_heads, width)
    along : float array (n_heads, width), optional
        The part of a difference along it is taken away; the `grand_mean` of the vectors unless given.

    Returns
    -------
    float64 array (n_pairs, n_heads, width)
        Positive minus negative, across `along`, of length one; zero where nothing is left.

    Raises
    ------
    ValueError
        The vectors have other axes, too few pairs, or NaN or infinity.

    Examples
    --------
    The first head is longer on the positive side, and turns to its second channel:

    >>> tangential_directions([[[[1.5, 0.2]]], [[[0.5, -0.2]]]]).round(2).tolist()
    [[[0.0, 1.0]]]

    The same head, only longer:

    >>> tangential_directions([[[[1.5, 0.0]]], [[[0.5, 0.0]]]]).tolist()
    [[[0.0, 0.0]]]
    """
    vectors = checked_vectors(vectors)
    mean = grand_mean(vectors) if along is None else np.asarray(along, dtype=np.float64)
    found = np.empty(vectors.shape[1:])
    for at in range(0, vectors.shape[2], _HEADS):
        part = slice(at, at + _HEADS)
        found[:, part] = _tangential(vectors[:, :, part], mean[part])
    return found


def _tangential(vectors: np.ndarray, along: np.ndarray) -> np.ndarray:
    differences = np.subtract(*vectors, dtype=np.float64)  # (n_pairs, n_heads, width)
    unit = along / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), np.finfo(float).tiny)
    across = differences - np.einsum("phw,hw->ph", differences, unit)[..., None] * unit
    length = np.linalg.norm(across, axis=2, keepdims=True)
    nothing = length <= _ROUNDING * np.linalg.norm(differences, axis=2, keepdims=True)
    return np.where(nothing, 0.0, across / np.where(nothing, 1.0, length))


def direction_grams(vectors: np.ndarray) -> np.ndarray:
    """Return how alike the directions of any two pairs are: their cosine in every head.

    Parameters
    ----------
    vectors : float array (2, n_pairs, n_heads, width)

    Returns
    -------
    float64 array (n_heads, n_pairs, n_pairs)
        Symmetric, with a diagonal of zero. All of this module follows from it.

    Examples
    --------
    >>> up, down = [[[1.0, 0.1]], [[1.0, 0.2]], [[1.0, -0.1]]], [[[1.0, -0.1]], [[1.0, 0.0]], [[1.0, 0.1]]]
    >>> direction_grams([up, down]).round(2).tolist()  # the third pair goes the other way
    [[[0.0, 1.0, -1.0], [1.0, 0.0, -1.0], [-1.0, -1.0, 0.0]]]
    """
    vectors = checked_vectors(vectors)
    n_pairs, n_heads = vectors.shape[1:3]
    mean, grams = grand_mean(vectors), np.empty((n_heads, n_pairs, n_pairs))
    for at in range(0, n_heads, _HEADS):
        part = slice(at, at + _HEADS)
        z = _tangential(vectors[:, :, part], mean[part]).transpose(1, 0, 2)
        grams[part] = z @ z.transpose(0, 2, 1)
    grams[:, range(n_pairs), range(n_pairs)] = 0.0
    return grams


@dataclass(frozen=True, eq=False)
class Agreement:
    """Whether the pairs agree in every head; all arrays (n_heads,).

    Attributes
    ----------
    mean : float64 array
        Mean cosine of the directions of two pairs: 1 where all are one, near 0 where nothing is shared.
    z : float64 array
        The same in units of its standard deviation under flips, by which heads can be compared; 0 for a silent head.
    told : int array
        Pairs whose direction has a positive product with the mean direction of all others.
    p : float64 array
        By sign flips, of at least so large a mean cosine, of this head alone.
    p_fwer : float64 array
        Family-wise: against the largest of all heads, each in units of its own standard deviation under flips.
    """

    mean: np.ndarray
    z: np.ndarray
    told: np.ndarray
    p: np.ndarray
    p_fwer: np.ndarray


def agreement_test(grams: np.ndarray, signs: np.ndarray) -> Agreement:
    """Test in every head whether the pairs share a direction, by sign flips of whole pairs.

    Parameters
    ----------
    grams : float array (n_heads, n_pairs, n_pairs)
        From `direction_grams`.
    signs : int8 array (n_flips, n_pairs)
        From `draw_signs`.

    Returns
    -------
    Agreement
        Each p is (1 + flips with at least as much) / (1 + flips), one-sided: pairs that disagree are no finding.

    Notes
    -----
    A flip changes the sign of a pair's row and column, so the agreement under flips s is s'Gs / (n (n - 1)), and all
    heads and flips together are one matrix product of the flips' products s_i s_j with the cosines above the diagonal.
    Its variance under flips is exact, the sum of squares of those cosines over their squared number, and no flip
    changes it. In its units heads can be compared: the cosines of a head that moves in few dimensions are large
    whatever is true, and against the largest mean cosine as it is, a head of many dimensions is found less often (48
    instead of 73 of 100 times, a head in the middle of the stand-in planted in pairs that mean nothing).

    References
    ----------
    Fisher (1935), The Design of Experiments, section 21. Nichols & Holmes (2002), Human Brain Mapping 15, 1-25.

    Examples
    --------
    >>> from plantain.stats import draw_signs
    >>> rng = np.random.default_rng(0)
    >>> vectors = rng.normal(size=(2, 12, 50, 16)) + 3
    >>> vectors[0, :, 7] += 2 * rng.normal(size=16)  # one head shares a direction in all pairs
    >>> found = agreement_test(direction_grams(vectors), draw_signs(999, 12, rng))
    >>> float(found.p_fwer[7]), int((found.p_fwer <= 0.05).sum()), int(found.told[7])
    (0.001, 1, 12)
    """
    grams = _checked_grams(grams)
    n = grams.shape[1]
    signs = checked_signs(n, 0, None, signs).astype(np.float64)
    upper = np.triu_indices(n, 1)
    cosines = np.ascontiguousarray(grams[:, upper[0], upper[1]].T)  # (n_products, n_heads)
    mean, spread = cosines.mean(axis=0), np.sqrt((cosines**2).sum(axis=0)) / len(cosines)
    spread = np.where(spread > 0, spread, 1.0)
    above, largest = np.zeros(len(grams), dtype=np.int64), np.empty(len(signs))
    step = max(1, _SUMS // max(cosines.shape))
    for at in range(0, len(signs), step):
        chunk = signs[at : at + step]
        null = (chunk[:, upper[0]] * chunk[:, upper[1]]) @ cosines / len(cosines)  # (flips, n_heads)
        above += np.count_nonzero(null >= mean - _TIE, axis=0)
        largest[at : at + step] = (null / spread).max(axis=1)
    over = len(signs) - np.searchsorted(np.sort(largest), mean / spread - _TIE)
    told = np.count_nonzero(grams.sum(axis=2) > 0, axis=1)
    return Agreement(mean, mean / spread, told, (1 + above) / (1 + len(signs)), (1 + over) / (1 + len(signs)))


def direction_scores(gram: np.ndarray, groups: Sequence[str] | None = None) -> np.ndarray:
    """Score every pair by the directions of the others.

    Parameters
    ----------
    gram : float array (n_pairs, n_pairs)
        Of one head, or the sum over heads.
    groups : sequence of str (n_pairs,), optional
        A pair is scored by the pairs of other groups alone; by all other pairs unless given.

    Returns
    -------
    float64 array (n_pairs,)
        Mean cosine with the others' directions, summed over heads; 0 where there are no others. A pair is told right
        where it is above zero.

    Examples
    --------
    >>> direction_scores(np.array([[0.0, 0.5, 0.1], [0.5, 0.0, 0.3], [0.1, 0.3, 0.0]])).tolist()
    [0.3, 0.4, 0.2]
    >>> direction_scores(np.array([[0.0, 0.5, 0.1], [0.5, 0.0, 0.3], [0.1, 0.3, 0.0]]), ["a", "a", "b"]).tolist()
    [0.1, 0.3, 0.2]
    """
    gram, others = _apart(gram, groups)
    return gram.sum(axis=1) / np.maximum(others, 1)


def direction_test(gram: np.ndarray, signs: np.ndarray, groups: Sequence[str] | None = None) -> HeldOut:
    """Tell each pair by the directions of the others, and test the count by sign flips of the whole procedure.

    Parameters
    ----------
    gram, groups
        As for `direction_scores`: `grams.sum(axis=0)` for the rule of all heads, which chooses none.
    signs : int8 array (n_flips, n_pairs)
        From `draw_signs`.

    Returns
    -------
    HeldOut
        `p` is (1 + flips with at least `k`) / (1 + flips); the exact share of all patterns of signs where there are no
        more of them (a pattern and its reverse are one), and then `error` is 0.

    Examples
    --------
    >>> from plantain.stats import draw_signs
    >>> rng = np.random.default_rng(0)
    >>> vectors = rng.normal(size=(2, 12, 50, 16)) + 3
    >>> vectors[0] += rng.normal(size=(50, 16))
    >>> found = direction_test(direction_grams(vectors).sum(axis=0), draw_signs(9999, 12, rng))
    >>> found.k, found.n, found.p, found.error  # one of the 2,048 patterns tells all twelve right
    (12, 12, 0.00048828125, 0.0)
    """
    gram, _ = _apart(gram, groups)
    n = len(gram)
    signs = checked_signs(n, 0, None, signs)
    exact = 2 ** (n - 1) <= len(signs)
    if exact:
        signs = np.array([(1, *rest) for rest in itertools.product((1, -1), repeat=n - 1)])
    flipped = signs.astype(np.float64)
    null = flipped * (flipped @ gram)  # the score of each pair, up to a factor: (n_flips, n_pairs)
    observed = count_told(gram.sum(axis=1), null)
    if not exact:
        return observed
    told = np.count_nonzero(null > 0, axis=1)
    return HeldOut(observed.k, n, float(np.mean(told >= observed.k)), 0.0)


def whole_group_p(gram: np.ndarray, signs: np.ndarray, groups: Sequence[str]) -> float:
    """Test the count of pairs told by the pairs of other groups, by sign flips of whole groups.

    Where the pairs of a group depend on one another, flips of single pairs are not valid: of 600 worlds in which each
    of five groups had a direction of its own, twice as large as the noise, and none was common, their p was at most
    .05 in 22%, and of these flips at most 1/16 in 7%.

    Parameters
    ----------
    gram, signs, groups
        As for `direction_test`.

    Returns
    -------
    float
        The exact share of all patterns of signs with at least as many where there are no more of them than `signs`
        (a pattern and its reverse are one), and else (1 + flips with as many) / (1 + flips). With five groups it is
        1/16 at least.

    Examples
    --------
    >>> gram = 1 - np.eye(6)  # all go one way
    >>> whole_group_p(gram, np.ones((99, 6), dtype=np.int8), ["a", "a", "b", "b", "c", "c"])
    0.25
    """
    gram, _ = _apart(gram, groups)
    signs = checked_signs(len(gram), 0, None, signs)
    names, of = np.unique(np.asarray(groups), return_inverse=True)
    exact = 2 ** (len(names) - 1) <= len(signs)
    if exact:
        signs = np.array([(1, *rest) for rest in itertools.product((1, -1), repeat=len(names) - 1)])
    flipped = signs[:, : len(names)][:, of].astype(np.float64)
    told = np.count_nonzero(flipped * (flipped @ gram) > 0, axis=1)
    over = int(np.count_nonzero(told >= np.count_nonzero(gram.sum(axis=1) > 0)))
    return over / len(told) if exact else (1 + over) / (1 + len(told))


def held_out_cosines(vectors: np.ndarray) -> np.ndarray:
    """Compare every pair's direction with the mean direction of all other pairs, head by head.

    Parameters
    ----------
    vectors : float array (2, n_pairs, n_heads, width)

    Returns
    -------
    float64 array (n_pairs, n_heads)
        Cosines: 1 where a pair goes the way of the others, -1 where it goes against it, 0 where one has no direction.

    Examples
    --------
    >>> up, down = [[[1.0, 0.1]], [[1.0, 0.2]], [[1.0, -0.1]]], [[[1.0, -0.1]], [[1.0, 0.0]], [[1.0, 0.1]]]
    >>> held_out_cosines([up, down]).round(2).tolist()  # the first two cancel out with the third, which is against both
    [[0.0], [0.0], [-1.0]]
    """
    z = tangential_directions(vectors)
    others = z.sum(axis=0) - z
    length = np.linalg.norm(others, axis=2)
    nothing = length <= _ROUNDING
    return np.where(nothing, 0.0, np.einsum("phw,phw->ph", z, others) / np.where(nothing, 1.0, length))


def score_strength(scores: np.ndarray) -> float:
    """Return d', the mean of scores over their standard deviation; NaN where they have none.

    It tells apart what a count of all pairs cannot.

    Examples
    --------
    >>> score_strength([0.2, 0.3, 0.4])
    3.0
    """
    scores = np.asarray(scores, dtype=np.float64)
    spread = scores.std(ddof=1)
    return round(float(scores.mean() / spread), 12) if spread > 0 else float("nan")


def direction_reach(gram: np.ndarray, signs: np.ndarray) -> float:
    """Say how far the score of a pair goes that has nothing in common with the others.

    Parameters
    ----------
    gram : float array (n_pairs, n_pairs)
        Of the pairs that it is scored by, as for `direction_scores`.
    signs : int8 array (n_flips, n_pairs)
        From `draw_signs`.

    Returns
    -------
    float
        The larger of two: what 95% of the pairs' own scores stay within under sign flips; and the half-width of the 95%
        prediction interval of one more score (Student's t of their spread around their mean), which is how such a pair
        scatters around zero where it moves the heads together as the others do.

    Notes
    -----
    The flips alone are too narrow where few factors move all heads together. In 30 worlds (25 pairs, 50 heads; none to
    5 factors with up to 90% of the variance; no agreement to .75; 150 runs each) a pair of nothing stays within the
    flips' limit in 91 to 100%, and within the larger of both in 94 to 100%.

    Examples
    --------
    >>> from plantain.stats import draw_signs
    >>> rng = np.random.default_rng(0)
    >>> vectors = rng.normal(size=(2, 25, 50, 16)) + 3
    >>> vectors[0] += 0.5 * rng.normal(size=(50, 16))
    >>> gram = direction_grams(vectors).mean(axis=0)
    >>> round(direction_reach(gram, draw_signs(999, 25, rng)), 3), round(float(direction_scores(gram).min()), 3)
    (0.046, 0.086)
    """
    from scipy.special import stdtrit

    gram, _ = _apart(gram, None)
    n, scores = len(gram), direction_scores(gram)
    flipped = checked_signs(n, 0, None, signs).astype(np.float64)
    null = np.abs(flipped * (flipped @ gram)) / (n - 1)
    spread = stdtrit(n - 1, 0.975) * scores.std(ddof=1) * math.sqrt(1 + 1 / n)
    return float(max(quantile_above(null.ravel(), 0.95), spread))


@dataclass(frozen=True, eq=False)
class DirectionRule:
    """A rule of directions that was learned on one set of pairs.

    Attributes
    ----------
    along : float64 array (n_heads, width)
        The `grand_mean` of the vectors that it was learned on.
    weights : float64 array (n_heads, width)
        Mean direction over their pairs.
    """

    along: np.ndarray
    weights: np.ndarray

    def scores(self, vectors: np.ndarray) -> np.ndarray:
        """Score pairs, float64 (n_pairs,): the products of their directions with the rule's, summed over heads."""
        vectors = checked_vectors(vectors)
        if vectors.shape[2:] != self.weights.shape:
            raise ValueError(f"the rule is of {self.weights.shape}, not of heads and channels {vectors.shape[2:]}.")
        return np.einsum("phw,hw->p", tangential_directions(vectors, self.along), self.weights)


def learn_directions(vectors: np.ndarray) -> DirectionRule:
    """Learn the rule on all pairs of a set: every head's mean direction, and nothing is chosen.

    Parameters
    ----------
    vectors : float array (2, n_pairs, n_heads, width)

    Examples
    --------
    >>> rule = learn_directions([[[[1.5, 0.5]], [[1.5, 0.25]]], [[[0.5, -0.5]], [[0.5, -0.25]]]])
    >>> rule.along.tolist(), rule.weights.tolist()
    ([[1.0, 0.0]], [[0.0, 1.0]])
    >>> rule.scores([[[[9.0, 2.0]], [[1.0, -1.0]]], [[[1.0, 0.0]], [[7.0, 3.0]]]]).tolist()
    [1.0, -1.0]
    """
    along = grand_mean(vectors)
    return DirectionRule(along, tangential_directions(vectors, along).mean(axis=0))


def direction_transfer_test(rule: DirectionRule, vectors: np.ndarray, two_sided: bool = False) -> HeldOut:
    """Tell the pairs of another set by a frozen rule, with the exact binomial p.

    Parameters
    ----------
    rule : DirectionRule
    vectors : float array (2, n_pairs, n_heads, width)
    two_sided : bool
        Count a rule that tells nearly all pairs wrong as well, as of a control, which has no natural sign.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> change, vectors = rng.normal(size=(50, 16)), rng.normal(size=(2, 24, 50, 16)) + 3
    >>> vectors[0] += change
    >>> found = direction_transfer_test(learn_directions(vectors[:, :12]), vectors[:, 12:])
    >>> found.k, found.n, found.p == 1 / 2**12
    (12, 12, True)
    """
    return count_frozen(rule.scores(vectors), two_sided)


def direction_cosines(learned: np.ndarray, tested: np.ndarray) -> np.ndarray:
    """Return how alike the directions of every pair of one set and every pair of another are.

    Parameters
    ----------
    learned, tested : float array (2, n_pairs, n_heads, width)
        Of the same heads. Directions are across the `grand_mean` of the first, as in its `DirectionRule`.

    Returns
    -------
    float64 array (n_learned, n_tested)
        Cosines, summed over heads; the mean over the first axis is `DirectionRule.scores`.

    Examples
    --------
    >>> learned = [[[[1.5, 0.5]], [[1.5, 0.25]]], [[[0.5, -0.5]], [[0.5, -0.25]]]]
    >>> direction_cosines(learned, [[[[9.0, 2.0]], [[1.0, -1.0]]], [[[1.0, 0.0]], [[7.0, 3.0]]]]).tolist()
    [[1.0, -1.0], [1.0, -1.0]]
    """
    along = grand_mean(learned)
    mine, theirs = (tangential_directions(vectors, along) for vectors in (learned, tested))
    return mine.reshape(len(mine), -1) @ theirs.reshape(len(theirs), -1).T


def rule_cosine_interval(across: np.ndarray, learned: np.ndarray, tested: np.ndarray) -> tuple[float, float] | None:
    """Return the 95% interval of the cosine of two sets' rules, by leaving one pair of either set out at a time.

    The cosine is the mean of the cosines across over the geometric mean of the two sets' mean cosines of two pairs, in
    which the noise of both drops out.

    Parameters
    ----------
    across : float array (n_learned, n_tested)
        From `direction_cosines`.
    learned, tested : float array (n_pairs, n_pairs)
        Of either set, `direction_grams` summed over heads.

    Returns
    -------
    (float, float) or None
        The jackknife's standard error to both sides of the cosine, times Student's t of the smaller set. None where a
        set's pairs do not agree, with or without one of them, or has fewer than 4.

    Notes
    -----
    Pairs of one set do not depend on pairs of the other, so the two variances add up. The grand mean is not made anew
    without a pair, which changes it by 1/n. Coverage, measured in worlds of two sets of 25 pairs and 50 heads: 96 to
    100% where the heads are independent or five factors move them, 81 to 94% where one factor moves all of them and the
    two sets part in the same or nearly the same direction.

    References
    ----------
    Efron & Tibshirani (1993), An Introduction to the Bootstrap, chapter 11.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> change, vectors = rng.normal(size=(50, 16)), rng.normal(size=(2, 24, 50, 16)) + 3
    >>> vectors[0] += change
    >>> sets = vectors[:, :12], vectors[:, 12:]
    >>> low, high = rule_cosine_interval(direction_cosines(*sets), *(direction_grams(v).sum(axis=0) for v in sets))
    >>> low < 1 < high, high - low < 0.3
    (True, True)
    """
    from scipy.special import stdtrit

    across, sizes = np.asarray(across, dtype=np.float64), np.shape(across)
    (learned, _), (tested, _) = _apart(learned, None), _apart(tested, None)
    if min(sizes) < 4:
        return None
    total, own = across.sum(), np.array([learned.sum(), tested.sum()])

    def cosine(products: np.ndarray | float, sums: np.ndarray, n: np.ndarray) -> np.ndarray | float:
        agreements = np.prod(sums / (n * (n - 1)), axis=-1)
        positive = np.all(sums > 0, axis=-1)
        return np.where(positive, products, np.nan) / np.prod(n) / np.sqrt(np.where(positive, agreements, 1.0))

    n, variance = np.array(sizes), 0.0
    for axis, gram in enumerate((learned, tested)):
        sums = np.tile(own, (sizes[axis], 1))
        sums[:, axis] -= 2 * gram.sum(axis=1)
        without = cosine(total - across.sum(axis=1 - axis), sums, n - (np.arange(2) == axis))
        variance += (sizes[axis] - 1) * np.var(without)
    found = float(cosine(total, own, n))
    reach = float(stdtrit(min(sizes) - 1, 0.975) * math.sqrt(variance)) if np.isfinite(variance) else math.nan
    return (found - reach, found + reach) if math.isfinite(found + reach) else None


def checked_vectors(vectors: np.ndarray) -> np.ndarray:
    """Return vectors as a float array (2, n_pairs, n_heads, width), or raise ValueError: axes, no pair, NaN."""
    vectors = np.asarray(vectors)
    vectors = vectors if vectors.dtype in (np.float32, np.float64) else vectors.astype(np.float64)
    if vectors.ndim != 4 or len(vectors) != 2 or 0 in vectors.shape:
        raise ValueError(f"vectors must have shape (2, n_pairs, n_heads, width), not {vectors.shape}.")
    if not np.isfinite(vectors).all():
        raise ValueError("vectors contain NaN or infinity.")
    return vectors


def _checked_grams(grams: np.ndarray) -> np.ndarray:
    grams = np.asarray(grams, dtype=np.float64)
    if grams.ndim != 3 or grams.shape[1] != grams.shape[2] or grams.shape[1] < 2:
        raise ValueError(
            f"cosines must have shape (n_heads, n_pairs, n_pairs) of two pairs or more, not {grams.shape}."
        )
    return grams


def _apart(gram: np.ndarray, groups: Sequence[str] | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the cosines with a pair's others, zero elsewhere, and how many others each pair has."""
    (gram,) = _checked_grams(np.asarray(gram)[None])
    labels = np.arange(len(gram)) if groups is None else np.asarray(groups)
    apart = labels[:, None] != labels
    return np.where(apart, gram, 0.0), apart.sum(axis=1)


@dataclass(frozen=True)
class AgreementDifference:
    """How much more the pairs agree in one network's directions than in another's.

    Attributes
    ----------
    agreement, other : float
        Mean cosine of two pairs' directions, over heads, in either.
    difference : float
    error : float
        Standard error of the difference, by leaving one pair out.
    p : float
        Two-sided, of t with n - 1 degrees of freedom; 1 where all is equal.
    """

    agreement: float
    other: float
    difference: float
    error: float
    p: float


def agreement_difference_test(gram: np.ndarray, other: np.ndarray) -> AgreementDifference:
    """Compare how far the same pairs agree in two networks.

    Parameters
    ----------
    gram, other : float array (n_pairs, n_pairs)
        Of the same pairs in the same order: `direction_grams`, averaged over each network's own heads.

    Raises
    ------
    ValueError
        There are other pairs, or fewer than 4.

    Notes
    -----
    Two pairs' cosine is part of both their scores, so the scores are not independent, and sign flips of their
    differences are not valid: of 600 worlds without any direction in either network they called 16% different at .05
    (25 pairs, 48 heads of 32 channels). The error here leaves one pair out of both networks at a time; on average it is
    too large rather than too small.

    References
    ----------
    Efron & Stein (1981), Annals of Statistics 9, 586-596 (the jackknife's variance is biased upward). Arvesen (1969),
    Annals of Mathematical Statistics 40, 2076-2100 (the jackknife of U statistics).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> change, trained, random = rng.normal(size=(50, 16)), *rng.normal(size=(2, 2, 12, 50, 16)) + 3
    >>> trained[0] += change
    >>> found = agreement_difference_test(*(direction_grams(each).mean(axis=0) for each in (trained, random)))
    >>> found.difference > 0.1, found.p < 1e-6
    (True, True)
    """
    from scipy.special import stdtr

    one, two = (np.asarray(each, dtype=np.float64) for each in (gram, other))
    n = len(one)
    if one.shape != (n, n) or two.shape != (n, n) or n < 4:
        raise ValueError(f"give the same pairs, at least 4, not {one.shape} and {two.shape}.")
    gap = one - two
    whole, own = gap.sum(), gap.sum(axis=1)
    left = (whole - 2 * own) / ((n - 1) * (n - 2))
    error = math.sqrt((n - 1) / n * ((left - left.mean()) ** 2).sum())
    parts = [float(each.sum()) / (n * (n - 1)) for each in (one, two, gap)]
    p = float(2 * stdtr(n - 1, -abs(parts[2]) / error)) if error > 0 else float(parts[2] == 0)
    return AgreementDifference(*parts, error, p)
