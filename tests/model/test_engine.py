"""A model behind a page: loading, failing, and two visitors at once."""

import subprocess
import sys
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from plantain.models import load
from plantain.models.sources import DownloadError, ModelError
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


def test_without_a_name_and_without_cuda_the_practice_model_is_loaded(book, monkeypatch):
    monkeypatch.setattr("plantain.models.picture_book.folder.MODELS", book.parent)
    engine = Engine()
    engine.start_loading()
    deadline = time.monotonic() + 60
    while engine.status().state == "loading" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert engine.status().text == "Loaded: picture-book, practice model (drawings, trained by us; not Klein)."
    assert engine.draws


def test_a_model_that_cannot_be_loaded_is_a_status_and_a_clear_error(moral_run):
    engine = Engine("no/such/folder")
    engine.load()
    assert engine.status().state == "failed" and "no such folder" in engine.status().text
    with pytest.raises(EngineError, match="no such folder"):
        engine.probe_pair(moral_run, "a", "b")
    with pytest.raises(EngineError, match="no such folder"):
        list(engine.iter_probe(None, 64, 0))


@pytest.fixture
def broken(monkeypatch):
    """Return a function that makes loading fail so many times, and a list with an entry a try."""
    real, tries = load.PhasedPipeline, []

    def break_it(error, times):
        def pipeline(model):
            tries.append(model)
            if len(tries) <= times:
                raise error
            return real(model)

        monkeypatch.setattr(load, "PhasedPipeline", pipeline)
        return tries

    return break_it


def test_a_download_that_fails_is_tried_again(broken):
    tries, told = broken(DownloadError("the network is down."), 2), []
    engine = Engine("tiny-random")
    engine.settled = lambda: told.append((engine.status().state, engine.status().why))
    engine.load((0, 0, 0))
    assert len(tries) == 3 and engine.status().state == "ready"
    assert told == [("retrying", "the network is down.")] * 2 + [("ready", "")]


def test_between_two_tries_nobody_waits_for_the_model(broken, moral_run):
    broken(DownloadError("the network is down."), 1)
    engine, said = Engine("tiny-random"), []

    def ask():
        if engine.status().state == "retrying":
            said.append(engine.status().text)
            with pytest.raises(EngineError, match="It is tried again in 0 s"):
                engine.probe_pair(moral_run, "a", "b")

    engine.settled = ask
    engine.load((0,))
    assert said == [
        "The model could not be loaded: the network is down. It is tried again in 0 s. The saved results are here."
    ]
    assert engine.status().state == "ready"


@pytest.mark.parametrize(
    ("error", "tries"), [(DownloadError("the network is down."), 3), (ModelError("no such folder"), 1)]
)
def test_a_model_that_does_not_come_needs_a_restart(broken, error, tries):
    made = broken(error, 9)
    engine = Engine("tiny-random")
    engine.load((0, 0))
    status = engine.status()
    assert len(made) == tries and status.state == "failed" and not status.unsettled
    assert status.text.startswith(f"No model is loaded: {str(error).rstrip('.')}. Restart needed: a model is only ")


def test_whose_runs_a_model_makes_is_known_before_it_is_there(engine):
    assert Engine(load.KLEIN).is_kleins and not Engine("tiny-random").is_kleins and not Engine().is_kleins
    assert not engine.is_kleins


def test_a_run_is_told_from_one_of_other_settings(engine, moral_set, small_set, moral_run):
    assert engine.would_make(moral_run, moral_set, 64, 0)
    assert not engine.would_make(moral_run, moral_set, 80, 0) and not engine.would_make(moral_run, moral_set, 64, 1)
    assert not engine.would_make(moral_run, small_set, 64, 0)
    for other in ({"fingerprint": "0" * 64}, {"dtype": "bfloat16"}, {"seeds": (0, 1)}, {"mask_padding": True}):
        changed = SimpleNamespace(info=replace(moral_run.info, **other))
        assert not engine.would_make(changed, moral_set, 64, 0)
    assert not Engine("tiny-random").would_make(moral_run, moral_set, 64, 0)  # the model is not there


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
