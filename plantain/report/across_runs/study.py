"""A study in words: what it costs before it starts, and what each stage found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from plantain.findings.across_runs.atlas import Atlas
from plantain.findings.across_runs.study import (
    CAUSE_STAGE,
    CONTROLS_STAGE,
    IN_CARD,
    PICTURES_STAGE,
    RESERVOIR_STAGE,
    InCard,
    Shape,
    Stage,
    atlas_price,
    known_seconds,
    price,
)
from plantain.findings.directions import beside_untrained
from plantain.findings.held_out import fitting
from plantain.findings.published import Published
from plantain.findings.repeats import stability
from plantain.report.across_runs.atlas import finding
from plantain.report.directions import time_lines
from plantain.report.model_card import verdict
from plantain.report.numbers import DASH, counted, duration, megabytes, number
from plantain.report.tables import markdown_table
from plantain.report.verdict import untrained_sentences
from plantain.runs.attached.pictures import DRAWN, EXPECTED, KINDS, PictureSettings
from plantain.runs.directions import LEVELS
from plantain.runs.info import NOT_KLEIN
from plantain.runs.run import Run
from plantain.runs.seconds import PAIR, Seconds, klein_table

_IN_CARD_WORDS = {
    PICTURES_STAGE: "both sides of the card's pairs, drawn and expected",
    CAUSE_STAGE: "the registered causal test on the card's run",
}

_RESERVOIR_WORDS = "the card's pairs through random transformers behind the model's text encoder"

_MODEL = "16 GB"  # of Klein 4B's files, on the Hub and in the cache


def price_text(
    stages: list[Stage],
    done: Mapping[str, Run],
    shape: Shape,
    device: str,
    n_processes: int = 1,
    kept: Mapping[str, int] | None = None,
    directions: str = LEVELS[0],
    in_card: Mapping[str, InCard] | None = None,
    reservoirs: Stage | None = None,
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
    directions : {"heads", "all", "off"}
        Of which mean vectors the runs keep.
    in_card : mapping of str to InCard, optional
        What is left to do in the card's run, by stage; those that are not among `stages` are said to be left out.
    reservoirs : Stage, optional
        What is left to do of `RESERVOIR_STAGE` where it is not among `stages`; it is said to be left out.
    """
    kept, in_card = kept or {}, in_card or {}
    known, rows, passes, processor, n_bytes = known_seconds(shape, done.values()), [], [], 0.0, 0
    pictures = 0
    for stage in stages:
        if stage.name in IN_CARD:
            left = in_card[stage.name]
            passes.append(left.seconds)
            pictures += left.n_pictures
            rows.append([stage.name, _IN_CARD_WORDS[stage.name], *_in_card(stage.name, left)])
            continue
        left = [part for part in stage.parts if part.name not in done]
        costs = price(left, shape.layout, known, device, kept, directions)
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
    in_all = (_seconds(whole), megabytes(n_bytes) if n_bytes else DASH, f"{pictures:,}")
    rows.append(["in all", "", "", "", "", *in_all])
    head = ["stage", "what", "state", "pairs", "passes", "seconds", "disk", "pictures"]
    sizes = sorted({part.conditions.size for stage in stages for part in stage.parts}, reverse=True)
    remarks = [*_speed(known, shape, device, sizes, n_processes), _beside(shape, processor)]
    if any(part.transformer is not None and part.name not in done for stage in stages for part in stage.parts):
        remarks.append(_RESERVOIR_PRICE)
    left_out = _left_out({name: left for name, left in in_card.items() if name not in {s.name for s in stages}})
    if reservoirs:
        costs = price(reservoirs.parts, shape.layout, known, device, directions=directions)
        left_out[reservoirs.name] = (
            f"{_RESERVOIR_WORDS}: {costs.n_passes:,} passes, {_taken(costs.seconds)}, and the drawing of "
            f"{counted(len(reservoirs.parts), 'transformer')}, {_ROOM}"
        )
    if left_out:
        words = "; ".join(f"{name} ({words})" for name, words in left_out.items())
        remarks.append(f"Left out: {words}. Ask for it: --stages {','.join(left_out)}.")
    return "\n\n".join([markdown_table(head, rows), "\n".join(remarks)])


def _in_card(name: str, left: InCard) -> list[str]:
    """Write state, pairs, passes, seconds, disk and pictures of a stage in the card's run."""
    if not left.n_pairs:
        return ["done", *[DASH] * 5]
    state = "to do" + (f", {counted(left.kept, 'pair')} kept" if left.kept else "")
    return [state, f"{left.n_pairs:,}", _passes(name, left), _seconds(left.seconds), DASH, f"{left.n_pictures:,}"]


def _passes(name: str, left: InCard) -> str:
    return f"{'≤ ' if name == CAUSE_STAGE else ''}{left.n_passes:,}"


_ROOM = "with 8 to 16 GB of disk space at a time for Klein 4B"

_RESERVOIR_PRICE = (
    "Not counted of the random transformers: the time of drawing their weights, on a processor, and disk space until "
    "the run of each is there, one at a time. For Klein 4B it is 8 GB, and 16 GB where the text encoder's files cannot "
    "be linked."
)


def _left_out(in_card: Mapping[str, InCard]) -> dict[str, str]:
    """Say what stages in the card's run that were not asked for would take, by name."""
    words = {}
    for name, left in in_card.items():
        if left.n_pairs:
            of = f"{left.n_pictures:,} pictures, " if left.n_pictures else ""
            words[name] = f"{_IN_CARD_WORDS[name]}: {of}{_passes(name, left)} passes, {_taken(left.seconds)}"
    return words


def _taken(seconds: float | None) -> str:
    return "a time that is not known" if seconds is None else f"about {duration(seconds)}"


def _what(stage: Stage) -> str:
    part = stage.parts[0]
    if stage.name == CONTROLS_STAGE:
        return f"{counted(len(stage.parts), 'prompt set')}, {part.conditions.words}; then the atlas"
    if stage.name == RESERVOIR_STAGE:
        n = counted(len(stage.parts), "random transformer")
        return f"{part.prompt_set.name}, {part.words}; {n} behind the model's text encoder"
    return f"{part.prompt_set.name}, {part.words}"


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


def times_lines(run: Run) -> list[str]:
    """Say what the directions tell at each time, with both sides at the same picture."""
    return [*_warning(run), *time_lines(run)]


def pictures_lines(run: Run, found: PictureSettings) -> list[str]:
    """Say which pictures a run has."""
    n = {kind: sum(one.kind == kind and not one.edit for one in found.pictures) for kind in KINDS}
    how = f"{found.size} px, {counted(found.steps, 'step')}, guidance {found.guidance:g}"
    return [*_warning(run), f"Pictures of both sides: {n[DRAWN]} drawn ({how}), {n[EXPECTED]} as expected at sigma 1."]


def controls_lines(atlas: Atlas, runs: Iterable[Run]) -> list[str]:
    """Say what the prompt sets come to side by side."""
    kinds = [run.info.weights for run in runs]
    never_kleins = next((weights for weights in kinds if weights in NOT_KLEIN), kinds[0])
    return [statement.text for statement in finding(atlas, never_kleins)]


def reservoir_lines(run: Run, reservoirs: Mapping[str, Run]) -> list[str]:
    """Say how far the pairs of the card's run agree beside those of random transformers behind its text encoder.

    Those that do not fit the card's run (`held_out.fitting`) are left out, as in its section of the card.
    """
    beside = fitting(run, reservoirs).untrained
    return [*_warning(run), *untrained_sentences([beside_untrained(run, *found) for found in beside.items()])]


def _warning(run: Run) -> list[str]:
    return [NOT_KLEIN[run.info.weights]] if run.info.weights in NOT_KLEIN else []
