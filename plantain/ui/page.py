"""The whole page: introduction, status, choice of a run, tabs."""

from __future__ import annotations

from html import escape

import gradio as gr

from plantain.findings.published import Published
from plantain.prompts.sets import PromptSet
from plantain.runs.scopes import UNITS
from plantain.ui import html
from plantain.ui.address import keep_address, link_row, share_base
from plantain.ui.api import add_endpoints
from plantain.ui.desk import Desk
from plantain.ui.engine import Engine
from plantain.ui.errors import listener
from plantain.ui.state import LATER, VIEW, Choice, Page, RunStore
from plantain.ui.tabs.atlas import atlas_tab
from plantain.ui.tabs.chance import chance_tab
from plantain.ui.tabs.compare import compare_tab
from plantain.ui.tabs.export import take_tab
from plantain.ui.tabs.findings import findings_tab
from plantain.ui.tabs.new_pair import visitor_tab
from plantain.ui.tabs.pairs import pairs_tab
from plantain.ui.tabs.probe import probe_tab
from plantain.ui.tabs.publish import publish_tab, sign_in_button
from plantain.ui.tabs.unit import heads_tab
from plantain.ui.texts import INTRODUCTION
from plantain.ui.theme import static

UNIT_LABELS = {
    "card": "card's slices",
    "heads": "true heads",
    "text-heads": "text heads",
    "mlp": "MLP groups",
    "embedding": "embedding",
}

SCOPE_LABELS = {
    "all": "all tokens",
    "image": "image tokens",
    "prompt": "whole prompt",
    "words": "words only",
    "padding": "padding",
    "template": "template",
    "reference": "reference image",
}


def build_demo(
    store: RunStore, engine: Engine, published: Published, prompt_set: PromptSet, desk: Desk | None = None
) -> gr.Blocks:
    """Build the page.

    Parameters
    ----------
    store : RunStore
        Runs to show; the first saved one is on the page at once.
    engine : Engine
        The model behind "Your pair" and "Run the probe"; it may still be loading.
    published : Published
        The card's figures, from `published.load_published`.
    prompt_set : PromptSet
        What "Run the probe" runs.
    desk : Desk, optional
        Where the owner of a card publishes a run; without one the page has no such tab.

    Returns
    -------
    gr.Blocks
        Launch it with `launch_options(demo)`.
    """
    page = Page(store, engine, published, prompt_set, desk)
    sign_in = sign_in_button() if desk else None
    base = share_base()  # the code has an address on a Space; elsewhere it is the reader's own folder
    code = f' ·\n<a href="{escape(base, quote=True)}/tree/main">the code</a>' if base else ""
    with gr.Blocks(title="plantain: ethical valence in FLUX.2 Klein", delete_cache=(3600, 3600)) as demo:
        gr.HTML(INTRODUCTION.format(code=code), elem_id="introduction")
        damaged = [f"The saved run “{name}” is not shown. {reason}" for name, reason in store.problems.items()]
        for notice in (*damaged, *store.notices):
            gr.HTML(html.error_html(notice))
        choice = _choice_row(page)
        link = link_row()
        with gr.Tabs() as tabs:
            findings_tab(page, choice, tabs, demo)
            visitor_tab(page, choice)
            heads_tab(page, choice, demo)
            chance_tab(page, choice)
            pairs_tab(page, choice)
            compare_tab(page, choice, tabs)
            atlas_tab(page, choice)
            probe_tab(page, choice, tabs)
            publish_tab(page, choice, demo, sign_in)
            take_tab(page, choice)
            with gr.Tab("Method", id="method"):
                gr.Markdown(static("method.md"))
        keep_address(page, choice, tabs, link, demo)
        _status_line(page, demo)
        add_endpoints(store, engine, prompt_set)
    return demo


def _status_line(page: Page, demo: gr.Blocks) -> None:
    status = gr.HTML(page.status_html(), elem_id="model-status")
    timer = gr.Timer(2)

    def tick() -> tuple[str, gr.Timer]:
        return page.status_html(), gr.Timer(active=page.engine.status().state == "loading")

    gr.on([timer.tick, demo.load], listener(tick), None, [status, timer], **VIEW)


def _scopes(page: Page, name: str | None, units: str) -> list[tuple[str, str]]:
    """Offer the scopes that the run's units have tokens of."""
    return [(SCOPE_LABELS[s], s) for s in page.scopes(name, units)]


def _choice_row(page: Page) -> Choice:
    first = next(iter(page.store.saved), None)
    with gr.Row():
        # Any value, here and for the scope: Gradio forgets a session's own runs when many others come, and of units
        # that were just chosen the page still sends the last scope. Gradio would refuse both; the views check them.
        run = gr.Dropdown(
            page.saved_choices(),
            value=first,
            label="Run",
            elem_id="run",
            allow_custom_value=True,
            min_width=280,
            scale=2,
        )
        units = gr.Dropdown(
            [(UNIT_LABELS[u], u) for u in UNITS], value="card", label="Units", filterable=False, min_width=150
        )
        scope = gr.Dropdown(
            _scopes(page, first, "card"), value="all", label="Scope", allow_custom_value=True, min_width=150
        )
    with gr.Accordion("What are units and scopes?", open=False):
        gr.Markdown(static("units.md"))
    unit = gr.Textbox("", label="Unit", visible="hidden", elem_id="unit")
    choice = Choice(page, run, units, scope, unit, gr.State([]))

    def offered(name: str | None, chosen: str, shown: str) -> gr.Dropdown:
        return gr.Dropdown(_scopes(page, name, chosen), value=choice.fitting(name, chosen, shown))

    gr.on([run.change, units.change], listener(offered), choice.inputs, scope, **LATER)
    return choice
