"""How the page is served: security headers, a limit on a request, a log line a request, ``/health`` and ``/unit``.

The first figures are written into the page as it is served: Gradio's own `head` reaches the browser inside Gradio's
configuration and is shown when Gradio's scripts have run, hardly before the figures themselves.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from html import escape
from importlib.util import find_spec
from typing import Any
from urllib.parse import parse_qsl, urlencode

import gradio as gr
from gradio.route_utils import FnIndexInferError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import FileResponse, HTMLResponse, JSONResponse

from plantain import PlantainError, UsageError, __version__
from plantain.report.answer import unit_answer
from plantain.ui.engine import Engine
from plantain.ui.log import LOG, write_line
from plantain.ui.state import RunStore
from plantain.ui.texts import DESCRIPTION, TITLE
from plantain.ui.theme import STATIC, page_styles, page_theme, static

LARGEST = 2 << 20  # bytes that a request may bring; a pasted prompt set has at most a tenth of it

UNIT = "/unit"  # one unit of a saved run as JSON: an address that stays

SHARE = "/share.png"  # what a link to the page shows elsewhere

_HEAD = b"<head>"

SESSIONS = 500  # visitors and programs that Gradio keeps a copy of the page for, of 0.3 to 0.7 MB

CLOSED = (
    "/gradio_api/upload", "/gradio_api/deep_link", "/gradio_api/process_recording", "/gradio_api/dev/reload",
    "/gradio_api/mcp/sse", "/gradio_api/openapi.json",
)  # fmt: skip
"""Addresses of Gradio that write to the disk or stream without end, and MCP's older way: this page needs none."""

_KINDS = {
    "/gradio_api/call/": "endpoint", "/gradio_api/run/": "endpoint", "/gradio_api/api/": "endpoint",
    "/gradio_api/queue/": "queue", "/gradio_api/file=": "download", "/gradio_api/mcp": "mcp", "/health": "health",
    "/unit": "unit", "/login/": "sign-in", "/logout": "sign-in",
}  # fmt: skip
"""What a line calls an address that begins so. The address itself may hold a visitor's words."""

_BACK = "/?tab=publish"
"""Where a sign-in leads: its address would hold that of the page else, which may hold a visitor's words, and Gradio
prints it."""

_NOT_SIGNED_IN = f'<p>Nobody was signed in: it was cancelled, or it failed. <a href="{_BACK}">Back to the page</a></p>'

_QUIET = ("/assets/", "/static/", "/svelte/", "/gradio_api/heartbeat/", "/theme.css", "/favicon.ico")
"""Dozens of each a visit, which say nothing."""


def security_headers(on_space: bool) -> dict[str, str]:
    """Return the headers of every answer, as strict as Gradio's inline scripts and styles permit.

    Parameters
    ----------
    on_space : bool
        A Space stands in a frame of the Hub, and Gradio loads one script there that sizes it.
    """
    frames = "'self' https://huggingface.co https://*.hf.space" if on_space else "'self'"
    scripts = " https://cdnjs.cloudflare.com" if on_space else ""
    policy = (
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
        f"script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:{scripts}; worker-src 'self' blob:; object-src 'none'; "
        f"base-uri 'self'; form-action 'self'; frame-ancestors {frames}"
    )
    return {
        "content-security-policy": policy,
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
    first : callable
        Returns HTML that is added to the end of the page.
    unit : callable
        Takes an address' parameters, and returns what ``/unit`` answers; raises `PlantainError` where nothing fits.
    """

    def __init__(
        self,
        app: Any,
        health: Callable[[], dict[str, Any]],
        first: Callable[[], str] = str,
        unit: Callable[[dict[str, str]], dict[str, Any]] = dict,
    ) -> None:
        self._app, self._health, self._first, self._unit = app, health, first, unit
        self._headers = security_headers("SPACE_ID" in os.environ)

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = _without_words(scope)
        start, path, status = time.perf_counter(), scope["path"], 0
        is_page = (scope["method"], path) == ("GET", "/")
        added, shared = (self._first().encode(), share_tags(scope).encode()) if is_page else (b"", b"")

        async def answer(message: dict) -> None:
            nonlocal status, shared
            if message["type"] == "http.response.start":
                status, headers = message["status"], MutableHeaders(raw=list(message["headers"]))
                headers.update(self._headers)
                if added and "content-length" in headers:
                    headers["content-length"] = str(int(headers["content-length"]) + len(added) + len(shared))
                message = {**message, "headers": headers.raw}
            elif is_page:
                body = message.get("body", b"")
                if shared and _HEAD in body:  # before Gradio's own tags: of two, a link's picture is the first one's
                    body, shared = body.replace(_HEAD, _HEAD + shared, 1), b""
                message = {**message, "body": body if message.get("more_body") else body + added}
            await send(message)

        try:
            await self._serve(scope, receive, answer)
        except Exception as error:  # not let through: the server prints its words, which may be a visitor's
            # So Gradio says that it knows no such endpoint or event, the last one in an answer that has begun.
            cause, asked = error.__cause__ or error, LookupError if path.startswith("/gradio_api/") else ()
            unknown, signing = isinstance(cause, (FnIndexInferError, HTTPException, asked)), path.startswith("/login/")
            if not unknown:
                LOG.exception("a request failed")
            if status:  # an answer has begun: end it
                await send({"type": "http.response.body", "body": b""})
            elif signing:  # such as by a visitor who cancels it on the Hub
                await HTMLResponse(_NOT_SIGNED_IN, 400)(scope, receive, answer)
            else:
                said = "there is no such endpoint" if unknown else "this failed on the server"
                await JSONResponse({"error": said}, 404 if unknown else 500)(scope, receive, answer)
            status = 404 if unknown else 400 if signing else 500
        finally:  # a visitor who leaves ends a stream as well
            if not path.startswith(_QUIET):
                write_line(_kind(path), start, _outcome(status), status=status)

    async def _serve(self, scope: dict, receive: Callable, send: Callable) -> None:
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if scope["path"] == SHARE and scope["method"] == "GET":
            app = FileResponse(STATIC / SHARE[1:], headers={"cache-control": "public, max-age=86400"})
        elif scope["path"] == "/health":
            app = JSONResponse(self._health())
        elif scope["path"] == UNIT and scope["method"] == "GET":
            app = await run_in_threadpool(self._told, scope["query_string"].decode("latin-1"))
        elif scope["path"].startswith(CLOSED):
            app = JSONResponse({"error": "there is nothing here"}, 404)
        elif not declared.isdigit() or int(declared) > LARGEST:
            app = JSONResponse({"error": f"a request may bring {LARGEST:,} bytes"}, 413)
        else:
            app, receive = self._app, _limited(receive)
        await app(scope, receive, send)

    def _told(self, query: str) -> JSONResponse:
        try:
            return JSONResponse(self._unit(dict(parse_qsl(query))))
        except PlantainError as error:
            return JSONResponse({"error": str(error)}, 404)


def share_tags(scope: Mapping[str, Any]) -> str:
    """Return what a link to the page shows elsewhere: its title, what it is, and a picture.

    On a Space the page is a frame, and its address is the Hub's: there the Hub's own tags count, with the thumbnail
    that the Space's README names.
    """
    host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
    base = f"https://{host}" if "SPACE_ID" in os.environ else f"{scope.get('scheme', 'http')}://{host}"
    shown = {"title": TITLE, "description": DESCRIPTION, "image": base + SHARE}
    tags = [f'<meta name="description" content="{escape(DESCRIPTION, quote=True)}">']
    tags += ['<meta name="twitter:card" content="summary_large_image">']
    for name, value in shown.items():
        content = escape(value, quote=True)
        tags.append(f'<meta property="og:{name}" content="{content}"><meta name="twitter:{name}" content="{content}">')
    return "".join(tags)


def _without_words(scope: dict) -> dict:
    """Leave of the address that begins or ends a sign-in only what Gradio counts its own attempts by."""
    if scope["path"] not in ("/login/huggingface", "/logout"):
        return scope
    tries = [(k, v) for k, v in parse_qsl(scope["query_string"].decode("latin-1")) if k == "_nb_redirects"]
    query = urlencode([("_target_url", _BACK), *((k, v) for k, v in tries if v.isdecimal())])
    return {**scope, "query_string": query.encode()}


def _limited(receive: Callable) -> Callable:
    """End a request that brings more than it may without having said so: it reads as broken off."""
    seen = 0

    async def counted() -> dict:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        return message if seen <= LARGEST else {"type": "http.disconnect"}

    return counted


def _kind(path: str) -> str:
    return "page" if path == "/" else next((kind for begin, kind in _KINDS.items() if path.startswith(begin)), "other")


def _outcome(status: int) -> str:
    return "broken off" if not status else "ok" if status < 400 else "refused" if status < 500 else "failed"


def health(store: RunStore, engine: Engine) -> dict[str, Any]:
    """Say how the page stands: version, model and runs, without anything of a visitor's."""
    status = engine.status()
    words = {"failed": "restart needed", "retrying": "without a model"}
    return {
        "status": words.get(status.state, "ok"),
        "version": __version__,
        "model": {"name": engine.model_name, "state": status.state, "why": status.why},
        "runs": {"shown": sorted(store.saved), "arriving": store.arriving, "damaged": store.damaged},
    }


def unit_of(store: RunStore, asked: dict[str, str]) -> dict[str, Any]:
    """Return one unit of a saved run, as ``/unit?run=…&unit=…&scope=…`` asks for it.

    Raises
    ------
    PlantainError
        No saved run has the name, or it has no such unit.
    """
    run = store.saved.get(asked.get("run", ""))
    if run is None:
        raise UsageError(f"no saved run has this name; give run, one of: {', '.join(sorted(store.saved)) or 'none'}.")
    if "unit" not in asked:
        raise UsageError("give unit, such as single[0] head 0.")
    return {"run": asked["run"], **unit_answer(run, asked["unit"], asked.get("scope", "all"))}


def first_screen_html(demo: gr.Blocks) -> str:
    """Return the page's styles, which stay, and the introduction and the figures, with what takes them away."""
    parts = {block.elem_id: block.value for block in demo.blocks.values() if isinstance(block, gr.HTML)}
    room = '<p class="pl-first-room" role="status">The controls are loading …</p>'
    shown = f"{parts['introduction']}{room}{parts['hero']}"
    return f'<style>{page_styles()}</style><div class="pl-first">{shown}</div><script>{static("first.js")}</script>'


def launch_options(demo: gr.Blocks, store: RunStore, engine: Engine) -> dict[str, Any]:
    """Return what belongs to `Blocks.launch`: looks, the first screen, the gate, nothing kept of what visitors type."""
    gate = Middleware(
        Gate,
        health=partial(health, store, engine),
        first=partial(first_screen_html, demo),
        unit=partial(unit_of, store),
    )
    return {
        "theme": page_theme(),
        "app_kwargs": {"middleware": [gate], "openapi_url": None},
        "max_file_size": LARGEST,
        "footer_links": ["api"],
        "run_history": False,
        "enable_monitoring": False,  # else anybody may ask for its summary
        "state_session_capacity": SESSIONS,
        "ssr_mode": False,
        "show_error": False,
        "mcp_server": find_spec("mcp") is not None,  # the named endpoints as tools; Spaces have it installed
    }
