"""Options that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from plantain.models.load import LoadedModel, PhasedPipeline

if TYPE_CHECKING:
    from plantain.probe.reference import Reference


def not_empty(text: str) -> str:
    """Refuse an option's empty value."""
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty")
    return text


def at_least_one(text: str) -> int:
    """Read a whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("give a whole number from 1")
    return int(text)


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--device`` and ``--dtype``."""
    parser.add_argument("--device", metavar="D", help="cuda, mps or cpu (default: the best there is)")
    types = "bfloat16, float16 or float32 (default: bfloat16; stand-in: float32)"
    parser.add_argument("--dtype", metavar="T", help=types)


def seed_list(text: str) -> tuple[int, ...]:
    """Read whole numbers with commas between them."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdecimal() and len(part) < 20 for part in parts):
        raise argparse.ArgumentTypeError("give whole numbers with commas between them, as 0,1,2")
    return tuple(map(int, parts))


def with_reference(
    model: str, options: argparse.Namespace, dtype: str, revision: str | None
) -> tuple[LoadedModel, Reference | None]:
    """Load a model, and encode the image of ``--reference`` with it; None where there is none."""
    from plantain.probe.reference import check_images, encode_with

    files = {} if options.reference is None else {"": Path(options.reference)}
    check_images(files)
    phased = PhasedPipeline(model, options.device, dtype, revision)
    loaded, encoded = phased.load_both(), encode_with(phased, files)
    return loaded, encoded and encoded.by_pair[""]
