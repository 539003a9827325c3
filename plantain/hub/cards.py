"""The text of a model card: a run's section is set in, every other byte stays. Pure functions.

`set_section`        the card with a run's section between its markers
`add_fields`         the front matter with the fields that it lacks
`section_names`      whose sections a card has
`new_card`           a whole card, for a repository that has none

A section stands between two lines, ``<!-- plantain:begin NAME -->`` and ``<!-- plantain:end NAME -->``. Lines in code
blocks and in the front matter are no markers. Where markers are doubled or nested, the first begin that an end of the
same name follows, with no other marker between them, opens the section; the other markers are plain text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml
from huggingface_hub.repocard import REGEX_YAML_BLOCK

_MARKER = re.compile(r" {0,3}(<!-- plantain:(begin|end) (\S+) -->)[ \t]*[\r\n]*")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})([^\r\n]*)")
_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+([^\r\n]*)")
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+$")
_AFTER_RESULTS = re.compile(
    r"(status|limitations?|licen[cs]e|references?|citations?|how to cite|acknowledge?ments?|contact|biases)\b", re.I
)
NOTICE = "<!-- Written by plantain: what is changed between these two markers is lost at the next publish. -->"


@dataclass(frozen=True)
class _Line:
    """A line outside the front matter and code blocks, by its offsets in the card."""

    start: int
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
    start, end = next(((s.start, s.end) for s in _sections(card) if s.name == name), (None, None))
    if start is not None:
        before, after = card[:start], card[end:]
        return before + _block(name, body, _newline(before + after)) + after
    place, newline = _place(card), _newline(card)
    before, after = card[:place], card[place:]
    spaced = _blank_lines(before, newline) + _block(name, body, newline) + newline
    return before + spaced + (newline if after else "") + after


def _newline(text: str) -> str:
    """Return the line end that most lines of a text have."""
    return "\r\n" if 2 * text.count("\r\n") > text.count("\n") else "\n"


def _block(name: str, body: str, newline: str) -> str:
    lines = (f"<!-- plantain:begin {name} -->", NOTICE, *body.split("\n"), f"<!-- plantain:end {name} -->")
    return newline.join(lines)


def section_names(card: str) -> list[str]:
    """List whose sections a card has; a name comes twice where two sections have it."""
    return [section.name for section in _sections(card)]


def _blank_lines(before: str, newline: str) -> str:
    """Return what has to stand between a text and a block after it."""
    if not before or before.endswith((newline * 2, "\n\n")):
        return ""
    return newline if before.endswith("\n") else newline * 2


def _sections(card: str) -> list[_Section]:
    found, opened = [], None
    for line in _lines(card)[0]:
        marker = _MARKER.fullmatch(line.text)
        if marker is None:
            continue
        _, kind, name = marker.groups()
        if kind == "begin":
            opened = _Section(name, line.start + marker.start(1), 0)
        else:
            if opened is not None and opened.name == name:
                found.append(_Section(name, opened.start, line.start + marker.end(1)))
            opened = None
    return found


def _lines(card: str) -> tuple[list[_Line], int]:
    """Return the lines outside front matter and code, and where text can be added at the end.

    That is the end of the card, or the start of a code block that is never closed.
    """
    front = REGEX_YAML_BLOCK.match(card)
    offset = front.end() if front else 0
    found, fence, fence_start = [], "", len(card)
    for text in _LINE.findall(card[offset:]):
        mark = _FENCE.match(text)
        if fence:
            closes = mark and mark[1][0] == fence[0] and len(mark[1]) >= len(fence) and not mark[2].strip()
            fence = "" if closes else fence
        elif mark and not (mark[1][0] == "`" and "`" in mark[2]):
            fence, fence_start = mark[1], offset
        else:
            found.append(_Line(offset, text))
        offset += len(text)
    return found, fence_start if fence else len(card)


def _place(card: str) -> int:
    """Choose where a first section goes: after other sections, after the results, before what ends a card."""
    (lines, end), sections = _lines(card), _sections(card)
    if sections:
        return _next_line(card, sections[-1].end)
    headings = [(line.start, *_HEADING.match(line.text).groups()) for line in lines if _HEADING.match(line.text)]
    for i, (_, level, title) in enumerate(headings):
        if re.match(r"results?\b", title, re.I):
            return next((start for start, other, _ in headings[i + 1 :] if len(other) <= len(level)), end)
    return next((start for start, _, title in headings if _AFTER_RESULTS.match(title)), end)


def _next_line(card: str, offset: int) -> int:
    rest = _LINE.match(card, offset)
    return rest.end() if rest else len(card)


# --- front matter ------------------------------------------------------------------------------------------


def add_fields(card: str, fields: dict[str, Any]) -> str:
    """Add the fields that a card's front matter lacks, below its own.

    A front matter that is no YAML mapping, and one to which nothing can be added without another reading, is left.
    """
    front = REGEX_YAML_BLOCK.match(card)
    if front is None:
        strange = card.lstrip("\ufeff \t\r\n").startswith("---")
        return card if strange else _front_matter(fields) + ("\n" if card else "") + card
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


def _mapping(text: str) -> dict[str, Any] | None:
    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):  # ValueError: a date that does not exist
        return None
    return {} if found is None else found if isinstance(found, dict) else None


def _dumped(fields: dict[str, Any]) -> str:
    return yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)


def _front_matter(fields: dict[str, Any]) -> str:
    return f"---\n{_dumped(fields)}---\n"


def new_card(title: str, text: str, fields: dict[str, Any]) -> str:
    """Write a card for a repository that has none; the section comes in by `set_section`."""
    return f"{_front_matter(fields)}\n# {title}\n\n{text}\n"
