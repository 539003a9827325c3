"""The figures of an atlas, for the page and for a picture that stands without it.

`ATLAS_FIGURES`   name -> `AtlasFigure`
`picture`         a figure with all that has to be known to read it
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from plantain.atlas import Axis
from plantain.figures import NoFigureError
from plantain.plots import axis_triangle, count_bars, replication_plot
from plantain.tables import UNIT_WORDS, weights_words


@dataclass(frozen=True)
class Shown:
    """An atlas, and the axes that it was made of."""

    atlas: dict[str, Any]
    axes: list[Axis]

    @property
    def of(self) -> str:
        """What was counted."""
        return f"{UNIT_WORDS[self.atlas['units']]}, scope {self.atlas['scope']}"


@dataclass(frozen=True)
class AtlasFigure:
    """What draws a figure and what is said of it.

    Attributes
    ----------
    draw : callable
        (what is shown, the title) -> SVG; raises `NoFigureError` where there is nothing to draw.
    title, how : callable
        What it shows; how to read it.
    """

    draw: Callable[[Shown, str], str]
    title: Callable[[Shown], str]
    how: Callable[[Shown], str]


def picture(name: str, shown: Shown) -> str:
    """Draw a figure whose title says how to read it, and which weights made it.

    Raises
    ------
    NoFigureError
        The atlas does not have it.
    """
    figure = ATLAS_FIGURES[name]
    return figure.draw(shown, f"{figure.title(shown)}. {figure.how(shown)} {weights_words(shown.axes[0].run)}")


# --- units on new pairs ------------------------------------------------------------------------------------


def _replication(shown: Shown, title: str) -> str:
    found, (first, second) = shown.atlas["replication"], _first_and_again(shown)
    t = np.stack([axis.run.analysis(shown.atlas["units"], shown.atlas["scope"]).t for axis in (first, second)])
    return replication_plot(t, found, (first.name, second.name), title)


def _first_and_again(shown: Shown) -> tuple[Axis, Axis]:
    found = shown.atlas["replication"]
    if found is None:
        raise NoFigureError("There is no run of the replication, prompts/moral_valence_replication.toml.")
    return shown.axes[0], next(axis for axis in shown.axes if axis.name == found["name"])


def _replication_title(shown: Shown) -> str:
    first, second = _first_and_again(shown)
    return f"Units chosen on {first.name}, measured on the new pairs of {second.name}; {shown.of}"


def _replication_how(shown: Shown) -> str:
    found = shown.atlas["replication"]
    low, high = found["interval"]
    interval = "" if low is None or high is None else f", with the 95% interval {low:+.2f} to {high:+.2f}"
    return (
        f"Dots are the {len(found['units'])} units with the largest |t| on the first set, which alone chose them and "
        f"their signs: {found['n_same_sign']} keep their sign on the new pairs (full dots, shaded quarters), the "
        "others are open. Squares are all units. On the dashed line t would be as large again; chosen units are "
        f"expected to fall below it. Under it the mean score of {found['n_pairs']} new pairs on the chosen units"
        f"{interval}."
    )


# --- all axes ----------------------------------------------------------------------------------------------


def _counts_title(shown: Shown) -> str:
    return f"Units over |t| > 3 on each axis; {shown.of}"


def _counts_how(shown: Shown) -> str:
    return (
        "The dashed line on a bar is what 99% of its own sign flips do not exceed. Orange is the axis that is asked "
        "about, and lighter its replication; blue are siblings; controls are grey, and the noise floor stands last."
    )


def _triangle(shown: Shown, title: str) -> str:
    found = {(row["first"], row["second"]): row["true_r"] for row in shown.atlas["between"]}
    return axis_triangle([axis["name"] for axis in shown.atlas["axes"]], found, title)


def _triangle_how(shown: Shown) -> str:
    return (
        "A name ends its row and stands on top of its column. Orange is the same direction, blue the opposite one, "
        "strength the size up to 1. The unreliability of both maps is taken out, so that it may exceed 1 by chance; a "
        "dashed cell has no value: a map there does not agree with itself."
    )


ATLAS_FIGURES = {
    "replication": AtlasFigure(_replication, _replication_title, _replication_how),
    "counts": AtlasFigure(lambda shown, title: count_bars(shown.atlas["axes"], "3", title), _counts_title, _counts_how),
    "correlations": AtlasFigure(
        _triangle, lambda shown: f"Correlation of the maps of t of every two axes; {shown.of}", _triangle_how
    ),
}
"""Name -> figure, in the order of the page."""
