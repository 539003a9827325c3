"""What the server lets in, and what it adds to every answer. Knows nothing about what the page shows.

`Gate`        ASGI middleware: an allow-list of addresses, a limit on what comes in, security headers, a log line
`logged`      a log line for work that takes a while: a pair or a probe
`health`      what ``/health`` answers
`start_log`   put the lines on stderr

Gradio has many addresses that this page needs none of: uploads, recordings, links that are written to the disk. What is
not in `ALLOWED` does not exist here. No line holds what a visitor wrote.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gradio.route_utils
import gradio.routes
from gradio.route_utils import FnIndexInferError
from starlette.exceptions import HTTPException

from plantain import PlantainError, __version__
from plantain.engine import Engine
from plantain.ui.store import RunStore

LARGEST = 2 << 20  # bytes that a request may bring; a pasted prompt set has at most a tenth of it
PACKAGE_LOG = logging.getLogger("plantain")
LOG = PACKAGE_LOG.getChild("requests")

CACHE = str(Path(os.environ.get("GRADIO_TEMP_DIR") or Path(tempfile.gettempdir()) / "gradio").resolve())

ALLOWED: tuple[tuple[str, str, str], ...] = (
    ("page", "GET HEAD", r"/"),
    ("health", "GET HEAD", r"/health"),
    ("asset", "GET HEAD", r"/(assets|static|svelte)/.*|(/gradio_api)?/theme\.css|/favicon\.ico|/robots\.txt"),
    ("asset", "GET HEAD", r"/manifest\.json|/pwa_icon(/\w+)?"),
    ("config", "GET", r"/config/?|/gradio_api/(info|app_id|startup-events)/?"),
    ("login", "GET", r"/gradio_api/(user|login_check|token)/?"),
    ("heartbeat", "GET", r"/gradio_api/heartbeat/[\w-]+"),
    ("queue", "GET POST", r"/gradio_api/queue/(join|data|status)|/gradio_api/(cancel|reset)/?"),
    ("endpoint", "GET POST", r"/gradio_api/(call|call/v2|run|api)/\w+(/\w*)?"),
    # A file that a click on "Take away" just made, in Gradio's own cache; Gradio answers for nothing else there.
    ("download", "GET HEAD", rf"/gradio_api/file={re.escape(CACHE)}/[0-9a-f]{{64}}/plantain[\w.-]*"),
    ("mcp", "GET POST DELETE OPTIONS", r"/gradio_api/mcp/?|/gradio_api/mcp/schema"),  # not its older way, SSE
)
"""Kind, methods and path of everything that is answered."""

_QUIET = ("asset", "heartbeat")  # dozens of each a visit, which say nothing
_PATTERNS = [(kind, methods.split(), re.compile(path)) for kind, methods, path in ALLOWED]


def security_headers(on_space: bool) -> dict[str, str]:
    """Return the headers of every answer, as strict as Gradio's inline scripts and styles permit.

    Parameters
    ----------
    on_space : bool
        A Space stands in a frame of the Hub, and Gradio loads one script there that sizes it.
    """
    frames = "'self' https://huggingface.co https://*.hf.space" if on_space else "'self'"
    scripts = " https://cdnjs.cloudflare.com" if on_space else ""
    policy = {
        "default-src": "'self'",
        "script-src": f"'self' 'unsafe-inline' 'unsafe-eval' blob:{scripts}",
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: blob:",
        "font-src": "'self' data:",
        "worker-src": "'self' blob:",
        "object-src": "'none'",
        "base-uri": "'self'",
        "form-action": "'self'",
        "frame-ancestors": frames,
    }
    return {
        "content-security-policy": "; ".join(f"{what} {where}" for what, where in policy.items()),
        "x-content-type-options": "nosniff",
        "referrer-policy": "same-origin",  # a link to a pair holds its prompts
        "permissions-policy": "camera=(), microphone=(), geolocation=()",
    }


class Gate:
    """ASGI middleware around Gradio's application.

    Parameters
    ----------
    app : ASGI application
    health : callable
        Returns what ``/health`` answers.
    """

    def __init__(self, app: Any, health: Callable[[], dict[str, Any]]) -> None:
        self._app, self._health = app, health
        named = security_headers("SPACE_ID" in os.environ)
        self._headers = [(name.encode(), value.encode()) for name, value in named.items()]

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        """Serve one request."""
        if scope["type"] == "websocket":  # Gradio has none; a newer one would not be on the list
            await send({"type": "websocket.close"})
            return
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        start, kind, answer = time.perf_counter(), kind_of(scope["method"], scope["path"]), {"status": 0}

        async def with_headers(message: dict) -> None:
            if message["type"] == "http.response.start":
                answer["status"] = message["status"]
                message = {**message, "headers": [*message["headers"], *self._headers]}
            await send(message)

        try:
            await self._serve(kind, scope, receive, with_headers)
        except Exception as error:  # the server's own answer to it would come without headers
            refusal = error.__cause__
            if _is_unknown(error):
                await _answer(with_headers, 404, {"error": "there is no such endpoint"})
            elif isinstance(refusal, HTTPException) and answer["status"]:  # said in an answer that has begun
                await send({"type": "http.response.body", "body": b""})
                answer["status"] = refusal.status_code
            else:
                await _fail(with_headers, answer)
        finally:  # a visitor who leaves ends a stream as well
            if kind not in _QUIET:
                write_line(kind or "unknown", start, _outcome(answer["status"]), status=answer["status"])

    async def _serve(self, kind: str | None, scope: dict, receive: Callable, send: Callable) -> None:
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if kind is None:
            await _answer(send, 404, {"error": "there is nothing here"})
        elif kind == "health":
            await _answer(send, 200, self._health())
        elif not declared.isdigit() or int(declared) > LARGEST:
            await _answer(send, 413, {"error": f"a request may bring {LARGEST:,} bytes"})
        else:
            await self._app(scope, _limited(receive), send)


def kind_of(method: str, path: str) -> str | None:
    """Return the kind of a request, or None where it is none that this page answers."""
    return next((kind for kind, methods, rule in _PATTERNS if method in methods and rule.fullmatch(path)), None)


def _limited(receive: Callable) -> Callable:
    """End a request that brings more than it may without having said so: it reads as broken off."""
    seen = 0

    async def counted() -> dict:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        return message if seen <= LARGEST else {"type": "http.disconnect"}

    return counted


def _is_unknown(error: Exception) -> bool:
    """Tell whether Gradio looked in vain for the endpoint or event that a request names."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    looked_up = frame.f_code.co_filename in (gradio.routes.__file__, gradio.route_utils.__file__)
    return isinstance(error, FnIndexInferError) or (isinstance(error, KeyError) and looked_up)


async def _fail(send: Callable, answer: dict[str, int]) -> None:
    """Answer a request on which something broke, unless an answer has begun; called while the exception is handled."""
    LOG.exception("a request failed")
    if not answer["status"]:
        await _answer(send, 500, {"error": "this failed on the server"})
    answer["status"] = 500


async def _answer(send: Callable, status: int, content: dict[str, Any]) -> None:
    body = json.dumps(content).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _outcome(status: int) -> str:
    return "broken off" if not status else "ok" if status < 400 else "refused" if status < 500 else "failed"


def health(store: RunStore, engine: Engine) -> dict[str, Any]:
    """Say how the page stands: version, model and runs, without anything of a visitor's."""
    status = engine.status()
    return {
        "status": "ok" if status.state != "failed" else "without a model",
        "version": __version__,
        "model": {"name": engine.model_name, "state": status.state},
        "runs": {"shown": sorted(store.saved), "damaged": sorted(store.problems)},
    }


# --- the log -----------------------------------------------------------------------------------------------


class Lines(logging.Formatter):
    """Messages as they are; of an exception its class and where it was raised, but not its words.

    They could hold what a visitor wrote.
    """

    def formatException(self, ei: Any) -> str:
        """Return the stack of an exception, and of those that it came from, innermost last."""
        parts, error = [], ei[1]
        while error is not None:
            parts.append(f"{''.join(traceback.format_tb(error.__traceback__))}{type(error).__name__}")
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return "\n".join(reversed(parts))


def _print_exc(*_args: Any, **_kwargs: Any) -> None:
    """Stand for `traceback.print_exc`, by which Gradio prints what broke in an event, a visitor's words included."""
    PACKAGE_LOG.error("an event failed", exc_info=True)


def start_log() -> None:
    """Write to stderr a JSON object a request, which ``PLANTAIN_LOG=off`` keeps quiet, and faults of ours."""
    if PACKAGE_LOG.handlers:
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    PACKAGE_LOG.addHandler(handler)  # faults are logged elsewhere in it as well
    PACKAGE_LOG.propagate = False
    traceback.print_exc = _print_exc
    logging.getLogger("mcp").setLevel(logging.ERROR)  # its warnings quote what was called
    LOG.setLevel(logging.ERROR if os.environ.get("PLANTAIN_LOG", "").lower() == "off" else logging.INFO)


def write_line(kind: str, start: float, outcome: str, **more: Any) -> None:
    """Write one line; `start` is by `time.perf_counter`."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    spent = round(1000 * (time.perf_counter() - start), 1)
    LOG.info(json.dumps({"time": now, "kind": kind, "ms": spent, "outcome": outcome, **more}))


@contextmanager
def logged(kind: str) -> Iterator[None]:
    """Write one line about what is done inside: ok, refused or failed (with the error's class), or stopped."""
    start = time.perf_counter()
    try:
        yield
    except PlantainError as error:
        write_line(kind, start, "refused", error=type(error).__name__)
        raise
    except Exception as error:
        write_line(kind, start, "failed", error=type(error).__name__)
        raise
    except BaseException:  # a generator that is closed: a visitor stopped, or left
        write_line(kind, start, "stopped")
        raise
    write_line(kind, start, "ok")
