"""The glue: a pipeline, a prompt set and a configuration become a `Run`; a visitor's pair meets a run.

Knows nothing about Gradio or the Hub. The pair is the unit of work: progress, cancelling and resuming all
hang on `iter_pairs`.

`run_experiment`  all pairs, resumable -> `Run`
`run_in_phases`   the same with half of the model in memory at a time
`iter_pairs`      pair by pair, for callers that show or keep each one
`probe_pair`      one more pair through the model, scored against a run
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from plantain.models import ModelHalves, describe
from plantain.pairs import PairResult, check_reference, check_same_model, score_pair, visitor_pair
from plantain.passes import Passes, Reference, References, pack_embeddings, unpack_embeddings
from plantain.plan import ConfigError, ExperimentConfig, Plan, assemble, check_prompts, plan_run
from plantain.prompts import PromptPair, PromptSet
from plantain.reference import ReferenceSet
from plantain.results import Run, RunError
from plantain.team import ALONE, Team
from plantain.unfinished import Done, UnfinishedRun

__all__ = [
    "ConfigError", "ExperimentConfig", "Plan", "Progress", "assemble", "check_prompts", "iter_pairs", "plan_run",
    "prepare_pair", "probe_pair", "run_experiment", "run_in_phases",
]  # fmt: skip

Progress = Callable[[int, int], None]
"""Called with the pairs done and the pairs in all."""


def iter_pairs(
    passes: Passes,
    pairs: Sequence[PromptPair],
    unfinished: UnfinishedRun | None = None,
    mine: Sequence[int] | None = None,
) -> Iterator[Done]:
    """Yield each pair's capture and the seconds that it took, in order.

    Parameters
    ----------
    passes : Passes
    pairs : sequence of PromptPair
    unfinished : UnfinishedRun, optional
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
    passes: Passes, pairs: Sequence[PromptPair], indices: Sequence[int], unfinished: UnfinishedRun | None
) -> dict[int, Done]:
    """Run what is missing of some pairs at once; each is said to have taken its share of the time."""
    missing = [i for i in indices if unfinished is None or unfinished.load(i) is None]
    start = time.perf_counter()
    captures = passes.capture([pairs[i] for i in missing])
    share = (time.perf_counter() - start) / len(missing)
    done = {i: (capture, share) for i, capture in zip(missing, captures, strict=True)}
    for i, item in done.items():
        if unfinished:
            unfinished.save(i, *item)
    return done


def run_experiment(
    pipe: Any,
    prompt_set: PromptSet,
    config: ExperimentConfig | None = None,
    progress: Progress | None = None,
    keep: Callable[[Plan], UnfinishedRun] | None = None,
    batch: int | None = None,
    team: Team = ALONE,
    references: ReferenceSet | None = None,
) -> Run:
    """Probe a pipeline with all pairs of a set.

    Parameters
    ----------
    pipe : Flux2KleinPipeline
    prompt_set : PromptSet
    config : ExperimentConfig, optional
    progress : callable, optional
        Called with (pairs done, pairs in all) of this process, also before the first.
    keep : callable, optional
        Makes the `UnfinishedRun` for the plan; pairs found in it are not computed again.
    batch : int, optional
        Prompts in one pass; `passes.usual_batch` unless given.
    team : Team, optional
        The processes that share the pairs; all of them get the whole run.
    references : ReferenceSet, optional
        Every pair's reference image, from `reference.encode_images`.

    Returns
    -------
    Run

    Raises
    ------
    PromptError
        A prompt cannot be taken as it is; raised before the first pass.
    CaptureError
        An activation was NaN or infinite.
    RunError
        Pairs cannot be kept.
    """
    plan = plan_run(pipe, prompt_set, config, references)
    unfinished = keep(plan) if keep else None
    passes = Passes(pipe, plan.conditions, batch, references=_finder(references))
    return _run_pairs(plan, passes, unfinished, progress, team)


def _finder(references: ReferenceSet | None) -> References | None:
    return (lambda pair: references.by_pair[pair.id]) if references else None


def run_in_phases(
    halves: ModelHalves,
    prompt_set: PromptSet,
    config: ExperimentConfig | None,
    progress: Progress | None,
    keep: Callable[[Plan], UnfinishedRun],
    batch: int | None = None,
    team: Team = ALONE,
    encoded: Progress | None = None,
    references: ReferenceSet | None = None,
) -> Run:
    """Do what `run_experiment` does with half the memory: encode all prompts, then run all passes.

    Parameters
    ----------
    halves : ModelHalves
    prompt_set, config, progress, keep, batch, team, references
        As for `run_experiment`. The prompt embeddings are kept as well (16 MB a pair for Klein).
    encoded : callable, optional
        Called with (pairs encoded, pairs in all) of this process.

    Returns
    -------
    Run
        The same as `run_experiment`'s, to the bit where no batches are made.

    Raises
    ------
    PromptError, CaptureError, RunError
        As `run_experiment`.
    ModelError
        The model's files are damaged.
    """
    for pair in prompt_set.pairs:
        check_prompts(halves.pipe, pair)
    plan = plan_run(halves.identified(), prompt_set, config, references)
    unfinished = keep(plan)
    embeddings, mine = _Embeddings(unfinished, prompt_set.pairs), team.share(len(prompt_set.pairs))
    _encode(halves, embeddings, [i for i in mine if unfinished.load(i) is None], encoded)
    passes = Passes(halves.with_transformer(), plan.conditions, batch, embeddings.of, _finder(references))
    return _run_pairs(plan, passes, unfinished, progress, team, embeddings)


class _Embeddings:
    """The prompt embeddings of an unfinished run."""

    def __init__(self, unfinished: UnfinishedRun, pairs: Sequence[PromptPair]) -> None:
        self._unfinished, self._pairs = unfinished, pairs
        self._place = {pair.id: i for i, pair in enumerate(pairs)}
        self._seconds: dict[int, float] = {}  # of what was read: a pair's file is 16 MB at full size

    def find(self, index: int) -> Any | None:
        """Return a pair's embeddings, or None."""
        found = unpack_embeddings(self._unfinished.load_embeddings(index))
        if found is None:
            return None
        self._seconds[index] = found[1]
        return found[0]

    def seconds(self, index: int) -> float:
        """Return the seconds that a pair's embeddings took, 0 where they are gone."""
        if index not in self._seconds:  # a pair that was done before this start
            self.find(index)
        return self._seconds.get(index, 0.0)

    def make(self, pipe: Any, index: int) -> None:
        self._unfinished.save_embeddings(index, pack_embeddings(pipe, self._pairs[index]))

    def of(self, pair: PromptPair) -> Any:
        found = self.find(self._place[pair.id])
        if found is None:
            raise RunError(f"{self._unfinished.folder}: prompt embeddings are gone. Repeat the command.")
        return found


def _encode(halves: ModelHalves, embeddings: _Embeddings, indices: list[int], progress: Progress | None) -> None:
    """Encode the pairs whose embeddings are missing."""
    missing = [i for i in indices if embeddings.find(i) is None]
    report = progress or (lambda _done, _total: None)
    report(len(indices) - len(missing), len(indices))
    pipe = halves.with_encoder() if missing else None
    for done, index in enumerate(missing, start=1):
        embeddings.make(pipe, index)
        report(len(indices) - len(missing) + done, len(indices))


def _run_pairs(
    plan: Plan,
    passes: Passes,
    unfinished: UnfinishedRun | None,
    progress: Progress | None,
    team: Team,
    embeddings: _Embeddings | None = None,
) -> Run:
    """Run this process's share of the pairs, and put all shares together."""
    pairs, mine, done = plan.prompt_set.pairs, team.share(len(plan.prompt_set.pairs)), []
    report = progress or (lambda _done, _total: None)
    report(0, len(mine))
    for index, (capture, seconds) in zip(mine, iter_pairs(passes, pairs, unfinished, mine), strict=True):
        done.append((index, (capture, seconds + (embeddings.seconds(index) if embeddings else 0.0))))
        report(len(done), len(mine))
    return assemble(plan, [item for _, item in sorted(team.gather(done), key=lambda numbered: numbered[0])])


def prepare_pair(pipe: Any, run: Run, positive: str, negative: str, reference: Reference | None = None) -> PromptPair:
    """Refuse everything that can be refused before a pass, and return the pair.

    Raises
    ------
    PromptError, WrongModelError
        As `probe_pair`.
    """
    pair = visitor_pair(positive, negative)
    check_same_model(describe(pipe), run.info)
    sha256, vae = (reference.sha256, reference.vae) if reference else (None, "")
    check_reference(run.info, sha256, vae)
    check_prompts(pipe, pair)
    return pair


def probe_pair(
    pipe: Any,
    run: Run,
    positive: str,
    negative: str,
    units: str = "heads",
    scope: str = "all",
    reference: Reference | None = None,
) -> PairResult:
    """Send one more pair through the run's own model and settings, and score it.

    Raises
    ------
    PromptError
        A prompt is empty, too long or holds a control token, or both are the same.
    WrongModelError
        The pipeline is not the model that made the run, or the run has reference images and none is given.
    """
    pair = prepare_pair(pipe, run, positive, negative, reference)
    images = (lambda _pair: reference) if reference else None
    capture = Passes(pipe, run.info.conditions, 1, references=images).capture([pair])[0]
    return score_pair(run, pair, capture, units, scope)
