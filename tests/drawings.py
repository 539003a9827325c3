"""Captions that the picture book's training has not seen, its pictures of them, and how many are right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from plantain.models.drawing import draw
from plantain.models.picture_book.grammar import SHAPES, caption, draw_caption, verbs
from plantain.models.picture_book.make import DRAWING
from plantain.models.picture_book.reader import read
from plantain.models.picture_book.train import Recipe
from plantain.models.picture_book.world import NAMES, Scene, draw_scene

_BATCH = 50  # pictures at once

Captioned = tuple[Scene, str]


@cache
def training_captions(recipe: Recipe) -> frozenset[str]:
    """Return what the model was trained on."""
    return frozenset(draw_caption(np.random.default_rng((recipe.seed, i)))[1] for i in range(recipe.scenes))


def trained_verbs(rng: np.random.Generator) -> Captioned:
    """Draw a caption of trained verbs in any shape, which says the size and neither distance nor look."""
    scene = draw_scene(rng)
    return scene, caption(
        scene, rng.choice(verbs(scene, held_out=False)), rng.choice(SHAPES), distance=False, look=False
    )


def crossed(rng: np.random.Generator) -> Captioned:
    """Draw a caption that says distance and look, each at random whatever the act."""
    scene = draw_scene(rng)
    scene = replace(scene, near=bool(rng.random() < 0.5), facing=bool(rng.random() < 0.5))
    return scene, caption(scene, rng.choice(verbs(scene, held_out=False)), rng.choice(SHAPES))


def held_out_verbs(rng: np.random.Generator) -> Captioned:
    """Draw a caption of held-out verbs in shapes and names with which training never saw them."""
    while not (scene := draw_scene(rng, NAMES[len(NAMES) // 2 :])).need:
        pass
    return scene, caption(
        scene, rng.choice(verbs(scene, held_out=True)), rng.choice(SHAPES[1:]), distance=False, look=False
    )


def unseen(draw: Callable[[np.random.Generator], Captioned], n: int, seed: int, recipe: Recipe) -> list[Captioned]:
    """Draw captions that are not in training, no two alike."""
    rng, found = np.random.default_rng(seed), {}
    while len(found) < n:
        scene, text = draw(rng)
        if text not in training_captions(recipe):
            found[text] = scene
    return [(scene, text) for text, scene in found.items()]


def pictures(pipe: Any, texts: Sequence[str], seeds: Sequence[int] | None = None) -> list[Image.Image]:
    """Draw captions as the model's folder says, each from the noise of its seed: 0, 1, ... unless given."""
    seeds, drawn = seeds or range(len(texts)), []
    for start in range(0, len(texts), _BATCH):
        now = slice(start, start + _BATCH)
        drawn += draw(pipe, texts[now], DRAWING, seeds[now])
    return drawn


def right(captioned: Sequence[Captioned], drawn: Sequence[Image.Image]) -> dict[str, float]:
    """Return the share of pictures in which the reader sees what the caption says, by what is read."""
    readings = [(read(picture), scene) for picture, (scene, _) in zip(drawn, captioned, strict=True)]
    fields = ("act", "need", "actor", "other", "place", "tall", "near", "facing")
    return {
        field: float(np.mean([r is not None and getattr(r, field) == getattr(s, field) for r, s in readings]))
        for field in fields
    }  # fmt: skip
