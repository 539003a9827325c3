"""The unique share from its definition: maps of standardised means, products without a pair's product with itself."""

import numpy as np
import pytest

from plantain.stats import unique_share

N_PAIRS, N_UNITS = 12, 60


def planted():
    """An axis, its replication, a control in half of the axis' units, one elsewhere, and one without any effect."""
    rng = np.random.default_rng(4)
    effects = np.zeros((5, N_UNITS))
    effects[:2, :20], effects[2, 10:30], effects[3, 40:] = 1.2, 1.2, 1.2
    scale = rng.uniform(0.5, 3, N_UNITS)
    return [scale * (effect + rng.normal(size=(N_PAIRS, N_UNITS))) for effect in effects]


def standardised(sets):
    """Divide by one SD a unit, pooled within sets."""
    deviations = np.concatenate([d - d.mean(axis=0) for d in sets])
    sd = np.sqrt((deviations**2).sum(axis=0) / sum(len(d) - 1 for d in sets))
    return [d / sd for d in sets]


def shared(first, second):
    """Mean product over units of two sets' mean maps; of a set with itself over different pairs alone."""
    products = [
        np.mean(x * y) for i, x in enumerate(first) for j, y in enumerate(second) if first is not second or i != j
    ]
    return np.mean(products)


def explained(sets, controls):
    """What the controls' maps, in a ridge of 5% of their mean diagonal, explain of what the first two share."""
    matrix = np.array([[shared(sets[a], sets[b]) for b in controls] for a in controls])
    ridge = 0.05 * np.trace(matrix) / len(controls) * np.eye(len(controls))
    first, second = ([shared(sets[k], sets[c]) for c in controls] for k in (0, 1))
    return np.array(first) @ np.linalg.inv(matrix + ridge) @ np.array(second)


def test_share_interval_and_z_follow_from_the_definition():
    drawn = planted()
    found = unique_share(drawn[0], drawn[1], drawn[2:], 999, np.random.default_rng(1))
    assert found.used == (True, True, False), "two controls have a map, one has none"
    sets, controls = standardised(drawn), [2, 3]
    own, other = shared(sets[0], sets[1]), explained(sets, controls)
    assert (found.own, found.explained) == (pytest.approx(own), pytest.approx(other))
    assert found.share == pytest.approx(1 - other / own)
    assert 0.65 < found.share < 0.85, "the maps overlap in half of the units: a squared cosine of one quarter"

    variances = np.zeros(2)
    for k in range(len(sets)):  # every set's pairs left out in turn; the SDs stay
        left = []
        for i in range(N_PAIRS):
            fewer = [np.delete(d, i, axis=0) if j == k else d for j, d in enumerate(sets)]
            without, of_controls = shared(fewer[0], fewer[1]), explained(fewer, controls)
            left.append([without - of_controls, 1 - of_controls / without])
        variances += (N_PAIRS - 1) / N_PAIRS * ((np.array(left) - np.mean(left, axis=0)) ** 2).sum(axis=0)
    assert found.z == pytest.approx((own - other) / np.sqrt(variances[0]))
    reach = 1.959964 * np.sqrt(variances[1])
    assert found.interval == pytest.approx((found.share - reach, found.share + reach), rel=1e-6)


def test_the_p_of_what_the_axis_shares_is_that_of_flips_of_the_replications_pairs():
    rng = np.random.default_rng(9)
    drawn = [rng.normal(0.08, 1, size=(N_PAIRS, N_UNITS)) for _ in range(2)]
    control = rng.normal(size=(N_PAIRS, N_UNITS))
    found = unique_share(*drawn, [control], 4_999, rng)
    first, second, _ = standardised([*drawn, control])
    along = second @ first.mean(axis=0)
    signs = np.random.default_rng(10).choice([-1, 1], size=(5_000, N_PAIRS))
    p = np.mean(signs @ along >= along.sum())
    assert p > 0.005 and found.own_p == pytest.approx(p, abs=4 * np.sqrt(2 * p * (1 - p) / 5_000))
