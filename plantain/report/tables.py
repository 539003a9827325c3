"""A run as tables: the headline metrics, data frames, and markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from plantain import UsageError
from plantain.findings.pairs import CategoryPart, PairPart, by_category, by_kind
from plantain.findings.published import Published
from plantain.findings.repeats import stability
from plantain.report.numbers import DASH, count, number
from plantain.runs.analysis import (
    LARGE_EFFECT,
    THRESHOLDS,
    Analysis,
    DirectionAnalysis,
    SplitHalf,
    Summary,
    ThresholdCount,
)
from plantain.runs.inference import N_FLIPS_P, Inference
from plantain.runs.run import Headline, Run, RunSummary
from plantain.runs.units import CARD, Selection

CHOSEN_NOTE = "They were chosen for their size: their d is larger than the truth, which its interval misses too often."

KIND_NOTE = (
    "Of the negative side: neglect looks on or idles, exclusion leaves somebody out, wrongdoing lies or steals. The "
    "note on categories holds here too."
)

CATEGORY_NOTE = (
    "Description, no tests: the units were chosen on these same pairs. With 5 pairs and no effect the median |t| is "
    "0.74 and 4% of units exceed 3; with fewer pairs more."
)

REPEATS_NOTE = (
    "Sums of squares are averaged within a pair: a magnitude is the root mean square over seeds and steps, and "
    "measures with large activations weigh more. At a later step the two sides' images differ as well. Measures are no "
    "more pairs, and all have the same pairs: r with others (of a measure's map of t with that of the average of all "
    "other measures) says whether seed or step matters, and is no reliability over pairs. The top units are chosen on "
    "the other measures."
)

_N_TOP = 5  # units whose t stands by category

N_SHOWN = 5  # top units in a report, unless more are asked for

UNIT_COLUMNS = {
    "rank": "place among all tested units by |t|",
    "unit": "name: the block and what of it",
    "block": "joint[i] or single[i], in the model's order",
    "kind": "attention or mlp",
    "t": "paired t of the differences (positive minus negative) over the pairs",
    "d_z": "mean difference / SD of the differences",
    "mean_difference": "mean of the differences of the magnitude (RMS of the activations)",
    "percent": "the mean difference in percent of the unit's mean magnitude",
    "rms_percent": "RMS of the differences in percent of it: their size, whichever way they point",
    "g": "Hedges' g: d_z without its bias in small samples",
    "d_low": "lower end of the 95% interval of d_z",
    "d_high": "upper end of the 95% interval of d_z",
    "p_exact": "sign-flip p over all patterns of signs, of this unit alone",
    "p_flips": f"sign-flip p of up to {N_FLIPS_P:,} drawn flips, of this unit alone",
    "p_flips_error": "standard error of p_flips, which comes of drawing so many flips and no more",
    "p_fwer": "family-wise p: against the largest |t| of all units (max-|t|)",
    "q_bh": "false discovery rate (Benjamini-Hochberg) over all units",
    "q_by": "the same by Benjamini-Yekutieli, under any dependence",
}
"""What the columns of `top_units_frame` mean."""

DIRECTION_COLUMNS = {
    "k_direction": "held-out pairs that its directions tell right, each by all other pairs",
    "agreement": "mean cosine of the directions of two pairs: 1 where all share one, near 0 where there is none",
    "p_direction_fwer": "family-wise p of the agreement: against the largest of all units, in units of its spread",
}
"""What the columns mean that a run with directions has besides."""

SMALLEST_FIRST = ("p_exact", "p_flips", "p_fwer", "q_bh", "q_by", "p_direction_fwer")

SORTS = (
    "t", "d_z", "mean_difference", "percent", "rms_percent", "g", *SMALLEST_FIRST[:-1],
    "k_direction", "agreement", "p_direction_fwer", "unit",
)  # fmt: skip
"""By what units can be sorted: p and q rising, all else by falling size, ``unit`` in the model's order."""

PAIR_COLUMNS = {
    "pair": "its id",
    "score": "how far it goes the way of the other pairs on their top units, in SDs",
    "size": "how large its differences are beside those of all pairs: 1 is their root mean square",
    **{f"without: |t| > {t:g}": f"units over |t| > {t:g} when this pair is left out" for t in THRESHOLDS},
    "category": "its category in the prompt set",
    "first differing token": "where its two prompts part, counted in tokens from 0",
    "differing tokens": "at how many positions their tokens differ",
}

CATEGORY_COLUMNS = {
    "category": "as in the prompt set",
    "pairs": "how many it has",
    "median |t|": "over units, of the category's pairs alone",
    "r with others": "of its map of t with that of all other pairs",
    "t of …": "its t of each of the units with the largest |t| over all pairs",
}

UNIT_KIND_COLUMNS = {
    "kind": "what counts as a unit, as for --units",
    "units": "how many are tested",
    **{f"|t| > {t:g}{end}": words for t in THRESHOLDS for end, words in
       (("", f"units whose paired t exceeds {t:g}"), (" %", "their share in percent"))},
    f"p of |t| > {THRESHOLDS[0]:g}": "of the count against those under sign flips of whole pairs",
    f"|d| > {LARGE_EFFECT:g}": "units with a large d_z",
    "split-half r": "correlation of the maps of t of two halves of the pairs, median over splits",
    "max |t|": "the largest of all units",
    "family-wise": "units with p_fwer of at most .05",
    "BH": "units with q_bh of at most .05",
}  # fmt: skip

_PEOPLES = {
    "unit": "name", "rms_percent": "size, %", "d_z": "effect d", "mean_difference": "mean difference",
    "percent": "mean, %", "g": "effect g", "d_low": "d, from", "d_high": "d, to", "p_exact": "p, alone",
    "p_flips": "p, alone", "p_flips_error": "its error", "p_fwer": "p, corrected for all",
    "q_bh": "false discovery rate", "q_by": "that rate, any dependence", "k_direction": "pairs told by direction",
    "agreement": "agreement of directions", "p_direction_fwer": "p of it, corrected for all",
    "score": "score, SDs", "first differing token": "first token that differs",
    "differing tokens": "tokens that differ", "median |t|": "typical |t|", "r with others": "likeness to the others",
    "measure": "seed and step", "top, same sign": "top units with the same sign",
    **{f"without: |t| > {t:g}": f"units over |t| > {t:g} without it" for t in THRESHOLDS},
    **{f"|t| > {t:g}": f"units over |t| > {t:g}" for t in THRESHOLDS},
}  # fmt: skip
"""What the page calls a column; other columns have words for people already. Files keep the columns' own names."""

METRIC_NOTE = (
    "Rows: |t|: units whose paired t exceeds the number, and their share; |d|: the same of d_z. Split-half r: "
    "correlation of the maps of t of two halves of the pairs. null p99: the 99th percentile of the count under sign "
    "flips of whole pairs. Prompt embedding: the same of the text before the transformer."
)


def people(column: str) -> str:
    """Return what the page calls a column."""
    return _PEOPLES.get(column, column)


def people_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Write a frame for the page: words for people, and numbers in three digits; small p keep their size."""
    short = frame.map(lambda value: float(f"{value:.3g}") if isinstance(value, float) else value)
    return short.rename(columns=people)


def columns_text(columns: Mapping[str, str], shown: Iterable[str] | None = None) -> str:
    """Write what columns mean, for below their table.

    Parameters
    ----------
    columns : mapping of str to str
        Such as `UNIT_COLUMNS`.
    shown : iterable of str, optional
        The columns that stand in the table; all unless given.
    """
    names = list(columns) if shown is None else [name for name in shown if name in columns]
    return "Columns: " + "; ".join(f"{name}: {columns[name]}" for name in names) + "."


@dataclass(frozen=True)
class Metric:
    """One headline figure as text.

    Attributes
    ----------
    name, value : str
    significance : str
        The value against its null; empty where it has none.
    baseline : str
        The value of the prompt embedding.
    published, published_significance : str
        The card's.
    control : str or None
        The untrained control's; None where there is none to show.
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
    splits = {part.split_half.n_splits for part in (summary, published) if part}
    median = f"median, {splits.pop()} splits" if len(splits) == 1 else "median"
    ratios = [f"{published.thresholds[t].ratio:g}× null p99" for t in THRESHOLDS]
    columns = (
        ("|t| > 3", "|t| > 5", f"|d| > {published.large_effect.threshold} (large)", f"Split-half r ({median})",
         "Max |t|"),
        _values(summary),
        [""] * 5 if summary is None else (*map(_ratio, summary.thresholds.values()), "", _iqr(summary.split_half), ""),
        _values(summary and summary.text_baseline, ratios=True),
        _values(published),
        (*ratios, "", _iqr(published.split_half), ""),
        [None] * 5 if control is None else _values(control, ratios=True),
    )  # fmt: skip
    return [Metric(*row) for row in zip(*columns, strict=True)]


def _values(summary: Summary | Published | None, ratios: bool = False) -> list[str]:
    """Write a summary's five figures, the ratios to the null beside the counts if asked."""
    if summary is None:
        return [DASH] * 5
    parts = summary.thresholds.values()
    counts = [f"{count(p)}, {p.ratio:.1f}×" if ratios and p.ratio is not None else count(p) for p in parts]
    r = number(summary.split_half.median, ".3f", "not defined")
    return [*counts, count(summary.large_effect), r, number(summary.max_abs_t)]


def _ratio(part: ThresholdCount) -> str:
    return "null p99 is 0: no ratio" if part.ratio is None else f"{part.ratio:.1f}× null p99 ({part.null_p99:,})"


def _iqr(half: SplitHalf) -> str:
    return "" if half.median is None else f"[{half.q25:.2f}, {half.q75:.2f}] IQR"


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table in markdown, aligned for reading as text too; an empty cell becomes a dash."""
    cells = [[c.replace("|", "\\|") or DASH for c in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in cells]
    return "\n".join([lines[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *lines[1:]])


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a frame as JSON values; what does not exist is None."""
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return [{name: v.item() if isinstance(v, np.generic) else v for name, v in row.items()} for row in rows]


def frame_table(frame: pd.DataFrame, digits: int | None = None) -> str:
    """Write a frame in markdown, in two decimals or in significant digits; NaN is a dash."""
    form = f".{digits}g" if digits else ".2f"
    forms = {float: lambda value: number(value, form), int: "{:,}".format}
    rows = frame.itertuples(index=False)
    return markdown_table(list(frame.columns), [[forms.get(type(v), str)(v) for v in row] for row in rows])


def shown(frame: pd.DataFrame) -> list[str]:
    """Return the columns that have a value at all."""
    return [name for name in frame if len(frame) == 0 or frame[name].notna().any()]


def shown_table(frame: pd.DataFrame, digits: int | None = None) -> str:
    """Write a frame in markdown as `frame_table` does, without columns that have no value."""
    return frame_table(frame[shown(frame)], digits)


def unit_kinds_frame(summaries: Sequence[RunSummary]) -> pd.DataFrame:
    """List kinds of units.

    Returns
    -------
    DataFrame
        Columns as in `UNIT_KIND_COLUMNS`, a row for each summary.
    """
    rows = []
    for s in summaries:
        facts = s.inference
        over = [n for t in THRESHOLDS for n in (s.thresholds[t].count, s.thresholds[t].percent)]
        counts = (facts.n_fwer_05, facts.n_bh_05)
        first = [s.units, s.n_units, *over, facts.thresholds[THRESHOLDS[0]].p, s.large_effect.count]
        rows.append([*first, s.split_half.median, s.max_abs_t, *(DASH if n is None else n for n in counts)])
    return pd.DataFrame(rows, columns=list(UNIT_KIND_COLUMNS))


def top_units_frame(
    analysis: Analysis,
    n: int | None = 50,
    block: str | None = None,
    inference: Inference | None = None,
    sort: str = "t",
    directions: DirectionAnalysis | None = None,
) -> pd.DataFrame:
    """List the tested units with the largest |t|, or the first by another column, in one block or all.

    Parameters
    ----------
    analysis : Analysis
    n : int or None
        How many; None for all.
    block : str, optional
        All unless given.
    inference : Inference, optional
        For the columns that take longer.
    sort : str
        One of `SORTS`.
    directions : DirectionAnalysis, optional
        For the columns of `DIRECTION_COLUMNS`.

    Returns
    -------
    DataFrame
        Columns as in `UNIT_COLUMNS`: up to ``rms_percent``, which like ``percent`` is NaN for a unit that is always
        zero; with an `Inference` also the others, of which ``p_flips`` and ``p_flips_error`` stand only above 30 pairs,
        where ``p_exact`` is NaN.

    Raises
    ------
    UsageError
        There is no such column, or it has no values.
    """
    a, blocks = analysis, analysis.table.block[analysis.ranking]
    places = np.arange(len(blocks)) if block is None else np.flatnonzero(blocks == block)
    places = places[:n] if sort == "t" else places
    order, names = a.ranking[places], a.table.names
    mean = a.differences[:, order].mean(axis=0)
    size = a.magnitudes[:, :, order].mean(axis=(0, 1))
    frame = pd.DataFrame({
        "rank": places + 1,
        "unit": [names[i] for i in order],
        "block": blocks[places],
        "kind": a.table.kind[order],
        "t": a.t[order],
        "d_z": a.dz[order],
        "mean_difference": mean,
        "percent": 100 * mean / np.where(size > 0, size, np.nan),
        "rms_percent": a.rms_percent[order],
    })  # fmt: skip
    more = (name for name in UNIT_COLUMNS if inference and name in inference.columns and name not in frame)
    frame = frame.assign(**{name: inference.columns[name][order] for name in more})
    if directions:
        frame = frame.assign(**{name: values[order] for name, values in directions.columns.items()})
    return frame if sort == "t" else frame.iloc[_sorted(frame, order, sort)[:n]].reset_index(drop=True)


def unit_columns(run: Run) -> dict[str, str]:
    """Say what the columns of a run's units mean."""
    return {**UNIT_COLUMNS, **(DIRECTION_COLUMNS if run.directions else {})}


def _sorted(frame: pd.DataFrame, order: np.ndarray, sort: str) -> np.ndarray:
    """Return the places of a frame's rows by a column; equal ones stay by |t|."""
    if sort == "unit":
        return np.argsort(order, kind="stable")
    if sort not in SORTS or sort not in frame or frame[sort].isna().all():
        known = ", ".join(name for name in SORTS if name == "unit" or (name in frame and frame[name].notna().any()))
        hint = " Heads have directions (--units heads) where the run keeps them." if sort in DIRECTION_COLUMNS else ""
        raise UsageError(f"no unit has a value of {sort!r} here; sort by one of {known}.{hint}")
    values = frame[sort].to_numpy()
    return np.argsort(values if sort in SMALLEST_FIRST else -np.abs(values), kind="stable")  # NaN comes last


def categories_frame(run: Run, selection: Selection = CARD) -> pd.DataFrame:
    """Describe every category of pairs, and what it says of the run's top units.

    Returns
    -------
    DataFrame
        Columns ``category``, ``pairs``, ``median |t|`` (over units, of the category's pairs alone), ``r with others``
        (of its t with that of all other pairs) and, for each of the run's 5 top units by |t|, the category's t.
    """
    return _parts_frame("category", by_category(run, selection), run, selection)


def kinds_frame(run: Run, selection: Selection = CARD) -> pd.DataFrame:
    """Describe every kind of pairs as `categories_frame` does the categories; empty where the pairs have none."""
    return _parts_frame("kind", by_kind(run, selection), run, selection)


def _parts_frame(what: str, parts: list[CategoryPart], run: Run, selection: Selection) -> pd.DataFrame:
    a = run.analysis(selection)
    top = a.ranking[:_N_TOP].tolist()
    rows = [[part.name, part.n_pairs, part.median_abs_t, part.r_others, *part.t[top].tolist()] for part in parts]
    columns = [what, "pairs", "median |t|", "r with others", *(f"t of {a.table.names[u]}" for u in top)]
    return pd.DataFrame(rows, columns=columns)


def pairs_frame(parts: list[PairPart]) -> pd.DataFrame:
    """List the pairs of a run as `findings.pairs.by_pair` describes them.

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


def repeats_frame(run: Run, selection: Selection = CARD) -> pd.DataFrame:
    """List the repeated measures of a run as `findings.repeats.stability` describes them; empty where there was one.

    Returns
    -------
    DataFrame
        Columns ``measure``, per threshold the units over it, ``max |t|``, ``r with others`` and ``top, same sign``.
    """
    over = [f"|t| > {t:g}" for t in THRESHOLDS]
    columns = ["measure", *over, "max |t|", "r with others", "top, same sign"]
    rows = [[m.name, *m.over, m.max_abs_t, m.r_others, f"{m.same_sign}/{m.n_top}"] for m in stability(run, selection)]
    return pd.DataFrame(rows, columns=columns)
