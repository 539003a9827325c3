"""What a visitor sees before anything is opened, and that Back, links and a reload bring back what was on show."""

from urllib.parse import parse_qs, urlsplit

import pytest
from browser import ROOT, app_command, serving
from visit import settle, show_tab

IDS = {"Result": "result", "Try a pair": "pair", "Evidence": "evidence", "Turn heads": "turn", "Run & publish": "run"}
TABS = tuple(IDS)

# Prose and controls; not prompts, nor the cells of tables and maps, nor what stands on an axis.
WORDS = """() => {
  let words = 0;
  const walk = document.createTreeWalker(document.querySelector('.gradio-container'), NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement;
    if (e.closest('svg, td, th, [role="grid"], .pl-map-legend, .pl-pair, .sr-only, script, style')) continue;
    if (!e.checkVisibility({visibilityProperty: true})) continue;
    words += (walk.currentNode.data.match(/\\p{L}[\\p{L}'’-]+/gu) || []).length;
  }
  return words;
}"""


@pytest.fixture(scope="module")
def practice(tmp_path_factory):
    """A page with all shipped runs: it opens on the practice model's."""
    log = tmp_path_factory.mktemp("practice") / "log"
    with serving(app_command(), log, PLANTAIN_MODEL="tiny-random", PLANTAIN_RUNS=str(ROOT / "precomputed")) as url:
        yield url


def visit(browser, url, width=390, height=844):
    page = browser.new_context(viewport={"width": width, "height": height}).new_page()
    page.goto(url)
    page.wait_for_selector('[role="tab"]')
    settle(page)
    return page


def test_a_phones_first_screen_has_weights_figure_published_figure_and_a_picture(browser, practice):
    page = visit(browser, practice)

    def bottom(selector):
        found = page.locator(selector).first.bounding_box()
        assert found["x"] >= 0 and found["x"] + found["width"] <= 390
        return found["y"] + found["height"]

    seen = {
        "weights": bottom("#hero .pl-chip >> text=practice model"),
        "k of n, with p": bottom("#hero >> text=/25 of 25 pairs.*p < 0.001/"),
        "published": bottom("#hero >> text=/19.7%/"),
        "picture": bottom("#hero img"),
    }
    assert all(y <= 844 for y in seen.values()), seen
    assert page.evaluate("scrollY") == 0 and page.evaluate("[...document.images].every(i => i.naturalWidth > 0)")
    page.context.close()


def test_every_tab_is_on_a_phones_screen(browser, practice):
    page = visit(browser, practice)
    for name in TABS:
        box = page.get_by_role("tab", name=name, exact=True).bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 390 and box["y"] < 844, name
    page.context.close()


def test_no_screen_has_more_than_150_words_before_anything_is_opened(browser, practice):
    page, words = visit(browser, practice, 1280, 900), {}
    page.wait_for_selector("#model-status >> text=Loaded", timeout=60_000)
    for name in TABS:
        show_tab(page, name)
        settle(page)
        words[name] = page.evaluate(WORDS)
    assert max(words.values()) <= 150, words
    page.evaluate("document.querySelector('#introduction').append(' word'.repeat(200))")
    assert page.evaluate(WORDS) > 200  # the count can fail
    page.context.close()


def query(page):
    return {name: value for name, (value,) in parse_qs(urlsplit(page.url).query).items()}


def on_show(page):
    return page.get_by_role("tab", selected=True).inner_text()


# A page that does something else for a while as soon as it shows what it was asked for.
BUSY = """addEventListener('plantain-shown', () => {
  const end = performance.now() + 1700;
  while (performance.now() < end);
})"""
LATE = """() => {
  const section = document.querySelector('#section input, #section textarea');
  section.value = 'pairs';
  section.dispatchEvent(new Event('input', {bubbles: true}));
}"""


def test_back_forward_and_a_reload_bring_back_what_was_on_show(browser, practice):
    page = visit(browser, practice, 1280, 900)
    steps = page.evaluate("history.length")
    for place, asked in (
        (("Evidence",), {"tab": "evidence", "section": "chance"}),  # which opens with the tab
        (("Evidence", "head"), {"tab": "evidence", "section": "head"}),
        (("Turn heads",), {"tab": "turn"}),
    ):
        show_tab(page, *place)
        page.wait_for_function("asked => asked.every(([n, v]) => new URL(location).searchParams.get(n) === v)",
                               arg=list(asked.items()))  # fmt: skip
        settle(page)
    assert page.evaluate("history.length") == steps + 3  # a click is one step
    page.go_back()
    page.get_by_role("tab", name="Evidence", selected=True).wait_for()
    assert query(page)["section"] == "head"
    page.go_forward()
    page.get_by_role("tab", name="Turn heads", selected=True).wait_for()
    page.go_back()
    page.get_by_role("tab", name="Evidence", selected=True).wait_for()
    page.reload()
    page.wait_for_selector("#section-head > button.open")
    page.wait_for_selector("#one-head:visible")
    assert on_show(page) == "Evidence"
    page.evaluate(BUSY)
    page.go_back()  # to before the section was opened
    page.wait_for_selector("#section-head > button:not(.open)")
    page.wait_for_selector("#section-chance > button.open")
    settle(page)
    assert query(page)["section"] == "chance"
    page.wait_for_timeout(1000)
    page.evaluate(LATE)  # what nobody asked for with a hand makes no step, and leaves the way forward
    page.wait_for_function("new URL(location).searchParams.get('section') === 'pairs'")
    page.go_forward()
    page.wait_for_selector("#section-head > button.open")
    assert query(page)["section"] == "head"
    page.context.close()


def test_two_steps_back_at_once_show_where_they_lead(browser, practice):
    page = visit(browser, practice, 1280, 900)
    for name in ("Evidence", "Try a pair", "Run & publish"):
        show_tab(page, name)
        page.wait_for_function("tab => new URL(location).searchParams.get('tab') === tab", arg=IDS[name])
    page.evaluate("history.back(); setTimeout(() => history.back(), 20)")  # the first one's answer takes longer
    page.get_by_role("tab", name="Evidence", selected=True).wait_for()
    settle(page)
    assert on_show(page) == "Evidence" and query(page)["tab"] == "evidence"
    page.context.close()


def test_an_old_link_opens_its_section_and_a_link_inside_the_page_needs_no_reload(browser, practice):
    page = visit(browser, f"{practice}/?tab=pairs")
    page.wait_for_selector("#section-pairs > button.open")
    page.wait_for_selector("#prompts .pl-pair", state="attached")  # folded by category
    assert query(page)["tab"] == "evidence"
    show_tab(page, "Result")
    page.evaluate("window.sameDocument = true")
    page.locator('a.pl-go[href*="section=chance"]').first.click()
    page.wait_for_selector("#nulls svg:visible")
    assert page.evaluate("window.sameDocument") and on_show(page) == "Evidence"
    page.context.close()


def test_what_was_said_of_a_copied_link_goes_with_the_choice(browser, practice):
    page = visit(browser, practice, 1280, 900)
    page.click("#copy-link")
    page.wait_for_selector("#copied a")
    show_tab(page, "Evidence")
    page.wait_for_selector("#copied a", state="detached")
    page.context.close()
