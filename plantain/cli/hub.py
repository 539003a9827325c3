"""The commands that talk to the Hub: ``publish``, ``pull`` and ``space``."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plantain import UsageError
from plantain._files import printable
from plantain.cli.progress import bar

if TYPE_CHECKING:
    from plantain.hub.publish import Candidate, Outcome


_TOKEN = "The token is the hub library's own: log in with `hf auth login`, or set HF_TOKEN."


def add_commands(commands: Any) -> None:
    """Add the three commands to argparse's subparsers."""
    parser = commands.add_parser("publish", help="offer a run to a model card on the Hub", epilog=_TOKEN)
    add = parser.add_argument
    add("run", metavar="DIR", help="folder of a run; its name is the run's on the card")
    _add_repo(parser, "model repository with the card")
    control = "run of the untrained control (default: the shipped one on the same prompts)"
    add("--control", metavar="DIR", help=control)
    add("--no-pr", action="store_true", help="commit directly instead of opening a pull request")
    _add_create(parser, "repository")
    add("--dry-run", action="store_true", help="write what would be sent to DIR.publish, with the diff; no network")
    add("--card", metavar="FILE", help="with --dry-run: the card that it would go into")
    parser.set_defaults(command=_publish)

    parser = commands.add_parser("pull", help="bring published runs from the Hub", epilog=_TOKEN)
    add, runs = parser.add_argument, os.environ.get("PLANTAIN_RUNS") or "runs"
    _add_repo(parser, "repository with published runs")
    add("--into", metavar="DIR", default=runs, help="folder of runs (default: PLANTAIN_RUNS, else runs)")
    add("--revision", default="main", metavar="REV", help="refs/pr/N for what a pull request brings")
    add("--overwrite", action="store_true", help="replace runs that are here with other content")
    parser.set_defaults(command=_pull)

    parser = commands.add_parser("space", help="create or update the Space from these files", epilog=_TOKEN)
    _add_repo(parser, "the Space")
    _add_create(parser, "Space")
    parser.add_argument("--dry-run", action="store_true", help="list what would be sent; no network")
    parser.set_defaults(command=_space)


def _add_repo(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--repo-id", required=True, type=_repo_id, metavar="OWNER/NAME", help=what)


def _repo_id(text: str) -> str:
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(text)
        _owner, _name = text.split("/")
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no repository id; give OWNER/NAME") from error
    return text


def _add_create(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--create", action="store_true", help=f"create the {what} if there is none")
    parser.add_argument("--private", action="store_true", help="with --create: only its owner sees it")


def _publish(options: argparse.Namespace) -> None:
    from plantain.hub import publish

    if options.card and not options.dry_run:
        raise UsageError("--card goes with --dry-run: a publish reads the card from the Hub.")
    _check_private(options)
    candidate = publish.load_candidate(options.run, options.control)
    if options.dry_run:
        return _dry_run(options, candidate)
    _quiet_hub()
    remote = _remote(options.repo_id)
    remote.account()  # what cannot be sent is told before half a minute of statistics
    create = options.create or _asked_to_create(options.repo_id)
    if not create:
        remote.base_or_created(create=False)
    if sys.stderr.isatty():
        print("Computing the run's figures anew, half a minute at full size …", file=sys.stderr)
    offer = publish.make_offer(candidate, options.repo_id)
    outcome = publish.publish(remote, offer, not options.no_pr, create, options.private)
    words = {
        publish.NOTHING: "nothing changed, so nothing was sent",
        publish.OPENED: "a pull request was opened; merge it when it reads well",
        publish.UPDATED: "your open pull request was updated",
        publish.COMMITTED: "committed",
    }
    _print_outcome(options.repo_id, outcome, words[outcome.state])
    if outcome.state in (publish.OPENED, publish.UPDATED):
        number = outcome.url.rpartition("/")[2]
        print(f"Look at it first: python -m plantain pull --repo-id {options.repo_id} --revision refs/pr/{number}")


def _dry_run(options: argparse.Namespace, candidate: Candidate) -> None:
    """Write everything that a publish would send into a folder beside the run."""
    from plantain.hub import publish

    offer = publish.make_offer(candidate, options.repo_id)
    card, folder = _card(options.card), Path(options.run).resolve().with_name(f"{offer.name}.publish")
    diff = publish.write_out(offer, card, folder)
    _print_files({publish.CARD: (folder / publish.CARD).read_bytes(), **offer.files})
    before = options.card or "no card (give a copy of the card with --card FILE)"
    print(f"\nNothing was sent. All of it is in {folder}. The card, against {before}:\n\n{diff or 'unchanged'}")


def _check_private(options: argparse.Namespace) -> None:
    if options.private and not options.create:
        raise UsageError("--private goes with --create: it does not change a repository that exists.")


def _asked_to_create(repo_id: str) -> bool:
    """Ask at a terminal whether to create a repository that is not there; without a terminal the answer is no."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()) or _remote(repo_id).head():
        return False
    question = f"{repo_id} does not exist, or your token may not see it. Create it, for everyone to see? [y/N] "
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _pull(options: argparse.Namespace) -> None:
    from plantain.hub.errors import HubError
    from plantain.hub.pull import REFUSED, SAME, pull_runs

    _quiet_hub()
    with bar("pulling", "run") as show:
        remote = _remote(options.repo_id)
        found = pull_runs(remote, options.into, options.overwrite, show, revision=options.revision)
    refused = [pulled for pulled in found if pulled.state == REFUSED]
    for pulled in found:
        where = "is here already" if pulled.state == SAME else "brought"
        print(f"{pulled.name}: {f'REFUSED: {pulled.reason}' if pulled in refused else where}")
    good = len(found) - len(refused)
    if good:
        print(f"Look at them: PLANTAIN_RUNS={options.into} python app.py")
    if refused:
        raise HubError(f"{len(refused)} of {len(found)} were refused: {', '.join(p.name for p in refused)}.")


def _space(options: argparse.Namespace) -> None:
    from plantain.hub.publish import COMMITTED, CREATED, NOTHING
    from plantain.hub.space import push_space, space_files

    _check_private(options)
    files = space_files()
    if options.dry_run:
        _print_files(files)
        print("\nNothing was sent.")
        return
    _quiet_hub()
    outcome = push_space(_remote(options.repo_id, "space"), files, options.create, options.private)
    words = {NOTHING: "nothing changed, so nothing was sent", COMMITTED: "updated", CREATED: "created"}
    _print_outcome(options.repo_id, outcome, words[outcome.state])
    if outcome.state != NOTHING:
        print("ZeroGPU is chosen in the Space's settings. Its page builds anew within minutes of a change.")


def _card(path: str | None) -> bytes | None:
    if path is None:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}).") from error


def _remote(repo_id: str, repo_type: str = "model") -> Any:
    from plantain.hub.repo import Remote

    return Remote(repo_id, repo_type)


def _quiet_hub() -> None:
    """Keep the hub library's warnings off the terminal; that it waits is shown at a terminal."""
    import warnings

    from huggingface_hub import constants
    from huggingface_hub.utils import disable_progress_bars, logging

    warnings.filterwarnings("ignore", module="huggingface_hub")
    constants.HF_HUB_DISABLE_XET = True  # a few megabytes go as fast without, and its transfers have no time limit
    if sys.stderr.isatty():
        logging.set_verbosity_warning()
    else:
        disable_progress_bars()


def _print_files(files: dict[str, bytes]) -> None:
    for path, content in files.items():
        print(f"{len(content):>12,}  {path}")
    print(f"{sum(map(len, files.values())):>12,}  bytes in {len(files)} files")


def _print_outcome(repo_id: str, outcome: Outcome, words: str) -> None:
    print(f"{repo_id}: {words}.\n{outcome.url}")
    for remark in outcome.remarks:
        print(f"NOTE: {printable(remark)}")
