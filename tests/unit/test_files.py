"""Folders that take another's place: in turns, whole, and without scraps, also of writers that were killed."""

import os
import signal
import subprocess
import sys
import threading

import pytest
from browser import ROOT

from plantain import _files
from plantain._files import replace_folder, swap_in

HEX = "0123456789abcdef" * 2


@pytest.fixture(autouse=True)
def hour(monkeypatch):
    """What is hidden counts as left behind at once, where a test does not say otherwise."""
    monkeypatch.setattr(_files, "OLD", -1)


@pytest.fixture
def place(tmp_path):
    return tmp_path / "a run"


@pytest.fixture(params=[True, False], ids=["in one step", "in two steps"])
def steps(request, monkeypatch):
    """Both ways to change places, of which some systems have only the second."""
    if not request.param:
        monkeypatch.setattr(_files, "_exchange", lambda _one, _other: False)
    return request.param


def put(place, text, allow=lambda: None, then=lambda: None):
    with replace_folder(place, allow) as new:
        (new / "text").write_text(text)
        then()


def names(place):
    return sorted(path.name for path in place.parent.iterdir())


def must_be_free(place):
    if place.exists():
        raise FileExistsError(place)


# A writer in a process of its own: says when it has the turn, goes on when it is told to.
_WRITER = """
import os, signal, shutil, sys
from pathlib import Path
from plantain import _files
place, how = Path(sys.argv[1]), sys.argv[2]
def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
def free():
    if how == "if free" and place.exists():
        sys.exit("it is taken")
if how == "killed when it stands":
    _files.shutil.rmtree = kill
if how == "killed between the renames":
    _files._exchange, rename = (lambda one, other: False), Path.rename
    Path.rename = lambda path, to: rename(path, to) if path == place else kill()
with _files.replace_folder(place, free) as new:
    (new / "text").write_text("the other's")
    print("writing", flush=True)
    sys.stdin.readline()
"""


def writer(place, how):
    return subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(place), how], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_a_new_folder_and_another_in_its_place(place, steps):
    for text in ("first", "second"):
        put(place, text)
        assert (place / "text").read_text() == text and names(place) == ["a run"]


def test_this_system_changes_places_in_one_step(place):
    """Or the tests of readers that never miss a folder would not mean what they say."""
    put(place, "old")
    put(other := place.with_name("other"), "new")
    assert _files._exchange(place, other)
    assert ((place / "text").read_text(), (other / "text").read_text()) == ("new", "old")
    assert not _files._exchange(place, place.with_name("nothing"))


def test_what_breaks_off_leaves_what_stood_there(place, steps):
    put(place, "old")
    with pytest.raises(ZeroDivisionError):
        put(place, "new", then=lambda: 1 / 0)
    assert (place / "text").read_text() == "old" and names(place) == ["a run"]


def test_the_later_writer_sees_what_the_earlier_one_did(place):
    """Without the turns both would have found the place free, and the later one would have replaced the other."""
    first = writer(place, "if free")
    assert first.stdout.readline() == "writing\n"
    asked, outcome = threading.Event(), []

    def second():
        asked.set()
        try:
            put(place, "mine", lambda: must_be_free(place))
        except FileExistsError:
            outcome.append("refused")

    late = threading.Thread(target=second)
    late.start()
    asked.wait()
    late.join(0.3)
    assert late.is_alive() and not outcome, "the second one waits"
    assert first.communicate("\n", timeout=60) == ("", "") and first.returncode == 0
    late.join(60)
    assert outcome == ["refused"]
    assert (place / "text").read_text() == "the other's" and names(place) == ["a run"]


def test_a_writer_that_does_not_take_turns_is_not_overwritten_unasked(place, monkeypatch):
    monkeypatch.setattr(_files, "_lock", lambda _handle: False)  # as on some disks on a network
    with pytest.raises(OSError, match="not empty"):
        put(place, "mine", lambda: must_be_free(place), then=lambda: put(place, "the other's"))
    assert (place / "text").read_text() == "the other's" and names(place) == ["a run"]


@pytest.mark.parametrize("stood", [True, False])
def test_a_writer_killed_while_it_writes_leaves_what_stood_there_and_holds_nobody_up(place, stood):
    if stood:
        put(place, "old")
    killed = writer(place, "any")
    assert killed.stdout.readline() == "writing\n"
    killed.kill()
    killed.communicate(timeout=60)
    assert place.exists() is stood and len(names(place)) == 1 + stood
    assert not stood or (place / "text").read_text() == "old"
    put(place, "new")
    assert (place / "text").read_text() == "new" and names(place) == ["a run"]


@pytest.mark.parametrize(
    ("how", "found"), [("killed when it stands", "the other's"), ("killed between the renames", None)]
)
def test_a_writer_killed_at_its_last_step_leaves_nothing_for_long(place, how, found):
    put(place, "old")
    killed = writer(place, how)
    killed.communicate("\n", timeout=60)
    assert killed.returncode == -signal.SIGKILL and len(names(place)) > 1
    assert ((place / "text").read_text() if place.exists() else None) == found
    put(place, "new")
    assert (place / "text").read_text() == "new" and names(place) == ["a run"]


def test_what_a_killed_writer_left_outlives_a_save_that_fails(place):
    """Killed between two renames, it left the only copies of both in hiding; they go when something stands."""
    put(place, "old")
    killed = writer(place, "killed between the renames")
    killed.communicate("\n", timeout=60)
    left = names(place)
    assert len(left) == 2 and place.name not in left
    with pytest.raises(ZeroDivisionError):
        put(place, "newer", then=lambda: 1 / 0)
    assert names(place) == left


def test_a_folder_that_somebody_holds_for_long_does_not_hold_up_a_save_for_ever(place, monkeypatch):
    monkeypatch.setattr(_files, "PATIENCE", 0.2)
    handle = os.open(place.parent, os.O_RDONLY)
    _files.fcntl.flock(handle, _files.fcntl.LOCK_EX)
    (place.parent / f".a run.{HEX}").mkdir()  # another's, who is at work perhaps
    put(place, "new")
    os.close(handle)
    assert names(place) == [f".a run.{HEX}", "a run"]


def test_a_child_that_was_forked_during_a_turn_holds_nobody_up(place, monkeypatch):
    monkeypatch.setattr(_files, "PATIENCE", 0)
    children = []

    def fork():
        if not (child := os.fork()):
            signal.pause()
        children.append(child)

    try:
        put(place, "old", then=fork)
        (place.parent / f".a run.{HEX}").mkdir()
        put(place, "new")
        assert names(place) == ["a run"], "the turn came, and with it the sweep"
    finally:
        os.kill(children[0], signal.SIGKILL)
        os.waitpid(children[0], 0)


def test_what_is_hidden_and_new_stays(place, monkeypatch):
    """It may be of a writer who did not wait for the turn any longer."""
    monkeypatch.setattr(_files, "OLD", 3600)
    (hidden := place.parent / f".a run.{HEX}").mkdir()
    put(place, "new")
    assert hidden.exists()
    os.utime(hidden, (0, 0))
    put(place, "new")
    assert names(place) == ["a run"]


def test_what_somebody_begins_without_the_turn_is_not_swept_by_who_has_it(place):
    put(place, "new", then=(place.parent / f".a run.{HEX}").mkdir)
    assert names(place) == [f".a run.{HEX}", "a run"]


def test_a_link_that_leads_nowhere_is_an_error_of_the_system(place):
    place.symlink_to(place)
    with pytest.raises(OSError, match="directory|symbolic"):
        put(place, "new")
    assert names(place) == ["a run"]


def test_of_a_link_what_it_leads_to_is_replaced(place, tmp_path):
    elsewhere = tmp_path / "elsewhere" / "kept"
    put(elsewhere, "old")
    place.symlink_to(elsewhere)
    for text in ("new", "newer"):
        put(place, text)
        assert place.is_symlink() and (elsewhere / "text").read_text() == text
        assert names(place) == ["a run", "elsewhere"] and names(elsewhere) == ["kept"]


def test_only_scraps_of_this_place_go(place):
    kept = [f".a_run.{HEX}", f".a run.{HEX}.more", ".a run.notes", f".b.{HEX}", f"a run.{HEX}"]
    for name in (*kept, f".a run.{HEX}"):
        (place.parent / name).mkdir()
    put(place, "new")
    assert names(place) == sorted([*kept, "a run"])


def test_where_nobody_can_tell_who_writes_the_scraps_of_others_stay(place, monkeypatch):
    monkeypatch.setattr(_files, "fcntl", None)
    (place.parent / f".a run.{HEX}").mkdir()
    put(place, "old")
    put(place, "new")
    assert (place / "text").read_text() == "new" and names(place) == [f".a run.{HEX}", "a run"]


def test_a_parent_that_cannot_be_read_can_be_written_to(place, monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(_files.os, "open", refuse)
    put(place, "new")
    assert names(place) == ["a run"]


def test_a_swap_on_its_own_takes_the_old_folder_away(place, steps):
    put(place, "old")
    put(new := place.with_name("new"), "new")
    swap_in(new, place)
    assert (place / "text").read_text() == "new" and names(place) == ["a run"]
    assert os.listdir(place) == ["text"]
