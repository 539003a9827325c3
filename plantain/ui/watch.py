"""Something is looked at again and again in a thread of its own, and at once when somebody asks."""

from __future__ import annotations

import threading
from collections.abc import Callable

PAUSE, LONGEST = 60.0, 600.0  # seconds between looks; a look that fails doubles them


class Watch:
    """A thread that looks, until it is stopped.

    Parameters
    ----------
    look : callable
        Looks once, and says whether that worked; it must not raise.
    name : str
        Of the thread.
    """

    def __init__(self, look: Callable[[], bool], name: str) -> None:
        self._look = look
        self._changed = threading.Condition()
        self._asked = self._answered = 0
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Look now, and go on."""
        self._thread.start()

    def ask(self, patience: float) -> bool:
        """Have it look at once; wait for the end of that look, at most so many seconds, and say whether it came."""
        with self._changed:
            self._asked += 1
            mine = self._asked
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._answered >= mine or self._stopped, patience)

    def stop(self) -> None:
        """Look no more; a look that is under way is not waited for."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _run(self) -> None:
        pause = PAUSE
        while not self._stopped:
            asked = self._asked  # before the look: what is asked for during it needs another one
            pause = PAUSE if self._look() else min(2 * pause, LONGEST)
            with self._changed:
                self._answered = asked
                self._changed.notify_all()
                self._changed.wait_for(lambda asked=asked: self._asked > asked or self._stopped, pause)
