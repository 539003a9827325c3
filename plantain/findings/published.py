"""What the model card published: aggregate figures with their source, never presented as a run of ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from plantain.runs.run import Run

PUBLISHED = Path(__file__).resolve().parents[2] / "precomputed" / "published.json"

SIDES = ("helping", "ignoring")
"""Positive and negative side of the published figures."""

CARD_SIZE = 1024  # pixels; the pipeline's default, assumed for the card


def load_published() -> dict[str, Any]:
    """Read the card's figures, in the shape of `analysis.summarize` as far as they are known."""
    return json.loads(PUBLISHED.read_text(encoding="utf-8"))


def same_question(run: Run) -> bool:
    """Tell by a run's two sides whether it asks what the published figures answer; else they must not be compared."""
    return (run.info.positive, run.info.negative) == SIDES


def comparable(run: Run, units: str, scope: str) -> bool:
    """Tell whether the published figures may stand beside a choice: the card's question, passes, units and tokens."""
    return (units, scope) == ("card", "all") and same_question(run) and run.info.is_plain
