"""What lies beside a run's own files and goes wherever the run goes: pictures and interventions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from plantain._files import write_atomic
from plantain.runs.attached.interventions import Interventions, read_interventions
from plantain.runs.attached.pictures import SETTINGS, PictureSettings, picture_files, read_pictures
from plantain.runs.io import IMAGES, INTERVENTIONS, RunError
from plantain.runs.run import Run


@dataclass(frozen=True)
class Attached:
    """What is attached to a run.

    Attributes
    ----------
    files : dict of str to bytes
        By paths in the run's folder.
    interventions : tuple of Interventions
    pictures : PictureSettings or None
    """

    files: dict[str, bytes] = field(default_factory=dict, repr=False)
    interventions: tuple[Interventions, ...] = ()
    pictures: PictureSettings | None = None


NOTHING_ATTACHED = Attached()


def attached_to(run: Run, folder: Path | None = None) -> Attached:
    """Read what is attached to a run; every file is checked.

    Parameters
    ----------
    run : Run
    folder : Path, optional
        Of the run; where it was read from unless given. A run in memory has nothing attached.

    Raises
    ------
    RunError
        A picture or an intervention is damaged, or is not this run's.
    """
    folder = folder or run.folder
    if folder is None:
        return Attached()
    files, interventions = picture_files(folder, run.info), read_interventions(folder, run)
    for found in interventions:
        for path in result_files(found.info.asked.name):
            files[path] = (folder / path).read_bytes()
    return Attached(files, interventions, read_pictures(folder, run.info))


def attached_files(run: Run, folder: Path | None = None) -> dict[str, bytes]:
    """Return the files of `attached_to` alone."""
    return attached_to(run, folder).files


def result_files(name: str) -> tuple[str, str]:
    """Return the paths of an intervention's two files in a run's folder."""
    return f"{INTERVENTIONS}/{name}.safetensors", f"{INTERVENTIONS}/{name}.json"


def write_attached(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write what is attached into a run's folder, the files that name others last; pictures come as a whole.

    Raises
    ------
    RunError
        It cannot be written.
    """
    try:
        for path in sorted(files, key=lambda path: path.endswith(".json")):
            (folder / path).parent.mkdir(exist_ok=True)
            write_atomic(folder / path, files[path])
        if f"{IMAGES}/{SETTINGS}" in files:  # pictures that it does not name are of settings that are gone
            for picture in (folder / IMAGES).glob("*.webp"):
                if f"{IMAGES}/{picture.name}" not in files:
                    picture.unlink()
    except OSError as error:
        raise RunError(f"{folder}: cannot be written ({error.strerror}).") from error
