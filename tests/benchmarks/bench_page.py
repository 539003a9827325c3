"""The page against an empty Gradio page, and how long its views take on the server. Run by hand.

    python tests/benchmarks/bench_page.py

(a) From opening the page to the first figures on the screen, and to the page that can be used, against one `gr.HTML` in
`gr.Blocks`: fresh browser context, nine interleaved loads each, medians; and how much shifts at load (CLS). (b) When
the page is served, and when torch is imported. (c) Seconds on the server of a switch of run, units or scope at full
size (the shipped untrained control, 16,320 units): the first time, with nothing computed before, and again.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from browser import app_command, chromium, serving  # noqa: E402

from plantain.runs.units import Selection  # noqa: E402

EMPTY = "import gradio as gr\nwith gr.Blocks() as demo:\n    gr.HTML('<p id=figure>0</p>')\ndemo.launch({options})\n"
RUNS = str(ROOT / "precomputed")
LOADS = 9
FIGURES = ".pl-hero"


SHIFTS = """
window.shifted = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifted += entry.value;
}).observe({type: "layout-shift", buffered: true});
"""


SHOWN = """
new MutationObserver((_, observer) => {
  if (!document.querySelector(SELECTOR)) return;
  observer.disconnect();
  requestAnimationFrame(() => requestAnimationFrame(() => { window.shown = performance.now(); }));
}).observe(document, {childList: true, subtree: true, attributes: true});
"""


def shift(browser, url: str, width: int) -> float:
    """Return the cumulative layout shift of a load, until the slower statistics stand."""
    context = browser.new_context(viewport={"width": width, "height": 900})
    page = context.new_page()
    page.add_init_script(SHIFTS)
    page.goto(url)
    page.wait_for_selector("#questions")
    page.wait_for_timeout(1000)
    found = page.evaluate("shifted")
    context.close()
    return found


def seconds_to(browser, url: str, selector: str) -> float:
    """Seconds from opening a page, in a fresh context, to the frame that shows an element, by the page's own clock.

    Playwright's waits look at times of their own: an idle page is found half a second late in some loads.
    """
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.add_init_script(SHOWN.replace("SELECTOR", json.dumps(selector)))
    page.goto(url, wait_until="commit")
    took = page.wait_for_function("window.shown").json_value()
    context.close()
    return took / 1000


def loads() -> None:
    """Print (a)."""
    options = "ssr_mode=False, footer_links=['api'], run_history=False"
    with tempfile.TemporaryDirectory() as folder:
        script, logs = Path(folder) / "empty.py", Path(folder)
        script.write_text(EMPTY.format(options=options))
        ours = serving(app_command(), logs / "ours", PLANTAIN_MODEL="tiny-random", PLANTAIN_RUNS=RUNS)
        empty = serving([sys.executable, str(script)], logs / "empty", GRADIO_ANALYTICS_ENABLED="False")
        with ours as page, empty as peer, chromium() as browser:
            places = [(page, FIGURES), (page, f"#hero {FIGURES}"), (peer, "#figure")]
            for place in places:
                seconds_to(browser, *place)  # the first load fills the servers' caches
            time.sleep(20)  # the model loads and statistics are computed in the background
            took = [[seconds_to(browser, *place) for place in places] for _ in range(LOADS)]
            shifted = {width: shift(browser, page, width) for width in (1280, 390)}
    figures, whole, theirs = (median(column) for column in zip(*took, strict=True))
    print(
        f"(a) an empty page after {theirs:.3f} s; first figures after {figures:.3f} s, ratio {figures / theirs:.2f};",
        end="",
    )
    print(f" the whole page after {whole:.3f} s, ratio {whole / theirs:.2f}")
    print("(a) layout shift: " + ", ".join(f"{value:.3f} at {width} px" for width, value in shifted.items()))


def start() -> None:
    """Print (b)."""
    began = time.perf_counter()
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(app_command(), Path(folder) / "log", PLANTAIN_MODEL="tiny-random", PLANTAIN_RUNS=RUNS) as url,
        chromium() as browser,
    ):
        served = time.perf_counter() - began
        seconds_to(browser, url, FIGURES)
        painted = time.perf_counter() - began
        page = browser.new_page()
        page.goto(url)
        page.wait_for_selector("#model-status >> text=Loaded", timeout=120_000)
        print(
            f"(b) served after {served:.1f} s, figures {painted:.1f} s, model ready {time.perf_counter() - began:.1f} s"
        )


def views() -> None:
    """Print (c)."""
    from plantain.findings.published import load_published
    from plantain.runs.scopes import UNITS, scopes_of
    from plantain.ui.state import RunStore
    from plantain.ui.tabs.result import blocks_html, findings_html, main_map

    store, published = RunStore(ROOT / "precomputed"), load_published()
    control, other = store.saved["untrained-klein-4b"], store.saved["tiny-random"]
    for words in ("first", "again"):
        took = {}
        for units in UNITS:
            for scope in scopes_of(units):
                for name, run, beside in (("control", control, None), ("stand-in beside control", other, control)):
                    begun = time.perf_counter()
                    findings_html(run, published, Selection(units, scope), beside)
                    main_map(run, Selection(units, scope))
                    blocks_html(run, published, Selection(units, scope))
                    took[f"{name}, {units}, {scope}"] = time.perf_counter() - begun
        slowest = max(took, key=took.__getitem__)
        print(
            f"(c) {words}: median {1000 * median(took.values()):.0f} ms, most {1000 * took[slowest]:.0f} ms ({slowest})"
        )


if __name__ == "__main__":
    views()
    start()
    loads()
