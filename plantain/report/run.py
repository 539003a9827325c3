"""What a run shows, as text: what ``report`` prints."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple

from plantain.findings.held_out import HeldOut, held_out, told_by_kind
from plantain.findings.pairs import by_pair
from plantain.findings.published import CARD_PAIRS, Published, same_question
from plantain.report import tables
from plantain.report.labels import CONTRAST, UNIT_WORDS, block_line, family_line, provenance
from plantain.report.statements import careful_statements, notes, pair_statements, prompt_warnings
from plantain.report.verdict import standing, verdict_lines
from plantain.runs.run import Run
from plantain.runs.units import CARD, Selection


def report_text(run: Run, published: Published, selection: Selection = CARD, headline: HeldOut | None = None) -> str:
    """Write what a run shows (markdown): the verdict, the card's figures beside the published ones, then all the rest.

    Parameters
    ----------
    run : Run
    published : Published
    selection : Selection
        Of the card's figures and all that follows.
    headline : HeldOut, optional
        With what other runs add to it; of the run alone unless given.
    """
    summary, pairs = run.summary(selection), by_pair(run, selection)
    of = "" if same_question(run) else f", of {CONTRAST}"
    of += "" if run.info.is_plain else ", of other passes"
    heads = ["Metric", "This run", "Against its null", "Prompt embedding"]
    beside = len(run.pairs) == CARD_PAIRS  # counts grow with the number of pairs
    heads += [f"Published card{of}", "Against its null"] if beside else []
    careful = careful_statements(run, selection) + pair_statements(run, pairs, selection)
    top = tables.top_units_frame(run.analysis(selection), 5, inference=run.inference(selection))
    units = f"{summary.n_units:,} {UNIT_WORDS[selection.units]}. Scope: {selection.scope}. Pairs: {summary.n_pairs}."
    made = [
        standing(run, selection),
        provenance(run),
        *(f"NOTE: {note.text}" for note in notes(run, summary)),
        *(f"PROMPTS: {warning.text}" for warning in prompt_warnings(run)),
    ]
    blocks = [
        f"# {run.info.title}: {run.info.positive} vs. {run.info.negative}",
        "\n".join(verdict_lines(run, headline or held_out(run))),
        "\n".join(made),
        f"## The card's figures\n\nUnits: {units}",
        tables.markdown_table(heads, [astuple(m)[: len(heads)] for m in tables.metrics(summary, published)]),
        _listed("Top blocks by max |t|, this run:", map(block_line, summary.top_blocks)),
        _listed(f"Top blocks by max |t|, published{of}:", map(block_line, published.top_blocks)),
        f"Published figures: {published.source} ({published.n_units:,} units). {published.note} {published.units_note}",
        f"{family_line(published)} {published.family.source}",
        f"## Top units\n\n{tables.CHOSEN_NOTE}",
        tables.frame_table(top, 3),
    ]
    if run.repeats:
        blocks.append(f"## Repeated measures\n\n{tables.REPEATS_NOTE}")
        blocks.append(tables.frame_table(tables.repeats_frame(run, selection), 3))
    blocks += [
        f"## By category\n\n{tables.CATEGORY_NOTE}",
        tables.frame_table(tables.categories_frame(run, selection)),
    ]
    kinds = tables.kinds_frame(run, selection)
    if len(kinds):
        told = "; ".join(f"{part.kind} {part.k} of {part.n}" for part in told_by_kind(run))
        line = f"Held-out pairs told right (the headline, by kind): {told}."
        blocks += [f"## By kind\n\n{line}\n\n{tables.KIND_NOTE}", tables.frame_table(kinds)]
    blocks += [
        _listed("## Read with care\n", [statement.text for statement in careful]),
        "## By pair\n\nWithout: units over the threshold when this pair is left out.",
        tables.frame_table(tables.pairs_frame(pairs)),
    ]
    return "\n\n".join(blocks)


def _listed(title: str, lines: Iterable[str]) -> str:
    return "\n".join([title, *(f"- {line}" for line in lines)])
