"""Hooks on the text input and every attention output projection of a Flux2 transformer.

A hook reads the projection's *input*, called `z` in the field: what the heads have written and the projection has not
mixed yet. It sums squares on the device, and the input itself where directions are wanted, and keeps no activation.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import NamedTuple

import numpy as np
import torch

from plantain.probe.tokens import ProbeError, Segment
from plantain.runs.directions import MOST, PARTS, channels_of, parts_of
from plantain.runs.scopes import PLAIN_SCOPES, STREAM_SCOPES, TOKEN_SCOPES, recorded_scopes
from plantain.runs.units import SLICE, Layout

_CHUNK = 16  # tokens that a processor squares at a time: they stay in its cache


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


class Recorded(NamedTuple):
    """What a pass left of one prompt.

    Attributes
    ----------
    squares : dict of str to float32 array (n_scopes, n_slices)
        Sums of squares, per stream.
    means : dict of str to float32 or, rounded, float16 array (n_scopes, n_blocks * n_channels)
        Mean vectors, per part of `directions.PARTS` that is kept; zero where the prompt has no token of a scope.
    """

    squares: dict[str, np.ndarray]
    means: dict[str, np.ndarray]


class Recorder:
    """Sums per block, left on the device until the pass is over.

    Parameters
    ----------
    tokens : tuple of str
        The scopes that are recorded: all of `TOKEN_SCOPES`, or the plain ones where there is no reference image.
    parts : dict of str to slice
        The parts of which mean vectors are kept, with their channels in a block.
    """

    def __init__(self, tokens: tuple[str, ...], parts: dict[str, slice]) -> None:
        self._scopes = {stream: recorded_scopes(stream, tokens) for stream in STREAM_SCOPES}
        self._parts = parts
        kept = {stream: [parts[part].stop for part in parts if PARTS[part] == stream] for stream in STREAM_SCOPES}
        self._n_kept = {stream: max(stops, default=0) for stream, stops in kept.items()}  # its first channels
        self._counts: dict[str, torch.Tensor] = {}
        self._sums: dict[str, dict[int, tuple[torch.Tensor, torch.Tensor]]] = {stream: {} for stream in STREAM_SCOPES}

    def hook(self, stream: str, block: int, segments: list[list[Segment]]):
        """Make the pre-hook of one projection; it launches kernels and never waits for them."""
        scopes, n_kept = self._scopes[stream], self._n_kept[stream]
        counts = [[[max(1, _count(own, scope))] for scope in scopes] for own in segments]  # nothing stays nothing
        self._counts[stream] = torch.tensor(counts, dtype=torch.float32)

        def record(_module: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> None:
            self._sums[stream][block] = sum_up(args[0], segments, scopes, n_kept)

        return record

    def collect(self, layout: Layout, prompts: list[str], rounded: bool = False) -> list[Recorded]:
        """Copy everything to the CPU at once, and return what the pass left of each prompt.

        Parameters
        ----------
        layout : Layout
        prompts : list of str
        rounded : bool
            Round the mean vectors to 16 bits on the device: half as much to copy. Not where they are averaged still.

        Raises
        ------
        ProbeError
            A recorded module was not reached, an activation was NaN or infinite, or a mean vector does not fit into
            16 bits.
        """
        places = [(s, b) for s in STREAM_SCOPES for b in range(layout.n_blocks(s))]
        places.sort(key=lambda place: (place[0] == "single", place[1]))  # as they ran: the first bad one is named
        for stream, block in places:
            if block not in self._sums[stream]:
                raise ProbeError(f"{layout.block_name(stream, block)}: its input was never seen.")
        squares = {s: torch.cat([own[b][0] for b in range(layout.n_blocks(s))], 2) for s, own in self._sums.items()}
        means = {part: self._mean(PARTS[part], channels, rounded) for part, channels in self._parts.items()}
        for sums in self._sums.values():  # the next pass under these hooks must bring its own
            sums.clear()
        found = [*squares.values(), *means.values()]
        # A NaN goes through all of it, so that these few numbers tell whether to look for one.
        largest = [values.flatten(1).abs().amax(1, keepdim=True).float() for values in found]
        largest, *arrays = _fetch([torch.cat(largest, 1), *found])
        squares, means = dict(zip(squares, arrays, strict=False)), dict(zip(means, arrays[len(squares) :], strict=True))
        if not largest.half()[:, len(squares) :].isfinite().all() or not largest.isfinite().all():
            self._name_fault(layout, prompts, places, squares, means)
        kinds = [{name: own.numpy() for name, own in kind.items()} for kind in (squares, means)]
        return [
            Recorded(*({name: own[i] for name, own in kind.items()} for kind in kinds)) for i in range(len(prompts))
        ]

    def _mean(self, stream: str, channels: slice, rounded: bool) -> torch.Tensor:
        """Return the mean vectors of a part, (n_prompts, n_scopes, n_blocks * n_channels), on the device."""
        blocks = self._sums[stream]
        totals = torch.cat([blocks[b][1][..., channels] for b in sorted(blocks)], 2)
        mean = totals / self._counts[stream].to(totals.device, non_blocking=True)
        return mean.half() if rounded else mean

    def _name_fault(
        self,
        layout: Layout,
        prompts: list[str],
        places: list[tuple[str, int]],
        squares: dict[str, torch.Tensor],
        means: dict[str, torch.Tensor],
    ) -> None:
        """Raise `ProbeError` for the first block whose numbers cannot be kept."""
        for stream, block in places:
            name = layout.block_name(stream, block)
            if prompt := _first(squares[stream], block, layout.n_blocks(stream), prompts):
                what = f"NaN or infinite activation for the prompt {prompt}"
                raise ProbeError(f"{name}: {what}; 16-bit weights may need float32.")
            for part in (part for part in means if PARTS[part] == stream):
                if prompt := _first(means[part].half(), block, layout.n_blocks(stream), prompts):
                    what = f"a mean vector has numbers over {MOST:,}, for the prompt {prompt}"
                    raise ProbeError(f"{name}: {what}; keep no directions (--directions off).")


def _fetch(tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    """Copy tensors of 32 or 16 bits, whose first axis is the prompts, to the CPU in one piece."""
    rows = torch.cat([tensor.flatten(1).view(torch.float32) for tensor in tensors], 1)
    if rows.device.type == "cuda":
        rows = torch.empty(rows.shape, pin_memory=True).copy_(rows)  # several times as fast as into other memory
    sizes = [tensor[0].numel() * tensor.element_size() // 4 for tensor in tensors]
    parts = zip(rows.cpu().split(sizes, 1), tensors, strict=True)
    return [part.view(tensor.dtype).view(tensor.shape) for part, tensor in parts]


def _count(segments: list[Segment], scope: str) -> int:
    return sum(segment.stop - segment.start for segment in segments if segment.scope == scope)


def _first(values: torch.Tensor, block: int, n_blocks: int, prompts: list[str]) -> str:
    """Return the first prompt of which a block's numbers are not finite, in quotes; empty where there is none."""
    bad = ~values.unflatten(2, (n_blocks, -1))[:, :, block].isfinite().flatten(1).all(dim=1)
    return repr(prompts[bad.int().argmax()]) if bad.any() else ""


def sum_up(
    x: torch.Tensor, segments: list[list[Segment]], scopes: tuple[str, ...], n_kept: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sum a projection's input over the tokens of each prompt's scopes, in float32.

    Parameters
    ----------
    x : tensor (n_prompts, n_tokens, n_channels)
    segments : list of list of Segment
        Of each prompt; they cover its tokens in order.
    scopes : tuple of str
        The rows of the results; every segment's scope is among them.
    n_kept : int
        The first channels, of which the sums are wanted too.

    Returns
    -------
    squares : float32 tensor (n_prompts, n_scopes, n_channels / 16)
        Sums of squares over tokens and the channels of a slice.
    totals : float32 tensor (n_prompts, n_scopes, n_kept)
        Sums over tokens. Both are on the device of `x`.

    Raises
    ------
    ProbeError
        `x` has another number of prompts or tokens than the segments.
    """
    got, wanted = tuple(x.shape[:2]), (len(segments), segments[0][-1].stop)
    if got != wanted:
        raise ProbeError(f"an output projection got {got} (batch, tokens) where {wanted} were expected.")
    reduce = _on_processor if x.device.type == "cpu" else _on_accelerator
    if x.device.type == "cuda":
        reduce = _fused(x.dtype) or reduce
    return reduce(x, segments, scopes, n_kept)


Reduce = Callable[[torch.Tensor, list[list[Segment]], tuple[str, ...], int], tuple[torch.Tensor, torch.Tensor]]
"""A way of `sum_up`, with its arguments and results."""


@cache
def _fused(dtype: torch.dtype) -> Reduce | None:
    """Return the way in one reading of the input; None where Triton is not there, or cannot build its kernels."""
    try:
        from plantain.probe import fused
    except ImportError:
        return None
    try:
        x = torch.zeros((1, 1, 512), dtype=dtype, device="cuda")  # of a size for which Triton builds what Klein needs
        fused.sum_up(x, [[Segment("words", 0, 1)]], ("words",), 512)
    except Exception as error:  # no C compiler, an old driver, …: whatever it is, torch has its own way
        warnings.warn(f"Triton cannot build its kernels, torch's take longer: {error!s:.200}", stacklevel=2)
        return None
    return fused.sum_up


def _on_processor(
    x: torch.Tensor, segments: list[list[Segment]], scopes: tuple[str, ...], n_kept: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Take a few tokens at a time into memory that stays in the cache: four times as fast as a segment at once."""
    piece = x.new_empty((_CHUNK, x.shape[-1]), dtype=torch.float32)  # a copy: the pass goes on with `x`
    squares = x.new_zeros((len(segments), len(scopes), x.shape[-1]), dtype=torch.float32)
    totals = squares.new_zeros((len(segments), len(scopes), n_kept))
    for prompt, own in enumerate(segments):
        for segment in own:
            row = scopes.index(segment.scope)
            own_squares, own_totals = squares[prompt, row], totals[prompt, row]
            for part in x[prompt, segment.start : segment.stop].split(_CHUNK):
                values = piece[: len(part)].copy_(part)
                if n_kept:
                    own_totals += values[:, :n_kept].sum(dim=0)
                own_squares += values.square_().sum(dim=0)
    return squares.unflatten(2, (-1, SLICE)).sum(dim=3), totals


def _on_accelerator(
    x: torch.Tensor, segments: list[list[Segment]], scopes: tuple[str, ...], n_kept: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """A few kernels whatever the number of prompts and segments."""
    masks = torch.zeros((len(segments), len(scopes), x.shape[1]))  # 1 where a token belongs to a scope
    for mask, own in zip(masks, segments, strict=True):
        for segment in own:
            mask[scopes.index(segment.scope), segment.start : segment.stop] = 1
    masks = masks.to(x.device, non_blocking=True)
    norms = torch.linalg.vector_norm(x.unflatten(2, (-1, SLICE)), dim=3, dtype=torch.float32)
    squares = torch.bmm(masks, norms.square())
    totals = torch.bmm(masks, x[..., :n_kept].float()) if n_kept else squares.new_zeros((*squares.shape[:2], 0))
    return squares, totals


def _picture(start: int, n_image: int, n_reference: int) -> list[Segment]:
    """Return the tokens that are pictures: the one that is drawn, then the reference."""
    end = start + n_image
    reference = [Segment("reference", end, end + n_reference)] if n_reference else []
    return [Segment("image", start, end), *reference]


@contextmanager
def recording(
    transformer: torch.nn.Module,
    texts: list[tuple[Segment, ...]],
    n_image: int,
    n_reference: int = 0,
    directions: str = "off",
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
    directions : {"off", "image", "heads", "all"}
        Of which mean vectors are recorded: of none, of heads, text heads and the prompt embedding, or the MLP's too.
        Those of all scopes: which of them are kept is for who collects them.

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
    >>> from plantain.probe.denoising import denoise, encode, image_tokens
    >>> from plantain.probe.passes import layout_of
    >>> pipe = plantain.load_pipeline("tiny-random", device="cpu")
    >>> prompt = "Ana helps Tom."
    >>> tokens = plantain.probe.tokenize(pipe.tokenizer, prompt)
    >>> here = pipe.transformer, [tokens.segments], image_tokens(pipe, 64)
    >>> with plantain.probe.recording(*here, directions="heads") as recorder:
    ...     _ = list(denoise(pipe, encode(pipe, [prompt]), size=64, seed=0))
    >>> (left,) = recorder.collect(layout_of(pipe), [prompt])
    >>> left.squares["single"].shape  # scopes, slices of 16 channels in the 20 single blocks
    (4, 640)
    >>> left.means["single"].shape  # scopes, channels of the heads in the 20 single blocks
    (4, 2560)
    """
    n_text, found = texts[0][-1].stop, sites(transformer)
    layout = Layout.from_config(transformer.config) if directions != "off" else None
    parts = {part: channels_of(layout, part) for part in parts_of(directions)}
    recorder = Recorder(TOKEN_SCOPES if n_reference else PLAIN_SCOPES, parts)
    segments = {
        "embedding": [list(text) for text in texts],
        "joint_image": [_picture(0, n_image, n_reference) for _ in texts],
        "joint_text": [list(text) for text in texts],
        "single": [[*text, *_picture(n_text, n_image, n_reference)] for text in texts],
    }
    with ExitStack() as stack:
        for stream, block, module in found:
            hook = recorder.hook(stream, block, segments[stream])
            stack.callback(module.register_forward_pre_hook(hook).remove)
        yield recorder
