"""One more pair, ranked among a run's pairs, in words, as a table and as a record to cite; or measured by itself."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from plantain._files import printable
from plantain.findings.new_pair import PairMeasure, PairResult, Place, UnitScore, Way
from plantain.findings.told import DIRECTION
from plantain.prompts.overlap import Twin
from plantain.prompts.sets import SIDES
from plantain.report.labels import weights_label, weights_words
from plantain.report.statements import Kind, Statement
from plantain.runs.analysis import finite
from plantain.runs.info import PRACTICE, RESERVOIR
from plantain.runs.run import Run

_STRIP = 41  # characters of a line of differences


def pair_text(result: PairResult, run: Run) -> str:
    """Write where a new pair falls, one statement a line."""
    return "\n".join([pair_sentence(result), *(remark.text for remark in pair_remarks(result, run))])


def pair_sentence(result: PairResult) -> str:
    """Write in one sentence where a new pair falls among the run's.

    Whether the run's pairs agree at all comes first. Only ranks are claimed, of scores that are made alike for all
    pairs (`PairResult.scores`): by directions where the run's headline is of them. Of the run's own pair it is said
    before all else.
    """
    return _own_words(result) + _place_sentence(result.first, _whose(result))


def _own_words(result: PairResult) -> str:
    """Say that a pair is no new one; nothing of a new pair."""
    if result.twin is None:
        return ""
    return (
        f"This is the run's own pair “{printable(result.twin.id)}”{_turned(result.twin)}, and no new one: it is scored "
        f"by the other {len(result.scores)}. "
    )


def _turned(twin: Twin) -> str:
    return " with its sides exchanged" if twin.is_mirrored else ""


def _whose(result: PairResult) -> str:
    return f"the run's {'other ' if result.twin else ''}{len(result.scores)} pairs"


def score_words(score: float, measure: str) -> str:
    """Write a score: a mean cosine of directions, or SDs of magnitudes."""
    return f"{score:+.3f}" if measure == DIRECTION else f"{score:+.2f}"


def _place_sentence(place: Place, whose: str) -> str:
    n, low, own = len(place.scores), place.n_at_or_below - 1, place.own
    if place.way is Way.NONE:
        return (
            f"This run's pairs do not agree with one another ({own.k} of {own.n} are told right by the others, "
            f"p = {own.p:.2g}): there is no way for your pair to go."
        )
    if place.way is Way.NEITHER:
        neither = f"Your pair goes neither with {whose} nor against them: its score of"
        within = f"lies within ±{own.reach:.2f}, as 95% of the scores do when a coin decides which side is which."
        if place.measure == DIRECTION:
            within = f"lies within ±{own.reach:.3f}, as at least 95% of pairs do that have nothing in common with them."
        return f"{neither} {score_words(place.score, place.measure)} {within}"
    if place.way is Way.WITH:
        far = {0: "less far than any of them", n: f"at least as far as all {n} of them"}
        way, end = "the way of", f", {far.get(low, f'at least as far as {low} of them')}"
    else:
        way = "against the way of"
        higher = {0: "none of them scores", 1: "one of them scores", n: f"all {n} of them score"}
        end = f"; {higher.get(n - low, f'{n - low} of them score')} higher"
    return f"Your pair goes {way} {whose}{end}, each pair scored against the others."


def plain_sentence(result: PairResult) -> str:
    """Write for a visitor, in words that need no explanation, where a new pair falls; `pair_sentence` is the exact one.

    A pair of the run that scores the same is none that the new one goes farther than. Of the run's own pair that comes
    first.
    """
    if result.twin is None:
        return _plain_place(result)
    return f"This is one of the run's own pairs{_turned(result.twin)}, scored by the others. {_plain_place(result)}"


def _plain_place(result: PairResult) -> str:
    place = result.first
    n = len(place.scores)
    if result.way is Way.NONE:
        return "The run's own pairs do not agree with one another, so there is no way that yours could go."
    if result.way is Way.AGAINST:
        return "Your pair goes the opposite way to the run's pairs."
    if result.way is Way.NEITHER and place.score <= 0:
        return "Your pair goes neither way for sure: it leans against the run's pairs, but chance alone reaches as far."
    behind = sum(score < place.score - 1e-9 for score in place.scores)
    far = {0: f"less far than any of the {n}", n: f"farther than all {n}"}.get(behind, f"farther than {behind} of {n}")
    if result.way is Way.NEITHER:
        return "Your pair goes neither way for sure: it leans with the run's pairs, but chance alone reaches as far."
    return f"Your pair goes the same way as the run's pairs, {far}."


def pair_remarks(result: PairResult, run: Run) -> list[Statement]:
    """Write what a reader has to know beside the sentence: score, p, intervals, lengths, weights."""
    return list(_remarks(result, run))


def _remarks(result: PairResult, run: Run) -> Iterator[Statement]:
    n_top, unequal, whose = len(result.top), len(run.unequal_pairs()), _whose(result)
    if result.directions:
        yield Statement(
            Kind.SCORE,
            f"Score {score_words(result.directions.score, DIRECTION)}: the mean cosine of the pair's directions with "
            f"those of {whose}, over all heads at image tokens. No head is chosen.",
        )
        yield _rank(result.directions)
        said = _place_sentence(result.magnitudes, whose)
        yield Statement(Kind.SCORE, f"By magnitudes: {said[0].lower()}{said[1:]}")
    yield Statement(
        Kind.SCORE,
        f"Score {result.score:+.2f}: the pair's mean difference on the run's top {n_top} units, in the direction of "
        f"{whose} and in their SD (selection, sign and SD are theirs).",
    )
    if not result.directions:
        yield _rank(result.magnitudes)
    if unequal and result.comparable and not result.twin:
        yield Statement(
            Kind.LENGTHS,
            f"{unequal} of {whose} differ in length under this model's tokenizer, yours does not: it "
            "is not one more of the same kind, and p is for orientation only.",
        )
    if result.outside is not None:
        yield Statement(
            Kind.RANK,
            f"On {result.outside} of the {n_top} units it falls outside the 95% prediction interval of one more pair "
            f"of the run's kind (about {n_top / 20:.0f} would by chance; they depend on one another).",
        )
    if not result.comparable:
        yield Statement(Kind.LENGTHS, length_warning(result))
    yield Statement(Kind.WEIGHTS, weights_words(run))
    if run.info.is_random:
        told = "These weights are random: the score says nothing about FLUX.2 Klein."
        yield Statement(Kind.RANDOM, RESERVOIR if run.info.weights == "reservoir" else told)
    if run.info.weights == "practice":
        yield Statement(Kind.PRACTICE, PRACTICE)


def _rank(place: Place) -> Statement:
    n, low = len(place.scores) + 1, place.n_at_or_below
    ranked = f"{low} of the {n} pairs, yours included, go with the others no more than yours does."
    if place.p is None:
        return Statement(Kind.RANK, f"{ranked} It is the run's own, not one more pair, and has no p.")
    return Statement(
        Kind.RANK,
        f"{ranked} If yours were one more "
        f"pair of the same kind, that had p = {low}/{n} = {place.p:.3f} (conformal, in steps of 1/{n}). A small p "
        "says that your pair goes less with the run's than they do with one another, a p of 1 that it goes farthest; "
        "no p says what a pair means. The best p of several pairs that were tried is no p.",
    )


def measure_sentence(measure: PairMeasure) -> str:
    """Write in one sentence how far the two prompts of a pair move the attention heads."""
    return (
        f"Between your two prompts the magnitudes of the {len(measure.names)} attention heads differ by "
        f"{measure.rms_percent:.3g}% over the image tokens (RMS over the heads)."
    )


def measure_remarks(measure: PairMeasure) -> list[Statement]:
    """Write what a reader has to know beside the sentence: what one pair cannot say, lengths, weights."""
    found = [
        Statement(
            Kind.SCORE, "This is one pair and no test: any two prompts differ. One pair has no t, no p and no rank."
        ),
        Statement(Kind.WEIGHTS, f"Weights: {weights_label(measure.model)}. Passes: {measure.conditions.words}."),
    ]
    if not measure.comparable:
        found.insert(0, Statement(Kind.LENGTHS, length_warning(measure)))
    if measure.model.is_random:
        told = "These weights are random: the numbers say nothing about FLUX.2 Klein."
        found.append(Statement(Kind.RANDOM, RESERVOIR if measure.model.weights == "reservoir" else told))
    if measure.model.weights == "practice":
        found.append(Statement(Kind.PRACTICE, PRACTICE))
    return found


def measure_rows(measure: PairMeasure) -> list[tuple[str, str, str]]:
    """List the strongest heads: name, difference, and the difference in percent of the magnitude."""
    return [(u.unit, f"{u.difference:+.3g}", f"{u.percent:+.2f}%") for u in measure.strongest]


def length_warning(result: PairResult | PairMeasure) -> str:
    """Say why a pair of unequal lengths is not comparable."""
    a, b = result.tokens
    return (
        f"NOT COMPARABLE: the prompts have {a} and {b} tokens, so that their length differs as well. Rewrite one until "
        "both counts are equal."
    )


def pair_frame(result: PairResult) -> pd.DataFrame:
    """List the run's top units and where the new pair falls among their differences.

    Returns
    -------
    DataFrame
        Columns ``unit``, ``with_run`` = sign(t) * new / sd, as the picture has it, ``t``, ``new`` (positive minus
        negative), ``low`` and ``high`` of the 95% prediction interval, ``mean`` and ``sd`` of the run's pairs.
    """
    rows, columns = [], ["unit", "with_run", "t", "new", "low", "high", "mean", "sd"]
    for unit in result.top:
        diffs = np.array(unit.differences)
        mean, sd = diffs.mean(), diffs.std(ddof=1)
        with_run = np.sign(unit.t) * unit.new / sd if sd else float("nan")
        low, high = unit.interval or (np.nan, np.nan)
        rows.append([unit.unit, with_run, unit.t, unit.new, low, high, mean, sd])
    return pd.DataFrame(rows, columns=columns)


def pair_record(result: PairResult, run: Run, name: str, date: str, versions: dict[str, str]) -> dict[str, Any]:
    """Gather everything needed to cite an answer and to repeat it.

    Parameters
    ----------
    result : PairResult
    run : Run
        What the pair was ranked in.
    name : str
        The run's.
    date : str
        Of the answer, ISO 8601.
    versions : dict of str to str
        Software that the pair's own passes depend on; the run's own is listed with the run.

    Returns
    -------
    dict
        Plain JSON values.
    """
    pair = result.pair
    facts = {key: value for key, value in asdict(run.info).items() if key not in ("layout", "seconds")}
    texts, places = (
        shlex.join(["--positive", pair.positive, "--negative", pair.negative]),
        pair_frame(result)["with_run"],
    )
    return {
        "what": "one pair of prompts, ranked among the pairs of a run of plantain",
        "date": date,
        "prompts": {side: getattr(pair, side) for side in SIDES},
        "tokens": dict(zip(SIDES, result.tokens, strict=True)),
        "comparable": result.comparable,
        "sentence": pair_sentence(result),
        "remarks": [remark.text for remark in pair_remarks(result, run)],
        "units": result.units,
        "scope": result.scope,
        "score": result.score,
        "own": asdict(result.own),
        "n_at_or_below": result.n_at_or_below,
        "n": len(result.scores) + 1,
        "p": result.p,
        "outside": result.outside,
        "twin": result.twin and asdict(result.twin),
        "scores": [{"pair": id_, "score": s} for id_, s in zip(result.pairs, result.scores, strict=True)],
        **measures_record(result),
        "top": [{**asdict(u), "with_run": finite(x)} for u, x in zip(result.top, places, strict=True)],
        "weights_label": weights_label(run.info),
        "run": {"name": name, "n_pairs": len(run.pairs), "capture_sha256": run.capture_sha256, **facts},
        "versions": versions,
        "repeat": f"python -m plantain pair FOLDER-OF-THE-RUN {texts}",
    }


def pair_answer(result: PairResult, run: Run) -> dict[str, Any]:
    """Gather what the command `pair --json` and the endpoint `/probe_pair` answer: all fields of the result."""
    said = {"sentence": pair_sentence(result), **measures_record(result)}
    return {"weights": weights_label(run.info), **asdict(result), **said}


def measures_record(result: PairResult) -> dict[str, Any]:
    """Gather what each measure says of a pair, in an object of its own, and by which of them the sentence goes.

    Returns
    -------
    dict
        ``way`` and ``measure``: of what the run's headline goes by, as `pair_sentence`. ``magnitudes`` and
        ``directions`` (None where they are not known): the fields of a `Place`, with its ``way``.
    """
    places = {"magnitudes": result.magnitudes, "directions": result.directions}
    told = {name: place and {**asdict(place), "way": place.way} for name, place in places.items()}
    return {"way": result.way, "measure": result.first.measure, **told}


def difference_strip(unit: UnitScore) -> str:
    """Draw a unit's differences as a line of text: `.` one pair, `:` several, `X` the new pair, `|` zero."""
    values = np.array([*unit.differences, unit.new])
    reach = float(np.abs(values).max()) or 1.0
    places = np.rint((values / reach + 1) / 2 * (_STRIP - 1)).astype(int)
    cells = [" "] * _STRIP
    cells[_STRIP // 2] = "|"
    for place in places[:-1]:
        cells[place] = ":" if cells[place] in ".:" else "."
    cells[places[-1]] = "X"
    return "".join(cells)
