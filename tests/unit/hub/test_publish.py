"""A run goes to a hub on loopback: once, whole, on the newest card, whatever goes wrong on the way."""

import hashlib
import json
import re
import shutil

import pytest
import yaml
from interventions_made import result_of
from loopback_hub import WRITER
from made import with_directions
from offers import (
    CARD,
    COMMIT,
    REPO,
    SHIPPED,
    _offered,
    make_offers_once,
    offer_of,
    offered,
    outside,
    published,
    with_weights,
)
from pictured import draw_into

from plantain.hub.card import section_names
from plantain.hub.publish import find_control, load_candidate, make_offer
from plantain.runs.attached import attached_to
from plantain.runs.attached.interventions import write_interventions
from plantain.runs.io import RunError, load_run, save_run


@pytest.fixture
def repo(hub):
    return hub.add(REPO, {"README.md": CARD, "other.bin": b"\x00\x01"})


@pytest.fixture
def cli(cli, monkeypatch):
    make_offers_once(monkeypatch)
    return cli


# --- what is sent ------------------------------------------------------------------------------------------


def test_a_first_publish_is_one_commit_in_a_pull_request_on_the_cards_revision(hub, repo, local_run, cli):
    code, out, err = published(cli, local_run)
    assert (code, err) == (0, "") and "pull request was opened" in out and f"{hub.url}/{REPO}/discussions/1" in out
    assert hub.sent(COMMIT) == 1 and len(repo.requests) == 1 and repo.head() == repo.commits[repo.refs["main"]]
    assert repo.head()["README.md"] == CARD  # main waits for the merge
    files = repo.head("refs/pr/1")
    card = files["README.md"]
    assert card.replace(b"\r\n", b"").count(b"\n") == 0 and outside(card) == outside(CARD)
    front = yaml.safe_load(card.split(b"---")[1])
    assert list(front) == ["license", "tags", "base_model"] and front["tags"] == ["x"]
    text = card.decode()
    assert text.index("old") < text.index("<!-- plantain:begin klein -->") < text.index("## Limitations")
    assert f"pull --repo-id {REPO} --revision refs/pr/1" in out
    for name in ("run.json", "capture.safetensors", "units.csv"):
        assert files[f"runs/klein/{name}"] == (local_run / name).read_bytes()
    assert files["figures/plantain-klein.png"].startswith(b"\x89PNG") and "figures/plantain-klein.png" in text
    assert set(files) == {*repo.head(), "figures/plantain-klein.png", *(f"runs/klein/{n}" for n in
                          ("run.json", "capture.safetensors", "units.csv"))}  # fmt: skip
    for line, token in hub.tokens:  # none where the bytes of a large file go, to an address that is signed
        expected = {"PUT /lfs/": "", "POST /api/models/": WRITER, "GET /api/models/": WRITER}
        assert all(token == whose for start, whose in expected.items() if line.startswith(start)), line


def test_directions_go_along_and_a_publish_of_the_same_sends_nothing(hub, repo, local_run, cli):
    save_run(with_directions(load_run(local_run)), local_run, overwrite=True)
    assert published(cli, local_run, "--no-pr")[0] == 0
    sent = repo.head()["runs/klein/directions.safetensors"]
    assert sent == (local_run / "directions.safetensors").read_bytes()
    assert json.loads(repo.head()["runs/klein/run.json"])["directions_sha256"] == hashlib.sha256(sent).hexdigest()
    assert "nothing changed, so nothing was sent" in published(cli, local_run, "--no-pr")[1]


def test_a_publish_that_changes_nothing_sends_nothing(hub, repo, local_run, cli):
    published(cli, local_run)
    _offered.cache_clear()  # computed anew, it is the same to the bit
    code, out, _ = published(cli, local_run)
    assert code == 0 and "nothing changed, so nothing was sent" in out and "/discussions/1" in out
    assert hub.sent(COMMIT) == 1
    repo.commit("main", repo.head("refs/pr/1"))  # merged
    repo.requests[0]["status"] = "merged"
    code, out, _ = published(cli, local_run)
    assert code == 0 and "nothing changed" in out and hub.sent(COMMIT) == 1


def test_another_publish_updates_the_open_pull_request(hub, repo, local_run, cli, made_run):
    published(cli, local_run)
    save_run(with_weights(made_run(1)), local_run, overwrite=True)
    code, out, _ = published(cli, local_run)
    assert code == 0 and "your open pull request was updated" in out and "/discussions/1" in out
    assert len(repo.requests) == 1 and hub.sent(COMMIT) == 2 and repo.head()["README.md"] == CARD
    files = repo.head("refs/pr/1")
    assert files["runs/klein/run.json"] == (local_run / "run.json").read_bytes()
    assert section_names(files["README.md"].decode()) == ["klein"] and outside(files["README.md"]) == outside(CARD)


def test_somebody_elses_pull_request_of_the_same_title_is_not_touched(repo, local_run, cli):
    published(cli, local_run)
    repo.requests[0]["author"]["name"] = "alice"
    save = dict(repo.head("refs/pr/1"))
    code, out, _ = published(cli, local_run)
    assert code == 0 and "/discussions/2" in out and repo.head("refs/pr/1") == save


def test_a_direct_commit_goes_onto_main_and_needs_no_right_to_pull_requests(hub, repo, local_run, cli):
    published(cli, local_run)
    hub.fail("discussions", 403)
    code, out, _ = published(cli, local_run, "--no-pr")
    assert code == 0 and "committed" in out and "pull request" not in out
    assert section_names(repo.head()["README.md"].decode()) == ["klein"] and len(repo.requests) == 1
    hub.faults.clear()
    for how in ([], ["--no-pr"]):  # main has it all: nothing is left for the request
        code, out, _ = published(cli, local_run, *how)
        assert code == 0 and "nothing changed" in out and hub.sent(COMMIT) == 2
        assert "Your pull request 1 with this run is still open: close it." in out


def test_a_card_that_moved_on_under_an_open_pull_request_is_told(hub, repo, local_run, cli, made_run):
    published(cli, local_run)
    repo.commit("main", {**repo.head(), "README.md": b"# rewritten\n"})
    save_run(with_weights(made_run(1)), local_run, overwrite=True)
    code, out, _ = published(cli, local_run)
    assert code == 0 and "your open pull request was updated" in out
    assert "The card changed since pull request 1 was opened: merge or close it soon." in out
    assert outside(repo.head("refs/pr/1")["README.md"]) == outside(CARD)  # nothing in the request was overwritten


def test_files_that_the_repository_ignores_are_named_and_come_once_it_does_not(hub, repo, local_run, cli):
    repo.ignored = {"figures/plantain-klein.png", "runs/klein/run.json"}
    code, _, err = published(cli, local_run)
    assert code == 2 and "its .gitignore keeps runs/klein/run.json, figures/plantain-klein.png out" in err
    assert repo.head()["README.md"] == CARD and "/discussions/1" in err  # it may be looked at, main waits for the merge
    repo.ignored = set()
    code, out, _ = published(cli, local_run)
    assert code == 0 and "your open pull request was updated" in out and "runs/klein/run.json" in repo.head("refs/pr/1")


def test_a_front_matter_that_cannot_be_read_is_left_and_told(hub, local_run, cli):
    repo = hub.add(REPO, {"README.md": b"---\na: [\n---\n# T\n"})
    code, out, _ = published(cli, local_run, "--no-pr")
    assert code == 0 and "front matter cannot be read, so that nothing was added" in out
    assert repo.head()["README.md"].startswith(b"---\na: [\n---\n# T\n")


def test_a_second_run_stands_beside_the_first(repo, local_run, cli, tmp_path):
    published(cli, local_run, "--no-pr")
    shutil.copytree(local_run, tmp_path / "second")
    code, out, _ = published(cli, tmp_path / "second", "--no-pr")
    assert code == 0 and "also has sections of: klein" in out
    assert section_names(repo.head()["README.md"].decode()) == ["klein", "second"]
    assert outside(repo.head()["README.md"]) == outside(CARD)


def test_a_repository_without_a_card_gets_a_whole_one(hub, local_run, cli):
    repo = hub.add(REPO)
    assert published(cli, local_run)[0] == 0
    card = repo.head("refs/pr/1")["README.md"].decode()
    front = yaml.safe_load(card.split("---")[1])
    assert front["base_model"] == "owner/model" and "license" not in front and "\n# moral-plantain\n" in card


def test_a_repository_that_does_not_exist_is_created_on_request_only(hub, local_run, cli):
    code, _, err = published(cli, local_run)
    assert code == 2 and err.count("\n") == 1 and "there is no such repository" in err and "--create" in err
    assert hub.repos == {}
    code, out, _ = published(cli, local_run, "--create")
    assert code == 0 and "committed" in out  # nothing is there yet that could be reviewed
    assert "runs/klein/run.json" in hub.repos["models", REPO].head() and hub.repos["models", REPO].requests == []
    assert published(cli, local_run, "--create")[1].count("nothing changed") == 1


@pytest.mark.parametrize("name", ["klein", pytest.param("untrained-klein-4b", marks=pytest.mark.robust)])
def test_publish_pull_and_report_give_the_same_numbers_to_the_bit(hub, repo, cli, tmp_path, saved_run, name):
    source, there = tmp_path / "published" / name, tmp_path / "runs" / name
    given = saved_run if name == saved_run.name else SHIPPED
    shutil.copytree(given, source, ignore=shutil.ignore_patterns("statistics"))  # both sides compute theirs
    assert published(cli, source, "--no-pr")[0] == 0
    code, out, _ = cli("pull", "--repo-id", REPO, "--into", there.parent)
    assert code == 0 and f"{name}: brought" in out
    back, mine = load_run(there), load_run(source)
    assert (back.info, back.pairs, back.capture_sha256) == (mine.info, mine.pairs, mine.capture_sha256)
    sent = json.loads(repo.head()[f"runs/{name}/run.json"])["summaries"]  # computed where it was published
    for summary in sent:
        report = cli("report", there, "--units", summary["units"], "--json")[1]
        told = json.loads(report)
        assert told["held_out"]["n"] == summary["n_pairs"] and len(told["pairs"]) == summary["n_pairs"]
        assert {key: told[key] for key in summary} == summary and len(report) > 1000
    assert cli("report", source, "--units", "heads", "--json") == cli("report", there, "--units", "heads", "--json")
    # What is there for people is made anew from the raw material, and comes out the same.
    assert (there / "units.csv").read_bytes() == (source / "units.csv").read_bytes()


# --- what a card says --------------------------------------------------------------------------------------


@pytest.mark.robust
def test_the_section_has_the_cards_table_the_control_and_the_provenance():
    offer = offered(SHIPPED, REPO)
    assert offer.section.startswith("## Control of plantain: random weights in Klein's architecture, not FLUX.2 Klein;")
    assert "The weights are random" in offer.section and "base_model" not in offer.fields
    assert r"| \|t\| &gt; 3 | 82 (0.5%) | 0.8× null p99 (106) |" in offer.section
    assert "make-model untrained-klein-4b" in offer.section and offer.section.count("weights are random") == 1
    assert "The published card does not state its size" in offer.section
    assert "The true heads: Corrected for 600 units: 0 have a family-wise p" in offer.section
    assert "\n\n**14 of 25 held-out pairs are told right, " in offer.section
    assert "82 of 16,320 slices exceed" in offer.section and "no more than chance gives" in offer.section
    assert "“The published card” is phanerozoic/moral-plantain." in offer.section
    assert "The card phanerozoic/moral-plantain published 3,221 (19.7%)" in offer.section


def test_words_of_a_run_are_text_on_a_card(made_run, tmp_path):
    nasty = "a | b <img src=x> **c** `d`\n```\n<!-- plantain:end klein -->\n# e @you https://evil.example \u202edlrow"
    folder = save_run(with_weights(made_run(), title=nasty, positive="*p*", device="[x](y)"), tmp_path / "klein")
    section = offer_of(folder, REPO).section
    assert "<img" not in section and "<!--" not in section and "\n# e" not in section and "**c**" not in section
    assert r"\[x\](y)" in section and section.count("\n```") == 2
    assert "@you" not in section and "://evil" not in section and "\u202e" not in section


def test_the_control_on_the_same_prompts_and_architecture_stands_beside(cli, made_run, tmp_path):
    folder = save_run(with_weights(made_run()), tmp_path / "klein")
    assert "No untrained control was run on these prompts" in offer_of(folder, REPO).section
    control = save_run(with_weights(made_run(3), "untrained"), tmp_path / "control")
    section = offer_of(folder, REPO, control).section
    assert "| Metric | Value | Against its null | Untrained control | Prompt embedding |" in section
    assert "The untrained control: " in section and "differs in: seed 0 / 3" in section
    others = {
        "its prompts are others": save_run(with_weights(made_run(3), "untrained", title="T"), tmp_path / "a"),
        "its model has another shape": SHIPPED,
        "is no untrained control": folder,
    }
    for words, other in others.items():
        with pytest.raises(RunError, match=words):
            offer_of(folder, REPO, other)
    with pytest.raises(RunError, match="this run is a control itself"):
        offer_of(control, REPO, control)


def test_the_shipped_control_stands_beside_a_run_of_kleins_shape_on_the_same_prompts(tmp_path):
    shipped = load_run(SHIPPED)
    like = find_control(with_weights(shipped), None)
    assert like.info.weights == "untrained" and find_control(with_weights(shipped, title="Other"), None) is None
    assert find_control(shipped, None) is None


def test_of_the_shipped_controls_the_one_of_the_runs_size_stands_beside_it_else_the_smaller():
    shipped = load_run(SHIPPED)
    found = {size: find_control(with_weights(shipped, size=size)).info.size for size in (256, 512, 1024)}
    assert found == {256: 256, 512: 256, 1024: 1024}


def test_a_copy_of_plantain_without_the_shipped_controls_has_none(monkeypatch, tmp_path):
    monkeypatch.setattr("plantain.hub.publish.SHIPPED_CONTROLS", (tmp_path / "gone",))
    assert find_control(with_weights(load_run(SHIPPED))) is None


def test_what_was_kept_beside_a_run_is_not_believed(saved_run, local_run):
    expected = offer_of(saved_run, REPO)
    (local_run / "units.csv").write_text("a lie\n")
    for path in (local_run / "statistics").iterdir():
        content = path.read_bytes().replace(b'n_fwer_05\\": 0', b'n_fwer_05\\": 9')
        path.write_bytes(content)
    assert b'n_fwer_05\\": 9' in content
    assert offer_of(local_run, REPO) == expected


@pytest.mark.parametrize(
    ("weights", "name", "words"),
    [
        ("stand-in", "klein", "is a run of the stand-in"),
        ("pretrained", "two words", "needs a name"),
        ("pretrained", "a--b", "needs a name"),
        ("pretrained", "-a", "needs a name"),
        ("pretrained", "x" * 81, "needs a name"),
    ],
)
def test_what_must_not_stand_on_a_card_is_refused_before_anything_is_asked(
    hub, repo, cli, made_run, tmp_path, weights, name, words
):
    folder = save_run(with_weights(made_run(), weights), tmp_path / name)
    code, _, err = cli("publish", folder, "--repo-id", REPO)
    assert code == 2 and words in err and hub.log == []


def test_a_run_that_is_no_control_is_refused_as_one(hub, repo, cli, local_run):
    code, _, err = published(cli, local_run, "--control", local_run)
    assert code == 2 and "is no untrained control" in err and hub.log == []


# --- without network ---------------------------------------------------------------------------------------


def test_a_dry_run_writes_everything_with_a_diff_and_asks_nobody(hub, local_run, cli, tmp_path):
    (tmp_path / "card.md").write_bytes(CARD)
    code, out, _ = published(cli, local_run, "--dry-run", "--card", tmp_path / "card.md")
    written = local_run.with_name("klein.publish")
    assert code == 0 and hub.log == [] and "Nothing was sent" in out and "+base_model: owner/model" in out
    assert outside((written / "README.md").read_bytes()) == outside(CARD)
    removed = [line for line in (written / "README.diff").read_text().splitlines() if line.startswith("-")]
    assert removed == ["--- README.md (before)"]  # nothing is taken away
    assert (written / "runs/klein/units.csv").read_bytes() == (local_run / "units.csv").read_bytes()
    repo = hub.add(REPO, {"README.md": CARD})
    published(cli, local_run)
    sent = repo.head("refs/pr/1")
    assert {p.relative_to(written).as_posix(): p.read_bytes() for p in written.rglob("*") if p.is_file()} == {
        **{path: content for path, content in sent.items() if path != ".gitattributes"},
        "README.diff": (written / "README.diff").read_bytes(),
    }
    code, out, _ = published(cli, local_run, "--dry-run")
    assert code == 0 and "no card (give a copy of the card with --card FILE)" in out
    (written / "mine.txt").write_text("x")
    assert published(cli, local_run, "--dry-run")[0] == 2 and (written / "mine.txt").exists()


@pytest.mark.parametrize(
    ("card", "remark"),
    [
        (b"\xef\xbb\xbf---\nlicense: mit\n---\n# A card\n", "front matter cannot be read"),
        (b"--- \nlicense: mit\n---\n# A card\n", "front matter cannot be read"),
        (2 * b"<!-- plantain:begin klein -->\n<!-- plantain:end klein -->\n", "has 2 sections of klein"),
        (b"<!-- plantain:begin other -->\n<!-- plantain:end other -->\n", "also has sections of: other"),
    ],
)
def test_a_dry_run_tells_what_a_publish_would_remark(hub, local_run, cli, tmp_path, card, remark):
    (tmp_path / "card.md").write_bytes(card)
    _, dry, _ = published(cli, local_run, "--dry-run", "--card", tmp_path / "card.md")
    hub.add(REPO, {"README.md": card})
    _, sent, _ = published(cli, local_run)
    notes = [[line for line in out.splitlines() if line.startswith("NOTE: ")] for out in (dry, sent)]
    assert notes[0] == notes[1] and remark in notes[0][0]


def test_a_card_is_for_dry_runs(hub, local_run, cli, tmp_path):
    code, _, err = published(cli, local_run, "--card", tmp_path / "x")
    assert code == 2 and "reads the card from the Hub" in err and hub.log == []
    code, _, err = published(cli, local_run, "--dry-run", "--card", tmp_path / "x")
    assert code == 2 and "cannot be read" in err


def test_a_card_says_whether_heads_matter_and_shows_two_pairs(made_run, tmp_path):
    run = with_weights(made_run(), title="<b>sides</b>")
    folder = save_run(run, tmp_path / "klein")
    draw_into(folder, n_pairs=3)
    found = result_of(run, 199, chosen=0.9)
    write_interventions(folder, found, {})
    name, again, control = load_candidate(folder)
    offer = make_offer(name, again, control, REPO, attached=attached_to(load_run(folder)))
    section = offer.section
    assert (
        "**Do these heads matter more than others?** Yes: the 2 heads that the other categories choose restore 0.90 of"
        in section
    )
    assert "](figures/plantain-klein-cause.png)" in section and section.count("Distance is not meaning") == 1
    assert offer.files["figures/plantain-klein-cause.png"].startswith(b"\x89PNG")
    pictures = re.findall(r"!\[([^\]]*)\]\(runs/klein/(images/[^)]+)\)<br>\1", section)
    assert len(pictures) == 4 and {text for text, _ in pictures} == {
        getattr(record.pair, side) for record in run.pairs[:2] for side in ("positive", "negative")
    }
    for _, path in pictures:
        assert offer.files[f"runs/klein/{path}"] == (folder / path).read_bytes()
    assert "runs/klein/interventions/patch.json" in offer.files
    bare = offer_of(save_run(run, tmp_path / "bare"), REPO).section
    assert "Do these heads matter" not in bare and "<br>" not in bare
