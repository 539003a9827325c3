"""The words in which two prompts differ: in plain cases, and under Hypothesis."""

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from plantain.prompts.diff import differing_words


def marked(spans):
    return [text for text, differs in spans if differs]


@pytest.mark.parametrize(
    ("a", "b", "in_a", "in_b"),
    [
        ("Maria gathers the oranges.", "Maria dodges the oranges.", ["gathers"], ["dodges"]),
        (
            "He lifts its front wheels up.",
            "He lifts a camera and runs up.",
            ["its front wheels"],
            ["a camera and runs"],
        ),
        ("Petra's car stops.", "Petra's car stops!", ["."], ["!"]),
        ("she helps", "she slowly helps", [], ["slowly"]),
        ("one", "one", [], []),
        ("one two", "one  two", [], []),
        ("", "a b", [], ["a b"]),
        ("it's", "its", ["it's"], ["its"]),
        ("Hans hilft", "hans hilft", ["Hans"], ["hans"]),
    ],
)
def test_what_differs_is_marked_and_nothing_else(a, b, in_a, in_b):
    assert [marked(spans) for spans in differing_words(a, b)] == [in_a, in_b]


def test_the_sets_own_pairs_share_most_words(moral_set):
    for pair in moral_set.pairs:
        spans = differing_words(pair.positive, pair.negative)
        for side, text in zip(spans, (pair.positive, pair.negative), strict=True):
            assert 0 < sum(map(len, marked(side))) < 0.7 * len(text), pair.id


TEXTS = st.one_of(st.text(), st.text(st.sampled_from("ab .'\n")))


@given(TEXTS, TEXTS)
@example("a b c", "b c a")
@example("_ \x1c-", "\x1c")
def test_spans_join_to_the_texts_and_the_rest_is_the_same_on_both_sides(a, b):
    rests = []
    for spans, text in zip(differing_words(a, b), (a, b), strict=True):
        assert "".join(piece for piece, _ in spans) == text and all(piece for piece, _ in spans)
        assert all(one[1] != following[1] for one, following in pairwise(spans))
        rests.append("".join(piece for piece, differs in spans if not differs))
    first, second = ([sign for sign in rest if not sign.isspace()] for rest in rests)
    assert first == second


@given(TEXTS)
def test_a_text_has_no_differing_word_from_itself(text):
    assert all(not differs for spans in differing_words(text, text) for _, differs in spans)
