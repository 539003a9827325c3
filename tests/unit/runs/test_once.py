"""What is computed once: by whom, and what becomes of an error."""

import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from weakref import WeakKeyDictionary

import pytest
from made import small_run

from plantain.runs.inference import null_reliability
from plantain.runs.once import _UNDER_WAY, once


def asked_by(n, memory, compute):
    """Have n threads ask for one key; the first one's computation ends when all others have asked as well."""
    started, asking, go = threading.Event(), threading.Barrier(n), threading.Event()

    def slow():
        started.set()
        assert go.wait(30)
        return compute()

    def other():
        asking.wait(30)
        return once(memory, "key", compute)

    with ThreadPoolExecutor(n) as pool:
        first = pool.submit(once, memory, "key", slow)
        assert started.wait(30)
        others = [pool.submit(other) for _ in range(n - 1)]
        asking.wait(30)
        time.sleep(0.05)  # until they wait
        go.set()
        return [first, *others]


def test_threads_that_ask_for_the_same_get_one_object_that_is_computed_once():
    computed, memory = [], {}

    def compute():
        computed.append(1)
        return object()

    found = {id(answer.result()) for answer in asked_by(8, memory, compute)}
    assert len(found) == len(computed) == 1
    assert memory.keys() == {"key"} and not _UNDER_WAY


def test_an_error_reaches_all_who_wait_and_is_not_remembered():
    memory, tried = {}, []

    def fails():
        tried.append(1)
        raise ValueError("no")

    for answer in asked_by(4, memory, fails):
        with pytest.raises(ValueError, match="no"):
            answer.result()
    assert len(tried) == 1 and memory == {} and not _UNDER_WAY
    assert once(memory, "key", lambda: 3) == 3


def test_who_waits_for_one_that_is_interrupted_computes_it():
    memory, tried = {}, []

    def interrupted_first():
        tried.append(1)
        if len(tried) == 1:
            raise KeyboardInterrupt
        return 3

    first, *others = asked_by(3, memory, interrupted_first)
    with pytest.raises(KeyboardInterrupt):
        first.result()
    assert [answer.result() for answer in others] == [3, 3] and len(tried) == 2 and not _UNDER_WAY


def test_what_belongs_to_an_object_that_is_gone_is_forgotten():
    class Key:
        pass

    memory, key = WeakKeyDictionary(), Key()
    assert once(memory, key, lambda: 1) == 1 and len(memory) == 1
    del key
    gc.collect()
    assert len(memory) == 0


def test_other_keys_are_not_waited_for():
    memory = {}
    assert once(memory, "a", lambda: once(memory, "b", lambda: 1) + 1) == 2
    assert memory == {"a": 2, "b": 1}


def test_the_reference_of_the_halves_is_drawn_once_for_each_choice(monkeypatch):
    run = small_run()
    a = run.analysis()
    first = null_reliability(a, run.halves)
    monkeypatch.setattr("plantain.stats.split_half_null", lambda *args: pytest.fail("drawn again"))
    assert null_reliability(a, run.halves) is first and not first.flags.writeable
    with pytest.raises(BaseException, match="drawn again"):
        null_reliability(a, run.halves[::-1])
