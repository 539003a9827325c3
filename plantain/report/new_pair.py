"""One more pair, ranked among a run's pairs, in words, as a table and as a record to cite; or measured by itself."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from plantain.findings.new_pair import PairMeasure, PairResult, UnitScore, Way
from plantain.prompts.sets import SIDES
from plantain.report.labels import weights_label, weights_words
from plantain.report.statements import Kind, Statement
from plantain.runs.analysis import finite
from plantain.runs.run import Run

_STRIP = 41  # characters of a line of differences


def pair_text(result: PairResult, run: Run) -> str:
    """Write where a new pair falls, one statement a line."""
    return "\n".join([pair_sentence(result), *(remark.text for remark in pair_remarks(result, run))])


def pair_sentence(result: PairResult) -> str:
    """Write in one sentence where a new pair falls among the run's.

    Whether the run's pairs agree at all comes first. Only ranks are claimed, of scores that are made alike for all
    pairs (`PairResult.scores`).
    """
    n, low, own = len(result.scores), result.n_at_or_below - 1, result.own
    if result.way is Way.NONE:
        return (
            f"This run's pairs do not agree with one another ({own.k} of {own.n} are told right by the others, "
            f"p = {own.p:.2g}): there is no way for your pair to go."
        )
    if result.way is Way.NEITHER:
        return (
            f"Your pair goes neither with the run's {n} pairs nor against them: its score of {result.score:+.2f} lies "
            f"within ±{own.reach:.2f}, as 95% of the scores do when a coin decides which side is which."
        )
    if result.way is Way.WITH:
        far = {0: "less far than any of them", n: f"at least as far as all {n} of them"}
        way, end = "the way of", f", {far.get(low, f'at least as far as {low} of them')}"
    else:
        way = "against the way of"
        higher = {0: "none of them scores", 1: "one of them scores", n: f"all {n} of them score"}
        end = f"; {higher.get(n - low, f'{n - low} of them score')} higher"
    return f"Your pair goes {way} the run's {n} pairs{end}, each pair scored against the others."


def pair_remarks(result: PairResult, run: Run) -> list[Statement]:
    """Write what a reader has to know beside the sentence: score, p, intervals, lengths, weights."""
    return list(_remarks(result, run))


def _remarks(result: PairResult, run: Run) -> Iterator[Statement]:
    n, low, n_top, unequal = len(result.scores) + 1, result.n_at_or_below, len(result.top), len(run.unequal_pairs())
    yield Statement(
        Kind.SCORE,
        f"Score {result.score:+.2f}: the pair's mean difference on the run's top {n_top} units, in the direction of "
        f"the run's {n - 1} pairs and in their SD (selection, sign and SD are theirs).",
    )
    yield Statement(
        Kind.RANK,
        f"{low} of the {n} pairs, yours included, go with the others no more than yours does. If yours were one more "
        f"pair of the same kind, that had p = {low}/{n} = {result.p:.3f} (conformal, in steps of 1/{n}). A small p "
        "says that your pair goes less with the run's than they do with one another, a p of 1 that it goes farthest; "
        "no p says what a pair means. The best p of several pairs that were tried is no p.",
    )
    if unequal and result.comparable:
        yield Statement(
            Kind.LENGTHS,
            f"{unequal} of the run's {n - 1} pairs differ in length under this model's tokenizer, yours does not: it "
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
        yield Statement(Kind.RANDOM, "These weights are random: the score says nothing about FLUX.2 Klein.")


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
        found.append(Statement(Kind.RANDOM, "These weights are random: the numbers say nothing about FLUX.2 Klein."))
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
        "way": result.way,
        "own": asdict(result.own),
        "n_at_or_below": result.n_at_or_below,
        "n": len(result.scores) + 1,
        "p": result.p,
        "outside": result.outside,
        "scores": [{"pair": r.pair.id, "score": s} for r, s in zip(run.pairs, result.scores, strict=True)],
        "top": [{**asdict(u), "with_run": finite(x)} for u, x in zip(result.top, places, strict=True)],
        "weights_label": weights_label(run.info),
        "run": {"name": name, "n_pairs": len(run.pairs), "capture_sha256": run.capture_sha256, **facts},
        "versions": versions,
        "repeat": f"python -m plantain pair FOLDER-OF-THE-RUN {texts}",
    }


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
