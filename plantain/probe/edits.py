"""Edits: what units write is changed while a pass runs, on the same sites that `hooks.recording` reads.

A hook on an output projection gives it another input, so that everything after it follows from the changed one. The
model's own tensors are never written to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from plantain.probe.hooks import sites
from plantain.probe.tokens import ProbeError, Segment
from plantain.runs.scopes import SCOPES, UNIT_STREAMS, UNITS
from plantain.runs.units import Layout, Selection, SelectionError, UnitTable, find_units, unit_table

Units = str | Sequence[str] | np.ndarray
"""``all``, a unit's name or several (``single[19].3``), or an int array of places in `unit_table`."""

Rows = int | Sequence[int] | None
"""Rows of a batch, counted from 0; None for all of them."""


@dataclass(frozen=True, eq=False)
class Inputs(Mapping[tuple[str, int], torch.Tensor]):
    """What the output projections got in a pass.

    Attributes
    ----------
    kept : dict of (str, int) to tensor (n_prompts, n_tokens, n_channels)
        Per stream and block; the first channels where not all of them are kept.
    n_image : int or None
        The tokens that are kept, those of the image, which are a pass's last; None where all are.
    """

    kept: dict[tuple[str, int], torch.Tensor] = field(default_factory=dict)
    n_image: int | None = None

    def __getitem__(self, place: tuple[str, int]) -> torch.Tensor:
        return self.kept[place]

    def __iter__(self) -> Iterator[tuple[str, int]]:
        return iter(self.kept)

    def __len__(self) -> int:
        return len(self.kept)

    def __repr__(self) -> str:
        """Name what is kept, not the numbers."""
        return f"Inputs({len(self.kept)} projections, n_image={self.n_image})"

    def of(self, row: int) -> Inputs:
        """Return those of one prompt."""
        return Inputs({place: own[row : row + 1] for place, own in self.kept.items()}, self.n_image)


@dataclass(frozen=True, eq=False)
class Edit:
    """A change of units, made by `scale`, `ablate`, `patch` or `steer`.

    Attributes
    ----------
    how : {"scale", "put", "add", "take"}
        What happens to a unit's values at every token: times `values`, `values` instead, plus `values`, or those of
        `source` instead.
    units : str, sequence of str or int array
    kind : {"card", "heads", "text-heads", "mlp", "embedding"}
    scope : {"all", "image", "prompt", "words", "padding", "template", "reference"}
        The tokens at which it happens.
    rows : tuple of int or None
    values : float32 array, which broadcasts to (n_units, width), or None
    source : int, Inputs or None
        A row of the same batch, or what another pass left.
    """

    how: str
    units: Units
    kind: str
    scope: str
    rows: tuple[int, ...] | None
    values: np.ndarray | None = None
    source: int | Inputs | None = None


def scale(units: Units, gain: float, *, kind: str = "heads", scope: str = "all", rows: Rows = None) -> Edit:
    """Multiply what units write.

    Parameters
    ----------
    units : str, sequence of str or int array
        ``all``, names such as ``single[19].3`` or ``single[19] head 3``, or places in
        ``unit_table(layout, Selection(kind, scope))``.
    gain : float
        0 turns them off, 1 changes nothing.
    kind : {"heads", "text-heads", "mlp", "card", "embedding"}
    scope : str
        The tokens at which it happens, as for `Run.magnitudes`.
    rows : int or sequence of int, optional
        Rows of the batch; all unless given.

    Returns
    -------
    Edit
        For `editing`.
    """
    return Edit("scale", units, kind, scope, _rows(rows), _finite(gain, "a gain"))


def ablate(
    units: Units,
    how: str,
    *,
    source: np.ndarray | Inputs | None = None,
    kind: str = "heads",
    scope: str = "all",
    rows: Rows = None,
) -> Edit:
    """Put something in the place of what units write that says nothing about the prompt.

    Parameters
    ----------
    units, kind, scope, rows
        As for `scale`.
    how : {"mean", "zero", "resample"}
        Their mean over prompts, the same at every token; nothing; or what they wrote for a prompt of another pair.
        Zero is far from what a model sees, the others are not.
    source : array (n_units, width) or Inputs
        The mean vectors, in the order of the units; or what a pass on another pair's prompt left, as for `patch`.

    Returns
    -------
    Edit

    Raises
    ------
    ProbeError
        An unknown way, or a source that is not the way's.
    """
    wanted = {"mean": np.ndarray, "zero": type(None), "resample": Inputs}
    if how not in wanted:
        raise ProbeError(f"unknown way to ablate {how!r}; choose one of {', '.join(wanted)}.")
    if not isinstance(source, wanted[how]):
        needs = {"mean": "an array (n_units, width)", "zero": "no source", "resample": "what `keeping` kept"}
        raise ProbeError(f"to ablate by {how} takes {needs[how]} as its source, not {type(source).__name__}.")
    if how == "resample":
        return patch(units, source, kind=kind, scope=scope, rows=rows)
    return Edit("put", units, kind, scope, _rows(rows), _finite(0 if source is None else source, "mean vectors"))


def patch(units: Units, source: int | Inputs, *, kind: str = "heads", scope: str = "all", rows: Rows = None) -> Edit:
    """Give units what they wrote for another prompt, token by token.

    Parameters
    ----------
    units, kind, scope, rows
        As for `scale`.
    source : int or Inputs
        A row of the same batch, whose values are taken as they come in; or what a pass under `keeping` left: of one
        prompt, or of as many as there are rows.

    Returns
    -------
    Edit

    References
    ----------
    Zhang and Nanda, Towards best practices of activation patching in language models, 2023, arXiv 2309.16042.
    """
    if not isinstance(source, Inputs | int) or isinstance(source, bool):
        raise ProbeError(f"the source of a patch is a row or what `keeping` kept, not {type(source).__name__}.")
    return Edit("take", units, kind, scope, _rows(rows), source=source)


def steer(
    units: Units,
    direction: np.ndarray,
    alpha: float = 1.0,
    *,
    kind: str = "heads",
    scope: str = "all",
    rows: Rows = None,
) -> Edit:
    """Add a vector to what units write, the same at every token.

    Parameters
    ----------
    units, kind, scope, rows
        As for `scale`.
    direction : array (n_units, width)
        In the order of the units.
    alpha : float
        What it is multiplied by.

    Returns
    -------
    Edit
    """
    return Edit("add", units, kind, scope, _rows(rows), _finite(direction, "a direction") * _finite(alpha, "alpha"))


def _rows(rows: Rows) -> tuple[int, ...] | None:
    if rows is None:
        return None
    found = (rows,) if isinstance(rows, int | np.integer) else tuple(rows)
    if not found or len(set(found)) < len(found) or any(row < 0 for row in found):
        raise ProbeError(f"rows {found}: name each row once, from 0.")
    return found


def _finite(values: Any, what: str) -> np.ndarray:
    values = np.asarray(values, dtype=np.float32)
    if not np.isfinite(values).all():
        raise ProbeError(f"{what} must be finite numbers.")
    return values


@contextmanager
def keeping(transformer: torch.nn.Module, kinds: Sequence[str] = UNITS, n_image: int | None = None) -> Iterator[Inputs]:
    """Keep what the output projections get while the block of code runs; a later pass takes the place of a former.

    Parameters
    ----------
    transformer : torch.nn.Module
        A Flux2 transformer.
    kinds : sequence of str
        The kinds of units that are wanted; all unless given. What Klein's keep at 256 px in 16 bits is 400 MB a
        prompt; its heads at the image tokens are a tenth of it.
    n_image : int, optional
        Keep these last tokens of a pass alone: those of the image, where there is no reference image.

    Yields
    ------
    Inputs
        Empty before the pass.

    Raises
    ------
    ProbeError
        This is no Flux2 transformer.

    Examples
    --------
    >>> import plantain
    >>> from plantain.probe.denoising import denoise, encode
    >>> pipe = plantain.load_pipeline("tiny-random", device="cpu")
    >>> with plantain.probe.keeping(pipe.transformer) as inputs:
    ...     _ = list(denoise(pipe, encode(pipe, ["Ana helps Tom."]), size=64, seed=0))
    >>> tuple(inputs["single", 19].shape)  # prompts, tokens of text and image, channels of heads and MLP
    (1, 528, 512)
    """
    layout, found = Layout.from_config(transformer.config), sites(transformer)
    channels: dict[str, int] = {}
    for kind in kinds:
        for stream in UNIT_STREAMS[kind]:
            whole = layout.attention_dim if kind.endswith("heads") else layout.n_channels(stream)
            channels[stream] = max(whole, channels.get(stream, 0))
    if n_image is not None:
        channels = {stream: n for stream, n in channels.items() if stream in ("joint_image", "single")}
    inputs = Inputs(n_image=n_image)

    def keep(place: tuple[str, int], n_channels: int):
        def hook(_module: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> None:
            x = args[0].detach()
            inputs.kept[place] = x[:, 0 if n_image is None else x.shape[1] - n_image :, :n_channels].clone()

        return hook

    with ExitStack() as stack:
        for stream, block, module in found:
            if stream in channels:
                handle = module.register_forward_pre_hook(keep((stream, block), channels[stream]))
                stack.callback(handle.remove)
        yield inputs


STEPS = ("all", "first")
"""The denoising steps in which edits happen."""

BRANCHES = ("both", "conditional")
"""The branches of classifier-free guidance in which edits happen."""


@contextmanager
def editing(
    transformer: torch.nn.Module,
    edits: Edit | Sequence[Edit],
    texts: Sequence[tuple[Segment, ...]] | None = None,
    n_image: int | None = None,
    steps: str = "all",
    branch: str = "both",
    n_reference: int = 0,
) -> Iterator[None]:
    """Change what units write while the block of code runs.

    Edits of the same unit happen one after the other. Hooks run in the order in which they were set: `recording` that
    is opened inside sees what was changed, outside what the block itself wrote.

    Parameters
    ----------
    transformer : torch.nn.Module
        A Flux2 transformer.
    edits : Edit or sequence of Edit
    texts : sequence of tuple of Segment, optional
        Scopes of each row's text tokens, or of one where all rows have the same, as for `recording`. Needed for other
        scopes than ``all``.
    n_image, n_reference : int, optional
        Tokens of the image, needed likewise, and of the reference image which follow them.
    steps : {"all", "first"}
        A step begins where the transformer's time or its latents change, a picture where the time rises.
    branch : {"both", "conditional"}
        With guidance the pipeline calls the transformer twice a step, first with the prompt and then without it. Leave
        this where there is no guidance.

    Raises
    ------
    SelectionError
        There are no such units, kind or scope, or a unit is named twice.
    ProbeError
        A vector or a source of another shape, a scope without texts, or a row that a batch does not have. What depends
        on the pass is found there. No hook stays in any case.

    Examples
    --------
    >>> import plantain
    >>> from plantain.probe import editing, scale
    >>> from plantain.probe.denoising import denoise, encode
    >>> pipe = plantain.load_pipeline("tiny-random", device="cpu")
    >>> embeds = encode(pipe, ["Ana helps Tom."])
    >>> plain = next(denoise(pipe, embeds, size=64, seed=0)).velocity
    >>> with editing(pipe.transformer, scale("single[19].3", 0)):
    ...     without = next(denoise(pipe, embeds, size=64, seed=0)).velocity
    >>> bool((plain != without).any())
    True
    """
    if steps not in STEPS or branch not in BRANCHES:
        wrong, choices = (steps, STEPS) if steps not in STEPS else (branch, BRANCHES)
        raise ProbeError(f"{wrong!r}: choose one of {', '.join(choices)}.")
    layout, found = Layout.from_config(transformer.config), sites(transformer)
    places = {(stream, block): module for stream, block, module in found}
    writes: dict[tuple[str, int], list[_Write]] = {}
    scopes = _Scopes(texts, n_image, n_reference)
    for edit in [edits] if isinstance(edits, Edit) else edits:
        _add(writes, edit, layout, scopes)
    clock = _Clock(steps == "first", branch == "conditional")

    def change(own: list[_Write]):
        def hook(_module: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...] | None:
            if not clock.now:
                return None
            changed = args[0].clone()
            for write in own:
                write.apply(changed, args[0])
            return (changed, *args[1:])

        return hook

    with ExitStack() as stack:
        if not clock.always:
            stack.callback(transformer.register_forward_pre_hook(clock.look, with_kwargs=True).remove)
        for place, own in writes.items():
            stack.callback(places[place].register_forward_pre_hook(change(own)).remove)
        yield


class _Clock:
    """Tells in which of a picture's calls edits happen."""

    def __init__(self, first_step: bool, conditional: bool) -> None:
        self._first_step, self._conditional = first_step, conditional
        self._last: tuple[torch.Tensor, torch.Tensor] | None = None
        self._step = self._call = 0
        self.now = self.always = not (first_step or conditional)

    def look(self, _module: torch.nn.Module, args: tuple[Any, ...], given: dict[str, Any]) -> None:
        named = dict(zip(("hidden_states", "encoder_hidden_states", "timestep"), args, strict=False)) | given
        latents, time = named["hidden_states"], named["timestep"]
        last, self._last = self._last, (latents.clone(), time.clone())
        if last is not None and torch.equal(last[0], latents) and torch.equal(last[1], time):
            self._call += 1
        else:
            self._call = 0
            self._step = 0 if last is None or time.max() > last[1].max() else self._step + 1
        self.now = not (self._first_step and self._step) and not (self._conditional and self._call % 2)


class _Scopes:
    """Which tokens of a stream's rows belong to a scope."""

    def __init__(self, texts: Sequence[tuple[Segment, ...]] | None, n_image: int | None, n_reference: int) -> None:
        self._texts, self._n_image, self._n_reference = texts, n_image, n_reference
        self._found: dict[tuple[str, str], np.ndarray] = {}

    def tokens(self, stream: str, scope: str) -> np.ndarray | None:
        """Return bool (n_texts, n_tokens); None where all of them are meant."""
        if scope == "all":
            return None
        if not self._texts or self._n_image is None:
            raise ProbeError(f"scope {scope!r} needs the prompts' texts and n_image, as `recording` does.")
        if (stream, scope) not in self._found:
            self._found[stream, scope] = self._mark(stream, scope)
        return self._found[stream, scope]

    def _mark(self, stream: str, scope: str) -> np.ndarray:
        n_text = self._texts[0][-1].stop
        if any(text[-1].stop != n_text for text in self._texts):
            raise ProbeError("the prompts' texts have different numbers of tokens; pad them to one.")
        text = np.zeros((len(self._texts), n_text), bool)
        for row, own in zip(text, self._texts, strict=True):
            for segment in own:
                row[segment.start : segment.stop] = segment.scope in SCOPES[scope]
        picture = np.repeat([n in SCOPES[scope] for n in ("image", "reference")], [self._n_image, self._n_reference])
        pictures = np.broadcast_to(picture, (len(text), len(picture)))
        parts = {"joint_image": [pictures], "single": [text, pictures]}.get(stream, [text])
        marked = np.concatenate(parts, axis=1)
        if not marked.any():
            raise ProbeError(f"no prompt has a token of scope {scope!r}.")
        return marked


def _add(writes: dict[tuple[str, int], list[_Write]], edit: Edit, layout: Layout, scopes: _Scopes) -> None:
    """Say at every site what an edit does there; together with the last one that does the same to other rows."""
    table = unit_table(layout, Selection(edit.kind, edit.scope))
    units = _places(edit.units, table, layout)
    shape = (len(units), table.width)
    if edit.values is not None and edit.values.shape not in ((), shape):
        raise ProbeError(f"vectors must be {shape} (units, width), not {edit.values.shape}.")
    values = None if edit.values is None else np.broadcast_to(edit.values, shape)
    blocks = table.block[units]
    for block in dict.fromkeys(blocks.tolist()):
        here = blocks == block
        place = _site(block, edit.kind)
        channels = (table.channel[units[here], None] + np.arange(table.width)).ravel()
        if isinstance(edit.source, Inputs):
            kept = edit.source.get(place)
            if kept is None or kept.shape[2] <= channels.max():
                raise ProbeError(f"{block}: the source keeps nothing of these units ({edit.kind}).")
        part = _Part(edit.rows, channels, None if values is None else values[here].ravel())
        own = writes.setdefault(place, [])
        marked = scopes.tokens(place[0], edit.scope)
        if own and own[-1].takes(edit, marked, part):
            own[-1].parts.append(part)
        else:
            own.append(_Write(place, block, edit.how, edit.source, marked, [part]))


def _places(units: Units, table: UnitTable, layout: Layout) -> np.ndarray:
    """Return places in the table, int (n_units,)."""
    if isinstance(units, str) and units == "all":
        return np.arange(table.n_units)
    named = np.atleast_1d(np.asarray(units))
    if not named.size:
        raise SelectionError("no units are named; name one, or all.")
    if named.dtype.kind in "iu" and named.ndim == 1:
        found = named
        if found.min() < 0 or found.max() >= table.n_units:
            raise SelectionError(f"there are {table.n_units:,} units ({table.units}), counted from 0.")
    elif named.dtype.kind == "U" and named.ndim == 1:
        found = find_units(layout, Selection(table.units, table.scope), named.tolist())
    else:
        raise SelectionError("units are named, or given by their places.")
    if len(np.unique(found)) < len(found):
        raise SelectionError("a unit is named twice; name each once.")
    return found


def _site(block: str, kind: str) -> tuple[str, int]:
    """Return the stream and number of a block's site at which a kind of units is read."""
    name, _, number = block.rstrip("]").partition("[")
    streams = {"joint": "joint_text" if kind == "text-heads" else "joint_image"}
    return streams.get(name, name), int(number or 0)


@dataclass(frozen=True, eq=False)
class _Part:
    """Channels that an edit writes in some rows, and the values for it, (n_channels,)."""

    rows: tuple[int, ...] | None
    channels: np.ndarray
    values: np.ndarray | None


@dataclass(eq=False)
class _Write:
    """Edits of one site that do the same to different rows, made by a few kernels whatever their number."""

    place: tuple[str, int]
    block: str
    how: str
    source: int | Inputs | None
    marked: np.ndarray | None
    parts: list[_Part]
    _ready: tuple[torch.Size, _Tables] | None = None

    def takes(self, edit: Edit, marked: np.ndarray | None, part: _Part) -> bool:
        """Tell whether an edit can join, which does not touch the rows that are written here."""
        if (self.how, marked is self.marked, edit.source is self.source) != (edit.how, True, True):
            return False
        if part.rows is None or self.parts[0].rows is None:
            return False
        if isinstance(self.source, Inputs) and len(self.source[self.place]) > 1:  # a prompt for each of an edit's rows
            return False
        return not {row for own in self.parts for row in own.rows} & set(part.rows)

    def apply(self, changed: torch.Tensor, x: torch.Tensor) -> None:
        """Write into `changed`, (n_prompts, n_tokens, n_channels), of which `x` is what came in."""
        if self._ready is None or self._ready[0] != x.shape:
            self._ready = x.shape, self._prepare(x)
        t = self._ready[1]
        region = changed[t.rows, t.tokens, t.channels]
        if self.how == "scale":
            new = (region * t.values).to(x.dtype)
        elif self.how == "add":
            new = (region + t.values).to(x.dtype)
        elif self.how == "put":
            new = t.values.to(x.dtype)
        elif isinstance(self.source, Inputs):
            new = self._source(t, x)
        else:
            new = x[self.source, t.tokens, t.channels]
        changed[t.rows, t.tokens, t.channels] = torch.where(t.chosen, new, region)

    def _prepare(self, x: torch.Tensor) -> _Tables:
        """Lay out what is written in a batch of a shape."""
        n_rows, n_tokens, _ = x.shape
        named = [row for part in self.parts for row in part.rows or ()]
        if named and max(named) >= n_rows:
            raise ProbeError(f"row {max(named)} is to be changed, but the batch has {n_rows}, counted from 0.")
        if isinstance(self.source, int) and not 0 <= self.source < n_rows:
            raise ProbeError(f"row {self.source} is the source, but the batch has {n_rows}, counted from 0.")
        rows = slice(min(named), max(named) + 1) if named else slice(0, n_rows)
        edges = [(part.channels.min(), part.channels.max() + 1) for part in self.parts]
        first, last = min(a for a, _ in edges), max(b for _, b in edges)
        shape = (rows.stop - rows.start if named else 1, last - first)
        chosen, values = np.zeros(shape, bool), np.zeros(shape, np.float32)
        for part in self.parts:
            for row in range(shape[0]) if part.rows is None else (row - rows.start for row in part.rows):
                chosen[row, part.channels - first] = True
                if part.values is not None:
                    values[row, part.channels - first] = part.values
        tokens, marked = self._tokens(n_rows, n_tokens, rows)
        mask = torch.from_numpy(chosen)[:, None]
        if marked is not None:
            mask = mask & torch.from_numpy(marked)[:, :, None]
        table = torch.from_numpy(values)[:, None].to(x.device) if self.parts[0].values is not None else None
        channels = slice(int(first), int(last))
        return _Tables(rows, tokens, channels, mask.to(x.device), table)

    def _tokens(self, n_rows: int, n_tokens: int, rows: slice) -> tuple[slice, np.ndarray | None]:
        """Return the tokens from the scope's first to its last, and which of them belong to it; None for all."""
        if self.marked is None:
            return slice(0, n_tokens), None
        n_texts, wanted = self.marked.shape
        if n_tokens != wanted or n_texts not in (1, n_rows):
            got = f"({n_rows}, {n_tokens}) (batch, tokens)"
            raise ProbeError(f"{self.block}: the projection got {got} where ({n_texts}, {wanted}) were expected.")
        marked = self.marked if n_texts == 1 else self.marked[rows]
        there = np.flatnonzero(marked.any(axis=0))
        if not len(there):  # none of these rows has one
            return slice(0, 0), None
        tokens = slice(int(there[0]), int(there[-1]) + 1)
        marked = marked[:, tokens]
        return tokens, None if marked.all() else marked

    def _source(self, t: _Tables, x: torch.Tensor) -> torch.Tensor:
        """Return what takes the place of a region, (n_rows or 1, n_tokens, n_channels)."""
        kept, n_tokens = self.source[self.place], x.shape[1]
        ahead = n_tokens - kept.shape[1]  # tokens that are not kept, before those that are
        if ahead and (self.source.n_image is None or ahead < 0 or t.tokens.start < ahead):
            what = f"{kept.shape[1]} tokens{'' if self.source.n_image is None else ' of the image alone'}"
            raise ProbeError(f"{self.block}: the source has {what}, the pass {n_tokens}: they must be alike.")
        part = kept[:, t.tokens.start - ahead : t.tokens.stop - ahead, t.channels].to(x)
        if len(kept) == 1:
            return part
        named = self.parts[0].rows or range(x.shape[0])
        if len(kept) != len(named):
            raise ProbeError(f"{self.block}: the source has {len(kept)} prompts for {len(named)} rows to be changed.")
        order = np.zeros(t.rows.stop - t.rows.start, int)
        order[np.array(named) - t.rows.start] = range(len(kept))
        return part[torch.from_numpy(order).to(x.device)]


@dataclass(frozen=True, eq=False)
class _Tables:
    """A region of a projection's input, and what is written there, on its device.

    Attributes
    ----------
    rows, tokens, channels : slice
    chosen : bool tensor (n_rows or 1, n_tokens or 1, n_channels)
    values : float32 tensor (n_rows or 1, 1, n_channels) or None
    """

    rows: slice
    tokens: slice
    channels: slice
    chosen: torch.Tensor
    values: torch.Tensor | None
