"""Two prompts before they are sent: how long they are, what differs, and what would be refused.

Pure functions; everything that visitors type is escaped.

`side_html`   one prompt: its tokens, and its words with those marked that the other has not
`note_html`   what the two are as a pair
"""

from __future__ import annotations

from html import escape

from plantain.units import SIDES
from plantain.wording import ALIKE, shared_words

Count = int | str | None
"""Tokens of a prompt's words, or why the model cannot take it, or None while it is not known."""


def side_html(count: Count, words: str) -> str:
    """Show one prompt under its box.

    Parameters
    ----------
    count : int, str or None
    words : str
        HTML, from `html.marked`.
    """
    tokens = f"<b>{_tokens(count)}</b> " if isinstance(count, int) else ""
    return f'<p class="pl-draft">{tokens}<span>{words}</span></p>'


def _tokens(count: int) -> str:
    return f"{count} token{'' if count == 1 else 's'}"


def note_html(positive: str, negative: str, counts: tuple[Count, Count], model: str = "") -> str:
    """Say what the two prompts are as a pair: refused, of unequal length, or fit to be scored.

    Parameters
    ----------
    positive, negative : str
        Without blanks around them.
    counts : tuple of int, str or None
    model : str
        Why nothing can be counted now; empty where it can.
    """
    problems = [_problem(side, why) for side, why in zip(SIDES, counts, strict=True) if isinstance(why, str)]
    if positive and positive == negative:
        problems = ["Both prompts are the same: change one of them."]
    lines = problems + ([f"{model} Tokens cannot be counted now."] if model else [])
    a, b = counts
    if not lines and isinstance(a, int) and isinstance(b, int):
        lines = [_lengths(a, b), *_words(positive, negative)]
    loud = " pl-note-loud" if problems or a != b or len(lines) > 1 else ""
    shown = "".join(f"<p>{escape(line)}</p>" for line in lines)
    return f'<div role="status" class="pl-note{loud}">{shown}</div>'


def _problem(side: str, why: str) -> str:
    """Name the prompt that the model cannot take."""
    rest = why.removeprefix("a prompt ")
    return f"The {side} prompt {rest}" if rest != why else f"The {side} prompt: {why}"


def _lengths(a: int, b: int) -> str:
    if a == b:
        return f"Both prompts have {_tokens(a)}. What differs is marked."
    return (
        f"{a} and {_tokens(b)}: the lengths differ, and length would be measured together with what they mean. The "
        "score would be NOT COMPARABLE. Rewrite one prompt until both have the same number of tokens."
    )


def _words(positive: str, negative: str) -> list[str]:
    """Warn where more, or less, than one thing differs."""
    shared = shared_words(positive, negative)
    if shared == 1:
        return ["The words are the same: only blanks differ."]
    return ["Most words differ: then much more than one thing is measured."] if shared < ALIKE else []
