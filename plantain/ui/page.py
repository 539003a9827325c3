"""The whole page: introduction, status, choice of a run, tabs."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

import gradio as gr

from plantain.findings.published import Published
from plantain.prompts.sets import PromptSet
from plantain.runs.scopes import UNITS
from plantain.ui import html
from plantain.ui.address import Link, keep_address
from plantain.ui.api import add_endpoints
from plantain.ui.desk import Desk
from plantain.ui.engine import Engine
from plantain.ui.errors import listener
from plantain.ui.lazy import followed_by_parts, lazily, unseen
from plantain.ui.state import HIDDEN, LATER, VIEW, Choice, Page, RunStore
from plantain.ui.tabs.evidence import evidence_tab
from plantain.ui.tabs.new_pair import visitor_tab
from plantain.ui.tabs.prompt_set import Chooser
from plantain.ui.tabs.publish import sign_in_button
from plantain.ui.tabs.result import result_tab
from plantain.ui.tabs.run import run_tab
from plantain.ui.tabs.turn import turn_tab
from plantain.ui.texts import INTRODUCTION, TITLE
from plantain.ui.theme import static

_log = logging.getLogger(__name__)

UNIT_LABELS = {
    "card": "card's slices",
    "heads": "true heads",
    "text-heads": "text heads",
    "mlp": "MLP groups",
    "embedding": "embedding",
}

FOLLOW = 20  # seconds after which an open page asks for runs that have arrived

ARRIVED = "A run on Klein’s own weights has arrived: “{label}”."

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
        Runs to show; the first saved one is on the page at once. Where runs of it arrive later, open pages follow.
    engine : Engine
        The model behind "Your pair" and "Run the probe"; it may still be loading.
    published : Published
        The card's figures, from `published.load_published`.
    prompt_set : PromptSet
        What "Run the probe" runs; where it is not in the loaded model's words, the project's own axis that is.
    desk : Desk, optional
        Where the owner of a card publishes a run; without one the page has no such tab.

    Returns
    -------
    gr.Blocks
        Launch it with `launch_options(demo)`.
    """
    page = Page(store, engine, published, prompt_set, desk)
    sign_in = sign_in_button() if desk else None
    with gr.Blocks(title=TITLE, delete_cache=(3600, 3600)) as demo:
        gr.HTML(INTRODUCTION, elem_id="introduction")
        notices = gr.HTML(elem_id="notices")
        choice, link, serve_choice = _choice_row(page)
        serve_notices = _arrivals(page, choice, notices, link.unknown, demo)
        with gr.Tabs(overflow_behavior="wrap") as tabs:
            with gr.Tab("Result", id="result"):
                serve_result = result_tab(page, choice, tabs, demo)
            with gr.Tab("Try a pair", id="pair") as tab:
                visitor_tab(page, choice, tab)
            with gr.Tab("Evidence", id="evidence") as tab:
                evidence = evidence_tab(page, choice, tab)
            with gr.Tab("Turn heads", id="turn") as turn:
                serve_turn = _turned(page, choice, turn)
            with gr.Tab("Run & publish", id="run") as tab:
                sets, parts = run_tab(page, choice, tabs, tab, demo, sign_in)
        gr.HTML(js_on_load=static("tip.js") + static("forgotten.js"), elem_id="tips")
        followed_by_parts(choice)
        keep_address(page, choice, tabs, [*evidence, *parts], link, demo)
        _status_line(page, choice, sets, turn, demo)
        add_endpoints(store, engine, prompt_set)
        for fn in demo.fns.values():
            if fn.renderable:  # what is built lazily is no endpoint; Gradio offers it to programs as “apply”
                fn.api_visibility = "private"
    serving, taught = threading.Lock(), WeakSet(store.saved.values())

    def serve() -> None:
        """Have pages that are opened from now on begin with what is there now, and learn what new runs took."""
        try:
            with serving:
                new = [run for run in store.saved.values() if run not in taught]
                taught.update(new)
                engine.learn_from(new)
                for write in (serve_choice, serve_notices, serve_result, serve_turn, sets.serve):
                    write()
                demo.config = demo.get_config_file()
        except Exception:  # of a run that nobody foresaw; the thread that brings runs goes on
            _log.exception("the page could not be written anew")

    store.changed = engine.settled = serve
    return demo


def _notices_html(page: Page) -> str:
    damaged = [f"The saved run “{name}” is not shown. {why}" for name, why in page.store.problems.items()]
    return "".join(html.error_html(notice) for notice in (*damaged, *page.store.notices))


def _arrivals(page: Page, choice: Choice, notices: gr.HTML, unknown: gr.HTML, demo: gr.Blocks) -> Callable[[], None]:
    """Have an open page follow the runs that arrive: offer them, show the first where it shows none.

    The one that its address asks for is shown as soon as it is here, unless the visitor has chosen another meanwhile;
    what `unknown` said of the address goes then.
    """
    with gr.Row(visible=False, elem_id="arrived") as row:
        line = gr.HTML()
        button = gr.Button("Show it", size="sm", scale=0, min_width=120)
    timer = gr.Timer(FOLLOW, active=page.store.follows)

    def serve() -> None:
        notices.value = _notices_html(page)
        notices.visible = bool(notices.value)

    def follow(
        request: gr.Request, known: str, name: str | None, mine: list[tuple[str, str]], asked: str
    ) -> dict[Any, Any]:
        now, come = page.known, asked in page.store.saved
        if known == now and not come:
            return {choice.known: gr.skip()}
        first, said = page.first, _notices_html(page)
        choices, show = page.saved_choices() + mine, None
        if come and name in (None, "", first, _first_of(known)):
            show = asked
        elif not name and (asked or "run" not in request.query_params):  # else another view brings what is asked for
            show = first
        changed = {
            choice.known: now,
            choice.run: gr.Dropdown(choices, value=show) if show else gr.Dropdown(choices),
            notices: gr.update(value=said, visible=bool(said)),
        }
        if come:
            changed |= {choice.asked: "", unknown: ""}
        new, shown = page.store.find(first), page.store.find(show or name)
        weights = [run and run.info.weights for run in (new, shown)]
        if shown and weights[0] == "pretrained" != weights[1] and first != _first_of(known):
            changed |= {row: gr.update(visible=True), line: html.message_html(ARRIVED.format(label=first))}
        return changed

    seen = [choice.known, choice.run, choice.mine, choice.asked]
    outputs = [choice.known, choice.run, choice.asked, notices, unknown, row, line]
    gr.on([timer.tick, demo.load], listener(follow), seen, outputs, **VIEW)
    button.click(listener(lambda: (page.first, HIDDEN)), None, [choice.run, row], **VIEW)
    serve()
    return serve


def _first_of(known: str) -> str:
    """Return which run a page knew as the first; nothing where it does not say."""
    try:
        return str(json.loads(known)["first"])
    except (ValueError, TypeError, KeyError):
        return ""


def _status_line(page: Page, choice: Choice, sets: Chooser, turn: gr.Tab, demo: gr.Blocks) -> None:
    """Say how the model stands, and offer what it takes once it is there: prompt sets, heads to turn."""
    status = gr.HTML(page.status_html(), elem_id="model-status")
    timer = gr.Timer(2)

    def tick(name: str | None) -> tuple[Any, ...]:
        unsettled = page.engine.status().unsettled
        # Once there it stays, and says why nothing can be turned.
        there = gr.Tab(visible=True) if page.turns(name) else gr.skip()
        return page.status_html(), gr.Timer(active=unsettled), there, *sets.renew()

    gr.on([timer.tick, demo.load], listener(tick), choice.run, [status, timer, turn, *sets.renewed], **VIEW)


def _scopes(page: Page, name: str | None, units: str) -> list[tuple[str, str]]:
    """Offer the scopes that the run's units have tokens of."""
    return [(SCOPE_LABELS[s], s) for s in page.scopes(name, units)]


def _turned(page: Page, choice: Choice, tab: gr.Tab) -> Callable[[], None]:
    """Build the tab that turns heads, lazily; it is there where the shown run, or the loaded model, has some to turn.

    Returns
    -------
    callable
        Writes whether it is there into the page as it is served from then on.
    """

    def serve() -> None:
        tab.visible = page.turns(page.first)

    asked = unseen("Turn heads")
    tab.select(None, None, asked, js="() => 'yes'", **VIEW)
    lazily(asked, lambda: turn_tab(page, choice))
    choice.switched.then(
        listener(lambda name: gr.Tab(visible=True) if page.turns(name) else gr.skip()), choice.run, tab, **LATER
    )
    serve()
    return serve


def _choice_row(page: Page) -> tuple[Choice, Link, Callable[[], None]]:
    with gr.Row(elem_classes="pl-choice", equal_height=True):
        # Any value, here and for the scope: Gradio forgets a session's own runs when many others come, and of units
        # that were just chosen the page still sends the last scope. Gradio would refuse both; the views check them.
        run = gr.Dropdown(
            label="Run",
            elem_id="run",
            allow_custom_value=True,
            show_label=False,
            container=False,
            min_width=200,
            scale=4,
        )
        button = gr.Button("Copy link", size="sm", scale=0, min_width=90, elem_id="copy-link")
    link = Link(button, gr.HTML(elem_id="copied"), gr.HTML(elem_id="address-notice"))
    with gr.Accordion("Advanced", open=False, elem_id="advanced"):
        with gr.Row():
            units = gr.Dropdown(
                [(UNIT_LABELS[u], u) for u in UNITS], value="card", label="Units", filterable=False, min_width=150
            )
            scope = gr.Dropdown(value="all", label="Scope", allow_custom_value=True, min_width=150)
        reset = gr.HTML(elem_id="scope-reset")
        gr.HTML(static("units.html"))
    unit = gr.Textbox("", label="Unit", visible="hidden", elem_id="unit")
    known = gr.Textbox("", label="Saved runs", visible="hidden", elem_id="known")
    section = gr.Textbox("", label="Section", visible="hidden", elem_id="section")

    def offered(name: str | None, chosen: str, shown: str) -> tuple[gr.Dropdown, str]:
        fits, scopes = choice.fitting(name, chosen, shown), _scopes(page, name, chosen)
        words = f"These units have no tokens of the scope “{SCOPE_LABELS.get(shown, shown)}”: all tokens are shown."
        if fits == shown:  # left alone: the visitor may have chosen another one since this was asked
            return gr.Dropdown(scopes), ""
        return gr.Dropdown(scopes, value=fits), html.message_html(words)

    # Before the choice has its own event: the views come after the scopes that fit.
    gr.on([run.change, units.change], listener(offered), [run, units, scope], [scope, reset], **LATER)
    choice = Choice(page, run, units, scope, unit, gr.State([]), known, gr.State(""), section)

    def serve() -> None:
        known.value, run.choices, run.value = page.known, page.saved_choices(), page.first
        scope.choices = _scopes(page, run.value, "card")

    serve()
    return choice, link, serve
