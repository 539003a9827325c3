"""The verdict: at most four lines, true in both worlds."""

from dataclasses import replace

import pytest
from made import made_differences, made_run

from plantain.findings.held_out import LEFT_OUT, HeldOut, Told
from plantain.findings.published import load_published
from plantain.report import verdict
from plantain.report.labels import run_sides
from plantain.report.model_card import results_section
from plantain.report.run import report_text
from plantain.report.verdict import standing, verdict_lines
from plantain.runs.info import RANDOM
from plantain.runs.units import CARD, Selection

IMAGE = Selection("heads", "image")


def told(k, p, error=0.0, rule=LEFT_OUT, units="heads", scope="image"):
    return Told(k, 25, p, error, rule, units, scope)


FOUND = HeldOut(
    **vars(told(22, 0.0001, 0.0001)),
    n_flips=9_999,
    n_top=20,
    percent=0.345,
    all_tokens=told(24, 0.0123, 0.001, scope="all"),
    embedding=told(25, 0.6, 0.005, units="embedding", scope="all"),
)


@pytest.fixture(scope="module")
def run():
    return made_run(made_differences())


def test_what_was_found_stands_first(run):
    assert verdict_lines(run, FOUND) == [
        "22 of 25 held-out pairs are told right, more than chance gives (p < 0.001): each pair by the 20 heads with "
        "the largest |t| over all other pairs, image tokens alone.",
        "From the prompt embedding, before the transformer: 25 of 25 (p = 0.6 ± 0.005). From the heads over all "
        "tokens: 24 of 25 (p = 0.012 ± 0.001).",
        "In the median head the sides differ by 0.34% of the magnitude. Weights: some/model at 0123456789ab "
        "(pretrained weights from the Hub).",
    ]


@pytest.mark.parametrize(("p", "words"), [(0.05, "more than chance"), (0.0501, "no more than chance")])
def test_what_is_no_more_than_chance_is_called_so(run, p, words):
    first = verdict_lines(run, replace(FOUND, k=18, p=p, error=0.002))[0]
    assert f"18 of 25 held-out pairs are told right, {words} gives" in first


def test_replication_and_controls_share_a_line(run):
    more = replace(FOUND, replication=told(20, 0.002, rule="new"), controls=(told(9, 0.23, rule="contact"),))
    lines = verdict_lines(run, more)
    assert len(lines) == 4
    assert lines[2] == (
        "The rule of all 25 pairs, frozen, on the new pairs of new: 20 of 25 (p = 0.002). By rules that controls "
        "learned (two-sided): contact 9 of 25 (p = 0.23)."
    )


def test_the_report_begins_with_it(run):
    lines = report_text(run, load_published(), headline=FOUND).split("\n")
    assert lines[2:5] == verdict_lines(run, FOUND)


def test_random_weights_are_called_random():
    made = made_run(made_differences(), weights="untrained")
    assert "The weights are random" in verdict_lines(made, FOUND)[-1]


@pytest.mark.parametrize(
    ("floor", "words"),
    [
        (None, "of the magnitude. Weights"),
        (0.0, "of the magnitude; the same prompt twice differs by 0%. Weights"),
        (0.0312, "; the same prompt twice differs by up to 0.031%, and differences below that mean nothing. Weights"),
    ],
)
def test_the_size_stands_beside_what_one_prompt_sent_twice_gives(run, floor, words):
    seen = replace(run, info=replace(run.info, floor=floor))
    assert words in verdict_lines(seen, FOUND)[-1]


def test_what_was_not_fixed_before_is_called_exploratory(run, monkeypatch):
    def only_units(info, selection=IMAGE, role="axis"):
        return ("prompts",) if role != "axis" else () if selection == IMAGE else ("units",)

    monkeypatch.setattr(verdict, "departures", only_units)
    assert "Exploratory" not in standing(run, IMAGE) and "counts are exploratory" in standing(run, IMAGE)
    assert "other units or tokens are exploratory" in standing(run, CARD)
    monkeypatch.undo()
    said = standing(run, CARD)
    assert said.startswith("Exploratory: these figures depart from PREREGISTRATION.md in their weights, prompts")
    assert said in report_text(run, load_published(), headline=FOUND)


def test_the_registered_replication_is_no_second_headline(run, monkeypatch):
    monkeypatch.setattr(
        verdict, "departures", lambda info, selection=IMAGE, role="axis": ("prompts",) * (role == "axis")
    )
    said = standing(run, IMAGE)
    assert said.startswith("These are the new pairs of PREREGISTRATION.md") and "of their own" in said
    assert "exploratory" in said and "The headline is the one" not in said


def test_another_replication_beside_the_registered_headline_is_called_exploratory(run, monkeypatch):
    other = replace(FOUND, replication=told(20, 0.002, rule="mine"), replication_departs=("prompts",))
    assert "xploratory" not in " ".join(verdict_lines(run, other)), "all of this run departs, which is said below"
    monkeypatch.setattr(verdict, "departures", lambda *_, **__: ())
    (line,) = (line for line in verdict_lines(run, other) if "mine" in line)
    assert line.endswith("(Exploratory: that run departs from PREREGISTRATION.md in its prompts.)")


def test_the_card_begins_with_it_and_keeps_its_counts(run):
    published, figure = load_published(), ("figure.png", "A map")
    more = replace(FOUND, replication=told(20, 0.002, rule="new"))
    text = results_section(run, "mine", "owner/repo", None, published, figure, found=more)
    heading, first, beside, counts = text.split("\n\n")[:4]
    assert heading.startswith("## Results of plantain") and first.startswith("**22 of 25 held-out pairs are told right")
    lines = beside.splitlines()
    assert len(lines) == 4 and "on the new pairs of new: 20 of 25" in lines[1]
    assert lines[-1].startswith("- Exploratory") and counts.startswith("**The card's counts:** ")
    assert f"of {run.summary().n_units} slices exceed" in counts


def test_random_weights_are_called_so_right_after_it_on_the_card():
    made = made_run(made_differences(), weights="untrained")
    text = results_section(made, "mine", "owner/repo", None, load_published(), ("a.png", "A map"), found=FOUND)
    assert text.split("\n\n")[2] == f"**{RANDOM}**"


def test_other_contrasts_stand_beside_the_cards_as_published_and_never_as_a_run(run):
    text, published = report_text(run, load_published(), headline=FOUND), load_published()
    assert "pose 50.6%, scale about 43%, amodal 39.2%, this card's moral contrast 19.7%" in text
    assert "None of them was run by this project." in text and published.family.source in text
    assert [card.over_3 for card in published.family.cards] == sorted(
        (card.over_3 for card in published.family.cards), reverse=True
    )
    assert {c.card: (c.over_5, c.split_half, c.max_abs_t) for c in published.family.cards if not c.approximate} == {
        "ray": (45.6, 0.912, None), "dense": (28.3, 0.863, 22.45), "ghost": (15.6, 0.833, 29.63),
    }  # fmt: skip


@pytest.mark.parametrize(("n", "few"), [(5, True), (6, False)])
def test_where_no_count_could_be_significant_the_headline_says_so(run, n, few):
    found = replace(FOUND, k=n, n=n, p=2 / 2**n)
    assert ("too few pairs to tell that from chance" in verdict.headline(found)) is few
    assert ("more than chance gives" in verdict.headline(found)) is not few


@pytest.mark.parametrize(
    ("kinds", "sides"),
    [
        ("", ("kind", "unkind")),
        ("neglect", ("kind", "unkind")),
        ("wrongdoing", ("prosocial", "not prosocial")),
    ],
)
def test_sides_are_called_as_the_set_calls_them_unless_there_is_more_than_neglect(run, kinds, sides):
    told = replace(run.pairs[0], pair=replace(run.pairs[0].pair, kind=kinds))
    assert run_sides(replace(run, pairs=(told, *run.pairs[1:]))) == sides
