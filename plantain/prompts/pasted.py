"""A prompt set that somebody pasted, as a table or as TOML, read strictly; an error names the row."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from dataclasses import asdict

from plantain.prompts.sets import PAIR_KEYS, SIDES, PromptError, PromptSet, collect_pairs, parse_prompt_set

MOST_PAIRS = 200

MOST_LETTERS = 1_000  # in a prompt

MOST_BYTES = 200_000  # of the whole text, in UTF-8

MOST_IN_A_NAME = 60  # letters in a title, a side's name, an id, a category

WHERE = "Your set"

_SEPARATORS = {"\t": "tab", ";": "semicolon", ",": "comma"}

_NAMED = "name the columns in the first row: positive, negative and, if wanted, id and category"

_EMPTY = "is empty. Paste rows of two prompts, the positive one first."

_TURNS = "\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # ends of lines, and other directions


def read_pasted(text: str, title: str = "", positive: str = "", negative: str = "") -> PromptSet:
    """Read a prompt set that was pasted.

    Parameters
    ----------
    text : str
        Rows of two cells, positive and negative, separated by tabs, semicolons or commas, quoted as spreadsheets do.
        A first row may name the columns: ``positive``, ``negative`` and, if wanted, ``id`` and ``category``, in any
        order; two columns also as ``positive prompt``, ``negative prompt``, or by the sides' own names. Or the TOML of
        a prompt set, whose own names then count.
    title, positive, negative : str
        Names of a table's set and of its sides; what is empty gets a plain one.

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
        return _checked(parse_prompt_set(text, WHERE))
    title, sides = title.strip() or "A set of your own", (positive.strip() or SIDES[0], negative.strip() or SIDES[1])
    if sides[0] == sides[1]:
        raise _error(f"both sides are called {sides[0]!r}; give each its own name.")
    name = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "own-set"
    return _checked(PromptSet(name, title, *sides, collect_pairs(_table(text, sides), WHERE)))


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


# --- tables ------------------------------------------------------------------------------------------------


def _table(text: str, sides: tuple[str, str]) -> dict[str, dict[str, str]]:
    """Read the rows of a table, by what an error calls them."""
    separator = _separator(text)
    rows = _rows(text, separator)
    if not rows:  # nothing but separators
        raise _error(_EMPTY)
    (n, first), *rest = rows
    names = _two_columns(first, sides) or [cell.casefold() for cell in first]
    if set(SIDES) & set(names):
        _check_columns(n, names)
        columns, rows = names, rest
    elif len(first) == len(SIDES):
        columns = list(SIDES)
    else:
        raise _error(
            f"row {n} has {_cell_count(first)}, separated by {_SEPARATORS[separator]}s, not 2. Put prompts that hold "
            f"a {_SEPARATORS[separator]} in quotation marks, or {_NAMED}."
        )
    return {f"row {n}": _pair(n, cells, columns, separator) for n, cells in rows}


def _two_columns(first: list[str], sides: tuple[str, str]) -> list[str] | None:
    """Understand a first row that names two columns in other words: "positive prompt", or by the sides' own names."""
    cells = [cell.casefold() for cell in first]
    own = dict(zip((side.casefold() for side in sides), SIDES, strict=True))
    for names in ([c.split()[0] if c and len(c.split()) <= 2 else c for c in cells], [own.get(c, c) for c in cells]):
        if sorted(names) == sorted(SIDES):
            return names
    return None


def _separator(text: str) -> str:
    """Take what stands in the first row that is not empty: a tab before a semicolon before a comma."""
    first = re.split(r"[\r\n]", text.lstrip("\r\n "), maxsplit=1)[0]
    for sign in _SEPARATORS:
        if sign in first:
            return sign
    raise _error("the first row has one cell only. Separate the two prompts by a tab, a semicolon or a comma.")


def _rows(text: str, separator: str) -> list[tuple[int, list[str]]]:
    """Split a table into rows, each with its number, and cells; empty rows are left out but counted."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    found, n = [], 0
    try:
        for n, row in enumerate(reader, 1):
            cells = [cell.strip() for cell in row]
            while cells and not cells[-1]:
                cells.pop()
            if cells:
                found.append((n, cells))
    except csv.Error as error:
        raise _error(
            f"row {n + 1} cannot be read ({error}). A cell that begins with a quotation mark must end with one, and "
            "marks inside it are doubled."
        ) from error
    return found


def _check_columns(n: int, names: list[str]) -> None:
    for side in SIDES:
        if side not in names:
            raise _error(f"row {n} names columns, but none is {side!r}; {_NAMED}.")
    for i, name in enumerate(names):
        if name not in PAIR_KEYS:
            raise _error(f"row {n} names an unknown column {name[:MOST_IN_A_NAME]!r}; {_NAMED}.")
        if name in names[:i]:
            raise _error(f"row {n} names the column {name!r} twice.")


def _pair(n: int, cells: list[str], columns: list[str], separator: str) -> dict[str, str]:
    """Put a row's cells under their names; what may be left out is filled in."""
    if len(cells) > len(columns):
        raise _error(
            f"row {n} has {_cell_count(cells)}, the first row {len(columns)}. Put a prompt that holds a "
            f"{_SEPARATORS[separator]} in quotation marks."
        )
    found = dict(zip(columns, cells, strict=False))  # the last ones may be empty, and so left out
    for side in SIDES:
        if not found.get(side):
            raise _error(f"row {n} has no {side} prompt.")
    # By its row, so that whatever is said of a pair later can be found in the table.
    pair = found | {"id": found.get("id") or f"row-{n}", "category": found.get("category") or "all"}
    _check_pair(f"row {n}", pair)
    return pair


def _cell_count(cells: list[str]) -> str:
    return f"{len(cells)} cell{'' if len(cells) == 1 else 's'}"


# --- limits ------------------------------------------------------------------------------------------------


def _checked(prompt_set: PromptSet) -> PromptSet:
    """Refuse what is too long, and signs that could forge a line or turn words around."""
    if len(prompt_set.pairs) > MOST_PAIRS:
        raise _error(f"has {len(prompt_set.pairs)} pairs; at most {MOST_PAIRS} are taken.")
    names = {"title": "title", "name": "name", **{side: f"{side} side's name" for side in SIDES}}
    for key, what in names.items():
        _check(f"the {what}", getattr(prompt_set, key), MOST_IN_A_NAME)
    for n, pair in enumerate(prompt_set.pairs, 1):
        _check_pair(f"pair {n}", asdict(pair))
    return prompt_set


def _check_pair(where: str, pair: dict[str, str]) -> None:
    for key, value in pair.items():
        prompt = key in SIDES
        _check(f"{where}: the {key}{' prompt' * prompt}", value, MOST_LETTERS if prompt else MOST_IN_A_NAME)


def _check(what: str, value: str, most: int) -> None:
    if len(value) > most:
        raise _error(f"{what} has {len(value):,} characters; at most {most:,} are taken.")
    strange = next((sign for sign in value if unicodedata.category(sign) in ("Cc", "Co", "Cs") or sign in _TURNS), None)
    if strange is not None:
        raise _error(f"{what} holds the control character U+{ord(strange):04X}; take it out.")
