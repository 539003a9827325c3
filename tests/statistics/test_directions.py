"""Directions where the truth is known: a head of the stand-in that is rotated, and pairs that mean nothing.

The mean vectors are taken by hooks of the tests' own, the figures once more by loops (`by_hand`). The limits where
nothing is true are the binomial's at 99.9%, as in `test_pool_null`.
"""

from functools import cache

import by_hand
import numpy as np
import pool
import pytest
from own_hooks import BLOCKS, N_HEADS, gain, mean_vectors_of, rotation, sides_of
from planting import capture as capture_pairs
from planting import planted
from scipy import stats as reference

from plantain import stats
from plantain.probe.passes import layout_of
from plantain.runs.units import Selection, magnitudes

N_SETS, N_PAIRS, N_FLIPS = 1000, 25, 999
BLOCK, HEAD = "single[8]", 1
UNIT = BLOCKS.index(BLOCK) * N_HEADS + HEAD


@pytest.fixture(scope="module")
def flips():
    return stats.draw_signs(1999, N_PAIRS, np.random.default_rng(0))


@pytest.fixture(scope="module")
def rotated(pipe, moral_set):
    """Mean vectors with a head rotated by so much, (2, 25, 100, 32), each made once."""
    return cache(lambda size: sides_of(pipe, moral_set.pairs, (BLOCK, HEAD, rotation(size))))


# --- a rotation at constant length ---------------------------------------------------------------------------


def test_a_rotation_is_found_in_every_pair_and_in_no_head_before_it(rotated, flips):
    vectors = rotated(0.1)
    grams = stats.direction_grams(vectors)
    found = stats.agreement_test(grams, flips)
    by_loops = by_hand.cosines(vectors[:, :, [UNIT]])[0]
    assert found.told[UNIT] == by_hand.told(by_loops) == 25
    assert found.mean[UNIT] == pytest.approx(by_hand.agreement(by_loops)) and found.mean[UNIT] > 0.3
    assert found.p[UNIT] == found.p_fwer[UNIT] == 1 / 2000
    before = np.arange(len(grams)) < BLOCKS.index(BLOCK) * N_HEADS
    mates = (np.arange(len(grams)) // N_HEADS == BLOCKS.index(BLOCK)) & (np.arange(len(grams)) != UNIT)
    assert found.p_fwer[before | mates].min() > 0.05
    assert found.p_fwer.argmin() == UNIT


def test_without_a_rotation_nothing_is_found(rotated, flips):
    vectors = rotated(0.0)
    grams = stats.direction_grams(vectors)
    found = stats.agreement_test(grams, flips)
    assert found.p_fwer.min() > 0.05 and stats.direction_test(grams.sum(axis=0), flips).p > 0.05
    assert found.told[UNIT] == by_hand.told(by_hand.cosines(vectors[:, :, [UNIT]])[0]) < 18


def test_its_magnitude_does_not_see_it(pipe, moral_set, moral_run):
    """The head's RMS is the same to the rounding of float32: the rotation keeps every token's length."""
    block = pipe.transformer.single_transformer_blocks[int(BLOCK[7:-1])].attn.to_out
    passes, width, push = [], layout_of(pipe).head_dim, rotation(0.1)

    def plant(_module, args):
        passes.append(1)
        x = args[0].clone()
        x[0, :, HEAD * width : (HEAD + 1) * width] = push(x[0, :, HEAD * width : (HEAD + 1) * width], len(passes) - 1)
        return (x,)

    pairs, heads = moral_set.pairs, Selection("heads", "image")
    plain = moral_run.magnitudes("heads", "image")
    handle = block.register_forward_pre_hook(plant)
    try:
        turned = magnitudes(capture_pairs(pipe, pairs), layout_of(pipe), heads)
    finally:
        handle.remove()
    np.testing.assert_allclose(turned[..., UNIT], plain[..., UNIT], rtol=1e-5)
    t = reference.ttest_1samp((turned[0] - turned[1])[:, UNIT], 0).statistic
    assert abs(t) < 2 and t == pytest.approx(
        reference.ttest_1samp((plain[0] - plain[1])[:, UNIT], 0).statistic, abs=0.01
    )


def test_a_gain_is_a_matter_of_magnitude_and_leaves_the_direction_at_chance(pipe, moral_set, rotated, flips):
    vectors = sides_of(pipe, moral_set.pairs, (BLOCK, HEAD, gain(0.05)))
    found = stats.agreement_test(stats.direction_grams(vectors), flips)
    plain = stats.agreement_test(stats.direction_grams(rotated(0.0)), flips)
    assert found.p[UNIT] > 0.05 and found.mean[UNIT] == pytest.approx(plain.mean[UNIT], abs=0.05)
    with planted(pipe, BLOCK, 0.05, HEAD):
        sides = magnitudes(capture_pairs(pipe, moral_set.pairs), layout_of(pipe), Selection("heads", "image"))
    assert reference.ttest_1samp((sides[0] - sides[1])[:, UNIT], 0).statistic > 5  # which the magnitude sees


def test_the_frozen_rule_of_half_of_the_pairs_finds_the_rotation_in_the_other_half(rotated):
    for size, told in ((0.1, 13), (0.0, None)):
        head = rotated(size)[:, :, [UNIT]]
        learned, tested = head[:, :12], head[:, 12:]
        found = stats.direction_transfer_test(stats.learn_directions(learned), tested)
        assert found.k == sum(score > 0 for score in by_hand.transferred(learned, tested))
        assert (found.k == told) if told else (found.p > 0.05)


# --- nothing is true -----------------------------------------------------------------------------------------


def random_set(rng):
    """Draw 25 pairs of prompts that have nothing to do with each other, oriented at random."""
    rows = rng.choice(len(pool.PROMPTS), 2 * N_PAIRS, replace=False)
    return pool.prompt_vectors()[rows].reshape(2, N_PAIRS, *pool.prompt_vectors().shape[1:])


@pytest.fixture(scope="module")
def p_values():
    """Smallest family-wise p, one head's p and the p of the rule of all heads, (N_SETS, 3)."""
    rng, rows = np.random.default_rng(11), []
    for _ in range(N_SETS):
        grams = stats.direction_grams(random_set(rng))
        flips = stats.draw_signs(N_FLIPS, N_PAIRS, rng)
        found = stats.agreement_test(grams, flips)
        rows.append(
            [found.p_fwer.min(), found.p[rng.integers(len(grams))], stats.direction_test(grams.sum(axis=0), flips).p]
        )
    return np.array(rows)


def test_the_pools_vectors_are_what_the_stand_in_gives(pipe):
    rows = [3, 77, 149]
    made = mean_vectors_of(pipe, [pool.PROMPTS[i] for i in rows])
    np.testing.assert_allclose(made, pool.prompt_vectors()[rows], rtol=2e-3, atol=1e-4)  # kept in float16


def test_family_wise_error_is_five_percent(p_values):
    low, high = reference.binom.interval(0.999, N_SETS, 0.05)
    assert low <= (p_values[:, 0] <= 0.05).sum() <= high


@pytest.mark.parametrize("level", [0.01, 0.05, 0.1, 0.25, 0.5, 0.75])
def test_one_heads_p_is_uniform(p_values, level):
    low, high = reference.binom.interval(0.999, N_SETS, level)
    assert low <= (p_values[:, 1] <= level).sum() <= high


@pytest.mark.parametrize("level", [0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9])
def test_the_rules_p_is_small_no_more_often_than_it_says_and_hardly_less(p_values, level):
    """A count has few values: between two of them its p stands still, so that it is below what it says."""
    found = (p_values[:, 2] <= level).sum()
    assert found <= reference.binom.ppf(0.999, N_SETS, level)
    assert found >= reference.binom.ppf(0.001, N_SETS, 0.5 * level)


def test_a_frozen_rule_tells_nothing_where_nothing_is_true():
    rng, found = np.random.default_rng(12), []
    for _ in range(300):
        both = random_set(rng)
        rule = stats.learn_directions(both[:, :12])
        found.append(stats.direction_transfer_test(rule, both[:, 12:]).p)
    assert sum(p <= 0.05 for p in found) <= reference.binom.ppf(0.999, 300, 0.05)
    assert 0.4 < np.mean(np.array(found) <= 0.5) < 0.6  # 13 pairs: 7 or more right have p = .5


def test_the_checks_can_fail():
    """Sides that are not oriented at random are caught: a constant push of half of the spread."""
    rng = np.random.default_rng(13)
    push = 0.5 * rng.normal(size=(100, 32)) * pool.prompt_vectors().std(axis=0)
    found = []
    for _ in range(60):
        vectors = random_set(rng).copy()
        vectors[0] += push
        grams, flips = stats.direction_grams(vectors), stats.draw_signs(N_FLIPS, N_PAIRS, rng)
        found.append(
            [stats.agreement_test(grams, flips).p_fwer.min(), stats.direction_test(grams.sum(axis=0), flips).p]
        )
    assert ((np.array(found) <= 0.05).sum(axis=0) > reference.binom.ppf(0.999, 60, 0.05)).all()


# --- one network beside another ------------------------------------------------------------------------------


def cosines_of(rng, push):
    """Mean cosines over 24 heads of 16 channels of 25 pairs, pushed along directions of one length."""
    along = rng.normal(size=(24, 16))
    along *= push * 4 / np.linalg.norm(along, axis=1, keepdims=True)
    z = rng.normal(size=(N_PAIRS, 24, 16)) + along
    z /= np.linalg.norm(z, axis=2, keepdims=True)
    gram = np.einsum("ihd,jhd->ij", z, z) / 24
    np.fill_diagonal(gram, 0)
    return gram


@pytest.mark.parametrize("push", [0.0, 0.15])
def test_networks_that_agree_alike_are_called_different_no_more_often_than_said(push):
    rng, n = np.random.default_rng(11), 800
    p = [stats.agreement_difference_test(cosines_of(rng, push), cosines_of(rng, push)).p for _ in range(n)]
    for level in (0.05, 0.2):
        assert np.count_nonzero(np.array(p) <= level) <= reference.binom.ppf(0.9995, n, level)


def test_a_network_that_agrees_more_is_found_and_flips_of_the_scores_would_claim_too_much():
    rng, n = np.random.default_rng(12), 200
    found = [stats.agreement_difference_test(cosines_of(rng, 0.15), cosines_of(rng, 0.0)) for _ in range(n)]
    assert sum(f.p <= 0.05 and f.difference > 0 for f in found) > 0.9 * n
    claims = 0
    for _ in range(n):
        gap = cosines_of(rng, 0.0) - cosines_of(rng, 0.0)
        claims += stats.exact_sign_flip_p(gap.sum(axis=1)[:, None])[0] <= 0.05
    assert claims > reference.binom.ppf(0.9995, n, 0.05)


# --- how far a pair goes that has nothing in common with a run's ---------------------------------------------


@pytest.mark.parametrize(("effect", "factors", "share"), [(0.2, 0, 0.0), (0.2, 5, 0.9), (0.8, 5, 0.5)])
def test_a_pair_of_nothing_stays_within_the_reach_in_at_least_95_of_100_runs_whose_pairs_agree(effect, factors, share):
    rng, inside, n_worlds = np.random.default_rng(46), 0, 1000
    for _ in range(n_worlds):
        heads = (50, 16)
        differences = rng.normal(size=(N_PAIRS + 1, *heads))
        if factors:  # which move all heads together
            moved = np.einsum(
                "pf,fhw->phw", rng.normal(size=(N_PAIRS + 1, factors)), rng.normal(size=(factors, *heads))
            )
            differences = np.sqrt(1 - share) * differences + np.sqrt(share / factors) * moved
        differences[:-1] += effect * rng.normal(size=heads)  # the last pair has no part in it
        mean = 1 + rng.normal(size=heads)
        grams = stats.direction_grams(np.stack([mean + 0.1 * differences, mean - 0.1 * differences])).mean(axis=0)
        own = stats.direction_grams(np.stack([mean + 0.1 * differences[:-1], mean - 0.1 * differences[:-1]]))
        reach = stats.direction_reach(own.mean(axis=0), stats.draw_signs(N_FLIPS, N_PAIRS, rng))
        inside += abs(stats.direction_scores(grams)[-1]) <= reach
    assert inside >= reference.binom.ppf(0.0005, n_worlds, 0.95)


# --- the cosine of two sets' rules ---------------------------------------------------------------------------

HEADS, WIDTH, NOISE = 50, 16, 0.1


class TwoSets:
    """Pairs of two sets of which the truth is known: how they part, and the factors that move all heads together."""

    def __init__(self, rng, alike, effects, factors, share):
        one, other, loads = (rng.normal(size=(*more, HEADS, WIDTH)) for more in ((), (), (factors,)))
        self.parting = effects[0] * one, effects[1] * (alike * one + np.sqrt(1 - alike**2) * other)
        self.mean, self.loads, self.share = 1 + rng.normal(size=(HEADS, WIDTH)), loads, share

    def draw(self, of, n, rng):
        factors, noise = len(self.loads), rng.normal(size=(n, HEADS, WIDTH))
        if factors:
            moved = np.einsum("pf,fhw->phw", rng.normal(size=(n, factors)), self.loads)
            noise = np.sqrt(1 - self.share) * noise + np.sqrt(self.share / factors) * moved
        half = NOISE * (self.parting[of] + noise)
        return np.stack([self.mean + half, self.mean - half])

    def truth(self, rng, n=4000):
        """The cosine of the mean directions; with so many pairs their noise hardly counts."""
        means = [stats.tangential_directions(self.draw(of, n, rng)).mean(axis=0).ravel() for of in (0, 1)]
        return means[0] @ means[1] / np.linalg.norm(means[0]) / np.linalg.norm(means[1])


def cosine_of(across, grams):
    means = [gram.sum() / (len(gram) * (len(gram) - 1)) for gram in grams]
    return across.mean() / np.sqrt(means[0] * means[1])


def sets_of(world, rng):
    sets = [world.draw(of, N_PAIRS, rng) for of in (0, 1)]
    return stats.direction_cosines(*sets), [stats.direction_grams(one).sum(axis=0) for one in sets]


def test_the_interval_is_that_of_leaving_one_pair_out_in_a_plain_loop():
    rng = np.random.default_rng(47)
    across, grams = sets_of(TwoSets(rng, 0.5, (0.4, 0.2), 5, 0.5), rng)
    across, grams = across[:, :18], [grams[0], grams[1][:18, :18]]
    variance = 0.0
    for axis, n in enumerate((25, 18)):
        less = [gram.copy() for gram in grams]
        left = []
        for i in range(n):
            less[axis] = np.delete(np.delete(grams[axis], i, 0), i, 1)
            left.append(cosine_of(np.delete(across, i, axis), less))
        variance += (n - 1) / n * np.sum((left - np.mean(left)) ** 2)
    reach = reference.t.ppf(0.975, 17) * np.sqrt(variance)
    found = stats.rule_cosine_interval(across, *grams)
    assert found == pytest.approx((cosine_of(across, grams) - reach, cosine_of(across, grams) + reach), rel=1e-9)
    assert stats.rule_cosine_interval(across, -grams[0], grams[1]) is None  # its pairs do not agree
    assert stats.rule_cosine_interval(across[:3], grams[0][:3, :3], grams[1]) is None


@pytest.mark.parametrize("alike", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(
    ("effects", "factors", "share", "least"),
    [((0.2, 0.2), 0, 0.0, 0.95), ((0.4, 0.2), 5, 0.5, 0.95), ((0.8, 0.8), 5, 0.9, 0.95), ((0.8, 0.8), 1, 0.5, 0.8)],
)
def test_the_interval_of_the_cosine_holds_the_truth_as_often_as_said(alike, effects, factors, share, least):
    """As docs/method.md says: one factor that moves all heads together is what it bears worst."""
    rng, covered, n = np.random.default_rng(48), 0, 150
    world = TwoSets(rng, alike, effects, factors, share)
    truth = world.truth(rng)
    for _ in range(n):
        across, grams = sets_of(world, rng)
        low, high = stats.rule_cosine_interval(across, *grams)
        covered += low <= truth <= high
    assert covered >= reference.binom.ppf(0.0005, n, least)
