"""A prompt encoded, and sent through the transformer: one denoising step, or more.

The step is written out here instead of calling the pipeline: that call decodes with a VAE, which a probe does not load,
draws new noise for every prompt of a batch, and encodes reference images anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from plantain.models.drawing import text_tokens
from plantain.probe.reference import Reference

if TYPE_CHECKING:
    from diffusers import Flux2KleinPipeline


@torch.no_grad()
def encode(pipe: Any, prompts: Sequence[str], n_tokens: int | None = None) -> torch.Tensor:
    """Encode prompts as ``pipe(prompt)`` does.

    Parameters
    ----------
    pipe
        A Klein pipeline with its text encoder.
    prompts : sequence of str
    n_tokens : int, optional
        Tokens that every prompt is padded to, at least its own; as many as the pipeline takes unless given. Since the
        encoder is causal and padding comes last, the prompts' own tokens are the same.

    Returns
    -------
    tensor (n_prompts, n_text_tokens, n_text_channels)
        On the device and in the precision of the text encoder.
    """
    return pipe.encode_prompt(prompt=list(prompts), max_sequence_length=n_tokens or text_tokens(pipe))[0]


@dataclass(frozen=True)
class Denoised:
    """What one denoising step saw and gave, of every prompt's image tokens.

    Attributes
    ----------
    latents : tensor (n_prompts, n_image_tokens, n_channels)
        The noisy image that went in.
    velocity : tensor (n_prompts, n_image_tokens, n_channels)
        What the transformer gave for it: noise minus image, as it expects them.
    sigma : tensor ()
        How much of `latents` is noise; 1 at the first step.
    """

    latents: torch.Tensor
    velocity: torch.Tensor
    sigma: torch.Tensor

    def expected(self) -> torch.Tensor:
        """Return the image that the model expects here, as latents: where one straight step to sigma 0 would lead.

        Returns
        -------
        float32 tensor (n_prompts, n_image_tokens, n_channels)
        """
        return self.latents.float() - self.sigma.to(self.latents.device) * self.velocity.float()


@dataclass(frozen=True)
class Noise:
    """An image's noisy latents, with all that a pass takes beside the prompt.

    Attributes
    ----------
    latents : tensor (n_prompts, n_image_tokens, n_channels)
    image_ids, text_ids : tensor (n_prompts, n_tokens, 4)
        Places of the tokens.
    """

    latents: torch.Tensor
    image_ids: torch.Tensor
    text_ids: torch.Tensor

    def at(self, latents: torch.Tensor) -> Noise:
        """Return the same with other latents."""
        return replace(self, latents=latents)

    def of(self, rows: Sequence[int]) -> Noise:
        """Return those of some prompts, each as often as it is named."""
        return Noise(*(part[list(rows)] for part in (self.latents, self.image_ids, self.text_ids)))


def start(pipe: Any, embeds: torch.Tensor, size: int, seed: int) -> Noise:
    """Draw the noise that a picture begins with; arguments of `denoise`."""
    noise = pipe.prepare_latents(
        batch_size=1,
        num_latents_channels=pipe.transformer.config.in_channels // 4,
        height=size,
        width=size,
        dtype=embeds.dtype,
        device=next(pipe.transformer.parameters()).device,
        generator=torch.Generator("cpu").manual_seed(seed),
    )
    return Noise(*(part.expand(len(embeds), -1, -1) for part in noise), text_places(pipe, embeds))


def text_places(pipe: Any, embeds: torch.Tensor) -> torch.Tensor:
    """Return the places of some prompts' tokens, (n_prompts, n_text_tokens, 4)."""
    device = next(pipe.transformer.parameters()).device
    return pipe.encode_prompt(prompt=None, prompt_embeds=embeds.to(device), device=device)[1]


@torch.no_grad()
def velocity(
    pipe: Any,
    embeds: torch.Tensor,
    noise: Noise,
    time: torch.Tensor | float,
    reference: Reference | None = None,
    attended: torch.Tensor | None = None,
) -> torch.Tensor:
    """Send prompts through the transformer once.

    Parameters
    ----------
    pipe, embeds, reference, attended
        As for `denoise`.
    noise : Noise
    time : tensor () or float
        How much of the latents is noise, times 1,000, as the schedulers count.

    Returns
    -------
    tensor (n_prompts, n_image_tokens, n_channels)
        Noise minus image, as the transformer expects them.
    """
    weight = next(pipe.transformer.parameters())
    latents, ids, n, pictures = noise.latents, noise.image_ids, len(embeds), []
    if reference is not None:
        ids = torch.cat([ids, reference.ids.to(ids).expand(n, -1, -1)], dim=1)
        pictures = [reference.latents.to(latents.device).expand(n, -1, -1)]
    return pipe.transformer(
        hidden_states=torch.cat([latents, *pictures], dim=1).to(weight.dtype),
        timestep=torch.as_tensor(time, device=latents.device).expand(n).to(latents) / 1000,
        guidance=None,
        encoder_hidden_states=embeds.to(weight.device),
        txt_ids=noise.text_ids,
        img_ids=ids,
        joint_attention_kwargs=None
        if attended is None
        else {"attention_mask": attended[:, None, None].to(weight.device)},
        return_dict=False,
    )[0][:, : latents.shape[1]]


@torch.no_grad()
def denoise(
    pipe: Any,
    embeds: torch.Tensor,
    size: int,
    seed: int,
    steps: int = 1,
    reference: Reference | None = None,
    attended: torch.Tensor | None = None,
) -> Iterator[Denoised]:
    """Run what the probe needs of ``pipe(prompt, num_inference_steps=steps, guidance_scale=1.0)``.

    Parameters
    ----------
    pipe
        A Klein pipeline with its transformer.
    embeds : tensor (n_prompts, n_text_tokens, n_text_channels)
        From `encode`.
    size : int
        Height and width of the image in pixels, a multiple of 16.
    seed : int
        Seed of the noise, drawn on the CPU so that it is the same on every device; the same for every prompt.
    steps : int
        Denoising steps; the first one sees the noise at sigma 1.
    reference : Reference, optional
        Goes with the image, as by the pipeline's ``image=``.
    attended : bool tensor (n_prompts, n_tokens), optional
        Tokens, of text, image and reference, that attention may look at; all unless given.

    Yields
    ------
    Denoised
        After the pass of every step.
    """
    noise = start(pipe, embeds, size, seed)
    scheduler, times = denoising_schedule(pipe, steps, noise.latents.shape[1])
    for time_ in times:
        latents = noise.latents
        out = velocity(pipe, embeds, noise, time_, reference, attended)
        yield Denoised(latents, out, time_ / 1000)
        noise = noise.at(scheduler.step(out, time_, latents, return_dict=False)[0].to(latents.dtype))


def denoising_schedule(pipe: Flux2KleinPipeline, steps: int, n_image: int) -> tuple[Any, torch.Tensor]:
    """Return the scheduler and the times of denoising steps, as ``pipe(...)`` sets them.

    Parameters
    ----------
    pipe : Flux2KleinPipeline
    steps, n_image : int
        Denoising steps, and tokens of the image, on which the times depend.

    Returns
    -------
    scheduler
        A new one: the pipeline's own keeps its state.
    tensor (steps,)
        Sigma times 1,000; the first is 1,000.
    """
    from diffusers.pipelines.flux2.pipeline_flux2_klein import compute_empirical_mu, retrieve_timesteps

    scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config)
    sigmas = None if scheduler.config.get("use_flow_sigmas") else np.linspace(1.0, 1 / steps, steps)
    mu = compute_empirical_mu(image_seq_len=n_image, num_steps=steps)
    times, _ = retrieve_timesteps(scheduler, steps, pipe.transformer.device, sigmas=sigmas, mu=mu)
    scheduler.set_begin_index(0)
    return scheduler, times


def image_tokens(pipe: Any, size: int) -> int:
    """Return how many image tokens a square image of `size` pixels has."""
    return (size // (pipe.vae_scale_factor * 2)) ** 2
