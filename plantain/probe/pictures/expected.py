"""The picture that a model expects at sigma 1, before it has drawn anything: decoded from what a probe's pass gives.

From pure noise the model can only expect the average of all images that fit the prompt, so the picture is blurry. It is
what the measured pass computes, and costs no pass beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from plantain._files.pictures import webp

MOST_PIXELS = 512  # height and width of a packed picture: it is blurry, so nothing is lost


def unpacked(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """Bring latents from the transformer's form into the VAE's, as the pipeline's call does after its last step.

    Parameters
    ----------
    vae : AutoencoderKLFlux2
    latents : tensor (n_images, n_image_tokens, n_channels)
        Row by row, each token four latent pixels of all the VAE's channels, normalized.

    Returns
    -------
    tensor (n_images, n_channels / 4, 2 rows, 2 columns)
        In the precision of the VAE.
    """
    n, n_tokens, n_channels = latents.shape
    side = round(n_tokens**0.5)
    assert side * side == n_tokens, f"{n_tokens} tokens are no square image"
    mean = vae.bn.running_mean.float()
    scale = torch.sqrt(vae.bn.running_var.float() + vae.config.batch_norm_eps)
    tokens = latents.to(mean.device).float() * scale + mean
    quads = tokens.view(n, side, side, n_channels // 4, 2, 2)  # a token's channels: channel, row, column
    image = quads.permute(0, 3, 1, 4, 2, 5).reshape(n, n_channels // 4, 2 * side, 2 * side)
    return image.to(vae.dtype)


@torch.no_grad()
def pictures(pipe: Any, parts: Sequence[torch.Tensor]) -> list[Any]:
    """Decode expected images.

    Parameters
    ----------
    pipe
        A Klein pipeline with its VAE.
    parts : sequence of tensor (n_images, n_image_tokens, n_channels)
        What `Passes(..., expected=...)` gave, one after the other.

    Returns
    -------
    list of PIL.Image.Image
        Black where the model gave a number that is none.
    """
    latents = unpacked(pipe.vae, torch.cat(tuple(parts)))
    # One at a time: decoding takes more memory than the passes.
    decoded = torch.cat([pipe.vae.decode(one, return_dict=False)[0] for one in latents.split(1)])
    return pipe.image_processor.postprocess(decoded.float().nan_to_num(nan=-1.0), output_type="pil")


def packed(image: Any) -> bytes:
    """Pack a picture as WebP of at most 512 pixels a side."""
    image.thumbnail((MOST_PIXELS, MOST_PIXELS))
    return webp(image)
