"""Fifty visitors for five minutes on loopback; run by hand.

    python tests/benchmarks/bench_load.py [MINUTES] [VISITORS]

Starts the app with the stand-in. Every visitor, a thread, has sessions with a heartbeat, a new one every minute, loads
the page and asks for the views of its tabs as the page's own script does, makes a download, calls the endpoints as a
program does (each with other units and scopes; now and then a table of 200 units, which every second time nobody
fetches), and sends a pair; somebody runs a probe meanwhile. Prints, per kind, how many answers there were, how many
errors, the median and the 95th percentile of their time, and the memory of the app after a fifth of the time and at the
end; ends with 1 where there was an error, views took a second in more than 5% of cases, or memory grew by 10%.
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
from collections import Counter, defaultdict
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))
from browser import app_command, serving

VIEWS = [("card", "all"), ("heads", "all"), ("heads", "image"), ("mlp", "all"), ("text-heads", "words")]
STAY = 60  # seconds of a visitor's stay
PAUSE = 2.0  # seconds between two looks of a visitor, on average
SHARES = {  # of what a visitor does
    "page": 0.15, "view of a tab": 0.40, "download": 0.02, "list_runs": 0.10, "summary": 0.13, "top_units": 0.13,
    "long table": 0.03, "pair": 0.04,
}  # fmt: skip


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


class Page:
    """What the page's script knows of it: the events of a choice of run, units and scope."""

    def __init__(self, host: str) -> None:
        config = json.loads(ask(host, "/config")[1])
        self._start = {c["id"]: c["props"].get("value") for c in config["components"]}
        ours = [d for d in config["dependencies"] if d["backend_fn"] and len(d["inputs"]) > 2]
        choice = Counter(tuple(d["inputs"][:3]) for d in ours).most_common(1)[0][0]
        ours = [d for d in ours if tuple(d["inputs"][:3]) == choice]
        self.views = [d for d in ours if not d["queue"]]
        files = {c["id"] for c in config["components"] if c["type"] == "downloadbutton"}
        self.downloads = [d for d in ours if d["queue"] and files & set(d["outputs"])]
        assert self.downloads, "the page offers no file"

    def body(self, event: dict, choice: list, session: str) -> dict:
        """What a browser sends for an event: the choice, and everything else as it is on a new page."""
        data = [*choice, *(self._start[i] for i in event["inputs"][3:])]
        return {"data": data, "fn_index": event["id"], "session_hash": session, "event_data": None, "trigger_id": None}

    def view(self, host: str, event: dict, choice: list, session: str) -> str | None:
        """Ask for a tab's view; return an error, or None."""
        status, content = ask(host, "/gradio_api/run/predict", self.body(event, choice, session))
        return None if status == 200 else f"{event['api_name']}: status {status}: {content[:100]!r}"

    def download(self, host: str, event: dict, choice: list, session: str) -> str | None:
        """Make a download, through the queue; return an error, or None."""
        status, content = ask(host, "/gradio_api/queue/join", self.body(event, choice, session))
        if status != 200:
            return f"{event['api_name']}: status {status}: {content[:100]!r}"
        _, said = ask(host, f"/gradio_api/queue/data?session_hash={session}")
        return None if b'"success":true' in said else f"{event['api_name']}: {said[-200:].decode()}"


def act(host: str, page: Page, session: str, chance: random.Random) -> tuple[str, str | None]:
    """Look at something, or send a pair; return what it was, and an error or None."""
    choice = ["tiny-random", *chance.choice(VIEWS)]
    what = chance.choices(*zip(*SHARES.items(), strict=True))[0]
    if what == "pair":
        texts = [f"Visitor {session} helps the old man up the stairs.", f"Visitor {session} trips the old man there."]
        return what, call(host, "probe_pair", ["tiny-random", *texts])
    if what == "page":
        status, _ = ask(host, "/")
        return what, None if status == 200 else f"status {status}"
    if what == "view of a tab":
        # A page offers the scopes of its units only; "all" belongs to each.
        return what, page.view(host, chance.choice(page.views), [*choice[:2], "all"], session)
    if what == "download":
        return what, page.download(host, chance.choice(page.downloads), [*choice[:2], "all"], session)
    if what == "long table":
        return what, call(host, "top_units", [*choice, 200, ""], fetch=chance.random() < 0.5)
    return what, call(host, what, {"list_runs": [], "summary": choice, "top_units": [*choice, 20, ""]}[what])


def visitor(host: str, who: int, until: float, tally: Tally) -> None:
    """Look around until the time is over; after a while another visitor comes in the place of this one."""
    chance, page, stay = random.Random(who), Page(host), 0
    while time.monotonic() < until:
        stay += 1
        visit(host, page, f"visitor{who}-{stay}", min(until, time.monotonic() + STAY), chance, tally)


def visit(host: str, page: Page, session: str, until: float, chance: random.Random, tally: Tally) -> None:
    """Look around in one session, and leave."""
    with closing(http.client.HTTPConnection(host, timeout=300)) as heart:
        heart.request("GET", f"/gradio_api/heartbeat/{session}")
        while time.monotonic() < until:
            time.sleep(chance.uniform(0, 2 * PAUSE))
            start = time.monotonic()
            try:
                kind, error = act(host, page, session, chance)
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
            for units, scope in VIEWS:  # the statistics of the saved run stand before visitors come
                call(host, "summary", ["tiny-random", units, scope])
            until = time.monotonic() + 60 * minutes
            threads = [threading.Thread(target=visitor, args=(host, i, until, tally)) for i in range(visitors)]
            for thread in threads:
                thread.start()
            watching = threading.Thread(target=watch, args=(url, until, held := []), daemon=True)
            watching.start()
            time.sleep(60 * minutes / 5)
            warm = memory(url)
            start = time.monotonic()
            tally.add("probe", 0.0, call(host, "run_probe", [64, 1]))
            tally.seconds["probe"] = [time.monotonic() - start]
            for thread in threads:
                thread.join()
            end = memory(url)
            report(tally, warm, end)
            print("memory every 15 s:", *(f"{mb:,.0f}" for mb in held))
    views = [s for kind, seconds in tally.seconds.items() if kind not in ("pair", "probe") for s in seconds]
    kept = not tally.errors and end < 1.1 * warm and statistics.quantiles(views, n=20)[-1] < 1
    print("no error, memory within 10%, views within 1 s:", "kept" if kept else "BROKEN")
    sys.exit(not kept)


def report(tally: Tally, warm: float, end: float) -> None:
    """Print what came back."""
    for kind, seconds in sorted(tally.seconds.items()):
        cut = statistics.quantiles(seconds, n=20)[-1] if len(seconds) > 1 else seconds[0]
        middle = statistics.median(seconds)
        print(f"{kind:>13}: {len(seconds):>6} answers, median {middle:6.3f} s, p95 {cut:6.3f} s")
    print(f"errors: {len(tally.errors)}", *tally.errors[:10], sep="\n    ")
    print(
        f"memory: {warm:,.0f} MB after a fifth of the time, {end:,.0f} MB at the end ({100 * (end / warm - 1):+.1f}%)"
    )


if __name__ == "__main__":
    main()
