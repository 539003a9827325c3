"""The app as a visitor meets it: a real Chromium on a real server, with the stand-in."""

import html
import json
import re
import signal
import urllib.request

import psutil
import pytest
from asking import ask
from browser import ROOT, app_command, serving
from loopback_hub import loopback_hub
from visit import SHIFTS, open_page, pick, reported, show_figures, show_tab, unfold


@pytest.fixture
def page(browser, url):
    """An open page; at the end it must have had no console error and asked no other host."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page, errors, hosts = context.new_page(), [], set()
    page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda e: errors.append(str(e)))
    page.on("request", lambda r: hosts.add(re.sub(r"^\w+://([^/]*).*", r"\1", r.url)))
    open_page(page, url)
    yield page
    context.close()
    assert errors == []
    assert {h for h in hosts if not h.startswith(("data:", "blob:"))} == {url.removeprefix("http://")}


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """The address of a page with all shipped runs: it opens on the practice model's."""
    log = tmp_path_factory.mktemp("shipped") / "log"
    with serving(app_command(), log, PLANTAIN_MODEL="tiny-random", PLANTAIN_RUNS=str(ROOT / "precomputed")) as url:
        yield url


@pytest.mark.smoke
def test_the_saved_runs_figures_are_on_the_page_as_the_command_line_reports_them(page):
    show_figures(page)
    page.wait_for_selector("#findings .pl-card")
    report, shown = reported(), page.inner_text("#findings")
    assert f"{report['thresholds']['3']['count']:,} ({report['thresholds']['3']['percent']:.1f}%)" in shown
    assert f"{report['max_abs_t']:.2f}" in shown and f"{report['split_half']['median']:.3f}" in shown
    assert "Published: 3,221 (19.7%)" in shown and "STAND-IN" in shown
    assert report["top_blocks"][0]["block"] in page.inner_text("#result-tables")
    assert page.locator("#heat-map [data-u]").count() == 100
    assert "Control: 82 (0.5%)" in shown and "a network that has learned nothing" in shown


def test_the_first_runs_answer_stands_in_the_page_as_it_is_served_and_once_only(browser, shipped):
    with urllib.request.urlopen(shipped) as answer:
        served = answer.read().decode()
        assert int(answer.headers["content-length"]) == len(served.encode())
    first = html.unescape(served[served.index('<div class="pl-first">') :])
    found = reported(run="picture-book-moral")["held_out"]
    assert "practice model" in first and first.count('class="pl-hero"') == 1 and first.count("<img ") == 2
    assert f"{found['k']} of {found['n']} pairs that the rule had not seen are told right (p < 0.001;" in first
    assert "published" in first.lower() and "19.7%" in first
    page = browser.new_page()
    open_page(page, shipped, run=None)
    assert page.locator(".pl-first").count() == 0 and page.locator(".pl-hero").count() == 1
    page.close()


def test_without_scripts_the_answer_can_be_read(browser, shipped):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(shipped)
    for part in (".pl-hero-answer", ".pl-chip", ".pl-hero-published", ".pl-hero figure >> nth=1"):
        assert page.is_visible(f".pl-first {part}"), part
    context.close()


@pytest.mark.parametrize(("system", "asked"), [("light", "dark"), ("dark", "light"), ("dark", "system")])
def test_the_first_screen_is_legible_before_the_page_stands(browser, shipped, system, asked):
    page = browser.new_page(color_scheme=system)
    page.route("**/*.js", lambda route: route.abort())  # Gradio's own
    page.goto(f"{shipped}?__theme={asked}")
    page.wait_for_selector(".pl-first")
    text, below = (
        page.evaluate(
            """([where, what]) => {
                 const [r, g, b] = getComputedStyle(document.querySelector(where))[what].match(/[\\d.]+/g).map(Number);
                 return (r + g + b) / 3;
               }""",
            [where, what],
        )
        for where, what in ((".pl-first .pl-hero-answer", "color"), ("body", "backgroundColor"))
    )
    dark = (system if asked == "system" else asked) == "dark"
    assert (text > 200 and below < 60) if dark else (text < 60 and below > 200)
    page.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_shifts_while_the_page_loads_and_the_answer_stays_where_it_is(browser, shipped, width):
    context = browser.new_context(viewport={"width": width, "height": 900}, java_script_enabled=False)
    page = context.new_page()
    page.goto(shipped)
    before = page.locator(".pl-first .pl-hero").bounding_box()
    context.close()
    context = browser.new_context(viewport={"width": width, "height": 900})
    page = context.new_page()
    page.add_init_script(SHIFTS)
    open_page(page, shipped, run=None)
    page.wait_for_function("!document.querySelector('#questions').innerText.includes('Being computed')")
    page.wait_for_selector("#model-status >> text=Loaded", timeout=60_000)
    page.wait_for_timeout(500)
    assert page.evaluate("shifted") < 0.1
    assert page.locator("#hero .pl-hero").bounding_box() == pytest.approx(before, abs=4)
    page.evaluate("document.querySelector('#introduction').style.marginTop = '300px'")
    page.wait_for_function("shifted > 0.1")  # the check can fail
    context.close()


def test_the_untrained_control_can_be_looked_at_itself(page):
    show_figures(page)
    pick(page, "Run", "untrained-klein-4b (untrained control)")
    page.wait_for_selector("#findings >> text=16,320 slices of 16 channels")
    shown = page.inner_text("#findings")
    assert "UNTRAINED" in shown and "82 (0.5%)" in shown and "Control:" not in shown  # not beside itself
    page.wait_for_function("document.querySelectorAll('#heat-map [data-u]').length === 600")


def test_units_and_scope_change_what_is_shown(page):
    show_figures(page)
    pick(page, "Units", "MLP groups")
    pick(page, "Scope", "image tokens")
    report = reported("mlp", "image")
    page.wait_for_selector(f"#findings >> text={report['n_units']:,} MLP groups as wide as a head, scope: image")
    assert f"{report['max_abs_t']:.2f}" in page.inner_text("#findings")
    pick(page, "Units", "text heads")  # they have no image tokens: the scope goes back to all
    page.wait_for_selector("#findings >> text=20 attention heads of the text stream, scope: all")
    page.get_by_role("combobox", name="Scope", exact=True).click()
    assert "image tokens" not in page.get_by_role("option").all_inner_texts()


def test_units_of_one_block_can_be_listed_and_looked_at(page):
    show_tab(page, "Evidence", "head")
    page.wait_for_selector("#one-head-corrected >> text=family-wise p", state="attached")  # folded
    unfold(page, "#head-list")
    pick(page, "Block", "single[7]")
    page.wait_for_function("document.querySelector('#heads-line').innerText.startsWith('32 of 32 slices')")
    table = page.inner_text("#top-units")
    assert "single[7] slice" in table and "joint[0]" not in table
    pick(page, "Head, slice or group", "single[7] slice 5")
    page.wait_for_selector("#one-head >> text=single[7] slice 5")
    page.wait_for_selector("#one-head-figures svg:visible circle >> nth=24")


def test_further_maps_are_drawn_when_they_are_opened(page):
    assert page.locator("#further-maps [data-u]").count() == 0
    show_figures(page)
    page.wait_for_function("document.querySelectorAll('#further-maps [data-u]').length === 20 + 20 * 12")
    page.locator("#further-maps [data-u='joint[3] text head 1']").click()
    page.wait_for_selector("#drawer >> text=joint[3] text head 1")
    page.get_by_role("link", name="All about this head").click()
    page.wait_for_selector("#one-head >> text=joint[3] text head 1")


def test_the_tab_of_chance_has_its_three_figures(page):
    show_tab(page, "Evidence", "chance")
    page.wait_for_selector("#nulls svg:visible")
    page.wait_for_selector("#halves svg.pl-narrow", state="attached")  # folded
    assert page.locator("#nulls svg.pl-narrow").count() == 2  # the second one is folded
    report = reported()
    p = report["inference"]["thresholds"]["3"]["p"]
    assert f"p of the run's count: {p:.3g}" in page.locator("#nulls").text_content()
    shown = page.locator("#halves svg.pl-narrow").text_content().replace("−", "-")
    assert f"median {report['split_half']['median']:.3f}" in shown
    assert f"median {report['inference']['reliability']['null_median']:.3f}" in shown


@pytest.mark.smoke
def test_a_visitors_pair_is_scored_and_its_text_is_never_markup(page):
    show_tab(page, "Try a pair")
    page.click("#score-pair")
    page.wait_for_selector("#pair-answer svg", timeout=60_000)
    page.evaluate("document.querySelectorAll('#pair-answer details').forEach((part) => { part.open = true; })")
    answer = page.inner_text("#pair-answer")
    assert re.search(r"\d+ of the 26 pairs, yours included", answer) and re.search(r"p = \d+/26", answer)
    assert "random" in answer and "regression to the mean" in answer and "NOT COMPARABLE" not in answer
    page.get_by_label("Positive (helping)").fill("<img src=x onerror=alert(1)> helps")
    page.click("#score-pair")
    page.wait_for_selector("#pair-answer >> text=NOT COMPARABLE", timeout=60_000)
    assert page.locator("#pair-answer img:not([alt^='Expected picture: '])").count() == 0
    page.get_by_label("Positive (helping)").fill("  ")
    page.click("#score-pair")
    page.wait_for_selector("#pair-answer [role=alert] >> text=The positive prompt is empty")
    page.get_by_role("button", name="Swap sides").click()
    page.wait_for_selector("#pair-old >> text=The answer below is to the previous texts")  # no old answer as a new one


def test_the_endpoints_answer_a_program(url):
    from gradio_client import Client
    from gradio_client.exceptions import AppError

    client = Client(url, verbose=False)
    assert [r["run"] for r in client.predict(api_name="/list_runs")] == ["tiny-random", "untrained-klein-4b"]
    summary = client.predict("tiny-random", "heads", api_name="/summary")
    report = reported("heads")  # it says more
    assert summary.keys() - report.keys() == {"run"}
    assert {key: value for key, value in summary.items() if key in report} == {
        key: value for key, value in report.items() if key in summary
    }
    assert len(client.predict("tiny-random", "heads", "all", 7, api_name="/top_units")) == 7
    texts = ("Anna helps the old man up the stairs.", "Anna trips the old man on the stairs.")
    pair = client.predict("tiny-random", *texts, api_name="/probe_pair")
    assert pair["comparable"] and len(pair["scores"]) == 25 and pair["p"] == pair["n_at_or_below"] / 26
    assert pair["directions"]["way"] == pair["way"] and pair["measure"] == "direction" and pair["sentence"]
    assert pair["magnitudes"]["scores"] == pair["scores"] and pair["magnitudes"]["pairs"] == pair["pairs"]
    with pytest.raises(AppError, match="choose a multiple of 16"):
        client.predict(65, 0, api_name="/run_probe")
    with pytest.raises(AppError, match="size is 64.5; give a whole number"):
        client.predict(64.5, 0, api_name="/run_probe")
    with pytest.raises(AppError, match=r"unknown block 'nope'; choose one of joint\[0\]"):
        client.predict("tiny-random", "heads", "all", 7, "nope", api_name="/top_units")
    assert client.predict("tiny-random", "card", "all", -1, api_name="/top_units") == []
    assert len(client.predict("tiny-random", "card", "all", 201, api_name="/top_units")) == 200
    with pytest.raises(AppError, match="no run of that name"):
        client.predict("../../etc", api_name="/summary")


@pytest.fixture(scope="module")
def without_model(tmp_path_factory):
    """Address and log of an app whose model cannot be loaded, and that keeps quiet about requests."""
    log = tmp_path_factory.mktemp("without") / "log"
    with serving(app_command(), log, PLANTAIN_MODEL="no/such/folder", PLANTAIN_LOG="off") as url:
        yield url, log


def test_a_model_that_cannot_be_loaded_leaves_the_saved_results_and_says_why(browser, without_model):
    page = browser.new_page()
    open_page(page, without_model[0])
    page.wait_for_selector("#model-status >> text=no such folder", timeout=60_000)
    assert "Restart needed" in page.inner_text("#model-status")
    health = json.loads(ask(without_model[0], "/health")[2])
    assert health["status"] == "restart needed" and "no such folder" in health["model"]["why"]
    show_figures(page)
    page.wait_for_selector("#findings >> text=STAND-IN")
    show_tab(page, "Try a pair")
    page.wait_for_selector("#pair-note >> text=No model is loaded")
    assert "token" not in page.inner_text("#under-positive")
    page.click("#score-pair")
    page.wait_for_selector("#pair-answer [role=alert] >> text=No model is loaded")
    page.locator("#pair-negative textarea").fill(page.input_value("#pair-positive textarea"))
    page.wait_for_selector("#pair-note >> text=Both prompts are the same")  # needs no model
    page.close()


def test_the_log_can_be_switched_off(without_model):
    url, log = without_model
    assert ask(url, "/health")[0] == 200
    assert '{"time"' not in log.read_text()


def test_a_hub_that_is_down_costs_a_notice_and_not_the_page(browser, tmp_path):
    environment = {"PLANTAIN_MODEL": "tiny-random", "PLANTAIN_RESULTS_REPO": "owner/name", "HF_HUB_OFFLINE": "0",
                   "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "home")}  # fmt: skip
    with serving(app_command(), tmp_path / "log", **environment) as url:
        page = browser.new_page()
        open_page(page, url)
        page.wait_for_selector("#notices [role=alert]", timeout=60_000)
        notice = page.inner_text("#notices [role=alert]")
        assert "Published runs were not brought. owner/name: the connection to the Hub failed" in notice
        page.close()


def test_published_runs_are_on_the_page(browser, tmp_path):
    with loopback_hub() as hub, serving(app_command(), tmp_path / "log", **hub_environment(hub, tmp_path)) as url:
        page = browser.new_page()
        open_page(page, url, run=None)  # it is shown by itself
        page.wait_for_selector("#hero >> text=practice model")
        assert page.input_value("#run input").startswith("theirs (owner/name)")
        show_figures(page)
        page.wait_for_selector("#findings >> text=312 slices")
        assert page.locator("[role=alert]").count() == 0
        assert {token for _, token in hub.tokens} == {""}  # no token is needed, and none is sent
        page.close()


def hub_environment(hub, tmp_path):
    """Publish a run of the practice model on a hub, and return what makes the app show it."""
    source = ROOT / "precomputed" / "picture-book-moral"
    hub.add("owner/name", {f"runs/theirs/{part}": (source / part).read_bytes() for part in
                           ("run.json", "capture.safetensors")})  # fmt: skip
    (tmp_path / "runs").mkdir()
    return {
        "PLANTAIN_MODEL": "tiny-random", "PLANTAIN_RESULTS_REPO": "owner/name", "HF_HUB_OFFLINE": "0", "HF_TOKEN": "",
        "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "PLANTAIN_RUNS": str(tmp_path / "runs"),
        "HF_HUB_DISABLE_XET": "1",
    }  # fmt: skip


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_app_and_everything_that_it_started(tmp_path, sign):
    log = tmp_path / "log"
    with serving(app_command(), log, PLANTAIN_MODEL="tiny-random") as url:
        port = int(url.rpartition(":")[2])
        (server,) = [p for p in psutil.process_iter() if listens(p, port)]
        family = [server, *server.children(recursive=True)]
        server.send_signal(sign)
        _, alive = psutil.wait_procs(family, timeout=30)
        assert not alive
    assert "Traceback" not in log.read_text()


def listens(process, port):
    try:
        return any(c.laddr.port == port and c.status == "LISTEN" for c in process.net_connections())
    except psutil.Error:
        return False
