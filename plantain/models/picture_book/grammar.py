"""The captions of the picture book: three shapes of sentences over a small vocabulary.

Every need has ten verbs for helping and ten for not helping. The first five of each are for the moral set; the last
five are held out: training sees them in the first shape and with the first four names only.
"""

from __future__ import annotations

import numpy as np

from plantain.models.picture_book.world import NAMES, PLACES, Scene, draw_scene

HELPING = {
    "fallen": ("lifts", "raises", "steadies", "rescues", "supports", "carries", "assists", "saves", "aids", "uplifts"),
    "alone": ("comforts", "consoles", "befriends", "cheers", "welcomes",
              "hugs", "soothes", "encourages", "invites", "embraces"),
    "purse": ("alerts", "refunds", "notifies", "reimburses", "guides",
              "informs", "repays", "warns", "compensates", "obliges"),
    "apple": ("feeds", "treats", "nourishes", "sustains", "supplies",
              "hosts", "nurtures", "satisfies", "delights", "refreshes"),
    "rain": ("shelters", "covers", "protects", "shields", "warms", "guards", "dries", "defends", "screens", "escorts"),
}  # fmt: skip
"""Verbs of helping in the third person, by what the other needs."""

NOT_HELPING = {
    "fallen": ("ignores", "abandons", "passes", "deserts", "leaves",
               "bypasses", "forsakes", "sidesteps", "skips", "outruns"),
    "alone": ("shuns", "avoids", "snubs", "rejects", "spurns",
              "excludes", "dismisses", "neglects", "rebuffs", "isolates"),
    "purse": ("robs", "cheats", "deceives", "swindles", "tricks",
              "betrays", "defrauds", "fleeces", "dupes", "plunders"),
    "apple": ("starves", "taunts", "deprives", "mocks", "teases",
              "insults", "torments", "spites", "derides", "ridicules"),
    "rain": ("disregards", "overlooks", "forgets", "misses", "evades",
             "eludes", "dodges", "slights", "scorns", "disdains"),
}  # fmt: skip
"""Verbs of neglect, and with the purse and the apple of wrongdoing, by what the other needs."""

NEUTRAL = "meets"
"""The verb of a scene without need."""

N_TRAINED = 5  # verbs of a side and a need that training sees in every shape

SHAPES = range(3)

SEEN = NAMES[: len(NAMES) // 2]
"""The names with which training sees the held-out verbs."""

NEED_WORDS = {
    "fallen": "has fallen", "alone": "sits alone", "purse": "lost a purse", "apple": "is hungry",
    "rain": "stands in rain",
}  # fmt: skip
"""What is said of who needs something."""

_WHERE = {name: f"{'on' if name == 'beach' else 'in'} the {name}" for name in PLACES}
_SIZE = {True: "tall", False: "short"}
_DISTANCE = {True: "close by", False: "far off"}
_LOOK = {True: "facing them", False: "facing away"}

ENDINGS = (*_WHERE.values(), *_DISTANCE.values(), *_LOOK.values())
"""What a caption may end with, after a comma."""


def verbs(scene: Scene, held_out: bool) -> tuple[str, ...]:
    """Return the verbs that a scene's act can be said with: the trained or the held-out ones."""
    if scene.act == "none":
        return (NEUTRAL,)
    all_verbs = (HELPING if scene.act == "helps" else NOT_HELPING)[scene.need]
    return all_verbs[N_TRAINED:] if held_out else all_verbs[:N_TRAINED]


def caption(
    scene: Scene, verb: str, shape: int, size: bool = True, distance: bool = True, look: bool = True, place: bool = True
) -> str:
    """Say what a scene shows.

    Parameters
    ----------
    scene : Scene
    verb : str
    shape : int
        One of `SHAPES`.
    size, distance, look, place : bool
        Whether the caption says it.

    Returns
    -------
    str

    Examples
    --------
    >>> from plantain.models.picture_book.world import Scene
    >>> caption(Scene("Ana", "Ben", "apple", "helps", True, True, True, "park"), "feeds", 0)
    'Tall Ana feeds Ben, who is hungry, in the park, close by, facing them.'
    """
    actor = f"{_SIZE[scene.tall]} {scene.actor}" if size else scene.actor
    where = _WHERE[scene.place] if place else ""
    need = NEED_WORDS.get(scene.need, "")
    act = f"{actor} {verb} {scene.other}"
    more = [_DISTANCE[scene.near]] * distance + [_LOOK[scene.facing]] * look
    if shape == 0:
        parts = [act, f"who {need}" if need else "", where, *more]
    elif shape == 1:
        parts = [where, act, f"who {need}" if need else "", *more]
    else:
        start = " ".join(filter(None, (scene.other, need or "is here", where)))
        parts = [f"{start}, and {act}", *more]
    text = ", ".join(filter(None, parts))
    return f"{text[0].upper()}{text[1:]}."


def draw_caption(rng: np.random.Generator) -> tuple[Scene, str]:
    """Draw a scene and a caption as training sees them: held-out verbs in the first shape and with `SEEN` names only.

    Size is said in three captions of four, distance and look each in one of two, place in nine of ten.
    """
    held_out = bool(rng.random() < 0.3)
    scene = draw_scene(rng, SEEN if held_out else NAMES)
    known = verbs(scene, held_out)
    verb = known[rng.integers(len(known))]
    shape = 0 if held_out else int(rng.integers(len(SHAPES)))
    said = (bool(rng.random() < share) for share in (0.75, 0.5, 0.5, 0.9))
    return scene, caption(scene, verb, shape, *said)


def vocabulary() -> list[str]:
    """Return every word of the captions, in order, as it stands at the start and within a sentence."""
    phrases = [*NAMES, *NEED_WORDS.values(), *_WHERE.values(), *_SIZE.values(), *_DISTANCE.values(), *_LOOK.values()]
    phrases += [*sum(HELPING.values(), ()), *sum(NOT_HELPING.values(), ()), NEUTRAL, "who", "is here", "and"]
    return sorted({word for phrase in phrases for word in phrase.split()})
