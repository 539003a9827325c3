"""The tab that compares several axes: is one an axis of its own?

What was compared before is shown when the tab opens; anything else is computed at a click.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from html import escape
from typing import Any

import gradio as gr

from plantain import PlantainError
from plantain.findings.atlas import (
    Atlas,
    Axis,
    Gathered,
    atlas_key,
    atlas_seconds,
    gather,
    iter_atlas,
    read_atlas,
    read_axes,
    write_atlas,
)
from plantain.prompts.sets import shipped_sets
from plantain.report.atlas import Part, atlas_parts, finding, siblings_part, size_caution
from plantain.report.export import file_name
from plantain.report.figures.catalogue import FIGURES, Figure, FigureError, ManyAxes, figure
from plantain.report.labels import run_command, weights_label
from plantain.report.numbers import duration
from plantain.runs.info import NotComparableError, RunInfo
from plantain.runs.units import Selection
from plantain.ui import html
from plantain.ui.downloads import saver
from plantain.ui.errors import failure_html, listener
from plantain.ui.state import HIDDEN, VIEW, Choice, Page, or_error, queued
from plantain.ui.texts import ATLAS_HELP

REFUSED = "Nothing was compared: the queue is full or the connection broke. Try again in a minute."

KEPT = 16  # atlases in memory; one holds about 50 KB


class _Atlases:
    """What the tab's listeners share: the page, and the atlases that were made here."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.made: OrderedDict[str, Atlas] = OrderedDict()
        self.begun: set[str] = set()  # sessions whose comparison has begun and not ended

    def together(self, name: str | None, mine: list[tuple[str, str]]) -> Gathered:
        """Find the runs that belong with a run; a visitor's own goes by its label, since its name opens it."""
        labels = {own: label for label, own in mine}
        theirs = {label: run for label, own in mine if (run := self.page.store.find(own)) is not None}
        chosen = labels.get(name, name)
        return gather({chosen: self.page.run(name)} | self.page.store.saved | theirs, chosen)

    def find(self, axes: list[Axis], selection: Selection) -> Atlas | None:
        """Return an atlas that was made before."""
        return self.made.get(atlas_key(axes, selection)) or read_atlas(axes, selection, self._folder(axes))

    def put(self, atlas: Atlas, axes: list[Axis]) -> None:
        """Keep an atlas in memory, and beside the saved runs where it is of them alone."""
        self.made[atlas_key(axes, Selection(atlas.units, atlas.scope))] = atlas
        while len(self.made) > KEPT:
            self.made.popitem(last=False)
        write_atlas(atlas, axes, self._folder(axes))

    def _folder(self, axes: list[Axis]) -> Any:
        saved = self.page.store.saved
        return self.page.store.folder if all(saved.get(axis.name) is axis.run for axis in axes) else None


def atlas_tab(page: Page, choice: Choice) -> None:
    """Build the tab; it is filled when it is opened."""
    atlases = _Atlases(page)

    @or_error(HIDDEN, "", HIDDEN)
    def show(name: str | None, units: str, scope: str, mine: list) -> tuple[Any, ...]:
        """Return the runs, the button, the atlas where there is one, and whether its figures can be saved."""
        run, found, selection = page.run(name), atlases.together(name, mine), Selection(units, scope)
        try:
            axes = read_axes(found.runs)
        except NotComparableError as error:
            return too_few_html(run.info, str(error), found.left_out), HIDDEN, "", HIDDEN
        n_units = run.analysis(selection).table.n_units
        said, atlas = runs_html(axes, found.left_out), atlases.find(axes, selection)
        if atlas is None:
            words = f"Compare the axes (about {duration(atlas_seconds(axes, n_units))})"
            return said, gr.update(value=words, visible=True, interactive=True), "", HIDDEN
        drawn = atlas_html(ManyAxes(atlas, axes), page.published.thresholds[3].percent)
        return said, HIDDEN, drawn, gr.update(visible=True)

    def make(name: str | None, units: str, scope: str, mine: list, request: gr.Request) -> Iterator[tuple[str, Any]]:
        """Compare the axes, step by step."""
        rests = gr.update(interactive=False)
        atlases.begun.add(request.session_hash)
        try:
            yield html.message_html("Your turn has come. Reading the runs …"), rests
            axes = read_axes(atlases.together(name, mine).runs)
            for done, total, atlas in iter_atlas(axes, Selection(units, scope)):
                said = f"Comparing: {done} of {total} steps"
                yield html.progress_html("steps of the comparison", done, total, said), rests
                if atlas is not None:
                    atlases.put(atlas, axes)
            yield "", rests
        except Exception as error:  # whatever breaks, the click must be answered
            yield failure_html(error), rests
        atlases.begun.discard(request.session_hash)

    def broke(request: gr.Request) -> Any:
        """Say that nothing was compared, unless it had begun: Gradio tells of a cancelled event as of a failure."""
        if request.session_hash in atlases.begun:
            atlases.begun.discard(request.session_hash)
            return gr.skip()
        return html.error_html(REFUSED)

    def draw(chosen: str, name: str | None, units: str, scope: str, mine: list) -> tuple[str, Figure]:
        axes = read_axes(atlases.together(name, mine).runs)
        atlas = atlases.find(axes, Selection(units, scope))
        if atlas is None:
            raise PlantainError("There is no atlas of this choice yet: compare the axes first.")
        return file_name("atlas", units, scope, chosen, suffix=""), figure(chosen, ManyAxes(atlas, axes))

    now = [*choice.inputs, choice.mine]
    with gr.Tab("Atlas", id="atlas") as tab:
        gr.HTML(ATLAS_HELP)
        together = gr.HTML(elem_id="atlas-runs")
        go = gr.Button("Compare the axes", variant="primary", visible=False, elem_id="make-atlas")
        progress = gr.HTML(elem_id="atlas-progress", elem_classes="pl-queue")
        atlas = gr.HTML(elem_id="atlas")
        with gr.Column(visible=False) as figures:
            saver("atlas-figure", list(FIGURES[ManyAxes]), draw, now)
        shown = [together, go, atlas, figures]
        choice.fill(tab, show, [choice.mine], shown)
    # One at a time: each takes a core for seconds to minutes. "multiple": a click soon after another was given up would
    # be dropped; while one is under way the button rests.
    alone = {"concurrency_id": "atlas", "concurrency_limit": 1, "trigger_mode": "multiple"}
    event = go.click(listener(make), now, [progress, go], **alone, **queued(progress))
    event.then(listener(show), now, shown, **VIEW)
    event.failure(listener(broke), None, progress, **VIEW)
    # What was asked of another choice is not waited for.
    given_up = gr.on([component.change for component in choice.inputs], None, cancels=[event], **VIEW)
    # A step that was on its way may have come after the rest.
    given_up.then(listener(lambda: ""), None, progress, **VIEW)


def atlas_html(shown: ManyAxes, published: float) -> str:
    """Show an atlas.

    Parameters
    ----------
    shown : ManyAxes
    published : float
        The share of units over |t| > 3 on the axis' card, in percent.
    """
    run = shown.axes[0].run
    first, *rest = finding(shown.atlas, run.info.is_random)
    return (
        f'<div class="pl-atlas">{html.chip_html(run)}<p class="pl-sentence">{escape(first.text)}</p>'
        f"{html.statements_html(rest)}"
        f'<div class="pl-axes">{"".join(_figure(name, shown) for name in FIGURES[ManyAxes])}</div>'
        f'<div class="pl-axes pl-beside-cards">{_beside(shown, published)}</div>'
        f"{''.join(html.folded_html(part.heading, _part(part)) for part in atlas_parts(shown.atlas))}</div>"
    )


def _figure(name: str, shown: ManyAxes) -> str:
    try:
        return html.figure_html(figure(name, shown))
    except FigureError as error:
        return f"<div>{html.message_html(str(error))}</div>"


def _beside(shown: ManyAxes, published: float) -> str:
    """Set the published percentages beside, and say what limits every comparison of counts."""
    part = siblings_part(shown.atlas, published)
    table = "<p>The cards' percentages are of the card's slices over all tokens: choose these to see them here.</p>"
    if part is not None:
        name = f'<p class="pl-beside-name">{escape(part.heading)}</p>'
        table = name + html.table_html(part.heading, part.head, part.rows)
    tests = (
        "The tests between two axes deal their pairs anew (a membership test): they ask whether two distributions are "
        "equal, their direction included, not two counts alone."
    )
    caution = size_caution(shown.atlas)
    if caution:
        caution += " (How large their differences are, whichever way they point; the first table below has it.)"
    notes = (*(part.after if part else ()), tests, caution)
    return f"<div>{table}</div><div>{html.paragraphs_html(notes)}</div>"


def _part(part: Part) -> str:
    table = html.table_html(part.heading, part.head, part.rows)
    return html.paragraphs_html(part.before) + table + html.paragraphs_html(part.after)


def runs_html(axes: list[Axis], left_out: tuple[str, ...]) -> str:
    """Say which runs are compared, which are not, and which of the project's sets have no run."""
    known = {prompt_set.sha256: path.name for path, prompt_set in shipped_sets().values()}
    missing = [name for sha, name in known.items() if sha not in {axis.run.info.prompts_sha256 for axis in axes}]
    names = ", ".join(f"{axis.name} ({axis.role})" for axis in axes)
    lines = [f"{len(axes)} runs of one model and setting belong together here: {names}."]
    lines += [f"No run of {', '.join(missing)}."] if missing else []
    return html.paragraphs_html(lines) + _left_out(left_out)


def too_few_html(info: RunInfo, why: str, left_out: tuple[str, ...]) -> str:
    """Say why there is nothing to compare, and what to run."""
    run = run_command(info, info.model, "prompts/*.toml", "runs/all")
    commands = f"{run}\nPLANTAIN_RUNS=runs/all python app.py"
    words = (
        f"Nothing can be compared yet: {why} A comparison needs saved runs of several prompt sets, made by one model "
        f"in one way. These commands make one run of each of the project's {len(shipped_sets())} sets with the "
        f"chosen run's settings ({weights_label(info)}, {info.settings_words}), and open this page on them:"
    )
    command = f'<pre class="pl-command"><code>{escape(commands)}</code></pre>'
    return html.message_html(words) + command + _left_out(left_out)


def _left_out(sentences: tuple[str, ...]) -> str:
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return items and f"<p>Left out, of the same model:</p><ul>{items}</ul>"
