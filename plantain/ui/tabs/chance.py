"""The section that shows what chance gives: counts and split-half correlations under sign flips."""

from __future__ import annotations

from html import escape

import gradio as gr

from plantain.report.figures.catalogue import OneRun, figure
from plantain.report.tables import REPEATS_NOTE, people, repeats_frame
from plantain.runs.analysis import THRESHOLDS
from plantain.runs.run import Run
from plantain.runs.units import Selection
from plantain.ui import html
from plantain.ui.errors import listener
from plantain.ui.lazy import fill
from plantain.ui.state import LATER, Choice, Page, or_error, short
from plantain.ui.texts import CHANCE_CARE, CHANCE_HELP


def chance_section(page: Page, choice: Choice) -> None:
    """Build the section, lazily."""

    @or_error("")
    def counts(name: str | None, units: str, scope: str) -> tuple[str, str]:
        """Return the counts, and empty the place of the slower correlations until they are there."""
        return counts_html(page.run(name), Selection(units, scope)), ""

    def halves(name: str | None, units: str, scope: str) -> str:
        return page.slowly(name, units, scope, halves_html)

    gr.HTML(CHANCE_HELP)
    shown = gr.HTML(elem_id="nulls")
    later = gr.HTML(elem_id="halves")
    fill(choice, counts, [], [shown, later]).then(listener(halves), choice.inputs, later, **LATER)


def counts_html(run: Run, selection: Selection) -> str:
    """Show the distribution of the counts under sign flips with the run's own in it."""
    of = OneRun(run, selection)
    first, *others = (html.figure_html(figure(f"null of |t| over {threshold:g}", of)) for threshold in THRESHOLDS)
    larger = html.folded_html("The same of larger |t|", "".join(others))
    care = html.folded_html("What is swapped, and what p means", CHANCE_CARE)
    return f"{first}{larger}{repeats_html(run, selection)}{care}"


def repeats_html(run: Run, selection: Selection) -> str:
    """Show how far seeds and steps agree; nothing where every prompt went through once."""
    frame = repeats_frame(run, selection)
    if frame.empty:
        return ""
    rows = [[str(short(value)) for value in row] for row in frame.itertuples(index=False)]
    table = html.table_html("Seeds and steps", map(people, frame.columns), rows)
    return html.folded_html("Seeds and steps", f"<p>{escape(REPEATS_NOTE)}</p>{table}")


def halves_html(run: Run, selection: Selection) -> str:
    """Show the split-half correlations beside those of flipped data."""
    drawn = html.figure_html(figure("split halves", OneRun(run, selection)))
    return html.folded_html("How alike two halves of the pairs are", drawn)
