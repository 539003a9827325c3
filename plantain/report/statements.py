"""What the slower statistics of a run say, in sentences. Knows nothing about where they are shown.

`careful_statements`   nulls, intervals, corrected p values, reliability, one gain or many, where the change sits
`unit_statements`, `corrected_statement`   one unit: its size, its p in words, its rank
`pair_statements`      what hangs on single pairs, and on how much their prompts differ
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from plantain.findings.pairs import PairPart, TokenRelation, against_tokens
from plantain.findings.published import CARD_SIZE, CONTRAST, same_question
from plantain.findings.unit import UnitProfile
from plantain.prompts.confounds import confounds_of_own_set
from plantain.prompts.sets import PromptSet
from plantain.runs.analysis import SplitHalf
from plantain.runs.inference import MAX_EXACT, Gain, InferenceFacts, Interval, Reliability
from plantain.runs.run import Headline, Run, RunSummary
from plantain.runs.units import scope_changes

_KINDS = {"attention": "attention", "mlp": "MLP"}

ENOUGH = 5  # units; where fewer are expected, neither interval of the count means anything

NOISY_P99 = 20  # below it the order statistics of the null jump by more than a tenth


def careful_statements(run: Run, units: str, scope: str) -> list[str]:
    """Write what a careful reader has to know beside the card's figures, one statement a line.

    Parameters
    ----------
    run : Run
    units, scope : str
        As for `units.magnitudes`.

    Returns
    -------
    list of str
    """
    summary = run.summary(units, scope)
    facts, n = summary.inference, summary.n_pairs
    lines = [_count_line(threshold, summary) for threshold in summary.thresholds]
    lines.append(
        f"Corrected for {summary.n_units:,} units: {facts.n_fwer_05:,} have a family-wise p ≤ .05 (max-|t|, "
        f"{facts.n_flips:,} sign flips), {_discoveries(facts)} (Sign flips assume differences symmetric around "
        "zero: "
        "with skewed ones these p are too small.)"
    )
    lines.append(f"At n = {n}, |d_z| > 0.8 and |t| > {0.8 * np.sqrt(n):.3g} are one statement.")
    lines.append(_reliability_line(facts.reliability))
    lines += _gain_lines(facts.gain, summary)
    lines += _kind_lines(run, units, scope)
    lines.append(_where_line(run, units))
    if summary.text_baseline:
        lines.append(_baseline_line(summary))
    return lines


def pair_statements(run: Run, parts: list[PairPart], units: str, scope: str) -> list[str]:
    """Say what hangs on single pairs, and on where and how much their prompts differ, one statement a line.

    Parameters
    ----------
    run : Run
    parts : list of PairPart
        From `breakdown.by_pair`, for the same choice.
    units, scope : str
        As for `units.magnitudes`.

    Returns
    -------
    list of str
    """
    relations = against_tokens(run, parts, units, scope)
    return [_influence_line(parts), *(_relation_line(relation) for relation in relations)]


def unit_statements(run: Run, unit: UnitProfile) -> list[str]:
    """Say what one unit shows, without what takes long, one statement a line."""
    if unit.rank is None:
        return [f"All differences are {unit.mean:+.4g}: without any spread a t does not exist."]
    low, high = unit.interval
    side = run.info.positive if unit.mean > 0 else run.info.negative
    larger = f"larger under “{side}”" if unit.mean else "no difference"
    share = "" if np.isnan(unit.percent) else f", {unit.percent:+.2f}% of its magnitude"
    lines = [
        f"t = {unit.t:+.2f}, d_z = {unit.dz:+.2f}; rank {unit.rank:,} of {unit.n_units:,} by |t|, scope {unit.scope}.",
        f"Mean difference {unit.mean:+.4g} (95% interval by Student's t: {low:+.4g} to {high:+.4g}){share}: {larger}.",
    ]
    if not np.isnan(unit.rms_percent):
        lines.append(
            f"Whichever way they point, the differences have a size (RMS) of {unit.rms_percent:.2f}% of the magnitude; "
            "t grows with how alike they are as well."
        )
    if not np.isnan(unit.p):
        lines.append(
            f"Were the signs of the {len(unit.differences)} differences a coin's, a |t| at least this large would "
            f"come in {_share(unit.p)} of cases (p = {unit.p:.2g}, exact, for this unit alone)."
        )
    return lines


def corrected_statement(run: Run, unit: UnitProfile) -> str:
    """Say what is left of a unit's p when it is counted how many units were looked at."""
    found = run.inference(unit.units, unit.scope)
    family, q = (float(found.columns[name][unit.index]) for name in ("p_fwer", "q_bh"))
    if np.isnan(family):
        return "No corrected p: this unit has no t."
    line = (
        f"{unit.name}, scope {unit.scope}, beside all {unit.n_units:,} units of its kind: under "
        f"{found.facts.n_flips:,} sign flips the largest |t| of them all "
        f"is at least as large as this one's in {_share(family)} of cases (family-wise p = {family:.2g})"
    )
    line += (
        "."
        if np.isnan(q)
        else f"; false-discovery q = {q:.2g} (Benjamini-Hochberg, not guaranteed under two-sided dependence)."
    )
    return (
        f"{line} Both are for this one choice of units and scope. Whoever looks at a unit because it is large sees too "
        "large a d; its interval does not cover then."
    )


def _share(p: float) -> str:
    """Write a probability for reading: 3 in 1,000, or 42%."""
    return f"{100 * p:.0f}%" if p >= 0.1 else f"{100 * p:.2g}%" if p >= 1e-4 else "fewer than 1 in 10,000"


def _discoveries(facts: InferenceFacts) -> str:
    if facts.n_bh_05 is None:
        return f"and q values do not exist: exact p are computed up to {MAX_EXACT} pairs."
    return (
        f"{facts.n_bh_05:,} a Benjamini-Hochberg q ≤ .05 on the exact p, {facts.n_by_05:,} by "
        "Benjamini-Yekutieli. "
        "BH is not guaranteed under two-sided dependence."
    )


def _count_line(threshold: int, summary: RunSummary) -> str:
    mine, facts = summary.thresholds[threshold], summary.inference.thresholds[threshold]
    low, high = facts.null_p99_interval
    line = (
        f"|t| > {threshold}, scope {summary.scope}: {mine.count:,} of {summary.n_units:,} units, "
        f"p = {facts.p:.3g} against the counts "
        f"under sign flips: {facts.null_median:,.0f} in the median, {mine.null_p99:,} "
        f"[{_end(low)}, {_end(high)}] at the 99th percentile, {facts.null_max:,} at most."
    )
    if mine.count >= ENOUGH:
        line += (
            f" Expected in a new sample of {summary.n_pairs} pairs: {_range(facts.count_jackknife)} by the "
            f"jackknife (covered 89 to 100% in simulations), {_range(facts.count_interval)} by the wild bootstrap "
            "(87 to 99% in simulations of 25 pairs with effects spread over all units; far less for a few large or "
            "many "
            "equal ones)."
        )
    if mine.count and mine.ratio is not None and mine.null_p99 < NOISY_P99:
        least, most = (_over(mine.count, end) for end in (high, low))
        line += f" The ratio to a percentile this small is noise: over its own interval it goes from {least} to {most}."
    return line


def _over(count: int, end: float | None) -> str:
    """Write the ratio to an end of the percentile's interval; None is an end that is open above."""
    return "0×" if end is None else f"{count / end:.2g}×" if end else "no limit"


def _range(ends: Interval) -> str:
    return f"{_end(ends[0])} to {_end(ends[1])}"


def _end(value: float | None) -> str:
    return "no limit" if value is None else f"{value:,.0f}"


def _reliability_line(facts: Reliability) -> str:
    whole = facts.spearman_brown
    if whole is None or facts.null_median is None:
        return "Split-half reliability does not exist here."
    stepped = (
        f"Split-half r stepped up to all pairs (Spearman-Brown, approximate for uneven halves): {whole:.3f}."
        if whole > 0
        else "The halves do not agree: there is no split-half reliability to step up to all pairs."
    )
    return (
        f"{stepped} Sign-flipped data have a median r of {facts.null_median:.3f}, in 95% of {facts.n_flips} "
        "flips "
        f"at most {facts.null_p95:.3f}.{_stratified(facts.stratified)} The IQR is over splits of the same pairs: "
        "no confidence interval. Reliable is not valid: a constant difference in wording is reliable too."
    )


def _stratified(half: SplitHalf) -> str:
    if half.median is None:
        return ""
    return f" With each category split as evenly as possible: median r {half.median:.3f}."


def _gain_lines(facts: Gain | None, summary: RunSummary) -> list[str]:
    if facts is None:
        return ["One gain or many axes: no logarithm exists for a magnitude of zero."]
    if facts.first_share is None:
        return ["One gain or many axes: all differences are zero."]
    left = ", ".join(f"{count:,} over {name}" for name, count in facts.counts_without_block_mean.items())
    return [
        f"One gain or many axes? Of the log-magnitude differences' sum of squares {100 * facts.gain_share:.0f}% is "
        f"one change common to all units, {100 * facts.first_share:.0f}% the first principal component; the "
        f"participation ratio is {facts.participation:.1f} of at most {summary.n_pairs} directions. These "
        "three do "
        "not change when the sides of a pair are swapped: they do not say that pairs agree. What the pairs have in "
        "common, "
        f"their mean, holds {100 * facts.mean_share:.0f}% (about {100 / summary.n_pairs:.0f}% in noise). "
        f"Without each block's mean: {left}."
    ]


def _kind_lines(run: Run, units: str, scope: str) -> list[str]:
    """Say how many of the card's units over 3 are attention at all."""
    if units != "card":
        return []
    a = run.analysis(units, scope)
    over = np.nan_to_num(np.abs(a.t)) > 3
    counts = [(kind, int(np.count_nonzero(over & (a.table.kind == kind)))) for kind in ("attention", "mlp")]
    totals = [int(np.count_nonzero(a.tested & (a.table.kind == kind))) for kind in ("attention", "mlp")]
    parts = (f"{c:,} of {t:,} {_KINDS[kind]} slices" for (kind, c), t in zip(counts, totals, strict=True))
    return [f"Over |t| > 3 are {' and '.join(parts)}."]


def _influence_line(parts: list[PairPart]) -> str:
    """Say how much hangs on single pairs."""
    low, high = (_extreme(parts, pick) for pick in (min, max))
    return (
        f"With one pair left out, the units over |t| > 3 are {low} to {high}. Fewer pairs make |t| smaller on the "
        "whole, "
        "but larger where the pair that is left out was unlike the rest."
    )


def _extreme(parts: list[PairPart], pick: Callable) -> str:
    """Write the smallest or largest count, and the pair without which it comes about where it is one pair."""
    count = pick(part.without[0] for part in parts)
    names = [part.id for part in parts if part.without[0] == count]
    return f"{count:,} (without {names[0]})" if len(names) == 1 else f"{count:,}"


def _relation_line(relation: TokenRelation) -> str:
    """Say whether pairs and units go with where, or at how many tokens, the prompts differ."""
    if relation.halves is None:
        return f"Against the {relation.what}: it is the same in all pairs."
    (n_low, low), (n_high, high) = relation.halves
    return (
        f"Against the {relation.what}: a pair's size has a rank correlation of {_rho(relation.rho_size)} with it, "
        f"its score of {_rho(relation.rho_score)}; the units' median |t| is {_t(low)} from the {n_low} lowest pairs "
        f"alone and {_t(high)} from the {n_high} highest. (Description, no test.)"
    )


def _t(value: float) -> str:
    return "not defined" if np.isnan(value) else f"{value:.2f}"


def _rho(value: float) -> str:
    return "none" if np.isnan(value) else f"{value:+.2f}"


def _baseline_line(summary: RunSummary) -> str:
    """Set the prompt embedding beside the transformer's units."""
    text = summary.text_baseline
    theirs, mine = (part.thresholds[3].percent for part in (text, summary))
    return (
        f"Text baseline: of the prompt embedding, the transformer's text input, {theirs:.1f}% of {text.n_units:,} "
        f"slices are over |t| > 3 (scope {text.scope}), here {mine:.1f}% of the units. What is over it there "
        "differs "
        "before the transformer has seen anything; shares of units of other widths do not compare, and side by side is "
        "no reading of cause."
    )


def _where_line(run: Run, units: str) -> str:
    """Say where the change sits: sums of squares add up over scopes, RMS values do not."""
    changes = scope_changes(run.sums, run.info.layout, units)
    parts = ", ".join(f"{scope} {changes[scope]:+.3g}%" for scope in run.sums.present)
    return (
        f"Mean change of the sum of squares, in percent of the whole: {parts}; together {sum(changes.values()):+.3g}%."
    )


FEW_PAIRS = 10  # 2 of the 2^n sign patterns are the observed one: below 8 pairs they alone reach the 99th percentile


def notes(run: Run, summary: Headline) -> list[str]:
    """Say what a reader of the figures has to know before comparing them with the card's."""
    found = _comparison_notes(run, summary)
    if run.info.is_random:
        found.append("These weights are random. The numbers say nothing about FLUX.2 Klein.")
    unequal = run.unequal_pairs()
    if unequal:
        found.append(
            f"{len(unequal)} of {len(run.pairs)} pairs have unequal token counts under this model's tokenizer: "
            "length is mixed with the contrast there."
        )
    degenerate = summary.degenerate_units
    if degenerate:
        shown = ", ".join(degenerate[:5]) + (" …" if len(degenerate) > 5 else "")
        found.append(f"{len(degenerate)} units left out: their differences are all the same and not zero ({shown}).")
    return found


def _comparison_notes(run: Run, summary: Headline) -> list[str]:
    found, size, n_pairs = [], run.info.size, len(run.pairs)
    if not same_question(run):
        found.append(
            f"The card published figures of {CONTRAST}. This run's prompts ask something else, “{run.info.positive}” "
            f"against “{run.info.negative}”: do not compare them with the card's."
        )
    elif (summary.units, summary.scope) != ("card", "all"):
        found.append(
            "The published figures count the card's 16,320 slices over all tokens: do not compare other choices."
        )
    if not run.info.is_plain:
        found.append(
            f"Unlike the card's, the passes of this run were made with {run.info.unusual}: do not compare its figures "
            "with the card's."
        )
    if size != CARD_SIZE:
        text = int(run.sums.tokens[0, 0, :3].sum())
        found.append(
            f"At {size} px there are {run.n_image_tokens:,} image tokens beside {text} of text. The card does not "
            f"state its size; at the pipeline's default, {CARD_SIZE} px, there are 4,096, so “all tokens” weighs "
            "otherwise."
        )
    if n_pairs < FEW_PAIRS:
        found.append(
            f"{n_pairs} pairs are few: there are {2**n_pairs:,} sign patterns, so that no p can fall below "
            f"{2 / 2**n_pairs:.2g}, whatever is true; and below {FEW_PAIRS} pairs the flips repeat the observed "
            "pattern too often for the null's 99th percentile to mean much."
        )
    return found


def prompt_warnings(run: Run) -> list[str]:
    """Say what else than their meaning tells the two sides of a run's prompts apart, in word forms alone.

    Returns
    -------
    list of str
        From `audit.confounds_of_own_set`: none for the project's own sets. Tokens are in `notes`.
    """
    i = run.info
    pairs = tuple(record.pair for record in run.pairs)
    return confounds_of_own_set(PromptSet(i.prompt_set, i.title, i.positive, i.negative, pairs))
