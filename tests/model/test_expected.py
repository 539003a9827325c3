"""The picture that a model expects at sigma 1: held against the pipeline's own last step and decoding."""

import numpy as np
import pytest
import torch

from plantain.models.load import PhasedPipeline, load_pipeline
from plantain.models.untrained import write_untrained
from plantain.probe.denoising import denoise, encode
from plantain.probe.passes import Passes
from plantain.probe.pictures.expected import pictures
from plantain.prompts.sets import SIDES
from plantain.runs.info import Conditions

SIZE, SEED = 64, 7


@pytest.fixture
def drawn():
    """A pipeline with its VAE, whose latents have another mean and spread than the plain ones."""
    pipe = load_pipeline("tiny-random", device="cpu", images=True)
    channels = torch.arange(16.0)
    pipe.vae.bn.running_mean.copy_(0.1 * channels - 0.7)
    pipe.vae.bn.running_var.copy_(0.5 + 0.2 * channels)
    return pipe


def one_step(pipe, prompt, seed=SEED):
    """Let the pipeline draw in one step from sigma 1 to sigma 0, which ends at the expected image."""
    generator = torch.Generator("cpu").manual_seed(seed)
    return pipe(
        prompt=prompt, height=SIZE, width=SIZE, num_inference_steps=1, guidance_scale=1.0, generator=generator,
        output_type="np",
    ).images[0]  # fmt: skip


def test_the_expected_pictures_are_those_that_the_pipeline_draws_in_one_step(drawn, small_set):
    (pair, *_), seen = small_set.pairs, []
    plain = Passes(drawn, Conditions(SIZE, (SEED,))).capture([pair])[0]
    # More seeds and steps are more measures; the picture is of the first, at sigma 1.
    capture = Passes(drawn, Conditions(SIZE, (SEED, 3), steps=2), expected=seen.append).capture([pair])[0]
    found = np.stack([np.asarray(image) for image in pictures(drawn, seen)])
    assert found.shape == (2, SIZE, SIZE, 3) and found.dtype == np.uint8
    for side, own in zip(SIDES, found, strict=True):
        levels = 255 * one_step(drawn, getattr(pair, side))
        assert np.abs(own - levels).max() <= 0.51  # rounded to whole levels
        assert levels.std() > 5  # else a grey picture would do
    assert not np.array_equal(*found)
    for stream, sums in plain.sums.streams.items():  # measured as without a picture
        np.testing.assert_array_equal(capture.repeats[0].streams[stream], sums)


def test_pictures_of_a_batch_are_those_of_each_alone(drawn, small_set):
    together, alone = [], []
    Passes(drawn, Conditions(SIZE, (SEED,)), batch=4, expected=together.append).capture(small_set.pairs[:2])
    Passes(drawn, Conditions(SIZE, (SEED,)), batch=1, expected=alone.append).capture(small_set.pairs[:2])
    assert [len(part) for part in together] == [4] and [len(part) for part in alone] == [1] * 4
    torch.testing.assert_close(torch.cat(together), torch.cat(alone), rtol=1e-4, atol=1e-5)


def test_a_later_step_expects_from_what_is_left_of_the_noise(pipe):
    first, second = denoise(pipe, encode(pipe, ["Ana helps."]), SIZE, SEED, steps=2)
    assert first.sigma == 1 and 0 < second.sigma < 1
    torch.testing.assert_close(second.expected(), second.latents - second.sigma * second.velocity)


def test_a_model_keeps_its_vae_where_it_has_one(tmp_path, tiny):
    folder = tmp_path / "model"
    write_untrained(tiny, folder)
    assert PhasedPipeline(str(folder)).keep_vae()
    phased = PhasedPipeline("tiny-random")
    info = phased.load_both().info
    assert phased.pipe.vae is None and phased.keep_vae() and phased.pipe.vae.device == phased.device
    assert info == PhasedPipeline("tiny-random").load_both().info
    (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    without = PhasedPipeline(str(folder))
    assert not without.keep_vae() and without.pipe.vae is None
