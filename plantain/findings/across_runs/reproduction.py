"""A run held against the card that it repeats: every figure of the card, published and obtained."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from plantain.findings.published import Published, same_question
from plantain.prompts.sets import known_sets
from plantain.runs.analysis import BlockSummary, Summary, blocks
from plantain.runs.info import NotComparableError
from plantain.runs.run import Run


class Prompts(Enum):
    """Whose prompts a run has. The card does not publish its own: only who holds them can say that they are these."""

    SAME = "same"  # the caller says that they are the card's
    GIVEN = "given"  # somebody's, of whom it was not said
    OURS = "ours"  # the project's


@dataclass(frozen=True)
class Figure:
    """One figure of the card's table.

    Attributes
    ----------
    name : str
    kind : {"count", "ratio", "r", "quartiles", "t"}
        How it is written. Counts come with their percentage, quartiles are two numbers.
    published, obtained : tuple of float
        Empty where it does not exist.
    """

    name: str
    kind: str
    published: tuple[float, ...]
    obtained: tuple[float, ...]


@dataclass(frozen=True)
class Block:
    """One block of the card's list.

    Attributes
    ----------
    published : BlockSummary
    obtained : BlockSummary or None
        None where the model has no such block.
    rank : int or None
        Its place by max |t| in the run.
    n_blocks : int
        Of the run.
    """

    published: BlockSummary
    obtained: BlockSummary | None
    rank: int | None
    n_blocks: int


@dataclass(frozen=True)
class Reproduction:
    """Everything that the card states, beside what a run found.

    Attributes
    ----------
    figures : tuple of Figure
    blocks : tuple of Block
        In the card's order.
    same_units : bool
        Whether the run has as many units as the card. Else only shares and split-half r compare: what is a count, a
        largest value or a block of so many units is another thing.
    same_pairs : bool
        Whether it has as many pairs as the card. Else nothing compares: t, d and r all depend on their number.
    prompts : Prompts
    """

    figures: tuple[Figure, ...]
    blocks: tuple[Block, ...]
    same_units: bool
    same_pairs: bool
    prompts: Prompts


def reproduce(run: Run, published: Published, same_prompts: bool) -> Reproduction:
    """Hold a run against the card.

    Parameters
    ----------
    run : Run
        Of the card's question.
    published : Published
    same_prompts : bool
        Whether somebody who holds the card's prompts says that these are the same.

    Raises
    ------
    NotComparableError
        The run asks another question than the card.
    """
    if not same_question(run):
        raise NotComparableError(
            f"the card is of another contrast than {run.info.positive} against {run.info.negative}: its figures do "
            "not compare."
        )
    mine, found = run.headline(), blocks(run.analysis())
    places = {block.block: (place, block) for place, block in enumerate(found, 1)}
    rows = []
    for block in published.top_blocks:
        rank, obtained = places.get(block.block, (None, None))
        rows.append(Block(block, obtained, rank, len(found)))
    prompts = Prompts.OURS if run.info.prompts_sha256 in known_sets() else Prompts.GIVEN
    return Reproduction(
        _figures(published, mine),
        tuple(rows),
        mine.n_units == published.n_units,
        mine.n_pairs == published.n_pairs,
        Prompts.SAME if same_prompts else prompts,
    )


def _figures(published: Published, mine: Summary) -> tuple[Figure, ...]:
    rows = []
    for threshold, theirs in published.thresholds.items():
        own = mine.thresholds[threshold]
        rows += [
            Figure(f"|t| > {threshold}", "count", (theirs.count, theirs.percent), (own.count, own.percent)),
            Figure(f"|t| > {threshold}, times the null's p99", "ratio", (theirs.ratio,), _known(own.ratio)),
        ]
    large, own, r = published.large_effect, mine.large_effect, published.split_half
    name = f"|d| > {large.threshold:g} (large)"
    quartiles = mine.split_half.q25, mine.split_half.q75
    return (
        *rows,
        Figure(name, "count", (large.count, large.percent), (own.count, own.percent)),
        Figure("Split-half r, median", "r", _known(r.median), _known(mine.split_half.median)),
        Figure("Split-half r, quartiles", "quartiles", _known(r.q25, r.q75), _known(*quartiles)),
        Figure("Max |t|", "t", (published.max_abs_t,), (mine.max_abs_t,)),
    )


def _known(*values: float | None) -> tuple[float, ...]:
    return () if None in values else values
