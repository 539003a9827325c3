"""The command ``new-prompts``."""

from __future__ import annotations

import argparse
import csv
import io
import shlex
from pathlib import Path
from typing import Any

from plantain import UsageError
from plantain.cli.options import not_empty
from plantain.prompts.sets import ROLES, SPREADSHEETS, TABLES

_COLUMNS = ("id", "category", "positive", "negative", "role", "title", "positive_name", "negative_name")

_PAIRS = (
    ("beach", "animals", "At dawn a horse gallops along the beach.", "At dawn a horse ambles along the beach."),
    ("stairs", "people", "Quickly Anna climbs the stairs to the tower.", "Slowly Anna climbs the stairs to the tower."),
    ("river", "things", "The river under the old bridge runs fast.", "The river under the old bridge runs slow."),
    ("market", "people", "With baskets, two men dash to market.", "With baskets, two men amble to market."),
    ("soup", "people", "In the kitchen Ben gulps his soup.", "In the kitchen Ben sips his soup."),
    ("snow", "things", "Thick snow plunges from the roof.", "Thick snow slides from the roof."),
)  # fmt: skip

_HEAD = """\
# A prompt set of your own: docs/prompts.md says what each line means.
# At least 4 pairs, 6 for an atlas; the card has 25.
# In a pair only what you ask about differs: same scene, same people, as many words on both sides.
name = {name}
title = {name}
positive = "fast"  # what the positive sides have in common, in a word or two
negative = "slow"
# What it is for in an atlas: {roles}.
role = "axis"
about = "The same scene, with a fast movement or a slow one."
reading = "A large result would mean that the model keeps fast and slow apart."
"""


def add_commands(commands: Any) -> None:
    """Add ``new-prompts`` to argparse's subparsers."""
    parser = commands.add_parser("new-prompts", help="write a prompt set to start your own from")
    words = "file to write: a table where its name ends in .csv or .tsv, else TOML"
    parser.add_argument("file", type=not_empty, metavar="FILE", help=words)
    parser.set_defaults(command=_new_prompts)


def _new_prompts(options: argparse.Namespace) -> None:
    path = Path(options.file)
    if path.suffix.lower() in SPREADSHEETS:
        raise UsageError(f"{path}: a spreadsheet is not read again. Give a name that ends in .csv or .toml.")
    text = _table(path) if path.suffix.lower() in TABLES else _toml(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8-sig" if path.suffix.lower() in TABLES else "utf-8", newline="") as file:
            file.write(text)
    except OSError as error:
        if path.exists():
            raise UsageError(f"{path}: exists already. Choose another name.") from error
        raise UsageError(f"{path}: cannot be written ({error.strerror}).") from error
    print(f"{path}: {len(_PAIRS)} pairs to put your own in the place of.")
    print(f"Run it: python -m plantain run --model tiny-random --prompts {shlex.quote(str(path))} --out DIR")


def _toml(path: Path) -> str:
    pairs = (
        f'\n[[pair]]\nid = "{name}"\ncategory = "{category}"\npositive = "{here}"\nnegative = "{there}"\n'
        for name, category, here, there in _PAIRS
    )
    return _HEAD.format(name=_quoted(path.stem), roles=", ".join(ROLES)) + "".join(pairs)


def _quoted(text: str) -> str:
    """Write a text as TOML does."""
    escaped = "".join(c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in text)
    return f'"{escaped}"'


def _table(path: Path) -> str:
    """Write a table as Excel does; what is said of the whole set stands in the first row alone."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter="," if path.suffix.lower() == ".csv" else "\t")
    writer.writerow(_COLUMNS)
    about = ("axis", path.stem, "fast", "slow")
    writer.writerows([*pair, *(about if i == 0 else [""] * len(about))] for i, pair in enumerate(_PAIRS))
    return out.getvalue()
