"""Which words of two prompts differ. Knows nothing about models or pages.

`differing_words`   both texts as spans, each with whether the other text lacks it
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher

Spans = list[tuple[str, bool]]

# Words with what joins them ("Mr", "Petra's", "twenty-one"), blanks, and every other sign by itself.
_PIECES = re.compile(r"\w+(?:['’-]\w+)*|\s+|[^\w\s]")


def differing_words(a: str, b: str) -> tuple[Spans, Spans]:
    """Split two texts where their words differ.

    Parameters
    ----------
    a, b : str
        Any texts.

    Returns
    -------
    tuple of two lists of (str, bool)
        For `a` and for `b`: spans that join to the text, each with whether its words are not in the other text in this
        order. What is left without them is one sequence of words on both sides. Neighbours differ in their flag. A
        blank differs only between two words that do: texts that differ in blanks alone have no differing word.
    """
    pieces = [_PIECES.findall(text) for text in (a, b)]
    words = [[piece for piece in part if not piece.isspace()] for part in pieces]
    differs = [[True] * len(part) for part in words]
    for block in SequenceMatcher(None, *words, autojunk=False).get_matching_blocks():
        for flags, start in zip(differs, (block.a, block.b), strict=True):
            flags[start : start + block.size] = [False] * block.size
    first, second = (_spans(*side) for side in zip(pieces, differs, strict=True))
    return first, second


def _spans(pieces: list[str], differs: list[bool]) -> Spans:
    """Join pieces with the same flag; `differs` has one for each piece that is not blank."""
    spans: Spans = []
    word = 0
    for piece in pieces:
        if piece.isspace():
            flag = 0 < word < len(differs) and differs[word - 1] and differs[word]
        else:
            flag, word = differs[word], word + 1
        if spans and spans[-1][1] == flag:
            spans[-1] = (spans[-1][0] + piece, flag)
        else:
            spans.append((piece, flag))
    return spans
