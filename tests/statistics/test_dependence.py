"""Whether pairs of a category agree more than others: rates of the warning where the truth is known.

25 pairs in five categories x 600 heads; an intra-category correlation (ICC) is an effect of the category on every head.
"""

import numpy as np
import pytest
from sampling import N_PAIRS, N_UNITS, loadings, sample

from plantain.stats import dependence

CATEGORIES = np.repeat(list("abcde"), 5)


def warnings(icc, factors, n_worlds=200, seed=51):
    rng = np.random.default_rng(seed)
    load = loadings(factors, rng)
    found = 0
    for _ in range(n_worlds):
        common = rng.normal(size=(5, N_UNITS)).repeat(5, axis=0)
        world = np.sqrt(icc) * common + np.sqrt(1 - icc) * sample(0.0, load, rng)
        found += dependence(world, CATEGORIES, 199, rng).p <= 0.05
    return found / n_worlds


@pytest.mark.parametrize("factors", ["independent", "five factors", "real run"])
def test_independent_pairs_are_seldom_warned_of(factors):
    assert warnings(0.0, factors) <= 0.08


@pytest.mark.parametrize("factors", ["independent", "five factors", "real run"])
def test_dependent_pairs_are_warned_of(factors):
    assert warnings(0.1, factors) > 0.9


def test_a_common_effect_is_no_dependence():
    rng = np.random.default_rng(52)
    found = [dependence(0.8 + rng.normal(size=(N_PAIRS, N_UNITS)), CATEGORIES, 199, rng).p <= 0.05 for _ in range(100)]
    assert sum(found) <= 12  # the 99.9% binomial limit
