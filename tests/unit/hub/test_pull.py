"""Published runs are brought here, and what a stranger made to harm is named, refused and harms nothing."""

import dataclasses
import os
import tempfile
from pathlib import Path

import pytest
from browser import ROOT
from interventions_made import made_result, result_of
from made import with_directions
from offers import THEIRS as REPO
from offers import files_of, pulled, with_facts
from pictured import draw_into

from plantain.hub import pull
from plantain.hub.errors import HubError, HubTroubleError
from plantain.hub.pull import Published
from plantain.hub.repo import Remote
from plantain.runs.attached import attached_files
from plantain.runs.attached.interventions import read_interventions, write_interventions
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


def test_small_runs_come_first_and_every_run_json_before_any_capture(hub, good, tmp_path, made_run):
    save_run(made_run(1, n_pairs=9), tmp_path / "there" / "a-large")
    files = {**files_of(good, "z-small"), **files_of(tmp_path / "there" / "a-large", "a-large")}
    hub.add(REPO, {**files, "runs/z-small/images/1.png": b"x", "runs/z-small/interventions/cut.json": b"x"})
    pull.pull_runs(Remote(REPO), tmp_path / "runs", with_statistics=False)
    fetched = [line.rpartition("/runs/")[2] for line in hub.log if "/resolve/" in line]
    assert fetched == [
        "z-small/run.json", "a-large/run.json", "z-small/capture.safetensors", "a-large/capture.safetensors",
    ]  # fmt: skip


# --- directions --------------------------------------------------------------------------------------------

WHOLE = ("run.json", "capture.safetensors", "directions.safetensors", "units.csv")


@pytest.fixture
def directed(made_run, tmp_path):
    """The run of `good`, with directions."""
    return save_run(with_directions(made_run(5)), tmp_path / "there" / "directed")


@pytest.mark.parametrize("with_statistics", [True, False])
def test_directions_come_with_a_run_and_are_fetched_once(hub, directed, tmp_path, with_statistics):
    hub.add(REPO, files_of(directed, "good", WHOLE))
    for state in ("new", "same"):
        (pulled_,) = pull.pull_runs(Remote(REPO), tmp_path / "runs", with_statistics=with_statistics)
        assert pulled_.state == state
    assert load_run(tmp_path / "runs" / "good").directions_sha256 == load_run(directed).directions_sha256
    assert (tmp_path / "runs" / "good" / WHOLE[2]).read_bytes() == (directed / WHOLE[2]).read_bytes()
    assert hub.sent("GET .*/resolve/") == 3


def test_a_run_that_is_here_gets_the_directions_that_it_lacks_and_loses_none(hub, cli, good, directed, tmp_path):
    repo = hub.add(REPO, files_of(good, "good"))
    pulled(cli, tmp_path / "runs")
    assert load_run(tmp_path / "runs" / "good").directions is None
    repo.commit("main", files_of(directed, "good", WHOLE))
    assert "good: brought" in pulled(cli, tmp_path / "runs")[1]  # nothing of it is replaced by anything else
    assert load_run(tmp_path / "runs" / "good").directions is not None
    repo.commit("main", files_of(good, "good"))
    assert "good: is here already" in pulled(cli, tmp_path / "runs")[1]
    assert load_run(tmp_path / "runs" / "good").directions is not None


def test_other_directions_are_another_run(hub, cli, directed, made_run, tmp_path):
    repo = hub.add(REPO, files_of(directed, "good", WHOLE))
    pulled(cli, tmp_path / "runs")
    save_run(with_directions(made_run(5), seed=1), directed, overwrite=True)
    repo.commit("main", files_of(directed, "good", WHOLE))
    code, out, _ = pulled(cli, tmp_path / "runs")
    assert code == 2 and "good: REFUSED: " in out and "exists already" in out
    assert pulled(cli, tmp_path / "runs", "--overwrite")[0] == 0
    assert load_run(tmp_path / "runs" / "good").directions_sha256 == load_run(directed).directions_sha256


def test_a_published_run_without_the_file_that_it_names_is_one_of_magnitudes(hub, cli, directed, tmp_path):
    hub.add(REPO, files_of(directed, "good"))
    assert "good: brought" in pulled(cli, tmp_path / "runs")[1]
    assert load_run(tmp_path / "runs" / "good").directions is None
    assert "good: is here already" in pulled(cli, tmp_path / "runs")[1]


def test_a_page_shows_directions_that_are_published(hub, directed):
    hub.add(REPO, files_of(directed, "good", WHOLE))
    published = Published(REPO)
    assert look(published)[-1].refused == {}
    assert names(published.folder / "good") == sorted(WHOLE[:3])
    assert load_run(published.folder / "good").directions is not None


# --- pictures ----------------------------------------------------------------------------------------------


def with_pictures(folder, name="good"):
    """Return a run's own files and its pictures, by their paths in a repository."""
    attached = {f"runs/{name}/{path}": content for path, content in attached_files(load_run(folder)).items()}
    return {**files_of(folder, name), **attached}


@pytest.mark.parametrize("with_statistics", [True, False])
def test_pictures_come_with_a_run_packed_anew_and_are_fetched_once(hub, good, tmp_path, with_statistics):
    draw_into(good)
    hub.add(REPO, with_pictures(good))
    for state in ("new", "same"):
        (found,) = pull.pull_runs(Remote(REPO), tmp_path / "runs", with_statistics=with_statistics)
        assert (found.state, found.left_out) == (state, "")
    here, there = (attached_files(load_run(folder)) for folder in (tmp_path / "runs" / "good", good))
    assert set(here) == set(there) and all(here[path] != there[path] for path in here)
    assert hub.sent("GET .*/resolve/") == 2 + 1 + 4 + 1  # the run, settings, pictures; and settings again


def test_a_run_that_is_here_gets_the_pictures_that_it_lacks(hub, cli, good, tmp_path):
    repo = hub.add(REPO, files_of(good, "good"))
    pulled(cli, tmp_path / "runs")
    draw_into(good)
    repo.commit("main", with_pictures(good))
    assert "good: brought" in pulled(cli, tmp_path / "runs")[1]
    assert len(attached_files(load_run(tmp_path / "runs" / "good"))) == 5
    draw_into(good, 4)
    repo.commit("main", with_pictures(good))
    before = hub.sent("GET .*webp")
    assert "good: brought" in pulled(cli, tmp_path / "runs")[1]
    assert len(attached_files(load_run(tmp_path / "runs" / "good"))) == 9 and hub.sent("GET .*webp") == before + 4
    repo.commit("main", files_of(good, "good"))
    assert "good: is here already" in pulled(cli, tmp_path / "runs")[1]
    assert len(attached_files(load_run(tmp_path / "runs" / "good"))) == 9


def test_pictures_that_were_drawn_here_are_taken_away_on_request_only(hub, cli, good, tmp_path):
    hub.add(REPO, {**files_of(good, "good")})
    pulled(cli, tmp_path / "runs")
    mine = draw_into(tmp_path / "runs" / "good", 3, kind="expected")
    draw_into(good)
    hub.repos["models", REPO].commit("main", with_pictures(good))
    code, out, _ = pulled(cli, tmp_path / "runs")
    assert code == 0 and "LEFT OUT: its images (there are others here; --overwrite takes the published ones)" in out
    assert len(attached_files(load_run(tmp_path / "runs" / "good"))) == 1 + len(mine.pictures)
    code, out, _ = pulled(cli, tmp_path / "runs", "--overwrite")
    assert code == 0 and "LEFT OUT" not in out
    assert len(attached_files(load_run(tmp_path / "runs" / "good"))) == 5


def test_directions_that_are_brought_later_leave_the_pictures_that_are_here(hub, cli, good, directed, tmp_path):
    repo = hub.add(REPO, files_of(good, "good"))
    pulled(cli, tmp_path / "runs")
    draw_into(tmp_path / "runs" / "good")
    before = attached_files(load_run(tmp_path / "runs" / "good"))
    repo.commit("main", files_of(directed, "good", WHOLE))
    assert "good: brought" in pulled(cli, tmp_path / "runs")[1]
    run = load_run(tmp_path / "runs" / "good")
    assert run.directions is not None and attached_files(run) == before


def test_a_publish_sends_the_pictures_as_they_were_drawn(hub, cli, good, tmp_path):
    draw_into(good)
    code, out, _ = cli("publish", good, "--repo-id", REPO, "--dry-run")
    assert code == 0 and "runs/good/images/settings.json" in out
    sent = good.with_name("good.publish") / "runs" / "good"
    assert {path: (sent / path).read_bytes() for path in attached_files(load_run(good))} == attached_files(
        load_run(good)
    )


def test_interventions_go_out_with_a_run_and_come_back(hub, cli, good, tmp_path):
    run = load_run(good)
    result = result_of(run)
    write_interventions(good, result, {})
    (good / "interventions" / "steer.unfinished").mkdir()
    (good / "interventions" / "steer.unfinished" / "pair-0000.safetensors").write_bytes(b"x")
    assert cli("publish", good, "--repo-id", REPO, "--dry-run")[0] == 0
    sent = good.with_name("good.publish")
    files = {p.relative_to(sent).as_posix(): p.read_bytes() for p in (sent / "runs").rglob("*") if p.is_file()}
    assert [path for path in sorted(files) if "interventions" in path] == [
        "runs/good/interventions/patch.json", "runs/good/interventions/patch.safetensors",
    ]  # fmt: skip
    hub.add(REPO, files)
    assert "good: brought" in pulled(cli, tmp_path / "runs")[1]
    (back,) = read_interventions(tmp_path / "runs" / "good", run)
    assert back.info == result.info
    code, out, _ = pulled(cli, tmp_path / "runs")
    assert code == 0 and "good: is here already" in out and "LEFT OUT" not in out


def test_interventions_on_another_run_are_left_out(hub, cli, good, tmp_path):
    write_interventions(good, made_result(), {})  # of a run whose capture has another hash
    folder = good / "interventions"
    files = {f"runs/good/interventions/{path.name}": path.read_bytes() for path in folder.iterdir()}
    hub.add(REPO, {**files_of(good, "good"), **files})
    code, out, _ = pulled(cli, tmp_path / "runs")
    assert code == 0 and "good: LEFT OUT: its intervention patch" in out and "it is of another run" in out
    assert not (tmp_path / "runs" / "good" / "interventions").exists()


# --- for a page --------------------------------------------------------------------------------------------


def look(published):
    """Look once, and return everything that was told."""
    told = []
    published.look(told.append)
    return told


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_page_gets_the_published_runs_and_has_them_when_the_hub_is_down(hub, good):
    bad = with_facts(files_of(good, "bad"), "bad", lambda facts: facts.update(schema=99))
    hub.add(REPO, {**files_of(good, "good"), **bad})
    published = Published(REPO)
    told = look(published)
    assert [news.arriving for news in told] == [2, 1, 0, 0] and names(published.folder) == ["good"]
    assert list(told[-1].refused) == ["bad"]
    assert told[-1].refused["bad"].startswith(f"The run “bad”, published in {REPO}, is not shown: ")
    hub.fail(".", 503)
    with pytest.raises(HubTroubleError, match="has trouble of its own"):
        look(Published(REPO))
    assert load_run(published.folder / "good")


def test_a_page_fetches_nothing_twice_computes_nothing_and_forgets_what_was_withdrawn(hub, good):
    repo = hub.add(REPO, {**files_of(good, "good"), **files_of(good, "gone")})
    published = Published(REPO)
    assert look(published)[-1].refused == {} and names(published.folder) == ["gone", "good"]
    assert names(published.folder / "good") == ["capture.safetensors", "run.json"]
    fetched, asked = hub.sent("GET .*/resolve/"), len(hub.log)
    assert look(published) == [] and len(hub.log) == asked + 1  # the head alone was asked for
    repo.commit("main", files_of(good, "good"))
    assert look(published)[-1].refused == {} and hub.sent("GET .*/resolve/") == fetched > 0
    assert names(published.folder) == ["good"]
    repo.commit("main", with_facts(files_of(good, "good"), "good", lambda facts: facts.update(schema=99)))
    notice = look(published)[-1].refused["good"]
    assert "is not shown as it is now, but as it was: good: has schema 99" in notice
    assert str(published.folder) not in notice and load_run(published.folder / "good")


def test_a_look_that_broke_off_is_taken_up_by_the_next(hub, good):
    hub.add(REPO, {**files_of(good, "one"), **files_of(good, "two")})
    published, told = Published(REPO), []
    hub.fail("resolve/.*/two/capture", 503)
    with pytest.raises(HubTroubleError):
        published.look(told.append)
    assert names(published.folder) == ["one"] and told[-1].arriving == 1
    hub.faults.clear()
    assert look(published)[-1].arriving == 0 and names(published.folder) == ["one", "two"]


def test_a_full_size_run_comes_to_a_page(hub):
    hub.add(REPO, files_of(ROOT / "precomputed" / "untrained-klein-4b", "full", ("run.json", "capture.safetensors")))
    published = Published(REPO)
    assert look(published)[-1].refused == {} and load_run(published.folder / "full").info.weights == "untrained"


def test_two_repositories_never_share_a_folder(hub, good):
    first, second = Published("eve/a-b"), Published("eve-a/b")
    for published in (first, second):
        hub.add(published.repo_id, files_of(good, published.repo_id.replace("/", ".")))
        look(published)
    assert first.folder != second.folder and names(first.folder) == ["eve.a-b"]


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
    assert "ZeroDivisionError" in look(Published(REPO))[-1].refused["good"]


def test_a_full_disk_is_not_the_runs_fault(hub, cli, good, tmp_path, monkeypatch):
    hub.add(REPO, files_of(good, "good"))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("plantain.runs.io._write_files", full)
    code, out, err = pulled(cli, tmp_path / "runs")
    assert (code, out) == (2, "") and "No space left on device" in err and not (tmp_path / "runs" / "good").exists()


@pytest.mark.parametrize("repo_id", ["no slash", "nobody/nothing", "../../x"])
def test_a_repository_that_is_none_is_said(hub, repo_id, tmp_path):
    published = Published(repo_id)
    with pytest.raises(HubError, match=repo_id.replace(".", r"\.")):
        look(published)
    assert published.folder.parent == tmp_path / "home" / "plantain"


def test_the_page_shows_published_runs_beside_the_shipped_ones_and_no_run_twice(hub, good, made_run, tmp_path):
    shipped = tmp_path / "shipped"
    save_run(made_run(5), shipped / "same")
    save_run(made_run(6), shipped / "good")
    hub.add(REPO, {**files_of(shipped / "same", "same"), **files_of(good, "good"), **files_of(good, "more")})
    published = Published(REPO)
    look(published)
    store = RunStore(shipped, {REPO: published.folder})
    assert list(store.saved) == ["good", "same", f"good ({REPO})", f"more ({REPO})"] and store.problems == {}
    assert store.saved[f"good ({REPO})"].capture_sha256 == load_run(good).capture_sha256


def test_an_empty_repository_has_nothing_and_that_is_no_fault(hub):
    hub.add(REPO)
    published = Published(REPO)
    assert [(news.arriving, news.refused) for news in look(published)] == [(0, {}), (0, {})]


def test_a_run_published_by_an_owner_with_other_weights_keeps_its_label(hub, cli, made_run, tmp_path):
    run = made_run()
    local = save_run(dataclasses.replace(run, info=dataclasses.replace(run.info, weights="untrained")), tmp_path / "c")
    hub.add(REPO, files_of(local, "control"))
    pulled(cli, tmp_path / "runs")
    assert load_run(tmp_path / "runs" / "control").info.weights == "untrained"
