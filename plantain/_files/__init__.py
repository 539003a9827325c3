"""Files and folders that a reader sees whole or not at all, strict readers of JSON and arrays, and shipped files.

A new folder is written beside the old one and takes its place by two renames: the old one steps aside, the new one
takes its name. Between the two no folder has the name, for microseconds or until somebody calls `settle` after a kill.

In a checkout and on the Space the files that are shipped lie beside the package, where people look for them. An
installed package has them inside, in ``shipped`` (pyproject.toml puts them there).
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
import unicodedata
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from filelock import FileLock, Timeout
from pydantic import ConfigDict, TypeAdapter, ValidationError

_PACKAGE = Path(__file__).resolve().parents[1]

CHECKOUT = _PACKAGE.parent
"""The folder of the project, where the package was not installed."""

ROOT = _PACKAGE / "shipped" if (_PACKAGE / "shipped").is_dir() else CHECKOUT

PATIENCE = 60  # seconds to wait for another writer, who needs well under one

LOCK = ".plantain.lock"  # beside the folders that it guards, while somebody writes


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file under another name, then rename it.

    Raises
    ------
    OSError
        It cannot be written; what stood there stays.
    """
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def replace_folder(folder: Path, allow: Callable[[], None]) -> Iterator[Path]:
    """Give a new folder to write to, and let it take another's place in the end.

    Writers of one parent folder wait for each other, so that the later one sees what the earlier one did. Killed at
    any moment, a writer leaves the old folder whole or the new one whole; see `settle`.

    Parameters
    ----------
    folder : Path
        The place; nothing stands there yet, or a folder. A link is followed: what it leads to is replaced.
    allow : callable
        Called once no other writer is at work; raises where the place must not be taken.

    Raises
    ------
    OSError
        The folder cannot be written, or another writer holds the place for a minute; what stood there stays.
    """
    folder = Path(os.path.realpath(folder))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder, PATIENCE):
        _put_back(folder)
        allow()
        new = folder.with_name(f".{folder.name}{_NEW}")
        put = swap_in if folder.exists() else Path.rename  # which fails where somebody takes the place without the lock
        shutil.rmtree(new, ignore_errors=True)  # left by a writer that was killed
        try:
            new.mkdir()
            yield new
            put(new, folder)
        finally:
            shutil.rmtree(new, ignore_errors=True)


def swap_in(new: Path, folder: Path) -> None:
    """Put a folder in the place of another; the old one goes only after the new one stands.

    Raises
    ------
    OSError
        It cannot be renamed; what stood there is put back.
    """
    _put_back(folder)
    if not folder.exists():
        new.rename(folder)
        return
    old = _aside(folder)
    folder.rename(old)
    try:
        new.rename(folder)
    except OSError:
        old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def name_fault(folder: Path) -> str:
    """Say why no folder can be written under a name, though the disk may take the name itself; empty where one can."""
    folder = Path(os.path.realpath(folder))
    there = next(parent for parent in folder.parents if parent.exists() or parent == parent.parent)
    try:
        most = os.pathconf(there, "PC_NAME_MAX")
    except (AttributeError, OSError, ValueError):  # Windows has no such function, a disk on a network may not know
        most = 255
    size = len(os.fsencode(folder.name))
    if size + _ROUND_A_NAME <= most:
        return ""
    return f"its name has {size} bytes; here at most {most - _ROUND_A_NAME} are taken. Choose a shorter one."


def settle(folder: Path) -> bool:
    """Wait for a writer that replaces a folder, and put the old one back where the writer was killed.

    Returns
    -------
    bool
        Whether a folder stands there now.
    """
    folder = Path(os.path.realpath(folder))
    limit = time.monotonic() + PATIENCE
    while not folder.exists() and _aside(folder).exists() and time.monotonic() < limit:
        try:
            with _alone(folder, 0) as locked:
                if not locked:
                    time.sleep(1)  # a writer may be at work, between its two renames
                _put_back(folder)
        except TimeoutError:  # the writer is at work
            time.sleep(0.005)
        except OSError:  # nothing can be written here, so nothing is put back
            break
    return folder.exists()


def settle_all(parent: Path) -> None:
    """Settle every folder of a parent that stepped aside."""
    for old in parent.glob(f".*{_ASIDE}"):
        settle(parent / old.name[1 : -len(_ASIDE)])


def folder_identity(folder: Path) -> tuple[int, int] | None:
    """Return what changes when another folder takes the place; None where none stands."""
    with suppress(OSError):
        found = folder.stat()
        return found.st_ino, found.st_ctime_ns
    return None


@contextmanager
def _alone(folder: Path, patience: float) -> Iterator[bool]:
    """Lock out other writers beside a folder, and say whether the disk can; some on a network cannot.

    The system frees the lock of a process that is killed.
    """
    path, locked = folder.with_name(LOCK), True
    try:
        lock = FileLock(path).acquire(timeout=patience, poll_interval=0.01)
    except Timeout as error:
        raise TimeoutError(errno.ETIMEDOUT, "another process is writing beside it") from error
    except PermissionError:
        raise
    except OSError:  # a run that took hours is saved all the same
        lock, locked = nullcontext(), False
    with lock:
        try:
            yield locked
        finally:
            with suppress(OSError):  # Windows keeps an open file
                path.unlink()  # while it is held: filelock tries again where it gets a file that is gone


_ASIDE, _NEW = ".plantain-old", ".plantain-new"  # no names that somebody gives to a folder of their own

_ROUND_A_NAME = len(f".{_NEW}")  # what stands around a folder's name while it is written, at most


def _aside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}{_ASIDE}")


def _put_back(folder: Path) -> None:
    """Undo or finish what a writer that was killed between or after its two renames left."""
    old = _aside(folder)
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
    elif old.exists():
        old.rename(folder)


def strict_json(text: bytes | str) -> Any:
    """Read JSON.

    Raises
    ------
    ValueError
        It is no JSON in UTF-8, repeats a name, holds NaN, an infinity, a whole number that needs more than 53 bits or
        half a character, or is nested too deeply.
    """
    try:
        content = json.loads(text, object_pairs_hook=_without_repeats, parse_int=_whole)
        json.dumps(content, ensure_ascii=False, allow_nan=False).encode()  # a lone surrogate is no character
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return content


def _without_repeats(items: list[tuple[str, Any]]) -> dict[str, Any]:
    if twice := [name for name, n in Counter(name for name, _ in items).items() if n > 1]:
        raise ValueError(f"the name {twice[0][:40]!r} comes twice")
    return dict(items)


def _whole(word: str) -> int:
    if len(word) > 17 or abs(int(word)) >= 1 << 53:
        raise ValueError(f"{word[:40]} is too large a number")
    return int(word)


def strict_arrays(content: bytes, kinds: dict[str, type]) -> dict[str, np.ndarray]:
    """Read the arrays of a safetensors file.

    Parameters
    ----------
    content : bytes
        The whole file.
    kinds : dict of str to NumPy type
        Of every array that has to be there; there must be no others.

    Returns
    -------
    dict of str to array

    Raises
    ------
    SafetensorError
        It is no safetensors file, or a damaged one.
    ValueError
        Arrays are missing, repeated, unknown or of another kind.
    """
    arrays = safetensors.numpy.load(content)
    strict_json(content[8 : 8 + int.from_bytes(content[:8], "little")])  # the header, in which names could be repeated
    strange = sorted(set(arrays) ^ set(kinds))
    if strange:
        raise ValueError(f"{strange[0][:40]!r} is {'missing' if strange[0] in kinds else 'unknown'}")
    for name, kind in kinds.items():
        if arrays[name].dtype != kind:
            raise ValueError(f"{name} is {arrays[name].dtype}, not {np.dtype(kind)}")
    return arrays


_adapter = cache(TypeAdapter)  # building one takes milliseconds

STRICT = ConfigDict(strict=True, extra="forbid")
"""Of a dataclass that is read from files of strangers: the exact types, and no unknown key."""


def strict_record(kind: Any, content: Any, name: str) -> Any:
    """Build a record from JSON values.

    Parameters
    ----------
    kind : type
        A dataclass, or a tuple of one.
    content : JSON value
    name : str
        What the value is called in an error.

    Raises
    ------
    ValueError
        The values do not fit; one line with the first that does not.
    """
    try:
        return _adapter(kind).validate_json(json.dumps(content), strict=True)
    except ValidationError as error:
        raise ValueError(first_fault(error, name)) from None


def plain(record: Any) -> dict[str, Any]:
    """Return a dataclass as JSON values: keys are texts, tuples are lists. `strict_record` reads it back."""
    return json.loads(json.dumps(asdict(record), allow_nan=False))


def first_fault(error: ValidationError, name: str) -> str:
    """Say in one line what is wrong with the first value that does not fit, and where it stands."""
    fault = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part)[:40] for part in (name, *fault["loc"]))
    words = str(fault["ctx"]["error"]) if fault["type"] == "value_error" else fault["msg"]
    return f"{place}: {words[0].lower()}{words[1:]}"


def printable(text: str) -> str:
    """Write out control and format characters, which could clear a terminal, forge a line or turn words around."""
    return "".join(c if unicodedata.category(c) not in ("Cc", "Cf", "Co", "Cs") else ascii(c)[1:-1] for c in text)


def printable_lines(text: str) -> str:
    """Do the same line by line, so that a text keeps its lines."""
    return "\n".join(map(printable, text.split("\n")))


def find(path: str | Path, folder: Path, ending: str = "") -> Path:
    """Return a path as it is, or what is shipped under that name where nothing lies there.

    Parameters
    ----------
    path : str or Path
        E.g. ``tiny-random``, ``precomputed/tiny-random`` or ``picture-book/moral``, from whatever folder.
    folder : Path
        One of `ROOT`.
    ending : str
        May be left out of the name; of what has one, a folder of the name does not count.

    Returns
    -------
    Path
    """
    path = Path(path)

    def is_there(found: Path) -> bool:
        return found.is_file() if ending else found.exists()

    inside = path.parts[1:] if path.parts[:1] == (folder.name,) else path.parts
    if is_there(path) or path.is_absolute() or not inside or ".." in inside:
        return path
    named = (folder.joinpath(*inside[:-1], name) for name in (inside[-1], f"{inside[-1]}{ending}"))
    return next(filter(is_there, named), path)
