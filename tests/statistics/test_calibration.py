"""Do the statistics keep their promises? Simulated truth with fixed seeds; all limits are 99.9% binomial intervals.

The worlds are small so that the tests take seconds; `benchmarks/bench_stats.py --coverage` runs them at length.
"""

import numpy as np
import pytest
from sampling import EFFECTS, FACTORS, N_PAIRS, N_UNITS, coverage, false_claims, loadings, pool_logs, sample
from scipy import stats as reference

from plantain.stats import cohens_dz, dz_interval, exact_sign_flip_p, max_t_p

# --- worlds ------------------------------------------------------------------------------------------------


def one_unit_each(n_sets, seed=20):
    """Draw data sets without effect in the real run's world and keep one unit of each, (N_PAIRS, n_sets)."""
    rng = np.random.default_rng(seed)
    load = loadings("real run", rng)
    return np.column_stack([sample(0.0, load, rng)[:, rng.integers(N_UNITS)] for _ in range(n_sets)])


def test_the_real_runs_world_has_the_real_runs_correlation():
    rng = np.random.default_rng(13)
    load, n_sets = loadings("real run", rng), 400
    drawn = np.concatenate([sample(0.0, load, rng) for _ in range(n_sets)])
    error = np.corrcoef(drawn.T) - np.corrcoef(pool_logs().T)
    assert np.abs(error).max() < 6 / np.sqrt(n_sets * N_PAIRS)  # six standard errors: there are 179,700 of them
    np.testing.assert_allclose(drawn.std(axis=0), 1, atol=0.05)
    assert np.abs(error).max() < np.abs(np.corrcoef(pool_logs().T) - np.eye(N_UNITS)).max() / 2  # and there is some


# --- family-wise error -------------------------------------------------------------------------------------


def within(hits, n, rate):
    """Tell whether a number of hits lies inside the 99.9% binomial interval of its rate."""
    low, high = reference.binom.interval(0.999, n, rate)
    return low <= hits <= high


@pytest.mark.parametrize("factors", FACTORS)
def test_family_wise_error_is_five_percent_with_dependent_units(factors):
    assert within(false_claims(factors, 250), 250, 0.05)


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


# --- one unit per data set ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def units():
    return one_unit_each(4000)


@pytest.mark.parametrize("n_pairs", [8, N_PAIRS])
def test_exact_p_is_small_as_often_as_it_says_on_its_lattice(units, n_pairs):
    p = exact_sign_flip_p(units[:n_pairs])
    step = 2.0 ** (1 - n_pairs)
    np.testing.assert_array_equal(p / step, np.rint(p / step))
    points = np.arange(1, 2**7 + 1) / 2**7  # of the 128 that 8 pairs have all, of the 2^24 that 25 have every 2^17th
    for a in points:
        assert within((p <= a).sum(), len(p), a), a
    assert ((p <= step).sum() > 0) == (n_pairs == 8)  # 4,000 sets reach the end of a coarse lattice only


@pytest.mark.parametrize("truth", [0.0, 0.5, 1.0])
def test_the_interval_of_d_covers(units, truth):
    low, high = dz_interval(cohens_dz(units + truth), N_PAIRS)
    assert 0.93 <= ((low <= truth) & (truth <= high)).mean() <= 0.97


def test_the_interval_of_the_largest_unit_does_not_cover():
    """Known limit, and proof that coverage can fail: a unit that was chosen for its size is not one unit a data set."""
    rng = np.random.default_rng(21)
    load, covered = loadings("real run", rng), 0
    for _ in range(200):
        dz = cohens_dz(sample(0.0, load, rng))
        low, high = dz_interval(dz[np.abs(dz).argmax()], N_PAIRS)
        covered += low <= 0 <= high
    assert covered < 100


# --- intervals of counts -----------------------------------------------------------------------------------


SPREAD = [("normal", factors, 0.9) for factors in FACTORS]
SPREAD += [("strong", factors, 0.8) for factors in FACTORS if factors != "real run"]  # .874 with one factor, at length


@pytest.mark.parametrize(("effects", "factors", "least"), SPREAD)
def test_both_intervals_cover_where_effects_are_spread_over_all_units(effects, factors, least):
    truth, wild, jackknife = coverage(effects, factors, 3, n_sets=150, n_bootstrap=400)
    assert truth > {"normal": 50, "strong": 150}[effects]
    assert wild >= least and jackknife >= 0.93


def test_the_wild_interval_misses_sparse_effects_and_the_jackknife_does_not():
    """Known limit: one shrinkage for all units takes the few large effects for partly noise."""
    truth, wild, jackknife = coverage("sparse", "independent", 5, n_sets=100, n_bootstrap=400)
    assert truth > 25
    assert wild < 0.5 and jackknife >= 0.93


def test_no_interval_is_needed_where_nothing_is_expected_and_none_holds():
    """Known limit: a count of zero has no variance to be seen, so the jackknife's interval is one point."""
    truth, _, jackknife = coverage("none", "independent", 5, n_sets=60, n_bootstrap=100)
    assert truth < 0.1 and jackknife < 0.5
