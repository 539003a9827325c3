"""What several tests do to a pipeline: one pass, one pair."""

from plantain.probe.denoising import denoise
from plantain.probe.passes import Passes
from plantain.runs.info import Conditions
from plantain.runs.run import capture_bytes, directions_bytes


def forward(pipe, embeds, size, seed):
    """Run one denoising step on pure noise."""
    next(denoise(pipe, embeds, size, seed))


def capture_pair(pipe, pair, size, seed, directions="all"):
    """Run both prompts of a pair, one after the other, and return their capture."""
    return Passes(pipe, Conditions(size, (seed,)), batch=1, directions=directions).capture([pair])[0]


def run_bytes(run):
    """Return all that a run measured, as it is saved: two runs of the same bytes are equal to the bit."""
    return capture_bytes(run), directions_bytes(run.directions)
