"""No private member of a library is named in the package, and nothing of a library is replaced."""

import ast
from collections.abc import Iterator

import pytest
from browser import ROOT

LIBRARIES = {"gradio", "huggingface_hub", "diffusers", "transformers", "spaces"}

NO_PUBLIC_WAY = {
    "plantain/cli/hub.py: constants.HF_HUB_DISABLE_XET = …": "a public constant, read from the environment at import",
    "plantain/hub/owner.py: constants.HF_HUB_DISABLE_XET = …": "the same; put back after the upload",
    "plantain/ui/log.py: sys.stderr = …": "the process's own stream, through which Gradio prints what a call brought",
}
"""`file: what`, and why it stands there."""


def is_private(name: str) -> bool:
    of_named_tuples = {"_replace", "_asdict", "_fields", "_make"}  # public: the underscore keeps them from the fields
    return name.startswith("_") and not name.endswith("__") and name not in of_named_tuples


def sources() -> dict[str, ast.Module]:
    files = [ROOT / "app.py", *sorted((ROOT / "plantain").rglob("*.py"))]
    return {str(file.relative_to(ROOT)): ast.parse(file.read_text(encoding="utf-8")) for file in files}


def own_names(trees: list[ast.Module]) -> set[str]:
    """Collect the private names that the package defines itself: functions, variables, fields, attributes of self."""
    found = set()
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and called(node.value) == "self":
            found.add(node.attr)
    return found


def called(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def imported(tree: ast.Module) -> dict[str, str]:
    """Return the names that a module binds by imports, and of which package they are."""
    bound = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            bound |= {(a.asname or a.name.partition(".")[0]): a.name.partition(".")[0] for a in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            bound |= {(a.asname or a.name): node.module.partition(".")[0] for a in node.names}
    return bound


def root_of(node: ast.AST) -> str:
    while isinstance(node, ast.Attribute | ast.Call | ast.Subscript):
        node = node.func if isinstance(node, ast.Call) else node.value
    return called(node)


def foreign(tree: ast.Module, own: set[str]) -> Iterator[str]:
    """Yield the private members of libraries that a module names, and what it puts in the place of a library's."""
    bound = imported(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if of_library(a.name) and any(map(is_private, a.name.split("."))))
        elif isinstance(node, ast.ImportFrom) and node.module and of_library(node.module):
            names = (f"{node.module}.{a.name}" for a in node.names)
            yield from (name for name in names if any(map(is_private, name.split("."))))
        elif isinstance(node, ast.Attribute):
            base = bound.get(root_of(node.value), "")
            if is_private(node.attr) and called(node.value) not in ("self", "cls"):
                # Of an object that is not known to be a library's: whatever the package does not define itself.
                if base in LIBRARIES or (node.attr not in own and base in ("", "plantain")):
                    yield ast.unparse(node)
            elif isinstance(node.ctx, ast.Store) and base not in ("", "plantain"):
                yield f"{ast.unparse(node)} = …"
        elif isinstance(node, ast.Call) and called(node.func) in ("getattr", "setattr", "hasattr", "delattr"):
            name = node.args[1].value if isinstance(node.args[1], ast.Constant) else ""
            if is_private(name) and name not in own:
                yield ast.unparse(node)


def of_library(module: str) -> bool:
    return module.partition(".")[0] in LIBRARIES


def found_in_package() -> dict[str, list[str]]:
    trees = sources()
    own = own_names(list(trees.values()))
    return {file: sorted(set(foreign(tree, own))) for file, tree in trees.items()}


def test_no_private_member_of_a_library_is_named():
    found = {f"{file}: {what}" for file, names in found_in_package().items() for what in names}
    assert found == set(NO_PUBLIC_WAY)


BAD = {
    "import gradio.routes._private": "gradio.routes._private",
    "from huggingface_hub.utils._http import x": "huggingface_hub.utils._http.x",
    "from diffusers import _x": "diffusers._x",
    "import gradio as gr\ngr.Blocks()._queue": "gr.Blocks()._queue",
    "def f(demo):\n    demo._queue.x": "demo._queue",
    "getattr(pipe, '_hooks')": "getattr(pipe, '_hooks')",
    "import gradio.routes\ngradio.routes.StateHolder = 1": "gradio.routes.StateHolder = …",
    "import traceback\ntraceback.print_exc = print": "traceback.print_exc = …",
}


@pytest.mark.parametrize("source", BAD)
def test_the_check_can_fail(source):
    assert list(foreign(ast.parse(source), {"_mine"})) == [BAD[source]]


@pytest.mark.parametrize(
    "source", ["self._x", "other._mine", "from plantain import _runtime", "import os\nos._exit(1)", "x.__name__"]
)
def test_what_is_ones_own_passes(source):
    assert list(foreign(ast.parse(source), {"_mine"})) == []
