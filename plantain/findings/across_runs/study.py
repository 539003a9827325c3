"""The whole study of one model: its stages, what they cost, and which of their runs are there already."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from plantain._files import settle
from plantain.findings.across_runs.atlas import MIN_PAIRS, expected_seconds
from plantain.findings.held_out import twin_fault
from plantain.findings.interventions import REGISTERED, rows_a_pair
from plantain.findings.published import CARD_SIZE
from plantain.models.fingerprint import label_of
from plantain.models.info import ModelInfo
from plantain.models.picture_book.folder import Drawing
from plantain.models.sources import ModelError, transformer_config
from plantain.models.untrained import KLEIN_4B
from plantain.prompts.sets import PICTURE_BOOK, SIDES, PromptSet, first_set, is_shipped, shipped_sets
from plantain.runs.attached.pictures import EXPECTED, KINDS, Picture
from plantain.runs.directions import LEVELS, TRAJECTORY, directions_size, with_times
from plantain.runs.info import Conditions, RunInfo
from plantain.runs.io import RunError, check_target, load_run
from plantain.runs.run import Run
from plantain.runs.scopes import UNITS
from plantain.runs.seconds import PAIR, PICTURE, Estimate, Seconds, klein_table, pairs_of_rows, whole_pairs
from plantain.runs.units import Layout, Selection, unit_table

STAGES = ("card", "seeds", "times", "controls", "pictures", "cause", "reservoir")

CARD_STAGE, SEEDS_STAGE, TIMES_STAGE, CONTROLS_STAGE, PICTURES_STAGE, CAUSE_STAGE, RESERVOIR_STAGE = STAGES

IN_CARD = (PICTURES_STAGE, CAUSE_STAGE)
"""Stages that make no run: what they make lies in the card's run."""

ASKED_FOR = (*IN_CARD, RESERVOIR_STAGE)
"""Stages that are left out unless asked for, bring the card's along, and stand in its section."""

USUAL_STAGES = tuple(stage for stage in STAGES if stage not in ASKED_FOR)

SMALL = 256  # pixels of every stage but the card's

TRAINED = {PICTURE_BOOK: 64}  # pixels of every stage for a model that draws at one size alone

SEED, SEEDS, TIMES = 0, (0, 1, 2), (1.0, 0.9, 0.7, 0.5, 0.3, 0.1)

RESERVOIRS = (0, 1, 2)  # seeds of the random transformers

OWN = "own"  # the folder of the caller's prompts among the controls

_BYTES = 240  # a unit, of units.csv, run.json and statistics; the runs that are shipped have 235 and 250

_STATISTICS = 1.7e-3  # seconds a unit; a run of Klein's size took 32 s on 2 shared cores of an AMD EPYC


@dataclass(frozen=True)
class Part:
    """One run of a study.

    Attributes
    ----------
    name : str
        Of its folder within the study's, such as ``card`` or ``controls/tempo``.
    prompt_set : PromptSet
    conditions : Conditions
    times : tuple of float
        Times at which directions are kept, as `probe.ProbeConfig` takes them.
    transformer : int or None
        Seed of a random transformer behind the model's own text encoder; None for the model itself.
    """

    name: str
    prompt_set: PromptSet
    conditions: Conditions
    times: tuple[float, ...] = TIMES[:1]
    transformer: int | None = None

    @property
    def words(self) -> str:
        """The conditions, and the later times."""
        return with_times(self.conditions.words, self.times[1:])

    @property
    def n_later(self) -> int:
        """Passes of a pair at later times: those that draw the neutral picture, and two for each time."""
        return TRAJECTORY + len(SIDES) * len(self.times[1:]) if self.times[1:] else 0

    def n_sent(self, kept: int = 0) -> int:
        """Return how many pairs go through the model: those that are not kept, and one prompt beside itself."""
        return max(0, len(self.prompt_set.pairs) - kept) + 1

    def n_passes(self, kept: int = 0) -> int:
        """Return how many prompts go through the model, counted anew for every seed."""
        sent = self.n_sent(kept)
        return len(SIDES) * sent * self.conditions.n_repeats + (sent - 1) * self.n_later


@dataclass(frozen=True)
class Stage:
    """Runs that are made one after the other and published together; none where it is one of `IN_CARD`."""

    name: str
    parts: tuple[Part, ...]


def plan_study(
    stages: Iterable[str] = USUAL_STAGES, own: PromptSet | None = None, size: int | None = None, words: str = ""
) -> list[Stage]:
    """Say which runs a study makes.

    Parameters
    ----------
    stages : iterable of str
        Of `STAGES`. Those of `ASKED_FOR` bring the card's along, whose run they are about.
    own : PromptSet, optional
        Prompts to put in the place of the moral set; the controls get them beside it, if an atlas takes so few pairs.
    size : int, optional
        Of every image in pixels, in place of each stage's own.
    words : str
        In whose words the sets are to be, as `PromptSet.model`.

    Returns
    -------
    list of Stage
        In the order of `STAGES`.
    """
    size = size or TRAINED.get(words)
    main, one = own or first_set(words), (SEED,)
    sets = {path.stem: prompt_set for path, prompt_set in shipped_sets(words).values()}
    if own is not None and not is_shipped(own.sha256) and len(own.pairs) >= MIN_PAIRS:
        sets[OWN] = own
    card = Part(CARD_STAGE, main, Conditions(size or CARD_SIZE, one))
    parts = {
        CARD_STAGE: [card],
        SEEDS_STAGE: [Part(SEEDS_STAGE, main, Conditions(size or SMALL, SEEDS))],
        TIMES_STAGE: [Part(TIMES_STAGE, main, Conditions(size or SMALL, one), TIMES)],
        CONTROLS_STAGE: [
            Part(f"{CONTROLS_STAGE}/{name}", prompt_set, Conditions(size or SMALL, one))
            for name, prompt_set in sets.items()
        ],
        RESERVOIR_STAGE: [replace(card, name=f"{RESERVOIR_STAGE}-{seed}", transformer=seed) for seed in RESERVOIRS],
    }
    wanted = set(stages)
    if wanted & set(ASKED_FOR):
        wanted.add(CARD_STAGE)
    return [Stage(name, tuple(parts.get(name, ()))) for name in STAGES if name in wanted]


# --- what is there already ---------------------------------------------------------------------------------


def find_done(part: Part, folder: Path) -> Run | None:
    """Return the finished run of a part, or None where nothing stands in its place.

    Raises
    ------
    RunError
        Something else stands there, or a run of other prompts or settings.
    """
    if not settle(folder):
        return None
    check_target(folder, overwrite=True)
    run = load_run(folder)
    i = run.info
    ours = part.prompt_set
    pairs = (
        ("prompts", f"{i.prompt_set} ({i.prompts_sha256[:12]})", f"{ours.name} ({ours.sha256[:12]})"),
        ("passes", run.passes_words, part.words),
        ("seed", str(i.seed), str(SEED)),
        ("weights", i.weights, i.weights if part.transformer is None else "reservoir"),
    )  # fmt: skip
    _refuse_other(folder, [f"{name}: {one}, now {other}" for name, one, other in pairs if one != other])
    return run


def check_model(run: Run, model: ModelInfo) -> None:
    """Raise `RunError` where a finished run was made by another model or in another precision."""
    i = run.info
    names = (f"{info.model} ({info.fingerprint[:12]}) in {info.dtype}" for info in (i, model))
    differs = (i.fingerprint, i.dtype) != (model.fingerprint, model.dtype)
    _refuse_other(run.folder or Path(), ["model: {}, now {}".format(*names)] if differs else [])


def check_reservoirs(card: Run, reservoirs: Iterable[Run]) -> None:
    """Raise `RunError` where finished runs of random transformers cannot stand beside the card's.

    They have other prompts or settings, such as another precision, or one transformer made two of them.
    """
    seen: list[Run] = []
    for run in reservoirs:
        if fault := twin_fault(card, run):
            raise RunError(
                f"{run.folder}: does not stand beside the card's run: {fault}. Choose another --out, or move it away."
            )
        check_apart(run.info, seen)
        seen.append(run)


def check_apart(model: ModelInfo | RunInfo, runs: Iterable[Run]) -> None:
    """Raise `RunError` where one of the runs of random transformers was made by this very model."""
    for run in runs:
        if run.info.fingerprint == model.fingerprint:
            raise RunError(
                f"{run.folder}: was made by the same weights as another reservoir ({model.fingerprint[:12]}), and each "
                "needs its own. Move it away, and repeat the command."
            )


def _refuse_other(folder: Path, differing: list[str]) -> None:
    if differing:
        raise RunError(
            f"{folder}: holds a finished run with other settings ({'; '.join(differing)}). Choose another --out, or "
            "move it away."
        )


def made_by(info: RunInfo, model: str, dtype: str | None) -> bool:
    """Tell by its name whether a run was made by a model that is not loaded; only its fingerprint proves it."""
    return info.model == model_name(model) and dtype in (None, info.dtype)


# --- names -------------------------------------------------------------------------------------------------


def model_name(model: str) -> str:
    """Return what a run calls a model: a folder's last name, or an id as it is."""
    return label_of(model) or model if Path(model).is_dir() else model


def short_name(model: str) -> str:
    """Make a name for folders and cards of a model's: its id without the owner, in letters that fit everywhere."""
    words = re.findall(r"[A-Za-z0-9._]+", model.rpartition("/")[2])
    return "-".join(words).lstrip(".")[:40].strip("-") or "model"


# --- what it costs -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shape:
    """A model's layout, and whether it is only taken to be Klein 4B's: the Hub was not asked."""

    layout: Layout
    assumed: bool = False

    @property
    def is_klein(self) -> bool:
        """Say whether it is the shape of which the shipped seconds are."""
        return self.layout == _KLEIN


_KLEIN = Layout.from_config(KLEIN_4B.transformer)


def shape_of(model: str) -> Shape:
    """Return a model's shape, without weights and without network.

    Raises
    ------
    ModelError
        It is no id and no folder of a Klein pipeline.
    """
    config = transformer_config(model)
    if config is None:
        return Shape(_KLEIN, assumed=True)
    try:
        return Shape(Layout.from_config(config))
    except (KeyError, TypeError) as error:
        raise ModelError(f"{model}: transformer/config.json does not say how the transformer is shaped.") from error


@dataclass(frozen=True)
class Price:
    """What some parts cost.

    Attributes
    ----------
    n_pairs, n_passes : int
        Pairs of the sets that are still to be measured, and prompts that go through the model: in every run also one
        prompt beside itself.
    seconds : float or None
        Of the passes, encoding included; None where nothing is known of the device.
    statistics : float
        Seconds of one processor for the runs' statistics and, where there is one, the atlas.
    n_bytes : int
        Of the finished files.
    """

    n_pairs: int
    n_passes: int
    seconds: float | None
    statistics: float
    n_bytes: int


def price(
    parts: Iterable[Part],
    layout: Layout,
    known: Seconds,
    device: str,
    kept: Mapping[str, int] | None = None,
    directions: str = LEVELS[0],
) -> Price:
    """Estimate what parts cost on a device.

    Parameters
    ----------
    parts : iterable of Part
    layout : Layout
    known : Seconds
    device : str
        As a run names it.
    kept : mapping of str to int, optional
        Pairs that an earlier start has left, by the parts' names.
    directions : {"heads", "all", "off"}
        Of which mean vectors the runs keep.
    """
    parts, kept = list(parts), kept or {}
    pairs = [known.estimate(PAIR, part.conditions.size, device) for part in parts]
    repeats = [part.conditions.n_repeats + part.n_later / len(SIDES) for part in parts]
    sent = [
        part.n_sent(kept.get(part.name, 0)) * whole_pairs(part.conditions.size, n)
        for part, n in zip(parts, repeats, strict=True)
    ]
    taken = [found and found.seconds * pairs for found, pairs in zip(pairs, sent, strict=True)]
    n_units = sum(len(unit_table(layout, Selection(units)).names) for units in UNITS)
    files = (layout.capture_size(len(p.prompt_set.pairs), p.conditions.n_repeats) for p in parts)
    vectors = (directions_size(layout, len(p.prompt_set.pairs), directions) for p in parts)
    return Price(
        n_pairs=sum(part.n_sent(kept.get(part.name, 0)) - 1 for part in parts),
        n_passes=sum(part.n_passes(kept.get(part.name, 0)) for part in parts),
        seconds=None if None in taken else sum(filter(None, taken)),
        statistics=len(parts) * _STATISTICS * n_units,
        n_bytes=sum(files) + sum(vectors) + len(parts) * _BYTES * n_units,
    )


def atlas_price(stage: Stage, layout: Layout) -> float:
    """Estimate the seconds of one processor for the atlas of a stage's runs; 0 where it has none."""
    if stage.name != CONTROLS_STAGE:
        return 0.0
    rivals = sum(part.prompt_set.role in ("sibling", "control") for part in stage.parts)
    return expected_seconds(len(stage.parts), rivals, len(unit_table(layout, Selection()).names))


@dataclass(frozen=True)
class InCard:
    """What is left to do of a stage in the card's run.

    Attributes
    ----------
    n_pairs, n_pictures : int
    n_passes : int
        Prompts that go through the transformer; of `CAUSE_STAGE` at most.
    seconds : float or None
        Of the passes and of decoding; None where nothing is known of the device.
    kept : int
        Pairs that an earlier start has left.
    """

    n_pairs: int
    n_passes: int
    n_pictures: int
    seconds: float | None
    kept: int = 0


def pictures_left(part: Part, drawing: Drawing, there: Iterable[Picture], known: Seconds, device: str) -> InCard:
    """Estimate what it takes to draw both sides of a part's pairs, and what the model expects of them.

    Parameters
    ----------
    part : Part
    drawing : Drawing
    there : iterable of Picture
        Those that the run has.
    known : Seconds
    device : str
        As a run names it.
    """
    drawn = {(one.kind, one.pair, one.side) for one in there if not one.edit and one.seed == SEED}
    missing = [
        (kind, pair.id)
        for pair in part.prompt_set.pairs
        for kind in KINDS
        if not {(kind, pair.id, side) for side in SIDES} <= drawn
    ]
    passes = len(SIDES) * sum(passes_of(drawing, kind) for kind, _ in missing)
    n_pictures = len(SIDES) * len(missing)
    found = drawing_seconds(known, drawing, device, passes, n_pictures)
    return InCard(len({pair for _, pair in missing}), passes, n_pictures, found and found.seconds)


def passes_of(drawing: Drawing, kind: str) -> int:
    """Return how often a prompt goes through the transformer for a picture of a kind, guidance included."""
    return 1 if kind == EXPECTED else drawing.steps * (2 if drawing.guidance > 1 else 1)


def drawing_seconds(known: Seconds, drawing: Drawing, device: str, n_passes: int, n_pictures: int) -> Estimate | None:
    """Estimate the seconds of some passes and of decoding some pictures; None where no speed is known."""
    pair, picture = (known.estimate(kind, drawing.size, device) for kind in (PAIR, PICTURE))
    if pair is None:
        return None
    decoded = n_pictures * picture.seconds if picture else 0.0
    return replace(pair, seconds=n_passes / len(SIDES) * pair.seconds + decoded)


def cause_left(part: Part, layout: Layout, kept: int, known: Seconds, device: str) -> InCard:
    """Estimate what the causal test of PREREGISTRATION.md takes on a part's pairs.

    Parameters
    ----------
    part : Part
    layout : Layout
    kept : int
        Pairs that an earlier start has left; all of them where the result stands.
    known : Seconds
    device : str
        As a run names it.
    """
    size, left = part.conditions.size, max(0, len(part.prompt_set.pairs) - kept)
    rows = left * rows_a_pair(layout, REGISTERED)
    pair = known.estimate(PAIR, size, device)
    return InCard(left, rows, 0, pair and pair.seconds * pairs_of_rows(size, rows), kept if left else 0)


def known_seconds(shape: Shape, done: Iterable[Run]) -> Seconds:
    """Return what pairs of a model cost: the shipped table where it is of its shape, and what its runs took."""
    known = Seconds(klein_table() if shape.is_klein else ())
    for run in done:
        if run.seconds_per_pair > 0:
            known.learn(PAIR, run.info.size, run.seconds_per_pair, run.info.device)
    return known
