"""Run app.py as on ZeroGPU, on the CPU: the real `spaces` package, forked workers and all.

Only what needs a card is replaced: CUDA's start, packing the weights, and moving them to the card, which gives every
fake CUDA tensor its original CPU data instead; and the hardware is said to be ZeroGPU's. Models are computed
in float32: many processors multiply bfloat16, which a card gets, at a twentieth of that speed. Started by scheduler.py.
"""

import torch

torch.version.cuda = "12.8"
torch._C._cuda_init = lambda: None
torch.cuda._is_in_bad_fork = bool

import json
import os
from functools import partial
from importlib.resources import files

import spaces.zero.config
import spaces.zero.torch as zero
from spaces.zero.torch import patching

CONFIGS = json.loads(files("spaces.zero").joinpath("configs.json").read_text())


def _move_to_cpu(*_args: object, **_kwargs: object) -> None:
    for fake, original in patching.cuda_aliases.items():
        if original is not None:
            fake.data = original


zero.init = lambda *_args, **_kwargs: None
zero.pack = lambda *_args, **_kwargs: 0
zero.move = _move_to_cpu
spaces.zero.config.get_config = lambda: next(c for c in CONFIGS if "RTX PRO 6000" in c["model"])

import misbehave

import app
from plantain.models import load
from plantain.runs.seconds import COLD, DRAWING, PAIR, PICTURE, TURN
from plantain.ui import page, watch

load.PhasedPipeline = partial(load.PhasedPipeline, dtype="float32")
page.FOLLOW = watch.PAUSE = 1  # seconds: no test waits for a minute
misbehave.install()
add_endpoints = page.add_endpoints  # programs run `PAIRS` pairs, the page's own probe all 25
page.add_endpoints = lambda store, engine, whole: add_endpoints(store, engine, misbehave.few_pairs(whole))
TOOK = {
    PAIR: 0.05,
    TURN: 0.05,
    DRAWING: 0.05,
    PICTURE: 0.01,
    COLD: 5.0,
}  # seconds, made up: a busy machine must change no price
known = app.engine.prices.known
learn = known.learn
if os.environ["PRICES"] == "fixed":  # else what one test asks for would depend on what the others did
    known.learn = lambda *_args: None
    app.engine.prices.warm = lambda _kind: False
else:
    known.learn = lambda kind, size, _seconds, device: learn(kind, size, TOOK[kind], device)
app.main()
