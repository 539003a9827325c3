"""Numbers as text. Every table and sentence formats its numbers here, so that one value reads alike everywhere."""

from __future__ import annotations

from collections.abc import Sequence

from plantain.findings.published import PublishedCount
from plantain.runs.analysis import LargeEffects, ThresholdCount

DASH = "–"

LEVEL = 0.05  # a p that is no larger is called more than chance


def number(value: float | None, form: str = ".2f", missing: str = DASH) -> str:
    """Format a number; None and NaN become `missing`."""
    return missing if value is None or value != value else f"{value:{form}}"


def minus(number: str) -> str:
    """Write a number with a real minus sign."""
    return number.replace("-", "−")


def count(part: ThresholdCount | PublishedCount | LargeEffects | None) -> str:
    """Format a count with its share of all units, as ``65 (0.4%)``."""
    return DASH if part is None else f"{part.count:,} ({part.percent:.1f}%)"


def interval(ends: Sequence[float | None]) -> str:
    """Format an interval, as ``[0.10, 0.25]``; a dash where an end does not exist."""
    return DASH if None in ends else f"[{ends[0]:.2f}, {ends[1]:.2f}]"


def percent(part: float, ends: Sequence[float | None]) -> str:
    """Format a share with its interval, as ``83% [61, 104]``; a dash where an end does not exist."""
    low, high = (DASH if end is None else f"{100 * end:.0f}" for end in ends)
    return f"{100 * part:.0f}% [{low}, {high}]"


def span(ends: Sequence[float | None]) -> str:
    """Format a range of counts, as ``40 to 1,200``; None is an end that is open."""
    return " to ".join(number(end, ",.0f", "no limit") for end in ends)


def share(p: float) -> str:
    """Format a probability as a percentage with two digits."""
    return f"{100 * p:.0f}%" if p >= 0.1 else f"{100 * p:.2g}%" if p >= 1e-4 else "fewer than 1 in 10,000"


def duration(seconds: float) -> str:
    """Format a time: seconds up to two minutes, then minutes."""
    return f"{max(1, round(seconds))} s" if seconds < 120 else f"{round(seconds / 60)} min"


def megabytes(n_bytes: float) -> str:
    """Format a size on the disk in MB, rounded up."""
    return f"{max(1, -(-int(n_bytes) // 10**6)):,} MB"


def counted(n: int, what: str) -> str:
    """Format a number of things, as ``1 control`` or ``3 controls``."""
    return f"{n} {what}{'' if n == 1 else 's'}"
