"""The project installed as a package: its command, prompts and runs work from any folder."""

import csv
import json
import os
import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest
from browser import ROOT
from few import N_PAIRS, run_args, write_set
from small_book import write_small_book

import plantain
from plantain import _files
from plantain.prompts import shipped

TAKEN = ("app.py", "pyproject.toml", "requirements.txt", "README.md", "LICENSE", "PREREGISTRATION.md")

FOLDERS = ("plantain", "prompts", "precomputed")


def test_the_packages_that_are_named_are_those_that_there_are():
    named = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    found = [".".join(path.parent.relative_to(ROOT).parts) for path in sorted((ROOT / "plantain").rglob("__init__.py"))]
    assert sorted(named) == sorted([*found, "plantain.shipped"])


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """The project's folder, which building writes to."""
    tree = tmp_path_factory.mktemp("tree")
    for name in TAKEN:
        shutil.copy(ROOT / name, tree)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", "*.unfinished"))
    write_small_book(tree / "models" / "picture-book", overwrite=True)
    return tree


def packages_of(python: Path) -> Path:
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    return Path(subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip())


@pytest.fixture(scope="module")
def installed(tree, tmp_path_factory) -> Path:
    """The commands' folder of a fresh environment with the package, on top of the libraries that are here."""
    folder = tmp_path_factory.mktemp("fresh") / "venv"
    venv.create(folder)
    python = next(folder.glob("*/python"))
    here = [path for path in sys.path if path.endswith("site-packages")]
    (packages_of(python) / "libraries.pth").write_text("\n".join(here), encoding="utf-8")
    offline = ("--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", *offline, str(tree)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return python.parent


@pytest.fixture
def command(installed, tmp_path):
    """Return a function that runs the installed command in an empty folder, and gives its exit code, stdout, stderr."""

    def run(*words, program=("plantain",)):
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(
            [str(installed / program[0]), *program[1:], *map(str, words)],
            cwd=tmp_path, env=environment, capture_output=True, text=True,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.mark.parametrize("program", [("plantain",), ("python", "-m", "plantain")], ids=" ".join)
@pytest.mark.parametrize("name", ["precomputed/untrained-klein-4b", "tiny-random"])
def test_a_shipped_run_is_reported_from_any_folder(command, program, name, tmp_path):
    code, out, err = command("report", name, "--json", program=program)
    assert (code, err) == (0, "")
    run = plantain.load_run(_files.find(name, shipped.RUNS))
    assert json.loads(out)["max_abs_t"] == abs(run.analysis().t).max()
    assert list(tmp_path.iterdir()) == []


def test_a_run_of_ones_own_prompts_and_of_shipped_ones(command, tmp_path):
    pairs = plantain.load_prompt_set(write_set(tmp_path / "my.toml")).pairs
    with open(tmp_path / "my.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("positive", "negative"), *((pair.positive, pair.negative) for pair in pairs)])
    words = run_args(tmp_path / "my.csv", tmp_path / "out")
    code, out, err = command(*words)
    assert code == 0, err
    assert f"Look at it: python -m plantain report {tmp_path / 'out'}" in out
    assert len(plantain.load_run(tmp_path / "out").pairs) == N_PAIRS
    assert command("report", "out")[0] == 0
    code, out, err = command("report", "nothing")
    assert (code, out) == (2, "") and err.startswith("plantain: nothing: there is no such folder")


def test_the_package_has_all_that_is_shipped_and_finds_it(command):
    code = (
        "import plantain, json; from plantain import _files; from plantain.prompts import shipped; "
        "from plantain.findings.published import load_published; "
        "from plantain.prompts.sets import shipped_sets; from plantain.runs.registration import registration_sha256; "
        "from plantain.runs.io import list_runs; from plantain.report.figures import png; "
        "from plantain.runs.attached import attached_files; "
        "print(json.dumps([str(_files.ROOT), load_published().name, sorted(shipped_sets()), registration_sha256(), "
        "sorted(list_runs(shipped.RUNS)[0]), list_runs(shipped.RUNS)[1], "
        "sorted(attached_files(plantain.load_run('picture-book-moral'))), "
        "plantain.load_prompt_set('prompts/moral_valence.toml').sha256, plantain.__version__]))"
    )
    from plantain.findings.published import load_published
    from plantain.prompts.sets import shipped_sets
    from plantain.runs.attached import attached_files
    from plantain.runs.io import list_runs
    from plantain.runs.registration import registration_sha256

    exit_code, out, err = command("-c", code, program=("python",))
    assert exit_code == 0, err
    root, *found = json.loads(out)
    assert Path(root).parts[-3:] == ("site-packages", "plantain", "shipped")
    moral = plantain.load_prompt_set("moral_valence").sha256
    runs = sorted(list_runs(ROOT / "precomputed")[0])
    attached = sorted(attached_files(plantain.load_run(ROOT / "precomputed" / "picture-book-moral")))
    assert len(attached) > 100
    expected = [load_published().name, sorted(shipped_sets()), registration_sha256(), runs, {}, attached, moral]
    assert found == [*expected, plantain.__version__]


def test_the_picture_book_is_installed_and_found_by_its_name(installed, tree, command):
    book = tree / "models" / "picture-book"
    there = packages_of(installed / "python") / "plantain" / "shipped" / "models" / "picture-book"
    files = {path.relative_to(book): path.read_bytes() for path in book.rglob("*.*") if path.is_file()}
    assert files == {path.relative_to(there): path.read_bytes() for path in there.rglob("*.*") if path.is_file()}
    code = "import plantain; print(plantain.load_pipeline('picture-book', device='cpu').name_or_path)"
    exit_code, out, err = command("-c", code, program=("python",))
    assert (exit_code, out.strip()) == (0, str(there)), err


def test_every_file_of_the_package_is_installed_and_nothing_of_the_tests(installed):
    packages = packages_of(installed / "python")
    there = {path.relative_to(packages / "plantain").as_posix() for path in (packages / "plantain").rglob("*.*")}
    here = {path.relative_to(ROOT / "plantain").as_posix() for path in (ROOT / "plantain").rglob("*.*")}
    shipped = {name for name in there if name.startswith("shipped/")}
    assert {n for n in there - shipped if "__pycache__" not in n} == {n for n in here if "__pycache__" not in n}
    assert not any("test" in name for name in there)
    (facts,) = packages.glob("plantain-*.dist-info")
    needs = [line for line in (facts / "METADATA").read_text(encoding="utf-8").splitlines() if "Requires-Dist" in line]
    listed = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert len(needs) == len([line for line in listed if line and not line.startswith("#")])
    assert "Requires-Dist: torch<2.14,>=2.8" in needs


def test_the_space_is_made_of_a_checkout_and_the_command_says_so(command):
    code, out, err = command("space", "--repo-id", "me/space", "--dry-run")
    assert (code, out) == (2, "") and "The Space is made of a checkout of the project" in err
