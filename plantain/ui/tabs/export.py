"""The section with files to download: the chosen run as CSV, JSON and folder, its figures, and how to cite it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache

from plantain import PlantainError
from plantain.report.export import cite_bibtex, cite_text, file_name, report_json, run_zip, units_csv
from plantain.report.figures.catalogue import FIGURES, Figure, OneRun, figure
from plantain.report.labels import UNIT_WORDS
from plantain.runs.run import Run
from plantain.runs.units import Selection
from plantain.ui import html
from plantain.ui.address import share_base
from plantain.ui.downloads import saver
from plantain.ui.errors import failure_html, listener
from plantain.ui.lazy import fill, follows
from plantain.ui.state import LATER, VIEW, WORK, Choice, Page, or_error
from plantain.ui.texts import TAKE_HELP

_SCRIPTS = Path(__file__).parents[1] / "static"

_TAKE, _COPY = ((_SCRIPTS / name).read_text(encoding="utf-8") for name in ("takeaway.js", "copy.js"))

_PREPARING = html.message_html("Preparing the file; at full size this takes several seconds …")

_NO_FILE = gr.update(visible=False, value=None)

FILES: dict[str, Callable[[Run, str, Selection], tuple[str, bytes]]] = {
    "Units as CSV": lambda run, name, of: (file_name(name, of.units, of.scope, suffix=".csv"), units_csv(run, of)),
    "Report as JSON": lambda run, name, of: (file_name(name, of.units, of.scope, suffix=".json"), report_json(run, of)),
    "Whole run as zip": lambda run, name, of: (
        file_name(name, suffix=".zip"),
        run_zip(run, file_name(name, suffix="")),
    ),
}
"""A button's words -> (run, its name for others, units and scope) -> a file's name and content."""

_REFERENCES = {"plain text": cite_text, "BibTeX": cite_bibtex}


def take_section(page: Page, choice: Choice) -> None:
    """Build the section, lazily."""

    @or_error("", *[""] * len(_REFERENCES))
    def show(name: str | None, units: str, scope: str, chosen: str, unit: str) -> tuple[str, ...]:
        run = page.run(name)
        count = f"{run.analysis(Selection(units, scope)).table.n_units:,} {UNIT_WORDS[units]}, scope {scope}"
        said = public_name(page, name, run), page.published, share_base()
        references = (cite_html(cite(run, *said), label) for label, cite in _REFERENCES.items())
        about = f"{html.chip_html(run)}<p>On show: {escape(count)}.</p>"
        return about, draw(name, units, scope, chosen, unit), *references

    def draw(name: str | None, units: str, scope: str, chosen: str, unit: str) -> str:
        try:
            return html.figure_html(figure(chosen, OneRun(page.run(name), Selection(units, scope), unit)))
        except PlantainError as error:
            return html.error_html(str(error))

    def picture(chosen: str, name: str | None, units: str, scope: str, unit: str) -> tuple[str, Figure]:
        run = page.run(name)
        made = file_name(public_name(page, name, run), units, scope, chosen, suffix="")
        return made, figure(chosen, OneRun(run, Selection(units, scope), unit))

    def prepare(kind: str, name: str | None, units: str, scope: str) -> tuple[str, Any]:
        try:
            run = page.run(name)
            made, content = FILES[kind](run, public_name(page, name, run), Selection(units, scope))
            # Straight into the folder that Gradio serves, so that no second copy is left: the page deletes it later.
            path = save_bytes_to_cache(content, made, file.GRADIO_CACHE)
        except Exception as error:  # whatever breaks, the page must not stay at "Preparing"
            return failure_html(error), _NO_FILE
        words = html.message_html(f"Ready: {made}, {size_words(len(content))}. If it does not arrive by itself:")
        return words, gr.update(visible=True, value=path, label=f"Save {made}")

    gr.HTML(TAKE_HELP)
    about = gr.HTML(elem_id="take-about")
    with gr.Row():
        data = {kind: gr.Button(kind, min_width=160) for kind in FILES}
    line = gr.HTML(elem_id="take-data-line")
    file = gr.DownloadButton("Save", visible=False, size="sm", elem_id="take-data-file")
    gr.HTML("<h2>Figures</h2>")
    followed = follows(unit=True)
    chosen = saver("take-figure", list(FIGURES[OneRun]), picture, [*choice.inputs, choice.unit], [followed])
    preview = gr.HTML(elem_id="take-preview")
    gr.HTML("<h2>Cite this</h2>")
    texts, lines = [], [line]
    for label in _REFERENCES:
        texts.append(gr.HTML(elem_id=f"cite-{label.split()[0].lower()}"))
        with gr.Row():
            button = gr.Button(f"Copy as {label}", size="sm", scale=0, min_width=160)
            lines.append(gr.HTML())
        button.click(None, None, lines[-1], js=_script(f"cite('{texts[-1].elem_id}')"), **VIEW)
    fill(choice, show, [chosen, choice.unit], [about, preview, *texts], followed)
    choice.relay_of(chosen.change, followed).then(
        listener(draw), [*choice.inputs, chosen, choice.unit], preview, **LATER
    )
    for kind, button in data.items():
        event = button.click(listener(lambda: (_PREPARING, _NO_FILE)), None, [line, file], **VIEW).then(
            listener(partial(prepare, kind)), choice.inputs, [line, file], concurrency_id="take", concurrency_limit=2,
            **WORK,
        )  # fmt: skip
        event.then(None, file, None, js=_script("save"), **VIEW)
    # What was made for another choice must not stand under a new one; the browser clears it without asking.
    choice.relay_of(followed).then(None, None, [*lines, file], js=_script(f"clear({len(lines)})"), **VIEW)


def public_name(page: Page, name: str | None, run: Run) -> str:
    """Name a run for others: a visitor's own goes by its date, since its name opens it here."""
    return name if name in page.store.saved else f"own-{run.info.date[:16].replace(':', '')}-seed-{run.info.seed}"


def _script(call: str) -> str:
    return f"(({_TAKE})({_COPY})).{call}"


def size_words(n_bytes: int) -> str:
    """Write a file's size for people."""
    return f"{n_bytes / 1e6:.1f} MB" if n_bytes >= 1e6 else f"{max(1, round(n_bytes / 1e3))} kB"


def cite_html(text: str, label: str) -> str:
    """Show a reference as text that can be selected, by keyboard too."""
    return f'<pre class="pl-cite" tabindex="0" role="group" aria-label="{escape(label)}">{escape(text)}</pre>'
