"""Capture: the hooks see what the full pipeline call computes, change nothing, and always go away."""

import copy
import unicodedata
from contextlib import contextmanager
from itertools import product

import numpy as np
import pytest
import torch
from diffusers import Flux2Transformer2DModel
from helpers import capture_pair, forward

from plantain.models.load import load_pipeline
from plantain.models.stand_in import build_stand_in
from plantain.probe.denoising import encode, image_tokens
from plantain.probe.hooks import recording
from plantain.probe.passes import layout_of
from plantain.probe.tokens import ProbeError, Segment, compare_tokens, tokenize
from plantain.prompts.sets import PromptError, PromptPair
from plantain.runs.scopes import PLAIN_SCOPES, SCOPES, UNITS
from plantain.runs.units import Layout, Selection, SelectionError, magnitudes, unit_table

pytestmark = pytest.mark.smoke

SIZE, SEED = 64, 3


def projections(transformer) -> dict[str, torch.nn.Module]:
    """The text input's module and every attention output projection, listed independently of the package."""
    found = {"embedding 0": transformer.context_embedder}
    for i, block in enumerate(transformer.transformer_blocks):
        found[f"joint image {i}"] = block.attn.to_out[0]
        found[f"joint text {i}"] = block.attn.to_add_out
    for i, block in enumerate(transformer.single_transformer_blocks):
        found[f"single {i}"] = block.attn.to_out
    return found


@contextmanager
def tapped(transformer):
    """Keep a copy of the raw input of every projection."""
    raw: dict[str, torch.Tensor] = {}
    handles = [
        module.register_forward_pre_hook(lambda _, args, name=name: raw.__setitem__(name, args[0].clone()))
        for name, module in projections(transformer).items()
    ]
    yield raw
    for handle in handles:
        handle.remove()


def full_call(pipe, prompt: str) -> dict[str, torch.Tensor]:
    """Run the card's own call, which needs the whole pipeline, and return the raw inputs."""
    with tapped(pipe.transformer) as raw:
        pipe(
            prompt=prompt, height=SIZE, width=SIZE, num_inference_steps=1, guidance_scale=1.0,
            generator=torch.Generator("cpu").manual_seed(SEED), output_type="latent",
        )  # fmt: skip
    return raw


def probe_call(pipe, prompt: str) -> dict[str, torch.Tensor]:
    """Run the probe's pass, recording, and return the raw inputs."""
    segments = tokenize(pipe.tokenizer, prompt).segments
    with tapped(pipe.transformer) as raw, recording(pipe.transformer, [segments], image_tokens(pipe, SIZE)):
        forward(pipe, encode(pipe, [prompt]), SIZE, SEED)
    return raw


def pre_hooks(module: torch.nn.Module) -> int:
    return sum(len(m._forward_pre_hooks) for m in module.modules())


@pytest.fixture(scope="module")
def bfloat_pipe():
    return load_pipeline("tiny-random", dtype="bfloat16")


@pytest.fixture(scope="module")
def bfloat_whole():
    return build_stand_in().to(dtype=torch.bfloat16)


@pytest.fixture(scope="module")
def pair(moral_set) -> PromptPair:
    return moral_set.pairs[0]


@pytest.fixture(scope="module")
def klein_on_meta():
    """Klein 4B's transformer at full size, without memory for its weights."""
    with torch.device("meta"):
        return Flux2Transformer2DModel(
            num_layers=5, num_single_layers=20, attention_head_dim=128, num_attention_heads=24, in_channels=128,
            joint_attention_dim=7680, mlp_ratio=3.0, axes_dims_rope=(32, 32, 32, 32), rope_theta=2000,
            guidance_embeds=False,
        )  # fmt: skip


# --- the pass ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_recorded_pass_equals_the_full_pipeline_call_at_every_hook(request, pair, dtype):
    pipe, whole = (request.getfixturevalue(("" if dtype == "float32" else "bfloat_") + n) for n in ("pipe", "whole"))
    expected, got = full_call(whole, pair.positive), probe_call(pipe, pair.positive)
    assert len(expected) == 31 and expected.keys() == got.keys()
    for name, tensor in expected.items():
        assert tensor.dtype == getattr(torch, dtype)
        assert torch.equal(tensor, got[name]), name


def test_another_prompt_or_seed_changes_what_the_hooks_see(pipe, whole, pair):
    one, other = full_call(whole, pair.positive), full_call(whole, pair.negative)
    assert not torch.equal(one["joint image 0"], other["joint image 0"])
    with tapped(pipe.transformer) as forward_raw:
        forward(pipe, encode(pipe, [pair.positive]), SIZE, SEED + 1)
    assert not torch.equal(one["single 19"], forward_raw["single 19"])


def test_everything_before_the_first_difference_is_embedded_alike(pipe, moral_set):
    for pair in moral_set.pairs[:5]:
        first, differing = compare_tokens(*(tokenize(pipe.tokenizer, p) for p in (pair.positive, pair.negative)))
        assert 6 <= first < 512 and differing > 0
        positive, negative = (pipe.encode_prompt(prompt=p)[0][0] for p in (pair.positive, pair.negative))
        assert torch.equal(positive[:first], negative[:first])
        assert not torch.equal(positive[first], negative[first])


# --- magnitudes --------------------------------------------------------------------------------------------


def own_scopes(prompt: str, n_image: int) -> dict[str, np.ndarray]:
    """Positions of each scope in text + image, counted by hand: one token a byte, 6 before, 19 after."""
    words = 6 + len(prompt.encode())
    return {
        "template": np.r_[0:6, words : words + 19],
        "words": np.r_[6:words],
        "padding": np.r_[words + 19 : 512],
        "image": np.r_[512 : 512 + n_image],
    }


def own_magnitudes(raw: dict[str, torch.Tensor], prompt: str, units: str, scope: str) -> list[float]:
    """RMS in float64, unit by unit, straight from the raw tensors."""
    scopes = own_scopes(prompt, 16)
    wanted = np.concatenate([scopes[s] for s in SCOPES[scope] if s in scopes])
    width = {"card": 16, "embedding": 16}.get(units, 32)
    found = []
    for name, tensor in sorted(raw.items(), key=lambda item: (item[0][0] == "s", int(item[0].split()[-1]))):
        stream = name.rsplit(" ", 1)[0]
        rows = {
            "embedding": wanted[wanted < 512],
            "joint image": wanted[wanted >= 512] - 512,
            "joint text": wanted[wanted < 512],
            "single": wanted,
        }[stream]
        channels = {
            ("card", "joint image"): (0, 128), ("card", "single"): (0, 512), ("heads", "joint image"): (0, 128),
            ("heads", "single"): (0, 128), ("text-heads", "joint text"): (0, 128), ("mlp", "single"): (128, 512),
            ("embedding", "embedding"): (0, 96),
        }.get((units, stream), (0, 0))  # fmt: skip
        if len(rows):
            x = tensor[0].double().numpy()[rows]
            found += [np.sqrt(np.mean(x[:, c : c + width] ** 2)) for c in range(*channels, width)]
    return found


@pytest.fixture(scope="module")
def captured(pipe, whole, pair):
    """A pair's capture, and the raw tensors of the full calls on both of its prompts."""
    prompts = (pair.positive, pair.negative)
    return capture_pair(pipe, pair, SIZE, SEED), [(prompt, full_call(whole, prompt)) for prompt in prompts]


@pytest.mark.parametrize(("units", "scope"), list(product(UNITS, [*PLAIN_SCOPES, "all", "prompt"])))
def test_magnitudes_equal_hooks_placed_by_hand(pipe, captured, units, scope):
    capture, raws = captured
    if units in ("text-heads", "embedding") and scope == "image":
        with pytest.raises(SelectionError, match="have no tokens of scope 'image'"):
            magnitudes(capture.sums, layout_of(pipe), Selection(units, scope))
        return
    got = magnitudes(capture.sums, layout_of(pipe), Selection(units, scope))
    expected = [own_magnitudes(raw, prompt, units, scope) for prompt, raw in raws]
    assert got.shape == (2, 1, len(expected[0])) and got.size
    np.testing.assert_allclose(got[:, 0], expected, rtol=1e-6)
    assert not np.array_equal(got[0], got[1])


def test_a_capture_counts_every_token_once(captured):
    tokens = captured[0].sums.tokens
    assert tokens.sum(axis=2).tolist() == [[512 + 16], [512 + 16]]
    assert tokens[:, 0, 3].tolist() == [16, 16] and tokens[:, 0, 0].tolist() == [25, 25]


def test_the_same_pair_twice_leaves_the_same_bits(pipe, pair, captured):
    again = capture_pair(pipe, pair, SIZE, SEED)
    for stream, values in captured[0].sums.streams.items():
        assert values.dtype == np.float32 and np.array_equal(values, again.sums.streams[stream])


# --- Klein 4B's shape --------------------------------------------------------------------------------------


def test_kleins_projections_agree_with_the_layout(klein_on_meta):
    layout = Layout.from_config(klein_on_meta.config)
    for name, module in projections(klein_on_meta).items():
        stream = name.rsplit(" ", 1)[0].replace(" ", "_")
        assert module.in_features == layout.n_channels(stream), name
    counts = [
        unit_table(layout, Selection(units)).n_units for units in ("card", "heads", "text-heads", "mlp", "embedding")
    ]
    assert counts == [16_320, 600, 120, 1_440, 480]


@pytest.mark.parametrize("level", ["off", "heads", "all"])
def test_the_hooks_fit_kleins_shapes_and_never_read_a_number(klein_on_meta, level):
    """A tensor on the meta device has no numbers: whoever wants one (item, cpu, bool) gets an error."""
    text = (
        Segment("template", 0, 3),
        Segment("words", 3, 30),
        Segment("template", 30, 40),
        Segment("padding", 40, 512),
    )
    recorded = recording(klein_on_meta, [text], 1024, directions=level)
    with torch.device("meta"), recorded as recorder, torch.no_grad():
        klein_on_meta(
            hidden_states=torch.empty(1, 1024, 128), timestep=torch.ones(1), guidance=None,
            encoder_hidden_states=torch.empty(1, 512, 7680), txt_ids=torch.zeros(1, 512, 4),
            img_ids=torch.zeros(1, 1024, 4), return_dict=False,
        )  # fmt: skip
    with pytest.raises(NotImplementedError, match="meta"):  # now, and only now, the numbers are fetched
        recorder.collect(Layout.from_config(klein_on_meta.config), ["a prompt"])


def test_all_sums_are_fetched_at_once(pipe, pair, monkeypatch):
    fetched, fetch = [], torch.Tensor.cpu
    segments = tokenize(pipe.tokenizer, pair.positive).segments
    with recording(pipe.transformer, [segments], 16) as recorder:
        forward(pipe, encode(pipe, [pair.positive]), SIZE, SEED)
    monkeypatch.setattr(torch.Tensor, "cpu", lambda self: fetched.append(self.shape) or fetch(self))
    recorder.collect(layout_of(pipe), [pair.positive])
    assert len(fetched) == 1


# --- hooks go away -----------------------------------------------------------------------------------------


def test_hooks_are_gone_after_a_pass(pipe, pair):
    capture_pair(pipe, pair, SIZE, SEED)
    assert pre_hooks(pipe.transformer) == 0


def test_hooks_are_gone_after_an_exception(pipe):
    def fail():
        assert pre_hooks(pipe.transformer) == 31
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), recording(pipe.transformer, [(Segment("words", 0, 512),)], 16):
        fail()
    assert pre_hooks(pipe.transformer) == 0


@pytest.mark.parametrize("broken", ["transformer_blocks", "single_transformer_blocks"])
def test_hooks_are_gone_when_a_block_in_the_middle_cannot_take_one(pipe, broken):
    transformer = copy.deepcopy(pipe.transformer)
    del getattr(transformer, broken)[3].attn.to_out
    with (
        pytest.raises(ProbeError, match="not a Flux2 transformer.*to_out"),
        recording(transformer, [(Segment("words", 0, 512),)], 16),
    ):
        pytest.fail("the block must not run")
    assert pre_hooks(transformer) == 0


# --- what cannot be recorded -------------------------------------------------------------------------------


@contextmanager
def planted(module: torch.nn.Module, value: float):
    """Put one bad number into a projection's input."""

    def plant(_module, args):
        x = args[0].clone()
        x[0, 7, 11] = value
        return (x,)

    handle = module.register_forward_pre_hook(plant)
    try:
        yield
    finally:
        handle.remove()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    ("place", "block"),
    [
        ("joint image 2", "joint[2]"),
        ("joint text 1", "joint[1]"),
        ("single 0", "single[0]"),
        ("single 19", "single[19]"),
    ],
)
def test_a_bad_activation_is_refused_with_block_and_prompt(pipe, pair, place, block, value):
    with planted(projections(pipe.transformer)[place], value), pytest.raises(ProbeError) as caught:
        capture_pair(pipe, pair, SIZE, SEED)
    assert str(caught.value).startswith(f"{block}: NaN or infinite activation")
    assert repr(pair.positive) in str(caught.value) and "float32" in str(caught.value)
    assert pre_hooks(pipe.transformer) == 0


def test_a_pass_with_other_tokens_than_announced_is_refused(pipe, pair):
    segments = tokenize(pipe.tokenizer, pair.positive).segments
    with (
        pytest.raises(ProbeError, match=r"\(1, 16\) .* where \(1, 25\)"),
        recording(pipe.transformer, [segments], 25),
    ):
        forward(pipe, encode(pipe, [pair.positive]), SIZE, SEED)


def test_a_block_that_never_ran_is_named(pipe, pair):
    with recording(pipe.transformer, [tokenize(pipe.tokenizer, pair.positive).segments], 16) as recorder:
        pass
    with pytest.raises(ProbeError, match=r"embedding: its input was never seen"):
        recorder.collect(layout_of(pipe), [pair.positive])


def test_too_little_memory_is_said_in_one_sentence(pipe, pair):
    def overflow(_module, _args):
        raise torch.OutOfMemoryError("CUDA out of memory")

    handle = pipe.transformer.register_forward_pre_hook(overflow)
    with pytest.raises(ProbeError, match="too little memory at 64 px; choose a smaller image"):
        capture_pair(pipe, pair, SIZE, SEED)
    handle.remove()
    assert pre_hooks(pipe.transformer) == 0


# --- tokens ------------------------------------------------------------------------------------------------

PROMPTS = [
    "Maria helps.", "x", "3 men and 1 dog", "“Quoted,” she said", "'tis so", "!?…", "naïve café", "日本語の文",
    "🍌 eats 🍌", "e\u0301 combining", "line\nbreak\tand tab", "user assistant x x x", "a" * 400,
]  # fmt: skip


def pipeline_ids(pipe, prompt: str) -> list[int]:
    """The ids that the pipeline itself gives to its text encoder."""
    seen = []
    handle = pipe.text_encoder.register_forward_pre_hook(
        lambda _m, _a, kwargs: seen.append(kwargs["input_ids"]), with_kwargs=True
    )
    pipe.encode_prompt(prompt=prompt)
    handle.remove()
    return seen[0][0].tolist()


@pytest.mark.parametrize("prompt", PROMPTS, ids=range(len(PROMPTS)))
def test_tokens_are_the_pipelines_own_and_split_into_scopes(pipe, prompt):
    tokens = tokenize(pipe.tokenizer, prompt)
    assert list(tokens.ids) == pipeline_ids(pipe, prompt)
    assert [s.scope for s in tokens.segments] == ["template", "words", "template", "padding"]
    edges = [0] + [edge for s in tokens.segments for edge in (s.start, s.stop)] + [512]
    assert edges[0::2] == edges[1::2], "segments must cover every token once"
    words, composed = tokens.segments[1], unicodedata.normalize("NFC", prompt)  # as Qwen's tokenizer does
    assert pipe.tokenizer.decode(tokens.ids[words.start : words.stop]) == composed
    assert tokens.count("words") == len(composed.encode()) and tokens.count("template") == 25


def test_a_prompt_that_fills_all_tokens_has_no_padding(pipe):
    tokens = tokenize(pipe.tokenizer, "y" * (512 - 25))
    assert tokens.count("padding") == 0 and tokens.segments[-1].stop == 512


@pytest.mark.parametrize(
    ("prompt", "match"),
    [
        ("", "empty; write a sentence"),
        (" \n\t ", "empty; write a sentence"),
        ("y" * (512 - 24), "has 513 tokens, 512 are possible"),
        ("stop <|im_end|> here", "control token"),
        ("<think>", "control token"),
        ("<|endoftext|>", "control token"),
        ("half an emoji \ud83c", "not valid Unicode"),
    ],
)
def test_a_prompt_that_the_model_would_not_take_as_it_is_is_refused(pipe, prompt, match):
    with pytest.raises(PromptError, match=match):
        tokenize(pipe.tokenizer, prompt)


def test_a_template_that_changes_the_prompt_is_found_out(pipe):
    tokenizer = copy.deepcopy(pipe.tokenizer)
    tokenizer.chat_template = tokenizer.chat_template.replace("message.content", "message.content | trim")
    assert tokenize(tokenizer, "fine").count("words") == 4
    with pytest.raises(PromptError, match="remove leading and trailing blanks"):
        tokenize(tokenizer, " not fine")


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [("abc", "abc", (512, 0)), ("abc", "xbc", (6, 1)), ("abc", "abx", (8, 1)), ("abcd", "xbcx", (6, 2))],
)
def test_token_sequences_are_compared(pipe, one, other, expected):
    assert compare_tokens(tokenize(pipe.tokenizer, one), tokenize(pipe.tokenizer, other)) == expected
