"""How many directions the differences of a pair set have: one gain, one axis, or many."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plantain.stats._checks import checked_diffs


@dataclass(frozen=True)
class Dimension:
    """Directions of the differences D, around zero: a change that is common to all pairs is a direction.

    All are NaN where there is nothing to divide.

    Attributes
    ----------
    first_share : float
        The first eigenvalue of D D^T over the sum of all: 1 where every pair has the same pattern up to a factor.
    participation : float
        Participation ratio, (sum of eigenvalues)^2 / sum of squared eigenvalues: 1 for one direction, k for k
        directions of equal size; at most n_pairs.
    mean_share : float
        Share of the sum of squares of D that lies in the units' means over pairs: what centring takes away.
        About 1 / n_pairs for noise.
    gain_share : float
        Share of the sum of squares of D that lies in the pairs' means over units: all units moving by one amount.
        On differences of log magnitudes that is one common gain. About 1 / n_units for independent noise, and never
        more than `first_share`.
    """

    first_share: float
    participation: float
    mean_share: float
    gain_share: float


def dimension(diffs: np.ndarray) -> Dimension:
    """Describe the directions of the pairs x units differences D.

    Computed from the (n_pairs, n_pairs) Gram matrix, whose eigenvalues are the squared singular values of the
    differences. The units are taken as they are: those with large differences weigh most, so give differences of
    log magnitudes, or divide by each unit's SD first, where every unit is to weigh alike.

    Parameters
    ----------
    diffs : float array (n_pairs, n_units)

    Returns
    -------
    Dimension

    Raises
    ------
    ValueError
        Fewer than two pairs, NaN or infinity, or not two axes.

    References
    ----------
    Jolliffe (2002), Principal Component Analysis, 2nd ed., section 14.2.3 (uncentred components). Gao et al.
    (2017), bioRxiv 214262 (participation ratio).

    Examples
    --------
    Two pairs that change all units by one amount have one direction, which is a gain:

    >>> dimension([[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]])
    Dimension(first_share=1.0, participation=1.0, mean_share=0.9, gain_share=1.0)
    """
    diffs = checked_diffs(diffs)
    # Not by BLAS, which adds long vectors up in as many parts as it has threads: the last digits would vary.
    total, mean = float(np.sum(diffs**2)), diffs.mean(axis=0)
    n_pairs, n_units = diffs.shape
    eigenvalues = np.maximum(np.linalg.eigvalsh(diffs @ diffs.T)[::-1], 0.0)
    whole = float(eigenvalues.sum())
    return Dimension(
        first_share=_share(float(eigenvalues[0]), whole),
        participation=_share(whole**2, float(eigenvalues @ eigenvalues)),
        mean_share=_share(n_pairs * float(np.sum(mean**2)), total),
        gain_share=_share(float(np.sum(diffs.sum(axis=1) ** 2)), n_units * total),
    )


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else float("nan")
