"""The command ``reproduce``: the whole study of one model, stage by stage, each published as soon as it is done."""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plantain import PlantainError, UsageError
from plantain._files import printable, printable_lines, write_atomic
from plantain.cli.draw import draw
from plantain.cli.hub import TOKEN, add_publish_options, check_private, open_remote, print_outcome, repo_id
from plantain.cli.intervene import find_result, intervene
from plantain.cli.options import ALL, MODELS, add_model_options, add_pass_options, not_empty
from plantain.cli.run import load_model, probe_set, warn_of_words
from plantain.findings.across_runs.atlas import Atlas, Axis, make_atlas, read_atlas, read_axes, write_atlas
from plantain.findings.across_runs.reproduction import reproduce
from plantain.findings.across_runs.study import (
    ASKED_FOR,
    CARD_STAGE,
    CAUSE_STAGE,
    CONTROLS_STAGE,
    IN_CARD,
    PICTURES_STAGE,
    RESERVOIR_STAGE,
    SEED,
    SEEDS_STAGE,
    STAGES,
    TIMES_STAGE,
    USUAL_STAGES,
    InCard,
    Part,
    Shape,
    Stage,
    cause_left,
    check_apart,
    check_model,
    check_reservoirs,
    find_done,
    known_seconds,
    made_by,
    model_name,
    pictures_left,
    plan_study,
    shape_of,
    short_name,
)
from plantain.findings.directions import keeps_directions
from plantain.findings.held_out import fitting
from plantain.findings.interventions import REGISTERED, check_askable, plan
from plantain.findings.published import SIDES, Published, load_published, same_question
from plantain.findings.roles import known_role
from plantain.models.drawing import USUAL
from plantain.models.info import CONTROLS
from plantain.models.load import KLEIN
from plantain.models.picture_book.folder import PICTURE_BOOK, Drawing
from plantain.models.reservoir import check_folder, is_reservoir, write_reservoir
from plantain.models.sources import ModelError, drawing_of, saved_mark
from plantain.models.stand_in import STAND_IN
from plantain.probe.checkpoint import count_kept, tidy
from plantain.probe.distributed import Distributed, find_distributed
from plantain.probe.progress import bar
from plantain.prompts.sets import PromptSet, known_sets, load_prompt_set
from plantain.report.across_runs.reproduction import reproduction_text
from plantain.report.across_runs.study import (
    card_lines,
    controls_lines,
    pictures_lines,
    price_text,
    reservoir_lines,
    seeds_lines,
    times_lines,
)
from plantain.report.interventions import intervention_text
from plantain.report.model_card import check_weights
from plantain.runs.attached import attached_to
from plantain.runs.attached.interventions import count_kept as count_changed
from plantain.runs.attached.interventions import read_interventions
from plantain.runs.attached.pictures import KINDS, pictures_there, read_pictures
from plantain.runs.directions import LEVELS
from plantain.runs.info import size_fault
from plantain.runs.io import IMAGES, RunError, load_run
from plantain.runs.run import Run
from plantain.runs.seconds import H200
from plantain.runs.units import CARD
from plantain.runs.words import check_words, words_of

if TYPE_CHECKING:
    from plantain.hub.publish import Offer
    from plantain.models.load import LoadedModel, PhasedPipeline
    from plantain.probe.pictures.drawing import Request
    from plantain.probe.runner import Plan as ProbePlan


def add_commands(commands: Any) -> None:
    """Add ``reproduce`` to argparse's subparsers."""
    what = (
        "make the whole study of a model: the card's own probe, three seeds, later times, controls, pictures, cause, "
        "random transformers behind its text encoder"
    )
    parser = commands.add_parser("reproduce", help=what, epilog=TOKEN)
    add, text = parser.add_argument, {"type": not_empty}
    add("--model", default=KLEIN, **text, metavar="M", help=f"{MODELS} (default: %(default)s)")
    add("--prompts", **text, metavar="FILE", help="prompts in the place of prompts/moral_valence.toml")
    same = "the prompts of FILE are the card's own (only who holds them can say so)"
    add("--same-prompts", action="store_true", help=same)
    usual = f"(default: {','.join(USUAL_STAGES)}; the others take long, and bring the card's along)"
    add(
        "--stages", type=_stages, default=USUAL_STAGES, metavar="S,S,…", help=f"{ALL}, or of {','.join(STAGES)} {usual}"
    )
    add("--out", **text, metavar="DIR", help="folder of the study (default: runs/ and the model's name)")
    add(
        "--size",
        type=int,
        metavar="PX",
        help="size of every image (default: 1024 for the card's probe, 512 for pictures, 256 elsewhere)",
    )
    add_model_options(parser)
    add_pass_options(parser)
    add(
        "--repo-id",
        type=repo_id,
        metavar="OWNER/NAME",
        help="publish each stage to this model repository when it is done",
    )
    add_publish_options(parser)
    add("--dry-run", action="store_true", help="say what would be done and what it costs; needs no weights")
    add(
        "--gpu",
        **text,
        metavar="NAME",
        help=f"with --dry-run: the device of the price (default: that of finished stages, else {H200})",
    )
    parser.set_defaults(command=_reproduce)


def _stages(words: str) -> tuple[str, ...]:
    names = STAGES if words.strip() == ALL else [word.strip() for word in words.split(",")]
    for name in names:
        if name not in STAGES:
            raise argparse.ArgumentTypeError(f"{name!r} is no stage; choose of {','.join(STAGES)}, or {ALL}")
    return tuple(names)


@dataclass(frozen=True)
class _Study:
    """What was asked for, and the runs of it that are finished.

    Attributes
    ----------
    name : str
        Of the model, in the names of folders and sections.
    own : PromptSet or None
        Prompts that were given.
    drawing : Drawing
        How the pairs are drawn.
    done : dict of str to Run
        By the names of their parts.
    """

    options: argparse.Namespace
    name: str
    folder: Path
    shape: Shape
    own: PromptSet | None
    stages: list[Stage]
    published: Published
    drawing: Drawing
    done: dict[str, Run] = field(default_factory=dict)

    @property
    def card(self) -> Run | None:
        """The card's run, where it is done."""
        return self.done.get(CARD_STAGE)

    @cached_property
    def anew(self) -> Run:
        """The card's run as it is published."""
        return _anew(self.done[CARD_STAGE])

    def asks(self, stage: str) -> bool:
        return stage in {each.name for each in self.stages}

    @property
    def of_model(self) -> list[Run]:
        """The finished runs of the model itself, without those of random transformers."""
        behind = {part.name for stage in self.stages for part in stage.parts if part.transformer is not None}
        return [run for name, run in self.done.items() if name not in behind]

    @property
    def reservoirs(self) -> list[Run]:
        """The finished runs of random transformers."""
        parts = (part for stage in self.stages for part in stage.parts if part.transformer is not None)
        return [self.done[part.name] for part in parts if part.name in self.done]

    def transformer_folder(self, name: str) -> Path:
        """Return where the random transformer of a part lies until its run is there."""
        return self.folder / "models" / name

    def left(self) -> list[Part]:
        return [part for stage in self.stages for part in stage.parts if part.name not in self.done]

    def in_card(self, device: str = H200) -> dict[str, InCard]:
        """Return what is left to do in the card's run; nothing where the card is no stage."""
        part = next((part for stage in self.stages for part in stage.parts if stage.name == CARD_STAGE), None)
        if part is None:
            return {}
        run, folder = self.card, self.folder / CARD_STAGE
        known = known_seconds(self.shape, self.done.values())
        there = pictures_there(folder, read_pictures(folder, run.info)) if run else ()
        tried = [found.info.asked.name for found in read_interventions(folder, run)] if run else []
        is_tried = REGISTERED.method in tried
        kept = len(part.prompt_set.pairs) if is_tried else count_changed(folder, REGISTERED.method)
        return {
            PICTURES_STAGE: pictures_left(part, self.drawing, there, known, device),
            CAUSE_STAGE: cause_left(part, self.shape.layout, kept, known, device),
        }

    def needs_model(self) -> bool:
        """Tell whether anything is left that the model itself makes."""
        in_card = [left for name, left in self.in_card().items() if self.asks(name)]
        return any(part.transformer is None for part in self.left()) or any(left.n_pairs for left in in_card)

    def request(self) -> Request:
        """Return which pictures are wanted of the card's run."""
        from plantain.probe.pictures.drawing import Request

        return Request(self.drawing, (SEED,), kinds=KINDS)

    def _reservoirs_left(self) -> Stage | None:
        """Return what is left of the random transformers' stage where it could be asked for and is not."""
        if self.asks(RESERVOIR_STAGE) or not self.asks(CARD_STAGE) or _reservoir_fault(self):
            return None
        options = self.options
        (_, stage) = plan_study((RESERVOIR_STAGE,), self.own, options.size, words_of(options.model))
        left = tuple(part for part in stage.parts if not (self.folder / part.name).exists())
        return replace(stage, parts=left) if left else None

    def price(self, device: str, n_processes: int = 1) -> str:
        kept = {part.name: count_kept(self.folder / part.name) for part in self.left()}
        given = device, n_processes, kept, self.options.directions, self.in_card(device), self._reservoirs_left()
        words = price_text(self.stages, self.done, self.shape, *given)
        return printable_lines(f"The whole study of {model_name(self.options.model)}, in {self.folder}:\n\n{words}")


def _reproduce(options: argparse.Namespace) -> None:
    study = _plan(options)
    if options.dry_run:
        here = next((run.info.device for run in study.done.values()), H200)
        print(study.price(options.gpu or here))
        print(f"{_where_to(options)}\nNothing was done.")
        return
    distributed = find_distributed(options.device)
    desk = _Desk(study) if options.repo_id and distributed.is_main else None
    if distributed.is_main and options.prompts:
        warn_of_words(options.prompts, study.own)
    maker = _load(study, distributed)
    for stage in study.stages:
        if stage.name == RESERVOIR_STAGE:
            maker = _Maker(study, distributed)  # the model goes: a reservoir is as large
            check_reservoirs(study.done[CARD_STAGE], study.reservoirs)
        for part in stage.parts:
            study.done[part.name] = study.done.get(part.name) or maker.make(part)
        runs = {part.name: study.done[part.name] for part in stage.parts}
        if distributed.is_main:  # what is made in the card's run is one process's work
            if stage.name in IN_CARD:
                maker.fill(stage.name)
            _conclude(study, stage, runs, desk)
    if desk:
        desk.close()


def _plan(options: argparse.Namespace) -> _Study:
    """Refuse everything that can be refused without a model, and find what is there."""
    if options.gpu and not options.dry_run:
        raise UsageError("--gpu goes with --dry-run: a study that is made takes the device that it finds.")
    if options.size is not None and (fault := size_fault(options.size)):
        raise UsageError(fault)
    check_private(options)
    own = load_prompt_set(options.prompts) if options.prompts else None
    if own:
        check_words(own, options.model, options.prompts)
    _check_same(options, own)
    if options.repo_id and options.model == STAND_IN:
        check_weights("stand-in", options.model)
    if options.repo_id and options.model == PICTURE_BOOK:
        check_weights("practice", options.model)
    name = short_name(model_name(options.model))
    folder = Path(options.out or Path("runs", name))
    stages = plan_study(options.stages, own, options.size, words_of(options.model))
    drawing = drawing_of(options.model) or USUAL
    drawing = replace(drawing, size=options.size or drawing.size)
    study = _Study(options, name, folder, shape_of(options.model), own, stages, load_published(), drawing)
    found = {part.name: find_done(part, folder / part.name) for stage in stages for part in stage.parts}
    study.done.update({name: run for name, run in found.items() if run})
    _check_in_card(study)
    _check_reservoir(study)
    return study


def _check_in_card(study: _Study) -> None:
    """Refuse what cannot be made in the card's run, or in the run that is still to be made."""
    run = study.card
    if study.asks(CAUSE_STAGE) and run:
        find_result(plan(run, REGISTERED))
    elif study.asks(CAUSE_STAGE):
        if study.options.directions == "off":
            raise UsageError(f"the stage {CAUSE_STAGE} needs the heads' directions: omit --directions off.")
        check_askable(study.stages[0].parts[0].prompt_set.pairs, study.shape.layout, REGISTERED)
    if study.asks(PICTURES_STAGE) and run:
        from plantain.probe.pictures.drawing import missing

        missing(run, study.folder / CARD_STAGE, study.request())


def _check_reservoir(study: _Study) -> None:
    """Refuse random transformers behind a text encoder that is none of a model's own, and without directions."""
    if not study.asks(RESERVOIR_STAGE):
        return
    if fault := _reservoir_fault(study):
        raise UsageError(f"the stage {RESERVOIR_STAGE} {fault}")
    if study.card:
        check_reservoirs(study.card, study.reservoirs)


def _reservoir_fault(study: _Study) -> str:
    """Say why nothing can be made of random transformers beside the card's run; empty where it can."""
    model, run, prompts = study.options.model, study.card, study.stages[0].parts[0].prompt_set
    if model == STAND_IN or saved_mark(Path(model)) in CONTROLS:
        return f"needs a model with a text encoder of its own; {model} has none."
    if study.options.directions == "off" or (run and not keeps_directions(run)):
        return "compares directions, which the card's run has to keep."
    if known_role(prompts.sha256, prompts.role) != "axis":
        where = study.options.prompts
        return f'stands beside prompts of the role axis: write role = "axis" into {where}, or choose others.'
    return ""


def _check_same(options: argparse.Namespace, own: PromptSet | None) -> None:
    if not options.same_prompts:
        return
    if own is None or own.sha256 in known_sets():
        raise UsageError("--same-prompts goes with --prompts FILE: the prompts in this folder are not the card's.")
    if (own.positive, own.negative) != SIDES:
        raise UsageError(
            f"{options.prompts}: its sides are {own.positive} and {own.negative}, those of the card "
            f"{' and '.join(SIDES)}. Name them so, or omit --same-prompts."
        )


def _where_to(options: argparse.Namespace) -> str:
    if not options.repo_id:
        return "Nothing is published: give --repo-id OWNER/NAME."
    how = "directly" if options.no_pr else "in one pull request"
    return f"Each stage goes to {options.repo_id} as soon as it is done, {how}."


# --- making runs -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Maker:
    """What makes the runs of a study, and what lies in the card's.

    Attributes
    ----------
    study : _Study
    distributed : Distributed
    model : PhasedPipeline or None
        None where nothing is left to make.
    whole : LoadedModel or None
        The same with both halves in memory, where memory allows that.
    """

    study: _Study
    distributed: Distributed
    model: PhasedPipeline | None = None
    whole: LoadedModel | None = None

    def make(self, part: Part) -> Run:
        """Make the run of a part."""
        if part.transformer is not None:
            return self._make_reservoir(part, part.transformer)
        model = self.whole or self.model
        assert model is not None, f"{part.name} is done"
        return self._probe(part, model, self.study.of_model)

    def _make_reservoir(self, part: Part, seed: int) -> Run:
        """Make the run of a random transformer behind the model's text encoder; the transformer is not kept."""
        options, folder = self.study.options, self.study.transformer_folder(part.name)
        with self.distributed.leader_first():
            if not is_reservoir(folder, options.model, seed):
                with bar("writing", "B", shown=self.distributed.is_main) as show:
                    write_reservoir(folder, options.model, seed, overwrite=True, progress=show)
        given = {"model": str(folder), "dtype": self.study.done[CARD_STAGE].info.dtype}
        model, whole = load_model(argparse.Namespace(**{**vars(options), **given}), self.distributed)
        run = self._probe(part, whole or model, [], self.study.reservoirs)
        if self.distributed.is_main:
            _remove_transformer(folder)
        return run

    def _probe(
        self, part: Part, model: LoadedModel | PhasedPipeline, alike: list[Run], apart: Iterable[Run] = ()
    ) -> Run:
        """Send a part's pairs through a model, which has to be that of the runs `alike`, and of none of `apart`."""
        from plantain.probe.runner import ProbeConfig

        options = self.study.options

        def check(plan: ProbePlan) -> None:
            for run in alike:
                check_model(run, plan.model)
            check_apart(plan.model, apart)
            if options.repo_id:
                check_weights(plan.model.weights, plan.model.model)

        level = LEVELS[0] if part.times[1:] and options.directions == "off" else options.directions
        given = {"seeds": part.conditions.seeds, "directions": level, "times": part.times}
        config = ProbeConfig(part.conditions.size, SEED, **given)
        out = self.study.folder / part.name
        return probe_set(part.prompt_set, out, config, model, self.distributed, options.batch, check=check)

    def fill(self, stage: str) -> None:
        """Make what a stage of `IN_CARD` makes, where it is not there."""
        folder = self.study.folder / CARD_STAGE
        run = load_run(folder)
        if stage == CAUSE_STAGE:
            planned = plan(run, REGISTERED)
            if find_result(planned) is None:
                intervene(planned, self._needed(), self.whole, self.study.options.batch)
            return
        from plantain.probe.pictures.drawing import missing

        if missing(run, folder, self.study.request()):
            draw(run, folder, self.study.request(), self._needed(), self.whole)

    def _needed(self) -> PhasedPipeline:
        assert self.model is not None, "nothing was left"
        return self.model


def _remove_transformer(folder: Path) -> None:
    """Remove a random transformer whose run is there: 8 GB for Klein beside linked files, which follow from the seed.

    What is no reservoir stays.
    """
    with suppress(ModelError):
        check_folder(folder, overwrite=True)
        shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # the others are still in it
        folder.parent.rmdir()


def _load(study: _Study, distributed: Distributed) -> _Maker:
    """Load the model if it is needed; says the price first."""
    options, done = study.options, study.of_model
    if distributed.is_main:
        for name, run in study.done.items():
            tidy(study.folder / name, run.info)
            if run in study.reservoirs:
                _remove_transformer(study.transformer_folder(name))  # left by a kill
    spared = not study.needs_model() and all(made_by(run.info, options.model, options.dtype) for run in done)
    if spared and not study.left():
        if distributed.is_main:
            print(f"All of it is done, in {study.folder}; the model is not loaded.\n", flush=True)
        return _Maker(study, distributed)
    if distributed.is_main:
        from plantain.models.load import device_name

        print(study.price(device_name(options.device), distributed.size))
        print(f"{_where_to(options)}\n", flush=True)
    if spared:
        return _Maker(study, distributed)
    model, whole = load_model(options, distributed)
    if all(part.transformer is not None for part in study.left()):
        # Otherwise the first run that is made tells whether these are the model's.
        info = (whole or model.load_in_turn()).info
        for run in done:
            check_model(run, info)
    return _Maker(study, distributed, model, whole)


_TABLE = "card.md"


# --- what a stage found ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Found:
    """What a stage found, in lines; the command that shows it; and what makes its offer, from its name and title."""

    lines: list[str]
    look: str
    offer: Callable[[str, str], Offer]


def _conclude(study: _Study, stage: Stage, runs: dict[str, Run], desk: _Desk | None) -> None:
    """Say what a stage found and where to look, and publish it."""
    found = _FOUND[stage.name](study, runs)
    sets = dict.fromkeys(run.info.prompt_set for run in runs.values() or [study.done[CARD_STAGE]])
    title = f"{stage.name}: {', '.join(sets)}"
    look = f"Look at it: python -m plantain {found.look}"
    print(printable_lines("\n".join([title, *found.lines, look])), flush=True)
    if desk:
        desk.publish(stage, found.offer)
    print(flush=True)


def _found_on_card(study: _Study, runs: dict[str, Run]) -> _Found:
    from plantain.hub.publish import find_control

    run, published = runs[CARD_STAGE], study.published
    lines = card_lines(run, find_control(run), published, study.options.same_prompts)
    text = _write_table(study)
    if text:
        lines += ["", text, "", f"This table is in {study.folder / _TABLE}."]
    else:
        lines.append("These prompts ask something else than the card: its figures do not stand beside.")
    return _found_in_card(study, lines)


def _found_in_pictures(study: _Study, _runs: dict[str, Run]) -> _Found:
    folder = study.folder / CARD_STAGE
    run = load_run(folder)
    lines = pictures_lines(run, read_pictures(folder, run.info))
    return _found_in_card(study, [*lines, f"They are in {folder / IMAGES}."])


def _found_by_cause(study: _Study, _runs: dict[str, Run]) -> _Found:
    run = load_run(study.folder / CARD_STAGE)
    _write_table(study)
    found = find_result(plan(run, REGISTERED))
    assert found is not None, "it was made just now"
    return _found_in_card(study, [intervention_text(found, run)])


def _write_table(study: _Study) -> str:
    """Write the card's figures beside the run's into the study's folder, and what the card does not have."""
    run = study.done[CARD_STAGE]
    if not same_question(run):
        return ""
    found = reproduce(run, study.published, study.options.same_prompts)
    interventions = read_interventions(study.folder / CARD_STAGE, run)
    text = reproduction_text(found, run, study.published, interventions)
    _keep(study.folder / _TABLE, text)
    return text


def _found_in_card(study: _Study, lines: list[str]) -> _Found:
    """Say what a stage found that is a part of the card's section."""
    from plantain.hub.publish import find_control, make_offer

    folder, options = study.folder / CARD_STAGE, study.options

    def offer(name: str, request: str) -> Offer:
        mine = study.anew
        found = reproduce(mine, study.published, options.same_prompts) if same_question(mine) else None
        beside = fitting(mine, {Path(part).name: other for part, other in study.done.items()})
        attached = attached_to(mine, folder)
        return make_offer(name, mine, find_control(mine), options.repo_id, found, request, beside, attached)

    return _Found(lines, f"report {shlex.quote(str(folder))}", offer)


def _found_by_seeds(study: _Study, runs: dict[str, Run]) -> _Found:
    return _found_alone(study, SEEDS_STAGE, runs[SEEDS_STAGE], seeds_lines(runs[SEEDS_STAGE], study.published))


def _found_at_times(study: _Study, runs: dict[str, Run]) -> _Found:
    return _found_alone(study, TIMES_STAGE, runs[TIMES_STAGE], times_lines(runs[TIMES_STAGE]))


def _found_alone(study: _Study, stage: str, run: Run, lines: list[str]) -> _Found:
    """Say what a stage of one run found, which is published with nothing beside it."""
    from plantain.hub.publish import make_offer

    def offer(name: str, request: str) -> Offer:
        return make_offer(name, _anew(run), None, study.options.repo_id, request=request)

    return _Found(lines, f"report {shlex.quote(str(study.folder / stage))}", offer)


def _found_by_reservoirs(study: _Study, runs: dict[str, Run]) -> _Found:
    return _found_in_card(study, reservoir_lines(study.done[CARD_STAGE], runs))


def _found_by_controls(study: _Study, runs: dict[str, Run]) -> _Found:
    from plantain.hub.publish import make_atlas_offer

    folder = study.folder / CONTROLS_STAGE
    runs = {Path(name).name: run for name, run in runs.items()}
    axes = read_axes(runs)
    kept = read_atlas(axes, CARD, folder)
    atlas = kept or _compare(axes)
    if not kept:
        write_atlas(atlas, axes, folder)

    def offer(name: str, request: str) -> Offer:
        mine = {axis: _anew(run) for axis, run in runs.items()}
        fresh = _compare(read_axes(mine)) if kept else atlas  # what lies in a folder may be anybody's
        return make_atlas_offer(name, mine, fresh, study.options.repo_id, request)

    return _Found(controls_lines(atlas, runs.values()), f"atlas {shlex.quote(str(folder))}/*", offer)


def _compare(axes: list[Axis]) -> Atlas:
    with bar("comparing", "step") as show:
        return make_atlas(axes, CARD, show)


_FOUND = {
    CARD_STAGE: _found_on_card, SEEDS_STAGE: _found_by_seeds, TIMES_STAGE: _found_at_times,
    CONTROLS_STAGE: _found_by_controls, PICTURES_STAGE: _found_in_pictures, CAUSE_STAGE: _found_by_cause,
    RESERVOIR_STAGE: _found_by_reservoirs,
}  # fmt: skip


def _anew(run: Run) -> Run:
    """Return a run to be published: what was read from its folder's statistics, which may be anybody's, is gone."""
    return replace(load_run(run.folder), folder=None) if run.folder else run


def _keep(path: Path, text: str) -> None:
    try:
        write_atomic(path, f"{text}\n".encode())
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({error.strerror}).") from error


# --- publishing --------------------------------------------------------------------------------------------


def _section_of(stage: str) -> str:
    """Name the stage in whose section of the card a stage stands."""
    return CARD_STAGE if stage in ASKED_FOR else stage


class _Desk:
    """Where stages are published: all in one pull request, or as direct commits.

    A stage that cannot be published does not keep the next one from being made: the GPU may be rented.
    """

    def __init__(self, study: _Study) -> None:
        options = study.options
        self._name, self._options = study.name, options
        self._remote, self._create = open_remote(options)
        self._as_request = not (options.no_pr or (self._create and self._remote.head() is None))
        self._failed: dict[str, PlantainError] = {}

    def publish(self, stage: Stage, make: Callable[[str, str], Offer]) -> None:
        """Publish a stage; what is there already is not sent again."""
        from plantain.hub.publish import publish

        section = _section_of(stage.name)
        name = f"{self._name}-{section}"
        try:
            offer = make(name, f"plantain: the whole study of {self._name}")
            outcome = publish(self._remote, offer, self._as_request, self._create, self._options.private)
        except PlantainError as error:
            self._failed[stage.name] = error
            print(f"plantain: warning: {stage.name} is not published: {printable(str(error))}", file=sys.stderr)
        else:
            for other in [other for other in self._failed if _section_of(other) == section]:
                del self._failed[other]  # a section is sent as a whole
            print_outcome(self._options.repo_id, outcome)

    def close(self) -> None:
        """Raise what kept stages from being published."""
        if self._failed:
            names, last = ", ".join(self._failed), list(self._failed.values())[-1]
            raise type(last)(f"made, but not published: {names}. Repeat the command, which sends them. {last}")
