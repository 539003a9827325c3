"""One prompt as both sides of a pair: nothing differs, and where something does it is the floor of a run."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import run_bytes

from plantain.models.load import PhasedPipeline, identify
from plantain.probe import runner
from plantain.probe.checkpoint import Checkpoint
from plantain.probe.distributed import Distributed
from plantain.probe.passes import Passes
from plantain.probe.placebo import floor_percent, placebo
from plantain.probe.runner import ProbeConfig, iter_pairs, plan_run, run_probe
from plantain.runs.info import Conditions
from plantain.runs.io import load_run, save_run

CONFIG = ProbeConfig(size=64)


@pytest.fixture
def sent(monkeypatch):
    """The pairs that went through the model."""
    pairs, capture = [], Passes.capture
    monkeypatch.setattr(
        Passes, "capture", lambda passes, some, **how: pairs.extend(some) or capture(passes, some, **how)
    )
    return pairs


@pytest.mark.parametrize("batch", [1, 2])
def test_the_same_prompt_differs_from_itself_by_exactly_nothing(pipe, small_set, batch):
    passes = Passes(pipe, Conditions(64), batch)
    (same,) = passes.capture([placebo(small_set.pairs[0])])
    for values in same.sums.streams.values():
        assert np.array_equal(values[0], values[1]) and values.any()
    layout = plan_run(identify(pipe), small_set, CONFIG).layout
    assert floor_percent(same, layout) == 0
    assert floor_percent(passes.capture(small_set.pairs[:1])[0], layout) > 0  # the check can fail


def test_a_run_sends_it_last_and_its_numbers_are_those_of_a_run_without_it(pipe, small_set, sent):
    passes = Passes(pipe, Conditions(64), directions=CONFIG.directions)
    without = runner.assemble(plan_run(identify(pipe), small_set, CONFIG), list(iter_pairs(passes, small_set.pairs)))
    sent.clear()
    run = run_probe(pipe, small_set, CONFIG)
    assert sent == [*small_set.pairs, placebo(small_set.pairs[0])]
    assert run_bytes(run) == run_bytes(without) and run.pairs == without.pairs
    assert (run.info.floor, without.info.floor) == (0, None)


def test_what_differs_is_the_floor_in_percent(pipe, small_set, tmp_path):
    """A model whose passes differ by themselves, as an accelerator's may by a batch's places."""
    calls = []

    def louder(_module, inputs):
        calls.append(1)
        return (inputs[0] * (1.01 if len(calls) % 2 else 1),)

    handle = pipe.transformer.transformer_blocks[0].attn.to_out[0].register_forward_pre_hook(louder)
    try:
        run = run_probe(pipe, small_set, CONFIG, batch=1)
    finally:
        handle.remove()
    assert run.info.floor == pytest.approx(100 * 0.01 / 1.005, rel=1e-3)
    again = load_run(save_run(run, tmp_path / "run"))
    assert again.info.floor == run.info.floor


def test_in_phases_it_is_made_of_the_embeddings_that_are_kept(small_set, tmp_path, monkeypatch):
    encoded, pack = [], runner.pack_embeddings
    monkeypatch.setattr(
        runner, "pack_embeddings", lambda pipe, pair, *how: encoded.append(pair.id) or pack(pipe, pair, *how)
    )

    def keep(plan):
        return Checkpoint(tmp_path / "run", plan.settings())

    run = run_probe(PhasedPipeline("tiny-random"), small_set, CONFIG, keep=keep)
    assert run.info.floor == 0 and encoded == [pair.id for pair in small_set.pairs]
    (tmp_path / "run.unfinished" / "embeddings-0000.safetensors").unlink()  # the pairs are all done
    again = run_probe(PhasedPipeline("tiny-random"), small_set, CONFIG, keep=keep)
    assert encoded[4:] == [small_set.pairs[0].id] and run_bytes(again) == run_bytes(run)


def test_of_several_processes_the_first_one_sends_it_and_all_get_the_floor(pipe, small_set, sent, monkeypatch):
    rest = list(iter_pairs(Passes(pipe, Conditions(64), directions=CONFIG.directions), small_set.pairs))
    sent.clear()

    def gathered(self, mine):
        """Answer for the other process too."""
        if mine and isinstance(mine[0], tuple):
            return mine + [(i, rest[i]) for i in Distributed(1 - self.rank, 2).share(4)]
        return mine or [0.5]

    monkeypatch.setattr(Distributed, "gather", gathered)
    first, second = (run_probe(pipe, small_set, CONFIG, distributed=Distributed(rank, 2)) for rank in (0, 1))
    assert (first.info.floor, second.info.floor) == (0, 0.5)
    assert sent == [*small_set.pairs[::2], placebo(small_set.pairs[0]), *small_set.pairs[1::2]]
    assert run_bytes(first) == run_bytes(second)


def test_an_older_runs_file_is_written_as_it_was(pipe, small_set, tmp_path):
    run = run_probe(pipe, small_set, CONFIG)
    known = {"floor", "preregistration"}
    old = replace(run, info=replace(run.info, **dict.fromkeys(known)))
    text = (save_run(old, tmp_path / "old") / "run.json").read_text()
    assert not any(name in text for name in known)
    assert load_run(tmp_path / "old").info == old.info
    assert '"floor": 0.0' in (save_run(run, tmp_path / "new") / "run.json").read_text()


def test_with_reference_images_it_has_that_of_its_pair(small_set):
    pair = small_set.pairs[0]
    assert placebo(pair).id == pair.id and placebo(pair).positive == placebo(pair).negative == pair.positive


def test_heads_that_are_silent_do_not_count(pipe, small_set):
    (same,) = Passes(pipe, Conditions(64)).capture([placebo(small_set.pairs[0])])
    for values in same.sums.streams.values():
        values[:] = 0
    assert floor_percent(same, plan_run(identify(pipe), small_set, CONFIG).layout) == 0
