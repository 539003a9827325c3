"""Effect sizes: Hedges' correction of d_z and its interval, and the interval of a mean."""

from __future__ import annotations

import math

import numpy as np

from plantain.stats._checks import checked_diffs, checked_level


def hedges_g(dz: np.ndarray | float, n: int) -> np.ndarray:
    """Correct d_z for its bias in small samples: g_z = J d_z.

    J = Gamma(df / 2) / (sqrt(df / 2) Gamma((df - 1) / 2)) with df = n - 1, which makes g_z unbiased for normal
    differences; at n = 25, J = 0.968.

    Parameters
    ----------
    dz : float or float array
        Cohen's d_z, in standard deviations of a difference; NaN stays NaN.
    n : int
        Pairs, at least 3.

    Returns
    -------
    float64 array of the same shape

    Raises
    ------
    ValueError
        Fewer than three pairs: the correction does not exist.

    References
    ----------
    Hedges (1981), Distribution theory for Glass's estimator of effect size. J. Educ. Stat. 6, 107-128.

    Examples
    --------
    >>> hedges_g([0.5, 1.0], 25).round(3).tolist()
    [0.484, 0.968]
    """
    if n < 3:
        raise ValueError(f"Hedges' correction needs at least 3 pairs, not {n}.")
    df = n - 1
    j = math.exp(math.lgamma(df / 2) - math.lgamma((df - 1) / 2)) / math.sqrt(df / 2)
    return j * np.asarray(dz, dtype=np.float64)


def dz_interval(dz: np.ndarray | float, n: int, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Confidence interval of d_z, by inverting the noncentral t.

    For normal differences t = d_z sqrt(n) is noncentral t with n - 1 degrees of freedom and noncentrality
    delta sqrt(n), delta the true d_z. The ends are the two delta at which the observed t is the
    (1 + level) / 2 and the (1 - level) / 2 quantile.

    Parameters
    ----------
    dz : float or float array
        Cohen's d_z without Hedges' correction (t / sqrt(n)); NaN stays NaN.
    n : int
        Pairs, at least 2.
    level : float
        Between 0 and 1.

    Returns
    -------
    low, high : float64 arrays of the shape of `dz`
        In standard deviations of a difference. Exact for normal differences, so one unit's interval covers at
        `level`; intervals of units that were chosen for their size do not.

    Raises
    ------
    ValueError
        Fewer than two pairs, or a level that is not between 0 and 1.

    References
    ----------
    Steiger & Fouladi (1997), in Harlow, Mulaik & Steiger, What If There Were No Significance Tests?, 221-257.
    Goulet-Pelletier & Cousineau (2018), Quant. Methods Psychol. 14, 242-265.

    Examples
    --------
    >>> low, high = dz_interval(0.8, 25)
    >>> round(float(low), 3), round(float(high), 3)
    (0.342, 1.246)
    """
    if n < 2:
        raise ValueError(f"an interval needs at least 2 pairs, not {n}.")
    alpha = 1 - checked_level(level)
    dz = np.asarray(dz, dtype=np.float64)
    t = np.abs(dz) * math.sqrt(n)  # the interval of -t is the mirror image of that of t
    near, far = (_noncentrality(t, n - 1, p, alpha) / math.sqrt(n) for p in (1 - alpha / 2, alpha / 2))
    return np.where(dz < 0, -far, near), np.where(dz < 0, -near, far)


def _noncentrality(t: np.ndarray, df: int, p: float, alpha: float) -> np.ndarray:
    """Find the noncentrality at which P(T <= t) = p, for t >= 0."""
    from scipy import special, stats
    from scipy.optimize import elementwise

    # T = (Z + nc) / U with U = sqrt(chi2 / df). By Bonferroni over Z and U both ends lie in this bracket.
    z = special.ndtri(1 - alpha / 4) + 0.01
    small, large = (np.sqrt(special.chdtri(df, q) / df) for q in (1 - alpha / 4, alpha / 4))

    def excess(nc: np.ndarray, t: np.ndarray) -> np.ndarray:
        return stats.nct.cdf(t, df, nc) - p

    known = np.isfinite(t)
    result = np.full(t.shape, np.nan)
    found = elementwise.find_root(excess, (t[known] * small - z, t[known] * large + z), args=(t[known],))
    result[known] = np.where(found.success, found.x, np.nan)
    return result


def detectable_effect(n_pairs: int, critical: float, power: float = 0.8) -> float:
    """Smallest |d_z| of one unit whose |t| exceeds a critical value with a given power.

    Parameters
    ----------
    n_pairs : int
    critical : float
        A |t|, such as the 95th percentile of max |t| over all units under sign flips: then a family-wise .05.
    power : float
        Between 0 and 1.

    Returns
    -------
    float
        In standard deviations of a difference; for normal differences.

    Raises
    ------
    ValueError
        Fewer than two pairs, a critical value that is not above zero, or a power that is not between 0 and 1.

    References
    ----------
    Cohen (1988), Statistical Power Analysis for the Behavioral Sciences, chapter 2.

    Examples
    --------
    >>> round(detectable_effect(25, 4.52), 2)
    1.1
    """
    from scipy.optimize import brentq
    from scipy.stats import nct

    if n_pairs < 2 or not 0 < critical < math.inf:
        raise ValueError(f"{n_pairs} pairs and |t| {critical}: at least two pairs and a |t| above zero are needed.")
    lacking = checked_level(power)
    # Of the other sign nothing is found at such a distance.
    return float(brentq(lambda d: nct.sf(critical, n_pairs - 1, d * math.sqrt(n_pairs)) - lacking, 0.0, 1e3))


def mean_interval(diffs: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Confidence interval of one unit's mean difference, by Student's t.

    Parameters
    ----------
    diffs : float array (n_pairs,)
    level : float
        Between 0 and 1.

    Returns
    -------
    low, high : float
        In the unit of the differences. Exact for normal differences; that of a unit chosen for its size does not cover.

    Raises
    ------
    ValueError
        Fewer than two pairs, NaN or infinity, or a level that is not between 0 and 1.

    References
    ----------
    Student (1908), The probable error of a mean. Biometrika 6, 1-25.

    Examples
    --------
    >>> low, high = mean_interval([1.0, 2.0, 3.0])
    >>> round(low, 3), round(high, 3)
    (-0.484, 4.484)
    """
    from scipy.special import stdtrit

    diffs = checked_diffs(np.asarray(diffs)[:, None])[:, 0]
    n = len(diffs)
    reach = stdtrit(n - 1, (1 + checked_level(level)) / 2) * diffs.std(ddof=1) / math.sqrt(n)
    return float(diffs.mean() - reach), float(diffs.mean() + reach)
