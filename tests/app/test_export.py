"""Downloads, addresses and programs as a visitor and a script meet them."""

import asyncio
import io
import json
import os
import re
import struct
import subprocess
import sys
import urllib.request
import zipfile
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, parse_qsl, urlsplit
from xml.etree import ElementTree

import pandas as pd
import pytest
from asking import ENDPOINTS
from browser import ROOT, app_command, serving
from visit import download, open_page, pick, reported, show_figures, show_tab

from plantain.runs.io import load_run

READY = "#take-about >> text=On show: "


@pytest.fixture
def visit(browser, url):
    """Return a function that opens the page as somebody new; at the end there was no console error."""
    contexts, errors = [], []

    def opened(run="tiny-random", **query):
        context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: errors.append(str(e)))
        open_page(page, url, run, **query)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert errors == []


def query(page):
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def wait_for_query(page, **wanted):
    """Wait until the address has these parameters."""
    script = "(wanted) => Object.entries(wanted).every(([k, v]) => new URL(location).searchParams.get(k) === v)"
    page.wait_for_function(script, arg=wanted)


# --- files -------------------------------------------------------------------------------------------------


def test_the_files_arrive_and_hold_what_the_command_line_says(visit, tmp_path):
    page = visit(units="mlp", scope="image", tab="take")  # as in links of earlier versions
    page.wait_for_selector(f"{READY}240 MLP groups")
    report = reported("mlp", "image", "--top", "all")
    name, content = download(page, "Units as CSV")
    frame = pd.read_csv(io.BytesIO(content))
    assert name == "plantain-tiny-random-mlp-image.csv" and len(frame) == report["n_units"]
    assert frame["t"].abs().max() == report["max_abs_t"] and "STAND-IN" in frame["weights_label"][0]
    name, content = download(page, "Report as JSON")
    assert name == "plantain-tiny-random-mlp-image.json"
    assert {k: v for k, v in json.loads(content).items() if k in report} == report
    name, content = download(page, "Whole run as zip")
    assert name == "plantain-tiny-random.zip"
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        archive.extractall(tmp_path)
    mine = load_run(ROOT / "precomputed" / "tiny-random")
    assert load_run(tmp_path / "plantain-tiny-random").capture_sha256 == mine.capture_sha256
    page.wait_for_selector("#take-data-line >> text=Ready: plantain-tiny-random.zip")
    with page.expect_download() as again:  # for those whose browser held the first one back
        page.locator("#take-data-file").click()
    assert again.value.suggested_filename == "plantain-tiny-random.zip"
    pick(page, "Scope", "all tokens")
    page.wait_for_function("document.querySelector('#take-data-line').innerText.trim() === ''")
    page.locator("#take-data-file").wait_for(state="hidden")  # no old file under a new choice


def test_figures_arrive_as_svg_and_png(visit):
    page = visit(tab="run", section="take")
    page.wait_for_selector(READY)
    name, content = download(page, "Figure as SVG")
    assert name == "plantain-tiny-random-card-all-map-of-heads.svg"
    page.wait_for_selector(f"#take-figure-line >> text=Saved as {name}")
    root = ElementTree.fromstring(content)
    pick(page, "Figure", "pairs")
    page.wait_for_selector("#take-preview >> text=How far each pair goes")
    assert page.inner_text("#take-figure-line").strip() == ""  # said of another figure
    name, content = download(page, "Figure as PNG")
    assert name == "plantain-tiny-random-card-all-pairs.png" and content.startswith(b"\x89PNG")
    wide, tall = struct.unpack(">II", content[16:24])
    assert wide == 1016 and tall > 600 and len(content) > 20_000  # twice 508 pixels, and not an empty picture
    assert float(root.get("width")) > 300
    pick(page, "Figure", "map of heads")
    pick(page, "Units", "embedding")
    page.wait_for_selector("#take-preview [role=alert] >> text=has no blocks and no heads to draw")
    page.get_by_role("button", name="Figure as PNG").click()
    page.wait_for_selector("#take-figure-line [role=alert] >> text=has no blocks and no heads to draw")
    page.get_by_role("button", name="Figure as SVG").click()
    page.wait_for_selector("#take-figure-line [role=alert] >> text=has no blocks and no heads to draw")


def test_references_can_be_copied(visit):
    page = visit(tab="run", section="take")
    page.wait_for_selector("#cite-bibtex >> text=The weights are random")
    for button, place in (("Copy as plain text", "#cite-plain"), ("Copy as BibTeX", "#cite-bibtex")):
        page.get_by_role("button", name=button).click()
        page.wait_for_selector("p[role=status] >> text=Copied.")
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied == page.locator(f"{place} pre").text_content() and "8de8d995a4c31ec6" in copied
    assert "cited separately" in page.inner_text("#cite-plain")


def test_a_visitors_own_run_can_be_taken_but_not_linked(visit, tmp_path):
    page = visit(run=None)
    show_tab(page, "Run & publish")
    pick(page, "Image size", "256 px")
    pick(page, "Prompt set", "A set of your own")
    page.fill("#own-set textarea", "\n".join(f"Lea{i} runs home.\tLea{i} walks home." for i in range(4)))
    page.click("#run-probe:not([disabled]) >> text=Run all 4 pairs")
    page.wait_for_selector("#probe-progress >> text=Done: 4 pairs", timeout=180_000)
    show_tab(page, "Run & publish", "take")
    page.wait_for_selector("#cite-plain >> text=own-")
    name, content = download(page, "Whole run as zip")
    assert re.fullmatch(r"plantain-own-\d{4}-\d\d-\d\dT\d{4}-seed-0\.zip", name)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        archive.extractall(tmp_path)
    own = load_run(tmp_path / name.removesuffix(".zip"))
    assert own.info.size == 256 and len(own.pairs) == 4
    wait_for_query(page, tab="run", section="take")
    assert "run" not in query(page)
    page.click("#copy-link")
    page.wait_for_selector("#copied >> text=Your own run is in this page only")
    assert "run=" not in page.evaluate("navigator.clipboard.readText()")


# --- the address -------------------------------------------------------------------------------------------


def test_the_address_follows_choices_and_opens_the_same_page_for_somebody_else(visit):
    page = visit(run=None, __theme="light", positive="a b")
    assert query(page) == {"__theme": "light", "positive": "a b"}  # nothing was chosen yet
    pick(page, "Units", "true heads")
    pick(page, "Scope", "image tokens")
    pick(page, "Run", "untrained-klein-4b (untrained control)")
    show_tab(page, "Run & publish", "take")
    chosen = {"run": "untrained-klein-4b", "units": "heads", "scope": "image", "tab": "run", "section": "take"}
    wait_for_query(page, **chosen)
    assert query(page) == {"__theme": "light", "positive": "a b", **chosen}
    page.wait_for_selector(f"{READY}600 attention heads, scope image")
    page.click("#copy-link")
    page.wait_for_selector("#copied a")
    link = page.evaluate("navigator.clipboard.readText()")
    assert {name: values[0] for name, values in parse_qs(urlsplit(link).query).items()} == chosen  # no theme, no pair
    other = visit(**dict(parse_qsl(urlsplit(link).query)))
    other.wait_for_selector(f"{READY}600 attention heads, scope image")
    assert other.get_by_role("tab", name="Run & publish", selected=True).is_visible()
    assert other.input_value("#run input").startswith("untrained-klein-4b")
    show_figures(other)
    other.wait_for_selector("#findings >> text=600 attention heads, scope: image")
    wait_for_query(other, tab="result", run="untrained-klein-4b", scope="image")


def test_on_a_phone_the_address_knows_every_tab_and_the_section_that_is_open(visit):
    page = visit()
    page.set_viewport_size({"width": 390, "height": 800})
    for place, asked in (
        (("Evidence", "compare"), {"tab": "evidence", "section": "compare"}),
        (("Run & publish", "take"), {"tab": "run", "section": "take"}),
        (("Evidence", "head"), {"tab": "evidence", "section": "head"}),
        (("Turn heads",), {"tab": "turn"}),
        (("Try a pair",), {"tab": "pair"}),
        (("Result",), {"tab": "result"}),
    ):
        show_tab(page, *place)
        wait_for_query(page, **asked)
    assert "section" not in query(page)


def test_a_unit_in_the_address_is_kept_while_the_run_has_it(visit):
    page = visit(run="untrained-klein-4b", units="heads", unit="single[7] head 3")
    unit = page.locator("#unit input, #unit textarea")
    page.wait_for_function("document.querySelector('#unit input, #unit textarea').value === 'single[7] head 3'")
    pick(page, "Run", "tiny-random")  # has four heads in a block
    wait_for_query(page, run="tiny-random", unit="single[7] head 3")
    assert unit.input_value() == "single[7] head 3"
    other = visit(run="untrained-klein-4b", units="heads", unit="single[7] head 23")
    wait_for_query(other, unit="single[7] head 23")
    pick(other, "Run", "tiny-random")
    other.wait_for_function("!new URL(location).searchParams.has('unit')")
    wait_for_query(other, run="tiny-random", units="heads")


def test_two_values_that_are_set_at_once_do_not_keep_the_page_asking(visit):
    page = visit(units="heads", scope="words")
    show_figures(page)
    page.wait_for_selector("#findings >> text=80 attention heads, scope: words")
    asked = "performance.getEntriesByType('resource').filter((e) => e.name.includes('/run/predict')).length"
    page.wait_for_timeout(4000)
    before = page.evaluate(asked)
    page.wait_for_timeout(3000)  # views that repeat one another ask forty times meanwhile
    assert page.evaluate(asked) - before < 8


def test_what_an_address_asks_for_in_vain_is_said_and_the_page_works(visit):
    page = visit(run=None)
    asked = "run=%3Cimg%20src%3Dx%3E&units=text-heads&scope=image&unit=nope&tab=nowhere&section=none&other=1"
    page.goto(f"{page.url}?{asked}")
    page.wait_for_selector("#address-notice .pl-notice")
    said = page.inner_text("#address-notice")
    for problem in ("run “<img src=x>”", "section “none”", "scope “image”", "unit “nope”", "tab “nowhere”"):
        assert problem in said
    assert page.locator("#address-notice img").count() == 0
    pick(page, "Run", "tiny-random (stand-in)")
    show_figures(page)
    page.wait_for_selector("#findings >> text=20 attention heads of the text stream")
    assert "other" in query(page)
    pick(page, "Units", "MLP groups")
    page.wait_for_selector("#findings >> text=240 MLP groups as wide as a head")
    wait_for_query(page, units="mlp", run="tiny-random", scope="all")


def test_on_a_space_links_carry_the_spaces_address_and_its_parent_is_told(browser, tmp_path):
    environment = {"PLANTAIN_MODEL": "tiny-random", "SPACE_ID": "owner/name"}
    with serving(app_command(), tmp_path / "log", **environment) as url:
        page = browser.new_page()
        # A frame's parent of another origin would not hear what is meant for the Hub; so listen where it is said.
        page.add_init_script(
            "window.told = [];"
            "Object.defineProperty(window, 'parent', {value: {postMessage: (...said) => window.told.push(said)}});"
        )
        open_page(page, url, __theme="light", __sign="secret", tab="run", section="take")
        page.wait_for_selector(READY)
        pick(page, "Units", "true heads")
        wait_for_query(page, units="heads")
        page.click("#copy-link")
        link = page.locator("#copied a").get_attribute("href")
        choice = "run=tiny-random&units=heads&scope=all&tab=run&section=take"
        assert link == f"https://huggingface.co/spaces/owner/name?{choice}"
        (message, target) = [m for m in page.evaluate("window.told") if "queryString" in (m[0] or {})][-1]
        assert target == "https://huggingface.co" and "units=heads" in message["queryString"]
        assert "secret" not in json.dumps(page.evaluate("window.told"))
        assert "__sign=secret" in page.url
        assert "https://huggingface.co/spaces/owner/name" in page.inner_text("#cite-plain")
        page.close()


# --- programs ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["", "?all_endpoints=true"])
def test_the_live_server_offers_its_endpoints_and_no_other(url, which):
    with urllib.request.urlopen(f"{url}/gradio_api/info{which}") as answer:
        info = json.load(answer)
    assert set(info["named_endpoints"]) == {f"/{name}" for name in ENDPOINTS} and info["unnamed_endpoints"] == {}
    assert "One block, such as single[19]" in info["named_endpoints"]["/top_units"]["description"]


def test_the_script_in_the_docs_runs_against_the_page(url):
    from gradio_client import Client

    page = (ROOT / "docs" / "page.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"<!-- program -->\n```python\n(.*?)```\n<!-- end -->", page, flags=re.DOTALL)
    assert {name for name in ENDPOINTS if f'api_name="/{name}"' in script} == ENDPOINTS
    assert script.count("http://127.0.0.1:7860") == 1
    script = script.replace("http://127.0.0.1:7860", url)
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "tiny-random by tiny-random (STAND-IN" in done.stdout and "untrained-klein-4b by" in done.stdout
    report = reported("heads")
    assert f"units over |t| > 3: {report['thresholds']['3']['count']} of {report['n_units']}" in done.stdout
    assert f"t = {report['max_abs_t']:.2f}" in done.stdout.replace("-", "")
    assert "the pair's score:" in done.stdout
    (probed,) = re.findall(r"^(probe-\S+) has a largest \|t\| of \d", done.stdout, flags=re.MULTILINE)
    assert Client(url, verbose=False).predict(probed, api_name="/summary")["n_pairs"] == 25  # it is kept for a while


def test_agents_find_the_endpoints_as_tools_and_nothing_else(url):
    mcp = pytest.importorskip("mcp")
    from mcp.client.streamable_http import streamable_http_client

    async def talk():
        async with (
            streamable_http_client(f"{url}/gradio_api/mcp/") as (incoming, outgoing, _),
            mcp.ClientSession(incoming, outgoing) as session,
        ):
            await session.initialize()
            tools = (await session.list_tools()).tools
            more = (await session.list_resources()).resources, (await session.list_prompts()).prompts
            good = await session.call_tool("summary", {"run": "tiny-random", "units": "heads"})
            return tools, more, good, await session.call_tool("summary", {"run": "nope"})

    with ThreadPoolExecutor() as other_thread:  # Playwright has a loop running in this one
        tools, more, good, bad = other_thread.submit(lambda: asyncio.run(talk())).result(timeout=120)
    assert {tool.name for tool in tools} == ENDPOINTS and more == ([], [])
    described = {tool.name: tool.inputSchema["properties"] for tool in tools}
    assert "single[19]" in described["top_units"]["block"]["description"]
    assert all(facts["description"] for properties in described.values() for facts in properties.values())
    assert not good.isError and f"'max_abs_t': {reported('heads')['max_abs_t']!r}" in good.content[0].text
    assert bad.isError and "no run of that name" in bad.content[0].text
