"""The pictures of a run: both sides of its pairs, drawn or expected, with and without edited heads.

They lie in the folder ``images`` of a run as WebP; settings.json says how they were drawn and lists them with their
hashes. Nothing of them is in run.json, and a run without them is complete. They may be a stranger's: sizes come first,
names and kinds are read strictly, and `taken` packs every picture anew.
"""

from __future__ import annotations

import hashlib
import json
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from plantain._files import STRICT, plain, strict_json, strict_record
from plantain._files.pictures import opened, webp
from plantain.models.info import WEIGHTS
from plantain.prompts.sets import SIDES
from plantain.runs.info import RunInfo, Seed, Seeds, Sha256, Size
from plantain.runs.io import IMAGES, RunError

SETTINGS = "settings.json"

SCHEMA = 1

DRAWN, EXPECTED = "drawn", "expected"

KINDS = (DRAWN, EXPECTED)
"""Drawn in all steps; what the model expects at sigma 1, before it has drawn anything, averaged over what may come."""

METHODS = ("scale", "patch", "steer", "ablate")

LARGEST, LARGEST_OF_ALL, LARGEST_SETTINGS = 2 << 20, 64 << 20, 4 << 20  # bytes: a picture, all of them, the list

MOST = 2_000  # pictures of a run

QUALITY = 90  # of WebP

_SIDE = 2048  # pixels of a picture's height and width, at most

PICTURE_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}\.webp")

Word = Annotated[str, Field(max_length=200)]


@dataclass(frozen=True, config=STRICT)
class PictureEdit:
    """What was changed while a picture was drawn.

    Attributes
    ----------
    method : {"scale", "patch", "steer", "ablate"}
    asked : str
        The heads as they were asked for, e.g. ``top:10``.
    heads : tuple of str
        Their names.
    scale : float or None
        The factor of scale, and how many times the mean direction steer adds; None for patch and ablate.
    """

    method: Literal[METHODS]
    asked: Annotated[str, Field(min_length=1, max_length=100_000)]
    heads: Annotated[tuple[Word, ...], Field(min_length=1, max_length=10_000)]
    scale: Annotated[float, Field(ge=-1000, le=1000)] | None = None

    def __post_init__(self) -> None:
        if (self.scale is None) != (self.method in ("patch", "ablate")):
            raise ValueError(f"a scale goes with scale and steer, not with patch and ablate ({self.method})")

    @property
    def name(self) -> str:
        """What pictures drawn with it are called: ``patch-top-10``, ``scale-0-3f2a91bc0d``."""
        digest = hashlib.sha256(json.dumps(self.heads).encode()).hexdigest()[:10]
        asked = self.asked.replace(":", "-") if re.fullmatch(r"(top|random):\d{1,6}", self.asked) else digest
        times = [] if self.scale is None else [repr(self.scale).removesuffix(".0")]
        return "-".join([self.method, *times, asked])

    @property
    def words(self) -> str:
        """Say it in words."""
        times = "" if self.scale is None else f" × {self.scale:g}"
        n = len(self.heads)
        return f"{self.method}{times}, {n} head{'' if n == 1 else 's'} ({self.asked})"


@dataclass(frozen=True, config=STRICT)
class Picture:
    """One picture.

    Attributes
    ----------
    file : str
        Its name in the folder.
    pair : str
        The pair's id.
    side : {"positive", "negative"}
    seed : int
        Of the noise.
    kind : {"drawn", "expected"}
    edit : str
        Name of one of the `PictureSettings.edits`; empty where nothing was changed.
    sha256 : str
        Of the file (hex).
    published : str or None
        Of the file as somebody published it, where it was packed anew since.
    """

    file: Annotated[str, Field(pattern=f"^{PICTURE_FILE.pattern}$")]
    pair: Word
    side: Literal[SIDES]
    seed: Seed
    kind: Literal[KINDS]
    edit: Word
    sha256: Sha256
    published: Sha256 | None = None

    @property
    def drawn(self) -> Picture:
        """The same as it was drawn, before anybody packed it anew; of two copies of one picture it is the same."""
        return replace(self, sha256=self.published or self.sha256, published=None)


@dataclass(frozen=True, config=STRICT)
class PictureSettings:
    """How a run's pictures were drawn, and which there are.

    Attributes
    ----------
    model, weights, fingerprint, dtype, device
        As in `models.info.ModelInfo`.
    vae : str
        SHA-256 (hex) of the VAE.
    versions : dict of str to str
        Software that drew them.
    size, steps : int
        Height and width in pixels, and denoising steps.
    guidance : float
        Scale of the classifier-free guidance.
    seeds : tuple of int
        Of the noise: both sides of a pair are drawn from the same.
    edits : tuple of PictureEdit
    pictures : tuple of Picture
    """

    model: Annotated[str, Field(max_length=1000)]
    weights: Literal[WEIGHTS]
    fingerprint: Word
    dtype: Word
    device: Word
    vae: Sha256
    versions: Annotated[dict[str, Word], Field(max_length=50)]
    size: Size
    steps: Annotated[int, Field(ge=1, le=1000)]
    guidance: Annotated[float, Field(ge=0, le=1000)]
    seeds: Annotated[Seeds, Field(max_length=MOST)]
    edits: Annotated[tuple[PictureEdit, ...], Field(max_length=1000)] = ()
    pictures: Annotated[tuple[Picture, ...], Field(max_length=MOST)] = ()

    def __post_init__(self) -> None:
        edits = {edit.name for edit in self.edits}
        files = {picture.file.casefold() for picture in self.pictures}
        if len(edits) < len(self.edits) or len(files) < len(self.pictures):
            raise ValueError("an edit or a file stands twice")
        for one in self.pictures:
            if one.seed not in self.seeds or one.edit not in ("", *edits):
                raise ValueError(f"{one.file} has a seed or an edit that the settings do not have")

    def packed(self) -> bytes:
        """Return them as the content of settings.json."""
        content = {"schema": SCHEMA, **plain(self)}
        return (json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def picture_file(number: int, pair: str, side: str, seed: int, kind: str, edit: str) -> str:
    """Name a picture's file.

    Parameters
    ----------
    number : int
        Of the pair in its run, from 1: whatever its id is, no two pairs share a file.
    pair, side, seed, kind, edit
        As in `Picture`.
    """
    called = re.sub(r"[^A-Za-z0-9_-]+", "-", pair).strip("-")[:40]
    parts = (f"{number:02d}-{called}".rstrip("-"), side, f"seed{seed}", kind, *([edit] if edit else []))
    return f"{'.'.join(parts)}.webp"


def read_settings(content: bytes, info: RunInfo) -> PictureSettings:
    """Read settings.json, and check that it speaks of a run.

    Raises
    ------
    ValueError
        It is too large, of a newer schema, damaged, or the pictures are of another model than the run.
    """
    if len(content) > LARGEST_SETTINGS:
        raise ValueError(f"it is larger than {LARGEST_SETTINGS:,} bytes")
    facts = strict_json(content)
    if not isinstance(facts, dict) or facts.pop("schema", None) != SCHEMA:
        raise ValueError(f"its schema is not {SCHEMA}")
    found = strict_record(PictureSettings, facts, "settings")
    if (found.fingerprint, found.weights) != (info.fingerprint, info.weights):
        raise ValueError("the pictures are of another model than the run")
    return found


def read_pictures(folder: Path, info: RunInfo) -> PictureSettings | None:
    """Read what a run's folder says of its pictures; the pictures themselves are read by `picture_bytes`.

    Returns
    -------
    PictureSettings or None
        None where the run has no pictures.

    Raises
    ------
    RunError
        settings.json cannot be read, or is not the run's.
    """
    path = folder / IMAGES / SETTINGS
    try:
        return read_settings(_bytes(path, LARGEST_SETTINGS), info)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise RunError(f"{path}: is damaged ({error}). Delete {path.parent}, or draw anew.") from error


def pictures_there(folder: Path, found: PictureSettings | None) -> tuple[Picture, ...]:
    """Return those of a run's pictures whose files are in its folder; none where it has no settings of any."""
    return tuple(one for one in (found.pictures if found else ()) if (folder / IMAGES / one.file).exists())


def picture_bytes(folder: Path, picture: Picture) -> bytes:
    """Read a picture of a run's folder: WebP of the size and hash that its settings say.

    Raises
    ------
    RunError
        It is not there, too large, or another one.
    """
    path = folder / IMAGES / picture.file
    try:
        content = _bytes(path, LARGEST)
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror}). Draw it again.") from error
    except ValueError as error:
        raise RunError(f"{path}: {error}. Delete it and draw it again.") from error
    if not is_webp(content) or hashlib.sha256(content).hexdigest() != picture.sha256:
        raise RunError(f"{path}: is not the picture that {SETTINGS} speaks of. Delete it and draw it again.")
    return content


def picture_files(folder: Path, info: RunInfo) -> dict[str, bytes]:
    """Read a run's pictures with their settings, by their paths in the run's folder; nothing where there are none.

    Raises
    ------
    RunError
        As `read_pictures` and `picture_bytes`, or they are too large together.
    """
    settings = read_pictures(folder, info)
    if settings is None:
        return {}
    files = {f"{IMAGES}/{SETTINGS}": settings.packed()}
    total = 0
    for picture in settings.pictures:
        files[f"{IMAGES}/{picture.file}"] = content = picture_bytes(folder, picture)
        total += len(content)
        if total > LARGEST_OF_ALL:
            raise RunError(f"{folder / IMAGES}: has more than {LARGEST_OF_ALL:,} bytes of pictures. Keep fewer.")
    return files


def taken(
    settings: PictureSettings,
    read: Callable[[str], bytes],
    here: Mapping[str, tuple[Picture, bytes]],
    refused: list[str],
) -> dict[str, bytes]:
    """Take a stranger's pictures: each is decoded and packed anew, and one that does not fit is left out.

    Parameters
    ----------
    settings : PictureSettings
        The stranger's, from `read_settings`.
    read : callable
        Returns a file of the stranger's folder; raises `ValueError` where it is none of theirs, or too large.
    here : mapping of str to (Picture, bytes)
        By file: pictures that were taken before. They are not read again.
    refused : list of str
        Gets a sentence for every picture that is left out.

    Returns
    -------
    dict of str to bytes
        By path in the run's folder; empty where no picture is left.
    """
    files: dict[str, bytes] = {}
    kept: list[Picture] = []
    total = 0
    for picture in settings.pictures:
        known = here.get(picture.file)
        try:
            if known and known[0].drawn == picture.drawn:
                one, content = known
            else:
                one, content = _anew(picture, read(picture.file))
            total += len(content)
            if len(content) > LARGEST or total > LARGEST_OF_ALL:
                raise ValueError(f"is too large: at most {LARGEST:,} bytes, and {LARGEST_OF_ALL:,} of all together")
        except ValueError as error:
            refused.append(f"{picture.file} {str(error).rstrip('.')}")
            continue
        kept.append(one)
        files[f"{IMAGES}/{one.file}"] = content
    if not kept:
        return {}
    return {f"{IMAGES}/{SETTINGS}": replace(settings, pictures=tuple(kept)).packed(), **files}


def _anew(picture: Picture, content: bytes) -> tuple[Picture, bytes]:
    """Decode a stranger's picture and pack it."""
    if hashlib.sha256(content).hexdigest() != picture.sha256:
        raise ValueError(f"is not the picture that {SETTINGS} speaks of")
    packed = webp(opened(content, ("WEBP",), _SIDE * _SIDE), QUALITY)
    return replace(picture, sha256=hashlib.sha256(packed).hexdigest(), published=picture.drawn.sha256), packed


def is_webp(content: bytes) -> bool:
    """Tell whether bytes begin as a WebP file does."""
    return content[:4] == b"RIFF" and content[8:12] == b"WEBP"


def _bytes(path: Path, limit: int) -> bytes:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):  # a pipe would never end
        raise ValueError("is no file")
    if found.st_size > limit:
        raise ValueError(f"is larger than {limit:,} bytes")
    return path.read_bytes()
