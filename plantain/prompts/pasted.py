"""A prompt set that somebody typed or pasted, read strictly. Knows nothing about pages; nothing is written anywhere.

`read_pasted`   a table as copied from a spreadsheet, CSV or TOML -> `PromptSet`, or an error that names the row
`MOST_PAIRS`, `MOST_LETTERS`, `MOST_BYTES`   the limits
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import asdict
from itertools import pairwise

from plantain.prompts.sets import PAIR_KEYS, PromptSet, PromptSetError, collect_pairs, parse_prompt_set

MOST_PAIRS = 200

MOST_LETTERS = 1_000  # in a prompt

MOST_BYTES = 200_000  # of the whole text, in UTF-8

MOST_IN_A_NAME = 60  # letters in a title, a side's name, an id, a category

WHERE = "Your set"

TITLE, SIDES, CATEGORY = "A set of your own", ("positive", "negative"), "all"

_SEPARATORS = {"\t": "tab", ";": "semicolon", ",": "comma"}

_NAMED = "name the columns in the first row: positive, negative and, if wanted, id and category"


_EMPTY = f"{WHERE}: is empty. Paste rows of two prompts, the positive one first."


Row = tuple[int, list[str]]
"""The row's number as a reader counts, and its cells."""


def read_pasted(text: str, title: str = "", positive: str = "", negative: str = "") -> PromptSet:
    """Read a prompt set that was pasted.

    Parameters
    ----------
    text : str
        Rows of two cells, positive and negative, parted by tabs, semicolons or commas, quoted as spreadsheets do.
        A first row that names the columns may stand before them, and then ``id`` and ``category`` are columns too; rows
        of four cells parted by tabs without such a row are id, category, positive, negative. Or the TOML of a prompt
        set, whose own names then count.
    title, positive, negative : str
        Names of a table's set and of its sides; what is empty gets a plain one.

    Returns
    -------
    PromptSet

    Raises
    ------
    PromptSetError
        Anything that is not exactly such a set, or is larger than the limits.
    """
    text = text.removeprefix("\ufeff")
    _check_text(text)
    if re.search(r"^[ \t]*\[\[[ \t]*pair[ \t]*\]\]", text, re.MULTILINE):
        return _checked(parse_prompt_set(text, WHERE))
    title, sides = title.strip() or TITLE, (positive.strip() or SIDES[0], negative.strip() or SIDES[1])
    if sides[0] == sides[1]:
        raise PromptSetError(f"{WHERE}: both sides are called {sides[0]!r}; give each its own name.")
    pairs = collect_pairs(_rows(text, sides), WHERE)
    return _checked(PromptSet(_slug(title), title, *sides, pairs))


def _check_text(text: str) -> None:
    if not text.strip():
        raise PromptSetError(_EMPTY)
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise PromptSetError(f"{WHERE}: holds signs that are no text (half of a pair).") from error
    if size > MOST_BYTES:
        raise PromptSetError(f"{WHERE}: has {size / 1000:,.0f} kB; at most {MOST_BYTES // 1000} kB are taken.")


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "own-set"


# --- tables ------------------------------------------------------------------------------------------------


def _rows(text: str, sides: tuple[str, str]) -> dict[str, dict[str, str]]:
    """Read a table; the names of the rows are what an error calls them."""
    separator = _separator(text)
    rows = list(_cells(text, separator))
    if not rows:  # nothing but separators
        raise PromptSetError(_EMPTY)
    columns = _columns(rows[0], sides)
    body = rows[1:] if columns else rows
    columns = columns or _unnamed(rows[0], separator)
    if len(body) > MOST_PAIRS:  # here too, so that no one waits for what will be refused
        raise _too_many(len(body))
    return {f"row {n}": _named(n, cells, columns, separator) for n, cells in body}


def _separator(text: str) -> str:
    """Take what stands in the first row that is not empty: a tab before a semicolon before a comma."""
    first = re.split(r"[\r\n]", text.lstrip("\r\n "), maxsplit=1)[0]
    for sign in _SEPARATORS:
        if sign in first:
            return sign
    raise PromptSetError(
        f"{WHERE}: the first row has one cell only. Part the two prompts of a pair by a tab (as copied from a "
        "spreadsheet), a semicolon or a comma."
    )


def _cells(text: str, separator: str) -> Iterable[Row]:
    """Split rows into cells without the empty ones at the end; rows without any are left out but counted."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    n = 0
    while True:
        n += 1
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            raise PromptSetError(
                f"{WHERE}: row {n} cannot be read ({error}). A cell that begins with a quotation mark must end "
                "with one, and marks inside it are doubled."
            ) from error
        while cells and not cells[-1]:
            cells.pop()
        if cells:
            yield n, cells


def _columns(first: Row, sides: tuple[str, str]) -> list[str] | None:
    """Return the columns that the first row names, or None where it holds prompts."""
    n, cells = first
    keys = [_key(cell, sides) for cell in cells]
    if not {"positive", "negative"} & set(keys):
        return None
    for key in ("positive", "negative"):
        if key not in keys:
            raise PromptSetError(f"{WHERE}: row {n} names columns, but none is {key!r}; {_NAMED}.")
    for cell, key in zip(cells, keys, strict=True):
        if key is None:
            raise PromptSetError(f"{WHERE}: row {n} names an unknown column {cell[:MOST_IN_A_NAME]!r}; {_NAMED}.")
    twice = next((here for here, there in pairwise(sorted(keys)) if here == there), None)
    if twice:
        raise PromptSetError(f"{WHERE}: row {n} names the column {twice!r} twice.")
    return keys


def _key(cell: str, sides: tuple[str, str]) -> str | None:
    """Understand a column's name: a key, with a word behind it if need be (“positive prompt”), or a side's own name."""
    named = dict(zip(map(str.casefold, sides), SIDES, strict=True))
    if cell.casefold() in named:
        return named[cell.casefold()]
    found = cell.casefold().split()
    return found[0] if 0 < len(found) <= 2 and found[0] in PAIR_KEYS else None


def _unnamed(first: Row, separator: str) -> list[str]:
    """Name the columns of a table that does not."""
    n, cells = first
    if len(cells) == len(SIDES):
        return list(SIDES)
    if len(cells) == len(PAIR_KEYS) and separator == "\t":  # commas may be a prompt's own
        return list(PAIR_KEYS)
    raise PromptSetError(
        f"{WHERE}: row {n} has {_cell_count(cells)}, parted by {_SEPARATORS[separator]}s, not 2. Put prompts that "
        f"hold a {_SEPARATORS[separator]} in quotation marks, or {_NAMED}."
    )


def _named(n: int, cells: list[str], columns: list[str], separator: str) -> dict[str, str]:
    """Put a row's cells under their names; what may be left out is filled in."""
    if len(cells) > len(columns):
        raise PromptSetError(
            f"{WHERE}: row {n} has {_cell_count(cells)}, the first row {len(columns)}. Put a prompt that holds a "
            f"{_SEPARATORS[separator]} in quotation marks."
        )
    found = dict(zip(columns, cells, strict=False))  # the last ones may be empty, and so left out
    for side in SIDES:
        if not found.get(side):
            raise PromptSetError(f"{WHERE}: row {n} has no {side} prompt.")
    # By its row, so that whatever is said of a pair later can be found in the table.
    pair = found | {"id": found.get("id") or f"row-{n}", "category": found.get("category") or CATEGORY}
    _check_pair(f"row {n}", pair)
    return pair


def _cell_count(cells: list[str]) -> str:
    return f"{len(cells)} cell{'' if len(cells) == 1 else 's'}"


# --- limits ------------------------------------------------------------------------------------------------


def _checked(prompt_set: PromptSet) -> PromptSet:
    """Refuse what is too long, and signs that could forge a line or turn words around."""
    if len(prompt_set.pairs) > MOST_PAIRS:
        raise _too_many(len(prompt_set.pairs))
    for key in ("title", "name"):
        _check(f"the {key}", getattr(prompt_set, key), MOST_IN_A_NAME)
    for key in SIDES:
        _check(f"the {key} side's name", getattr(prompt_set, key), MOST_IN_A_NAME)
    for n, pair in enumerate(prompt_set.pairs, 1):
        _check_pair(f"pair {n}", asdict(pair))
    return prompt_set


def _check_pair(where: str, pair: dict[str, str]) -> None:
    for key, value in pair.items():
        if key in SIDES:
            _check(f"{where}: the {key} prompt", value, MOST_LETTERS)
        else:
            _check(f"{where}: the {key}", value, MOST_IN_A_NAME)


def _too_many(n: int) -> PromptSetError:
    return PromptSetError(f"{WHERE}: has {n} pairs; at most {MOST_PAIRS} are taken.")


def _check(what: str, value: str, most: int) -> None:
    if len(value) > most:
        raise PromptSetError(f"{WHERE}: {what} has {len(value):,} characters; at most {most:,} are taken.")
    strange = next((sign for sign in value if unicodedata.category(sign) in ("Cc", "Co", "Cs") or sign in _TURNS), None)
    if strange is not None:
        raise PromptSetError(f"{WHERE}: {what} holds the control character U+{ord(strange):04X}; take it out.")


_TURNS = "\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # ends of lines, and other directions
