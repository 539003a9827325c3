"""Models: the stand-in is a real Klein pipeline, a fingerprint tells computations apart, errors say what to do."""

import copy
import json
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import httpx2
import huggingface_hub
import numpy as np
import pytest
import torch
from browser import ROOT
from diffusers import Flux2KleinPipeline
from helpers import capture_pair, forward
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

from plantain.models.fingerprint import describe, name_of_device
from plantain.models.load import PhasedPipeline, identify, load_pipeline
from plantain.models.sources import DownloadError, ModelError
from plantain.models.stand_in import WEIGHTS_MARK, build_stand_in
from plantain.probe.denoising import encode

REPO = "somebody/some-klein"
COMMIT = "c0ffee" * 6 + "c0ff"


def fingerprint(pipe) -> str:
    return describe(pipe).fingerprint


def sample(pipe) -> torch.Tensor:
    """Return the transformer's output, which depends on tokenizer, text encoder and transformer."""
    seen = []
    handle = pipe.transformer.register_forward_hook(lambda _module, _args, output: seen.append(output[0]))
    forward(pipe, encode(pipe, ["Noor shares her bread."]), 64, 5)
    handle.remove()
    return seen[0]


@contextmanager
def nudged(weight: torch.Tensor, index: int = 0):
    """Turn the sign of one number, which changes a single bit of it, and put it back."""
    flat = weight.detach().view(-1)
    flat[index] *= -1
    yield
    flat[index] *= -1


def edit_json(path: Path, **changes) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    content.update(changes)
    path.write_text(json.dumps(content), encoding="utf-8")


def unmark(folder: Path) -> None:
    path = folder / "text_encoder" / "config.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content.pop(WEIGHTS_MARK) == "stand-in"
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture(scope="module")
def saved(whole, tmp_path_factory) -> Path:
    """The stand-in, saved with everything under a name that suggests something else."""
    folder = tmp_path_factory.mktemp("models") / "FLUX.2-klein-base-4B"
    whole.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    """A copy of the saved stand-in that a test may damage."""
    return Path(shutil.copytree(saved, tmp_path / "copy"))


# --- the stand-in ------------------------------------------------------------------------------------------


def test_the_stand_in_is_a_real_klein_pipeline(pipe):
    assert type(pipe) is Flux2KleinPipeline
    assert len(pipe.transformer.transformer_blocks) == 5
    assert len(pipe.transformer.single_transformer_blocks) == 20
    assert pipe.transformer.config.attention_head_dim >= 32
    assert not any(p.requires_grad for p in pipe.transformer.parameters())
    assert not pipe.transformer.training and not pipe.text_encoder.training


def test_the_stand_in_makes_an_image_by_the_full_call(whole):
    image = whole(prompt="a plantain", height=64, width=64, num_inference_steps=2, guidance_scale=4.0).images[0]
    assert image.size == (64, 64)


def test_every_byte_is_one_token(pipe):
    ids = pipe.tokenizer("naïve 🍌")["input_ids"]
    assert len(ids) == len("naïve 🍌".encode())
    assert pipe.tokenizer.decode(ids) == "naïve 🍌"


def test_the_chat_template_has_the_shape_of_kleins(pipe):
    text = pipe.tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hi"}], tokenize=False, add_generation_prompt=True, enable_thinking=False
    )
    assert text == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    ids = pipe.tokenizer(text)["input_ids"]
    assert ids[0] == pipe.tokenizer.convert_tokens_to_ids("<|im_start|>")
    assert ids.count(pipe.tokenizer.convert_tokens_to_ids("</think>")) == 1


def test_built_twice_it_has_the_same_weights(pipe, whole):
    again = build_stand_in()
    for name in ("transformer", "text_encoder", "vae"):
        mine, other = getattr(whole, name).state_dict(), getattr(again, name).state_dict()
        assert mine.keys() == other.keys()
        assert all(torch.equal(mine[key], other[key]) for key in mine)
    assert describe(load_pipeline("tiny-random")) == describe(pipe)


def test_the_stand_in_says_so(pipe):
    info = describe(pipe)
    assert (info.model, info.weights, info.revision, info.dtype) == ("tiny-random", "stand-in", None, "float32")
    assert len(info.fingerprint) == 64 and info.device.startswith("cpu")


@pytest.mark.parametrize("dtype", ["bfloat16", torch.bfloat16])
def test_a_dtype_that_is_asked_for_is_used_and_said(dtype):
    pipe = load_pipeline("tiny-random", dtype=dtype)
    assert pipe.transformer.dtype == pipe.text_encoder.dtype == torch.bfloat16
    assert describe(pipe).dtype == "bfloat16"


@pytest.mark.parametrize("source", ["in memory", "in a folder"])
def test_with_images_it_draws_and_the_probe_sees_no_difference(pipe, saved, small_set, source):
    drawing = load_pipeline("tiny-random" if source == "in memory" else str(saved), images=True)
    assert pipe.vae is None
    image = drawing(prompt="a cat", num_inference_steps=1, height=64, width=64).images[0]
    assert image.size == (64, 64) and len(np.unique(np.asarray(image))) > 10
    plain = pipe if source == "in memory" else load_pipeline(str(saved))
    assert describe(drawing) == describe(plain)
    one, other = (capture_pair(p, small_set.pairs[0], 64, 0).sums.streams for p in (drawing, plain))
    assert all(np.array_equal(one[stream], other[stream]) for stream in one)


# --- saved pipelines ---------------------------------------------------------------------------------------


def test_saved_and_loaded_it_is_the_same_model(pipe, saved):
    loaded, again = load_pipeline(str(saved)), load_pipeline(str(saved))
    assert describe(loaded).fingerprint == describe(pipe).fingerprint
    assert torch.equal(sample(loaded), sample(again))
    # Weights in a file are aligned otherwise than in memory, so a CPU may round the last bit otherwise.
    torch.testing.assert_close(sample(loaded), sample(pipe), rtol=1e-5, atol=1e-5)


def test_a_marked_folder_stays_a_stand_in_under_another_name(saved):
    info = describe(load_pipeline(str(saved)))
    assert (info.model, info.weights, info.dtype) == ("FLUX.2-klein-base-4B", "stand-in", "float32")


def test_a_folder_without_a_mark_is_local_and_loads_in_bfloat16(folder):
    unmark(folder)
    info = describe(load_pipeline(str(folder)))
    assert (info.weights, info.revision, info.dtype) == ("local", None, "bfloat16")


def test_a_pipeline_from_elsewhere_is_described_without_its_path(pipe, saved):
    elsewhere = Flux2KleinPipeline.from_pretrained(saved, dtype=torch.float32)
    info = describe(elsewhere)
    assert info.fingerprint == describe(pipe).fingerprint
    assert (info.model, info.weights) == ("FLUX.2-klein-base-4B", "stand-in")


# --- the fingerprint ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "part",
    [
        "transformer.x_embedder.weight",
        "transformer.transformer_blocks.4.attn.to_add_out.weight",
        "transformer.single_transformer_blocks.19.attn.to_out.weight",
        "text_encoder.model.embed_tokens.weight",
        "text_encoder.model.layers.26.mlp.down_proj.weight",
        "text_encoder.model.layers.0.input_layernorm.weight",
    ],
)
@pytest.mark.parametrize("index", [0, -1])
def test_one_changed_number_changes_the_fingerprint(pipe, whole, part, index):
    (component, name), expected = part.split(".", 1), fingerprint(pipe)
    for changed, where in ((whole, name), (pipe, name.removeprefix("model."))):
        with nudged(getattr(changed, component).get_parameter(where), index):
            assert fingerprint(changed) != expected
        assert fingerprint(changed) == expected


@pytest.mark.parametrize("name", ["layers.27.mlp.down_proj.weight", "layers.27.self_attn.q_proj.weight"])
def test_encoder_layers_that_the_probe_never_reads_do_not_count(pipe, whole, name):
    before = sample(whole)
    with nudged(whole.text_encoder.model.get_parameter(name)):
        assert fingerprint(whole) == describe(pipe).fingerprint
        assert torch.equal(sample(whole), before)


def test_the_language_model_head_does_not_count(pipe, whole):
    other = Flux2KleinPipeline(**whole.components | {"text_encoder": copy.deepcopy(whole.text_encoder)})
    other.text_encoder.lm_head.weight = torch.nn.Parameter(other.text_encoder.lm_head.weight + 1, requires_grad=False)
    assert describe(other).fingerprint == describe(pipe).fingerprint


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("transformer/config.json", {"rope_theta": 3000}),
        ("transformer/config.json", {"eps": 1e-5}),
        ("text_encoder/config.json", {"rms_norm_eps": 1e-5}),
        ("text_encoder/config.json", {"rope_parameters": {"rope_theta": 77.0, "rope_type": "default"}}),
    ],
)
def test_another_setting_changes_the_fingerprint(pipe, folder, file, change):
    edit_json(folder / file, **change)
    assert describe(load_pipeline(str(folder))).fingerprint != describe(pipe).fingerprint


def test_another_chat_template_changes_the_fingerprint(pipe):
    tokenizer = copy.deepcopy(pipe.tokenizer)
    tokenizer.chat_template = tokenizer.chat_template.replace("user", "human") + " "
    other = Flux2KleinPipeline(**pipe.components | {"tokenizer": tokenizer})
    assert describe(other).fingerprint != describe(pipe).fingerprint


# --- errors ------------------------------------------------------------------------------------------------


def refused(model: str, match: str, **options) -> None:
    with pytest.raises(ModelError, match=match) as caught:
        load_pipeline(model, **options)
    assert "\n" not in str(caught.value)


def test_a_missing_folder_is_refused(tmp_path):
    refused(str(tmp_path / "nothing"), "no such folder. Give a local folder, a Hub id")


def test_a_folder_without_an_index_is_refused(tmp_path):
    refused(str(tmp_path), "no readable model_index.json")


@pytest.mark.parametrize("index", ["[]", "{", '"text"'])
def test_an_index_that_is_none_is_refused(tmp_path, index):
    (tmp_path / "model_index.json").write_text(index)
    refused(str(tmp_path), "no readable model_index.json")


def test_another_kind_of_pipeline_is_refused(folder):
    edit_json(folder / "model_index.json", _class_name="StableDiffusionPipeline")
    refused(str(folder), "holds a StableDiffusionPipeline, not a Flux2KleinPipeline. Choose a FLUX.2 Klein model")


@pytest.mark.parametrize("part", ["transformer/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"])
def test_truncated_weights_are_refused(folder, part):
    path = folder / part
    path.write_bytes(path.read_bytes()[:-1000])
    refused(str(folder), "files cannot be loaded")


def test_missing_weights_are_refused(folder):
    (folder / "transformer" / "diffusion_pytorch_model.safetensors").unlink()
    refused(str(folder), "files cannot be loaded")


def test_an_unknown_dtype_is_refused():
    refused("tiny-random", "unknown dtype 'float8'; choose one of bfloat16", dtype="float8")


@pytest.mark.parametrize("device", ["cuda", "meta", "toaster", ""])
def test_a_device_that_is_not_here_is_refused(device):
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    refused("tiny-random", "is not available here; try --device cpu", device=device)


# --- the hub -----------------------------------------------------------------------------------------------


def response(status: int) -> httpx2.Response:
    return httpx2.Response(status, request=httpx2.Request("GET", "https://huggingface.co/" + REPO))


def raiser(error: Exception):
    def download(*_args, **_kwargs):
        raise error

    return download


HUB_ERRORS = [
    (RepositoryNotFoundError("404", response=response(404)), "no such model on the Hub .*hf auth login"),
    (GatedRepoError("403", response=response(403)), "gated. Accept its terms on the Hub.*HF_TOKEN"),
    (LocalEntryNotFoundError("offline"), "cannot be reached .* Check the network, or use --model picture-book"),
    (httpx2.ConnectError("refused"), r"the download failed \(refused\). Try again"),
    (OSError(28, "No space left on device"), "No space left on device"),
]


@pytest.mark.parametrize(("error", "match"), HUB_ERRORS, ids=lambda v: type(v).__name__)
def test_a_hub_that_refuses_the_index_gives_one_error(monkeypatch, error, match):
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", raiser(error))
    refused(REPO, f"^{REPO}: .*{match}")


@pytest.mark.parametrize(("error", "match"), HUB_ERRORS, ids=lambda v: type(v).__name__)
def test_a_hub_that_fails_half_way_gives_one_error(monkeypatch, saved, error, match):
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_, **__: str(saved / "model_index.json"))
    monkeypatch.setattr(Flux2KleinPipeline, "download", raiser(error))
    refused(REPO, match)


def test_a_download_of_which_a_part_did_not_arrive_is_said_and_can_be_tried_again(hub):
    shutil.rmtree(hub / "vae")
    with pytest.raises(DownloadError, match=f"^{REPO}: only a part of it arrived .vae is missing.. Try again"):
        PhasedPipeline(REPO)


def test_what_trying_again_cannot_help_is_told_from_what_it_can(monkeypatch):
    monkeypatch.setattr(huggingface_hub, "is_offline_mode", lambda: False)
    for error, _ in HUB_ERRORS:
        monkeypatch.setattr(huggingface_hub, "hf_hub_download", raiser(error))
        with pytest.raises(ModelError) as caught:
            PhasedPipeline(REPO)
        final = isinstance(error, RepositoryNotFoundError | GatedRepoError)
        assert isinstance(caught.value, DownloadError) != final


def test_the_hub_out_of_reach_is_said_without_any_mock():
    refused("no-such-owner-here/no-such-model", "the Hub cannot be reached")


@pytest.fixture
def hub(monkeypatch, saved, tmp_path):
    """A hub that has the saved stand-in at one commit; returns the folder that it was downloaded to."""
    snapshot = Path(shutil.copytree(saved, tmp_path / "models--somebody--some-klein" / "snapshots" / COMMIT))

    def download(_repo_id, revision):
        assert revision == COMMIT, "index and weights have to be of one commit"
        return snapshot

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_, **__: str(snapshot / "model_index.json"))
    monkeypatch.setattr(Flux2KleinPipeline, "download", download)
    return snapshot


def test_a_hub_model_without_a_mark_is_pretrained_and_has_its_commit(hub):
    unmark(hub)
    info = PhasedPipeline(REPO).load_both().info
    assert info == PhasedPipeline(REPO).load_in_turn().info
    assert (info.model, info.revision, info.weights, info.dtype) == (REPO, COMMIT, "pretrained", "bfloat16")


@pytest.mark.parametrize("how", ["loader's pipeline", "diffusers", "the cache's folder by its path"])
def test_only_the_loader_says_that_weights_are_the_hubs(hub, how):
    unmark(hub)
    if how == "the cache's folder by its path":
        loaded = PhasedPipeline(str(hub)).load_both()
    else:
        pipe = load_pipeline(REPO) if how == "loader's pipeline" else Flux2KleinPipeline.from_pretrained(hub)
        with nudged(pipe.transformer.get_parameter("x_embedder.weight")):
            loaded = identify(pipe)
    assert (loaded.info.model, loaded.info.revision, loaded.info.weights) == (REPO, None, "local")


def test_changed_weights_are_another_model_and_the_loaders_answer_is_of_when_it_was_asked(pipe):
    before = identify(pipe)
    with nudged(pipe.transformer.get_parameter("x_embedder.weight")):
        assert identify(pipe).info.fingerprint != before.info.fingerprint
    assert identify(pipe).info == before.info


def test_a_stand_in_on_the_hub_is_still_a_stand_in(hub):
    info = PhasedPipeline(REPO).load_both().info
    assert (info.revision, info.weights) == (COMMIT, "stand-in")


def test_a_wrong_hub_model_is_refused_before_its_weights_are_fetched(hub, monkeypatch):
    edit_json(hub / "model_index.json", _class_name="StableDiffusionPipeline")
    monkeypatch.setattr(Flux2KleinPipeline, "download", raiser(AssertionError("weights were fetched")))
    refused(REPO, "holds a StableDiffusionPipeline")


# --- imports -----------------------------------------------------------------------------------------------


def test_importing_models_imports_neither_torch_nor_diffusers():
    code = "import sys, plantain.models.load; print(sorted({'torch', 'diffusers', 'transformers'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert out.stdout.strip() == "[]", out.stderr


def test_an_accelerator_goes_by_the_name_that_torch_gives_it(monkeypatch):
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: f"Card {device.index}")
    assert name_of_device(torch.device("cuda", 1)) == "Card 1"
    assert name_of_device(torch.device("cpu")).startswith("cpu (")
