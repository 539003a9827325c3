"""In how many pairs of the picture book a patched picture is read as the other side: top heads beside random ones.

    python tests/benchmarks/bench_turned_pictures.py [--random-sets 10] [--out FILE]

The heads are chosen on the replication, whose pairs are others. A random set has as many heads in every block. Every
side is patched from the other one of its pair; the world's own reader says what the picture shows. The untrained twin
goes through the same, with heads chosen on its own run of the replication's pairs. 25 minutes on two cores.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from plantain import stats
from plantain._files.pictures import opened
from plantain.findings.heads import heads_by_score
from plantain.findings.told import IMAGE
from plantain.models.load import LoadedModel, PhasedPipeline
from plantain.models.picture_book.make import write_twin
from plantain.models.picture_book.reader import read
from plantain.models.sources import drawing_of
from plantain.probe.pictures.drawing import Job, drawn_together
from plantain.probe.runner import ProbeConfig, run_probe
from plantain.prompts.sets import load_prompt_set
from plantain.runs.attached.pictures import DRAWN, PictureEdit, picture_bytes, read_pictures
from plantain.runs.io import load_run
from plantain.runs.run import Run
from plantain.runs.units import unit_table

AT_ONCE = 5  # pairs
PAIR = "shelters-overlooks"  # of the row
SIZES = (1, 10)


@dataclass(frozen=True)
class Acts:
    """What the reader sees on either side of every pair: ``helps``, ``does not``, ``none``, or nothing."""

    positive: list[str | None]
    negative: list[str | None]

    def turned(self, before: Acts) -> tuple[int, int]:
        """Count the sides that were right before and are read as the other one now: helping, and ignoring."""
        lost = [a == "helps" and b == "does not" for a, b in zip(before.positive, self.positive, strict=True)]
        won = [a == "does not" and b == "helps" for a, b in zip(before.negative, self.negative, strict=True)]
        return sum(won), sum(lost)


def acts(model: LoadedModel, run: Run, places: np.ndarray | None) -> Acts:
    """Draw all pairs and read them."""
    names = unit_table(run.info.layout, IMAGE).names
    edit = None if places is None else PictureEdit("patch", "set", tuple(names[i] for i in places))
    jobs = [Job(i, record.pair, 0, DRAWN, edit) for i, record in enumerate(run.pairs, 1)]
    found: list[list[str | None]] = [[], []]
    for start in range(0, len(jobs), AT_ONCE):
        for sides in drawn_together(model.pipe, run, jobs[start : start + AT_ONCE], drawing_of("picture-book")):
            for own, image in zip(found, sides, strict=True):
                reading = read(image)
                own.append(reading and reading.act)
    return Acts(*found)


def table(name: str, model: LoadedModel, run: Run, chooser: Run, n_sets: int) -> str:
    """Say in how many pairs the pictures turn."""
    heads, labels = heads_by_score(chooser), unit_table(run.info.layout, IMAGE)
    blocks = np.unique(labels.block, return_inverse=True)[1]
    permutations = stats.draw_permutations(blocks, n_sets, np.random.default_rng(0))
    before = acts(model, run, None)
    right = sum(a == "helps" for a in before.positive), sum(a == "does not" for a in before.negative)
    lines = [
        f"{name}: {len(run.pairs)} pairs; without patches {right[0]} helping sides are read as helping, {right[1]} "
        "ignoring sides as ignoring.",
        "| heads | which | ignoring read as helping | helping read as ignoring |",
        "|---|---|---|---|",
    ]
    for k in SIZES:
        sets = [("top", heads[:k]), *((f"random {i}", p[heads[:k]]) for i, p in enumerate(permutations, 1))]
        for called, places in sets:
            won, lost = acts(model, run, places).turned(before)
            same = len(set(places.tolist()) & set(heads[:k].tolist()))
            which = f"{called} ({', '.join(labels.names[i] for i in places)})" if called == "top" and k == 1 else called
            shared = f", {same} of them top heads" if called != "top" and same else ""
            lines.append(f"| {k} | {which}{shared} | {won} | {lost} |")
            print(lines[-1], file=sys.stderr, flush=True)
    return "\n".join(lines)


def row(path: Path) -> None:
    """Put three shipped pictures of a pair side by side: helping, ignoring, and ignoring patched."""
    run = load_run("picture-book-moral")
    shown = {
        (one.side, one.edit): opened(picture_bytes(run.folder, one))
        for one in read_pictures(run.folder, run.info).pictures
        if one.pair == PAIR and one.kind == DRAWN
    }
    wide, gap = 240, 12
    sheet = Image.new("RGB", (3 * wide + 2 * gap, wide), "white")
    for i, which in enumerate((("positive", ""), ("negative", ""), ("negative", "patch-top-10"))):
        sheet.paste(shown[which].resize((wide, wide), Image.Resampling.LANCZOS), (i * (wide + gap), 0))
    sheet.save(path)


def main() -> None:
    """Print the tables of the trained model and of its twin."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--random-sets", type=int, default=10, metavar="N")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the tables there as well")
    words = "only put the row of docs/picture-book-patched.png together, from the shipped pictures"
    parser.add_argument("--row", type=Path, metavar="FILE", help=words)
    options = parser.parse_args()
    if options.row:
        row(options.row)
        return
    run, chooser = load_run("picture-book-moral"), load_run("picture-book-replication")
    trained = PhasedPipeline("picture-book", "cpu")
    model = trained.load_both()
    trained.keep_vae()
    tables = [table("Trained", model, run, chooser, options.random_sets)]
    with tempfile.TemporaryDirectory() as folder:
        untrained = PhasedPipeline(str(write_twin(Path(folder) / "twin")), "cpu")
        model = untrained.load_both()
        untrained.keep_vae()
        sets = [load_prompt_set(f"picture-book/{name}") for name in ("moral", "replication")]
        run, chooser = (run_probe(model, one, ProbeConfig(size=64)) for one in sets)
        tables.append(table("Untrained twin", model, run, chooser, min(2, options.random_sets)))
    said = "\n\n".join(tables) + "\n"
    print(said)
    if options.out:
        options.out.write_text(said, encoding="utf-8")


if __name__ == "__main__":
    main()
