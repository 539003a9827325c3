"""The command ``make-model``."""

from __future__ import annotations

import argparse

from plantain.cli.options import not_empty
from plantain.cli.progress import bar
from plantain.models.untrained import KLEIN_4B, check_folder, write_untrained


def _add_make_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", choices=("untrained-klein-4b",), help="which model")
    parser.add_argument("folder", type=not_empty, metavar="DIR", help="folder of the model, 16 GB")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the weights (default: 0)")
    parser.add_argument(
        "--tokenizer",
        type=not_empty,
        metavar="WHERE",
        help="folder or Hub id with Klein's tokenizer, to cut prompts as Klein does (default: one token a byte)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing untrained model")
    parser.set_defaults(command=_make_model)


def _make_model(options: argparse.Namespace) -> None:
    check_folder(options.folder, options.overwrite)
    with bar("writing", "B") as show:
        write_untrained(KLEIN_4B, options.folder, options.seed, options.tokenizer, options.overwrite, show)
    print(f"{options.folder}: FLUX.2 Klein 4B's architecture with random weights, seed {options.seed}.")
    print(f"Probe it: python -m plantain run --model {options.folder} --prompts prompts/moral_valence.toml --out DIR")
