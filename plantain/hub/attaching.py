"""A published run's pictures and interventions, which are a stranger's: checked, and left out where they do not fit.

What does not fit never keeps the run itself out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from plantain import PlantainError
from plantain.hub.errors import HubError
from plantain.runs.attached import attached_files, result_files, write_attached
from plantain.runs.attached.interventions import LARGEST_ARRAYS, LARGEST_JSON, MOST_RESULTS, read_interventions
from plantain.runs.attached.pictures import (
    LARGEST,
    LARGEST_OF_ALL,
    LARGEST_SETTINGS,
    SETTINGS,
    Picture,
    picture_bytes,
    read_pictures,
    read_settings,
    taken,
)
from plantain.runs.io import IMAGES, INTERVENTIONS, RunError
from plantain.runs.run import Run

_SETTINGS = f"{IMAGES}/{SETTINGS}"


class Attaching:
    """Brings what is attached to one published run.

    Parameters
    ----------
    fetch : callable
        Takes a path in the run's folder and what the Hub says of it; returns the content, checked by its hash.
    files : mapping of str to Any
        What the Hub says of every file of the run, by path in its folder.
    place : Path
        Of the run, which stands there already.
    overwrite : bool
        Replace pictures and interventions that are here and are others.
    """

    def __init__(
        self, fetch: Callable[[str, Any], bytes], files: Mapping[str, Any], place: Path, overwrite: bool
    ) -> None:
        self._fetch, self._files, self._place, self._overwrite = fetch, files, place, overwrite
        self._left_out: list[str] = []

    def bring(self, run: Run) -> tuple[bool, list[str]]:
        """Bring what the run lacks.

        Returns
        -------
        brought : bool
        left_out : list of str
            What was left out, and why.

        Raises
        ------
        HubError
            The Hub refuses or fails, or the folder cannot be written.
        """
        offered = [(IMAGES, self._pictures), (INTERVENTIONS, self._interventions)]
        wanted: dict[str, bytes] = {}
        for kind, take in offered:
            if not any(path.startswith(f"{kind}/") for path in self._files):
                continue
            found = self._guarded(f"its {kind}", lambda take=take: take(run))
            if found and self._guarded(f"its {kind}", lambda kind=kind, found=found: self._is_new(run, kind, found)):
                wanted |= found
        if wanted:
            try:
                write_attached(self._place, wanted)
            except RunError as error:
                raise HubError(str(error)) from error
        return bool(wanted), self._left_out

    def _guarded(self, what: str, do: Callable[[], Any]) -> Any:
        """Do something with a stranger's files; what is wrong with them is told, and None comes of it."""
        try:
            return do()
        except HubError:
            raise
        except Exception as error:  # a stranger's file, which no check foresaw
            if isinstance(error.__cause__ or error, OSError):  # a full disk is no fault of the run
                raise HubError(f"{self._place}: cannot be written ({error}).") from error
            known = isinstance(error, PlantainError | ValueError)
            self._left_out.append(f"{what} ({error if known else type(error).__name__})")
            return None

    def _is_new(self, run: Run, kind: str, found: Mapping[str, bytes]) -> bool:
        """Tell whether there is something to bring; refuse to take other files away."""
        here = {path: content for path, content in _standing(run, self._place).items() if path.startswith(f"{kind}/")}
        # The settings of pictures follow from them.
        mine, theirs = ({path: c for path, c in files.items() if path != _SETTINGS} for files in (here, found))
        if theirs.items() <= mine.items():
            return False
        changed = {path for path in mine if mine[path] != theirs.get(path)}
        goes = changed if kind == IMAGES else changed & theirs.keys()  # pictures come as a whole
        if goes and not self._overwrite:
            raise ValueError("there are others here; --overwrite takes the published ones")
        return True

    # --- pictures

    def _pictures(self, run: Run) -> dict[str, bytes]:
        about = {path: self._files[path] for path in self._files if path.startswith(f"{IMAGES}/")}
        if _SETTINGS not in about:
            raise ValueError(f"{SETTINGS} is missing")
        _check_size(_SETTINGS, about[_SETTINGS], LARGEST_SETTINGS)
        if sum(one.size or 0 for one in about.values()) > LARGEST_OF_ALL + LARGEST_SETTINGS:
            raise ValueError(f"they have more than {LARGEST_OF_ALL:,} bytes")
        settings = read_settings(self._fetch(_SETTINGS, about[_SETTINGS]), run.info)

        def read(file: str) -> bytes:
            path = f"{IMAGES}/{file}"
            if path not in about:
                raise ValueError("is missing")
            _check_size("it", about[path], LARGEST)
            return self._fetch(path, about[path])

        refused: list[str] = []
        found = taken(settings, read, _pictures_here(run, self._place), refused)
        if refused:
            more = f" and {len(refused) - 1} more" if len(refused) > 1 else ""
            self._left_out.append(f"of its pictures {refused[0]}{more}")
        return found

    # --- interventions

    def _interventions(self, run: Run) -> dict[str, bytes]:
        names = sorted({Path(path).stem for path in self._files if path.startswith(f"{INTERVENTIONS}/")})
        if len(names) > MOST_RESULTS:
            raise ValueError(f"there are {len(names)}, at most {MOST_RESULTS} are taken")
        found: dict[str, bytes] = {}
        for name in names:
            found |= self._guarded(f"its intervention {name}", lambda name=name: self._intervention(run, name)) or {}
        return found

    def _intervention(self, run: Run, name: str) -> dict[str, bytes]:
        files: dict[str, bytes] = {}
        for path, most in zip(result_files(name), (LARGEST_ARRAYS, LARGEST_JSON), strict=True):
            if path not in self._files:
                raise ValueError(f"{path} is missing")
            _check_size(path, self._files[path], most)
        for path in result_files(name):
            files[path] = self._fetch(path, self._files[path])
        with TemporaryDirectory(prefix="plantain-") as work:
            write_attached(Path(work), files)
            try:
                read_interventions(work, run)
            except RunError as error:
                raise ValueError(str(error).replace(work, "").lstrip("/\\")) from None
        return files


def _check_size(path: str, about: Any, most: int) -> None:
    if about.size is not None and about.size > most:
        raise ValueError(f"{path} has {about.size:,} bytes; at most {most:,} bytes are taken")


def _standing(run: Run, place: Path) -> dict[str, bytes]:
    """Return what is attached here; nothing where that cannot be read."""
    try:
        return attached_files(run, place)
    except RunError:
        return {}


def _pictures_here(run: Run, place: Path) -> dict[str, tuple[Picture, bytes]]:
    """Return the pictures that are here, by file; they need not be fetched again."""
    try:
        settings = read_pictures(place, run.info)
        return {one.file: (one, picture_bytes(place, one)) for one in settings.pictures} if settings else {}
    except RunError:
        return {}
