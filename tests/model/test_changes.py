"""A model that somebody has changed is noticed when a run starts, and the run is never taken for the plain model's."""

import copy
import dataclasses
import json
import types
from contextlib import contextmanager

import pytest
import torch
from diffusers import Flux2KleinPipeline
from made import made_info

from plantain.models.changes import structural_changes
from plantain.models.fingerprint import changed, describe
from plantain.models.load import PhasedPipeline, as_it_is, load_pipeline
from plantain.probe.runner import ProbeConfig, run_probe
from plantain.report.labels import provenance
from plantain.report.statements import Kind, notes
from plantain.runs.info import NotComparableError, check_same_model
from plantain.runs.io import load_run, save_run

CONFIG = ProbeConfig(size=64)
OUT = "single_transformer_blocks.19.attn.to_out"


@pytest.fixture(scope="module")
def own():
    """A pipeline of this file, which its tests change and put back; with half the padding it is quick."""
    pipe = load_pipeline("tiny-random", device="cpu")
    pipe.tokenizer_max_length = 256
    return pipe


@pytest.fixture(scope="module")
def plain(own, small_set):
    """A run of the plain model."""
    return run_probe(own, small_set, CONFIG)


def zero_head(_module, args):
    changed = args[0].clone()
    changed[..., :32] = 0
    return (changed,)


def zero_mlp(_module, _args, output):
    return output * 0


class Lora(torch.nn.Module):
    """What peft puts in a layer's place, as far as anybody outside sees it."""

    active_adapters = ("style",)

    def __init__(self, base_layer):
        super().__init__()
        self.base_layer, self.lora_A = base_layer, torch.nn.ModuleDict({"style": torch.nn.Identity()})

    def forward(self, x):
        return self.base_layer(x)


Lora.__module__ = "peft.tuners.lora.layer"


class Plainer:
    """An attention processor of somebody's own."""

    def __init__(self, inner):
        self.inner = inner

    def __call__(self, *args, **kwargs):
        return self.inner(*args, **kwargs)


@contextmanager
def hooked(pipe):
    handle = pipe.transformer.get_submodule(OUT).register_forward_pre_hook(zero_head)
    yield
    handle.remove()


@contextmanager
def hooked_encoder(pipe):
    handle = pipe.text_encoder.layers[3].mlp.register_forward_hook(zero_mlp)
    yield
    handle.remove()


@contextmanager
def hooked_everywhere(_pipe):
    handle = torch.nn.modules.module.register_module_forward_pre_hook(zero_head)
    yield
    handle.remove()


@contextmanager
def with_processor(pipe):
    attention = pipe.transformer.transformer_blocks[2].attn
    before = attention.processor
    attention.set_processor(Plainer(before))
    yield
    attention.set_processor(before)


@contextmanager
def fused(pipe):
    pipe.transformer.fuse_qkv_projections()
    yield
    pipe.transformer.unfuse_qkv_projections()
    for block in pipe.transformer.transformer_blocks:  # what the library leaves
        for name in ("to_qkv", "to_added_qkv"):
            if hasattr(block.attn, name):
                delattr(block.attn, name)


@contextmanager
def replaced(owner, name, make):
    """Put another module in the place of one, made of it, for a while."""
    before = getattr(owner, name)
    setattr(owner, name, make(before))
    yield
    setattr(owner, name, before)


def adapted(pipe):
    return replaced(pipe.transformer.single_transformer_blocks[4].attn, "to_out", Lora)


def adapted_encoder(pipe):
    return replaced(pipe.text_encoder.layers[5].self_attn, "q_proj", Lora)


def without_mlp(pipe):
    return replaced(pipe.text_encoder.layers[1], "mlp", lambda _: torch.nn.Identity())


@contextmanager
def ablated(pipe):
    weight = pipe.transformer.get_submodule(OUT).weight
    before = weight.detach().clone()
    with torch.no_grad():
        weight[:, :32] = 0
    yield
    with torch.no_grad():
        weight.copy_(before)


@contextmanager
def other_forward(pipe):
    module = pipe.transformer.get_submodule(OUT)
    module.forward = lambda x: torch.nn.functional.linear(x, module.weight) * 2
    yield
    del module.forward


@contextmanager
def other_encoding(pipe):
    pipe.encode_prompt = lambda *args, **kwargs: Flux2KleinPipeline.encode_prompt(pipe, *args, **kwargs)
    yield
    del pipe.encode_prompt


@contextmanager
def other_template(pipe):
    before = pipe.tokenizer.chat_template
    pipe.tokenizer.chat_template = before.replace("user", "human") + " "
    yield
    pipe.tokenizer.chat_template = before


CHANGES = {
    hooked: f"transformer: hook zero_head ({OUT})",
    hooked_encoder: "text encoder: hook zero_mlp (layers.3.mlp)",
    hooked_everywhere: "hooks on all modules (zero_head)",
    with_processor: "transformer: attention processor Plainer (transformer_blocks.2.attn)",
    fused: "transformer: fused projections (transformer_blocks.0.attn, transformer_blocks.1.attn, "
    "transformer_blocks.2.attn and 2 more)",
    adapted: "transformer: adapter lora style (single_transformer_blocks.4.attn.to_out)",
    adapted_encoder: "text encoder: adapter lora style (layers.5.self_attn.q_proj)",
    without_mlp: "text encoder: replaced by Identity (layers.1.mlp)",
    ablated: "transformer: weights changed since they were loaded",
    other_forward: f"transformer: replaced forward ({OUT})",
    other_encoding: "the pipeline's encode_prompt is replaced",
    other_template: "chat template: changed since it was loaded",
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_is_named_and_the_model_is_no_longer_the_plain_one(own, change):
    plain = as_it_is(own).info
    assert plain.changes == () and plain.model == "tiny-random"
    with change(own):
        info = as_it_is(own).info
        assert CHANGES[change] in info.changes, info.changes
        assert (info.model, info.weights) == ("tiny-random (changed)", "stand-in")
        assert info.fingerprint != plain.fingerprint
    assert as_it_is(own).info == plain, "put back, it is the plain model again"


def test_an_ablated_run_says_so_wherever_its_model_is_named(own, plain, small_set, tmp_path):
    with hooked(own), pytest.warns(UserWarning, match="not as it was loaded.*hook zero_head"):
        run = run_probe(own, small_set, CONFIG)
    assert run.info.changes == (CHANGES[hooked],)
    loaded = load_run(save_run(run, tmp_path / "ablated"))
    assert loaded.info == run.info
    assert CHANGES[hooked] in provenance(loaded) and "tiny-random (changed)" in repr(loaded)
    kept = json.loads((tmp_path / "ablated" / "run.json").read_text(encoding="utf-8"))["info"]
    assert kept["changes"] == [CHANGES[hooked]] and kept["model"] == "tiny-random (changed)"
    said = [note.text for note in notes(loaded, loaded.headline()) if note.kind == Kind.COMPARABLE]
    assert any(CHANGES[hooked] in text for text in said), said
    with pytest.raises(NotComparableError, match="made with a changed model .transformer: hook zero_head"):
        check_same_model(as_it_is(own).info, run.info)


def test_a_plain_run_is_saved_as_before(own, plain, tmp_path):
    save_run(plain, tmp_path / "plain")
    assert "changes" not in json.loads((tmp_path / "plain" / "run.json").read_text(encoding="utf-8"))["info"]
    assert plain.info.changes == as_it_is(own).info.changes == ()  # what passes leave on a model is no change
    assert plain.info.fingerprint == describe(own).fingerprint


def test_a_loaded_model_that_was_changed_since_is_noticed_and_loses_its_origin():
    loaded = PhasedPipeline("tiny-random", "cpu").load_both()
    named = dataclasses.replace(loaded, info=dataclasses.replace(loaded.info, weights="pretrained", revision="a" * 40))
    assert as_it_is(named) == named
    with ablated(named.pipe):
        info = as_it_is(named).info
    assert (info.weights, info.revision, info.changes) == ("stand-in", None, (CHANGES[ablated],))
    assert changed(named.info, ("it was",)).weights == "local"


def test_a_whole_pipeline_from_elsewhere_is_no_changed_one(whole):
    assert as_it_is(whole).info.changes == ()
    other = Flux2KleinPipeline(**whole.components | {"transformer": copy.deepcopy(whole.transformer)})
    assert as_it_is(other).info.changes == ()


def test_a_model_that_is_moved_by_a_library_is_no_changed_one(own):
    from accelerate.hooks import AlignDevicesHook, add_hook_to_module, remove_hook_from_module

    add_hook_to_module(own.transformer, AlignDevicesHook(execution_device="cpu"))
    assert as_it_is(own).info.changes == ()
    remove_hook_from_module(own.transformer)
    vars(own.transformer).pop("forward", None)


def test_of_very_many_changes_a_run_keeps_what_its_file_takes(own):
    handles = []
    for i in range(120):
        hook = types.FunctionType(zero_head.__code__, globals(), f"hook_{i}")
        handles.append(own.transformer.get_submodule(OUT).register_forward_pre_hook(hook))
    changes = structural_changes(own)
    for handle in handles:
        handle.remove()
    assert len(changes) == 51 and changes[0] == f"transformer: hook hook_0 ({OUT})"
    assert changes[-1] == "and 70 more kinds of changes"
    assert made_info(changes=changes).changes == changes
