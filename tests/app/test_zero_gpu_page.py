"""A visitor's page when ZeroGPU refuses, breaks or takes its card away: real `spaces`, emulated, in Chromium."""

import re

import pytest
from browser import OUTPUT, chromium
from visit import open_page, pick, show_figures, show_tab

pytest.importorskip("spaces")

from scheduler import Refusal

FREE = "Nothing was started: no GPU second was spent."
COMMAND = "python -m plantain run --model tiny-random --prompts prompts/moral_valence.toml --out runs/mine --size 256"

# (who is refused, what the scheduler answers, what the page has to say)
REFUSALS = {
    "quota": (
        "visitor", Refusal(429, {"left": 10, "wait": 3600}, "quota-exceeded"),
        ["Your GPU quota does not suffice: {asked} s are asked for, 10 s are left.", FREE, "Wait 1:00 h",
         "a free account has more", "a smaller image ask for less", "on a machine of your own"],
    ),
    "quota of nobody": (
        "stranger", Refusal(429, {"left": 0, "wait": 3600}, "quota-exceeded"),
        ["for visitors whom it does not know is used up", FREE, "Sign in to Hugging Face and reload the page"],
    ),
    "runs": (
        "visitor", Refusal(429, {"left": 0, "wait": 0}, "runs-exceeded"),
        ["used up the number of GPU calls", FREE, "Wait until tomorrow"],
    ),
    "credits": (
        "visitor", Refusal(429, {"left": 0, "wait": 60}, "pending-overquota-exceeded"),
        ["credits are set aside for tasks of yours that are still running", FREE, "Wait until they have ended"],
    ),
    "duration": (
        "visitor", Refusal(429, {"left": 120, "wait": -1}, "illegal-duration"),
        ["more GPU time at once ({asked} s) than ZeroGPU grants you", FREE, "fewer pairs at once"],
    ),
    "queue": (
        "visitor", Refusal(200, "event: failed\n\n"),
        ["No GPU became free within a minute", FREE, "Try again in a few minutes"],
    ),
    "busy": ("visitor", Refusal(503), ["ZeroGPU has no GPU to give at the moment", FREE, "Try again in a few minutes"]),
    "expired": ("visitor", Refusal(401), ["its ZeroGPU token ran out", FREE, "Reload the page"]),
    "error": ("visitor", Refusal(500), ["answered with an error (500 Internal Server Error)", FREE, "tell the owner"]),
    "silence": ("visitor", Refusal(0), ["scheduler does not answer (RemoteProtocolError)", FREE, "tell the owner"]),
}  # fmt: skip

# (what goes wrong in the worker, what the page has to say)
BREAKS = {
    "die": ["The GPU was taken away before the end", "up to {asked} s of your GPU quota", "Try again"],
    "fail": ["Single[3]: NaN or infinite activation.", "up to {asked} s of your GPU quota"],
    "break": ["Something broke on the GPU (ValueError).", "up to {asked} s of your GPU quota", "tell the owner"],
    "memory": ["The device has too little memory at 256 px; choose a smaller image.", "up to {asked} s of your GPU"],
}


@pytest.fixture(scope="module")
def pages(zero):
    """Two open pages: of a visitor whom ZeroGPU knows by a token, and of a stranger with a dark phone."""
    with chromium() as browser:
        known = opened(browser, zero, 1280, "light", {"x-ip-token": "somebody's"})
        yield {"visitor": known, "stranger": opened(browser, zero, 390, "dark")}


def opened(browser, zero, width, mode, headers=None):
    page = browser.new_context(viewport={"width": width, "height": 900}, extra_http_headers=headers).new_page()
    open_page(page, zero.url, __theme=mode)
    show_tab(page, "Run & publish")
    pick(page, "Image size", "256 px")
    page.wait_for_selector("#run-probe >> text=(up to 44 s of your GPU quota)")
    return page


@pytest.fixture
def page(zero, pages):
    yield pages["visitor"]
    zero.orders.clear()


def choose_seed(page, seed):
    """Choose another seed, so that no pair is kept from before."""
    show_tab(page, "Run & publish")
    page.get_by_label("Seed").fill(str(seed))
    page.wait_for_selector("#run-probe:not([disabled]) >> text=Run all 25 pairs (up to 44 s of your GPU quota)")


def failure_of(page, tab, button, answer):
    """Click, and return the words of the failure that is shown; the button can be clicked again."""
    show_tab(page, tab)
    page.wait_for_selector(f"{button}:not([disabled])")
    asked = int(re.search(r"\(up to (\d+) s of your GPU quota\)", page.inner_text(button))[1])
    shown = f"{answer} [role=alert]:not([data-old])"
    page.evaluate("s => document.querySelectorAll(s).forEach(e => e.dataset.old = '')", shown)
    page.click(button)
    page.wait_for_selector(shown, timeout=60_000)
    page.wait_for_selector(f"{button}:not([disabled])")
    return page.inner_text(shown), asked


def of_probe(page):
    return failure_of(page, "Run & publish", "#run-probe", "#probe-progress")


def of_pair(page):
    return failure_of(page, "Try a pair", "#score-pair", "#pair-answer")


def shown_findings(page):
    """Return what is found, as a visitor reads it with everything opened."""
    show_figures(page)
    page.wait_for_selector("#findings .pl-card")
    return page.inner_text("#hero"), page.inner_text("#findings")


def assert_findings_stay(page, before):
    assert shown_findings(page) == before


def assert_says(words, expected, asked):
    assert [text for text in expected if text.format(asked=asked) not in words] == [], words


def until(page, holds):
    """Wait for what no selector shows; the page goes on meanwhile."""
    for _ in range(1200):
        if holds():
            return
        page.wait_for_timeout(50)
    raise AssertionError("waited in vain")


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_says_what_happened_what_it_cost_and_what_to_do(zero, pages, name):
    who, refusal, expected = REFUSALS[name]
    page = pages[who]
    before, began = shown_findings(page), zero.orders.begun()
    choose_seed(page, 10)
    with zero.refusing(refusal):
        words, asked = of_probe(page)
        assert zero.scheduler.durations()[-1] == asked == 44  # what the button said is what was asked for
        assert_says(words, expected, asked)
        assert COMMAND in words
        page.screenshot(path=OUTPUT / f"zero-gpu-{name.replace(' ', '-')}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        words, asked = of_pair(page)
        assert zero.scheduler.durations()[-1] == asked == 28
        assert_says(words, expected, asked)
    assert_findings_stay(page, before)
    assert zero.orders.begun() == began  # no pass was run


@pytest.mark.parametrize("how", BREAKS)
def test_a_break_in_the_worker_keeps_the_pairs_and_goes_on(zero, page, how):
    before = shown_findings(page)
    choose_seed(page, 20 + list(BREAKS).index(how))
    zero.orders.give(how, after=2)
    words, asked = of_probe(page)
    assert_says(words, BREAKS[how], asked)
    assert "2 of 25 pairs are done and kept: the same settings continue from there." in words
    page.wait_for_selector("#run-probe >> text=Go on: 23 pairs left (up to 42 s of your GPU quota)")
    page.screenshot(path=OUTPUT / f"zero-gpu-{how}.png", full_page=True)
    zero.orders.give(how)
    words, asked = of_pair(page)
    assert_says(words, BREAKS[how], asked)
    assert_findings_stay(page, before)


def test_what_broke_off_goes_on_for_the_cost_of_what_is_left_only(zero, page):
    choose_seed(page, 30)
    whole = page.input_value("#prompt-set input")
    pick(page, "Prompt set", "A set of your own")
    page.fill("#own-set textarea", "\n".join(f"Lea{i} runs home.\tLea{i} walks home." for i in range(6)))
    page.wait_for_selector("#run-probe:not([disabled]) >> text=Run all 6 pairs (up to 32 s of your GPU quota)")
    zero.orders.give("die", after=3)
    words, _ = of_probe(page)
    assert "3 of 6 pairs are done and kept" in words
    page.wait_for_selector("#run-probe >> text=Go on: 3 pairs left (up to 30 s of your GPU quota)")
    page.click("#run-probe")
    page.wait_for_selector("#probe-progress >> text=Done: 6 pairs", timeout=60_000)
    assert zero.scheduler.durations()[-1] == 30
    page.wait_for_selector("#run-probe:not([disabled]) >> text=Run all 6 pairs (up to 32 s of your GPU quota)")
    page.get_by_role("combobox", name="Prompt set").click()
    page.get_by_role("option", name=whole, exact=True).click()
    page.wait_for_selector("#run-probe:not([disabled]) >> text=Run all 25 pairs (up to 44 s of your GPU quota)")


def test_a_probe_that_is_stopped_gives_the_card_back_and_holds_up_nobody(zero, page):
    from gradio_client import Client

    choose_seed(page, 40)
    released = zero.scheduler.released()
    began = zero.orders.begun()
    zero.orders.give("wait", after=3)
    page.click("#run-probe")
    page.wait_for_selector("#probe-progress >> text=3 of 25 pairs", timeout=60_000)
    page.get_by_role("button", name="Stop").click()
    page.wait_for_selector("#probe-progress >> text=Stopping")
    until(page, lambda: zero.orders.begun() == began + 4)
    zero.orders.give("wait")  # the fourth pair goes on; the worker begins the fifth before it is told to stop
    page.wait_for_selector("#probe-progress >> text=Stopped. 4 of 25 pairs are done and kept", timeout=60_000)
    assert Client(zero.url, verbose=False).predict("tiny-random", api_name="/summary")["n_pairs"] == 25
    assert zero.scheduler.released() == released  # the fifth still holds the card
    zero.orders.clear()
    until(page, lambda: zero.scheduler.released() > released)
    assert zero.orders.begun() == began + 5
    page.wait_for_selector("#run-probe >> text=Go on: 21 pairs left")


def test_a_page_that_is_closed_gives_the_card_back_and_keeps_its_pairs(zero, pages, page):
    choose_seed(page, 50)
    other = page.context.browser.new_context(viewport={"width": 390, "height": 900}).new_page()
    open_page(other, zero.url)
    show_tab(other, "Run & publish")
    pick(other, "Image size", "256 px")
    other.get_by_label("Seed").fill("50")
    released, began = zero.scheduler.released(), zero.orders.begun()
    zero.orders.give("wait", after=3)
    other.click("#run-probe")
    other.wait_for_selector("#probe-progress >> text=3 of 25 pairs", timeout=60_000)
    other.context.close()
    zero.orders.clear()
    until(page, lambda: zero.scheduler.released() > released)
    done = zero.orders.begun() - began
    assert done < 25
    show_tab(page, "Result")
    show_tab(page, "Run & publish")
    page.wait_for_selector("#run-probe >> text=Go on: ")
    assert 25 - done <= int(re.search(r"Go on: (\d+) pairs left", page.inner_text("#run-probe"))[1]) <= 22
