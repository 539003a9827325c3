"""A prompt set that somebody pasted, as a table or as TOML, read strictly; an error names the row."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from plantain.prompts.sets import SIDES, Draft, PromptError, PromptSet, parse_prompt_set, table_set

MOST_PAIRS = 200

MOST_LETTERS = 1_000  # in a prompt

MOST_BYTES = 200_000  # of the whole text, in UTF-8

MOST_IN_A_NAME = 60  # letters in a title, a side's name, an id, a category

WHERE = "Your set"

_EMPTY = "is empty. Paste rows of two prompts, the positive one first."

_TURNS = "\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # ends of lines, and other directions


def read_pasted(text: str, title: str = "", positive: str = "", negative: str = "") -> PromptSet:
    """Read a prompt set that was pasted.

    Parameters
    ----------
    text : str
        A prompt set as a table or as TOML, as docs/prompts.md describes them; the names in TOML count.
    title, positive, negative : str
        Names of a table's set and of its sides; what is empty is taken from the table's columns, or gets a plain one.

    Returns
    -------
    PromptSet

    Raises
    ------
    PromptError
        Anything that is not exactly such a set, or is larger than the limits.
    """
    text = text.removeprefix("\ufeff")
    _check_text(text)
    if re.search(r"^[ \t]*\[\[[ \t]*pair[ \t]*\]\]", text, re.MULTILINE):
        return parse_prompt_set(text, WHERE, _limits)
    title = title.strip() or "A set of your own"
    name = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "own-set"
    named = {"positive": positive.strip(), "negative": negative.strip()}
    return table_set(text, WHERE, named, name, title, _limits)


def _error(problem: str) -> PromptError:
    return PromptError(f"{WHERE}: {problem}")


def _check_text(text: str) -> None:
    if not text.strip():
        raise _error(_EMPTY)
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise _error("holds signs that are no text (half of a pair).") from error
    if size > MOST_BYTES:
        raise _error(f"has {size / 1000:,.0f} kB; at most {MOST_BYTES // 1000} kB are taken.")


# --- limits ------------------------------------------------------------------------------------------------


def _limits(draft: Draft) -> list[str]:
    """Find what is too long, and signs that could forge a line or turn words around."""
    found = []
    if len(draft.rows) > MOST_PAIRS:
        found.append(f"has {len(draft.rows)} pairs; at most {MOST_PAIRS} are taken.")
    names = {"title": "title", "name": "name", **{side: f"{side} side's name" for side in SIDES}}
    found += [
        fault for key, what in names.items() for fault in _long(f"the {what}", draft.head.get(key), MOST_IN_A_NAME)
    ]
    for name, row in draft.rows.items():
        for key, value in row.items():
            prompt = key in SIDES
            what, most = f"{name}: the {key}{' prompt' * prompt}", MOST_LETTERS if prompt else MOST_IN_A_NAME
            found += _long(what, value, most)
    return found


def _long(what: str, value: object, most: int) -> Iterator[str]:
    if not isinstance(value, str):
        return
    value = value.strip()
    if len(value) > most:
        yield f"{what} has {len(value):,} characters; at most {most:,} are taken."
    strange = next((sign for sign in value if unicodedata.category(sign) in ("Cc", "Co", "Cs") or sign in _TURNS), None)
    if strange is not None:
        yield f"{what} holds the control character U+{ord(strange):04X}; take it out."
