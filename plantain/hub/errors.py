"""What can go wrong with the Hub, each as one sentence that says what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
from huggingface_hub import errors as hub
from huggingface_hub.utils import get_token, parse_ratelimit_headers

from plantain import PlantainError
from plantain._files import printable

_SECRETS: set[str] = set()  # tokens of a caller's own HfApi; the hub library's own is found by `get_token`


def keep_secret(token: object) -> None:
    """Keep a token out of every message, wherever the Hub may repeat it."""
    if isinstance(token, str) and token:
        _SECRETS.add(token)


class HubError(PlantainError, RuntimeError):
    """The Hub refuses what is asked, or what comes from it cannot be used: the caller has to change something."""


class HubTroubleError(HubError):
    """The Hub or the network fails, or somebody else's commit came first: the same command may work later."""

    exit_code = 1


@contextmanager
def explained(repo_id: str) -> Iterator[None]:
    """Turn whatever the hub library raises into a `HubError`."""
    try:
        yield
    except PlantainError:
        raise
    except Exception as error:  # the hub library raises httpx2's errors, OSErrors, ValueErrors and RuntimeErrors
        raise hub_error(error, repo_id) from error


def hub_error(error: Exception, repo_id: str) -> HubError:
    """Say in one sentence what an error of the hub library means, and what to do."""
    root = _root(error)
    if isinstance(root, hub.OfflineModeIsEnabled):
        return HubError("HF_HUB_OFFLINE is set, so nothing is sent. Unset it and try again.")
    if isinstance(root, hub.LocalTokenNotFoundError):
        return HubError("You are not logged in. Log in with `hf auth login`, with a token that may write.")
    if isinstance(root, hub.HfHubHTTPError):
        return _refused(root, repo_id)
    if isinstance(root, hub.HFValidationError):
        return HubError(f"{repo_id!r} is no repository id. Give OWNER/NAME.")
    if isinstance(root, httpx2.TimeoutException):
        return HubTroubleError(f"{repo_id}: the Hub did not answer in time. Try again later.")
    if isinstance(root, httpx2.TransportError):
        return HubTroubleError(
            f"{repo_id}: the connection to the Hub failed ({type(root).__name__}). Check the network and try again."
        )
    if isinstance(root, ValueError) and str(root).startswith("Invalid metadata in README.md"):
        return HubError(f"{repo_id}: the Hub does not accept the card's front matter ({_one_line(root)}). Mend it.")
    if isinstance(root, json.JSONDecodeError | KeyError):
        return HubTroubleError(f"{repo_id}: the Hub's answer makes no sense. Try again later (is HF_ENDPOINT right?).")
    return HubTroubleError(f"{repo_id}: the exchange with the Hub failed ({_one_line(root)}). Try again.")


def _root(error: BaseException) -> BaseException:
    """Find what lies behind the library's RuntimeErrors (uploads) and missing local files (downloads)."""
    wrapped = isinstance(error, RuntimeError | hub.LocalEntryNotFoundError) and not isinstance(
        error, hub.HfHubHTTPError
    )
    return _root(error.__cause__) if wrapped and error.__cause__ is not None else error


def _refused(error: hub.HfHubHTTPError, repo_id: str) -> HubError:
    """Explain an answer of the Hub by its status."""
    status = error.response.status_code
    if isinstance(error, hub.GatedRepoError):
        return HubError(f"{repo_id}: access is gated. Accept its terms on its page, with the account of your token.")
    if status == 401 and not isinstance(error, hub.RepositoryNotFoundError):
        return HubError("The Hub does not accept your token. Log in again with `hf auth login`.")
    if isinstance(error, hub.RepositoryNotFoundError):
        return HubError(f"{repo_id}: there is no such repository, or your token may not see it.")
    if status == 403:
        return HubError(
            f"{repo_id}: your token may not do this ({_said(error)}). Take one with the right to write to it, or ask "
            "its owner."
        )
    if status == 404:
        return HubError(f"{repo_id}: the Hub does not find what was asked for ({_said(error)}).")
    if status == 409:
        return HubTroubleError(f"{repo_id}: another change is under way ({_said(error)}). Run it again.")
    if status == 412:
        return HubTroubleError(f"{repo_id}: someone changed it meanwhile. Nothing was overwritten: run it again.")
    if status == 429:
        return HubTroubleError(f"{repo_id}: the Hub has had too many requests from you. Try again {_wait(error)}.")
    if status >= 500:
        return HubTroubleError(f"{repo_id}: the Hub has trouble of its own (error {status}). Try again later.")
    return HubError(f"{repo_id}: the Hub refused ({status}: {_said(error)}).")


def _wait(error: hub.HfHubHTTPError) -> str:
    """Say how long to wait, where the Hub says it."""
    headers = error.response.headers
    limit = parse_ratelimit_headers(headers)
    seconds = headers.get("retry-after") or (limit and str(limit.reset_in_seconds)) or ""
    return f"in {seconds} s" if seconds.isdecimal() else "in a few minutes"


def _said(error: hub.HfHubHTTPError) -> str:
    return _one_line(error.server_message or error.response.reason_phrase or error.response.status_code)


def _one_line(what: object) -> str:
    """Shorten foreign words to a line; a token that they repeat is not shown."""
    words = " ".join(str(what).split()) or type(what).__name__
    for token in filter(None, (get_token(), *_SECRETS)):
        words = words.replace(token, "…")
    return printable(words[:200])
