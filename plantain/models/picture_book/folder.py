"""The folder of the picture book's model: where the shipped one lies, and how it wants to be drawn with."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plantain._files import ROOT, find, strict_json

PICTURE_BOOK = "picture-book"
"""The shipped model's name, and that of the prompt sets written for it."""

MODELS = ROOT / "models"

SETTINGS = "picture-book.json"
"""File of the folder: what the weights were made from, the loss, and how to draw."""

_LARGEST = 1 << 20  # bytes of the settings; a stranger's folder may hold anything


@dataclass(frozen=True)
class Drawing:
    """How a model is drawn with.

    Attributes
    ----------
    size : int
        Height and width in pixels.
    steps : int
        Denoising steps.
    guidance : float
        Scale of the classifier-free guidance.
    """

    size: int
    steps: int
    guidance: float


def folder_of(model: str) -> Path:
    """Return the folder that a model's name stands for: the shipped one, or the name as a path."""
    return find(model, MODELS) if model != PICTURE_BOOK else MODELS / PICTURE_BOOK


def read_drawing(folder: Path) -> Drawing:
    """Read how a picture book's folder wants to be drawn with.

    Raises
    ------
    ValueError
        The settings are missing, damaged or absurd.
    """
    try:
        with open(folder / SETTINGS, "rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise ValueError(f"it cannot be read ({error.strerror})") from error
    if len(content) > _LARGEST:
        raise ValueError("it is too large")
    settings = strict_json(content)
    drawing = settings.get("drawing") if isinstance(settings, dict) else None
    if not isinstance(drawing, dict):
        raise ValueError("it does not say how to draw")
    return _checked(drawing)


def _checked(drawing: dict[str, Any]) -> Drawing:
    size, steps, guidance = (drawing.get(name) for name in ("size", "steps", "guidance"))
    if type(size) is not int or size % 16 or not 64 <= size <= 2048:
        raise ValueError("its size is no multiple of 16 from 64 to 2048")
    if type(steps) is not int or not 1 <= steps <= 1000:
        raise ValueError("its steps are no whole number from 1 to 1000")
    if type(guidance) not in (int, float) or not math.isfinite(guidance) or not 1 <= guidance <= 100:
        raise ValueError("its guidance is no number from 1 to 100")
    return Drawing(size, steps, float(guidance))
