"""Addresses that stay: every head as a view and as JSON. And boxes that cut nothing."""

import asyncio
import json
import re
from html import unescape
from types import SimpleNamespace
from urllib.parse import parse_qs, quote, urlsplit

import gradio as gr
import pytest

from plantain.findings.published import load_published
from plantain.findings.unit import profile_unit
from plantain.report.answer import unit_answer
from plantain.runs.io import save_run
from plantain.runs.units import Selection
from plantain.ui import RunStore, build_demo, server
from plantain.ui.address import read_address
from plantain.ui.engine import Engine
from plantain.ui.tabs.new_pair import MAX_PROMPT, _count, _from_address, _scored, note_html
from plantain.ui.tabs.unit import links_html

NAME = "first & <only>"


@pytest.fixture(scope="module")
def store(tmp_path_factory, moral_run):
    folder = tmp_path_factory.mktemp("runs")
    save_run(moral_run, folder / NAME)
    return RunStore(folder)


def get(store, query, method="GET"):
    """Ask the gate for /unit; return the status and what it says."""
    sent = []

    async def send(message):
        sent.append(message)

    async def beyond(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 418, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    scope = {"type": "http", "method": method, "path": "/unit", "query_string": query.encode(), "headers": []}
    gate = server.Gate(beyond, dict, str, lambda asked: server.unit_of(store, asked))
    asyncio.run(gate(scope, None, send))
    return sent[0]["status"], json.loads(b"".join(message.get("body", b"") for message in sent[1:]))


def links_of(html):
    return [unescape(href) for href in re.findall(r'href="([^"]*)"', html)]


@pytest.mark.parametrize("unit", ["single[3] head 2", "joint[1] text head 0", "single[3] MLP group 2"])
def test_every_unit_of_a_saved_run_has_a_view_and_its_numbers(store, moral_run, unit):
    seen = profile_unit(moral_run, unit)
    view, numbers = links_of(links_html(NAME, seen))
    asked = {key: value for key, (value,) in parse_qs(urlsplit(view).query).items()}
    found = read_address(store.saved, (["evidence"], ["head"]), asked, None)
    assert (found.run, found.units, found.scope, found.unit) == (NAME, seen.units, "all", unit)
    assert (found.tab, found.section) == ("evidence", "head")
    assert found.problems == [] and urlsplit(numbers).path == "unit"
    status, said = get(store, urlsplit(numbers).query)
    assert (status, said) == (200, {"run": NAME, **unit_answer(store.saved[NAME], unit)})
    assert said["t"] == seen.t and len(said["pairs"]) == 25


def test_a_scope_counts_and_no_words_of_an_address_become_markup(store, moral_run):
    a = moral_run.analysis(Selection("heads", "image"))
    query = f"run={quote(NAME)}&unit={quote('single[3] head 2')}&scope=image"
    assert get(store, query)[1]["t"] == a.t[a.table.names.index("single[3] head 2")]
    assert "<only>" not in links_html(NAME, profile_unit(moral_run, "single[3] head 2"))


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("", "no saved run has this name"),
        ("run=second&unit=single%5B3%5D%20head%202", "no saved run has this name"),
        (f"run={quote(NAME)}", "give unit"),
        (f"run={quote(NAME)}&unit=single%5B99%5D%20head%202", "has no unit"),
        (f"run={quote(NAME)}&unit=%ff%fe", "has no unit"),
    ],
)
def test_what_is_not_there_is_said(store, query, why):
    status, said = get(store, query)
    assert status == 404 and why in said["error"]


def test_only_a_get_is_answered(store):
    assert get(store, "", "POST")[0] == 418


# --- boxes -------------------------------------------------------------------------------------------------


def test_no_box_of_the_page_cuts_what_is_pasted(store, moral_set):
    demo = build_demo(store, Engine("tiny-random"), load_published(), moral_set)
    boxes = [block for block in demo.blocks.values() if isinstance(block, gr.Textbox)]
    assert len(boxes) > 5 and all(box.max_length is None for box in boxes)


def test_what_is_too_long_is_said_and_never_cut():
    long = "Anna helps the old man up the stairs. " * 100
    page = SimpleNamespace(engine=None)  # nothing of it is asked
    said = _count(page, long)
    assert f"{len(long):,} characters" in said and f"{MAX_PROMPT:,}" in said and "Nothing was cut off" in said
    assert said in note_html(long, "x", (said, 3))
    request = SimpleNamespace(query_params={"positive": long, "negative": "x"})
    assert _from_address(request) == (long, "x")
    answer = _scored(page, None, long, "x")
    assert f"{len(long):,} characters" in answer.failure and answer.measure is None
