"""A head of the stand-in made stronger on the positive side. Used by the tests of planted truth and bench_power."""

from contextlib import contextmanager

import numpy as np
from helpers import capture_pair

from plantain.probe.passes import layout_of
from plantain.runs.capture import SumsOfSquares
from plantain.runs.units import Selection, magnitudes

SIZE = 64
HEAD = 2
PLACES = ["joint[0]", "joint[2]", "joint[4]", "single[0]", "single[10]", "single[19]"]
GAINS = [0.01, 0.02, 0.05, 0.15, 1.0]


def projection(pipe, block):
    kind, index = block.rstrip("]").split("[")
    if kind == "joint":
        return pipe.transformer.transformer_blocks[int(index)].attn.to_out[0]
    return pipe.transformer.single_transformer_blocks[int(index)].attn.to_out


@contextmanager
def planted(pipe, block, gain, head=HEAD, every=2):
    """Multiply one head's channels by 1 + gain in every second pass: on the positive side, which a pair runs first."""
    passes = []
    width = layout_of(pipe).head_dim

    def plant(_module, args):
        passes.append(1)
        if (len(passes) - 1) % every:
            return None
        x = args[0].clone()
        x[..., head * width : (head + 1) * width] *= 1 + gain
        return (x,)

    handle = projection(pipe, block).register_forward_pre_hook(plant)
    try:
        yield
    finally:
        handle.remove()


def capture(pipe, pairs) -> SumsOfSquares:
    return SumsOfSquares.concatenate([capture_pair(pipe, pair, SIZE, 0).sums for pair in pairs])


def logs(pipe, sums):
    """Log-RMS difference of every true head, (n_pairs, n_heads)."""
    values = magnitudes(sums, layout_of(pipe), Selection("heads"))
    return np.log(values[0]) - np.log(values[1])
