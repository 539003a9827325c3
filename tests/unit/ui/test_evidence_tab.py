"""The sections of evidence: one figure and little to read before anything is opened, and names for people."""

import re
from dataclasses import replace

import pytest
from layouts import on_phone, prose, unopened
from made import small_run, with_directions

from plantain.findings.held_out import held_out
from plantain.findings.known import Known, known_truths
from plantain.findings.pairs import by_pair
from plantain.findings.published import load_published
from plantain.findings.told import LEFT_OUT, Told
from plantain.findings.unit import profile_unit
from plantain.prompts.sets import first_set
from plantain.report.figures.catalogue import OneRun, TwoRuns
from plantain.report.tables import (
    categories_frame,
    pairs_frame,
    people_frame,
    repeats_frame,
    top_units_frame,
)
from plantain.runs.units import Selection
from plantain.ui.tabs.chance import counts_html, halves_html
from plantain.ui.tabs.compare import _content
from plantain.ui.tabs.controls import NONE_HERE, controls_html, sentence
from plantain.ui.tabs.pairs import pairs_html, prompts_html
from plantain.ui.tabs.unit import figures_html, words_html

HEADS = Selection("heads", "image")


def sections(run, other):
    """Return what each section says first, with the run's own words."""
    of, seen = OneRun(run, HEADS), profile_unit(run, run.analysis(HEADS).table.names[0], "image")
    two = TwoRuns((run, other), ("one", "other"), HEADS)
    compared = _content(two, load_published())
    return {
        "chance": counts_html(run, HEADS) + halves_html(run, HEADS),
        "pairs": pairs_html(of) + prompts_html(of),
        "head": words_html(run, seen, "<p>links</p>") + figures_html(run, seen),
        "compare": "".join(compared[:3]),
    }


@pytest.mark.parametrize("name", ["chance", "pairs", "head", "compare"])
def test_a_section_has_one_figure_and_few_words_before_anything_is_opened(moral_run, other_run, name):
    page = sections(with_directions(moral_run), other_run)[name]
    assert unopened(on_phone(page)).count("<svg") == 1
    assert 5 < len(prose(page)) < 100, prose(page)
    assert on_phone(page).count("<svg") >= 1 and page.count("<details") == page.count("</details>") >= 2


def test_the_page_calls_columns_by_words_and_files_by_their_names(moral_run):
    run, selection = with_directions(moral_run), Selection("heads", "image")
    units = top_units_frame(run.analysis(selection), 5, inference=run.inference(selection))
    frames = (units, pairs_frame(by_pair(run, selection)), categories_frame(run, selection), repeats_frame(run))
    for frame in frames:
        shown = people_frame(frame)
        assert not [name for name in shown.columns if "_" in name] and len(shown) == len(frame)
    assert list(units.columns)[:2] == ["rank", "unit"] and "p_fwer" in units
    words = people_frame(units)
    assert list(words["p, corrected for all"]) == [float(f"{p:.3g}") for p in units["p_fwer"]]
    assert all(len(f"{abs(t):g}".replace(".", "")) <= 4 for t in words["t"])


# --- controls ----------------------------------------------------------------------------------------------


def of_kind(run, weights, prompts="moral"):
    sha256 = first_set("picture-book" if prompts == "book" else "").sha256
    info = replace(run.info, weights=weights, prompts_sha256=sha256)
    return replace(run, info=info, _analyses={}, inferences={}, _directed={})


def told(k, n):
    return Told(k, n, 0.01, 0.0, LEFT_OUT, "heads", "image")


def test_models_in_which_the_truth_is_known_come_first_those_with_something_to_find():
    runs = {
        "random": of_kind(small_run(0), "stand-in"),
        "klein": of_kind(small_run(1), "pretrained"),
        "reservoir": of_kind(small_run(2), "reservoir"),
        "book": of_kind(small_run(3), "practice", "book"),
        "untrained": of_kind(small_run(4), "untrained"),
        "other set": replace(small_run(5), info=replace(small_run(5).info, weights="practice", role="control")),
    }
    found = known_truths(runs)
    assert [(one.name, one.is_there, one.told) for one in found] == [
        ("book", True, None), ("untrained", False, None), ("random", False, None)
    ]  # fmt: skip
    headline = held_out(runs["untrained"])  # computed where it is shown first
    assert [one.told for one in known_truths(runs)] == [None, headline, None]


def test_every_model_is_a_row_with_its_count_in_its_place():
    known = [
        Known("book", of_kind(small_run(3), "practice", "book"), told(24, 25)),
        Known("<b>random", of_kind(small_run(0), "stand-in"), told(12, 25)),
        Known("slow", of_kind(small_run(1), "untrained"), None),
    ]
    assert sentence(known) == (
        "Told right: 24 of 25 where the model was trained to draw it; 12 of 25 where the weights are random; 1 being "
        "computed."
    )
    page = controls_html(known)
    shown = on_phone(page)
    ticks = re.findall(r'<text x="([\d.]+)"[^>]*text-anchor="middle"[^>]*>(\d+)<', shown)
    (x0, v0), (x1, v1) = [(float(x), int(v)) for x, v in (ticks[0], ticks[-1])]
    places = {percent: x0 + (percent - v0) * (x1 - x0) / (v1 - v0) for percent in (96, 48, 100 * 8 / 25, 100 * 17 / 25)}
    dots = re.findall(r'</title><circle class="(pl-kept|pl-turned)" cx="([\d.]+)"', shown)
    assert [look for look, _ in dots] == ["pl-kept", "pl-turned"]
    assert [float(x) for _, x in dots] == pytest.approx([places[96], places[48]], abs=0.2)
    bands = re.findall(r'class="pl-band" x="([\d.]+)" y="[\d.]+" width="([\d.]+)" height="18"', shown)
    assert len(bands) == 2
    left, width = map(float, bands[0])
    assert (left, left + width) == pytest.approx((places[32.0], places[68.0]), abs=0.2)
    assert "24 of 25" in shown and ">practice model<" in shown and ">…<" in shown and "<b>random" not in page
    assert len(prose(page)) < 60 and "practice model (drawings" in page and "STAND-IN" in page


def test_without_such_a_run_that_is_said():
    assert NONE_HERE in controls_html([])
