"""The examples of docs/researchers.md and docs/prompts.md: every section is run as it stands, in a folder of its own.

A section is what stands under a heading of the second level. Of its fenced blocks

- ``bash``: lines of ``python -m plantain`` run in this process, which has torch; other lines run in bash. All must
  succeed. Lines that make the same run of a shipped set make it once. ``> FILE`` at the end of a line keeps its output,
  patterns such as ``runs/*`` are expanded;
- ``python``: runs with the names of the section's earlier Python blocks;
- ``text``: its lines stand in what the block before it printed, in this order; ``…`` stands for anything in a line;
- any other (``csv``, ``toml``, …) is the content of the file whose name, in backticks, stands last before it.

What begins with ``<!-- not run -->`` is left alone.
"""

import atexit
import glob
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from contextlib import redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path

import pytest

from plantain.cli import main

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("researchers.md", "prompts.md")
MOST_LINES = 6  # of an example

_BLOCK = re.compile(r"(<!-- not run -->\n)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def sections():
    for page in PAGES:
        text = (DOCS / page).read_text(encoding="utf-8") if (DOCS / page).exists() else ""
        for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
            title, _, body = section.partition("\n")
            if any(language in ("bash", "python") and not skip for skip, language, _ in _BLOCK.findall(body)):
                yield pytest.param(body, id=f"{page[:-3]}: {title}")


@pytest.mark.parametrize("body", list(sections()))
def test_an_example_runs_as_it_stands(body, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(DOCS.parent))
    said, names = "", {}
    for block in _BLOCK.finditer(body):
        skip, language, content = block.groups()
        if skip:
            continue
        if language in ("bash", "python"):
            assert content.count("\n") <= MOST_LINES, f"more than {MOST_LINES} lines:\n{content}"
            said = run_bash(content) if language == "bash" else run_python(content, names)
        elif language == "text":
            assert_said(content, said)
        else:
            named = re.findall(r"`([^`\n]+\.\w+)`", body[: block.start()])[-1]
            Path(named).write_text(content, encoding="utf-8")


@cache
def made_before(command):
    """Make a run of a shipped set, once for all sections that have the same line, and return where it is kept."""
    kept = Path(tempfile.mkdtemp()) / "run"
    atexit.register(shutil.rmtree, kept.parent)
    assert main([*command, "--out", str(kept)]) == 0, command
    return kept


def run_bash(content):
    """Run the lines of a block and return what they printed."""
    said = ""
    for line in content.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words[:3] != ["python", "-m", "plantain"]:
            said += subprocess.run(["bash", "-ec", line], check=True, capture_output=True, text=True).stdout
            continue
        words, target = (words[:-2], words[-1]) if words[-2] == ">" else (words, None)
        words = [found for word in words[3:] for found in (sorted(glob.glob(word)) or [word])]
        printed = StringIO()
        if words[0] == "run" and "moral_valence" in words and words[-2] == "--out":
            shutil.copytree(made_before(tuple(words[:-2])), words[-1])
            continue
        with redirect_stdout(printed):
            assert main(words) == 0, line
        if target is None:
            said += printed.getvalue()
        else:
            Path(target).write_text(printed.getvalue(), encoding="utf-8")
    return said


def run_python(content, names):
    printed = StringIO()
    with redirect_stdout(printed):
        exec(compile(content, "example", "exec"), names)
    return printed.getvalue()


def assert_said(expected, said):
    lines = iter(said.splitlines())
    for line in filter(None, expected.splitlines()):
        pattern = ".*".join(map(re.escape, line.strip().split("…")))
        assert any(re.fullmatch(pattern, found.strip()) for found in lines), f"not printed: {line}\n{said}"


def test_an_example_can_fail(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AssertionError, match="report nowhere"):
        run_bash("python -m plantain report nowhere  # no such run\n")
    with pytest.raises(subprocess.CalledProcessError):
        run_bash("false\n")
    assert run_bash("echo one\necho [2] two\n") == "one\n[2] two\n"
    assert_said("one\n[2] …\n", "one\n[2] two\n")
    with pytest.raises(AssertionError, match="not printed: three"):
        assert_said("one\nthree\n", "one\n[2] two\n")


def test_the_pages_have_examples():
    assert os.environ["HF_HUB_OFFLINE"] == "1" and len(list(sections())) >= 1
