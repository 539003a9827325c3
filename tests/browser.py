"""Start the app in a process of its own, and Chromium to look at it. Used by the app's tests."""

import atexit
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "test-output"
CHROMIUM_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextmanager
def serving(command: list[str], log: Path, **environment: str):
    """Run a command that serves the page; yield its address; end it and its children.

    Unless told otherwise it shows the runs on random weights only, which most tests ask for.
    """
    port = free_port()
    own = {"GRADIO_SERVER_PORT": str(port), "PYTHONPATH": str(ROOT), "PLANTAIN_RUNS": str(random_runs())}
    env = {**os.environ, **own, **environment}
    with log.open("w") as out:
        # A shell lets what it starts in the background ignore Ctrl-C, and so would the app.
        heed = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler)}
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=out, stderr=out, start_new_session=True, **heed)
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_until_served(url, process, log)
            yield url
        finally:
            _end_group(process)


@cache
def random_runs() -> Path:
    """Copy the shipped runs on random weights into a folder of their own."""
    folder = Path(tempfile.mkdtemp(prefix="plantain-runs-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name in ("tiny-random", "untrained-klein-4b"):
        shutil.copytree(ROOT / "precomputed" / name, folder / name)
    return folder


def _wait_until_served(url: str, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"the app did not start:\n{log.read_text()}")


def _end_group(process: subprocess.Popen) -> None:
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            return
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            continue


def app_command() -> list[str]:
    return [sys.executable, "app.py"]


@contextmanager
def chromium():
    """Yield a browser; without Chromium the test is skipped, but fails where CI is set."""
    path = shutil.which("chromium")
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is missing; .ci/run installs it.")
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium).")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=30_000)  # as for a click; five seconds are short where two cores do everything

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        try:
            yield browser
        finally:
            browser.close()
