"""What a visitor does on the page, and what is looked at. Used by the app's tests."""

import json
import subprocess
import sys
from urllib.parse import quote, urlencode

from axe_playwright_python.sync_playwright import Axe
from browser import ROOT

TABS = (
    ("Result",), ("Try a pair",), ("Evidence",),
    *(("Evidence", section) for section in ("chance", "axis", "pairs", "head", "compare")),
    ("Turn heads",), ("Run & publish",), ("Run & publish", "take"), ("Run & publish", "method"),
)  # fmt: skip
"""Every screen: a tab, and the section that is opened in it."""


def open_page(page, url, run="tiny-random", **query):
    """Open an address on a run and wait for its first answer; with None, on what the page shows by itself.

    A run of random weights is shown only where it is asked for.
    """
    asked = {**({"run": run} if run else {}), **query}
    page.goto(f"{url}/?{urlencode(asked, quote_via=quote)}" if asked else url)
    page.wait_for_selector("#hero .pl-chip" if run else "#hero > *", state="attached")


def unfold(page, selector):
    """Open a folded part unless it is open."""
    if page.locator(f"{selector} > button.open").count() == 0:
        page.locator(f"{selector} > button").click()


def show_tab(page, name, section=None):
    """Open a tab, and a section of it unless it is open."""
    page.get_by_role("tab", name=name, exact=True).click()
    if name == "Evidence":  # the first section opens by itself, unless another is on show
        page.wait_for_selector("[role=tabpanel]:visible .pl-section > button.open")
    if section:
        unfold(page, f"#section-{section}")


def show_figures(page):
    """Open what is folded at the end of the first tab: the headline, the cards of figures, cautions, further maps."""
    show_tab(page, "Result")
    unfold(page, "#all-figures")


def all_words(page, selector):
    """Read a part of the page with everything opened that is folded in it."""
    opened = "(part) => { part.querySelectorAll('details').forEach((d) => { d.open = true; }); return part.innerText; }"
    return page.locator(selector).evaluate(opened)


def pick(page, label, option):
    if label in ("Units", "Scope"):
        unfold(page, "#advanced")
    page.get_by_role("combobox", name=label, exact=True).click()
    page.get_by_role("option", name=option).click()


def download(page, button):
    """Click, and return what arrives: its name and content."""
    with page.expect_download(timeout=60_000) as arriving:
        page.get_by_role("button", name=button, exact=True).click()
    return arriving.value.suggested_filename, open(arriving.value.path(), "rb").read()


def reported(units="card", scope="all", *options, run="tiny-random"):
    command = [sys.executable, "-m", "plantain", "report", f"precomputed/{run}", "--json"]
    done = subprocess.run(
        [*command, "--units", units, "--scope", scope, *options], cwd=ROOT, capture_output=True, check=True
    )
    return json.loads(done.stdout)


# How far things moved while the page was loading, summed, without what a visitor caused.
SHIFTS = """
window.shifted = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifted += entry.value;
}).observe({type: "layout-shift", buffered: true});
"""

# Toasts are Gradio's own and cannot be mended from here.
EXCEPTED = {"exclude": [[".toast-wrap"]]}
# Text that does not fit its element. A figure's text must lie inside its figure and be at least 11 px high on screen.
CUT = """() => {
  const found = [];
  const seen = (e) => e.checkVisibility({visibilityProperty: true, opacityProperty: true});
  for (const e of document.querySelectorAll('.gradio-container *')) {
    const words = [...e.childNodes].filter(n => n.nodeType === 3 && n.data.trim()).map(n => n.data.trim()).join(' ');
    if (!words || !seen(e) || e.closest('.sr-only')) continue;  // said to screen readers, one pixel wide for others
    const svg = e.closest('svg');
    if (svg) {
      if (e.tagName !== 'text') continue;
      const [box, frame] = [e.getBoundingClientRect(), svg.getBoundingClientRect()];
      if (box.left < frame.left - 1 || box.right > frame.right + 1) found.push('figure: ' + words);
      const size = parseFloat(getComputedStyle(e).fontSize) * frame.width / svg.viewBox.baseVal.width;
      if (size < 10.99) found.push(`${size.toFixed(1)} px in a figure: ` + words);
      continue;
    }
    if (e.clientWidth && e.scrollWidth > e.clientWidth + 1) found.push(`${e.tagName}.${e.className}: ` + words);
    if (parseFloat(getComputedStyle(e).fontSize) < 11) found.push(`small ${e.tagName}: ` + words);
  }
  for (const e of document.querySelectorAll('button.label-wrap > .icon')) {  // turned, beside a title of two lines
    const [box, frame] = [e.getBoundingClientRect(), e.parentElement.getBoundingClientRect()];
    if (seen(e) && box.right > frame.right + 6) found.push('arrow of ' + e.parentElement.innerText);
  }
  return found;
}"""


def settle(page):
    """Wait until no view is being computed."""
    page.wait_for_function("!document.querySelector('.gradio-container .generating, .gradio-container .pending')")
    page.wait_for_timeout(400)


def serious(page):
    """List axe-core's serious and critical findings: rule, and where; of colours that do not change any more."""
    page.wait_for_function("!document.getAnimations().some((running) => running instanceof CSSTransition)")
    found = Axe().run(page, context=EXCEPTED).response["violations"]
    return [
        (v["id"], n["target"], n["html"][:160])
        for v in found
        if v["impact"] in ("serious", "critical")
        for n in v["nodes"]
    ]
