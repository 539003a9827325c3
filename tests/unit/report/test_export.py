"""A run taken away: what is in the files is what the statistics say, and the names are safe."""

import io
import json
import re
import zipfile
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made import with_directions
from pictured import draw_into

from plantain._files import plain
from plantain.findings.published import load_published
from plantain.report.export import cite_bibtex, cite_text, file_name, report_json, run_zip, units_csv
from plantain.report.labels import weights_label
from plantain.runs.attached import attached_files
from plantain.runs.io import load_run, save_run
from plantain.runs.units import Selection


@pytest.mark.parametrize(("units", "scope"), [("card", "all"), ("text-heads", "words"), ("embedding", "padding")])
def test_the_csv_holds_every_number_in_full(moral_run, units, scope):
    # Older versions of pandas read the last digit only where they are told to.
    frame = pd.read_csv(io.BytesIO(units_csv(moral_run, Selection(units, scope))), float_precision="round_trip")
    a, inference = moral_run.analysis(Selection(units, scope)), moral_run.inference(Selection(units, scope))
    assert frame["unit"].tolist() == a.table.names and set(frame["scope"]) == {scope} and set(frame["units"]) == {units}
    np.testing.assert_array_equal(frame["t"], a.t)
    np.testing.assert_array_equal(frame["d_z"], a.dz)
    np.testing.assert_array_equal(frame["mean_difference"], a.differences.mean(axis=0))
    for name, values in inference.columns.items():
        np.testing.assert_array_equal(frame[name], values, err_msg=name)
    assert frame.sort_values("rank")["t"].abs().is_monotonic_decreasing and frame["rank"].min() == 1
    assert set(frame["weights_label"]) == {weights_label(moral_run.info)}


def test_a_unit_without_t_has_empty_cells_and_no_rank(made_run):
    run = made_run()
    run.sums.streams["single"][:, :, :, 0] = 1.0  # the same on both sides: no difference, t is 0
    run.sums.streams["single"][0, :, :, 0] = 4.0  # all differences the same and not zero: no t
    frame = pd.read_csv(io.BytesIO(units_csv(run)))
    gone = frame[frame["t"].isna()]
    assert gone["unit"].tolist() == ["single[0] slice 0"] and gone["rank"].isna().all() and gone["d_z"].isna().all()
    assert frame["rank"].max() == len(frame) - 1


def test_a_strangers_model_name_is_no_formula(made_run):
    run = made_run()
    csv = units_csv(replace(run, info=replace(run.info, model='=HYPERLINK("http://x")')))
    labels = pd.read_csv(io.BytesIO(csv))["weights_label"]
    assert labels.str.startswith("'=HYPERLINK").all()


def test_the_json_is_the_report_with_its_provenance(moral_run):
    content = json.loads(report_json(moral_run, Selection("heads", "image")))
    report = plain(moral_run.summary(Selection("heads", "image")))
    assert {key: content[key] for key in report} == report
    assert content["provenance"]["fingerprint"] == moral_run.info.fingerprint
    assert content["provenance"]["capture_sha256"] == moral_run.capture_sha256
    assert content["weights_label"] == weights_label(moral_run.info) and "STAND-IN" in content["weights_label"]


def test_an_unpacked_zip_is_the_same_run_to_the_bit(moral_run, tmp_path):
    assert moral_run.folder is None  # only in memory, as a visitor's
    packed = run_zip(moral_run, "plantain-x")
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert {name.split("/")[0] for name in archive.namelist()} == {"plantain-x"}
        assert {"run.json", "capture.safetensors", "units.csv"} <= {n.split("/")[1] for n in archive.namelist()}
        archive.extractall(tmp_path)
    back = load_run(tmp_path / "plantain-x")
    assert back.info == moral_run.info and back.pairs == moral_run.pairs
    assert back.capture_sha256 == moral_run.capture_sha256
    for stream, values in moral_run.sums.streams.items():
        assert values.tobytes() == back.sums.streams[stream].tobytes()
    assert back.summary() == moral_run.summary()
    assert run_zip(moral_run, "plantain-x") == packed


def test_an_unpacked_zip_has_the_runs_directions(moral_run, tmp_path):
    run = with_directions(moral_run)
    with zipfile.ZipFile(io.BytesIO(run_zip(run, "plantain-x"))) as archive:
        archive.extractall(tmp_path)
    assert load_run(tmp_path / "plantain-x").directions_sha256 == run.directions_sha256


# --- names and references ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("run", "name"),
    [
        ("tiny-random", "plantain-tiny-random-heads-all.csv"),
        ("../../etc/passwd", "plantain-etc-passwd-heads-all.csv"),
        ('a b"c\n<d>', "plantain-a-b-c-d-heads-all.csv"),
        ("…", "plantain-unnamed-heads-all.csv"),
        ("x" * 300, f"plantain-{'x' * 60}-heads-all.csv"),
    ],
)
def test_names_of_files_are_safe(run, name):
    assert file_name(run, "heads", "all", suffix=".csv") == name


def test_references_name_model_revision_weights_prompts_and_date(made_run):
    run = made_run()
    run = replace(run, info=replace(run.info, model="black_forest/K&1", revision="ab12" * 10, weights="pretrained"))
    text = cite_text(run, "mine", load_published(), "https://huggingface.co/spaces/a/b")
    for said in (
        "plantain, version", "https://huggingface.co/spaces/a/b", "“mine”", "black_forest/K&1", "ab12" * 10,
        "pretrained weights", run.info.prompts_sha256, "2026-01-01",
    ):  # fmt: skip
        assert said in text
    assert "random" not in text
    card = text.split("\n\n")[-1]
    assert "phanerozoic/moral-plantain" in card and "cited separately" in card and "K&1" not in card
    assert "spaces" not in cite_text(run, "mine", load_published())


@pytest.mark.parametrize("weights", ["stand-in", "untrained"])
def test_references_say_that_weights_are_random(made_run, weights):
    run = made_run()
    run = replace(run, info=replace(run.info, weights=weights))
    for cite in (cite_text, cite_bibtex):
        assert "The weights are random: the numbers say nothing about FLUX.2 Klein" in cite(run, "x", load_published())


def test_bibtex_is_well_formed(made_run):
    run = made_run()
    run = replace(run, info=replace(run.info, model="a_b{c}%$#&~^\\d"))
    text = cite_bibtex(run, "ü {x}", load_published(), "https://huggingface.co/spaces/a_b/c")
    assert re.findall(r"^@misc\{([^,]*),$", text, flags=re.MULTILINE) == [
        "plantain", "plantain-x", "plantain-card-moral-plantain",
    ]  # fmt: skip
    bare = re.sub(r"\\[{}]", "", text)  # escaped braces do not count
    assert bare.count("{") == bare.count("}")
    assert r"a\_b\{c\}\%\$\#\&\textasciitilde{}\textasciicircum{}\textbackslash{}d" in text
    assert "url = {https://huggingface.co/spaces/a_b/c}" in text and f"SHA-256: {run.info.prompts_sha256}" in text


def test_an_unpacked_zip_has_the_runs_pictures(made_run, tmp_path):
    folder = save_run(made_run(), tmp_path / "run")
    draw_into(folder)
    with zipfile.ZipFile(io.BytesIO(run_zip(load_run(folder), "plantain-x"))) as archive:
        archive.extractall(tmp_path)
    files = attached_files(load_run(folder))
    assert len(files) == 5 and attached_files(load_run(tmp_path / "plantain-x")) == files
