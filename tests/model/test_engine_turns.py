"""Turned heads through the page's engine: what is asked of the device, what comes back, and what it costs."""

from dataclasses import replace

import pytest
from browser import ROOT

from plantain import UsageError
from plantain.findings.heads import chosen_heads
from plantain.models.picture_book.folder import Drawing
from plantain.runs.info import Conditions, NotComparableError
from plantain.runs.io import load_run
from plantain.runs.seconds import DRAWING, PAIR, TURN, whole_pairs
from plantain.runs.units import SelectionError
from plantain.ui.engine import Engine, EngineError, PassError
from plantain.ui.turns import DrawAnswer, DrawStep, DrawWork, asked_of, beside

QUICK = Drawing(64, 24, 4.0)


@pytest.fixture(scope="module")
def engine():
    engine = Engine("tiny-random")
    engine.load()
    return engine


@pytest.fixture(scope="module")
def run():
    return load_run(ROOT / "precomputed" / "tiny-random")


def ask(run, spec="top:10", change="patch", side="negative"):
    return asked_of(run, run.pairs[1].pair.id, spec, change, side)


def test_heads_are_turned_beside_as_many_others_of_the_same_blocks(engine, run):
    small = replace(run, info=replace(run.info, size=64))
    answer = engine.intervene_pair(small, ask(small))
    asked, others = answer.asked
    assert asked.heads == tuple(chosen_heads(run, "top:10")) and others.spec == "others"
    assert sorted(n.split()[0] for n in asked.names) == sorted(n.split()[0] for n in others.names)
    assert len(set(asked.heads) & set(others.heads)) == 0 and len(set(others.heads)) == 10
    assert len(answer.webp) == 4 and all(picture[8:12] == b"WEBP" for picture in answer.webp)
    assert [grid.shape for grid in answer.turned.change] == [(4, 4)] * 2
    assert answer.turned.shares[0] != answer.turned.shares[1] and answer.model.weights == "stand-in"
    again = engine.intervene_pair(small, ask(small), pictures=False)
    assert again.webp == () and again.turned.shares == answer.turned.shares
    assert beside(small, ask(small, "random:10")).heads == asked.heads


def test_a_drawing_tells_its_steps_and_ends_with_the_pictures(engine, run, monkeypatch):
    work = replace(engine.draw_work(run, run.pairs[1].pair, ask(run)), drawing=replace(QUICK, steps=2))
    *steps, answer = engine.draw_pair(run, work)
    assert steps == [DrawStep(i, 2) for i in range(3)]
    assert isinstance(answer, DrawAnswer) and len(answer.drawn.webp) == 3
    monkeypatch.setattr(engine, "draws", False)
    with pytest.raises(EngineError, match="draws no pictures"):
        next(engine.draw_pair(run, work))


def test_what_can_be_refused_is_refused_before_the_device_is_asked(engine, run, monkeypatch):
    for device in ("turn_on_device", "draw_on_device"):
        monkeypatch.setattr(engine, device, lambda *_: pytest.fail("the device was asked"))
    stranger = replace(run, info=replace(run.info, fingerprint="0" * 64))
    with pytest.raises(NotComparableError):
        engine.intervene_pair(stranger, ask(run))
    with pytest.raises(NotComparableError):
        next(engine.draw_pair(stranger, engine.draw_work(run, run.pairs[0].pair, None)))
    with pytest.raises(UsageError, match=r"the run has no pair 'nowhere'; it has \w+"):
        asked_of(run, "nowhere", "top:1", "patch", "negative")
    with pytest.raises(UsageError, match="change is 'louder'; give one of off, half, normal, double, patch"):
        ask(run, change="louder")
    with pytest.raises(UsageError, match="side is 'left'; give one of positive, negative"):
        ask(run, side="left")
    with pytest.raises(SelectionError):
        ask(run, "single[99].1")


def test_a_failure_on_the_device_is_an_error_here(engine, run, monkeypatch):
    monkeypatch.setattr(engine, "turn_on_device", lambda _work: (item for item in ["single[3]: NaN"]))
    with pytest.raises(PassError, match="NaN"):
        engine.intervene_pair(run, ask(run))


def test_too_little_memory_is_said(engine, run, monkeypatch):
    def too_much(*_args):
        raise MemoryError

    monkeypatch.setattr("plantain.ui.turns.turn", too_much)
    with pytest.raises(PassError, match="too little memory at 256 px"):
        engine.intervene_pair(replace(run, info=replace(run.info, size=256)), ask(run))


def test_the_price_is_that_of_the_passes_behind_the_button(engine, run):
    asked = ask(run)
    turn, draw = engine.turn_work(run, (asked, asked)), DrawWork(asked.pair, asked, QUICK, 0)
    assert turn.whole_pairs == whole_pairs(run.info.size, 2) and turn.n_pictures == 4  # 4 rows, 2 prompts
    assert draw.whole_pairs == whole_pairs(64, 24 * 2 * 1.5)  # steps, branches of the guidance, 3 rows
    assert replace(draw, asked=None).whole_pairs == whole_pairs(64, 24 * 2)
    assert engine.turn_asks(turn) is None  # no quota here
    priced = Engine("tiny-random", quota=lambda seconds: 2 * seconds)
    priced.draws = True
    assert priced.draw_asks(draw) == 2 * priced.prices.seconds(draw.whole_pairs, 64, kind=DRAWING)
    assert priced.turn_asks(turn) == 2 * priced.prices.seconds(turn.whole_pairs, run.info.size, 4, kind=TURN)


def test_what_turning_takes_is_learned_apart_from_what_a_pair_takes(run):
    engine = Engine("tiny-random")
    engine.load()
    small, device = replace(run, info=replace(run.info, size=64)), engine.prices.device
    engine.intervene_pair(small, ask(small))
    known = engine.prices.known
    assert [known.count(kind, 64, device) for kind in (TURN, PAIR, DRAWING)] == [1, 0, 0]
    work = replace(engine.draw_work(small, small.pairs[0].pair, None), drawing=replace(QUICK, steps=1))
    list(engine.draw_pair(small, work))
    assert [known.count(kind, 64, device) for kind in (TURN, PAIR, DRAWING)] == [1, 0, 1]
    assert work.conditions == Conditions(64, (0,))
