"""Pairs that two prompt sets have in common, whatever their ids: the same observation is no second one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from plantain.prompts.sets import PromptPair, sides_key


@dataclass(frozen=True)
class Overlap:
    """Pairs in common.

    Attributes
    ----------
    n_same, n_mirrored : int
        With the sides as they are, and exchanged.
    n_pairs : int
        Of the smaller set.
    is_whole : bool
        Whether neither set has a pair that the other lacks.
    """

    n_same: int
    n_mirrored: int
    n_pairs: int
    is_whole: bool

    def words(self, one: str, other: str) -> str:
        """Say in a sentence what two sets that hold the same pairs are to each other."""
        if not self.n_mirrored:
            return f"{one} and {other} hold the same pairs: a set stands once."
        if not self.n_same:
            return (
                f"{one} is {other} with all sides exchanged: the same question with the opposite sign. A set stands "
                "once."
            )
        return f"{one} and {other} hold the same pairs, {self.n_mirrored} with the sides exchanged: a set stands once."


def overlap(one: tuple[PromptPair, ...], other: tuple[PromptPair, ...]) -> Overlap:
    """Count the pairs that two sets have in common; texts count as in `sets.same_text`."""
    here, there = _keys(one), _keys(other)
    same, mirrored = len(here & there), len(here & {key[::-1] for key in there})
    smaller = min(len(here), len(there))
    return Overlap(same, mirrored, smaller, same + mirrored == len(here) == len(there))


@lru_cache(256)
def _keys(pairs: tuple[PromptPair, ...]) -> frozenset[tuple[str, str]]:
    return frozenset(map(sides_key, pairs))
