"""Whatever goes wrong on the way to a hub: one sentence, and the card is as it was."""

import os
import pty
import subprocess
import sys
import types

import pytest
from browser import ROOT
from loopback_hub import READER, WRITER
from offers import CARD, COMMIT, REPO, make_offers_once, offer_of, outside, published

from plantain.cli import main
from plantain.hub.errors import _one_line
from plantain.hub.publish import publish
from plantain.hub.repo import Remote


@pytest.fixture
def repo(hub):
    return hub.add(REPO, {"README.md": CARD, "other.bin": b"\x00\x01"})


@pytest.fixture
def cli(cli, monkeypatch):
    make_offers_once(monkeypatch)
    return cli


README = r"GET /\S+/README.md"
# (what fails, how, the exit code, what is said)
FAULTS = {
    "no write right": ("preupload", 403, 2, "your token may not do this (made up 403 for …)"),
    "no write right at the commit": (COMMIT, 403, 2, "your token may not do this"),
    "the token is refused": ("whoami", 401, 2, "does not accept your token. Log in again"),
    "the token is refused later": (COMMIT, 401, 2, "does not accept your token. Log in again"),
    "not found": (COMMIT, 404, 2, "does not find what was asked for"),
    "conflict": (COMMIT, 409, 1, "another change is under way"),
    "stale": (COMMIT, 412, 1, "someone changed it meanwhile. Nothing was overwritten: run it again"),
    "too many": ("whoami", 429, 1, "too many requests from you. Try again in a few minutes"),
    "too many at the card": (README, 429, 1, "too many requests from you"),
    "the card is not readable": (README, 500, 1, "has trouble of its own (error 500)"),
    "the card is unavailable": (README, 503, 1, "has trouble of its own (error 503)"),
    "the card is cut": (README, "cut", 1, "the connection to the Hub failed"),
    "the hub is down": ("whoami", 502, 1, "has trouble of its own (error 502)"),
    "upload": ("PUT /lfs/", 500, 1, "has trouble of its own (error 500)"),
    "upload is dropped": ("PUT /lfs/", "drop", 1, "the connection to the Hub failed"),
    "batch": ("info/lfs/objects/batch", 500, 1, "has trouble of its own (error 500)"),
    "garbled": ("validate-yaml", "garbage", 1, "the Hub's answer makes no sense"),
    "silent": ("whoami", "hang", 1, "the Hub did not answer in time"),
    "connection": (r"GET /api/models", "drop", 1, "the connection to the Hub failed"),
    "commit fails": (COMMIT, 500, 1, "The commit may have arrived all the same: look at http"),
    "commit is dropped": (COMMIT, "drop", 1, "The commit may have arrived all the same: look at http"),
    "too many at the upload": ("preupload", 429, 1, "too many requests"),
    "silent at the upload": ("preupload", "hang", 1, "did not answer in time"),
    "dropped at the upload": ("preupload", "drop", 1, "the connection to the Hub failed"),
    "compared in vain": (r"GET /api/models/\S+/revision/[0-9a-f]{40}", 500, 1, "has trouble of its own"),
    "requests are not told": ("discussions", 500, 1, "has trouble of its own"),
    "commit is silent": (COMMIT, "hang", 1, "did not answer in time"),
}


DIRECT = [(fault, ("--no-pr",)) for fault, (pattern, *_) in FAULTS.items() if pattern in (COMMIT, README)]


@pytest.mark.parametrize(("fault", "how"), [*((fault, ()) for fault in FAULTS), *DIRECT])
def test_whatever_goes_wrong_is_one_sentence_and_leaves_the_card_as_it_was(hub, repo, local_run, cli, fault, how):
    pattern, what, exit_code, words = FAULTS[fault]
    hub.fail(pattern, what)
    code, out, err = published(cli, local_run, *how)
    assert (code, out) == (exit_code, "") and err.startswith("plantain: ") and err.count("\n") == 1 and words in err, (
        err
    )
    assert repo.head() == {".gitattributes": repo.head()[".gitattributes"], "README.md": CARD, "other.bin": b"\x00\x01"}
    assert repo.requests == [] and hub.sent(COMMIT) <= 1
    hub.faults.clear()
    assert published(cli, local_run, *how)[0] == 0  # and nothing is left that stands in the way


def test_rate_limits_say_how_long_to_wait(hub, repo, local_run, cli):
    hub.fail("whoami", 429, ratelimit='"api";r=0;t=55')
    assert "Try again in 55 s." in published(cli, local_run)[2]
    hub.faults.clear()
    hub.fail("whoami", 429, Retry_After="17")
    assert "Try again in 17 s." in published(cli, local_run)[2]


@pytest.mark.parametrize("how", ["lose", "cut"])
@pytest.mark.parametrize("direct", [False, True])
def test_a_lost_answer_is_told_and_nothing_is_sent_twice(hub, repo, local_run, cli, how, direct):
    hub.fail(COMMIT, how)
    words = ["--no-pr"] if direct else []
    code, out, err = published(cli, local_run, *words)
    assert (code, out) == (1, "") and err.count("\n") == 1
    assert f"The commit may have arrived all the same: look at {hub.url}/{REPO} before you repeat it." in err
    assert hub.sent(COMMIT) == 1 and len(repo.requests) == (0 if direct else 1)
    files = repo.head() if direct else repo.head("refs/pr/1")
    assert outside(files["README.md"]) == outside(CARD) and "runs/klein/run.json" in files
    hub.faults.clear()
    code, out, _ = published(cli, local_run, *words)  # who repeats it all the same does no harm
    assert code == 0 and "nothing changed" in out and hub.sent(COMMIT) == 1


def edited(hub):
    """Somebody else writes a sentence on the card."""
    repo = hub.repos["models", REPO]
    repo.commit("main", {**repo.head(), "README.md": CARD + b"and this\r\n"})


def test_a_concurrent_edit_is_never_overwritten(hub, repo, local_run, cli):
    hub.fail("preupload", edited, times=1)
    code, _, err = published(cli, local_run, "--no-pr")
    assert code == 1 and "someone changed it meanwhile. Nothing was overwritten: run it again" in err
    assert repo.head()["README.md"] == CARD + b"and this\r\n" and "runs/klein/run.json" not in repo.head()
    assert published(cli, local_run, "--no-pr")[0] == 0
    assert b"and this" in repo.head()["README.md"] and outside(repo.head()["README.md"]) == outside(
        CARD + b"and this\r\n"
    )


def test_a_request_beside_a_concurrent_edit_leaves_it_to_the_merge(hub, repo, local_run, cli):
    hub.fail("preupload", edited, times=1)
    assert published(cli, local_run)[0] == 0
    assert repo.head()["README.md"] == CARD + b"and this\r\n"


def test_no_copy_of_the_card_is_kept_or_used(hub, repo, local_run, cli, tmp_path):
    published(cli, local_run, "--no-pr")
    repo.commit("main", {**repo.head(), "README.md": b"# quite new\n"})
    hub.fail(README, 503)
    assert published(cli, local_run, "--no-pr")[0] == 1 and repo.head()["README.md"] == b"# quite new\n"
    hub.faults.clear()
    assert published(cli, local_run, "--no-pr")[0] == 0
    assert repo.head()["README.md"].decode().count("# quite new") == 1
    assert not list((tmp_path / "home").rglob("README.md"))


@pytest.mark.parametrize(
    ("token", "words"),
    [(READER, "your token may not do this"), ("hf_wrong", "does not accept your token"), ("", "You are not logged in")],
)
def test_tokens_that_do_not_suffice(hub, repo, local_run, cli, monkeypatch, token, words):
    monkeypatch.setenv("HF_TOKEN", token)
    code, _, err = published(cli, local_run)
    assert code == 2 and words in err and (not token or token not in err) and err.count("\n") == 1
    assert repo.requests == []


def test_a_gated_repository(hub, repo, local_run, cli):
    repo.gated = True
    code, _, err = published(cli, local_run)
    assert code == 2 and "access is gated. Accept its terms" in err


def test_a_card_that_is_not_utf8_is_left(hub, repo, local_run, cli):
    repo.commit("main", {"README.md": b"\xff\xfe# T"})
    code, _, err = published(cli, local_run)
    assert code == 2 and "is not UTF-8" in err and repo.requests == []


@pytest.mark.parametrize("repo_id", ["", "noslash", "a/b/c", "a b/c", "../x", "a/b--c", "a/"])
def test_bad_repository_ids(hub, local_run, cli, repo_id):
    code, _, err = cli("publish", local_run, "--repo-id", repo_id)
    assert code == 2 and "is no repository id; give OWNER/NAME" in err and hub.log == []


def test_without_a_network_it_is_said(local_run, cli, monkeypatch, hub):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    code, _, err = published(cli, local_run)
    assert code == 1 and "the connection to the Hub failed" in err
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    code, _, err = published(cli, local_run)
    assert code == 2 and "HF_HUB_OFFLINE is set" in err


def test_the_command_line_as_a_process_of_its_own(hub, repo, local_run, tmp_path):
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_TOKEN": WRITER, "HF_HOME": str(tmp_path / "other"),
                   "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}  # fmt: skip
    command = [sys.executable, "-m", "plantain", "publish", str(local_run), "--repo-id", REPO]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "") and "pull request was opened" in done.stdout
    hub.fail(README, 500)
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and done.stderr.startswith("plantain: ") and done.stderr.count("\n") == 1


def test_the_functions_serve_a_script_with_an_api_of_its_own(hub, repo, local_run):
    from huggingface_hub import HfApi

    outcome = publish(Remote(REPO, api=HfApi(endpoint=hub.url, token=WRITER)), offer_of(local_run, REPO))
    assert outcome.state == "opened" and outcome.url.endswith("/discussions/1")


def test_whoever_sits_at_a_terminal_is_asked_before_a_repository_is_created(hub, local_run, monkeypatch):
    said, (ours, theirs) = [], pty.openpty()
    monkeypatch.setattr(sys, "stdin", os.fdopen(theirs, "r"))
    monkeypatch.setattr(
        sys, "stderr", types.SimpleNamespace(isatty=lambda: True, write=said.append, flush=lambda: None)
    )
    os.write(ours, b"no\n")
    assert main(["publish", str(local_run), "--repo-id", REPO]) == 2 and hub.repos == {}
    assert "Create it, for everyone to see? [y/N]" in "".join(said)
    os.write(ours, b"y\n")
    assert main(["publish", str(local_run), "--repo-id", REPO]) == 0 and ("models", REPO) in hub.repos


def test_private_goes_with_create(hub, local_run, cli):
    assert "--private goes with --create" in published(cli, local_run, "--private")[2] and hub.log == []
    assert published(cli, local_run, "--create", "--private")[0] == 0 and hub.repos["models", REPO].private


def test_a_name_that_is_taken_by_what_cannot_be_seen_is_said(hub, local_run, cli):
    hub.fail("repos/create", 409)
    assert "the name is taken, and your token may not see what has it" in published(cli, local_run, "--create")[2]


@pytest.mark.parametrize("words", ["x" * 190 + WRITER, WRITER])
def test_no_part_of_a_token_is_shown(words, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", WRITER)
    assert WRITER[:6] not in _one_line(words) and _one_line("hf_own is bad", "hf_own") == "… is bad"
