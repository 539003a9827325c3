"""What a visitor does on the page, and what is looked at. Used by the app's tests."""

import json
import subprocess
import sys

from axe_playwright_python.sync_playwright import Axe
from browser import ROOT
from playwright.sync_api import TimeoutError

TABS = (
    "Findings", "Your pair", "One head", "Chance", "Pairs", "Compare", "Atlas", "Run the probe", "Take away", "Method",
)  # fmt: skip


def show_tab(page, name):
    """Open a tab. Gradio moves tabs in and out of the overflow menu while it lays out: look again where one moved."""
    tab = page.get_by_role("tab", name=name, exact=True)
    for patience in (2_000, 5_000, 30_000):
        try:
            if tab.count():
                return tab.click(timeout=patience)
            page.get_by_role("button", name="More tabs").click(timeout=patience)
            return page.locator(".overflow-dropdown button", has_text=name).click(timeout=patience)
        except TimeoutError:
            if patience == 30_000:
                raise


def pick(page, label, option):
    page.get_by_role("combobox", name=label, exact=True).click()
    page.get_by_role("option", name=option).click()


def download(page, button):
    """Click, and return what arrives: its name and content."""
    with page.expect_download(timeout=60_000) as arriving:
        page.get_by_role("button", name=button, exact=True).click()
    return arriving.value.suggested_filename, open(arriving.value.path(), "rb").read()


def reported(units="card", scope="all", *options):
    command = [sys.executable, "-m", "plantain", "report", "precomputed/tiny-random", "--json"]
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
  return found;
}"""


def settle(page):
    """Wait until no view is being computed."""
    page.wait_for_function("!document.querySelector('.gradio-container .generating, .gradio-container .pending')")
    page.wait_for_timeout(400)


def serious(page):
    """List axe-core's serious and critical findings: rule, and where."""
    found = Axe().run(page, context=EXCEPTED).response["violations"]
    return [
        (v["id"], n["target"], n["html"][:160])
        for v in found
        if v["impact"] in ("serious", "critical")
        for n in v["nodes"]
    ]
