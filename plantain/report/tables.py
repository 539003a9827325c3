"""A run as tables: the headline metrics, data frames, and markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from plantain.findings.pairs import CategoryPart, PairPart, by_category, by_kind
from plantain.findings.published import Published
from plantain.findings.repeats import stability
from plantain.report.numbers import DASH, count, number
from plantain.runs.analysis import THRESHOLDS, Analysis, SplitHalf, Summary, ThresholdCount
from plantain.runs.inference import Inference
from plantain.runs.run import Headline, Run
from plantain.runs.units import CARD, Selection

CHOSEN_NOTE = "They were chosen for their size: their d is too large, and its interval does not cover."

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


def frame_table(frame: pd.DataFrame, digits: int | None = None) -> str:
    """Write a frame in markdown, in two decimals or in significant digits; NaN is a dash."""
    form = f".{digits}g" if digits else ".2f"
    forms = {float: lambda value: number(value, form), int: "{:,}".format}
    rows = frame.itertuples(index=False)
    return markdown_table(list(frame.columns), [[forms.get(type(v), str)(v) for v in row] for row in rows])


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
    a, blocks = analysis, analysis.table.block[analysis.ranking]
    places = (np.arange(len(blocks)) if block is None else np.flatnonzero(blocks == block))[:n]
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
        "percent_of_magnitude": 100 * mean / np.where(size > 0, size, np.nan),
        "rms_percent": a.rms_percent[order],
    })  # fmt: skip
    more = ("g", "d_low", "d_high", "p_exact", "p_fwer", "q_bh", "q_by") if inference else ()
    return frame.assign(**{name: inference.columns[name][order] for name in more})


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
