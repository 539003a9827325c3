"""The tab for publishing: whom the server lets through, and that a press sends what was looked at."""

import time
from dataclasses import dataclass, replace
from types import SimpleNamespace

import gradio as gr
import pytest
from asking import ENDPOINTS
from made import small_run

from plantain import UsageError
from plantain.findings.published import load_published
from plantain.hub.errors import RefusedError
from plantain.hub.owner import Difference, Sent
from plantain.runs.io import save_run
from plantain.ui import build_demo
from plantain.ui.desk import signed_in
from plantain.ui.engine import Engine
from plantain.ui.state import Page, RunStore
from plantain.ui.tabs.publish import _Counter, command_html, difference_html, may_be_published, sent_html

CARD, RESULTS = "bob/card", "bob/results"
FOUND = Difference(
    "--- a\n+++ b\n-old\n+<b>new</b>\n", (("README.md", 9), ("runs/x/run.json", 1200)), (), None, (), "d1"
)
SPACE = {"SYSTEM": "spaces", "SPACE_ID": "bob/space", "OAUTH_CLIENT_ID": "i", "OAUTH_CLIENT_SECRET": "s",
         "OAUTH_SCOPES": "openid", "OPENID_PROVIDER_URL": "http://127.0.0.1:1"}  # fmt: skip


BOB = gr.OAuthProfile({"name": "Bob", "preferred_username": "bob", "profile": "", "picture": ""})


@dataclass
class FakeDesk:
    """Lets in the token "bobs", and notes what it is asked for."""

    card_repo: str = CARD
    results_repo: str | None = RESULTS
    found: Difference = FOUND
    calls: tuple = ()

    def _note(self, token, *what):
        if token != "bobs":
            raise RefusedError("alice may not.")
        self.calls = (*self.calls, what)

    def admit(self, token, run=None, called=""):
        self._note(token, "admit", called)
        return "bob", called or "by-its-facts"

    def compare(self, token, run, name):
        self._note(token, "compare", name)
        return self.found

    def send(self, token, run, name, digest):
        self._note(token, "send", name, digest)
        return Sent("It is open.", "http://hub/1?a=1&b=<2>", ("Mind this.",)) if digest == self.found.digest else None


def asked(**headers):
    return SimpleNamespace(headers=headers)


def token(value="bobs", seconds=60):
    return gr.OAuthToken(value, "write-repos", int(time.time()) + seconds)


@pytest.fixture
def store(tmp_path):
    run = small_run()
    save_run(replace(run, info=replace(run.info, weights="stand-in")), tmp_path / "runs" / "tiny")
    save_run(replace(run, info=replace(run.info, weights="pretrained")), tmp_path / "runs" / "klein")
    return RunStore(tmp_path / "runs")


@pytest.fixture
def desk():
    return FakeDesk()


@pytest.fixture
def counter(store, desk, moral_set):
    return _Counter(Page(store, Engine("tiny-random"), load_published(), moral_set, desk), desk)


# --- who is let through ------------------------------------------------------------------------------------


def test_a_sign_in_counts_on_this_page_and_until_it_ends():
    assert signed_in(asked(), token()) == signed_in(asked(**{"sec-fetch-site": "same-origin"}), token()) == "bobs"
    for bad, words in ((None, "Sign in first"), (token(""), "Sign in first"), (token(seconds=-1), "has expired")):
        with pytest.raises(UsageError, match=words):
            signed_in(asked(), bad)
    with pytest.raises(UsageError, match="has expired"):  # as Gradio makes one of what a request brings by itself
        signed_in(asked(), gr.OAuthToken("bobs", "", 0))
    for site in ("cross-site", "same-site", "none"):
        with pytest.raises(UsageError, match="another page"):
            signed_in(asked(**{"sec-fetch-site": site}), token())


@pytest.mark.parametrize(
    ("given", "headers"),
    [(None, {}), (token("alices"), {}), (token(seconds=-1), {}), (token(), {"sec-fetch-site": "cross-site"})],
)
def test_every_listener_refuses_by_itself(counter, desk, given, headers):
    request = asked(**headers)
    who, controls, name, _, difference, go, seen, _ = counter.arrive(request, given, None, True, "klein")
    assert controls["visible"] is False and go["visible"] is False and not (name or difference or seen)
    assert "Nobody is signed in" in who or "pl-error" in who
    *_, (said, difference, go, seen) = counter.compare(request, given, "klein", "klein")
    assert "pl-error" in said and not difference and go["visible"] is False and seen is None
    forged = SimpleNamespace(run="klein", name="klein", digest="d1")
    *_, (said, _, _, _, outcome) = counter.send(request, given, forged, "klein", "klein")
    assert "pl-error" in said and "__type__" in outcome and desk.calls == ()


def test_a_tab_that_nobody_opened_asks_nobody(counter, desk):
    assert (
        all("__type__" in part for part in counter.arrive(asked(), token(), BOB, False, "klein")) and desk.calls == ()
    )


# --- what is offered ---------------------------------------------------------------------------------------


def test_a_visitors_own_run_is_offered_and_its_secret_name_told_to_nobody(counter, desk, store):
    own = store.add(store.saved["klein"])
    who, controls, name, *_ = counter.arrive(asked(), token(), BOB, True, own)
    assert (
        controls["visible"] and name == "by-its-facts" and desk.calls == (("admit", ""),) and "Signed in as bob" in who
    )
    assert counter.arrive(asked(), token(), BOB, True, "klein")[2] == "klein"


def test_the_owner_is_told_what_keeps_published_runs_away_and_nobody_else(counter, store, monkeypatch):
    monkeypatch.setattr(store, "faults", ("bob/results: there is no <such> repository.",))
    assert "there is no &lt;such&gt; repository" in counter.arrive(asked(), token(), BOB, True, "klein")[0]
    for other in (None, token("alices")):
        assert not any("no &lt;such" in str(part) for part in counter.arrive(asked(), other, BOB, True, "klein"))


def test_a_stand_ins_run_is_not_offered(counter, store):
    who, controls, _, about, *_, button = counter.arrive(asked(), token(), BOB, True, "tiny")
    assert button["value"] == "Sign out (bob)"
    assert "Signed in as bob" in who and controls["visible"] is False and "run of the stand-in" in about
    assert [may_be_published(counter.page, name) for name in ("klein", "tiny", "gone", None)] == [
        True,
        False,
        False,
        False,
    ]
    assert not may_be_published(replace(counter.page, desk=None), "klein")


def test_the_run_that_was_chosen_is_chosen_again_after_the_sign_in(counter, store):
    own = store.add(store.saved["klein"])
    run, mine = counter.brought(own, [])
    assert run.value == own and mine[0][1] == own and "yours" in mine[0][0]
    assert counter.brought("klein", [])[0]["value"] == "klein"
    for unknown in ("", "probe-2020-01-01T0000-guessed", None):
        assert all("__type__" in part for part in counter.brought(unknown, []))


# --- look and press ----------------------------------------------------------------------------------------


def test_a_press_sends_what_was_looked_at(counter, desk, store, monkeypatch):
    refreshed = []
    monkeypatch.setattr(store, "refresh", lambda: refreshed.append(True))
    first, (said, difference, go, seen) = counter.compare(asked(), token(), "klein", " mine ")
    assert "<progress" in first[0] and "half a minute" in first[0] and said == ""
    assert go["visible"] and go["value"] == "Open pull request" and (seen.name, seen.digest) == ("mine", "d1")
    assert '<span class="pl-added">+&lt;b&gt;new' in difference and '<span class="pl-removed">-old' in difference
    assert "<td>1 kB</td>" in difference and "runs/x/run.json" in difference
    first, (said, difference, go, seen, outcome) = counter.send(asked(), token(), seen, "klein", "mine ")
    assert first[2]["visible"] is False  # not to be pressed twice
    assert (said, difference, seen) == ("", "", None) and refreshed == [True] and "It is open." in outcome
    assert 'href="http://hub/1?a=1&amp;b=&lt;2&gt;"' in outcome and "Mind this." in outcome
    assert desk.calls == (("compare", "mine"), ("send", "mine", "d1"))


def test_a_press_on_what_changed_shows_it_anew_and_sends_nothing(counter, desk, store, monkeypatch):
    monkeypatch.setattr(store, "refresh", lambda: pytest.fail("nothing was sent"))
    *_, (_, _, _, seen) = counter.compare(asked(), token(), "klein", "mine")
    desk.found = replace(FOUND, card="+other\n", request=7, digest="d2")
    *_, (_, difference, go, anew, outcome) = counter.send(asked(), token(), seen, "klein", "mine ")
    assert "nothing was sent" in difference and "+other" in difference and "__type__" in outcome
    assert go["visible"] and go["value"] == "Update pull request 7" and anew.digest == "d2"


def test_a_press_without_a_look_is_refused(counter, desk):
    *_, (said, _, go, _, _) = counter.send(asked(), token(), None, "klein", "mine")
    assert "Look at the difference first" in said and go["visible"] is False and desk.calls == ()


@pytest.mark.parametrize(("chosen", "name"), [("tiny", "mine"), ("klein", "other"), (None, "mine")])
def test_a_difference_of_another_run_or_name_than_is_on_show_is_not_sent(counter, desk, chosen, name):
    """It takes half a minute to compute, in which another run may be chosen: the page shows that one's facts then."""
    *_, (_, _, _, seen) = counter.compare(asked(), token(), "klein", "mine")
    *_, (said, difference, go, anew, _) = counter.send(asked(), token(), seen, chosen, name)
    assert "Show the difference again" in said and (difference, go["visible"], anew) == ("", False, None)
    assert desk.calls == (("compare", "mine"),)


def test_what_is_there_already_is_said(desk):
    nothing = difference_html(replace(FOUND, card="", files=()), desk)
    assert f"{CARD} has all of this already" in nothing and "<table" not in nothing and "<pre" not in nothing
    rest = difference_html(replace(FOUND, card="", files=(), results=(("runs/x/run.json", 5),)), desk)
    assert f"What goes to {RESULTS}" in rest


def test_foreign_words_are_escaped():
    assert "<script" not in sent_html(Sent("<script>", "javascript:<script>", ("<script>",)))


# --- where nobody signs in ---------------------------------------------------------------------------------


def built(store, moral_set, desk):
    return build_demo(store, Engine("tiny-random"), load_published(), moral_set, desk)


def as_on_a_space(monkeypatch):
    for name, value in SPACE.items():
        monkeypatch.setenv(name, value)
        if hasattr(gr.oauth, name):  # which reads them when it is imported
            monkeypatch.setattr(gr.oauth, name, value)


def test_a_page_elsewhere_signs_nobody_in_and_names_the_command(store, moral_set, desk, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_machine")
    for name in SPACE:
        monkeypatch.delenv(name, raising=False)
    demo = built(store, moral_set, desk)
    assert not demo.expects_oauth  # else Gradio signs every visitor in as the machine's account
    page = Page(store, Engine("tiny-random"), load_published(), moral_set, desk)
    said = command_html(page, desk, "klein")
    assert f"publish runs/klein --repo-id {CARD}\n" in said and f"runs/klein --repo-id {RESULTS} --no-pr" in said
    assert str(store.folder.parent) not in said
    own = store.add(store.saved["klein"])
    assert own not in command_html(page, desk, own) and "Download it" in command_html(page, desk, own)
    assert "run of the stand-in" in command_html(page, desk, "tiny")


def test_a_space_without_oauth_says_what_it_lacks(store, moral_set, desk, monkeypatch):
    as_on_a_space(monkeypatch)
    assert built(store, moral_set, desk).expects_oauth
    monkeypatch.delenv("OAUTH_CLIENT_ID")
    demo = built(store, moral_set, desk)
    assert not demo.expects_oauth and any(
        "hf_oauth: true" in str(b.value) for b in demo.blocks.values() if hasattr(b, "value")
    )


def test_no_listener_of_the_tab_is_an_endpoint(store, moral_set, desk, monkeypatch):
    as_on_a_space(monkeypatch)
    demo = built(store, moral_set, desk)
    assert set(demo.get_api_info()["named_endpoints"]) == {f"/{name}" for name in ENDPOINTS}
    assert demo.get_api_info()["unnamed_endpoints"] == {}


def test_a_page_without_a_desk_has_no_such_tab(store, moral_set):
    demo = built(store, moral_set, None)
    assert "Publish" not in [b.label for b in demo.blocks.values() if isinstance(b, gr.Tab)]
