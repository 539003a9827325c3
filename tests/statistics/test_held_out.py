"""The p of the headline, k of 25 held-out pairs told right, where the truth is known.

25 pairs x 600 heads, five factors that share half of every head's variance, 99 sign flips of the whole procedure.
"""

import numpy as np
import pytest
from made import N_SLICES, PAIR, made_capture, made_run
from sampling import N_PAIRS, N_UNITS, loadings, sample

from plantain.findings.new_pair import Way, score_pair
from plantain.runs.units import CARD
from plantain.stats import draw_signs, held_out_test

N_FLIPS = 99


def claims(effects, n_worlds, seed, factors="five factors"):
    """In how many worlds the p is at most .05."""
    rng = np.random.default_rng(seed)
    load = loadings(factors, rng)
    found = 0
    for _ in range(n_worlds):
        world = sample(effects, load, rng)
        found += held_out_test(world, draw_signs(N_FLIPS, N_PAIRS, rng)).p <= 0.05
    return found


def test_where_nothing_is_true_it_says_so():
    assert claims(np.zeros(N_UNITS), 1000, seed=41) <= 70


def test_twelve_heads_with_a_large_effect_are_found():
    effects = np.where(np.arange(N_UNITS) < 12, 0.8, 0.0)
    assert claims(effects, 100, seed=42) > 90


@pytest.mark.parametrize("factors", ["independent", "one factor", "real run"])
def test_nor_does_it_depend_on_what_the_heads_share(factors):
    assert claims(np.zeros(N_UNITS), 200, seed=43, factors=factors) <= 20  # the 99.9% binomial limit of .05 is 20


def ways(effect, n_worlds, seed):
    """What a pair without any effect is told to do, on runs with one effect in all of 24 slices."""
    rng = np.random.default_rng(seed)
    found = []
    for world in range(n_worlds):
        drawn = rng.normal(size=(N_PAIRS + 1, N_SLICES))
        run = made_run(drawn[1:] + effect, n_permutations=1, seed=world)
        found.append(score_pair(run, PAIR, made_capture(drawn[0]), CARD).way)
    return found


def test_a_pair_of_nothing_has_no_way_to_go_on_a_run_of_nothing():
    found = ways(0.0, 200, seed=44)
    assert sum(way in (Way.NONE, Way.NEITHER) for way in found) >= 180
    assert Way.NONE in found


def test_a_pair_of_nothing_goes_neither_way_on_a_run_whose_pairs_agree():
    found = ways(0.8, 100, seed=45)
    assert Way.NONE not in found
    assert found.count(Way.NEITHER) >= 90
