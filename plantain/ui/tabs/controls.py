"""The section that tries the method on models in which the truth is known."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import gradio as gr

from plantain.findings.known import Known, known_truths
from plantain.report.figures.catalogue import KnownTruths, figure
from plantain.ui import html
from plantain.ui.lazy import fill
from plantain.ui.state import Choice, Page
from plantain.ui.texts import CONTROLS_CARE

NONE_HERE = "No run of the practice model or of an untrained one is here."


def controls_section(page: Page, choice: Choice) -> None:
    """Build the section, lazily; it is of the saved runs, whichever is chosen."""

    def show(*_: str | None) -> str:
        return controls_html(known_truths(page.store.saved))

    fill(choice, show, [], gr.HTML(elem_id="controls"))


def controls_html(known: Sequence[Known]) -> str:
    """Show how many pairs are told right where there is something to tell, and where there is nothing."""
    if not known:
        return html.message_html(NONE_HERE)
    drawn = html.figure_html(figure("controls", KnownTruths(list(known))))
    care = html.folded_html("What each row says", CONTROLS_CARE)
    return f"<p>{escape(sentence(known))}</p>{drawn}{care}"


def sentence(known: Sequence[Known]) -> str:
    """Say the counts in one sentence."""
    said = {
        words: [f"{one.told.k} of {one.told.n}" for one in known if one.told and one.is_there is there]
        for words, there in (("where the model was trained to draw it", True), ("where the weights are random", False))
    }
    parts = [f"{', '.join(counts)} {words}" for words, counts in said.items() if counts]
    waiting = sum(one.told is None for one in known)
    parts += [f"{waiting} being computed"] if waiting else []
    return f"Told right: {'; '.join(parts)}."
