"""What the page computes before anyone asks, and the switch that leaves it out."""

import pytest

from plantain.runs.io import save_run
from plantain.runs.scopes import UNITS
from plantain.ui import RunStore


class Told:
    """Stands for a store, and is told to warm up."""

    def __init__(self):
        self.times = 0

    def warm(self):
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
