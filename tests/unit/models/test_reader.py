"""The reader says what is drawn, also through blur, noise and a shift, and "cannot tell" where nothing is."""

import dataclasses
import doctest
from collections.abc import Iterable

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from plantain.models.picture_book import reader
from plantain.models.picture_book.reader import Reading, read
from plantain.models.picture_book.world import HELP, PLACES, SIZE, Scene, draw_scene, render

FIELDS = [field.name for field in dataclasses.fields(Scene)]

N_SCENES = 150


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [draw_scene(np.random.default_rng((71, i))) for i in range(N_SCENES)]


@pytest.fixture(scope="module")
def pictures(scenes: list[Scene]) -> np.ndarray:
    return np.stack([np.asarray(render(scene, i)) for i, scene in enumerate(scenes)])


def readings(pictures: Iterable[np.ndarray]) -> list[Reading | None]:
    return [read(Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))) for picture in pictures]


def share_right(read_as: list[Reading | None], scenes: list[Scene]) -> dict[str, float]:
    pairs = list(zip(read_as, scenes, strict=True))
    return {
        name: np.mean([r is not None and getattr(r, name) == getattr(s, name) for r, s in pairs]) for name in FIELDS
    }


def test_drawn_scenes_are_read(scenes: list[Scene], pictures: np.ndarray) -> None:
    right = share_right(readings(pictures), scenes)
    assert min(right[name] for name in ("act", "actor", "other", "place", "tall", "need")) >= 0.99
    assert min(right[name] for name in ("near", "facing")) >= 0.98


def test_scenes_are_read_as_a_decoder_draws_them(scenes: list[Scene], pictures: np.ndarray) -> None:
    """Blurred, with noise in the colours, up to 2 pixels off."""
    rng = np.random.default_rng(72)

    def disturbed(picture: np.ndarray) -> np.ndarray:
        across, down = rng.integers(-2, 3, 2)
        moved = np.pad(picture, ((2, 2), (2, 2), (0, 0)), "edge")[2 + down :, 2 + across :][:SIZE, :SIZE]
        width = rng.uniform(0.6, 0.8)
        return gaussian_filter(moved.astype(float), (width, width, 0)) + rng.normal(0, 8, moved.shape)

    right = share_right(readings(disturbed(picture) for picture in pictures), scenes)
    assert min(right[name] for name in ("act", "actor", "place", "tall")) >= 0.97


def test_noise_is_no_scene() -> None:
    rng = np.random.default_rng(73)
    seen = readings(rng.integers(0, 256, (30, SIZE, SIZE, 3)))
    for width in (1, 2, 4, 8):
        smooth = gaussian_filter(rng.normal(size=(30, SIZE, SIZE, 3)), (0, width, width, 0))
        seen += readings(128 + 40 * smooth / smooth.std())
    assert seen.count(None) >= 0.9 * len(seen)


def test_a_place_without_people_is_no_scene() -> None:
    empty = []
    for behind, ground in PLACES.values():
        empty.append(np.full((SIZE, SIZE, 3), behind))
        empty.append(np.where(np.arange(SIZE)[:, None, None] < 42, behind, ground) + np.zeros((1, SIZE, 1)))
    assert readings(empty) == [None] * 12


def test_two_people_amid_clutter_are_no_scene(pictures: np.ndarray) -> None:
    """As the decoder draws random latents: hair hangs in the sky."""
    cluttered = pictures[:20].copy()
    cluttered[:, :10, 1::4] = (70, 40, 20)
    assert readings(cluttered) == [None] * 20


@pytest.mark.parametrize("place", PLACES)
def test_only_yellow_between_the_two_joins_them(place: str) -> None:
    """Neither sand nor skin nor an orange shirt is yellow; a rope that is half as strong is."""
    scene = Scene("Dan", "Ana", "fallen", "does not", near=True, facing=True, tall=True, place=place)
    without = np.asarray(render(scene), float)
    reading = read(Image.fromarray(without.astype(np.uint8)))
    assert (reading.act, reading.actor, reading.need) == ("does not", "Dan", "fallen")

    pale = without.copy()
    pale[44:46, 29:42] = (without[44:46, 29:42] + HELP) / 2
    assert read(Image.fromarray(pale.astype(np.uint8))).act == "helps"

    torn = without.copy()
    torn[44:46, 29:34] = HELP
    assert read(Image.fromarray(torn.astype(np.uint8))).act is None


def test_a_shirt_between_two_colours_is_nobodys() -> None:
    scene = Scene("Cleo", "Ana", "", "none", near=False, facing=False, tall=False, place="snow")
    drawn = np.asarray(render(scene)).copy()
    drawn[(drawn == (0, 125, 50)).all(2)] = (12, 75, 38)  # half-way between Cleo's green and Hana's black
    reading = read(Image.fromarray(drawn))
    assert (reading.actor, reading.other, reading.act) == (None, "Ana", "none")


def test_another_size_is_refused_and_another_mode_is_not() -> None:
    with pytest.raises(ValueError, match="64 x 64 pixels is wanted, not of 64 x 32"):
        read(Image.new("RGB", (64, 32)))
    scene = draw_scene(np.random.default_rng(0))
    assert read(render(scene).convert("RGBA")) == read(render(scene))
    assert read(render(scene).convert("L")) is None


def test_the_example_runs() -> None:
    found = doctest.testmod(reader)
    assert found.attempted and not found.failed
