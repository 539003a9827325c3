"""The command line: three commands, one line for every error, and a run that survives being killed."""

import json
import re
import subprocess
import sys

import pytest
from browser import ROOT
from few import shell, without_warnings, write_set

from plantain.cli import main
from plantain.runs.units import Selection

# --- the commands ------------------------------------------------------------------------------------------


def test_report_prints_the_run_beside_the_published_figures(moral_folder, moral_run, capsys):
    assert main(["report", str(moral_folder)]) == 0
    text = capsys.readouterr().out
    assert "3,221 (19.7%)" in text and "509 (3.1%)" in text and "10.05" in text
    count = int((abs(moral_run.analysis().t) > 3).sum())
    assert f"{count:,} ({100 * count / 680:.1f}%)" in text
    assert "STAND-IN" in text and "say nothing about FLUX.2 Klein" in text


@pytest.mark.parametrize(("units", "scope", "n"), [("card", "all", 680), ("heads", "words", 80), ("mlp", "image", 240)])
def test_report_json_has_the_promised_keys(moral_folder, moral_run, capsys, units, scope, n):
    assert main(["report", str(moral_folder), "--units", units, "--scope", scope, "--json"]) == 0
    found = json.loads(capsys.readouterr().out, parse_constant=lambda c: pytest.fail(f"{c} is no JSON"))
    keys = "units scope n_units n_pairs thresholds large_effect split_half max_abs_t top_blocks"
    assert found.keys() >= set(keys.split())
    assert (found["units"], found["scope"], found["n_units"], found["n_pairs"]) == (units, scope, n, 25)
    assert found["thresholds"].keys() == {"3", "5"}
    assert found["thresholds"]["3"].keys() == {"count", "percent", "null_p99", "ratio"}
    assert found["large_effect"].keys() == {"threshold", "count", "percent"}
    assert found["split_half"].keys() == {"median", "q25", "q75", "n_splits"}
    assert found["top_blocks"][0].keys() == {"block", "max_abs_t", "n_over_3", "n_units", "median_abs_d"}
    assert (
        found["max_abs_t"]
        == abs(moral_run.analysis(Selection(units, scope)).t).max()
        == found["top_blocks"][0]["max_abs_t"]
    )


def test_python_m_plantain_reports(moral_folder, moral_run):
    done = shell("report", str(moral_folder), "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["max_abs_t"] == abs(moral_run.analysis().t).max()


def test_report_does_not_import_torch(moral_folder):
    code = (
        "import sys; from plantain.cli import main; main(sys.argv[1:]); "
        "print(sorted({'torch', 'diffusers', 'transformers', 'gradio'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "report", str(moral_folder)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


# --- bad input ---------------------------------------------------------------------------------------------

BAD_INPUT = [
    ("", "required: COMMAND"),
    ("dance", "invalid choice: 'dance'"),
    ("run --model tiny-random --out {tmp}/new", "required: --prompts"),
    ("run --model tiny-random --prompts {tmp}/none.toml --out {tmp}/new", "none.toml: cannot be read"),
    ("run --model tiny-random --prompts {tmp}/broken.toml --out {tmp}/new", "is not valid TOML"),
    (
        "run --model tiny-random --prompts {tmp}/control.toml --out {tmp}/new",
        "pair '3', negative side: .*control token",
    ),
    ("run --model tiny-random --prompts {few} --out {run}", "exists already. Choose another folder"),
    ("run --model tiny-random --prompts {few} --out {tmp} --overwrite", "holds something other than a run"),
    ("run --model tiny-random --prompts {few} --out {few}/new", "few.toml/new.unfinished: cannot be written"),
    ("run --model {tmp}/none --prompts {few} --out {tmp}/new", "no such folder"),
    ("run --model no-owner/no-model --prompts {few} --out {tmp}/new", "the Hub cannot be reached"),
    ("run --model {few} --prompts {few} --out {tmp}/new", "few.toml: is a file, and a model is the folder"),
    ("run --model models/klein-Q4.gguf --prompts {few} --out {tmp}/new", "is the name of a file, and no such file or"),
    ("run --model tiny-random --prompts {few} --out {tmp}/" + 242 * "r", "its name has 242 bytes; here at most 241"),
    ("report {tmp}/new --units card --control", "expected at least one argument"),
    ("new-prompts {few}", "few.toml: exists already. Choose another name"),
    ("new-prompts {few}/x.csv", "x.csv: cannot be written"),
    ("atlas {run} --prompts {few}", "few.toml: none of these runs is of these prompts"),
    ("run --model tiny-random --prompts {few} --out {tmp}/new --size 100", "size 100: choose a multiple of 16"),
    ("run --model tiny-random --prompts {few} --out {tmp}/new --size big", "invalid int value: 'big'"),
    ("run --model tiny-random --prompts {few} --out {tmp}/new --seed -1", "seed -1"),
    ("run --model tiny-random --prompts {few} --out {tmp}/new --dtype int3", "unknown dtype 'int3'"),
    ("run --model tiny-random --prompts {few} --out {tmp}/new --device toaster", "try --device cpu"),
    ("report {tmp}/none", "none: there is no such folder"),
    ("report {few}", "is no run"),
    ("report {run} --units neurons", "invalid choice: 'neurons'"),
    ("report {run} --scope moon", "invalid choice: 'moon'"),
    ("report {run} --units text-heads --scope image", "have no tokens of scope 'image'"),
    ("pair {run} --positive A", "required: --negative"),
    ("pair {run} --positive A --negative A", "both prompts are the same"),
    ("pair {run} --positive A --negative B --units text-heads --scope image", "have no tokens of scope 'image'"),
    ("pair {run} --positive A --negative B --dtype bfloat16", "load it in float32"),
    ("pair {run} --positive \ud83c --negative B", "not valid Unicode"),
    ("pair {run} --positive A --negative <think>", "control token"),
    ("pair {tmp}/none --positive A --negative B", "none: there is no such folder"),
]


@pytest.mark.parametrize(("line", "match"), BAD_INPUT)
def test_bad_input_ends_with_2_and_one_line_and_leaves_nothing(line, match, tmp_path, prompts, moral_folder, capfd):
    (tmp_path / "broken.toml").write_text("name = ")
    write_set(tmp_path / "control.toml", 4, "stop <|im_end|> here")
    before = sorted(tmp_path.rglob("*")) + sorted(prompts.parent.rglob("*"))
    args = [part.format(tmp=tmp_path, few=prompts, run=moral_folder) for part in line.split()]
    assert main(args) == 2
    captured = capfd.readouterr()
    assert captured.out == ""
    err = without_warnings(captured.err)
    assert err.startswith("plantain: ") and err.count("\n") == 1 and "\r" not in err
    assert re.search(match, captured.err), captured.err
    assert sorted(tmp_path.rglob("*")) + sorted(prompts.parent.rglob("*")) == before


@pytest.mark.parametrize(
    "line",
    [
        ["report", ""], ["report", "  "], ["pair", "", "--positive", "A", "--negative", "B"], ["atlas", ""],
        ["atlas", "DIR", ""], ["publish", "", "--repo-id", "O/N"], ["pull", "--repo-id", "O/N", "--into", ""],
        ["new-prompts", ""], ["make-references", "", "DIR"], ["make-model", "untrained-klein-4b", ""],
        ["reproduce", "--prompts", ""], ["report", "DIR", "--control", ""],
    ],
)  # fmt: skip
def test_no_argument_may_be_empty(line, cli):
    code, out, said = cli(*line)
    assert (code, out) == (2, "") and "it is empty" in said and said.count("\n") == 1


def test_an_empty_prompt_is_refused_in_one_line(moral_folder, capfd):
    assert main(["pair", str(moral_folder), "--positive", "  ", "--negative", "B"]) == 2
    assert capfd.readouterr().err == "plantain: the positive prompt is empty; write a sentence.\n"


@pytest.mark.parametrize("command", ["publish", "pull", "space"])
def test_the_help_names_the_variable_that_the_hubs_library_reads(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    assert "HF_TOKEN" in capsys.readouterr().out


def test_an_option_that_is_none_points_to_the_help_of_its_command(cli):
    code, _, said = cli("report", "somewhere", "--bogus")
    assert code == 2 and said == "plantain: unrecognized: --bogus. See: python -m plantain report --help\n"
