"""Every figure as a picture that stands without the page. Knows nothing about where it is offered.

`FIGURES`          of one run
`COMPARED`         of two runs side by side
`ANSWERED`         of a visitor's pair
`standalone_svg`   any of them with its colours, its ground and its words
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, replace
from xml.etree import ElementTree

import numpy as np

from plantain import PlantainError
from plantain.findings.atlas import Atlas, Axis
from plantain.findings.comparison import compare
from plantain.findings.new_pair import PairResult
from plantain.findings.pairs import by_pair
from plantain.findings.unit import UnitProfile, profile_unit
from plantain.report.figures import (
    axis_triangle,
    count_bars,
    drawn_units,
    heat_map,
    null_histogram,
    pair_dots,
    rank_dots,
    replication_plot,
    scope_bars,
    score_dots,
    split_histogram,
    t_density,
    unit_dots,
)
from plantain.report.labels import UNIT_WORDS, weights_label, weights_words
from plantain.runs.analysis import THRESHOLDS
from plantain.runs.inference import null_reliability
from plantain.runs.run import Run

N_DRAWN = 12  # heads in the picture of a visitor's pair; the table has all


class NoFigureError(PlantainError, ValueError):
    """A figure that this choice of units and scope does not have."""


# --- of one run --------------------------------------------------------------------------------------------


Draw = Callable[[Run, str, str, str], str]
"""(run, units, scope, a unit's name or nothing) -> SVG"""


def _map_of_units(run: Run, units: str, scope: str, _unit: str) -> str:
    drawn = _drawn(units)
    title = f"t of {UNIT_WORDS[drawn]}, {run.info.positive} minus {run.info.negative}, scope {scope}."
    return heat_map(run.analysis(drawn, scope), f"{title} {weights_words(run)}")


def _drawn(units: str) -> str:
    if units == "embedding":
        raise NoFigureError("The prompt embedding has no blocks and no heads to draw. Choose other units.")
    return drawn_units(units)


def _null(row: int) -> Draw:
    def draw(run: Run, units: str, scope: str, _unit: str) -> str:
        a = run.analysis(units, scope)
        what = f"{UNIT_WORDS[units]} over |t| > {THRESHOLDS[row]:g}, scope {scope}"
        return null_histogram(
            a, row, f"{what}, under {len(a.null.signs):,} sign flips, and in the run. {weights_words(run)}"
        )

    return draw


def _halves(run: Run, units: str, scope: str, _unit: str) -> str:
    a = run.analysis(units, scope)
    what = (
        f"Split-half r of t, {UNIT_WORDS[units]}, scope {scope}: above, a value a split of the same pairs (their "
        "spread is no interval); below, of sign-flipped data, medians over splits."
    )
    return split_histogram(a.split_r, null_reliability(a, run.halves), f"{what} {weights_words(run)}")


def _one_unit(run: Run, units: str, scope: str, unit: str) -> str:
    seen = _seen(run, units, scope, unit)
    what = (
        f"{seen.name}: {len(seen.differences)} differences, scope {seen.scope}. The line is the mean, the band its 95%"
    )
    chosen = ""
    if seen.rank is not None:
        chosen = f" Rank {seen.rank:,} of {seen.n_units:,} by |t|: expect a large one to be smaller elsewhere."
    title = f"{what} interval.{chosen} {weights_words(run)}"
    return unit_dots(seen, run.pairs, (run.info.positive, run.info.negative), title)


def _scopes(run: Run, units: str, scope: str, unit: str) -> str:
    seen = _seen(run, units, scope, unit)
    return scope_bars(seen.scopes, f"t of {seen.name} in every scope. {weights_words(run)}")


def _slices(run: Run, units: str, scope: str, unit: str) -> str:
    seen = _seen(run, units, scope, unit)
    if not seen.slices:
        raise NoFigureError(f"{seen.name} has no slices inside. Choose a head or an MLP group in “One head”.")
    names = {name.partition(" ")[2]: t for name, t in seen.slices.items()}
    what = f"t of the card's slices inside {seen.name}, scope {seen.scope}."
    return scope_bars(names, f"{what} {weights_words(run)}")


def _seen(run: Run, units: str, scope: str, unit: str) -> UnitProfile:
    """Look at the unit that was chosen, or at the largest."""
    a = run.analysis(units, scope)
    return profile_unit(run, unit or a.table.names[a.ranking[0]], scope)


def _pairs(run: Run, units: str, scope: str, _unit: str) -> str:
    what = f"How far each pair goes the way of the others, in SDs; {UNIT_WORDS[units]}, scope {scope}."
    return score_dots(by_pair(run, units, scope), f"{what} {weights_words(run)}")


FIGURES: dict[str, Draw] = {
    "map of heads": _map_of_units,
    **{f"null of |t| over {threshold:g}": _null(row) for row, threshold in enumerate(THRESHOLDS)},
    "split halves": _halves,
    "one head": _one_unit,
    "one head by scope": _scopes,
    "slices of one head": _slices,
    "pairs": _pairs,
}
"""Name -> what draws it; raises `NoFigureError` where there is nothing to draw."""


# --- of two runs -------------------------------------------------------------------------------------------


DrawTwo = Callable[[tuple[Run, Run], tuple[str, str], str, str], str]
"""(two runs, their names, units, scope) -> SVG"""


def _map_of(which: int) -> DrawTwo:
    def draw(runs: tuple[Run, Run], names: tuple[str, str], units: str, scope: str) -> str:
        drawn = _drawn(units)
        title = f"{names[which]}: t of {UNIT_WORDS[drawn]}, scope {scope}."
        return heat_map(runs[which].analysis(drawn, scope), f"{title} {weights_words(runs[which])}")

    return draw


def _map_of_difference(runs: tuple[Run, Run], names: tuple[str, str], units: str, scope: str) -> str:
    drawn = _drawn(units)
    compare(*runs, drawn, scope)  # says it where their units do not correspond
    first, second = (run.analysis(drawn, scope) for run in runs)
    title = f"Difference of t of {UNIT_WORDS[drawn]}, {names[0]} minus {names[1]}, scope {scope}."
    caution = "A difference of two t is no t: it has no scale of chance of its own."
    difference = replace(first, t=first.t - second.t)
    return heat_map(difference, f"{title} {caution} {_both_weights(runs)}", "difference of t")


def _density(runs: tuple[Run, Run], names: tuple[str, str], units: str, scope: str) -> str:
    found = compare(*runs, units, scope)
    title = f"t of {UNIT_WORDS[units]} in {names[1]} (upward) against {names[0]} (to the right), scope {scope}:"
    how = f"{found.n_units:,} units counted in squares; the stronger a square, the more."
    return t_density(found.t, names, f"{title} {how} {_both_weights(runs)}")


def _both_weights(runs: tuple[Run, Run]) -> str:
    return f"Weights: {'; '.join(weights_label(run.info) for run in runs)}."


COMPARED: dict[str, DrawTwo] = {
    "map of the first run": _map_of(0),
    "map of the second run": _map_of(1),
    "map of the difference": _map_of_difference,
    "t against t": _density,
}
"""Name -> what draws it; raises `NoFigureError` or `NotComparableError` where there is nothing to draw."""


# --- of a visitor's pair -----------------------------------------------------------------------------------


DrawPair = Callable[[PairResult, Run], str]
"""(a pair's result, the run that it was ranked in) -> SVG"""


def _ranks(result: PairResult, run: Run) -> str:
    n = len(result.scores)
    what = f"Scores: the new pair (diamond) among the run's {n} (dots), each on the heads that all the others choose."
    return rank_dots(result, f"{what} {_named(result)} {weights_words(run)}")


def _top_units(result: PairResult, run: Run) -> str:
    n_drawn = min(N_DRAWN, len(result.top))
    what = (
        f"Differences on the run's top heads, {n_drawn} of {len(result.top)}: the new pair (diamond) among the run's "
        f"{len(result.scores)} (dots). The heads were chosen on the run's own pairs: expect the new one to look weaker."
    )
    return pair_dots(result, f"{what} {_named(result)} {weights_words(run)}", N_DRAWN)


def _named(result: PairResult) -> str:
    return f"Units: {UNIT_WORDS[result.units]}, scope {result.scope}. One pair is one pair."


ANSWERED: dict[str, DrawPair] = {"scores": _ranks, "top heads": _top_units}
"""Name -> what draws it."""


# --- without the page --------------------------------------------------------------------------------------


# The theme's light colours; a picture on paper has no theme.
_INK = "#27272a"

LIGHT = {
    "--body-text-color": _INK,
    "--body-text-color-subdued": "#3f3f46",
    "--body-background-fill": "white",
    "--background-fill-primary": "white",
    "--background-fill-secondary": "#fafafa",
    "--border-color-primary": "#e4e4e7",
}

_FONT = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', 'DejaVu Sans', sans-serif"

_SVG = "http://www.w3.org/2000/svg"

_NARROWEST, _MARGIN, _LINE, _LETTER = 300, 12, 15, 5.9  # pixels; of a line of the legend, and of one of its letters


def standalone_svg(svg: str, css: str) -> str:
    """Make a figure that looks the same outside the page: light colours, white ground, its title written below.

    Parameters
    ----------
    svg : str
        A figure of `plots`; its ``aria-label`` says what it shows and which weights made it.
    css : str
        The page's styles; the rules for the figure's classes are taken over, with the theme's variables resolved.

    Returns
    -------
    str
        An SVG document.
    """
    ElementTree.register_namespace("", _SVG)
    drawn = ElementTree.fromstring(_resolved(svg))
    words = drawn.get("aria-label", "")
    width, height = (float(drawn.get(side, "0")) for side in ("width", "height"))
    wide = max(width, _NARROWEST) + 2 * _MARGIN
    lines = textwrap.wrap(words, int((wide - 2 * _MARGIN) / _LETTER), break_on_hyphens=False)
    tall = height + _LINE * len(lines) + 3 * _MARGIN
    root = _element("svg", width=f"{wide:g}", height=f"{tall:g}", viewBox=f"0 0 {wide:g} {tall:g}", role="img")
    root.append(_element("title", words))
    root.append(_element("style", _styles(svg, css)))
    root.append(_element("rect", width="100%", height="100%", fill="#ffffff"))
    figure = _element("g", transform=f"translate({_MARGIN} {_MARGIN})")
    figure.extend(list(drawn))
    root.append(figure)
    for i, line in enumerate(lines):
        y = height + 2 * _MARGIN + _LINE * i + 10
        root.append(_element("text", line, x=f"{_MARGIN}", y=f"{y:g}", fill=_INK, style="font-size: 11px"))
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _element(tag: str, words: str | None = None, **attributes: str) -> ElementTree.Element:
    made = ElementTree.Element(f"{{{_SVG}}}{tag}", attributes)
    made.text = words
    return made


def _styles(svg: str, css: str) -> str:
    """Take over the rules whose selectors are nothing but classes of the figure."""
    used = {name for names in re.findall(r'class="([^"]*)"', svg) for name in names.split()}
    rules = [f"text {{font-family: {_FONT};}}"]
    for selector, body in re.findall(r"([^{}]+)\{([^{}]*)\}", re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL)):
        chosen = [s.strip() for s in selector.split(",") if re.fullmatch(r"(\.[\w-]+)+", s.strip())]
        chosen = [s for s in chosen if set(s[1:].split(".")) <= used - {"pl-svg"}]
        if chosen:
            kept = "; ".join(d.strip() for d in body.split(";") if d.strip() and "inherit" not in d)
            rules.append(f"{', '.join(chosen)} {{{_resolved(kept)}}}")
    return "\n".join(rules)


def _resolved(text: str) -> str:
    """Put the light colours in; one that is not known would draw something else than the page does."""

    def light(found: re.Match[str]) -> str:
        if found[1] not in LIGHT:
            raise ValueError(f"the figure's {found[1]} has no light colour; add it to LIGHT.")
        return LIGHT[found[1]]

    return re.sub(r"var\((--[\w-]+)(?:,[^()]*)?\)", light, text)


@dataclass(frozen=True)
class Shown:
    """An atlas, and the axes that it was made of."""

    atlas: Atlas
    axes: list[Axis]

    @property
    def of(self) -> str:
        """What was counted."""
        return f"{UNIT_WORDS[self.atlas.units]}, scope {self.atlas.scope}"


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
    found, (first, second) = shown.atlas.replication, _first_and_again(shown)
    t = np.stack([axis.run.analysis(shown.atlas.units, shown.atlas.scope).t for axis in (first, second)])
    return replication_plot(t, found, (first.name, second.name), title)


def _first_and_again(shown: Shown) -> tuple[Axis, Axis]:
    found = shown.atlas.replication
    if found is None:
        raise NoFigureError("There is no run of the replication, prompts/moral_valence_replication.toml.")
    return shown.axes[0], next(axis for axis in shown.axes if axis.name == found.name)


def _replication_title(shown: Shown) -> str:
    first, second = _first_and_again(shown)
    return f"Units chosen on {first.name}, measured on the new pairs of {second.name}; {shown.of}"


def _replication_how(shown: Shown) -> str:
    found = shown.atlas.replication
    low, high = found.interval
    interval = "" if low is None or high is None else f", with the 95% interval {low:+.2f} to {high:+.2f}"
    return (
        f"Dots are the {len(found.units)} units with the largest |t| on the first set, which alone chose them and "
        f"their signs: {found.n_same_sign} keep their sign on the new pairs (full dots, shaded quarters), the "
        "others are open. Squares are all units. On the dashed line t would be as large again; chosen units are "
        f"expected to fall below it. Under it the mean score of {found.n_pairs} new pairs on the chosen units"
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
    found = {(row.first, row.second): row.true_r for row in shown.atlas.between}
    return axis_triangle([axis.name for axis in shown.atlas.axes], found, title)


def _triangle_how(shown: Shown) -> str:
    return (
        "A name ends its row and stands on top of its column. Orange is the same direction, blue the opposite one, "
        "strength the size up to 1. The unreliability of both maps is taken out, so that it may exceed 1 by chance; a "
        "dashed cell has no value: a map there does not agree with itself."
    )


ATLAS_FIGURES = {
    "replication": AtlasFigure(_replication, _replication_title, _replication_how),
    "counts": AtlasFigure(lambda shown, title: count_bars(shown.atlas.axes, 3, title), _counts_title, _counts_how),
    "correlations": AtlasFigure(
        _triangle, lambda shown: f"Correlation of the maps of t of every two axes; {shown.of}", _triangle_how
    ),
}
"""Name -> figure, in the order of the page."""
