"""Measures of a prompt set's words: counts, sides of word forms, and classifiers on a bag of words."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from plantain.prompts.sets import PromptPair

SMOOTHING = 1.0

RIDGE = 1.0

_TIE = 1e-9  # a margin below it is rounding

NEGATIONS = frozenset(
    """not no never none nobody nothing nowhere neither nor without cannot
    refuse refuses ignore ignores fail fails decline declines deny denies unanswered""".split()
)


# --- words and sides ---------------------------------------------------------------------------------------


def words(text: str) -> list[str]:
    """Split a prompt into lower-case word forms, hyphens and apostrophes kept inside."""
    return re.findall(r"\w+(?:['\u2019-]\w+)*", text.lower())


def negation_count(text: str) -> int:
    """Count the English negations of a prompt, contractions included."""
    return sum(word in NEGATIONS or word.endswith(("n't", "n\u2019t")) for word in words(text))


def unequal_counts(pairs: Iterable[PromptPair], count: Callable[[str], int]) -> list[tuple[str, int, int]]:
    """List the pairs whose sides differ in a count: id, positive, negative."""
    counts = ((pair.id, count(pair.positive), count(pair.negative)) for pair in pairs)
    return [entry for entry in counts if entry[1] != entry[2]]


def unequal_word_counts(pairs: Iterable[PromptPair]) -> list[tuple[str, int, int]]:
    """List the pairs whose sides differ in their number of words."""
    return unequal_counts(pairs, lambda text: len(words(text)))


def one_sided_pairs(pairs: Iterable[PromptPair]) -> dict[str, tuple[int, int]]:
    """Map each word form to the pairs that have it on the positive side only, and on the negative only."""
    positive, negative = Counter(), Counter()
    for pair in pairs:
        here, there = set(words(pair.positive)), set(words(pair.negative))
        positive.update(here - there)
        negative.update(there - here)
    return {word: (positive[word], negative[word]) for word in positive | negative}


def by_imbalance(one_sided: dict[str, tuple[int, int]]) -> list[tuple[str, int, int]]:
    """Sort one-sided word forms, the most unbalanced first."""
    rows = [(word, *counts) for word, counts in one_sided.items()]
    return sorted(rows, key=lambda row: (-abs(row[1] - row[2]), -row[1] - row[2], row[0]))


def differing_positions(pair: PromptPair) -> list[int]:
    """List the word positions, from 0, at which the two sides of a pair differ; one that ends earlier differs there."""
    sides = itertools.zip_longest(words(pair.positive), words(pair.negative))
    return [position for position, (here, there) in enumerate(sides) if here != there]


def relative_onset(pair: PromptPair) -> float:
    """Return how far into the sentence the sides part: 0 at the first word, 1 at the last, or where none differs."""
    last = max(len(words(pair.positive)), len(words(pair.negative))) - 1
    return next(iter(differing_positions(pair)), last) / last if last > 0 else 0.0


def length_differences(pairs: Iterable[PromptPair]) -> np.ndarray:
    """Return the characters by which each positive side is longer, shape (n_pairs,)."""
    return np.array([len(pair.positive) - len(pair.negative) for pair in pairs])


def common_share(pair: PromptPair) -> float:
    """Return the share of all words of a pair that both sides have, in whatever order, from 0 to 1."""
    here, there = Counter(words(pair.positive)), Counter(words(pair.negative))
    total = here.total() + there.total()
    return 2 * (here & there).total() / total if total else 1.0


def near_duplicates(pairs: Sequence[PromptPair], share: float) -> list[tuple[str, str, float]]:
    """List two pairs each that share more than `share` of their word forms, the most alike first: ids, and the share.

    The forms are those of both sides of a pair, and the share is of the pair that has fewer, so that words added to
    one of two like scenes do not hide it.
    """
    forms = [set(words(f"{pair.positive} {pair.negative}")) for pair in pairs]
    place = {word: i for i, word in enumerate(sorted(set().union(*forms)))}
    has = np.zeros((len(forms), max(1, len(place))), np.float32)  # float32 holds these counts without rounding
    for i, found in enumerate(forms):
        has[i, [place[word] for word in found]] = 1
    sizes = has.sum(axis=1)
    shares = has @ has.T / np.maximum(np.minimum.outer(sizes, sizes), 1)
    found = [(pairs[i].id, pairs[j].id, float(shares[i, j])) for i, j in np.argwhere(np.triu(shares > share, 1))]
    return sorted(found, key=lambda row: -row[2])


# --- classifiers -------------------------------------------------------------------------------------------
# Each learns a weight per feature from all pairs but one, then says which side of that one is the positive one.


def naive_bayes_margins(pairs: Sequence[PromptPair], features: Callable[[str], list[str]] = words) -> np.ndarray:
    """Return by how much each left-out positive side scores higher, under smoothed log odds; shape (n_pairs,)."""
    sides = [[Counter(features(getattr(pair, side))) for pair in pairs] for side in ("positive", "negative")]
    totals = [Counter(itertools.chain.from_iterable(c.elements() for c in counts)) for counts in sides]
    vocabulary = len(totals[0] | totals[1])
    everything = [total.total() for total in totals]
    margins = []
    for own in zip(*sides, strict=True):
        sizes = [n - counts.total() + SMOOTHING * vocabulary for n, counts in zip(everything, own, strict=True)]
        margin = 0.0
        for word in own[0] | own[1]:
            odds = [totals[side][word] - own[side][word] + SMOOTHING for side in (0, 1)]
            margin += (own[0][word] - own[1][word]) * math.log(odds[0] / sizes[0] * sizes[1] / odds[1])
        margins.append(margin)
    return np.array(margins)


def ridge_margins(pairs: Sequence[PromptPair], features: Callable[[str], list[str]] = words) -> np.ndarray:
    """Return the same under ridge weights that send each difference of presences to +1; shape (n_pairs,).

    Without an intercept this is mirror-symmetric: every difference is also, negated, a case of -1. Leaving one case
    out has a closed form, y - a / diag(K^-1) with a = K^-1 y and K = gram + ridge.
    """
    sides = [[set(features(getattr(pair, side))) for pair in pairs] for side in ("positive", "negative")]
    place = {word: i for i, word in enumerate(sorted(set().union(*sides[0], *sides[1])))}
    diffs = np.zeros((len(pairs), max(1, len(place))), np.float32)  # float32 holds these counts without rounding
    for i, (here, there) in enumerate(zip(*sides, strict=True)):
        diffs[i, [place[word] for word in here - there]] = 1
        diffs[i, [place[word] for word in there - here]] = -1
    inverse = np.linalg.inv((diffs @ diffs.T).astype(float) + RIDGE * np.eye(len(pairs)))
    return 1 - inverse.sum(axis=1) / np.diag(inverse)


def right(margins: np.ndarray) -> float:
    """Count the pairs whose positive side gets the higher score, a tie as one half."""
    return float(np.where(np.abs(margins) < _TIE, 0.5, margins > 0).sum())
