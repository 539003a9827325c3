"""The runs that a page can show: saved ones, and the last few that visitors made.

`RunStore`   by name; a visitor's run is kept in memory under a name that only that visitor is told
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from plantain import PlantainError
from plantain.results import Run, list_runs
from plantain.scopes import UNITS

KEPT = 8  # visitors' runs; one of full size holds 13 MB


class NoRunError(PlantainError, KeyError):
    """A run that does not exist here, or no more."""

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError would put quotes around it


class RunStore:
    """Saved runs of folders, read once, and visitors' runs of this process.

    Parameters
    ----------
    folder : path
        Of runs that are one's own.
    others : mapping of str to path, optional
        Folders of runs that are somebody else's, by whose: a run is called ``NAME (WHOSE)``, and not shown where it is
        one's own.
    notices : sequence of str
        What else the page should say above its tabs.

    Attributes
    ----------
    folder : Path
        Of one's own runs.
    saved : dict of str to Run
    problems : dict of str to str
        Folders that could not be read, with the reason.
    """

    def __init__(
        self, folder: str | Path, others: Mapping[str, str | Path] | None = None, notices: Sequence[str] = ()
    ) -> None:
        self.folder = Path(folder)
        self.saved, self.problems = list_runs(folder)
        for whose, other in (others or {}).items():
            runs, damaged = list_runs(other)
            self.problems |= damaged
            self.saved |= {f"{n} ({whose})": run for n, run in runs.items() if not self._has(n, run)}
        self.notices = tuple(notices)
        self._visitors: OrderedDict[str, Run] = OrderedDict()

    def _has(self, name: str, run: Run) -> bool:
        return name in self.saved and self.saved[name].capture_sha256 == run.capture_sha256

    def warm(self) -> None:
        """Compute what the page shows of every saved run before a visitor asks; what is seen first, first."""
        for run in self.saved.values():
            run.summary()
        for run in self.saved.values():
            for units in UNITS:
                for scope in run.scopes(units):
                    with suppress(PlantainError):  # as where a prompt has no token of the scope; the page says so
                        run.headline(units, scope)

    def add(self, run: Run) -> str:
        """Keep a visitor's run in memory; return its name."""
        name = f"probe-{run.info.date[:16].replace(':', '')}-{secrets.token_hex(4)}"
        self._visitors[name] = run
        while len(self._visitors) > KEPT:
            self._visitors.popitem(last=False)
        return name

    def find(self, name: str | None) -> Run | None:
        """Return a run by name, or None."""
        return self.saved.get(name) or self._visitors.get(name)

    def get(self, name: str) -> Run:
        """Return a run by name.

        Raises
        ------
        NoRunError
            There is no such run, or it was a visitor's and newer ones took its place.
        """
        run = self.find(name)
        if run is None:
            raise NoRunError("There is no run of that name (any more). Choose another, or run the probe again.")
        return run
