"""A figure as PNG, drawn from its SVG with a font that is shipped: the same figure gives the same bytes anywhere."""

from __future__ import annotations

from plantain.report.figures.svg import FONT


def png(document: str) -> bytes:
    """Draw a figure at twice its size.

    Parameters
    ----------
    document : str
        From `svg.standalone`.

    Returns
    -------
    bytes
        PNG. Letters that DejaVu Sans lacks are left out or drawn as boxes; fonts of the machine are not used.
    """
    from resvg_py import svg_to_bytes

    name = "DejaVu Sans"
    return svg_to_bytes(
        svg_string=document, zoom=2, skip_system_fonts=True, font_files=[str(FONT)], font_family=name,
        sans_serif_family=name,
    )  # fmt: skip
