"""The tab that compares several axes, as a visitor sees it in Chromium."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from browser import ROOT, app_command, serving
from made import SETS, made
from visit import CUT, download, open_page, pick, serious, settle, show_tab

from plantain.runs.capture import SumsOfSquares
from plantain.runs.io import save_run

STAND_IN = {"weights": "stand-in", "model": "made-up"}


def save(run, folder):
    """Save a made-up run of one of the project's sets as a run is saved: with the set's pairs, in single precision."""
    pairs = SETS[folder.name.removeprefix("a-").removesuffix("-old")].pairs
    records = tuple(replace(record, pair=pair) for record, pair in zip(run.pairs, pairs, strict=True))
    streams = {stream: values.astype(np.float32) for stream, values in run.sums.streams.items()}
    save_run(replace(run, pairs=records, sums=SumsOfSquares(streams, run.sums.tokens)), folder)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of every set, more than are compared without a click, an older one, and one that stands alone."""
    folder = tmp_path_factory.mktemp("runs")
    for name in SETS:
        save(made(name, 1.5 if "moral" in name else 0.0, **STAND_IN), folder / f"a-{name}")
    save(made("tempo", date="2019-01-01T00:00:00+00:00", **STAND_IN), folder / "a-tempo-old")
    shutil.copytree(ROOT / "precomputed" / "tiny-random", folder / "tiny-random")
    return folder


@pytest.fixture(scope="module")
def url(tmp_path_factory, runs):
    environment = {"PLANTAIN_MODEL": "tiny-random", "PLANTAIN_RUNS": str(runs)}
    with serving(app_command(), tmp_path_factory.mktemp("app") / "log", **environment) as url:
        yield url


@pytest.fixture
def visit(browser, url):
    """Return a function that opens an address; at the end no page must have had a console error."""
    contexts, errors = [], []

    def opened(width=1280, mode="light", **query):
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, color_scheme=mode))
        page = contexts[-1].new_page()
        page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: errors.append(str(e)))
        open_page(page, url, run="a-moral_valence", __theme=mode, **query)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert errors == []


def test_axes_are_compared_when_asked_for_and_shown_at_once_from_then_on(visit, runs):
    page = visit(tab="atlas")  # a link of an earlier version opens the section
    page.wait_for_selector("#atlas-runs >> text=16 runs are compared")
    said = page.locator("#atlas-runs").text_content()  # folded
    assert "a-tempo-old is of the same prompt set as a-tempo, which is newer." in said
    assert page.inner_text("#make-atlas").startswith("Compare the axes (about ")
    assert page.locator("#atlas svg.pl-svg").count() == 0 and page.locator("#atlas-figure-svg").count() == 0
    page.click("#make-atlas")
    page.wait_for_selector("#atlas .pl-sentence", timeout=60_000)
    page.wait_for_selector("#make-atlas", state="hidden")
    assert len(list(runs.glob(".atlas-*.json"))) == 1  # where the command line finds it too
    assert page.locator("#atlas figure svg.pl-narrow[role=img][aria-label]").count() == 4
    assert page.locator("#atlas .pl-kept").count() > 1
    name, content = download(page, "Figure as SVG")
    assert name == "plantain-atlas-card-all-replication.svg" and b"STAND-IN" in content
    assert b"95% interval" in content
    name, content = download(page, "Figure as PNG")
    assert name.endswith("-replication.png") and content.startswith(b"\x89PNG")
    pick(page, "Units", "true heads")  # not compared yet
    page.wait_for_selector("#make-atlas")
    assert page.locator("#atlas svg.pl-svg").count() == 0
    pick(page, "Units", "card's slices")
    page.wait_for_selector("#atlas .pl-sentence")
    pick(page, "Run", "tiny-random (stand-in)")  # a run of another model, alone
    page.wait_for_selector("#atlas-runs >> text=an atlas needs at least two runs")
    assert "--model tiny-random --prompts prompts/*.toml" in page.inner_text("#atlas-runs .pl-command")
    assert not page.is_visible("#make-atlas") and page.locator("#atlas svg.pl-svg").count() == 0


def test_a_comparison_is_given_up_where_the_choice_changes(visit, runs):
    page = visit(tab="evidence", section="axis", scope="image")  # of all slices: it takes longest
    before = len(list(runs.glob(".atlas-*.json")))
    page.click("#make-atlas")
    pick(page, "Scope", "words only")
    page.wait_for_selector("#make-atlas:not([disabled])")
    page.wait_for_selector("#atlas-progress :is(progress, [role=alert])", state="detached")
    settle(page)
    assert page.inner_text("#atlas-progress").strip() == ""
    assert page.locator("#atlas svg.pl-svg").count() == 0
    page.click("#make-atlas")
    page.wait_for_selector("#atlas .pl-sentence", timeout=60_000)
    # Of the second choice; the first is cached too where its last step was done when it was given up.
    assert before + 1 <= len(list(runs.glob(".atlas-*.json"))) <= before + 2


@pytest.mark.parametrize(("width", "mode"), [(390, "dark"), (1280, "light")])
def test_an_atlas_is_accessible_and_nothing_is_cut(visit, width, mode):
    page = visit(width, mode)
    show_tab(page, "Evidence", "axis")
    page.wait_for_selector("#atlas .pl-sentence", timeout=60_000)  # kept by the first test
    page.evaluate("document.querySelectorAll('#atlas details').forEach(d => d.open = true)")
    page.wait_for_selector("#model-status >> text=Loaded", timeout=60_000)
    settle(page)
    assert [*serious(page), *page.evaluate(CUT)] == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
