"""The glue: a pipeline, a prompt set and a configuration become a `Run`; a visitor's pair meets a run.

Knows nothing about Gradio or the Hub. The pair is the unit of work: progress, cancelling and resuming all
hang on `iter_pairs`.

`run_experiment`  all pairs, resumable -> `Run`
`plan_run`        what a run will be, settled before its first pass
`iter_pairs`      pair by pair, for callers that show or keep each one
`assemble`        pairs -> `Run`
`probe_pair`      one more pair through the model, scored against a run
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from plantain import PlantainError, __version__, stats
from plantain.capture import capture_pair, layout_of, tokenize
from plantain.models import ModelInfo, describe, software_versions
from plantain.pairs import VISITOR, PairResult, check_same_model, score_pair, visitor_pair
from plantain.prompts import PromptError, PromptPair, PromptSet
from plantain.results import PairRecord, Run, RunInfo
from plantain.unfinished import UnfinishedRun
from plantain.units import SIDES, Layout, PairCapture, SumsOfSquares

SIZES = range(64, 2048 + 1, 16)

Progress = Callable[[int, int], None]
"""Called with the pairs done and the pairs in all."""


class ConfigError(PlantainError, ValueError):
    """A setting out of range; the message says what is allowed."""


@dataclass(frozen=True)
class ExperimentConfig:
    """Settings of a run.

    Attributes
    ----------
    size : int or None
        Height and width of the image in pixels, a multiple of 16 from 64 to 2048. None: 1024 on CUDA
        (the pipeline's default), 256 elsewhere.
    seed : int
        Seed of the noise, and of the sign flips and halves.
    n_permutations, n_splits : int
        Sign flips for the null, and random halves; 1,000 and 100 on the card.
    """

    size: int | None = None
    seed: int = 0
    n_permutations: int = 1000
    n_splits: int = 100

    def __post_init__(self) -> None:
        for name in ("size", "seed", "n_permutations", "n_splits"):
            value = getattr(self, name)
            if not (type(value) is int or (name == "size" and value is None)):
                raise ConfigError(f"{name} {value!r}: give a whole number.")
        if self.size is not None and self.size not in SIZES:
            raise ConfigError(f"size {self.size}: choose a multiple of 16 from {SIZES[0]} to {SIZES[-1]}.")
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"seed {self.seed}: choose a whole number from 0 to 2^63 - 1.")
        if self.n_permutations < 1 or self.n_splits < 1:
            raise ConfigError("at least one sign flip and one split are needed.")

    def size_for(self, pipe: Any) -> int:
        return self.size or (1024 if pipe.transformer.device.type == "cuda" else 256)


@dataclass(frozen=True)
class Plan:
    """What a run will be: everything but the numbers. Plain data, so it crosses process boundaries."""

    prompt_set: PromptSet
    model: ModelInfo
    layout: Layout
    versions: dict[str, str]
    size: int
    config: ExperimentConfig

    def settings(self) -> dict[str, Any]:
        """Return what a pair's numbers depend on, to tell whether kept pairs belong to this run."""
        return {
            "versions": self.versions,
            "fingerprint": self.model.fingerprint,
            "dtype": self.model.dtype,
            "device": self.model.device,
            "prompts_sha256": self.prompt_set.sha256,
            "size": self.size,
            "seed": self.config.seed,
        }


def plan_run(pipe: Any, prompt_set: PromptSet, config: ExperimentConfig | None = None) -> Plan:
    """Settle model, size and versions of a run, and refuse prompts that the model cannot take.

    Raises
    ------
    PromptError
        A prompt is too long or holds a control token; named by pair and side.
    """
    config = config or ExperimentConfig()
    for pair in prompt_set.pairs:
        check_prompts(pipe, pair)
    versions = {"plantain": __version__, **software_versions()}
    return Plan(prompt_set, describe(pipe), layout_of(pipe), versions, config.size_for(pipe), config)


def check_prompts(pipe: Any, pair: PromptPair) -> None:
    """Refuse prompts that the model cannot take, before any pass is run.

    Raises
    ------
    PromptError
        The model cannot take a prompt as it is.
    """
    for side in SIDES:
        try:
            tokenize(pipe.tokenizer, getattr(pair, side), pipe.tokenizer_max_length)
        except PromptError as error:
            where = f"the {side} prompt" if pair.id == VISITOR else f"pair {pair.id!r}, {side} side"
            raise PromptError(f"{where}: {error}") from error


def iter_pairs(
    pipe: Any, pairs: tuple[PromptPair, ...], size: int, seed: int, unfinished: UnfinishedRun | None = None
) -> Iterator[tuple[PairCapture, float]]:
    """Yield each pair's capture and the seconds that it took, in order.

    Parameters
    ----------
    pipe
        A Klein pipeline.
    pairs : tuple of PromptPair
    size, seed : int
    unfinished : UnfinishedRun, optional
        Pairs found there are not computed again; new ones are kept there.
    """
    for index, pair in enumerate(pairs):
        kept = unfinished.load(index) if unfinished else None
        if kept is None:
            start = time.perf_counter()
            kept = capture_pair(pipe, pair, size, seed), time.perf_counter() - start
            if unfinished:
                unfinished.save(index, *kept)
        yield kept


def assemble(plan: Plan, done: list[tuple[PairCapture, float]]) -> Run:
    """Put all pairs of a plan together, draw signs and halves, and stamp the provenance.

    Parameters
    ----------
    plan : Plan
    done : list of (PairCapture, float)
        What `iter_pairs` yielded.
    """
    captures, seconds = zip(*done, strict=True)
    prompt_set, config, n = plan.prompt_set, plan.config, len(done)
    info = RunInfo(
        **asdict(plan.model),
        size=plan.size,
        seed=config.seed,
        prompt_set=prompt_set.name,
        title=prompt_set.title,
        positive=prompt_set.positive,
        negative=prompt_set.negative,
        prompts_sha256=prompt_set.sha256,
        layout=plan.layout,
        versions=plan.versions,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(sum(seconds), 3),
    )
    # Two streams of one seed: asking for more flips does not move the halves.
    rng_signs, rng_halves = (np.random.default_rng((config.seed, stream)) for stream in range(2))
    return Run(
        info,
        tuple(
            PairRecord(pair, c.first_difference, c.n_differing)
            for pair, c in zip(prompt_set.pairs, captures, strict=True)
        ),
        SumsOfSquares.concatenate([c.sums for c in captures]),
        stats.draw_signs(config.n_permutations, n, rng_signs),
        stats.draw_halves(config.n_splits, n, rng_halves),
    )


def run_experiment(
    pipe: Any,
    prompt_set: PromptSet,
    config: ExperimentConfig | None = None,
    progress: Progress | None = None,
    keep: Callable[[Plan], UnfinishedRun] | None = None,
) -> Run:
    """Probe a pipeline with all pairs of a set.

    Parameters
    ----------
    pipe : Flux2KleinPipeline
    prompt_set : PromptSet
    config : ExperimentConfig, optional
    progress : callable, optional
        Called with (pairs done, pairs in all), also before the first.
    keep : callable, optional
        Makes the `UnfinishedRun` for the plan; pairs found in it are not computed again.

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
    plan = plan_run(pipe, prompt_set, config)
    unfinished = keep(plan) if keep else None
    total, done = len(prompt_set.pairs), []
    report = progress or (lambda _done, _total: None)
    report(0, total)
    for item in iter_pairs(pipe, prompt_set.pairs, plan.size, plan.config.seed, unfinished):
        done.append(item)
        report(len(done), total)
    return assemble(plan, done)


def prepare_pair(pipe: Any, run: Run, positive: str, negative: str) -> PromptPair:
    """Refuse everything that can be refused before a pass, and return the pair.

    Raises
    ------
    PromptError, WrongModelError
        As `probe_pair`.
    """
    pair = visitor_pair(positive, negative)
    check_same_model(describe(pipe), run.info)
    check_prompts(pipe, pair)
    return pair


def probe_pair(
    pipe: Any, run: Run, positive: str, negative: str, units: str = "heads", scope: str = "all"
) -> PairResult:
    """Send one more pair through the run's own model and settings, and score it.

    Raises
    ------
    PromptError
        A prompt is empty, too long or holds a control token, or both are the same.
    WrongModelError
        The pipeline is not the model that made the run.
    """
    pair = prepare_pair(pipe, run, positive, negative)
    return score_pair(run, pair, capture_pair(pipe, pair, run.info.size, run.info.seed), units, scope)
