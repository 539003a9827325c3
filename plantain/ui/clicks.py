"""Clicks that start long work, by session: which wait for the queue, which are answered, which are stopped."""

from __future__ import annotations

import json

import gradio as gr

from plantain.ui.theme import static


class Clicks:
    """What is known of every session's last click; a browser tab has one at a time."""

    def __init__(self) -> None:
        self.begun: set[str] = set()  # sessions whose last click was followed by work, or taken back
        self.running: set[str] = set()  # sessions whose click is being answered
        self.stopping: set[str] = set()  # sessions that want no more: Gradio cancels only what the queue already has

    def wait(self, request: gr.Request) -> None:
        """Note a new click."""
        self.begun.discard(request.session_hash)
        self.stopping.discard(request.session_hash)

    def begin(self, request: gr.Request) -> None:
        """Note that a session's click is being answered."""
        self.begun.add(request.session_hash)
        self.running.add(request.session_hash)

    def end(self, request: gr.Request) -> None:
        """Note that no step of the work comes any more."""
        self.running.discard(request.session_hash)

    def take_back(self, request: gr.Request) -> None:
        """Note that a session wants no more."""
        self.begun.add(request.session_hash)
        self.stopping.add(request.session_hash)

    def is_taken_back(self, request: gr.Request) -> bool:
        return request.session_hash in self.stopping


def arrived(button: str, first: str, seen: str) -> str:
    """Return a script that shows a new answer where it is out of sight, and gives the focus back to its button.

    Parameters
    ----------
    button, first, seen : str
        Selectors: of the button, of what comes first in the answer, and of what should be in sight with it.
    """
    where = {"button": button, "first": first, "seen": seen}
    return f"({static('arrived.js')})({json.dumps(where)})"
