"""Pictures of strangers, opened with care, and pictures packed."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from plantain import PlantainError

MOST_PIXELS = 64_000_000


class PictureError(PlantainError, ValueError):
    """Bytes that are no picture, or none that is taken; the message says what they are, without a name before it."""


def opened(content: bytes, kinds: Sequence[str] = ("PNG", "JPEG", "WEBP"), most: int = MOST_PIXELS) -> Image.Image:
    """Decode a picture, as its viewer would see it: turned upright, in RGB.

    Parameters
    ----------
    content : bytes
        A whole file, whose size the caller has checked.
    kinds : sequence of str
        Pillow's names of the formats that are taken.
    most : int
        Pixels.

    Raises
    ------
    PictureError
        It is of another kind, damaged, too large, an animation, or has more than 8 bits a channel.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(content), formats=kinds)
            if image.width * image.height > most:
                raise PictureError(f"has more than {most:,} pixels; make it smaller.")
            if getattr(image, "n_frames", 1) > 1:
                raise PictureError("is an animation; give one picture.")
            if image.mode.startswith(("I", "F")):  # which Pillow would turn white
                raise PictureError("has more than 8 bits a channel; save it with 8.")
            image = ImageOps.exif_transpose(image).convert("RGBA")
            white = Image.new("RGBA", image.size, "white")  # what is transparent shows a white page
            return Image.alpha_composite(white, image).convert("RGB")
    except (UnidentifiedImageError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureError(f"is no {_listed(kinds)} picture, or an absurdly large one.") from error
    except PictureError:
        raise
    except (OSError, SyntaxError, ValueError) as error:
        raise PictureError(f"is a damaged picture ({error}).") from error


def mean_difference(one: bytes, other: bytes) -> float:
    """Return how far two pictures of one size are apart: the mean over pixels and colours, of 255."""
    both = (np.asarray(opened(packed), dtype=np.float64) for packed in (one, other))
    return float(np.abs(np.subtract(*both)).mean())


def _listed(kinds: Sequence[str]) -> str:
    *others, last = ("WebP" if kind == "WEBP" else kind for kind in kinds)
    return f"{', '.join(others)} or {last}" if others else last


def fitted(image: Image.Image, pixels: int) -> Image.Image:
    """Make a picture of more pixels smaller, in its own proportions."""
    scale = math.sqrt(pixels / (image.width * image.height))
    if scale >= 1:
        return image
    return image.resize((int(image.width * scale), int(image.height * scale)), Image.Resampling.LANCZOS)


def png(image: Image.Image) -> bytes:
    """Pack a picture as PNG."""
    return _packed(image, format="PNG")


def webp(image: Image.Image, quality: int = 80) -> bytes:
    """Pack a picture as WebP."""
    return _packed(image, format="WEBP", quality=quality)


def _packed(image: Image.Image, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, **options)
    return out.getvalue()
