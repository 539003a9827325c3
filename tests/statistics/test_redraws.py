"""The rank among redraws in worlds with a known truth; and why no sign flips over pairs stand in its place."""

import numpy as np
import pytest
from made import small_run, with_directions
from scipy.stats import binom, kstest

from plantain.findings.interventions import Question, Sets, plan
from plantain.stats import draw_permutations, equal_strata, exact_sign_flip_p, permute_in_order, redraw_p

N_BLOCKS, PER_BLOCK, N_PAIRS, N_FOLDS, K, N_REDRAWS = 10, 12, 25, 5, 10, 99
N_HEADS = N_BLOCKS * PER_BLOCK
BLOCKS = np.repeat(np.arange(N_BLOCKS), PER_BLOCK)
FOLDS = np.arange(N_PAIRS) % N_FOLDS


def made_table(rng):
    """What every head carries in every pair: heads differ much in all pairs alike, as they do in networks."""
    mean = rng.lognormal(-4, 1.5, size=N_HEADS)
    return mean * rng.lognormal(0, 0.4, size=(N_PAIRS, N_HEADS))


def share(table, sets):
    """Share of every pair, float (n_pairs,), by its fold's set: what heads carry together, never more than all."""
    return np.array([1 - np.exp(-table[i, sets[fold]].sum()) for i, fold in enumerate(FOLDS)])


def made_order(table, rng):
    """The heads by what they write, which has to do with what they carry."""
    return np.argsort(-table.mean(axis=0) * rng.lognormal(0, 0.5, N_HEADS))


def redrawn(sets, kind, order, rng):
    """Redraw all folds' sets with one permutation each."""
    if kind == "within":
        permutations = draw_permutations(BLOCKS, N_REDRAWS, rng)
    else:
        permutations = permute_in_order(draw_permutations(equal_strata(N_HEADS), N_REDRAWS, rng), order)
    return [[permutation[own] for own in sets] for permutation in permutations]


def random_choice(rng):
    """Sets that differ from fold to fold, though they have most heads in common, chosen by nothing."""
    core = rng.permutation(N_HEADS)[: K + 4]
    return [rng.permutation(core)[:K] for _ in range(N_FOLDS)]


@pytest.mark.parametrize("kind", ["within", "matched"])
def test_a_random_choice_has_a_uniform_p(kind):
    rng = np.random.default_rng(7)
    table = made_table(rng)
    order, found = made_order(table, rng), []
    for _ in range(300):
        sets = random_choice(rng)
        null = [share(table, drawn).mean() for drawn in redrawn(sets, kind, order, rng)]
        found.append(float(redraw_p(share(table, sets).mean(), np.array(null))))
    assert kstest(found, "uniform").pvalue > 0.01
    low, high = binom.interval(0.999, 300, 0.05)
    assert low <= np.count_nonzero(np.array(found) <= 0.05) <= high


@pytest.mark.parametrize("kind", ["within", "matched"])
def test_planted_heads_are_found_at_the_floor(kind):
    rng = np.random.default_rng(8)
    table = made_table(rng)
    order = made_order(table, rng)  # the planted heads write no more than others: matching must not hide them
    planted = np.arange(K) * PER_BLOCK  # one in each block
    table[:, planted] += 0.2
    sets = [np.append(planted[:-1], rng.integers(N_HEADS)) for _ in range(N_FOLDS)]  # and one that is none
    null = np.array([share(table, drawn).mean() for drawn in redrawn(sets, kind, order, rng)])
    assert redraw_p(share(table, sets).mean(), null) == 1 / (1 + N_REDRAWS)


def test_a_choice_by_size_alone_is_called_significant_and_matching_helps_little():
    """Why a small p need not be about the contrast: the match is coarse over all blocks, and none within them."""
    rng, found = np.random.default_rng(12), {"within": [], "matched": []}
    for _ in range(100):
        table = made_table(rng)
        written = np.log(table.mean(axis=0)) + rng.normal(0, 0.5, N_HEADS)
        order = np.argsort(-written)
        scores = [written + rng.normal(0, 0.6, N_HEADS) for _ in range(N_FOLDS)]
        sets = [np.argsort(-score)[:K] for score in scores]
        for kind, ps in found.items():
            null = [share(table, drawn).mean() for drawn in redrawn(sets, kind, order, rng)]
            ps.append(float(redraw_p(share(table, sets).mean(), np.array(null))))
    called = {kind: np.mean(np.array(ps) <= 0.05) for kind, ps in found.items()}
    assert called["within"] > 0.9 and 0.3 < called["matched"] < called["within"] - 0.1, called


def test_sign_flips_over_pairs_call_a_random_choice_significant():
    """Which is why they are not the test: random sets differ from one another in all pairs alike."""
    rng = np.random.default_rng(9)
    table, differences = made_table(rng), []
    for _ in range(300):
        sets = random_choice(rng)
        null = [share(table, drawn) for drawn in redrawn(sets, "within", None, rng)[:10]]
        differences.append(share(table, sets) - np.mean(null, axis=0))
    p = exact_sign_flip_p(np.array(differences).T)
    assert np.mean(p <= 0.05) > 0.33


def test_steering_by_pairs_without_a_common_direction_has_a_valid_p():
    """What heads write is added up as it is, and the sides of every pair could as well be exchanged."""
    found, n_worlds = [], 120
    for seed in range(n_worlds):
        rng = np.random.default_rng(seed)
        run = with_directions(small_run(seed, 25), seed)
        sets = Sets(plan(run, Question("steer", heads="top:2", n_redraws=39, blocks=False)))
        vectors = run.vectors("heads", scope="image").astype(float)
        writes = rng.normal(size=(*vectors.shape[2:], 30))
        differences = np.einsum("phw,hwo->po", vectors[0] - vectors[1], writes)
        shares = []
        for i, difference in enumerate(differences):
            moved = [np.einsum("hw,hwo->o", change.vectors, writes[change.places]) for change in sets.changes(i)]
            own = np.array(moved) @ difference / (difference @ difference)
            shares.append(sets.spread(i, np.repeat(own, 4).reshape(-1, 2, 2))[:40, 0, 0])
        mean = np.mean(shares, axis=0)
        found.append(float(redraw_p(mean[0], mean[1:])))
    for level in (0.05, 0.25, 0.5):
        low, high = binom.interval(0.999, n_worlds, level)
        assert low <= np.count_nonzero(np.array(found) <= level) <= high, level
