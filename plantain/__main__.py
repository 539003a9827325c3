"""The command line: ``python -m plantain COMMAND``; ``--help`` lists the commands. Knows nothing about Gradio.

Exit code 0; on bad input 2, with one line on stderr that says what to do. torch is imported only by the
commands that need a model.
"""

from __future__ import annotations

import os

# Read when numpy loads. The products here are small: threads of OpenBLAS wait for one another longer than they work,
# and on a busy machine make a report several times slower. torch has threads of its own.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import signal

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C while the libraries load: nothing is there to put away

import argparse
import json
import sys
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

from plantain import PlantainError, __version__, making
from plantain.answers import difference_strip, pair_frame, pair_text
from plantain.hub import commands as hub_commands
from plantain.making import UsageError
from plantain.models import STAND_IN
from plantain.pairs import PairResult, check_reference, visitor_pair
from plantain.progress import bar
from plantain.published import load_published
from plantain.report import report_text
from plantain.results import Run, load_run
from plantain.scopes import SCOPES, UNITS
from plantain.strict import visible, visible_lines
from plantain.tables import weights_label

_PROGRAM = "python -m plantain"


def main(args: list[str] | None = None) -> int:
    """Run a command; return the exit code."""
    _quiet_libraries()
    try:
        options, unknown = _parser().parse_known_args(args)
        if unknown:  # said here, since argparse points to the help of all commands
            raise UsageError(f"unrecognized: {' '.join(unknown)}. See: {_PROGRAM} {options.name} --help")
        options.command(options)
    except PlantainError as error:
        return _fail(str(error), error.exit_code)
    except BrokenPipeError:  # `report … | head`: the reader has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt as stop:
        code = 143 if isinstance(stop, _Terminated) else 130
        return _fail("stopped. What was done is kept (pairs, pictures, files of a model): repeat the command.", code)
    return 0


class _Terminated(KeyboardInterrupt):
    """SIGTERM, on which what is half done is put away as on Ctrl-C."""


def _terminate(_number: int, _frame: object) -> NoReturn:
    raise _Terminated


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


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}. See: {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog=_PROGRAM, description="Probe FLUX.2 Klein for an axis of ethical valence.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="name")
    making.add_commands(commands)
    _add_report(commands.add_parser("report", help="print a saved run's results beside the published ones"))
    _add_pair(commands.add_parser("pair", help="see where one more pair falls in a saved run"))
    _add_atlas(commands.add_parser("atlas", help="compare runs of several prompt sets on one model"))
    hub_commands.add_commands(commands)
    return parser


def _add_unit_options(parser: argparse.ArgumentParser, units: str) -> None:
    parser.add_argument("--units", choices=UNITS, default=units, help="what counts as a unit (default: %(default)s)")
    parser.add_argument("--scope", choices=tuple(SCOPES), default="all", help="which tokens (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _add_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="DIR", help="folder of a run")
    _add_unit_options(parser, "card")
    parser.set_defaults(command=_report)


def _add_pair(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="DIR", help="folder of a run")
    parser.add_argument("--positive", required=True, metavar="TEXT")
    parser.add_argument("--negative", required=True, metavar="TEXT")
    parser.add_argument("--model", metavar="M", help="default: the model that made the run")
    parser.add_argument(
        "--reference", type=making.not_empty, metavar="IMAGE", help="reference image, where the run has them"
    )
    making.add_model_options(parser)
    _add_unit_options(parser, "heads")
    parser.set_defaults(command=_pair)


def _add_atlas(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="folders of runs, one of them of prompts/moral_valence.toml"
    )
    _add_unit_options(parser, "card")
    parser.set_defaults(command=_atlas)


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

    folders = list({Path(folder).resolve(): Path(folder) for folder in options.runs}.values())
    runs = {folder.resolve().name: load_run(folder) for folder in folders}
    if len(runs) < len(folders):
        raise AtlasError("two runs have one name; rename a folder.")
    axes = read_axes(runs)
    with bar("comparing", "step") as show:
        atlas = keep_atlas(axes, options.units, options.scope, folders[0].resolve().parent, show)
    print(json.dumps(atlas, allow_nan=False) if options.json else visible_lines(atlas_text(atlas)))


def _pair(options: argparse.Namespace) -> None:
    run = load_run(options.run)
    run.analysis(options.units, options.scope)  # refuses units without that scope before the model loads,
    visitor_pair(options.positive, options.negative)  # and texts that make no pair
    if run.info.references and options.reference is None:
        check_reference(run.info, None)  # refuses
    from plantain.experiment import probe_pair

    model, revision = _model_for(run, options.model)
    pipe, reference = making.with_reference(model, options, options.dtype or run.info.dtype, revision)
    result = probe_pair(pipe, run, options.positive, options.negative, options.units, options.scope, reference)
    if options.json:
        print(json.dumps({"weights": weights_label(run.info), **asdict(result)}, allow_nan=False))
    else:
        _print_pair(result, run)


def _model_for(run: Run, model: str | None) -> tuple[str, str | None]:
    """Return the model to load and its revision: the run's own, unless another was given."""
    if model is not None:
        return model, None
    if run.info.revision is None and run.info.model != STAND_IN:
        raise UsageError(f"the run was made from the local folder {run.info.model!r}; say where it is with --model")
    return run.info.model, run.info.revision


def _print_pair(result: PairResult, run: Run) -> None:
    print(pair_text(result, run))
    print(f"\nTop {result.units}, chosen on the run's pairs: expect regression to the mean.")
    print(pair_frame(result).to_string(index=False, float_format=lambda x: f"{x:.4g}"))
    print(f"\nThe {len(result.scores)} differences (. one, : several), zero (|), new pair (X), own scale each:")
    for unit in result.top:
        print(f"{unit.unit:>24}  {difference_strip(unit)}")


if __name__ == "__main__":
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(main())
