"""The Space is made of the working tree: what it needs, nothing else, in one commit."""

import shutil
import subprocess
import sys

import pytest
import yaml
from browser import ROOT
from small_klein import write_small_klein

from plantain.hub.errors import HubError
from plantain.hub.space import ENDINGS, FILES, space_files
from plantain.models.load import KLEIN
from plantain.prompts.sets import shipped_sets

SPACE = "bob/plantain"
COMMIT = "^POST /api/spaces/bob/plantain/commit/"


@pytest.fixture
def tree(tmp_path, monkeypatch, made_run):
    """A small working tree that the command takes for its own."""
    root = tmp_path / "tree"
    for folder in ENDINGS:
        (root / folder).mkdir(parents=True)
    for name in FILES:
        (root / name).write_text(f"{name}\n")
    (root / "plantain" / "a.py").write_text("x = 1\n")
    monkeypatch.setattr("plantain.hub.space.ROOT", root)
    monkeypatch.setattr("plantain.hub.space.space_files", lambda: space_files(root))
    return root


def test_the_space_gets_what_it_needs_and_nothing_that_lies_about(tree):
    for page in ("docs/method.md", "docs/page.png"):
        (tree / page).write_text("for people")
    for stray in (".env", "plantain/.secret.py", "plantain/__pycache__/a.py", "plantain/notes.txt", "token.txt",
                  "docs/draft.txt", "docs/.method.md.swp",
                  "precomputed/mine.unfinished/pair.json", "precomputed/.pull-x/run.json"):  # fmt: skip
        (tree / stray).parent.mkdir(parents=True, exist_ok=True)
        (tree / stray).write_text("hf_secret")
    (tree / "outside.py").write_text("y")
    (tree / "plantain" / "link.py").symlink_to(tree / "outside.py")
    shutil.copytree(ROOT / "precomputed" / "tiny-random", tree / "precomputed" / "mine")
    shutil.copytree(tree / "precomputed" / "mine", tree / "precomputed" / "mine.publish" / "runs" / "mine")
    (tree / "precomputed" / "published.json").write_text("{}")
    found = set(space_files(tree))
    assert {path for path in found if not path.startswith("precomputed/mine/")} == {
        *FILES, "plantain/a.py", "precomputed/published.json", "docs/method.md", "docs/page.png",
    }  # fmt: skip
    assert {"precomputed/mine/run.json", "precomputed/mine/statistics/card-all.safetensors"} <= found


def test_the_prompt_sets_of_every_folder_go_along(tree):
    shutil.copytree(ROOT / "prompts", tree / "prompts", dirs_exist_ok=True)
    found = space_files(tree)
    assert {f"prompts/picture-book/{path.name}" for _, (path, _) in shipped_sets("picture-book").items()} <= set(found)


def test_what_git_ignores_stays_here(tree):
    saved = tree / "precomputed" / "mine"
    shutil.copytree(ROOT / "precomputed" / "tiny-random", saved)
    drafts = ["precomputed/mine/statistics/heads-image.safetensors", "docs/draft.md", "plantain/own.py"]
    for draft in drafts:
        (tree / draft).write_bytes(b"x")
    assert set(drafts) <= set(space_files(tree))  # a copy without git cannot know better
    subprocess.run(["git", "init", "-q", str(tree)], check=True)
    (tree / ".gitignore").write_text(
        "*/mine/statistics/*\n!*/mine/statistics/*-all.safetensors\ndraft.md\n/plantain/own.py\n"
    )
    found = set(space_files(tree))
    assert not set(drafts) & found
    assert {"plantain/a.py", "precomputed/mine/statistics/card-all.safetensors", *FILES} <= found
    subprocess.run(["git", "-C", str(tree), "add", "-f", "docs/draft.md"], check=True)
    assert "docs/draft.md" in space_files(tree)  # what is tracked is not ignored


@pytest.mark.robust
def test_the_real_tree_starts_a_page_from_these_files_alone(tmp_path):
    files = space_files()
    assert "precomputed/tiny-random/run.json" in files and "plantain/ui/static/page.css" in files
    pictured = ROOT / "precomputed" / "picture-book-moral" / "images"
    assert {f"precomputed/picture-book-moral/images/{path.name}" for path in pictured.iterdir()} <= set(files)
    assert {f"plantain/report/figures/DejaVuSans.ttf{ending}" for ending in ("", ".license")} <= set(files)
    assert not any(path.startswith(("tests/", ".")) for path in files)
    front = yaml.safe_load(files["README.md"].split(b"---")[1])
    assert front["sdk"] == "gradio" and front["app_file"] == "app.py" and front["python_version"] == "3.12"
    # To commit, and to open a pull request: no more, for it is the owner's own account that grants it.
    assert front["hf_oauth"] is True and front["hf_oauth_scopes"] == ["write-repos", "write-discussions"]
    for path, content in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    script = (
        "import app; from plantain.ui import RunStore, build_demo; from plantain.prompts.sets import load_prompt_set;"
        "store = RunStore(app.ROOT / 'precomputed'); assert len(store.saved) == 11 and not store.problems;"
        "build_demo(store, app.engine, app.load_published(),"
        " load_prompt_set(app.ROOT / 'prompts' / 'moral_valence.toml')); print('built')"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "built", done.stderr


def test_a_space_is_created_on_request_updated_in_one_commit_and_left_where_nothing_changed(hub, cli, tree):
    code, _, err = cli("space", "--repo-id", SPACE)
    assert code == 2 and "there is no such repository" in err and "--create" in err
    code, out, _ = cli("space", "--repo-id", SPACE, "--create")
    space = hub.repos["spaces", SPACE]
    assert code == 0 and "created" in out and "/spaces/bob/plantain" in out and hub.sent(COMMIT) == 1
    assert set(space.head()) == {".gitattributes", *FILES, "plantain/a.py"}
    assert "nothing changed" in cli("space", "--repo-id", SPACE)[1] and hub.sent(COMMIT) == 1
    there = {"plantain/gone.py": b"old", "mine.txt": b"the owner's", "precomputed/theirs/run.json": b"x"}
    space.commit("main", {**space.head(), **there})
    (tree / "app.py").write_text("new\n")
    code, out, _ = cli("space", "--repo-id", SPACE)
    assert code == 0 and hub.sent(COMMIT) == 2 and "Taken away, since they are not here: plantain/gone.py" in out
    assert "Runs that are on the Space only were left there: precomputed/theirs/run.json" in out
    assert set(space.head()) == {".gitattributes", *FILES, "plantain/a.py", "mine.txt", "precomputed/theirs/run.json"}
    assert space.head()["app.py"] == b"new\n" and space.head()["mine.txt"] == b"the owner's"


def test_one_command_settles_where_it_publishes_to_and_its_hardware(hub, cli, tree):
    wanted = ("space", "--repo-id", SPACE, "--create", "--card-repo", "bob/card", "--results-repo", "bob/results")
    code, out, _ = cli(*wanted, "--zero-gpu")
    space = hub.repos["spaces", SPACE]
    assert code == 0 and space.variables == {"PLANTAIN_CARD_REPO": "bob/card", "PLANTAIN_RESULTS_REPO": "bob/results"}
    assert space.hardware == "zero-a10g" and "It runs on ZeroGPU." in out
    assert ("models", "bob/results") in hub.repos and (
        "models",
        "bob/card",
    ) not in hub.repos  # a card is somebody's own
    assert "bob/results was created, for everyone to see" in out
    set_before = hub.sent("^POST .*/variables")
    code, out, _ = cli(*wanted)
    assert code == 0 and hub.sent("^POST .*/variables") == set_before == 2 and "was created" not in out  # no new start
    assert "add --zero-gpu" in out and hub.sent("^POST .*/hardware") == 1


def test_a_space_without_zero_gpu_is_told_and_has_everything_else(hub, cli, tree):
    hub.fail("^POST /api/spaces/bob/plantain/hardware", 402)
    code, out, _ = cli("space", "--repo-id", SPACE, "--create", "--card-repo", "bob/card", "--zero-gpu")
    assert code == 0 and "ZeroGPU was not chosen; choose it in the Space's settings." in out
    assert hub.repos["spaces", SPACE].variables == {"PLANTAIN_CARD_REPO": "bob/card"}


def test_a_dry_run_lists_the_files_and_asks_nobody(hub, cli, tree):
    code, out, _ = cli("space", "--repo-id", SPACE, "--dry-run")
    assert code == 0 and "plantain/a.py" in out and "Nothing was sent." in out and hub.log == []


@pytest.mark.parametrize(
    ("pattern", "what", "exit_code", "words"),
    [
        ("whoami", 401, 2, "does not accept your token"),
        (COMMIT, 403, 2, "your token may not do this"),
        (COMMIT, 412, 1, "someone changed it meanwhile"),
        (COMMIT, "drop", 1, "The commit may have arrived all the same"),
        ("GET /api/spaces", 503, 1, "has trouble of its own"),
    ],
)
def test_faults_leave_the_space_as_it_was(hub, cli, tree, pattern, what, exit_code, words):
    space = hub.add(SPACE, {"app.py": b"old"}, "spaces")
    hub.fail(pattern, what)
    code, _, err = cli("space", "--repo-id", SPACE)
    assert code == exit_code and words in err and err.count("\n") == 1
    assert space.head()["app.py"] == b"old" and len(space.commits) == 1


def test_a_lost_answer_is_told_and_repeating_does_no_harm(hub, cli, tree):
    hub.add(SPACE, {"app.py": b"old", "plantain/gone.py": b""}, "spaces")
    hub.fail(COMMIT, "lose", times=1)
    code, _, err = cli("space", "--repo-id", SPACE)
    assert code == 1 and "The commit may have arrived all the same: look at http" in err
    assert "nothing changed" in cli("space", "--repo-id", SPACE)[1] and hub.sent(COMMIT) == 1


def test_a_damaged_run_or_a_missing_file_is_told_before_anything_is_sent(hub, cli, tree):
    (tree / "LICENSE").unlink()
    assert "cannot be read" in cli("space", "--repo-id", SPACE)[2]
    (tree / "LICENSE").write_text("x")
    shutil.copytree(ROOT / "precomputed" / "tiny-random", tree / "precomputed" / "broken")
    (tree / "precomputed" / "broken" / "run.json").write_text("{}")
    with pytest.raises(HubError, match="broken.*It would stand on the Space as damaged"):
        space_files(tree)
    code, _, err = cli("space", "--repo-id", SPACE)
    assert code == 2 and "damaged" in err and hub.log == []


def test_what_a_space_preloads_is_all_that_is_loaded_and_nothing_else(tmp_path):
    """The small Klein has the files of a pipeline as diffusers saves it; Klein's text encoder comes in two files."""
    front = yaml.safe_load((ROOT / "README.md").read_bytes().split(b"---")[1])
    ((repo_id, files),) = [entry.split() for entry in front["preload_from_hub"]]
    listed, folder = set(files.split(",")), write_small_klein(tmp_path / "klein")
    saved = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert repo_id == KLEIN and saved - {"text_encoder/model.safetensors"} <= listed
    weights = {name for name in listed if name.endswith(".safetensors")}
    assert len(weights) == 4 and all("/" in name for name in weights)  # not the single file for other software
