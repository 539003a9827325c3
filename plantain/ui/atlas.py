"""The tab that compares several axes: is one an axis of its own?

`atlas_tab`   builds it; what was compared before is shown at once, the rest when it is asked for
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from plantain import PlantainError
from plantain.atlas import (
    AtlasError,
    Axis,
    atlas_key,
    atlas_seconds,
    iter_atlas,
    read_axes,
    recall_atlas,
    save_atlas,
)
from plantain.atlas_figures import ATLAS_FIGURES, Shown, picture
from plantain.belonging import gather
from plantain.export import file_name
from plantain.results import Run
from plantain.ui import html
from plantain.ui.atlas_views import atlas_html, making_html, runs_html, too_few_html
from plantain.ui.failures import failure_html
from plantain.ui.saving import saver
from plantain.ui.shared import HIDDEN, VIEW, Choice, Page, duration, queued
from plantain.ui.texts import ATLAS_HELP

REFUSED = "Nothing was compared: the queue is full or the connection broke. Try again in a minute."
KEPT = 16  # atlases in memory; one holds about 50 KB

Mine = list[tuple[str, str]]
"""(label, name) of the visitor's own runs."""


@dataclass(frozen=True)
class _Together:
    """The runs that belong with the chosen one, as axes; or why there are none to compare."""

    axes: list[Axis]
    left_out: tuple[str, ...]
    problem: str = ""


class _Atlases:
    """What the tab's listeners share: the page, and the atlases that were made here."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.made: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self.begun: set[str] = set()  # sessions whose comparison has begun and not ended

    def together(self, name: str, mine: Mine) -> _Together:
        """Find the runs that belong with a run; a visitor's own goes by its label, since its name opens it."""
        labels = {own: label for label, own in mine}
        named = dict(self.page.store.saved)
        named |= {labels[own]: run for own in labels if (run := self.page.store.find(own)) is not None}
        chosen = labels.get(name, name)
        found = gather({chosen: self.run(name)} | named, chosen)
        try:
            return _Together(read_axes(found.runs), found.left_out)
        except AtlasError as error:
            return _Together([], found.left_out, str(error))

    def find(self, axes: list[Axis], units: str, scope: str) -> dict[str, Any] | None:
        """Return an atlas that was made before."""
        return self.made.get(atlas_key(axes, units, scope)) or recall_atlas(axes, units, scope, self._folder(axes))

    def put(self, atlas: dict[str, Any], axes: list[Axis]) -> None:
        """Keep an atlas in memory, and beside the saved runs where it is of them alone."""
        self.made[atlas_key(axes, atlas["units"], atlas["scope"])] = atlas
        while len(self.made) > KEPT:
            self.made.popitem(last=False)
        save_atlas(atlas, axes, self._folder(axes))

    def _folder(self, axes: list[Axis]) -> Any:
        saved = self.page.store.saved
        return self.page.store.folder if all(saved.get(axis.name) is axis.run for axis in axes) else None

    def run(self, name: str) -> Run:
        """Return the chosen run."""
        run = self.page.run_or_none(name)
        if run is None:
            raise PlantainError("There is no run to compare. Choose one above.")
        return run


def atlas_tab(page: Page, choice: Choice) -> None:
    """Build the tab; it is filled when it is opened."""
    atlases = _Atlases(page)

    def show(name: str | None, units: str, scope: str, mine: Mine) -> tuple[Any, ...]:
        """Return the runs, the button, the atlas where there is one, and whether its figures can be saved."""
        try:
            run = atlases.run(name)
            found = atlases.together(name, mine)
            if found.problem:
                return too_few_html(run.info, found.problem, found.left_out), HIDDEN, "", HIDDEN
            n_units = run.analysis(units, scope).table.n_units
            said, atlas = runs_html(found.axes, found.left_out), atlases.find(found.axes, units, scope)
        except PlantainError as error:
            return html.error_html(str(error)), HIDDEN, "", HIDDEN
        if atlas is None:
            words = f"Compare the axes (about {duration(atlas_seconds(found.axes, n_units))})"
            return said, gr.update(value=words, visible=True, interactive=True), "", HIDDEN
        drawn = atlas_html(Shown(atlas, found.axes), page.published["thresholds"]["3"]["percent"])
        return said, HIDDEN, drawn, gr.update(visible=True)

    def follows(name: str | None, units: str, scope: str, mine: Mine, opened: bool) -> tuple[Any, ...]:
        """Follow the choice above, once the tab was opened; what was said of another choice goes."""
        return ("", *show(name, units, scope, mine)) if opened else (gr.skip(),) * 5

    def make(name: str | None, units: str, scope: str, mine: Mine, request: gr.Request) -> Iterator[tuple[str, Any]]:
        """Compare the axes, step by step."""
        rests = gr.update(interactive=False)
        atlases.begun.add(request.session_hash)
        try:
            yield html.message_html("Your turn has come. Reading the runs …"), rests
            axes = atlases.together(name, mine).axes
            for done, total, atlas in iter_atlas(axes, units, scope):
                yield making_html(done, total), rests
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

    def draw(figure: str, name: str | None, units: str, scope: str, mine: Mine) -> tuple[str, str]:
        axes = atlases.together(name, mine).axes
        atlas = atlases.find(axes, units, scope) if axes else None
        if atlas is None:
            raise PlantainError("There is no atlas of this choice yet: compare the axes first.")
        return file_name("atlas", units, scope, figure, suffix=""), picture(figure, Shown(atlas, axes))

    now = [*choice.inputs, choice.mine]
    with gr.Tab("Atlas", id="atlas") as tab:
        gr.Markdown(ATLAS_HELP)
        together = gr.HTML(elem_id="atlas-runs")
        go = gr.Button("Compare the axes", variant="primary", visible=False, elem_id="make-atlas")
        progress = gr.HTML(elem_id="atlas-progress", elem_classes="pl-queue")
        atlas = gr.HTML(elem_id="atlas")
        with gr.Column(visible=False) as figures:
            saver("atlas-figure", list(ATLAS_FIGURES), draw, now)
        opened = gr.State(False)
    shown = [together, go, atlas, figures]
    tab.select(lambda *values: (True, *show(*values)), now, [opened, *shown], **VIEW)
    choice.on_change(follows, [choice.mine, opened], [progress, *shown])
    # One at a time: each takes a core for seconds to minutes. "multiple": a click soon after another was given up would
    # be dropped; while one is under way the button rests.
    alone = {"concurrency_id": "atlas", "concurrency_limit": 1, "trigger_mode": "multiple"}
    event = go.click(make, now, [progress, go], **alone, **queued(progress))
    event.then(show, now, shown, **VIEW)
    event.failure(broke, None, progress, **VIEW)
    # What was asked of another choice is not waited for.
    given_up = gr.on([component.change for component in choice.inputs], None, cancels=[event], **VIEW)
    given_up.then(lambda: "", None, progress, **VIEW)  # a step that was on its way may have come after the rest
