"""A picture book that was hardly trained, for tests: the shipped one's files and shapes, and pictures of nothing."""

from pathlib import Path

from plantain.models.picture_book.make import write_picture_book
from plantain.models.picture_book.train import Recipe

RECIPE = Recipe(scenes=8, vae_steps=1, vae_batch=2, steps=1, batch=2)


def write_small_book(folder: Path, overwrite: bool = False) -> Path:
    """Write its folder, in a few seconds."""
    return write_picture_book(folder, RECIPE, overwrite=overwrite)
