"""Probe FLUX.2 Klein for an axis of ethical valence in its attention heads.

Nothing heavy is imported before a name is used, so that the command line answers at once.

Examples
--------
>>> import plantain
>>> run = plantain.load_run("precomputed/tiny-random")
>>> positive, negative = run.magnitudes("heads", scope="image")
>>> t = plantain.stats.paired_t(positive - negative)
>>> t.shape  # one for each head
(100,)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from plantain import _runtime  # noqa: F401  (before numpy and torch, which read it when they load)

if TYPE_CHECKING:
    from plantain import probe, stats
    from plantain.models.load import load_pipeline
    from plantain.probe.runner import run_probe
    from plantain.prompts.sets import load_prompt_set
    from plantain.runs.io import load_run, save_run

__version__ = "0.1.0"

__all__ = ["load_pipeline", "load_prompt_set", "load_run", "probe", "run_probe", "save_run", "stats"]

_HOMES = {
    "load_pipeline": "models.load", "load_prompt_set": "prompts.sets", "load_run": "runs.io",
    "run_probe": "probe.runner", "save_run": "runs.io",
}  # fmt: skip


class PlantainError(Exception):
    """Base of all errors that say what to do; `exit_code` is the command line's."""

    exit_code = 2


class UsageError(PlantainError):
    """Arguments, options or settings that cannot be used."""


def __getattr__(name: str) -> Any:
    if name in ("probe", "stats"):
        return import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
