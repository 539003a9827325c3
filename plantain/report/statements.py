"""What a run shows and what limits it, in sentences that carry their kind.

A page, a report or a model card picks sentences by kind, never by their words, so that every sentence can be reworded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from enum import Enum
from itertools import starmap
from typing import NamedTuple

import numpy as np

from plantain import stats
from plantain.findings.across_runs.comparison import Comparison
from plantain.findings.pairs import Categories, PairPart, TokenRelation, against_tokens, between_categories
from plantain.findings.published import CARD_PAIRS, CARD_SIZE, same_question
from plantain.findings.unit import UnitProfile
from plantain.models.load import KLEIN
from plantain.prompts.confounds import confounds_of_own_set
from plantain.prompts.overlap import overlap
from plantain.prompts.sets import PromptSet
from plantain.report.labels import CONTRAST, UNIT_WORDS, run_sides, sides_words, unlike_card
from plantain.report.numbers import LEVEL, counted, number, share, span
from plantain.runs.analysis import Analysis
from plantain.runs.inference import MAX_EXACT, N_FLIPS_P, Gain, Reliability
from plantain.runs.info import PRACTICE, RESERVOIR
from plantain.runs.run import Headline, Run, RunSummary
from plantain.runs.units import Selection, scope_changes

ENOUGH = 5  # units; where fewer are expected, neither interval of the count means anything

NOISY_P99 = 20  # below it the order statistics of the null jump by more than a tenth

COVERED = range(20, 31)  # pairs; the coverage of intervals was simulated at 25

FEW_PAIRS = 10  # 2 of the 2^n sign patterns are the observed one: below 8 pairs they alone reach the 99th percentile


Kind = Enum(
    "Kind",
    "COUNT CORRECTED EFFECT POWER RELIABILITY GAIN PARTS WHERE BASELINE DEPENDENCE "  # of a run's statistics
    "INFLUENCE RELATION UNIT DIRECTION "  # of its pairs, of one unit
    "COMPARABLE FEW RANDOM PRACTICE LENGTHS DEGENERATE CONFOUND "  # of what limits a reading
    "AGREEMENT SHARED "  # of two runs
    "SCORE RANK WEIGHTS "  # of one more pair
    "FINDING RIVALS REPLICATION UNIQUE",  # of an atlas
)
"""What a statement is about."""


class Statement(NamedTuple):
    """One sentence or a few that belong together, and what they are about."""

    kind: Kind
    text: str


# --- a run's statistics ------------------------------------------------------------------------------------


def careful_statements(run: Run, selection: Selection) -> list[Statement]:
    """Write what limits the headline figures: nulls, intervals, corrections, reliability."""
    summary = run.summary(selection)
    facts, n = summary.inference, summary.n_pairs
    found = [Statement(Kind.COUNT, _count(threshold, summary)) for threshold in summary.thresholds]
    found += [
        Statement(Kind.CORRECTED, f"{corrected_count(summary)} {_CORRECTED_LIMITS}"),
        Statement(Kind.EFFECT, f"At n = {n}, |d_z| > 0.8 and |t| > {0.8 * np.sqrt(n):.3g} are the same criterion."),
        Statement(Kind.POWER, power(run.analysis(selection))),
        Statement(Kind.RELIABILITY, _reliability(facts.reliability)),
        Statement(Kind.GAIN, _gain(facts.gain, summary)),
    ]
    if selection.units == "card":
        found.append(Statement(Kind.PARTS, _parts(run, selection.scope)))
    found.append(Statement(Kind.WHERE, _where(run, selection.units)))
    found += [Statement(Kind.DEPENDENCE, text) for text in _dependence(between_categories(run, selection))]
    if summary.text_baseline:
        found.append(Statement(Kind.BASELINE, _baseline(summary)))
    return found


def corrected_count(summary: RunSummary) -> str:
    """Write how many units are left after correction for all of them."""
    facts = summary.inference
    counts = [f"{facts.n_fwer_05:,} have a family-wise p ≤ .05 (max-|t|, {facts.n_flips:,} sign flips)"]
    if facts.n_bh_05 is not None:
        p = "the exact p" if summary.n_pairs <= MAX_EXACT else f"the p of up to {N_FLIPS_P:,} drawn sign flips"
        counts.append(f"{facts.n_bh_05:,} a Benjamini-Hochberg q ≤ .05 on {p}")
        counts.append(f"{facts.n_by_05:,} by Benjamini-Yekutieli")
    return f"Corrected for {summary.n_units:,} units: {', '.join(counts)}.{_least_q(summary)}"


def _least_q(summary: RunSummary) -> str:
    """Say how many units a drawn p has to single out at once, since none falls below one in all flips."""
    m, least = summary.n_units, 1 / (N_FLIPS_P + 1)
    bh, by = (math.ceil(least * m * factor / LEVEL - 1e-9) for factor in (1, sum(1 / i for i in range(1, m + 1))))
    if summary.n_pairs <= MAX_EXACT or by <= 1:
        return ""
    return (
        f" No drawn p is below {least:.2g}, so that a q ≤ .05 needs at least {counted(bh, 'unit')} with so small a p, "
        f"by Benjamini-Yekutieli {by:,}. For a family-wise p ≤ .05 one unit is enough."
    )


def power(analysis: Analysis) -> str:
    """Write which effect of one unit this number of pairs finds: what a null result excludes."""
    n, units = len(analysis.differences), int(analysis.tested.sum())
    largest = analysis.null.max_abs_t
    critical = float(stats.quantile_above(largest, 0.95)) if len(largest) else 0.0
    if not 0 < critical < np.inf:
        return "No unit moves, so that no effect can be found."
    return (
        f"{n} pairs find one unit of {units:,} with 80% power at a family-wise .05 (|t| > {critical:.2f}) where its "
        f"|d_z| is at least {stats.detectable_effect(n, critical):.2f}: a null result excludes no smaller effect."
    )


_CORRECTED_LIMITS = (
    "BH is not guaranteed under two-sided dependence. Sign flips assume differences symmetric around zero: with skewed "
    "ones these p are too small."
)


def _count(threshold: int, summary: RunSummary) -> str:
    mine, facts = summary.thresholds[threshold], summary.inference.thresholds[threshold]
    low, high = (number(end, ",.0f", "no limit") for end in facts.null_p99_interval)
    text = (
        f"|t| > {threshold}, scope {summary.scope}: {mine.count:,} of {summary.n_units:,} units, "
        f"p = {facts.p:.3g} against the counts under sign flips: {facts.null_median:,.0f} in the median, "
        f"{mine.null_p99:,} [{low}, {high}] at the 99th percentile, {facts.null_max:,} at most."
    )
    if mine.count >= ENOUGH and summary.n_pairs in COVERED:
        text += (
            f" Expected in a new sample of {summary.n_pairs} pairs: {span(facts.count_jackknife)} by the jackknife "
            "(coverage in simulations of 25 pairs: 89 to 100%)."
        )
    if mine.count and mine.ratio is not None and mine.null_p99 < NOISY_P99:
        text += " The ratio to so small a percentile, whose interval stands in brackets, is noise."
    return text


def _reliability(facts: Reliability) -> str:
    whole, half = facts.spearman_brown, facts.stratified.median
    if whole is None or facts.null_median is None:
        return "Split-half reliability does not exist here."
    stepped = (
        f"Split-half r stepped up to all pairs (Spearman-Brown, approximate for uneven halves): {whole:.3f}."
        if whole > 0
        else "Beyond a change that all units share, the halves do not agree: there is no split-half reliability to "
        "step up to all pairs."
    )
    shared = number(facts.uncentred.median, ".3f", "not defined")
    stepped += f" With what all units share counted in, the halves' maps of t agree by {shared} (uncentred, median)."
    even = "" if half is None else f" With each category split as evenly as possible: median r {half:.3f}."
    return (
        f"{stepped} Sign-flipped data have a median r of {facts.null_median:.3f}, in 95% of {facts.n_flips} "
        f"flips at most {facts.null_p95:.3f}.{even} The IQR is over splits of the same pairs and is no confidence "
        "interval. Reliable is not valid: a constant difference in wording is reliable too."
    )


def _gain(facts: Gain | None, summary: RunSummary) -> str:
    if facts is None:
        return "One gain or many axes: no logarithm exists for a magnitude of zero."
    if facts.first_share is None:
        return "One gain or many axes: all differences are zero."
    left = ", ".join(f"{count:,} over {name}" for name, count in facts.counts_without_block_mean.items())
    return (
        f"One gain or many axes? Of the log-magnitude differences' sum of squares, {100 * facts.gain_share:.0f}% is "
        f"one change common to all units and {100 * facts.first_share:.0f}% the first principal component; the "
        f"participation ratio is {facts.participation:.1f} of at most {summary.n_pairs}. (These three ignore "
        f"which side is which: they do not say that pairs agree.) The pairs' mean holds "
        f"{100 * facts.mean_share:.0f}%, about {100 / summary.n_pairs:.0f}% in noise. Without each block's mean: "
        f"{left}."
    )


def _parts(run: Run, scope: str) -> str:
    """Count attention and MLP slices over 3 apart."""
    a = run.analysis(Selection("card", scope))
    over = np.nan_to_num(np.abs(a.t)) > 3
    kinds = {"attention": a.table.kind == "attention", "MLP": a.table.kind == "mlp"}
    parts = (f"{(over & of).sum():,} of {(a.tested & of).sum():,} {words} slices" for words, of in kinds.items())
    return f"Over |t| > 3 are {' and '.join(parts)}."


def _where(run: Run, units: str) -> str:
    """Say in which tokens the change sits: sums of squares add up over scopes, RMS values do not."""
    changes = scope_changes(run.sums, run.info.layout, units)
    if np.isnan(sum(changes.values())):
        return "Mean change of the sum of squares: none, for every magnitude is zero."
    parts = ", ".join(f"{scope} {changes[scope]:+.3g}%" for scope in run.sums.present)
    return (
        f"Mean change of the sum of squares, in percent of the whole: {parts}; together {sum(changes.values()):+.3g}%."
    )


def _dependence(found: Categories | None) -> Iterator[str]:
    """Say whether pairs of one category agree more than others: sign flips need pairs that do not."""
    if found is None:
        return
    facts = found.dependence
    means = f"mean product of standardised differences {facts.within:+.3f} and {facts.between:+.3f}, p = {facts.p:.2g}"
    if facts.p > LEVEL:
        text = f"Pairs of one category agree no more than pairs of different ones ({means}, permuted labels)."
    else:
        text = (
            f"PAIRS DEPEND ON THEIR CATEGORY: those of one agree more than those of different ones ({means}, permuted "
            "labels). The p values above take pairs as independent, so they are too small."
        )
    yield (
        f"{text} By a rule of the other categories {found.told} of {found.n_pairs} pairs are told right. Whether any "
        f"of this holds for other categories cannot be tested with {found.n} (the smallest two-sided p of flips of "
        f"whole categories is 1/{2 ** (found.n - 1)})."
    )


def _baseline(summary: RunSummary) -> str:
    text = summary.text_baseline
    theirs, mine = (part.thresholds[3].percent for part in (text, summary))
    return (
        f"Text baseline: of the prompt embedding, the transformer's text input, {theirs:.1f}% of {text.n_units:,} "
        f"slices are over |t| > 3 (scope {text.scope}), here {mine:.1f}% of the units. What exceeds it there "
        "differs before the transformer sees anything. Units of other widths do not compare, nor does this show cause."
    )


# --- its pairs ---------------------------------------------------------------------------------------------


def pair_statements(run: Run, parts: list[PairPart], selection: Selection) -> list[Statement]:
    """Write the influence of single pairs, and whether it goes with where or how much their prompts differ.

    Parameters
    ----------
    run : Run
    parts : list of PairPart
        From `findings.pairs.by_pair`, for the same units and scope.
    selection : Selection
    """
    low, high = (_extreme(parts, pick) for pick in (min, max))
    influence = (
        f"With one pair left out, the units over |t| > 3 are {low} to {high}. Fewer pairs make |t| smaller on the "
        "whole, but larger where the pair that is left out is unlike the rest."
    )
    relations = [Statement(Kind.RELATION, _relation(found)) for found in against_tokens(run, parts, selection)]
    return [Statement(Kind.INFLUENCE, influence), *relations]


def _extreme(parts: list[PairPart], pick: Callable) -> str:
    """Write the smallest or largest count, and the pair whose omission gives it where it is one pair."""
    count = pick(part.without[0] for part in parts)
    names = [part.id for part in parts if part.without[0] == count]
    return f"{count:,} (without {names[0]})" if len(names) == 1 else f"{count:,}"


def _relation(relation: TokenRelation) -> str:
    if relation.halves is None:
        return f"Against the {relation.what}: it is the same in all pairs."
    (n_low, low), (n_high, high) = relation.halves
    size, score = (number(rho, "+.2f", "none") for rho in (relation.rho_size, relation.rho_score))
    t_low, t_high = (number(t, missing="not defined") for t in (low, high))
    return (
        f"Against the {relation.what}: a pair's size has a rank correlation of {size} with it, its score of {score}; "
        f"the units' median |t| is {t_low} from the {n_low} lowest pairs alone and {t_high} from the {n_high} highest. "
        "(Description, no test.)"
    )


# --- one unit ----------------------------------------------------------------------------------------------


def unit_statements(run: Run, unit: UnitProfile) -> list[Statement]:
    """Write what one unit shows, without the corrected p, which takes long."""
    direction = direction_statement(unit)
    return [*(Statement(Kind.UNIT, text) for text in _unit(run, unit)), *([direction] if direction else [])]


def _unit(run: Run, unit: UnitProfile) -> Iterator[str]:
    if unit.rank is None:
        yield f"All differences are {unit.mean:+.4g}: without spread there is no t."
        return
    low, high = unit.interval
    side = run_sides(run)[0 if unit.mean > 0 else 1]
    larger = f"larger under “{side}”" if unit.mean else "no difference"
    part = "" if np.isnan(unit.percent) else f", {unit.percent:+.2f}% of its magnitude"
    yield f"t = {unit.t:+.2f}, d_z = {unit.dz:+.2f}; rank {unit.rank:,} of {unit.n_units:,} by |t|, scope {unit.scope}."
    yield f"Mean difference {unit.mean:+.4g} (95% interval by Student's t: {low:+.4g} to {high:+.4g}){part}: {larger}."
    if not np.isnan(unit.rms_percent):
        yield (
            f"Whatever their sign, the differences have a size (RMS) of {unit.rms_percent:.2f}% of the magnitude; t "
            "also grows with how alike they are."
        )
    if not np.isnan(unit.p):
        drawn = f" ± {unit.p_error:.1g}, of up to {N_FLIPS_P:,} drawn sign flips" if unit.p_error else ", exact"
        yield (
            f"If the signs of the {len(unit.differences)} differences were random, a |t| at least this large would "
            f"occur in {share(unit.p)} of cases (p = {unit.p:.2g}{drawn}, for this unit alone)."
        )


def direction_statement(unit: UnitProfile) -> Statement | None:
    """Write what the directions of one unit say; None where the run keeps none of them."""
    found = unit.direction
    if found is None:
        return None
    text = (
        f"By its direction alone {found.told} of {found.n_pairs} pairs are told right, each by all others; the "
        f"mean cosine of two pairs' directions is {found.agreement:+.2f} (p = {found.p:.2g} for this unit alone, "
        f"{found.p_fwer:.2g} family-wise), scope {unit.scope}."
    )
    return Statement(Kind.DIRECTION, text)


def corrected_statement(run: Run, unit: UnitProfile) -> Statement:
    """Write what is left of a unit's p after correction for all units of the choice."""
    found = run.inference(Selection(unit.units, unit.scope))
    family, q = (float(found.columns[name][unit.index]) for name in ("p_fwer", "q_bh"))
    if np.isnan(family):
        return Statement(Kind.CORRECTED, "No corrected p: this unit has no t.")
    limits = "not guaranteed under two-sided dependence"
    discovery = "" if np.isnan(q) else f"; Benjamini-Hochberg q = {q:.2g}, {limits}"
    text = (
        f"{unit.name}, scope {unit.scope}, among all {unit.n_units:,} units of its kind: under "
        f"{found.facts.n_flips:,} sign flips the largest |t| of all units is at least this large in {share(family)} "
        f"of cases (family-wise p = {family:.2g}){discovery}. This holds for one choice of units and scope. A unit "
        "that was chosen because it is large has too large a d, and an interval that misses the truth too often."
    )
    return Statement(Kind.CORRECTED, text)


# --- what limits a reading ---------------------------------------------------------------------------------


def notes(run: Run, summary: Headline) -> list[Statement]:
    """Write what a reader has to know before comparing the figures with the published card's."""
    return list(_notes(run, summary))


def _notes(run: Run, summary: Headline) -> Iterator[Statement]:
    i, n, unequal, degenerate = run.info, len(run.pairs), run.unequal_pairs(), summary.degenerate_units
    if not same_question(run):
        yield Statement(
            Kind.COMPARABLE,
            f"The published figures are of {CONTRAST}, this run of {i.positive} against {i.negative}: do not compare.",
        )
    elif (summary.units, summary.scope) != ("card", "all"):
        yield Statement(
            Kind.COMPARABLE,
            "The published figures count 16,320 slices over all tokens: do not compare other choices with them.",
        )
    if i.weights == "pretrained" and i.model != KLEIN:
        yield Statement(Kind.COMPARABLE, f"The published figures are of {KLEIN}, this run is of {i.model}.")
    if i.changes:
        yield Statement(Kind.COMPARABLE, f"The model was changed before this run: {'; '.join(i.changes)}.")
    if not i.is_plain:
        yield Statement(
            Kind.COMPARABLE,
            f"The passes of this run were made with {unlike_card(i)}: do not compare its figures with the card's.",
        )
    if n != CARD_PAIRS:
        yield Statement(
            Kind.COMPARABLE,
            f"The published counts are of {CARD_PAIRS} pairs, this run has {n}: counts over |t| grow with the number "
            "of pairs at one effect, so they do not stand beside it.",
        )
    if i.size != CARD_SIZE:
        text = int(run.sums.tokens[0, 0, :3].sum())
        yield Statement(
            Kind.COMPARABLE,
            f"At {i.size} px there are {run.n_image_tokens:,} image tokens beside {text} of text. The published card "
            f"does not state its size; at the pipeline's default, {CARD_SIZE} px, there are 4,096, so “all tokens” "
            "weighs them differently.",
        )
    if n < FEW_PAIRS:
        yield Statement(
            Kind.FEW,
            f"{n} pairs are few: with {2**n:,} sign patterns no p can fall below {2 / 2**n:.2g}, and flips repeat the "
            f"observed pattern too often for the null's 99th percentile to mean much below {FEW_PAIRS} pairs.",
        )
    if i.is_random:
        told = "These weights are random. The numbers say nothing about FLUX.2 Klein."
        yield Statement(Kind.RANDOM, RESERVOIR if i.weights == "reservoir" else told)
    if i.weights == "practice":
        yield Statement(Kind.PRACTICE, PRACTICE)
    if unequal:
        yield Statement(
            Kind.LENGTHS,
            f"{len(unequal)} of {n} pairs have unequal token counts under this tokenizer: their length differs too.",
        )
    if degenerate:
        shown = ", ".join(degenerate[:5]) + (" …" if len(degenerate) > 5 else "")
        yield Statement(
            Kind.DEGENERATE,
            f"{len(degenerate)} units left out: their differences are all the same and not zero ({shown}).",
        )


def prompt_warnings(run: Run) -> list[Statement]:
    """Write what besides meaning separates the two sides of a run's prompts; nothing for the project's own sets.

    Word forms alone: `notes` has the tokens.
    """
    i = run.info
    prompt_set = PromptSet(i.prompt_set, i.title, i.positive, i.negative, tuple(record.pair for record in run.pairs))
    return [Statement(Kind.CONFOUND, text) for text in confounds_of_own_set(prompt_set)]


# --- two runs ----------------------------------------------------------------------------------------------


def comparison_statements(found: Comparison, a: Run, b: Run, units: str) -> list[Statement]:
    """Write how alike two runs are; nothing where they are one run."""
    return [] if a is b else list(_compared(found, a, b, units))


def _compared(found: Comparison, a: Run, b: Run, units: str) -> Iterator[Statement]:
    r, rho = (number(value, ".3f", "not defined") for value in (found.pearson, found.spearman))
    yield Statement(
        Kind.AGREEMENT,
        f"Correlation of t over {found.n_units:,} units: r = {r}, of ranks {rho}. No p: units depend on one another, "
        "and their number does not say how sure this is.",
    )
    if found.n_top:
        names = ", ".join(found.shared[:8]) + (" …" if len(found.shared) > 8 else "")
        yield Statement(
            Kind.AGREEMENT,
            f"Of the {found.n_top} {UNIT_WORDS[units]} with the largest |t| in either run, {len(found.shared)} are in "
            f"both{f' ({names})' if names else ''}, {found.same_sign} of them with the same sign. Two tops drawn at "
            f"random would share {found.expected:.2g} on average, and at least as many with probability {found.p:.2g} "
            "(hypergeometric, as if units were independent: a reference, no test).",
        )
    sides = [(run.info.positive, run.info.negative) for run in (a, b)]
    twins = overlap(*(tuple(record.pair for record in run.pairs) for run in (a, b)))
    if twins.is_whole and twins.n_mirrored:
        n = f"{twins.n_mirrored} of " if twins.n_same else "all "
        yield Statement(
            Kind.SHARED,
            f"The runs hold the same pairs, {n}{len(a.pairs)} with the sides exchanged: the same question with the "
            "opposite sign. Opposite t of such a pair is no finding, and agreement is no replication.",
        )
    elif sides[0] != sides[1]:
        yield Statement(
            Kind.COMPARABLE,
            f"The runs ask different things: {' and '.join(starmap(sides_words, sides))}. The same sign in a unit says "
            "that it goes the same way in both, not that both mean the same to it.",
        )
    if a.info.prompts_sha256 == b.info.prompts_sha256:
        what = "model and pairs" if a.info.fingerprint == b.info.fingerprint else "pairs"
        yield Statement(
            Kind.SHARED,
            f"The two runs share their {what}, and so what these {len(a.pairs)} pairs happen to have in common: "
            "agreement between them is no replication on new pairs.",
        )
    if len(a.pairs) != len(b.pairs):
        yield Statement(
            Kind.COMPARABLE,
            f"With {len(a.pairs)} and {len(b.pairs)} pairs the same effect gives t of other sizes: t grows with the "
            "root of the number of pairs.",
        )
