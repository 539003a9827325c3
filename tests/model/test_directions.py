"""Mean vectors of heads: what a pass leaves equals hooks placed by hand, in whatever way the pairs are run."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from helpers import capture_pair, forward, run_bytes

from plantain.models.load import load_pipeline
from plantain.probe.checkpoint import Checkpoint
from plantain.probe.denoising import denoise, encode, image_tokens
from plantain.probe.hooks import recording
from plantain.probe.passes import Passes, layout_of
from plantain.probe.placebo import placebo
from plantain.probe.runner import ProbeConfig, run_probe
from plantain.probe.tokens import ProbeError, tokenize
from plantain.runs.directions import LEVELS, mean_vectors, parts_of
from plantain.runs.info import Conditions
from plantain.runs.io import load_run, save_run
from plantain.runs.scopes import PLAIN_SCOPES
from plantain.runs.units import Selection, magnitudes

SIZE, SEED = 64, 3
CHANNELS = {"joint_image": (0, 128), "joint_text": (0, 128), "single": (0, 128), "single_mlp": (128, 512),
            "embedding": (0, 96)}  # fmt: skip
SCOPES = {"joint_image": ["image"], "joint_text": ["template", "words", "padding"], "single": list(PLAIN_SCOPES),
          "single_mlp": list(PLAIN_SCOPES), "embedding": ["template", "words", "padding"]}  # fmt: skip


def modules(transformer, part):
    """The modules whose input a part is of, listed independently of the package."""
    if part == "embedding":
        return [transformer.context_embedder]
    if part == "joint_image":
        return [block.attn.to_out[0] for block in transformer.transformer_blocks]
    if part == "joint_text":
        return [block.attn.to_add_out for block in transformer.transformer_blocks]
    return [block.attn.to_out for block in transformer.single_transformer_blocks]


def places(prompt):
    """Positions of each scope in text + image, counted by hand: one token a byte, 6 before, 19 after."""
    words = 6 + len(prompt.encode())
    return {
        "template": np.r_[0:6, words : words + 19],
        "words": np.r_[6:words],
        "padding": np.r_[words + 19 : 512],
        "image": np.r_[512 : 512 + 16],
    }


def own_means(pipe, prompt):
    """Mean vectors in float64 by hooks of this test's own: part -> (n_scopes, n_blocks * n_channels)."""
    seen = {}
    handles = [
        module.register_forward_pre_hook(
            lambda _, args, key=(part, i): seen.__setitem__(key, args[0][0].double().numpy())
        )
        for part in CHANNELS
        for i, module in enumerate(modules(pipe.transformer, part))
    ]
    forward(pipe, encode(pipe, [prompt]), SIZE, SEED)
    for handle in handles:
        handle.remove()
    found, sizes = {}, {}
    for part, (start, stop) in CHANNELS.items():
        inputs = [x[:, start:stop] for (name, _), x in seen.items() if name == part]
        rows = {s: where - 512 * (part == "joint_image") for s, where in places(prompt).items() if s in SCOPES[part]}
        found[part] = np.stack([np.concatenate([x[rows[s]].mean(axis=0) for x in inputs]) for s in SCOPES[part]])
        sizes[part] = np.stack([np.concatenate([abs(x[rows[s]]).mean(axis=0) for x in inputs]) for s in SCOPES[part]])
    return found, sizes


@pytest.fixture(scope="module")
def pair(small_set):
    return small_set.pairs[0]


@pytest.fixture(scope="module")
def bfloat_pipe():
    return load_pipeline("tiny-random", dtype="bfloat16")


def recorded(pipe, prompt, level):
    segments = tokenize(pipe.tokenizer, prompt).segments
    with recording(pipe.transformer, [segments], image_tokens(pipe, SIZE), directions=level) as recorder:
        forward(pipe, encode(pipe, [prompt]), SIZE, SEED)
    return recorder.collect(layout_of(pipe), [prompt])[0]


def equal(one, other):
    assert one.parts.keys() == other.parts.keys()
    for part, values in one.parts.items():
        np.testing.assert_array_equal(values, other.parts[part])


# --- what is kept ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_mean_vectors_equal_hooks_placed_by_hand_in_float64(request, pair, dtype):
    pipe = request.getfixturevalue("pipe" if dtype == "float32" else "bfloat_pipe")
    expected, sizes = own_means(pipe, pair.positive)
    got = recorded(pipe, pair.positive, "all").means
    assert got.keys() == expected.keys()
    for part, values in got.items():
        assert values.dtype == np.float32 and values.shape == expected[part].shape and values.any(axis=1).all()
        assert (abs(values - expected[part]) <= 1e-6 * sizes[part]).all(), part
    capture = capture_pair(pipe, pair, SIZE, SEED)
    for part, values in capture.means.parts.items():
        assert values.dtype == np.float16 and np.array_equal(values[0, 0], got[part].astype(np.float16))


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_keeps_its_parts_and_leaves_the_magnitudes_as_they_are(pipe, pair, level):
    found, whole = recorded(pipe, pair.positive, level), recorded(pipe, pair.positive, "all")
    assert set(found.means) == set(parts_of(level))
    for part, values in found.means.items():
        np.testing.assert_array_equal(values, whole.means[part])
    for stream, values in found.squares.items():
        np.testing.assert_array_equal(values, whole.squares[stream])


def test_everything_is_fetched_at_once(pipe, pair, monkeypatch):
    fetched, fetch = [], torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda self: fetched.append(self.shape) or fetch(self))
    recorded(pipe, pair.positive, "all")
    assert len(fetched) == 1


@contextmanager
def changed(module, change):
    handle = module.register_forward_pre_hook(lambda _, args: (change(args[0].clone()),))
    try:
        yield
    finally:
        handle.remove()


def turn(x, head=2, angle=0.5):
    """Turn a head's vector of every token, in half its planes; its length stays."""
    one, other = x[..., head * 32 : head * 32 + 8].clone(), x[..., head * 32 + 8 : head * 32 + 16].clone()
    cos, sin = np.cos(angle), np.sin(angle)
    x[..., head * 32 : head * 32 + 8] = cos * one - sin * other
    x[..., head * 32 + 8 : head * 32 + 16] = sin * one + cos * other
    return x


@pytest.mark.parametrize("scope", ["all", "words", "image"])
def test_a_head_that_turns_shows_in_its_mean_vector_and_not_in_its_magnitude(pipe, pair, scope):
    layout, plain = layout_of(pipe), capture_pair(pipe, pair, SIZE, SEED)
    last = pipe.transformer.single_transformer_blocks[19].attn.to_out
    with changed(last, turn):
        turned = capture_pair(pipe, pair, SIZE, SEED)
    choice = Selection("heads", scope)
    loud = [magnitudes(capture.sums, layout, choice) for capture in (plain, turned)]
    np.testing.assert_allclose(loud[0], loud[1], rtol=1e-5)
    one, other = (mean_vectors(capture.means, layout, choice)[:, 0] for capture in (plain, turned))
    moved = np.linalg.norm(one - other, axis=2) / np.linalg.norm(one, axis=2)
    head = moved.shape[1] - 2  # the third of four in the last block
    assert (moved[:, head] > 0.1).all() and not np.delete(moved, head, axis=1).any()
    np.testing.assert_allclose(np.linalg.norm(one, axis=2), np.linalg.norm(other, axis=2), rtol=1e-3)


def test_a_mean_that_does_not_fit_into_16_bits_is_an_error_and_none_without_directions(pipe, pair):
    module = pipe.transformer.transformer_blocks[1].attn.to_add_out

    def far(x):
        x[..., 5] = 70_000.0
        return x

    with changed(module, far):
        with pytest.raises(ProbeError) as caught:
            capture_pair(pipe, pair, SIZE, SEED, "heads")
        assert str(caught.value).startswith("joint[1]: a mean vector has numbers over 65,504, for the prompt ")
        assert repr(pair.positive) in str(caught.value) and "--directions off" in str(caught.value)
        assert capture_pair(pipe, pair, SIZE, SEED, "off").means is None


def test_the_placebos_two_sides_have_the_same_vectors(pipe, pair):
    (same,) = Passes(pipe, Conditions(SIZE), batch=2, directions="all").capture([placebo(pair)])
    for values in same.means.parts.values():
        assert np.array_equal(values[0], values[1]) and values.any()


# --- however the pairs are run -----------------------------------------------------------------------------


def test_repeated_measures_are_averaged(pipe, pair):
    conditions = Conditions(SIZE, (SEED, 4), steps=2)
    (capture,) = Passes(pipe, conditions, directions="all").capture([pair])
    segments = [tokenize(pipe.tokenizer, pair.positive).segments]
    measures = []
    for seed in (SEED, 4):
        with recording(pipe.transformer, segments, image_tokens(pipe, SIZE), directions="all") as recorder:
            for _ in denoise(pipe, encode(pipe, [pair.positive]), SIZE, seed, steps=2):
                measures.append(recorder.collect(layout_of(pipe), [pair.positive])[0].means)
    for part, values in capture.means.parts.items():
        exact = np.mean([measure[part] for measure in measures], axis=0, dtype=np.float64)
        np.testing.assert_array_equal(values[0, 0], exact.astype(np.float16))
    assert len(measures) == 4 and not np.array_equal(measures[0]["single"], measures[1]["single"])


def test_masked_padding_has_no_vector_and_no_tokens(pipe, small_set):
    passes = Passes(pipe, Conditions(SIZE, (SEED,), mask_padding=True), directions="all")
    (capture,) = passes.capture(small_set.pairs[:1])
    np.testing.assert_array_equal(capture.means.tokens, capture.sums.tokens)
    for part, values in capture.means.parts.items():
        for row, scope in enumerate(capture.means.scopes(part)):
            assert values[:, :, row].any() == (scope != "padding"), (part, scope)


def test_a_kept_pair_keeps_its_vectors(pipe, pair, tmp_path):
    kept = Checkpoint(tmp_path / "run", {})
    for index, level in enumerate(LEVELS):
        capture = capture_pair(pipe, pair, SIZE, SEED, level)
        kept.save(index, capture, 1.0)
        again, _ = kept.load(index)
        if level == "off":
            assert capture.means is again.means is None
        else:
            equal(again.means, capture.means)
            np.testing.assert_array_equal(again.means.tokens, capture.means.tokens)


@pytest.mark.parametrize("level", ["off", "image"])
def test_a_run_keeps_what_its_level_says(pipe, small_set, tmp_path, level):
    run = run_probe(pipe, small_set, ProbeConfig(size=SIZE, seed=SEED, directions=level))
    again = load_run(save_run(run, tmp_path / "run"))
    if level == "off":
        assert again.directions is run.directions is None
        return
    assert run_bytes(again) == run_bytes(run) and again.directions.level == level
    for i, pair in enumerate(small_set.pairs):
        capture = capture_pair(pipe, pair, SIZE, SEED, level)
        for part, values in again.directions.parts.items():
            np.testing.assert_array_equal(values[:, i], capture.means.parts[part][:, 0])


def test_the_default_is_that_of_heads():
    assert ProbeConfig().directions == "heads"


@pytest.mark.parametrize("level", ["heads", "off"])
def test_the_command_line_keeps_what_it_is_told(cli, tmp_path, moral_file, level):
    few = tmp_path / "few.toml"
    head, *pairs = moral_file.read_text(encoding="utf-8").split("[[pair]]")
    few.write_text("[[pair]]".join([head, *pairs[:4]]), encoding="utf-8")
    args = ["run", "--model", "tiny-random", "--prompts", few, "--size", SIZE, "--out", tmp_path / "run"]
    code, _, _ = cli(*args, *([] if level == "heads" else ["--directions", level]))
    found = load_run(tmp_path / "run").directions
    assert code == 0 and (found is None) == (level == "off")
    code, _, error = cli(*args, "--overwrite", "--directions", "some")
    assert code == 2 and "invalid choice: 'some'" in error
