"""The reservoir: a trained text encoder before a transformer of random weights, written to a folder.

It is the control that tells what the transformer has learned from what the text encoder says already: whatever differs
between two prompts reaches the image tokens through a random transformer as well. torch and diffusers are imported on
use.
"""

from __future__ import annotations

import filecmp
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from plantain import __version__
from plantain._files import swap_in, write_atomic
from plantain.models.folders import begin_unfinished, check_model_folder, check_seed, put_part, require_space
from plantain.models.info import software_versions
from plantain.models.init_weights import draw_weights, n_bytes
from plantain.models.picture_book.folder import SETTINGS as PICTURE_BOOK_SETTINGS
from plantain.models.picture_book.folder import folder_of
from plantain.models.sources import ModelError, hub_errors, require_klein, require_tokenizer, saved_mark
from plantain.models.stand_in import WEIGHTS_MARK

SETTINGS = "reservoir.json"

_TAKEN = ("text_encoder", "tokenizer", "vae", "scheduler")

_FILES = (*_TAKEN, "transformer", "model_index.json", SETTINGS, PICTURE_BOOK_SETTINGS)

_WANTED = "the folder, or the Hub id, of a whole Klein pipeline"


def write_reservoir(
    folder: str | Path,
    text_encoder: str,
    seed: int = 0,
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Path:
    """Write a diffusers folder with all of a Klein pipeline but its transformer, which gets random weights.

    Until it is complete it is ``DIR.unfinished``. Killed, the same call keeps every finished part. Files that are taken
    over are linked where the disk can do so, and copied elsewhere.

    Parameters
    ----------
    folder : str or Path
    text_encoder : str
        Folder or Hub id of the pipeline whose text encoder it gets; its transformer's weights are not read.
    seed : int
        Of the transformer's weights, from 0; the untrained control of one seed and shape has the same ones.
    overwrite : bool
        Replace a reservoir that stands there; it goes once the new one is complete.
    progress : callable, optional
        Called with (bytes done, bytes in all) of the transformer.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ModelError
        The folder exists, holds something else, or an unfinished reservoir of other settings; there is no such
        pipeline; the disk is too small; or the seed is out of range.
    """
    import torch

    folder, new = Path(folder), Path(f"{Path(folder)}.unfinished")
    check_folder(folder, overwrite)
    check_seed(seed)
    source = _source(text_encoder)
    if source.resolve() == folder.resolve():
        raise ModelError(f"{folder}: is the pipeline itself. Choose another folder.")
    if saved_mark(source) == "reservoir":
        raise ModelError(f"{text_encoder}: is a reservoir already. Give {_WANTED}.")
    transformer = _shape(source, text_encoder)
    try:
        begin_unfinished(new, SETTINGS, _settings(source, transformer, seed), overwrite)
        for part in _TAKEN:
            if (source / part).is_dir() and not (new / part).exists():
                _take(source / part, new, part)
        for name in ("model_index.json", PICTURE_BOOK_SETTINGS):
            if (source / name).is_file():
                shutil.copyfile(source / name, new / name)
        if not (new / "transformer").exists():
            size = n_bytes(transformer, torch.bfloat16)
            require_space(new, size)
            draw_weights(transformer, seed, "transformer", torch.bfloat16, lambda done: progress(done, size))
            put_part(transformer, new, "transformer", SETTINGS)
        swap_in(new, folder)
    except OSError as error:
        raise ModelError(f"{folder}: cannot be written ({error.strerror or error}).") from error
    return folder


def is_reservoir(folder: str | Path, text_encoder: str, seed: int) -> bool:
    """Tell whether a folder is what `write_reservoir` makes now of a text encoder and a seed.

    Parameters
    ----------
    folder : str or Path
    text_encoder : str
        Folder or Hub id of the pipeline. Its text encoder's files are read where the folder's are no links to them.
    seed : int
        Of the transformer's weights, which are not drawn again to compare them.

    Raises
    ------
    ModelError
        There is no such pipeline.
    """
    folder = Path(folder)
    try:
        found = (folder / SETTINGS).read_bytes()
    except OSError:
        return False
    source = _source(text_encoder)
    if found != _settings(source, _shape(source, text_encoder), seed):
        return False
    pairs = ((source / "text_encoder" / name, folder / "text_encoder" / name) for name in _identity(source))
    return all(
        ours.is_file() and (ours.samefile(theirs) or filecmp.cmp(theirs, ours, shallow=False)) for theirs, ours in pairs
    )


def check_folder(folder: str | Path, overwrite: bool) -> None:
    """Raise `ModelError` unless a reservoir may be written to the folder."""
    check_model_folder(folder, _FILES, SETTINGS, "a reservoir", overwrite)


def _source(where: str) -> Path:
    """Find the pipeline; of one on the Hub everything but the transformer's weights is downloaded."""
    folder = folder_of(where)
    if not folder.is_dir():
        from huggingface_hub import snapshot_download

        files = ["model_index.json", "transformer/config.json", *(f"{part}/*" for part in _TAKEN)]
        with hub_errors(where, _WANTED, "give a folder"):
            folder = Path(snapshot_download(where, allow_patterns=files))
    require_klein(folder / "model_index.json", where)
    require_tokenizer(folder / "tokenizer", where)
    if not list((folder / "text_encoder").glob("*.safetensors")):
        raise ModelError(f"{where}: holds no weights of a text encoder. Give {_WANTED}.")
    return folder


def _shape(source: Path, where: str) -> Any:
    """Build the transformer without memory, in the shape that the pipeline's own has."""
    import torch
    from diffusers import Flux2Transformer2DModel

    try:
        config = json.loads((source / "transformer" / "config.json").read_text(encoding="utf-8"))
        with torch.device("meta"):
            return Flux2Transformer2DModel.from_config(config)
    except Exception as error:  # the library raises many kinds for a damaged file
        raise ModelError(f"{where}: transformer/config.json cannot be read. Get the folder anew.") from error


def _settings(source: Path, transformer: Any, seed: int) -> bytes:
    """Write down everything that a reservoir's files depend on."""
    settings = {
        "weights": "reservoir",
        "seed": seed,
        "text_encoder": _identity(source),
        "transformer": dict(transformer.config),
        "versions": {"plantain": __version__, **software_versions()},
    }
    return (json.dumps(settings, indent=1, default=list) + "\n").encode()


def _identity(source: Path) -> dict[str, int]:
    """Tell one text encoder from another without reading 8 GB: its files' names and sizes."""
    folder = source / "text_encoder"
    return {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.suffix == ".safetensors"}


def _take(source: Path, new: Path, part: str) -> None:
    """Link or copy a part; it is there whole or not at all. The text encoder says whose it is now."""
    partial = new / f".{part}"
    shutil.rmtree(partial, ignore_errors=True)  # of a killed call
    partial.mkdir()
    for path in sorted(source.iterdir()):
        if path.name == "config.json" and part == "text_encoder":
            config = json.loads(path.read_text(encoding="utf-8")) | {WEIGHTS_MARK: "reservoir"}
            write_atomic(partial / path.name, (json.dumps(config, indent=2) + "\n").encode())
        elif path.is_file():
            try:
                os.link(path.resolve(), partial / path.name)
            except OSError:  # another disk
                shutil.copyfile(path, partial / path.name)
    partial.rename(new / part)
