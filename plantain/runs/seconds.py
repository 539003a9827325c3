"""What work costs in seconds: a table of measurements, and what the work at hand adds to it.

The table holds Klein 4B's shape only; a model of another shape starts with nothing and learns.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Annotated

from pydantic import Field, TypeAdapter
from pydantic.dataclasses import dataclass

from plantain._files import STRICT

PAIR = "pair"  # both prompts encoded and passed once, with hooks
TURN = "turn"  # a pair's worth of passes in which heads are turned
DRAWING = "drawing"  # a pair's worth of passes of a whole drawing, decoding included
PICTURE = "picture"  # one latent decoded by the VAE
COLD = "cold start"  # a worker of ZeroGPU moves the weights to its card; of no size

ZERO_GPU, H200 = "ZeroGPU", "NVIDIA H200"

_TABLE = Path(__file__).with_suffix(".json")

_KEPT = 25  # last measurements of one kind, size and device

_ENCODING = 477  # tokens of a pass that take as long as encoding its prompt: 9.0 s beside 14.5 s for 768 tokens

_TEXT_TOKENS = {PAIR: 512, TURN: 512, DRAWING: 512, PICTURE: 0}  # beside the image's, one for every 16 x 16 pixels


@dataclass(frozen=True, config=STRICT)
class Timed:
    """Seconds that one piece of work took.

    Attributes
    ----------
    kind : str
        `PAIR`, `PICTURE` or `COLD`; what is learned may also be `TURN` or `DRAWING`.
    size : int
        Height and width of the image in pixels; 0 where there is none.
    seconds : float
    device : str
    source : str
        Whose seconds these are, in words.
    """

    kind: str
    size: Annotated[int, Field(ge=0)]
    seconds: Annotated[float, Field(gt=0)]
    device: str
    source: str


@dataclass(frozen=True)
class Estimate:
    """Seconds that a piece of work will take.

    Attributes
    ----------
    seconds : float
    source : str
        What they rest on, in words.
    measured : bool
        Whether such work was timed here, at this size on this device.
    """

    seconds: float
    source: str
    measured: bool


def whole_pairs(size: int, repeats: float) -> float:
    """Return how many pairs of one measure take as long as one pair of several: its prompts are encoded once.

    Parameters
    ----------
    size : int
        Of the image in pixels.
    repeats : float
        Measures of the pair, one pass each for both sides.
    """
    each = _tokens(PAIR, size)
    return (_ENCODING + repeats * each) / (_ENCODING + each)


def pairs_of_rows(size: int, n_rows: int) -> float:
    """Return how many pairs of one measure take as long as some prompts that only go through the transformer.

    Parameters
    ----------
    size : int
        Of the image in pixels.
    n_rows : int
        Prompts, which are encoded already.
    """
    return n_rows * (whole_pairs(size, 2) - whole_pairs(size, 1)) / 2


class Seconds:
    """What the work of one model costs.

    Parameters
    ----------
    table : iterable of Timed
        Known before anything is measured; `klein_table()` for a model of Klein 4B's shape.

    Examples
    --------
    >>> from plantain.runs.seconds import H200, PAIR, Seconds, klein_table
    >>> known = Seconds(klein_table())
    >>> round(24 * known.estimate(PAIR, 1024, H200).seconds, 1)
    7.5
    >>> known.learn(PAIR, 1024, 0.5, H200)
    >>> known.estimate(PAIR, 1024, H200).seconds
    0.5
    """

    def __init__(self, table: Iterable[Timed] = ()) -> None:
        self.table = tuple(table)
        self._learned: dict[tuple[str, str], dict[int, deque[float]]] = {}

    def learn(self, kind: str, size: int, seconds: float, device: str) -> None:
        """Take in what a piece of work took."""
        sizes = self._learned.setdefault((kind, device), {})
        sizes.setdefault(size, deque(maxlen=_KEPT)).append(seconds)

    def count(self, kind: str, size: int, device: str) -> int:
        """Return how many measurements an estimate rests on."""
        return len(self._learned.get((kind, device), {}).get(size, ()))

    def estimate(self, kind: str, size: int, device: str) -> Estimate | None:
        """Say what a piece of work will take; None where neither it nor its like was measured.

        What was measured here comes first, as the median of the last 25. Another size measured here is scaled as the
        table's devices scale, or with the number of tokens.
        """
        here = {at: median(found) for at, found in self._learned.get((kind, device), {}).items()}
        if size in here:
            return Estimate(here[size], "measured here", True)
        rows = [row for row in self.table if row.kind == kind and _same(row.device, device)]
        shipped = {row.size: row.seconds for row in rows}
        if here:
            nearest = min(here, key=lambda at: abs(at - size))
            scale = _scaled(kind, shipped, size) / _scaled(kind, shipped, nearest)
            return Estimate(here[nearest] * scale, f"measured here at {nearest} px", False)
        if not shipped:
            return None
        source = min(rows, key=lambda row: abs(row.size - size))
        return Estimate(_scaled(kind, shipped, size), f"{source.device}, {source.source}", False)


def klein_table() -> tuple[Timed, ...]:
    """Read the shipped measurements of Klein 4B's shape."""
    return tuple(TypeAdapter(tuple[Timed, ...]).validate_json(_TABLE.read_bytes()))


def _same(shipped: str, device: str) -> bool:
    """Tell whether a table's device is meant: ``H200`` and ``cuda (NVIDIA H200)`` both mean an NVIDIA H200.

    By whole words, for an H20 is another card; and a slice of a card (MIG) is not the card.
    """
    one, other = (re.findall(r"[a-z0-9.]+", name.casefold()) for name in (shipped, device))
    if not other or ("mig" in other) != ("mig" in one):
        return False
    return _within(one, other) or _within(other, one)


def _within(words: list[str], others: list[str]) -> bool:
    """Tell whether some words stand in others, one after the other."""
    return any(others[i : i + len(words)] == words for i in range(len(others) - len(words) + 1))


def _scaled(kind: str, known: dict[int, float], size: int) -> float:
    """Return the seconds at a size: between two known ones by tokens; beyond them proportional, never less."""
    tokens = {at: _tokens(kind, at) for at in known}
    if size in known:
        return known[size]
    if not known:
        return float(_tokens(kind, size))
    below = max((at for at in known if at < size), default=None)
    above = min((at for at in known if at > size), default=None)
    if below is None:  # small images wait for the launch of kernels, not for their arithmetic
        return known[above] if kind == PAIR else known[above] * _tokens(kind, size) / tokens[above]
    if above is None:
        return known[below] * _tokens(kind, size) / tokens[below]
    part = (_tokens(kind, size) - tokens[below]) / (tokens[above] - tokens[below])
    return known[below] + part * (known[above] - known[below])


def _tokens(kind: str, size: int) -> int:
    return max(1, _TEXT_TOKENS.get(kind, 0) + (size // 16) ** 2)
