"""One execution of the probe: the raw material with its provenance, from which every number is recomputed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import safetensors.numpy

from plantain.prompts.sets import MIN_PAIRS
from plantain.runs.analysis import Analysis, Summary, analyze, summarize
from plantain.runs.capture import SumsOfSquares
from plantain.runs.inference import Inference, InferenceFacts, cached_inference
from plantain.runs.info import PairRecord, RunInfo
from plantain.runs.scopes import STREAM_SCOPES, TOKEN_SCOPES, scopes_of
from plantain.runs.units import CARD, Selection

_MOST_ROWS = {"signs": 100_000, "halves": 1_000}  # more take hours

_MOST_TOKENS = 1 << 24  # in a scope


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


@dataclass(frozen=True, eq=False)
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
    _analyses: dict[Selection, Analysis] = field(default_factory=dict, repr=False)
    inferences: dict[Selection, Inference] = field(default_factory=dict, repr=False)

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

    def analysis(self, selection: Selection = CARD) -> Analysis:
        """Statistics for one choice of units and scope, computed once."""
        if selection not in self._analyses:
            self._analyses[selection] = analyze(self.sums, self.info.layout, self.signs, self.halves, selection)
        return self._analyses[selection]

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

    @property
    def seconds_per_pair(self) -> float:
        """What a pair took on average, one measure of it; 0 where the run does not say."""
        return self.info.seconds / (len(self.pairs) * self.info.conditions.n_repeats)

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
