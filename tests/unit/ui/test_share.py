"""What a link to the page shows elsewhere: a title, a description and a picture of the project's own."""

import asyncio
import re

from plantain.hub.space import PICTURE, with_thumbnail
from plantain.report.figures.png import png
from plantain.ui import server
from plantain.ui.theme import STATIC, static

PAGE = b"<!doctype html><html><head><meta property='og:title' content='Gradio'></head><body></body></html>"


def get(path, host=b"page.example", added=""):
    sent = []

    async def send(message):
        sent.append(message)

    async def gradio(_scope, _receive, send):
        length = [(b"content-length", str(len(PAGE)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": PAGE[:40], "more_body": True})
        await send({"type": "http.response.body", "body": PAGE[40:]})

    async def receive():
        await asyncio.Event().wait()  # the browser stays

    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "scheme": "http",
             "headers": [(b"host", host)]}  # fmt: skip
    asyncio.run(server.Gate(gradio, dict, lambda: added, dict)(scope, receive, send))
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return dict(sent[0]["headers"]), body


def tags(body):
    return re.findall(r'property="?\'?og:(\w+)"?\'? content="([^"]*)"', body.decode())


def test_our_tags_come_before_gradios_and_the_length_is_right(monkeypatch):
    monkeypatch.delenv("SPACE_ID", raising=False)
    headers, body = get("/", added="<p>first</p>")
    assert int(headers[b"content-length"]) == len(body) and body.endswith(b"</html><p>first</p>")
    assert dict(tags(body)) == {
        "title": "plantain: ethical valence in FLUX.2 Klein",
        "description": server.DESCRIPTION,
        "image": "http://page.example/share.png",
    }
    assert body.index(b"og:image") < body.index(b"content='Gradio'")
    assert get("/elsewhere")[1] == PAGE


def test_a_host_that_a_request_names_never_becomes_markup(monkeypatch):
    monkeypatch.setenv("SPACE_ID", "somebody/a-space")
    body = get("/", host=b'x"><script>alert(1)</script>')[1]
    assert b"<script" not in body and b"https://x&quot;&gt;&lt;script" in body


def test_the_picture_is_served_and_is_the_drawing_beside_it():
    headers, body = get("/share.png")
    assert headers[b"content-type"] == b"image/png" and body == (STATIC / "share.png").read_bytes()
    assert body == png(static("share.svg"))


def test_a_space_names_the_picture_in_its_readme():
    readme = with_thumbnail(b"---\ntitle: x\n---\ntext", "somebody/a-space").decode()
    line = f"thumbnail: https://huggingface.co/spaces/somebody/a-space/resolve/main/{PICTURE}"
    assert readme == f"---\n{line}\ntitle: x\n---\ntext"
    assert with_thumbnail(b"no front matter", "a/b") == b"no front matter"
