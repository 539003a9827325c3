"""p-values from sign flips: exact ones against brute force, family-wise ones against loops and MNE, q against scipy."""

import itertools
import os
from inspect import signature

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats as reference

from plantain.stats import (
    count_p,
    draw_signs,
    exact_sign_flip_p,
    fdr,
    is_degenerate,
    max_t_p,
    paired_t,
    sign_flip_null,
    sign_flip_p,
)

quick = settings(deadline=None, max_examples=50, derandomize=True)
differences = arrays(
    np.float64, st.tuples(st.integers(2, 8), st.integers(1, 4)), elements=st.integers(-50, 50).map(float)
)


def draw(n_pairs=25, n_units=40, seed=0, shift=0.3):
    """Draw correlated differences with a shift in half of the units."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(n_pairs, 1))
    return rng.normal(size=(n_pairs, n_units)) + shared + shift * (np.arange(n_units) % 2)


def all_patterns(n):
    """Every sign pattern, (2^n, n)."""
    return np.array(list(itertools.product((-1, 1), repeat=n)))


def brute_force(diffs):
    """The definition, pattern by pattern."""
    sums = np.abs(all_patterns(len(diffs)) @ diffs)
    bounds = np.abs(diffs.sum(axis=0)) - 1e-12 * np.abs(diffs).sum(axis=0)
    return np.where(bounds <= 0, 1.0, (sums >= bounds).mean(axis=0))


# --- exact p -----------------------------------------------------------------------------------------------


def awkward(n, seed=0):
    """Real, integer, decimal, zero, cancelling, degenerate, equal and wildly different differences."""
    rng = np.random.default_rng(seed)
    return np.column_stack(
        [
            rng.normal(size=(n, 20)) + 0.5,
            rng.integers(-3, 4, size=(n, 40)),
            rng.integers(-3, 4, size=(n, 40)) / 10,  # 0.1 + 0.2 is not 0.3: ties only up to rounding
            np.zeros(n),
            np.full(n, 0.1),
            np.full(n, -7.0),
            np.resize([0.1, -0.1], n),
            np.where(np.arange(n) == 0, 0.3, 0.0),
            10.0 ** np.arange(n),
        ]
    )


@pytest.mark.parametrize("n", [2, 3, 4, 5, 7, 9, 10])
def test_exact_p_is_the_share_of_all_patterns(n):
    np.testing.assert_allclose(exact_sign_flip_p(awkward(n)), brute_force(awkward(n)), rtol=0, atol=1e-12)


def test_exact_p_is_scipys():
    diffs = draw(9, 6, seed=3, shift=1.0)
    got = [
        reference.permutation_test(
            (row,), lambda x, axis: np.abs(x.sum(axis=axis)), permutation_type="samples", alternative="greater"
        ).pvalue
        for row in diffs.T
    ]
    np.testing.assert_allclose(exact_sign_flip_p(diffs), got, atol=1e-12)


def test_a_case_worked_by_hand():
    # 1, 2, 3: the sums of the 8 patterns are +-6, +-4, +-2, 0, 0. Observed 6: 2 of 8. -1, 2, 3 sum to 4: 4 of 8.
    diffs = np.array([[1.0, -1.0, 1.0], [2.0, 2.0, 2.0], [3.0, 3.0, -3.0]])
    assert exact_sign_flip_p(diffs).tolist() == [0.25, 0.5, 1.0]


@pytest.mark.parametrize("n", [2, 11, 25, 30])
def test_dumb_cases_have_the_obvious_p(n):
    diffs = np.column_stack([np.zeros(n), np.full(n, 0.1), np.arange(1.0, n + 1), np.resize([1.0, -1.0], n)])
    p = exact_sign_flip_p(diffs)
    # the last sums to 0 or 1: no pattern has less
    assert p.tolist() == [1.0, 2.0 ** (1 - n), 2.0 ** (1 - n), 1.0]


def test_25_pairs_agree_with_a_million_random_flips():
    diffs = draw(25, 6, seed=1)
    p = exact_sign_flip_p(diffs)
    sums = np.abs(draw_signs(1_000_000, 25, np.random.default_rng(0)).astype(np.float32) @ diffs.astype(np.float32))
    share = (sums >= np.abs(diffs.sum(axis=0))).mean(axis=0)
    assert (np.abs(share - p) < 5 * np.sqrt(p * (1 - p) / 1e6) + 1e-6).all()
    assert ((p * 2**24) % 1 == 0).all()


def test_the_number_of_pairs_is_checked():
    with pytest.raises(ValueError, match="1 pairs are too few"):
        exact_sign_flip_p(draw(1, 3))
    with pytest.raises(ValueError, match="31 pairs are too many for exact p values; at most 30"):
        exact_sign_flip_p(draw(31, 3))
    with pytest.raises(ValueError, match="NaN or infinity"):
        exact_sign_flip_p(np.full((5, 2), np.nan))


def test_the_threads_do_not_matter(monkeypatch):
    diffs = draw(12, 700)
    assert exact_sign_flip_p(diffs[:, :0]).shape == (0,)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    one = exact_sign_flip_p(diffs)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    np.testing.assert_array_equal(exact_sign_flip_p(diffs), one)


@quick
@given(arrays(np.float64, st.tuples(st.integers(2, 7)), elements=st.integers(-4, 4).map(float)))
def test_the_exact_p_keeps_its_promise_on_its_lattice(sizes):
    """Of all sign patterns of any differences, at most a share a has p <= a: proof by listing them."""
    p = exact_sign_flip_p((all_patterns(len(sizes)) * sizes).T)
    for a in np.arange(1, 2 ** (len(sizes) - 1) + 1) / 2 ** (len(sizes) - 1):
        assert (p <= a).mean() <= a


def test_one_unit_per_data_set_rejects_as_often_as_it_says():
    """Symmetric differences, four shapes, 4,000 sets each: P(p <= a) <= a, and equal on the lattice."""
    rng = np.random.default_rng(5)
    shape = (8, 4000)
    for diffs in (rng.normal(size=shape), rng.standard_t(2, shape), rng.uniform(-1, 1, shape)):
        p = exact_sign_flip_p(diffs)
        for a in (1 / 128, 4 / 128, 6 / 128, 32 / 128, 0.5):
            low, high = reference.binom.interval(0.999, 4000, a)
            assert low <= (p <= a).sum() <= high
    rounded = exact_sign_flip_p(rng.integers(-2, 3, shape))  # ties make it conservative
    assert all((rounded <= a).sum() <= reference.binom.ppf(0.999, 4000, a) for a in np.arange(1, 129) / 128)


# --- family-wise p -----------------------------------------------------------------------------------------


def loop_max_t_p(diffs, signs):
    """The definition by scipy's t, flip by flip, without a tie guard."""
    observed = np.abs(reference.ttest_1samp(diffs, 0).statistic)
    largest = [np.abs(reference.ttest_1samp(diffs * row[:, None], 0).statistic).max() for row in signs]
    return [(sum(top >= t for top in largest) + 1) / (len(signs) + 1) for t in observed]


@pytest.mark.parametrize("n_units", [1, 40, 129, 300])
def test_family_wise_p_equals_a_plain_loop_over_scipy(n_units):
    diffs = draw(12, n_units, seed=n_units, shift=1.0)
    signs = draw_signs(99, 12, np.random.default_rng(1))
    np.testing.assert_allclose(max_t_p(diffs, signs=signs), loop_max_t_p(diffs, signs), rtol=1e-12)
    assert len(set(max_t_p(diffs, signs=signs))) > 1 or n_units == 1


def test_family_wise_p_is_mnes():
    mne = pytest.importorskip("mne", reason="MNE is an optional peer: pip install mne")
    diffs = draw(25, 300, seed=2, shift=0.6)
    seed = {"rng" if "rng" in signature(mne.stats.permutation_t_test).parameters else "seed": 0}  # renamed
    theirs = mne.stats.permutation_t_test(diffs, n_permutations=20_000, tail=0, verbose=False, **seed)
    np.testing.assert_allclose(paired_t(diffs), theirs[0], rtol=1e-10)
    ours = max_t_p(diffs, 20_000, rng=np.random.default_rng(0))
    error = np.sqrt(2 * ours * (1 - ours) / 20_000)  # of a difference of two Monte-Carlo shares
    assert (np.abs(ours - theirs[1]) < 5 * error + 2 / 20_000).all()
    assert (ours < 0.05).any() and (ours > 0.5).any()


def test_one_units_family_wise_p_estimates_its_exact_p():
    diffs = draw(14, 5, seed=6)
    for unit in diffs.T[:, :, None]:
        exact, drawn = exact_sign_flip_p(unit)[0], max_t_p(unit, 20_000, rng=np.random.default_rng(1))[0]
        assert abs(drawn - exact) < 5 * np.sqrt(exact * (1 - exact) / 20_000) + 1e-4
    every = all_patterns(6)
    np.testing.assert_allclose(
        max_t_p(diffs[:6, :1], signs=every), (exact_sign_flip_p(diffs[:6, :1]) * 64 + 1) / 65, rtol=1e-12
    )


@pytest.mark.parametrize("scale", [1.0, 0.1, 1e-200, 1e200])
def test_a_flip_that_is_the_identity_counts_whatever_the_rounding(scale):
    diffs = scale * awkward(9)[:, :-6]
    moving = diffs[:, np.ptp(diffs, axis=0) > 0]
    p = max_t_p(moving, signs=np.stack([np.ones(9), -np.ones(9)]))
    assert p.tolist() == [1.0] * moving.shape[1]


def test_degenerate_units_have_no_family_wise_p_and_no_part_in_the_others():
    diffs = draw(10, 30, seed=4, shift=1.0)
    padded = np.column_stack([np.full(10, 0.1), diffs, np.zeros(10), np.full(10, -3.0)])
    signs = np.vstack([draw_signs(200, 10, np.random.default_rng(2)), np.ones((5, 10), int)])
    p = max_t_p(padded, signs=signs)
    assert np.isnan(p[[0, -1]]).all() and p[-2] == 1.0
    np.testing.assert_array_equal(p[1:31], max_t_p(diffs, signs=signs))
    assert np.isnan(max_t_p(np.full((5, 2), 2.0), 10, rng=np.random.default_rng(0))).all()


def test_units_that_may_line_up_have_a_family_wise_p():
    diffs = np.array([[1.0, 1.0], [1.0, 2.0], [1.0, 3.0], [-1.0, 5.0]])  # 2 of 16 flips line the first unit up
    p = max_t_p(diffs, signs=all_patterns(4))
    np.testing.assert_allclose(p, loop_max_t_p_by_sums(diffs), rtol=1e-12)


def loop_max_t_p_by_sums(diffs):
    """Compare units by |sum| / sqrt(sum of squares), which exists where a flip has no variance."""
    r = np.abs(all_patterns(4) @ diffs) / np.sqrt((diffs**2).sum(axis=0))
    observed = np.abs(diffs.sum(axis=0)) / np.sqrt((diffs**2).sum(axis=0))
    return [(np.count_nonzero(r.max(axis=1) >= own - 1e-12) + 1) / 17 for own in observed]


def test_family_wise_p_needs_signs_or_rng_and_agrees_with_the_null():
    diffs = draw(25, 300, shift=0.5)
    with pytest.raises(ValueError, match="give rng"):
        max_t_p(diffs)
    with pytest.raises(ValueError, match="signs must"):
        max_t_p(diffs, signs=np.zeros((3, 25)))
    null = sign_flip_null(diffs, 2300, rng=np.random.default_rng(3))  # more flips than one block holds
    largest = np.abs(paired_t(diffs))[:, None] <= null.max_abs_t
    np.testing.assert_allclose(max_t_p(diffs, signs=null.signs), (largest.sum(axis=1) + 1) / 2301)
    np.testing.assert_array_equal(max_t_p(diffs, 2300, rng=np.random.default_rng(3)), max_t_p(diffs, signs=null.signs))


# --- properties --------------------------------------------------------------------------------------------


scales = arrays(np.float64, 4, elements=st.floats(1e-6, 1e6))  # one for every unit
THRESHOLDS = (0.7654, 1.2345, 3.2109)  # no t of small whole numbers


def monte_carlo_p(diffs, signs):
    """Family-wise p of every unit, and the p of its count over each threshold; degenerate units are left out."""
    diffs = diffs[:, ~is_degenerate(diffs)]
    null = sign_flip_null(diffs, signs=signs, thresholds=THRESHOLDS)
    counts = [np.count_nonzero(np.abs(paired_t(diffs)) > limit) for limit in THRESHOLDS]
    return [*max_t_p(diffs, signs=signs), *map(count_p, counts, null.counts)]


@quick
@given(differences)
def test_swapping_the_sides_keeps_every_p(diffs):
    signs = draw_signs(50, len(diffs), np.random.default_rng(0))
    np.testing.assert_array_equal(exact_sign_flip_p(-diffs), exact_sign_flip_p(diffs))
    assert monte_carlo_p(-diffs, signs) == monte_carlo_p(diffs, signs)


@quick
@given(differences, scales)
def test_the_unit_of_measurement_does_not_matter_even_if_every_unit_has_its_own(diffs, c):
    signs = draw_signs(50, len(diffs), np.random.default_rng(0))
    scaled = c[: diffs.shape[1]] * diffs
    np.testing.assert_array_equal(exact_sign_flip_p(scaled), exact_sign_flip_p(diffs))
    assert monte_carlo_p(scaled, signs) == monte_carlo_p(diffs, signs)


@quick
@given(differences, st.randoms(use_true_random=False))
def test_the_order_of_the_pairs_does_not_matter(diffs, random):
    order = random.sample(range(len(diffs)), len(diffs))
    signs = draw_signs(50, len(diffs), np.random.default_rng(0))
    np.testing.assert_array_equal(exact_sign_flip_p(diffs[order]), exact_sign_flip_p(diffs))
    # Monte-Carlo p as well, where a pair keeps its signs
    assert monte_carlo_p(diffs[order], signs[:, order]) == monte_carlo_p(diffs, signs)


# --- false discovery rates ---------------------------------------------------------------------------------


def step_up(p, factor):
    """Benjamini and Hochberg's step-up rule as a q, written out."""
    order = np.argsort(p)
    q, best = np.empty(len(p)), 1.0
    for rank in range(len(p), 0, -1):
        best = min(best, factor * len(p) * p[order[rank - 1]] / rank)
        q[order[rank - 1]] = best
    return q


def test_q_is_scipys_and_the_written_out_rule():
    p = np.random.default_rng(0).uniform(size=200) ** 2
    q = fdr(p)
    harmonic = (1 / np.arange(1, 201)).sum()
    for got, method, factor in ((q.bh, "bh", 1), (q.by, "by", harmonic)):
        np.testing.assert_array_equal(got, reference.false_discovery_control(p, method=method))
        np.testing.assert_allclose(got, step_up(p, factor), rtol=1e-12)


def test_q_by_hand():
    # 4 p-values: 4 * .01 / 1, 4 * .02 / 2, then 4 * .04 / 3 against 4 * .05 / 4: the smaller one from above
    q = fdr(np.array([0.02, 0.01, 0.05, 0.04])).bh
    np.testing.assert_allclose(q, [0.04, 0.04, 0.05, 0.05], rtol=1e-14)


def test_units_without_a_p_keep_none_and_do_not_count():
    p = np.array([np.nan, 0.01, 0.2, np.nan, 0.03])
    for got, alone in zip(fdr(p), fdr(p[[1, 2, 4]]), strict=True):
        np.testing.assert_array_equal(got[[1, 2, 4]], alone)
        assert np.isnan(got[[0, 3]]).all()
    assert np.isnan(fdr(np.full(3, np.nan)).bh).all() and len(fdr(np.empty(0)).by) == 0


@pytest.mark.parametrize("p", [np.array([0.1, 1.1]), np.array([-0.1]), np.ones((2, 2)), np.float64(0.5)])
def test_what_is_no_list_of_p_is_refused(p):
    with pytest.raises(ValueError, match="p-values must"):
        fdr(p)


# --- drawn flips, for a unit by itself ---------------------------------------------------------------------


def test_the_p_of_given_flips_is_their_share_with_the_observed_one_among_them():
    diffs, signs = draw(40, 30, shift=0.4), draw_signs(999, 40, np.random.default_rng(3))
    reached = np.abs(signs @ diffs) >= np.abs(diffs.sum(axis=0)) * (1 - 1e-9)
    found = sign_flip_p(diffs, signs=signs)
    np.testing.assert_allclose(found.p, (1 + reached.sum(axis=0)) / 1000, rtol=1e-12)
    np.testing.assert_allclose(found.error, np.sqrt(found.p * (1 - found.p) / 999), rtol=1e-12)


def test_drawn_flips_come_near_the_exact_p():
    diffs = draw(18, 60, shift=0.9)
    exact, found = exact_sign_flip_p(diffs), sign_flip_p(diffs, rng=np.random.default_rng(1))
    assert (np.abs(found.p - exact) < 4 * found.error + 2e-5).all() and exact.min() < 0.005 < 0.5 < exact.max()


def test_a_unit_takes_all_flips_only_where_few_of_the_first_count_whoever_else_is_there():
    diffs, signs = draw(35, 300, shift=0.35), draw_signs(20_000, 35, np.random.default_rng(3))
    reached = np.abs(signs @ diffs) >= np.abs(diffs.sum(axis=0)) * (1 - 1e-9)
    first, every = reached[:9_999].sum(axis=0), reached.sum(axis=0)
    expected = np.where(first < 100, (1 + every) / 20_001, (1 + first) / 10_000)
    p = sign_flip_p(diffs, signs=signs).p
    np.testing.assert_allclose(p, expected, rtol=1e-12)
    assert 0 < (first < 100).sum() < 300 and (p[first >= 100] > 0.01).all()
    alone = [float(sign_flip_p(diffs[:, [i]], signs=signs).p[0]) for i in (0, 1, 299)]
    assert alone == p[[0, 1, 299]].tolist()


def test_no_difference_has_a_drawn_p_of_one_and_no_unit_has_none():
    found = sign_flip_p(np.zeros((40, 2)), 99, rng=np.random.default_rng(0))
    assert found.p.tolist() == [1, 1] and found.error.tolist() == [0, 0]
    assert sign_flip_p(np.zeros((40, 0)), 99, rng=np.random.default_rng(0)).p.shape == (0,)
