"""Reference images drawn by the model itself: one a scene, from the text that the two sides of a pair share."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from plantain import __version__
from plantain._files import strict_json, write_atomic
from plantain._files.pictures import png
from plantain.models.drawing import draw
from plantain.models.fingerprint import vae_fingerprint
from plantain.models.info import software_versions
from plantain.models.load import LoadedModel
from plantain.models.picture_book.folder import Drawing
from plantain.probe.reference import file_stem
from plantain.probe.tokens import ProbeError
from plantain.prompts.diff import differing_words
from plantain.prompts.sets import PromptPair, PromptSet
from plantain.runs.info import seed_fault, size_fault

MANIFEST = "references.json"


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
            raise ProbeError(fault)


STYLES = {"klein": (50, 4.0), "siblings": (14, 4.0)}
"""Steps and guidance: the pipeline's own defaults, and those of the sibling experiments' cards."""


def shared_text(pair: PromptPair) -> str:
    """Return the words that both sides of a pair have, in order.

    Raises
    ------
    ProbeError
        They share no word.
    """
    spans, _ = differing_words(pair.positive, pair.negative)
    text = " ".join(" ".join(words for words, differs in spans if not differs).split())
    if not any(c.isalnum() for c in text):
        raise ProbeError(f"pair {pair.id!r}: its two prompts share no word, so no scene can be drawn for both.")
    return text


def check_drawing(prompt_set: PromptSet, folder: str | Path) -> None:
    """Refuse what can be refused before a model is loaded.

    Raises
    ------
    ProbeError
        A pair's sides share no word, its id can be no file's name, or the folder has something else in it.
    """
    _texts(prompt_set)
    _drawn_from(Path(folder))


def make_references(
    model: LoadedModel,
    prompt_set: PromptSet,
    folder: str | Path,
    drawing: GenerationConfig,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> int:
    """Draw one picture for every pair of a set; what a former call drew in the same way is left as it is.

    Parameters
    ----------
    model : LoadedModel
        With its VAE.
    prompt_set : PromptSet
    folder : path
        Gets ``ID.png`` for every pair, and first of all `MANIFEST` with the model, the settings and the texts:
        pictures without it are somebody's own.
    drawing : GenerationConfig
    progress : callable, optional
        Told the pictures that are there and those in all.

    Returns
    -------
    int
        How many pictures were drawn now.

    Raises
    ------
    ProbeError
        A pair's sides share no word, or the folder has pictures that were drawn otherwise, or cannot be written.
    ProbeError
        A pair's id cannot be a file's name.
    """
    folder, texts, info = Path(folder), _texts(prompt_set), model.info
    settings = {
        "model": info.model, "fingerprint": info.fingerprint, "vae": vae_fingerprint(model.pipe.vae),
        "dtype": info.dtype, "device": info.device, "versions": {"plantain": __version__, **software_versions()},
        **asdict(drawing), "texts": texts,
    }  # fmt: skip
    found = _drawn_from(folder)
    if found not in (None, settings):
        raise ProbeError(
            f"{folder}: has pictures that were drawn otherwise (model, settings or prompts). Choose another folder."
        )
    missing = [stem for stem in texts if not (folder / f"{stem}.png").exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if found is None:
            write_atomic(folder / MANIFEST, json.dumps(settings, indent=1, ensure_ascii=False).encode())
        kept = len(texts) - len(missing)
        progress(kept, len(texts))
        for done, stem in enumerate(missing, start=kept + 1):
            write_atomic(folder / f"{stem}.png", _draw(model.pipe, texts[stem], drawing))
            progress(done, len(texts))
    except OSError as error:
        raise ProbeError(f"{folder}: cannot be written ({error.strerror}).") from error
    return len(missing)


def _texts(prompt_set: PromptSet) -> dict[str, str]:
    """Return what is drawn, by the picture's name without its ending."""
    return {file_stem(pair): shared_text(pair) for pair in prompt_set.pairs}


def _drawn_from(folder: Path) -> dict[str, Any] | None:
    """Return what a folder's pictures were drawn from, or None where there is nothing yet."""
    try:
        found = strict_json((folder / MANIFEST).read_bytes())
        if not isinstance(found, dict):
            raise ValueError("it is not what was written")
    except (FileNotFoundError, NotADirectoryError):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ProbeError(f"{folder}: is no folder of reference images. Choose a new or empty one.") from None
        return None
    except (OSError, ValueError) as error:
        raise ProbeError(f"{folder / MANIFEST}: cannot be read ({error}).") from error
    return found


def _draw(pipe: Any, text: str, drawing: GenerationConfig) -> bytes:
    """Draw a picture; return it as PNG."""
    (image,) = draw(pipe, [text], Drawing(drawing.size, drawing.steps, drawing.guidance), [drawing.seed])
    return png(image)
