"""Reference images drawn by the model itself: one a scene, from the text that the two sides of a pair share.

`shared_text`        that text
`Drawing`            the settings of a picture; `STYLES` has the pipeline's own defaults and the sibling experiments'
`make_references`    a folder of pictures, resumable
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from plantain import PlantainError, __version__
from plantain.models import describe
from plantain.prompts import PromptPair, PromptSet
from plantain.reference import file_stem
from plantain.strict import strict_json
from plantain.whole import write_whole
from plantain.wording import differing_words

MANIFEST = "references.json"


class DrawingError(PlantainError, ValueError):
    """Reference images that cannot be drawn; the message says what to do."""


@dataclass(frozen=True)
class Drawing:
    """How a picture is drawn.

    Attributes
    ----------
    steps : int
        Denoising steps.
    guidance : float
        Scale of the classifier-free guidance.
    size : int
        Height and width in pixels.
    seed : int
        Of the noise, the same for every picture.
    """

    steps: int
    guidance: float
    size: int
    seed: int = 0


STYLES = {"klein": (50, 4.0), "siblings": (14, 4.0)}
"""Steps and guidance: the pipeline's own defaults, and those of the sibling experiments' cards."""


def shared_text(pair: PromptPair) -> str:
    """Return the words that both sides of a pair have, in order.

    Raises
    ------
    DrawingError
        They share no word.
    """
    spans, _ = differing_words(pair.positive, pair.negative)
    text = " ".join(" ".join(words for words, differs in spans if not differs).split())
    if not any(c.isalnum() for c in text):
        raise DrawingError(f"pair {pair.id!r}: its two prompts share no word, so no scene can be drawn for both.")
    return text


def make_references(
    pipe: Any,
    prompt_set: PromptSet,
    folder: str | Path,
    drawing: Drawing,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Draw one picture for every pair of a set; what a former call drew in the same way is left as it is.

    Parameters
    ----------
    pipe : Flux2KleinPipeline
        With its VAE.
    prompt_set : PromptSet
    folder : path
        Gets ``ID.png`` for every pair, and `MANIFEST` with the model, the settings, texts and hashes.
    drawing : Drawing
    progress : callable, optional
        Told the pictures that are there and those in all.

    Returns
    -------
    int
        How many pictures were drawn now.

    Raises
    ------
    DrawingError
        A pair's sides share no word, or the folder has pictures that were drawn otherwise, or cannot be written.
    ImageError
        A pair's id cannot be a file's name.
    """
    folder, texts = Path(folder), {file_stem(pair): shared_text(pair) for pair in prompt_set.pairs}
    made_by = {"model": describe(pipe).model, "fingerprint": describe(pipe).fingerprint, "plantain": __version__}
    manifest = _Manifest(folder, {**made_by, **asdict(drawing)})
    report, missing = progress or (lambda _done, _total: None), [s for s in texts if not manifest.has(s, texts[s])]
    report(len(texts) - len(missing), len(texts))
    for done, stem in enumerate(missing, start=len(texts) - len(missing) + 1):
        manifest.add(stem, texts[stem], _draw(pipe, texts[stem], drawing))
        report(done, len(texts))
    return len(missing)


def _draw(pipe: Any, text: str, drawing: Drawing) -> bytes:
    """Draw a picture; return it as PNG."""
    import torch

    image = pipe(
        prompt=text,
        height=drawing.size,
        width=drawing.size,
        num_inference_steps=drawing.steps,
        guidance_scale=drawing.guidance,
        generator=torch.Generator("cpu").manual_seed(drawing.seed),
    ).images[0]
    out = io.BytesIO()
    Image.Image.save(image, out, format="PNG")
    return out.getvalue()


class _Manifest:
    """What a folder's pictures were drawn from, written after every picture."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self._folder = folder
        self._content: dict[str, Any] = {"settings": settings, "images": {}}
        found = self._found()
        if found is not None and found["settings"] != settings:
            raise DrawingError(
                f"{folder}: has pictures that were drawn otherwise. Choose another folder, or delete it."
            )
        if found is None:  # first of all: pictures without it are not known to be ours
            self._write()
        self._content = found or self._content

    def _found(self) -> dict[str, Any] | None:
        try:
            content = strict_json((self._folder / MANIFEST).read_bytes())
            if not all(isinstance(content[part], dict) for part in self._content):
                raise ValueError("parts are missing")
        except FileNotFoundError:
            self._refuse_strange()
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise DrawingError(
                f"{self._folder / MANIFEST}: cannot be read ({error}). Choose another folder."
            ) from error
        return content

    def _refuse_strange(self) -> None:
        """Leave pictures alone that are not known to be ours."""
        strange = next(iter(sorted(self._folder.iterdir())), None) if self._folder.is_dir() else None
        if strange is not None or (self._folder.exists() and not self._folder.is_dir()):
            raise DrawingError(f"{self._folder}: is no folder of reference images. Choose a new or empty one.")

    def has(self, stem: str, text: str) -> bool:
        """Tell whether a picture of this text is there.

        Raises
        ------
        DrawingError
            It was changed since it was drawn, and would be lost.
        """
        entry, path = self._content["images"].get(stem), self._folder / f"{stem}.png"
        if entry is None or not path.exists():
            return False
        if hashlib.sha256(path.read_bytes()).hexdigest() != entry["sha256"] or text != entry["text"]:
            raise DrawingError(f"{path}: it or its prompts were changed since it was drawn. Move it away.")
        return True

    def add(self, stem: str, text: str, png: bytes) -> None:
        """Keep a picture and say in the manifest what it is."""
        self._content["images"][stem] = {"text": text, "sha256": hashlib.sha256(png).hexdigest()}
        try:
            write_whole(self._folder / f"{stem}.png", png)
        except OSError as error:
            raise DrawingError(f"{self._folder}: cannot be written ({error.strerror}).") from error
        self._write()

    def _write(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_whole(self._folder / MANIFEST, json.dumps(self._content, indent=1, ensure_ascii=False).encode())
        except OSError as error:
            raise DrawingError(f"{self._folder}: cannot be written ({error.strerror}).") from error
