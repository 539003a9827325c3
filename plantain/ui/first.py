"""The first screen as plain HTML in the page as it is served, before any script has come. Knows nothing about runs.

`FirstScreen`        puts it there: Gradio's page is empty until half a megabyte of scripts has been read
`first_screen_html`  the introduction and the figures of a page, with their styles
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

_HERE = Path(__file__).parent
_SHOWN = ("introduction", "findings")  # elem_id of the parts, in order


def first_screen_html(demo: gr.Blocks) -> str:
    """Return the introduction and the figures as they are in the page, with styles and what takes them away."""
    parts = {block.elem_id: block.value for block in demo.blocks.values() if isinstance(block, gr.HTML)}
    style = "".join((_HERE / "styles" / name).read_text(encoding="utf-8") for name in ("page.css", "first.css"))
    script = (_HERE / "scripts" / "first.js").read_text(encoding="utf-8")
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
