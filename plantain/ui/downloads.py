"""Buttons that save a figure as SVG or PNG, for any tab. Nothing of it is written to the server's disk."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr

from plantain.report.figures.catalogue import standalone_svg
from plantain.ui.errors import failure_html, listener
from plantain.ui.state import VIEW
from plantain.ui.theme import STYLES

_SCRIPT = (Path(__file__).parent / "static" / "saving.js").read_text(encoding="utf-8")


DrawFigure = Callable[..., tuple[str, str]]
"""(a figure's name, the values of the inputs) -> a file's name without its ending, and the figure as SVG."""


def saver(elem_id: str, figures: list[str], draw: DrawFigure, inputs: list[gr.components.Component]) -> gr.Dropdown:
    """Build the choice of a figure and its two buttons where the layout stands.

    Parameters
    ----------
    elem_id : str
        The element ids begin with it.
    figures : list of str
        The names to choose from.
    draw : callable
        Whatever it raises is told to the visitor.
    inputs : list of components
        What `draw` needs besides the figure's name. A change of one of them clears what was said of the last file.

    Returns
    -------
    gr.Dropdown
        The choice of the figure.
    """

    def document(figure: str, *values: Any) -> tuple[str, str, str]:
        try:
            name, svg = draw(figure, *values)
            return standalone_svg(svg, page_styles()), name, ""
        except Exception as error:  # whatever breaks, the click must be answered
            return "", "", failure_html(error)

    with gr.Row(elem_classes="pl-saver"):
        figure = gr.Dropdown(figures, value=figures[0], label="Figure", filterable=False, min_width=200)
        buttons = {
            ending: gr.Button(f"Figure as {ending.upper()}", size="sm", min_width=120, elem_id=f"{elem_id}-{ending}")
            for ending in ("svg", "png")
        }
    line = gr.HTML(elem_id=f"{elem_id}-line")
    # Out of sight by a style: what is hidden by Gradio shows up when a column around it comes back.
    drawn = gr.Textbox(label="Figure as text", elem_classes="pl-out-of-sight")
    name = gr.Textbox(label="Name of the figure's file", elem_classes="pl-out-of-sight")
    for ending, button in buttons.items():
        event = button.click(listener(document), [figure, *inputs], [drawn, name, line], **VIEW)
        event.then(None, [drawn, name], line, js=f"({_SCRIPT}).{ending}", **VIEW)
    gr.on([c.change for c in (figure, *inputs)], None, None, line, js="() => ''", **VIEW)
    return figure


@cache
def page_styles() -> str:
    """Return the page's styles, from which a figure takes its own."""
    return "\n".join(path.read_text(encoding="utf-8") for path in STYLES)
