"""Run app.py as on ZeroGPU, on the CPU: the real `spaces` package, forked workers and all.

Only what needs a card is replaced: CUDA's start, packing the weights, and moving them to the card, which
gives every fake CUDA tensor its original CPU data instead. Started by test_zero_gpu.py.
"""

import torch

torch.version.cuda = "12.8"
torch._C._cuda_init = lambda: None
torch.cuda._is_in_bad_fork = bool

import spaces  # noqa: F401
import spaces.zero.torch as zero
from spaces.zero.torch import patching


def _move_to_cpu(*_args: object, **_kwargs: object) -> None:
    for fake, original in patching.cuda_aliases.items():
        if original is not None:
            fake.data = original


zero.init = lambda *_args, **_kwargs: None
zero.pack = lambda *_args, **_kwargs: 0
zero.move = _move_to_cpu

import os
import signal

import app
from plantain.capture import CaptureError
from plantain.passes import Passes

capture, calls = Passes.capture, []


def _misbehave(*args: object) -> object:
    """Die or fail where a test asks for it; the marker file lets a worker die once only."""
    calls.append(1)
    if failure := os.environ.get("PLANTAIN_TEST_FAILS"):
        raise CaptureError(failure)
    marker = os.path.expanduser("~/died")
    if str(len(calls) - 1) == os.environ.get("PLANTAIN_TEST_DIES_AFTER") and not os.path.exists(marker):
        open(marker, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return capture(*args)


Passes.capture = _misbehave
app.main()
