"""The command line: ``python -m plantain COMMAND``; ``--help`` lists the commands.

Exit code 0; on bad input 2, with one line on stderr that says what to do. torch is imported only by the
commands that need a model.
"""

from __future__ import annotations

import argparse
import codecs
import io
import os
import sys
import warnings
from typing import NoReturn

from plantain import PlantainError, UsageError, __version__
from plantain._files import printable
from plantain.cli import draw, export, hub, intervene, models, prompts, references, report, reproduce, run

_PROGRAM = "python -m plantain"


def main(args: list[str] | None = None) -> int:
    """Run a command; return the exit code."""
    _print_anywhere()
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
        return _fail("stopped. Repeat the command: pairs, pictures and parts of a model that are done are kept.", code)
    return 0


class _Terminated(KeyboardInterrupt):
    """SIGTERM, on which what is half done is put away as on Ctrl-C."""


def _terminate(_number: int, _frame: object) -> NoReturn:
    raise _Terminated


def _fail(message: str, code: int = 2) -> int:
    print(f"plantain: {printable(' '.join(message.split()))}", file=sys.stderr)
    return code


_PLAIN = str.maketrans(
    {"±": "+/-", "×": "x", "≤": "<=", "≥": ">=", "–": "-", "−": "-", "·": "|", "“": '"', "”": '"', "’": "'", "…": "..."}
)


def _plain_signs(error: UnicodeError) -> tuple[str, int]:
    """Stand in for signs that an encoding lacks; for any other letter a question mark."""
    assert isinstance(error, UnicodeEncodeError), error
    signs = error.object[error.start : error.end].translate(_PLAIN)
    return "".join(sign if sign.isascii() else "?" for sign in signs), error.end


def _print_anywhere() -> None:
    """Let stdout and stderr replace what their encoding lacks, so that no command ends in an error over a sign.

    A redirect on Windows is cp1252, and a path may be no text at all. The signs of the reports keep their meaning.
    """
    codecs.register_error("plantain", _plain_signs)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a notebook's own takes every character
            stream.reconfigure(errors="plantain")


def _quiet_libraries() -> None:
    """Keep the libraries' notices off the terminal: an error is one line."""
    warnings.filterwarnings("ignore", category=FutureWarning, module="diffusers")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # read when imported, as diffusers' own in `_runtime`
    os.environ.setdefault("HF_HUB_VERBOSITY", "critical")


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}. See: {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog=_PROGRAM, description="Probe FLUX.2 Klein for an axis of ethical valence.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="name")
    for module in (run, prompts, reproduce, draw, references, models, report, intervene, export, hub):
        module.add_commands(commands)
    return parser
