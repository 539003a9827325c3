"""The commands that read runs: ``report``, ``pair`` and ``atlas``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plantain import UsageError
from plantain._files import plain, printable, printable_lines
from plantain.cli.options import ALL, add_model_options, at_least_one, not_empty
from plantain.findings.held_out import find_beside, held_out
from plantain.findings.new_pair import PairResult, pair_level, score_pair
from plantain.findings.published import load_published
from plantain.models.load import LoadedModel, PhasedPipeline
from plantain.models.picture_book.folder import PICTURE_BOOK
from plantain.models.stand_in import STAND_IN
from plantain.probe.progress import bar
from plantain.prompts.sets import load_prompt_set, user_pair
from plantain.report.answer import answer, answer_of_all, selections_of
from plantain.report.new_pair import difference_strip, pair_answer, pair_frame, pair_text
from plantain.report.run import report_text, report_text_of_all
from plantain.report.tables import N_SHOWN, SORTS
from plantain.runs.info import NotComparableError, check_reference
from plantain.runs.io import load_run, no_run
from plantain.runs.run import Run
from plantain.runs.scopes import SCOPES, UNITS
from plantain.runs.units import Selection
from plantain.runs.words import check_pair_words

if TYPE_CHECKING:
    from plantain.probe.reference import Reference


def add_commands(commands: Any) -> None:
    """Add the three commands to argparse's subparsers."""
    parser = commands.add_parser("report", help="print a saved run's results beside the published ones")
    parser.add_argument("run", type=not_empty, metavar="DIR", help="folder of a run, or the name of a shipped one")
    again = "run of the same contrast on new pairs (default: one beside DIR of the shipped replication)"
    parser.add_argument("--replication", type=not_empty, metavar="DIR", help=again)
    controls = "runs of control contrasts, whose rules are tried on this run's pairs (default: those beside DIR)"
    parser.add_argument("--control", type=not_empty, nargs="+", default=[], metavar="DIR", help=controls)
    top = "units in the list of the top ones: a number, or all (default: %(default)s)"
    parser.add_argument("--top", type=_top, default=N_SHOWN, metavar="N", help=top)
    by = "what that list goes by; p and q rising, all else by falling size (default: %(default)s)"
    parser.add_argument("--sort", choices=SORTS, default="t", help=by)
    _add_unit_options(parser, "card", _report, (*UNITS, ALL))

    parser = commands.add_parser("pair", help="see where one more pair falls in a saved run")
    add = parser.add_argument
    add("run", type=not_empty, metavar="DIR", help="folder of a run")
    add("--positive", required=True, metavar="TEXT")
    add("--negative", required=True, metavar="TEXT")
    add("--model", metavar="M", help="default: the model that made the run")
    add("--reference", type=not_empty, metavar="IMAGE", help="reference image, where the run has them")
    add_model_options(parser)
    _add_unit_options(parser, "heads", _pair)

    parser = commands.add_parser("atlas", help="compare runs of several prompt sets on one model")
    runs = "folders of runs, one of them of a set with the role axis, as prompts/moral_valence.toml"
    parser.add_argument("runs", nargs="+", type=not_empty, metavar="RUN", help=runs)
    roles = "prompt files whose roles count, where a run does not say it or another one (your own sets)"
    parser.add_argument("--prompts", nargs="+", type=not_empty, default=[], metavar="FILE", help=roles)
    _add_unit_options(parser, "card", _atlas)


def _top(text: str) -> int | None:
    """Read how many units: a whole number from 1, or all."""
    return None if text == ALL else at_least_one(text)


def _add_unit_options(
    parser: argparse.ArgumentParser, units: str, command: Callable, choices: Sequence[str] = UNITS
) -> None:
    add = parser.add_argument
    add("--units", choices=choices, default=units, help="what counts as a unit (default: %(default)s)")
    add("--scope", choices=tuple(SCOPES), default="all", help="which tokens (default: %(default)s)")
    add("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(command=command)


def _report(options: argparse.Namespace) -> None:
    run, every = load_run(options.run), options.units == ALL
    first = Selection("card" if every else options.units, options.scope)
    selections = (every and selections_of(run, options.scope)) or [first]
    for selection in selections:
        run.analysis(selection)  # refuses units without that scope before anything is computed
    beside = find_beside(run, run.folder)
    replication = beside.replication
    if options.replication:
        replication = Path(options.replication).resolve().name, load_run(options.replication)
    controls = _named_runs(options.control) or beside.controls
    headline = held_out(run, replication, controls, beside.positives, beside.untrained)
    top, sort = options.top, options.sort
    if options.json:
        found = (
            answer_of_all(run, options.scope, headline, top, sort)
            if every
            else answer(run, load_published(), *selections, headline, top, sort)
        )
        print(json.dumps(found, allow_nan=False))
    else:
        text = (
            report_text_of_all(run, options.scope, headline, top, sort)
            if every
            else report_text(run, load_published(), *selections, headline, top, sort)
        )
        print(printable_lines(text))  # it may be a stranger's


def _named_runs(folders: list[str]) -> dict[str, Run]:
    """Read runs by the names of their folders; a folder that is given twice counts once.

    What stands beside runs and is none is passed over, so that ``DIR/*`` can be given.
    """
    paths = list({Path(folder).resolve(): Path(folder) for folder in folders}.values())
    beside = {path: why for path in paths if (why := no_run(path))}
    for path, why in beside.items():
        print(f"plantain: passed over {printable(str(path))} ({why})", file=sys.stderr)
    paths = [path for path in paths if path not in beside]
    runs = {path.resolve().name: load_run(path) for path in paths}
    if len(runs) < len(paths):
        raise NotComparableError("two runs have one name; rename a folder.")
    return runs


def _atlas(options: argparse.Namespace) -> None:
    from plantain.findings.across_runs.atlas import cached_atlas, read_axes
    from plantain.report.across_runs.atlas import atlas_text

    runs = _named_runs(options.runs)
    axes = read_axes(runs, _roles(options.prompts, runs))
    with bar("comparing", "step") as show:
        atlas = cached_atlas(
            axes, Selection(options.units, options.scope), Path(options.runs[0]).resolve().parent, show
        )
    print(json.dumps(plain(atlas), allow_nan=False) if options.json else printable_lines(atlas_text(atlas)))


def _roles(files: list[str], runs: dict[str, Run]) -> dict[str, str]:
    """Read the roles that prompt files say, by hash."""
    here, roles = {run.info.prompts_sha256 for run in runs.values()}, {}
    for file in files:
        prompt_set = load_prompt_set(file)
        if prompt_set.sha256 not in here:
            raise UsageError(f"{file}: none of these runs is of these prompts. Leave it out, or run it first.")
        if not prompt_set.role:
            raise UsageError(f"{file}: says no role; write one into it (docs/prompts.md).")
        roles[prompt_set.sha256] = prompt_set.role
    return roles


def _pair(options: argparse.Namespace) -> None:
    run = load_run(options.run)
    run.analysis(Selection(options.units, options.scope))  # refuses units without that scope before the model loads,
    user_pair(options.positive, options.negative)  # and texts that make no pair
    if options.reference is None:
        check_reference(run.info, None)
    model, revision = model_for(run, options.model)
    check_pair_words(run.info.prompts_sha256, model)
    from plantain.probe.reference import check_images, encode_with

    files = {} if options.reference is None else {"": Path(options.reference)}
    check_images(files)
    phased = PhasedPipeline(model, options.device, options.dtype or run.info.dtype, revision)
    loaded, images = phased.load_both(), encode_with(phased, files)
    reference = images and images.by_pair[""]
    result = probe_pair(loaded, run, options.positive, options.negative, options.units, options.scope, reference)
    if options.json:
        print(json.dumps(pair_answer(result, run), allow_nan=False))
    else:
        _print_pair(result, run)


def model_for(run: Run, model: str | None) -> tuple[str, str | None]:
    """Return the model to load and its revision: the run's own, unless another was given."""
    if model is not None:
        return model, None
    if run.info.changes:
        raise UsageError(
            f"the run was made with a changed model ({run.info.changes[0]}), which only Python can make again"
        )
    if run.info.revision is None and run.info.model not in (STAND_IN, PICTURE_BOOK):
        raise UsageError(f"the run was made from the local folder {run.info.model!r}; say where it is with --model")
    return run.info.model, run.info.revision


def _print_pair(result: PairResult, run: Run) -> None:
    print(pair_text(result, run))
    print(f"\nTop {result.units}, chosen on the run's pairs: expect regression to the mean.")
    print(pair_frame(result).to_string(index=False, float_format=lambda x: f"{x:.4g}"))
    print(f"\nThe {len(result.scores)} differences (. one, : several), zero (|), new pair (X), own scale each:")
    for unit in result.top:
        print(f"{unit.unit:>24}  {difference_strip(unit)}")


def probe_pair(
    model: LoadedModel,
    run: Run,
    positive: str,
    negative: str,
    units: str = "heads",
    scope: str = "all",
    reference: Reference | None = None,
) -> PairResult:
    """Send one more pair through the run's own model and settings, and score it.

    Raises
    ------
    PromptError
        A prompt is empty, too long or holds a control token, or both are the same.
    NotComparableError
        The model is not the one that made the run, or the run has reference images and none is given.
    """
    from plantain.probe.passes import Passes
    from plantain.probe.reference import ReferenceSet
    from plantain.probe.runner import prepare_pair

    pair = prepare_pair(model, run, positive, negative, reference)
    images = ReferenceSet({pair.id: reference}) if reference else None
    passes = Passes(model.pipe, run.info.conditions, 1, references=images, directions=pair_level(run))
    capture = passes.capture([pair])[0]
    return score_pair(run, pair, capture, Selection(units, scope))
