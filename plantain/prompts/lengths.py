"""Small edits by which two prompts have the same number of tokens: they are offered, and never made by themselves."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

ENDINGS = (
    " now", " here", " there", " today", " calmly", " quietly", " at once", " there now", " there today",
    " quietly there", " right there now", " quietly there today", " at that moment", " there at that moment",
    " quietly at that moment", " there at that very moment",
)  # fmt: skip
"""What can stand at the end of a sentence and hardly changes what it says."""


def even(
    positive: str, negative: str, count: Callable[[str], int], endings: Sequence[str] = ENDINGS
) -> tuple[str, str] | None:
    """Find a small edit of one prompt by which both have the same number of tokens.

    One of the endings that only the longer prompt has is dropped; else the shorter one gets one before its full stop.

    Parameters
    ----------
    positive, negative : str
    count : callable
        Counts a prompt's tokens, by the tokenizer of the model that it is for; what it raises is passed on.
    endings : sequence of str
        With the blank or comma before them; the first that fits is taken.

    Returns
    -------
    tuple of str, or None
        Both prompts. None where the lengths are equal already, or no ending makes them so.

    Examples
    --------
    >>> even("Ana helps him up.", "Ana hits him.", lambda text: len(text.split()))
    ('Ana helps him up.', 'Ana hits him now.')
    """
    texts, counts = (positive, negative), (count(positive), count(negative))
    if counts[0] == counts[1]:
        return None
    short = int(counts[1] < counts[0])
    for which, text in _edits(texts[short], texts[1 - short], endings):
        side = short if which == "short" else 1 - short
        if count(text) == counts[1 - side]:
            return (text, negative) if side == 0 else (positive, text)
    return None


def _edits(short: str, long: str, endings: Sequence[str]) -> Iterator[tuple[str, str]]:
    for ending in endings:
        found = re.search(rf"{re.escape(ending)}\b", long)
        if found and not re.search(rf"{re.escape(ending)}\b", short):
            yield "long", long[: found.start()] + long[found.end() :]
    body, stop = re.fullmatch(r"(.*?)([.!?…]*\s*)", short, re.DOTALL).groups()
    for ending in endings:
        yield "short", body + ending + stop
