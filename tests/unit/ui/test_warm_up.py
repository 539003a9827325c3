"""What the page computes before anyone asks, and the switch that leaves it out."""

import threading

import pytest

from plantain.runs.arrivals import Arrivals
from plantain.runs.io import save_run
from plantain.runs.scopes import UNITS
from plantain.ui import RunStore, state


class Told:
    """Stands for a store, and is told to warm up."""

    def __init__(self):
        self.times = 0

    def keep_warm(self):
        self.times += 1


@pytest.mark.parametrize(("value", "times"), [(None, 1), ("", 1), ("on", 1), ("off", 0), ("OFF", 0)])
def test_the_page_warms_up_unless_it_is_switched_off(monkeypatch, value, times):
    import app

    monkeypatch.delenv("PLANTAIN_WARM")
    if value is not None:
        monkeypatch.setenv("PLANTAIN_WARM", value)
    store = Told()
    thread = app.warm_up(store)
    assert (thread is None) == (times == 0)
    if thread is not None:
        thread.join(10)
    assert store.times == times


def test_a_warm_store_has_the_figures_of_all_units(made_run, tmp_path):
    save_run(made_run(), tmp_path / "one")
    RunStore(tmp_path).warm()
    kept = {path.name for path in (tmp_path / "one" / "statistics").iterdir()}
    assert {f"{units}-all.safetensors" for units in UNITS} <= kept


def test_a_run_that_arrives_is_warmed_up_too_and_none_twice(made_run, tmp_path, monkeypatch):
    save_run(made_run(), tmp_path / "own" / "one")
    warmed, enough = [], threading.Event()

    def note(run):
        warmed.append(run.info.seed)
        enough.set()
        if len(warmed) == 1:
            raise ZeroDivisionError  # of a run that nobody foresaw: the others follow

    monkeypatch.setattr(state, "_WARMERS", (note,))
    store = RunStore(tmp_path / "own")
    thread = threading.Thread(target=store.keep_warm, daemon=True)
    thread.start()
    assert enough.wait(10)
    enough.clear()
    save_run(made_run(7), tmp_path / "theirs" / "two")
    store.watch("them", lambda tell: tell(Arrivals(tmp_path / "theirs", 0, {})))
    assert enough.wait(10)
    store.close()
    thread.join(10)
    assert warmed == [0, 7] and not thread.is_alive()
