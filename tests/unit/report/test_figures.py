"""Every figure as a picture by itself: it looks as on the page, and says which weights made it."""

from xml.etree import ElementTree

import pytest
from pictures import SVG, stands_alone

from plantain.findings.comparison import NotComparableError
from plantain.findings.new_pair import score_pair
from plantain.findings.unit import profile_unit
from plantain.prompts.sets import user_pair
from plantain.report.figures.catalogue import ANSWERED, COMPARED, FIGURES, LIGHT, NoFigureError, standalone_svg
from plantain.runs.capture import PairCapture, SumsOfSquares
from plantain.ui import theme

UNIT = "single[7] head 3"


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize(("units", "scope"), [("card", "all"), ("mlp", "words"), ("text-heads", "all")])
def test_a_figure_stands_without_the_page(moral_run, name, units, scope):
    stands_alone(FIGURES[name](moral_run, units, scope, UNIT if name == "slices of one head" else ""))


@pytest.mark.parametrize("name", COMPARED)
@pytest.mark.parametrize(("units", "scope"), [("card", "all"), ("mlp", "words")])
def test_a_figure_of_two_runs_stands_without_the_page(moral_run, other_run, name, units, scope):
    title = stands_alone(COMPARED[name]((moral_run, other_run), ("this one", "that one"), units, scope))
    assert {"map of the first run": "this one: ", "map of the second run": "that one: "}.get(name, "") in title


@pytest.mark.parametrize("name", ANSWERED)
def test_a_figure_of_a_pair_stands_without_the_page(moral_run, name):
    assert "One pair is one pair." in stands_alone(ANSWERED[name](of_a_pair(moral_run), moral_run))


def of_a_pair(run):
    """Score the run's own first pair once more, as if a visitor had typed it."""
    streams = {stream: values[:, :1] for stream, values in run.sums.streams.items()}
    capture = PairCapture(SumsOfSquares(streams, run.sums.tokens[:, :1]), 2, 1)
    return score_pair(run, user_pair("A plain dog.", "A plain cat."), capture)


def test_colours_of_the_theme_are_resolved_and_only_used_rules_kept():
    svg = (
        '<svg class="pl-svg" aria-label="A &amp; B" width="50" height="10" xmlns="http://www.w3.org/2000/svg">'
        '<rect class="pl-a pl-b" fill="var(--body-text-color, #123456)"/></svg>'
    )
    css = (
        ".pl-a {fill: var(--background-fill-secondary); font: inherit} "
        ".pl-a.pl-b, .dark .pl-a {stroke: var(--body-background-fill)} "
        ".pl-c {fill: red} /* .pl-b {x: y} */ .pl-svg {height: auto}"
    )
    document = standalone_svg(svg, css)
    style = ElementTree.fromstring(document).find(f"{SVG}style").text
    assert ".pl-a {fill: #fafafa}" in style and ".pl-a.pl-b {stroke: white}" in style
    assert not any(gone in style for gone in ("pl-c", "dark", "inherit", "x: y", "auto"))
    assert 'fill="#27272a"' in document and "A &amp; B" in document
    with pytest.raises(ValueError, match="--new has no light colour"):
        standalone_svg(svg, ".pl-a {stroke: var(--new)} .pl-c {fill: var(--newer)}")


def test_the_light_colours_are_the_themes():
    page = theme._theme()
    for name, colour in LIGHT.items():
        value = getattr(page, name.removeprefix("--").replace("-", "_"))
        while value.startswith("*"):
            value = getattr(page, value[1:])
        assert value == colour, name


def test_one_unit_is_the_one_that_was_chosen_or_the_largest(moral_run):
    drawn = FIGURES["one head"](moral_run, "card", "all", "single[7] head 3")
    assert "single[7] head 3: 25 differences" in drawn and "Rank " in drawn and drawn.count("<circle") == 25
    a = moral_run.analysis("mlp", "image")
    elsewhere = FIGURES["one head"](moral_run, "heads", "words", "joint[0] head 1")
    assert "25 differences, scope all" in elsewhere  # the joint image stream has no words
    largest = FIGURES["one head"](moral_run, "mlp", "image", "")
    assert (
        f"{a.table.names[a.ranking[0]]}: 25 differences" in largest
        and "Rank 1 of " in largest
        and "to be smaller elsewhere" in largest
    )


def test_the_embedding_has_no_map(moral_run):
    with pytest.raises(NoFigureError, match="Choose other units"):
        FIGURES["map of heads"](moral_run, "embedding", "all", "")


def test_the_maps_of_two_runs_are_theirs_and_their_difference(moral_run, other_run):
    runs, names = (moral_run, other_run), ("a", "b")
    first, second = (run.analysis("heads", "all") for run in runs)
    unit = first.table.names[7]
    for which, t in (("first run", first.t[7]), ("second run", second.t[7])):
        assert f"{unit}: t = {t:+.2f}<" in COMPARED[f"map of the {which}"](runs, names, "card", "all")
    drawn = COMPARED["map of the difference"](runs, names, "card", "all")
    assert f"{unit}: difference of t = {first.t[7] - second.t[7]:+.2f}<" in drawn and "no scale of chance" in drawn


def test_models_of_another_shape_have_no_common_figure(moral_run, made_run):
    for name in ("t against t", "map of the difference"):
        with pytest.raises(NotComparableError):
            COMPARED[name]((moral_run, made_run()), ("a", "b"), "heads", "all")
    assert "<svg" in COMPARED["map of the second run"]((moral_run, made_run()), ("a", "b"), "heads", "all")


def test_only_a_head_has_slices_inside(moral_run):
    with pytest.raises(NoFigureError, match="has no slices inside"):
        FIGURES["slices of one head"](moral_run, "card", "all", "single[7] slice 3")
    seen = profile_unit(moral_run, UNIT, "all")
    drawn = FIGURES["slices of one head"](moral_run, "card", "all", UNIT)
    assert seen.slices and all(f">{t:+.2f}<" in drawn for t in seen.slices.values())
