"""The tab Result: one pair and one sentence first, tables, map and drawer, the six questions, and all else folded."""

import base64
import json
import re
from dataclasses import replace
from html import escape, unescape

import gradio as gr
import numpy as np
import pytest
from made import small_run, with_directions
from pictured import draw_into, webp

from plantain.findings import held_out as findings
from plantain.findings.example import example
from plantain.findings.held_out import Beside, fitting, held_out, is_here
from plantain.findings.published import load_published
from plantain.findings.told import DIRECTION, Told
from plantain.findings.unit import profile_unit
from plantain.prompts.sets import shipped_sets
from plantain.report.figures.catalogue import OneRun, figure
from plantain.report.questions import PENDING, questions
from plantain.report.statements import unit_statements
from plantain.report.verdict import headline, in_short, verdict_lines
from plantain.runs.io import load_run, save_run
from plantain.runs.units import Selection
from plantain.ui import RunStore, build_demo, html
from plantain.ui.engine import Engine
from plantain.ui.server import first_screen_html
from plantain.ui.tabs.map import grid_html
from plantain.ui.tabs.result import (
    CLOSED,
    COMPUTING,
    COMPUTING_SHORT,
    NOT_MEASURED,
    blocks_html,
    columns_html,
    drawer_html,
    findings_html,
    further_maps,
    has_both,
    headline_html,
    heads_html,
    hero_html,
    main_map,
    questions_html,
)


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


def words(shown):
    """Return the words of HTML, without what is not seen."""
    return " ".join(unescape(re.sub("<[^>]*>", " ", re.sub("<span aria-hidden.*?</span>", "", shown))).split())


def test_a_headline_that_is_kept_stands_in_the_page_as_it_is_served(kept, moral_set):
    found = held_out(load_run(kept / "first"))
    demo = build(kept, moral_set)
    assert in_short(found) in words(placed(demo, "hero").value) and in_short(found) in words(first_screen_html(demo))
    assert headline(found).split(":")[0] in placed(demo, "headline").value
    assert f"{found.k} of {found.n} pairs." in placed(demo, "questions").value


def test_one_that_is_not_there_yet_is_said_to_be_computed_keeps_its_room_and_holds_up_nothing(
    kept, moral_set, monkeypatch
):
    monkeypatch.setattr(findings, "_alone", lambda _run: pytest.fail("computed before the page is served"))
    demo = build(kept, moral_set)
    hero = placed(demo, "hero").value
    assert COMPUTING_SHORT in words(hero) and "told right" not in words(hero)
    room = re.search("<span aria-hidden='true'>([^<]*)</span>", hero)[1]
    alike = f"“yes” against “no”: {in_short(Told(2, 4, 0.5, 0, '', '', ''))}"
    assert len(unescape(room)) == pytest.approx(len(alike), abs=3)
    assert placed(demo, "headline").value == COMPUTING and PENDING in placed(demo, "questions").value
    assert 'class="pl-cards"' in placed(demo, "findings").value


def test_it_is_filled_by_the_chain_that_fills_what_to_read_with_care(kept, moral_set):
    demo = build(kept, moral_set)
    ids = [placed(demo, name)._id for name in ("hero", "questions", "headline")]
    (filler,) = [fn for fn in demo.fns.values() if [block._id for block in fn.outputs] == ids]
    after = [fn for fn in demo.fns.values() if fn.trigger_after == filler._id]
    assert [[block._id for block in fn.outputs] for fn in after] == [[placed(demo, "careful")._id]]
    hero, asked, shown = filler.fn("first", "heads", "all")
    run = RunStore(kept).saved["first"]
    assert shown == headline_html(run) and hero == hero_html(run, load_published(), held_out(run))
    assert PENDING not in asked and asked.count("<li>") == 6
    for gone in ("gone", None):
        assert all("value" not in update for update in filler.fn(gone, "heads", "all"))


# --- the first screen ------------------------------------------------------------------------------------------


def test_the_hero_shows_the_pair_its_words_marked_the_weights_and_the_published_figure():
    run = of_set("axis")
    found = held_out(run)
    shown, pair = hero_html(run, load_published(), found), run.pairs[0].pair
    assert words(shown).startswith(in_short(found))  # its question is the card's: it needs no naming
    assert "19.7% of slices have |t| > 3" in words(shown) and "by the card’s author , another measure" in words(shown)
    assert html.chip_html(run) in shown and "<img" not in shown
    for text in html.marked(pair.positive, pair.negative):
        assert text in shown
    shown = hero_html(asked(run, "pretrained"), load_published(), found, has_klein=False)
    assert "pl-hero-title" not in shown and NOT_MEASURED not in shown


def asked(run, weights, **changes):
    return replace(run, info=replace(run.info, weights=weights, **changes))


def test_the_hero_shows_both_pictures_with_their_prompts_as_their_text(tmp_path):
    folder = save_run(small_run(), tmp_path / "run")
    draw_into(folder)
    run = load_run(folder)
    shown, pair = hero_html(run, load_published(), held_out(run)), run.pairs[0].pair
    found = re.findall(r'<img src="data:image/webp;base64,([^"]+)" alt="([^"]*)">', shown)
    assert [base64.b64decode(packed) for packed, _ in found] == [webp(2), webp(3)]
    assert [alt for _, alt in found] == [f"yes: {pair.positive}", f"no: {pair.negative}"]


def test_a_run_that_says_nothing_of_klein_says_so_first():
    run = load_run("precomputed/picture-book-moral")
    shown = words(hero_html(run, load_published(), held_out(run)))
    title, rest = shown.split(" 25 of 25 pairs that the rule had not seen are told right (p < 0.001; ")
    assert title == "Practice model (drawings): shows what a yes looks like; says nothing about Klein"
    assert rest.startswith("12.5 expected by chance).")
    assert NOT_MEASURED not in shown and NOT_MEASURED in hero_html(run, load_published(), None, has_klein=False)
    for weights in ("untrained", "reservoir", "stand-in"):
        made = of_set("axis", weights=weights)
        assert words(hero_html(made, load_published(), None)).startswith("Random weights: ")


def test_a_run_of_another_contrast_names_its_sides():
    run = of_set("control")
    shown = words(hero_html(run, load_published(), held_out(run)))
    assert shown.startswith(f"“{run.info.positive}” against “{run.info.negative}”: ")


def test_text_of_a_run_is_escaped_in_the_hero_and_the_drawer(made_run):
    run = with_directions(made_run())
    pairs = tuple(replace(r, pair=replace(r.pair, positive="<b>x</b>", negative="<i>y</i>")) for r in run.pairs)
    run = replace(asked(run, "local", positive="<b>p", negative="<b>n"), pairs=pairs)
    shown = hero_html(run, load_published(), held_out(run)) + drawer_html(run, "single[0] head 1", "all")
    assert "<b>x" not in shown and "<i>y" not in shown and "<b>p" not in shown and "&lt;b&gt;p" in shown


def test_few_pairs_are_said_to_be_too_few():
    assert "too few pairs to tell that from chance" in in_short(Told(4, 4, 0.06, 0, "", "", ""))
    assert in_short(Told(24, 25, 0.0004, 0, "", "", "")) == (
        "24 of 25 pairs that the rule had not seen are told right (p < 0.001; 12.5 expected by chance)."
    )


def test_without_a_run_the_question_stands_with_one_pair_and_the_cards_own_figures(tmp_path, moral_set):
    demo = build(tmp_path, moral_set)
    hero = words(placed(demo, "hero").value)
    assert "Nobody has run this here yet" in hero and "19.7%" in hero
    assert all(text in placed(demo, "hero").value for text in html.marked(*texts_of(moral_set)))
    assert placed(demo, "begin").visible and not placed(demo, "result-map").visible
    assert not placed(demo, "all-figures").visible and placed(demo, "questions").value == ""
    tables = placed(demo, "result-tables").value
    assert "3,221 (19.7%)" in tables and "single[19]" in tables and "% of slices over |t| &gt; 3" in tables
    kept = build(save_run(small_run(), tmp_path / "run").parent, moral_set)
    assert not placed(kept, "begin").visible and placed(kept, "result-map").visible


def texts_of(prompt_set):
    return prompt_set.pairs[0].positive, prompt_set.pairs[0].negative


# --- tables, map and drawer ------------------------------------------------------------------------------------


def test_the_top_heads_are_listed_with_the_agreement_of_their_pairs(made_run):
    run, heads = with_directions(made_run()), Selection("heads", "all")
    a, agree = run.analysis(heads), run.direction_analysis(heads).agreement.mean
    for selection in (heads, Selection("card", "all"), Selection("embedding", "all")):
        rows = re.findall(r'<th scope="row">([^<]*)</th><td>([^<]*)</td><td>([^<]*)</td>', heads_html(run, selection))
        signed = [f"{a.t[u]:+.2f}".replace("-", "−") for u in a.ranking[:10]]
        expected = [(a.table.names[u], t, f"{agree[u]:.2f}") for t, u in zip(signed, a.ranking, strict=False)]
        assert rows == expected and len(rows) == len(a.ranking[:10])
    assert "Pairs agree" not in heads_html(made_run(), heads) and "MLP group" in heads_html(run, Selection("mlp"))


def test_the_columns_of_the_tables_are_explained_as_far_as_they_are_there(made_run):
    run = made_run()
    run = replace(run, info=replace(run.info, positive="<up>", negative="down"), _analyses={}, inferences={})
    plain, turned = columns_html(run, Selection("card")), columns_html(with_directions(run), Selection("card"))
    assert "t: the mean difference in magnitude between the two sides of a pair, over its standard error." in plain
    assert "larger for “&lt;up&gt;”; minus: for “down”" in plain and "<up>" not in plain
    assert "Slice: 16 channels of a block" in plain and "Slice" not in columns_html(run, Selection("heads"))
    assert "Pairs agree: the mean cosine" in turned and "Pairs agree" not in plain
    beside_published = of_set("axis", weights="pretrained")
    assert "Slice" in columns_html(beside_published, Selection("heads"))


def test_the_drawer_says_and_draws_one_head_and_leads_to_the_evidence(made_run):
    run = with_directions(made_run())
    shown = drawer_html(run, "single[1] head 0", "image")
    assert ">single[1] head 0</h3>" in shown and shown.count("pl-svg pl-narrow") == 2
    assert 'href="?tab=evidence&amp;section=head"' in shown and "scope image" in shown
    assert drawer_html(made_run(), "single[1] head 0", "image").count("pl-svg pl-narrow") == 1
    for line in unit_statements(run, profile_unit(run, "single[1] head 0", "image")):
        assert escape(line.text) in shown


def test_a_click_in_a_map_fills_the_drawer_and_stays_on_the_tab(kept, moral_set):
    demo = build(kept, moral_set)
    drawer, unit = placed(demo, "drawer"), placed(demo, "unit")
    assert drawer.value == CLOSED
    picked = [fn for fn in demo.fns.values() if [block._id for block in fn.outputs] == [drawer._id, unit._id]]
    assert {demo.blocks[fn.targets[0][0]].elem_id for fn in picked} == {"heat-map", "further-maps"}
    click = gr.EventData(None, {"unit": "single[0] head 1"})
    shown, name = picked[0].fn("first", "card", "all", click)
    assert name == "single[0] head 1" and shown == drawer_html(load_run(kept / "first"), name, "all")
    follows = [fn for fn in demo.fns.values() if [block._id for block in fn.outputs] == [drawer._id]]
    assert [fn.fn("first", "card", "all", "") for fn in follows] == [CLOSED]
    assert "has no unit" in follows[0].fn("first", "card", "all", "single[9] head 99")


def links(shown):
    return [unescape(href) for href in re.findall(r'class="pl-go" href="([^"]*)"', shown)]


def test_every_question_is_a_link_to_where_more_is_said():
    run = small_run()
    shown = questions_html(questions(run, "all", example(run), held_out(run)), True)
    assert links(shown) == [
        "?tab=evidence&section=chance", "?tab=evidence&section=head", "?tab=evidence&section=axis", "?tab=turn",
        "?tab=evidence&section=pairs", "?tab=pair",
    ]  # fmt: skip


def test_no_question_leads_to_the_tab_of_turned_heads_where_that_is_hidden(kept, moral_set):
    demo = build(kept, moral_set)  # the run has no interventions, and another model made it
    (tab,) = [block for block in demo.blocks.values() if isinstance(block, gr.Tab) and block.id == "turn"]
    shown = placed(demo, "questions").value
    assert not tab.visible and len(links(shown)) == 5 and "?tab=turn" not in links(shown)
    assert "<b>Does it matter?</b> Not tried yet: run plantain intervene.</span>" in shown
    (kept / "first" / "interventions").mkdir()
    (kept / "first" / "interventions" / "patch.json").write_text("{")
    demo = build(kept, moral_set)
    (tab,) = [block for block in demo.blocks.values() if isinstance(block, gr.Tab) and block.id == "turn"]
    assert tab.visible and "?tab=turn" in links(placed(demo, "questions").value)


def test_a_warm_page_opens_with_the_answer_about_the_axis_and_its_figure(tmp_path, moral_set):
    axis, again = of_set("axis", seed=1), of_set("replication", seed=2)
    save_run(with_directions(axis, seed=1, change={"single": 1.0}), tmp_path / "a-axis")
    save_run(with_directions(again, seed=2, change={"single": 1.0}), tmp_path / "b-again")
    store = RunStore(tmp_path)
    demo = build_demo(store, Engine("tiny-random"), load_published(), moral_set)
    assert PENDING in placed(demo, "questions").value
    store.warm()
    shown = placed(demo, "questions").value
    found = held_out(store.saved["a-axis"], replication=("b-again", store.saved["b-again"]))
    assert (found.replication.k, found.replication.n) == (25, 25) and found.replication.cosine > 0.5
    (line,) = [line for line in shown.split("<li>") if "an axis of its own?" in line]
    assert "New pairs: 25 of 25, cosine " in line and line.count("<svg") == 1 and PENDING not in shown
    served = {c["props"].get("elem_id"): c["props"] for c in demo.config["components"]}
    assert served["questions"]["value"] == shown  # to the next visitor


def test_the_numbers_of_the_map_are_a_table_and_the_other_maps_stand_below(made_run):
    run = with_directions(made_run())
    shown = further_maps(run, Selection("card", "all"))
    assert shown.count('role="grid"') == 2 and shown.count("<summary>") == 4
    assert "table of t" in shown and "table of z of agreement" in shown
    assert further_maps(made_run(), Selection("card", "all")).count("<summary>") == 3


def test_one_large_number_hides_no_others_in_the_map(made_run):
    run = made_run()
    a = run.analysis(Selection("heads"))
    of = OneRun(run, Selection("heads"))
    t = np.linspace(-30, 3, len(a.t))
    shown = grid_html(replace(a, t=t), figure("map of heads", of), ends=("low", "high"))
    assert "t: low ≤ −10.0" in shown and "≥ +10.0 high" in shown
    assert re.findall(r"--t:(\d+)%", shown) == [f"{100 * min(abs(value) / 10, 1):.0f}" for value in t]
    calm = grid_html(replace(a, t=t / 10), figure("map of heads", of))
    assert "t: −5.0" in calm and "≤" not in calm


def test_the_map_is_switched_to_directions_where_the_run_keeps_them(kept):
    plain = load_run(kept / "first")
    run, heads = with_directions(plain), Selection("heads", "image")
    a = run.direction_analysis(heads).agreement
    shown, loud = main_map(run, heads, DIRECTION), main_map(run, heads)
    for name, z, t in zip(run.analysis(heads).table.names, a.z, run.analysis(heads).t, strict=True):
        assert f"{name}: z of agreement = {z:+.2f}" in shown and f"{name}: t = {t:+.2f}" in loud
    assert main_map(plain, heads, DIRECTION) == main_map(plain, heads) == loud
    assert has_both(run, heads) and has_both(run, Selection("card", "all"))
    assert not has_both(plain, heads)
    assert not any(has_both(run, Selection(units, "all")) for units in ("mlp", "embedding"))


def test_the_switch_stands_only_where_there_is_something_to_switch(kept, moral_set):
    assert placed(build(kept, moral_set), "map-measure").visible is False
    save_run(small_run(1), kept / "second")
    store = RunStore(kept)
    name = store.add(with_directions(small_run(2)))
    demo = build_demo(store, Engine("tiny-random"), load_published(), moral_set)
    place = placed(demo, "map-measure")._id
    fns = [fn for fn in demo.fns.values() if place in [block._id for block in fn.outputs]]
    assert len(fns) == 2
    at = [block._id for block in fns[0].outputs].index(place)
    for chosen, visible in ((name, True), ("first", False)):
        assert fns[0].fn(chosen, "heads", "image", DIRECTION)[at]["visible"] is visible


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
    shown = headline_html(moral, held_out(moral, **vars(beside)))
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


def test_the_published_family_is_told_among_all_figures():
    shown = findings_html(of_set("axis"), load_published(), Selection("card", "all"))
    assert "pose 50.6%" in shown and "amodal 39.2%" in shown and "None of them was run by this project" in shown


def test_the_cards_blocks_stand_beside_those_of_a_run_that_can_be_compared(moral_run):
    published = load_published()
    both = blocks_html(moral_run, published, Selection("card", "all"))
    assert both.count("<table") == 2 and "Top blocks, published" in both
    other = replace(moral_run, info=replace(moral_run.info, positive="warm"))
    assert blocks_html(other, published, Selection("card", "all")).count("<table") == 1
