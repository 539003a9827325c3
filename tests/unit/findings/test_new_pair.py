"""A visitor's pair: texts, the model's identity, and the conformal rank in cases that can be told by eye."""

import dataclasses
import json

import by_hand
import numpy as np
import pytest
from made import N_SLICES, PAIR, made_capture, made_differences, made_info, made_run, rounded, with_directions
from scipy import stats as reference

from plantain import PlantainError, stats
from plantain.findings.directions import directions
from plantain.findings.held_out import ALONE, IMAGE, Beside
from plantain.findings.new_pair import Way, control_of, pair_level, score_pair
from plantain.models.info import ModelInfo
from plantain.prompts.overlap import Twin
from plantain.prompts.sets import PromptError, user_pair
from plantain.runs.directions import Means
from plantain.runs.info import NotComparableError, check_same_model
from plantain.runs.units import CARD, Selection, SelectionError


@pytest.fixture(scope="module")
def run():
    return made_run(made_differences(25, seed=1, effect=1.5))


def score(run, difference, selection=CARD):
    return score_pair(run, PAIR, made_capture(difference), selection)


# --- texts and models --------------------------------------------------------------------------------------


def test_a_visitors_texts_lose_the_blanks_around_them():
    assert user_pair("  Ana helps.\n", "\tAna hurries. ") == PAIR


@pytest.mark.parametrize(
    ("positive", "negative", "cause"),
    [
        ("", "Ana hurries.", "the positive prompt is empty"),
        ("Ana helps.", " \n ", "the negative prompt is empty"),
        ("Ana helps.", " Ana helps. ", "both prompts are the same"),
    ],
)
def test_texts_that_make_no_pair_are_refused(positive, negative, cause):
    with pytest.raises(PromptError, match=cause):
        user_pair(positive, negative)


LOADED = ModelInfo("some/model", None, "pretrained", "f" * 64, "float32", "cpu")


def test_the_models_identity_is_its_fingerprint_and_dtype():
    check_same_model(LOADED, made_info())
    check_same_model(dataclasses.replace(LOADED, model="a/copy", revision="b", device="cuda"), made_info())


def test_another_fingerprint_is_refused_with_both_names():
    other = dataclasses.replace(LOADED, model="other/model", fingerprint="a" * 64)
    with pytest.raises(NotComparableError, match=r"made by some/model \(f{12}\), but other/model \(a{12}\) is loaded"):
        check_same_model(other, made_info())


def test_another_dtype_is_refused_with_the_way_out():
    with pytest.raises(
        NotComparableError, match=r"made in float32, some/model is loaded in bfloat16; load it in float32"
    ):
        check_same_model(dataclasses.replace(LOADED, dtype="bfloat16"), made_info())
    assert issubclass(NotComparableError, PlantainError)


# --- the conformal rank ------------------------------------------------------------------------------------


def test_a_pair_like_the_mean_of_the_others_lies_in_the_middle(run):
    result = score(run, rounded(run.analysis(Selection("card")).differences.mean(axis=0)))
    assert result.score > 0.5
    assert 8 / 26 <= result.p <= 18 / 26


def test_a_pair_further_along_than_all_others_ranks_highest(run):
    result = score(run, rounded(3 * run.analysis(Selection("card")).differences.mean(axis=0)))
    assert result.score > max(result.scores)
    assert (result.n_at_or_below, result.p) == (26, 1.0)


def test_an_opposite_pair_ranks_lowest(run):
    result = score(run, rounded(-3 * run.analysis(Selection("card")).differences.mean(axis=0)))
    assert result.score < min(result.scores)
    assert (result.n_at_or_below, result.p) == (1, 1 / 26)


def test_a_pair_without_any_difference_scores_zero(run):
    assert score(run, np.zeros(N_SLICES)).score == 0


@pytest.mark.parametrize("seed", range(8))
def test_a_pair_with_the_differences_of_one_of_the_runs_ties_with_it(seed):
    differences = made_differences(25, seed=seed)
    for twin in range(0, 25, 3):  # the same differences under other texts: no pair of the run
        result = score(made_run(differences, n_permutations=1), differences[twin])
        # leaving out either of two equal rows leaves the same others, in another order: equal but for rounding
        assert result.scores[twin] == pytest.approx(result.score, rel=1e-9)
        others = np.delete(result.scores, twin)
        assert result.n_at_or_below == 2 + np.count_nonzero(others <= result.score)


def without(run, k):
    """Return the run that a new pair is put in where the pair k of a run of 25 is taken out of it."""
    return made_run(np.delete(run.analysis(CARD).differences, k, axis=0))


@pytest.mark.parametrize("sign", [1, -1])
def test_the_runs_own_pair_is_scored_by_the_others_alone_and_has_no_p(run, sign):
    differences, k = run.analysis(CARD).differences, 7
    texts = (run.pairs[k].pair.positive.upper(), f"{run.pairs[k].pair.negative}.")
    pair = user_pair(*texts[::sign])
    found = score_pair(run, pair, made_capture(sign * differences[k]), CARD)
    as_new = score_pair(without(run, k), PAIR, made_capture(sign * differences[k]), CARD)
    assert found.twin == Twin("pair-7", sign < 0) and as_new.twin is None
    assert found.pairs == tuple(f"pair-{i}" for i in range(25) if i != k)
    assert (found.score, found.scores, found.n_at_or_below) == (as_new.score, as_new.scores, as_new.n_at_or_below)
    assert found.p is None and as_new.p == as_new.n_at_or_below / 25
    assert found.top == as_new.top and found.own == score(run, differences[k]).own
    held_out = stats.conformal_scores(differences, 20)  # its score among the run's 25, as the run's headline has it
    if sign > 0:
        assert found.score == pytest.approx(held_out[k], rel=1e-9)
        assert found.scores == pytest.approx(np.delete(held_out, k), rel=1e-9)
    else:
        assert found.score == pytest.approx(-held_out[k], rel=1e-9)


def test_ties_count_against_a_claim():
    nothing = score(made_run(np.zeros((25, N_SLICES))), np.zeros(N_SLICES))
    assert (nothing.score, set(nothing.scores), nothing.p) == (0.0, {0.0}, 1.0)  # 26 ties: p = 26/26


def test_the_scores_are_those_of_leaving_out_each_of_the_26_in_turn(run):
    differences = run.analysis(Selection("card")).differences
    new = made_differences(1, seed=5)[0]
    everything = np.vstack([differences, new])
    expected = []
    for i in range(26):
        others = np.delete(everything, i, axis=0)
        effect = others.mean(axis=0) / others.std(axis=0, ddof=1)  # ranks units as t does
        top = np.argsort(-np.abs(effect))[:20]
        expected.append(np.mean(np.sign(effect[top]) * everything[i, top] / others[:, top].std(axis=0, ddof=1)))
    result = score(run, new)
    np.testing.assert_allclose((*result.scores, result.score), expected, rtol=1e-10)
    assert result.n_at_or_below == sum(s <= result.score for s in expected)


def test_p_moves_in_steps_of_one_in_26(run):
    mean = run.analysis(Selection("card")).differences.mean(axis=0)
    seen = [score(run, rounded(c * mean)) for c in np.linspace(-0.5, 1.5, 41)]
    assert {r.p for r in seen} <= {k / 26 for k in range(1, 27)}
    assert len({r.p for r in seen}) > 8  # many of the 26 steps are met on the way
    assert all(r.p == r.n_at_or_below / 26 and len(r.scores) == 25 for r in seen)


def test_the_top_units_are_the_runs_twenty_largest_t_whatever_the_new_pair_is(run):
    a = run.analysis(Selection("card"))
    largest = sorted(np.abs(a.t), reverse=True)[:20]
    new = np.zeros(N_SLICES)
    new[a.ranking[-1]] = 8.0  # large on the weakest unit
    result = score(run, new)
    assert [abs(u.t) for u in result.top] == pytest.approx(largest)
    for unit in result.top:
        index = a.table.names.index(unit.unit)
        assert unit.t == a.t[index] and unit.new == new[index]
        assert unit.differences == tuple(a.differences[:, index])


def test_unequal_token_counts_are_not_comparable(run):
    equal, unequal = (
        score_pair(run, PAIR, made_capture(np.zeros(N_SLICES), w), Selection("card")) for w in ((4, 4), (4, 2))
    )
    assert (equal.tokens, equal.comparable) == ((4, 4), True)
    assert (unequal.tokens, unequal.comparable) == ((4, 2), False)


def test_units_and_scope_are_the_ones_asked_for(run):
    result = score(run, np.zeros(N_SLICES), Selection("mlp", "words"))
    assert (result.units, result.scope, len(result.top)) == ("mlp", "words", 10)  # 5 blocks of 2 groups
    assert all("MLP group" in u.unit for u in result.top)
    with pytest.raises(SelectionError, match="'text-heads' have no tokens of scope 'image'"):
        score(run, np.zeros(N_SLICES), Selection("text-heads", "image"))


def test_a_degenerate_unit_is_neither_shown_nor_scored():
    differences = made_differences(25, seed=1, effect=1.5)
    differences[:, 6] = 2.0
    new = np.zeros(N_SLICES)
    new[6] = 2.0
    result = score(made_run(differences), new)
    assert "single[0] slice 2" not in {u.unit for u in result.top}
    assert result.score == 0


def test_a_result_is_json(run):
    result = dataclasses.asdict(score(run, made_differences(1, seed=5)[0]))
    assert json.loads(json.dumps(result, allow_nan=False))["p"] == result["p"]


@pytest.mark.statistics
def test_the_p_of_a_pair_like_the_runs_is_uniform_on_its_26_steps():
    rng, steps = np.random.default_rng(21), np.zeros(26)
    for _ in range(300):
        pairs = rounded(rng.exponential(size=(26, 1)) - 1 + rng.normal(size=(26, N_SLICES)))
        p = score(made_run(pairs[:25], n_permutations=4), pairs[25]).p
        assert 26 * p == pytest.approx(round(26 * p)) and p > 0  # the pair itself counts
        steps[round(26 * p) - 1] += 1
    assert steps.sum() == 300 and reference.chisquare(steps).pvalue > 1e-3


def test_whether_the_runs_pairs_agree_is_the_count_of_held_out_pairs(run):
    differences = run.analysis(CARD).differences
    own = score(run, np.zeros(N_SLICES)).own
    told = 0
    for i in range(25):
        others = np.delete(differences, i, axis=0)
        t = reference.ttest_1samp(others, 0).statistic
        top = np.argsort(-np.abs(t))[:20]
        told += (np.sign(t[top]) * differences[i, top] / others[:, top].std(axis=0, ddof=1)).mean() > 0
    assert (own.k, own.n) == (told, 25)
    assert own.p <= 0.01 and 0 < own.reach < 2


# --- by directions -----------------------------------------------------------------------------------------

SHARED = {"joint_image": 1.0, "single": 1.0}


def means_of(run, pairs):
    means = run.directions
    return Means({part: values[:, pairs] for part, values in means.parts.items()}, means.tokens[:, pairs])


@pytest.fixture(scope="module")
def one_more():
    """A run of 26 pairs that agree in their directions: the last one is the visitor's."""
    return with_directions(made_run(made_differences(26, seed=1, effect=1.5)), change=SHARED)


@pytest.fixture(scope="module")
def directed(run, one_more):
    return dataclasses.replace(run, directions=means_of(one_more, slice(25)), _directed={})


def directed_score(run, means):
    return score_pair(run, PAIR, dataclasses.replace(made_capture(np.zeros(N_SLICES)), means=means), CARD)


def test_by_directions_each_of_the_26_is_scored_by_all_others_over_all_heads(directed, one_more):
    found = directed_score(directed, means_of(one_more, slice(25, 26))).directions
    cosines = by_hand.cosines(one_more.vectors(IMAGE)).mean(axis=0)
    expected = (cosines.sum(axis=1) - np.diag(cosines)) / 25
    np.testing.assert_allclose((*found.scores, found.score), expected, rtol=1e-6)
    assert found.n_at_or_below == np.count_nonzero(expected <= expected[-1]) and found.p == found.n_at_or_below / 26
    headline = directions(directed).rule
    assert (found.own.k, found.own.n, found.own.p) == (headline.k, headline.n, headline.p) and found.own.k == 25


def test_directions_say_first_what_a_pair_does_and_magnitudes_stand_beside(run, directed, one_more):
    like, strange = means_of(one_more, slice(25, 26)), means_of(with_directions(one_more, seed=3), slice(25, 26))
    swapped = Means({part: values[::-1] for part, values in like.parts.items()}, like.tokens)
    found = {
        way: directed_score(directed, means)
        for way, means in ((Way.WITH, like), (Way.AGAINST, swapped), (Way.NEITHER, strange))
    }
    still = score(run, np.zeros(N_SLICES))
    for way, result in found.items():
        assert result.way is result.first.way is way and result.first is result.directions
        assert dataclasses.replace(result, directions=None) == still and result.magnitudes.way is still.way
    noise = with_directions(run, seed=4)
    assert directed_score(noise, like).way is Way.NONE and still.way is Way.NEITHER


def test_by_directions_too_the_runs_own_pair_is_scored_by_the_others_alone(directed):
    texts = directed.pairs[3].pair
    own, cosines = means_of(directed, slice(3, 4)), by_hand.cosines(directed.vectors(IMAGE)).mean(axis=0)
    expected = (cosines.sum(axis=1) - np.diag(cosines)) / 24
    mirrored = Means({part: values[::-1] for part, values in own.parts.items()}, own.tokens)
    captures = [dataclasses.replace(made_capture(np.zeros(N_SLICES)), means=means) for means in (own, mirrored)]
    found = score_pair(directed, user_pair(texts.positive, texts.negative), captures[0], CARD).directions
    assert found.score == pytest.approx(expected[3], rel=1e-6)
    assert found.scores == pytest.approx(np.delete(expected, 3), rel=1e-6)
    assert found.n_at_or_below == 1 + np.count_nonzero(np.delete(expected, 3) <= expected[3]) and found.p is None
    assert found.pairs == tuple(record.pair.id for record in directed.pairs if record.pair.id != "pair-3")
    turned = score_pair(directed, user_pair(texts.negative, texts.positive), captures[1], CARD)
    assert turned.twin == Twin("pair-3", True) and turned.way is Way.AGAINST and turned.directions.p is None


def test_without_directions_of_the_headline_or_of_the_pair_magnitudes_speak_alone(run, directed, one_more):
    like = means_of(one_more, slice(25, 26))
    control = with_directions(run, level="image")  # its headline is of magnitudes
    assert [pair_level(each) for each in (run, directed, control)] == ["off", "image", "off"]
    for each, means in ((run, like), (control, like), (directed, None)):
        result = directed_score(each, means)
        assert result.directions is None and result.first == result.magnitudes


def test_a_control_is_scored_by_directions_as_well(directed, one_more):
    colour, silent = control_run(7, "colour", 1), control_run(8, "place", 2)
    colour = with_directions(colour, seed=9, change={"single": 0.4})
    found = control_of(directed, Beside(controls={"c": colour, "a": silent}), CARD)
    rule = stats.learn_directions(directed.vectors(IMAGE))
    z = stats.tangential_directions(colour.vectors(IMAGE), rule.along)
    assert found.name == "c"
    assert found.scores == pytest.approx([float((one * rule.weights).sum(axis=1).mean()) for one in z])
    assert control_of(directed, Beside(controls={"a": silent})) is None


# --- a control ---------------------------------------------------------------------------------------------


def control_run(seed, prompt_set, number):
    facts = {"prompt_set": prompt_set, "positive": "green", "negative": "brown", "prompts_sha256": f"{number}" * 64}
    return made_run(made_differences(6, seed=seed, effect=0.0), **facts)


def test_a_controls_pairs_are_scored_as_a_new_pair_is(run):
    other = control_run(7, "colour", 1)
    found = control_of(run, Beside(controls={"c": other}), CARD)
    differences = np.subtract(*other.magnitudes("card", "all"))
    assert found.scores == pytest.approx([score(run, difference).score for difference in differences])
    assert (found.name, found.sides) == ("c", ("green", "brown"))


def test_the_plainest_control_is_taken_whatever_it_scores(run):
    colour, place, other = (control_run(i, name, i + 1) for i, name in enumerate(("colour", "book-place", "tempo")))
    assert control_of(run, ALONE) is None
    assert control_of(run, Beside(controls={"a": other, "b": place}), CARD).name == "b"
    assert control_of(run, Beside(controls={"a": other, "b": place}, positives={"z": colour}), CARD).name == "z"
    assert control_of(run, Beside(controls={"b": other, "a": other}), CARD).name == "a"
