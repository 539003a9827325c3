"""A run among other contrasts: three styles, the largest first, and no chart where nothing can be compared."""

import re
from dataclasses import replace

import pytest
from made import SETS, made, made_differences, made_run

from plantain.findings.published import CARD_PAIRS, SIDES, load_published
from plantain.report.figures.catalogue import FigureError, InContext, figure
from plantain.report.figures.context import CONTROL, PUBLISHED, RUN, Bar, context_bars
from plantain.runs.units import CARD

PUBLISHED_CARD = load_published()


def asks(run, weights, positive=SIDES[0], negative=SIDES[1], **changes):
    info = replace(run.info, weights=weights, positive=positive, negative=negative, **changes)
    return replace(run, info=info, _analyses={}, inferences={}, _directed={})


def named(drawing):
    """Return every bar's tooltip, from the top, by its class."""
    return re.findall(r'<title>([^<]*)</title><rect class="([\w-]+)"[^>]* width="([\d.]+)"', "".join(drawing.marks))


def drawn(of):
    return named(figure("in context", of).draw(330))


def test_bars_stand_by_size_in_their_three_styles():
    bars = [Bar("small", 10, RUN), Bar("large", 40, PUBLISHED, True), Bar("least", 0.42, CONTROL)]
    drawing = context_bars(bars, {RUN: "this", PUBLISHED: "theirs", CONTROL: "none"}, "% of slices", 330)
    (large, grey, wide), (small, filled, less), (least, ground, _) = named(drawing)
    assert (large, small, least) == ("large: about 40%; theirs", "small: 10.0%; this", "least: 0.4%; none")
    assert (grey, filled, ground) == ("pl-bar", "pl-mine", "pl-band")
    assert float(wide) == pytest.approx(4 * float(less), rel=0.01)
    text = re.findall(r">([^<]+)</text>", "".join(drawing.marks))
    assert [word for word in text if word in ("this", "theirs", "none")] == ["this", "none", "theirs"]
    assert {"~40%", "10.0%", "0.4%", "% of slices"} <= set(text)


def test_a_hatched_bar_has_slanted_lines_inside_it():
    drawing = context_bars([Bar("control", 50, CONTROL)], {CONTROL: "control"}, "%", 330)
    box = re.search(r'class="pl-band" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="14"', "".join(drawing.marks))
    left, top, width = map(float, box.groups())
    ends = r'class="pl-axis" x1="([\d.]+)" y1="([\d.]+)" x2="([\d.]+)" y2="([\d.]+)"'
    lines = [tuple(map(float, found)) for found in re.findall(ends, "".join(drawing.marks))]
    slanted = [line for line in lines if line[0] != line[2] and line[1] != line[3] and line[1] < top + 15]
    assert len(slanted) > 10
    for x1, y1, x2, y2 in slanted:
        assert left - 0.01 <= min(x1, x2) and max(x1, x2) <= left + width + 0.01
        assert top - 0.01 <= min(y1, y2) and max(y1, y2) <= top + 14.01
        assert x1 - x2 == pytest.approx(y2 - y1)


def test_the_cards_run_stands_among_the_published_ones_and_its_control():
    run = asks(made_run(made_differences()), "pretrained")
    control = asks(made_run(made_differences(seed=3, effect=0)), "untrained")
    assert len(run.pairs) == CARD_PAIRS
    found = {name.split(":")[0]: look for name, look, _ in drawn(InContext(run, PUBLISHED_CARD, control))}
    assert len(found) == len(PUBLISHED_CARD.family.cards) + 3
    assert found["moral, this card"] == found["pose"] == "pl-bar"
    assert found["helping / ignoring"] == "pl-mine" and found["untrained"] == "pl-band"
    share = run.headline(CARD).thresholds[3].percent
    assert f"helping / ignoring: {share:.1f}%; this run" in [name for name, *_ in drawn(InContext(run, PUBLISHED_CARD))]
    said = figure("in context", InContext(run, PUBLISHED_CARD, control)).caption
    assert "none was run by this project" in said and "Weights: " in said and "UNTRAINED" in said


def test_a_control_that_is_shown_itself_is_hatched():
    run = asks(made_run(made_differences()), "untrained")
    assert ("pl-band", "this run: random weights") in [
        (look, name.split("; ")[1]) for name, look, _ in drawn(InContext(run, PUBLISHED_CARD))
    ]


def test_without_a_run_the_published_ones_stand_alone():
    made = figure("in context", InContext(None, PUBLISHED_CARD))
    assert {look for _, look, _ in named(made.draw(330))} == {"pl-bar"} and "Weights" not in made.caption


def test_klein_on_another_contrast_stands_there_too_and_other_weights_do_not():
    run = made_run(made_differences())
    assert "kind / unkind" in str(drawn(InContext(asks(run, "pretrained", "kind", "unkind"), PUBLISHED_CARD)))
    with pytest.raises(FigureError, match="cannot stand beside"):
        figure("in context", InContext(asks(run, "local", "kind", "unkind"), PUBLISHED_CARD))


def test_the_practice_model_stands_among_its_own_contrasts_alone():
    names = list(SETS)[:3]
    runs = [asks(made(name, 1.0), "practice", name, "not") for name in names]
    alien = asks(made(names[0], 1.0), "practice", "alien", "not", fingerprint="e" * 64)
    smaller = asks(made(names[0], 1.0), "practice", "smaller", "not", size=128)
    again = asks(made(names[1], 0.5), "practice", names[0], "not")
    of = InContext(runs[0], PUBLISHED_CARD, None, (*runs, alien, smaller, again))
    found = {name.split(":")[0]: look for name, look, _ in drawn(of)}
    assert found == {f"{names[0]} / not": "pl-mine", f"{names[1]} / not": "pl-bar", f"{names[2]} / not": "pl-bar"}
    said = figure("in context", of)
    assert "Klein" not in "".join(said.draw(330).marks)
    with pytest.raises(FigureError, match="no run of the practice model on another contrast"):
        figure("in context", InContext(runs[0], PUBLISHED_CARD, None, (runs[0], alien)))
