"""Turned heads: what the page and its endpoints ask of the device, and how the device answers.

Requests and answers are plain data, which cross to another process. torch is imported on use.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np

from plantain import UsageError
from plantain.findings.heads import chosen_heads, others_like
from plantain.findings.told import IMAGE
from plantain.models.info import ModelInfo
from plantain.models.picture_book.folder import Drawing
from plantain.prompts.sets import SIDES, PromptPair
from plantain.report.labels import pair_sides
from plantain.report.turning import CHANGES, heads_words, turn_sentences
from plantain.runs.attached.pictures import QUALITY
from plantain.runs.info import Conditions, size_fault
from plantain.runs.run import Run
from plantain.runs.seconds import whole_pairs
from plantain.runs.units import unit_table
from plantain.ui.threads import started

if TYPE_CHECKING:
    from plantain.models.load import LoadedModel
    from plantain.probe.turning import Turn


MOST_PIXELS, MOST_STEPS = 1024, 50  # of a drawing that a program asks for


@dataclass(frozen=True)
class Asked:
    """What is turned in a run.

    Attributes
    ----------
    pair : PromptPair
        Of the run.
    spec : str
        The heads as they were asked for, e.g. ``top:10``.
    heads : tuple of int
        Their places in ``unit_table(layout, Selection("heads", "image"))``.
    names : tuple of str
        Their names.
    change : str
        Of `CHANGES`.
    side : {"positive", "negative"}
        The one that is changed.
    """

    pair: PromptPair
    spec: str
    heads: tuple[int, ...]
    names: tuple[str, ...]
    change: str
    side: str


def pair_of(run: Run, pair_id: str) -> PromptPair:
    """Return a run's pair by its id.

    Raises
    ------
    UsageError
        There is none.
    """
    known = {record.pair.id: record.pair for record in run.pairs}
    if pair_id not in known:
        raise UsageError(f"the run has no pair {pair_id[:60]!r}; it has {', '.join(known)[:400]}.")
    return known[pair_id]


def asked_of(run: Run, pair_id: str, spec: str, change: str, side: str) -> Asked:
    """Read what is asked for.

    Raises
    ------
    UsageError
        There is no such pair, change or side.
    SelectionError
        There are no such heads.
    """
    pair = pair_of(run, pair_id)
    for name, value, choices in (("change", change, CHANGES), ("side", side, SIDES)):
        if value not in choices:
            raise UsageError(f"{name} is {value[:60]!r}; give one of {', '.join(choices)}.")
    return _asked(run, pair, spec, chosen_heads(run, spec), change, side)


def beside(run: Run, asked: Asked) -> Asked:
    """Return the same of other heads, to stand beside it: as many of the same blocks; beside random ones the top."""
    kind, _, k = asked.spec.partition(":")
    if kind == "random" and k:
        return asked_of(run, asked.pair.id, f"top:{k}", asked.change, asked.side)
    heads = others_like(run, np.array(asked.heads))
    return _asked(run, asked.pair, "others", heads, asked.change, asked.side)


def _asked(run: Run, pair: PromptPair, spec: str, heads: np.ndarray, change: str, side: str) -> Asked:
    names = unit_table(run.info.layout, IMAGE).names
    return Asked(pair, spec, tuple(heads.tolist()), tuple(names[i] for i in heads), change, side)


@dataclass(frozen=True)
class TurnWork:
    """Turns of one pair, of which the device tells what they do in one step.

    Attributes
    ----------
    asked : tuple of Asked
        Of one pair.
    conditions : Conditions
    pictures : bool
        Decode the expected pictures too.
    seconds : int
        What the call may take, where that is limited.
    """

    asked: tuple[Asked, ...]
    conditions: Conditions
    pictures: bool
    seconds: int = 0

    @property
    def whole_pairs(self) -> float:
        """How many pairs of one measure take as long: two prompts are encoded once, and every turn is a row more."""
        return whole_pairs(self.conditions.size, 1 + len(self.asked) / len(SIDES))

    @property
    def n_pictures(self) -> int:
        return (len(SIDES) + len(self.asked)) * self.pictures


@dataclass(frozen=True)
class DrawWork:
    """A whole drawing of both sides of a pair, and of one with its heads turned.

    Attributes
    ----------
    pair : PromptPair
    asked : Asked or None
        None where nothing is turned.
    drawing : Drawing
    seed : int
        Of the noise.
    seconds : int
        As of `TurnWork`.
    """

    pair: PromptPair
    asked: Asked | None
    drawing: Drawing
    seed: int
    seconds: int = 0

    @property
    def conditions(self) -> Conditions:
        """Size and noise, as a log has them."""
        return Conditions(self.drawing.size, (self.seed,))

    @property
    def whole_pairs(self) -> float:
        """How many pairs of one measure take as long: with guidance every step is two passes."""
        passes = self.drawing.steps * (2 if self.drawing.guidance > 1 else 1)
        sides = len(SIDES) + (self.asked is not None)
        return whole_pairs(self.drawing.size, passes * sides / len(SIDES))


@dataclass(frozen=True)
class TurnedPair:
    """What turns did, in figures.

    Attributes
    ----------
    effect : float
    shares : tuple of (float, float)
        Of every turn.
    change : tuple of float32 array (n_rows, n_columns)
        As `probe.turning.Turned` has them.
    seconds : float
        What the passes took.
    """

    effect: float
    shares: tuple[tuple[float, float], ...]
    change: tuple[np.ndarray, ...]
    seconds: float


@dataclass(frozen=True)
class DrawStep:
    """Steps of a drawing that are done, and those in all."""

    done: int
    total: int


@dataclass(frozen=True)
class DrawnPair:
    """Pictures as WebP: positive, negative, and the side with its heads turned where that was asked for."""

    webp: tuple[bytes, ...]
    seconds: float


@dataclass(frozen=True)
class TurnAnswer:
    """What came of turned heads.

    Attributes
    ----------
    asked : tuple of Asked
        What was asked for, and the other heads beside it.
    turned : TurnedPair
    webp : tuple of bytes
        The expected pictures: positive, negative, then of everything asked; empty where none were drawn.
    model : ModelInfo
        As the device saw it.
    """

    asked: tuple[Asked, ...]
    turned: TurnedPair
    webp: tuple[bytes, ...]
    model: ModelInfo


@dataclass(frozen=True)
class DrawAnswer:
    """What came of a whole drawing."""

    work: DrawWork
    drawn: DrawnPair
    model: ModelInfo


def answer_sentences(answer: TurnAnswer, run: Run) -> list[str]:
    """Say what turned heads do: what was asked for, what stands beside it, and whose weights these are."""
    asked, *_ = answer.asked
    words = [heads_words(one.spec, one.names) for one in answer.asked]
    return turn_sentences(run.info, words, asked.change, side_names(run, asked), answer.turned.shares)


def side_names(run: Run, asked: Asked) -> tuple[str, str]:
    """Name the side that is changed, and the other one."""
    sides = pair_sides(asked.pair, (run.info.positive, run.info.negative))
    return sides if asked.side == SIDES[0] else sides[::-1]


def drawing(own: Drawing, size: int, steps: int) -> Drawing:
    """Return how a model is drawn with, with other sizes and steps where they are not 0; see `Engine.draw_work`."""
    wanted = Drawing(size or own.size, steps or own.steps, own.guidance)
    if fault := size_fault(wanted.size):
        raise UsageError(fault)
    if wanted.size > max(MOST_PIXELS, own.size) or not 1 <= wanted.steps <= max(MOST_STEPS, own.steps):
        raise UsageError(f"at most {MOST_PIXELS} px and {MOST_STEPS} steps are drawn here; choose fewer, or 0.")
    return wanted


# --- on the device -----------------------------------------------------------------------------------------


def turn(model: LoadedModel, work: TurnWork, alone: AbstractContextManager) -> tuple[TurnedPair, Any]:
    """Run a pair's turns; return figures, and the expected images as latents."""
    from plantain.probe.turning import turn_pair

    start = time.perf_counter()

    def passes() -> Any:
        with alone:
            return turn_pair(model.pipe, work.asked[0].pair, work.conditions, [_turn(one) for one in work.asked])

    found = started(passes).result()
    shares = tuple((float(on), float(off)) for on, off in found.shares)
    return TurnedPair(found.effect, shares, tuple(found.change), time.perf_counter() - start), found.expected


def drawn(model: LoadedModel, work: DrawWork, alone: AbstractContextManager) -> Iterator[DrawStep | DrawnPair]:
    """Draw a pair, telling every step; a generator that is closed ends the drawing within a step."""
    from plantain._files.pictures import webp
    from plantain.probe.turning import draw_turned

    start, steps, closed = time.perf_counter(), SimpleQueue(), threading.Event()
    made = None if work.asked is None else _turn(work.asked)

    def tick(done: int, total: int) -> None:
        if closed.is_set():
            raise _Closed
        steps.put(DrawStep(done, total))

    def passes() -> list[Any]:
        try:
            with alone:
                tick(0, work.drawing.steps)
                return draw_turned(model.pipe, work.pair, made, work.drawing, work.seed, tick)
        finally:
            steps.put(None)

    result = started(passes)
    try:
        while (step := steps.get()) is not None:
            yield step
        images = result.result()
    finally:
        closed.set()
    yield DrawnPair(tuple(webp(image, QUALITY) for image in images), time.perf_counter() - start)


class _Closed(Exception):
    """Nobody waits for the drawing any more."""


def _turn(asked: Asked) -> Turn:
    from plantain.probe.turning import Turn

    return Turn(asked.side, np.array(asked.heads), CHANGES[asked.change])
