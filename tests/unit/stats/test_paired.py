"""The statistics against scipy, plain loops and hand-worked cases; the right answer in dumb cases first."""

import doctest
import inspect
import itertools
import subprocess
import sys

import numpy as np
import pytest
from browser import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats as reference

from plantain import stats
from plantain.stats import (
    cohens_dz,
    conformal_scores,
    draw_halves,
    draw_signs,
    is_degenerate,
    paired_differences,
    paired_t,
    quantile_above,
    sign_flip_null,
    split_half,
)


def draw(n_pairs=25, n_units=40, seed=0, shift=0.3):
    """Draw correlated differences with a shift in half of the units."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(n_pairs, 1))
    return rng.normal(size=(n_pairs, n_units)) + shared + shift * (np.arange(n_units) % 2)


# --- t and d -----------------------------------------------------------------------------------------------


def test_a_case_worked_by_hand():
    # differences 1, 2, 3: mean 2, SD 1, t = 2 / (1 / sqrt 3) = 3.4641016, d_z = 2
    diffs = np.array([[1.0], [2.0], [3.0]])
    np.testing.assert_allclose(paired_t(diffs), 3.4641016151377544, rtol=1e-15)
    np.testing.assert_allclose(cohens_dz(diffs), 2.0, rtol=1e-15)


def test_t_is_scipys():
    positive, negative = draw(seed=1) + 10, draw(seed=2)
    diffs = paired_differences(positive, negative)
    np.testing.assert_allclose(paired_t(diffs), reference.ttest_rel(positive, negative).statistic, rtol=1e-12)
    np.testing.assert_allclose(paired_t(diffs), reference.ttest_1samp(diffs, 0).statistic, rtol=1e-12)


def test_d_is_mean_over_sd():
    diffs = draw(seed=3)
    np.testing.assert_allclose(cohens_dz(diffs), diffs.mean(axis=0) / diffs.std(axis=0, ddof=1), rtol=1e-12)


@pytest.mark.parametrize("value", [1.0, -3.0, 0.1, -0.3, 1e-30, 1e30])
@pytest.mark.parametrize("n", [2, 3, 10, 25])
def test_equal_differences_have_no_t_even_if_the_value_is_not_exact_in_binary(value, n):
    # 25 times 0.1: numpy's SD is 1.4e-17 and not 0, so a naive t would be 3.6e16
    diffs = np.column_stack([np.full(n, value), np.zeros(n), np.arange(n)])
    assert is_degenerate(diffs).tolist() == [True, False, False]
    t = paired_t(diffs)
    assert np.isnan(t[0]) and np.isnan(cohens_dz(diffs)[0])
    assert t[1] == 0 and cohens_dz(diffs)[1] == 0
    assert np.isfinite(t[2]) and t[2] > 0


def test_differences_that_cancel_have_t_zero_and_are_not_degenerate():
    diffs = np.array([[1.0], [-1.0], [2.0], [-2.0]])
    assert paired_t(diffs).tolist() == [0.0]
    assert not is_degenerate(diffs).any()


FUNCTIONS = {
    "paired_t": paired_t,
    "cohens_dz": cohens_dz,
    "is_degenerate": is_degenerate,
    "sign_flip_null": lambda d: sign_flip_null(d, 3, rng=np.random.default_rng(0)),
    "split_half": lambda d: split_half(d, 3, rng=np.random.default_rng(0)),
    "conformal_scores": conformal_scores,
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_bad_differences_are_refused_everywhere(function):
    for bad in (np.nan, np.inf, -np.inf):
        diffs = draw(6, 4)
        diffs[2, 1] = bad
        with pytest.raises(ValueError, match="NaN or infinity"):
            function(diffs)
    with pytest.raises(ValueError, match=r"must have shape \(n_pairs, n_units\), not \(6,\)"):
        function(np.arange(6.0))
    with pytest.raises(ValueError, match="1 pairs are too few"):
        function(draw(1, 4))


def test_sides_that_do_not_pair_up_are_refused():
    with pytest.raises(ValueError, match=r"do not pair up: \(5, 3\) and \(4, 3\)"):
        paired_differences(np.ones((5, 3)), np.ones((4, 3)))
    with pytest.raises(ValueError, match=r"do not pair up: \(5, 3\) and \(1, 3\)"):
        paired_differences(np.ones((5, 3)), np.ones((1, 3)))  # numpy would repeat the one pair
    with pytest.raises(ValueError, match="NaN or infinity"):
        paired_differences(np.full((5, 3), np.inf), np.full((5, 3), 1.0))


def test_float32_sides_are_subtracted_in_double_precision():
    positive, negative = np.float32([[16777216.0]]), np.float32([[0.5]])
    assert paired_differences(positive, negative)[0, 0] == 16777215.5  # float32 would round to 16777216


def test_scipy_is_imported_only_where_it_is_needed():
    """It takes a second, and a page that shows kept statistics does not need it."""
    code = "import sys, plantain.stats; sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_every_function_has_an_example_and_every_example_is_right():
    functions = [f for f in vars(stats).values() if inspect.isfunction(f)]
    assert len(functions) >= 60 and all(">>> " in f.__doc__ for f in functions)
    for module in {inspect.getmodule(f) for f in functions}:
        found = doctest.testmod(module)
        assert found.attempted and not found.failed, module


# --- properties --------------------------------------------------------------------------------------------

differences = arrays(
    np.float64, st.tuples(st.integers(2, 8), st.integers(1, 4)), elements=st.integers(-50, 50).map(float)
)
quick = settings(deadline=None, max_examples=60, derandomize=True)
scales = arrays(np.float64, 4, elements=st.floats(1e-6, 1e6))  # one for every unit


@quick
@given(differences)
def test_swapping_the_sides_negates_t_and_d_and_keeps_the_pairs_scores(diffs):
    swapped = paired_differences(np.zeros_like(diffs), diffs)
    np.testing.assert_array_equal(paired_t(swapped), -paired_t(diffs))
    np.testing.assert_array_equal(cohens_dz(swapped), -cohens_dz(diffs))
    if len(diffs) > 2:
        np.testing.assert_array_equal(conformal_scores(swapped, 2), conformal_scores(diffs, 2))


@quick
@given(differences, scales)
def test_the_unit_of_measurement_does_not_matter_even_if_every_unit_has_its_own(diffs, c):
    scaled = c[: diffs.shape[1]] * diffs
    np.testing.assert_allclose(paired_t(scaled), paired_t(diffs), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(cohens_dz(scaled), cohens_dz(diffs), rtol=1e-9, atol=1e-9)


@quick
@given(differences, st.randoms(use_true_random=False))
def test_the_order_of_the_pairs_does_not_matter(diffs, random):
    order = random.sample(range(len(diffs)), len(diffs))
    np.testing.assert_allclose(paired_t(diffs[order]), paired_t(diffs), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(cohens_dz(diffs[order]), cohens_dz(diffs), rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(is_degenerate(diffs[order]), is_degenerate(diffs))


# --- sign flips --------------------------------------------------------------------------------------------


def loop_null(diffs, signs, thresholds):
    """The definition: flip, scipy's t, count. All-zero units are left to the caller."""
    t = np.array([reference.ttest_1samp(diffs * row[:, None], 0).statistic for row in signs])
    return np.array([(np.abs(t) > limit).sum(axis=1) for limit in thresholds]), np.abs(t).max(axis=1)


@pytest.mark.parametrize("n_units", [1, 40, 511, 512, 513, 1300])
def test_counts_and_largest_t_under_flips_equal_a_plain_loop_over_scipy(n_units):
    diffs = draw(12, n_units, seed=n_units, shift=1.0)
    null = sign_flip_null(diffs, 30, rng=np.random.default_rng(1), thresholds=(1.0, 2.0, 3.0))
    counts, largest = loop_null(diffs, null.signs, (1.0, 2.0, 3.0))
    np.testing.assert_array_equal(null.counts, counts)
    np.testing.assert_allclose(null.max_abs_t, largest, rtol=1e-10)
    assert n_units < 40 or null.counts[0].max() > null.counts[2].max() > 0  # the case is not empty


def test_units_without_any_difference_never_count():
    diffs = draw(10, 20, seed=4)
    padded = np.zeros((10, 1100))
    padded[:, 500:520] = diffs  # on both sides of a block's edge
    signs = draw_signs(50, 10, np.random.default_rng(2))
    alone, among = (sign_flip_null(d, signs=signs, thresholds=(1.5,)) for d in (diffs, padded))
    np.testing.assert_array_equal(among.counts, alone.counts)
    np.testing.assert_allclose(among.max_abs_t, alone.max_abs_t, rtol=1e-12)
    assert sign_flip_null(np.zeros((10, 3)), signs=signs).max_abs_t.tolist() == [0.0] * 50


@pytest.mark.parametrize("size", [1.0, 0.1, 7.3])
def test_a_flip_that_lines_all_pairs_up_counts(size):
    # All 16 flips of four differences of equal size: |sum| = 4 twice (t without bound), 2 eight times (|t| = 1),
    # 0 six times (t = 0).
    diffs = size * np.array([[1.0], [-1.0], [-1.0], [1.0]])
    signs = np.array(list(itertools.product((-1, 1), repeat=4)))
    null = sign_flip_null(diffs, signs=signs, thresholds=(0.5, 1e6))
    assert null.counts.sum(axis=1).tolist() == [10, 2]
    np.testing.assert_allclose(np.sort(null.max_abs_t)[:14], [0.0] * 6 + [1.0] * 8, atol=1e-12)
    assert not np.isnan(null.max_abs_t).any()


def test_a_t_of_exactly_the_threshold_does_not_count():
    diffs = np.array([[1.0], [1.0], [1.0], [-1.0]])  # sum 2, t = 1
    null = sign_flip_null(diffs, signs=np.ones((1, 4), int), thresholds=(1.0, 0.999))
    assert null.counts.tolist() == [[0], [1]]


def test_the_unflipped_data_have_the_observed_counts():
    diffs = draw(25, 700, seed=9)
    null = sign_flip_null(diffs, signs=np.stack([np.ones(25, int), -np.ones(25, int)]), thresholds=(2.0,))
    observed = np.abs(paired_t(diffs))
    assert null.counts.tolist() == [[np.count_nonzero(observed > 2)] * 2]
    np.testing.assert_allclose(null.max_abs_t, observed.max(), rtol=1e-12)


def test_replaying_the_signs_and_repeating_the_seed_give_the_same():
    diffs = draw(25, 600)
    first, again = (sign_flip_null(diffs, 40, rng=np.random.default_rng(7)) for _ in range(2))
    replayed = sign_flip_null(diffs, signs=first.signs)
    for other in (again, replayed):
        np.testing.assert_array_equal(other.signs, first.signs)
        np.testing.assert_array_equal(other.counts, first.counts)
        np.testing.assert_array_equal(other.max_abs_t, first.max_abs_t)
    assert not np.array_equal(draw_signs(40, 25, np.random.default_rng(8)), first.signs)


def test_signs_are_fair_independent_coins():
    signs = draw_signs(4000, 25, np.random.default_rng(0))
    assert signs.dtype == np.int8 and signs.shape == (4000, 25)
    assert set(np.unique(signs)) == {-1, 1}
    assert np.abs(signs.mean(axis=0)).max() < 5 / np.sqrt(4000)  # five standard errors
    correlations = np.corrcoef(signs.T)[np.triu_indices(25, 1)]
    assert np.abs(correlations).max() < 5 / np.sqrt(4000)


@pytest.mark.parametrize(
    "signs", [np.ones((3, 5)), np.ones(6), np.zeros((3, 6)), np.full((3, 6), 0.5), np.ones((3, 6, 1))]
)
def test_signs_of_another_shape_or_value_are_refused(signs):
    with pytest.raises(ValueError, match="signs must"):
        sign_flip_null(draw(6, 4), signs=signs)


def test_randomness_is_never_implicit():
    with pytest.raises(ValueError, match="give rng"):
        sign_flip_null(draw(6, 4))
    with pytest.raises(ValueError, match="give rng"):
        split_half(draw(6, 4))


def test_the_99th_percentile_of_1000_values_is_one_of_them():
    values = np.random.default_rng(0).permutation(np.arange(1, 1001))
    assert quantile_above(values, 0.99) == 991  # nine values of 1,000 are above it
    assert quantile_above(np.array([0, 0, 0, 5]), 0.5) == 0
    assert quantile_above(np.array([0, 0, 5, 5]), 0.5) == 5
    for q in (0.0, 0.013, 0.5, 0.95, 0.99, 1.0):
        counts = np.random.default_rng(3).poisson(40, 357)
        got = quantile_above(counts, q)
        assert got in counts and got == np.quantile(counts, q, method="higher")


# --- split halves ------------------------------------------------------------------------------------------


def test_halves_have_12_and_13_pairs_and_every_pair_has_its_share():
    halves = draw_halves(4000, 25, np.random.default_rng(0))
    assert halves.dtype == bool and set(halves.sum(axis=1)) == {12}
    np.testing.assert_allclose(halves.mean(axis=0), 12 / 25, atol=0.04)  # five standard errors
    assert len({row.tobytes() for row in halves}) > 3990
    assert set(draw_halves(50, 8, np.random.default_rng(0)).sum(axis=1)) == {4}


def test_split_half_is_scipys_r_of_scipys_t():
    diffs = draw(25, 60, seed=5)
    halves = draw_halves(20, 25, np.random.default_rng(5))
    got = split_half(diffs, halves=halves)
    t = [[reference.ttest_1samp(diffs[side], 0).statistic for side in (half, ~half)] for half in halves]
    np.testing.assert_allclose(got, [reference.pearsonr(a, b).statistic for a, b in t], rtol=1e-11)
    np.testing.assert_array_equal(split_half(diffs, 20, rng=np.random.default_rng(5)), got)


def test_a_perfectly_repeated_pattern_has_r_one_and_noise_has_none():
    pattern = np.linspace(-3, 3, 500)
    noise = np.random.default_rng(6).normal(size=(24, 500))
    assert split_half(pattern * 50 + noise, 10, rng=np.random.default_rng(0)).min() > 0.9
    assert np.abs(split_half(noise, 10, rng=np.random.default_rng(0))).max() < 0.25


def test_a_unit_that_is_constant_in_one_half_is_left_out_of_that_split():
    diffs = draw(8, 12, seed=7)
    diffs[:4, 3] = 0.1  # degenerate in the first four pairs only
    halves = np.array([[True] * 4 + [False] * 4, [False] * 4 + [True] * 4, [True, False] * 4])
    got, without = (split_half(d, halves=halves) for d in (diffs, np.delete(diffs, 3, axis=1)))
    np.testing.assert_allclose(got[:2], without[:2], rtol=1e-12)
    assert abs(got[2] - without[2]) > 1e-6  # in the last split it varies in both halves, so it counts


def test_r_is_nan_where_it_does_not_exist():
    first_half = np.array([[True, True, False, False]])
    same_t = np.repeat([[1.0], [2.0], [3.0], [5.0]], 3, axis=1)  # the same t in every unit
    no_t = np.repeat([[1.0], [1.0], [3.0], [5.0]], 3, axis=1)  # no t in the first half
    assert np.isnan(split_half(same_t, halves=first_half)).all()
    assert np.isnan(split_half(no_t, halves=first_half)).all()
    assert np.isnan(split_half(np.zeros((4, 3)), halves=first_half)).all()


BAD_HALVES = [
    np.ones((2, 5), bool),
    np.ones(6, bool),
    np.ones((2, 6), int),
    np.eye(6, dtype=bool)[:2],
    np.ones((1, 6), bool),
]


@pytest.mark.parametrize("halves", BAD_HALVES)
def test_halves_of_another_shape_or_too_small_are_refused(halves):
    with pytest.raises(ValueError, match="hal(f|ves)"):
        split_half(draw(6, 4), halves=halves)


def test_too_few_pairs_for_halves_are_refused():
    with pytest.raises(ValueError, match="3 pairs are too few; at least 4"):
        split_half(draw(3, 4), 2, rng=np.random.default_rng(0))


def test_one_unit_has_no_correlation():
    """Not an error: a run of a tiny model must not be lost for it after all its passes."""
    assert np.isnan(split_half(draw(6, 1), 2, rng=np.random.default_rng(0))).all()


# --- conformal scores --------------------------------------------------------------------------------------


def loop_scores(diffs, n_top):
    """Score each pair from the others, unit by unit."""
    scores = []
    for i in range(len(diffs)):
        others = np.delete(diffs, i, axis=0)
        t = reference.ttest_1samp(others, 0).statistic
        chosen = sorted(range(diffs.shape[1]), key=lambda u, t=t: -abs(t[u]))[:n_top]
        terms = [np.sign(t[u]) * diffs[i, u] / np.std(others[:, u], ddof=1) for u in chosen]
        scores.append(sum(terms) / len(terms))
    return scores


@pytest.mark.parametrize("n_top", [1, 5, 30, 99])
def test_conformal_scores_equal_a_plain_loop(n_top):
    diffs = draw(9, 30, seed=8)
    np.testing.assert_allclose(conformal_scores(diffs, n_top), loop_scores(diffs, n_top), rtol=1e-10)


def test_all_pairs_are_treated_alike():
    diffs = draw(9, 30, seed=11)
    order = np.random.default_rng(0).permutation(9)
    np.testing.assert_allclose(conformal_scores(diffs[order], 5), conformal_scores(diffs, 5)[order], rtol=1e-12)


def test_a_pair_has_no_say_in_the_units_that_it_is_scored_on():
    diffs = draw(9, 30, seed=12)
    changed = diffs.copy()
    others_t = reference.ttest_1samp(diffs[:-1], 0).statistic
    weakest = np.argsort(np.abs(others_t))[0]
    changed[-1, weakest] = 1e6  # would be chosen at once if the pair took part, and blow up its score
    assert conformal_scores(changed, 5)[-1] == conformal_scores(diffs, 5)[-1]
    strongest = np.argmax(np.abs(others_t))
    step = np.sign(others_t[strongest]) * diffs[:-1, strongest].std(ddof=1)
    changed[-1, strongest] += 5 * step  # one of five chosen units, five SD in its direction: the mean moves by 1
    np.testing.assert_allclose(conformal_scores(changed, 5)[-1] - conformal_scores(diffs, 5)[-1], 1.0, rtol=1e-10)


def test_units_without_a_t_are_never_chosen():
    diffs = draw(9, 6, seed=13)
    padded = np.column_stack([np.zeros(9), np.full(9, 0.1), diffs])
    np.testing.assert_allclose(conformal_scores(padded, 6), conformal_scores(diffs, 6), rtol=1e-12)
    assert conformal_scores(np.zeros((4, 3))).tolist() == [0.0] * 4
    with pytest.raises(ValueError, match="2 pairs are too few; at least 3"):
        conformal_scores(draw(2, 4))


def last_ranks(score, n_sets=1500, n_pairs=5):
    """Rank the last pair's score (1 is the lowest) in many sets of exchangeable, skewed, dependent pairs."""
    rng = np.random.default_rng(14)
    ranks = []
    for _ in range(n_sets):
        diffs = rng.exponential(size=(n_pairs, 1)) + rng.standard_t(3, size=(n_pairs, 6))
        scores = score(diffs)
        ranks.append(np.count_nonzero(scores <= scores[-1]))
    return np.bincount(ranks, minlength=n_pairs + 1)[1:]


def in_sample_scores(diffs):
    """The tempting way: the units are chosen once, on all pairs but the last."""
    t = paired_t(diffs[:-1])
    top = np.argsort(-np.abs(t))[:2]
    return (np.sign(t[top]) * diffs[:, top] / diffs[:-1, top].std(axis=0, ddof=1)).mean(axis=1)


def test_an_exchangeable_pair_has_a_uniform_rank_and_the_check_can_fail():
    assert reference.chisquare(last_ranks(lambda diffs: conformal_scores(diffs, 2))).pvalue > 1e-3
    assert reference.chisquare(last_ranks(in_sample_scores)).pvalue < 1e-12


def test_a_26th_pair_has_a_uniform_rank_among_the_25_of_a_run_and_the_check_can_fail():
    """On 26 steps, as the page shows it."""
    counts = last_ranks(lambda diffs: conformal_scores(diffs, 2), n_sets=800, n_pairs=26)
    assert len(counts) == 26 and counts.sum() == 800
    assert reference.chisquare(counts).pvalue > 1e-3
    assert reference.chisquare(last_ranks(in_sample_scores, n_sets=800, n_pairs=26)).pvalue < 1e-3
