"""`reproduce` before a model is loaded: its price, and what it refuses."""

import subprocess
import sys

import pytest
from browser import ROOT
from few import write_set

from plantain.runs.io import load_run, save_run

SHIPPED = ROOT / "precomputed" / "tiny-random"


def test_a_dry_run_says_price_and_plan_without_torch_weights_or_network(tmp_path):
    code = (
        "import sys; from plantain.cli import main; code = main(sys.argv[1:]); "
        "print(code, sorted({'torch', 'diffusers', 'transformers', 'huggingface_hub'} & set(sys.modules)))"
    )
    words = ["reproduce", "--dry-run", "--gpu", "H200", "--out", str(tmp_path / "study")]
    done = subprocess.run([sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert lines[-1] == "0 []", done.stderr
    rows = {line.split("|")[1].strip(): [c.strip() for c in line.split("|")[2:-1]] for line in lines if "|" in line}
    assert rows["card"] == ["moral-valence, 1024 px · seed 0", "to do", "25", "50", "8", "18 MB", "0"]
    assert rows["seeds"] == ["moral-valence, 256 px · seeds 0, 1, 2", "to do", "25", "150", "5", "58 MB", "0"]
    assert rows["controls"][:5] == ["13 prompt sets, 256 px · seed 0; then the atlas", "to do", "325", "650", "22"]
    said = done.stdout
    assert "0.312 s a pair at 1024 px (NVIDIA H200, measured on random weights of Klein 4B's shape" in said
    assert "the Hub was not asked" in said and "Nothing is published" in said and "Nothing was done." in said
    assert not list(tmp_path.iterdir())


def test_a_dry_run_knows_what_is_done_and_where_it_would_go(cli, tmp_path):
    save_run(load_run(SHIPPED), tmp_path / "study" / "card")
    words = ("reproduce", "--model", "owner/klein", "--size", 256, "--out", tmp_path / "study", "--dry-run")
    code, out, err = cli(*words, "--repo-id", "bob/card", "--gpu", "NVIDIA T4")
    assert (code, err) == (0, "")
    assert "| card     | moral-valence, 256 px · seed 0                  | done  | –" in out
    assert "Speed: unknown on NVIDIA T4 until the first stage is done. It is known of NVIDIA H200, ZeroGPU" in out
    assert "Each stage goes to bob/card as soon as it is done, in one pull request." in out
    assert "directly" in cli(*words, "--repo-id", "bob/card", "--no-pr")[1]
    assert cli(*words, "--stages", "seeds")[1].count("moral-valence") == 1


BAD = [
    ("--gpu H200", "--gpu goes with --dry-run"),
    ("--stages card,dance", "'dance' is no stage; choose of card,seeds,controls"),
    ("--size 100", "size 100: choose a multiple of 16"),
    ("--private", "--private goes with --create"),
    ("--same-prompts", "--same-prompts goes with --prompts FILE"),
    ("--prompts prompts/moral_valence.toml --same-prompts", "the prompts in this folder are not the card's"),
    ("--prompts prompts/former/moral_valence.toml --same-prompts", "the prompts in this folder are not the card's"),
    ("--prompts {few} --same-prompts", "its sides are helping and waiting, those of the card helping and ignoring"),
    ("--prompts {tmp}/none.toml", "none.toml: cannot be read"),
    ("--model nowhere", "nowhere: no such folder"),
    ("--model {tmp}", "no readable model_index.json"),
    ("--repo-id bob", "is no repository id"),
    ("--model tiny-random --repo-id bob/card", "is a run of the stand-in"),
    ("--model tiny-random --size 64 --out {study}", "card: holds a finished run with other settings (passes: 256 px"),
    ("--model tiny-random --size 256 --prompts {few} --out {study}", "other settings (prompts: moral-valence"),
]


@pytest.mark.parametrize(("line", "words"), BAD)
def test_bad_input_ends_with_2_and_one_line_before_any_model(line, words, cli, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    write_set(tmp_path / "few.toml")
    save_run(load_run(SHIPPED), tmp_path / "study" / "card")
    before = sorted(tmp_path.rglob("*"))
    facts = {"tmp": tmp_path, "few": tmp_path / "few.toml", "study": tmp_path / "study"}
    args = [part.format(**facts) for part in line.split()]
    code, out, err = cli("reproduce", *args)
    assert (code, out, err.count("\n")) == (2, "", 1) and words in err, err
    assert sorted(tmp_path.rglob("*")) == before
