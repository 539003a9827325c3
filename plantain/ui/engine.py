"""The model behind a page: it loads in the background or at once, and runs one pair at a time.

torch is imported only when the model loads, so that a page can be served before.
"""

from __future__ import annotations

import copy
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

from plantain import PlantainError
from plantain.findings.new_pair import PairMeasure, PairResult, measure_pair, pair_level, score_pair
from plantain.models.drawing import USUAL, text_tokens
from plantain.models.info import ModelInfo
from plantain.models.load import KLEIN
from plantain.models.sources import drawing_of
from plantain.probe.checkpoint import Done
from plantain.prompts.sets import PromptPair, PromptSet, first_set, user_pair
from plantain.report.labels import with_weights
from plantain.runs.info import Conditions, NotComparableError, check_reference, check_same_model
from plantain.runs.run import Run
from plantain.runs.seconds import DRAWING, TURN
from plantain.runs.words import check_words, words_of
from plantain.ui import turns
from plantain.ui.log import write_line
from plantain.ui.prices import Call, Prices, Quota
from plantain.ui.threads import started
from plantain.ui.turns import DrawAnswer, DrawnPair, DrawStep, DrawWork, TurnAnswer, TurnedPair, TurnWork

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


class EngineError(PlantainError, RuntimeError):
    """The model cannot be used now; the message says why."""


class PassError(EngineError):
    """A pass failed on the device, so the device was used; the message says why."""


@dataclass(frozen=True)
class Work:
    """What a call asks of the device; plain data, which crosses to another process.

    Attributes
    ----------
    pairs : tuple of PromptPair
    conditions : Conditions
    pictures : bool
        Draw every pair's expected pictures too.
    seconds : int
        What the call may take, where that is limited.
    directions : {"off", "image", "heads", "all"}
        Of which mean vectors are kept, as in `Passes`.
    """

    pairs: tuple[PromptPair, ...]
    conditions: Conditions
    pictures: bool = False
    seconds: int = 0
    directions: str = "off"


@dataclass(frozen=True)
class Began:
    """What comes from the device first.

    Attributes
    ----------
    model : ModelInfo
        As the device sees it: on ZeroGPU the parent process is fooled.
    start : float or None
        Seconds since the process there began, where this is its first work; None where it was there before.
    """

    model: ModelInfo
    start: float | None


@dataclass(frozen=True)
class Pictures:
    """The pictures that a model expects of a pair's two prompts, positive first; then those with turned heads.

    Attributes
    ----------
    webp : tuple of bytes
        At most 512 pixels a side.
    seconds : float
        What decoding took.
    """

    webp: tuple[bytes, ...]
    seconds: float


Item = Began | Done | Pictures | TurnedPair | DrawStep | DrawnPair | str
"""What comes from the device. Text says why a pass failed: of an exception in a worker only the class name comes."""

OnDevice = Callable[[Work], Generator[Item, None, None]]

TurnOnDevice = Callable[[TurnWork], Generator[Item, None, None]]

DrawOnDevice = Callable[[DrawWork], Generator[Item, None, None]]


@dataclass(frozen=True)
class PairAnswer:
    """What came of a visitor's pair.

    Attributes
    ----------
    result : PairResult or None
        Where it was ranked among a run's pairs.
    measure : PairMeasure or None
        Where there was no run to rank it in.
    pictures : Pictures or None
        None where none were asked for, the model has no VAE, or memory was short.
    model : ModelInfo
        As the device saw it.
    """

    result: PairResult | None
    measure: PairMeasure | None
    pictures: Pictures | None
    model: ModelInfo


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
    floor: float | None = None  # of the placebo, once it was sent


class Engine:
    """One model for one page.

    Parameters
    ----------
    model : str or None
        As for `load_pipeline`; None takes Klein on CUDA and the picture book elsewhere.
    on_device : callable, optional
        Runs `captures` where the accelerator is: on ZeroGPU a decorated function, elsewhere `captures` itself.
    quota : callable, optional
        How a call's seconds count against a visitor's quota, where there is one.
    turn_on_device, draw_on_device : callable, optional
        Run `turns` and `drawings` there, as `on_device` does `captures`.
    """

    def __init__(
        self,
        model: str | None = None,
        on_device: OnDevice | None = None,
        quota: Quota | None = None,
        turn_on_device: TurnOnDevice | None = None,
        draw_on_device: DrawOnDevice | None = None,
    ) -> None:
        self._model = model
        self._name = model  # None as long as nobody knows which it will be
        self._loaded: LoadedModel | None = None
        self._usual_size = 0  # of the loaded model's images, in pixels
        self._status = Status("loading", "The model is loading. The saved results are here already.")
        self.settled: Callable[[], None] = lambda: None  # called when the model is there, or not to be had
        self._settled = threading.Event()
        self._unfinished: OrderedDict[tuple, _Unfinished] = OrderedDict()
        self._shelf: list[Run] = []  # runs to learn from, once the model is there
        self._counter: Any = None
        self._counting = threading.Lock()
        self._one_pair = threading.Lock()  # hooks sit on the one model: two pairs must not run through it at once
        self._worked_in = os.getpid()  # the process in which the device worked last; a worker is another one
        self.draws = False  # whether the loaded model can decode pictures
        self.on_device = on_device or self.captures
        self.turn_on_device = turn_on_device or self.turns
        self.draw_on_device = draw_on_device or self.drawings
        self.prices = Prices(quota)

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
        from plantain.probe.runner import ProbeConfig

        self._name = self._model or default_model()
        phased = PhasedPipeline(self._name)
        loaded = phased.load_both()
        self.draws = phased.keep_vae()
        # A tokenizer of its own: while a pass encodes, the pipeline's cuts off what is too long, for all threads.
        self._counter = copy.deepcopy(loaded.pipe.tokenizer)
        # Here, and once: on ZeroGPU only the thread that loaded the weights is told that they are on a card.
        self._usual_size = ProbeConfig().conditions_for(loaded.pipe).size
        self._loaded, info = loaded, loaded.info
        self.prices.runs_on(info.device)
        self.learn_from(())
        without = f" It draws no pictures: {phased.vae_fault}" if phased.vae_fault else ""
        self._status = Status("ready", f"Loaded: {with_weights(info.model, info.weights)}.{without}")

    def start_loading(self) -> None:
        """Load in a thread of its own; where the network is at fault, try again with growing pauses."""
        pauses = chain(_PAUSES, repeat(_PAUSES[-1]))
        threading.Thread(target=self.load, args=(pauses,), name="model-loader", daemon=True).start()

    @property
    def is_kleins(self) -> bool:
        """Tell whether the model is, or is going to be, one whose runs are Klein's: no stand-in, no local folder."""
        return self._loaded.info.weights == "pretrained" if self._loaded else self._model == KLEIN

    @property
    def words(self) -> str:
        """In whose words the model takes prompts, as `PromptSet.model`; plain sentences as long as nobody knows."""
        return words_of(self._name) if self._name else ""

    def first_set(self, prompt_set: PromptSet) -> PromptSet:
        """Return a set where it is in the model's words, else the project's own axis that is."""
        return prompt_set if prompt_set.model == self.words else first_set(self.words)

    def check_set(self, prompt_set: PromptSet) -> None:
        """Raise `PromptError` for a set that is not in the model's words, as far as these are known."""
        if self._name:
            check_words(prompt_set, self._name)

    def wait(self) -> None:
        """Wait for the model; raise `EngineError` where it does not come."""
        self._ready()

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

    def captures(self, work: Work) -> Iterator[Item]:
        """Yield the model's facts as the device sees them, then what the pairs gave. Plain data only."""
        yield from self._told(work.conditions.size, partial(self._captured, work))

    def turns(self, work: TurnWork) -> Iterator[Item]:
        """Yield the model's facts, then what turned heads do to a pair, and the expected pictures where wanted."""
        yield from self._told(work.conditions.size, partial(self._turned, work))

    def drawings(self, work: DrawWork) -> Iterator[Item]:
        """Yield the model's facts, then the steps of a drawing, and the pictures."""
        yield from self._told(work.drawing.size, lambda model: turns.drawn(model, work, self._one_pair))

    def _told(self, size: int, items: Callable[[LoadedModel], Iterator[Item]]) -> Iterator[Item]:
        """Yield the model's facts and what it does; what goes wrong comes as text."""
        from plantain.models.fingerprint import located

        model = self._ready()
        yield Began(located(model.info, model.pipe), self._own_start())
        try:
            yield from items(model)
        except PlantainError as error:
            yield str(error)
        except Exception as error:
            if not _short_of_memory(error):  # passes halve their batches before
                raise
            yield f"the device has too little memory at {size} px; choose a smaller image."

    def _captured(self, work: Work, model: LoadedModel) -> Iterator[Item]:
        from plantain.probe.passes import Passes
        from plantain.probe.runner import iter_pairs

        for pair in work.pairs:
            expected: list[Any] = []
            keep = expected.append if work.pictures else None
            passes = Passes(model.pipe, work.conditions, expected=keep, directions=work.directions)
            with self._one_pair:
                item = _in_own_thread(partial(next, iter_pairs(passes, (pair,))))
            yield item
            if expected and (pictures := self._drawn(model, expected)):
                yield pictures

    def _turned(self, work: TurnWork, model: LoadedModel) -> Iterator[Item]:
        found, expected = turns.turn(model, work, self._one_pair)
        yield found
        if work.pictures and (pictures := self._drawn(model, [expected])):
            yield pictures

    def _own_start(self) -> float | None:
        """Return the seconds since this process began where it is a new worker, else None."""
        import psutil

        known, self._worked_in = self._worked_in, os.getpid()
        return None if known == os.getpid() else max(0.0, time.time() - psutil.Process().create_time())

    def _drawn(self, model: LoadedModel, expected: list[Any]) -> Pictures | None:
        """Decode what a pair's passes expect. Too little memory costs the pictures, not the numbers."""
        from plantain.probe.pictures.expected import packed, pictures

        start = time.perf_counter()
        try:
            with self._one_pair:
                drawn = _in_own_thread(partial(pictures, model.pipe, expected))
        except Exception as error:
            if not _short_of_memory(error):
                raise
            return None
        return Pictures(tuple(map(packed, drawn)), time.perf_counter() - start)

    def _items(
        self,
        work: str,
        pairs: tuple[PromptPair, ...],
        conditions: Conditions,
        pictures: bool = False,
        directions: str = "off",
    ) -> Generator[Began | Done | Pictures, None, None]:
        """Yield what the device yields; a failure there becomes an error here, and what it took is learned."""
        with (
            self.prices.call(work, len(pairs), conditions, 2 * len(pairs) * pictures) as call,
            closing(self.on_device(Work(pairs, conditions, pictures, call.seconds, directions))) as items,
        ):
            yield from _heard(call, items)

    def probe_pair(self, run: Run, positive: str, negative: str) -> PairResult:
        """Score a visitor's pair against a run; everything that can be refused is refused before a pass.

        Raises
        ------
        PlantainError
            No model, another model than the run's, or prompts that cannot be taken.
        """
        return self.ranked(run, positive, negative, pictures=False).result

    def ranked(self, run: Run, positive: str, negative: str, pictures: bool = True) -> PairAnswer:
        """Score a visitor's pair as `probe_pair`, with the expected pictures of its first passes where wanted."""
        from plantain.probe.runner import prepare_pair

        pair = prepare_pair(self._ready(), run, positive, negative)
        began, (capture, _), drawn = self._one(pair, run.info.conditions, pictures, pair_level(run))
        return PairAnswer(score_pair(run, pair, capture), None, drawn, began.model)

    def measure_pair(self, positive: str, negative: str, size: int | None = None) -> PairMeasure:
        """Measure a visitor's pair by itself, where there is no run to rank it in.

        Parameters
        ----------
        positive, negative : str
        size : int, optional
            Of the image in pixels; the device's default unless given.

        Raises
        ------
        PlantainError
            No model, or prompts or a size that cannot be taken.
        """
        return self.measured(positive, negative, size, pictures=False).measure

    def measured(self, positive: str, negative: str, size: int | None = None, pictures: bool = True) -> PairAnswer:
        """Measure a visitor's pair as `measure_pair`, with the expected pictures of its passes where wanted."""
        from plantain.probe.passes import layout_of
        from plantain.probe.runner import ProbeConfig, check_prompts

        model, pair = self._ready(), user_pair(positive, negative)
        conditions = ProbeConfig(size=self._size(size)).conditions_for(model.pipe)
        check_prompts(model.pipe, pair)
        began, (capture, _), drawn = self._one(pair, conditions, pictures)
        measure = measure_pair(pair, capture, layout_of(model.pipe), began.model, conditions)
        return PairAnswer(None, measure, drawn, began.model)

    def _one(
        self, pair: PromptPair, conditions: Conditions, pictures: bool, directions: str = "off"
    ) -> tuple[Began, Done, Pictures | None]:
        began, done, *drawn = self._items("pair", (pair,), conditions, pictures and self.draws, directions)
        return began, done, drawn[0] if drawn else None

    # --- turned heads ---

    def intervene_pair(self, run: Run, asked: turns.Asked, pictures: bool = True) -> TurnAnswer:
        """Turn heads of one of a run's pairs, and beside them as many others, at sigma 1.

        With the expected pictures where they are wanted.

        Raises
        ------
        PlantainError
            No model, another model than the run's, or a failed pass.
        """
        both = (asked, turns.beside(run, asked))
        work = self.turn_work(run, both, pictures)
        self._check(run, asked.pair)
        with (
            self.prices.call("turn", 1, work.conditions, work.n_pictures, TURN, work.whole_pairs) as call,
            closing(self.turn_on_device(replace(work, seconds=call.seconds))) as items,
        ):
            began, found, *drawn = _heard(call, items)
        return TurnAnswer(both, found, drawn[0].webp if drawn else (), began.model)

    def draw_pair(self, run: Run, work: DrawWork) -> Generator[DrawStep | DrawAnswer, None, None]:
        """Draw one of a run's pairs, telling every step; the answer comes last. Arguments from `draw_work`.

        Raises
        ------
        PlantainError
            As for `intervene_pair`; or the model draws no pictures.
        """
        self._check(run, work.pair)
        if not self.draws:
            raise EngineError(f"This model draws no pictures. {self.status().text}")
        with (
            self.prices.call("draw", 1, work.conditions, 0, DRAWING, work.whole_pairs) as call,
            closing(self.draw_on_device(replace(work, seconds=call.seconds))) as items,
        ):
            heard = _heard(call, items)
            began = next(heard)
            for item in heard:
                yield DrawAnswer(work, item, began.model) if isinstance(item, DrawnPair) else item

    def turn_work(self, run: Run, asked: tuple[turns.Asked, ...], pictures: bool = True) -> TurnWork:
        """Return what the device is asked for turned heads: one measure, from the run's first noise."""
        conditions = Conditions(run.info.size, run.info.seeds[:1], mask_padding=run.info.mask_padding)
        return TurnWork(asked, conditions, pictures and self.draws)

    def draw_work(
        self, run: Run, pair: PromptPair, asked: turns.Asked | None, size: int = 0, steps: int = 0
    ) -> DrawWork:
        """Return what the device is asked for a whole drawing, as the model says that it is drawn with.

        Parameters
        ----------
        run : Run
        pair : PromptPair
        asked : Asked or None
            None where nothing is turned.
        size, steps : int
            Other ones than the model's own, where they are not 0.

        Raises
        ------
        UsageError
            A size or number of steps that is not drawn here.
        """
        own = drawing_of(self.model_name) or USUAL
        return DrawWork(pair, asked, turns.drawing(own, size, steps), run.info.seeds[0])

    def turn_asks(self, work: TurnWork) -> int | None:
        """Return the seconds of a visitor's quota that turning heads asks for at most; None without a quota."""
        return self.prices.asks(work.whole_pairs, work.conditions.size, work.n_pictures, TURN)

    def draw_asks(self, work: DrawWork) -> int | None:
        """Return the same of a whole drawing."""
        return self.prices.asks(work.whole_pairs, work.drawing.size, kind=DRAWING)

    def _check(self, run: Run, pair: PromptPair) -> None:
        """Refuse what can be refused before a second is asked for."""
        from plantain.probe.runner import check_prompts

        model = self._ready()
        check_same_model(model.info, run.info)
        check_reference(run.info, None)
        check_prompts(model.pipe, pair)

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
            return tokenize(self._counter, text, text_tokens(self._ready().pipe)).count("words")

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

    def sends(self, prompt_set: PromptSet, size: int | None, seed: int, most: int | None = None) -> int:
        """Return how many pairs the next call of `iter_probe` sends: the last call of a probe sends the placebo too."""
        state = (self._loaded and self._unfinished.get(self._key(prompt_set, size, seed))) or _Unfinished()
        left = len(prompt_set.pairs) - len(state.done)
        now = min(left, most or left)
        return now + (now == left and state.floor is None)

    def seconds_per_pair(self, size: int | None) -> float | None:
        """Return what a pair of this size took here (the median of the last ones), or None if none was timed."""
        return self.prices.per_pair(self._size(size)) if self._loaded else None

    def expected_per_pair(self, size: int | None) -> float | None:
        """Return what a pair of this size will take: as timed here, or for Klein by the table; None if unknown."""
        if not self._loaded:
            return None
        return self.prices.per_pair(self._size(size), measured=not self.is_kleins)

    def asks(self, pairs: int, size: int | None, pictures: int = 0) -> int | None:
        """Return the seconds of a visitor's quota that a call asks for at most, or None where there is no quota."""
        return self.prices.asks(pairs, self._size(size) if self._loaded else size, pictures)

    def learn_from(self, runs: Iterable[Run]) -> None:
        """Learn from saved runs what work takes, now or as soon as the model is there."""
        self._shelf += runs
        if self._loaded:
            from plantain.probe.passes import layout_of

            layout, known, self._shelf = layout_of(self._loaded.pipe), self._shelf, []
            for run in known:
                self.prices.learn_from(run, layout)

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
        self._ready()
        return size or self._usual_size

    def _key(self, prompt_set: PromptSet, size: int | None, seed: int) -> tuple:
        """Tell probes apart; everything else that a pair's numbers depend on is the same for one engine."""
        return prompt_set.sha256, self._size(size), seed

    def iter_probe(
        self, prompt_set: PromptSet, size: int | None, seed: int, most: int | None = None
    ) -> Generator[Step, None, None]:
        """Run the pairs of a set that are not done yet, reporting after each one; then the placebo.

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
        from plantain.probe.placebo import floor_percent, placebo
        from plantain.probe.runner import ProbeConfig, assemble, plan_run

        model = self._ready()
        self.check_set(prompt_set)
        plan = plan_run(model, prompt_set, ProbeConfig(size=self._size(size), seed=seed))
        pairs, key, sent = prompt_set.pairs, self._key(prompt_set, size, seed), self.sends(prompt_set, size, seed, most)
        state = self._unfinished.pop(key, _Unfinished())
        todo = pairs[len(state.done) :][:most]
        work = (*todo, placebo(pairs[0]))[:sent]
        items = self._items("probe", work, plan.conditions, directions=plan.config.directions)
        try:
            yield Step(len(state.done), len(pairs), None)
            if work:  # else nothing is asked of the device: only the end was missing
                state.model, start = next(items).model, time.monotonic()
                for i, (pair, item) in enumerate(zip(work, items, strict=True), start=1):
                    if i > len(todo):
                        state.floor = floor_percent(item[0], plan.layout)
                        continue
                    state.done.append(item)
                    left = (time.monotonic() - start) / i * (len(work) - i)
                    yield Step(len(state.done), len(pairs), left, pair, item[1])
            if len(state.done) == len(pairs):
                # The model's facts as the device saw them: on ZeroGPU the parent process is fooled.
                run = assemble(replace(plan, model=state.model), state.done, state.floor)
                yield Step(len(pairs), len(pairs), 0.0, run=run)
                state.done = []
        finally:  # for a closed generator too: that is how a page stops one
            if state.done:
                self._unfinished[key] = state
            while len(self._unfinished) > UNFINISHED:
                self._unfinished.popitem(last=False)
            # Not here: a page closes generators on its event loop, and ZeroGPU's waits for the pair in hand.
            threading.Thread(target=items.close, name="probe-end", daemon=True).start()


def _short_of_memory(error: Exception) -> bool:
    """Tell whether memory was short. By name: torch's error is no MemoryError, and torch is not imported here."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def _in_own_thread(work: Callable[[], Any]) -> Any:
    """Do something in a new thread; return what it returns, or raise what it raises."""
    return started(work).result()


def _heard(call: Call, items: Iterable[Item]) -> Iterator[Any]:
    """Yield what comes from the device: a failure becomes an error, and what it took is learned."""
    for item in items:
        if isinstance(item, str):
            raise PassError(item)
        if isinstance(item, Began):
            call.began(item.start)
        elif isinstance(item, Pictures):
            call.pictures(len(item.webp), item.seconds)
        elif isinstance(item, TurnedPair | DrawnPair):
            call.pair(item.seconds)
        elif not isinstance(item, DrawStep):
            call.pair(item[1])
        yield item
