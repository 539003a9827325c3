"""The tab that shows what speaks for the finding and against it: sections, each built when it is opened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from plantain.ui.errors import listener
from plantain.ui.lazy import Section, lazily, section
from plantain.ui.state import VIEW, Choice, Page
from plantain.ui.tabs.atlas import Atlases, atlas_section
from plantain.ui.tabs.chance import chance_section
from plantain.ui.tabs.compare import compare_section
from plantain.ui.tabs.controls import controls_section
from plantain.ui.tabs.pairs import pairs_section
from plantain.ui.tabs.unit import head_section
from plantain.ui.texts import EVIDENCE_HELP


def evidence_tab(page: Page, choice: Choice, tab: gr.Tab) -> list[Section]:
    """Build what the tab holds; where nothing was opened yet, the first section opens with the tab.

    Parameters
    ----------
    page : Page
    choice : Choice
    tab : gr.Tab
        The tab itself.

    Returns
    -------
    list of Section
        For the address.
    """
    atlases = Atlases(page)
    gr.HTML(EVIDENCE_HELP)
    made: dict[str, Section] = {}

    def part(id: str, title: str, build: Callable[[], None]) -> None:
        made[id] = section(id, title, choice.section)
        with made[id].fold:
            lazily(made[id].asked, build)

    def opens_head(drawn: gr.HTML) -> None:
        """Let a click or Enter in a map open the unit."""
        head = made["head"]
        drawn.pick(listener(_picked), None, [choice.unit, head.fold, head.asked], **VIEW)

    part("chance", "What would chance give?", lambda: chance_section(page, choice))
    part("axis", "Is it an axis of its own? Replication and unique share", lambda: atlas_section(page, choice, atlases))
    part("pairs", "The pairs, one by one", lambda: pairs_section(page, choice))
    part("head", "One head", lambda: head_section(page, choice))
    part("compare", "Two runs side by side", lambda: compare_section(page, choice, opens_head))
    part("controls", "Controls: where the truth is known", lambda: controls_section(page, choice))
    first = made["chance"]

    def opened(on_show: str, asked: str) -> tuple[Any, Any]:
        """Open the first section, unless one of these is on show or this one was opened before."""
        return (gr.skip(), gr.skip()) if on_show in made or asked else (gr.Accordion(open=True), "yes")

    tab.select(listener(opened), [choice.section, first.asked], [first.fold, first.asked], **VIEW)
    return list(made.values())


def _picked(event: gr.EventData) -> tuple[str, gr.Accordion, str]:
    return str(event.unit), gr.Accordion(open=True), "yes"  # a name that the run does not have is told there
