"""The tab where a visitor types a pair and sees where it falls among the run's.

`visitor_tab`   builds it and runs its pairs
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

import gradio as gr

from plantain import PlantainError
from plantain.answers import pair_frame, pair_text
from plantain.pairs import PairResult
from plantain.plots import pair_dots
from plantain.results import Run
from plantain.ui import html
from plantain.ui.shared import HIDDEN, VIEW, WORK, Choice, Page, short
from plantain.ui.texts import EXAMPLES, PAIR_HELP

MAX_PROMPT = 1000  # characters; longer text would not fit into 512 tokens anyway


def visitor_tab(page: Page, choice: Choice) -> None:
    """Build the tab."""

    def score(name: str | None, positive: str, negative: str) -> Iterator[tuple[str, Any]]:
        yield html.message_html("Both prompts go through the model …"), HIDDEN
        try:
            run = page.run_or_none(name)
            if run is None:
                raise PlantainError("Choose a run first: the pair is compared with its pairs.")
            result = page.engine.probe_pair(run, positive, negative)
            yield pair_html(result, run), gr.update(value=pair_frame(result).map(short), visible=True)
        except Exception as error:  # ZeroGPU raises gr.Error and plain RuntimeErrors; none may freeze the page
            yield html.failure_html(error), HIDDEN

    def mismatch(name: str | None) -> tuple[str, Any]:
        run = page.store.find(name)
        reason = page.engine.mismatch(run) if run else None
        words = html.error_html(f"No pair can be compared with the chosen run: {reason}") if reason else ""
        return words, gr.update(interactive=not reason)

    def label(name: str | None) -> str:
        run = page.store.find(name)
        return f"Score this pair{page.cost(1, run.info.size if run else None)}"

    with gr.Tab("Your pair", id="pair") as tab:
        gr.Markdown(PAIR_HELP)
        warning = gr.HTML(mismatch(choice.run.value)[0], elem_id="pair-warning")
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
    choice.run.change(mismatch, choice.run, [warning, go], **VIEW)
    tab.select(mismatch, choice.run, [warning, go], **VIEW)
    inputs = [choice.run, positive, negative]
    waiting = html.message_html("Waiting for your turn …")  # said before the queue, so that a click is seen at once
    go.click(lambda: (waiting, HIDDEN), None, [answer, table], **VIEW)
    go.click(score, inputs, [answer, table], concurrency_id="pair", concurrency_limit=2, **WORK)
    for event in (choice.run.change, positive.input, negative.input, swap.click, example.click):
        event(lambda: ("", HIDDEN), None, [answer, table], **VIEW)  # an old answer must not stand under new texts


def pair_html(result: PairResult, run: Run) -> str:
    """Show a visitor's result: sentences and the picture."""
    asked = f"<p>“{escape(result.pair.positive)}” against “{escape(result.pair.negative)}”</p>"
    lines = asked + "".join(f"<p>{escape(line)}</p>" for line in pair_text(result, run).splitlines())
    caption = (
        "Units chosen on the run's pairs: expect regression to the mean. One pair is one pair. "
        + html.weights_words(run)
    )
    return lines + html.figure_html(
        pair_dots(result, f"Your pair among {len(result.scores)} pairs. {html.weights_words(run)}"), caption
    )
