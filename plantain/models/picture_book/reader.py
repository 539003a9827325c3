"""A reader of the picture book's pictures: rules on pixels that say who is where, how large, and whether helping.

It needs no network and never sees the caption, so that what a model has drawn can be held against what was asked for.
The pictures of a trained model are slightly blurred, with colours and places a little off. So every rule compares areas
or medians with a threshold about half-way between what it tells apart, and a field in doubt is None.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from plantain.models.picture_book.world import HELP, NAMES, PLACES, SHIRTS, SIZE

# Colours of what is drawn beside shirts and background.
_PAINTS = {
    "skin": (247, 208, 168), "hair": (70, 40, 20), "legs": (75, 78, 100), "wood": (105, 65, 35), "purse": (150, 0, 80),
    "apple": (200, 0, 0), "leaf": (30, 130, 30), "umbrella": (20, 40, 110), "drop": (120, 170, 235), "yellow": HELP,
}  # fmt: skip

_TOP, _BOTTOM = slice(0, 10), slice(60, SIZE)  # rows with nobody in them: above a tall actor, below everybody's feet
_HORIZON = slice(38, 47)  # rows in which sky and ground may meet
_OFF = 60.0  # RGB distance of a colour that is off by 35 levels in each channel; the grounds are 77 apart or more
_TORSO = 7  # rows and columns of a window that lies within every shirt, also a lying person's
_FULL = 0.6  # share of that window that is of the shirt's colour
_STRAY = 0.03  # share of the picture that may be drawn far from both people; in blurred and noisy drawings up to .017
_MIDDLE = 35  # column between a near actor and somebody lying
_FALLEN = 49.5  # row of a shirt's centre: 44 to 46 for who stands or sits, 53 for who lies
_FAR = 29.5  # columns between the two: 23 if near, 35 if far
_COVERED = 0.4  # share of yellow in a pixel's colour: the rope is 2.4 pixels thick, so that the best one has .9 or more
_TALL = 12  # rows of a shirt: 16 if tall, 8 if short


@dataclass(frozen=True)
class Reading:
    """What a picture shows, in the fields of a `Scene`; a field in doubt is None.

    Attributes
    ----------
    act : str or None
        One of `world.ACTS`. "helps": yellow joins the two; "does not": none does, and the other needs something;
        "none": neither yellow nor need.
    actor, other : str or None
        Names, by the shirts on the left and on the right.
    need : str or None
        One of `world.NEEDS`, or empty.
    near, facing : bool or None
        Whether the actor stands close by, and faces the other.
    tall : bool or None
        The actor's size.
    place : str
        A key of `world.PLACES`.
    """

    act: str | None
    actor: str | None
    other: str | None
    need: str | None
    near: bool | None
    facing: bool | None
    tall: bool | None
    place: str


def read(image: Image.Image) -> Reading | None:
    """Read a picture.

    Parameters
    ----------
    image : PIL.Image.Image
        64 x 64 pixels, in RGB or a mode that Pillow converts to it.

    Returns
    -------
    Reading or None
        None where the picture does not show two people in a place.

    Raises
    ------
    ValueError
        If the picture has another size.

    Examples
    --------
    >>> from plantain.models.picture_book.world import Scene, render
    >>> scene = Scene("Ana", "Ben", "apple", "helps", near=True, facing=True, tall=False, place="park")
    >>> reading = read(render(scene))
    >>> reading.act, reading.actor, reading.tall, reading.place
    ('helps', 'Ana', False, 'park')
    >>> read(Image.new("RGB", (64, 64), "white")) is None
    True
    """
    if image.size != (SIZE, SIZE):
        raise ValueError(f"a picture of {SIZE} x {SIZE} pixels is wanted, not of {image.width} x {image.height}")
    picture = _Picture(np.asarray(image.convert("RGB"), np.float32))
    place = picture.place()
    actor, other = picture.person(slice(0, _MIDDLE)), picture.person(slice(_MIDDLE, SIZE))
    if place is None or actor is None or other is None or not picture.is_tidy(actor, other):
        return None
    need, joined = picture.need(actor, other), picture.joined(actor, other)
    without = None if need is None else "does not" if need else "none"
    return Reading(
        act="helps" if joined else without if joined is False else None,
        actor=actor.name,
        other=other.name,
        need=need,
        near=_above(_FAR, other.x - actor.x, 1),
        facing=picture.facing(actor),
        tall=_above(actor.height, _TALL, 0.7),
        place=place,
    )


def _above(a: float, b: float, doubt: float) -> bool | None:
    """Whether `a` is above `b`; None where they differ by less than `doubt`."""
    return None if abs(a - b) < doubt else bool(a > b)


def _run(marked: np.ndarray, start: int) -> tuple[int, int]:
    """Return first and stop of the marked rows around `start`, over gaps of one row."""
    top = stop = start
    while marked[max(0, top - 2) : top].any():
        top -= 1
    while marked[stop : stop + 2].any():
        stop += 1
    return top, stop


@dataclass(frozen=True)
class _Person:
    """A shirt: whose it is or None, the column and row of its centre, its first row, and how many rows it has."""

    name: str | None
    x: float
    y: float
    top: int
    height: int

    @property
    def lies(self) -> bool | None:
        return _above(self.y, _FALLEN, 0.5)


class _Picture:
    """Pixels (64 rows, 64 columns, 3), the colours of sky and ground, and what every pixel is nearest to (64, 64).

    Sky and ground have the picture's own colours: they keep sand apart from skin, and a forest's ground from wood.
    """

    def __init__(self, pixels: np.ndarray) -> None:
        self._pixels = pixels
        self._sky, self._ground = (np.median(pixels[rows].reshape(-1, 3), 0) for rows in (_TOP, _BOTTOM))
        self._kinds = self._nearest(SHIRTS)

    def _nearest(self, shirts: dict[str, Any]) -> np.ndarray:
        """Return names (64, 64): of `_PAINTS`, of `shirts`, or "background"."""
        colours = np.array([*_PAINTS.values(), *shirts.values(), self._sky, self._ground], np.float32)
        names = np.array([*_PAINTS, *shirts, "background", "background"])
        distances = (colours**2).sum(1) - 2 * self._pixels @ colours.T  # squared, less the pixel's own square
        distances[_HORIZON.stop :, :, -2] = distances[: _HORIZON.start, :, -1] = np.inf
        return names[distances.argmin(2)]

    def _count(self, rows: slice, left: float, right: float, *names: str) -> int:
        """Count the pixels of some names between two columns, which may lie outside."""
        return int(np.isin(self._kinds[rows, max(0, round(left)) : max(0, round(right) + 1)], names).sum())

    def place(self) -> str | None:
        """Return the place with the nearest colours, if both are near."""
        off = {
            name: np.linalg.norm(np.array(pair) - (self._sky, self._ground), axis=1) for name, pair in PLACES.items()
        }
        name = min(off, key=lambda name: off[name].sum())
        return name if off[name].max() < _OFF else None

    def person(self, columns: slice) -> _Person | None:
        """Find the window with the most pixels of shirts; measure the shirt by the colour that it has there."""
        worn = np.zeros((SIZE, SIZE), bool)
        worn[:, columns] = np.isin(self._kinds[:, columns], (*NAMES, "hair", "leaf"))  # near a blurred black and green
        sums = np.pad(worn.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        inside = sums[_TORSO:, _TORSO:] - sums[:-_TORSO, _TORSO:] - sums[_TORSO:, :-_TORSO] + sums[:-_TORSO, :-_TORSO]
        row, column = (int(i) for i in np.unravel_index(inside.argmax(), inside.shape))
        window = np.s_[row : row + _TORSO, column : column + _TORSO]
        colour = np.median(self._pixels[window].reshape(-1, 3), 0)
        own = self._nearest({"shirt": colour})
        shirt = (own == "shirt") | (worn & (self._kinds != "hair"))
        cloth = shirt | np.isin(own, ("purse", "apple", "leaf"))  # between two shirts' colours
        left = max(0, column - 4)
        rows, cols = np.nonzero(shirt[:, left : column + _TORSO + 4])
        if worn[window].mean() < _FULL or not len(rows):
            return None
        x = left + float(cols[abs(cols - np.median(cols)) <= 4].mean())  # without the edges of what is carried
        middle = cloth[:, max(0, round(x) - 2) : round(x) + 3]  # clear of the rope
        top, bottom = _run(middle.mean(1) > 0.5, row + _TORSO // 2)
        off = np.linalg.norm(np.array([*SHIRTS.values()]) - colour, axis=1)
        first, second = np.argsort(off)[:2]
        name = NAMES[first] if off[first] < min(_OFF, 0.7 * off[second]) else None
        return _Person(name, x, float(np.median(rows)), top, bottom - top)

    def is_tidy(self, actor: _Person, other: _Person) -> bool:
        """Whether hardly anything is drawn far from the two, but rain and rope."""
        stray = ~np.isin(self._kinds, ("background", "skin", "drop", "yellow"))  # noise on sand or wall looks like skin
        for person in (actor, other):
            reach = 15 if person.lies else 11  # columns: a lying person's length, or a purse, bench or umbrella
            stray[_TOP.stop :, max(0, round(person.x) - reach) : round(person.x) + reach + 1] = False
        return bool(stray.mean() < _STRAY)

    def need(self, actor: _Person, other: _Person) -> str | None:
        """Return what the other needs, or "": what covers most of the area that it has in rendered pictures."""
        if other.lies is not False:
            return "fallen" if other.lies else None
        low = slice(40, 60)
        beside = (actor.x - 12, actor.x - 5), (other.x + 5, other.x + 12)
        bench = (other.x - 11, other.x - 6), (other.x + 6, other.x + 11)
        covered = {
            "alone": min(self._count(slice(44, 60), *ends, "wood", "hair", "legs") for ends in bench) / 20,
            "purse": max(self._count(low, *ends, "purse", "Eva") for ends in beside) / 36,
            "apple": max(self._count(low, *ends, "apple", "Ana") for ends in beside) / 32,
            "rain": self._count(slice(8, 34), 0, SIZE, "umbrella") / 85,
        }
        second, first = sorted(covered, key=lambda need: covered[need])[-2:]
        if covered[first] < 0.15:
            return ""
        return first if covered[first] > 0.3 and covered[second] < covered[first] / 2 else None

    def joined(self, actor: _Person, other: _Person) -> bool | None:
        """Whether something yellow spans the columns between the two.

        Yellow has much red and green and no blue: of min(red, green) - blue it has 225, skin, sand and wood at most 79.
        Orange, with 130, is only in shirts, which the columns leave out.
        """
        yellow = np.minimum(self._pixels[:, :, 0], self._pixels[:, :, 1]) - self._pixels[:, :, 2]
        sky, ground = (min(colour[0], colour[1]) - colour[2] for colour in (self._sky, self._ground))
        rows = np.arange(SIZE)
        behind = np.where(rows < _HORIZON.stop, np.where(rows < _HORIZON.start, sky, max(sky, ground)), ground)[:, None]
        covered = (yellow - behind) / (min(HELP[:2]) - HELP[2] - behind)
        start, stop = round(actor.x) + 5, round(other.x) - (7 if other.y > _FALLEN else 5)
        span = covered[min(actor.top, other.top) : 60, start : max(stop, start + 1)]
        return _above(float(np.mean(span.max(0) > _COVERED)), 0.45, 0.15)

    def facing(self, actor: _Person) -> bool | None:
        """Whether the actor looks to the right: the hair is at the back of the head."""
        left = max(0, round(actor.x) - 6)
        head = self._kinds[max(0, actor.top - 11) : actor.top, left : round(actor.x) + 7]
        columns = np.nonzero(np.isin(head, ("hair", "wood")))[1]  # both brown
        return _above(actor.x, left + float(columns.mean()), 0.3) if len(columns) >= 5 else None
