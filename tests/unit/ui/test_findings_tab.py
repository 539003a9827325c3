"""The first line of the tab Findings: the headline, at once where it is kept, else after the page."""

import json
from dataclasses import replace
from html import escape

import pytest
from made import small_run

from plantain.findings import held_out as findings
from plantain.findings.held_out import Beside, fitting, held_out, is_here
from plantain.findings.published import load_published
from plantain.prompts.sets import shipped_sets
from plantain.report.verdict import headline, verdict_lines
from plantain.runs.io import load_run, save_run
from plantain.ui import RunStore, build_demo
from plantain.ui.engine import Engine
from plantain.ui.server import first_screen_html
from plantain.ui.tabs.findings import COMPUTING, blocks_html, card_html, headline_html


def of_set(role, seed=0, **changes):
    sha256, prompt_set = next((h, s) for h, (_, s) in shipped_sets().items() if s.role == role)
    run = small_run(seed=seed, n_pairs=len(prompt_set.pairs))
    pairs = tuple(replace(record, pair=pair) for record, pair in zip(run.pairs, prompt_set.pairs, strict=True))
    facts = {name: getattr(prompt_set, name) for name in ("title", "positive", "negative")}
    facts |= {"prompt_set": prompt_set.name, "prompts_sha256": sha256, "seed": 0, "seeds": (0,), **changes}
    info = replace(run.info, **facts)
    return replace(run, info=info, pairs=pairs, _analyses={}, inferences={})


def placed(demo, place):
    return next(block for block in demo.blocks.values() if block.elem_id == place)


@pytest.fixture
def kept(tmp_path):
    save_run(small_run(), tmp_path / "first")
    return tmp_path


def build(folder, moral_set):
    return build_demo(RunStore(folder), Engine("tiny-random"), load_published(), moral_set)


def test_a_headline_that_is_kept_stands_in_the_page_as_it_is_served(kept, moral_set):
    found = held_out(load_run(kept / "first"))
    demo = build(kept, moral_set)
    served = first_screen_html(demo)
    assert headline(found).split(":")[0] in placed(demo, "headline").value
    assert served.index(headline(found).split(":")[0]) < served.index('class="pl-cards"')


def test_one_that_is_not_there_yet_is_said_to_be_computed_and_holds_up_nothing(kept, moral_set, monkeypatch):
    monkeypatch.setattr(findings, "_alone", lambda _run: pytest.fail("computed before the page is served"))
    demo = build(kept, moral_set)
    assert placed(demo, "headline").value == COMPUTING
    assert 'class="pl-cards"' in placed(demo, "findings").value


def test_it_is_filled_by_the_chain_that_fills_what_to_read_with_care(kept, moral_set):
    demo = build(kept, moral_set)
    place, careful = (placed(demo, name)._id for name in ("headline", "careful"))
    writers = [fn for fn in demo.fns.values() if place in [block._id for block in fn.outputs]]
    (filler,) = [fn for fn in writers if [block._id for block in fn.outputs] == [place]]
    after = [fn for fn in demo.fns.values() if fn.trigger_after == filler._id]
    assert [[block._id for block in fn.outputs] for fn in after] == [[careful]]
    shown = filler.fn("first")
    assert shown == headline_html(RunStore(kept).saved["first"])
    assert filler.fn("gone") == "" and filler.fn(None) == ""


def test_a_warm_store_has_it(kept):
    store = RunStore(kept)
    assert not is_here(store.saved["first"])
    store.warm()
    assert is_here(store.saved["first"]) and is_here(load_run(kept / "first"))


def test_the_shipped_runs_have_it():
    for name in ("tiny-random", "untrained-klein-4b"):
        assert is_here(load_run(f"precomputed/{name}"))


def test_fitting_runs_of_the_store_stand_beside_it():
    moral, again, control = of_set("axis"), of_set("replication", 1), of_set("control", 2)
    others = {
        "other-size": of_set("replication", 3, size=128), "<b>again": again, "later": of_set("replication", 4),
        "control": control, "moral": moral, "noise": of_set("noise floor", 5),
    }  # fmt: skip
    beside = fitting(moral, others)
    assert beside.replication == ("<b>again", again) and beside.controls == {"control": control}
    assert fitting(control, others) == Beside()
    shown = headline_html(moral, beside)
    for line in verdict_lines(moral, held_out(moral, beside.replication, beside.controls))[1:3]:
        assert escape(line) in shown
    assert "on the new pairs of &lt;b&gt;again" in shown and "control " in shown


def test_for_the_card_they_are_found_in_the_folder_beside_the_run(tmp_path):
    moral = of_set("axis")
    for name, run in {"moral": moral, "again": of_set("replication", 1), "contact": of_set("control", 2)}.items():
        save_run(run, tmp_path / name)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text(json.dumps({"info": {}}))
    (tmp_path / "damaged").mkdir()
    damaged = (tmp_path / "again" / "run.json").read_text()
    (tmp_path / "damaged" / "run.json").write_text(damaged)
    beside = findings.find_beside(moral, tmp_path / "moral")
    assert beside.replication[0] == "again" and list(beside.controls) == ["contact"]
    assert findings.find_beside(of_set("control"), tmp_path / "contact") == Beside()


def test_the_published_family_stands_by_the_cards_table():
    published = load_published()
    for shown in (card_html(published), blocks_html(None, published, None)):
        assert "pose 50.6%" in shown and "amodal 39.2%" in shown and "None of them was run by this project" in shown
