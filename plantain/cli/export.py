"""The command ``export``: a run as a table for other programs, or as a dataset for the Hub."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from plantain import UsageError
from plantain._files import replace_folder, write_atomic
from plantain.cli.options import ALL, not_empty
from plantain.report.answer import selections_of
from plantain.report.export import DATASET, dataset_files, report_json, units_csv
from plantain.runs.io import load_run
from plantain.runs.run import Run
from plantain.runs.scopes import SCOPES, UNITS
from plantain.runs.units import Selection

_FILES: dict[str, Callable[[Run, Selection], bytes]] = {"csv": units_csv, "json": report_json}

PARQUET = "parquet"


def add_commands(commands: Any) -> None:
    """Add ``export`` to argparse's subparsers."""
    parser = commands.add_parser("export", help="write a saved run as CSV, JSON, or a Parquet dataset for the Hub")
    add = parser.add_argument
    add("run", metavar="DIR", help="folder of a run")
    what = "csv: a row a unit; json: the whole report; parquet: a folder with a row a unit and a row a pair"
    add("--format", required=True, choices=(*_FILES, PARQUET), help=what)
    add("--out", type=not_empty, metavar="PATH", help="the file or folder (default: DIR with the format's ending)")
    units = "what counts as a unit (default: all kinds for parquet, else card)"
    add("--units", choices=(*UNITS, ALL), help=units)
    add("--scope", choices=tuple(SCOPES), default="all", help="which tokens (default: %(default)s)")
    add("--overwrite", action="store_true", help="replace what an earlier export wrote")
    parser.set_defaults(command=_export)


def _export(options: argparse.Namespace) -> None:
    run, form = load_run(options.run), options.format
    source = Path(options.run).resolve()
    out = Path(options.out) if options.out else source.with_name(f"{source.name}.{form}")
    units = options.units or (ALL if form == PARQUET else "card")
    if form in _FILES and units == ALL:
        raise UsageError(f"a {form} file is of one kind of units; choose --units, or --format {PARQUET} for all.")
    every = selections_of(run, options.scope) if units == ALL else []
    selections = every or [Selection(UNITS[0] if units == ALL else units, options.scope)]
    for selection in selections:
        run.analysis(selection)  # refuses units without that scope
    _check_free(out, options.overwrite, form)
    files = {form: _FILES[form](run, selections[0])} if form in _FILES else dataset_files(run, source.name, selections)
    try:
        if form in _FILES:
            write_atomic(out, files[form])
        else:
            with replace_folder(out, partial(_check_free, out, options.overwrite, form)) as new:
                for name, content in files.items():
                    (new / name).write_bytes(content)
    except OSError as error:
        raise UsageError(f"{out}: cannot be written ({error.strerror}).") from error
    print(f"{out}: {', '.join(files)}, {sum(map(len, files.values())):,} bytes.")


def _check_free(out: Path, overwrite: bool, form: str) -> None:
    """Refuse a place that is taken, unless by an earlier export that may be replaced."""
    if not (out.exists() or out.is_symlink()):
        return
    if not overwrite:
        raise UsageError(f"{out}: exists already. Choose another --out, or --overwrite.")
    fits = out.is_file() if form in _FILES else out.is_dir() and {path.name for path in out.iterdir()} <= set(DATASET)
    if not fits:
        raise UsageError(f"{out}: is no earlier export. Move it away, or choose another --out.")
