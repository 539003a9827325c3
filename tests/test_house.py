"""The house: who may import whom, what README says is where, and that every file and name is explained."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "plantain"

# In the order in which the data flows: a module imports only modules to its left.
ORDER = [
    "whole", "apart", "progress", "strict", "prompts", "pasted", "wording", "lexical", "audit", "conditions", "scopes",
    "sums", "units", "stats", "stand_in", "identity", "sources", "models", "fresh_weights", "own_tokenizer",
    "untrained", "analysis", "inference", "kept", "capture", "passes", "reference", "published", "provenance",
    "run", "results", "breakdown", "closeup", "stability", "statements", "remarks", "unfinished", "pairs", "team",
    "plan", "experiment", "drawing", "comparison", "atlas", "belonging", "tables", "report", "atlas_words",
    "answers", "plots", "figures", "atlas_figures", "export", "engine", "ui", "hub", "making", "__main__", "app",
]  # fmt: skip

# Who alone may import a library.
IMPORTERS = {
    "diffusers": {"models", "sources", "stand_in", "identity", "untrained"},
    "transformers": {"models", "sources", "stand_in", "identity", "untrained", "own_tokenizer"},
    "tokenizers": {"stand_in", "identity"},
    "torch": {
        "models",
        "sources",
        "stand_in",
        "identity",
        "capture",
        "passes",
        "reference",
        "drawing",
        "fresh_weights",
        "untrained",
    },
    "PIL": {"reference"},
    "accelerate": {"team"},
    "tqdm": {"progress"},
    "gradio": {"ui"},
    "huggingface_hub": {"sources", "fresh_weights", "own_tokenizer", "hub"},
    "httpx2": {"hub"},
    "matplotlib": {"hub"},
    "markdown_it": {"hub"},
    "yaml": {"hub"},
    "spaces": {"app"},
}

LONGEST = 350
MODULES = sorted([*PACKAGE.rglob("*.py"), ROOT / "app.py"])


def part_of(path: Path) -> str:
    """Name the part of the house that a file belongs to; all files of plantain/ui/ are one part."""
    return path.stem if path.parent in (ROOT, PACKAGE) else path.relative_to(PACKAGE).parts[0]


def imported(source: str) -> set[str]:
    """Full names of all imports, also those inside functions; type-checking-only ones left out."""
    tree = ast.parse(source)
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    names: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ("plantain." if node.level else "") + (node.module or "")
            names |= {f"{base.rstrip('.')}.{alias.name}" for alias in node.names}
    return names


def violations(part: str, source: str) -> list[str]:
    """List the imports that a part of the house must not have."""
    if part != "__init__" and part not in ORDER:
        return [f"{part} has no place in the order; add it to ORDER and to the design"]
    found = []
    for name in sorted(imported(source)):
        library, _, rest = name.partition(".")
        if library == "plantain":
            other = rest.partition(".")[0]
            if other in ORDER and other != part and (part == "__init__" or ORDER.index(other) > ORDER.index(part)):
                found.append(f"{part} imports {other}, which is not to its left")
            if part == "stats" and other not in ("stats", "PlantainError"):
                found.append(f"stats imports {name}, but knows nothing about the project")
        elif part not in IMPORTERS.get(library, {part}):
            found.append(f"{part} imports {library}, which only {sorted(IMPORTERS[library])} may")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_imports_only_what_it_may(path):
    assert violations(part_of(path), path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("part", "source"),
    [
        ("prompts", "from plantain.models import load_pipeline"),
        ("results", "def f():\n    from plantain import experiment"),
        ("units", "from . import capture"),
        ("units", "from .capture import tokenize"),
        ("stats", "from plantain.units import SIDES"),
        ("stats", "import plantain.prompts"),
        ("__init__", "from plantain.prompts import PromptPair"),
        ("capture", "import diffusers"),
        ("capture", "def f():\n    from transformers.utils import logging"),
        ("results", "import torch.nn as nn"),
        ("experiment", "from torch import Tensor"),
        ("tables", "import gradio as gr"),
        ("ui", "import spaces"),
        ("utils", "x = 1"),
    ],
)
def test_the_import_check_can_fail(part, source):
    assert len(violations(part, source)) == 1


@pytest.mark.parametrize(
    ("part", "source"),
    [
        ("experiment", "from plantain import PlantainError, stats\nfrom plantain.capture import capture_pair"),
        ("stats", "from plantain import PlantainError\nimport numpy"),
        ("stats", "from plantain.stats.paired import paired_t\nimport scipy"),
        ("prompts", "if TYPE_CHECKING:\n    from plantain.models import ModelInfo\n    import torch"),
        ("ui", "import gradio\nfrom plantain.ui.store import RunStore"),
    ],
)
def test_the_import_check_lets_good_imports_pass(part, source):
    assert violations(part, source) == []


# --- the layout in README ----------------------------------------------------------------------------------


def layout_block(readme: str) -> str:
    """Return the fenced block of README that shows the files."""
    for block in re.findall(r"^```[^\n]*\n(.*?)^```", readme, flags=re.MULTILINE | re.DOTALL):
        if re.search(r"^ *app\.py  ", block, flags=re.MULTILINE):
            return block
    pytest.fail("README.md has no fenced block that lists the files, one 'name  comment' a line, app.py among them.")


def listed_files(block: str) -> list[str]:
    """Rebuild full paths from an indented list: two spaces a level, folders end with a slash."""
    folders: list[str] = []
    files = []
    for line in filter(str.strip, block.splitlines()):
        level = (len(line) - len(line.lstrip())) // 2
        name = line.split()[0]
        assert level <= len(folders), f"{line!r} is indented deeper than the folder above it"
        del folders[level:]
        if name.endswith("/"):
            folders.append(name)
        else:
            files.append("".join(folders) + name)
    return files


def without_root(paths: list[str]) -> set[str]:
    """Take a folder off that stands above the whole list, such as the repository's name."""
    if all("/" in path for path in paths):
        return {path.partition("/")[2] for path in paths}
    return set(paths)


def tracked_files() -> set[str]:
    """All files under version control."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git checkout")
    return {path for path in done.stdout.split("\0") if path}


def test_readme_lists_exactly_the_tracked_files():
    readme = ROOT / "README.md"
    assert readme.is_file(), "README.md is missing; it has to show the project's files."
    listed, tracked = listed_files(layout_block(readme.read_text(encoding="utf-8"))), tracked_files()
    assert len(listed) == len(set(listed)), "a file is listed twice"
    listed = without_root(listed)
    assert (listed - tracked, tracked - listed) == (set(), set()), "only in README; only under version control"


def test_a_listing_is_read_by_its_indentation():
    block = "app.py  the page\nplantain/  code\n  units.py  names\n  ui/  pages\n    page.py  one\ntests/\n  a.py  x\n"
    assert listed_files(block) == ["app.py", "plantain/units.py", "plantain/ui/page.py", "tests/a.py"]
    rooted = listed_files("root/\n" + "".join(f"  {line}\n" for line in block.splitlines()))
    assert without_root(rooted) == set(listed_files(block))


def test_the_files_block_is_found_among_others():
    readme = "# T\n```sh\npython app.py\n```\ntext\n```text\napp.py  the page\n```\n"
    assert layout_block(readme) == "app.py  the page\n"
    with pytest.raises(pytest.fail.Exception, match="no fenced block"):
        layout_block("# T\n```sh\npython app.py\n```\n")


# --- files and names ---------------------------------------------------------------------------------------


def unexplained(tree: ast.Module) -> list[str]:
    """List public functions and classes of a module that have no docstring."""
    nodes = [n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef) and not n.name.startswith("_")]
    return [n.name for n in nodes if not ast.get_docstring(n)]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_and_its_public_names_are_explained(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), "the module has no docstring"
    assert unexplained(tree) == []


def test_the_docstring_check_can_fail():
    source = "def a(): pass\nclass B: pass\ndef _c(): pass\ndef d():\n    'Said.'\n"
    assert unexplained(ast.parse(source)) == ["a", "B"]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_module_is_two_things(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST, "split it"
