"""Each pair scored on the top units of the others."""

from __future__ import annotations

import numpy as np

from plantain.stats._checks import checked_diffs
from plantain.stats.paired import paired_t


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
    diffs = checked_diffs(diffs, min_pairs=3)
    n = diffs.shape[0]
    return np.array([_score_against(diffs[i], np.delete(diffs, i, axis=0), n_top) for i in range(n)])


def _score_against(new: np.ndarray, others: np.ndarray, n_top: int) -> float:
    t = np.nan_to_num(paired_t(others), nan=0.0)
    top = np.argsort(-np.abs(t), kind="stable")[:n_top]
    top = top[t[top] != 0]
    if not len(top):
        return 0.0
    return float(np.mean(np.sign(t[top]) * new[top] / others[:, top].std(axis=0, ddof=1)))
