"""An atlas as figures and as HTML: what is drawn is what was measured, and a stranger's words stay words."""

import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from browser import ROOT
from layouts import on_phone, prose, unopened
from made import SETS, made, made_runs
from scipy.stats import ttest_1samp

from plantain.findings.across_runs.atlas import atlas_seconds, make_atlas, read_axes
from plantain.findings.published import load_published
from plantain.prompts.sets import first_set
from plantain.report.figures.catalogue import FigureError, ManyAxes, figure
from plantain.report.figures.maps import axis_triangle
from plantain.runs.units import Selection
from plantain.ui import RunStore
from plantain.ui.engine import Engine
from plantain.ui.state import Page
from plantain.ui.tabs import atlas as atlas_tab
from plantain.ui.tabs.atlas import Atlases, atlas_html, runs_html, too_few_html

STAND_IN = {"weights": "stand-in", "model": "tiny-random"}


@pytest.fixture(scope="module")
def shown():
    """All sets on the stand-in, an effect on the two moral sets."""
    effects = {"moral_valence": 1.5, "moral_valence_replication": 1.5}
    axes = read_axes({name: made(name, effects.get(name, 0.0), **STAND_IN) for name in SETS})
    return ManyAxes(make_atlas(axes), axes)


def drawn(name, shown):
    return "".join(figure(name, shown).draw(330).marks)


def circles(svg, look):
    found = re.findall(rf'<circle class="{look}" cx="([\d.]+)" cy="([\d.]+)" r="4.5"/></g>', svg)
    return [tuple(map(float, xy)) for xy in found]


def test_a_unit_is_drawn_where_both_sets_have_it_and_apart_where_its_sign_turned(shown):
    svg, found = drawn("replication", shown), shown.atlas.replication
    kept, turned = circles(svg, "pl-kept"), circles(svg, "pl-turned")
    assert len(kept) == found.n_same_sign > 0 and len(turned) == 20 - found.n_same_sign > 0
    middle_x, middle_y, half = 44 + 136, 22 + 136, 136
    signs = [np.sign((x - middle_x) * (middle_y - y)) for x, y in kept]
    assert set(signs) == {1.0} and {np.sign((x - middle_x) * (middle_y - y)) for x, y in turned} == {-1.0}
    known = [axis.run.analysis(Selection("card")).t for axis in shown.axes if axis.role in ("axis", "replication")]
    reach = 1.05 * np.nanmax(np.abs(known))
    places = sorted((x - middle_x) * reach / half for x, _ in kept + turned)
    assert places == pytest.approx(sorted(unit.t for unit in found.units), abs=0.1)
    assert f"mean score: {found.score:+.2f} SD" in svg and "95% interval" in svg
    assert "on the first set, which" in figure("replication", shown).caption


def test_bars_are_the_shares_the_largest_first_and_the_noise_floor_last(shown):
    svg = drawn("counts", shown)
    rows = re.findall(r"<title>([a-z_]+) \(([a-z ]+)\): ([\d.]+)% of units", svg)
    shares = {a.name: f"{a.thresholds[3].percent:.1f}" for a in shown.atlas.axes}
    assert {name: share for name, _, share in rows} == shares
    values = [float(share) for _, _, share in rows[:-1]]
    assert rows[-1][:2] == ("paraphrase", "noise floor") and values == sorted(values, reverse=True)
    assert re.findall(r">([\d.]+)%<", svg) == [share for _, _, share in rows]  # in the column of numbers
    assert svg.count('class="pl-axis-own"') == 1 + 1 and svg.count('class="pl-axis-sibling"') == 4 + 1  # the legend's


def test_every_two_axes_have_a_cell_and_one_without_a_value_has_no_colour():
    names = ["a", "b", "<b>c"]
    svg = "".join(axis_triangle(names, {("a", "b"): 0.5, ("a", "<b>c"): None, ("b", "<b>c"): -1.3}, 330).marks)
    assert "<title>a and b: +0.50</title>" in svg and ">.50<" in svg and ">−1.3<" in svg
    assert "<title>a and &lt;b&gt;c: does not exist</title>" in svg and svg.count('class="pl-none"') == 1
    assert "<b>" not in svg


def test_every_rival_is_drawn_with_its_correlation(shown):
    svg, found = drawn("rivals", shown), shown.atlas.unique
    known = [rival for rival in found.rivals if rival.true_r is not None]
    tips = re.findall(r"<title>(\w+) \(\w+\): true r ([+-][\d.]+) ", svg)
    assert tips == [(rival.name, f"{rival.true_r:+.2f}") for rival in known] and known
    assert svg.count(">not estimable<") == len(found.rivals) - len(known)
    assert svg.count('class="pl-kept"') == 1 + sum(rival.has_map for rival in known)  # the legend's


def test_without_the_replication_there_is_no_figure_of_it_and_the_rest_is_there():
    axes = read_axes(made_runs({}, ("moral_valence", "tempo")))
    found = ManyAxes(make_atlas(axes), axes)
    with pytest.raises(FigureError, match="moral_valence_replication.toml"):
        figure("replication", found)
    page = atlas_html(found, 19.7)
    assert on_phone(page).count("<svg") == 2 and page.count("There is no run of the replication") == 2


def test_the_page_says_first_what_it_comes_to_and_that_weights_are_random(shown):
    page = atlas_html(shown, 19.7)
    first = page.index("The weights are random: the numbers say nothing")
    assert (
        page.index("STAND-IN") < first < page.index("<svg") < page.index("<details")
        and on_phone(page).count("<svg") == 4
    )
    assert "membership test" in page and "two distributions are equal" in page and "size: RMS" in page
    cards = page[page.index("Beside the published cards") : page.index("They were not run here")]
    assert "19.7%" in cards and "about 43%" in cards and "about 1%" in cards
    assert page.count("<details") == 4 + 5 + 6  # of figures and of what is said; the tables' own
    assert unopened(on_phone(page)).count("<svg") == 1 and len(prose(page)) < 80
    heads = ManyAxes(replace(shown.atlas, units="heads"), shown.axes)
    assert "19.7%" not in atlas_html(heads, 19.7)


def test_names_and_words_of_runs_are_text(shown):
    def strange(axis):
        info = replace(axis.run.info, model="<img src=x>", positive="<b>", title="<u>")
        return replace(axis, name=f"<i>{axis.name}", run=replace(axis.run, info=info))

    axes = [strange(axis) for axis in shown.axes[:3]]
    page = atlas_html(ManyAxes(make_atlas(axes), axes), 19.7) + runs_html(axes, ("<i>x differs.",))
    page += too_few_html(axes[0].run.info, "<i>", ("<i>y",))
    assert not re.search(r"<(i|u|b|img)\b", page)
    assert "&lt;i&gt;moral_valence" in page and "&lt;img src=x&gt;" in page


def test_too_few_runs_are_told_with_the_commands_that_make_them():
    info = made("tempo", model="my models/klein", size=512, seed=4).info
    page = too_few_html(info, "an atlas needs at least two runs.", ())
    assert "an atlas needs at least two runs." in page and "16 sets" in page
    assert (
        "python -m plantain run --model &#x27;my models/klein&#x27; --prompts prompts/*.toml --size 512 --seed 4 "
        "--dtype float32 --out runs/all\nPLANTAIN_RUNS=runs/all python app.py"
    ) in page


def test_for_the_picture_book_its_own_sets_are_named_and_no_published_figure_stands_beside(shown):
    moral = first_set("picture-book")
    book = {"prompts_sha256": moral.sha256, "positive": moral.positive, "negative": moral.negative}
    page = too_few_html(replace(made("moral_valence").info, **book), "too few.", ())
    assert "the project&#x27;s 8 sets" in page and "--prompts prompts/picture-book/*.toml" in page
    first, *others = shown.axes
    axes = [replace(first, run=replace(first.run, info=replace(first.run.info, **book)))]
    assert "No run of attention.toml, moral_crossed.toml" in runs_html(axes, ())
    facts = replace(shown.atlas.axes[0], positive=moral.positive, negative=moral.negative)
    atlas = replace(shown.atlas, axes=(facts, *shown.atlas.axes[1:]), replication=None)
    page = atlas_html(ManyAxes(atlas, [*axes, *others]), 19.7)
    assert "19.7%" not in page and "Beside the published cards" not in page and "The cards' percentages" not in page
    assert "There is no run of the replication, prompts/picture-book/replication.toml." in page


# --- what is compared without a click ------------------------------------------------------------------------


@pytest.fixture
def book(tmp_path):
    """A page on the shipped runs of the practice model."""
    for run in ROOT.glob("precomputed/picture-book-*"):
        less = shutil.ignore_patterns("images", "interventions", "statistics")
        shutil.copytree(run, tmp_path / run.name, ignore=less)
    return Page(RunStore(tmp_path), Engine("picture-book"), load_published(), first_set("picture-book"))


def test_the_practice_models_runs_are_compared_once_for_whichever_is_chosen(book, monkeypatch):
    made, atlases, heads = [], Atlases(book), Selection("heads")
    monkeypatch.setattr(atlas_tab, "make_atlas", lambda *of: made.append(of) or make_atlas(*of))
    axes = {name: read_axes(atlases.together(name, []).runs) for name in book.store.saved}
    assert len(axes) == 8 and {axis.name for axis in axes["picture-book-moral"]} == set(axes)
    found = [atlases.quickly(of, heads) for of in axes.values()]
    assert len(made) == 1 and all(atlas is found[0] for atlas in found)
    t = {name: ttest_1samp(differences(book.store.saved[name]), 0).statistic for name in axes}
    moral, again = t["picture-book-moral"], t["picture-book-replication"]
    top = np.argsort(-abs(moral))[:20]
    assert [unit.t for unit in found[0].replication.units] == pytest.approx(moral[top], rel=1e-6)
    assert found[0].replication.n_same_sign == np.sum(np.sign(moral[top]) == np.sign(again[top])) == 19
    counts = {axis.name: axis.thresholds[3].count for axis in found[0].axes}
    assert counts == {name: int(np.sum(abs(values) > 3)) for name, values in t.items()}
    page = atlas_html(ManyAxes(found[0], axes["picture-book-moral"]), book.published.thresholds[3].percent)
    assert "practice model (drawings" in page[: page.index("<svg")] and "19.7%" not in page
    (kept,) = book.store.folder.glob(".atlas-*.json")
    assert Atlases(book).quickly(axes["picture-book-size"], heads) == found[0] and kept.exists() and len(made) == 1


def differences(run):
    """The sides' magnitudes of every head, over all tokens and from the sums of squares, subtracted."""
    one, other = run.magnitudes("heads", "all")
    return one - other


def test_a_comparison_that_takes_long_waits_for_a_click(book, monkeypatch):
    atlases = Atlases(book)
    axes = read_axes(atlases.together("picture-book-moral", []).runs)
    assert atlas_seconds(axes, 312) < atlas_tab.UNASKED < atlas_seconds(axes, 16_320)
    monkeypatch.setattr(atlas_tab, "UNASKED", 1)
    assert atlases.quickly(axes, Selection("heads")) is None and not list(book.store.folder.glob(".atlas-*"))


def test_sets_without_a_run_are_named():
    axes = read_axes(made_runs({}, ("moral_valence", "tempo")))
    page = runs_html(axes, ())
    assert "moral_valence (axis), tempo (control)" in page and "No run of " in page and "posture.toml" in page
    assert "No run of" not in runs_html(read_axes(made_runs({})), ())
