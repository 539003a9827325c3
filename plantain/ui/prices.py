"""The seconds that a call asks of the device: by what its like took, and with a cold start only where one is due.

On ZeroGPU a call that takes longer than it asked for is killed, and one that asks for much is refused to visitors with
little quota left. So the seconds are learned from what workers measured, with a margin that shrinks as they add up.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from plantain import PlantainError
from plantain.runs.info import Conditions
from plantain.runs.run import Run
from plantain.runs.seconds import COLD, PAIR, PICTURE, ZERO_GPU, Seconds, klein_table, whole_pairs
from plantain.runs.units import Layout
from plantain.ui.log import logged

Quota = Callable[[int], int]
"""Seconds of a call -> seconds that are held against a visitor's quota."""

WARM = 30  # seconds after an answer in which ZeroGPU is trusted to use its worker again; nothing was measured there

BELIEVED = 2  # times more or less than the table's that a saved run's seconds may be, where calls are killed by them

DEFAULT_SIZE = 1024  # of an image on a GPU

MANY = 10  # pairs that one piece of work takes as long as, from which its slower first pass does not count

CARD = "RTX PRO 6000"  # in the name that ZeroGPU's hardware gives itself


def margin(seconds: float, measured: int) -> float:
    """Add to an estimate what it may be wrong by: half of it and 3 s, of many measurements a sixth and a second."""
    return seconds * (1.15 + 0.35 / (1 + measured)) + 1 + 2 / (1 + measured)


class Prices:
    """What the calls of one device ask for, and what they took.

    Parameters
    ----------
    quota : callable, optional
        Where there is a quota; without one nothing is asked for, but what the work takes is learned all the same.
    known : Seconds, optional
        The shipped table unless given.
    clock : callable
        Seconds since some moment.
    """

    def __init__(
        self, quota: Quota | None = None, known: Seconds | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.quota, self.known, self._clock = quota, known or Seconds(klein_table()), clock
        self.device = ZERO_GPU if quota else ""  # elsewhere as the loaded model says
        self._warm_for = float(WARM)
        self._saved: Counter[int] = Counter()  # by size the saved runs that were learned from: nobody timed them here
        self._lock, self._under_way, self._answered, self._last = threading.Lock(), 0, -math.inf, PAIR

    # --- before a call ---

    def seconds(self, pairs: float, size: int | None, pictures: int = 0, cold: bool = True, kind: str = PAIR) -> int:
        """Return the seconds to ask for.

        Parameters
        ----------
        pairs : float
            Of one measure; see `whole_pairs` for those of several.
        size : int or None
            Of the image; None for a GPU's default.
        pictures : int
            Latents to decode.
        cold : bool
            Ask for a worker's start too.
        kind : str
            What the pairs' passes are for: `PAIR`, `TURN` or `DRAWING`. The last two cost what a pair does until one
            was timed here.
        """
        size = size or DEFAULT_SIZE
        pair = self._each(kind, size) or self._each(PAIR, size)
        picture, start = self._each(PICTURE, size), self._each(COLD, 0)
        here = self.known.count(kind, size, self.device)
        if kind == PAIR:
            here = max(0, here - self._saved[size])
        asked = margin(pairs * pair + pictures * picture, here)
        if cold:  # the shipped guess is generous by itself
            n = self.known.count(COLD, 0, self.device)
            asked += margin(start, n) if n else start
        return math.ceil(asked)

    def asks(self, pairs: float, size: int | None, pictures: int = 0, kind: str = PAIR) -> int | None:
        """Return what a call may hold against a visitor's quota at most: with a cold start. None without a quota."""
        return self.quota(self.seconds(pairs, size, pictures, kind=kind)) if self.quota else None

    def warm(self, kind: str = PAIR) -> bool:
        """Tell whether the next call of a kind will find a worker that has the weights on its card.

        Only where an answer of this kind came a moment ago and no other call is under way: a start that was not asked
        for would have the call killed. ZeroGPU has workers of its own for every decorated function.
        """
        recent = self._clock() - self._answered < self._warm_for
        return self._under_way == 0 and self._last == kind and recent

    def per_pair(self, size: int, measured: bool = True) -> float | None:
        """Return what a pair of this size took here, or None if none was timed; else also what is known of its like."""
        found = self.known.estimate(PAIR, size, self.device)
        return found.seconds if found and (found.measured or not measured) else None

    def runs_on(self, device: str) -> None:
        """Note where the loaded model is; behind a quota it is on ZeroGPU, whatever the parent process believes."""
        if self.quota is None:
            self.device = device

    def learn_from(self, run: Run, layout: Layout) -> None:
        """Learn from a saved run of a model of the same shape, made on the same device.

        Behind a quota it is believed only so far: the run may have been made in batches or on a whole card, of which
        ZeroGPU gives a half, or while its machine slept. Too few seconds have calls killed; too many have all of them
        refused, so that nothing would ever be measured that sets it right.
        """
        info, own, seconds = run.info, CARD if self.quota else self.device, run.seconds_per_pair
        if info.layout == layout and own and own in info.device and seconds > 0:
            if self.quota and (shipped := self._each(PAIR, info.size, Seconds(self.known.table))):
                seconds = min(max(seconds, shipped / BELIEVED), shipped * BELIEVED)
            self._saved[info.size] += 1
            self.known.learn(PAIR, info.size, seconds, self.device)

    def _each(self, kind: str, size: int, known: Seconds | None = None) -> float:
        found = (known or self.known).estimate(kind, size, self.device)
        return found.seconds if found else 0.0

    # --- a call ---

    @contextmanager
    def call(
        self,
        work: str,
        pairs: int,
        conditions: Conditions,
        pictures: int,
        kind: str = PAIR,
        each: float | None = None,
    ) -> Iterator[Call]:
        """Settle what a call asks for, follow it, and log what it asked for and took; no word of a visitor.

        Parameters
        ----------
        work : str
            What it is for, for the log.
        pairs : int
        conditions : Conditions
        pictures : int
        kind : str
            As for `seconds`.
        each : float, optional
            Pairs of one measure that take as long as one of these; by the conditions unless given.
        """
        measures, size = pairs * conditions.n_repeats, conditions.size
        each = each or whole_pairs(size, conditions.n_repeats)
        with self._lock:
            warm = self.warm(kind)
            asked = self.seconds(pairs * each, size, pictures, not warm, kind)
            call = Call(self, (kind, size, each), asked, warm)
            self._under_way += 1
        facts = {"work": work, "pairs": measures, "size": size, "pictures": pictures, "asked": call.seconds}
        try:
            with logged("gpu") if self.quota else nullcontext({}) as line:
                try:
                    yield call
                finally:
                    line |= {**facts, "spent": round(call.spent, 3), "cold": call.cold}
        except PlantainError:  # came as data from a worker that lives on
            raise
        except Exception:
            self._answered = -math.inf
            raise
        finally:
            with self._lock:
                self._under_way -= 1

    def heard(self, kind: str, surprise: bool = False) -> None:
        """Note that a kind's worker lives; a surprise is one that was new where an old one was counted on."""
        self._answered, self._last = self._clock(), kind
        if surprise:
            self._warm_for /= 2


class Call:
    """One call of the device, as its items arrive.

    Attributes
    ----------
    seconds : int
        Asked for.
    spent : float
        What the worker said that it took, its start included.
    cold : bool or None
        Whether the worker was new; None before it said so.
    """

    def __init__(self, prices: Prices, work: tuple[str, int, float], seconds: int, trusted: bool) -> None:
        self._prices, self._trusted = prices, trusted
        self._kind, self._size, self._each = work  # and pairs of one measure that take as long as one of these
        self._start: float | None = None  # of a new worker, until its first pair is done
        self.seconds, self.spent, self.cold = seconds, 0.0, None

    def began(self, start: float | None) -> None:
        """Note the seconds of a new worker's start; None of one that was there."""
        self._start, self.cold, self.spent = start, start is not None, start or 0.0
        self._prices.heard(self._kind, surprise=self.cold and self._trusted)

    def pair(self, seconds: float) -> None:
        """Learn what a pair took; the first one of a new worker counts as its start, which it is slower by."""
        known, device = self._prices.known, self._prices.device
        self.spent += seconds
        each = seconds / self._each
        if self._start is None or self._each >= MANY:
            known.learn(self._kind, self._size, each, device)
        if self._start is not None:  # of several measures only the first is slower
            known.learn(COLD, 0, self._start + each, device)
            self._start = None
        self._prices.heard(self._kind)

    def pictures(self, n: int, seconds: float) -> None:
        """Learn what some pictures took."""
        self.spent += seconds
        self._prices.known.learn(PICTURE, self._size, seconds / n, self._prices.device)
        self._prices.heard(self._kind)
