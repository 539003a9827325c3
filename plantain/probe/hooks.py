"""Hooks on the text input and every attention output projection of a Flux2 transformer.

A hook reads the projection's *input*, called `z` in the field: what the heads have written and the projection has not
mixed yet. It sums squares on the device and keeps no activation.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import numpy as np
import torch

from plantain.probe.tokens import ProbeError, Segment
from plantain.runs.scopes import PLAIN_SCOPES, STREAM_SCOPES, TOKEN_SCOPES, recorded_scopes
from plantain.runs.units import SLICE, Layout

_CHUNK = 128  # tokens that a processor squares at a time: they stay in its cache


class Site(NamedTuple):
    """A module whose input is read.

    Attributes
    ----------
    stream : str
        ``embedding``, ``joint_image``, ``joint_text`` or ``single``.
    block : int
        Its number among the blocks of its kind.
    module : torch.nn.Module
        The output projection; for the embedding, the projection of the text input.
    """

    stream: str
    block: int
    module: torch.nn.Module


def sites(transformer: torch.nn.Module) -> list[Site]:
    """Return every site of a Flux2 transformer: the text input, then the blocks in their order.

    Raises
    ------
    ProbeError
        A block has no output projection where it should be.

    Examples
    --------
    >>> import plantain
    >>> pipe = plantain.load_pipeline("tiny-random", device="cpu")
    >>> [(site.stream, site.block) for site in plantain.probe.sites(pipe.transformer)][:3]
    [('embedding', 0), ('joint_image', 0), ('joint_text', 0)]
    """
    try:
        found = [Site("embedding", 0, transformer.context_embedder)]
        for i, block in enumerate(transformer.transformer_blocks):
            found += [Site("joint_image", i, block.attn.to_out[0]), Site("joint_text", i, block.attn.to_add_out)]
        return found + [Site("single", i, b.attn.to_out) for i, b in enumerate(transformer.single_transformer_blocks)]
    except AttributeError as error:
        raise ProbeError(f"this is not a Flux2 transformer: {error}.") from error


class Recorder:
    """Sums of squares per block, left on the device until the pass is over.

    Parameters
    ----------
    tokens : tuple of str
        The scopes that are recorded: all of `TOKEN_SCOPES`, or the plain ones where there is no reference image.
    """

    def __init__(self, tokens: tuple[str, ...]) -> None:
        self._scopes = {stream: recorded_scopes(stream, tokens) for stream in STREAM_SCOPES}
        self._sums: dict[str, dict[int, torch.Tensor]] = {stream: {} for stream in STREAM_SCOPES}

    def hook(self, stream: str, block: int, segments: list[list[Segment]]):
        """Make the pre-hook of one projection; it launches kernels and never waits for them."""

        def record(_module: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> None:
            self._sums[stream][block] = sum_squares(args[0], segments, self._scopes[stream])

        return record

    def collect(self, layout: Layout, prompts: list[str]) -> list[dict[str, np.ndarray]]:
        """Copy everything to the CPU at once: per prompt, stream -> float32 (n_scopes, n_slices).

        Raises
        ------
        ProbeError
            A recorded module was not reached, or an activation was NaN or infinite.
        """
        places = [(s, b) for s in STREAM_SCOPES for b in range(layout.n_blocks(s))]
        places.sort(key=lambda place: (place[0] == "single", place[1]))  # as they ran: the first bad one is named
        for stream, block in places:
            if block not in self._sums[stream]:
                raise ProbeError(f"{layout.block_name(stream, block)}: its input was never seen.")
        found = [self._sums[stream][block] for stream, block in places]
        values = torch.cat([value.flatten(1) for value in found], dim=1).cpu()  # at once
        parts: dict[str, list[np.ndarray]] = {stream: [] for stream in STREAM_SCOPES}
        for place, value, part in zip(places, found, values.split([v[0].numel() for v in found], dim=1), strict=True):
            bad = ~part.isfinite().all(dim=1)
            if bad.any():
                what = f"NaN or infinite activation for the prompt {prompts[bad.int().argmax()]!r}"
                raise ProbeError(f"{layout.block_name(*place)}: {what}; 16-bit weights may need float32.")
            parts[place[0]].append(part.view(value.shape).numpy())
        for sums in self._sums.values():  # the next pass under these hooks must bring its own
            sums.clear()
        joined = {stream: np.concatenate(own, axis=2) for stream, own in parts.items()}
        return [{stream: values[i] for stream, values in joined.items()} for i in range(len(prompts))]


def sum_squares(x: torch.Tensor, segments: list[list[Segment]], scopes: tuple[str, ...]) -> torch.Tensor:
    """Sum the squares of a projection's input per prompt, scope of tokens and slice of channels, in float32.

    Parameters
    ----------
    x : tensor (n_prompts, n_tokens, n_channels)
    segments : list of list of Segment
        Of each prompt; they cover its tokens in order.
    scopes : tuple of str
        The rows of the result; every segment's scope is among them.

    Returns
    -------
    float32 tensor (n_prompts, n_scopes, n_channels / 16)
        On the device of `x`.

    Raises
    ------
    ProbeError
        `x` has another number of prompts or tokens than the segments.
    """
    got, wanted = tuple(x.shape[:2]), (len(segments), segments[0][-1].stop)
    if got != wanted:
        raise ProbeError(f"an output projection got {got} (batch, tokens) where {wanted} were expected.")
    reduce = _on_processor if x.device.type == "cpu" else _on_accelerator
    return reduce(x, segments, scopes)


def _on_processor(x: torch.Tensor, segments: list[list[Segment]], scopes: tuple[str, ...]) -> torch.Tensor:
    """Square a few tokens at a time: twice as fast as a segment at once, which does not fit the cache."""
    out = x.new_zeros((len(segments), len(scopes), x.shape[-1]), dtype=torch.float32)
    for row, own, tokens in zip(out, segments, x, strict=True):
        for segment in own:
            sums = row[scopes.index(segment.scope)]
            for part in tokens[segment.start : segment.stop].split(_CHUNK):
                # Not in place: in float32 the part is the model's own memory, and the pass goes on with it.
                sums += part.float().square().sum(dim=0)
    return out.unflatten(2, (-1, SLICE)).sum(dim=3)


def _on_accelerator(x: torch.Tensor, segments: list[list[Segment]], scopes: tuple[str, ...]) -> torch.Tensor:
    """Three kernels whatever the number of prompts and segments, reading the input once."""
    masks = torch.zeros((len(segments), len(scopes), x.shape[1]))  # 1 where a token belongs to a scope
    for mask, own in zip(masks, segments, strict=True):
        for segment in own:
            mask[scopes.index(segment.scope), segment.start : segment.stop] = 1
    norms = torch.linalg.vector_norm(x.unflatten(2, (-1, SLICE)), dim=3, dtype=torch.float32)
    return torch.bmm(masks.to(x.device, non_blocking=True), norms.square())


def _picture(start: int, n_image: int, n_reference: int) -> list[Segment]:
    """Return the tokens that are pictures: the one that is drawn, then the reference."""
    end = start + n_image
    reference = [Segment("reference", end, end + n_reference)] if n_reference else []
    return [Segment("image", start, end), *reference]


@contextmanager
def recording(
    transformer: torch.nn.Module, texts: list[tuple[Segment, ...]], n_image: int, n_reference: int = 0
) -> Iterator[Recorder]:
    """Record the prompt embedding and every output projection's input while the block of code runs.

    Parameters
    ----------
    transformer : torch.nn.Module
        A Flux2 transformer.
    texts : list of tuple of Segment
        Scopes of each prompt's text tokens, which come first in the single blocks' sequence.
    n_image, n_reference : int
        Tokens of the image, and of the reference image, which follow them; 0 where there is none.

    Yields
    ------
    Recorder

    Raises
    ------
    ProbeError
        A block has no output projection where it should be.

    Examples
    --------
    >>> import plantain
    >>> from plantain.probe.passes import denoise, encode, image_tokens, layout_of
    >>> pipe = plantain.load_pipeline("tiny-random", device="cpu")
    >>> prompt = "Ana helps Tom."
    >>> tokens = plantain.probe.tokenize(pipe.tokenizer, prompt)
    >>> with plantain.probe.recording(pipe.transformer, [tokens.segments], image_tokens(pipe, 64)) as recorder:
    ...     _ = list(denoise(pipe, encode(pipe, [prompt]), size=64, seed=0))
    >>> (sums,) = recorder.collect(layout_of(pipe), [prompt])
    >>> sums["single"].shape  # scopes, slices of 16 channels in the 20 single blocks
    (4, 640)
    """
    n_text = texts[0][-1].stop
    recorder = Recorder(TOKEN_SCOPES if n_reference else PLAIN_SCOPES)
    segments = {
        "embedding": [list(text) for text in texts],
        "joint_image": [_picture(0, n_image, n_reference) for _ in texts],
        "joint_text": [list(text) for text in texts],
        "single": [[*text, *_picture(n_text, n_image, n_reference)] for text in texts],
    }
    with ExitStack() as stack:
        for stream, block, module in sites(transformer):
            hook = recorder.hook(stream, block, segments[stream])
            stack.callback(module.register_forward_pre_hook(hook).remove)
        yield recorder
