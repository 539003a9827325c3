"""What is kept of visitors: their choices, not a copy of the page; what is under way, not what nobody fetches.

A page with a counter, an endpoint with a long answer and one that waits, served by Gradio in this process.
"""

import http.client
import json
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import gradio as gr
import pytest

from plantain.ui import keep_little
from plantain.ui.sessions import UNREAD

ROOM = 5  # sessions
LONG = 5000  # numbers in an answer


@pytest.fixture(params=[True, False], ids=["ours", "gradio's"])
def page(request):
    """The page, with our keep and with Gradio's own; `gate` holds the endpoint that waits."""
    gate = threading.Event()

    def count(n: int):
        return n + 1, n + 1

    def numbers() -> list:
        return list(range(LONG))

    def wait() -> str:
        assert gate.wait(60)
        return "waited"

    with gr.Blocks() as demo:
        counter, shown, button = gr.State(0), gr.Number(), gr.Button()
        button.click(count, counter, [counter, shown], api_name="count")
        gr.api(numbers, api_name="numbers", queue=False)
        gr.api(wait, api_name="wait")
    demo.queue(default_concurrency_limit=4)
    _, url, _ = demo.launch(
        prevent_thread_lock=True, quiet=True, ssr_mode=False, state_session_capacity=ROOM, run_history=False
    )
    if request.param:
        keep_little(demo)
    yield SimpleNamespace(url=url + "gradio_api", demo=demo, ours=request.param, gate=gate)
    demo.close()


def post(page, path, **body):
    asked = urllib.request.Request(
        f"{page.url}/{path}", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(asked, timeout=60) as answer:
        return json.loads(answer.read())


def ask(page, name):
    """Begin a call as a program does; return its event."""
    return post(page, f"call/{name}", data=[])["event_id"]


def fetch(page, name, event):
    with urllib.request.urlopen(f"{page.url}/call/{name}/{event}", timeout=60) as answer:
        try:
            return answer.read().decode()
        except http.client.IncompleteRead as cut:  # so Gradio ends an answer about an event that it does not know
            return cut.partial.decode()


def click(page, session):
    """Press the button as the page does; return the count."""
    number = next(i for i, fn in page.demo.fns.items() if fn.api_name == "count")
    event = post(page, "queue/join", data=[None], fn_index=number, session_hash=session)["event_id"]
    with urllib.request.urlopen(f"{page.url}/queue/data?session_hash={session}", timeout=60) as answer:
        said = [json.loads(line[6:]) for line in answer.read().decode().splitlines() if line.startswith("data: ")]
    (ended,) = (m for m in said if m["msg"] == "process_completed" and m["event_id"] == event)
    return ended["output"]["data"][1]


def test_a_programs_calls_do_not_make_the_page_forget_a_visitor(page):
    assert [click(page, "visitor") for _ in range(2)] == [1, 2]
    for _ in range(2 * ROOM):
        assert "complete" in fetch(page, "numbers", ask(page, "numbers"))
    assert click(page, "visitor") == (3 if page.ours else 1)
    assert len(page.demo.app.state_holder.session_data) <= ROOM + 1


def test_of_too_many_visitors_the_one_goes_who_was_away_longest(page):
    for name in "abcdefgh":
        click(page, name)
    click(page, "d")
    click(page, "i")
    kept = list(page.demo.app.state_holder.session_data)
    assert "d" in kept and "i" in kept and "a" not in kept and len(kept) == ROOM


def test_no_copy_of_an_answer_or_of_the_page_stays(page):
    assert str(LONG - 1) in fetch(page, "numbers", ask(page, "numbers"))
    held = [str(session.config_values) for session in page.demo.app.state_holder.session_data.values()]
    assert any(str(LONG - 1) in text for text in held) is not page.ours
    assert all(text == "{}" for text in held) is page.ours


def test_answers_that_nobody_fetches_go_and_the_last_ones_stay(page):
    events = [ask(page, "numbers") for _ in range(UNREAD + 20)]
    boxes = page.demo._queue.pending_messages_per_session
    assert len(boxes) == (UNREAD + 1 if page.ours else UNREAD + 20)
    assert len(page.demo._queue.pending_event_ids_session) == len(boxes)
    assert str(LONG - 1) in fetch(page, "numbers", events[-1])
    assert (str(LONG - 1) in fetch(page, "numbers", events[0])) is not page.ours


def test_what_was_fetched_leaves_nothing(page):
    for _ in range(10):
        fetch(page, "numbers", ask(page, "numbers"))
    queue = page.demo._queue
    left = (1, 1) if page.ours else (10, 10)  # the last one's goes with the next call
    assert (len(queue.pending_messages_per_session), len(queue.pending_event_ids_session)) == left


def test_a_call_under_way_outlives_any_number_of_others(page):
    with ThreadPoolExecutor() as pool:
        event = ask(page, "wait")
        waiting = pool.submit(fetch, page, "wait", event)
        for _ in range(UNREAD + 20):
            ask(page, "numbers")
        page.gate.set()
        assert "waited" in waiting.result()


def test_a_call_of_which_the_box_is_gone_ends_and_others_go_on(page):
    """Nobody is there for its answer; the queue that ran it goes on."""
    ask(page, "wait")
    page.demo._queue.pending_messages_per_session.clear()
    page.gate.set()
    for _ in range(6):  # more than run at once
        assert "waited" in fetch(page, "wait", ask(page, "wait"))
