"""The contracts of pyproject.toml hold back what they are there to hold back, and the README is a page."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from browser import ROOT


def linted(folder: Path) -> tuple[int, str]:
    """Run import-linter in a folder."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("wrong", "contract"),
    [
        ("", None),
        ("from plantain import ui", "layers BROKEN"),
        ("def f():\n    from plantain.ui import page", "layers BROKEN"),
        ("import torch.nn", "torch stays in models and probe"),
    ],
)
def test_a_wrong_import_breaks_the_contract(tmp_path, wrong, contract):
    shutil.copytree(ROOT / "plantain", tmp_path / "plantain", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / "plantain" / "stats" / "__init__.py").open("a", encoding="utf-8") as file:
        file.write(f"\n{wrong}\n")
    code, said = linted(tmp_path)
    assert code == (1 if contract else 0), said
    assert contract is None or contract in said
    assert ("plantain.stats -> " in said) == bool(contract), said


def test_no_room_is_crowded():
    """Who looks for something reads a list of at most 16 files; the page has a file a tab."""

    def held(folder: Path) -> list[Path]:
        return [path for path in folder.iterdir() if path.name != "__pycache__"]

    package = ROOT / "plantain"
    assert len(held(package)) <= 14
    rooms = [path for path in package.rglob("*") if path.is_dir() and (path / "__init__.py").exists()]
    crowded = {
        str(room.relative_to(package)): n
        for room in rooms
        if (n := sum(path.suffix == ".py" for path in held(room))) > 16 and room.relative_to(package).parts[0] != "ui"
    }
    assert len(rooms) > 10 and crowded == {}


def test_the_readme_is_a_page():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 200
