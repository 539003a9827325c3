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
import os
import re
import tempfile
import time
import traceback
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gradio as gr
import gradio.route_utils
import gradio.routes
from gradio.route_utils import FnIndexInferError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from plantain import __version__
from plantain.ui.engine import Engine
from plantain.ui.log import LOG, write_line
from plantain.ui.state import RunStore
from plantain.ui.theme import STYLES, _theme

LARGEST = 2 << 20  # bytes that a request may bring; a pasted prompt set has at most a tenth of it


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


_STATIC = Path(__file__).parent / "static"

_SHOWN = ("introduction", "findings")  # elem_id of the parts, in order


def first_screen_html(demo: gr.Blocks) -> str:
    """Return the introduction and the figures as they are in the page, with styles and what takes them away."""
    parts = {block.elem_id: block.value for block in demo.blocks.values() if isinstance(block, gr.HTML)}
    style = "".join((_STATIC / name).read_text(encoding="utf-8") for name in ("page.css", "first.css"))
    script = (_STATIC / "first.js").read_text(encoding="utf-8")
    shown = "".join(parts[name] for name in _SHOWN)
    return f'<div class="pl-first"><style>{style}</style>{shown}</div><script>{script}</script>'


class FirstScreen:
    """ASGI middleware that writes HTML at the start of the body of the page at ``/``; all else passes untouched.

    Parameters
    ----------
    app : ASGI application
    html : str
    """

    def __init__(self, app: Any, html: str) -> None:
        self._app, self._html = app, html.encode()

    async def __call__(self, scope: dict, receive: Any, send: Any) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] != "GET" or scope["path"] != "/":
            await self._app(scope, receive, send)
            return
        start: dict = {}
        body = bytearray()

        async def hold(message: dict) -> None:
            """Hold the answer until all of it is there: its length stands in its head."""
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                return
            body.extend(message.get("body", b""))
            if not message.get("more_body"):
                whole = self._with_html(start, bytes(body))
                await send(_with_length(start, len(whole)))
                await send({"type": "http.response.body", "body": whole})

        await self._app(scope, receive, hold)

    def _with_html(self, start: dict, body: bytes) -> bytes:
        kind = dict(start["headers"]).get(b"content-type", b"")
        if start["status"] != 200 or not kind.startswith(b"text/html"):
            return body
        place = body.find(b">", body.find(b"<body")) + 1
        return body[:place] + self._html + body[place:] if place else body


def _with_length(start: dict, length: int) -> dict:
    headers = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
    return {**start, "headers": [*headers, (b"content-length", str(length).encode())]}


SESSIONS = 500  # visitors whose choices are kept


def launch_options(demo: gr.Blocks, store: RunStore, engine: Engine) -> dict[str, Any]:
    """Return what belongs to `Blocks.launch`: looks, the first screen, the gate, nothing kept of what visitors type."""
    gate = Middleware(Gate, health=partial(health, store, engine))
    return {
        "theme": _theme(),
        "css_paths": STYLES,
        "app_kwargs": {"middleware": [gate, Middleware(FirstScreen, html=first_screen_html(demo))]},
        "max_file_size": LARGEST,
        "footer_links": ["api"],
        "run_history": False,
        "state_session_capacity": SESSIONS,
        "ssr_mode": False,
        "show_error": False,
        "mcp_server": find_spec("mcp") is not None,  # the named endpoints as tools; Spaces have it installed
    }
