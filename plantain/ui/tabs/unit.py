"""The tab of one unit: its differences, its p in words, its scopes, and the list to choose from."""

from __future__ import annotations

from html import escape

import gradio as gr
import pandas as pd

from plantain import PlantainError
from plantain.findings.unit import UnitProfile, profile_unit
from plantain.report.figures.catalogue import OneRun, figure
from plantain.report.labels import UNIT_WORDS, weights_words
from plantain.report.statements import corrected_statement, unit_statements
from plantain.report.tables import CHOSEN_NOTE, top_units_frame
from plantain.runs.run import Run
from plantain.runs.units import Selection
from plantain.ui import html
from plantain.ui.errors import listener
from plantain.ui.state import LATER, VIEW, Choice, Page, short

ALL_BLOCKS = "all"

COLUMNS = (
    "Ranks are among all blocks' units. rms_percent is the size of the differences, whichever way they point, in "
    "percent of the magnitude. p_exact is of a unit alone; p_fwer and q_bh are corrected for all units of this choice."
)

LISTED = 100  # rows, and units in the picker

# On a phone these are on the screen.
FIRST_COLUMNS = ["rank", "unit", "t", "rms_percent", "d_z", "p_exact", "p_fwer", "q_bh"]


def heads_tab(page: Page, choice: Choice, demo: gr.Blocks) -> None:
    """Build the tab; it is filled when the page has opened, and follows the choice and the unit."""

    def unit_of(run: Run, selection: Selection, unit: str) -> str:
        a = run.analysis(selection)
        return unit or a.table.names[a.ranking[0]]

    def look(name: str | None, units: str, scope: str, unit: str) -> tuple[str, str, str]:
        """Return words and figures, and empty the place of the corrected p until they are there."""
        scope = choice.fitting(name, units, scope)
        try:
            run = page.run_or_none(name)
            if run is None:
                return _nothing(), "", ""
            seen = profile_unit(run, unit_of(run, Selection(units, scope), unit), scope)
            below = "" if seen.units == units else _other_kind(seen.units, units)
            return words_html(run, seen) + below, "", figures_html(run, seen)
        except PlantainError as error:
            return html.error_html(str(error)), "", ""

    def corrected(name: str | None, units: str, scope: str, unit: str) -> str:
        return page.slowly(
            name, units, scope, lambda run, *_: corrected_html(run, unit_of(run, Selection(units, scope), unit), scope)
        )

    def listed(name: str | None, units: str, scope: str, block: str, unit: str) -> tuple:
        """Return the list, without p values where they are not there yet, the picker, and what is listed."""
        scope = choice.fitting(name, units, scope)
        try:
            run = page.run_or_none(name)
            if run is None:
                return pd.DataFrame(), gr.skip(), gr.skip(), _nothing()
            return content(run, Selection(units, scope), block, unit)
        except PlantainError as error:
            return pd.DataFrame(), gr.skip(), gr.skip(), html.error_html(str(error))

    def content(run: Run, selection: Selection, block: str, unit: str) -> tuple:
        analysis = run.analysis(selection)
        names = analysis.table.blocks
        block = block if block in names else ALL_BLOCKS
        frame = top_units_frame(analysis, LISTED, _filter(block), run.inferences.get(selection))
        chosen = unit_of(run, selection, unit)
        choices = [(f"{u} (t = {t:+.2f})", u) for u, t in zip(frame["unit"], frame["t"], strict=True)]
        choices += [] if chosen in set(frame["unit"]) else [(chosen, chosen)]
        total = len(analysis.ranking) if block == ALL_BLOCKS else int((analysis.table.block == block).sum())
        within = "" if block == ALL_BLOCKS else f" of {block}"
        words = f"{len(frame)} of {total:,} {UNIT_WORDS[selection.units]}{within} by |t|. {COLUMNS}"
        words += f" {CHOSEN_NOTE}" if len(frame) < total else ""
        return (
            _table(frame),
            gr.Dropdown([("all blocks", ALL_BLOCKS), *names], value=block),
            gr.Dropdown(choices, value=chosen),
            html.message_html(f"{words} {weights_words(run)}"),
        )

    def with_p(name: str | None, units: str, scope: str, block: str) -> pd.DataFrame | dict:
        try:
            run = page.run_or_none(name)
            if run is None:
                return gr.skip()
            selection = Selection(units, scope)
            inference, analysis = run.inference(selection), run.analysis(selection)
            block = block if block in analysis.table.blocks else ALL_BLOCKS
            return _table(top_units_frame(analysis, LISTED, _filter(block), inference))
        except PlantainError:
            return gr.skip()  # said beside the list already

    with gr.Tab("One head", id="head"):
        with gr.Row():
            block = gr.Dropdown(
                [("all blocks", ALL_BLOCKS)],
                value=ALL_BLOCKS,
                label="Block",
                filterable=False,
                elem_id="block",
                min_width=140,
            )
            picker = gr.Dropdown([], label="Head, slice or group", elem_id="picker", min_width=200)
        words = gr.HTML(elem_id="one-head")
        later = gr.HTML(elem_id="one-head-corrected")
        shown = [words, later, gr.HTML(elem_id="one-head-figures")]
        line = gr.HTML(elem_id="heads-line")
        table = gr.Dataframe(
            label="Top units; choose a row to look at it", buttons=["copy", "fullscreen"], interactive=False,
            elem_id="top-units",
        )  # fmt: skip
    everything = [*choice.inputs, choice.unit]
    filtered = [*choice.inputs, block]
    # One chain for the page's start and every change: of two answers to one place the older must not come last.
    relay = choice.relay(demo.load, choice.unit.change, block.input)
    relay.then(listener(look), everything, shown, **LATER).then(
        listener(listed), [*filtered, choice.unit], [table, block, picker, line], **LATER
    ).then(listener(corrected), everything, later, **LATER).then(listener(with_p), filtered, table, **LATER)
    picker.input(listener(lambda unit: unit), picker, choice.unit, **VIEW)
    table.select(listener(_row_unit), None, choice.unit, **VIEW)


def _row_unit(event: gr.SelectData) -> str:
    return str(event.row_value[FIRST_COLUMNS.index("unit")])


def _nothing() -> str:
    return html.error_html("There is no run to list.")


def _filter(block: str) -> str | None:
    return None if block == ALL_BLOCKS else block


def _table(frame: pd.DataFrame) -> pd.DataFrame:
    """Put the columns that people look for first; the unit's name says its block."""
    first = [name for name in FIRST_COLUMNS if name in frame]
    return frame[[*first, *(c for c in frame if c not in (*first, "block"))]].map(short)


def _other_kind(mine: str, listed: str) -> str:
    """Say that the unit is not of the kind that is chosen: a map of slices' heads opens heads."""
    return f"<p>This is one of the {escape(UNIT_WORDS[mine])}; the list below is of {escape(UNIT_WORDS[listed])}.</p>"


def words_html(run: Run, unit: UnitProfile) -> str:
    """Say what one unit shows."""
    words = "".join(f"<p>{escape(line.text)}</p>" for line in unit_statements(run, unit))
    return f'<h3 class="pl-h">{escape(unit.name)}</h3>{words}'


def figures_html(run: Run, unit: UnitProfile) -> str:
    """Draw one unit's differences, its scopes and slices."""
    of = OneRun(run, Selection(unit.units, unit.scope), unit.name)
    dots, *bars = (
        html.figure_html(figure(name, of))
        for name in ("one head", "one head by scope", *(["slices of one head"] if unit.slices else []))
    )
    return f'<div class="pl-two"><div>{dots}{_differences(run, unit)}</div><div>{"".join(bars)}</div></div>'


def corrected_html(run: Run, name: str, scope: str) -> str:
    """Say what is left of a unit's p after correction."""
    return f"<p>{escape(corrected_statement(run, profile_unit(run, name, scope)).text)}</p>"


def _differences(run: Run, unit: UnitProfile) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(r.pair.id)}</th><td>{d:+.4g}</td><td>{escape(r.pair.positive)}<br>'
        f"{escape(r.pair.negative)}</td></tr>"
        for d, r in sorted(zip(unit.differences.tolist(), run.pairs, strict=True), key=lambda pair: -pair[0])
    )
    titles = ("pair", "difference", f"{run.info.positive} / {run.info.negative}")
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in titles)
    return (
        "<details class='pl-careful'><summary>The differences as a table</summary>"
        f'<table class="pl-table"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></details>'
    )
