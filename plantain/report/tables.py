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
from plantain.runs.analysis import THRESHOLDS, Analysis
from plantain.runs.inference import Inference
from plantain.runs.run import Run

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


def metrics(
    summary: dict[str, Any] | None, published: dict[str, Any], control: dict[str, Any] | None = None
) -> list[Metric]:
    """Put the card's results table for a run beside the published one; without a run, only the latter.

    The published figures are of the card's 16,320 slices and the whole pass; for other units or scopes
    they stand beside for orientation only.
    """
    mine = summary or {}
    text = mine.get("text_baseline") or {}
    thresholds, text_thresholds = mine.get("thresholds", {}), text.get("thresholds", {})
    large, half, largest = (mine.get(key) for key in ("large_effect", "split_half", "max_abs_t"))
    theirs, theirs_large, theirs_half = published["thresholds"], published["large_effect"], published["split_half"]
    rows = [
        Metric(
            f"|t| > {t}",
            _count(thresholds.get(t)),
            _ratio(thresholds.get(t)),
            _count_and_ratio(text_thresholds.get(t)),
            _count(theirs[t]),
            f"{theirs[t]['ratio']:g}× null p99",
        )
        for t in ("3", "5")
    ]
    large_name, text_large = f"|d| > {theirs_large['threshold']} (large)", _count(text.get("large_effect"))
    rows.append(Metric(large_name, _count(large), "–", text_large, _count(theirs_large), "–"))
    beside = _control_figures(control)
    splits = {part["n_splits"] for part in (half, theirs_half) if part}
    splits_text = f", {splits.pop()} splits" if len(splits) == 1 else ""
    half_name, text_half = f"Split-half r (median{splits_text})", _r(text.get("split_half"))
    rows.append(Metric(half_name, _r(half), _iqr(half), text_half, _r(theirs_half), _iqr(theirs_half)))
    text_largest = _two(text.get("max_abs_t"))
    rows.append(Metric("Max |t|", _two(largest), "–", text_largest, _two(published["max_abs_t"]), "–"))
    return [replace(row, control=figure) for row, figure in zip(rows, beside, strict=True)]


def _control_figures(control: dict[str, Any] | None) -> list[str | None]:
    """Write the control's figures in the order of the rows."""
    if control is None:
        return [None] * 5
    return [
        *(_count_and_ratio(control["thresholds"][t]) for t in ("3", "5")),
        _count(control["large_effect"]),
        _r(control["split_half"]),
        _two(control["max_abs_t"]),
    ]


def _count(part: dict[str, Any] | None) -> str:
    return "–" if part is None else f"{part['count']:,} ({part['percent']:.1f}%)"


def _ratio(part: dict[str, Any] | None) -> str:
    if part is None:
        return "–"
    if part["ratio"] is None:
        return "null p99 is 0: no ratio"
    return f"{part['ratio']:.1f}× null p99 ({part['null_p99']:,})"


def _count_and_ratio(part: dict[str, Any] | None) -> str:
    return "–" if part is None else _count(part) + (f", {part['ratio']:.1f}×" if part["ratio"] is not None else "")


def _two(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _r(half: dict[str, Any] | None) -> str:
    if half is None:
        return "–"
    return "not defined" if half["median"] is None else f"{half['median']:.3f}"


def _iqr(half: dict[str, Any] | None) -> str:
    return "–" if half is None or half["median"] is None else f"[{half['q25']:.2f}, {half['q75']:.2f}] IQR"


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
