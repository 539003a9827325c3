"""The command ``reproduce``: the whole study of one model, stage by stage, each published as soon as it is done."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plantain import PlantainError, UsageError
from plantain._files import printable, printable_lines, write_atomic
from plantain.cli.hub import TOKEN, add_publish_options, check_private, open_remote, print_outcome, repo_id
from plantain.cli.options import add_model_options, add_pass_options, not_empty
from plantain.cli.run import load_model, probe_set, warn_of_words
from plantain.findings.atlas import Atlas, Axis, make_atlas, read_atlas, read_axes, write_atlas
from plantain.findings.held_out import fitting
from plantain.findings.published import SIDES, Published, load_published, same_question
from plantain.findings.reproduction import reproduce
from plantain.findings.study import (
    CARD_STAGE,
    CONTROLS_STAGE,
    SEED,
    SEEDS_STAGE,
    STAGES,
    Part,
    Shape,
    Stage,
    check_model,
    find_done,
    made_by,
    model_name,
    plan_study,
    shape_of,
    short_name,
)
from plantain.models.load import KLEIN
from plantain.models.stand_in import STAND_IN
from plantain.probe.checkpoint import count_kept, tidy
from plantain.probe.distributed import Distributed, find_distributed
from plantain.probe.progress import bar
from plantain.prompts.sets import PromptSet, known_sets, load_prompt_set
from plantain.report.model_card import check_weights
from plantain.report.reproduction import reproduction_text
from plantain.report.study import card_lines, controls_lines, price_text, seeds_lines
from plantain.runs.info import size_fault
from plantain.runs.io import RunError, load_run
from plantain.runs.run import Run
from plantain.runs.seconds import H200
from plantain.runs.units import CARD

if TYPE_CHECKING:
    from plantain.hub.publish import Offer
    from plantain.probe.runner import Plan


def add_commands(commands: Any) -> None:
    """Add ``reproduce`` to argparse's subparsers."""
    what = "make the whole study of a model: the card's own probe, three seeds, the controls"
    parser = commands.add_parser("reproduce", help=what, epilog=TOKEN)
    add, text = parser.add_argument, {"type": not_empty}
    add(
        "--model", default=KLEIN, **text, metavar="M", help="Hub id, local folder or tiny-random (default: %(default)s)"
    )
    add("--prompts", **text, metavar="FILE", help="prompts in the place of prompts/moral_valence.toml")
    same = "the prompts of FILE are the card's own (only who holds them can say so)"
    add("--same-prompts", action="store_true", help=same)
    add("--stages", type=_stages, default=STAGES, metavar="S,S,…", help=f"of {','.join(STAGES)} (default: all)")
    add("--out", **text, metavar="DIR", help="folder of the study (default: runs/ and the model's name)")
    add(
        "--size", type=int, metavar="PX", help="size of every image (default: 1024 for the card's probe, 256 elsewhere)"
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
    names = [word.strip() for word in words.split(",")]
    for name in names:
        if name not in STAGES:
            raise argparse.ArgumentTypeError(f"{name!r} is no stage; choose of {','.join(STAGES)}")
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
    done: dict[str, Run] = field(default_factory=dict)

    def left(self) -> list[Part]:
        return [part for stage in self.stages for part in stage.parts if part.name not in self.done]

    def price(self, device: str, n_processes: int = 1) -> str:
        kept = {part.name: count_kept(self.folder / part.name) for part in self.left()}
        words = price_text(self.stages, self.done, self.shape, device, n_processes, kept)
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
    make = _maker(study, distributed)
    for stage in study.stages:
        runs = {part.name: study.done.get(part.name) or make(part) for part in stage.parts}
        study.done.update(runs)
        if distributed.is_main:
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
    _check_same(options, own)
    if options.repo_id and options.model == STAND_IN:
        check_weights("stand-in", options.model)
    name = short_name(model_name(options.model))
    folder = Path(options.out or Path("runs", name))
    stages = plan_study(options.stages, own, options.size)
    study = _Study(options, name, folder, shape_of(options.model), own, stages, load_published())
    found = {part.name: find_done(part, folder / part.name) for stage in stages for part in stage.parts}
    study.done.update({name: run for name, run in found.items() if run})
    return study


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


def _maker(study: _Study, distributed: Distributed) -> Callable[[Part], Run]:
    """Load the model if it is needed, and return what makes the run of a part; says the price first."""
    options, done = study.options, list(study.done.values())
    if distributed.is_main:
        for name, run in study.done.items():
            tidy(study.folder / name, run.info)
    if not study.left() and all(made_by(run.info, options.model, options.dtype) for run in done):
        if distributed.is_main:
            print(f"All of it is done, in {study.folder}; the model is not loaded.\n", flush=True)
        return _nothing_left
    if distributed.is_main:
        from plantain.models.load import device_name

        print(study.price(device_name(options.device), distributed.size))
        print(f"{_where_to(options)}\n", flush=True)
    model, whole = load_model(options, distributed)

    def check(plan: Plan) -> None:
        for run in done:
            check_model(run, plan.model)
        if options.repo_id:
            check_weights(plan.model.weights, plan.model.model)

    def make(part: Part) -> Run:
        from plantain.probe.runner import ProbeConfig

        config = ProbeConfig(part.conditions.size, SEED, seeds=part.conditions.seeds)
        out = study.folder / part.name
        return probe_set(part.prompt_set, out, config, whole or model, distributed, options.batch, check=check)

    if not study.left():  # it was only loaded to tell whether these are its runs
        info = (whole or model.load_in_turn()).info
        for run in done:
            check_model(run, info)
    return make


def _nothing_left(part: Part) -> Run:
    raise AssertionError(f"{part.name} is done")


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
    title = f"{stage.name}: {', '.join(dict.fromkeys(run.info.prompt_set for run in runs.values()))}"
    look = f"Look at it: python -m plantain {found.look}"
    print(printable_lines("\n".join([title, *found.lines, look])), flush=True)
    if desk:
        desk.publish(stage, found.offer)
    print(flush=True)


def _found_on_card(study: _Study, runs: dict[str, Run]) -> _Found:
    from plantain.hub.publish import find_control, make_offer

    run, published = runs[CARD_STAGE], study.published
    control, found = find_control(run), None
    lines = card_lines(run, control, published, study.options.same_prompts)
    if same_question(run):
        found = reproduce(run, published, study.options.same_prompts)
        text, table = reproduction_text(found, run, published), study.folder / "card.md"
        _keep(table, text)
        lines += ["", text, "", f"This table is in {table}."]
    else:
        lines.append("These prompts ask something else than the card: its figures do not stand beside.")

    def offer(name: str, request: str) -> Offer:
        mine = _anew(run)
        beside = fitting(mine, {Path(part).name: other for part, other in study.done.items()})
        return make_offer(name, mine, control, study.options.repo_id, found, request, beside)

    return _Found(lines, f"report {shlex.quote(str(study.folder / CARD_STAGE))}", offer)


def _found_by_seeds(study: _Study, runs: dict[str, Run]) -> _Found:
    from plantain.hub.publish import make_offer

    run = runs[SEEDS_STAGE]

    def offer(name: str, request: str) -> Offer:
        return make_offer(name, _anew(run), None, study.options.repo_id, request=request)

    return _Found(seeds_lines(run, study.published), f"report {shlex.quote(str(study.folder / SEEDS_STAGE))}", offer)


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


_FOUND = {CARD_STAGE: _found_on_card, SEEDS_STAGE: _found_by_seeds, CONTROLS_STAGE: _found_by_controls}


def _anew(run: Run) -> Run:
    """Return a run to be published: what was read from its folder's statistics, which may be anybody's, is gone."""
    return replace(load_run(run.folder), folder=None) if run.folder else run


def _keep(path: Path, text: str) -> None:
    try:
        write_atomic(path, f"{text}\n".encode())
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({error.strerror}).") from error


# --- publishing --------------------------------------------------------------------------------------------


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

        name = f"{self._name}-{stage.name}"
        try:
            offer = make(name, f"plantain: the whole study of {self._name}")
            outcome = publish(self._remote, offer, self._as_request, self._create, self._options.private)
        except PlantainError as error:
            self._failed[stage.name] = error
            print(f"plantain: warning: {stage.name} is not published: {printable(str(error))}", file=sys.stderr)
        else:
            print_outcome(self._options.repo_id, outcome)

    def close(self) -> None:
        """Raise what kept stages from being published."""
        if self._failed:
            names, last = ", ".join(self._failed), list(self._failed.values())[-1]
            raise type(last)(f"made, but not published: {names}. Repeat the command, which sends them. {last}")
