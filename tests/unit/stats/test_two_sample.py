"""Statistics between sets of pairs: against brute force, under the null, on planted truth."""

from itertools import combinations

import numpy as np
import pytest

from plantain.stats import cohens_dz, membership_test, paired_t, pearson, selectivity_test, true_correlation


def normal(seed, n_pairs=25, n_units=60, effect=0.0):
    return np.random.default_rng(seed).normal(size=(n_pairs, n_units)) + effect


def rng(seed=0):
    return np.random.default_rng(seed)


# --- membership --------------------------------------------------------------------------------------------


def test_counts_are_those_of_paired_t_and_p_is_that_of_all_memberships():
    first, second = normal(1, 4, 40, 1.0), normal(2, 5, 40)
    found = membership_test(first, second, 2.0, 20_000, rng=rng())
    assert found.counts == tuple(int((np.abs(paired_t(d)) > 2).sum()) for d in (first, second))
    pool = np.concatenate([first, second])
    everyone = set(range(9))
    differences = [
        sum(sign * (np.abs(paired_t(pool[sorted(group)])) > 2).sum() for sign, group in ((1, g), (-1, everyone - g)))
        for g in map(set, combinations(range(9), 4))
    ]
    exact = np.mean(np.array(differences) >= found.counts[0] - found.counts[1])
    assert abs(found.p - exact) < 4 * np.sqrt(exact * (1 - exact) / 20_000) + 1e-4
    assert set(np.unique(found.null)) <= set(differences)


@pytest.mark.statistics
def test_two_sets_of_one_distribution_are_told_apart_in_five_percent():
    p = []
    loadings = normal(9, 3, 80)
    for seed in range(400):  # units that depend on one another, and differ in size
        draw = rng(seed).normal(size=(50, 3)) @ loadings + rng(seed + 1000).normal(size=(50, 80))
        p.append(membership_test(draw[:25], draw[25:], 2.0, 99, rng=rng(seed)).p)
    assert 0.02 <= np.mean(np.array(p) <= 0.05) <= 0.09  # 99.8% of binomial draws of 5%


def test_a_set_with_an_effect_exceeds_one_without_and_not_the_other_way():
    strong, weak = normal(1, effect=0.6), normal(2)
    assert membership_test(strong, weak, rng=rng()).p <= 0.001
    assert membership_test(weak, strong, rng=rng()).p > 0.9


def test_units_without_any_difference_count_nowhere():
    first, second = normal(1), normal(2)
    first[:, 3] = second[:, 3] = 0.0
    found, less = (
        membership_test(a, b, 2.0, 50, rng=rng())
        for a, b in ((first, second), (np.delete(first, 3, 1), np.delete(second, 3, 1)))
    )
    assert found.counts == less.counts
    np.testing.assert_array_equal(found.null, less.null)


def test_sets_of_other_units_are_refused():
    with pytest.raises(ValueError, match="other units"):
        membership_test(normal(1), normal(2, n_units=5), rng=rng())


# --- selectivity -------------------------------------------------------------------------------------------


def test_selectivity_by_hand():
    target, others, signs = normal(1, n_units=4), [normal(2, n_units=4), normal(3, 20, 4)], np.array([1, -1, 1, -1])
    found = selectivity_test(target, others, signs, 50, rng=rng())
    expected = [signs * cohens_dz(target) - np.abs(cohens_dz(other)) for other in others]
    np.testing.assert_allclose(found.selectivity, expected)
    assert all((np.diff(p[np.argsort(s)]) <= 0).all() for s, p in zip(found.selectivity, found.each_p, strict=True))
    np.testing.assert_array_equal(found.p, np.maximum(*found.each_p))


def test_p_of_selectivity_is_that_of_all_dealings():
    target, other, signs = normal(1, 4, 3, 1.0), normal(2, 5, 3), np.array([1, 1, -1])
    found = selectivity_test(target, [other], signs, 20_000, rng=rng())
    pool, everyone = np.concatenate([target, other]), set(range(9))
    largest = [
        (signs * cohens_dz(pool[sorted(g)]) - np.abs(cohens_dz(pool[sorted(everyone - g)]))).max()
        for g in map(set, combinations(range(9), 4))
    ]
    exact = (np.array(largest)[:, None] >= found.selectivity[0] - 1e-12).mean(axis=0)
    assert (np.abs(found.p - exact) < 4 * np.sqrt(exact * (1 - exact) / 20_000) + 1e-4).all()


def test_a_unit_that_answers_to_one_of_four_sets_is_not_selective():
    target, others = normal(1, n_units=8, effect=1.5), [normal(seed, n_units=8) for seed in (2, 3, 4, 5)]
    others[2] += 1.5
    found = selectivity_test(target, others, np.ones(8), 999, rng=rng())
    assert found.p.min() > 0.2 and found.each_p[[0, 1, 3]].max() <= 0.02


def test_a_unit_without_a_d_has_no_selectivity():
    target, other = normal(1, n_units=3, effect=1.0), normal(2, n_units=3)
    other[:, 1], target[:, 2] = 0.5, 0.0
    found = selectivity_test(target, [other], np.ones(3), 99, rng=rng())
    assert np.isnan(found.selectivity[0]).tolist() == np.isnan(found.p).tolist() == [False, True, False]


def test_what_is_planted_on_the_target_alone_is_selective_and_what_is_everywhere_is_not():
    target, others = normal(1, n_units=8), [normal(seed, n_units=8) for seed in (2, 3, 4, 5)]
    target[:, 0] += 1.5
    for planted in (target, *others):
        planted[:, 1] += 1.5
    found = selectivity_test(target, others, np.ones(8), 999, rng=rng())
    assert (found.selectivity[:, 0] > 1).all() and found.p[0] <= 0.005
    assert (np.abs(found.selectivity[:, 1]) < 0.6).all() and found.p[1] > 0.2


@pytest.mark.statistics
def test_some_unit_is_called_selective_in_five_percent_where_none_is():
    each, joint = [], []
    for seed in range(300):
        sets = np.split(normal(seed, 60, 6), 3)
        found = selectivity_test(sets[0], sets[1:], np.ones(6), 99, rng=rng(seed))
        each.append(found.each_p[0].min())
        joint.append(found.p.min())
    assert 0.015 <= np.mean(np.array(each) <= 0.05) <= 0.095
    assert np.mean(np.array(joint) <= 0.05) <= 0.07


@pytest.mark.statistics
def test_a_unit_that_one_set_shares_is_called_selective_in_at_most_five_percent():
    low = []
    for seed in range(300):
        target, shares, none = np.split(normal(seed, 75, 6), 3)
        target, shares = target + 1.0, shares + 1.0
        low.append(selectivity_test(target, [shares, none], np.ones(6), 99, rng=rng(seed)).p.min())
    assert 0.015 <= np.mean(np.array(low) <= 0.05) <= 0.095


def test_selectivity_needs_something_to_be_selective_against():
    with pytest.raises(ValueError, match="at least one set"):
        selectivity_test(normal(1), [], np.ones(60), rng=rng())


# --- correlation -------------------------------------------------------------------------------------------


@pytest.mark.statistics
@pytest.mark.parametrize("truth", [0.0, 0.5, 1.0])
def test_the_correlation_of_the_true_effects_is_found_and_its_interval_covers(truth):
    values, covered = [], []
    for seed in range(40):
        effects = rng(seed).multivariate_normal([0, 0], [[1, truth], [truth, 1]], size=300).T * 0.35
        sample = np.corrcoef(effects)[0, 1]  # of these units
        sets = [normal(1000 * seed + i, n_units=300, effect=e) for i, e in enumerate(effects)]
        found = true_correlation(*sets, 20, rng=rng(seed))
        values.append(found.value - sample)
        covered.append(found.interval[0] <= sample <= found.interval[1])
        assert found.observed == pearson(*map(paired_t, sets)) and abs(found.observed) <= abs(found.value) + 0.1
    assert abs(np.mean(values)) < 0.03
    assert np.mean(covered) >= 0.8


def test_disjoint_effects_of_opposite_sign_correlate_and_have_nothing_in_common():
    up, down = np.repeat([1.5, 0.0], [20, 40]), np.repeat([0.0, -1.5], [40, 20])
    found = true_correlation(normal(1, effect=up), normal(2, effect=down), rng=rng())
    assert found.value > 0.3 and abs(found.uncentred) < 0.15
    common = true_correlation(normal(1, effect=1.0), normal(2, effect=1.0), rng=rng())
    assert common.uncentred == pytest.approx(1.0, abs=0.05)


def test_maps_that_do_not_agree_with_themselves_have_no_true_correlation():
    pairs = np.array([1.0, -1.0] * 6)[:, None] * normal(1, 1, 50) + 0.01 * normal(2, 12, 50)
    found = true_correlation(pairs, pairs, rng=rng())
    assert np.isnan(found.value) and np.isnan(found.interval).all()
