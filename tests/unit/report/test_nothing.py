"""A network whose recorded magnitudes are all zero: words in place of numbers, and no warning of numpy."""

import re
import warnings
from dataclasses import replace

import numpy as np
import pytest
from made import LAYOUT, N_SLICES, PAIR, made_capture, made_differences, made_run

from plantain.findings.across_runs.comparison import compare
from plantain.findings.new_pair import measure_pair, score_pair
from plantain.findings.published import load_published
from plantain.findings.unit import profile_unit
from plantain.probe.placebo import floor_percent
from plantain.report import export
from plantain.report.figures.catalogue import FIGURES, FigureError, OneRun, TwoRuns, figure
from plantain.report.model_card import results_section
from plantain.report.new_pair import measure_rows, measure_sentence, pair_text
from plantain.report.run import report_text
from plantain.report.statements import comparison_statements, corrected_statement, unit_statements
from plantain.runs.scopes import UNITS
from plantain.runs.units import Selection

CHOICES = [(units, scope) for units in UNITS for scope in ("all", "image" if units in ("card", "heads") else "all")]


def zeroed(run):
    """Return the run with nothing but zeros recorded."""
    streams = {name: np.zeros_like(values) for name, values in run.sums.streams.items()}
    return replace(run, sums=replace(run.sums, streams=streams), _analyses={}, inferences={})


@pytest.fixture(scope="module")
def nothing():
    return zeroed(made_run(np.zeros((25, N_SLICES))))


@pytest.fixture(autouse=True)
def strict():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def no_number_is_missing(text):
    assert not re.search(r"(?i)(?<![a-z])(nan|inf)(?![a-z])|[–-]%", text), text


@pytest.mark.parametrize(("units", "scope"), dict.fromkeys(CHOICES))
def test_a_report_says_it_in_words(nothing, units, scope):
    text = report_text(nothing, load_published(), Selection(units, scope))
    no_number_is_missing(text)
    assert "Mean change of the sum of squares: none, for every magnitude is zero." in text
    assert "Every head has a magnitude of zero: no difference can be stated in percent of it." in text


def test_a_card_says_it_in_words(nothing):
    section = results_section(nothing, "zero", "O/N", None, load_published(), ("heads.png", "heads"))
    no_number_is_missing(section)
    assert "Every head has a magnitude of zero" in section


def test_files_of_it_have_empty_cells(nothing):
    no_number_is_missing(export.report_json(nothing).decode())
    no_number_is_missing(export.units_csv(nothing).decode())


def test_one_unit_one_pair_and_two_runs_have_words(nothing):
    unit = profile_unit(nothing, "single[0] head 0")
    for statement in [*unit_statements(nothing, unit), corrected_statement(nothing, unit)]:
        no_number_is_missing(statement.text)
    still = made_capture(np.zeros(N_SLICES))
    for values in still.sums.streams.values():
        values[:] = 0
    no_number_is_missing(pair_text(score_pair(nothing, PAIR, still, Selection("heads")), nothing))
    measure = measure_pair(PAIR, still, LAYOUT, nothing.info, nothing.info.conditions)
    no_number_is_missing(measure_sentence(measure))
    assert measure_rows(measure) == []
    assert floor_percent(still, LAYOUT) == 0
    moved = made_run(made_differences())
    for statement in comparison_statements(compare(nothing, moved, Selection("heads")), nothing, moved, "heads"):
        no_number_is_missing(statement.text)


@pytest.mark.parametrize("kind", [OneRun, TwoRuns])
def test_figures_of_it_have_no_missing_number(nothing, kind):
    of = OneRun(nothing, Selection("heads"), "single[0] head 0")
    of = of if kind is OneRun else TwoRuns((nothing, zeroed(nothing)), ("one", "two"), Selection("heads"))
    for name in FIGURES[kind]:
        try:
            found = figure(name, of)
        except FigureError:  # said to the reader
            continue
        no_number_is_missing(found.svg + found.title + found.caption)
