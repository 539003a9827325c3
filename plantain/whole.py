"""Files and folders that a reader sees whole or not at all. Knows nothing about what is in them.

`write_whole`   a file
`in_place_of`   a folder that is written in hiding and then takes another's place; writers take turns
`swap_in`       the last step alone
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

OLD = 3600  # seconds after which nobody works any more on what is hidden
PATIENCE = 60  # seconds to wait for one's turn to write; a turn takes well under one
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # Linux's numbers, in fcntl.h and fs.h


def _hidden(path: Path) -> Path:
    """Return a new name beside a path, which nobody reads."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}")


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under another name, then rename it.

    Raises
    ------
    OSError
        It cannot be written; what stood there stays.
    """
    partial = _hidden(path)
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def in_place_of(folder: Path, allow: Callable[[], None]) -> Iterator[Path]:
    """Give a new folder to write to, and let it take another's place in the end.

    Writers beside each other take turns, so that the later one sees what the earlier one did; what a writer left
    that was killed goes an hour later, once the new folder stands.

    Parameters
    ----------
    folder : Path
        The place; nothing stands there yet, or a folder. Of a link what it leads to.
    allow : callable
        Called when the turn has come; raises where the place must not be taken.

    Raises
    ------
    OSError
        The folder cannot be written; what stood there stays.
    """
    folder = Path(os.path.realpath(folder))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _turn(folder.parent) as alone:
        scraps = _left_behind(folder) if alone else []
        allow()
        stood, new = folder.exists(), _hidden(folder)
        try:
            new.mkdir()
            yield new
            if stood:
                swap_in(new, folder)
            else:
                new.rename(folder)  # fails where somebody took the place who knows no turns
        finally:
            shutil.rmtree(new, ignore_errors=True)
        for left in scraps:
            shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _turn(parent: Path) -> Iterator[bool]:
    """Wait until no other process writes beside, but not for ever; say whether the turn came."""
    try:
        handle = os.open(parent, os.O_RDONLY)
    except OSError:  # not readable, or no such thing as an open folder
        yield False
        return
    try:
        yield _lock(handle)
    finally:
        with suppress(OSError, AttributeError):
            fcntl.flock(handle, fcntl.LOCK_UN)  # a child of this process may hold the folder open as well
        os.close(handle)


def _lock(handle: int) -> bool:
    """Lock an open folder; the system unlocks it where the process is killed."""
    patience = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > patience:  # somebody holds the folder for another reason, or was stopped
                return False
            time.sleep(0.01)
        except (OSError, AttributeError):  # some disks on a network; Windows
            return False


def _left_behind(folder: Path) -> list[Path]:
    """List the hidden folders beside a folder that were to take its place, or stood there, unless they are new.

    A new one may be a writer's who did not wait for the turn any longer.
    """
    name = re.compile(rf"\.{re.escape(folder.name)}\.[0-9a-f]{{32}}")
    found = [path for path in folder.parent.iterdir() if name.fullmatch(path.name)]
    return [path for path in found if time.time() - path.stat().st_mtime > OLD]


def swap_in(new: Path, folder: Path) -> None:
    """Put a folder in the place of another; the old one goes only after the new one stands.

    Raises
    ------
    OSError
        It cannot be renamed; what stood there is put back.
    """
    if not folder.exists():
        new.rename(folder)
        return
    old = new if _exchange(new, folder) else _step_aside(new, folder)
    shutil.rmtree(old, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders change places in one step; say whether the system can."""
    try:
        rename = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError, TypeError):  # another system, or an old C library
        return False
    return not rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)


def _step_aside(new: Path, folder: Path) -> Path:
    """Replace a folder in two steps, between which none is there; return where the old one is."""
    old = _hidden(folder)
    folder.rename(old)
    try:
        new.rename(folder)
    except OSError:
        old.rename(folder)
        raise
    return old
