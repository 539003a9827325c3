"""The headline of a run: how many pairs are told right by a rule that has not seen them.

The rule adds up the directions of all attention heads over image tokens alone: text tokens carry the encoder's output
along the residual stream whatever the transformer does. A run without directions has the rule of magnitudes, which
stands beside the other where there are both: the 20 heads with the largest |t| over all other pairs. Beside the
headline stand the same over all tokens and from the prompt embedding, the rule on the pairs of a replication, the rules
of controls, and how many pairs of the positive contrasts are told right: sides that any image generator has to tell
apart.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np

from plantain import PlantainError, stats
from plantain._files import plain, strict_json, strict_record, write_atomic
from plantain.findings.across_runs.atlas import unlike_settings
from plantain.findings.directions import (
    BesideUntrained,
    beside_untrained,
    directions,
    frozen,
    keeps_directions,
    scores,
)
from plantain.findings.roles import is_of_axis, known_role, origin
from plantain.findings.told import (
    DIRECTION,
    EMBEDDING,
    IMAGE,
    LEFT_OUT,
    MAGNITUDE,
    N_FLIPS,
    Told,
    held_out_flips,
    told,
)
from plantain.models.info import CONTROLS
from plantain.prompts.overlap import Overlap, overlap
from plantain.prompts.sets import other_words
from plantain.runs.analysis import finite
from plantain.runs.inference import STATISTICS
from plantain.runs.info import NotComparableError
from plantain.runs.io import load_run
from plantain.runs.once import once
from plantain.runs.registration import departures
from plantain.runs.run import Run
from plantain.runs.units import HEADS, Selection

N_TOP = 20

_FORMAT = 1  # of what is cached: another one is computed anew

_FILE = "held-out.json"

_IN_MEMORY: WeakKeyDictionary[Run, HeldOut] = WeakKeyDictionary()


@dataclass(frozen=True)
class HeldOut(Told):
    """The headline, and what stands beside it.

    Attributes
    ----------
    n_flips, n_top : int
        Sign flips of the p, and units of a rule: of directions all heads.
    percent : float or None
        The mean difference in percent of the magnitude, whichever its sign: median over heads, image tokens.
    all_tokens, embedding : Told
        The same over all tokens, and from the prompt embedding.
    replication : Told or None
        The rule, frozen, on new pairs.
    controls : tuple of Told
        Rules that were learned on other contrasts, on this run's pairs.
    positives : tuple of Told
        The headlines of positive contrasts, each by its own pairs; `rule` is the name of the run.
    untrained : tuple of BesideUntrained
        The agreement of directions beside that of transformers which have learned nothing.
    replication_departs : tuple of str
        In what the replication departs from the preregistered one (`registration.departures`).
    magnitudes : HeldOut or None
        The same by magnitudes, where the headline is of directions. A replication or control that keeps no directions
        stands there alone.
    """

    n_flips: int
    n_top: int
    percent: float | None
    all_tokens: Told
    embedding: Told
    replication: Told | None = None
    controls: tuple[Told, ...] = ()
    positives: tuple[Told, ...] = ()
    untrained: tuple[BesideUntrained, ...] = ()
    replication_departs: tuple[str, ...] = ()
    magnitudes: HeldOut | None = None


@dataclass(frozen=True)
class KindTold:
    """How many pairs of one kind the headline's rule tells right, each by the rule of all other pairs, of any kind.

    Attributes
    ----------
    kind : str
        One of `prompts.sets.KINDS`.
    k, n : int
        Pairs told right, and pairs. Description: no p, since the pairs were not drawn by kind.
    """

    kind: str
    k: int
    n: int


def held_out(
    run: Run,
    replication: tuple[str, Run] | None = None,
    controls: Mapping[str, Run] | None = None,
    positives: Mapping[str, Run] | None = None,
    untrained: Mapping[str, Run] | None = None,
) -> HeldOut:
    """Tell a run's pairs by rules that have not seen them: by directions where the run keeps them.

    Parameters
    ----------
    run : Run
    replication : (str, Run), optional
        Name and run of the same contrast on new pairs.
    controls : mapping of str to Run, optional
        Runs of other contrasts, by name.
    positives : mapping of str to Run, optional
        Runs of positive contrasts, by name.
    untrained : mapping of str to Run, optional
        Runs of the same prompts through transformers of random weights, by name.

    Returns
    -------
    HeldOut
        Ten seconds at full size the first time, for this run and for each positive contrast; cached in their folders.

    Raises
    ------
    NotComparableError
        A run was made by another model or with other settings, or has a pair of this run, whichever its side.
    """
    controls, positives = controls or {}, positives or {}
    for name, other in (untrained or {}).items():
        if fault := twin_fault(run, other):
            raise NotComparableError(f"{name}: {fault}.")
    for name, other in {**dict([replication] if replication else []), **controls, **positives}.items():
        _check(run, name, other)
    beside = replication, controls, positives
    found = _by_magnitudes(run, *beside)
    if not keeps_directions(run):
        return found
    less = {name: other for name, other in (untrained or {}).items() if other.keeps(IMAGE)}
    return replace(
        _by_directions(run, found, *beside),
        untrained=tuple(beside_untrained(run, name, other) for name, other in less.items()),
    )


def _by_magnitudes(
    run: Run, replication: tuple[str, Run] | None, controls: Mapping[str, Run], positives: Mapping[str, Run]
) -> HeldOut:
    found, mine = cached(run), run.analysis(IMAGE).differences
    again = replication and told(
        stats.transfer_test(stats.learn_rule(mine, N_TOP), replication[1].analysis(IMAGE).differences), replication[0]
    )
    rules = {name: stats.learn_rule(r.analysis(IMAGE).differences, N_TOP) for name, r in controls.items()}
    tried = tuple(told(stats.transfer_test(rule, mine, two_sided=True), name) for name, rule in rules.items())
    clear = tuple(replace(_plain(cached(other)), rule=name) for name, other in positives.items())
    departs = _replication_departs(replication, MAGNITUDE)
    return replace(found, replication=again, controls=tried, positives=clear, replication_departs=departs)


def _plain(told: Told) -> Told:
    """Return the figure alone."""
    return Told(**{each.name: getattr(told, each.name) for each in fields(Told)})


def _by_directions(
    run: Run,
    magnitudes: HeldOut,
    replication: tuple[str, Run] | None,
    controls: Mapping[str, Run],
    positives: Mapping[str, Run],
) -> HeldOut:
    found = directions(run)
    again = replication if replication and keeps_directions(replication[1]) else None
    return HeldOut(
        **vars(found.rule),
        n_flips=found.n_flips,
        n_top=found.n_units,
        percent=magnitudes.percent,
        all_tokens=found.all_tokens,
        embedding=found.embedding,
        replication=again and frozen(run, again[1], again[0]),
        controls=tuple(
            frozen(other, run, name, two_sided=True) for name, other in controls.items() if keeps_directions(other)
        ),
        positives=tuple(
            replace(directions(other).rule, rule=name) for name, other in positives.items() if keeps_directions(other)
        ),
        replication_departs=_replication_departs(again, DIRECTION),
        magnitudes=magnitudes,
    )


def _replication_departs(replication: tuple[str, Run] | None, measure: str) -> tuple[str, ...]:
    return departures(replication[1].info, role="replication", measure=measure) if replication else ()


def told_by_kind(run: Run) -> list[KindTold]:
    """Split the headline's count by kind; empty unless every pair of the run says its kind.

    Returns
    -------
    list of KindTold
        In the order of the prompt set. The counts sum to the headline's (`HeldOut.k`).
    """
    if not all(run.kinds):
        return []
    right, kinds = pair_scores(run) > 0, np.array(run.kinds)
    return [KindTold(kind, int(right[kinds == kind].sum()), run.kinds.count(kind)) for kind in dict.fromkeys(run.kinds)]


def pair_scores(run: Run) -> np.ndarray:
    """Score every pair by the headline's rule, learned on all other pairs, float64 (n_pairs,); above 0 is right."""
    return scores(run) if keeps_directions(run) else stats.conformal_scores(run.analysis(IMAGE).differences, N_TOP)


def _check(run: Run, name: str, other: Run) -> None:
    if unlike := unlike_settings(run.info, other.info):
        raise NotComparableError(f"{name}: its {unlike} differ from the run's, so that no rule can go between them.")
    found = _common(run, other)
    if found.is_whole:
        how = ", with the sides exchanged" if found.n_mirrored else ""
        raise NotComparableError(f"{name}: is of the same pairs as the run{how}.")
    if n := found.n_same + found.n_mirrored:
        raise NotComparableError(
            f"{name}: has {n} of the run's own pairs, and a rule is tried only on pairs that it has not seen."
        )


def twin_fault(run: Run, other: Run) -> str:
    """Say why a run cannot stand beside another as the same prompts through random weights; empty where it can.

    Parameters
    ----------
    run : Run
    other : Run
        Of the random weights.
    """
    if other.info.weights not in CONTROLS or run.info.weights in CONTROLS:
        return "is no run of random weights beside one of others"
    if other.info.layout != run.info.layout:
        return "its model has another shape"
    mine, theirs = ([record.pair.id for record in each.pairs] for each in (run, other))
    if other.info.prompts_sha256 != run.info.prompts_sha256 or mine != theirs:
        return "its prompts are others"
    return "" if other.info.setting == run.info.setting else "it was made with other settings"


def _common(run: Run, other: Run) -> Overlap:
    return overlap(*(tuple(record.pair for record in each.pairs) for each in (run, other)))


@dataclass(frozen=True)
class Beside:
    """What of other runs may stand beside a run's headline: its replication, and by name the others.

    These are controls, positive contrasts, and runs of the same prompts through transformers of random weights; the
    names are those of the parameters of `held_out`.
    """

    replication: tuple[str, Run] | None = None
    controls: Mapping[str, Run] = field(default_factory=dict)
    positives: Mapping[str, Run] = field(default_factory=dict)
    untrained: Mapping[str, Run] = field(default_factory=dict)


ALONE = Beside()


def fitting(run: Run, runs: Mapping[str, Run]) -> Beside:
    """Choose from runs what may stand beside a run's headline: of the same model, made in the same way.

    Parameters
    ----------
    run : Run
        Of the prompt set whose role is ``axis``; beside any other stands nothing.
    runs : mapping of str to Run
        By name; of several runs of one prompt set the first is taken, and of several replications the one that comes
        from where the run's prompt set comes from. One that has a pair of the run is left out, and one of a set in the
        words of another model.
    """
    if _role(run) != "axis":
        return ALONE
    by_set: dict[str, tuple[str, Run]] = {}
    twins = {name: other for name, other in runs.items() if not twin_fault(run, other)}
    for name, other in runs.items():
        if other_words(run.info.prompts_sha256, other.info.prompts_sha256):
            continue
        found = _common(run, other)
        if not (unlike_settings(run.info, other.info) or found.n_same or found.n_mirrored):
            by_set.setdefault(other.info.prompts_sha256, (name, other))
    chosen = {role: [found for found in by_set.values() if _role(found[1]) == role] for role in _BESIDE}
    again = (found for found in chosen["replication"] if is_of_axis(run, found[1]))
    nearest = min(again, key=lambda found: abs(origin(found[1]) - origin(run)), default=None)
    return Beside(nearest, dict(chosen["control"]), dict(chosen["positive contrast"]), twins)


_BESIDE = ("replication", "control", "positive contrast")


def _role(run: Run) -> str:
    return known_role(run.info.prompts_sha256, run.info.role)


def find_beside(run: Run, folder: Path, roles: tuple[str, ...] = _BESIDE) -> Beside:
    """Find in the folder that a run's own folder stands in what may stand beside its headline; see `fitting`.

    Parameters
    ----------
    run : Run
    folder : Path
        The run's own.
    roles : tuple of str
        What is looked for.
    """
    return fitting(run, dict(_near(run, folder, roles))) if _role(run) == "axis" else ALONE


def _near(run: Run, folder: Path, roles: tuple[str, ...]) -> Iterator[tuple[str, Run]]:
    for path in sorted(folder.resolve().parent.glob("*/run.json")):
        # A look into the file first: a run of full size takes a moment to read. What is damaged is not found.
        with suppress(OSError, ValueError, KeyError, TypeError, PlantainError):
            info = json.loads(path.read_bytes())["info"]
            role = known_role(info["prompts_sha256"], info.get("role"))
            twin = info["weights"] in CONTROLS and info["prompts_sha256"] == run.info.prompts_sha256
            if twin or (role in roles and info["fingerprint"] == run.info.fingerprint):
                yield path.parent.name, load_run(path.parent)


# --- what needs the run alone ------------------------------------------------------------------------------


def cached(run: Run) -> HeldOut:
    """Return what needs the run's magnitudes alone: from memory, from its folder, or computed and cached in both."""
    return once(_IN_MEMORY, run, lambda: _read_or_computed(run))


def _read_or_computed(run: Run) -> HeldOut:
    found = read_cached(run)
    if found is None:
        found = _alone(run)
        if run.folder:
            content = {"key": _key(run), "held_out": _stored(found)}
            path = run.folder / STATISTICS / _FILE
            with suppress(OSError):  # a folder that cannot be written costs time, not the answer
                path.parent.mkdir(exist_ok=True)
                write_atomic(path, json.dumps({**content, "sha256": _digest(content)}, allow_nan=False).encode())
    return found


def is_here(run: Run) -> bool:
    """Tell whether what needs the run alone is cached, in memory or in its folder: then `held_out` is quick."""
    if run not in _IN_MEMORY and (found := read_cached(run)) is not None:
        once(_IN_MEMORY, run, lambda: found)
    return run in _IN_MEMORY


def read_cached(run: Run) -> HeldOut | None:
    """Return what is cached in a run's folder; None where there is nothing that belongs to it."""
    if run.folder is None:
        return None
    path = run.folder / STATISTICS / _FILE
    with suppress(OSError, ValueError, KeyError, TypeError):
        if path.is_symlink() or path.parent.is_symlink() or not path.is_file() or path.stat().st_size > 1 << 16:
            return None
        content = strict_json(path.read_bytes())
        if content.pop("sha256") == _digest(content) and content["key"] == _key(run):
            return strict_record(HeldOut, content["held_out"], "held_out")
    return None


def _alone(run: Run) -> HeldOut:
    signs = held_out_flips(run)

    def tell(selection: Selection) -> Told:
        test = stats.held_out_test(run.analysis(selection).differences, signs, N_TOP)
        return told(test, LEFT_OUT, selection)

    a = run.analysis(IMAGE)
    size = a.magnitudes.mean(axis=(0, 1))
    percent = 100 * np.abs(a.differences.mean(axis=0))[size > 0] / size[size > 0]
    return HeldOut(
        **asdict(tell(IMAGE)),
        n_flips=N_FLIPS,
        n_top=N_TOP,
        percent=finite(np.median(percent)) if len(percent) else None,
        all_tokens=tell(HEADS),
        embedding=tell(EMBEDDING),
    )


def _stored(found: HeldOut) -> dict[str, object]:
    """Write what is cached: of magnitudes, and so without saying it, as before there were directions."""
    record = plain(found)
    del record["magnitudes"], record["positives"], record["untrained"]
    for part in (record, record["all_tokens"], record["embedding"]):
        del part["measure"], part["cosine"], part["cosine_interval"]
    return record


def _key(run: Run) -> dict[str, object]:
    return {"capture": run.capture_sha256, "seed": run.info.seed, "format": _FORMAT, "n_flips": N_FLIPS, "n_top": N_TOP}


def _digest(content: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()
