"""What is kept of visitors: their choices, not a copy of the page; what is under way, not what nobody fetches.

A page with a counter, an endpoint with a long answer and one that waits, served by Gradio in this process.
"""

import asyncio
import datetime
import http.client
import json
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import gradio as gr
import gradio.routes
import pytest
from gradio.server_messages import LogMessage, ProcessCompletedMessage
from gradio.state_holder import StateHolder

from plantain.ui import keep_little
from plantain.ui.sessions import FORGOTTEN, GONE, LONGEST_NAME, UNREAD

ROOM = 5  # sessions
LONG = 5000  # numbers in an answer


@pytest.fixture(params=[True, False], ids=["ours", "gradio's"])
def page(request, monkeypatch):
    """The page, with our keep and with Gradio's own; `gate` holds the endpoint that waits."""
    gate = threading.Event()
    monkeypatch.setattr(gradio.routes, "StateHolder", StateHolder)

    def count(n: int):
        return n + 1, n + 1

    def numbers() -> list:
        return list(range(LONG))

    def wait() -> str:
        assert gate.wait(60)
        return "waited"

    def tell(progress=gr.Progress()):  # noqa: B008, Gradio's way to ask for it
        for i in range(1000):
            progress(i / 1000)
            yield f"step {i}"
            if gate.wait(0.01):
                break
        yield "told"

    with gr.Blocks() as demo:
        counter, shown, button = gr.State(0), gr.Number(), gr.Button()
        button.click(count, counter, [counter, shown], api_name="count")
        button.click(lambda n: (n, gr.update(label="New")), shown, [counter, shown], api_name="update")
        gr.Button().click(tell, None, gr.Textbox(), api_name="tell")
        gr.api(numbers, api_name="numbers", queue=False)
        gr.api(wait, api_name="wait")
    demo.queue(default_concurrency_limit=4)
    if request.param:
        keep_little(demo)
    _, url, _ = demo.launch(
        prevent_thread_lock=True, quiet=True, ssr_mode=False, state_session_capacity=ROOM, run_history=False
    )
    yield SimpleNamespace(url=url + "gradio_api", demo=demo, ours=request.param, gate=gate)
    demo.close()


def post(page, path, **body):
    asked = urllib.request.Request(
        f"{page.url}/{path}", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(asked, timeout=60) as answer:
        return json.loads(answer.read())


def ask(page, name, **more):
    """Begin a call as a program does; return its event."""
    return post(page, f"call/{name}", data=[], **more)["event_id"]


def fetch(page, name, event):
    with urllib.request.urlopen(f"{page.url}/call/{name}/{event}", timeout=60) as answer:
        try:
            return answer.read().decode()
        except http.client.IncompleteRead as cut:  # so Gradio ends an answer about an event that it does not know
            return cut.partial.decode()


def until(holds):
    limit = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < limit
        time.sleep(0.02)


def settle(page):
    """Wait until every call has ended."""
    until(lambda: not page.demo._queue.event_ids_to_events)


def click(page, session, name="count"):
    """Press the button as the page does; return the number that it shows."""
    number = next(i for i, fn in page.demo.fns.items() if fn.api_name == name)
    event = post(page, "queue/join", data=[0 if name == "update" else None], fn_index=number, session_hash=session)[
        "event_id"
    ]
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


@pytest.mark.parametrize("name", ["", "one"], ids=["a session each", "one session"])
def test_answers_that_nobody_fetches_get_short_and_the_last_ones_stay(page, name):
    more = {"session_hash": name} if name else {}
    events = [ask(page, "numbers", **more) for _ in range(UNREAD + 20)]
    settle(page)
    boxes = page.demo._queue.pending_messages_per_session
    long = [m for box in boxes.values() for m in box._queue if str(LONG - 1) in str(getattr(m, "output", ""))]
    assert len(long) == (UNREAD if page.ours else UNREAD + 20)
    said = "".join(fetch(page, "numbers", event) for event in ([events[0]] if name else [events[0], events[-1]]))
    assert str(LONG - 1) in said and (GONE in said) is page.ours


def test_short_answers_do_not_pile_up_either(page, monkeypatch):
    monkeypatch.setattr("plantain.ui.sessions.UNREAD", 5)
    monkeypatch.setattr("plantain.ui.sessions.FORGOTTEN", 5)
    for name in ("", "one"):
        for _ in range(40):
            ask(page, "numbers", **({"session_hash": name} if name else {}))
    settle(page)
    queue = page.demo._queue
    kept = sum(box.qsize() for box in queue.pending_messages_per_session.values())
    ids = sum(map(len, queue.pending_event_ids_session.values()))
    assert (kept <= 10 * 3 and ids <= 10) is page.ours, (kept, ids)  # an answer comes with two other messages
    assert FORGOTTEN > UNREAD > 50


def test_a_visitor_who_leaves_in_the_middle_is_forgotten_in_time(page, monkeypatch):
    monkeypatch.setattr("plantain.ui.sessions.LEFT", 0.2)
    for i in range(5):
        number = next(n for n, fn in page.demo.fns.items() if fn.api_name == "tell")
        post(page, "queue/join", data=[], fn_index=number, session_hash=f"leaves{i}")
        with urllib.request.urlopen(f"{page.url}/queue/data?session_hash=leaves{i}", timeout=60) as answer:
            answer.readline()
    page.gate.set()
    settle(page)
    for _ in range(2):
        fetch(page, "numbers", ask(page, "numbers"))
        time.sleep(0.3)
    fetch(page, "numbers", ask(page, "numbers"))
    queue = page.demo._queue
    left = {*queue.pending_messages_per_session, *queue.pending_event_ids_session}
    assert any(name.startswith("leaves") for name in left) is not page.ours


def test_components_that_are_made_anew_do_not_pile_up(page):
    for _ in range(20):
        click(page, "visitor", "update")
    blocks = page.demo.app.state_holder.session_data["visitor"].blocks_config.blocks
    assert (len(blocks) == len(page.demo.blocks)) is page.ours
    assert click(page, "visitor") == 1


def test_a_sessions_name_is_short(page):
    if page.ours:
        for path, more in (("call/numbers", {}), ("run/numbers", {"fn_index": None})):
            with pytest.raises(urllib.error.HTTPError) as refused:
                post(page, path, data=[], session_hash="x" * (LONGEST_NAME + 1), **more)
            assert refused.value.code == 422
    fetch(page, "numbers", ask(page, "numbers", session_hash="x" * LONGEST_NAME))


def test_what_was_fetched_leaves_nothing(page):
    for _ in range(10):
        fetch(page, "numbers", ask(page, "numbers"))
    queue = page.demo._queue
    left = (1, 1) if page.ours else (10, 10)  # the last one's goes with the next call
    assert (len(queue.pending_messages_per_session), len(queue.pending_event_ids_session)) == left


def test_who_listens_gets_the_answer_however_slowly_it_is_taken(page):
    """A box from which somebody took a message: a flood of others makes nothing of it shorter."""
    box = page.demo._queue.pending_messages_per_session
    if not page.ours:
        pytest.skip("Gradio keeps 2,000 sessions, and the oldest goes")
    box["slow"] = None
    loop = asyncio.new_event_loop()
    box["slow"].put_nowait(LogMessage(log="first", level="info", title=""))
    loop.run_until_complete(box["slow"].get())
    answer = ProcessCompletedMessage(output={"data": [1]}, success=True, event_id="slow")
    page.demo._queue.pending_event_ids_session["slow"] = {"slow"}
    box["slow"].put_nowait(answer)
    for _ in range(UNREAD + 20):
        ask(page, "numbers")
    settle(page)
    assert loop.run_until_complete(box["slow"].get()) is answer and answer.output == {"data": [1]}
    loop.close()


def test_a_broken_heartbeat_takes_nothing_from_a_visitor_who_goes_on(page):
    assert click(page, "visitor") == 1
    holder = page.demo.app.state_holder
    session = holder.session_data["visitor"]
    session.is_closed = True  # as when a heartbeat breaks off
    assert click(page, "visitor") == 2
    session._state_ttl = {
        key: (lives, then - datetime.timedelta(hours=2)) for key, (lives, then) in session._state_ttl.items()
    }
    holder.delete_all_expired_state()
    assert click(page, "visitor") == (3 if page.ours else 1)


def test_who_has_only_just_come_is_not_the_one_who_goes(page):
    if not page.ours:
        pytest.skip("Gradio lets the oldest go")
    holder = page.demo.app.state_holder
    holder.capacity = 20
    for i in range(21):
        holder[f"chosen{i}"].chosen = True
    holder["comes"]
    holder["program"]
    assert "comes" in holder and "program" in holder and len(holder.session_data) <= 21


@pytest.mark.parametrize("name", ["wait", "tell"])
def test_a_call_under_way_outlives_any_number_of_others(page, name):
    """Whether it says nothing meanwhile, or something all the time; fetched at once, or when it has ended."""
    with ThreadPoolExecutor() as pool:
        event, later = ask(page, name), ask(page, name)
        waiting = pool.submit(fetch, page, name, event)
        for _ in range(UNREAD + 20):
            ask(page, "numbers")
        page.gate.set()
        for said in (waiting.result(), fetch(page, name, later)):
            assert ("waited" if name == "wait" else "told") in said


def test_a_call_of_which_the_box_is_gone_ends_and_others_go_on(page):
    """Nobody is there for its answer; the queue that ran it goes on."""
    ask(page, "wait")
    page.demo._queue.pending_messages_per_session.clear()
    page.gate.set()
    for _ in range(6):  # more than run at once
        assert "waited" in fetch(page, "wait", ask(page, "wait"))
