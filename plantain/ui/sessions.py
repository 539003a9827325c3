"""What is kept of visitors while the page runs: their choices, and answers that they have not fetched. No more.

`keep_little`   puts it in the place of what Gradio keeps, once the page is served
`Sessions`      visitors' choices
`Letterboxes`   what visitors have not fetched yet

Gradio's own keep grows under a program's calls, of which each is a session: a copy of the page and the last answer for
each (16 ms and a megabyte), every answer that nobody fetched, and the oldest session goes, whoever is at work in it.
Written against Gradio 6 (`gradio/state_holder.py`, `gradio/queueing.py`). Knows nothing about what the page shows.
"""

from __future__ import annotations

from asyncio import Queue
from copy import copy
from typing import Any

import gradio as gr
from gradio.state_holder import SessionState, StateHolder

UNREAD = 50  # answers that nobody fetches: of programs that asked and went; 1 or 2 MB each, if they are large


class Session(SessionState):
    """A visitor's choices, without Gradio's copy of the page and of every answer.

    The copy is there for links that bring a page back. This page has none: no such address is let in.

    Parameters
    ----------
    fresh : SessionState
        What a visitor begins with.
    """

    def __init__(self, fresh: SessionState) -> None:
        vars(self).update({name: copy(value) for name, value in vars(fresh).items()})
        self.config_values = {}
        self.chosen = False  # whether there is something to lose

    def __setitem__(self, key: int, value: Any) -> None:
        super().__setitem__(key, value)
        self.config_values.clear()
        self.chosen = True

    def _update_config(self, key: int) -> None:
        """Keep no copy of a component."""

    def _update_value_in_config(self, key: int, value: Any) -> None:
        """Keep no copy of an answer."""


class Sessions(StateHolder):
    """Visitors' choices; of too many, the oldest session goes in which nobody chose, as in a program's call."""

    def set_blocks(self, blocks: gr.Blocks) -> None:
        """Take the page whose sessions these are."""
        super().set_blocks(blocks)
        self._fresh = SessionState(blocks)

    def __getitem__(self, session_id: str) -> SessionState:
        if session_id not in self.session_data:
            self.session_data[session_id] = Session(self._fresh)
        return super().__getitem__(session_id)

    def update(self, session_id: str) -> None:
        """Note that a session is in use; of too many, one goes."""
        with self.lock:
            if len(self.session_data) > self.capacity:
                idle = (name for name, s in self.session_data.items() if not s.chosen and name != session_id)
                if (oldest := next(idle, None)) is not None:
                    del self.session_data[oldest]
                    self.time_last_used.pop(oldest, None)
        super().update(session_id)


class Letterboxes(dict):
    """Messages by session until they are fetched, in the place of the queue's own, which drops the oldest of 2,000.

    Parameters
    ----------
    events : dict of str to set of str
        The events of every session that have not ended or were not fetched; of what is dropped, they go as well.
    """

    def __init__(self, events: dict[str, set[str]]) -> None:
        super().__init__()
        self._events = events

    def __setitem__(self, session: str, box: Queue) -> None:
        unread = [name for name, box in self.items() if box.qsize()]
        ended = [name for name, box in self.items() if not box.qsize() and not self._events.get(name)]
        for name in (*unread[:-UNREAD], *ended):
            del self[name]
            self._events.pop(name, None)
        super().__setitem__(session, box)

    def __missing__(self, _session: str) -> Queue:
        """Take a message for somebody whose box is gone."""
        return Queue()


def keep_little(demo: gr.Blocks) -> None:
    """Put `Sessions` and `Letterboxes` in place; call it once the page is served."""
    sessions, queue = Sessions(), demo._queue
    sessions.set_blocks(demo)
    demo.app.state_holder = sessions
    queue.pending_messages_per_session = Letterboxes(queue.pending_event_ids_session)
