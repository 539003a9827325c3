"""Colours and styles. Contrast follows WCAG AA in light and dark."""

from __future__ import annotations

from typing import Any

import gradio as gr

CSS = """
.gradio-container {width: 100% !important; max-width: 1140px !important; margin: 0 auto !important;}
.dark {--color-accent: var(--primary-400) !important;}
.pl-lead {font-size: 1.1rem; max-width: 62ch;}
.pl-chip {display: inline-block; padding: .35rem .7rem; border-radius: .6rem;
  border: 1px solid var(--border-color-primary);
  background: var(--background-fill-secondary); margin: .15rem 0;}
.pl-chip.pl-warn {border-color: #b45309; border-width: 2px; font-weight: 600;}
.pl-error {border-left: 5px solid #b91c1c; padding: .6rem .9rem; background: var(--background-fill-secondary);}
.pl-cards {display: grid; grid-template-columns: repeat(auto-fit, minmax(8.2rem, 1fr)); gap: .7rem; margin: .6rem 0;}
.pl-card {margin: 0 !important; border: 1px solid var(--border-color-primary); border-radius: .6rem;
  padding: .7rem .8rem;
  background: var(--background-fill-secondary);}
.pl-card dt {font-size: .9rem;}
.pl-card dd {margin: 0;}
.pl-card .pl-value {font-size: 1.45rem; font-weight: 650; line-height: 1.3;}
.pl-card .pl-published {border-top: 1px solid var(--border-color-primary); margin-top: .45rem; padding-top: .4rem;
  font-size: .9rem;}
.pl-nulls {display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: .7rem;}
.pl-scroll {overflow-x: auto;}
.pl-svg {max-width: none; height: auto;}
.pl-text {font-size: 12px; fill: var(--body-text-color); font-family: inherit;}
.pl-frame {fill: var(--background-fill-secondary);}
.pl-none {fill: none; stroke: var(--body-text-color); stroke-dasharray: 3 2;}
.pl-axis {stroke: var(--body-text-color); stroke-opacity: .5;}
.pl-dot {fill: var(--body-text-color); fill-opacity: .38;}
.pl-bar {fill: var(--body-text-color); fill-opacity: .45;}
.pl-band {fill: var(--body-text-color); fill-opacity: .1;}
.pl-limit {stroke: var(--body-text-color); stroke-dasharray: 4 3;}
.pl-observed {stroke: #d9690f; stroke-width: 2.5;}
.pl-new {stroke: var(--body-text-color); stroke-width: 1.5;}
.pl-table {border-collapse: collapse; width: 100%; font-size: .95rem; margin-bottom: 1.2rem;}
.pl-table caption {text-align: left; font-weight: 600; padding: .3rem 0;}
.pl-table th, .pl-table td {text-align: left; padding: .3rem .5rem;
  border-width: 0 0 1px 0 !important;}
.pl-careful summary {cursor: pointer; font-weight: 600; padding: .3rem 0;}
.pl-progress progress {width: 100%; height: 1.1rem; accent-color: var(--primary-700);}
"""


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


def launch_options() -> dict[str, Any]:
    """Return what belongs to `Blocks.launch`: looks, and nothing kept of what visitors type."""
    return {
        "theme": _theme(),
        "css": CSS,
        "footer_links": ["api"],
        "run_history": False,
        "ssr_mode": False,
        "show_error": False,
    }
