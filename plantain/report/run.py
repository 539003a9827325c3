"""The card's results section for a run, as text: what ``report`` prints."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple

from plantain.findings.pairs import by_pair
from plantain.findings.published import Published, same_question
from plantain.report import tables
from plantain.report.labels import CONTRAST, UNIT_WORDS, block_line, provenance
from plantain.report.statements import careful_statements, notes, pair_statements, prompt_warnings
from plantain.runs.run import Run
from plantain.runs.units import CARD, Selection


def report_text(run: Run, published: Published, selection: Selection = CARD) -> str:
    """Write the card's results section for a run, with the card's own figures beside it (markdown)."""
    summary, pairs = run.summary(selection), by_pair(run, selection)
    of = "" if same_question(run) else f", of {CONTRAST}"
    of += "" if run.info.is_plain else ", of other passes"
    heads = ["Metric", "This run", "Against its null", "Prompt embedding", f"Published card{of}", "Against its null"]
    careful = careful_statements(run, selection) + pair_statements(run, pairs, selection)
    top = tables.top_units_frame(run.analysis(selection), 5, inference=run.inference(selection))
    made = [
        provenance(run),
        f"Units: {summary.n_units:,} {UNIT_WORDS[selection.units]}. Scope: {selection.scope}. "
        f"Pairs: {summary.n_pairs}.",
        *(f"NOTE: {note.text}" for note in notes(run, summary)),
        *(f"PROMPTS: {warning.text}" for warning in prompt_warnings(run)),
    ]
    blocks = [
        f"# {run.info.title}: {run.info.positive} vs. {run.info.negative}",
        "\n".join(made),
        tables.markdown_table(heads, [astuple(m)[: len(heads)] for m in tables.metrics(summary, published)]),
        _listed("Read with care:", [statement.text for statement in careful]),
        f"By category. {tables.CATEGORY_NOTE}",
        tables.frame_table(tables.categories_frame(run, selection)),
        "By pair (without: units over the threshold when this pair is left out):",
        tables.frame_table(tables.pairs_frame(pairs)),
        f"Top units. {tables.CHOSEN_NOTE}",
        tables.frame_table(top, 3),
    ]
    if run.repeats:
        blocks.append(f"Repeated measures. {tables.REPEATS_NOTE}")
        blocks.append(tables.frame_table(tables.repeats_frame(run, selection), 3))
    blocks += [
        _listed("Top blocks by max |t|, this run:", map(block_line, summary.top_blocks)),
        _listed(f"Top blocks by max |t|, published{of}:", map(block_line, published.top_blocks)),
        f"Published figures: {published.source} ({published.n_units:,} units). {published.note}",
    ]
    return "\n\n".join(blocks) + f"\n{published.units_note}"


def _listed(title: str, lines: Iterable[str]) -> str:
    return "\n".join([title, *(f"- {line}" for line in lines)])
