"""A probe that ends before its end: what is kept, what goes on, what a failure says."""

import threading

import numpy as np
import pytest
import torch

from plantain.models.load import identify
from plantain.probe.passes import Passes
from plantain.runs.info import Conditions
from plantain.ui.engine import UNFINISHED, Engine, PassError, Work
from plantain.ui.prices import Prices


@pytest.fixture
def engine(pipe, monkeypatch):
    engine = Engine("tiny-random")
    monkeypatch.setattr("plantain.models.load.PhasedPipeline.load_both", lambda _self: identify(pipe))
    engine.load()
    return engine


@pytest.fixture
def asked(engine, monkeypatch):
    """What the device is asked for, call by call."""
    calls = []

    def on_device(work):
        calls.append(len(work.pairs))
        return engine.captures(work)

    monkeypatch.setattr(engine, "on_device", on_device)
    return calls


def run_some(engine, prompt_set, pairs, seed=0):
    """Run so many pairs and close the probe, as a page does."""
    steps = engine.iter_probe(prompt_set, 64, seed)
    for step in steps:
        if step.done == pairs:
            break
    steps.close()


def test_a_closed_probe_keeps_its_pairs_and_the_next_asks_for_the_rest(engine, asked, moral_set, moral_run):
    run_some(engine, moral_set, 7)
    assert engine.kept(moral_set, 64, 0) == 7
    assert engine.kept(moral_set, 64, 1) == engine.kept(moral_set, 80, 0) == 0  # other settings, other pairs
    steps = list(engine.iter_probe(moral_set, 64, 0))
    assert [s.done for s in steps] == [*range(7, 26), 25] and asked == [26, 19]  # the last one is the placebo
    assert steps[-1].run.info.floor == 0
    for stream, values in steps[-1].run.sums.streams.items():
        np.testing.assert_array_equal(values, moral_run.sums.streams[stream])
    assert steps[-1].run.directions_sha256 == moral_run.directions_sha256 is not None
    assert engine.kept(moral_set, 64, 0) == 0


def test_pairs_can_be_run_a_few_at_a_time(engine, asked, moral_set):
    first = list(engine.iter_probe(moral_set, 64, 0, most=10))
    assert first[-1].done == 10 and first[-1].run is None and first[-1].seconds_left == 0
    assert engine.kept(moral_set, 64, 0) == 10
    assert list(engine.iter_probe(moral_set, 64, 0, most=10))[-1].done == 20
    assert list(engine.iter_probe(moral_set, 64, 0, most=10))[-1].run is not None
    assert asked == [10, 10, 6]


def test_what_a_call_sends_is_known_before(engine, asked, moral_set):
    assert [engine.sends(moral_set, 64, 0, most) for most in (None, 10, 25)] == [26, 10, 26]
    run_some(engine, moral_set, 20)
    assert [engine.sends(moral_set, 64, 0, most) for most in (None, 4, 5)] == [6, 4, 6]


def test_a_step_names_the_pair_that_is_done_and_the_time_it_took(engine, moral_set):
    steps = list(engine.iter_probe(moral_set, 64, 0, most=2))
    assert [s.pair for s in steps] == [None, *moral_set.pairs[:2]]
    assert all(0 < s.seconds < 60 for s in steps[1:])
    assert engine.seconds_per_pair(64) == pytest.approx(sum(s.seconds for s in steps[1:]) / 2)
    assert engine.seconds_per_pair(80) is None  # no pair of that size was timed


def test_where_only_the_end_was_missing_the_device_is_asked_for_the_placebo_alone(engine, asked, moral_set):
    run_some(engine, moral_set, 25)
    assert engine.kept(moral_set, 64, 0) == 25
    assert engine.sends(moral_set, 64, 0) == 1
    assert list(engine.iter_probe(moral_set, 64, 0))[-1].run.info.floor == 0
    assert asked == [26, 1]


def test_only_the_last_unfinished_probes_are_kept(engine, moral_set):
    for seed in range(UNFINISHED + 1):
        run_some(engine, moral_set, 1, seed)
    run_some(engine, moral_set, 0, 99)  # nothing done, nothing kept
    assert [engine.kept(moral_set, 64, seed) for seed in range(UNFINISHED + 1)] == [0, *[1] * UNFINISHED]
    assert engine.kept(moral_set, 64, 99) == 0


def test_the_device_is_told_that_a_probe_is_closed_but_not_waited_for(engine, moral_set, monkeypatch):
    """ZeroGPU's generator waits for the pair in hand when it is closed; a page closes probes on its event loop."""
    told, go_on = threading.Event(), threading.Event()

    def on_device(work):
        try:
            yield from engine.captures(work)
        except GeneratorExit:
            go_on.wait(60)
            told.set()
            raise

    monkeypatch.setattr(engine, "on_device", on_device)
    run_some(engine, moral_set, 2)
    assert not told.is_set() and engine.kept(moral_set, 64, 0) == 2
    go_on.set()
    assert told.wait(60)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory."), MemoryError()])
def test_too_little_memory_comes_back_as_data_in_words(engine, moral_set, monkeypatch, error):
    def fail(*_args):
        raise error

    monkeypatch.setattr(Passes, "capture", fail)
    *_, last = engine.captures(Work(moral_set.pairs, Conditions(64)))
    assert last == "the device has too little memory at 64 px; choose a smaller image."
    with pytest.raises(PassError, match="too little memory at 64 px"):
        list(engine.iter_probe(moral_set, 64, 0))


def test_a_fault_of_ours_is_raised_where_it_happens_and_the_pairs_stay(engine, moral_set, monkeypatch):
    capture, calls = Passes.capture, []

    def fail(*args):
        calls.append(1)
        if len(calls) > 3:
            raise ValueError("nobody foresaw this")
        return capture(*args)

    monkeypatch.setattr(Passes, "capture", fail)
    with pytest.raises(ValueError, match="nobody foresaw this"):
        list(engine.iter_probe(moral_set, 64, 0))
    assert engine.kept(moral_set, 64, 0) == 3


def test_what_a_call_asks_of_a_quota_is_said_only_where_there_is_one(engine):
    assert engine.asks(25, 64) is None
    engine.prices = Prices(lambda seconds: 1000 + seconds)
    assert engine.asks(25, 64) == 1000 + engine.prices.seconds(25, 64)
