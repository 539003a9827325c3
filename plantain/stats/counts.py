"""Counts of units over a threshold: their p value under a null, their intervals, and the pairs that carry them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from plantain.stats._checks import checked_diffs, checked_level
from plantain.stats.paired import is_degenerate, paired_t
from plantain.stats.randomization.sign_flips import checked_signs

_FLIPS = 250  # bootstrap draws at a time


def quantile_above(values: np.ndarray, q: float) -> float:
    """Return the smallest observed value at or above the q-quantile (``method="higher"``).

    Examples
    --------
    >>> quantile_above([3, 0, 1, 2], 0.5)
    2.0
    """
    return float(np.quantile(values, q, method="higher"))


def quantile_interval(values: np.ndarray, q: float, level: float = 0.95) -> tuple[float, float]:
    """Confidence interval for a quantile of what the values were drawn from, by order statistics.

    For a Monte-Carlo null: how far its 99th percentile may be off because the flips were drawn.

    Parameters
    ----------
    values : float array (n_values,)
        Independent draws.
    q : float
        Between 0 and 1.
    level : float
        Between 0 and 1.

    Returns
    -------
    low, high : float
        Two of the values: the order statistics l and u with P(B < l) <= (1 - level) / 2 and
        P(B >= u) <= (1 - level) / 2, B binomial (n_values, q). It covers with at least `level`, whatever the
        distribution. -inf or inf where there are too few values for an end.

    Raises
    ------
    ValueError
        No values, NaN among them, not one axis, or `q` or `level` not between 0 and 1.

    References
    ----------
    David & Nagaraja (2003), Order Statistics, 3rd ed., section 7.1.

    Examples
    --------
    >>> quantile_interval(range(1, 1001), 0.99)
    (983.0, 997.0)
    """
    from scipy.special import bdtr

    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or not len(values) or np.isnan(values).any():
        raise ValueError("values must be one axis of at least one number, without NaN.")
    if not 0 < q < 1:
        raise ValueError(f"a quantile lies between 0 and 1; {q} does not.")
    tail, m = (1 - checked_level(level)) / 2, len(values)
    at_most = bdtr(np.arange(m + 1), m, q)  # P(B <= 0), ..., P(B <= m)
    low = int(np.searchsorted(at_most, tail, side="right"))  # the largest l with P(B <= l - 1) <= tail
    high = int(np.searchsorted(at_most, 1 - tail)) + 1  # the smallest u with P(B <= u - 1) >= 1 - tail
    ordered = np.concatenate([[-np.inf], np.sort(values), [np.inf]])  # 1-based
    return float(ordered[low]), float(ordered[min(high, m + 1)])


def count_p(observed: float, null_counts: np.ndarray) -> float:
    """Monte-Carlo p of a count: (b + 1) / (m + 1), b the null counts among m that are at least as large.

    Parameters
    ----------
    observed : float
    null_counts : array (n_permutations,)
        A row of `SignFlipNull.counts`.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        Not one axis of at least one count.

    References
    ----------
    Phipson & Smyth (2010), Permutation p-values should never be zero. Stat. Appl. Genet. Mol. Biol. 9, 39.

    Examples
    --------
    >>> count_p(3, [0, 1, 2, 3])
    0.4
    """
    null_counts = np.asarray(null_counts)
    if null_counts.ndim != 1 or not len(null_counts):
        raise ValueError("the null's counts must be one axis of at least one count.")
    return (int(np.count_nonzero(null_counts >= observed)) + 1) / (len(null_counts) + 1)


def leave_one_out_counts(diffs: np.ndarray, thresholds: Sequence[float]) -> np.ndarray:
    """Count units with |t| above thresholds with each pair left out in turn: the influence of every pair.

    Parameters
    ----------
    diffs : float array (n_pairs, n_units)
        At least three pairs.
    thresholds : sequence of float
        A unit counts when |t| is strictly above. |t| of n - 1 pairs is lower by about sqrt((n - 1) / n), so compare
        the counts with one another, not with the count of all pairs.

    Returns
    -------
    int array (n_thresholds, n_pairs)
        A unit that is degenerate without a pair does not count there.

    Raises
    ------
    ValueError
        Bad differences or fewer than three pairs.

    Examples
    --------
    Without its last pair the unit has a |t| above 3:

    >>> leave_one_out_counts([[1.0], [1.2], [0.8], [-1.0]], [3.0]).tolist()
    [[0, 0, 0, 1]]
    """
    diffs = checked_diffs(diffs, min_pairs=3)
    left = (np.abs(paired_t(np.delete(diffs, i, axis=0))) for i in range(len(diffs)))
    return np.array([[np.count_nonzero(t > threshold) for threshold in thresholds] for t in left]).T


def count_jackknife(diffs: np.ndarray, threshold: float, level: float = 0.95) -> tuple[float, float]:
    """Interval for the count expected in a new sample, by the jackknife of log(count + 1/2).

    Pairs are left out one at a time; v = (n - 1) / n * sum of (x_i - mean x)^2 over x_i = log(count_i + 1/2) is the
    variance of log(count + 1/2), and the interval is exp(log(count + 1/2) +- q sqrt(v)) - 1/2, q the quantile of
    Student's t with n - 1 degrees of freedom, cut to 0 and the number of units.

    Parameters
    ----------
    diffs : float array (n_pairs, n_units)
        At least three pairs.
    threshold : float
        A unit counts when |t| is strictly above.
    level : float
        Between 0 and 1.

    Returns
    -------
    low, high : float

    Raises
    ------
    ValueError
        As `leave_one_out_counts`, or a level that is not between 0 and 1.

    Notes
    -----
    Coverage of the 95% interval, measured on the data sets that `count_interval` describes, in the same order:

    | true d_z                      | at 3               | at 5               |
    | ----------------------------- | ------------------ | ------------------ |
    | normal, SD 0.3                | 1.00 / .998 / .991 | .998 / .996 / .979 |
    | normal, SD 0.5                | .999 / .994 / .972 | .999 / .994 / .974 |
    | 1 in a tenth of units, else 0 | 1.00 / .997 / .977 | .998 / .993 / .976 |
    | 0.4 in all units              | 1.00 / .980 / .958 | .999 / .990 / .911 |
    | 0                             | 1.00 / .984 / .892 | .179 / .140 / .070 |

    The last row: where 0.03 units are expected most counts are zero, and the interval is the point zero.

    References
    ----------
    Tukey (1958), Ann. Math. Stat. 29, 614. Efron & Stein (1981), Ann. Stat. 9, 586-596 (why it tends to be wide).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> diffs = rng.normal(0.5, 1.0, (25, 100))
    >>> low, high = count_jackknife(diffs, 3.0)
    >>> round(low), round(high)
    (13, 60)
    """
    from scipy.special import stdtrit

    diffs, level = checked_diffs(diffs, min_pairs=3), checked_level(level)
    n = len(diffs)
    count = np.count_nonzero(np.abs(paired_t(diffs)) > threshold)
    logs = np.log(leave_one_out_counts(diffs, [threshold])[0] + 0.5)
    half = stdtrit(n - 1, (1 + level) / 2) * math.sqrt((n - 1) / n * np.sum((logs - logs.mean()) ** 2))
    low, high = ((count + 0.5) * math.exp(sign * min(half, 700.0)) - 0.5 for sign in (-1, 1))
    return float(np.clip(low, 0, diffs.shape[1])), float(np.clip(high, 0, diffs.shape[1]))


def count_interval(
    diffs: np.ndarray,
    threshold: float,
    n_bootstrap: int = 2000,
    *,
    rng: np.random.Generator | None = None,
    signs: np.ndarray | None = None,
    level: float = 0.95,
) -> tuple[float, float]:
    """Interval for the count expected in a new sample of as many pairs, by a wild bootstrap with a shrunken mean.

    A bootstrap of the pairs would carry the sampling noise twice: once in the data's means, once in the draw.
    So each draw takes d*_i = mean sqrt(s) + e_i (d_i - mean) sqrt(n / (n - 1)) with one random sign e_i per pair
    for all units (their dependence is kept), and s = max(0, 1 - ((n - 1) / (n - 3)) / mean t^2), mean t^2 over the
    units. In normal data E t^2 = (n - 1) / (n - 3) (1 + n delta^2), delta the true d_z, so s takes the part of the
    squared means that is noise away. The interval is between the (1 - level) / 2 and the (1 + level) / 2 quantile of
    the draws' counts.

    Parameters
    ----------
    diffs : float array (n_pairs, n_units)
        At least four pairs.
    threshold : float
        A unit counts when |t| is strictly above.
    n_bootstrap : int
        Draws with `rng`; ignored when `signs` is given.
    rng : numpy Generator
        Needed unless `signs` is given.
    signs : int array (n_bootstrap, n_pairs), optional
        The e_i to replay.
    level : float
        Between 0 and 1.

    Returns
    -------
    low, high : float

    Raises
    ------
    ValueError
        Bad differences, fewer than four pairs, degenerate units (leave them out), neither `rng` nor `signs`, bad
        signs, or a level that is not between 0 and 1.

    Notes
    -----
    Units without any difference have no noise to shrink: they never count and are left out of mean t^2.

    Coverage of the 95% interval, measured (``tests/benchmarks/bench_stats.py --coverage 1000``): 25 pairs x 600 units,
    normal differences; units independent / half of their variance in five shared factors / in one. Expected counts
    in brackets.

    | true d_z                      | at 3                     | at 5                      |
    | ----------------------------- | ------------------------ | ------------------------- |
    | normal, SD 0.3                | .986 / .985 / .958 (63)  | .998 / .994 / .965 (7)    |
    | normal, SD 0.5                | .992 / .962 / .874 (163) | .984 / .958 / .871 (41)   |
    | 1 in a tenth of units, else 0 | .965 / .976 / .967 (62)  | .020 / .162 / .357 (31)   |
    | 0.4 in all units              | .900 / .951 / .922 (112) | .231 / .908 / .944 (5)    |
    | 0                             | 1.00 / .988 / .985 (4)   | .687 / .542 / .269 (0.03) |

    In a fourth world, with the correlation of the stand-in's own units over 150 prompts, in the same order of rows:
    .981 / .940 / .985 / .954 / .991 at 3 and .983 / .944 / .419 / .957 / .378 at 5 (the jackknife: .987 / .986 / .975 /
    .953 / .929 and .991 / .985 / .963 / .961 / .112).

    So it holds where effects are spread over all units, and fails where one shrinkage does not fit all: few large
    effects or many equal ones. Read it with `count_jackknife`; where the two disagree, state both.

    References
    ----------
    Wu (1986), Ann. Stat. 14, 1261-1295 (wild bootstrap). James & Stein (1961), Proc. 4th Berkeley Symp. 1, 361-379.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> diffs = rng.normal(0.5, 1.0, (25, 100))
    >>> count_interval(diffs, 3.0, 500, rng=rng)
    (22.0, 35.0)
    """
    diffs, level = checked_diffs(diffs, min_pairs=4), checked_level(level)
    signs = checked_signs(len(diffs), n_bootstrap, rng, signs)
    if is_degenerate(diffs).any():
        raise ValueError("degenerate units (equal differences that are not zero) have no interval; leave them out.")
    counts = _wild_counts(diffs[:, diffs.any(axis=0)], threshold, signs.astype(np.float64))
    low, high = np.quantile(counts, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def shrinkage(diffs: np.ndarray) -> float:
    """Share s of the squared means that is not sampling noise: max(0, 1 - ((n - 1) / (n - 3)) / mean t^2).

    Parameters
    ----------
    diffs : float array (n_pairs, n_units)
        At least four pairs; units without any difference and degenerate units are left out.

    Returns
    -------
    float
        0 where no unit is left.

    Raises
    ------
    ValueError
        Bad differences or fewer than four pairs.

    Examples
    --------
    Large effects are hardly shrunk:

    >>> round(shrinkage(np.random.default_rng(0).normal(2.0, 1.0, (25, 100))), 2)
    0.99
    """
    diffs = checked_diffs(diffs, min_pairs=4)
    n, t = len(diffs), paired_t(diffs)
    t = t[diffs.any(axis=0) & ~np.isnan(t)]
    mean_square = float(np.mean(t**2)) if len(t) else 0.0
    return max(0.0, 1 - (n - 1) / (n - 3) / mean_square) if mean_square > 0 else 0.0


def _wild_counts(diffs: np.ndarray, threshold: float, signs: np.ndarray) -> np.ndarray:
    """Count units over the threshold in each draw, (n_bootstrap,).

    With c = (d - mean) / sqrt(sum (d - mean)^2), w = signs @ c and a = t sqrt(s), the draw's t is
    (a + w) / sqrt((n - w^2) / (n - 1)): the draw's sum of squares around its mean follows from w as well.
    """
    n = len(diffs)
    centred = diffs - diffs.mean(axis=0)
    centred /= np.linalg.norm(centred, axis=0)
    a = paired_t(diffs) * math.sqrt(shrinkage(diffs))
    counts = []
    for start in range(0, len(signs), _FLIPS):
        w = signs[start : start + _FLIPS] @ centred
        over = (a + w) ** 2 > threshold**2 * np.maximum(n - w**2, 0.0) / (n - 1)
        counts.append(np.count_nonzero(over, axis=1))
    return np.concatenate(counts)


def coin_range(n: int, level: float = 0.95) -> tuple[int, int]:
    """Return the least and the largest count of heads that a fair coin gives in most of `n` throws.

    Parameters
    ----------
    n : int
    level : float
        At most half of what is left lies on each side of them.

    Returns
    -------
    tuple of int

    Examples
    --------
    >>> coin_range(25)
    (8, 17)
    """
    from scipy.special import bdtr

    counts = np.arange(n + 1)
    below = int(np.argmax(bdtr(counts, n, 0.5) > (1 - level) / 2))
    return below, n - below
