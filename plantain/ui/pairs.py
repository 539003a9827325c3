"""The tab with the pairs behind a result: by category, one by one, and by where their prompts differ.

`pairs_tab`   builds it and keeps it up to date
"""

from __future__ import annotations

from html import escape

import gradio as gr
import pandas as pd

from plantain import PlantainError
from plantain.breakdown import PairPart, by_pair
from plantain.plots import score_dots
from plantain.results import Run
from plantain.statements import pair_statements
from plantain.tables import CATEGORY_NOTE, UNIT_WORDS, categories_frame, pairs_frame
from plantain.ui import html
from plantain.ui.shared import VIEW, Choice, Page, short


def pairs_tab(page: Page, choice: Choice) -> None:
    """Build the tab; it is filled when it is opened, since it takes a second at full size."""

    def show(name: str | None, units: str, scope: str) -> tuple[str, pd.DataFrame, pd.DataFrame]:
        try:
            run = page.run_or_none(name)
            if run is None:
                raise PlantainError("There is no run whose pairs could be shown.")
            return _content(run, units, scope)
        except PlantainError as error:
            return html.error_html(str(error)), pd.DataFrame(), pd.DataFrame()

    with gr.Tab("Pairs", id="pairs") as tab:
        outputs = [
            gr.HTML(elem_id="pairs"),
            gr.Dataframe(label=f"By category. {CATEGORY_NOTE}", interactive=False, elem_id="by-category"),
            gr.Dataframe(label="By pair", buttons=["copy", "fullscreen"], interactive=False, elem_id="by-pair"),
        ]
    tab.select(show, choice.inputs, outputs, **VIEW)
    choice.on_change(show, [], outputs)


def _content(run: Run, units: str, scope: str) -> tuple[str, pd.DataFrame, pd.DataFrame]:
    parts = by_pair(run, units, scope)
    words = pairs_html(run, parts, units, scope, UNIT_WORDS[units])
    return words, categories_frame(run, units, scope).map(short), pairs_frame(parts).map(short)


def pairs_html(run: Run, parts: list[PairPart], units: str, scope: str, what: str) -> str:
    """Show how the pairs go with one another, by category, and what hangs on single ones."""
    caption = (
        f"How far each pair goes the way of the others on the 20 {what} that the others choose, in SDs; a dot is a "
        f"pair, the bar its category's mean. A pair's size, in the table, is how large its differences are beside "
        "those "
        f"of all pairs, whatever their sign. Scope {scope}. {html.weights_words(run)}"
    )
    lines = "".join(f"<li>{escape(line)}</li>" for line in pair_statements(run, parts, units, scope))
    return html.figure_html(score_dots(parts, caption), caption) + f"<ul>{lines}</ul>"
