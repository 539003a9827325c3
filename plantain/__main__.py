"""The command line: ``python -m plantain COMMAND``; ``--help`` lists the commands. Knows nothing about Gradio.

Exit code 0; on bad input 2, with one line on stderr that says what to do. torch is imported only by the
commands that need a model.
"""

from __future__ import annotations

import os

# Read when numpy loads. The products here are small: threads of OpenBLAS wait for one another longer than they work,
# and on a busy machine make a report several times slower. torch has threads of its own.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

from plantain import PlantainError, __version__
from plantain.answers import difference_strip, pair_frame, pair_text
from plantain.audit import own_warnings
from plantain.hub.commands import add_commands
from plantain.models import STAND_IN
from plantain.pairs import PairResult, visitor_pair
from plantain.prompts import PromptSet, load_prompt_set
from plantain.published import load_published
from plantain.results import Run, check_target, load_run, save_run
from plantain.scopes import SCOPES, UNITS
from plantain.strict import visible, visible_lines
from plantain.tables import provenance, report_text, weights_label
from plantain.team import ALONE, Team, find_team
from plantain.unfinished import UnfinishedRun
from plantain.untrained import ARCHITECTURES, check_folder, write_untrained


def main(args: list[str] | None = None) -> int:
    """Run a command; return the exit code."""
    _quiet_libraries()
    try:
        options = _parser().parse_args(args)
        options.command(options)
    except PlantainError as error:
        return _fail(str(error), error.exit_code)
    except BrokenPipeError:  # `report … | head`: the reader has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return _fail("stopped. What was done is kept (pairs of a run, files of a model): repeat the command.", 130)
    return 0


def _fail(message: str, code: int = 2) -> int:
    print(f"plantain: {visible(' '.join(message.split()))}", file=sys.stderr)
    return code


def _quiet_libraries() -> None:
    """Keep the libraries' notices off the terminal (an error is one line), and their threads from spinning.

    Idle OpenMP threads that spin make two processes on two cores ten times slower than one.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    warnings.filterwarnings("ignore", category=FutureWarning, module="diffusers")
    for name in ("DIFFUSERS_VERBOSITY", "TRANSFORMERS_VERBOSITY", "HF_HUB_VERBOSITY"):
        os.environ.setdefault(name, "critical" if name.startswith("HF") else "error")  # read when imported


class _UsageError(PlantainError):
    """The command line itself is wrong."""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        raise _UsageError(f"{message}. See: {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m plantain", description="Probe FLUX.2 Klein for an axis of ethical valence.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands.add_parser("run", help="probe a model with a prompt set and save the run"))
    _add_report(commands.add_parser("report", help="print a saved run's results beside the published ones"))
    _add_pair(commands.add_parser("pair", help="see where one more pair falls in a saved run"))
    _add_make_model(commands.add_parser("make-model", help="write a control: Klein's architecture, random weights"))
    _add_atlas(commands.add_parser("atlas", help="compare runs of several prompt sets on one model"))
    add_commands(commands)
    return parser


def _not_empty(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty")
    return text


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("give a whole number from 1")
    return int(text)


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", metavar="D", help="cuda, mps or cpu (default: the best there is)")
    parser.add_argument(
        "--dtype", metavar="T", help="bfloat16, float16 or float32 (default: bfloat16; stand-in: float32)"
    )


def _add_unit_options(parser: argparse.ArgumentParser, units: str) -> None:
    parser.add_argument("--units", choices=UNITS, default=units, help="what counts as a unit (default: %(default)s)")
    parser.add_argument("--scope", choices=tuple(SCOPES), default="all", help="which tokens (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", required=True, type=_not_empty, metavar="M", help="Hub id, local folder or tiny-random"
    )
    parser.add_argument(
        "--prompts",
        required=True,
        type=_not_empty,
        nargs="+",
        metavar="FILE",
        help="prompt set (TOML), e.g. prompts/moral_valence.toml; of several, DIR gets a run each",
    )
    parser.add_argument(
        "--out", required=True, type=_not_empty, metavar="DIR", help="folder of the run, or of the runs"
    )
    parser.add_argument("--size", type=int, metavar="PX", help="image size (default: 1024 on CUDA, 256 elsewhere)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of noise, flips and halves (default: 0)")
    _add_model_options(parser)
    parser.add_argument(
        "--low-memory",
        action="store_true",
        help="encode all prompts first, then run all passes: half the memory (by itself where memory is short)",
    )
    parser.add_argument(
        "--batch", type=_at_least_one, metavar="N", help="prompts in one pass (default: 1 on a processor, more on CUDA)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing run")
    parser.set_defaults(command=_run)


def _add_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="DIR", help="folder of a run")
    _add_unit_options(parser, "card")
    parser.set_defaults(command=_report)


def _add_pair(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="DIR", help="folder of a run")
    parser.add_argument("--positive", required=True, metavar="TEXT")
    parser.add_argument("--negative", required=True, metavar="TEXT")
    parser.add_argument("--model", metavar="M", help="default: the model that made the run")
    _add_model_options(parser)
    _add_unit_options(parser, "heads")
    parser.set_defaults(command=_pair)


def _add_atlas(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="folders of runs, one of them of prompts/moral_valence.toml"
    )
    _add_unit_options(parser, "card")
    parser.set_defaults(command=_atlas)


def _add_make_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", choices=tuple(ARCHITECTURES), help="which model")
    parser.add_argument("folder", type=_not_empty, metavar="DIR", help="folder of the model, 16 GB")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the weights (default: 0)")
    parser.add_argument(
        "--tokenizer",
        type=_not_empty,
        metavar="WHERE",
        help="folder or Hub id with Klein's tokenizer, to cut prompts as Klein does (default: one token a byte)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing untrained model")
    parser.set_defaults(command=_make_model)


def _run(options: argparse.Namespace) -> None:
    # Everything that can be refused is refused before the model loads.
    sets = {path: load_prompt_set(path) for path in options.prompts}
    several = len(options.prompts) > 1
    targets = {path: Path(options.out) / Path(path).stem if several else Path(options.out) for path in sets}
    if len(set(targets.values())) < len(options.prompts):
        raise _UsageError("two prompt sets of one file name would be one run; name the files differently")
    for out in targets.values():
        check_target(out, options.overwrite)
    from plantain.experiment import ExperimentConfig

    config = ExperimentConfig(size=options.size, seed=options.seed)
    team = find_team(options.device)
    for path, prompt_set in sets.items():  # loading takes a while: say what would make one stop before it
        for warning in own_warnings(prompt_set) if team.leads else ():
            print(f"plantain: warning: {visible(f'{path}: {warning}')}", file=sys.stderr)
    model = _Model(options, team)
    for path, prompt_set in sets.items():
        _run_set(options, prompt_set, targets[path], config, model, team)
    if team.leads and several:
        print(f"Compare them: python -m plantain atlas {' '.join(map(str, targets.values()))}")


class _Model:
    """The model of a command: whole in memory once it is, or one half at a time."""

    def __init__(self, options: argparse.Namespace, team: Team) -> None:
        from plantain.models import ModelHalves, own_device

        device = own_device(options.device, team.local_rank) if team.size > 1 else options.device
        self.halves = ModelHalves(options.model, device, options.dtype)
        self.in_phases = options.low_memory or not self.halves.fit_together()

    @cached_property
    def pipe(self) -> Any:
        return self.halves.both()


def _run_set(
    options: argparse.Namespace, prompt_set: PromptSet, out: Path, config: Any, model: _Model, team: Team
) -> None:
    """Probe one prompt set and save its run."""
    from plantain.experiment import Plan

    kept: list[UnfinishedRun] = []

    def keep(plan: Plan) -> UnfinishedRun:
        with team.leader_first():  # the others find the folder as the first one left it
            kept.append(UnfinishedRun(out, plan.settings(), options.overwrite and team.leads))
        return kept[0]

    run = _probe(options, prompt_set, config, keep, model, team)
    if team.leads:
        save_run(run, out, options.overwrite)
        kept[0].discard()
        print(f"{out}: {provenance(run)}")
        print(f"Look at it: python -m plantain report {out}")


def _probe(
    options: argparse.Namespace, prompt_set: PromptSet, config: Any, keep: Callable, model: _Model, team: Team
) -> Run:
    """Run all pairs, with the whole model in memory or one half at a time."""
    from plantain.experiment import run_experiment, run_in_phases

    common = {"keep": keep, "batch": options.batch, "team": team}
    with _bar("probing", team) as probing:
        if not model.in_phases:
            return run_experiment(model.pipe, prompt_set, config, probing, **common)
        with _bar("encoding", team) as encoding:
            return run_in_phases(model.halves, prompt_set, config, probing, encoded=encoding, **common)


@contextmanager
def _bar(name: str, team: Team = ALONE, unit: str = "pair") -> Iterator[Callable[[int, int], None]]:
    """Show progress once something is under way; gone at the end, so that an error stays the only line."""
    from tqdm import tqdm

    with tqdm(unit=unit, unit_scale=unit == "B", desc=name, delay=0.1, leave=False, disable=not team.leads) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show


def _report(options: argparse.Namespace) -> None:
    run = load_run(options.run)
    if options.json:
        print(json.dumps(run.summary(options.units, options.scope), allow_nan=False))
    else:
        report = report_text(run, load_published(), options.units, options.scope)
        print(visible_lines(report))  # a run may be a stranger's


def _atlas(options: argparse.Namespace) -> None:
    from plantain.atlas import AtlasError, keep_atlas, read_axes
    from plantain.atlas_words import atlas_text

    folders = [Path(folder) for folder in options.runs]
    runs = {folder.resolve().name: load_run(folder) for folder in folders}
    if len(runs) < len(folders):
        raise AtlasError("two runs have one name; rename a folder.")
    axes = read_axes(runs)
    with _bar("comparing", unit="step") as show:
        atlas = keep_atlas(axes, options.units, options.scope, folders[0].resolve().parent, show)
    print(json.dumps(atlas, allow_nan=False) if options.json else visible_lines(atlas_text(atlas)))


def _pair(options: argparse.Namespace) -> None:
    run = load_run(options.run)
    run.analysis(options.units, options.scope)  # refuses units without that scope before the model loads,
    visitor_pair(options.positive, options.negative)  # and texts that make no pair
    from plantain.experiment import probe_pair
    from plantain.models import load_pipeline

    model, revision = _model_for(run, options.model)
    pipe = load_pipeline(model, options.device, options.dtype or run.info.dtype, revision)
    result = probe_pair(pipe, run, options.positive, options.negative, options.units, options.scope)
    if options.json:
        print(json.dumps({"weights": weights_label(run.info), **asdict(result)}, allow_nan=False))
    else:
        _print_pair(result, run)


def _model_for(run: Run, model: str | None) -> tuple[str, str | None]:
    """Return the model to load and its revision: the run's own, unless another was given."""
    if model is not None:
        return model, None
    if run.info.revision is None and run.info.model != STAND_IN:
        raise _UsageError(f"the run was made from the local folder {run.info.model!r}; say where it is with --model")
    return run.info.model, run.info.revision


def _print_pair(result: PairResult, run: Run) -> None:
    print(pair_text(result, run))
    print(f"\nTop {result.units}, chosen on the run's pairs: expect regression to the mean.")
    print(pair_frame(result).to_string(index=False, float_format=lambda x: f"{x:.4g}"))
    print(f"\nThe {len(result.scores)} differences (. one, : several), zero (|), new pair (X), own scale each:")
    for unit in result.top:
        print(f"{unit.unit:>24}  {difference_strip(unit)}")


def _make_model(options: argparse.Namespace) -> None:
    check_folder(options.folder, options.overwrite)
    with _bar("writing", unit="B") as show:
        write_untrained(
            ARCHITECTURES[options.kind], options.folder, options.seed, options.tokenizer, options.overwrite, show
        )
    print(f"{options.folder}: FLUX.2 Klein 4B's architecture with random weights, seed {options.seed}.")
    print(f"Probe it: python -m plantain run --model {options.folder} --prompts prompts/moral_valence.toml --out DIR")


if __name__ == "__main__":
    sys.exit(main())
