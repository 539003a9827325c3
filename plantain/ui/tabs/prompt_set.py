"""The prompt set that a probe runs: one of the project's, or one that a visitor pastes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from itertools import product
from typing import Any

import gradio as gr

from plantain.prompts.confounds import confounds_of_own_set
from plantain.prompts.pasted import MOST_BYTES, MOST_LETTERS, MOST_PAIRS, read_pasted
from plantain.prompts.sets import (
    MIN_PAIRS,
    MODELS,
    PICTURE_BOOK,
    SIDES,
    PromptError,
    PromptPair,
    PromptSet,
    shipped_sets,
)
from plantain.report.labels import kinds_words
from plantain.ui import html
from plantain.ui.engine import EngineError
from plantain.ui.errors import listener
from plantain.ui.state import HIDDEN, LATER, Page
from plantain.ui.texts import OWN_HELP

OWN = "own"

_EXAMPLES = {
    "": "positive\tnegative\nA horse gallops along the beach.\tA horse ambles along the beach.\n…",
    PICTURE_BOOK: "positive\tnegative\tmodel\nTall Ana meets Ben.\tShort Ana meets Ben.\tpicture-book\n…",
}

_read = lru_cache(8)(read_pasted)  # a few listeners ask for the same text at once

_HELP = OWN_HELP.format(pairs=(MIN_PAIRS, MOST_PAIRS), letters=MOST_LETTERS, kilobytes=MOST_BYTES // 1000)


class PromptSets:
    """The sets that a page can run: what it was built with, the project's own, and a visitor's.

    Parameters
    ----------
    page : Page
    """

    def __init__(self, page: Page) -> None:
        self._page = page

    @property
    def first(self) -> str:
        """What the chooser holds at the start, in the loaded model's words as everything that it offers."""
        return self._page.first_set.sha256

    def choices(self) -> list[tuple[str, str]]:
        """Return (label, value) for the chooser."""
        offered = {self.first: self._page.first_set} | _of_project(self._page.engine.words)
        labels = (f"{found.title} ({found.role})" if found.role else found.title for found in offered.values())
        return [*zip(labels, offered, strict=True), ("A set of your own …", OWN)]

    def find(self, which: str, text: str, title: str, positive: str, negative: str) -> PromptSet:
        """Return the chosen set.

        Raises
        ------
        PromptError
            A visitor's own that cannot be read, or a set that is not in the loaded model's words.
        """
        if which == OWN:
            found = _read(text, title, positive, negative)
        elif which == self._page.prompt_set.sha256:
            found = self._page.prompt_set
        else:  # a page that was opened before the model was there may offer sets in other words
            found = next(sets[which] for model in ("", *MODELS) if which in (sets := _of_project(model)))
        self._page.engine.check_set(found)
        return found


def _of_project(model: str) -> dict[str, PromptSet]:
    return {sha256: found for sha256, (_, found) in shipped_sets(model).items()}


@dataclass(frozen=True)
class Chooser:
    """The components that choose a set.

    Attributes
    ----------
    inputs : list of components
        What `PromptSets.find` takes.
    follow : callable
        Has what is said of the set follow an event.
    serve : callable
        Offers what the model takes on pages that are served from now on.
    renew : callable
        Returns the same for `renewed`, on a page that may have been opened before the model was there.
    renewed : list of components
    """

    inputs: list[gr.components.Component]
    follow: Callable[[Any], None]
    serve: Callable[[], None]
    renew: Callable[[], list[Any]]
    renewed: list[gr.components.Component]


def set_chooser(page: Page, sets: PromptSets) -> Chooser:
    """Build the chooser inside a tab."""
    built = page.engine.words
    which = gr.Dropdown(
        sets.choices(), value=sets.first, label="Prompt set", filterable=False, elem_id="prompt-set", min_width=280
    )
    about = gr.HTML(about_html(page.first_set), elem_id="set-about")
    with gr.Column(visible=False) as own:
        gr.HTML(_HELP)
        text = gr.Textbox(
            "", label="Your pairs", lines=8, max_lines=16, placeholder=_EXAMPLES[built], elem_id="own-set"
        )
        with gr.Row():
            names = (("Name", "Tempo"), ("Positive side", "fast"), ("Negative side", "slow"))
            words = [gr.Textbox("", label=label, placeholder=example, min_width=160) for label, example in names]
        note = gr.HTML(elem_id="own-note")
    inputs = [which, text, *words]

    def look(*chosen: str) -> tuple[dict[str, Any], dict[str, Any], str]:
        if chosen[0] == OWN:
            return HIDDEN, gr.update(visible=True), own_html(page, *chosen[1:])
        return gr.update(value=about_html(sets.find(*chosen)), visible=True), HIDDEN, ""

    def serve() -> None:
        which.choices, which.value, about.value = sets.choices(), sets.first, about_html(page.first_set)
        text.placeholder = _EXAMPLES[page.engine.words]

    def renew() -> list[Any]:
        if page.engine.words == built:
            return [gr.skip(), gr.skip()]
        return [gr.Dropdown(sets.choices(), value=sets.first), gr.update(placeholder=_EXAMPLES[page.engine.words])]

    return Chooser(
        inputs, lambda event: event.then(listener(look), inputs, [about, own, note], **LATER), serve, renew,
        [which, text],
    )  # fmt: skip


def about_html(prompt_set: PromptSet) -> str:
    """Say what a set of the project's is, what it controls for and what a result on it would mean."""
    n = len(prompt_set.pairs)
    words = kinds_words(prompt_set.positive, prompt_set.negative, [pair.kind for pair in prompt_set.pairs])
    lines = f"{n} pairs, {2 * n} passes: {words}."
    more = html.paragraphs_html([prompt_set.about, prompt_set.reading])
    return html.paragraphs_html([lines]) + (html.folded_html("About this set", more) if more else "")


def own_html(page: Page, text: str, title: str, positive: str, negative: str) -> str:
    """Say what was understood of a visitor's set, or what is wrong with it, and what its words give away."""
    if not text.strip():
        return ""
    try:
        found = _read(text, title, positive, negative)
        page.engine.check_set(found)
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
