"""What every family checks of its arrays before it computes."""

from __future__ import annotations

import numpy as np


def checked_diffs(diffs: np.ndarray, min_pairs: int = 2) -> np.ndarray:
    """Return differences as float64 (n_pairs, n_units), or raise ValueError: axes, too few pairs, NaN, infinity."""
    # In one order in memory: sums of the same numbers in another order differ in their last digits.
    diffs = np.ascontiguousarray(diffs, dtype=np.float64)
    if diffs.ndim != 2:
        raise ValueError(f"differences must have shape (n_pairs, n_units), not {diffs.shape}.")
    if diffs.shape[0] < min_pairs:
        raise ValueError(f"{diffs.shape[0]} pairs are too few; at least {min_pairs} are needed.")
    if not np.isfinite(diffs).all():
        raise ValueError("differences contain NaN or infinity.")
    return diffs


def checked_level(level: float) -> float:
    """Return a confidence level, or raise ValueError unless it lies between 0 and 1."""
    if not 0 < level < 1:
        raise ValueError(f"a confidence level lies between 0 and 1; {level} does not.")
    return level
