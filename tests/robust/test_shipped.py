"""The statistics that are shipped with the saved runs are those that a run without them computes; and the pictures."""

import json
import shutil

import numpy as np
import pytest
from browser import ROOT
from made import leaves
from safetensors import safe_open

from plantain._files.pictures import opened
from plantain.models.picture_book.reader import read
from plantain.runs.attached import attached_files
from plantain.runs.attached.pictures import picture_bytes, read_pictures
from plantain.runs.io import load_run
from plantain.runs.units import Selection

SHIPPED = sorted((ROOT / "precomputed").glob("*/statistics/*-all.safetensors"))


def content(path):
    """Read the key, the facts and the columns of kept statistics."""
    with safe_open(path, "np") as file:
        said = json.loads(file.metadata()["statistics"])
        return said["key"], dict(leaves(said["facts"])), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def test_every_saved_run_has_statistics_of_all_its_units():
    found = {(path.parts[-3], path.stem) for path in SHIPPED}
    kinds = ("card", "heads", "text-heads", "mlp", "embedding")
    runs = [path.parent.name for path in (ROOT / "precomputed").glob("*/run.json")]
    assert {"tiny-random", "untrained-klein-4b", "picture-book-moral"} <= set(runs)
    assert found == {(run, f"{units}-all") for run in runs for units in kinds}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_shipped_statistics_are_those_that_are_computed_anew(tmp_path, path):
    run = path.parents[1]
    copy = shutil.copytree(run, tmp_path / run.name, ignore=shutil.ignore_patterns("statistics"))
    load_run(copy).inference(Selection(path.stem.removesuffix("-all"), "all"))
    (key, facts, columns), shipped = content(copy / "statistics" / path.name), content(path)
    assert key == shipped[0] and facts.keys() == shipped[1].keys()
    # Not by the byte: another processor may round the last digit another way.
    for name, value in facts.items():
        assert value == (pytest.approx(shipped[1][name], rel=1e-9) if isinstance(value, float) else shipped[1][name])
    assert columns.keys() == shipped[2].keys()
    for name, column in columns.items():
        np.testing.assert_allclose(column, shipped[2][name], rtol=1e-9, err_msg=name)


def test_the_picture_books_pictures_are_there_small_and_show_what_their_prompts_say():
    run = load_run(ROOT / "precomputed" / "picture-book-moral")
    settings = read_pictures(run.folder, run.info)
    assert settings.weights == "practice" and (settings.size, settings.steps, settings.guidance) == (64, 20, 2.0)
    every = ROOT.glob("precomputed/*/images/*.webp")
    attached = [path for path in attached_files(run) if path.startswith("images/")]
    assert sum(path.stat().st_size for path in every) < 2e6 and len(attached) == 1 + len(settings.pictures)
    plain = [(p.pair, p.side, p.kind) for p in settings.pictures if not p.edit]
    sides = ("positive", "negative")
    pairs = [record.pair.id for record in run.pairs]
    wanted = [(pair, side, kind) for pair in pairs for side in sides for kind in ("drawn", "expected")]
    assert sorted(plain) == sorted(wanted)
    seen = {"": [], "patch-top-10": []}
    for picture in settings.pictures:
        if picture.kind == "drawn" and picture.edit in seen:
            reading = read(opened(picture_bytes(run.folder, picture)))
            seen[picture.edit].append((picture.side == "positive") == (reading is not None and reading.act == "helps"))
    assert np.mean(seen[""]) >= 0.95 and len(seen["patch-top-10"]) >= 6
    assert np.mean(seen["patch-top-10"]) <= 0.2  # patched from the other side, they are read as the other side
