"""A finished study goes to a hub on loopback: a section a stage, all in one pull request, and nothing twice."""

import dataclasses
import re

import numpy as np
import pytest
from interventions_made import result_of
from loopback_hub import READER
from made import made_differences, made_run, with_directions, with_times
from offers import CARD, COMMIT, REPO, outside
from pictured import settings_of, webp

from plantain.findings.across_runs.study import plan_study
from plantain.findings.interventions import REGISTERED, plan
from plantain.hub.card import section_names
from plantain.prompts.sets import load_prompt_set, shipped_sets
from plantain.runs.attached.interventions import Interventions, write_interventions
from plantain.runs.capture import SumsOfSquares
from plantain.runs.info import PairRecord
from plantain.runs.io import load_run, save_run

MODEL = "black-forest-labs/FLUX.2-klein-4B"
SECTIONS = {f"FLUX.2-klein-4B-{stage}" for stage in ("card", "seeds", "times", "controls")}


def run_of(part, seed):
    """Make up the run of a part of a study by the distilled model."""
    prompts, c = part.prompt_set, part.conditions
    run = made_run(made_differences(len(prompts.pairs), seed), model=MODEL, n_permutations=20)
    sums = SumsOfSquares.average([run.sums])  # in the files' precision
    facts = {"prompt_set": prompts.name, "title": prompts.title, "prompts_sha256": prompts.sha256}
    facts |= {"positive": prompts.positive, "negative": prompts.negative, "size": c.size, "seeds": c.seeds}
    made = dataclasses.replace(
        run,
        info=dataclasses.replace(run.info, **facts),
        pairs=tuple(PairRecord(pair, 3, 1) for pair in prompts.pairs),
        sums=sums,
        repeats=(sums,) * c.n_repeats if c.n_repeats > 1 else (),
    )
    return with_times(made, part.times) if part.times[1:] else made


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of a study that is done, with three prompt sets."""
    out = tmp_path_factory.mktemp("done") / "study"
    for stage in plan_study():
        for seed, part in enumerate(stage.parts):
            if stage.name != "controls" or part.name.rpartition("/")[2] in FEW:
                save_run(run_of(part, seed), out / part.name)
    return out


FEW = ("moral_valence", "moral_valence_replication", "tempo")


@pytest.fixture
def repo(hub, monkeypatch):
    few = {sha: found for sha, found in shipped_sets().items() if found[0].stem in FEW}
    monkeypatch.setattr("plantain.findings.across_runs.study.shipped_sets", lambda words: few)
    return hub.add(REPO, {"README.md": CARD})


@pytest.fixture
def publish(cli, folder):
    def call(*more):
        return cli("reproduce", "--model", MODEL, "--out", folder, "--repo-id", REPO, *more)

    return call


@pytest.mark.robust
def test_every_stage_is_a_section_of_its_own_in_one_pull_request(hub, repo, publish, folder, cli, tmp_path):
    code, said, err = publish()
    assert code == 0 and "plantain:" not in err and "All of it is done" in said and "the model is not loaded" in said
    assert "a pull request was opened" in said and said.count("your open pull request was updated") == 3
    assert len(repo.requests) == 1 and hub.sent(COMMIT) == 4 and repo.head()["README.md"] == CARD
    assert repo.requests[0]["title"] == "plantain: the whole study of FLUX.2-klein-4B"
    files = repo.head("refs/pr/1")
    card = files["README.md"].decode()
    assert set(section_names(card)) == SECTIONS and len(section_names(card)) == 4
    assert outside(files["README.md"].replace(MODEL.encode(), b"owner/model")) == outside(CARD)
    names = ["card", "seeds", "times", *(f"controls/{name}" for name in FEW)]
    for part in names:
        for name in ("run.json", "capture.safetensors", "units.csv"):
            assert files[f"runs/FLUX.2-klein-4B-{part.replace('/', '-')}/{name}"] == (folder / part / name).read_bytes()
    assert "| Figure | Published | Obtained | Difference |" in card and "Other prompts of ours" in card
    assert "**Atlas of 3 axes: 24 slices" in card and "| tempo | control |" in card
    assert "atlas published/FLUX.2-klein-4B-controls-\\*" in card or "published/FLUX.2-klein-4B-controls-*" in card
    # The card's figures are those of the base model, and nothing else is called so.
    base = card.count("klein-base-4B")
    assert base == card.count("figures are of black-forest-labs/FLUX.2-klein-base-4B") + card.count(
        "weights of black-forest-labs/FLUX.2-klein-base-4B"
    )
    code, said, _ = cli("pull", "--repo-id", REPO, "--revision", "refs/pr/1", "--into", tmp_path / "pulled")
    assert code == 0 and said.count("brought") == len(names)
    assert cli("atlas", *sorted((tmp_path / "pulled").glob("*-controls-*")))[0] == 0

    (kept,) = (folder / "controls").glob(".atlas-*.json")
    kept.write_text(kept.read_text().replace('"control"', '"sibling"'))  # what lies in a folder may be anybody's
    code, said, err = publish()
    assert (
        code == 0
        and "plantain:" not in err
        and said.count("nothing changed, so nothing was sent") == 4
        and hub.sent(COMMIT) == 4
    )
    kept.unlink()
    repo.commit("main", files)  # merged
    repo.requests[0]["status"] = "merged"
    assert publish()[1].count("nothing changed, so nothing was sent") == 4 and hub.sent(COMMIT) == 4


@pytest.mark.robust
def test_a_stage_that_cannot_be_published_stops_no_other_and_goes_with_the_next_start(hub, repo, publish):
    hub.fail(COMMIT, 503, times=1)
    code, said, err = publish()
    assert code == 1 and "made, but not published: card. Repeat the command, which sends them." in err
    assert "warning: card is not published" in err and said.count("Look at it") == 4
    assert set(section_names(repo.head("refs/pr/1")["README.md"].decode())) == SECTIONS - {"FLUX.2-klein-4B-card"}
    code, said, err = publish()
    assert code == 0 and "plantain:" not in err and said.count("nothing changed") == 3 and len(repo.requests) == 1
    assert set(section_names(repo.head("refs/pr/1")["README.md"].decode())) == SECTIONS


def give_pictures(folder):
    """Give a run every picture that a study draws, as `draw` leaves them."""
    info, drawn = load_run(folder).info, []
    (folder / "images").mkdir()
    for kind in ("drawn", "expected"):
        contents = {
            (number, record.pair.id, side): webp(number)
            for number, record in enumerate(load_run(folder).pairs, 1)
            for side in ("positive", "negative")
        }
        settings = settings_of(info, contents, kind)
        for picture, content in zip(settings.pictures, contents.values(), strict=True):
            (folder / "images" / picture.file).write_bytes(content)
        drawn += settings.pictures
    settings = dataclasses.replace(settings, size=512, steps=24, guidance=4.0, edits=(), pictures=tuple(drawn))
    (folder / "images" / "settings.json").write_bytes(settings.packed())


def give_cause(folder):
    """Give a run a result of the registered causal test."""
    run = load_run(folder)
    found, asked = result_of(run), plan(run, REGISTERED).asked
    rng = np.random.default_rng(1)
    arrays = {name: rng.uniform(0.1, 0.5, shape).astype(np.float32) for name, shape in asked.shapes().items()}
    found = Interventions(dataclasses.replace(found.info, asked=asked), arrays)
    write_interventions(folder, found, {})


@pytest.mark.robust
def test_pictures_and_cause_go_into_the_cards_section_as_they_are_made(hub, repo, cli, tmp_path):
    out = tmp_path / "study"
    card = out / "card"
    save_run(with_directions(run_of(plan_study(("card",))[0].parts[0], 0)), card)

    def publish(stages):
        code, said, err = cli("reproduce", "--model", MODEL, "--out", out, "--repo-id", REPO, "--stages", stages)
        assert code == 0 and "plantain:" not in err, err
        return said

    name = "FLUX.2-klein-4B-card"
    assert "Left out" not in publish("card")  # all of it is done, and nothing is priced
    files = repo.head("refs/pr/1")
    assert "Do these heads matter" not in files["README.md"].decode() and not any("images" in path for path in files)
    assert "Do these heads matter" not in (out / "card.md").read_text(encoding="utf-8")
    give_pictures(card)
    give_cause(card)
    said = publish("pictures,cause")
    assert said.count("your open pull request was updated") == 1 and said.count("nothing changed") == 2
    assert "25 drawn" not in said and "50 drawn (512 px, 24 steps, guidance 4), 50 as expected at sigma 1" in said
    files = repo.head("refs/pr/1")
    text = files["README.md"].decode()
    assert section_names(text) == [name]
    finding = re.search(r"\*\*Do these heads matter more than others\?\*\* (.*?; the smallest p)", text)[1]
    assert "the 10 heads that the other categories choose restore" in finding and "p = " in finding
    assert finding in said.replace("\n", " ") and finding in (out / "card.md").read_text(encoding="utf-8")
    assert f"(figures/plantain-{name}-cause.png)" in text and f"figures/plantain-{name}-cause.png" in files
    shown = re.findall(rf"runs/{name}/images/\S+?\.webp", text)
    assert len(shown) == 4 and set(shown) <= set(files)  # both sides of two pairs
    for path in card.rglob("*"):
        if path.parent.name in ("images", "interventions"):
            assert files[f"runs/{name}/{path.relative_to(card).as_posix()}"] == path.read_bytes()
    assert publish("card").count("nothing changed") == 1  # the card alone keeps what the others made
    assert hub.sent(COMMIT) == 2


@pytest.mark.robust
def test_a_later_stage_of_the_cards_section_makes_up_for_one_that_was_not_sent(hub, repo, cli, tmp_path):
    card = tmp_path / "study" / "card"
    save_run(with_directions(run_of(plan_study(("card",))[0].parts[0], 0)), card)
    give_cause(card)
    hub.fail(COMMIT, 503, times=1)
    words = ("reproduce", "--model", MODEL, "--out", tmp_path / "study", "--repo-id", REPO, "--stages", "cause")
    code, _, err = cli(*words)
    assert code == 0 and "warning: card is not published" in err and "made, but not published" not in err
    assert "Do these heads matter" in repo.head("refs/pr/1")["README.md"].decode()


@pytest.mark.robust
def test_what_the_hub_would_refuse_is_told_before_anything_is_made(hub, repo, publish, cli, monkeypatch):
    hub.fail("whoami", 401)
    code, said, err = publish()
    assert (code, said) == (2, "") and "does not accept your token" in err
    hub.faults.clear()
    monkeypatch.setenv("HF_TOKEN", READER)
    code, _, err = publish()
    assert (
        code == 2
        and "made, but not published: card, seeds, times, controls" in err
        and "your token may not do this" in err
    )


def test_a_repository_that_is_created_gets_direct_commits(hub, repo, folder, cli):
    words = ("reproduce", "--model", MODEL, "--out", folder, "--repo-id", "bob/new", "--stages", "card,seeds")
    assert "there is no such repository" in cli(*words)[2]
    code, said, err = cli(*words, "--create", "--private")
    assert code == 0 and "plantain:" not in err and said.count("committed") == 2
    new = hub.repos["models", "bob/new"]
    assert new.private and new.requests == []
    assert set(section_names(new.head()["README.md"].decode())) == SECTIONS - {
        "FLUX.2-klein-4B-times",
        "FLUX.2-klein-4B-controls",
    }


def test_the_cards_own_prompts_are_called_so_only_by_who_holds_them(repo, cli, tmp_path, moral_set):
    head = 'name = "original"\ntitle = "The card\'s"\npositive = "helping"\nnegative = "ignoring"\n'
    pairs = [
        f'[[pair]]\nid = "{i}"\ncategory = "c"\npositive = "Ana helps {i}."\nnegative = "Ana waits {i}."\n'
        for i in range(25)
    ]
    (tmp_path / "original.toml").write_text(head + "".join(pairs), encoding="utf-8")
    words = ["--model", MODEL, "--out", tmp_path / "study", "--prompts", tmp_path / "original.toml", "--stages", "card"]
    part = plan_study(("card",), load_prompt_set(tmp_path / "original.toml"))[0].parts[0]
    save_run(run_of(part, 0), tmp_path / "study" / "card")
    code, said, err = cli("reproduce", *words)
    assert code == 0, err
    assert "Other prompts, as far as is known" in said
    code, said, _ = cli("reproduce", *words, "--same-prompts", "--repo-id", REPO)
    assert code == 0 and "- Same prompts: whoever ran this says that they are the card's own." in said
    assert "Same prompts: whoever ran this says" in repo.head("refs/pr/1")["README.md"].decode()
