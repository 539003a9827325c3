"""Held-out pairs told right: the count, its null, and a rule that is taken to another set."""

import numpy as np
import pytest
from scipy import stats as reference

from plantain import stats
from plantain.stats import conformal_scores, draw_signs, held_out_null, held_out_test, learn_rule, transfer_test


@pytest.fixture
def diffs():
    rng = np.random.default_rng(3)
    found = rng.normal(size=(25, 120))
    found[:, :6] += 0.9
    return found


def told_right_by_hand(diffs, n_top=20):
    """The same count, one pair and one unit after the other."""
    k = 0
    for i in range(len(diffs)):
        others = [row for j, row in enumerate(diffs) if j != i]
        units = []
        for u in range(diffs.shape[1]):
            values = np.array([row[u] for row in others])
            sd = values.std(ddof=1)
            if sd > 0 and values.mean() != 0:
                units.append((abs(values.mean() / sd), np.sign(values.mean()) * diffs[i, u] / sd))
        best = sorted(units, reverse=True)[:n_top]
        k += sum(value for _, value in best) > 0
    return k


@pytest.mark.statistics
def test_the_null_repeats_the_whole_procedure_for_every_flip(diffs):
    signs = draw_signs(30, 25, np.random.default_rng(0))
    null = held_out_null(diffs, signs)
    told = np.count_nonzero(null > 0, axis=1).tolist()
    assert told == [told_right_by_hand(diffs * flip[:, None]) for flip in signs.astype(float)]
    assert len(set(told)) > 5
    for scores, flip in zip(null, signs.astype(float), strict=True):
        np.testing.assert_allclose(scores, conformal_scores(diffs * flip[:, None]), rtol=1e-9)


def test_the_count_is_that_of_the_conformal_scores(diffs):
    signs = draw_signs(199, 25, np.random.default_rng(1))
    found = held_out_test(diffs, signs)
    assert found.k == told_right_by_hand(diffs) == int((conformal_scores(diffs) > 0).sum())
    assert found.n == 25
    null = np.count_nonzero(held_out_null(diffs, signs) > 0, axis=1)
    assert found.p == (1 + int((null >= found.k).sum())) / 200
    assert found.error == pytest.approx(np.sqrt(found.p * (1 - found.p) / 199))


def test_units_without_differences_and_units_without_spread_change_nothing(diffs):
    more = np.column_stack([np.zeros(25), diffs, np.full(25, 0.3)])
    signs = draw_signs(40, 25, np.random.default_rng(2))
    np.testing.assert_allclose(held_out_null(more, signs), held_out_null(diffs, signs))


def test_nothing_moves():
    assert held_out_null(np.zeros((5, 3)), [[1, 1, 1, 1, 1]]).tolist() == [[0] * 5]
    found = held_out_test(np.zeros((5, 3)), [[1, 1, 1, 1, 1]])
    assert (found.k, found.p) == (0, 1.0)


def test_large_and_small_numbers_do_not_overflow(diffs):
    signs = draw_signs(20, 25, np.random.default_rng(4))
    for factor in (1e-160, 1e160):
        np.testing.assert_allclose(held_out_null(diffs * factor, signs), held_out_null(diffs, signs))


def test_a_rule_is_taken_to_other_pairs_with_an_exact_binomial_p(diffs):
    rule = learn_rule(diffs, 6)
    assert set(rule.units.tolist()) <= set(range(120)) and len(rule.units) == 6
    t = reference.ttest_1samp(diffs, 0).statistic
    assert rule.units.tolist() == np.argsort(-np.abs(t))[:6].tolist()
    np.testing.assert_allclose(rule.weights, np.sign(t[rule.units]) / diffs[:, rule.units].std(axis=0, ddof=1))
    others = np.random.default_rng(5).normal(0.9, 1, size=(25, 120))
    found = transfer_test(rule, others)
    assert found.k == int(((others[:, rule.units] * rule.weights).mean(axis=1) > 0).sum())
    assert found.p == pytest.approx(reference.binomtest(found.k, 25, alternative="greater").pvalue)
    assert found.error == 0


@pytest.mark.parametrize("k", [2, 12, 20])
def test_two_sided_a_rule_that_tells_all_wrong_counts_as_well(k):
    rule = learn_rule(np.array([[1.0], [1.2], [0.8]]))
    found = transfer_test(rule, np.array([[1.0]] * k + [[-1.0]] * (25 - k)), two_sided=True)
    assert (found.k, found.n) == (k, 25)
    assert found.p == pytest.approx(reference.binomtest(k, 25).pvalue)


def test_a_rule_of_nothing_tells_no_pair_right():
    rule = learn_rule(np.zeros((4, 3)))
    assert rule.scores(np.ones((2, 3))).tolist() == [0.0, 0.0]
    assert transfer_test(rule, np.ones((2, 3))).k == 0


@pytest.mark.parametrize(("scores", "p"), [([0.0] * 25, 1.0), ([0.0] * 20 + [-1.0] * 5, 1.0), ([-1.0] * 25, 2 / 2**25)])
def test_two_sided_a_score_of_zero_is_on_neither_side(scores, p):
    """A control without any direction scores all pairs zero, and would count as one that tells all of them wrong."""
    assert stats.count_frozen(np.array(scores), two_sided=True) == stats.HeldOut(0, 25, p, 0.0)
