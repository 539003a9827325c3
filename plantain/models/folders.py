"""Where a made model may be written, how one is begun, and from which seed."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

from plantain._files import name_fault, write_atomic
from plantain.models.sources import ModelError


def check_model_folder(folder: str | Path, files: Collection[str], settings: str, kind: str, overwrite: bool) -> None:
    """Raise `ModelError` unless a model may be written to a folder.

    Parameters
    ----------
    folder : str or Path
    files : collection of str
        All names that a model of this kind has in its folder.
    settings : str
        The one of these that tells the kind.
    kind : str
        What a model of the kind is called, with its article.
    overwrite : bool
        Whether one that stands there may be replaced.
    """
    folder = Path(folder)
    if fault := name_fault(folder):
        raise ModelError(f"{folder}: {fault}")
    if not folder.exists():
        return
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else {folder.name}
    strange = sorted(names - set(files))
    if strange or (names and settings not in names):
        what = strange[0] if strange else f"no {settings}"
        raise ModelError(f"{folder}: holds something other than {kind} ({what}). Choose another folder.")
    if not overwrite:
        raise ModelError(f"{folder}: exists already. Choose another folder, or overwrite it (--overwrite).")


def check_seed(seed: int) -> None:
    """Raise `ModelError` unless weights can be drawn from a seed."""
    if not 0 <= seed < 2**63:
        raise ModelError(f"seed {seed}: choose a whole number from 0 to 2^63 - 1.")


def begin_unfinished(new: Path, name: str, settings: bytes, overwrite: bool) -> None:
    """Make the folder of a model that is not finished, or go on with it if it has the same settings.

    Parameters
    ----------
    new : Path
    name : str
        Of the file that holds the settings.
    settings : bytes
        Everything that the model's files depend on.
    overwrite : bool
        Throw an unfinished model of other settings away instead of refusing.

    Raises
    ------
    ModelError
        The folder holds something else, or a part of a model of other settings.
    """
    found = (new / name).read_bytes() if (new / name).is_file() else None
    if found is None and new.exists() and any(new.iterdir()):
        raise ModelError(f"{new}: holds something other than an unfinished model. Move it away.")
    if found not in (None, settings):
        if not overwrite and any(path.name != name and not path.name.startswith(".") for path in new.iterdir()):
            raise ModelError(
                f"{new}: holds a model of other settings (seed, recipe, tokenizer or versions). Repeat that command "
                "to finish it, delete the folder, or add --overwrite."
            )
        shutil.rmtree(new)
    new.mkdir(parents=True, exist_ok=True)
    write_atomic(new / name, settings)


def put_part(model: Any, new: Path, part: str, settings: str, **how: Any) -> None:
    """Save a part of a pipeline into the folder of a model that is not finished; it is there whole or not at all.

    Parameters
    ----------
    model
        Of diffusers or transformers.
    new : Path
    part : str
        Its folder.
    settings : str
        File of `new` whose mode the files get: safetensors lets only the owner read.
    **how
        For `save_pretrained`.
    """
    partial = new / f".{part}"
    shutil.rmtree(partial, ignore_errors=True)  # of a killed call
    model.save_pretrained(partial, **how)
    for path in partial.iterdir():
        shutil.copymode(new / settings, path)
    partial.rename(new / part)


def require_space(new: Path, needed: int, begun: bool = True) -> None:
    """Raise `ModelError` where a disk is too small; of a model that was not begun nothing stays.

    Parameters
    ----------
    new : Path
        Its folder, not finished.
    needed : int
        Bytes that are missing.
    begun : bool
        Whether a part of it stands.
    """
    free = shutil.disk_usage(new).free
    if needed and needed + 2**26 > free:  # 64 MB for tokenizer, configurations and file headers
        if not begun:
            shutil.rmtree(new)
        raise ModelError(
            f"{new.parent}: {needed / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB are free. "
            "Make room, or choose a folder on another disk."
        )
