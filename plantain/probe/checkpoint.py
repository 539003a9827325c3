"""The pairs that are done while a run goes on: a killed run goes on where it was.

Prompt embeddings are kept as well where they are computed before the pairs.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from plantain._files import write_atomic
from plantain.runs.capture import PairCapture, SumsOfSquares
from plantain.runs.directions import Means
from plantain.runs.info import RunInfo
from plantain.runs.io import UNFINISHED, RunError
from plantain.runs.scopes import STREAM_SCOPES

Done = tuple[PairCapture, float]
"""A pair's capture, and the seconds that it took."""

_PAIR, _EMBEDDINGS = "pair-{:04d}.safetensors", "embeddings-{:04d}.safetensors"


class Checkpoint:
    """The pairs that are done while a run goes on, one file a pair, in ``DIR.unfinished``.

    Parameters
    ----------
    folder : Path
        Where the finished run will stand.
    settings : dict
        Everything that a pair's numbers depend on; a folder with other settings is not continued.
    overwrite : bool
        Throw pairs of other settings away instead of refusing.
    """

    def __init__(self, folder: str | Path, settings: dict[str, Any], overwrite: bool = False) -> None:
        folder = Path(folder)
        # In every file: another process may put other settings into the folder while this one is at work.
        self._digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).digest()
        self.folder = folder.with_name(folder.name + UNFINISHED)
        found = self._found()
        if found is None or (found != settings and (overwrite or not any(self.folder.glob("pair-*")))):
            self.discard()
        elif found != settings:
            raise RunError(
                f"{self.folder}: holds pairs of a run with other settings ({_differing(found, settings)}). Repeat that "
                "command to finish it, delete the folder, or replace it by `run … --overwrite`."
            )
        self._write("settings.json", json.dumps(settings, indent=1).encode(), begin=True)

    def _found(self) -> dict[str, Any] | None:
        try:
            return json.loads((self.folder / "settings.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def _write(self, name: str, content: bytes, begin: bool = False) -> None:
        try:
            if begin:  # later a folder that is gone is an error: what it held is gone as well
                self.folder.mkdir(parents=True, exist_ok=True)
            write_atomic(self.folder / name, content)
        except OSError as error:
            raise RunError(f"{self.folder}: cannot be written ({error.strerror}).") from error

    def save(self, index: int, capture: PairCapture, seconds: float) -> None:
        """Keep a pair; a reader finds the whole file or none."""
        measures = capture.repeats or (capture.sums,)
        arrays = {stream: np.stack([m.streams[stream] for m in measures]) for stream in STREAM_SCOPES}
        arrays["tokens"] = np.ascontiguousarray(capture.sums.tokens)
        arrays["differences"] = np.array([capture.first_difference, capture.n_differing])
        arrays["seconds"] = np.array([seconds])
        arrays |= capture.means.arrays() if capture.means else {}
        arrays["settings"] = np.frombuffer(self._digest, np.uint8)
        self._write(_PAIR.format(index), safetensors.numpy.save(arrays))

    def load(self, index: int) -> Done | None:
        """Return a kept pair and its seconds, or None if it has to be computed."""
        try:
            arrays = safetensors.numpy.load((self.folder / _PAIR.format(index)).read_bytes())
            if arrays["settings"].tobytes() != self._digest:
                return None
            measures = zip(*(arrays[stream] for stream in STREAM_SCOPES), strict=True)
            sums = [SumsOfSquares(dict(zip(STREAM_SCOPES, m, strict=True)), arrays["tokens"]) for m in measures]
            means = Means.of(arrays, arrays["tokens"])
            return PairCapture.of(sums, *map(int, arrays["differences"]), means), float(arrays["seconds"][0])
        except (OSError, SafetensorError, KeyError, ValueError, TypeError, IndexError):
            return None

    def save_embeddings(self, index: int, content: bytes) -> None:
        """Keep a pair's prompt embeddings, until the run stands."""
        self._write(_EMBEDDINGS.format(index), self._digest + content)

    def load_embeddings(self, index: int) -> bytes | None:
        """Return what `save_embeddings` kept, or None."""
        try:
            content = (self.folder / _EMBEDDINGS.format(index)).read_bytes()
        except OSError:
            return None
        return content.removeprefix(self._digest) if content.startswith(self._digest) else None

    def discard(self) -> None:
        """Remove what was kept; called when the run stands."""
        shutil.rmtree(self.folder, ignore_errors=True)


def count_kept(folder: Path) -> int:
    """Count the pairs that an unfinished run has left, whatever its settings; only a start tells whether they fit.

    Parameters
    ----------
    folder : Path
        Where the finished run will stand.
    """
    return sum(1 for _ in folder.with_name(folder.name + UNFINISHED).glob("pair-*.safetensors"))


def tidy(folder: Path, info: RunInfo) -> None:
    """Remove the pairs of a finished run that a kill left: those of other settings stay.

    Parameters
    ----------
    folder : Path
        Of the finished run.
    info : RunInfo
        Its own.
    """
    pairs = folder.with_name(folder.name + UNFINISHED)
    try:
        found = json.loads((pairs / "settings.json").read_text(encoding="utf-8"))
        theirs = [found[key] for key in ("fingerprint", "dtype", "prompts_sha256", "conditions", "references")]
    except (OSError, ValueError, LookupError, TypeError):
        return
    conditions = {**asdict(info.conditions), "seeds": list(info.seeds)}
    if theirs == [info.fingerprint, info.dtype, info.prompts_sha256, conditions, info.references]:
        shutil.rmtree(pairs, ignore_errors=True)


def _differing(found: dict[str, Any], settings: dict[str, Any]) -> str:
    """Name what differs between two runs' settings, theirs first."""
    one, other = ({"directions": "off", **s, **s.get("conditions", {})} for s in (found, settings))
    names = sorted(key for key in {*one, *other} - {"conditions"} if one.get(key) != other.get(key))
    return "; ".join(f"{name} {one.get(name)!s:.12}, now {other.get(name)!s:.12}" for name in names)
