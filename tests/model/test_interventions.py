"""What changes do to a pair: against passes made one by one, and for heads that are known to matter or not to."""

from contextlib import ExitStack, contextmanager
from functools import cache

import numpy as np
import pytest
import torch

from plantain.probe.denoising import encode, start, velocity
from plantain.probe.edits import ablate, editing, keeping, patch, steer
from plantain.probe.interventions import intervene_pair, write_norms
from plantain.probe.passes import layout_of
from plantain.probe.placebo import placebo
from plantain.probe.runner import ProbeConfig, run_probe
from plantain.probe.tokens import ProbeError, tokenize
from plantain.prompts.sets import PromptError, PromptPair
from plantain.runs.attached.interventions import Change
from plantain.runs.info import Conditions
from plantain.runs.units import Selection, SelectionError, find_units, unit_table

SIZE, SEED = 64, 3
CONDITIONS = Conditions(SIZE, (SEED,))
HEAD, DECOY, MATE = "single[8].1", "single[8].3", "single[8].2"
N_TEXT, WIDTH = 512, 32
PUSH = 5 * torch.linspace(-1, 1, WIDTH).sin()


@pytest.fixture(scope="module")
def pair(moral_set) -> PromptPair:
    return moral_set.pairs[0]


@pytest.fixture(autouse=True)
def nothing_stays(pipe):
    yield
    assert sum(len(m._forward_pre_hooks) for m in pipe.transformer.modules()) == 0


def heads(pipe, *names) -> Change:
    return Change("heads", find_units(layout_of(pipe), Selection("heads", "image"), names))


def all_of(pipe, units="heads", vectors=None) -> Change:
    return Change(units, np.arange(unit_table(layout_of(pipe), Selection(units, "image")).n_units), vectors)


def drawn(n, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, WIDTH)).astype(np.float32)


@contextmanager
def counted(pipe):
    """Count the rows of every pass, before anything else is done with them."""
    rows = []
    handle = pipe.transformer.register_forward_pre_hook(
        lambda _m, _a, given: rows.append(len(given["hidden_states"])), with_kwargs=True
    )
    yield rows
    handle.remove()


@contextmanager
def planted(pipe, *names, decoy=None):
    """Push heads of single[8] at the image tokens of positive rows: the first of two, then the second of each two.

    A probe runs pairs one row after the other, positive first (`pairs`); `intervene_pair` does so once, then comes the
    negative row of every change before the positive one.
    """
    attention = pipe.transformer.single_transformer_blocks[8].attn
    weight, kept = attention.to_out.weight, attention.to_out.weight.detach().clone()
    state = {"row": 0, "sides": lambda i: i % 2 == 0 if i < 2 else i % 2 == 1}

    def count(_module, _args, given):
        n = len(given["hidden_states"])
        state["positive"] = [state["sides"](i) for i in range(state["row"], state["row"] + n)]
        state["row"] += n

    def push(_module, args):
        x = args[0].clone()
        for row, positive in zip(x, state["positive"], strict=True):
            for name in names if positive else ():
                first = WIDTH * int(name[-1])
                row[N_TEXT:, first : first + WIDTH] += PUSH
        return (x,)

    with ExitStack() as stack:
        stack.callback(pipe.transformer.register_forward_pre_hook(count, with_kwargs=True).remove)
        stack.callback(attention.to_out.register_forward_pre_hook(push).remove)
        if decoy:
            with torch.no_grad():
                weight[:, WIDTH * int(decoy[-1]) :][:, :WIDTH] = 0
        try:
            yield state
        finally:
            with torch.no_grad():
                weight.copy_(kept)


@cache
def embedded(pipe, *prompts) -> torch.Tensor:
    return torch.cat([encode(pipe, [prompt]) for prompt in prompts])


def shares(pipe, pair, changes, method="patch", batch=1, state=None, **given):
    if state is not None:
        state["row"] = 0
    given.setdefault("embeds", embedded(pipe, pair.positive, pair.negative))
    return intervene_pair(pipe, pair, CONDITIONS, method, changes, batch, **given).shares


# --- against passes of the test's own ------------------------------------------------------------------------


class Passes:
    """The two sides, one row a pass, with edits."""

    def __init__(self, pipe, pair):
        self.pipe, self.prompts = pipe, (pair.positive, pair.negative)
        self.embeds = [encode(pipe, [p]) for p in self.prompts]
        self.text = tokenize(pipe.tokenizer, pair.positive).segments
        self.kept, self.plain = [], []
        for side in (0, 1):
            with keeping(pipe.transformer) as inputs:
                self.plain.append(self.look(side))
            self.kept.append(inputs)
        self.axis = self.plain[0] - self.plain[1]

    def look(self, side, *edits):
        with editing(self.pipe.transformer, edits, [self.text], 16):
            noise = start(self.pipe, self.embeds[side], SIZE, SEED)
            return velocity(self.pipe, self.embeds[side], noise, 1000.0).double()

    def parts(self, delta):
        on = float((delta * self.axis).sum() / (self.axis**2).sum())
        return [on, float((delta - on * self.axis).norm() / self.axis.norm())]


@pytest.fixture(scope="module")
def passes(pipe, pair):
    return Passes(pipe, pair)


def test_patching_both_ways_is_what_passes_with_edits_give(pipe, pair, passes):
    names = ["joint[1].2", "single[3].0", "single[19].1"]
    got = intervene_pair(pipe, pair, CONDITIONS, "patch", [heads(pipe, *names), all_of(pipe, "mlp")])
    assert got.effect == pytest.approx(float(passes.axis.square().mean().sqrt()), rel=1e-5)
    for own, (units, kind) in zip(got.shares, ((names, "heads"), ("all", "mlp")), strict=True):
        there = {"kind": kind, "scope": "image"}
        towards = passes.look(1, patch(units, passes.kept[0], **there)) - passes.plain[1]
        away = passes.plain[0] - passes.look(0, patch(units, passes.kept[1], **there))
        np.testing.assert_allclose(own, [passes.parts(towards), passes.parts(away)], rtol=1e-3, atol=1e-5)
        for (on, off), delta in zip(own, (towards, away), strict=True):  # no length is lost
            assert on**2 + off**2 == pytest.approx(float((delta.norm() / passes.axis.norm()) ** 2), rel=1e-3)


def test_steering_goes_up_from_the_negative_side_and_down_from_the_positive(pipe, pair, passes):
    names, vectors = ["joint[1].2", "single[3].0"], drawn(2)
    change = Change("heads", heads(pipe, *names).places, vectors)
    (got,) = shares(pipe, pair, [change], "steer")
    up = passes.look(1, steer(names, vectors, scope="image")) - passes.plain[1]
    down = passes.plain[0] - passes.look(0, steer(names, -vectors, scope="image"))
    np.testing.assert_allclose(got, [passes.parts(up), passes.parts(down)], rtol=1e-3, atol=1e-5)


def test_ablation_by_the_mean_is_of_both_sides(pipe, pair, passes):
    names, vectors = ["single[3].0", "joint[1].2"], drawn(2)
    changes = [Change("heads", heads(pipe, *names).places, vectors), all_of(pipe, vectors=drawn(100))]
    got = shares(pipe, pair, changes, "ablate")
    after = [passes.look(side, ablate(names, "mean", source=vectors, scope="image")) for side in (0, 1)]
    kept, off = passes.parts(after[0] - after[1])
    moved = [float((after[side] - passes.plain[side]).norm() / passes.plain[side].norm()) for side in (1, 0)]
    np.testing.assert_allclose(got[0], [[1 - kept, off], moved], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(got[1, 0], [1, 0], atol=1e-6)  # nothing else tells image tokens of the text


def test_all_heads_at_the_image_tokens_restore_everything(pipe, pair):
    for batch in (1, 4):
        (got,) = shares(pipe, pair, [all_of(pipe)], batch=batch)
        np.testing.assert_allclose(got, [[1, 0], [1, 0]], atol=1e-4)


def test_a_change_that_puts_there_what_is_there_is_nothing_to_the_bit(pipe, pair):
    """Heads before the pushed one are the same on both sides of one prompt."""
    early = [f"single[{i}].{j}" for i in range(8) for j in range(4)]
    with planted(pipe, HEAD) as state:
        got = shares(pipe, placebo(pair), [heads(pipe, *early), heads(pipe, MATE)], state=state)
    assert (got == 0).all()


# --- planted truth -------------------------------------------------------------------------------------------


def test_with_equal_prompts_a_pushed_head_restores_everything_and_a_decoy_nothing(pipe, pair):
    changes = [heads(pipe, name) for name in (HEAD, DECOY, MATE, "single[19].0")]
    with planted(pipe, HEAD, DECOY, decoy=DECOY) as state:
        for batch in (1, 64):
            got = shares(pipe, placebo(pair), changes, batch=batch, state=state)
            np.testing.assert_allclose(got[0], [[1, 0], [1, 0]], atol=1e-6 if batch == 1 else 1e-4)
            np.testing.assert_allclose(got[1:3], 0, atol=0 if batch == 1 else 1e-4)
            assert (np.abs(got[3]) < 0.2).all()


def test_two_redundant_heads_restore_a_half_each_and_all_of_it_together(pipe, pair):
    weight = pipe.transformer.single_transformer_blocks[8].attn.to_out.weight
    with planted(pipe, HEAD, MATE) as state:
        with torch.no_grad():
            weight[:, 2 * WIDTH : 3 * WIDTH] = weight[:, WIDTH : 2 * WIDTH]
        changes = [heads(pipe, HEAD), heads(pipe, MATE), heads(pipe, HEAD, MATE)]
        got = shares(pipe, placebo(pair), changes, state=state)
    np.testing.assert_allclose(got[:2, :, 0], 0.5, atol=0.15)
    np.testing.assert_allclose(got[0], got[1], atol=1e-5)
    np.testing.assert_allclose(got[0].sum(0)[0], 1, atol=0.02)  # what one side misses the other has
    np.testing.assert_allclose(got[2], [[1, 0], [1, 0]], atol=1e-6)


@pytest.fixture(scope="module")
def found(pipe, small_set):
    """A run in which a head and a decoy are pushed on the positive sides."""
    with planted(pipe, HEAD, DECOY, decoy=DECOY) as state:
        state["sides"] = lambda row: row % 2 == 0
        with pytest.warns(UserWarning, match="the model is not as it was loaded"):
            run = run_probe(pipe, small_set, ProbeConfig(size=SIZE, seed=SEED), batch=1)
        norms = write_norms(pipe.transformer, run)
    return run, norms


def test_a_decoy_is_found_by_magnitude_and_direction_and_writes_nothing(pipe, found):
    run, norms = found
    head, decoy, mate = (int(heads(pipe, name).places[0]) for name in (HEAD, DECOY, MATE))
    values, vectors = run.magnitudes("heads", "image"), run.vectors("heads", "image")
    louder = (values[0] - values[1]).mean(axis=0)
    turned = np.linalg.norm((vectors[0] - vectors[1]).mean(axis=0), axis=1)
    for measure in (louder, turned):
        assert set(np.argsort(measure)[-2:]) == {head, decoy}
    assert (norms[:, decoy] == 0).all() and (norms[:, head] > norms[:, mate]).all() and (norms[:, mate] > 0).all()


def test_write_norms_are_those_of_the_heads_own_columns(pipe, found):
    run, _ = found
    norms, (positive, negative) = write_norms(pipe.transformer, run), run.vectors("heads", "image").astype(float)
    assert norms.shape == (len(run.pairs), 100) and norms.dtype == np.float64
    for name, place in (("joint[2].3", 11), ("single[8].1", 20 + 33), ("single[19].0", 96)):
        block, head = int(name.split("[")[1].split("]")[0]), int(name[-1])
        joint, single = pipe.transformer.transformer_blocks, pipe.transformer.single_transformer_blocks
        module = joint[block].attn.to_out[0] if name.startswith("joint") else single[block].attn.to_out
        columns = module.weight.detach().double().numpy()[:, head * WIDTH : (head + 1) * WIDTH]
        wanted = np.linalg.norm((positive[:, place] - negative[:, place]) @ columns.T, axis=1)
        np.testing.assert_allclose(norms[:, place], wanted, rtol=1e-5)


def test_held_out_steering_moves_along_the_planted_head_and_neither_decoy_nor_mate(pipe, found):
    run, _ = found
    vectors = run.vectors("heads", "image")
    with planted(pipe, HEAD, DECOY, decoy=DECOY) as state:
        for i in (0, 1):
            means = np.delete(vectors[0] - vectors[1], i, axis=0).mean(axis=0)
            places = [heads(pipe, name).places for name in (HEAD, DECOY, MATE)]
            changes = [Change("heads", own, means[own]) for own in places]
            head, decoy, mate = shares(pipe, run.pairs[i].pair, changes, "steer", state=state)
            assert (head[:, 0] > 0.3).all() and (head[:, 0] > 5 * np.abs(mate[:, 0])).all()
            assert (decoy == 0).all() and (np.abs(mate[:, 0]) < 0.05).all()


# --- passes, batches, memory ---------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["patch", "steer", "ablate"])
def test_two_rows_and_two_for_every_change_whatever_the_batch(pipe, pair, method):
    places = [np.array(own) for own in ([3], [21, 40, 7], [90, 91], [3, 99])]
    vectors = [None if method == "patch" else drawn(len(own), i) for i, own in enumerate(places)]
    changes = [Change("heads", own, v) for own, v in zip(places, vectors, strict=True)]
    found = []
    for batch, wanted in ((1, [1] * 10), (3, [2, 3, 3, 2]), (64, [2, 8])):
        told = []
        with counted(pipe) as rows:
            found.append(shares(pipe, pair, iter(changes), method, batch, tick=lambda *now, to=told: to.append(now)))
        assert rows == wanted and told == [(int(n), 10) for n in np.cumsum(wanted)]
    assert found[0].shape == (4, 2, 2) and found[0].dtype == np.float32 and (found[0][..., 1] > 0).all()
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=1e-3, atol=1e-4)


def test_too_little_memory_halves_the_batch(pipe, pair):
    most, changes = 2, [heads(pipe, HEAD), heads(pipe, "joint[2].3"), heads(pipe, "single[19].1")]

    def overflow(_module, args):
        if len(args[0]) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")

    wanted = shares(pipe, pair, changes)
    handle = pipe.transformer.single_transformer_blocks[19].attn.to_out.register_forward_pre_hook(overflow)
    got = intervene_pair(pipe, pair, CONDITIONS, "patch", changes, 5)
    assert got.batch == 2
    np.testing.assert_allclose(got.shares, wanted, rtol=1e-3, atol=1e-4)
    most = 0
    with pytest.raises(ProbeError, match="too little memory at 64 px"):
        shares(pipe, pair, changes, batch=2)
    handle.remove()


def test_no_more_is_kept_of_the_two_sides_than_the_changes_need(pipe, pair, monkeypatch):
    kept = []

    def see(transformer, kinds, n_image):
        kept.append((kinds, n_image))
        return keeping(transformer, kinds, n_image)

    monkeypatch.setattr("plantain.probe.interventions.keeping", see)
    shares(pipe, pair, [heads(pipe, HEAD)], batch=2)
    shares(pipe, pair, [heads(pipe, HEAD), all_of(pipe, "mlp")], batch=2)
    shares(pipe, pair, [Change("heads", np.array([3]), drawn(1))], "steer", batch=2)
    assert kept == [(["heads"], 16), (["heads", "mlp"], 16), ([], 16)]


def test_embeddings_that_were_made_before_give_the_same(pipe, pair):
    changes = [heads(pipe, HEAD)]
    made_before = shares(pipe, pair, changes, embeds=embedded(pipe, pair.positive, pair.negative, "a third"))
    np.testing.assert_allclose(made_before, shares(pipe, pair, changes, embeds=None), rtol=1e-4, atol=1e-6)


def test_masked_padding_is_not_looked_at(pipe):
    """Sides of different lengths: whatever stands in the padding, the shares are the same."""
    pair = PromptPair("p", "c", "Ana helps Tom.", "Ana passes by, and Tom is left alone.")
    masked, changes = Conditions(SIZE, (SEED,), mask_padding=True), [all_of(pipe), heads(pipe, HEAD, "joint[0].1")]
    embeds = torch.cat([encode(pipe, [p]) for p in (pair.positive, pair.negative)])
    spoilt = embeds.clone()
    for row, prompt in zip(spoilt, (pair.positive, pair.negative), strict=True):
        row[25 + len(prompt) :] = 3.0
    plain, other = (intervene_pair(pipe, pair, masked, "patch", changes, 2, own) for own in (embeds, spoilt))
    assert plain.effect == pytest.approx(other.effect, rel=1e-6)
    np.testing.assert_allclose(plain.shares, other.shares, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(plain.shares[0], [[1, 0], [1, 0]], atol=1e-4)
    assert plain.effect != pytest.approx(intervene_pair(pipe, pair, CONDITIONS, "patch", changes).effect, rel=1e-3)


# --- what cannot be done -------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("error")
def test_equal_prompts_have_no_effect_and_no_shares(pipe, pair):
    for method, vectors in (("patch", None), ("ablate", drawn(1))):
        got = intervene_pair(pipe, placebo(pair), CONDITIONS, method, [Change("heads", np.array([3]), vectors)], 1)
        assert got.effect == 0 and got.shares.shape == (1, 2, 2) and np.isnan(got.shares).all()
    assert intervene_pair(pipe, pair, CONDITIONS, "patch", []).shares.shape == (0, 2, 2)


def test_bad_input_is_said_and_nothing_stays_hooked(pipe, pair):
    empty = Change("heads", np.array([], int))
    for method, change, error, match in (
        ("swap", heads(pipe, HEAD), ProbeError, "unknown method 'swap'; choose one of patch, steer, ablate"),
        ("steer", heads(pipe, HEAD), ProbeError, "changes to steer come with vectors"),
        ("patch", Change("heads", np.array([3]), drawn(1)), ProbeError, "changes to patch come without vectors"),
        ("steer", Change("heads", np.array([3]), drawn(1)[:, :16]), ProbeError, r"not \(1, 16\)"),
        ("patch", Change("heads", np.array([100])), SelectionError, "there are 100 units"),
        ("patch", empty, SelectionError, "no units are named"),
    ):
        with pytest.raises(error, match=match):
            shares(pipe, pair, [change], method)
    with pytest.raises(PromptError, match="empty"):
        shares(pipe, PromptPair("p", "c", "Ana helps.", " "), [heads(pipe, HEAD)])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_velocity_that_is_no_number_is_refused(pipe, pair, value):
    rows = []

    def spoil(_module, _args, out, from_row):
        rows.append(1)
        return (out[0] * value,) if len(rows) > from_row else None

    for from_row, match in ((0, "NaN or infinite; 16-bit weights may need float32"), (2, "a changed velocity is NaN")):
        rows.clear()
        handle = pipe.transformer.register_forward_hook(lambda *got, n=from_row: spoil(*got, n))
        with pytest.raises(ProbeError, match=match):
            shares(pipe, pair, [heads(pipe, HEAD)])
        handle.remove()


def test_a_run_of_another_model_has_no_write_norms(pipe, found, book):
    from plantain.models.load import load_pipeline

    with pytest.raises(ProbeError, match="another shape than that of the run"):
        write_norms(load_pipeline(str(book)).transformer, found[0])


def test_an_interrupt_in_a_changed_pass_leaves_no_hook(pipe, pair):
    passes = []

    def stop(_module, _args):
        passes.append(1)
        if len(passes) == 4:
            raise KeyboardInterrupt

    handle = pipe.transformer.single_transformer_blocks[19].register_forward_pre_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        shares(pipe, pair, [heads(pipe, HEAD)])
    handle.remove()
