"""A model that is held while a page runs. Knows nothing about Gradio or how results are shown.

`Engine`   loads in the background or at once, says how it stands, hands out pairs one at a time
`Status`   loading, ready or failed, in words
`Step`     how far a probe is, and its run at the end

torch is imported only when the model loads, so that a page can be served before.
"""

from __future__ import annotations

import copy
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from plantain import PlantainError
from plantain.models import ModelInfo
from plantain.pairs import PairResult, WrongModelError, check_same_model, score_pair
from plantain.prompts import PromptPair, PromptSet
from plantain.results import Run
from plantain.tables import WEIGHTS_WORDS
from plantain.unfinished import Done

if TYPE_CHECKING:
    from plantain.experiment import ExperimentConfig, Plan

_PATIENCE = 600  # seconds to wait for a model that is still loading
_UNFINISHED = 4  # probes that were broken off and can be continued; 13 MB each at full size


class EngineError(PlantainError, RuntimeError):
    """The model cannot be used now; the message says why."""


@dataclass(frozen=True)
class Failure:
    """Why a pass failed, as data: of an exception in a worker process only the class name comes back."""

    text: str


Item = ModelInfo | Done | Failure
OnDevice = Callable[[tuple[PromptPair, ...], int, int], Iterator[Item]]


@dataclass(frozen=True)
class Status:
    """How the model stands: ``loading``, ``ready`` or ``failed``, and one sentence."""

    state: str
    text: str


@dataclass(frozen=True)
class Step:
    """Progress of a probe; `run` is set in the last step only."""

    done: int
    total: int
    seconds_left: float | None
    run: Run | None = None


class Engine:
    """One model for one page.

    Parameters
    ----------
    model : str or None
        As for `models.load_pipeline`; None takes Klein on CUDA and the stand-in elsewhere.
    """

    def __init__(self, model: str | None = None) -> None:
        self._model = model
        self._pipe: Any = None
        self._failure: str | None = None
        self._settled = threading.Event()
        self._unfinished: OrderedDict[str, list[Done]] = OrderedDict()
        self._counter: Any = None
        self._counting = threading.Lock()
        self._one_pair = threading.Lock()  # hooks sit on the one model: two pairs must not run through it at once
        self.on_device: OnDevice = self.captures
        """Runs `captures` where the accelerator is. On ZeroGPU the app puts a decorated function here."""

    # --- loading ---

    def load(self) -> None:
        """Load the model; a failure becomes the status, it is not raised."""
        try:
            from plantain.models import default_model, load_pipeline

            pipe = load_pipeline(self._model or default_model())
            # A tokenizer of its own: while a pass encodes, the pipeline's cuts off what is too long, for all threads.
            self._counter = copy.deepcopy(pipe.tokenizer)
            self._pipe = pipe
        except Exception as error:  # a page with saved runs must start whatever is wrong with the model
            self._failure = str(error) or type(error).__name__
        finally:
            self._settled.set()

    def start_loading(self) -> None:
        """Load in a thread of its own."""
        threading.Thread(target=self.load, name="model-loader", daemon=True).start()

    def status(self) -> Status:
        """Say how the model stands."""
        if not self._settled.is_set():
            return Status("loading", "The model is loading. The saved results are here already.")
        if self._failure is not None:
            return Status("failed", f"No model is loaded: {self._failure} The saved results stay.")
        identity = self._pipe.plantain_identity
        return Status("ready", f"Loaded: {identity['model']} ({WEIGHTS_WORDS[identity['weights']]}).")

    def _ready_pipe(self) -> Any:
        if not self._settled.wait(_PATIENCE):
            raise EngineError("The model is still loading. Try again in a minute.")
        if self._pipe is None:
            raise EngineError(self.status().text)
        return self._pipe

    # --- passes ---

    def captures(self, pairs: tuple[PromptPair, ...], size: int, seed: int) -> Iterator[Item]:
        """Yield the model's facts as the device sees them, then every pair's capture. Plain data only."""
        from plantain.experiment import iter_pairs
        from plantain.models import describe
        from plantain.passes import Passes

        yield describe(self._pipe)
        passes = Passes(self._pipe, size, seed)
        for pair in pairs:
            try:
                with self._one_pair:
                    item = next(iter_pairs(passes, (pair,)))
            except PlantainError as error:
                yield Failure(str(error))
                return
            yield item

    def _items(self, pairs: tuple[PromptPair, ...], size: int, seed: int) -> Iterator[ModelInfo | Done]:
        """Yield what the device yields; a failure there becomes an error here."""
        for item in self.on_device(pairs, size, seed):
            if isinstance(item, Failure):
                raise EngineError(item.text)
            yield item

    def probe_pair(self, run: Run, positive: str, negative: str) -> PairResult:
        """Score a visitor's pair against a run; everything that can be refused is refused before a pass.

        Raises
        ------
        PlantainError
            No model, another model than the run's, or prompts that cannot be taken.
        """
        from plantain.experiment import prepare_pair

        pair = prepare_pair(self._ready_pipe(), run, positive, negative)
        _, (capture, _) = self._items((pair,), run.info.size, run.info.seed)
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
        from plantain.capture import tokenize

        with self._counting:  # a tokenizer is changed by every call
            return tokenize(self._counter, text, self._pipe.tokenizer_max_length).count("words")

    def mismatch(self, run: Run) -> str | None:
        """Say why pairs cannot be compared with a run, or None where they can or the model is not there yet."""
        if self.status().state != "ready":
            return None
        from plantain.models import describe

        try:
            check_same_model(describe(self._pipe), run.info)
        except WrongModelError as error:
            return str(error)
        return None

    def iter_probe(self, prompt_set: PromptSet, size: int | None, seed: int) -> Iterator[Step]:
        """Run all pairs of a set, reporting after each one.

        Raises
        ------
        PlantainError
            No model, settings out of range, or a failed pass.
        """
        from plantain.experiment import ExperimentConfig, plan_run

        config = ExperimentConfig(size=size, seed=seed)
        plan = plan_run(self._ready_pipe(), prompt_set, config)
        return self._probe_steps(plan, config)

    def _probe_steps(self, plan: Plan, config: ExperimentConfig) -> Iterator[Step]:
        """Run the pairs that are missing; those that are done stay when a call is stopped or breaks."""
        from plantain.experiment import assemble

        key = json.dumps(plan.settings(), sort_keys=True)
        pairs, done = plan.prompt_set.pairs, self._unfinished.pop(key, [])
        kept, start = len(done), time.monotonic()
        try:
            yield Step(kept, len(pairs), None)
            items = self._items(pairs[kept:], plan.size, config.seed)
            model = next(items)
            for item in items:
                done.append(item)
                left = (time.monotonic() - start) / (len(done) - kept) * (len(pairs) - len(done))
                yield Step(len(done), len(pairs), left)
            # The model's facts as the device saw them: on ZeroGPU the parent process is fooled.
            yield Step(len(pairs), len(pairs), 0.0, assemble(replace(plan, model=model), done))
        except BaseException:  # a closed generator too: that is how a page stops one
            self._keep_unfinished(key, done)
            raise

    def _keep_unfinished(self, key: str, done: list[Done]) -> None:
        self._unfinished[key] = done
        while len(self._unfinished) > _UNFINISHED:
            self._unfinished.popitem(last=False)
