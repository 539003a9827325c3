"""Two runs side by side: in which settings they differ, how alike their t are, which top units they share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from math import comb
from typing import Any, NamedTuple

import numpy as np

from plantain import stats
from plantain.runs.info import NotComparableError
from plantain.runs.run import Run
from plantain.runs.units import CARD, Selection

N_TOP = 20

_SETTINGS = (
    "model", "revision", "fingerprint", "dtype", "device", "size", "seed", "steps", "mask_padding",
    "references_sha256", "vae", "prompt_set", "prompts_sha256",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two runs under one choice of units and scope, unit by unit.

    Attributes
    ----------
    t : float64 array (2, n_units)
        Of the first and the second run; NaN for degenerate units.
    n_units : int
        Units that have a t in both.
    pearson, spearman : float
        Correlation of the two t over those units; NaN where it does not exist.
    n_top : int
        Units by |t| that count as the top of either run.
    shared : tuple of str
        Units in both tops, in the first run's order.
    same_sign : int
        How many of them have t of one sign in both runs.
    expected : float
        Shared units on average if the second run's top were drawn at random: n_top^2 / n_units.
    p : float
        Probability of at least as many shared units then (hypergeometric). Units are not independent: a reference.
    """

    t: np.ndarray
    n_units: int
    pearson: float
    spearman: float
    n_top: int
    shared: tuple[str, ...]
    same_sign: int
    expected: float
    p: float


class Difference(NamedTuple):
    """A setting in which two runs differ, with both values.

    `key` names a field of `RunInfo`, or is ``seeds`` (empty where the only noise seed is the run's seed), ``sides``
    (positive, negative) or ``n_pairs``.
    """

    key: str
    first: Any
    second: Any


def differences(a: Run, b: Run) -> list[Difference]:
    """List the settings in which two runs differ; empty where they do not."""
    mine, theirs = _settings(a), _settings(b)
    return [Difference(key, mine[key], theirs[key]) for key in mine if mine[key] != theirs[key]]


def _settings(run: Run) -> dict[str, Any]:
    i = run.info
    return {key: getattr(i, key) for key in _SETTINGS} | {
        "seeds": () if i.seeds == (i.seed,) else i.seeds,
        "sides": (i.positive, i.negative),
        "n_pairs": len(run.pairs),
    }


def compare(a: Run, b: Run, selection: Selection = CARD, n_top: int = N_TOP) -> Comparison:
    """Compare two runs unit by unit.

    Parameters
    ----------
    a, b : Run
        Of one layout.
    selection : Selection
    n_top : int
        How many units by |t| are the top of a run; half of the units where there are fewer than twice as many.

    Returns
    -------
    Comparison

    Raises
    ------
    NotComparableError
        The runs' models have other numbers of blocks, heads or channels.
    """
    if a.info.layout != b.info.layout:
        raise NotComparableError(
            f"The models have different shapes ({_shape(a)} / {_shape(b)}): no unit of one is a unit of the other, so "
            "that only the figures stand side by side."
        )
    first, second = a.analysis(selection), b.analysis(selection)
    t = np.stack([first.t, second.t])
    both = np.isfinite(t).all(axis=0)
    n_top = min(n_top, int(both.sum()) // 2)
    tops = [[i for i in run.ranking.tolist() if both[i]][:n_top] for run in (first, second)]
    shared = [i for i in tops[0] if i in set(tops[1])]
    n_units = int(both.sum())
    # In whole numbers, exact: scipy.stats would have to be imported for it, which takes longer than the rest.
    at_least = sum(comb(n_top, k) * comb(n_units - n_top, n_top - k) for k in range(len(shared), n_top + 1))
    return Comparison(
        t=t,
        n_units=n_units,
        pearson=stats.pearson(*t[:, both]),
        spearman=stats.spearman(*t[:, both]),
        n_top=n_top,
        shared=tuple(first.table.names[i] for i in shared),
        same_sign=int(np.count_nonzero(np.sign(t[0, shared]) == np.sign(t[1, shared]))),
        expected=n_top**2 / n_units if n_top else math.nan,
        p=at_least / comb(n_units, n_top) if n_top else math.nan,
    )


def _shape(run: Run) -> str:
    shape = run.info.layout
    return f"{shape.n_joint} + {shape.n_single} blocks of {shape.n_heads} heads of {shape.head_dim} channels"
