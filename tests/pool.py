"""A pool of plain scenes, each run once through the stand-in: what prompts give where no contrast is meant.

`PROMPTS`             150 distinct prompts from a small grammar
`prompt_magnitudes`   their magnitudes, from one capture that is kept for the process
`once`                how the capture is made; tests in several processes put in a way that makes it for all of them
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from plantain.models.load import load_pipeline
from plantain.probe.passes import capture_pair, layout_of
from plantain.prompts.sets import PromptPair
from plantain.runs.capture import SumsOfSquares
from plantain.runs.units import Layout, magnitudes

SIZE = 64

WHO = [
    "A baker", "Lena", "An old sailor", "The twins", "Mr. Haddad", "A girl in a yellow coat", "Two gardeners",
    "The night porter", "Tomas and his uncle", "A street musician",
]  # fmt: skip
DOES = [
    ("sits", "sit"), ("reads a newspaper", "read a newspaper"), ("waits for the tram", "wait for the tram"),
    ("peels an orange", "peel an orange"), ("looks at the clouds", "look at the clouds"),
    ("folds a large blue sheet", "fold a large blue sheet"), ("walks slowly", "walk slowly"),
    ("counts coins", "count coins"), ("sweeps the floor", "sweep the floor"), ("drinks tea", "drink tea"),
    ("carries a wooden crate", "carry a wooden crate"), ("sketches the bridge", "sketch the bridge"),
    ("hums", "hum"), ("winds an alarm clock", "wind an alarm clock"), ("feeds the pigeons", "feed the pigeons"),
]  # fmt: skip
WHERE = [
    "by the harbour", "in a narrow kitchen", "under a street lamp", "on the top step", "near the market hall",
    "beside a parked lorry", "in the rain",
]  # fmt: skip
PLURAL = {"The twins", "Two gardeners", "Tomas and his uncle"}

PROMPTS = tuple(
    f"{who} {DOES[j][who in PLURAL]} {WHERE[(i + j) % len(WHERE)]}."
    for i, who in enumerate(WHO)
    for j in range(len(DOES))
)


def once(_name: str, make: Callable) -> Any:
    return make()


@cache
def _captured() -> tuple[SumsOfSquares, Layout]:
    return once("pool", _capture)


def _capture() -> tuple[SumsOfSquares, Layout]:
    """Run every prompt once; two are run as the sides of a pair that means nothing."""
    pipe, half = load_pipeline("tiny-random"), len(PROMPTS) // 2
    pairs = [PromptPair(f"{i}", "none", *two) for i, two in enumerate(zip(PROMPTS[:half], PROMPTS[half:], strict=True))]
    return SumsOfSquares.concatenate([capture_pair(pipe, p, SIZE, 0).sums for p in pairs]), layout_of(pipe)


def prompt_magnitudes(units: str) -> np.ndarray:
    """RMS of every unit for every prompt, (n_prompts, n_units), in the order of `PROMPTS`."""
    values = magnitudes(*_captured(), units)  # (2, n_prompts / 2, n_units)
    return values.reshape(len(PROMPTS), -1)
