"""Published runs come from the Hub. What a stranger published is checked before anything of it is shown.

`pull_runs`   the runs of a repository into a folder, one by one; what is wrong with one does not stop the others

Only run.json and the capture are fetched. What else belongs to a run is computed from them, here.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plantain import PlantainError
from plantain.hub.errors import HubError
from plantain.hub.publish import RUNS
from plantain.hub.remote import Base, Remote, is_content
from plantain.results import CAPTURE, LARGEST, RUN_JSON, Run, RunError, load_run, save_run

MOST_RUNS = 100
_RUN_FILE = re.compile(rf"{RUNS}/([A-Za-z0-9_][A-Za-z0-9._-]{{0,79}})/({re.escape(RUN_JSON)}|{re.escape(CAPTURE)})")
_ESCAPES = re.compile(r"(^|[/\\])\.\.([/\\]|$)|^[/\\]|^[A-Za-z]:|[\x00-\x1f\x7f]")

NEW, SAME, REFUSED = "new", "same", "refused"


@dataclass(frozen=True)
class Pulled:
    """What became of one published run: ``new``, ``same`` (it is here already) or ``refused``, with the reason."""

    name: str
    state: str
    reason: str = ""


def pull_runs(
    remote: Remote,
    folder: str | Path,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> list[Pulled]:
    """Bring a repository's runs into a folder.

    Parameters
    ----------
    remote : Remote
    folder : path
        Of runs; made where it does not exist.
    overwrite : bool
        Replace a run that is here under the same name with another content.
    progress : callable, optional
        Told ``(done, total)`` runs.

    Returns
    -------
    list of Pulled
        A line a run, and a line a path that is refused, in the order of names.

    Raises
    ------
    HubError, HubTroubleError
        The repository cannot be read at all. What was brought before stays.
    PullError
        There is no published run in it, or the folder cannot be written.
    """
    base = remote.base()
    offered, refused = _offered(remote.files(base))
    if not offered and not refused:
        raise PullError(f"{remote.repo_id}: has no published runs (no {RUNS}/NAME/{RUN_JSON}).")
    found = list(refused)
    with _workplace(Path(folder)) as work:
        for done, (name, files) in enumerate(sorted(offered.items())):
            if progress is not None:
                progress(done, len(offered))
            found.append(_pull(remote, base, name, files, (work, Path(folder)), overwrite))
    return sorted(found, key=lambda pulled: pulled.name)


class PullError(PlantainError, RuntimeError):
    """Runs cannot be brought here."""


@contextmanager
def _workplace(folder: Path) -> Iterator[Path]:
    """Make a folder beside the runs, which nobody reads, and take it away at the end."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".pull-", dir=folder))
    except OSError as error:
        raise PullError(f"{folder}: cannot be written ({error.strerror}).") from error
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _offered(files: dict[str, Any]) -> tuple[dict[str, dict[str, Any]], list[Pulled]]:
    """Sort a repository's files into runs, and into what is refused by its path or number."""
    offered: dict[str, dict[str, Any]] = {}
    refused = []
    for path, about in files.items():
        if _ESCAPES.search(path):
            refused.append(Pulled(ascii(path), REFUSED, "its path leads out of the folder"))
        elif found := _RUN_FILE.fullmatch(path):
            offered.setdefault(found[1], {})[found[2]] = about
    for name in sorted(offered)[MOST_RUNS:]:
        del offered[name]
        refused.append(Pulled(name, REFUSED, f"more than {MOST_RUNS} runs are not taken"))
    return offered, refused


def _pull(
    remote: Remote, base: Base, name: str, files: dict[str, Any], places: tuple[Path, Path], overwrite: bool
) -> Pulled:
    """Fetch and check one run, and put it where it belongs."""
    work, folder = places
    try:
        run = _fetched(remote, base, name, files, work)
        there = _here(folder / name)
        if there is not None and (there.capture_sha256, there.info) == (run.capture_sha256, run.info):
            return Pulled(name, SAME)
        save_run(run, folder / name, overwrite)
    except HubError:
        raise
    except PlantainError as error:
        return Pulled(name, REFUSED, str(error))
    return Pulled(name, NEW)


def _here(folder: Path) -> Run | None:
    """Return the run that has the name here; None where there is none, or none that can be read."""
    try:
        return load_run(folder)
    except RunError:
        return None


def _fetched(remote: Remote, base: Base, name: str, files: dict[str, Any], work: Path) -> Run:
    """Download a run's files, hold them against their hashes, and read it."""
    missing = [part for part in (RUN_JSON, CAPTURE) if part not in files]
    if missing:
        raise PullError(f"{missing[0]} is missing")
    for part, about in files.items():
        if about.size is None or about.size > LARGEST[part]:
            raise PullError(f"{part} has {about.size or 'an unknown number of'} bytes, more than {LARGEST[part]:,}")
    run_folder = work / uuid.uuid4().hex / name
    run_folder.mkdir(parents=True)
    for part, about in files.items():
        path = Path(remote.download(f"{RUNS}/{name}/{part}", base, str(work / "cache")))
        content = path.read_bytes()
        if not is_content(content, about):
            raise PullError(f"{part} is not what the Hub says it is (its hash differs)")
        (run_folder / part).write_bytes(content)
    return load_run(run_folder)
