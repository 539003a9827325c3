"""Directions: what a change of length leaves, agreement and its p, rules on held-out pairs, kinds and new sets."""

import itertools

import by_hand
import numpy as np
import pytest
from scipy import stats as reference

from plantain import stats


@pytest.fixture
def vectors():
    rng = np.random.default_rng(4)
    found = rng.normal(size=(2, 9, 6, 5)) + rng.normal(size=(6, 5))
    found[0, :, 2] += 1.5 * rng.normal(size=5)
    return found


def test_the_cosines_are_those_of_the_tangential_differences(vectors):
    np.testing.assert_allclose(stats.direction_grams(vectors), by_hand.cosines(vectors), atol=1e-12)
    z = stats.tangential_directions(vectors)
    np.testing.assert_allclose(z, np.array(by_hand.directions(vectors)).transpose(1, 0, 2), atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(z, axis=2), 1)
    mean = vectors.mean(axis=(0, 1))
    np.testing.assert_allclose(np.einsum("phw,hw->ph", z, mean), 0, atol=1e-12)


def test_the_chunks_of_heads_do_not_show():
    wide = np.random.default_rng(0).normal(size=(2, 4, 200, 3)) + 1
    every = stats.direction_grams(wide)
    for at in (0, 63, 64, 199):
        np.testing.assert_array_equal(every[at], stats.direction_grams(wide[:, :, [at]])[0])


def test_agreement_is_tested_by_the_flips_one_by_one(vectors):
    flips = stats.draw_signs(60, 9, np.random.default_rng(1))
    found, grams = stats.agreement_test(stats.direction_grams(vectors), flips), by_hand.cosines(vectors)
    rows = flips.astype(int).tolist()
    np.testing.assert_allclose(found.mean, [by_hand.agreement(g) for g in grams], atol=1e-12)
    assert found.told.tolist() == [by_hand.told(g) for g in grams]
    alone = [(1 + sum(by_hand.agreement(g, s) >= by_hand.agreement(g) - 1e-9 for s in rows)) / 61 for g in grams]
    np.testing.assert_allclose(found.p, alone)
    np.testing.assert_allclose(found.p_fwer, by_hand.family_wise(grams, rows))
    n_products = 36
    spread = [(g[np.triu_indices(9, 1)] ** 2).sum() ** 0.5 / n_products for g in grams]
    np.testing.assert_allclose(found.z, [by_hand.agreement(g) / s for g, s in zip(grams, spread, strict=True)])
    assert found.p_fwer.argmin() == 2 and (found.p_fwer >= found.p).all() and len(set(found.p)) > 3


def test_the_rule_of_all_heads_is_the_sum_of_their_scores(vectors):
    total = by_hand.cosines(vectors).sum(axis=0)
    gram = stats.direction_grams(vectors).sum(axis=0)
    groups = list("aaabbbccc")
    np.testing.assert_allclose(stats.direction_scores(gram), total.sum(axis=1) / 8, atol=1e-12)
    mine = [sum(total[i][j] for j in range(9) if groups[j] != groups[i]) / 6 for i in range(9)]
    np.testing.assert_allclose(stats.direction_scores(gram, groups), mine, atol=1e-12)
    flips = stats.draw_signs(99, 9, np.random.default_rng(2))
    for apart in (None, groups):
        found = stats.direction_test(gram, flips, apart)
        null = [by_hand.told(total, apart, flip) for flip in flips.astype(int).tolist()]
        assert (found.k, found.n) == (by_hand.told(total, apart), 9)
        assert found.p == (1 + sum(k >= found.k for k in null)) / 100
        assert found.error == pytest.approx((found.p * (1 - found.p) / 99) ** 0.5)


def test_where_all_patterns_are_few_p_is_exact(vectors):
    total = by_hand.cosines(vectors).sum(axis=0)
    found = stats.direction_test(total, stats.draw_signs(256, 9, np.random.default_rng(0)))
    null = [by_hand.told(total, flip=flip) for flip in itertools.product((1, -1), repeat=9)]
    assert (found.p, found.error) == (sum(k >= found.k for k in null) / 512, 0.0)
    assert stats.direction_test(total, stats.draw_signs(255, 9, np.random.default_rng(0))).error > 0


def test_a_frozen_rule_takes_the_mean_and_the_directions_of_its_own_set(vectors):
    new = np.random.default_rng(7).normal(size=(2, 7, 6, 5)) + 0.5
    rule, scores = stats.learn_directions(vectors), by_hand.transferred(vectors, new)
    np.testing.assert_allclose(rule.scores(new), scores, atol=1e-12)
    k = sum(score > 0 for score in scores)
    one, two = (stats.direction_transfer_test(rule, new, both) for both in (False, True))
    assert (one.k, one.n, one.error) == (k, 7, 0.0) and 0 < k < 7
    assert one.p == pytest.approx(reference.binomtest(k, 7, alternative="greater").pvalue)
    assert two.p == pytest.approx(reference.binomtest(k, 7).pvalue)


def test_the_matrix_of_transfers_has_held_out_pairs_on_its_diagonal(vectors):
    other = np.random.default_rng(8).normal(size=(2, 5, 6, 5)) + 0.5
    off = [sum(s > 0 for s in by_hand.transferred(*both)) for both in ((vectors, other), (other, vectors))]
    on = [by_hand.told(by_hand.cosines(each).sum(axis=0)) for each in (vectors, other)]
    both = ((vectors, other), (other, vectors))
    assert [stats.direction_transfer_test(stats.learn_directions(one), two).k for one, two in both] == off
    grams = [stats.direction_grams(each).sum(axis=0) for each in (vectors, other)]
    assert [int(np.count_nonzero(stats.direction_scores(gram) > 0)) for gram in grams] == on


def test_a_change_of_length_alone_says_nothing_and_equal_sides_neither():
    side = np.random.default_rng(0).normal(size=(6, 4, 8)).astype(np.float16)
    mean = side.astype(float).mean(axis=0)
    longer = np.stack([np.broadcast_to(1.3 * mean, (6, 4, 8)), np.broadcast_to(mean, (6, 4, 8))])
    same = np.stack([side, side])
    flips = stats.draw_signs(20, 6, np.random.default_rng(0))
    for vectors in (longer, longer.astype(np.float32), same, np.zeros((2, 6, 4, 8))):
        grams = stats.direction_grams(vectors)
        assert not grams.any()
        found = stats.agreement_test(grams, flips)
        assert not found.mean.any() and not found.told.any() and (found.p == 1).all() and (found.p_fwer == 1).all()
        assert (stats.direction_test(grams.sum(axis=0), flips).k, stats.learn_directions(vectors).weights.any()) == (
            0,
            False,
        )


def test_exchanged_sides_change_the_sign_of_a_pair_and_nothing_else(vectors):
    turned = vectors.copy()
    turned[:, 3] = turned[::-1, 3]
    grams, found = stats.direction_grams(vectors), stats.direction_grams(turned)
    sign = np.where(np.arange(9) == 3, -1, 1)
    np.testing.assert_allclose(found, grams * sign[:, None] * sign, atol=1e-12)


def test_a_pair_is_compared_with_the_mean_direction_of_the_others(vectors):
    found = stats.held_out_cosines(vectors)
    for h, rows in enumerate(by_hand.directions(vectors)):
        for i, own in enumerate(rows):
            mean = sum(row for j, row in enumerate(rows) if j != i)
            assert found[i, h] == pytest.approx(own @ mean / np.linalg.norm(mean))
    assert (found > 0).sum(axis=0).tolist() == [by_hand.told(g) for g in by_hand.cosines(vectors)]
    assert not stats.held_out_cosines(np.ones((2, 4, 3, 2))).any()


def test_strength_is_mean_over_spread():
    scores = [0.5, 1.0, 1.75, -0.25]
    assert stats.score_strength(scores) == pytest.approx(np.mean(scores) / np.std(scores, ddof=1))
    assert np.isnan(stats.score_strength([1.0, 1.0]))


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (np.zeros((2, 3, 4)), "must have shape"),
        (np.zeros((3, 3, 4, 2)), "must have shape"),
        (np.zeros((2, 0, 4, 2)), "must have shape"),
        (np.full((2, 3, 4, 2), np.nan), "NaN"),
    ],
)
def test_what_are_no_vectors_is_refused(bad, words):
    for function in (stats.direction_grams, stats.tangential_directions, stats.learn_directions):
        with pytest.raises(ValueError, match=words):
            function(bad)


def test_rules_and_cosines_of_other_shapes_are_refused(vectors):
    with pytest.raises(ValueError, match="the rule is of"):
        stats.learn_directions(vectors).scores(vectors[:, :, :3])
    with pytest.raises(ValueError, match="cosines must have shape"):
        stats.agreement_test(np.zeros((3, 4, 5)), np.ones((2, 4)))
    with pytest.raises(ValueError, match="signs must have shape"):
        stats.direction_test(np.zeros((4, 4)), np.ones((2, 5)))


def test_the_difference_of_two_networks_and_its_error_are_those_of_loops():
    rng = np.random.default_rng(3)
    one, two = (np.tril(rng.normal(size=(9, 9)), -1) for _ in range(2))
    one, two = one + one.T, two + two.T
    pairs = [(i, j) for i in range(9) for j in range(9) if i != j]
    gap = np.mean([one[i, j] - two[i, j] for i, j in pairs])
    left = [np.mean([one[i, j] - two[i, j] for i, j in pairs if out not in (i, j)]) for out in range(9)]
    error = np.sqrt(8 / 9 * sum((value - np.mean(left)) ** 2 for value in left))
    found = stats.agreement_difference_test(one, two)
    assert (found.difference, found.error) == pytest.approx((gap, error))
    assert found.agreement == pytest.approx(np.mean([one[i, j] for i, j in pairs]))
    assert found.other == pytest.approx(found.agreement - gap)
    assert found.p == pytest.approx(2 * reference.t.sf(abs(gap) / error, 8))
    assert stats.agreement_difference_test(one, one).p == 1


@pytest.mark.parametrize("other", [np.zeros((8, 8)), np.zeros((9, 8)), np.zeros((2, 9, 9))])
def test_networks_with_other_pairs_are_refused(other):
    with pytest.raises(ValueError, match="the same pairs, at least 4"):
        stats.agreement_difference_test(np.zeros((9, 9)), other)


@pytest.mark.parametrize("n_flips", [7, 8, 200])
def test_whole_groups_are_flipped_together(n_flips):
    """Four groups have eight patterns: exact from eight flips on, of drawn flips of groups below."""
    rng, groups = np.random.default_rng(4), list("aabbbccdd")
    vectors = rng.normal(size=(2, 9, 6, 8)) + 2
    vectors[0] += 0.8 * rng.normal(size=(6, 8))
    gram = by_hand.cosines(vectors).sum(axis=0)
    signs = stats.draw_signs(n_flips, 9, np.random.default_rng(1))
    k = by_hand.told(gram, groups)
    patterns = list(itertools.product((1, -1), repeat=4)) if n_flips >= 8 else signs[:, :4].tolist()
    told = [by_hand.told(gram, groups, [pattern["abcd".index(g)] for g in groups]) for pattern in patterns]
    over = sum(found >= k for found in told)
    wanted = over / 16 if n_flips >= 8 else (1 + over) / 8
    assert stats.whole_group_p(gram, signs, groups) == wanted
    assert 0 < wanted < 1
