"""What has to be set before numpy and torch load: the package's first import, also from a script."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

TOO_LATE = "torch" in sys.modules and "OMP_WAIT_POLICY" not in os.environ
"""Whether torch has loaded before it could be told how its threads wait."""

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads wait longer than they work: products are small
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # torch's threads that spin starve whoever else needs the cores
os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")


@contextmanager
def patient_threads() -> Iterator[None]:
    """Keep torch's threads from spinning while a block runs on a processor, where torch had loaded before plantain.

    How they wait is read when torch loads. After that only GNU OpenMP's own rule is left: more threads than cores do
    not spin. Beside a busy core a run takes many times as long without it.
    """
    if not TOO_LATE:
        yield
        return
    import torch

    before, cores = torch.get_num_threads(), len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    torch.set_num_threads(max(before, (cores or 1) + 1) if before > 1 else before)  # a single one waits for nobody
    try:
        yield
    finally:
        torch.set_num_threads(before)


def end_silently_on_interrupt() -> None:
    """Let Ctrl-C end the process without a word while the libraries load: there is nothing to put away yet."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def raise_on_interrupt() -> None:
    """Let Ctrl-C raise KeyboardInterrupt from here on, unless the process was started to ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
