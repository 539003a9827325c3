"""The command line as a process: ``python -m plantain COMMAND``, and the installed command ``plantain``."""

from __future__ import annotations

import signal
import sys
from typing import NoReturn

from plantain import _runtime


def start() -> NoReturn:
    """Run a command and end the process with its exit code."""
    _runtime.end_silently_on_interrupt()
    from plantain.cli import _terminate, main  # after that line: the libraries take a while to load

    _runtime.raise_on_interrupt()
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(main())


if __name__ == "__main__":
    start()
