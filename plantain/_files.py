"""Files and folders that a reader sees whole or not at all. Knows nothing about what is in them.

`write_atomic`   a file
`replace_folder`   a folder that is written in hiding and then takes another's place; writers take turns
`swap_in`       the last step alone
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import re
import shutil
import time
import unicodedata
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import safetensors.numpy
from pydantic import ConfigDict, TypeAdapter, ValidationError

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


def write_atomic(path: Path, content: bytes) -> None:
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
def replace_folder(folder: Path, allow: Callable[[], None]) -> Iterator[Path]:
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


def strict_json(text: bytes | str) -> Any:
    """Read JSON.

    Raises
    ------
    ValueError
        It is no JSON in UTF-8, repeats a name, holds NaN, an infinity, a whole number that needs more than 53 bits or
        half a character, or is nested too deeply.
    """
    hooks = {"parse_constant": _no_number, "parse_float": _finite, "parse_int": _whole}
    try:
        content = json.loads(text, object_pairs_hook=_without_repeats, **hooks)
        json.dumps(content, ensure_ascii=False).encode()  # a lone surrogate is no character
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return content


def _without_repeats(items: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in items:
        if name in found:
            raise ValueError(f"the name {name[:40]!r} comes twice")
        found[name] = value
    return found


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number")


def _finite(word: str) -> float:
    if not math.isfinite(float(word)):
        _no_number(word[:40])
    return float(word)


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
