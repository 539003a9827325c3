"""Statistics kept inside a run's folder, so that they are computed once. Knows nothing about runs.

`keep`     write an `Inference` under a key
`recall`   read it back, or None when there is none, it is damaged, or the key is another
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError, safe_open

from plantain.inference import COLUMNS, Inference
from plantain.whole import write_whole

FOLDER = "statistics"
_HEADER = 1 << 20  # bytes that a file may hold beside its columns


def keep(folder: Path, key: dict[str, Any], inference: Inference) -> None:
    """Write statistics into a run's folder; where it cannot be written, they are simply not kept."""
    path = _path(folder, key)
    # One metadata key: several would be written in an order that changes from run to run.
    digest = _digest(inference.columns, inference.facts)
    text = json.dumps({"key": key, "facts": inference.facts, "sha256": digest}, allow_nan=False)
    content = safetensors.numpy.save(
        {name: np.ascontiguousarray(inference.columns[name]) for name in COLUMNS}, metadata={"statistics": text}
    )
    with suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        write_whole(path, content)


def recall(folder: Path, key: dict[str, Any], n_units: int) -> Inference | None:
    """Read statistics back if they belong to the key: capture, units, scope, version and parameters."""
    path = _path(folder, key)
    try:
        if not _is_plain(path, n_units):
            return None
        with safe_open(path, "np") as file:
            content = json.loads(file.metadata()["statistics"])
            columns = {name: file.get_tensor(name) for name in COLUMNS}
        facts = content["facts"]
        whole = content["key"] == key and content["sha256"] == _digest(columns, facts)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        return None
    fits = all(c.shape == (n_units,) and c.dtype == np.float64 for c in columns.values())
    return Inference(columns, facts) if whole and fits else None


def _is_plain(path: Path, n_units: int) -> bool:
    """Tell whether this is a file of the folder and no larger than it can be; a pipe would be waited for."""
    if path.is_symlink() or path.parent.is_symlink() or not path.is_file():
        return False
    return path.stat().st_size <= 8 * n_units * len(COLUMNS) + _HEADER


def _digest(columns: dict[str, np.ndarray], facts: dict[str, Any]) -> str:
    """Hash what is kept, so that a damaged number is not taken for one that was computed."""
    found = hashlib.sha256(json.dumps(facts, allow_nan=False).encode())
    for name in COLUMNS:
        found.update(np.ascontiguousarray(columns[name]).tobytes())
    return found.hexdigest()


def _path(folder: Path, key: dict[str, Any]) -> Path:
    return folder / FOLDER / f"{key['units']}-{key['scope']}.safetensors"
