"""The marks that figures are made of: ticks are right, words fit, cells have their sign and strength."""

import re
from itertools import pairwise

import numpy as np
import pytest
from browser import ROOT

from plantain.report.figures import svg


@pytest.mark.parametrize(
    ("ends", "pixels", "apart", "ticks"),
    [
        ((0, 10), (0, 120), 20, [0, 2, 4, 6, 8, 10]),
        ((0, 10), (0, 120), 30, [0, 3, 6, 9]),
        ((-0.7, 0.7), (0, 300), 42, [-0.6, -0.4, -0.2, 0, 0.2, 0.4, 0.6]),
        ((-5.25, 5.25), (100, 270), 40, [-3, 0, 3]),
        ((0, 222), (130, 20), 24, [0, 50, 100, 150, 200]),
        ((3e-5, 9e-5), (0, 100), 30, [4e-5, 6e-5, 8e-5]),
    ],
)
def test_ticks_are_round_numbers_with_room_between_them(ends, pixels, apart, ticks):
    assert svg.Scale(*ends, *pixels).ticks(apart) == pytest.approx(ticks)


@pytest.mark.parametrize("high", [0.07, 0.7, 1.0, 3.3, 5.25, 19.9, 66.0, 100.0, 4321.0])
@pytest.mark.parametrize("low", [0, -1])
@pytest.mark.parametrize("pixels", [110, 150, 300, 700])
def test_an_axis_has_three_ticks_that_do_not_touch(high, low, pixels):
    scale = svg.Scale(low * high, high, 0, pixels)
    ticks = scale.ticks()
    assert len(ticks) >= 3 and 0 in ticks
    ends = [(scale(t), svg.text_width(svg.number(t)) / 2) for t in ticks]
    assert all(x + half < other - more for (x, half), (other, more) in pairwise(ends))


def test_where_there_is_room_for_two_ticks_alone_three_stand_closer():
    assert svg.Scale(0, 3, 64, 0, whole=True).ticks(apart=24) == [0, 1, 2, 3]
    assert svg.Scale(0, 2, 64, 0, whole=True).ticks(apart=24) == [0, 1, 2]


@pytest.mark.parametrize("high", [1, 2, 3, 7, 39, 1000, 123_456])
def test_counts_have_whole_ticks_with_room_for_their_numbers(high):
    scale = svg.Scale(-0.5, high + 0.5, 44, 306, whole=True)
    ticks = scale.ticks()
    assert len(ticks) >= 2 and all(tick == int(tick) and 0 <= tick <= high for tick in ticks)
    ends = [(scale(t) - svg.text_width(svg.number(t)) / 2, scale(t) + svg.text_width(svg.number(t)) / 2) for t in ticks]
    assert all(end < start for (_, end), (start, _) in pairwise(ends))


def test_an_axis_writes_each_number_where_its_value_is():
    scale = svg.Scale(-2, 6, 20, 300)
    drawn = "".join(svg.x_axis(scale, 100, "what", ("left", "right"), grid=0))
    numbers = re.findall(r'<text x="([\d.]+)" y="117.0" text-anchor="middle" class="pl-text">([−\d.]+)<', drawn)
    assert [words for _, words in numbers] == ["−2", "−1", "0", "1", "2", "3", "4", "5", "6"]
    assert all(float(x) == pytest.approx(scale(float(n.replace("−", "-"))), abs=0.06) for x, n in numbers)
    assert drawn.count("<line") == 1 + len(numbers)
    assert re.findall(r"133.0.*?>(\w+)<", drawn) == ["left", "what", "right"]


def test_a_vertical_axis_runs_upward():
    drawn = "".join(svg.y_axis(svg.Scale(0, 4, 110, 10), 40, 300))
    numbers = re.findall(r'y="([\d.]+)" text-anchor="end" class="pl-text">([\d.]+)<', drawn)
    assert numbers == [("114.0", "0"), ("89.0", "1"), ("64.0", "2"), ("39.0", "3"), ("14.0", "4")]


def test_a_scale_without_an_extent_is_a_mistake():
    with pytest.raises(AssertionError):
        svg.Scale(1, 1, 0, 100)
    assert svg.around_zero([], 2.0) == (-2.1, 2.1)


def test_words_are_measured_cut_and_broken():
    assert svg.text_width("mm") == 2 * svg.text_width("m") > 3 * svg.text_width("i")
    assert svg.fit("short", 100) == "short"
    cut = svg.fit("much too long for its place", 100)
    assert cut.endswith("…") and 80 < svg.text_width(cut) <= 100
    words = "moral_valence_replication is a name, " + "x" * 90
    lines = svg.wrap(words, 110)
    assert lines[0] == "moral_valence_" and "".join(lines).replace(" ", "") == words.replace(" ", "")
    assert all(svg.text_width(line) <= 110 for line in lines)
    assert svg.wrap("", 100) == [""]


def test_a_cell_has_the_colour_of_its_sign_and_the_strength_of_its_size():
    looks = [re.findall(r'class="([\w-]+)"', svg.cell(0, 0, 10, 10, share, "x")) for share in (0.5, -2.0, np.nan)]
    assert looks == [["pl-zero", "pl-plus"], ["pl-zero", "pl-minus"], ["pl-none"]]
    assert 'fill-opacity="0.5"' in svg.cell(0, 0, 10, 10, 0.5) and 'fill-opacity="1"' in svg.cell(0, 0, 10, 10, -2)


def test_a_legend_goes_on_in_another_row():
    entries = [("dot", "pl-dot", "a pair of the run"), ("box", "pl-band", "words " * 5), ("line", "pl-limit", "x" * 90)]
    drawn, bottom = svg.legend(entries, 10)
    rows = re.findall(r'<text x="([\d.]+)" y="([\d.]+)" [^>]*>([^<]+)<', "".join(drawn))
    assert [y for _, y, _ in rows] == ["22.0", "40.0", "58.0"] and bottom == 68
    assert all(float(x) + svg.text_width(words) <= svg.WIDTH for x, _, words in rows)


def test_the_page_has_every_layout_once_and_says_for_which_columns():
    page = svg.fluid(lambda width: svg.Drawing(min(width, 480), 200, [svg.text(0, 15, f"{width} px")]), "x")
    assert re.findall(r'class="(pl-svg[^"]*)" .*?viewBox="0 0 (\d+) 200"', page) == [
        ("pl-svg pl-narrow", "330"), ("pl-svg pl-middle pl-wide", "480")
    ]  # fmt: skip
    assert "330 px" in page and "480 px" in page and "820 px" not in page


@pytest.mark.parametrize(("width", "column"), [*zip(svg.LAYOUTS, (304, 450, 760), strict=True)])
def test_text_is_11_pixels_high_in_the_narrowest_column_of_its_layout(width, column):
    css = (ROOT / "plantain/ui/static/figures.css").read_text(encoding="utf-8")
    assert width == svg.WIDTH or f"min-width: {column}px" in css
    assert svg.LETTERS * column / width >= 11
    least = int(re.search(r"min-width: (\d+)px", svg.Drawing(width, 10, []).svg("x"))[1])
    assert svg.LETTERS * least / width >= 10.99


def test_words_of_others_are_text():
    drawn = svg.Drawing(10, 10, [svg.text(0, 0, "<b>"), svg.dot(1, 1, "pl-dot", "<i>")])
    for document in (drawn.svg('"<u>'), svg.standalone(drawn, "<u>", "<s>")):
        assert not re.search(r"<(b|i|u|s)>", document) and "&lt;b&gt;" in document and "&lt;i&gt;" in document
