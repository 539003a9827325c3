"""The heads that a command line names: a run's top heads, random ones beside them, or heads by name."""

from __future__ import annotations

import re

import numpy as np

from plantain import stats
from plantain.findings.told import IMAGE
from plantain.runs.run import Run
from plantain.runs.units import SelectionError, find_units, unit_table

SPEC = "top:K, random:K, or names such as single[19].3 with commas between them"

_STREAM, _OTHERS = 10, 12  # of the run's seed, for random heads; 0 to 9 and 11 are other draws'


def heads_by_score(run: Run) -> np.ndarray:
    """Return the run's heads by how well its pairs agree in their directions at image tokens, int (n_heads,).

    Where the run keeps no directions, by the |t| of their magnitudes there.
    """
    if run.keeps(IMAGE):
        scores = run.direction_analysis(IMAGE).agreement.mean
    else:
        scores = np.abs(np.nan_to_num(run.analysis(IMAGE).t))
    return np.argsort(-scores, kind="stable")


def chosen_heads(run: Run, spec: str) -> np.ndarray:
    """Return the heads that were asked for, int (n,), places in ``unit_table(layout, Selection("heads", "image"))``.

    Parameters
    ----------
    run : Run
    spec : str
        ``top:10``: the first of `heads_by_score`. ``random:10``: as many in every block as the top ones, drawn by the
        run's seed; some may be top heads again. Names as `runs.units.find_units` takes them, with commas.

    Raises
    ------
    SelectionError
        There are no such heads.
    """
    of = re.fullmatch(r"(top|random):(\d{1,6})", spec.strip())
    table = unit_table(run.info.layout, IMAGE)
    if of is None:
        found = find_units(run.info.layout, IMAGE, spec.split(","))
        if len(set(found.tolist())) < len(found):
            raise SelectionError(f"{spec[:60]}: a head is named twice; name each once.")
        return found
    k = int(of[2])
    if not 1 <= k <= table.n_units:
        raise SelectionError(f"{spec}: the run has {table.n_units} heads; choose 1 to {table.n_units} of them.")
    top = heads_by_score(run)[:k]
    if of[1] == "top":
        return top
    blocks = np.unique(table.block, return_inverse=True)[1]
    (permutation,) = stats.draw_permutations(blocks, 1, np.random.default_rng((run.info.seed, _STREAM)))
    return permutation[top]


def others_like(run: Run, heads: np.ndarray) -> np.ndarray:
    """Draw as many other heads of the same blocks by the run's seed, int (n,).

    Where a block has too few others, some of the heads themselves fill up.

    Parameters
    ----------
    run : Run
    heads : int array (n,)
        Places, as of `chosen_heads`.
    """
    block, rng = unit_table(run.info.layout, IMAGE).block, np.random.default_rng((run.info.seed, _OTHERS))
    drawn = []
    for name in dict.fromkeys(block[heads]):
        there = np.flatnonzero(block == name)
        own = np.isin(there, heads)
        drawn.append(np.concatenate([rng.permutation(there[~own]), rng.permutation(there[own])])[: own.sum()])
    return np.concatenate(drawn)
