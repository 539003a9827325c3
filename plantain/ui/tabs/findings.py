"""The first screen: the headline figures beside the published ones and the control, the maps, the top blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import gradio as gr

from plantain import PlantainError
from plantain.findings.held_out import ALONE, Beside, held_out, is_here
from plantain.findings.published import Published, comparable, same_question
from plantain.report.figures.catalogue import OneRun, figure
from plantain.report.figures.maps import PANELS, drawn_units
from plantain.report.labels import UNIT_WORDS, contrast_words, family_line, provenance, weights_label
from plantain.report.statements import careful_statements, notes, prompt_warnings
from plantain.report.tables import Metric, metrics
from plantain.report.verdict import standing, verdict_lines
from plantain.runs.analysis import BlockSummary
from plantain.runs.run import Run
from plantain.runs.units import Selection
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

BEGIN = "Go to the probe"

UNANSWERED = (
    "The probe sends {n} pairs of prompts like this one through Klein and records how strongly each part of its "
    "attention responds. The two prompts of a pair differ in the marked words only:"
)

RANDOM_ONLY = (
    "The runs that can be chosen above are not Klein’s: they show what the page has to show, and say nothing about it."
)

NOT_RUN_HERE = "Published by its author on his own prompts; not re-run here."

COMPUTING = html.message_html("The headline, held-out pairs told right, is being computed …")

COMPUTED = html.message_html("Nulls and corrections are being computed …")


def findings_tab(page: Page, choice: Choice, tabs: gr.Tabs, demo: gr.Blocks) -> Callable[[], None]:
    """Build the tab; the first run is in the page as it is served.

    Returns
    -------
    callable
        Writes the first run anew into the page as it is served from then on; call it after `choice`'s own is written.
    """

    def show(name: str | None, units: str, scope: str) -> tuple[str, str, Any, str, str, Any]:
        """Return what is there at once; the slower statistics come after it."""
        selection, waits = Selection(units, scope), not name and page.engine.is_kleins and page.first is None
        look = gr.update(visible=waits), gr.update(visible=not waits)
        if waits:
            return "", unanswered_html(page), look[0], "", card_html(page.published), look[1]
        try:
            run = page.run(name) if name else None
            figures = findings_html(run, page.published, selection, page.control_for(run))
            drawn = main_map(run, selection), blocks_html(run, page.published, selection)
        except PlantainError as error:
            figures, drawn = html.error_html(str(error)), ("", blocks_html(None, page.published, selection))
        return at_once(name), figures, look[0], *drawn, look[1]

    def at_once(name: str | None) -> str:
        """Show the headline where it is there already, else that it is being computed."""
        run = page.store.find(name)
        return "" if run is None else first_line(name) if is_here(run) else COMPUTING

    def first_line(name: str | None) -> str:
        return page.slowly(name, "heads", "all", lambda run, _: headline_html(run, page.beside(run)))

    def care(name: str | None, units: str, scope: str) -> str:
        return page.slowly(name, units, scope, careful_html)

    def more(name: str | None, units: str, scope: str, opened: bool) -> str:
        run = page.store.find(name) if opened else None
        others = [panel for panel in PANELS if panel != drawn_units(units)]
        return "".join(panel_html(run, Selection(panel, scope)) for panel in others) if run else ""

    def waiting(name: str | None) -> tuple[str, str]:
        return at_once(name), COMPUTED if name else ""

    with gr.Tab("Findings", id="findings"):
        headline = gr.HTML(elem_id="headline")
        figures = gr.HTML(elem_id="findings")
        begin = gr.Button(BEGIN, variant="primary", elem_id="begin")
        careful = gr.HTML(elem_id="careful")
        with gr.Row():
            with gr.Column(min_width=320, scale=7) as maps:
                picture = unit_map("", "heat-map")
                with gr.Accordion("Further maps: the other kinds of units", open=False) as panels:
                    further = unit_map("", "further-maps")
            with gr.Column(min_width=300, scale=4):
                blocks = gr.HTML(elem_id="top-blocks")
        opened = gr.State(False)
    shown = [headline, figures, begin, picture, blocks, maps]

    def serve() -> None:
        """Write what is shown first; Gradio takes it from the components."""
        headline.value, figures.value, look, picture.value, blocks.value, whole = show(choice.run.value, "card", "all")
        begin.visible, maps.visible, careful.value = look["visible"], whole["visible"], waiting(choice.run.value)[1]

    serve()
    begin.click(listener(lambda: gr.Tabs(selected="probe")), None, tabs, **VIEW)
    change = choice.on_change(show, [], shown)
    # What arrives, and what the model does, is said where no run is on show.
    choice.relay_of(choice.known.change).then(
        listener(lambda *now: (gr.skip(),) * len(shown) if now[0] else show(*now)), choice.inputs, shown, **LATER
    )
    # One chain for the page's start and every change: of two answers to one place the older must not come last.
    choice.relay(demo.load).then(listener(waiting), choice.run, [headline, careful], **VIEW).then(
        listener(first_line), choice.run, headline, **LATER
    ).then(listener(care), choice.inputs, careful, **LATER)
    change.then(listener(more), [*choice.inputs, opened], further, **LATER)
    panels.expand(listener(lambda *now: (more(*now, True), True)), choice.inputs, [further, opened], **VIEW)
    for drawn in (picture, further):
        opens_units(drawn, choice, tabs)
    return serve


def headline_html(run: Run, beside: Beside = ALONE) -> str:
    """Show the one figure of a run in a sentence, and what stands beside it."""
    first, *more = verdict_lines(run, held_out(run, beside.replication, beside.controls))
    lines = "".join(f"<p class='pl-small'>{escape(line)}</p>" for line in more)
    return f"<div class='pl-headline'><p class='pl-answer'>{escape(first)}</p>{lines}</div>"


def main_map(run: Run | None, selection: Selection) -> str:
    """Draw the map that belongs to the units: whole heads for slices, none for the prompt embedding."""
    if run is None or selection.units == "embedding":
        return ""
    return panel_html(run, Selection(drawn_units(selection.units), selection.scope))


def panel_html(run: Run, selection: Selection) -> str:
    """Draw one kind of units; where it has no tokens of the scope, say so."""
    try:
        analysis = run.analysis(selection)
    except PlantainError as error:
        return html.message_html(f"{PANEL_WORDS[selection.units]}: {error}")
    return map_html(analysis, figure("map of heads", OneRun(run, selection)))


def unanswered_html(page: Page) -> str:
    """Show what there is to see before Klein's own weights were run: one pair, and what an answer costs."""
    prompts, status = page.prompt_set, page.engine.status()
    pair, n = prompts.pairs[0], len(prompts.pairs)
    texts = html.marked(pair.positive, pair.negative)
    shown = "".join(
        f'<p><span class="pl-side">{escape(side)}</span> {text}</p>'
        for side, text in zip((prompts.positive, prompts.negative), texts, strict=True)
    )
    price = page.price(n + 1, None)  # and one prompt beside itself
    said = "Nobody has run this here yet" + (f": {price}." if price else ".")
    if arriving := page.store.arriving:
        said += f" Published runs are arriving ({arriving}); one on Klein is shown as soon as it is here."
    trouble = html.error_html(status.text) if status.why else ""
    others = f"<p class='pl-small'>{escape(RANDOM_ONLY)}</p>" if page.store.saved else ""
    return (
        f'<p class="pl-answer">{escape(said)}</p>{trouble}'
        f"<p>{escape(UNANSWERED.format(n=n))}</p>"
        f'<div class="pl-pair pl-one-pair">{shown}</div>{others}'
    )


def card_html(published: Published) -> str:
    """Show the published figures by themselves: the card's table and its blocks."""
    rows = [
        (metric.name, ", ".join(filter(None, (metric.published, metric.published_significance))))
        for metric in metrics(None, published)
    ]
    table = html.table_html("published figures", ("Figure", "Published"), rows, NOT_RUN_HERE)
    return table + _block_table(f"Top blocks. {NOT_RUN_HERE}", published.top_blocks) + _family(published)


def findings_html(run: Run | None, published: Published, selection: Selection, control: Run | None = None) -> str:
    """Show the headline figures beside the published and the control's; without a run the published ones alone."""
    if run is None:
        missing = html.error_html("There is no saved run here. Below are the published figures only.")
        return missing + _cards(metrics(None, published), True)
    headline = run.headline(selection)
    control = control if control and selection.scope in control.scopes(selection.units) else None
    rows = metrics(headline, published, control.headline(selection) if control else None)
    beside = comparable(run, selection)
    counted = f"{headline.n_units:,} {UNIT_WORDS[selection.units]}, scope: {selection.scope}"
    basis = f"{counted}, {headline.n_pairs} pairs. {_line(rows[4], beside)}"
    text = (
        f"Text baseline, the same test on the prompt embedding: {'; '.join(f'{m.name}: {m.baseline}' for m in rows)}."
    )
    measured = MEASURED.format(n=len(run.pairs), contrast=contrast_words(run))
    prompts = [warning.text for warning in prompt_warnings(run)]
    said = f"<p class='pl-small'>{escape(_control_line(control, run))}</p>" if control else ""
    return (
        f"{html.chip_html(run)}{_answer(run)}<p class='pl-small'>{escape(standing(run, selection))}</p>"
        f"{_cards(rows, beside)}"
        f"{html.paragraphs_html([f'{measured} {basis}', '' if headline.text_baseline is None else text])}"
        f"{html.statements_html(notes(run, headline))}{html.warnings_html(OWN_PROMPTS, prompts)}{said}"
        f"<p class='pl-small'>{escape(provenance(run))}</p>"
    )


def careful_html(run: Run, selection: Selection) -> str:
    """Show what limits the headline figures, folded."""
    statements = html.statements_html(careful_statements(run, selection))
    return html.folded_html("Read with care: nulls, intervals, corrections", statements)


def _control_line(control: Run, run: Run) -> str:
    unequal = len(control.unequal_pairs())
    tokens = f", {unequal} pairs of unequal token counts" if unequal else ""
    other = control.info.prompts_sha256 != run.info.prompts_sha256
    text = ", another text of this prompt set" if other else ""
    return f"{CONTROL} ({weights_label(control.info)}, {control.info.size} px{tokens}{text}.)"


def _cards(rows: list[Metric], published: bool) -> str:
    """Show the first four figures; the fifth stands in the line below them."""
    return f'<div class="pl-cards">{"".join(_card(metric, published) for metric in rows[:4])}</div>'


def _card(metric: Metric, published: bool) -> str:
    theirs = ", ".join(filter(None, (metric.published, metric.published_significance)))
    rows = "".join(
        f'<dd class="pl-published">{name}: {escape(value)}</dd>'
        for name, value in (("Published", theirs if published else None), ("Control", metric.control))
        if value is not None
    )
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


def blocks_html(run: Run | None, published: Published, selection: Selection) -> str:
    """Show the top blocks with the card's columns, this run's and the published ones."""
    theirs = _block_table("Published card (slices, all tokens; not run by us)", published.top_blocks)
    theirs += _family(published)
    if run is None:
        return theirs
    mine = _block_table(f"This run, {weights_label(run.info)}", run.headline(selection).top_blocks)
    return mine + theirs if comparable(run, Selection("card", "all")) else mine


def _family(published: Published) -> str:
    return f"<p class='pl-small pl-family'>{escape(family_line(published))}</p>"


def _block_table(caption: str, rows: Sequence[BlockSummary]) -> str:
    cells = [(r.block, f"{r.max_abs_t:.2f}", f"{r.n_over_3}/{r.n_units}", f"{r.median_abs_d:.2f}") for r in rows]
    return html.table_html("top blocks", ("Block", "max |t|", "|t| > 3", "median |d|"), cells, caption)
