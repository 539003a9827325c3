"""Probe a model with a prompt set: all pairs, resumable, whole in memory or one half at a time.

The pair is the unit of work: progress, cancelling, resuming and sharing among processes all hang on `iter_pairs`.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from plantain import __version__, stats
from plantain._runtime import patient_threads
from plantain.models.drawing import text_tokens
from plantain.models.info import ModelInfo, software_versions
from plantain.models.load import LoadedModel, PhasedPipeline, as_it_is
from plantain.models.sources import drawing_of
from plantain.probe.checkpoint import Checkpoint, Done
from plantain.probe.distributed import ALONE, Distributed
from plantain.probe.passes import Passes, layout_of, pack_embeddings, unpack_embeddings
from plantain.probe.pictures.generate import shared_text
from plantain.probe.placebo import floor_percent, placebo
from plantain.probe.progress import bar
from plantain.probe.reference import Reference, ReferenceSet
from plantain.probe.tokens import ProbeError, tokenize
from plantain.probe.trajectory import check_times
from plantain.prompts.sets import (
    SIDES,
    VISITOR,
    PromptError,
    PromptPair,
    PromptSet,
    check_prompt_set,
    first_set,
    load_prompt_set,
    user_pair,
)
from plantain.runs.capture import SumsOfSquares
from plantain.runs.directions import LEVELS, Means, directions_size
from plantain.runs.info import (
    MOST_REPEATS,
    Conditions,
    PairRecord,
    RunInfo,
    check_reference,
    check_same_model,
    seed_fault,
    size_fault,
)
from plantain.runs.io import CAPTURE, DIRECTIONS, LARGEST, RunError
from plantain.runs.registration import registration_sha256
from plantain.runs.run import Run
from plantain.runs.scopes import PLAIN_SCOPES, TOKEN_SCOPES
from plantain.runs.units import Layout
from plantain.runs.words import check_words, words_of

if TYPE_CHECKING:
    from diffusers import Flux2KleinPipeline

Progress = Callable[[int, int], None]
"""Called with the pairs done and the pairs in all."""


@dataclass(frozen=True)
class ProbeConfig:
    """Settings of a run.

    Attributes
    ----------
    size : int or None
        Height and width of the image in pixels, a multiple of 16 from 64 to 2048. None: what the model's folder says
        (the picture book's: 64), else 1024 on CUDA (the pipeline's default) and 256 elsewhere.
    seed : int
        Seed of the noise, and of the sign flips and halves.
    seeds : tuple of int
        Several seeds of the noise, as repeated measures; only `seed` unless given.
    steps : int
        Denoising steps; each is a repeated measure.
    mask_padding : bool
        Keep the padding out of the transformer's attention, and out of the scopes.
    n_permutations, n_splits : int
        Sign flips for the null, and random halves; 1,000 and 100 on the card.
    directions : {"heads", "all", "image", "off"}
        Of which the run keeps mean vectors beside the magnitudes: heads, text heads and the prompt embedding; the MLP
        too; heads over image tokens alone, enough for a control; none.
    times : tuple of float
        1, and later times at which directions of the heads are kept as well, over image tokens, with both sides of a
        pair at the same picture: 28 passes a pair and two for each time.

    Raises
    ------
    ProbeError
        A setting is out of range.

    Examples
    --------
    >>> import plantain
    >>> plantain.probe.ProbeConfig(size=256, seeds=(0, 1)).steps
    1
    """

    size: int | None = None
    seed: int = 0
    n_permutations: int = 1000
    n_splits: int = 100
    seeds: tuple[int, ...] = ()
    steps: int = 1
    mask_padding: bool = False
    directions: str = "heads"
    times: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        for name in ("size", "seed", "n_permutations", "n_splits", "steps"):
            value = getattr(self, name)
            if not (type(value) is int or (name == "size" and value is None)):
                raise ProbeError(f"{name} {value!r}: give a whole number.")
        faults = ["" if self.size is None else size_fault(self.size), *map(seed_fault, (self.seed, *self.seeds))]
        if fault := next(filter(None, faults), None):
            raise ProbeError(fault)
        if self.directions not in LEVELS:
            raise ProbeError(f"directions {self.directions!r}: choose of {', '.join(LEVELS)}.")
        if fault := check_times(self.times):
            raise ProbeError(fault)
        if len(self.times) > 1 and (self.directions == "off" or self.steps > 1 or len(self.seeds) > 1):
            raise ProbeError("later times go with directions, one step and one seed.")
        if self.n_permutations < 1 or self.n_splits < 1:
            raise ProbeError("at least one sign flip and one split are needed.")
        if len(set(self.seeds)) < len(self.seeds):
            raise ProbeError("a seed stands twice: the same noise again is no other measure.")
        if self.steps < 1 or max(1, len(self.seeds)) * self.steps > MOST_REPEATS:
            raise ProbeError(
                f"{len(self.seeds) or 1} seeds of {self.steps} steps: choose from 1 to {MOST_REPEATS} in all."
            )

    def conditions_for(self, pipe: Any) -> Conditions:
        return Conditions(self.size or _usual_size(pipe), self.seeds or (self.seed,), self.steps, self.mask_padding)


def _usual_size(pipe: Any) -> int:
    if drawing := drawing_of(pipe.name_or_path):
        return drawing.size
    return 1024 if pipe.transformer.device.type == "cuda" else 256


@dataclass(frozen=True)
class Plan:
    """What a run will be: everything but the numbers."""

    prompt_set: PromptSet
    model: ModelInfo
    layout: Layout
    versions: dict[str, str]
    conditions: Conditions
    config: ProbeConfig
    references: ReferenceSet | None = None

    def capture_size(self) -> int:
        """Return how large the run's raw material will be, in bytes, but for the draws and the file's head."""
        return self.layout.capture_size(len(self.prompt_set.pairs), self.conditions.n_repeats, self._tokens)

    def directions_size(self) -> int:
        """Return how large the run's mean vectors will be, in bytes, but for the file's head."""
        return directions_size(self.layout, len(self.prompt_set.pairs), self.config.directions, self._tokens)

    @property
    def _tokens(self) -> tuple[str, ...]:
        return TOKEN_SCOPES if self.references else PLAIN_SCOPES

    def settings(self) -> dict[str, Any]:
        """Return what a pair's numbers depend on, to tell whether kept pairs belong to this run.

        Without directions as before there were any: pairs that an older version kept are those of such a run.
        """
        level = self.config.directions
        return {
            "versions": self.versions,
            "fingerprint": self.model.fingerprint,
            "dtype": self.model.dtype,
            "device": self.model.device,
            "prompts_sha256": self.prompt_set.sha256,
            "conditions": {**asdict(self.conditions), "seeds": list(self.conditions.seeds)},
            "references": self.references.hashes if self.references else {},
            "vae": self.references.vae if self.references else "",
            **({} if level == "off" else {"directions": level}),
            **({"times": list(self.config.times)} if self.config.times[1:] else {}),
        }


def plan_run(
    model: LoadedModel,
    prompt_set: PromptSet,
    config: ProbeConfig | None = None,
    references: ReferenceSet | None = None,
) -> Plan:
    """Settle model, conditions and versions of a run, and refuse prompts that the model cannot take.

    Parameters
    ----------
    model : LoadedModel
    prompt_set : PromptSet
    config : ProbeConfig, optional
    references : ReferenceSet, optional

    Returns
    -------
    Plan

    Raises
    ------
    PromptError
        A prompt is too long or holds a control token; named by pair and side.
    ProbeError
        The run would be larger than `load_run` reads.
    """
    config = config or ProbeConfig()
    if config.times[1:] and references is not None:
        raise ProbeError("later times go without reference images.")
    for pair in prompt_set.pairs:
        check_prompts(model.pipe, pair)
        if config.times[1:]:
            shared_text(pair)
    versions = {"plantain": __version__, **software_versions()}
    if references is not None:  # which decodes and resizes them
        versions["pillow"] = version("pillow")
    conditions, layout = config.conditions_for(model.pipe), layout_of(model.pipe)
    plan = Plan(prompt_set, model.info, layout, versions, conditions, config, references)
    if plan.capture_size() > LARGEST[CAPTURE]:
        raise ProbeError(
            f"{len(prompt_set.pairs)} pairs of {conditions.n_repeats} repeated measures would be a file that no reader "
            f"takes ({plan.capture_size():,} bytes, at most {LARGEST[CAPTURE]:,}). Take fewer seeds or steps."
        )
    if plan.directions_size() > LARGEST[DIRECTIONS]:
        raise ProbeError(
            f"the directions of {len(prompt_set.pairs)} pairs would be a file that no reader takes "
            f"({plan.directions_size():,} bytes, at most {LARGEST[DIRECTIONS]:,}). Keep fewer (--directions heads|off)."
        )
    return plan


def check_prompts(pipe: Any, pair: PromptPair) -> None:
    """Refuse prompts that the model cannot take, before any pass is run.

    Raises
    ------
    PromptError
        The model cannot take a prompt as it is.
    """
    for side in SIDES:
        try:
            tokenize(pipe.tokenizer, getattr(pair, side), text_tokens(pipe))
        except PromptError as error:
            where = f"the {side} prompt" if pair.id == VISITOR else f"pair {pair.id!r}, {side} side"
            raise PromptError(f"{where}: {error}") from error


def run_probe(
    pipe: Flux2KleinPipeline | LoadedModel | PhasedPipeline,
    prompt_set: PromptSet | str | Path | None = None,
    config: ProbeConfig | None = None,
    progress: Progress | bool | None = None,
    keep: Callable[[Plan], Checkpoint] | None = None,
    batch: int | None = None,
    distributed: Distributed = ALONE,
    references: ReferenceSet | None = None,
    encoded: Progress | None = None,
    as_read: bool = False,
) -> Run:
    """Probe a pipeline with all pairs of a set.

    Parameters
    ----------
    pipe : Flux2KleinPipeline, LoadedModel or PhasedPipeline
        A pipeline is fingerprinted first, which reads all its weights, and its weights are called ``local`` unless they
        are marked as random; a loaded model says itself what it is, as long as nobody has changed it. A model with
        hooks, other attention processors, fused projections, adapters or changed weights is named as changed in the
        run, and a warning says so. A phased pipeline takes half the memory: all prompts are encoded first, then all
        passes run. The run is the same, to the bit where no batches are made.
    prompt_set : PromptSet, str or Path, optional
        A set, or what `load_prompt_set` takes. A set that was made in code is checked as a file is. Unless given, the
        project's own moral pairs in the words that the model takes.
    config : ProbeConfig, optional
    progress : callable or bool, optional
        Unless given, a bar on stderr; False for none. A callable gets (pairs done, pairs in all) of this process, also
        before the first.
    keep : callable, optional
        Makes the `Checkpoint` for the plan; pairs found in it are not computed again. A phased pipeline needs one: it
        keeps the prompt embeddings as well (16 MB a pair for Klein).
    batch : int, optional
        Prompts in one pass; `usual_batch` unless given.
    distributed : Distributed, optional
        The processes that share the pairs; all of them get the whole run.
    references : ReferenceSet, optional
        Every pair's reference image, from `encode_images`.
    encoded : callable, optional
        Called with (pairs encoded, pairs in all) of this process, where the pipeline is phased.
    as_read : bool
        The loaded model was read just now and is not held against its weights again: 8 GB take seconds.

    Returns
    -------
    Run
        One more pair is sent after the set's: a prompt beside itself, the placebo, whose difference is its `floor`.

    Raises
    ------
    PromptError
        A prompt, or the set, cannot be taken as it is, or is not in the model's words; raised before the first pass.
    ProbeError
        An activation was NaN or infinite.
    ModelError
        A phased pipeline's files are damaged.
    RunError
        Pairs cannot be kept.

    Examples
    --------
    >>> import dataclasses, plantain
    >>> pipe = plantain.load_pipeline("tiny-random", device="cpu")
    >>> prompt_set = plantain.load_prompt_set("moral_valence")
    >>> few = dataclasses.replace(prompt_set, pairs=prompt_set.pairs[:4])
    >>> run = plantain.run_probe(pipe, few, plantain.probe.ProbeConfig(size=64))
    >>> run.info.weights, run.magnitudes("heads").shape  # sides, pairs, units
    ('stand-in', (2, 4, 100))
    """
    name = (pipe.pipe if isinstance(pipe, LoadedModel | PhasedPipeline) else pipe).name_or_path
    if prompt_set is None:
        prompt_set = first_set(words_of(name) if name else "")
    prompt_set = prompt_set if isinstance(prompt_set, PromptSet) else load_prompt_set(prompt_set)
    check_prompt_set(prompt_set)
    if name:  # else it was built in memory, as the stand-in is
        check_words(prompt_set, name)
    pairs = prompt_set.pairs
    if isinstance(pipe, PhasedPipeline):
        for pair in pairs:
            check_prompts(pipe.pipe, pair)
        model = pipe.load_in_turn()
    else:
        model = pipe if as_read and isinstance(pipe, LoadedModel) else as_it_is(pipe)
    if model.info.changes:
        told = f"the model is not as it was loaded, and the run says so: {'; '.join(model.info.changes)}"
        warnings.warn(told, stacklevel=2)
    plan = plan_run(model, prompt_set, config, references)
    unfinished, mine, embeddings = keep(plan) if keep else None, distributed.share(len(pairs)), None
    with ExitStack() as bars, patient_threads():
        probing = progress if callable(progress) else bars.enter_context(bar("probing", shown=progress is not False))
        if isinstance(pipe, PhasedPipeline):
            assert unfinished, "a phased pipeline keeps its prompt embeddings in a checkpoint"
            embeddings = _Embeddings(unfinished, pairs)
            # Of the first pair always: the placebo needs them too.
            wanted = [i for i in mine if unfinished.load(i) is None or (distributed.is_main and i == 0)]
            _encode(pipe, embeddings, wanted, plan, encoded or _unheard)
            pipe.load_transformer()
        given = batch, embeddings and embeddings.of, references
        kept = {"directions": plan.config.directions, "times": plan.config.times}
        passes, done = Passes(model.pipe, plan.conditions, *given, **kept), []
        probing(0, len(mine))
        for index, (capture, seconds) in zip(mine, iter_pairs(passes, pairs, unfinished, mine), strict=True):
            done.append((index, (capture, seconds + (embeddings.seconds(index) if embeddings else 0.0))))
            probing(len(done), len(mine))
        # Last, so that no pair waits for it, and in one process, whose answer all of them get.
        checked = []
        if distributed.is_main:
            (same,) = passes.capture([placebo(pairs[0])], later=False)
            checked.append(floor_percent(same, plan.layout))
    (floor,) = distributed.gather(checked)
    whole = sorted(distributed.gather(done), key=lambda numbered: numbered[0])
    return assemble(plan, [item for _, item in whole], floor)


def _unheard(_done: int, _total: int) -> None: ...


def iter_pairs(
    passes: Passes,
    pairs: Sequence[PromptPair],
    unfinished: Checkpoint | None = None,
    mine: Sequence[int] | None = None,
) -> Iterator[Done]:
    """Yield each pair's capture and the seconds that it took, in order.

    Parameters
    ----------
    passes : Passes
    pairs : sequence of PromptPair
    unfinished : Checkpoint, optional
        Pairs found there are not computed again; new ones are kept there.
    mine : sequence of int
        Indices of the pairs to run, where other processes run the rest; all unless given.
    """
    indices = range(len(pairs)) if mine is None else mine
    fresh: dict[int, Done] = {}
    for place, index in enumerate(indices):
        kept = fresh.pop(index, None) or (unfinished.load(index) if unfinished else None)
        if kept is None:
            fresh = _run_batch(passes, pairs, indices[place : place + passes.pairs_at_once], unfinished)
            kept = fresh.pop(index)
        yield kept


def _run_batch(
    passes: Passes, pairs: Sequence[PromptPair], indices: Sequence[int], unfinished: Checkpoint | None
) -> dict[int, Done]:
    """Run what is missing of some pairs at once; each is said to have taken its share of the time."""
    missing = [i for i in indices if unfinished is None or unfinished.load(i) is None]
    start = time.perf_counter()
    captures = passes.capture([pairs[i] for i in missing])
    share = (time.perf_counter() - start) / len(missing)
    if unfinished:
        for i, capture in zip(missing, captures, strict=True):
            unfinished.save(i, capture, share)
    return {i: (capture, share) for i, capture in zip(missing, captures, strict=True)}


class _Embeddings:
    """The prompt embeddings of an unfinished run."""

    def __init__(self, unfinished: Checkpoint, pairs: Sequence[PromptPair]) -> None:
        self.unfinished, self.pairs = unfinished, pairs
        self._place = {pair.id: i for i, pair in enumerate(pairs)}
        self._seconds: dict[int, float] = {}  # of what was read: a pair's file is 16 MB at full size

    def find(self, index: int) -> Any | None:
        """Return a pair's embeddings, or None."""
        found, self._seconds[index] = unpack_embeddings(self.unfinished.load_embeddings(index)) or (None, 0.0)
        return found

    def seconds(self, index: int) -> float:
        """Return the seconds that a pair's embeddings took, 0 where they are gone."""
        if index not in self._seconds:  # a pair that was done before this start
            self.find(index)
        return self._seconds[index]

    def of(self, pair: PromptPair) -> Any:
        index = self._place[pair.id]
        found = self.find(index)
        if found is None:
            raise RunError(f"{self.unfinished.folder}: prompt embeddings are gone. Repeat the command.")
        kept = [getattr(self.pairs[index], side) for side in SIDES]
        sides = [kept.index(getattr(pair, side)) for side in SIDES]  # a placebo has one prompt on both
        return found[[*sides, *range(len(SIDES), len(found))]]


def _encode(model: PhasedPipeline, embeddings: _Embeddings, indices: list[int], plan: Plan, report: Progress) -> None:
    """Encode the pairs whose embeddings are missing."""
    missing = [i for i in indices if embeddings.find(i) is None]
    kept, how = len(indices) - len(missing), (plan.conditions.mask_padding, len(plan.config.times) > 1)
    report(kept, len(indices))
    pipe = model.load_encoder() if missing else None
    for done, index in enumerate(missing, start=kept + 1):
        embeddings.unfinished.save_embeddings(index, pack_embeddings(pipe, embeddings.pairs[index], *how))
        report(done, len(indices))


def assemble(plan: Plan, done: list[Done], floor: float | None = None) -> Run:
    """Put all pairs of a plan together, draw signs and halves, and stamp the provenance.

    Parameters
    ----------
    plan : Plan
    done : list of (PairCapture, float)
        What `iter_pairs` yielded.
    floor : float, optional
        Of the placebo, from `floor_percent`.
    """
    captures, seconds = zip(*done, strict=True)
    means = [capture.means for capture in captures]
    assert all(means) or not any(means), "the pairs were not captured in one way"
    prompt_set, config, n = plan.prompt_set, plan.config, len(done)
    info = RunInfo(
        **asdict(plan.model),
        **asdict(plan.conditions),
        seed=config.seed,
        references=plan.references.hashes if plan.references else {},
        vae=plan.references.vae if plan.references else "",
        prompt_set=prompt_set.name,
        title=prompt_set.title,
        positive=prompt_set.positive,
        negative=prompt_set.negative,
        prompts_sha256=prompt_set.sha256,
        layout=plan.layout,
        versions=plan.versions,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(sum(seconds), 3),
        floor=floor,
        preregistration=registration_sha256(),
        role=prompt_set.role or None,
    )
    # Two streams of one seed: asking for more flips does not move the halves.
    rng_signs, rng_halves = (np.random.default_rng((config.seed, stream)) for stream in range(2))
    ran = zip(prompt_set.pairs, captures, strict=True)
    return Run(
        info,
        tuple(PairRecord(pair, c.first_difference, c.n_differing) for pair, c in ran),
        SumsOfSquares.concatenate([c.sums for c in captures]),
        stats.draw_signs(config.n_permutations, n, rng_signs),
        stats.draw_halves(config.n_splits, n, rng_halves),
        repeats=tuple(map(SumsOfSquares.concatenate, zip(*(c.repeats for c in captures), strict=True))),
        directions=Means.concatenate(means) if all(means) else None,
    )


def prepare_pair(
    model: LoadedModel, run: Run, positive: str, negative: str, reference: Reference | None = None
) -> PromptPair:
    """Refuse everything that can be refused before a pass, and return the pair.

    Raises
    ------
    PromptError
        A prompt is empty, too long or holds a control token, or both are the same.
    NotComparableError
        The model is not the one that made the run, or the reference image does not go with the run's.
    """
    pair = user_pair(positive, negative)
    check_same_model(model.info, run.info)
    sha256, vae = (reference.sha256, reference.vae) if reference else (None, "")
    check_reference(run.info, sha256, vae)
    check_prompts(model.pipe, pair)
    return pair
