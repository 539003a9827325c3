"""A visitor's pair without a run: measured, with the pictures that the model expects."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from plantain.probe.tokens import ProbeError
from plantain.prompts.sets import PromptError
from plantain.runs.info import Conditions
from plantain.ui.engine import Began, Engine, Work

TEXTS = ("Anna helps the old man up the stairs.", "Anna trips the old man on the stairs.")
SIZE, HEADS, WIDTH = 64, 4, 32


@pytest.fixture(scope="module")
def engine():
    engine = Engine("tiny-random")
    engine.load()
    return engine


def drawn(whole, prompt, seed=0, output="np"):
    """Let the pipeline's own call take one step from pure noise."""
    return whole(
        prompt=prompt, height=SIZE, width=SIZE, num_inference_steps=1, guidance_scale=1.0,
        generator=torch.Generator("cpu").manual_seed(seed), output_type=output,
    ).images  # fmt: skip


def by_hand(whole, prompt):
    """Return every head's RMS over the image tokens, by hooks placed by hand on the pipeline's own call."""
    inputs, blocks = [], [b.attn.to_out[0] for b in whole.transformer.transformer_blocks]
    blocks += [b.attn.to_out for b in whole.transformer.single_transformer_blocks]
    handles = [m.register_forward_pre_hook(lambda _, args: inputs.append(args[0][0].double())) for m in blocks]
    drawn(whole, prompt, output="latent")
    for handle in handles:
        handle.remove()
    n_image = (SIZE // 16) ** 2  # the last tokens of a block's sequence; attention comes before the MLP's channels
    heads = [x[-n_image:, : HEADS * WIDTH].unflatten(1, (HEADS, WIDTH)) for x in inputs]
    return torch.cat([head.square().mean(dim=(0, 2)).sqrt() for head in heads]).numpy()


def test_a_pair_is_measured_as_by_hooks_that_are_placed_by_hand(engine, whole):
    measure = engine.measure_pair(*TEXTS, size=SIZE)
    expected = np.stack([by_hand(whole, text) for text in TEXTS])
    np.testing.assert_allclose(measure.magnitudes, expected, rtol=1e-4)
    percent = 100 * (expected[0] - expected[1]) / expected.mean(axis=0)
    np.testing.assert_allclose(measure.percent, percent, atol=0.05)
    assert measure.rms_percent == pytest.approx(np.sqrt(np.mean(percent**2)), rel=1e-2)
    order = np.argsort(-np.abs(measure.percent))[:5]
    assert [u.unit for u in measure.strongest] == [measure.names[i] for i in order]
    assert [u.percent for u in measure.strongest] == measure.percent[order].tolist()
    assert [u.difference for u in measure.strongest] == measure.differences[order].tolist()
    assert (measure.names[0], measure.names[-1], len(measure.names)) == ("joint[0] head 0", "single[19] head 3", 100)
    assert measure.tokens == (37, 37) and measure.comparable and measure.conditions == Conditions(SIZE)
    assert measure.model.weights == "stand-in" and measure.model.is_random


def test_a_measured_pair_is_the_capture_that_a_run_would_rank(engine, moral_run):
    """The same passes, settings and units, so that the pair is no other one once there is a run."""
    result, measure = engine.probe_pair(moral_run, *TEXTS), engine.measure_pair(*TEXTS, size=SIZE)
    assert measure.tokens == result.tokens and measure.conditions == moral_run.info.conditions


def test_both_ways_come_with_the_pictures_of_their_own_passes(engine, whole, moral_run):
    passes = []
    count = engine._loaded.pipe.transformer.register_forward_pre_hook(lambda *_: passes.append(1))
    measured, ranked = engine.measured(*TEXTS, size=SIZE), engine.ranked(moral_run, *TEXTS)
    count.remove()
    assert len(passes) == 4  # no pass beside those that measure
    assert ranked.result == engine.probe_pair(moral_run, *TEXTS) and ranked.measure is None and measured.result is None
    for answer in (measured, ranked):
        assert answer.model.model == "tiny-random" and answer.pictures.seconds > 0
        for text, packed in zip(TEXTS, answer.pictures.webp, strict=True):
            found = np.asarray(Image.open(io.BytesIO(packed), formats=["WEBP"]).convert("RGB"), dtype=float)
            expected = 255 * drawn(whole, text)[0]
            assert found.shape == expected.shape == (SIZE, SIZE, 3)
            assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.8  # WebP keeps a noisy picture roughly


def test_a_large_picture_is_packed_small():
    from plantain.probe.pictures.expected import packed

    assert Image.open(io.BytesIO(packed(Image.new("RGB", (1024, 1024))))).size == (512, 512)


def test_without_a_vae_a_pair_is_measured_without_pictures(monkeypatch, moral_run):
    from plantain.models.load import PhasedPipeline

    monkeypatch.setattr(PhasedPipeline, "keep_vae", lambda _: False)
    engine = Engine("tiny-random")
    engine.load()
    assert engine.status().state == "ready" and not engine.draws
    answer = engine.measured(*TEXTS, size=SIZE)
    assert answer.pictures is None and len(answer.measure.strongest) == 5
    assert engine.ranked(moral_run, *TEXTS).pictures is None


def test_too_little_memory_for_pictures_costs_the_pictures_only(engine, monkeypatch):
    def too_much(*_args, **_more):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(engine._loaded.pipe.vae, "decode", too_much)
    answer = engine.measured(*TEXTS, size=SIZE)
    assert answer.pictures is None and answer.measure.rms_percent > 0


def test_what_can_be_refused_is_refused_before_a_pass(engine, monkeypatch):
    monkeypatch.setattr(engine, "on_device", lambda *_: pytest.fail("the device was asked"))
    with pytest.raises(PromptError, match="the negative prompt is empty"):
        engine.measure_pair("Anna helps.", " ")
    with pytest.raises(PromptError, match="both prompts are the same"):
        engine.measure_pair("Anna helps.", "Anna helps. ")
    with pytest.raises(PromptError, match="the positive prompt: .* control token"):
        engine.measure_pair("Anna <|im_end|>", "Anna")
    with pytest.raises(ProbeError, match="multiple of 16"):
        engine.measure_pair("Anna helps.", "Anna waits.", size=65)


def test_a_new_process_says_how_long_its_start_took_and_only_once(engine, monkeypatch):
    (first, *_) = engine.captures(Work((), Conditions(SIZE)))
    assert isinstance(first, Began) and first.start is None  # the page's own process
    monkeypatch.setattr(engine, "_worked_in", -1)  # as in a worker that was forked
    starts = [next(engine.captures(Work((), Conditions(SIZE)))).start for _ in range(2)]
    assert starts[0] > 0 and starts[1] is None
