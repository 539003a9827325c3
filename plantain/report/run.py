"""What a run shows, as text: what ``report`` prints."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple
from typing import TYPE_CHECKING

from plantain.findings.directions import unit_directions
from plantain.findings.held_out import HeldOut, held_out, told_by_kind
from plantain.findings.pairs import by_pair
from plantain.findings.published import CARD_PAIRS, Published, same_question
from plantain.report import tables
from plantain.report.answer import kinds_without, selections_of
from plantain.report.directions import direction_blocks
from plantain.report.interventions import cause_blocks
from plantain.report.labels import CONTRAST, UNIT_WORDS, block_line, family_line, provenance, subject_words
from plantain.report.statements import careful_statements, notes, pair_statements, prompt_warnings
from plantain.report.verdict import standing, verdict_lines
from plantain.runs.run import Run
from plantain.runs.units import CARD, Selection

if TYPE_CHECKING:
    import pandas as pd


def report_text(
    run: Run,
    published: Published,
    selection: Selection = CARD,
    headline: HeldOut | None = None,
    top: int | None = tables.N_SHOWN,
    sort: str = "t",
) -> str:
    """Write what a run shows (markdown): the verdict, the card's figures beside the published ones, then all the rest.

    Parameters
    ----------
    run : Run
    published : Published
    selection : Selection
        Of the card's figures and all that follows.
    headline : HeldOut, optional
        With what other runs add to it; of the run alone unless given.
    top : int or None
        Units in the list of the top ones; None for all.
    sort : str
        One of `tables.SORTS`: what the list goes by.
    """
    summary, pairs = run.summary(selection), by_pair(run, selection)
    of = "" if same_question(run) else f", of {CONTRAST}"
    of += "" if run.info.is_plain else ", of other passes"
    heads = ["Metric", "This run", "Against its null", "Prompt embedding"]
    beside = len(run.pairs) == CARD_PAIRS  # counts grow with the number of pairs
    heads += [f"Published card{of}", "Against its null"] if beside else []
    careful = careful_statements(run, selection) + pair_statements(run, pairs, selection)
    listed = tables.top_units_frame(
        run.analysis(selection), top, None, run.inference(selection), sort, unit_directions(run, selection)
    )
    units = f"{summary.n_units:,} {UNIT_WORDS[selection.units]}. Scope: {selection.scope}. Pairs: {summary.n_pairs}."
    made = [
        standing(run, selection),
        provenance(run),
        *(f"NOTE: {note.text}" for note in notes(run, summary)),
        *(f"PROMPTS: {warning.text}" for warning in prompt_warnings(run)),
    ]
    blocks = [
        f"# {subject_words(run)}",
        "\n".join(verdict_lines(run, headline or held_out(run))),
        "\n".join(made),
        *direction_blocks(run, top),
        *cause_blocks(run),
        f"## The card's figures\n\nUnits: {units}",
        tables.markdown_table(heads, [astuple(m)[: len(heads)] for m in tables.metrics(summary, published)]),
        tables.METRIC_NOTE,
        _listed("Top blocks by max |t|, this run:", map(block_line, summary.top_blocks)),
        _listed(f"Top blocks by max |t|, published{of}:", map(block_line, published.top_blocks)),
        f"Published figures: {published.source} ({published.n_units:,} units). {published.note} {published.units_note}",
        f"{family_line(published)} {published.family.source}",
        f"## Top units\n\n{_chosen(len(listed), summary.n_units, sort)}",
        *_with_columns(listed, tables.unit_columns(run), 3),
    ]
    if run.repeats:
        blocks.append(f"## Repeated measures\n\n{tables.REPEATS_NOTE}")
        blocks.append(tables.frame_table(tables.repeats_frame(run, selection), 3))
    blocks += [
        f"## By category\n\n{tables.CATEGORY_NOTE}",
        tables.frame_table(tables.categories_frame(run, selection)),
        tables.columns_text(tables.CATEGORY_COLUMNS),
    ]
    kinds = tables.kinds_frame(run, selection)
    if len(kinds):
        told = "; ".join(f"{part.kind} {part.k} of {part.n}" for part in told_by_kind(run))
        line = f"Held-out pairs told right (the headline, by kind): {told}."
        blocks += [f"## By kind\n\n{line}\n\n{tables.KIND_NOTE}", tables.frame_table(kinds)]
    blocks += [
        _listed("## Read with care\n", [statement.text for statement in careful]),
        "## By pair",
        *_with_columns(tables.pairs_frame(pairs), tables.PAIR_COLUMNS),
    ]
    return "\n\n".join(blocks)


def report_text_of_all(
    run: Run, scope: str, headline: HeldOut, top: int | None = tables.N_SHOWN, sort: str = "t"
) -> str:
    """Write the figures of every kind of units side by side (markdown), and the top units of each."""
    chosen = selections_of(run, scope)
    left_out = kinds_without(run, scope)
    blocks = [
        f"# {subject_words(run)}",
        "\n".join(verdict_lines(run, headline)),
        f"{standing(run, Selection('card', scope))}\n{provenance(run)}",
        *direction_blocks(run, top),
        *cause_blocks(run),
        f"## Every kind of units\n\nScope: {scope}. Pairs: {len(run.pairs)}. The kinds overlap: a head holds slices.",
        tables.frame_table(tables.unit_kinds_frame([run.summary(of) for of in chosen])),
        tables.columns_text(tables.UNIT_KIND_COLUMNS),
        *([f"Without such tokens: {', '.join(left_out)}."] if left_out else []),
    ]
    for of in chosen:
        listed = tables.top_units_frame(run.analysis(of), top, None, run.inference(of), sort, unit_directions(run, of))
        n_units = len(run.analysis(of).ranking)
        blocks += [f"## Top units: {of.units}\n\n{_chosen(len(listed), n_units, sort)}", tables.shown_table(listed, 3)]
        last = listed
    return "\n\n".join([*blocks, tables.columns_text(tables.unit_columns(run), tables.shown(last))])


def _chosen(n: int, of: int, sort: str) -> str:
    """Say how a list of units is sorted, and what follows where it is a choice by size."""
    words = "in the model's order" if sort == "unit" else "by |t|" if sort == "t" else f"by {sort}"
    return f"{n:,} of {of:,} {words}.{'' if n == of or sort == 'unit' else f' {tables.CHOSEN_NOTE}'}"


def _with_columns(frame: pd.DataFrame, columns: dict[str, str], digits: int | None = None) -> tuple[str, str]:
    return tables.shown_table(frame, digits), tables.columns_text(columns, tables.shown(frame))


def _listed(title: str, lines: Iterable[str]) -> str:
    return "\n".join([title, *(f"- {line}" for line in lines)])
