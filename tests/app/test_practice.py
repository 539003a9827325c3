"""The page as somebody without a GPU starts it: on the practice model, with its runs, and a pair in its words."""

import re

import pytest
from browser import ROOT, app_command, serving
from playwright.sync_api import expect
from visit import CUT, all_words, serious, settle, show_figures, show_tab

WEIGHTS = "practice model (drawings, trained by us; not Klein)"


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    log = tmp_path_factory.mktemp("practice") / "log"
    with serving(app_command(), log, PLANTAIN_MODEL="", PLANTAIN_RUNS=str(ROOT / "precomputed")) as url:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(url)
        page.wait_for_selector("#model-status >> text=Loaded: picture-book.", timeout=120_000)
        yield page
        page.close()


def test_it_opens_on_the_moral_run_of_the_practice_model_and_says_what_that_is(page):
    page.wait_for_selector("#hero >> text=25 of 25 pairs that the rule had not seen are told right", timeout=60_000)
    first = page.inner_text("#hero")
    assert WEIGHTS in first and "says nothing about Klein" in first
    show_figures(page)
    page.wait_for_selector("#headline >> text=25 of 25 held-out pairs are told right")
    shown = page.inner_text("body")
    assert WEIGHTS in shown and "say nothing about FLUX.2 Klein" in shown
    assert "random weights" not in shown and "STAND-IN" not in shown


def test_its_own_example_is_measured_drawn_and_ranked(page):
    show_tab(page, "Try a pair")
    expect(page.get_by_label("Positive (helping)")).to_have_value(
        "Eva lost a purse in the park, and tall Dan alerts Eva.", timeout=10_000
    )
    page.click("#score-pair")
    page.wait_for_selector("#pair-answer svg", timeout=60_000)
    page.evaluate("document.querySelectorAll('#pair-answer details').forEach((part) => { part.open = true; })")
    answer = page.inner_text("#pair-answer")
    assert "Your pair goes the same way as the run's pairs, farther than 20 of 25." in answer
    assert re.search(r"p = \d+/26", answer) and "NOT COMPARABLE" not in answer
    assert page.locator("#pair-answer img[alt^='Expected picture: ']").count() == 2


def test_its_axes_are_compared_when_their_section_is_opened(page):
    show_tab(page, "Evidence", "axis")
    page.wait_for_selector("#atlas .pl-sentence", timeout=60_000)
    shown = page.inner_text("#atlas")
    assert "“helping / not helping” shows two of the three signs of an axis of its own." in shown and WEIGHTS in shown
    assert page.locator("#atlas figure svg.pl-svg:visible").count() == 1 and not page.is_visible("#make-atlas")
    assert page.inner_text("#atlas-runs").strip() == "8 runs are compared"
    settle(page)
    assert page.evaluate(CUT) == [] and serious(page) == []


@pytest.mark.parametrize("width", [1280, 390])
def test_its_pairs_show_their_pictures_side_by_side_and_nothing_is_cut(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    show_tab(page, "Evidence", "pairs")
    page.wait_for_selector("#prompts li img", state="attached", timeout=60_000)
    said = f"Pictures by picture-book, {WEIGHTS}, 64 px, both sides from the same noise (seed 0)."
    assert said in all_words(page, "#prompts")
    page.locator("#prompts li").first.scroll_into_view_if_needed()  # pictures are loaded where they are seen
    page.wait_for_function(
        "[...document.querySelector('#prompts li').querySelectorAll('img')].every((i) => i.naturalWidth)"
    )
    settle(page)
    figures = page.locator("#prompts li").first.locator("figure")
    assert figures.count() == 2  # drawn, and expected
    for i, label in enumerate(("Drawn", "Expected")):
        images = figures.nth(i).locator("img")
        assert images.nth(0).get_attribute("alt") == f"{label}: On the beach, short Eva steadies Ben, who has fallen."
        left, right = images.nth(0).bounding_box(), images.nth(1).bounding_box()
        assert left["y"] == right["y"] and left["x"] + left["width"] <= right["x"]
        assert right["x"] + right["width"] <= width and left["width"] > 100
        assert page.evaluate("(image) => image.naturalWidth", images.nth(0).element_handle()) == 64
    assert page.evaluate(CUT) == [] and serious(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_lists_of_words_follow_the_boxes_and_what_is_chosen_in_them_goes_there(page):
    page.set_viewport_size({"width": 1280, "height": 900})
    show_tab(page, "Try a pair")
    page.click("#pair-examples [data-name='Hungry']")
    positive = page.get_by_label("Positive (helping)")
    expect(positive).to_have_value("Short Ana feeds Gus, who is hungry, in the room.")
    page.click("#pair-examples summary")
    expect(page.locator("[data-part=actor]")).to_have_value("Ana")
    page.locator("[data-part=place]").select_option("beach")
    expect(positive).to_have_value("Short Ana feeds Gus, who is hungry, on the beach.")
    page.click("#pair-examples [data-name='Only a size (nobody helps)']")
    for part, said in (("actor", "Cleo"), ("other", "Dan"), ("size", "tall"), ("place", "forest")):
        expect(page.locator(f"[data-part={part}]")).to_have_value(said)
    page.click("#pair-examples [data-name='On the ground']")
    expect(positive).to_have_value("In the snow, tall Ben lifts Cleo, who has fallen.")
    expect(page.locator("[data-part=positive]")).to_have_value("lifts")
    page.get_by_label("Act, negative side").select_option("passes")
    expect(page.get_by_label("Negative (not helping)")).to_have_value(
        "Tall Ben passes Cleo, who has fallen, in the snow."
    )
