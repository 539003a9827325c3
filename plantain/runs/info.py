"""Where a run's numbers come from: model, weights, settings, prompts, versions and date.

All of it may come from a stranger's file, so types and ranges stand at the fields and are checked.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from plantain import PlantainError
from plantain._files import STRICT
from plantain.models.info import CONTROLS, WEIGHTS, ModelInfo
from plantain.prompts.sets import PAIR_KEYS, ROLES, PromptPair, same_set
from plantain.runs.units import Layout

SIZES = range(64, 2048 + 1, 16)

MOST_REPEATS = 16  # passes of one prompt; every one is kept, 0.5 MB a pair at full size

RANDOM = "The weights are random: the numbers say nothing about FLUX.2 Klein."

PRACTICE = "This is the practice model, trained on drawings: the numbers say nothing about FLUX.2 Klein."

RESERVOIR = "The transformer's weights are random: the numbers show what the text encoder alone brings about."

NOT_KLEIN = {"practice": PRACTICE, "untrained": RANDOM, "reservoir": RESERVOIR, "stand-in": RANDOM}
"""What a reader has to know of numbers that are never Klein's, by the kind of weights."""


class NotComparableError(PlantainError, ValueError):
    """Runs, or a pair and a run, that cannot be held against each other."""


def _distinct(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"a seed stands twice in {seeds}")
    return seeds


Size = Annotated[int, Field(ge=1, le=1 << 16)]

Seed = Annotated[int, Field(ge=0, lt=1 << 63)]

Seeds = Annotated[tuple[Seed, ...], AfterValidator(_distinct)]

Steps = Annotated[int, Field(ge=1)]

Tokens = Annotated[int, Field(ge=0, lt=1 << 20)]

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


RUN_KEYS = (*PAIR_KEYS, "kind")  # of a pair, that a run keeps

Phrase = Annotated[str, Field(max_length=1000)]


@dataclass(frozen=True, config=STRICT)
class Conditions:
    """What a prompt's numbers depend on beside prompt, model and reference image.

    Attributes
    ----------
    size : int
        Height and width of the image in pixels.
    seeds : tuple of int
        Seeds of the noise, one pass each. Several are repeated measures: a pair's numbers are averaged over them, they
        are never more pairs.
    steps : int
        Denoising steps, guidance 1. Every step is a repeated measure as well; the first is at sigma 1, pure noise.
    mask_padding : bool
        Keep the padding out of the transformer's attention. It is not recorded then, so that scope ``all`` is without
        it.
    """

    size: Size
    seeds: Seeds = (0,)
    steps: Steps = 1
    mask_padding: bool = False

    @property
    def n_repeats(self) -> int:
        """Passes of every prompt."""
        return len(self.seeds) * self.steps

    @property
    def repeats(self) -> tuple[str, ...]:
        """Name the repeated measures, in the order in which they are recorded."""
        steps = [f", step {i} of {self.steps}" for i in range(1, self.steps + 1)] if self.steps > 1 else [""]
        return tuple(f"seed {seed}{step}" for seed in self.seeds for step in steps)

    @property
    def words(self) -> str:
        """Say them in words."""
        seeds = f"seed {self.seeds[0]}" if len(self.seeds) == 1 else f"seeds {', '.join(map(str, self.seeds))}"
        steps = f" · {self.steps} steps" if self.steps > 1 else ""
        masked = " · padding masked" if self.mask_padding else ""
        return f"{self.size} px · {seeds}{steps}{masked}"


@dataclass(frozen=True, config=STRICT)
class RunInfo:
    """Provenance and configuration of a run.

    Attributes
    ----------
    model, revision, weights, fingerprint, dtype, device
        As in `models.info.ModelInfo`.
    size : int
        Height and width of the image in pixels.
    seed : int
        Seed of the sign flips and halves, and of the noise unless `seeds` has others.
    prompt_set, title, positive, negative, prompts_sha256 : str
        From the `PromptSet`.
    layout : Layout
    versions : dict of str to str
        Software that the numbers depend on.
    date : str
        End of the run, ISO 8601, UTC.
    seconds : float
        Time that the pairs took, without loading the model; interruptions left out.
    seeds, steps, mask_padding
        As in `Conditions`.
    references : dict of str to str
        Of every pair's id the SHA-256 (hex) of its reference image's file; empty where there were no images.
    vae : str
        SHA-256 (hex) of the VAE that encoded them; empty where there were none.
    floor : float or None
        How far the two sides of the placebo differ, one prompt sent twice: the largest difference in percent of the
        magnitude over heads. None in older runs.
    changes : tuple of str
        As in `models.info.ModelInfo`; empty in older runs.
    preregistration : str or None
        SHA-256 (hex) of the PREREGISTRATION.md that the run was made under; None in older runs and where there was
        none.
    role : str or None
        What the prompt set said that it is for, one of `sets.ROLES`; None in older runs and where it said nothing.
    """

    model: str
    revision: str | None
    weights: Literal[WEIGHTS]
    fingerprint: str
    dtype: str
    device: str
    size: Size
    seed: Seed
    prompt_set: str
    title: str
    positive: str
    negative: str
    prompts_sha256: str
    layout: Layout
    versions: dict[str, str]
    date: str
    seconds: Annotated[float, Field(ge=0, lt=1e9)]
    # What older runs do not say; no seeds are `seed` alone.
    seeds: Seeds = ()
    steps: Steps = 1
    mask_padding: bool = False
    references: dict[str, Sha256] = field(default_factory=dict)
    vae: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")] = ""
    floor: Annotated[float, Field(ge=0, lt=1e9)] | None = None
    preregistration: Sha256 | None = None
    changes: Annotated[tuple[Phrase, ...], Field(max_length=100)] = ()
    role: Literal[ROLES] | None = None

    @property
    def conditions(self) -> Conditions:
        """Under which conditions its prompts went through the model."""
        return Conditions(self.size, self.seeds, self.steps, self.mask_padding)

    @property
    def referenced(self) -> str:
        """Say which reference images there were; empty where there were none."""
        n = len(set(self.references.values()))
        return "" if not n else "one reference image" if n == 1 else f"{n} reference images"

    @property
    def references_sha256(self) -> str:
        """SHA-256 (hex) over which pair saw which image; empty where there were none."""
        listed = json.dumps(sorted(self.references.items())).encode()
        return hashlib.sha256(listed).hexdigest() if self.references else ""

    @property
    def setting(self) -> tuple[Any, ...]:
        """What has to be the same for two runs of one model, of whatever prompts, to be made in one way.

        Of reference images: the one that all pairs share; where every pair has its own, only that it is so.
        """
        shared = set(self.references.values())
        return self.dtype, self.conditions, self.seed, self.vae, min(shared) if len(shared) == 1 else bool(shared)

    @property
    def is_plain(self) -> bool:
        """Say whether its passes were made as the card describes them: one seed, one step, no mask, no image."""
        return self.conditions == Conditions(self.size, self.seeds[:1]) and not self.references

    @property
    def settings_words(self) -> str:
        """Say in words how its passes were made."""
        return " · ".join(filter(None, (self.conditions.words, self.referenced)))

    @property
    def is_random(self) -> bool:
        """Say whether the transformer's weights are random: a stand-in's or a control's."""
        return self.weights in ("stand-in", *CONTROLS)

    def __post_init__(self) -> None:
        if not self.seeds:
            object.__setattr__(self, "seeds", (self.seed,))
        if self.conditions.n_repeats > MOST_REPEATS:
            raise ValueError(f"{len(self.seeds)} seeds of {self.steps} steps are more than {MOST_REPEATS} passes")


@dataclass(frozen=True, config=STRICT)
class PairRecord:
    """A pair as it was run; token facts as in `PairCapture`."""

    pair: PromptPair
    first_difference: Tokens
    n_differing: Tokens


def pair_facts(pair: PromptPair) -> dict[str, str]:
    """Return what a run keeps of a pair: all but what somebody read in it, which the prompt set has."""
    return {key: getattr(pair, key) for key in RUN_KEYS}


def is_control(control: RunInfo, run: RunInfo) -> bool:
    """Tell whether a run may stand beside another as its control: one prompt set in the same kind of passes.

    Size, seed and the set's text, present or former, may be others: whoever shows the two says so. Of several the one
    of the lowest `control_rank` is shown.
    """
    kinds = [(len(i.seeds), i.steps, i.mask_padding, i.references_sha256) for i in (control, run)]
    return kinds[0] == kinds[1] and same_set(control.prompts_sha256, run.prompts_sha256)


def control_rank(control: RunInfo, run: RunInfo) -> tuple[bool, bool, int]:
    """Order the controls of a run: of its own text before another, of its size before others, small before large."""
    return control.prompts_sha256 != run.prompts_sha256, control.size != run.size, control.size


def size_fault(size: int) -> str:
    """Say why a size cannot be taken; empty where it can."""
    return "" if size in SIZES else f"size {size}: choose a multiple of 16 from {SIZES[0]} to {SIZES[-1]}."


def seed_fault(seed: int) -> str:
    """Say why a seed cannot be taken; empty where it can."""
    good = type(seed) is int and 0 <= seed < 2**63
    return "" if good else f"seed {seed}: choose a whole number from 0 to 2^63 - 1."


def check_same_model(model: ModelInfo, info: RunInfo) -> None:
    """Raise `NotComparableError` unless the model is the one that made the run, told by its fingerprint."""
    if model.fingerprint == info.fingerprint and model.dtype == info.dtype:
        return
    if model.model == info.model and model.dtype != info.dtype:
        raise NotComparableError(
            f"the run was made in {info.dtype}, {model.model} is loaded in {model.dtype}; load it in {info.dtype}, "
            "or choose another run."
        )
    if info.changes:
        raise NotComparableError(
            f"the run was made with a changed model ({info.changes[0]}), {model.model} is loaded. Change it alike "
            "(from Python), or choose another run."
        )
    raise NotComparableError(
        f"the run was made by {info.model} ({info.fingerprint[:12]}), but {model.model} ({model.fingerprint[:12]}) is "
        "loaded: its configuration or weights differ. Choose a run that it made, or run the probe with it first."
    )


def check_reference(info: RunInfo, sha256: str | None, vae: str = "") -> None:
    """Raise `NotComparableError` unless a new pair has the reference image that the run's pairs have, or none has one.

    Parameters
    ----------
    info : RunInfo
    sha256 : str or None
        Of the new pair's image.
    vae : str
        Of the VAE that encoded it.
    """
    theirs = set(info.references.values())
    if theirs and sha256 is None:
        raise NotComparableError(
            f"the run was made with {info.referenced}, so a new pair needs one too: python -m plantain pair DIR "
            "--reference IMAGE."
        )
    if sha256 is not None and not theirs:
        raise NotComparableError("the run was made without a reference image; omit --reference.")
    if len(theirs) == 1 and sha256 not in theirs:
        raise NotComparableError("the run was made with another reference image; give that one.")
    if sha256 is not None and vae != info.vae:
        raise NotComparableError("the run's reference images were encoded by another VAE; take the model that made it.")
