"""What a run's directions say: its headline, where the rule holds on, and what stands beside it by magnitudes."""

from dataclasses import replace

import by_hand
import numpy as np
import pytest
from made import directed_set, small_run, with_directions, with_kinds
from scipy import stats as reference

from plantain.findings.directions import directions, frozen, keeps_directions, scores, transfers, unit_directions
from plantain.findings.held_out import HeldOut, cached, held_out, read_cached, told_by_kind
from plantain.findings.told import DIRECTION, LEFT_OUT, MAGNITUDE
from plantain.report.across_runs.study import reservoir_lines
from plantain.report.verdict import count_words, verdict_lines
from plantain.runs.info import NotComparableError
from plantain.runs.io import load_run, save_run
from plantain.runs.units import CARD, HEADS, Selection, unit_table

IMAGE = Selection("heads", "image")
PUSH = {"joint_image": 0.4, "single": 0.4}


@pytest.fixture(scope="module")
def run():
    return with_kinds(directed_set(1, 1, PUSH))


def total(run, selection):
    return by_hand.cosines(run.vectors(selection).astype(np.float64)).sum(axis=0)


def test_the_headline_is_of_directions_where_the_run_keeps_them(run):
    found = held_out(run)
    image, everywhere, before = (total(run, of) for of in (IMAGE, HEADS, Selection("embedding", "all")))
    assert (found.k, found.n, found.measure, found.rule) == (by_hand.told(image), 25, DIRECTION, LEFT_OUT)
    assert (found.units, found.scope, found.n_flips, found.n_top) == ("heads", "image", 9_999, 14)
    assert found.k >= 20 and found.p < 0.001
    assert (found.all_tokens.k, found.embedding.k) == (by_hand.told(everywhere), by_hand.told(before))
    assert found.all_tokens.measure == found.embedding.measure == DIRECTION
    assert found.embedding.p > 0.001, "nothing is planted there"


def test_its_p_is_that_of_the_flips_of_the_seed(run):
    flips = 2 * np.random.default_rng((run.info.seed, 5)).integers(0, 2, size=(9_999, 25)) - 1
    embedding = total(run, Selection("embedding", "all"))
    found = held_out(run).embedding
    null = ((flips[:, :, None] * flips[:, None, :] * embedding).sum(axis=2) > 0).sum(axis=1)
    assert found.p == (1 + int((null >= found.k).sum())) / 10_000


def test_magnitudes_stand_beside_as_they_are_without_directions(run):
    plain = replace(run, directions=None, _directed={})
    assert not keeps_directions(plain) and keeps_directions(run)
    alone, found = held_out(plain), held_out(run)
    assert alone.measure == MAGNITUDE and alone.magnitudes is None
    assert found.magnitudes == alone and found.percent == alone.percent


def test_frozen_rules_go_by_directions_and_by_magnitudes(run):
    again, control = directed_set(2, 2, PUSH), directed_set(3, 3)
    found = held_out(run, ("again", again), {"contact": control})
    k = sum(s > 0 for s in by_hand.transferred(run.vectors(IMAGE).astype(float), again.vectors(IMAGE).astype(float)))
    assert (found.replication.k, found.replication.rule, found.replication.measure) == (k, "again", DIRECTION)
    assert found.replication.p == pytest.approx(reference.binomtest(k, 25, alternative="greater").pvalue) and k >= 20
    k = sum(s > 0 for s in by_hand.transferred(control.vectors(IMAGE).astype(float), run.vectors(IMAGE).astype(float)))
    (mine,) = found.controls
    assert (mine.k, mine.rule) == (k, "contact") and mine.p == pytest.approx(reference.binomtest(k, 25).pvalue)
    plain = held_out(replace(run, directions=None, _directed={}), ("again", again), {"contact": control})
    assert found.magnitudes == plain and plain.replication.measure == MAGNITUDE
    silent = replace(again, directions=None, _directed={})
    mixed = held_out(run, ("again", silent), {"contact": control})
    assert mixed.replication is None and mixed.magnitudes.replication == plain.replication


def test_every_pair_is_told_by_the_pairs_of_other_categories(run):
    found, image = directions(run).categories, total(run, IMAGE)
    labels = [record.pair.category for record in run.pairs]
    assert found.k == by_hand.told(image, labels) and found.k >= 18 and found.p < 0.01
    patterns = [[1 if c == "a" else s for c in labels] for s in (1, -1)]
    over = [by_hand.told(image, labels, pattern) >= found.k for pattern in patterns]
    assert directions(run).categories_p == sum(over) / 2, "two categories have two patterns"
    one = replace(run, pairs=tuple(replace(r, pair=replace(r.pair, category="a")) for r in run.pairs))
    assert (directions(one).categories, directions(one).categories_p) == (None, None)


def test_a_kinds_rule_is_tried_on_another_where_both_have_eight_pairs(run):
    vectors, kinds = run.vectors(IMAGE).astype(float), np.array(run.kinds)
    found = {(part.learned, part.tested): part for part in directions(run).kinds}
    assert len(found) == 6
    for one, other in (("neglect", "wrongdoing"), ("wrongdoing", "neglect")):
        k = sum(s > 0 for s in by_hand.transferred(vectors[:, kinds == one], vectors[:, kinds == other]))
        part = found[one, other]
        assert (part.k, part.n) == (k, 10) and k >= 8
        assert part.p == pytest.approx(reference.binomtest(k, 10, alternative="greater").pvalue)
    for part in found.values():
        assert ("exclusion" in (part.learned, part.tested)) == (part.k is None) == (part.p is None)
    assert directions(replace(run, pairs=(*run.pairs[:24], directed_set(1, 1).pairs[24]))).kinds == ()


def test_the_count_splits_by_kind_and_adds_up(run):
    parts = told_by_kind(run)
    image, kinds = total(run, IMAGE), np.array(run.kinds)
    right = image.sum(axis=1) > 0
    assert [(p.kind, p.k, p.n) for p in parts] == [
        (kind, int(right[kinds == kind].sum()), int((kinds == kind).sum()))
        for kind in ("neglect", "exclusion", "wrongdoing")
    ]
    assert sum(part.k for part in parts) == held_out(run).k
    np.testing.assert_allclose(scores(run), image.sum(axis=1) / 24, rtol=1e-6)


def test_strength_and_agreeing_heads_are_counted(run):
    found = directions(run)
    for name, of in (("rule", IMAGE), ("all_tokens", HEADS), ("embedding", Selection("embedding", "all"))):
        s = total(run, of).sum(axis=1)
        assert found.strengths[name] == pytest.approx(s.mean() / s.std(ddof=1), rel=1e-5)
    flips = 2 * np.random.default_rng((run.info.seed, 9)).integers(0, 2, size=(9_999, 25)) - 1
    grams = by_hand.cosines(run.vectors(IMAGE).astype(float))
    up = np.triu_indices(25, 1)
    pairs = (flips[:, up[0]] * flips[:, up[1]]).astype(float)
    spread = np.sqrt((grams[:, up[0], up[1]] ** 2).sum(axis=1))
    null = (pairs @ grams[:, up[0], up[1]].T / spread).max(axis=1)
    own = grams[:, up[0], up[1]].sum(axis=1) / spread
    p = np.array([(1 + (null >= value - 1e-9).sum()) / 10_000 for value in own])
    np.testing.assert_allclose(run.direction_analysis(IMAGE).agreement.p_fwer, p)
    assert found.n_fwer_05 == (p <= 0.05).sum() > 3


def test_units_without_vectors_have_no_directions(run):
    assert unit_directions(run, CARD) is None and unit_directions(run, Selection("mlp", "all")) is None
    assert unit_directions(run, HEADS).table.names == run.analysis(HEADS).table.names
    assert unit_directions(replace(run, directions=None, _directed={}), HEADS) is None


def test_rules_go_from_set_to_set(run):
    other = directed_set(4, 4, {"joint_image": -0.4, "single": -0.4})
    found = transfers({"a": run, "b": other})
    assert found.names == ("a", "b") and found.n == (25, 25)
    assert found.k[0][0] == held_out(run).k and found.k[1][1] == held_out(other).k
    mine = by_hand.transferred(run.vectors(IMAGE).astype(float), other.vectors(IMAGE).astype(float))
    assert found.k[0][1] == sum(score > 0 for score in mine) <= 5 and found.k[1][0] <= 5
    own = [total(each, IMAGE).sum() / (25 * 24) for each in (run, other)]
    assert found.cosine[0][1] == pytest.approx(np.mean(mine) / np.sqrt(own[0] * own[1])) and found.cosine[0][1] < -0.5
    assert found.cosine[0][0] == found.cosine[1][1] == 1 and found.cosine[1][0] < -0.5
    assert found.interval[0][0] is found.interval[1][1] is None
    for i, j, low, high in ((i, j, *found.interval[i][j]) for i, j in ((0, 1), (1, 0))):
        assert low < found.cosine[i][j] < high < 0
    none = transfers({"a": run, "c": directed_set(6, 6)})
    assert none.cosine[0][1] is none.cosine[1][0] is none.cosine[1][1] is None


def test_the_cache_keeps_magnitudes_alone_in_the_bytes_of_before(tmp_path):
    saved = load_run(save_run(small_run(), tmp_path / "run"))
    loud = cached(saved)
    text = (saved.folder / "statistics" / "held-out.json").read_text()
    assert "measure" not in text and '"magnitudes"' not in text and "direction" not in text
    again = read_cached(load_run(saved.folder))
    assert again == loud and isinstance(again, HeldOut) and again.measure == MAGNITUDE
    assert held_out(with_directions(saved)).magnitudes == held_out(saved)


def test_a_frozen_rules_cosine_is_its_score_over_both_sets_own(run):
    again = directed_set(2, 2, PUSH)
    found = held_out(run, ("again", again)).replication
    mine = by_hand.transferred(run.vectors(IMAGE).astype(float), again.vectors(IMAGE).astype(float))
    own = [total(each, IMAGE).sum(axis=1).mean() / 24 for each in (run, again)]
    assert found.cosine == pytest.approx(np.mean(mine) / np.sqrt(own[0] * own[1])) == pytest.approx(1, abs=0.15)
    assert held_out(run).cosine is None
    low, high = found.cosine_interval
    assert low < 1 < high < low + 0.5 and (low + high) / 2 == pytest.approx(found.cosine)
    assert f"{found.cosine:.2f} [{low:.2f}, {high:.2f}]" in count_words(found)


@pytest.mark.parametrize("size", [0.25, 1.0])
def test_the_cosine_does_not_ask_how_far_the_pairs_of_a_control_agree(run, size):
    """The same change is one rule, however faint it is; another is another, however loud."""
    same, other = directed_set(2, 2, {"joint_image": size, "single": size}), directed_set(3, 3, {"joint_image": size})
    same, other = (frozen(each, run, "control", two_sided=True) for each in (same, other))
    assert same.cosine == pytest.approx(1, abs=0.15) and other.cosine < 0.85
    none = frozen(directed_set(4, 4), run, "control")
    assert none.cosine is none.cosine_interval is None, "its pairs do not agree: it has no rule"


def untrained(run, level="heads", **changes):
    """The same prompts through random weights: no pair agrees with another."""
    info = replace(run.info, weights="reservoir", fingerprint="e" * 64, **changes)
    return with_directions(replace(run, info=info, _analyses={}), seed=9, level=level)


@pytest.mark.parametrize("level", ["heads", "image"])
def test_a_transformer_of_random_weights_on_the_same_prompts_stands_beside(run, level):
    other = untrained(run, level)
    (found,) = held_out(run, untrained={"reservoir-0": other}).untrained
    one, two = (total(each, IMAGE) / (25 * 24) / unit_table(run.info.layout, IMAGE).n_units for each in (run, other))
    assert (found.name, found.weights) == ("reservoir-0", "reservoir")
    assert (found.agreement, found.other) == pytest.approx((one.sum(), two.sum()))
    assert found.difference == pytest.approx(one.sum() - two.sum()) and found.p < 0.001
    said = " ".join(verdict_lines(run, held_out(run, untrained={"reservoir-0": other})))
    assert f"a cosine of {one.sum():.3f} on average, and of {two.sum():.3f} in the random transformer of" in said
    assert "not independent" not in said


def test_several_of_them_are_said_to_share_the_runs_own_cosine(run):
    run = replace(run, info=replace(run.info, role="axis"), _analyses={})
    beside = {f"reservoir-{i}": untrained(run) for i in range(2)}
    said = " ".join(verdict_lines(run, held_out(run, untrained=beside)))
    assert said.count("in the random transformer of reservoir-") == 2
    assert (
        "These 2 differences are of the same pairs and share this run's own cosine: their p values are not independent."
    ) in said
    other = {**beside, "reservoir-2": untrained(run, dtype="bfloat16")}
    lines = reservoir_lines(run, other)
    assert len([line for line in lines if "random transformer of" in line]) == 2, "one is of another precision"
    assert lines[-1] in said


def test_what_is_no_such_run_is_refused(run):
    with pytest.raises(NotComparableError, match="other: is no run of random weights"):
        held_out(run, untrained={"other": directed_set(1, 9)})
    with pytest.raises(NotComparableError, match="other: it was made with other settings"):
        held_out(run, untrained={"other": untrained(run, size=128)})
    with pytest.raises(NotComparableError, match="other: its prompts are others"):
        held_out(run, untrained={"other": untrained(directed_set(2, 2))})


def test_later_times_are_told_each_by_itself_and_the_largest_of_all_is_the_family(run):
    image = run.vectors(IMAGE)
    width = {"joint_image": image[:, :, : run.info.layout.n_joint * run.info.layout.n_heads]}
    width["single"] = image[:, :, width["joint_image"].shape[2] :]
    noise = np.random.default_rng(4)
    later = {
        part: np.stack([own, own.mean() + noise.normal(size=own.shape)]).reshape(2, 2, 25, -1).astype(np.float16)
        for part, own in width.items()
    }
    timed = replace(run, directions=replace(run.directions, times=(0.5, 0.1), later=later), _directed={})
    first, same, none = directions(timed).times
    gram = total(run, IMAGE) / unit_table(run.info.layout, IMAGE).n_units
    assert (first.time, same.time, none.time) == (1, 0.5, 0.1)
    assert first.k == same.k == by_hand.told(total(run, IMAGE)) and none.k < 20
    assert first.agreement == pytest.approx(gram.sum() / (25 * 24)) and same.agreement == pytest.approx(first.agreement)
    assert first.p_fwer < 0.01 and none.p_fwer > 0.05 and directions(run).times == ()
