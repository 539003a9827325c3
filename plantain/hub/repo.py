"""A repository on the Hub, read at one commit and changed in one commit.

A file is read straight from the Hub and at a given commit, never from a local copy: the library's own readers fall
back silently to an older one when the Hub is in trouble. A commit names the one that it was made on, so that somebody
else's change in between is noticed, and it is never sent twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    Discussion,
    HfApi,
    hf_hub_url,
    is_offline_mode,
    set_client_factory,
)
from huggingface_hub import errors as hub
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

from plantain.hub.errors import NONSENSE, HubError, HubTroubleError, explained, hub_error

MAIN, RUNS = "main", "runs"  # the branch; where published runs lie

_PATIENCE = 60.0  # seconds for an answer; the library itself would wait for ever


@dataclass(frozen=True)
class Base:
    """The commit `sha`, at the head of the branch or pull request `revision`."""

    revision: str
    sha: str


def _client() -> httpx2.Client:
    """Make the hub library's client with an end to its patience; it asks for a new one whenever a connection broke."""
    return httpx2.Client(follow_redirects=True, timeout=httpx2.Timeout(_PATIENCE, connect=20.0))


_used: Callable[[], httpx2.Client] | None = None


def _set_client() -> None:
    """Have the hub library use our client. Once: setting it closes the one that another thread may be using."""
    global _used
    if _used is not _client:
        set_client_factory(_client)
        _used = _client


class Remote:
    """A repository on the Hub.

    Parameters
    ----------
    repo_id : str
        OWNER/NAME.
    repo_type : str
        ``model`` or ``space``.
    api : HfApi, optional
        With the endpoint and the token to use; by default the hub library's own.

    Notes
    -----
    Every method raises `HubError` or one of its kinds, with one sentence that says what to do.
    """

    def __init__(self, repo_id: str, repo_type: str = "model", api: HfApi | None = None) -> None:
        self.repo_id, self.repo_type, self._api = repo_id, repo_type, api or HfApi()
        if is_offline_mode():  # our client does not look at it, as the library's own does
            raise HubError("HF_HUB_OFFLINE is set, so nothing is sent. Unset it and try again.")
        self._token = self._api.token if isinstance(self._api.token, str) else None
        self._account: str | None = None
        _set_client()

    @property
    def url(self) -> str:
        """The repository's page."""
        prefix = "" if self.repo_type == "model" else f"{self.repo_type}s/"
        return f"{self._api.endpoint}/{prefix}{self.repo_id}"

    def account(self) -> str:
        """Return whose token is used; the Hub is asked once, for it grants this answer to few requests a minute."""
        if self._account is None:
            with explained(self.repo_id, self._token):
                self._account = str(self._api.whoami()["name"])
        return self._account

    def may_write(self) -> bool:
        """Tell whether the token may write to the repository. The Hub decides it: by owner, role and the token's scope.

        Raises
        ------
        HubError
            There is no such repository, or it is not seen.
        UnknownTokenError
            The Hub does not know the token.
        """
        with explained(self.repo_id, self._token):
            try:
                self._api.auth_check(self.repo_id, repo_type=self.repo_type, write=True)
            except hub.GatedRepoError:
                raise
            except hub.HfHubHTTPError as error:
                if error.response.status_code != 403:
                    raise
                return False
            return True

    def base(self, revision: str = MAIN) -> Base:
        """Return the commit at the head of a branch or pull request."""
        with explained(self.repo_id, self._token):
            return self._base(revision)

    def _base(self, revision: str) -> Base:
        return Base(revision, str(self._info(revision).sha))

    def _info(self, revision: str, **options: Any) -> Any:
        # Without a time of its own this call would undo the session's.
        options |= {"repo_type": self.repo_type, "revision": revision, "timeout": _PATIENCE}
        return self._api.repo_info(self.repo_id, **options)

    def head(self) -> Base | None:
        """Return the commit at the head of the main branch; None where the repository is not there, or not seen."""
        with explained(self.repo_id, self._token):
            try:
                return self._base(MAIN)
            except hub.GatedRepoError:
                raise
            except hub.RepositoryNotFoundError:
                return None

    def base_or_created(self, create: bool, **options: Any) -> tuple[Base, bool]:
        """Return the head of the repository and whether it was created for it; options as of `HfApi.create_repo`."""
        found = self.head()
        if found is not None:
            return found, False
        if not create:
            raise HubError(f"{self.repo_id}: there is no such repository, or your token may not see it. See --create.")
        with explained(self.repo_id, self._token):
            try:
                self._api.create_repo(self.repo_id, repo_type=self.repo_type, **options)
            except hub.HfHubHTTPError as error:
                if error.response.status_code != 409:
                    raise
                words = f"{self.repo_id}: the name is taken, and your token may not see what has it."
                raise HubError(words) from error
        return self.base(), True

    def set_variables(self, variables: dict[str, str]) -> bool:
        """Give a Space's environment some variables; return whether any changed, after which it starts anew."""
        with explained(self.repo_id, self._token):
            there = {name: found.value for name, found in self._api.get_space_variables(self.repo_id).items()}
            changed = {name: value for name, value in variables.items() if there.get(name) != value}
            for name, value in changed.items():
                self._api.add_space_variable(self.repo_id, name, value)
        return bool(changed)

    def choose_hardware(self, name: str) -> None:
        """Choose a Space's hardware, such as ``zero-a10g``."""
        with explained(self.repo_id, self._token):
            self._api.request_space_hardware(self.repo_id, name)

    def read(self, path: str, base: Base) -> bytes | None:
        """Return a file at a commit; None where there is none."""
        url = hf_hub_url(self.repo_id, path, repo_type=self.repo_type, revision=base.sha, endpoint=self._api.endpoint)
        with explained(self.repo_id, self._token):
            answer = get_session().get(url, headers=build_hf_headers(token=self._api.token))
            try:
                hf_raise_for_status(answer)
            except hub.RemoteEntryNotFoundError:
                return None
            return answer.content

    def files(self, base: Base) -> dict[str, Any]:
        """Return all files at a commit by path, as `huggingface_hub` describes them, with sizes and hashes."""
        with explained(self.repo_id, self._token):
            info = self._info(base.sha, files_metadata=True)
            return {sibling.rfilename: sibling for sibling in info.siblings or []}

    def differing(self, files: dict[str, bytes], base: Base) -> dict[str, bytes]:
        """Return the files that a commit does not have, or has otherwise."""
        there = self.files(base)
        return {p: content for p, content in files.items() if p not in there or not is_content(content, there[p])}

    def open_request(self, title: str, author: str) -> Discussion | None:
        """Return an account's open pull request with this title, the newest one; None without one."""
        with explained(self.repo_id, self._token):
            kind = {"repo_type": self.repo_type, "discussion_type": "pull_request", "discussion_status": "open"}
            found = self._api.get_repo_discussions(self.repo_id, author=author, **kind)
            mine = (d for d in found if d.author == author and d.title == title)
            return max(mine, key=lambda request: request.num, default=None)

    def send(
        self,
        base: Base,
        title: str,
        files: dict[str, bytes],
        deleted: Sequence[str] = (),
        text: str = "",
        as_request: bool = False,
    ) -> str:
        """Make one commit on a base.

        Parameters
        ----------
        base : Base
        title, text : str
            Of the commit, and of its pull request.
        files : dict of str to bytes
            Contents by path.
        deleted : sequence of str
            Paths.
        as_request : bool
            As a new pull request; otherwise the commit goes onto the base's branch or pull request.

        Returns
        -------
        str
            Where the change is to be seen.

        Raises
        ------
        HubError
            Nothing arrived, or not all files did; the message says which.
        HubTroubleError
            Another commit came first, or it is not known whether this one arrived.
        """
        additions = [CommitOperationAdd(path, content) for path, content in files.items()]
        try:
            made = self._api.create_commit(
                self.repo_id,
                [*additions, *map(CommitOperationDelete, deleted)],
                commit_message=title,
                commit_description=text,
                repo_type=self.repo_type,
                revision=None if base.revision == MAIN else base.revision,
                create_pr=as_request,
                parent_commit=base.sha,
            )
        except Exception as error:
            said = hub_error(error, self.repo_id, self._token)
            if _may_have_arrived(error):
                look = f"The commit may have arrived all the same: look at {self.url} before you repeat it."
                said = HubTroubleError(f"{said} {look}")
            raise said from error
        url = str(made.pr_url or made.commit_url)
        dropped = self.differing(files, Base(base.revision, made.pr_revision or made.oid))
        if dropped:  # the hub library leaves out without a word what the repository ignores
            words = f"its .gitignore keeps {', '.join(dropped)} out of {url}"
            raise HubError(f"{self.repo_id}: {words}. Take those lines out of it and run this again.")
        return url


def _may_have_arrived(error: Exception) -> bool:
    """Tell whether the commit itself went without a clear answer."""
    if isinstance(error, hub.HfHubHTTPError):  # which has no request of its own
        return error.response.status_code >= 500 and "/commit/" in str(error.response.request.url)
    if isinstance(error, httpx2.RequestError):
        return "/commit/" in str(error.request.url)
    return isinstance(error, NONSENSE)


def is_content(content: bytes, there: Any) -> bool:
    """Tell whether a file on the Hub, with its hashes, has this content."""
    if there.lfs is not None:
        return there.lfs.sha256 == hashlib.sha256(content).hexdigest()
    return getattr(there, "blob_id", None) == hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
