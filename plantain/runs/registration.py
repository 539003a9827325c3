"""What was fixed before anyone looked: the file PREREGISTRATION.md, and which runs and figures keep to it."""

from __future__ import annotations

import hashlib
from contextlib import suppress

from plantain.models.load import KLEIN
from plantain.prompts.sets import shipped_sets
from plantain.prompts.shipped import REGISTRATION
from plantain.runs.info import Conditions, RunInfo
from plantain.runs.units import Selection

SELECTION = Selection("heads", "image")

MEASURE = "direction"

CONDITIONS = Conditions(1024, (0,))


def registration_sha256() -> str | None:
    """Return the SHA-256 (hex) of the file that is shipped; None where there is none."""
    with suppress(OSError):
        return hashlib.sha256(REGISTRATION.read_bytes()).hexdigest()
    return None


def departures(
    info: RunInfo, selection: Selection = SELECTION, role: str = "axis", measure: str = MEASURE
) -> tuple[str, ...]:
    """Name in what a figure departs from the preregistered one; empty where it is that one.

    Parameters
    ----------
    info : RunInfo
        Of the run.
    selection : Selection
        Of the figure.
    role : str
        ``axis`` for the headline; ``replication`` for a run on whose pairs the headline's rule is tried.
    measure : {"direction", "magnitude"}
        What the figure goes by: magnitudes where the run keeps no directions.
    """
    known = shipped_sets().get(info.prompts_sha256)
    kept = {
        "weights": info.weights == "pretrained" and info.model == KLEIN,
        "prompts": known is not None and known[1].role == role,
        "image size, seeds or steps": info.conditions == CONDITIONS and info.seed == CONDITIONS.seeds[0],
        "reference images": not info.references,
        "units or tokens": selection == SELECTION,
        "measure": measure == MEASURE,
        "the file itself": info.preregistration is not None and info.preregistration == registration_sha256(),
    }
    return tuple(name for name, same in kept.items() if not same)
