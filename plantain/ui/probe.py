"""The tab that runs all pairs through the loaded model.

`probe_tab`   builds it and runs its probes
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from plantain.results import Run
from plantain.tables import run_label
from plantain.ui import html
from plantain.ui.shared import VIEW, WORK, Choice, Page
from plantain.ui.texts import PROBE_HELP

SIZES = {"the device's default": None, "256 px": 256, "512 px": 512, "1024 px": 1024}


def probe_tab(page: Page, choice: Choice) -> None:
    """Build the tab; its result is chosen for the whole page at once."""

    n = len(page.prompt_set.pairs)

    def probe(size: str, seed: float | None, mine: list[tuple[str, str]]) -> Iterator[tuple[str, Any, Any]]:
        yield html.message_html("Waiting for the model …"), gr.skip(), gr.skip()
        done = 0
        try:
            for step in page.engine.iter_probe(page.prompt_set, SIZES[size], int(seed or 0)):
                done = step.done
                if step.run is None:
                    yield progress_html(step.done, step.total, step.seconds_left), gr.skip(), gr.skip()
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

    with gr.Tab("Run the probe", id="probe"):
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


def progress_html(done: int, total: int, seconds_left: float | None) -> str:
    """Show pairs done and time left."""
    left = "" if seconds_left is None else f", about {max(1, round(seconds_left))} s left"
    words = f"{done} of {total} pairs{left}"
    bar = f'<progress aria-label="pairs probed" value="{done}" max="{total}"></progress>'
    return f'<div class="pl-progress">{bar}<p role="status">{words}</p></div>'
