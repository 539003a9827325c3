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
from plantain.ui.lazy import Section
from plantain.ui.state import VIEW, Choice, Page
from plantain.ui.theme import static

FIRST = {"units": "card", "scope": "all"}  # what the page shows by itself, beside the first run

_SHOWN = "() => { window.plantainAsks = performance.now() + 60; window.dispatchEvent(new Event('plantain-shown')); }"
"""Tells `way.js` and `address.js` that the page shows what it was asked for, or does within the given time."""

_OPENED = """() => {
  if (window.plantainGoes) return;
  window.plantainStepped = performance.now();
  window.plantainAsks = window.plantainStepped + 60;
}"""
"""The same of what the page was opened with, which is no step; one that was taken meanwhile is still on its way."""

_LONGEST = 60  # characters of an unknown value that are repeated


OLD_TABS = {
    "findings": ("result", ""), "head": ("evidence", "head"), "chance": ("evidence", "chance"),
    "pairs": ("evidence", "pairs"), "compare": ("evidence", "compare"), "atlas": ("evidence", "axis"),
    "probe": ("run", ""), "publish": ("run", "publish"), "take": ("run", "take"), "method": ("run", "method"),
}  # fmt: skip
"""Tabs of earlier versions, which links still name: the tab and the section where each is now."""


@dataclass(frozen=True)
class Asked:
    """What an address asks for, None where it says nothing that can be followed; and what could not be."""

    run: str | None
    units: str | None
    scope: str | None
    unit: str | None
    tab: str | None
    section: str | None
    problems: list[str]


@dataclass(frozen=True)
class Link:
    """The button that copies a link, what is said of that, and what is said of an address that cannot be followed."""

    button: gr.Button
    copied: gr.HTML
    unknown: gr.HTML


def keep_address(
    page: Page, choice: Choice, tabs: gr.Tabs, sections: Sequence[Section], link: Link, demo: gr.Blocks
) -> None:
    """Join the choice and the address; call it when all tabs and sections are there."""
    ids = [tab.id for tab in tabs.children if isinstance(tab, gr.Tab)]
    shown = [*choice.inputs, choice.unit]
    folds = [component for section in sections for component in (section.fold, section.asked)]

    def follow(given: Mapping[str, str], closes: str = "") -> tuple[Any, ...]:
        """Show what an address, or a link inside the page, asks for, and close a section."""
        asked = read_address(
            page.store.saved, (ids, [section.id for section in sections]), given, page.first, page.store.follows
        )
        later = given.get("run", "") if asked.run is None and page.store.follows else ""
        values = (asked.run, asked.units, asked.scope, asked.unit)
        updates = (gr.skip() if value is None else gr.update(value=value) for value in values)
        tab = gr.Tabs(selected=asked.tab) if asked.tab else gr.skip()
        opens = {asked.section: (gr.Accordion(open=True), "yes"), closes: (gr.Accordion(open=False), gr.skip())}
        turned = (found for section in sections for found in opens.get(section.id, (gr.skip(), gr.skip())))
        last = asked.section or ("" if closes else gr.skip())
        return *updates, tab, last, notice_html(asked.problems), later, *turned

    def opened(request: gr.Request) -> tuple[Any, ...]:
        return follow(dict(request.query_params))

    def went(section: str, event: gr.EventData) -> tuple[Any, ...]:
        asked = {name: str(value) for name, value in dict(event.asked).items()}
        if not getattr(event, "back", False):
            return follow(asked)
        given = {"run": page.first or "", **FIRST, "tab": ids[0], **asked}
        # A step back inside a tab to before its last section was opened.
        return follow(given, section if given["tab"] == event.here and given.get("section") != section else "")

    def kept_unit(name: str | None, unit: str) -> Any:
        run = page.store.find(name)
        return gr.skip() if not unit or (run and has_unit(run, unit)) else ""

    told, places = [*shown, choice.known, choice.section], [*shown, tabs, choice.section, link.unknown, choice.asked]
    shows = demo.load(listener(opened), None, [*places, *folds], **VIEW)
    choice.switched.then(listener(kept_unit), [choice.run, choice.unit], choice.unit, trigger_mode="multiple", **VIEW)
    first = {**FIRST, "tab": next(iter(ids), "")}
    facts = {"first": first, "base": share_base()}
    script = f"({static('address.js')})({json.dumps(facts)}, {static('copy.js')})"
    changes = [component.change for component in (*shown, tabs, choice.section)]
    # What was said of a copied link goes with the choice that it was a link to.
    gr.on(changes, None, told, link.copied, js=f"{script}.follow", **VIEW)
    link.button.click(None, told, link.copied, js=f"{script}.link", **VIEW)
    way = gr.HTML(js_on_load=static("way.js"), elem_id="way")
    # `way.js` asks for one thing at a time itself; Gradio would forget what is asked for before the last answer.
    goes = way.pick(listener(went), choice.section, [*places, *folds], **VIEW, trigger_mode="multiple")
    for answer, then in ((shows, _OPENED), (goes, _SHOWN)):
        answer.then(None, None, None, js=then, **VIEW)


def read_address(
    saved: Mapping[str, Run],
    places: tuple[Sequence[Any], Sequence[str]],
    parameters: Mapping[str, str],
    first: str | None,
    follows: bool = False,
) -> Asked:
    """Check an address's parameters one by one; what is not known here is left out and named.

    Parameters
    ----------
    saved : mapping of str to Run
        A visitor's own run cannot be asked for.
    places : tuple of two sequences
        The ids of the tabs and of the sections.
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
    tabs, sections = places
    old_tab, old_section = OLD_TABS.get(parameters.get("tab", ""), ("", ""))
    tab = old_tab or take("tab", tabs.__contains__, f"choose one of {', '.join(map(str, tabs))}")
    section = old_section or take("section", sections.__contains__, f"choose one of {', '.join(sections)}")
    if units and scope is None:
        scope = FIRST["scope"]  # a scope that was on show may have no tokens of these units
    return Asked(run, units, scope, unit, tab, section, problems)


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
