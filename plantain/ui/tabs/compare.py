"""The section that sets two runs side by side."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import gradio as gr

from plantain import PlantainError
from plantain.findings.across_runs.comparison import differences
from plantain.findings.published import Published, comparable
from plantain.report.export import file_name
from plantain.report.figures.catalogue import FIGURES, Figure, TwoRuns, figure, t_difference
from plantain.report.figures.maps import drawn_units
from plantain.report.labels import CONTRAST, UNIT_WORDS, difference_words
from plantain.report.statements import Statement, comparison_statements, notes, prompt_warnings
from plantain.report.tables import metrics
from plantain.runs.analysis import Analysis
from plantain.runs.run import Run
from plantain.runs.units import Selection
from plantain.ui import html
from plantain.ui.downloads import saver
from plantain.ui.errors import listener
from plantain.ui.lazy import fill, follows
from plantain.ui.state import LATER, Choice, Page, or_error
from plantain.ui.tabs.export import public_name
from plantain.ui.tabs.map import map_html, unit_map
from plantain.ui.texts import COMPARE_HELP, OWN_PROMPTS

Mine = list[tuple[str, str]]
"""(label, name) of the visitor's own runs."""


def compare_section(page: Page, choice: Choice, opens_head: Callable[[gr.HTML], None]) -> None:
    """Build the section, lazily; `opens_head` lets a click in a map open the unit."""

    def two(name: str | None, units: str, scope: str, other: str | None, mine: Mine) -> TwoRuns:
        if not name or not other:
            raise PlantainError("Choose two runs: one above, the other here.")
        labels = {value: label for label, value in page.saved_choices() + mine}
        return TwoRuns(
            (page.run(name), page.run(other)),
            (labels.get(name, name), labels.get(other, other)),
            Selection(units, scope),
        )

    @or_error("", "", "", "", "")
    def show(*now: Any) -> tuple[str, ...]:
        return _content(two(*now), page.published)

    def picture(chosen: str, name: str, units: str, scope: str, other: str, mine: Mine) -> tuple[str, Figure]:
        of = two(name, units, scope, other, mine)
        made = "-and-".join(public_name(page, n, run) for n, run in zip((name, other), of.runs, strict=True))
        return file_name(made, units, scope, chosen, suffix=""), figure(chosen, of)

    def opens(name: str | None, units: str, scope: str, other: str | None, mine: Mine, last: str | None) -> tuple:
        """Offer all runs; where the other one is gone, or was just chosen above too, take another."""
        choices = page.saved_choices() + mine
        known = [value for _, value in choices]
        if other not in known or (other == name and name != last):
            other = _default(page, name, known)
        return gr.Dropdown(choices, value=other), name, *show(name, units, scope, other, mine)

    gr.HTML(COMPARE_HELP)
    other = gr.Dropdown(
        page.saved_choices(),
        value=None,  # until the chosen run is known: its control, or another one
        label="Compare with",
        filterable=False,
        interactive=True,
        elem_id="other-run",
    )
    outputs = [gr.HTML(elem_id="comparison"), gr.HTML(elem_id="compare-density"), gr.HTML(elem_id="compare-figures")]
    with gr.Accordion("Both maps, and their difference", open=False, elem_id="compare-maps"), gr.Row():
        for number in ("first", "second", "difference"):
            with gr.Column(min_width=300):
                outputs.append(unit_map("", f"compare-{number}"))
    now, followed = [other, choice.mine], follows()
    saver("compare-figure", list(FIGURES[TwoRuns]), picture, [*choice.inputs, *now], [followed, other.change])
    last = gr.State(None)  # the run above when this was last drawn
    fill(choice, opens, [*now, last], [other, last, *outputs], followed)
    for drawn in outputs[3:]:
        opens_head(drawn)
    other.input(listener(show), [*choice.inputs, *now], outputs, **LATER)


def _default(page: Page, name: str | None, known: list[str]) -> str | None:
    """Choose the control of a run, or else any other run."""
    control = page.control_for(page.store.find(name))
    names = [n for n in known if n != name]
    return next((n for n in names if page.store.find(n) is control), names[0] if names else None)


def _content(of: TwoRuns, published: Published) -> tuple[str, ...]:
    (a, b), (units, scope) = of.runs, (of.selection.units, of.selection.scope)
    for run, name in zip(of.runs, of.names, strict=True):
        if scope not in run.scopes(units):
            raise PlantainError(f"“{name}” has no tokens of scope {scope!r}: choose another scope, or another run.")
    begin, numbers, maps = beginning_html(a, b), figures_html(a, b, of.names, of.selection, published), ["", ""]
    if units != "embedding":
        drawn = [run.analysis(Selection(drawn_units(units), scope)) for run in of.runs]
        shown = zip(drawn, ("map of the first run", "map of the second run"), of.names, strict=True)
        maps = [_map(analysis, figure(picture, of), name) for analysis, picture, name in shown]
    try:
        said = html.paragraphs_html(line.text for line in comparison_statements(of.found, a, b, units))
    except PlantainError as error:  # no unit of one is a unit of the other
        return begin + html.paragraphs_html([str(error)]), "", numbers, *maps, ""
    between = ""
    if units != "embedding":
        difference = figure("map of the difference", of)
        between = _map(t_difference(of), difference, "the first minus the second", "difference of t")
    alike = html.folded_html("How alike the two are, in words", said)
    return begin, html.figure_html(figure("t against t", of)), alike + numbers, *maps, between


def _map(analysis: Analysis, drawn: Figure, heading: str, what: str = "t") -> str:
    return f'<p class="pl-beside-name">{escape(heading)}</p>{map_html(analysis, drawn, what)}'


def beginning_html(a: Run, b: Run) -> str:
    """Say whose the two runs are, and in what they differ."""
    said = difference_words(differences(a, b))
    if a is b:
        line = "This is one run beside itself."
    else:
        line = f"The runs differ in: {'; '.join(said)}." if said else "The runs have the same pairs and settings."
    chips = "".join(dict.fromkeys((html.chip_html(a), html.chip_html(b))))
    return f"{chips}<p>{escape(line)}</p>"


def figures_html(a: Run, b: Run, names: tuple[str, str], selection: Selection, published: Published) -> str:
    """Fold the headline figures of two runs in one table, and what has to be known of them."""
    columns = [metrics(run.headline(selection), published) for run in (a, b)]
    # What the card counted and asked; beside other units, or other questions alone, it would mislead.
    asks = [comparable(run, selection) for run in (a, b)]
    beside = any(asks)
    titles = ("Figure", *names, *([f"Published card{'' if all(asks) else f', of {CONTRAST}'}"] if beside else []))
    rows = [
        (x.name, *(f"{m.value}\n{m.significance}" for m in (x, y)), *([x.published] if beside else []))
        for x, y in zip(*columns, strict=True)
    ]
    caption = f"{UNIT_WORDS[selection.units]}, scope {selection.scope}"
    table = html.table_html("figures of two runs", titles, rows, caption, "pl-table pl-beside")
    runs = {id(run): (run, name) for run, name in zip((a, b), names, strict=True)}.values()
    warned = _of_both([(notes(run, run.headline(selection)), name) for run, name in runs])
    prompts = [warning.text for warning in _of_both([(prompt_warnings(run), name) for run, name in runs])]
    table += html.statements_html(warned) + html.warnings_html(OWN_PROMPTS, prompts)
    return html.folded_html("The figures of both, side by side", table)


def _of_both(said: list[tuple[list[Statement], str]]) -> list[Statement]:
    """Put the notes of two runs together; a note on one of them only begins with its name."""
    first, *others = (found for found, _ in said)
    common = [note for note in first if all(note in other for other in others)]
    alone = ((note, name) for found, name in said for note in found if note not in common)
    return common + [Statement(note.kind, f"{name}: {note.text}") for note, name in alone]
