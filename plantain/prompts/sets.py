"""Prompt pairs, prompt sets, and the strict loader of their files; docs/prompts.md describes these."""

from __future__ import annotations

import codecs
import hashlib
import json
import tomllib
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Literal

from plantain import PlantainError
from plantain._files import find, printable
from plantain.prompts.shipped import PROMPTS
from plantain.prompts.table import SIDES, read_table

VISITOR = "visitor"  # id and category of a pair that is in no set

PAIR_KEYS = ("id", "category", *SIDES)

KINDS = ("neglect", "exclusion", "wrongdoing")

READ_KEYS = ("nearer", "attentive", "new_object")

_CHOICES = {"kind": KINDS, **dict.fromkeys(READ_KEYS, SIDES)}  # of a pair; may be left out

SET_KEYS = ("name", "title", *SIDES, "pair")

NOTE_KEYS = ("role", "model", "about", "reading")  # may be left out

PICTURE_BOOK = "picture-book"

MODELS = (PICTURE_BOOK,)  # in whose words a set may be written; one that names none is in plain sentences, for Klein

ROLES = ("axis", "replication", "sibling", "control", "positive contrast", "noise floor")

TABLES = (".csv", ".tsv", ".txt")  # endings of files; any other is TOML

SPREADSHEETS = (".xlsx", ".xls", ".ods", ".numbers")

_NAMING = {"positive_name": "positive", "negative_name": "negative"}  # columns of a table: what the sides are called

_MOST_FAULTS = 20  # that one message lists

MIN_PAIRS = 4  # split halves need two pairs each

SHIPPED = PROMPTS

FORMER = SHIPPED / "former"  # texts that were changed since: runs of them are still read, and keep their role

_Side = Literal["", *SIDES]


class PromptError(PlantainError, ValueError):
    """A prompt or a prompt set that cannot be used; of a set the message names the file, the pair and the cause."""


PromptSetError = PromptError  # its former name, by which scripts of others catch it


_UNSEEN = ("Zs", "Zl", "Zp", "Cc", "Cf", "Co", "Cn", "Mn", "Mc", "Me")


def is_blank(text: str) -> bool:
    """Tell whether there is nothing to see in a text, by Unicode's categories: separators, marks, controls and others.

    A few letters and a symbol have no shape either. Half a character is none of these: it is an error of its own.
    """
    return all(unicodedata.category(c) in _UNSEEN or c in "\u115f\u1160\u2800\u3164\uffa0" for c in text)


@dataclass(frozen=True)
class PromptPair:
    """Two prompts with the same scene and agents; only the act differs.

    Attributes
    ----------
    id, category, positive, negative : str
    kind : str
        What the negative side is, one of `KINDS`, or empty: it looks on or idles, leaves somebody out, or does wrong.
    nearer, attentive, new_object : str
        What a reader said who had not written the pair and did not know which side is which: where the agent is nearer
        to the other person, or more attentive, and which side alone names a thing. Empty where neither, where both,
        and where nobody was asked. Of the project's own sets a reader was asked about the two moral ones, attention
        and nearness, once for each pair (docs/controls.md).

    Notes
    -----
    No model sees the last four, so two pairs that differ in them alone are equal.
    """

    id: str
    category: str
    positive: str
    negative: str
    kind: Literal["", *KINDS] = field(default="", compare=False)
    nearer: _Side = field(default="", compare=False)
    attentive: _Side = field(default="", compare=False)
    new_object: _Side = field(default="", compare=False)


@dataclass(frozen=True)
class PromptSet:
    """The pairs of one contrast.

    Attributes
    ----------
    name, title : str
        Short identifier and heading.
    positive, negative : str
        What the two sides stand for, e.g. ``helping`` and ``ignoring``.
    pairs : tuple of PromptPair
        In the file's order.
    role : str
        What the set is for, one of `ROLES`; empty where nobody says.
    about, reading : str
        What it controls for, and what a result on it would mean; empty where the file does not say.
    model : str
        In whose words it is written, one of `MODELS`; empty for Klein and every model that reads plain sentences.
    """

    name: str
    title: str
    positive: str
    negative: str
    pairs: tuple[PromptPair, ...]
    role: str = ""
    about: str = ""
    reading: str = ""
    model: str = ""

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of what a model sees (hex): layout, comments and notes of the file do not count."""
        content = {key: value for key, value in asdict(self).items() if key not in NOTE_KEYS}
        content["pairs"] = [{key: pair[key] for key in PAIR_KEYS} for pair in content["pairs"]]
        canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


def user_pair(positive: str, negative: str) -> PromptPair:
    """Make a pair of a visitor's two texts, without the blanks around them."""
    pair = PromptPair(VISITOR, VISITOR, positive.strip(), negative.strip())
    for side in SIDES:
        if is_blank(getattr(pair, side)):
            raise PromptError(f"the {side} prompt is empty; write a sentence.")
    if pair.positive == pair.negative:
        raise PromptError("both prompts are the same; change one of them.")
    return pair


def load_prompt_set(path: str | Path) -> PromptSet:
    """Read a prompt set from a TOML, CSV or TSV file, or one of the project's own by its name.

    Parameters
    ----------
    path : str or Path
        The name of a file in ``prompts/`` without its ending, such as ``moral_valence`` or ``picture-book/moral``,
        from whatever folder; or a file as docs/prompts.md describes it: a table where it ends in ``.csv``, ``.tsv`` or
        ``.txt``, else TOML.

    Returns
    -------
    PromptSet

    Raises
    ------
    PromptError
        The file cannot be read, or is not exactly a prompt set; the message has all that is wrong with it.

    Examples
    --------
    >>> import plantain
    >>> prompt_set = plantain.load_prompt_set("moral_valence")
    >>> prompt_set.positive, prompt_set.negative, len(prompt_set.pairs)
    ('helping', 'ignoring', 25)
    """
    path = find(path, SHIPPED, ".toml")
    where, ending = str(path), path.suffix.lower()
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PromptError(
            f"{where}: cannot be read ({error.strerror}). Give a prompt set such as prompts/moral_valence.toml."
        ) from error
    if ending in SPREADSHEETS:
        raise PromptError(f"{where}: is a spreadsheet. Save it as CSV in UTF-8 and give that.")
    if ending in TABLES:
        return table_set(
            _decoded(content, where, "a table", "Save it as “CSV UTF-8”."), where, {}, path.stem, path.stem
        )
    return parse_prompt_set(_decoded(content, where, "valid TOML", "Save it in UTF-8."), where)


def _decoded(content: bytes, where: str, what: str, advice: str) -> str:
    """Decode a file by its byte order mark, else as UTF-8."""
    coding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return content.decode(coding)
    except UnicodeDecodeError as error:
        raise PromptError(f"{where}: is not {what} in UTF-8 ({error}). {advice}") from error


def parse_prompt_set(text: str, where: str, limits: Callable[[Draft], list[str]] | None = None) -> PromptSet:
    """Read a prompt set from a TOML text; errors as for `load_prompt_set`.

    Parameters
    ----------
    text : str
    where : str
        What an error begins with.
    limits : callable, optional
        Finds what else is wrong.
    """
    try:
        raw = tomllib.loads(text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n"))
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, and brackets inside brackets, too
        raise PromptError(f"{where}: is not valid TOML in UTF-8 ({error}).") from error
    faults = list(_key_faults(raw, SET_KEYS, NOTE_KEYS))
    rows = raw.pop("pair", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        faults.append("write every pair as its own [[pair]] table.")
        rows = []
    draft = Draft(raw, {f"pair {n} ({_id(row)})": row for n, row in enumerate(rows, 1)}, faults)
    return build(draft, where, limits)


def _id(row: Mapping[str, object]) -> str:
    return printable(str(row.get("id", "no id")))[:60]


def table_set(
    text: str,
    where: str,
    named: Mapping[str, str],
    name: str,
    title: str,
    limits: Callable[[Draft], list[str]] | None = None,
) -> PromptSet:
    """Read a prompt set from a table; errors as for `load_prompt_set`.

    Parameters
    ----------
    text : str
    where : str
        What an error begins with.
    named : mapping of str to str
        ``positive`` and ``negative`` that are given beside the table; what its columns say is taken where one is empty.
    name, title : str
        Of the set where its columns do not say them.
    limits
        As in `parse_prompt_set`.
    """
    sides = tuple(named.get(side) or side for side in SIDES)
    table = read_table(text, (*PAIR_KEYS, *_CHOICES), ("name", "title", *_NAMING, *NOTE_KEYS), sides)
    of_sides = {side: table.head.pop(column, "") for column, side in _NAMING.items()}
    titled = {"name": name, "title": title, **{side: side for side in SIDES}}
    for more in (table.head, of_sides, named):
        titled |= {key: value for key, value in more.items() if value}
    return build(Draft(titled, table.rows, table.faults), where, limits)


def check_prompt_set(prompt_set: PromptSet) -> None:
    """Hold a set that was made in code to what a file is held to.

    Raises
    ------
    PromptError
        As `load_prompt_set`.
    """
    if faults := set_faults(prompt_set):
        raise PromptError(f"prompt set {printable(str(prompt_set.name))[:60]!r}: {in_one_line(faults)}")


def shipped_sets(model: str = "") -> dict[str, tuple[Path, PromptSet]]:
    """Read the project's own prompt sets in the words of a model (`PromptSet.model`): by hash, the file and the set."""
    return _read_folder(SHIPPED / model)


@cache
def known_sets() -> dict[str, tuple[Path, PromptSet]]:
    """Read all of the project's own prompt sets as they are and as they were: by hash, the file and the set."""
    known = dict(_read_folder(FORMER))
    for model in ("", *MODELS):
        known |= shipped_sets(model)
    return known


@cache
def _read_folder(folder: Path) -> dict[str, tuple[Path, PromptSet]]:
    found = [(path, load_prompt_set(path)) for path in sorted(folder.glob("*.toml"))]
    return {prompt_set.sha256: (path, prompt_set) for path, prompt_set in found}


def is_shipped(sha256: str) -> bool:
    """Tell whether a hash is of one of the project's own sets as it is now."""
    return any(sha256 in shipped_sets(model) for model in ("", *MODELS))


def first_set(model: str = "") -> PromptSet:
    """Return the project's own axis in the words of a model, which is what a probe runs unless asked otherwise."""
    return next(found for _, found in shipped_sets(model).values() if found.role == "axis")


def shipped_file(sha256: str, otherwise: str) -> str:
    """Name the file of one of the project's own sets for the command line, or what stands for somebody else's."""
    known = known_sets().get(sha256)
    return known[0].relative_to(SHIPPED.parent).as_posix() if known else otherwise


def same_set(sha256: str, other: str) -> bool:
    """Tell whether two hashes are of one prompt set: of the same text, or of texts that the project gave it in turn."""
    if sha256 == other:
        return True
    known = [known_sets().get(found) for found in (sha256, other)]
    return all(known) and len({(path.name, prompt_set.role, prompt_set.model) for path, prompt_set in known}) == 1


def model_of(sha256: str) -> str | None:
    """Return in whose words one of the project's own sets is written, as `PromptSet.model`; None for any other hash."""
    known = known_sets().get(sha256)
    return known[1].model if known else None


def other_words(sha256: str, other: str) -> bool:
    """Tell whether two hashes are of sets of the project's own that are written in the words of two models."""
    return len({model_of(sha256), model_of(other)} - {None}) == 2


@dataclass(frozen=True)
class Draft:
    """What was read of a set and is not checked yet.

    Attributes
    ----------
    head : dict of str to object
        The fields of `PromptSet` without its pairs.
    rows : dict of str to mapping
        The fields of `PromptPair`, by what an error calls the row.
    faults : list of str
        What is known to be wrong already.
    """

    head: dict[str, object]
    rows: dict[str, Mapping[str, object]]
    faults: list[str]


def build(draft: Draft, where: str, limits: Callable[[Draft], list[str]] | None = None) -> PromptSet:
    """Make a set of what was read.

    Parameters
    ----------
    draft : Draft
    where : str
        What an error begins with.
    limits : callable, optional
        Finds what else is wrong.

    Raises
    ------
    PromptError
        With all that is wrong, in one line.
    """
    faults = [*draft.faults, *_faults(draft), *(limits(draft) if limits else ())]
    if faults:
        raise PromptError(f"{where}: {in_one_line(faults)}")
    pairs = tuple(PromptPair(**_stripped(row)) for row in draft.rows.values())
    return PromptSet(pairs=pairs, **_stripped(draft.head))


def in_one_line(faults: Sequence[str]) -> str:
    """Say all that is wrong in one line; of very many the first ones, and how many more there are."""
    if len(faults) == 1:
        return faults[0]
    more = f" … and {len(faults) - _MOST_FAULTS} more" if len(faults) > _MOST_FAULTS else ""
    listed = " ".join(f"({n}) {fault}" for n, fault in enumerate(faults[:_MOST_FAULTS], 1))
    return f"{len(faults)} faults: {listed}{more}"


def set_faults(prompt_set: PromptSet) -> list[str]:
    """Find what is wrong with a set that was made in code; what would be refused in a file is refused here."""
    head = {key: getattr(prompt_set, key) for key in ("name", "title", *SIDES)}
    head |= {key: value for key in NOTE_KEYS if (value := getattr(prompt_set, key))}
    rows = {
        f"pair {n} ({_id(vars(pair))})": {key: value for key, value in vars(pair).items() if key in PAIR_KEYS or value}
        for n, pair in enumerate(prompt_set.pairs, 1)
    }
    return list(_faults(Draft(head, rows, [])))


def _faults(draft: Draft) -> Iterator[str]:
    yield from _text_faults(draft.head)
    head = _stripped(draft.head)
    if "role" in head and head["role"] not in ROLES:
        yield f"the role {head['role'][:60]!r} is unknown; allowed are {', '.join(ROLES)}."
    if "model" in head and head["model"] not in MODELS:
        yield (
            f"the model {head['model'][:60]!r} has no words of its own; allowed is {', '.join(MODELS)}. Leave it out "
            "for a set in plain sentences."
        )
    if all(side in head for side in SIDES) and same_text(head["positive"]) == same_text(head["negative"]):
        yield f"both sides are called {head['positive']!r}; give each its own name."
    whole: list[tuple[str, PromptPair]] = []
    for name, row in draft.rows.items():
        found = list(_pair_faults(row))
        yield from (f"{name}: {fault}" for fault in found)
        if not found:
            whole.append((name, PromptPair(**_stripped(row))))
    yield from _repeat_faults([pair for _, pair in whole])
    if len(draft.rows) < MIN_PAIRS and (draft.rows or not draft.faults):
        n = len(draft.rows)
        yield f"has {n} pair{'' if n == 1 else 's'}; the statistics need at least {MIN_PAIRS}."


def _pair_faults(row: Mapping[str, object]) -> Iterator[str]:
    yield from _key_faults(row, PAIR_KEYS, tuple(_CHOICES))
    yield from _text_faults({key: value for key, value in row.items() if key in (*PAIR_KEYS, *_CHOICES)})
    told = _stripped(row)
    for key, allowed in _CHOICES.items():
        if key in told and told[key] not in allowed:
            yield f"the {key} {told[key][:60]!r} is unknown; allowed are {', '.join(allowed)}."
    if all(side in told for side in SIDES) and told["positive"] == told["negative"]:
        yield "both prompts are the same; only the act should differ, but it must."


def _key_faults(row: Mapping[str, object], keys: tuple[str, ...], optional: tuple[str, ...]) -> Iterator[str]:
    for key in sorted(set(row) - {*keys, *optional}):
        yield f"unknown key {printable(key)[:60]!r}; allowed are {', '.join((*keys, *optional))}."
    for key in keys:
        if key not in row:
            yield f"{key!r} is missing."


def _text_faults(row: Mapping[str, object]) -> Iterator[str]:
    for key, value in row.items():
        if not isinstance(value, str) or is_blank(value):
            yield f"{printable(key)[:60]!r} must be a text that is not empty."


def _stripped(row: Mapping[str, object]) -> dict[str, str]:
    """Return the texts without the blanks around them; what is no text, or empty, is left out."""
    return {key: value.strip() for key, value in row.items() if isinstance(value, str) and not is_blank(value)}


def same_text(text: str) -> str:
    """Return what two texts have in common that differ in case, blanks and punctuation alone."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(c for c in folded if unicodedata.category(c)[0] not in "PZC") or " ".join(folded.split())


def sides_key(pair: PromptPair) -> tuple[str, str]:
    """Return what is the same for two pairs that are one observation, and turned around for mirrored ones."""
    here, there = same_text(pair.positive), same_text(pair.negative)
    return (here, there) if here != there else (pair.positive, pair.negative)  # the contrast may be in the punctuation


def _repeat_faults(pairs: Sequence[PromptPair]) -> Iterator[str]:
    ids: set[str] = set()
    seen: dict[tuple[str, str], str] = {}
    for pair in pairs:
        if pair.id in ids:
            yield f"the id {pair.id!r} stands twice; give every pair its own."
        ids.add(pair.id)
        key = sides_key(pair)
        if key in seen:
            yield f"pair {pair.id!r} repeats {seen[key]!r}; a repeated pair is no second observation."
        elif key[::-1] in seen:
            yield (
                f"pair {pair.id!r} is {seen[key[::-1]]!r} with its sides exchanged; both together say nothing, since "
                "one takes back what the other adds. Keep one of them."
            )
        seen.setdefault(key, pair.id)
