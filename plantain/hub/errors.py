"""What can go wrong with the Hub, each as one sentence that says what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import compress

import httpx2
from huggingface_hub import errors as hub
from huggingface_hub.utils import get_token, parse_ratelimit_headers

from plantain import PlantainError
from plantain._files import printable

NONSENSE = (json.JSONDecodeError, KeyError)
"""What the hub library raises where an answer is not what it expects."""


class HubError(PlantainError, RuntimeError):
    """The Hub refuses what is asked, or what comes from it cannot be used: the caller has to change something."""


class UnknownTokenError(HubError):
    """The Hub does not know the token, or not any more."""


class RefusedError(HubError):
    """The Hub knows the token, which may not do what is asked."""


class HubTroubleError(HubError):
    """The Hub or the network fails, or somebody else's commit came first: the same command may work later."""

    exit_code = 1


# What an error means, by its type or by the status of the Hub's answer (500: and above); the first row that fits.
_MEANINGS = (
    (hub.LocalTokenNotFoundError, HubError, "You are not logged in. Log in with `hf auth login`."),
    (hub.HFValidationError, HubError, "{repo!r} is no repository id. Give OWNER/NAME."),
    (hub.GatedRepoError, HubError, "{repo}: access is gated. Accept its terms on its page, with your token's account."),
    (hub.RepositoryNotFoundError, HubError, "{repo}: there is no such repository, or your token may not see it."),
    (401, UnknownTokenError, "The Hub does not accept your token. Log in again with `hf auth login`."),
    (403, RefusedError, "{repo}: your token may not do this ({said}). Take one that may write, or ask its owner."),
    (404, HubError, "{repo}: the Hub does not find what was asked for ({said})."),
    (409, HubTroubleError, "{repo}: another change is under way ({said}). Run it again."),
    (412, HubTroubleError, "{repo}: someone changed it meanwhile. Nothing was overwritten: run it again."),
    (429, HubTroubleError, "{repo}: the Hub has had too many requests from you. Try again {wait}."),
    (500, HubTroubleError, "{repo}: the Hub has trouble of its own (error {status}). Try again later."),
    (hub.HfHubHTTPError, HubError, "{repo}: the Hub refused ({status}: {said})."),
    (httpx2.TimeoutException, HubTroubleError, "{repo}: the Hub did not answer in time. Try again later."),
    (httpx2.TransportError, HubTroubleError, "{repo}: the connection to the Hub failed ({kind}). Check the network."),
    (NONSENSE, HubTroubleError, "{repo}: the Hub's answer makes no sense. Try again later (is HF_ENDPOINT right?)."),
    (ValueError, HubError, "{repo}: the Hub does not accept what is sent ({said}). Fix it."),  # a card's front matter
    (Exception, HubTroubleError, "{repo}: the exchange with the Hub failed ({said}). Try again."),
)


@contextmanager
def explained(repo_id: str, token: str | None = None) -> Iterator[None]:
    """Turn whatever the hub library raises into a `HubError`, as `hub_error` does."""
    try:
        yield
    except PlantainError:
        raise
    except Exception as error:  # the hub library raises httpx2's errors, OSErrors, ValueErrors and RuntimeErrors
        raise hub_error(error, repo_id, token) from error


def hub_error(error: BaseException, repo_id: str, token: str | None = None) -> HubError:
    """Say in one sentence what an error of the hub library means, and what to do.

    Parameters
    ----------
    error : BaseException
    repo_id : str
    token : str, optional
        The caller's own, kept out of the sentence as the hub library's is. It is handed over with every call, so that
        nobody's token outlives the call that it came with.
    """
    while isinstance(error, RuntimeError) and error.__cause__ is not None:  # so the library wraps what uploads meet
        error = error.__cause__
    status, said, headers = 0, error, {}
    if isinstance(error, hub.HfHubHTTPError):
        status, headers = error.response.status_code, error.response.headers
        said = error.server_message or error.response.reason_phrase or status
    fits = (min(status, 500) == key if isinstance(key, int) else isinstance(error, key) for key, _, _ in _MEANINGS)
    _, kind, words = next(compress(_MEANINGS, fits))
    facts = {"status": status, "said": _one_line(said, token), "wait": _wait(headers), "kind": type(error).__name__}
    return kind(words.format(repo=repo_id, **facts))


def _wait(headers: Mapping[str, str]) -> str:
    """Say how long to wait, where the Hub says it."""
    limit = parse_ratelimit_headers(headers)
    seconds = headers.get("retry-after") or (limit and str(limit.reset_in_seconds)) or ""
    return f"in {seconds} s" if seconds.isdecimal() else "in a few minutes"


def _one_line(what: object, token: str | None = None) -> str:
    """Shorten foreign words to a line; a token that they repeat is not shown."""
    words = " ".join(str(what).split()) or type(what).__name__
    for secret in filter(None, (get_token(), token)):
        words = words.replace(secret, "…")
    return printable(words[:200])
