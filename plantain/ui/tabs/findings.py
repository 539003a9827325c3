"""The first screen: the headline figures beside the published ones and the control, the maps, the top blocks."""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr

from plantain import PlantainError
from plantain.findings.published import comparable, same_question
from plantain.report.figures import PANELS, drawn_units
from plantain.report.labels import UNIT_WORDS, provenance, weights_label, weights_words
from plantain.report.statements import careful_statements, notes, prompt_warnings
from plantain.report.tables import Metric, metrics
from plantain.runs.run import Run
from plantain.ui import html
from plantain.ui.errors import listener
from plantain.ui.state import LATER, VIEW, Choice, Page
from plantain.ui.tabs.map import PANEL_WORDS, map_html, opens_units, unit_map
from plantain.ui.texts import MEASURED, OWN_PROMPTS

CONTROL = (
    "The untrained control is one draw of random weights for Klein's text encoder and transformer. It shows what this "
    "probe gives on a network that has learned nothing. It does not show which of the two a trained model's difference "
    "comes from, nor what another contrast in wording would give."
)

COMPUTED = html.message_html("Nulls and corrections are being computed …")


def findings_tab(page: Page, choice: Choice, tabs: gr.Tabs, demo: gr.Blocks) -> None:
    """Build the tab; the first run is in the page as it is served."""

    def show(name: str | None, units: str, scope: str) -> tuple[str, str, str]:
        """Return what is there at once; the slower statistics come after it."""
        try:
            run = page.run_or_none(name)
            figures = findings_html(run, page.published, units, scope, page.control_for(run))
            return figures, main_map(run, units, scope), blocks_html(run, page.published, units, scope)
        except PlantainError as error:
            return html.error_html(str(error)), "", blocks_html(None, page.published, units, scope)

    def care(name: str | None, units: str, scope: str) -> str:
        return page.slowly(name, units, scope, careful_html)

    def more(name: str | None, units: str, scope: str, opened: bool) -> str:
        run = page.store.find(name) if opened else None
        others = [panel for panel in PANELS if panel != drawn_units(units)]
        return "".join(panel_html(run, panel, scope) for panel in others) if run else ""

    figures, picture, blocks = show(choice.run.value, "card", "all")
    with gr.Tab("Findings", id="findings"):
        shown = [gr.HTML(figures, elem_id="findings")]
        careful = gr.HTML(COMPUTED, elem_id="careful")
        with gr.Row():
            with gr.Column(min_width=320, scale=7):
                shown.append(unit_map(picture, "heat-map"))
                with gr.Accordion("Further maps: the other kinds of units", open=False) as panels:
                    further = unit_map("", "further-maps")
            with gr.Column(min_width=300, scale=4):
                shown.append(gr.HTML(blocks, elem_id="top-blocks"))
        opened = gr.State(False)
    change = choice.on_change(show, [], shown)
    # One chain for the page's start and every change: of two answers to one place the older must not come last.
    choice.relay(demo.load).then(listener(lambda: COMPUTED), None, careful, **VIEW).then(
        listener(care), choice.inputs, careful, **LATER
    )
    change.then(listener(more), [*choice.inputs, opened], further, **LATER)
    panels.expand(listener(lambda *now: (more(*now, True), True)), choice.inputs, [further, opened], **VIEW)
    for drawn in (shown[1], further):
        opens_units(drawn, choice, tabs)


def main_map(run: Run | None, units: str, scope: str) -> str:
    """Draw the map that belongs to the units: whole heads for slices, none for the prompt embedding."""
    return "" if run is None or units == "embedding" else panel_html(run, drawn_units(units), scope)


def panel_html(run: Run, units: str, scope: str) -> str:
    """Draw one kind of units; where it has no tokens of the scope, say so."""
    try:
        analysis = run.analysis(units, scope)
    except PlantainError as error:
        return html.message_html(f"{PANEL_WORDS[units]}: {error}")
    title = f"{PANEL_WORDS[units]}: t of {run.info.positive} minus {run.info.negative}, scope {scope}"
    caption = (
        f"{title}. {weights_words(run)} A row is a block. Orange: larger under “{run.info.positive}”; blue: "
        f"larger under “{run.info.negative}”. A click or Enter opens the unit; the tab “One head” has a list as well."
    )
    return map_html(analysis, title, caption)


def findings_html(
    run: Run | None, published: dict[str, Any], units: str, scope: str, control: Run | None = None
) -> str:
    """Show the headline figures beside the published and the control's; without a run the published ones alone."""
    if run is None:
        cards = "".join(_card(m, True) for m in metrics(None, published)[:4])
        return html.error_html("There is no saved run here. Below are the published figures only.") + _grid(cards)
    headline = run.headline(units, scope)
    control = control if control and scope in control.scopes(units) else None
    rows = metrics(headline, published, control.headline(units, scope) if control else None)
    beside = comparable(run, units, scope)
    basis = (
        f"{headline['n_units']:,} {UNIT_WORDS[units]}, scope: {scope}, {headline['n_pairs']} pairs. "
        f"{_line(rows[4], beside)}"
    )
    text = "" if headline["text_baseline"] is None else f"<p>{escape(_baseline(rows))}</p>"
    prompts = [warning.text for warning in prompt_warnings(run)]
    said = f"<p class='pl-small'>{escape(_control_line(control))}</p>" if control else ""
    return (
        f"{html.chip_html(run)}{_answer(run)}{_grid(''.join(_card(m, beside) for m in rows[:4]))}"
        f"<p>{escape(_measured(run))} {escape(basis)}</p>{text}"
        f"{html.statements_html(notes(run, headline))}{html.warnings_html(OWN_PROMPTS, prompts)}{said}"
        f"<p class='pl-small'>{escape(provenance(run))}</p>"
    )


def _measured(run: Run) -> str:
    return MEASURED.format(n=len(run.pairs), positive=run.info.positive, negative=run.info.negative)


def careful_html(run: Run, units: str, scope: str) -> str:
    """Show what limits the headline figures, folded."""
    return (
        "<details class='pl-careful'><summary>Read with care: nulls, intervals, corrections</summary>"
        f"{html.statements_html(careful_statements(run, units, scope))}</details>"
    )


def _control_line(control: Run) -> str:
    unequal = len(control.unequal_pairs())
    tokens = f", {unequal} pairs of unequal token counts" if unequal else ""
    return f"{CONTROL} ({weights_label(control.info)}, {control.info.size} px{tokens}.)"


def _grid(cards: str) -> str:
    return f'<div class="pl-cards">{cards}</div>'


def _card(metric: Metric, published: bool) -> str:
    theirs = ", ".join(filter(None, (metric.published, metric.published_significance)))
    beside = [("Published", theirs)] if published else []
    beside += [("Control", metric.control)] if metric.control is not None else []
    rows = "".join(f'<dd class="pl-published">{name}: {escape(value)}</dd>' for name, value in beside)
    return (
        f'<dl class="pl-card"><dt>{escape(metric.name)}</dt><dd class="pl-value">{escape(metric.value)}</dd>'
        f"{metric.significance and f'<dd>{escape(metric.significance)}</dd>'}{rows}</dl>"
    )


def _line(metric: Metric, published: bool) -> str:
    """Write a figure that has no card of its own."""
    beside = [f"published {metric.published}"] if published else []
    beside += [f"control {metric.control}"] if metric.control is not None else []
    words = f" ({', '.join(beside)})" if beside else ""
    return f"{metric.name} = {metric.value}{words}."


def _answer(run: Run) -> str:
    """Say above the figures where they cannot answer the page's question."""
    random = "these weights are random and show what a network gives that has learned nothing."
    if not same_question(run):
        words = f"These prompts ask something else: “{run.info.positive}” against “{run.info.negative}”."
        words += f" And {random}" if run.info.is_random else ""
    else:
        words = f"No answer to that yet: {random}" if run.info.is_random else ""
    return f"<p class='pl-answer'>{escape(words)}</p>" if words else ""


def _baseline(rows: list[Metric]) -> str:
    """Set the transformer's text input beside the figures."""
    figures = "; ".join(f"{m.name}: {m.baseline}" for m in rows)
    return f"Text baseline, the same test on the prompt embedding: {figures}."


def blocks_html(run: Run | None, published: dict[str, Any], units: str, scope: str) -> str:
    """Show the top blocks with the card's columns, this run's and the published ones."""
    theirs = _block_table("Published card (slices, all tokens; not run by us)", published["top_blocks"])
    if run is None:
        return theirs
    mine = _block_table(f"This run, {weights_label(run.info)}", run.headline(units, scope)["top_blocks"])
    return mine + theirs if comparable(run, "card", "all") else mine


def _block_table(caption: str, rows: list[dict[str, Any]]) -> str:
    head = "".join(f'<th scope="col">{h}</th>' for h in ("Block", "max |t|", "|t| > 3", "median |d|"))
    body = "".join(
        f"<tr><td>{escape(r['block'])}</td><td>{r['max_abs_t']:.2f}</td><td>{r['n_over_3']}/{r['n_units']}</td>"
        f"<td>{r['median_abs_d']:.2f}</td></tr>"
        for r in rows
    )
    return f'<table class="pl-table"><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>{body}</table>'
