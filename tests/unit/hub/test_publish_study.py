"""A finished study goes to a hub on loopback: a section a stage, all in one pull request, and nothing twice."""

import dataclasses

import pytest
from loopback_hub import READER
from made import made_differences, made_run
from offers import CARD, COMMIT, REPO, outside

from plantain.findings.study import plan_study
from plantain.hub.card import section_names
from plantain.prompts.sets import load_prompt_set, shipped_sets
from plantain.runs.capture import SumsOfSquares
from plantain.runs.info import PairRecord
from plantain.runs.io import save_run

MODEL = "black-forest-labs/FLUX.2-klein-4B"
SECTIONS = {f"FLUX.2-klein-4B-{stage}" for stage in ("card", "seeds", "controls")}


def run_of(part, seed):
    """Make up the run of a part of a study by the distilled model."""
    prompts, c = part.prompt_set, part.conditions
    run = made_run(made_differences(len(prompts.pairs), seed), model=MODEL, n_permutations=20)
    sums = SumsOfSquares.average([run.sums])  # in the files' precision
    facts = {"prompt_set": prompts.name, "title": prompts.title, "prompts_sha256": prompts.sha256}
    facts |= {"positive": prompts.positive, "negative": prompts.negative, "size": c.size, "seeds": c.seeds}
    return dataclasses.replace(
        run,
        info=dataclasses.replace(run.info, **facts),
        pairs=tuple(PairRecord(pair, 3, 1) for pair in prompts.pairs),
        sums=sums,
        repeats=(sums,) * c.n_repeats if c.n_repeats > 1 else (),
    )


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
    monkeypatch.setattr("plantain.findings.study.shipped_sets", lambda: few)
    return hub.add(REPO, {"README.md": CARD})


@pytest.fixture
def publish(cli, folder):
    def call(*more):
        return cli("reproduce", "--model", MODEL, "--out", folder, "--repo-id", REPO, *more)

    return call


def test_every_stage_is_a_section_of_its_own_in_one_pull_request(hub, repo, publish, folder, cli, tmp_path):
    code, said, err = publish()
    assert code == 0 and "plantain:" not in err and "All of it is done" in said and "the model is not loaded" in said
    assert "a pull request was opened" in said and said.count("your open pull request was updated") == 2
    assert len(repo.requests) == 1 and hub.sent(COMMIT) == 3 and repo.head()["README.md"] == CARD
    assert repo.requests[0]["title"] == "plantain: the whole study of FLUX.2-klein-4B"
    files = repo.head("refs/pr/1")
    card = files["README.md"].decode()
    assert set(section_names(card)) == SECTIONS and len(section_names(card)) == 3
    assert outside(files["README.md"].replace(MODEL.encode(), b"owner/model")) == outside(CARD)
    names = ["card", "seeds", *(f"controls/{name}" for name in FEW)]
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
        and said.count("nothing changed, so nothing was sent") == 3
        and hub.sent(COMMIT) == 3
    )
    kept.unlink()
    repo.commit("main", files)  # merged
    repo.requests[0]["status"] = "merged"
    assert publish()[1].count("nothing changed, so nothing was sent") == 3 and hub.sent(COMMIT) == 3


def test_a_stage_that_cannot_be_published_stops_no_other_and_goes_with_the_next_start(hub, repo, publish):
    hub.fail(COMMIT, 503, times=1)
    code, said, err = publish()
    assert code == 1 and "made, but not published: card. Repeat the command, which sends them." in err
    assert "warning: card is not published" in err and said.count("Look at it") == 3
    assert set(section_names(repo.head("refs/pr/1")["README.md"].decode())) == SECTIONS - {"FLUX.2-klein-4B-card"}
    code, said, err = publish()
    assert code == 0 and "plantain:" not in err and said.count("nothing changed") == 2 and len(repo.requests) == 1
    assert set(section_names(repo.head("refs/pr/1")["README.md"].decode())) == SECTIONS


def test_what_the_hub_would_refuse_is_told_before_anything_is_made(hub, repo, publish, cli, monkeypatch):
    hub.fail("whoami", 401)
    code, said, err = publish()
    assert (code, said) == (2, "") and "does not accept your token" in err
    hub.faults.clear()
    monkeypatch.setenv("HF_TOKEN", READER)
    code, _, err = publish()
    assert code == 2 and "made, but not published: card, seeds, controls" in err and "your token may not do this" in err


def test_a_repository_that_is_created_gets_direct_commits(hub, repo, folder, cli):
    words = ("reproduce", "--model", MODEL, "--out", folder, "--repo-id", "bob/new", "--stages", "card,seeds")
    assert "there is no such repository" in cli(*words)[2]
    code, said, err = cli(*words, "--create", "--private")
    assert code == 0 and "plantain:" not in err and said.count("committed") == 2
    new = hub.repos["models", "bob/new"]
    assert new.private and new.requests == []
    assert set(section_names(new.head()["README.md"].decode())) == SECTIONS - {"FLUX.2-klein-4B-controls"}


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
