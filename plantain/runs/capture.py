"""The raw material of a run: sums of squares per side, pair, scope and slice, with token counts.

The axes are always in the order side (0 positive, 1 negative), pair, scope, slice. The last one is block by slice:
all slices of the first block by channel, then those of the second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from plantain.runs.scopes import PLAIN_SCOPES, STREAM_SCOPES, TOKEN_SCOPES, recorded_scopes

if TYPE_CHECKING:
    from plantain.runs.directions import Means


@dataclass(frozen=True)
class SumsOfSquares:
    """Sums of squares of the output projections' inputs; they add up, RMS values do not.

    Attributes
    ----------
    streams : dict of str to float32 array (2, n_pairs, n_scopes, n_slices)
        Per stream of `STREAM_SCOPES`; the scopes as in `scopes`, the slices block by block and by channel.
    tokens : int array (2, n_pairs, 4 or 5)
        Tokens per recorded scope, in the order of `TOKEN_SCOPES`; the fifth are those of a reference image.
    """

    streams: dict[str, np.ndarray]
    tokens: np.ndarray

    def __post_init__(self) -> None:
        wanted = (len(PLAIN_SCOPES), len(TOKEN_SCOPES))
        if self.tokens.ndim != 3 or self.tokens.shape[0] != 2 or self.tokens.shape[2] not in wanted:
            raise ValueError(f"token counts must be (2, n_pairs, {wanted[0]} or {wanted[1]}), not {self.tokens.shape}.")
        for stream in STREAM_SCOPES:
            got, want = self.streams[stream].shape, (2, self.n_pairs, len(self.scopes(stream)))
            if len(got) != 4 or got[:3] != want:
                raise ValueError(f"{stream}: sums of squares must be {want} + (n_slices,), not {got}.")

    @property
    def n_pairs(self) -> int:
        return self.tokens.shape[1]

    @property
    def token_scopes(self) -> tuple[str, ...]:
        """The recorded scopes, in the order of the token counts."""
        return TOKEN_SCOPES[: self.tokens.shape[2]]

    def scopes(self, stream: str) -> tuple[str, ...]:
        """Return the recorded scopes of a stream, in the order of its array."""
        return recorded_scopes(stream, self.token_scopes)

    @cached_property
    def present(self) -> tuple[str, ...]:
        """The recorded scopes that every prompt has tokens of."""
        return tuple(s for s, there in zip(self.token_scopes, self.tokens.all(axis=(0, 1)), strict=True) if there)

    def without(self, scope: str) -> SumsOfSquares:
        """Return the same with nothing of a scope, not even its tokens."""
        streams = {stream: values.copy() for stream, values in self.streams.items()}
        for stream, values in streams.items():
            if scope in self.scopes(stream):
                values[:, :, self.scopes(stream).index(scope)] = 0
        tokens = self.tokens.copy()
        tokens[..., self.token_scopes.index(scope)] = 0
        return SumsOfSquares(streams, tokens)

    @classmethod
    def average(cls, parts: Sequence[SumsOfSquares]) -> SumsOfSquares:
        """Average repeated measures of the same prompts, in float64; the token counts are those of one measure."""
        mean = {s: np.mean([p.streams[s] for p in parts], axis=0, dtype=np.float64) for s in STREAM_SCOPES}
        return cls({s: values.astype(np.float32) for s, values in mean.items()}, parts[0].tokens)

    @classmethod
    def concatenate(cls, parts: list[SumsOfSquares]) -> SumsOfSquares:
        """Join along the pairs."""
        streams = {name: np.concatenate([p.streams[name] for p in parts], axis=1) for name in STREAM_SCOPES}
        return cls(streams, np.concatenate([p.tokens for p in parts], axis=1))


@dataclass(frozen=True)
class PairCapture:
    """What the two passes of a pair left.

    Attributes
    ----------
    sums : SumsOfSquares
        With one pair; the average where there are repeated measures.
    first_difference : int
        Index of the first token that differs between the sides; everything before it is identical, since
        the text encoder is causal.
    n_differing : int
        Positions at which the two token sequences differ.
    repeats : tuple of SumsOfSquares
        The repeated measures that `sums` averages; empty where there is one.
    means : Means or None
        Mean vectors, with one pair: the average where there are repeated measures; None where none are kept.
    """

    sums: SumsOfSquares
    first_difference: int
    n_differing: int
    repeats: tuple[SumsOfSquares, ...] = ()
    means: Means | None = None

    @classmethod
    def of(
        cls, measures: Sequence[SumsOfSquares], first_difference: int, n_differing: int, means: Means | None = None
    ) -> PairCapture:
        """Return what one measure left, or the average of several with the measures."""
        if len(measures) == 1:
            return cls(measures[0], first_difference, n_differing, means=means)
        return cls(SumsOfSquares.average(measures), first_difference, n_differing, tuple(measures), means)
