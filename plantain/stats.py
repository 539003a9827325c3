"""Statistics of paired differences: arrays in, arrays out, explicit randomness.

Knows nothing about the project. ``diffs`` is always float (n_pairs, n_units): positive minus negative.

`paired_t`, `cohens_dz`   per unit
`draw_signs`, `draw_halves`  the random choices, kept apart so that they can be stored and replayed
`sign_flip_null`          counts over thresholds and max |t| under sign flips of the pairs
`split_half`              agreement of the t-vectors of two halves of the pairs
`conformal_scores`        each pair scored on the top units of the others
`quantile_above`          the order statistic at or above a quantile, e.g. the null's 99th percentile

Units whose differences are all zero have t = d = 0. A unit with zero variance and a mean that is not zero
is *degenerate*: its t does not exist. It is NaN here, and callers leave it out and count it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_BLOCK = 512  # units per matrix product: the flips' t-values of one block stay in the cache


def _checked(diffs: np.ndarray, min_pairs: int = 2) -> np.ndarray:
    diffs = np.asarray(diffs, dtype=np.float64)
    if diffs.ndim != 2:
        raise ValueError(f"differences must have shape (n_pairs, n_units), not {diffs.shape}.")
    if diffs.shape[0] < min_pairs:
        raise ValueError(f"{diffs.shape[0]} pairs are too few; at least {min_pairs} are needed.")
    if not np.isfinite(diffs).all():
        raise ValueError("differences contain NaN or infinity.")
    return diffs


def paired_differences(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """Subtract, refusing sides that do not pair up.

    Parameters
    ----------
    positive, negative : float array (n_pairs, n_units)

    Returns
    -------
    float64 array (n_pairs, n_units)

    Raises
    ------
    ValueError
        The shapes differ, or a value is NaN or infinite.
    """
    positive, negative = np.asarray(positive), np.asarray(negative)
    if positive.shape != negative.shape:
        raise ValueError(f"the sides do not pair up: {positive.shape} and {negative.shape}.")
    return _checked(np.asarray(positive, np.float64) - negative, min_pairs=1)


def is_degenerate(diffs: np.ndarray) -> np.ndarray:
    """Tell which units have equal differences that are not zero (bool, (n_units,))."""
    diffs = _checked(diffs)
    return (np.ptp(diffs, axis=0) == 0) & (diffs[0] != 0)


def paired_t(diffs: np.ndarray) -> np.ndarray:
    """Paired t statistic of each unit: mean / (SD / sqrt(n)), SD with n - 1.

    Parameters
    ----------
    diffs : float array (n_pairs, n_units)

    Returns
    -------
    float64 array (n_units,)
        0 where all differences are zero, NaN where the unit is degenerate.

    Raises
    ------
    ValueError
        Fewer than two pairs, NaN or infinity, or not two axes.

    References
    ----------
    Student (1908), The probable error of a mean. Biometrika 6, 1-25.
    """
    diffs = _checked(diffs)
    n = diffs.shape[0]
    constant = np.ptp(diffs, axis=0) == 0  # exactly: rounding in the SD must not turn it into a huge t
    sd = np.where(constant, 1.0, diffs.std(axis=0, ddof=1))
    t = diffs.mean(axis=0) / (sd / np.sqrt(n))
    return np.where(constant, np.where(diffs[0] == 0, 0.0, np.nan), t)


def cohens_dz(diffs: np.ndarray) -> np.ndarray:
    """Cohen's d of paired differences, d_z = mean / SD = t / sqrt(n).

    Parameters
    ----------
    diffs : float array (n_pairs, n_units)

    Returns
    -------
    float64 array (n_units,)
        As `paired_t`: 0 for all zeros, NaN for a degenerate unit.

    References
    ----------
    Cohen (1988), Statistical Power Analysis for the Behavioral Sciences, 2nd ed., p. 48.
    """
    return paired_t(diffs) / np.sqrt(np.shape(diffs)[0])


def draw_signs(n_permutations: int, n_pairs: int, rng: np.random.Generator) -> np.ndarray:
    """Draw sign flips, int8 (n_permutations, n_pairs) of -1 and 1, each with probability 1/2."""
    return (2 * rng.integers(0, 2, size=(n_permutations, n_pairs)) - 1).astype(np.int8)


def draw_halves(n_splits: int, n_pairs: int, rng: np.random.Generator) -> np.ndarray:
    """Draw random halves, bool (n_splits, n_pairs): True is the half with n_pairs // 2 pairs."""
    order = np.argsort(rng.random((n_splits, n_pairs)), axis=1)
    halves = np.zeros((n_splits, n_pairs), dtype=bool)
    np.put_along_axis(halves, order[:, : n_pairs // 2], True, axis=1)
    return halves


@dataclass(frozen=True)
class SignFlipNull:
    """What the sign flips gave.

    Attributes
    ----------
    thresholds : tuple of float
    counts : int array (n_thresholds, n_permutations)
        Units with |t| above each threshold.
    max_abs_t : float array (n_permutations,)
    signs : int8 array (n_permutations, n_pairs)
        The flips themselves.
    """

    thresholds: tuple[float, ...]
    counts: np.ndarray
    max_abs_t: np.ndarray
    signs: np.ndarray


def sign_flip_null(
    diffs: np.ndarray,
    n_permutations: int = 1000,
    *,
    rng: np.random.Generator | None = None,
    signs: np.ndarray | None = None,
    thresholds: Sequence[float] = (3.0, 5.0),
) -> SignFlipNull:
    """Count units over |t| thresholds under random sign flips of whole pairs.

    All units of a pair are flipped together, so their dependence is kept. The null is self-contained:
    it says that the differences are symmetric around zero, not that other contrasts give less.

    Parameters
    ----------
    diffs : float array (n_pairs, n_units)
    n_permutations : int
        Flips to draw with `rng`; ignored when `signs` is given.
    rng : numpy Generator
        Needed unless `signs` is given.
    signs : int array (n_permutations, n_pairs), optional
        Flips to replay.
    thresholds : sequence of float
        A unit counts when |t| is strictly above.

    Returns
    -------
    SignFlipNull

    Raises
    ------
    ValueError
        Bad differences, neither `rng` nor `signs`, or signs of another shape or other values.

    Notes
    -----
    The sum of squares Q of a unit does not change under flips, so t follows from S = signs @ diffs:
    t = (S/n) / sqrt((Q - S^2/n) / (n (n - 1))).

    References
    ----------
    Fisher (1935), The Design of Experiments, section 21. Nichols & Holmes (2002), Human Brain Mapping 15, 1-25.
    """
    diffs = _checked(diffs)
    signs = _checked_signs(diffs.shape[0], n_permutations, rng, signs)
    counts = np.zeros((len(thresholds), len(signs)), dtype=np.int64)
    largest = np.zeros(len(signs))
    signs_f = signs.astype(np.float64)
    for start in range(0, diffs.shape[1], _BLOCK):
        abs_t = _abs_t_under_flips(diffs[:, start : start + _BLOCK], signs_f)  # (n_permutations, block)
        for row, threshold in zip(counts, thresholds, strict=True):
            row += np.count_nonzero(abs_t > threshold, axis=1)
        np.maximum(largest, abs_t.max(axis=1), out=largest)
    return SignFlipNull(tuple(thresholds), counts, largest, signs)


def _checked_signs(n_pairs: int, n_permutations: int, rng, signs) -> np.ndarray:
    if signs is None:
        if rng is None:
            raise ValueError("give rng, a numpy Generator, or the signs to replay.")
        return draw_signs(n_permutations, n_pairs, rng)
    signs = np.asarray(signs)
    if signs.ndim != 2 or signs.shape[1] != n_pairs:
        raise ValueError(f"signs must have shape (n_permutations, {n_pairs}), not {signs.shape}.")
    if not np.isin(signs, (-1, 1)).all():
        raise ValueError("signs must be -1 or 1.")
    return signs.astype(np.int8)


def _abs_t_under_flips(diffs: np.ndarray, signs: np.ndarray) -> np.ndarray:
    n = diffs.shape[0]
    total = signs @ diffs
    squares = np.einsum("pu,pu->u", diffs, diffs)
    variance = np.maximum(squares - total**2 / n, 0.0) * (n / (n - 1))  # of the sum
    with np.errstate(divide="ignore", invalid="ignore"):
        abs_t = np.abs(total) / np.sqrt(variance)
    # 0/0 is a unit without any difference: t = 0. A flip that lines all pairs up gives infinity, which counts.
    return np.nan_to_num(abs_t, nan=0.0, posinf=np.inf)


def quantile_above(values: np.ndarray, q: float) -> float:
    """Return the smallest observed value at or above the q-quantile (``method="higher"``)."""
    return float(np.quantile(values, q, method="higher"))


def split_half(
    diffs: np.ndarray,
    n_splits: int = 100,
    *,
    rng: np.random.Generator | None = None,
    halves: np.ndarray | None = None,
) -> np.ndarray:
    """Correlate the t-vectors of two halves of the pairs, for many random halves.

    Parameters
    ----------
    diffs : float array (n_pairs, n_units)
        At least four pairs.
    n_splits : int
        Halves to draw with `rng`; ignored when `halves` is given.
    rng : numpy Generator
        Needed unless `halves` is given.
    halves : bool array (n_splits, n_pairs), optional
        Halves to replay; each side of a split needs two pairs.

    Returns
    -------
    float64 array (n_splits,)
        Pearson r per split over the units whose t exists in both halves; NaN where r does not exist,
        as with fewer than two units. Units without any difference count as t = 0.
        Their spread is over splits of the same pairs: no confidence interval.

    Raises
    ------
    ValueError
        Bad differences or halves, or neither `rng` nor `halves`.

    References
    ----------
    Brown (1910), British Journal of Psychology 3, 296-322 (split-half reliability).
    """
    diffs = _checked(diffs, min_pairs=4)
    if halves is None:
        if rng is None:
            raise ValueError("give rng, a numpy Generator, or the halves to replay.")
        halves = draw_halves(n_splits, diffs.shape[0], rng)
    halves = _checked_halves(np.asarray(halves), diffs.shape[0])
    return np.array([_pearson(paired_t(diffs[half]), paired_t(diffs[~half])) for half in halves])


def _checked_halves(halves: np.ndarray, n_pairs: int) -> np.ndarray:
    if halves.ndim != 2 or halves.shape[1] != n_pairs or halves.dtype != bool:
        raise ValueError(f"halves must be bool with shape (n_splits, {n_pairs}).")
    sizes = halves.sum(axis=1)
    if (np.minimum(sizes, n_pairs - sizes) < 2).any():
        raise ValueError("each half needs at least two pairs.")
    return halves


def _pearson(a: np.ndarray, b: np.ndarray) -> float:
    usable = np.isfinite(a) & np.isfinite(b)
    if not usable.any():
        return float("nan")
    a, b = a[usable] - a[usable].mean(), b[usable] - b[usable].mean()
    norm = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / norm) if norm > 0 else float("nan")


def conformal_scores(diffs: np.ndarray, n_top: int = 20) -> np.ndarray:
    """Score every pair on the units that the *other* pairs select.

    For pair i the `n_top` units with the largest |t| over the other pairs are taken; the score is the mean
    over them of sign(t) * difference / SD, with sign and SD from the other pairs too. All pairs are
    treated alike, so the rank of one of them among all is a valid full-conformal rank when the pairs are
    exchangeable.

    Parameters
    ----------
    diffs : float array (n_pairs, n_units)
        At least three pairs.
    n_top : int
        Units per score; fewer where fewer have a t that exists and is not zero.

    Returns
    -------
    float64 array (n_pairs,)
        In standard deviations of a difference; 0 for a pair whose others select no unit.

    References
    ----------
    Vovk, Gammerman & Shafer (2005), Algorithmic Learning in a Random World, chapter 2.
    """
    diffs = _checked(diffs, min_pairs=3)
    n = diffs.shape[0]
    return np.array([_score_against(diffs[i], np.delete(diffs, i, axis=0), n_top) for i in range(n)])


def _score_against(new: np.ndarray, others: np.ndarray, n_top: int) -> float:
    t = np.nan_to_num(paired_t(others), nan=0.0)
    top = np.argsort(-np.abs(t), kind="stable")[:n_top]
    top = top[t[top] != 0]
    if not len(top):
        return 0.0
    return float(np.mean(np.sign(t[top]) * new[top] / others[:, top].std(axis=0, ddof=1)))
