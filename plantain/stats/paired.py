"""Paired differences, their t and Cohen's d_z, per unit."""

from __future__ import annotations

import numpy as np

from plantain.stats._checks import checked_diffs

_ROUNDING = 1e-12  # of the largest difference


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

    Examples
    --------
    >>> paired_differences([[1.5, 2.0]], [[1.0, 2.5]]).tolist()
    [[0.5, -0.5]]
    """
    positive, negative = np.asarray(positive), np.asarray(negative)
    if positive.shape != negative.shape:
        raise ValueError(f"the sides do not pair up: {positive.shape} and {negative.shape}.")
    return checked_diffs(np.asarray(positive, np.float64) - negative, min_pairs=1)


def is_degenerate(diffs: np.ndarray) -> np.ndarray:
    """Tell which units have differences that are equal, but for rounding, and not zero (bool, (n_units,)).

    Examples
    --------
    >>> is_degenerate([[0.5, 0.0, 1.0], [0.5, 0.0, 2.0]]).tolist()
    [True, False, False]
    """
    diffs = checked_diffs(diffs)
    return _is_constant(diffs) & (diffs[0] != 0)


def _is_constant(diffs: np.ndarray) -> np.ndarray:
    return np.ptp(diffs, axis=0) <= _ROUNDING * np.abs(diffs).max(axis=0)


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

    Examples
    --------
    >>> import numpy as np
    >>> from plantain.stats import paired_t
    >>> diffs = np.array([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0], [4.0, 0.0]])  # 4 pairs, 2 units
    >>> paired_t(diffs).round(4).tolist()
    [3.873, 0.0]
    """
    diffs = checked_diffs(diffs)
    constant = _is_constant(diffs)  # rounding in the SD must not turn it into a huge t
    sd = np.where(constant, 1.0, diffs.std(axis=0, ddof=1))
    t = diffs.mean(axis=0) / (sd / np.sqrt(len(diffs)))
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

    Examples
    --------
    >>> import numpy as np
    >>> from plantain.stats import cohens_dz
    >>> cohens_dz(np.array([[1.0], [2.0], [3.0], [4.0]])).round(4).tolist()
    [1.9365]
    """
    return paired_t(diffs) / np.sqrt(len(diffs))
