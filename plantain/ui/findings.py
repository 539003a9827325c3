"""The tab with the headline figures, their nulls, the map of heads and the top blocks.

`findings_tab`   builds it and keeps it up to date
"""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr

from plantain import PlantainError
from plantain.analysis import THRESHOLDS, summarize
from plantain.plots import heat_map, null_histogram
from plantain.results import Run
from plantain.statements import careful_statements
from plantain.tables import UNIT_WORDS, Metric, metrics, notes, weights_label
from plantain.ui import html
from plantain.ui.shared import Choice, Page


def findings_tab(page: Page, choice: Choice) -> None:
    """Build the tab; the first run is in the page as it is served."""

    def show(name: str | None, units: str, scope: str) -> tuple[str, str, str, str]:
        try:
            run = page.run_or_none(name)
            figures = findings_html(run, page.published, units, scope, page.control_for(run))
            blocks = blocks_html(run, page.published, units, scope)
            return figures, null_html(run, units, scope), _map_html(run, units, scope), blocks
        except PlantainError as error:
            return html.error_html(str(error)), "", "", blocks_html(None, page.published, units, scope)

    figures, nulls, picture, blocks = show(choice.run.value, "card", "all")
    with gr.Tab("Findings", id="findings"):
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


CONTROL = (
    "The untrained control is one draw of random weights in Klein's architecture, in the text encoder and the "
    "transformer "
    "alike: it says what such a probe shows of a network that has learned nothing, not which of the two a trained "
    "model's "
    "difference comes from, nor what any other contrast in wording would show."
)


def findings_html(
    run: Run | None, published: dict[str, Any], units: str, scope: str, control: Run | None = None
) -> str:
    """Show the headline figures beside the published and the control's; without a run the published ones alone."""
    if run is None:
        cards = "".join(_card(m) for m in metrics(None, published))
        return html.error_html("There is no saved run here. Below are the published figures only.") + _grid(cards)
    summary = run.summary(units, scope)
    beside = summarize(control.analysis(units, scope)) if control else None
    cards = "".join(_card(m) for m in metrics(summary, published, beside))
    basis = f"{summary['n_units']:,} {UNIT_WORDS[units]}, scope: {scope}, {summary['n_pairs']} pairs."
    lines = "".join(f"<li>{escape(note)}</li>" for note in notes(run, summary))
    careful = "".join(f"<li>{escape(line)}</li>" for line in careful_statements(run, units, scope))
    said = f"<p>{escape(_control_line(control))}</p>" if control else ""
    return (
        f"{html.chip_html(run)}<p>{escape(basis)}</p>{_grid(cards)}{said}{f'<ul>{lines}</ul>' if lines else ''}"
        f"<details class='pl-careful'><summary>Read with care: nulls, intervals, corrections</summary>"
        f"<ul>{careful}</ul></details>"
    )


def _control_line(control: Run) -> str:
    unequal = len(control.unequal_pairs())
    tokens = f", {unequal} pairs of unequal token counts" if unequal else ""
    return f"{CONTROL} ({weights_label(control.info)}, {control.info.size} px{tokens}.)"


def _grid(cards: str) -> str:
    return f'<div class="pl-cards">{cards}</div>'


def _card(metric: Metric) -> str:
    beside = "" if metric.control is None else f"<br>Untrained control: {escape(metric.control)}"
    return (
        f'<dl class="pl-card"><dt>{escape(metric.name)}</dt><dd class="pl-value">{escape(metric.value)}</dd>'
        f"<dd>{escape(metric.significance)}</dd>"
        f'<dd class="pl-published">Prompt embedding (text baseline): {escape(metric.baseline)}</dd>'
        f'<dd class="pl-published">Published card: {escape(metric.published)}<br>'
        f"{escape(metric.published_significance)}{beside}</dd></dl>"
    )


def null_html(run: Run | None, units: str, scope: str) -> str:
    """Show the distribution of the counts under sign flips with the run's own in it."""
    if run is None:
        return ""
    a, facts = run.analysis(units, scope), run.inference(units, scope).facts["thresholds"]
    figures = []
    for row, threshold in enumerate(THRESHOLDS):
        flips, p = len(a.null.signs), facts[f"{threshold:g}"]["p"]
        title = f"Units over |t| > {threshold:g} under {flips:,} sign flips, and in the run. {html.weights_words(run)}"
        figures.append(html.figure_html(null_histogram(a, row, title), f"{title} p of the run's count: {p:.3g}."))
    return f'<div class="pl-nulls">{"".join(figures)}</div>'


def blocks_html(run: Run | None, published: dict[str, Any], units: str, scope: str) -> str:
    """Show the top blocks with the card's columns, this run's and the published ones."""
    theirs = _block_table("Published card (not run by us)", published["top_blocks"])
    if run is None:
        return theirs
    mine = _block_table(f"This run, {weights_label(run.info)}", run.summary(units, scope)["top_blocks"])
    return mine + theirs


def _block_table(caption: str, rows: list[dict[str, Any]]) -> str:
    head = "".join(f'<th scope="col">{h}</th>' for h in ("Block", "max |t|", "|t| > 3", "median |d|"))
    body = "".join(
        f"<tr><td>{escape(r['block'])}</td><td>{r['max_abs_t']:.2f}</td><td>{r['n_over_3']}/{r['n_units']}</td>"
        f"<td>{r['median_abs_d']:.2f}</td></tr>"
        for r in rows
    )
    return f'<table class="pl-table"><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>{body}</table>'
