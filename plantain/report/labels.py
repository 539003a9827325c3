"""Labels of runs, weights, units and settings: the short phrases that tables, figures and sentences share."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from plantain.findings.across_runs.comparison import Difference
from plantain.findings.published import SIDES, Published
from plantain.models.info import ModelInfo
from plantain.prompts.sets import PromptPair
from plantain.runs.analysis import BlockSummary
from plantain.runs.attached.interventions import InterventionInfo
from plantain.runs.info import RunInfo
from plantain.runs.run import Run

CONTRAST = " against ".join(SIDES)
"""What the published figures are of."""

WEIGHTS_WORDS = {
    "pretrained": "pretrained weights from the Hub",
    "local": "weights from a local folder, origin unknown",
    "practice": "practice model (drawings, trained by us; not Klein)",
    "untrained": "UNTRAINED: random weights in Klein's architecture",
    "reservoir": "RESERVOIR: a random transformer behind the text encoder of another model",
    "stand-in": "STAND-IN: a tiny network with random weights, not Klein",
}

UNIT_WORDS = {
    "card": "slices of 16 channels (the published card's “heads”)",
    "heads": "attention heads",
    "text-heads": "attention heads of the text stream",
    "mlp": "MLP groups as wide as a head",
    "embedding": "slices of 16 channels of the prompt embedding",
}

NEVER_KLEIN = {
    "practice": "practice model", "stand-in": "stand-in", "untrained": "untrained control",
    "reservoir": "reservoir control",
}  # fmt: skip
"""Weights that are never Klein's, in two words."""

_DIFFERENCES = {
    "fingerprint": "weights (fingerprint)", "dtype": "precision", "seeds": "noise seeds",
    "mask_padding": "padding masked", "references_sha256": "reference images", "vae": "VAE",
    "prompt_set": "prompt set", "prompts_sha256": "prompts", "sides": "contrast", "n_pairs": "number of pairs",
}  # fmt: skip
"""Of settings whose name is not the label itself."""

_HASHES = ("revision", "fingerprint", "references_sha256", "vae", "prompts_sha256")


def weights_label(info: RunInfo | ModelInfo | InterventionInfo) -> str:
    """Name the model and the kind of its weights."""
    revision = f" at {info.revision[:12]}" if info.revision else ""
    return with_weights(f"{info.model}{revision}", info.weights)


def with_weights(model: str, weights: str) -> str:
    """Write a model's name with the kind of its weights behind it; words that have brackets stand in no others."""
    words = WEIGHTS_WORDS[weights]
    return f"{model}, {words}" if ")" in words else f"{model} ({words})"


def weights_words(*runs: Run) -> str:
    """Name the runs' weights in a sentence, and how their passes were made where that is not the card's way."""
    labels = dict.fromkeys(weights_label(run.info) for run in runs)
    made = dict.fromkeys(run.info.settings_words for run in runs if not run.info.is_plain)
    return f"Weights: {'; '.join(labels)}." + (f" Passes: {'; '.join(made)}." if made else "")


def run_label(name: str, info: RunInfo) -> str:
    """Name a run in a list; every model that is never Klein shows."""
    kind = NEVER_KLEIN.get(info.weights)
    return f"{name} ({kind})" if kind else name


def provenance(run: Run) -> str:
    """Say on what, when and how a run was made, in one line."""
    i = run.info
    return (
        f"{subject_words(run)}, {len(run.pairs)} pairs · {weights_label(i)} · "
        f"{i.dtype} on {i.device} · {run.passes_words} · {i.date[:10]} · {i.seconds:.0f} s"
        + (f" · CHANGED: {'; '.join(i.changes)}" if i.changes else "")
    )


def unlike_card(info: RunInfo) -> str:
    """List how a run's passes differ from the published card's; empty where they do not."""
    found = {
        f"{len(info.seeds)} seeds": len(info.seeds) > 1,
        f"{info.steps} steps": info.steps > 1,
        "masked padding": info.mask_padding,
        info.referenced: bool(info.references),
    }
    return ", ".join(words for words, differs in found.items() if differs)


def run_command(info: RunInfo, model: str, prompts: str, out: str) -> str:
    """Write the command that makes passes in the same way.

    Parameters
    ----------
    info : RunInfo
    model : str
        Where the model is; quoted for the shell.
    prompts : str
        Files as the shell should read them.
    out : str
        Folder of the run; quoted for the shell.
    """
    c, images = info.conditions, len(set(info.references.values()))
    seeds = ["--seed", str(info.seed)] if c.seeds == (info.seed,) else ["--seeds", ",".join(map(str, c.seeds))]
    options = [
        "--size", str(c.size), *seeds,
        *(["--steps", str(c.steps)] if c.steps > 1 else []),
        *(["--mask-padding"] if c.mask_padding else []),
        *([] if not images else ["--reference", "IMAGE"] if images == 1 else ["--reference-set", "IMAGES"]),
        "--dtype", info.dtype,
    ]  # fmt: skip
    options += ["--out", out]
    return f"python -m plantain run --model {shlex.quote(model)} --prompts {prompts} {shlex.join(options)}"


def difference_words(found: list[Difference]) -> list[str]:
    """Write settings in which two runs differ, as ``size 256 / 512 px``."""
    return [
        f"{_DIFFERENCES.get(key, key)} {_setting(key, a)} / {_setting(key, b)}{' px' if key == 'size' else ''}"
        for key, a, b in found
    ]


def _setting(key: str, value: Any) -> str:
    if key == "sides":
        return sides_words(*value)
    if key == "seeds":
        return ", ".join(map(str, value)) or "the run's seed"
    return ("none" if value in (None, "") else str(value))[: 12 if key in _HASHES else None]


def contrast_words(run: Run) -> str:
    """Write what a run's pairs are about."""
    return kinds_words(run.info.positive, run.info.negative, run.kinds)


def subject_words(run: Run) -> str:
    """Write the title of a run and what its pairs are about; a title that ends with a side does not say it again."""
    i = run.info
    if i.title.casefold().endswith(i.positive.casefold()) and _fits_every_kind(i.positive, i.negative):
        return f"{i.title} against {i.negative}"
    return f"{i.title}: {contrast_words(run)}"


def kinds_words(positive: str, negative: str, kinds: Sequence[str]) -> str:
    """Write what pairs are about; where all say their kind, only those of neglect are about help or none."""
    if not all(kinds) or _fits_every_kind(positive, negative):
        return f"{positive} against {negative}"
    return f"prosocial or not (in {kinds.count('neglect')} pairs, of neglect: {positive} or {negative})"


def _fits_every_kind(positive: str, negative: str) -> bool:
    """Tell whether a negative side is what the positive one is not, and nothing narrower such as ignoring."""
    return negative.casefold().split() == ["not", *positive.casefold().split()]


_PROSOCIAL = ("prosocial", "not prosocial")

_AS_NAMED = ("", "neglect")  # kinds of pairs whose sides are what their set calls them


def run_sides(run: Run) -> tuple[str, str]:
    """Name the two sides of all of a run's pairs: as its set does, unless some negative sides are more than neglect."""
    sides = run.info.positive, run.info.negative
    return sides if set(run.kinds) <= {*_AS_NAMED} or _fits_every_kind(*sides) else _PROSOCIAL


def pair_sides(pair: PromptPair, sides: tuple[str, str]) -> tuple[str, str]:
    """Name a pair's two sides: as its set does, unless its negative side is more than neglect."""
    return sides if pair.kind in _AS_NAMED or _fits_every_kind(*sides) else _PROSOCIAL


def sides_words(positive: str, negative: str) -> str:
    """Write the difference that a run takes."""
    return f"“{positive}” minus “{negative}”"


def family_line(published: Published) -> str:
    """Write what the same author published of other contrasts, beside the card's own count."""
    found = [(s.over_3, f"{s.contrast} {'about ' * s.approximate}{s.over_3:g}%") for s in published.family.cards]
    found.append((published.thresholds[3].percent, f"this card's moral contrast {published.thresholds[3].percent:g}%"))
    listed = ", ".join(words for _, words in sorted(found, reverse=True))
    return (
        f"Other contrasts, published by the same author on his own prompts, slices over |t| > 3: {listed}. "
        "None of them was run by this project."
    )


def block_line(row: BlockSummary) -> str:
    """Write one line of the card's list of top blocks."""
    return (
        f"{row.block}: max|t|={row.max_abs_t:.2f}, {row.n_over_3}/{row.n_units} units at |t|>3, "
        f"median |d|={row.median_abs_d:.2f}"
    )
