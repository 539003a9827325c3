"""What the page knows of publishing: the shape of a desk, which app.py fills, and whether anybody can sign in.

The page cannot import the Hub's part. Whoever builds the page hands over an object of this shape, such as
`plantain.hub.owner.Desk`.
"""

from __future__ import annotations

import os
import time
from typing import Protocol

import gradio as gr

from plantain import UsageError
from plantain.runs.run import Run


class Difference(Protocol):
    """What a publish would change: the card's unified difference, files with bytes for both repositories, remarks."""

    card: str
    files: tuple[tuple[str, int], ...]
    results: tuple[tuple[str, int], ...]
    request: int | None
    remarks: tuple[str, ...]
    digest: str


class Sent(Protocol):
    """What became of a publish: one sentence, where it is to be seen, remarks."""

    words: str
    url: str
    remarks: tuple[str, ...]


class Desk(Protocol):
    """Publishing for a page. Every method checks anew whether the token's account may, and raises where it may not."""

    card_repo: str
    results_repo: str | None

    def admit(self, token: str, run: Run | None = None, called: str = "") -> tuple[str, str]:
        """Return whose token it is, and a name for a run that no other run has."""

    def compare(self, token: str, run: Run, name: str) -> Difference:
        """Find out what publishing a run would change."""

    def send(self, token: str, run: Run, name: str, digest: str) -> Sent | None:
        """Publish a run; None, and nothing sent, where something else would go than was looked at."""


def why_nobody_signs_in() -> str:
    """Say why nobody can sign in on this page; nothing where they can.

    Elsewhere than on a Space, Gradio would sign every visitor in as the account of the machine: so the page there
    publishes nothing at all.
    """
    if os.environ.get("SYSTEM") != "spaces" or not os.environ.get("SPACE_ID"):  # as Gradio tells a Space
        return "On a machine of your own, publish from the command line, with your own token: this page never uses it."
    wanted = ("OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET", "OAUTH_SCOPES", "OPENID_PROVIDER_URL")
    if not all(map(os.environ.get, wanted)):
        return "Nobody can sign in here: the Space's README needs `hf_oauth: true` in its front matter."
    return ""


def signed_in(request: gr.Request, token: gr.OAuthToken | None) -> str:
    """Return the token that a request came with.

    Raises
    ------
    UsageError
        Nobody is signed in, the sign-in has expired, or another site's page sent the request.
    """
    # A browser sends the sign-in's cookie with whatever another site makes it send. It says where a request comes from.
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise UsageError("This came from another page. Open this page itself, and press the button there.")
    if token is None or not token.token:
        raise UsageError("Sign in first: nobody is signed in, or the sign-in has ended.")
    if token.expires_at <= time.time():  # 0 for a token that a request brought by itself
        raise UsageError("The sign-in has expired. Sign out, and sign in again.")
    return token.token
