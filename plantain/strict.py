"""Files of strangers, read strictly: what two readers could take for different things is refused.

`strict_json`     JSON without repeated names, and numbers and text that others may choke on
`strict_arrays`   the arrays of a safetensors file, of the expected names and kinds only
`visible`, `visible_lines`   foreign words for a terminal or a card: what cannot be seen is written out

Knows nothing about what is in them.
"""

from __future__ import annotations

import json
import math
import unicodedata
from typing import Any, NoReturn

import numpy as np
import safetensors.numpy


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


def visible(text: str) -> str:
    """Write out control and format characters, which could clear a terminal, forge a line or turn words around."""
    return "".join(c if unicodedata.category(c) not in ("Cc", "Cf", "Co", "Cs") else ascii(c)[1:-1] for c in text)


def visible_lines(text: str) -> str:
    """Do the same line by line, so that a text keeps its lines."""
    return "\n".join(map(visible, text.split("\n")))
