"""Files and folders that a reader sees whole or not at all. Knows nothing about what is in them.

`write_whole`   a file
`swap_in`       a folder in another's place
"""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path


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


def swap_in(new: Path, folder: Path) -> None:
    """Put a folder in the place of another; the old one goes only after the new one stands.

    Raises
    ------
    OSError
        It cannot be renamed; what stood there is put back.
    """
    old = _hidden(folder)
    if folder.exists():
        folder.rename(old)
    try:
        new.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)
