"""Pictures drawn by a pipeline's own call: the one way in which anything here draws.

torch is imported on use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from plantain.models.picture_book.folder import Drawing


def text_tokens(pipe: Any) -> int:
    """Return how many tokens a pipeline's prompts have, padding included: 512, or fewer where its tokenizer says so."""
    return int(min(pipe.tokenizer_max_length, pipe.tokenizer.model_max_length))


USUAL = Drawing(512, 24, 4.0)
"""Of every model that does not say how it is drawn with."""


def draw(
    pipe: Any,
    prompts: Sequence[str],
    how: Drawing,
    seeds: Sequence[int],
    tick: Callable[[int, int], None] | None = None,
) -> list[Any]:
    """Draw prompts together, each from the noise of its seed.

    Parameters
    ----------
    pipe
        A Klein pipeline with its VAE.
    prompts : sequence of str
    how : Drawing
    seeds : sequence of int
        One for every prompt. The noise is drawn on the processor, so that it is the same on every device; prompts of
        one seed begin with the same noise.
    tick : callable, optional
        Is told the steps that are done and those in all, after each; what it raises ends the drawing.

    Returns
    -------
    list of PIL.Image.Image
    """
    import torch

    assert len(prompts) == len(seeds), f"{len(prompts)} prompts, {len(seeds)} seeds"

    def told(_pipe: Any, step: int, _time: Any, _tensors: dict[str, Any]) -> dict[str, Any]:
        tick(step + 1, how.steps)
        return {}

    return pipe(
        prompt=list(prompts),
        height=how.size,
        width=how.size,
        num_inference_steps=how.steps,
        guidance_scale=how.guidance,
        max_sequence_length=text_tokens(pipe),
        generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
        callback_on_step_end=told if tick else None,
    ).images
