"""Reference images drawn by the model itself: one a scene, from the text that the two sides of a pair share.

`shared_text`        that text
`GenerationConfig`   settings of a picture; `STYLES` has the pipeline's defaults and the sibling experiments'
`check_drawing`      what can be refused before a model is loaded
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

from plantain import PlantainError, __version__
from plantain._files import strict_json, write_atomic
from plantain.models.fingerprint import describe, vae_fingerprint
from plantain.models.info import software_versions
from plantain.probe.reference import file_stem
from plantain.prompts.diff import differing_words
from plantain.prompts.sets import PromptPair, PromptSet
from plantain.runs.info import seed_fault, size_fault

MANIFEST = "references.json"


class GenerationError(PlantainError, ValueError):
    """Reference images that cannot be drawn; the message says what to do."""


@dataclass(frozen=True)
class GenerationConfig:
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

    def __post_init__(self) -> None:
        if fault := size_fault(self.size) or seed_fault(self.seed):
            raise GenerationError(fault)


STYLES = {"klein": (50, 4.0), "siblings": (14, 4.0)}
"""Steps and guidance: the pipeline's own defaults, and those of the sibling experiments' cards."""


def shared_text(pair: PromptPair) -> str:
    """Return the words that both sides of a pair have, in order.

    Raises
    ------
    GenerationError
        They share no word.
    """
    spans, _ = differing_words(pair.positive, pair.negative)
    text = " ".join(" ".join(words for words, differs in spans if not differs).split())
    if not any(c.isalnum() for c in text):
        raise GenerationError(f"pair {pair.id!r}: its two prompts share no word, so no scene can be drawn for both.")
    return text


def check_drawing(prompt_set: PromptSet, folder: str | Path) -> None:
    """Refuse what can be refused before a model is loaded.

    Raises
    ------
    GenerationError, ImageError
        A pair's sides share no word, its id can be no file's name, or the folder has something else in it.
    """
    for pair in prompt_set.pairs:
        file_stem(pair)
        shared_text(pair)
    _Manifest(Path(folder)).read()


def make_references(
    pipe: Any,
    prompt_set: PromptSet,
    folder: str | Path,
    drawing: GenerationConfig,
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
    drawing : GenerationConfig
    progress : callable, optional
        Told the pictures that are there and those in all.

    Returns
    -------
    int
        How many pictures were drawn now.

    Raises
    ------
    GenerationError
        A pair's sides share no word, or the folder has pictures that were drawn otherwise, or cannot be written.
    ImageError
        A pair's id cannot be a file's name.
    """
    folder, texts = Path(folder), {file_stem(pair): shared_text(pair) for pair in prompt_set.pairs}
    model = describe(pipe)
    made_by = {
        "model": model.model, "fingerprint": model.fingerprint, "vae": vae_fingerprint(pipe.vae), "dtype": model.dtype,
        "device": model.device, "versions": {"plantain": __version__, **software_versions()},
    }  # fmt: skip
    manifest = _Manifest(folder)
    manifest.open({**made_by, **asdict(drawing)})
    report, missing = progress or (lambda _done, _total: None), [s for s in texts if not manifest.has(s, texts[s])]
    report(len(texts) - len(missing), len(texts))
    for done, stem in enumerate(missing, start=len(texts) - len(missing) + 1):
        manifest.add(stem, texts[stem], _draw(pipe, texts[stem], drawing))
        report(done, len(texts))
    return len(missing)


def _draw(pipe: Any, text: str, drawing: GenerationConfig) -> bytes:
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
    image.save(out, format="PNG")
    return out.getvalue()


class _Manifest:
    """What a folder's pictures were drawn from: a picture's entry is written before the picture."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._content: dict[str, Any] = {"settings": {}, "images": {}}

    def open(self, settings: dict[str, Any]) -> None:
        """Take up what is there, or begin.

        Raises
        ------
        GenerationError
            The folder has pictures that were drawn otherwise, or something else, or cannot be written.
        """
        found = self.read()
        if found is not None and found["settings"] != settings:
            raise GenerationError(f"{self._folder}: has pictures that were drawn otherwise. Choose another folder.")
        self._content = found or {"settings": settings, "images": {}}
        if found is None:  # first of all: pictures without it are not known to be ours
            self._write()

    def read(self) -> dict[str, Any] | None:
        """Return what the folder's manifest says, or None where there is none and nothing else either."""
        path = self._folder / MANIFEST
        try:
            content = strict_json(path.read_bytes())
            images = content["images"].items()
            if not isinstance(content["settings"], dict) or not all(
                {"text", "sha256"} == set(entry) and all(isinstance(v, str) for v in entry.values())
                for _, entry in images
            ):
                raise ValueError("it is not what was written")
        except FileNotFoundError:
            self._refuse_strange()
            return None
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise GenerationError(f"{path}: cannot be read ({error}).") from error
        return content

    def _refuse_strange(self) -> None:
        """Leave pictures alone that are not known to be ours."""
        strange = next(iter(sorted(self._folder.iterdir())), None) if self._folder.is_dir() else None
        if strange is not None or (self._folder.exists() and not self._folder.is_dir()):
            raise GenerationError(f"{self._folder}: is no folder of reference images. Choose a new or empty one.")

    def has(self, stem: str, text: str) -> bool:
        """Tell whether a picture of this text is there.

        Raises
        ------
        GenerationError
            It was changed since it was drawn, or is somebody's own, and would be lost.
        """
        entry, path = self._content["images"].get(stem), self._folder / f"{stem}.png"
        if not path.exists():
            return False
        own = path.is_file() and entry is not None and entry["text"] == text
        if not own or hashlib.sha256(path.read_bytes()).hexdigest() != entry["sha256"]:
            raise GenerationError(f"{path}: it or its prompts are not as they were drawn. Move it away.")
        return True

    def add(self, stem: str, text: str, png: bytes) -> None:
        """Say in the manifest what a picture is, and keep it."""
        self._content["images"][stem] = {"text": text, "sha256": hashlib.sha256(png).hexdigest()}
        self._write()
        try:
            write_atomic(self._folder / f"{stem}.png", png)
        except OSError as error:
            raise GenerationError(f"{self._folder}: cannot be written ({error.strerror}).") from error

    def _write(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_atomic(self._folder / MANIFEST, json.dumps(self._content, indent=1, ensure_ascii=False).encode())
        except OSError as error:
            raise GenerationError(f"{self._folder}: cannot be written ({error.strerror}).") from error
