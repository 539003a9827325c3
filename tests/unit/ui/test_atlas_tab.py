"""An atlas as figures and as HTML: what is drawn is what was measured, and a stranger's words stay words."""

import re
from dataclasses import replace

import numpy as np
import pytest
from made import SETS, made, made_runs

from plantain.findings.atlas import make_atlas, read_axes
from plantain.report.figures.catalogue import FigureError, ManyAxes, figure
from plantain.report.figures.maps import axis_triangle
from plantain.runs.units import Selection
from plantain.ui.tabs.atlas import atlas_html, runs_html, too_few_html

STAND_IN = {"weights": "stand-in", "model": "tiny-random"}


@pytest.fixture(scope="module")
def shown():
    """All sets on the stand-in, an effect on the two moral sets."""
    effects = {"moral_valence": 1.5, "moral_valence_replication": 1.5}
    axes = read_axes({name: made(name, effects.get(name, 0.0), **STAND_IN) for name in SETS})
    return ManyAxes(make_atlas(axes), axes)


def drawn(name, shown):
    return "".join(figure(name, shown).draw().marks)


def circles(svg, look):
    found = re.findall(rf'<circle class="{look}" cx="([\d.]+)" cy="([\d.]+)" r="4.5"/></g>', svg)
    return [tuple(map(float, xy)) for xy in found]


def test_a_unit_is_drawn_where_both_sets_have_it_and_apart_where_its_sign_turned(shown):
    svg, found = drawn("replication", shown), shown.atlas.replication
    kept, turned = circles(svg, "pl-kept"), circles(svg, "pl-turned")
    assert len(kept) == found.n_same_sign > 0 and len(turned) == 20 - found.n_same_sign > 0
    middle_x, middle_y, half = 44 + 131, 22 + 131, 131
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
    svg = "".join(axis_triangle(names, {("a", "b"): 0.5, ("a", "<b>c"): None, ("b", "<b>c"): -1.3}).marks)
    assert "<title>a and b: +0.50</title>" in svg and ">.50<" in svg and ">−1.3<" in svg
    assert "<title>a and &lt;b&gt;c: does not exist</title>" in svg and svg.count('class="pl-none"') == 1
    assert "<b>" not in svg


def test_every_rival_is_drawn_with_its_correlation(shown):
    svg, found = drawn("rivals", shown), shown.atlas.unique
    known = [rival for rival in found.rivals if rival.true_r is not None]
    tips = re.findall(r"<title>(\w+) \(\w+\): true r ([+-][\d.]+) ", svg)
    assert tips == [(rival.name, f"{rival.true_r:+.2f}") for rival in known] and known
    assert svg.count(">no r<") == len(found.rivals) - len(known)
    assert svg.count('class="pl-kept"') == 1 + sum(rival.has_map for rival in known)  # the legend's


def test_without_the_replication_there_is_no_figure_of_it_and_the_rest_is_there():
    axes = read_axes(made_runs({}, ("moral_valence", "tempo")))
    found = ManyAxes(make_atlas(axes), axes)
    with pytest.raises(FigureError, match="moral_valence_replication.toml"):
        figure("replication", found)
    page = atlas_html(found, 19.7)
    assert page.count("<svg") == 2 and page.count("There is no run of the replication") == 2


def test_the_page_says_first_what_it_comes_to_and_that_weights_are_random(shown):
    page = atlas_html(shown, 19.7)
    first = page.index("The weights are random: the numbers say nothing")
    assert page.index("STAND-IN") < first < page.index("<svg") < page.index("<details") and page.count("<svg") == 4
    assert "membership test" in page and "two distributions are equal" in page and "size: RMS" in page
    cards = page[page.index("Beside the published cards") : page.index("They were not run here")]
    assert "19.7%" in cards and "about 43%" in cards and "about 1%" in cards
    assert page.count("<details") == 6
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
    assert "an atlas needs at least two runs." in page and "13 sets" in page
    assert (
        "python -m plantain run --model &#x27;my models/klein&#x27; --prompts prompts/*.toml --size 512 --seed 4 "
        "--dtype float32 --out runs/all\nPLANTAIN_RUNS=runs/all python app.py"
    ) in page


def test_sets_without_a_run_are_named():
    axes = read_axes(made_runs({}, ("moral_valence", "tempo")))
    page = runs_html(axes, ())
    assert "moral_valence (axis), tempo (control)" in page and "No run of " in page and "posture.toml" in page
    assert "No run of" not in runs_html(read_axes(made_runs({})), ())
