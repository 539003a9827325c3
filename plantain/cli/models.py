"""The command ``make-model``."""

from __future__ import annotations

import argparse
import os
import shlex
from typing import Any

from plantain import UsageError
from plantain.cli.options import at_least_one, not_empty
from plantain.models import reservoir
from plantain.models.picture_book.folder import PICTURE_BOOK
from plantain.models.sources import prompts_model
from plantain.models.untrained import KLEIN_4B, check_folder, write_untrained
from plantain.probe.progress import bar, stages

_KLEIN, _TWIN, _RESERVOIR = "untrained-klein-4b", f"untrained-{PICTURE_BOOK}", "reservoir"

_OPTIONS = {
    _KLEIN: ("tokenizer",), _RESERVOIR: ("text_encoder",), PICTURE_BOOK: ("device", "steps", "vae_steps"), _TWIN: (),
}  # fmt: skip
"""Options that only one kind of model has."""


def add_commands(commands: Any) -> None:
    """Add ``make-model`` to argparse's subparsers."""
    what = "write a model: a control with random weights, or the picture book, which is trained here"
    parser = commands.add_parser("make-model", help=what)
    add = parser.add_argument
    kinds = (
        f"{_KLEIN}: Klein's architecture, random weights (16 GB); {_RESERVOIR}: a model's own text encoder before a "
        f"random transformer; {PICTURE_BOOK}: the practice model, trained on "
        f"drawings (15 MB; hours on a processor); {_TWIN}: the picture book with a random transformer"
    )
    add("kind", choices=tuple(_OPTIONS), help=kinds)
    add("folder", type=not_empty, metavar="DIR", help="folder of the model")
    add("--seed", type=int, default=0, metavar="N", help="seed of the weights (default: 0)")
    where = "folder or Hub id with Klein's tokenizer, to cut prompts as Klein does (default: one token a byte)"
    add("--tokenizer", type=not_empty, metavar="WHERE", help=f"{_KLEIN}: {where}")
    where = "folder or Hub id of the pipeline whose text encoder it gets, Klein's as a rule"
    add("--text-encoder", type=not_empty, metavar="WHERE", help=f"{_RESERVOIR}: {where}")
    add("--device", type=not_empty, metavar="D", help=f"{PICTURE_BOOK}: cuda or cpu (default: the best there is)")
    add("--steps", type=at_least_one, metavar="N", help=f"{PICTURE_BOOK}: training steps (default: the recipe's)")
    add("--vae-steps", type=at_least_one, metavar="N", help=f"{PICTURE_BOOK}: of the VAE (default: the recipe's)")
    add("--overwrite", action="store_true", help="replace an existing model of this kind")
    parser.set_defaults(command=_make_model)


def _make_model(options: argparse.Namespace) -> None:
    for kind, names in _OPTIONS.items():
        if kind != options.kind and (given := [name for name in names if getattr(options, name) is not None]):
            raise UsageError(f"--{given[0].replace('_', '-')} goes with make-model {kind}")
    said, prompts = _MAKERS[options.kind](options)
    model = options.folder
    if model == PICTURE_BOOK:  # the name alone means the one that is shipped
        model = os.path.join(".", model)
    print(f"{options.folder}: {said}")
    words = shlex.join(["--model", model, "--prompts", prompts])
    print(f"Probe it: python -m plantain run {words} --out DIR")


def _make_klein(options: argparse.Namespace) -> tuple[str, str]:
    check_folder(options.folder, options.overwrite)
    with bar("writing", "B") as show:
        write_untrained(KLEIN_4B, options.folder, options.seed, options.tokenizer, options.overwrite, show)
    said = f"FLUX.2 Klein 4B's architecture with random weights, seed {options.seed}."
    return said, "prompts/moral_valence.toml"


def _make_reservoir(options: argparse.Namespace) -> tuple[str, str]:
    if options.text_encoder is None:
        raise UsageError(f"make-model {_RESERVOIR} needs --text-encoder: a folder or Hub id of a whole Klein pipeline")
    reservoir.check_folder(options.folder, options.overwrite)
    with bar("writing", "B") as show:
        reservoir.write_reservoir(options.folder, options.text_encoder, options.seed, options.overwrite, show)
    sets = _PRACTICE_SET if prompts_model(options.folder) else "prompts/moral_valence.toml"
    return f"the text encoder of {options.text_encoder} before a random transformer, seed {options.seed}.", sets


def _make_picture_book(options: argparse.Namespace) -> tuple[str, str]:
    from plantain.models.load import find_device
    from plantain.models.picture_book import make, train

    make.check_folder(options.folder, options.overwrite)
    chosen = {name: getattr(options, name) for name in ("steps", "vae_steps") if getattr(options, name) is not None}
    recipe, device = train.Recipe(seed=options.seed, **chosen), find_device(options.device)
    with stages() as show:
        make.write_picture_book(options.folder, recipe, device, options.overwrite, show)
    return f"the practice model (drawings, not Klein), seed {options.seed}.", _PRACTICE_SET


def _make_twin(options: argparse.Namespace) -> tuple[str, str]:
    from plantain.models.picture_book.make import write_twin

    write_twin(options.folder, options.seed, options.overwrite)
    return f"the picture book with a random transformer, seed {options.seed}.", _PRACTICE_SET


_PRACTICE_SET = "prompts/picture-book/moral.toml"

_MAKERS = {_KLEIN: _make_klein, _RESERVOIR: _make_reservoir, PICTURE_BOOK: _make_picture_book, _TWIN: _make_twin}
