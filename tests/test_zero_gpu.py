"""The app under the real `spaces` package, emulated on the CPU (see zero_gpu.py)."""

import http.server
import json
import sys
import threading
from urllib.parse import parse_qs, urlsplit

import pytest
from browser import ROOT, serving

pytest.importorskip("spaces")
TEXTS = ("Anna helps the old man up the stairs.", "Anna trips the old man on the stairs.")


class Scheduler(http.server.ThreadingHTTPServer):
    """The part of ZeroGPU that hands out cards, on loopback; notes what was asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.asked: list[str] = []
        self.refusal: tuple[int, dict, str] | None = None
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def durations(self) -> list[int]:
        queries = [parse_qs(urlsplit(p).query) for p in self.asked if p.startswith("/schedule")]
        return [int(q["durationSeconds"][0]) for q in queries]


class _Answers(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.asked.append(self.path)
        status, answer, result = 200, {}, ""
        if self.path.startswith("/schedule"):
            granted = {"idle": False, "nvidiaIndex": 0, "nvidiaUUID": "x", "allowToken": "t"}
            status, answer, result = self.server.refusal or (200, granted, "")
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        if result:
            self.send_header("X-Approve-Result", result)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Stay silent."""


@pytest.fixture(scope="module")
def scheduler():
    server = Scheduler()
    yield server
    server.shutdown()


@pytest.fixture(scope="module")
def start(scheduler, tmp_path_factory):
    def start(model, **environment):
        folder = tmp_path_factory.mktemp("zero")
        return serving(
            [sys.executable, str(ROOT / "tests" / "zero_gpu.py")],
            folder / "log",
            HOME=str(folder),
            SPACES_ZERO_GPU="true",
            SPACES_ZERO_DEVICE_API_URL=f"http://127.0.0.1:{scheduler.server_port}",
            SYSTEM="spaces",
            SPACE_ID="owner/space",
            PLANTAIN_MODEL=model,
            **environment,
        )

    return start


def client_of(url):
    from gradio_client import Client

    return Client(url, verbose=False)


def test_passes_run_in_a_worker_and_give_the_same_numbers(start, scheduler, moral_run, pipe):
    from gradio_client.exceptions import AppError

    from plantain.experiment import probe_pair
    from plantain.results import load_run

    expected = probe_pair(pipe, load_run(ROOT / "precomputed" / "tiny-random"), *TEXTS)
    with start("tiny-random") as url:
        client = client_of(url)
        result = client.predict("tiny-random", *TEXTS, api_name="/probe_pair")
        assert result["score"] == pytest.approx(expected.score, rel=1e-4)
        probed = client.predict(64, 0, api_name="/run_probe")
        assert probed["summary"]["max_abs_t"] == pytest.approx(abs(moral_run.analysis().t).max(), rel=1e-4)
        assert probed["device"].startswith("cpu")  # read in the worker: the parent process believes in a card
        assert scheduler.durations() == [15, 20]
        scheduler.refusal = (429, {"left": 10, "wait": 3600}, "quota-exceeded")
        with pytest.raises(AppError, match="quota"):
            client.predict("tiny-random", *TEXTS, api_name="/probe_pair")
        scheduler.refusal = None
        scheduler.refusal = (500, {}, "")
        with pytest.raises(AppError, match="Something broke|ZeroGPU"):  # a plain RuntimeError, with words of ours
            client.predict("tiny-random", *TEXTS, api_name="/probe_pair")
        scheduler.refusal = None
        before = len(scheduler.durations())
        with pytest.raises(AppError, match="empty"):
            client.predict("tiny-random", " ", "b", api_name="/probe_pair")
        assert len(scheduler.durations()) == before  # refused before any GPU second was asked for


def test_the_page_starts_with_the_saved_runs_when_the_model_cannot_be_loaded(start):
    from gradio_client.exceptions import AppError

    with start("no/such/folder") as url:
        client = client_of(url)
        assert client.predict(api_name="/list_runs")[0]["run"] == "tiny-random"
        with pytest.raises(AppError, match="no such folder"):
            client.predict("tiny-random", *TEXTS, api_name="/probe_pair")


def test_a_worker_that_dies_loses_no_pair_that_is_done(start, scheduler):
    """The pairs are kept in the parent process; the next call asks for the missing ones only."""
    from gradio_client.exceptions import AppError

    with start("tiny-random", PLANTAIN_TEST_DIES_AFTER="5") as url:
        client = client_of(url)
        with pytest.raises(AppError, match="ZeroGPU worker error"):
            client.predict(64, 0, api_name="/run_probe")
        probed = client.predict(64, 0, api_name="/run_probe")
        assert probed["n_pairs"] == 25 and scheduler.durations()[-2:] == [20, 19]


def test_a_failed_pass_in_the_worker_says_its_reason(start):
    from gradio_client.exceptions import AppError

    with (
        start("tiny-random", PLANTAIN_TEST_FAILS="single[3]: NaN or infinite activation") as url,
        pytest.raises(AppError, match="NaN or infinite activation"),
    ):
        client_of(url).predict("tiny-random", *TEXTS, api_name="/probe_pair")
