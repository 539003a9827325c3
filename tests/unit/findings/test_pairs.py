"""The pairs behind a result, against scipy and plain loops."""

from dataclasses import replace

import numpy as np
import pytest
from made import N_SLICES, made_differences, made_run, rounded, scipy_t, with_degenerate
from scipy import stats as reference

from plantain.findings.pairs import against_tokens, by_category, by_kind, by_pair
from plantain.report.statements import pair_statements
from plantain.runs.run import Run
from plantain.runs.units import Selection
from plantain.stats import conformal_scores

LABELS = ["a"] * 5 + ["b"] * 9 + ["c"] * 10 + ["alone"]


def labelled(run: Run) -> Run:
    """Give the pairs categories, and prompts that differ at other places and in other numbers of tokens."""
    pairs = tuple(
        replace(record, pair=replace(record.pair, category=label), first_difference=40 - i, n_differing=1 + i % 4)
        for i, (record, label) in enumerate(zip(run.pairs, LABELS, strict=True))
    )
    return replace(run, pairs=pairs)


@pytest.fixture(scope="module")
def run():
    return labelled(made_run(made_differences(25, seed=2)))


def test_a_categorys_t_is_that_of_its_pairs_alone(run):
    diffs = run.analysis().differences
    parts = by_category(run)
    assert [(p.name, p.n_pairs) for p in parts] == [("a", 5), ("b", 9), ("c", 10), ("alone", 1)]
    for part in parts[:3]:
        mine = np.array(LABELS) == part.name
        np.testing.assert_allclose(part.t, scipy_t(diffs[mine]), rtol=1e-10)
        assert part.median_abs_t == pytest.approx(np.median(np.abs(scipy_t(diffs[mine]))))
        assert part.r_others == pytest.approx(np.corrcoef(scipy_t(diffs[mine]), scipy_t(diffs[~mine]))[0, 1])


def test_a_category_of_one_pair_has_no_t(run):
    alone = by_category(run)[-1]
    assert np.isnan(alone.t).all() and np.isnan(alone.median_abs_t) and np.isnan(alone.r_others)


def test_kinds_are_described_like_categories_where_every_pair_has_one(run):
    kinds = dict(zip("abc", ("neglect", "exclusion", "wrongdoing"), strict=True)) | {"alone": "wrongdoing"}
    pairs = [replace(record, pair=replace(record.pair, kind=kinds[record.pair.category])) for record in run.pairs]
    parts = by_kind(replace(run, pairs=tuple(pairs)))
    assert [(p.name, p.n_pairs) for p in parts] == [("neglect", 5), ("exclusion", 9), ("wrongdoing", 11)]
    np.testing.assert_array_equal(parts[0].t, by_category(run)[0].t)
    np.testing.assert_allclose(parts[2].t, scipy_t(run.analysis().differences[14:]), rtol=1e-10)
    assert by_kind(run) == by_kind(replace(run, pairs=(*pairs[:24], run.pairs[24]))) == []


def test_a_pair_has_its_score_its_size_and_the_counts_without_it(run):
    diffs, parts = run.analysis().differences, by_pair(run)
    np.testing.assert_allclose([p.score for p in parts], conformal_scores(diffs))
    scaled = diffs / np.sqrt((diffs**2).mean(axis=0))
    np.testing.assert_allclose([p.size for p in parts], np.sqrt((scaled**2).mean(axis=1)))
    assert np.mean([p.size**2 for p in parts]) == pytest.approx(1)
    for i, part in enumerate(parts):
        t = np.abs(scipy_t(np.delete(diffs, i, axis=0)))
        assert part.without == ((t > 3).sum(), (t > 5).sum())
        assert (part.category, part.first_difference, part.n_differing) == (LABELS[i], 40 - i, 1 + i % 4)


def test_a_pair_twice_as_large_has_twice_the_size():
    diffs = made_differences(25, seed=3)
    diffs[4] = 0
    doubled = np.abs(diffs[5]) + 8.0
    diffs[5] = doubled
    sizes = [p.size for p in by_pair(labelled(made_run(diffs, base=64.0)))]
    assert sizes[4] == 0 and np.argmax(sizes) == 5


def test_size_score_and_t_are_set_against_position_and_number_of_tokens(run):
    parts, diffs = by_pair(run), run.analysis().differences
    position, number = against_tokens(run, parts)
    assert position.what == "position of the first differing token" and number.what == "number of differing tokens"
    sizes, scores = [p.size for p in parts], [p.score for p in parts]
    for relation, values in ((position, 40 - np.arange(25)), (number, 1 + np.arange(25) % 4)):
        assert relation.rho_size == pytest.approx(reference.spearmanr(values, sizes).statistic)
        assert relation.rho_score == pytest.approx(reference.spearmanr(values, scores).statistic)
    low, high = position.halves
    assert low == (12, pytest.approx(np.median(np.abs(scipy_t(diffs[13:])))))  # the last pairs differ first
    assert high == (13, pytest.approx(np.median(np.abs(scipy_t(diffs[:13])))))
    few = 1 + np.arange(25) % 4 <= 2  # pairs of one value stay together: 13 have one or two tokens, 12 more
    low, high = number.halves
    assert low == (13, pytest.approx(np.median(np.abs(scipy_t(diffs[few])))))
    assert high == (12, pytest.approx(np.median(np.abs(scipy_t(diffs[~few])))))


def test_pairs_that_all_differ_alike_have_no_rank_correlation():
    run = made_run(made_differences())
    position, number = against_tokens(run, by_pair(run))
    assert np.isnan([position.rho_size, position.rho_score, number.rho_size, number.rho_score]).all()
    lines = pair_statements(run, by_pair(run), Selection("card", "all"))
    assert position.halves is None and number.halves is None
    assert sum("it is the same in all pairs" in line.text for line in lines) == 2


@pytest.mark.parametrize("differences", [np.zeros((25, N_SLICES)), with_degenerate(made_differences())])
def test_runs_without_differences_or_with_degenerate_units_are_described(differences):
    run = labelled(made_run(rounded(differences)))
    parts = by_pair(run)
    assert np.isfinite([[p.score, p.size] for p in parts]).all()
    assert len(by_category(run)) == 4 and len(pair_statements(run, parts, Selection("card", "all"))) == 3
