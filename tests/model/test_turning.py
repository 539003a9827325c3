"""Heads of one side that are turned: against interventions, hooks placed by hand, and drawings without any change."""

import threading

import numpy as np
import pytest
import torch
from browser import ROOT
from planting import projection

from plantain.models.load import identify, load_pipeline
from plantain.models.picture_book.folder import Drawing
from plantain.probe.denoising import denoise, encode
from plantain.probe.interventions import intervene_pair
from plantain.probe.passes import Passes, layout_of
from plantain.probe.pictures.drawing import Job, drawn_together
from plantain.probe.turning import Turn, draw_turned, turn_pair
from plantain.prompts.sets import SIDES, PromptPair
from plantain.runs.attached.interventions import Change
from plantain.runs.attached.pictures import DRAWN, PictureEdit
from plantain.runs.info import Conditions
from plantain.runs.io import load_run
from plantain.runs.units import Selection, find_units, unit_table

SIZE, SEED, WIDTH, N_IMAGE = 64, 3, 32, 16
CONDITIONS = Conditions(SIZE, (SEED,))
QUICK = Drawing(64, 1, 4.0)
HEADS = ("joint[1].0", "single[8].1", "single[19].3")


@pytest.fixture(scope="module")
def painter():
    """The stand-in with its VAE."""
    return load_pipeline("tiny-random", device="cpu", images=True)


@pytest.fixture(scope="module")
def run():
    return load_run(ROOT / "precomputed" / "tiny-random")


@pytest.fixture(scope="module")
def pair(run) -> PromptPair:
    return run.pairs[0].pair


@pytest.fixture(autouse=True)
def nothing_stays(painter):
    yield
    assert sum(len(m._forward_pre_hooks) for m in painter.transformer.modules()) == 0


def places(pipe, *names):
    return find_units(layout_of(pipe), Selection("heads", "image"), names)


def test_a_patch_is_that_of_an_intervention_on_either_side(painter, pair):
    heads = places(painter, *HEADS)
    outcome = intervene_pair(painter, pair, CONDITIONS, "patch", [Change("heads", heads)])
    found = turn_pair(painter, pair, CONDITIONS, [Turn("negative", heads), Turn("positive", heads)])
    np.testing.assert_allclose(found.shares, outcome.shares[0], rtol=1e-4, atol=1e-6)
    assert found.effect == pytest.approx(outcome.effect, rel=1e-6)
    assert 0.01 < abs(found.shares).max() < 1


def test_the_length_of_a_change_is_what_lies_along_the_way_and_beside_it(painter, pair):
    turns = [Turn("negative", places(painter, *HEADS), 0.0), Turn("positive", places(painter, "single[3].2"))]
    found = turn_pair(painter, pair, CONDITIONS, turns)
    assert found.change.shape == (2, 4, 4) and found.change.dtype == np.float32
    squares = np.square(found.change).mean(axis=(1, 2))  # of the change, over those of D
    np.testing.assert_allclose(squares, np.square(found.shares).sum(axis=1), rtol=1e-4)


@pytest.mark.parametrize("gain", [0.0, 0.5, 2.0])
def test_a_gain_is_what_a_hook_placed_by_hand_does_and_lies_where_it_lies(painter, pair, gain):
    block, head = "single[8]", 1

    def by_hand(_module, args):
        x = args[0].clone()
        x[:, -N_IMAGE:, head * WIDTH : (head + 1) * WIDTH] *= gain
        return (x,)

    plain = next(denoise(painter, encode(painter, [pair.positive]), SIZE, SEED))
    handle = projection(painter, block).register_forward_pre_hook(by_hand)
    changed = next(denoise(painter, encode(painter, [pair.positive]), SIZE, SEED))
    handle.remove()
    found = turn_pair(painter, pair, CONDITIONS, [Turn("positive", places(painter, f"{block}.{head}"), gain)])
    torch.testing.assert_close(found.expected[2], changed.expected()[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.expected[0], plain.expected()[0], rtol=1e-4, atol=1e-5)
    length = (changed.velocity - plain.velocity)[0].float().norm(dim=1).view(4, 4).numpy()
    np.testing.assert_allclose(found.change[0] / found.change[0].max(), length / length.max(), rtol=1e-2)


def test_normal_strength_changes_nothing_bit_for_bit(painter, pair):
    everything = np.arange(100)
    found = turn_pair(painter, pair, CONDITIONS, [Turn(side, everything, 1.0) for side in SIDES])
    assert not found.shares.any() and not found.change.any()
    assert torch.equal(found.expected[2:], found.expected[:2])


def test_the_expected_pictures_are_the_probes_own_and_no_pass_is_made_twice(painter, pair):
    rows, kept = [], []
    count = painter.transformer.register_forward_pre_hook(
        lambda _m, _a, given: rows.append(len(given["hidden_states"])), with_kwargs=True
    )
    found = turn_pair(painter, pair, CONDITIONS, [Turn("negative", places(painter, "single[8].1"))] * 3)
    count.remove()
    assert sum(rows) == 2 + 3
    Passes(painter, CONDITIONS, expected=kept.append).capture([pair])
    torch.testing.assert_close(found.expected[:2], torch.cat(kept), rtol=1e-4, atol=1e-5)


def pixels(images):
    return np.stack([np.asarray(image) for image in images]).astype(int)


def test_a_whole_drawing_leaves_both_sides_alone_and_turns_the_third(painter, pair, run):
    told = []
    heads = places(painter, *HEADS)
    plain = pixels(draw_turned(painter, pair, None, QUICK, SEED, lambda *_: None))
    found = pixels(draw_turned(painter, pair, Turn("negative", heads), QUICK, SEED, lambda *at: told.append(at)))
    assert len(plain) == 2 and len(found) == 3 and told == [(1, 1)]
    assert abs(found[:2] - plain).max() <= 2
    names = unit_table(run.info.layout, Selection("heads", "image")).names
    edit = PictureEdit("patch", "three", tuple(names[i] for i in heads))
    ((_, patched),) = drawn_together(painter, run, [Job(1, pair, SEED, DRAWN, edit)], QUICK)
    assert abs(found[2] - pixels([patched])[0]).max() <= 2  # as the command draws it
    assert abs(found[2] - found[1]).max() > 5


def test_what_a_tick_raises_ends_a_drawing_within_a_step(painter, pair):
    told = []

    def tick(done, total):
        told.append(done)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw_turned(painter, pair, Turn("negative", np.array([3])), Drawing(64, 9, 4.0), SEED, tick)
    assert told == [1]  # and no hook stays


def test_the_device_sends_plain_steps_and_a_closed_drawing_ends(painter, pair):
    from plantain.ui.turns import Asked, DrawStep, DrawWork, drawn

    asked = Asked(pair, "top:1", (3,), ("joint[0] head 3",), "patch", "negative")
    work, alone = DrawWork(pair, asked, Drawing(64, 50, 4.0), SEED), threading.Lock()
    steps = drawn(identify(painter), work, alone)
    assert next(steps) == DrawStep(0, 50) and next(steps) == DrawStep(1, 50)
    steps.close()
    assert alone.acquire(timeout=30), "the drawing went on"  # it held the model until it ended
    alone.release()
