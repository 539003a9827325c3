"""A model part that lacks tensors or holds others, and a tokenizer that is not whole: refused when the model loads."""

import json
import re
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch
from few import run_args, without_warnings, write_set

from plantain.models.load import load_pipeline
from plantain.models.sources import ModelError
from plantain.ui.engine import Engine

pytestmark = pytest.mark.smoke

FILES = {
    "transformer": "diffusion_pytorch_model.safetensors",
    "vae": "diffusion_pytorch_model.safetensors",
    "text_encoder": "model.safetensors",
}


@pytest.fixture(scope="module")
def saved(whole, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("parts") / "whole"
    whole.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "model"))


def rewrite(folder, part, change):
    path = folder / part / FILES[part]
    tensors = change(safetensors.torch.load_file(path))
    safetensors.torch.save_file(tensors, path, metadata={"format": "pt"})


def adapter_inside(folder, part):
    """As a model is saved while an adapter sits in it."""

    def change(tensors):
        name = next(n for n in sorted(tensors) if n.endswith("weight") and tensors[n].ndim == 2 and "embed" not in n)
        stem, weight = name.removesuffix(".weight"), tensors.pop(name)
        rows, columns = weight.shape
        return tensors | {
            f"{stem}.base_layer.weight": weight,
            f"{stem}.lora_A.default.weight": torch.zeros(2, columns),
            f"{stem}.lora_B.default.weight": torch.zeros(rows, 2),
        }

    rewrite(folder, part, change)


def adapter_beside(folder, part):
    """All that belongs there, and more."""
    rewrite(folder, part, lambda tensors: tensors | {"lora_A.default.weight": torch.zeros(2, 2)})


def prefixed(folder, part):
    rewrite(folder, part, lambda tensors: {f"net.inner.{name}": tensor for name, tensor in tensors.items()})


def half_gone(folder, part):
    rewrite(folder, part, lambda tensors: {name: tensors[name] for name in sorted(tensors)[: len(tensors) // 2]})


def half_an_index(folder, part):
    """Two shards, of which the index names one."""
    path = folder / part / FILES[part]
    tensors, stem = safetensors.torch.load_file(path), path.stem
    path.unlink()
    names = sorted(tensors)
    for i, own in enumerate((names[::2], names[1::2]), start=1):
        shard = path.with_name(f"{stem}-0000{i}-of-00002.safetensors")
        safetensors.torch.save_file({name: tensors[name] for name in own}, shard, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": dict.fromkeys(names[::2], f"{stem}-00001-of-00002.safetensors")}
    (folder / part / f"{path.name}.index.json").write_text(json.dumps(index), encoding="utf-8")


def shard_truncated(folder, part):
    path = folder / part / FILES[part]
    path.write_bytes(path.read_bytes()[:-1000])


def weights_gone(folder, part):
    (folder / part / FILES[part]).unlink()


def other_shape(folder, part):
    """Of another model of the kind."""

    def change(tensors):
        name = next(n for n in sorted(tensors) if tensors[n].ndim == 2)
        return tensors | {name: torch.cat([tensors[name]] * 2)}

    rewrite(folder, part, change)


DAMAGES = {
    adapter_inside: "lacks 1 of its tensors .*holds 3 that are none of its own .*An adapter is saved inside: merge it",
    adapter_beside: "holds 1 that are none of its own .lora_A.default.weight.. An adapter",
    prefixed: "lacks [0-9]+ of its tensors .*holds [0-9]+ that are none of its own .net.inner.",
    half_gone: "lacks [0-9]+ of its tensors .*Its files are not whole",
    half_an_index: "lacks [0-9]+ of its tensors .*Its files are not whole",
    shard_truncated: "'s files cannot be loaded",
    weights_gone: "'s files cannot be loaded",
    other_shape: "'s files cannot be loaded",
}


def refusal(folder, images=True) -> str:
    with pytest.raises(ModelError) as caught:
        load_pipeline(str(folder), device="cpu", images=images)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("part", FILES)
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_part_that_is_not_whole_is_named_when_the_model_loads(folder, damage, part):
    damage(folder, part)
    said = refusal(folder)
    assert re.search(rf"^\S+: (the )?{part}( .*)?{DAMAGES[damage]}", said), said


@pytest.mark.parametrize("part", ["transformer", "text_encoder"])
def test_the_command_ends_with_one_line_and_the_page_has_the_same_words(folder, part, cli, tmp_path):
    adapter_inside(folder, part)
    said = refusal(folder, images=False)
    words = run_args(write_set(tmp_path / "few.toml"), tmp_path / "out")
    words[2] = str(folder)
    code, out, err = cli(*words)  # which says first what is wrong with the words of that set
    assert (code, out) == (2, "") and without_warnings(err) == f"plantain: {said}\n"
    assert not (tmp_path / "out").exists()
    engine = Engine(str(folder))
    engine.load()
    assert engine.status().state == "failed" and said in engine.status().text


def test_a_page_whose_vae_is_not_whole_is_ready_and_says_why_it_draws_nothing(folder):
    half_gone(folder, "vae")
    said = refusal(folder)
    engine = Engine(str(folder))
    engine.load()
    assert engine.status().state == "ready" and not engine.draws
    assert f"It draws no pictures: {said}" in engine.status().text


def test_a_whole_folder_still_loads_and_so_does_half_an_encoder_that_was_saved(saved, tmp_path):
    pipe = load_pipeline(str(saved), device="cpu", images=True)
    half = Path(shutil.copytree(saved, tmp_path / "half"))
    shutil.rmtree(half / "text_encoder")
    pipe.text_encoder.save_pretrained(half / "text_encoder")
    load_pipeline(str(half), device="cpu")


# --- the tokenizer -----------------------------------------------------------------------------------------


def without(*names):
    def change(folder):
        for name in names:
            (folder / name).unlink()

    return change


def cut(name):
    def change(folder):
        (folder / name).write_bytes((folder / name).read_bytes()[:-100])

    return change


def template(text):
    return lambda folder: (folder / "chat_template.jinja").write_text(text, encoding="utf-8")


def vocabulary_alone(folder):
    """As an older folder has it, without its merges."""
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    (folder / "vocab.json").write_text(json.dumps(content["model"]["vocab"]), encoding="utf-8")
    (folder / "tokenizer.json").unlink()


def without_control_tokens(folder):
    """As a tokenizer for other texts has them."""
    for path in folder.glob("*.json"):
        path.write_text(path.read_text(encoding="utf-8").replace("<|im_start|>", "<|im_begin|>"), encoding="utf-8")


TOKENIZERS = {
    "no template": (without("chat_template.jinja"), "has no chat template .chat_template.jinja."),
    "no tokenizer.json": (without("tokenizer.json"), "holds no tokenizer.json"),
    "no folder": (lambda folder: shutil.rmtree(folder), "holds no tokenizer.json"),
    "nothing in it": (lambda folder: [path.unlink() for path in folder.iterdir()], "holds no tokenizer.json"),
    "a vocabulary alone": (vocabulary_alone, "holds no tokenizer.json"),
    "a cut tokenizer.json": (cut("tokenizer.json"), "tokenizer.json is damaged"),
    "a cut configuration": (cut("tokenizer_config.json"), "tokenizer_config.json is damaged"),
    "an empty template": (template(""), "chat template"),
    "a template that breaks off": (template("{% for message in messages %}<|im_start|>"), "chat template fails"),
    "a template without the prompt": (template("<|im_start|>user"), "leaves the prompt out"),
    "no control tokens": (without_control_tokens, "does not know the control token"),
}


@pytest.mark.parametrize("case", TOKENIZERS)
def test_a_tokenizer_that_is_not_whole_is_refused_when_the_model_loads(folder, case):
    damage, match = TOKENIZERS[case]
    damage(folder / "tokenizer")
    said = refusal(folder, images=False)
    assert said.startswith(f"{folder}: ") and "tokenizer" in said and re.search(match, said), said


def test_so_are_the_command_and_the_page(folder, cli, tmp_path):
    (folder / "tokenizer" / "chat_template.jinja").unlink()
    said = refusal(folder, images=False)
    words = run_args(write_set(tmp_path / "few.toml"), tmp_path / "out")
    words[2] = str(folder)
    code, out, err = cli(*words)  # which says first what is wrong with the words of that set
    assert (code, out) == (2, "") and without_warnings(err) == f"plantain: {said}\n"
    engine = Engine(str(folder))
    engine.load()
    assert engine.status().state == "failed" and said in engine.status().text
