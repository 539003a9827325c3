"""Features of prompts that the tests classify by."""

from itertools import pairwise

from plantain.prompts.lexical import words


def bigrams(text: str) -> list[str]:
    """List the neighbouring words of a prompt, its beginning and end included."""
    padded = ["^", *words(text), "$"]
    return [f"{here} {there}" for here, there in pairwise(padded)]
