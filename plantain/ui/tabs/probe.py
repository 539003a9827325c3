"""The tab that runs all pairs of a prompt set through the loaded model."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any, NamedTuple

import gradio as gr

from plantain import PlantainError, UsageError
from plantain.prompts.sets import PromptError, PromptSet, shipped_file
from plantain.report.labels import run_label
from plantain.report.numbers import duration
from plantain.runs.run import Run
from plantain.ui import html
from plantain.ui.clicks import Clicks
from plantain.ui.engine import UNFINISHED, Step
from plantain.ui.errors import LOCAL_RUN, failure_html, kept_words, listener
from plantain.ui.lazy import Section
from plantain.ui.log import logged
from plantain.ui.state import HIDDEN, KEPT, LATER, VIEW, Choice, Page, queued
from plantain.ui.tabs.prompt_set import Chooser, PromptSets, pair_html, set_chooser
from plantain.ui.tabs.publish import may_be_published
from plantain.ui.texts import PROBE_AFTERWARDS, PROBE_CARE, PROBE_HELP, PROBE_QUOTA

SIZES = {"the device's default": None, "256 px": 256, "512 px": 512, "1024 px": 1024}

_DEFAULT_SIZES = "64 to 1024 px, by model and device"

AT_ONCE = {"all that are left": None, "10": 10, "5": 5}

REFUSED = "Nothing was run: the queue is full or the connection broke. Try again in a minute."

RESTARTED = (
    "This page was started anew while your probe waited or ran: pairs that were done are gone, and what they cost is "
    "spent. Run it again."
)

SHELF = "This was run on {date}: “{label}” has the same model, prompts, size and seed. To see it costs nothing."

LARGEST_SEED = 2**53 - 1  # a browser's numbers are exact up to here


def seed_of(value: float | None) -> int:
    """Return the seed that a visitor typed.

    Raises
    ------
    UsageError
        It is missing, negative, not whole or too large.
    """
    if value is None or not float(value).is_integer() or not 0 <= value <= LARGEST_SEED:
        said = "no number" if value is None else f"{value:.15g}"
        raise UsageError(f"The seed is {said}: give a whole number from 0 to {LARGEST_SEED}.")
    return int(value)


class _Asked(NamedTuple):
    """What a click asks for."""

    prompt_set: PromptSet
    size: int | None
    seed: int
    most: int | None

    @property
    def total(self) -> int:
        return len(self.prompt_set.pairs)


class _Probes(Clicks):
    """What the tab's listeners share: the page, and whose probe runs."""

    def __init__(self, page: Page) -> None:
        super().__init__()
        self.page = page
        self.sets = PromptSets(page)
        self.locked: set[str] = set()  # sessions that wait for a probe or have one

    def read(self, size: str, seed: float | None, at_once: str, *chosen: str) -> _Asked:
        """Read the controls; bad ones are an error, before any click."""
        return _Asked(self.sets.find(*chosen), SIZES[size], seed_of(seed), AT_ONCE[at_once])

    def kept(self, asked: _Asked) -> int:
        return self.page.engine.kept(asked.prompt_set, asked.size, asked.seed)

    def count(self, asked: _Asked) -> int:
        """Return how many pairs a click runs now."""
        return min(asked.total - self.kept(asked), asked.most or asked.total)

    def sends(self, asked: _Asked) -> int:
        """Return how many pairs a click sends: the last ones are followed by one prompt beside itself."""
        return self.page.engine.sends(asked.prompt_set, asked.size, asked.seed, asked.most)

    def settings(self, *controls: Any) -> tuple[dict[str, Any], str]:
        """Say what a click does and costs; bad settings are refused here, before any click."""
        try:
            asked = self.read(*controls)
            kept, now, sent = self.kept(asked), self.count(asked), self.sends(asked)
        except PlantainError as error:
            unread = isinstance(error, PromptError)  # which is said where the set is
            said = html.message_html("There is no prompt set to run yet.") if unread else html.error_html(str(error))
            return gr.update(value="Run all pairs", interactive=False), said
        engine, size = self.page.engine, asked.size
        each = engine.seconds_per_pair(size)
        guess = "" if each is None else f" (about {duration(each * sent)})"
        label = button_words(kept, now, asked.total) + ((self.page.cost(sent, size) or guess) if sent else "")
        return gr.update(value=label, interactive=True), html.message_html(
            cost_words(now, sent, engine.asks(sent, size), each)
        )

    def shown(self, request: gr.Request, *controls: Any) -> tuple[dict[str, Any], str]:
        """Say the same, but leave a button that a probe has locked."""
        button, cost = self.settings(*controls)
        return gr.update(value=button["value"]) if request.session_hash in self.locked else button, cost

    def cleared(self, request: gr.Request) -> tuple[Any, Any]:
        """Take away what became of the last probe, unless one waits or runs."""
        return (gr.skip(), gr.skip()) if request.session_hash in self.locked else ("", HIDDEN)

    def on_shelf(self, *controls: Any) -> str | None:
        """Return the saved run that a click would make again; None where there is none, or nothing can be run."""
        try:
            asked = self.read(*controls)
            saved = self.page.store.saved.items()
            made = self.page.engine.would_make
            return next((name for name, run in saved if made(run, asked.prompt_set, asked.size, asked.seed)), None)
        except PlantainError:
            return None

    def offer(self, *controls: Any) -> tuple[str, Any]:
        """Offer the saved run that a click would make again, in place of GPU seconds."""
        name = self.on_shelf(*controls)
        if name is None:
            return "", HIDDEN
        info = self.page.store.saved[name].info
        words = SHELF.format(date=info.date[:10], label=run_label(name, info))
        return html.message_html(words), gr.update(visible=True)

    def taken_back(self, request: gr.Request) -> tuple[str, Any]:
        """Say at once that a click on Stop was seen; what Gradio tells of the end is no refusal then."""
        self.take_back(request)
        return html.message_html("Stopping: the pair in hand is finished first …"), gr.update(interactive=False)

    def run(self, request: gr.Request, *given: Any) -> Iterator[tuple[str, Any, Any]]:
        """Run a probe; stopped or broken, the pairs that are done stay with the engine."""
        *controls, mine = given
        engine, asked, asks = self.page.engine, None, None
        self.begin(request)
        try:
            if self.is_taken_back(request):
                yield gr.skip(), gr.skip(), gr.skip()
                return
            yield html.message_html("Your turn has come. Waiting for the model …"), gr.skip(), gr.skip()
            asked = self.read(*controls)
            asks = engine.asks(self.sends(asked), asked.size)
            steps = engine.iter_probe(asked.prompt_set, asked.size, asked.seed, asked.most)
            with logged("probe"), closing(steps):
                for step in steps:
                    done = self.finished(step.run, asked, mine) if step.run else None
                    if not done and self.is_taken_back(request):
                        return
                    yield done or (progress_html(step), gr.skip(), gr.skip())
            if step.run is None:
                yield html.message_html(kept_words(step.done, step.total)), gr.skip(), gr.skip()
        except Exception as error:
            yield self.failed(error, asked, asks), gr.skip(), gr.skip()
        finally:
            self.end(request)

    def failed(self, error: Exception, asked: _Asked | None, asks: int | None) -> str:
        """Explain a failure, with what is kept and the command that does without the page."""
        if asked is None:
            return failure_html(error)  # settings that nothing can be kept for
        prompts = shipped_file(asked.prompt_set.sha256, "YOUR-SET.toml")
        command = LOCAL_RUN.format(model=shlex.quote(self.page.engine.model_name or "MODEL"), prompts=prompts)
        command += f" --size {asked.size}" if asked.size else ""
        kept = kept_words(self.kept(asked), asked.total)
        return failure_html(error, kept, asks, f"{command} --seed {asked.seed}")

    def finished(self, run: Run, asked: _Asked, mine: list[tuple[str, str]]) -> tuple[str, gr.Dropdown, list]:
        """Choose the new run for the whole page, and say what becomes of it."""
        name, i = self.page.store.add(run), run.info
        title = "" if asked.prompt_set.sha256 == self.sets.first else f"{asked.prompt_set.title}, "
        label = run_label(f"yours: {title}{i.date[11:16]} UTC, {i.size} px, seed {i.seed}", i)
        mine = [*mine, (label, name)]
        words = (
            f"Done: {len(run.pairs)} pairs in {i.seconds:.0f} s. “{label}” is chosen above now, and all tabs show it."
        )
        said = html.message_html(words) + html.message_html(PROBE_AFTERWARDS.format(kept=KEPT))
        return said, gr.Dropdown(self.page.saved_choices() + mine, value=name), mine

    def stopped(self, request: gr.Request, *controls: Any) -> str:
        """Say what is kept, once the probe has ended: within one pair."""
        while request.session_hash in self.running:
            time.sleep(0.1)
        asked = self.read(*controls)
        kept = kept_words(self.kept(asked), asked.total) or "No pair was done yet, so nothing is kept."
        return html.message_html(f"Stopped. {kept}")


def probe_part(page: Page, choice: Choice, tabs: gr.Tabs, tab: gr.Tab, publish: Section | None) -> Chooser:
    """Build the probe inside its tab; its result is chosen for the whole page at once.

    It is not built lazily: Gradio forgets what was built for a visitor when many others come, and a probe must go on.

    Returns
    -------
    Chooser
        What chooses its prompt set.
    """
    probes = _Probes(page)
    first = next(iter(SIZES)), 0, next(iter(AT_ONCE))
    go_now, cost_now = probes.settings(*first, probes.sets.first, "", "", "", "")
    gr.HTML(PROBE_HELP)
    chooser = set_chooser(page, probes.sets)
    with gr.Row():
        options = {"filterable": False, "min_width": 220}
        size = gr.Dropdown(list(SIZES), value=first[0], label="Image size", info=_DEFAULT_SIZES, **options)
        seed = gr.Number(0, label="Seed", info="of the noise", min_width=220)
        at_once = gr.Dropdown(list(AT_ONCE), value=first[2], label="Pairs now", info="the rest later", **options)
    cost = gr.HTML(cost_now, elem_id="probe-cost")
    shelf = gr.HTML(elem_id="probe-shelf")
    show = gr.Button("Show the saved run", visible=False, elem_id="show-saved")
    with gr.Row():
        go = gr.Button(go_now["value"], variant="primary", elem_id="run-probe")
        stop = gr.Button("Stop", variant="stop", interactive=False)
    progress = gr.HTML(elem_id="probe-progress", elem_classes="pl-queue")
    onward = gr.Button("Publish this run …", visible=False, elem_id="probe-publish")
    care = html.paragraphs_html([PROBE_CARE.format(unfinished=UNFINISHED)])
    gr.HTML(html.folded_html("What is run, and what is kept", care))
    settings = [size, seed, at_once, *chooser.inputs]
    controls = [*settings, stop]
    # One event: of two, an answer to older settings could come last and stay.
    changed = choice.relay_of(tab.select, *(component.change for component in settings), choice.known.change)
    chooser.follow(changed)
    changed.then(listener(probes.shown), settings, [go, cost], **LATER)
    changed.then(listener(probes.offer), settings, [shelf, show], **LATER)
    # What was said of a probe with other settings goes; of one that runs it stays.
    choice.relay_of(*(component.change for component in settings)).then(
        listener(probes.cleared), None, [progress, onward], **LATER
    )
    show.click(listener(lambda *now: probes.on_shelf(*now) or gr.skip()), settings, choice.run, **VIEW).then(
        listener(lambda: gr.Tabs(selected="result")), None, tabs, **VIEW
    )
    # Said before the queue, so that a click is seen at once also while somebody else's probe runs.
    waiting = html.message_html("Waiting for your turn: one probe runs at a time. Your place in the queue is above.")
    locked = [gr.update(interactive=False)] * len(settings)

    def wait(request: gr.Request) -> tuple:
        probes.wait(request)
        probes.locked.add(request.session_hash)
        return waiting, gr.update(interactive=False), *locked, gr.update(interactive=True)

    begun = go.click(listener(wait), None, [progress, go, *controls], **VIEW)
    event = begun.then(
        listener(probes.run), [*settings, choice.mine], [progress, choice.run, choice.mine], concurrency_id="probe",
        concurrency_limit=1, **queued(progress),
    )  # fmt: skip
    free = (*[gr.update(interactive=True)] * len(settings), gr.update(interactive=False))

    def idle(request: gr.Request, *values: Any) -> tuple:
        probes.locked.discard(request.session_hash)
        return *probes.settings(*values), *free

    event.then(listener(idle), settings, [go, cost, *controls], **VIEW)
    event.then(listener(lambda name: gr.update(visible=may_be_published(page, name))), choice.run, onward, **VIEW)
    if publish:
        onward.click(listener(lambda: (gr.Accordion(open=True), "yes")), None, [publish.fold, publish.asked], **VIEW)
    refused = html.error_html(REFUSED)  # `then` does not come where the queue refuses

    def broke(request: gr.Request, *values: Any) -> tuple:
        """Say that nothing was run, unless a probe had begun: Gradio tells of a stop as of a failure."""
        if request.session_hash in probes.begun:
            return (gr.skip(),) * (3 + len(controls))
        known = request.session_hash in probes.locked  # else the click was another process's
        return refused if known else html.error_html(RESTARTED), *idle(request, *values)

    event.failure(listener(broke), settings, [progress, go, cost, *controls], **VIEW)
    stop.click(listener(probes.taken_back), None, [progress, stop], cancels=[event], **VIEW).then(
        listener(probes.stopped), settings, progress, **VIEW
    ).then(listener(idle), settings, [go, cost, *controls], **VIEW)
    return chooser


def button_words(kept: int, now: int, total: int) -> str:
    """Say what a click does: `kept` pairs are done, `now` are run."""
    left = total - kept
    if not left:
        return f"Finish: all {total} pairs are done"
    if not kept:
        return f"Run all {total} pairs" if now == left else f"Run {now} of {total} pairs"
    return f"Go on: {left} pairs left" if now == left else f"Go on with {now} of the {left} pairs left"


def cost_words(now: int, sent: int, asked: int | None, each: float | None) -> str:
    """Say what a click costs: seconds of quota where there is one, else the time by pairs timed before.

    `now` pairs of the set are run, `sent` are sent to the model.
    """
    if not sent:
        return "Nothing is left to be run."
    what = f"{now} pairs" if now else "one prompt beside itself, the check that ends a probe"
    if asked is not None:
        return PROBE_QUOTA.format(asked=asked, what=what)
    if each is None:
        return "No pair of this size was timed here yet."
    return f"About {duration(each * sent)} for {what}, by those of this size that were timed on this device."


def progress_html(step: Step) -> str:
    """Show pairs done, time left and the pair just done."""
    left = "; the first pair takes longest"
    if step.seconds_left is not None:
        left = f", about {duration(step.seconds_left)} left"
    just = "" if step.pair is None else pair_html(step.pair, f"Just done, in {step.seconds:.1f} s")
    return html.progress_html("pairs probed", step.done, step.total, f"{step.done} of {step.total} pairs{left}", just)
