"""Pairs that two prompt sets have in common, whatever their ids: the same observation is no second one."""

from __future__ import annotations

from collections.abc import Iterable
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


@dataclass(frozen=True)
class Twin:
    """A pair of a set that another pair is the same observation as.

    Attributes
    ----------
    id : str
        The set's.
    is_mirrored : bool
        Whether the sides are exchanged.
    """

    id: str
    is_mirrored: bool


def twin_of(pair: PromptPair, pairs: Iterable[PromptPair]) -> Twin | None:
    """Find the pair among others that has the same texts, or the same with the sides exchanged, as in `overlap`.

    Examples
    --------
    >>> from plantain.prompts.sets import PromptPair
    >>> own = PromptPair("p1", "c", "Ana helps.", "Ana hurries.")
    >>> twin_of(PromptPair("new", "c", "Ana hurries", "ana helps"), [own])
    Twin(id='p1', is_mirrored=True)
    """
    key = sides_key(pair)
    keys = ((other.id, sides_key(other)) for other in pairs)
    return next((Twin(name, found != key) for name, found in keys if found in (key, key[::-1])), None)


@lru_cache(256)
def _keys(pairs: tuple[PromptPair, ...]) -> frozenset[tuple[str, str]]:
    return frozenset(map(sides_key, pairs))
