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

import app

app.main()
