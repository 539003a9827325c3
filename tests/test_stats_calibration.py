"""Do the statistics keep their promises? Simulated truth with fixed seeds; all limits are 99.9% binomial intervals.

The worlds are small so that the tests take seconds; `benchmarks/bench_stats.py --coverage` runs them at length.
"""

import numpy as np
import pytest
from scipy import stats as reference

from plantain.stats import count_interval, count_jackknife, exact_sign_flip_p, max_t_p

N_PAIRS, N_UNITS = 25, 600

# --- worlds ------------------------------------------------------------------------------------------------

EFFECTS = {  # true d_z per unit: what each kind of unit does
    "none": lambda rng: np.zeros(N_UNITS),
    "normal": lambda rng: 0.3 * rng.normal(size=N_UNITS),
    "strong": lambda rng: 0.5 * rng.normal(size=N_UNITS),
    "sparse": lambda rng: np.where(np.arange(N_UNITS) < N_UNITS // 10, 1.0, 0.0),
    "equal": lambda rng: np.full(N_UNITS, 0.4),
}
FACTORS = {"independent": (0.0, 1), "five factors": (0.5, 5), "one factor": (0.5, 1)}  # shared variance, factors


def loadings(factors, rng):
    """Draw how units share what pairs have in common, (n_factors, n_units): a column's squares sum to the share."""
    share, k = FACTORS[factors]
    load = rng.normal(size=(k, N_UNITS))
    return load * np.sqrt(share) / np.linalg.norm(load, axis=0)


def sample(effects, load, rng, skewed=False):
    """Draw the differences of new pairs: every unit with SD 1 around its effect, normal or from exponentials."""
    noise = (lambda size: rng.exponential(size=size) - 1) if skewed else (lambda size: rng.normal(size=size))
    alone = np.sqrt(1 - (load**2).sum(axis=0))
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


# --- family-wise error -------------------------------------------------------------------------------------


def within(hits, n, rate):
    """Tell whether a number of hits lies inside the 99.9% binomial interval of its rate."""
    low, high = reference.binom.interval(0.999, n, rate)
    return low <= hits <= high


@pytest.mark.parametrize("factors", FACTORS)
def test_family_wise_error_is_five_percent_with_dependent_units(factors):
    assert within(false_claims(factors, 1000), 1000, 0.05)


def test_skewed_differences_break_the_promise():
    """Known limit: sign flips assume symmetry, and a mean of zero is not enough."""
    assert false_claims("independent", 60, skewed=True) > reference.binom.ppf(0.999, 60, 0.05)


def test_the_check_can_fail():
    rng = np.random.default_rng(11)
    load = loadings("one factor", rng)
    hits = sum(exact_sign_flip_p(sample(0.0, load, rng)[:12, :60]).min() <= 0.05 for _ in range(60))
    assert not within(hits, 60, 0.05)  # p per unit, with nothing done about the number of units


def test_units_without_an_effect_are_safe_among_units_with_one():
    rng = np.random.default_rng(12)
    effects, load, n_sets = EFFECTS["sparse"](rng), loadings("five factors", rng), 100
    false = found = 0
    for _ in range(n_sets):
        p = max_t_p(sample(effects, load, rng), 999, rng=rng)
        false += p[effects == 0].min() <= 0.05
        found += (p[effects > 0] <= 0.05).mean()
    assert false <= reference.binom.ppf(0.999, n_sets, 0.05)
    assert found / n_sets > 0.3  # and the test has power: d_z = 1 is t = 5 on average


# --- intervals of counts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("factors", FACTORS)
def test_both_intervals_cover_where_effects_are_spread_over_all_units(factors):
    truth, wild, jackknife = coverage("normal", factors, 3, n_sets=150, n_bootstrap=400)
    assert truth > 50
    assert wild >= 0.9 and jackknife >= 0.93


def test_the_wild_interval_misses_sparse_effects_and_the_jackknife_does_not():
    """Known limit: one shrinkage for all units takes the few large effects for partly noise."""
    truth, wild, jackknife = coverage("sparse", "independent", 5, n_sets=100, n_bootstrap=400)
    assert truth > 25
    assert wild < 0.5 and jackknife >= 0.93


def test_no_interval_is_needed_where_nothing_is_expected_and_none_holds():
    """Known limit: a count of zero has no variance to be seen, so the jackknife's interval is one point."""
    truth, _, jackknife = coverage("none", "independent", 5, n_sets=60, n_bootstrap=100)
    assert truth < 0.1 and jackknife < 0.5
