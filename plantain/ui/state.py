"""What the tabs share: the runs and the model behind them, the choice that is on show, how listeners are registered."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import wraps
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from plantain import PlantainError
from plantain.findings.published import Published
from plantain.prompts.sets import PromptSet
from plantain.report.labels import run_label
from plantain.runs.info import is_control
from plantain.runs.io import list_runs
from plantain.runs.run import Run
from plantain.runs.scopes import UNITS, scopes_of
from plantain.runs.units import Selection, SelectionError
from plantain.ui import html
from plantain.ui.desk import Desk
from plantain.ui.engine import Engine
from plantain.ui.errors import listener

# Gradio publishes every listener as an endpoint unless told otherwise. Views never wait for a probe.
VIEW = {"queue": False, "api_visibility": "private", "show_progress": "hidden"}

# Slow views: one that is asked for meanwhile is not dropped, but follows.
LATER = {**VIEW, "trigger_mode": "always_last"}

WORK = {"api_visibility": "private", "show_progress": "hidden"}  # every listener shows its own progress

HIDDEN = gr.update(visible=False)


def queued(where: gr.HTML) -> dict[str, Any]:
    """Return `WORK` for a listener that may have to wait; Gradio's line with the place in the queue stands in `where`.

    The component is of the class ``pl-queue``.
    """
    return {**WORK, "show_progress": "minimal", "show_progress_on": where}


@dataclass(frozen=True)
class Page:
    """What the tabs share."""

    store: RunStore
    engine: Engine
    published: Published
    prompt_set: PromptSet
    desk: Desk | None = None  # where the owner publishes; None where no repository is named

    def cost(self, pairs: int, size: int | None, pictures: int = 0) -> str:
        """Say on a button what a call costs at most; nothing where nothing is counted."""
        asked = self.engine.asks(pairs, size, pictures)
        return "" if asked is None else f" (up to {asked} s of your GPU quota)"

    def run(self, name: str | None) -> Run:
        """Return the run of a name; no name, and one that is gone, are errors."""
        if not name:
            raise SelectionError("There is no run: choose one above, or run the probe.")
        return self.store.get(name)

    def control_for(self, run: Run | None) -> Run | None:
        """Return the saved run of an untrained model on the same prompts, made in one way but for the image's size.

        None beside an untrained run itself.
        """
        if run is None or run.info.weights == "untrained":
            return None
        found = (saved for saved in self.store.saved.values() if saved.info.weights == "untrained")
        return next((saved for saved in found if is_control(saved.info, run.info)), None)

    def scopes(self, name: str | None, units: str) -> list[str]:
        """Return the scopes to offer: those of a run that is there, else the usual ones."""
        run = self.store.find(name)
        return run.scopes(units) if run else scopes_of(units)

    def slowly(self, name: str | None, units: str, scope: str, make: Callable[[Run, Selection], str]) -> str:
        """Make HTML that needs a run's slower statistics; no run, and what cannot be said, leaves the place empty."""
        try:
            return make(self.run(name), Selection(units, scope))
        except PlantainError:
            return ""  # said where the figures stand

    def status_html(self) -> str:
        """Show how the model stands."""
        status = self.engine.status()
        loud = " pl-warn" if status.state == "failed" else ""
        return f'<p role="status"><span class="pl-chip{loud}">{escape(status.text)}</span></p>'

    def saved_choices(self) -> list[tuple[str, str]]:
        return [(run_label(name, run.info), name) for name, run in self.store.saved.items()]


@dataclass(frozen=True)
class Choice:
    """The run, units and scope that the page shows, the one unit looked at, and the visitor's own runs.

    `unit` holds a unit's name, such as ``single[7] head 3``, or nothing. It is in the page but not seen, so that a
    click in the map, the pickers and the address bar can all set it. `mine` holds (label, name) of the visitor's runs.
    """

    page: Page
    run: gr.Dropdown
    units: gr.Dropdown
    scope: gr.Dropdown
    unit: gr.Textbox
    mine: gr.State

    @property
    def inputs(self) -> list[gr.components.Component]:
        return [self.run, self.units, self.scope]

    def on_change(self, fn: Callable, inputs: list, outputs: list | gr.components.Component) -> Any:
        """Register a view; the event that is returned can have slower ones follow it."""
        # One listener for all three: of quick changes the last one wins. Old figures are covered until new ones come.
        shown = {**VIEW, "show_progress": "full", "trigger_mode": "always_last"}

        def view(name: str | None, units: str, scope: str, *rest: Any) -> Any:
            return fn(name, units, self.fitting(name, units, scope), *rest)

        return self.relay().then(listener(view), [*self.inputs, *inputs], outputs, **shown)

    def fill(self, tab: gr.Tab, fn: Callable, inputs: list, outputs: list) -> tuple[gr.State, Any, Any]:
        """Register the view of a tab that is filled when it is opened, and follows the choice from then on.

        Call it inside the tab. Returned are whether the tab was opened, and the events of opening and of following.
        """
        opened = gr.State(False)

        def follow(name: str | None, units: str, scope: str, opened: bool, *rest: Any) -> Any:
            return fn(name, units, scope, *rest) if opened else gr.skip()

        first = tab.select(
            listener(lambda *now: (True, *fn(*now))), [*self.inputs, *inputs], [opened, *outputs], **VIEW
        )
        return opened, first, self.on_change(follow, [opened, *inputs], outputs)

    def fitting(self, name: str | None, units: str, scope: str) -> str:
        """Return the scope where the run's units have tokens of it, else all."""
        return scope if scope in self.page.scopes(name, units) else "all"

    def relay(self, *more: Any) -> Any:
        """Return an event that views can follow: any change of the choice, or one of `more` triggers.

        Gradio repeats a deferred event with all of its listeners, so that two views which defer one another never
        stop. After a relay, which only the browser runs, every view is an event of its own.
        """
        return gr.on([*(component.change for component in self.inputs), *more], None, js="() => []", **VIEW)


def or_error(*others: Any) -> Callable[[Callable], Callable]:
    """Guard a view: what cannot be shown is said in the first of its places, and the others are left with `others`."""

    def guard(view: Callable) -> Callable:
        @wraps(view)
        def guarded(*given: Any) -> tuple:
            try:
                return view(*given)
            except PlantainError as error:
                return html.error_html(str(error)), *others

        return guarded

    return guard


def duration(seconds: float) -> str:
    """Write a time for a reader: seconds up to two minutes, then minutes."""
    return f"{max(1, round(seconds))} s" if seconds < 120 else f"{round(seconds / 60)} min"


def short(value: Any) -> Any:
    """Shorten a table's numbers for reading; small p values keep their size."""
    return float(f"{value:.4g}") if isinstance(value, float) else value


KEPT = 8  # visitors' runs; one of full size holds 13 MB


class RunStore:
    """Saved runs of folders, read once, and visitors' runs of this process.

    Parameters
    ----------
    folder : path
        Of runs that are one's own.
    others : mapping of str to path, optional
        Folders of runs that are somebody else's, by whose: a run is called ``NAME (WHOSE)``, and not shown where it is
        one's own.
    notices : sequence of str
        What else the page should say above its tabs.

    Attributes
    ----------
    folder : Path
        Of one's own runs.
    saved : dict of str to Run
    problems : dict of str to str
        Folders that could not be read, with the reason.
    """

    def __init__(
        self, folder: str | Path, others: Mapping[str, str | Path] | None = None, notices: Sequence[str] = ()
    ) -> None:
        self.folder = Path(folder)
        self.saved, self.problems = list_runs(folder)
        own = {(name, run.capture_sha256) for name, run in self.saved.items()}
        for whose, other in (others or {}).items():
            runs, damaged = list_runs(other)
            self.problems |= damaged
            self.saved |= {f"{n} ({whose})": run for n, run in runs.items() if (n, run.capture_sha256) not in own}
        self.notices = tuple(notices)
        self._visitors: OrderedDict[str, Run] = OrderedDict()

    def warm(self) -> None:
        """Compute what the page shows of every saved run before a visitor asks; what is seen first, first."""
        for run in self.saved.values():
            run.summary()
        for run in self.saved.values():
            for units in UNITS:
                for scope in run.scopes(units):
                    with suppress(PlantainError):  # as where a prompt has no token of the scope; the page says so
                        run.headline(Selection(units, scope))

    def refresh(self) -> None:
        """Ask the results repository now whether it has new runs."""

    def add(self, run: Run) -> str:
        """Keep a visitor's run in memory; return its name."""
        name = f"probe-{run.info.date[:16].replace(':', '')}-{secrets.token_hex(4)}"
        self._visitors[name] = run
        while len(self._visitors) > KEPT:
            self._visitors.popitem(last=False)
        return name

    def find(self, name: str | None) -> Run | None:
        """Return a run by name, or None."""
        return self.saved.get(name) or self._visitors.get(name)

    def get(self, name: str) -> Run:
        """Return a run by name.

        Raises
        ------
        SelectionError
            There is no such run, or it was a visitor's and newer ones took its place.
        """
        run = self.find(name)
        if run is None:
            raise SelectionError("There is no run of that name (any more). Choose another, or run the probe again.")
        return run
