"""The unit tests make no pass: their runs are the shipped one, and one like it."""

import dataclasses

import numpy as np
import pytest
from browser import ROOT

from plantain.runs.capture import SumsOfSquares
from plantain.runs.io import load_run
from plantain.runs.run import Run
from plantain.stats import draw_halves, draw_signs


@pytest.fixture(scope="session")
def moral_run() -> Run:
    """The shipped run of the 25 pairs, as if it had just been made."""
    return dataclasses.replace(load_run(ROOT / "precomputed" / "tiny-random"), folder=None)


@pytest.fixture(scope="session")
def other_run(moral_run) -> Run:
    """A run of the same pairs with another seed: every sum of squares a little different."""
    rng = np.random.default_rng(3)
    streams = {
        stream: (values * np.exp(0.02 * rng.normal(size=values.shape))).astype(np.float32)
        for stream, values in moral_run.sums.streams.items()
    }
    sums = SumsOfSquares(streams, moral_run.sums.tokens)
    info = dataclasses.replace(moral_run.info, seed=3, seeds=(3,))
    return Run(
        info,
        moral_run.pairs,
        sums,
        draw_signs(len(moral_run.signs), 25, rng),
        draw_halves(len(moral_run.halves), 25, rng),
    )
