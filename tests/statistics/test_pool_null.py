"""The tests of a run where nothing is true: sets of 25 pairs of prompts that have nothing to do with each other.

Every set takes 50 of the pool's prompts without replacement, pairs them and orients the pairs at random. So the signs
of the differences are fair coins, whatever the model does with a prompt, and false claims are binomial though all sets
share one pool: the limits are that binomial's at 99.9%. `SETS` in the environment is how many (1,000 for a release).
"""

import os

import numpy as np
import pool
import pytest
from helpers import capture_pair
from scipy import stats as reference

from plantain import stats
from plantain.probe.passes import layout_of
from plantain.prompts.sets import PromptPair
from plantain.runs.units import Selection, magnitudes

N_SETS, N_PAIRS, N_FLIPS = int(os.environ.get("SETS", "250")), 25, 999
THRESHOLDS = (3.0, 5.0)
UNITS = ("card", "heads")


def random_sets(values, seed=0):
    """Draw sets of disjoint, randomly oriented pairs, (N_SETS, N_PAIRS, n_units)."""
    rng = np.random.default_rng(seed)
    rows = np.array([rng.choice(len(values), 2 * N_PAIRS, replace=False) for _ in range(N_SETS)])
    return values[rows[:, :N_PAIRS]] - values[rows[:, N_PAIRS:]]


def oriented(sets):
    """Turn every pair so that its louder prompt is the positive one."""
    return sets * np.sign(sets.sum(axis=2, keepdims=True))


def family_wise_and_count_p(sets, seed=1):
    """Smallest max-|t| p and the p of the count over each threshold, from the same flips, (n_sets, 3)."""
    rng = np.random.default_rng(seed)
    rows = []
    for diffs in sets:
        null = stats.sign_flip_null(diffs, N_FLIPS, rng=rng, thresholds=THRESHOLDS)
        t = np.abs(stats.paired_t(diffs))
        counts = [stats.count_p((t > c).sum(), row) for c, row in zip(THRESHOLDS, null.counts, strict=True)]
        rows.append([stats.max_t_p(diffs, signs=null.signs).min(), *counts])
    return np.array(rows)


def one_unit_each(sets, seed=2):
    """Exact p of one unit a set, drawn at random, (n_sets,)."""
    unit = np.random.default_rng(seed).integers(0, sets.shape[2], len(sets))
    return stats.exact_sign_flip_p(sets[np.arange(len(sets)), :, unit].T)


def most(rate, n=N_SETS):
    """Return how many hits of n a rate gives at most, by the 99.9% point of the binomial."""
    return reference.binom.ppf(0.999, n, rate)


@pytest.fixture(scope="module", params=UNITS)
def sets(request):
    return random_sets(pool.prompt_magnitudes(request.param))


@pytest.fixture(scope="module")
def p_values(sets):
    return family_wise_and_count_p(sets)


# --- the pool ----------------------------------------------------------------------------------------------


def test_the_pool_has_150_distinct_prompts_and_each_has_its_own_magnitudes():
    values = pool.prompt_magnitudes("card")
    assert len(set(pool.PROMPTS)) == 150 and values.shape == (150, 680)
    assert (values > 0).all() and (values.std(axis=0) > 0).all()
    assert len(np.unique(values, axis=0)) == 150


def test_a_row_of_the_pool_is_its_prompts(pipe):
    own = PromptPair("own", "none", pool.PROMPTS[1], pool.PROMPTS[100])
    alone = magnitudes(capture_pair(pipe, own, pool.SIZE, 0).sums, layout_of(pipe), Selection("heads"))
    np.testing.assert_allclose(alone[:, 0], pool.prompt_magnitudes("heads")[[1, 100]], rtol=1e-5)


def test_the_file_of_the_pool_is_what_the_stand_in_gives():
    numbers = range(5, 75, 23)
    made, kept = pool.capture(numbers), pool.captured()
    np.testing.assert_array_equal(made.tokens, kept.tokens[:, list(numbers)])
    assert set(made.streams) == set(kept.streams)
    for stream, values in made.streams.items():
        np.testing.assert_allclose(values, kept.streams[stream][:, list(numbers)], rtol=1e-5)


# --- nothing is true ---------------------------------------------------------------------------------------


def test_family_wise_error_is_five_percent(p_values):
    low, high = reference.binom.interval(0.999, N_SETS, 0.05)
    assert low <= (p_values[:, 0] <= 0.05).sum() <= high


@pytest.mark.parametrize("column", [1, 2], ids=["over 3", "over 5"])
def test_the_headline_count_is_significant_no_more_often_than_it_says(p_values, column):
    assert (p_values[:, column] <= 0.05).sum() <= most(0.05)


@pytest.mark.parametrize("level", [0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5])
def test_the_exact_p_of_one_unit_is_small_no_more_often_than_it_says(sets, level):
    assert (one_unit_each(sets) <= level).sum() <= most(level)
    assert (stats.exact_sign_flip_p(sets[:, :, 0].T) <= level).sum() <= most(level)  # the same unit in every set


# --- the checks can fail -----------------------------------------------------------------------------------


def test_pairs_that_are_not_oriented_at_random_are_caught(sets):
    """The louder prompt always first: not one of the promises is kept, so none of the checks is blind."""
    p = family_wise_and_count_p(oriented(sets[:100]))
    assert ((p <= 0.05).sum(axis=0) > most(0.05, 100)).all()
    assert (one_unit_each(oriented(sets)) <= 0.05).sum() > most(0.05)


def test_a_small_constant_shift_is_caught(sets):
    shifted = sets + 0.3 * sets.std(axis=(0, 1))
    assert (family_wise_and_count_p(shifted)[:, :2] <= 0.05).sum(axis=0).min() > most(0.05)
    assert (one_unit_each(shifted) <= 0.05).sum() > most(0.05)
