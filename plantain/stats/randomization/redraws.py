"""Redraws: a set of units that was chosen, against sets that permuted labels give, by its rank.

What is compared is one figure of the whole set of pairs, not a figure a pair. Random sets differ from one another in
all pairs alike, so that "the chosen set minus the mean of random sets", tested over pairs by sign flips, calls a random
choice significant far too often; a rank among redraws does not.

A choice may differ from fold to fold. One permutation of the labels is drawn for all folds, so that a redraw keeps what
the folds' choices have in common.
"""

from __future__ import annotations

import numpy as np

from plantain.stats.randomization.sign_flips import checked_signs

_TIE = 1e-12  # figures that differ by less are one figure and rounding

_MOST_STRATA, _SMALLEST = 10, 12


def redraw_p(chosen: np.ndarray | float, redraws: np.ndarray) -> np.ndarray:
    """Return the p of a chosen set's figure by its rank among redraws, one-sided: larger is more.

    Parameters
    ----------
    chosen : float or float array (...)
        One figure, or several.
    redraws : float array (n_redraws, ...)
        The same figures of every redraw.

    Returns
    -------
    float64 array (...)
        (1 + redraws with at least as much) / (1 + n_redraws), never below 1 / (1 + n_redraws), its floor.

    Raises
    ------
    ValueError
        The axes do not fit, there is no redraw, or NaN or infinity.

    Notes
    -----
    If the choice has nothing to do with what is measured, its labels are as good as those of any redraw, and
    P(p <= a) <= a for every a, whatever the units' effects and however they hang together.

    References
    ----------
    Phipson & Smyth (2010), Stat. Appl. Genet. Mol. Biol. 9, 39 (why 1 + b and 1 + n).

    Examples
    --------
    >>> redraw_p([0.8, 0.2], [[0.1, 0.1], [0.3, 0.2], [0.2, 0.4]]).tolist()
    [0.25, 0.75]
    """
    chosen, redraws = np.asarray(chosen, dtype=np.float64), np.asarray(redraws, dtype=np.float64)
    if redraws.ndim != chosen.ndim + 1 or redraws.shape[1:] != chosen.shape or not len(redraws):
        raise ValueError(f"redraws must have shape (n_redraws, *{chosen.shape}), not {redraws.shape}.")
    if not (np.isfinite(chosen).all() and np.isfinite(redraws).all()):
        raise ValueError("figures contain NaN or infinity.")
    return (1 + np.count_nonzero(redraws >= chosen - _TIE, axis=0)) / (1 + len(redraws))


def draw_permutations(groups: np.ndarray, n_permutations: int, rng: np.random.Generator) -> np.ndarray:
    """Draw permutations of labels that leave every label in its group.

    Parameters
    ----------
    groups : int array (n_labels,)
        E.g. every head's block, or the stratum of every place in an order.
    n_permutations : int
    rng : numpy Generator

    Returns
    -------
    int array (n_permutations, n_labels)
        What every label becomes.

    Examples
    --------
    >>> draw_permutations(np.array([0, 0, 0, 1, 2]), 2, np.random.default_rng(0)).tolist()
    [[2, 0, 1, 3, 4], [2, 1, 0, 3, 4]]
    """
    groups = np.asarray(groups)
    found = np.tile(np.arange(len(groups)), (n_permutations, 1))
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        found[:, members] = rng.permuted(np.tile(members, (n_permutations, 1)), axis=1)
    return found


def equal_strata(n: int) -> np.ndarray:
    """Cut places in an order into strata of neighbours, int (n,): ten, or fewer so that each has twelve places.

    Examples
    --------
    >>> np.bincount(equal_strata(48)).tolist(), np.bincount(equal_strata(600)).tolist()
    ([12, 12, 12, 12], [60, 60, 60, 60, 60, 60, 60, 60, 60, 60])
    """
    return np.arange(n) * max(1, min(_MOST_STRATA, n // _SMALLEST)) // n


def permute_in_order(permutations: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Turn permutations of the places in an order into permutations of the labels that stand there.

    Parameters
    ----------
    permutations : int array (n_permutations, n_labels)
        What every place becomes.
    order : int array (n_labels,)
        The label at every place.

    Returns
    -------
    int array (n_permutations, n_labels)
        What every label becomes.

    Examples
    --------
    Label 2 stands first and label 0 second; the first two places change:

    >>> permute_in_order(np.array([[1, 0, 2]]), np.array([2, 0, 1])).tolist()
    [[2, 1, 0]]
    """
    found = np.empty_like(permutations)
    found[:, order] = np.asarray(order)[permutations]
    return found


def agreement_under_flips(grams: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """Return how far the pairs agree in every head once the sides of some are exchanged.

    Parameters
    ----------
    grams : float array (n_heads, n_pairs, n_pairs)
        From `direction_grams`.
    signs : int array (n_flips, n_pairs)
        -1 where a pair's sides are exchanged; all 1 leaves them.

    Returns
    -------
    float64 array (n_flips, n_heads)
        As `Agreement.z`: the mean cosine of two pairs in units of its standard deviation under flips, which no flip
        changes; 0 for a silent head.

    Examples
    --------
    >>> agreement_under_flips(np.ones((1, 3, 3)), np.array([[1, 1, 1], [1, 1, -1]])).round(3).tolist()
    [[1.732], [-0.577]]
    """
    n = grams.shape[1]
    signs = checked_signs(n, 0, None, signs).astype(np.float64)
    rows, columns = np.triu_indices(n, 1)
    cosines = np.ascontiguousarray(grams[:, rows, columns].T)  # (n_products, n_heads)
    spread = np.sqrt((cosines**2).sum(axis=0))
    return (signs[:, rows] * signs[:, columns]) @ cosines / np.where(spread > 0, spread, 1.0)
