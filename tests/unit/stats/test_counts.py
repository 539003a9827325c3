"""Counts over a threshold: p, quantiles and intervals against definitions, plain loops and simulated truth."""

import math

import numpy as np
import pytest
from scipy import stats as reference

from plantain.stats import (
    count_interval,
    count_jackknife,
    count_p,
    draw_signs,
    leave_one_out_counts,
    paired_t,
    quantile_above,
    quantile_interval,
    shrinkage,
)


def draw(n_pairs=25, n_units=60, seed=0, size=0.5):
    """Draw correlated differences with an effect of its own in every unit."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n_pairs, n_units)) + 0.7 * rng.normal(size=(n_pairs, 1)) + size * rng.normal(size=n_units)


def count(diffs, threshold):
    """Count by scipy's t."""
    return int((np.abs(reference.ttest_1samp(diffs, 0).statistic) > threshold).sum())


# --- p and quantiles ---------------------------------------------------------------------------------------


def test_the_p_of_a_count_is_never_zero_and_ties_count():
    assert count_p(9, np.array([1, 2, 3])) == 0.25
    assert count_p(3, np.array([1, 2, 3])) == 0.5
    assert count_p(0, np.array([0, 0, 0])) == 1.0
    assert count_p(3, np.arange(999)) == 997 / 1000
    for bad in (np.array([]), np.ones((2, 3)), np.int64(3)):
        with pytest.raises(ValueError, match="at least one count"):
            count_p(1, bad)


@pytest.mark.parametrize(("m", "q"), [(1000, 0.99), (1000, 0.5), (357, 0.9), (100, 0.95), (30, 0.5)])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_the_quantiles_interval_is_the_shortest_one_that_the_binomial_allows(m, q, level):
    low, high = (int(x) for x in quantile_interval(np.random.default_rng(0).permutation(np.arange(1, m + 1)), q, level))
    tail, binomial = (1 - level) / 2, reference.binom(m, q)
    assert binomial.cdf(low - 1) <= tail < binomial.cdf(low)
    assert binomial.sf(high - 1) <= tail < binomial.sf(high - 2)


def test_the_quantiles_interval_covers():
    rng, truth = np.random.default_rng(1), reference.norm.ppf(0.99)
    ends = np.array([quantile_interval(rng.normal(size=1000), 0.99) for _ in range(1000)])
    covered = ((ends[:, 0] <= truth) & (truth <= ends[:, 1])).mean()
    assert 0.93 <= covered <= 0.98  # 0.954 by the binomial


def test_too_few_values_have_no_end():
    assert quantile_interval(np.arange(10), 0.99) == (8.0, math.inf)  # P(B <= 7) < .025 <= P(B <= 8) of 10 at .99
    assert quantile_interval(np.arange(10), 0.01) == (-math.inf, 1.0)
    assert quantile_interval(np.array([4.0]), 0.5) == (-math.inf, math.inf)
    values = np.random.default_rng(2).poisson(7, 1000)
    low, high = quantile_interval(values, 0.99)
    assert low <= quantile_above(values, 0.99) <= high


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [[1.0, 2.0]]])
def test_what_has_no_quantile_is_refused(values):
    with pytest.raises(ValueError, match="at least one number"):
        quantile_interval(np.array(values), 0.5)


def test_odd_quantiles_and_levels_are_refused():
    for q in (0, 1, 99):
        with pytest.raises(ValueError, match="a quantile lies between"):
            quantile_interval(np.arange(9), q)
    for function in (
        lambda: quantile_interval(np.arange(9), 0.5, 95),
        lambda: count_jackknife(draw(), 3, 95),
        lambda: count_interval(draw(), 3, 5, rng=np.random.default_rng(0), level=95),
    ):
        with pytest.raises(ValueError, match="confidence level"):
            function()


# --- influence and jackknife -------------------------------------------------------------------------------


def test_leaving_each_pair_out_is_leaving_it_out():
    diffs = draw(9, 50, seed=3, size=1)
    expected = [count(np.delete(diffs, i, axis=0), 2) for i in range(9)]
    assert leave_one_out_counts(diffs, [2])[0].tolist() == expected and len(set(expected)) > 1
    order = np.random.default_rng(0).permutation(9)
    assert leave_one_out_counts(diffs[order], [2])[0].tolist() == [expected[i] for i in order]


def test_one_pair_that_carries_the_effect_is_found():
    diffs = np.random.default_rng(4).normal(size=(12, 300))
    diffs[7] = np.where(np.arange(300) % 2, -40, 40)  # one pair inflates every SD and hides the rest
    diffs += np.where(np.arange(300) % 2, 2.0, -2.0)
    assert np.argmax(leave_one_out_counts(diffs, [3])[0]) == 7


def test_a_unit_that_is_degenerate_without_a_pair_does_not_count_there():
    diffs = np.column_stack([[0.1, 0.1, 0.1, 9.0], [1.0, 1.1, 1.2, 1.3]])
    assert leave_one_out_counts(diffs, [5])[0].tolist() == [1, 1, 1, 1]
    with pytest.raises(ValueError, match="2 pairs are too few; at least 3"):
        leave_one_out_counts(diffs[:2], [3])[0]


def test_the_jackknife_is_its_formula():
    diffs = draw(9, 50, seed=3, size=1)
    logs = [math.log(count(np.delete(diffs, i, axis=0), 2) + 0.5) for i in range(9)]
    variance = 8 / 9 * sum((x - sum(logs) / 9) ** 2 for x in logs)
    half = 2.306004 * math.sqrt(variance)  # Student's t, 8 degrees of freedom, 97.5 %
    centre = math.log(count(diffs, 2) + 0.5)
    expected = [max(math.exp(centre - half) - 0.5, 0), min(math.exp(centre + half) - 0.5, 50)]
    assert count_jackknife(diffs, 2) == pytest.approx(expected, rel=1e-5)


def test_the_jackknife_stays_within_the_units():
    assert count_jackknife(np.zeros((5, 3)), 3) == (0, 0)
    sure = np.random.default_rng(5).normal(50, 1, size=(8, 20))
    assert count_jackknife(sure, 3) == (20, 20)
    low, high = count_jackknife(draw(6, 30, seed=6, size=1), 2)
    assert 0 <= low <= high <= 30


# --- wild bootstrap ----------------------------------------------------------------------------------------


def loop_bootstrap(diffs, threshold, signs):
    """The definition, draw by draw."""
    n, mean = len(diffs), diffs.mean(axis=0)
    t = reference.ttest_1samp(diffs, 0).statistic
    s = max(0.0, 1 - ((n - 1) / (n - 3)) / np.mean(t**2))
    draws = (mean * np.sqrt(s) + e[:, None] * (diffs - mean) * np.sqrt(n / (n - 1)) for e in signs)
    return [count(d, threshold) for d in draws]


@pytest.mark.parametrize("size", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("n_pairs", [4, 9, 25])
def test_the_interval_is_its_definition(size, n_pairs):
    diffs, signs = draw(n_pairs, 80, seed=7, size=size), draw_signs(300, n_pairs, np.random.default_rng(7))
    counts = loop_bootstrap(diffs, 2, signs)
    assert count_interval(diffs, 2, signs=signs) == pytest.approx(np.quantile(counts, [0.025, 0.975]))
    assert count_interval(diffs, 2, signs=signs, level=0.5) == pytest.approx(np.quantile(counts, [0.25, 0.75]))


def test_shrinkage_by_hand():
    diffs = np.array([[1.0, -1.0], [2.0, 1.0], [3.0, -1.0], [6.0, 1.0]])  # t^2 = 9 / (14/3 / 4) and 0
    assert shrinkage(diffs) == pytest.approx(1 - 3 / (9 / (14 / 3 / 4) / 2))
    assert shrinkage(np.zeros((5, 3))) == 0 and shrinkage(diffs[:, 1:]) == 0
    # Units without any difference and degenerate ones carry no noise and change nothing.
    padded = np.column_stack([diffs, np.zeros(4), np.full(4, 0.1)])
    assert shrinkage(padded) == shrinkage(diffs)
    big = np.random.default_rng(0).normal(size=(25, 20_000)) + 0.5 * np.random.default_rng(1).normal(size=20_000)
    assert shrinkage(big) == pytest.approx(25 * 0.25 / (1 + 25 * 0.25), abs=0.01)  # n delta^2 / (1 + n delta^2)


def test_sides_order_scale_and_empty_units_change_nothing():
    diffs, signs = draw(12, 90, seed=8), draw_signs(200, 12, np.random.default_rng(8))
    expected = count_interval(diffs, 2, signs=signs)
    order = np.random.default_rng(0).permutation(12)
    assert count_interval(-diffs, 2, signs=signs) == expected
    assert count_interval(diffs[order], 2, signs=signs[:, order]) == expected
    assert count_interval(np.column_stack([1e3 * diffs, np.zeros(12)]), 2, signs=signs) == expected
    for other in (-diffs, diffs[order], 1e3 * diffs):
        assert count_jackknife(other, 2) == pytest.approx(count_jackknife(diffs, 2))
    assert count_interval(np.zeros((6, 4)), 3, 10, rng=np.random.default_rng(0)) == (0, 0)


def test_bad_input_to_the_interval_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="degenerate units"):
        count_interval(np.column_stack([draw(6), np.ones(6)]), 3, 9, rng=rng)
    with pytest.raises(ValueError, match="3 pairs are too few; at least 4"):
        count_interval(draw(3), 3, 9, rng=rng)
    with pytest.raises(ValueError, match="give rng"):
        count_interval(draw(6), 3)
    one, two = (count_interval(draw(), 3, 400, rng=np.random.default_rng(1)) for _ in range(2))
    assert one == two and one[0] <= np.count_nonzero(np.abs(paired_t(draw())) > 3) <= one[1]
