"""The pairs of the picture book's prompt sets, drawn with fixed seeds; `prompts/picture-book/` has them as files.

A set says of its scenes as much on one side as on the other. Who acts, where, how large and in which shape of sentence
is spread evenly over the pairs of a category.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from plantain.models.picture_book.grammar import (
    HELPING,
    N_TRAINED,
    NEUTRAL,
    NOT_HELPING,
    SEEN,
    SHAPES,
    caption,
    verbs,
)
from plantain.models.picture_book.world import NAMES, NEEDS, PLACES, Scene

N_PAIRS = 25

_UNSEEN = NAMES[len(SEEN) :]
"""The names with which training does not show the held-out verbs."""

_WRONGS = ("purse", "apple")  # needs whose verbs of not helping are wrongdoing

_SIDES = {"helps": HELPING, "does not": NOT_HELPING}

_CATEGORY = {"helps": "helping", "does not": "not helping", "none": "nobody in need"}

_BOTH = (True, False)


@dataclass(frozen=True)
class Pair:
    """Two captions of one scene that differ in one thing.

    Attributes
    ----------
    id, category, positive, negative : str
    kind : str
        ``neglect`` or ``wrongdoing`` where the negative side does not help and the positive one does; else empty.
    """

    id: str
    category: str
    positive: str
    negative: str
    kind: str = ""


def build(name: str) -> tuple[Pair, ...]:
    """Draw the pairs of a set.

    Parameters
    ----------
    name : str
        A key of `SETS`.

    Returns
    -------
    tuple of Pair
        `N_PAIRS` of them, the same in every call.
    """
    pairs = tuple(SETS[name](np.random.default_rng([19, *name.encode()])))
    assert len(pairs) == len({pair.id for pair in pairs}) == N_PAIRS
    return pairs


def _moral(rng: np.random.Generator, crossed: bool = False) -> list[Pair]:
    """Oppose trained verbs of the two sides of a need; crossed, both sides say one distance and one look."""
    blocks = [N_TRAINED] * len(NEEDS)
    scenes = _scenes(rng, list(np.repeat(NEEDS, N_TRAINED)), "helps", blocks)
    return _opposed(rng, scenes, _spread(rng, SHAPES, blocks), held_out=False, said=crossed)


def _replication(rng: np.random.Generator) -> list[Pair]:
    """Oppose held-out verbs, in shapes and with names in which training does not show them."""
    blocks = [N_TRAINED] * len(NEEDS)
    scenes = _scenes(rng, list(np.repeat(NEEDS, N_TRAINED)), "helps", blocks, _UNSEEN)
    return _opposed(rng, scenes, _spread(rng, SHAPES[1:], blocks), held_out=True, said=False)


def _opposed(
    rng: np.random.Generator, scenes: list[Scene], shapes: list[int], held_out: bool, said: bool
) -> list[Pair]:
    pairs, left = [], {(act, need): _shuffled(rng, _verbs(act, need, held_out)) for act in _SIDES for need in NEEDS}
    for scene, shape in zip(scenes, shapes, strict=True):
        words = [left[act, scene.need].pop() for act in _SIDES]
        texts = [caption(scene, verb, shape, distance=said, look=said) for verb in words]
        kind = "wrongdoing" if scene.need in _WRONGS else "neglect"
        pairs.append(Pair("-".join(words), scene.need, *texts, kind))
    return pairs


def _nearness(rng: np.random.Generator) -> list[Pair]:
    return _one_word(rng, (13, 6, 6), "near", *_BOTH, varied="look")


def _attention(rng: np.random.Generator) -> list[Pair]:
    return _one_word(rng, (13, 6, 6), "facing", *_BOTH, varied="distance")


def _size(rng: np.random.Generator) -> list[Pair]:
    return _one_word(rng, (9, 8, 8), "tall", *_BOTH)


def _place(rng: np.random.Generator) -> list[Pair]:
    return _one_word(rng, (9, 8, 8), "place", "park", "beach")


def _one_word(
    rng: np.random.Generator, numbers: tuple[int, int, int], factor: str, here: Any, there: Any, varied: str = ""
) -> list[Pair]:
    """Change one factor of a scene and nothing else.

    Parameters
    ----------
    rng : numpy.random.Generator
    numbers : tuple of int
        Of pairs without need, of helping and of not helping.
    factor : str
        The field of `Scene` that differs: `here` on the positive side, `there` on the negative one.
    varied : str
        What is said in half of the pairs, equal on both sides: ``look``, ``distance``, or nothing.
    """
    acts = ("none", "helps", "does not")
    scenes = [s for act, n in zip(acts, numbers, strict=True) for s in _scenes(rng, _needs(rng, act, n), act, [n])]
    shapes, saying = _spread(rng, SHAPES, numbers), _spread(rng, _BOTH, numbers)
    left = {(act, need): _shuffled(rng, _verbs(act, need, False)) for act in _SIDES for need in NEEDS}
    always = {"near": "distance", "facing": "look"}.get(factor)
    pairs = []
    for scene, shape, says in zip(scenes, shapes, saying, strict=True):
        verb = left[scene.act, scene.need].pop() if scene.need else NEUTRAL
        said = {"distance": always == "distance", "look": always == "look"} | ({varied: says} if varied else {})
        texts = [caption(replace(scene, **{factor: level}), verb, shape, **said) for level in (here, there)]
        name = f"{scene.actor}-{verb}-{scene.other}".lower()
        pairs.append(Pair(name, _CATEGORY[scene.act], *texts))
    return pairs


def _paraphrase(rng: np.random.Generator) -> list[Pair]:
    """Set two verbs of one side beside each other: four pairs a need of trained verbs, one of held-out ones."""
    pairs, last = [], _spread(rng, tuple(_SIDES), [len(NEEDS)])
    for need, act in zip(NEEDS, last, strict=True):
        acts = ["helps", "helps", "does not", "does not"]
        trained = [s for a in _SIDES for s in _scenes(rng, [need] * 2, a, [2])]
        left = {a: _shuffled(rng, _verbs(a, need, False)) for a in _SIDES}
        shapes = _spread(rng, SHAPES, [len(acts)])
        rows = [(scene, shape, left[a]) for scene, shape, a in zip(trained, shapes, acts, strict=True)]
        rows += [(_scenes(rng, [need], act, [1], SEEN)[0], SHAPES[0], _shuffled(rng, _verbs(act, need, True)))]
        for scene, shape, known in rows:
            words = [known.pop(), known.pop()]
            texts = [caption(scene, verb, shape, distance=False, look=False) for verb in words]
            pairs.append(Pair("-".join(words), need, *texts))
    return pairs


SETS: dict[str, Callable[[np.random.Generator], list[Pair]]] = {
    "moral": _moral,
    "moral_crossed": lambda rng: _moral(rng, crossed=True),
    "replication": _replication,
    "nearness": _nearness,
    "attention": _attention,
    "size": _size,
    "place": _place,
    "paraphrase": _paraphrase,
}
"""The sets by the names of their files, each drawn from its own stream."""


# --- drawing -----------------------------------------------------------------------------------------------


def _verbs(act: str, need: str, held_out: bool) -> tuple[str, ...]:
    return verbs(Scene("", "", need, act, True, True, True, ""), held_out)


def _needs(rng: np.random.Generator, act: str, n: int) -> list[str]:
    return [""] * n if act == "none" else _spread(rng, NEEDS, [n])


def _scenes(
    rng: np.random.Generator, needs: Sequence[str], act: str, blocks: Sequence[int], names: tuple[str, ...] = NAMES
) -> list[Scene]:
    """Draw scenes with all but need and act spread over them; of eight names nobody acts twice on the same other."""
    actors = _spread(rng, names, blocks)
    while True:
        others = _spread(rng, names, blocks)
        met = list(zip(actors, others, strict=True))
        if all(one != other for one, other in met) and (len(names) < len(NAMES) or len(set(met)) == len(met)):
            break
    manners = _spread(rng, [(near, facing) for near in _BOTH for facing in _BOTH], blocks)
    talls, places = _spread(rng, _BOTH, blocks), _spread(rng, tuple(PLACES), blocks)
    columns = zip(actors, others, needs, manners, talls, places, strict=True)
    return [Scene(a, o, str(need), act, *manner, tall, place) for a, o, need, manner, tall, place in columns]


def _spread(rng: np.random.Generator, levels: Sequence[Any], blocks: Sequence[int]) -> list[Any]:
    """Draw a level for each of so many pairs: all levels as often as each other, up to one, in each block too."""
    order = _shuffled(rng, levels)
    column = [order[i % len(order)] for i in range(sum(blocks))]
    return [level for i, k in pairwise(np.cumsum([0, *blocks])) for level in _shuffled(rng, column[i:k])]


def _shuffled(rng: np.random.Generator, items: Sequence[Any]) -> list[Any]:
    return [items[i] for i in rng.permutation(len(items))]
