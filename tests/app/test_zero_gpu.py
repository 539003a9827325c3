"""The app under the real `spaces` package, emulated on the CPU (see zero_gpu.py), as a program meets it."""

import ast
import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

import psutil
import pytest
from browser import ROOT
from few import max_abs_t

pytest.importorskip("spaces")

from scheduler import FEW, Refusal, emulated

import app
from plantain.models.load import identify
from plantain.runs.info import Conditions
from plantain.runs.seconds import DRAWING, TURN, whole_pairs
from plantain.ui.engine import Engine, Work
from plantain.ui.errors import ZERO_GPU
from plantain.ui.prices import Prices
from plantain.ui.turns import asked_of

TEXTS = ("Anna helps the old man up the stairs.", "Anna trips the old man on the stairs.")
QUOTA = Refusal(429, {"left": 10, "wait": 3600}, "quota-exceeded")


@pytest.fixture
def client(zero):
    from gradio_client import Client

    yield Client(zero.url, verbose=False, headers={"x-ip-token": "a visitor's"})
    zero.orders.clear()


def until(holds):
    """Wait until something holds, for longer than a busy machine needs."""
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def error_of(client, *args, api_name):
    from gradio_client.exceptions import AppError

    with pytest.raises(AppError) as caught:
        client.predict(*args, api_name=api_name)
    return str(caught.value)


def test_the_seconds_on_the_buttons_are_those_that_zero_gpu_counts():
    configs = json.loads(files("spaces.zero").joinpath("configs.json").read_text())
    (factor,) = [c["duration_factor"] for c in configs if "RTX PRO 6000" in c["model"]]
    assert factor == app.FACTOR
    pairs = app.load_prompt_set(ROOT / "prompts" / "moral_valence.toml").pairs
    prices = Prices(app.quota_seconds)
    assert prices.asks(25, None) == prices.asks(25, 1024) == round(1.5 * prices.seconds(25, 1024)) == 98
    once, again = (Conditions(512, seeds) for seeds in ((3,), (3, 4)))
    for conditions in (once, again):  # as `duration=` is called, and as buttons are
        with prices.call("probe", len(pairs), conditions, 0) as call:
            whole = 25 * whole_pairs(512, len(conditions.seeds))
            assert app.work_seconds(Work(pairs, conditions, seconds=call.seconds)) == prices.seconds(whole, 512)
    assert 25 < 25 * whole_pairs(512, 2) < 50  # prompts are encoded once


def test_every_title_of_zero_gpus_errors_is_explained():
    """Read in the installed package: a new title there has to find its words here."""
    titles = set()
    for path in Path(str(files("spaces.zero"))).glob("*.py"):
        calls = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]
        named = [c for c in calls if isinstance(c.func, ast.Name) and c.func.id == "error"]
        titles |= {c.args[0].value for c in named if isinstance(c.args[0], ast.Constant)}
    assert titles == set(ZERO_GPU)


def test_passes_run_in_a_worker_and_give_the_same_numbers(zero, client, pipe):
    from plantain.cli.report import probe_pair
    from plantain.runs.io import load_run

    run = load_run(ROOT / "precomputed" / "tiny-random")
    expected = probe_pair(identify(pipe), run, *TEXTS)
    result = client.predict("tiny-random", *TEXTS, api_name="/probe_pair")
    assert result["score"] == pytest.approx(expected.score, rel=1e-4)
    probed = client.predict(run.info.size, run.info.seed, api_name="/run_probe")
    assert probed["summary"]["max_abs_t"] == pytest.approx(max_abs_t(run, FEW), rel=1e-4)
    assert probed["device"].startswith("cpu")  # read in the worker: the parent process believes in a card
    assert zero.scheduler.durations()[-2:] == [28, 32]  # 19 and 21 s, times 1.5


def test_turned_heads_run_in_a_worker_of_their_own_and_a_drawing_asks_for_its_steps(zero, client):
    from plantain.runs.io import load_run

    run, prices = load_run(ROOT / "precomputed" / "tiny-random"), Prices(app.quota_seconds)
    pair = run.pairs[0].pair.id
    found = client.predict("tiny-random", pair, "top:10", api_name="/intervene_pair")
    here = Engine("tiny-random")
    here.load()
    expected = here.intervene_pair(run, asked_of(run, pair, "top:10", "patch", "negative"), pictures=False)
    assert (found["on"], found["off"]) == pytest.approx(expected.turned.shares[0], rel=1e-4)
    assert zero.scheduler.durations()[-1] == prices.asks(whole_pairs(run.info.size, 2), run.info.size, kind=TURN)
    with zero.refusing(QUOTA):
        said = error_of(client, "tiny-random", pair, "top:10", api_name="/draw_pair")
    assert f"{prices.asks(whole_pairs(512, 24 * 2 * 1.5), 512, kind=DRAWING)} s are asked for" in said


def test_a_program_is_told_what_happened_what_it_cost_and_what_to_do(zero, client):
    with zero.refusing(QUOTA):
        said = error_of(client, "tiny-random", *TEXTS, api_name="/probe_pair")
    assert "28 s are asked for, 10 s are left" in said and "no GPU second was spent" in said and "Wait 1:00 h" in said
    with zero.refusing(Refusal(500, {})):
        said = error_of(client, "tiny-random", *TEXTS, api_name="/probe_pair")
    assert "scheduler answered with an error (500 Internal Server Error)" in said


def test_what_can_be_refused_is_refused_before_a_second_is_asked_for(zero, client):
    before = len(zero.scheduler.asked)
    assert "empty" in error_of(client, "tiny-random", " ", "b", api_name="/probe_pair")
    assert "choose a multiple of 16" in error_of(client, 65, 0, api_name="/run_probe")
    assert "seed -1: choose a whole number from 0" in error_of(client, 64, -1, api_name="/run_probe")
    assert "from 0 to 2^63 - 1" in error_of(client, 64, 2**63, api_name="/run_probe")
    assert len(zero.scheduler.asked) == before


def test_a_worker_that_dies_loses_no_pair_that_is_done(zero, client):
    """The pairs are kept in the parent process; the next call asks for the missing ones only."""
    zero.orders.give("die", after=3)
    said = error_of(client, 64, 1, api_name="/run_probe")
    assert "The GPU was taken away" in said and "up to 32 s" in said and "3 of 6 pairs are done and kept" in said
    probed = client.predict(64, 1, api_name="/run_probe")
    assert (probed["n_pairs"], probed["seed"]) == (FEW, 1) and zero.scheduler.durations()[-2:] == [32, 30]


def test_a_worker_that_hangs_is_ended_by_zero_gpu_and_holds_up_nobody(zero, client):
    """Nothing comes from it any more; the platform kills it when the time that was asked for is over."""
    from gradio_client import Client

    zero.orders.give("wait", after=3)
    with ThreadPoolExecutor(1) as threads:
        hanging = threads.submit(error_of, client, 64, 3, api_name="/run_probe")
        until(lambda: zero.orders.due() == "wait")
        (hung,) = set(zero.orders.processes()[-3:])
        other = Client(zero.url, verbose=False)
        assert other.predict("tiny-random", api_name="/summary")["n_pairs"] == 25
        assert not hanging.done()
        os.kill(hung, signal.SIGKILL)  # now and not by the clock: how long three pairs take depends on the machine
        said = hanging.result(60)
    assert "The GPU was taken away" in said and "up to 32 s" in said and "3 of 6 pairs are done and kept" in said
    zero.orders.clear()
    before = len(zero.orders.processes())
    assert client.predict(64, 3, api_name="/run_probe")["n_pairs"] == FEW
    assert not psutil.pid_exists(hung) and hung not in zero.orders.processes()[before:]


def test_a_failed_pass_in_the_worker_says_its_reason(zero, client):
    zero.orders.give("fail")
    said = error_of(client, "tiny-random", *TEXTS, api_name="/probe_pair")
    assert said.startswith("single[3]: NaN or infinite activation.") and "up to 28 s of your GPU quota" in said


def test_too_little_memory_on_the_card_comes_back_in_words(zero, client):
    zero.orders.give("memory")
    said = error_of(client, 64, 2, api_name="/run_probe")
    assert said.startswith("the device has too little memory at 64 px; choose a smaller image.")


def test_the_page_starts_with_the_saved_runs_when_the_model_cannot_be_loaded(tmp_path):
    from gradio_client import Client

    with emulated(tmp_path, "no/such/folder") as zero:
        client = Client(zero.url, verbose=False)
        assert client.predict(api_name="/list_runs")[0]["run"] == "tiny-random"
        assert "no such folder" in error_of(client, "tiny-random", *TEXTS, api_name="/probe_pair")


def test_two_visitors_in_one_warm_worker_get_what_each_gets_alone(zero, pipe):
    """A worker is used again for the next visitor: nothing of the one may reach the other, in either order."""
    from gradio_client import Client

    from plantain.cli.report import probe_pair
    from plantain.runs.io import load_run

    run, before = load_run(ROOT / "precomputed" / "tiny-random"), len(zero.orders.processes())
    pairs = {"one": TEXTS, "other": ("Otto lifts the branch off the path.", "Otto kicks the branch off the path.")}
    visitors = {name: Client(zero.url, verbose=False, headers={"x-ip-token": name}) for name in pairs}
    for name in ("one", "other", "other", "one", "one"):
        result = visitors[name].predict("tiny-random", *pairs[name], api_name="/probe_pair")
        expected = probe_pair(identify(pipe), run, *pairs[name])
        assert result["pair"]["positive"] == pairs[name][0]
        assert result["score"] == pytest.approx(expected.score, rel=1e-4)
        assert [u["new"] for u in result["top"]] == pytest.approx([u.new for u in expected.top], rel=1e-4, abs=1e-9)
    assert len(set(zero.orders.processes()[before:])) == 1  # one worker for all five, else nothing was tested


@pytest.mark.parametrize("how", ["midway", "fail", "memory"])
def test_a_worker_in_which_a_pass_failed_gives_the_next_visitor_what_a_new_one_would(zero, pipe, how):
    """It is used again, as `spaces` does where words of ours came back: no hook of that pass may be left."""
    from gradio_client import Client

    from plantain.cli.report import probe_pair
    from plantain.runs.io import load_run

    before, run = len(zero.orders.processes()), load_run(ROOT / "precomputed" / "tiny-random")
    one, other = (Client(zero.url, verbose=False, headers={"x-ip-token": name}) for name in ("one", "other"))
    zero.orders.give(how)
    said = error_of(one, "tiny-random", *TEXTS, api_name="/probe_pair")
    assert ("too little memory" if how == "memory" else "single[3]: NaN") in said
    zero.orders.clear()
    result, expected = (
        other.predict("tiny-random", *TEXTS, api_name="/probe_pair"),
        probe_pair(identify(pipe), run, *TEXTS),
    )
    assert result["score"] == pytest.approx(expected.score, rel=1e-4)
    assert [u["new"] for u in result["top"]] == pytest.approx([u.new for u in expected.top], rel=1e-4, abs=1e-9)
    assert len(set(zero.orders.processes()[before:])) == 1  # one worker for both, else nothing was tested


def test_the_seconds_asked_for_fall_with_measurements_and_a_start_is_asked_for_only_when_cold(tmp_path):
    from gradio_client import Client

    with emulated(tmp_path, prices="learned", PAIRS=str(FEW)) as zero:
        client = Client(zero.url, verbose=False)

        def pair():
            client.predict("tiny-random", *TEXTS, api_name="/probe_pair")
            return zero.scheduler.durations()[-1]

        cold, warm = pair(), pair()
        assert (cold, warm) == (28, 6)  # 19 s, of them 15 for the start; then 4 s
        assert len(set(zero.orders.processes())) == 1  # the worker was there indeed
        client.predict(256, 0, api_name="/run_probe")
        assert pair() == 3  # a pair took .05 s seven times, and a second more
        zero.orders.give("die")
        error_of(client, "tiny-random", *TEXTS, api_name="/probe_pair")
        assert pair() == 15  # a worker that died is not counted on; a start took 5 s once, and 3.6 s more
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines() if '"kind": "gpu"' in line]
    assert [line["outcome"] for line in lines] == ["ok"] * 4 + ["failed", "ok"]
    assert [line["cold"] for line in lines] == [True, False, False, False, False, True]
    assert [round(1.5 * line["asked"]) for line in lines] == zero.scheduler.durations()
    assert [line["work"] for line in lines[:3]] == ["pair", "pair", "probe"] and lines[2][
        "pairs"
    ] == FEW + 1  # with the placebo
    for line in lines[:4]:
        assert line["spent"] > 0 and not set(TEXTS) & set(map(str, line.values()))
