"""Published runs are brought here, and what a stranger made to harm is named, refused and harms nothing."""

import dataclasses
import os
import tempfile
from pathlib import Path

import pytest
from browser import ROOT
from offers import THEIRS as REPO
from offers import files_of, pulled, with_facts

from plantain.hub import pull
from plantain.hub.pull import bring_runs
from plantain.runs.io import load_run, save_run
from plantain.ui import RunStore

MARK = Path(tempfile.gettempdir()) / f"plantain-executed-{os.getpid()}"


@pytest.fixture
def good(made_run, tmp_path):
    return save_run(made_run(5), tmp_path / "there" / "good")


def test_a_second_pull_brings_nothing_and_other_content_is_replaced_on_request_only(hub, cli, good, made_run, tmp_path):
    repo = hub.add(REPO, files_of(good, "good"))
    assert "good: brought" in pulled(cli, tmp_path / "runs")[1]
    code, out, _ = pulled(cli, tmp_path / "runs")
    assert code == 0 and "good: is here already" in out
    save_run(made_run(6), good, overwrite=True)
    repo.commit("main", files_of(good, "good"))
    before = load_run(tmp_path / "runs" / "good").capture_sha256
    code, out, err = pulled(cli, tmp_path / "runs")
    assert code == 2 and "good: REFUSED: " in out and "exists already" in out and "1 of 1 were refused: good" in err
    assert load_run(tmp_path / "runs" / "good").capture_sha256 == before
    assert pulled(cli, tmp_path / "runs", "--overwrite")[0] == 0
    assert load_run(tmp_path / "runs" / "good").capture_sha256 == load_run(good).capture_sha256 != before


def test_a_pull_request_can_be_looked_at_before_it_is_merged(hub, cli, good, tmp_path):
    repo = hub.add(REPO)
    repo.commit("refs/pr/3", {**repo.head(), **files_of(good, "good")})
    assert "has no published runs" in pulled(cli, tmp_path / "runs")[2]
    assert "good: brought" in pulled(cli, tmp_path / "runs", "--revision", "refs/pr/3")[1]
    code, _, err = pulled(cli, tmp_path / "runs", "--revision", "refs/pr/4")
    assert code == 2 and "does not find what was asked for" in err


def test_runs_are_published_for_everyone(hub, cli, good, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "")  # no login is needed to look
    hub.add(REPO, files_of(good, "good"))
    assert pulled(cli, tmp_path / "runs")[0] == 0


# --- at the start of the app -------------------------------------------------------------------------------


def test_the_app_gets_the_published_runs_and_has_them_when_the_hub_is_down(hub, good):
    bad = with_facts(files_of(good, "bad"), "bad", lambda facts: facts.update(schema=99))
    hub.add(REPO, {**files_of(good, "good"), **bad})
    folder, notices = bring_runs(REPO)
    assert [p.name for p in folder.iterdir()] == ["good"]
    assert len(notices) == 1 and notices[0].startswith(f"The run “bad”, published in {REPO}, is not shown: ")
    hub.fail(".", 503)
    folder, notices = bring_runs(REPO)
    assert load_run(folder / "good") and len(notices) == 1
    assert "has trouble of its own (error 503)" in notices[0] and "Shown are those that are here" in notices[0]


def test_the_app_fetches_nothing_twice_computes_nothing_and_forgets_what_was_withdrawn(hub, good):
    repo = hub.add(REPO, {**files_of(good, "good"), **files_of(good, "gone")})
    folder, notices = bring_runs(REPO)
    assert notices == [] and sorted(p.name for p in folder.iterdir()) == ["gone", "good"]
    assert sorted(p.name for p in (folder / "good").iterdir()) == ["capture.safetensors", "run.json"]
    fetched = hub.sent("GET .*/resolve/")
    repo.commit("main", files_of(good, "good"))
    assert bring_runs(REPO)[1] == [] and hub.sent("GET .*/resolve/") == fetched > 0
    assert [p.name for p in folder.iterdir()] == ["good"]
    repo.commit("main", with_facts(files_of(good, "good"), "good", lambda facts: facts.update(schema=99)))
    (notice,) = bring_runs(REPO)[1]
    assert "is not shown as it is now, but as it was: good: has schema 99" in notice and str(folder) not in notice
    assert load_run(folder / "good")


def test_a_full_size_run_is_here_within_the_apps_patience(hub):
    hub.add(REPO, files_of(ROOT / "precomputed" / "untrained-klein-4b", "full", ("run.json", "capture.safetensors")))
    folder, notices = bring_runs(REPO)
    assert notices == [] and load_run(folder / "full").info.weights == "untrained"


def test_two_repositories_never_share_a_folder(hub, good):
    for repo_id in ("eve/a-b", "eve-a/b"):
        hub.add(repo_id, files_of(good, repo_id.replace("/", ".")))
    first, second = (bring_runs(repo_id)[0] for repo_id in ("eve/a-b", "eve-a/b"))
    assert first != second and [p.name for p in first.iterdir()] == ["eve.a-b"]


def test_what_no_check_foresaw_concerns_one_run_alone(hub, cli, good, tmp_path, monkeypatch):
    hub.add(REPO, {**files_of(good, "bad"), **files_of(good, "good")})
    real = pull.load_run

    def load(folder):
        if folder.name == "bad":
            raise RuntimeError("surprise")
        return real(folder)

    monkeypatch.setattr(pull, "load_run", load)
    code, out, _ = pulled(cli, tmp_path / "runs")
    assert code == 2 and "bad: REFUSED: it cannot be read (RuntimeError)" in out and "good: brought" in out
    monkeypatch.setattr(pull, "load_run", lambda folder: 1 / 0)
    assert "ZeroDivisionError" in bring_runs(REPO)[1][0]


def test_a_full_disk_is_not_the_runs_fault(hub, cli, good, tmp_path, monkeypatch):
    hub.add(REPO, files_of(good, "good"))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("plantain.runs.io._write_files", full)
    code, out, err = pulled(cli, tmp_path / "runs")
    assert (code, out) == (2, "") and "No space left on device" in err and not (tmp_path / "runs" / "good").exists()


def test_a_hub_that_does_not_answer_costs_the_app_no_more_than_its_patience(hub, good, monkeypatch):
    monkeypatch.setattr(pull, "PATIENCE", 0.2)
    hub.add(REPO, files_of(good, "good"))
    hub.fail(".", "hang")
    hub.hurry = 1.0
    folder, notices = bring_runs(REPO)
    assert notices == [
        f"Not all runs that are published in {REPO} came within 0.2 s. "
        "Shown are those that are here; the next start of the app tries again."
    ]
    assert not folder.exists()


@pytest.mark.parametrize("repo_id", ["no slash", "nobody/nothing", "../../x"])
def test_a_repository_that_is_none_is_a_notice(hub, repo_id, tmp_path):
    folder, (notice,) = bring_runs(repo_id)
    assert repo_id in notice and folder.parent == tmp_path / "home" / "plantain"


def test_the_app_shows_published_runs_beside_the_shipped_ones_and_no_run_twice(hub, good, made_run, tmp_path):
    shipped = tmp_path / "shipped"
    save_run(made_run(5), shipped / "same")
    save_run(made_run(6), shipped / "good")
    hub.add(REPO, {**files_of(shipped / "same", "same"), **files_of(good, "good"), **files_of(good, "more")})
    folder, notices = bring_runs(REPO)
    store = RunStore(shipped, {REPO: folder}, notices)
    assert list(store.saved) == ["good", "same", f"good ({REPO})", f"more ({REPO})"] and store.problems == {}
    assert store.saved[f"good ({REPO})"].capture_sha256 == load_run(good).capture_sha256


def test_a_run_published_by_an_owner_with_other_weights_keeps_its_label(hub, cli, made_run, tmp_path):
    run = made_run()
    local = save_run(dataclasses.replace(run, info=dataclasses.replace(run.info, weights="untrained")), tmp_path / "c")
    hub.add(REPO, files_of(local, "control"))
    pulled(cli, tmp_path / "runs")
    assert load_run(tmp_path / "runs" / "control").info.weights == "untrained"
