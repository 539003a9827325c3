"""Links to the page as somebody else can open them.

`share_base`   the address that a Space's visitors see
"""

from __future__ import annotations

import os


def share_base() -> str | None:
    """Return a Space's address on the Hub, or None elsewhere: then the browser's own address is the page's.

    On a Space the page is a frame in the Hub's page, and the frame's address is not the one to share.
    """
    space = os.environ.get("SPACE_ID")
    return f"https://huggingface.co/spaces/{space}" if space else None
