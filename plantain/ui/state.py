"""What the tabs share: the runs and the model behind them, the choice that is on show, how listeners are registered."""

from __future__ import annotations

import json
import logging
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import wraps
from html import escape
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import gradio as gr

from plantain import PlantainError
from plantain.findings.directions import directions, keeps_directions
from plantain.findings.held_out import Beside, HeldOut, cached, fitting, held_out
from plantain.findings.published import CARD_SIZE, Published, same_question
from plantain.findings.roles import known_role
from plantain.models.info import CONTROLS
from plantain.prompts.sets import PromptSet
from plantain.report.labels import run_label
from plantain.report.numbers import duration
from plantain.runs.arrivals import Arrivals
from plantain.runs.info import control_rank, is_control
from plantain.runs.io import INTERVENTIONS, RUN_JSON, list_runs
from plantain.runs.run import Run
from plantain.runs.scopes import UNITS, scopes_of
from plantain.runs.units import Selection, SelectionError
from plantain.ui import html
from plantain.ui.desk import Desk
from plantain.ui.engine import Engine
from plantain.ui.errors import listener
from plantain.ui.log import write_line
from plantain.ui.watch import Watch

_log = logging.getLogger(__name__)

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

    @property
    def first_set(self) -> PromptSet:
        """What "Run the probe" runs unless something else is chosen, in the loaded model's words."""
        return self.engine.first_set(self.prompt_set)

    @property
    def first(self) -> str | None:
        """The saved run that a page shows by itself.

        None where there is none, and where there are only those of a stand-in or a control: their numbers answer
        nothing, so they are shown where somebody chooses them. Where the model is Klein's, the practice model's are
        none either.
        """
        name, run = next(iter(self.store.saved.items()), (None, None))
        opens = _OPENS[:1] if self.engine.is_kleins else _OPENS
        return name if run and run.info.weights in opens else None

    @property
    def has_klein(self) -> bool:
        """Whether a saved run is of pretrained weights."""
        return any(run.info.weights == "pretrained" for run in self.store.saved.values())

    @property
    def known(self) -> str:
        """What an open page knows of the saved runs, as JSON: by it a page sees that it is behind."""
        generation = self.store.generation  # first: what is read after it is no older
        return json.dumps({"generation": generation, "runs": list(self.store.saved), "first": self.first or ""})

    def price(self, pairs: int, size: int | None) -> str:
        """Say what a call costs, of the visitor's quota or in time; nothing where neither is known."""
        asked, each = self.engine.asks(pairs, size), self.engine.expected_per_pair(size)
        if asked is not None:
            return f"about {asked} s of your GPU quota"
        return "" if each is None else f"about {duration(each * pairs)}"

    def cost_of(self, asked: int | None, pairs: float, size: int) -> str:
        """Say on a button what work costs: of the quota where one is asked for, else in time where that is known."""
        if asked is not None:
            return f" (up to {asked} s of your GPU quota)"
        each = self.engine.expected_per_pair(size)
        return "" if each is None else f" (about {duration(each * pairs)})"

    def run(self, name: str | None) -> Run:
        """Return the run of a name; no name, and one that is gone, are errors."""
        if not name:
            raise SelectionError("There is no run: choose one above, or run the probe.")
        return self.store.get(name)

    def control_for(self, run: Run | None) -> Run | None:
        """Return the saved run of an untrained model on the same prompt set, made in one way but for the image's size.

        Of several the first by `runs.info.control_rank`. None beside a control itself.
        """
        if run is None or run.info.weights in CONTROLS:
            return None
        found = (saved for saved in self.store.saved.values() if saved.info.weights == "untrained")
        fits = [saved for saved in found if is_control(saved.info, run.info)]
        return min(fits, key=lambda saved: control_rank(saved.info, run.info), default=None)

    def beside(self, run: Run) -> Beside:
        """Return the saved runs that stand beside a run's headline: its replication, and controls."""
        return fitting(run, self.store.saved)

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
        if status.state == "ready" and not status.why:  # whose weights these are stands where its numbers do
            return f'<p role="status" class="pl-small">Loaded: {escape(self.engine.model_name or "a model")}.</p>'
        loud = " pl-warn" if status.why else ""
        return f'<p role="status"><span class="pl-chip{loud}">{escape(status.text)}</span></p>'

    def mismatch(self, name: str | None) -> str | None:
        """Say why no pair can be compared with a run, or None where one can or no run is chosen."""
        try:
            return self.engine.mismatch(self.run(name)) if name else None
        except PlantainError as error:
            return str(error)

    def turns(self, name: str | None) -> bool:
        """Tell whether there are heads to turn: the run's interventions, or the loaded model is the run's."""
        run = self.store.find(name)
        if run is None:
            return False
        found = run.folder is not None and (run.folder / INTERVENTIONS).is_dir()
        return found or (self.engine.status().state == "ready" and self.mismatch(name) is None)

    def fitting(self, mine: list[tuple[str, str]]) -> tuple[str, str] | None:
        """Find a run that the loaded model made: (label, name)."""
        known = ((label, name) for label, name in [*self.saved_choices(), *mine] if self.store.find(name))
        return next((one for one in known if self.mismatch(one[1]) is None), None)

    def saved_choices(self) -> list[tuple[str, str]]:
        return [(run_label(name, run.info), name) for name, run in self.store.saved.items()]


@dataclass(frozen=True)
class Choice:
    """The run, units and scope that the page shows, the one unit looked at, and the visitor's own runs.

    `unit` holds a unit's name, such as ``single[7] head 3``, or nothing. It is in the page but not seen, so that a
    click in the map, the pickers and the address bar can all set it. `mine` holds (label, name) of the visitor's runs.
    `known`, not seen either, holds `Page.known` as this page has it. `asked` holds the run that the address asks for
    while it is not here: it may still arrive. `section`, not seen, holds the id of the folded part that was opened
    last. `changed` is the event of any change of the choice, `switched` of the run alone. They are relays: the browser
    calls a component's own listeners one after the other, each after the last one's answer, and a relay's all at once.
    What is built lazily makes a relay of its own.
    """

    page: Page
    run: gr.Dropdown
    units: gr.Dropdown
    scope: gr.Dropdown
    unit: gr.Textbox
    mine: gr.State
    known: gr.Textbox
    asked: gr.State
    section: gr.Textbox
    changed: Any = field(init=False)
    switched: Any = field(init=False)

    def __post_init__(self) -> None:
        # One for all views: the browser walks every listener for every component before it shows the page.
        object.__setattr__(self, "changed", self.relay())
        object.__setattr__(self, "switched", self.relay_of(self.run.change))

    @property
    def inputs(self) -> list[gr.components.Component]:
        return [self.run, self.units, self.scope]

    def on_change(self, fn: Callable, inputs: list, outputs: list | gr.components.Component) -> Any:
        """Register a view; the event that is returned can have slower ones follow it."""
        # One listener for all three: of quick changes the last one wins. Old figures are covered until new ones come.
        shown = {**VIEW, "show_progress": "full", "trigger_mode": "always_last"}

        def view(name: str | None, units: str, scope: str, *rest: Any) -> Any:
            return fn(name, units, self.fitting(name, units, scope), *rest)

        return self.changed.then(listener(view), [*self.inputs, *inputs], outputs, **shown)

    def fitting(self, name: str | None, units: str, scope: str) -> str:
        """Return the scope where the run's units have tokens of it, else all."""
        return scope if scope in self.page.scopes(name, units) else "all"

    def relay(self, *more: Any) -> Any:
        """Return an event that views can follow: any change of the choice, or one of `more` triggers.

        Gradio repeats a deferred event with all of its listeners, so that two views which defer one another never
        stop. After a relay, which only the browser runs, every view is an event of its own.
        """
        return self.relay_of(*(component.change for component in self.inputs), *more)

    def relay_of(self, *triggers: Any) -> Any:
        """Return such an event for these triggers alone."""
        return gr.on(list(triggers), None, js="() => []", **VIEW)


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


def short(value: Any) -> Any:
    """Shorten a table's numbers for reading; small p values keep their size."""
    return float(f"{value:.4g}") if isinstance(value, float) else value


KEPT = 8  # visitors' runs; one of full size holds 13 MB

WAITING_HELPS = 1  # the exit code of such errors

_TRIED = "Shown are those that are here; it is tried again."


_FIRST_KINDS = ("pretrained", "local", "practice")  # of weights; what is random comes after them

_OPENS = _FIRST_KINDS  # a page by itself


def _place(run: Run) -> tuple[int, bool, bool, bool]:
    """Sort runs by their weights; of each kind the card's question and passes first, its size, its axis."""
    kind = _FIRST_KINDS.index(run.info.weights) if run.info.weights in _FIRST_KINDS else len(_FIRST_KINDS)
    like_card = same_question(run) and run.info.is_plain
    is_axis = known_role(run.info.prompts_sha256, run.info.role) == "axis"
    return kind, not like_card, run.info.size != CARD_SIZE, not is_axis


@dataclass(frozen=True)
class _Theirs:
    """Somebody else's runs as they are now; see `RunStore`."""

    runs: dict[str, Run] = field(default_factory=dict)
    files: dict[str, tuple[int, ...]] = field(default_factory=dict)  # of every run, what changes when another comes
    damaged: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    arriving: int = 0
    trouble: str = ""  # which may pass by itself
    fault: str = ""  # which only the owner can mend

    def with_runs(self, folder: Path) -> _Theirs:
        """Read what is new in the folder."""
        now = {name: seen for name in _names(folder) if (seen := _identity(folder / name))}
        known = {name: run for name, run in self.runs.items() if now.get(name) == self.files.get(name)}
        runs, damaged = list_runs(folder, known)
        return replace(self, runs=runs, files=now, damaged=damaged)


def _names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except OSError:
        return []  # there is none yet


def _identity(folder: Path) -> tuple[int, ...] | None:
    """Return what changes when another run takes the folder's place; None where there is no run."""
    with suppress(OSError):
        found = (folder / RUN_JSON).stat()
        return found.st_ino, found.st_mtime_ns, found.st_size
    return None


def _warm_first(run: Run) -> None:
    run.summary()
    cached(run)
    if keeps_directions(run):
        directions(run)


def _warm_views(run: Run) -> None:
    for units in UNITS:
        for scope in run.scopes(units):
            with suppress(PlantainError):  # as where a prompt has no token of the scope; the page says so
                run.headline(Selection(units, scope))


_WARMERS = _warm_first, _warm_views


Look = Callable[[Callable[[Arrivals], None]], None]
"""Looks once for runs that arrive from elsewhere: tells the callable how far it is, raises `PlantainError`."""


class RunStore:
    """Saved runs of folders, those that arrive while the page is up, and visitors' runs of this process.

    Readers are in other threads than the one that brings runs: what they read is replaced whole, never changed.

    Parameters
    ----------
    folder : path
        Of runs that are one's own.
    others : mapping of str to path, optional
        Folders of runs that are somebody else's, by whose: a run is called ``NAME (WHOSE)``, and not shown where it is
        one's own.

    Attributes
    ----------
    folder : Path
        Of one's own runs.
    saved : dict of str to Run
        Those of pretrained weights first, then of local ones and of the practice model; of each kind those that repeat
        the published card's probe.
    problems : dict of str to str
        Runs that cannot be shown, by folder, with the reason.
    notices : tuple of str
        What else the page should say.
    faults : tuple of str
        What only the owner can mend, such as a repository that is not there: a visitor sees the page as if nothing were
        published.
    arriving : int
        Runs that are known of and not here yet.
    follows : bool
        Whether there are others, whose runs may arrive at any time.
    generation : int
        Grows with every change of the above.
    changed : callable
        Called after every change, in the thread that brought it; to be set by whoever has to know.
    """

    def __init__(self, folder: str | Path, others: Mapping[str, str | Path] | None = None) -> None:
        self.folder = Path(folder)
        self._own, self._damaged = list_runs(folder)
        self._theirs: dict[str, _Theirs] = {}
        self.follows = bool(others)
        self._watches: list[Watch] = []
        self._warmed: tuple[WeakSet[Run], ...] = tuple(WeakSet() for _ in _WARMERS)
        self._news, self._closed = threading.Event(), False
        self._writing = threading.Lock()
        self._visitors: OrderedDict[str, Run] = OrderedDict()
        self._headlines: WeakKeyDictionary[Run, tuple[int, HeldOut]] = WeakKeyDictionary()
        self.generation = 0
        self.changed: Callable[[], None] = lambda: None  # called after a change, in the thread that brought it
        for whose, other in (others or {}).items():
            self._theirs[whose] = _Theirs().with_runs(Path(other))
        self._publish()

    def _publish(self) -> None:
        """Put everything together anew."""
        own = {(name, run.capture_sha256) for name, run in self._own.items()}
        saved, problems, notices = dict(self._own), dict(self._damaged), []
        folders = {name: name for name in saved}
        for whose, theirs in self._theirs.items():
            more = {n: run for n, run in theirs.runs.items() if (n, run.capture_sha256) not in own}
            saved |= {f"{n} ({whose})": run for n, run in more.items()}
            folders |= {f"{n} ({whose})": n for n in more}
            problems |= theirs.damaged
            notices += [*theirs.refused.values(), *filter(None, (theirs.trouble,))]
        self.saved = dict(sorted(saved.items(), key=lambda item: _place(item[1])))  # stable: else the order stays
        self._folders = folders
        self.problems, self.notices = problems, tuple(notices)
        self.faults = tuple(theirs.fault for theirs in self._theirs.values() if theirs.fault)
        self.arriving = sum(theirs.arriving for theirs in self._theirs.values())
        self.refused = {f"{name} ({whose})" for whose, theirs in self._theirs.items() for name in theirs.refused}
        self.generation += 1
        self._news.set()

    def watch(self, whose: str, look: Look) -> None:
        """Show runs that arrive, from now on until `close`.

        Parameters
        ----------
        whose : str
            As in `others`.
        look : callable
            Looks once; it is called again and again, in a thread of its own.
        """

        def change(**facts: Any) -> None:
            with self._writing:
                self._theirs[whose] = replace(self._theirs.get(whose, _Theirs()), **facts)
                self._publish()
            self.changed()

        def arrived(news: Arrivals) -> None:
            with self._writing:
                theirs = self._theirs.get(whose, _Theirs()).with_runs(news.folder)
                self._theirs[whose] = replace(theirs, arriving=news.arriving, refused=news.refused)
                self._publish()
            self.changed()

        def once() -> bool:
            start, before = time.perf_counter(), self.generation
            try:
                look(arrived)
                error = None
                told = self._theirs.get(whose, _Theirs())
                if told.trouble or told.fault:
                    change(trouble="", fault="")
            except Exception as caught:  # the thread must not die without a word
                error, told = caught, self._theirs.get(whose, _Theirs())
                found = self._told(error)
                if found != {"trouble": told.trouble, "fault": told.fault} or told.arriving:
                    change(**found, arriving=0)
            if self.generation != before:
                counts = {"shown": len(self.saved), "arriving": self.arriving, "damaged": len(self.damaged)}
                outcome = {"outcome": "ok"}
                if error:
                    why = {"why": str(error)} if isinstance(error, PlantainError) else {}
                    outcome = {"outcome": "failed", "error": type(error).__name__, **why}
                write_line("published runs", start, **outcome, **counts)
            return error is None

        watch = Watch(once, "published runs")
        self._watches.append(watch)
        watch.start()

    @staticmethod
    def _told(error: Exception) -> dict[str, str]:
        """Say why runs were not brought: to everybody what may pass by itself, to the owner what is theirs to mend."""
        if isinstance(error, PlantainError) and error.exit_code != WAITING_HELPS:
            return {"trouble": "", "fault": f"Published runs are not shown on this page. {error} It is tried again."}
        said = str(error) if isinstance(error, PlantainError) else f"({type(error).__name__})"
        return {"trouble": f"Published runs were not brought. {said} {_TRIED}", "fault": ""}

    def refresh(self, patience: float = 10.0) -> None:
        """Look at once for runs that arrive, and wait for it, at most so many seconds; harmless without any watch."""
        for watch in self._watches:
            watch.ask(patience)

    def close(self) -> None:
        """End all watches, and warming up."""
        self._closed = True
        self._news.set()
        for watch in self._watches:
            watch.stop()

    @property
    def damaged(self) -> list[str]:
        """The names of all runs that cannot be shown."""
        return sorted({*self.problems, *self.refused})

    def warm(self) -> None:
        """Compute what the page shows of every saved run before a visitor asks; what is seen first, first."""
        while not self._closed and (found := self._cold()):
            stage, run = found
            self._warmed[stage].add(run)
            _WARMERS[stage](run)
            if stage == 0 and run is next(iter(self.saved.values())):
                self._warm_opening(run)

    def _warm_opening(self, run: Run) -> None:
        """Compute the headline of the run that pages open on with what stands beside it; they open with it then."""
        with suppress(PlantainError):  # the page says so
            self.headline(run)
            self.changed()

    def headline(self, run: Run) -> HeldOut:
        """Return a run's headline with all that stands beside it among the saved runs.

        Raises
        ------
        PlantainError
            As `held_out` does.
        """
        generation = self.generation  # first: what is read after it is no older
        found = self.headline_here(run)
        if found is None:
            found = held_out(run, **vars(fitting(run, self.saved)))
            self._headlines[run] = generation, found
        return found

    def headline_here(self, run: Run) -> HeldOut | None:
        """Return the same where it was computed with the runs that are here now, else None."""
        generation, found = self._headlines.get(run, (None, None))
        return found if generation == self.generation else None

    def keep_warm(self) -> None:
        """Warm up now, and again whenever a run has arrived, until `close`."""
        while not self._closed:
            self._news.clear()
            try:
                self.warm()
            except Exception:  # of a run that nobody foresaw: the others follow
                _log.exception("a run could not be warmed up")
                continue
            self._news.wait()

    def _cold(self) -> tuple[int, Run] | None:
        """Return what is to be computed next: the first stage of all runs comes before the second one of any."""
        runs = list(self.saved.values())
        stages = enumerate(self._warmed)
        return next(((stage, run) for stage, warmed in stages for run in runs if run not in warmed), None)

    def add(self, run: Run) -> str:
        """Keep a visitor's run in memory; return its name."""
        name = f"probe-{run.info.date[:16].replace(':', '')}-{secrets.token_hex(4)}"
        self._visitors[name] = run
        while len(self._visitors) > KEPT:
            self._visitors.popitem(last=False)
        return name

    def folder_of(self, name: str | None) -> str:
        """Return the name of a saved run's folder; nothing for a visitor's own run."""
        return self._folders.get(name, "")

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
