"""Do pairs of one category agree more than pairs of different ones? Sign flips need pairs that do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from plantain.stats._checks import checked_diffs
from plantain.stats.held_out import N_TOP, learn_rule
from plantain.stats.paired import is_degenerate


@dataclass(frozen=True)
class Dependence:
    """Agreement within categories against agreement between them.

    Attributes
    ----------
    within, between : float
        Mean over pairs of pairs of the mean product of their standardised differences, over units.
    p : float
        By permuting the labels: of so large a difference in the square root of those products' matrix.
    """

    within: float
    between: float
    p: float


def dependence(
    diffs: np.ndarray, categories: Sequence[str], n_permutations: int, rng: np.random.Generator
) -> Dependence | None:
    """Compare how pairs agree within categories and between them.

    Parameters
    ----------
    diffs : float array (n_pairs, n_units)
    categories : sequence of str (n_pairs,)
    n_permutations : int
    rng : numpy Generator

    Returns
    -------
    Dependence or None
        None where there is one category, or none with two pairs, or nothing moves.

    Notes
    -----
    The p is that of the matrix' square root: what all units share by a few factors weighs less there. At an
    intra-category correlation of .1 with one factor that holds half of the variance the root finds 92%, the matrix
    itself 28% (25 pairs, 600 units). An effect that all pairs share raises both means alike. Where pairs of a category
    share more, sign flips of single pairs have too many small p: at that correlation and without any common effect 66%
    of counts over |t| > 3 have p <= .05.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> labels = np.repeat(list("abcde"), 5)
    >>> of_category = rng.normal(size=(5, 200)).repeat(5, axis=0)
    >>> dependence(of_category + rng.normal(size=(25, 200)), labels, 999, rng).p
    0.001
    """
    diffs = checked_diffs(diffs)
    diffs = diffs[:, diffs.any(axis=0) & ~is_degenerate(diffs)]
    labels = np.unique(np.asarray(categories), return_inverse=True)[1]
    upper = np.triu_indices(len(diffs), 1)
    same = (labels[:, None] == labels)[upper]
    if not diffs.size or same.all() or not same.any():
        return None
    scaled = diffs / diffs.std(axis=0, ddof=1)
    gram = scaled @ scaled.T / diffs.shape[1]
    values, vectors = np.linalg.eigh(gram)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    products, n_same = root[upper], int(same.sum())
    total = products.sum()

    def difference(within: float) -> float:
        return within / n_same - (total - within) / (len(products) - n_same)

    observed = difference(float(products[same].sum()))
    drawn = np.array([rng.permutation(labels) for _ in range(n_permutations)])
    alike = (drawn[:, upper[0]] == drawn[:, upper[1]]).astype(np.float64)  # (n_permutations, n_products)
    null = difference(alike @ products)
    p = (1 + int(np.count_nonzero(null >= observed - 1e-12))) / (1 + n_permutations)
    return Dependence(float(gram[upper][same].mean()), float(gram[upper][~same].mean()), p)


def left_out_categories(diffs: np.ndarray, categories: Sequence[str], n_top: int = N_TOP) -> int:
    """Count the pairs that a rule of the other categories' pairs tells right.

    Parameters
    ----------
    diffs : float array (n_pairs, n_units)
    categories : sequence of str (n_pairs,)
        At least two; without any one of them two pairs are left.
    n_top : int
        Units of a rule.

    Examples
    --------
    >>> left_out_categories([[1.0], [1.2], [0.9], [1.1]], ["a", "a", "b", "b"])
    4
    """
    diffs, labels = checked_diffs(diffs), np.asarray(categories)
    left_out = [(diffs[labels != name], diffs[labels == name]) for name in np.unique(labels)]
    return sum(int(np.count_nonzero(learn_rule(others, n_top).scores(mine) > 0)) for others, mine in left_out)
