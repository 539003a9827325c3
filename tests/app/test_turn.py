"""The tab "Turn heads" in Chromium, on the practice model, and its endpoints as a program meets them."""

import base64
import shutil

import pytest
from browser import ROOT, app_command, serving
from interventions_made import result_of
from playwright.sync_api import expect
from visit import CUT, pick, serious, settle, show_tab

from plantain._files.pictures import opened
from plantain.findings.interventions import cause
from plantain.report.interventions import brief, finding
from plantain.runs.attached.interventions import write_interventions
from plantain.runs.io import load_run

MORAL = "picture-book-moral"
MADE = {"n_redraws": 9}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The address of a page with the practice model, a run of it with made-up interventions, and one without.

    And two runs of other models, one of them with interventions.
    """
    folder = tmp_path_factory.mktemp("turn")
    for name in (MORAL, "tiny-random", "untrained-klein-4b"):
        shutil.copytree(ROOT / "precomputed" / name, folder / "runs" / name)
    shutil.rmtree(folder / "runs" / MORAL / "interventions")  # those that are shipped
    shutil.copytree(folder / "runs" / MORAL, folder / "runs" / "without")
    for name in (MORAL, "tiny-random"):
        write_interventions(folder / "runs" / name, result_of(load_run(folder / "runs" / name), **MADE), {})
    with serving(app_command(), folder / "log", PLANTAIN_MODEL="", PLANTAIN_RUNS=str(folder / "runs")) as url:
        yield url, folder / "log"


@pytest.fixture
def opened_tab(browser, served):
    """Return a function that opens the tab; at the end no page may have had a console error."""
    contexts, errors = [], []

    def open_(mode="light", address=""):
        context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=mode)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: errors.append(str(e)))
        page.goto(f"{served[0]}?__theme={mode}{address}")
        page.wait_for_selector("#model-status >> text=Loaded", timeout=120_000)
        show_tab(page, "Turn heads")
        page.wait_for_selector("#turn-go:visible")
        page.wait_for_selector("#turn-texts mark")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert errors == []


def turned(page):
    page.click("#turn-go")
    page.wait_for_selector("#turn-answer .pl-sentence", timeout=60_000)
    page.wait_for_selector("#turn-go:enabled")
    page.wait_for_function("[...document.querySelectorAll('#turn-slider img')].every((i) => i.naturalWidth === 64)")
    settle(page)
    arrives(page, "#turn-go", "#turn-slider")


def arrives(page, button, answer):
    """Wait until an answer is in sight and its button has the focus again, which it lost while it rested."""
    page.wait_for_function(
        """([button, answer]) => {
             const box = document.querySelector(answer).getBoundingClientRect();
             return document.activeElement.matches(button) && box.top >= -20 && box.top < innerHeight - 200;
           }""",
        arg=[button, answer],
    )


def start_and_stop(page, start, stop):
    """Press both from within the page: on a slow machine the work may end before a second message reaches the page."""
    page.evaluate(
        """async ([start, stop]) => {
             document.querySelector(start).click();
             for (let i = 0; document.querySelector(stop).disabled; i++) {
               if (i > 4000) throw new Error("the button to stop never woke");
               await new Promise((next) => setTimeout(next, 5));
             }
             document.querySelector(stop).click();
           }""",
        [start, stop],
    )


def looks_right(page, width):
    assert serious(page) == [] and page.evaluate(CUT) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_heads_are_turned_and_the_slider_the_overlay_and_the_sentence_say_what_that_does(opened_tab, mode):
    page = opened_tab(mode)
    pick(page, "Heads", "the top 10")
    turned(page)
    said = page.inner_text("#turn-answer")
    assert "With the top 10 heads patched from the other side" in said and "10 other heads of the same blocks" in said
    assert "practice model (drawings, trained by us; not Klein)" in said and "say nothing about FLUX.2 Klein" in said
    assert page.locator("#turn-slider img").count() == 2
    overlays = page.locator("#turn-where svg.pl-overlay")
    assert overlays.count() == 2 and overlays.first.locator("path").count() >= 3
    assert "Where it changes" in page.inner_text("#turn-where figcaption")
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        settle(page)
        box = page.locator("#turn-slider img").first.bounding_box()
        assert box["width"] >= 250 and box["width"] == pytest.approx(box["height"], rel=0.05)  # not 64 px, or squeezed
        assert overlays.first.bounding_box()["width"] >= 80
        looks_right(page, width)


def test_one_head_that_was_opened_elsewhere_is_drawn_whole_and_another_models_run_is_refused(opened_tab):
    page = opened_tab(address="&units=heads&unit=single%5B2%5D%20head%204")
    found = result_of(load_run(ROOT / "precomputed" / MORAL), **MADE)
    assert brief(found.info, cause(found)) in page.inner_text("#turn-cause")
    assert page.locator("#turn-cause svg.pl-narrow").count() == 1
    page.click("#turn-cause summary")
    assert finding(found.info, cause(found)) in page.inner_text("#turn-cause")
    assert page.input_value("#turn-heads input") == "one by name"
    assert page.input_value("#turn-head input") == "single[2] head 4"
    page.click("#turn-draw")
    page.wait_for_selector("#turn-drawn img", timeout=60_000)
    page.wait_for_function(
        "[...document.querySelectorAll('#turn-drawn img')].filter((i) => i.naturalWidth).length === 3"
    )
    arrives(page, "#turn-draw", "#turn-drawn")
    shown = page.inner_text("#turn-drawn")
    assert "not helping, with single[2] head 4 patched from the other side" in shown and "20 steps" in shown
    settle(page)
    looks_right(page, 1280)
    start_and_stop(page, "#turn-draw", "#turn-stop")
    page.wait_for_selector("#turn-said >> text=Stopped.")
    page.wait_for_selector("#turn-draw:enabled")
    pick(page, "What is done", "as they are")
    turned(page)
    assert "moves 0.00 of the way" in page.inner_text("#turn-answer")
    for change, said in (("patched", "The answer below is to what was chosen before."), ("as they are", "")):
        pick(page, "What is done", change)
        expect(page.locator("#turn-old [role=status]")).to_have_count(1 if said else 0)
        assert said in page.inner_text("#turn-old")
    pick(page, "Run", "tiny-random")
    page.wait_for_selector(f"#turn-note [role=alert] >> text=choose “{MORAL} (practice model)”")
    other = result_of(load_run(ROOT / "precomputed" / "tiny-random"), **MADE)
    assert not page.is_visible("#turn-go") and brief(other.info, cause(other)) in page.inner_text("#turn-cause")
    assert page.inner_text("#turn-answer").strip() == "" and not page.is_visible("#turn-slider")
    looks_right(page, 1280)
    pick(page, "Run", "without (practice model)")
    page.wait_for_selector("#turn-cause >> text=No interventions were made")
    page.wait_for_selector("#turn-go:visible")
    pick(page, "Run", "untrained-klein-4b")  # which has none, and whose heads cannot be turned here
    page.wait_for_selector("#turn-note [role=alert] >> text=No heads of the chosen run can be turned here")
    assert not page.is_visible("#turn-go")


def test_programs_turn_heads_and_have_a_pair_drawn(served):
    from gradio_client import Client
    from gradio_client.exceptions import AppError

    url, log = served
    client, pair = Client(url, verbose=False), load_run(ROOT / "precomputed" / MORAL).pairs[0].pair
    found = client.predict(run=MORAL, pair=pair.id, heads="top:10", api_name="/intervene_pair")
    assert found["on"] > 0.5 and found["on"] != found["others"]["on"]
    assert len(found["names"]) == len(found["others"]["names"]) == 10 and found["names"] != found["others"]["names"]
    assert "practice model" in found["weights"] and "practice model" in " ".join(found["sentences"])
    assert [len(row) for row in found["change_grid"]] == [4] * 4 and found["effect"] > 0
    back = client.predict(run=MORAL, pair=pair.id, change="off", side="positive", api_name="/intervene_pair")
    assert back["on"] != found["on"] and (back["side"], back["change"]) == ("positive", "off")
    drawn = client.predict(run=MORAL, pair=pair.id, heads="single[2].4", api_name="/draw_pair")
    assert list(drawn["pictures"]) == ["positive", "negative", "changed"] and drawn["names"] == ["single[2] head 4"]
    assert (drawn["size"], drawn["steps"], drawn["guidance"], drawn["seed"]) == (64, 20, 2, 0)
    for content in drawn["pictures"].values():
        assert opened(base64.b64decode(content.removeprefix("data:image/webp;base64,"))).size == (64, 64)
    plain = client.predict(run=MORAL, pair=pair.id, size=80, steps=2, api_name="/draw_pair")
    assert list(plain["pictures"]) == ["positive", "negative"] and plain["names"] == []
    assert (plain["size"], plain["steps"]) == (80, 2)
    for name, wrong, said in (
        ("/intervene_pair", {"pair": "nowhere"}, "the run has no pair 'nowhere'"),
        ("/intervene_pair", {"pair": pair.id, "change": "louder"}, "give one of off, half, normal, double, patch"),
        ("/draw_pair", {"pair": pair.id, "heads": "single[99].0"}, "single"),
        ("/draw_pair", {"pair": pair.id, "side": 3}, "give a text"),
        ("/draw_pair", {"pair": pair.id, "size": 65}, "multiple of 16"),
        ("/draw_pair", {"pair": pair.id, "size": 2048}, "at most 1024 px and 50 steps"),
        ("/draw_pair", {"pair": pair.id, "steps": -1}, "at most 1024 px and 50 steps"),
    ):
        with pytest.raises(AppError, match=said):
            client.predict(run=MORAL, **wrong, api_name=name)
    with pytest.raises(AppError, match="tiny-random"):
        client.predict(run="tiny-random", pair="rolling-oranges", api_name="/intervene_pair")
    assert "nowhere" not in log.read_text()
