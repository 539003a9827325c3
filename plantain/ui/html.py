"""Pieces of HTML that several tabs use. Pure functions; everything that is not ours is escaped.

`chip_html`, `weights_words`   which weights made the numbers
`figure_html`                  a figure with its caption
`status_html`, `message_html`, `error_html`, `failure_html`   small messages
"""

from __future__ import annotations

import logging
from html import escape

from plantain import PlantainError
from plantain.results import Run
from plantain.tables import weights_label

_log = logging.getLogger(__name__)


def chip_html(run: Run) -> str:
    """Say which weights made the numbers, when and on what, loudly where they are random."""
    loud = " pl-warn" if run.info.weights in ("stand-in", "untrained") else ""
    words = f"{weights_label(run.info)} · {run.info.size} px · {run.info.date[:10]}"
    return f'<p><span class="pl-chip{loud}">{escape(words)}</span></p>'


def weights_words(run: Run) -> str:
    """Name a run's weights in a sentence, not escaped."""
    return f"Weights: {weights_label(run.info)}."


def figure_html(svg: str, caption: str) -> str:
    """Frame a figure; a wide one scrolls inside itself on a phone."""
    # Focusable, so that the keyboard can scroll it too.
    frame = f'<div class="pl-scroll" tabindex="0" role="group" aria-label="figure">{svg}</div>'
    return f"<figure>{frame}<figcaption>{escape(caption)}</figcaption></figure>"


def status_html(state: str, text: str) -> str:
    """Show how the model stands."""
    loud = " pl-warn" if state == "failed" else ""
    return f'<p role="status"><span class="pl-chip{loud}">{escape(text)}</span></p>'


def failure_text(error: Exception) -> str:
    """Say what went wrong. ZeroGPU's refusals carry their reason in the title; of a fault of ours, only the kind."""
    title, message = getattr(error, "title", None), getattr(error, "message", None)
    if title and message:
        return f"{title}: {message}"
    if isinstance(error, PlantainError):
        return str(error)
    _log.error("a request failed", exc_info=error)
    return f"Something broke ({type(error).__name__}). Try again; if it stays, tell the owner of this page."


def failure_html(error: Exception, kept: str = "") -> str:
    """Show what went wrong and what is kept."""
    text = failure_text(error)
    return error_html(text[:1].upper() + text[1:]) + (message_html(kept) if kept else "")


def error_html(message: str) -> str:
    """Show what went wrong and what to do."""
    return f'<p class="pl-error" role="alert">{escape(message)}</p>'


def message_html(message: str) -> str:
    """Show a plain message."""
    return f'<p role="status">{escape(message)}</p>'
