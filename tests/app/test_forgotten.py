"""A page whose session Gradio has forgotten, since others came: in Chromium."""

import json
import sys
import time
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest
from browser import ROOT, serving
from gradio_client import Client
from gradio_client.utils import Status
from misbehave import Orders
from visit import CUT, open_page, pick, serious, show_tab

COMMAND = [sys.executable, str(ROOT / "tests" / "forgetful_app.py")]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The page's address, and the orders for its passes."""
    home = tmp_path_factory.mktemp("forgetful")
    with serving(COMMAND, home / "log", PLANTAIN_MODEL="tiny-random", HOME=str(home)) as url:
        yield url, Orders(home)


def others_come(url):
    """Open more sessions than there is room for: a program's call is one."""
    for _ in range(9):
        asked = Request(f"{url}/gradio_api/call/list_runs", b'{"data": []}', {"content-type": "application/json"})
        event = json.loads(urlopen(asked, timeout=30).read())["event_id"]
        assert b"event: complete" in urlopen(f"{url}/gradio_api/call/list_runs/{event}", timeout=30).read()


def test_a_pair_that_waits_for_its_turn_is_answered_though_its_session_is_forgotten(browser, served):
    url, orders = served
    with browser.new_context() as context:
        page = context.new_page()
        open_page(page, url)
        page.wait_for_selector("#model-status >> text=Loaded", timeout=120_000)
        show_tab(page, "Try a pair")
        orders.give("wait")
        pairs = [("tiny-random", f"{name} lends a coat.", f"{name} hides a coat.") for name in ("Ola", "Ida")]
        jobs = [Client(url, verbose=False).submit(*pair, api_name="/probe_pair") for pair in pairs]
        deadline = time.monotonic() + 60
        while not all(job.status().code is Status.PROCESSING for job in jobs):  # two pairs go at a time
            assert time.monotonic() < deadline
            page.wait_for_timeout(50)
        page.click("#score-pair")
        page.wait_for_selector("#score-pair:disabled")  # what is sent is known
        others_come(url)
        assert "Both prompts go through" not in page.inner_text("#pair-said")  # it is still waiting
        orders.clear()
        page.wait_for_selector("#pair-answer .pl-pictures img", timeout=90_000)
        assert "The run's own pairs do not agree" in page.inner_text("#pair-answer")


def test_a_page_that_is_forgotten_says_so_and_a_reload_helps(browser, served):
    url, _ = served
    with browser.new_context() as context:
        page = context.new_page()
        open_page(page, url, tab="evidence")
        show_tab(page, "Evidence", "pairs")
        page.wait_for_selector("#section-pairs details summary")
        others_come(url)
        pick(page, "Units", "true heads")
        page.wait_for_selector(".pl-forgotten[role=alert] >> text=The server no longer knows this page")
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 900})
            assert serious(page) == [] and page.evaluate(CUT) == []
        assert urlsplit(page.url).query.count("section=pairs") == 1
        page.get_by_role("button", name="Reload the page").click()
        page.wait_for_selector("#section-pairs details summary")
        assert page.locator(".pl-forgotten").count() == 0
