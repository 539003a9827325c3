"""Fifty visitors for five minutes on loopback; run by hand.

    python tests/benchmarks/bench_load.py [MINUTES] [VISITORS]

Starts the app with the stand-in. Every visitor, a thread, looks at things as the page's own script does (the page, and
the views behind /summary, /top_units and /list_runs, each with other units and scopes) and now and then sends a pair;
somebody runs a probe meanwhile. Prints, per kind, how many answers there were, how many errors, the median and the
95th percentile of their time, and the memory of the app after a fifth of the time and at the end.
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
from pathlib import Path
from urllib.parse import urlsplit

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))
from browser import app_command, serving

VIEWS = [("card", "all"), ("heads", "all"), ("heads", "image"), ("mlp", "all"), ("text-heads", "words")]
PAUSE = 2.0  # seconds between two looks of a visitor, on average
PAIR_SHARE = 0.04  # of the looks that are a pair


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


def call(host: str, name: str, data: list) -> str | None:
    """Call an endpoint; return an error in words, or None."""
    connection = http.client.HTTPConnection(host, timeout=300)
    try:
        body = json.dumps({"data": data}).encode()
        connection.request("POST", f"/gradio_api/call/{name}", body, {"content-type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            return f"status {answer.status}: {content[:100]!r}"
        connection.request("GET", f"/gradio_api/call/{name}/{json.loads(content)['event_id']}")
        said = connection.getresponse().read().decode()
        return None if "event: complete" in said else said[-200:]
    except OSError as error:
        return repr(error)
    finally:
        connection.close()


def look(host: str, path: str = "/") -> str | None:
    connection = http.client.HTTPConnection(host, timeout=60)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        return None if answer.status == 200 else f"status {answer.status}"
    except OSError as error:
        return repr(error)
    finally:
        connection.close()


def ask(host: str, chance: random.Random, who: int) -> tuple[str, str | None]:
    """Look at something, or send a pair; return what it was, and an error or None."""
    choice = ["tiny-random", *chance.choice(VIEWS)]
    if chance.random() < PAIR_SHARE:
        texts = [f"Visitor {who} helps the old man up the stairs.", f"Visitor {who} trips the old man on the stairs."]
        return "pair", call(host, "probe_pair", ["tiny-random", *texts])
    what = chance.choice(("page", "list_runs", "summary", "top_units"))
    if what == "page":
        return what, look(host)
    return what, call(host, what, {"list_runs": [], "summary": choice}.get(what, [*choice, 20, ""]))


def visitor(host: str, who: int, until: float, tally: Tally) -> None:
    """Look around until the time is over."""
    chance = random.Random(who)
    while time.monotonic() < until:
        time.sleep(chance.uniform(0, 2 * PAUSE))
        start = time.monotonic()
        kind, error = ask(host, chance, who)
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


def report(tally: Tally, warm: float, end: float) -> None:
    """Print what came back."""
    for kind, seconds in sorted(tally.seconds.items()):
        cut = statistics.quantiles(seconds, n=20)[-1] if len(seconds) > 1 else seconds[0]
        middle = statistics.median(seconds)
        print(f"{kind:>10}: {len(seconds):>6} answers, median {middle:6.3f} s, p95 {cut:6.3f} s")
    print(f"errors: {len(tally.errors)}", *tally.errors[:10], sep="\n    ")
    print(
        f"memory: {warm:,.0f} MB after a fifth of the time, {end:,.0f} MB at the end ({100 * (end / warm - 1):+.1f}%)"
    )


if __name__ == "__main__":
    main()
