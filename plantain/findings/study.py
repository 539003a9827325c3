"""The whole study of one model: its stages, what they cost, and which of their runs are there already."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from plantain._files import settle
from plantain.findings.atlas import MIN_PAIRS, expected_seconds
from plantain.findings.published import CARD_SIZE
from plantain.models.fingerprint import label_of
from plantain.models.info import ModelInfo
from plantain.models.sources import ModelError, transformer_config
from plantain.models.untrained import KLEIN_4B
from plantain.prompts.sets import SIDES, PromptSet, load_prompt_set, shipped_sets
from plantain.runs.info import Conditions, RunInfo
from plantain.runs.io import RunError, check_target, load_run
from plantain.runs.run import Run
from plantain.runs.scopes import UNITS
from plantain.runs.seconds import PAIR, Seconds, klein_table, whole_pairs
from plantain.runs.units import Layout, Selection, unit_table

CARD_STAGE, SEEDS_STAGE, CONTROLS_STAGE = STAGES = ("card", "seeds", "controls")

SMALL = 256  # pixels of every stage but the card's

SEED, SEEDS = 0, (0, 1, 2)

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
    """

    name: str
    prompt_set: PromptSet
    conditions: Conditions

    def n_sent(self, kept: int = 0) -> int:
        """Return how many pairs go through the model: those that are not kept, and one prompt beside itself."""
        return max(0, len(self.prompt_set.pairs) - kept) + 1

    def n_passes(self, kept: int = 0) -> int:
        """Return how many prompts go through the model, counted anew for every seed."""
        return len(SIDES) * self.n_sent(kept) * self.conditions.n_repeats


@dataclass(frozen=True)
class Stage:
    """Runs that are made one after the other and published together."""

    name: str
    parts: tuple[Part, ...]


def plan_study(stages: Iterable[str] = STAGES, own: PromptSet | None = None, size: int | None = None) -> list[Stage]:
    """Say which runs a study makes.

    Parameters
    ----------
    stages : iterable of str
        Of `STAGES`.
    own : PromptSet, optional
        Prompts to put in the place of the moral set; the controls get them beside it, if an atlas takes so few pairs.
    size : int, optional
        Of every image in pixels, in place of each stage's own.

    Returns
    -------
    list of Stage
        In the order of `STAGES`.
    """
    main, one = own or load_prompt_set("moral_valence"), (SEED,)
    sets = {path.stem: prompt_set for path, prompt_set in shipped_sets().values()}
    if own is not None and own.sha256 not in shipped_sets() and len(own.pairs) >= MIN_PAIRS:
        sets[OWN] = own
    parts = {
        CARD_STAGE: [Part(CARD_STAGE, main, Conditions(size or CARD_SIZE, one))],
        SEEDS_STAGE: [Part(SEEDS_STAGE, main, Conditions(size or SMALL, SEEDS))],
        CONTROLS_STAGE: [
            Part(f"{CONTROLS_STAGE}/{name}", prompt_set, Conditions(size or SMALL, one))
            for name, prompt_set in sets.items()
        ],
    }
    wanted = set(stages)
    return [Stage(name, tuple(parts[name])) for name in STAGES if name in wanted]


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
    i, c = run.info, part.conditions
    ours = part.prompt_set
    pairs = (
        ("prompts", f"{i.prompt_set} ({i.prompts_sha256[:12]})", f"{ours.name} ({ours.sha256[:12]})"),
        ("passes", i.settings_words, c.words),
        ("seed", str(i.seed), str(SEED)),
    )  # fmt: skip
    _refuse_other(folder, [f"{name}: {one}, now {other}" for name, one, other in pairs if one != other])
    return run


def check_model(run: Run, model: ModelInfo) -> None:
    """Raise `RunError` where a finished run was made by another model or in another precision."""
    i = run.info
    names = (f"{info.model} ({info.fingerprint[:12]}) in {info.dtype}" for info in (i, model))
    differs = (i.fingerprint, i.dtype) != (model.fingerprint, model.dtype)
    _refuse_other(run.folder or Path(), ["model: {}, now {}".format(*names)] if differs else [])


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
    parts: Iterable[Part], layout: Layout, known: Seconds, device: str, kept: Mapping[str, int] | None = None
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
    """
    parts, kept = list(parts), kept or {}
    pairs = [known.estimate(PAIR, part.conditions.size, device) for part in parts]
    sent = [p.n_sent(kept.get(p.name, 0)) * whole_pairs(p.conditions.size, p.conditions.n_repeats) for p in parts]
    taken = [found and found.seconds * pairs for found, pairs in zip(pairs, sent, strict=True)]
    n_units = sum(len(unit_table(layout, Selection(units)).names) for units in UNITS)
    captures = (layout.capture_size(len(p.prompt_set.pairs), p.conditions.n_repeats) for p in parts)
    return Price(
        n_pairs=sum(part.n_sent(kept.get(part.name, 0)) - 1 for part in parts),
        n_passes=sum(part.n_passes(kept.get(part.name, 0)) for part in parts),
        seconds=None if None in taken else sum(filter(None, taken)),
        statistics=len(parts) * _STATISTICS * n_units,
        n_bytes=sum(captures) + len(parts) * _BYTES * n_units,
    )


def atlas_price(stage: Stage, layout: Layout) -> float:
    """Estimate the seconds of one processor for the atlas of a stage's runs; 0 where it has none."""
    if stage.name != CONTROLS_STAGE:
        return 0.0
    rivals = sum(part.prompt_set.role in ("sibling", "control") for part in stage.parts)
    return expected_seconds(len(stage.parts), rivals, len(unit_table(layout, Selection()).names))


def known_seconds(shape: Shape, done: Iterable[Run]) -> Seconds:
    """Return what pairs of a model cost: the shipped table where it is of its shape, and what its runs took."""
    known = Seconds(klein_table() if shape.is_klein else ())
    for run in done:
        if run.seconds_per_pair > 0:
            known.learn(PAIR, run.info.size, run.seconds_per_pair, run.info.device)
    return known
