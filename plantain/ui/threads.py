"""Work in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any


def started(work: Callable[[], Any]) -> Future[Any]:
    """Do something in a new thread, and return what will hold what it returns or raises.

    For passes: every thread that has run one keeps torch's threads and buffers, 8 MB on two cores, and a page has
    forty threads. A daemon, so that nobody waits for a pass at the end of the process.
    """
    done: Future[Any] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, name="pass", daemon=True).start()
    return done
