"""The figures of the card's results section against scipy and plain counting on small runs made by hand."""

import numpy as np
import pytest
from made import (
    BLOCKS,
    LAYOUT,
    N_SLICES,
    made_differences,
    made_run,
    scipy_t,
    with_degenerate,
)
from scipy import stats as reference

from plantain._files import plain, strict_record
from plantain.runs.analysis import LargeEffects, SplitHalf, Summary, ThresholdCount, analyze, blocks, summarize
from plantain.runs.units import Selection, SelectionError

# --- analysis ----------------------------------------------------------------------------------------------


def test_the_differences_come_back_and_t_and_d_follow():
    differences = made_differences()
    a = made_run(differences).analysis(Selection("card"))
    np.testing.assert_array_equal(a.differences, differences)
    np.testing.assert_array_equal(a.magnitudes[1], np.full((25, N_SLICES), 16.0))
    np.testing.assert_allclose(a.t, scipy_t(differences), rtol=1e-12)
    np.testing.assert_allclose(a.dz, scipy_t(differences) / 5, rtol=1e-12)  # sqrt(25) = 5
    assert a.table.block.tolist() == BLOCKS


def test_units_and_scope_reach_the_analysis():
    run = made_run(made_differences())
    heads = run.analysis(Selection("heads", "words"))
    assert (heads.table.units, heads.table.scope) == ("heads", "words")
    first_two_of_each_single = [i for i, b in enumerate(BLOCKS) if b.startswith("single") and (i - 4) % 4 < 2]
    np.testing.assert_array_equal(heads.differences, made_differences()[:, first_two_of_each_single])
    with pytest.raises(SelectionError):
        run.analysis(Selection("text-heads", "image"))


def test_signs_and_halves_are_replayed():
    differences = made_differences()
    run = made_run(differences)
    a = analyze(run.sums, LAYOUT, run.signs, run.halves)
    flipped = np.array([scipy_t(differences * row[:, None]) for row in run.signs])
    np.testing.assert_array_equal(a.null.counts, [(np.abs(flipped) > limit).sum(axis=1) for limit in (3, 5)])
    r = [reference.pearsonr(scipy_t(differences[h]), scipy_t(differences[~h])).statistic for h in run.halves]
    np.testing.assert_allclose(a.split_r, r, rtol=1e-11)


def test_the_ranking_has_the_tested_units_by_falling_t():
    a = made_run(with_degenerate(made_differences())).analysis(Selection("card"))
    assert np.flatnonzero(~a.tested).tolist() == [2, 9]
    assert sorted(a.ranking.tolist()) == [i for i in range(N_SLICES) if i not in (2, 9)]
    assert (np.diff(np.abs(a.t[a.ranking])) <= 0).all()
    assert a.ranking[-1] == 11  # t = 0 is tested, and last


# --- summary -----------------------------------------------------------------------------------------------


def test_the_summary_has_exactly_the_keys_that_others_rely_on():
    summary = plain(summarize(made_run(made_differences()).analysis(Selection("card"))))
    assert list(summary) == [
        "units", "scope", "n_units", "n_pairs", "thresholds", "large_effect", "split_half", "max_abs_t",
        "top_blocks", "degenerate_units",
    ]  # fmt: skip
    assert list(summary["thresholds"]) == ["3", "5"]
    for part in summary["thresholds"].values():
        assert set(part) == {"count", "percent", "null_p99", "ratio"}
    assert set(summary["large_effect"]) == {"threshold", "count", "percent"}
    assert set(summary["split_half"]) == {"median", "q25", "q75", "n_splits"}
    for row in summary["top_blocks"]:
        assert set(row) == {"block", "max_abs_t", "n_over_3", "n_units", "median_abs_d"}


def test_the_figures_are_those_of_plain_counting():
    differences = made_differences()
    run = made_run(differences)
    summary = summarize(run.analysis(Selection("card")))
    t = np.abs(scipy_t(differences))
    flipped = np.array([np.abs(scipy_t(differences * row[:, None])) for row in run.signs])
    over_3 = int((t > 3).sum())
    p99 = sorted((flipped > 3).sum(axis=1))[198]  # 200 flips: index ceil(0.99 x 199) = 198
    assert 0 < (t > 5).sum() < over_3 < N_SLICES and p99 > 0  # the case is not empty
    assert summary.thresholds[3] == ThresholdCount(over_3, 100 * over_3 / 24, p99, over_3 / p99)
    assert summary.thresholds[5].count == (t > 5).sum()
    assert summary.max_abs_t == pytest.approx(t.max(), rel=1e-12)
    assert (summary.n_units, summary.n_pairs, summary.degenerate_units) == (24, 25, ())
    q25, median, q75 = np.percentile(run.analysis(Selection("card")).split_r, [25, 50, 75])
    assert summary.split_half == SplitHalf(median, q25, q75, 20)


def test_a_large_effect_is_t_over_4_at_25_pairs():
    for n in (25, 9):
        differences = made_differences(n, seed=2, effect=2.0)
        large = summarize(made_run(differences).analysis(Selection("card"))).large_effect
        expected = (np.abs(scipy_t(differences)) > 0.8 * np.sqrt(n)).sum()  # |t| > 4 at n = 25, > 2.4 at n = 9
        assert 0 < expected < N_SLICES
        assert large == LargeEffects(0.8, expected, 100 * expected / 24)


def test_degenerate_units_are_named_and_leave_every_count_and_denominator():
    differences = made_differences()
    with_them = summarize(made_run(with_degenerate(differences)).analysis(Selection("card")))
    assert with_them.degenerate_units == ("joint[1] slice 0", "single[1] slice 1")
    t = np.abs(scipy_t(np.delete(with_degenerate(differences), [2, 9, 11], axis=1)))  # and a t of 0 for slice 11
    assert with_them.n_units == 22
    assert with_them.thresholds[3].percent == 100 * (t > 3).sum() / 22
    assert with_them.thresholds[5].percent == 100 * (t > 5).sum() / 22
    assert with_them.large_effect.percent == 100 * (t > 4).sum() / 22
    assert with_them.max_abs_t == pytest.approx(t.max(), rel=1e-12)
    rows = {row.block: row for row in blocks(made_run(with_degenerate(differences)).analysis(Selection("card")))}
    assert (rows["joint[1]"].n_units, rows["single[1]"].n_units, rows["single[4]"].n_units) == (1, 3, 4)


SUMMARIES = {
    "plain": made_differences(),
    "degenerate": with_degenerate(made_differences()),
    "no difference at all": np.zeros((25, N_SLICES)),
    "four pairs": made_differences(4, seed=3),
    "almost all degenerate": np.column_stack([np.full((8, N_SLICES - 4), 0.5), made_differences(8)[:, -4:]]),
}


@pytest.mark.parametrize("differences", SUMMARIES.values(), ids=SUMMARIES)
def test_every_summary_is_json_without_nan(differences):
    summary = summarize(made_run(differences).analysis(Selection("card")))
    assert strict_record(Summary, plain(summary), "summary") == summary


def test_a_null_of_zero_gives_no_ratio():
    differences = made_differences(effect=4.0)  # |t| over 5 is common here and unheard of under flips
    part = summarize(made_run(differences, n_permutations=20).analysis(Selection("card"))).thresholds[5]
    assert part.count > 10
    assert (part.null_p99, part.ratio) == (0, None)


def test_without_any_difference_nothing_counts_and_the_split_half_does_not_exist():
    summary = summarize(made_run(np.zeros((25, N_SLICES))).analysis(Selection("card")))
    assert summary.thresholds[3] == ThresholdCount(0, 0.0, 0, None)
    assert summary.split_half == SplitHalf(None, None, None, 0)
    assert (summary.max_abs_t, summary.n_units) == (0.0, 24)


# --- blocks ------------------------------------------------------------------------------------------------


def test_blocks_have_the_cards_columns():
    differences = made_differences()
    t = np.abs(scipy_t(differences))
    rows = blocks(made_run(differences).analysis(Selection("card")))
    assert sorted(row.block for row in rows) == sorted(set(BLOCKS))
    for row in rows:
        mine = t[[b == row.block for b in BLOCKS]]
        assert row.n_units == len(mine)
        assert row.n_over_3 == (mine > 3).sum()
        assert row.max_abs_t == pytest.approx(mine.max(), rel=1e-12)
        assert row.median_abs_d == pytest.approx(np.median(mine) / 5, rel=1e-12)


def test_the_top_blocks_are_the_five_with_the_largest_t():
    a = made_run(made_differences()).analysis(Selection("card"))
    largest = [row.max_abs_t for row in blocks(a)]
    assert largest == sorted(largest, reverse=True)
    assert len(largest) == 7
    assert [row.max_abs_t for row in summarize(a).top_blocks] == largest[:5]


def test_a_block_with_nothing_but_degenerate_units_is_left_out():
    differences = made_differences()
    differences[:, :2] = 0.5
    assert "joint[0]" not in {row.block for row in blocks(made_run(differences).analysis(Selection("card")))}
