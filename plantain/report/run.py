"""The card's results section for a run, as text: what ``report`` prints.

`report_text`   everything, beside the published figures
`repeats_frame` the repeated measures side by side
"""

from __future__ import annotations

from dataclasses import astuple

import pandas as pd

from plantain.findings.pairs import by_pair
from plantain.findings.published import CONTRAST, Published, same_question
from plantain.findings.repeats import stability
from plantain.report.labels import UNIT_WORDS, block_line, provenance
from plantain.report.statements import careful_statements, notes, pair_statements, prompt_warnings
from plantain.report.tables import (
    CATEGORY_NOTE,
    CHOSEN_NOTE,
    categories_frame,
    frame_table,
    markdown_table,
    metrics,
    pairs_frame,
    top_units_frame,
)
from plantain.runs.analysis import THRESHOLDS
from plantain.runs.run import Run

REPEATS_NOTE = (
    "Sums of squares are averaged within a pair, so that a magnitude is the root mean square over seeds and steps, and "
    "measures with large activations weigh more. At a later step the two sides' images differ as well. Measures are no "
    "more pairs, and all have the same pairs: r with others (of a measure's map of t with that of the average of all "
    "other measures) says whether seed or step matters, and is no reliability over pairs. The top units are chosen on "
    "the other measures."
)


def report_text(run: Run, published: Published, units: str = "card", scope: str = "all") -> str:
    """Write the card's results section for a run, with the card's own figures beside it (markdown)."""
    summary = run.summary(units, scope)
    of = "" if same_question(run) else f", of {CONTRAST}"
    of += "" if run.info.is_plain else ", of other passes"
    heads = ["Metric", "This run", "Against its null", "Prompt embedding", f"Published card{of}", "Against its null"]
    table = [list(astuple(m))[: len(heads)] for m in metrics(summary, published)]
    pairs = by_pair(run, units, scope)
    lines = [
        f"# {run.info.title}: {run.info.positive} vs. {run.info.negative}",
        "",
        provenance(run),
        f"Units: {summary.n_units:,} {UNIT_WORDS[units]}. Scope: {scope}. Pairs: {summary.n_pairs}.",
        *(f"NOTE: {note}" for note in notes(run, summary)),
        *(f"PROMPTS: {warning}" for warning in prompt_warnings(run)),
        "",
        *markdown_table(heads, table),
        "",
        "Read with care:",
        *(f"- {line}" for line in careful_statements(run, units, scope)),
        *(f"- {line}" for line in pair_statements(run, pairs, units, scope)),
        "",
        f"By category. {CATEGORY_NOTE}",
        "",
        *frame_table(categories_frame(run, units, scope)),
        "",
        "By pair (without: units left over the threshold without it):",
        "",
        *frame_table(pairs_frame(pairs)),
        "",
        f"Top units. {CHOSEN_NOTE}",
        "",
        *frame_table(top_units_frame(run.analysis(units, scope), 5, inference=run.inference(units, scope)), 3),
        "",
        *_repeats(run, units, scope),
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


def repeats_frame(run: Run, units: str = "card", scope: str = "all") -> pd.DataFrame:
    """List the repeated measures of a run as `stability.stability` describes them; empty where there was one.

    Returns
    -------
    DataFrame
        Columns ``measure``, per threshold the units over it, ``max |t|``, ``r with others`` and ``top, same sign``.
    """
    over = [f"|t| > {t:g}" for t in THRESHOLDS]
    columns = ["measure", *over, "max |t|", "r with others", "top, same sign"]
    rows = [
        [m.name, *m.over, m.max_abs_t, m.r_others, f"{m.same_sign}/{m.n_top}"] for m in stability(run, units, scope)
    ]
    return pd.DataFrame(rows, columns=columns)


def _repeats(run: Run, units: str, scope: str) -> list[str]:
    if not run.repeats:
        return []
    return [f"Repeated measures. {REPEATS_NOTE}", "", *frame_table(repeats_frame(run, units, scope), 3), ""]
