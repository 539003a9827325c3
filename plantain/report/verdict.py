"""The verdict of a run: at most four lines that say what was found, before anything else."""

from __future__ import annotations

from collections.abc import Iterator

from plantain.findings.held_out import HeldOut, Told
from plantain.report.labels import weights_label
from plantain.report.numbers import LEVEL, number
from plantain.runs.info import RANDOM
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
    return (
        f"{found.k} of {found.n} held-out pairs are told right, {chance} ({p_words(found)}): each pair by "
        f"the {found.n_top} heads with the largest |t| over all other pairs, image tokens alone."
    )


def standing(run: Run, selection: Selection) -> str:
    """Say which of a run's figures PREREGISTRATION.md fixed before anyone looked, and that the others are exploratory.

    Parameters
    ----------
    run : Run
    selection : Selection
        Of the figures that stand below the headline.
    """
    if found := departures(run.info, selection):
        if not departures(run.info, role="replication"):
            return (
                f"These are the new pairs of {REGISTRATION.name}, which tries on them the rule of its moral pairs. A "
                "rule of their own, and all that follows here, is exploratory."
            )
        if departures(run.info):
            return f"Exploratory: these figures depart from {REGISTRATION.name} in their {', '.join(found)}."
        return f"The headline is the one of {REGISTRATION.name}; the figures of other units or tokens are exploratory."
    return f"The headline is the one of {REGISTRATION.name}, and so are the units and tokens; counts are exploratory."


def p_words(told: Told) -> str:
    """Write a p, with its standard error where it rests on drawn sign flips."""
    p = f"p < {_SMALLEST:g}" if told.p < _SMALLEST else f"p = {told.p:.2g}"
    return p if not told.error or told.p < _SMALLEST else f"{p} ± {told.error:.1g}"


def _beside(found: HeldOut) -> Iterator[str]:
    yield f"From the prompt embedding, before the transformer: {_words(found.embedding)}."
    yield f"From the heads over all tokens: {_words(found.all_tokens)}."


def _frozen(run: Run, found: HeldOut) -> Iterator[str]:
    parts = []
    if found.replication:
        again = found.replication
        parts.append(f"The rule of all {found.n} pairs, frozen, on the new pairs of {again.rule}: {_words(again)}.")
        if found.replication_departs and not departures(run.info):
            why = ", ".join(found.replication_departs)
            parts.append(f"(Exploratory: that run departs from {REGISTRATION.name} in its {why}.)")
    if found.controls:
        rules = ", ".join(f"{told.rule} {_words(told)}" for told in found.controls)
        parts.append(f"By rules that controls learned (two-sided): {rules}.")
    if parts:
        yield " ".join(parts)


def _words(told: Told) -> str:
    return f"{told.k} of {told.n} ({p_words(told)})"


def _size(run: Run, found: HeldOut, label: bool) -> str:
    random = f" {RANDOM}" if label and run.info.is_random else ""
    size = f"In the median head the sides differ by {number(found.percent, '.2g')}% of the magnitude{_floor(run)}."
    if found.percent is None:
        size = "Every head has a magnitude of zero: no difference can be stated in percent of it."
    return f"{size} Weights: {weights_label(run.info)}.{random}"


def _floor(run: Run) -> str:
    """Write how far one prompt differs from itself, where the run has seen it."""
    floor = run.info.floor
    if floor is None:
        return ""
    if floor == 0:
        return "; the same prompt twice differs by 0%"
    return f"; the same prompt twice differs by up to {floor:.2g}%, and differences below that mean nothing"
