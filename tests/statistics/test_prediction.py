"""Where one more pair may fall: the leave-one-out interval of top units, against a plain loop and simulated truth."""

import numpy as np
import pytest
from sampling import EFFECTS, FACTORS, loadings, sample
from scipy import stats as reference

from plantain.stats import paired_t, pearson, prediction_intervals, spearman


def draw(n_pairs, n_units, seed=0):
    return np.random.default_rng(seed).normal(size=(n_pairs, n_units)) + np.linspace(-1, 1, n_units)


def looped(diffs, n_top, level):
    """Leave out, choose, predict: one pair and one rank at a time."""
    n, reach = len(diffs), []
    for rank in range(n_top):
        residuals = []
        for i in range(n):
            others = np.delete(diffs, i, axis=0)
            unit = np.argsort(-np.abs(reference.ttest_1samp(others, 0).statistic))[rank]
            residuals.append(abs(diffs[i, unit] - others[:, unit].mean()) / others[:, unit].std(ddof=1))
        reach.append(sorted(residuals)[int(np.ceil(level * (n + 1))) - 1])
    units = np.argsort(-np.abs(paired_t(diffs)))[:n_top]
    mean, half = diffs[:, units].mean(axis=0), np.array(reach) * diffs[:, units].std(axis=0, ddof=1)
    return units, mean - half, mean + half


@pytest.mark.parametrize(("n_pairs", "level"), [(25, 0.95), (25, 0.8), (39, 0.95), (9, 0.5)])
def test_the_interval_is_that_of_a_plain_loop(n_pairs, level):
    diffs = draw(n_pairs, 30)
    for ours, theirs in zip(prediction_intervals(diffs, 5, level), looped(diffs, 5, level), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10)


def test_too_few_pairs_for_the_level_have_no_limits():
    assert np.isfinite(prediction_intervals(draw(19, 20), 3).high).all()
    few = prediction_intervals(draw(18, 20), 3)
    assert (few.low == -np.inf).all() and (few.high == np.inf).all()


def test_units_without_a_t_have_no_interval():
    diffs = np.column_stack([np.zeros(20), np.full(20, 0.1), draw(20, 2)])
    found = prediction_intervals(diffs, 10)
    assert sorted(found.units.tolist()) == [2, 3] and found.low.shape == found.high.shape == (2,)
    assert all(part.shape == (0,) for part in prediction_intervals(np.zeros((20, 3))))
    with pytest.raises(ValueError, match="2 pairs are too few; at least 3"):
        prediction_intervals(draw(2, 4))
    with pytest.raises(ValueError, match="lies between 0 and 1; 1 does not"):
        prediction_intervals(draw(5, 4), level=1)


def covered(interval, effects, factors, n_sets=150, n_top=5):
    """Share of new pairs inside the interval of each of the top units, over data sets of one world."""
    rng = np.random.default_rng(21)
    effects, load, hits = EFFECTS[effects](rng), loadings(factors, rng), 0
    for _ in range(n_sets):
        diffs = sample(effects, load, rng)
        units, low, high = interval(diffs, n_top)
        new = sample(effects, load, rng)[0, units]
        hits += np.count_nonzero((low <= new) & (new <= high))
    return hits / (n_sets * n_top)


@pytest.mark.parametrize("factors", FACTORS)
@pytest.mark.parametrize("effects", ["none", "normal", "sparse"])
def test_the_interval_of_a_top_unit_covers_90_to_98_percent_of_new_pairs(effects, factors):
    assert 0.90 <= covered(prediction_intervals, effects, factors) <= 0.98


def naive(diffs, n_top):
    """The tempting way: the range of the pairs that chose the units."""
    units = np.argsort(-np.abs(paired_t(diffs)))[:n_top]
    chosen = diffs[:, units]
    return units, chosen.mean(axis=0) - 1.96 * chosen.std(axis=0), chosen.mean(axis=0) + 1.96 * chosen.std(axis=0)


def test_the_coverage_check_can_fail():
    assert covered(naive, "none", "independent") < 0.90


# --- correlations ------------------------------------------------------------------------------------------


def test_correlations_equal_scipys_ties_included():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 5, 40).astype(float), rng.normal(size=40)
    assert pearson(a, b) == pytest.approx(reference.pearsonr(a, b).statistic, abs=1e-12)
    assert spearman(a, b) == pytest.approx(reference.spearmanr(a, b).statistic, abs=1e-12)


def test_a_correlation_leaves_out_what_is_no_number_and_may_not_exist():
    a, b = np.array([1.0, 2, 3, np.nan, 5]), np.array([2.0, 4, 7, 1, np.inf])
    assert pearson(a, b) == pytest.approx(np.corrcoef(a[:3], b[:3])[0, 1])
    assert np.isnan(pearson(a, np.full(5, 2.0))) and np.isnan(pearson(a, np.full(5, np.nan)))
    assert np.isnan(spearman(np.ones(4), np.arange(4.0)))
    with pytest.raises(ValueError, match="NaN has no rank"):
        spearman(a, b)
    with pytest.raises(ValueError, match="two vectors of one length"):
        pearson(a, b[:3])
