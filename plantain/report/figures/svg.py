"""What all figures are drawn with: colours, text, the frame.

Orange is where the positive side is stronger, blue where the negative side is; the pair stays apart for all common
kinds of colour blindness. Strength is opacity, so zero is the page's own background.
"""

from __future__ import annotations

from html import escape

POSITIVE, NEGATIVE = "#d9690f", "#2f78c4"


def text(x: float, y: float, words: str, anchor: str) -> str:
    """Write words at a place; anchor is start, middle or end."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="pl-text">{escape(words)}</text>'


def cut(words: str, most: int) -> str:
    """Cut words that are too long for their place."""
    return words if len(words) < most else words[: max(most - 2, 1)] + " …"


def svg(width: float, height: float, title: str, parts: list[str]) -> str:
    """Frame the parts of a figure; the title is for screen readers."""
    return (
        f'<svg class="pl-svg" role="img" aria-label="{escape(title, quote=True)}" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )
