"""A run goes to the Hub: its section into the model card, its files beside it, in one commit.

`make_offer`   everything that a publish would send, save the card that it goes into
`publish`      send it as a pull request, or directly
`write_out`    put it into a folder instead, with the card's diff: no network
"""

from __future__ import annotations

import difflib
import shutil
import uuid
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plantain import __version__
from plantain.hub.cards import add_fields, new_card, section_names, set_section
from plantain.hub.errors import MissingRepoError
from plantain.hub.picture import heads_png
from plantain.hub.remote import Base, Change, Remote
from plantain.hub.section import PublishError, card_fields, check_publishable, results_section
from plantain.published import PUBLISHED, load_published
from plantain.results import CAPTURE, RUN_JSON, UNITS_CSV, Run, list_runs, load_run
from plantain.whole import swap_in

CARD, RUNS, FIGURES = "README.md", "runs", "figures"
DIFF = "README.diff"


@dataclass(frozen=True)
class Offer:
    """What a publish sends.

    Attributes
    ----------
    name : str
        The run's, from its folder.
    files : dict of str to bytes
        By path in the repository: the run's files as they are, and the figure.
    section : str
        Markdown for the card.
    fields : dict
        For the card's front matter, where it lacks them.
    """

    name: str
    repo_id: str
    files: dict[str, bytes]
    section: str
    fields: dict[str, Any]

    @property
    def title(self) -> str:
        """Of the commit and the pull request; an open one is known again by it."""
        return f"plantain: run {self.name}"


@dataclass(frozen=True)
class Outcome:
    """What a publish did: one of the states below, where it is to be seen, and what else the publisher should know."""

    state: str
    url: str
    remarks: tuple[str, ...] = ()


NOTHING, OPENED, UPDATED, COMMITTED = "nothing", "opened", "updated", "committed"


def make_offer(folder: str | Path, repo_id: str, control: str | Path | None = None) -> Offer:
    """Read a run and write what a card says of it.

    Parameters
    ----------
    folder : path
        Of the run; its name is the run's.
    repo_id : str
    control : path, optional
        Folder of the untrained control; by default a shipped one on the same prompts, if there is one.

    Returns
    -------
    Offer

    Raises
    ------
    RunError
        A run cannot be read.
    PublishError
        The run must not be published, or the control is none.
    """
    folder = Path(folder).resolve()
    run, name = load_run(folder), folder.name
    check_publishable(run, name)
    beside, figure = _control(run, control), f"{FIGURES}/plantain-{name}.png"
    files = {f"{RUNS}/{name}/{part}": _read(folder / part) for part in (RUN_JSON, CAPTURE, UNITS_CSV)}
    files[figure] = heads_png(run, beside)
    section = results_section(run, name, repo_id, beside, load_published(), figure)
    return Offer(name, repo_id, files, section, card_fields(run))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PublishError(f"{path.parent}: {path.name} cannot be read ({error.strerror}).") from error


def _control(run: Run, folder: str | Path | None) -> Run | None:
    if folder is not None:
        control = load_run(folder)
        if control.info.weights != "untrained":
            raise PublishError(f"{folder}: is no untrained control. Give a run of an untrained model.")
        return control
    if run.info.weights == "untrained":
        return None
    shipped = list_runs(PUBLISHED.parent)[0].values()
    same = (r for r in shipped if r.info.prompts_sha256 == run.info.prompts_sha256 and r.info.weights == "untrained")
    return next(same, None)


def render(card: bytes | None, offer: Offer) -> bytes:
    """Write the card with the run's section: the given one, all else left as it is, or a new one.

    Raises
    ------
    PublishError
        The card is not UTF-8.
    """
    try:
        text = _first_card(offer) if card is None else card.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PublishError(f"{offer.repo_id}: its README.md is not UTF-8. Save it as UTF-8 first.") from error
    return set_section(add_fields(text, offer.fields), offer.name, offer.section).encode()


def _first_card(offer: Offer) -> str:
    about = (
        "Runs of plantain, which probes the image generator FLUX.2 Klein for an axis between two kinds of prompts in "
        "its attention layers. Every figure can be recomputed from the files in `runs/`."
    )
    fields = {"license": "apache-2.0", "library_name": "diffusers", **offer.fields}
    return new_card(offer.repo_id.partition("/")[2], about, fields)


def publish(remote: Remote, offer: Offer, as_request: bool = True, create: bool = False) -> Outcome:
    """Send a run in one commit.

    Parameters
    ----------
    remote : Remote
    offer : Offer
    as_request : bool
        As a pull request: a new one on the card's current revision, or onto the account's open one for this run.
        A repository that is created here gets the commit directly.
    create : bool
        Create the repository where there is none.

    Returns
    -------
    Outcome

    Raises
    ------
    MissingRepoError
        There is no such repository, and `create` is not set.
    ConflictError
        Someone changed the repository between reading and writing. Nothing was overwritten.
    HubError, HubTroubleError
        Anything else; see `hub.errors`.
    """
    author = remote.account()
    main, created = _main(remote, create)
    number = remote.open_request(offer.title, author)
    onto = remote.base(f"refs/pr/{number}") if as_request and number is not None else main
    card = remote.read(CARD, onto)
    as_request = as_request and not created  # there is nothing yet that could be reviewed
    content = {CARD: render(card, offer), **offer.files}
    remarks = _remarks(content[CARD].decode(), offer, number if not as_request else None)
    changed = remote.differing(content, onto)
    if not changed:
        return Outcome(NOTHING, remote.request_url(number) if onto != main else remote.url, remarks)
    change = Change(changed, offer.title, _description(main))
    sent = remote.send(change, onto, author if as_request and onto == main else None)
    if not sent.answered:
        remarks = (*remarks, "The Hub's answer was lost; the change was looked for and found.")
    if not as_request:
        return Outcome(COMMITTED, sent.url, remarks)
    return Outcome(OPENED, sent.url, remarks) if onto == main else Outcome(UPDATED, remote.request_url(number), remarks)


def _main(remote: Remote, create: bool) -> tuple[Base, bool]:
    """Return the head of the repository, and whether the repository was created for it."""
    try:
        return remote.base(), False
    except MissingRepoError as error:
        if not create:
            raise MissingRepoError(f"{error} Check the name and the token, or create it with --create.") from error
    remote.create()
    return remote.base(), True


def _description(main: Base) -> str:
    return (
        f"Written by plantain {__version__} on the card as it was at {main.sha[:12]}. It changes one section of the "
        "card, between two markers, adds fields that the front matter lacked, and brings the run's files."
    )


def _remarks(card: str, offer: Offer, number: int | None) -> tuple[str, ...]:
    """Say what the publisher would want to know about the card."""
    found = Counter(section_names(card))
    remarks = [
        f"The card has {n} sections of {name}; only the first is kept up to date: take the others out."
        for name, n in found.items()
        if n > 1
    ]
    others = [name for name in found if name != offer.name]
    if others:
        remarks.append(f"The card also has sections of: {', '.join(others)}. They were left as they are.")
    if number is not None:
        remarks.append(f"Your pull request {number} for this run is still open.")
    return tuple(remarks)


# --- without network ---------------------------------------------------------------------------------------


def write_out(offer: Offer, card: bytes | None, folder: Path) -> str:
    """Write what a publish would send into a folder, with the card's diff.

    Parameters
    ----------
    offer : Offer
    card : bytes or None
        The card that it would go into; None for a repository without one.
    folder : Path
        What an earlier call left there is replaced.

    Returns
    -------
    str
        The diff; empty where the card stays as it is.

    Raises
    ------
    PublishError
        The folder holds something else, or cannot be written.
    """
    after = render(card, offer)
    diff = "".join(
        difflib.unified_diff(_lines(card or b""), _lines(after), f"{CARD} (before)", f"{CARD} (after)", lineterm="\n")
    )
    strange = [p.name for p in folder.iterdir() if p.name not in (CARD, DIFF, RUNS, FIGURES)] if folder.is_dir() else []
    if strange or (folder.exists() and not folder.is_dir()):
        raise PublishError(f"{folder}: holds something other than an earlier dry run. Move it away.")
    new = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    try:
        for path, content in {CARD: after, DIFF: diff.encode(), **offer.files}.items():
            (new / path).parent.mkdir(parents=True, exist_ok=True)
            (new / path).write_bytes(content)
        swap_in(new, folder)
    except OSError as error:
        raise PublishError(f"{folder}: cannot be written ({error.strerror}).") from error
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return diff


def _lines(card: bytes) -> list[str]:
    """Cut a card into lines for a diff; the last one gets an end, or it would run into the next."""
    lines = card.decode("utf-8").splitlines(keepends=True)
    return [line if line.endswith("\n") else f"{line}\n" for line in lines]
