"""From an empty Space to a pull request on the card, as its owner goes: rehearsed as a whole.

The emulated ZeroGPU, the hub on loopback with its sign-in, a small Klein whose weights read as pretrained, a card to
publish to, a results repository that is empty. With SCREENSHOTS=FOLDER in the environment a picture of each action is
written there; docs/ has them.
"""

import json
import os
from pathlib import Path

import pytest
from loopback_hub import loopback_hub
from loopback_oauth import SCOPES, Provider
from offers import CARD
from playwright.sync_api import expect
from visit import pick, settle, show_tab

pytest.importorskip("spaces")

from scheduler import emulated
from small_klein import serve_small_klein

CARD_REPO, RESULTS = "bob/moral-plantain", "bob/results"

NAME = "klein-base-4b-256px-seed0"

FILES = {f"runs/{NAME}/{part}" for part in ("run.json", "capture.safetensors", "directions.safetensors", "units.csv")}


def snap(page, name, show):
    """Write a picture of the screen with something in the middle of it, where somebody wants them."""
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        settle(page)
        page.locator(show).first.evaluate("e => e.scrollIntoView({block: 'center'})")
        page.screenshot(path=Path(folder) / f"{name}.png")


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with loopback_hub() as hub:
        serve_small_klein(hub, tmp_path_factory.mktemp("klein") / "folder")
        hub.add(CARD_REPO, {"README.md": CARD})
        hub.add(RESULTS)
        yield hub


def start(hub, provider, folder):
    """Start the Space on a fresh disk, with no run of anybody's on it."""
    (folder / "runs").mkdir()
    environment = {
        **provider.environment(), "HF_HOME": str(folder / "home"), "HF_TOKEN": "",
        "PLANTAIN_RUNS": str(folder / "runs"), "PLANTAIN_CARD_REPO": CARD_REPO, "PLANTAIN_RESULTS_REPO": RESULTS,
    }  # fmt: skip
    return emulated(folder, "", **environment)


def test_an_owner_goes_from_an_empty_space_to_a_pull_request_in_five_actions(hub, browser, tmp_path_factory):
    provider = Provider(hub, scopes=SCOPES)
    card, results = hub.repos["models", CARD_REPO], hub.repos["models", RESULTS]
    with start(hub, provider, tmp_path_factory.mktemp("space")) as space:
        visitor, owner = (browser.new_context(viewport={"width": 1280, "height": 900}).new_page() for _ in range(2))
        for page in (visitor, owner):  # the Space is made (1), and both open it
            page.goto(space.url)
            page.wait_for_selector("#begin")
            assert "Nobody has run this here yet" in page.inner_text("#hero")
            assert "s of your GPU quota" in page.inner_text("#hero")

        snap(visitor, "action-1-empty-space", "#introduction")

        provider.person = "bob"  # (2) the owner signs in
        show_tab(owner, "Run & publish", "publish")
        snap(owner, "action-2-sign-in", "#sign-in")
        owner.click("#sign-in")
        owner.wait_for_selector("#publish-who >> text=Signed in as bob, who may write to bob/moral-plantain.")

        show_tab(owner, "Result")  # (3) the probe
        owner.click("#begin")
        pick(owner, "Image size", "256 px")
        owner.wait_for_selector("#run-probe:not([disabled]) >> text=Run all 25 pairs")
        snap(owner, "action-3-run-the-probe", "#probe-cost")
        owner.click("#run-probe")
        owner.wait_for_selector("#probe-publish", timeout=240_000)
        # It is the owner's alone until it is published.
        assert "Nobody has run this here yet" in visitor.inner_text("#hero")

        owner.click("#probe-publish")  # (4) the difference
        owner.wait_for_selector("#publish-who >> text=Signed in as bob")
        expect(owner.get_by_label("Name of the run")).to_have_value(NAME, timeout=30_000)
        owner.click("#publish-look")
        owner.wait_for_selector(f"#publish-difference .pl-added >> text=plantain:begin {NAME}", timeout=120_000)
        listed = " ".join(owner.locator("#publish-difference table").all_inner_texts())
        assert all(path in listed for path in FILES) and f"What goes to {RESULTS}" in listed
        snap(owner, "action-4-difference", "#publish-difference pre")
        before = card.head()

        owner.click("#publish-send")  # (5) the pull request
        owner.wait_for_selector("#publish-outcome >> text=The pull request is open", timeout=60_000)
        snap(owner, "action-5-pull-request", "#publish-outcome")
        request = card.head("refs/pr/1")
        added = {path for path in request if request[path] != before.get(path)}
        assert added == {"README.md", f"figures/plantain-{NAME}.png", *FILES} and card.head() == before
        assert set(CARD.splitlines()) <= set(request["README.md"].splitlines())  # all of it stands
        assert set(results.head()) == {".gitattributes", *FILES}
        sent = json.loads(results.head()[f"runs/{NAME}/run.json"])["info"]
        assert (sent["weights"], sent["model"]) == ("pretrained", "black-forest-labs/FLUX.2-klein-base-4B")

        # The visitor's page, which nobody touched, shows the run.
        visitor.wait_for_selector("#hero .pl-chip >> text=FLUX.2-klein-base-4B", timeout=30_000)
        expect(visitor.get_by_role("combobox", name="Run", exact=True)).to_have_value(f"{NAME} ({RESULTS})")

    # The Space sleeps, and starts on an empty disk.
    with start(hub, provider, tmp_path_factory.mktemp("again")) as space:
        page = browser.new_page()
        page.goto(space.url)
        page.wait_for_selector("#hero .pl-chip >> text=FLUX.2-klein-base-4B", timeout=60_000)
        chosen = page.get_by_role("combobox", name="Run", exact=True)
        expect(chosen).to_have_value(f"{NAME} ({RESULTS})", timeout=30_000)
        page.close()
