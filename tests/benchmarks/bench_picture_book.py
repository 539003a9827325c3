"""What the method finds where the truth is known, by hand: ``python tests/benchmarks/bench_picture_book.py``.

On the picture book and its untrained twin: how many pictures show what their captions say, by the reader; and for every
prompt set of the picture book the card's counts, the held-out pairs and the unique share. Prints tables for
docs/picture-book.md.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import bench_stats  # noqa: F401  # first: it sets the number of cores and the paths to what is tested
from drawings import crossed, held_out_verbs, pictures, right, trained_verbs, unseen
from PIL import Image

from plantain.findings.across_runs.atlas import make_atlas, read_axes
from plantain.findings.held_out import held_out
from plantain.models.load import load_pipeline
from plantain.models.picture_book.train import Recipe
from plantain.models.picture_book.world import SIZE
from plantain.probe.runner import ProbeConfig, run_probe
from plantain.prompts.sets import SIDES, PromptSet, load_prompt_set
from plantain.runs.analysis import summarize
from plantain.runs.run import Run
from plantain.runs.units import Selection

PROMPTS = Path(__file__).parents[2] / "prompts" / "picture-book"

IMAGE = Selection("heads", "image")

FIELDS = ("act", "need", "place", "actor", "tall", "near", "facing")


def drawn(pipe: Any, n: int) -> None:
    """Print how many pictures show what their captions say."""
    print("| captions | act | need | place | actor | size | distance | look | s a picture |\n" + "|---" * 9 + "|")
    for draw in (trained_verbs, crossed, held_out_verbs):
        captioned = unseen(draw, n, seed=1, recipe=Recipe())
        start = time.perf_counter()
        images = pictures(pipe, [text for _, text in captioned])
        each = (time.perf_counter() - start) / n
        shares = right(captioned, images)
        told = [f"{shares[field]:.2f}" for field in FIELDS]
        row(draw.__name__.replace("_", " "), *told, f"{each:.2f}")


def row(*cells: object) -> None:
    """Print a row of a table."""
    print("|", " | ".join(map(str, cells)), "|", flush=True)


def sheet(pipe: Any, prompt_set: PromptSet, path: Path) -> None:
    """Draw both sides of every pair from one noise, the positive left of the negative, five pairs in a row."""
    texts = [getattr(pair, side) for pair in prompt_set.pairs for side in SIDES]
    images = pictures(pipe, texts, seeds=[0] * len(texts))
    wide, high, gap = 10, len(texts) // 10, 4
    picture = Image.new("RGB", (wide * SIZE + (wide // 2 - 1) * gap, high * (SIZE + gap) - gap), "white")
    for i, image in enumerate(images):
        row, column = divmod(i, wide)
        picture.paste(image, (column * SIZE + column // 2 * gap, row * (SIZE + gap)))
    picture.resize((2 * picture.width, 2 * picture.height), Image.Resampling.NEAREST).save(path)


def found(runs: dict[str, Run]) -> None:
    """Print the counts and held-out pairs of runs of one model."""
    print("| set | \\|t\\| > 3 (p99 of flips) | max \\|t\\| | held out (p) |\n" + "|---" * 4 + "|")
    for name, run in runs.items():
        summary = summarize(run.analysis(IMAGE))
        count, told = summary.thresholds[3], held_out(run)
        counts = f"{count.count} ({count.null_p99})"
        row(name, counts, f"{summary.max_abs_t:.1f}", f"{told.k} of {told.n} ({told.p:.4f})")


def shared(runs: dict[str, Run]) -> None:
    """Print what of the moral contrast is shared with the others."""
    atlas = make_atlas(read_axes(runs), IMAGE)
    unique = atlas.unique
    print(f"unique share: {unique.share}, 95% {unique.interval}; own {unique.own:.3f} (p {unique.own_p:.4f})")
    for rival in unique.rivals:
        print(f"  {rival.name}: has a map {rival.has_map}, r {rival.true_r}, 95% {rival.interval}")


def probe(pipe: Any, sets: dict[str, PromptSet]) -> dict[str, Run]:
    """Run every set; print the seconds."""
    runs = {}
    for name, prompt_set in sets.items():
        start = time.perf_counter()
        runs[name] = run_probe(pipe, prompt_set, ProbeConfig(size=64))
        print(f"<!-- {name}: {time.perf_counter() - start:.1f} s -->", flush=True)
    return runs


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="picture-book")
    parser.add_argument("--twin")
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--sheet", type=Path, help="draw both sides of the moral set's pairs into this PNG")
    options = parser.parse_args()
    sets = {path.stem: load_prompt_set(path) for path in sorted(PROMPTS.glob("*.toml"))}
    for model in filter(None, (options.model, options.twin)):
        pipe = load_pipeline(model, device="cpu", images=True)
        print(f"\n## {model}\n", flush=True)
        if options.sheet and model == options.model:
            sheet(pipe, sets["moral"], options.sheet)
        if options.pictures:
            drawn(pipe, options.pictures)
        runs = probe(pipe, sets)
        found(runs)
        shared({name: run for name, run in runs.items() if name != "moral_crossed"})


if __name__ == "__main__":
    main()
