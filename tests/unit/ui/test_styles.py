"""The styles have no rule for what nothing draws: every class and id of ours is named where HTML is made."""

import re

import pytest
from browser import ROOT

from plantain.report.figures import svg
from plantain.ui.theme import STATIC

LAYOUTS = ("pl-narrow", "pl-middle", "pl-wide")

PARTS = ("words", "pictures", "strip", "heads", "tries")

COMPOSED = {*LAYOUTS, *(f"pl-verdict-{part}" for part in PARTS), "under-positive", "under-negative"}
"""Names that are put together where they are drawn; a test of each draws them."""


def written():
    """Return all that may name a class or an id: Python, scripts and documents of the package."""
    found = (path for path in (ROOT / "plantain").rglob("*") if path.suffix in (".py", ".js", ".html"))
    return "\n".join(path.read_text(encoding="utf-8") for path in found)


def named_in(style):
    """Return the classes and ids of ours that a style's selectors name."""
    rules = re.sub(r"/\*.*?\*/", "", style, flags=re.S)
    selectors = " ".join(re.findall(r"([^{};]+)\{", rules))
    ids = re.findall(r"#(-?[A-Za-z_][\w-]*)", selectors)
    return {*re.findall(r"\.(pl-[\w-]+)", selectors), *ids}


def unused(style, source):
    words = set(re.findall(r"[\w-]+", source))
    return sorted(named_in(style) - words - COMPOSED)


@pytest.mark.parametrize("path", [svg.STYLES, *sorted(STATIC.glob("*.css"))], ids=lambda path: path.name)
def test_every_rule_is_for_something_that_is_drawn(path):
    style = path.read_text(encoding="utf-8")
    assert named_in(style) and unused(style, written()) == []


def test_a_rule_for_nothing_is_found():
    style = ".pl-gone > #away, .pl-here {color: red;} /* .pl-said {} */ @media (a) {.pl-old.pl-here {top: 0;}}"
    assert unused(style, '<p class="pl-here">') == ["away", "pl-gone", "pl-old"]


def test_the_layouts_are_those_of_a_figure():
    drawn = svg.fluid(lambda width: svg.Drawing(width, 10, []), "title")
    assert set(re.findall(r"pl-(?:narrow|middle|wide)", drawn)) == set(LAYOUTS) and len(svg.LAYOUTS) == len(LAYOUTS)
