"""The study's plan and price, and which of its runs count as done."""

import dataclasses
import re

import pytest
from browser import ROOT

from plantain.findings.study import (
    STAGES,
    Part,
    check_model,
    find_done,
    known_seconds,
    made_by,
    model_name,
    plan_study,
    price,
    shape_of,
    short_name,
)
from plantain.models.info import ModelInfo
from plantain.models.sources import ModelError
from plantain.prompts.sets import load_prompt_set, shipped_sets
from plantain.report.study import price_text
from plantain.runs.info import Conditions
from plantain.runs.io import RunError, load_run, save_run
from plantain.runs.seconds import H200

KLEIN = "black-forest-labs/FLUX.2-klein-base-4B"
SHIPPED = ROOT / "precomputed" / "tiny-random"


@pytest.fixture
def own(moral_set):
    return dataclasses.replace(moral_set, name="mine", pairs=moral_set.pairs[:8])


def test_the_stages_are_the_cards_probe_three_seeds_and_every_shipped_set():
    card, seeds, controls = plan_study()
    assert [(p.name, p.prompt_set.name, p.conditions) for p in card.parts + seeds.parts] == [
        ("card", "moral-valence", Conditions(1024, (0,))),
        ("seeds", "moral-valence", Conditions(256, (0, 1, 2))),
    ]
    files = sorted(path.stem for path in (ROOT / "prompts").glob("*.toml"))
    assert [p.name for p in controls.parts] == [f"controls/{name}" for name in files] and len(files) == 13
    assert {p.conditions for p in controls.parts} == {Conditions(256, (0,))}
    assert seeds.parts[0].n_passes == 2 * 25 * 3


def test_own_prompts_take_the_moral_sets_place_and_stand_beside_it_in_the_atlas(own):
    card, seeds, controls = plan_study(own=own)
    assert card.parts[0].prompt_set is seeds.parts[0].prompt_set is own
    assert {p.name: p.prompt_set for p in controls.parts}["controls/own"] is own and len(controls.parts) == 14
    few = dataclasses.replace(own, pairs=own.pairs[:5])  # too few for an atlas, which would end in an error
    assert plan_study(own=few)[0].parts[0].prompt_set is few and len(plan_study(own=few)[2].parts) == 13
    tempo = load_prompt_set("tempo")  # one of the shipped sets stands in the atlas already
    assert len(plan_study(own=tempo)[2].parts) == 13


def test_stages_keep_their_order_and_one_size_can_hold_for_all():
    assert [stage.name for stage in plan_study(("controls", "card"))] == ["card", "controls"]
    parts = [part for stage in plan_study(size=64) for part in stage.parts]
    assert {part.conditions.size for part in parts} == {64}


# --- what it costs -----------------------------------------------------------------------------------------


def test_kleins_price_at_1024_px_is_that_of_the_h200_within_30_percent(moral_set):
    shape, prompts = shape_of(KLEIN), dataclasses.replace(moral_set, pairs=moral_set.pairs[:24])
    known = known_seconds(shape, [])
    found = price([Part("card", prompts, Conditions(1024))], shape.layout, known, "H200")
    assert found.seconds == pytest.approx(7.5, rel=0.3) and (found.n_pairs, found.n_passes) == (24, 48)
    assert price([Part("card", prompts, Conditions(1024))], shape.layout, known, "NVIDIA T4").seconds is None
    seeds = price([Part("seeds", prompts, Conditions(256, (0, 1, 2)))], shape.layout, known, H200)
    assert seeds.seconds == pytest.approx(3 * 1.6, rel=0.3) and seeds.n_passes == 144


@pytest.mark.parametrize("name", ["tiny-random", "untrained-klein-4b"])
def test_the_disk_that_is_told_is_what_a_run_takes(name, moral_set):
    folder = ROOT / "precomputed" / name
    files = [path for path in folder.rglob("*") if path.is_file()]  # of statistics those that a report leaves there
    taken = sum(path.stat().st_size for path in files if path.parent == folder or path.stem.endswith("-all"))
    shape = shape_of(KLEIN if "klein" in name else "tiny-random")
    assert shape.layout == load_run(folder).info.layout
    found = price([Part("card", moral_set, Conditions(256))], shape.layout, known_seconds(shape, []), "")
    assert found.n_bytes == pytest.approx(taken, rel=0.1)


def test_a_model_without_a_speed_gets_one_from_the_runs_that_are_done():
    run = load_run(SHIPPED)
    shape, device = shape_of("tiny-random"), run.info.device
    stages = plan_study(("card", "seeds"), size=256)
    assert "Speed: unknown for a model of this shape" in price_text(stages, {}, shape, device)
    text = price_text(stages, {"card": run}, shape, device)
    rows = {
        row[0]: row for row in re.findall(r"^\| (\S+) +\| .*?\| (.*?) +\| (.*?) +\| (.*?) +\| (.*?) +\|", text, re.M)
    }
    assert rows["card"][1:3] == ("done", "–")
    assert rows["seeds"][1:4] == ("to do", "25", "150")
    assert float(rows["seeds"][4]) == pytest.approx(3 * run.info.seconds, abs=1)
    assert f"{run.info.seconds / 25:.3g} s a pair at 256 px (measured here)" in text


def test_processes_share_the_seconds():
    found = [price_text(plan_study(("card",)), {}, shape_of(KLEIN), H200, n) for n in (1, 4)]
    assert [re.search(r"\| card .*?\| to do \| 25 +\| 50 +\| (\d+) ", text)[1] for text in found] == ["8", "2"]
    assert "shared by 4 processes" in found[1] and "shared" not in found[0]


def test_what_is_no_model_is_refused_without_a_network(tmp_path):
    with pytest.raises(ModelError, match="no such folder"):
        shape_of("nowhere")
    with pytest.raises(ModelError, match="no readable model_index.json"):
        shape_of(str(tmp_path))


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (KLEIN, "FLUX.2-klein-base-4B"),
        ("black-forest-labs/FLUX.2-klein-4B", "FLUX.2-klein-4B"),
        ("me/-._", "_"),
        ("me/--", "model"),
        ("a folder (new)", "a-folder-new"),
    ],
)
def test_a_models_short_name_fits_everywhere(model, name):
    assert short_name(model) == name


# --- what is done ------------------------------------------------------------------------------------------


@pytest.fixture
def part(moral_set):
    return Part("card", moral_set, Conditions(256))


def test_a_finished_run_with_the_same_settings_is_done(part, tmp_path):
    assert find_done(part, tmp_path / "card") is None
    run = find_done(part, SHIPPED)
    assert run.info == load_run(SHIPPED).info
    assert made_by(run.info, "tiny-random", None) and made_by(run.info, "tiny-random", "float32")
    assert not made_by(run.info, "tiny-random", "bfloat16") and not made_by(run.info, KLEIN, None)


@pytest.mark.parametrize(
    ("conditions", "n", "words"),
    [
        (Conditions(64), 25, "passes: 256 px · seed 0, now 64 px · seed 0"),
        (Conditions(256, (0, 1)), 25, "passes: 256 px · seed 0, now 256 px · seeds 0, 1"),
        (Conditions(256), 24, "prompts: moral-valence .*, now moral-valence "),
    ],
)
def test_a_finished_run_with_other_settings_is_refused(moral_set, conditions, n, words):
    prompts = dataclasses.replace(moral_set, pairs=moral_set.pairs[:n])
    with pytest.raises(RunError, match=f"holds a finished run with other settings .*{words}.*Choose another --out"):
        find_done(Part("card", prompts, conditions), SHIPPED)


def test_a_finished_run_of_another_model_is_refused():
    run = load_run(SHIPPED)
    same = {key: getattr(run.info, key) for key in ("model", "revision", "weights", "fingerprint", "dtype", "device")}
    check_model(run, ModelInfo(**{**same, "device": "NVIDIA H200"}))  # where it was made does not matter
    for other in ({"fingerprint": "0" * 64}, {"dtype": "bfloat16"}):
        with pytest.raises(RunError, match="model: tiny-random .* in float32, now tiny-random"):
            check_model(run, ModelInfo(**{**same, **other}))


def test_a_folder_of_something_else_is_refused(part, tmp_path):
    (tmp_path / "card").mkdir()
    (tmp_path / "card" / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match=r"holds something other than a run \(notes.txt\)"):
        find_done(part, tmp_path / "card")


def test_a_folder_is_called_by_its_last_name(tmp_path):
    (tmp_path / "my-klein").mkdir()
    assert model_name(str(tmp_path / "my-klein")) == "my-klein" and model_name(KLEIN) == KLEIN
    assert set(STAGES) == {"card", "seeds", "controls"} and len(shipped_sets()) == 13
    run = load_run(SHIPPED)
    copy = save_run(dataclasses.replace(run, folder=None), tmp_path / "copy")
    assert load_run(copy).info == run.info
