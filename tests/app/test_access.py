"""Everyone can use the page: axe-core on every tab, no text cut, a whole visit by keyboard alone."""

import re
from itertools import groupby

import pytest
from browser import OUTPUT
from visit import CUT, TABS, open_page, serious, settle, show_figures, show_tab, unfold

# The layout follows from the width, the colours from the mode: every tab in each, all four screens for the first tab.
SCREENS = [(1280, "light", TABS), (390, "dark", TABS), (1280, "dark", TABS[:1]), (390, "light", TABS[:1])]

ALL_OPEN = "all open"  # what is folded on the first tab and above it, and a head beside the map


def by_tab(tabs):
    return {name: list(parts) for name, parts in groupby(tabs, key=lambda part: part[0])}


def opened(browser, url, width, mode):
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=mode)
    page = context.new_page()
    open_page(page, url, __theme=mode)
    page.wait_for_function("!document.querySelector('#questions').innerText.includes('Being computed')")
    page.wait_for_selector("#model-status >> text=Loaded", timeout=60_000)
    return page


@pytest.mark.parametrize(("width", "mode", "tabs"), SCREENS)
def test_every_tab_is_accessible_and_nothing_is_cut(browser, url, width, mode, tabs):
    """Sections stay open, so a tab is looked at once, with all of its sections."""
    OUTPUT.mkdir(exist_ok=True)
    page, found = opened(browser, url, width, mode), {}
    for tab, parts in (*by_tab(tabs).items(), (ALL_OPEN, ())):
        for part in parts:
            show_tab(page, *part)
            settle(page)
        for _, section in (part for part in parts if len(part) == 2):
            assert page.locator(f"#section-{section} > button.open").count() == 1
        if tab == ALL_OPEN:
            unfold(page, "#advanced")
            show_figures(page)
            page.wait_for_selector("#further-maps [data-u]")
            page.wait_for_selector("#careful details")
            page.locator("#heat-map [data-u]").first.click()
            page.wait_for_selector("#drawer svg")
            settle(page)
        name = tab.lower().replace(" ", "-")
        page.screenshot(path=OUTPUT / f"{name}-{width}-{mode}.png", full_page=True)
        problems = [*serious(page), *page.evaluate(CUT)]
        if page.evaluate("document.documentElement.scrollWidth") > width:
            problems.append("the page is wider than the screen")
        if problems:
            found[tab] = problems
    page.context.close()
    assert found == {}


@pytest.mark.parametrize(("width", "mode"), [(1280, "light"), (390, "dark")])
def test_a_probe_that_runs_and_an_error_are_accessible_too(browser, url, width, mode):
    page, found = opened(browser, url, width, mode), {}
    show_tab(page, "Try a pair")
    page.get_by_label("Positive (helping)").fill(" ")
    page.click("#score-pair")
    page.wait_for_selector("#pair-answer [role=alert]")
    page.wait_for_selector("#score-pair:not([disabled])")
    found["an error"] = [*serious(page), *page.evaluate(CUT)]
    show_tab(page, "Run & publish")
    page.click("#run-probe")
    page.wait_for_selector("#probe-progress progress", timeout=60_000)
    found["a probe runs"] = [*serious(page), *page.evaluate(CUT)]
    page.get_by_role("button", name="Stop").click()
    page.context.close()
    assert {name: problems for name, problems in found.items() if problems} == {}


def test_the_check_for_cut_text_can_fail(browser, url):
    page = opened(browser, url, 390, "light")
    show_figures(page)
    page.wait_for_selector(".pl-card dt")
    assert page.evaluate(CUT) == []
    page.evaluate(
        "document.querySelector('.pl-lead').style.cssText = 'width: 40px; overflow: hidden; white-space: nowrap'"
    )
    page.evaluate("document.querySelector('.pl-card dt').style.fontSize = '9px'")
    found = page.evaluate(CUT)
    page.context.close()
    assert len(found) == 2 and found[0].startswith("P.pl-lead") and found[1].startswith("small DT")


def focus_by_tab(page, selector, most=120):
    """Press Tab until an element that matches has the focus."""
    for _ in range(most):
        if page.evaluate("s => document.activeElement.matches(s)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{selector} was not reached by {most} presses of Tab")


def focused(page):
    return page.evaluate("document.activeElement.getAttribute('aria-label') || document.activeElement.innerText")


def test_the_map_has_one_tab_stop_and_arrow_keys(browser, url):
    page = opened(browser, url, 1280, "light")
    assert page.locator("#heat-map [data-u][tabindex='0']").count() == 1
    focus_by_tab(page, "#heat-map [data-u]")
    assert focused(page).startswith("joint[0] head 0: t = ")
    for key, name in [("ArrowRight", "joint[0] head 1"), ("ArrowDown", "joint[1] head 1"), ("End", "joint[1] head 3"),
                      ("ArrowRight", "joint[1] head 3"), ("ArrowUp", "joint[0] head 3"), ("ArrowUp", "joint[0] head 3"),
                      ("Home", "joint[0] head 0"), ("ArrowDown", "joint[1] head 0")]:  # fmt: skip
        page.keyboard.press(key)
        assert focused(page).startswith(f"{name}: t = "), key
        assert page.inner_text("#heat-map .pl-map-said") == focused(page)
    page.keyboard.press("Tab")
    assert not page.evaluate("document.activeElement.matches('[data-u]')")
    page.keyboard.press("Shift+Tab")
    assert focused(page).startswith("joint[1] head 0")  # the map remembers where one was
    page.context.close()


def test_a_whole_visit_by_keyboard_alone(browser, url):
    page = opened(browser, url, 1280, "light")
    keys = page.keyboard
    focus_by_tab(page, "#advanced > button")
    keys.press("Enter")
    focus_by_tab(page, "input[aria-label=Units]")  # another kind of units, in the dropdown
    page.wait_for_selector("[role=option]")  # opens on focus
    keys.press("ArrowDown")
    keys.press("Enter")
    page.wait_for_url(re.compile("units=heads"))
    focus_by_tab(page, "#heat-map [data-u]")  # a head, from the map
    keys.press("ArrowDown")
    keys.press("Enter")
    page.wait_for_selector("#drawer >> text=joint[1] head 0")
    assert focused(page).startswith("joint[1] head 0: t = ")  # the next one is an arrow key away
    focus_by_tab(page, "#all-figures > button")  # what is folded
    keys.press("Enter")
    page.wait_for_selector("#findings >> text=100 attention heads")
    page.evaluate("document.activeElement.blur()")
    keys.press("Control+Home")
    focus_by_tab(page, "#drawer a.pl-go")  # all about the head, in another tab
    keys.press("Enter")
    page.wait_for_selector("#one-head >> text=joint[1] head 0")
    page.wait_for_selector("#one-head-corrected >> text=family-wise p", state="attached")  # folded
    page.evaluate("document.activeElement.blur(); document.body.focus()")
    tab_by_keys(page, "Try a pair")  # a pair
    focus_by_tab(page, "#pair-positive textarea")
    keys.press("Control+A")
    keys.type("Tom helps the blind man cross.")
    focus_by_tab(page, "#score-pair")
    keys.press("Enter")
    page.wait_for_selector("#pair-answer svg", timeout=60_000)
    tab_by_keys(page, "Run & publish")  # a probe, stopped
    focus_by_tab(page, "#run-probe")
    keys.press("Enter")
    page.wait_for_selector("#probe-progress progress", timeout=60_000)
    focus_by_tab(page, "button.stop")
    keys.press("Enter")
    page.wait_for_selector("#probe-progress >> text=Stopped")
    page.context.close()


def tab_by_keys(page, name):
    """Open a tab: Tab to the row of tabs, arrow keys or further Tabs to the name, Enter."""
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Control+Home")
    for _ in range(120):
        if page.evaluate(
            "n => document.activeElement.matches('[role=tab]') && document.activeElement.innerText.trim() === n", name
        ):
            page.keyboard.press("Enter")
            page.wait_for_selector(f"[role=tab][aria-selected=true] >> text={name}")
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"the tab {name!r} was not reached by keyboard")


def test_a_click_in_the_map_opens_the_head_and_pickers_do_as_well(browser, url):
    page = opened(browser, url, 390, "light")
    page.locator("#heat-map [data-u='single[4] head 2']").click()
    page.wait_for_selector("#drawer >> text=single[4] head 2")
    assert page.get_by_role("tab", name="Result", selected=True).is_visible()  # it opens beside the map
    page.get_by_role("link", name="All about this head").click()
    page.wait_for_selector("#one-head >> text=single[4] head 2")
    assert re.search(r"rank \d+ of 100 by \|t\|", page.inner_text("#one-head"))
    for target in ("#block", "#picker"):
        assert page.locator(f"{target} .wrap").first.bounding_box()["height"] >= 24
    page.context.close()
