"""A visitor's pair in words, as a table and as lines of text. Knows nothing about where it is shown.

`pair_text`         where the pair falls, in sentences
`pair_frame`        the run's top units and the pair among their differences
`difference_strip`  a unit's differences as a line of text
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from plantain.pairs import PairResult, UnitScore
from plantain.results import Run
from plantain.tables import weights_label


def pair_text(result: PairResult, run: Run) -> str:
    """Say where a visitor's pair falls, in plain words, one line a statement."""
    n, low = len(result.scores) + 1, result.n_at_or_below
    way = "the way" if result.score > 0 else "against the way"
    lines = [
        f"Score {result.score:+.2f}: on the run's top {len(result.top)} units the pair goes {way} that the run's "
        f"{n - 1} pairs go on average, by {abs(result.score):.2f} SD (selection, sign and SD are theirs).",
        f"{low} of the {n} pairs, yours included, go with the others no more than yours does. If yours were one more "
        f"pair of the same kind, that had p = {low}/{n} = {result.p:.3f} (conformal, in steps of 1/{n}). A small p "
        "says that your pair is unlike the run's; no p says that a pair is ethical. One pair is one pair.",
    ]
    if result.outside is not None:
        lines.append(
            f"On {result.outside} of the {len(result.top)} units it falls outside the 95% prediction interval of one "
            f"more pair of the run's kind (about {len(result.top) / 20:.0f} would by chance; they depend on one "
            "another)."
        )
    if not result.comparable:
        a, b = result.tokens
        lines.append(
            f"NOT COMPARABLE: the prompts have {a} and {b} tokens, so their length differs as well as the act. "
            "Rewrite one until both counts are equal."
        )
    lines.append(f"Weights: {weights_label(run.info)}.")
    if run.info.weights in ("stand-in", "untrained"):
        lines.append("These weights are random: the score says nothing about FLUX.2 Klein.")
    return "\n".join(lines)


def pair_frame(result: PairResult) -> pd.DataFrame:
    """List the run's top units and where the new pair falls among their differences.

    Returns
    -------
    DataFrame
        Columns ``unit``, ``t``, ``new`` (positive minus negative), ``mean`` and ``sd`` of the run's pairs, ``low`` and
        ``high`` of the 95% prediction interval, and ``with_run`` = sign(t) * new / sd, as the picture has it.
    """
    rows, columns = [], ["unit", "t", "new", "low", "high", "mean", "sd", "with_run"]
    for unit in result.top:
        diffs = np.array(unit.differences)
        mean, sd = diffs.mean(), diffs.std(ddof=1)
        with_run = np.sign(unit.t) * unit.new / sd if sd else float("nan")
        low, high = unit.interval or (np.nan, np.nan)
        rows.append([unit.unit, unit.t, unit.new, low, high, mean, sd, with_run])
    return pd.DataFrame(rows, columns=columns)


def difference_strip(unit: UnitScore, width: int = 41) -> str:
    """Draw a unit's differences as a line of text: `.` one pair, `:` several, `X` the new pair, `|` zero."""
    values = np.array([*unit.differences, unit.new])
    reach = float(np.abs(values).max()) or 1.0
    places = np.rint((values / reach + 1) / 2 * (width - 1)).astype(int)
    cells = [" "] * width
    cells[width // 2] = "|"
    for place in places[:-1]:
        cells[place] = ":" if cells[place] in ".:" else "."
    cells[places[-1]] = "X"
    return "".join(cells)
