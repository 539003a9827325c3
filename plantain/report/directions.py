"""What a run's directions show, as text and as JSON values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from plantain._files import plain
from plantain.findings.directions import MIN_OF_KIND, AtTime, KindTransfer, directions, keeps_directions
from plantain.findings.told import IMAGE
from plantain.report import tables
from plantain.report.numbers import LEVEL, number
from plantain.report.verdict import count_words
from plantain.runs.run import Run

NOTE = (
    "A head's direction in a pair is the difference of its two mean vectors, without the part along the head's mean "
    "over all prompts, scaled to length 1: a head that is only louder has none. The agreement is the mean cosine of "
    "two pairs' directions. The table lists the heads that agree most, so its agreements are larger than the truth."
)

TIMES = "Time falls from 1, pure noise, towards 0, the finished image; both sides of a pair see the same picture."

COLUMNS = {
    "head": "the block and which of its heads",
    "pairs told right": "held-out pairs that this head's directions alone tell right, each by all other pairs",
    "agreement": tables.DIRECTION_COLUMNS["agreement"],
    "p": "of the agreement, by sign flips of whole pairs, of this head alone",
    "family-wise p": "of the agreement, against the largest of all heads, each in units of its spread under flips",
}
"""What the columns of `heads_frame` mean."""


def heads_frame(run: Run, n: int | None) -> pd.DataFrame:
    """List the heads whose pairs agree most at image tokens, by family-wise p and then by agreement.

    Parameters
    ----------
    run : Run
        One that keeps directions.
    n : int or None
        How many; None for all.

    Returns
    -------
    DataFrame
        Columns as in `COLUMNS`.
    """
    found = run.direction_analysis(IMAGE)
    a = found.agreement
    order = np.lexsort((-a.mean, a.p_fwer))[:n]
    rows = [[found.table.names[i], int(a.told[i]), *map(float, (a.mean[i], a.p[i], a.p_fwer[i]))] for i in order]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def direction_blocks(run: Run, top: int | None) -> list[str]:
    """Write the block of directions (markdown); nothing where a run keeps magnitudes alone."""
    if not keeps_directions(run):
        return []
    return [
        f"## Directions\n\n{NOTE}",
        tables.frame_table(heads_frame(run, top), 3),
        tables.columns_text(COLUMNS),
        "\n".join(f"- {line}" for line in direction_lines(run)),
    ]


def direction_lines(run: Run) -> list[str]:
    """Write in sentences what a run's directions show beyond the headline."""
    found = directions(run)
    lines = [
        f"At image tokens {found.n_fwer_05:,} of {found.n_units:,} heads have a family-wise p of at most {LEVEL:g}.",
        f"The held-out scores have a d' (mean over standard deviation) of {_strength(found.strengths['rule'])} from "
        f"the heads at image tokens, {_strength(found.strengths['all_tokens'])} from the heads over all tokens and "
        f"{_strength(found.strengths['embedding'])} from the prompt embedding.",
    ]
    if found.categories:
        told = count_words(found.categories)
        lines.append(
            f"Pairs told right by a rule that was learned on the other categories alone: {told}; by flips of whole "
            f"categories p = {found.categories_p:.2g}, which holds where the pairs of one are alike too."
        )
    lines.extend(map(_between, found.kinds))
    return [*lines, *time_lines(run)]


def time_lines(run: Run) -> list[str]:
    """Write a sentence for every time at which both sides saw the same picture; nothing where there is one time."""
    found = directions(run).times
    return [TIMES, *map(_at, found)] if found else []


def _at(part: AtTime) -> str:
    return (
        f"At time {part.time:g} the heads tell {part.k} of {part.n} pairs right; their mean agreement is "
        f"{part.agreement:.3f} (p = {part.p:.2g}, against the largest of all times {part.p_fwer:.2g})."
    )


def _strength(value: float | None) -> str:
    return number(value, ".2f", "not defined")


def _between(part: KindTransfer) -> str:
    rule = f"A rule learned on {part.learned} and tested on {part.tested}"
    if part.k is None:
        return f"{rule} is not estimable with fewer than {MIN_OF_KIND} pairs of a kind."
    return f"{rule} tells {part.k} of {part.n} pairs right (p = {part.p:.2g})."


def direction_answer(run: Run, top: int | None) -> dict[str, Any] | None:
    """Return what `direction_blocks` writes as JSON values; None where a run keeps magnitudes alone.

    Returns
    -------
    dict or None
        The fields of `findings.directions.Directions`; ``top``, the heads as in `heads_frame`; and ``columns``, which
        says what its columns mean.
    """
    if not keeps_directions(run):
        return None
    return {**plain(directions(run)), "top": tables.records(heads_frame(run, top)), "columns": COLUMNS}
