"""Several contrasts side by side: is one an axis of its own, or what any consistent contrast looks like?

An atlas compares runs of one model and one setting: how many units each contrast moves, how alike the maps of t are,
whether the axis beats its siblings and controls, whether its units come again on new pairs, and how much of what it
shares with its replication is not what siblings and controls share as well. It takes minutes at full size, so it is
computed step by step and cached beside the runs.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from plantain import __version__, stats
from plantain._files import plain, strict_json, strict_record, write_atomic
from plantain.findings.across_runs.comparison import compare
from plantain.findings.directions import Transfers, keeps_directions, transfers
from plantain.findings.roles import OTHER, is_of_axis, origin, roles_of
from plantain.prompts.overlap import Overlap, overlap
from plantain.prompts.sets import in_one_line, other_words
from plantain.runs.analysis import THRESHOLDS, LargeEffects, SplitHalf, ThresholdCount, finite, summarize
from plantain.runs.inference import Interval, finite_ends, unit_p
from plantain.runs.info import NOT_KLEIN, NotComparableError, RunInfo
from plantain.runs.run import Run
from plantain.runs.units import CARD, Selection

MIN_PAIRS = 6  # halves of three, with one pair left out

N_CHOSEN, N_PERMUTATIONS, N_SPLITS = 20, 9_999, 30

_ORDER = ("axis", "replication", "sibling", "control", "positive contrast", OTHER, "noise floor")

_BEYOND = 1.5  # by chance a correlation without noise exceeds 1; one so large is a ratio of noise

_FORMAT = 6  # of what is cached: another one is computed anew


@dataclass(frozen=True)
class Axis:
    """One contrast: a run's name, the run, and the role of its prompt set (`sets.ROLES`, or ``other``)."""

    name: str
    run: Run
    role: str


@dataclass(frozen=True)
class Gathered:
    """Runs that belong together.

    Attributes
    ----------
    runs : dict of str to Run
        For `atlas.read_axes`, in the order in which they were given.
    left_out : tuple of str
        A sentence for every other run of the same model: its name, and why it is not among them.
    """

    runs: dict[str, Run]
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class AxisFacts:
    """Headline figures of one axis, as in `analysis.Summary`.

    Attributes
    ----------
    name, role, title, positive, negative : str
    n_pairs, n_units : int
    thresholds, large_effect, split_half, max_abs_t
    size : float or None
        RMS of the differences in percent of the magnitude, whichever way they point: median over units.
    """

    name: str
    role: str
    title: str
    positive: str
    negative: str
    n_pairs: int
    n_units: int
    thresholds: dict[int, ThresholdCount]
    large_effect: LargeEffects
    split_half: SplitHalf
    max_abs_t: float
    size: float | None


@dataclass(frozen=True)
class Between:
    """How alike two axes are.

    Attributes
    ----------
    first, second : str
    r : float or None
        Correlation of their maps of t.
    true_r : float or None
        The same without the attenuation by noise, with its 95% `interval`. None where it cannot be estimated: a map
        does not agree with itself, the interval holds all that a correlation can be, or the estimate is far from it.
    uncentred : float or None
        As `true_r`, with what all units share counted in: centring makes two maps that move other units, one up and
        one down, correlate. None where it cannot be estimated.
    n_top, n_shared, n_same_sign : int
        Units in the top of either, in both tops, and of these with one sign.
    n_expected : float or None
        Shared units of tops drawn at random.
    """

    first: str
    second: str
    r: float | None
    true_r: float | None
    interval: Interval
    uncentred: float | None
    n_top: int
    n_shared: int
    n_same_sign: int
    n_expected: float | None


@dataclass(frozen=True)
class Rival:
    """One sibling or control against the axis: units over the threshold of the axis and of the rival, and the p."""

    name: str
    role: str
    counts: tuple[int, int]
    p: float


@dataclass(frozen=True)
class Competition:
    """The axis' count among its rivals'.

    Attributes
    ----------
    threshold : float
    rank, of : int
        Where the count stands, among how many; a tie counts against the axis.
    p_exceeds_all : float
        The largest p of the axis against one of them.
    against : tuple of Rival
    """

    threshold: float
    rank: int
    of: int
    p_exceeds_all: float
    against: tuple[Rival, ...]


@dataclass(frozen=True)
class ReplicatedUnit:
    """A unit that the axis chose: its t there, its t on the new pairs, and its d_z there with the chosen sign."""

    unit: str
    t: float | None
    t_again: float | None
    d_z: float | None


@dataclass(frozen=True)
class Replication:
    """The units that one set chose, measured with their signs on the pairs of another.

    Attributes
    ----------
    name : str
        The other run.
    n_pairs : int
        New pairs.
    units : tuple of ReplicatedUnit
    n_same_sign : int
    score : float
        Mean over new pairs and units of the signed difference, in SDs, with its 95% `interval`.
    p, p_error : float
        Sign-flip p of the score, and its standard error where the flips were drawn, as above `inference.MAX_EXACT`
        pairs; 0 where it is exact.
    """

    name: str
    n_pairs: int
    units: tuple[ReplicatedUnit, ...]
    n_same_sign: int
    score: float
    interval: Interval
    p: float
    p_error: float


@dataclass(frozen=True)
class SelectiveUnit:
    """A chosen unit: signed d_z on the new pairs minus |d_z| on each control, and its family-wise p.

    Attributes
    ----------
    unit : str
    selectivity : float or None
        Against the control where it is smallest; None where one does not exist.
    against : tuple of float or None
        Against each control, in the order of `Selectivity.controls`.
    p : float or None
        The largest of the p against each control.
    """

    unit: str
    selectivity: float | None
    against: tuple[float | None, ...]
    p: float | None


@dataclass(frozen=True)
class Selectivity:
    """Whether chosen units respond to the axis, measured on the run `on`, more than to each of the runs `controls`."""

    on: str
    controls: tuple[str, ...]
    units: tuple[SelectiveUnit, ...]


@dataclass(frozen=True)
class Likeness:
    """How alike the axis and a rival are.

    Attributes
    ----------
    name, role : str
    has_map : bool
        Whether its pairs agree beyond sign flips; one without explains nothing.
    is_weak : bool
        Whether it has no map that is sure and yet goes the way of the axis, or against it; see `stats.UniqueShare`.
    true_r, interval, uncentred
        As in `Between`.
    """

    name: str
    role: str
    has_map: bool
    is_weak: bool
    true_r: float | None
    interval: Interval
    uncentred: float | None


@dataclass(frozen=True)
class Unique:
    """What the axis and its replication share, and how much of it is not what siblings and controls share as well.

    Attributes
    ----------
    replication : str
        The other run.
    own, own_p, explained : float
        As in `stats.UniqueShare`.
    share : float or None
        1 - explained / own, with its 95% `interval`; None where `own` is not above zero or no rival has a map, which
        leaves no interval, and where it cannot be estimated: the interval holds all that a share can be.
    z : float
        (own - explained) / its standard error.
    rivals : tuple of Likeness
        Siblings and controls: those with a map, weak ones too, first; of these the most alike first.
    """

    replication: str
    own: float
    own_p: float
    explained: float
    share: float | None
    interval: Interval
    z: float
    rivals: tuple[Likeness, ...]

    @property
    def nearest(self) -> Likeness | None:
        """The rival with the largest |true r| with the axis among those with a map: without one, r is noise."""
        first = self.rivals[0]
        return first if (first.has_map or first.is_weak) and first.true_r is not None else None


@dataclass(frozen=True)
class Atlas:
    """What is said of several axes.

    Attributes
    ----------
    units, scope : str
    n_units : int
        Units that are degenerate in no run.
    n_permutations : int
    weights : str
        Which weights made all runs, in a sentence.
    axes : tuple of AxisFacts
    between : tuple of Between
        Every two axes.
    competition : Competition or None
        None without a sibling or control.
    replication : Replication or None
        None without a run of the replication.
    unique : Unique or None
        None without the replication, or without a sibling or control.
    selectivity : Selectivity or None
        None without the replication or without a control.
    transfers : Transfers or None
        Of the heads' directions, whatever the units; None unless all runs keep them.
    """

    units: str
    scope: str
    n_units: int
    n_permutations: int
    weights: str
    axes: tuple[AxisFacts, ...]
    between: tuple[Between, ...]
    competition: Competition | None
    replication: Replication | None
    unique: Unique | None
    selectivity: Selectivity | None
    transfers: Transfers | None = None


def gather(runs: Mapping[str, Run], selected: str) -> Gathered:
    """Find the runs that belong in one atlas with a run.

    Parameters
    ----------
    runs : mapping of str to Run
        By name.
    selected : str
        One of them. Of two runs of one prompt set, whichever its text, it is taken; elsewhere the newest is. Of two
        axes or replications the one is taken that comes from where this one comes from: the project, or somebody else.

    Returns
    -------
    Gathered
        With at most one axis, and of replications only such as ask its question.
    """
    first = runs[selected]
    same_model = {name: run for name, run in runs.items() if run.info.fingerprint == first.info.fingerprint}
    reasons: dict[str, str] = {}
    for name, run in same_model.items():
        if unlike := unlike_settings(first.info, run.info):
            reasons[name] = f"differs from {selected} in {unlike}"
        elif len(run.pairs) < MIN_PAIRS:
            reasons[name] = f"has {len(run.pairs)} pairs; {MIN_PAIRS} are needed"
        elif other_words(first.info.prompts_sha256, run.info.prompts_sha256):
            reasons[name] = f"and {selected} are of prompt sets that are written for two models"
    fitting = {name: run for name, run in same_model.items() if name not in reasons}
    roles = roles_of(fitting)

    def rank(name: str) -> tuple[bool, bool, int, str]:
        # What comes from where the selected run comes from goes before what is newer: somebody's own axis is not the
        # one of the project's controls. Of runs made in the same second the first is taken: `max` keeps it.
        run = fitting[name]
        return name == selected, is_of_axis(run, first), -abs(origin(run) - origin(first)), run.info.date

    def leave_out(names: list[str], taken: str, what: Callable[[str], str]) -> None:
        newer = all(fitting[name].info.date <= fitting[taken].info.date for name in names)
        why = "is chosen above" if taken == selected else "is newer" if newer else f"goes with {selected}"
        reasons.update({name: f"{what(name)} {taken}, which {why}" for name in names if name != taken})

    axes = [name for name in fitting if roles[name] == "axis"]
    again = [name for name in fitting if roles[name] == "replication"]
    if axes:
        axis = max(axes, key=rank)
        leave_out(axes, axis, lambda name: _beside(fitting[name], fitting[axis]))
        strange = [name for name in again if not is_of_axis(fitting[axis], fitting[name])]
        reasons.update(dict.fromkeys(strange, f"replicates another axis than {axis}"))
        again = [name for name in again if name not in strange]
    if again:
        taken = max(again, key=rank)
        leave_out(again, taken, lambda name: _beside(fitting[name], fitting[taken]))
    others = [name for name in fitting if name not in (*axes, *again)]
    kept: list[str] = []
    for name in sorted(others, key=lambda name: (name == selected, fitting[name].info.date), reverse=True):
        twin = next((other for other in kept if _overlap(fitting[name], fitting[other]).is_whole), None)
        if twin is None:
            kept.append(name)
        else:
            leave_out([name], twin, lambda name, twin=twin: _beside(fitting[name], fitting[twin]))
    together = {name: run for name, run in same_model.items() if name not in reasons}
    return Gathered(together, tuple(f"{name} {reasons[name]}." for name in same_model if name in reasons))


def _beside(run: Run, taken: Run) -> str:
    """Say what a run's prompt set is to that of the run that is taken in its place."""
    found = _overlap(run, taken)
    if run.info.prompts_sha256 == taken.info.prompts_sha256:
        return "is of the same prompt set as"
    if found.is_whole:
        return "has the sides exchanged of the prompt set of" if found.n_mirrored else "has the pairs of"
    if run.info.prompt_set == taken.info.prompt_set:
        return "is of another text of the prompt set of"
    return "has the same role as"


def _overlap(run: Run, other: Run) -> Overlap:
    return overlap(*(tuple(record.pair for record in each.pairs) for each in (run, other)))


def read_axes(runs: Mapping[str, Run], given: Mapping[str, str] | None = None) -> list[Axis]:
    """Give runs the roles of their prompt sets.

    Parameters
    ----------
    runs : mapping of str to Run
        By name; one must be of a set with the role ``axis``.
    given : mapping of str to str, optional
        Roles by the hash of the prompt set that count before what the sets said when the runs were made.

    Returns
    -------
    list of Axis
        The axis first, then its replication, siblings, controls, the noise floor and sets without a role.

    Raises
    ------
    NotComparableError
        There are fewer than two runs, two of the same pairs, not exactly one axis, more than one replication or one of
        another axis, or runs of another model or setting; the message has all of it.
    """
    roles = roles_of(runs, given)
    axes = [Axis(name, run, roles[name]) for name, run in runs.items()]
    if len(axes) < 2:
        raise NotComparableError("an atlas needs at least two runs: name two folders or more.")
    if faults := [*_setting_faults(axes), *_pair_faults(axes), *_role_faults(axes)]:
        raise NotComparableError(in_one_line(faults))
    return sorted(axes, key=lambda axis: _ORDER.index(axis.role))


def _setting_faults(axes: list[Axis]) -> Iterator[str]:
    first = axes[0]
    for axis in axes:
        if len(axis.run.pairs) < MIN_PAIRS:
            n = len(axis.run.pairs)
            yield f"{axis.name} has {n} pairs; an atlas needs {MIN_PAIRS}: leave it out, or add pairs."
        if unlike := unlike_settings(first.run.info, axis.run.info):
            yield f"{axis.name} and {first.name} differ in {unlike}: run all sets in one way."
        if other_words(first.run.info.prompts_sha256, axis.run.info.prompts_sha256):
            yield f"{axis.name} and {first.name} are of prompt sets that are written for two models: leave one out."


def _pair_faults(axes: list[Axis]) -> Iterator[str]:
    """Tell of runs of the same pairs, and of a replication that is not of new ones."""
    for one, other in combinations(axes, 2):
        found = _overlap(other.run, one.run)
        if one.run.info.prompts_sha256 == other.run.info.prompts_sha256:
            yield f"{one.name} and {other.name} are of one prompt set: a set stands once."
        elif found.is_whole:
            yield found.words(other.name, one.name)
        elif {one.role, other.role} == {"axis", "replication"} and (n := found.n_same + found.n_mirrored):
            yield f"{one.name} and {other.name} have {n} pairs in common: a replication is of new pairs."


_HOW = "Leave one out, or write another role into its prompt file and give that file with --prompts."


def _role_faults(axes: list[Axis]) -> Iterator[str]:
    of = {role: [axis for axis in axes if axis.role == role] for role in _ORDER}
    main, again = of["axis"], of["replication"]
    if not main:
        yield (
            f"an atlas needs exactly one run with the role “axis”, as prompts/moral_valence.toml; here are "
            f"{_listed(axes)}. "
            'Write role = "axis" into the prompt file of the one that the others are held against, and give that file '
            "with --prompts."
        )
    for role, found in (("axis", main), ("replication", again)):
        if len(found) > 1:
            names = " and ".join(axis.name for axis in found)
            most = (
                "exactly one run with the role “axis”"
                if role == "axis"
                else "at most one run with the role “replication”"
            )
            yield f"an atlas needs {most}; {names} have it. {_HOW}"
    if len(main) == 1:
        for axis in again:
            if not is_of_axis(main[0].run, axis.run):
                yield (
                    f"{axis.name} ({_sides(axis)}) replicates another axis than {main[0].name} ({_sides(main[0])}): a "
                    "replication has the sides' names of its axis. Leave it out, or name its sides so."
                )


def _listed(axes: list[Axis]) -> str:
    return ", ".join(f"{axis.name} ({axis.role})" for axis in axes)


def _sides(axis: Axis) -> str:
    return f"{axis.run.info.positive} / {axis.run.info.negative}"


def unlike_settings(one: RunInfo, other: RunInfo) -> str:
    """Say in what two runs were not made in one way; empty where they were."""
    if (one.fingerprint, one.layout) != (other.fingerprint, other.layout):
        return "model"
    if one.setting == other.setting:
        return ""
    words = f"{one.dtype} · {one.settings_words}", f"{other.dtype} · {other.settings_words}"
    return f"settings ({words[1]} / {words[0]})" if words[0] != words[1] else "reference images"


def cached_atlas(
    axes: list[Axis], selection: Selection, folder: Path | None, progress: Callable[[int, int], None] | None = None
) -> Atlas:
    """Return the atlas that is cached in a folder, or compute it and cache it there.

    Parameters
    ----------
    axes : list of Axis
        From `read_axes`.
    selection : Selection
    folder : Path or None
        A folder that cannot be written costs time, not the answer.
    progress : callable, optional
        Told ``(done, total)`` steps.

    Returns
    -------
    Atlas
    """
    atlas = read_atlas(axes, selection, folder)
    if atlas is None:
        atlas = make_atlas(axes, selection, progress)
        write_atlas(atlas, axes, folder)
    return atlas


def read_atlas(axes: list[Axis], selection: Selection, folder: Path | None) -> Atlas | None:
    """Return the atlas that is cached in a folder, or None."""
    if folder is not None:
        with suppress(OSError, ValueError):
            return strict_record(Atlas, strict_json(_path(axes, selection, folder).read_bytes()), "atlas")
    return None


def write_atlas(atlas: Atlas, axes: list[Axis], folder: Path | None) -> None:
    """Cache an atlas in a folder, where there is one that can be written."""
    if folder is not None:
        with suppress(OSError):
            path = _path(axes, Selection(atlas.units, atlas.scope), folder)
            write_atomic(path, json.dumps(plain(atlas), allow_nan=False).encode())


def atlas_key(axes: list[Axis], selection: Selection) -> str:
    """Return a hash (hex) of all that an atlas is made of."""
    made_of = [__version__, _FORMAT, selection.units, selection.scope, N_CHOSEN, N_PERMUTATIONS, N_SPLITS]
    made_of += [[axis.name, axis.role, axis.run.capture_sha256, axis.run.directions_sha256] for axis in axes]
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()


def atlas_seconds(axes: list[Axis], n_units: int) -> float:
    """Estimate how long an atlas takes, from what the steps took on 2 shared cores of an AMD EPYC."""
    return expected_seconds(len(axes), len(_rivals(axes)), n_units)


def expected_seconds(n_axes: int, n_rivals: int, n_units: int) -> float:
    """Estimate the same from how many axes there are, and how many of them are siblings or controls."""
    pairs, rivals = n_axes * (n_axes - 1) // 2, n_rivals
    return 4 + pairs * (0.03 + 2.2e-4 * n_units) + rivals * (0.5 + 5e-4 * n_units)


def make_atlas(
    axes: list[Axis], selection: Selection = CARD, progress: Callable[[int, int], None] | None = None
) -> Atlas:
    """Compute everything that is said of several axes.

    Parameters
    ----------
    axes, units, scope, progress
        As for `cached_atlas`.

    Returns
    -------
    Atlas

    References
    ----------
    Hewitt & Liang (2019), EMNLP (controls and selectivity).
    """
    for done, total, atlas in iter_atlas(axes, selection):
        if progress is not None and done:
            progress(done, total)
        made = atlas
    assert made is not None  # the last step brings it
    return made


def iter_atlas(axes: list[Axis], selection: Selection) -> Iterator[tuple[int, int, Atlas | None]]:
    """Yield the steps done, their total and, with the last one, the atlas; see `make_atlas`."""
    pairs, rivals = list(combinations(axes, 2)), _rivals(axes)
    total = len(pairs) + len(rivals) + 1
    yield 0, total, None
    analyses = [axis.run.analysis(selection) for axis in axes]
    usable = np.all([a.tested for a in analyses], axis=0)  # degenerate in none
    diffs = {axis.name: a.differences[:, usable] for axis, a in zip(axes, analyses, strict=True)}
    between, competition = [], []
    for one, other in pairs:
        between.append(_between(one, other, selection, diffs))
        yield len(between), total, None
    for rival in rivals:
        test = stats.membership_test(
            diffs[axes[0].name], diffs[rival.name], THRESHOLDS[0], N_PERMUTATIONS, rng=_rng(axes[0], rival)
        )
        competition.append(Rival(rival.name, rival.role, test.counts, test.p))
        yield len(between) + len(competition), total, None
    atlas = Atlas(
        units=selection.units, scope=selection.scope, n_units=int(usable.sum()),
        n_permutations=N_PERMUTATIONS, weights=_weights(axes[0].run),
        axes=tuple(_axis_facts(axis, selection) for axis in axes),
        between=tuple(between),
        competition=_ranked(competition),
        replication=_replication(axes, selection),
        unique=_unique(axes, diffs, between),
        selectivity=_selectivity(axes, selection),
        transfers=transfers({a.name: a.run for a in axes}) if all(keeps_directions(a.run) for a in axes) else None,
    )  # fmt: skip
    yield total, total, atlas


def _path(axes: list[Axis], selection: Selection, folder: Path) -> Path:
    return folder / f".atlas-{atlas_key(axes, selection)[:32]}.json"


def _rivals(axes: list[Axis]) -> list[Axis]:
    return [axis for axis in axes if axis.role in ("sibling", "control")]


def _weights(run: Run) -> str:
    """Say which weights all runs have, loudly where they are never Klein's."""
    loud = f" {NOT_KLEIN[run.info.weights]}" if run.info.weights in NOT_KLEIN else ""
    return f"Weights: {run.info.model} ({run.info.weights}), {run.info.settings_words}.{loud}"


def _axis_facts(axis: Axis, selection: Selection) -> AxisFacts:
    info, analysis = axis.run.info, axis.run.analysis(selection)
    figures, known = vars(summarize(analysis)), analysis.rms_percent[np.isfinite(analysis.rms_percent)]
    names = ("n_pairs", "n_units", "thresholds", "large_effect", "split_half", "max_abs_t")
    return AxisFacts(
        axis.name, axis.role, info.title, info.positive, info.negative, *(figures[name] for name in names),
        size=finite(np.median(known)) if len(known) else None,
    )  # fmt: skip


def _between(one: Axis, other: Axis, selection: Selection, diffs: dict[str, np.ndarray]) -> Between:
    r = stats.true_correlation(diffs[one.name], diffs[other.name], N_SPLITS, rng=_rng(one, other))
    found = compare(one.run, other.run, selection)
    return Between(
        first=one.name, second=other.name, r=finite(r.observed), true_r=_correlation(r.value, r.interval),
        interval=finite_ends(r.interval), uncentred=_correlation(r.uncentred),
        n_top=found.n_top, n_shared=len(found.shared),
        n_same_sign=found.same_sign, n_expected=finite(found.expected),
    )  # fmt: skip


def _estimated(value: float, interval: tuple[float, float], possible: tuple[float, float]) -> float | None:
    """Return an estimate; None where its interval leaves open all that is possible."""
    return None if interval[0] <= possible[0] and interval[1] >= possible[1] else finite(value)


def _correlation(value: float, interval: tuple[float, float] = (math.nan, math.nan)) -> float | None:
    """Return an estimate of a correlation; None where it is none, by its interval or by itself."""
    return _estimated(value, interval, (-1, 1)) if abs(value) <= _BEYOND else None


def _ranked(rivals: list[Rival]) -> Competition | None:
    if not rivals:
        return None
    rank = 1 + sum(rival.counts[1] >= rival.counts[0] for rival in rivals)  # a tie counts against the claim
    largest = max(rival.p for rival in rivals)
    return Competition(float(THRESHOLDS[0]), rank, len(rivals) + 1, largest, tuple(rivals))


def _chosen(axis: Axis, selection: Selection) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Choose the axis' top units: their indices, signs and names."""
    a = axis.run.analysis(selection)
    chosen = a.ranking[:N_CHOSEN]
    return chosen, np.sign(a.t[chosen]), [a.table.names[i] for i in chosen]


def _replication(axes: list[Axis], selection: Selection) -> Replication | None:
    """Measure the units that one set chose, with their signs, on the other set."""
    second = _second(axes)
    if second is None:
        return None
    chosen, signs, names = _chosen(axes[0], selection)
    first, again = axes[0].run.analysis(selection), second.run.analysis(selection)
    signed, d_z = signs * again.differences[:, chosen], signs * again.dz[chosen]
    spread = signed.std(axis=0, ddof=1)
    scores = np.mean(signed / np.where(spread > 0, spread, 1.0), axis=1)  # of every new pair, in SDs
    rows = zip(names, first.t[chosen], again.t[chosen], d_z, strict=True)
    p, error = unit_p(scores[:, None], second.run.info.seed)
    return Replication(
        name=second.name,
        n_pairs=len(scores),
        units=tuple(ReplicatedUnit(name, *map(finite, numbers)) for name, *numbers in rows),
        n_same_sign=int(np.count_nonzero(d_z > 0)),
        score=float(scores.mean()),
        interval=finite_ends(stats.mean_interval(scores)),
        p=float(p[0]),
        p_error=float(error[0]),
    )


def _unique(axes: list[Axis], diffs: dict[str, np.ndarray], between: list[Between]) -> Unique | None:
    """Ask how much of what the axis and its replication share is not what siblings and controls share as well."""
    second, rivals = _second(axes), _rivals(axes)
    if second is None or not rivals:
        return None
    first, again, *others = (diffs[axis.name] for axis in (axes[0], second, *rivals))
    found = stats.unique_share(first, again, others, N_PERMUTATIONS, _rng(axes[0], second, *rivals))
    alike = {row.second: row for row in between if row.first == axes[0].name}
    likenesses = [
        Likeness(rival.name, rival.role, has_map, is_weak, row.true_r, row.interval, row.uncentred)
        for rival, has_map, is_weak in zip(rivals, found.used, found.weak, strict=True)
        for row in (alike[rival.name],)
    ]
    likenesses.sort(key=lambda r: (not (r.has_map or r.is_weak), r.true_r is None, -abs(r.true_r or 0.0)))
    share, ends = (found.share, found.interval) if any(found.used) else (math.nan, (math.nan, math.nan))
    return Unique(
        replication=second.name, own=found.own, own_p=found.own_p, explained=found.explained,
        share=_estimated(share, ends, (0, 1)), interval=finite_ends(ends), z=found.z, rivals=tuple(likenesses),
    )  # fmt: skip


def _selectivity(axes: list[Axis], selection: Selection) -> Selectivity | None:
    """Ask of the chosen units whether they respond to the axis, on new pairs, more than to each control."""
    second, controls = _second(axes), [axis for axis in axes if axis.role == "control"]
    if second is None or not controls:
        return None
    chosen, signs, names = _chosen(axes[0], selection)
    target, *others = (axis.run.analysis(selection).differences[:, chosen] for axis in (second, *controls))
    found = stats.selectivity_test(target, others, signs, N_PERMUTATIONS, rng=_rng(second, *controls))
    rows = zip(names, found.selectivity.T, found.p, strict=True)
    units_found = tuple(SelectiveUnit(name, finite(s.min()), tuple(map(finite, s)), finite(p)) for name, s, p in rows)
    return Selectivity(second.name, tuple(axis.name for axis in controls), units_found)


def _second(axes: list[Axis]) -> Axis | None:
    return next((axis for axis in axes if axis.role == "replication"), None)


def _rng(*axes: Axis) -> np.random.Generator:
    """Return a stream that depends on the runs alone, so that an atlas repeats."""
    return np.random.default_rng([int(axis.run.capture_sha256[:15], 16) for axis in axes])
