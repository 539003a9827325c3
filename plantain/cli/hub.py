"""The commands that talk to the Hub: ``publish``, ``pull`` and ``space``."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plantain import UsageError
from plantain._files import find, printable
from plantain.cli.options import not_empty
from plantain.findings.held_out import find_beside
from plantain.probe.progress import bar
from plantain.prompts.shipped import RUNS
from plantain.runs.attached import attached_to
from plantain.runs.io import PUBLISH

if TYPE_CHECKING:
    from plantain.hub.publish import Offer, Outcome
    from plantain.hub.repo import Remote

TOKEN = "The token is the hub library's own: log in with `hf auth login`, or set HF_TOKEN."

_DONE = {
    "nothing": "nothing changed, so nothing was sent",
    "opened": "a pull request was opened; merge it when it reads well",
    "updated": "your open pull request was updated",
    "committed": "committed",
    "created": "created",
}  # by the state of an `Outcome`


def add_commands(commands: Any) -> None:
    """Add the three commands to argparse's subparsers."""

    def add(name: str, command: object, what: str, repo: str) -> argparse.ArgumentParser:
        parser = commands.add_parser(name, help=what, epilog=TOKEN)
        parser.add_argument("--repo-id", required=True, type=repo_id, metavar="OWNER/NAME", help=repo)
        parser.set_defaults(command=command)
        return parser

    parser = add("publish", _publish, "offer a run to a model card on the Hub", "model repository with the card")
    parser.add_argument("run", type=not_empty, metavar="DIR", help="folder of a run; its name is the run's on the card")
    words = "run of the untrained control (default: a shipped one on the same prompts, of its size if there is one)"
    parser.add_argument("--control", type=not_empty, metavar="DIR", help=words)
    add_publish_options(parser)
    words = "write what would be sent to DIR.publish, with the diff; no network"
    parser.add_argument("--dry-run", action="store_true", help=words)
    parser.add_argument("--card", type=not_empty, metavar="FILE", help="with --dry-run: the card that it would go into")

    parser = add("pull", _pull, "bring published runs from the Hub", "repository with published runs")
    folder, words = os.environ.get("PLANTAIN_RUNS") or "runs", "folder of runs (default: PLANTAIN_RUNS, else runs)"
    parser.add_argument("--into", type=not_empty, metavar="DIR", default=folder, help=words)
    parser.add_argument("--revision", default="main", metavar="REV", help="refs/pr/N for what a pull request brings")
    parser.add_argument("--overwrite", action="store_true", help="replace runs that are here with other content")

    parser = add("space", _space, "create or update the Space from these files", "the Space")
    _add_create(parser, "Space")
    words = "the model card to which its owner publishes from the page"
    parser.add_argument("--card-repo", type=repo_id, metavar="OWNER/NAME", help=words)
    words = "the repository that keeps published runs, which the page shows; with --create it is created too"
    parser.add_argument("--results-repo", type=repo_id, metavar="OWNER/NAME", help=words)
    parser.add_argument("--zero-gpu", action="store_true", help="choose ZeroGPU for it")
    parser.add_argument("--dry-run", action="store_true", help="list what would be sent; no network")


def add_publish_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--no-pr``, ``--create`` and ``--private``."""
    parser.add_argument("--no-pr", action="store_true", help="commit directly instead of opening a pull request")
    _add_create(parser, "repository")


def _add_create(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--create", action="store_true", help=f"create the {what} if there is none")
    parser.add_argument("--private", action="store_true", help="with --create: only its owner sees it")


def repo_id(text: str) -> str:
    """Read a repository's id."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(text)
    except HFValidationError:
        valid = False
    else:
        valid = text.count("/") == 1
    if not valid:
        raise argparse.ArgumentTypeError(f"{text!r} is no repository id; give OWNER/NAME")
    return text


def _publish(options: argparse.Namespace) -> None:
    from plantain.hub import publish

    if options.card and not options.dry_run:
        raise UsageError("--card goes with --dry-run: a publish reads the card from the Hub.")
    check_private(options)
    candidate = publish.load_candidate(options.run, options.control)
    beside = find_beside(candidate[1], Path(options.run))
    attached = attached_to(candidate[1], find(options.run, RUNS))
    if options.dry_run:
        return _dry_run(options, publish.make_offer(*candidate, options.repo_id, beside=beside, attached=attached))
    remote, create = open_remote(options)
    if sys.stderr.isatty():
        print("Computing the run's figures anew, half a minute at full size …", file=sys.stderr)
    offer = publish.make_offer(*candidate, options.repo_id, beside=beside, attached=attached)
    outcome = publish.publish(remote, offer, not options.no_pr, create, options.private)
    print_outcome(options.repo_id, outcome)
    if outcome.state in (publish.OPENED, publish.UPDATED):
        number = outcome.url.rpartition("/")[2]
        print(f"Look at it first: python -m plantain pull --repo-id {options.repo_id} --revision refs/pr/{number}")


def _dry_run(options: argparse.Namespace, offer: Offer) -> None:
    """Write everything that a publish would send into a folder beside the run."""
    from plantain.hub.publish import CARD, card_remarks, write_out

    try:
        card = Path(options.card).read_bytes() if options.card else None
    except OSError as error:
        raise UsageError(f"{options.card}: cannot be read ({error.strerror}).") from error
    folder = Path(options.run).resolve().with_name(f"{offer.name}{PUBLISH}")
    diff = write_out(offer, card, folder)
    after = (folder / CARD).read_bytes()
    _print_files({CARD: after, **offer.files})
    before = options.card or "no card (give a copy of the card with --card FILE)"
    print(f"\nNothing was sent. All of it is in {folder}. The card, against {before}:\n\n{diff or 'unchanged'}")
    _print_remarks(card_remarks(after, offer))


def check_private(options: argparse.Namespace) -> None:
    """Raise `UsageError` where ``--private`` stands without ``--create``."""
    if options.private and not options.create:
        raise UsageError("--private goes with --create: it does not change a repository that exists.")


def open_remote(options: argparse.Namespace) -> tuple[Remote, bool]:
    """Return the repository to publish to, and whether to create it; what cannot be sent is told before any work.

    Raises
    ------
    HubError
        The token is not accepted, or there is no such repository and it is not to be created.
    """
    remote = _remote(options)
    remote.account()
    create = options.create or _asked_to_create(remote)
    if not create:
        remote.base_or_created(create=False)
    return remote, create


def _asked_to_create(remote: Remote) -> bool:
    """Ask at a terminal whether to create a repository that is not there; without a terminal the answer is no."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()) or remote.head():
        return False
    question = f"{remote.repo_id} does not exist, or your token may not see it. Create it, for everyone to see? [y/N] "
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _pull(options: argparse.Namespace) -> None:
    from plantain.hub.errors import HubError
    from plantain.hub.pull import REFUSED, SAME, pull_runs

    remote = _remote(options)
    with bar("pulling", "run") as show:
        found = pull_runs(remote, options.into, options.overwrite, show, revision=options.revision)
    refused = [pulled.name for pulled in found if pulled.state == REFUSED]
    for pulled in found:
        where = "is here already" if pulled.state == SAME else "brought"
        print(f"{pulled.name}: {f'REFUSED: {pulled.reason}' if pulled.state == REFUSED else where}")
        if pulled.left_out:
            print(f"{pulled.name}: LEFT OUT: {pulled.left_out}")
    if len(refused) < len(found):
        print(f"Look at them: PLANTAIN_RUNS={shlex.quote(options.into)} python app.py")
    if refused:
        raise HubError(f"{len(refused)} of {len(found)} were refused: {', '.join(refused)}.")


def _space(options: argparse.Namespace) -> None:
    from plantain.hub import space
    from plantain.hub.repo import Remote

    check_private(options)
    files = space.space_files()
    if options.dry_run:
        _print_files(files)
        print("\nNothing was sent.")
        return
    remote = _remote(options, "space")
    outcome = space.push_space(remote, files, options.create, options.private)
    print_outcome(options.repo_id, outcome)
    named = {"PLANTAIN_CARD_REPO": options.card_repo, "PLANTAIN_RESULTS_REPO": options.results_repo}
    variables = {name: value for name, value in named.items() if value}
    kept = [Remote(options.results_repo)] if options.results_repo and options.create else []
    for line in space.settle_space(remote, variables, kept, options.zero_gpu):
        print(printable(line))
    if outcome.state != space.NOTHING:
        print("Its page builds anew within minutes of a change.")
    if not options.zero_gpu:
        print("ZeroGPU: add --zero-gpu, or choose it in the Space's settings.")


def _remote(options: argparse.Namespace, repo_type: str = "model") -> Remote:
    """Return the repository; the hub library's warnings stay off the terminal, that it waits is shown at one."""
    import warnings

    from huggingface_hub import constants
    from huggingface_hub.utils import disable_progress_bars, logging

    from plantain.hub.repo import Remote

    warnings.filterwarnings("ignore", module="huggingface_hub")
    constants.HF_HUB_DISABLE_XET = True  # a few megabytes go as fast without, and its transfers have no time limit
    if sys.stderr.isatty():
        logging.set_verbosity_warning()
    else:
        disable_progress_bars()
    return Remote(options.repo_id, repo_type)


def _print_files(files: dict[str, bytes]) -> None:
    for path, content in files.items():
        print(f"{len(content):>12,}  {path}")
    print(f"{sum(map(len, files.values())):>12,}  bytes in {len(files)} files")


def print_outcome(repo_id: str, outcome: Outcome) -> None:
    """Say what a publish did, and what else the publisher should know."""
    print(f"{repo_id}: {_DONE[outcome.state]}.\n{outcome.url}")
    _print_remarks(outcome.remarks)


def _print_remarks(remarks: Iterable[str]) -> None:
    for remark in remarks:
        print(f"NOTE: {printable(remark)}")
