"""The answer to a visitor's pair, as HTML, as a file to keep and as a link. Pure functions.

`answer_html`    sentence, pictures, what to read with care
`actions_html`   the link to the prompts, and the answer as a file
"""

from __future__ import annotations

import base64
import json
from html import escape
from typing import Any
from urllib.parse import quote, urlencode

from plantain.answers import length_warning, pair_remarks, pair_sentence
from plantain.figures import N_DRAWN
from plantain.pairs import PairResult
from plantain.plots import pair_dots, rank_dots
from plantain.results import Run
from plantain.tables import weights_words
from plantain.ui import html
from plantain.ui.links import share_base


def answer_html(result: PairResult, run: Run) -> str:
    """Show a visitor's result: one plain sentence, the pictures, and what to read with care."""
    n, weights = len(result.scores), weights_words(run)
    rank = rank_dots(result, f"Scores: your pair among the run's {n}. {weights}")
    dots = pair_dots(result, f"Your pair among the run's {n} on its top {N_DRAWN} heads. {weights}", N_DRAWN)
    rank_caption = (
        f"Scores. ◆ is your pair, ● one of the run's {n}; each is scored on the heads that all the others choose. "
        f"{weights}"
    )
    band = ""
    if result.outside is not None:
        band = "The grey band is where one more pair of the run's kind would fall in 95% of cases. "
    dots_caption = (
        f"Differences on the run's top heads, {min(N_DRAWN, len(result.top))} of {len(result.top)}. {band}The heads "
        "were chosen on the run's own pairs: expect your pair to look weaker (regression to the mean). "
        f"{weights}"
    )
    items = "".join(f"<li>{escape(line)}</li>" for line in pair_remarks(result, run))
    remarks = f"<summary>Read with care</summary><ul>{items}</ul>"
    return (
        f'<div class="pl-verdict"><div class="pl-verdict-words">{_words(result, run)}'
        f"{html.figure_html(rank, rank_caption)}</div>"
        f'<div class="pl-verdict-heads">{html.figure_html(dots, dots_caption)}</div>'
        f'<details class="pl-careful pl-verdict-care">{remarks}</details></div>'
    )


def _words(result: PairResult, run: Run) -> str:
    """Write what comes first: what was asked, the sentence, and what limits it."""
    low, n = result.n_at_or_below, len(result.scores) + 1
    lines = [f'<p class="pl-sentence">{escape(pair_sentence(result))}</p>']
    if not result.comparable:
        lines = [html.error_html(length_warning(result)), f"<p>For orientation: {escape(pair_sentence(result))}</p>"]
    lines.append(
        f"<p>Score {result.score:+.2f} SD; conformal p = {low}/{n} = {result.p:.2g}, small where your pair "
        "goes less with the others than they do; one that goes farther than all has p = 1. One pair is one pair: "
        "this is its place among the run's pairs, no test of the axis.</p>"
    )
    random = run.info.is_random
    loud = " The weights are random: this says nothing about FLUX.2 Klein." if random else ""
    chip = f'<span class="pl-chip{" pl-warn" if random else ""}">{escape(weights_words(run) + loud)}</span>'
    return "".join([*lines, f"<p>{chip}</p>"])


def actions_html(run: str | None, positive: str, negative: str, record: dict[str, Any] | None) -> str:
    """Offer the link to the prompts and, where there is an answer, its file.

    Parameters
    ----------
    run : str or None
        The run's name, for the link; None for a run that ends with the page.
    positive, negative : str
    record : dict or None
        From `answers.pair_record`.

    Notes
    -----
    The file is in the page itself: what visitors type is not written to the server's disk.
    """
    query = {"tab": "pair", "positive": positive, "negative": negative, **({"run": run} if run else {})}
    address = escape(urlencode(query, quote_via=quote), quote=True)
    base = escape(share_base() or "", quote=True)
    parts = [_download(record)] if record else []
    parts.append(
        f'<button type="button" class="pl-button" data-base="{base}" data-query="{address}">Copy link to these prompts'
        "</button>"
    )
    parts.append('<span class="pl-copied" role="status"></span>')
    parts.append('<input class="pl-link" readonly hidden aria-label="Link to these prompts">')
    missing = "" if run else "<p>The link leaves the run out: yours ends with this page.</p>"
    return f'<div class="pl-actions">{"".join(parts)}</div>{missing}'


def _download(record: dict[str, Any]) -> str:
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
    content = base64.b64encode(text.encode()).decode()
    name = f"plantain-pair-{record['date'][:19].replace(':', '')}.json"
    return (
        f'<a class="pl-button" download="{name}" href="data:application/json;base64,{content}">'
        "Download this answer (JSON)</a>"
    )
