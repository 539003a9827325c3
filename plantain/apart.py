"""Work in a thread that ends with it. Knows nothing about what is done.

`apart`   do something there, and wait for it
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def apart(work: Callable[[], T]) -> T:
    """Do something in a new thread; return what it returns, or raise what it raises.

    For passes: every thread that has run one keeps torch's threads and buffers, 8 MB on two cores, and a page has
    forty threads. A daemon, so that nobody waits for a pass at the end of the process.
    """
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, name="apart", daemon=True).start()
    return done.result()
