"""Confounds of a prompt set: what else than its meaning tells the two sides apart, and what repeats, in sentences.

A sign-flip null rejects any systematic difference between the sides, a lexical one as readily as one of meaning. Tests
hold the project's own sets to this; the owner of any other set gets a warning.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from plantain.prompts import lexical
from plantain.prompts.diff import ALIKE
from plantain.prompts.overlap import overlap
from plantain.prompts.sets import PromptSet, is_shipped, known_sets, shipped_file

LEVEL = 0.05  # of a sign test or a binomial test, one question at a time

_EARLY, _LATE = 0.4, 0.6  # of the sentence

_SHARE = 0.2  # of the pairs, at least, should part early, and as many late: 5 of 25

_REPEATED = 0.6  # of the words of a pair; two shipped pairs share at most 0.47

_SHOWN = 5  # names in a sentence; the rest are counted


@dataclass(frozen=True)
class Confound:
    """One thing that tells the sides apart.

    Attributes
    ----------
    kind : str
        ``word counts``, ``words``, ``negations``, ``lengths``, ``onsets``, ``classifiers``, ``unlike``, ``repeats``,
        ``reading`` or ``tokens``.
    text : str
        What is found, and why it matters.
    pairs : tuple of str
        Ids of the pairs that it is about; empty where it is about all.
    """

    kind: str
    text: str
    pairs: tuple[str, ...] = ()


def find_confounds(prompt_set: PromptSet, count_tokens: Callable[[str], int] | None = None) -> list[Confound]:
    """Find what else than its meaning tells the two sides of a set apart, and pairs that are nearly one.

    Parameters
    ----------
    prompt_set : PromptSet
    count_tokens : callable, optional
        Counts the tokens of a prompt's words; without it tokens are left out.

    Returns
    -------
    list of Confound
        Empty where nothing is found, which is no proof that there is nothing.

    Notes
    -----
    What points to one side in `a` pairs and to the other in `b` is reported where a two-sided sign test of `a` against
    `b` has p <= 0.05, or where the difference exceeds half of all pairs (`lopsided`): with a handful of pairs no sign
    test reaches 0.05. The tests are not corrected for each other: a false alarm costs a look.
    """
    found = [*_of_words(prompt_set), *_reading(prompt_set)]  # a reading is no part of what makes two sets equal
    if count_tokens is not None:
        counts = lexical.unequal_counts(prompt_set.pairs, count_tokens)
        found += _unequal("tokens", "tokens of the loaded model", counts, prompt_set)
    return found


def confounds_of_own_set(prompt_set: PromptSet, count_tokens: Callable[[str], int] | None = None) -> list[str]:
    """Return the confounds of a user's set as sentences; none for a shipped set, whose file says more."""
    known = known_sets()
    if is_shipped(prompt_set.sha256):
        return []
    found = [] if prompt_set.sha256 in known else [*_twins(prompt_set)]
    return found + [confound.text for confound in find_confounds(prompt_set, count_tokens)]


def _twins(prompt_set: PromptSet) -> Iterator[str]:
    """Tell where a set holds the pairs of one of the project's own, as they are or with their sides exchanged."""
    for sha256, (_, known) in known_sets().items():
        if (found := overlap(prompt_set.pairs, known.pairs)).is_whole:
            yield found.words("This set", shipped_file(sha256, ""))


# --- thresholds --------------------------------------------------------------------------------------------


def lopsided(positive: int, negative: int, n_pairs: int) -> bool:
    """Tell whether something points to one side too often: by a sign test, or in more than half of all pairs.

    Parameters
    ----------
    positive, negative : int
        Pairs in which it points to the positive, and to the negative side.
    n_pairs : int
        All pairs, those in which it points nowhere included.
    """
    one_sided = _upper_tail(max(positive, negative), positive + negative)
    return 2 * one_sided <= LEVEL or abs(positive - negative) > n_pairs / 2


def telling_score(n_pairs: int) -> int:
    """Return how many of `n_pairs` a classifier gets right that a coin would not: p <= 0.05, or all of them."""
    return next((k for k in range(n_pairs) if _upper_tail(k, n_pairs) <= LEVEL), n_pairs)


@lru_cache(4096)
def _upper_tail(k: int, n: int) -> float:
    """Return the probability of k heads or more in n throws of a coin."""
    return sum(math.comb(n, i) for i in range(k, n + 1)) / 2**n


# --- the checks --------------------------------------------------------------------------------------------


@lru_cache(16)
def _of_words(prompt_set: PromptSet) -> tuple[Confound, ...]:
    counts = lexical.unequal_word_counts(prompt_set.pairs)
    found = [*_unequal("word counts", "words", counts, prompt_set)]
    for check in (_words, _negations, _lengths, _classifiers, _unlike, _onsets, _repeats):
        found += check(prompt_set)
    return tuple(found)


def _unequal(kind: str, what: str, found: list[tuple[str, int, int]], prompt_set: PromptSet) -> Iterator[Confound]:
    """Tell of pairs whose sides differ in a number that should be equal: any is one too many."""
    if not found:
        return
    names, noun = tuple(name for name, *_ in found), what.partition(" ")[0]
    where, why = _tilt([here - there for _, here, there in found], "more on", f"counts {noun}", prompt_set)
    why = why or f"A head that counts {noun} answers to these pairs, whatever they mean."
    yield Confound(kind, f"{_of(names, prompt_set)} unequal numbers of {what} ({where}): {_list(names)}. {why}", names)


def _words(prompt_set: PromptSet) -> Iterator[Confound]:
    n = len(prompt_set.pairs)
    rows = lexical.by_imbalance(lexical.one_sided_pairs(prompt_set.pairs))
    found = [row for row in rows if lopsided(row[1], row[2], n)]
    if not found:
        return
    shown = _list([f"“{word}” {here}/{there}" for word, here, there in found])
    word, here, there = found[0]
    variance = (here + there - (here - there) ** 2 / n) / (n - 1)  # of a count that differs by 1 in some pairs
    size = f"has |t| = {abs(here - there) / math.sqrt(n * variance):.1f}" if variance else "has a |t| without limit"
    side = prompt_set.positive if here > there else prompt_set.negative
    yield Confound(
        "words",
        f"Words that stand on one side only (“{prompt_set.positive}”/“{prompt_set.negative}”, of {n} pairs): {shown}. "
        f"A head that does nothing but count “{word}” {size}, and would look like a head for “{side}”.",
    )


def _negations(prompt_set: PromptSet) -> Iterator[Confound]:
    found = lexical.unequal_counts(prompt_set.pairs, lexical.negation_count)
    names = tuple(name for name, *_ in found)
    where, why = _tilt([here - there for _, here, there in found], "more on", "answers to “not”", prompt_set)
    if why:
        what = "unequal numbers of English negations, such as “not” or “ignores”"
        yield Confound("negations", f"{_of(names, prompt_set)} {what} ({where}). {why}", names)


def _lengths(prompt_set: PromptSet) -> Iterator[Confound]:
    diffs = lexical.length_differences(prompt_set.pairs)
    where, why = _tilt(diffs.tolist(), "longer on", "measures length", prompt_set)
    if why:
        size = f"of {len(diffs)} pairs; {abs(diffs.mean()):.1f} characters on average"
        yield Confound("lengths", f"The longer prompt is most often on one side ({where}, {size}). {why}")


def _classifiers(prompt_set: PromptSet) -> Iterator[Confound]:
    pairs = prompt_set.pairs
    margins = {"naive Bayes": lexical.naive_bayes_margins(pairs), "ridge": lexical.ridge_margins(pairs)}
    scores = {name: lexical.right(margin) for name, margin in margins.items()}
    telling = [f"{name} {score:g}" for name, score in scores.items() if score >= telling_score(len(pairs))]
    if telling:
        yield Confound(
            "classifiers",
            f"A bag of words tells the sides apart: taught by the other pairs, it gets {' and '.join(telling)} of "
            f"{len(pairs)} left-out pairs right (a coin gets {len(pairs) / 2:g}). Heads that answer to word forms, not "
            f"to their meaning, would look like heads for “{prompt_set.positive}”.",
        )


def _unlike(prompt_set: PromptSet) -> Iterator[Confound]:
    names = tuple(pair.id for pair in prompt_set.pairs if lexical.common_share(pair) < ALIKE)
    if names:
        more = f"There much more differs than “{prompt_set.positive}” and “{prompt_set.negative}”."
        text = f"{_of(names, prompt_set)} less than half of their words in common: {_list(names)}. {more}"
        yield Confound("unlike", text, names)


def _onsets(prompt_set: PromptSet) -> Iterator[Confound]:
    onsets = np.array([lexical.relative_onset(pair) for pair in prompt_set.pairs])
    early, late, n = (onsets < _EARLY).sum(), (onsets > _LATE).sum(), len(onsets)
    if min(early, late) < max(1, math.floor(_SHARE * n)):
        yield Confound(
            "onsets",
            f"The two prompts part early (in the first {_EARLY:.0%} of their words) in {early} of {n} pairs and late "
            f"(after {_LATE:.0%}) in {late}. What stands before is the same to the text encoder, so all that differs "
            "sits in like places: where a change stands cannot be told from what it means.",
        )


def _repeats(prompt_set: PromptSet) -> Iterator[Confound]:
    found = {(one, other): f"{share:.0%}" for one, other, share in lexical.near_duplicates(prompt_set.pairs, _REPEATED)}
    found = dict.fromkeys(lexical.same_scenes(prompt_set.pairs), "other names") | found
    if found:
        names = tuple(dict.fromkeys(name for two in found for name in two))
        shown = _list([f"{one} and {other} ({how})" for (one, other), how in found.items()])
        yield Confound(
            "repeats",
            f"{_of(names, prompt_set)} more than {_REPEATED:.0%} of their words in common with another pair, or all "
            f"but the names: {shown}. The sign flips take every pair for an observation of its own: the same scene "
            "twice makes chance look like a result.",
            names,
        )


_READ = {
    "nearer": ("the agent is nearer to the other person", "measures nearness"),
    "attentive": ("the agent is more attentive to the other person", "measures attention"),
    "new_object": ("a thing is named that the other side lacks", "counts things"),
}


def _reading(prompt_set: PromptSet) -> Iterator[Confound]:
    """Count what somebody read in the pairs who did not see their sides; nothing where nobody did."""
    for key, (what, does) in _READ.items():
        read = {pair.id: getattr(pair, key) for pair in prompt_set.pairs if getattr(pair, key)}
        signs = [1 if side == "positive" else -1 for side in read.values()]
        where, why = _tilt(signs, f"as it was read, {what} on", does, prompt_set)
        if why:
            of = f"{len(read)} of {len(prompt_set.pairs)} pairs"
            yield Confound("reading", f"In {of}, {where}. {why}", tuple(read))


# --- words for them ----------------------------------------------------------------------------------------


def _tilt(differences: Sequence[float], what: str, does: str, prompt_set: PromptSet) -> tuple[str, str]:
    """Say on which side there is more, and, where that is one side too often, what would look like a head for it."""
    more, less = (sum(sign * difference > 0 for difference in differences) for sign in (1, -1))
    where = f"{what} the side “{prompt_set.positive}” in {more}, “{prompt_set.negative}” in {less}"
    side = prompt_set.positive if more > less else prompt_set.negative
    why = f"A head that {does} would look like a head for “{side}”."
    return where, why if lopsided(more, less, len(prompt_set.pairs)) else ""


def _of(names: Sequence[str], prompt_set: PromptSet) -> str:
    return f"{len(names)} of {len(prompt_set.pairs)} pairs {'has' if len(names) == 1 else 'have'}"


def _list(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
