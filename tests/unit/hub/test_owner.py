"""Who may publishes from the page with a token of their own; the Hub decides it, anew at every call."""

import dataclasses

import pytest
from loopback_hub import READER, Session
from offers import CARD, COMMIT, REPO, files_of

from plantain.hub import owner
from plantain.hub.errors import HubError, RefusedError, UnknownTokenError
from plantain.hub.owner import Desk, run_name
from plantain.hub.publish import make_offer
from plantain.runs.io import RunError, load_run

RESULTS = "bob/results"
TOKEN = "hf_oauth_of_bob"  # not the machine's, which the fixture `hub` sets


def signs_in(hub, name="bob", scopes="write-repos write-discussions", token=TOKEN):
    hub.sessions[token] = Session(name, frozenset(scopes.split()))


@pytest.fixture(autouse=True)
def offers_once(monkeypatch):
    """Let the figures of one run under one name be computed once for all tests."""

    def make(name, run, control, repo_id, **_beside):
        key = run.capture_sha256, name, repo_id
        if key not in _OFFERS:
            _OFFERS[key] = make_offer(name, run, control, repo_id)
        return _OFFERS[key]

    monkeypatch.setattr(owner, "make_offer", make)


_OFFERS = {}


@pytest.fixture
def repo(hub):
    signs_in(hub)
    return hub.add(REPO, {"README.md": CARD})


@pytest.fixture
def results(hub):
    return hub.add(RESULTS)


@pytest.fixture(scope="module")
def run(saved_run):
    """A run in memory, as a probe of the page leaves it; its statistics are computed once."""
    return dataclasses.replace(load_run(saved_run), folder=None)


@pytest.fixture
def seeded(run):
    """The same with other numbers, which is another run."""
    return dataclasses.replace(run, signs=-run.signs)


# --- what goes where ---------------------------------------------------------------------------------------


def test_what_was_looked_at_is_what_goes_by_request_and_the_run_itself_to_the_results(
    hub, repo, results, run, saved_run
):
    desk = Desk(REPO, RESULTS)
    assert desk.admit(TOKEN, run) == ("bob", "model-64px-seed0")
    found = desk.compare(TOKEN, run, "mine")
    assert hub.sent("^POST .*(commit|preupload)") == 0 and found.request is None and found.remarks == ()
    assert "+<!-- plantain:begin mine -->" in found.card and "-## Results" not in found.card
    sent = desk.send(TOKEN, run, "mine", found.digest)
    assert sent.url == f"{hub.url}/{REPO}/discussions/1" and "open" in sent.words and RESULTS in sent.remarks[-1]
    request = repo.head("refs/pr/1")
    assert repo.head() == {".gitattributes": repo.head()[".gitattributes"], "README.md": CARD}
    changed = {path: len(content) for path, content in request.items() if repo.head().get(path) != content}
    assert changed == dict(found.files)
    kept = files_of(saved_run, "mine")
    assert results.head() == {".gitattributes": results.head()[".gitattributes"], **kept}
    assert dict(found.results) == {path: len(content) for path, content in kept.items()}
    assert {path: request[path] for path in kept} == kept
    signed = {token for line, token in hub.tokens if " /lfs/" not in line and "agent-harnesses" not in line}
    assert signed == {TOKEN}  # and never the machine's


def test_the_same_again_sends_nothing_and_another_run_of_its_name_is_refused(hub, repo, results, run, seeded):
    desk = Desk(REPO, RESULTS)
    desk.send(TOKEN, run, "mine", desk.compare(TOKEN, run, "mine").digest)
    again = desk.compare(TOKEN, run, "mine")
    assert again.files == again.results == ()
    commits = hub.sent(COMMIT)
    assert "Nothing changed" in desk.send(TOKEN, run, "mine", again.digest).words and hub.sent(COMMIT) == commits
    assert desk.admit(TOKEN, run, "mine") == ("bob", "mine")
    assert desk.admit(TOKEN, seeded, "mine") == ("bob", "mine-2")
    with pytest.raises(HubError, match="another run of the name mine"):
        desk.compare(TOKEN, seeded, "mine")


@pytest.mark.parametrize("where", ["card", "results", "request"])
def test_a_name_is_taken_wherever_another_run_has_it(hub, repo, results, run, seeded, saved_run, where):
    files = files_of(saved_run, "mine")
    if where == "request":
        desk = Desk(REPO)
        desk.send(TOKEN, run, "mine", desk.compare(TOKEN, run, "mine").digest)
    else:
        there = repo if where == "card" else results
        there.commit("main", {**there.head(), **files})
    assert Desk(REPO, RESULTS).admit(TOKEN, seeded, "mine")[1] == "mine-2"
    assert Desk(REPO, RESULTS).admit(TOKEN, run, "mine")[1] == "mine"


def test_a_card_that_changed_since_the_look_is_looked_at_again(hub, repo, run):
    desk = Desk(REPO)
    found = desk.compare(TOKEN, run, "mine")
    repo.commit("main", {**repo.head(), "README.md": CARD + b"\nmore\n"})
    assert desk.send(TOKEN, run, "mine", found.digest) is None and hub.sent(COMMIT) == 0
    anew = desk.compare(TOKEN, run, "mine")
    assert anew.digest != found.digest
    repo.commit("main", {**repo.head(), "other.bin": b"x"})  # not the card, and nothing that is sent
    assert desk.send(TOKEN, run, "mine", anew.digest).url.endswith("/discussions/1")


@pytest.mark.parametrize("where", ["card", "results"])
def test_a_run_that_takes_the_name_between_look_and_press_is_not_overwritten(hub, repo, results, run, where):
    """Two owners name their runs by the same facts: the second one's press must not replace the first one's run."""
    desk = Desk(REPO, RESULTS)
    found, there = desk.compare(TOKEN, run, "mine"), repo if where == "card" else results
    there.commit("main", {**there.head(), "runs/mine/capture.safetensors": b"another owner's"})
    with pytest.raises(HubError, match="another run of the name mine. Give this one another name"):
        desk.send(TOKEN, run, "mine", found.digest)
    assert hub.sent(COMMIT) == 0 and there.head()["runs/mine/capture.safetensors"] == b"another owner's"


def test_results_that_another_run_reaches_first_keep_it(hub, repo, results, run, monkeypatch):
    desk, carry_out = Desk(REPO, RESULTS), owner.carry_out
    found = desk.compare(TOKEN, run, "mine")

    def overtaken(*given):
        results.commit("main", {**results.head(), "runs/mine/capture.safetensors": b"another owner's"})
        return carry_out(*given)

    monkeypatch.setattr(owner, "carry_out", overtaken)
    sent = desk.send(TOKEN, run, "mine", found.digest)
    assert sent.url.endswith("/discussions/1") and "did not go to bob/results: it has another" in sent.remarks[-1]
    assert results.head()["runs/mine/capture.safetensors"] == b"another owner's"


def test_a_change_in_the_very_moment_overwrites_nothing(hub, repo, run):
    desk = Desk(REPO)
    found = desk.compare(TOKEN, run, "mine")
    hub.fail(COMMIT, 412)
    with pytest.raises(HubError, match="Nothing was overwritten"):
        desk.send(TOKEN, run, "mine", found.digest)


def test_results_that_fail_leave_the_request_and_follow_later(hub, repo, results, run):
    desk = Desk(REPO, RESULTS)
    found = desk.compare(TOKEN, run, "mine")
    hub.fail(rf"{RESULTS}/commit", 503, times=1)
    sent = desk.send(TOKEN, run, "mine", found.digest)
    assert sent.url.endswith("/discussions/1") and "did not go to bob/results" in sent.remarks[-1]
    rest = desk.compare(TOKEN, run, "mine")
    assert rest.files == () and len(rest.results) == 3
    assert RESULTS in desk.send(TOKEN, run, "mine", rest.digest).remarks[-1] and "runs/mine/run.json" in results.head()


def test_a_section_is_computed_once_for_the_look_and_the_press(hub, repo, run, monkeypatch):
    made, offer = [], make_offer("mine", run, None, REPO)
    monkeypatch.setattr(
        owner, "make_offer", lambda name, *_, **_beside: made.append(name) or dataclasses.replace(offer, name=name)
    )
    desk = Desk(REPO)
    desk.send(TOKEN, run, "mine", desk.compare(TOKEN, run, "mine").digest)
    assert made == ["mine"]
    for name in ("other", "third", "mine"):
        desk.compare(TOKEN, run, name)
    assert made == ["mine", "other", "third", "mine"]  # few are kept


def test_the_same_numbers_said_to_be_of_another_model_are_another_section(hub, repo, run):
    desk = Desk(REPO)
    _OFFERS.clear()  # the tests' own, which knows runs by their numbers
    first = desk.compare(TOKEN, run, "mine").card
    _OFFERS.clear()
    other = dataclasses.replace(run, info=dataclasses.replace(run.info, model="owner/another"))
    assert "owner/another" not in first and "owner/another" in desk.compare(TOKEN, other, "mine").card
    _OFFERS.clear()


# --- who is refused ----------------------------------------------------------------------------------------


def refused(hub, desk, run, error, words, token=TOKEN):
    """Every method refuses, and nothing was sent."""
    calls = (
        lambda: desk.admit(token),
        lambda: desk.admit(token, run),
        lambda: desk.compare(token, run, "mine"),
        lambda: desk.send(token, run, "mine", "0" * 64),
    )
    for call in calls:
        with pytest.raises(error, match=words) as caught:
            call()
        assert token not in str(caught.value) and "\n" not in str(caught.value)
    assert hub.sent("^(POST|PUT) ") == 0


def test_who_may_not_write_is_refused_by_every_method(hub, repo, run):
    refused(hub, Desk(REPO), run, RefusedError, "alice's sign-in may not write.*Only who may", READER)


def test_a_token_that_the_hub_does_not_know_is_refused(hub, repo, run):
    refused(hub, Desk(REPO), run, UnknownTokenError, "does not accept your sign-in", "hf_forged")


def test_an_owner_who_did_not_grant_writing_is_told_to_grant_it(hub, repo, run):
    signs_in(hub, scopes="openid profile")
    refused(hub, Desk(REPO), run, RefusedError, "bob's sign-in may not write.*grant this page")


def test_a_sign_in_without_pull_requests_is_refused_by_the_hub_itself(hub, repo, results, run):
    signs_in(hub, scopes="write-repos")
    desk = Desk(REPO, RESULTS)
    found = desk.compare(TOKEN, run, "mine")
    with pytest.raises(RefusedError, match="refuses this to your sign-in. Sign out, and sign in again, and grant it"):
        desk.send(TOKEN, run, "mine", found.digest)
    assert repo.requests == [] and set(results.head()) == {".gitattributes"}


def test_a_sign_in_that_ends_between_look_and_press_sends_nothing(hub, repo, run):
    desk = Desk(REPO)
    found = desk.compare(TOKEN, run, "mine")
    del hub.sessions[TOKEN]
    with pytest.raises(UnknownTokenError, match="Sign out, and sign in again"):
        desk.send(TOKEN, run, "mine", found.digest)
    assert hub.sent("^(POST|PUT) ") == 0


def test_no_token_at_all_is_never_the_machines(hub, repo, run):
    with pytest.raises(AssertionError):
        Desk(REPO).admit("")
    assert hub.log == []


@pytest.mark.parametrize("name", ["", "two words", "../up", "a--b", "x" * 81])
def test_a_name_that_fits_no_card_is_refused_and_another_proposed(hub, repo, run, name):
    with pytest.raises(RunError, match="needs a name"):
        Desk(REPO).compare(TOKEN, run, name)
    assert Desk(REPO).admit(TOKEN, run, name)[1] == "model-64px-seed0"


def test_a_stand_ins_run_is_refused(hub, repo, run):
    stand_in = dataclasses.replace(run, info=dataclasses.replace(run.info, weights="stand-in"))
    with pytest.raises(RunError, match="run of the stand-in"):
        Desk(REPO).compare(TOKEN, stand_in, "mine")


def test_a_results_repository_that_is_somebody_elses_is_told_before(hub, repo, run, monkeypatch):
    hub.add("eve/results")
    hub.fail("eve/results/auth-check", 403)
    found = Desk(REPO, "eve/results").compare(TOKEN, run, "mine")
    assert found.results == () and "may not write to eve/results" in found.remarks[0]


def test_results_that_do_not_exist_keep_nobody_from_the_card(hub, repo, run):
    desk = Desk(REPO, "bob/nothing")
    assert desk.admit(TOKEN, run, "mine") == ("bob", "mine")
    found = desk.compare(TOKEN, run, "mine")
    assert found.results == () and "bob/nothing does not exist" in found.remarks[0] and "Create it" in found.remarks[0]
    sent = desk.send(TOKEN, run, "mine", found.digest)
    assert sent.url.endswith("/discussions/1") and "did not go to bob/nothing" in sent.remarks[-1]
    hub.add("bob/nothing")
    assert len(desk.compare(TOKEN, run, "mine").results) == 3


# --- what is kept ------------------------------------------------------------------------------------------


def test_the_hubs_words_are_told_without_the_token(hub, repo, run):
    desk = Desk(REPO)
    found = desk.compare(TOKEN, run, "mine")
    hub.fail("POST .*preupload", 403)  # its words repeat the token
    with pytest.raises(RefusedError) as caught:
        desk.send(TOKEN, run, "mine", found.digest)
    assert "made up 403 for …" in str(caught.value) and TOKEN not in str(caught.value)


def test_a_desk_keeps_no_token(hub, repo, run):
    import sys

    desk = Desk(REPO)
    desk.send(TOKEN, run, "mine", desk.compare(TOKEN, run, "mine").digest)
    kept = [vars(desk), *(vars(module) for name, module in sys.modules.items() if name.startswith("plantain."))]
    assert not any(TOKEN in repr(value) for names in kept for value in names.values())


@pytest.mark.parametrize(
    ("model", "weights", "name"),
    [
        ("black-forest-labs/FLUX.2-klein-base-4B", "pretrained", "klein-base-4b-1024px-seed3"),
        ("untrained-klein-4b", "untrained", "untrained-klein-4b-1024px-seed3"),
        ("FLUX.2-klein-base-4B", "untrained", "untrained-klein-base-4b-1024px-seed3"),
        ("somebody/Größe  1!", "pretrained", "gr-e-1-1024px-seed3"),
    ],
)
def test_a_run_is_named_by_its_facts(run, model, weights, name):
    info = dataclasses.replace(run.info, model=model, weights=weights, size=1024, seed=3)
    assert run_name(dataclasses.replace(run, info=info)) == name
