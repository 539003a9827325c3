"""The commands that make passes: run and pair."""

import json

import numpy as np
import pytest
from few import N_PAIRS, run_args, shell, without_warnings

from plantain import stats
from plantain._files import strict_record
from plantain.cli import main
from plantain.findings.across_runs.atlas import Atlas
from plantain.findings.directions import directions
from plantain.findings.held_out import IMAGE
from plantain.prompts.sets import SHIPPED as PROMPTS
from plantain.report.across_runs.atlas import atlas_text
from plantain.runs.io import load_run, save_run
from plantain.runs.units import HEADS


def test_run_writes_a_run_and_says_what_to_do_next(prompts, tmp_path, capsys):
    out = tmp_path / "new" / "run"
    assert main(run_args(prompts, out) + ["--seed", "3"]) == 0
    run = load_run(out)
    assert (run.info.seed, run.info.size, len(run.pairs)) == (3, 64, N_PAIRS)
    printed, err = capsys.readouterr()
    warnings = [line for line in err.splitlines() if line.startswith("plantain: ")]  # progress is there as well
    assert all(line.startswith(f"plantain: warning: {prompts}: ") for line in warnings)
    assert sum("“helps” 7/0, “waits” 0/7" in line for line in warnings) == 1
    assert "STAND-IN" in printed and f"python -m plantain report {out}" in printed
    assert [path.name for path in out.parent.iterdir()] == ["run"]


def test_run_overwrites_when_asked(uninterrupted, prompts, tmp_path):
    out = tmp_path / "run"
    assert main(run_args(prompts, out) + ["--seed", "3"]) == 0
    assert main(run_args(prompts, out) + ["--overwrite"]) == 0
    assert (out / "capture.safetensors").read_bytes() == (uninterrupted / "capture.safetensors").read_bytes()


def test_pair_prints_json(moral_folder, moral_run, capsys):
    pair = moral_run.pairs[4].pair
    assert main(["pair", str(moral_folder), "--positive", pair.positive, "--negative", pair.negative, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["twin"] == {"id": pair.id, "is_mirrored": False} and found["p"] is None  # the run has it
    assert found["pairs"] == [record.pair.id for record in moral_run.pairs if record.pair.id != pair.id]
    assert len(found["scores"]) == 24 and found["sentence"].startswith(f"This is the run's own pair “{pair.id}”")
    assert found["pair"]["positive"] == pair.positive and len(found["top"]) == 20
    first, analysis = found["top"][0], moral_run.analysis(HEADS)
    own = analysis.differences[:, analysis.table.names.index(first["unit"])]
    assert first["new"] == own[4] and first["differences"] == np.delete(own, 4).tolist()
    by_direction, by_magnitudes = found["directions"], found["magnitudes"]
    gram = stats.direction_grams(moral_run.vectors(IMAGE)).mean(axis=0)
    held_out = stats.direction_scores(gram)  # of the headline, in which the pair is left out as well
    assert by_direction["score"] == pytest.approx(held_out[4], rel=1e-6) and by_direction["p"] is None
    assert by_direction["scores"] == pytest.approx(np.delete(held_out, 4), rel=1e-6)
    assert by_direction["way"] == found["way"] and found["measure"] == by_direction["measure"] == "direction"
    assert all(by_magnitudes[key] == found[key] for key in ("score", "scores", "pairs", "p", "n_at_or_below", "own"))
    assert (by_direction["own"]["k"], by_direction["own"]["n"]) == (directions(moral_run).rule.k, 25)


def test_pair_prints_words_and_a_table(moral_folder, capsys):
    assert main(["pair", str(moral_folder), "--positive", "Ana helps.", "--negative", "Ana naps."]) == 0
    text = capsys.readouterr().out
    assert "NOT COMPARABLE: the prompts have 10 and 9 tokens" in text
    assert "regression to the mean" in text and "weights are random" in text


def test_a_damaged_model_is_refused_in_one_line(pipe, prompts, tmp_path):
    pipe.save_pretrained(tmp_path / "model")
    weights = tmp_path / "model" / "transformer" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    args = run_args(prompts, tmp_path / "new")
    done = shell(*[str(tmp_path / "model") if a == "tiny-random" else a for a in args])
    assert done.returncode == 2
    err = without_warnings(done.stderr)
    assert err.startswith("plantain: ") and err.count("\n") == 1, done.stderr
    assert "files cannot be loaded" in done.stderr and not (tmp_path / "new").exists()


def test_the_command_runs_several_sets_and_compares_them(cli, moral_run, tmp_path):
    prompts = []
    for name in ("tempo", "contact"):  # six pairs of each
        head, *pairs = (PROMPTS / f"{name}.toml").read_text(encoding="utf-8").split("[[pair]]")
        prompts.append(tmp_path / f"{name}.toml")
        prompts[-1].write_text("[[pair]]".join([head, *pairs[:6]]), encoding="utf-8")
    code, out, _ = cli("run", "--model", "tiny-random", "--prompts", *prompts, "--size", 64, "--out", tmp_path / "runs")
    folders = [tmp_path / "runs" / name for name in ("tempo", "contact")]
    assert code == 0 and f"python -m plantain atlas {folders[0]} {folders[1]}" in out
    folders.insert(0, save_run(moral_run, tmp_path / "runs" / "moral"))
    code, out, _ = cli("atlas", *folders, "--json")
    assert code == 0 and [axis["name"] for axis in json.loads(out)["axes"]] == ["moral", "tempo", "contact"]
    code, text, _ = cli("atlas", *folders)
    assert (
        code == 0
        and text.strip() == atlas_text(strict_record(Atlas, json.loads(out), "atlas"))
        and "weights are random" in text
    )
    assert (
        "exactly one run" in cli("atlas", *folders[1:])[2] and "at least two runs" in cli("atlas", *folders[:1] * 2)[2]
    )
    (tmp_path / "more").mkdir()
    same = (tmp_path / "more" / "tempo.toml").write_bytes(prompts[0].read_bytes()) and tmp_path / "more" / "tempo.toml"
    code, _, err = cli("run", "--model", "tiny-random", "--prompts", prompts[0], same, "--out", tmp_path / "x")
    assert code == 2 and "rename a file" in err and not (tmp_path / "x").exists()
