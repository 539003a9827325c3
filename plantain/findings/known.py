"""Models in which the truth is known, and how many of their pairs the same rule tells right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from plantain.findings.held_out import held_out, is_here
from plantain.findings.roles import known_role
from plantain.findings.told import Told
from plantain.runs.run import Run

_KNOWN = ("practice", "untrained", "stand-in")
"""Kinds of weights, in the order in which they are shown. What a reservoir's text encoder knows nobody knows."""


@dataclass(frozen=True)
class Known:
    """A run of a model in which the truth is known.

    Attributes
    ----------
    name : str
        Of the run.
    run : Run
    told : Told or None
        The run's headline; None while it is being computed.
    """

    name: str
    run: Run
    told: Told | None

    @property
    def is_there(self) -> bool:
        """Say whether there is something to find: the model was trained to draw it."""
        return not self.run.info.is_random


def known_truths(runs: Mapping[str, Run]) -> list[Known]:
    """Find the runs on an axis' own prompts by models in which the truth is known; nothing is computed anew.

    Parameters
    ----------
    runs : mapping of str to Run
    """
    found = [
        Known(name, run, held_out(run) if is_here(run) else None)
        for name, run in runs.items()
        if run.info.weights in _KNOWN and known_role(run.info.prompts_sha256, run.info.role) == "axis"
    ]
    return sorted(found, key=lambda known: _KNOWN.index(known.run.info.weights))
