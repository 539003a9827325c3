"""Buttons that save a figure as SVG or PNG, for any tab. Nothing of it is written to the server's disk."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from functools import partial
from html import escape
from secrets import token_hex
from typing import Any

import gradio as gr

from plantain.report.figures.catalogue import Figure
from plantain.report.figures.png import png
from plantain.ui.errors import failure_html, listener
from plantain.ui.state import VIEW
from plantain.ui.theme import static

_KINDS = {"svg": ("image/svg+xml", str.encode), "png": ("image/png", png)}

MakeFigure = Callable[..., tuple[str, Figure]]
"""(a figure's name, the values of the inputs) -> a file's name without its ending, and the figure."""


def saver(
    elem_id: str,
    figures: list[str],
    make: MakeFigure,
    inputs: list[gr.components.Component],
    changed: list[Any],
) -> gr.Dropdown:
    """Build the choice of a figure and its two buttons where the layout stands.

    Parameters
    ----------
    elem_id : str
        The element ids begin with it.
    figures : list of str
        The names to choose from.
    make : callable
        Whatever it raises is told to the visitor.
    inputs : list of components
        What `make` needs besides the figure's name.
    changed : list of events
        Of these; each clears what was said of the last file.

    Returns
    -------
    gr.Dropdown
        The choice of the figure.
    """

    def file(ending: str, figure: str, *values: Any) -> str:
        """Say what became of it; the line holds the file, which its script hands to the browser."""
        try:
            name, made = make(figure, *values)
            kind, written = _KINDS[ending]
            content = written(made.document)
        except Exception as error:  # whatever breaks, the click must be answered
            return failure_html(error)
        address = f"data:{kind};base64,{b64encode(content).decode()}"
        # The mark is another one each time: the same file saved again is handed over again.
        anchor = f'<a href="{address}" download="{escape(name)}.{ending}" data-mark="{token_hex(4)}">'
        return f'<p role="status">Saved as {anchor}{escape(name)}.{ending}</a>.</p>'

    with gr.Row(elem_classes="pl-saver"):
        figure = gr.Dropdown(
            figures, value=figures[0], label="Figure", filterable=False, interactive=True, min_width=200
        )
        buttons = {
            ending: gr.Button(f"Figure as {ending.upper()}", size="sm", min_width=120, elem_id=f"{elem_id}-{ending}")
            for ending in _KINDS
        }
    line = gr.HTML(elem_id=f"{elem_id}-line", js_on_load=static("saving.js"))
    for ending, button in buttons.items():
        button.click(listener(partial(file, ending)), [figure, *inputs], line, **VIEW)
    gr.on([figure.change, *changed], None, None, line, js="() => ''", **VIEW)
    return figure
