"""Several axes side by side: is one an axis of its own, or what any consistent contrast looks like?

`read_axes`    runs of one model and one setting, each with what its prompt set is for
`make_atlas`   everything that is said of them, as plain JSON values; `iter_atlas` step by step
`keep_atlas`   the same, kept beside the runs and computed once; `recall_atlas`, `save_atlas` its two halves
`atlas_seconds`   how long it will take

Knows nothing about where it is shown.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from plantain import PlantainError, __version__, stats
from plantain._files import strict_json, write_atomic
from plantain.findings.comparison import compare
from plantain.prompts.sets import shipped_sets
from plantain.runs.analysis import THRESHOLDS, Analysis
from plantain.runs.info import RANDOM, RunInfo
from plantain.runs.run import Run

MIN_PAIRS = 6  # halves of three, with one pair left out

N_CHOSEN, N_PERMUTATIONS, N_SPLITS = 20, 9_999, 30

_FORMAT = 3  # of what is kept: another one is computed anew


class AtlasError(PlantainError, ValueError):
    """Runs that cannot stand in one atlas."""


@dataclass(frozen=True)
class Axis:
    """One contrast: a run's name, the run, and the role of its prompt set (`prompts.ROLES`, or ``other``)."""

    name: str
    run: Run
    role: str


def read_axes(runs: Mapping[str, Run]) -> list[Axis]:
    """Give runs the roles of their prompt sets.

    Parameters
    ----------
    runs : mapping of str to Run
        By name; one must be of a set with the role ``axis``.

    Returns
    -------
    list of Axis
        The axis first, then its replication, siblings, controls, the noise floor and sets that are not known here.

    Raises
    ------
    AtlasError
        There are fewer than two runs, two of one prompt set, not exactly one axis, or runs of another model or setting.
    """
    axes = [Axis(name, run, _role(run)) for name, run in runs.items()]
    if len(axes) < 2:
        raise AtlasError("an atlas needs at least two runs.")
    first = axes[0]
    for axis in axes:
        if len(axis.run.pairs) < MIN_PAIRS:
            raise AtlasError(f"{axis.name} has {len(axis.run.pairs)} pairs; an atlas needs {MIN_PAIRS} in every set.")
    for axis in axes[1:]:
        if unlike := unlike_settings(first.run.info, axis.run.info):
            raise AtlasError(f"{axis.name} and {first.name} differ in {unlike}: run all sets in one way.")
    for one, other in combinations(axes, 2):
        if one.run.info.prompts_sha256 == other.run.info.prompts_sha256:
            raise AtlasError(f"{one.name} and {other.name} are of one prompt set: a set stands once in an atlas.")
    if sum(axis.role == "axis" for axis in axes) != 1:
        raise AtlasError("an atlas needs exactly one run of a set with the role “axis”, as prompts/moral_valence.toml.")
    return sorted(axes, key=lambda axis: _ORDER.index(axis.role))


def unlike_settings(one: RunInfo, other: RunInfo) -> str:
    """Say in what two runs were not made in one way; empty where they were."""
    if (one.fingerprint, one.layout) != (other.fingerprint, other.layout):
        return "model"
    if one.setting == other.setting:
        return ""
    words = f"{one.dtype} · {one.settings_words}", f"{other.dtype} · {other.settings_words}"
    return f"settings ({words[1]} / {words[0]})" if words[0] != words[1] else "reference images"


_ORDER = ("axis", "replication", "sibling", "control", "other", "noise floor")


def _role(run: Run) -> str:
    known = shipped_sets().get(run.info.prompts_sha256)
    return known[1].role if known else "other"


def keep_atlas(
    axes: list[Axis], units: str, scope: str, folder: Path | None, progress: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Return the atlas that is kept in a folder, or compute it and keep it there.

    Parameters
    ----------
    axes : list of Axis
        From `read_axes`.
    units, scope : str
        As for `units.magnitudes`.
    folder : Path or None
        Where it is kept; a folder that cannot be written costs time, not the answer.
    progress : callable, optional
        Told ``(done, total)`` steps.

    Returns
    -------
    dict
        As from `make_atlas`.
    """
    atlas = recall_atlas(axes, units, scope, folder)
    if atlas is None:
        atlas = make_atlas(axes, units, scope, progress)
        save_atlas(atlas, axes, folder)
    return atlas


def recall_atlas(axes: list[Axis], units: str, scope: str, folder: Path | None) -> dict[str, Any] | None:
    """Return the atlas that is kept in a folder, or None."""
    if folder is not None:
        with suppress(OSError, ValueError):
            return strict_json(_path(axes, units, scope, folder).read_bytes())
    return None


def save_atlas(atlas: dict[str, Any], axes: list[Axis], folder: Path | None) -> None:
    """Keep an atlas in a folder, where there is one that can be written."""
    if folder is not None:
        with suppress(OSError):
            path = _path(axes, atlas["units"], atlas["scope"], folder)
            write_atomic(path, json.dumps(atlas, allow_nan=False).encode())


def atlas_key(axes: list[Axis], units: str, scope: str) -> str:
    """Return a hash (hex) of all that an atlas is made of."""
    made_of = [__version__, _FORMAT, units, scope, N_CHOSEN, N_PERMUTATIONS, N_SPLITS]
    made_of += [[axis.name, axis.role, axis.run.capture_sha256] for axis in axes]
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()


def _path(axes: list[Axis], units: str, scope: str, folder: Path) -> Path:
    return folder / f".atlas-{atlas_key(axes, units, scope)[:32]}.json"


def atlas_seconds(axes: list[Axis], n_units: int) -> float:
    """Estimate how long an atlas takes, from what the steps took on 2 shared cores of an AMD EPYC."""
    pairs, rivals = len(axes) * (len(axes) - 1) // 2, len(_rivals(axes))
    return 4 + pairs * (0.03 + 2.2e-4 * n_units) + rivals * (0.5 + 5e-4 * n_units)


def make_atlas(
    axes: list[Axis], units: str = "card", scope: str = "all", progress: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Compute everything that is said of several axes.

    Parameters
    ----------
    axes, units, scope, progress
        As for `keep_atlas`.

    Returns
    -------
    dict
        ``axes`` (headline figures, and the orientation-free size of the differences), ``between`` (correlation of the
        t maps and shared top units of every two axes), ``competition`` (the axis against every sibling and control),
        ``replication`` and ``selectivity`` (None without their sets).

    References
    ----------
    Hewitt & Liang (2019), EMNLP (controls and selectivity).
    """
    made: dict[str, Any] = {}
    for done, total, atlas in iter_atlas(axes, units, scope):
        if progress is not None and done:
            progress(done, total)
        made = atlas or made
    return made


def iter_atlas(axes: list[Axis], units: str, scope: str) -> Iterator[tuple[int, int, dict[str, Any] | None]]:
    """Yield the steps done, their total and, with the last one, the atlas; see `make_atlas`."""
    pairs, rivals = list(combinations(axes, 2)), _rivals(axes)
    total = len(pairs) + len(rivals) + 1
    yield 0, total, None
    diffs = _differences(axes, units, scope)
    between, competition = [], []
    for one, other in pairs:
        between.append(_between(one, other, units, scope, diffs))
        yield len(between), total, None
    for rival in rivals:
        competition.append(_against(axes[0], rival, diffs))
        yield len(between) + len(competition), total, None
    yield total, total, {
        "units": units, "scope": scope, "n_units": int(next(iter(diffs.values())).shape[1]),
        "n_permutations": N_PERMUTATIONS, "weights": _weights(axes[0].run),
        "axes": [_axis_facts(axis, units, scope) for axis in axes],
        "between": between,
        "competition": _ranked(competition),
        "replication": _replication(axes, units, scope),
        "selectivity": _selectivity(axes, units, scope),
    }  # fmt: skip


def _rivals(axes: list[Axis]) -> list[Axis]:
    return [axis for axis in axes if axis.role in ("sibling", "control")]


def _weights(run: Run) -> str:
    """Say which weights all runs have, loudly where they are random."""
    loud = f" {RANDOM}" if run.info.is_random else ""
    return f"Weights: {run.info.model} ({run.info.weights}), {run.info.settings_words}.{loud}"


def _differences(axes: list[Axis], units: str, scope: str) -> dict[str, np.ndarray]:
    """Return every axis' differences of the units that are degenerate in none: (n_pairs, n_units)."""
    analyses = {axis.name: axis.run.analysis(units, scope) for axis in axes}
    usable = np.all([a.tested for a in analyses.values()], axis=0)
    return {name: a.differences[:, usable] for name, a in analyses.items()}


def _axis_facts(axis: Axis, units: str, scope: str) -> dict[str, Any]:
    a, info = axis.run.analysis(units, scope), axis.run.info
    headline = axis.run.headline(units, scope)
    return {
        "name": axis.name, "role": axis.role, "title": info.title, "positive": info.positive,
        "negative": info.negative, "n_pairs": len(axis.run.pairs), "n_units": headline["n_units"],
        **{key: headline[key] for key in ("thresholds", "large_effect", "split_half", "max_abs_t")},
        "size": _size(a),
    }  # fmt: skip


def _size(analysis: Analysis) -> float | None:
    """Return how large differences are, whichever way they point: in % of the magnitude, median over units."""
    known = analysis.rms_percent[np.isfinite(analysis.rms_percent)]
    return _number(np.median(known)) if len(known) else None


def _between(one: Axis, other: Axis, units: str, scope: str, diffs: dict[str, np.ndarray]) -> dict[str, Any]:
    r = stats.true_correlation(diffs[one.name], diffs[other.name], N_SPLITS, rng=_rng(one, other))
    found = compare(one.run, other.run, units, scope)
    return {
        "first": one.name, "second": other.name, "r": _number(r.observed), "true_r": _number(r.value),
        "interval": [_number(end) for end in r.interval], "n_top": found.n_top, "n_shared": len(found.shared),
        "n_same_sign": found.same_sign, "n_expected": _number(found.expected),
    }  # fmt: skip


def _against(axis: Axis, rival: Axis, diffs: dict[str, np.ndarray]) -> dict[str, Any]:
    """Compare the counts over the first threshold, by which pair belongs to which set."""
    found = stats.membership_test(
        diffs[axis.name], diffs[rival.name], THRESHOLDS[0], N_PERMUTATIONS, rng=_rng(axis, rival)
    )
    return {"name": rival.name, "role": rival.role, "counts": list(found.counts), "p": found.p}


def _ranked(competition: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Say where the axis' count stands among its rivals', and whether it exceeds them all."""
    if not competition:
        return None
    rank = 1 + sum(row["counts"][1] >= row["counts"][0] for row in competition)  # a tie counts against the claim
    return {
        "threshold": THRESHOLDS[0], "rank": rank, "of": len(competition) + 1,
        "p_exceeds_all": max(row["p"] for row in competition), "against": competition,
    }  # fmt: skip


def _chosen(axis: Axis, units: str, scope: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Choose the axis' top units: their indices, signs and names."""
    a = axis.run.analysis(units, scope)
    chosen = a.ranking[:N_CHOSEN]
    return chosen, np.sign(a.t[chosen]), [a.table.names[i] for i in chosen]


def _replication(axes: list[Axis], units: str, scope: str) -> dict[str, Any] | None:
    """Measure the units that one set chose, with their signs, on the other set."""
    second = next((axis for axis in axes if axis.role == "replication"), None)
    if second is None:
        return None
    chosen, signs, names = _chosen(axes[0], units, scope)
    first, again = axes[0].run.analysis(units, scope), second.run.analysis(units, scope)
    signed = signs * again.differences[:, chosen]
    d_z = signs * again.dz[chosen]
    spread = again.differences[:, chosen].std(axis=0, ddof=1)
    scores = np.mean(signed / np.where(spread > 0, spread, 1.0), axis=1)  # of every new pair, in SDs
    interval = stats.mean_interval(scores)
    rows = zip(names, first.t[chosen], again.t[chosen], d_z, strict=True)
    return {
        "name": second.name, "n_pairs": len(scores),
        "units": [{"unit": n, "t": _number(t), "t_again": _number(u), "d_z": _number(d)} for n, t, u, d in rows],
        "n_same_sign": int(np.count_nonzero(d_z > 0)),
        "score": float(scores.mean()), "interval": [_number(end) for end in interval],
        "p": float(stats.exact_sign_flip_p(scores[:, None])[0]) if len(scores) <= _EXACT else None,
    }  # fmt: skip


_EXACT = 30  # pairs whose sign patterns can all be looked at


def _selectivity(axes: list[Axis], units: str, scope: str) -> dict[str, Any] | None:
    """Ask of the chosen units whether they respond to the axis, on new pairs, more than to the controls."""
    second = next((axis for axis in axes if axis.role == "replication"), None)
    controls = [axis for axis in axes if axis.role == "control"]
    if second is None or not controls:
        return None
    chosen, signs, names = _chosen(axes[0], units, scope)
    target, *others = (axis.run.analysis(units, scope).differences[:, chosen] for axis in (second, *controls))
    found = stats.selectivity_test(target, others, signs, N_PERMUTATIONS, rng=_rng(second, *controls))
    rows = zip(names, found.selectivity, found.p, strict=True)
    return {
        "on": second.name, "controls": [axis.name for axis in controls],
        "units": [{"unit": n, "selectivity": _number(s), "p": _number(p)} for n, s, p in rows],
    }  # fmt: skip


def _rng(*axes: Axis) -> np.random.Generator:
    """Return a stream that depends on the runs alone, so that an atlas repeats."""
    return np.random.default_rng([int(axis.run.capture_sha256[:15], 16) for axis in axes])


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


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


def gather(runs: Mapping[str, Run], selected: str) -> Gathered:
    """Find the runs that belong in one atlas with a run.

    Parameters
    ----------
    runs : mapping of str to Run
        By name.
    selected : str
        One of them. Of two runs of one prompt set it is taken; elsewhere the newest is.

    Returns
    -------
    Gathered
    """
    first = runs[selected]
    same_model = {name: run for name, run in runs.items() if run.info.fingerprint == first.info.fingerprint}
    reasons: dict[str, str] = {}
    by_set: dict[str, list[str]] = {}
    for name, run in same_model.items():
        if unlike := unlike_settings(first.info, run.info):
            reasons[name] = f"differs from {selected} in {unlike}"
        elif len(run.pairs) < MIN_PAIRS:
            reasons[name] = f"has {len(run.pairs)} pairs; {MIN_PAIRS} are needed"
        else:
            by_set.setdefault(run.info.prompts_sha256, []).append(name)
    for names in by_set.values():
        # Of runs made in the same second the first is taken: `max` keeps it.
        taken = max(names, key=lambda name: (name == selected, runs[name].info.date))
        why = "which is chosen above" if taken == selected else "which is newer"
        reasons |= {name: f"is of the same prompt set as {taken}, {why}" for name in names if name != taken}
    kept = {name: run for name, run in same_model.items() if name not in reasons}
    return Gathered(kept, tuple(f"{name} {reason}." for name, reason in reasons.items()))
