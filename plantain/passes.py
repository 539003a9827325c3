"""The passes that the hooks listen to: a prompt encoded, and one denoising step, one prompt or several at a time.

Knows nothing about diffusers' classes or files: it uses a pipeline's `encode_prompt`, `prepare_latents`,
`tokenizer` and `transformer`.

`encode`         prompts -> embeddings; `pack_embeddings`, `unpack_embeddings` for files
`forward`        one denoising step
`Passes`         pairs -> `PairCapture`, in batches; too large a batch is halved
`capture_pair`   both passes of one pair
`layout_of`, `image_tokens`   what follows from the pipeline's configuration

A pass follows the card: one denoising step at guidance 1.0 from a fixed seed, so the image tokens are
the same pure noise for every prompt, at sigma 1. Nothing but the text differs between two passes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError

from plantain.capture import CaptureError, Tokens, compare_tokens, recording, tokenize
from plantain.prompts import PromptPair
from plantain.scopes import STREAM_SCOPES, TOKEN_SCOPES
from plantain.units import SIDES, Layout, PairCapture, SumsOfSquares

Embed = Callable[[PromptPair], torch.Tensor]
"""Where the embeddings of a pair's two prompts are kept, (2, 512, 7680) for Klein."""

_TOKENS = 8192  # of text and image in one pass on an accelerator, unless told otherwise
_MOST = 16  # prompts in one pass


@torch.no_grad()
def encode(pipe: Any, prompts: Sequence[str]) -> torch.Tensor:
    """Encode prompts as ``pipe(prompt)`` does.

    Parameters
    ----------
    pipe
        A Klein pipeline with its text encoder.
    prompts : sequence of str

    Returns
    -------
    tensor (n_prompts, n_text_tokens, n_text_channels)
        On the device and in the precision of the text encoder.
    """
    return pipe.encode_prompt(prompt=list(prompts))[0]


def pack_embeddings(pipe: Any, pair: PromptPair) -> bytes:
    """Encode a pair's prompts, one after the other, and pack them for a file, to the bit, with the seconds it took."""
    start = time.perf_counter()
    packed = {side: encode(pipe, [getattr(pair, side)]).cpu().contiguous() for side in SIDES}
    packed["seconds"] = torch.tensor(time.perf_counter() - start, dtype=torch.float64)
    return safetensors.torch.save(packed)


def unpack_embeddings(content: bytes | None) -> tuple[torch.Tensor, float] | None:
    """Return what `pack_embeddings` packed: (2, n_text_tokens, n_text_channels), and seconds.

    None for no or a damaged file.
    """
    try:
        packed = safetensors.torch.load(content or b"")
        return torch.cat([packed[side] for side in SIDES]), float(packed["seconds"])
    except (SafetensorError, KeyError, RuntimeError):
        return None


@torch.no_grad()
def forward(pipe: Any, embeds: torch.Tensor, size: int, seed: int) -> None:
    """Run what the probe needs of ``pipe(prompt, num_inference_steps=1, guidance_scale=1.0)``.

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
    """
    weight = next(pipe.transformer.parameters())
    embeds = embeds.to(weight.device)
    _, text_ids = pipe.encode_prompt(prompt=None, prompt_embeds=embeds, device=weight.device)
    latents, latent_ids = _noise(pipe, embeds, size, seed)
    n = len(embeds)
    pipe.transformer(
        hidden_states=latents.to(weight.dtype).expand(n, -1, -1),
        timestep=torch.ones(n, device=latents.device, dtype=latents.dtype),  # sigma 1: the first of one step
        guidance=None,
        encoder_hidden_states=embeds,
        txt_ids=text_ids,
        img_ids=latent_ids.expand(n, -1, -1),
        return_dict=False,
    )


def _noise(pipe: Any, embeds: torch.Tensor, size: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    return pipe.prepare_latents(
        batch_size=1,
        num_latents_channels=pipe.transformer.config.in_channels // 4,
        height=size,
        width=size,
        dtype=embeds.dtype,
        device=embeds.device,
        generator=torch.Generator("cpu").manual_seed(seed),
    )


def image_tokens(pipe: Any, size: int) -> int:
    """Return how many image tokens a square image of `size` pixels has."""
    return (size // (pipe.vae_scale_factor * 2)) ** 2


def layout_of(pipe: Any) -> Layout:
    """Return the layout of the pipeline's transformer."""
    return Layout.from_config(pipe.transformer.config)


def usual_batch(pipe: Any, size: int) -> int:
    """Return how many prompts go through at once unless told otherwise.

    One on a processor, where more gain nothing; on an accelerator as many as hold about 8,192 tokens.
    """
    if pipe.transformer.device.type == "cpu":
        return 1
    return max(1, min(_MOST, _TOKENS // (pipe.tokenizer_max_length + image_tokens(pipe, size))))


class Passes:
    """Passes of pairs through one pipeline.

    Parameters
    ----------
    pipe
        A Klein pipeline.
    size, seed : int
        As for `forward`.
    batch : int, optional
        Prompts that go through at once; `usual_batch` unless given. A batch for which the device has too little
        memory is halved, and stays so.
    embed : callable, optional
        Returns a pair's embeddings that were made before; the pipeline's text encoder makes them unless given.
    """

    def __init__(self, pipe: Any, size: int, seed: int, batch: int | None = None, embed: Embed | None = None) -> None:
        self._pipe, self._size, self._seed = pipe, size, seed
        self._layout, self._n_image = layout_of(pipe), image_tokens(pipe, size)
        self._embed = embed
        self.batch = batch or usual_batch(pipe, size)

    @property
    def pairs_at_once(self) -> int:
        """Pairs that make a batch, at least one."""
        return max(1, self.batch // len(SIDES))

    def capture(self, pairs: Sequence[PromptPair]) -> list[PairCapture]:
        """Run both prompts of every pair and keep the sums of squares.

        Parameters
        ----------
        pairs : sequence of PromptPair

        Returns
        -------
        list of PairCapture
            On the CPU, as numpy arrays.

        Raises
        ------
        PromptError
            A prompt cannot be taken as it is.
        CaptureError
            An activation is NaN or infinite, the model is no Flux2 transformer, or one prompt alone is too much for
            the device's memory.
        """
        prompts = [getattr(pair, side) for pair in pairs for side in SIDES]
        tokens = [tokenize(self._pipe.tokenizer, prompt, self._pipe.tokenizer_max_length) for prompt in prompts]
        kept = torch.cat([self._embed(pair) for pair in pairs]) if self._embed else None
        sums: list[dict[str, np.ndarray]] = []
        while len(sums) < len(prompts):
            part = slice(len(sums), len(sums) + self.batch)
            try:
                sums += self._run(prompts[part], tokens[part], None if kept is None else kept[part])
            except torch.OutOfMemoryError as error:
                self._halve(error)
        n = len(SIDES)
        return [self._join(tokens[i : i + n], sums[i : i + n]) for i in range(0, len(prompts), n)]

    def _run(
        self, prompts: list[str], tokens: list[Tokens], embeds: torch.Tensor | None
    ) -> list[dict[str, np.ndarray]]:
        embeds = encode(self._pipe, prompts) if embeds is None else embeds
        with recording(self._pipe.transformer, [t.segments for t in tokens], self._n_image) as recorder:
            forward(self._pipe, embeds, self._size, self._seed)
        return recorder.collect(self._layout, prompts)

    def _halve(self, error: Exception) -> None:
        if self.batch == 1:
            raise CaptureError(
                f"the device has too little memory at {self._size} px; choose a smaller image."
            ) from error
        self.batch //= 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()  # what the failed batch left in pieces

    def _join(self, tokens: list[Tokens], sums: list[dict[str, np.ndarray]]) -> PairCapture:
        streams = {stream: np.stack([own[stream] for own in sums])[:, None] for stream in STREAM_SCOPES}
        first, differing = compare_tokens(*tokens)
        return PairCapture(SumsOfSquares(streams, _token_counts(tokens, self._n_image)), first, differing)


def capture_pair(pipe: Any, pair: PromptPair, size: int, seed: int) -> PairCapture:
    """Run both prompts of a pair, one after the other, and keep the sums of squares; see `Passes.capture`."""
    return Passes(pipe, size, seed, batch=1).capture([pair])[0]


def _token_counts(tokens: list[Tokens], n_image: int) -> np.ndarray:
    counts = [[n_image if scope == "image" else t.count(scope) for scope in TOKEN_SCOPES] for t in tokens]
    return np.array(counts, dtype=np.int64)[:, None]  # (2, 1, n_scopes)
