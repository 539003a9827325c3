"""A run of the practice model says what it is wherever its numbers stand, and is never published."""

from dataclasses import replace

import pytest

from plantain.findings.held_out import held_out
from plantain.findings.published import comparable
from plantain.prompts.sets import load_prompt_set
from plantain.report.labels import run_label, weights_label
from plantain.report.model_card import check_publishable
from plantain.report.statements import Kind, notes
from plantain.report.verdict import verdict_lines
from plantain.runs.info import NOT_KLEIN, PRACTICE, RANDOM
from plantain.runs.io import RunError
from plantain.runs.units import CARD


@pytest.fixture(scope="module")
def practice(moral_run):
    return replace(moral_run, info=replace(moral_run.info, weights="practice", model="picture-book"))


def test_its_weights_are_named(practice):
    words = "picture-book, practice model (drawings, trained by us; not Klein)"
    assert weights_label(practice.info) == words
    assert run_label("mine", practice.info) == "mine (practice model)"
    assert not practice.info.is_random


def test_the_sentence_on_it_stands_where_that_on_random_weights_would(practice, moral_run):
    for run, said, other in ((practice, PRACTICE, RANDOM), (moral_run, RANDOM, PRACTICE)):
        text = " ".join(verdict_lines(run, held_out(run)))
        assert NOT_KLEIN[run.info.weights] == said and said in text and other not in text
    kinds = [statement.kind for statement in notes(practice, practice.headline(CARD))]
    assert Kind.PRACTICE in kinds and Kind.RANDOM not in kinds


def test_the_published_figures_never_stand_beside_it(practice, moral_run):
    assert comparable(moral_run, CARD) and not comparable(practice, CARD)


def test_it_is_not_published(practice):
    with pytest.raises(RunError, match="trained on drawings and is not Klein"):
        check_publishable(practice, "mine")


def test_a_run_of_its_captions_on_other_weights_is_not_published_either(moral_run):
    captions = load_prompt_set("picture-book/moral")
    twin = replace(moral_run, info=replace(moral_run.info, weights="untrained", prompts_sha256=captions.sha256))
    with pytest.raises(RunError, match="captions for the practice model"):
        check_publishable(twin, "twin")
