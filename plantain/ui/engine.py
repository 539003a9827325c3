"""The model behind a page: it loads in the background or at once, and runs one pair at a time.

torch is imported only when the model loads, so that a page can be served before.
"""

from __future__ import annotations

import copy
import statistics
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

from plantain import PlantainError
from plantain.findings.new_pair import PairResult, score_pair
from plantain.models.info import ModelInfo
from plantain.models.load import KLEIN
from plantain.probe.checkpoint import Done
from plantain.prompts.sets import PromptPair, PromptSet
from plantain.report.labels import WEIGHTS_WORDS
from plantain.runs.info import Conditions, NotComparableError, check_reference, check_same_model
from plantain.runs.run import Run
from plantain.ui.log import write_line

if TYPE_CHECKING:
    from plantain.models.load import LoadedModel


_PATIENCE = 600  # seconds to wait for a model that is still loading

PAUSES_AT_START = (5, 20)  # seconds between tries where a page is not served before the model is there

_PAUSES = (10, 30, 60, 120, 300, 600)  # and where it is: the last one again and again

_FAILED = (
    "No model is loaded: {why} Restart needed: a model is only loaded when the app starts. The saved results stay."
)

_AGAIN = "The model could not be loaded: {why} It is tried again in {pause} s. The saved results are here."

UNFINISHED = 4  # probes that were broken off and can be continued; 13 MB each at full size

_TIMED = 25  # pairs of one size by which the next are estimated


class EngineError(PlantainError, RuntimeError):
    """The model cannot be used now; the message says why."""


class PassError(EngineError):
    """A pass failed on the device, so the device was used; the message says why."""


Item = ModelInfo | Done | str
"""What comes from the device. Text says why a pass failed: of an exception in a worker only the class name comes."""

OnDevice = Callable[[tuple[PromptPair, ...], Conditions], Generator[Item, None, None]]

Quota = Callable[[int, int | None], int]
"""(pairs, size) -> seconds of a visitor's GPU quota that a call asks for."""


@dataclass(frozen=True)
class Status:
    """How the model stands.

    Attributes
    ----------
    state : str
        ``loading``, ``retrying`` (it failed, and is tried again), ``ready``, or ``failed`` (only a restart can help).
    text : str
        One sentence or two.
    why : str
        What went wrong, if it did.
    """

    state: str
    text: str
    why: str = ""

    @property
    def unsettled(self) -> bool:
        """Tell whether it may still change by itself."""
        return self.state in ("loading", "retrying")


@dataclass(frozen=True)
class Step:
    """Progress of a probe.

    Attributes
    ----------
    done, total : int
        Pairs, those of earlier calls included.
    seconds_left : float or None
        Until this call ends; None before its first pair.
    pair, seconds : PromptPair and float, or None
        The pair just done, and the seconds that it took.
    run : Run or None
        In the last step only, once all pairs are done.
    """

    done: int
    total: int
    seconds_left: float | None
    pair: PromptPair | None = None
    seconds: float | None = None
    run: Run | None = None


@dataclass
class _Unfinished:
    """The pairs of a probe that did not come to its end, and the model as the device saw it."""

    model: ModelInfo | None = None
    done: list[Done] = field(default_factory=list)


class Engine:
    """One model for one page.

    Parameters
    ----------
    model : str or None
        As for `load_pipeline`; None takes Klein on CUDA and the stand-in elsewhere.
    on_device : callable, optional
        Runs `captures` where the accelerator is: on ZeroGPU a decorated function, elsewhere `captures` itself.
    quota : callable, optional
        What a call asks of a visitor's quota, where there is one.
    """

    def __init__(self, model: str | None = None, on_device: OnDevice | None = None, quota: Quota | None = None) -> None:
        self._model = model
        self._loaded: LoadedModel | None = None
        self._status = Status("loading", "The model is loading. The saved results are here already.")
        self.settled: Callable[[], None] = lambda: None  # called when the model is there, or not to be had
        self._settled = threading.Event()
        self._unfinished: OrderedDict[tuple, _Unfinished] = OrderedDict()
        self._timed: dict[int, deque[float]] = {}  # by size: the last pairs' seconds
        self._counter: Any = None
        self._counting = threading.Lock()
        self._one_pair = threading.Lock()  # hooks sit on the one model: two pairs must not run through it at once
        self.on_device = on_device or self.captures
        self.quota = quota

    # --- loading ---

    def load(self, pauses: Iterable[float] = ()) -> None:
        """Load the model; a failure becomes the status, it is not raised.

        Parameters
        ----------
        pauses : iterable of float
            Where the network was at fault it is tried again after each of these, in seconds.
        """
        for pause in pauses:
            if not self._try(pause):
                return
            time.sleep(pause)
        self._try(None)

    def _try(self, pause: float | None) -> bool:
        """Try to load once, and say whether another try, after the pause, may help."""
        from plantain.models.sources import DownloadError

        start, again = time.perf_counter(), False
        try:
            self._load()
            write_line("model", start, "ok")
        except Exception as error:  # a page with saved runs must start whatever is wrong with the model
            why, again = str(error) or type(error).__name__, pause is not None and isinstance(error, DownloadError)
            why = why if why.endswith((".", "!", "?")) else f"{why}."
            text = _AGAIN.format(why=why, pause=f"{pause:g}") if again else _FAILED.format(why=why)
            self._status = Status("retrying" if again else "failed", text, why)
            write_line("model", start, self._status.state, error=type(error).__name__)
        finally:
            self._settled.set()
        self.settled()
        return again

    def _load(self) -> None:
        from plantain.models.load import PhasedPipeline, default_model

        loaded = PhasedPipeline(self._model or default_model()).load_both()
        # A tokenizer of its own: while a pass encodes, the pipeline's cuts off what is too long, for all threads.
        self._counter = copy.deepcopy(loaded.pipe.tokenizer)
        self._loaded, info = loaded, loaded.info
        self._status = Status("ready", f"Loaded: {info.model} ({WEIGHTS_WORDS[info.weights]}).")

    def start_loading(self) -> None:
        """Load in a thread of its own; where the network is at fault, try again with growing pauses."""
        pauses = chain(_PAUSES, repeat(_PAUSES[-1]))
        threading.Thread(target=self.load, args=(pauses,), name="model-loader", daemon=True).start()

    @property
    def is_kleins(self) -> bool:
        """Tell whether the model is, or is going to be, one whose runs are Klein's: no stand-in, no local folder."""
        return self._loaded.info.weights == "pretrained" if self._loaded else self._model == KLEIN

    def status(self) -> Status:
        """Say how the model stands."""
        return self._status

    @property
    def model_name(self) -> str | None:
        """The loaded model's name, or None."""
        return self._loaded.info.model if self._loaded else None

    def _ready(self) -> LoadedModel:
        if not self._settled.wait(_PATIENCE):
            raise EngineError("The model is still loading. Try again in a minute.")
        if self._loaded is None:
            raise EngineError(self.status().text)
        return self._loaded

    # --- passes ---

    def captures(self, pairs: tuple[PromptPair, ...], conditions: Conditions) -> Iterator[Item]:
        """Yield the model's facts as the device sees them, then every pair's capture. Plain data only."""
        from plantain.models.fingerprint import located
        from plantain.probe.passes import Passes
        from plantain.probe.runner import iter_pairs

        model = self._ready()
        yield located(model.info, model.pipe)
        passes = Passes(model.pipe, conditions)
        for pair in pairs:
            try:
                with self._one_pair:
                    item = _in_own_thread(partial(next, iter_pairs(passes, (pair,))))
            except PlantainError as error:
                yield str(error)
                return
            except Exception as error:
                # By name: torch's is no MemoryError, and torch is not imported here. Passes halve their batches before.
                if not isinstance(error, MemoryError) and type(error).__name__ != "OutOfMemoryError":
                    raise
                yield f"the device has too little memory at {conditions.size} px; choose a smaller image."
                return
            yield item

    def _items(self, pairs: tuple[PromptPair, ...], conditions: Conditions) -> Generator[ModelInfo | Done, None, None]:
        """Yield what the device yields; a failure there becomes an error here."""
        with closing(self.on_device(pairs, conditions)) as items:
            for item in items:
                if isinstance(item, str):
                    raise PassError(item)
                if not isinstance(item, ModelInfo):
                    timed = self._timed.setdefault(conditions.size, deque(maxlen=_TIMED))
                    timed.append(item[1] / conditions.n_repeats)
                yield item

    def probe_pair(self, run: Run, positive: str, negative: str) -> PairResult:
        """Score a visitor's pair against a run; everything that can be refused is refused before a pass.

        Raises
        ------
        PlantainError
            No model, another model than the run's, or prompts that cannot be taken.
        """
        from plantain.probe.runner import prepare_pair

        pair = prepare_pair(self._ready(), run, positive, negative)
        _, (capture, _) = self._items((pair,), run.info.conditions)
        return score_pair(run, pair, capture)

    def count_tokens(self, text: str) -> int:
        """Count the tokens of a prompt's words by the model's own tokenizer: no pass, and no waiting for the model.

        Raises
        ------
        EngineError
            The model is not there (yet).
        PromptError
            The model cannot take the text as it is.
        """
        if self.status().state != "ready":
            raise EngineError(self.status().text)
        from plantain.probe.tokens import tokenize

        with self._counting:  # a tokenizer is changed by every call
            return tokenize(self._counter, text, self._ready().pipe.tokenizer_max_length).count("words")

    def mismatch(self, run: Run) -> str | None:
        """Say why pairs cannot be compared with a run, or None where they can or the model is not there yet."""
        if self.status().state != "ready":
            return None
        try:
            check_same_model(self._ready().info, run.info)
            check_reference(run.info, None)
        except NotComparableError as error:
            return str(error)
        return None

    # --- probes ---

    def kept(self, prompt_set: PromptSet, size: int | None, seed: int) -> int:
        """Return how many pairs of a probe with these settings are done already and need not be run."""
        found = self._loaded and self._unfinished.get(self._key(prompt_set, size, seed))
        return len(found.done) if found else 0

    def seconds_per_pair(self, size: int | None) -> float | None:
        """Return what a pair of this size took here (the median of the last ones), or None if none was timed."""
        timed = self._loaded and self._timed.get(self._size(size))
        return statistics.median(timed) if timed else None

    def asks(self, pairs: int, size: int | None) -> int | None:
        """Return the seconds of a visitor's quota that a call asks for, or None where there is no quota."""
        return self.quota(pairs, size) if self.quota else None

    def would_make(self, run: Run, prompt_set: PromptSet, size: int | None, seed: int) -> bool:
        """Tell whether a probe with these settings would make a run again; not before the model is there."""
        if not self._loaded:
            return False
        model, i = self._loaded.info, run.info
        return (
            (model.fingerprint, model.dtype) == (i.fingerprint, i.dtype)
            and prompt_set.sha256 == i.prompts_sha256
            and i.conditions == Conditions(self._size(size), (seed,))
            and not i.references
        )

    def _size(self, size: int | None) -> int:
        from plantain.probe.runner import ProbeConfig

        return ProbeConfig(size=size).conditions_for(self._ready().pipe).size

    def _key(self, prompt_set: PromptSet, size: int | None, seed: int) -> tuple:
        """Tell probes apart; everything else that a pair's numbers depend on is the same for one engine."""
        return prompt_set.sha256, self._size(size), seed

    def iter_probe(
        self, prompt_set: PromptSet, size: int | None, seed: int, most: int | None = None
    ) -> Generator[Step, None, None]:
        """Run the pairs of a set that are not done yet, reporting after each one.

        The pairs that are done stay when the generator is closed or breaks, or ends before the last pair: the next
        call with these settings goes on from there.

        Parameters
        ----------
        prompt_set : PromptSet
        size, seed
            As for `ProbeConfig`.
        most : int, optional
            Pairs to run in this call; all that are missing unless given.

        Raises
        ------
        PlantainError
            No model, settings out of range, or a failed pass.
        """
        from plantain.probe.runner import ProbeConfig, assemble, plan_run

        plan = plan_run(self._ready(), prompt_set, ProbeConfig(size=size, seed=seed))
        pairs, key = prompt_set.pairs, self._key(prompt_set, size, seed)
        state = self._unfinished.pop(key, _Unfinished())
        todo = pairs[len(state.done) :][:most]
        items = self._items(todo, plan.conditions)
        try:
            yield Step(len(state.done), len(pairs), None)
            if todo:  # else nothing is asked of the device: only the end was missing
                state.model, start = next(items), time.monotonic()
                for i, (pair, item) in enumerate(zip(todo, items, strict=True), start=1):
                    state.done.append(item)
                    left = (time.monotonic() - start) / i * (len(todo) - i)
                    yield Step(len(state.done), len(pairs), left, pair, item[1])
            if len(state.done) == len(pairs):
                # The model's facts as the device saw them: on ZeroGPU the parent process is fooled.
                run = assemble(replace(plan, model=state.model), state.done)
                yield Step(len(pairs), len(pairs), 0.0, run=run)
                state.done = []
        finally:  # for a closed generator too: that is how a page stops one
            if state.done:
                self._unfinished[key] = state
            while len(self._unfinished) > UNFINISHED:
                self._unfinished.popitem(last=False)
            # Not here: a page closes generators on its event loop, and ZeroGPU's waits for the pair in hand.
            threading.Thread(target=items.close, name="probe-end", daemon=True).start()


def _in_own_thread(work: Callable[[], Any]) -> Any:
    """Do something in a new thread; return what it returns, or raise what it raises.

    For passes: every thread that has run one keeps torch's threads and buffers, 8 MB on two cores, and a page has
    forty threads. A daemon, so that nobody waits for a pass at the end of the process.
    """
    done: Future[Any] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, name="pass", daemon=True).start()
    return done.result()
