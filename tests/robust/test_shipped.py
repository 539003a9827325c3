"""The statistics that are shipped with the saved runs are those that a run without them computes."""

import json
import shutil

import numpy as np
import pytest
from browser import ROOT
from made import leaves
from safetensors import safe_open

from plantain.runs.io import load_run
from plantain.runs.units import Selection

SHIPPED = sorted((ROOT / "precomputed").glob("*/statistics/*-all.safetensors"))


def content(path):
    """Read the key, the facts and the columns of kept statistics."""
    with safe_open(path, "np") as file:
        said = json.loads(file.metadata()["statistics"])
        return said["key"], dict(leaves(said["facts"])), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def test_every_saved_run_has_statistics_of_all_its_units():
    found = {(path.parts[-3], path.stem) for path in SHIPPED}
    kinds = ("card", "heads", "text-heads", "mlp", "embedding")
    assert found == {(run, f"{units}-all") for run in ("tiny-random", "untrained-klein-4b") for units in kinds}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_shipped_statistics_are_those_that_are_computed_anew(tmp_path, path):
    run = path.parents[1]
    copy = shutil.copytree(run, tmp_path / run.name, ignore=shutil.ignore_patterns("statistics"))
    load_run(copy).inference(Selection(path.stem.removesuffix("-all"), "all"))
    (key, facts, columns), shipped = content(copy / "statistics" / path.name), content(path)
    assert key == shipped[0] and facts.keys() == shipped[1].keys()
    # Not by the byte: another processor may round the last digit another way.
    for name, value in facts.items():
        assert value == (pytest.approx(shipped[1][name], rel=1e-9) if isinstance(value, float) else shipped[1][name])
    assert columns.keys() == shipped[2].keys()
    for name, column in columns.items():
        np.testing.assert_allclose(column, shipped[2][name], rtol=1e-9, err_msg=name)
