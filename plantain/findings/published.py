"""What the model card published: aggregate figures with their source. Never presented as a run of ours.

`load_published`   the figures that every report shows beside its own
`CONTRAST`         what they are of
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from plantain.runs.run import Run

CONTRAST = "helping against ignoring"

PUBLISHED = Path(__file__).resolve().parents[2] / "precomputed" / "published.json"


def load_published(path: str | Path = PUBLISHED) -> dict[str, Any]:
    """Read the card's figures, in the shape of `analysis.summarize` as far as they are known."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


CARD_SIZE = 1024  # pixels; the pipeline's default, assumed for the card


def same_question(run: Run) -> bool:
    """Tell by a run's two sides whether it asks what the published figures answer; else they must not be compared."""
    return f"{run.info.positive} against {run.info.negative}" == CONTRAST


def comparable(run: Run, units: str, scope: str) -> bool:
    """Tell whether the published figures may stand beside a choice: the card's question, passes, units and tokens."""
    return (units, scope) == ("card", "all") and same_question(run) and run.info.is_plain


def unlike_card(run: Run) -> str:
    """Say in what tokens or passes a run is unlike the card's; empty where it is not."""
    if run.info.mask_padding:
        return " but the padding, which is masked"
    return "" if run.info.is_plain else f" (made with {run.info.unusual})"
