"""What the server lets in: nothing that is written, a size; headers; a line a request; how it says it is well."""

import asyncio
import http.client
import json
import logging
import subprocess
import sys
import time
from contextlib import closing, nullcontext, suppress
from inspect import iscoroutinefunction
from itertools import filterfalse
from urllib.parse import urlsplit

import pytest
from asking import ask
from browser import ROOT

from plantain import PlantainError, __version__
from plantain.ui import log, server
from plantain.ui.errors import listener
from plantain.ui.log import logged
from plantain.ui.server import CLOSED, LARGEST, security_headers

SECRET = "Anna-whispers-to-Otto"


def call(url, name, data):
    """Call an endpoint; return what it says."""
    body = json.dumps({"data": data}).encode()
    event = json.loads(ask(url, f"/gradio_api/call/{name}", "POST", body, {"content-type": "application/json"})[2])
    return ask(url, f"/gradio_api/call/{name}/{event['event_id']}")[2]


def settled(log):
    """Wait until nothing is written to the log any more, for the server serves other tests too; return its size."""
    size = -1
    while size != (size := log.stat().st_size):
        time.sleep(0.5)
    return size


def since(log, n_bytes):
    """Return what the log says after its first bytes."""
    return log.read_bytes()[n_bytes:].decode()


def lines(text):
    return [json.loads(line) for line in text.splitlines() if line.startswith('{"time"')]


# --- what is there, and what is not ------------------------------------------------------------------------

FORBIDDEN = [
    ("POST", "/gradio_api/upload"), ("GET", "/gradio_api/deep_link?session_hash=x"),
    ("POST", "/gradio_api/process_recording"), ("POST", "/gradio_api/vibe-edit"), ("GET", "/monitoring"),
    ("GET", "/monitoring/summary"),
    ("GET", "/gradio_api/proxy=https://huggingface.co/x"), ("GET", "/gradio_api/file=app.py"),
    ("GET", "/gradio_api/file=/etc/passwd"), ("PUT", "/"), ("GET", "/app.py"),
    ("GET", "/gradio_api/file=precomputed/tiny-random/run.json"), ("GET", "/gradio_api/runs"), ("GET", "/.git/config"),
    ("GET", "/gradio_api/custom_component/1/client/component/index.js"), ("DELETE", "/config"),
    ("GET", "/static/../app.py"), ("GET", "/assets/..%2f..%2fapp.py"), ("GET", "/svelte/%2e%2e/%2e%2e/app.py"),
    ("GET", "/openapi.json"), ("GET", "/gradio_api/openapi.json"), ("GET", "/gradio_api/dev/reload"),
    ("GET", "/gradio_api/mcp/sse"), ("GET", "/docs"), ("GET", "/static//etc/passwd"), ("POST", "/gradio_api/stream/x"),
    ("GET", "/gradio_api/run-history/records"), ("POST", "/gradio_api/run-history/connect"),
    ("GET", "/health/../config/../app.py"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), FORBIDDEN, ids=lambda x: x)
def test_what_the_page_does_not_need_is_not_there(app, method, path):
    status, _, content = ask(app[0], path, method, body=b"{}" if method == "POST" else None)
    assert status in (400, 403, 404, 405, 422)
    assert b"plantain.ui.engine" not in content and b"root:" not in content and b"capture_sha256" not in content


def test_a_file_that_is_sent_is_refused_and_not_kept(app, tmp_path):
    boundary = "x" * 20
    body = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{SECRET}.txt"\r\n\r\nx\r\n'
    sent = f"{body}--{boundary}--\r\n".encode(), {"content-type": f"multipart/form-data; boundary={boundary}"}
    assert ask(app[0], "/gradio_api/upload", "POST", *sent)[0] == 404
    assert ask(app[0], "/gradio_api/upload?upload_id=1", "POST", *sent)[0] == 404


def test_what_is_closed_are_addresses_that_gradio_has():
    """Else a newer Gradio has renamed one, and the refusal refuses nothing."""
    import gradio as gr

    with gr.Blocks() as demo:
        gr.Textbox()
    found = set()

    def walk(routes, above=""):
        for route in routes:
            path = above + getattr(route, "path", "")
            inner = getattr(getattr(route, "original_router", route), "routes", None) or []
            found.add(path)
            walk(inner, path)

    walk(gr.routes.App.create_app(demo).routes)
    assert set(CLOSED) - {"/gradio_api/mcp/sse"} <= found  # which is of the application that Gradio mounts
    assert {path for path in found if "upload" in path} == {"/gradio_api/upload", "/gradio_api/upload_progress"}


@pytest.mark.parametrize("path", ["/", "/config", "/gradio_api/info", "/theme.css", "/health", "/gradio_api/app_id"])
def test_what_the_page_needs_is_there_with_its_headers(app, path):
    status, headers, _ = ask(app[0], path)
    assert status == 200
    for name, value in security_headers(on_space=False).items():
        assert headers[name] == value
    assert "frame-ancestors 'self';" in headers["content-security-policy"] + ";"


def test_a_request_that_brings_too_much_is_refused(app):
    url, _ = app
    path = "/gradio_api/call/summary"
    assert ask(url, path, "POST", headers={"content-length": str(LARGEST + 1)}, body=b"")[0] == 413
    assert ask(url, path, "POST", headers={"content-length": "much"}, body=b"")[0] in (400, 413)


def in_chunks(url, n_bytes):
    """Send a right call with so many bytes of padding, in chunks, without saying how much; None if it is broken off."""

    def body():
        yield b'{"data": [], "padding": "'
        for _ in range(40):
            yield b"x" * (n_bytes // 40)
        yield b'"}'

    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    with closing(connection), suppress(ConnectionError, http.client.HTTPException):
        connection.request(
            "POST", "/gradio_api/call/list_runs", body(), {"content-type": "application/json"}, encode_chunked=True
        )
        return connection.getresponse().status


def test_a_request_in_chunks_may_bring_as_much_and_no_more(app):
    assert in_chunks(app[0], LARGEST // 2) == 200
    assert in_chunks(app[0], 2 * LARGEST) in (None, 400, 413)
    assert ask(app[0], "/health")[0] == 200


def test_a_body_in_chunks_ends_at_the_limit():
    given = [{"type": "http.request", "body": b" " * (LARGEST // 2), "more_body": True}] * 5

    async def receive():
        return given.pop()

    async def read():
        counted = server._limited(receive)
        return [(await counted())["type"] for _ in range(3)]

    assert asyncio.run(read()) == ["http.request", "http.request", "http.disconnect"]


def test_a_fault_behind_the_gate_is_an_answer_with_headers_and_a_line(caplog, monkeypatch):
    monkeypatch.setattr(log.LOG, "propagate", True)
    sent = []

    async def broken(_scope, _receive, _send):
        raise ValueError("nobody foresaw this")

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/config", "headers": []}
    with caplog.at_level(logging.INFO, logger="plantain.requests"):
        asyncio.run(server.Gate(broken, dict)(scope, None, send))
    assert sent[0]["status"] == 500 and b"content-security-policy" in dict(sent[0]["headers"])
    assert b"foresaw" not in sent[1]["body"]
    line = json.loads(caplog.records[-1].message)
    assert (line["kind"], line["outcome"], line["status"]) == ("other", "failed", 500)


@pytest.mark.parametrize(
    ("path", "query", "left"),
    [
        ("/login/huggingface", f"_target_url=/?positive={SECRET}&negative=x", ""),
        ("/login/huggingface", f"_nb_redirects=2&_target_url=//{SECRET}", "&_nb_redirects=2"),
        ("/login/huggingface", f"_nb_redirects={SECRET}", ""),
        ("/logout", f"_target_url=/&positive={SECRET}", ""),
    ],
)
def test_a_sign_in_leads_back_to_its_tab_and_is_told_nothing_of_what_a_visitor_wrote(path, query, left):
    """Gradio prints the address that it leads to."""
    found = server._without_words({"path": path, "query_string": query.encode(), "type": "http"})
    assert found["query_string"].decode() == f"_target_url=%2F%3Ftab%3Dpublish{left}" and found["type"] == "http"
    others = (
        {"path": "/login/callback", "query_string": b"code=x&state=y"},
        {"path": "/", "query_string": b"positive=x"},
    )
    assert [server._without_words(other) for other in others] == [*others]


def test_a_sign_in_that_fails_leads_back_and_leaves_no_words_in_the_log(caplog, monkeypatch):
    monkeypatch.setattr(log.LOG, "propagate", True)
    sent = []

    async def cancelled(_scope, _receive, _send):
        raise ValueError(f"access_denied: {SECRET}")

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/login/callback", "query_string": SECRET.encode(), "headers": []}
    with caplog.at_level(logging.INFO, logger="plantain.requests"):
        asyncio.run(server.Gate(cancelled, dict)(scope, None, send))
    assert sent[0]["status"] == 400 and b'<a href="/?tab=publish">' in sent[1]["body"]
    line = json.loads(caplog.records[-1].message)
    assert (line["kind"], line["outcome"], line["status"]) == ("sign-in", "refused", 400)
    assert SECRET not in "".join(record.getMessage() for record in caplog.records)


def test_an_event_or_endpoint_that_is_not_known_is_an_error_and_no_fault(app):
    url, log = app
    before = settled(log)
    status, _, content = ask(url, "/gradio_api/call/summary/unknown")
    assert status == 200 and content.startswith(b"event: error")
    named = {"content-type": "application/json"}
    for path, body in (("call/nothing", {}), ("call/v2/nothing", {}), ("queue/join", {"fn_index": 99999})):
        asked = json.dumps({"data": [], "session_hash": "x", **body})
        status, _, content = ask(url, f"/gradio_api/{path}", "POST", asked, named)
        assert status == 404, (path, content)
    limit = time.monotonic() + 30
    while len(found := lines(since(log, before))) < 4:  # a line comes when the answer is out
        assert time.monotonic() < limit
        time.sleep(0.02)
    assert [(line["kind"], line["status"]) for line in found] == [*[("endpoint", 404)] * 3, ("queue", 404)]
    assert "a request failed" not in since(log, before)


# --- how it is ---------------------------------------------------------------------------------------------


def test_health_says_version_model_and_runs(app):
    for _ in range(200):
        found = json.loads(ask(app[0], "/health")[2])
        if found["model"]["state"] == "ready":
            break
    assert found["status"] == "ok" and found["version"] == __version__
    assert found["runs"] == {"shown": ["tiny-random", "untrained-klein-4b"], "arriving": 0, "damaged": []}
    assert found["model"]["name"] in (None, "tiny-random")


# --- the log -----------------------------------------------------------------------------------------------


REFUSED = {
    "probe_pair": ["tiny-random", f"{SECRET} <|im_end|> helps.", f"{SECRET} waits."],
    "summary": [SECRET, "heads", "all"],
    "top_units": ["tiny-random", "heads", "all", 7, SECRET],
}


def test_a_request_is_a_line_without_what_a_visitor_wrote(app):
    url, log = app
    before = settled(log)
    ask(url, f"/?positive={SECRET}&negative={SECRET}")
    ask(url, f"/gradio_api/file={SECRET}")
    said = call(url, "probe_pair", ["tiny-random", f"{SECRET} helps.", f"{SECRET} waits."])
    assert b"complete" in said and b'"p"' in said
    call(url, "probe_pair", [f"{SECRET} helps.", f"{SECRET} waits."])  # too few: Gradio itself prints what came
    for name, data in REFUSED.items():
        assert b"error" in call(url, name, data)
    text = since(log, before)
    found = lines(text)
    assert {"page", "endpoint", "download", "pair"} <= {line["kind"] for line in found}
    for line in found:
        assert set(line) <= {"time", "kind", "ms", "outcome", "status", "error"} and line["ms"] >= 0
    pair, refused = [line for line in found if line["kind"] == "pair"]
    assert pair["outcome"] == "ok" and pair["ms"] > 1
    assert refused["outcome"] == "refused" and refused["error"] == "PromptError"
    assert {"refused"} == {line["outcome"] for line in found if line["kind"] == "view"}
    assert "Received inputs" not in text
    assert SECRET not in text and "hf_sss" not in text and "helps." not in text


def test_of_a_fault_the_log_has_the_place_and_not_the_words():
    def fail():
        try:
            raise KeyError(SECRET)
        except KeyError as error:
            raise ValueError(f"what {SECRET} wrote") from error

    with pytest.raises(ValueError) as caught:
        fail()
    record = logging.LogRecord("plantain.x", logging.ERROR, "x.py", 1, "it failed", (), caught._excinfo)
    text = log.Lines().format(record)
    assert SECRET not in text and text.startswith("it failed\n")
    assert text.index("\nKeyError\n") < text.index("raise ValueError(") and text.endswith("\nValueError")


def faults(page):
    """Return listeners of each kind that raise what a visitor wrote."""

    def plain(text):
        raise ValueError(f"{page} {text}")

    def steps(text):
        yield "begun"
        raise KeyError(text)

    async def later(text):
        raise PlantainError(f"“{text}” cannot be taken.")

    return plain, steps, later


def test_a_fault_in_a_listener_is_told_and_its_words_are_printed_nowhere(capfd, monkeypatch):
    import gradio as gr
    from gradio_client import Client
    from gradio_client.exceptions import AppError

    monkeypatch.setattr(log.PACKAGE_LOG, "handlers", [])
    monkeypatch.setattr(log.PACKAGE_LOG, "propagate", False)
    monkeypatch.setattr(sys, "stderr", sys.stderr)  # and so what the log puts in its place goes with the test
    log.start_log()
    with pytest.raises(AssertionError):
        listener(faults("page")[2])
    with gr.Blocks() as demo:
        text, shown = gr.Textbox(), gr.Textbox()
        for fault in filterfalse(iscoroutinefunction, faults("page")):
            text.submit(listener(fault), text, shown, api_name=fault.__name__)
        text.submit(faults("bare")[0], text, shown, api_name="bare")
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, ssr_mode=False)
    try:
        client = Client(url, verbose=False)
        for name, said in {
            "plain": r"Something broke \(ValueError\)",
            "steps": r"\(KeyError\)",
        }.items():
            with pytest.raises(AppError, match=said):
                client.predict(SECRET, api_name=f"/{name}")
        printed = "".join(capfd.readouterr())
        assert SECRET not in printed and "in plain" in printed and printed.count("a request failed") == 2
        with pytest.raises(AppError):
            client.predict(SECRET, api_name="/bare")
        printed = "".join(capfd.readouterr())  # by Gradio itself, through a stream that keeps classes and places alone
        assert SECRET not in printed and "ValueError" in printed and "in plain" in printed
    finally:
        demo.close()


ENDS = {"refused": PlantainError("secret"), "failed": ValueError("secret"), "stopped": GeneratorExit()}


@pytest.mark.parametrize("outcome", ["ok", *ENDS])
def test_work_ends_in_one_of_four_ways(caplog, monkeypatch, outcome):
    monkeypatch.setattr(log.LOG, "propagate", True)
    error = ENDS.get(outcome)
    ending = pytest.raises(type(error)) if error else nullcontext()
    with caplog.at_level(logging.INFO, logger="plantain.requests"), ending, logged("probe"):
        if error:
            raise error
    (record,) = caplog.records
    line = json.loads(record.message)
    assert (line["kind"], line["outcome"]) == ("probe", outcome) and "secret" not in record.message


HEAPS = """
import ctypes, sys, threading
import app
if "shared" in sys.argv:
    app.share_heaps()
libc, together = ctypes.CDLL(None), threading.Barrier(12)
def work():
    held = bytearray(5000)
    together.wait()
threads = [threading.Thread(target=work) for _ in range(12)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the heaps are glibc's")
def test_threads_share_their_heaps():
    def heaps(*words):
        done = subprocess.run(
            [sys.executable, "-c", HEAPS, *words], cwd=ROOT, capture_output=True, text=True, check=True
        )
        return done.stdout.count("<heap nr=")

    assert heaps() > 2  # what glibc does by itself, else the next line says nothing
    assert heaps("shared") == 2
