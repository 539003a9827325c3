"""How far a run's repeated measures, its seeds and denoising steps, agree with one another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plantain import stats
from plantain.runs.analysis import THRESHOLDS, ranked
from plantain.runs.capture import SumsOfSquares
from plantain.runs.run import Run
from plantain.runs.units import CARD, Selection, magnitudes

N_TOP = 20


@dataclass(frozen=True)
class Repeat:
    """One repeated measure: what a run of it alone would have found, and how that agrees with the rest.

    Attributes
    ----------
    name : str
        As ``seed 1, step 2 of 4``.
    over : tuple of int
        Units over each of `THRESHOLDS`.
    max_abs_t : float
    r_others : float
        Pearson correlation of its t over the units with that of the average of all other measures.
    same_sign : int
        Of the `n_top` units with the largest |t| in the average of all other measures, those that have the same sign
        here: the measure takes no part in choosing them.
    n_top : int
    """

    name: str
    over: tuple[int, ...]
    max_abs_t: float
    r_others: float
    same_sign: int
    n_top: int


def stability(run: Run, selection: Selection = CARD) -> list[Repeat]:
    """Look at every repeated measure of a run by itself.

    The pairs are the sample: measures are averaged within a pair, and more of them are no more pairs.

    Parameters
    ----------
    run : Run
    selection : Selection

    Returns
    -------
    list of Repeat
        Empty where every prompt went through once.
    """
    found = []
    for i, name in enumerate(run.info.conditions.repeats if run.repeats else ()):
        t = _t(run, run.repeats[i], selection)
        others = _t(run, SumsOfSquares.average([r for j, r in enumerate(run.repeats) if j != i]), selection)
        both = np.isfinite(t) & np.isfinite(others)
        top = ranked(np.where(both, others, np.nan))[:N_TOP]
        found.append(
            Repeat(
                name=name,
                over=tuple(int(np.count_nonzero(np.abs(t[both]) > threshold)) for threshold in THRESHOLDS),
                max_abs_t=float(np.abs(t[both]).max(initial=0.0)),
                r_others=float(stats.pearson(t[both], others[both])),
                same_sign=int(np.count_nonzero(np.sign(t[top]) == np.sign(others[top]))),
                n_top=len(top),
            )
        )
    return found


def _t(run: Run, sums: SumsOfSquares, selection: Selection) -> np.ndarray:
    return stats.paired_t(stats.paired_differences(*magnitudes(sums, run.info.layout, selection)))
