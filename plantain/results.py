"""Runs: what one execution of the probe left, saved and loaded. Works without torch.

Knows nothing about how runs are made.

`Run`                     the raw material with its provenance (`RunInfo`); every number is recomputed from it
`save_run`, `load_run`    a folder with run.json, capture.safetensors and units.csv
`list_runs`               the runs of a folder, and the ones that cannot be read
"""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import threading
import uuid
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from plantain import PlantainError
from plantain.analysis import Analysis, analyze, summarize
from plantain.inference import COLUMNS, Inference, infer, parameters
from plantain.kept import FOLDER as STATISTICS
from plantain.kept import keep, recall
from plantain.prompts import PromptPair
from plantain.provenance import PairRecord, RunInfo
from plantain.scopes import STREAM_SCOPES, TOKEN_SCOPES, UNITS
from plantain.units import Layout, SumsOfSquares
from plantain.whole import swap_in

SCHEMA = 1
RUN_JSON, CAPTURE, UNITS_CSV = "run.json", "capture.safetensors", "units.csv"
_ONE_AT_A_TIME = threading.Lock()  # seconds on all cores: whoever asks for the same waits for the one who began
_CONTENT = (RUN_JSON, CAPTURE, UNITS_CSV, STATISTICS)


class RunError(PlantainError, RuntimeError):
    """A run that cannot be read or written; the message names the folder and what to do."""


@dataclass(frozen=True, eq=False)
class Run:
    """One execution of the probe.

    Attributes
    ----------
    info : RunInfo
    pairs : tuple of PairRecord
    sums : SumsOfSquares
    signs : int8 array (n_permutations, n_pairs)
    halves : bool array (n_splits, n_pairs)
    folder : Path or None
        Where the run was read from; its slower statistics are kept there.
    """

    info: RunInfo
    pairs: tuple[PairRecord, ...]
    sums: SumsOfSquares
    signs: np.ndarray
    halves: np.ndarray
    folder: Path | None = None
    _analyses: dict[tuple[str, str], Analysis] = field(default_factory=dict, repr=False)
    _inferences: dict[tuple[str, str], Inference] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        n = len(self.pairs)
        if not np.isin(self.signs, (-1, 1)).all() or self.halves.dtype != bool:
            raise ValueError("signs must be -1 or 1, halves true or false.")
        axes = {"capture": self.sums.n_pairs, "signs": self.signs.shape[1], "halves": self.halves.shape[1]}
        for name, got in axes.items():
            if got != n:
                raise ValueError(f"{n} pairs, but the {name} have {got}.")
        for stream, values in self.sums.streams.items():
            got, wanted = values.shape[3], self.info.layout.n_slices(stream)
            if got != wanted:
                raise ValueError(f"{stream}: {got} slices, but the layout has {wanted}.")
            if not np.isfinite(values).all() or (values < 0).any():
                raise ValueError(f"{stream}: sums of squares must be finite and not negative.")

    def magnitudes(self, units: str = "card", scope: str = "all") -> np.ndarray:
        """RMS of every unit, float64 (2, n_pairs, n_units); see `units.magnitudes`."""
        return self.analysis(units, scope).magnitudes

    def analysis(self, units: str = "card", scope: str = "all") -> Analysis:
        """Statistics for one choice of units and scope, computed once."""
        key = (units, scope)
        if key not in self._analyses:
            self._analyses[key] = analyze(self.sums, self.info.layout, self.signs, self.halves, units, scope)
        return self._analyses[key]

    def inference(self, units: str = "card", scope: str = "all") -> Inference:
        """Slower statistics for one choice, computed once and kept in the run's folder."""
        choice = (units, scope)
        if choice in self._inferences:
            return self._inferences[choice]
        with _ONE_AT_A_TIME:
            self._infer(choice)
        return self._inferences[choice]

    def known_inference(self, units: str, scope: str) -> Inference | None:
        """Return the slower statistics for one choice where they are in memory already."""
        return self._inferences.get((units, scope))

    def _infer(self, choice: tuple[str, str]) -> None:
        """Compute or recall one choice's slower statistics, unless another thread just did."""
        units, scope = choice
        if choice not in self._inferences:
            analysis, key = self.analysis(units, scope), self.statistics_key(units, scope)
            found = recall(self.folder, key, analysis.table.n_units) if self.folder else None
            if found is None:
                found = infer(analysis, self.halves, self.info.seed, self.categories)
                if self.folder:
                    keep(self.folder, key, found)
            self._inferences[choice] = found

    def statistics_key(self, units: str, scope: str) -> dict[str, Any]:
        """Return what kept statistics must have been computed from to be this run's."""
        made_of = {"capture": self.capture_sha256, "categories": self.categories, "units": units, "scope": scope}
        return {**made_of, **parameters()}

    def summary(self, units: str = "card", scope: str = "all") -> dict[str, Any]:
        """Headline figures and the slower statistics' facts for one choice, as plain JSON values."""
        return {**self.headline(units, scope), "inference": self.inference(units, scope).facts}

    def headline(self, units: str = "card", scope: str = "all") -> dict[str, Any]:
        """Headline figures for one choice, at once: without the slower statistics."""
        return {
            **summarize(self.analysis(units, scope)),
            "text_baseline": self.text_baseline(units, scope),
            "model": self.info.model,
            "weights": self.info.weights,
        }

    def text_baseline(self, units: str = "card", scope: str = "all") -> dict[str, Any] | None:
        """Headline figures of the prompt embedding, the transformer's text input, to stand beside a choice.

        The embedding has no image tokens: where the scope has no others, that of all text tokens is taken. None
        where the choice is the embedding itself.
        """
        if units == "embedding":
            return None
        return summarize(self.analysis("embedding", "all" if scope == "image" else scope))

    @cached_property
    def categories(self) -> list[str]:
        """The category of every pair."""
        return [record.pair.category for record in self.pairs]

    @cached_property
    def capture_sha256(self) -> str:
        """SHA-256 (hex) of the raw material with its signs and halves, as it is saved."""
        return hashlib.sha256(_capture_bytes(self)).hexdigest()

    @property
    def n_image_tokens(self) -> int:
        """Image tokens of a pass, the same for every prompt."""
        return int(self.sums.tokens[0, 0, TOKEN_SCOPES.index("image")])

    def unequal_pairs(self) -> list[str]:
        """Ids of the pairs whose two prompts differ in their number of tokens."""
        words = self.sums.tokens[:, :, TOKEN_SCOPES.index("words")]
        return [record.pair.id for record, a, b in zip(self.pairs, *words, strict=True) if a != b]


# --- saving ------------------------------------------------------------------------------------------------


def save_run(run: Run, folder: str | Path, overwrite: bool = False) -> Path:
    """Write a run so that a reader sees the whole of it or none.

    Raises
    ------
    RunError
        The folder exists and `overwrite` is not set, or it holds something other than a run, or it
        cannot be written.
    """
    folder = Path(folder)
    check_target(folder, overwrite)
    new = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    try:
        new.mkdir(parents=True)
        _write_files(run, new)
        swap_in(new, folder)
    except OSError as error:
        raise RunError(f"{folder}: cannot be written ({error.strerror}).") from error
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return folder


def check_target(folder: str | Path, overwrite: bool) -> None:
    """Raise `RunError` unless a run may be written to the folder."""
    folder = Path(folder)
    if not folder.exists():
        return
    strange = [folder] if not folder.is_dir() else [p for p in folder.iterdir() if p.name not in _CONTENT]
    if strange:
        raise RunError(f"{folder}: holds something other than a run ({strange[0].name}). Choose another folder.")
    if not overwrite:
        raise RunError(f"{folder}: exists already. Choose another folder, or overwrite it (--overwrite).")


def _write_files(run: Run, folder: Path) -> None:
    (folder / CAPTURE).write_bytes(_capture_bytes(run))
    (folder / UNITS_CSV).write_text(_units_csv(run), encoding="utf-8", newline="")
    content = {
        "schema": SCHEMA,
        "info": asdict(run.info),
        "capture_sha256": run.capture_sha256,
        "pairs": [
            {**asdict(r.pair), "first_difference": r.first_difference, "n_differing": r.n_differing} for r in run.pairs
        ],
        "summaries": [run.summary(units) for units in UNITS],
    }
    (folder / RUN_JSON).write_text(_json(content), encoding="utf-8")
    for units in UNITS:
        keep(folder, run.statistics_key(units, "all"), run.inference(units))


def _json(content: Any) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _capture_bytes(run: Run) -> bytes:
    arrays = {f"sum_squares.{stream}": values for stream, values in run.sums.streams.items()}
    arrays |= {"tokens": run.sums.tokens, "signs": run.signs, "halves": run.halves}
    # One metadata key: several would be written in an order that changes from run to run.
    axes = {f"sum_squares.{s}": ["side", "pair", list(scopes), "slice"] for s, scopes in STREAM_SCOPES.items()}
    axes |= {"tokens": ["side", "pair", list(TOKEN_SCOPES)], "signs": ["flip", "pair"], "halves": ["split", "pair"]}
    arrays = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
    return safetensors.numpy.save(arrays, metadata={"axes": json.dumps(axes)})


# Significant digits of the numbers in units.csv, which people read; the bits are in the capture. At 9 each, the file
# of a full-size run would be a quarter larger.
_DIGITS = (6, 6, 7, 9, 9, *(4 for _ in COLUMNS))  # mean of either side, mean difference, t, d_z


def _units_csv(run: Run) -> str:
    """One row per unit of every kind, scope ``all``; t and d_z are empty for degenerate units."""
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["units", "unit", "block", "kind", "head", "first_channel", "n_channels",
         "mean_positive", "mean_negative", "mean_difference", "t", "d_z", *COLUMNS, "weights"]
    )  # fmt: skip
    for units in UNITS:
        a = run.analysis(units)
        more = run.inference(units).columns
        columns = (*a.magnitudes.mean(axis=1), a.differences.mean(axis=0), a.t, a.dz, *(more[c] for c in COLUMNS))
        for i, name in enumerate(a.table.names):
            head = a.table.head[i] if a.table.head[i] >= 0 else ""
            place = [units, name, a.table.block[i], a.table.kind[i], head, a.table.channel[i], a.table.width]
            numbers = ["" if np.isnan(c[i]) else f"{c[i]:.{d}g}" for c, d in zip(columns, _DIGITS, strict=True)]
            writer.writerow(place + numbers + [run.info.weights])
    return out.getvalue()


# --- loading -----------------------------------------------------------------------------------------------


def load_run(folder: str | Path) -> Run:
    """Read a run.

    Raises
    ------
    RunError
        The folder is no run, is of a newer schema, or its files are damaged or do not belong together.
    """
    folder = Path(folder)
    try:
        text, capture = _read_files(folder)
        content = json.loads(text)
    except OSError as error:
        name = Path(error.filename).name
        raise RunError(
            f"{folder}: is no run ({name}: {error.strerror}). Make one with `python -m plantain run`."
        ) from error
    except ValueError as error:
        raise RunError(f"{folder}: {RUN_JSON} is damaged ({error}).") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        found = content.get("schema") if isinstance(content, dict) else None
        raise RunError(f"{folder}: has schema {found!r}, this version reads {SCHEMA}. Update plantain.")
    try:
        if hashlib.sha256(capture).hexdigest() != content["capture_sha256"]:
            raise ValueError(f"{CAPTURE} does not match {RUN_JSON}")
        return _build_run(content, safetensors.numpy.load(capture), folder)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, SafetensorError) as error:
        raise RunError(f"{folder}: is damaged ({type(error).__name__}: {error}). Make the run again.") from error


def _read_files(folder: Path) -> tuple[bytes, bytes]:
    """Read run.json and the capture of one run: between the two, another may have taken the folder's place."""
    while True:
        before = (folder / RUN_JSON).stat()
        text, capture = (folder / RUN_JSON).read_bytes(), (folder / CAPTURE).read_bytes()
        after = (folder / RUN_JSON).stat()
        if (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns):
            return text, capture


def _build_run(content: dict[str, Any], arrays: dict[str, np.ndarray], folder: Path) -> Run:
    info = dict(content["info"])
    info["layout"] = Layout(**info["layout"])
    pairs = tuple(_pair_record(row) for row in content["pairs"])
    streams = {stream: arrays[f"sum_squares.{stream}"] for stream in STREAM_SCOPES}
    sums = SumsOfSquares(streams, arrays["tokens"])
    return Run(RunInfo(**info), pairs, sums, arrays["signs"], arrays["halves"], folder)


def _pair_record(row: dict[str, Any]) -> PairRecord:
    pair = PromptPair(**{f.name: row[f.name] for f in fields(PromptPair)})
    return PairRecord(pair, row["first_difference"], row["n_differing"])


def list_runs(folder: str | Path) -> tuple[dict[str, Run], dict[str, str]]:
    """Read all runs of a folder.

    Returns
    -------
    runs : dict of str to Run
        By folder name, in alphabetical order.
    problems : dict of str to str
        Folders that look like a run and cannot be read, with the reason.
    """
    runs: dict[str, Run] = {}
    problems: dict[str, str] = {}
    root = Path(folder)
    for path in sorted(root.iterdir()) if root.is_dir() else []:
        if path.name.startswith(".") or not (path / RUN_JSON).exists():
            continue
        try:
            runs[path.name] = load_run(path)
        except RunError as error:
            problems[path.name] = str(error)
    return runs, problems
