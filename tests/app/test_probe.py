"""The tab that runs the probe, in Chromium on a real server with the stand-in, whose passes wait where told to."""

import json
import re
import sys
import threading
import urllib.request
from contextlib import suppress

import pytest
from asking import call
from browser import OUTPUT, ROOT, serving
from few import max_abs_t
from misbehave import Orders
from playwright.sync_api import Error as PlaywrightError
from visit import open_page, pick, reported, show_figures, show_tab

from plantain.runs.io import load_run

N = 6  # pairs of the moral set on this page; where more have to be left, a test takes a set of 25
ALL = "all that are left"
MORAL, TEMPO = "Ethical valence (axis)", "Tempo (control)"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def url(home):
    command = [sys.executable, str(ROOT / "tests" / "obedient_app.py")]
    with serving(command, home / "log", HOME=str(home), PLANTAIN_MODEL="tiny-random", PAIRS=str(N)) as url:
        yield url


@pytest.fixture
def orders(home):
    orders = Orders(home)
    yield orders
    orders.clear()


@pytest.fixture
def visit(browser, url):
    """Open the tab in a browser profile of its own; at the end no page may have had a console error."""
    pages, errors = [], []

    def visit(seed, mode="light", prompts=MORAL):
        """Open it on a phone, as somebody who comes while `page` is open."""
        pages.append(opened(browser, url, errors, 390, mode))
        choose(pages[-1], seed, prompts)
        return pages[-1]

    yield visit
    for page in pages:
        page.context.close()
    assert errors == []


def opened(browser, url, errors, width, mode):
    page = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=mode).new_page()
    page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda e: errors.append(str(e)))
    open_page(page, url, __theme=mode)
    page.wait_for_selector("#model-status >> text=Loaded", timeout=60_000)
    show_tab(page, "Run & publish")
    pick(page, "Image size", "256 px")
    return page


def choose(page, seed, prompts=MORAL):
    """Choose what no test has run before: a seed with a set."""
    show_tab(page, "Run & publish")
    if page.input_value("#prompt-set input") != prompts:
        page.get_by_role("combobox", name="Prompt set").click()
        page.get_by_role("option", name=prompts, exact=True).first.click()  # the page's own is the first of its name
    if page.get_by_role("combobox", name="Pairs now").input_value() != ALL:
        pick(page, "Pairs now", ALL)
    page.get_by_label("Seed").fill(str(seed))
    page.wait_for_selector("#run-probe:not([disabled]) >> text=Run all")


@pytest.fixture(scope="module")
def kept():
    """The page that the tests share, for to open one takes longer than most that is done on it."""
    return {}


@pytest.fixture
def page(kept, browser, url, orders):
    """The shared page; a new one after a test that left it with an error, or with a probe that still runs."""
    if not kept:
        errors = []
        kept.update(errors=errors, page=opened(browser, url, errors, 1280, "light"))
    page, errors = kept["page"], kept["errors"]
    yield page
    orders.clear()
    show_tab(page, "Run & publish")
    free = page.locator("#run-probe:not([disabled])")
    with suppress(PlaywrightError):
        free.wait_for(timeout=5_000)
    if errors or not free.count():
        page.context.close()
        kept.clear()
    assert errors == []


def until(page, holds):
    """Wait for what no selector shows; the page goes on meanwhile."""
    for _ in range(1200):
        if holds():
            return
        page.wait_for_timeout(50)
    raise AssertionError("waited in vain")


def at_once(page, pairs, total=N):
    page.get_by_role("combobox", name="Pairs now").click()
    page.get_by_role("option", name=str(pairs), exact=True).click()
    page.wait_for_selector(f"#run-probe >> text=Run {pairs} of {total} pairs")


def run_until(page, orders, pairs, total=N):
    """Click, and wait until so many pairs are done and the next one stands still."""
    began = orders.begun()
    orders.give("wait", after=pairs)
    page.click("#run-probe")
    page.wait_for_selector(f"#probe-progress >> text={pairs} of {total} pairs", timeout=60_000)
    until(page, lambda: orders.begun() == began + pairs + 1)


def test_the_probe_runs_with_progress_and_its_result_is_shown_at_once(page, orders):
    choose(page, 0)
    # The seconds of the shipped run stand there on a machine like the one that made it.
    known = re.fullmatch(rf"Run all {N} pairs( \(about \d+ s\))?", page.inner_text("#run-probe"))[1]
    said = "timed on this device" if known else "No pair of this size was timed here yet."
    assert said in page.inner_text("#probe-cost")
    run_until(page, orders, 2)
    assert page.get_attribute("#probe-progress progress", "value") == "2"
    shown = page.inner_text("#probe-progress")
    assert re.search(r"about \d+ (s|min) left", shown)
    assert re.search(r"Just done, in \d+\.\d s \(physical assistance\)\n.*\n.*", shown)
    assert page.is_disabled("#run-probe") and page.get_by_label("Seed").is_disabled()
    page.screenshot(path=OUTPUT / "probe-running.png", full_page=True)
    orders.clear()
    page.wait_for_selector(f"#probe-progress >> text=Done: {N} pairs", timeout=180_000)
    said = page.inner_text("#probe-progress")
    assert "the last 8 probes of all visitors" in said and "“Take away”" in said and "when you reload the page" in said
    assert page.input_value("#run input").startswith("yours: ")
    page.wait_for_selector("#run-probe:not([disabled]) >> text=/Run all 6 pairs \\(about \\d+ s\\)/")
    assert f"for {N} pairs, by those of this size that were timed on this device" in page.inner_text("#probe-cost")
    show_figures(page)
    page.wait_for_selector(f"#findings >> text={max_abs_t(load_run(ROOT / 'precomputed' / 'tiny-random'), N):.2f}")
    assert "256 px" in page.inner_text("#findings")  # the same model, size and seed as that run's
    pick(page, "Run", "tiny-random (stand-in)")  # and the saved ones are still in the list
    page.wait_for_function("!document.querySelector('#run input').value.startsWith('yours')")


def test_a_stopped_probe_keeps_its_pairs_and_goes_on(page, orders):
    choose(page, 1)
    run_until(page, orders, 3)
    began = orders.begun()
    page.get_by_role("button", name="Stop").click()
    page.wait_for_selector("#probe-progress >> text=Stopping: the pair in hand is finished first")
    orders.clear()
    page.wait_for_selector("#probe-progress >> text=Stopped. 4 of 6 pairs are done and kept", timeout=60_000)
    assert orders.begun() == began  # no pair was begun after the one in hand
    page.wait_for_selector("#run-probe:not([disabled]) >> text=Go on: 2 pairs left (about ")
    assert "Nothing was run" not in page.inner_text("#probe-progress")  # Gradio tells of a stop as of a failure
    orders.give("wait", after=1)
    page.click("#run-probe")
    page.wait_for_selector("#probe-progress >> text=5 of 6 pairs", timeout=60_000)
    assert page.get_attribute("#probe-progress progress", "value") == "5"
    orders.clear()
    page.wait_for_selector(f"#probe-progress >> text=Done: {N} pairs", timeout=180_000)
    assert orders.begun() == began + 2 + 1  # none was run twice, and the placebo came last


def test_pairs_can_be_run_a_few_at_a_time(page, orders):
    choose(page, 2, TEMPO)
    began = orders.begun()
    at_once(page, 5, 25)
    page.click("#run-probe")
    page.wait_for_selector("#probe-progress >> text=5 of 25 pairs are done and kept", timeout=60_000)
    assert orders.begun() == began + 5
    page.wait_for_selector("#run-probe >> text=Go on with 5 of the 20 pairs left (about ")
    pick(page, "Pairs now", ALL)
    page.wait_for_selector("#run-probe >> text=Go on: 20 pairs left (about ")


def test_a_seed_that_cannot_be_taken_is_refused_before_a_click(page):
    choose(page, 7)
    for typed, said in (
        ("-1", "seed is -1:"),
        ("1.5", "seed is 1.5:"),
        ("9007199254740992", "seed is 9.007"),
        ("", "no number"),
    ):
        page.get_by_label("Seed").fill(typed)
        page.wait_for_selector("#run-probe[disabled]")
        words = page.inner_text("#probe-cost [role=alert]")
        assert said in words and "give a whole number from 0 to 9007199254740991" in words
        page.get_by_label("Seed").fill("9007199254740991")
        page.wait_for_selector("#run-probe:not([disabled])")
        assert page.locator("#probe-cost [role=alert]").count() == 0


def test_a_page_that_is_closed_ends_its_probe_and_its_pairs_are_kept(visit, page, orders):
    choose(page, 3, TEMPO)
    other = visit(3, prompts=TEMPO)
    began = orders.begun()
    run_until(other, orders, 3, 25)
    other.context.close()
    orders.clear()

    def probe_has_ended():
        """What is kept is said as soon as a probe has ended; a page asks when its tab is opened."""
        show_tab(page, "Result")
        show_tab(page, "Run & publish")
        page.wait_for_timeout(300)
        return page.inner_text("#run-probe").startswith("Go on: ")

    until(page, probe_has_ended)
    left = int(re.search(r"Go on: (\d+) pairs left", page.inner_text("#run-probe"))[1])
    assert left == 25 - (orders.begun() - began) and 1 <= left <= 22  # ended before its last pair; each one is kept


def test_a_visitor_who_waits_sees_the_place_in_the_queue_and_can_leave_it(visit, page, orders):
    choose(page, 4)
    second = visit(5, mode="dark")
    run_until(page, orders, 1)
    second.click("#run-probe")
    second.wait_for_selector("#probe-progress >> text=Waiting for your turn: one probe runs at a time")
    second.wait_for_selector("#probe-progress >> text=queue: 1/1")
    second.screenshot(path=OUTPUT / "probe-waiting-390-dark.png", full_page=True)
    assert second.evaluate("document.documentElement.scrollWidth") <= 390
    second.get_by_role("button", name="Stop").click()
    second.wait_for_selector("#probe-progress >> text=Stopped. No pair was done yet, so nothing is kept.")
    second.wait_for_selector("#run-probe:not([disabled])")
    page.get_by_role("button", name="Stop").click()
    orders.clear()
    page.wait_for_selector("#probe-progress >> text=Stopped. 2 of 6 pairs are done and kept", timeout=60_000)


def test_a_visitor_whose_pair_waits_sees_the_place_in_the_queue(page, orders, url):
    from gradio_client import Client

    page.set_viewport_size({"width": 390, "height": 900})
    orders.give("wait")
    programs = [Client(url, verbose=False) for _ in range(2)]  # two pairs at once are taken
    calls = [c.submit("tiny-random", "Anna helps.", "Anna waits.", api_name="/probe_pair") for c in programs]
    until(page, lambda: all(call.status().code.name == "PROCESSING" for call in calls))
    show_tab(page, "Try a pair")
    page.click("#score-pair")
    page.wait_for_selector("#pair-said >> text=Waiting for your turn")
    page.wait_for_selector("#pair-said >> text=queue: 1/1")
    page.screenshot(path=OUTPUT / "pair-waiting-390-light.png")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    orders.clear()
    page.wait_for_selector("#pair-answer svg", timeout=60_000)
    assert page.inner_text("#pair-said").strip() == "" and all(call.result()["score"] for call in calls)
    page.set_viewport_size({"width": 1280, "height": 900})


def test_twenty_visitors_of_saved_results_do_not_wait_for_a_probe(url, orders, page):
    """The probe's fourth pair stands still until all twenty have their answers, so none can have waited for its end."""
    choose(page, 6)
    at_once(page, 5)
    run_until(page, orders, 3)
    answers: dict[int, tuple] = {}

    def look(i):
        html = urllib.request.urlopen(url, timeout=120).read()
        summary = answer_of(url, "summary", ["tiny-random", ("card", "heads", "mlp")[i % 3], "all"])
        top = answer_of(url, "top_units", ["tiny-random", "heads", "all", i + 1, ""])
        answers[i] = len(html), summary["n_pairs"], len(top)

    threads = [threading.Thread(target=look, args=(i,)) for i in range(20)]
    for thread in threads:
        thread.start()
    show_figures(page)  # the one whose probe runs can look at other results as well
    pick(page, "Units", "MLP groups")
    page.wait_for_selector(f"#findings >> text={reported('mlp')['n_units']:,} MLP groups")
    for thread in threads:
        thread.join(120)
    assert sorted(answers) == list(range(20))
    assert all(html > 1000 and pairs == 25 and top == i + 1 for i, (html, pairs, top) in answers.items())
    show_tab(page, "Run & publish")
    assert page.get_attribute("#probe-progress progress", "value") == "3"  # the probe is still where it was
    orders.clear()
    page.wait_for_selector("#probe-progress >> text=5 of 6 pairs are done and kept", timeout=180_000)


def answer_of(url, name, data):
    """Ask as a program does, without reading the page's whole configuration first."""
    kind, said = call(url, name, data)
    assert kind == "complete"
    return json.loads(said.rpartition("data: ")[2])[0]


def test_a_full_queue_is_said_and_the_button_works_again(page, kept):
    choose(page, 9)
    page.route("**/queue/join*", lambda route: route.fulfill(status=503, json={"detail": "Queue is full."}))
    page.click("#run-probe")
    page.wait_for_selector("#probe-progress [role=alert] >> text=Nothing was run: the queue is full")
    page.wait_for_selector("#run-probe:enabled")
    page.unroute("**/queue/join*")
    assert page.locator("button.stop").first.is_disabled()
    show_figures(page)
    page.wait_for_selector("#findings >> text=STAND-IN")  # what was shown is still there
    assert all("503" in error for error in kept["errors"])
    kept["errors"].clear()


def test_a_pasted_set_is_warned_of_run_and_looked_at_like_any_other(page):
    choose(page, 8)
    pick(page, "Prompt set", TEMPO)
    page.wait_for_selector("#set-about >> text=quickly against slowly")
    pick(page, "Prompt set", "A set of your own")
    page.wait_for_selector("#run-probe[disabled]")
    page.fill("#own-set textarea", "a\tb\tc")
    page.wait_for_selector("#own-note [role=alert] >> text=row 1 has 3 cells, separated by tabs, not 2")
    rows = [f"Lea{i} very <img src=x> runs.\tLea{i} walks." for i in range(4)]
    page.fill("#own-set textarea", "\n".join(rows))
    page.get_by_label("Positive side").fill("fast")
    page.get_by_label("Negative side").fill("slow")
    page.wait_for_selector("#own-note >> text=4 pairs, “fast” against “slow”")
    page.wait_for_selector("#own-note >> text=4 of 4 pairs have unequal numbers of tokens of the loaded model")
    assert page.locator("#own-note img").count() == 0
    page.wait_for_selector("#run-probe:not([disabled]) >> text=Run all 4 pairs")
    page.click("#run-probe")
    page.wait_for_selector("#probe-progress >> text=Done: 4 pairs", timeout=60_000)
    show_figures(page)
    page.wait_for_selector("#findings >> text=These prompts ask something else: “fast” against “slow”.")
    shown = page.inner_text("#findings")
    assert "“very” 4/0" in shown and "Published:" not in shown
    assert page.input_value("#run input").startswith("yours: A set of your own, ")
    show_tab(page, "Try a pair")
    page.get_by_label("Positive (fast)").wait_for()
    show_tab(page, "Evidence", "compare")
    page.wait_for_selector("#comparison >> text=contrast “fast” minus “slow” / “helping” minus “ignoring”")
