"""Passes of prompts through a model, and the hooks that read and change them; torch loads with the first name used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plantain.probe.edits import ablate, editing, keeping, patch, scale, steer
    from plantain.probe.hooks import recording, sites
    from plantain.probe.runner import ProbeConfig
    from plantain.probe.tokens import tokenize

_HOMES = {
    "ProbeConfig": "runner", "ablate": "edits", "editing": "edits", "keeping": "edits", "patch": "edits",
    "recording": "hooks", "scale": "edits", "sites": "hooks", "steer": "edits", "tokenize": "tokens",
}  # fmt: skip

__all__ = [
    "ProbeConfig", "ablate", "editing", "keeping", "patch", "recording", "scale", "sites", "steer", "tokenize",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
