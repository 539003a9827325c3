"""The tab that shows what chance gives: counts and split-half correlations under sign flips."""

from __future__ import annotations

from html import escape

import gradio as gr
import numpy as np

from plantain import PlantainError, stats
from plantain.report.figures import null_histogram, split_histogram
from plantain.report.labels import UNIT_WORDS, weights_words
from plantain.report.tables import REPEATS_NOTE, repeats_frame
from plantain.runs.analysis import THRESHOLDS
from plantain.runs.inference import NULL_SPLITS, null_reliability
from plantain.runs.run import Run
from plantain.ui import html
from plantain.ui.errors import listener
from plantain.ui.state import LATER, VIEW, Choice, Page, short
from plantain.ui.texts import CHANCE_HELP


def chance_tab(page: Page, choice: Choice) -> None:
    """Build the tab; it is filled when it is opened."""

    def counts(name: str | None, units: str, scope: str, opened: bool) -> str:
        if not opened:
            return ""
        try:
            run = page.run_or_none(name)
            return counts_html(run, units, scope) if run else html.error_html("There is no run to show.")
        except PlantainError as error:
            return html.error_html(str(error))

    def halves(name: str | None, units: str, scope: str, opened: bool) -> str:
        return page.slowly(name, units, scope, halves_html) if opened else ""

    with gr.Tab("Chance", id="chance") as tab:
        gr.Markdown(CHANCE_HELP)
        shown = gr.HTML(elem_id="nulls")
        later = gr.HTML(elem_id="halves")
        opened = gr.State(False)
    inputs = [*choice.inputs, opened]
    first = tab.select(listener(lambda *now: (True, counts(*now, True))), choice.inputs, [opened, shown], **VIEW)
    first.then(listener(halves), inputs, later, **LATER)
    choice.on_change(counts, [opened], shown).then(listener(halves), inputs, later, **LATER)


def counts_html(run: Run, units: str, scope: str) -> str:
    """Show the distribution of the counts under sign flips with the run's own in it."""
    a = run.analysis(units, scope)
    figures = []
    for row, threshold in enumerate(THRESHOLDS):
        flipped, observed = a.null.counts[row], int(np.count_nonzero(np.abs(a.t[a.tested]) > threshold))
        what = f"{UNIT_WORDS[units]} over |t| > {threshold:g}, scope {scope}"
        title = f"{what}, under {len(flipped):,} sign flips and in the run"
        p = f"{stats.count_p(observed, flipped):.3g} (one-sided, from these flips)"
        words = f"{title}. p of the run's count: {p}. {weights_words(run)}"
        figures.append(html.figure_html(null_histogram(a, row, title), words))
    return f'<div class="pl-nulls">{"".join(figures)}</div>{repeats_html(run, units, scope)}'


def repeats_html(run: Run, units: str, scope: str) -> str:
    """Show how far seeds and steps agree; nothing where every prompt went through once."""
    frame = repeats_frame(run, units, scope)
    if frame.empty:
        return ""
    rows = [[str(short(value)) for value in row] for row in frame.itertuples(index=False)]
    table = html.table_html("Seeds and steps", frame.columns, rows)
    return f'<h3 class="pl-h">Seeds and steps</h3><p>{escape(REPEATS_NOTE)}</p>{table}'


def halves_html(run: Run, units: str, scope: str) -> str:
    """Show the split-half correlations beside those of flipped data."""
    a = run.analysis(units, scope)
    null = null_reliability(a, run.halves)
    title = f"Split-half r of the run and of sign-flipped data, {UNIT_WORDS[units]}, scope {scope}"
    words = (
        f"{title}. Above, a value a split of the same pairs: their spread is no confidence interval. Below, a value a "
        f"flip, the median over {min(NULL_SPLITS, len(run.halves))} splits: what dependent units agree on by chance. "
        f"{weights_words(run)}"
    )
    return html.figure_html(split_histogram(a.split_r, null, title), words)
