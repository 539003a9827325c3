"""What the model card published: aggregate figures with their source. Never presented as a run of ours.

`load_published`   the figures that every report shows beside its own
`CONTRAST`         what they are of
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CONTRAST = "helping against ignoring"
PUBLISHED = Path(__file__).resolve().parent.parent / "precomputed" / "published.json"


def load_published(path: str | Path = PUBLISHED) -> dict[str, Any]:
    """Read the card's figures, in the shape of `analysis.summarize` as far as they are known."""
    return json.loads(Path(path).read_text(encoding="utf-8"))
