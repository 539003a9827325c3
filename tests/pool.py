"""A pool of plain scenes, each run once through the stand-in: what prompts give where no contrast is meant.

The captures are a file, ``data/pool.safetensors``, since making them takes a minute, and so are the heads' mean
vectors, ``data/pool-vectors.safetensors``, which `own_hooks` takes. ``PYTHONPATH=. python tests/pool.py`` makes both
anew; `statistics/test_pool_null.py` and `statistics/test_directions.py` hold some of them against the stand-in.
"""

import sys
from functools import cache
from pathlib import Path

import numpy as np
from helpers import capture_pair
from own_hooks import mean_vectors_of
from safetensors.numpy import load_file, save_file

from plantain.models.load import load_pipeline
from plantain.probe.passes import layout_of
from plantain.prompts.sets import PromptPair
from plantain.runs.capture import SumsOfSquares
from plantain.runs.units import Layout, Selection, magnitudes

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


PAIRS = tuple(  # two prompts are run as the sides of a pair that means nothing
    PromptPair(f"{i}", "none", *two) for i, two in enumerate(zip(PROMPTS[:75], PROMPTS[75:], strict=True))
)
FILE = Path(__file__).parent / "data" / "pool.safetensors"
VECTORS = FILE.with_name("pool-vectors.safetensors")
LAYOUT = Layout(n_joint=5, n_single=20, n_heads=4, head_dim=32, mlp_dim=384, text_dim=96)


@cache
def captured() -> SumsOfSquares:
    """Return the captures of all pairs."""
    arrays = load_file(FILE)
    tokens = arrays.pop("tokens")
    return SumsOfSquares(arrays, tokens)


def capture(numbers: range) -> SumsOfSquares:
    """Run some of the pairs through the stand-in."""
    pipe = load_pipeline("tiny-random")
    assert layout_of(pipe) == LAYOUT
    return SumsOfSquares.concatenate([capture_pair(pipe, PAIRS[i], SIZE, 0).sums for i in numbers])


def prompt_magnitudes(units: str) -> np.ndarray:
    """RMS of every unit for every prompt, (n_prompts, n_units), in the order of `PROMPTS`."""
    values = magnitudes(captured(), LAYOUT, Selection(units))  # (2, n_prompts / 2, n_units)
    return values.reshape(len(PROMPTS), -1)


@cache
def prompt_vectors() -> np.ndarray:
    """Mean vector of every head over image tokens for every prompt, float64 (n_prompts, 100, 32)."""
    return load_file(VECTORS)["vectors"].astype(np.float64)


if __name__ == "__main__":
    made = capture(range(len(PAIRS)))
    save_file(made.streams | {"tokens": made.tokens}, FILE)
    save_file({"vectors": mean_vectors_of(load_pipeline("tiny-random"), PROMPTS).astype(np.float16)}, VECTORS)
    for path in (FILE, VECTORS):
        sys.stdout.write(f"{path}: {path.stat().st_size:,} bytes\n")
