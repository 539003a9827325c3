"""The hooks' sums on a CUDA device in one reading of the input, by two Triton kernels.

Torch needs several readings, and writes what lies between them. Here a program takes a chunk of tokens of one scope and
a block of channels, and writes their sums; a second kernel adds up the chunks of a prompt's scope. No two programs
write to one place, so the same input gives the same bits, whatever other prompts are in the batch.

`plantain.probe.hooks` imports this file where there is Triton, and is the reference that it is tested against.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import triton
import triton.language as tl

from plantain.probe.tokens import Segment
from plantain.runs.units import SLICE

_CHUNK = 256  # tokens that a program reads at most, all of one scope

_ROWS, _CHANNELS = 8, 512  # of its tile: what it holds in registers at a time

_COLUMNS = 1024  # that a program of the second kernel adds up


def sum_up(
    x: torch.Tensor, segments: list[list[Segment]], scopes: tuple[str, ...], n_kept: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Do what `hooks.sum_up` does, with the same arguments and results, in two kernels without a wait."""
    n_prompts, _, n_channels = x.shape
    x = x if x.stride(2) == 1 else x.contiguous()
    n_slices = n_channels // SLICE
    width = n_slices + n_kept
    chunks, first = _table(tuple(map(tuple, segments)), scopes, x.device)
    parts = torch.empty((len(chunks), width), dtype=torch.float32, device=x.device)
    out = torch.empty((n_prompts, len(scopes), width), dtype=torch.float32, device=x.device)
    with torch.cuda.device_of(x):  # Triton launches on the current one
        _sum_chunks[len(chunks), triton.cdiv(n_channels, _CHANNELS)](
            x, chunks, parts, x.stride(0), x.stride(1), n_channels, n_slices, n_kept,
            ROWS=_ROWS, CHANNELS=_CHANNELS, SLICE=SLICE,
        )  # fmt: skip
        _add_chunks[len(first) - 1, triton.cdiv(width, _COLUMNS)](parts, first, out, width, COLUMNS=_COLUMNS)
    return out[..., :n_slices], out[..., n_slices:]


@lru_cache(maxsize=16)  # all blocks of a stream have one
def _table(
    segments: tuple[tuple[Segment, ...], ...], scopes: tuple[str, ...], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut the tokens into chunks, ordered by prompt and scope.

    Returns
    -------
    chunks : int32 tensor (n_chunks, 3)
        Prompt, first token, and the one after the last.
    first : int32 tensor (n_prompts * n_scopes + 1,)
        The first chunk of every prompt's scope, and how many chunks there are.
    """
    chunks: list[tuple[int, int, int]] = []
    first = [0]
    for prompt, own in enumerate(segments):
        for scope in scopes:
            for segment in own:
                if segment.scope == scope:
                    starts = range(segment.start, segment.stop, _CHUNK)
                    chunks += [(prompt, start, min(start + _CHUNK, segment.stop)) for start in starts]
            first.append(len(chunks))
    return tuple(torch.tensor(rows, dtype=torch.int32).to(device, non_blocking=True) for rows in (chunks, first))


@triton.jit
def _sum_chunks(
    x, chunks, parts, prompt_stride, token_stride, n_channels, n_slices, n_kept,
    ROWS: tl.constexpr, CHANNELS: tl.constexpr, SLICE: tl.constexpr,
):  # fmt: skip
    """Write a chunk's row: the sum of squares of every slice, then the sums of the channels that are kept."""
    chunk = tl.program_id(0)
    prompt = tl.load(chunks + 3 * chunk).to(tl.int64)
    start = tl.load(chunks + 3 * chunk + 1)
    stop = tl.load(chunks + 3 * chunk + 2)
    channels = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    squares = tl.zeros((ROWS, CHANNELS), dtype=tl.float32)
    totals = tl.zeros((ROWS, CHANNELS), dtype=tl.float32)
    for at in range(start, stop, ROWS):
        tokens = at + tl.arange(0, ROWS)
        places = prompt * prompt_stride + tokens[:, None].to(tl.int64) * token_stride + channels[None, :]
        inside = (tokens < stop)[:, None] & (channels < n_channels)[None, :]
        values = tl.load(x + places, mask=inside, other=0.0).to(tl.float32)
        squares += values * values
        totals += values
    row = parts + chunk.to(tl.int64) * (n_slices + n_kept)
    slices = tl.program_id(1) * (CHANNELS // SLICE) + tl.arange(0, CHANNELS // SLICE)
    of_slices = tl.sum(tl.reshape(tl.sum(squares, axis=0), (CHANNELS // SLICE, SLICE)), axis=1)
    tl.store(row + slices, of_slices, mask=slices < n_slices)
    tl.store(row + n_slices + channels, tl.sum(totals, axis=0), mask=channels < n_kept)


@triton.jit
def _add_chunks(parts, first, out, width, COLUMNS: tl.constexpr):
    """Add up the chunks of one prompt's scope, one after the other; zero where it has none."""
    row = tl.program_id(0)
    columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    total = tl.zeros((COLUMNS,), dtype=tl.float32)
    begin = tl.load(first + row)
    places = parts + begin.to(tl.int64) * width + columns
    for _ in range(begin, tl.load(first + row + 1)):
        total += tl.load(places, mask=columns < width, other=0.0)
        places += width
    tl.store(out + row.to(tl.int64) * width + columns, total, mask=columns < width)
