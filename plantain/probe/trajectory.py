"""Both sides of a pair at the same picture, at later times of the denoising than its first.

At sigma 1 the image tokens are pure noise, so they show only what the text wrote in one pass. Later the two sides' own
pictures differ, and their magnitudes with them. So one trajectory is run for a pair, of the words that its two sides
share, and at some of its times both sides look at the same latents.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from plantain.probe.denoising import Noise, denoising_schedule, start, velocity
from plantain.runs.directions import TRAJECTORY


@torch.no_grad()
def neutral_latents(
    pipe: Any, embeds: torch.Tensor, size: int, seed: int, times: Sequence[float], batch: int = 1
) -> Iterator[tuple[float, Noise]]:
    """Denoise by Euler steps, and yield the latents at some times.

    Parameters
    ----------
    pipe
        A Klein pipeline with its transformer.
    embeds : tensor (n_pairs, n_text_tokens, n_text_channels)
        Of the neutral prompts.
    size, seed : int
        As for `denoising.denoise`.
    times : sequence of float
        Sigmas below 1, falling. They are added to those of the pipeline's schedule.
    batch : int
        Prompts in one pass.

    Yields
    ------
    float
        The time.
    Noise
        With latents (n_pairs, n_image_tokens, n_channels) in float32.
    """
    noise = start(pipe, embeds, size, seed)
    _, schedule = denoising_schedule(pipe, TRAJECTORY, noise.latents.shape[1])
    own = [sigma for sigma in (schedule / 1000).tolist() if all(abs(sigma - time) > 1e-6 for time in times)]
    sigmas = sorted((sigma for sigma in (*own, *times) if sigma >= times[-1]), reverse=True)
    now, latents = 1.0, noise.latents.float()
    for sigma in sigmas:
        if sigma < now:
            at = noise.at(latents)
            rows = [list(range(len(embeds)))[i : i + batch] for i in range(0, len(embeds), batch)]
            moved = torch.cat([velocity(pipe, embeds[own], at.of(own), 1000 * now) for own in rows])
            latents = latents + (sigma - now) * moved.float()
            now = sigma
        if sigma in times:
            yield sigma, noise.at(latents)


def check_times(times: Sequence[float]) -> str:
    """Say why some times cannot be taken; empty where they can.

    Parameters
    ----------
    times : sequence of float
        With the first, which is 1.
    """
    numbers = all(isinstance(time, int | float) and np.isfinite(time) for time in times)
    if not times or not numbers or times[0] != 1:
        return f"times {_words(times)}: begin with 1, the time of pure noise, and add later ones: 1,.9,.7,.5,.3,.1."
    if not all(0 < later < time for time, later in pairwise(times)):
        return f"times {_words(times)}: they fall from 1 and stay above 0."
    return "" if len(times) <= 12 else f"{len(times)} times: choose up to 12."


def _words(times: Sequence[float]) -> str:
    return ",".join(f"{time:g}" if isinstance(time, int | float) else repr(time)[:20] for time in times)
