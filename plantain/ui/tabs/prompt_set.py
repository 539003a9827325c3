"""The prompt set that a probe runs: one of the project's, or one that a visitor pastes."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from html import escape
from itertools import product
from typing import Any

import gradio as gr

from plantain.prompts.confounds import confounds_of_own_set
from plantain.prompts.pasted import MOST_BYTES, MOST_LETTERS, MOST_PAIRS, read_pasted
from plantain.prompts.sets import MIN_PAIRS, SIDES, PromptError, PromptPair, PromptSet, shipped_sets
from plantain.report.labels import kinds_words
from plantain.ui import html
from plantain.ui.engine import EngineError
from plantain.ui.errors import listener
from plantain.ui.state import HIDDEN, LATER, Page
from plantain.ui.texts import OWN_HELP

OWN = "own"

_EXAMPLE = "positive\tnegative\nA horse gallops along the beach.\tA horse ambles along the beach.\n…"

_read = lru_cache(8)(read_pasted)  # a few listeners ask for the same text at once

_HELP = OWN_HELP.format(pairs=(MIN_PAIRS, MOST_PAIRS), letters=MOST_LETTERS, kilobytes=MOST_BYTES // 1000)


class PromptSets:
    """The sets that a page can run: what it was built with, the project's own, and a visitor's.

    Parameters
    ----------
    page : Page

    Attributes
    ----------
    first : str
        What the chooser holds at the start.
    """

    def __init__(self, page: Page) -> None:
        self.first = page.prompt_set.sha256
        self._known = {self.first: page.prompt_set} | {sha: found for sha, (_, found) in shipped_sets().items()}

    def choices(self) -> list[tuple[str, str]]:
        """Return (label, value) for the chooser."""
        return [(f"{found.title} ({found.role})", sha) for sha, found in self._known.items()] + [
            ("A set of your own …", OWN)
        ]

    def find(self, which: str, text: str, title: str, positive: str, negative: str) -> PromptSet:
        """Return the chosen set.

        Raises
        ------
        PromptError
            A visitor's own that cannot be read.
        """
        return _read(text, title, positive, negative) if which == OWN else self._known[which]


def set_chooser(page: Page, sets: PromptSets) -> tuple[list[gr.components.Component], Callable[[Any], None]]:
    """Build the chooser inside a tab.

    Returns
    -------
    inputs : list of components
        What `PromptSets.find` takes.
    follow : callable
        Has what is said of the set follow an event.
    """
    which = gr.Dropdown(
        sets.choices(), value=sets.first, label="Prompt set", filterable=False, elem_id="prompt-set", min_width=280
    )
    about = gr.HTML(about_html(page.prompt_set), elem_id="set-about")
    with gr.Column(visible=False) as own:
        gr.HTML(_HELP)
        text = gr.Textbox("", label="Your pairs", lines=8, max_lines=16, placeholder=_EXAMPLE, elem_id="own-set")
        with gr.Row():
            names = (("Name", "Tempo"), ("Positive side", "fast"), ("Negative side", "slow"))
            words = [gr.Textbox("", label=label, placeholder=example, min_width=160) for label, example in names]
        note = gr.HTML(elem_id="own-note")
    inputs = [which, text, *words]

    def look(*chosen: str) -> tuple[dict[str, Any], dict[str, Any], str]:
        if chosen[0] == OWN:
            return HIDDEN, gr.update(visible=True), own_html(page, *chosen[1:])
        return gr.update(value=about_html(sets.find(*chosen)), visible=True), HIDDEN, ""

    return inputs, lambda event: event.then(listener(look), inputs, [about, own, note], **LATER)


def about_html(prompt_set: PromptSet) -> str:
    """Say what a set of the project's is, what it controls for and what a result on it would mean."""
    n = len(prompt_set.pairs)
    words = kinds_words(prompt_set.positive, prompt_set.negative, [pair.kind for pair in prompt_set.pairs])
    lines = f"{n} pairs, {2 * n} passes: {words}."
    return html.paragraphs_html([lines, prompt_set.about, prompt_set.reading])


def own_html(page: Page, text: str, title: str, positive: str, negative: str) -> str:
    """Say what was understood of a visitor's set, or what is wrong with it, and what its words give away."""
    if not text.strip():
        return ""
    try:
        found = _read(text, title, positive, negative)
    except PromptError as error:
        return html.error_html(str(error))
    said = (
        f"<p><b>{escape(found.title)}</b>: {len(found.pairs)} pairs, “{escape(found.positive)}” against "
        f"“{escape(found.negative)}”. The first one:</p>{pair_html(found.pairs[0], found.pairs[0].id)}"
    )
    return f'<div role="status">{said}{_audited(page, found)}</div>'


def pair_html(pair: PromptPair, name: str) -> str:
    """Show both prompts of a pair under its name and category."""
    return (
        f'<dl class="pl-just-done"><dt>{escape(name)} ({escape(pair.category)})</dt>'
        f"<dd>{escape(pair.positive)}</dd><dd>{escape(pair.negative)}</dd></dl>"
    )


def _audited(page: Page, found: PromptSet) -> str:
    """Show the warnings, those of tokens as well where the model is there."""
    later = ""
    try:
        warnings = confounds_of_own_set(found, page.engine.count_tokens)
    except EngineError:
        warnings, later = confounds_of_own_set(found), " Tokens are counted once the model is loaded."
    except PromptError as error:
        return html.error_html(_refused(page, found, error))
    if not warnings:
        return f"<p>Nothing but the meaning was found to tell the sides apart: no proof that nothing does.{later}</p>"
    return html.warnings_html("What the words of this set give away", warnings) + html.paragraphs_html([later])


def _refused(page: Page, found: PromptSet, error: PromptError) -> str:
    """Name the pair that the model cannot take."""
    for pair, side in product(found.pairs, SIDES):
        try:
            page.engine.count_tokens(getattr(pair, side))
        except PromptError as why:
            return f"Pair {pair.id!r}, {side} side: {why}"
    return str(error)
