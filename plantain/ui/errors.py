"""What went wrong, in words: what happened, what it cost, what to do. Everything is escaped.

ZeroGPU's refusals are told apart by their title; the numbers stand in their message. Titles and messages are those of
`spaces` 0.51, which this module does not import.
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

LOCAL_TURN = "python -m plantain intervene runs/mine"

LOCAL_DRAWING = "python -m plantain draw runs/mine --heads top:10"


_FREE = "Nothing was started: no GPU second was spent."

_LESS = "fewer pairs at once and a smaller image ask for less"

_OWNER = "If it stays, tell the owner of this page."

_AGAIN = f"Try again in a few minutes. {_OWNER}"


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
    spent = "" if asked is None else f"It may have cost up to {asked} s of your GPU quota."
    if title in ZERO_GPU:
        match, *words = next((m, *said) for pattern, *said in ZERO_GPU[title] if (m := re.search(pattern, message)))
        seconds = f" ({m[1]} s)" if (m := re.search(r"\((\d+)s\)", message)) else ""
        facts = {"message": message, "seconds": seconds, "wait": _wait(message)}
        happened, advice = (text.format(*match.groups(), **facts) for text in words)
        found = Explanation(happened, spent if title == _WORKER else _FREE, advice, True)
    elif title:  # a refusal that is newer than the table
        found = Explanation(f"{title}: {message}", "", _AGAIN)
    elif isinstance(error, PlantainError):  # ours say what to do themselves
        unspent = "" if asked is None else _FREE
        found = Explanation(str(error), spent if isinstance(error, PassError) else unspent, "")
    elif happened := _scheduler(error):
        found = Explanation(happened, _FREE, _AGAIN, True)
    else:  # of a fault of ours only the kind is said; the rest is in the log
        _log.error("a request failed", exc_info=error)
        cost = "" if asked is None else f"What it cost is not known: at most {asked} s of your GPU quota."
        found = Explanation(f"Something broke ({type(error).__name__}).", cost, f"Try again. {_OWNER}")
    return found if found.happened.endswith((".", "!", "?")) else replace(found, happened=f"{found.happened}.")


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
    assert not inspect.iscoroutinefunction(function), "its errors would not be told"

    @wraps(function)
    def guarded(*given: Any) -> Any:
        with told():
            return function(*given)

    @wraps(function)
    def guarded_steps(*given: Any) -> Any:
        with told():
            yield from function(*given)

    return guarded_steps if inspect.isgeneratorfunction(function) else guarded


def kept_words(kept: int, total: int) -> str:
    """Say what is kept of a probe that did not come to its end; nothing where nothing is."""
    return f"{kept} of {total} pairs are done and kept: the same settings continue from there." if kept else ""


# --- ZeroGPU ---


_QUEUE = (
    "No GPU became free within a minute in ZeroGPU's queue.",
    "Try again in a few minutes; visitors with an account, and those with PRO, are served first.",
)

_WORKER = "ZeroGPU worker error"

ZERO_GPU: dict[str, list[tuple[str, str, str]]] = {
    "ZeroGPU quota exceeded": [
        ("No GPU was available", *_QUEUE),  # a visitor without a token, after a minute in ZeroGPU's queue
        ("runs limit", "You have used up the number of GPU calls that ZeroGPU grants you a day.",
         "Wait until tomorrow. An account with PRO has more."),
        (r"\((\d+)s requested vs\. (-?\d+)s left\)",
         "Your GPU quota does not suffice: {0} s are asked for, {1} s are left.", f"{{wait}}; {_LESS}."),
        ("", "ZeroGPU's quota of this page for visitors whom it does not know is used up.",
         "Sign in to Hugging Face and reload the page, so that your own quota counts."),
    ],
    "ZeroGPU pending credits exceeded": [
        ("", "Too many of your ZeroGPU credits are set aside for tasks of yours that are still running.",
         "Wait until they have ended, or stop them, and try again."),
    ],
    "ZeroGPU illegal duration": [
        ("", "This asks for more GPU time at once{seconds} than ZeroGPU grants you.",
         f"Choose less: {_LESS}, and the pairs that are done are kept. PRO is granted more at once."),
    ],
    "ZeroGPU queue timeout": [("", *_QUEUE)],
    "ZeroGPU client error": [
        ("No GPU", "ZeroGPU has no GPU to give at the moment.", "Try again in a few minutes."),
        ("Expired", "This page has been open for so long that its ZeroGPU token ran out.",
         "Reload the page and try again; download your own runs first, their list is gone then."),
        ("", "ZeroGPU could not be asked for a GPU ({message}).", _AGAIN),
    ],
    _WORKER: [
        ("^GPU task aborted$",
         "The GPU was taken away before the end: the time that was asked for ran out, or the process there died.",
         f"Try again, with fewer pairs at once. {_OWNER}"),
        ("", "Something broke on the GPU ({message}).", f"Try again. {_OWNER}"),
    ],
}  # fmt: skip
"""By title: what a message has in it (the first that fits holds), what happened, and what to do."""


def _wait(message: str) -> str:
    """Say how long to wait for quota, and who gets more, by what ZeroGPU knows of the visitor."""
    found = re.search(r"Try again in ((?:\d+ days?, )?\d+:\d\d)", message)
    wait = f"Wait {found[1]} h, until enough has come back" if found else "Wait"
    if "Pro ZeroGPU" in message:
        return f"{wait}; credits can be added on your billing page"
    if "free ZeroGPU" in message:
        return f"{wait}; PRO has a larger quota than a free account"
    return f"{wait}; a free account has more than a visitor who is not signed in to Hugging Face"


def _scheduler(error: Exception) -> str:
    """Say what ZeroGPU's client raises without a title, before a GPU was had; nothing of anything else."""
    text = str(error) if isinstance(error, RuntimeError) else ""
    if found := re.match(r"ZeroGPU API /schedule error: (\d+) \((.*)\)", text):
        return f"ZeroGPU's scheduler answered with an error ({found[1]} {found[2]})."
    if type(error).__module__.partition(".")[0].startswith("httpx"):
        return f"ZeroGPU's scheduler does not answer ({type(error).__name__})."
    broke = text.startswith(("Unexpected end of stream", "Error while re-trying"))
    return "The connection to ZeroGPU's queue broke off." if broke else ""
