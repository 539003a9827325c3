"""What went wrong, in words: what happened, what it cost, what to do. Everything is escaped.

ZeroGPU's refusals are errors told apart by their title; the numbers stand in their message. Titles and messages are
those of `spaces` 0.51, which this module does not import.
"""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import wraps
from html import escape
from typing import Any

import gradio as gr

from plantain import PlantainError
from plantain.ui.engine import PassError

_log = logging.getLogger(__name__)


LOCAL_RUN = "python -m plantain run --model {model} --prompts {prompts} --out runs/mine"

LOCAL_PAIR = 'python -m plantain pair runs/mine --positive "…" --negative "…"'


_FREE = "Nothing was started: no GPU second was spent."

_LESS = "fewer pairs at once and a smaller image ask for less"

_OWNER = "If it stays, tell the owner of this page."

_AGAIN = f"Try again in a few minutes. {_OWNER}"

_QUOTA = re.compile(r"\((\d+)s requested vs\. (-?\d+)s left\)")

_WAIT = re.compile(r"Try again in ((?:\d+ days?, )?\d+:\d\d)")


@dataclass(frozen=True)
class Explanation:
    """What went wrong, in sentences.

    Attributes
    ----------
    happened : str
    cost : str
        What is known of it; empty where nothing is counted.
    advice : str
    elsewhere : bool
        Running it on a machine of one's own would help.
    """

    happened: str
    cost: str
    advice: str
    elsewhere: bool = False


def explain(error: Exception, asked: int | None = None) -> Explanation:
    """Explain an error.

    Parameters
    ----------
    error : Exception
        Ours, ZeroGPU's, or any other.
    asked : int, optional
        Seconds of a visitor's quota that the call asked for; None where there is no quota.
    """
    title, message = getattr(error, "title", None), str(getattr(error, "message", ""))
    if title in ZERO_GPU:
        found = ZERO_GPU[title](message, asked)
    elif title:  # a refusal that is newer than this table
        found = Explanation(f"{title}: {message}", "", _AGAIN)
    elif isinstance(error, PlantainError):
        found = _ours(error, asked)
    else:
        found = _scheduler(error) or _unknown(error, asked)
    return replace(found, happened=_ended(found.happened))


def failure_text(error: Exception, asked: int | None = None) -> str:
    """Say in one line what went wrong, what it cost and what to do."""
    found = explain(error, asked)
    return " ".join(filter(None, (found.happened, found.cost, found.advice)))


def failure_html(error: Exception, kept: str = "", asked: int | None = None, command: str = "") -> str:
    """Show what went wrong, what it cost, what to do and what is kept; the command where it would help."""
    found = explain(error, asked)
    elsewhere = found.elsewhere and command
    advice = f"{found.advice} Or run it on a machine of your own:" if elsewhere else found.advice
    parts = [f"<p><b>{escape(found.happened[:1].upper() + found.happened[1:])}</b></p>"]
    parts += [f"<p>{escape(text)}</p>" for text in (found.cost, kept, advice) if text]
    parts += [f'<pre class="pl-command"><code>{escape(command)}</code></pre>'] if elsewhere else []
    return f'<div class="pl-error pl-failure" role="alert">{"".join(parts)}</div>'


@dataclass
class Call:
    """What is known of a call when it fails: seconds of quota asked for, and what is kept."""

    asked: int | None = None
    kept: Callable[[], str] = str


@contextmanager
def told() -> Iterator[Call]:
    """Tell the caller what went wrong inside, and print nothing: a message may hold what a visitor wrote.

    Raises
    ------
    gr.Error
        In the place of any other exception.
    """
    call = Call()
    try:
        yield call
    except Exception as error:
        said = f"{failure_text(error, call.asked)} {call.kept()}".strip()
        raise gr.Error(said, print_exception=False) from error


def listener(function: Callable) -> Callable:
    """Guard a listener of the page: what it raises is shown to the visitor, and Gradio prints no words of it."""
    if inspect.iscoroutinefunction(function):

        @wraps(function)
        async def guarded(*given: Any) -> Any:
            with told():
                return await function(*given)

    elif inspect.isgeneratorfunction(function):

        @wraps(function)
        def guarded(*given: Any) -> Any:
            with told():
                yield from function(*given)

    else:

        @wraps(function)
        def guarded(*given: Any) -> Any:
            with told():
                return function(*given)

    return guarded


def kept_words(kept: int, total: int) -> str:
    """Say what is kept of a probe that did not come to its end; nothing where nothing is."""
    return f"{kept} of {total} pairs are done and kept: the same settings continue from there." if kept else ""


def _ended(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _spent(asked: int | None) -> str:
    """Say what a call cost that had got its GPU."""
    return "" if asked is None else f"It may have cost up to {asked} s of your GPU quota."


# --- ours ---


def _ours(error: PlantainError, asked: int | None) -> Explanation:
    """Our errors say what to do themselves."""
    if isinstance(error, PassError):
        return Explanation(str(error), _spent(asked), "")
    return Explanation(str(error), "" if asked is None else _FREE, "")


def _unknown(error: Exception, asked: int | None) -> Explanation:
    """Of a fault of ours only the kind is said; the rest is in the log."""
    _log.error("a request failed", exc_info=error)
    cost = "" if asked is None else f"What it cost is not known: at most {asked} s of your GPU quota."
    return Explanation(f"Something broke ({type(error).__name__}).", cost, f"Try again. {_OWNER}")


# --- ZeroGPU ---


def _quota(message: str, asked: int | None) -> Explanation:
    """Tell the refusals that share this title apart."""
    if "No GPU was available" in message:  # a visitor without a token, after a minute in ZeroGPU's queue
        return _queue(message, asked)
    if "runs limit" in message:
        return Explanation(
            "You have used up the number of GPU calls that ZeroGPU grants you a day.", _FREE,
            "Wait until tomorrow. An account with PRO has more.", True,
        )  # fmt: skip
    if not (numbers := _QUOTA.search(message)):
        return Explanation(
            "ZeroGPU's quota of this page for visitors whom it does not know is used up.", _FREE,
            "Sign in to Hugging Face and reload the page, so that your own quota counts.", True,
        )  # fmt: skip
    happened = f"Your GPU quota does not suffice: {numbers[1]} s are asked for, {numbers[2]} s are left."
    wait = f"Wait {found[1]} h, until enough has come back" if (found := _WAIT.search(message)) else "Wait"
    return Explanation(happened, _FREE, f"{wait}; {_more(message)}; {_LESS}.", True)


def _more(message: str) -> str:
    """Say who gets more, by what ZeroGPU knows of the visitor."""
    if "Pro ZeroGPU" in message:
        return "credits can be added on your billing page"
    if "free ZeroGPU" in message:
        return "PRO has a larger quota than a free account"
    return "a free account has more than a visitor who is not signed in to Hugging Face"


def _credits(message: str, asked: int | None) -> Explanation:
    return Explanation(
        "Too many of your ZeroGPU credits are set aside for tasks of yours that are still running.", _FREE,
        "Wait until they have ended, or stop them, and try again.", True,
    )  # fmt: skip


def _duration(message: str, asked: int | None) -> Explanation:
    found = re.search(r"\((\d+)s\)", message)
    seconds = f" ({found[1]} s)" if found else ""
    return Explanation(
        f"This asks for more GPU time at once{seconds} than ZeroGPU grants you.", _FREE,
        f"Choose less: {_LESS}, and the pairs that are done are kept. PRO is granted more at once.", True,
    )  # fmt: skip


def _queue(message: str, asked: int | None) -> Explanation:
    return Explanation(
        "No GPU became free within a minute in ZeroGPU's queue.", _FREE,
        "Try again in a few minutes; visitors with an account, and those with PRO, are served first.", True,
    )  # fmt: skip


def _client(message: str, asked: int | None) -> Explanation:
    if "No GPU" in message:
        return Explanation("ZeroGPU has no GPU to give at the moment.", _FREE, "Try again in a few minutes.", True)
    if "Expired" in message:
        return Explanation(
            "This page has been open for so long that its ZeroGPU token ran out.", _FREE,
            "Reload the page and try again; download your own runs first, their list is gone then.",
        )  # fmt: skip
    return Explanation(f"ZeroGPU could not be asked for a GPU ({message}).", _FREE, _AGAIN)


def _worker(message: str, asked: int | None) -> Explanation:
    if message == "GPU task aborted":
        return Explanation(
            "The GPU was taken away before the end: the time that was asked for ran out, or the process there died.",
            _spent(asked), f"Try again, with fewer pairs at once. {_OWNER}", True,
        )  # fmt: skip
    return Explanation(f"Something broke on the GPU ({message}).", _spent(asked), f"Try again. {_OWNER}", True)


ZERO_GPU: dict[str, Callable[[str, int | None], Explanation]] = {
    "ZeroGPU quota exceeded": _quota,
    "ZeroGPU pending credits exceeded": _credits,
    "ZeroGPU illegal duration": _duration,
    "ZeroGPU queue timeout": _queue,
    "ZeroGPU client error": _client,
    "ZeroGPU worker error": _worker,
}
"""By title; each takes the message and the seconds asked for."""


def _scheduler(error: Exception) -> Explanation | None:
    """Explain what ZeroGPU's client raises without a title: before a GPU was had."""
    text = str(error)
    if isinstance(error, RuntimeError) and (found := re.match(r"ZeroGPU API /schedule error: (\d+) \((.*)\)", text)):
        return Explanation(f"ZeroGPU's scheduler answered with an error ({found[1]} {found[2]}).", _FREE, _AGAIN, True)
    if type(error).__module__.partition(".")[0].startswith("httpx"):
        return Explanation(f"ZeroGPU's scheduler does not answer ({type(error).__name__}).", _FREE, _AGAIN, True)
    if isinstance(error, RuntimeError) and text.startswith(("Unexpected end of stream", "Error while re-trying")):
        return Explanation("The connection to ZeroGPU's queue broke off.", _FREE, _AGAIN, True)
    return None
