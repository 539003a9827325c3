"""The headline of a run: k of n held-out pairs, what stands beside it, how it is cached, which runs may be joined."""

import json
from dataclasses import replace

import numpy as np
import pytest
from made import made_differences, made_run, small_run
from scipy import stats as reference

from plantain.findings.held_out import (
    LEFT_OUT,
    N_FLIPS,
    Beside,
    find_beside,
    fitting,
    held_out,
    read_cached,
    told_by_kind,
)
from plantain.prompts.sets import PromptPair, PromptSet, known_sets, shipped_sets
from plantain.runs.info import NotComparableError
from plantain.runs.io import load_run, save_run


@pytest.fixture(scope="module")
def run():
    return made_run(made_differences(effect=0.4))


def by_hand(differences, pairs=None):
    """k of n by leaving one pair out, with the 20 units of largest |t|; written without the package."""
    k = 0
    for i in range(len(differences)) if pairs is None else pairs:
        others = np.delete(differences, i, axis=0)
        t = np.nan_to_num(reference.ttest_1samp(others, 0).statistic)
        top = np.argsort(-abs(t), kind="stable")[:20]
        k += (np.sign(t[top]) * differences[i, top] / others[:, top].std(axis=0, ddof=1)).mean() > 0
    return k


def test_the_headline_counts_heads_at_image_tokens(run):
    found = held_out(run)
    magnitudes = run.magnitudes("heads", "image")
    assert found.k == by_hand(magnitudes[0] - magnitudes[1])
    assert (found.n, found.rule, found.units, found.scope, found.n_flips) == (25, LEFT_OUT, "heads", "image", N_FLIPS)
    assert 0 < found.p <= 1 and found.error == pytest.approx((found.p * (1 - found.p) / N_FLIPS) ** 0.5)
    change = 100 * abs((magnitudes[0] - magnitudes[1]).mean(axis=0)) / magnitudes.mean(axis=(0, 1))
    assert found.percent == pytest.approx(float(np.median(change)))


def test_the_count_splits_by_kind_where_every_pair_has_one(run):
    magnitudes = run.magnitudes("heads", "image")
    diffs, kinds = magnitudes[0] - magnitudes[1], ["neglect"] * 11 + ["wrongdoing"] * 14
    pairs = tuple(
        replace(record, pair=replace(record.pair, kind=kind)) for record, kind in zip(run.pairs, kinds, strict=True)
    )
    kinded = replace(run, pairs=pairs)
    found = told_by_kind(kinded)
    assert [(part.kind, part.n) for part in found] == [("neglect", 11), ("wrongdoing", 14)]
    assert [part.k for part in found] == [by_hand(diffs, range(11)), by_hand(diffs, range(11, 25))]
    assert sum(part.k for part in found) == held_out(kinded).k and 0 < found[0].k < 25
    assert told_by_kind(run) == told_by_kind(replace(kinded, pairs=(*pairs[:24], run.pairs[24]))) == []


def test_beside_it_stand_all_tokens_and_the_prompt_embedding(run):
    found = held_out(run)
    for told, units in ((found.all_tokens, "heads"), (found.embedding, "embedding")):
        magnitudes = run.magnitudes(units, "all")
        assert (told.k, told.units, told.scope) == (by_hand(magnitudes[0] - magnitudes[1]), units, "all")


def rename(run, **changes):
    return replace(run, info=replace(run.info, **changes), _analyses={}, inferences={})


def test_the_frozen_rule_is_tried_on_new_pairs_and_controls_rules_on_these(run):
    again = made_run(made_differences(seed=8, effect=0.4), prompts_sha256="1" * 64)
    control = made_run(made_differences(seed=9, effect=0.0), prompts_sha256="2" * 64)
    found = held_out(run, ("again", again), {"contact": control})

    def told(learned, tested):
        (a, b), (c, d) = (r.magnitudes("heads", "image") for r in (learned, tested))
        t = reference.ttest_1samp(a - b, 0).statistic
        top = np.argsort(-abs(t))[:20]
        return int(((np.sign(t[top]) / (a - b)[:, top].std(axis=0, ddof=1) * (c - d)[:, top]).mean(axis=1) > 0).sum())

    assert (found.replication.k, found.replication.rule) == (told(run, again), "again")
    exact = reference.binomtest(found.replication.k, 25, alternative="greater").pvalue
    assert found.replication.p == pytest.approx(exact)
    (mine,) = found.controls
    assert (mine.k, mine.rule) == (told(control, run), "contact")
    assert mine.p == pytest.approx(reference.binomtest(mine.k, 25).pvalue)


def test_positive_contrasts_are_told_by_their_own_pairs(run):
    red = made_run(made_differences(seed=10, effect=1.5), prompts_sha256="3" * 64)
    found = held_out(run, positives={"red": red})
    magnitudes = red.magnitudes("heads", "image")
    (told,) = found.positives
    assert (told.k, told.n, told.rule, told.units) == (by_hand(magnitudes[0] - magnitudes[1]), 25, "red", "heads")
    assert told.p == held_out(red).p and told.k >= 23
    assert replace(found, positives=()) == held_out(run)
    with pytest.raises(NotComparableError, match="red: its model differ"):
        held_out(run, positives={"red": rename(red, fingerprint="e" * 64)})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"fingerprint": "e" * 64, "prompts_sha256": "1" * 64}, "again: its model differ"),
        ({"size": 512, "prompts_sha256": "1" * 64}, "512 px"),
        ({}, "again: is of the same pairs"),
    ],
)
def test_runs_that_do_not_belong_together_are_refused(run, changes, words):
    with pytest.raises(NotComparableError, match=words):
        held_out(run, ("again", rename(run, **changes)))


def test_it_is_cached_in_the_runs_folder_and_a_damaged_cache_is_computed_anew(tmp_path):
    run = load_run(save_run(small_run(), tmp_path / "run"))
    assert read_cached(run) is None
    found = held_out(run)
    path = tmp_path / "run" / "statistics" / "held-out.json"
    again = load_run(tmp_path / "run")
    assert read_cached(again) == found == held_out(again)
    content = json.loads(path.read_bytes())
    for damage in ({"k": found.k + 1}, {"k": "many"}):
        path.write_text(json.dumps({**content, "held_out": {**content["held_out"], **damage}}))
        assert read_cached(again) is None
    path.write_text(json.dumps({**content, "key": {**content["key"], "capture": "0" * 64}}))
    assert read_cached(again) is None
    path.write_text("[]")
    assert read_cached(again) is None
    assert held_out(load_run(tmp_path / "run")) == found


def find_replication(run, folder):
    return find_beside(run, folder, ("replication",)).replication


def of_set(role, sets=shipped_sets, **changes):
    sha256, prompt_set = next((h, s) for h, (_, s) in sets().items() if s.role == role)
    run = small_run(n_pairs=len(prompt_set.pairs))
    pairs = tuple(replace(record, pair=pair) for record, pair in zip(run.pairs, prompt_set.pairs, strict=True))
    facts = {name: getattr(prompt_set, name) for name in ("title", "positive", "negative")}
    info = replace(run.info, prompt_set=prompt_set.name, prompts_sha256=sha256, **facts, **changes)
    return replace(run, info=info, pairs=pairs)


def test_a_replication_beside_the_run_is_found_where_it_was_made_in_the_same_way(tmp_path):
    axis = of_set("axis")
    save_run(axis, tmp_path / "moral")
    assert find_replication(axis, tmp_path / "moral") is None
    save_run(of_set("replication", size=128), tmp_path / "at-another-size")
    save_run(of_set("replication", fingerprint="a" * 64), tmp_path / "of-another-model")
    save_run(of_set("control"), tmp_path / "control")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text("{")
    assert find_replication(axis, tmp_path / "moral") is None
    save_run(of_set("replication"), tmp_path / "new-pairs")
    name, found = find_replication(axis, tmp_path / "moral")
    assert name == "new-pairs" and found.info.prompts_sha256 == of_set("replication").info.prompts_sha256
    assert find_replication(of_set("control"), tmp_path / "control") is None


def of_own(word, role, tmp_path, sides=("brave", "timid"), pairs=None):
    """Save a run of somebody's own set, which says its role."""
    run = small_run(n_pairs=8)
    pairs = pairs or tuple(PromptPair(f"{i}", "c", f"Ola {word}s {i}.", f"Ola naps {i}.") for i in range(8))
    own = PromptSet(word, word, *sides, pairs)
    facts = {"prompt_set": word, "title": word, "positive": sides[0], "negative": sides[1], "role": role}
    records = tuple(replace(record, pair=pair) for record, pair in zip(run.pairs, pairs, strict=True))
    run = replace(run, info=replace(run.info, **facts, prompts_sha256=own.sha256), pairs=records)
    save_run(run, tmp_path / word)
    return run


def test_an_own_axis_finds_its_own_replication_and_control_beside_it(tmp_path):
    axis = of_own("dare", "axis", tmp_path)
    of_own("brag", "replication", tmp_path, ("loud", "quiet"))  # of another contrast
    assert find_replication(axis, tmp_path / "dare") is None
    of_own("leap", "replication", tmp_path)
    of_own("run", "control", tmp_path, ("fast", "slow"))
    again = load_run(tmp_path / "dare")
    assert again.info.role == "axis"
    assert find_replication(again, tmp_path / "dare")[0] == "leap"
    beside = find_beside(again, tmp_path / "dare")
    assert beside.replication[0] == "leap" and list(beside.controls) == ["run"] and beside.positives == {}
    of_own("glow", "positive contrast", tmp_path, ("red", "blue"))
    beside = find_beside(again, tmp_path / "dare")
    assert list(beside.controls) == ["run"] and list(beside.positives) == ["glow"]


def test_pairs_with_their_sides_exchanged_are_no_replication(run):
    mirrored = tuple(
        replace(r, pair=replace(r.pair, positive=r.pair.negative, negative=r.pair.positive)) for r in run.pairs
    )
    other = replace(rename(run, prompts_sha256="1" * 64), pairs=mirrored)
    with pytest.raises(NotComparableError, match="again: is of the same pairs as the run, with the sides exchanged"):
        held_out(run, ("again", other))


def test_no_rule_is_tried_on_a_pair_that_it_was_learned_on(tmp_path):
    axis = of_own("dare", "axis", tmp_path)
    first = axis.pairs[0].pair
    some = [PromptPair(f"{i}", "c", f"Pia leaps {i}.", f"Pia naps {i}.") for i in range(8)]
    again = of_own("leap", "replication", tmp_path, pairs=(*some[:7], replace(first, id="7")))
    turned = PromptPair("7", "c", first.negative, first.positive)
    control = of_own("run", "control", tmp_path, ("fast", "slow"), pairs=(*some[:7], turned))
    for more in ({"replication": ("leap", again)}, {"controls": {"run": control}}):
        with pytest.raises(NotComparableError, match="has 1 of the run's own pairs"):
            held_out(axis, **more)
    assert find_beside(axis, tmp_path / "dare") == fitting(axis, {"leap": again, "run": control}) == Beside()


def test_a_replication_from_where_the_axis_comes_from_stands_before_others(tmp_path):
    again, former = of_set("replication"), of_set("replication", known_sets)
    own = of_own("a", "replication", tmp_path, ("helping", "ignoring"))
    assert former.info.prompts_sha256 != again.info.prompts_sha256
    runs = {"a": own, "b": former, "c": again}
    names = [fitting(of_set("axis", sets), runs).replication[0] for sets in (shipped_sets, known_sets)]
    assert names == ["c", "b"]
    assert fitting(of_own("dare", "axis", tmp_path, ("helping", "ignoring")), runs).replication[0] == "a"


def test_a_replication_that_is_not_the_registered_one_is_told(tmp_path):
    axis, again = of_set("axis"), of_set("replication")
    own = of_own("a", "replication", tmp_path, ("helping", "ignoring"))
    departs = [held_out(axis, ("x", run)).replication_departs for run in (again, own)]
    assert "prompts" not in departs[0] and set(departs[1]) == {*departs[0], "prompts"}
    assert held_out(axis).replication_departs == ()
