"""A run goes to the Hub: its section into the model card, its files beside it, in one commit."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from difflib import unified_diff
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from huggingface_hub import Discussion

from plantain import __version__
from plantain._files import replace_folder
from plantain.findings.across_runs.atlas import Atlas
from plantain.findings.across_runs.reproduction import Reproduction
from plantain.findings.held_out import ALONE, Beside, held_out
from plantain.findings.published import PUBLISHED, load_published
from plantain.hub.card import add_fields, lacks_fields, section_names, set_section
from plantain.hub.errors import HubError
from plantain.hub.repo import MAIN, RUNS, Base, Remote
from plantain.models.info import CONTROLS
from plantain.prompts.sets import same_set
from plantain.report.figures.catalogue import OnCard, OneIntervention, figure
from plantain.report.figures.png import png
from plantain.report.interventions import main_intervention
from plantain.report.model_card import atlas_section, card_fields, check_publishable, results_section
from plantain.runs.attached import NOTHING_ATTACHED, Attached
from plantain.runs.info import control_rank, is_control
from plantain.runs.io import CAPTURE, DIRECTIONS, RUN_JSON, UNITS_CSV, RunError, load_run, save_run
from plantain.runs.run import Run

CARD, FIGURES = "README.md", "figures"

SHIPPED_CONTROLS = tuple(PUBLISHED.parent / name for name in ("untrained-klein-4b", "untrained-klein-4b-1024"))
"""At 256 px and at 1024."""

DIFF = "README.diff"

_ABOUT = """\
Runs of plantain, which probes the image generator FLUX.2 Klein for an axis between two kinds of prompts in its
attention layers. Every figure can be recomputed from the files in `runs/`."""


@dataclass(frozen=True)
class Offer:
    """What a publish sends.

    Attributes
    ----------
    name : str
        The run's, from its folder.
    files : dict of str to bytes
        By path in the repository: the files of one run or of several, and the figure.
    section : str
        Markdown for the card.
    fields : dict
        For the card's front matter, where it lacks them.
    request : str
        Title of the pull request that it shares with other offers; one of its own unless given.
    """

    name: str
    repo_id: str
    files: dict[str, bytes]
    section: str
    fields: dict[str, Any]
    request: str = ""

    @property
    def title(self) -> str:
        """Of the commit and the pull request; an open request is found again by it."""
        return self.request or title_of(self.name)

    @property
    def run_files(self) -> dict[str, bytes]:
        """The run's own files, without the figure."""
        return {path: content for path, content in self.files.items() if path.startswith(f"{RUNS}/")}


def title_of(name: str) -> str:
    """Return the title of a run's commit and pull request."""
    return f"plantain: run {name}"


@dataclass(frozen=True)
class Outcome:
    """What a publish did: one of the states below, where it is to be seen, and what else the publisher should know."""

    state: str
    url: str
    remarks: tuple[str, ...] = ()


NOTHING, OPENED, UPDATED, COMMITTED, CREATED = "nothing", "opened", "updated", "committed", "created"


def load_candidate(folder: str | Path, control: str | Path | None = None) -> tuple[str, Run, Run | None]:
    """Read a run that is to be published; nothing is computed yet.

    Parameters
    ----------
    folder : path
        Of the run; its name is the run's.
    control : path, optional
        Folder of the untrained control; by default a shipped one of the same prompt set and architecture, of the
        run's size if there is one.

    Returns
    -------
    name, run, control : str, Run, Run or None
        As `make_offer` takes them.

    Raises
    ------
    RunError
        A run cannot be read, the run must not be published, or the control is none.
    """
    folder = Path(folder).resolve()
    return candidate(folder.name, load_run(folder), control)


def candidate(name: str, run: Run, control: str | Path | None = None) -> tuple[str, Run, Run | None]:
    """Prepare a run that is in memory, as `load_candidate` does one of a folder; returns and errors are the same."""
    check_publishable(run, name)
    if run.folder is not None:  # statistics kept beside it may be anybody's: they are computed anew
        run = Run(run.info, run.pairs, run.sums, run.signs, run.halves, None, run.repeats, run.directions)
    return name, run, find_control(run, control)


def make_offer(
    name: str,
    run: Run,
    control: Run | None,
    repo_id: str,
    reproduction: Reproduction | None = None,
    request: str = "",
    beside: Beside = ALONE,
    attached: Attached = NOTHING_ATTACHED,
) -> Offer:
    """Compute what a card says of a run; half a minute at full size.

    Parameters
    ----------
    name, run, control
        From `load_candidate`.
    repo_id : str
    reproduction : Reproduction, optional
        The run beside the published card, where it repeats that.
    request : str
        As in `Offer`.
    beside : Beside
        Runs whose rules and pairs stand beside the run's headline, from `find_beside`.
    attached : Attached
        Pictures and interventions of the run, from `runs.attached.attached_to`; they lie beside its own files.
    """
    files = _files(name, run) | {f"{RUNS}/{name}/{path}": content for path, content in attached.files.items()}
    path, heads = f"{FIGURES}/plantain-{name}.png", figure("heads", OnCard(run, control))
    files[path] = png(heads.document)
    alt = f"{heads.title} {heads.caption}"
    found = held_out(run, **vars(beside))
    cause, main = f"{FIGURES}/plantain-{name}-cause.png", main_intervention(attached.interventions)
    if main is not None:
        files[cause] = png(figure("redraws", OneIntervention(run, main)).document)
    beside_it = reproduction, found, attached, cause
    section = results_section(run, name, repo_id, control, load_published(), (path, alt), *beside_it)
    return Offer(name, repo_id, files, section, card_fields(run), request)


def make_atlas_offer(name: str, runs: dict[str, Run], atlas: Atlas, repo_id: str, request: str = "") -> Offer:
    """Compute what a card says of several prompt sets; half a minute a run at full size.

    Parameters
    ----------
    name : str
        Of the section. A run is called like it, with its axis' name behind.
    runs : dict of str to Run
        By the name of the axis; checked as `load_candidate` does.
    atlas : Atlas
        Of these runs.
    repo_id, request : str

    Raises
    ------
    RunError
        A run must not be published.
    """
    files: dict[str, bytes] = {}
    for axis, run in runs.items():
        check_publishable(run, f"{name}-{axis}")
        files |= _files(f"{name}-{axis}", run)
    fields = card_fields(next(iter(runs.values())))
    return Offer(name, repo_id, files, atlas_section(atlas, runs, name, repo_id), fields, request)


def _files(name: str, run: Run) -> dict[str, bytes]:
    """Return a run's files by their paths in a repository, written anew: what is sent is what was checked."""
    with TemporaryDirectory() as temporary:
        folder = save_run(run, Path(temporary) / name)
        parts = [part for part in (RUN_JSON, CAPTURE, DIRECTIONS, UNITS_CSV) if (folder / part).exists()]
        return {f"{RUNS}/{name}/{part}": (folder / part).read_bytes() for part in parts}


def find_control(run: Run, folder: str | Path | None = None) -> Run | None:
    """Return the untrained control that may stand beside a run: the same prompt set through the same architecture.

    Of the shipped ones the first by `runs.info.control_rank`; None for a run of other prompts or of another shape.
    """
    if folder is None:
        return min(_shipped_controls(run), key=lambda control: control_rank(control.info, run.info), default=None)
    control = load_run(folder)
    if unlike := _unlike(run, control):
        raise RunError(f"{folder}: is no untrained control of this run: {unlike}.")
    return control


def _shipped_controls(run: Run) -> Iterator[Run]:
    for folder in SHIPPED_CONTROLS:
        with suppress(RunError):  # a copy of plantain without it
            control = load_run(folder)
            if not _unlike(run, control):
                yield control


def _unlike(run: Run, control: Run) -> str:
    """Say why a run is no control of another; nothing where it is one."""
    if control.info.weights not in CONTROLS:
        return "its weights are not random"
    if run.info.weights in CONTROLS:
        return "this run is a control itself"
    if run.info.layout != control.info.layout:
        return "its model has another shape"
    if not same_set(run.info.prompts_sha256, control.info.prompts_sha256):
        return "its prompts are others"
    return "" if is_control(control.info, run.info) else f"it was made in another way ({control.info.settings_words})"


def render(card: bytes | None, offer: Offer) -> bytes:
    """Write the card with the run's section: the given one, all else left as it is, or a new one.

    Raises
    ------
    RunError
        The card is not UTF-8.
    """
    first = f"# {offer.repo_id.partition('/')[2]}\n\n{_ABOUT}\n"
    try:
        text = first if card is None else card.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RunError(f"{offer.repo_id}: its README.md is not UTF-8. Save it as UTF-8 first.") from error
    return set_section(add_fields(text, offer.fields), offer.name, offer.section).encode()


def card_diff(before: bytes | None, after: bytes) -> str:
    """Return the unified difference of two cards; empty where they are the same."""
    lines = (text.decode().splitlines() for text in (before or b"", after))
    return "".join(f"{line}\n" for line in unified_diff(*lines, f"{CARD} (before)", f"{CARD} (after)", lineterm=""))


@dataclass(frozen=True)
class Plan:
    """What a publish is about to send, and onto what.

    Attributes
    ----------
    base : Base
        The commit that it is made on: the head of main, or of the account's open pull request for this run.
    request : Discussion or None
        That pull request.
    card : bytes or None
        The card at the base.
    content : dict of str to bytes
        By path: the card as it will be, the run's files, the figure.
    changed : tuple of str
        The paths that the base lacks or has otherwise; only these are sent.
    remarks : tuple of str
        What else the publisher should know.
    as_request : bool
        As a pull request.
    """

    base: Base
    request: Discussion | None
    card: bytes | None
    content: dict[str, bytes]
    changed: tuple[str, ...]
    remarks: tuple[str, ...]
    as_request: bool

    @property
    def diff(self) -> str:
        """Of the card, unified; empty where it stays as it is."""
        return card_diff(self.card, self.content[CARD])

    @property
    def digest(self) -> str:
        """SHA-256 of all that a reader was shown: where it goes, the card as it was, every file that is sent."""
        parts = [self.base.revision.encode(), self.card or b"", b"" if self.card is None else b"card"]
        for path in self.changed:
            parts += [path.encode(), self.content[path]]
        return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def publish(
    remote: Remote, offer: Offer, as_request: bool = True, create: bool = False, private: bool = False
) -> Outcome:
    """Send a run in one commit.

    Parameters
    ----------
    remote : Remote
    offer : Offer
    as_request : bool
        As a pull request: a new one on the card's current revision, or onto the account's open one for this run.
        A repository that is created here gets the commit directly.
    create, private : bool
        Create the repository where there is none; so that only its owner sees it.

    Returns
    -------
    Outcome

    Raises
    ------
    HubError
        There is no such repository and `create` is not set, or the Hub refuses.
    HubTroubleError
        The Hub fails, or someone changed the repository between reading and writing; nothing is overwritten.
    """
    return carry_out(remote, offer, make_plan(remote, offer, as_request, create, private))


def make_plan(
    remote: Remote, offer: Offer, as_request: bool = True, create: bool = False, private: bool = False
) -> Plan:
    """Find out what `publish` would send, without sending it; parameters and errors are the same."""
    author = remote.account()
    main, created = remote.base_or_created(create, private=private)
    as_request = as_request and not created  # there is nothing yet that could be reviewed
    try:
        request = remote.open_request(offer.title, author)
    except HubError:
        if as_request:
            raise
        request = None  # a direct commit needs no right to see requests
    card = remote.read(CARD, main)
    content = {CARD: render(card, offer), **offer.files}
    changed, base, more = remote.differing(content, main), main, []
    if request and changed and as_request:
        base = remote.base(request.git_reference)
        new, card = content[CARD], remote.read(CARD, base)
        content[CARD] = render(card, offer)
        if content[CARD] != new:
            more = [f"The card changed since pull request {request.num} was opened: merge or close it soon."]
        changed = remote.differing(content, base)
    elif request:
        more = [f"Your pull request {request.num} with this run is still open: close it."]
    remarks = (*card_remarks(content[CARD], offer), *more)
    return Plan(base, request, card, content, tuple(changed), remarks, as_request)


def carry_out(remote: Remote, offer: Offer, plan: Plan) -> Outcome:
    """Send what was planned, on the very commit that the plan was made on; errors are those of `publish`."""
    onto_request = plan.base.revision != MAIN
    if not plan.changed:
        return Outcome(NOTHING, plan.request.url if onto_request else remote.url, plan.remarks)
    opens = plan.as_request and not onto_request
    text = (
        f"Written by plantain {__version__} on the card as it was at {plan.base.sha[:12]}. It changes one section of "
        "the card, between two markers, adds fields that the front matter lacked, and brings the run's files."
    )
    changed = {path: plan.content[path] for path in plan.changed}
    url = remote.send(plan.base, offer.title, changed, text=text, as_request=opens)
    if onto_request:
        return Outcome(UPDATED, plan.request.url, plan.remarks)
    return Outcome(OPENED if opens else COMMITTED, url, plan.remarks)


def card_remarks(card: bytes, offer: Offer) -> tuple[str, ...]:
    """Say what the publisher would want to know about the card as `render` wrote it."""
    text = card.decode()
    found = Counter(section_names(text))
    remarks = [
        f"The card has {n} sections of {name}; only the first is kept up to date: take the others out."
        for name, n in found.items()
        if n > 1
    ]
    others = [name for name in found if name != offer.name]
    if others:
        remarks.append(f"The card also has sections of: {', '.join(others)}. They were left as they are.")
    if lacks_fields(text, offer.fields):
        remarks.append("The card's front matter cannot be read, so that nothing was added to it.")
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
    RunError
        The folder holds something else, or cannot be written.
    """
    after = render(card, offer)
    diff = card_diff(card, after)
    try:
        with replace_folder(folder, partial(_check_dry_run, folder)) as new:
            for path, content in {CARD: after, DIFF: diff.encode(), **offer.files}.items():
                (new / path).parent.mkdir(parents=True, exist_ok=True)
                (new / path).write_bytes(content)
    except OSError as error:
        raise RunError(f"{folder}: cannot be written ({error.strerror}).") from error
    return diff


def _check_dry_run(folder: Path) -> None:
    known = {CARD, DIFF, RUNS, FIGURES}
    if folder.exists() and not (folder.is_dir() and {path.name for path in folder.iterdir()} <= known):
        raise RunError(f"{folder}: holds something other than an earlier dry run. Move it away.")
