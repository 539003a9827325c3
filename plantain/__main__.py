"""The command line as a process: ``python -m plantain COMMAND``."""

from __future__ import annotations

import os

# Read when numpy loads. The products here are small: threads of OpenBLAS wait for one another longer than they work,
# and on a busy machine make a report several times slower. torch has threads of its own.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import signal

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C while the libraries load: nothing is there to put away

import sys

from plantain.cli import _terminate, main

if __name__ == "__main__":
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(main())
