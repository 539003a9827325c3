"""`reproduce` before a model is loaded: its price, and what it refuses."""

import dataclasses
import re
import subprocess
import sys

import pytest
from browser import ROOT
from few import write_set

from plantain.findings.across_runs.study import STAGES
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
    assert rows["card"] == ["moral-valence, 1024 px · seed 0", "to do", "25", "52", "8", "51 MB", "0"]
    assert rows["seeds"] == ["moral-valence, 256 px · seeds 0, 1, 2", "to do", "25", "156", "4", "91 MB", "0"]
    times = "moral-valence, 256 px · seed 0 · times 1, 0.9, 0.7, 0.5, 0.3, 0.1"
    assert rows["times"][:4] == [times, "to do", "25", "1,002"] and 20 < int(rows["times"][4]) < 30
    assert rows["controls"][:5] == ["16 prompt sets, 256 px · seed 0; then the atlas", "to do", "400", "832", "28"]
    said = done.stdout
    assert "0.312 s a pair at 1024 px (NVIDIA H200, measured on random weights of Klein 4B's shape" in said
    assert (
        "Left out: pictures (both sides of the card's pairs, drawn and expected: 100 pictures, 2,450 passes, about 115 "
        "s); cause (the registered causal test on the card's run: ≤ 21,350 passes, about 50 min); reservoir (the "
        "card's pairs through random transformers behind the model's text encoder: 156 passes, about 24 s, and the "
        "drawing of 3 transformers, with 8 to 16 GB of disk space at a time for Klein 4B). Ask for it: "
        "--stages pictures,cause,reservoir."
    ) in said
    assert "Not counted of the random transformers" not in said
    assert "the Hub was not asked" in said and "Nothing is published" in said and "Nothing was done." in said
    assert not list(tmp_path.iterdir())


def test_pictures_and_cause_are_asked_for_and_bring_the_card_along(cli, tmp_path):
    words = ("reproduce", "--dry-run", "--gpu", "H200", "--out", tmp_path / "study", "--stages")
    code, said, _ = cli(*words, "cause,pictures")
    names = re.findall(r"^\| (\w+) +\|", said, re.M)
    assert code == 0 and names == ["stage", "card", "pictures", "cause"] and "Left out: reservoir (" in said
    assert re.search(r"\| pictures +\|.*\| to do +\| 25 +\| 2,450 +\| 115 +\| – +\| 100 +\|", said)
    assert re.search(r"\| cause +\|.*\| to do +\| 25 +\| ≤ 21,350 +\| 3,023 +\| – +\| 0 +\|", said)
    assert re.search(r"\| in all +\|.*\| 3,146 +\| 51 MB +\| 100 +\|", said)  # 8 s for the card
    alone = cli(*words, "cause")[1]
    assert "\n| pictures" not in alone and "Left out: pictures (" in alone
    assert "Ask for it: --stages pictures,reservoir." in alone
    whole = cli(*words, "all")[1]
    assert re.findall(r"^\| (\w+) +\|", whole, re.M) == ["stage", *STAGES] and "Left out" not in whole
    assert (
        "the time of drawing their weights, on a processor, and disk space until the run of each is there, one at a "
        "time. For Klein 4B it is 8 GB, and 16 GB where the text encoder's files cannot be linked."
    ) in whole
    without = ("reproduce", "--dry-run", "--stages", "card", "--out", tmp_path / "study", "--model")
    assert "reservoir" not in cli(*without, "tiny-random")[1], "it has no text encoder of its own"
    assert "Left out" not in cli(*words, "seeds")[1]  # they are of the card's run


def test_pairs_that_an_earlier_start_has_left_are_counted(cli, tmp_path):
    left = tmp_path / "study" / "card.unfinished"
    left.mkdir(parents=True)
    for i in range(7):
        (left / f"pair-{i:04d}.safetensors").touch()
    code, out, _ = cli("reproduce", "--dry-run", "--stages", "card", "--out", tmp_path / "study")
    assert code == 0 and "| to do, 7 pairs kept | 18    | 38     | 6       |" in out


def test_a_dry_run_knows_what_is_done_and_where_it_would_go(cli, tmp_path):
    save_run(load_run(SHIPPED), tmp_path / "study" / "card")
    words = ("reproduce", "--model", "owner/klein", "--size", 256, "--out", tmp_path / "study", "--dry-run")
    code, out, err = cli(*words, "--repo-id", "bob/card", "--gpu", "NVIDIA T4")
    assert (code, err) == (0, "")
    assert re.search(r"\| card +\| moral-valence, 256 px · seed 0 +\| done +\| –", out)
    assert "Speed: unknown on NVIDIA T4 until the first stage is done. It is known of NVIDIA H200, ZeroGPU" in out
    assert "Each stage goes to bob/card as soon as it is done, in one pull request." in out
    assert "directly" in cli(*words, "--repo-id", "bob/card", "--no-pr")[1]
    assert cli(*words, "--stages", "seeds")[1].count("moral-valence") == 1


BAD = [
    ("--gpu H200", "--gpu goes with --dry-run"),
    (
        "--stages card,dance",
        "'dance' is no stage; choose of card,seeds,times,controls,pictures,cause,reservoir, or all",
    ),
    (
        "--stages reservoir --directions off",
        "the stage reservoir compares directions, which the card's run has to keep",
    ),
    ("--stages reservoir --model tiny-random", "needs a model with a text encoder of its own; tiny-random has none"),
    ("--stages cause --directions off", "the stage cause needs the heads' directions: omit --directions off"),
    ("--stages cause --prompts {four}", "4 pairs are fewer than the 5 folds need"),
    ("--stages cause --model tiny-random --size 256 --out {off}", "matched redraws need the run's directions"),
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
    write_set(tmp_path / "four.toml", 4)
    save_run(load_run(SHIPPED), tmp_path / "study" / "card")
    save_run(dataclasses.replace(load_run(SHIPPED), directions=None), tmp_path / "off" / "card")
    before = sorted(tmp_path.rglob("*"))
    facts = {"tmp": tmp_path, "few": tmp_path / "few.toml", "four": tmp_path / "four.toml"}
    facts |= {name: tmp_path / name for name in ("study", "off")}
    args = [part.format(**facts) for part in line.split()]
    code, out, err = cli("reproduce", *args)
    assert (code, out, err.count("\n")) == (2, "", 1) and words in err, err
    assert sorted(tmp_path.rglob("*")) == before
