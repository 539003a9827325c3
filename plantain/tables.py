"""A run turned into words, markdown and frames. Knows nothing about where they are shown.

`weights_label`     which weights made a number, in plain words
`metrics`           the headline figures beside the published ones
`report_text`       the card's results section for a run
`top_units_frame`   the units with the largest |t|
`pair_text`         a visitor's result in words
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from plantain.analysis import Analysis, summarize
from plantain.pairs import PairResult
from plantain.results import Run, RunInfo

WEIGHTS_WORDS = {
    "pretrained": "pretrained weights from the Hub",
    "local": "weights from a local folder, origin unknown",
    "untrained": "UNTRAINED: random weights in Klein's architecture",
    "stand-in": "STAND-IN: a tiny network with random weights, not Klein",
}

UNIT_WORDS = {
    "card": "slices of 16 channels (the card's “heads”)",
    "heads": "attention heads",
    "text-heads": "attention heads of the text stream",
    "mlp": "MLP groups as wide as a head",
}


@dataclass(frozen=True)
class Metric:
    """One headline figure; `published` is the card's, or None where it does not exist."""

    name: str
    value: str
    significance: str
    published: str
    published_significance: str


def weights_label(info: RunInfo) -> str:
    """Say which weights made a run's numbers."""
    revision = f" at {info.revision[:12]}" if info.revision else ""
    return f"{info.model}{revision} ({WEIGHTS_WORDS[info.weights]})"


def run_label(name: str, info: RunInfo) -> str:
    """Name a run in a list; a stand-in or untrained model always shows."""
    warning = {"stand-in": " [stand-in, random weights]", "untrained": " [untrained control]"}
    return f"{name}{warning.get(info.weights, '')}"


def provenance(run: Run) -> str:
    """Say on what, when and how a run was made, in one line."""
    i = run.info
    return (
        f"{i.title}: {i.positive} vs. {i.negative}, {len(run.pairs)} pairs · {weights_label(i)} · "
        f"{i.dtype} on {i.device} · {i.size} px · seed {i.seed} · {i.date[:10]} · {i.seconds:.0f} s"
    )


def metrics(summary: dict[str, Any], published: dict[str, Any]) -> list[Metric]:
    """Put the card's results table for a run beside the published one.

    The published figures are of the card's 16,320 slices and the whole pass; for other units or scopes
    they stand beside for orientation only.
    """
    rows = []
    for threshold in ("3", "5"):
        mine, theirs = summary["thresholds"][threshold], published["thresholds"][threshold]
        rows.append(
            Metric(f"|t| > {threshold}", _count(mine), _ratio(mine), _count(theirs), f"{theirs['ratio']:g}× null p99")
        )
    large = summary["large_effect"]
    rows.append(
        Metric(f"|d| > {large['threshold']} (large)", _count(large), "–", _count(published["large_effect"]), "–")
    )
    half, theirs = summary["split_half"], published["split_half"]
    rows.append(
        Metric(f"Split-half r (median, {half['n_splits']} splits)", _r(half), _iqr(half), _r(theirs), _iqr(theirs))
    )
    rows.append(Metric("Max |t|", f"{summary['max_abs_t']:.2f}", "–", f"{published['max_abs_t']:.2f}", "–"))
    return rows


def _count(part: dict[str, Any]) -> str:
    return f"{part['count']:,} ({part['percent']:.1f}%)"


def _ratio(part: dict[str, Any]) -> str:
    if part["ratio"] is None:
        return "null p99 is 0: no ratio"
    return f"{part['ratio']:.1f}× null p99 ({part['null_p99']:,})"


def _r(half: dict[str, Any]) -> str:
    return "not defined" if half["median"] is None else f"{half['median']:.3f}"


def _iqr(half: dict[str, Any]) -> str:
    return "–" if half["median"] is None else f"[{half['q25']:.2f}, {half['q75']:.2f}] IQR"


def block_line(row: dict[str, Any]) -> str:
    """Write one line of the card's top-block list."""
    return (
        f"{row['block']}: max|t|={row['max_abs_t']:.2f}, {row['n_over_3']}/{row['n_units']} units at |t|>3, "
        f"median |d|={row['median_abs_d']:.2f}"
    )


def notes(run: Run, summary: dict[str, Any]) -> list[str]:
    """Say what a reader of the figures has to know: weights, unequal prompts, degenerate units."""
    found = []
    if run.info.weights in ("stand-in", "untrained"):
        found.append("These weights are random. The numbers say nothing about FLUX.2 Klein.")
    unequal = run.unequal_pairs()
    if unequal:
        found.append(
            f"{len(unequal)} of {len(run.pairs)} pairs have unequal token counts under this model's tokenizer: "
            "length and act are mixed there."
        )
    degenerate = summary["degenerate_units"]
    if degenerate:
        shown = ", ".join(degenerate[:5]) + (" …" if len(degenerate) > 5 else "")
        found.append(f"{len(degenerate)} units left out: their differences are all the same and not zero ({shown}).")
    return found


def report_text(run: Run, published: dict[str, Any], units: str = "card", scope: str = "all") -> str:
    """Write the card's results section for a run, with the card's own figures beside it (markdown)."""
    summary = summarize(run.analysis(units, scope))
    heads = ["Metric", "This run", "Significance", "Published card", "Its significance"]
    table = [
        [m.name, m.value, m.significance, m.published, m.published_significance] for m in metrics(summary, published)
    ]
    lines = [
        f"# {run.info.title}: {run.info.positive} vs. {run.info.negative}",
        "",
        provenance(run),
        f"Units: {summary['n_units']:,} {UNIT_WORDS[units]}. Scope: {scope} tokens. Pairs: {summary['n_pairs']}.",
        *(f"NOTE: {note}" for note in notes(run, summary)),
        "",
        *_markdown_table(heads, table),
        "",
        "Top blocks by max |t|, this run:",
        *(f"- {block_line(row)}" for row in summary["top_blocks"]),
        "",
        "Top blocks by max |t|, published:",
        *(f"- {block_line(row)}" for row in published["top_blocks"]),
        "",
        f"Published figures: {published['source']} ({published['n_units']:,} units). {published['note']}",
        published["units_note"],
    ]
    return "\n".join(lines)


def _markdown_table(head: list[str], rows: list[list[str]]) -> list[str]:
    cells = [[c.replace("|", "\\|") for c in row] for row in (head, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in cells]
    return [lines[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *lines[1:]]


def top_units_frame(analysis: Analysis, n: int = 50, block: str | None = None) -> pd.DataFrame:
    """List the tested units with the largest |t|, in one block or all.

    Returns
    -------
    DataFrame
        Columns ``rank`` (among all tested units), ``unit``, ``block``, ``kind``, ``t``, ``d_z``,
        ``mean_difference`` and ``percent_of_magnitude``.
    """
    a, order = analysis, analysis.ranking
    ranks = np.arange(1, len(order) + 1)
    if block is not None:
        inside = a.table.block[order] == block
        order, ranks = order[inside], ranks[inside]
    order, names = order[:n], a.table.names
    mean = a.differences[:, order].mean(axis=0)
    return pd.DataFrame({
        "rank": ranks[:n],
        "unit": [names[i] for i in order],
        "block": a.table.block[order],
        "kind": a.table.kind[order],
        "t": a.t[order],
        "d_z": a.dz[order],
        "mean_difference": mean,
        "percent_of_magnitude": 100 * mean / a.magnitudes[:, :, order].mean(axis=(0, 1)),
    })  # fmt: skip


def block_names(analysis: Analysis) -> list[str]:
    """Return the blocks' names in the model's order."""
    return list(dict.fromkeys(analysis.table.block.tolist()))


# --- a visitor's pair --------------------------------------------------------------------------------------


def pair_text(result: PairResult, run: Run) -> str:
    """Say where a visitor's pair falls, in plain words, one line a statement."""
    n = len(result.scores) + 1
    rank = n - result.n_at_or_below + 1
    side = run.info.positive if result.score > 0 else run.info.negative
    lines = [
        f"Score {result.score:+.2f}: on the run's top {len(result.top)} units the pair moves "
        f"{abs(result.score):.2f} SD towards “{side}”, with selection, sign and SD taken from the run's {n - 1} pairs.",
        f"Rank {rank} of {n} (1 is the highest); conformal p = {result.n_at_or_below}/{n} = {result.p:.3f} for a "
        f"score this low. It moves in steps of 1/{n}; one pair is one pair.",
    ]
    if not result.comparable:
        a, b = result.tokens
        lines.append(
            f"NOT COMPARABLE: the prompts have {a} and {b} tokens, so their length differs as well as the act. "
            "Rewrite one until both counts are equal."
        )
    if run.info.weights in ("stand-in", "untrained"):
        lines.append("These weights are random: the score says nothing about FLUX.2 Klein.")
    return "\n".join(lines)


def pair_frame(result: PairResult) -> pd.DataFrame:
    """List the run's top units and where the new pair falls among their differences.

    Returns
    -------
    DataFrame
        Columns ``unit``, ``t``, ``new`` (positive minus negative), ``mean`` and ``sd`` of the run's pairs,
        ``z`` = (new - mean) / sd, and ``rank`` of the new one (1 is the highest).
    """
    rows = []
    for unit in result.top:
        diffs = np.array(unit.differences)
        mean, sd = diffs.mean(), diffs.std(ddof=1)
        rank = 1 + int(np.count_nonzero(diffs > unit.new))
        z = (unit.new - mean) / sd if sd else float("nan")
        rows.append({"unit": unit.unit, "t": unit.t, "new": unit.new, "mean": mean, "sd": sd, "z": z, "rank": rank})
    return pd.DataFrame(rows, columns=["unit", "t", "new", "mean", "sd", "z", "rank"])
