"""The verdict: at most four lines, true in both worlds."""

from dataclasses import replace

import pytest
from made import made_differences, made_run

from plantain.findings.held_out import LEFT_OUT, HeldOut, Told
from plantain.findings.published import load_published
from plantain.report import verdict
from plantain.report.labels import contrast_words, pair_sides, run_sides, subject_words
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
        "22 of 25 held-out pairs are told right, more than chance gives (p < 0.001): each pair by the magnitudes of "
        "the 20 heads with the largest |t| over all other pairs, image tokens alone.",
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
        "learned (two-sided p): contact 9 of 25 (p = 0.23)."
    )


RED, BLUE = told(25, 0.0001, rule="colour"), told(13, 0.5, rule="number")
NO = replace(FOUND, k=14, p=0.3)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (
            replace(NO, positives=(RED,)),
            "The positive contrasts, each by its own held-out pairs: colour 25 of 25 (p < 0.001).",
        ),
        (
            replace(NO, positives=(RED, BLUE)),
            "The positive contrasts, each by its own held-out pairs: colour 25 of 25 (p < 0.001), number 13 of 25 (p = "
            "0.5). The measure does not find number either, so a result of no more than chance says little.",
        ),
        (
            replace(FOUND, positives=(BLUE,)),
            "The positive contrasts, each by its own held-out pairs: number 13 of 25 (p = 0.5).",
        ),
        (
            NO,
            "No positive contrast (prompts/colour, number, day_night) was run with this model and these settings, so a "
            "result of no more than chance says little.",
        ),
    ],
)
def test_a_no_stands_beside_what_the_measure_has_to_find(found, words):
    axis = made_run(made_differences(), role="axis")
    lines = verdict_lines(axis, found)
    assert len(lines) == 4 and lines[2] == words


def test_a_yes_that_new_pairs_do_not_bear_out_is_a_no_too():
    axis, again = made_run(made_differences(), role="axis"), told(13, 0.5, rule="new")
    assert "No positive contrast" in verdict_lines(axis, replace(FOUND, replication=again))[2]
    assert not any("No positive" in line for line in verdict_lines(axis, FOUND))


@pytest.mark.parametrize("changes", [{"role": "control"}, {}, {"role": "axis", "weights": "untrained"}])
def test_only_a_trained_models_axis_asks_for_positive_contrasts(changes):
    assert not any("No positive" in line for line in verdict_lines(made_run(made_differences(), **changes), NO))


def test_a_random_network_need_not_tell_them():
    untrained = made_run(made_differences(), role="axis", weights="untrained")
    text = " ".join(verdict_lines(untrained, replace(NO, positives=(BLUE,))))
    assert "number 13 of 25 (p = 0.5)." in text and "says little" not in text


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
    def only_units(info, selection=IMAGE, role="axis", measure=""):
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
        verdict, "departures", lambda info, selection=IMAGE, role="axis", measure="": ("prompts",) * (role == "axis")
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


def test_sides_that_are_each_others_opposite_fit_every_kind():
    made = made_run(made_differences(), title="Book: Helping", positive="helping", negative="not helping")
    kinds = ["neglect"] * 15 + ["wrongdoing"] * 10
    pairs = tuple(replace(r, pair=replace(r.pair, kind=kind)) for r, kind in zip(made.pairs, kinds, strict=True))
    run = replace(made, pairs=pairs)
    assert run_sides(run) == ("helping", "not helping") and contrast_words(run) == "helping against not helping"
    assert pair_sides(run.pairs[-1].pair, run_sides(run)) == ("helping", "not helping")
    assert subject_words(run) == "Book: Helping against not helping"
    narrower = replace(run, info=replace(run.info, negative="ignoring"))
    assert subject_words(narrower) == ("Book: Helping: prosocial or not (in 15 pairs, of neglect: helping or ignoring)")
