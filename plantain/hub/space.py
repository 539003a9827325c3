"""The Space, made of the working tree: the files that it needs, in one commit."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path

from plantain._files import CHECKOUT
from plantain.hub.errors import HubError
from plantain.hub.publish import COMMITTED, CREATED, NOTHING, Outcome
from plantain.hub.repo import Remote
from plantain.runs.io import list_runs

ROOT = CHECKOUT

README = "README.md"

FILES = ("app.py", "requirements.txt", README, "LICENSE", "PREREGISTRATION.md")

PICTURE = "plantain/ui/static/share.png"

RUNS_FOLDER = "precomputed"

ZERO_GPU = "zero-a10g"  # the hardware's name for the Hub, whatever card it is by now

ENDINGS = {
    "plantain": (".py", ".css", ".js", ".html", ".json", ".ttf", ".license", ".png", ".svg"),
    "prompts": (".toml", ".csv"),
    "docs": (".md", ".png"),
    RUNS_FOLDER: (".json", ".safetensors", ".csv", ".webp"),
    "models/picture-book": (".json", ".safetensors", ".jinja", ".md"),
}  # by folder; of everything else that lies there nothing is sent

_TITLE = "plantain: the working tree"


def space_files(root: Path = ROOT) -> dict[str, bytes]:
    """Read what the Space needs, and no other file of the working tree; nothing that git ignores.

    Returns
    -------
    dict of str to bytes
        Contents by path.

    Raises
    ------
    HubError
        A file is missing or cannot be read, or a saved run is damaged.
    """
    if not (root / FILES[0]).is_file():
        raise HubError("The Space is made of a checkout of the project. Get one and run the command in its folder.")
    runs, damaged = list_runs(root / RUNS_FOLDER)
    if damaged:
        raise HubError(f"{next(iter(damaged.values()))} It would stand on the Space as damaged: mend it or move it.")
    shown, ignored = {"published.json", *runs}, _ignored(root)
    paths = [root / name for name in FILES]
    for folder, endings in ENDINGS.items():
        found = (p for p in sorted((root / folder).rglob("*")) if p.suffix in endings and _is_plain(p, root))
        found = (p for p in found if p.relative_to(root).as_posix() not in ignored)
        paths += [p for p in found if folder != RUNS_FOLDER or p.relative_to(root / folder).parts[0] in shown]
    try:
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}
    except OSError as error:
        raise HubError(f"{error.filename}: cannot be read ({error.strerror}).") from error


def settle_space(space: Remote, variables: dict[str, str], repositories: list[Remote], zero_gpu: bool) -> list[str]:
    """Settle what a Space has beside its files.

    Parameters
    ----------
    space : Remote
    variables : dict of str to str
        Of its environment.
    repositories : list of Remote
        That it publishes to; they are created where there are none.
    zero_gpu : bool
        Choose ZeroGPU for it.

    Returns
    -------
    list of str
        What was done, in sentences. That ZeroGPU is refused is one of them: everything else holds without it.

    Raises
    ------
    HubError
        The Hub refuses a variable or a repository.
    """
    done = []
    for repository in repositories:
        if repository.base_or_created(create=True)[1]:
            done.append(f"{repository.repo_id} was created, for everyone to see: published runs go there.")
    if variables and space.set_variables(variables):
        done.append(f"Its environment has: {', '.join(f'{name}={value}' for name, value in variables.items())}.")
    if zero_gpu:
        try:
            space.choose_hardware(ZERO_GPU)
            done.append("It runs on ZeroGPU.")
        except HubError as error:
            done.append(f"ZeroGPU was not chosen; choose it in the Space's settings. {error}")
    return done


def _ignored(root: Path) -> set[str]:
    """List the files that git keeps out of the tree; none where the tree has no git."""
    if not (root / ".git").exists():  # git would look further up, at somebody else's rules
        return set()
    command = ["git", "-C", str(root), "ls-files", "--others", "--ignored", "--exclude-standard", "-z", "--", *ENDINGS]
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, check=True, timeout=60)
        return set(os.fsdecode(done.stdout).split("\0"))
    return set()


def _is_plain(path: Path, root: Path) -> bool:
    """Tell whether a path is a file inside the tree that no name hides."""
    hidden = any(part.startswith((".", "__pycache__")) for part in path.relative_to(root).parts)
    return path.is_file() and not path.is_symlink() and not hidden


def with_thumbnail(readme: bytes, repo_id: str) -> bytes:
    """Name the picture that a link to the Space shows elsewhere, in the front matter of its README."""
    line = f"thumbnail: https://huggingface.co/spaces/{repo_id}/resolve/main/{PICTURE}\n"
    return readme.replace(b"---\n", b"---\n" + line.encode(), 1) if readme.startswith(b"---\n") else readme


def push_space(remote: Remote, files: dict[str, bytes], create: bool = False, private: bool = False) -> Outcome:
    """Bring a Space to the state of the given files, in one commit.

    Parameters
    ----------
    remote : Remote
        Of type ``space``.
    files : dict of str to bytes
        From `space_files`.
    create, private : bool
        Create the Space where there is none; so that only its owner sees it.

    Returns
    -------
    Outcome

    Raises
    ------
    HubError
        There is no such Space and `create` is not set, or the Hub refuses.
    HubTroubleError
        The Hub fails, or someone changed the Space between reading and writing; nothing is overwritten.
    """
    remote.account()  # a wrong token is told before anything is read
    base, created = remote.base_or_created(create, space_sdk="gradio", private=private)
    files = {name: with_thumbnail(held, remote.repo_id) if name == README else held for name, held in files.items()}
    ours = tuple(f"{folder}/" for folder in ENDINGS)
    there = [path for path in remote.files(base) if path.startswith(ours) and path not in files]
    kept = tuple(path for path in there if path.startswith(f"{RUNS_FOLDER}/"))
    gone = tuple(path for path in there if path not in kept)
    remarks = (f"Taken away, since they are not here: {', '.join(gone)}.",) if gone else ()
    if kept:
        remarks += (f"Runs that are on the Space only were left there: {', '.join(kept)}.",)
    changed = remote.differing(files, base)
    if not changed and not gone:
        return Outcome(NOTHING, remote.url, remarks)
    remote.send(base, _TITLE, changed, deleted=gone)
    return Outcome(CREATED if created else COMMITTED, remote.url, remarks)
