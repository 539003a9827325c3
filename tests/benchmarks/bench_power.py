"""How small a planted gain the probe still finds, by hand: ``python tests/benchmarks/bench_power.py``.

On the stand-in, 25 pairs at 64 px: one head of one block is multiplied by 1 + gain on the positive side, all four
heads in turn, in the first, middle and last block of each kind. Per gain and place: the share of heads that rank first
by |t| among all 100, the share with a max-|t| p of at most .05 (999 flips), and the median |t| of the planted head.
Gain 0 is the untouched run. Only the positive side is run anew: 3,000 passes, one process a core.
"""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import bench_stats  # first: it sets the number of cores, which numpy reads, and the paths to what is tested
import numpy as np
from helpers import forward
from planting import GAINS, PLACES, SIZE, capture, planted

from plantain import stats
from plantain.models.load import load_pipeline
from plantain.probe.denoising import encode, image_tokens
from plantain.probe.hooks import recording
from plantain.probe.passes import layout_of
from plantain.probe.tokens import tokenize
from plantain.prompts.sets import PromptPair, load_prompt_set
from plantain.runs.capture import SumsOfSquares
from plantain.runs.units import Selection, magnitudes, unit_table

PROMPTS = Path(__file__).parents[2] / "prompts" / "moral_valence.toml"
N_FLIPS = 999
_EMBEDDED: dict[str, Any] = {}


def one_side(pipe: Any, prompt: str) -> dict[str, np.ndarray]:
    """Run one prompt: stream -> (n_scopes, n_slices)."""
    tokens = tokenize(pipe.tokenizer, prompt, pipe.tokenizer_max_length)
    if prompt not in _EMBEDDED:  # the text encoder comes before anything that is planted
        _EMBEDDED[prompt] = encode(pipe, [prompt])
    with recording(pipe.transformer, [tokens.segments], image_tokens(pipe, SIZE)) as recorder:
        forward(pipe, _EMBEDDED[prompt], SIZE, 0)
    return recorder.collect(layout_of(pipe), [prompt])[0].squares


def with_planted(
    pipe: Any, pairs: tuple[PromptPair, ...], clean: SumsOfSquares, block: str, head: int, gain: float
) -> SumsOfSquares:
    """Run the positive side again with a planted head; the negative one stays as it is."""
    with planted(pipe, block, gain, head, every=1):
        sides = [one_side(pipe, pair.positive) for pair in pairs]
    streams = {
        name: np.stack([np.stack([side[name] for side in sides]), old[1]]) for name, old in clean.streams.items()
    }
    return SumsOfSquares(streams, clean.tokens)


def judge(pipe: Any, sums: SumsOfSquares, block: str, head: int) -> tuple[bool, bool, float]:
    """Tell whether the head ranks first, whether its family-wise p is at most .05, and its |t|."""
    layout = layout_of(pipe)
    unit = unit_table(layout, Selection("heads")).names.index(f"{block} head {head}")
    diffs = stats.paired_differences(*magnitudes(sums, layout, Selection("heads")))
    t = np.abs(stats.paired_t(diffs))
    p = stats.max_t_p(diffs, N_FLIPS, rng=np.random.default_rng(0))
    return bool(t.argmax() == unit), bool(p[unit] <= 0.05), float(t[unit])


def row(place: str, gain: float, found: list[tuple[bool, bool, float]]) -> str:
    """Write a line of the table."""
    first, significant, t = zip(*found, strict=True)
    return f"{place:10} {gain:5g} {np.mean(first):7.2f} {np.mean(significant):8.2f} {np.median(t):11.2f}"


@cache
def stage() -> tuple[Any, tuple[PromptPair, ...], SumsOfSquares]:
    """Build the stand-in and run the pairs untouched, once in every process."""
    pipe, pairs = load_pipeline("tiny-random"), load_prompt_set(PROMPTS).pairs
    return pipe, pairs, capture(pipe, pairs)


def at(place: str, gain: float) -> list[tuple[bool, bool, float]]:
    """Plant the gain in each head of a block in turn."""
    pipe, pairs, clean = stage()
    found = []
    for head in range(layout_of(pipe).n_heads):
        sums = with_planted(pipe, pairs, clean, place, head, gain) if gain else clean
        found.append(judge(pipe, sums, place, head))
    return found


def power() -> None:
    """Print the table."""
    start = time.perf_counter()
    print(f"{bench_stats.machine()}\n25 pairs at {SIZE} px, {N_FLIPS} flips\n")
    print(f"{'block':10} {'gain':>5} {'rank 1':>7} {'p <= .05':>8} {'median |t|':>11}")
    cases = list(product(PLACES, (0.0, *GAINS)))
    totals: dict[float, list[tuple[bool, bool, float]]] = {}
    with ProcessPoolExecutor() as workers:
        for (place, gain), found in zip(cases, workers.map(at, *zip(*cases, strict=True)), strict=True):
            totals[gain] = totals.get(gain, []) + found
            print(row(place, gain, found), flush=True)
    for gain, found in totals.items():
        print(row("all places", gain, found))
    print(f"\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    power()
