"""The slower statistics of a run: what they hold, that they are kept, and what they say."""

import os
from dataclasses import replace

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save
from scipy import stats as reference

from plantain._files import plain, strict_record
from plantain.findings.pairs import PairPart, by_pair
from plantain.report.statements import Kind, careful_statements, pair_statements
from plantain.runs import inference
from plantain.runs.inference import COLUMNS, InferenceFacts, cache_key, without_block_means
from plantain.runs.io import load_run, save_run
from plantain.runs.scopes import PLAIN_SCOPES, UNITS
from plantain.runs.units import Selection, scope_changes
from plantain.stats import draw_halves, split_half


def test_every_unit_has_its_columns_as_scipy_has_them(moral_run):
    a, columns = moral_run.analysis(Selection("heads")), moral_run.inference(Selection("heads")).columns
    assert set(columns) == set(COLUMNS) and all(c.shape == (100,) for c in columns.values())
    p = columns["p_exact"]
    assert ((p > 0) & (p <= 1)).all() and np.allclose(p * 2**24, np.rint(p * 2**24))  # the lattice of 25 pairs
    assert np.corrcoef(np.log(p), np.log(2 * reference.t.sf(np.abs(a.t), 24)))[0, 1] > 0.98
    np.testing.assert_allclose(columns["q_bh"], reference.false_discovery_control(p), rtol=1e-12)
    assert ((columns["d_low"] < a.dz) & (a.dz < columns["d_high"])).all()
    assert (np.abs(columns["g"]) < np.abs(a.dz)).all()
    order = np.argsort(-np.abs(a.t))
    assert (np.diff(columns["p_fwer"][order]) >= 0).all()  # a larger |t| never has a larger family-wise p
    percent = 100 * a.differences.mean(axis=0) / a.magnitudes.mean(axis=(0, 1))
    np.testing.assert_allclose(columns["percent"], percent)


@pytest.mark.parametrize("scope", [*PLAIN_SCOPES, "all", "prompt"])
@pytest.mark.parametrize("units", UNITS)
def test_every_choice_has_facts_that_are_json(moral_run, units, scope):
    if scope == "image" and units in ("text-heads", "embedding"):
        return
    facts = moral_run.inference(Selection(units, scope)).facts
    assert strict_record(InferenceFacts, plain(facts), "facts") == facts
    for threshold in facts.thresholds.values():
        assert 1 / 1001 <= threshold.p <= 1
    kinds = [statement.kind for statement in careful_statements(moral_run, Selection(units, scope))]
    assert kinds[:2] == [Kind.COUNT] * 2 and (Kind.PARTS in kinds) == (units == "card")
    assert {Kind.CORRECTED, Kind.EFFECT, Kind.RELIABILITY, Kind.GAIN, Kind.WHERE} <= set(kinds)


def test_few_pairs_and_flips_leave_ends_open_but_stay_json(made_run):
    facts = made_run().summary(Selection("card")).inference
    assert plain(facts)  # which JSON's lack of infinity would refuse
    assert facts.thresholds[3].null_p99_interval[1] is None  # 20 flips say nothing above their 99th percentile
    assert careful_statements(made_run(), Selection("card", "all"))


def test_the_changes_of_the_scopes_add_up_to_the_whole(moral_run):
    squares = np.zeros(2)
    for stream in ("joint_image", "single"):
        squares += moral_run.sums.streams[stream].astype(float).sum(axis=(2, 3)).mean(axis=1)
    changes = scope_changes(moral_run.sums, moral_run.info.layout, "card")
    assert list(changes) == list(PLAIN_SCOPES)
    assert sum(changes.values()) == pytest.approx(100 * (squares[0] - squares[1]) / squares.mean(), rel=1e-9)


def test_a_blocks_mean_is_taken_out_pair_by_pair():
    values = np.arange(12.0).reshape(2, 6) ** 2
    block = np.array(["a", "a", "b", "b", "b", "a"])
    centred = without_block_means(values, block)
    for name in "ab":
        np.testing.assert_allclose(centred[:, block == name].mean(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(np.diff(centred[:, [0, 1, 5]]), np.diff(values[:, [0, 1, 5]]))


# --- kept in the run's folder ------------------------------------------------------------------------------


@pytest.fixture
def saved(made_run, tmp_path, monkeypatch):
    """A saved run, and a list that grows whenever statistics are computed."""
    folder, computed, infer = save_run(made_run(), tmp_path / "run"), [], inference.infer
    monkeypatch.setattr(inference, "infer", lambda *args: computed.append(1) or infer(*args))
    return folder, computed


def test_statistics_are_computed_once_and_come_back_to_the_bit(saved):
    folder, computed = saved
    first, second = (
        load_run(folder).inference(Selection("mlp", "image")),
        load_run(folder).inference(Selection("mlp", "image")),
    )
    assert len(computed) == 1 and first.facts == second.facts
    for name in COLUMNS:
        np.testing.assert_array_equal(first.columns[name], second.columns[name])
    load_run(folder).inference(Selection("card"))
    assert len(computed) == 1  # saving a run computes what its files need


def test_statistics_that_were_looked_at_before_saving_are_kept_as_well(made_run, tmp_path):
    run = made_run()
    run.inference(Selection("card"))
    folder = save_run(run, tmp_path / "run")
    assert {path.name for path in (folder / inference.STATISTICS).iterdir()} == {
        f"{units}-all.safetensors" for units in UNITS
    }


@pytest.mark.parametrize("damage", [b"", b"x" * 500, None])
def test_damaged_or_strange_statistics_are_computed_again(saved, damage):
    folder, computed = saved
    path = folder / inference.STATISTICS / "card-all.safetensors"
    path.write_bytes(
        (folder / inference.STATISTICS / "heads-all.safetensors").read_bytes() if damage is None else damage
    )
    load_run(folder).inference(Selection("card"))
    assert len(computed) == 1


def flipped(path):
    content = bytearray(path.read_bytes())
    content[-20] ^= 1  # a number's last digits
    path.write_bytes(content)


def piped(path):
    path.unlink()
    os.mkfifo(path)  # who reads it waits for ever


def linked(path):
    path.rename(path.with_suffix(".elsewhere"))
    path.symlink_to(path.with_suffix(".elsewhere"))


def swollen(path):
    os.truncate(path, 5 << 40)


def rewritten(text):
    def write(path):
        with safe_open(path, "np") as file:
            columns = {name: file.get_tensor(name) for name in COLUMNS}
        path.write_bytes(save(columns, metadata={"statistics": text}))

    return write


STRANGE = {"a bit": flipped, "a pipe": piped, "a link": linked, "a huge file": swollen,
           "a list": rewritten("[1]"), "no facts": rewritten("{}"), "no object": rewritten("1")}  # fmt: skip


@pytest.mark.parametrize("strange", STRANGE)
def test_no_other_number_is_ever_taken_from_kept_statistics(saved, strange):
    folder, computed = saved
    before = load_run(folder).inference(Selection("card"))
    STRANGE[strange](folder / inference.STATISTICS / "card-all.safetensors")
    after = load_run(folder).inference(Selection("card"))
    assert len(computed) == 1
    assert all(np.array_equal(before.columns[name], after.columns[name]) for name in COLUMNS)


def test_another_version_or_capture_is_computed_again(saved, made_run, monkeypatch):
    folder, computed = saved
    monkeypatch.setattr("plantain.runs.inference.VERSION", -1)
    load_run(folder).inference(Selection("card"))
    assert len(computed) == 1
    save_run(made_run(seed=5), folder, overwrite=True)
    assert load_run(folder).inference(Selection("card")).facts != made_run().inference(Selection("card")).facts


def test_a_folder_that_cannot_be_written_costs_time_not_the_answer(saved, monkeypatch):
    folder, computed = saved

    def refuse(*_args, **_kwargs):
        raise PermissionError("read-only")

    monkeypatch.setattr("pathlib.Path.write_bytes", refuse)
    assert load_run(folder).inference(Selection("mlp", "words")).facts
    assert len(computed) == 1 and not (folder / inference.STATISTICS / "mlp-words.safetensors").exists()


def test_the_influence_of_single_pairs_is_said_with_their_names(moral_run):
    lines = pair_statements(moral_run, by_pair(moral_run), Selection("card", "all"))
    (line,) = (x.text for x in lines if x.kind is Kind.INFLUENCE)
    differences = moral_run.analysis().differences
    counts = []
    for i in range(25):
        others = np.delete(differences, i, axis=0)
        counts.append(int((np.abs(reference.ttest_1samp(others, 0).statistic) > 3).sum()))
    ids = [record.pair.id for record in moral_run.pairs]
    assert f"are {said(min(counts), counts, ids)} to {said(max(counts), counts, ids)}." in line


def said(count, counts, ids):
    """Write a count, with the pair without which it comes about where it is one pair alone."""
    names = [name for name, own in zip(ids, counts, strict=True) if own == count]
    return f"{count} (without {names[0]})" if len(names) == 1 else f"{count}"


def test_a_pair_that_alone_carries_units_is_named_and_ties_are_not(made_run):
    parts = [PairPart(name, "c", 0, 1, 0.0, 1.0, (count, 0)) for name, count in (("a", 3), ("b", 9), ("c", 9))]
    ((_, line), *_) = pair_statements(made_run(n_pairs=4), parts, Selection("card", "all"))
    assert "are 3 (without a) to 9. Fewer" in line


def test_halves_with_as_many_pairs_of_each_category_are_correlated_as_well(moral_run):
    facts = moral_run.inference(Selection("heads")).facts.reliability.stratified
    labels = [record.pair.category for record in moral_run.pairs]
    halves = draw_halves(100, 25, np.random.default_rng((moral_run.info.seed, 4)), labels)
    assert all(2 <= half[np.array(labels) == label].sum() <= 3 for half in halves for label in set(labels))
    r = split_half(moral_run.analysis(Selection("heads")).differences, halves=halves)
    assert (facts.median, facts.n_splits) == (pytest.approx(np.median(r)), 100)
    (line,) = (x.text for x in careful_statements(moral_run, Selection("heads", "all")) if x.kind is Kind.RELIABILITY)
    assert f"With each category split as evenly as possible: median r {np.median(r):.3f}." in line


def test_the_nulls_distribution_and_the_text_baseline_are_said(moral_run):
    lines = careful_statements(moral_run, Selection("card", "all"))
    counts = moral_run.analysis().null.counts[0]
    assert f"{np.median(counts):,.0f} in the median" in lines[0].text and f"{counts.max():,} at most" in lines[0].text
    (line,) = (x.text for x in lines if x.kind is Kind.BASELINE)
    t = np.abs(moral_run.analysis(Selection("embedding")).t)
    assert f"{100 * (t > 3).mean():.1f}% of {len(t)} slices" in line and "nor does this show cause" in line
    assert not any(x.kind is Kind.BASELINE for x in careful_statements(moral_run, Selection("embedding", "all")))


def test_statistics_of_other_categories_are_computed_again(moral_run):
    pairs = tuple(replace(r, pair=replace(r.pair, category="one")) for r in moral_run.pairs)
    other = replace(moral_run, pairs=pairs)
    assert cache_key(other, Selection("card", "all")) != cache_key(moral_run, Selection("card", "all"))
