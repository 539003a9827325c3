"""Pictures and interventions that a stranger publishes to harm are left out with a word; the run itself is brought."""

import hashlib
import json

import pytest
from offers import THEIRS as REPO
from offers import files_of, pulled
from pictured import draw_into, packed, webp
from PIL import Image

from plantain.hub.pull import Published
from plantain.runs.attached import attached_files
from plantain.runs.io import load_run, save_run


@pytest.fixture
def good(made_run, tmp_path):
    folder = save_run(made_run(5), tmp_path / "there" / "good")
    draw_into(folder)
    return folder


def offered(folder):
    """Return a run's own files and its pictures, by their paths in a repository."""
    return {
        **files_of(folder, "good"),
        **{f"runs/good/{path}": content for path, content in attached_files(load_run(folder)).items()},
    }


SETTINGS = "runs/good/images/settings.json"


def first_of(files):
    return next(path for path in files if path.endswith(".webp"))


def with_picture(content, told=True):
    """Put another content into the first picture, with its settings told of it or not."""

    def attack(files):
        path, settings = first_of(files), json.loads(files[SETTINGS])
        if told:
            settings["pictures"][0]["sha256"] = hashlib.sha256(content).hexdigest()
        return {**files, path: content, SETTINGS: json.dumps(settings).encode()}

    return attack


def with_settings(change):
    def attack(files):
        settings = json.loads(files[SETTINGS])
        change(settings)
        return {**files, SETTINGS: json.dumps(settings).encode()}

    return attack


def animation():
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    return packed(frames[0], save_all=True, append_images=frames[1:])


def without(ending):
    return lambda files: {path: content for path, content in files.items() if not path.endswith(ending)}


ONE_BAD = {
    "a bomb": (with_picture(packed(Image.new("RGB", (4000, 4000)), quality=0)), "has more than 4,194,304 pixels"),
    "an animation": (with_picture(animation()), "is an animation"),
    "another kind": (with_picture(packed(Image.new("RGB", (16, 16)), "PNG")), "is no WebP picture"),
    "a wrong hash": (with_picture(webp(9), told=False), "is not the picture that settings.json speaks of"),
    "a script": (with_picture(b"<script>alert(1)</script>"), "is no WebP picture"),
    "too large": (with_picture(b"RIFF" + bytes(3 << 20)), "at most 2,097,152 bytes are taken"),
    "not there": (lambda files: {p: c for p, c in files.items() if p != first_of(files)}, "is missing"),
}


@pytest.mark.parametrize("name", ONE_BAD)
def test_a_bad_picture_is_left_out_and_the_others_come(hub, cli, good, tmp_path, name):
    attack, words = ONE_BAD[name]
    hub.add(REPO, attack(offered(good)))
    code, out, _ = pulled(cli, tmp_path / "runs")
    assert code == 0 and "good: brought" in out and words in out and "good: LEFT OUT: of its pictures 01-" in out
    here = tmp_path / "runs" / "good"
    assert len(attached_files(load_run(here))) == 4
    assert {path.suffix for path in (here / "images").iterdir()} == {".webp", ".json"}


ALL_BAD = {
    "too many": (with_settings(lambda s: s.update(pictures=s["pictures"] * 600)), "settings.pictures"),
    "a name that leads out": (
        with_settings(lambda s: s["pictures"][0].update(file="../../run.webp")), "settings.pictures.0.file"),
    "another model": (with_settings(lambda s: s.update(fingerprint="1" * 64)), "of another model than the run"),
    "wrong types": (with_settings(lambda s: s.update(seeds="0")), "settings.seeds"),
    "no JSON": (lambda files: {**files, SETTINGS: b"\xff"}, "its images"),
    "nested": (lambda files: {**files, SETTINGS: b"[" * 100_000}, "nested too deeply"),
    "no settings": (without("settings.json"), "settings.json is missing"),
    "large settings": (lambda files: {**files, SETTINGS: b" " * (5 << 20)}, "at most 4,194,304 bytes are taken"),
}  # fmt: skip


@pytest.mark.parametrize("name", ALL_BAD)
def test_pictures_with_bad_settings_are_left_out_and_the_run_comes(hub, cli, good, tmp_path, name):
    attack, words = ALL_BAD[name]
    hub.add(REPO, attack(offered(good)))
    code, out, _ = pulled(cli, tmp_path / "runs")
    assert code == 0 and "good: brought" in out and words in out, out
    assert not (tmp_path / "runs" / "good" / "images").exists()
    assert load_run(tmp_path / "runs" / "good").capture_sha256 == load_run(good).capture_sha256
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "home") == ["runs", "there"]


def test_paths_that_lead_out_of_the_folder_bring_nothing(hub, cli, good, tmp_path):
    evil = {
        "runs/good/images/../../../evil.webp": webp(), "runs/good/images/sub/x.webp": webp(),
        "runs/good/images/.hidden.webp": webp(), "runs/good/images/x.svg": b"<svg/>",
        "runs/good/interventions/../x.json": b"{}", "runs/good/interventions/evil.json": b"{}",
    }  # fmt: skip
    hub.add(REPO, {**offered(good), **evil})
    code, out, _ = pulled(cli, tmp_path / "runs")
    assert code == 2 and "its path leads out of the folder" in out and "good: brought" in out
    here = tmp_path / "runs" / "good"
    assert {path.relative_to(here).as_posix() for path in here.rglob("*.webp")} == {
        path for path in attached_files(load_run(here)) if path.endswith(".webp")
    }
    assert not (here / "interventions").exists() and not list(tmp_path.rglob("evil*"))


BAD_RESULTS = {
    "wrong types": (b'{"schema": 1, "info": {"asked": 3}, "arrays_sha256": 1}', b"", "info"),
    "a list": (b"[]", b"", "its schema is not 1"),
    "no arrays": (b"{}", None, "interventions/patch.safetensors is missing"),
    "large": (b" " * (5 << 20), b"", "at most 4,194,304 bytes are taken"),
}


@pytest.mark.parametrize("name", BAD_RESULTS)
def test_interventions_that_are_none_are_left_out(hub, cli, good, tmp_path, name):
    text, arrays, words = BAD_RESULTS[name]
    files = {"runs/good/interventions/patch.json": text}
    files |= {} if arrays is None else {"runs/good/interventions/patch.safetensors": arrays}
    hub.add(REPO, {**offered(good), **files})
    code, out, _ = pulled(cli, tmp_path / "runs")
    assert code == 0 and "good: LEFT OUT: its intervention patch" in out and words in out, out
    assert not (tmp_path / "runs" / "good" / "interventions").exists()
    assert (tmp_path / "runs" / "good" / "images").exists()


def test_a_page_shows_the_run_and_says_what_was_left_out(hub, good):
    hub.add(REPO, with_picture(animation())(offered(good)))
    published, told = Published(REPO), []
    published.look(told.append)
    (notice,) = told[-1].refused.values()
    assert notice.startswith(f"Of the run “good”, published in {REPO}, is not shown: of its pictures 01-")
    assert len(attached_files(load_run(published.folder / "good"))) == 4
