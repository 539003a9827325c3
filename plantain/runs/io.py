"""Runs saved and loaded: a folder with run.json, capture.safetensors, units.csv and cached statistics.

Where a run keeps directions, directions.safetensors lies beside them; without that file it is a run of magnitudes.

A run may be a stranger's: files are bounded in size and read strictly, nothing is unpickled, and what does not fit is
one clear error.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from io import StringIO
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError

from plantain import PlantainError
from plantain._files import (
    find,
    folder_identity,
    name_fault,
    plain,
    replace_folder,
    settle,
    settle_all,
    strict_arrays,
    strict_json,
    strict_record,
)
from plantain.prompts.sets import PromptSet
from plantain.prompts.shipped import RUNS
from plantain.runs.analysis import DIRECTION_COLUMNS
from plantain.runs.capture import SumsOfSquares
from plantain.runs.directions import LATER, Means, level_of, parts_of
from plantain.runs.inference import STATISTICS, columns_of, write_cached
from plantain.runs.info import RUN_KEYS, PairRecord, RunInfo, pair_facts
from plantain.runs.run import Run, capture_bytes, directions_bytes
from plantain.runs.scopes import STREAM_SCOPES, UNITS
from plantain.runs.units import Selection

SCHEMA = 2

READABLE = (1, 2)  # 1 knows one seed, one step, and no reference image

UNFINISHED = ".unfinished"  # what a run's folder is called while it is made, after its name

PUBLISH = ".publish"  # what the folder is called, after the run's name, into which a dry run of a publish writes

RUN_JSON, CAPTURE, UNITS_CSV = "run.json", "capture.safetensors", "units.csv"

DIRECTIONS = "directions.safetensors"  # beside them, where a run keeps directions; it is complete without

IMAGES = "images"  # a folder beside them, see `runs.pictures`; it is complete without
INTERVENTIONS = "interventions"  # the folder of what was found later by changing its passes

# Bytes; a run of Klein's 25 pairs has 30 kB, 13 MB and 33 MB (with the MLP 107 MB).
LARGEST = {RUN_JSON: 16 << 20, CAPTURE: 256 << 20, DIRECTIONS: 512 << 20}

_KINDS = {**{f"sum_squares.{stream}": np.float32 for stream in STREAM_SCOPES},
          "tokens": np.int64, "signs": np.int8, "halves": np.bool_}  # fmt: skip

_MEANS_SHA256 = "directions_sha256"  # in run.json, only where there are any

_REPEATS = {f"repeats.{stream}": np.float32 for stream in STREAM_SCOPES}  # only where there are any

_LATER_FACTS = ("floor", "preregistration", "role", "changes")

_CONTENT = (RUN_JSON, CAPTURE, DIRECTIONS, UNITS_CSV, STATISTICS, IMAGES, INTERVENTIONS)


class RunError(PlantainError, RuntimeError):
    """A run that cannot be read or written; the message names the folder and what to do."""


# --- saving ------------------------------------------------------------------------------------------------


def save_run(
    run: Run, folder: str | Path, overwrite: bool = False, attached: Mapping[str, bytes] | None = None
) -> Path:
    """Write a run so that a reader sees the whole of it or none.

    Parameters
    ----------
    run : Run
    folder : str or Path
    overwrite : bool
        Replace a run that stands there, with all that is attached to it.
    attached : mapping of str to bytes, optional
        Other files by their paths in the folder, from `attached.attached_files`: pictures and interventions.

    Raises
    ------
    RunError
        The folder exists and `overwrite` is not set, or it holds something other than a run, or it
        cannot be written.

    Examples
    --------
    >>> import tempfile, plantain
    >>> run = plantain.load_run("precomputed/tiny-random")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     saved = plantain.save_run(run, f"{folder}/copy")
    ...     sorted(path.name for path in saved.iterdir())
    ['capture.safetensors', 'directions.safetensors', 'run.json', 'statistics', 'units.csv']
    """
    folder = Path(folder)
    check_target(folder, overwrite)
    for units in UNITS:
        run.inference(Selection(units))  # takes a while: not when others wait for their turn
    try:
        with replace_folder(folder, partial(check_target, folder, overwrite)) as new:
            _write_files(run, new)
            for path, content in (attached or {}).items():
                (new / path).parent.mkdir(exist_ok=True)
                (new / path).write_bytes(content)
    except OSError as error:
        raise RunError(f"{folder}: cannot be written ({error.strerror}).") from error
    return folder


def check_target(folder: str | Path, overwrite: bool) -> None:
    """Raise `RunError` unless a run may be written to the folder."""
    folder = Path(folder)
    if folder.name in ("", ".."):  # nothing can be written beside it under its name
        raise RunError(f"{folder}: is no name for a run. Choose a folder of its own.")
    if fault := name_fault(folder):
        raise RunError(f"{folder}: {fault}")
    try:
        if not settle(folder):  # an old run may stand aside after a kill
            return
        strange = [folder] if not folder.is_dir() else [p for p in folder.iterdir() if p.name not in _CONTENT]
    except OSError as error:
        raise RunError(f"{folder}: cannot be read ({error.strerror}). Choose another folder.") from error
    if strange:
        raise RunError(f"{folder}: holds something other than a run ({strange[0].name}). Choose another folder.")
    if not overwrite:
        raise RunError(f"{folder}: exists already. Choose another folder, or overwrite it (--overwrite).")


def _write_files(run: Run, folder: Path) -> None:
    (folder / CAPTURE).write_bytes(capture_bytes(run))
    if run.directions is not None:
        (folder / DIRECTIONS).write_bytes(directions_bytes(run.directions))
    (folder / UNITS_CSV).write_text(_units_csv(run), encoding="utf-8", newline="")
    content = {
        "schema": SCHEMA,
        "info": _known_facts(run),
        "capture_sha256": run.capture_sha256,
        **({} if run.directions is None else {_MEANS_SHA256: run.directions_sha256}),
        "pairs": [_flat(record) for record in run.pairs],
        "summaries": [plain(run.summary(Selection(units))) for units in UNITS],
    }
    content["sha256"] = _digest(content)
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    (folder / RUN_JSON).write_text(text, encoding="utf-8")
    for units in UNITS:
        write_cached(folder, run, Selection(units, "all"), run.inference(Selection(units)))


def _known_facts(run: Run) -> dict[str, Any]:
    """Return the provenance without what an older run does not know, so that its file can be written as it was."""
    facts = asdict(run.info)
    return {key: value for key, value in facts.items() if value not in (None, ()) or key not in _LATER_FACTS}


def _digest(content: dict[str, Any]) -> str:
    """Return the hash of what stands in run.json, by which damage shows."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()


# Significant digits of the numbers in units.csv, which people read; the bits are in the capture. At 9 each, the file
# of a full-size run would be a quarter larger.
_DIGITS = (6, 6, 7, 9, 9)  # mean of either side, mean difference, t, d_z; of all others:

_FEW_DIGITS = 4


def _units_csv(run: Run) -> str:
    """One row per unit of every kind, scope ``all``; t and d_z are empty for degenerate units.

    A run that keeps directions has columns of them, empty for kinds of units without.
    """
    out = StringIO()
    writer, names = csv.writer(out, lineterminator="\n"), columns_of(len(run.pairs))
    directed = DIRECTION_COLUMNS if run.directions else ()
    writer.writerow(
        ["units", "unit", "block", "kind", "head", "first_channel", "n_channels",
         "mean_positive", "mean_negative", "mean_difference", "t", "d_z", *names, "rms_percent", *directed, "weights"]
    )  # fmt: skip
    for units in UNITS:
        a = run.analysis(Selection(units))
        more = [run.inference(Selection(units)).columns[c] for c in names]
        columns = (*a.magnitudes.mean(axis=1), a.differences.mean(axis=0), a.t, a.dz, *more, a.rms_percent)
        if run.directions:
            kept = run.directions.has(Selection(units))
            none = dict.fromkeys(directed, np.full(a.table.n_units, np.nan))
            columns += tuple((run.direction_analysis(Selection(units)).columns if kept else none).values())
        for i, name in enumerate(a.table.names):
            head = a.table.head[i] if a.table.head[i] >= 0 else ""
            place = [units, name, a.table.block[i], a.table.kind[i], head, a.table.channel[i], a.table.width]
            digits = zip_longest(columns, _DIGITS, fillvalue=_FEW_DIGITS)
            numbers = ["" if np.isnan(c[i]) else f"{c[i]:.{d}g}" for c, d in digits]
            writer.writerow(place + numbers + [run.info.weights])
    return out.getvalue()


# --- loading -----------------------------------------------------------------------------------------------


def load_run(folder: str | Path) -> Run:
    """Read a run.

    Parameters
    ----------
    folder : str or Path
        A folder, or the name of a shipped run, such as ``precomputed/tiny-random``, from whatever folder.

    Raises
    ------
    RunError
        The folder is no run, is of a newer schema, or its files are damaged or do not belong together.

    Examples
    --------
    >>> import plantain
    >>> run = plantain.load_run("precomputed/tiny-random")
    >>> run.info.model, len(run.pairs)
    ('tiny-random', 25)
    """
    folder = find(folder, RUNS)
    try:
        text, capture, means = _read_files(folder)
        content = strict_json(text)
    except OSError as error:
        name = Path(error.filename).name
        advice = "Make one with `python -m plantain run`."
        if folder.name.endswith(UNFINISHED) or Path(f"{folder}{UNFINISHED}").is_dir():
            advice = "It is not finished: repeat the command that began it."
        if not folder.exists():
            raise RunError(f"{folder}: there is no such folder. {advice}") from error
        raise RunError(f"{folder}: is no run ({name}: {error.strerror}). {advice}") from error
    except ValueError as error:
        raise RunError(f"{folder}: {RUN_JSON} is damaged ({error}). Make the run again.") from error
    if not isinstance(content, dict) or "schema" not in content:
        raise RunError(f"{folder}: {RUN_JSON} is damaged (no schema). Make the run again.")
    if content["schema"] not in READABLE:
        raise RunError(
            f"{folder}: has schema {content['schema']!r}, this version reads {SCHEMA} and older. Update plantain."
        )
    try:
        if content.pop("sha256", None) not in (None, _digest(content)):  # runs of older versions have none
            raise ValueError(f"{RUN_JSON} does not match its own hash")
        if hashlib.sha256(capture).hexdigest() != content["capture_sha256"]:
            raise ValueError(f"{CAPTURE} does not match {RUN_JSON}")
        if _MEANS_SHA256 not in content:  # then what lies there is nobody's word
            means = None
        elif means is not None and hashlib.sha256(means).hexdigest() != content[_MEANS_SHA256]:
            raise ValueError(f"{DIRECTIONS} does not match {RUN_JSON}")
        return _build_run(content, capture, means, folder)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, SafetensorError) as error:
        raise RunError(f"{folder}: is damaged ({type(error).__name__}: {error}). Make the run again.") from error


def no_run(path: Path) -> str:
    """Say what stands beside runs and is none of them: a file, a run that is not finished, what a publish would send.

    Returns
    -------
    str
        Empty where it may be a run, or is not there at all.
    """
    if path.is_file():
        return "a file"
    if path.name.endswith(UNFINISHED):
        return "not finished"
    return "a dry run of a publish" if path.name.endswith(PUBLISH) else ""


def _read_files(folder: Path) -> tuple[bytes, bytes, bytes | None]:
    """Read run.json, capture and directions of one run; again where another took the folder's place meanwhile."""
    while True:
        before = folder_identity(folder)
        try:
            found = _read_once(folder)
        except FileNotFoundError:
            if not settle(folder) or folder_identity(folder) == before:
                raise
            continue
        if folder_identity(folder) == before:
            return found


def _read_once(folder: Path) -> tuple[bytes, bytes, bytes | None]:
    content: dict[str, bytes] = {}
    for name, limit in LARGEST.items():
        try:
            found = (folder / name).stat()
        except FileNotFoundError:
            if name == DIRECTIONS:
                continue
            raise
        if not stat.S_ISREG(found.st_mode):  # a pipe would never end
            raise RunError(f"{folder}: {name} is no file. Make the run again.")
        if found.st_size > limit:
            raise RunError(f"{folder}: {name} is larger than {limit:,} bytes.")
        content[name] = (folder / name).read_bytes()
    return content[RUN_JSON], content[CAPTURE], content.get(DIRECTIONS)


def _build_run(content: dict[str, Any], capture: bytes, directions: bytes | None, folder: Path) -> Run:
    info = strict_record(RunInfo, content["info"], "info")
    n_repeats = info.conditions.n_repeats if info.conditions.n_repeats > 1 else 0
    arrays = strict_arrays(capture, {**_KINDS, **(_REPEATS if n_repeats else {})})
    pairs = strict_record(tuple[PairRecord, ...], [_nested(row) for row in content["pairs"]], "pairs")
    streams = {stream: arrays[f"sum_squares.{stream}"] for stream in STREAM_SCOPES}
    measures = [{s: arrays[f"repeats.{s}"][i] for s in STREAM_SCOPES} for i in range(n_repeats)]
    sums, *repeats = (SumsOfSquares(measure, arrays["tokens"]) for measure in (streams, *measures))
    means = None if directions is None else _read_means(directions, arrays["tokens"])
    run = Run(info, pairs, sums, arrays["signs"], arrays["halves"], folder, tuple(repeats), means)
    prompts = tuple(record.pair for record in pairs)  # the hash names their set everywhere else
    if PromptSet(info.prompt_set, info.title, info.positive, info.negative, prompts).sha256 != info.prompts_sha256:
        raise ValueError("the pairs are not those of prompts_sha256")
    if info.references and set(info.references) != {pair.id for pair in prompts}:
        raise ValueError("the reference images are not those of the pairs")
    return run


def _read_means(content: bytes, tokens: np.ndarray) -> Means | None:
    """Read the mean vectors of any level."""
    header = strict_json(content[8 : 8 + int.from_bytes(content[:8], "little")])
    parts = parts_of(level_of([name.removeprefix("means.") for name in header if name.startswith("means.")]))
    kinds = {f"means.{part}": np.float16 for part in parts}
    if "times" in header:
        kinds |= {"times": np.float64, **{f"later.{part}": np.float16 for part in LATER}}
    return Means.of(strict_arrays(content, kinds), tokens)


def _nested(row: dict[str, Any]) -> dict[str, Any]:
    """Turn a pair as it stands in run.json, in one level, into the fields of `PairRecord`; other keys are left out."""
    tokens = {key: row[key] for key in ("first_difference", "n_differing")}
    return {**tokens, "pair": {key: value for key, value in row.items() if key in RUN_KEYS}}


def _flat(record: PairRecord) -> dict[str, Any]:
    """Turn a pair into one level, for run.json: its kind only where it has one."""
    row = asdict(record)
    del row["pair"]
    return {**{key: value for key, value in pair_facts(record.pair).items() if value or key != "kind"}, **row}


def _stay_inside(root: Path, path: Path) -> None:
    """Refuse a run of which a part is a link that leads out of the folder of runs."""
    for part in (path, *(path / name for name in (RUN_JSON, CAPTURE, DIRECTIONS, IMAGES, INTERVENTIONS))):
        if part.exists() and not part.resolve().is_relative_to(root.resolve()):
            raise RunError(f"{path}: {part.name} is a link that leads out of {root}. Copy the run there.")


def list_runs(folder: str | Path, known: Mapping[str, Run] | None = None) -> tuple[dict[str, Run], dict[str, str]]:
    """Read all runs of a folder.

    Parameters
    ----------
    folder : path
    known : mapping of str to Run, optional
        Runs of the folder that need not be read again: taken as they are where their folder is still there.

    Returns
    -------
    runs : dict of str to Run
        By folder name, in alphabetical order.
    problems : dict of str to str
        Folders that look like a run and cannot be read, with the reason. A link that leads out of the folder is
        not followed: what is shown to everybody has to be there.
    """
    runs: dict[str, Run] = {}
    problems: dict[str, str] = {}
    root = Path(folder)
    try:
        settle_all(root)
        found = sorted(root.iterdir()) if root.is_dir() else []
    except OSError as error:
        return {}, {root.name: f"{root}: cannot be read ({error.strerror})."}
    for path in found:
        try:
            if path.name.startswith(".") or not path.is_dir() or not {RUN_JSON, CAPTURE} & set(os.listdir(path)):
                continue
            _stay_inside(root, path)
            runs[path.name] = (known or {}).get(path.name) or load_run(path)
        except RunError as error:
            problems[path.name] = str(error)
        except OSError as error:
            problems[path.name] = f"{path}: cannot be read ({error.strerror})."
    return runs, problems
