"""Figures in a browser: the layout fits the column, and a mark says its number where one points or goes by keys."""

import pytest
from visit import settle

from plantain.report.figures import svg
from plantain.ui.theme import static

pytestmark = pytest.mark.app

DOTS = [svg.dot(x, 40, "pl-dot", f"pair <b>{i}</b>: +{i}.0") for i, x in enumerate((40, 160, 280))]
FIGURE = svg.fluid(lambda width: svg.Drawing(width, 90, [svg.text(0, 20, f"{width} px"), *DOTS]), "three dots")


@pytest.fixture
def page(browser):
    page = browser.new_page(viewport={"width": 1000, "height": 600})
    page.set_content(
        f"<style>body {{margin: 0}} {svg.STYLES.read_text()} {static('figures.css')}</style>"
        f'<div id="column"><div class="pl-fluid" tabindex="0">{FIGURE}</div></div><p id="below">x</p>'
    )
    page.add_script_tag(content=static("tip.js"))
    yield page
    page.close()


@pytest.mark.parametrize(("column", "width"), [(320, 330), (440, 330), (460, 480), (750, 480), (770, 820), (990, 820)])
def test_one_layout_is_seen_and_its_text_is_large_enough(page, column, width):
    page.evaluate(f"document.getElementById('column').style.width = '{column}px'")
    seen = page.locator("svg.pl-svg:visible")
    assert seen.count() == 1 and seen.text_content().startswith(f"{width} px")
    frame = seen.bounding_box()
    assert frame["width"] == pytest.approx(column, abs=1) and 12 * frame["width"] / width >= 10.99


def test_a_tooltip_follows_the_pointer_and_the_mark_keeps_its_title(page):
    tip = page.locator(".pl-tip")
    assert not tip.is_visible()
    marks = page.locator("svg.pl-svg:visible g")
    for i in (0, 2):
        marks.nth(i).locator("circle").hover()
        assert tip.text_content() == f"pair <b>{i}</b>: +{i}.0"
        box, mark = tip.bounding_box(), marks.nth(i).locator("circle").bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 1000 and abs(box["y"] - mark["y"]) < 60
        assert marks.nth(i).locator("title").text_content() == ""  # or the browser would show its own as well
    page.hover("#below")
    assert not tip.is_visible()
    assert [marks.nth(i).locator("title").text_content() for i in range(3)] == [
        f"pair <b>{i}</b>: +{i}.0" for i in range(3)
    ]


def test_the_arrow_keys_go_through_the_marks_and_escape_ends_it(page):
    tip = page.locator(".pl-tip")
    page.focus(".pl-fluid")
    said = []
    for key in ("ArrowRight", "ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)
        said.append(tip.text_content()[-4:])
    assert said == ["+0.0", "+1.0", "+2.0", "+2.0", "+1.0"] and tip.get_attribute("role") == "status"
    page.keyboard.press("Escape")
    assert not tip.is_visible()
    page.keyboard.press("ArrowLeft")
    page.locator("#below").evaluate("(e) => { e.tabIndex = 0; e.focus(); }")
    assert not tip.is_visible()


def test_the_page_keeps_the_rules_of_the_layouts_and_loads_the_tooltips_once(browser, url):
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(f"{url}/?run=tiny-random&tab=evidence&section=pairs")
    page.wait_for_selector("#pairs svg.pl-svg")
    settle(page)
    for width, look in ((390, "pl-narrow"), (1280, "pl-wide")):
        page.set_viewport_size({"width": width, "height": 844})
        seen = page.locator("#pairs svg.pl-svg:visible")
        assert seen.count() == 1 and look in seen.get_attribute("class").split()
    page.locator("#pairs svg.pl-svg:visible g:has(> title) circle").last.hover()
    assert page.locator(".pl-tip").count() == 1 and ": score " in page.inner_text(".pl-tip")
    page.close()
