"""Interventions: heads that were changed in a run's passes, and what that did to the velocity of the image tokens.

They lie in the folder ``interventions`` of a run, two files each: NAME.json says what was done and what came out,
NAME.safetensors has the figures of every pair and set of heads. Nothing of them is in run.json. They may be a
stranger's, and are read as a run is: sizes first, then strictly, without torch.

A change speaks of the pairs that it was made in. What a set of heads restores when it is patched says where the
difference between the two sides of a pair passes through. Only steering that was learned on other pairs, and the
interaction with the pairs and heads of control sets, speak of an axis. Distance is not meaning.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass as plain_dataclass
from dataclasses import field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import safetensors.numpy
from pydantic import Field
from pydantic.dataclasses import dataclass
from safetensors import SafetensorError

from plantain._files import STRICT, plain, strict_arrays, strict_json, strict_record, write_atomic
from plantain.models.info import WEIGHTS
from plantain.runs.info import Seed, Sha256, Size
from plantain.runs.io import INTERVENTIONS, UNFINISHED, RunError
from plantain.runs.run import Run
from plantain.runs.units import Layout, Selection, find_units, unit_table

SCHEMA = 1

METHODS = ("patch", "steer", "ablate")

WITHIN, MATCHED, FLIPS = "within", "matched", "flips"

REDRAWS = (WITHIN, MATCHED, FLIPS)
"""Labels permuted within blocks; over all blocks, among heads that write alike; signs of the training pairs flipped."""

NAME = re.compile(r"(patch|steer|ablate)(-from-[A-Za-z0-9_.-]{1,80})?(-part)?")
"""What a result may be called: its method, the run that chose the heads, and whether it is of a part of the pairs."""

LARGEST_JSON, LARGEST_ARRAYS = 4 << 20, 64 << 20  # bytes; of Klein's 25 pairs with 199 redraws 0.1 and 1 MB

_WRITTEN = "written."  # begins the names of arrays that are of no pair

MOST_REDRAWS = 9_999  # of a kind

MOST_RESULTS = 16  # in the folder of a run


@plain_dataclass(frozen=True, eq=False)
class Change:
    """Units that are changed together in a pass.

    Attributes
    ----------
    units : {"heads", "mlp"}
    places : int array (n,)
        Indices in ``unit_table(layout, Selection(units, "image"))``.
    vectors : float32 array (n, width) or None
        What is added (steering) or put there (ablation by the mean); None for patching.
    """

    units: str
    places: np.ndarray
    vectors: np.ndarray | None = None

    def __post_init__(self) -> None:
        assert self.units in ("heads", "mlp"), self.units
        assert self.places.ndim == 1 and self.places.dtype.kind == "i", self.places.dtype
        assert self.vectors is None or self.vectors.shape[:1] == self.places.shape, self.vectors.shape


Word = Annotated[str, Field(max_length=200)]

Names = Annotated[tuple[Word, ...], Field(max_length=10_000)]

Number = Annotated[int, Field(ge=1, le=100_000)]


@dataclass(frozen=True, config=STRICT)
class ControlInfo:
    """A run of another contrast whose pairs and heads stand beside the run's own.

    Attributes
    ----------
    name, title : str
    capture_sha256 : str
    n_pairs : int
    """

    name: Word
    title: Annotated[str, Field(max_length=1000)]
    capture_sha256: Sha256
    n_pairs: Number


@dataclass(frozen=True, config=STRICT)
class Asked:
    """What was asked, and which heads that gives: all that is settled before the model loads.

    Attributes
    ----------
    method : {"patch", "steer", "ablate"}
    capture_sha256 : str
        Of the run.
    layout : Layout
        Of its model.
    size, noise_seed : int
        As in the run's passes.
    pairs : tuple of str
        Ids of the pairs, in the run's order.
    n_pairs : int
        Of the run; more than `pairs` where a part was asked for.
    fold_rule : {"category", "hash", "none"}
        What a fold is: a category; a fifth of the pairs, by a hash of their ids; or nothing, where the heads are fixed.
    folds : tuple of str
        Every pair's fold, whose heads and vectors come from the pairs of all other folds; "" where they are fixed.
    heads : str
        What was asked for: ``top``, ``top:K`` or names.
    heads_from, heads_from_sha256 : str
        The run whose pairs chose the heads, and its capture's hash; empty where they are the run's own.
    chosen_by : {"directions", "magnitudes", "names"}
    ks : tuple of int
        Sizes of the sets.
    chosen : tuple of tuple of tuple of str
        Names of the heads, by size and fold, the folds in the order of their first pairs.
    redraws : tuple of str
        Some of `REDRAWS`.
    n_redraws : int
        Of each kind.
    draws_seed : int
    blocks : tuple of str
        Blocks of which all heads were changed at once; empty where that was left out.
    mlp : bool
        Whether all MLP of the single blocks was changed as well.
    controls : tuple of ControlInfo
    written : bool
        Whether it was measured how much the heads write, and so how much chosen and redrawn sets do.
    """

    method: Literal[METHODS]
    capture_sha256: Sha256
    layout: Layout
    size: Size
    noise_seed: Seed
    pairs: Names
    n_pairs: Number
    fold_rule: Literal["category", "hash", "none"]
    folds: Names
    heads: Annotated[str, Field(max_length=100_000)]
    heads_from: Word
    heads_from_sha256: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")]
    chosen_by: Literal["directions", "magnitudes", "names"]
    ks: Annotated[tuple[Number, ...], Field(min_length=1, max_length=8)]
    chosen: Annotated[tuple[Annotated[tuple[Names, ...], Field(max_length=10_000)], ...], Field(max_length=8)]
    redraws: Annotated[tuple[Literal[REDRAWS], ...], Field(min_length=1, max_length=2)]
    n_redraws: Annotated[int, Field(ge=1, le=MOST_REDRAWS)]
    draws_seed: Seed
    blocks: Names
    mlp: bool
    controls: Annotated[tuple[ControlInfo, ...], Field(max_length=MOST_RESULTS)]
    written: bool = False  # not in older files

    def __post_init__(self) -> None:
        folds = len(dict.fromkeys(self.folds))
        sizes = [[len(heads) for heads in by_fold] for by_fold in self.chosen]
        if not self.pairs or len(set(self.pairs)) < len(self.pairs) or len(self.pairs) > self.n_pairs:
            raise ValueError("the pairs are not those of a run")
        if len(self.folds) != len(self.pairs) or sizes != [[k] * folds for k in self.ks]:
            raise ValueError("the folds, the sizes and the chosen heads do not belong together")
        chosen = [head for by_fold in self.chosen for heads in by_fold for head in heads]
        find_units(self.layout, Selection("heads", "image"), chosen)
        if (self.method == "steer") != (self.redraws == (FLIPS,)) or len(set(self.redraws)) < len(self.redraws):
            raise ValueError(f"redraws {self.redraws} are not those of {self.method}")
        if self.written and self.method == "steer":
            raise ValueError("redraws by flipped signs are not matched by what heads write")
        if self.controls and (self.method == "steer" or self.is_part):
            raise ValueError("controls go with all pairs, and not with steering")

    @property
    def is_part(self) -> bool:
        """Say whether only some of the run's pairs were asked for."""
        return len(self.pairs) < self.n_pairs

    @property
    def name(self) -> str:
        """What the two files are called."""
        of = re.sub(r"[^A-Za-z0-9_.-]", "-", self.heads_from)[:80]
        return f"{self.method}{f'-from-{of}' if of else ''}{'-part' if self.is_part else ''}"

    def asks_the_same(self, other: Asked) -> bool:
        """Say whether the figures of the pairs are the same: whether what heads write was measured is not in them."""
        return replace(self, written=other.written) == other

    @property
    def headline_k(self) -> int:
        """The size that the finding is about: 10, or the nearest that there is."""
        return min(self.ks, key=lambda k: abs(k - 10))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the arrays that belong to it, all float32, and their shapes."""
        n, sizes, sets = len(self.pairs), len(self.ks), 1 + len(self.redraws) * self.n_redraws
        found = {"effect": (n,), "chosen": (n, sizes, 2, 2), "heads": (n, 2, 2)}
        found |= {f"redraws.{kind}": (n, sizes, self.n_redraws, 2, 2) for kind in self.redraws}
        found |= {"blocks": (n, len(self.blocks), 2, 2)} if self.blocks else {}
        found |= {"mlp": (n, 2, 2)} if self.mlp else {}
        if self.written:
            found[f"{_WRITTEN}chosen"] = (sizes,)
            found |= {f"{_WRITTEN}{kind}": (sizes, self.n_redraws) for kind in self.redraws}
        for i, control in enumerate(self.controls):
            found[f"control.{i}.effect"] = (control.n_pairs,)
            found[f"control.{i}.own_pairs"] = (n, sets, 2, 2)
            found |= {f"control.{i}.{whose}": (control.n_pairs, sets, 2, 2) for whose in ("own_heads", "their_heads")}
        return found

    def n_bytes(self) -> int:
        """Return how large the arrays are."""
        return 4 * sum(int(np.prod(shape)) for shape in self.shapes().values())


@dataclass(frozen=True, config=STRICT)
class InterventionInfo:
    """Where an intervention's figures come from.

    Attributes
    ----------
    asked : Asked
    model, revision, weights, fingerprint, dtype, device
        As in `models.info.ModelInfo`.
    title : str
        Of the run's prompt set.
    versions : dict of str to str
    date : str
        End, ISO 8601, UTC.
    seconds : float
        What the passes took; interruptions left out.
    n_rows : int
        Prompts that went through the transformer.
    """

    asked: Asked
    model: Annotated[str, Field(max_length=1000)]
    revision: Word | None
    weights: Literal[WEIGHTS]
    fingerprint: Word
    dtype: Word
    device: Word
    title: Annotated[str, Field(max_length=1000)]
    versions: Annotated[dict[str, Word], Field(max_length=50)]
    date: Word
    seconds: Annotated[float, Field(ge=0, lt=1e9)]
    n_rows: Annotated[int, Field(ge=0)]


@plain_dataclass(frozen=True, eq=False)
class Interventions:
    """Interventions on one run's pairs with one method.

    Attributes
    ----------
    info : InterventionInfo
    arrays : dict of str to float32 array
        As `Asked.shapes` says. ``effect`` (n_pairs,): RMS of the difference D of the velocities of both sides at image
        tokens. The last two axes of all others are way and part.

        *Patching and steering*: way 0 is the negative side changed towards the positive one, way 1 the reverse; part 0
        is the share of D that is restored (1 is all), part 1 the length of the change off D, in lengths of D.
        *Ablation*: way 0 has the share of D that is lost, and what is off D; way 1 how far the negative and the
        positive side's velocity went, in its own lengths. NaN for a pair whose sides do not differ.

        ``written.*`` (n_sizes, ...), where `Asked.written`: how much a set's heads write, as the sum over heads of the
        mean length of what the difference of their mean vectors writes; the mean over the pairs' sets.
    """

    info: InterventionInfo
    arrays: dict[str, np.ndarray] = field(repr=False)

    def __post_init__(self) -> None:
        shapes = self.info.asked.shapes()
        if set(self.arrays) != set(shapes):
            raise ValueError(f"the arrays are not {', '.join(shapes)}")
        for name, shape in shapes.items():
            values = self.arrays[name]
            if values.shape != shape or values.dtype != np.float32:
                raise ValueError(f"{name} has shape {values.shape} of {values.dtype}, not {shape} of float32")
            if name.startswith(_WRITTEN):
                if not (np.isfinite(values).all() and (values >= 0).all()):
                    raise ValueError(f"{name} must be finite and not negative")
                continue
            effect = self.arrays[_effect_of(name)]
            equal = np.broadcast_to((effect == 0).reshape(-1, *[1] * (values.ndim - 1)), shape)
            if not np.isfinite(values).all() and (name.endswith("effect") or not np.isfinite(values[~equal]).all()):
                raise ValueError(f"{name} must be finite numbers where the two sides differ")
            if name.endswith("effect") and ((values < 0).any() or not (values > 0).any()):
                raise ValueError(f"{name} must not be negative, nor 0 for all pairs")
            if np.isinf(values).any():
                raise ValueError(f"{name} must not be infinite")


def _effect_of(name: str) -> str:
    """Name the array of effects whose pairs an array's are."""
    of_control = re.fullmatch(r"(control\.\d+)\.(own_heads|their_heads|effect)", name)
    return f"{of_control[1]}.effect" if of_control else "effect"


# --- files -------------------------------------------------------------------------------------------------


def write_interventions(folder: Path, found: Interventions, summary: Mapping[str, Any]) -> Path:
    """Write a result into a run's folder, in the place of one of its name; return the path of its JSON file.

    Parameters
    ----------
    folder : Path
        Of the run.
    found : Interventions
    summary : mapping
        JSON values for who reads the file without this software; reading it here computes them anew.

    Raises
    ------
    RunError
        It cannot be written.
    """
    place, name = folder / INTERVENTIONS, found.info.asked.name
    shapes = found.info.asked.shapes()
    arrays = {key: np.ascontiguousarray(found.arrays[key]) for key in shapes}
    packed = safetensors.numpy.save(arrays)
    content = {
        "schema": SCHEMA,
        "info": plain(found.info),
        "arrays_sha256": hashlib.sha256(packed).hexdigest(),
        "summary": dict(summary),
    }
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        place.mkdir(exist_ok=True)
        (place / f"{name}.json").unlink(missing_ok=True)  # a reader finds the JSON last, and then both
        write_atomic(place / f"{name}.safetensors", packed)
        write_atomic(place / f"{name}.json", text.encode())
    except OSError as error:
        raise RunError(f"{place}: cannot be written ({error.strerror}).") from error
    return place / f"{name}.json"


def read_interventions(folder: str | Path, run: Run | None = None) -> tuple[Interventions, ...]:
    """Read all interventions in a run's folder, in the order of their names.

    Parameters
    ----------
    folder : str or Path
        Of the run.
    run : Run, optional
        Whose folder it is; a result of another run, or one that names another model, is refused then.

    Returns
    -------
    tuple of Interventions
        Empty where there are none.

    Raises
    ------
    RunError
        A file is no intervention, is damaged, or is of another run.
    """
    place = Path(folder) / INTERVENTIONS
    try:
        files = sorted(path for path in place.iterdir() if path.suffix == ".json")
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise RunError(f"{place}: cannot be read ({error.strerror}).") from error
    if len(files) > MOST_RESULTS:
        raise RunError(f"{place}: holds {len(files)} results, at most {MOST_RESULTS} are read. Move some away.")
    return tuple(_read(path, run) for path in files)


def _read(path: Path, run: Run | None) -> Interventions:
    advice = "Delete it, or make it again with `python -m plantain intervene DIR --overwrite`."
    try:
        if not NAME.fullmatch(path.stem):
            raise ValueError("that is no name of an intervention")
        content = strict_json(_bytes(path, LARGEST_JSON))
        if not isinstance(content, dict) or content.get("schema") != SCHEMA:
            raise ValueError(f"its schema is not {SCHEMA}")
        info = strict_record(InterventionInfo, content["info"], "info")
        if info.asked.name != path.stem:
            raise ValueError(f"it holds {info.asked.name}")
        packed = _bytes(path.with_suffix(".safetensors"), LARGEST_ARRAYS)
        if hashlib.sha256(packed).hexdigest() != content["arrays_sha256"]:
            raise ValueError("its arrays do not match it")
        if run is not None:
            _check_run(info, run)
        return Interventions(info, strict_arrays(packed, dict.fromkeys(info.asked.shapes(), np.float32)))
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror}). {advice}") from error
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, SafetensorError) as error:
        raise RunError(f"{path}: is damaged ({error}). {advice}") from error


def _check_run(info: InterventionInfo, run: Run) -> None:
    """Refuse a result that is not the run's, whatever it says of itself."""
    ids, asked = [record.pair.id for record in run.pairs], info.asked
    wanted = set(asked.pairs)
    if asked.capture_sha256 != run.capture_sha256:
        raise ValueError("it is of another run")
    theirs = (info.model, info.weights, info.fingerprint, asked.layout, asked.n_pairs, asked.size)
    ours = (run.info.model, run.info.weights, run.info.fingerprint, run.info.layout, len(ids), run.info.size)
    if theirs != ours or list(asked.pairs) != [one for one in ids if one in wanted]:
        raise ValueError("its model or pairs are not those of the run")
    if set(asked.blocks) - set(unit_table(asked.layout, Selection("heads", "image")).blocks):
        raise ValueError("it has blocks that the model does not have")


def _bytes(path: Path, limit: int) -> bytes:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):  # a pipe would never end
        raise ValueError(f"{path.name} is no file")
    if found.st_size > limit:
        raise ValueError(f"{path.name} is larger than {limit:,} bytes")
    return path.read_bytes()


class Unfinished:
    """The pairs that are done while an intervention goes on, in ``interventions/NAME.unfinished``, one file a pair.

    Parameters
    ----------
    folder : Path
        Of the run.
    name : str
        Of the result.
    settings : dict
        JSON values: everything that a pair's figures depend on; pairs of other settings are not continued.
    overwrite : bool
        Throw pairs of other settings away instead of refusing.

    Raises
    ------
    RunError
        There are pairs of other settings, or nothing can be written.
    """

    def __init__(self, folder: Path, name: str, settings: Mapping[str, Any], overwrite: bool = False) -> None:
        self._folder = folder / INTERVENTIONS / f"{name}{UNFINISHED}"
        text = json.dumps(settings, sort_keys=True, indent=1).encode()
        self._digest = np.frombuffer(hashlib.sha256(text).digest(), np.uint8)
        try:
            there = (self._folder / "settings.json").read_bytes()
        except OSError:
            there = b""
        if there != text and any(self._folder.glob("pair-*")) and not overwrite:
            raise RunError(
                f"{self._folder}: holds pairs of other settings. Repeat that command to finish it, delete the folder, "
                "or replace it by `intervene … --overwrite`."
            )
        if there != text:
            self.discard()
        self._write("settings.json", text, begin=True)

    def _write(self, name: str, content: bytes, begin: bool = False) -> None:
        try:
            if begin:
                self._folder.mkdir(parents=True, exist_ok=True)
            write_atomic(self._folder / name, content)
        except OSError as error:
            raise RunError(f"{self._folder}: cannot be written ({error.strerror}).") from error

    def save(self, index: int, effect: float, shares: np.ndarray, seconds: float) -> None:
        """Keep a pair: its effect, float32 (n_changes, 2, 2) and the seconds that it took."""
        arrays = {
            "effect": np.array([effect], np.float64), "shares": np.ascontiguousarray(shares, np.float32),
            "seconds": np.array([seconds]), "settings": self._digest,
        }  # fmt: skip
        self._write(f"pair-{index:04d}.safetensors", safetensors.numpy.save(arrays))

    def load(self, index: int) -> tuple[float, np.ndarray, float] | None:
        """Return what `save` kept, or None if the pair has to be computed."""
        try:
            arrays = safetensors.numpy.load((self._folder / f"pair-{index:04d}.safetensors").read_bytes())
            if not np.array_equal(arrays["settings"], self._digest):
                return None
            return float(arrays["effect"][0]), arrays["shares"], float(arrays["seconds"][0])
        except (OSError, SafetensorError, KeyError, ValueError, IndexError):
            return None

    def save_embeddings(self, index: int, content: bytes) -> None:
        """Keep a pair's prompt embeddings until the result stands."""
        self._write(f"embeddings-{index:04d}.safetensors", self._digest.tobytes() + content)

    def load_embeddings(self, index: int) -> bytes | None:
        """Return what `save_embeddings` kept, or None."""
        try:
            content = (self._folder / f"embeddings-{index:04d}.safetensors").read_bytes()
        except OSError:
            return None
        digest = self._digest.tobytes()
        return content.removeprefix(digest) if content.startswith(digest) else None

    def discard(self) -> None:
        """Remove what was kept; called when the result stands."""
        shutil.rmtree(self._folder, ignore_errors=True)


def count_kept(folder: Path, name: str) -> int:
    """Count the pairs that an unfinished intervention has left, whatever its settings; only a start tells if they fit.

    Parameters
    ----------
    folder : Path
        Of the run.
    name : str
        Of the result.
    """
    return sum(1 for _ in (folder / INTERVENTIONS / f"{name}{UNFINISHED}").glob("pair-*.safetensors"))
