"""Prompt files at the command line: a template to start from, roles of own sets, and commands that can be repeated."""

import ast
import json
import shlex
from dataclasses import replace

import numpy as np
import pytest
from browser import ROOT
from made import N_SLICES, made_run

from plantain.prompts.confounds import confounds_of_own_set
from plantain.prompts.sets import load_prompt_set
from plantain.report.labels import run_command
from plantain.runs.info import PairRecord
from plantain.runs.io import save_run


@pytest.mark.parametrize("name", ["own.csv", "own.tsv", "own.toml", "my own set"])
def test_a_template_is_a_set_without_faults_and_without_warnings(tmp_path, monkeypatch, cli, name):
    monkeypatch.chdir(tmp_path)
    code, out, said = cli("new-prompts", name)
    assert (code, said) == (0, "")
    words = shlex.split(out.splitlines()[1].partition(": ")[2])
    assert words[words.index("--prompts") + 1] == name
    found = load_prompt_set(tmp_path / name)
    assert (found.title, found.positive, found.negative, found.role) == (name.partition(".")[0], "fast", "slow", "axis")
    assert [pair.id for pair in found.pairs] == ["beach", "stairs", "river", "market", "soup", "snow"]
    assert confounds_of_own_set(found) == []
    assert cli("new-prompts", name)[0] == 2 and load_prompt_set(tmp_path / name) == found


# --- the atlas of own sets ---


ROWS = {
    "own": [f"row-{i + 1},Ola dares step {i}.,Ola dreads step {i}." for i in range(8)],
    "pace": [f"row-{i + 1},Pia runs mile {i}.,Pia walks mile {i}." for i in range(8)],
}


def write_table(folder, name, role=""):
    path = folder / f"{name}.csv"
    first, *rest = ROWS[name]
    path.write_text("\n".join(["id,positive,negative,role", f"{first},{role}", *(f"{row}," for row in rest)]))
    return path


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    """Save runs of a set that says no role and of a control, among what else lies in a folder of runs."""
    folder = tmp_path_factory.mktemp("family")
    for name, role in (("own", ""), ("pace", "control")):
        made = load_prompt_set(write_table(folder, name, role))
        facts = {"prompt_set": made.name, "title": made.title, "positive": made.positive, "negative": made.negative}
        rows = np.random.default_rng(list(name.encode())).normal(size=(8, N_SLICES))
        run = made_run(rows, **facts, prompts_sha256=made.sha256, role=role or None, n_permutations=20)
        sums = {stream: values.astype(np.float32) for stream, values in run.sums.streams.items()}
        pairs = tuple(PairRecord(pair, 3, 1) for pair in made.pairs)
        save_run(replace(run, pairs=pairs, sums=replace(run.sums, streams=sums)), folder / "runs" / name)
    for name in ("later.unfinished", "own.publish"):
        (folder / "runs" / name).mkdir()
    (folder / "runs" / "notes.txt").write_text("x")
    return folder


def roles(out):
    return [(axis["name"], axis["role"]) for axis in json.loads(out)["axes"]]


def test_no_template_is_written_that_is_not_read_again(tmp_path, cli):
    code, _, said = cli("new-prompts", tmp_path / "start.xlsx")
    assert code == 2 and "ends in .csv or .toml" in said and not list(tmp_path.iterdir())


def test_an_atlas_of_a_folder_passes_over_what_is_no_run(family, cli):
    code, out, said = cli("atlas", *sorted((family / "runs").glob("[!.]*")))
    assert code == 0 and "Atlas of 2 axes" in out
    assert [line.split("/")[-1] for line in said.splitlines() if "passed over" in line] == [
        "later.unfinished (not finished)", "notes.txt (a file)", "own.publish (a dry run of a publish)",
    ]  # fmt: skip
    code, out, _ = cli("atlas", family / "runs" / "own", family / "runs" / "pace", "--json")
    assert roles(out) == [("own", "axis"), ("pace", "control")]  # own is the only one that says no role
    code, _, said = cli("report", family / "runs" / "own", "--control", *sorted((family / "runs").glob("[!.o]*")))
    assert code == 0 and said.count("passed over") == 2


def test_roles_of_prompt_files_count_in_an_atlas(family, cli, tmp_path):
    folders = [family / "runs" / name for name in ("own", "pace")]
    code, _, said = cli("atlas", *folders, "--prompts", write_table(tmp_path, "own", "sibling"))
    assert code == 2 and "here are own (sibling), pace (control)" in said and said.count("\n") == 1
    changed = [write_table(tmp_path, "own", "control"), write_table(tmp_path, "pace", "axis")]
    code, out, _ = cli("atlas", *folders, "--json", "--prompts", *changed)
    assert code == 0 and roles(out) == [("pace", "axis"), ("own", "control")]
    assert "says no role" in cli("atlas", *folders, "--prompts", write_table(tmp_path, "own"))[2]
    assert "none of these runs is of these prompts" in cli("atlas", *folders, "--prompts", "contact")[2]


# --- commands that are printed ---

MARKS = ("-m plantain ", "PLANTAIN_RUNS=")

MADE = {"command", "texts", "words", "prompts", "found.look", "make"}  # quoted where they are made

IDS = {"options.repo_id", "desk.card_repo", "desk.results_repo", "repo_id", "number", "KLEIN"}  # have no blanks


def named_in_commands():
    """Yield what f-strings of the package put into a command, after the words that make it one."""
    for path in sorted((ROOT / "plantain").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)) if any(mark in text for mark in MARKS) else ():
            is_command = False
            for part in node.values if isinstance(node, ast.JoinedStr) else ():
                if isinstance(part, ast.FormattedValue) and is_command:
                    yield path.name, ast.unparse(part.value)
                is_command |= isinstance(part, ast.Constant) and any(mark in part.value for mark in MARKS)


def test_every_printed_command_quotes_what_it_names():
    found = list(named_in_commands())
    loose = [
        f"{file}: {said}" for file, said in found if not said.startswith(("shlex.quote(", "shlex.join(", "printable("))
    ]
    assert {line.partition(": ")[2] for line in loose} <= MADE | IDS and len(found) > 10, loose


def test_the_commands_of_run_and_of_cards_survive_blanks(tmp_path, cli, moral_run):
    words = shlex.split(run_command(moral_run.info, "my models/a b", "x.toml", "my runs/it's"))
    assert words[words.index("--model") + 1] == "my models/a b" and words[-1] == "my runs/it's"
