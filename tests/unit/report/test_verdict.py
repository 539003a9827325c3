"""The verdict: at most four lines, true in both worlds."""

from dataclasses import replace

import pytest
from made import made_differences, made_run

from plantain.findings.held_out import LEFT_OUT, HeldOut, Told
from plantain.findings.published import load_published
from plantain.report.run import report_text
from plantain.report.verdict import verdict_lines


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
