"""A run's files as chance, time or malice leaves them: named, never shown, and the good runs stay."""

import json
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from browser import ROOT, app_command, serving
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made import small_run, with_directions

from plantain._files import plain
from plantain.runs.io import RunError, list_runs, load_run, save_run
from plantain.runs.run import capture_bytes
from plantain.runs.units import Selection

FILES = ("run.json", "capture.safetensors", "directions.safetensors", "units.csv")


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    """A folder with one good run, and what it holds."""
    return save_run(with_directions(small_run()), tmp_path_factory.mktemp("runs") / "good")


def reads(folder, expected):
    """A run loads, with its numbers, or is refused by name; anything else fails the test. Return the run, or None."""
    said = ""
    try:
        run = load_run(folder)
    except RunError as error:
        said = str(error)
    if said:
        assert str(folder) in said
        return None
    assert capture_bytes(run) == expected
    assert run.directions is None or run.directions_sha256 == with_directions(small_run()).directions_sha256
    plain(run.headline(Selection("heads")))
    return run


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(FILES),
    st.one_of(
        st.tuples(st.just("cut"), st.floats(0, 1), st.just(0)),
        st.tuples(st.just("flip"), st.floats(0, 1, exclude_max=True), st.integers(0, 7)),
        st.tuples(st.just("insert"), st.floats(0, 1), st.integers(0, 255)),
        st.tuples(st.just("zero"), st.floats(0, 1), st.integers(1, 400)),
    ),
)
def test_a_file_damaged_anywhere_is_a_run_error_or_does_not_matter(good, tmp_path, file, damage):
    """Cut at any place, a bit turned over, a byte too many, zeros: never another error, never other numbers."""
    folder = tmp_path / "run"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(good, folder)
    expected = capture_bytes(load_run(good))
    content = bytearray((folder / file).read_bytes())
    kind, where, what = damage
    place = int(where * len(content))
    if kind == "cut":
        del content[place:]
    elif kind == "flip":
        content[place] ^= 1 << what
    elif kind == "insert":
        content.insert(place, what)
    else:
        content[place : place + what] = bytes(len(content[place : place + what]))
    (folder / file).write_bytes(content)
    if (run := reads(folder, expected)) is not None:
        undamaged = load_run(good)
        assert (run.info, run.pairs) == (undamaged.info, undamaged.pairs)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_value_of_run_json_may_be_anything(good, tmp_path, data):
    """Every field missing or replaced by any JSON value: a run error, or a run that can be shown."""
    content = json.loads((good / "run.json").read_text())
    content.pop("summaries")
    content.pop("sha256")  # or nothing else would be looked at
    places = [(content, key) for key in content]
    places += [(content["info"], key) for key in content["info"]]
    places += [(content["info"]["layout"], key) for key in content["info"]["layout"]]
    places += [(content["pairs"][1], key) for key in content["pairs"][1]]
    holder, key = data.draw(st.sampled_from(places))
    anything = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=5,
    )
    if data.draw(st.booleans()):
        del holder[key]
    else:
        holder[key] = data.draw(anything)
    folder = tmp_path / "run"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(good, folder)
    (folder / "run.json").write_text(json.dumps(content))
    reads(folder, capture_bytes(load_run(good)))


@pytest.mark.smoke
def test_a_digit_that_changed_in_run_json_is_damage_and_a_run_without_a_hash_is_read(good, tmp_path):
    folder = Path(shutil.copytree(good, tmp_path / "run"))
    text = (folder / "run.json").read_text()
    (folder / "run.json").write_text(text.replace('"size": 64', '"size": 80'))
    with pytest.raises(RunError, match=r"is damaged .*run.json does not match its own hash.*Make the run again"):
        load_run(folder)
    (folder / "run.json").write_text(re.sub(r',\n "sha256": "\w+"', "", text))  # as older versions wrote it
    assert load_run(folder).info == load_run(good).info
    (folder / "run.json").write_text("[]")
    with pytest.raises(RunError, match=r"run.json is damaged .no schema.. Make the run again"):
        load_run(folder)


@contextmanager
def as_nobody():
    """Read as somebody for whom permissions count; the superuser may read everything."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_what_cannot_be_read_or_lacks_its_first_file_is_named(good):
    with tempfile.TemporaryDirectory() as top:  # not below pytest's own folder, into which nobody else may look
        os.chmod(top, 0o755)
        root = Path(top) / "runs"
        for name in ("good", "locked", "headless"):
            shutil.copytree(good, root / name)
        (root / "headless" / "run.json").unlink()
        os.chmod(root / "locked", 0)
        with as_nobody():
            runs, problems = list_runs(root)
        assert list(runs) == ["good"] and set(problems) == {"locked", "headless"}
        assert "cannot be read" in problems["locked"] or "Permission denied" in problems["locked"]
        os.chmod(root, 0)
        with as_nobody():
            assert list_runs(root) == ({}, {"runs": f"{root}: cannot be read (Permission denied)."})
        os.chmod(root, 0o755)
        os.chmod(root / "locked", 0o755)


# --- what is no plain folder of plain files ----------------------------------------------------------------


def link_out(folder):
    outside = folder.parent.parent / f"outside-{folder.name}.safetensors"
    shutil.copy(folder / "capture.safetensors", outside)
    (folder / "capture.safetensors").unlink()
    (folder / "capture.safetensors").symlink_to(outside)


def link_whole(folder):
    outside = folder.parent.parent / f"outside-{folder.name}"
    shutil.move(folder, outside)
    folder.symlink_to(outside)


def sparse(folder):
    with (folder / "capture.safetensors").open("r+b") as file:
        file.truncate(5 << 40)


def newer(folder):
    content = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(content | {"schema": 3}))


def replace_by(make):
    def change(folder):
        (folder / "run.json").unlink()
        make(folder / "run.json")

    return change


STRANGE = {
    "a link out of the folder": (link_out, "capture.safetensors is a link that leads out of"),
    "a folder that is a link": (link_whole, "is a link that leads out of"),
    "a link to nothing": (replace_by(lambda p: p.symlink_to("nowhere")), "is no run .run.json: No such file"),
    "a link in a circle": (replace_by(lambda p: p.symlink_to("run.json")), "is no run|leads out"),
    "a folder for a file": (replace_by(Path.mkdir), "run.json is no file"),
    "a pipe": (replace_by(os.mkfifo), "run.json is no file"),
    "five terabytes": (sparse, "is larger than"),
    "a newer schema": (newer, "has schema 3, this version reads 2 and older. Update plantain"),
    "a million brackets": (replace_by(lambda p: p.write_text("[" * 10**6)), "nested too deeply"),
}


@pytest.mark.parametrize("name", STRANGE)
def test_a_strange_run_is_named_and_the_good_one_is_listed(good, tmp_path, name):
    change, match = STRANGE[name]
    root = tmp_path / "runs"
    for run in ("good", "strange"):
        shutil.copytree(good, root / run)
    change(root / "strange")
    runs, problems = list_runs(root)
    assert list(runs) == ["good"] and list(problems) == ["strange"]
    assert re.search(match, problems["strange"]), problems["strange"]


def test_a_run_of_schema_1_loads_as_it_did(good, tmp_path):
    """Yesterday's runs say nothing of seeds, steps, masks and pictures."""
    shipped = load_run(ROOT / "tests" / "data" / "runs" / "schema-1")
    assert json.loads((ROOT / "tests" / "data" / "runs" / "schema-1" / "run.json").read_text())["schema"] == 1
    assert shipped.info.seeds == (shipped.info.seed,) and shipped.info.steps == 1 and not shipped.repeats
    assert shipped.info.references == {} and not shipped.info.mask_padding
    content = json.loads((good / "run.json").read_text())
    for key in ("seeds", "steps", "mask_padding", "references", "vae"):
        del content["info"][key]
    del content["sha256"]
    folder = shutil.copytree(good, tmp_path / "old")
    (folder / "run.json").write_text(json.dumps(content | {"schema": 1}))
    assert load_run(folder).info == load_run(good).info


def test_the_app_starts_names_every_bad_run_and_shows_the_good_one(good, tmp_path):
    root = tmp_path / "runs"
    shutil.copytree(ROOT / "precomputed" / "tiny-random", root / "fine")
    for i, (change, _) in enumerate(STRANGE.values()):
        change(Path(shutil.copytree(good, root / f"strange-{i}")))
    with serving(app_command(), tmp_path / "log", PLANTAIN_MODEL="tiny-random", PLANTAIN_RUNS=str(root)) as url:
        found = json.loads(urllib.request.urlopen(f"{url}/health", timeout=30).read())
        page = json.loads(urllib.request.urlopen(f"{url}/config", timeout=30).read())
    assert found["runs"]["shown"] == ["fine"]
    (notices,) = [c["props"]["value"] for c in page["components"] if c["props"].get("elem_id") == "notices"]
    assert notices.count("is not shown") == len(found["runs"]["damaged"]) == len(STRANGE)


# --- a full disk, two writers ------------------------------------------------------------------------------

_SAVE = """
import resource, sys
from contextlib import suppress
from pathlib import Path
sys.path.insert(0, "tests")
from made import small_run, with_directions
from plantain.cli import _fail
from plantain import PlantainError
from plantain.runs.io import save_run
run = small_run(seed=1)
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    save_run(run, Path(sys.argv[1]), overwrite=True)
except PlantainError as error:
    sys.exit(_fail(str(error)))
"""


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_a_disk_that_fills_up_says_so_and_leaves_what_was_there(good, tmp_path, share):
    """The system refuses to make a file larger than so many bytes, as a full disk does in the middle of one."""
    folder = Path(shutil.copytree(good, tmp_path / "run"))
    limit = int(share * (folder / "capture.safetensors").stat().st_size)
    before = {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    done = subprocess.run(
        [sys.executable, "-c", _SAVE, str(folder), str(limit)], cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 2 and "cannot be written (File too large)" in done.stderr, done.stderr
    assert {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def _write_often(folder: str, seed: int, times: int) -> None:
    run = small_run(seed)
    for _ in range(times):
        save_run(run, folder, overwrite=True)


def test_two_writers_of_one_run_leave_one_of_them_whole(good, tmp_path):
    folder = shutil.copytree(good, tmp_path / "run")
    expected = {capture_bytes(small_run(seed)) for seed in (0, 1, 2)}
    spawned = multiprocessing.get_context("spawn")
    writers = [spawned.Process(target=_write_often, args=(str(folder), seed, 12)) for seed in (1, 2)]
    for writer in writers:
        writer.start()
    seen = 0
    while any(writer.is_alive() for writer in writers):
        assert capture_bytes(load_run(folder)) in expected  # at every moment one of them, whole
        seen += 1
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert seen and capture_bytes(load_run(folder)) in expected
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_a_run_that_is_not_finished_is_called_so(tmp_path):
    (tmp_path / "run.unfinished").mkdir()
    for folder in ("run", "run.unfinished"):
        with pytest.raises(RunError, match="It is not finished: repeat the command that began it"):
            load_run(tmp_path / folder)
    for folder in ("", "other"):
        with pytest.raises(RunError, match="Make one with"):
            load_run(folder)
