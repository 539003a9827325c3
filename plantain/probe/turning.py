"""Heads of one side of a pair, turned: how far the pass goes to the other side, and what is expected or drawn then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from plantain.models.drawing import draw, text_tokens
from plantain.models.picture_book.folder import Drawing
from plantain.probe.denoising import image_tokens
from plantain.probe.edits import Edit, Inputs, editing, keeping, patch, scale
from plantain.probe.interventions import Axis, Rows
from plantain.probe.passes import in_batches
from plantain.probe.tokens import ProbeError, tokenize
from plantain.prompts.sets import SIDES, PromptPair
from plantain.runs.info import Conditions


@dataclass(frozen=True, eq=False)
class Turn:
    """Heads of one side of a pair that are changed at the image tokens.

    Attributes
    ----------
    side : {"positive", "negative"}
        The one that is changed.
    places : int array (n,)
        Indices in ``unit_table(layout, Selection("heads", "image"))``.
    gain : float or None
        What the heads write is multiplied by it; None where they get what they write on the other side.
    """

    side: str
    places: np.ndarray
    gain: float | None = None

    def edit(self, row: int, other: int | Inputs) -> Edit:
        """Return the change of one row of a batch, whose other side is another row or was kept before."""
        if self.gain is None:
            return patch(self.places, other, scope="image", rows=row)
        return scale(self.places, self.gain, scope="image", rows=row)


@dataclass(frozen=True, eq=False)
class Turned:
    """What some turns did to a pair. D is the velocity of the other side minus that of the side that is turned.

    Attributes
    ----------
    effect : float
        RMS of D over image tokens and channels.
    shares : float32 array (n_turns, 2)
        How much of D a turn adds to its side, and the length of what it adds beside D, over that of D: as in
        `interventions.Outcome`.
    change : float32 array (n_turns, n_rows, n_columns)
        Length of what a turn adds at every image token, over the RMS of the lengths of D at the tokens.
    expected : float32 tensor (2 + n_turns, n_image_tokens, n_channels)
        The images that the model expects at sigma 1, as latents: positive, negative, then with every turn.
    """

    effect: float
    shares: np.ndarray
    change: np.ndarray
    expected: torch.Tensor


@torch.no_grad()
def turn_pair(pipe: Any, pair: PromptPair, conditions: Conditions, turns: Sequence[Turn]) -> Turned:
    """Send both sides of a pair through the transformer, and the side of every turn once more with its heads turned.

    Parameters
    ----------
    pipe
        A Klein pipeline.
    pair : PromptPair
    conditions : Conditions
        Its first seed counts.
    turns : sequence of Turn

    Returns
    -------
    Turned

    Raises
    ------
    PromptError
        A prompt cannot be taken as it is.
    ProbeError
        The model makes no difference between the two sides, a velocity is not finite, or one row alone is too much for
        the device's memory.
    """
    rows = Rows(pipe, pair, conditions, None)
    sides: list[torch.Tensor] = []
    kept: list[Inputs] = []
    changed: list[torch.Tensor] = []

    def run_sides(part: slice) -> None:
        with keeping(pipe.transformer, ["heads"], rows.n_image) as inputs:
            found = rows.velocity([0, 1][part])
        sides.extend(found)
        kept.extend(inputs.of(i) for i in range(len(found)))

    def run_turns(part: slice) -> None:
        own = turns[part]
        edits = [turn.edit(row, kept[1 - SIDES.index(turn.side)]) for row, turn in enumerate(own)]
        with editing(pipe.transformer, edits, [rows.text], rows.n_image):
            changed.extend(rows.velocity([SIDES.index(turn.side) for turn in own]))

    batch = in_batches(len(SIDES), rows.usual_batch, conditions.size, run_sides)
    in_batches(len(turns), batch, conditions.size, run_turns)
    velocities = torch.stack([*sides, *changed])
    if not torch.isfinite(velocities).all():
        raise ProbeError(f"pair {pair.id!r}: a velocity is NaN or infinite; 16-bit weights may need float32.")
    axis = Axis(*sides)
    if axis.effect == 0:
        raise ProbeError(f"pair {pair.id!r}: the model makes no difference between its two sides.")
    noise = rows.noise.of([0] * len(velocities)).latents.float()
    return Turned(
        effect=axis.effect,
        shares=np.array(
            [_shares(axis, sides, turn, now) for turn, now in zip(turns, changed, strict=True)], np.float32
        ),
        change=np.stack([_change(sides, turn, now) for turn, now in zip(turns, changed, strict=True)]),
        expected=noise - velocities,
    )


def _shares(axis: Axis, sides: list[torch.Tensor], turn: Turn, now: torch.Tensor) -> list[float]:
    """Return what a turn adds along the way to the other side and beside it, as `Axis.restored` has its two ways."""
    towards, away = axis.restored(*((now, sides[0]) if turn.side == "negative" else (sides[1], now)))
    return (towards if turn.side == "negative" else away).tolist()


def _change(sides: list[torch.Tensor], turn: Turn, now: torch.Tensor) -> np.ndarray:
    """Return how long what a turn adds is at every token of the square image."""
    length = (now - sides[SIDES.index(turn.side)]).norm(dim=-1)
    usual = (sides[0] - sides[1]).norm(dim=-1).square().mean().sqrt()
    n = round(len(length) ** 0.5)
    return (length / usual).view(n, n).cpu().numpy().astype(np.float32)


def draw_turned(
    pipe: Any, pair: PromptPair, turn: Turn | None, how: Drawing, seed: int, tick: Callable[[int, int], None]
) -> list[Any]:
    """Draw both sides of a pair from one noise, and one of them with its heads turned at every step.

    A side that is patched takes what the other one writes at the same step, in both branches of the guidance.

    Parameters
    ----------
    pipe
        A Klein pipeline with its VAE.
    pair : PromptPair
    turn : Turn or None
        None where nothing is turned.
    how : Drawing
    seed : int
        Of the noise.
    tick : callable
        Is told the steps that are done and those in all, after each; what it raises ends the drawing.

    Returns
    -------
    list of PIL.Image.Image
        Positive, negative, and the side with the turn where there is one.
    """
    prompts, edits = [getattr(pair, side) for side in SIDES], []
    if turn is not None:
        prompts.append(getattr(pair, turn.side))
        edits.append(turn.edit(len(SIDES), 1 - SIDES.index(turn.side)))
    texts = [tokenize(pipe.tokenizer, prompt, text_tokens(pipe)).segments for prompt in prompts]
    with editing(pipe.transformer, edits, texts, image_tokens(pipe, how.size)):
        return draw(pipe, prompts, how, [seed] * len(prompts), tick)
