"""How much of what two sets of pairs share is not what control sets share as well."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from plantain.stats._checks import checked_diffs
from plantain.stats.paired import is_degenerate
from plantain.stats.randomization.sign_flips import draw_signs

LEVEL = 0.05  # at which a control has a map at all

SURE = 0.005  # at which it is no map that chance picked out of noise

RIDGE = 0.05  # of the controls' mean diagonal

_Z95 = 1.959963984540054


@dataclass(frozen=True)
class UniqueShare:
    """What an axis and its replication share, and how much of it controls explain.

    Attributes
    ----------
    own : float
        Product of the mean maps of the axis and of its replication, over units.
    own_p : float
        Of at least so large a product where the replication's signs are random.
    explained : float
        The part of `own` that lies in the span of the controls' mean maps.
    share : float
        1 - explained / own; NaN where `own` is not above zero.
    interval : (float, float)
        95%, by the jackknife over the pairs of all sets; NaN where `share` is.
    z : float
        (own - explained) / its jackknife standard error.
    used : tuple of bool
        Whether each control has a map (sign-flip p of its own product at most `LEVEL`); others explain nothing.
    weak : tuple of bool
        Whether each control has none, or none that is sure (p above `SURE`), and yet goes the way of the axis and its
        replication, or against it (two-sided sign-flip p at most `LEVEL` over the number of such controls): it may
        explain more than is seen, and the share may be too high.
    """

    own: float
    own_p: float
    explained: float
    share: float
    interval: tuple[float, float]
    z: float
    used: tuple[bool, ...]
    weak: tuple[bool, ...]


def unique_share(
    axis: np.ndarray, replication: np.ndarray, controls: Sequence[np.ndarray], n_flips: int, rng: np.random.Generator
) -> UniqueShare:
    """Ask how much of what an axis and its replication share is not what the controls share.

    Parameters
    ----------
    axis, replication : float array (n_pairs, n_units)
        At least three pairs each; of the same units.
    controls : sequence of float array (n_pairs, n_units)
    n_flips : int
        Sign flips for the p of `own` and for the controls' screening.
    rng : numpy Generator

    Returns
    -------
    UniqueShare

    Raises
    ------
    ValueError
        Bad differences, or sets of different units.

    Notes
    -----
    All differences are divided by one SD per unit, pooled within sets. Products of mean maps use no product of a pair
    with itself, so that noise adds nothing to them. Controls without a map of their own are left out and the others'
    matrix has a ridge of 5% of its mean diagonal: without both, small controls explain anything. A map that cannot be
    seen by itself can still be seen along the axis, where far less noise is.

    Examples
    --------
    Ten of forty units answer to the axis alone, ten others to the control:

    >>> rng = np.random.default_rng(0)
    >>> mine, theirs = np.repeat([1.0, 0.0], [10, 30]), np.roll(np.repeat([1.0, 0.0], [10, 30]), 10)
    >>> draw = lambda effects: effects + rng.normal(size=(25, 40))
    >>> found = unique_share(draw(mine), draw(mine), [draw(theirs)], 199, rng)
    >>> found.own_p, 0.8 < found.share < 1.2, found.used
    (0.005, True, (True,))
    """
    sets = [checked_diffs(diffs, min_pairs=3) for diffs in (axis, replication, *controls)]
    if len({diffs.shape[1] for diffs in sets}) != 1:
        raise ValueError("the sets have different units.")
    pooled = sum(((diffs - diffs.mean(axis=0)) ** 2).sum(axis=0) for diffs in sets)
    pooled /= sum(len(diffs) - 1 for diffs in sets)
    kept = (pooled > 0) & ~np.any([is_degenerate(diffs) for diffs in sets], axis=0)
    scale = np.sqrt(pooled[kept] * max(1, kept.sum()))  # so that products are means over units
    sizes = [len(diffs) for diffs in sets]
    rows = np.concatenate([diffs[:, kept] / scale for diffs in sets])
    products = rows @ rows.T
    of_set = np.repeat(np.arange(len(sets)), sizes)
    map_p = [_own_p(products[np.ix_(of_set == c, of_set == c)], n_flips, rng) for c in range(2, len(sets))]
    used = tuple(p <= LEVEL for p in map_p)

    weights = (of_set[:, None] == np.arange(len(sets))).astype(np.float64)  # (n_rows, n_sets)
    own, explained = _shares(products, weights, used)
    signs = draw_signs(n_flips, sizes[1], rng)
    null = signs @ products[np.ix_(of_set == 1, of_set == 0)].mean(axis=1) / sizes[1]
    own_p = (1 + int(np.count_nonzero(null >= own))) / (1 + n_flips)

    along = products[:, of_set <= 1].mean(axis=1)  # of every pair with the map of axis and replication
    level = LEVEL / max(1, sum(p > SURE for p in map_p))
    weak = tuple(p > SURE and _mean_p(along[of_set == c], n_flips, rng) <= level for c, p in enumerate(map_p, start=2))

    variance, share_variance = 0.0, 0.0
    for k, size in enumerate(sizes):
        left = []
        for row in np.flatnonzero(of_set == k):
            fewer = weights.copy()
            fewer[row] = 0.0
            left.append(_shares(products, fewer, used))
        parts = np.array(left)
        unexplained = parts[:, 0] - parts[:, 1]
        variance += (size - 1) / size * ((unexplained - unexplained.mean()) ** 2).sum()
        if (parts[:, 0] > 0).all():
            ratios = 1 - parts[:, 1] / parts[:, 0]
            share_variance += (size - 1) / size * ((ratios - ratios.mean()) ** 2).sum()
        else:
            share_variance = math.nan
    share = 1 - explained / own if own > 0 else math.nan
    reach = _Z95 * math.sqrt(share_variance)
    z = (own - explained) / math.sqrt(variance) if variance > 0 else 0.0
    return UniqueShare(own, own_p, explained, share, (share - reach, share + reach), z, used, weak)


def _own_p(products: np.ndarray, n_flips: int, rng: np.random.Generator) -> float:
    """Sign-flip p of a set's product with itself: whether it has a map at all."""
    apart = products - np.diag(np.diag(products))
    signs = draw_signs(n_flips, len(products), rng).astype(np.float64)
    null = np.einsum("fi,ij,fj->f", signs, apart, signs, optimize=True)
    return (1 + int(np.count_nonzero(null >= apart.sum() - 1e-12))) / (1 + n_flips)


def _mean_p(values: np.ndarray, n_flips: int, rng: np.random.Generator) -> float:
    """Sign-flip p, two-sided, of a mean."""
    null = np.abs(draw_signs(n_flips, len(values), rng) @ values)
    return (1 + int(np.count_nonzero(null >= abs(values.sum()) - 1e-12))) / (1 + n_flips)


def _shares(products: np.ndarray, weights: np.ndarray, used: tuple[bool, ...]) -> tuple[float, float]:
    """Return what axis and replication share, and what of it the controls in use explain."""
    sums, n = weights.T @ products @ weights, weights.sum(axis=0)
    with_itself = np.diag(products) @ weights
    means = sums / np.outer(n, n)
    means[np.diag_indices_from(means)] = (np.diag(sums) - with_itself) / (n * (n - 1))
    chosen = np.flatnonzero([False, False, *used])
    if not len(chosen):
        return float(means[0, 1]), 0.0
    span = means[np.ix_(chosen, chosen)]
    span = span + np.eye(len(chosen)) * RIDGE * np.diag(span).mean()
    return float(means[0, 1]), float(means[0, chosen] @ np.linalg.solve(span, means[chosen, 1]))
