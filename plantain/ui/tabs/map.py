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

_SCRIPT = (Path(__file__).parents[1] / "static" / "map.js").read_text(encoding="utf-8")

PANEL_WORDS = {"heads": "Attention heads", "text-heads": "Heads of the text stream", "mlp": "MLP groups"}

_FULL = (5.0, 10.0)  # from where on a number has the full colour, at least and at most: one large one hides no others

_SPARSE = 30  # columns; of more, only every eighth has its number written


def unit_map(value: str, elem_id: str) -> gr.HTML:
    """Make the component; its listeners outlive every new drawing."""
    return gr.HTML(value, js_on_load=_SCRIPT, elem_id=elem_id)


def map_html(analysis: Analysis, figure: Figure, what: str = "t", ends: tuple[str, str] = ("", "")) -> str:
    """Show a map of units with its title, and its numbers folded below it; the parameters are those of `grid_html`."""
    title = f"<figcaption><strong>{escape(figure.title)}</strong></figcaption>"
    return f"{title}{grid_html(analysis, figure, what, ends)}{numbers_html(analysis, figure, what)}"


def grid_html(analysis: Analysis, figure: Figure, what: str = "t", ends: tuple[str, str] = ("", "")) -> str:
    """Show a map of units as a grid that the keyboard can walk through, a row a block.

    Parameters
    ----------
    analysis : Analysis
        Of units that come in rows of a width that can be drawn: ``heads``, ``text-heads`` or ``mlp``.
    figure : Figure
        The same map as a picture, for its words.
    what : str
        What the number is.
    ends : tuple of str
        What the lowest and the highest number mean.

    Returns
    -------
    str
        A grid with a cell a unit. Degenerate units have a dashed frame and no colour.
    """
    rows, t = _rows(analysis), analysis.t
    columns = max(len(units) for units in rows.values())
    largest = float(np.nanmax(np.abs(t), initial=0.0))
    limit = min(max(_FULL[0], largest), _FULL[1])
    firsts = {block.split("[")[0]: block for block in reversed(rows)}.values()  # a gap before each kind of block
    drawn = "".join(_row(block, units, analysis, (what, limit), block in firsts) for block, units in rows.items())
    low, high = map(escape, ends)
    beyond = largest > limit  # what is farther out has the colour of its end
    lowest, highest = f"{'≤ ' * beyond}−{limit:.1f}", f"{'≥ ' * beyond}+{limit:.1f}"
    return (
        f'<div class="pl-map" role="grid" aria-label="{escape(figure.title)}" style="--cols:{columns}">'
        f'{_head(columns)}{drawn}</div><p class="pl-map-said" aria-hidden="true"></p>'
        f'<p class="pl-map-legend">{what}: {low and f"{low} "}{lowest} <i></i> {highest} {high}</p>'
    )


def numbers_html(
    analysis: Analysis, figure: Figure, what: str = "t", summary: str = "The same numbers as a table"
) -> str:
    """Write the numbers of a map as a table, folded under a summary, with how to read them."""
    rows = _rows(analysis)
    columns = max(len(units) for units in rows.values())
    numbers = html.table_html(
        f"table of {what}",
        ("block", *map(str, range(columns))),
        ((block, *map(number, analysis.t[units])) for block, units in rows.items()),
        figure.title,
        "pl-numbers",
    )
    return html.folded_html(summary, f"<p>{escape(figure.caption)}</p>{numbers}")


def _rows(analysis: Analysis) -> dict[str, np.ndarray]:
    table = analysis.table
    return {block: np.flatnonzero(table.block == block) for block in table.blocks}


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
