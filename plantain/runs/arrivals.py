"""What is told of runs that arrive from elsewhere: `plantain.hub` brings them, `plantain.ui` shows them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Arrivals:
    """How far runs have arrived.

    Attributes
    ----------
    folder : Path
        Whose runs are to be shown.
    arriving : int
        Runs that are still to come.
    refused : dict of str to str
        By a run's name: a sentence that says why it is not shown.
    """

    folder: Path
    arriving: int
    refused: dict[str, str]
