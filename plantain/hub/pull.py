"""Published runs come from the Hub. What a stranger published is checked before anything of it is shown.

Of a run, run.json, the capture and the directions are fetched, and what is attached to it: pictures, which are packed
anew, and interventions. Everything else that belongs to a run is computed from them, here.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from huggingface_hub import constants

from plantain import PlantainError
from plantain._files import printable, replace_folder
from plantain.hub.attaching import Attaching
from plantain.hub.errors import HubError
from plantain.hub.repo import MAIN, RUNS, Base, Remote, is_content
from plantain.runs.arrivals import Arrivals
from plantain.runs.attached import attached_files, write_attached
from plantain.runs.attached.interventions import NAME
from plantain.runs.attached.pictures import PICTURE_FILE, SETTINGS
from plantain.runs.io import (
    CAPTURE,
    DIRECTIONS,
    IMAGES,
    INTERVENTIONS,
    LARGEST,
    RUN_JSON,
    RunError,
    check_target,
    load_run,
    save_run,
)
from plantain.runs.run import Run

MOST_RUNS, MOST_BYTES = 100, 2 << 30

_ATTACHED = "|".join((
    f"{IMAGES}/{re.escape(SETTINGS)}", f"{IMAGES}/{PICTURE_FILE.pattern}",
    rf"{INTERVENTIONS}/{NAME.pattern}\.(?:json|safetensors)",
))  # fmt: skip

_RUN_FILE = re.compile(
    rf"{RUNS}/([A-Za-z0-9_][A-Za-z0-9._-]{{0,79}})/({'|'.join(map(re.escape, LARGEST))}|{_ATTACHED})"
)

_LEADS_OUT = re.compile(r"(^|[/\\])\.\.([/\\]|$)|^[/\\]|^[A-Za-z]:|[\x00-\x1f\x7f]")

NEW, SAME, REFUSED = "new", "same", "refused"

_BEGUN = "begun"  # its run.json is there

Offered = dict[str, dict[str, Any]]
"""By a run's name and a file's: what the Hub says of it."""


@dataclass(frozen=True)
class Pulled:
    """What became of one published run: ``new``, ``same`` (it is here already) or ``refused``, with the reason.

    Of a run that was not refused, `left_out` says what of its pictures and interventions was, and why.
    """

    name: str
    state: str
    reason: str = ""
    left_out: str = ""


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
        Save a run anew with its statistics; otherwise only its own files come, and statistics are computed on use.
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
    _make(folder)
    pulling = _iter_pulled(remote, base, offered, folder, overwrite, with_statistics)
    for done, pulled in enumerate(pulling, 1):
        found.append(pulled)
        if progress is not None:
            progress(done, len(offered))
    return sorted(found, key=lambda pulled: pulled.name)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HubError(f"{folder}: cannot be written ({error.strerror}).") from error


def _offered(files: dict[str, Any]) -> tuple[Offered, list[Pulled]]:
    """Sort a repository's files into runs, and into what is refused by its path or number."""
    offered: Offered = {}
    refused = []
    for path, about in files.items():
        if _LEADS_OUT.search(path):
            refused.append(Pulled(ascii(path)[:200], REFUSED, "its path leads out of the folder"))
        elif found := _RUN_FILE.fullmatch(path):
            offered.setdefault(found[1], {})[found[2]] = about
    total = 0
    for number, name in enumerate(sorted(offered), 1):
        total += _n_bytes(offered[name])
        if number > MOST_RUNS or total > MOST_BYTES:
            del offered[name]
            refused.append(
                Pulled(name, REFUSED, f"no more than {MOST_RUNS} runs of together {MOST_BYTES:,} bytes are taken")
            )
    return offered, refused


def _iter_pulled(
    remote: Remote, base: Base, offered: Offered, folder: Path, overwrite: bool, with_statistics: bool
) -> Iterator[Pulled]:
    """Bring runs one by one: what is here already first, then the small ones.

    The run.json of all comes before any capture, so that what is no run costs no more than that. Whatever is wrong
    with a run concerns it alone.
    """
    with TemporaryDirectory(prefix="plantain-") as work:

        def attempt(name: str, do: Callable[[], str | Pulled]) -> Pulled:
            try:
                done = do()
                return done if isinstance(done, Pulled) else Pulled(name, done)
            except HubError:
                raise
            except Exception as error:  # a stranger's file, which no check foresaw
                if isinstance(error.__cause__ or error, OSError):  # a full disk is no fault of the run
                    raise HubError(f"{folder / name}: cannot be written ({error}).") from error
                reason = str(error) if isinstance(error, PlantainError) else f"it cannot be read ({_kind(error)})"
                return Pulled(name, REFUSED, printable(reason.replace(f"{work}{os.sep}", "")))

        def begin(name: str) -> str:
            files, fetched = offered[name], Path(work) / name
            if _is_here(folder / name, files):
                return SAME if files.keys() <= LARGEST.keys() else _BEGUN
            _check_sizes(files)
            fetched.mkdir()
            _fetch(remote, base, fetched, RUN_JSON, files[RUN_JSON])
            return _BEGUN

        def finish(name: str) -> Pulled:
            state = bring(name) if (Path(work) / name).exists() else SAME
            attaching = Attaching(partial(_content, remote, base, name), offered[name], folder / name, overwrite)
            more, left_out = attaching.bring(load_run(folder / name))
            words = printable("; ".join(left_out))
            return Pulled(name, NEW if more else state, left_out=words)

        def bring(name: str) -> str:
            fetched = Path(work) / name
            for part in (CAPTURE, DIRECTIONS):
                if part in offered[name]:
                    _fetch(remote, base, fetched, part, offered[name][part])
            run, here = load_run(fetched), _standing(folder / name)
            same = here is not None and _facts(here) == _facts(run)
            if same and run.directions_sha256 in (None, here.directions_sha256):
                return SAME
            replace = overwrite or (same and here.directions is None)  # only what it lacks is brought
            attached = attached_files(here) if same else {}
            if with_statistics:
                save_run(run, folder / name, replace, attached)
            else:
                with replace_folder(folder / name, partial(check_target, folder / name, replace)) as new:
                    shutil.copytree(fetched, new, dirs_exist_ok=True)
                    write_attached(new, attached)
            return NEW

        begun = []
        for name in sorted(offered, key=lambda name: (_n_bytes(offered[name]), name)):
            pulled = attempt(name, partial(begin, name))
            if pulled.state == _BEGUN:
                begun.append(name)
            else:
                yield pulled
        for name in begun:
            yield attempt(name, partial(finish, name))


def _kind(error: Exception) -> str:
    return type(error).__name__


def _n_bytes(files: dict[str, Any]) -> int:
    return sum(about.size or 0 for about in files.values())


def _check_sizes(files: dict[str, Any]) -> None:
    for part in LARGEST:
        if part not in files:
            if part == DIRECTIONS:
                continue
            raise RunError(f"{part} is missing")
        size, most = files[part].size, LARGEST[part]
        if size > most:
            raise RunError(f"{part} has {size:,} bytes; at most {most:,} bytes are taken")


def _fetch(remote: Remote, base: Base, folder: Path, part: str, about: Any) -> None:
    """Download one file of a run into a new folder, and check it by its hash."""
    (folder / part).write_bytes(_content(remote, base, folder.name, part, about))


def _content(remote: Remote, base: Base, name: str, part: str, about: Any) -> bytes:
    """Download one file of a run, and check it by its hash."""
    content = remote.read(f"{RUNS}/{name}/{part}", base)
    if content is None or not is_content(content, about):
        raise RunError(f"{part} is not what the Hub says it is (its hash differs)")
    return content


def _is_here(folder: Path, files: dict[str, Any]) -> bool:
    """Tell whether a run's own files are here as the Hub has them, so that none of them need be fetched."""
    try:
        parts = {RUN_JSON, CAPTURE, *(files.keys() & LARGEST.keys())}
        return all(is_content((folder / part).read_bytes(), files[part]) for part in sorted(parts))
    except (OSError, KeyError):
        return False


def _standing(folder: Path) -> Run | None:
    """Return the run that has the name here; None where there is none, or it cannot be read."""
    try:
        return load_run(folder)
    except RunError:
        return None


def _facts(run: Run) -> tuple[Any, ...]:
    """Return what two runs have in common that are one, but for directions, which one of them may lack."""
    return run.capture_sha256, run.info, run.pairs


# --- for a page --------------------------------------------------------------------------------------------


class Published:
    """The runs of a repository as a page shows them: in a folder of the hub library's cache.

    Parameters
    ----------
    repo_id : str
        OWNER/NAME. No token is needed.

    Attributes
    ----------
    folder : Path
        With the runs that were brought now and at earlier starts.
    """

    def __init__(self, repo_id: str) -> None:
        self.repo_id = repo_id
        name = re.sub(r"[^A-Za-z0-9._-]", "-", repo_id.replace("/", "--"))
        self.folder = Path(constants.HF_HOME) / "plantain" / name
        self._seen: str | None = None

    def look(self, tell: Callable[[Arrivals], None]) -> None:
        """Bring what is new since the last look, and take away what is no longer published.

        Parameters
        ----------
        tell : callable
            Told how things stand at the beginning and after every run; not where the repository is as it was.

        Raises
        ------
        HubError, HubTroubleError
            What was brought before stays.
        """
        remote = Remote(self.repo_id)
        base = remote.base()
        if base.sha == self._seen:
            return
        offered, refused = _offered(remote.files(base))
        _make(self.folder)
        left, notices = set(offered), {pulled.name: self._notice(pulled) for pulled in refused}
        tell(Arrivals(self.folder, len(left), dict(notices)))
        for pulled in _iter_pulled(remote, base, offered, self.folder, overwrite=True, with_statistics=False):
            left.discard(pulled.name)
            if pulled.state == REFUSED or pulled.left_out:
                notices[pulled.name] = self._notice(pulled)
            if pulled.state != SAME:
                tell(Arrivals(self.folder, len(left), dict(notices)))
        for path in self.folder.iterdir():
            if not path.name.startswith(".") and path.name not in offered:
                shutil.rmtree(path, ignore_errors=True)
        self._seen = base.sha
        tell(Arrivals(self.folder, 0, notices))

    def _notice(self, refused: Pulled) -> str:
        if refused.left_out:
            return f"Of the run “{refused.name}”, published in {self.repo_id}, is not shown: {refused.left_out}."
        kept = " as it is now, but as it was" * (self.folder / refused.name).exists()
        return f"The run “{refused.name}”, published in {self.repo_id}, is not shown{kept}: {refused.reason}"
