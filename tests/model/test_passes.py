"""Passes: several prompts at once give what each gives alone, too large a batch is halved, kept embeddings serve."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import capture_pair, forward

from plantain.models.load import load_pipeline
from plantain.probe.denoising import encode
from plantain.probe.hooks import _on_accelerator, _on_processor, sum_up
from plantain.probe.passes import Passes, pack_embeddings, unpack_embeddings, usual_batch
from plantain.probe.tokens import ProbeError, Segment, tokenize
from plantain.runs.info import Conditions
from plantain.runs.scopes import PLAIN_SCOPES, STREAM_SCOPES

SIZE, SEED = 64, 3

KEPT = {"directions": "all"}


def close(one, other, rtol):
    """Compare two captures: tokens and places exactly, sums of squares up to rounding, means up to one of 16 bits."""
    assert (one.first_difference, one.n_differing) == (other.first_difference, other.n_differing)
    np.testing.assert_array_equal(one.sums.tokens, other.sums.tokens)
    for stream, values in one.sums.streams.items():
        np.testing.assert_allclose(values, other.sums.streams[stream], rtol=rtol, atol=1e-6 * values.max())
    for part, values in one.means.parts.items():
        scale = float(np.abs(values).max())
        np.testing.assert_allclose(values.astype(float), other.means.parts[part], rtol=2**-9, atol=1e-5 * scale)


def same(one, other):
    for stream, values in one.sums.streams.items():
        np.testing.assert_array_equal(values, other.sums.streams[stream])
    assert one.means.parts.keys() == other.means.parts.keys()
    for part, values in one.means.parts.items():
        np.testing.assert_array_equal(values, other.means.parts[part])


# --- the reduction -----------------------------------------------------------------------------------------

TEXTS = [
    [Segment("template", 0, 3), Segment("words", 3, 150), Segment("template", 150, 160), Segment("padding", 160, 512)],
    [Segment("template", 0, 3), Segment("words", 3, 502), Segment("template", 502, 512)],  # without padding
]


@pytest.mark.parametrize("reduce", [_on_processor, _on_accelerator])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_way_of_summing_gives_the_sums_of_plain_arithmetic(reduce, dtype):
    x = torch.randn(2, 530, 96, generator=torch.Generator().manual_seed(0)).to(dtype)
    segments = [[*text, Segment("image", 512, 530)] for text in TEXTS]
    before, (got, totals) = x.clone(), reduce(x, segments, PLAIN_SCOPES, 40)
    assert torch.equal(x, before)  # in float32 it is the model's own memory
    assert got.shape == (2, 4, 6) and got.dtype == torch.float32
    assert totals.shape == (2, 4, 40) and totals.dtype == torch.float32
    for prompt, own in enumerate(segments):
        for row, scope in enumerate(PLAIN_SCOPES):
            tokens = [t for s in own if s.scope == scope for t in range(s.start, s.stop)]
            expected = (x[prompt, tokens].double() ** 2).sum(0).unflatten(0, (6, 16)).sum(1)
            np.testing.assert_allclose(got[prompt, row].double(), expected, rtol=1e-5)
            summed = x[prompt, tokens, :40].double().sum(0)
            np.testing.assert_allclose(totals[prompt, row].double(), summed, rtol=1e-5, atol=1e-4)
    assert reduce(x, segments, PLAIN_SCOPES, 0)[1].shape == (2, 4, 0)
    assert torch.equal(reduce(x, segments, PLAIN_SCOPES, 0)[0], got)  # whether directions are kept or not


def test_another_number_of_prompts_is_refused():
    with pytest.raises(ProbeError, match=r"got \(3, 512\) .* where \(2, 512\)"):
        sum_up(torch.zeros(3, 512, 32), TEXTS, STREAM_SCOPES["joint_text"])


# --- batches -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [2, 3, 16])
def test_prompts_together_give_what_each_gives_alone(pipe, small_set, batch):
    together = Passes(pipe, Conditions(SIZE, (SEED,)), batch, **KEPT).capture(small_set.pairs)
    for pair, got in zip(small_set.pairs, together, strict=True):
        close(got, capture_pair(pipe, pair, SIZE, SEED), rtol=1e-4)


def test_the_noise_is_the_same_for_every_prompt_of_a_batch(pipe):
    seen = []
    hook = pipe.transformer.register_forward_pre_hook(
        lambda _m, _a, kwargs: seen.append(kwargs["hidden_states"]), with_kwargs=True
    )
    forward(pipe, encode(pipe, ["Ana helps.", "Ana waits."]), SIZE, SEED)
    forward(pipe, encode(pipe, ["Ana helps."]), SIZE, SEED)
    hook.remove()
    assert torch.equal(seen[0][0], seen[0][1]) and torch.equal(seen[0][:1], seen[1])


def test_a_processor_takes_one_prompt_at_a_time_and_an_accelerator_as_many_as_fill_it(pipe, monkeypatch):
    assert usual_batch(pipe, 256) == 1
    monkeypatch.setattr(type(pipe.transformer), "device", torch.device("cuda"))
    assert [usual_batch(pipe, size) for size in (64, 256, 512, 1024, 2048)] == [15, 10, 5, 1, 1]


def small_memory(pipe, most):
    """Raise what CUDA raises when more than `most` prompts come at once; remember how many came."""
    came = []

    def refuse(_module, _args, kwargs):
        came.append(len(kwargs["hidden_states"]))
        if came[-1] > most:
            raise torch.OutOfMemoryError("CUDA out of memory")

    return came, pipe.transformer.register_forward_pre_hook(refuse, with_kwargs=True)


def test_too_large_a_batch_is_halved_and_stays_so(pipe, small_set):
    expected = [capture_pair(pipe, pair, SIZE, SEED) for pair in small_set.pairs]
    came, hook = small_memory(pipe, most=2)
    passes = Passes(pipe, Conditions(SIZE, (SEED,)), batch=8, **KEPT)
    got = passes.capture(small_set.pairs)
    assert came == [8, 4, 2, 2, 2, 2] and passes.batch == 2 and passes.pairs_at_once == 1
    assert passes.capture(small_set.pairs[:1]) and came[6:] == [2]
    hook.remove()
    for one, other in zip(got, expected, strict=True):
        close(one, other, rtol=1e-4)


def test_a_single_prompt_that_is_too_much_is_said(pipe, small_set):
    came, hook = small_memory(pipe, most=0)
    with pytest.raises(ProbeError, match="too little memory at 64 px; choose a smaller image"):
        Passes(pipe, Conditions(SIZE, (SEED,)), batch=4).capture(small_set.pairs)
    hook.remove()
    assert came == [4, 2, 1]
    assert not any(module._forward_pre_hooks for module in pipe.transformer.modules())


def test_a_bad_number_is_named_with_its_own_prompt(pipe, small_set):
    def plant(_module, args):
        x = args[0].clone()
        x[1, 7, 11] = torch.nan
        return (x,)

    handle = pipe.transformer.single_transformer_blocks[4].attn.to_out.register_forward_pre_hook(plant)
    with pytest.raises(ProbeError) as caught:
        Passes(pipe, Conditions(SIZE, (SEED,)), batch=4).capture(small_set.pairs)
    handle.remove()
    assert str(caught.value).startswith("single[4]: NaN") and repr(small_set.pairs[0].negative) in str(caught.value)


def test_tokens_are_counted_for_every_prompt_of_a_batch(pipe, small_set):
    for pair, got in zip(
        small_set.pairs, Passes(pipe, Conditions(SIZE, (SEED,)), 8).capture(small_set.pairs), strict=True
    ):
        words = [tokenize(pipe.tokenizer, text).count("words") for text in (pair.positive, pair.negative)]
        assert got.sums.tokens[:, 0, PLAIN_SCOPES.index("words")].tolist() == words


# --- kept embeddings ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_kept_embeddings_come_back_to_the_bit(moral_set, dtype):
    pipe, pair = load_pipeline("tiny-random", dtype=dtype), moral_set.pairs[0]
    kept, seconds = unpack_embeddings(pack_embeddings(pipe, pair))
    expected = torch.cat([encode(pipe, [pair.positive]), encode(pipe, [pair.negative])])
    assert kept.dtype == getattr(torch, dtype) and torch.equal(kept, expected) and 0 < seconds < 60


@pytest.mark.parametrize("content", [None, b"", b"no", b"\x08\0\0\0\0\0\0\0{}      "])
def test_no_or_damaged_embeddings_are_none(content):
    assert unpack_embeddings(content) is None


def test_a_pass_from_kept_embeddings_is_the_pass_with_its_encoder(pipe, small_set):
    packed = {pair.id: pack_embeddings(pipe, pair) for pair in small_set.pairs}
    asked = []

    def embed(pair):
        asked.append(pair.id)
        return unpack_embeddings(packed[pair.id])[0]

    encoder, pipe.text_encoder = pipe.text_encoder, None
    try:
        got = Passes(pipe, Conditions(SIZE, (SEED,)), embed=embed, **KEPT).capture(small_set.pairs)
    finally:
        pipe.text_encoder = encoder
    assert asked == [pair.id for pair in small_set.pairs]
    for pair, one in zip(small_set.pairs, got, strict=True):
        same(one, capture_pair(pipe, pair, SIZE, SEED))
        swapped = capture_pair(pipe, replace(pair, positive=pair.negative, negative=pair.positive), SIZE, SEED)
        assert not np.array_equal(one.sums.streams["single"], swapped.sums.streams["single"])
