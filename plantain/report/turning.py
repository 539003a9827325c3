"""What turned heads of one pair show, in words."""

from __future__ import annotations

from collections.abc import Sequence

from plantain.report.labels import weights_label
from plantain.report.numbers import counted
from plantain.runs.info import RunInfo

CHANGES = {"off": 0.0, "half": 0.5, "normal": 1.0, "double": 2.0, "patch": None}
"""What is done to heads: what they write is multiplied by a gain; or, None, replaced by that of the other side."""

CHANGE_WORDS = {
    "off": "turned off",
    "half": "at half strength",
    "normal": "as they are",
    "double": "at double strength",
    "patch": "patched from the other side",
}

_NAMED = 3  # heads by their names

TURN_CLAIM = (
    "0 is no change, 1 the whole way to the other side; below 0 it leads away. How far says nothing of why: the heads "
    "may carry anything in which the two sides of this pair differ."
)


def heads_words(spec: str, names: Sequence[str]) -> str:
    """Name heads as they were asked for: the top ones, random ones, others of the same blocks, or by name.

    Examples
    --------
    >>> heads_words("top:1", ["single[2] head 4"])
    'the top head (single[2] head 4)'
    >>> heads_words("others", ["joint[0] head 1", "joint[1] head 3"])
    '2 other heads of the same blocks'
    """
    n, named = len(names), f" ({names[0]})" if len(names) == 1 else ""
    kind, _, number = spec.partition(":")
    if kind in ("top", "random") and number:
        return f"the {kind} head{named}" if named else f"the {kind} {n} heads"
    if kind == "others":
        return f"another head of the same block{named}" if named else f"{n} other heads of the same blocks"
    return ", ".join(names) if n <= _NAMED else counted(n, "head")


def turn_sentences(
    info: RunInfo,
    heads: Sequence[str],
    change: str,
    sides: tuple[str, str],
    shares: Sequence[tuple[float, float]],
) -> list[str]:
    """Say what a turn does, then the same of the heads beside it, then whose weights these are.

    Parameters
    ----------
    info : RunInfo
    heads : sequence of str
        Both sets in words, from `heads_words`.
    change : str
        Of `CHANGES`.
    sides : tuple of str
        Names of the side that is changed, and of the other one.
    shares : sequence of (float, float)
        Of both sets: along the way to the other side, and beside it.
    """
    (on, off), (also_on, also_off) = shares
    return [
        f"With {heads[0]} {CHANGE_WORDS[change]}, the picture that the model expects for “{sides[0]}” moves "
        f"{_share(on)} of the way to that for “{sides[1]}”, and {_share(off)} in other directions.",
        f"With {heads[1]} {CHANGE_WORDS[change]}, it moves {_share(also_on)} of it, and {_share(also_off)} in others.",
        f"Weights: {weights_label(info)}.",
    ]


def _share(value: float) -> str:
    """Write a share; what rounds to nothing has no sign."""
    return f"{value:.2f}".replace("-0.00", "0.00")
