"""Folders that take another's place: one writer at a time, whole or not at all, also of writers that are killed."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from browser import ROOT
from filelock import FileLock

from plantain import _files
from plantain._files import LOCK, replace_folder, settle, settle_all, swap_in


@pytest.fixture
def place(tmp_path):
    return tmp_path / "a run"


def put(place, text, allow=lambda: None, then=lambda: None):
    with replace_folder(place, allow) as new:
        (new / "text").write_text(text)
        then()


def names(place):
    return sorted(path.name for path in place.parent.iterdir())


def must_be_free(place):
    if place.exists():
        raise FileExistsError(place)


# A writer in a process of its own: says when it writes, goes on when it is told to.
_WRITER = """
import os, signal, sys
from pathlib import Path
from plantain import _files
place, how = Path(sys.argv[1]), sys.argv[2]
def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
def free():
    if how == "if free" and place.exists():
        sys.exit("it is taken")
with _files.replace_folder(place, free) as new:
    (new / "text").write_text("the other's")
    print("writing", flush=True)
    sys.stdin.readline()
    rename = Path.rename
    if how == "killed before the renames":
        Path.rename = kill
    if how == "killed between the renames":
        Path.rename = lambda path, to: rename(path, to) if path == place else kill()
    if how == "killed after the renames":
        _files.shutil.rmtree = lambda path, **_: path.exists() and kill()
"""


def writer(place, how):
    return subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(place), how], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_a_new_folder_and_another_in_its_place(place):
    for text in ("first", "second"):
        put(place, text)
        assert (place / "text").read_text() == text and names(place) == ["a run"]


@pytest.mark.parametrize("stood", [True, False])
def test_what_breaks_off_leaves_what_stood_there(place, stood):
    if stood:
        put(place, "old")
    with pytest.raises(ZeroDivisionError):
        put(place, "new", then=lambda: 1 / 0)
    assert names(place) == ["a run"] * stood
    assert not stood or (place / "text").read_text() == "old"


def test_a_second_rename_that_fails_puts_the_old_folder_back(place, monkeypatch):
    put(place, "old")
    rename = Path.rename

    def refuse_the_new(path, to):
        if path.name == ".a run.plantain-new":
            raise PermissionError(13, "Permission denied")
        return rename(path, to)

    monkeypatch.setattr(Path, "rename", refuse_the_new)
    with pytest.raises(PermissionError):
        put(place, "new")
    assert (place / "text").read_text() == "old" and names(place) == ["a run"]


# --- writers beside each other -----------------------------------------------------------------------------


def test_the_later_writer_sees_what_the_earlier_one_did(place):
    """Without the lock both would have found the place free, and the later one would have replaced the other."""
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


def test_no_two_writers_are_ever_at_work_together(place):
    """The lock's file goes with every release, so that this is more than a test of filelock."""
    inside, most, count = [], [], 0

    def write():
        for _ in range(40):
            with replace_folder(place, lambda: None) as new:
                inside.append(1)
                most.append(len(inside))
                (new / "text").write_text("x")
                inside.pop()

    writers = [threading.Thread(target=write) for _ in range(4)]
    for one in writers:
        one.start()
    for one in writers:
        one.join(60)
        count += 1
    assert count == 4 and len(most) == 160 and set(most) == {1} and names(place) == ["a run"]


def test_a_writer_that_never_ends_is_an_error_of_the_next_and_nothing_changes(place, monkeypatch):
    put(place, "old")
    monkeypatch.setattr(_files, "PATIENCE", 0.2)
    with FileLock(place.with_name(LOCK)), pytest.raises(TimeoutError, match="another process is writing"):
        put(place, "new")
    assert (place / "text").read_text() == "old"


def test_who_takes_a_free_place_without_the_lock_is_not_overwritten(place):
    def take():
        place.mkdir()
        (place / "text").write_text("the other's")

    with pytest.raises(OSError, match="not empty"):
        put(place, "mine", lambda: must_be_free(place), then=take)
    assert (place / "text").read_text() == "the other's" and names(place) == ["a run"]


def test_a_reader_finds_a_whole_folder_again_after_every_replacement(place):
    """200 replacements; whoever looks between the two renames waits for the second."""
    put(place, "0")
    done, missing = threading.Event(), []

    def read():
        while not done.is_set():
            if not place.exists() and not settle(place):
                missing.append(names(place))

    reader = threading.Thread(target=read)
    reader.start()
    for i in range(200):
        put(place, str(i))
    done.set()
    reader.join(60)
    assert missing == [] and (place / "text").read_text() == "199" and names(place) == ["a run"]


# --- writers that are killed -------------------------------------------------------------------------------

KILLED = {
    "killed before the renames": "old",
    "killed between the renames": "old",
    "killed after the renames": "the other's",
}


@pytest.mark.parametrize("how", KILLED)
@pytest.mark.parametrize("then", ["load", "list", "save", "a save that fails"])
def test_a_kill_leaves_the_old_folder_or_the_new_one_whole(place, how, then):
    put(place, "old")
    killed = writer(place, how)
    killed.communicate("\n", timeout=60)
    assert killed.returncode == -signal.SIGKILL and len(names(place)) > 1
    assert place.exists() is (how != "killed between the renames")
    if then == "load":
        assert settle(place)
    elif then == "list":
        settle_all(place.parent)
    elif then == "a save that fails":
        with pytest.raises(ZeroDivisionError):
            put(place, "newer", then=lambda: 1 / 0)
    if then != "save":
        assert (place / "text").read_text() == KILLED[how]
    put(place, "newest")
    assert (place / "text").read_text() == "newest" and names(place) == ["a run"]


@pytest.mark.parametrize("stood", [True, False])
def test_a_writer_killed_while_it_writes_leaves_what_stood_there_and_holds_nobody_up(place, stood):
    if stood:
        put(place, "old")
    killed = writer(place, "any")
    assert killed.stdout.readline() == "writing\n"
    killed.kill()
    killed.communicate(timeout=60)
    assert place.exists() is stood and settle(place) is stood
    assert not stood or (place / "text").read_text() == "old"
    began = time.monotonic()
    put(place, "new")
    assert (place / "text").read_text() == "new" and names(place) == ["a run"] and time.monotonic() - began < 30


def test_only_what_was_left_of_this_place_goes(place):
    kept = [".a run.new", ".a run.old", ".a run.plantain-new.more", ".a_run.plantain-new", ".b.plantain-old"]
    for name in (*kept, ".a run.plantain-new", ".a run.plantain-old"):
        (place.parent / name).mkdir()
    put(place, "new")
    assert names(place) == sorted([*kept, "a run"])


def test_hidden_folders_of_other_names_are_not_renamed(place):
    for name in (".backup.old", ".run.plantain-old"):
        (place.parent / name).mkdir()
    settle_all(place.parent)
    assert names(place) == [".backup.old", "run"]


def test_where_nothing_can_be_written_nothing_is_put_back_and_nobody_waits(place, monkeypatch):
    place.with_name(".a run.plantain-old").mkdir()

    def refuse(*_, **__):
        raise PermissionError

    monkeypatch.setattr(_files, "FileLock", refuse)
    assert not settle(place) and names(place) == [".a run.plantain-old"]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_where_the_disk_has_no_locks_folders_are_written_and_put_back_without(place, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    for text in ("first", "second"):
        put(place, text)
        assert (place / "text").read_text() == text and names(place) == ["a run"]
    place.rename(place.with_name(".a run.plantain-old"))
    assert settle(place) and (place / "text").read_text() == "second" and names(place) == ["a run"]


def test_where_the_lock_is_forbidden_nothing_is_written(place, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EPERM, "forbidden")

    monkeypatch.setattr(_files, "FileLock", refuse)
    with pytest.raises(PermissionError, match="forbidden"):
        put(place, "new")
    assert names(place) == []


# --- links -------------------------------------------------------------------------------------------------


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


def test_a_swap_on_its_own_takes_the_old_folder_away(place):
    put(place, "old")
    put(new := place.with_name("new"), "new")
    swap_in(new, place)
    assert (place / "text").read_text() == "new" and names(place) == ["a run"]
    assert os.listdir(place) == ["text"]
