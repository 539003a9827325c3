"""The card's results section for a run, as text: what ``report`` prints."""

from __future__ import annotations

from dataclasses import astuple

from plantain.findings.pairs import by_pair
from plantain.findings.published import Published, same_question
from plantain.report.labels import CONTRAST, UNIT_WORDS, block_line, provenance
from plantain.report.statements import careful_statements, notes, pair_statements, prompt_warnings
from plantain.report.tables import (
    CATEGORY_NOTE,
    CHOSEN_NOTE,
    REPEATS_NOTE,
    categories_frame,
    frame_table,
    markdown_table,
    metrics,
    pairs_frame,
    repeats_frame,
    top_units_frame,
)
from plantain.runs.run import Run
from plantain.runs.units import CARD, Selection


def report_text(run: Run, published: Published, selection: Selection = CARD) -> str:
    """Write the card's results section for a run, with the card's own figures beside it (markdown)."""
    summary = run.summary(selection)
    of = "" if same_question(run) else f", of {CONTRAST}"
    of += "" if run.info.is_plain else ", of other passes"
    heads = ["Metric", "This run", "Against its null", "Prompt embedding", f"Published card{of}", "Against its null"]
    table = [list(astuple(m))[: len(heads)] for m in metrics(summary, published)]
    pairs = by_pair(run, selection)
    careful = careful_statements(run, selection) + pair_statements(run, pairs, selection)
    lines = [
        f"# {run.info.title}: {run.info.positive} vs. {run.info.negative}",
        "",
        provenance(run),
        f"Units: {summary.n_units:,} {UNIT_WORDS[selection.units]}. Scope: {selection.scope}. "
        f"Pairs: {summary.n_pairs}.",
        *(f"NOTE: {note.text}" for note in notes(run, summary)),
        *(f"PROMPTS: {warning.text}" for warning in prompt_warnings(run)),
        "",
        *markdown_table(heads, table),
        "",
        "Read with care:",
        *(f"- {statement.text}" for statement in careful),
        "",
        f"By category. {CATEGORY_NOTE}",
        "",
        *frame_table(categories_frame(run, selection)),
        "",
        "By pair (without: units over the threshold when this pair is left out):",
        "",
        *frame_table(pairs_frame(pairs)),
        "",
        f"Top units. {CHOSEN_NOTE}",
        "",
        *frame_table(top_units_frame(run.analysis(selection), 5, inference=run.inference(selection)), 3),
        "",
    ]
    if run.repeats:
        table = frame_table(repeats_frame(run, selection), 3)
        lines += [f"Repeated measures. {REPEATS_NOTE}", "", *table, ""]
    lines += [
        "Top blocks by max |t|, this run:",
        *(f"- {block_line(row)}" for row in summary.top_blocks),
        "",
        f"Top blocks by max |t|, published{of}:",
        *(f"- {block_line(row)}" for row in published.top_blocks),
        "",
        f"Published figures: {published.source} ({published.n_units:,} units). {published.note}",
        published.units_note,
    ]
    return "\n".join(lines)
