"""Published runs come from the Hub. What a stranger published is checked before anything of it is shown.

`pull_runs`     the runs of a repository into a folder, one by one; what is wrong with one does not stop the others
`put_as_it_is`  for `pull_runs`: nothing is computed yet

Only run.json and the capture are fetched. What else belongs to a run is computed from them, here.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from huggingface_hub import constants

from plantain import PlantainError
from plantain._files import printable, replace_folder
from plantain.hub.errors import HubError
from plantain.hub.repo import MAIN, RUNS, Base, Remote, is_content
from plantain.runs.io import CAPTURE, LARGEST, RUN_JSON, RunError, check_target, load_run, save_run
from plantain.runs.run import Run

MOST_RUNS, MOST_BYTES = 100, 2 << 30

_RUN_FILE = re.compile(rf"{RUNS}/([A-Za-z0-9_][A-Za-z0-9._-]{{0,79}})/({re.escape(RUN_JSON)}|{re.escape(CAPTURE)})")

_ESCAPES = re.compile(r"(^|[/\\])\.\.([/\\]|$)|^[/\\]|^[A-Za-z]:|[\x00-\x1f\x7f]")


_WORK = ".pull-"


NEW, SAME, REFUSED = "new", "same", "refused"


@dataclass(frozen=True)
class Pulled:
    """What became of one published run: ``new``, ``same`` (it is here already) or ``refused``, with the reason."""

    name: str
    state: str
    reason: str = ""


Put = Callable[[Run, Path, Path, bool], None]
"""(a checked run, the folder with its two files, the folder that it shall have, whether one there is replaced)"""


def pull_runs(
    remote: Remote,
    folder: str | Path,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
    put: Put | None = None,
    revision: str = MAIN,
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
    put : callable, optional
        Put a checked run where it belongs; by default it is saved anew, with its statistics.
    revision : str
        A branch, or ``refs/pr/N``: a pull request can be looked at before it is merged.

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
    base = remote.base(revision)
    offered, refused = _offered(remote.files(base))
    if not offered and not refused:
        raise PullError(f"{remote.repo_id}: has no published runs (no {RUNS}/NAME/{RUN_JSON}).")
    found = list(refused)
    with _workplace(Path(folder)) as work:
        for done, (name, files) in enumerate(sorted(offered.items())):
            if progress is not None:
                progress(done, len(offered))
            found.append(_pull(_Fetch(remote, base, work), name, files, Path(folder) / name, overwrite, put or _save))
    return sorted(found, key=lambda pulled: pulled.name)


def _save(run: Run, _files: Path, folder: Path, overwrite: bool) -> None:
    save_run(run, folder, overwrite)


def put_as_it_is(_run: Run, files: Path, folder: Path, overwrite: bool) -> None:
    """Move a run's two files into place; its statistics are computed when they are asked for."""
    with replace_folder(folder, partial(check_target, folder, overwrite)) as new:
        for path in files.iterdir():
            path.rename(new / path.name)


class PullError(PlantainError, RuntimeError):
    """Runs cannot be brought here."""


@contextmanager
def _workplace(folder: Path) -> Iterator[Path]:
    """Make a folder beside the runs, which nobody reads, and take it away at the end."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f"{_WORK}*"):  # by a process that was killed
            if time.time() - left.stat().st_mtime > 86_400:
                shutil.rmtree(left, ignore_errors=True)
        work = Path(tempfile.mkdtemp(prefix=_WORK, dir=folder))
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
            refused.append(Pulled(ascii(path)[:200], REFUSED, "its path leads out of the folder"))
        elif found := _RUN_FILE.fullmatch(path):
            offered.setdefault(found[1], {})[found[2]] = about
    total = 0
    for number, name in enumerate(sorted(offered), 1):
        total += sum(about.size or 0 for about in offered[name].values())
        if number > MOST_RUNS or total > MOST_BYTES:
            del offered[name]
            words = f"no more than {MOST_RUNS} runs of together {MOST_BYTES:,} bytes are taken"
            refused.append(Pulled(name, REFUSED, words))
    return offered, refused


@dataclass(frozen=True)
class _Fetch:
    """Where files come from, and where they are put until they are checked."""

    remote: Remote
    base: Base
    work: Path


def _pull(fetch: _Fetch, name: str, files: dict[str, Any], folder: Path, overwrite: bool, put: Put) -> Pulled:
    """Fetch and check one run, and put it where it belongs. Whatever is wrong with it concerns it alone."""
    try:
        if _is_here(folder, files):
            return Pulled(name, SAME)
        fetched = _fetched(fetch, name, files)
        run, there = load_run(fetched), _here(folder)
        if there is not None and _facts(there) == _facts(run):
            return Pulled(name, SAME)
        put(run, fetched, folder, overwrite)
    except HubError:
        raise
    except Exception as error:  # a stranger's file, which no check foresaw
        if isinstance(error.__cause__ or error, OSError):  # a full disk is no fault of the run
            raise PullError(f"{folder}: cannot be written ({error}).") from error
        known = isinstance(error, PlantainError)
        reason = str(error) if known else f"it cannot be read ({type(error).__name__})"
        return Pulled(name, REFUSED, printable(reason.replace(f"{fetch.work}{os.sep}", "")))
    return Pulled(name, NEW)


def _is_here(folder: Path, files: dict[str, Any]) -> bool:
    """Tell whether both files are here as the Hub has them, so that nothing need be fetched."""
    try:
        return all(is_content((folder / part).read_bytes(), files[part]) for part in (RUN_JSON, CAPTURE))
    except (OSError, KeyError):
        return False


def _here(folder: Path) -> Run | None:
    """Return the run that has the name here; None where there is none, or none that can be read."""
    try:
        return load_run(folder)
    except RunError:
        return None


def _facts(run: Run) -> tuple[Any, ...]:
    return run.capture_sha256, run.info, run.pairs


def _fetched(fetch: _Fetch, name: str, files: dict[str, Any]) -> Path:
    """Download a run's two files and hold them against their hashes; return the folder with them."""
    missing = [part for part in (RUN_JSON, CAPTURE) if part not in files]
    if missing:
        raise PullError(f"{missing[0]} is missing")
    for part, about in files.items():
        if about.size is None or about.size > LARGEST[part]:
            size = "an unknown size" if about.size is None else f"{about.size:,} bytes"
            raise PullError(f"{part} has {size}; at most {LARGEST[part]:,} bytes are taken")
    folder = fetch.work / name
    folder.mkdir()
    for part, about in files.items():
        path = fetch.remote.download(f"{RUNS}/{name}/{part}", fetch.base, str(fetch.work / "cache"))
        content = Path(path).read_bytes()
        if not is_content(content, about):
            raise PullError(f"{part} is not what the Hub says it is (its hash differs)")
        (folder / part).write_bytes(content)
    return folder


PATIENCE = 15.0  # seconds; a page that waits longer looks broken


def bring_runs(repo_id: str, patience: float = PATIENCE) -> tuple[Path, list[str]]:
    """Pull the runs of a repository into a folder of the hub library's cache.

    Parameters
    ----------
    repo_id : str
        OWNER/NAME.
    patience : float
        Seconds to wait; what arrives later is there at the next start.

    Returns
    -------
    folder : Path
        With the runs that were brought now and at earlier starts.
    notices : list of str
        What went wrong, in sentences.
    """
    folder = Path(constants.HF_HOME) / "plantain" / re.sub(r"[^A-Za-z0-9._-]", "-", repo_id.replace("/", "--"))
    notices: list[str] = []
    finished = threading.Event()

    def bring() -> None:
        try:
            notices.extend(_brought(repo_id, folder))
        except PlantainError as error:
            notices.append(f"Published runs were not brought. {error} {_EARLIER}")
        except Exception as error:  # the thread must not die without a word
            notices.append(f"Published runs were not brought ({type(error).__name__}). {_EARLIER}")
        finally:
            finished.set()

    threading.Thread(target=bring, name="published runs", daemon=True).start()
    if not finished.wait(patience):
        notices.append(f"Not all runs that are published in {repo_id} came within {patience:g} s. {_EARLIER}")
    return folder, list(notices)


_EARLIER = "Shown are those that are here; the next start of the app tries again."


def _brought(repo_id: str, folder: Path) -> list[str]:
    """Pull, take away what is no longer published, and return what there is to say."""
    found = pull_runs(Remote(repo_id), folder, overwrite=True, put=put_as_it_is)
    offered = {pulled.name: pulled for pulled in found}
    for path in folder.iterdir():
        if not path.name.startswith(".") and path.name not in offered:
            shutil.rmtree(path, ignore_errors=True)
    refused = [pulled for pulled in found if pulled.state == REFUSED]
    where = f"published in {repo_id}, is not shown"
    return [f"The run “{p.name}”, {where}{_instead(folder / p.name)}: {p.reason}" for p in refused]


def _instead(folder: Path) -> str:
    return " as it is now, but as it was" if folder.exists() else ""
