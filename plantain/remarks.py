"""What has to be known beside a run's figures, in sentences. Knows nothing about where they are shown.

`same_question`    whether a run asks what the card did; `comparable` whether its figures compare
`unlike_card`      in what its tokens or passes are unlike the card's
`notes`            what to know before they are compared with the card's
`prompt_warnings`  what the words of its prompts give away, where they are none of the project's own
"""

from __future__ import annotations

from typing import Any

from plantain.audit import own_warnings
from plantain.prompts import PromptSet
from plantain.published import CONTRAST
from plantain.results import Run

CARD_SIZE = 1024  # pixels; the pipeline's default, assumed for the card
FEW_PAIRS = 10  # 2 of the 2^n sign patterns are the observed one: below 8 pairs they alone reach the 99th percentile


def same_question(run: Run) -> bool:
    """Tell by a run's two sides whether it asks what the published figures answer; else they must not be compared."""
    return f"{run.info.positive} against {run.info.negative}" == CONTRAST


def comparable(run: Run, units: str, scope: str) -> bool:
    """Tell whether the published figures may stand beside a choice: the card's question, passes, units and tokens."""
    return (units, scope) == ("card", "all") and same_question(run) and run.info.is_plain


def unlike_card(run: Run) -> str:
    """Say in what tokens or passes a run is unlike the card's; empty where it is not."""
    if run.info.mask_padding:
        return " but the padding, which is masked"
    return "" if run.info.is_plain else f" (made with {run.info.unusual})"


def notes(run: Run, summary: dict[str, Any]) -> list[str]:
    """Say what a reader of the figures has to know before comparing them with the card's."""
    found = _comparison_notes(run, summary)
    if run.info.is_random:
        found.append("These weights are random. The numbers say nothing about FLUX.2 Klein.")
    unequal = run.unequal_pairs()
    if unequal:
        found.append(
            f"{len(unequal)} of {len(run.pairs)} pairs have unequal token counts under this model's tokenizer: "
            "length is mixed with the contrast there."
        )
    degenerate = summary["degenerate_units"]
    if degenerate:
        shown = ", ".join(degenerate[:5]) + (" …" if len(degenerate) > 5 else "")
        found.append(f"{len(degenerate)} units left out: their differences are all the same and not zero ({shown}).")
    return found


def _comparison_notes(run: Run, summary: dict[str, Any]) -> list[str]:
    found, size, n_pairs = [], run.info.size, len(run.pairs)
    if not same_question(run):
        found.append(
            f"The card published figures of {CONTRAST}. This run's prompts ask something else, “{run.info.positive}” "
            f"against “{run.info.negative}”: do not compare them with the card's."
        )
    elif (summary["units"], summary["scope"]) != ("card", "all"):
        found.append(
            "The published figures count the card's 16,320 slices over all tokens: do not compare other choices."
        )
    if not run.info.is_plain:
        found.append(
            f"Unlike the card's, the passes of this run were made with {run.info.unusual}: do not compare its figures "
            "with the card's."
        )
    if size != CARD_SIZE:
        text = int(run.sums.tokens[0, 0, :3].sum())
        found.append(
            f"At {size} px there are {run.n_image_tokens:,} image tokens beside {text} of text. The card does not "
            f"state its size; at the pipeline's default, {CARD_SIZE} px, there are 4,096, so “all tokens” weighs "
            "otherwise."
        )
    if n_pairs < FEW_PAIRS:
        found.append(
            f"{n_pairs} pairs are few: there are {2**n_pairs:,} sign patterns, so that no p can fall below "
            f"{2 / 2**n_pairs:.2g}, whatever is true; and below {FEW_PAIRS} pairs the flips repeat the observed "
            "pattern too often for the null's 99th percentile to mean much."
        )
    return found


def prompt_warnings(run: Run) -> list[str]:
    """Say what else than their meaning tells the two sides of a run's prompts apart, in word forms alone.

    Returns
    -------
    list of str
        From `audit.own_warnings`: none for the project's own sets. Tokens are in `notes`.
    """
    i = run.info
    pairs = tuple(record.pair for record in run.pairs)
    return own_warnings(PromptSet(i.prompt_set, i.title, i.positive, i.negative, pairs))
