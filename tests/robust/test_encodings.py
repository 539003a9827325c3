"""Everything is printed where a stream is not UTF-8, as a redirect on Windows is; what cannot be shown is replaced."""

import io
import json
import os
import shutil
import sys

import pytest
from browser import ROOT
from few import run_args, shell, write_set

from plantain.cli import main

ENCODINGS = ("cp1252", "ascii")


SIGNS = {"±": "+/-", "×": "x", "≤": "<=", "≥": ">=", "–": "-", "−": "-", "·": "|", "…": "..."}
SIGNS |= {"“": '"', "”": '"', "’": "'"}


def as_shown(text, encoding):
    """What a stream of that encoding shows: the reports' signs in plain ones, any other letter it lacks as ?."""
    return "".join(
        SIGNS.get(c, c.encode(encoding, "replace").decode(encoding)) if c.encode(encoding, "ignore") == b"" else c
        for c in text
    )


def printed(args, encoding, **options):
    """Run a command in a process whose streams have an encoding; return its exit code and what it wrote as text."""
    env = {**os.environ, "PYTHONUTF8": "0", "PYTHONIOENCODING": encoding, "PYTHONWARNINGS": "error"}
    env |= {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
    done = shell(*map(str, args), env=env, encoding=encoding, **options)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def narrow(monkeypatch):
    """Return a function that runs a command in this process, with streams of an encoding."""

    def run(args, encoding):
        streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2)]
        for name, stream in zip(("stdout", "stderr"), streams, strict=True):
            monkeypatch.setattr(sys, name, stream)
        code = main(list(map(str, args)))
        for stream in streams:
            stream.flush()
        return code, *(stream.buffer.getvalue().decode(encoding) for stream in streams)

    return run


@pytest.mark.smoke
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_report_is_whole(narrow, capsys, encoding):
    shipped = ROOT / "precomputed" / "tiny-random"
    assert main(["report", str(shipped)]) == 0
    whole = capsys.readouterr().out
    code, out, err = narrow(["report", shipped], encoding)
    assert (code, err) == (0, "")
    assert out == as_shown(whole, encoding) != whole


@pytest.mark.smoke
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("line", ["reproduce --dry-run", "report nowhere/Ünïcode-Ж"])
def test_other_words_are_whole(narrow, capsys, encoding, line):
    code = main(line.split())
    whole = capsys.readouterr()
    assert narrow(line.split(), encoding) == (
        code,
        *(as_shown(text, encoding) for text in (whole.out, whole.err)),
    )


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    "command", [[], ["run"], ["report"], ["pair"], ["atlas"], ["reproduce"], ["publish"], ["pull"], ["space"]]
)
def test_every_help_is_printed(encoding, command, narrow):
    with pytest.raises(SystemExit) as ended:
        narrow([*command, "--help"], encoding)
    assert ended.value.code == 0


def test_a_run_is_made_read_and_offered(narrow, tmp_path):
    prompts, out = write_set(tmp_path / "few.toml"), tmp_path / "run"
    text = prompts.read_text(encoding="utf-8").replace("A few", "Ein paar · 漢字")
    prompts.write_text(text, encoding="utf-8")
    code, made, err = printed(run_args(prompts, out), "ascii")
    assert code == 0 and "Look at it" in made and "Ein paar | ??" in made, err
    assert "Traceback" not in err and "Words that stand on one side only" in err
    code, made, err = printed(["report", out], "cp1252")
    assert (code, err) == (0, "") and "## By pair" in made and "Ein paar · ??" in made
    code, made, err = narrow(["report", out, "--json"], "ascii")
    assert (code, err) == (0, "") and json.loads(made)["n_pairs"] == 8


def test_an_offer_is_shown_whole(narrow, tmp_path):
    run = shutil.copytree(ROOT / "precomputed" / "untrained-klein-4b", tmp_path / "control")
    card = tmp_path / "card.md"
    card.write_text("---\nlicense: mit\n---\n# Ünïcode 🍌\n", encoding="utf-8")
    code, made, err = narrow(["publish", run, "--repo-id", "O/N", "--dry-run", "--card", card], "cp1252")
    assert (code, err) == (0, "") and "Nothing was sent" in made and "plantain:end control" in made
    offered = (tmp_path / "control.publish" / "README.md").read_text(encoding="utf-8")
    assert "Ünïcode 🍌" in offered  # files are UTF-8 wherever they are written
