"""ZeroGPU's scheduler on loopback, and the app that asks it for cards. Used by the tests of ZeroGPU."""

import http.server
import itertools
import json
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from browser import ROOT, serving
from misbehave import Orders

FEW = 6
"""Pairs that a program's probe has under the fixture `zero`, in place of 25: none of its tests is of their number."""


@dataclass(frozen=True)
class Refusal:
    """What is answered instead of a card; `status` 0 closes the connection without an answer."""

    status: int
    answer: dict | str = ""
    result: str = ""

    @property
    def body(self) -> bytes:
        return (self.answer if isinstance(self.answer, str) else json.dumps(self.answer)).encode()

    @property
    def kind(self) -> str:
        return "text/event-stream" if isinstance(self.answer, str) else "application/json"


class Scheduler(http.server.ThreadingHTTPServer):
    """The part of ZeroGPU that hands out cards and takes them back; notes what was asked for.

    A card that was given back in order is handed out again as idle: then `spaces` uses its worker once more.
    It takes none back by itself: a test kills the worker that holds a card for longer than was asked for.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.asked: list[str] = []
        self.refusal: Refusal | None = None
        self._cards = itertools.count()
        self._idle: list[int] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def grant(self) -> dict:
        """Hand out a card, an idle one first."""
        idle = bool(self._idle)
        card = self._idle.pop() if idle else next(self._cards)
        return {"idle": idle, "nvidiaIndex": card, "nvidiaUUID": f"card-{card}", "allowToken": str(card)}

    def release(self, allowToken: str, fail: str) -> None:
        """Take a card back; after a failure its worker is not used again."""
        if fail == "false":
            self._idle.append(int(allowToken))

    def durations(self) -> list[int]:
        """Return the seconds that were asked for, call by call."""
        queries = [parse_qs(urlsplit(p).query) for p in self.asked if p.startswith("/schedule")]
        return [int(q["durationSeconds"][0]) for q in queries]

    def released(self) -> int:
        """Return how many cards were given back."""
        return sum(path.startswith("/release") for path in self.asked)


class _Answers(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.asked.append(self.path)
        address = urlsplit(self.path)
        query = {name: value for name, (value,) in parse_qs(address.query).items()}
        answer = Refusal(200, {})
        if address.path == "/schedule":
            answer = self.server.refusal or Refusal(200, self.server.grant())
        elif address.path == "/release":
            self.server.release(**query)
        if answer.status:
            self._send(answer)

    def _send(self, answer: Refusal) -> None:
        self.send_response(answer.status)
        self.send_header("content-type", answer.kind)
        self.send_header("content-length", str(len(answer.body)))
        if answer.result:
            self.send_header("X-Approve-Result", answer.result)
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, *_args: object) -> None:
        """Stay silent."""


@dataclass(frozen=True)
class Emulated:
    """The app as on ZeroGPU: its address, the scheduler behind it, and what its passes are told to do wrong."""

    url: str
    scheduler: Scheduler
    orders: Orders

    @contextmanager
    def refusing(self, refusal: Refusal):
        """Refuse cards for a while."""
        self.scheduler.refusal = refusal
        try:
            yield
        finally:
            self.scheduler.refusal = None


@contextmanager
def emulated(folder: Path, model: str = "tiny-random", prices: str = "fixed", **more: str):
    """Start the app as on ZeroGPU, with more variables in its environment.

    Its calls ask for the shipped seconds and a start, unless prices are ``learned``.
    """
    scheduler = Scheduler()
    environment = {
        "HOME": str(folder),
        "SPACES_ZERO_GPU": "true",
        "SPACES_ZERO_DEVICE_API_URL": f"http://127.0.0.1:{scheduler.server_port}",
        "SYSTEM": "spaces",
        "SPACE_ID": "owner/space",
        "PLANTAIN_MODEL": model,
        "PRICES": prices,
        **more,
    }
    try:
        with serving([sys.executable, str(ROOT / "tests" / "zero_gpu.py")], folder / "log", **environment) as url:
            yield Emulated(url, scheduler, Orders(folder))
    finally:
        scheduler.shutdown()
