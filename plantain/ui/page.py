"""The tabs and what happens in them.

`build_demo`   the whole page
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr
import pandas as pd

from plantain import PlantainError
from plantain.engine import Engine
from plantain.plots import heat_map
from plantain.prompts import PromptSet
from plantain.results import Run
from plantain.tables import UNIT_WORDS, block_names, pair_frame, run_label, top_units_frame
from plantain.ui import html
from plantain.ui.api import add_endpoints
from plantain.ui.store import RunStore
from plantain.ui.texts import EXAMPLES, INTRODUCTION, METHOD, PAIR_HELP, PROBE_HELP
from plantain.units import SCOPES, UNITS

UNIT_LABELS = {
    "card": "the card's slices",
    "heads": "attention heads",
    "text-heads": "text-stream heads",
    "mlp": "MLP groups",
    "embedding": "prompt embedding (baseline)",
}
SCOPE_LABELS = {
    "all": "all tokens",
    "image": "image tokens",
    "prompt": "prompt: template and words",
    "words": "the words",
    "padding": "padding",
    "template": "chat template",
}
ALL_BLOCKS = "all blocks"
SIZES = {"the device's default": None, "256 px": 256, "512 px": 512, "1024 px": 1024}
MAX_PROMPT = 1000  # characters; longer text would not fit into 512 tokens anyway
LISTED = 100  # rows of the Heads table

# Gradio publishes every listener as an endpoint unless told otherwise. Views never wait for a probe.
VIEW = {"queue": False, "api_visibility": "private", "show_progress": "hidden"}
WORK = {"api_visibility": "private", "show_progress": "hidden"}  # every listener shows its own progress
HIDDEN = gr.update(visible=False)

Cost = Callable[[int, int | None], str]


@dataclass(frozen=True)
class Page:
    """What the tabs share."""

    store: RunStore
    engine: Engine
    published: dict[str, Any]
    prompt_set: PromptSet
    cost: Cost

    def run_or_none(self, name: str | None) -> Run | None:
        return self.store.get(name) if name else None  # a name that is gone is an error, no name is an empty page

    def status_html(self) -> str:
        status = self.engine.status()
        return html.status_html(status.state, status.text)

    def saved_choices(self) -> list[tuple[str, str]]:
        return [(run_label(name, run.info), name) for name, run in self.store.saved.items()]


@dataclass(frozen=True)
class Choice:
    """The run, units and scope that the page shows, and the names of the visitor's own runs."""

    run: gr.Dropdown
    units: gr.Dropdown
    scope: gr.Dropdown
    mine: gr.State

    @property
    def inputs(self) -> list[gr.components.Component]:
        return [self.run, self.units, self.scope]

    def on_change(self, fn: Callable, inputs: list, outputs: list) -> None:
        for component in self.inputs:
            component.change(fn, [*self.inputs, *inputs], outputs, **VIEW)


def build_demo(
    store: RunStore, engine: Engine, published: dict[str, Any], prompt_set: PromptSet, cost: Cost | None = None
) -> gr.Blocks:
    """Build the page.

    Parameters
    ----------
    store : RunStore
        Runs to show; the first saved one is on the page at once.
    engine : Engine
        The model behind "Your pair" and "Run the probe"; it may still be loading.
    published : dict
        The card's figures, from `published.load_published`.
    prompt_set : PromptSet
        What "Run the probe" runs.
    cost : callable, optional
        (pairs, size) -> what it costs, in words for a button; empty where nothing is counted.

    Returns
    -------
    gr.Blocks
        Launch it with `launch_options()`.
    """
    page = Page(store, engine, published, prompt_set, cost or (lambda _pairs, _size: ""))
    with gr.Blocks(title="plantain: ethical valence in FLUX.2 Klein") as demo:
        gr.Markdown(INTRODUCTION)
        _status_line(page, demo)
        for name, reason in store.problems.items():
            gr.HTML(html.error_html(f"The saved run “{name}” is not shown. {reason}"))
        choice = _choice_row(page)
        with gr.Tabs():
            _findings_tab(page, choice)
            _heads_tab(page, choice)
            _pair_tab(page, choice)
            _probe_tab(page, choice)
            with gr.Tab("Method and limits"):
                gr.Markdown(METHOD)
        add_endpoints(store, engine, prompt_set)
    return demo


def _status_line(page: Page, demo: gr.Blocks) -> None:
    status = gr.HTML(page.status_html(), elem_id="model-status")
    timer = gr.Timer(2)

    def tick() -> tuple[str, gr.Timer]:
        return page.status_html(), gr.Timer(active=page.engine.status().state == "loading")

    timer.tick(tick, None, [status, timer], **VIEW)
    demo.load(page.status_html, None, status, **VIEW)


def _choice_row(page: Page) -> Choice:
    first = next(iter(page.store.saved), None)
    with gr.Row():
        run = gr.Dropdown(
            page.saved_choices(), value=first, label="Run", elem_id="run", filterable=False, min_width=240
        )
        units = gr.Dropdown(
            [(UNIT_LABELS[u], u) for u in UNITS], value="card", label="Units", filterable=False, min_width=240
        )
        scope = gr.Dropdown(
            [(SCOPE_LABELS[s], s) for s in SCOPES], value="all", label="Scope", filterable=False, min_width=240
        )
    return Choice(run, units, scope, gr.State([]))


# --- findings ----------------------------------------------------------------------------------------------


def _findings_tab(page: Page, choice: Choice) -> None:
    def show(name: str | None, units: str, scope: str) -> tuple[str, str, str]:
        try:
            run = page.run_or_none(name)
            figures = html.findings_html(run, page.published, units, scope)
            return figures, _map_html(run, units, scope), html.blocks_html(run, page.published, units, scope)
        except PlantainError as error:
            return html.error_html(str(error)), "", html.blocks_html(None, page.published, units, scope)

    figures, picture, blocks = show(choice.run.value, "card", "all")
    with gr.Tab("Findings"):
        outputs = [gr.HTML(figures, elem_id="findings")]
        with gr.Row():
            with gr.Column(min_width=340, scale=6):
                outputs.append(gr.HTML(picture, elem_id="heat-map"))
            with gr.Column(min_width=300, scale=5):
                outputs.append(gr.HTML(blocks, elem_id="top-blocks"))
    choice.on_change(show, [], outputs)


def _map_html(run: Run | None, units: str, scope: str) -> str:
    """Draw the map of whole heads: 192 or 768 slices in a row cannot be seen."""
    if run is None:
        return ""
    if units == "embedding":
        return ""  # no blocks and no heads to draw
    drawn = "heads" if units == "card" else units
    title = f"t of {UNIT_WORDS[drawn]}, {run.info.positive} minus {run.info.negative}, scope {scope}"
    title = f"{title}. {html.weights_words(run)}"
    caption = (
        f"{title} Whole heads are drawn, not slices; one row is a block. Orange: larger under "
        f"“{run.info.positive}”; blue: larger under “{run.info.negative}”. Point at a cell for its number; "
        "the tab Heads lists them."
    )
    return html.figure_html(heat_map(run.analysis(drawn, scope), title), caption)


# --- heads -------------------------------------------------------------------------------------------------


def _heads_tab(page: Page, choice: Choice) -> None:
    def content(name: str | None, units: str, scope: str, block: str) -> tuple[pd.DataFrame, list[str], str]:
        try:
            run = page.run_or_none(name)
            if run is None:
                return pd.DataFrame(), [], html.error_html("There is no run to list.")
            analysis = run.analysis(units, scope)
        except PlantainError as error:
            return pd.DataFrame(), [], html.error_html(str(error))
        names = block_names(analysis)
        inference = run.inference(units, scope)
        frame = top_units_frame(analysis, LISTED, block if block in names else None, inference)
        words = f"{len(frame)} {UNIT_WORDS[units]} with the largest |t|; ranks are among all blocks' units."
        return frame.map(_short), names, html.message_html(f"{words} {html.weights_words(run)}")

    def show(name: str | None, units: str, scope: str, block: str) -> tuple[pd.DataFrame, gr.Dropdown, str]:
        frame, names, words = content(name, units, scope, block)
        return frame, gr.Dropdown([ALL_BLOCKS, *names], value=block if block in names else ALL_BLOCKS), words

    frame, names, words = content(choice.run.value, "card", "all", ALL_BLOCKS)
    with gr.Tab("Heads"):
        block = gr.Dropdown([ALL_BLOCKS, *names], value=ALL_BLOCKS, label="Block", filterable=False, elem_id="block")
        line = gr.HTML(words, elem_id="heads-line")
        table = gr.Dataframe(
            frame, label="Top units", buttons=["copy", "fullscreen"], interactive=False, elem_id="top-units"
        )
    choice.on_change(show, [block], [table, block, line])
    block.input(show, [*choice.inputs, block], [table, block, line], **VIEW)


def _short(value: Any) -> Any:
    """Shorten numbers for reading; small p values keep their size."""
    return float(f"{value:.4g}") if isinstance(value, float) else value


# --- a visitor's pair --------------------------------------------------------------------------------------


def _pair_tab(page: Page, choice: Choice) -> None:
    def score(name: str | None, positive: str, negative: str) -> Iterator[tuple[str, Any]]:
        yield html.message_html("Both prompts go through the model …"), HIDDEN
        try:
            run = page.run_or_none(name)
            if run is None:
                raise PlantainError("Choose a run first: the pair is compared with its pairs.")
            result = page.engine.probe_pair(run, positive, negative)
            yield html.pair_html(result, run), gr.update(value=pair_frame(result).round(4), visible=True)
        except Exception as error:  # ZeroGPU raises gr.Error and plain RuntimeErrors; none may freeze the page
            yield html.failure_html(error), HIDDEN

    def mismatch(name: str | None) -> str:
        run = page.store.find(name)
        reason = page.engine.mismatch(run) if run else None
        return html.error_html(f"No pair can be compared with the chosen run: {reason}") if reason else ""

    def label(name: str | None) -> str:
        run = page.store.find(name)
        return f"Score this pair{page.cost(1, run.info.size if run else None)}"

    with gr.Tab("Your pair") as tab:
        gr.Markdown(PAIR_HELP)
        warning = gr.HTML(mismatch(choice.run.value), elem_id="pair-warning")
        turn = gr.State(0)  # inside the tab: among the tabs it would count as one, and a tab's name would stand twice
        with gr.Row():
            words = page.prompt_set
            box = {"lines": 3, "max_length": MAX_PROMPT, "min_width": 260}
            positive = gr.Textbox(EXAMPLES[0][0], label=f"Positive ({words.positive})", **box)
            negative = gr.Textbox(EXAMPLES[0][1], label=f"Negative ({words.negative})", **box)
        with gr.Row():
            swap = gr.Button("Swap sides")
            example = gr.Button("Another example")
            go = gr.Button(label(choice.run.value), variant="primary", elem_id="score-pair")
        answer = gr.HTML(elem_id="pair-answer")
        table = gr.Dataframe(
            label="Top units (chosen on the run's pairs) and your pair",
            interactive=False,
            visible=False,
            buttons=["copy", "fullscreen"],
        )
    swap.click(lambda a, b: (b, a), [positive, negative], [positive, negative], **VIEW)
    example.click(lambda i: (*EXAMPLES[(i + 1) % len(EXAMPLES)], i + 1), turn, [positive, negative, turn], **VIEW)
    choice.run.change(label, choice.run, go, **VIEW)
    choice.run.change(mismatch, choice.run, warning, **VIEW)
    tab.select(mismatch, choice.run, warning, **VIEW)
    inputs = [choice.run, positive, negative]
    waiting = html.message_html("Waiting for your turn …")  # said before the queue, so that a click is seen at once
    go.click(lambda: (waiting, HIDDEN), None, [answer, table], **VIEW)
    go.click(score, inputs, [answer, table], concurrency_id="pair", concurrency_limit=2, **WORK)
    for event in (choice.run.change, positive.input, negative.input, swap.click, example.click):
        event(lambda: ("", HIDDEN), None, [answer, table], **VIEW)  # an old answer must not stand under new texts


# --- the probe ---------------------------------------------------------------------------------------------


def _probe_tab(page: Page, choice: Choice) -> None:
    n = len(page.prompt_set.pairs)

    def probe(size: str, seed: float | None, mine: list[tuple[str, str]]) -> Iterator[tuple[str, Any, Any]]:
        yield html.message_html("Waiting for the model …"), gr.skip(), gr.skip()
        done = 0
        try:
            for step in page.engine.iter_probe(page.prompt_set, SIZES[size], int(seed or 0)):
                done = step.done
                if step.run is None:
                    yield html.progress_html(step.done, step.total, step.seconds_left), gr.skip(), gr.skip()
                else:
                    yield finished(step.run, mine)
        except Exception as error:
            kept = f"{done} of {n} pairs are kept: the same settings go on from there. " if done else ""
            yield html.failure_html(error, kept), gr.skip(), gr.skip()

    def finished(run: Run, mine: list[tuple[str, str]]) -> tuple[str, gr.Dropdown, list[tuple[str, str]]]:
        name, i = page.store.add(run), run.info
        label = run_label(f"yours: {i.date[11:16]} UTC, {i.size} px, seed {i.seed}", i)
        mine = [*mine, (label, name)]
        words = f"Done in {i.seconds:.0f} s. “{label}” is chosen above now, and all tabs show it. "
        kept = "It is in the list until you reload this page; the command line keeps runs for good."
        return html.message_html(words + kept), gr.Dropdown(page.saved_choices() + mine, value=name), mine

    def label(size: str) -> str:
        return f"Run all {n} pairs{page.cost(n, SIZES[size])}"

    with gr.Tab("Run the probe"):
        gr.Markdown(PROBE_HELP.format(n=n, passes=2 * n))
        with gr.Row():
            size = gr.Dropdown(
                list(SIZES), value=next(iter(SIZES)), label="Image size", filterable=False, min_width=240
            )
            seed = gr.Number(0, label="Seed", precision=0, minimum=0, min_width=240)
        with gr.Row():
            go = gr.Button(label(next(iter(SIZES))), variant="primary", elem_id="run-probe")
            stop = gr.Button("Stop", variant="stop", interactive=False)
        progress = gr.HTML(elem_id="probe-progress")
    size.change(label, size, go, **VIEW)
    # Said before the queue, so that a click is seen at once also while somebody else's probe runs.
    waiting = html.message_html("Waiting for your turn: one probe runs at a time …")
    go.click(lambda: (waiting, gr.update(interactive=True)), None, [progress, stop], **VIEW)
    outputs = [progress, choice.run, choice.mine]
    event = go.click(probe, [size, seed, choice.mine], outputs, concurrency_id="probe", concurrency_limit=1, **WORK)
    stopped = "Stopped. Pairs that are done are kept: the same settings go on from there."
    idle = gr.update(interactive=False)
    event.then(lambda: idle, None, stop, **VIEW)
    stop.click(lambda: (html.message_html(stopped), idle), None, [progress, stop], cancels=[event], **VIEW)
