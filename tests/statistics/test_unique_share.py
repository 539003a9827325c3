"""The unique share of an axis in nine worlds whose truth is known.

25 pairs x 600 heads, five factors that share half of every head's variance, four controls. A world plants effects (d_z)
in 100 heads for the axis and its replication, and in 50 or 100 for each control.
"""

import numpy as np
import pytest
from sampling import N_UNITS, loadings, sample

from plantain.report.across_runs.atlas import MOST
from plantain.stats import unique_share

N_WORLDS = 60


def plant(*places):
    """Effects of heads from one place to another, each place with a size."""
    effects = np.zeros(N_UNITS)
    for first, last, size in places:
        effects[first:last] = size
    return effects


def others(*numbers):
    """Controls with 100 heads of their own."""
    return [plant((100 * k, 100 * k + 100, 0.8)) for k in numbers]


AXIS = plant((0, 100, 0.8))
TOO_WEAK = "a control in disguise, too weak to be seen"  # by itself: the call needs `weak`
WORLDS = {
    "an axis of its own": (AXIS, others(1, 2, 3, 4), 1.0),
    "nothing": (plant(), [plant()] * 4, None),
    "a control in disguise": (AXIS, [AXIS, *others(1, 2, 3)], 0.0),
    "a control in disguise, twice as strong": (plant((0, 100, 1.5)), [plant((0, 100, 0.75)), *others(1, 2, 3)], 0.0),
    "two controls joined": (AXIS, [plant((0, 50, 0.8)), plant((50, 100, 0.8)), *others(1, 2)], 0.0),
    "half its own": (AXIS, [plant((0, 50, 0.8)), *others(1, 2, 3)], 0.5),
    "everything everywhere": (AXIS, [AXIS] * 4, 0.0),
    TOO_WEAK: (AXIS, [plant((0, 100, 0.3)), *others(1, 2), plant()], None),
    "an axis of its own, two controls without a map": (AXIS, [*others(1, 2), plant(), plant()], 1.0),
}
DISGUISES = [name for name, (*_, truth) in WORLDS.items() if not truth and name != TOO_WEAK]


@pytest.fixture(scope="module")
def found():
    rng = np.random.default_rng(61)
    load = loadings("five factors", rng)

    def world(axis, controls):
        drawn = sample(axis, load, rng), sample(axis, load, rng), [sample(c, load, rng) for c in controls]
        return unique_share(*drawn, 199, rng)

    return {name: [world(axis, controls) for _ in range(N_WORLDS)] for name, (axis, controls, _) in WORLDS.items()}


def is_called_an_axis(share):
    return share.own_p <= 0.05 and share.z > 1.645


@pytest.mark.parametrize("name", [name for name, (*_, truth) in WORLDS.items() if truth is not None])
def test_the_share_is_the_truth_in_the_median(found, name):
    assert np.median([share.share for share in found[name]]) == pytest.approx(WORLDS[name][2], abs=0.1)


@pytest.mark.parametrize("name", DISGUISES)
def test_no_disguise_is_called_an_axis(found, name):
    assert np.mean([is_called_an_axis(share) for share in found[name]]) <= 0.07


def test_an_axis_of_its_own_is_called_one(found):
    assert np.mean([is_called_an_axis(share) for share in found["an axis of its own"]]) > 0.95
    assert np.mean([is_called_an_axis(share) for share in found["half its own"]]) > 0.6


def test_most_of_it_is_claimed_where_it_is_its_own_and_nowhere_else(found):
    mostly = {
        name: np.mean(
            [is_called_an_axis(share) and share.interval[0] > MOST and not any(share.weak) for share in shares]
        )
        for name, shares in found.items()
    }
    assert mostly["an axis of its own"] > 0.95
    assert mostly["an axis of its own, two controls without a map"] > 0.85
    assert max(called for name, called in mostly.items() if WORLDS[name][2] != 1.0) <= 0.07, mostly
