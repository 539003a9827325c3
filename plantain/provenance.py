"""Where a run's numbers come from. Plain data, checked for type: files of strangers end up here.

`RunInfo`      model, weights, device, settings, prompts, versions, date
`PairRecord`   a pair as it was run
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from plantain.models import WEIGHTS
from plantain.prompts import PromptPair
from plantain.units import Layout

RANDOM = "The weights are random: the numbers say nothing about FLUX.2 Klein."


@dataclass(frozen=True)
class RunInfo:
    """Provenance and configuration of a run.

    Attributes
    ----------
    model, revision, weights, fingerprint, dtype, device
        As in `models.ModelInfo`.
    size : int
        Height and width of the image in pixels.
    seed : int
        Seed of the noise, and of the sign flips and halves.
    prompt_set, title, positive, negative, prompts_sha256 : str
        From the `PromptSet`.
    layout : Layout
    versions : dict of str to str
        Software that the numbers depend on.
    date : str
        End of the run, ISO 8601, UTC.
    seconds : float
        Time that the pairs took, without loading the model; interruptions left out.
    """

    model: str
    revision: str | None
    weights: str
    fingerprint: str
    dtype: str
    device: str
    size: int
    seed: int
    prompt_set: str
    title: str
    positive: str
    negative: str
    prompts_sha256: str
    layout: Layout
    versions: dict[str, str]
    date: str
    seconds: float

    @property
    def is_random(self) -> bool:
        """Say whether the weights are random: a stand-in's or an untrained model's."""
        return self.weights in ("stand-in", "untrained")

    def __post_init__(self) -> None:
        texts = {k: v for k, v in vars(self).items() if k not in _NOT_TEXTS}
        _require(texts, str)
        _require({"size": self.size, "seed": self.seed, **asdict(self.layout)}, int)
        _require({"seconds": self.seconds}, (int, float))
        _require(self.versions, str)
        if self.revision is not None:
            _require({"revision": self.revision}, str)
        if not (0 <= self.seed < 1 << 63 and 1 <= self.size <= 1 << 16 and 0 <= self.seconds < 1e9):
            raise ValueError(f"seed {self.seed}, size {self.size} or seconds {self.seconds} cannot be")
        if self.weights not in WEIGHTS:
            raise ValueError(f"weights {self.weights!r} are of no known kind")


_MOST_TOKENS = 1 << 20
_NOT_TEXTS = ("revision", "size", "seed", "layout", "versions", "seconds")


def _require(values: dict[str, Any], kind: type | tuple[type, ...]) -> None:
    """Refuse a file's value of another type: it would break a page much later."""
    for name, value in values.items():
        if not isinstance(value, kind) or isinstance(value, bool):
            raise ValueError(f"{name} is {value!r}, of the wrong type")


@dataclass(frozen=True)
class PairRecord:
    """A pair as it was run; token facts as in `PairCapture`."""

    pair: PromptPair
    first_difference: int
    n_differing: int

    def __post_init__(self) -> None:
        _require(vars(self.pair), str)
        _require({"first_difference": self.first_difference, "n_differing": self.n_differing}, int)
        if not (0 <= self.first_difference < _MOST_TOKENS and 0 <= self.n_differing < _MOST_TOKENS):
            raise ValueError(f"{self.pair.id}: its tokens cannot differ there")
