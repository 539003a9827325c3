"""What the model card published: aggregate figures with their source. Never presented as a run of this project."""

from __future__ import annotations

from dataclasses import dataclass

from plantain._files import strict_json, strict_record
from plantain.prompts.shipped import RUNS
from plantain.runs.analysis import BlockSummary, LargeEffects, SplitHalf
from plantain.runs.run import Run
from plantain.runs.units import CARD, Selection

CARD_PAIRS = 25

CARD_SIZE = 1024  # pixels; the pipeline's default, assumed for the card

PUBLISHED = RUNS / "published.json"

SIDES = ("helping", "ignoring")
"""Positive and negative side of the published figures."""


@dataclass(frozen=True)
class PublishedCount:
    """Units over a threshold on the card, and the ratio to the 99th percentile of its null, which it does not give."""

    count: int
    percent: float
    ratio: float


@dataclass(frozen=True)
class Sibling:
    """What another card by the same author published of another contrast.

    Attributes
    ----------
    card, contrast : str
        What the card is called, and its contrast in a word or two.
    over_3, over_5 : float or None
        Slices over these |t|, in percent.
    split_half, max_abs_t : float or None
    approximate : bool
        Whether the figures are rounded.
    prompts : str
        What is known of its prompts.
    """

    card: str
    contrast: str
    over_3: float
    over_5: float | None
    split_half: float | None
    max_abs_t: float | None
    approximate: bool
    prompts: str


@dataclass(frozen=True)
class Family:
    """The cards by the same author, the largest count first, and where their figures are from."""

    source: str
    cards: tuple[Sibling, ...]


@dataclass(frozen=True)
class Published:
    """The card's figures: those of `analysis.Summary` as far as they are known, with their source.

    Attributes
    ----------
    name, source, base_model : str
        Of the card on the Hub, its address, and the model whose figures they are.
    note, units_note : str
        What to say beside the figures, and of what the card calls heads.
    family : Family
        Other contrasts. Nobody here has run them on those prompts.
    """

    name: str
    source: str
    base_model: str
    note: str
    units_note: str
    n_units: int
    n_pairs: int
    thresholds: dict[int, PublishedCount]
    large_effect: LargeEffects
    split_half: SplitHalf
    max_abs_t: float
    top_blocks: tuple[BlockSummary, ...]
    family: Family


def load_published() -> Published:
    """Read the card's figures."""
    return strict_record(Published, strict_json(PUBLISHED.read_bytes()), "published")


def same_question(run: Run) -> bool:
    """Tell by a run's two sides whether it asks what the published figures answer; else they must not be compared."""
    return (run.info.positive, run.info.negative) == SIDES


def comparable(run: Run, selection: Selection) -> bool:
    """Tell whether the published figures may stand beside a choice: the card's question, units, tokens, way, n.

    Never beside the practice model's, whose prompts are about another world.
    """
    like_card = same_question(run) and run.info.is_plain and len(run.pairs) == CARD_PAIRS
    return selection == CARD and like_card and run.info.weights != "practice"
