"""Runs that arrive while the page is up, and the thread that looks for them."""

import json
import threading
import time
from types import SimpleNamespace

import pytest
from offers import with_weights

from plantain import PlantainError
from plantain.findings.held_out import held_out
from plantain.findings.published import load_published
from plantain.models.load import KLEIN
from plantain.runs.arrivals import Arrivals
from plantain.runs.io import save_run
from plantain.ui import RunStore, build_demo, state, watch
from plantain.ui.engine import Engine
from plantain.ui.log import PACKAGE_LOG
from plantain.ui.server import first_screen_html
from plantain.ui.state import Page
from plantain.ui.watch import Watch


class Source:
    """Somebody else's runs, as a test puts them there."""

    def __init__(self, folder):
        self.folder, self.error, self.looks = folder, None, 0

    def look(self, tell):
        self.looks += 1
        if self.error:
            raise self.error
        tell(Arrivals(self.folder, 0, {}))


@pytest.fixture
def source(tmp_path):
    return Source(tmp_path / "theirs")


@pytest.fixture
def store(tmp_path, made_run):
    save_run(made_run(), tmp_path / "own" / "first")
    store = RunStore(tmp_path / "own")
    yield store
    store.close()


def test_a_run_that_arrives_is_there_after_a_refresh_and_nothing_is_read_twice(store, source, made_run):
    store.watch("them", source.look)
    store.refresh()
    assert list(store.saved) == ["first"] and store.arriving == 0
    save_run(made_run(1), source.folder / "one")
    store.refresh()
    before, generation = store.saved, store.generation
    assert list(before) == ["first", "one (them)"]
    save_run(made_run(2), source.folder / "two")
    store.refresh()
    assert list(store.saved) == ["first", "one (them)", "two (them)"] and store.generation > generation
    assert store.saved["one (them)"] is before["one (them)"] and list(before) == ["first", "one (them)"]
    save_run(made_run(3), source.folder / "one", overwrite=True)
    store.refresh()
    assert store.saved["one (them)"].info.seed == 3


@pytest.mark.robust
def test_readers_never_see_a_half_made_store(store, source, made_run):
    """They go through the runs while others arrive."""
    store.watch("them", source.look)
    stop, broken = threading.Event(), []

    def read():
        while not stop.is_set():
            try:
                assert [run.info.model for run in store.saved.values()] and sorted(store.problems) == []
            except RuntimeError as error:
                broken.append(error)
            time.sleep(0.0002)  # the others need the interpreter too

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for seed in range(6):
        save_run(made_run(seed), source.folder / f"run-{seed}")
        store.refresh()
    stop.set()
    for reader in readers:
        reader.join()
    assert broken == [] and len(store.saved) == 7


class Asleep(PlantainError):
    exit_code = 1  # waiting may help


def test_trouble_is_said_until_it_is_over_and_a_fault_does_not_end_the_thread(store, source):
    source.error = Asleep("The Hub is asleep.")
    store.watch("them", source.look)
    store.refresh()
    assert store.notices == (
        "Published runs were not brought. The Hub is asleep. Shown are those that are here; it is tried again.",
    )
    source.error = ZeroDivisionError("secret")
    store.refresh()
    assert "(ZeroDivisionError)" in store.notices[0] and "secret" not in store.notices[0]
    source.error = None
    store.refresh()
    assert store.notices == () and source.looks >= 3


def test_what_only_the_owner_can_mend_is_logged_and_no_visitors_business(
    store, source, made_run, moral_set, caplog, monkeypatch
):
    monkeypatch.setattr(PACKAGE_LOG, "propagate", True)
    demo = build_demo(store, Engine(KLEIN), load_published(), moral_set)
    source.error = PlantainError("bob/results: there is no such repository.")
    with caplog.at_level("INFO", PACKAGE_LOG.name):
        store.watch("them", source.look)
        store.refresh()
        store.refresh()
    lines = [json.loads(record.message) for record in caplog.records if "published runs" in record.message]
    assert [line["why"] for line in lines] == ["bob/results: there is no such repository."]  # once, not every minute
    assert store.notices == () and len(store.faults) == 1 and "no such repository. It is tried" in store.faults[0]
    assert not served(demo)["notices"]["visible"] and "no such repository" not in first_screen_html(demo)
    source.error = None
    save_run(made_run(1), source.folder / "one")
    store.refresh()
    assert store.faults == () and "one (them)" in store.saved


def test_what_is_refused_is_named_among_the_damaged(store, source):
    def look(tell):
        tell(Arrivals(source.folder, 2, {"bad": "The run “bad” is not shown: it is bad."}))

    store.watch("them", look)
    store.refresh()
    assert store.arriving == 2 and store.damaged == ["bad (them)"] and store.notices[0].endswith("it is bad.")


def test_a_refresh_without_a_watch_and_one_that_takes_long_return(store):
    store.refresh()
    release = threading.Event()
    store.watch("them", lambda _tell: release.wait(30))
    begun = time.monotonic()
    store.refresh(patience=0.1)
    assert time.monotonic() - begun < 20
    release.set()


def test_runs_of_pretrained_weights_come_first_and_of_these_the_cards_own_size(tmp_path, made_run):
    sides = {"positive": "helping", "negative": "ignoring", "revision": "a" * 40}
    runs = {
        "a-stand-in": made_run(),
        "b-other": with_weights(made_run(1), revision="a" * 40),
        "c-small": with_weights(made_run(2), **sides),
        "d-card": with_weights(made_run(3), size=1024, **sides),
    }
    for name, run in runs.items():
        save_run(run, tmp_path / name)
    assert list(RunStore(tmp_path).saved) == ["d-card", "c-small", "b-other", "a-stand-in"]


def test_the_practice_models_run_comes_after_kleins_and_before_random_ones(made_run, tmp_path):
    def save(name, weights, **facts):
        save_run(with_weights(made_run(), weights=weights, **facts), tmp_path / name)

    def page(model):
        return Page(RunStore(tmp_path), Engine(model), None, None)

    moral = {"positive": "helping", "negative": "ignoring"}
    save("a-stand-in", "stand-in", **moral)
    save("b-control", "untrained", **moral)
    save("c-paraphrase", "practice", role="control")
    save("d-replication", "practice", role="replication", negative="not helping")
    save("e-moral", "practice", role="axis", negative="not helping")
    practice = ["e-moral", "c-paraphrase", "d-replication"]
    assert list(page("picture-book").store.saved) == [*practice, "a-stand-in", "b-control"]
    labels = [label for label, _ in page("picture-book").saved_choices()]
    assert labels[:3] == [f"{name} (practice model)" for name in practice]
    assert (page("picture-book").first, page(KLEIN).first) == ("e-moral", None)
    save("f-klein", "pretrained")
    assert (page("picture-book").first, page(KLEIN).first) == ("f-klein", "f-klein")


def test_a_saved_run_goes_by_its_folders_name_and_a_visitors_own_by_none(tmp_path, made_run):
    save_run(made_run(), tmp_path / "mine" / "a")
    save_run(made_run(1), tmp_path / "theirs" / "b (c)")
    store = RunStore(tmp_path / "mine", {"them": tmp_path / "theirs"})
    assert [store.folder_of(name) for name in store.saved] == ["a", "b (c)"]
    assert store.folder_of(store.add(made_run(2))) == store.folder_of(None) == ""


def test_a_headline_with_what_stands_beside_it_is_kept_until_the_runs_change(store, source, made_run, monkeypatch):
    asked = []

    def counted(run, **beside):
        asked.append(sorted(beside["controls"]))
        return held_out(run, **beside)

    monkeypatch.setattr(state, "held_out", counted)
    run = store.saved["first"]
    assert store.headline_here(run) is None
    found = store.headline(run)
    assert found == held_out(run) and store.headline_here(run) is found is store.headline(run) and len(asked) == 1
    store.watch("them", source.look)
    save_run(made_run(1), source.folder / "one")
    store.refresh()
    assert store.headline_here(run) is None  # one that came may stand beside it
    assert store.headline(run) == found and len(asked) == 2


# --- the page as it is served ---


def served(demo):
    """Return the properties of what is in the page as it is served, by element."""
    return {c["props"].get("elem_id"): c["props"] for c in demo.config["components"]}


def test_a_kleins_page_begins_without_a_run_until_one_of_kleins_arrives(store, source, made_run, moral_set):
    store = RunStore(store.folder, {"them": source.folder})
    demo = build_demo(store, Engine(KLEIN), load_published(), moral_set)
    first = served(demo)
    assert first["run"].get("value") is None and [name for _, name in first["run"]["choices"]] == ["first"]
    assert "Nobody has run this here yet." in first["hero"]["value"] and "not Klein’s" in first["hero"]["value"]
    assert first["begin"]["visible"] and "3,221 (19.7%)" in first["result-tables"]["value"]
    assert "Nobody has run this" in first_screen_html(demo)
    store.watch("them", source.look)
    save_run(made_run(1), source.folder / "other")
    store.refresh()
    now = served(demo)
    assert now["run"].get("value") is None and [n for _, n in now["run"]["choices"]] == ["first", "other (them)"]
    assert json.loads(now["known"]["value"]) == {
        "generation": store.generation, "runs": ["first", "other (them)"], "first": "",
    }  # fmt: skip
    save_run(with_weights(made_run(2), revision="a" * 40), source.folder / "klein")
    store.refresh()
    now = served(demo)
    assert now["run"]["value"] == "klein (them)" and "owner/model" in now["hero"]["value"]
    assert not now["begin"]["visible"] and "owner/model" in first_screen_html(demo)
    store.close()


def test_what_arrives_and_what_is_damaged_is_said_on_the_page(store, source, moral_set):
    def look(tell):
        tell(Arrivals(source.folder, 2, {"bad": "The run “bad” is not shown: <it> is bad."}))

    demo = build_demo(store, Engine(KLEIN), load_published(), moral_set)
    assert not served(demo)["notices"]["visible"]
    store.watch("them", look)
    store.refresh()
    now = served(demo)
    assert "Published runs are arriving (2)" in now["hero"]["value"]
    assert now["notices"]["visible"] and "&lt;it&gt; is bad" in now["notices"]["value"]


def follows(demo, known, name, asked, **query):
    """Ask as an open page does every few seconds; return which run it is told to show, and what it still waits for."""
    by_id = {block.elem_id: block for block in demo.blocks.values()}
    names = [by_id["known"], by_id["run"]]
    listener = next(d for d in demo.fns.values() if d.fn and d.inputs[:2] == names and len(d.inputs) == 4)
    told = listener.fn(SimpleNamespace(query_params=query), known, name, [], asked)
    run = told.get(by_id["run"])
    given = run.constructor_args.get("value") if run else None
    return given, told.get(listener.inputs[3], asked)


def test_the_run_that_a_link_asks_for_is_shown_once_it_is_here(store, source, made_run, moral_set):
    store = RunStore(store.folder, {"them": source.folder})
    page = Page(store, Engine("tiny-random"), load_published(), moral_set)
    demo = build_demo(store, page.engine, page.published, moral_set)
    before = page.known
    assert follows(demo, before, "first", "one (them)", run="one (them)") == (None, "one (them)")
    save_run(made_run(1), source.folder / "one")
    store.watch("them", source.look)
    store.refresh()
    assert follows(demo, before, "first", "one (them)", run="one (them)") == ("one (them)", "")
    assert follows(demo, page.known, "first", "one (them)") == ("one (them)", "")  # it came while the page was opened
    assert follows(demo, before, "second", "one (them)") == (None, "")  # the visitor has chosen meanwhile
    assert follows(demo, before, "first", "") == (None, "")
    assert follows(demo, before, None, "", run="one (them)") == (None, "")  # as it opens, another view brings it
    assert follows(demo, before, None, "no such (them)") == ("first", "no such (them)")
    store.close()


def test_a_page_of_another_model_begins_with_what_there_is(store, moral_set):
    demo = build_demo(store, Engine("tiny-random"), load_published(), moral_set)
    assert served(demo)["run"]["value"] == "first" and not served(demo)["begin"]["visible"]


def test_a_fault_in_what_is_served_does_not_end_the_watch(store, source, made_run, moral_set, monkeypatch):
    demo = build_demo(store, Engine(KLEIN), load_published(), moral_set)
    monkeypatch.setattr(demo, "get_config_file", lambda: 1 / 0)
    store.watch("them", source.look)
    for name in ("one", "two"):
        save_run(made_run(1), source.folder / name)
        store.refresh()
    assert list(store.saved) == ["first", "one (them)", "two (them)"] and store.notices == ()


# --- the thread ---


def test_pauses_grow_with_failures_and_a_success_resets_them(monkeypatch):
    monkeypatch.setattr(watch, "PAUSE", 0.01)
    monkeypatch.setattr(watch, "LONGEST", 0.04)
    waited, results = [], [False, False, False, False, True, False]
    done = threading.Event()

    def look():
        if not results:
            done.set()
        return results.pop(0) if results else True

    looking = Watch(look, "test")
    real = looking._changed.wait_for
    monkeypatch.setattr(
        looking._changed, "wait_for", lambda holds, pause: (waited.append(pause), real(holds, pause))[1]
    )
    looking.start()
    assert done.wait(20)
    looking.stop()
    assert waited[:6] == [0.02, 0.04, 0.04, 0.04, 0.01, 0.02]


def test_who_asks_gets_a_look_that_began_afterwards():
    begun, go, looks = threading.Event(), threading.Event(), []

    def look():
        looks.append(1)
        begun.set()
        go.wait(20)
        return True

    looking = Watch(look, "test")
    looking.start()
    assert begun.wait(20)
    assert not looking.ask(0.05)  # the look under way began before
    go.set()
    assert looking.ask(20) and len(looks) >= 2
    looking.stop()
    looking._thread.join(20)
    assert not looking._thread.is_alive()
