"""What changes of units do to a pair: the velocity of the image tokens at sigma 1, with and without them.

In flow matching the velocity is noise minus the expected image, so that at sigma 1, where both sides have the same
noise, the difference of their velocities is that of the two expected images, turned round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from plantain.models.drawing import text_tokens
from plantain.probe.denoising import encode, image_tokens, start, velocity
from plantain.probe.edits import Edit, Inputs, ablate, editing, keeping, patch, steer
from plantain.probe.hooks import sites
from plantain.probe.passes import (
    first_segments,
    in_batches,
    longest,
    of_length,
    usual_batch,
    without_padding,
)
from plantain.probe.tokens import ProbeError, tokenize
from plantain.prompts.sets import SIDES, PromptPair
from plantain.runs.attached.interventions import METHODS, Change
from plantain.runs.info import Conditions
from plantain.runs.run import Run
from plantain.runs.units import Layout, Selection

_TOKENS, _MOST = 1024, 16  # of text and image at once on a processor, and rows: one of Klein's, more of a small model's


@dataclass(frozen=True, eq=False)
class Outcome:
    """What changes did to a pair. D is the velocity of the positive side minus that of the negative.

    Attributes
    ----------
    effect : float
        RMS of D over image tokens and channels.
    shares : float32 array (n_changes, 2, 2)
        The last axis is what lies along D, as a share of it, and the length of what does not, over that of D. With
        patching and steering the second axis is the side that is changed: the negative one towards the positive, then
        the positive one towards the negative. With ablation, where both sides are changed, it is the share of D that
        is lost, with what is added beside it; then what it does to each side, as a share of the length of its
        velocity, the negative one first. All NaN where D is 0.
    batch : int
        The rows at once that fitted, for the next pair.
    """

    effect: float
    shares: np.ndarray
    batch: int


@torch.no_grad()
def write_norms(transformer: torch.nn.Module, run: Run) -> np.ndarray:
    """Return how long what every head writes is changed by a pair, from a run's directions and the weights.

    Parameters
    ----------
    transformer : torch.nn.Module
        The run's.
    run : Run
        One that keeps directions.

    Returns
    -------
    float64 array (n_pairs, n_heads)
        Norm of the difference of the mean vectors at image tokens, times the head's columns of the output projection.

    Raises
    ------
    SelectionError
        The run keeps magnitudes only.
    ProbeError
        The transformer has another shape than the run's.
    """
    layout = Layout.from_config(transformer.config)
    if layout != run.info.layout:
        raise ProbeError(f"the model has another shape than that of the run, {run.info.model}.")
    vectors = run.vectors(Selection("heads", "image"))
    changes = torch.from_numpy(vectors[0] - vectors[1]).unflatten(1, (-1, layout.n_heads))  # pairs, blocks, heads
    modules = [site.module for site in sites(transformer) if site.stream in ("joint_image", "single")]
    norms = []
    for block, module in enumerate(modules):
        columns = module.weight[:, : layout.attention_dim].float().unflatten(1, (layout.n_heads, layout.head_dim))
        written = torch.einsum("phc,ohc->pho", changes[:, block].to(columns), columns)
        norms.append(torch.linalg.vector_norm(written, dim=2).cpu())
    return torch.cat(norms, dim=1).double().numpy()


def intervene_pair(
    pipe: Any,
    pair: PromptPair,
    conditions: Conditions,
    method: str,
    changes: Iterable[Change],
    batch: int | None = None,
    embeds: torch.Tensor | None = None,
    tick: Callable[[int, int], None] | None = None,
) -> Outcome:
    """Change units of both sides of a pair at the image tokens, one change after the other.

    The two sides go through the transformer once, and every change once for each side: 2 + 2 n_changes rows, in the
    order positive, negative, then negative and positive of every change. Different changes share a batch.

    Parameters
    ----------
    pipe
        A Klein pipeline.
    pair : PromptPair
    conditions : Conditions
        Its first seed counts.
    method : {"patch", "steer", "ablate"}
        Units get what they write on the other side; a change's vectors are added on the negative side and taken away
        on the positive; or they are put in the place of what units write, on both.
    changes : iterable of Change
        With vectors unless the method is to patch.
    batch : int, optional
        Rows at once; as many as the device takes well unless given. One for which it has too little memory is halved.
    embeds : tensor (2 or 3, n_text_tokens, n_text_channels), optional
        The embeddings of the two prompts, made before; encoded here unless given.
    tick : callable, optional
        Is told the rows that are through and those in all, after every batch.

    Returns
    -------
    Outcome

    Raises
    ------
    PromptError
        A prompt cannot be taken as it is.
    SelectionError
        A change names no units, or such as there are not.
    ProbeError
        An unknown method, vectors of another shape, a velocity that is not finite, or one row alone is too much for
        the device's memory.
    """
    if method not in METHODS:
        raise ProbeError(f"unknown method {method!r}; choose one of {', '.join(METHODS)}.")
    changes = list(changes)
    if any((change.vectors is None) != (method == "patch") for change in changes):
        raise ProbeError(f"changes to {method} come {'without' if method == 'patch' else 'with'} vectors.")
    rows = Rows(pipe, pair, conditions, embeds)
    n_rows = len(SIDES) * (1 + len(changes))
    tick = tick or (lambda _done, _total: None)
    velocities: list[torch.Tensor] = []
    sources: list[Inputs] = []
    kinds = sorted({change.units for change in changes}) if method == "patch" else []

    def run_sides(part: slice) -> None:
        with keeping(pipe.transformer, kinds, rows.n_image) as inputs:
            found = rows.velocity([0, 1][part])
        velocities.extend(found)
        sources.extend(inputs.of(i) for i in range(len(found)))
        tick(len(velocities), n_rows)

    batch = in_batches(len(SIDES), batch or rows.usual_batch, conditions.size, run_sides)
    axis = Axis(*velocities)
    shares = np.full((len(changes), 2, 2), np.nan, np.float32)
    if not np.isfinite(axis.effect):
        raise ProbeError(f"pair {pair.id!r}: a velocity is NaN or infinite; 16-bit weights may need float32.")
    if axis.effect == 0:
        return Outcome(0.0, shares, batch)
    waiting: list[torch.Tensor] = []  # of a change's two sides, until both are there

    def run_changes(part: slice) -> None:
        places = [divmod(row, 2) for row in range(part.start, part.stop)]  # change, way
        edits = [_edit(method, changes[c], way, sources, row) for row, (c, way) in enumerate(places)]
        with editing(pipe.transformer, edits, [rows.text], rows.n_image):
            found = rows.velocity([1 - way for _, way in places])
        own = [*waiting, *found]
        n_whole = len(own) // 2
        first = part.start // 2
        measure = axis.lost if method == "ablate" else axis.restored
        if n_whole:
            measures = torch.stack([measure(*own[2 * i : 2 * i + 2]) for i in range(n_whole)]).cpu().numpy()
            if not np.isfinite(measures).all():
                raise ProbeError(f"pair {pair.id!r}: a changed velocity is NaN or infinite.")
            shares[first : first + n_whole] = measures
        waiting[:] = own[2 * n_whole :]
        tick(len(SIDES) + part.stop, n_rows)

    batch = in_batches(len(SIDES) * len(changes), batch, conditions.size, run_changes)
    return Outcome(axis.effect, shares, batch)


def _edit(method: str, change: Change, way: int, sources: list[Inputs], row: int) -> Edit:
    """Return a change of one row; the side that a way moves towards is the one of its number."""
    here = {"kind": change.units, "scope": "image", "rows": row}
    if method == "patch":
        return patch(change.places, sources[way], **here)
    if method == "steer":
        return steer(change.places, change.vectors, 1.0 - 2.0 * way, **here)
    return ablate(change.places, "mean", source=change.vectors, **here)


class Rows:
    """The two sides of a pair, each as often in a batch as it is named."""

    def __init__(self, pipe: Any, pair: PromptPair, conditions: Conditions, embeds: torch.Tensor | None) -> None:
        prompts = [getattr(pair, side) for side in SIDES]
        tokens = [tokenize(pipe.tokenizer, prompt, text_tokens(pipe)) for prompt in prompts]
        n_text = longest(tokens) if conditions.mask_padding else text_tokens(pipe)
        kept = encode(pipe, prompts, n_text) if embeds is None else of_length(list(embeds[: len(SIDES)]), n_text)
        self._pipe, self._embeds = pipe, kept.to(next(pipe.transformer.parameters()).device)
        self.noise = start(pipe, self._embeds, conditions.size, conditions.seeds[0])
        self.n_image = image_tokens(pipe, conditions.size)
        self.usual_batch = max(usual_batch(pipe, conditions.size), min(_MOST, _TOKENS // (n_text + self.n_image)))
        self.text = first_segments(tokens[0].segments, n_text)
        self._attended = without_padding(tokens, n_text, self.n_image) if conditions.mask_padding else None

    def velocity(self, sides: list[int]) -> torch.Tensor:
        """Return the velocity at sigma 1 of the image tokens, float32 (n_rows, n_image_tokens, n_channels)."""
        attended = None if self._attended is None else self._attended[sides]
        noise = self.noise.of(sides)
        return velocity(self._pipe, self._embeds[sides], noise, 1000.0, attended=attended).float()


class Axis:
    """What tells the two sides of a pair apart: the difference D of their velocities; `effect` is its RMS."""

    def __init__(self, positive: torch.Tensor, negative: torch.Tensor) -> None:
        self._positive, self._negative = positive, negative
        self._axis = positive - negative
        self.effect = float(self._axis.square().mean().sqrt())

    def _parts(self, delta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return how much of D something is, and the length of the rest over that of D."""
        on = (delta * self._axis).sum() / self._axis.square().sum()
        return on, (delta - on * self._axis).norm() / self._axis.norm()

    def restored(self, negative: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
        """Return what each side's change moved it by, (2 ways, 2 parts), of the velocities with the change."""
        return torch.stack(
            [torch.stack(self._parts(delta)) for delta in (negative - self._negative, self._positive - positive)]
        )

    def lost(self, negative: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
        """Return what is lost of D and what stands beside it; and how much each side has changed, (2, 2)."""
        on, off = self._parts(positive - negative)
        sides = ((negative, self._negative), (positive, self._positive))
        return torch.stack(
            [torch.stack([1 - on, off]), torch.stack([(now - was).norm() / was.norm() for now, was in sides])]
        )
