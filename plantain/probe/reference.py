"""Reference images: read from files, and encoded as the pipeline encodes its ``image=``.

A reference image is the same for both sides of a pair, so that the sides differ in their text alone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from plantain._files.pictures import PictureError, fitted, opened
from plantain.models.fingerprint import vae_fingerprint
from plantain.models.load import PhasedPipeline
from plantain.probe.tokens import ProbeError
from plantain.prompts.sets import PromptPair

KINDS = (".png", ".jpg", ".jpeg", ".webp")

LARGEST = 64 << 20  # bytes of a file

_AREA = 1024 * 1024  # pixels; the pipeline makes larger pictures smaller


@dataclass(frozen=True)
class Reference:
    """A reference image as the transformer takes it.

    Attributes
    ----------
    sha256 : str
        Of the image's file (hex).
    vae : str
        SHA-256 (hex) of the VAE that encoded it.
    latents : tensor (1, n_tokens, n_channels)
    ids : tensor (1, n_tokens, 4)
        Where each token lies, as the pipeline numbers reference images.
    """

    sha256: str
    vae: str
    latents: torch.Tensor
    ids: torch.Tensor

    @property
    def n_tokens(self) -> int:
        return self.latents.shape[1]


@dataclass(frozen=True)
class ReferenceSet:
    """Every pair's reference image, as the transformer takes it.

    Attributes
    ----------
    by_pair : mapping of str to Reference
        By the pair's id.
    """

    by_pair: Mapping[str, Reference]

    @property
    def vae(self) -> str:
        """SHA-256 (hex) of the VAE that encoded them."""
        return next(iter(self.by_pair.values())).vae

    @property
    def hashes(self) -> dict[str, str]:
        """Of every pair's id the SHA-256 of its image's file."""
        return {pair_id: reference.sha256 for pair_id, reference in self.by_pair.items()}


def find_images(pairs: Iterable[PromptPair], image: str | Path | None, folder: str | Path | None) -> dict[str, Path]:
    """Find the file of every pair's reference image.

    Parameters
    ----------
    pairs : iterable of PromptPair
    image : path or None
        One image for all pairs.
    folder : path or None
        A folder with ``ID.png`` (or .jpg, .jpeg, .webp) for every pair.

    Returns
    -------
    dict of str to Path
        By the pair's id; empty without image and folder.

    Raises
    ------
    ProbeError
        There is no such file, or two of one pair.
    """
    if image is not None:
        return {pair.id: Path(image) for pair in pairs}
    return {pair.id: _image_of(pair, Path(folder)) for pair in pairs} if folder is not None else {}


def _image_of(pair: PromptPair, folder: Path) -> Path:
    found = [path for kind in KINDS if (path := folder / (file_stem(pair) + kind)).is_file()]
    if not found:
        raise ProbeError(
            f"{folder}: has no image for the pair {pair.id!r}. Put {file_stem(pair)}.png there, or draw all of them: "
            "python -m plantain make-references PROMPTS DIR."
        )
    if len(found) > 1:
        raise ProbeError(f"{folder}: has two images for the pair {pair.id!r} ({found[0].name}, {found[1].name}).")
    return found[0]


def file_stem(pair: PromptPair) -> str:
    """Return the name of a pair's image without its ending.

    Raises
    ------
    ProbeError
        The pair's id cannot be a file's name.
    """
    if not re.fullmatch(r"\w[\w .-]{0,99}", pair.id):
        raise ProbeError(f"the id {pair.id!r} cannot be an image's name; use letters, digits, dots and dashes.")
    return pair.id


def check_images(files: Mapping[str, Path]) -> None:
    """Read every picture once, before a model is loaded.

    Raises
    ------
    ProbeError
        A file is no picture or too large.
    """
    for path in dict.fromkeys(files.values()):
        _open(path)


def encode_images(pipe: Any, files: Mapping[str, Path]) -> ReferenceSet:
    """Encode reference images as ``pipe(image=...)`` does, each file once.

    Parameters
    ----------
    pipe
        A Klein pipeline with its VAE.
    files : mapping of str to Path
        From `find_images`.

    Returns
    -------
    ReferenceSet

    Raises
    ------
    ProbeError
        A file is no picture, too large, or of a shape that the pipeline refuses.
    """
    vae = vae_fingerprint(pipe.vae)
    encoded: dict[Path, Reference] = {}
    for path in dict.fromkeys(files.values()):
        image, sha256 = _open(path)
        encoded[path] = Reference(sha256, vae, *_encode(pipe, image, path))
    return ReferenceSet({pair_id: encoded[path] for pair_id, path in files.items()})


def encode_with(model: PhasedPipeline, files: Mapping[str, Path]) -> ReferenceSet | None:
    """Encode reference images by a model that is given its VAE for as long; None where there are no images."""
    if not files:
        return None
    with model.with_vae() as pipe:
        return encode_images(pipe, files)


def _open(path: Path) -> tuple[Any, str]:
    """Decode a picture; return it with its file's SHA-256 (hex)."""
    try:
        if path.stat().st_size > LARGEST:
            raise ProbeError(f"{path}: is larger than {LARGEST >> 20} MiB.")
        content = path.read_bytes()
    except OSError as error:
        raise ProbeError(f"{path}: cannot be read ({error.strerror}).") from error
    try:
        return opened(content), hashlib.sha256(content).hexdigest()
    except PictureError as error:
        raise ProbeError(f"{path}: {error}") from error


@torch.no_grad()
def _encode(pipe: Any, image: Any, path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Do with a picture what the pipeline's call does with it."""
    processor, multiple = pipe.image_processor, pipe.vae_scale_factor * 2
    try:
        processor.check_image_input(image)
    except ValueError as error:
        raise ProbeError(f"{path}: {error}") from error
    image = fitted(image, _AREA)
    height, width = (side // multiple * multiple for side in (image.height, image.width))
    pixels = processor.preprocess(image, height=height, width=width, resize_mode="crop")
    return pipe.prepare_image_latents(
        images=[pixels], batch_size=1, generator=None, device=pipe.vae.device, dtype=pipe.vae.dtype
    )
