"""The command line as a process: ``python -m plantain COMMAND``."""

from __future__ import annotations

from plantain import _runtime  # before numpy

if __name__ == "__main__":
    _runtime.end_silently_on_interrupt()

import signal
import sys

from plantain.cli import _terminate, main

if __name__ == "__main__":
    _runtime.raise_on_interrupt()
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(main())
