"""What a run will be, settled before its first pass, and its pairs put together at the end.

Knows nothing about how pairs are run.

`ExperimentConfig`  settings
`plan_run`          a pipeline, a prompt set and settings -> `Plan`
`check_prompts`     refuse what the model cannot take
`assemble`          pairs -> `Run`
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np

from plantain import PlantainError, __version__, stats
from plantain.capture import tokenize
from plantain.conditions import MOST_REPEATS, Conditions, seed_fault, size_fault
from plantain.models import ModelInfo, describe, software_versions
from plantain.pairs import VISITOR
from plantain.passes import layout_of
from plantain.prompts import PromptError, PromptPair, PromptSet
from plantain.reference import ReferenceSet
from plantain.results import CAPTURE, LARGEST, PairRecord, Run, RunInfo
from plantain.scopes import PLAIN_SCOPES, STREAM_SCOPES, TOKEN_SCOPES, recorded_scopes
from plantain.sums import PairCapture, SumsOfSquares
from plantain.unfinished import Done
from plantain.units import SIDES, Layout


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
    seeds : tuple of int
        Several seeds of the noise, as repeated measures; only `seed` unless given.
    steps : int
        Denoising steps; each is a repeated measure.
    mask_padding : bool
        Keep the padding out of the transformer's attention, and out of the scopes.
    n_permutations, n_splits : int
        Sign flips for the null, and random halves; 1,000 and 100 on the card.
    """

    size: int | None = None
    seed: int = 0
    n_permutations: int = 1000
    n_splits: int = 100
    seeds: tuple[int, ...] = ()
    steps: int = 1
    mask_padding: bool = False

    def __post_init__(self) -> None:
        for name in ("size", "seed", "n_permutations", "n_splits", "steps"):
            value = getattr(self, name)
            if not (type(value) is int or (name == "size" and value is None)):
                raise ConfigError(f"{name} {value!r}: give a whole number.")
        faults = ["" if self.size is None else size_fault(self.size), *map(seed_fault, (self.seed, *self.seeds))]
        if fault := next(filter(None, faults), None):
            raise ConfigError(fault)
        self._check_repeats()
        if self.n_permutations < 1 or self.n_splits < 1:
            raise ConfigError("at least one sign flip and one split are needed.")

    def _check_repeats(self) -> None:
        if len(set(self.seeds)) < len(self.seeds):
            raise ConfigError("a seed stands twice: the same noise again is no other measure.")
        if self.steps < 1 or max(1, len(self.seeds)) * self.steps > MOST_REPEATS:
            raise ConfigError(
                f"{len(self.seeds) or 1} seeds of {self.steps} steps: choose from 1 to {MOST_REPEATS} in all."
            )

    def conditions_for(self, pipe: Any) -> Conditions:
        return Conditions(self.size_for(pipe), self.seeds or (self.seed,), self.steps, self.mask_padding)

    def size_for(self, pipe: Any) -> int:
        return self.size or (1024 if pipe.transformer.device.type == "cuda" else 256)


@dataclass(frozen=True)
class Plan:
    """What a run will be: everything but the numbers."""

    prompt_set: PromptSet
    model: ModelInfo
    layout: Layout
    versions: dict[str, str]
    conditions: Conditions
    config: ExperimentConfig
    references: ReferenceSet | None = None

    def capture_size(self) -> int:
        """Return how large the run's raw material will be, in bytes, but for the draws and the file's head."""
        tokens = TOKEN_SCOPES if self.references else PLAIN_SCOPES
        numbers = sum(len(recorded_scopes(s, tokens)) * self.layout.n_slices(s) for s in STREAM_SCOPES)
        measures = self.conditions.n_repeats + 1 if self.conditions.n_repeats > 1 else 1  # the average as well
        return 4 * len(SIDES) * len(self.prompt_set.pairs) * numbers * measures

    def settings(self) -> dict[str, Any]:
        """Return what a pair's numbers depend on, to tell whether kept pairs belong to this run."""
        return {
            "versions": self.versions,
            "fingerprint": self.model.fingerprint,
            "dtype": self.model.dtype,
            "device": self.model.device,
            "prompts_sha256": self.prompt_set.sha256,
            "conditions": {**asdict(self.conditions), "seeds": list(self.conditions.seeds)},
            "references": self.references.hashes if self.references else {},
            "vae": self.references.vae if self.references else "",
        }


def plan_run(
    pipe: Any,
    prompt_set: PromptSet,
    config: ExperimentConfig | None = None,
    references: ReferenceSet | None = None,
) -> Plan:
    """Settle model, conditions and versions of a run, and refuse prompts that the model cannot take.

    Parameters
    ----------
    pipe : Flux2KleinPipeline
    prompt_set : PromptSet
    config : ExperimentConfig, optional
    references : ReferenceSet, optional

    Raises
    ------
    PromptError
        A prompt is too long or holds a control token; named by pair and side.
    ConfigError
        The run would be larger than `results.load_run` reads.
    """
    config = config or ExperimentConfig()
    for pair in prompt_set.pairs:
        check_prompts(pipe, pair)
    versions = {"plantain": __version__, **software_versions()}
    if references is not None:  # which decodes and resizes them
        versions["pillow"] = version("pillow")
    conditions = config.conditions_for(pipe)
    plan = Plan(prompt_set, describe(pipe), layout_of(pipe), versions, conditions, config, references)
    if plan.capture_size() > LARGEST[CAPTURE]:
        raise ConfigError(
            f"{len(prompt_set.pairs)} pairs of {conditions.n_repeats} repeated measures would be a file that no reader "
            f"takes ({plan.capture_size():,} bytes, at most {LARGEST[CAPTURE]:,}). Take fewer seeds or steps."
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
            tokenize(pipe.tokenizer, getattr(pair, side), pipe.tokenizer_max_length)
        except PromptError as error:
            where = f"the {side} prompt" if pair.id == VISITOR else f"pair {pair.id!r}, {side} side"
            raise PromptError(f"{where}: {error}") from error


def assemble(plan: Plan, done: list[Done]) -> Run:
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
        size=plan.conditions.size,
        seed=config.seed,
        seeds=plan.conditions.seeds,
        steps=plan.conditions.steps,
        mask_padding=plan.conditions.mask_padding,
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
        repeats=_repeats(captures),
    )


def _repeats(captures: Sequence[PairCapture]) -> tuple[SumsOfSquares, ...]:
    """Put the pairs' repeated measures together, measure by measure."""
    return tuple(SumsOfSquares.concatenate(list(own)) for own in zip(*(c.repeats for c in captures), strict=True))
