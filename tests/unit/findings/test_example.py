"""The pair that stands for a run: chosen by a rule, with its pictures, made as small as they are shown."""

import hashlib
import io
import json

import pytest
from made import small_run
from pictured import draw_into, settings_of, webp
from PIL import Image

from plantain.findings.example import SIDE, example, shrunk
from plantain.runs.io import load_run, save_run


@pytest.fixture
def folder(tmp_path):
    return save_run(small_run(), tmp_path / "run")


def test_a_run_without_pictures_has_its_first_pair(folder):
    for run in (load_run(folder), small_run()):
        shown = example(run)
        assert shown.record == run.pairs[0] and shown.pictures is None and (shown.kind, shown.n_pairs) == ("", 0)


def write(folder, contents, **options):
    run = load_run(folder)
    settings = settings_of(run.info, contents, **options)
    (folder / "images").mkdir()
    for picture, content in zip(settings.pictures, contents.values(), strict=True):
        (folder / "images" / picture.file).write_bytes(content)
    (folder / "images" / "settings.json").write_bytes(settings.packed())


def test_it_is_the_first_pair_with_both_sides(folder):
    sides = ((1, "pair-0", "positive"), (2, "pair-1", "negative"), (3, "pair-2", "negative"), (3, "pair-2", "positive"))
    write(folder, {place: webp(i) for i, place in enumerate(sides)})
    shown = example(load_run(folder))
    assert shown.record.pair.id == "pair-2" and shown.pictures == (webp(3), webp(2))
    assert (shown.kind, shown.n_pairs) == ("drawn", 1)


def test_whole_drawings_come_before_expected_pictures_and_edited_ones_never(folder):
    draw_into(folder, kind="expected")
    assert example(load_run(folder)).kind == "expected"
    expected = json.loads((folder / "images" / "settings.json").read_text())
    draw_into(folder, n_pairs=1)
    drawn = json.loads((folder / "images" / "settings.json").read_text())
    both = {**drawn, "pictures": expected["pictures"] + drawn["pictures"]}
    (folder / "images" / "settings.json").write_text(json.dumps(both))
    shown = example(load_run(folder))
    assert (shown.kind, shown.n_pairs) == ("drawn", 1)
    draw_into(folder, edit="patch-top-1")
    assert example(load_run(folder)).pictures is None


def test_damaged_pictures_are_as_if_they_were_not_there(folder):
    settings = draw_into(folder)
    (folder / "images" / settings.pictures[0].file).write_bytes(b"RIFF")
    assert example(load_run(folder)).pictures is None
    (folder / "images" / "settings.json").write_text("{")
    assert example(load_run(folder)).pictures is None


def test_a_large_picture_is_made_as_small_as_it_is_shown_and_a_small_one_stays():
    large, small = webp(size=900, lossless=True), webp(size=64)
    shown = shrunk(large)
    assert Image.open(io.BytesIO(shown)).size == (SIDE, SIDE) and len(shown) < len(large) / 4
    assert hashlib.sha256(shrunk(small)).digest() == hashlib.sha256(small).digest()
    assert Image.open(io.BytesIO(shrunk(large, 80))).size == (80, 80)
