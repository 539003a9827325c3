"""The command ``make-references``."""

from __future__ import annotations

import argparse
import shlex
from typing import Any

from plantain.cli.options import add_model_options, not_empty
from plantain.models.load import PhasedPipeline, default_model
from plantain.models.picture_book.folder import Drawing
from plantain.models.sources import drawing_of
from plantain.probe.progress import bar
from plantain.prompts.sets import load_prompt_set
from plantain.runs.words import check_words


def add_commands(commands: Any) -> None:
    """Add ``make-references`` to argparse's subparsers."""
    what = "draw a reference image for every pair, from what its sides share"
    parser = commands.add_parser("make-references", help=what)
    add = parser.add_argument
    add("prompts", type=not_empty, metavar="PROMPTS", help="prompt set (TOML, CSV or TSV)")
    add("folder", type=not_empty, metavar="DIR", help="folder of the pictures; continued if it is there")
    add("--model", type=not_empty, metavar="M", help="default: Klein on CUDA, the picture book elsewhere")
    style = (
        "steps and guidance: the pipeline's own (50, 4.0), or the sibling experiments' (14, 4.0) (default: klein; the "
        "picture book's own)"
    )
    add("--style", choices=("klein", "siblings"), help=style)
    add("--size", type=int, metavar="PX", help="height and width (default: 1024; the picture book's 64)")
    add("--seed", type=int, default=0, metavar="N", help="seed of the noise (default: 0)")
    add_model_options(parser)
    parser.set_defaults(command=_make_references)


def _make_references(options: argparse.Namespace) -> None:
    prompt_set, name = load_prompt_set(options.prompts), options.model or default_model()
    check_words(prompt_set, name, options.prompts)
    from plantain.probe.pictures.generate import STYLES, GenerationConfig, check_drawing, make_references

    name = options.model or default_model()
    own = drawing_of(name) or Drawing(1024, *STYLES["klein"])
    steps, guidance = STYLES[options.style] if options.style else (own.steps, own.guidance)
    drawing = GenerationConfig(steps, guidance, own.size if options.size is None else options.size, options.seed)
    check_drawing(prompt_set, options.folder)
    model = PhasedPipeline(name, options.device, options.dtype)
    loaded = model.load_both()
    with model.with_vae(), bar("drawing", "image") as show:
        drawn = make_references(loaded, prompt_set, options.folder, drawing, show)
    print(f"{options.folder}: {len(prompt_set.pairs)} reference images, {drawn} of them drawn now.")
    words = shlex.join(["--model", name, "--prompts", options.prompts, "--reference-set", options.folder])
    print(f"Use them: python -m plantain run {words} --out DIR")
