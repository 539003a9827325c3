"""The tab with the pairs: their prompts and scores, and their influence, by category and one by one."""

from __future__ import annotations

from html import escape

import gradio as gr
import pandas as pd

from plantain import PlantainError
from plantain.findings.pairs import PairPart, by_pair
from plantain.report.figures import score_dots
from plantain.report.labels import UNIT_WORDS, weights_words
from plantain.report.statements import pair_statements
from plantain.report.tables import CATEGORY_NOTE, categories_frame, pairs_frame
from plantain.runs.info import PairRecord
from plantain.runs.run import Run
from plantain.ui import html
from plantain.ui.errors import listener
from plantain.ui.state import VIEW, Choice, Page, short

Shown = tuple[str, str, pd.DataFrame, pd.DataFrame]


MARKS = "Bold and underlined: the words that the other prompt of the pair does not have in that place. "


def pairs_tab(page: Page, choice: Choice) -> None:
    """Build the tab; it is filled when it is opened, since it takes half a second at full size."""

    def show(name: str | None, units: str, scope: str, opened: bool = True) -> Shown:
        if not opened:
            return "", "", pd.DataFrame(), pd.DataFrame()
        try:
            run = page.run_or_none(name)
            if run is None:
                raise PlantainError("There is no run whose pairs could be shown.")
            return _content(run, units, scope)
        except PlantainError as error:
            return html.error_html(str(error)), "", pd.DataFrame(), pd.DataFrame()

    with gr.Tab("Pairs", id="pairs") as tab:
        outputs = [
            gr.HTML(elem_id="prompts"),
            gr.HTML(elem_id="pairs"),
            gr.Dataframe(label=f"By category. {CATEGORY_NOTE}", interactive=False, elem_id="by-category"),
            gr.Dataframe(label="By pair", buttons=["copy", "fullscreen"], interactive=False, elem_id="by-pair"),
        ]
        opened = gr.State(False)
    tab.select(listener(lambda *now: (True, *show(*now))), choice.inputs, [opened, *outputs], **VIEW)
    choice.on_change(show, [opened], outputs)


def _content(run: Run, units: str, scope: str) -> Shown:
    parts = by_pair(run, units, scope)
    prompts = prompts_html(run, parts, units, scope)
    return (
        prompts,
        pairs_html(run, parts, units, scope),
        categories_frame(run, units, scope).map(short),
        pairs_frame(parts).map(short),
    )


def prompts_html(run: Run, parts: list[PairPart], units: str, scope: str) -> str:
    """Show the run's prompts, a category at a time, a pair's two side by side where there is room.

    Parameters
    ----------
    run : Run
    parts : list of PairPart
        From `findings.pairs.by_pair`, for the same choice.
    units, scope : str
        As for `units.magnitudes`.
    """
    words = (
        f"{MARKS}Score: how far a pair goes the way of the others, in SDs, on the 20 {UNIT_WORDS[units]} that they "
        f"choose; size: how large its differences are, whatever their sign, beside those of all pairs (1). Scope "
        f"{scope}. {weights_words(run)}"
    )
    sides, both = (run.info.positive, run.info.negative), list(zip(run.pairs, parts, strict=True))
    groups = [
        (category, "".join(_pair_html(*one, sides) for one in both if one[1].category == category))
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
        f'<p><span class="pl-side">{escape(side)}</span> {text}</p>' for side, text in zip(sides, texts, strict=True)
    )
    return (
        f'<li class="pl-pair"><p class="pl-pair-name"><b>{escape(part.id)}</b> '
        f"<span>score {part.score:+.2f}, size {part.size:.2f}</span></p>{prompts}</li>"
    )


def pairs_html(run: Run, parts: list[PairPart], units: str, scope: str) -> str:
    """Show how the pairs go with one another, by category, and the influence of single ones."""
    caption = (
        "How far each pair goes the way of the others (its score): a dot is a pair, the bar its category's mean. "
        f"Scope {scope}. {weights_words(run)}"
    )
    lines = html.statements_html(pair_statements(run, parts, units, scope))
    return html.figure_html(score_dots(parts, caption), caption) + lines
