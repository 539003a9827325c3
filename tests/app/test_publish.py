"""Signing in and publishing as on a Space, in Chromium and past the page. The hub is on loopback."""

import dataclasses
import json
import time
from types import SimpleNamespace

import pytest
from asking import ENDPOINTS, ask
from browser import app_command, serving
from loopback_hub import loopback_hub
from loopback_oauth import SCOPES, Provider, cookie
from made import small_run
from offers import CARD, COMMIT, REPO
from visit import open_page, pick, serious, settle, show_tab

from plantain.runs.io import save_run

RESULTS = "bob/results"
NOTHING_SEEN = [None, "klein", "klein"]  # what a press brings: a state that only the server knows, run and name
SENT = {"README.md", "figures/plantain-klein.png",
        *(f"runs/klein/{part}" for part in ("run.json", "capture.safetensors", "units.csv"))}  # fmt: skip


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    """A page as on a Space of bob's, with a run that may be published, and the hub where he and others sign in."""
    folder = tmp_path_factory.mktemp("space")
    run = small_run()
    for name in ("klein", "second"):
        info = dataclasses.replace(run.info, model=f"owner/{name}", weights="pretrained", revision="a" * 40)
        save_run(dataclasses.replace(run, info=info), folder / "runs" / name)
    with loopback_hub() as hub:
        provider = Provider(hub)
        card, results = hub.add(REPO, {"README.md": CARD}), hub.add(RESULTS)
        environment = {
            "PLANTAIN_MODEL": "tiny-random", "PLANTAIN_RUNS": str(folder / "runs"), "PLANTAIN_CARD_REPO": REPO,
            "PLANTAIN_RESULTS_REPO": RESULTS, "HF_TOKEN": "", **provider.environment(),
        }  # fmt: skip
        with serving(app_command(), folder / "log", **environment) as url:
            yield SimpleNamespace(
                url=url, hub=hub, provider=provider, card=card, results=results, log=folder / "log",
                config=json.loads(ask(url, "/config")[2]),
            )  # fmt: skip


@pytest.fixture
def page(space, browser):
    """The section for publishing in a browser of its own, before anybody signed in."""
    context = browser.new_context()
    page = context.new_page()
    open_page(page, space.url, run=None)
    show_tab(page, "Run & publish", "publish")
    page.wait_for_selector("#publish-who >> text=Nobody is signed in.")
    yield page
    context.close()


def sign_in(space, page, person, scopes=SCOPES, seconds=3600):
    space.provider.person, space.provider.scopes, space.provider.seconds = person, scopes, seconds
    page.click("#sign-in")


def controls_are_hidden(page):
    return not any(page.is_visible(f"#publish-{part}") for part in ("desk", "look", "send", "name"))


def call(space, button, data, session="", token=None, visit=None, **headers):
    """Call a button's listener as no page would; return what came back, once it is through."""
    block = next(c["id"] for c in space.config["components"] if c["props"].get("elem_id") == button)
    listener = next(
        d["id"] for d in space.config["dependencies"] if [block, "click"] in d["targets"] and d["backend_fn"]
    )
    asked = {"data": data, "fn_index": listener, "session_hash": visit or f"direct{time.monotonic_ns()}"}
    if token:
        asked["oauth_token"] = token
    named = {"content-type": "application/json", **({"cookie": f"session={session}"} if session else {}), **headers}
    status, _, content = ask(space.url, "/gradio_api/queue/join", "POST", json.dumps(asked), named)
    assert status == 200, content
    return ask(space.url, f"/gradio_api/queue/data?session_hash={asked['session_hash']}")[2].decode()


def session_of(token, seconds=3600, scope=SCOPES):
    person = {"name": "Bob", "preferred_username": "bob", "profile": "", "picture": ""}
    info = {"access_token": token, "scope": scope, "expires_at": int(time.time()) + seconds, "userinfo": person}
    return cookie({"oauth_info": info})


def pushed(space):
    return space.hub.sent("^(POST|PUT) .*(preupload|commit|lfs)")


# --- whom the server refuses -------------------------------------------------------------------------------


def refusals(space):
    """Return what a request may bring, and what is said to it."""
    grant, provider = space.provider.grant, space.provider
    provider.scopes = SCOPES
    alice, bob = grant("alice"), grant("bob")
    provider.scopes = "openid profile"
    narrowed = grant("bob")
    provider.scopes = SCOPES
    return {
        "no sign-in": ({}, "Sign in first"),
        "a cookie that nobody signed": ({"session": "eyJvYXV0aF9pbmZvIjp7fX0=.x.y"}, "Sign in first"),
        "a cookie signed with another secret": ({"session": session_of(bob)[:-4] + "AAAA"}, "Sign in first"),
        "a token that nobody gave": ({"session": session_of("hf_forged")}, "does not accept your sign-in"),
        "a sign-in that ended": ({"session": session_of(bob, -1)}, "Sign in first"),
        "somebody else": ({"session": session_of(alice)}, "sign-in may not write"),
        "a sign-in without writing": ({"session": session_of(narrowed)}, "grant this page"),
        "a token in the request": ({"token": bob}, "has expired"),
        "another site's page": ({"session": session_of(bob), "sec-fetch-site": "cross-site"}, "came from another page"),
    }


def test_the_server_refuses_who_calls_past_the_page(space):
    bob = session_of(space.provider.grant("bob"))
    assert "pl-diff" in call(space, "publish-look", ["klein", "klein"], bob, visit="bobs")
    before, commits = pushed(space), len(space.card.commits) + len(space.results.commits)
    for what, (given, words) in refusals(space).items():
        said = call(space, "publish-look", ["klein", "klein"], **given)
        assert words in said and "pl-diff" not in said, what
        sent = call(space, "publish-send", NOTHING_SEEN, visit="bobs", **given)  # in the owner's visit
        assert words in sent and "pl-notice" not in sent, what
        assert not any(token in said + sent for token in space.provider.tokens)
    # A state is the server's alone.
    forged = {"run": "klein", "name": "klein", "digest": "0" * 64}
    assert "Look at the difference first" in call(space, "publish-send", [forged, *NOTHING_SEEN[1:]], bob)
    assert pushed(space) == before and len(space.card.commits) + len(space.results.commits) == commits


def test_the_tab_adds_no_endpoint(space):
    info = json.loads(ask(space.url, "/gradio_api/info")[2])
    assert set(info["named_endpoints"]) == {f"/{name}" for name in ENDPOINTS} and info["unnamed_endpoints"] == {}


def test_somebody_else_and_an_owner_who_granted_too_little_get_no_button(space, page):
    assert controls_are_hidden(page)
    sign_in(space, page, "")  # who changes their mind on the Hub's page
    page.click("text=Back to the page")
    page.wait_for_selector("#publish-who >> text=Nobody is signed in.")
    for person, scopes, words in (
        ("alice", SCOPES, "alice's sign-in may not write to bob/moral-plantain"),
        ("bob", "openid profile", "grant this page that it may write"),
    ):
        sign_in(space, page, person, scopes)
        page.wait_for_selector(f"#publish-who >> text={words}")
        assert controls_are_hidden(page) and page.inner_text("#sign-in") == f"Sign out ({person})"
        page.click("#sign-in")
        page.wait_for_selector("#publish-who >> text=Nobody is signed in.")
    assert page.inner_text("#sign-in") == "Sign in with Hugging Face"


# --- the owner's way ---------------------------------------------------------------------------------------


def test_the_owner_looks_presses_and_has_the_link(space, page):
    sign_in(space, page, "bob")
    page.wait_for_selector("#publish-who >> text=Signed in as bob, who may write to bob/moral-plantain.")
    assert page.get_by_label("Name of the run").input_value() == "klein"
    page.click("#publish-look")
    page.wait_for_selector("#publish-difference .pl-added >> text=plantain:begin klein")
    listed = page.locator("#publish-difference table").all_inner_texts()
    assert all(path in listed[0] for path in SENT) and f"What goes to {RESULTS}" in listed[1]
    settle(page)
    assert serious(page) == []
    # The card changes under the owner's eyes: the press shows it anew.
    space.card.commit("main", {**space.card.head(), "README.md": CARD + b"\nmore of the owner's\n"})
    page.click("#publish-send")
    page.wait_for_selector("#publish-difference >> text=nothing was sent")
    assert space.hub.sent(COMMIT) == 0 and not page.inner_text("#publish-outcome")
    page.click("#publish-send")
    page.wait_for_selector("#publish-outcome >> text=The pull request is open")
    request, main = space.card.head("refs/pr/1"), space.card.head()
    assert {path for path in request if request[path] != main.get(path)} == SENT and len(space.card.requests) == 1
    assert b"more of the owner's" in request["README.md"] and space.card.requests[0]["author"]["name"] == "bob"
    assert set(space.results.head()) == {".gitattributes", *(path for path in SENT if path.startswith("runs/"))}
    link = page.get_attribute("#publish-outcome a", "href")
    assert link == f"{space.hub.url}/{REPO}/discussions/1"
    show_tab(page, "Result")
    show_tab(page, "Run & publish", "publish")
    page.wait_for_selector("#publish-who >> text=Signed in as bob")
    assert page.get_attribute("#publish-outcome a", "href") == link and not page.is_visible("#publish-send")
    page.get_by_label("Name of the run").fill("two words")
    page.click("#publish-look")
    page.wait_for_selector("#publish-progress >> text=needs a name of at most")


def test_the_run_that_was_chosen_is_still_chosen_after_the_sign_in(space, page):
    """The page is loaded anew, at an address that says nothing of the run: it may be a visitor's own."""
    pick(page, "Run", "second")
    page.wait_for_selector("#publish-about >> text=owner/second")
    sign_in(space, page, "bob")
    page.wait_for_selector("#publish-who >> text=Signed in as bob")
    page.wait_for_selector("#publish-about >> text=owner/second")
    assert page.get_by_label("Name of the run").input_value() == "second"


def test_nothing_of_a_sign_in_is_written_to_the_log(space):
    """Codes stand in addresses, tokens in cookies; the visits above left none of either."""
    written = space.log.read_text()
    assert '"kind": "sign-in"' in written and '"kind": "publish"' in written
    secret = [*space.provider.tokens, *space.provider.given, "state=", "code=", "_target_url=%2F%3Frun"]
    assert len(secret) > 8 and not [what for what in secret if what in written]
