"""The tab with files to download: the chosen run as CSV, JSON and folder, its figures, and how to cite it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from html import escape, unescape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache

from plantain import PlantainError
from plantain.report.export import cite_bibtex, cite_text, file_name, report_json, run_zip, units_csv
from plantain.report.figures.catalogue import FIGURES
from plantain.report.labels import UNIT_WORDS
from plantain.runs.run import Run
from plantain.ui import html
from plantain.ui.address import share_base
from plantain.ui.downloads import saver
from plantain.ui.errors import failure_html, listener
from plantain.ui.state import LATER, VIEW, WORK, Choice, Page
from plantain.ui.texts import TAKE_HELP

_SCRIPTS = Path(__file__).parents[1] / "static"

_TAKE, _COPY = ((_SCRIPTS / name).read_text(encoding="utf-8") for name in ("takeaway.js", "copy.js"))

_SCRIPT = f"({_TAKE})({_COPY})"

_PREPARING = html.message_html("Preparing the file; at full size this takes several seconds …")

_NO_RUN = "There is no run to take away. Choose one above."


Make = Callable[[Run, str, str, str], tuple[str, bytes]]
"""(run, its name for others, units, scope) -> a file's name and content."""


FILES: dict[str, Make] = {
    "Units as CSV": lambda run, name, units, scope: (
        file_name(name, units, scope, suffix=".csv"),
        units_csv(run, units, scope),
    ),
    "Report as JSON": lambda run, name, units, scope: (
        file_name(name, units, scope, suffix=".json"),
        report_json(run, units, scope),
    ),
    "Whole run as zip": lambda run, name, units, scope: (
        file_name(name, suffix=".zip"),
        run_zip(run, file_name(name, suffix="")),
    ),
}
"""A button's words -> what it makes."""


@dataclass(frozen=True)
class _Shelf:
    """Where a file is handed out: a line that says how it stands, and a button to save it once more."""

    line: gr.HTML
    file: gr.DownloadButton

    @property
    def outputs(self) -> list[gr.components.Component]:
        return [self.line, self.file]


def take_tab(page: Page, choice: Choice) -> None:
    """Build the tab; it is filled when it is opened."""

    def show(name: str | None, units: str, scope: str, figure: str, unit: str, opened: bool) -> tuple[Any, ...]:
        if not opened:
            return (gr.skip(),) * (2 + len(_REFERENCES))
        try:
            run = _run(page, name)
            count = f"{run.analysis(units, scope).table.n_units:,} {UNIT_WORDS[units]}, scope {scope}"
            said = public_name(page, name, run), page.published, share_base()
            references = (cite_html(cite(run, *said), label) for cite, label in _REFERENCES)
            about = f"{html.chip_html(run)}<p>On show: {escape(count)}.</p>"
            return about, draw(name, units, scope, figure, unit), *references
        except PlantainError as error:
            return html.error_html(str(error)), *[""] * (1 + len(_REFERENCES))

    def draw(name: str | None, units: str, scope: str, figure: str, unit: str) -> str:
        try:
            return figure_html(_run(page, name), units, scope, figure, unit)
        except PlantainError as error:
            return html.error_html(str(error))

    def picture(figure: str, name: str | None, units: str, scope: str, unit: str) -> tuple[str, str]:
        run = _run(page, name)
        made = file_name(public_name(page, name, run), units, scope, figure, suffix="")
        return made, FIGURES[figure](run, units, scope, unit)

    with gr.Tab("Take away", id="take") as tab:
        gr.Markdown(TAKE_HELP)
        opened = gr.State(False)
        about = gr.HTML(elem_id="take-about")
        with gr.Row():
            data = {make: gr.Button(words, min_width=160) for words, make in FILES.items()}
        shelf = _shelf("take-data")
        gr.Markdown("## Figures")
        figure = saver("take-figure", list(FIGURES), picture, [*choice.inputs, choice.unit])
        preview = gr.HTML(elem_id="take-preview")
        gr.Markdown("## Cite this")
        references = [_reference(label) for _, label in _REFERENCES]
    inputs, outputs = [*choice.inputs, figure, choice.unit], [about, preview, *(text for text, _, _ in references)]
    tab.select(listener(lambda *now: (True, *show(*now, True))), inputs, [opened, *outputs], **VIEW)
    choice.on_change(show, [figure, choice.unit, opened], outputs)
    relay = gr.on([figure.change, choice.unit.change], None, js="() => []", **VIEW)  # as in Choice.relay
    relay.then(listener(draw), inputs, preview, **LATER)
    for make, button in data.items():
        _hand_out(page, button, make, choice.inputs, shelf)
    for text, button, line in references:
        button.click(None, None, line, js=_script(f"cite('{text.elem_id}')"), **VIEW)
    # What was made for another choice must not stand under a new one; the browser clears it without asking.
    lines = [shelf.line, *(line for *_, line in references)]
    changes = [component.change for component in choice.inputs]
    gr.on(changes, None, None, [*lines, shelf.file], js=_script(f"clear({len(lines)})"), **VIEW)


_REFERENCES = ((cite_text, "plain text"), (cite_bibtex, "BibTeX"))


def _run(page: Page, name: str | None) -> Run:
    run = page.run_or_none(name)
    if run is None:
        raise PlantainError(_NO_RUN)
    return run


def public_name(page: Page, name: str | None, run: Run) -> str:
    """Name a run for others: a visitor's own goes by its date, since its name opens it here."""
    return name if name in page.store.saved else f"own-{run.info.date[:16].replace(':', '')}-seed-{run.info.seed}"


def _shelf(elem_id: str) -> _Shelf:
    line = gr.HTML(elem_id=f"{elem_id}-line")
    return _Shelf(line, gr.DownloadButton("Save", visible=False, size="sm", elem_id=f"{elem_id}-file"))


def _reference(label: str) -> tuple[gr.HTML, gr.Button, gr.HTML]:
    text = gr.HTML(elem_id=f"cite-{label.split()[0].lower()}")
    with gr.Row():
        button = gr.Button(f"Copy as {label}", size="sm", scale=0, min_width=160)
        line = gr.HTML()
    return text, button, line


def _script(call: str) -> str:
    return f"({_SCRIPT}).{call}"


def _hand_out(page: Page, button: gr.Button, make: Callable, inputs: list, shelf: _Shelf) -> None:
    """Prepare a file at a click, say so meanwhile, and give it to the browser."""

    def prepare(name: str | None, *chosen: str) -> tuple[str, Any]:
        try:
            run = _run(page, name)
            made, content = make(run, public_name(page, name, run), *chosen)
            # Straight into the folder that Gradio serves, so that no second copy is left: the page deletes it later.
            path = save_bytes_to_cache(content, made, shelf.file.GRADIO_CACHE)
        except Exception as error:  # whatever breaks, the page must not stay at "Preparing"
            return failure_html(error), gr.update(visible=False, value=None)
        words = html.message_html(f"Ready: {made}, {size_words(len(content))}. If it does not arrive by itself:")
        return words, gr.update(visible=True, value=path, label=f"Save {made}")

    waiting = gr.update(visible=False, value=None)
    event = button.click(listener(lambda: (_PREPARING, waiting)), None, shelf.outputs, **VIEW)
    event = event.then(listener(prepare), inputs, shelf.outputs, concurrency_id="take", concurrency_limit=2, **WORK)
    event.then(None, shelf.file, None, js=_script("save"), **VIEW)


def size_words(n_bytes: int) -> str:
    """Write a file's size for people."""
    return f"{n_bytes / 1e6:.1f} MB" if n_bytes >= 1e6 else f"{max(1, round(n_bytes / 1e3))} kB"


def figure_html(run: Run, units: str, scope: str, figure: str, unit: str = "") -> str:
    """Show a figure before it is taken, with the words that will stand under it."""
    svg = FIGURES[figure](run, units, scope, unit)
    return html.figure_html(svg, unescape(re.search(r'aria-label="([^"]*)"', svg)[1]))


def cite_html(text: str, label: str) -> str:
    """Show a reference as text that can be selected, by keyboard too."""
    return f'<pre class="pl-cite" tabindex="0" role="group" aria-label="{escape(label)}">{escape(text)}</pre>'
