"""The reservoir: another model's text encoder before a transformer of random weights."""

import json
import os
import shutil

import pytest
import torch
from safetensors.torch import load_file

from plantain.models import reservoir
from plantain.models.load import PhasedPipeline, load_pipeline
from plantain.models.reservoir import is_reservoir, write_reservoir
from plantain.models.sources import ModelError, drawing_of, prompts_model
from plantain.probe.denoising import encode
from plantain.prompts.sets import load_prompt_set
from plantain.report.labels import weights_label
from plantain.runs.info import RESERVOIR
from plantain.runs.io import load_run

pytestmark = pytest.mark.smoke

BOOK = "models/picture-book"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_reservoir(tmp_path_factory.mktemp("made") / "res", BOOK, seed=4)


def test_it_has_the_text_encoder_and_another_transformer(made):
    own, source = load_pipeline(str(made), device="cpu"), load_pipeline(BOOK, device="cpu")
    prompt = load_prompt_set("prompts/picture-book/moral.toml").pairs[0].positive
    assert torch.equal(encode(own, [prompt]), encode(source, [prompt]))
    for (name, mine), theirs in zip(own.transformer.named_parameters(), source.transformer.parameters(), strict=True):
        assert mine.shape == theirs.shape
        assert name.endswith(("norm_q.weight", "norm_k.weight")) or not torch.equal(mine, theirs), name
    assert prompts_model(str(made)) == "picture-book" and drawing_of(str(made)).size == 64


def test_the_transformer_follows_from_the_seed_alone(made, tmp_path):
    file = "transformer/diffusion_pytorch_model.safetensors"
    again, other = (write_reservoir(tmp_path / f"{seed}", BOOK, seed=seed) for seed in (4, 5))
    assert (again / file).read_bytes() == (made / file).read_bytes()
    same, drawn = load_file(made / file), load_file(other / file)
    assert any(not torch.equal(same[name], drawn[name]) for name in same)


def test_a_folder_is_told_from_one_of_another_seed_or_text_encoder(made, tmp_path):
    assert is_reservoir(made, BOOK, 4)
    assert not is_reservoir(made, BOOK, 5) and not is_reservoir(BOOK, BOOK, 4) and not is_reservoir(tmp_path, BOOK, 4)
    other = tmp_path / "other"
    shutil.copytree(BOOK, other)
    assert is_reservoir(made, str(other), 4), "a copy has the same text encoder"
    (weights,) = (other / "text_encoder").glob("*.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert not is_reservoir(made, str(other), 4), "its file has the same name and size"


@pytest.mark.robust
def test_it_says_what_it_is_wherever_its_numbers_stand(made, cli, tmp_path):
    info = PhasedPipeline(str(made), device="cpu").load_both().info
    assert info.weights == "reservoir" and info.is_random
    assert "RESERVOIR: a random transformer behind the text encoder of another model" in weights_label(info)
    prompts = "prompts/picture-book/moral.toml"
    code, said, _ = cli("run", "--model", made, "--device", "cpu", "--prompts", prompts, "--out", tmp_path / "run")
    assert code == 0 and "RESERVOIR" in said
    code, said, _ = cli("report", tmp_path / "run")
    assert code == 0 and said.count(RESERVOIR) == 2 and "NOTE: " + RESERVOIR in said
    assert load_run(tmp_path / "run").info.weights == "reservoir"


def test_taken_files_cost_no_room_on_the_same_disk(tmp_path):
    source = write_reservoir(tmp_path / "book", BOOK)
    (source / reservoir.SETTINGS).unlink()  # a pipeline like any other, but for its mark
    config = source / "text_encoder" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "plantain_weights": "practice"}))
    made = write_reservoir(tmp_path / "res", str(source))
    weights = "text_encoder/model.safetensors"
    assert os.path.samefile(source / weights, made / weights)
    assert json.loads(config.read_text())["plantain_weights"] == "practice"  # the source is as it was


def test_killed_it_goes_on_and_ends_with_the_same_bytes(made, tmp_path, monkeypatch):
    def stop(*_args, **_options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(reservoir, "draw_weights", stop)
        with pytest.raises(KeyboardInterrupt):
            write_reservoir(tmp_path / "res", BOOK, seed=4)
    assert not (tmp_path / "res").exists() and (tmp_path / "res.unfinished" / "text_encoder").is_dir()
    with pytest.raises(ModelError, match="other settings"):
        write_reservoir(tmp_path / "res", BOOK, seed=5)
    write_reservoir(tmp_path / "res", BOOK, seed=4)
    files = {p.relative_to(made): p.read_bytes() for p in made.rglob("*") if p.is_file()}
    assert {
        p.relative_to(tmp_path / "res"): p.read_bytes() for p in (tmp_path / "res").rglob("*") if p.is_file()
    } == files
    assert not (tmp_path / "res.unfinished").exists()


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("nowhere/at all", "no such folder. Give the folder, or the Hub id, of a whole Klein pipeline"),
        ("made", "is a reservoir already"),
        ("prompts", "is no|holds no"),
    ],
)
def test_what_is_no_pipeline_is_refused_and_nothing_is_written(made, tmp_path, source, told):
    with pytest.raises(ModelError, match=told):
        write_reservoir(tmp_path / "res", str(made) if source == "made" else source)
    assert list(tmp_path.iterdir()) == []


def test_the_command_line_asks_for_the_text_encoder(cli, tmp_path):
    code, _, error = cli("make-model", "reservoir", tmp_path / "res")
    assert code == 2 and "needs --text-encoder" in error and error.count("\n") == 1
    code, _, error = cli("make-model", "untrained-klein-4b", tmp_path / "res", "--text-encoder", BOOK)
    assert code == 2 and "--text-encoder goes with make-model reservoir" in error
    code, said, _ = cli("make-model", "reservoir", tmp_path / "res", "--text-encoder", BOOK)
    assert code == 0 and "prompts/picture-book/moral.toml" in said
