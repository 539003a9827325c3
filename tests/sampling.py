"""Samples with effects and correlated noise, for simulations of coverage and error rates."""

from functools import cache

import numpy as np
import pool
from scipy import stats as reference

from plantain.stats import count_interval, count_jackknife, max_t_p

N_PAIRS = 25
N_UNITS = 600
EFFECTS = {  # true d_z per unit: what each kind of unit does
    "none": lambda rng: np.zeros(N_UNITS),
    "normal": lambda rng: 0.3 * rng.normal(size=N_UNITS),
    "strong": lambda rng: 0.5 * rng.normal(size=N_UNITS),
    "sparse": lambda rng: np.where(np.arange(N_UNITS) < N_UNITS // 10, 1.0, 0.0),
    "equal": lambda rng: np.full(N_UNITS, 0.4),
}
FACTORS = {  # shared variance, factors
    "independent": (0.0, 1),
    "five factors": (0.5, 5),
    "one factor": (0.5, 1),
    "real run": (1.0, len(pool.PROMPTS)),
}


@cache
def pool_logs():
    """Centred log magnitudes of 600 of the stand-in's slices, (n_prompts, n_units): as loadings, their correlation."""
    logs = np.log(pool.prompt_magnitudes("card"))
    logs = logs[:, np.linspace(0, logs.shape[1] - 1, N_UNITS).astype(int)]  # from all blocks
    return logs - logs.mean(axis=0)


def loadings(factors, rng):
    """Give how units share what pairs have in common, (n_factors, n_units): a column's squares sum to the share."""
    share, k = FACTORS[factors]
    load = pool_logs() if factors == "real run" else rng.normal(size=(k, N_UNITS))
    return load * np.sqrt(share) / np.linalg.norm(load, axis=0)


def sample(effects, load, rng, skewed=False):
    """Draw the differences of new pairs: every unit with SD 1 around its effect, normal or from exponentials."""
    noise = (lambda size: rng.exponential(size=size) - 1) if skewed else (lambda size: rng.normal(size=size))
    alone = np.sqrt(np.maximum(1 - (load**2).sum(axis=0), 0.0))  # rounding may leave less than nothing
    return effects + noise((N_PAIRS, len(load))) @ load + alone * noise((N_PAIRS, N_UNITS))


def expected_count(effects, threshold):
    """Count that a new sample is expected to have: every unit's t is noncentral t."""
    nc = np.abs(effects) * np.sqrt(N_PAIRS)
    far = np.nan_to_num(reference.nct.cdf(-threshold, N_PAIRS - 1, nc))  # scipy gives NaN where it is below 1e-16
    return float((reference.nct.sf(threshold, N_PAIRS - 1, nc) + far).sum())


def coverage(effects, factors, threshold, n_sets, seed=0, n_bootstrap=1000):
    """Expected count, and how often the wild bootstrap's interval and the jackknife's cover it."""
    rng = np.random.default_rng(seed)
    effects, load = EFFECTS[effects](rng), loadings(factors, rng)
    truth, covered = expected_count(effects, threshold), np.zeros(2)
    for _ in range(n_sets):
        diffs = sample(effects, load, rng)
        intervals = count_interval(diffs, threshold, n_bootstrap, rng=rng), count_jackknife(diffs, threshold)
        covered += [low <= truth <= high for low, high in intervals]
    return truth, *(covered / n_sets)


def false_claims(factors, n_sets, seed=10, skewed=False):
    """Count the data sets without any effect in which some unit has a max-|t| p of at most .05 (999 flips)."""
    rng = np.random.default_rng(seed)
    load = loadings(factors, rng)
    return sum(max_t_p(sample(0.0, load, rng, skewed), 999, rng=rng).min() <= 0.05 for _ in range(n_sets))
