"""The text of a model card: a run's section is set in, and every other byte stays.

A section stands between two lines, ``<!-- plantain:begin NAME -->`` and ``<!-- plantain:end NAME -->``, each a block
of its own at the top level of the card, as CommonMark reads it: lines in code, lists, quotes, comments and the front
matter are no markers. Where markers are doubled or nested, the first begin that an end of the same name follows, with
no other marker between them, opens the section; the other markers are plain text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import yaml
from huggingface_hub.repocard import REGEX_YAML_BLOCK
from markdown_it import MarkdownIt

_MARKER = re.compile(r"\s*(<!-- plantain:(begin|end) (\S+) -->)\s*")

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+$")

_AFTER_RESULTS = re.compile(
    r"(status|limitations?|licen[cs]e|references?|citations?|how to cite|acknowledge?ments?|contact|biases)\b", re.I
)

NOTICE = "<!-- Written by plantain: what is changed between these two markers is lost at the next publish. -->"


@dataclass(frozen=True)
class _Block:
    """A block at the top level of a card, by its offset; `level` is a heading's, 0 for others."""

    kind: str
    start: int
    level: int
    text: str


@dataclass(frozen=True)
class _Section:
    name: str
    start: int
    end: int


def set_section(card: str, name: str, body: str) -> str:
    """Set a run's section into a card, in place of its earlier one or at a sensible place.

    Parameters
    ----------
    card : str
        The whole card, front matter included; with any line ends.
    name : str
        The run's; without blanks.
    body : str
        Markdown with ``\\n`` as line ends; without markers, its code blocks closed.

    Returns
    -------
    str
        All text outside the section is that of `card`; setting the same section again changes nothing.
    """
    for section in _sections(card):
        if section.name == name:
            before, after = card[: section.start], card[section.end :]
            return before + _block(name, body, _newline(before, after)) + after
    return next(filter(None, (_inserted(card, place, name, body) for place in _places(card))))


def section_names(card: str) -> list[str]:
    """List whose sections a card has; a name comes twice where two sections have it."""
    return [section.name for section in _sections(card)]


def _inserted(card: str, place: int, name: str, body: str) -> str | None:
    """Put a section at a place; None where it is no section there: a comment that is never closed may swallow it."""
    newline = _newline(card)
    before, after = card[:place] + _blank_lines(card[:place], newline), card[place:]
    block = _block(name, body, newline)
    new = before + block + newline + (newline if after else "") + after
    section, found = _Section(name, len(before), len(before) + len(block)), _sections(new)
    others = [s.name for s in found if s != section]
    return new if section in found and others == section_names(card) else None


def _newline(*parts: str) -> str:
    """Return the line end that most lines of a text have, given in parts that do not touch."""
    return "\r\n" if 2 * sum(part.count("\r\n") for part in parts) > sum(part.count("\n") for part in parts) else "\n"


def _block(name: str, body: str, newline: str) -> str:
    # The empty line ends whatever HTML the body ends with, which would have the marker in it otherwise.
    lines = (f"<!-- plantain:begin {name} -->", NOTICE, *body.split("\n"), "", f"<!-- plantain:end {name} -->")
    return newline.join(lines)


def _blank_lines(before: str, newline: str) -> str:
    """Return what has to stand between a text and a block after it."""
    if not before or before.endswith((newline * 2, "\n\n", "\r\r")):
        return ""
    if before.endswith("\r"):  # a line end by itself: a "\n" would become part of it
        return "\r"
    return newline if before.endswith("\n") else newline * 2


def _sections(card: str) -> list[_Section]:
    found, opened = [], None
    for block in _blocks(card):
        marker = _MARKER.fullmatch(block.text) if block.kind == "html_block" else None
        if marker is None:
            continue
        _, kind, name = marker.groups()
        if kind == "begin":
            opened = _Section(name, block.start + marker.start(1), 0)
        else:
            if opened is not None and opened.name == name:
                found.append(_Section(name, opened.start, block.start + marker.end(1)))
            opened = None
    return found


def _blocks(card: str) -> list[_Block]:
    """List the blocks at the top level of a card, below its front matter."""
    front = REGEX_YAML_BLOCK.match(card)
    offset = front.end() if front else 0
    body = card[offset:]
    starts = [offset, *accumulate((len(line) for line in _LINE.findall(body)), initial=offset)][1:]
    tokens = MarkdownIt("commonmark").parse(body)
    found = []
    for i, token in enumerate(tokens):
        if token.level or token.map is None or token.nesting < 0:
            continue
        start, end = (starts[min(line, len(starts) - 1)] for line in token.map)
        heading = token.type == "heading_open"
        text = tokens[i + 1].content if heading else card[start:end]
        found.append(_Block(token.type, start, int(token.tag[1]) if heading else 0, text))
    return found


def _places(card: str) -> Iterator[int]:
    """List where a first section may go, the best place first.

    After other sections; after the results; before what ends a card; at the end; and, where a block that is never
    closed swallows the end, before it.
    """
    sections, blocks = _sections(card), _blocks(card)
    headings = [block for block in blocks if block.level]
    if sections:
        rest = _LINE.match(card, sections[-1].end)
        yield rest.end() if rest else len(card)
    for i, heading in enumerate(headings):
        if re.match(r"results?\b", heading.text, re.I):
            yield next((h.start for h in headings[i + 1 :] if h.level <= heading.level), len(card))
    yield from (heading.start for heading in headings if _AFTER_RESULTS.match(heading.text))
    yield len(card)
    yield from (block.start for block in reversed(blocks))
    front = REGEX_YAML_BLOCK.match(card)
    yield front.end() if front else 0


# --- front matter ------------------------------------------------------------------------------------------


def add_fields(card: str, fields: dict[str, Any]) -> str:
    """Add the fields that a card's front matter lacks, below its own; every other byte stays.

    The hub library's own means, `RepoCard` and `metadata_update`, write the YAML anew. A front matter that is no YAML
    mapping, and one to which nothing can be added without another reading, is left.
    """
    front = REGEX_YAML_BLOCK.match(card)
    if front is None:
        looks_like_one = card.lstrip("\ufeff \t\r\n").startswith("---")
        return card if looks_like_one else f"---\n{_dumped(fields)}---\n" + ("\n" if card else "") + card
    known = _mapping(front[2])
    missing = {} if known is None else {key: value for key, value in fields.items() if key not in known}
    if not missing:
        return card
    newline = "\r\n" if "\r\n" in front[1] else "\n"
    content = front[2] + newline + _dumped(missing).rstrip("\n").replace("\n", newline)
    read = _mapping(content)
    if read is None or list(read) != [*known, *missing] or any(read[key] != missing[key] for key in missing):
        return card
    return card[: front.start(2)] + content + card[front.end(2) :]


def lacks_fields(card: str, fields: dict[str, Any]) -> bool:
    """Tell whether a card lacks fields even after `add_fields`: its front matter cannot be read."""
    front = REGEX_YAML_BLOCK.match(card)
    known = _mapping(front[2]) if front else None
    return known is None or any(key not in known for key in fields)


def _mapping(text: str) -> dict[str, Any] | None:
    """Read YAML; None where it is no mapping, or where a rule among it says that the front matter ended before."""
    if re.search(r"(?:\A|[\r\n])(---|\.\.\.)", text):
        return None
    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):  # ValueError: a date that does not exist
        return None
    return {} if found is None else found if isinstance(found, dict) else None


def _dumped(fields: dict[str, Any]) -> str:
    return yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)
