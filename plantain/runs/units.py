"""Units of a transformer: their names and places, and the pooling of sums of squares into magnitudes.

Everything follows from the model's configuration. The axes are always in the order side (0 positive, 1 negative),
pair, scope, unit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Annotated, Any

import numpy as np
from pydantic import Field, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from plantain import PlantainError
from plantain._files import STRICT, first_fault
from plantain.runs.capture import SumsOfSquares
from plantain.runs.scopes import (
    PLAIN_SCOPES,
    SCOPES,
    STREAM_SCOPES,
    TOKEN_SCOPES,
    UNIT_STREAMS,
    UNITS,
    recorded_scopes,
    stream_scopes,
)


class SelectionError(PlantainError, ValueError):
    """A run, units, a scope or a unit that does not exist."""


SLICE = 16
"""Channels per slice. The card's 16,320 "heads" are inputs of the output projection cut every 16
channels: 3072/192 = 12288/768 = 16 (inferred from the counts on the card)."""


Count = Annotated[int, Field(ge=1, le=1000)]

Width = Annotated[int, Field(ge=1, le=1 << 20)]


@dataclass(frozen=True)
class Selection:
    """Which units, over which tokens.

    Attributes
    ----------
    units : {"card", "heads", "text-heads", "mlp", "embedding"}
    scope : {"all", "image", "prompt", "words", "padding", "template", "reference"}
    """

    units: str = "card"
    scope: str = "all"


CARD, HEADS = Selection(), Selection("heads")


@checked_dataclass(frozen=True, config=STRICT)
class Layout:
    """The shape of a Flux2 transformer, as far as units depend on it.

    Attributes
    ----------
    n_joint, n_single : int
        Blocks of each kind.
    n_heads, head_dim : int
        Attention heads per block and channels per head.
    mlp_dim : int
        Channels of a single block's MLP part, which follow its attention channels.
    text_dim : int
        Channels of the prompt embedding, the transformer's text input.
    """

    n_joint: Count
    n_single: Count
    n_heads: Count
    head_dim: Width
    mlp_dim: Width
    text_dim: Width

    def __post_init__(self) -> None:
        if self.head_dim % SLICE or self.text_dim % SLICE or self.mlp_dim % self.head_dim:
            raise ValueError(
                f"heads of {self.head_dim} channels, an MLP of {self.mlp_dim} and an embedding of {self.text_dim} do "
                f"not divide into slices of {SLICE} channels and groups as wide as a head"
            )

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Layout:
        """Derive the layout from the configuration of a `Flux2Transformer2DModel`.

        Raises
        ------
        SelectionError
            No transformer has that shape, or it does not divide into slices.
        """
        dim = config["num_attention_heads"] * config["attention_head_dim"]
        try:
            return cls(
                n_joint=config["num_layers"],
                n_single=config["num_single_layers"],
                n_heads=config["num_attention_heads"],
                head_dim=config["attention_head_dim"],
                mlp_dim=int(dim * config["mlp_ratio"]),
                text_dim=config["joint_attention_dim"],
            )
        except ValidationError as error:
            raise SelectionError(first_fault(error, "transformer")) from None

    @property
    def attention_dim(self) -> int:
        return self.n_heads * self.head_dim

    def n_blocks(self, stream: str) -> int:
        return {"embedding": 1, "single": self.n_single}.get(stream, self.n_joint)

    def n_channels(self, stream: str) -> int:
        """Channels of the recorded input in one block of the stream."""
        if stream == "embedding":
            return self.text_dim
        return self.attention_dim + (self.mlp_dim if stream == "single" else 0)

    def n_slices(self, stream: str) -> int:
        """Slices of all the stream's blocks together."""
        return self.n_blocks(stream) * self.n_channels(stream) // SLICE

    def capture_size(self, n_pairs: int, n_repeats: int = 1, tokens: Sequence[str] = PLAIN_SCOPES) -> int:
        """Return how large a run's raw material is, in bytes, but for the draws and the file's head."""
        numbers = sum(len(recorded_scopes(s, tokens)) * self.n_slices(s) for s in STREAM_SCOPES)
        measures = n_repeats + 1 if n_repeats > 1 else 1  # the average as well
        return 4 * 2 * n_pairs * numbers * measures

    def block_name(self, stream: str, index: int) -> str:
        name = stream.removesuffix("_image").removesuffix("_text")
        return name if name == "embedding" else f"{name}[{index}]"


@dataclass(frozen=True)
class UnitTable:
    """Where each unit sits; all arrays have shape (n_units,).

    Attributes
    ----------
    block : str array
        ``joint[3]``, ``single[19]``.
    kind : str array
        ``attention``, ``mlp`` or ``embedding``.
    channel : int array
        First channel within the block's output projection input.
    head : int array
        The attention head that holds the unit, -1 where there is none.
    width : int
        Channels per unit.
    """

    units: str
    scope: str
    block: np.ndarray
    kind: np.ndarray
    channel: np.ndarray
    head: np.ndarray
    width: int

    @property
    def n_units(self) -> int:
        return len(self.block)

    @cached_property
    def blocks(self) -> list[str]:
        """The blocks' names in the model's order."""
        return list(dict.fromkeys(self.block.tolist()))

    @cached_property
    def names(self) -> list[str]:
        """A readable name for every unit, e.g. ``single[3] head 7``."""
        return [self._name(i) for i in range(self.n_units)]

    def _name(self, i: int) -> str:
        block, channel = self.block[i], int(self.channel[i])
        if self.units in ("card", "embedding"):
            return f"{block} slice {channel // SLICE}"
        if self.units == "mlp":
            first = int(self.channel[self.block == block][0])
            return f"{block} MLP group {(channel - first) // self.width}"
        return f"{block} {'text ' if self.units == 'text-heads' else ''}head {self.head[i]}"


@lru_cache(maxsize=128)  # names of 16,320 units are asked for again and again
def unit_table(layout: Layout, selection: Selection = CARD) -> UnitTable:
    """List the units in the blocks' order (joint, then single), within a block by channel.

    A scope that a stream does not have leaves that stream's units out.

    Raises
    ------
    SelectionError
        Unknown units or scope, or no unit has that scope.
    """
    parts = [_part_table(layout, part) for part in _parts(layout, selection)]
    block, kind, channel = (np.concatenate(column) for column in zip(*parts, strict=True))
    head = np.where(kind == "attention", channel // layout.head_dim, -1)
    return UnitTable(selection.units, selection.scope, block, kind, channel, head, _width(layout, selection.units))


_SPEC = re.compile(r"(embedding|\w+\[\d+\])\.(\d+)")  # of the command line; tables have joint[2] head 0


def find_units(layout: Layout, selection: Selection, names: Sequence[str]) -> np.ndarray:
    """Return where units stand in `unit_table`, int (n_names,), in the order of their names.

    Parameters
    ----------
    layout : Layout
    selection : Selection
    names : sequence of str
        As tables print them (``single[19] head 3``) or in short (``single[19].3``).

    Raises
    ------
    SelectionError
        There is no such unit; the message says what there is.

    Examples
    --------
    >>> layout = Layout(n_joint=1, n_single=2, n_heads=4, head_dim=32, mlp_dim=64, text_dim=48)
    >>> find_units(layout, HEADS, ["single[1].3", "joint[0] head 2"]).tolist()
    [11, 2]
    """
    table = unit_table(layout, selection)
    places = {name: i for i, name in enumerate(table.names)}
    word = {"mlp": "MLP group", "heads": "head", "text-heads": "text head"}.get(selection.units, "slice")
    found = []
    for name in names:
        short = _SPEC.fullmatch(name.strip())
        i = places.get(f"{short[1]} {word} {short[2]}" if short else name.strip())
        if i is None:
            raise SelectionError(
                f"{name[:60]!r} is none of the {table.n_units:,} units ({selection.units}), "
                f"which go from {table.names[0]} to {table.names[-1]}; in short, {_short(table.names[-1])}."
            )
        found.append(i)
    return np.array(found, int)


def _short(name: str) -> str:
    """Write a unit's name in short: its block and the number in it."""
    return f"{name.split()[0]}.{name.split()[-1]}"


def magnitudes(sums: SumsOfSquares, layout: Layout, selection: Selection = CARD) -> np.ndarray:
    """RMS of every unit over the scope's tokens and the unit's channels.

    Parameters
    ----------
    sums : SumsOfSquares
    layout : Layout
    selection : Selection

    Returns
    -------
    float64 array (2, n_pairs, n_units)
        In the units of the activations; the order of `unit_table`.

    Raises
    ------
    SelectionError
        Unknown units or scope, no unit has that scope, or a prompt has no token in it.

    Notes
    -----
    With scope ``all`` and units ``card`` this is the magnitude of the moral-plantain model card
    ("RMS over batch, sequence, and head-dimension axes").
    """
    parts = _parts(layout, selection)
    return np.concatenate([_part_magnitudes(sums, layout, part, selection.scope) for part in parts], axis=2)


def scope_changes(sums: SumsOfSquares, layout: Layout, units: str = "card") -> dict[str, float]:
    """Say how much of the change each recorded scope carries.

    Returns
    -------
    dict of str to float
        Per recorded scope: mean over pairs of the sum of squares of all units, positive minus negative, in
        percent of the mean sum of squares of both sides in all scopes. They add up to the change of ``all``; a scope
        that no unit has carries 0. NaN where all sums of squares are zero.
    """
    totals = np.zeros((2, len(sums.token_scopes)))
    for part in _parts(layout, Selection(units, "all")):
        for row, scope in enumerate(sums.scopes(part.stream)):
            squares = _part_squares(sums.streams[part.stream][:, :, row].astype(np.float64), layout, part)
            totals[:, sums.token_scopes.index(scope)] += squares.sum(axis=2).mean(axis=1)
    whole = totals.sum(axis=1).mean()
    changes = 100 * (totals[0] - totals[1]) / (whole if whole > 0 else np.nan)
    return dict(zip(sums.token_scopes, changes.tolist(), strict=True))


@dataclass(frozen=True)
class _Part:
    """A contiguous range of channels of every block of a stream, cut into units of one width."""

    stream: str
    start: int
    stop: int
    width: int


def _width(layout: Layout, units: str) -> int:
    return SLICE if units in ("card", "embedding") else layout.head_dim


def _parts(layout: Layout, selection: Selection) -> list[_Part]:
    if selection.units not in UNITS:
        raise SelectionError(f"unknown units {selection.units!r}; choose one of {', '.join(UNITS)}.")
    if selection.scope not in SCOPES:
        raise SelectionError(f"unknown scope {selection.scope!r}; choose one of {', '.join(SCOPES)}.")
    start = layout.attention_dim if selection.units == "mlp" else 0  # the MLP's channels follow those of the heads
    parts = []
    for stream in UNIT_STREAMS[selection.units]:
        if stream_scopes(stream, selection.scope):
            stop = layout.attention_dim if selection.units.endswith("heads") else layout.n_channels(stream)
            parts.append(_Part(stream, start, stop, _width(layout, selection.units)))
    if not parts:
        raise SelectionError(
            f"units {selection.units!r} have no tokens of scope {selection.scope!r}; choose another scope."
        )
    return parts


def _part_table(layout: Layout, part: _Part) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    channels = np.arange(part.start, part.stop, part.width)
    n_blocks = layout.n_blocks(part.stream)
    names = [layout.block_name(part.stream, i) for i in range(n_blocks)]
    kinds = np.where(channels < layout.attention_dim, "attention", "mlp")
    kinds = np.full(len(channels), "embedding") if part.stream == "embedding" else kinds
    return np.repeat(names, len(channels)), np.tile(kinds, n_blocks), np.tile(channels, n_blocks)


def _part_magnitudes(sums: SumsOfSquares, layout: Layout, part: _Part, scope: str) -> np.ndarray:
    recorded = sums.scopes(part.stream)
    wanted = [s for s in stream_scopes(part.stream, scope) if s in recorded]
    rows = [recorded.index(s) for s in wanted]
    tokens = sums.tokens[:, :, [TOKEN_SCOPES.index(s) for s in wanted]].sum(axis=2)  # (2, pairs)
    if not tokens.all():
        raise SelectionError(
            f"a prompt has no recorded token in scope {scope!r} (see how the run was made), so no magnitude there."
        )
    squares = sums.streams[part.stream][:, :, rows].sum(axis=2, dtype=np.float64)  # (2, pairs, slices)
    return np.sqrt(_part_squares(squares, layout, part) / (tokens[..., None] * part.width))


def _part_squares(squares: np.ndarray, layout: Layout, part: _Part) -> np.ndarray:
    """Add the slices (2, pairs, slices) of a stream up to the part's units."""
    n_pairs = squares.shape[1]
    squares = squares.reshape(2, n_pairs, layout.n_blocks(part.stream), -1)
    squares = squares[..., part.start // SLICE : part.stop // SLICE]
    return squares.reshape(2, n_pairs, -1, part.width // SLICE).sum(axis=3)
