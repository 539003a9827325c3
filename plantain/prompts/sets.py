"""Prompt pairs, prompt sets, and the strict loader of their TOML files."""

from __future__ import annotations

import hashlib
import json
import tomllib
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Literal

from plantain import PlantainError
from plantain._files import printable

SIDES = ("positive", "negative")

VISITOR = "visitor"  # id and category of a pair that is in no set

PAIR_KEYS = ("id", "category", *SIDES)

KINDS = ("neglect", "exclusion", "wrongdoing")

READ_KEYS = ("nearer", "attentive", "new_object")

_CHOICES = {"kind": KINDS, **dict.fromkeys(READ_KEYS, SIDES)}  # of a pair; may be left out

SET_KEYS = ("name", "title", *SIDES, "pair")

NOTE_KEYS = ("role", "about", "reading")  # may be left out

ROLES = ("axis", "replication", "sibling", "control", "noise floor")

MIN_PAIRS = 4  # split halves need two pairs each

SHIPPED = Path(__file__).resolve().parents[2] / "prompts"

FORMER = SHIPPED / "former"  # texts that were changed since: runs of them are still read, and keep their role

_Side = Literal["", *SIDES]


class PromptError(PlantainError, ValueError):
    """A prompt or a prompt set that cannot be used; of a set the message names the file, the pair and the cause."""


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
        What the set is for, one of `ROLES`.
    about, reading : str
        What it controls for, and what a result on it would mean; empty where the file does not say.
    """

    name: str
    title: str
    positive: str
    negative: str
    pairs: tuple[PromptPair, ...]
    role: str = "axis"
    about: str = ""
    reading: str = ""

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
    """Read a prompt set from a TOML file, or one of the project's own by its name.

    Parameters
    ----------
    path : str or Path
        The name of a file in ``prompts/`` without its ending, such as ``moral_valence``, or a file with ``name``,
        ``title``, ``positive``, ``negative``, one ``[[pair]]`` per pair and, if wanted, ``role``, ``about`` and
        ``reading``; a pair has ``id``, ``category``, ``positive``, ``negative`` and, if wanted, the other fields of
        `PromptPair`.

    Returns
    -------
    PromptSet

    Raises
    ------
    PromptError
        The file is missing or no TOML, a key is unknown or absent, an id stands twice, a prompt is
        empty or equal to its counterpart, or there are fewer than four pairs.

    Examples
    --------
    >>> import plantain
    >>> prompt_set = plantain.load_prompt_set("moral_valence")
    >>> prompt_set.positive, prompt_set.negative, len(prompt_set.pairs)
    ('helping', 'ignoring', 25)
    """
    path = Path(path)
    if path.name == str(path) and not path.exists() and (shipped := SHIPPED / f"{path}.toml").is_file():
        path = shipped
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise PromptError(
            f"{path}: cannot be read ({error.strerror}). Give a prompt set such as prompts/moral_valence.toml."
        ) from error
    except UnicodeDecodeError as error:
        raise PromptError(f"{path}: is not valid TOML in UTF-8 ({error}).") from error
    return parse_prompt_set(text, str(path))


def parse_prompt_set(text: str, where: str) -> PromptSet:
    """Read a prompt set from a TOML text; parameters and errors as for `load_prompt_set`.

    Parameters
    ----------
    text : str
    where : str
        What an error begins with.
    """
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, and brackets inside brackets, too
        raise PromptError(f"{where}: is not valid TOML in UTF-8 ({error}).") from error
    _require_keys(raw, SET_KEYS, where, NOTE_KEYS)
    _require_text(raw, tuple(key for key in raw if key != "pair"), where)
    if raw.get("role", ROLES[0]).strip() not in ROLES:
        raise PromptError(f"{where}: the role {raw['role']!r} is unknown; allowed are {', '.join(ROLES)}.")
    pairs = _read_pairs(raw.pop("pair"), where)
    return PromptSet(pairs=pairs, **{key: value.strip() for key, value in raw.items()})


@cache
def shipped_sets() -> dict[str, tuple[Path, PromptSet]]:
    """Read the project's own prompt sets: by hash, the file and the set."""
    found = [(path, load_prompt_set(path)) for path in sorted(SHIPPED.glob("*.toml"))]
    return {prompt_set.sha256: (path, prompt_set) for path, prompt_set in found}


@cache
def known_sets() -> dict[str, tuple[Path, PromptSet]]:
    """Read the project's own prompt sets as they are and as they were: by hash, the file and the set."""
    former = [(path, load_prompt_set(path)) for path in sorted(FORMER.glob("*.toml"))]
    return {prompt_set.sha256: (path, prompt_set) for path, prompt_set in former} | shipped_sets()


def shipped_file(sha256: str, otherwise: str) -> str:
    """Name the file of one of the project's own sets for the command line, or what stands for somebody else's."""
    known = known_sets().get(sha256)
    return known[0].relative_to(SHIPPED.parent).as_posix() if known else otherwise


def same_set(sha256: str, other: str) -> bool:
    """Tell whether two hashes are of one prompt set: of the same text, or of texts that the project gave it in turn."""
    if sha256 == other:
        return True
    known = [known_sets().get(found) for found in (sha256, other)]
    return all(known) and len({(path.name, prompt_set.role) for path, prompt_set in known}) == 1


def _read_pairs(rows: object, where: str) -> tuple[PromptPair, ...]:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise PromptError(f"{where}: write every pair as its own [[pair]] table.")
    named = {f"pair {n} ({printable(str(row.get('id', 'no id')))[:60]})": row for n, row in enumerate(rows, 1)}
    return collect_pairs(named, where)


def collect_pairs(rows: dict[str, dict], where: str) -> tuple[PromptPair, ...]:
    """Make pairs of rows; anything that is wrong with one or with all of them is an error.

    Parameters
    ----------
    rows : dict of str to dict
        By what an error calls the row: the fields of `PromptPair`.
    where : str
        What an error begins with.

    Raises
    ------
    PromptError
    """
    pairs = tuple(_read_pair(row, f"{where}: {name}") for name, row in rows.items())
    for pair, _ in _repeats(pairs, lambda p: p.id):
        raise PromptError(f"{where}: the id {pair.id!r} stands twice; give every pair its own.")
    for pair, former in _repeats(pairs, lambda p: (p.positive, p.negative)):
        raise PromptError(f"{where}: pair {pair.id!r} repeats {former.id!r}; a repeated pair is no second observation.")
    if len(pairs) < MIN_PAIRS:
        raise PromptError(f"{where}: has {len(pairs)} pairs; the statistics need at least {MIN_PAIRS}.")
    return pairs


def _repeats(pairs: tuple[PromptPair, ...], key: Callable) -> Iterator[tuple[PromptPair, PromptPair]]:
    seen: dict = {}
    for pair in pairs:
        if key(pair) in seen:
            yield pair, seen[key(pair)]
        seen[key(pair)] = pair


def _read_pair(row: dict, where: str) -> PromptPair:
    _require_keys(row, PAIR_KEYS, where, tuple(_CHOICES))
    _require_text(row, tuple(row), where)
    for key, allowed in _CHOICES.items():
        if row.get(key, allowed[0]).strip() not in allowed:
            raise PromptError(f"{where}: the {key} {row[key]!r} is unknown; allowed are {', '.join(allowed)}.")
    pair = PromptPair(**{key: value.strip() for key, value in row.items()})
    if pair.positive == pair.negative:
        raise PromptError(f"{where}: both prompts are the same; only the act should differ, but it must.")
    return pair


def _require_keys(row: dict, keys: tuple[str, ...], where: str, optional: tuple[str, ...] = ()) -> None:
    for key in sorted(set(row) - {*keys, *optional}):
        raise PromptError(f"{where}: unknown key {key!r}; allowed are {', '.join((*keys, *optional))}.")
    for key in keys:
        if key not in row:
            raise PromptError(f"{where}: {key!r} is missing.")


def _require_text(row: dict, keys: tuple[str, ...], where: str) -> None:
    for key in keys:
        if not isinstance(row[key], str) or is_blank(row[key]):
            raise PromptError(f"{where}: {key!r} must be a text that is not empty.")
