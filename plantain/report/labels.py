"""Labels of runs, weights and units in plain words."""

from __future__ import annotations

from plantain.runs.analysis import Analysis, BlockSummary
from plantain.runs.info import RunInfo
from plantain.runs.run import Run

WEIGHTS_WORDS = {
    "pretrained": "pretrained weights from the Hub",
    "local": "weights from a local folder, origin unknown",
    "untrained": "UNTRAINED: random weights in Klein's architecture",
    "stand-in": "STAND-IN: a tiny network with random weights, not Klein",
}


UNIT_WORDS = {
    "card": "slices of 16 channels (the card's “heads”)",
    "heads": "attention heads",
    "text-heads": "attention heads of the text stream",
    "mlp": "MLP groups as wide as a head",
    "embedding": "slices of 16 channels of the prompt embedding",
}


def weights_words(run: Run) -> str:
    """Name a run's weights in a sentence, and how its passes were made where that is not the card's way."""
    made = "" if run.info.is_plain else f" Passes: {run.info.settings_words}."
    return f"Weights: {weights_label(run.info)}.{made}"


def weights_label(info: RunInfo) -> str:
    """Say which weights made a run's numbers."""
    revision = f" at {info.revision[:12]}" if info.revision else ""
    return f"{info.model}{revision} ({WEIGHTS_WORDS[info.weights]})"


def run_label(name: str, info: RunInfo) -> str:
    """Name a run in a list; a stand-in or untrained model always shows."""
    warning = {"stand-in": " (stand-in)", "untrained": " (untrained control)"}
    return f"{name}{warning.get(info.weights, '')}"


def provenance(run: Run) -> str:
    """Say on what, when and how a run was made, in one line."""
    i = run.info
    return (
        f"{i.title}: {i.positive} vs. {i.negative}, {len(run.pairs)} pairs · {weights_label(i)} · "
        f"{i.dtype} on {i.device} · {i.settings_words} · {i.date[:10]} · {i.seconds:.0f} s"
    )


def block_line(row: BlockSummary) -> str:
    """Write one line of the card's top-block list."""
    return (
        f"{row.block}: max|t|={row.max_abs_t:.2f}, {row.n_over_3}/{row.n_units} units at |t|>3, "
        f"median |d|={row.median_abs_d:.2f}"
    )


def block_names(analysis: Analysis) -> list[str]:
    """Return the blocks' names in the model's order."""
    return list(dict.fromkeys(analysis.table.block.tolist()))
