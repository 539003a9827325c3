"""Which tokens and which kinds of units there are. Knows nothing about arrays, models or files.

`SCOPES`        what can be asked for, in terms of the recorded `TOKEN_SCOPES`
`UNITS`         the kinds of units
`scopes_of`     the scopes that a kind of units has tokens of
"""

from __future__ import annotations

TOKEN_SCOPES = ("template", "words", "padding", "image")
"""The recorded scopes: every token of a pass belongs to exactly one of them."""

SCOPES: dict[str, tuple[str, ...]] = {
    "all": TOKEN_SCOPES,
    "image": ("image",),
    "prompt": ("template", "words"),
    "words": ("words",),
    "padding": ("padding",),
    "template": ("template",),
}
"""What can be asked for, in terms of the recorded scopes."""

STREAM_SCOPES: dict[str, tuple[str, ...]] = {
    "embedding": ("template", "words", "padding"),
    "joint_image": ("image",),
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


def scopes_of(units: str) -> list[str]:
    """Return the scopes that a kind of units has tokens of."""
    return [scope for scope in SCOPES if any(stream_scopes(stream, scope) for stream in UNIT_STREAMS[units])]
