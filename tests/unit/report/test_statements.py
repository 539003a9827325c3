"""Sentences carry their kind: nothing in the package decides by the words of one."""

import ast
from pathlib import Path

import pytest
from browser import ROOT

import plantain
from plantain.findings.published import load_published
from plantain.report import model_card
from plantain.report.statements import Kind
from plantain.runs.io import load_run
from plantain.runs.units import CARD

PACKAGE = Path(plantain.__file__).parent

METHODS = (
    "startswith",
    "endswith",
    "removeprefix",
    "removesuffix",
    "partition",
    "rpartition",
    "split",
    "index",
    "find",
)

FOREIGN = {
    "ui/errors.py": "tells ZeroGPU's errors apart, which have no classes of their own",
    "ui/log.py": "finds the tracebacks that Python prints",
}
"""Files that look into other people's messages, and why."""


KEYS = {"noise floor", "positive contrast"}
"""Values of data that have a blank."""


def is_prose(text):
    return text not in KEYS and bool(text.strip()) and " " in text


def prose(node, constants):
    """Say whether an expression is text with blanks in it: a literal, an f-string, a constant, or a tuple of them."""
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return any(prose(item, constants) for item in node.elts)
    if isinstance(node, ast.JoinedStr):
        return any(prose(part, constants) for part in node.values if isinstance(part, ast.Constant))
    if isinstance(node, ast.Name):
        return node.id in constants
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and is_prose(node.value)


def text_constants(tree):
    """Collect the names that a module gives to text with blanks."""
    given = (node for node in tree.body if isinstance(node, ast.Assign))
    return {name.id for node in given if prose(node.value, ()) for name in node.targets if isinstance(name, ast.Name)}


def imported(tree, constants):
    """Collect the names under which a module imports such text from other modules of the package."""
    found = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    return {name.name for node in found for name in node.names if name.name in constants.get(node.module, ())}


def decisions(source, constants=()):
    """List the lines that look into text by means of prose."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
            looked_for = node.args
        elif isinstance(node, ast.Compare):
            looked_for = [node.left, *node.comparators]
        else:
            continue
        if any(prose(part, constants) for part in looked_for):
            found.append(f"{node.lineno}: {ast.unparse(node)}")
    return found


def test_no_decision_is_taken_by_looking_at_words():
    sources = {path.relative_to(PACKAGE).as_posix(): path.read_text() for path in sorted(PACKAGE.rglob("*.py"))}
    trees = {name: ast.parse(source) for name, source in sources.items()}
    own = {f"plantain.{name[:-3]}".replace("/", "."): text_constants(tree) for name, tree in trees.items()}
    texts = {name: text_constants(tree) | imported(tree, own) for name, tree in trees.items()}
    found = {name: decisions(source, texts[name]) for name, source in sources.items()}
    assert {name: lines for name, lines in found.items() if lines and name not in FOREIGN} == {}
    assert {name for name in FOREIGN if not found[name]} == set()  # what needs no exception any more has none


@pytest.mark.parametrize(
    "source",
    [
        'if text.startswith("Corrected for"): x()',
        'x = [note for note in notes if not note.startswith(("|t| >", "These weights are"))]',
        'value.removesuffix(", –")',
        'why.removeprefix("a prompt ")',
        'if "reference image" in reason: x()',
        "if RANDOM in atlas: x()",
        'y = f"{a} against {b}" == CONTRAST',
        'kept = line != "nothing to say"',
    ],
)
def test_a_decision_by_words_is_found(source):
    constants = text_constants(ast.parse('RANDOM = "The weights are random."\nLEVEL = 0.05\nKEY = "card"'))
    assert constants == {"RANDOM"}
    assert imported(ast.parse("from plantain.a import RANDOM, KEY"), {"plantain.a": constants}) == {"RANDOM"}
    assert len(decisions(source, constants)) == 1


@pytest.mark.parametrize("source", ['if kind == "card": x()', 'words = text.split(" ")', 'if " " in text: x()'])
def test_keys_and_blanks_are_no_prose(source):
    assert decisions(source) == []


def test_rewording_every_statement_leaves_the_cards_structure(made_run, monkeypatch):
    run, published = made_run(), load_published()

    def shape():
        figure = ("figure.png", "A map of the heads")
        section = model_card.results_section(run, "mine", "owner/repo", None, published, figure).splitlines()
        assert "![A map of the heads](figure.png)" in section
        return [line[:2] if line.startswith("- ") else line for line in section]

    def reworded(make):
        return lambda *given: [statement._replace(text="Reworded.") for statement in make(*given)]

    before = shape()
    for name in ("careful_statements", "notes", "prompt_warnings"):
        monkeypatch.setattr(model_card, name, reworded(getattr(model_card, name)))
    assert shape() == before and before.count("- ") > 20
    monkeypatch.setattr(model_card, "_FIRST", (Kind.COUNT,))  # kinds do change it
    assert shape() != before


def test_every_kind_is_made_somewhere():
    source = "".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    assert [kind.name for kind in Kind if f"Kind.{kind.name}" not in source] == []


def test_no_text_says_that_random_weights_respond():
    """F8: the control has no more slices over |t| > 3 than flipped signs give, so nothing can be said to respond."""
    control = load_run(ROOT / "precomputed" / "untrained-klein-4b")
    found = control.inference(CARD).facts.thresholds[3]
    assert control.summary(CARD).thresholds[3].count < found.null_max and found.p > 0.2
    texts = [*(ROOT / "docs").glob("*.md"), *(ROOT / "plantain").rglob("*.html"), *(ROOT / "plantain").rglob("*.py")]
    assert len(texts) > 100
    assert not [path for path in texts if "respond too" in path.read_text(encoding="utf-8")]
