"""What a result says about the model that made it."""

from __future__ import annotations

import platform
from dataclasses import dataclass

import numpy as np

# Kinds of weights: read from the Hub by the loader; of a folder, or of a pipeline that somebody gave, without a mark;
# trained by this project on drawings (the picture book); random in Klein's architecture (the untrained control); a
# random transformer behind a text encoder that is somebody else's (the reservoir); the tiny stand-in. The last four are
# never presented as Klein, and the transformers of the last three are random.
WEIGHTS = ("pretrained", "local", "practice", "untrained", "reservoir", "stand-in")

CONTROLS = ("untrained", "reservoir")
"""Weights that are run to see what a transformer gives that has learned nothing."""


@dataclass(frozen=True)
class ModelInfo:
    """What a result must say about the model that made it.

    Attributes
    ----------
    model : str
        Hub id, folder name or ``tiny-random``.
    revision : str or None
        Commit of the hub repository, where the loader itself read the weights from it.
    weights : str
        A key of `WEIGHTS`.
    fingerprint : str
        SHA-256 (hex) over configuration, tokenizer and all weights that the probe uses, as they were loaded.
    dtype, device : str
        E.g. ``bfloat16`` and ``NVIDIA H200``.
    changes : tuple of str
        What of it is not as it was loaded, or as its classes make it, in phrases; the name and the fingerprint are then
        others than the plain model's.
    """

    model: str
    revision: str | None
    weights: str
    fingerprint: str
    dtype: str
    device: str
    changes: tuple[str, ...] = ()

    @property
    def is_random(self) -> bool:
        """Say whether the transformer's weights are random: a stand-in's or a control's."""
        return self.weights in ("stand-in", *CONTROLS)


def software_versions() -> dict[str, str]:
    """Return the versions of the libraries that a result depends on."""
    import diffusers
    import tokenizers
    import torch
    import transformers

    modules = (torch, diffusers, transformers, tokenizers, np)
    versions = {"python": platform.python_version(), **{m.__name__: str(m.__version__) for m in modules}}
    return {**versions, "cuda": torch.version.cuda} if torch.version.cuda else versions
