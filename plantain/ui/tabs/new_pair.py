"""The tab where a visitor types a pair and sees where it falls among the run's, or, without one, what it moves."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from html import escape
from typing import Any
from urllib.parse import quote, urlencode

import gradio as gr

from plantain import PlantainError, __version__
from plantain.findings.new_pair import Control, control_of
from plantain.models.info import software_versions
from plantain.prompts.diff import ALIKE, shared_words
from plantain.prompts.lengths import even
from plantain.prompts.sets import SIDES, PromptError, is_blank
from plantain.report.export import file_name
from plantain.report.figures.catalogue import FIGURES, Figure, OnePair, figure
from plantain.report.new_pair import pair_record
from plantain.runs.run import Run
from plantain.ui import html
from plantain.ui.address import share_base
from plantain.ui.clicks import arrived
from plantain.ui.downloads import saver
from plantain.ui.engine import EngineError
from plantain.ui.errors import LOCAL_PAIR, failure_html, listener
from plantain.ui.lazy import unseen
from plantain.ui.log import logged
from plantain.ui.state import HIDDEN, LATER, VIEW, Choice, Page, queued
from plantain.ui.tabs.pair_answer import (
    Answer,
    Tries,
    answer_html,
    answer_to,
    drawn_of,
    measure_html,
    pictures_caution,
    pictures_html,
    tries_html,
    with_answer,
)
from plantain.ui.tabs.pair_words import (
    endings,
    examples_html,
    known_words,
    marked_words,
    picked,
    unknown_sentence,
    unknown_words,
)
from plantain.ui.texts import EXAMPLES_IN, PAIR_HELP
from plantain.ui.theme import static

MAX_PROMPT = 3000  # characters that are looked at; English of that length has more than 512 tokens

FAILED = "Nothing was scored: the queue is full or the connection broke. Your prompts are still here; try again."

OLD = (
    '<p role="status">The answer below is to the previous texts. <button type="button" id="last-answer" '
    'class="pl-button pl-slim" data-name="back">Bring them back</button></p>'
)

COPY, PICK, _LISTS, _TYPED = map(static, ("pair_link.js", "pick.js", "word_lists.js", "typed.js"))

ARRIVED = arrived(
    "#score-pair",
    "#pair-answer :is(.pl-verdict, [role=alert])",
    "#pair-answer .pl-verdict-strip :is(.pl-fluid, table)",
)


def visitor_tab(page: Page, choice: Choice, tab: gr.Tab) -> None:
    """Build what the tab holds."""
    built = page.engine.words
    first, *_ = EXAMPLES_IN[built].values()
    examples = gr.HTML(examples_html(built), elem_id="pair-examples", js_on_load=PICK + _LISTS)
    with gr.Row(elem_classes="pl-sides"):
        labels = _side_labels(page, choice.run.value)
        marked = marked_words(*first, None)
        (positive, under_positive), (negative, under_negative) = map(_box, labels, first, marked, SIDES)
    with gr.Row(elem_classes="pl-start"):
        label = _label(page, choice.run.value)
        go = gr.Button(label, variant="primary", elem_id="score-pair", scale=0, min_width=200)
        swap = gr.Button("Swap sides", size="sm", scale=0, min_width=110, elem_id="swap-sides")
        note = gr.HTML(elem_id="pair-note", js_on_load=PICK)
        # Beside the button: what is under way, and that the answer is to other texts.
        said = gr.HTML(elem_id="pair-said", elem_classes="pl-queue")
        old = gr.HTML(elem_id="pair-old", js_on_load=PICK)
    with gr.Row(elem_classes="pl-fits"):
        mismatch = gr.HTML(elem_id="pair-warning")
        fitting = gr.Button(
            "Choose a run that fits", visible=False, size="sm", scale=0, min_width=200, elem_id="fitting-run"
        )
    answer = gr.HTML(elem_id="pair-answer", js_on_load=PICK)
    tries, on_show = gr.State(()), gr.State((None, ()))  # on show: the answer that is drawn, and beside which tries
    actions = gr.HTML(actions_html(choice.run.value or "", *first, None), elem_id="pair-actions", js_on_load=COPY)
    with gr.Accordion("Save a figure of the answer", open=False, visible=False, elem_classes="pl-section") as figures:
        saver(
            "pair-figure",
            list(FIGURES[OnePair]),
            lambda *now: _figure(page, *now),
            [choice.run, positive, negative, tries],
            [component.change for component in (choice.run, positive, negative, tries)],
        )
    gr.HTML(html.folded_html("How it is scored", PAIR_HELP), elem_id="pair-help")
    # No State: one that a listener outside the queue sets tells nobody, and while a pair waits for its turn, others may
    # come and Gradio forget it.
    busy, sent, timer = unseen("A pair is under way"), unseen("What was sent"), gr.Timer(2)

    def look(
        name: str | None,
        mine: list,
        positive: str,
        negative: str,
        tries: Tries,
        drawn: tuple[Answer | None, Tries],
        busy: str,
    ) -> dict[Any, Any]:
        """Draw everything that follows from the texts, the run and the answers; an answer to other texts says so."""
        status, counts = page.engine.status(), (_count(page, positive), _count(page, negative))
        reason, run = page.mismatch(name), page.store.find(name)
        fits = None if run and not reason else page.fitting(mine)
        asked = answer_to(tries, name, positive, negative)
        standing = asked or _standing(name, tries, drawn[0])
        record = None
        if asked and asked.result and run:
            versions = {"plantain": __version__, **software_versions()}
            record = pair_record(asked.result, run, name, asked.date, versions)
        link = (name or "") if not name or name in page.store.saved else None
        long = _too_long(positive, negative)
        known, texts = known_words(page.engine.words), (positive.strip(), negative.strip())
        words = ("", "") if long else marked_words(positive, negative, known)
        unknown = "" if long else unknown_sentence(unknown_words(texts, known))
        better = _evened(page, texts, counts)
        return {
            under_positive: side_html(counts[0], words[0]),
            under_negative: side_html(counts[1], words[1]),
            note: note_html(*texts, counts, "" if status.state == "ready" else status.text, unknown, better),
            mismatch: _unranked_html(page, name, run, reason, fits),
            fitting: gr.Button(f"Choose “{fits[0]}”", visible=True) if fits else HIDDEN,
            go: gr.Button(_label(page, name), interactive=not busy),
            old: OLD if standing and standing is not asked and not busy else "",
            figures: gr.Accordion(visible=record is not None),
            # What is there already is not sent again with every letter.
            answer: gr.skip() if drawn == (standing, tries) else _shown_html(page, standing, tries, run),
            on_show: (standing, tries),
            actions: actions_html(link, positive, negative, record),
        }

    def score(sent: str, tries: Tries) -> Iterator[tuple[str, Any]]:
        yield under_way_html("Both prompts go through the model …"), gr.skip()
        yield "", with_answer(tries, _scored(page, *_sent(sent)))

    def renew(*shown: str) -> tuple[Any, ...]:
        """Offer the examples in the model's words, which is known once it is there; what is typed stays."""
        unsettled, now = page.engine.status().unsettled, page.engine.words
        mine, *_ = EXAMPLES_IN[now].values()
        begun = (gr.skip(), gr.skip()) if now == built or shown != first else mine
        return gr.skip() if now == built else examples_html(now), *begun, gr.Timer(active=unsettled)

    def even_out(*now: str) -> tuple[str, str]:
        return _evened(page, now, tuple(_count(page, text) for text in now)) or now

    both = [positive, negative]
    texts = [choice.run, *both]
    seen = [choice.run, choice.mine, *both, tries, on_show, busy]
    outputs = [
        under_positive, under_negative, note, mismatch, fitting, go, old, answer, on_show, figures, actions,
    ]  # fmt: skip
    # One listener for all: of quick keystrokes the last one wins, and no more than one is under way.
    changes = [choice.run.change, positive.change, negative.change, busy.change, tab.select]
    choice.relay_of(*changes).then(listener(look), seen, outputs, **LATER)
    # By itself: the boxes trigger the listener above, which therefore leaves them alone.
    choice.switched.then(
        listener(lambda name: [gr.update(label=label) for label in _side_labels(page, name)]),
        choice.run, both, **LATER,
    )  # fmt: skip
    brought = gr.on(None, listener(_from_address), None, both, **VIEW)  # on load
    opened = brought.then(None, both, both, js=f"{_TYPED}.bring", **VIEW)
    # The renewal that finds the model settled is the last one, and a look follows it.
    for event in (opened.then, timer.tick):
        event(listener(renew), both, [examples, *both, timer], **VIEW).then(listener(look), seen, outputs, **VIEW)
    gr.on([box.change for box in both], None, both, None, js=f"{_TYPED}.keep", **VIEW)

    # Gradio would forget what is picked before the last answer.
    examples.pick(listener(_started), None, both, **VIEW, trigger_mode="multiple")
    note.pick(listener(even_out), both, both, **VIEW)
    old.pick(listener(lambda drawn: _texts_of(drawn[0])), on_show, texts, **VIEW)
    answer.pick(listener(_try_again), tries, texts, **VIEW)
    swap.click(listener(lambda a, b: (b, a)), both, both, **VIEW)
    fitting.click(listener(lambda mine: (page.fitting(mine) or (None, gr.skip()))[1]), choice.mine, choice.run, **VIEW)

    # Said by the browser itself, so that a click is seen at once; the texts are those at the click. While a pair is
    # under way the button rests: a second click would cost GPU seconds again. It wakes whatever happens, also where
    # the queue is full.
    waiting = under_way_html("Waiting for your turn …")
    go.click(None, None, said, js=f"() => {json.dumps(waiting)}", **VIEW)
    start = go.click(listener(lambda *texts: (json.dumps(texts), "yes")), texts, [sent, busy], **VIEW)
    run_it = start.then(
        listener(score), [sent, tries], [said, tries], concurrency_id="pair", concurrency_limit=2, **queued(said)
    )
    shown = run_it.success(listener(look), seen, outputs, **VIEW)
    shown.then(None, None, None, js=ARRIVED, **VIEW)
    shown.then(listener(lambda: ""), None, busy, **VIEW)
    # `then` does not come where it fails.
    run_it.failure(listener(lambda: (html.error_html(FAILED), "")), None, [said, busy], **VIEW)


def _box(label: str, text: str, words: str, side: str) -> tuple[gr.Textbox, gr.HTML]:
    with gr.Column(min_width=260):
        box = gr.Textbox(text, label=label, lines=2, max_lines=12, elem_id=f"pair-{side}")
        return box, gr.HTML(side_html(None, words), elem_id=f"under-{side}")


def _standing(name: str | None, tries: Tries, last: Answer | None) -> Answer | None:
    """Return which answer stands while the texts are others: the one that was looked at last, in the same run."""
    told = [answer for answer in tries if answer.run == name and not answer.failure]
    return last if last in told else next(iter(told), None)


def _started(event: gr.EventData) -> tuple[Any, Any]:
    """Fill both boxes with the example, or the words of the lists, that was chosen."""
    known = {name: pair for examples in EXAMPLES_IN.values() for name, pair in examples.items()}
    found = known.get(str(getattr(event, "name", ""))) or picked(getattr(event, "chosen", None))
    return found or (gr.skip(), gr.skip())


def _try_again(tries: Tries, event: gr.EventData) -> tuple[Any, Any, Any]:
    """Bring back the texts of the try that was chosen, by its place in the list."""
    place = str(getattr(event, "name", ""))
    return _texts_of(tries[int(place)] if place.isdecimal() and int(place) < len(tries) else None)


def _texts_of(answer: Answer | None) -> tuple[Any, Any, Any]:
    return (answer.run, answer.positive, answer.negative) if answer else (gr.skip(),) * 3


def _evened(page: Page, texts: tuple[str, str], counts: tuple[Count, ...]) -> tuple[str, str] | None:
    """Find a small edit by which both prompts have as many tokens; None where they have, or none is found."""
    if not all(isinstance(count, int) for count in counts) or counts[0] == counts[1]:
        return None
    with suppress(PlantainError):  # one of the edits is too long for the model
        return even(*texts, page.engine.count_tokens, endings(page.engine.words, texts))
    return None


def _side_labels(page: Page, name: str | None) -> tuple[str, str]:
    """Name the sides as the run does; without a run, as the page's own prompt set."""
    named = run.info if (run := page.store.find(name)) else page.first_set
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
    return None if page.mismatch(name) else page.store.find(name)


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
        why = html.folded_html("Why not against the chosen run?", html.paragraphs_html([reason]))
        return f"{html.message_html(words)}{why}"
    return html.message_html(words)


def _sent(words: str) -> tuple[str | None, str, str]:
    """Read what the page sent along: a run's name and both texts. It comes from the browser, so it may be anything."""
    with suppress(ValueError, TypeError, RecursionError):
        name, positive, negative = json.loads(words)
        if isinstance(name, str | None) and isinstance(positive, str) and isinstance(negative, str):
            return name, positive, negative
    raise PlantainError("What was sent did not arrive whole. Press the button again.")


def _scored(page: Page, name: str | None, positive: str, negative: str) -> Answer:
    """Score a pair; whatever goes wrong is an answer too, to these texts."""
    now, asked = datetime.now(UTC).isoformat(timespec="seconds"), None
    try:
        if why := _too_long(positive, negative):
            raise PromptError(f"Too long: {why}")
        run, drawn = page.run(name) if name else None, 2 * page.engine.draws
        if run and page.mismatch(name):
            run = None
        asked = page.engine.asks(run.info.conditions.n_repeats if run else 1, run.info.size if run else None, drawn)
        with logged("pair"):
            made = page.engine.ranked(run, positive, negative) if run else page.engine.measured(positive, negative)
        pictures, caution = "", ""
        if made.pictures:
            pictures = pictures_html(made.pictures, _side_labels(page, name))
            caution = pictures_caution(made.model)
        return Answer(name, positive, negative, now, made.result, made.measure, pictures, caution)
    except Exception as error:  # ZeroGPU raises gr.Error and plain RuntimeErrors; none may freeze the page
        return Answer(name, positive, negative, now, failure=failure_html(error, asked=asked, command=LOCAL_PAIR))


def _figure(
    page: Page, chosen: str, name: str | None, positive: str, negative: str, tries: Tries
) -> tuple[str, Figure]:
    """Draw a figure of the answer that is shown."""
    shown = answer_to(tries, name, positive, negative)
    if shown is None or shown.result is None:
        raise PlantainError("There is no answer to these prompts yet: score the pair first.")
    made, run = file_name("pair", shown.date[:19].replace(":", ""), chosen, suffix=""), page.run(name)
    return made, figure(chosen, drawn_of(shown, tries, run, _control(page, run)))


def _control(page: Page, run: Run) -> Control | None:
    return control_of(run, page.beside(run))


def _shown_html(page: Page, shown: Answer | None, tries: Tries, run: Run | None) -> str:
    """Show an answer; without one, and where its run is gone, the tries."""
    if shown and shown.result and run:
        return answer_html(shown, tries, run, _control(page, run))
    if shown and shown.measure:
        return measure_html(shown, tries)
    return (shown.failure if shown else "") + tries_html(tries, least=1)


def under_way_html(words: str) -> str:
    """Say what is under way, beside something that moves."""
    said = escape(words)
    return f'<div class="pl-progress"><progress aria-label="{said}"></progress><p role="status">{said}</p></div>'


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


def note_html(
    positive: str,
    negative: str,
    counts: tuple[Count, Count],
    model: str = "",
    unknown: str = "",
    better: tuple[str, str] | None = None,
) -> str:
    """Say what the two prompts are as a pair: refused, of unequal length, or fit to be scored.

    Parameters
    ----------
    positive, negative : str
        Without blanks around them.
    counts : tuple of int, str or None
    model : str
        Why nothing can be counted now; empty where it can.
    unknown : str
        Which words the model does not know; empty where it knows all.
    better : tuple of str, optional
        Both prompts with a small edit that makes their lengths equal.
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
                f"{a} and {_tokens(b)}: the lengths differ, and length would be measured too. The score would be NOT "
                "COMPARABLE."
            ]
        # More, or less, than one thing differs.
        shared = shared_words(positive, negative)
        if shared == 1:
            lines.append("The words are the same: only blanks differ.")
        elif shared < ALIKE:
            lines.append("Most words differ: then much more than one thing is measured.")
    if unknown:
        lines.append(unknown)
    loud = " pl-note-loud" if problems or a != b or len(lines) > 1 else ""
    return f'<div role="status" class="pl-note{loud}">{html.paragraphs_html(lines)}{_offer(positive, better)}</div>'


def _offer(positive: str, better: tuple[str, str] | None) -> str:
    """Offer an edit; nothing where there is none."""
    if better is None:
        return ""
    new = better[0] if better[0] != positive else better[1]
    words = new if len(new) <= _OFFERED else f"…{new[-_OFFERED:]}"
    return f'<p><button type="button" class="pl-button pl-slim" data-name="even">Use: “{escape(words)}”</button></p>'


_OFFERED = 80  # characters of an edited prompt: what is edited is its end
