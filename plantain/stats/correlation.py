"""Correlations that say NaN where they do not exist."""

from __future__ import annotations

import numpy as np


def pearson(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's r over the places where both vectors have a finite number.

    Parameters
    ----------
    a, b : float array (n,)

    Returns
    -------
    float
        NaN where fewer than two places are left or one of the vectors is constant there.

    Raises
    ------
    ValueError
        The shapes differ.

    References
    ----------
    Pearson (1895), Proc. R. Soc. London 58, 240-242.

    Examples
    --------
    >>> round(pearson([1.0, 2.0, 3.0, float("nan")], [2.0, 4.1, 5.9, 0.0]), 4)
    0.999
    """
    a, b = _usable(a, b)
    return _cosine(a - a.mean(), b - b.mean()) if len(a) else float("nan")


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Uncentred agreement over the places where both vectors have a finite number: `pearson` without the means.

    What all places share counts as agreement.

    Parameters
    ----------
    a, b : float array (n,)

    Returns
    -------
    float
        NaN where no place is left or one of the vectors is zero there.

    Raises
    ------
    ValueError
        The shapes differ.

    Examples
    --------
    >>> round(cosine([5.0, 6.0, 5.0], [6.0, 5.0, 6.0]), 3), round(pearson([5.0, 6.0, 5.0], [6.0, 5.0, 6.0]), 3)
    (0.985, -1.0)
    """
    return _cosine(*_usable(a, b))


def _usable(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return two vectors at the places where both are finite."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"two vectors of one length are needed, not {a.shape} and {b.shape}.")
    usable = np.isfinite(a) & np.isfinite(b)
    return a[usable], b[usable]


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    # Not by `@`: BLAS adds long vectors up in as many parts as it has threads, so that the last digits would vary.
    norm = np.sqrt(np.sum(a * a) * np.sum(b * b))
    return float(np.sum(a * b) / norm) if norm > 0 else float("nan")


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rho: `pearson` of the ranks, ties at their mean rank.

    Parameters
    ----------
    a, b : float array (n,)
        Without NaN.

    Returns
    -------
    float
        NaN where one of the vectors is constant.

    Raises
    ------
    ValueError
        The shapes differ, or a value is NaN.

    References
    ----------
    Spearman (1904), American Journal of Psychology 15, 72-101.

    Examples
    --------
    >>> spearman([1.0, 2.0, 3.0], [1.0, 10.0, 100.0])
    1.0
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if np.isnan(a).any() or np.isnan(b).any():
        raise ValueError("NaN has no rank.")
    return pearson(_ranks(a), _ranks(b))


def _ranks(values: np.ndarray) -> np.ndarray:
    """As scipy's `rankdata`; importing scipy.stats for it would take longer than a whole report."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]
