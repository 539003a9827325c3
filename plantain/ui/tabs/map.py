"""The map of units: blocks by heads, signed colour; a click opens the unit."""

from __future__ import annotations

from html import escape
from pathlib import Path

import gradio as gr
import numpy as np

from plantain.report.figures.catalogue import Figure
from plantain.report.numbers import number
from plantain.runs.analysis import Analysis
from plantain.ui import html
from plantain.ui.errors import listener
from plantain.ui.state import VIEW, Choice

_SCRIPT = (Path(__file__).parents[1] / "static" / "map.js").read_text(encoding="utf-8")

OPENS = " A click or Enter opens the unit; the tab “One head” has a list as well."

PANEL_WORDS = {"heads": "Attention heads", "text-heads": "Heads of the text stream", "mlp": "MLP groups"}

_SPARSE = 30  # columns; of more, only every eighth has its number written


def unit_map(value: str, elem_id: str) -> gr.HTML:
    """Make the component; its listeners outlive every new drawing."""
    return gr.HTML(value, js_on_load=_SCRIPT, elem_id=elem_id)


def opens_units(drawn: gr.HTML, choice: Choice, tabs: gr.Tabs) -> None:
    """Let a click or Enter in a map open the unit."""
    drawn.pick(listener(_picked), None, [choice.unit, tabs], **VIEW)


def _picked(event: gr.EventData) -> tuple[str, gr.Tabs]:
    return str(event.unit), gr.Tabs(selected="head")  # a name that the run does not have is told there


def map_html(analysis: Analysis, figure: Figure, what: str = "t") -> str:
    """Show a map of units as a grid that the keyboard can walk through, a row a block.

    Parameters
    ----------
    analysis : Analysis
        Of units that come in rows of a width that can be drawn: ``heads``, ``text-heads`` or ``mlp``.
    figure : Figure
        The same map as a picture, for its words.
    what : str
        What the number is.

    Returns
    -------
    str
        A grid with a cell a unit. Degenerate units have a dashed frame and no colour.
    """
    table, t = analysis.table, analysis.t
    rows = {block: np.flatnonzero(table.block == block) for block in table.blocks}
    columns = max(len(units) for units in rows.values())
    limit = max(5.0, float(np.nanmax(np.abs(t), initial=0.0)))
    firsts = {block.split("[")[0]: block for block in reversed(rows)}.values()  # a gap before each kind of block
    drawn = "".join(_row(block, units, analysis, (what, limit), block in firsts) for block, units in rows.items())
    numbers = html.table_html(
        f"table of {what}",
        ("block", *map(str, range(columns))),
        ((block, *map(number, t[units])) for block, units in rows.items()),
        figure.title,
        "pl-numbers",
    )
    return (
        f'<figure><div class="pl-map" role="grid" aria-label="{escape(figure.title)}" '
        f'style="--cols:{columns}">{_head(columns)}{drawn}</div>'
        '<p class="pl-map-said" aria-hidden="true">Point at a cell, or go there with the arrow keys.</p>'
        f'<p class="pl-map-legend">{what}: −{limit:.1f} <i></i> +{limit:.1f}</p>'
        f"{html.words_html(figure, OPENS)}</figure>{html.folded_html('The same numbers as a table', numbers)}"
    )


def _head(columns: int) -> str:
    """Number the columns; where they are narrow, one number stands over several of them."""
    step = 8 if columns > _SPARSE else 4 if columns > 12 else 1
    spans = [(i, min(step, columns - i)) for i in range(0, columns, step)]
    numbers = "".join(
        f'<span role="columnheader" aria-colspan="{wide}" style="grid-column: span {wide}">{i}</span>'
        for i, wide in spans
    )
    corner = '<span class="pl-map-corner" role="columnheader">block</span>'
    return f'<div class="pl-map-row" role="row">{corner}{numbers}</div>'


def _row(block: str, units: np.ndarray, a: Analysis, scale: tuple[str, float], first: bool) -> str:
    names, gap = a.table.names, " pl-map-first" if first else ""
    cells = "".join(_cell(names[u], float(a.t[u]), *scale) for u in units)
    return f'<div class="pl-map-row{gap}" role="row"><span role="rowheader">{escape(block)}</span>{cells}</div>'


def _cell(name: str, t: float, what: str, limit: float) -> str:
    if np.isnan(t):
        look, said = ' class="x"', f"{name}: degenerate, left out"
    else:
        share = f' style="--t:{100 * min(abs(t) / limit, 1.0):.0f}%"'
        look, said = (' class="n"' if t < 0 else "") + share, f"{name}: {what} = {t:+.2f}"
    return f'<i role="gridcell" tabindex="-1" data-u="{escape(name)}" aria-label="{escape(said)}"{look}></i>'
