"""Held-out pairs told right: a rule learned on all other pairs, or on another set, and its p.

The rule takes the units with the largest |t|, each with its sign and its standard deviation, and calls a pair right if
the mean over those units of sign * difference / SD is above zero.
"""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from plantain.stats._checks import checked_diffs
from plantain.stats.conformal import conformal_scores
from plantain.stats.paired import is_degenerate, paired_t

N_TOP = 20

_SUMS = 60_000  # of flips x pairs x units at a time, which stay near the cache


@dataclass(frozen=True)
class HeldOut:
    """How many held-out pairs a rule told right.

    Attributes
    ----------
    k, n : int
        Pairs told right, and pairs.
    p : float
        Of at least `k` where nothing is true.
    error : float
        Standard error of `p` over the drawn sign flips; 0 where `p` is exact.
    """

    k: int
    n: int
    p: float
    error: float


@dataclass(frozen=True, eq=False)
class Rule:
    """A rule that was learned on one set of pairs.

    Attributes
    ----------
    units : int array (n_top,)
        By falling |t|; fewer where fewer have a t that exists and is not zero.
    weights : float64 array (n_top,)
        sign(t) / SD of each.
    """

    units: np.ndarray
    weights: np.ndarray

    def scores(self, diffs: np.ndarray) -> np.ndarray:
        """Score pairs, float64 (n_pairs,): the mean over the rule's units of sign * difference / SD."""
        if not len(self.units):
            return np.zeros(len(diffs))
        return (np.asarray(diffs, dtype=np.float64)[:, self.units] * self.weights).mean(axis=1)


def learn_rule(diffs: np.ndarray, n_top: int = N_TOP) -> Rule:
    """Learn the rule on all pairs of a set.

    Parameters
    ----------
    diffs : float array (n_pairs, n_units)
        At least two pairs.
    n_top : int
        Units of the rule.

    Examples
    --------
    >>> rule = learn_rule([[1.0, 0.1], [1.2, -0.2], [0.8, 0.1]], n_top=1)
    >>> rule.units.tolist(), rule.scores([[2.0, 0.0], [-1.0, 0.0]]).round(1).tolist()
    ([0], [10.0, -5.0])
    """
    diffs = checked_diffs(diffs)
    t = np.nan_to_num(paired_t(diffs), nan=0.0)
    top = np.argsort(-np.abs(t), kind="stable")[:n_top]
    top = top[t[top] != 0]
    return Rule(top, np.sign(t[top]) / diffs[:, top].std(axis=0, ddof=1))


def held_out_null(diffs: np.ndarray, signs: np.ndarray, n_top: int = N_TOP) -> np.ndarray:
    """Score every pair under sign flips of whole pairs, the whole procedure repeated for each.

    Parameters
    ----------
    diffs : float array (n_pairs, n_units)
        At least three pairs.
    signs : int8 array (n_flips, n_pairs)
        From `draw_signs`.
    n_top : int
        Units of a rule.

    Returns
    -------
    float64 array (n_flips, n_pairs)
        The `conformal_scores` of the flipped differences: the choice of units, their signs and their SDs are made anew.

    Examples
    --------
    >>> diffs = [[1.0, 2.0], [1.1, 1.9], [0.9, 2.1], [-1.0, -2.0]]
    >>> held_out_null(diffs, [[1, 1, 1, 1]]).round(1).tolist()
    [[0.9, 0.9, 0.8, -15.0]]
    """
    diffs, signs = checked_diffs(diffs, min_pairs=3), np.asarray(signs, dtype=np.float64)
    diffs = np.ascontiguousarray(diffs[:, diffs.any(axis=0) & ~is_degenerate(diffs)])
    if not diffs.size:
        return np.zeros(signs.shape)
    # A pair's flip changes no square, so that only the sums are made anew. Scaled, so that no square overflows.
    diffs = diffs / np.abs(diffs).max(axis=0)
    others, n_top = len(diffs) - 1, min(n_top, diffs.shape[1])
    squares = (diffs**2).sum(axis=0) - diffs**2  # (n_pairs, n_units), of all other pairs
    with np.errstate(divide="ignore"):
        scale = np.where(squares > 0, 1 / (others * squares), 0.0)

    def score(chunk: np.ndarray) -> np.ndarray:
        mine = chunk[:, :, None] * diffs  # (flips, n_pairs, n_units)
        sums = mine.sum(axis=1, keepdims=True) - mine
        # The others' sum² / (n * sum of squares) orders the units as |t| does; at 1 they do not differ, and have no t.
        order = sums**2 * scale
        order[order > 1 - 1e-12] = 0.0
        top = np.argpartition(order, order.shape[2] - n_top, axis=2)[:, :, -n_top:]
        mine, sums, order = (np.take_along_axis(values, top, axis=2) for values in (mine, sums, order))
        ss = np.take_along_axis(np.broadcast_to(squares, (len(chunk), *squares.shape)), top, axis=2)
        with np.errstate(divide="ignore", invalid="ignore"):
            sd = np.sqrt(ss * (1 - order) / (others - 1))
            values = np.where(order > 0, np.sign(sums) * mine / sd, 0.0)
        return values.sum(axis=2) / np.maximum(np.count_nonzero(order > 0, axis=2), 1)

    step = max(1, _SUMS // diffs.size)
    chunks = [signs[at : at + step] for at in range(0, len(signs), step)]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        return np.concatenate(list(threads.map(score, chunks)))


def held_out_test(diffs: np.ndarray, signs: np.ndarray, n_top: int = N_TOP) -> HeldOut:
    """Tell each pair by the rule of all others, and test the count by sign flips of the whole procedure.

    Parameters
    ----------
    diffs, signs, n_top
        As for `held_out_null`.

    Returns
    -------
    HeldOut
        `p` is (1 + flips with at least `k`) / (1 + flips).

    Notes
    -----
    One half is not what chance gives: a rule of 24 pairs that has learned nothing tells fewer than half of the
    pairs right, since each pair pulls the mean of the others away from itself.

    Examples
    --------
    >>> from plantain.stats import draw_signs
    >>> diffs = np.random.default_rng(0).normal(0.8, 1, size=(12, 40))
    >>> found = held_out_test(diffs, draw_signs(999, 12, np.random.default_rng(1)))
    >>> found.k, found.n, found.p < 0.01
    (12, 12, True)
    """
    return count_told(conformal_scores(diffs, n_top), held_out_null(diffs, signs, n_top))


def count_told(scores: np.ndarray, null: np.ndarray) -> HeldOut:
    """Count the scores above zero, and test the count against those of sign flips.

    Parameters
    ----------
    scores : float array (n_pairs,)
        From `conformal_scores`.
    null : float array (n_flips, n_pairs)
        From `held_out_null`.

    Examples
    --------
    >>> found = count_told(np.array([0.5, 0.2, -0.1]), np.array([[0.1, -0.2, -0.3], [0.2, 0.1, 0.3], [-0.1] * 3]))
    >>> found.k, found.n, found.p
    (2, 3, 0.5)
    """
    k, told = int(np.count_nonzero(scores > 0)), np.count_nonzero(null > 0, axis=1)
    p = (1 + int(np.count_nonzero(told >= k))) / (1 + len(null))
    return HeldOut(k, len(scores), p, math.sqrt(p * (1 - p) / len(null)))


def transfer_test(rule: Rule, diffs: np.ndarray, two_sided: bool = False) -> HeldOut:
    """Tell the pairs of another set by a frozen rule, with the exact binomial p.

    Parameters
    ----------
    rule : Rule
    diffs : float array (n_pairs, n_units)
    two_sided : bool
        Count a rule that tells nearly all pairs wrong as well, as of a control, which has no natural sign.

    Examples
    --------
    >>> rule = learn_rule([[1.0], [1.2], [0.8]])
    >>> found = transfer_test(rule, [[1.0], [2.0], [0.5], [-1.0]])
    >>> found.k, found.n, found.p
    (3, 4, 0.3125)
    """
    return count_frozen(rule.scores(checked_diffs(diffs, min_pairs=1)), two_sided)


def count_frozen(scores: np.ndarray, two_sided: bool = False) -> HeldOut:
    """Count the scores above zero that a frozen rule gave to new pairs, with the exact binomial p.

    A score of zero is on neither side, so that a rule that says nothing of any pair is no finding in either way.

    Examples
    --------
    >>> count_frozen(np.array([0.5, 0.2, 0.1, 0.4])).p
    0.0625
    >>> count_frozen(np.zeros(25), two_sided=True).p
    1.0
    """
    k, n = int(np.count_nonzero(scores > 0)), len(scores)
    extreme = max(k, int(np.count_nonzero(scores < 0))) if two_sided else k
    tail = sum(math.comb(n, i) for i in range(extreme, n + 1)) / 2**n
    return HeldOut(k, n, min(1.0, 2 * tail) if two_sided else tail, 0.0)
