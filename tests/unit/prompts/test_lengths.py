"""Edits by which two prompts have as many tokens: which one is offered, and when there is none."""

import pytest

from plantain.prompts.lengths import ENDINGS, even


def words(text):
    return len(text.split())


@pytest.mark.parametrize(
    ("positive", "negative", "expected"),
    [
        ("Ana helps him up.", "Ana hits him.", ("Ana helps him up.", "Ana hits him now.")),
        ("Ana hits him!", "Ana helps him up.", ("Ana hits him now!", "Ana helps him up.")),
        ("Ana hits", "Ana helps him", ("Ana hits now", "Ana helps him")),
        ("Ana helps him now.", "Ana hits him.", ("Ana helps him.", "Ana hits him.")),  # dropped before one is added
        ("Ana helps him up there.", "Ana hits him.", ("Ana helps him up there.", "Ana hits him at once.")),
        ("Ana helps him.", "Ana hits him.", None),
        ("Ana helps him up, and then all the way home again and again.", "Ana hits.", None),
    ],
)
def test_one_small_edit_makes_the_lengths_equal(positive, negative, expected):
    found = even(positive, negative, words)
    assert found == expected
    assert found is None or words(found[0]) == words(found[1])


def test_it_is_the_models_own_tokens_that_are_counted():
    # A token a letter, as the stand-in has it: the first ending of four letters and a blank.
    assert even("Ana walks past him.", "Ana trips him.", len) == ("Ana walks past him.", "Ana trips him here.")


def test_every_ending_hardly_says_anything_and_stands_once():
    assert len(set(ENDINGS)) == len(ENDINGS) and all(ending.startswith(" ") for ending in ENDINGS)


def test_what_the_tokenizer_refuses_is_passed_on():
    def refuses(text):
        raise ValueError(text)

    with pytest.raises(ValueError, match="a"):
        even("a", "b", refuses)


def test_few_texts_are_counted():
    seen = []

    def counted(text):
        seen.append(text)
        return 10 if text == "long" else 3

    assert even("long", "short", counted) is None
    assert len(seen) <= 2 + 2 * len(ENDINGS)
