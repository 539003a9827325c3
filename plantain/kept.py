"""Statistics kept inside a run's folder, so that they are computed once. Knows nothing about runs.

`keep`     write an `Inference` under a key
`recall`   read it back, or None when there is none, it is damaged, or the key is another
"""

from __future__ import annotations

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


def keep(folder: Path, key: dict[str, Any], inference: Inference) -> None:
    """Write statistics into a run's folder; where it cannot be written, they are simply not kept."""
    path = _path(folder, key)
    # One metadata key: several would be written in an order that changes from run to run.
    text = json.dumps({"key": key, "facts": inference.facts}, allow_nan=False)
    content = safetensors.numpy.save(
        {name: np.ascontiguousarray(inference.columns[name]) for name in COLUMNS}, metadata={"statistics": text}
    )
    with suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        write_whole(path, content)


def recall(folder: Path, key: dict[str, Any], n_units: int) -> Inference | None:
    """Read statistics back if they belong to the key: capture, units, scope, version and parameters."""
    try:
        with safe_open(_path(folder, key), "np") as file:
            content = json.loads(file.metadata()["statistics"])
            columns = {name: file.get_tensor(name) for name in COLUMNS}
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        return None
    whole = all(c.shape == (n_units,) and c.dtype == np.float64 for c in columns.values())
    return Inference(columns, content["facts"]) if whole and content.get("key") == key else None


def _path(folder: Path, key: dict[str, Any]) -> Path:
    return folder / FOLDER / f"{key['units']}-{key['scope']}.safetensors"
