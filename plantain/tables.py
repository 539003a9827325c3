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

from plantain.analysis import Analysis
from plantain.inference import Inference
from plantain.pairs import PairResult, UnitScore
from plantain.results import Run, RunInfo
from plantain.statements import careful_statements

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
    "embedding": "slices of 16 channels of the prompt embedding",
}


CARD_SIZE = 1024  # pixels; the pipeline's default, assumed for the card
FEW_PAIRS = 10  # 2 of the 2^n sign patterns are the observed one: below 8 pairs they alone reach the 99th percentile


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
    warning = {"stand-in": " (stand-in)", "untrained": " (untrained control)"}
    return f"{name}{warning.get(info.weights, '')}"


def provenance(run: Run) -> str:
    """Say on what, when and how a run was made, in one line."""
    i = run.info
    return (
        f"{i.title}: {i.positive} vs. {i.negative}, {len(run.pairs)} pairs · {weights_label(i)} · "
        f"{i.dtype} on {i.device} · {i.size} px · seed {i.seed} · {i.date[:10]} · {i.seconds:.0f} s"
    )


def metrics(summary: dict[str, Any] | None, published: dict[str, Any]) -> list[Metric]:
    """Put the card's results table for a run beside the published one; without a run, only the latter.

    The published figures are of the card's 16,320 slices and the whole pass; for other units or scopes
    they stand beside for orientation only.
    """
    mine = summary or {}
    thresholds = mine.get("thresholds", {})
    large, half, largest = mine.get("large_effect"), mine.get("split_half"), mine.get("max_abs_t")
    theirs, theirs_large, theirs_half = published["thresholds"], published["large_effect"], published["split_half"]
    rows = [
        Metric(
            f"|t| > {t}",
            _count(thresholds.get(t)),
            _ratio(thresholds.get(t)),
            _count(theirs[t]),
            f"{theirs[t]['ratio']:g}× null p99",
        )
        for t in ("3", "5")
    ]
    rows.append(Metric(f"|d| > {theirs_large['threshold']} (large)", _count(large), "–", _count(theirs_large), "–"))
    splits = {part["n_splits"] for part in (half, theirs_half) if part}
    splits_text = f", {splits.pop()} splits" if len(splits) == 1 else ""
    rows.append(Metric(f"Split-half r (median{splits_text})", _r(half), _iqr(half), _r(theirs_half), _iqr(theirs_half)))
    rows.append(Metric("Max |t|", _two(largest), "–", _two(published["max_abs_t"]), "–"))
    return rows


def _count(part: dict[str, Any] | None) -> str:
    return "–" if part is None else f"{part['count']:,} ({part['percent']:.1f}%)"


def _ratio(part: dict[str, Any] | None) -> str:
    if part is None:
        return "–"
    if part["ratio"] is None:
        return "null p99 is 0: no ratio"
    return f"{part['ratio']:.1f}× null p99 ({part['null_p99']:,})"


def _two(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _r(half: dict[str, Any] | None) -> str:
    if half is None:
        return "–"
    return "not defined" if half["median"] is None else f"{half['median']:.3f}"


def _iqr(half: dict[str, Any] | None) -> str:
    return "–" if half is None or half["median"] is None else f"[{half['q25']:.2f}, {half['q75']:.2f}] IQR"


def block_line(row: dict[str, Any]) -> str:
    """Write one line of the card's top-block list."""
    return (
        f"{row['block']}: max|t|={row['max_abs_t']:.2f}, {row['n_over_3']}/{row['n_units']} units at |t|>3, "
        f"median |d|={row['median_abs_d']:.2f}"
    )


def notes(run: Run, summary: dict[str, Any]) -> list[str]:
    """Say what a reader of the figures has to know before comparing them with the card's."""
    found = _comparison_notes(run, summary)
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


def _comparison_notes(run: Run, summary: dict[str, Any]) -> list[str]:
    found, size, n_pairs = [], run.info.size, len(run.pairs)
    if (summary["units"], summary["scope"]) != ("card", "all"):
        found.append(
            "The published figures count the card's 16,320 slices over all tokens: do not compare other choices."
        )
    if size != CARD_SIZE:
        found.append(
            f"At {size} px there are {run.n_image_tokens:,} image tokens beside 512 of text. The card does not state "
            f"its size; at the pipeline's default, {CARD_SIZE} px, there are 4,096, so “all tokens” weighs otherwise."
        )
    if n_pairs < FEW_PAIRS:
        found.append(
            f"{n_pairs} pairs are few: below {FEW_PAIRS} the sign flips repeat the observed pattern too often for "
            "the null's 99th percentile to mean much."
        )
    return found


def report_text(run: Run, published: dict[str, Any], units: str = "card", scope: str = "all") -> str:
    """Write the card's results section for a run, with the card's own figures beside it (markdown)."""
    summary = run.summary(units, scope)
    heads = ["Metric", "This run", "Against its null", "Published card", "Against its null"]
    table = [
        [m.name, m.value, m.significance, m.published, m.published_significance] for m in metrics(summary, published)
    ]
    lines = [
        f"# {run.info.title}: {run.info.positive} vs. {run.info.negative}",
        "",
        provenance(run),
        f"Units: {summary['n_units']:,} {UNIT_WORDS[units]}. Scope: {scope}. Pairs: {summary['n_pairs']}.",
        *(f"NOTE: {note}" for note in notes(run, summary)),
        "",
        *_markdown_table(heads, table),
        "",
        "Read with care:",
        *(f"- {line}" for line in careful_statements(run, units, scope)),
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


def top_units_frame(
    analysis: Analysis, n: int = 50, block: str | None = None, inference: Inference | None = None
) -> pd.DataFrame:
    """List the tested units with the largest |t|, in one block or all.

    Returns
    -------
    DataFrame
        Columns ``rank`` (among all tested units), ``unit``, ``block``, ``kind``, ``t``, ``d_z``,
        ``mean_difference`` and ``percent_of_magnitude`` (NaN for a unit that is always zero); with an `Inference`
        also ``g``, ``d_low``, ``d_high``, ``p_exact``, ``p_fwer``, ``q_bh`` and ``q_by``.
    """
    a, order = analysis, analysis.ranking
    ranks = np.arange(1, len(order) + 1)
    if block is not None:
        inside = a.table.block[order] == block
        order, ranks = order[inside], ranks[inside]
    order, names = order[:n], a.table.names
    mean = a.differences[:, order].mean(axis=0)
    size = a.magnitudes[:, :, order].mean(axis=(0, 1))
    frame = pd.DataFrame({
        "rank": ranks[:n],
        "unit": [names[i] for i in order],
        "block": a.table.block[order],
        "kind": a.table.kind[order],
        "t": a.t[order],
        "d_z": a.dz[order],
        "mean_difference": mean,
        "percent_of_magnitude": 100 * mean / np.where(size > 0, size, np.nan),
    })  # fmt: skip
    if inference is None:
        return frame
    more = ("g", "d_low", "d_high", "p_exact", "p_fwer", "q_bh", "q_by")
    return frame.assign(**{name: inference.columns[name][order] for name in more})


def block_names(analysis: Analysis) -> list[str]:
    """Return the blocks' names in the model's order."""
    return list(dict.fromkeys(analysis.table.block.tolist()))


# --- a visitor's pair --------------------------------------------------------------------------------------


def pair_text(result: PairResult, run: Run) -> str:
    """Say where a visitor's pair falls, in plain words, one line a statement."""
    n, low = len(result.scores) + 1, result.n_at_or_below
    way = "the way" if result.score > 0 else "against the way"
    lines = [
        f"Score {result.score:+.2f}: on the run's top {len(result.top)} units the pair goes {way} that the run's "
        f"{n - 1} pairs go on average, by {abs(result.score):.2f} SD (selection, sign and SD are theirs).",
        f"{low} of the {n} pairs, yours included, go with the others no more than yours does. If yours were one more "
        f"pair of the same kind, that had p = {low}/{n} = {result.p:.3f} (conformal, in steps of 1/{n}). A small p "
        "says that your pair is unlike the run's; no p says that a pair is ethical. One pair is one pair.",
    ]
    if not result.comparable:
        a, b = result.tokens
        lines.append(
            f"NOT COMPARABLE: the prompts have {a} and {b} tokens, so their length differs as well as the act. "
            "Rewrite one until both counts are equal."
        )
    lines.append(f"Weights: {weights_label(run.info)}.")
    if run.info.weights in ("stand-in", "untrained"):
        lines.append("These weights are random: the score says nothing about FLUX.2 Klein.")
    return "\n".join(lines)


def pair_frame(result: PairResult) -> pd.DataFrame:
    """List the run's top units and where the new pair falls among their differences.

    Returns
    -------
    DataFrame
        Columns ``unit``, ``t``, ``new`` (positive minus negative), ``mean`` and ``sd`` of the run's pairs, and
        ``with_run`` = sign(t) * new / sd, as the picture and the score have it.
    """
    rows = []
    for unit in result.top:
        diffs = np.array(unit.differences)
        mean, sd = diffs.mean(), diffs.std(ddof=1)
        with_run = np.sign(unit.t) * unit.new / sd if sd else float("nan")
        rows.append({"unit": unit.unit, "t": unit.t, "new": unit.new, "mean": mean, "sd": sd, "with_run": with_run})
    return pd.DataFrame(rows, columns=["unit", "t", "new", "mean", "sd", "with_run"])


def difference_strip(unit: UnitScore, width: int = 41) -> str:
    """Draw a unit's differences as a line of text: `.` one pair, `:` several, `X` the new pair, `|` zero."""
    values = np.array([*unit.differences, unit.new])
    reach = float(np.abs(values).max()) or 1.0
    places = np.rint((values / reach + 1) / 2 * (width - 1)).astype(int)
    cells = [" "] * width
    cells[width // 2] = "|"
    for place in places[:-1]:
        cells[place] = ":" if cells[place] in ".:" else "."
    cells[places[-1]] = "X"
    return "".join(cells)
