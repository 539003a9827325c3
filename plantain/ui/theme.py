"""Colours, styles and the other files of the page. Contrast follows WCAG AA in light and dark."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import gradio as gr

from plantain.report.figures import svg

STATIC = Path(__file__).parent / "static"

# The figures' own, which their files use too; one file for the page, one for a tab.
_STYLES = [svg.STYLES, *sorted(STATIC.glob("*.css"))]

_APP = ".gradio-container.gradio-container .contain"


def static(name: str) -> str:
    """Read one of the page's own files: a script, a style or a document."""
    return (STATIC / name).read_text(encoding="utf-8")


@cache
def page_styles() -> str:
    """Return the page's styles: as they are, and nested in Gradio's page, so that they win over its own.

    Gradio's option `css` does the same in the browser, rule by rule, before it shows anything: a tenth of a second.
    """
    styles = "".join(path.read_text(encoding="utf-8") for path in _STYLES)
    return f"{styles}{_APP} {{{styles.replace('.dark ', '.dark & ')}}}"


def page_theme() -> gr.themes.Base:
    """Return Gradio's default theme without fonts from elsewhere, with contrasts that can be read."""
    mono = ("ui-monospace", "Consolas", "monospace")
    return gr.themes.Default(font=("system-ui", "sans-serif"), font_mono=mono).set(
        body_text_color_subdued="*neutral_700",
        body_text_color_subdued_dark="*neutral_400",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_hover_dark="*primary_800",
        button_cancel_background_fill="#b91c1c",
        button_cancel_background_fill_dark="#b91c1c",
        button_cancel_background_fill_hover="#991b1b",
        button_cancel_background_fill_hover_dark="#991b1b",
        color_accent="*primary_700",
    )
