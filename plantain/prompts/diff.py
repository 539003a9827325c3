"""The words in which two prompts differ."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from itertools import groupby
from operator import itemgetter

Spans = list[tuple[str, bool]]

ALIKE = 0.5  # share of common words, below which more than one thing differs

# Scripts that put no blanks between words: Thai, Lao, Burmese, Khmer, kana and Chinese characters. There every
# character counts as a word, with the marks that belong to it.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)

_THEIR_MARKS = (
    "\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ece\u102b-\u103e\u1056-\u1059"
    "\u17b4-\u17d3\u3099\u309a"
)

# Words with what joins them ("Mr", "Petra's", "twenty-one").
WORD = rf"[{_UNSPACED}][{_THEIR_MARKS}]*|[^\W{_UNSPACED}]+(?:['’-][^\W{_UNSPACED}]+)*"

# Words, blanks, and every other sign by itself.
_PIECES = re.compile(rf"{WORD}|\s+|[^\w\s]")


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
    differs = [[True] * len(_words(text)) for text in (a, b)]
    for block in _matcher(a, b).get_matching_blocks():
        for flags, start in zip(differs, (block.a, block.b), strict=True):
            flags[start : start + block.size] = [False] * block.size
    return _spans(a, differs[0]), _spans(b, differs[1])


def shared_words(a: str, b: str) -> float:
    """Return the share of all words of both texts that do not differ, from 0 to 1; 1 for two empty texts."""
    return _matcher(a, b).ratio()


def _words(text: str) -> list[str]:
    return [piece for piece in _PIECES.findall(text) if not piece.isspace()]


def _matcher(a: str, b: str) -> SequenceMatcher:
    return SequenceMatcher(None, _words(a), _words(b), autojunk=False)


def _spans(text: str, differs: list[bool]) -> Spans:
    """Cut a text where the flag changes; `differs` has one for each word."""
    pieces, word = [], 0
    for piece in _PIECES.findall(text):
        if piece.isspace():
            flag = 0 < word < len(differs) and differs[word - 1] and differs[word]
        else:
            flag, word = differs[word], word + 1
        pieces.append((piece, flag))
    return [("".join(piece for piece, _ in span), flag) for flag, span in groupby(pieces, key=itemgetter(1))]
