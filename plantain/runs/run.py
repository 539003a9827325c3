"""One execution of the probe: the raw material with its provenance, from which every number is recomputed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import safetensors.numpy

from plantain._files import printable
from plantain.prompts.sets import MIN_PAIRS
from plantain.runs.analysis import (
    Analysis,
    DirectionAnalysis,
    Summary,
    analyze,
    analyze_directions,
    summarize,
)
from plantain.runs.capture import SumsOfSquares
from plantain.runs.directions import (
    LATER,
    PARTS,
    Means,
    channels_of,
    later_vectors,
    mean_vectors,
    parts_of,
    with_times,
)
from plantain.runs.inference import Inference, InferenceFacts, cached_inference
from plantain.runs.info import PairRecord, RunInfo
from plantain.runs.once import once
from plantain.runs.scopes import STREAM_SCOPES, TOKEN_SCOPES, UNITS, scopes_of
from plantain.runs.seconds import whole_pairs
from plantain.runs.units import CARD, HEADS, Selection, SelectionError, unit_table

_MOST_ROWS = {"signs": 100_000, "halves": 1_000}  # more take hours

_MOST_TOKENS = 1 << 24  # in a scope

_DIRECTIONS = 9  # a stream of the run's seed, for the flips of directions; 0 to 8 are those of other draws

_KEEPS = {
    "off": "magnitudes only",
    "heads": "magnitudes, and directions of heads, text-heads, embedding: run.vectors()",
    "all": "magnitudes, and directions of heads, text-heads, mlp, embedding: run.vectors()",
    "image": "magnitudes, and directions of heads over image tokens: run.vectors(Selection('heads', 'image'))",
}  # of `directions.LEVELS`

_LINE = 150  # characters of a fact in a run's eleven lines


@dataclass(frozen=True)
class Headline(Summary):
    """The figures of a run that are there at once; `weights` is a key of `models.info.WEIGHTS`.

    Attributes
    ----------
    text_baseline : Summary or None
        Of the prompt embedding; see `Run.text_baseline`.
    """

    text_baseline: Summary | None
    model: str
    weights: str


@dataclass(frozen=True)
class RunSummary(Headline):
    """The same with the facts of the slower statistics."""

    inference: InferenceFacts


@dataclass(frozen=True, eq=False, repr=False)
class Run:
    """One execution of the probe.

    Attributes
    ----------
    info : RunInfo
    pairs : tuple of PairRecord
    sums : SumsOfSquares
        The average where there are repeated measures.
    signs : int8 array (n_permutations, n_pairs)
    halves : bool array (n_splits, n_pairs)
    folder : Path or None
        Where the run was read from; its slower statistics are cached there.
    repeats : tuple of SumsOfSquares
        The repeated measures (`Conditions.repeats`) that `sums` averages; empty where there is one.
    directions : Means or None
        Mean vectors of heads; None where the run keeps magnitudes only. The average where there are repeated measures.
    inferences : dict of Selection to Inference
        The slower statistics that are in memory.
    """

    info: RunInfo
    pairs: tuple[PairRecord, ...]
    sums: SumsOfSquares
    signs: np.ndarray
    halves: np.ndarray
    folder: Path | None = None
    repeats: tuple[SumsOfSquares, ...] = ()
    directions: Means | None = None
    _analyses: dict[Selection, Analysis] = field(default_factory=dict, repr=False)
    inferences: dict[Selection, Inference] = field(default_factory=dict, repr=False)
    _directed: dict[Selection, DirectionAnalysis] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        n = len(self.pairs)
        self._check_draws()
        axes = {"capture": self.sums.n_pairs, "signs": self.signs.shape[1], "halves": self.halves.shape[1]}
        for name, got in axes.items():
            if got != n:
                raise ValueError(f"{n} pairs, but the {name} have {got}.")
        if (self.sums.tokens < 0).any() or (self.sums.tokens > _MOST_TOKENS).any():
            raise ValueError("token counts must not be negative, nor absurd.")
        self._check_repeats()
        for stream, values in self.sums.streams.items():
            got, wanted = values.shape[3], self.info.layout.n_slices(stream)
            if got != wanted:
                raise ValueError(f"{stream}: {got} slices, but the layout has {wanted}.")
            if not np.isfinite(values).all() or (values < 0).any():
                raise ValueError(f"{stream}: sums of squares must be finite and not negative.")
        if self.directions is not None:
            self._check_directions(self.directions)

    def __repr__(self) -> str:
        """Say in eleven lines what the run is and where its numbers are; nothing is computed."""
        i = self.info
        kinds = ", ".join(f"{units} {unit_table(i.layout, Selection(units)).n_units:,}" for units in UNITS)
        facts = {
            "model": f"{i.model} (weights: {i.weights}), {i.dtype} on {i.device}",
            "fingerprint": i.fingerprint,
            "changes": "; ".join(i.changes) or "none",
            "prompt set": f"{i.prompt_set} ({i.title}): {i.positive} vs. {i.negative}, {len(self.pairs)} pairs",
            "passes": f"{self.passes_words}, {i.seconds:.0f} s, {i.date[:10]}",
            "units": kinds,
            "scopes": ", ".join(self.scopes("heads")),
            "keeps": _KEEPS[self.directions.level if self.directions else "off"],
            "folder": "none: plantain.save_run(run, DIR)" if self.folder is None else str(self.folder),
            "numbers": 'run.magnitudes("heads", scope="image"); plantain report DIR',
        }
        lines = (f"  {name:<12} {printable(text)[:_LINE]}" for name, text in facts.items())
        return "\n".join(("Run", *lines))

    def _check_directions(self, means: Means) -> None:
        """Refuse mean vectors that are not those of the pairs and the layout."""
        if set(means.parts) != set(parts_of(means.level)):
            raise ValueError(f"directions of {', '.join(means.parts)}: they are of no level.")
        if not np.array_equal(means.tokens, self.sums.tokens):
            raise ValueError("the directions have other token counts than the capture.")
        for part, values in means.parts.items():
            own = channels_of(self.info.layout, part)
            got, wanted = values.shape[3], self.info.layout.n_blocks(PARTS[part]) * (own.stop - own.start)
            if got != wanted:
                raise ValueError(f"{part}: {got} channels, but the layout has {wanted}.")
            if values.dtype != np.float16 or not np.isfinite(values).all():
                raise ValueError(f"{part}: mean vectors must be finite numbers of 16 bits.")
        for part, values in means.later.items():
            wanted = self.info.layout.n_blocks(PARTS[part]) * self.info.layout.attention_dim
            if values.dtype != np.float16 or values.shape[3:] != (wanted,) or not np.isfinite(values).all():
                raise ValueError(f"{part}: mean vectors at later times must be {wanted} finite numbers of 16 bits.")
        if any(not 0 < later < time for time, later in pairwise((1.0, *means.times))):
            raise ValueError("later times must fall from 1 and stay above 0.")

    def _check_repeats(self) -> None:
        """Refuse repeated measures that are not those of the conditions, or that the sums are not the average of."""
        n = self.info.conditions.n_repeats
        if len(self.repeats) != (n if n > 1 else 0):
            raise ValueError(f"{len(self.repeats)} repeated measures, but the conditions have {n}.")
        if ("reference" in self.sums.token_scopes) != bool(self.info.references):
            raise ValueError("reference images and their tokens do not belong together.")
        if not self.repeats:
            return
        average = SumsOfSquares.average(self.repeats)
        if any(not np.array_equal(values, average.streams[s]) for s, values in self.sums.streams.items()):
            raise ValueError("the sums are not the average of the repeated measures.")

    def _check_draws(self) -> None:
        """Refuse sign flips and halves from which nothing can be computed."""
        if not np.isin(self.signs, (-1, 1)).all() or self.halves.dtype != bool:
            raise ValueError("signs must be -1 or 1, halves true or false.")
        for name, drawn in {"signs": self.signs, "halves": self.halves}.items():
            if drawn.ndim != 2 or not 1 <= len(drawn) <= _MOST_ROWS[name]:
                raise ValueError(f"the {name} must have rows of pairs, not the shape {drawn.shape}.")
        sizes = self.halves.sum(axis=1)
        if (np.minimum(sizes, self.halves.shape[1] - sizes) < MIN_PAIRS // 2).any():
            raise ValueError(f"every half needs {MIN_PAIRS // 2} pairs.")  # and so there are MIN_PAIRS pairs

    def magnitudes(self, units: str = "card", scope: str = "all") -> np.ndarray:
        """RMS of every unit, float64 (2, n_pairs, n_units): both sides; units in the blocks' order.

        Parameters
        ----------
        units : str
            ``card``, ``heads``, ``text-heads``, ``mlp`` or ``embedding``.
        scope : str
            Which tokens count, e.g. ``all``, ``words`` or ``image``.

        Raises
        ------
        SelectionError
            There are no such units, or they have no such scope.

        Examples
        --------
        >>> import plantain
        >>> plantain.load_run("precomputed/tiny-random").magnitudes("heads", scope="image").shape
        (2, 25, 100)
        """
        return self.analysis(Selection(units, scope)).magnitudes

    @property
    def passes_words(self) -> str:
        """Say in words how its passes were made, and at which times."""
        return with_times(self.info.settings_words, self.directions.times if self.directions else ())

    def keeps(self, selection: Selection) -> bool:
        """Tell whether mean vectors of these units over this scope are kept."""
        return self.directions is not None and self.directions.has(selection)

    def vectors(self, units: str | Selection = HEADS, scope: str = "all") -> np.ndarray:
        """Mean vector of every unit over the scope's tokens, float32 (2, n_pairs, n_units, width): both sides.

        Parameters
        ----------
        units : str or Selection
            ``heads``, ``text-heads``, ``embedding``, or ``mlp`` where the run keeps it; a `Selection` has its scope.
        scope : str
            As in `magnitudes`.

        Raises
        ------
        SelectionError
            The run keeps magnitudes only, or no such vectors.

        Examples
        --------
        >>> import plantain
        >>> plantain.load_run("precomputed/tiny-random").vectors("heads", scope="image").shape
        (2, 25, 100, 32)
        """
        selection = Selection(units, scope) if isinstance(units, str) else units
        if self.directions is None:
            raise SelectionError("this run keeps magnitudes only; run --directions heads keeps directions too.")
        return mean_vectors(self.directions, self.info.layout, selection)

    def vectors_at(self, time: float) -> np.ndarray:
        """Mean vector of every head over image tokens, where both sides of a pair saw the same picture.

        Parameters
        ----------
        time : float
            1, or one of `Means.times`.

        Returns
        -------
        float32 array (2, n_pairs, n_heads, width)

        Raises
        ------
        SelectionError
            The run keeps magnitudes only, or nothing of that time.
        """
        if time == 1 or self.directions is None:
            return self.vectors(Selection("heads", "image"))
        return later_vectors(self.directions, self.info.layout, time)

    def direction_analysis(self, selection: Selection = HEADS) -> DirectionAnalysis:
        """Statistics of the directions for one choice of units and scope, computed once; raises as `vectors`."""

        def compute() -> DirectionAnalysis:
            rng = np.random.default_rng((self.info.seed, _DIRECTIONS))
            return analyze_directions(self.vectors(selection), unit_table(self.info.layout, selection), rng)

        return once(self._directed, selection, compute)

    def analysis(self, selection: Selection = CARD) -> Analysis:
        """Statistics for one choice of units and scope, computed once."""
        given = self.sums, self.info.layout, self.signs, self.halves, selection
        return once(self._analyses, selection, lambda: analyze(*given))

    def inference(self, selection: Selection = CARD) -> Inference:
        """Slower statistics for one choice, computed once and cached in the run's folder."""
        return cached_inference(self, selection)

    def summary(self, selection: Selection = CARD) -> RunSummary:
        """Headline figures and the slower statistics' facts for one choice."""
        return RunSummary(**vars(self.headline(selection)), inference=self.inference(selection).facts)

    def headline(self, selection: Selection = CARD) -> Headline:
        """Headline figures for one choice, at once: without the slower statistics."""
        return Headline(
            **vars(summarize(self.analysis(selection))),
            text_baseline=self.text_baseline(selection),
            model=self.info.model,
            weights=self.info.weights,
        )

    def text_baseline(self, selection: Selection = CARD) -> Summary | None:
        """Headline figures of the prompt embedding, the transformer's text input, to stand beside a choice.

        The embedding has no image tokens: where the scope has no others, that of all text tokens is taken. None
        where the choice is the embedding itself.
        """
        if selection.units == "embedding":
            return None
        scope = selection.scope if selection.scope in self.scopes("embedding") else "all"
        return summarize(self.analysis(Selection("embedding", scope)))

    @cached_property
    def categories(self) -> list[str]:
        """The category of every pair."""
        return [record.pair.category for record in self.pairs]

    @property
    def kinds(self) -> list[str]:
        """What the negative side of every pair is (`prompts.sets.KINDS`); empty words where a pair does not say."""
        return [record.pair.kind for record in self.pairs]

    @cached_property
    def capture_sha256(self) -> str:
        """SHA-256 (hex) of the raw material with its signs and halves, as it is saved."""
        return hashlib.sha256(capture_bytes(self)).hexdigest()

    @cached_property
    def directions_sha256(self) -> str | None:
        """SHA-256 (hex) of the mean vectors, as they are saved; None where the run keeps magnitudes only."""
        return None if self.directions is None else hashlib.sha256(directions_bytes(self.directions)).hexdigest()

    @property
    def seconds_per_pair(self) -> float:
        """What a pair of one measure took on average; 0 where the run does not say.

        Of a run with several measures it follows from the tokens (`seconds.whole_pairs`); one with later times does not
        say, since their passes are in the same time.
        """
        if self.directions is not None and self.directions.times:
            return 0.0
        return self.info.seconds / (len(self.pairs) * whole_pairs(self.info.size, self.info.conditions.n_repeats))

    @property
    def n_image_tokens(self) -> int:
        """Image tokens of a pass, the same for every prompt."""
        return int(self.sums.tokens[0, 0, TOKEN_SCOPES.index("image")])

    def scopes(self, units: str) -> list[str]:
        """Return the scopes that a kind of units has in this run."""
        return scopes_of(units, self.sums.present)

    def unequal_pairs(self) -> list[str]:
        """Ids of the pairs whose two prompts differ in their number of tokens."""
        words = self.sums.tokens[:, :, TOKEN_SCOPES.index("words")]
        return [record.pair.id for record, a, b in zip(self.pairs, *words, strict=True) if a != b]


def capture_bytes(run: Run) -> bytes:
    """Write a run's arrays as safetensors; the same arrays give the same bytes."""
    arrays = {f"sum_squares.{stream}": values for stream, values in run.sums.streams.items()}
    arrays |= {"tokens": run.sums.tokens, "signs": run.signs, "halves": run.halves}
    # One metadata key: several would be written in an order that changes from run to run.
    axes = {f"sum_squares.{s}": ["side", "pair", list(run.sums.scopes(s)), "slice"] for s in STREAM_SCOPES}
    axes |= {"tokens": ["side", "pair", list(run.sums.token_scopes)]}
    axes |= {"signs": ["flip", "pair"], "halves": ["split", "pair"]}
    if run.repeats:
        repeats = list(run.info.conditions.repeats)
        for stream in STREAM_SCOPES:
            arrays[f"repeats.{stream}"] = np.stack([repeat.streams[stream] for repeat in run.repeats])
            axes[f"repeats.{stream}"] = [repeats, *axes[f"sum_squares.{stream}"]]
    arrays = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
    return safetensors.numpy.save(arrays, metadata={"axes": json.dumps(axes)})


def directions_bytes(means: Means) -> bytes:
    """Write mean vectors as safetensors; the same arrays give the same bytes. The token counts are in the capture."""
    kept = [part for part in PARTS if part in means.parts]
    axes = {f"means.{part}": ["side", "pair", list(means.scopes(part)), "channel"] for part in kept}
    if means.times:
        axes |= {f"later.{part}": [list(means.times), "side", "pair", "channel"] for part in LATER}
    return safetensors.numpy.save(means.arrays(), metadata={"axes": json.dumps(axes)})
