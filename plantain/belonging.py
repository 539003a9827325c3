"""Which of many runs belong in one atlas. Knows nothing about where they are shown.

`gather`   the runs of one model and one way of running it, one of every prompt set
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from plantain.atlas import MIN_PAIRS, unlike_settings
from plantain.run import Run


@dataclass(frozen=True)
class Gathered:
    """Runs that belong together.

    Attributes
    ----------
    runs : dict of str to Run
        For `atlas.read_axes`, in the order in which they were given.
    left_out : tuple of str
        A sentence for every other run of the same model: its name, and why it is not among them.
    """

    runs: dict[str, Run]
    left_out: tuple[str, ...]


def gather(runs: Mapping[str, Run], selected: str) -> Gathered:
    """Find the runs that belong in one atlas with a run.

    Parameters
    ----------
    runs : mapping of str to Run
        By name.
    selected : str
        One of them. Of two runs of one prompt set it is taken; elsewhere the newest is.

    Returns
    -------
    Gathered
    """
    first = runs[selected]
    same_model = {name: run for name, run in runs.items() if run.info.fingerprint == first.info.fingerprint}
    reasons: dict[str, str] = {}
    by_set: dict[str, list[str]] = {}
    for name, run in same_model.items():
        if unlike := unlike_settings(first.info, run.info):
            reasons[name] = f"differs from {selected} in {unlike}"
        elif len(run.pairs) < MIN_PAIRS:
            reasons[name] = f"has {len(run.pairs)} pairs; {MIN_PAIRS} are needed"
        else:
            by_set.setdefault(run.info.prompts_sha256, []).append(name)
    for names in by_set.values():
        # Of runs made in the same second the first is taken: `max` keeps it.
        taken = max(names, key=lambda name: (name == selected, runs[name].info.date))
        why = "which is chosen above" if taken == selected else "which is newer"
        reasons |= {name: f"is of the same prompt set as {taken}, {why}" for name in names if name != taken}
    kept = {name: run for name, run in same_model.items() if name not in reasons}
    return Gathered(kept, tuple(f"{name} {reason}." for name, reason in reasons.items()))
