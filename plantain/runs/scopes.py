"""Which tokens (scopes) and which kinds of units there are, and which kind has tokens of which scope."""

from __future__ import annotations

from collections.abc import Sequence

TOKEN_SCOPES = ("template", "words", "padding", "image", "reference")
"""The recorded scopes: every token of a pass belongs to exactly one of them. The last is there with a reference image
only: arrays of a run without one leave it out."""


PLAIN_SCOPES = TOKEN_SCOPES[:-1]
"""The recorded scopes of a run without a reference image."""


SCOPES: dict[str, tuple[str, ...]] = {
    "all": TOKEN_SCOPES,
    "image": ("image",),
    "prompt": ("template", "words"),
    "words": ("words",),
    "padding": ("padding",),
    "template": ("template",),
    "reference": ("reference",),
}
"""What can be asked for, in terms of the recorded scopes."""


STREAM_SCOPES: dict[str, tuple[str, ...]] = {
    "embedding": ("template", "words", "padding"),
    "joint_image": ("image", "reference"),
    "joint_text": ("template", "words", "padding"),
    "single": TOKEN_SCOPES,
}
"""The scopes that each stream's tokens can belong to."""


UNIT_STREAMS: dict[str, tuple[str, ...]] = {
    "card": ("joint_image", "single"),
    "heads": ("joint_image", "single"),
    "text-heads": ("joint_text",),
    "mlp": ("single",),
    "embedding": ("embedding",),
}
"""The streams that each kind of units is cut from."""


UNITS = tuple(UNIT_STREAMS)


def stream_scopes(stream: str, scope: str) -> list[str]:
    """Return the recorded scopes of a stream that belong to a scope; none where it has no such tokens."""
    return [name for name in SCOPES[scope] if name in STREAM_SCOPES[stream]]


def recorded_scopes(stream: str, tokens: Sequence[str]) -> tuple[str, ...]:
    """Return the scopes of a stream that a run recorded, where `tokens` are those of all its streams."""
    return tuple(scope for scope in STREAM_SCOPES[stream] if scope in tokens)


def scopes_of(units: str, tokens: Sequence[str] = PLAIN_SCOPES) -> list[str]:
    """Return the scopes that a kind of units has tokens of, where a run recorded these."""
    streams = UNIT_STREAMS[units]
    return [s for s in SCOPES if any(set(stream_scopes(stream, s)) & set(tokens) for stream in streams)]
