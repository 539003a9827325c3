"""Parts of the page that are built when they are opened leave everything else as it was, in Chromium."""

import re

import pytest
from playwright.sync_api import expect
from visit import TABS, open_page, pick, settle, show_tab

SERVED = {("Result",), ("Try a pair",), ("Evidence",), ("Run & publish",), ("Run & publish", "method")}
BUILT = [where for where in TABS if where not in SERVED]


@pytest.mark.parametrize("where", BUILT, ids=" ".join)
def test_the_whole_page_follows_a_choice_after_a_part_was_built(browser, url, where):
    """Gradio's browser side puts the listeners of a part that is rendered in place of the page's own."""
    page = browser.new_page()
    open_page(page, url)
    page.wait_for_selector("#model-status >> text=Loaded", timeout=60_000)
    expect(page.locator("#hero .pl-chip")).to_contain_text("tiny-random")
    with page.expect_response(re.compile("queue/join|run/predict")):
        show_tab(page, *where)
    settle(page)
    pick(page, "Run", "untrained-klein-4b")
    expect(page).to_have_url(re.compile("run=untrained-klein-4b"))
    show_tab(page, "Result")
    expect(page.locator("#hero .pl-chip")).to_contain_text("untrained")
    page.close()


def test_evidence_opens_with_its_first_section_unless_another_is_on_show_or_it_was_closed(browser, url):
    page, opened = browser.new_page(), re.compile(r"\bopen\b")
    first = page.locator("#section-chance > button")
    open_page(page, url)
    show_tab(page, "Run & publish", "method")  # a section of another tab
    show_tab(page, "Evidence")
    expect(first).to_have_class(opened)
    expect(page.locator("#nulls svg:visible").first).to_be_visible()
    expect(page).to_have_url(re.compile("tab=evidence&section=chance"))
    first.click()
    show_tab(page, "Result")
    with page.expect_response(re.compile("run/predict")):
        page.get_by_role("tab", name="Evidence", exact=True).click()
    expect(page.locator("#section-axis > button")).to_be_visible()
    settle(page)
    expect(first).not_to_have_class(opened)
    open_page(page, url, tab="evidence", section="head")
    expect(page.locator("#one-head")).to_be_visible()
    settle(page)
    expect(first).not_to_have_class(opened)
    page.close()
