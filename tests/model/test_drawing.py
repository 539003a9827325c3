"""Both sides of a run's pairs as pictures: from one noise, as the pipeline's own call, edited where that was asked."""

import dataclasses
import shutil

import numpy as np
import pytest
import torch
from browser import ROOT

from plantain.findings.heads import chosen_heads
from plantain.models.load import PhasedPipeline, identify, load_pipeline
from plantain.models.picture_book.folder import Drawing
from plantain.probe.passes import Passes
from plantain.probe.pictures.drawing import Job, Request, draw_pairs, drawn_together, edits_of, jobs_of, missing
from plantain.probe.pictures.expected import pictures
from plantain.probe.tokens import ProbeError
from plantain.runs.attached.pictures import DRAWN, EXPECTED, PictureEdit, picture_bytes, read_pictures
from plantain.runs.info import Conditions, NotComparableError
from plantain.runs.io import load_run
from plantain.runs.units import Selection, SelectionError, unit_table

QUICK = Drawing(64, 1, 4.0)
RUN = ROOT / "precomputed" / "tiny-random"


@pytest.fixture(scope="module")
def painter():
    """The stand-in with its VAE."""
    return identify(load_pipeline("tiny-random", device="cpu", images=True))


@pytest.fixture(scope="module")
def run():
    return load_run(RUN)


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(RUN, tmp_path / "run")


def edit_of(run, method, spec="top:3", scale=None):
    names = unit_table(run.info.layout, Selection("heads", "image")).names
    return PictureEdit(method, spec, tuple(names[i] for i in chosen_heads(run, spec)), scale)


def pixels(painter, run, kind=DRAWN, edit=None, pair=0, seed=7, how=QUICK):
    """Draw one pair without files: uint8 (2, 64, 64, 3)."""
    ((positive, negative),) = drawn_together(
        painter.pipe, run, [Job(pair + 1, run.pairs[pair].pair, seed, kind, edit)], how
    )
    return np.stack([np.asarray(positive), np.asarray(negative)])


def test_both_sides_are_what_the_pipeline_draws_of_them_from_one_noise(painter, run, whole):
    got = pixels(painter, run, how=Drawing(64, 2, 4.0))
    for own, text in zip(got, (run.pairs[0].pair.positive, run.pairs[0].pair.negative), strict=True):
        image = whole(
            prompt=text, height=64, width=64, num_inference_steps=2, guidance_scale=4.0,
            generator=torch.Generator("cpu").manual_seed(7),
        ).images[0]  # fmt: skip
        assert np.abs(own.astype(int) - np.asarray(image)).max() <= 1  # a batch rounds otherwise
    assert not np.array_equal(*got)


def test_what_is_expected_is_what_the_probes_own_passes_give(painter, run):
    seen = []
    Passes(painter.pipe, Conditions(64, (7,)), expected=seen.append).capture([run.pairs[0].pair])
    own = np.stack([np.asarray(image) for image in pictures(painter.pipe, seen)])
    assert np.abs(pixels(painter, run, EXPECTED).astype(int) - own).max() <= 1


def test_an_edit_that_changes_nothing_gives_the_same_picture(painter, run):
    plain = pixels(painter, run)
    np.testing.assert_array_equal(pixels(painter, run, edit=edit_of(run, "scale", scale=1.0)), plain)
    plain = pixels(painter, run, EXPECTED)
    np.testing.assert_array_equal(pixels(painter, run, EXPECTED, edit_of(run, "steer", scale=0.0)), plain)
    alike = dataclasses.replace(run.pairs[0].pair, negative=run.pairs[0].pair.positive)
    same = dataclasses.replace(run, pairs=(dataclasses.replace(run.pairs[0], pair=alike), *run.pairs[1:]))
    patched = pixels(painter, same, EXPECTED, edit_of(run, "patch", "top:100"))
    assert np.abs(patched.astype(int) - pixels(painter, same, EXPECTED)).max() <= 1


def test_patched_from_the_counterpart_both_sides_move_towards_it(painter, run):
    plain = pixels(painter, run).astype(float)
    patched = pixels(painter, run, edit=edit_of(run, "patch", "top:100")).astype(float)
    apart = np.abs(plain[0] - plain[1]).mean()
    for side in (0, 1):
        assert np.abs(patched[side] - plain[1 - side]).mean() < apart
        assert np.abs(patched[side] - plain[side]).mean() > 0


def test_steering_and_ablation_take_the_runs_own_vectors(run):
    vectors = run.vectors("heads", "image")
    places = chosen_heads(run, "top:3")
    positive, negative = edits_of(run, edit_of(run, "steer", scale=2.0), row=4)
    mean = (vectors[0] - vectors[1]).astype(float).mean(axis=0)[places]
    np.testing.assert_allclose(negative.values, 2 * mean, rtol=1e-6)
    np.testing.assert_allclose(positive.values, -2 * mean, rtol=1e-6)
    assert (positive.rows, negative.rows) == ((4,), (5,))
    (ablated,) = edits_of(run, edit_of(run, "ablate"))
    np.testing.assert_allclose(ablated.values, vectors.astype(float).mean(axis=(0, 1))[places], rtol=1e-6)
    assert {edit.scope for edit in (positive, negative, ablated)} == {"image"}


def test_pairs_of_a_batch_are_drawn_as_each_alone(painter, run):
    edit = edit_of(run, "patch")
    jobs = [Job(i + 1, run.pairs[i].pair, 7, DRAWN, edit) for i in (0, 1)]
    together = drawn_together(painter.pipe, run, jobs, QUICK)
    for i, sides in enumerate(together):
        got = np.stack([np.asarray(image) for image in sides]).astype(int)
        assert np.abs(got - pixels(painter, run, edit=edit, pair=i)).max() <= 1


# --- into a folder -----------------------------------------------------------------------------------------


def first(run, n=2, **more):
    return Request(QUICK, pairs=tuple(record.pair.id for record in run.pairs[:n]), **more)


def test_broken_off_it_goes_on_and_leaves_the_run_as_it_was(painter, run, folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    request = first(run, edits=(edit_of(run, "scale", scale=0.0),))

    def stop(done, _total):
        if done >= 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw_pairs(painter, run, folder, request, stop)
    kept = {path: path.read_bytes() for path in (folder / "images").glob("*.webp")}
    assert len(kept) == 4 and len(read_pictures(folder, run.info).pictures) == 4
    told = []
    assert draw_pairs(painter, run, folder, request, lambda *step: told.append(step)) == 4
    assert told == [(4, 8), (6, 8), (8, 8)]
    assert all(path.read_bytes() == content for path, content in kept.items())
    assert missing(run, folder, request) == [] and draw_pairs(painter, run, folder, request) == 0
    settings = read_pictures(folder, run.info)
    assert {len(picture_bytes(folder, picture)) > 0 for picture in settings.pictures} == {True}
    assert len({picture.sha256 for picture in settings.pictures}) == 8
    assert (settings.weights, settings.fingerprint) == ("stand-in", run.info.fingerprint)
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    (folder / "images" / settings.pictures[0].file).unlink()
    assert draw_pairs(painter, run, folder, request) == 1


def test_more_seeds_edits_and_kinds_come_beside_what_is_there(painter, run, folder):
    draw_pairs(painter, run, folder, first(run, 1))
    draw_pairs(painter, run, folder, first(run, 1, seeds=(3,), kinds=(EXPECTED,)))
    draw_pairs(painter, run, folder, first(run, 1, edits=(edit_of(run, "ablate"),)))
    settings = read_pictures(folder, run.info)
    assert settings.seeds == (0, 3) and [edit.name for edit in settings.edits] == ["ablate-top-3"]
    assert [(p.kind, p.seed, p.edit) for p in settings.pictures[::2]] == [
        (DRAWN, 0, ""), (EXPECTED, 3, ""), (DRAWN, 0, "ablate-top-3"),
    ]  # fmt: skip


def test_other_settings_and_somebodys_own_files_are_refused_and_stay(painter, run, folder):
    draw_pairs(painter, run, folder, first(run, 1))
    before = {path.name: path.read_bytes() for path in (folder / "images").iterdir()}
    with pytest.raises(ProbeError, match=r"steps: 1 there, 3 now.*move the folder away"):
        draw_pairs(painter, run, folder, Request(Drawing(64, 3, 4.0)))
    other = dataclasses.replace(painter, info=dataclasses.replace(painter.info, device="another"))
    with pytest.raises(ProbeError, match="device: cpu"):
        draw_pairs(other, run, folder, first(run))
    settings = read_pictures(folder, run.info)
    (folder / "images" / settings.pictures[0].file).write_bytes(b"mine")
    with pytest.raises(Exception, match="is not the picture that"):
        draw_pairs(painter, run, folder, first(run))
    (folder / "images" / settings.pictures[0].file).write_bytes(before[settings.pictures[0].file])
    assert {path.name: path.read_bytes() for path in (folder / "images").iterdir()} == before
    (folder / "images" / "settings.json").unlink()
    with pytest.raises(ProbeError, match="something other than pictures"):
        draw_pairs(painter, run, folder, first(run))


def test_another_model_is_refused(painter, run, folder):
    other = dataclasses.replace(painter, info=dataclasses.replace(painter.info, fingerprint="0" * 64, model="other"))
    with pytest.raises(NotComparableError, match="but other .* is loaded"):
        draw_pairs(other, run, folder, first(run))
    assert not (folder / "images").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"drawing": Drawing(100, 2, 4.0)}, "size 100"),
        ({"drawing": Drawing(64, 0, 4.0)}, "steps 0"),
        ({"drawing": Drawing(64, 2, float("nan"))}, "guidance nan"),
        ({"seeds": (-1,)}, "seed -1"),
        ({"seeds": (1, 1)}, "a seed stands twice"),
    ],
)
def test_what_cannot_be_drawn_is_said(change, words):
    with pytest.raises(ProbeError, match=words):
        Request(**{"drawing": QUICK, **change})


def test_pairs_that_are_not_there_and_too_many_pictures_are_refused(run):
    with pytest.raises(ProbeError, match="the run has no pair 'nobody'; it has "):
        jobs_of(run, Request(QUICK, pairs=("nobody",)))
    with pytest.raises(ProbeError, match="5,000 pictures are more than the 2,000"):
        jobs_of(run, Request(QUICK, seeds=tuple(range(100))))


def test_heads_are_chosen_as_they_are_asked_for(run):
    table = unit_table(run.info.layout, Selection("heads", "image"))
    agreement = run.direction_analysis(Selection("heads", "image")).agreement.mean
    top, drawn = chosen_heads(run, "top:10"), chosen_heads(run, "random:10")
    assert top.tolist() == sorted(range(100), key=lambda i: -agreement[i])[:10]
    assert sorted(table.block[top]) == sorted(table.block[drawn]) and set(top) != set(drawn)
    assert drawn.tolist() == chosen_heads(run, "random:10").tolist()
    magnitudes = dataclasses.replace(run, directions=None, _directed={})
    t = np.abs(magnitudes.analysis(Selection("heads", "image")).t)
    assert chosen_heads(magnitudes, "top:2").tolist() == sorted(range(100), key=lambda i: -t[i])[:2]
    assert [table.names[i] for i in chosen_heads(run, "single[19].3,joint[0] head 1")] == [
        "single[19] head 3", "joint[0] head 1",
    ]  # fmt: skip
    for spec, words in {
        "top:101": "has 100 heads",
        "single[20].0": "none of",
        "single[1].0,single[1].0": "twice",
    }.items():
        with pytest.raises(SelectionError, match=words):
            chosen_heads(run, spec)


# --- the command -------------------------------------------------------------------------------------------


def test_the_command_draws_says_what_it_costs_and_goes_on(cli, folder, run):
    pair = run.pairs[0].pair.id
    quick = ["--pairs", pair, "--size", "64", "--steps", "1", "--guidance", "1", "--device", "cpu"]
    code, out, _ = cli("draw", folder, *quick, "--heads", "top:2", "--method", "scale", "--scale", "0,2")
    assert code == 0 and out.startswith("6 pictures (64 px, 1 steps, guidance 1)")
    assert "6 pictures drawn now. tiny-random" in out and "STAND-IN" in out
    assert len(list((folder / "images").glob("*.webp"))) == 6
    code, out, _ = cli("draw", folder, *quick)
    assert code == 0 and "all pictures that were asked for are there" in out
    code, out, _ = cli("draw", folder, *quick, "--expected", "--heads", "joint[0].1")
    assert code == 0 and "4 pictures (64 px)" in out
    assert load_run(folder).capture_sha256 == run.capture_sha256


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["--pairs", "nobody"], "the run has no pair 'nobody'"),
        (["--heads", "top:1000"], "has 100 heads"),
        (["--method", "patch"], "go with --heads"),
        (["--heads", "top:1", "--scale", "2"], "not with patch"),
        (["--heads", "top:1", "--method", "scale", "--scale", "inf"], "give numbers"),
        (["--size", "65"], "size 65"),
        (["--steps", "0"], "whole number from 1"),
        (["--guidance", "0.5"], "guidance 0.5"),
        (["--seeds", "1,1"], "a seed stands twice"),
    ],
)
def test_what_can_be_refused_is_refused_before_the_model_loads(cli, folder, monkeypatch, words, match):
    monkeypatch.setattr(PhasedPipeline, "load_both", lambda *_: pytest.fail("the model was loaded"))
    code, _, error = cli("draw", folder, *words)
    assert code == 2 and match in error and error.count("\n") == 1
    assert not (folder / "images").exists()


def test_another_model_is_one_line(cli, folder, book):
    code, _, error = cli("draw", folder, "--model", book, "--size", "64", "--expected", "--device", "cpu")
    assert code == 2 and "the run was made by tiny-random" in error and not (folder / "images").exists()
