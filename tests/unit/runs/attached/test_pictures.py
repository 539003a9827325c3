"""The pictures of a run, read as a stranger's: names, kinds, sizes and hashes."""

import hashlib
import io
import json
import os
from dataclasses import replace

import numpy as np
import pytest
from made import made_info
from pictured import PATCH, draw_into, packed, settings_of, webp
from PIL import Image

from plantain.runs.attached import attached_files, pictures, write_attached
from plantain.runs.attached.pictures import (
    PictureEdit,
    picture_bytes,
    picture_file,
    picture_files,
    read_pictures,
    read_settings,
    taken,
)
from plantain.runs.io import RunError, load_run, save_run

INFO = made_info()
PAIRS = {(1, "pair-0", "positive"): webp(1), (1, "pair-0", "negative"): webp(2)}
SETTINGS = settings_of(INFO, PAIRS)


@pytest.fixture
def saved(made_run, tmp_path):
    return save_run(made_run(5), tmp_path / "run")


def test_settings_come_back_as_they_were_packed():
    assert read_settings(SETTINGS.packed(), INFO) == SETTINGS
    assert json.loads(SETTINGS.packed())["schema"] == 1


def facts(change):
    content = json.loads(SETTINGS.packed())
    change(content)
    return json.dumps(content).encode()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.update(schema=2), "schema"),
        (lambda c: c.update(strange=1), "strange"),
        (lambda c: c.update(fingerprint="0" * 64), "another model"),
        (lambda c: c.update(weights="practice"), "another model"),
        (lambda c: c.update(steps="2"), "steps"),
        (lambda c: c.update(guidance=-1.0), "guidance"),
        (lambda c: c["pictures"][0].update(file="../run.webp"), "file"),
        (lambda c: c["pictures"][0].update(file="a/b.webp"), "file"),
        (lambda c: c["pictures"][0].update(file="x.webp\n"), "file"),
        (lambda c: c["pictures"][0].update(file="settings.json"), "file"),
        (lambda c: c["pictures"][0].update(file=c["pictures"][1]["file"].upper().replace("WEBP", "webp")), "twice"),
        (lambda c: c["pictures"][0].update(side="left"), "side"),
        (lambda c: c["pictures"][0].update(seed=1), "seed"),
        (lambda c: c["pictures"][0].update(edit="patch-top-9"), "edit"),
        (lambda c: c["pictures"][0].update(sha256="0"), "sha256"),
        (lambda c: c.update(pictures=c["pictures"] * 1001), "pictures"),
        (lambda c: c["edits"].append(c["edits"][0]), "twice"),
        (lambda c: c["edits"][0].update(scale=2.0), "scale"),
    ],
)
def test_settings_that_do_not_fit_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        read_settings(facts(change), INFO)


def test_edits_are_told_apart_by_their_names():
    heads = ("single[1] head 0", "single[1] head 1")
    named = [PictureEdit("scale", "single[1].0", heads[:1], 0.5), PictureEdit("scale", "single[1].1", heads[1:], 0.5)]
    assert PictureEdit("patch", "top:10", heads).name == "patch-top-10"
    assert PictureEdit("steer", "random:2", heads, -2.0).name == "steer--2-random-2"
    assert len({edit.name for edit in named}) == 2 and all(edit.name.startswith("scale-0.5-") for edit in named)
    assert PATCH.words == "patch, 1 head (top:1)"


def test_every_pair_has_files_of_its_own_whatever_its_id_is():
    names = [picture_file(i, pair, "positive", 0, "drawn", "") for i, pair in enumerate(["../a", "a/b", "ä", ""], 1)]
    assert names == [
        "01-a.positive.seed0.drawn.webp", "02-a-b.positive.seed0.drawn.webp", "03.positive.seed0.drawn.webp",
        "04.positive.seed0.drawn.webp",
    ]  # fmt: skip
    assert all(pictures.PICTURE_FILE.fullmatch(name) for name in names)


# --- a folder ----------------------------------------------------------------------------------------------


def test_a_run_without_pictures_is_complete_and_one_with_them_is_the_same_run(saved):
    before = load_run(saved)
    assert read_pictures(saved, before.info) is None and attached_files(before) == {}
    settings = draw_into(saved)
    after = load_run(saved)
    assert (after.capture_sha256, after.info) == (before.capture_sha256, before.info)
    files = attached_files(after)
    assert set(files) == {"images/settings.json", *(f"images/{picture.file}" for picture in settings.pictures)}
    assert len(files) == 5


def test_a_picture_that_is_another_one_or_too_large_is_refused(saved, monkeypatch):
    settings, run = draw_into(saved), load_run(saved)
    picture = settings.pictures[0]
    path = saved / "images" / picture.file
    assert picture_bytes(saved, picture) == path.read_bytes() == webp(2)
    monkeypatch.setattr(pictures, "LARGEST_OF_ALL", 100)
    with pytest.raises(RunError, match="more than 100 bytes of pictures"):
        picture_files(saved, run.info)
    path.write_bytes(webp(9))
    with pytest.raises(RunError, match="is not the picture that settings.json speaks of"):
        picture_bytes(saved, picture)
    monkeypatch.setattr(pictures, "LARGEST", 10)
    with pytest.raises(RunError, match="is larger than 10 bytes"):
        picture_bytes(saved, picture)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(RunError, match="is no file"):
        picture_bytes(saved, picture)
    (saved / "images" / "settings.json").write_text("{}")
    with pytest.raises(RunError, match=r"settings\.json: is damaged"):
        read_pictures(saved, run.info)


def test_a_run_that_is_overwritten_takes_its_pictures_with_it_unless_they_are_given(saved, made_run):
    draw_into(saved)
    files = attached_files(load_run(saved))
    save_run(made_run(5), saved, overwrite=True, attached=files)
    assert attached_files(load_run(saved)) == files
    save_run(made_run(5), saved, overwrite=True)
    assert not (saved / "images").exists()


def test_pictures_that_are_written_take_the_place_of_all_that_were_there(saved):
    run = load_run(saved)
    draw_into(saved, 3)
    files = {path: content for path, content in attached_files(run).items() if "03-" not in path}
    settings = replace(read_pictures(saved, run.info), pictures=read_pictures(saved, run.info).pictures[:4])
    write_attached(saved, {**files, "images/settings.json": settings.packed()})
    assert {f"images/{path.name}" for path in (saved / "images").iterdir()} == set(files)
    assert set(attached_files(run)) == set(files)


def names(settings):
    return [picture.file for picture in settings.pictures]


# --- a stranger's ------------------------------------------------------------------------------------------


def take(content, **changes):
    """Take one picture with this content; return what came of it and what was said."""
    one = replace(SETTINGS.pictures[0], sha256=hashlib.sha256(content).hexdigest(), **changes)
    refused = []
    return taken(replace(SETTINGS, pictures=(one,)), lambda _file: content, {}, refused), refused


def test_a_strangers_picture_is_decoded_and_packed_anew():
    out = io.BytesIO()
    smooth = Image.fromarray(np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8) * 2).convert("RGB")
    exif = Image.Exif()
    exif[0x010E] = "secret"
    smooth.save(out, format="WEBP", quality=100, exif=exif, xmp=b"<secret/>")
    assert b"secret" in out.getvalue()
    files, refused = take(out.getvalue())
    settings = read_settings(files["images/settings.json"], INFO)
    (picture,) = settings.pictures
    content = files[f"images/{picture.file}"]
    assert refused == [] and b"secret" not in content and content != out.getvalue()
    assert hashlib.sha256(content).hexdigest() == picture.sha256
    assert picture.published == hashlib.sha256(out.getvalue()).hexdigest() == picture.drawn.sha256
    assert np.abs(np.asarray(Image.open(io.BytesIO(content))).astype(int) - np.asarray(smooth)).mean() < 3


def test_a_picture_that_was_taken_is_not_read_again():
    files, _ = take(webp(1))
    (picture,) = read_settings(files["images/settings.json"], INFO).pictures
    here = {picture.file: (picture, files[f"images/{picture.file}"])}
    theirs = replace(SETTINGS, pictures=SETTINGS.pictures[:1])
    assert taken(theirs, lambda _file: pytest.fail("it was read"), here, []) == files
    read = []
    changed = replace(theirs, pictures=(replace(theirs.pictures[0], sha256=hashlib.sha256(webp(7)).hexdigest()),))
    taken(changed, lambda file: read.append(file) or webp(7), here, [])
    assert read == [picture.file]


def animation():
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    return packed(frames[0], save_all=True, append_images=frames[1:])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (animation, "is an animation"),
        (lambda: packed(Image.new("RGB", (16, 16)), "PNG"), "is no WebP picture"),
        (lambda: b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "is no WebP picture"),
        (lambda: webp()[:-20], "damaged"),
        (lambda: packed(Image.new("RGB", (4096, 4096))), "has more than 4,194,304 pixels"),
        (lambda: b"", "is no WebP picture"),
    ],
)
def test_what_is_no_plain_picture_is_left_out_with_a_word(make, words):
    files, refused = take(make())
    assert files == {} and len(refused) == 1 and words in refused[0]
    assert refused[0].startswith(SETTINGS.pictures[0].file)


def test_one_bad_picture_does_not_keep_the_others_out():
    contents = dict(zip(names(SETTINGS), [webp(1), webp(3)], strict=True))
    refused = []
    files = taken(SETTINGS, contents.__getitem__, {}, refused)
    assert [*files] == ["images/settings.json", f"images/{names(SETTINGS)[0]}"]
    assert refused == [f"{names(SETTINGS)[1]} is not the picture that settings.json speaks of"]
    assert names(read_settings(files["images/settings.json"], INFO)) == names(SETTINGS)[:1]
