"""Train the small Klein on drawn scenes: first the VAE, then the transformer; the text encoder stays random.

Every step's scenes, noise and learning rate follow from the seed and the step's number, so that a training that is
broken off goes on where it was and ends with the same weights. torch and diffusers are imported on use.
"""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from plantain._files import write_atomic
from plantain.models.init_weights import draw_weights
from plantain.models.picture_book.architecture import (
    TEXT_TOKENS,
    build_encoder,
    build_transformer,
    build_vae,
)
from plantain.models.picture_book.grammar import draw_caption
from plantain.models.picture_book.world import SIZE, render

if TYPE_CHECKING:
    import torch
    from diffusers import AutoencoderKLFlux2, Flux2Transformer2DModel
    from transformers import Qwen3ForCausalLM


@dataclass(frozen=True)
class Recipe:
    """All that the weights depend on, beside the code.

    Attributes
    ----------
    seed : int
    scenes : int
        Scenes with a caption each, of which every step draws some.
    vae_steps, vae_batch, vae_rate, vae_warm_up, vae_cool_down
        Of the VAE: steps, pictures a step, highest learning rate, steps in which it rises at first and falls at last.
    steps, batch, rate, warm_up, cool_down
        The same of the transformer.
    """

    seed: int = 0
    scenes: int = 40_000
    vae_steps: int = 2_400
    vae_batch: int = 32
    vae_rate: float = 2e-3
    vae_warm_up: int = 48
    vae_cool_down: int = 840
    steps: int = 3_800
    batch: int = 64
    rate: float = 1e-3
    warm_up: int = 110
    cool_down: int = 1_200


EMPTY = 0.1  # share of captions that are left out, for guidance

AT_NOISE = 0.125  # share of every batch at sigma 1 exactly: what a probe sees

KEEP_EVERY = 25  # steps

_SAMPLE_EVERY = 500  # steps of the transformer

_MEMORY = 0.999  # of the moving average of the weights, whose last value is what is kept


def examples(recipe: Recipe) -> tuple[np.ndarray, list[str]]:
    """Draw all scenes of a training.

    Returns
    -------
    pictures : array of uint8 (n_scenes, 64 rows, 64 columns, 3)
    captions : list of str
    """
    pictures = np.empty((recipe.scenes, SIZE, SIZE, 3), np.uint8)
    captions = []
    for i in range(recipe.scenes):
        scene, text = draw_caption(np.random.default_rng((recipe.seed, i)))
        pictures[i] = render(scene, i)
        captions.append(text)
    return pictures, captions


@dataclass(frozen=True)
class Schedule:
    """How many steps, and the learning rate of each: up, level, and down to a hundredth by a cosine."""

    n_steps: int
    rate: float
    warm_up: int
    cool_down: int

    def rate_of(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        if step + 1 < self.warm_up:
            return self.rate * (step + 1) / self.warm_up
        fall = max(0.0, (step + 1 - (self.n_steps - self.cool_down)) / self.cool_down)
        return self.rate * (0.01 + 0.99 * (1 + math.cos(math.pi * fall)) / 2)


class Stage:
    """A part of the model in training, with its optimizer and the moving average of its weights.

    Parameters
    ----------
    model : torch.nn.Module
        In float32. With `low` its passes are computed in bfloat16 while the weights are kept in float32.
    schedule : Schedule
    kept : Path
        File that the state is kept in; an earlier one is read.
    low : bool
    """

    def __init__(self, model: Any, schedule: Schedule, kept: Path, low: bool) -> None:
        import torch

        self._schedule, self._kept, self._low = schedule, kept, low
        self.step = 0
        self.losses: list[float] = []
        named = list(model.named_parameters())
        self._names = [name for name, _ in named]
        self._used = [p.requires_grad_(True) for _, p in named]
        self._weights = [p.detach().clone().requires_grad_(True) for p in self._used] if low else self._used
        self._average = [p.detach().clone() for p in self._weights]
        decayed = [p for p in self._weights if p.ndim >= 2]
        others = [p for p in self._weights if p.ndim < 2]
        groups = [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
        self._optimizer = torch.optim.AdamW(groups, lr=schedule.rate, betas=(0.9, 0.99))
        if kept.exists():
            self._restore()
        if low:
            model.to(torch.bfloat16)
            self._lower()

    def run(self, loss_of: Callable[[int], torch.Tensor], progress: Callable[[int], None]) -> None:
        """Take all steps that are left; `loss_of` gives the loss of a step."""
        import torch

        while self.step < self._schedule.n_steps:
            for group in self._optimizer.param_groups:
                group["lr"] = self._schedule.rate_of(self.step)
            loss = loss_of(self.step)
            loss.backward()
            if self._low:
                for used, weight in zip(self._used, self._weights, strict=True):
                    weight.grad, used.grad = used.grad.float(), None
            torch.nn.utils.clip_grad_norm_(self._weights, 1.0)
            self._optimizer.step()
            self._optimizer.zero_grad()
            with torch.no_grad():
                memory = min(_MEMORY, (1 + self.step) / (10 + self.step))
                for average, weight in zip(self._average, self._weights, strict=True):
                    average.lerp_(weight, 1 - memory)
            if self._low:
                self._lower()
            self.losses.append(float(loss.detach()))
            self.step += 1
            if self.step % KEEP_EVERY == 0 or self.step == self._schedule.n_steps:
                self._keep()
            progress(self.step)

    def averaged(self) -> dict[str, torch.Tensor]:
        """Return the moving average of the weights, by name."""
        return dict(zip(self._names, self._average, strict=True))

    def _lower(self) -> None:
        import torch

        with torch.no_grad():
            for used, weight in zip(self._used, self._weights, strict=True):
                used.copy_(weight)

    def _keep(self) -> None:
        import safetensors.torch
        import torch

        state = {"losses": torch.tensor(self.losses, dtype=torch.float64)}
        for name, weight, average in zip(self._names, self._weights, self._average, strict=True):
            moments = self._optimizer.state[weight]
            state |= {f"weight.{name}": weight.detach(), f"average.{name}": average}
            state |= {f"mean.{name}": moments["exp_avg"], f"square.{name}": moments["exp_avg_sq"]}
        state = {name: tensor.cpu().contiguous() for name, tensor in state.items()}
        write_atomic(self._kept, safetensors.torch.save(state))

    def _restore(self) -> None:
        import safetensors.torch
        import torch

        state = safetensors.torch.load_file(self._kept)
        self.losses = state["losses"].tolist()
        self.step = len(self.losses)
        with torch.no_grad():
            for name, weight, average in zip(self._names, self._weights, self._average, strict=True):
                weight.copy_(state[f"weight.{name}"])
                average.copy_(state[f"average.{name}"])
                moments = {"exp_avg": state[f"mean.{name}"], "exp_avg_sq": state[f"square.{name}"]}
                moments = {key: value.to(weight.device) for key, value in moments.items()}
                self._optimizer.state[weight] = {"step": torch.tensor(float(self.step)), **moments}


def _own_seed(*parts: Any) -> int:
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:7])


def train_vae(
    recipe: Recipe, pictures: np.ndarray, kept: Path, device: torch.device, progress: Callable[[int], None]
) -> tuple[AutoencoderKLFlux2, list[float]]:
    """Train the VAE; return it in bfloat16's numbers, with the statistics of its latents, and the loss."""
    import torch

    vae = drawn(build_vae, recipe.seed, "vae").to(device).train()
    schedule = Schedule(recipe.vae_steps, recipe.vae_rate, recipe.vae_warm_up, recipe.vae_cool_down)
    stage = Stage(vae, schedule, kept, low=False)

    def loss_of(step: int) -> torch.Tensor:
        chosen = np.random.default_rng((recipe.seed, 1, step)).integers(len(pictures), size=recipe.vae_batch)
        shown = _pixels(pictures[chosen], device)
        generator = torch.Generator().manual_seed(_own_seed(recipe.seed, "vae", step))
        with torch.autocast(device.type, torch.bfloat16):
            latents = vae.encode(shown, return_dict=False)[0].mode().float()
            noise = torch.randn(latents.shape, generator=generator).to(device)
            again = vae.decode(latents + 0.05 * noise, return_dict=False)[0].float()
        away = again - shown
        return away.abs().mean() + 2 * away.square().mean() + 1e-3 * (latents.square().mean() - 1).clamp(min=0)

    stage.run(loss_of, progress)
    _settle(vae, stage)
    tokens = torch.cat(list(_encoded(vae, pictures[:4096], device))).flatten(0, 1)
    vae.bn.running_mean.copy_(tokens.mean(0).bfloat16().float())
    vae.bn.running_var.copy_(tokens.var(0).bfloat16().float())
    return vae, stage.losses


def drawn(build: Callable[[], Any], seed: int, label: str) -> Any:
    """Build a part with random weights, in float32."""
    import torch

    with torch.device("meta"):
        weights = build()
    draw_weights(weights, seed, label, torch.float32)
    model = build()  # with the buffers that are not saved
    model.load_state_dict(weights.state_dict())
    return model


def _settle(model: Any, stage: Stage) -> None:
    """Give a model the moving average of its weights, as bfloat16 keeps them, in float32."""
    import torch

    model.float()
    averaged = stage.averaged()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(averaged[name].bfloat16().float())
    model.eval().requires_grad_(False)


def _pixels(pictures: np.ndarray, device: torch.device) -> torch.Tensor:
    import torch

    return torch.from_numpy(pictures).to(device).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def _encoded(vae: AutoencoderKLFlux2, pictures: np.ndarray, device: torch.device) -> Iterator[torch.Tensor]:
    """Encode pictures to tokens (n, 16, 32) of four latents each, before their normalization."""
    import torch

    with torch.no_grad():
        for start in range(0, len(pictures), 256):
            latents = vae.encode(_pixels(pictures[start : start + 256], device), return_dict=False)[0].mode()
            n, channels, rows, columns = latents.shape
            quads = latents.view(n, channels, rows // 2, 2, columns // 2, 2).permute(0, 2, 4, 1, 3, 5)
            yield quads.reshape(n, (rows // 2) * (columns // 2), 4 * channels)


def encode(vae: AutoencoderKLFlux2, pictures: np.ndarray, device: torch.device) -> torch.Tensor:
    """Return the tokens (n, 16, 32) of pictures, normalized as the pipeline does it."""
    import torch

    scale = torch.sqrt(vae.bn.running_var + vae.config.batch_norm_eps)
    return torch.cat([((part - vae.bn.running_mean) / scale).cpu() for part in _encoded(vae, pictures, device)])


def draw_encoder(tokenizer: Any, seed: int) -> Qwen3ForCausalLM:
    """Draw the random text encoder, its embeddings at a standard deviation of 1, in bfloat16's numbers."""
    import torch

    encoder = drawn(lambda: build_encoder(len(tokenizer)), seed, "text_encoder")
    with torch.no_grad():
        encoder.get_input_embeddings().weight.div_(encoder.config.initializer_range)
    return encoder.bfloat16().float().eval().requires_grad_(False)


def embed(encoder: Any, tokenizer: Any, texts: list[str], device: torch.device) -> torch.Tensor:
    """Return prompt embeddings (n, 40, 192) in bfloat16, as the pipeline makes them."""
    import torch
    from diffusers import Flux2KleinPipeline

    pipe = Flux2KleinPipeline(None, None, encoder, tokenizer, None)
    with torch.no_grad():
        parts = [
            pipe.encode_prompt(texts[start : start + 512], device=device, max_sequence_length=TEXT_TOKENS)[0].bfloat16()
            for start in range(0, len(texts), 512)
        ]
    return torch.cat(parts)


def train_transformer(
    recipe: Recipe,
    tokens: torch.Tensor,
    texts: torch.Tensor,
    empty: torch.Tensor,
    kept: Path,
    device: torch.device,
    progress: Callable[[int], None],
    sample: Callable[[int, Flux2Transformer2DModel], None],
) -> tuple[Flux2Transformer2DModel, list[float]]:
    """Train the transformer by flow matching: from noise and a caption to the velocity, noise minus picture.

    Parameters
    ----------
    tokens : tensor (n_scenes, 16, 32)
        Normalized.
    texts : tensor (n_scenes, 40, 192)
    empty : tensor (40, 192)
        Of an empty caption.
    progress : callable
        Told the steps that are done.
    sample : callable
        Given, every 500 steps, the steps that are done and the model as it would be kept now.
    """
    import torch

    model = drawn(build_transformer, recipe.seed, "transformer").to(device).train()
    schedule = Schedule(recipe.steps, recipe.rate, recipe.warm_up, recipe.cool_down)
    stage = Stage(model, schedule, kept, low=True)
    side, n_text = round(tokens.shape[1] ** 0.5), texts.shape[1]
    one, along = torch.arange(1), torch.arange(side)
    image_ids = torch.cartesian_prod(one, along, along, one).to(device)
    text_ids = torch.cartesian_prod(one, one, one, torch.arange(n_text)).to(device)

    def loss_of(step: int) -> torch.Tensor:
        rng = np.random.default_rng((recipe.seed, 2, step))
        chosen = torch.from_numpy(rng.integers(len(tokens), size=recipe.batch))
        left_out = torch.from_numpy(rng.random(recipe.batch) < EMPTY)
        sigma = torch.from_numpy(1 / (1 + np.exp(-(1.2 * rng.standard_normal(recipe.batch) + 0.4)))).bfloat16()
        sigma[: round(AT_NOISE * recipe.batch)] = 1
        shown = tokens[chosen].float()
        text = torch.where(left_out[:, None, None], empty, texts[chosen]).to(device)
        generator = torch.Generator().manual_seed(_own_seed(recipe.seed, "noise", step))
        noise = torch.randn(shown.shape, generator=generator)
        share = sigma.float()[:, None, None]
        noisy = ((1 - share) * shown + share * noise).bfloat16().to(device)
        wanted = (noise - shown).to(device)
        velocity = model(noisy, text, sigma.to(device), image_ids, text_ids, return_dict=False)[0]
        return (velocity.float() - wanted).square().mean()

    def after(step: int) -> None:
        progress(step)
        if step % _SAMPLE_EVERY == 0:
            now = copy.deepcopy(model)
            _settle(now, stage)
            sample(step, now)

    stage.run(loss_of, after)
    _settle(model, stage)
    return model, stage.losses
