"""What is computed once: by whom, and what becomes of an error."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from made import small_run

from plantain.runs.inference import null_reliability
from plantain.runs.once import once


def asked_by(n, memory, compute):
    """Have n threads ask for one key; the first one's computation ends when all others wait or have been answered."""
    started, go = threading.Event(), threading.Event()

    def slow():
        started.set()
        assert go.wait(30)
        return compute()

    with ThreadPoolExecutor(n) as pool:
        first = pool.submit(once, memory, "key", slow)
        assert started.wait(30)
        others = [pool.submit(once, memory, "key", compute) for _ in range(n - 1)]
        go.set()
        return [first, *others]


def test_threads_that_ask_for_the_same_get_one_object_that_is_computed_once():
    computed, memory = [], {}

    def compute():
        computed.append(1)
        return object()

    found = {id(answer.result()) for answer in asked_by(8, memory, compute)}
    assert len(found) == len(computed) == 1
    assert memory.keys() == {"key"}


def test_an_error_reaches_the_one_who_began_and_is_not_remembered():
    memory = {}

    def fails():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        asked_by(2, memory, fails)[0].result()
    assert memory == {}
    assert once(memory, "key", lambda: 3) == 3


def test_other_keys_are_not_waited_for():
    memory = {}
    assert once(memory, "a", lambda: once(memory, "b", lambda: 1) + 1) == 2
    assert memory == {"a": 2, "b": 1}


def test_the_reference_of_the_halves_is_drawn_once_for_each_choice(monkeypatch):
    run = small_run()
    a = run.analysis()
    first = null_reliability(a, run.halves)
    monkeypatch.setattr("plantain.stats.split_half_null", lambda *args: pytest.fail("drawn again"))
    assert null_reliability(a, run.halves) is first
