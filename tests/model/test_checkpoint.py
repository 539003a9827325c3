"""The pairs that are kept while a run goes on: round trips, other settings, damage."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from plantain.probe.checkpoint import Checkpoint
from plantain.runs.capture import PairCapture, SumsOfSquares
from plantain.runs.io import RunError

pytestmark = pytest.mark.smoke


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


SETTINGS = {"fingerprint": "f", "size": 64, "seed": 0}


def one_pair(run, index: int = 0) -> PairCapture:
    streams = {name: values[:, index : index + 1] for name, values in run.sums.streams.items()}
    return PairCapture(SumsOfSquares(streams, run.sums.tokens[:, index : index + 1]), 7, 4)


@pytest.fixture
def unfinished(made_run, tmp_path) -> Checkpoint:
    kept = Checkpoint(tmp_path / "run", SETTINGS)
    kept.save(2, one_pair(made_run()), 1.25)
    return kept


def test_a_kept_pair_comes_back_to_the_bit(made_run, unfinished, tmp_path):
    capture, seconds = Checkpoint(tmp_path / "run", SETTINGS).load(2)
    expected = one_pair(made_run())
    assert (capture.first_difference, capture.n_differing, seconds) == (7, 4, 1.25)
    for stream, values in expected.sums.streams.items():
        assert np.array_equal(capture.sums.streams[stream], values)
    assert unfinished.load(0) is None


def test_pairs_of_other_settings_are_refused_and_stay(unfinished, tmp_path):
    with pytest.raises(RunError, match=r"run.unfinished: holds pairs of a run with other settings .* --overwrite"):
        Checkpoint(tmp_path / "run", SETTINGS | {"seed": 1})
    assert unfinished.load(2) is not None


def test_pairs_from_before_there_were_directions_are_those_of_a_run_without(tmp_path, made_run):
    Checkpoint(tmp_path / "run", SETTINGS).save(0, one_pair(made_run()), 1.0)
    with pytest.raises(RunError, match="other settings .directions off, now heads."):
        Checkpoint(tmp_path / "run", SETTINGS | {"directions": "heads"})


def test_overwriting_discards_pairs_of_other_settings_only(unfinished, tmp_path):
    assert Checkpoint(tmp_path / "run", SETTINGS, overwrite=True).load(2) is not None
    assert Checkpoint(tmp_path / "run", SETTINGS | {"seed": 1}, overwrite=True).load(2) is None


def test_settings_without_any_pair_stand_in_nobodys_way(tmp_path, made_run):
    Checkpoint(tmp_path / "run", SETTINGS)
    Checkpoint(tmp_path / "run", SETTINGS | {"size": 128}).save(0, one_pair(made_run()), 1.0)
    with pytest.raises(RunError, match="other settings"):
        Checkpoint(tmp_path / "run", SETTINGS)


def test_a_pair_of_a_process_with_other_settings_is_not_taken_for_ones_own(tmp_path, made_run):
    """Two commands at once: the second finds no pair yet, so the folder is its own; then the first saves one."""
    first = Checkpoint(tmp_path / "run", SETTINGS)
    second = Checkpoint(tmp_path / "run", SETTINGS | {"seed": 1})
    first.save(0, one_pair(made_run()), 1.0)
    first.save_embeddings(0, b"embeddings")
    assert second.load(0) is None and second.load_embeddings(0) is None
    assert first.load(0) is not None and first.load_embeddings(0) == b"embeddings"


@pytest.mark.parametrize("damage", [truncate, Path.unlink, lambda path: path.write_bytes(b"")])
def test_a_damaged_pair_is_computed_again(unfinished, damage):
    damage(unfinished.folder / "pair-0002.safetensors")
    assert unfinished.load(2) is None


def test_a_pair_file_of_another_kind_is_computed_again(unfinished):
    path = unfinished.folder / "pair-0002.safetensors"
    path.write_bytes(safetensors.numpy.save({"tokens": np.zeros((2, 1, 4))}))
    assert unfinished.load(2) is None


def test_a_finished_run_leaves_no_unfinished_folder(unfinished, tmp_path):
    unfinished.discard()
    assert list(tmp_path.iterdir()) == []


def test_pairs_that_cannot_be_kept_are_an_error(unfinished, made_run):
    shutil.rmtree(unfinished.folder)
    with pytest.raises(RunError, match="cannot be written"):
        unfinished.save(3, one_pair(made_run()), 1.0)
