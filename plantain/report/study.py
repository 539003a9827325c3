"""A study in words: what it costs before it starts, and what each stage found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from plantain.findings.atlas import Atlas
from plantain.findings.published import Published
from plantain.findings.repeats import stability
from plantain.findings.study import (
    CONTROLS_STAGE,
    Shape,
    Stage,
    atlas_price,
    known_seconds,
    price,
)
from plantain.report.atlas import finding
from plantain.report.model_card import verdict
from plantain.report.numbers import DASH, counted, duration, megabytes, number
from plantain.report.tables import markdown_table
from plantain.runs.info import RANDOM
from plantain.runs.run import Run
from plantain.runs.seconds import PAIR, Seconds, klein_table

_MODEL = "16 GB"  # of Klein 4B's files, on the Hub and in the cache


def price_text(
    stages: list[Stage],
    done: Mapping[str, Run],
    shape: Shape,
    device: str,
    n_processes: int = 1,
    kept: Mapping[str, int] | None = None,
) -> str:
    """Write what is left to do of a study, and what it costs.

    Parameters
    ----------
    stages : list of Stage
    done : mapping of str to Run
        The finished runs, by their parts' names.
    shape : Shape
        The model's.
    device : str
        As a run names it.
    n_processes : int
        That share the pairs.
    kept : mapping of str to int, optional
        Pairs of unfinished runs that need not be measured again, by their parts' names.
    """
    kept = kept or {}
    known, rows, passes, processor, n_bytes = known_seconds(shape, done.values()), [], [], 0.0, 0
    for stage in stages:
        left = [part for part in stage.parts if part.name not in done]
        costs = price(left, shape.layout, known, device, kept)
        passes.append(costs.seconds if costs.seconds is None else costs.seconds / n_processes)
        processor += costs.statistics + (atlas_price(stage, shape.layout) if left else 0.0)
        n_bytes += costs.n_bytes
        there = len(stage.parts) - len(left)
        state = "to do" if not there else "done" if not left else f"{there} of {len(stage.parts)} done"
        begun = sum(kept.get(part.name, 0) for part in left)
        state += f", {counted(begun, 'pair')} kept" if begun else ""
        numbers = (f"{costs.n_pairs:,}", f"{costs.n_passes:,}", _seconds(passes[-1]), megabytes(costs.n_bytes), "0")
        rows.append([stage.name, _what(stage), state, *(numbers if left else [DASH] * 5)])
    whole = None if None in passes else sum(filter(None, passes))
    rows.append(["in all", "", "", "", "", _seconds(whole), megabytes(n_bytes) if n_bytes else DASH, "0"])
    head = ["stage", "what", "state", "pairs", "passes", "seconds", "disk", "pictures"]
    sizes = sorted({part.conditions.size for stage in stages for part in stage.parts}, reverse=True)
    remarks = [*_speed(known, shape, device, sizes, n_processes), _beside(shape, processor)]
    return "\n\n".join([markdown_table(head, rows), "\n".join(remarks)])


def _what(stage: Stage) -> str:
    part = stage.parts[0]
    if stage.name == CONTROLS_STAGE:
        return f"{counted(len(stage.parts), 'prompt set')}, {part.conditions.words}; then the atlas"
    return f"{part.prompt_set.name}, {part.conditions.words}"


def _seconds(seconds: float | None) -> str:
    return DASH if seconds == 0 else number(seconds and max(seconds, 1.0), ",.0f", "unknown")


def _speed(known: Seconds, shape: Shape, device: str, sizes: list[int], n_processes: int) -> Iterator[str]:
    """Say on which speed the seconds rest, and whose it is."""
    found = {size: known.estimate(PAIR, size, device) for size in sizes}
    if None in found.values():
        where, known_devices = "for a model of this shape", ""
        if shape.is_klein:
            names = ", ".join(dict.fromkeys(row.device for row in klein_table() if row.kind == PAIR))
            where, known_devices = f"on {device}", f" It is known of {names} (--dry-run --gpu NAME)."
        yield f"Speed: unknown {where} until the first stage is done.{known_devices}"
        return
    for source in dict.fromkeys(estimate.source for estimate in found.values()):
        pairs = (f"{e.seconds:.3g} s a pair at {size} px" for size, e in found.items() if e.source == source)
        yield f"Speed: {', '.join(pairs)} ({source})."
    shared = f" They are shared by {n_processes} processes." if n_processes > 1 else ""
    yield (
        "Seconds are those of the passes, encoding included. Every run also sends one prompt beside itself; of further "
        f"seeds a pair costs the passes only.{shared}"
    )


def _beside(shape: Shape, processor: float) -> str:
    words = (
        f"Beside them, while the device waits: about {duration(processor)} of a processor for statistics (as on 2 "
        "cores of an AMD EPYC), and loading the model at every start, which reads and hashes all its weights"
    )
    if not shape.assumed:
        return f"{words}."
    return (
        f"{words} ({_MODEL} for Klein 4B, whose download comes once). Its shape is taken to be Klein 4B's: the Hub was "
        "not asked."
    )


# --- what a stage found ------------------------------------------------------------------------------------


def card_lines(run: Run, control: Run | None, published: Published, same_prompts: bool) -> list[str]:
    """Say what the card's own probe found."""
    return [*_warning(run), verdict(run, run.summary(), control, published, same_prompts)]


def seeds_lines(run: Run, published: Published) -> list[str]:
    """Say what several seeds of the noise found, and how far they agree."""
    alone = stability(run)
    counts = ", ".join(f"{measure.over[0]:,}" for measure in alone)
    r = [measure.r_others for measure in alone]
    return [
        *_warning(run),
        verdict(run, run.summary(), None, published),
        f"Each seed alone has {counts} slices over |t| > 3; its map of t correlates with that of the others by "
        f"{min(r):.2f} to {max(r):.2f}.",
    ]


def controls_lines(atlas: Atlas, runs: Iterable[Run]) -> list[str]:
    """Say what the prompt sets come to side by side."""
    return [statement.text for statement in finding(atlas, any(run.info.is_random for run in runs))]


def _warning(run: Run) -> list[str]:
    return [RANDOM] if run.info.is_random else []
