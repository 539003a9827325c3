"""The tab with the headline figures, their nulls, the map of heads and the top blocks.

`findings_tab`   builds it and keeps it up to date
"""

from __future__ import annotations

import gradio as gr

from plantain import PlantainError
from plantain.plots import heat_map
from plantain.results import Run
from plantain.tables import UNIT_WORDS
from plantain.ui import html
from plantain.ui.shared import Choice, Page


def findings_tab(page: Page, choice: Choice) -> None:
    """Build the tab; the first run is in the page as it is served."""

    def show(name: str | None, units: str, scope: str) -> tuple[str, str, str, str]:
        try:
            run = page.run_or_none(name)
            figures = html.findings_html(run, page.published, units, scope, page.control_for(run))
            blocks = html.blocks_html(run, page.published, units, scope)
            return figures, html.null_html(run, units, scope), _map_html(run, units, scope), blocks
        except PlantainError as error:
            return html.error_html(str(error)), "", "", html.blocks_html(None, page.published, units, scope)

    figures, nulls, picture, blocks = show(choice.run.value, "card", "all")
    with gr.Tab("Findings"):
        outputs = [gr.HTML(figures, elem_id="findings"), gr.HTML(nulls, elem_id="nulls")]
        with gr.Row():
            with gr.Column(min_width=340, scale=6):
                outputs.append(gr.HTML(picture, elem_id="heat-map"))
            with gr.Column(min_width=300, scale=5):
                outputs.append(gr.HTML(blocks, elem_id="top-blocks"))
    choice.on_change(show, [], outputs)


def _map_html(run: Run | None, units: str, scope: str) -> str:
    """Draw the map of whole heads: 192 or 768 slices in a row cannot be seen."""
    if run is None:
        return ""
    if units == "embedding":
        return ""  # no blocks and no heads to draw
    drawn = "heads" if units == "card" else units
    title = f"t of {UNIT_WORDS[drawn]}, {run.info.positive} minus {run.info.negative}, scope {scope}"
    title = f"{title}. {html.weights_words(run)}"
    caption = (
        f"{title} Whole heads are drawn, not slices; one row is a block. Orange: larger under "
        f"“{run.info.positive}”; blue: larger under “{run.info.negative}”. Point at a cell for its number; "
        "on a narrow screen the map scrolls sideways. With “attention heads” as units the tab Heads lists them."
    )
    return html.figure_html(heat_map(run.analysis(drawn, scope), title), caption)
