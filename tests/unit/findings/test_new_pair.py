"""A visitor's pair: texts, the model's identity, and the conformal rank in cases that can be told by eye."""

import dataclasses
import json

import numpy as np
import pytest
from made import N_SLICES, PAIR, made_capture, made_differences, made_info, made_run, rounded
from scipy import stats as reference

from plantain import PlantainError
from plantain.findings.new_pair import score_pair
from plantain.models.info import ModelInfo
from plantain.prompts.sets import PromptError, user_pair
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
def test_one_of_the_runs_own_pairs_ties_with_itself(seed):
    differences = made_differences(25, seed=seed)
    for twin in range(0, 25, 3):
        result = score(made_run(differences, n_permutations=1), differences[twin])
        # leaving out either of two equal rows leaves the same others, in another order: equal but for rounding
        assert result.scores[twin] == pytest.approx(result.score, rel=1e-9)
        others = np.delete(result.scores, twin)
        assert result.n_at_or_below == 2 + np.count_nonzero(others <= result.score)


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
