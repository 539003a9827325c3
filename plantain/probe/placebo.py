"""The placebo of a run: one prompt as both sides of a pair. What differs between its sides is noise of the passes."""

from __future__ import annotations

import numpy as np

from plantain.prompts.sets import PromptPair
from plantain.runs.capture import PairCapture
from plantain.runs.units import Layout, Selection, magnitudes


def placebo(pair: PromptPair) -> PromptPair:
    """Return a pair's positive prompt as both sides, under the pair's id, so that it gets the same reference image."""
    return PromptPair(pair.id, pair.category, pair.positive, pair.positive)


def floor_percent(capture: PairCapture, layout: Layout) -> float:
    """Return how far the two sides of a placebo differ.

    Parameters
    ----------
    capture : PairCapture
        Of the placebo.
    layout : Layout

    Returns
    -------
    float
        The largest difference in percent of the magnitude, over heads, for all tokens and for image tokens alone.
    """
    return max(_largest(magnitudes(capture.sums, layout, Selection("heads", scope))) for scope in ("all", "image"))


def _largest(sides: np.ndarray) -> float:
    size = sides.mean(axis=(0, 1))
    there = size > 0
    return float(np.max(100 * np.abs(sides[0, 0] - sides[1, 0])[there] / size[there], initial=0.0))
