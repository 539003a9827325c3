"""A run turned into words, markdown and frames. Knows nothing about where they are shown.

`weights_label`     which weights made a number, in plain words; `weights_words` in a sentence
`metrics`           the headline figures beside the published ones
`top_units_frame`   the units with the largest |t|
`categories_frame`, `pairs_frame`   the pairs behind a result
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from plantain.findings.pairs import PairPart, by_category
from plantain.findings.published import Published, PublishedCount
from plantain.runs.analysis import THRESHOLDS, Analysis, LargeEffects, SplitHalf, ThresholdCount
from plantain.runs.inference import Inference
from plantain.runs.run import Headline, Run

CHOSEN_NOTE = "They were chosen for their size: their d is too large, and its interval does not cover."

CATEGORY_NOTE = (
    "Description, no tests: the units were chosen on these same pairs. With 5 pairs and no effect the median |t| is "
    "0.74 and 4% of units exceed 3; with fewer pairs more."
)


@dataclass(frozen=True)
class Metric:
    """One headline figure in words; `baseline` is the prompt embedding's, `published` the card's.

    `control` is the untrained control's, or None where there is none to show.
    """

    name: str
    value: str
    significance: str
    baseline: str
    published: str
    published_significance: str
    control: str | None = None


def metrics(summary: Headline | None, published: Published, control: Headline | None = None) -> list[Metric]:
    """Put the card's results table for a run beside the published one; without a run, only the latter.

    The published figures are of the card's 16,320 slices and the whole pass; for other units or scopes
    they stand beside for orientation only.
    """
    runs = (summary, summary and summary.text_baseline, control)
    rows = []
    for t in THRESHOLDS:
        mine, text, beside = (part and part.thresholds[t] for part in runs)
        card = published.thresholds[t]
        columns = (_count(mine), _ratio(mine), _count_and_ratio(text), _count(card), f"{card.ratio:g}× null p99")
        rows.append(Metric(f"|t| > {t}", *columns, _count_and_ratio(beside)))
    mine, text, beside = (part and part.large_effect for part in runs)
    card = published.large_effect
    columns = (_count(mine), "–", _count(text), _count(card), "–")
    rows.append(Metric(f"|d| > {card.threshold} (large)", *columns, _count(beside)))
    mine, text, beside = (part and part.split_half for part in runs)
    card = published.split_half
    splits = {half.n_splits for half in (mine, card) if half}
    words = f", {splits.pop()} splits" if len(splits) == 1 else ""
    columns = (_r(mine), _iqr(mine), _r(text), _r(card), _iqr(card))
    rows.append(Metric(f"Split-half r (median{words})", *columns, _r(beside)))
    mine, text, beside = (part and part.max_abs_t for part in runs)
    rows.append(Metric("Max |t|", _two(mine), "–", _two(text), _two(published.max_abs_t), "–", _two(beside)))
    return rows if control else [replace(row, control=None) for row in rows]


def _count(part: ThresholdCount | PublishedCount | LargeEffects | None) -> str:
    return "–" if part is None else f"{part.count:,} ({part.percent:.1f}%)"


def _ratio(part: ThresholdCount | None) -> str:
    if part is None:
        return "–"
    if part.ratio is None:
        return "null p99 is 0: no ratio"
    return f"{part.ratio:.1f}× null p99 ({part.null_p99:,})"


def _count_and_ratio(part: ThresholdCount | None) -> str:
    return "–" if part is None else _count(part) + (f", {part.ratio:.1f}×" if part.ratio is not None else "")


def _two(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _r(half: SplitHalf | None) -> str:
    if half is None:
        return "–"
    return "not defined" if half.median is None else f"{half.median:.3f}"


def _iqr(half: SplitHalf | None) -> str:
    return "–" if half is None or half.median is None else f"[{half.q25:.2f}, {half.q75:.2f}] IQR"


def markdown_table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Write a table's lines in markdown, aligned for reading as text too."""
    cells = [[c.replace("|", "\\|") for c in row] for row in (head, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in cells]
    return [lines[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *lines[1:]]


def frame_table(frame: pd.DataFrame, digits: int | None = None) -> list[str]:
    """Write a frame in markdown, a list of lines, in two decimals or in significant digits; NaN is a dash."""
    rows = [[_cell(value, digits) for value in row] for row in frame.itertuples(index=False)]
    return markdown_table(list(frame.columns), rows)


def _cell(value: Any, digits: int | None) -> str:
    if isinstance(value, float):
        return "–" if np.isnan(value) else f"{value:.{digits}g}" if digits else f"{value:.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def top_units_frame(
    analysis: Analysis, n: int | None = 50, block: str | None = None, inference: Inference | None = None
) -> pd.DataFrame:
    """List the tested units with the largest |t|, in one block or all.

    Returns
    -------
    DataFrame
        Columns ``rank`` (among all tested units), ``unit``, ``block``, ``kind``, ``t``, ``d_z``,
        ``mean_difference``, ``percent_of_magnitude`` and ``rms_percent`` (the size of the differences, whichever way
        they point; both NaN for a unit that is always zero); with an `Inference`
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
        "rms_percent": a.rms_percent[order],
    })  # fmt: skip
    if inference is None:
        return frame
    more = ("g", "d_low", "d_high", "p_exact", "p_fwer", "q_bh", "q_by")
    return frame.assign(**{name: inference.columns[name][order] for name in more})


def categories_frame(run: Run, units: str = "card", scope: str = "all", n_top: int = 5) -> pd.DataFrame:
    """Describe every category of pairs, and what it says of the run's top units.

    Returns
    -------
    DataFrame
        Columns ``category``, ``pairs``, ``median |t|`` (over units, of the category's pairs alone), ``r with others``
        (of its t with that of all other pairs) and, for each of the run's `n_top` units by |t|, the category's t.
    """
    a = run.analysis(units, scope)
    top = a.ranking[:n_top].tolist()
    rows = [
        [part.name, part.n_pairs, part.median_abs_t, part.r_others, *part.t[top].tolist()]
        for part in by_category(run, units, scope)
    ]
    columns = ["category", "pairs", "median |t|", "r with others", *(f"t of {a.table.names[u]}" for u in top)]
    return pd.DataFrame(rows, columns=columns)


def pairs_frame(parts: list[PairPart]) -> pd.DataFrame:
    """List the pairs of a run as `breakdown.by_pair` describes them.

    Returns
    -------
    DataFrame
        Columns ``pair``, ``score``, ``size``, per threshold the units over it without the pair, ``category``,
        ``first differing token`` and ``differing tokens``.
    """
    without = (f"without: |t| > {t:g}" for t in THRESHOLDS)
    columns = ["pair", "score", "size", *without, "category", "first differing token", "differing tokens"]
    rows = [[p.id, p.score, p.size, *p.without, p.category, p.first_difference, p.n_differing] for p in parts]
    return pd.DataFrame(rows, columns=columns)
