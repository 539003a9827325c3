"""Addresses, names of files, what programs are told: the parts of the page that need no browser."""

import json
from dataclasses import replace

import pytest
from made import with_directions

from plantain.findings.published import load_published
from plantain.prompts.sets import load_prompt_set
from plantain.report.figures.catalogue import FIGURES, OneRun, figure
from plantain.runs.io import save_run
from plantain.runs.scopes import UNITS
from plantain.runs.units import Selection
from plantain.ui import RunStore, build_demo, html
from plantain.ui.address import OLD_TABS, has_unit, notice_html, read_address, share_base
from plantain.ui.engine import Engine
from plantain.ui.state import Page
from plantain.ui.tabs.export import cite_html, public_name, size_words

PLACES = ["result", "evidence", "run"], ["head", "take"]


@pytest.fixture
def store(tmp_path, made_run):
    save_run(made_run(), tmp_path / "a run")
    save_run(made_run(1), tmp_path / "b")
    return RunStore(tmp_path)


def asked(store, **parameters):
    return read_address(store.saved, PLACES, parameters, next(iter(store.saved)))


def test_a_good_address_is_followed(store):
    seen = {"run": "b", "units": "heads", "scope": "image", "unit": "single[1] head 0"}
    got = asked(store, **seen, tab="evidence", section="head", positive="x")
    assert (got.run, got.units, got.scope, got.unit) == tuple(seen.values())
    assert (got.tab, got.section, got.problems) == ("evidence", "head", [])


def test_tabs_of_earlier_versions_lead_to_where_each_is_now(store):
    assert set(OLD_TABS) == {
        "findings", "head", "chance", "pairs", "compare", "atlas", "probe", "publish", "take", "method"
    }  # fmt: skip
    for tab, (now, section) in OLD_TABS.items():
        got = asked(store, tab=tab)
        assert (got.tab, got.section or "", got.problems) == (now, section, [])


def test_an_address_without_parameters_asks_for_nothing(store):
    got = asked(store, __theme="dark", run="", units="")
    assert {got.run, got.units, got.scope, got.unit, got.tab, got.section} == {None} and got.problems == []


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"run": "nope"}, "run “nope”: no saved run has this name"),
        ({"units": "Heads"}, "units “Heads”: choose one of card, heads"),
        ({"units": "text-heads", "scope": "image"}, "scope “image”: choose one of all, prompt, words"),
        ({"scope": "everything"}, "scope “everything”: choose one of all, image"),
        ({"unit": "single[99] head 0"}, "unit “single[99] head 0”: the run has no unit of this name"),
        ({"tab": "take/../x"}, "tab “take/../x”: choose one of result, evidence, run"),
        ({"section": "x"}, "section “x”: choose one of head, take"),
    ],
)
def test_what_is_not_known_is_named_and_the_rest_followed(store, parameters, said):
    got = asked(store, **{"run": "b", "tab": "run", **parameters})
    assert len(got.problems) == 1 and got.problems[0].startswith(said)
    assert (got.run == "b") == ("run" not in parameters) and (got.tab == "run") == ("tab" not in parameters)
    assert got.unit is None and got.scope in (None, "all")


def test_units_without_a_scope_bring_one_that_they_have(store):
    assert asked(store, units="text-heads").scope == "all"  # the page may have stood at the image's tokens
    assert asked(store, scope="words").units is None


def test_a_visitors_run_cannot_be_asked_for(store, made_run):
    name = store.add(made_run(2))
    assert store.find(name) is not None
    assert asked(store, run=name).run is None and len(asked(store, run=name).problems) == 1


def test_a_page_without_runs_takes_any_address(tmp_path):
    got = read_address({}, PLACES, {"run": "x", "unit": "joint[0] head 0", "units": "mlp"}, None)
    assert (got.run, got.unit, got.units) == (None, None, "mlp") and len(got.problems) == 2


def test_a_notice_never_becomes_markup_or_endless(store):
    got = asked(store, run="<img src=x onerror=alert(1)>" + "x" * 5000)
    said = notice_html(got.problems)
    assert "<img" not in said and "&lt;img" in said and len(said) < 500 and 'role="status"' in said
    assert notice_html([]) == ""


def test_every_unit_of_a_run_is_known_by_name(made_run):
    run = made_run()
    for units in UNITS:
        assert all(has_unit(run, name) for name in run.analysis(Selection(units)).table.names)
    assert not has_unit(run, "") and not has_unit(run, "single[1] head 2")


def test_links_of_others_are_on_the_space_or_nowhere(monkeypatch):
    monkeypatch.delenv("SPACE_ID", raising=False)
    assert share_base() is None
    monkeypatch.setenv("SPACE_ID", "owner/name")
    assert share_base() == "https://huggingface.co/spaces/owner/name"


def test_a_visitors_secret_name_is_in_no_file(store, moral_file, made_run):
    page = Page(store, Engine("tiny-random"), load_published(), load_prompt_set(moral_file))
    run = made_run(2)
    name = store.add(run)
    assert public_name(page, name, run) == "own-2026-01-01T0000-seed-2"
    assert public_name(page, "a run", store.get("a run")) == "a run"


def test_figures_and_references_are_shown_with_their_weights_and_escaped(made_run):
    run = with_directions(made_run())
    run = replace(run, info=replace(run.info, model="<b>&"))
    for name in FIGURES[OneRun]:
        shown = html.figure_html(figure(name, OneRun(run, Selection("heads", "all"))))
        assert "&lt;b&gt;&amp; (weights from a local folder" in shown
    assert cite_html("a <b> & c", "BibTeX") == (
        '<pre class="pl-cite" tabindex="0" role="group" aria-label="BibTeX">a &lt;b&gt; &amp; c</pre>'
    )


def test_sizes_in_words():
    assert [size_words(n) for n in (3, 29_023, 999_000, 13_400_000)] == ["1 kB", "29 kB", "999 kB", "13.4 MB"]


def test_every_parameter_of_every_endpoint_is_described_to_programs_and_agents(store, moral_file):
    demo = build_demo(store, Engine("tiny-random"), load_published(), load_prompt_set(moral_file))
    for name, endpoint in demo.get_api_info()["named_endpoints"].items():
        words = endpoint["description"]
        assert words.count("Returns: ") == 1 and "\n" not in words, name
        for parameter in endpoint["parameters"]:
            assert f" {parameter['parameter_name']}: " in words, (name, parameter["parameter_name"])
    json.dumps(demo.get_api_info())
