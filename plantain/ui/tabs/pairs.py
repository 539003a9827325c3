"""The tab with the pairs: their prompts and scores, and their influence, by category and one by one."""

from __future__ import annotations

from html import escape

import gradio as gr

from plantain.findings.pairs import PairPart
from plantain.report.figures.catalogue import OneRun, figure
from plantain.report.labels import UNIT_WORDS, pair_sides, weights_words
from plantain.report.statements import pair_statements
from plantain.report.tables import CATEGORY_NOTE, KIND_NOTE, categories_frame, kinds_frame, pairs_frame
from plantain.runs.info import PairRecord
from plantain.runs.units import Selection
from plantain.ui import html
from plantain.ui.state import HIDDEN, Choice, Page, or_error, short

MARKS = "Bold and underlined: the words that the other prompt of the pair does not have in that place. "


def pairs_tab(page: Page, choice: Choice) -> None:
    """Build the tab; it is filled when it is opened, since it takes half a second at full size."""

    @or_error("", HIDDEN, HIDDEN, HIDDEN)
    def show(name: str | None, units: str, scope: str) -> tuple[str, str, dict, dict, dict]:
        of = OneRun(page.run(name), Selection(units, scope))
        frames = categories_frame(of.run, of.selection), kinds_frame(of.run, of.selection), pairs_frame(of.parts)
        tables = (gr.update(value=frame.map(short), visible=True) if len(frame) else HIDDEN for frame in frames)
        return prompts_html(of), pairs_html(of), *tables

    # The browser loads a table's scripts at the start where one is visible, also in a tab that is closed.
    options = {"interactive": False, "visible": False}
    with gr.Tab("Pairs", id="pairs") as tab:
        outputs = [
            gr.HTML(elem_id="prompts"),
            gr.HTML(elem_id="pairs"),
            gr.Dataframe(label=f"By category. {CATEGORY_NOTE}", elem_id="by-category", **options),
            gr.Dataframe(label=f"By kind. {KIND_NOTE}", elem_id="by-kind", **options),
            gr.Dataframe(label="By pair", buttons=["copy", "fullscreen"], elem_id="by-pair", **options),
        ]
        choice.fill(tab, show, [], outputs)


def prompts_html(of: OneRun) -> str:
    """Show the run's prompts, a category at a time, a pair's two side by side where there is room."""
    run = of.run
    words = (
        f"{MARKS}Score: how far a pair goes the way of the others, in SDs, on the 20 "
        f"{UNIT_WORDS[of.selection.units]} that they choose; size: how large its differences are, whatever their sign, "
        f"beside those of all pairs (1). Scope {of.selection.scope}. {weights_words(run)}"
    )
    both = list(zip(run.pairs, of.parts, strict=True))
    groups = [
        (
            category,
            "".join(
                _pair_html(*one, (run.info.positive, run.info.negative)) for one in both if one[1].category == category
            ),
        )
        for category in dict.fromkeys(run.categories)
    ]
    return f"<p>{escape(words)}</p>" + "".join(
        f'<details open class="pl-careful"><summary>{escape(category)} ({run.categories.count(category)})</summary>'
        f"<ul class='pl-pairs'>{pairs}</ul></details>"
        for category, pairs in groups
    )


def _pair_html(record: PairRecord, part: PairPart, sides: tuple[str, str]) -> str:
    texts = html.marked(record.pair.positive, record.pair.negative)
    prompts = "".join(
        f'<p><span class="pl-side">{escape(side)}</span> {text}</p>'
        for side, text in zip(pair_sides(record.pair, sides), texts, strict=True)
    )
    return (
        f'<li class="pl-pair"><p class="pl-pair-name"><b>{escape(part.id)}</b> '
        f"<span>score {part.score:+.2f}, size {part.size:.2f}</span></p>{prompts}</li>"
    )


def pairs_html(of: OneRun) -> str:
    """Show how the pairs go with one another, by category, and the influence of single ones."""
    lines = html.statements_html(pair_statements(of.run, of.parts, of.selection))
    return html.figure_html(figure("pairs", of)) + lines
