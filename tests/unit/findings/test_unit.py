"""One unit of a run, against the plain arithmetic, and in words."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from plantain.findings.unit import find_unit, profile_unit
from plantain.report.figures.distributions import split_histogram
from plantain.report.figures.rows import scope_bars, unit_dots
from plantain.report.statements import corrected_statement, unit_statements
from plantain.runs.scopes import UNITS, scopes_of
from plantain.runs.units import Selection, SelectionError


@pytest.mark.parametrize("units", UNITS)
def test_every_kind_of_unit_is_found_by_its_name(moral_run, units):
    for name in moral_run.analysis(Selection(units)).table.names[
        :: max(1, moral_run.analysis(Selection(units)).table.n_units // 7)
    ]:
        assert find_unit(moral_run, name) == units


def test_a_unit_that_is_not_there_is_named(moral_run):
    with pytest.raises(SelectionError, match="^This run has no unit “single\\[99\\] head 0”"):
        profile_unit(moral_run, "single[99] head 0")


def test_a_close_up_is_what_scipy_says_of_the_differences(moral_run):
    a = moral_run.analysis(Selection("heads"))
    seen = profile_unit(moral_run, "single[3] head 2")
    positive, negative = a.magnitudes[:, :, seen.index]
    expected = scipy_stats.ttest_rel(positive, negative)
    assert seen.t == pytest.approx(expected.statistic, rel=1e-9)
    assert seen.dz == pytest.approx(expected.statistic / 5, rel=1e-9)
    assert seen.interval == pytest.approx(expected.confidence_interval(0.95), rel=1e-9)
    assert seen.mean == pytest.approx(np.mean(positive - negative), rel=1e-9)
    assert seen.percent == pytest.approx(100 * np.mean(positive - negative) / np.mean([positive, negative]), rel=1e-9)
    assert seen.rank == 1 + int((np.abs(a.t) > abs(seen.t)).sum()) and seen.n_units == 100
    assert seen.p == pytest.approx(moral_run.inference(Selection("heads")).columns["p_exact"][seen.index], rel=1e-9)


def test_scopes_and_slices_are_the_runs_own(moral_run):
    seen = profile_unit(moral_run, "single[3] head 2", "padding")
    assert list(seen.scopes) == scopes_of("heads")
    for scope, t in seen.scopes.items():
        a = moral_run.analysis(Selection("heads", scope))
        assert t == pytest.approx(a.t[a.table.names.index("single[3] head 2")], rel=1e-12)
    card = moral_run.analysis(Selection("card", "padding"))
    inside = (card.table.block == "single[3]") & (card.table.head == 2)
    assert list(seen.slices.values()) == card.t[inside].tolist() and len(seen.slices) == inside.sum() > 0


def test_a_scope_that_the_unit_does_not_have_becomes_all_and_says_so(moral_run):
    seen = profile_unit(moral_run, "joint[0] head 1", "words")
    assert seen.scope == "all" and list(seen.scopes) == ["all", "image"]
    assert profile_unit(moral_run, "joint[0] text head 1", "image").scope == "all"


def test_the_statements_have_the_numbers(moral_run):
    seen, inference = profile_unit(moral_run, "single[3] head 2"), moral_run.inference(Selection("heads"))
    lines = unit_statements(moral_run, seen)
    assert f"t = {seen.t:+.2f}" in lines[0].text and f"rank {seen.rank} of 100" in lines[0].text
    assert ("larger under “helping”" in lines[1].text) == (seen.mean > 0)
    size = 100 * np.sqrt(np.mean(seen.differences**2)) / seen.magnitudes.mean()
    assert f"size (RMS) of {size:.2f}% of the magnitude" in lines[2].text
    assert f"p = {seen.p:.2g}, exact" in lines[3].text
    assert f"family-wise p = {inference.columns['p_fwer'][seen.index]:.2g}" in corrected_statement(moral_run, seen).text


def test_every_difference_is_a_dot_with_its_prompts(moral_run):
    seen = profile_unit(moral_run, "single[3] head 2")
    svg = "".join(unit_dots(seen, moral_run.pairs, ("helping", "ignoring"), 330).marks)
    assert svg.count("<circle") == 25 + 1  # the legend's
    for record, difference in zip(moral_run.pairs, seen.differences, strict=True):
        assert f"<title>{record.pair.id}: {difference:+.4g}. {record.pair.positive[:20]}" in svg.replace("&#x27;", "'")


def test_bars_and_histograms_take_what_does_not_exist():
    bars = "".join(scope_bars({"all": 2.0, "words": float("nan"), "image": -1.0}, ("yes", "no"), 330).marks)
    assert bars.count(">no t<") == 1 and bars.count("<rect") == 2
    assert "pl-plus" in bars.split("all: +2.00")[1].split("</g>")[0] and ">−1.00<" in bars
    svg = "".join(split_histogram(np.array([0.5, np.nan, 0.6]), np.array([np.nan]), 330).marks)
    assert "median 0.550" in svg and "flipped data (0)" in svg
