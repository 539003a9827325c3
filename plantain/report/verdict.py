"""The verdict of a run: at most four lines that say what was found, before anything else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from plantain.findings.directions import BesideUntrained, keeps_directions
from plantain.findings.held_out import HeldOut
from plantain.findings.roles import known_role
from plantain.findings.told import DIRECTION, MAGNITUDE, Told
from plantain.report.labels import weights_label
from plantain.report.numbers import LEVEL, interval, number
from plantain.runs.info import NOT_KLEIN
from plantain.runs.registration import REGISTRATION, departures
from plantain.runs.run import Run
from plantain.runs.units import Selection

_SMALLEST = 0.001


def verdict_lines(run: Run, found: HeldOut, label: bool = True) -> list[str]:
    """Write the headline, what stands beside it, and how large the differences are.

    Parameters
    ----------
    run : Run
    found : HeldOut
        Of the run.
    label : bool
        Say of random weights that they are random; where that stands beside, it is not said twice.

    Returns
    -------
    list of str
        At most four sentences or pairs of sentences; plain text.
    """
    return [headline(found), " ".join(_beside(found)), *_frozen(run, found), _size(run, found, label)]


def headline(found: HeldOut) -> str:
    """Write the one figure in one sentence."""
    chance = "more than chance gives" if found.p <= LEVEL else "no more than chance gives"
    if 2 / 2**found.n > LEVEL:  # as many of all sign flips, all turned around among them, tell all pairs right
        chance = "too few pairs to tell that from chance"
    if found.measure == DIRECTION:
        beside = f"; by magnitudes {count_words(found.magnitudes)}" if found.magnitudes else ""
        return (
            f"{found.k} of {found.n} held-out pairs are told right by the directions of all {found.n_top:,} heads, "
            f"{chance} ({p_words(found)}){beside}. The rule for each pair is learned on all other pairs, at "
            "image tokens alone."
        )
    return (
        f"{found.k} of {found.n} held-out pairs are told right, {chance} ({p_words(found)}): each pair by the "
        f"magnitudes of the {found.n_top} heads with the largest |t| over all other pairs, image tokens alone."
    )


def in_short(found: Told) -> str:
    """Write the one figure in one sentence for everybody: how many, of how many, and what chance gives."""
    few = 2 / 2**found.n > LEVEL
    beside = "too few pairs to tell that from chance" if few else f"{found.n / 2:g} expected by chance"
    return f"{found.k} of {found.n} pairs that the rule had not seen are told right ({p_words(found)}; {beside})."


def standing(run: Run, selection: Selection) -> str:
    """Say which of a run's figures PREREGISTRATION.md fixed before anyone looked, and that the others are exploratory.

    Parameters
    ----------
    run : Run
    selection : Selection
        Of the figures that stand below the headline.
    """
    measure = measure_of(run)
    if found := departures(run.info, selection, measure=measure):
        if not departures(run.info, role="replication", measure=measure):
            return (
                f"These are the new pairs of {REGISTRATION.name}, which tries on them the rule of its moral pairs. A "
                "rule of their own, and all that follows here, is exploratory."
            )
        if departures(run.info, measure=measure):
            return f"Exploratory: these figures depart from {REGISTRATION.name} in their {', '.join(found)}."
        return f"The headline is the one of {REGISTRATION.name}; the figures of other units or tokens are exploratory."
    return f"The headline is the one of {REGISTRATION.name}, and so are the units and tokens; counts are exploratory."


def measure_of(run: Run) -> str:
    """Say what a run's headline goes by: directions where the run keeps them."""
    return DIRECTION if keeps_directions(run) else MAGNITUDE


def p_words(told: Told) -> str:
    """Write a p, with its standard error where it rests on drawn sign flips."""
    p = f"p < {_SMALLEST:g}" if told.p < _SMALLEST else f"p = {told.p:.2g}"
    return p if not told.error or told.p < _SMALLEST else f"{p} ± {told.error:.1g}"


def _beside(found: HeldOut) -> Iterator[str]:
    yield f"From the prompt embedding, before the transformer: {count_words(found.embedding)}."
    yield f"From the heads over all tokens: {count_words(found.all_tokens)}."


def _frozen(run: Run, found: HeldOut) -> Iterator[str]:
    parts, loud = [], found.magnitudes
    again = found.replication or (loud and loud.replication)
    if again:
        by = f"; by magnitudes {count_words(loud.replication)}" if loud and found.replication else ""
        by = " (by magnitudes: it keeps no directions)" if loud and not found.replication else by
        parts.append(
            f"The rule of all {found.n} pairs, frozen, on the new pairs of {again.rule}: {count_words(again)}{by}."
        )
        if found.replication_departs and not departures(run.info, measure=found.measure):
            why = ", ".join(found.replication_departs)
            parts.append(f"(Exploratory: that run departs from {REGISTRATION.name} in its {why}.)")
    if found.controls:
        known = any(told.cosine is not None for told in found.controls)
        cosine = ", and the cosine with the pairs' own rule" if known else ""
        parts.append(f"By rules that controls learned (two-sided p{cosine}): {_rules(found.controls)}.")
    silent = [told for told in loud.controls if told.rule not in {t.rule for t in found.controls}] if loud else []
    if silent:
        parts.append(f"By magnitudes alone, since these controls keep no directions: {_rules(silent)}.")
    parts.extend(_positive(run, found))
    parts.extend(untrained_sentences(found.untrained))
    if parts:
        yield " ".join(parts)


def _positive(run: Run, found: HeldOut) -> Iterator[str]:
    """Say how the measure does on sides that any image generator has to tell apart; without that a no says little."""
    is_no = any(told.p > LEVEL for told in (found, found.replication) if told)
    if positives := found.positives or (found.magnitudes and found.magnitudes.positives):
        yield f"The positive contrasts, each by its own held-out pairs: {_rules(positives)}."
        missed = [told.rule for told in positives if told.p > LEVEL]
        if missed and is_no and not run.info.is_random:  # a network that has learned nothing need not know them
            named = " or ".join(missed)
            yield f"The measure does not find {named} either, so a result of no more than chance says little."
    elif is_no and run.info.weights == "pretrained" and _is_axis(run):
        yield (
            "No positive contrast (prompts/colour, number, day_night) was run with this model and these settings, so a "
            "result of no more than chance says little."
        )


def untrained_sentences(found: Sequence[BesideUntrained]) -> list[str]:
    """Say how much more the pairs agree here than in each transformer that has learned nothing."""
    words = [_untrained(beside) for beside in found]
    if len(found) > 1:
        words.append(
            f"These {len(found)} differences are of the same pairs and share this run's own cosine: their p values are "
            "not independent."
        )
    return words


def _untrained(beside: BesideUntrained) -> str:
    p = f"p < {_SMALLEST:g}" if beside.p < _SMALLEST else f"p = {beside.p:.2g}"
    return (
        f"Two pairs' directions have a cosine of {beside.agreement:.3f} on average, and of {beside.other:.3f} in the "
        f"random transformer of {beside.name}: a difference of {beside.difference:+.3f} ± {beside.error:.3f} ({p})."
    )


def _is_axis(run: Run) -> bool:
    return known_role(run.info.prompts_sha256, run.info.role) == "axis"


def _rules(told_by: Iterable[Told]) -> str:
    """Write several rules' counts; the sentence around them says what the cosines are."""
    return ", ".join(f"{told.rule} {count_words(told, short=True)}" for told in told_by)


def count_words(told: Told, short: bool = False) -> str:
    """Write a count of pairs with its p; of a frozen rule of directions with its cosine with the pairs' own rule."""
    of = "" if short else "cosine with their own rule "
    ends = f" {interval(told.cosine_interval)}" if told.cosine_interval else ""
    cosine = "" if told.cosine is None else f", {of}{told.cosine:.2f}{ends}"
    return f"{told.k} of {told.n} ({p_words(told)}{cosine})"


def _size(run: Run, found: HeldOut, label: bool) -> str:
    caution = f" {NOT_KLEIN[run.info.weights]}" if label and run.info.weights in NOT_KLEIN else ""
    size = f"In the median head the sides differ by {number(found.percent, '.2g')}% of the magnitude{_floor(run)}."
    if found.percent is None:
        size = "Every head has a magnitude of zero: no difference can be stated in percent of it."
    return f"{size} Weights: {weights_label(run.info)}.{caution}"


def _floor(run: Run) -> str:
    """Write how far one prompt differs from itself, where the run has seen it."""
    floor = run.info.floor
    if floor is None:
        return ""
    if floor == 0:
        return "; the same prompt twice differs by 0%"
    return f"; the same prompt twice differs by up to {floor:.2g}%, and differences below that mean nothing"
