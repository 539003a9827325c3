"""False discovery rates."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class QValues(NamedTuple):
    """The q-values of `fdr`, float64 arrays (n_units,): `bh` Benjamini-Hochberg, `by` Benjamini-Yekutieli."""

    bh: np.ndarray
    by: np.ndarray


def fdr(p: np.ndarray) -> QValues:
    """Turn p-values into q-values: calling all units with q <= a significant aims at a share a of false ones.

    Benjamini-Hochberg keeps that promise for independent units and for positive regression dependence. It is
    *not* guaranteed for two-sided tests of dependent units, such as those of one network. Benjamini-Yekutieli
    holds under any dependence, for a factor of about ln(n_units) + 0.58.

    Parameters
    ----------
    p : float array (n_units,)
        NaN for units that are not tested: they stay NaN and do not count among the tests.

    Returns
    -------
    QValues
        ``bh`` and ``by``, float64 arrays (n_units,).

    Raises
    ------
    ValueError
        Not one axis, or a p outside 0 to 1.

    References
    ----------
    Benjamini & Hochberg (1995), J. R. Stat. Soc. B 57, 289-300. Benjamini & Yekutieli (2001), Ann. Stat. 29,
    1165-1188.

    Examples
    --------
    >>> q = fdr([0.01, 0.02, 0.5, float("nan")])
    >>> q.bh.round(3).tolist(), q.by.round(3).tolist()
    ([0.03, 0.03, 0.5, nan], [0.055, 0.055, 0.917, nan])
    """
    from scipy.stats import false_discovery_control

    p = np.asarray(p, dtype=np.float64)
    tested = ~np.isnan(p)
    if p.ndim != 1 or not ((p[tested] >= 0) & (p[tested] <= 1)).all():
        raise ValueError("p-values must have one axis and lie between 0 and 1, or be NaN.")
    q = QValues(p.copy(), p.copy())
    if tested.any():
        for values, method in zip(q, ("bh", "by"), strict=True):
            values[tested] = false_discovery_control(p[tested], method=method)
    return q
