"""The pairs that are done while a run goes on: a killed run goes on where it was.

Prompt embeddings are kept as well where they are computed before the pairs.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from plantain._files import write_atomic
from plantain.runs.capture import PairCapture, SumsOfSquares
from plantain.runs.io import UNFINISHED, RunError
from plantain.runs.scopes import STREAM_SCOPES

Done = tuple[PairCapture, float]
"""A pair's capture, and the seconds that it took."""


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
        if found is None or (found != settings and (overwrite or not self._has_pairs())):
            self.discard()
        elif found != settings:
            raise RunError(
                f"{self.folder}: holds pairs of a run with other settings ({_differing(found, settings)}). Repeat that "
                "command to finish it, delete the folder, or add --overwrite."
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomic(self.folder / "settings.json", json.dumps(settings, indent=1).encode())
        except OSError as error:
            raise RunError(f"{self.folder}: cannot be written ({error.strerror}).") from error

    def _found(self) -> dict[str, Any] | None:
        try:
            return json.loads((self.folder / "settings.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def _has_pairs(self) -> bool:
        return any(self.folder.glob("pair-*.safetensors"))

    def _path(self, index: int) -> Path:
        return self.folder / f"pair-{index:04d}.safetensors"

    def save(self, index: int, capture: PairCapture, seconds: float) -> None:
        """Keep a pair; a reader finds the whole file or none."""
        arrays = {f"sum_squares.{name}": np.ascontiguousarray(v) for name, v in capture.sums.streams.items()}
        for i, repeat in enumerate(capture.repeats):
            arrays |= {f"repeats.{i}.{name}": np.ascontiguousarray(v) for name, v in repeat.streams.items()}
        arrays["tokens"] = np.ascontiguousarray(capture.sums.tokens)
        arrays["differences"] = np.array([capture.first_difference, capture.n_differing])
        arrays["seconds"] = np.array([seconds])
        arrays["settings"] = np.frombuffer(self._digest, np.uint8)
        try:
            write_atomic(self._path(index), safetensors.numpy.save(arrays))
        except OSError as error:
            raise RunError(f"{self.folder}: a pair cannot be kept ({error.strerror}).") from error

    def load(self, index: int) -> Done | None:
        """Return a kept pair and its seconds, or None if it has to be computed."""
        try:
            arrays = safetensors.numpy.load(self._path(index).read_bytes())
            if arrays["settings"].tobytes() != self._digest:
                return None
            sums = SumsOfSquares({s: arrays[f"sum_squares.{s}"] for s in STREAM_SCOPES}, arrays["tokens"])
            first, differing = (int(v) for v in arrays["differences"])
            repeats = tuple(_repeats(arrays))
            return PairCapture(sums, first, differing, repeats), float(arrays["seconds"][0])
        except (OSError, SafetensorError, KeyError, ValueError):
            return None

    def save_embeddings(self, index: int, content: bytes) -> None:
        """Keep a pair's prompt embeddings, until the run stands."""
        try:
            write_atomic(self._embeddings(index), self._digest + content)
        except OSError as error:
            raise RunError(f"{self.folder}: prompt embeddings cannot be kept ({error.strerror}).") from error

    def load_embeddings(self, index: int) -> bytes | None:
        """Return what `save_embeddings` kept, or None."""
        try:
            content = self._embeddings(index).read_bytes()
        except OSError:
            return None
        mine, content = content[: len(self._digest)] == self._digest, content[len(self._digest) :]
        return content if mine else None

    def _embeddings(self, index: int) -> Path:
        return self.folder / f"embeddings-{index:04d}.safetensors"

    def discard(self) -> None:
        """Remove what was kept; called when the run stands."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _differing(found: dict[str, Any], settings: dict[str, Any]) -> str:
    """Name what differs between two runs' settings, theirs first."""
    one, other = ({**s, **s.get("conditions", {})} for s in (found, settings))
    names = sorted(key for key in {*one, *other} - {"conditions"} if one.get(key) != other.get(key))
    said = [f"{_WORDS.get(n, n)} {_short(one.get(n))}, now {_short(other.get(n))}" for n in names]
    return "; ".join(said) or "unknown ones"


_WORDS = {
    "prompts_sha256": "prompts", "fingerprint": "model", "mask_padding": "masked padding", "references": "images",
}  # fmt: skip


def _short(value: Any) -> str:
    """Write a value for a sentence: of a hash its beginning, of many things their number."""
    if isinstance(value, dict):
        return f"{len(value)} others" if value else "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)[:12] if isinstance(value, str) and len(value) == 64 else str(value or "none")


def _repeats(arrays: dict[str, np.ndarray]) -> Iterator[SumsOfSquares]:
    """Yield the repeated measures of a kept pair; none where there was one."""
    for i in count():
        if f"repeats.{i}.single" not in arrays:
            return
        yield SumsOfSquares({s: arrays[f"repeats.{i}.{s}"] for s in STREAM_SCOPES}, arrays["tokens"])
