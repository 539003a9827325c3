"""The tab that runs all pairs through the loaded model.

`probe_tab`       builds it and runs its probes
`seed_of`         a number that a visitor typed -> a seed
`button_words`, `cost_words`, `progress_html`   what the tab says
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from html import escape
from typing import Any

import gradio as gr

from plantain import PlantainError
from plantain.engine import UNFINISHED, Step
from plantain.results import Run
from plantain.tables import run_label
from plantain.ui import html
from plantain.ui.failures import LOCAL_RUN, failure_html, kept_words
from plantain.ui.shared import VIEW, WORK, Choice, Page
from plantain.ui.store import KEPT
from plantain.ui.texts import PROBE_AFTERWARDS, PROBE_HELP, PROBE_QUOTA

SIZES = {"the device's default": None, "256 px": 256, "512 px": 512, "1024 px": 1024}
AT_ONCE = {"all that are left": None, "10": 10, "5": 5}
REFUSED = "Nothing was run: the queue is full or the connection broke. Try again in a minute."
LARGEST_SEED = 2**53 - 1  # a browser's numbers are exact up to here


class SeedError(PlantainError, ValueError):
    """A seed that cannot be taken."""


def seed_of(value: float | None) -> int:
    """Return the seed that a visitor typed.

    Raises
    ------
    SeedError
        It is missing, negative, not whole or too large.
    """
    if value is None or not float(value).is_integer() or not 0 <= value <= LARGEST_SEED:
        said = "no number" if value is None else f"{value:.15g}"
        raise SeedError(f"The seed is {said}: give a whole number from 0 to {LARGEST_SEED}.")
    return int(value)


class _Probes:
    """What the tab's listeners share: the page, and whose probe runs."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.running: set[str] = set()  # sessions: a browser tab has one probe at most
        self.begun: set[str] = set()  # sessions whose last click was followed by a probe

    @property
    def total(self) -> int:
        return len(self.page.prompt_set.pairs)

    def kept(self, size: str, seed: float | None) -> int:
        return self.page.engine.kept(self.page.prompt_set, SIZES[size], seed_of(seed))

    def count(self, size: str, seed: float | None, at_once: str) -> int:
        """Return how many pairs a click runs now."""
        return min(self.total - self.kept(size, seed), AT_ONCE[at_once] or self.total)

    def settings(self, size: str, seed: float | None, at_once: str) -> tuple[dict[str, Any], str]:
        """Say what a click does and costs; bad settings are refused here, before any click."""
        try:
            kept, now = self.kept(size, seed), self.count(size, seed, at_once)
        except PlantainError as error:
            no = gr.update(value=f"Run all {self.total} pairs", interactive=False)
            return no, html.error_html(str(error))
        cost = self.page.cost(now, SIZES[size]) or self.estimate(now, size)
        label = button_words(kept, now, self.total) + (cost if now else "")
        return gr.update(value=label, interactive=True), self.cost(now, size)

    def refreshed(self, *settings: Any) -> tuple[dict[str, Any], str]:
        """Say the same anew, but leave a button that a running probe has locked."""
        button, cost = self.settings(*settings)
        return gr.update(value=button["value"]), cost

    def estimate(self, now: int, size: str) -> str:
        each = self.page.engine.seconds_per_pair(SIZES[size])
        return "" if each is None else f" (about {_duration(each * now)})"

    def cost(self, now: int, size: str) -> str:
        engine = self.page.engine
        return html.message_html(cost_words(now, engine.asks(now, SIZES[size]), engine.seconds_per_pair(SIZES[size])))

    def run(
        self, size: str, seed: float | None, at_once: str, mine: list[tuple[str, str]], request: gr.Request
    ) -> Iterator[tuple[str, Any, Any]]:
        """Run a probe; stopped or broken, the pairs that are done stay with the engine."""
        engine, asked = self.page.engine, None
        self.running.add(request.session_hash)
        self.begun.add(request.session_hash)
        try:
            yield html.message_html("Your turn has come. Waiting for the model …"), gr.skip(), gr.skip()
            asked = engine.asks(self.count(size, seed, at_once), SIZES[size])
            most = AT_ONCE[at_once]
            with closing(engine.iter_probe(self.page.prompt_set, SIZES[size], seed_of(seed), most)) as steps:
                for step in steps:
                    yield self.finished(step.run, mine) if step.run else (progress_html(step), gr.skip(), gr.skip())
            if step.run is None:
                yield html.message_html(self.kept_words(size, seed)), gr.skip(), gr.skip()
        except Exception as error:
            yield self.failed(error, size, seed, asked), gr.skip(), gr.skip()
        finally:
            self.running.discard(request.session_hash)

    def failed(self, error: Exception, size: str, seed: float | None, asked: int | None) -> str:
        """Explain a failure, with what is kept and the command that does without the page."""
        options = f" --size {SIZES[size]}" if SIZES[size] else ""
        try:
            kept = self.kept_words(size, seed)
            options += f" --seed {seed_of(seed)}"
        except PlantainError:
            kept = ""  # settings that nothing can be kept for
        command = LOCAL_RUN.format(model=self.page.engine.model_name or "MODEL") + options
        return failure_html(error, kept, asked, command)

    def kept_words(self, size: str, seed: float | None) -> str:
        return kept_words(self.kept(size, seed), self.total)

    def finished(self, run: Run, mine: list[tuple[str, str]]) -> tuple[str, gr.Dropdown, list[tuple[str, str]]]:
        """Choose the new run for the whole page, and say what becomes of it."""
        name, i = self.page.store.add(run), run.info
        label = run_label(f"yours: {i.date[11:16]} UTC, {i.size} px, seed {i.seed}", i)
        mine = [*mine, (label, name)]
        words = (
            f"Done: {len(run.pairs)} pairs in {i.seconds:.0f} s. “{label}” is chosen above now, and all tabs show it."
        )
        said = html.message_html(words) + html.message_html(PROBE_AFTERWARDS.format(kept=KEPT))
        return said, gr.Dropdown(self.page.saved_choices() + mine, value=name), mine

    async def stopped(self, size: str, seed: float | None, request: gr.Request) -> str:
        """Say what is kept, once the probe has ended: within one pair."""
        while request.session_hash in self.running:
            await asyncio.sleep(0.1)
        kept = self.kept_words(size, seed) or "No pair was done yet, so nothing is kept."
        return html.message_html(f"Stopped. {kept}")


def probe_tab(page: Page, choice: Choice) -> None:
    """Build the tab; its result is chosen for the whole page at once."""
    probes, n = _Probes(page), len(page.prompt_set.pairs)
    first = next(iter(SIZES)), 0, next(iter(AT_ONCE))
    go_now, cost_now = probes.settings(*first)
    with gr.Tab("Run the probe", id="probe") as tab:
        gr.Markdown(PROBE_HELP.format(n=n, passes=2 * n, unfinished=UNFINISHED))
        with gr.Row():
            options = {"filterable": False, "min_width": 220}
            size = gr.Dropdown(
                list(SIZES), value=first[0], label="Image size", info="1024 px on a GPU, 256 px without", **options
            )
            seed = gr.Number(0, label="Seed", info="of the noise; the saved runs have 0", min_width=220)
            at_once = gr.Dropdown(
                list(AT_ONCE), value=first[2], label="Pairs now", info="the rest can follow later", **options
            )
        cost = gr.HTML(cost_now, elem_id="probe-cost")
        with gr.Row():
            go = gr.Button(go_now["value"], variant="primary", elem_id="run-probe")
            stop = gr.Button("Stop", variant="stop", interactive=False)
        progress = gr.HTML(elem_id="probe-progress")
    settings, controls = [size, seed, at_once], [size, seed, at_once, stop]
    tab.select(probes.refreshed, settings, [go, cost], **VIEW)
    changes = [component.change for component in settings]
    gr.on(changes, probes.settings, settings, [go, cost], trigger_mode="always_last", **VIEW)
    # Said before the queue, so that a click is seen at once also while somebody else's probe runs.
    waiting = html.message_html("Waiting for your turn: one probe runs at a time. Your place in the queue is above.")
    locked = [gr.update(interactive=False)] * len(settings)

    def wait(request: gr.Request) -> tuple:
        probes.begun.discard(request.session_hash)
        return waiting, gr.update(interactive=False), *locked, gr.update(interactive=True)

    begun = go.click(wait, None, [progress, go, *controls], **VIEW)
    event = begun.then(
        probes.run, [*settings, choice.mine], [progress, choice.run, choice.mine], concurrency_id="probe",
        concurrency_limit=1, **{**WORK, "show_progress": "minimal"}, show_progress_on=progress,
    )  # fmt: skip
    free = (*[gr.update(interactive=True)] * len(settings), gr.update(interactive=False))

    def idle(*values: Any) -> tuple:
        return *probes.settings(*values), *free

    event.then(idle, settings, [go, cost, *controls], **VIEW)
    refused = html.error_html(REFUSED)  # `then` does not come where the queue refuses

    def broke(size: str, seed: float | None, at_once: str, request: gr.Request) -> tuple:
        """Say that nothing was run, unless a probe had begun: Gradio tells of a stop as of a failure."""
        if request.session_hash in probes.begun:
            return (gr.skip(),) * 7
        return refused, *idle(size, seed, at_once)

    event.failure(broke, settings, [progress, go, cost, *controls], **VIEW)
    stopping = html.message_html("Stopping: the pair in hand is finished first …")
    stop.click(lambda: (stopping, gr.update(interactive=False)), None, [progress, stop], cancels=[event], **VIEW).then(
        probes.stopped, [size, seed], progress, **VIEW
    ).then(idle, settings, [go, cost, *controls], **VIEW)


def button_words(kept: int, now: int, total: int) -> str:
    """Say what a click does: `kept` pairs are done, `now` are run."""
    left = total - kept
    if not left:
        return f"Finish: all {total} pairs are done"
    if not kept:
        return f"Run all {total} pairs" if now == left else f"Run {now} of {total} pairs"
    return f"Go on: {left} pairs left" if now == left else f"Go on with {now} of the {left} pairs left"


def cost_words(now: int, asked: int | None, each: float | None) -> str:
    """Say what a click costs: seconds of quota where there is one, else the time by pairs timed before."""
    if not now:
        return "Nothing is left to be run."
    if asked is not None:
        return PROBE_QUOTA.format(asked=asked, now=now)
    if each is None:
        return "No pair of this size was timed here yet; the first ones will show how long it takes."
    return f"About {_duration(each * now)} for {now} pairs, by those of this size that were timed here."


def progress_html(step: Step) -> str:
    """Show pairs done, time left and the pair just done."""
    left = "" if step.seconds_left is None else f", about {_duration(step.seconds_left)} left"
    words = f"{step.done} of {step.total} pairs{left}"
    if step.seconds_left is None:
        words += "; the first pair takes longest"
    bar = f'<progress aria-label="pairs probed" value="{step.done}" max="{step.total}"></progress>'
    return f'<div class="pl-progress">{bar}<p role="status">{words}</p>{_pair_html(step)}</div>'


def _pair_html(step: Step) -> str:
    if step.pair is None:
        return ""
    return (
        f'<dl class="pl-just-done"><dt>Just done, in {step.seconds:.1f} s ({escape(step.pair.category)})</dt>'
        f"<dd>{escape(step.pair.positive)}</dd><dd>{escape(step.pair.negative)}</dd></dl>"
    )


def _duration(seconds: float) -> str:
    """Write a time for a reader: seconds up to two minutes, then minutes."""
    return f"{max(1, round(seconds))} s" if seconds < 120 else f"{round(seconds / 60)} min"
