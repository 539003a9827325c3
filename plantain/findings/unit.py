"""One unit of a run: its differences, their mean, its rank, and its t in every scope and of its slices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plantain import stats
from plantain.findings.directions import unit_directions
from plantain.runs.inference import unit_p
from plantain.runs.run import Run
from plantain.runs.scopes import UNITS
from plantain.runs.units import Selection, SelectionError, UnitTable, magnitudes, unit_table


@dataclass(frozen=True, eq=False)
class UnitDirection:
    """What the directions of one unit say.

    Attributes
    ----------
    told, n_pairs : int
        Pairs that its directions tell right, each by all others, and pairs.
    agreement, p, p_fwer : float
        As in `stats.Agreement`.
    cosines : float64 array (n_pairs,)
        Of every pair's direction with the mean direction of all others.
    """

    told: int
    n_pairs: int
    agreement: float
    p: float
    p_fwer: float
    cosines: np.ndarray


@dataclass(frozen=True, eq=False)
class UnitProfile:
    """One unit of a run under one scope.

    Attributes
    ----------
    units, scope, name : str
    index : int
        Its place among the units of its kind and scope.
    rank : int or None
        By |t| among the tested units of its kind; None for a degenerate one.
    n_units : int
        Tested units of its kind.
    t, dz : float
        NaN for a degenerate unit.
    p, p_error : float
        Two-sided sign-flip p of this unit alone, and its standard error where the flips were drawn, as above 30 pairs;
        0 where it is exact. NaN for a degenerate unit.
    mean : float
        Of the differences, in the unit of the activations.
    interval : tuple of float
        95% interval of the mean (Student's t).
    percent : float
        The mean in percent of the unit's mean magnitude; NaN for a unit that is always zero.
    rms_percent : float
        The RMS of the differences in percent of it, whichever way they point.
    differences : float64 array (n_pairs,)
    magnitudes : float64 array (2, n_pairs)
    scopes : dict of str to float
        t of the same unit in every scope that it has.
    slices : dict of str to float
        t of the card's slices inside the unit, by name; empty for a slice.
    direction : UnitDirection or None
        None where the run keeps no directions of the unit.
    """

    units: str
    scope: str
    name: str
    index: int
    rank: int | None
    n_units: int
    t: float
    dz: float
    p: float
    p_error: float
    mean: float
    interval: tuple[float, float]
    percent: float
    rms_percent: float
    differences: np.ndarray
    magnitudes: np.ndarray
    scopes: dict[str, float]
    slices: dict[str, float]
    direction: UnitDirection | None = None


def find_unit(run: Run, name: str) -> str:
    """Return the kind of units that a name belongs to.

    Raises
    ------
    SelectionError
        The run has no unit of that name.
    """
    for units in UNITS:
        if name in unit_table(run.info.layout, Selection(units, "all")).names:
            return units
    raise SelectionError(f"This run has no unit “{name}”. Choose a block and a unit in it.")


def profile_unit(run: Run, name: str, scope: str = "all") -> UnitProfile:
    """Look at one unit.

    Parameters
    ----------
    run : Run
    name : str
        As in `units.UnitTable.names`, such as ``single[7] head 3``.
    scope : str
        Where the unit has no tokens of it, as image-stream heads of joint blocks have none but the image's, ``all``
        is taken; the result says which.

    Returns
    -------
    UnitProfile

    Raises
    ------
    SelectionError
        The run has no unit of that name.
    """
    units = find_unit(run, name)
    if scope not in run.scopes(units) or name not in unit_table(run.info.layout, Selection(units, scope)).names:
        scope = "all"
    a = run.analysis(Selection(units, scope))
    index = a.table.names.index(name)
    diffs, place = a.differences[:, index], np.flatnonzero(a.ranking == index)
    size = a.magnitudes[:, :, index]
    p, error = (float(value[0]) for value in unit_p(diffs[:, None], run.info.seed)) if len(place) else (np.nan, np.nan)
    return UnitProfile(
        units=units,
        scope=scope,
        name=name,
        index=index,
        rank=int(place[0]) + 1 if len(place) else None,
        n_units=len(a.ranking),
        t=float(a.t[index]),
        dz=float(a.dz[index]),
        p=p,
        p_error=error,
        mean=float(diffs.mean()),
        interval=stats.mean_interval(diffs),
        percent=float(100 * diffs.mean() / size.mean()) if size.any() else float("nan"),
        rms_percent=float(a.rms_percent[index]),
        differences=diffs,
        magnitudes=size,
        scopes=_t_by_scope(run, units, name),
        slices=_t_of_slices(run, Selection(units, scope), a.table, index),
        direction=_direction(run, Selection(units, scope), index),
    )


def _direction(run: Run, selection: Selection, index: int) -> UnitDirection | None:
    found = unit_directions(run, selection)
    if found is None:
        return None
    a = found.agreement
    cosines = stats.held_out_cosines(run.vectors(selection)[:, :, [index]])[:, 0]
    own = (float(values[index]) for values in (a.mean, a.p, a.p_fwer))
    return UnitDirection(int(a.told[index]), len(cosines), *own, cosines)


def _t_by_scope(run: Run, units: str, name: str) -> dict[str, float]:
    """Return t in every scope that the unit has; without the nulls of an analysis, which nobody asked for here."""
    found = {}
    for scope in run.scopes(units):
        names = unit_table(run.info.layout, Selection(units, scope)).names
        if name not in names:
            continue
        try:
            values = magnitudes(run.sums, run.info.layout, Selection(units, scope))[:, :, [names.index(name)]]
        except SelectionError:  # a prompt that fills all tokens has no padding
            continue
        found[scope] = float(stats.paired_t(stats.paired_differences(*values))[0])
    return found


def _t_of_slices(run: Run, selection: Selection, table: UnitTable, index: int) -> dict[str, float]:
    """Return t of the card's slices that lie in the unit; the text stream has none, for the card leaves it out."""
    if selection.units not in ("heads", "mlp"):
        return {}
    a, start = run.analysis(Selection("card", selection.scope)), int(table.channel[index])
    inside = (a.table.block == table.block[index]) & (a.table.channel >= start)
    inside &= a.table.channel < start + table.width
    return {a.table.names[i]: float(a.t[i]) for i in np.flatnonzero(inside)}
