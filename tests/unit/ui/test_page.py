"""The page's pure parts: HTML, runs in memory, the figures, the public endpoints."""

import re
from dataclasses import replace

import gradio as gr
import numpy as np
import pytest
from asking import ENDPOINTS
from made import with_directions

from plantain.findings.pairs import by_pair
from plantain.findings.published import load_published
from plantain.findings.unit import profile_unit
from plantain.prompts.sets import first_set
from plantain.report.figures.distributions import null_histogram
from plantain.report.figures.maps import heat_maps
from plantain.report.figures.rows import score_dots
from plantain.runs.analysis import summarize
from plantain.runs.io import save_run
from plantain.runs.units import Selection, SelectionError
from plantain.ui import RunStore, build_demo, errors, html, page
from plantain.ui.engine import Engine, EngineError
from plantain.ui.tabs import evidence, run
from plantain.ui.tabs.result import findings_html
from plantain.ui.tabs.unit import figures_html, words_html
from plantain.ui.texts import EXAMPLES


@pytest.fixture
def store(tmp_path, made_run):
    save_run(made_run(), tmp_path / "first")
    return RunStore(tmp_path)


@pytest.fixture
def whole(monkeypatch):
    """Build at once what a page builds when somebody opens it."""
    for room in (evidence, page, run):
        monkeypatch.setattr(room, "lazily", lambda _asked, build: build())


@pytest.mark.parametrize("at_once", [False, True])
def test_the_page_has_the_seven_endpoints_and_no_other_listener_is_public(store, moral_set, at_once, request):
    if at_once:
        request.getfixturevalue("whole")
    demo = build_demo(store, Engine("tiny-random"), load_published(), moral_set)
    assert {d.api_name for d in demo.fns.values() if d.api_visibility != "private"} == ENDPOINTS
    assert sum(d.renderable is not None for d in demo.fns.values()) == (0 if at_once else 8)
    if not at_once:
        assert set(demo.get_api_info()["named_endpoints"]) == {f"/{name}" for name in ENDPOINTS}
        assert demo.get_api_info()["unnamed_endpoints"] == {}


def test_no_view_of_the_choice_waits_for_another(store, moral_set):
    """The browser calls a component's own listeners for one trigger in a row, each after the last one's answer."""
    demo = build_demo(store, Engine("tiny-random"), load_published(), moral_set)
    row = {block.label: block for block in demo.blocks.values() if getattr(block, "label", None) in ("Run", "Scope")}
    for label, answered in (("Run", ["offered"]), ("Scope", [])):  # the scopes that fit come before all views
        trigger = (row[label]._id, "change")
        own = [fn for fn in demo.fns.values() if trigger in fn.targets]
        assert len(own) > len(answered)
        assert [fn.fn.__name__ for fn in own if fn.fn] == answered


def test_no_listener_of_a_part_that_is_built_lazily_has_a_trigger_outside_of_it(store, moral_set, monkeypatch):
    """Gradio's page would call it instead of the page's own listeners for the same trigger."""
    parts = []

    def build_now(_asked, build):
        context = gr.context.Context.root_block
        blocks, listeners = set(context.blocks), set(context.fns)
        build()
        parts.append((set(context.blocks) - blocks, [context.fns[i] for i in set(context.fns) - listeners]))

    for room in (evidence, page, run):
        monkeypatch.setattr(room, "lazily", build_now)
    build_demo(store, Engine("tiny-random"), load_published(), moral_set)
    assert len(parts) == 8 and all(len(listeners) > 1 for _, listeners in parts)
    for own, listeners in parts:
        triggers = {target for made in listeners for target, _ in made.targets if target is not None}
        assert triggers and triggers <= own


def test_every_listener_is_guarded(store, moral_set, whole):
    """So that a fault in one prints no words of a visitor's (tests/test_served.py)."""
    demo = build_demo(store, Engine("tiny-random"), load_published(), moral_set)
    bare = [d.fn for d in demo.fns.values() if d.fn and d.api_visibility == "private"]
    assert len(bare) > 80
    assert {fn.__code__.co_filename for fn in bare} == {errors.__file__}


def test_the_code_is_linked_where_it_has_an_address(store, moral_set, monkeypatch):
    def shown():
        demo = build_demo(store, Engine("tiny-random"), load_published(), moral_set)
        texts = (str(b.value) for b in demo.blocks.values() if isinstance(b, gr.HTML))
        return next(text for text in texts if "The published card</a>" in text)

    monkeypatch.delenv("SPACE_ID", raising=False)
    assert "the base model</a></p>" in shown()
    monkeypatch.setenv("SPACE_ID", "somebody/a-space")
    assert '<a href="https://huggingface.co/spaces/somebody/a-space/tree/main">the code</a>' in shown()


def test_nothing_but_tabs_stands_among_the_tabs(store, moral_set):
    """Gradio counts any child of Tabs as a tab and then shows one name twice."""
    import gradio as gr

    demo = build_demo(store, Engine("tiny-random"), load_published(), moral_set)
    (tabs,) = [b for b in demo.blocks.values() if isinstance(b, gr.Tabs)]
    assert [type(child) for child in tabs.children] == [gr.Tab] * 5


def test_the_page_is_built_without_any_run_and_names_a_damaged_one(tmp_path, moral_set, made_run):
    save_run(made_run(), tmp_path / "broken")
    (tmp_path / "broken" / "capture.safetensors").write_bytes(b"no")
    store = RunStore(tmp_path)
    demo = build_demo(store, Engine("tiny-random"), load_published(), moral_set)
    shown = " ".join(str(b.value) for b in demo.blocks.values() if type(b).__name__ == "HTML")
    assert "The saved run “broken” is not shown." in shown
    assert "3,221 (19.7%)" in shown  # the published figures stand alone


def test_findings_show_the_runs_figures_beside_the_published_ones(moral_run):
    page = findings_html(moral_run, load_published(), Selection("card", "all"))
    summary = summarize(moral_run.analysis())
    assert f"{summary.thresholds[3].count:,} ({summary.thresholds[3].percent:.1f}%)" in page
    assert f"{summary.max_abs_t:.2f}" in page
    for published in ("3,221 (19.7%)", "509 (3.1%)", "1,386 (8.5%)", "0.573", "10.05", "6.4×", "102×"):
        assert published in page
    assert "STAND-IN" in page and "say nothing about FLUX.2 Klein" in page


def test_text_from_a_run_is_escaped(made_run, monkeypatch):
    run = made_run()
    run = replace(run, info=replace(run.info, model="<script>alert(1)</script>", title="<b>x</b>"))
    page = findings_html(run, load_published(), Selection("card", "all")) + html.error_html("<img src=x>")
    assert "<script" not in page and "<b>x" not in page and "<img" not in page
    assert "&lt;script&gt;" in page


def test_a_units_page_escapes_what_the_sides_stand_for(made_run):
    run = made_run()
    run = replace(run, info=replace(run.info, positive="<b>x", negative="<script>alert(1)</script>"))
    seen = profile_unit(run, "single[1] head 1")
    page = words_html(run, seen) + figures_html(run, seen)
    assert "<b>x" not in page and "<script" not in page and "&lt;b&gt;x" in page


def test_a_store_keeps_a_visitors_run_and_forgets_the_oldest(store, made_run):
    names = [store.add(made_run(seed)) for seed in range(9)]
    assert len(set(names)) == 9 and list(store.saved) == ["first"]
    assert store.get(names[8]).info.seed == 8
    assert store.get("first").info.model == "made-up"
    with pytest.raises(SelectionError, match="^There is no run of that name"):
        store.get(names[0])


def test_the_heat_map_has_a_cell_with_its_number_for_every_head(moral_run):
    analysis = moral_run.analysis(Selection("heads"))
    svg = drawn(heat_maps([(analysis, "")], 480))
    cells = dict(re.findall(r"<title>([^<]+): t = ([+-][\d.]+)</title>", svg))
    assert len(cells) == analysis.table.n_units == 100
    for name, t in zip(analysis.table.names, analysis.t, strict=True):
        assert float(cells[name]) == pytest.approx(t, abs=0.005)


def test_the_heat_map_leaves_degenerate_heads_uncoloured_and_signs_by_colour(made_run):
    analysis = made_run().analysis(Selection("heads"))
    t = analysis.t.copy()
    t[0], t[1], t[2] = np.nan, 4.0, -4.0
    svg = drawn(heat_maps([(replace(analysis, t=t), "")], 480))
    first, second, third = re.findall(r"<g><title>.*?</g>", svg)[:3]
    assert "degenerate" in first and "pl-none" in first
    assert "pl-plus" in second and "pl-minus" in third


def drawn(drawing):
    return "".join(drawing.marks)


def bars(svg):
    """Return each bar's number of flips, in the order of the axis."""
    return [int(n) for n in re.findall(r"<title>(\d+) of \d+ flips: ", svg)]


def test_the_null_histogram_holds_every_flip_the_limit_and_the_run(moral_run):
    a = moral_run.analysis(Selection("heads"))
    counts = a.null.counts[0]
    svg = drawn(null_histogram(a, 0, 330))
    assert sum(bars(svg)) == 1000
    observed = int((np.abs(a.t) > 3).sum())
    assert (
        f"this run: {observed}<" in svg and f"99% of flips: {int(np.quantile(counts, 0.99, method='higher'))}<" in svg
    )
    assert bars(svg)[0] == int((counts == 0).sum())  # few units: a bar is one number


def test_a_histogram_of_many_units_joins_them_in_bars(moral_run):
    a = moral_run.analysis()
    counts = np.arange(1000)[None].repeat(2, axis=0)
    a = replace(a, null=replace(a.null, counts=counts))
    svg = drawn(null_histogram(a, 0, 330))
    assert bars(svg) == [25] * 40 and "0 to 24 units" in svg and "975 to 999 units" in svg


def test_every_pair_is_a_dot_in_its_categorys_row(moral_run):
    parts = by_pair(moral_run)
    svg = drawn(score_dots(parts, 330))
    dot = r'<title>([\w-]+): score ([+-][\d.]+), size [\d.]+</title><circle class="pl-dot" cx="([\d.]+)" cy="(\d+)"'
    dots = re.findall(dot, svg)
    assert [name for name, *_ in dots] == [record.pair.id for record in moral_run.pairs]
    assert len({y for *_, y in dots}) == 5
    places = [float(dots[i][2]) for i in np.argsort([part.score for part in parts])]
    assert places == sorted(places) and len(set(places)) > 20


def test_examples_are_pairs_of_equal_length():
    for positive, negative in EXAMPLES.values():
        assert positive != negative and len(positive) == len(negative)


def test_the_endpoints_give_directions_where_a_run_keeps_them(store, moral_set):
    run = with_directions(store.get("first"), change={"joint_image": 1.0, "single": 1.0})
    name = store.add(run)
    demo = build_demo(store, Engine("tiny-random"), load_published(), moral_set)
    summary, top = ({d.api_name: d.fn for d in demo.fns.values()}[name] for name in ("summary", "top_units"))
    found, plain = summary(name, "heads", "image"), summary("first", "heads", "image")
    assert (found["held_out"]["measure"], plain["held_out"]["measure"]) == ("direction", "magnitude")
    assert found["directions"]["rule"]["k"] == found["held_out"]["k"] and plain["directions"] is None
    a, names = run.direction_analysis(Selection("heads")).agreement, run.analysis(Selection("heads")).table.names
    rows = top(name, "heads", "all", 3)
    for row in rows:
        at = names.index(row["unit"])
        assert (row["k_direction"], row["p_direction_fwer"]) == (a.told[at], pytest.approx(a.p_fwer[at]))
        assert row["agreement"] == pytest.approx(a.mean[at])
    assert "agreement" not in top("first", "heads", "all", 3)[0] and "agreement" not in top(name, "card", "all", 3)[0]


def test_a_probe_by_endpoint_is_of_the_pairs_in_the_loaded_models_words(store, moral_set, monkeypatch):
    asked = []

    def probed(_engine, prompt_set, *_):
        asked.append(prompt_set)
        raise EngineError("enough")
        yield

    monkeypatch.setattr(Engine, "iter_probe", probed)
    monkeypatch.setattr(Engine, "wait", lambda _engine: None)
    for model in ("tiny-random", "picture-book"):
        demo = build_demo(store, Engine(model), load_published(), moral_set)
        run_probe = next(d.fn for d in demo.fns.values() if d.api_name == "run_probe")
        with pytest.raises(gr.Error, match="enough"):
            run_probe(64, 0)
    assert asked == [moral_set, first_set("picture-book")]
