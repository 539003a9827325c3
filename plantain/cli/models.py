"""The command ``make-model``."""

from __future__ import annotations

import argparse
import shlex
from typing import Any

from plantain.cli.options import not_empty
from plantain.models.untrained import KLEIN_4B, check_folder, write_untrained
from plantain.probe.progress import bar


def add_commands(commands: Any) -> None:
    """Add ``make-model`` to argparse's subparsers."""
    parser = commands.add_parser("make-model", help="write a control: Klein's architecture, random weights")
    add = parser.add_argument
    add("kind", choices=("untrained-klein-4b",), help="which model")
    add("folder", type=not_empty, metavar="DIR", help="folder of the model, 16 GB")
    add("--seed", type=int, default=0, metavar="N", help="seed of the weights (default: 0)")
    where = "folder or Hub id with Klein's tokenizer, to cut prompts as Klein does (default: one token a byte)"
    add("--tokenizer", type=not_empty, metavar="WHERE", help=where)
    add("--overwrite", action="store_true", help="replace an existing untrained model")
    parser.set_defaults(command=_make_model)


def _make_model(options: argparse.Namespace) -> None:
    check_folder(options.folder, options.overwrite)
    with bar("writing", "B") as show:
        write_untrained(KLEIN_4B, options.folder, options.seed, options.tokenizer, options.overwrite, show)
    print(f"{options.folder}: FLUX.2 Klein 4B's architecture with random weights, seed {options.seed}.")
    words = shlex.join(["--model", options.folder, "--prompts", "prompts/moral_valence.toml"])
    print(f"Probe it: python -m plantain run {words} --out DIR")
