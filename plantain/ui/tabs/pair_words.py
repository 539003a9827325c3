"""The words of a visitor's pair as they are typed: which differ, which the model never saw, and lists to pick from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cache
from html import escape
from itertools import takewhile
from typing import Any

from plantain.models.picture_book.grammar import ENDINGS as BOOK_ENDINGS
from plantain.models.picture_book.grammar import HELPING, NEED_WORDS, NOT_HELPING, caption, vocabulary
from plantain.models.picture_book.world import NAMES, NEEDS, PLACES, Scene
from plantain.prompts.diff import WORD, differing_words
from plantain.prompts.lengths import ENDINGS
from plantain.prompts.sets import PICTURE_BOOK
from plantain.ui import html
from plantain.ui.texts import EXAMPLES_IN

KNOWN = (
    "It knows the names {first} to {last}, {places} places, {needs} needs and {acts} verbs: “Pick words” has them all."
)


@cache
def known_words(words: str) -> frozenset[str] | None:
    """Return every word that a model was trained on, as it stands within a sentence and at its start.

    Parameters
    ----------
    words : str
        As `PromptSet.model`.

    Returns
    -------
    frozenset of str, or None
        None for a model that takes plain sentences: it has seen nearly everything.
    """
    if words != PICTURE_BOOK:
        return None
    return frozenset(form for word in vocabulary() for form in (word, f"{word[0].upper()}{word[1:]}"))


def unknown_words(texts: Iterable[str], known: frozenset[str] | None) -> list[str]:
    """List the words of texts that a model was not trained on, each once, in order."""
    if known is None:
        return []
    return list(dict.fromkeys(word for text in texts for word in re.findall(WORD, text) if word not in known))


def unknown_sentence(unknown: list[str]) -> str:
    """Say which words the practice model does not know, and which it does; nothing where it knows all."""
    if not unknown:
        return ""
    named = ", ".join(f"“{shortened(word, 20)}”" for word in unknown[:5]) + (" and more" if unknown[5:] else "")
    acts = sum(len(verbs) for side in (HELPING, NOT_HELPING) for verbs in side.values())
    knows = KNOWN.format(first=NAMES[0], last=NAMES[-1], places=len(PLACES), needs=len(NEEDS), acts=acts)
    return f"The practice model has never seen {named}. {knows}"


def shortened(text: str, most: int) -> str:
    """Cut a text to at most so many characters."""
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def shortened_pair(positive: str, negative: str, most: int = 34) -> tuple[str, str]:
    """Cut both texts of a pair to what tells them apart: a little before the first difference, and what follows."""
    common = sum(1 for _ in takewhile(lambda letters: letters[0] == letters[1], zip(positive, negative, strict=False)))
    start = positive.rfind(" ", 0, max(common - 8, 0)) + 1
    before = "…" if start else ""
    return shortened(before + positive[start:], most), shortened(before + negative[start:], most)


def marked_words(positive: str, negative: str, known: frozenset[str] | None) -> tuple[str, ...]:
    """Return both texts as HTML: what differs as <mark>, words that the model does not know underlined."""
    if known is None:
        return html.marked(positive, negative)
    return tuple(
        "".join(f"<mark>{_known(text, known)}</mark>" if differs else _known(text, known) for text, differs in spans)
        for spans in differing_words(positive, negative)
    )


def _known(text: str, known: frozenset[str]) -> str:
    drawn, end = "", 0
    for found in re.finditer(WORD, text):
        word = escape(found[0])
        drawn += escape(text[end : found.start()])
        drawn += word if found[0] in known else f'<span class="pl-unknown">{word}</span>'
        end = found.end()
    return drawn + escape(text[end:])


def endings(words: str, texts: tuple[str, str]) -> tuple[str, ...]:
    """Return what may be added to a prompt, or dropped, to make its length that of the other.

    In the picture book's words every ending says something, so that only what one prompt says already can be said, or
    left out, in both.
    """
    if words != PICTURE_BOOK:
        return ENDINGS
    found = (f", {ending}" for ending in BOOK_ENDINGS)
    return tuple(ending for ending in found if any(ending in text for text in texts))


# --- to start from -----------------------------------------------------------------------------------------


def examples_html(words: str) -> str:
    """Offer the examples in a model's words, and lists of its words where they are few.

    One component, since every one more makes the page slower to open.
    """
    names = EXAMPLES_IN[words]
    buttons = (f'<button type="button" class="pl-button" data-name="{name}">{name}</button>' for name in names)
    return f'<div class="pl-examples">{"".join(buttons)}</div>{picker_html() if words == PICTURE_BOOK else ""}'


def picker_html() -> str:
    """Offer the words of the picture book in lists; `static/word_lists.js` sends what is chosen."""
    verbs = {need: {"positive": HELPING[need], "negative": NOT_HELPING[need]} for need in NEEDS}
    lists = {
        "need": ("The other", {need: NEED_WORDS[need] for need in NEEDS}),
        "positive": ("Act, positive side", {verb: verb for verb in HELPING[NEEDS[0]]}),
        "negative": ("Act, negative side", {verb: verb for verb in NOT_HELPING[NEEDS[0]]}),
        "actor": ("Who acts", {name: name for name in NAMES}),
        "other": ("On whom", {name: name for name in (*NAMES[1:], NAMES[0])}),
        "size": ("Size of who acts", {"tall": "tall", "short": "short"}),
        "place": ("Where", {place: place for place in PLACES}),
    }
    drawn = "".join(
        f'<label>{label}<select data-part="{part}">'
        + "".join(f'<option value="{value}">{words}</option>' for value, words in options.items())
        + "</select></label>"
        for part, (label, options) in lists.items()
    )
    return (
        f'<details class="pl-careful pl-picker" data-verbs="{escape(json.dumps(verbs), quote=True)}">'
        f'<summary class="pl-button pl-slim">Pick words</summary><div class="pl-picks">{drawn}</div></details>'
    )


def picked(chosen: Any) -> tuple[str, str] | None:
    """Write both prompts from what was chosen in the lists; None for anything that the lists do not have.

    Parameters
    ----------
    chosen : object
        From the browser, so it may be anything: a mapping of each list to its choice.
    """
    parts = ("need", "actor", "other", "size", "place", "positive", "negative")
    if not isinstance(chosen, dict) or not all(isinstance(chosen.get(part), str) for part in parts):
        return None
    need, actor, other, size, place, *acts = map(chosen.get, parts)
    fits = need in NEEDS and actor in NAMES and other in NAMES and actor != other and place in PLACES
    if not (fits and size in ("tall", "short") and acts[0] in HELPING[need] and acts[1] in NOT_HELPING[need]):
        return None
    positive, negative = (
        caption(
            Scene(actor, other, need, act, near=True, facing=True, tall=size == "tall", place=place),
            verb, shape=0, distance=False, look=False,
        )
        for act, verb in zip(("helps", "does not"), acts, strict=True)
    )  # fmt: skip
    return positive, negative
