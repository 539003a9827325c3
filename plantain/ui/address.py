"""The address bar: it follows what is on show, and opens the page there again."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from plantain.findings.unit import find_unit
from plantain.runs.run import Run
from plantain.runs.scopes import UNITS, scopes_of
from plantain.runs.units import SelectionError
from plantain.ui import html
from plantain.ui.errors import listener
from plantain.ui.state import VIEW, Choice, Page
from plantain.ui.theme import static

FIRST = {"units": "card", "scope": "all"}  # what the page shows by itself, beside the first run

_LONGEST = 60  # characters of an unknown value that are repeated


@dataclass(frozen=True)
class Asked:
    """What an address asks for, None where it says nothing that can be followed; and what could not be."""

    run: str | None
    units: str | None
    scope: str | None
    unit: str | None
    tab: str | None
    problems: list[str]


def link_row() -> tuple[gr.Button, gr.HTML]:
    """Build the button that copies a link and the place for what is said; they belong below the choice of a run."""
    with gr.Row(elem_classes="pl-link-row"):
        button = gr.Button("Copy link", size="sm", scale=0, min_width=120, elem_id="copy-link")
        with gr.Column(min_width=260):  # below the button on a phone
            return button, gr.HTML(elem_id="address-notice")


def keep_address(page: Page, choice: Choice, tabs: gr.Tabs, link: tuple[gr.Button, gr.HTML], demo: gr.Blocks) -> None:
    """Join the choice and the address; call it when all tabs are there."""
    labels = {tab.label: tab.id for tab in tabs.children if isinstance(tab, gr.Tab)}
    ids = list(labels.values())

    def opened(request: gr.Request) -> tuple[Any, ...]:
        given = dict(request.query_params)
        asked = read_address(page.store.saved, ids, given, page.first, page.store.follows)
        later = given.get("run", "") if asked.run is None and page.store.follows else ""
        values = (asked.run, asked.units, asked.scope, asked.unit)
        updates = (gr.skip() if value is None else gr.update(value=value) for value in values)
        tab = gr.Tabs(selected=asked.tab) if asked.tab else gr.skip()
        return *updates, tab, notice_html(asked.problems), later

    def kept_unit(name: str | None, unit: str) -> Any:
        run = page.store.find(name)
        return gr.skip() if not unit or (run and has_unit(run, unit)) else ""

    shown, (button, notice) = [*choice.inputs, choice.unit], link
    told = [*shown, choice.known]
    demo.load(listener(opened), None, [*shown, tabs, notice, choice.asked], **VIEW)
    choice.run.change(listener(kept_unit), [choice.run, choice.unit], choice.unit, trigger_mode="multiple", **VIEW)
    first = {**FIRST, "tab": next(iter(ids), "")}
    facts = {"tabs": labels, "first": first, "base": share_base()}
    script = f"({static('address.js')})({json.dumps(facts)}, {static('copy.js')})"
    changes = [component.change for component in (*shown, tabs)]
    gr.on(changes, None, told, None, js=f"{script}.write", **VIEW)
    button.click(None, told, notice, js=f"{script}.link", **VIEW)


def read_address(
    saved: Mapping[str, Run],
    tabs: Sequence[Any],
    parameters: Mapping[str, str],
    first: str | None,
    follows: bool = False,
) -> Asked:
    """Check an address's parameters one by one; what is not known here is left out and named.

    Parameters
    ----------
    saved : mapping of str to Run
        A visitor's own run cannot be asked for.
    tabs : sequence
        The tabs' ids.
    parameters : mapping of str to str
        Those that are not the page's choice are ignored.
    first : str or None
        The run that is shown where none is asked for.
    follows : bool
        Whether runs may still arrive.

    Returns
    -------
    Asked
    """
    problems: list[str] = []

    def take(name: str, known: Any, why: str) -> str | None:
        value = parameters.get(name) or None
        if value is None or known(value):
            return value
        short = value if len(value) <= _LONGEST else f"{value[:_LONGEST]} …"
        problems.append(f"{name} “{short}”: {why}")
        return None

    arrives = "; if it is published, it is shown as soon as it is here" if follows else ""
    run = take("run", saved.__contains__, f"no saved run has this name{arrives}")
    units = take("units", UNITS.__contains__, f"choose one of {', '.join(UNITS)}")
    shown = saved.get(run or first or "")
    kind = units or FIRST["units"]
    tokens = shown.scopes(kind) if shown else scopes_of(kind)
    scope = take("scope", tokens.__contains__, f"choose one of {', '.join(tokens)} with these units")
    unit = take("unit", lambda name: shown is not None and has_unit(shown, name), "the run has no unit of this name")
    tab = take("tab", tabs.__contains__, f"choose one of {', '.join(map(str, tabs))}")
    if units and scope is None:
        scope = FIRST["scope"]  # a scope that was on show may have no tokens of these units
    return Asked(run, units, scope, unit, tab, problems)


def has_unit(run: Run, name: str) -> bool:
    """Say whether a run has a unit of this name, of any kind."""
    try:
        find_unit(run, name)
    except SelectionError:
        return False
    return True


def notice_html(problems: list[str]) -> str:
    """Say what of an address could not be followed; nothing where all of it was."""
    if not problems:
        return ""
    return (
        '<div class="pl-notice" role="status"><p>The link asks for something that is not here. The rest is shown.</p>'
        f"{html.list_html(problems)}</div>"
    )


def share_base() -> str | None:
    """Return a Space's address on the Hub, or None elsewhere: then the browser's own address is the page's.

    On a Space the page is a frame in the Hub's page, and the frame's address is not the one to share.
    """
    space = os.environ.get("SPACE_ID")
    return f"https://huggingface.co/spaces/{space}" if space else None
