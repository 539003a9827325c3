"""Pairs that a rule tells right: what is counted, over which tokens, and from which flips its p comes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from plantain import stats
from plantain.runs.run import Run
from plantain.runs.units import Selection

N_FLIPS = 9_999

LEFT_OUT = "leave one pair out"

IMAGE = Selection("heads", "image")

EMBEDDING = Selection("embedding", "all")

MAGNITUDE, DIRECTION = "magnitude", "direction"

_STREAM = 5  # of the run's seed; 0 to 4 are the run's draws and `inference`'s


@dataclass(frozen=True)
class Told:
    """How many pairs one rule tells right.

    Attributes
    ----------
    k, n : int
        Pairs told right, and pairs.
    p : float
        Of at least `k` where nothing is true: by sign flips of the whole procedure, or exact for a frozen rule; for
        a control's rule, which has no natural sign, two-sided.
    error : float
        Standard error of `p` over the drawn flips; 0 where it is exact.
    rule : str
        `LEFT_OUT`, or the name of the run that it was learned on.
    units, scope : str
    measure : {"magnitude", "direction"}
        What of the units the rule goes by.
    cosine : float or None
        Of a frozen rule of directions with the rule of the pairs that it is tried on, without the noise of either: 1
        where both are one. A rule that hardly fits tells all pairs right as well, if its set's pairs agree. None
        elsewhere, and where one of the two sets does not tell its own held-out pairs right at p <= .05: what divides
        it is then as good as zero.
    cosine_interval : tuple of float or None
        95%, by leaving one pair of either set out at a time; None where there is no cosine.
    """

    k: int
    n: int
    p: float
    error: float
    rule: str
    units: str
    scope: str
    measure: str = field(default=MAGNITUDE, kw_only=True)
    cosine: float | None = field(default=None, kw_only=True)
    cosine_interval: tuple[float, float] | None = field(default=None, kw_only=True)


def told(test: stats.HeldOut, rule: str, selection: Selection = IMAGE, measure: str = MAGNITUDE) -> Told:
    """Say of a test's count what it is of."""
    return Told(**vars(test), rule=rule, units=selection.units, scope=selection.scope, measure=measure)


def held_out_flips(run: Run) -> np.ndarray:
    """Draw the sign flips of a run's counts, int8 (`N_FLIPS`, n_pairs), from its seed."""
    return stats.draw_signs(N_FLIPS, len(run.pairs), np.random.default_rng((run.info.seed, _STREAM)))
