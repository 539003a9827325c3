"""A run as a dataset for the Hub: a row a unit and a row a pair, in Parquet, with a card that the viewer reads."""

import io
import sys

import numpy as np
import pandas as pd
import pytest
import yaml
from made import made_differences, made_run

from plantain import UsageError
from plantain.cli import main
from plantain.findings.pairs import by_pair
from plantain.report.export import dataset_files, pairs_data, units_csv, units_data
from plantain.runs.io import save_run
from plantain.runs.scopes import UNITS
from plantain.runs.units import Selection

KINDS = [Selection(units) for units in UNITS]


@pytest.fixture(scope="module")
def run():
    return made_run(made_differences(25), n_permutations=50)


def test_the_tables_have_a_row_a_unit_and_a_row_a_pair(run):
    units, pairs = units_data(run, Selection("heads")), pairs_data(run)
    a, inference = run.analysis(Selection("heads")), run.inference(Selection("heads"))
    assert units["unit"].tolist() == a.table.names and units["t"].tolist() == a.t.tolist()
    assert units["p_exact"].tolist() == inference.columns["p_exact"].tolist()
    assert pairs["id"].tolist() == [record.pair.id for record in run.pairs] and len(pairs) == 25
    parts = by_pair(run)
    assert pairs["score"].tolist() == [part.score for part in parts]
    assert pairs["without_over_3"].tolist() == [part.without[0] for part in parts]
    assert pairs["positive"].tolist() == [record.pair.positive for record in run.pairs]
    for frame in (units, pairs):
        assert frame["weights_label"].str.startswith("some/model at 0123456789ab").all()
    read = pd.read_csv(io.BytesIO(units_csv(run, Selection("heads"))))
    assert list(read.columns) == list(units.columns)
    np.testing.assert_allclose(read["t"], units["t"], rtol=1e-12)


def test_parquet_comes_back_to_the_bit(run):
    pytest.importorskip("pyarrow")
    files = dataset_files(run, "klein", KINDS)
    units, pairs = (pd.read_parquet(io.BytesIO(files[f"{name}.parquet"])) for name in ("units", "pairs"))
    expected = pd.concat([units_data(run, of) for of in KINDS], ignore_index=True)
    pd.testing.assert_frame_equal(units, expected)
    pd.testing.assert_frame_equal(pairs, pairs_data(run, KINDS[0]))
    _, front, text = files["README.md"].decode().split("---\n", 2)
    assert yaml.safe_load(front) == {
        "configs": [
            {"config_name": "units", "data_files": "units.parquet"},
            {"config_name": "pairs", "data_files": "pairs.parquet"},
        ]
    }
    known = {line[2:].split(":")[0] for line in text.splitlines() if line.startswith("- ")}
    assert {"t", "percent", "p_exact", "score", "without_over_3"} <= known and "some/model" in text


def test_a_strangers_words_are_text_in_its_card(run):
    pytest.importorskip("pyarrow")
    card = dataset_files(run, "a<b>[c](d)\n# e", KINDS[:1])["README.md"].decode()
    assert "<b>" not in card and "[c](d)" not in card and "\n# e" not in card


def test_without_pyarrow_one_line_says_what_to_install(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match="needs pyarrow, which is not installed: pip install pyarrow"):
        dataset_files(run, "klein", KINDS)


def test_the_command_writes_each_format_once(tmp_path, made_run, capsys):
    folder = save_run(made_run(), tmp_path / "run")
    assert main(["export", str(folder), "--format", "csv", "--units", "heads"]) == 0
    assert (tmp_path / "run.csv").read_bytes() == units_csv(made_run(), Selection("heads"))
    assert "run.csv: csv, " in capsys.readouterr().out
    assert main(["export", str(folder), "--format", "csv"]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["export", str(folder), "--format", "csv", "--overwrite"]) == 0
    assert main(["export", str(folder), "--format", "json", "--units", "all", "--out", str(tmp_path / "x")]) == 2
    assert main(["export", str(folder), "--format", "json", "--out", str(tmp_path / "none" / "x.json")]) == 2
    assert not (tmp_path / "x").exists() and "cannot be written" in capsys.readouterr().err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note.txt").write_text("x")
    args = ["export", str(folder), "--format", "parquet", "--out", str(tmp_path / "mine"), "--overwrite"]
    assert main(args) == 2 and (tmp_path / "mine" / "note.txt").exists()


def test_the_command_writes_a_dataset(tmp_path, made_run, capsys):
    pytest.importorskip("pyarrow")
    folder = save_run(made_run(), tmp_path / "run")
    assert main(["export", str(folder), "--format", "parquet"]) == 0
    assert {path.name for path in (tmp_path / "run.parquet").iterdir()} == {
        "units.parquet",
        "pairs.parquet",
        "README.md",
    }
    assert main(["export", str(folder), "--format", "parquet", "--units", "heads", "--overwrite"]) == 0
    assert set(pd.read_parquet(tmp_path / "run.parquet" / "units.parquet")["units"]) == {"heads"}
