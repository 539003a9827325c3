"""The whole answer as JSON: all that the text of a report has, defined where it stands, and nothing that is no JSON."""

import json
import re
from dataclasses import asdict, replace

import numpy as np
import pytest
from made import made_differences, made_run, small_run

from plantain import UsageError
from plantain._files import plain
from plantain.cli import main
from plantain.findings.held_out import held_out
from plantain.findings.pairs import by_pair
from plantain.findings.published import load_published
from plantain.report import tables, verdict
from plantain.report.answer import COLUMNS, answer, answer_of_all, unit_answer
from plantain.report.export import pairs_data
from plantain.report.run import report_text, report_text_of_all
from plantain.runs.io import load_run, save_run
from plantain.runs.scopes import UNITS
from plantain.runs.units import Selection, SelectionError

PUBLISHED = load_published()


@pytest.fixture(scope="module")
def run():
    return made_run(made_differences(25, effect=0.8), n_permutations=100)


@pytest.fixture(scope="module")
def found(run):
    whole = answer(run, PUBLISHED)
    assert json.loads(json.dumps(whole, allow_nan=False)) == whole  # JSON values alone
    return whole


def rows_of(text, number):
    """Return the cells of the nth table of a report, head first."""
    table = re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE)[number]
    lines = [re.split(r"(?<!\\)\|", line)[1:-1] for line in table.splitlines()]
    head, _, *rows = [[cell.strip().replace("\\|", "|") for cell in line] for line in lines]
    return head, rows


def test_everything_that_the_text_says_is_in_the_json(run, found):
    text, notes = report_text(run, PUBLISHED), {note["text"]: note["kind"] for note in found["notes"]}
    assert all(line in text for line in found["verdict"]) and found["standing"] in text
    said = re.findall(r"^(?:NOTE|PROMPTS): (.*)$", text, re.MULTILINE)
    said += re.findall(r"^- (.*)$", text.split("## Read with care")[1].split("## By pair")[0], re.MULTILINE)
    assert said and set(said) == set(notes)
    assert set(notes.values()) >= {"comparable", "confound", "count", "corrected", "power", "influence"}
    head, rows = rows_of(text, 1)
    assert [row["unit"] for row in found["top_units"]] == [row[1] for row in rows] and len(rows) == 5
    for cells, row in zip(rows, found["top_units"], strict=True):
        assert [f"{row[name]:.3g}" for name in head[4:]] == cells[4:]
    head, rows = rows_of(text, 3)
    assert len(rows) == 25
    for cells, pair in zip(rows, found["pairs"], strict=True):
        assert cells[:3] == [pair["id"], f"{pair['score']:.2f}", f"{pair['size']:.2f}"]
        assert cells[3:5] == [str(pair["without"][t]) for t in ("3", "5")] and cells[5] == pair["category"]
        assert pair["positive"] and pair["negative"]
    head, rows = rows_of(text, 2)
    assert [row[:2] for row in rows] == [[c["category"], str(c["pairs"])] for c in found["categories"]]
    published = found["published"]
    assert published["source"] in text and f"{published['thresholds']['3']['count']:,} (19.7%)" in text
    assert published["comparable"] is False and published["family"]["source"] in text
    assert found["settings"]["seed"] == run.info.seed and found["settings"]["capture_sha256"] == run.capture_sha256
    assert found["weights_label"] in text and len(found["blocks"]) == 7


def test_no_figure_of_before_is_gone_or_another(run, found):
    before = {**plain(run.summary()), "held_out": plain(held_out(run))}
    assert {key: found[key] for key in before} == before


def test_every_column_is_defined_where_it_stands(run, found):
    text = report_text(run, PUBLISHED)
    for number, columns in ((1, tables.UNIT_COLUMNS), (3, tables.PAIR_COLUMNS)):
        head, _ = rows_of(text, number)
        line = [line for line in text.splitlines() if line.startswith("Columns: ")][0 if number == 1 else 2]
        assert all(f"{name}: {columns[name]}" in line for name in head)
    assert set(found["top_units"][0]) <= set(found["columns"]["top_units"])
    assert found["columns"] == json.loads(json.dumps(COLUMNS))
    assert found["captions"].keys() == {"metrics", "top_units", "repeats", "categories", "pair_kinds"}
    assert all(found["captions"][name] in text for name in ("metrics", "top_units", "categories"))
    more = set(found["pairs"][0]) - set(asdict(run.pairs[0].pair)) - {"tokens"}
    assert more | {"id"} == set(COLUMNS["pairs"])


def test_the_percent_has_one_name(run, found):
    frame = tables.top_units_frame(run.analysis(), None, inference=run.inference())
    places = [run.analysis().table.names.index(name) for name in frame["unit"]]
    np.testing.assert_allclose(frame["percent"], run.inference().columns["percent"][places], rtol=1e-12)
    assert "percent_of_magnitude" not in frame and "percent" in found["top_units"][0]


@pytest.mark.parametrize("sort", tables.SORTS)
def test_units_are_sorted_by_what_is_asked_for(run, sort):
    if sort == "p_flips" or sort in tables.DIRECTION_COLUMNS:
        with pytest.raises(UsageError, match=f"no unit has a value of '{sort}' here; sort by one of t, d_z"):
            tables.top_units_frame(run.analysis(), 7, inference=run.inference(), sort=sort)
        return
    frame = tables.top_units_frame(run.analysis(), 7, inference=run.inference(), sort=sort)
    whole = tables.top_units_frame(run.analysis(), None, inference=run.inference())
    assert len(frame) == 7 and len(whole) == 24
    if sort == "unit":
        assert frame["unit"].tolist() == run.analysis().table.names[:7]
    elif sort in tables.SMALLEST_FIRST:
        assert frame[sort].tolist() == sorted(whole[sort])[:7]
    else:
        assert frame[sort].abs().tolist() == sorted(whole[sort].abs(), reverse=True)[:7]
    ranks = dict(zip(whole["unit"], whole["rank"], strict=True))
    assert frame["rank"].tolist() == [ranks[name] for name in frame["unit"]]  # a rank is by |t| all the same


def test_all_kinds_stand_side_by_side(run):
    headline = held_out(run)
    text, found = report_text_of_all(run, "all", headline), answer_of_all(run, "all", headline, top=None)
    head, rows = rows_of(text, 0)
    kinds = {kind["units"]: kind for kind in found["unit_kinds"]}
    assert [row[0] for row in rows] == list(kinds) == ["card", "heads", "text-heads", "mlp", "embedding"]
    for row in rows:
        of = kinds[row[0]]
        assert row[1] == f"{of['n_units']:,}" and row[2] == f"{of['thresholds']['3']['count']:,}"
        assert row[head.index("max |t|")] == f"{of['max_abs_t']:.2f}"
        assert of["max_abs_t"] == np.abs(run.analysis(Selection(row[0])).t).max()
        assert len(of["top_units"]) == of["n_units"]
    assert all(f"{name}: {words}" in text for name, words in tables.UNIT_KIND_COLUMNS.items())
    image = answer_of_all(run, "image", headline)
    assert image["left_out"] == ["text-heads", "embedding"] and "Without such tokens: text-heads, embedding." in (
        report_text_of_all(run, "image", headline)
    )


@pytest.mark.parametrize("scope", ["all", "image"])
def test_beside_all_kinds_stands_that_they_are_exploratory(run, scope, monkeypatch):
    headline = held_out(run)
    for said in (report_text_of_all(run, scope, headline), answer_of_all(run, scope, headline)["standing"]):
        assert "Exploratory: these figures depart from PREREGISTRATION.md in their weights" in said

    def departs(info, of=None, role="axis", measure=""):
        return ("units",) * (of is not None or role != "axis")

    monkeypatch.setattr(verdict, "departures", departs)
    said = "The headline is the one of PREREGISTRATION.md; the figures of other units or tokens are exploratory."
    assert answer_of_all(run, scope, headline)["standing"] == said and said in report_text_of_all(run, scope, headline)


def test_what_was_read_in_a_pair_is_not_said_to_be_nothing(tmp_path):
    """A run keeps no reading: an empty field would say that neither side was nearer."""
    run = small_run()
    first, *others = run.pairs
    made = replace(run, pairs=(replace(first, pair=replace(first.pair, kind="neglect", nearer="positive")), *others))
    for of in (made, load_run(save_run(made, tmp_path / "run"))):
        pair, row = answer(of, PUBLISHED)["pairs"][0], pairs_data(of)
        assert pair["kind"] == row["kind"][0] == "neglect"
        assert not {"nearer", "attentive", "new_object"} & {*pair, *row}


def test_the_command_line_takes_top_sort_and_all(run, tmp_path, made_run, capsys):
    folder = save_run(made_run(), tmp_path / "run")
    assert main(["report", str(folder), "--units", "heads", "--top", "all", "--sort", "q_bh", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    q = [row["q_bh"] for row in found["top_units"]]
    assert len(q) == found["n_units"] and q == sorted(q) and found["sort"] == "q_bh"
    assert main(["report", str(folder), "--units", "all", "--top", "2"]) == 0
    text = capsys.readouterr().out
    assert text.count("## Top units: ") == 5 and "2 of " in text
    assert main(["report", str(folder), "--units", "all", "--json"]) == 0
    assert [kind["units"] for kind in json.loads(capsys.readouterr().out)["unit_kinds"]] == list(UNITS)
    for line in (["--top", "0"], ["--top", "-1"], ["--top", "some"], ["--sort", "size"], ["--sort", "p_flips"]):
        assert main(["report", str(folder), *line]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_a_unit_is_told_with_a_row_a_pair(run):
    name = "single[1] head 0"
    a = run.analysis(Selection("heads", "image"))
    place = a.table.names.index(name)
    told = unit_answer(run, name, "image")
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert (told["t"], told["scope"], told["units"]) == (a.t[place], "image", "heads")
    assert [row["difference"] for row in told["pairs"]] == a.differences[:, place].tolist()
    assert [row["pair"] for row in told["pairs"]] == [part.id for part in by_pair(run, Selection("heads", "image"))]
    corrected = run.inference(Selection("heads", "image")).columns
    told = unit_answer(run, name, "image")["corrected"]
    assert told == {column: values[place] for column, values in corrected.items()} and "p_fwer" in told
    with pytest.raises(SelectionError):
        unit_answer(run, "single[99] head 0")
