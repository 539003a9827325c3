"""The directions of a run: mean vectors of the output projections' inputs, per side, pair, scope and channel.

Magnitudes are blind to a head that turns its vector without lengthening it; the mean vectors are not. The axes are
always in the order side (0 positive, 1 negative), pair, scope, channel; the last one is block by channel.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from plantain.runs.scopes import PLAIN_SCOPES, TOKEN_SCOPES, UNIT_STREAMS, recorded_scopes, stream_scopes
from plantain.runs.units import Layout, Selection, SelectionError, unit_table

LEVELS = ("heads", "all", "image", "off")
"""What a run keeps of the mean vectors: those of heads, text heads and the prompt embedding; the MLP's too; those of
heads over image tokens alone, a fifth as large; none."""

PARTS = {"joint_image": "joint_image", "joint_text": "joint_text", "single": "single", "embedding": "embedding",
         "single_mlp": "single"}  # fmt: skip
"""The parts that mean vectors are kept in, and the stream of each; ``single`` is the attention part alone."""

MOST = 65_504
"""The largest number of a mean vector, which is kept in 16 bits."""

LATER = ("joint_image", "single")
"""The parts that are kept at later times, over image tokens alone: those of the heads."""

TRAJECTORY = 28
"""Denoising steps of the neutral picture that both sides look at; the later times are among them or added to them."""

_OF_UNITS = {"heads": ("joint_image", "single"), "text-heads": ("joint_text",), "mlp": ("single_mlp",),
             "embedding": ("embedding",)}  # fmt: skip


def parts_of(level: str) -> tuple[str, ...]:
    """Return the parts that a level of `LEVELS` keeps."""
    levels = {"off": (), "image": LATER, "all": tuple(PARTS)}
    return levels.get(level, tuple(part for part in PARTS if part != "single_mlp"))


def level_of(parts: Container[str]) -> str:
    """Return which of `LEVELS` some parts are; not ``off``."""
    if "embedding" not in parts:
        return "image"
    return "all" if "single_mlp" in parts else "heads"


def scopes_of(level: str, part: str, tokens: Sequence[str]) -> tuple[str, ...]:
    """Return the scopes of a part that a level keeps, of those that are recorded."""
    return ("image",) if level == "image" else recorded_scopes(PARTS[part], tokens)


def channels_of(layout: Layout, part: str) -> slice:
    """Return the channels of a block's recorded input that a part keeps."""
    whole = layout.n_channels(PARTS[part])
    return {"single": slice(0, layout.attention_dim), "single_mlp": slice(layout.attention_dim, whole)}.get(
        part, slice(0, whole)
    )


def with_times(conditions: str, later: Sequence[float]) -> str:
    """Name the later times of a run, where it has any, after its conditions."""
    return f"{conditions} · times 1, {', '.join(f'{time:g}' for time in later)}" if later else conditions


def directions_size(layout: Layout, n_pairs: int, level: str, tokens: Sequence[str] = PLAIN_SCOPES) -> int:
    """Return how large a run's mean vectors are, in bytes, but for the file's head; `tokens` are its scopes."""
    channels = {part: channels_of(layout, part) for part in parts_of(level)}
    numbers = sum(
        len(scopes_of(level, part, tokens)) * layout.n_blocks(PARTS[part]) * (own.stop - own.start)
        for part, own in channels.items()
    )
    return 2 * 2 * n_pairs * numbers


@dataclass(frozen=True, eq=False)
class Means:
    """Mean vectors over the tokens of a scope. Sums add up over scopes, means do not: they are weighted by tokens.

    Attributes
    ----------
    parts : dict of str to float16 array (2, n_pairs, n_scopes, n_blocks * n_channels)
        Per part of `PARTS` that is kept; the scopes as in `scopes`, the channels block by block. Zero where a prompt
        has no token of a scope.
    tokens : int array (2, n_pairs, 4 or 5)
        Tokens per recorded scope, as `SumsOfSquares.tokens`.
    times : tuple of float
        Later times than 1, falling, at which both sides of a pair saw the same picture; empty where there are none.
    later : dict of str to float16 array (n_times, 2, n_pairs, n_blocks * n_channels)
        Mean vectors over image tokens at these times, per part of `LATER`; empty where there are none.
    """

    parts: dict[str, np.ndarray]
    tokens: np.ndarray
    times: tuple[float, ...] = ()
    later: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if set(self.later) != (set(LATER) if self.times else set()):
            raise ValueError("later times and their mean vectors do not belong together.")
        if any(values.shape[:3] != (len(self.times), *self.tokens.shape[:2]) for values in self.later.values()):
            raise ValueError("the mean vectors at later times are not those of the pairs.")
        for part, values in self.parts.items():
            want = (*self.tokens.shape[:2], len(self.scopes(part)))
            if values.ndim != 4 or values.shape[:3] != want:
                raise ValueError(f"{part}: mean vectors must be {want} + (n_channels,), not {values.shape}.")

    def __repr__(self) -> str:
        """Name what is kept, not the numbers."""
        return f"Means(level={self.level!r}, n_pairs={self.tokens.shape[1]}, times={(1, *self.times)})"

    @property
    def token_scopes(self) -> tuple[str, ...]:
        """The recorded scopes, in the order of the token counts."""
        return TOKEN_SCOPES[: self.tokens.shape[2]]

    def scopes(self, part: str) -> tuple[str, ...]:
        """Return the kept scopes of a part, in the order of its array."""
        return scopes_of(self.level, part, self.token_scopes)

    def has(self, selection: Selection) -> bool:
        """Tell whether the mean vectors of these units over this scope are kept."""
        kept = all(part in self.parts for part in _OF_UNITS.get(selection.units, ("",)))
        return kept and (self.level != "image" or selection.scope == "image")

    @property
    def level(self) -> str:
        """Which of `LEVELS` the parts are."""
        return level_of(self.parts)

    def without(self, scope: str) -> Means:
        """Return the same with nothing of a scope, not even its tokens."""
        parts = {part: values.copy() for part, values in self.parts.items()}
        for part, values in parts.items():
            if scope in self.scopes(part):
                values[:, :, self.scopes(part).index(scope)] = 0
        tokens = self.tokens.copy()
        tokens[..., self.token_scopes.index(scope)] = 0
        return replace(self, parts=parts, tokens=tokens)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all but the token counts by the names that they have in a file, in one order, whoever made them."""
        kept = {f"means.{part}": np.ascontiguousarray(self.parts[part]) for part in PARTS if part in self.parts}
        if not self.times:
            return kept
        later = {f"later.{part}": np.ascontiguousarray(self.later[part]) for part in LATER}
        return {**kept, **later, "times": np.array(self.times)}

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray], tokens: np.ndarray) -> Means | None:
        """Put together what `arrays` took apart, with the token counts; None where there are no mean vectors."""
        parts, later = (
            {name.removeprefix(first): values for name, values in arrays.items() if name.startswith(first)}
            for first in ("means.", "later.")
        )
        times = tuple(arrays["times"].tolist()) if "times" in arrays else ()
        return cls(parts, tokens, times, later) if parts else None

    @classmethod
    def average(cls, measures: Sequence[Mapping[str, np.ndarray]], tokens: np.ndarray) -> Means:
        """Average repeated measures of the same prompts, in float64, and round once.

        Parameters
        ----------
        measures : sequence of mapping of str to float32 array (2, n_pairs, n_scopes, n_blocks * n_channels)
            Per part; one measure, which may be rounded to float16, or more.
        tokens : int array (2, n_pairs, 4 or 5)
            Of one measure.
        """
        means = dict(measures[0])
        if len(measures) > 1:
            means = {part: np.mean([m[part] for m in measures], axis=0, dtype=np.float64) for part in means}
        return cls({part: values.astype(np.float16, copy=False) for part, values in means.items()}, tokens)

    @classmethod
    def concatenate(cls, parts: Sequence[Means]) -> Means:
        """Join along the pairs."""
        kept = {name: np.concatenate([p.parts[name] for p in parts], axis=1) for name in parts[0].parts}
        later = {name: np.concatenate([p.later[name] for p in parts], axis=2) for name in parts[0].later}
        return cls(kept, np.concatenate([p.tokens for p in parts], axis=1), parts[0].times, later)


def mean_vectors(means: Means, layout: Layout, selection: Selection) -> np.ndarray:
    """Return every unit's mean vector over a scope.

    Parameters
    ----------
    means : Means
    layout : Layout
    selection : Selection
        Of ``heads``, ``text-heads``, ``mlp`` or ``embedding``: the card's slices are eighths of a head, and have none.

    Returns
    -------
    float32 array (2, n_pairs, n_units, width)
        The units in the order of `unit_table`.

    Raises
    ------
    SelectionError
        The units have no mean vectors, no such scope, or a prompt has no token in it.
    """
    units, scope = selection.units, selection.scope
    if units not in UNIT_STREAMS or not means.has(selection):
        if means.level == "image":
            raise SelectionError("this run keeps directions of heads over image tokens alone (--directions image).")
        what = "run --directions all" if units == "mlp" else "only heads, text-heads, mlp and embedding have them"
        raise SelectionError(f"this run keeps no directions of the units {units!r}: {what}.")
    table = unit_table(layout, selection)
    found = []
    for part in _OF_UNITS[units]:
        wanted = [s for s in stream_scopes(PARTS[part], scope) if s in means.scopes(part)]
        if not wanted:
            continue
        tokens = means.tokens[:, :, [TOKEN_SCOPES.index(s) for s in wanted]].astype(np.float32)  # (2, pairs, scopes)
        if not tokens.any(axis=2).all():
            raise SelectionError(f"a prompt has no recorded token in scope {scope!r}, so no direction there.")
        rows = means.parts[part][:, :, [means.scopes(part).index(s) for s in wanted]]
        share = tokens / tokens.sum(axis=2, keepdims=True)
        vectors = np.einsum("ipsc,ips->ipc", rows.astype(np.float32), share)
        found.append(vectors.reshape(*vectors.shape[:2], -1, table.width))
    return np.concatenate(found, axis=2)


def later_vectors(means: Means, layout: Layout, time: float) -> np.ndarray:
    """Return every head's mean vector over the image tokens at a later time.

    Parameters
    ----------
    means : Means
    layout : Layout
    time : float
        One of `Means.times`.

    Returns
    -------
    float32 array (2, n_pairs, n_heads, width)
        The heads in the order of `unit_table`.

    Raises
    ------
    SelectionError
        Nothing is kept of that time.
    """
    if time not in means.times:
        raise SelectionError(f"this run keeps nothing of the time {time:g} (run --times 1,…).")
    found = [means.later[part][means.times.index(time)].astype(np.float32) for part in LATER]
    return np.concatenate([own.reshape(*own.shape[:2], -1, layout.head_dim) for own in found], axis=2)
