"""What a probe never runs is not loaded, and leaving it out moves no bit."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors.torch
import torch
from browser import ROOT
from diffusers import Flux2KleinPipeline
from helpers import capture_pair
from transformers import Qwen3ForCausalLM, Qwen3Model

from plantain.cli import main
from plantain.models.fingerprint import describe, layers_needed
from plantain.models.load import load_pipeline
from plantain.models.sources import ModelError
from plantain.models.stand_in import build_stand_in
from plantain.models.untrained import write_untrained
from plantain.probe.denoising import image_tokens
from plantain.runs.io import load_run

PROMPTS = ["Ana helps Tom.", "“Quoted”, 3 times: ünïcode 🍌", "y" * 487]
DTYPES = ["float32", "bfloat16"]


def embed(pipe, prompt: str) -> torch.Tensor:
    with torch.no_grad():
        return pipe.encode_prompt(prompt=prompt)[0]


def whole_in(dtype: str) -> Flux2KleinPipeline:
    return build_stand_in().to(dtype=getattr(torch, dtype))


@pytest.fixture(scope="module")
def saved(whole, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "stand-in"
    whole.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(saved, tmp_path / "copy"))


def refused(folder: Path, match: str) -> None:
    with pytest.raises(ModelError, match=match) as caught:
        load_pipeline(str(folder))
    assert "\n" not in str(caught.value)


# --- the text encoder --------------------------------------------------------------------------------------


@pytest.mark.parametrize("prompt", PROMPTS, ids=range(len(PROMPTS)))
@pytest.mark.parametrize("dtype", DTYPES)
def test_prompt_embeddings_are_the_whole_encoders_to_the_bit(dtype, prompt):
    expected = embed(whole_in(dtype), prompt)
    got = embed(load_pipeline("tiny-random", dtype=dtype), prompt)
    assert got.dtype == getattr(torch, dtype) and got.shape == (1, 512, 96)
    assert torch.equal(got, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_so_are_those_of_a_saved_one(saved, dtype):
    expected = Flux2KleinPipeline.from_pretrained(saved, dtype=getattr(torch, dtype))
    got = load_pipeline(str(saved), dtype=dtype)
    for prompt in PROMPTS:
        assert torch.equal(embed(got, prompt), embed(expected, prompt))


def test_with_the_final_norm_left_in_the_last_third_would_be_wrong(whole):
    """The trap: the last hidden state that transformers returns has gone through the norm."""
    half = load_pipeline("tiny-random")
    half.text_encoder.norm = whole.text_encoder.model.norm
    expected, got = embed(whole, PROMPTS[0]), embed(half, PROMPTS[0])
    assert torch.equal(got[..., :64], expected[..., :64])
    assert not torch.allclose(got[..., 64:], expected[..., 64:], atol=0.1)


@pytest.mark.parametrize("saved_first", [False, True])
def test_only_the_layers_that_are_read_are_there(whole, saved, saved_first):
    pipe = load_pipeline(str(saved) if saved_first else "tiny-random")
    assert type(whole.text_encoder) is Qwen3ForCausalLM and len(whole.text_encoder.model.layers) == 28
    assert type(pipe.text_encoder) is Qwen3Model and not hasattr(pipe.text_encoder, "lm_head")
    assert len(pipe.text_encoder.layers) == pipe.text_encoder.config.num_hidden_layers == 27
    layer = sum(p.numel() for p in whole.text_encoder.model.layers[27].parameters())
    norm = whole.text_encoder.model.norm.weight.numel()
    assert pipe.text_encoder.num_parameters() == whole.text_encoder.num_parameters() - layer - norm
    assert not pipe.text_encoder.training


def test_how_many_are_read_is_what_the_pipeline_says(pipe):
    assert layers_needed(pipe) == 27

    def encode_prompt(prompt, text_encoder_out_layers=(10, 20, 30)):
        raise NotImplementedError

    assert layers_needed(SimpleNamespace(encode_prompt=encode_prompt)) == 30


def test_the_kind_of_weights_and_the_fingerprint_stay(whole, pipe, saved):
    assert pipe.text_encoder.config.plantain_weights == "stand-in"
    assert load_pipeline(str(saved)).text_encoder.config.plantain_weights == "stand-in"
    run = load_run(ROOT / "precomputed" / "tiny-random")
    assert describe(pipe).fingerprint == describe(whole).fingerprint == run.info.fingerprint


def test_the_shipped_run_is_still_the_stand_ins(capsys):
    args = ["pair", str(ROOT / "precomputed" / "tiny-random"), "--model", "tiny-random", "--json"]
    assert main([*args, "--positive", "Ana helps Tom.", "--negative", "Ana leaves Tom."]) == 0
    assert len(json.loads(capsys.readouterr().out)["scores"]) == 25


def test_saved_as_it_is_loaded_it_can_be_loaded_again(pipe, tmp_path):
    pipe.save_pretrained(tmp_path / "half")
    again = load_pipeline(str(tmp_path / "half"))
    assert describe(again).fingerprint == describe(pipe).fingerprint
    assert torch.equal(embed(again, PROMPTS[0]), embed(pipe, PROMPTS[0]))


def test_an_encoder_that_ends_with_the_last_layer_keeps_its_norm(tiny, tmp_path):
    """There the pipeline itself reads that state after the norm."""
    short = tiny.text_encoder | {"num_hidden_layers": 27}
    write_untrained(type(tiny)(tiny.transformer, short, tiny.vae, tiny.scheduler), tmp_path / "short")
    expected = Flux2KleinPipeline.from_pretrained(tmp_path / "short", dtype=torch.float32)
    got = load_pipeline(str(tmp_path / "short"), dtype="float32")
    assert torch.equal(embed(got, PROMPTS[0]), embed(expected, PROMPTS[0]))


def test_an_encoder_with_too_few_layers_is_refused(tiny, tmp_path):
    short = tiny.text_encoder | {"num_hidden_layers": 26}
    write_untrained(type(tiny)(tiny.transformer, short, tiny.vae, tiny.scheduler), tmp_path / "short")
    refused(tmp_path / "short", "has 26 layers, the prompt embedding takes 27")


@pytest.mark.parametrize("name", ["model.layers.26.mlp.up_proj.weight", "model.embed_tokens.weight"])
def test_a_weight_that_is_missing_is_refused_instead_of_made_up(folder, name):
    path = folder / "text_encoder" / "model.safetensors"
    weights = safetensors.torch.load_file(path)
    del weights[name]
    safetensors.torch.save_file(weights, path, metadata={"format": "pt"})
    refused(folder, f"{name.removeprefix('model.')} is missing")


def test_loading_says_nothing(saved, capfd):
    load_pipeline(str(saved))
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


# --- the VAE -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_captures_are_the_whole_pipelines_to_the_bit(dtype, moral_set):
    pipe, whole = load_pipeline("tiny-random", dtype=dtype), whole_in(dtype)
    assert pipe.vae is None and whole.vae is not None
    for pair in moral_set.pairs[:2]:
        expected, got = (capture_pair(p, pair, 64, 3) for p in (whole, pipe))
        assert np.array_equal(got.sums.tokens, expected.sums.tokens)
        for stream, values in expected.sums.streams.items():
            assert np.array_equal(got.sums.streams[stream], values), stream


def test_its_weights_are_not_even_read(folder, pipe):
    (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    assert describe(load_pipeline(str(folder))).fingerprint == describe(pipe).fingerprint


def test_without_it_a_latent_has_as_many_pixels(pipe, whole, saved):
    loaded = load_pipeline(str(saved))
    assert pipe.vae_scale_factor == loaded.vae_scale_factor == whole.vae_scale_factor == 8
    assert image_tokens(pipe, 64) == image_tokens(whole, 64) == 16


def test_another_depth_counts_although_it_is_not_loaded(tiny, tmp_path, moral_set, pipe):
    shallow = tiny.vae | {
        "block_out_channels": (8, 8, 8), "down_block_types": ("DownEncoderBlock2D",) * 3,
        "up_block_types": ("UpDecoderBlock2D",) * 3,
    }  # fmt: skip
    write_untrained(tiny, tmp_path / "deep")
    write_untrained(type(tiny)(tiny.transformer, tiny.text_encoder, shallow, tiny.scheduler), tmp_path / "shallow")
    expected = Flux2KleinPipeline.from_pretrained(tmp_path / "shallow", dtype=torch.float32)
    got = load_pipeline(str(tmp_path / "shallow"), dtype="float32")
    assert got.vae is None and got.vae_scale_factor == expected.vae_scale_factor == 4
    assert image_tokens(got, 64) == 64
    fingerprints = [describe(p).fingerprint for p in (got, expected)]
    assert fingerprints[0] == fingerprints[1]
    assert fingerprints[0] != describe(load_pipeline(str(tmp_path / "deep"), dtype="float32")).fingerprint
    captures = [capture_pair(p, moral_set.pairs[0], 64, 3) for p in (got, expected)]
    for stream, values in captures[1].sums.streams.items():
        assert np.array_equal(captures[0].sums.streams[stream], values)


@pytest.mark.parametrize("content", [None, "{", "{}", "[]"])
def test_a_depth_that_is_unknown_is_refused(folder, content):
    path = folder / "vae" / "config.json"
    path.unlink() if content is None else path.write_text(content)
    refused(folder, "vae/config.json does not say how deep the VAE is")
