"""The tab that turns heads: what the run's interventions found, and heads of one pair turned by a visitor."""

from __future__ import annotations

import base64
import json
import shlex
import time
from collections.abc import Iterator
from contextlib import closing
from html import escape
from typing import Any

import gradio as gr
import numpy as np

from plantain import PlantainError
from plantain._files.pictures import mean_difference
from plantain.findings.heads import chosen_heads
from plantain.findings.interventions import cause
from plantain.findings.told import IMAGE
from plantain.prompts.sets import SIDES
from plantain.report.figures.catalogue import OneIntervention, figure
from plantain.report.interventions import CLAIM, brief, cause_points, finding, run_interventions, standing
from plantain.report.labels import pair_sides, weights_label
from plantain.report.turning import CHANGE_WORDS, CHANGES, TURN_CLAIM, heads_words
from plantain.runs.attached.interventions import Interventions
from plantain.runs.info import NOT_KLEIN
from plantain.runs.run import Run
from plantain.runs.units import unit_table
from plantain.ui import html
from plantain.ui.clicks import Clicks, arrived
from plantain.ui.errors import LOCAL_DRAWING, LOCAL_TURN, failure_html, listener
from plantain.ui.lazy import fill, follows, unseen
from plantain.ui.log import logged
from plantain.ui.state import HIDDEN, VIEW, Choice, Page, queued
from plantain.ui.texts import DRAWN_IN, EXPECTED, PICTURES_OF, TURN_CARE, TURN_HELP
from plantain.ui.turns import Asked, DrawAnswer, DrawStep, TurnAnswer, answer_sentences, asked_of, pair_of, side_names

ONE = "one"  # head, by name

REFUSED = "Nothing was turned: the queue is full or the connection broke. Try again in a minute."

WITHOUT = "No interventions were made on this run. This command makes them, and tests the run's top heads by rank:"

OLD = "The answer below is to what was chosen before. Turn the heads again for what is chosen now."

LEVELS = 8  # of colour in an overlay

PATIENCE = 60  # seconds to wait for what was stopped


class _Turning(Clicks):
    """What the tab's listeners share: the page, and whose clicks were answered."""

    def __init__(self, page: Page) -> None:
        super().__init__()
        self.page = page

    def asked(self, name: str | None, pair: str, heads: str, head: str, change: str, side: str) -> tuple[Run, Asked]:
        """Read the controls."""
        run = self.page.run(name)
        return run, asked_of(run, pair, _named(heads, head), change, side)

    @staticmethod
    def chosen(name: str | None, pair: str, heads: str, head: str, change: str, side: str) -> str:
        """Write the controls as one text, by which an answer knows whether they have changed."""
        return json.dumps([name, pair, _named(heads, head), change, side])

    def labels(self, run: Run) -> tuple[str, str]:
        """Say on both buttons what they do and cost."""
        engine, pair = self.page.engine, run.pairs[0].pair
        one = asked_of(run, pair.id, "top:1", "patch", "negative")  # as many rows as any other
        turn, draw = engine.turn_work(run, (one, one)), engine.draw_work(run, pair, one)
        costs = (
            self.page.cost_of(engine.turn_asks(turn), turn.whole_pairs, turn.conditions.size),
            self.page.cost_of(engine.draw_asks(draw), draw.whole_pairs, draw.drawing.size),
        )
        return f"Turn the heads{costs[0]}", f"Draw it whole{costs[1]}"

    def turn(self, request: gr.Request, *controls: Any) -> Iterator[tuple[Any, ...]]:
        """Turn heads: at once what is expected then; last, what was chosen for it."""
        skipped, asks = (gr.skip(),) * 4, None
        self.begin(request)
        try:
            if self.is_taken_back(request):
                yield gr.skip(), *skipped
                return
            yield html.message_html("The pair goes through the model …"), *skipped
            run, asked = self.asked(*controls)
            asks = self.page.engine.turn_asks(self.page.engine.turn_work(run, (asked, asked)))
            with logged("turn"):
                answer = self.page.engine.intervene_pair(run, asked)
            shown = answer_html(answer, run), slider(answer, run), changes_html(answer, run)
            yield "", *shown, self.chosen(*controls)
        except Exception as error:  # whatever breaks, the click must be answered
            yield failure_html(error, asked=asks, command=LOCAL_TURN), *skipped
        finally:
            self.end(request)

    def draw(self, request: gr.Request, *controls: Any) -> Iterator[tuple[Any, Any]]:
        """Draw the pair whole, step by step."""
        asks = None
        self.begin(request)
        try:
            if self.is_taken_back(request):
                yield gr.skip(), gr.skip()
                return
            yield html.message_html("Your turn has come. Waiting for the model …"), gr.skip()
            run, asked = self.asked(*controls)
            work = self.page.engine.draw_work(run, asked.pair, asked)
            asks = self.page.engine.draw_asks(work)
            with logged("draw"), closing(self.page.engine.draw_pair(run, work)) as steps:
                for step in steps:
                    if self.is_taken_back(request):
                        return
                    yield (
                        (progress_html(step), gr.skip()) if isinstance(step, DrawStep) else ("", drawn_html(step, run))
                    )
        except Exception as error:
            yield failure_html(error, asked=asks, command=LOCAL_DRAWING), gr.skip()
        finally:
            self.end(request)

    def taken_back(self, request: gr.Request) -> tuple[str, Any]:
        """Say at once that a click on Stop was seen; what Gradio tells of the end is no refusal then."""
        self.take_back(request)
        return html.message_html("Stopping: the step in hand is finished first …"), gr.update(interactive=False)

    def stopped(self, request: gr.Request) -> str:
        """Say that the work has ended, once no step of it can come any more."""
        limit = time.monotonic() + PATIENCE
        while request.session_hash in self.running and time.monotonic() < limit:
            time.sleep(0.1)
        if request.session_hash in self.running:
            return html.message_html("It has not stopped yet: the step in hand goes on.")
        return html.message_html("Stopped.")

    def broke(self, request: gr.Request) -> Any:
        """Say that nothing was done, unless it had begun: Gradio tells of a stop as of a failure."""
        return gr.skip() if request.session_hash in self.begun else html.error_html(REFUSED)


def _named(heads: str, head: str) -> str:
    """Return which heads two controls choose: one by its name, or some by what they are."""
    return head if heads == ONE else heads


def turn_tab(page: Page, choice: Choice) -> None:
    """Build what the tab holds, lazily."""
    turning = _Turning(page)
    gr.HTML(TURN_HELP)
    note = gr.HTML(elem_id="turn-note")
    with gr.Column(visible=False) as controls:
        with gr.Row():
            options = {"filterable": False, "min_width": 220, "interactive": True}
            pair = gr.Dropdown([], label="Pair", elem_id="turn-pair", **options)
            heads = gr.Dropdown([], label="Heads", elem_id="turn-heads", **options)
            head = gr.Dropdown([], label="Head", elem_id="turn-head", visible=False, min_width=220, interactive=True)
        texts = gr.HTML(elem_id="turn-texts")
        with gr.Row():
            changes = [(CHANGE_WORDS[name], name) for name in CHANGES]
            change = gr.Dropdown(changes, value="patch", label="What is done", elem_id="turn-change", **options)
            side = gr.Dropdown([], label="Side that is changed", elem_id="turn-side", **options)
        with gr.Row():
            go = gr.Button("Turn the heads", variant="primary", elem_id="turn-go")
            whole = gr.Button("Draw it whole", elem_id="turn-draw")
            stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="turn-stop", min_width=100, scale=0)
    said = gr.HTML(elem_id="turn-said", elem_classes="pl-queue")
    old = gr.HTML(elem_id="turn-old")
    sentence = gr.HTML(elem_id="turn-answer")
    with gr.Row():
        # Its scripts are loaded once it is seen.
        with gr.Column(min_width=280):
            before_after = gr.ImageSlider(
                label="Before and after", visible=False, interactive=False, buttons=[], elem_id="turn-slider",
                max_height=420,
            )  # fmt: skip
        with gr.Column(min_width=280):
            where = gr.HTML(elem_id="turn-where")
    drawn = gr.HTML(elem_id="turn-drawn")
    found = gr.HTML(elem_id="turn-cause")
    gr.HTML(html.folded_html("What is changed", html.paragraphs_html([TURN_CARE])))
    seen, timer = gr.State(("", "")), gr.Timer(2, active=False)
    answered = unseen("What the answer is to")  # no State: Gradio would not keep one that goes as it is

    def show(
        name: str | None,
        _units: str,
        _scope: str,
        mine: list,
        unit: str,
        now: str,
        chosen: str,
        of: tuple[str, str],
    ) -> dict[Any, Any]:
        """Fill the tab; of another run anew, and with the unit that was opened elsewhere since."""
        last, last_unit = of
        run, status = page.store.find(name), page.engine.status()
        filled = {seen: (name or "", unit), timer: gr.Timer(active=status.unsettled)}
        if name != last:
            filled |= {said: "", sentence: "", before_after: HIDDEN, where: "", drawn: "", answered: ""}
        if run is None:
            why = "There is no run: choose one above, or run the probe."
            return {**filled, found: "", note: html.message_html(why), controls: HIDDEN}
        filled[found] = found_html(run)
        if said_of := unfit_html(page, name, mine):
            return {**filled, note: said_of, controls: HIDDEN}
        waits = "" if status.state == "ready" else html.message_html(status.text)
        labels, names = turning.labels(run), unit_table(run.info.layout, IMAGE).names
        ids = [record.pair.id for record in run.pairs]
        wanted = unit if unit in names and unit != last_unit else ""
        choices = head_choices(run)
        picked = ONE if wanted else chosen if name == last and chosen else choices[0][1]
        filled |= {
            note: waits,
            controls: gr.Column(visible=True),
            pair: gr.Dropdown(ids, value=now if now in ids else ids[0]),
            heads: gr.Dropdown(choices, value=picked),
            go: gr.Button(labels[0]),
            whole: gr.Button(labels[1], visible=page.engine.draws or status.unsettled),
        }
        if name != last or wanted:
            filled[head] = gr.Dropdown(list(names), value=wanted or names[0], visible=picked == ONE)
        if name != last:
            sides = [(getattr(run.info, side), side) for side in reversed(SIDES)]
            filled[side] = gr.Dropdown(sides, value="negative")
        return filled

    filled = [
        found, note, controls, pair, heads, head, side, go, whole, said, sentence, before_after, where, drawn,
        answered, seen, timer,
    ]  # fmt: skip
    inputs = [choice.mine, choice.unit, pair, heads, seen]

    def shown(*now: Any) -> tuple[Any, ...]:
        changed = show(*now)
        return tuple(changed.get(component, gr.skip()) for component in filled)

    followed = follows(unit=True)
    fill(choice, shown, inputs, filled, followed)
    timer.tick(listener(shown), [*choice.inputs, *inputs], filled, **VIEW)
    heads.change(listener(lambda heads: gr.Dropdown(visible=heads == ONE)), heads, head, **VIEW)
    gr.on(
        [pair.change, followed],
        listener(lambda name, pair: texts_html(page.store.find(name), pair)),
        [choice.run, pair],
        texts,
        **VIEW,
    )
    asked = [choice.run, pair, heads, head, change, side]
    gr.on(
        [component.change for component in (pair, heads, head, change, side, answered)],
        listener(lambda to, *now: html.message_html(OLD) if to and to != turning.chosen(*now) else ""),
        [answered, *asked],
        old,
        **VIEW,
    )
    buttons = [go, whole, stop]
    rest, idle = (
        [gr.update(interactive=on) for on in states] for states in ((False, False, True), (True, True, False))
    )
    waiting = html.message_html("Waiting for your turn: your place in the queue is above.")

    def wait(request: gr.Request) -> tuple[Any, ...]:
        turning.wait(request)
        return waiting, *rest

    # Pictures go as they are: Gradio would write them to the disk first.
    options = {**queued(said), "postprocess": False}
    turned = go.click(listener(wait), None, [said, *buttons], **VIEW).then(
        listener(turning.turn), asked, [said, sentence, before_after, where, answered], concurrency_id="pair", **options
    )
    drawing = whole.click(listener(wait), None, [said, *buttons], **VIEW).then(
        listener(turning.draw), asked, [said, drawn], concurrency_id="drawing", concurrency_limit=1, **options
    )
    arrives = (
        arrived("#turn-go", "#turn-said [role=alert], #turn-answer .pl-sentence", "#turn-where figure"),
        arrived("#turn-draw", "#turn-said [role=alert], #turn-drawn figure", "#turn-drawn figure"),
    )
    for event, shows in zip((turned, drawing), arrives, strict=True):
        event.then(listener(lambda: idle), None, buttons, **VIEW).then(None, None, None, js=shows, **VIEW)
        event.failure(listener(turning.broke), None, said, **VIEW).then(listener(lambda: idle), None, buttons, **VIEW)
    stop.click(listener(turning.taken_back), None, [said, stop], cancels=[turned, drawing], **VIEW).then(
        listener(turning.stopped), None, said, **VIEW
    ).then(listener(lambda: idle), None, buttons, **VIEW)


def found_html(run: Run) -> str:
    """Show what a run's interventions found, or how to make them; needs no model."""
    try:
        results = run_interventions(run)
    except PlantainError as error:
        return html.error_html(f"The run's interventions are not shown. {error}")
    if not results:
        where = f"runs/{run.folder.name}" if run.folder else "DIR"
        command = f"python -m plantain intervene {shlex.quote(where)}"
        return f'{html.message_html(WITHOUT)}<pre class="pl-command"><code>{escape(command)}</code></pre>'
    shown = "".join(_result_html(result, run) for result in results)
    return f'{html.chip_html(run)}<div class="pl-results">{shown}</div>'


def _result_html(result: Interventions, run: Run) -> str:
    shown = cause(result)
    drawn = figure("redraws", OneIntervention(run, result))
    said = [finding(result.info, shown), *cause_points(result.info, shown), standing(result.info, shown, run), CLAIM]
    lines = html.folded_html("Details", html.list_html([f"{drawn.title} {drawn.caption}", *said]))
    words = f'<p class="pl-answer">{escape(brief(result.info, shown))}</p>'
    return f"<div>{words}{html.drawing_html(drawn)}{lines}</div>"


def unfit_html(page: Page, name: str | None, mine: list[tuple[str, str]]) -> str:
    """Say why no heads of a run can be turned, and what to do; nothing where they can."""
    status = page.engine.status()
    if status.state == "failed":
        return html.message_html(status.text)
    if not (reason := page.mismatch(name)):
        return ""
    fits = page.fitting(mine)
    made = f"choose “{fits[0]}”, which the loaded model made" if fits else "run the probe first, with this model"
    return html.error_html(f"No heads of the chosen run can be turned here: {reason} To turn some, {made}.")


def head_choices(run: Run) -> list[tuple[str, str]]:
    """Offer heads of a run."""
    names = unit_table(run.info.layout, IMAGE).names
    (top,) = chosen_heads(run, "top:1")
    ten = [("the top 10", "top:10"), ("10 random ones, as many in every block", "random:10")] * (len(names) >= 20)
    return [(f"the top one ({names[top]})", "top:1"), *ten, ("one by name", ONE)]


def texts_html(run: Run | None, pair_id: str | None) -> str:
    """Show a pair's two prompts."""
    try:
        pair = pair_of(run, pair_id or "") if run else None
    except PlantainError:  # of the run before; the list of pairs follows
        pair = None
    if pair is None:
        return ""
    sides = pair_sides(pair, (run.info.positive, run.info.negative))
    texts = html.marked(pair.positive, pair.negative)
    return '<div class="pl-pair">{}</div>'.format(
        "".join(
            f'<p><span class="pl-side">{escape(side)}</span> {text}</p>'
            for side, text in zip(sides, texts, strict=True)
        )
    )


def progress_html(step: DrawStep) -> str:
    """Show the steps of a drawing."""
    return html.progress_html("steps drawn", step.done, step.total, f"{step.done} of {step.total} steps")


def answer_html(answer: TurnAnswer, run: Run) -> str:
    """Say what turned heads do, beside other heads."""
    words = [heads_words(one.spec, one.names) for one in answer.asked]
    said, *more = answer_sentences(answer, run)
    loud = NOT_KLEIN.get(run.info.weights, "")
    chip = f'<p><span class="pl-chip pl-warn">{escape(loud)}</span></p>' if loud else ""
    named = html.folded_html(
        "Which heads",
        html.list_html(f"{word}: {', '.join(one.names)}" for word, one in zip(words, answer.asked, strict=True)),
    )
    return (
        f'<p class="pl-sentence">{escape(said)}</p>{html.paragraphs_html([" ".join([*more, TURN_CLAIM])])}{chip}{named}'
    )


def slider(answer: TurnAnswer, run: Run) -> dict[str, Any]:
    """Set the expected picture before a turn beside that after it, as Gradio's component takes it."""
    if not answer.webp:
        return HIDDEN
    asked, *_ = answer.asked
    both = answer.webp[SIDES.index(asked.side)], answer.webp[len(SIDES)]
    label = f"Expected of the “{side_names(run, asked)[0]}” prompt: before (left) and after (right)"
    return gr.update(value=[{"path": None, "url": _data(picture)} for picture in both], label=label, visible=True)


def _data(picture: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(picture).decode()}"


def changes_html(answer: TurnAnswer, run: Run) -> str:
    """Show where in the picture the turns change what is expected, in one scale for both; and the other side."""
    asked, *_ = answer.asked
    most = max(float(grid.max()) for grid in answer.turned.change)
    pictures = answer.webp[len(SIDES) :] or (b"",) * len(answer.asked)
    names = [heads_words(one.spec, one.names) for one in answer.asked]
    parts = "".join(
        f"<div>{overlay_svg(picture, grid, most, f'Where it changes: {name}')}<p>{escape(name.capitalize())}</p></div>"
        for picture, grid, name in zip(pictures, answer.turned.change, names, strict=True)
    )
    other = side_names(run, asked)[1]
    if answer.webp:
        goal = answer.webp[1 - SIDES.index(asked.side)]
        alt = escape(f"Expected picture: {other}", quote=True)
        parts += f'<div><img src="{_data(goal)}" alt="{alt}"><p>{escape(f"The “{other}” side")}</p></div>'
    words = (
        f"In grey what is expected after, in colour how far each part of it went: full colour is {most:.2f} of the "
        f"usual difference between both sides. {EXPECTED} Weights: {weights_label(answer.model)}. "
        f"{PICTURES_OF.get(answer.model.weights, '')}"
    )
    caption = f"<figcaption><strong>Where it changes.</strong> {escape(' '.join(words.split()))}</figcaption>"
    return f'<figure class="pl-where"><div class="pl-pictures">{parts}</div>{caption}</figure>'


def overlay_svg(picture: bytes, grid: np.ndarray, most: float, title: str) -> str:
    """Lay colour over a picture, the stronger the further an image token went.

    Parameters
    ----------
    picture : bytes
        WebP; empty where there is none.
    grid : array (n_rows, n_columns)
        Of the image's tokens.
    most : float
        What has the full colour.
    title : str
    """
    n_rows, n_columns = grid.shape
    width, height = 100, 100 * n_rows / n_columns
    levels = np.round(LEVELS * grid / most).astype(int) if most > 0 else np.zeros(grid.shape, int)
    shown = "".join(
        f'<path class="pl-change" fill-opacity="{0.85 * level / LEVELS:.2f}" d="'
        + "".join(f"M{x} {y}h1v1h-1z" for y, x in np.argwhere(levels == level))
        + '"/>'
        for level in range(1, LEVELS + 1)
        if (levels == level).any()
    )
    below = f'<image href="{_data(picture)}" width="{width}" height="{height:g}"/>' if picture else ""
    return (
        f'<svg class="pl-svg pl-overlay" viewBox="0 0 {width} {height:g}" role="img">'
        f"<title>{escape(title)}</title>{below}"
        f'<g transform="scale({width / n_columns:g})" shape-rendering="crispEdges">{shown}</g></svg>'
    )


def drawn_html(answer: DrawAnswer, run: Run) -> str:
    """Show a whole drawing: the side unchanged, with its heads turned, and the other side."""
    asked, how = answer.work.asked, answer.work.drawing
    at = SIDES.index(asked.side)
    mine, other = side_names(run, asked)
    heads = heads_words(asked.spec, asked.names)
    names = (f"{mine}, unchanged", f"{mine}, with {heads} {CHANGE_WORDS[asked.change]}", other)
    pictures = (answer.drawn.webp[at], answer.drawn.webp[len(SIDES)], answer.drawn.webp[1 - at])
    moved, apart = (mean_difference(pictures[0], picture) for picture in pictures[1:])
    words = (
        f"On average a pixel differs from the unchanged picture by {moved:.1f} of 255 with the heads turned, and by "
        f"{apart:.1f} in the other side's picture. "
        f"Pair {asked.pair.id}, {how.size} px, all from one noise (seed {answer.work.seed}). "
        f"{DRAWN_IN.format(steps=how.steps, guidance=how.guidance)} The heads are turned at every step. "
        f"Weights: {weights_label(answer.model)}. {PICTURES_OF.get(answer.model.weights, '')}"
    )
    shown = html.pictures_html(zip(names, pictures, strict=True), "Drawn whole", " ".join(words.split()))
    return f'<div class="pl-whole">{shown}</div>'
