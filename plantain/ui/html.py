"""Pieces of the page as HTML. Pure functions; everything that is not ours is escaped.

`findings_html`  a run's headline figures beside the published ones
`blocks_html`    top blocks, this run's and the published
`null_html`      the counts under sign flips, with the run's
`pairs_html`     the pairs behind a result
`status_html`, `progress_html`, `error_html`, `pair_html`   small messages
"""

from __future__ import annotations

import logging
from html import escape
from typing import Any

from plantain import PlantainError
from plantain.analysis import THRESHOLDS, summarize
from plantain.answers import pair_text
from plantain.breakdown import PairPart
from plantain.pairs import PairResult
from plantain.plots import null_histogram, pair_dots, score_dots
from plantain.results import Run
from plantain.statements import careful_statements, pair_statements
from plantain.tables import UNIT_WORDS, Metric, metrics, notes, provenance, weights_label

_log = logging.getLogger(__name__)


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
        return error_html("There is no saved run here. Below are the published figures only.") + _grid(cards)
    summary = run.summary(units, scope)
    beside = summarize(control.analysis(units, scope)) if control else None
    cards = "".join(_card(m) for m in metrics(summary, published, beside))
    basis = f"{summary['n_units']:,} {UNIT_WORDS[units]}, scope: {scope}, {summary['n_pairs']} pairs."
    lines = "".join(f"<li>{escape(note)}</li>" for note in notes(run, summary))
    careful = "".join(f"<li>{escape(line)}</li>" for line in careful_statements(run, units, scope))
    said = f"<p>{escape(_control_line(control))}</p>" if control else ""
    return (
        f"{chip_html(run)}<p>{escape(basis)}</p>{_grid(cards)}{said}{f'<ul>{lines}</ul>' if lines else ''}"
        f"<details class='pl-careful'><summary>Read with care: nulls, intervals, corrections</summary>"
        f"<ul>{careful}</ul></details>"
    )


def _control_line(control: Run) -> str:
    unequal = len(control.unequal_pairs())
    tokens = f", {unequal} pairs of unequal token counts" if unequal else ""
    return f"{CONTROL} ({weights_label(control.info)}, {control.info.size} px{tokens}.)"


def chip_html(run: Run) -> str:
    """Say which weights made the numbers, loudly where they are random."""
    loud = " pl-warn" if run.info.weights in ("stand-in", "untrained") else ""
    return (
        f'<p><span class="pl-chip{loud}">Weights: {escape(weights_label(run.info))}</span></p>'
        f"<p>{escape(provenance(run))}</p>"
    )


def weights_words(run: Run) -> str:
    """Name a run's weights in a sentence, not escaped."""
    return f"Weights: {weights_label(run.info)}."


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
        title = f"Units over |t| > {threshold:g} under {flips:,} sign flips, and in the run. {weights_words(run)}"
        figures.append(figure_html(null_histogram(a, row, title), f"{title} p of the run's count: {p:.3g}."))
    return f'<div class="pl-nulls">{"".join(figures)}</div>'


def pairs_html(run: Run, parts: list[PairPart], units: str, scope: str, what: str) -> str:
    """Show how the pairs go with one another, by category, and what hangs on single ones."""
    caption = (
        f"How far each pair goes the way of the others on the 20 {what} that the others choose, in SDs; a dot is a "
        f"pair, the bar its category's mean. A pair's size, in the table, is how large its differences are beside "
        "those "
        f"of all pairs, whatever their sign. Scope {scope}. {weights_words(run)}"
    )
    lines = "".join(f"<li>{escape(line)}</li>" for line in pair_statements(run, parts, units, scope))
    return figure_html(score_dots(parts, caption), caption) + f"<ul>{lines}</ul>"


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


def figure_html(svg: str, caption: str) -> str:
    """Frame a figure; a wide one scrolls inside itself on a phone."""
    # Focusable, so that the keyboard can scroll it too.
    frame = f'<div class="pl-scroll" tabindex="0" role="group" aria-label="figure">{svg}</div>'
    return f"<figure>{frame}<figcaption>{escape(caption)}</figcaption></figure>"


def status_html(state: str, text: str) -> str:
    """Show how the model stands."""
    loud = " pl-warn" if state == "failed" else ""
    return f'<p role="status"><span class="pl-chip{loud}">{escape(text)}</span></p>'


def failure_text(error: Exception) -> str:
    """Say what went wrong. ZeroGPU's refusals carry their reason in the title; of a fault of ours, only the kind."""
    title, message = getattr(error, "title", None), getattr(error, "message", None)
    if title and message:
        return f"{title}: {message}"
    if isinstance(error, PlantainError):
        return str(error)
    _log.error("a request failed", exc_info=error)
    return f"Something broke ({type(error).__name__}). Try again; if it stays, tell the owner of this page."


def failure_html(error: Exception, kept: str = "") -> str:
    """Show what went wrong and what is kept."""
    text = failure_text(error)
    return error_html(text[:1].upper() + text[1:]) + (message_html(kept) if kept else "")


def error_html(message: str) -> str:
    """Show what went wrong and what to do."""
    return f'<p class="pl-error" role="alert">{escape(message)}</p>'


def message_html(message: str) -> str:
    """Show a plain message."""
    return f'<p role="status">{escape(message)}</p>'


def progress_html(done: int, total: int, seconds_left: float | None) -> str:
    """Show pairs done and time left."""
    left = "" if seconds_left is None else f", about {max(1, round(seconds_left))} s left"
    words = f"{done} of {total} pairs{left}"
    bar = f'<progress aria-label="pairs probed" value="{done}" max="{total}"></progress>'
    return f'<div class="pl-progress">{bar}<p role="status">{words}</p></div>'


def pair_html(result: PairResult, run: Run) -> str:
    """Show a visitor's result: sentences and the picture."""
    asked = f"<p>“{escape(result.pair.positive)}” against “{escape(result.pair.negative)}”</p>"
    lines = asked + "".join(f"<p>{escape(line)}</p>" for line in pair_text(result, run).splitlines())
    caption = (
        f"Units chosen on the run's pairs: expect regression to the mean. One pair is one pair. {weights_words(run)}"
    )
    return lines + figure_html(
        pair_dots(result, f"Your pair among {len(result.scores)} pairs. {weights_words(run)}"), caption
    )
