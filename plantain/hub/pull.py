"""Published runs come from the Hub. What a stranger published is checked before anything of it is shown.

Only run.json and the capture are fetched; everything else that belongs to a run is computed from them, here.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
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

_LEADS_OUT = re.compile(r"(^|[/\\])\.\.([/\\]|$)|^[/\\]|^[A-Za-z]:|[\x00-\x1f\x7f]")

PATIENCE = 15.0  # seconds at the start of the app; a page that waits longer looks broken

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
    with_statistics: bool = True,
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
    with_statistics : bool
        Save a run anew with its statistics; otherwise only its two files come, and statistics are computed on use.
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
    HubError
        There is no published run in it, or the folder cannot be written.
    """
    base, folder = remote.base(revision), Path(folder)
    offered, found = _offered(remote.files(base))
    if not offered and not found:
        raise HubError(f"{remote.repo_id}: has no published runs (no {RUNS}/NAME/{RUN_JSON}).")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HubError(f"{folder}: cannot be written ({error.strerror}).") from error
    for done, (name, files) in enumerate(sorted(offered.items())):
        if progress is not None:
            progress(done, len(offered))
        found.append(_pull(remote, base, files, folder / name, overwrite, with_statistics))
    return sorted(found, key=lambda pulled: pulled.name)


def _offered(files: dict[str, Any]) -> tuple[dict[str, dict[str, Any]], list[Pulled]]:
    """Sort a repository's files into runs, and into what is refused by its path or number."""
    offered: dict[str, dict[str, Any]] = {}
    refused = []
    for path, about in files.items():
        if _LEADS_OUT.search(path):
            refused.append(Pulled(ascii(path)[:200], REFUSED, "its path leads out of the folder"))
        elif found := _RUN_FILE.fullmatch(path):
            offered.setdefault(found[1], {})[found[2]] = about
    total = 0
    for number, name in enumerate(sorted(offered), 1):
        total += sum(about.size or 0 for about in offered[name].values())
        if number > MOST_RUNS or total > MOST_BYTES:
            del offered[name]
            refused.append(
                Pulled(name, REFUSED, f"no more than {MOST_RUNS} runs of together {MOST_BYTES:,} bytes are taken")
            )
    return offered, refused


def _pull(
    remote: Remote, base: Base, files: dict[str, Any], folder: Path, overwrite: bool, with_statistics: bool
) -> Pulled:
    """Fetch and check one run, and put it where it belongs. Whatever is wrong with it concerns it alone."""
    name = folder.name
    if _is_here(folder, files):
        return Pulled(name, SAME)
    with TemporaryDirectory(prefix="plantain-") as work:
        fetched = Path(work) / name
        try:
            _fetch(remote, base, files, fetched)
            run = load_run(fetched)
            if _is_same(run, folder):
                return Pulled(name, SAME)
            if with_statistics:
                save_run(run, folder, overwrite)
            else:
                with replace_folder(folder, partial(check_target, folder, overwrite)) as new:
                    shutil.copytree(fetched, new, dirs_exist_ok=True)
        except HubError:
            raise
        except Exception as error:  # a stranger's file, which no check foresaw
            if isinstance(error.__cause__ or error, OSError):  # a full disk is no fault of the run
                raise HubError(f"{folder}: cannot be written ({error}).") from error
            reason = str(error) if isinstance(error, PlantainError) else f"it cannot be read ({type(error).__name__})"
            return Pulled(name, REFUSED, printable(reason.replace(f"{work}{os.sep}", "")))
    return Pulled(name, NEW)


def _fetch(remote: Remote, base: Base, files: dict[str, Any], folder: Path) -> None:
    """Download a run's two files into a new folder, once their sizes are allowed, and check them by their hashes."""
    for part in (RUN_JSON, CAPTURE):
        if part not in files:
            raise RunError(f"{part} is missing")
        size, most = files[part].size, LARGEST[part]
        if size > most:
            raise RunError(f"{part} has {size:,} bytes; at most {most:,} bytes are taken")
    folder.mkdir()
    for part, about in files.items():
        content = remote.read(f"{RUNS}/{folder.name}/{part}", base)
        if content is None or not is_content(content, about):
            raise RunError(f"{part} is not what the Hub says it is (its hash differs)")
        (folder / part).write_bytes(content)


def _is_here(folder: Path, files: dict[str, Any]) -> bool:
    """Tell whether both files are here as the Hub has them, so that nothing need be fetched."""
    try:
        return all(is_content((folder / part).read_bytes(), files[part]) for part in (RUN_JSON, CAPTURE))
    except (OSError, KeyError):
        return False


def _is_same(run: Run, folder: Path) -> bool:
    """Tell whether the run that has the name here is the same one."""
    try:
        here = load_run(folder)
    except RunError:  # there is none, or it cannot be read
        return False
    return (here.capture_sha256, here.info, here.pairs) == (run.capture_sha256, run.info, run.pairs)


# --- at the start of the app -------------------------------------------------------------------------------


def bring_runs(repo_id: str) -> tuple[Path, list[str]]:
    """Pull the runs of a repository into a folder of the hub library's cache, and wait `PATIENCE` for them.

    What arrives later is shown at the next start.

    Parameters
    ----------
    repo_id : str
        OWNER/NAME.

    Returns
    -------
    folder : Path
        With the runs that were brought now and at earlier starts.
    notices : list of str
        What went wrong, in sentences.
    """
    folder = Path(constants.HF_HOME) / "plantain" / re.sub(r"[^A-Za-z0-9._-]", "-", repo_id.replace("/", "--"))
    notices: list[str] = []

    def bring() -> None:
        try:
            notices.extend(_brought(repo_id, folder))
        except Exception as error:  # the thread must not die without a word
            said = str(error) if isinstance(error, PlantainError) else f"({type(error).__name__})"
            notices.append(f"Published runs were not brought. {said} {_EARLIER}")

    thread = threading.Thread(target=bring, name="published runs", daemon=True)
    thread.start()
    thread.join(PATIENCE)
    if thread.is_alive():
        notices.append(f"Not all runs that are published in {repo_id} came within {PATIENCE:g} s. {_EARLIER}")
    return folder, list(notices)


_EARLIER = "Shown are those that are here; the next start of the app tries again."


def _brought(repo_id: str, folder: Path) -> list[str]:
    """Pull, take away what is no longer published, and return what there is to say."""
    found = pull_runs(Remote(repo_id), folder, overwrite=True, with_statistics=False)
    offered = {pulled.name: pulled for pulled in found}
    for path in folder.iterdir():
        if not path.name.startswith(".") and path.name not in offered:
            shutil.rmtree(path, ignore_errors=True)
    refused = [(p, " as it is now, but as it was" * (folder / p.name).exists()) for p in found if p.state == REFUSED]
    return [f"The run “{p.name}”, published in {repo_id}, is not shown{kept}: {p.reason}" for p, kept in refused]
