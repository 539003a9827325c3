"""A Space from its first start without any run of Klein's: emulated ZeroGPU, a hub on loopback, a small Klein."""

import json
import time
import urllib.request

import pytest
from browser import app_command, serving
from loopback_hub import loopback_hub
from made import small_run
from offers import files_of, with_weights
from playwright.sync_api import expect
from visit import CUT, SHIFTS, TABS, open_page, pick, serious, settle, show_tab

pytest.importorskip("spaces")

from scheduler import emulated
from small_klein import serve_small_klein, small_klein_environment

from plantain.models.load import KLEIN
from plantain.runs.io import save_run

RESULTS = "owner/results"

WITHOUT_A_RUN = {
    ("Try a pair",): "nobody has run this model here yet",
    ("Evidence",): "for the run that is chosen",
    **dict.fromkeys((("Evidence", section) for section in ("chance", "axis", "pairs", "head")), "There is no run"),
    ("Evidence", "compare"): "Choose two runs",
    ("Run & publish",): "Run all pairs of a prompt set through the loaded model",
    ("Run & publish", "take"): "There is no run", ("Run & publish", "method"): "What is measured",
}  # fmt: skip
HIDDEN = ("Turn heads",)  # without a run there are none


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with loopback_hub() as hub:
        serve_small_klein(hub, tmp_path_factory.mktemp("klein") / "folder")
        hub.add(RESULTS)
        yield hub


def environment(hub, folder):
    """Return the environment of an app on a fresh disk, as a Space has it after every sleep."""
    return {**small_klein_environment(folder / "home", hub), "PLANTAIN_RESULTS_REPO": RESULTS, "HF_TOKEN": ""}


@pytest.fixture(scope="module")
def url(hub, tmp_path_factory):
    folder = tmp_path_factory.mktemp("space")
    with emulated(folder, "", **environment(hub, folder)) as space:
        yield space.url


@pytest.fixture(scope="module")
def pages(url, browser):
    """Two open pages, the second one with a run chosen that is not Klein's."""
    pages = [browser.new_page(viewport={"width": 1280, "height": 900}) for _ in range(2)]
    for page in pages:
        open_page(page, url, run=None)
        page.wait_for_selector("#begin")
        settle(page)
    pick(pages[1], "Run", "tiny-random (stand-in)")
    pages[1].wait_for_selector("#hero .pl-chip")
    return pages


def health(url):
    return json.loads(urllib.request.urlopen(f"{url}/health").read())


def served(url):
    return urllib.request.urlopen(url).read().decode()


@pytest.fixture(scope="module")
def klein(tmp_path_factory):
    """The files of a run that is labelled as of pretrained weights."""
    run = with_weights(small_run(3, 6), revision="a" * 40, positive="helping", negative="ignoring")
    return files_of(save_run(run, tmp_path_factory.mktemp("runs") / "klein"), "klein")


def test_before_there_is_a_klein_run_the_first_screen_has_the_question_a_pair_the_card_and_the_price(url, pages, hub):
    page, shown = pages[0], pages[0].inner_text("#hero")
    assert "tell helping from not helping" in page.inner_text("#introduction")
    assert "Nobody has run this here yet: about 100 s of your GPU quota." in shown
    assert page.locator("#hero mark").all_inner_texts() == ["catches", "watches"]
    card = page.inner_text("#result-tables")
    assert "Published by its author on his own prompts; not re-run here." in card and "Top blocks, published" in card
    assert "3,221 (19.7%), 6.4× null p99" in card and "single[19]" in card and "132/768" in card
    assert page.locator(".pl-card").count() == 0 and not page.is_visible("#all-figures")
    assert page.input_value("#run input") == ""
    assert "STAND-IN" not in page.inner_text("body") and "UNTRAINED" not in page.inner_text("body")
    first = served(url)
    first = first[first.index('<div class="pl-first">') :]
    assert "Nobody has run this here yet" in first and "STAND-IN" not in first
    assert serious(page) == []
    found = health(url)
    assert found["status"] == "ok" and found["model"]["state"] == "ready" and found["runs"]["arriving"] == 0
    assert not hub.sent("flux-2-klein-base-4b.safetensors")  # the single file for other software


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_shifts_while_that_screen_loads(browser, url, pages, width):
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.add_init_script(SHIFTS)
    page.goto(url)
    page.wait_for_selector("#begin:visible")
    settle(page)
    assert page.evaluate("shifted") < 0.1
    assert page.evaluate(CUT) == []
    page.close()


def test_every_tab_copes_with_no_run_and_says_what_to_do(pages):
    page = pages[0]
    assert [name for name in TABS[1:] if name not in WITHOUT_A_RUN] == [HIDDEN]
    assert page.get_by_role("tab", name=HIDDEN[0], exact=True).count() == 0
    for name in WITHOUT_A_RUN:
        show_tab(page, *name)
        page.wait_for_selector(f"[role=tabpanel]:visible >> text={WITHOUT_A_RUN[name]} >> visible=true")
        assert page.locator(".toast-wrap .error").count() == 0
    show_tab(page, "Result")
    page.click("#begin")
    page.wait_for_selector("#run-probe:visible >> text=Run all 25 pairs (up to 100 s of your GPU quota)")
    show_tab(page, "Result")


def test_a_run_that_is_published_shows_on_open_pages_and_first_on_later_ones(url, pages, hub, klein):
    empty, other = pages
    hub.repos["models", RESULTS].commit("main", klein)
    empty.wait_for_selector("#hero .pl-chip", timeout=90_000)
    assert empty.input_value("#run input") == f"klein ({RESULTS})" and not empty.is_visible("#begin")
    other.wait_for_selector(
        f"#arrived >> text=A run on Klein’s own weights has arrived: “klein ({RESULTS})”", timeout=90_000
    )
    assert "STAND-IN" in other.inner_text("#hero")
    other.click("#arrived button")
    other.wait_for_selector("#hero >> text=owner/model", timeout=90_000)
    assert not other.is_visible("#arrived") and "STAND-IN" not in other.inner_text("#hero")
    first = served(url)
    first = first[first.index('<div class="pl-first">') :]
    assert first.count('class="pl-hero"') == 1 and "owner/model" in first and "Nobody has run this" not in first
    assert health(url)["runs"]["shown"][0] == f"klein ({RESULTS})"
    other.wait_for_url("**/?run=klein*")
    other.reload()
    other.wait_for_selector("#hero >> text=owner/model")


def test_a_link_to_a_run_that_is_still_to_come_shows_it_once_it_is_here(url, browser, hub, klein, pages):
    page = browser.new_page()
    page.goto(f"{url}/?run=later ({RESULTS})&tab=method")
    page.wait_for_selector("#address-notice >> text=if it is published, it is shown as soon as it is here")
    settle(page)
    results = hub.repos["models", RESULTS]
    results.commit("main", {**results.head(), **{k.replace("/klein/", "/later/"): v for k, v in klein.items()}})
    chosen = page.get_by_role("combobox", name="Run", exact=True)
    expect(chosen).to_have_value(f"later ({RESULTS})", timeout=90_000)
    expect(page.locator("#address-notice p")).to_have_count(0)
    page.wait_for_url("**/?run=later*")
    page.close()


def test_after_a_restart_the_published_run_is_back_and_the_model_loads_meanwhile(hub, klein, browser, tmp_path):
    """Not on ZeroGPU: there the page is served before the model is loaded."""
    hub.repos["models", RESULTS].commit("main", klein)
    with serving(app_command(), tmp_path / "log", PLANTAIN_MODEL=KLEIN, **environment(hub, tmp_path)) as url:
        until(lambda: f"klein ({RESULTS})" in health(url)["runs"]["shown"])
        page = browser.new_page()
        page.goto(url)
        page.wait_for_selector("#hero >> text=owner/model", timeout=90_000)
        assert page.input_value("#run input") == f"klein ({RESULTS})"
        until(lambda: health(url)["model"]["state"] in ("retrying", "ready"))
    found = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines() if line.startswith('{"time"')]
    *_, runs = [line for line in found if line["kind"] == "published runs"]
    assert (runs["outcome"], runs["shown"], runs["arriving"], runs["damaged"]) == ("ok", 3, 0, 0)
    assert {line["outcome"] for line in found if line["kind"] == "model"} <= {"ok", "retrying"}


def until(holds):
    """Wait until something holds."""
    for _ in range(600):
        if holds():
            return
        time.sleep(0.1)
    raise AssertionError("waited in vain")
