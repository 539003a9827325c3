"""A repository on the Hub: read at one commit, changed in one commit. Knows nothing about runs and cards.

`Remote`       a repository
`Base`         the commit that a change is made on
`Sent`         what became of a change

A file is read straight from the Hub and at a given commit, never from a local copy: the library's own readers fall
back silently to an older one when the Hub is in trouble. A commit names the one that it was made on, so that somebody
else's change in between is noticed, and it is never sent twice: after a lost answer the Hub is asked what it has.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import Any

import httpx2
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, hf_hub_url, set_client_factory
from huggingface_hub.errors import HfHubHTTPError, RemoteEntryNotFoundError
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status
from huggingface_hub.utils._http import default_client_factory

from plantain.hub.errors import (
    ConflictError,
    HubError,
    HubTroubleError,
    MissingRepoError,
    explained,
    hub_error,
    keep_secret,
)

MAIN, RUNS = "main", "runs"  # the branch; where published runs lie

_PATIENCE = 60.0  # seconds for an answer; the library itself would wait for ever

_LOOKS = (1.0, 3.0, 6.0)  # seconds before each look for a change whose answer was lost


@dataclass(frozen=True)
class Base:
    """The commit `sha`, at the head of the branch or pull request `revision`."""

    revision: str
    sha: str


@dataclass(frozen=True)
class Change:
    """What one commit changes.

    Attributes
    ----------
    files : dict of str to bytes
        Contents by path.
    title, text : str
        Of the commit, and of its pull request.
    deleted : tuple of str
        Paths.
    """

    files: dict[str, bytes]
    title: str
    text: str = ""
    deleted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sent:
    """Where a change is to be seen; `answered` is false where the Hub's answer was lost and the change was found."""

    url: str
    answered: bool = True


def _patient_client() -> httpx2.Client:
    """Make the hub library's client with an end to its patience; it makes a new one whenever a connection broke."""
    client = default_client_factory()
    client.timeout = httpx2.Timeout(_PATIENCE, connect=min(_PATIENCE, 20.0))
    return client


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
        keep_secret(self._api.token)
        set_client_factory(_patient_client)

    @property
    def url(self) -> str:
        """The repository's page."""
        prefix = "" if self.repo_type == "model" else f"{self.repo_type}s/"
        return f"{self._api.endpoint}/{prefix}{self.repo_id}"

    def account(self) -> str:
        """Return whose token is used."""
        with explained(self.repo_id):
            return self._api.whoami()["name"]

    def base(self, revision: str = MAIN) -> Base:
        """Return the commit at the head of a branch or pull request."""
        with explained(self.repo_id):
            info = self._info(revision)
            return Base(revision, str(info.sha))

    def _info(self, revision: str, **options: Any) -> Any:
        # Without a time of its own this call would undo the session's.
        options |= {"repo_type": self.repo_type, "revision": revision, "timeout": _PATIENCE}
        return self._api.repo_info(self.repo_id, **options)

    def base_or_created(self, create: bool, **options: Any) -> tuple[Base, bool]:
        """Return the head of the repository and whether it was created for it; options as of `HfApi.create_repo`."""
        try:
            return self.base(), False
        except MissingRepoError as error:
            if not create:
                raise MissingRepoError(f"{error} Check the name and the token, or create it with --create.") from error
        try:
            with explained(self.repo_id):
                self._api.create_repo(self.repo_id, repo_type=self.repo_type, **options)
        except ConflictError as error:
            raise HubError(f"{self.repo_id}: the name is taken, and your token may not see what has it.") from error
        return self.base(), True

    def read(self, path: str, base: Base) -> bytes | None:
        """Return a file at a commit; None where there is none."""
        with explained(self.repo_id):
            url = hf_hub_url(
                self.repo_id, path, repo_type=self.repo_type, revision=base.sha, endpoint=self._api.endpoint
            )
            answer = get_session().get(url, headers=build_hf_headers(token=self._api.token))
            try:
                hf_raise_for_status(answer)
            except RemoteEntryNotFoundError:
                return None
            return answer.content

    def files(self, base: Base) -> dict[str, Any]:
        """Return all files at a commit by path, as `huggingface_hub` describes them, with sizes and hashes."""
        with explained(self.repo_id):
            info = self._info(base.sha, files_metadata=True)
            return {sibling.rfilename: sibling for sibling in info.siblings or []}

    def download(self, path: str, base: Base, folder: str) -> str:
        """Fetch a file at a commit into a cache folder, which must be a fresh one; return where it is."""
        with explained(self.repo_id):
            return self._api.hf_hub_download(
                self.repo_id, path, repo_type=self.repo_type, revision=base.sha, cache_dir=folder
            )

    def differing(self, files: dict[str, bytes], base: Base) -> dict[str, bytes]:
        """Return the files that a commit does not have, or has otherwise."""
        if not files:
            return {}
        with explained(self.repo_id):
            found = self._api.get_paths_info(self.repo_id, list(files), repo_type=self.repo_type, revision=base.sha)
            same = {there.path for there in found if there.path in files and is_content(files[there.path], there)}
            return {path: content for path, content in files.items() if path not in same}

    def open_request(self, title: str, author: str) -> int | None:
        """Return the number of an account's open pull request with this title, the newest one; None without one."""
        with explained(self.repo_id):
            found = self._api.get_repo_discussions(
                self.repo_id, repo_type=self.repo_type, author=author,
                discussion_type="pull_request", discussion_status="open",
            )  # fmt: skip
            numbers = [d.num for d in found if d.is_pull_request and d.author == author and d.title == title]
            return max(numbers, default=None)

    def request_url(self, number: int) -> str:
        """Return a pull request's page."""
        return f"{self.url}/discussions/{number}"

    def send(self, change: Change, base: Base, author: str | None = None) -> Sent:
        """Make one commit on a base.

        Parameters
        ----------
        change : Change
        base : Base
        author : str, optional
            Whose new pull request it shall be; without, the commit goes onto the base's branch or pull request.

        Returns
        -------
        Sent

        Raises
        ------
        ConflictError
            The base is no longer the newest commit.
        HubError, HubTroubleError
            Nothing landed; or it is not known whether something did, which the message says.
        """
        operations = self._uploaded(change, base, author is not None)
        try:
            made = self._api.create_commit(
                self.repo_id,
                operations,
                commit_message=change.title,
                commit_description=change.text,
                repo_type=self.repo_type,
                revision=None if base.revision == MAIN else base.revision,
                create_pr=author is not None,
                parent_commit=base.sha,
            )
        except Exception as error:
            if not _may_have_landed(error):
                raise hub_error(error, self.repo_id) from error
            return self._found(change, base, author, error)
        return Sent(str(made.pr_url or made.commit_url))

    def _uploaded(self, change: Change, base: Base, create_pr: bool) -> list[Any]:
        """Send what goes by LFS, and refuse what the repository would drop without a word."""
        additions = [CommitOperationAdd(path_in_repo=p, path_or_fileobj=content) for p, content in change.files.items()]
        with explained(self.repo_id):
            self._api.preupload_lfs_files(
                self.repo_id, additions, repo_type=self.repo_type, revision=base.revision, create_pr=create_pr,
                free_memory=False,
            )  # fmt: skip
        dropped = [add.path_in_repo for add in additions if getattr(add, "_should_ignore", False)]
        if dropped:
            raise HubError(
                f"{self.repo_id}: its .gitignore keeps {', '.join(dropped)} out. Take those lines out of it."
            )
        return [*additions, *(CommitOperationDelete(path_in_repo=path) for path in change.deleted)]

    def _found(self, change: Change, base: Base, author: str | None, error: Exception) -> Sent:
        """Look for a change whose answer was lost."""
        for seconds in _LOOKS:
            time.sleep(seconds)
            try:
                sent = self._look(change, base, author)
            except HubError as trouble:
                unknown = (
                    f"{self.repo_id}: the Hub's answer was lost, and it cannot be seen whether the change landed. "
                    f"Look at {self.url} before you run it again."
                )
                if seconds == _LOOKS[-1]:
                    raise HubTroubleError(unknown) from trouble
                continue
            if sent is not None:
                return sent
        raise HubTroubleError(
            f"{hub_error(error, self.repo_id)} The change was not seen on the Hub within {sum(_LOOKS):g} s: look at "
            f"{self.url} before you run it again. Nothing was sent twice."
        ) from error

    def _look(self, change: Change, base: Base, author: str | None) -> Sent | None:
        if author is not None:
            number = self.open_request(change.title, author)
            if number is None:
                return None
            now, url = self.base(f"refs/pr/{number}"), self.request_url(number)
        else:
            now = self.base(base.revision)
            url = f"{self.url}/commit/{now.sha}"
        gone = not change.deleted or not set(change.deleted) & set(self.files(now))
        landed = now.sha != base.sha and gone and not self.differing(change.files, now)
        return Sent(url, answered=False) if landed else None


def _may_have_landed(error: Exception) -> bool:
    """Tell whether it was the commit itself that went without a clear answer."""
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code >= 500 and "/commit/" in str(error.response.request.url)
    if isinstance(error, httpx2.RequestError):
        return "/commit/" in str(error.request.url)
    return isinstance(error, ValueError | KeyError) and "Invalid metadata" not in str(error)


def is_content(content: bytes, there: Any) -> bool:
    """Tell whether a file on the Hub, with its hashes, has this content."""
    if there.lfs is not None:
        return there.lfs.sha256 == hashlib.sha256(content).hexdigest()
    return getattr(there, "blob_id", None) == hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
