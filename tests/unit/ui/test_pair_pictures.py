"""A run's pictures on the page: under the prompts that they are of, with what they are and whose."""

import re
from dataclasses import replace

import pytest
from made import with_directions
from pictured import draw_into

from plantain.prompts.sets import PromptPair
from plantain.report.figures.catalogue import OneRun
from plantain.runs.info import PairRecord
from plantain.runs.io import load_run, save_run
from plantain.runs.units import Selection
from plantain.ui.tabs.pairs import prompts_html


@pytest.fixture
def folder(made_run, tmp_path):
    return save_run(with_directions(made_run()), tmp_path / "run")


def shown(run):
    return prompts_html(OneRun(run, Selection("heads", "image")))


def test_a_run_without_pictures_has_none_on_the_page(folder, made_run):
    for run in (load_run(folder), made_run()):
        assert "<img" not in shown(run) and "Pictures by" not in shown(run)


def test_each_pair_shows_its_two_sides_with_its_prompts_as_their_text(folder):
    draw_into(folder)
    run = load_run(folder)
    page = shown(run)
    items = re.findall(r"<li.*?</li>", page, re.S)
    for item, record in zip(items[:2], run.pairs, strict=False):
        alts = re.findall(r'<img src="data:image/webp;base64,[^"]{50,}" loading="lazy" alt="([^"]*)"', item)
        assert alts == [f"Drawn: {record.pair.positive}", f"Drawn: {record.pair.negative}"]
        assert f"<figcaption>Drawn: {run.info.positive} | {run.info.negative}</figcaption>" in item
    assert all("<img" not in item for item in items[2:])
    said = re.search(r"<p>(Pictures by [^<]*)</p>", page)[1]
    assert run.info.model in said and "64 px" in said and "2 steps, guidance 2" in said and "blurry" not in said


def test_edited_and_expected_pictures_say_so(folder):
    draw_into(folder, kind="expected", edit="patch-top-1")
    page = shown(load_run(folder))
    assert page.count("<figcaption>Expected, patch, 1 head (top:1): ") == 2
    assert "so these are blurry" in page and "Drawn: in" not in page


def test_damaged_pictures_are_said_and_the_prompts_stay(folder):
    settings = draw_into(folder)
    (folder / "images" / settings.pictures[0].file).write_bytes(b"<script>")
    page = shown(load_run(folder))
    assert "The run&#x27;s pictures are not shown." in page and "<img" not in page and page.count("<li") == 4


def test_text_beside_pictures_is_never_markup(folder):
    run = load_run(folder)
    bad = PromptPair("pair-0", "c", '"><img src=x onerror=alert(1)>', "<b>a</b>")
    draw_into(folder)
    page = shown(replace(run, pairs=(PairRecord(bad, 1, 1), *run.pairs[1:])))
    assert "<img src=x" not in page and "<b>a" not in page and "onerror=alert(1)&gt;" in page
