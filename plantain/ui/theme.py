"""Colours and styles. Contrast follows WCAG AA in light and dark."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from plantain.engine import Engine
from plantain.ui.first import FirstScreen, first_screen_html
from plantain.ui.served import LARGEST, Gate, health
from plantain.ui.store import RunStore

SESSIONS = 500  # visitors whose choices are kept
STYLES = sorted((Path(__file__).parent / "styles").glob("*.css"))  # one file for the page, one for a tab


def _theme() -> gr.themes.Base:
    fonts = ("system-ui", "sans-serif")
    mono = ("ui-monospace", "Consolas", "monospace")
    return gr.themes.Default(font=fonts, font_mono=mono).set(
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


def launch_options(demo: gr.Blocks, store: RunStore, engine: Engine) -> dict[str, Any]:
    """Return what belongs to `Blocks.launch`: looks, the first screen, the gate, nothing kept of what visitors type."""
    gate = Middleware(Gate, health=partial(health, store, engine))
    return {
        "theme": _theme(),
        "css_paths": STYLES,
        "app_kwargs": {"middleware": [gate, Middleware(FirstScreen, html=first_screen_html(demo))]},
        "max_file_size": LARGEST,
        "footer_links": ["api"],
        "run_history": False,
        "state_session_capacity": SESSIONS,
        "ssr_mode": False,
        "show_error": False,
        "mcp_server": find_spec("mcp") is not None,  # the named endpoints as tools; Spaces have it installed
    }
