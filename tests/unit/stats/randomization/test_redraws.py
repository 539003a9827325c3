"""Ranks among redraws, and the permutations that draw them, against loops that share no code with them."""

import itertools

import numpy as np
import pytest

from plantain.stats import (
    agreement_test,
    agreement_under_flips,
    direction_grams,
    draw_permutations,
    draw_signs,
    equal_strata,
    permute_in_order,
    redraw_p,
)


def test_p_is_the_rank_counted_one_by_one():
    rng = np.random.default_rng(0)
    chosen, redraws = rng.normal(size=5).round(1), rng.normal(size=(99, 5)).round(1)  # rounded: some are equal
    assert any(value in redraws[:, i] for i, value in enumerate(chosen))
    for i, p in enumerate(redraw_p(chosen, redraws)):
        reaching = 0
        for value in redraws[:, i]:
            reaching += bool(value >= chosen[i])
        assert p == (1 + reaching) / 100


def test_no_p_is_below_its_floor_and_rounding_is_a_tie():
    assert redraw_p(9.0, np.zeros(19)) == 0.05
    assert redraw_p(0.3, np.array([0.1 + 0.2, 0.2])) == 2 / 3
    assert redraw_p(0.1 + 0.2, np.array([0.3, 0.2])) == 2 / 3


@pytest.mark.parametrize(
    ("chosen", "redraws"),
    [(1.0, np.ones((3, 2))), (1.0, np.ones(0)), (np.nan, np.ones(3)), (1.0, np.array([np.inf]))],
)
def test_what_has_no_rank_is_refused(chosen, redraws):
    with pytest.raises(ValueError, match=r"redraws must|NaN"):
        redraw_p(chosen, redraws)


def test_permutations_stay_in_their_groups_and_all_come_as_often():
    groups = np.array([0, 1, 0, 2, 1, 0])
    drawn = draw_permutations(groups, 12_000, np.random.default_rng(0))
    seen: dict[tuple, int] = {}
    for row in drawn.tolist():
        for label, other in enumerate(row):
            assert groups[label] == groups[other]
        assert sorted(row) == list(range(6))
        seen[tuple(row)] = seen.get(tuple(row), 0) + 1
    assert len(seen) == 3 * 2 * 2 * 1  # 3! of the first group, 2! of the second
    assert all(abs(n - 1000) < 5 * np.sqrt(1000) for n in seen.values())


@pytest.mark.parametrize("n", [1, 11, 12, 23, 48, 100, 600])
def test_strata_are_equal_and_of_neighbours(n):
    strata = equal_strata(n).tolist()
    sizes = [len(list(group)) for _, group in itertools.groupby(strata)]
    assert strata == sorted(strata) and strata[0] == 0
    assert max(sizes) - min(sizes) <= 1
    assert len(sizes) == {1: 1, 11: 1, 12: 1, 23: 1, 48: 4, 100: 8, 600: 10}[n]


def test_places_are_carried_over_to_the_labels_that_stand_there():
    rng = np.random.default_rng(1)
    order, permutations = rng.permutation(7), np.array([rng.permutation(7) for _ in range(5)])
    found = permute_in_order(permutations, order)
    for row, permutation in zip(found, permutations, strict=True):
        for place in range(7):
            assert row[order[place]] == order[permutation[place]]


def test_agreement_under_flips_is_that_of_pairs_with_exchanged_sides():
    rng = np.random.default_rng(2)
    vectors = rng.normal(size=(2, 7, 5, 4)) + 1
    signs = draw_signs(6, 7, rng)
    found = agreement_under_flips(direction_grams(vectors), signs)
    for row, flips in zip(found, signs, strict=True):
        exchanged = np.where((flips < 0)[None, :, None, None], vectors[::-1], vectors)
        np.testing.assert_allclose(row, agreement_test(direction_grams(exchanged), signs).z, atol=1e-9)


def test_a_silent_head_agrees_in_nothing():
    assert agreement_under_flips(np.zeros((1, 4, 4)), np.ones((1, 4))).tolist() == [[0.0]]
