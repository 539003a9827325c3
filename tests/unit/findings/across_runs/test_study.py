"""The study's plan and price, and which of its runs count as done."""

import dataclasses
import re

import pytest
from browser import ROOT

from plantain.findings.across_runs.study import (
    STAGES,
    InCard,
    Part,
    cause_left,
    check_apart,
    check_model,
    check_reservoirs,
    find_done,
    known_seconds,
    made_by,
    model_name,
    pictures_left,
    plan_study,
    price,
    shape_of,
    short_name,
)
from plantain.findings.interventions import REGISTERED, plan
from plantain.models.info import ModelInfo
from plantain.models.picture_book.folder import Drawing
from plantain.models.sources import ModelError
from plantain.prompts.sets import load_prompt_set, shipped_sets
from plantain.report.across_runs.study import price_text
from plantain.runs.attached.pictures import Picture
from plantain.runs.info import Conditions
from plantain.runs.io import RunError, load_run, save_run
from plantain.runs.seconds import H200

KLEIN = "black-forest-labs/FLUX.2-klein-base-4B"
SHIPPED = ROOT / "precomputed" / "tiny-random"


@pytest.fixture
def own(moral_set):
    return dataclasses.replace(moral_set, name="mine", pairs=moral_set.pairs[:8])


def test_the_stages_are_the_cards_probe_three_seeds_and_every_shipped_set():
    card, seeds, times, controls = plan_study()
    assert [(p.name, p.prompt_set.name, p.conditions) for p in card.parts + seeds.parts + times.parts] == [
        ("card", "moral-valence", Conditions(1024, (0,))),
        ("seeds", "moral-valence", Conditions(256, (0, 1, 2))),
        ("times", "moral-valence", Conditions(256, (0,))),
    ]
    assert times.parts[0].words == "256 px · seed 0 · times 1, 0.9, 0.7, 0.5, 0.3, 0.1"
    assert times.parts[0].n_passes() == 2 * 26 + 25 * (28 + 2 * 5)  # a neutral picture, both sides at five more times
    assert times.parts[0].n_passes(kept=20) == 2 * 6 + 5 * 38
    files = sorted(path.stem for path in (ROOT / "prompts").glob("*.toml"))
    assert [p.name for p in controls.parts] == [f"controls/{name}" for name in files] and len(files) == 16
    assert {p.conditions for p in controls.parts} == {Conditions(256, (0,))}
    assert seeds.parts[0].n_passes() == 2 * 26 * 3  # with one prompt beside itself
    assert seeds.parts[0].n_passes(kept=20) == 2 * 6 * 3


def test_own_prompts_take_the_moral_sets_place_and_stand_beside_it_in_the_atlas(own):
    card, seeds, times, controls = plan_study(own=own)
    assert card.parts[0].prompt_set is seeds.parts[0].prompt_set is times.parts[0].prompt_set is own
    assert {p.name: p.prompt_set for p in controls.parts}["controls/own"] is own and len(controls.parts) == 17
    few = dataclasses.replace(own, pairs=own.pairs[:5])  # too few for an atlas, which would end in an error
    assert plan_study(own=few)[0].parts[0].prompt_set is few and len(plan_study(own=few)[3].parts) == 16
    tempo = load_prompt_set("tempo")  # one of the shipped sets stands in the atlas already
    assert len(plan_study(own=tempo)[3].parts) == 16


def test_what_is_made_in_the_cards_run_is_no_run_of_its_own_and_brings_the_card_along():
    assert [stage.name for stage in plan_study()] == ["card", "seeds", "times", "controls"]
    card, pictures, cause = plan_study(("cause", "pictures"))
    assert [card.name, pictures.name, cause.name] == ["card", "pictures", "cause"]
    assert card == plan_study(("card",))[0] and pictures.parts == cause.parts == ()


def test_the_reservoirs_are_of_the_cards_pairs_in_its_passes_and_bring_it_along():
    card, reservoir = plan_study(("reservoir",))
    assert card == plan_study(("card",))[0] and "reservoir" not in {stage.name for stage in plan_study()}
    assert [(part.name, part.transformer) for part in reservoir.parts] == [(f"reservoir-{i}", i) for i in range(3)]
    (own,) = card.parts
    assert own.transformer is None
    assert all(dataclasses.replace(part, name="card", transformer=None) == own for part in reservoir.parts)


def test_stages_keep_their_order_and_one_size_can_hold_for_all():
    assert [stage.name for stage in plan_study(("controls", "card"))] == ["card", "controls"]
    parts = [part for stage in plan_study(size=64) for part in stage.parts]
    assert {part.conditions.size for part in parts} == {64}


# --- what it costs -----------------------------------------------------------------------------------------


def test_kleins_price_at_1024_px_is_that_of_the_h200_within_30_percent(moral_set):
    shape, prompts = shape_of(KLEIN), dataclasses.replace(moral_set, pairs=moral_set.pairs[:24])
    known = known_seconds(shape, [])
    found = price([Part("card", prompts, Conditions(1024))], shape.layout, known, "H200")
    assert found.seconds == pytest.approx(7.5 * 25 / 24, rel=0.01) and (found.n_pairs, found.n_passes) == (24, 50)
    assert price([Part("card", prompts, Conditions(1024))], shape.layout, known, "NVIDIA T4").seconds is None
    seeds = price([Part("seeds", prompts, Conditions(256, (0, 1, 2)))], shape.layout, known, H200)
    encoded, passed = 9.0, 14.5  # seconds of a prompt at 256 px on a processor, the only place where both were timed
    times = (encoded + 3 * passed) / (encoded + passed)
    assert seeds.seconds == pytest.approx(times * 1.6 * 25 / 24, rel=0.02) and seeds.n_passes == 150
    rest = price([Part("seeds", prompts, Conditions(256, (0, 1, 2)))], shape.layout, known, H200, {"seeds": 14})
    assert (rest.n_pairs, rest.n_passes) == (10, 66) and rest.seconds == pytest.approx(seeds.seconds * 11 / 25)


def test_a_run_of_several_seeds_teaches_what_a_pair_of_one_takes():
    """The next stage has one seed, and pays for encoding with it."""
    run = load_run(SHIPPED)
    seeds = dataclasses.replace(
        run, repeats=(run.sums,) * 3, info=dataclasses.replace(run.info, seeds=(0, 1, 2), seconds=52.5)
    )
    one = known_seconds(shape_of("tiny-random"), [seeds]).estimate("pair", 256, run.info.device).seconds
    assert one == pytest.approx(52.5 / 25 * 23.5 / 52.5, rel=0.01)  # of 9.0 + 3 * 14.5 it is 9.0 + 14.5


@pytest.mark.parametrize("name", ["tiny-random", "untrained-klein-4b"])
def test_the_disk_that_is_told_is_what_a_run_takes(name, moral_set):
    folder = ROOT / "precomputed" / name
    files = [path for path in folder.rglob("*") if path.is_file()]  # of statistics those that a report leaves there
    taken = sum(path.stat().st_size for path in files if path.parent == folder or path.stem.endswith("-all"))
    shape = shape_of(KLEIN if "klein" in name else "tiny-random")
    run = load_run(folder)
    assert shape.layout == run.info.layout
    part, known = Part("card", moral_set, Conditions(256)), known_seconds(shape, [])
    level = run.directions.level if run.directions else "off"
    found = price([part], shape.layout, known, "", directions=level)
    assert found.n_bytes == pytest.approx(taken, rel=0.1)


def test_the_causal_tests_price_counts_what_is_changed_and_leaves_out_the_encoding(moral_set):
    shape, part = shape_of(KLEIN), Part("card", moral_set, Conditions(1024))
    known = known_seconds(shape, [])
    found = cause_left(part, shape.layout, 0, known, H200)
    # Both sides as they are and in 426 changes: chosen, 2 x 199 redraws, 25 blocks, all heads, all MLP.
    assert (found.n_pairs, found.n_passes, found.n_pictures) == (25, 25 * 2 * 427, 0)
    encoded, passed = 477, 512 + 64 * 64  # as tokens of a pass
    assert found.seconds == pytest.approx(25 * 427 * 0.3125 * passed / (encoded + passed))
    rest = cause_left(part, shape.layout, 20, known, H200)
    assert (rest.n_pairs, rest.n_passes, rest.kept) == (5, 5 * 2 * 427, 20)
    assert cause_left(part, shape.layout, 25, known, H200) == InCard(0, 0, 0, 0.0)
    assert cause_left(part, shape.layout, 0, known, "NVIDIA T4").seconds is None
    run = load_run(SHIPPED)
    assert plan(run, REGISTERED).most_rows() == cause_left(part, run.info.layout, 0, known, H200).n_passes


def test_the_pictures_price_leaves_out_those_that_are_there(moral_set):
    part, known = Part("card", moral_set, Conditions(1024)), known_seconds(shape_of(KLEIN), [])
    drawing = Drawing(512, 24, 4.0)
    found = pictures_left(part, drawing, (), known, H200)
    passes = 50 * (1 + 24 * 2)  # expected, and drawn with guidance
    assert (found.n_pairs, found.n_passes, found.n_pictures) == (25, passes, 100)
    decoded = 0.086 / 4  # at 1024 px, with four times as many pixels
    assert found.seconds == pytest.approx(passes / 2 * 0.092 + 100 * decoded)
    assert pictures_left(part, Drawing(512, 24, 1.0), (), known, H200).n_passes == 50 * (1 + 24)

    def picture(pair, side, kind="drawn", seed=0, edit=""):
        return Picture(f"{pair}.{side}.{seed}.{kind}.webp", pair, side, seed, kind, edit, "a" * 64)

    first, second = (pair.id for pair in moral_set.pairs[:2])
    there = [picture(first, "positive"), picture(first, "negative"), picture(second, "positive")]
    there += [picture(second, side, seed=7) for side in ("positive", "negative")]
    there += [picture(second, side, edit="patch-top-1") for side in ("positive", "negative")]
    rest = pictures_left(part, drawing, there, known, H200)
    assert (rest.n_pairs, rest.n_passes, rest.n_pictures) == (25, passes - 2 * 24 * 2, 98)


def test_directions_have_their_price_on_the_disk(moral_set):
    shape = shape_of(KLEIN)
    part, known = Part("card", moral_set, Conditions(256)), known_seconds(shape, [])
    off, heads, whole = (price([part], shape.layout, known, "", directions=d).n_bytes for d in ("off", "heads", "all"))
    assert (heads - off, whole - off) == (33_024_000, 33_024_000 + 73_728_000)
    assert price([part], shape.layout, known, "").n_bytes == heads


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
    assert rows["seeds"][1:4] == ("to do", "25", "156")
    assert float(rows["seeds"][4]) == pytest.approx(52.5 / 23.5 * run.info.seconds * 26 / 25, abs=1)
    left = price_text(stages, {"card": run}, shape, device, kept={"seeds": 20})
    assert re.search(r"\| seeds .*\| to do, 20 pairs kept +\| 5 +\| 36 ", left)
    assert f"{run.info.seconds / 25:.3g} s a pair at 256 px (measured here)" in text


def test_processes_share_the_seconds():
    found = [price_text(plan_study(("card",)), {}, shape_of(KLEIN), H200, n) for n in (1, 4)]
    assert [re.search(r"\| card .*?\| to do \| 25 +\| 52 +\| (\d+) ", text)[1] for text in found] == ["8", "2"]
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


def test_a_run_of_the_model_is_none_of_a_random_transformer_behind_its_text_encoder(moral_set):
    with pytest.raises(RunError, match="weights: stand-in, now reservoir"):
        find_done(Part("reservoir-0", moral_set, Conditions(256), transformer=0), SHIPPED)


def test_a_run_without_later_times_is_none_of_them(moral_set):
    with pytest.raises(RunError, match="passes: 256 px · seed 0, now 256 px · seed 0 · times 1, 0.5"):
        find_done(Part("times", moral_set, Conditions(256), (1.0, 0.5)), SHIPPED)


def test_a_finished_run_of_another_model_is_refused():
    run = load_run(SHIPPED)
    same = {key: getattr(run.info, key) for key in ("model", "revision", "weights", "fingerprint", "dtype", "device")}
    check_model(run, ModelInfo(**{**same, "device": "NVIDIA H200"}))  # where it was made does not matter
    for other in ({"fingerprint": "0" * 64}, {"dtype": "bfloat16"}):
        with pytest.raises(RunError, match="model: tiny-random .* in float32, now tiny-random"):
            check_model(run, ModelInfo(**{**same, **other}))


def behind(run, fingerprint, **changes):
    """A finished run as that of a random transformer."""
    info = dataclasses.replace(run.info, weights="reservoir", fingerprint=fingerprint * 64, **changes)
    return dataclasses.replace(run, info=info, _analyses={})


def test_reservoirs_stand_beside_the_card_in_its_precision_and_each_has_its_own_weights():
    run = load_run(SHIPPED)
    card = dataclasses.replace(run, info=dataclasses.replace(run.info, weights="pretrained"), _analyses={})
    one, other = behind(run, "1"), behind(run, "2")
    check_reservoirs(card, [one, other])
    with pytest.raises(RunError, match="does not stand beside the card's run: it was made with other settings"):
        check_reservoirs(card, [one, behind(run, "2", dtype="bfloat16")])
    with pytest.raises(RunError, match="made by the same weights as another reservoir .1{12}."):
        check_reservoirs(card, [one, other, behind(run, "1")])
    check_apart(other.info, [one])
    with pytest.raises(RunError, match="made by the same weights"):
        check_apart(other.info, [one, other])


def test_a_folder_of_something_else_is_refused(part, tmp_path):
    (tmp_path / "card").mkdir()
    (tmp_path / "card" / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match=r"holds something other than a run \(notes.txt\)"):
        find_done(part, tmp_path / "card")


def test_a_folder_is_called_by_its_last_name(tmp_path):
    (tmp_path / "my-klein").mkdir()
    assert model_name(str(tmp_path / "my-klein")) == "my-klein" and model_name(KLEIN) == KLEIN
    assert (
        set(STAGES) == {"card", "seeds", "times", "controls", "pictures", "cause", "reservoir"}
        and len(shipped_sets()) == 16
    )
    run = load_run(SHIPPED)
    copy = save_run(dataclasses.replace(run, folder=None), tmp_path / "copy")
    assert load_run(copy).info == run.info
