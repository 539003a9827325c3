"""What a run is for in an atlas: the role of its prompt set."""

from __future__ import annotations

from collections.abc import Mapping

from plantain.prompts.sets import is_shipped, known_sets
from plantain.runs.run import Run

OTHER = "other"  # of a set that says no role


def known_role(prompts_sha256: str, said: str | None, given: Mapping[str, str] | None = None) -> str:
    """Return the role of a prompt set, or an empty text.

    Parameters
    ----------
    prompts_sha256 : str
        Of the set. The project's own sets keep their roles, their former texts too.
    said : str or None
        What the set said when the run was made.
    given : mapping of str to str, optional
        Roles by hash that count before it.
    """
    known = known_sets().get(prompts_sha256)
    return known[1].role if known else (given or {}).get(prompts_sha256) or said or ""


def roles_of(runs: Mapping[str, Run], given: Mapping[str, str] | None = None) -> dict[str, str]:
    """Give runs the roles of their prompt sets.

    A set that says no role is the axis where no set says that it is, and no other set says nothing; else `OTHER`.
    """
    roles = {name: known_role(run.info.prompts_sha256, run.info.role, given) for name, run in runs.items()}
    silent = [name for name, role in roles.items() if not role]
    if len(silent) == 1 and "axis" not in roles.values():
        roles[silent[0]] = "axis"
    return {name: role or OTHER for name, role in roles.items()}


def origin(run: Run) -> int:
    """Tell whose prompt set a run's is: 0 the project's own, 1 a former text of it, 2 somebody else's."""
    sha256 = run.info.prompts_sha256
    return (not is_shipped(sha256)) + (sha256 not in known_sets())


def is_of_axis(axis: Run, replication: Run) -> bool:
    """Tell whether a replication asks an axis' question: its sides have the same names."""
    return _sides(axis) == _sides(replication)


def _sides(run: Run) -> tuple[str, str]:
    return run.info.positive.casefold(), run.info.negative.casefold()
