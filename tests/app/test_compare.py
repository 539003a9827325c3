"""Two runs side by side and the pairs' prompts, as a visitor sees them in Chromium."""

import json
import re
import shutil
import subprocess
import sys
from functools import cache

import numpy as np
import pytest
from browser import ROOT, app_command, serving
from visit import all_words, download, open_page, pick, show_tab, unfold

from plantain.runs.io import load_run, save_run
from plantain.runs.units import Selection


@pytest.fixture(scope="module")
def runs(tmp_path_factory, other_run):
    """The shipped runs, and one of the stand-in with another seed and size."""
    folder = tmp_path_factory.mktemp("runs")
    for name in ("tiny-random", "untrained-klein-4b"):
        shutil.copytree(ROOT / "precomputed" / name, folder / name)
    save_run(other_run, folder / "other-seed")
    return folder


@pytest.fixture(scope="module")
def url(tmp_path_factory, runs):
    environment = {"PLANTAIN_MODEL": "tiny-random", "PLANTAIN_RUNS": str(runs)}
    with serving(app_command(), tmp_path_factory.mktemp("app") / "log", **environment) as url:
        yield url


@pytest.fixture(params=[1280])
def page(browser, url, request):
    """An open page, 1280 px wide if nothing else is asked; at the end it must have had no console error."""
    context = browser.new_context(viewport={"width": request.param, "height": 900})
    page, errors = context.new_page(), []
    page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda e: errors.append(str(e)))
    open_page(page, url)
    yield page
    context.close()
    assert errors == []


@cache
def reported(folder, units="card"):
    command = [sys.executable, "-m", "plantain", "report", str(folder), "--json", "--units", units]
    return json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout)


def figures(report):
    """The report's figures as the page writes them, in the order of its table."""
    counts = [report["thresholds"]["3"], report["thresholds"]["5"], report["large_effect"]]
    return [
        *(f"{part['count']:,} ({part['percent']:.1f}%)" for part in counts),
        f"{report['split_half']['median']:.3f}",
        f"{report['max_abs_t']:.2f}",
    ]


def open_comparison(page):
    """Open the section and its maps, and wait for what it shows first."""
    show_tab(page, "Evidence", "compare")
    page.wait_for_selector("#compare-figures table", state="attached")  # folded
    unfold(page, "#compare-maps")


def wait_for_words(page, words):
    """Wait for what is said of both runs, folded."""
    page.wait_for_selector(f"#compare-figures >> text={words}", state="attached")


def columns(page):
    """The two runs' figures on the page, which are folded."""
    all_words(page, "#compare-figures")
    rows = page.locator("#compare-figures tbody tr").all()
    return [[row.locator("td").nth(i).inner_text().splitlines()[0] for row in rows] for i in (0, 1)]


def test_the_figures_of_both_runs_are_the_command_lines(page, runs):
    open_comparison(page)
    assert "(untrained control)" in page.input_value("#other-run input")
    assert columns(page) == [figures(reported(runs / name)) for name in ("tiny-random", "untrained-klein-4b")]
    shown = page.inner_text("#comparison")
    assert "no unit of one is a unit of the other" in shown and "r =" not in all_words(page, "#compare-figures")
    assert "STAND-IN" in shown and "UNTRAINED" in shown
    maps = [page.locator(f"#compare-{which} [data-u]").count() for which in ("first", "second", "difference")]
    assert maps == [100, 600, 0] and page.locator("#compare-density svg").count() == 0


def test_runs_of_one_model_are_compared_unit_by_unit_and_follow_the_choice(page, runs):
    open_comparison(page)
    pick(page, "Compare with", "other-seed")
    wait_for_words(page, "no replication on new pairs")
    assert columns(page) == [figures(reported(runs / name)) for name in ("tiny-random", "other-seed")]
    assert "seed 0 / 3" in page.inner_text("#comparison")
    pick(page, "Units", "true heads")
    wait_for_words(page, "Correlation of t over 100 units")
    a, b = (load_run(runs / name).analysis(Selection("heads")) for name in ("tiny-random", "other-seed"))
    shown = all_words(page, "#compare-figures")
    assert f"r = {np.corrcoef(a.t, b.t)[0, 1]:.3f}" in shown
    tops = [set(np.argsort(-abs(t))[:20].tolist()) for t in (a.t, b.t)]
    assert f"{len(tops[0] & tops[1])} are in both" in shown and "would share 4 on average" in shown
    cell = page.locator("#compare-difference [data-u='joint[2] head 1']").get_attribute("aria-label")
    assert float(re.search(r"= ([+-][\d.]+)", cell)[1]) == pytest.approx((a.t - b.t)[9], abs=0.006)
    titles = page.locator("#compare-density svg.pl-narrow title").all_text_contents()
    assert sum(int(re.match(r"[\d,]+", title)[0]) for title in titles) == 100


def test_the_figures_of_two_runs_can_be_kept_where_there_are_any(page):
    open_comparison(page)
    name, content = download(page, "Figure as SVG")
    assert name.endswith("-card-all-map-of-the-first-run.svg") and b"STAND-IN" in content
    pick(page, "Figure", "t against t")
    page.get_by_role("button", name="Figure as SVG").click()
    page.wait_for_selector("#compare-figure-line [role=alert] >> text=no unit of one is a unit of the other")
    pick(page, "Compare with", "other-seed")
    wait_for_words(page, "no replication on new pairs")
    page.wait_for_function("document.querySelector('#compare-figure-line').innerText.trim() === ''")
    name, content = download(page, "Figure as SVG")
    assert name == "plantain-tiny-random-and-other-seed-card-all-t-against-t.svg"
    assert b"680 units counted in squares" in content and content.count(b"STAND-IN") >= 2
    pick(page, "Figure", "map of the difference")
    name, content = download(page, "Figure as PNG")
    assert name.endswith("-map-of-the-difference.png") and content.startswith(b"\x89PNG") and len(content) > 20_000


def test_a_run_beside_itself_says_so_and_another_is_offered_when_the_choice_catches_up(page):
    open_comparison(page)
    pick(page, "Compare with", "tiny-random (stand-in)")
    page.wait_for_selector("#comparison >> text=This is one run beside itself")
    assert "no replication" not in all_words(page, "#compare-figures")
    pick(page, "Units", "true heads")
    wait_for_words(page, "attention heads, scope all")
    assert "Correlation" not in all_words(page, "#compare-figures")  # it agrees with itself
    assert page.input_value("#other-run input").startswith("tiny-random")  # it was meant so
    pick(page, "Run", "other-seed")
    wait_for_words(page, "no replication on new pairs")
    pick(page, "Run", "tiny-random (stand-in)")
    page.wait_for_function("!document.querySelector('#other-run input').value.startsWith('tiny-random')")


def test_all_pairs_stand_with_their_prompts_and_what_differs_is_marked_without_colour(page, moral_set):
    show_tab(page, "Evidence", "pairs")
    page.wait_for_selector("#prompts li >> nth=24", state="attached")
    categories = page.locator("#prompts details:has(li)")
    assert categories.locator("summary").all_inner_texts() == [
        f"{category} (5)" for category in dict.fromkeys(pair.category for pair in moral_set.pairs)
    ]
    assert page.locator("#prompts details[open]").count() == 0  # one opens what one looks for
    categories.first.locator("summary").click()
    page.wait_for_selector("#prompts li:visible >> nth=4")
    assert page.locator("#prompts li:visible").count() == 5
    shown = all_words(page, "#prompts")
    for pair in moral_set.pairs:
        assert pair.id in shown and pair.positive in shown and pair.negative in shown
    first = page.locator("#prompts li").first
    assert first.locator("mark").all_inner_texts() == ["catches", "watches"]
    look = first.locator("mark").first.evaluate(
        "e => [getComputedStyle(e).fontWeight, getComputedStyle(e).textDecorationLine]"
    )
    assert look == ["700", "underline"]
    boxes = [prompt.bounding_box() for prompt in first.locator("p:has(mark)").all()]
    assert boxes[0]["y"] == boxes[1]["y"] and boxes[1]["x"] > boxes[0]["x"] + 300  # side by side
    assert page.locator("#pairs svg:visible circle").count() == 25 + 1  # the legend's


@pytest.mark.parametrize("page", [390], indirect=True)
def test_on_a_phone_the_two_tabs_fit_and_the_scores_are_on_the_screen(page):
    show_tab(page, "Evidence", "pairs")
    page.wait_for_selector("#prompts li >> nth=24", state="attached")
    page.locator("#prompts details:has(li) summary").first.click()
    page.wait_for_selector("#prompts li:visible >> nth=4")
    boxes = [prompt.bounding_box() for prompt in page.locator("#prompts li").first.locator("p:has(mark)").all()]
    assert boxes[0]["x"] == boxes[1]["x"] and boxes[1]["y"] >= boxes[0]["y"] + boxes[0]["height"]  # stacked
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    unfold(page, "#pair-tables")
    score = page.locator("#by-pair th", has_text="score").first.bounding_box()
    assert score["x"] + score["width"] <= 390
    open_comparison(page)
    pick(page, "Compare with", "other-seed")
    page.wait_for_selector("#compare-density svg:visible")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    places = [page.locator(f"#compare-{which} .pl-map").bounding_box() for which in ("first", "second", "difference")]
    assert all(place["x"] >= 0 and place["x"] + place["width"] <= 390 for place in places)
    assert places[0]["y"] < places[1]["y"] < places[2]["y"]
    all_words(page, "#compare-figures")
    last = page.locator("#compare-figures tbody tr").first.locator("td").last.bounding_box()
    assert last["x"] + last["width"] <= 390  # all figures without scrolling
