"""Tables of prompt pairs, CSV and TSV as spreadsheets write them: cells under their names, and all that is wrong."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field

SIDES = ("positive", "negative")

_SEPARATORS = {"\t": "tab", ";": "semicolon", ",": "comma"}  # the first one that gives clean columns is taken

_MARKS = (
    {"doublequote": True},  # Excel's and RFC 4180's
    {"doublequote": True, "skipinitialspace": True},  # a blank between a separator and a quotation mark
    {"doublequote": False, "escapechar": "\\"},  # unix tools and databases
    {"doublequote": False, "escapechar": "\\", "skipinitialspace": True},
    {"quoting": csv.QUOTE_NONE},  # quotation marks are part of the text
)

_SHORT = {"pos": "positive", "neg": "negative", **{side: side for side in SIDES}}  # the first word of a column's name

_NAMED = "name the columns in the first row: positive, negative and, if wanted, id and category"

_EMPTY = "is empty. Give rows of two prompts, the positive one first."

_SHOWN = 60  # letters of a cell in an error


@dataclass
class Table:
    """What stands in a table.

    Attributes
    ----------
    head : dict of str to str
        What is said of the whole set, by the name of its column.
    rows : dict of str to dict
        Filled cells by the name of their column; by what an error calls the row.
    faults : list of str
        What is wrong.
    """

    head: dict[str, str] = field(default_factory=dict)
    rows: dict[str, dict[str, str]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Split:
    """A table cut into cells in one way: rows with their numbers, and what the csv module says against it."""

    separator: str
    rows: list[tuple[int, list[str]]]
    error: str = ""


def read_table(
    text: str, pair_columns: tuple[str, ...], set_columns: tuple[str, ...], sides: tuple[str, str] = SIDES
) -> Table:
    """Read a table of pairs.

    Parameters
    ----------
    text : str
    pair_columns, set_columns : tuple of str
        Names of the columns that are known: of a pair, and of the whole set (the same in every cell that is filled).
    sides : tuple of str
        The sides' own names, which may stand over two columns too.

    Returns
    -------
    Table
        A pair without an id is named by its row, one without a category has the category ``all``.

    Notes
    -----
    Separator and quotation marks are those of the csv module's dialects that leave the fewest rows unclean: with
    another number of cells than columns, with an empty side, or with quotation marks left over.
    """
    text = re.sub(r"\A\ufeff?(sep=[^\r\n](\r\n|\r|\n))?", "", text)  # two habits of Excel
    if re.fullmatch(r'[\s;,"]*', text):
        return Table(faults=[_EMPTY])
    known = (*pair_columns, *set_columns)
    split = min(_splits(text), key=lambda s: _unclean(s, sides))
    strict = _split(text, split.separator, _MARKS[0])
    if strict.error and _unclean(split, sides)[0]:  # nothing is clean: say what stands against the usual one
        return Table(faults=[strict.error])
    (n, first), *rest = split.rows
    columns, faults = _columns(first, sides), []
    if columns is None:
        if fault := _no_pair(n, first, rest, split.separator):
            return Table(faults=[fault])
        columns, rest = list(SIDES), split.rows
    else:
        faults = list(_column_faults(n, columns, known))
        if not set(SIDES) <= set(columns):
            return Table(faults=faults)
    found = _table(rest, [name if name in known else "" for name in columns], set_columns, split.separator)
    found.faults[:0] = faults
    return found


# --- cells -------------------------------------------------------------------------------------------------


def _splits(text: str) -> Iterator[_Split]:
    yield from (_split(text, separator, _MARKS[0]) for separator in _SEPARATORS)
    if '"' in text:
        # A blank before a separator keeps a quotation mark from closing its cell.
        tidy = re.sub(r'"[ \t]+(?=[;,]|$)', '"', text, flags=re.MULTILINE)
        yield from (_split(tidy, separator, marks) for marks in _MARKS[1:] for separator in _SEPARATORS)


def _split(text: str, separator: str, marks: dict) -> _Split:
    """Cut a table into cells; empty rows are left out but counted."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True, **marks)
    found, n = [], 0
    try:
        for n, row in enumerate(reader, 1):
            cells = [cell.strip() for cell in row]
            while cells and not cells[-1]:
                cells.pop()
            if cells:
                found.append((n, cells))
    except csv.Error as error:
        said = (
            f"row {n + 1} cannot be read ({error}). A cell that begins with a quotation mark must end with one, and "
            "marks inside it are doubled."
        )
        return _Split(separator, [], said)
    return _Split(separator, found)


def _unclean(split: _Split, sides: tuple[str, str]) -> tuple[float, bool]:
    """Count what is not clean; of equals, one that cuts the first row at all is better."""
    if split.error or not split.rows:
        return float("inf"), True
    (_, first), *rest = split.rows
    columns = _columns(first, sides)
    if columns is None:
        columns, rest = list(SIDES), split.rows
    if not set(SIDES) <= set(columns):
        return float(len(split.rows)), len(first) == 1
    places = [columns.index(side) for side in SIDES]
    unclean = sum(
        len(cells) > len(columns)
        or not all(place < len(cells) and cells[place] for place in places)
        or any(map(_has_marks_left, cells))
        for _, cells in rest
    )
    return float(unclean), len(first) == 1


def _has_marks_left(cell: str) -> bool:
    """Tell whether quotation marks look like those around a cell, not like those inside a text."""
    return cell.startswith('"') and (cell.endswith('"') or cell.count('"') % 2 == 1)


# --- columns -----------------------------------------------------------------------------------------------


def _columns(first: list[str], sides: tuple[str, str]) -> list[str] | None:
    """Understand a first row that names the columns; None where it does not."""
    cells = [re.sub(r"[\s_-]+", "_", cell.casefold()) for cell in first]
    if len(cells) == len(SIDES):  # "positive prompt", "neg", or the sides' own names
        own = dict(zip((side.casefold() for side in sides), SIDES, strict=True))
        short = [_SHORT.get(cell.split("_")[0], "") if cell.count("_") < 2 else "" for cell in cells]
        for names in (short, [own.get(cell.casefold(), "") for cell in first]):
            if sorted(names) == sorted(SIDES):
                return names
    return cells if set(SIDES) & set(cells) else None


def _column_faults(n: int, names: list[str], known: tuple[str, ...]) -> Iterator[str]:
    for side in SIDES:
        if side not in names:
            yield f"row {n} names columns, but none is {side!r}; {_NAMED}."
    for i, name in enumerate(names):
        if name not in known:
            yield f"row {n} names an unknown column {name[:_SHOWN]!r}; allowed are {', '.join(known)}."
        if name in names[:i]:
            yield f"row {n} names the column {name[:_SHOWN]!r} twice."


def _no_pair(n: int, first: list[str], rest: list[tuple[int, list[str]]], separator: str) -> str:
    """Say why a first row without known names is no pair; empty where it is one."""
    what = _SEPARATORS[separator]
    if len(first) == 1:
        return "the first row has one cell only. Separate the two prompts by a tab, a semicolon or a comma."
    if len(first) != len(SIDES):
        return (
            f"row {n} has {_cell_count(first)}, separated by {what}s, not 2. Put prompts that hold a {what} in "
            f"quotation marks, or {_NAMED}."
        )
    if _looks_like_names(first, rest):
        shown = " and ".join(f"{cell[:_SHOWN]!r}" for cell in first)
        return (
            f"row {n} ({shown}) looks like names of columns, not like prompts; call them positive and negative, or end "
            "prompts with a full stop."
        )
    return ""


def _looks_like_names(first: list[str], rest: list[tuple[int, list[str]]]) -> bool:
    """Tell whether two cells look like names over columns of prompts: words, or much shorter than any prompt."""
    others = [cells[: len(SIDES)] for _, cells in rest]
    if not others or any(unicodedata.category(cell[-1]) == "Po" for cell in first if cell):
        return False
    if all(map(_is_word, first)) and not any(all(map(_is_word, cells)) for cells in others):
        return True
    written = [cell for cells in others for cell in cells]
    if all(unicodedata.category(cell[-1]) == "Po" for cell in written if cell):  # every sentence ends but these two
        return True
    if all(map(str.isascii, first)) and not any(map(str.isascii, written)):  # English over prompts in another script
        return True
    return 2 * max(map(len, first)) <= min(map(len, written))


def _is_word(cell: str) -> bool:
    return re.fullmatch(r"[A-Za-z][\w.-]*", cell, re.ASCII) is not None


# --- rows --------------------------------------------------------------------------------------------------


def _table(
    rows: list[tuple[int, list[str]]], columns: list[str], set_columns: tuple[str, ...], separator: str
) -> Table:
    found, what = Table(), _SEPARATORS[separator]
    for n, cells in rows:
        if len(cells) > len(columns):
            found.faults.append(
                f"row {n} has {_cell_count(cells)}, the first row {len(columns)}. Put a prompt that holds a {what} in "
                "quotation marks."
            )
            continue
        filled = {name: cell for name, cell in zip(columns, cells, strict=False) if name and cell}
        for name in set_columns:
            value = filled.pop(name, "")
            if value and found.head.setdefault(name, value) != value:
                found.faults.append(
                    f"row {n}: the column {name!r} holds {value[:_SHOWN]!r}, a row before it "
                    f"{found.head[name][:_SHOWN]!r}; it is one for the whole set."
                )
        if not filled:  # a row that speaks of the set alone
            continue
        missing = [side for side in SIDES if side not in filled]
        found.faults += [f"row {n} has no {side} prompt." for side in missing]
        if not missing:
            # By its row, so that whatever is said of a pair later can be found in the table.
            found.rows[f"row {n}"] = {"id": f"row-{n}", "category": "all", **filled}
    return found


def _cell_count(cells: list[str]) -> str:
    return f"{len(cells)} cell{'' if len(cells) == 1 else 's'}"
