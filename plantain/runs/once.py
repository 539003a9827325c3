"""What is computed once and remembered: whoever asks for it meanwhile waits for the one who began."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, MutableMapping
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_LOOKING = threading.Lock()

_UNDER_WAY: dict[tuple[int, Any], Future[Any]] = {}


def once(memory: MutableMapping[K, V], key: K, compute: Callable[[], V]) -> V:
    """Return what is remembered of a key, computing it where it is not there.

    Parameters
    ----------
    memory : mutable mapping
        Also a `WeakKeyDictionary`.
    key : hashable
    compute : callable
        Called by one thread at a time for one key. It may ask for other keys, and for those of other memories, but for
        nothing that asks for this one.

    Returns
    -------
    object
        What `compute` returns; what it raises is raised by all who wait, and nothing is remembered.

    Examples
    --------
    >>> memory = {}
    >>> once(memory, "a", lambda: 1), once(memory, "a", lambda: 2), memory
    (1, 1, {'a': 1})
    """
    place = id(memory), key
    with _LOOKING:
        if key in memory:
            return memory[key]
        found = _UNDER_WAY.get(place)
        mine: Future[V] | None = None if found else _UNDER_WAY.setdefault(place, Future())
    if mine is None:
        try:
            return found.result()
        except CancelledError:  # whoever began was interrupted
            return once(memory, key, compute)
    try:
        value = compute()
        with _LOOKING:
            memory[key] = value
        mine.set_result(value)
        return value
    except Exception as error:
        mine.set_exception(error)
        raise
    except BaseException:
        mine.cancel()
        raise
    finally:
        with _LOOKING:
            del _UNDER_WAY[place]
