"""The section that compares several axes: is one an axis of its own?

What was compared before is shown at once, and so is what is quickly compared, such as the practice model's runs;
anything else is computed at a click.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from html import escape
from typing import Any

import gradio as gr

from plantain import PlantainError
from plantain.findings.across_runs.atlas import (
    Atlas,
    Axis,
    Gathered,
    atlas_key,
    atlas_seconds,
    gather,
    iter_atlas,
    make_atlas,
    read_atlas,
    read_axes,
    write_atlas,
)
from plantain.findings.published import same_question
from plantain.prompts.sets import model_of, shipped_sets
from plantain.report.across_runs.atlas import Part, atlas_parts, finding, siblings_part, size_caution
from plantain.report.export import file_name
from plantain.report.figures.catalogue import FIGURES, Figure, FigureError, ManyAxes, figure
from plantain.report.labels import run_command, weights_label
from plantain.report.numbers import duration
from plantain.runs.info import NotComparableError, RunInfo
from plantain.runs.units import Selection
from plantain.ui import html
from plantain.ui.downloads import saver
from plantain.ui.errors import failure_html, listener
from plantain.ui.lazy import fill, follows
from plantain.ui.state import HIDDEN, VIEW, Choice, Page, or_error, queued
from plantain.ui.texts import ATLAS_CARE, ATLAS_HELP

COMPARING = "Comparing the runs …"

REFUSED = "Nothing was compared: the queue is full or the connection broke. Try again in a minute."

KEPT = 16  # atlases in memory; one holds about 50 KB

UNASKED = 10  # seconds, as estimated, of what is compared without a click; it took 0.6 to 2.1 s on the practice model


class Atlases:
    """What the listeners of all visitors share: the page, and the atlases that were made here."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.made: OrderedDict[str, Atlas] = OrderedDict()
        self._making = threading.Lock()

    def together(self, name: str | None, mine: list[tuple[str, str]]) -> Gathered:
        """Find the runs that belong with a run; a visitor's own goes by its label, since its name opens it."""
        labels = {own: label for label, own in mine}
        theirs = {label: run for label, own in mine if (run := self.page.store.find(own)) is not None}
        chosen = labels.get(name, name)
        # In one order whichever is chosen, so that the atlas of all is made once.
        return gather({**self.page.store.saved, **theirs, chosen: self.page.run(name)}, chosen)

    def find(self, axes: list[Axis], selection: Selection) -> Atlas | None:
        """Return an atlas that was made before."""
        return self.made.get(atlas_key(axes, selection)) or read_atlas(axes, selection, self._folder(axes))

    def quickly(self, axes: list[Axis], selection: Selection) -> Atlas | None:
        """Return an atlas that was made before, or one that takes a moment; None where it takes longer."""
        found, n_units = self.find(axes, selection), axes[0].run.analysis(selection).table.n_units
        if found is not None or atlas_seconds(axes, n_units) > UNASKED:
            return found
        with self._making:  # one at a time: of visitors who come together the first has it made for all
            found = self.find(axes, selection)
            if found is None:
                found = make_atlas(axes, selection)
                self.put(found, axes)
            return found

    def put(self, atlas: Atlas, axes: list[Axis]) -> None:
        """Keep an atlas in memory, and beside the saved runs where it is of them alone."""
        self.made[atlas_key(axes, Selection(atlas.units, atlas.scope))] = atlas
        while len(self.made) > KEPT:
            self.made.popitem(last=False)
        write_atlas(atlas, axes, self._folder(axes))

    def _folder(self, axes: list[Axis]) -> Any:
        saved = self.page.store.saved
        return self.page.store.folder if all(saved.get(axis.name) is axis.run for axis in axes) else None


def atlas_section(page: Page, choice: Choice, atlases: Atlases) -> None:
    """Build the section, lazily."""

    @or_error(HIDDEN, "", HIDDEN)
    def show(name: str | None, units: str, scope: str, mine: list) -> tuple[Any, ...]:
        """Return the runs, the button, the atlas where there is one, and whether its figures can be saved."""
        run, found, selection = page.run(name), atlases.together(name, mine), Selection(units, scope)
        try:
            axes = read_axes(found.runs)
        except NotComparableError as error:
            return too_few_html(run.info, str(error), found.left_out), HIDDEN, "", HIDDEN
        n_units = run.analysis(selection).table.n_units
        said, atlas = runs_html(axes, found.left_out), atlases.quickly(axes, selection)
        if atlas is None:
            words = f"Compare the axes (about {duration(atlas_seconds(axes, n_units))})"
            return said, gr.update(value=words, visible=True, interactive=True), "", HIDDEN
        drawn = atlas_html(ManyAxes(atlas, axes), page.published.thresholds[3].percent)
        return said, HIDDEN, drawn, gr.update(visible=True)

    def make(name: str | None, units: str, scope: str, mine: list) -> Iterator[tuple[str, Any]]:
        """Compare the axes, step by step."""
        rests = gr.update(interactive=False)
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

    def broke(name: str | None, units: str, scope: str, asked: list | None) -> Any:
        """Say that nothing was compared; Gradio tells of what was given up for another choice as of a failure."""
        return html.error_html(REFUSED) if asked in (None, [name, units, scope]) else gr.skip()

    def draw(chosen: str, name: str | None, units: str, scope: str, mine: list) -> tuple[str, Figure]:
        axes = read_axes(atlases.together(name, mine).runs)
        atlas = atlases.find(axes, Selection(units, scope))
        if atlas is None:
            raise PlantainError("There is no atlas of this choice yet: compare the axes first.")
        return file_name("atlas", units, scope, chosen, suffix=""), figure(chosen, ManyAxes(atlas, axes))

    now, followed = [*choice.inputs, choice.mine], follows()
    gr.HTML(ATLAS_HELP)
    asked = gr.State()  # the choice at the last click
    together = gr.HTML(html.message_html(COMPARING), elem_id="atlas-runs")
    go = gr.Button("Compare the axes", variant="primary", visible=False, elem_id="make-atlas")
    progress = gr.HTML(elem_id="atlas-progress", elem_classes="pl-queue")
    atlas = gr.HTML(elem_id="atlas")
    with gr.Column(visible=False) as figures:
        saver("atlas-figure", list(FIGURES[ManyAxes]), draw, now, [followed])
    shown = [together, go, atlas, figures]
    fill(choice, show, [choice.mine], shown, followed)
    # One at a time: each takes a core for seconds to minutes. "multiple": a click soon after another was given up would
    # be dropped; while one is under way the button rests.
    alone = {"concurrency_id": "atlas", "concurrency_limit": 1, "trigger_mode": "multiple"}
    go.click(listener(lambda *of: list(of)), choice.inputs, asked, **VIEW)
    event = go.click(listener(make), now, [progress, go], **alone, **queued(progress))
    event.then(listener(show), now, shown, **VIEW)
    event.failure(listener(broke), [*choice.inputs, asked], progress, **VIEW)
    # What was asked of another choice is not waited for.
    given_up = gr.on([followed], None, cancels=[event], **VIEW)
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
    first, *rest = finding(shown.atlas, run.info.weights)
    drawn, *others = (_figure(name, shown) for name in FIGURES[ManyAxes])
    folded = {
        "The three questions, one by one": html.statements_html(rest),
        "More figures: counts, likeness, rivals": f'<div class="pl-axes">{"".join(others)}</div>',
        "How far counts can be compared": f'<div class="pl-axes pl-beside-cards">{_beside(shown, published)}</div>',
        "All tables": "".join(html.folded_html(part.heading, _part(part)) for part in atlas_parts(shown.atlas)),
        "What is compared, and why": ATLAS_CARE,
    }
    return (
        f'<div class="pl-atlas">{html.chip_html(run)}<p class="pl-sentence">{escape(first.text)}</p>{drawn}'
        f"{''.join(html.folded_html(heading, content) for heading, content in folded.items())}</div>"
    )


def _figure(name: str, shown: ManyAxes) -> str:
    try:
        return html.figure_html(figure(name, shown))
    except FigureError as error:
        return f"<div>{html.message_html(str(error))}</div>"


def _beside(shown: ManyAxes, published: float) -> str:
    """Set the published percentages beside, and say what limits every comparison of counts."""
    part = siblings_part(shown.atlas, published)
    table = ""
    if same_question(shown.axes[0].run):
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
    ours = shipped_sets(model_of(axes[0].run.info.prompts_sha256) or "")
    known = {sha256: path.name for sha256, (path, _) in ours.items()}
    missing = [name for sha, name in known.items() if sha not in {axis.run.info.prompts_sha256 for axis in axes}]
    names = ", ".join(f"{axis.name} ({axis.role})" for axis in axes)
    lines = [f"They are of one model and setting, and belong together here: {names}."]
    lines += [f"No run of {', '.join(missing)}."] if missing else []
    return html.folded_html(f"{len(axes)} runs are compared", html.paragraphs_html(lines) + _left_out(left_out))


def too_few_html(info: RunInfo, why: str, left_out: tuple[str, ...]) -> str:
    """Say why there is nothing to compare, and what to run."""
    words = model_of(info.prompts_sha256) or ""
    run = run_command(info, info.model, f"prompts/{f'{words}/' if words else ''}*.toml", "runs/all")
    commands = f"{run}\nPLANTAIN_RUNS=runs/all python app.py"
    said = (
        f"Nothing can be compared yet: {why} A comparison needs saved runs of several prompt sets, made by one model "
        f"in one way. These commands make one run of each of the project's {len(shipped_sets(words))} sets with the "
        f"chosen run's settings ({weights_label(info)}, {info.settings_words}), and open this page on them:"
    )
    command = f'<pre class="pl-command"><code>{escape(commands)}</code></pre>'
    return html.message_html(said) + command + _left_out(left_out)


def _left_out(sentences: tuple[str, ...]) -> str:
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return items and f"<p>Left out, of the same model:</p><ul>{items}</ul>"
