"""Strips with a needle: every dot and the needle in its place, and what stands beside them."""

import re
from dataclasses import replace

import pytest

from plantain.findings.new_pair import Agreement, Control, PairResult, Place, UnitScore
from plantain.prompts.sets import PromptPair
from plantain.report.figures.needle import head_needles, score_needle

SIDES = ("helping", "ignoring")
SCORES = (0.2, 0.9, 1.0, 1.1, 2.0)


def result(score, top=()):
    return PairResult(
        "heads", "all", PromptPair("v", "v", "a", "b"), score, SCORES, 3, 0.5, (3, 3), True,
        Agreement(5, 5, 0.01, 0.75), top,
    )  # fmt: skip


def drawn(drawing):
    return "".join(drawing.marks)


def places(svg, what):
    return [float(x) for x in re.findall(rf'<title>{what}[^<]*</title><circle class="[\w-]+" cx="([\d.]+)"', svg)]


def scale(svg):
    """Return how values become pixels, from the ticks under the axis."""
    ticks = re.findall(r'<text x="([\d.]+)" y="[\d.]+" text-anchor="middle" class="pl-text">(−?[\d.]+)</text>', svg)
    (x0, v0), (x1, v1) = [(float(x), float(v.replace("−", "-"))) for x, v in (ticks[0], ticks[-1])]
    return lambda value: x0 + (value - v0) * (x1 - x0) / (v1 - v0)


def test_the_needle_and_every_pair_stand_at_their_score():
    svg = drawn(score_needle(result(1.5), SIDES, 330))
    at = scale(svg)
    assert places(svg, "a pair") == pytest.approx([at(score) for score in SCORES], abs=0.2)
    assert places(svg, "yours") == pytest.approx([at(1.5)], abs=0.2)
    assert "yours +1.50" in svg and "← ignoring" in svg and "helping →" in svg and "5 pairs of this run" in svg
    left, width = map(float, re.search(r'class="pl-band" x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', svg).groups())
    assert (left, left + width) == pytest.approx((at(-0.75), at(0.75)), abs=0.2)


def test_a_control_is_a_second_line_on_the_same_axis_and_earlier_tries_are_thin_marks():
    control = Control("colours", ("green", "brown"), (-0.1, 0.0, 3.0))
    svg = drawn(score_needle(result(-0.5), SIDES, 330, control, earlier=(0.3, -2.5)))
    at = scale(svg)
    expected = [at(score) for score in (*SCORES, *control.scores)]
    assert places(svg, "a pair") == pytest.approx(expected, abs=0.2)
    assert places(svg, "yours") == pytest.approx([at(-0.5)] * 2, abs=0.2)
    assert "3 pairs of a control, green / brown" in svg and "your earlier tries" in svg and "yours −0.50" in svg
    thin = re.findall(r'earlier try: ([^<]*)</title><line class="pl-limit" x1="([\d.]+)"', svg)
    assert [float(x) for _, x in thin] == pytest.approx([at(0.3), at(-2.5)], abs=0.2)
    assert "earlier" not in drawn(score_needle(result(0.5), SIDES, 330, control))


def test_where_directions_speak_first_the_needle_is_theirs():
    scores = (0.011, 0.02, 0.03, 0.031, 0.05)
    place = Place(0.0249, scores, 3, 0.5, Agreement(5, 5, 0.01, 0.0125), "direction")
    svg = drawn(score_needle(replace(result(1.5), directions=place), SIDES, 330, earlier=(-0.004,)))
    at = scale(svg)
    assert places(svg, "a pair") == pytest.approx([at(score) for score in scores], abs=0.2)
    assert places(svg, "yours") == pytest.approx([at(0.0249)], abs=0.2)
    assert "yours +0.025" in svg and "mean cosine" in svg and "SD" not in svg and "an earlier try: -0.004" in svg
    left, width = map(float, re.search(r'class="pl-band" x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', svg).groups())
    assert (left, left + width) == pytest.approx((at(-0.0125), at(0.0125)), abs=0.2)


def test_dots_at_one_place_are_moved_apart():
    same = result(0.5)
    svg = drawn(score_needle(PairResult(**{**vars(same), "scores": (1.0,) * 5}), SIDES, 330))
    heights = re.findall(r'<title>a pair: \+1.00</title><circle class="pl-dot" cx="[\d.]+" cy="([\d.]+)"', svg)
    assert len(set(heights)) == 5


def test_heads_are_turned_so_that_right_is_with_the_run():
    up = UnitScore("joint[0] head 0", 3.0, (1.0, 2.0, 3.0, 2.5), 2.0, (0.0, 4.0))
    down = UnitScore("joint[0] head 1", -3.0, (-1.0, -2.0, -3.0, -2.5), -2.0, (-4.0, 0.0))
    flat = UnitScore("joint[0] head 2", 0.0, (0.0, 0.0, 0.0, 0.0), 1.0, None)
    svg = drawn(head_needles((up, down, flat), 330))
    dots, needles = places(svg, "a pair"), places(svg, "yours")
    assert len(dots) == 8 and dots[:4] == dots[4:]  # a unit without spread has no SD to draw in
    assert len(needles) == 2 and needles[0] == needles[1]
    sd = 0.8539125638299665  # of 1, 2, 3 and 2.5
    assert needles[0] == pytest.approx(scale(svg)(2.0 / sd), abs=0.2) and "+2.34" in svg
    bands = re.findall(r'class="pl-band" x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', svg)[:2]
    assert bands[0] == bands[1]


def test_a_band_that_is_wider_than_all_dots_is_cut_at_the_ends_of_the_axis():
    wide = UnitScore("joint[0] head 0", 3.0, (1.0, 2.0, 3.0, 2.5), 2.0, (-900.0, 900.0))
    drawing = head_needles((wide,), 330)
    left, width = map(
        float, re.search(r'class="pl-band" x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', drawn(drawing)).groups()
    )
    assert left >= 0 and left + width <= drawing.width
