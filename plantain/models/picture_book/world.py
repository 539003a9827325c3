"""The world of the picture book: two people in a place, one of whom may need something, drawn at 64 x 64 pixels.

The actor stands on the left, the other on the right. Who helps is joined to the other by a yellow hand or, from far
off, a yellow rope. Distance and look vary on their own, so that helping is neither nearness nor facing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

SIZE = 64  # pixels, height and width

SHIRTS = {
    "Ana": (222, 32, 38), "Ben": (40, 70, 225), "Cleo": (0, 125, 50), "Dan": (255, 130, 0),
    "Eva": (125, 30, 165), "Finn": (0, 195, 215), "Gus": (250, 110, 185), "Hana": (25, 25, 25),
}  # fmt: skip
"""Colour of each person's shirt."""

NAMES = tuple(SHIRTS)

PLACES = {
    "park": ((150, 205, 245), (125, 200, 100)), "beach": ((185, 235, 245), (238, 214, 150)),
    "street": ((205, 205, 215), (140, 140, 148)), "forest": ((85, 130, 100), (115, 95, 65)),
    "snow": ((190, 205, 225), (246, 248, 252)), "room": ((250, 232, 200), (185, 120, 85)),
}  # fmt: skip
"""Colours of what is behind and of the ground."""

NEEDS = ("fallen", "alone", "purse", "apple", "rain")

ACTS = ("helps", "does not", "none")

HELP = (255, 225, 0)

_SKIN, _HAIR, _LEGS, _WOOD = (247, 208, 168), (70, 40, 20), (75, 78, 100), (105, 65, 35)
_PURSE, _APPLE, _LEAF, _UMBRELLA, _DROP = (150, 0, 80), (200, 0, 0), (30, 130, 30), (20, 40, 110), (120, 170, 235)

_GROUND = 42  # row where the ground begins

_FEET = 57  # row on which people stand


@dataclass(frozen=True)
class Scene:
    """What a picture shows.

    Attributes
    ----------
    actor, other : str
        Two of `NAMES`.
    need : str
        What the other needs: one of `NEEDS`, or empty.
    act : str
        One of `ACTS`: "none" exactly where there is no need.
    near, facing : bool
        Whether the actor stands close by, and faces the other.
    tall : bool
        The actor's size.
    place : str
        A key of `PLACES`.
    """

    actor: str
    other: str
    need: str
    act: str
    near: bool
    facing: bool
    tall: bool
    place: str


def draw_scene(rng: np.random.Generator, names: tuple[str, ...] = NAMES) -> Scene:
    """Draw a scene by chance: a fifth without need, helpers near and facing in three quarters of scenes each.

    Of the others half are near and half are facing, independently, so that a quarter are both.
    """
    actor, other = (names[i] for i in rng.choice(len(names), 2, replace=False))
    act = ACTS[rng.choice(3, p=(0.4, 0.4, 0.2))]
    need = "" if act == "none" else NEEDS[rng.integers(len(NEEDS))]
    share = 0.75 if act == "helps" else 0.5
    near, facing, tall = (bool(rng.random() < p) for p in (share, share, 0.5))
    return Scene(actor, other, need, act, near, facing, tall, tuple(PLACES)[rng.integers(len(PLACES))])


def render(scene: Scene, seed: int = 0) -> Image.Image:
    """Draw a scene.

    Parameters
    ----------
    scene : Scene
    seed : int
        Of the small differences between drawings of one scene: where exactly people stand, and the rain.

    Returns
    -------
    PIL.Image.Image
        64 x 64 pixels, RGB.
    """
    rng = np.random.default_rng(seed)
    canvas = _Canvas()
    behind, ground = PLACES[scene.place]
    canvas.box(0, 0, SIZE, SIZE, behind)
    canvas.box(0, _GROUND, SIZE, SIZE, ground)
    helps = scene.act == "helps"
    x = (25 if scene.near else 12) + rng.uniform(-1.5, 1.5)
    far_x = 48 + rng.uniform(-1.5, 1.5)
    feet, other_feet = (_FEET + rng.uniform(-1, 1) for _ in range(2))
    if scene.need == "rain":
        for start in rng.uniform(0, SIZE, 26):
            top = rng.uniform(-4, 52)
            canvas.line([(start, top), (start - 2, top + 6)], _DROP, 0.9)
    height = 36 if scene.tall else 23
    shoulder = feet - 0.62 * height
    canvas.person(x, feet, height, SHIRTS[scene.actor], 1 if scene.facing else -1)
    shirt = SHIRTS[scene.other]
    hand = (far_x - 4, other_feet - 17)
    if scene.need == "fallen":
        canvas.lying(far_x - 2, other_feet, shirt)
        hand = (far_x - 8, other_feet - 6)
    elif scene.need == "alone":
        canvas.box(far_x - 9, other_feet - 8, far_x + 9, other_feet - 5, _WOOD)
        canvas.box(far_x - 8, other_feet - 5, far_x - 6, other_feet, _WOOD)
        canvas.box(far_x + 6, other_feet - 5, far_x + 8, other_feet, _WOOD)
        canvas.person(far_x, other_feet + 1, 26, shirt, -1)
        hand = (far_x - 4, other_feet - 15)
    else:
        canvas.person(far_x, other_feet, 28, shirt, -1)
    has_it = far_x + 8 if helps else x - 7
    if scene.need == "purse":
        row = other_feet - 9 if helps else feet - 9
        canvas.box(has_it - 3, row - 3, has_it + 3, row + 3, _PURSE)
        canvas.line([(has_it - 2, row - 3), (has_it, row - 6), (has_it + 2, row - 3)], _PURSE, 1)
    elif scene.need == "apple":
        row = other_feet - 10 if helps else feet - 10
        canvas.disc(has_it, row, 3.2, _APPLE)
        canvas.box(has_it - 0.5, row - 5.5, has_it + 1.5, row - 3, _LEAF)
    elif scene.need == "rain":
        middle, top = (far_x, other_feet - 32) if helps else (x, feet - height - 4)
        canvas.dome(middle, top, 9, _UMBRELLA)
        canvas.line([(middle + 4.5, top), (middle + 4.5, top + 14)], _UMBRELLA, 1)
    if helps:
        start = (x + 3, shoulder + 2)
        sag = 0 if scene.near else 5
        middle = ((start[0] + hand[0]) / 2, (start[1] + hand[1]) / 2 + sag)
        canvas.line([start, middle, hand], HELP, 2.4)
        canvas.disc(*hand, 1.6, HELP)
    return canvas.picture()


class _Canvas:
    """A canvas three times as large as the picture; places and lengths are in the picture's pixels."""

    _SCALE = 3

    def __init__(self) -> None:
        self._image = Image.new("RGB", (SIZE * self._SCALE, SIZE * self._SCALE))
        self._draw = ImageDraw.Draw(self._image)

    def picture(self) -> Image.Image:
        return self._image.resize((SIZE, SIZE), Image.Resampling.BOX)

    def box(self, left: float, top: float, right: float, bottom: float, colour: tuple[int, int, int]) -> None:
        ends = [self._SCALE * v for v in (left, top, right, bottom)]
        self._draw.rectangle([ends[0], ends[1], ends[2] - 1, ends[3] - 1], fill=colour)

    def disc(self, x: float, y: float, radius: float, colour: tuple[int, int, int]) -> None:
        self._draw.ellipse([self._SCALE * v for v in (x - radius, y - radius, x + radius, y + radius)], fill=colour)

    def dome(self, x: float, y: float, radius: float, colour: tuple[int, int, int]) -> None:
        ends = [self._SCALE * v for v in (x - radius, y - 0.7 * radius, x + radius, y + 0.7 * radius)]
        self._draw.pieslice(ends, 180, 360, fill=colour)

    def line(self, points: list[tuple[float, float]], colour: tuple[int, int, int], width: float) -> None:
        scaled = [(self._SCALE * x, self._SCALE * y) for x, y in points]
        self._draw.line(scaled, fill=colour, width=round(self._SCALE * width), joint="curve")

    def person(self, x: float, feet: float, height: float, shirt: tuple[int, int, int], look: int) -> None:
        """Draw somebody who stands; `look` is 1 to the right and -1 to the left."""
        radius = 3.2 + height / 20
        hips, shoulders = feet - 0.3 * height, feet - height + 2 * radius - 1
        self.box(x - 3.2, hips, x - 0.6, feet, _LEGS)
        self.box(x + 0.6, hips, x + 3.2, feet, _LEGS)
        self.box(x - 4, shoulders, x + 4, hips + 1, shirt)
        middle = feet - height + radius
        self.disc(x, middle, radius, _SKIN)
        self.disc(x + radius * look, middle + 0.2 * radius, 1.1, _SKIN)
        self._hair(x, middle, radius, look)

    def _hair(self, x: float, y: float, radius: float, look: int) -> None:
        ends = [self._SCALE * v for v in (x - radius, y - radius, x + radius, y + radius)]
        start, stop = (100, 300) if look > 0 else (240, 440)
        self._draw.pieslice(ends, start, stop, fill=_HAIR)
        side = x + 0.55 * radius * look
        self.disc(side, y - 0.1 * radius, 0.7, _HAIR)

    def lying(self, x: float, feet: float, shirt: tuple[int, int, int]) -> None:
        """Draw somebody who lies on the ground, the head to the left."""
        self.box(x + 4, feet - 5, x + 14, feet - 0.5, _LEGS)
        self.box(x - 5, feet - 7, x + 6, feet, shirt)
        self.disc(x - 9, feet - 4, 4.4, _SKIN)
        ends = [self._SCALE * v for v in (x - 13.4, feet - 8.4, x - 4.6, feet + 0.4)]
        self._draw.pieslice(ends, 90, 270, fill=_HAIR)
