"""Fifty visitors for five minutes on loopback; run by hand.

    python tests/benchmarks/bench_load.py [MINUTES] [VISITORS]

Starts the app with the stand-in and waits for its model. Every visitor, a thread, comes at some moment of the first
minute, has sessions with a heartbeat, a new one every minute, and asks for what the page's own script asks for: the
page, the views that follow a choice, folded parts, which are built when they are opened, files to take away, and a pair
by the button. As a program it calls the endpoints, each with other units and scopes; now and then it asks for a table
of 200 units, which every second time nobody fetches. Somebody runs a probe meanwhile. Prints, per kind, how many
answers there were, how many errors, the median and the 95th percentile of their time, and the memory of the app after
two fifths of the time, when Gradio has about as many sessions as it keeps, and at the end; ends with 1 where there was
an error, views took a second in more than 5% of cases, or memory grew by 10%.
"""

from __future__ import annotations

import http.client
import json
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))
from browser import app_command, serving

VIEWS = [("card", "all"), ("heads", "all"), ("heads", "image"), ("mlp", "all"), ("text-heads", "words")]
STAY = 60  # seconds of a visitor's stay
WARM = 2 / 5  # of the time
PAUSE = 2.0  # seconds between two looks of a visitor, on average
SHARES = {  # of what a visitor does
    "page": 0.15, "view": 0.30, "part": 0.10, "file": 0.02, "pair": 0.02, "list_runs": 0.10, "summary": 0.13,
    "top_units": 0.13, "long table": 0.03, "pair by program": 0.02,
}  # fmt: skip
WORK = ("pair", "pair by program", "probe")  # passes through the model, which nobody expects within a second


class Tally:
    """What came back: per kind the seconds of every answer, and errors in words."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.errors: list[str] = []

    def add(self, kind: str, seconds: float, error: str | None) -> None:
        with self._lock:
            self.seconds[kind].append(seconds)
            if error:
                self.errors.append(f"{kind}: {error}")


def ask(host: str, path: str, body: dict | None = None) -> tuple[int, bytes]:
    """Send a request on a connection of its own; return status and content."""
    with closing(http.client.HTTPConnection(host, timeout=300)) as connection:
        if body is None:
            connection.request("GET", path)
        else:
            connection.request("POST", path, json.dumps(body).encode(), {"content-type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()


def call(host: str, name: str, data: list, fetch: bool = True) -> str | None:
    """Call an endpoint, and fetch its answer or not; return an error in words, or None."""
    status, content = ask(host, f"/gradio_api/call/{name}", {"data": data})
    if status != 200:
        return f"status {status}: {content[:100]!r}"
    if not fetch:
        return None
    _, said = ask(host, f"/gradio_api/call/{name}/{json.loads(content)['event_id']}")
    return None if b"event: complete" in said else said[-200:].decode()


class Failed(Exception):
    """What was asked for did not come, in words."""


class Visit:
    """What the page's script knows in one session: components and events, more of them with every part it opens."""

    def __init__(self, host: str, session: str) -> None:
        self.host, self.session = host, session
        self._components: dict[int, dict] = {}
        self._events: list[dict] = []
        config = json.loads(self._asked("/config"))
        self._add(config)
        named = {c["props"].get("elem_id") or c["props"].get("label"): i for i, c in self._components.items()}
        self._choice = [named[name] for name in ("run", "Units", "Scope")]
        self._button = named["score-pair"]
        self.parts = self._unopened()
        self.views = self._views(config["dependencies"])
        assert self.parts and self.views, "the page has no folded parts, or no views"

    def _add(self, config: dict) -> None:
        self._components |= {c["id"]: c for c in config["components"]}
        self._events += config["dependencies"]

    def _unopened(self) -> dict[str, dict]:
        """Return the events that build a part, by its name: each follows an unseen text box, and takes nothing."""
        found = {}
        for event in self._events:
            for place, change in event["targets"]:
                props = self._components.get(place, {"props": {}})["props"]
                builds = change == "change" and event["backend_fn"] and not event["inputs"]
                if builds and "pl-unseen" in (props.get("elem_classes") or ()):
                    found[props["label"]] = event
        return found

    def _views(self, events: list[dict]) -> list[dict]:
        """Return the views among events: what follows the choice, and is answered outside of the queue."""
        ours = (e for e in events if e["backend_fn"] and e["inputs"][:3] == self._choice)
        return [e for e in ours if not e["queue"] and not e["collects_event_data"]]  # no click in a figure

    def _asked(self, path: str, body: dict | None = None) -> bytes:
        status, content = ask(self.host, path, body)
        if status != 200:
            name = {e["id"]: e["api_name"] for e in self._events}.get((body or {}).get("fn_index"), "")
            raise Failed(f"{path} {name}: status {status}: {content[:100]!r}")
        return content

    def _body(self, event: dict, given: dict[int, object]) -> dict:
        """What a browser sends for an event: what is given, and everything else as it is on a new page."""
        start = {i: c["props"].get("value") for i, c in self._components.items()} | given
        data = [start.get(i) for i in event["inputs"]]
        asks = {"fn_index": event["id"], "session_hash": self.session, "event_data": None, "trigger_id": None}
        return {"data": data, **asks}

    def view(self, event: dict, choice: list[str]) -> dict:
        """Ask for a view."""
        given = dict(zip(self._choice, choice, strict=True))
        return json.loads(self._asked("/gradio_api/run/predict", self._body(event, given)))

    def _queued(self, event: dict, choice: list[str], given: dict[int, object] | None = None) -> list:
        """Have something done by the queue; return what it gives."""
        given = dict(zip(self._choice, choice, strict=True)) | (given or {})
        self._asked("/gradio_api/queue/join", self._body(event, given))
        said = self._asked(f"/gradio_api/queue/data?session_hash={self.session}").decode()
        told = [json.loads(line[6:]) for line in said.splitlines() if line.startswith("data: ")]
        done = [one for one in told if one["msg"] == "process_completed"]
        if not done or not done[-1]["success"]:
            raise Failed(f"{event['api_name']}: {said[-200:]}")
        return done[-1]["output"]["data"]

    def open(self, name: str, choice: list[str]) -> list[dict]:
        """Open a part, and look at its views; return its events."""
        built = self.view(self.parts[name], choice)["render_config"]
        self._add(built)
        for event in self._views(built["dependencies"]):
            self.view(event, choice)
        return built["dependencies"]

    def take(self, chance: random.Random, choice: list[str]) -> None:
        """Make one of the files to take away, and fetch it."""
        (name,) = [part for part in self.parts if part.startswith("Take away")]
        events = self.open(name, choice)
        files = {i for i, c in self._components.items() if c["type"] == "downloadbutton"}
        made = self._queued(chance.choice([e for e in events if e["queue"] and files & set(e["outputs"])]), choice)
        self._asked(f"/gradio_api/file={made[1]['value']['path']}")

    def pair(self, choice: list[str], texts: list[str]) -> None:
        """Send a pair by the button: the click is answered first, then the queue has its turn."""
        clicks = [e for e in self._events if [self._button, "click"] in e["targets"] and e["backend_fn"]]
        given = dict(zip(clicks[0]["inputs"], [choice[0], *texts], strict=True))
        answer = json.loads(self._asked("/gradio_api/run/predict", self._body(clicks[0], given)))
        (score,) = [e for e in self._events if e["trigger_after"] == clicks[0]["id"] and e["queue"]]
        self._queued(score, choice, dict(zip(clicks[0]["outputs"], answer["data"], strict=True)))


def act(visit: Visit, chance: random.Random) -> tuple[str, str | None]:
    """Look at something, or send a pair; return what it was, and an error or None."""
    choice, host = ["tiny-random", *chance.choice(VIEWS)], visit.host
    everywhere = [*choice[:2], "all"]  # a page offers the scopes of its units only; "all" belongs to each
    what = chance.choices(*zip(*SHARES.items(), strict=True))[0]
    texts = [f"Visitor {visit.session} helps the old man up.", f"Visitor {visit.session} trips the old man up."]
    try:
        if what == "page":
            status, _ = ask(host, "/")
            return what, None if status == 200 else f"status {status}"
        if what == "view":
            visit.view(chance.choice(visit.views), everywhere)
        elif what == "part":
            visit.open(chance.choice(list(visit.parts)), everywhere)
        elif what == "file":
            visit.take(chance, everywhere)
        elif what == "pair":
            visit.pair(everywhere, texts)
        elif what == "pair by program":
            return what, call(host, "probe_pair", ["tiny-random", *texts])
        elif what == "long table":
            return what, call(host, "top_units", [*choice, 200, ""], fetch=chance.random() < 0.5)
        else:
            return what, call(host, what, {"list_runs": [], "summary": choice, "top_units": [*choice, 20, ""]}[what])
    except Failed as error:
        return what, str(error)
    return what, None


def visitor(host: str, who: int, until: float, tally: Tally) -> None:
    """Look around until the time is over; after a while another visitor comes in the place of this one."""
    chance, stay = random.Random(who), 0
    time.sleep(chance.uniform(0, STAY))
    while time.monotonic() < until:
        stay += 1
        look_around(host, f"visitor{who}-{stay}", min(until, time.monotonic() + STAY), chance, tally)


def look_around(host: str, session: str, until: float, chance: random.Random, tally: Tally) -> None:
    """Look around in one session, and leave."""
    with closing(http.client.HTTPConnection(host, timeout=300)) as heart:
        heart.request("GET", f"/gradio_api/heartbeat/{session}")
        visit = Visit(host, session)
        while time.monotonic() < until:
            time.sleep(chance.uniform(0, 2 * PAUSE))
            start = time.monotonic()
            try:
                kind, error = act(visit, chance)
            except (OSError, http.client.HTTPException) as broken:
                kind, error = "broken", repr(broken)
            tally.add(kind, time.monotonic() - start, error)


def memory(url: str) -> float:
    """Return the resident memory of the app and its children, in MB."""
    port = urlsplit(url).port
    for process in psutil.process_iter():
        try:
            if any(c.laddr.port == port and c.status == "LISTEN" for c in process.net_connections()):
                family = [process, *process.children(recursive=True)]
                return sum(p.memory_info().rss for p in family) / 1e6
        except psutil.Error:
            continue
    raise RuntimeError("the app is gone")


def watch(url: str, until: float, held: list[float]) -> None:
    """Note the memory every 15 s."""
    while time.monotonic() < until:
        held.append(memory(url))
        time.sleep(15)


def main() -> None:
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    visitors = int(sys.argv[2]) if len(sys.argv) > 2 else 50
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with serving(app_command(), log, PLANTAIN_MODEL="tiny-random") as url:
            host, tally = urlsplit(url).netloc, Tally()
            while (state := json.loads(ask(host, "/health")[1])["model"]["state"]) != "ready":
                assert state != "failed", log.read_text()
                time.sleep(1)
            for units, scope in VIEWS:  # the statistics of the saved run stand before visitors come
                call(host, "summary", ["tiny-random", units, scope])
            until = time.monotonic() + 60 * minutes
            threads = [threading.Thread(target=visitor, args=(host, i, until, tally)) for i in range(visitors)]
            for thread in threads:
                thread.start()
            watching = threading.Thread(target=watch, args=(url, until, held := []), daemon=True)
            watching.start()
            time.sleep(60 * minutes * WARM)
            warm = memory(url)
            start = time.monotonic()
            tally.add("probe", 0.0, call(host, "run_probe", [64, 1]))
            tally.seconds["probe"] = [time.monotonic() - start]
            for thread in threads:
                thread.join()
            end = memory(url)
            report(tally, warm, end)
            print("memory every 15 s:", *(f"{mb:,.0f}" for mb in held))
    views = [s for kind, seconds in tally.seconds.items() if kind not in WORK for s in seconds]
    kept = not tally.errors and end < 1.1 * warm and statistics.quantiles(views, n=20)[-1] < 1
    print("no error, memory within 10%, views within 1 s:", "kept" if kept else "BROKEN")
    sys.exit(not kept)


def report(tally: Tally, warm: float, end: float) -> None:
    """Print what came back."""
    for kind, seconds in sorted(tally.seconds.items()):
        cut = statistics.quantiles(seconds, n=20)[-1] if len(seconds) > 1 else seconds[0]
        middle = statistics.median(seconds)
        print(f"{kind:>15}: {len(seconds):>6} answers, median {middle:6.3f} s, p95 {cut:6.3f} s")
    print(f"errors: {len(tally.errors)}", *tally.errors[:10], sep="\n    ")
    print(f"memory: {warm:,.0f} MB after {WARM:.0%} of it, {end:,.0f} MB at the end ({100 * (end / warm - 1):+.1f}%)")


if __name__ == "__main__":
    main()
