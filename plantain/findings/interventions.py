"""Whether heads matter: which are changed in which pairs, against which redraws, and what comes out.

The heads of a pair are chosen on the pairs of all other folds, so that no pair has a part in the choice that it tests.
A fold is a category; below three categories the pairs are dealt into five folds in the order of a hash of their ids.

Patching says where the difference between the two sides of *these* pairs passes through, and no more: a share restored
speaks of what differs in that pair. Steering adds what other pairs have in common, and speaks of an axis. The
interaction with a control does so only where the run's own heads carry the run's pairs more than the control's. Neither
says what the axis means, and a distance between pictures does not either.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np

from plantain import UsageError, stats
from plantain.findings.across_runs.atlas import unlike_settings
from plantain.findings.told import IMAGE
from plantain.prompts.overlap import overlap
from plantain.prompts.sets import PromptPair
from plantain.runs.attached.interventions import (
    FLIPS,
    LARGEST_ARRAYS,
    MATCHED,
    MOST_REDRAWS,
    WITHIN,
    Asked,
    Change,
    ControlInfo,
    Interventions,
)
from plantain.runs.info import NotComparableError
from plantain.runs.run import Run
from plantain.runs.seconds import pairs_of_rows
from plantain.runs.units import Layout, Selection, find_units, unit_table

TOP = "top"

SIZES = (1, 10, 100)

FEW_FOLDS, MANY = 5, 3
"""Folds where there are fewer categories than `MANY`."""

MIN_TRAINING = 3  # pairs that choose: fewer agree or disagree by one cosine

SMALL = 500_000_000  # weights of a transformer that takes milliseconds a pass

MANY_REDRAWS, FEW_REDRAWS = 199, 19

_MLP = Selection("mlp", "image")

_STREAM = 11  # of the run's seed; 0 to 10 are other draws'


# --- what is asked -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Question:
    """What the command asks of a run.

    Attributes
    ----------
    method : {"patch", "steer", "ablate"}
    heads : str
        ``top``, ``top:K``, or names with commas between them.
    n_redraws : int
    redraws : {"within", "matched", "both"}
        Steering has redraws of its own.
    blocks : bool
        Change all heads of each block at once as well.
    pairs : tuple of str
        Ids; all pairs unless given.
    """

    method: Literal["patch", "steer", "ablate"] = "patch"
    heads: str = TOP
    n_redraws: int = MANY_REDRAWS
    redraws: Literal["within", "matched", "both"] = "both"
    blocks: bool = True
    pairs: tuple[str, ...] = ()


REGISTERED = Question(heads=f"{TOP}:10", n_redraws=MANY_REDRAWS)
"""The causal test of PREREGISTRATION.md."""


def n_weights(layout: Layout) -> int:
    """Return about how many weights the blocks of a transformer have: attention and MLP, both streams."""
    wide = layout.attention_dim
    block = 4 * wide**2 + 3 * wide * layout.mlp_dim
    return (2 * layout.n_joint + layout.n_single) * block


def usual_redraws(layout: Layout, accelerated: bool) -> int:
    """Return how many redraws there are unless told otherwise."""
    return MANY_REDRAWS if accelerated or n_weights(layout) <= SMALL else FEW_REDRAWS


def by_category(pairs: Sequence[PromptPair]) -> bool:
    """Tell whether categories are the folds: whether there are enough of them."""
    return len({pair.category for pair in pairs}) >= MANY


def folds_of(pairs: Sequence[PromptPair]) -> list[str]:
    """Return every pair's fold.

    Raises
    ------
    NotComparableError
        There are fewer pairs than the folds need.

    Examples
    --------
    >>> from plantain.prompts.sets import PromptPair
    >>> folds_of([PromptPair(f"{i}", "abc"[i % 3], "", "") for i in range(6)])
    ['a', 'b', 'c', 'a', 'b', 'c']
    >>> folds_of([PromptPair(f"{i}", "any", "", "") for i in range(6)])
    ['fold 3', 'fold 4', 'fold 5', 'fold 2', 'fold 1', 'fold 1']
    """
    folds = [pair.category for pair in pairs]
    if not by_category(pairs):
        hashed = sorted(range(len(pairs)), key=lambda i: hashlib.sha256(pairs[i].id.encode()).digest())
        folds = [""] * len(pairs)
        for place, i in enumerate(hashed):
            folds[i] = f"fold {place % FEW_FOLDS + 1}"
        if len(pairs) < FEW_FOLDS:
            raise NotComparableError(
                f"{len(pairs)} pairs are fewer than the {FEW_FOLDS} folds need, on whose other pairs heads are chosen. "
                "Choose them on another run (--heads-from DIR), or name them (--heads)."
            )
    smallest = len(pairs) - max(folds.count(fold) for fold in folds)
    if smallest < MIN_TRAINING:
        raise NotComparableError(
            f"a fold leaves {smallest} pairs to choose heads on, at least {MIN_TRAINING} are needed. Choose them on "
            "another run (--heads-from DIR), or name them (--heads)."
        )
    return folds


def check_askable(pairs: Sequence[PromptPair], layout: Layout, question: Question) -> None:
    """Refuse what cannot be asked of a run of some pairs, before there is the run; raises as `plan`."""
    folds_of(pairs)
    _sizes(question.heads, unit_table(layout, IMAGE).n_units)


def rows_a_pair(layout: Layout, question: Question) -> int:
    """Return how many prompts go through the transformer for a pair at most, where a question is of patching.

    Equal sets of a pair are changed once, so that there may be fewer.
    """
    table = unit_table(layout, IMAGE)
    n_sizes, n_blocks = len(_sizes(question.heads, table.n_units)), len(table.blocks) if question.blocks else 0
    kinds = 2 if question.redraws == "both" else 1
    return _rows(n_sizes * (1 + kinds * question.n_redraws), n_blocks, mlp=True)


def _rows(n_sets: int, n_blocks: int, mlp: bool) -> int:
    """Count both sides of a pair as they are, and both in every change; all heads at once are one."""
    return 2 + 2 * (n_sets + n_blocks + 1 + mlp)


def plan(
    run: Run, question: Question, source: tuple[str, Run] | None = None, controls: Mapping[str, Run] | None = None
) -> Plan:
    """Settle which heads are changed in which pairs, and refuse what cannot be asked.

    Parameters
    ----------
    run : Run
    question : Question
    source : (str, Run), optional
        Name and run whose pairs choose the heads (and give the vectors of steering).
    controls : mapping of str to Run, optional
        Runs of other contrasts, by name.

    Raises
    ------
    NotComparableError
        The run, or what stands beside it, cannot answer that.
    SelectionError
        There is no head of a name.
    UsageError
        Options contradict each other.
    """
    controls = dict(controls or {})
    _refuse(run, question, source, controls)
    layout = run.info.layout
    table = unit_table(layout, IMAGE)
    fixed = _named(question.heads, layout)
    chooser = source[1] if source else run
    steers = question.method == "steer"
    is_fixed = bool(source) or (fixed is not None and not steers)  # a pair has no part in what it is steered by
    folds = [""] * len(run.pairs) if is_fixed else folds_of(_pairs(run))
    ks = _sizes(question.heads, table.n_units) if fixed is None else (len(fixed),)
    kept = [i for i, pair in enumerate(_pairs(run)) if not question.pairs or pair.id in question.pairs]
    groups = list(dict.fromkeys(folds[i] for i in kept))
    learned = {fold: _learn(chooser, folds if chooser is run else None, fold, fixed) for fold in groups}
    redraws = (FLIPS,) if steers else {"both": (WITHIN, MATCHED)}.get(question.redraws, (question.redraws,))
    asked = Asked(
        method=question.method,
        capture_sha256=run.capture_sha256,
        layout=layout,
        size=run.info.size,
        noise_seed=run.info.conditions.seeds[0],
        pairs=tuple(_pairs(run)[i].id for i in kept),
        n_pairs=len(run.pairs),
        fold_rule="none" if is_fixed else "category" if by_category(_pairs(run)) else "hash",
        folds=tuple(folds[i] for i in kept),
        heads=question.heads,
        heads_from=source[0][:200] if source else "",
        heads_from_sha256=source[1].capture_sha256 if source else "",
        chosen_by="names" if fixed is not None else "directions" if chooser.keeps(IMAGE) else "magnitudes",
        ks=ks,
        chosen=tuple(
            tuple(tuple(table.names[h] for h in learned[fold].order[:k].tolist()) for fold in groups) for k in ks
        ),
        redraws=redraws,
        n_redraws=question.n_redraws,
        draws_seed=run.info.seed,
        blocks=tuple(table.blocks) if question.blocks else (),
        mlp=question.method == "patch" or (chooser if steers else run).keeps(_MLP),
        controls=tuple(
            ControlInfo(name[:200], control.info.title[:1000], control.capture_sha256, len(control.pairs))
            for name, control in controls.items()
        ),
        written=not steers and chooser.keeps(IMAGE),
    )
    if asked.n_bytes() > LARGEST_ARRAYS:
        raise UsageError(
            f"{asked.n_redraws} redraws of {len(kept)} pairs would be a file that no reader takes. Take fewer "
            "(--random-sets N)."
        )
    return Plan(run, asked, tuple(kept), chooser, fixed, tuple(controls.values()))


def _refuse(run: Run, question: Question, source: tuple[str, Run] | None, controls: Mapping[str, Run]) -> None:
    if run.info.conditions.n_repeats > 1 or run.info.references:
        raise NotComparableError(
            f"the run was made with {run.info.settings_words}; interventions go with one seed, one step and no "
            "reference image. Choose another run."
        )
    if question.n_redraws > MOST_REDRAWS:
        raise UsageError(f"--random-sets {question.n_redraws}: give a number from 1 to {MOST_REDRAWS:,}.")
    if question.method == "steer" and question.redraws != "both":
        raise UsageError("the redraws of steering are flips of its pairs' signs; omit --redraws.")
    if question.method != "patch" and not run.keeps(IMAGE):
        raise NotComparableError(f"{question.method} needs the run's directions: run --directions heads keeps them.")
    if question.redraws != "within" and not run.keeps(IMAGE):
        raise NotComparableError(
            "matched redraws need the run's directions: run --directions heads keeps them, or --redraws within."
        )
    if source and _named(question.heads, run.info.layout) is not None:
        raise UsageError("--heads names the heads and --heads-from lets a run choose them; give one of the two.")
    known = {pair.id for pair in _pairs(run)}
    if strange := [name for name in question.pairs if name not in known]:
        raise UsageError(f"the run has no pair {strange[0][:80]!r}; it has {', '.join(sorted(known))[:200]}.")
    if controls and (question.method == "steer" or question.pairs):
        raise UsageError("--control-runs goes with patching or ablation of all pairs.")
    beside = {**({source[0]: source[1]} if source else {}), **controls}
    for name, other in beside.items():
        if unlike := unlike_settings(run.info, other.info):
            raise NotComparableError(f"{name}: is of another {unlike} than the run. Choose a run made in the same way.")
        shared = overlap(_pairs(run), _pairs(other))
        if shared.n_same or shared.n_mirrored:
            raise NotComparableError(
                f"{name}: shares {shared.n_same + shared.n_mirrored} pairs with the run, which would choose their own "
                "heads. Choose a run of other pairs."
            )
        if not other.keeps(IMAGE) and (question.redraws != "within" or question.method != "patch"):
            raise NotComparableError(f"{name}: keeps no directions, which this needs: run --directions heads.")


def _pairs(run: Run) -> tuple[PromptPair, ...]:
    return tuple(record.pair for record in run.pairs)


def _named(heads: str, layout: Layout) -> np.ndarray | None:
    """Return the heads that are named, int (n,); None where they are to be chosen."""
    if heads == TOP or heads.startswith(f"{TOP}:"):
        return None
    found = find_units(layout, IMAGE, heads.split(","))
    if len(np.unique(found)) < len(found):
        raise UsageError(f"--heads {heads[:80]!r}: names a head twice.")
    return found


def _sizes(heads: str, n_heads: int) -> tuple[int, ...]:
    if heads == TOP:
        return tuple(k for k in SIZES if 4 * k <= n_heads) or (1,)
    word = heads.removeprefix(f"{TOP}:")
    if not (word.isascii() and word.isdecimal() and 1 <= int(word) <= n_heads):
        raise UsageError(f"--heads {heads[:80]!r}: give top, top:K with K from 1 to {n_heads}, or names of heads.")
    return (int(word),)


# --- choosing ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Learned:
    """What some pairs say of all heads.

    Attributes
    ----------
    order : int array (n_heads,) or shorter
        The heads, those first that are chosen first.
    pairs : int array (n_training,)
        Who chose, in their run.
    run : Run
    """

    order: np.ndarray
    pairs: np.ndarray
    run: Run


def _learn(run: Run, folds: Sequence[str] | None, fold: str, fixed: np.ndarray | None = None) -> _Learned:
    """Let the pairs of all other folds choose; all pairs where there are no folds, or no other ones."""
    others = np.array([i for i in range(len(run.pairs)) if folds is None or not fold or folds[i] != fold])
    return _Learned(_by_score(_scores(run, others)) if fixed is None else fixed, others, run)


def _scores(run: Run, pairs: np.ndarray, signs: np.ndarray | None = None) -> np.ndarray:
    """Score the heads by some pairs, float64 (n_signs, n_heads): agreement of directions, or |t| where there are none.

    `signs` (n_signs, n_pairs) flips them; without, there is one row.
    """
    signs = np.ones((1, len(pairs)), np.int8) if signs is None else signs
    if run.keeps(IMAGE):
        return stats.agreement_under_flips(stats.direction_grams(run.vectors(IMAGE)[:, pairs]), signs)
    differences = np.subtract(*run.magnitudes(IMAGE.units, IMAGE.scope))[pairs]
    return np.array([np.abs(np.nan_to_num(stats.paired_t(row[:, None] * differences))) for row in signs])


def _by_score(scores: np.ndarray) -> np.ndarray:
    """Return the heads by falling score, for the first row of signs."""
    return np.argsort(-scores[0], kind="stable")


# --- the sets of every pair --------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Job:
    """A pair that goes through the transformer.

    Attributes
    ----------
    run : Run
    index : int
        Of the pair in that run.
    """

    run: Run
    index: int

    @property
    def pair(self) -> PromptPair:
        return self.run.pairs[self.index].pair


@dataclass(frozen=True, eq=False)
class Plan:
    """Pairs, heads and redraws, settled before the model loads.

    Attributes
    ----------
    run : Run
    asked : Asked
    kept : tuple of int
        Indices of the pairs in the run.
    chooser : Run
        Whose pairs choose.
    fixed : int array or None
        Heads that were named.
    controls : tuple of Run
    """

    run: Run
    asked: Asked
    kept: tuple[int, ...]
    chooser: Run
    fixed: np.ndarray | None
    controls: tuple[Run, ...]

    @cached_property
    def jobs(self) -> list[Job]:
        """The pairs in the order in which they are run: the run's own, then those of the controls."""
        own = [Job(self.run, i) for i in self.kept]
        return own + [Job(control, i) for control in self.controls for i in range(len(control.pairs))]

    def most_rows(self) -> int:
        """Return how many prompts go through the transformer at most: equal sets of a pair are changed once."""
        asked, sets = self.asked, 1 + len(self.asked.redraws) * self.asked.n_redraws
        own = _rows(sets * (len(asked.ks) + len(asked.controls)), len(asked.blocks), asked.mlp)
        others = sum(control.n_pairs for control in asked.controls)
        return len(asked.pairs) * own + others * (2 + 4 * sets)


def seconds_a_row(run: Run) -> float:
    """Return what one prompt took to go through the transformer when a run was made; 0 where it does not say."""
    return run.seconds_per_pair * pairs_of_rows(run.info.size, 1)


class Sets:
    """The changes of every pair, once it is known how much each head writes.

    Parameters
    ----------
    plan : Plan
    norms : float array (n_pairs, n_heads), optional
        Of the pairs of `Plan.chooser`, where `Asked.written`: the length of what the difference of a head's mean
        vectors writes.
    """

    def __init__(self, plan: Plan, norms: np.ndarray | None = None) -> None:
        assert (norms is not None) == plan.asked.written, "it has to be known how much the heads write"
        self._plan, self._layout, self._norms = plan, plan.run.info.layout, norms
        self._table = unit_table(self._layout, IMAGE)
        self._folds = {id(run): folds_of(_pairs(run)) for run in plan.controls}
        if any(plan.asked.folds):
            self._folds[id(plan.run)] = folds_of(_pairs(plan.run))
        self._known: dict[tuple[int, str], _Learned] = {}
        self._mean_differences: dict[tuple[int, str], np.ndarray] = {}
        self._flipped: dict[str, list[list[tuple[np.ndarray, np.ndarray]]]] = {}

    def changes(self, index: int) -> list[Change]:
        """Return what is changed in a pair of `Plan.jobs`, every different change once."""
        return self._of(index)[0]

    def spread(self, index: int, shares: np.ndarray) -> np.ndarray:
        """Give every set of a pair its figures again, float32 (n_sets, 2, 2), from those of `changes`."""
        return np.asarray(shares, np.float32)[self._of(index)[1]]

    def _of(self, index: int) -> tuple[list[Change], list[int]]:
        places: dict[bytes, int] = {}
        changes, found = [], []
        for change in self._all(index):
            vectors = b"" if change.vectors is None else change.vectors.tobytes()
            key = b"|".join((change.units.encode(), change.places.tobytes(), vectors))
            if key not in places:
                places[key] = len(changes)
                changes.append(change)
            found.append(places[key])
        return changes, found

    def _all(self, index: int) -> Iterator[Change]:
        """Yield the changes of a pair in the order that `assemble` reads."""
        plan, job = self._plan, self._plan.jobs[index]
        asked = plan.asked
        if job.run is not plan.run:
            for learned in (self._learned(plan.run, ""), self._learned(job.run, self._fold(job))):
                yield from self._drawn(learned, asked.headline_k)
            return
        learned = self._learned(plan.run, self._fold(job))
        for i, k in enumerate(asked.ks):
            if asked.method == "steer":
                yield from self._steered(learned, job, i, k)
            else:
                yield from self._drawn(learned, k)
        for control in plan.controls:
            yield from self._drawn(self._learned(control, ""), asked.headline_k)
        for block in asked.blocks:
            yield self._change(np.flatnonzero(self._table.block == block), learned)
        yield self._change(np.arange(self._table.n_units), learned)
        if asked.mlp:
            n_groups = unit_table(self._layout, _MLP).n_units
            yield self._change(np.arange(n_groups), learned, "mlp")

    def _fold(self, job: Job) -> str:
        folds = self._folds.get(id(job.run))
        return folds[job.index] if folds else ""

    def _learned(self, run: Run, fold: str) -> _Learned:
        """Return what a pair of a fold is changed by; "" leaves no pair out."""
        plan, key = self._plan, (id(run), fold)
        if key not in self._known:
            own = run is plan.run
            self._known[key] = _learn(
                plan.chooser if own else run, self._folds.get(id(run)), fold, plan.fixed if own else None
            )
        return self._known[key]

    # --- patching and ablation

    def written(self) -> dict[str, np.ndarray]:
        """Return what chosen and redrawn sets write, by `REDRAWS` and "chosen", as `Interventions.arrays` has it."""
        plan = self._plan
        orders = [self._learned(plan.run, self._fold(job)).order for job in plan.jobs if job.run is plan.run]
        found: dict[str, list[np.ndarray]] = {kind: [] for kind in ("chosen", *plan.asked.redraws)}
        for k in plan.asked.ks:
            tops = np.array([order[:k] for order in orders])
            found["chosen"].append(self._written[tops].sum(axis=1).mean())
            for kind, drawn in self._permutations.items():
                found[kind].append(self._written[drawn[:, tops]].sum(axis=2).mean(axis=1))
        return {kind: np.array(each) for kind, each in found.items()}

    def _drawn(self, learned: _Learned, k: int) -> Iterator[Change]:
        """Yield a chosen set and its redraws."""
        chosen = learned.order[:k]
        yield self._change(chosen, learned)
        for kind in self._plan.asked.redraws:
            for permutation in self._permutations[kind]:
                yield self._change(permutation[chosen], learned)

    @cached_property
    def _permutations(self) -> dict[str, np.ndarray]:
        """What every head becomes in every redraw, by kind: the same for all folds, and for the heads of controls."""
        asked, found = self._plan.asked, {}
        if WITHIN in asked.redraws:
            blocks = np.unique(self._table.block, return_inverse=True)[1]
            found[WITHIN] = stats.draw_permutations(blocks, asked.n_redraws, self._rng(0))
        if MATCHED in asked.redraws:
            places = stats.draw_permutations(stats.equal_strata(self._table.n_units), asked.n_redraws, self._rng(1))
            found[MATCHED] = stats.permute_in_order(places, np.argsort(-self._written, kind="stable"))
        return found

    @cached_property
    def _written(self) -> np.ndarray:
        """What every head writes in the pairs that choose, (n_heads,): the mean over the folds' own means.

        An order of heads for each fold would take apart what the folds' choices have in common: a redraw would be
        less alike from fold to fold than the choice, and its rank no p.
        """
        folds = self._folds.get(id(self._plan.run), [""] * len(self._norms))
        training = [[i for i, other in enumerate(folds) if not fold or other != fold] for fold in dict.fromkeys(folds)]
        return np.mean([self._norms[own].mean(axis=0) for own in training], axis=0)

    def _rng(self, which: int) -> np.random.Generator:
        return np.random.default_rng((self._plan.asked.draws_seed, _STREAM, which))

    def _change(self, places: np.ndarray, learned: _Learned, units: str = "heads") -> Change:
        places = np.sort(places)
        method = self._plan.asked.method
        if method == "patch":
            return Change(units, places)
        vectors = self._means[units] if method == "ablate" else self._differences(learned, units)
        return Change(units, places, np.ascontiguousarray(vectors[places], np.float32))

    @cached_property
    def _means(self) -> dict[str, np.ndarray]:
        """Mean vectors over all prompts of the run, by units."""
        kinds = {"heads": IMAGE, **({"mlp": _MLP} if self._plan.asked.mlp else {})}
        return {units: self._plan.run.vectors(of).mean(axis=(0, 1)) for units, of in kinds.items()}

    # --- steering

    def _differences(self, learned: _Learned, units: str = "heads") -> np.ndarray:
        """Mean difference of both sides' mean vectors over the pairs that chose, (n_units, width)."""
        key = (id(learned), units)
        if key not in self._mean_differences:
            vectors = learned.run.vectors(IMAGE if units == "heads" else _MLP)[:, learned.pairs]
            self._mean_differences[key] = np.subtract(*vectors).mean(axis=0)
        return self._mean_differences[key]

    def _steered(self, learned: _Learned, job: Job, which: int, k: int) -> Iterator[Change]:
        """Yield the steering of a pair and its redraws.

        A redraw exchanges the sides of some of all pairs, the tested one among them: to steer its exchanged sides is to
        steer the given ones by the opposite vectors.
        """
        yield self._change(learned.order[:k], learned)
        if (fold := self._fold(job)) not in self._flipped:
            self._flipped[fold] = self._flip(learned)
        own = self._signs(learned)[:, job.index] if learned.run is job.run else np.ones(self._plan.asked.n_redraws)
        for sign, (places, vectors) in zip(own, self._flipped[fold][which], strict=True):
            yield Change("heads", places, np.float32(sign) * vectors)

    def _signs(self, learned: _Learned) -> np.ndarray:
        """Which pairs' sides are exchanged, int (n_redraws, n_pairs), -1 for those; the same for all folds."""
        return stats.draw_signs(self._plan.asked.n_redraws, len(learned.run.pairs), self._rng(2))

    def _flip(self, learned: _Learned) -> list[list[tuple[np.ndarray, np.ndarray]]]:
        """Repeat choice and vectors with the signs of the pairs flipped, by size and redraw."""
        plan, drawn = self._plan, self._signs(learned)[:, learned.pairs]
        order = np.argsort(-_scores(learned.run, learned.pairs, drawn), axis=1, kind="stable")
        differences = np.subtract(*learned.run.vectors(IMAGE)[:, learned.pairs]).astype(np.float64)
        found: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in plan.asked.ks]
        for signs, by_score in zip(drawn, order, strict=True):
            vectors = (np.einsum("p,phw->hw", signs, differences) / len(signs)).astype(np.float32)
            for sets, k in zip(found, plan.asked.ks, strict=True):
                places = np.sort(by_score[:k] if plan.fixed is None else plan.fixed)
                sets.append((places, np.ascontiguousarray(vectors[places])))
        return found


def assemble(plan: Plan, sets: Sets, outcomes: Sequence[tuple[float, np.ndarray]]) -> dict[str, np.ndarray]:
    """Put the pairs' figures together, as `Asked.shapes` says.

    Parameters
    ----------
    plan : Plan
    sets : Sets
    outcomes : sequence of (float, float32 array (n_changes, 2, 2))
        Effect and shares of every pair in `Plan.jobs`.
    """
    asked = plan.asked
    found = {name: np.full(shape, np.nan, np.float32) for name, shape in asked.shapes().items()}
    whose = ((-1, i) for i in range(len(plan.kept)))
    whose = [*whose, *((j, i) for j, control in enumerate(plan.controls) for i in range(len(control.pairs)))]
    n_sets = 1 + len(asked.redraws) * asked.n_redraws
    for index, ((control, row), (effect, shares)) in enumerate(zip(whose, outcomes, strict=True)):
        flat = sets.spread(index, shares)
        if control >= 0:
            found[f"control.{control}.effect"][row] = effect
            found[f"control.{control}.own_heads"][row] = flat[:n_sets]
            found[f"control.{control}.their_heads"][row] = flat[n_sets:]
            continue
        found["effect"][row] = effect
        at = 0
        for size in range(len(asked.ks)):
            found["chosen"][row, size] = flat[at]
            for i, kind in enumerate(asked.redraws):
                start = at + 1 + i * asked.n_redraws
                found[f"redraws.{kind}"][row, size] = flat[start : start + asked.n_redraws]
            at += n_sets
        for j in range(len(plan.controls)):
            found[f"control.{j}.own_pairs"][row] = flat[at : at + n_sets]
            at += n_sets
        if asked.blocks:
            found["blocks"][row] = flat[at : at + len(asked.blocks)]
            at += len(asked.blocks)
        found["heads"][row] = flat[at]
        if asked.mlp:
            found["mlp"][row] = flat[at + 1]
    if asked.written:
        for kind, lengths in sets.written().items():
            found[f"written.{kind}"][...] = lengths
    return found


# --- what comes out ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Against:
    """A figure of the chosen set among those of its redraws.

    Attributes
    ----------
    kind : str
        One of `runs.interventions.REDRAWS`.
    median, low, high : float
        Of the redraws, with the range of 95% of them.
    n_reaching : int
        Redraws with at least as much as the chosen set.
    p : float or None
        (1 + `n_reaching`) / (1 + redraws); None where only some of the run's pairs were asked.
    written : float or None
        How much the chosen heads write, in lengths of what the redraws' write (their median). None where that was not
        measured, or redraws write nothing.
    n_writing : int or None
        Redraws whose heads write at least as much: where they are few, size alone can make the p small.
    """

    kind: str
    median: float
    low: float
    high: float
    n_reaching: int
    p: float | None
    written: float | None = None
    n_writing: int | None = None


@dataclass(frozen=True)
class AtSize:
    """What the chosen heads of one number do, as means over pairs.

    Attributes
    ----------
    k : int
    share : float
        Restored (patching, steering; mean of both ways) or lost (ablation), of the difference between the sides.
    ways : tuple of float or None
        The negative side changed, and the positive one; None for ablation, which changes both at once.
    off : float
        Length of the change across that difference, in its lengths.
    redraws : tuple of Against
    kept : float or None
        Of the chosen heads, how many a redraw within blocks keeps on average: where it keeps most, its p cannot be
        small. None without such redraws.
    """

    k: int
    share: float
    ways: tuple[float, float] | None
    off: float
    redraws: tuple[Against, ...]
    kept: float | None


@dataclass(frozen=True)
class Interaction:
    """Whether the run's heads are about the run's pairs, beside a control's.

    Attributes
    ----------
    name, title : str
        Of the control.
    own, own_by_theirs : float
        Share in the run's pairs by the run's heads, and by those that the control's pairs choose.
    theirs_by_own, theirs : float
        The same two sets in the control's pairs.
    value : float
        (`own` - `own_by_theirs`) - (`theirs_by_own` - `theirs`); above 0 the two sets together do more in their own
        pairs, and one of them alone can make it so.
    redraws : tuple of Against
        Of the value, with one permutation of the labels of both sets.
    of_own : tuple of Against
        Of the part that the run's heads make of it, `own` - `theirs_by_own`.
    """

    name: str
    title: str
    own: float
    own_by_theirs: float
    theirs_by_own: float
    theirs: float
    value: float
    redraws: tuple[Against, ...]
    of_own: tuple[Against, ...]


@dataclass(frozen=True)
class Cause:
    """What interventions with one method show.

    Attributes
    ----------
    method : str
    n_pairs, n_equal : int
        Pairs, and those whose sides did not differ: they count nowhere.
    is_part : bool
        Whether they are only a part of the run's.
    is_registered : bool
        Whether the finding is made as PREREGISTRATION.md says: patching of the ten heads whose directions agree most
        in the other categories, in all pairs, against 199 redraws within blocks. Whether the run is the registered one
        is `runs.registration.departures`'s.
    floor : float
        The smallest p that so many redraws can give.
    headline_k : int
    effect : float
        Median over pairs: RMS of the difference of both sides' velocities.
    sizes : tuple of AtSize
    heads, mlp : float or None
        Share of all heads at once (1 by construction for patching) and of all MLP of the single blocks. Shares do not
        add up. None where that was not asked.
    blocks : dict of str to float
        Share of all heads of a block.
    controls : tuple of Interaction
    """

    method: str
    n_pairs: int
    n_equal: int
    is_part: bool
    is_registered: bool
    floor: float
    headline_k: int
    effect: float
    sizes: tuple[AtSize, ...]
    heads: float | None
    mlp: float | None
    blocks: dict[str, float]
    controls: tuple[Interaction, ...] = field(default=())

    @property
    def headline(self) -> AtSize:
        """The size that the finding is about."""
        return next(size for size in self.sizes if size.k == self.headline_k)

    @property
    def test(self) -> Against:
        """The redraws that the finding is tested against; a part of the run's pairs has no p in it, and no test."""
        return self.headline.redraws[0]


def set_shares(found: Interventions, name: str) -> np.ndarray:
    """Return the shares of an array's sets, float64 (n_pairs, ...): the mean of both ways, or what ablation loses."""
    on = found.arrays[name][..., 0].astype(np.float64)
    return on[..., 0] if found.info.asked.method == "ablate" else on.mean(axis=-1)


def cause(found: Interventions) -> Cause:
    """Say what interventions show.

    Returns
    -------
    Cause
        A pair whose sides did not differ counts nowhere.

    Raises
    ------
    NotComparableError
        The two sides of no pair differed.
    """
    asked, arrays = found.info.asked, found.arrays
    differ = arrays["effect"] > 0
    if not differ.any() or any(not (arrays[f"control.{i}.effect"] > 0).any() for i in range(len(asked.controls))):
        raise NotComparableError("the two sides of no pair differ at the image tokens: there is nothing to restore.")

    def mean(name: str) -> np.ndarray:
        return set_shares(found, name)[differ].mean(axis=0)

    chosen, drawn = mean("chosen"), {kind: mean(f"redraws.{kind}") for kind in asked.redraws}
    of_sets = arrays["chosen"][differ].astype(np.float64).mean(axis=0)  # (n_sizes, 2, 2)
    both = asked.method != "ablate"
    return Cause(
        method=asked.method,
        n_pairs=len(asked.pairs),
        n_equal=int(np.count_nonzero(~differ)),
        is_part=asked.is_part,
        is_registered=_is_registered(asked),
        floor=1 / (1 + asked.n_redraws),
        headline_k=asked.headline_k,
        effect=float(np.median(arrays["effect"])),
        sizes=tuple(
            AtSize(
                k,
                float(chosen[i]),
                (float(of_sets[i, 0, 0]), float(of_sets[i, 1, 0])) if both else None,
                float(of_sets[i, :, 1].mean() if both else of_sets[i, 0, 1]),
                tuple(
                    _with_lengths(_against(kind, chosen[i], drawn[kind][i], asked.is_part), found, i)
                    for kind in asked.redraws
                ),
                _kept(asked, i) if WITHIN in asked.redraws else None,
            )
            for i, k in enumerate(asked.ks)
        ),
        heads=float(mean("heads")),
        mlp=float(mean("mlp")) if asked.mlp else None,
        blocks=dict(zip(asked.blocks, mean("blocks").tolist(), strict=True)) if asked.blocks else {},
        controls=tuple(_interaction(found, i) for i in range(len(asked.controls))),
    )


def _is_registered(asked: Asked) -> bool:
    plainly = asked.heads in (TOP, f"{TOP}:10") and not asked.heads_from and not asked.is_part
    by_category = asked.fold_rule == "category"
    redrawn = WITHIN in asked.redraws and asked.n_redraws == MANY_REDRAWS and asked.chosen_by == "directions"
    return plainly and by_category and asked.method == "patch" and asked.headline_k == 10 and redrawn


def _kept(asked: Asked, size: int) -> float:
    """Return how many of the chosen heads are in a redraw within blocks too, on average."""
    heads, folds = asked.layout.n_heads, list(dict.fromkeys(asked.folds))
    found = []
    for names in asked.chosen[size]:
        blocks = np.unique(find_units(asked.layout, IMAGE, names) // heads, return_counts=True)[1]
        found.append((blocks**2).sum() / heads)
    return float(np.mean([found[folds.index(fold)] for fold in asked.folds]))


def _with_lengths(against: Against, found: Interventions, size: int) -> Against:
    """Add how much the heads write, where that was measured."""
    if not found.info.asked.written:
        return against
    chosen, drawn = float(found.arrays["written.chosen"][size]), found.arrays[f"written.{against.kind}"][size]
    usual = float(np.median(drawn))
    return replace(against, written=chosen / usual if usual else None, n_writing=_n_reaching(chosen, drawn))


def _n_reaching(chosen: float, drawn: np.ndarray) -> int:
    return round(float(stats.redraw_p(chosen, drawn)) * (1 + len(drawn))) - 1


def _against(kind: str, chosen: float, drawn: np.ndarray, is_part: bool) -> Against:
    low, median, high = np.quantile(drawn, (0.025, 0.5, 0.975)).tolist()
    p = None if is_part else float(stats.redraw_p(chosen, drawn))
    return Against(kind, median, low, high, _n_reaching(chosen, drawn), p)


def _interaction(found: Interventions, index: int) -> Interaction:
    asked, control = found.info.asked, found.info.asked.controls[index]
    own, theirs = found.arrays["effect"] > 0, found.arrays[f"control.{index}.effect"] > 0
    size, n = asked.ks.index(asked.headline_k), asked.n_redraws
    drawn = [set_shares(found, f"redraws.{kind}")[:, size] for kind in asked.redraws]
    cells = [
        np.concatenate([set_shares(found, "chosen")[:, size, None], *drawn], axis=1)[own],
        set_shares(found, f"control.{index}.own_pairs")[own],
        set_shares(found, f"control.{index}.own_heads")[theirs],
        set_shares(found, f"control.{index}.their_heads")[theirs],
    ]
    means = [cell.mean(axis=0) for cell in cells]
    values = (means[0] - means[1]) - (means[2] - means[3])

    def against(figures: np.ndarray) -> tuple[Against, ...]:
        parts = (figures[1 + i * n : 1 + (i + 1) * n] for i in range(len(asked.redraws)))
        return tuple(_against(kind, figures[0], part, False) for kind, part in zip(asked.redraws, parts, strict=True))

    return Interaction(
        control.name, control.title, *(float(each[0]) for each in means), float(values[0]),
        against(values), against(means[0] - means[2]),
    )  # fmt: skip
