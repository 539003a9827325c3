"""A visitor's pair in words and as a table."""

import json
import shlex
from dataclasses import replace

import numpy as np
import pytest
from made import N_SLICES, PAIR, made_capture, made_differences, made_run, rounded

from plantain.findings.new_pair import Agreement, Place, UnitScore, Way, score_pair
from plantain.prompts.sets import PromptPair
from plantain.report.new_pair import difference_strip, pair_frame, pair_record, pair_sentence, pair_text, plain_sentence
from plantain.runs.units import Selection


@pytest.fixture(scope="module")
def run():
    return made_run(made_differences(25, seed=1, effect=1.5))


def test_the_pairs_text_says_score_direction_rank_and_p(run):
    mean = run.analysis(Selection("card")).differences.mean(axis=0)
    high = score_pair(run, PAIR, made_capture(rounded(3 * mean)), Selection("card"))
    low = score_pair(run, PAIR, made_capture(rounded(-3 * mean)), Selection("card"))
    assert f"Score {high.score:+.2f}" in pair_text(high, run) and "goes the way" in pair_text(high, run)
    assert "26 of the 26 pairs, yours included" in pair_text(high, run) and "p = 26/26 = 1.000 (conformal" in pair_text(
        high, run
    )
    assert f"Score {low.score:+.2f}" in pair_text(low, run) and "goes against the way" in pair_text(low, run)
    assert "1 of the 26 pairs, yours included" in pair_text(low, run) and "p = 1/26 = 0.038 (conformal" in pair_text(
        low, run
    )
    assert "NOT COMPARABLE" not in pair_text(high, run)


def test_a_pair_of_unequal_length_is_called_not_comparable(run):
    result = score_pair(run, PAIR, made_capture(np.zeros(N_SLICES), words=(7, 5)), Selection("card"))
    assert "NOT COMPARABLE: the prompts have 7 and 5 tokens" in pair_text(result, run)


def test_the_pairs_frame_places_the_new_pair_among_the_runs(run):
    new = made_differences(1, seed=5)[0]
    frame = pair_frame(score_pair(run, PAIR, made_capture(new), Selection("card")))
    a = run.analysis(Selection("card"))
    assert list(frame.columns) == ["unit", "with_run", "t", "new", "low", "high", "mean", "sd"]
    assert len(frame) == 20
    for row in frame.itertuples():
        i = a.table.names.index(row.unit)
        mine = a.differences[:, i]
        assert (row.t, row.new) == (a.t[i], new[i])
        assert row.low < mine.mean() < row.high and row.high - mine.mean() == pytest.approx(mine.mean() - row.low)
        assert row.with_run == pytest.approx(np.sign(a.t[i]) * new[i] / mine.std(ddof=1), rel=1e-12)
    assert frame["with_run"].min() < 0 < frame["with_run"].max()


def test_the_frame_of_a_run_without_differences_has_no_place():
    nothing = made_run(np.zeros((25, N_SLICES)))
    frame = pair_frame(score_pair(nothing, PAIR, made_capture(np.zeros(N_SLICES)), Selection("card")))
    assert frame["with_run"].isna().all()


def test_a_pair_outside_the_prediction_intervals_is_said_to_be(run):
    mean, spread = (
        run.analysis(Selection("card")).differences.mean(axis=0),
        run.analysis(Selection("card")).differences.std(axis=0),
    )
    inside = score_pair(run, PAIR, made_capture(rounded(mean)), Selection("card"))
    outside = score_pair(run, PAIR, made_capture(rounded(mean + 9 * spread)), Selection("card"))
    assert inside.outside == 0 and "On 0 of the 20 units it falls outside the 95%" in pair_text(inside, run)
    assert outside.outside == 20 and "On 20 of the 20 units it falls outside the 95%" in pair_text(outside, run)


def test_few_pairs_give_no_interval_and_no_word_of_it():
    few = made_run(made_differences(8))
    result = score_pair(few, PAIR, made_capture(made_differences(1, seed=5)[0]), Selection("card"))
    assert result.outside is None and all(unit.interval is None for unit in result.top)
    assert "prediction interval" not in pair_text(result, few)
    assert pair_frame(result)["low"].isna().all()


def test_a_strip_places_pairs_zero_and_the_new_one():
    strip = difference_strip(UnitScore("u", 3.0, (1.0, 1.0, -2.0), 2.0, None))
    assert len(strip) == 41 and {i: c for i, c in enumerate(strip) if c != " "} == {0: ".", 20: "|", 30: ":", 40: "X"}


@pytest.mark.parametrize(
    ("score", "low", "words"),
    [
        (1.4, 8, "goes the way of the run's 25 pairs, at least as far as 7 of them, each"),
        (1.4, 1, "goes the way of the run's 25 pairs, less far than any of them, each"),
        (1.4, 26, "goes the way of the run's 25 pairs, at least as far as all 25 of them, each"),
        (-1.4, 1, "goes against the way of the run's 25 pairs; all 25 of them score higher, each"),
        (-1.4, 25, "goes against the way of the run's 25 pairs; one of them scores higher, each"),
        (-1.4, 26, "goes against the way of the run's 25 pairs; none of them scores higher, each"),
    ],
)
def test_the_sentence_claims_the_rank_and_no_more(run, score, low, words):
    made = score_pair(run, PAIR, made_capture(made_differences(1, seed=5)[0]), Selection("card"))
    sentence = pair_sentence(replace(made, score=score, n_at_or_below=low, p=low / 26))
    assert sentence == f"Your pair {words} pair scored against the others."


def test_with_directions_they_say_first_where_the_pair_falls(run):
    made = score_pair(run, PAIR, made_capture(np.zeros(N_SLICES)), Selection("card"))
    place = Place(0.0312, (0.01,) * 20 + (0.05,) * 5, 21, 21 / 26, Agreement(25, 25, 0.0001, 0.02), "direction")
    with_run = replace(made, directions=place)
    assert pair_sentence(with_run).startswith("Your pair goes the way of the run's 25 pairs, at least as far as 20 of")
    assert plain_sentence(with_run) == "Your pair goes the same way as the run's pairs, farther than 20 of 25."
    said = pair_text(with_run, run)
    assert "Score +0.031: the mean cosine of the pair's directions" in said and "p = 21/26 = 0.808" in said
    assert "By magnitudes: your pair goes neither with the run's 25 pairs nor against them" in said
    assert f"Score {made.score:+.2f}: the pair's mean difference on the run's top 20 units" in said
    neither = replace(made, directions=replace(place, own=replace(place.own, reach=0.04)))
    assert pair_sentence(neither) == (
        "Your pair goes neither with the run's 25 pairs nor against them: its score of +0.031 lies within ±0.040, as "
        "at least 95% of pairs do that have nothing in common with them."
    )
    lost = replace(made, directions=replace(place, own=Agreement(13, 25, 0.6, 0.02)))
    assert lost.way is Way.NONE and "(13 of 25 are told right by the others, p = 0.6)" in pair_sentence(lost)
    record = pair_record(with_run, run, "run", "2026-11-29", {})
    assert record["way"] == "with" and record["score"] == made.score and record["directions"]["score"] == 0.0312
    assert pair_record(made, run, "run", "2026-11-29", {})["directions"] is None


@pytest.mark.parametrize(("sign", "turned"), [(1, ""), (-1, " with its sides exchanged")])
def test_the_runs_own_pair_is_called_so_first_and_gets_no_p(run, sign, turned):
    mine = run.pairs[4].pair
    pair = PromptPair("visitor", "visitor", *(mine.positive, mine.negative)[::sign])
    result = score_pair(
        run, pair, made_capture(sign * run.analysis(Selection("card")).differences[4]), Selection("card")
    )
    first = f"This is the run's own pair “pair-4”{turned}, and no new one: it is scored by the other 24. Your pair "
    assert pair_sentence(result).startswith(first) and "the run's other 24 pairs" in pair_sentence(result)
    assert plain_sentence(result).startswith(f"This is one of the run's own pairs{turned}, scored by the others. Your")
    said = pair_text(result, run)
    assert "of the 25 pairs, yours included" in said and "the run's own, not one more pair, and has no p." in said
    assert "p = " not in said and "25 pairs and" not in said
    record = json.loads(json.dumps(pair_record(result, run, "a-run", "", {}), allow_nan=False))
    assert record["twin"] == {"id": "pair-4", "is_mirrored": sign < 0} and record["p"] is None and record["n"] == 25
    assert [row["pair"] for row in record["scores"]] == [f"pair-{i}" for i in range(25) if i != 4]


def test_the_record_keeps_the_measures_apart_and_names_the_one_that_the_sentence_goes_by(run):
    made = score_pair(run, PAIR, made_capture(np.zeros(N_SLICES)), Selection("card"))
    ids = tuple(f"pair-{i}" for i in range(25))
    place = Place(0.0312, (0.01,) * 25, 26, 1.0, Agreement(25, 25, 0.0001, 0.02), "direction", ids)
    record = pair_record(replace(made, directions=place), run, "run", "", {})
    record = json.loads(json.dumps(record, allow_nan=False))
    assert (record["way"], record["measure"]) == ("with", "direction") and "goes the way of" in record["sentence"]
    assert record["directions"] == {
        "score": 0.0312, "scores": [0.01] * 25, "pairs": list(ids), "n_at_or_below": 26, "p": 1.0,
        "own": {"k": 25, "n": 25, "p": 0.0001, "reach": 0.02}, "measure": "direction", "way": "with",
    }  # fmt: skip
    by_magnitudes = record["magnitudes"]
    assert (by_magnitudes["way"], by_magnitudes["measure"]) == ("neither", "magnitude")  # a score of 0
    with_ids = zip(by_magnitudes["pairs"], by_magnitudes["scores"], strict=True)
    assert [{"pair": pair, "score": s} for pair, s in with_ids] == record["scores"]
    assert all(by_magnitudes[key] == record[key] for key in ("score", "p", "n_at_or_below", "own"))
    assert by_magnitudes["pairs"] == list(ids)
    alone = pair_record(made, run, "run", "", {})
    assert (alone["way"], alone["measure"], alone["directions"]) == ("neither", "magnitude", None)
    assert alone["magnitudes"]["way"] == "neither" and "goes neither" in alone["sentence"]


def answer(run, score=1.0, **own):
    made = score_pair(run, PAIR, made_capture(made_differences(1, seed=5)[0]), Selection("card"))
    return replace(made, score=score, own=replace(made.own, **own))


def test_where_the_runs_pairs_do_not_agree_there_is_no_way_to_go(run):
    lost = answer(run, k=13, p=0.31)
    assert lost.way is Way.NONE
    assert pair_sentence(lost) == (
        "This run's pairs do not agree with one another (13 of 25 are told right by the others, p = 0.31): there is no "
        "way for your pair to go."
    )
    assert answer(run, k=18, p=0.05, reach=0.5).way is Way.WITH


@pytest.mark.parametrize(
    ("score", "way"), [(0.8, Way.NEITHER), (-0.8, Way.NEITHER), (0.81, Way.WITH), (-0.81, Way.AGAINST)]
)
def test_a_small_score_goes_neither_way(run, score, way):
    found = answer(run, score, p=0.001, reach=0.8)
    assert found.way is way
    words = (
        f"Your pair goes neither with the run's 25 pairs nor against them: its score of {score:+.2f} lies within ±0.80"
    )
    assert pair_sentence(found).startswith(words) == (way is Way.NEITHER)


@pytest.mark.parametrize(
    ("score", "own", "words"),
    [
        (2.5, {}, "Your pair goes the same way as the run's pairs, farther than 2 of 4."),
        (2.0, {}, "Your pair goes the same way as the run's pairs, farther than 1 of 4."),  # one scores the same
        (9.0, {}, "Your pair goes the same way as the run's pairs, farther than all 4."),
        (
            0.9, {},
            "Your pair goes the same way as the run's pairs, less far than any of the 4.",
        ),
        (-0.9, {}, "Your pair goes the opposite way to the run's pairs."),
        (
            2.5, {"reach": 3.0},
            "Your pair goes neither way for sure: it leans with the run's pairs, but chance alone reaches as far.",
        ),
        (
            -2.5, {"reach": 3.0},
            "Your pair goes neither way for sure: it leans against the run's pairs, but chance alone reaches as far.",
        ),
        (2.5, {"p": 0.3}, "The run's own pairs do not agree with one another, so there is no way that yours could go."),
    ],
)  # fmt: skip
def test_a_visitors_sentence_is_plain_and_claims_no_more_than_its_place(run, score, own, words):
    found = answer(run, score, **{"p": 0.001, "reach": 0.5, **own})
    assert plain_sentence(replace(found, scores=(1.0, 2.0, 3.0, 4.0))) == words


def test_the_sentences_number_is_that_of_the_scores(run):
    mean = run.analysis(Selection("card")).differences.mean(axis=0)
    result = score_pair(run, PAIR, made_capture(rounded(mean)), Selection("card"))
    below = int((np.array(result.scores) <= result.score).sum())
    assert 0 < below < 25 and f"at least as far as {below} of them" in pair_sentence(result)


def test_the_record_holds_what_citing_and_repeating_take(run):
    result = score_pair(run, PAIR, made_capture(made_differences(1, seed=5)[0], words=(7, 5)), Selection("card"))
    record = pair_record(result, run, "a-run", "2026-01-02T03:04:05+00:00", {"plantain": "9"})
    assert json.loads(json.dumps(record, allow_nan=False))["prompts"] == {
        "positive": "Ana helps.",
        "negative": "Ana hurries.",
    }
    assert record["tokens"] == {"positive": 7, "negative": 5} and record["comparable"] is False
    assert (record["score"], record["p"], record["date"]) == (result.score, result.p, "2026-01-02T03:04:05+00:00")
    assert [row["score"] for row in record["scores"]] == list(result.scores)
    assert [row["pair"] for row in record["scores"]] == [r.pair.id for r in run.pairs]
    assert record["run"]["name"] == "a-run" and record["run"]["fingerprint"] == run.info.fingerprint
    assert record["run"]["capture_sha256"] == run.capture_sha256
    assert {"size", "seed", "dtype", "weights", "versions", "prompts_sha256"} <= set(record["run"])
    assert len(record["top"]) == 20 and record["top"][0]["unit"] == result.top[0].unit
    assert record["top"][3]["with_run"] == pair_frame(result)["with_run"][3]
    assert record["versions"] == {"plantain": "9"} and "layout" not in record["run"]
    assert shlex.split(record["repeat"])[-4:] == ["--positive", "Ana helps.", "--negative", "Ana hurries."]


def test_the_record_of_a_run_without_differences_is_still_json():
    nothing = made_run(np.zeros((25, N_SLICES)))
    result = score_pair(nothing, PAIR, made_capture(np.zeros(N_SLICES)), Selection("card"))
    record = pair_record(result, nothing, "a-run", "", {})
    assert {row["with_run"] for row in json.loads(json.dumps(record, allow_nan=False))["top"]} <= {None}
