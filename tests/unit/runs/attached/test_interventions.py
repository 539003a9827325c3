"""Results of interventions as files: written, read, and refused where a stranger's do not fit."""

import hashlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from interventions_made import made_asked, made_result, result_of

from plantain.runs.attached.interventions import (
    INTERVENTIONS,
    LARGEST_ARRAYS,
    LARGEST_JSON,
    MOST_RESULTS,
    NAME,
    Unfinished,
    read_interventions,
    write_interventions,
)
from plantain.runs.io import RunError, load_run, save_run
from plantain.runs.units import Layout, Selection, SelectionError, find_units, unit_table


@pytest.fixture
def folder(made_run, tmp_path) -> Path:
    return save_run(made_run(), tmp_path / "run")


@pytest.fixture
def written(folder) -> Path:
    return write_interventions(folder, made_result(), {"said": "nothing"})


def rewritten(path: Path, change) -> None:
    """Change the JSON of a result."""
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def with_arrays(path: Path, change) -> None:
    """Change the arrays of a result, and their hash with them."""
    file = path.with_suffix(".safetensors")
    arrays = safetensors.numpy.load(file.read_bytes())
    change(arrays)
    packed = safetensors.numpy.save(arrays)
    file.write_bytes(packed)
    rewritten(path, lambda content: content.update(arrays_sha256=hashlib.sha256(packed).hexdigest()))


def test_what_is_written_is_read(folder, written):
    (found,) = read_interventions(folder)
    assert written == folder / INTERVENTIONS / "patch.json"
    assert found.info == made_result().info
    assert {name: values.tolist() for name, values in found.arrays.items()} == {
        name: values.tolist() for name, values in made_result().arrays.items()
    }
    assert json.loads(written.read_text(encoding="utf-8"))["summary"] == {"said": "nothing"}


def test_a_run_with_interventions_is_the_same_run(folder):
    before = {path.name: path.read_bytes() for path in folder.glob("*.*")}
    write_interventions(folder, made_result(), {})
    assert {path.name: path.read_bytes() for path in folder.glob("*.*")} == before
    run = load_run(folder)
    with pytest.raises(RunError, match="--overwrite"):
        save_run(run, folder)
    save_run(run, folder, overwrite=True)  # what was found of the old run goes with it
    assert read_interventions(folder) == ()


def test_results_stand_in_the_order_of_their_names(folder):
    results = [made_result(**changes) for changes in ({"method": "steer"}, {}, {"heads_from": "a b"})]
    for result in results:
        write_interventions(folder, result, {})
    assert [found.info.asked.name for found in read_interventions(folder)] == ["patch-from-a-b", "patch", "steer"]
    assert all(NAME.fullmatch(found.info.asked.name) for found in read_interventions(folder))


def test_a_result_of_another_run_or_of_another_model_is_refused(made_run, folder):
    run = made_run()
    for change, words in (
        ({}, ""),
        ({"capture_sha256": "b" * 64}, "another run"),
        ({"pairs": ("a", "b", "c", "d"), "folds": ("a", "a", "b", "b")}, "not those of the run"),
        ({"n_pairs": 99}, "not those of the run"),
        ({"size": 512}, "not those of the run"),
        ({"blocks": ("joint[99]", "single[0]", "single[1]")}, "blocks that the model does not have"),
    ):
        found = result_of(run, **change)
        write_interventions(folder, found, {})
        if not words:
            assert len(read_interventions(folder, run)) == 1
            continue
        with pytest.raises(RunError, match=words):
            read_interventions(folder, run)
        shutil.rmtree(folder / "interventions")
    for key, value in (("model", "some/other"), ("weights", "untrained"), ("fingerprint", "0" * 64)):
        found = result_of(run)
        write_interventions(folder, replace(found, info=replace(found.info, **{key: value})), {})
        with pytest.raises(RunError, match="not those of the run"):
            read_interventions(folder, run)


def test_a_result_in_which_no_pair_differs_is_none(folder):
    found = made_result()
    with pytest.raises(ValueError, match="nor 0 for all pairs"):
        replace(found, arrays=found.arrays | {"effect": np.zeros(4, np.float32)})


def set_in(key, value):
    return lambda content: content["info"]["asked"].update({key: value})


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.update(schema=2),
        lambda content: content.pop("info"),
        lambda content: content["info"].update(weights="mine"),
        lambda content: content["info"].update(unknown=1),
        lambda content: content["info"].update(seconds="1"),
        lambda content: content.update(arrays_sha256="0" * 64),
        set_in("method", "steer"),
        set_in("method", "ablate"),
        set_in("ks", [1, 2, 3]),
        set_in("ks", ["1", "2"]),
        set_in("pairs", ["pair-0"] * 4),
        set_in("n_redraws", 10**6),
        set_in("n_redraws", 4),
        set_in("n_pairs", 2),
        set_in("folds", ["a"]),
        set_in("redraws", ["within", "within"]),
        set_in("capture_sha256", "x"),
    ],
)
def test_a_json_that_does_not_fit_is_refused(folder, written, change):
    rewritten(written, change)
    with pytest.raises(RunError, match=r"patch\.json: is damaged .*--overwrite") as refused:
        read_interventions(folder)
    assert "\n" not in str(refused.value)


def put(name, value):
    def change(arrays):
        arrays[name] = value(arrays[name])

    return change


def infinite(values):
    values = values.copy()
    values.flat[3] = np.inf
    return values


def not_known(values):
    values = values.copy()
    values[1] = np.nan
    return values


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: arrays.pop("heads"),
        lambda arrays: arrays.update(more=np.zeros(1, np.float32)),
        put("chosen", lambda values: values.astype(np.float64)),
        put("chosen", lambda values: values[:, :1]),
        put("chosen", infinite),
        put("redraws.within", not_known),
        put("effect", not_known),
        put("effect", lambda values: -values),
    ],
)
def test_arrays_that_do_not_fit_are_refused(folder, written, change):
    with_arrays(written, change)
    with pytest.raises(RunError, match="is damaged"):
        read_interventions(folder)


def test_how_much_heads_write_is_kept_where_it_was_measured(folder):
    found = made_result(written=True)
    path = write_interventions(folder, found, {})
    (back,) = read_interventions(folder)
    assert back.arrays["written.within"].tolist() == found.arrays["written.within"].tolist()
    for value in (-1.0, np.nan, np.inf):
        with_arrays(path, lambda arrays, value=value: arrays["written.matched"].__setitem__((0, 1), value))
        with pytest.raises(RunError, match="must be finite and not negative"):
            read_interventions(folder)
    rewritten(path, lambda content: content["info"]["asked"].pop("written"))  # as in a file of before
    with pytest.raises(RunError, match="is damaged"):
        read_interventions(folder)


def test_a_pair_without_a_difference_has_no_shares(folder, written):
    def equal(arrays):
        for values in arrays.values():
            values[1] = np.nan
        arrays["effect"][1] = 0

    with_arrays(written, equal)
    (found,) = read_interventions(folder)
    assert np.isnan(found.arrays["chosen"][1]).all()


@pytest.mark.parametrize(("suffix", "limit"), [(".json", LARGEST_JSON), (".safetensors", LARGEST_ARRAYS)])
def test_a_file_that_is_too_large_is_not_read(folder, written, suffix, limit):
    with written.with_suffix(suffix).open("wb") as file:
        file.truncate(limit + 1)
    with pytest.raises(RunError, match="is larger than"):
        read_interventions(folder)


def test_what_is_no_file_is_not_waited_for(folder, written):
    arrays = written.with_suffix(".safetensors")
    arrays.unlink()
    with pytest.raises(RunError, match="cannot be read"):
        read_interventions(folder)
    os.mkfifo(arrays)
    with pytest.raises(RunError, match="is no file"):
        read_interventions(folder)


def test_other_names_and_too_many_results_are_refused(folder, written):
    other = written.rename(written.with_name("steer.json"))
    with pytest.raises(RunError, match="it holds patch"):
        read_interventions(folder)
    other.rename(written.with_name("mine.json"))
    with pytest.raises(RunError, match="no name of an intervention"):
        read_interventions(folder)
    for i in range(MOST_RESULTS):
        written.with_name(f"patch-from-{i}.json").write_text("{}")
    with pytest.raises(RunError, match=f"at most {MOST_RESULTS}"):
        read_interventions(folder)


def test_the_largest_that_may_be_asked_is_read_again():
    asked = made_asked(n_redraws=50)
    arrays = made_result(n_redraws=50).arrays
    assert asked.n_bytes() == sum(values.nbytes for values in arrays.values())


# --- pairs that are done -----------------------------------------------------------------------------------


def test_pairs_are_kept_for_the_same_settings_alone(folder):
    kept = Unfinished(folder, "patch", {"a": 1})
    shares = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
    kept.save(3, 0.1, shares, 2.5)
    kept.save_embeddings(3, b"abc")
    again = Unfinished(folder, "patch", {"a": 1})
    effect, found, seconds = again.load(3)
    assert (effect, seconds, found.tolist()) == (0.1, 2.5, shares.tolist())
    assert again.load(2) is None and again.load_embeddings(3) == b"abc" and again.load_embeddings(2) is None
    with pytest.raises(RunError, match="other settings"):
        Unfinished(folder, "patch", {"a": 2})
    other = Unfinished(folder, "patch", {"a": 2}, overwrite=True)
    assert other.load(3) is None and other.load_embeddings(3) is None
    assert again.load(3) is None, "what another process replaced is not taken for one's own"
    other.discard()
    assert not list((folder / INTERVENTIONS).iterdir())


def test_a_damaged_pair_is_computed_again(folder):
    kept = Unfinished(folder, "patch", {"a": 1})
    kept.save(0, 0.1, np.zeros((1, 2, 2)), 1.0)
    (file,) = (folder / INTERVENTIONS).glob("*/pair-*")
    file.write_bytes(file.read_bytes()[:40])
    assert kept.load(0) is None


def test_what_is_not_finished_is_no_result(folder):
    Unfinished(folder, "patch", {"a": 1}).save(0, 0.1, np.zeros((1, 2, 2)), 1.0)
    assert read_interventions(folder) == ()
    assert load_run(folder).folder == folder


# --- names of units ----------------------------------------------------------------------------------------

LAYOUT = Layout(n_joint=2, n_single=5, n_heads=2, head_dim=32, mlp_dim=64, text_dim=48)


@pytest.mark.parametrize("units", ["card", "heads", "mlp", "text-heads"])
def test_every_unit_is_found_by_both_its_names(units):
    selection = Selection(units)
    names = unit_table(LAYOUT, selection).names
    short = [f"{name.split()[0]}.{name.split()[-1]}" for name in names]
    assert find_units(LAYOUT, selection, names).tolist() == list(range(len(names)))
    assert find_units(LAYOUT, selection, short[::-1]).tolist() == list(range(len(names)))[::-1]
    assert find_units(LAYOUT, selection, []).shape == (0,)


@pytest.mark.parametrize("name", ["single[5].0", "single[0].2", "single[0]", "joint[0] text head 1", "joint[0].-1"])
def test_an_unknown_unit_is_named(name):
    with pytest.raises(SelectionError, match=r"joint\[0\] head 0 to single\[4\] head 1; in short, single\[4\]\.1"):
        find_units(LAYOUT, Selection("heads"), ["single[0].0", name])
