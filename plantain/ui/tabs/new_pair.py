"""The tab where a visitor types a pair and sees where it falls among the run's, or, without one, what it moves."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Any
from urllib.parse import quote, urlencode

import gradio as gr

from plantain import PlantainError, __version__
from plantain.findings.new_pair import PairMeasure, PairResult
from plantain.models.info import ModelInfo, software_versions
from plantain.prompts.diff import ALIKE, shared_words
from plantain.prompts.sets import SIDES, PromptError, is_blank
from plantain.report.export import file_name
from plantain.report.figures.catalogue import FIGURES, Figure, OnePair, figure
from plantain.report.labels import weights_label, weights_words
from plantain.report.new_pair import (
    length_warning,
    measure_remarks,
    measure_rows,
    measure_sentence,
    pair_frame,
    pair_record,
    pair_remarks,
    pair_sentence,
)
from plantain.report.statements import Kind
from plantain.runs.run import Run
from plantain.ui import html
from plantain.ui.address import share_base
from plantain.ui.downloads import saver
from plantain.ui.engine import EngineError, Pictures
from plantain.ui.errors import LOCAL_PAIR, failure_html, listener
from plantain.ui.log import logged
from plantain.ui.state import HIDDEN, VIEW, Choice, Page, queued, short
from plantain.ui.texts import EXAMPLES, EXPECTED, EXPECTED_RANDOM, PAIR_HELP
from plantain.ui.theme import static

MAX_PROMPT = 3000  # characters that are looked at; English of that length has more than 512 tokens

FAILED = "Nothing was scored: the queue is full or the connection broke. Your prompts are still here; try again."

TABLE = "The run's top units, chosen on its pairs. with_run: your pair in SDs, above zero where the run's pairs point."

COPY, _TYPED = static("pair_link.js"), static("typed.js")


@dataclass(frozen=True)
class Answer:
    """What came of a pair, and for which texts and run: it is shown under these only.

    Attributes
    ----------
    run, positive, negative : str
        As they were when the pair was sent.
    date : str
        ISO 8601, UTC.
    result : PairResult or None
        Where it was ranked in the run.
    measure : PairMeasure or None
        Where there was no run to rank it in.
    pictures : str
        HTML of the expected pictures; empty where there are none.
    failure : str
        HTML that says why it failed; empty where it did not.
    """

    run: str | None
    positive: str
    negative: str
    date: str
    result: PairResult | None = None
    measure: PairMeasure | None = None
    pictures: str = ""
    failure: str = ""

    def is_for(self, run: str | None, positive: str, negative: str) -> bool:
        """Tell whether the answer is to these texts, blanks around them left out."""
        texts = (positive.strip(), negative.strip())
        return run == self.run and texts == (self.positive.strip(), self.negative.strip())


def visitor_tab(page: Page, choice: Choice) -> None:
    """Build the tab."""
    with gr.Tab("Your pair", id="pair") as tab:
        gr.HTML(PAIR_HELP)
        first, *_ = EXAMPLES.values()
        examples = gr.HTML(examples_html(), js_on_load=static("examples.js"))
        with gr.Row():
            labels = _side_labels(page, choice.run.value)
            (positive, under_positive), (negative, under_negative) = map(_box, labels, first, SIDES)
        note = gr.HTML(elem_id="pair-note")
        mismatch = gr.HTML(elem_id="pair-warning")
        fitting = gr.Button("Choose a run that fits", visible=False, elem_id="fitting-run")
        with gr.Row():
            swap = gr.Button("Swap sides")
            go = gr.Button(_label(page, choice.run.value), variant="primary", elem_id="score-pair")
        said = gr.HTML(elem_id="pair-said", elem_classes="pl-queue")
        back = gr.Button("Bring back the prompts of the last answer", visible=False, elem_id="last-answer")
        answer, kept = gr.HTML(elem_id="pair-answer"), gr.State(None)
        actions = gr.HTML(elem_id="pair-actions", js_on_load=COPY)
        with gr.Column(visible=False) as figures:
            saver(
                "pair-figure",
                list(FIGURES[OnePair]),
                lambda *now: _figure(page, *now),
                [choice.run, positive, negative, kept],
            )
        table = gr.Dataframe(
            label=TABLE,
            interactive=False,
            visible=False,
            buttons=["copy", "fullscreen"],
            max_height=900,
            elem_id="pair-table",
        )
        # Inside the tab: among the tabs they would count as tabs, and a tab's name would stand twice. No State, since
        # a State that a listener outside the queue sets tells nobody.
        busy = gr.Textbox("", label="A pair is under way", visible="hidden", elem_id="pair-busy")
        sent, timer = gr.State(None), gr.Timer(2)

    def look(
        name: str | None, mine: list, positive: str, negative: str, kept: Answer | None, busy: str
    ) -> dict[Any, Any]:
        """Draw everything that follows from the texts, the run and the last answer, so that none outlives another."""
        status, counts = page.engine.status(), (_count(page, positive), _count(page, negative))
        words = ("", "") if _too_long(positive, negative) else html.marked(positive, negative)
        reason, run = _mismatch(page, name), page.store.find(name)
        fits = None if run and not reason else _fitting(page, mine)
        shown = kept if kept and kept.is_for(name, positive, negative) else None
        result, record, frame = shown.result if shown and run else None, None, None
        if result:
            record = pair_record(result, run, name, shown.date, {"plantain": __version__, **software_versions()})
            frame = pair_frame(result).round({"with_run": 2, "t": 2}).map(short)  # short, to be seen on a phone
        link = (name or "") if not name or name in page.store.saved else None
        return {
            under_positive: side_html(counts[0], words[0]),
            under_negative: side_html(counts[1], words[1]),
            note: note_html(positive.strip(), negative.strip(), counts, "" if status.state == "ready" else status.text),
            mismatch: _unranked_html(page, name, run, reason, fits),
            fitting: gr.Button(f"Choose “{fits[0]}”", visible=True) if fits else HIDDEN,
            go: gr.Button(_label(page, name), interactive=not busy),
            back: gr.update(visible=bool(kept and (kept.result or kept.measure) and not shown)),
            timer: gr.Timer(active=status.unsettled),
            figures: gr.Column(visible=bool(result)),
            answer: _shown_html(shown, result, run) if shown else "",
            actions: actions_html(link, positive, negative, record),
            table: gr.update(value=frame, visible=True) if result else HIDDEN,
        }

    def score(sent: tuple[str | None, str, str]) -> Iterator[tuple[str, Any]]:
        yield html.message_html("Both prompts go through the model …"), gr.skip()
        yield "", _scored(page, *sent)

    both = [positive, negative]
    seen = [choice.run, choice.mine, positive, negative, kept, busy]
    drawn = [
        under_positive, under_negative, note, mismatch, fitting, go, back, timer, answer, figures, actions,
        table,
    ]  # fmt: skip
    # One listener for all: of quick keystrokes the last one wins, and no more than one is under way.
    changes = [choice.run.change, positive.change, negative.change, busy.change, tab.select, timer.tick]
    gr.on(changes, listener(look), seen, drawn, trigger_mode="always_last", **VIEW)
    # By itself: the boxes trigger the listener above, which therefore leaves them alone.
    choice.run.change(
        listener(lambda name: [gr.update(label=label) for label in _side_labels(page, name)]),
        choice.run, both, **VIEW,
    )  # fmt: skip
    brought = gr.on(None, listener(_from_address), None, both, **VIEW)  # on load
    brought.then(None, both, both, js=f"{_TYPED}.bring", **VIEW).then(listener(look), seen, drawn, **VIEW)
    gr.on([box.change for box in both], None, both, None, js=f"{_TYPED}.keep", **VIEW)

    examples.pick(listener(_example), None, both, **VIEW)
    swap.click(listener(lambda a, b: (b, a)), both, both, **VIEW)
    fitting.click(
        listener(lambda mine: (_fitting(page, mine) or (None, gr.skip()))[1]), choice.mine, choice.run, **VIEW
    )
    texts = [choice.run, *both]
    back.click(listener(lambda a: (a.run, a.positive, a.negative)), kept, texts, **VIEW)

    # Said before the queue, so that a click is seen at once, with the texts as they are at the click. While a pair is
    # under way the button rests: a second click would cost GPU seconds again. It wakes whatever happens, also where
    # the queue is full.
    waiting = html.message_html("Waiting for your turn: two pairs at once, your place in the queue is above.")
    start = go.click(listener(lambda *texts: (waiting, texts, None, "yes")), texts, [said, sent, kept, busy], **VIEW)
    run_it = start.then(listener(score), sent, [said, kept], concurrency_id="pair", concurrency_limit=2, **queued(said))
    run_it.success(listener(lambda: ""), None, busy, **VIEW)
    # `then` does not come where it fails.
    run_it.failure(listener(lambda: (html.error_html(FAILED), "")), None, [said, busy], **VIEW)


def _box(label: str, text: str, side: str) -> tuple[gr.Textbox, gr.HTML]:
    with gr.Column(min_width=260):
        box = gr.Textbox(text, label=label, lines=3, max_lines=12, elem_id=f"pair-{side}")
        return box, gr.HTML(elem_id=f"under-{side}")


def examples_html() -> str:
    """Offer the examples; one component for all of them, since every one more makes the page slower to open."""
    buttons = (f'<button type="button" class="pl-button" data-name="{name}">{name}</button>' for name in EXAMPLES)
    return f'<div class="pl-examples">{"".join(buttons)}</div>'


def _example(event: gr.EventData) -> tuple[Any, Any]:
    return EXAMPLES.get(str(event.name), (gr.skip(), gr.skip()))


def _side_labels(page: Page, name: str | None) -> tuple[str, str]:
    """Name the sides as the run does; without a run, as the page's own prompt set."""
    named = run.info if (run := page.store.find(name)) else page.prompt_set
    return f"Positive ({named.positive})", f"Negative ({named.negative})"


def _from_address(request: gr.Request) -> tuple[Any, Any]:
    """Take prompts from the page's address. They are only put into the boxes: GPU seconds are the visitor's."""
    found = [request.query_params.get(side) for side in ("positive", "negative")]
    if found == [None, None]:
        return gr.skip(), gr.skip()
    return tuple(text or "" for text in found)


def _label(page: Page, name: str | None) -> str:
    run, drawn = _rankable(page, name), 2 * page.engine.draws
    if run is None:
        return "Measure this pair" + page.cost(1, None, drawn)
    return "Score this pair" + page.cost(run.info.conditions.n_repeats, run.info.size, drawn)


def _rankable(page: Page, name: str | None) -> Run | None:
    """Return the chosen run where a pair can be ranked in it, as far as is known; without one a pair is measured."""
    return None if _mismatch(page, name) else page.store.find(name)


def _count(page: Page, text: str) -> Count:
    """Count a prompt's tokens, or say why the model cannot take it."""
    if is_blank(text):
        return "the prompt is empty; write a sentence."
    if why := _too_long(text):
        return why
    try:
        return page.engine.count_tokens(text.strip())
    except PromptError as error:
        return str(error)
    except EngineError:  # the status says it
        return None


def _too_long(*texts: str) -> str:
    """Say of texts that no model takes that they are too long, before anything looks at them; empty elsewhere.

    A box takes them all the same: cut, a prompt would be another one, and nobody would know.
    """
    longest = max(map(len, texts))
    if longest <= MAX_PROMPT:
        return ""
    return (
        f"the prompt has {longest:,} characters. At most {MAX_PROMPT:,} are looked at, which is more than the model "
        "takes: shorten it. Nothing was cut off."
    )


def _mismatch(page: Page, name: str | None) -> str | None:
    """Say why no pair can be compared with a run, or None where one can or no run is chosen."""
    try:
        return page.engine.mismatch(page.run(name)) if name else None
    except PlantainError as error:
        return str(error)


def _fitting(page: Page, mine: list[tuple[str, str]]) -> tuple[str, str] | None:
    """Find a run that the loaded model made: (label, name)."""
    known = ((label, name) for label, name in [*page.saved_choices(), *mine] if page.store.find(name))
    return next((one for one in known if _mismatch(page, one[1]) is None), None)


def _unranked_html(
    page: Page, name: str | None, run: Run | None, reason: str | None, fits: tuple[str, str] | None
) -> str:
    """Say why a pair is not ranked, and that it can be measured; nothing where it is ranked."""
    if name and not reason:
        return ""
    made = f"choose “{fits[0]}”, which the loaded model made" if fits else "nobody has run this model here yet"
    words = f"Here a pair is measured and drawn, but ranked only against a run: {made}."
    if run and run.info.references:
        words += " This page sends no reference images."
    if reason:
        return html.error_html(f"No pair can be compared with the chosen run: {reason} {words}")
    return html.message_html(words)


def _scored(page: Page, name: str | None, positive: str, negative: str) -> Answer:
    """Score a pair; whatever goes wrong is an answer too, to these texts."""
    now, asked = datetime.now(UTC).isoformat(timespec="seconds"), None
    try:
        if why := _too_long(positive, negative):
            raise PromptError(f"Too long: {why}")
        run, drawn = page.run(name) if name else None, 2 * page.engine.draws
        if run and _mismatch(page, name):
            run = None
        asked = page.engine.asks(run.info.conditions.n_repeats if run else 1, run.info.size if run else None, drawn)
        with logged("pair"):
            made = page.engine.ranked(run, positive, negative) if run else page.engine.measured(positive, negative)
        pictures = expected_html(made.pictures, made.model, _side_labels(page, name)) if made.pictures else ""
        return Answer(name, positive, negative, now, made.result, made.measure, pictures)
    except Exception as error:  # ZeroGPU raises gr.Error and plain RuntimeErrors; none may freeze the page
        return Answer(name, positive, negative, now, failure=failure_html(error, asked=asked, command=LOCAL_PAIR))


def _figure(
    page: Page, chosen: str, name: str | None, positive: str, negative: str, kept: Answer | None
) -> tuple[str, Figure]:
    """Draw a figure of the answer that is shown."""
    if kept is None or kept.result is None or not kept.is_for(name, positive, negative):
        raise PlantainError("There is no answer to these prompts yet: score the pair first.")
    made = file_name("pair", kept.date[:19].replace(":", ""), chosen, suffix="")
    return made, figure(chosen, OnePair(kept.result, page.run(name)))


def _shown_html(shown: Answer, result: PairResult | None, run: Run | None) -> str:
    """Show an answer; one to a run that is gone is none."""
    if result:
        return answer_html(result, run) + shown.pictures
    return measure_html(shown.measure) + shown.pictures if shown.measure else shown.failure


def measure_html(measure: PairMeasure) -> str:
    """Show a pair that was measured by itself: one plain sentence, the strongest heads, and what limits it."""
    heads = html.table_html(
        "strongest heads", ("Head", "Difference", "Of its magnitude"), measure_rows(measure),
        "The heads that differ most. Above zero the positive prompt has the larger magnitude.",
    )  # fmt: skip
    loud = " pl-warn" if measure.model.is_random else ""
    remarks = "".join(
        f'<p><span class="pl-chip{loud}">{escape(remark.text)}</span></p>'
        if remark.kind in (Kind.WEIGHTS, Kind.RANDOM)
        else html.error_html(remark.text)
        if remark.kind is Kind.LENGTHS
        else f"<p>{escape(remark.text)}</p>"
        for remark in measure_remarks(measure)
    )
    return f'<p class="pl-sentence">{escape(measure_sentence(measure))}</p>{remarks}{heads}'


def expected_html(pictures: Pictures, model: ModelInfo, sides: tuple[str, str]) -> str:
    """Show the two expected pictures of a pair, with what they are and whose."""
    weights = f"Weights: {weights_label(model)}." + (f" {EXPECTED_RANDOM}" if model.is_random else "")
    return html.pictures_html(zip(sides, pictures.webp, strict=True), "Expected picture", f"{EXPECTED} {weights}")


def answer_html(result: PairResult, run: Run) -> str:
    """Show a visitor's result: one plain sentence, the pictures, and what to read with care."""
    scores, heads = (html.figure_html(figure(name, OnePair(result, run))) for name in ("scores", "top heads"))
    remarks = f"<summary>Read with care</summary>{html.statements_html(pair_remarks(result, run))}"
    return (
        f'<div class="pl-verdict"><div class="pl-verdict-words">{_answer_words(result, run)}'
        f'{scores}</div><div class="pl-verdict-heads">{heads}</div>'
        f'<details class="pl-careful pl-verdict-care">{remarks}</details></div>'
    )


def _answer_words(result: PairResult, run: Run) -> str:
    """Write what comes first: what was asked, the sentence, and what limits it."""
    low, n, random = result.n_at_or_below, len(result.scores) + 1, run.info.is_random
    said = f'<p class="pl-sentence">{escape(pair_sentence(result))}</p>'
    if not result.comparable:
        said = f"{html.error_html(length_warning(result))}<p>For orientation: {escape(pair_sentence(result))}</p>"
    loud = " The weights are random: this says nothing about FLUX.2 Klein." if random else ""
    return (
        f"{said}<p>Score {result.score:+.2f} SD; conformal p = {low}/{n} = {result.p:.2g}, small where your pair "
        "goes less with the others than they do; one that goes farther than all has p = 1. One pair is one pair: "
        "this is its place among the run's pairs, no test of the axis.</p>"
        f'<p><span class="pl-chip{" pl-warn" if random else ""}">{escape(weights_words(run) + loud)}</span></p>'
    )


def actions_html(run: str | None, positive: str, negative: str, record: dict[str, Any] | None) -> str:
    """Offer the link to the prompts and, where there is an answer, its file.

    Parameters
    ----------
    run : str or None
        The run's name, for the link; None for a run that ends with the page, empty where there is none.
    positive, negative : str
    record : dict or None
        From `answers.pair_record`.

    Notes
    -----
    The file is in the page itself: what visitors type is not written to the server's disk.
    """
    query = {"tab": "pair", "positive": positive, "negative": negative, **({"run": run} if run else {})}
    address = escape(urlencode(query, quote_via=quote), quote=True)
    base = escape(share_base() or "", quote=True)
    download = ""
    if record:
        content = base64.b64encode(json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False).encode()).decode()
        download = (
            f'<a class="pl-button" download="plantain-pair-{record["date"][:19].replace(":", "")}.json" '
            f'href="data:application/json;base64,{content}">Download this answer (JSON)</a>'
        )
    missing = "" if run is not None else "<p>The link does not name the run: yours ends with this page.</p>"
    return (
        f'<div class="pl-actions">{download}<button type="button" class="pl-button" data-base="{base}" '
        f'data-query="{address}">Copy link to these prompts</button><span class="pl-copied" role="status"></span>'
        f'<input class="pl-link" readonly hidden aria-label="Link to these prompts"></div>{missing}'
    )


Count = int | str | None
"""Tokens of a prompt's words, or why the model cannot take it, or None while it is not known."""


def side_html(count: Count, words: str) -> str:
    """Show one prompt under its box.

    Parameters
    ----------
    count : int, str or None
    words : str
        HTML, from `html.marked`.
    """
    tokens = f"<b>{_tokens(count)}</b> " if isinstance(count, int) else ""
    return f'<p class="pl-draft">{tokens}<span>{words}</span></p>'


def _tokens(count: int) -> str:
    return f"{count} token{'' if count == 1 else 's'}"


def note_html(positive: str, negative: str, counts: tuple[Count, Count], model: str = "") -> str:
    """Say what the two prompts are as a pair: refused, of unequal length, or fit to be scored.

    Parameters
    ----------
    positive, negative : str
        Without blanks around them.
    counts : tuple of int, str or None
    model : str
        Why nothing can be counted now; empty where it can.
    """
    sides = zip(SIDES, counts, strict=True)
    problems = [f"{side.capitalize()} prompt: {why}" for side, why in sides if isinstance(why, str)]
    if positive and positive == negative:
        problems = ["Both prompts are the same: change one of them."]
    lines = problems + ([f"{model} Tokens cannot be counted now."] if model else [])
    a, b = counts
    if not lines and isinstance(a, int) and isinstance(b, int):
        lines = [f"Both prompts have {_tokens(a)}. What differs is marked."]
        if a != b:
            lines = [
                f"{a} and {_tokens(b)}: the lengths differ, and length would be measured together with what they "
                "mean. The score would be NOT COMPARABLE. Rewrite one prompt until both have the same number of tokens."
            ]
        # More, or less, than one thing differs.
        shared = shared_words(positive, negative)
        if shared == 1:
            lines.append("The words are the same: only blanks differ.")
        elif shared < ALIKE:
            lines.append("Most words differ: then much more than one thing is measured.")
    loud = " pl-note-loud" if problems or a != b or len(lines) > 1 else ""
    return f'<div role="status" class="pl-note{loud}">{html.paragraphs_html(lines)}</div>'
