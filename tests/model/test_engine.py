"""A model behind a page: loading, failing, and two visitors at once."""

import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from plantain.probe.tokens import ProbeError
from plantain.prompts.sets import PromptError
from plantain.runs.info import NotComparableError
from plantain.ui.engine import Engine, EngineError, _in_own_thread


@pytest.fixture(scope="module")
def engine():
    engine = Engine("tiny-random")
    engine.load()
    return engine


def test_an_engine_says_how_the_model_stands():
    engine = Engine("tiny-random")
    assert engine.status().state == "loading"
    engine.load()
    assert engine.status().state == "ready" and "STAND-IN" in engine.status().text


def test_without_a_name_and_without_cuda_the_stand_in_is_loaded():
    engine = Engine()
    engine.start_loading()
    deadline = time.monotonic() + 60
    while engine.status().state == "loading" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "tiny-random" in engine.status().text


def test_a_model_that_cannot_be_loaded_is_a_status_and_a_clear_error(moral_run):
    engine = Engine("no/such/folder")
    engine.load()
    assert engine.status().state == "failed" and "no such folder" in engine.status().text
    with pytest.raises(EngineError, match="no such folder"):
        engine.probe_pair(moral_run, "a", "b")
    with pytest.raises(EngineError, match="no such folder"):
        list(engine.iter_probe(None, 64, 0))


def test_a_probe_reports_every_pair_and_ends_with_the_same_run_as_the_library(engine, moral_set, moral_run):
    steps = list(engine.iter_probe(moral_set, 64, 0))
    assert [s.done for s in steps] == [*range(26), 25]
    assert steps[0].seconds_left is None and steps[1].seconds_left > 0
    assert all(s.run is None for s in steps[:-1])
    for stream, values in steps[-1].run.sums.streams.items():
        np.testing.assert_array_equal(values, moral_run.sums.streams[stream])


def test_bad_settings_and_prompts_are_refused_before_a_pass(engine, moral_set, moral_run, monkeypatch):
    def no_pass(*_args):
        raise AssertionError("a pass was started")

    monkeypatch.setattr(engine, "on_device", no_pass)
    with pytest.raises(ProbeError):
        next(engine.iter_probe(moral_set, 63, 0))
    with pytest.raises(PromptError, match="empty"):
        engine.probe_pair(moral_run, " ", "b")
    stranger = replace(moral_run, info=replace(moral_run.info, fingerprint="0" * 64))
    with pytest.raises(NotComparableError):
        engine.probe_pair(stranger, "a", "b")


def test_two_visitors_at_once_get_what_each_gets_alone(engine, moral_run):
    """Hooks sit on the one model: passes of two pairs must not mix."""
    texts = [(f"Anna helps man number {i}.", f"Anna trips man number {i}.") for i in range(4)]
    alone = [engine.probe_pair(moral_run, *t).score for t in texts]
    together: dict[int, float] = {}

    def visit(i):
        together[i] = engine.probe_pair(moral_run, *texts[i]).score

    threads = [threading.Thread(target=visit, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[i] for i in range(4)] == alone


def test_a_pass_leaves_nothing_in_the_thread_that_asks_for_it(engine, moral_run):
    """What torch keeps for a thread that ran a pass goes with that thread."""
    threads = []
    hook = engine._loaded.pipe.transformer.register_forward_pre_hook(
        lambda *_: threads.append(threading.current_thread())
    )
    try:
        engine.probe_pair(moral_run, "Anna helps the man.", "Anna trips the man.")
    finally:
        hook.remove()
    assert threads and threading.current_thread() not in threads
    assert not any(thread.is_alive() for thread in threads)


def test_what_goes_wrong_apart_is_raised_here():
    assert _in_own_thread(lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        _in_own_thread(lambda: 1 / 0)


def test_tokens_are_counted_without_a_pass_and_without_waiting(engine, monkeypatch):
    monkeypatch.setattr(engine, "on_device", None)
    assert engine.count_tokens("Anna helps.") == 11  # the stand-in: a byte is a token
    assert engine.count_tokens("Änna 🍌") == 10
    with pytest.raises(PromptError, match="tokens, 512 are possible"):
        engine.count_tokens("a" * 512)  # the template's own tokens come on top
    with pytest.raises(PromptError, match="control token"):
        engine.count_tokens("Anna <|im_end|>")
    with pytest.raises(EngineError, match="is loading"):
        Engine("tiny-random").count_tokens("Anna helps.")


def test_a_count_is_right_also_while_a_pass_encodes(engine):
    """The pipeline's tokenizer cuts off what is too long while it encodes; a text would seem to fit."""
    tokenizer, stop = engine._loaded.pipe.tokenizer, threading.Event()

    def encode():
        while not stop.is_set():
            tokenizer("a", padding="max_length", truncation=True, max_length=512)

    thread = threading.Thread(target=encode)
    thread.start()
    try:
        for _ in range(300):
            with pytest.raises(PromptError, match="shorten"):
                engine.count_tokens("a" * 600)
    finally:
        stop.set()
        thread.join()


def test_the_page_is_built_before_torch_is_imported():
    code = (
        "import sys, app\n"
        "from plantain.ui import RunStore, build_demo\n"
        "build_demo(RunStore('precomputed'), app.engine, app.load_published(), "
        "app.load_prompt_set('prompts/moral_valence.toml'))\n"
        "print(sorted({'torch', 'diffusers', 'transformers', 'spaces'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stderr
