"""The picture that a model expects at sigma 1, before it has drawn anything: decoded from what a probe's pass gives.

From pure noise the model can only expect the average of all images that fit the prompt, so the picture is blurry. It is
what the measured pass computes, and costs no pass beside it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


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
def pictures(vae: Any, latents: torch.Tensor) -> np.ndarray:
    """Decode expected images.

    Parameters
    ----------
    vae : AutoencoderKLFlux2
    latents : tensor (n_images, n_image_tokens, n_channels)
        From `Passes(..., expected=...)`.

    Returns
    -------
    uint8 array (n_images, height, width, 3)
        RGB; black where the model gave a number that is none.
    """
    decoded = [
        vae.decode(one, return_dict=False)[0] for one in unpacked(vae, latents).split(1)
    ]  # one at a time: memory
    levels = torch.cat(decoded).float().nan_to_num(nan=-1.0).clamp(-1, 1) * 0.5 + 0.5
    return (255 * levels).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
