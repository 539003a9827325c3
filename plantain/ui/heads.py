"""The tab that lists units, all or one block's.

`heads_tab`   builds it and keeps it up to date
"""

from __future__ import annotations

import gradio as gr
import pandas as pd

from plantain import PlantainError
from plantain.tables import CHOSEN_NOTE, UNIT_WORDS, block_names, top_units_frame
from plantain.ui import html
from plantain.ui.shared import VIEW, Choice, Page, short

ALL_BLOCKS = "all blocks"
LISTED = 100  # rows


def heads_tab(page: Page, choice: Choice) -> None:
    """Build the tab; the first run is in the page as it is served."""

    def content(name: str | None, units: str, scope: str, block: str) -> tuple[pd.DataFrame, list[str], str]:
        try:
            run = page.run_or_none(name)
            if run is None:
                return pd.DataFrame(), [], html.error_html("There is no run to list.")
            analysis = run.analysis(units, scope)
        except PlantainError as error:
            return pd.DataFrame(), [], html.error_html(str(error))
        names = block_names(analysis)
        inference = run.inference(units, scope)
        frame = top_units_frame(analysis, LISTED, block if block in names else None, inference)
        words = (
            f"{len(frame)} {UNIT_WORDS[units]} with the largest |t|; ranks are among all blocks' units. {CHOSEN_NOTE}"
        )
        return frame.map(short), names, html.message_html(f"{words} {html.weights_words(run)}")

    def show(name: str | None, units: str, scope: str, block: str) -> tuple[pd.DataFrame, gr.Dropdown, str]:
        frame, names, words = content(name, units, scope, block)
        return frame, gr.Dropdown([ALL_BLOCKS, *names], value=block if block in names else ALL_BLOCKS), words

    frame, names, words = content(choice.run.value, "card", "all", ALL_BLOCKS)
    with gr.Tab("Heads", id="head"):
        block = gr.Dropdown([ALL_BLOCKS, *names], value=ALL_BLOCKS, label="Block", filterable=False, elem_id="block")
        line = gr.HTML(words, elem_id="heads-line")
        table = gr.Dataframe(
            frame, label="Top units", buttons=["copy", "fullscreen"], interactive=False, elem_id="top-units"
        )
    choice.on_change(show, [block], [table, block, line])
    block.input(show, [*choice.inputs, block], [table, block, line], **VIEW)
