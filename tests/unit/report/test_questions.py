"""The six questions, answered for a run in a line each: from its numbers, or with what to do."""

import re
from dataclasses import replace

import pytest
from interventions_made import made_result
from made import small_run, with_directions
from pictured import draw_into, webp

from plantain.findings.example import Example, example
from plantain.findings.held_out import HeldOut, held_out
from plantain.findings.interventions import cause
from plantain.findings.told import Told
from plantain.report import questions as module
from plantain.report.questions import PENDING, questions
from plantain.runs.io import load_run, save_run
from plantain.runs.units import Selection


@pytest.fixture(scope="module")
def run():
    return replace(small_run(0, 6), folder=None)


@pytest.fixture(scope="module")
def axis(run):
    return replace(run, info=replace(run.info, role="axis"))


def answers(run, found=None, beside=True, shown=None, scope="all"):
    asked = questions(run, scope, shown or example(run), held_out(run) if found is None else found, beside)
    return {question.section: question for question in asked}


def test_the_questions_are_the_projects_six_in_its_order(run):
    asked = questions(run, "all", example(run), None)
    assert [question.section for question in asked] == ["chance", "head", "axis", "turn", "pairs", "pair"]
    assert [question.asked for question in asked] == [
        "Is there anything?", "Where?", "Is it an axis of its own?", "Does it matter?", "What does it look like?",
        "And yours?",
    ]  # fmt: skip


def test_where_there_is_no_answer_the_line_says_what_to_do_in_six_words(run, axis):
    found = answers(axis)
    for section in ("axis", "turn", "pairs"):
        assert len(found[section].answer.split()) == 6 and found[section].figure is None
    assert len(answers(run)["axis"].answer.split()) == 6  # this one is no axis


def test_what_is_being_computed_is_said_and_the_rest_is_there(run):
    found = {q.section: q for q in questions(run, "all", example(run), None)}
    assert found["chance"].answer == found["axis"].answer == PENDING and found["chance"].figure is None
    assert found["head"].figure and found["pair"].figure
    alone = {q.section: q for q in questions(run, "all", example(run), held_out(run))}
    assert alone["chance"].answer != PENDING and alone["axis"].answer == PENDING


def test_the_first_answer_is_the_count_with_a_dot_a_pair(run):
    made, found = held_out(run), answers(run)["chance"]
    assert found.answer == f"{made.k} of {made.n} pairs."
    looks = re.findall(r'<circle class="([\w-]+)"', "".join(found.figure.marks))
    assert looks == ["pl-mine"] * made.k + ["pl-bar"] * (made.n - made.k)


@pytest.mark.parametrize("scope", ["all", "image"])
def test_the_largest_head_is_named_under_the_scope_of_the_map(run, scope):
    analysis = run.analysis(Selection("heads", scope))
    found = answers(run, scope=scope)["head"]
    assert found.answer == f"Most in {analysis.table.names[analysis.ranking[0]]}."
    marks = "".join(found.figure.marks)
    assert marks.count("pl-plus") == int((analysis.t > 2).sum())
    assert marks.count("pl-minus") == int((analysis.t < -2).sum())


def told(k, cosine, rule="other"):
    return Told(k, 25, 0.001, 0.0, rule, "heads", "image", cosine=cosine)


def beside(run, **changes) -> HeldOut:
    return replace(held_out(run), **changes)


def test_an_axis_is_told_by_its_replication_and_the_nearest_control(axis):
    controls = (told(20, 0.23, "a"), told(3, -0.4, "b"), told(14, 0.02, "c"))
    found = answers(axis, beside(axis, replication=told(24, 0.97), controls=controls))["axis"]
    assert found.answer == "New pairs: 24 of 25, cosine 1.0; nearest control −0.4."
    marks = "".join(found.figure.marks)
    assert marks.count('class="pl-dot"') == 3 and marks.count('class="pl-new"') == 1
    assert answers(axis, beside(axis, replication=told(24, None)))["axis"].answer == "New pairs: 24 of 25."
    alone = answers(axis, beside(axis, controls=controls[:1]))["axis"]
    assert alone.answer == "Nearest control, cosine 0.2." and "pl-new" not in "".join(alone.figure.marks)
    loud = answers(axis, beside(axis, controls=(told(12, None), told(4, None))))["axis"]
    assert loud.answer == "A control's rule: 4 of 25 (12.5 by chance)." and loud.figure is None


@pytest.mark.parametrize(
    ("method", "words"),
    [("patch", "restored, random"), ("ablate", "taken away, random"),
     ("steer", "restored, sign-flipped")],
)  # fmt: skip
def test_interventions_are_one_share_beside_that_of_redraws(run, monkeypatch, method, words):
    made = made_result(39, method=method)
    monkeypatch.setattr(module, "run_interventions", lambda _run: (made,))
    shown, found = cause(made), answers(run)["turn"]
    size = shown.headline
    assert found.answer.endswith(f"{100 * size.share:.0f}% {words} {100 * size.redraws[0].median:.0f}%.")
    word, p = found.answer.split(":")[0].rstrip(")").split(" (p = ")
    assert word in ("Yes", "Not shown") and p == f"{size.redraws[0].p:.2g}"
    assert "".join(found.figure.marks).count('class="pl-dot"') == 39


def test_too_few_redraws_are_no_answer(run, monkeypatch):
    monkeypatch.setattr(module, "run_interventions", lambda _run: (made_result(3),))
    assert answers(run)["turn"].answer.startswith("Too few redraws to tell: ")


def test_a_run_whose_interventions_are_damaged_says_so(tmp_path):
    folder = save_run(with_directions(small_run()), tmp_path / "run")
    (folder / "interventions").mkdir()
    (folder / "interventions" / "patch.json").write_text("{")
    assert answers(load_run(folder))["turn"].answer == "Its interventions cannot be read."


def test_pictures_are_counted_and_the_pairs_stands_small_beside_it(tmp_path):
    folder = save_run(small_run(), tmp_path / "run")
    draw_into(folder)
    found = answers(load_run(folder))["pairs"]
    assert found.answer == "2 pairs, drawn." and "".join(found.figure.marks).count("data:image/webp;base64,") == 2
    expected = Example(small_run().pairs[0], (webp(1), webp(2)), "expected", 1)
    assert answers(small_run(), shown=expected)["pairs"].answer == "1 pair, expected."


def test_the_needle_stands_among_the_runs_pairs(run):
    marks = "".join(answers(run)["pair"].figure.marks)
    assert marks.count('class="pl-dot"') == len(run.pairs) and marks.count("pl-observed") == 1
