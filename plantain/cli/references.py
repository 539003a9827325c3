"""The command ``make-references``."""

from __future__ import annotations

import argparse
import shlex
from typing import Any

from plantain.cli.options import add_model_options, not_empty
from plantain.models.load import PhasedPipeline, default_model
from plantain.probe.progress import bar
from plantain.prompts.sets import load_prompt_set


def add_commands(commands: Any) -> None:
    """Add ``make-references`` to argparse's subparsers."""
    what = "draw a reference image for every pair, from what its sides share"
    parser = commands.add_parser("make-references", help=what)
    add = parser.add_argument
    add("prompts", type=not_empty, metavar="PROMPTS", help="prompt set (TOML, CSV or TSV)")
    add("folder", type=not_empty, metavar="DIR", help="folder of the pictures; continued if it is there")
    add("--model", type=not_empty, metavar="M", help="default: Klein on CUDA, the stand-in elsewhere")
    style = "steps and guidance: the pipeline's own (50, 4.0), or the sibling experiments' (14, 4.0)"
    add("--style", choices=("klein", "siblings"), default="klein", help=style)
    add("--size", type=int, default=1024, metavar="PX", help="height and width (default: %(default)s)")
    add("--seed", type=int, default=0, metavar="N", help="seed of the noise (default: 0)")
    add_model_options(parser)
    parser.set_defaults(command=_make_references)


def _make_references(options: argparse.Namespace) -> None:
    prompt_set = load_prompt_set(options.prompts)
    from plantain.probe.generate import STYLES, GenerationConfig, check_drawing, make_references

    drawing = GenerationConfig(*STYLES[options.style], size=options.size, seed=options.seed)
    check_drawing(prompt_set, options.folder)
    model = PhasedPipeline(options.model or default_model(), options.device, options.dtype)
    loaded = model.load_both()
    with model.with_vae(), bar("drawing", "image") as show:
        drawn = make_references(loaded, prompt_set, options.folder, drawing, show)
    print(f"{options.folder}: {len(prompt_set.pairs)} reference images, {drawn} of them drawn now.")
    model, folder = options.model or default_model(), options.folder
    words = shlex.join(["--model", model, "--prompts", options.prompts, "--reference-set", folder])
    print(f"Use them: python -m plantain run {words} --out DIR")
