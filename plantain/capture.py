"""Hooks on the text input and every attention output projection, and the passes that feed them. torch only.

Knows nothing about diffusers' classes or files: it uses a pipeline's `encode_prompt`, `prepare_latents`,
`tokenizer` and `transformer`, and block attributes by name.

`tokenize`       a prompt's token ids and which of them are template, words and padding
`recording`      context manager: hooks on all output projections, always removed
`capture_pair`   both passes of a pair -> `PairCapture`

A pass follows the card: one denoising step at guidance 1.0 from a fixed seed, so the image tokens are
the same pure noise for every prompt, at sigma 1. Nothing but the text differs between two passes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from plantain import PlantainError
from plantain.prompts import PromptError, PromptPair
from plantain.units import SIDES, SLICE, STREAM_SCOPES, TOKEN_SCOPES, Layout, PairCapture, SumsOfSquares

_PLACEHOLDER = "x"


class CaptureError(PlantainError, RuntimeError):
    """A pass that cannot be recorded; the message names what to look at."""


@dataclass(frozen=True)
class Segment:
    """A run of neighbouring tokens of one scope, as a half-open range."""

    scope: str
    start: int
    stop: int


@dataclass(frozen=True)
class Tokens:
    """A tokenized prompt.

    Attributes
    ----------
    ids : tuple of int
        All ids, padding included (512 for Klein).
    segments : tuple of Segment
        Template, words, template, padding, in the order of the text.
    """

    ids: tuple[int, ...]
    segments: tuple[Segment, ...]

    def count(self, scope: str) -> int:
        return sum(s.stop - s.start for s in self.segments if s.scope == scope)


def tokenize(tokenizer: Any, prompt: str, max_length: int = 512) -> Tokens:
    """Tokenize a prompt as the pipeline does, and tell template, words and padding apart.

    Parameters
    ----------
    tokenizer
        A fast tokenizer with the model's chat template.
    prompt : str
    max_length : int
        Tokens that the pipeline pads to.

    Returns
    -------
    Tokens

    Raises
    ------
    PromptError
        The prompt is empty, holds a control token, is changed by the chat template, or is longer than
        `max_length`; it would be truncated silently otherwise.
    """
    if not prompt.strip():
        raise PromptError("a prompt is empty; write a sentence.")
    if any("\ud800" <= c <= "\udfff" for c in prompt):  # bytes on the command line that are no UTF-8
        raise PromptError("a prompt is not valid Unicode; type it anew.")
    head, tail = _template(tokenizer)
    text = _render(tokenizer, prompt)
    if text != head + prompt + tail:
        raise PromptError("the model's chat template changes this prompt; remove leading and trailing blanks.")
    encoded = tokenizer(text, padding="max_length", max_length=max_length, return_offsets_mapping=True)
    if len(encoded["input_ids"]) > max_length:
        raise PromptError(f"a prompt has {len(encoded['input_ids'])} tokens, {max_length} are possible; shorten it.")
    if not encoded["attention_mask"][0]:
        raise CaptureError("the tokenizer pads on the left; FLUX.2 Klein's pads on the right.")
    used = sum(encoded["attention_mask"])
    start, stop = len(head), len(head) + len(prompt)
    inside = [i for i, (a, b) in enumerate(encoded["offset_mapping"][:used]) if a < stop and b > start]
    if set(encoded["input_ids"][inside[0] : inside[-1] + 1]) & set(tokenizer.get_added_vocab().values()):
        raise PromptError("a prompt holds a control token such as <|im_end|>; remove it.")
    return Tokens(tuple(encoded["input_ids"]), _text_segments(inside[0], inside[-1] + 1, used, max_length))


def _render(tokenizer: Any, prompt: str) -> str:
    messages = [{"role": "user", "content": prompt}]
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, enable_thinking=False)


def _template(tokenizer: Any) -> tuple[str, str]:
    """Return what the chat template puts before and after a prompt."""
    empty, one = _render(tokenizer, ""), _render(tokenizer, _PLACEHOLDER)
    split = next((i for i in range(len(empty) + 1) if empty[:i] + _PLACEHOLDER + empty[i:] == one), len(empty))
    return empty[:split], empty[split:]


def _text_segments(first: int, last: int, used: int, length: int) -> tuple[Segment, ...]:
    ranges = (("template", 0, first), ("words", first, last), ("template", last, used), ("padding", used, length))
    return tuple(Segment(*r) for r in ranges if r[1] < r[2])


def compare_tokens(positive: Tokens, negative: Tokens) -> tuple[int, int]:
    """Return the index of the first differing token and the number of positions that differ."""
    differs = np.array(positive.ids) != np.array(negative.ids)
    return int(differs.argmax()) if differs.any() else len(differs), int(differs.sum())


# --- hooks -------------------------------------------------------------------------------------------------


class Recorder:
    """Sums of squares per block, left on the device until the pass is over."""

    def __init__(self) -> None:
        self._sums: dict[str, dict[int, torch.Tensor]] = {stream: {} for stream in STREAM_SCOPES}

    def hook(self, stream: str, block: int, segments: list[Segment]):
        """Make the pre-hook of one projection; it launches kernels and never waits for them."""

        def record(_module: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> None:
            self._sums[stream][block] = _sum_squares(args[0], segments, STREAM_SCOPES[stream])

        return record

    def collect(self, layout: Layout, prompt: str) -> dict[str, np.ndarray]:
        """Copy everything to the CPU at once: stream -> float32 (n_scopes, n_slices).

        Raises
        ------
        CaptureError
            A recorded module was not reached, or an activation was NaN or infinite.
        """
        places = [(s, b) for s in STREAM_SCOPES for b in range(layout.n_blocks(s))]
        places.sort(key=lambda place: (place[0] == "single", place[1]))  # as they ran: the first bad one is named
        flat = [(stream, block, self._sums[stream].get(block)) for stream, block in places]
        for stream, block, value in flat:
            if value is None:
                raise CaptureError(f"{layout.block_name(stream, block)}: its input was never seen.")
        values = torch.cat([value.reshape(-1) for _, _, value in flat]).cpu().numpy()
        sums: dict[str, list[np.ndarray]] = {stream: [] for stream in STREAM_SCOPES}
        offset = 0
        for stream, block, value in flat:
            part = values[offset : offset + value.numel()].reshape(tuple(value.shape))
            offset += value.numel()
            if not np.isfinite(part).all():
                name = layout.block_name(stream, block)
                raise CaptureError(
                    f"{name}: NaN or infinite activation for the prompt {prompt!r}; 16-bit weights may need float32."
                )
            sums[stream].append(part)
        return {stream: np.concatenate(parts, axis=1) for stream, parts in sums.items()}


def _sum_squares(x: torch.Tensor, segments: list[Segment], scopes: tuple[str, ...]) -> torch.Tensor:
    """Reduce (1, tokens, channels) to float32 (n_scopes, n_slices)."""
    if x.shape[:2] != (1, segments[-1].stop):
        got, wanted = tuple(x.shape[:2]), (1, segments[-1].stop)
        raise CaptureError(f"an output projection got {got} (batch, tokens) where {wanted} were expected.")
    out = x.new_zeros((len(scopes), x.shape[-1] // SLICE), dtype=torch.float32)
    for segment in segments:
        # Not in place: in float32 the slice is the model's own memory, and the pass goes on with it.
        squares = x[:, segment.start : segment.stop].float().square()
        out[scopes.index(segment.scope)] += squares.sum(dim=(0, 1)).unflatten(0, (-1, SLICE)).sum(dim=1)
    return out


def _recorded_modules(transformer: torch.nn.Module) -> Iterator[tuple[str, int, torch.nn.Module]]:
    """Yield the modules whose input is recorded: the text input's, then every block's output projections."""
    yield "embedding", 0, transformer.context_embedder
    for i, block in enumerate(transformer.transformer_blocks):
        yield "joint_image", i, block.attn.to_out[0]
        yield "joint_text", i, block.attn.to_add_out
    for i, block in enumerate(transformer.single_transformer_blocks):
        yield "single", i, block.attn.to_out


@contextmanager
def recording(transformer: torch.nn.Module, text: tuple[Segment, ...], n_image: int) -> Iterator[Recorder]:
    """Record the prompt embedding and every output projection's input while the block of code runs.

    Parameters
    ----------
    transformer : torch.nn.Module
        A Flux2 transformer.
    text : tuple of Segment
        Scopes of the text tokens, which come first in the single blocks' sequence.
    n_image : int
        Image tokens.

    Yields
    ------
    Recorder

    Raises
    ------
    CaptureError
        A block has no output projection where it should be; hooks already placed are removed.
    """
    n_text = text[-1].stop
    recorder = Recorder()
    segments = {
        "embedding": list(text),
        "joint_image": [Segment("image", 0, n_image)],
        "joint_text": list(text),
        "single": [*text, Segment("image", n_text, n_text + n_image)],
    }
    with ExitStack() as stack:
        try:
            for stream, i, module in _recorded_modules(transformer):
                hook = recorder.hook(stream, i, segments[stream])
                stack.callback(module.register_forward_pre_hook(hook).remove)
        except AttributeError as error:
            raise CaptureError(f"this is not a Flux2 transformer: {error}.") from error
        yield recorder


# --- passes ------------------------------------------------------------------------------------------------


@torch.no_grad()
def forward(pipe: Any, prompt: str, size: int, seed: int) -> None:
    """Run what the probe needs of ``pipe(prompt, num_inference_steps=1, guidance_scale=1.0)``.

    Parameters
    ----------
    pipe
        A Klein pipeline.
    prompt : str
    size : int
        Height and width of the image in pixels, a multiple of 16.
    seed : int
        Seed of the noise, drawn on the CPU so that it is the same on every device.
    """
    embeds, text_ids = pipe.encode_prompt(prompt=prompt)
    latents, latent_ids = _noise(pipe, embeds, size, seed)
    pipe.transformer(
        hidden_states=latents.to(pipe.transformer.dtype),
        timestep=torch.ones(1, device=latents.device, dtype=latents.dtype),  # sigma 1: the first of one step
        guidance=None,
        encoder_hidden_states=embeds,
        txt_ids=text_ids,
        img_ids=latent_ids,
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


def capture_pair(pipe: Any, pair: PromptPair, size: int, seed: int) -> PairCapture:
    """Run both prompts of a pair and keep the sums of squares.

    Parameters
    ----------
    pipe
        A Klein pipeline.
    pair : PromptPair
    size, seed : int
        As for `forward`.

    Returns
    -------
    PairCapture
        On the CPU, as numpy arrays.

    Raises
    ------
    PromptError
        A prompt cannot be taken as it is.
    CaptureError
        An activation is NaN or infinite, or the model is no Flux2 transformer.
    """
    layout, n_image = layout_of(pipe), image_tokens(pipe, size)
    tokens = [tokenize(pipe.tokenizer, getattr(pair, side), pipe.tokenizer_max_length) for side in SIDES]
    passes = []
    for side, side_tokens in zip(SIDES, tokens, strict=True):
        prompt = getattr(pair, side)
        with recording(pipe.transformer, side_tokens.segments, n_image) as recorder:
            try:
                forward(pipe, prompt, size, seed)
            except torch.OutOfMemoryError as error:
                raise CaptureError(f"the device has too little memory at {size} px; choose a smaller image.") from error
        passes.append(recorder.collect(layout, prompt))
    streams = {stream: np.stack([p[stream] for p in passes])[:, None] for stream in STREAM_SCOPES}
    first, differing = compare_tokens(*tokens)
    return PairCapture(SumsOfSquares(streams, _token_counts(tokens, n_image)), first, differing)


def _token_counts(tokens: list[Tokens], n_image: int) -> np.ndarray:
    counts = [[n_image if scope == "image" else t.count(scope) for scope in TOKEN_SCOPES] for t in tokens]
    return np.array(counts, dtype=np.int64)[:, None]  # (2, 1, n_scopes)
