"""The map of units: blocks by heads, signed colour; a click opens the unit."""

from __future__ import annotations

from html import escape
from pathlib import Path

import gradio as gr
import numpy as np

from plantain.report.numbers import number
from plantain.runs.analysis import Analysis
from plantain.ui.errors import listener
from plantain.ui.state import VIEW, Choice

_SCRIPT = (Path(__file__).parents[1] / "static" / "map.js").read_text(encoding="utf-8")

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


def map_html(analysis: Analysis, title: str, caption: str, what: str = "t") -> str:
    """Draw a signed number of every unit, a row a block.

    Parameters
    ----------
    analysis : Analysis
        Of units that come in rows of a width that can be drawn: ``heads``, ``text-heads`` or ``mlp``.
    title : str
        What is drawn, for screen readers.
    caption : str
        How to read it.
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
    return (
        f'<figure><div class="pl-map" role="grid" aria-label="{escape(title, quote=True)}" style="--cols:{columns}">'
        f"{_head(columns)}{drawn}</div>"
        f'<p class="pl-map-said" aria-hidden="true">Point at a cell, or go there with the arrow keys.</p>'
        f"{_legend(what, limit)}"
        f"<figcaption>{escape(caption)}</figcaption></figure>{_numbers(caption, what, rows, t, columns)}"
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
    kind = "x" if np.isnan(t) else "n" if t < 0 else ""
    look = f' class="{kind}"' if kind else ""
    share = "" if np.isnan(t) else f' style="--t:{100 * min(abs(t) / limit, 1.0):.0f}%"'
    said = f"{name}: degenerate, left out" if np.isnan(t) else f"{name}: {what} = {t:+.2f}"
    return (
        f'<i role="gridcell" tabindex="-1" data-u="{escape(name, quote=True)}" '
        f'aria-label="{escape(said, quote=True)}"{look}{share}></i>'
    )


def _legend(what: str, limit: float) -> str:
    return f'<p class="pl-map-legend">{what}: −{limit:.1f} <i></i> +{limit:.1f}</p>'


def _numbers(caption: str, what: str, rows: dict[str, np.ndarray], t: np.ndarray, columns: int) -> str:
    """Write the same numbers as a table, for those who cannot or would rather not look at colours."""
    head = "".join(f'<th scope="col">{i}</th>' for i in range(columns))
    body = "".join(
        f'<tr><th scope="row">{escape(block)}</th>{"".join(f"<td>{number(t[u])}</td>" for u in units)}</tr>'
        for block, units in rows.items()
    )
    return (
        "<details class='pl-careful'><summary>The same numbers as a table</summary>"
        '<div class="pl-scroll" tabindex="0" role="group" aria-label="table of {what}">'
        f'<table class="pl-numbers"><caption>{escape(caption)}</caption>'
        f'<thead><tr><th scope="col">block</th>{head}</tr>'
        f"</thead><tbody>{body}</tbody></table></div></details>"
    )
