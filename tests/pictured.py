"""Made-up pictures of a run, written as `draw` leaves them. Used by the tests of what carries them."""

import hashlib
import io

import numpy as np
from PIL import Image

from plantain.runs.attached.pictures import Picture, PictureEdit, PictureSettings, picture_file
from plantain.runs.io import load_run

PATCH = PictureEdit("patch", "top:1", ("single[1] head 0",))


def webp(seed=0, size=16, **options):
    """Pack noise as WebP."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    return packed(Image.fromarray(pixels), **options)


def packed(image, kind="WEBP", **options):
    out = io.BytesIO()
    image.save(out, format=kind, **options)
    return out.getvalue()


def settings_of(info, contents, kind="drawn", edit=""):
    """Say of pictures, by (number, pair's id, side), how they were drawn."""
    listed = tuple(
        Picture(
            picture_file(number, pair, side, 0, kind, edit), pair, side, 0, kind, edit,
            hashlib.sha256(content).hexdigest(),
        )
        for (number, pair, side), content in contents.items()
    )  # fmt: skip
    return PictureSettings(
        model=info.model, weights=info.weights, fingerprint=info.fingerprint, dtype=info.dtype, device=info.device,
        vae="a" * 64, versions={"plantain": "0"}, size=64, steps=2, guidance=2.0, seeds=(0,), edits=(PATCH,),
        pictures=listed,
    )  # fmt: skip


def draw_into(folder, n_pairs=2, **options):
    """Give a saved run pictures of its first pairs; return their settings."""
    run = load_run(folder)
    contents = {
        (number, record.pair.id, side): webp(2 * number + i)
        for number, record in enumerate(run.pairs[:n_pairs], 1)
        for i, side in enumerate(("positive", "negative"))
    }
    settings = settings_of(run.info, contents, **options)
    (folder / "images").mkdir(exist_ok=True)
    for picture, content in zip(settings.pictures, contents.values(), strict=True):
        (folder / "images" / picture.file).write_bytes(content)
    (folder / "images" / "settings.json").write_bytes(settings.packed())
    return settings
