"""What is kept of visitors while the page runs: their choices, and answers until they are fetched. No more.

`keep_little`   puts it in the place of what Gradio keeps; before the page is served
`Sessions`      visitors' choices
`Letterboxes`   messages that visitors have not fetched yet

Gradio's own keep grows under a program's calls, of which each is a session: a copy of the page and the last answer for
each (16 ms and a megabyte), every answer that nobody fetched, and the oldest session goes, whoever is at work in it.
Written against Gradio 6 (`gradio/state_holder.py`, `gradio/queueing.py`). Knows nothing about what the page shows.
"""

from __future__ import annotations

import time
from asyncio import Queue
from collections import OrderedDict, deque
from copy import copy
from functools import cached_property
from itertools import islice
from typing import Any

import gradio as gr
import gradio.routes
from gradio.server_messages import ProcessCompletedMessage
from gradio.state_holder import SessionState, StateHolder
from starlette.exceptions import HTTPException

UNREAD = 100  # answers that nobody has fetched: of programs that ask and go; up to a megabyte each

FORGOTTEN = 1000  # of the ones before, which events they were: who asks for them is told

LEFT = 60  # seconds after which nobody is listening, and after which an event is over that came to nothing

LONGEST_NAME = 100  # characters of a session's name, which a program may choose

GONE = "This answer was not fetched while it was kept: ask again."


def _check_name(session: str) -> None:
    if len(session) > LONGEST_NAME:
        raise HTTPException(422, f"a session's name has at most {LONGEST_NAME} characters")


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
        if key not in self.blocks_config.blocks:
            return  # a component that was made anew: it stands under the old key, and Gradio would never let it go
        super().__setitem__(key, value)
        self.config_values.clear()
        self.chosen = True

    def _update_config(self, key: int) -> None:
        """Keep no copy of a component."""

    def _update_value_in_config(self, key: int, value: Any) -> None:
        """Keep no copy of an answer."""


class Sessions(StateHolder):
    """Visitors' choices; of too many, the oldest session goes in which nobody chose, as in a program's call."""

    @cached_property
    def _fresh(self) -> SessionState:
        return SessionState(self.blocks)

    def __getitem__(self, session_id: str) -> SessionState:
        _check_name(session_id)
        if session_id not in self.session_data:
            self.session_data[session_id] = Session(self._fresh)
        session = super().__getitem__(session_id)
        session.is_closed = False  # a heartbeat that broke off ends nothing where the visitor goes on
        return session

    def update(self, session_id: str) -> None:
        """Note that a session is in use; of too many, one goes."""
        with self.lock:
            if len(self.session_data) > self.capacity:
                older = len(self.session_data) - 1 - self.capacity // 10  # not one that has only just come
                idle = (name for name, s in islice(self.session_data.items(), older) if not s.chosen)
                if (oldest := next(idle, None)) is not None:
                    del self.session_data[oldest]
                    self.time_last_used.pop(oldest, None)
        super().update(session_id)


class Letterboxes(dict):
    """Messages by session until they are fetched, in the place of the queue's own, which drops the oldest of 2,000.

    Whoever is at work keeps his box. Of the answers for which nobody listens the last `UNREAD` stay as they are.

    Parameters
    ----------
    queue : gradio.queueing.Queue
    """

    def __init__(self, queue: Any) -> None:
        super().__init__()
        self._queue = queue
        self._unread: OrderedDict[int, tuple[Letterbox, Any]] = OrderedDict()  # by the message's identity
        self._gone: OrderedDict[int, tuple[Letterbox, Any]] = OrderedDict()
        self._over: dict[tuple[str, str], float] = {}  # session and event that came to nothing, and since when

    def __setitem__(self, session: str, _box: Queue) -> None:
        _check_name(session)
        self._tidy()
        super().__setitem__(session, Letterbox(session, self))

    def __delitem__(self, session: str) -> None:
        self.pop(session, None)  # Gradio takes it away where a visitor leaves, and it may be gone

    def __missing__(self, _session: str) -> Queue:
        """Take a message for somebody whose box is gone."""
        return Queue()

    def _tidy(self) -> None:
        """Let go of events of which nothing will come any more, after a while, and of sessions without events.

        Not at once: of an answer that is being fetched the event is still noted when the message is out of its box.
        """
        queue, now = self._queue, time.monotonic()
        events, live = queue.pending_event_ids_session, set(queue.event_ids_to_events)
        waiting = {i for box in self.values() if not box.left() for i in box.answered()}
        over = {(name, i) for name, ids in events.items() for i in ids - live - waiting}
        self._over = {key: self._over.get(key, now) for key in over}
        for (name, i), since in self._over.items():
            if now - since > LEFT:
                events[name].discard(i)
        for name in [n for n in {*self, *events} if not events.get(n)]:
            del self[name]
            events.pop(name, None)

    def come(self, box: Letterbox, message: Any) -> None:
        """Note that an answer waits; of too many, the oldest gets short, and of too many short ones it goes.

        Where somebody is listening, the answer is his, however long he takes.
        """
        if not box.listened():
            self._unread[id(message)] = box, message
        if len(self._unread) > UNREAD:
            key, (box, old) = self._unread.popitem(last=False)
            box.drop(old.event_id, but=old)
            old.output, old.success, old.title = {"error": GONE}, False, "Error"
            self._gone[key] = box, old
        if len(self._gone) > FORGOTTEN:
            _, (box, old) = self._gone.popitem(last=False)
            self._queue.pending_event_ids_session.get(box.session, set()).discard(old.event_id)
            box.drop(old.event_id)

    def fetched(self, message: Any) -> None:
        """Note that an answer was taken out of its box."""
        self._unread.pop(id(message), None)
        self._gone.pop(id(message), None)


class Letterbox(Queue):
    """The messages of one session; tells the `Letterboxes` of answers."""

    def __init__(self, session: str, boxes: Letterboxes) -> None:
        super().__init__()
        self.session, self._boxes, self._looked = session, boxes, None

    async def get(self) -> Any:
        """Wait for a message, as whoever is listening does again and again."""
        self._looked = time.monotonic()
        return await super().get()

    def listened(self) -> bool:
        """Say whether somebody waits for messages, or is just taking one."""
        return self._looked is not None and time.monotonic() - self._looked < LEFT

    def left(self) -> bool:
        """Say whether somebody was listening who has gone for good."""
        return self._looked is not None and time.monotonic() - self._looked > 10 * LEFT

    def answered(self) -> set[str]:
        """Return the events of which an answer is here."""
        return {item.event_id for item in self._queue if isinstance(item, ProcessCompletedMessage)}

    def drop(self, event: str, but: Any = None) -> None:
        """Take the messages of an event away."""
        self._queue = deque(item for item in self._queue if item.event_id != event or item is but)

    def _put(self, item: Any) -> None:
        super()._put(item)
        if isinstance(item, ProcessCompletedMessage):
            self._boxes.come(self, item)

    def _get(self) -> Any:
        item = super()._get()
        self._boxes.fetched(item)
        return item


def keep_little(demo: gr.Blocks) -> None:
    """Put `Sessions` and `Letterboxes` in place; call it after `Blocks.queue` and before `Blocks.launch`."""
    gradio.routes.StateHolder = Sessions  # the application makes its own when it is launched
    demo._queue.pending_messages_per_session = Letterboxes(demo._queue)
