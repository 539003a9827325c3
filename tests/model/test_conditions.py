"""Seeds and steps as repeated measures, and padding that nothing attends to."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from helpers import capture_pair

from plantain.cli.report import probe_pair
from plantain.findings.published import load_published
from plantain.findings.repeats import stability
from plantain.models.load import PhasedPipeline, identify, load_pipeline
from plantain.probe.checkpoint import Checkpoint
from plantain.probe.denoising import denoise, encode
from plantain.probe.hooks import recording
from plantain.probe.passes import Passes, layout_of
from plantain.probe.runner import ProbeConfig, run_probe
from plantain.probe.tokens import ProbeError, tokenize
from plantain.report.run import report_text
from plantain.report.tables import repeats_frame
from plantain.runs.capture import SumsOfSquares
from plantain.runs.info import MOST_REPEATS, Conditions
from plantain.runs.io import RunError, load_run, save_run
from plantain.runs.run import capture_bytes
from plantain.runs.scopes import PLAIN_SCOPES, STREAM_SCOPES
from plantain.runs.units import Selection, SelectionError, magnitudes

SIZE, SEED = 64, 3
SEVERAL = ProbeConfig(size=SIZE, seed=5, seeds=(5, 6, 9))


@pytest.fixture(scope="module")
def run(pipe, small_set):
    return run_probe(pipe, small_set, SEVERAL)


# --- repeated measures -------------------------------------------------------------------------------------


def test_every_seed_is_the_run_of_that_seed_and_the_sums_are_their_average(pipe, small_set, run):
    alone = [capture_pair(pipe, pair, SIZE, seed) for seed in (5, 6, 9) for pair in small_set.pairs]
    for i, repeat in enumerate(run.repeats):
        for stream in STREAM_SCOPES:
            for j in range(4):
                np.testing.assert_array_equal(repeat.streams[stream][:, j], alone[4 * i + j].sums.streams[stream][:, 0])
    for stream, values in run.sums.streams.items():
        expected = sum(repeat.streams[stream].astype(float) for repeat in run.repeats) / 3
        np.testing.assert_allclose(values, expected, rtol=1e-6)
    assert run.sums.n_pairs == 4 == len(run.pairs)  # never more pairs
    np.testing.assert_array_equal(run.sums.tokens, run.repeats[0].tokens)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_later_steps_are_the_pipelines_own(dtype, moral_set):
    """Every hook of every step sees what the pipeline's own call of three steps shows it, to the bit."""
    from plantain.models.load import load_pipeline
    from plantain.models.stand_in import build_stand_in

    pipe, whole = load_pipeline("tiny-random", dtype=dtype), build_stand_in().to(dtype=dtype)
    whole.set_progress_bar_config(disable=True)
    prompt = moral_set.pairs[0].positive

    def tapped(transformer, call):
        seen = []
        modules = [b.attn.to_out for b in transformer.single_transformer_blocks]
        modules += [b.attn.to_out[0] for b in transformer.transformer_blocks]
        handles = [m.register_forward_pre_hook(lambda _, args: seen.append(args[0].clone())) for m in modules]
        call()
        for handle in handles:
            handle.remove()
        return seen

    def full():
        whole(
            prompt=prompt, height=SIZE, width=SIZE, num_inference_steps=3, guidance_scale=1.0,
            generator=torch.Generator("cpu").manual_seed(SEED), output_type="latent",
        )  # fmt: skip

    expected = tapped(whole.transformer, full)
    got = tapped(pipe.transformer, lambda: list(denoise(pipe, encode(pipe, [prompt]), SIZE, SEED, steps=3)))
    assert len(expected) == len(got) == 75
    assert all(torch.equal(one, other) for one, other in zip(expected, got, strict=True))
    assert not torch.equal(got[0], got[25])  # another step is another measure


def test_the_first_of_several_steps_is_the_probe_of_one(pipe, small_set):
    (capture,) = Passes(pipe, Conditions(SIZE, (SEED, 4), steps=2)).capture(small_set.pairs[:1])
    assert len(capture.repeats) == 4
    for i, seed in ((0, SEED), (2, 4)):
        alone = capture_pair(pipe, small_set.pairs[0], SIZE, seed)
        for stream, values in alone.sums.streams.items():
            np.testing.assert_array_equal(values, capture.repeats[i].streams[stream])
    assert not np.array_equal(capture.repeats[0].streams["single"], capture.repeats[1].streams["single"])


def test_names_of_measures_say_seed_and_step():
    assert Conditions(64, (5,)).repeats == ("seed 5",)
    assert Conditions(64, (5, 6), 2).repeats == (
        "seed 5, step 1 of 2", "seed 5, step 2 of 2", "seed 6, step 1 of 2", "seed 6, step 2 of 2",
    )  # fmt: skip


def test_repeated_measures_come_back_to_the_bit(run, tmp_path):
    again = load_run(save_run(run, tmp_path / "run"))
    assert again.info == run.info and again.info.seeds == (5, 6, 9) and len(again.repeats) == 3
    for one, other in zip(run.repeats, again.repeats, strict=True):
        for stream, values in one.streams.items():
            np.testing.assert_array_equal(values, other.streams[stream])


def test_measures_that_are_not_what_the_sums_average_are_refused(run):
    with pytest.raises(ValueError, match="not the average of the repeated measures"):
        dataclasses.replace(run, repeats=(*run.repeats[:2], run.repeats[0]))
    with pytest.raises(ValueError, match="2 repeated measures, but the conditions have 3"):
        dataclasses.replace(run, repeats=run.repeats[:2])


@pytest.mark.parametrize("change", [{"seeds": [5, 5, 9]}, {"seeds": [5]}, {"steps": 0}, {"seeds": 5}, {"steps": 10**9}])
def test_forged_conditions_are_refused(run, tmp_path, change):
    path = save_run(run, tmp_path / "run") / "run.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"info": content["info"] | change}))
    with pytest.raises(RunError, match="is damaged"):
        load_run(path.parent)


def test_a_kept_pair_keeps_its_measures(pipe, small_set, run, tmp_path):
    kept = Checkpoint(tmp_path / "run", {})
    (capture,) = Passes(pipe, run.info.conditions).capture(small_set.pairs[:1])
    kept.save(0, capture, 1.0)
    again, _ = kept.load(0)
    assert len(again.repeats) == 3
    for one, other in zip(capture.repeats, again.repeats, strict=True):
        np.testing.assert_array_equal(one.streams["single"], other.streams["single"])


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"seeds": (1, 1)}, "a seed stands twice"),
        ({"steps": 0}, "choose from 1 to"),
        ({"seeds": (1, 2, 3), "steps": 6}, f"3 seeds of 6 steps: choose from 1 to {MOST_REPEATS} in all"),
        ({"seeds": (-1,)}, "seed -1"),
        ({"steps": 1.5}, "steps 1.5"),
    ],
)
def test_conditions_out_of_range_are_refused(settings, match):
    with pytest.raises(ProbeError, match=match):
        ProbeConfig(**settings)


def test_a_visitors_pair_goes_through_under_the_runs_conditions(pipe, run, small_set):
    pair = small_set.pairs[1]
    result = probe_pair(identify(pipe), run, pair.positive, pair.negative)
    own = run.analysis(Selection("heads")).differences[1]
    names = run.analysis(Selection("heads")).table.names
    for unit in result.top:
        assert unit.new == pytest.approx(own[names.index(unit.unit)], rel=1e-6, abs=1e-9)


# --- stability ---------------------------------------------------------------------------------------------


def test_stability_is_what_each_measure_would_have_found(run):
    found = stability(run, Selection("heads"))
    assert [m.name for m in found] == ["seed 5", "seed 6", "seed 9"]
    for i, measure in enumerate(found):
        values = magnitudes(run.repeats[i], run.info.layout, Selection("heads"))
        diffs = values[0] - values[1]
        t = diffs.mean(axis=0) / (diffs.std(axis=0, ddof=1) / 2)
        assert measure.max_abs_t == pytest.approx(np.abs(t).max())
        assert measure.over == tuple(int((np.abs(t) > limit).sum()) for limit in (3, 5))
        rest = SumsOfSquares.average([r for j, r in enumerate(run.repeats) if j != i])
        others = magnitudes(rest, run.info.layout, Selection("heads"))
        others = others[0] - others[1]
        u = others.mean(axis=0) / (others.std(axis=0, ddof=1) / 2)
        assert measure.r_others == pytest.approx(np.corrcoef(t, u)[0, 1])
        top = np.argsort(-np.abs(run.analysis(Selection("heads")).t), kind="stable")[:20]
        assert measure.same_sign == int((np.sign(t[top]) == np.sign(run.analysis(Selection("heads")).t[top])).sum())


def test_the_report_shows_the_measures_and_says_they_are_no_pairs(run, moral_run):
    text = report_text(run, load_published(), Selection("heads"))
    assert "are no more pairs" in text and "seeds 5, 6, 9" in text
    assert all(name in text for name in repeats_frame(run, Selection("heads"))["measure"])
    assert "Repeated measures" not in report_text(moral_run, load_published(), Selection("heads"))


# --- masked padding ----------------------------------------------------------------------------------------


def masked(pipe, embeds, tokens):
    """Run a masked pass on embeddings; return the transformer's output."""
    out = []
    hook = pipe.transformer.register_forward_hook(lambda _m, _a, result: out.append(result[0]))
    attended = torch.ones((1, 512 + 16), dtype=torch.bool)
    attended[0, tokens:512] = False
    next(denoise(pipe, embeds, SIZE, SEED, attended=attended))
    hook.remove()
    return out[0]


def test_masked_padding_cannot_be_felt(pipe, small_set):
    """Other padding embeddings change nothing in the output and in all recorded scopes; unmasked they do."""
    pair = small_set.pairs[0]
    embeds = torch.cat([encode(pipe, [text]) for text in (pair.positive, pair.negative)])
    changed = embeds.clone()
    for row, text in zip(changed, (pair.positive, pair.negative), strict=True):
        row[6 + len(text.encode()) + 19 :] = torch.randn(row[0].shape, generator=torch.Generator().manual_seed(1))
    n = 6 + len(pair.positive.encode()) + 19
    assert torch.equal(masked(pipe, embeds[:1], n), masked(pipe, changed[:1], n))
    assert not torch.equal(masked(pipe, embeds[:1], 512), masked(pipe, changed[:1], 512))

    def sums(given, mask):
        passes = Passes(pipe, Conditions(SIZE, (SEED,), mask_padding=mask), embed=lambda _pair: given)
        return passes.capture([pair])[0].sums.streams

    for stream, values in sums(embeds, True).items():
        np.testing.assert_array_equal(values, sums(changed, True)[stream])
    assert not np.array_equal(sums(embeds, False)["single"], sums(changed, False)["single"])


@pytest.mark.parametrize("batch", [1, 4])
def test_padding_is_left_out_of_encoder_and_transformer_and_nothing_else_changes(pipe, small_set, batch):
    """Against whole passes of 512 text tokens whose padding is masked by hand; positions are where they were."""
    pairs, lengths = small_set.pairs[:2], {"encoder": [], "transformer": []}
    hooks = [
        pipe.text_encoder.register_forward_pre_hook(
            lambda _m, _a, given: lengths["encoder"].append(given["input_ids"].shape[1]), with_kwargs=True
        ),
        pipe.transformer.register_forward_pre_hook(
            lambda _m, _a, given: lengths["transformer"].append(given["encoder_hidden_states"].shape[1]),
            with_kwargs=True,
        ),
    ]
    got = Passes(pipe, Conditions(SIZE, (SEED,), mask_padding=True), batch).capture(pairs)
    for hook in hooks:
        hook.remove()
    prompts = [text for pair in pairs for text in (pair.positive, pair.negative)]
    own = [6 + len(text.encode()) + 19 for text in prompts]
    assert len(set(own)) > 1  # some are shorter than others of their batch
    assert lengths["encoder"] == lengths["transformer"] == (own if batch == 1 else [max(own)])
    for place, (prompt, n) in enumerate(zip(prompts, own, strict=True)):
        with recording(pipe.transformer, [tokenize(pipe.tokenizer, prompt).segments], 16) as recorder:
            masked(pipe, encode(pipe, [prompt]), n)
        (whole,) = recorder.collect(layout_of(pipe), [prompt])
        sums = got[place // 2].sums
        for stream, values in whole.squares.items():
            wanted = sums.scopes(stream).index("padding") if "padding" in sums.scopes(stream) else None
            for row, value in enumerate(values):
                mine = sums.streams[stream][place % 2, 0, row]
                if row == wanted:
                    assert not mine.any()
                else:
                    np.testing.assert_allclose(mine, value, rtol=2e-5)


def test_a_masked_run_in_phases_is_the_same_to_the_bit(small_set, tmp_path):
    config = ProbeConfig(size=SIZE, mask_padding=True)
    whole = run_probe(load_pipeline("tiny-random"), small_set, config)

    def keep(plan):
        return Checkpoint(tmp_path / "run", plan.settings())

    assert capture_bytes(run_probe(PhasedPipeline("tiny-random"), small_set, config, keep=keep)) == capture_bytes(whole)


def test_in_masked_mode_all_is_without_padding_and_padding_is_nowhere(pipe, small_set):
    (capture,) = Passes(pipe, Conditions(SIZE, (SEED,), mask_padding=True)).capture(small_set.pairs[:1])
    assert capture.sums.present == ("template", "words", "image")
    for units in ("heads", "mlp", "text-heads", "embedding"):
        with pytest.raises(SelectionError, match="no recorded token in scope 'padding'"):
            magnitudes(capture.sums, layout_of(pipe), Selection(units, "padding"))
    parts = [magnitudes(capture.sums, layout_of(pipe), Selection("mlp", scope)) ** 2 for scope in capture.sums.present]
    counts = [capture.sums.tokens[..., PLAIN_SCOPES.index(scope)][..., None] for scope in capture.sums.present]
    expected = np.sqrt(sum(p * c for p, c in zip(parts, counts, strict=True)) / sum(counts))
    np.testing.assert_allclose(magnitudes(capture.sums, layout_of(pipe), Selection("mlp", "all")), expected, rtol=1e-9)


def test_a_masked_run_says_so_and_offers_no_padding(pipe, small_set, tmp_path):
    run = run_probe(pipe, small_set, ProbeConfig(size=SIZE, mask_padding=True))
    again = load_run(save_run(run, tmp_path / "run"))
    assert again.info.mask_padding and "padding masked" in report_text(again, load_published())
    assert again.scopes("heads") == ["all", "image", "prompt", "words", "template"]


def test_the_command_line_takes_seeds_steps_and_the_mask(cli, tmp_path, moral_file):
    few = tmp_path / "few.toml"
    head, *pairs = moral_file.read_text().split("[[pair]]")
    few.write_text("[[pair]]".join([head, *pairs[:4]]))
    args = ["run", "--model", "tiny-random", "--prompts", few, "--size", SIZE, "--out", tmp_path / "run"]
    code, said, _ = cli(*args, "--seeds", "4,1", "--steps", "2", "--mask-padding")
    assert code == 0 and "seeds 4, 1 · 2 steps · padding masked" in said
    info = load_run(tmp_path / "run").info
    assert (info.seed, info.seeds, info.steps, info.mask_padding) == (4, (4, 1), 2, True)
    for bad in (
        ["--seeds", "1,,2"],
        ["--seeds", "a"],
        ["--seeds", "1,1"],
        ["--steps", "0"],
        ["--seeds", "1,2", "--seed", "3"],
    ):
        code, _, error = cli(*args, "--overwrite", *bad)
        assert code == 2 and error.count("\n") == 1, bad
