"""The card's figures beside a run's in words and rows: published, obtained, difference. Nothing is escaped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from plantain.findings.across_runs.reproduction import Block, Figure, Prompts, Reproduction
from plantain.findings.published import CARD_SIZE, Published
from plantain.report.interventions import intervention_text, main_intervention
from plantain.report.labels import weights_label
from plantain.report.numbers import DASH
from plantain.report.tables import markdown_table
from plantain.runs.analysis import BlockSummary
from plantain.runs.attached.interventions import Interventions
from plantain.runs.run import Run

HEAD = ("Figure", "Published", "Obtained", "Difference")

BLOCKS_HEAD = ("Block", "Published", "Obtained", "Difference", "Rank here")

_PROMPTS = {
    Prompts.SAME: (
        "Same prompts: whoever ran this says that they are the card's own. The card does not publish them, so that "
        "nobody else can check it."
    ),
    Prompts.GIVEN: "Other prompts, as far as is known: nobody said that they are the card's own.",
    Prompts.OURS: "Other prompts of ours: the card does not publish its own.",
}

_MINUS = "−"


def reproduction_text(
    found: Reproduction, run: Run, published: Published, interventions: Sequence[Interventions] = ()
) -> str:
    """Write everything for a terminal or a file, in markdown.

    Parameters
    ----------
    found : Reproduction
    run : Run
    published : Published
    interventions : sequence of Interventions
        Of the run: what the card does not have.
    """
    more = [intervention_text(main, run)] if (main := main_intervention(interventions)) is not None else []
    return "\n\n".join(
        [
            f"# {run.info.model} beside the card {published.name}",
            "\n".join(f"- {words}" for words in reservations(found, run, published)),
            markdown_table(HEAD, figure_rows(found)),
            markdown_table(BLOCKS_HEAD, block_rows(found)),
            f"Published figures: {published.source}. {published.note}",
            *more,
        ]
    )


def reservations(found: Reproduction, run: Run, published: Published) -> Iterator[str]:
    """Say what is the same as on the card and what is not, the prompts first."""
    i = run.info
    yield _PROMPTS[found.prompts]
    if (i.model, i.weights) == (published.base_model, "pretrained"):
        yield f"Same model: {i.model}."
    else:
        yield f"Weights: the card's figures are of {published.base_model}, these of {weights_label(i)}."
    size = "the pipeline's default" if i.size == CARD_SIZE else f"not the pipeline's default of {CARD_SIZE} px"
    yield f"Size: {i.size} px, {size}. Seed: {i.seed}. The card states neither."
    if not found.same_pairs:
        words = "No difference is given, for every figure depends on their number."
        yield f"Pairs: {len(run.pairs)}, on the card {published.n_pairs}. {words}"
    if not found.same_units:
        n = run.headline().n_units
        words = "Shares and split-half r compare; counts, their ratios, max |t| and blocks do not."
        yield f"Units: {n:,}, on the card {published.n_units:,}. {words}"


def figure_rows(found: Reproduction) -> list[list[str]]:
    """Write the card's table, a row a figure; columns as in `HEAD`."""
    return [
        [f.name, _written(f.kind, f.published), _written(f.kind, f.obtained), _differs(f, found)] for f in found.figures
    ]


def block_rows(found: Reproduction) -> list[list[str]]:
    """Write the card's list of top blocks, a row a block; columns as in `BLOCKS_HEAD`."""
    return [_block(block, found) for block in found.blocks]


def _written(kind: str, values: tuple[float, ...]) -> str:
    if not values:
        return DASH
    first, last = values[0], values[-1]
    return {
        "count": f"{first:,.0f} ({last:.1f}%)", "ratio": f"{first:.3g}×", "r": f"{first:.3f}",
        "quartiles": f"{first:.2f} to {last:.2f}", "t": f"{first:.2f}",
    }[kind]  # fmt: skip


def _differs(figure: Figure, found: Reproduction) -> str:
    """Write obtained minus published, where both are of the same thing."""
    shared = figure.kind in ("count", "r", "quartiles")  # of a count its share
    if not (figure.published and figure.obtained and found.same_pairs and (found.same_units or shared)):
        return DASH
    by = [mine - theirs for mine, theirs in zip(figure.obtained, figure.published, strict=True)]
    if figure.kind == "count":
        points = f"{_signed(by[1], '.1f')} points"
        return f"{_signed(by[0], ',.0f')} ({points})" if found.same_units else points
    form = {"ratio": ".3g", "r": ".3f", "quartiles": ".2f", "t": ".2f"}[figure.kind]
    return ", ".join(_signed(part, form) for part in by)


def _signed(value: float, form: str) -> str:
    """Write a difference with its sign; one that rounds to zero has none."""
    text = f"{abs(value):{form}}"
    return f"{'+' if value > 0 else _MINUS}{text}" if text.strip("0.,") else text


def _block(block: Block, found: Reproduction) -> list[str]:
    theirs, mine = block.published, block.obtained
    if mine is None:
        return [theirs.block, _facts(theirs), "no such block", DASH, DASH]
    by = [
        f"{_signed(mine.max_abs_t - theirs.max_abs_t, '.2f')}",
        f"{_signed(_share(mine) - _share(theirs), '.1f')} points",
        f"{_signed(mine.median_abs_d - theirs.median_abs_d, '.2f')}",
    ]
    differs = "; ".join(by) if found.same_units and found.same_pairs else DASH
    return [theirs.block, _facts(theirs), _facts(mine), differs, f"{block.rank} of {block.n_blocks}"]


def _facts(b: BlockSummary) -> str:
    return f"max |t| {b.max_abs_t:.2f}; {b.n_over_3}/{b.n_units} over 3; median |d| {b.median_abs_d:.2f}"


def _share(b: BlockSummary) -> float:
    return 100 * b.n_over_3 / b.n_units
