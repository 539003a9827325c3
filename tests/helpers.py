"""What several tests do to a pipeline: one pass, one pair."""

from plantain.probe.passes import Passes, denoise
from plantain.runs.info import Conditions


def forward(pipe, embeds, size, seed):
    """Run one denoising step on pure noise."""
    next(denoise(pipe, embeds, size, seed))


def capture_pair(pipe, pair, size, seed):
    """Run both prompts of a pair, one after the other, and return their capture."""
    return Passes(pipe, Conditions(size, (seed,)), batch=1).capture([pair])[0]
