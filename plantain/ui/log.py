"""The page's log: one JSON line a request, without a visitor's words."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TextIO

from plantain import PlantainError

PACKAGE_LOG = logging.getLogger("plantain")

LOG = PACKAGE_LOG.getChild("requests")


class Lines(logging.Formatter):
    """Messages as they are; of an exception its class and where it was raised, but not its words.

    They could hold what a visitor wrote.
    """

    def formatException(self, ei: Any) -> str:
        """Return the stack of an exception, and of those that it came from, innermost last."""
        parts, error = [], ei[1]
        while error is not None:
            parts.append(f"{''.join(traceback.format_tb(error.__traceback__))}{type(error).__name__}")
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return "\n".join(reversed(parts))


class WithoutWords:
    """Standard error in which a traceback keeps its places and classes, but not its messages.

    Gradio prints the faults of a call that it cannot read, with what the call brought: a visitor's words.

    Parameters
    ----------
    stream : text stream
        Where everything else goes unchanged.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._part = stream, ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write what may be seen of a piece of text; a message ends with the piece that it is in."""
        self._stream.write("".join(map(self._seen, text.splitlines(keepends=True))))
        if self._part == "message":
            self._part = ""
        return len(text)

    def _seen(self, line: str) -> str:
        if "Traceback (most recent call last)" in line:
            self._part = "stack"
        elif self._part == "message" or (self._part == "stack" and line.lstrip().startswith(("|", "+"))):
            return ""  # the latter is of a group of exceptions
        elif self._part == "stack" and not line[:1].isspace():
            self._part = "message"
            return line.partition(":")[0].rstrip() + "\n"
        return line


def start_log() -> None:
    """Write to stderr a JSON object a request, which ``PLANTAIN_LOG=off`` keeps quiet, and faults without words."""
    if PACKAGE_LOG.handlers:
        return
    handler = logging.StreamHandler(sys.stderr)
    sys.stderr = WithoutWords(sys.stderr)
    handler.setFormatter(Lines())
    PACKAGE_LOG.addHandler(handler)  # faults are logged elsewhere in it as well
    PACKAGE_LOG.propagate = False
    logging.getLogger("mcp").setLevel(logging.ERROR)  # its warnings quote what was called
    LOG.setLevel(logging.ERROR if os.environ.get("PLANTAIN_LOG", "").lower() == "off" else logging.INFO)


def write_line(kind: str, start: float, outcome: str, **more: Any) -> None:
    """Write one line; `start` is by `time.perf_counter`."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    spent = round(1000 * (time.perf_counter() - start), 1)
    LOG.info(json.dumps({"time": now, "kind": kind, "ms": spent, "outcome": outcome, **more}))


@contextmanager
def logged(kind: str) -> Iterator[dict[str, Any]]:
    """Write one line about what is done inside: ok, refused or failed (with the error's class), or stopped.

    The dict that is yielded takes what else the line should say.
    """
    start, outcome, more = time.perf_counter(), "stopped", {}  # a generator is closed when its visitor leaves
    try:
        yield more
        outcome = "ok"
    except Exception as error:
        outcome = "refused" if isinstance(error, PlantainError) else "failed"
        more["error"] = type(error).__name__
        raise
    finally:
        write_line(kind, start, outcome, **more)
