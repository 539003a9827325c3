"""Parts of the page that are built when somebody first opens them.

Before it shows a page, the browser walks every listener of it: what few visitors open is not there until they do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from plantain.ui.errors import listener
from plantain.ui.state import LATER, VIEW, Choice
from plantain.ui.theme import static

CHOICE_NOW, UNIT_NOW = "choice-now", "unit-now"


@dataclass(frozen=True)
class Section:
    """A part of a tab that is folded until somebody opens it, or the address or its tab does.

    Attributes
    ----------
    id : str
        As in the address.
    fold : gr.Accordion
        Its content is built inside it.
    asked : gr.Textbox
        Not seen; it changes once, when the section is first opened.
    """

    id: str
    fold: gr.Accordion
    asked: gr.Textbox


def section(id: str, title: str, on_show: gr.Textbox) -> Section:
    """Build a folded part of a tab.

    Parameters
    ----------
    id : str
        As in the address.
    title : str
    on_show : gr.Textbox
        Holds the id of the section that was opened last, for the address.

    Returns
    -------
    Section
    """
    asked = unseen(title)
    fold = gr.Accordion(title, open=False, elem_id=f"section-{id}", elem_classes="pl-section")
    fold.expand(None, None, [asked, on_show], js=f"() => ['yes', '{id}']", **VIEW)
    # By a step back another section may have been opened in place of this one.
    fold.collapse(None, on_show, on_show, js=f"(shown) => (shown === '{id}' ? '' : shown)", **VIEW)
    return Section(id, fold, asked)


def unseen(label: str) -> gr.Textbox:
    """Build a component that is in the page but not seen: what it holds is for listeners and for the address."""
    # A style hides it: inside a tab, Gradio shows what is `visible="hidden"` as soon as its value changes.
    return gr.Textbox("", label=label, elem_classes="pl-unseen", container=False)


def lazily(asked: gr.Textbox, build: Callable[[], Any]) -> None:
    """Have something built in this place at the first change of a component.

    Parameters
    ----------
    asked : gr.Textbox
        May change once.
    build : callable
        Adds components and listeners, as in a `gr.Blocks`. Listeners may use what stands elsewhere on the page, but
        have no trigger there (see `follows`). An input with a value has to say that it is interactive: Gradio asks the
        listeners of the page as it was served.
    """

    @gr.render(triggers=[asked.change], queue=False)
    def content() -> None:
        listener(build)()


def fill(
    choice: Choice, fn: Callable, inputs: list, outputs: list | gr.components.Component, followed: Any = None
) -> Any:
    """Register the view of a part that is built lazily; call it while the part is built.

    Parameters
    ----------
    choice : Choice
    fn : callable
        Takes the run's name, units, a scope that they have, and what `inputs` hold.
    inputs, outputs : list of components
    followed : event, optional
        From `follows`, where the part has it for other listeners too.

    Returns
    -------
    event
        Of the first view and of every later one.
    """

    def view(name: str | None, units: str, scope: str, *rest: Any) -> Any:
        return fn(name, units, choice.fitting(name, units, scope), *rest)

    # Old figures are covered until new ones come.
    shown = {**LATER, "show_progress": "full"}
    relay = choice.relay_of(followed or follows())
    return relay.then(listener(view), [*choice.inputs, *inputs], outputs, **shown)


def follows(*, unit: bool = False) -> Any:
    """Return an event that comes when what is being built stands in the browser, and at every change of the choice.

    A listener of a part that is built lazily may have no trigger outside of it: where the page itself has listeners for
    the same trigger, Gradio's page would call the part's instead of them.

    Parameters
    ----------
    unit : bool
        Also at every change of the unit that is looked at.
    """
    told = unseen("Followed")
    watched = " ".join((CHOICE_NOW, *([UNIT_NOW] if unit else [])))
    watch = gr.HTML(watched, js_on_load=static("follow.js"), elem_classes="pl-unseen")
    watch.pick(None, None, told, js="() => String(performance.now())", **VIEW)
    return told.change


def followed_by_parts(choice: Choice) -> None:
    """Write the choice where `follows` sees it change; call it once, outside of every part."""
    for elem_id, shown in ((CHOICE_NOW, choice.inputs), (UNIT_NOW, [choice.unit])):
        now = gr.HTML(elem_id=elem_id, elem_classes="pl-unseen")
        changes = [component.change for component in shown]
        gr.on(changes, None, shown, now, js="(...now) => String(performance.now())", **VIEW)
