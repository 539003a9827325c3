"""Files of strangers, read strictly: what two readers could take for different things is refused.

`strict_json`     JSON without repeated names and numbers that are none
`strict_arrays`   the arrays of a safetensors file, of the expected names and kinds only

Knows nothing about what is in them.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

import numpy as np
import safetensors.numpy


def strict_json(text: bytes | str) -> Any:
    """Read JSON.

    Raises
    ------
    ValueError
        It is no JSON in UTF-8, repeats a name, holds NaN or an infinity, or is nested too deeply.
    """
    try:
        return json.loads(text, object_pairs_hook=_without_repeats, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _without_repeats(items: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in items:
        if name in found:
            raise ValueError(f"the name {name[:40]!r} comes twice")
        found[name] = value
    return found


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number")


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
