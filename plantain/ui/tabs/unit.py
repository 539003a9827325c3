"""The section of one unit: its differences, its p in words, its scopes, and the list to choose from."""

from __future__ import annotations

from html import escape
from urllib.parse import quote, urlencode

import gradio as gr
import pandas as pd

from plantain import PlantainError
from plantain.findings.directions import unit_directions
from plantain.findings.unit import UnitProfile, profile_unit
from plantain.report.figures.catalogue import OneRun, figure
from plantain.report.labels import UNIT_WORDS, run_sides, weights_words
from plantain.report.statements import corrected_statement, unit_statements
from plantain.report.tables import CHOSEN_NOTE, people_frame, shown, top_units_frame
from plantain.runs.run import Run
from plantain.runs.units import Selection
from plantain.ui import html
from plantain.ui.address import share_base
from plantain.ui.errors import listener
from plantain.ui.lazy import follows
from plantain.ui.state import HIDDEN, LATER, VIEW, Choice, Page, or_error

ALL_BLOCKS = "all"

COLUMNS = (
    "Ranks are among all blocks' units. The size is that of the differences, whichever way they point, in percent of "
    "the magnitude; the mean goes by their sign. “p, alone” is a unit's own; “p, corrected for all” and “false "
    "discovery rate” count that all units of this choice were looked at. What is said of directions is of the "
    "direction alone, whatever the magnitude."
)

LISTED = 100  # rows, and units in the picker

# On a phone these are on the screen.
FIRST_COLUMNS = ["rank", "unit", "t", "rms_percent", "d_z", "p_exact", "p_flips", "p_fwer", "q_bh", "k_direction"]


def head_section(page: Page, choice: Choice) -> None:
    """Build the section, lazily; it follows the choice and the unit."""

    def unit_of(run: Run, selection: Selection, unit: str) -> str:
        a = run.analysis(selection)
        return unit or a.table.names[a.ranking[0]]

    @or_error("", "")
    def look(name: str | None, units: str, scope: str, unit: str) -> tuple[str, str, str]:
        """Return words and figures, and empty the place of the corrected p until they are there."""
        run, scope = page.run(name), choice.fitting(name, units, scope)
        seen = profile_unit(run, unit_of(run, Selection(units, scope), unit), scope)
        # A map of slices' heads opens heads.
        other = f"This is one of the {UNIT_WORDS[seen.units]}; the list below is of {UNIT_WORDS[units]}."
        below = "" if seen.units == units else f"<p>{escape(other)}</p>"
        links = links_html(name, seen) if name in page.store.saved else ""
        return words_html(run, seen, links) + below, "", figures_html(run, seen)

    def corrected(name: str | None, units: str, scope: str, unit: str) -> str:
        return page.slowly(name, units, scope, lambda run, of: corrected_html(run, unit_of(run, of, unit), of.scope))

    def listed(name: str | None, units: str, scope: str, block: str, unit: str) -> tuple:
        """Return the list, without p values where they are not there yet, the picker, and what is listed."""
        try:
            return content(page.run(name), Selection(units, choice.fitting(name, units, scope)), block, unit)
        except PlantainError as error:
            return HIDDEN, gr.skip(), gr.skip(), html.error_html(str(error))

    def content(run: Run, selection: Selection, block: str, unit: str) -> tuple:
        analysis, chosen = run.analysis(selection), unit_of(run, selection, unit)
        names = analysis.table.blocks
        within = block if block in names else None
        directed = unit_directions(run, selection)
        frame = top_units_frame(analysis, LISTED, within, run.inferences.get(selection), directions=directed)
        choices = [(f"{u} (t = {t:+.2f})", u) for u, t in zip(frame["unit"], frame["t"], strict=True)]
        choices += [] if chosen in set(frame["unit"]) else [(chosen, chosen)]
        total = int((analysis.table.block == within).sum()) if within else len(analysis.ranking)
        words = f"{len(frame)} of {total:,} {UNIT_WORDS[selection.units]}{f' of {within}' if within else ''} by |t|."
        note = f" {CHOSEN_NOTE}" if len(frame) < total else ""
        return (
            _table(frame),
            gr.Dropdown([("all blocks", ALL_BLOCKS), *names], value=within or ALL_BLOCKS),
            gr.Dropdown(choices, value=chosen),
            html.message_html(f"{words} {COLUMNS}{note} {weights_words(run)}"),
        )

    def with_p(name: str | None, units: str, scope: str, block: str) -> dict:
        try:
            run, selection = page.run(name), Selection(units, scope)
            inference, analysis = run.inference(selection), run.analysis(selection)
            within = block if block in analysis.table.blocks else None
            directed = unit_directions(run, selection)
            return _table(top_units_frame(analysis, LISTED, within, inference, directions=directed))
        except PlantainError:
            return gr.skip()  # said beside the list already

    with gr.Row():
        block = gr.Dropdown(
            [("all blocks", ALL_BLOCKS)],
            value=ALL_BLOCKS,
            label="Block",
            filterable=False,
            interactive=True,
            elem_id="block",
            min_width=140,
        )
        picker = gr.Dropdown([], label="Head, slice or group", interactive=True, elem_id="picker", min_width=200)
    words = gr.HTML(elem_id="one-head")
    later = gr.HTML(elem_id="one-head-corrected")
    shown = [words, later, gr.HTML(elem_id="one-head-figures")]
    with gr.Accordion("All as a list", open=False, elem_id="head-list"):
        line = gr.HTML(elem_id="heads-line")
        table = gr.Dataframe(
            label="Choose a row to look at it", buttons=["copy", "fullscreen"], interactive=False,
            elem_id="top-units", visible=False,  # until it is filled: its scripts are not loaded before
        )  # fmt: skip
    everything = [*choice.inputs, choice.unit]
    filtered = [*choice.inputs, block]
    # One chain for the start and every change: of two answers to one place the older must not come last.
    relay = choice.relay_of(follows(unit=True), block.input)
    relay.then(listener(look), everything, shown, **LATER).then(
        listener(listed), [*filtered, choice.unit], [table, block, picker, line], **LATER
    ).then(listener(corrected), everything, later, **LATER).then(listener(with_p), filtered, table, **LATER)
    picker.input(listener(lambda unit: unit), picker, choice.unit, **VIEW)
    table.select(listener(_row_unit), None, choice.unit, **VIEW)


def _row_unit(event: gr.SelectData) -> str:
    return str(event.row_value[FIRST_COLUMNS.index("unit")])


def _table(frame: pd.DataFrame) -> dict:
    """Put the columns that people look for first, without empty ones; the unit's name says its block."""
    frame = frame[shown(frame)]
    first = [name for name in FIRST_COLUMNS if name in frame]
    rest = [name for name in frame if name not in (*first, "block")]
    return gr.update(value=people_frame(frame[[*first, *rest]]), visible=True)


def words_html(run: Run, unit: UnitProfile, links: str = "") -> str:
    """Say what one unit shows in a sentence, and fold the rest, and the links, under it."""
    first, *more = (line.text for line in unit_statements(run, unit))
    folded = html.folded_html("More of it, and links", html.paragraphs_html(more) + links)
    return f'<h3 class="pl-h">{escape(unit.name)}</h3><p>{escape(first)}</p>{folded}'


def links_html(name: str, unit: UnitProfile) -> str:
    """Link to one unit of a saved run, as a view of the page and as JSON: both addresses stay."""
    choice = {"run": name, "units": unit.units, "scope": unit.scope, "unit": unit.name}
    view = f"{share_base() or ''}?{urlencode({**choice, 'tab': 'evidence', 'section': 'head'}, quote_via=quote)}"
    numbers = f"unit?{urlencode({key: choice[key] for key in ('run', 'unit', 'scope')}, quote_via=quote)}"
    links = ((view, "Link to this view"), (numbers, "The numbers as JSON"))
    return "<p>{}</p>".format(
        " · ".join(f'<a href="{escape(href)}" target="_blank" rel="noopener">{words}</a>' for href, words in links)
    )


def figures_html(run: Run, unit: UnitProfile) -> str:
    """Draw one unit's differences, its scopes and slices."""
    of = OneRun(run, Selection(unit.units, unit.scope), unit.name)
    bars = ["one head by scope", *(["slices of one head"] if unit.slices else [])]
    dots = ["one head", *(["one head by direction"] if unit.direction else [])]
    first, *others = (html.figure_html(figure(name, of)) for name in (*dots, *bars))
    more = f'<div class="pl-two">{"".join(f"<div>{other}</div>" for other in others)}</div>'
    return f"{first}{html.folded_html(_MORE, more)}{_differences(run, unit)}"


_MORE = "Its direction, other tokens, and the slices inside it"


def corrected_html(run: Run, name: str, scope: str) -> str:
    """Say what is left of a unit's p after correction."""
    words = escape(corrected_statement(run, profile_unit(run, name, scope)).text)
    return html.folded_html("What is left of its p when all are counted", f"<p>{words}</p>")


def _differences(run: Run, unit: UnitProfile) -> str:
    ranked = sorted(zip(unit.differences.tolist(), run.pairs, strict=True), key=lambda pair: -pair[0])
    rows = ((r.pair.id, f"{d:+.4g}", f"{r.pair.positive}\n{r.pair.negative}") for d, r in ranked)
    titles = ("pair", "difference", " / ".join(run_sides(run)))
    return html.folded_html("The differences as a table", html.table_html("differences", titles, rows))
