"""The app as a visitor meets it: a real Chromium on a real server, with the stand-in."""

import json
import re
import signal
import urllib.request

import psutil
import pytest
from asking import ask
from browser import ROOT, app_command, serving
from loopback_hub import loopback_hub
from visit import SHIFTS, pick, reported, show_tab


@pytest.fixture
def page(browser, url):
    """An open page; at the end it must have had no console error and asked no other host."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page, errors, hosts = context.new_page(), [], set()
    page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda e: errors.append(str(e)))
    page.on("request", lambda r: hosts.add(re.sub(r"^\w+://([^/]*).*", r"\1", r.url)))
    page.goto(url)
    page.wait_for_selector("#findings .pl-card")
    yield page
    context.close()
    assert errors == []
    assert {h for h in hosts if not h.startswith(("data:", "blob:"))} == {url.removeprefix("http://")}


@pytest.mark.smoke
def test_the_saved_runs_figures_are_on_the_page_as_the_command_line_reports_them(page):
    report, shown = reported(), page.inner_text("#findings")
    assert f"{report['thresholds']['3']['count']:,} ({report['thresholds']['3']['percent']:.1f}%)" in shown
    assert f"{report['max_abs_t']:.2f}" in shown and f"{report['split_half']['median']:.3f}" in shown
    assert "Published: 3,221 (19.7%)" in shown and "STAND-IN" in shown
    assert report["top_blocks"][0]["block"] in page.inner_text("#top-blocks")
    assert page.locator("#heat-map [data-u]").count() == 100
    assert "Control: 65 (0.4%)" in shown and "a network that has learned nothing" in shown


def test_the_figures_stand_in_the_page_as_it_is_served_and_once_only(page, url):
    with urllib.request.urlopen(url) as answer:
        served = answer.read().decode()
        assert int(answer.headers["content-length"]) == len(served.encode())
    first = served[served.index('<div class="pl-first">') :]
    report = reported()
    assert "STAND-IN" in first and first.count('class="pl-card"') == 4
    assert f"{report['thresholds']['3']['count']:,} ({report['thresholds']['3']['percent']:.1f}%)" in first
    assert page.locator(".pl-first").count() == 0 and page.locator(".pl-card").count() == 4


def test_without_scripts_the_figures_can_be_read(browser, url):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(url)
    assert page.locator(".pl-first .pl-card").count() == 4 and page.is_visible(".pl-first .pl-card >> nth=3")
    context.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_shifts_while_the_page_loads_and_the_figures_stay_where_they_are(browser, url, width):
    context = browser.new_context(viewport={"width": width, "height": 900}, java_script_enabled=False)
    page = context.new_page()
    page.goto(url)
    before = page.locator(".pl-first .pl-cards").bounding_box()
    context.close()
    context = browser.new_context(viewport={"width": width, "height": 900})
    page = context.new_page()
    page.add_init_script(SHIFTS)
    page.goto(url)
    page.wait_for_selector("#careful details")
    page.wait_for_selector("#model-status >> text=Loaded", timeout=60_000)
    page.wait_for_timeout(500)
    assert page.evaluate("shifted") < 0.1
    assert page.locator("#findings .pl-cards").bounding_box() == pytest.approx(before, abs=4)
    page.evaluate("document.querySelector('#introduction').style.marginTop = '300px'")
    page.wait_for_function("shifted > 0.1")  # the check can fail
    context.close()


def test_the_untrained_control_can_be_looked_at_itself(page):
    pick(page, "Run", "untrained-klein-4b (untrained control)")
    page.wait_for_selector("#findings >> text=16,320 slices of 16 channels")
    shown = page.inner_text("#findings")
    assert "UNTRAINED" in shown and "65 (0.4%)" in shown and "Control:" not in shown  # not beside itself
    page.wait_for_function("document.querySelectorAll('#heat-map [data-u]').length === 600")


def test_units_and_scope_change_what_is_shown(page):
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
    show_tab(page, "One head")
    page.wait_for_selector("#one-head-corrected >> text=family-wise p")
    pick(page, "Block", "single[7]")
    page.wait_for_function("document.querySelector('#heads-line').innerText.startsWith('32 of 32 slices')")
    table = page.inner_text("#top-units")
    assert "single[7] slice" in table and "joint[0]" not in table
    pick(page, "Head, slice or group", "single[7] slice 5")
    page.wait_for_selector("#one-head >> text=single[7] slice 5")
    page.wait_for_selector("#one-head-figures circle >> nth=24")


def test_further_maps_are_drawn_when_they_are_opened(page):
    assert page.locator("#further-maps [data-u]").count() == 0
    page.get_by_role("button", name="Further maps").click()
    page.wait_for_function("document.querySelectorAll('#further-maps [data-u]').length === 20 + 20 * 12")
    page.locator("#further-maps [data-u='joint[3] text head 1']").click()
    page.wait_for_selector("#one-head >> text=joint[3] text head 1")


def test_the_tab_of_chance_has_its_three_figures(page):
    show_tab(page, "Chance")
    page.wait_for_selector("#nulls svg >> nth=1")
    page.wait_for_selector("#halves svg")
    report = reported()
    assert f"p of the run's count: {report['inference']['thresholds']['3']['p']:.3g}" in page.inner_text("#nulls")
    shown = page.locator("#halves svg").text_content().replace("−", "-")
    assert f"median {report['split_half']['median']:.3f}" in shown
    assert f"median {report['inference']['reliability']['null_median']:.3f}" in shown


@pytest.mark.smoke
def test_a_visitors_pair_is_scored_and_its_text_is_never_markup(page):
    show_tab(page, "Your pair")
    page.click("#score-pair")
    page.wait_for_selector("#pair-answer svg", timeout=60_000)
    page.click("#pair-answer summary")
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
    page.wait_for_function("document.querySelector('#pair-answer').innerText.trim() === ''")  # no old answer stays


def test_the_five_endpoints_answer_a_program(url):
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
    probed = client.predict(64, 3, api_name="/run_probe")
    assert probed["seed"] == 3 and client.predict(probed["run"], api_name="/summary")["n_pairs"] == 25
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
    page.goto(without_model[0])
    page.wait_for_selector("#model-status >> text=no such folder", timeout=60_000)
    assert "Restart needed" in page.inner_text("#model-status")
    health = json.loads(ask(without_model[0], "/health")[2])
    assert health["status"] == "restart needed" and "no such folder" in health["model"]["why"]
    assert "STAND-IN" in page.inner_text("#findings")
    show_tab(page, "Your pair")
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
        page.goto(url)
        page.wait_for_selector("#findings .pl-card")
        page.wait_for_selector("#notices [role=alert]", timeout=60_000)
        notice = page.inner_text("[role=alert]")
        assert "Published runs were not brought. owner/name: the connection to the Hub failed" in notice
        page.close()


def test_published_runs_are_on_the_page(browser, tmp_path):
    with loopback_hub() as hub, serving(app_command(), tmp_path / "log", **hub_environment(hub, tmp_path)) as url:
        page = browser.new_page()
        page.goto(url)
        page.wait_for_selector("#findings >> text=680 slices")
        assert page.input_value("#run input").startswith("theirs (owner/name)")
        assert page.locator("[role=alert]").count() == 0
        assert {token for _, token in hub.tokens} == {""}  # no token is needed, and none is sent
        page.close()


def hub_environment(hub, tmp_path):
    """Publish a run of the stand-in on a hub, and return what makes the app show it."""
    source = ROOT / "precomputed" / "tiny-random"
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
