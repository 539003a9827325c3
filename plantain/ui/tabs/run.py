"""The tab where the probe is run and its result goes on: to the model card, into files."""

from __future__ import annotations

from html import escape

import gradio as gr

from plantain.ui.address import share_base
from plantain.ui.desk import Desk
from plantain.ui.lazy import Section, lazily, section
from plantain.ui.state import Choice, Page
from plantain.ui.tabs.export import take_section
from plantain.ui.tabs.probe import probe_part
from plantain.ui.tabs.prompt_set import Chooser
from plantain.ui.tabs.publish import publish_section
from plantain.ui.texts import LINKS
from plantain.ui.theme import static


def run_tab(
    page: Page, choice: Choice, tabs: gr.Tabs, tab: gr.Tab, demo: gr.Blocks, sign_in: gr.LoginButton | None
) -> tuple[Chooser, list[Section]]:
    """Build what the tab holds.

    Returns
    -------
    chooser : Chooser
        Of the prompt set.
    sections : list of Section
        For the address.
    """
    with gr.Column():
        probe = gr.Column()
    publish = [_publish(page, page.desk, choice, demo, sign_in)] if page.desk else []
    with probe:
        chooser = probe_part(page, choice, tabs, tab, *(publish or [None]))
    take = section("take", "Take away: files, figures, how to cite", choice.section)
    with take.fold:
        lazily(take.asked, lambda: take_section(page, choice))
    method = section("method", "Method: what is measured, and its limits", choice.section)
    with method.fold:
        gr.HTML(LINKS.format(code=_code()) + static("method.html"))
    return chooser, [*publish, take, method]


def _code() -> str:
    """Link the code where it has an address: on a Space; elsewhere it is the reader's own folder."""
    base = share_base()
    return f' ·\n<a href="{escape(base, quote=True)}/tree/main">the code</a>' if base else ""


def _publish(page: Page, desk: Desk, choice: Choice, demo: gr.Blocks, sign_in: gr.LoginButton | None) -> Section:
    made = section("publish", "Publish to the model card", choice.section)
    publish_section(page, desk, choice, made, demo, sign_in)
    return made
