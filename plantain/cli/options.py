"""Options that several commands share."""

from __future__ import annotations

import argparse

from plantain.runs.directions import LEVELS

MODELS = "Hub id, local folder, picture-book or tiny-random"

ALL = "all"  # every kind of units, or every unit


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
    types = "bfloat16, float16 or float32 (default: bfloat16; picture book, stand-in: float32)"
    parser.add_argument("--dtype", metavar="T", help=types)


def add_pass_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--directions``, ``--low-memory`` and ``--batch``."""
    kept = (
        "keep mean vectors of heads, text heads and embedding (default), of the MLP too (all), of heads over image "
        "tokens alone (image: enough for a control), or magnitudes only (off)"
    )
    parser.add_argument("--directions", choices=LEVELS, default=LEVELS[0], help=kept)
    memory = "encode all prompts first, then run all passes: half the memory (by itself where memory is short)"
    parser.add_argument("--low-memory", action="store_true", help=memory)
    batch = "prompts in one pass (default: 1 on a processor, more on CUDA)"
    parser.add_argument("--batch", type=at_least_one, metavar="N", help=batch)


def seed_list(text: str) -> tuple[int, ...]:
    """Read whole numbers with commas between them."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdecimal() and len(part) < 20 for part in parts):
        raise argparse.ArgumentTypeError("give whole numbers with commas between them, as 0,1,2")
    return tuple(map(int, parts))


def time_list(text: str) -> tuple[float, ...]:
    """Read times, which are sigmas, with commas between them."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError("give numbers with commas between them, as 1,.9,.7,.5,.3,.1") from None
