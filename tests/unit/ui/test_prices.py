"""What a call asks for: less after measurements, a cold start only where one is due, and a line about what it took."""

import dataclasses
import json
import logging
import math

import pytest

from plantain import PlantainError
from plantain.runs.info import Conditions
from plantain.runs.seconds import COLD, DRAWING, PAIR, PICTURE, TURN, ZERO_GPU, Seconds, Timed
from plantain.ui.log import LOG
from plantain.ui.prices import CARD, WARM, Prices, margin

TABLE = (
    Timed(PAIR, 1024, 2.0, ZERO_GPU, "made up"),
    Timed(PICTURE, 1024, 0.5, ZERO_GPU, "made up"),
    Timed(COLD, 0, 15.0, ZERO_GPU, "made up"),
)
PLAIN = Conditions(1024)


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def prices(clock):
    return Prices(lambda seconds: 2 * seconds, Seconds(TABLE), clock)


def call(prices, pairs=1, start=None, seconds=0.2, conditions=PLAIN):
    """Make a call that goes well; return the seconds that it asked for."""
    with prices.call("pair", pairs, conditions, 0) as one:
        one.began(start)
        for _ in range(pairs):
            one.pair(seconds)
    return one.seconds


def test_before_a_measurement_the_table_is_taken_with_half_more_and_three_seconds(prices):
    assert prices.seconds(10, 1024) == 15 + 10 * 2 * 1.5 + 3
    assert prices.seconds(10, None) == prices.seconds(10, 1024)  # a GPU's default
    assert prices.seconds(10, 1024, pictures=4) == 15 + (10 * 2 + 4 * 0.5) * 1.5 + 3
    assert prices.seconds(10, 1024, cold=False) == 10 * 2 * 1.5 + 3
    assert prices.asks(10, 1024) == 2 * 48  # as the quota counts
    assert Prices(None, Seconds(TABLE)).asks(10, 1024) is None


def test_the_margin_shrinks_with_measurements_and_never_goes():
    margins = [margin(10, n) for n in (0, 1, 5, 25, 10**6)]
    assert margins[0] == 18 and margins == sorted(margins, reverse=True) and margins[-1] > 12.4


def test_a_call_asks_for_less_after_measurements(prices):
    def asked():
        return prices.seconds(100, 1024, cold=False)

    assert asked() == 303
    call(prices, pairs=5)
    assert asked() == 26  # 100 pairs of .2 s, and the margin
    call(prices, pairs=20)
    assert asked() == 25


def test_repeated_measures_are_paid_for_and_learned_one_by_one(prices):
    twice = Conditions(1024, (0, 1))
    with prices.call("pair", 3, twice, 0) as one:
        one.began(None)
        one.pair(0.4)
    pairs = (477 + 2 * 4608) / (477 + 4608)  # the prompts of a pair are encoded once
    assert one.seconds == math.ceil(15 + 3 * pairs * 2 * 1.5 + 3) == 36
    assert prices.per_pair(1024) == pytest.approx(0.4 / pairs) and prices.per_pair(512) is None
    with prices.call("pair", 1, twice, 0) as cold:
        cold.began(4.0)
        cold.pair(1.0)  # of which the second measure is no start
    assert prices.known.estimate(COLD, 0, ZERO_GPU).seconds == pytest.approx(4 + 1 / pairs)


def test_a_start_is_asked_for_unless_an_answer_came_a_moment_ago(prices, clock):
    assert call(prices, start=4.0, seconds=1.0) == 21
    assert prices.known.estimate(COLD, 0, ZERO_GPU).seconds == 5  # the first pair of a new worker belongs to it
    assert prices.per_pair(1024) is None
    assert call(prices) == 6
    clock.now += WARM - 1
    assert prices.warm()
    clock.now += 1
    assert not prices.warm()
    assert call(prices) > 5  # the start as it was measured


def test_two_calls_at_once_need_two_workers(prices):
    call(prices)
    with prices.call("pair", 1, PLAIN, 0) as one, prices.call("pair", 1, PLAIN, 0) as other:
        assert one.seconds < 15 < other.seconds
    assert prices.warm()


def test_a_worker_that_died_is_not_counted_on_and_one_that_said_why_it_failed_is(prices):
    call(prices)
    with pytest.raises(PlantainError), prices.call("pair", 1, PLAIN, 0):
        raise PlantainError("NaN")
    assert prices.warm()
    with pytest.raises(RuntimeError), prices.call("pair", 1, PLAIN, 0):
        raise RuntimeError("GPU task aborted")
    assert not prices.warm()


def test_a_new_worker_where_an_old_one_was_counted_on_halves_the_trust(prices, clock):
    call(prices)
    call(prices, start=3.0)
    clock.now += WARM / 2 - 1
    assert prices.warm()
    clock.now += 1
    assert not prices.warm()


@pytest.fixture
def lines():
    found = []
    handler = logging.Handler()
    handler.emit = lambda record: found.append(json.loads(record.getMessage()))
    level = LOG.level
    LOG.setLevel(logging.INFO)
    LOG.addHandler(handler)
    yield found
    LOG.removeHandler(handler)
    LOG.setLevel(level)


def test_a_line_holds_what_was_asked_for_against_what_was_spent(prices, lines):
    with prices.call("pair", 1, PLAIN, 2) as one:
        one.began(4.0)
        one.pair(1.0)
        one.pictures(2, 0.6)
    (line,) = lines
    assert {key: line[key] for key in line if key not in ("time", "ms")} == {
        "kind": "gpu", "outcome": "ok", "work": "pair", "pairs": 1, "size": 1024, "pictures": 2, "asked": 23,
        "spent": 5.6, "cold": True,
    }  # fmt: skip
    assert prices.known.estimate(PICTURE, 1024, ZERO_GPU).seconds == 0.3
    with pytest.raises(RuntimeError), prices.call("probe", 25, PLAIN, 0):
        raise RuntimeError("what a visitor wrote")
    assert lines[1]["outcome"] == "failed" and lines[1]["cold"] is None and "visitor" not in str(lines[1])


def test_without_a_quota_nothing_is_logged_and_the_device_is_the_models(lines):
    prices = Prices(None, Seconds(TABLE))
    prices.runs_on("cpu (somebody's)")
    call(prices, pairs=2, seconds=7.0)
    assert lines == [] and prices.per_pair(1024) == 7.0
    assert prices.known.estimate(PAIR, 1024, ZERO_GPU).seconds == 2.0


def test_saved_runs_of_the_same_shape_and_device_are_learned_from(prices, made_run):
    run = made_run()
    info = dataclasses.replace(run.info, device=f"NVIDIA {CARD} Blackwell", size=512, seconds=3.0 * len(run.pairs))
    other = dataclasses.replace(info, device="NVIDIA H200", seconds=0.001)
    for kept in (other, info):
        prices.learn_from(dataclasses.replace(run, info=kept), run.info.layout)
    assert prices.per_pair(512) == pytest.approx(3.0)
    wider = dataclasses.replace(run.info.layout, n_heads=run.info.layout.n_heads + 1)
    prices.learn_from(dataclasses.replace(run, info=dataclasses.replace(info, size=256)), wider)
    assert prices.per_pair(256) is None


@pytest.mark.parametrize(("seconds", "believed"), [(1e-6, 1.0), (0.9, 1.0), (1.5, 1.5), (1e6, 4.0)])
def test_a_saved_run_that_cannot_be_right_moves_a_quotas_price_only_so_far(prices, made_run, seconds, believed):
    """Made in batches on a whole card it would have calls killed; by a machine that slept, all of them refused."""
    run = made_run()
    info = dataclasses.replace(run.info, device=f"NVIDIA {CARD}", size=1024, seconds=seconds * len(run.pairs))
    prices.learn_from(dataclasses.replace(run, info=info), run.info.layout)
    assert prices.per_pair(1024) == pytest.approx(believed)  # the table says 2 s
    elsewhere = Prices(None, Seconds(TABLE))
    elsewhere.runs_on(info.device)
    elsewhere.learn_from(dataclasses.replace(run, info=info), run.info.layout)
    assert elsewhere.per_pair(1024) == pytest.approx(seconds)


def test_saved_runs_do_not_make_a_price_surer(prices, made_run):
    run = made_run()
    info = dataclasses.replace(run.info, device=f"NVIDIA {CARD}", size=1024, seconds=2.0 * len(run.pairs))
    for _ in range(12):
        prices.learn_from(dataclasses.replace(run, info=info), run.info.layout)
    assert prices.seconds(10, 1024, cold=False) == 10 * 2 * 1.5 + 3  # as before any measurement
    call(prices, pairs=5, seconds=2.0)
    assert prices.seconds(10, 1024, cold=False) == math.ceil(margin(20, 5))


# --- several kinds of work ---------------------------------------------------------------------------------


def test_every_kind_of_work_has_workers_of_its_own(prices, clock):
    call(prices, start=12.0)
    assert prices.warm() and not prices.warm(TURN) and not prices.warm(DRAWING)
    with prices.call("turn", 1, PLAIN, 0, TURN, 2.5) as one:
        assert one.seconds == prices.seconds(2.5, 1024, kind=TURN)  # with a start
        one.began(10.0)
        one.pair(1.0)
    assert prices.warm(TURN) and not prices.warm()  # whose worker may be gone
    clock.now += WARM
    assert not prices.warm(TURN)


def test_other_kinds_cost_what_pairs_do_until_one_was_timed(prices):
    assert prices.seconds(10, 1024, kind=TURN) == prices.seconds(10, 1024) == prices.seconds(10, 1024, kind=DRAWING)
    for took in (5.0, 5.0):
        with prices.call("turn", 1, PLAIN, 0, TURN, 2.5) as one:
            one.began(None)
            one.pair(took)
    assert prices.seconds(10, 1024, cold=False, kind=TURN) == math.ceil(margin(10 * 2.0, 2))
    assert prices.seconds(10, 1024) == 15 + 10 * 2 * 1.5 + 3  # a pair's own price stays


def test_a_long_drawing_teaches_its_price_on_a_new_worker_too(prices):
    for each, learned in ((2.0, 0), (50.0, 1)):
        with prices.call("draw", 1, PLAIN, 0, DRAWING, each) as one:
            one.began(10.0)
            one.pair(5.0)
        assert prices.known.count(DRAWING, 1024, ZERO_GPU) == learned
    assert prices.known.estimate(DRAWING, 1024, ZERO_GPU).seconds == 0.1
