"""How many directions the differences of a pair set have: one gain, one axis, or many."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plantain.stats._checks import checked_diffs

_ROUNDING = 1e-28  # of the sum of squares: the square of what subtracting a mean leaves


@dataclass(frozen=True)
class Spectrum:
    """Summary of the eigenvalues of a Gram matrix.

    Attributes
    ----------
    eigenvalues : float64 array (n_pairs,)
        Falling, not negative; in squared units of the differences.
    first_share : float
        The first eigenvalue over the sum of all: 1 where every pair has the same pattern up to a factor.
    participation : float
        Participation ratio, (sum of eigenvalues)^2 / sum of squared eigenvalues: 1 for one direction, k for k
        directions of equal size.
    """

    eigenvalues: np.ndarray
    first_share: float
    participation: float


@dataclass(frozen=True)
class Dimension:
    """Directions of the differences. All shares are NaN where there is nothing to divide.

    Attributes
    ----------
    uncentred : Spectrum
        Of D D^T: around zero, so a change that is common to all pairs is a direction; at most n_pairs of them.
    centred : Spectrum
        Of C C^T, C the differences less each unit's mean over pairs: how pairs vary around the common change;
        at most n_pairs - 1 directions.
    mean_share : float
        Share of the sum of squares of D that lies in the units' means over pairs: what centring takes away.
        About 1 / n_pairs for noise.
    gain_share : float
        Share of the sum of squares of D that lies in the pairs' means over units: all units moving by one amount.
        On differences of log magnitudes that is one common gain. About 1 / n_units for independent noise, and never
        more than ``uncentred.first_share``.
    """

    uncentred: Spectrum
    centred: Spectrum
    mean_share: float
    gain_share: float


def dimension(diffs: np.ndarray) -> Dimension:
    """Describe the directions of the pairs x units differences D.

    Computed from the (n_pairs, n_pairs) Gram matrices, whose eigenvalues are the squared singular values of the
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
    """
    diffs = checked_diffs(diffs)
    # Not by BLAS, which adds long vectors up in as many parts as it has threads: the last digits would vary.
    total, mean = float(np.sum(diffs**2)), diffs.mean(axis=0)
    n_pairs, n_units = diffs.shape
    return Dimension(
        uncentred=_spectrum(diffs),
        centred=_spectrum(diffs - mean, floor=_ROUNDING * total),
        mean_share=_share(n_pairs * float(np.sum(mean**2)), total),
        gain_share=_share(float(np.sum(diffs.sum(axis=1) ** 2)), n_units * total),
    )


def _spectrum(diffs: np.ndarray, floor: float = 0.0) -> Spectrum:
    values = np.maximum(np.linalg.eigvalsh(diffs @ diffs.T)[::-1], 0.0)
    if values.sum() <= floor:  # what rounding leaves of differences that are the same in all pairs
        values = np.zeros_like(values)
    total = float(values.sum())
    return Spectrum(values, _share(float(values[0]), total), _share(total**2, float(values @ values)))


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else float("nan")
