"""The desk: the owner of a model card publishes from the page, with a token of their own.

Who may do so, the Hub decides anew at every call. A token is an argument of a call and outlives it nowhere: whatever
is kept between two calls is computed from runs alone.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

from huggingface_hub import HfApi, constants

from plantain import PlantainError
from plantain.findings.held_out import ALONE, find_beside
from plantain.hub.errors import HubError, RefusedError, UnknownTokenError
from plantain.hub.publish import NOTHING, OPENED, UPDATED, Offer, candidate, carry_out, make_offer, make_plan, title_of
from plantain.hub.repo import RUNS, Base, Remote, is_content
from plantain.report.model_card import check_publishable
from plantain.runs.attached import attached_to
from plantain.runs.io import CAPTURE
from plantain.runs.run import Run, capture_bytes

KEPT = 2  # offers; one of full size holds 20 MB

_DONE = {
    NOTHING: "Nothing changed, so nothing was sent.",
    OPENED: "The pull request is open: merge it when it reads well.",
    UPDATED: "Your open pull request was updated.",
}

_AGAIN = "Sign out, and sign in again"


@dataclass(frozen=True)
class Difference:
    """What a publish would change.

    Attributes
    ----------
    card : str
        The unified difference of the card; empty where it stays as it is.
    files : tuple of (str, int)
        Paths and bytes of what is sent to the card's repository.
    results : tuple of (str, int)
        The same for the results repository, where one is named that lacks them.
    request : int or None
        The account's open pull request that is updated; None where a new one is opened.
    remarks : tuple of str
    digest : str
        Of what goes to the card's repository: `Desk.send` sends nothing else.
    """

    card: str
    files: tuple[tuple[str, int], ...]
    results: tuple[tuple[str, int], ...]
    request: int | None
    remarks: tuple[str, ...]
    digest: str


@dataclass(frozen=True)
class Sent:
    """What became of a publish: one sentence, where it is to be seen, and what else the publisher should know."""

    words: str
    url: str
    remarks: tuple[str, ...]


class Desk:
    """Publishing to a card's repository by pull request, and to a results repository by a direct commit.

    Parameters
    ----------
    card_repo : str
        OWNER/NAME of the model repository with the card.
    results_repo : str, optional
        The one that keeps published runs.

    Notes
    -----
    Every method takes the token of whoever asks, and raises `HubError` where the Hub does not let its account write to
    the card's repository.
    """

    def __init__(self, card_repo: str, results_repo: str | None = None) -> None:
        self.card_repo, self.results_repo = card_repo, results_repo
        self._offers: OrderedDict[tuple[str, ...], Offer] = OrderedDict()
        self._computing = threading.Lock()

    def admit(self, token: str, run: Run | None = None, called: str = "") -> tuple[str, str]:
        """Return whose token it is, and a name for a run; who may not write to the card's repository is refused.

        Parameters
        ----------
        token : str
        run : Run, optional
        called : str
            What a saved run is called; without it, and where such a name cannot be published, its facts name it.

        Returns
        -------
        account, name : str
            No other run has the name, in a repository or in an open pull request of the account; empty without a run.

        Raises
        ------
        UnknownTokenError
            The Hub does not know the token, or not any more.
        RefusedError
            The Hub does not let it write.
        """
        remote = self._admitted(token)
        if run is None:
            return remote.account(), ""
        try:
            check_publishable(run, called)
        except PlantainError:
            called = run_name(run)
        with _as_sign_in():
            names = (called if n == 1 else f"{called}-{n}" for n in count(1))
            return remote.account(), next(name for name in names if not self._taken(remote, token, run, name))

    def _admitted(self, token: str) -> Remote:
        """Return the card's repository for a token that may write to it."""
        with _as_sign_in():
            remote = _remote(self.card_repo, token)
            name = remote.account()
            if remote.may_write():
                return remote
        if name == self.card_repo.partition("/")[0]:
            why = f"{_AGAIN}, and grant this page that it may write to your repositories."
        else:
            why = f"Only who may write there publishes from here. If you may, {_AGAIN.lower()}, and grant it."
        raise RefusedError(f"{name}'s sign-in may not write to {self.card_repo}. {why}")

    def compare(self, token: str, run: Run, name: str) -> Difference:
        """Find out what publishing a run would change; half a minute at full size, the second time at once.

        Raises
        ------
        RunError
            The run or the name must not be published.
        HubError
            Another run has the name.
        """
        remote = self._admitted(token)
        check_publishable(run, name)
        with _as_sign_in():
            self._check_free(remote, token, run, name)
            offer = self._offer(run, name)
            plan = make_plan(remote, offer)
            lacking, remarks = self._lacking(token, offer)
        files = _sizes({path: plan.content[path] for path in plan.changed})
        request = plan.request.num if plan.request and plan.base.revision == plan.request.git_reference else None
        return Difference(plan.diff, files, _sizes(lacking), request, (*plan.remarks, *remarks), plan.digest)

    def send(self, token: str, run: Run, name: str, digest: str) -> Sent | None:
        """Publish a run: open or update the pull request, then commit the run to the results repository.

        Parameters
        ----------
        token : str
        run : Run
        name : str
        digest : str
            Of the `Difference` that was looked at.

        Returns
        -------
        Sent or None
            None where something else would be sent than was looked at: nothing was sent.

        Raises
        ------
        HubError
            Another run has the name by now; nothing was sent.
        """
        remote = self._admitted(token)
        check_publishable(run, name)
        offer = self._offer(run, name)
        with _as_sign_in(), _without_xet():
            plan = make_plan(remote, offer)
            if plan.digest != digest:
                return None
            # After the plan, whose commit is the parent: what comes later than this check makes the Hub refuse.
            self._check_free(remote, token, run, name)
            outcome = carry_out(remote, offer, plan)
        return Sent(_DONE[outcome.state], outcome.url, (*outcome.remarks, *self._keep(token, offer)))

    def _keep(self, token: str, offer: Offer) -> list[str]:
        """Commit a run's files to the results repository; say what became of it, for the request is open already."""
        if self.results_repo is None:
            return []
        try:
            with _as_sign_in(), _without_xet():
                remote = _remote(self.results_repo, token)
                base = remote.base()
                path = f"{RUNS}/{offer.name}/{CAPTURE}"
                if _has_other(remote, base, path, offer.files[path]):
                    return [f"The run did not go to {self.results_repo}: it has another run of the name {offer.name}."]
                lacking = remote.differing(offer.run_files, base)
                if lacking:
                    remote.send(base, offer.title, lacking)
        except HubError as error:
            return [f"The run did not go to {self.results_repo}: {error} Show the difference again to send it there."]
        return [f"The run is in {self.results_repo}, and shown by every page that watches it."]

    def _lacking(self, token: str, offer: Offer) -> tuple[dict[str, bytes], list[str]]:
        """Return which of a run's files the results repository lacks, and why none of them would go there."""
        if self.results_repo is None:
            return {}, []
        remote = _remote(self.results_repo, token)
        if remote.head() is None:
            words = (
                f"{self.results_repo} does not exist, or your sign-in may not see it: the run goes to the card's "
                "repository only. Create it on the Hub, and show the difference again."
            )
            return {}, [words]
        if not remote.may_write():
            words = f"Your sign-in may not write to {self.results_repo}: the run goes to the card's repository only."
            return {}, [words]
        return remote.differing(offer.run_files, remote.base()), []

    def _check_free(self, remote: Remote, token: str, run: Run, name: str) -> None:
        if where := self._taken(remote, token, run, name):
            raise HubError(f"{where} has another run of the name {name}. Give this one another name.")

    def _taken(self, remote: Remote, token: str, run: Run, name: str) -> str:
        """Return the repository in which another run has the name; nothing where there is none."""
        path, capture = f"{RUNS}/{name}/{CAPTURE}", capture_bytes(run)
        places = [(remote, remote.base())]
        if request := remote.open_request(title_of(name), remote.account()):
            places.append((remote, remote.base(request.git_reference)))
        if self.results_repo not in (None, self.card_repo):
            results = _remote(self.results_repo, token)
            if base := results.head():
                places.append((results, base))
        return next((repo.repo_id for repo, base in places if _has_other(repo, base, path, capture)), "")

    def _offer(self, run: Run, name: str) -> Offer:
        """Compute what a card says of a run, once."""
        # The same numbers may be said to be another's.
        attached = attached_to(run)
        key = (
            run.capture_sha256,
            run.directions_sha256,
            repr((run.info, run.pairs)),
            name,
            frozenset(attached.files.items()),
        )
        with self._computing:
            if key not in self._offers:
                beside = find_beside(run, run.folder) if run.folder else ALONE
                self._offers[key] = make_offer(*candidate(name, run), self.card_repo, beside=beside, attached=attached)
                while len(self._offers) > KEPT:
                    self._offers.popitem(last=False)
            return self._offers[key]


def run_name(run: Run) -> str:
    """Name a run by its facts, ``klein-base-4b-1024px-seed0``; weights other than the model's own stand in front."""
    model = re.sub(r"^flux\.?2-", "", run.info.model.rstrip("/").rpartition("/")[2].lower())
    if run.info.weights != "pretrained" and run.info.weights not in model:
        model = f"{run.info.weights}-{model}"
    parts = (model, f"{run.info.size}px", f"seed{run.info.seed}")
    return re.sub(r"[^a-z0-9._]+", "-", "-".join(parts)).strip("-.")


def _sizes(files: dict[str, bytes]) -> tuple[tuple[str, int], ...]:
    return tuple((path, len(content)) for path, content in files.items())


def _has_other(remote: Remote, base: Base, path: str, content: bytes) -> bool:
    """Tell whether a commit has a file of this path and another content."""
    there = remote.files(base).get(path)
    return there is not None and not is_content(content, there)


def _remote(repo_id: str, token: str) -> Remote:
    assert token, "without one the hub library would take the machine's own"
    return Remote(repo_id, api=HfApi(token=token))


@contextmanager
def _as_sign_in() -> Iterator[None]:
    """Say of a token that it is a sign-in: who publishes from the page knows of no token."""
    try:
        yield
    except UnknownTokenError as error:
        raise UnknownTokenError(f"The Hub does not accept your sign-in (any more). {_AGAIN}.") from error
    except RefusedError as error:
        raise RefusedError(f"The Hub refuses this to your sign-in. {_AGAIN}, and grant it. ({error})") from error


@contextmanager
def _without_xet() -> Iterator[None]:
    """Upload a few megabytes by the hub library's way that ends in time, and that keeps no token; put Xet back."""
    before, constants.HF_HUB_DISABLE_XET = constants.HF_HUB_DISABLE_XET, True
    try:
        yield
    finally:
        constants.HF_HUB_DISABLE_XET = before
