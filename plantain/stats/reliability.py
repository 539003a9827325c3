"""Agreement of the t-vectors of two halves of the pairs, and what it is where there is nothing to agree on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from plantain.stats._checks import checked_diffs
from plantain.stats.correlation import cosine, pearson
from plantain.stats.paired import paired_t
from plantain.stats.randomization.sign_flips import checked_signs

_CONSTANT = 1e-12  # of the sum of squares: a variance below is rounding, and the unit has no t in that half


def draw_halves(
    n_splits: int, n_pairs: int, rng: np.random.Generator, strata: Sequence[object] | None = None
) -> np.ndarray:
    """Draw random halves of the pairs.

    Parameters
    ----------
    n_splits, n_pairs : int
    rng : numpy Generator
    strata : sequence of labels (n_pairs,), optional
        The category of each pair. Each stratum is split as evenly as possible; which strata with an odd number
        give their odd pair to which half is random as well.

    Returns
    -------
    bool array (n_splits, n_pairs)
        True is the half with n_pairs // 2 pairs. Every pair of a stratum is in it equally often.

    Raises
    ------
    ValueError
        Another number of labels than pairs.

    Examples
    --------
    >>> halves = draw_halves(2, 4, np.random.default_rng(0), ["a", "a", "b", "b"])
    >>> halves.sum(axis=1).tolist(), halves[:, :2].sum(axis=1).tolist()
    ([2, 2], [1, 1])
    """
    if strata is None:
        return _smallest(rng.random((n_splits, n_pairs)), n_pairs // 2)
    if len(strata) != n_pairs:
        raise ValueError(f"{len(strata)} labels of strata do not fit {n_pairs} pairs.")
    labels = list(dict.fromkeys(strata))
    members = [np.flatnonzero([label == own for own in strata]) for label in labels]
    odd = np.array([len(rows) % 2 for rows in members])
    # Of k odd strata, k // 2 give their odd pair to the first half, so that its total is n_pairs // 2.
    extra = np.zeros((n_splits, len(labels)), dtype=bool)
    extra[:, odd == 1] = _smallest(rng.random((n_splits, odd.sum())), odd.sum() // 2)
    halves = np.zeros((n_splits, n_pairs), dtype=bool)
    for column, rows in enumerate(members):
        halves[:, rows] = _smallest(rng.random((n_splits, len(rows))), len(rows) // 2 + extra[:, column, None])
    return halves


def _smallest(keys: np.ndarray, n: int | np.ndarray) -> np.ndarray:
    """Tell which n keys of each row are the smallest, bool of the keys' shape."""
    return np.argsort(np.argsort(keys, axis=1), axis=1) < n


def spearman_brown(r: np.ndarray | float) -> np.ndarray:
    """Step the correlation of two halves up to the reliability of the whole, 2 r / (1 + r).

    Parameters
    ----------
    r : float or float array
        Between -1 and 1; NaN stays NaN.

    Returns
    -------
    float64 array of the same shape
        Exact for halves of one size and parallel; with 12 and 13 pairs an approximation. -inf at r = -1.
        A high value says that the pattern is stable, not that it means what it is called.

    Raises
    ------
    ValueError
        A correlation outside -1 to 1.

    References
    ----------
    Spearman (1910), British Journal of Psychology 3, 271-295. Brown (1910), ibid., 296-322.

    Examples
    --------
    >>> round(float(spearman_brown(0.5)), 3)
    0.667
    """
    r = np.asarray(r, dtype=np.float64)
    if (np.abs(r) > 1 + 1e-9).any():
        raise ValueError("correlations lie between -1 and 1.")
    with np.errstate(divide="ignore"):
        return 2 * r / np.maximum(1 + r, 0.0)


def split_half(
    diffs: np.ndarray,
    n_splits: int = 100,
    *,
    rng: np.random.Generator | None = None,
    halves: np.ndarray | None = None,
    centred: bool = True,
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
    centred : bool
        By `pearson`, which does not see a change that all units share; else by `cosine`, which does.

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

    Examples
    --------
    >>> import numpy as np
    >>> from plantain.stats import split_half
    >>> effects = np.linspace(-2, 2, 50)
    >>> diffs = effects + np.random.default_rng(0).normal(size=(24, 50))
    >>> bool(np.median(split_half(diffs, 100, rng=np.random.default_rng(1))) > 0.8)
    True
    """
    diffs = checked_diffs(diffs, min_pairs=4)
    if halves is None:
        if rng is None:
            raise ValueError("give rng, a numpy Generator, or the halves to replay.")
        halves = draw_halves(n_splits, diffs.shape[0], rng)
    halves = _checked_halves(np.asarray(halves), diffs.shape[0])
    agree = pearson if centred else cosine
    return np.array([agree(paired_t(diffs[half]), paired_t(diffs[~half])) for half in halves])


def _checked_halves(halves: np.ndarray, n_pairs: int) -> np.ndarray:
    if halves.ndim != 2 or halves.shape[1] != n_pairs or halves.dtype != bool:
        raise ValueError(f"halves must be bool with shape (n_splits, {n_pairs}).")
    sizes = halves.sum(axis=1)
    if (np.minimum(sizes, n_pairs - sizes) < 2).any():
        raise ValueError("each half needs at least two pairs.")
    return halves


def split_half_null(diffs: np.ndarray, signs: np.ndarray, halves: np.ndarray) -> np.ndarray:
    """Median split-half correlation of sign-flipped data, one per flip: what `split_half` gives without an effect.

    Dependent units agree between halves by chance more than independent ones do, so zero is the centre of the
    reference, not the reference.

    Parameters
    ----------
    diffs : float array (n_pairs, n_units)
        At least four pairs.
    signs : int array (n_permutations, n_pairs)
        Flips of -1 and 1, as from `draw_signs`.
    halves : bool array (n_splits, n_pairs)
        As from `draw_halves`; each side needs two pairs.

    Returns
    -------
    float64 array (n_permutations,)
        The median over the splits whose r exists; NaN where none does.

    Raises
    ------
    ValueError
        Bad differences, signs or halves.

    Notes
    -----
    The sums of squares of a half do not change under flips, and the sums of the two halves add up to that of all
    pairs, so a flip costs one product with the halves. A unit whose variance in a half is below 1e-12 of its sum of
    squares there counts as constant and is left out of that split.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> signs, halves = rng.choice([-1, 1], (100, 8)), draw_halves(20, 8, rng)
    >>> bool(abs(split_half_null(rng.normal(size=(8, 50)), signs, halves).mean()) < 0.05)
    True
    """
    diffs = checked_diffs(diffs, min_pairs=4)
    halves = _checked_halves(np.asarray(halves), len(diffs))
    sides = np.stack([halves, ~halves]).astype(np.float64)  # (2, n_splits, n_pairs)
    squares = sides @ diffs**2  # (2, n_splits, n_units)
    flips = checked_signs(len(diffs), len(signs), None, signs)
    return np.array([_median_r(sides * flip @ diffs, squares, sides.sum(axis=2)[..., None]) for flip in flips])


def _median_r(sums: np.ndarray, squares: np.ndarray, sizes: np.ndarray) -> float:
    variance = squares - sums**2 / sizes
    constant = variance <= _CONSTANT * squares
    variance[constant] = 1.0
    t = sums / np.sqrt(variance * (sizes / (sizes - 1)))  # (2, n_splits, n_units)
    t[constant & (squares > 0)] = np.nan
    r = np.array([pearson(a, b) for a, b in zip(*t, strict=True)])
    return float(np.median(r[np.isfinite(r)])) if np.isfinite(r).any() else float("nan")
