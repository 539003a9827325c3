"""What has to be set before numpy and torch load: imported first by the command line and by the app."""

from __future__ import annotations

import os
import signal

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads wait longer than they work: products are small
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # torch's threads that spin starve whoever else needs the cores
os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")


def end_silently_on_interrupt() -> None:
    """Let Ctrl-C end the process without a word while the libraries load: there is nothing to put away yet."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def raise_on_interrupt() -> None:
    """Let Ctrl-C raise KeyboardInterrupt from here on, unless the process was started to ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
