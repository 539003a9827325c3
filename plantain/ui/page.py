"""The whole page: introduction, status, choice of a run, tabs.

`build_demo`   builds it
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from plantain.engine import Engine
from plantain.prompts import PromptSet
from plantain.scopes import SCOPES, UNITS
from plantain.ui import html
from plantain.ui.address import keep_address, link_row
from plantain.ui.api import add_endpoints
from plantain.ui.findings import findings_tab
from plantain.ui.heads import heads_tab
from plantain.ui.pairs import pairs_tab
from plantain.ui.probe import probe_tab
from plantain.ui.shared import VIEW, Choice, Cost, Page
from plantain.ui.store import RunStore
from plantain.ui.takeaway import take_tab
from plantain.ui.texts import INTRODUCTION, METHOD
from plantain.ui.visitor import visitor_tab

UNIT_LABELS = {
    "card": "the card's slices",
    "heads": "attention heads",
    "text-heads": "text-stream heads",
    "mlp": "MLP groups",
    "embedding": "prompt embedding (baseline)",
}
SCOPE_LABELS = {
    "all": "all tokens",
    "image": "image tokens",
    "prompt": "prompt: template and words",
    "words": "the words",
    "padding": "padding",
    "template": "chat template",
}


def build_demo(
    store: RunStore, engine: Engine, published: dict[str, Any], prompt_set: PromptSet, cost: Cost | None = None
) -> gr.Blocks:
    """Build the page.

    Parameters
    ----------
    store : RunStore
        Runs to show; the first saved one is on the page at once.
    engine : Engine
        The model behind "Your pair" and "Run the probe"; it may still be loading.
    published : dict
        The card's figures, from `published.load_published`.
    prompt_set : PromptSet
        What "Run the probe" runs.
    cost : callable, optional
        (pairs, size) -> what it costs, in words for a button; empty where nothing is counted.

    Returns
    -------
    gr.Blocks
        Launch it with `launch_options()`.
    """
    page = Page(store, engine, published, prompt_set, cost or (lambda _pairs, _size: ""))
    with gr.Blocks(title="plantain: ethical valence in FLUX.2 Klein", delete_cache=(3600, 3600)) as demo:
        gr.Markdown(INTRODUCTION)
        _status_line(page, demo)
        for name, reason in store.problems.items():
            gr.HTML(html.error_html(f"The saved run “{name}” is not shown. {reason}"))
        choice = _choice_row(page)
        link = link_row()
        with gr.Tabs() as tabs:
            findings_tab(page, choice)
            heads_tab(page, choice)
            pairs_tab(page, choice)
            visitor_tab(page, choice)
            probe_tab(page, choice)
            take_tab(page, choice)
            with gr.Tab("Method and limits", id="method"):
                gr.Markdown(METHOD)
        keep_address(page, choice, tabs, link, demo)
        add_endpoints(store, engine, prompt_set)
    return demo


def _status_line(page: Page, demo: gr.Blocks) -> None:
    status = gr.HTML(page.status_html(), elem_id="model-status")
    timer = gr.Timer(2)

    def tick() -> tuple[str, gr.Timer]:
        return page.status_html(), gr.Timer(active=page.engine.status().state == "loading")

    timer.tick(tick, None, [status, timer], **VIEW)
    demo.load(page.status_html, None, status, **VIEW)


def _choice_row(page: Page) -> Choice:
    first = next(iter(page.store.saved), None)
    with gr.Row():
        run = gr.Dropdown(
            page.saved_choices(), value=first, label="Run", elem_id="run", filterable=False, min_width=240
        )
        units = gr.Dropdown(
            [(UNIT_LABELS[u], u) for u in UNITS], value="card", label="Units", filterable=False, min_width=240
        )
        scope = gr.Dropdown(
            [(SCOPE_LABELS[s], s) for s in SCOPES], value="all", label="Scope", filterable=False, min_width=240
        )
    unit = gr.Textbox("", label="Unit", visible="hidden", elem_id="unit")
    return Choice(run, units, scope, unit, gr.State([]))
