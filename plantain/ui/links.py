"""Links to this page that work elsewhere.

`share_base`   the address that others reach it under
"""

from __future__ import annotations

import os


def share_base() -> str | None:
    """Return the Space's address, without a query; None where the page is not a Space."""
    space = os.environ.get("SPACE_ID")
    return f"https://huggingface.co/spaces/{space}" if space else None
