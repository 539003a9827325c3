"""The first tab: what was found in one sentence with one pair, the tables and maps of it, and the six questions."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import gradio as gr

from plantain import PlantainError
from plantain.findings.example import Example, example, shrunk
from plantain.findings.held_out import HeldOut, held_out, is_here
from plantain.findings.published import Published, comparable, same_question
from plantain.findings.roles import known_role
from plantain.findings.told import DIRECTION, MAGNITUDE, Told
from plantain.findings.unit import profile_unit
from plantain.report.figures.catalogue import AGREEMENT, FigureError, InContext, OneRun, directed_map, figure
from plantain.report.figures.maps import PANELS, drawn_units
from plantain.report.labels import UNIT_WORDS, contrast_words, family_line, pair_sides, provenance, weights_label
from plantain.report.numbers import minus, number
from plantain.report.questions import Question, questions
from plantain.report.statements import Kind, careful_statements, notes, prompt_warnings, unit_statements
from plantain.report.tables import Metric, metrics
from plantain.report.verdict import in_short, standing, verdict_lines
from plantain.runs.analysis import BlockSummary
from plantain.runs.run import Run
from plantain.runs.units import CARD, Selection
from plantain.ui import html
from plantain.ui.errors import listener
from plantain.ui.lazy import unseen
from plantain.ui.state import HIDDEN, LATER, VIEW, Choice, Page
from plantain.ui.tabs.map import PANEL_WORDS, grid_html, map_html, numbers_html, unit_map
from plantain.ui.texts import MEASURED, OWN_PROMPTS

CONTROL = (
    "The untrained control is one draw of random weights for Klein's text encoder and transformer. It shows what this "
    "probe gives on a network that has learned nothing. It does not show which of the two a trained model's difference "
    "comes from, nor what another contrast in wording would give."
)

TWIN = (
    "The untrained control has the practice model's text encoder and a transformer of random weights. It shows what "
    "this probe gives on a transformer that has learned nothing."
)

MEASURES = (("Magnitude", MAGNITUDE), ("Direction", DIRECTION))

BEGIN = "Go to the probe"

PROBE_TAB = "run"

UNANSWERED = "Each of {n} pairs like this one would go through the model’s attention; only the marked words differ."

OTHERS_ONLY = "The runs that can be chosen above are not Klein’s, and say nothing about it."

NOT_RUN_HERE = "Published by its author on his own prompts; not re-run here."

PUBLISHED_LINE = (
    'Published on Klein by <a href="https://huggingface.co/phanerozoic/moral-plantain">the card’s author</a>, another '
    "measure: {percent:g}% of slices have |t| > 3."
)

NOT_MEASURED = "Klein: not measured here."

TITLES = {
    "practice": "Practice model (drawings): shows what a yes looks like; says nothing about Klein",
    **dict.fromkeys(
        ("untrained", "reservoir", "stand-in"), "Random weights: what a network gives that has learned nothing"
    ),
}
"""What stands above the sentence of a run that can say nothing of Klein."""

SLICE = "Slice: 16 channels of a block, which are a part of a head or of the MLP. The published card counts slices."

T_COLUMN = (
    "t: the mean difference in magnitude between the two sides of a pair, over its standard error. Plus: the magnitude "
    "is larger for “{positive}”; minus: for “{negative}”. Either sign can tell the sides apart."
)

D_COLUMN = (
    "|d|: the size of that difference over its spread from pair to pair. For each block: the largest |t|, how many of "
    "its units have |t| over 3, and the median |d|."
)

AGREE_COLUMN = "Pairs agree: the mean cosine between the directions of two pairs. 1: the same; near 0: nothing shared."

COMPUTING_SHORT = "The figure is being computed …"

AXIS = ("axis", "replication")

COMPUTING = html.message_html("The headline, held-out pairs told right, is being computed …")

COMPUTED = html.message_html("Nulls and corrections are being computed …")

N_HEADS = 10

NUMBERS = "The map above as a table"

CONTEXT = "Beside other contrasts"

CLOSED = '<p class="pl-drawer-closed">Pick a head.</p>'


def result_tab(page: Page, choice: Choice, tabs: gr.Tabs, demo: gr.Blocks) -> Callable[[], None]:
    """Build what the tab holds; the first run is in the page as it is served.

    Returns
    -------
    callable
        Writes the first run anew into the page as it is served from then on; call it after `choice`'s own is written.
    """

    def show(name: str | None, units: str, scope: str, measure: str) -> tuple[Any, ...]:
        """Return what is there at once; the slower statistics come after it."""
        if not name and page.first is None:
            return (
                unanswered_html(page), gr.update(visible=True), card_html(page.published), "", HIDDEN, HIDDEN, "",
                HIDDEN, "", "",
            )  # fmt: skip
        selection, seen = Selection(units, scope), gr.update(visible=True)
        try:
            run = page.run(name)
            figures = findings_html(run, page.published, selection, page.control_for(run))
            whole = page.store.headline_here(run)
            found = whole or (held_out(run) if is_here(run) else None)
            hero, tables = hero_html(run, page.published, found, page.has_klein), tables_html(page, run, selection)
            drawn = main_map(run, selection, measure)
            asked = questions_html(questions(run, scope, example(run), found, whole is not None), page.turns(name))
        except PlantainError as error:
            alone = findings_html(None, page.published, selection)
            return (
                html.error_html(str(error)),
                HIDDEN,
                card_html(page.published),
                "",
                HIDDEN,
                HIDDEN,
                "",
                seen,
                "",
                alone,
            )
        switch = gr.update(visible=has_both(run, selection))
        return hero, HIDDEN, tables, drawn, seen, switch, asked, seen, at_once(name), figures

    def mapped(name: str | None, units: str, scope: str, measure: str) -> str:
        """Draw the map anew where its measure is switched."""
        run, scope = page.store.find(name), choice.fitting(name, units, scope)
        return main_map(run, Selection(units, scope), measure)

    def opened_head(name: str | None, units: str, scope: str, unit: str) -> str:
        """Fill the drawer with the head that was chosen, whichever way."""
        if not name or not unit:
            return CLOSED
        try:
            return drawer_html(page.run(name), unit, choice.fitting(name, units, scope))
        except PlantainError as error:
            return html.error_html(str(error))

    def picked(name: str | None, units: str, scope: str, event: gr.EventData) -> tuple[str, str]:
        """Open the head that was clicked in a map; the focus stays there."""
        unit = str(event.unit)
        return opened_head(name, units, scope, unit), unit

    def at_once(name: str | None) -> str:
        """Show the headline where it is there already, else that it is being computed."""
        run = page.store.find(name)
        return "" if run is None else headline_html(run) if is_here(run) else COMPUTING

    def slower(name: str | None, units: str, scope: str) -> tuple[Any, ...]:
        """Say what was found, where it was not there yet, and what stands beside it."""
        run = page.store.find(name)
        if run is None:
            return (gr.skip(),) * 3
        try:
            found = page.store.headline(run)
            answers = questions(run, choice.fitting(name, units, scope), example(run), found, True)
        except PlantainError:
            return gr.skip(), gr.skip(), ""
        asked = questions_html(answers, page.turns(name))
        hero = hero_html(run, page.published, found, page.has_klein)
        return hero, asked, headline_html(run, found)

    def care(name: str | None, units: str, scope: str) -> str:
        return page.slowly(name, units, scope, careful_html)

    def more(name: str | None, units: str, scope: str, opened: bool) -> str:
        run = page.store.find(name) if opened else None
        return further_maps(run, Selection(units, choice.fitting(name, units, scope))) if run else ""

    def waiting(name: str | None) -> str:
        return COMPUTED if name else ""

    hero = gr.HTML(elem_id="hero")
    begin = gr.Button(BEGIN, variant="primary", elem_id="begin")
    tables = gr.HTML(elem_id="result-tables")
    with gr.Row(elem_id="result-map", elem_classes="pl-map-beside") as maps:
        with gr.Column(min_width=320, scale=7):
            measure = gr.Radio(
                list(MEASURES), value=MAGNITUDE, label="The map shows", show_label=False, container=False,
                elem_id="map-measure", visible=False,
            )  # fmt: skip
            picture = unit_map("", "heat-map")
        with gr.Column(min_width=300, scale=5):
            drawer = gr.HTML(CLOSED, elem_id="drawer")
    asked = gr.HTML(elem_id="questions")
    with gr.Accordion("Figures and cautions", open=False, elem_id="all-figures") as everything:
        headline = gr.HTML(elem_id="headline")
        figures = gr.HTML(elem_id="findings")
        careful = gr.HTML(elem_id="careful")
        further = unit_map("", "further-maps")
    opened = gr.State(False)
    shown = [hero, begin, tables, picture, maps, measure, asked, everything, headline, figures]

    def serve() -> None:
        """Write what is shown first; Gradio takes it from the components."""
        now = dict(zip(shown, show(choice.run.value, "card", "all", MAGNITUDE), strict=True))
        for place, value in now.items():
            if isinstance(value, str):
                place.value = value
            else:
                place.visible = value["visible"]
        careful.value = waiting(choice.run.value)

    serve()
    begin.click(listener(lambda: gr.Tabs(selected=PROBE_TAB)), None, tabs, **VIEW)
    change = choice.on_change(show, [measure], shown)
    measure.input(listener(mapped), [*choice.inputs, measure], picture, **VIEW)
    # What arrives, and what the model does, is said where no run is on show.
    choice.relay_of(choice.known.change).then(
        listener(lambda *now: (gr.skip(),) * len(shown) if now[0] else show(*now)),
        [*choice.inputs, measure],
        shown,
        **LATER,
    )
    # One chain for the page's start and every change, after what is there at once: of two answers to one place the
    # older must not come last.
    there, stamp = unseen("What is there at once stands"), {"js": "() => String(performance.now())", **VIEW}
    demo.load(None, None, there, **stamp)
    change.then(None, None, there, **stamp)
    choice.relay_of(there.change).then(listener(waiting), choice.run, careful, **VIEW).then(
        listener(slower), choice.inputs, [hero, asked, headline], **LATER
    ).then(listener(care), choice.inputs, careful, **LATER)
    change.then(listener(more), [*choice.inputs, opened], further, **LATER)
    everything.expand(listener(lambda *now: (more(*now, True), True)), choice.inputs, [further, opened], **VIEW)
    choice.relay(choice.unit.change).then(listener(opened_head), [*choice.inputs, choice.unit], drawer, **LATER)
    for drawn in (picture, further):
        # At once; that the unit has changed is told to the rest of the page, and comes back as the same content.
        drawn.pick(listener(picked), choice.inputs, [drawer, choice.unit], **LATER)
    return serve


# --- above all -------------------------------------------------------------------------------------------------


def hero_html(run: Run, published: Published, found: HeldOut | None, has_klein: bool = True) -> str:
    """Show one pair and its pictures beside what was found, in one sentence with its figure; None keeps its room.

    Beside a run that says nothing of Klein it is said where no run of Klein is there.
    """
    shown = example(run)
    room = in_short(found or Told(len(run.pairs), len(run.pairs), 0.0, 0.0, "", "", ""))
    if not (same_question(run) or known_role(run.info.prompts_sha256, run.info.role) in AXIS):
        room = f"“{run.info.positive}” against “{run.info.negative}”: {room}"
    # A sentence of the same length keeps the room of one that is not there yet.
    sentence = escape(room) if found else f"<span aria-hidden='true'>{escape(room)}</span><b>{COMPUTING_SHORT}</b>"
    title = TITLES.get(run.info.weights)
    above = f'<p class="pl-hero-title">{escape(title)}</p>' if title else ""
    missing = "" if has_klein or not title else f"{NOT_MEASURED} "
    return (
        f'<div class="pl-hero"><div class="pl-hero-words">{above}'
        f'<p class="pl-hero-answer">{sentence}</p>{html.chip_html(run)}{published_html(published, missing)}</div>'
        f"{_sides_html(run, shown)}</div>"
    )


def published_html(published: Published, before: str = "") -> str:
    """Write the published figure with its source, in one line."""
    line = PUBLISHED_LINE.format(percent=published.thresholds[3].percent)
    return f'<p class="pl-hero-published">{escape(before)}{line}</p>'


def _sides_html(run: Run, shown: Example) -> str:
    """Show the two sides of a pair side by side: the picture where there is one, the words below it."""
    pair = shown.record.pair
    names = pair_sides(pair, (run.info.positive, run.info.negative))
    return _pair_html(names, (pair.positive, pair.negative), shown.pictures or ("", ""))


def _pair_html(names: tuple[str, str], texts: tuple[str, str], pictures: Sequence[bytes | str]) -> str:
    sides = zip(names, texts, html.marked(*texts), pictures, strict=True)
    shown = "".join(
        f"<figure>{_picture_html(packed, f'{name}: {plain}')}"
        f'<figcaption><span class="pl-side">{escape(name)}</span> {text}</figcaption></figure>'
        for name, plain, text, packed in sides
    )
    bare = "" if any(pictures) else " pl-hero-bare"
    return f'<div class="pl-hero-pair pl-pair{bare}">{shown}</div>'


def _picture_html(packed: bytes | str, words: str) -> str:
    if not packed:
        return ""
    source = base64.b64encode(shrunk(packed)).decode()
    return f'<img src="data:image/webp;base64,{source}" alt="{escape(words, quote=True)}">'


def unanswered_html(page: Page) -> str:
    """Show what there is to see before the project's own run: one pair, and what an answer costs."""
    prompts, status = page.first_set, page.engine.status()
    pair, n = prompts.pairs[0], len(prompts.pairs)
    price = page.price(n + 1, None)  # and one prompt beside itself
    said = "Nobody has run this here yet" + (f": {price}." if price else ".")
    if arriving := page.store.arriving:
        said += f" Published runs are arriving ({arriving}); one on Klein is shown as soon as it is here."
    trouble = html.error_html(status.text) if status.why else ""
    others = f"<p>{escape(OTHERS_ONLY)}</p>" if page.store.saved else ""
    return (
        f'<div class="pl-hero"><div class="pl-hero-words"><p class="pl-hero-answer">{escape(said)}</p>{trouble}'
        f"<p>{escape(UNANSWERED.format(n=n))}</p>{published_html(page.published)}{others}</div>"
        f"{_pair_html((prompts.positive, prompts.negative), (pair.positive, pair.negative), ('', ''))}</div>"
    )


# --- tables and figures ----------------------------------------------------------------------------------------


def tables_html(page: Page, run: Run, selection: Selection) -> str:
    """Show the card's table of blocks, the top heads and the run among other contrasts side by side."""
    of = InContext(run, page.published, page.control_for(run), tuple(page.store.saved.values()))
    blocks = blocks_html(run, page.published, selection) + columns_html(run, selection)
    return _columns(blocks, heads_html(run, selection), context_html(of))


def columns_html(run: Run, selection: Selection) -> str:
    """Say, folded, what the tables' columns hold."""
    said = [T_COLUMN.format(positive=run.info.positive, negative=run.info.negative), D_COLUMN]
    if selection.units == "card" or comparable(run, CARD):  # then the published blocks stand beside the run's
        said.insert(0, SLICE)
    if run.keeps(Selection(drawn_units(selection.units), selection.scope)):
        said.append(AGREE_COLUMN)
    return html.folded_html("Columns explained", html.paragraphs_html(said))


def _columns(*contents: str) -> str:
    return f'<div class="pl-three">{"".join(f"<div>{content}</div>" for content in contents if content)}</div>'


def context_html(of: InContext) -> str:
    """Draw a run among other contrasts; nothing where it cannot stand beside any."""
    try:
        drawn = figure("in context", of)
    except FigureError:
        return ""
    return f'<figure class="pl-context"><figcaption>{CONTEXT}</figcaption>{html.drawing_html(drawn)}</figure>'


def heads_html(run: Run, selection: Selection) -> str:
    """List the heads with the largest |t|; where the run keeps their directions, how far its pairs agree in them."""
    drawn = Selection(drawn_units(selection.units), selection.scope)
    analysis = run.analysis(drawn)
    agree = run.direction_analysis(drawn).agreement.mean if run.keeps(drawn) else None
    rows = [
        (
            analysis.table.names[u],
            minus(number(analysis.t[u], "+.2f")),
            *(() if agree is None else (number(agree[u], ".2f"),)),
        )
        for u in analysis.ranking[:N_HEADS]
    ]
    names = (
        PANEL_HEADS[drawn.units],
        f"t (+:\N{NO-BREAK SPACE}{run.info.positive})",
        *(() if agree is None else ("Pairs agree",)),
    )
    return html.table_html("top heads", names, rows, f"Top {TOP[drawn.units]}")


TOP = {"heads": "heads", "text-heads": "heads of the text stream", "mlp": "MLP groups"}

BLOCKS_BY = {
    "card": "slices", "heads": "heads", "text-heads": "heads", "mlp": "MLP groups", "embedding": "slices",
}  # fmt: skip

PANEL_HEADS = {"heads": "Head", "text-heads": "Head of the text stream", "mlp": "MLP group"}


def drawer_html(run: Run, unit: str, scope: str) -> str:
    """Say and draw what one head does, with a link to all that is known of it."""
    seen = profile_unit(run, unit, scope)
    of = OneRun(run, Selection(seen.units, seen.scope), seen.name)
    dots = ["one head", *(["one head by direction"] if seen.direction else [])]
    said = unit_statements(run, seen)
    first = next(i for i, line in enumerate(said) if line.kind is Kind.UNIT)
    loud = [line.text for i, line in enumerate(said) if i == first or line.kind is Kind.DIRECTION]
    rest = html.paragraphs_html(line.text for line in said if line.text not in loud)
    return (
        '<div class="pl-drawer" tabindex="0" role="region" aria-label="One head">'
        f'<h3 class="pl-h" role="status">{escape(seen.name)}</h3>'
        f"{html.paragraphs_html(loud)}{''.join(html.figure_html(figure(name, of)) for name in dots)}"
        f"{rest and html.folded_html('In numbers', rest)}<p>{link_html('head', 'All about this head')}</p></div>"
    )


# --- the six questions -----------------------------------------------------------------------------------------

TABS = ("turn", "pair")


def link_html(section: str, words: str) -> str:
    """Link to a tab or a section of the evidence; the page follows it without loading anew."""
    where = f"tab={section}" if section in TABS else f"tab=evidence&section={section}"
    return f'<a class="pl-go" href="?{escape(where)}">{escape(words)}</a>'


def questions_html(asked: Sequence[Question], turns: bool) -> str:
    """List the six questions, a line and a small figure each; every line is a link to where more is said.

    Parameters
    ----------
    asked : sequence of Question
    turns : bool
        Whether the tab that turns heads is there; without it nothing more is said of what heads do.
    """
    lines = (_question_html(question, turns or question.section != "turn") for question in asked)
    return f'<ol class="pl-questions">{"".join(lines)}</ol>'


def _question_html(question: Question, linked: bool) -> str:
    drawn = question.figure.svg(question.answer) if question.figure else ""
    answer = link_html(question.section, question.answer) if linked else escape(question.answer)
    return (
        f'<li><span class="pl-question-figure">{drawn}</span><span class="pl-question-words">'
        f"<b>{escape(question.asked)}</b> {answer}</span></li>"
    )


# --- all figures -----------------------------------------------------------------------------------------------


def headline_html(run: Run, found: HeldOut | None = None) -> str:
    """Show the one figure of a run in a sentence, and what stands beside it; None is the run alone."""
    first, *more = verdict_lines(run, found or held_out(run))
    lines = "".join(f"<p class='pl-small'>{escape(line)}</p>" for line in more)
    return f"<div class='pl-headline'><p class='pl-answer'>{escape(first)}</p>{lines}</div>"


def main_map(run: Run | None, selection: Selection, measure: str = MAGNITUDE) -> str:
    """Draw the map that belongs to the units: whole heads for slices, none for the prompt embedding."""
    if run is None or selection.units == "embedding":
        return ""
    of = OneRun(run, Selection(drawn_units(selection.units), selection.scope))
    if measure == DIRECTION and has_both(run, selection):
        return grid_html(directed_map(of), figure("map of directions", of), AGREEMENT, ("pairs agree less", "more"))
    return _panel_html(of, grid_html)


def has_both(run: Run, selection: Selection) -> bool:
    """Tell whether the map of these units can be switched to directions."""
    drawn = Selection(drawn_units(selection.units), selection.scope)
    return run.keeps(drawn) and selection.units != "embedding"


def _panel_html(of: OneRun, draw: Callable[..., str]) -> str:
    """Draw one kind of units; where it has no tokens of the scope, say so."""
    try:
        analysis = of.run.analysis(of.selection)
    except PlantainError as error:
        return html.message_html(f"{PANEL_WORDS[of.selection.units]}: {error}")
    less, more = (f"“{side}”" for side in reversed(of.sides))
    return draw(analysis, figure("map of heads", of), ends=(less, more))


def further_maps(run: Run, selection: Selection) -> str:
    """Draw the maps of the other kinds of units, and write the numbers of the one that stands open as a table."""
    of = OneRun(run, Selection(drawn_units(selection.units), selection.scope))
    numbers = ""
    if selection.units != "embedding":
        numbers = _panel_html(of, lambda analysis, drawn, **_: numbers_html(analysis, drawn, summary=NUMBERS))
        if has_both(run, selection):
            numbers += numbers_html(
                directed_map(of), figure("map of directions", of), AGREEMENT, f"{NUMBERS}, {AGREEMENT}"
            )
    others = [panel for panel in PANELS if panel != of.selection.units]
    return numbers + "".join(_panel_html(OneRun(run, Selection(panel, selection.scope)), map_html) for panel in others)


def card_html(published: Published) -> str:
    """Show the published figures by themselves: the card's table and its blocks."""
    rows = [
        (metric.name, ", ".join(filter(None, (metric.published, metric.published_significance))))
        for metric in metrics(None, published)
    ]
    table = html.table_html("published figures", ("Figure", "Published"), rows, NOT_RUN_HERE)
    blocks = _block_table("Top blocks, published", published.top_blocks)
    return _columns(table, blocks, context_html(InContext(None, published)))


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
        f"<p class='pl-small'>{escape(family_line(published))}</p><p class='pl-small'>{escape(provenance(run))}</p>"
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
    size = "" if control.info.size == run.info.size else f" beside this run's {run.info.size}"
    what = TWIN if run.info.weights == "practice" else CONTROL
    return f"{what} ({weights_label(control.info)}, {control.info.size} px{size}{tokens}{text}.)"


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


_RANDOM = "these weights are random and show what a network gives that has learned nothing."

_NO_ANSWER = {
    "practice": "this is the practice model, trained on drawings, and it is not FLUX.2 Klein.",
    "untrained": _RANDOM,
    "reservoir": _RANDOM,
    "stand-in": _RANDOM,
}


def _answer(run: Run) -> str:
    """Say above the figures where they cannot answer the page's question."""
    why = _NO_ANSWER.get(run.info.weights, "")
    if not same_question(run):
        words = f"These prompts ask something else: “{run.info.positive}” against “{run.info.negative}”."
        words += f" And {why}" if why else ""
    else:
        words = f"No answer to that yet: {why}" if why else ""
    return f"<p class='pl-answer'>{escape(words)}</p>" if words else ""


def blocks_html(run: Run | None, published: Published, selection: Selection) -> str:
    """Show the top blocks with the card's columns, this run's and the published ones."""
    theirs = _block_table("Top blocks, published", published.top_blocks)
    if run is None:
        return theirs
    mine = _block_table(f"Top blocks, by {BLOCKS_BY[selection.units]}", run.headline(selection).top_blocks)
    return mine + theirs if comparable(run, CARD) else mine


def _block_table(caption: str, rows: Sequence[BlockSummary]) -> str:
    cells = [(r.block, f"{r.max_abs_t:.2f}", f"{r.n_over_3}/{r.n_units}", f"{r.median_abs_d:.2f}") for r in rows]
    return html.table_html("top blocks", ("Block", "max |t|", "|t| > 3", "median |d|"), cells, caption)
