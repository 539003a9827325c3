"""Stratified halves, Spearman-Brown and the split-half null, against their definitions."""

from collections import Counter

import numpy as np
import pytest

from plantain.stats import draw_halves, draw_signs, spearman_brown, split_half, split_half_null


def draw(n_pairs=25, n_units=60, seed=0):
    """Draw correlated differences with a pattern in them."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n_pairs, n_units)) + rng.normal(size=(n_pairs, 1)) + np.linspace(-1, 1, n_units)


# --- halves by category ------------------------------------------------------------------------------------

STRATA = [
    "aaaaabbbbbcccccdddddeeeee",
    "aaaabbbb",
    "abcdefghi",
    "aaaaaaa",
    "aabbbccccddddde",
    "abababababc",
]


@pytest.mark.parametrize("strata", STRATA)
def test_every_stratum_is_split_as_evenly_as_possible(strata):
    n = len(strata)
    halves = draw_halves(400, n, np.random.default_rng(0), strata)
    assert halves.dtype == bool and halves.shape == (400, n)
    assert set(halves.sum(axis=1)) == {n // 2}
    for label, size in Counter(strata).items():
        rows = [own == label for own in strata]
        assert set(halves[:, rows].sum(axis=1)) <= {size // 2, (size + 1) // 2}


def test_all_pairs_of_a_stratum_and_all_odd_strata_have_their_turn():
    halves = draw_halves(4000, 25, np.random.default_rng(1), STRATA[0])
    np.testing.assert_allclose(halves.mean(axis=0), 12 / 25, atol=0.04)  # five standard errors
    threes = halves.reshape(4000, 5, 5).sum(axis=2) == 3
    np.testing.assert_allclose(threes.mean(axis=0), 2 / 5, atol=0.04)
    assert set(threes.sum(axis=1)) == {2}  # two of five odd strata
    assert len({row.tobytes() for row in halves}) > 3900


def test_one_stratum_is_no_stratum_and_labels_need_not_be_sorted():
    labels = [3, 1, 3, 1, 3, 3, 1, 1]
    halves = draw_halves(50, 8, np.random.default_rng(2), labels)
    assert set(halves[:, [0, 2, 4, 5]].sum(axis=1)) == {2}
    np.testing.assert_array_equal(
        draw_halves(50, 8, np.random.default_rng(2), labels), draw_halves(50, 8, np.random.default_rng(2), labels)
    )
    assert set(draw_halves(50, 9, np.random.default_rng(2), ["x"] * 9).sum(axis=1)) == {4}
    with pytest.raises(ValueError, match="3 labels of strata do not fit 4 pairs"):
        draw_halves(5, 4, np.random.default_rng(0), "abc")


# --- Spearman-Brown ----------------------------------------------------------------------------------------


def test_spearman_brown_by_hand():
    np.testing.assert_allclose(spearman_brown([0.0, 0.5, 1.0, -0.5]), [0.0, 2 / 3, 1.0, -2.0], rtol=1e-15)
    assert spearman_brown(0.573) == pytest.approx(0.72854, abs=1e-5)  # 1.146 / 1.573
    assert np.isnan(spearman_brown(np.nan)) and spearman_brown(-1.0) == -np.inf
    assert spearman_brown(1 + 1e-15) == pytest.approx(1)  # a correlation off by rounding
    with pytest.raises(ValueError, match="between -1 and 1"):
        spearman_brown([0.2, 1.2])


def test_spearman_brown_predicts_the_reliability_of_twice_the_pairs():
    rng = np.random.default_rng(3)
    pattern = rng.normal(size=20_000)
    one, two, three, four = (pattern + 1.5 * rng.normal(size=20_000) for _ in range(4))
    predicted = spearman_brown(np.corrcoef(one, two)[0, 1])
    assert predicted == pytest.approx(np.corrcoef(one + two, three + four)[0, 1], abs=0.02)


# --- the reference for "above the null" ----------------------------------------------------------------------


@pytest.mark.parametrize("n_pairs", [4, 8, 25])
def test_the_null_is_the_median_of_split_half_on_flipped_data(n_pairs):
    diffs, rng = draw(n_pairs), np.random.default_rng(4)
    signs, halves = draw_signs(7, n_pairs, rng), draw_halves(5, n_pairs, rng)
    expected = [np.median(split_half(diffs * row[:, None], halves=halves)) for row in signs]
    np.testing.assert_allclose(split_half_null(diffs, signs, halves), expected, rtol=1e-9, atol=1e-12)


def test_units_that_are_constant_in_a_half_or_everywhere_zero_are_treated_as_in_split_half():
    diffs, rng = draw(9, 12, seed=5), np.random.default_rng(5)
    diffs[:, 2] = np.resize([0.1, -0.1], 9)  # some flips make it constant in a half
    diffs[:, 5] = 0
    signs, halves = draw_signs(40, 9, rng), draw_halves(9, 9, rng)
    flipped = [split_half(diffs * row[:, None], halves=halves) for row in signs]
    np.testing.assert_allclose(split_half_null(diffs, signs, halves), np.median(flipped, axis=1), rtol=1e-9)
    assert np.isnan(split_half_null(np.zeros((4, 3)), signs[:2, :4], np.array([[True, True, False, False]]))).all()


def test_the_null_lies_around_zero_and_an_effect_lies_above_it():
    diffs, rng = draw(25, 400, seed=6), np.random.default_rng(6)
    signs, halves = draw_signs(60, 25, rng), draw_halves(20, 25, rng)
    null = split_half_null(diffs, signs, halves)
    assert abs(np.median(null)) < 0.1
    assert np.median(split_half(diffs, halves=halves)) > null.max()


def test_bad_flips_and_halves_are_refused():
    diffs, rng = draw(6), np.random.default_rng(7)
    with pytest.raises(ValueError, match="signs must"):
        split_half_null(diffs, np.zeros((2, 6)), draw_halves(2, 6, rng))
    with pytest.raises(ValueError, match="halves must"):
        split_half_null(diffs, draw_signs(2, 6, rng), draw_halves(2, 5, rng))
    with pytest.raises(ValueError, match="3 pairs are too few"):
        split_half_null(diffs[:3], draw_signs(2, 3, rng), draw_halves(2, 3, rng))
