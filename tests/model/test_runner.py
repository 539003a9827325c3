"""The experiment: 25 pairs end to end, bad input refused before the first pass, and resuming to the bit."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import run_bytes
from made import scipy_t

from plantain.cli.report import probe_pair
from plantain.models.fingerprint import describe
from plantain.models.load import identify, load_pipeline
from plantain.probe import runner
from plantain.probe.checkpoint import Checkpoint
from plantain.probe.passes import Passes
from plantain.probe.runner import ProbeConfig, iter_pairs, plan_run, run_probe
from plantain.probe.tokens import ProbeError
from plantain.prompts.sets import PromptError
from plantain.runs.analysis import analyze
from plantain.runs.capture import SumsOfSquares
from plantain.runs.info import Conditions, NotComparableError
from plantain.runs.scopes import UNITS
from plantain.runs.units import Selection
from plantain.stats import max_t_p

CONFIG = ProbeConfig(size=64)


@pytest.fixture
def captured(monkeypatch) -> list[str]:
    """The ids of the pairs that went through the model."""
    ids, capture = [], Passes.capture

    def count(passes, pairs, **how):
        ids.extend(pair.id for pair in pairs)
        return capture(passes, pairs, **how)

    monkeypatch.setattr(Passes, "capture", count)
    return ids


@pytest.fixture
def passes(pipe):
    """One entry per pass through the text encoder or the transformer."""
    seen = []
    handles = [
        module.register_forward_pre_hook(lambda *_: seen.append(1)) for module in (pipe.text_encoder, pipe.transformer)
    ]
    yield seen
    for handle in handles:
        handle.remove()


# --- a whole run -------------------------------------------------------------------------------------------


def test_the_run_has_all_pairs_in_order(moral_run, moral_set, pipe):
    assert tuple(record.pair for record in moral_run.pairs) == moral_set.pairs
    info, model = moral_run.info, describe(pipe)
    assert (info.size, info.seed, info.prompts_sha256, info.fingerprint) == (64, 0, moral_set.sha256, model.fingerprint)
    assert moral_run.signs.shape == (1000, 25) and moral_run.halves.shape == (100, 25)


def test_the_run_can_be_analysed_for_every_unit(moral_run):
    counts = {units: moral_run.analysis(Selection(units)).table.n_units for units in UNITS}
    assert counts == {"card": 5 * 8 + 20 * 32, "heads": 25 * 4, "text-heads": 5 * 4, "mlp": 20 * 12, "embedding": 6}
    for units in UNITS:
        assert np.isfinite(moral_run.analysis(Selection(units)).t).all()
        assert moral_run.magnitudes(units).shape == (2, 25, counts[units])


def test_progress_is_told_before_the_first_pair_and_after_each(finished):
    assert finished[1] == [(done, 25) for done in range(26)]


def test_the_seconds_add_up(moral_run):
    assert 0 < moral_run.info.seconds < 600


def by_id(run, signs, halves):
    """Analyse a run with its pairs in the order of their ids."""
    order = np.argsort([record.pair.id for record in run.pairs])
    streams = {name: values[:, order] for name, values in run.sums.streams.items()}
    return analyze(SumsOfSquares(streams, run.sums.tokens[:, order]), run.info.layout, signs, halves)


def test_pairs_that_came_in_another_order_give_the_same_once_ordered_by_id(pipe, small_set):
    """Random flips and halves belong to places, so the places have to be the same; the captures are, to the bit."""
    turned = replace(small_set, pairs=small_set.pairs[::-1])
    run, other = (run_probe(pipe, prompt_set, CONFIG) for prompt_set in (small_set, turned))
    signs, halves = run.signs, np.array([[True, False, True, False], [True, True, False, False]])
    a, b = (by_id(r, signs, halves) for r in (run, other))
    for name in ("differences", "t", "dz", "split_r"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    np.testing.assert_array_equal(a.null.counts, b.null.counts)
    np.testing.assert_array_equal(a.null.max_abs_t, b.null.max_abs_t)
    np.testing.assert_array_equal(*(max_t_p(analysis.differences, signs=signs) for analysis in (a, b)))
    unordered = [analyze(r.sums, r.info.layout, signs, halves).null.max_abs_t for r in (run, other)]
    assert not np.allclose(*unordered)  # so there was something to put in order


def test_a_run_repeats_to_the_bit_and_depends_on_its_seed(pipe, small_set):
    one, again, other = (run_probe(pipe, small_set, replace(CONFIG, seed=seed)) for seed in (4, 4, 5))
    assert run_bytes(one) == run_bytes(again)
    assert not np.array_equal(one.sums.streams["single"], other.sums.streams["single"])
    assert not np.array_equal(one.signs, other.signs)


def test_more_flips_do_not_move_the_halves(pipe, small_set, monkeypatch):
    plan = plan_run(identify(pipe), small_set, CONFIG)
    done = list(iter_pairs(Passes(pipe, Conditions(64)), small_set.pairs))
    few = runner.assemble(plan, done)
    many = runner.assemble(replace(plan, config=replace(CONFIG, n_permutations=2000)), done)
    assert many.signs.shape[0] == 2000 and np.array_equal(few.halves, many.halves)


def test_both_sides_swapped_turn_every_difference_round(pipe, small_set):
    swapped = replace(
        small_set, pairs=tuple(replace(p, positive=p.negative, negative=p.positive) for p in small_set.pairs)
    )
    one, other = (run_probe(pipe, prompts, CONFIG) for prompts in (small_set, swapped))
    assert np.array_equal(one.analysis().differences, -other.analysis().differences)


# --- settings ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, -64, 48, 63, 72, 100, 2064, 10**9])
def test_a_size_out_of_range_is_refused(size):
    with pytest.raises(ProbeError, match=f"size {size}: choose a multiple of 16 from 64 to 2048"):
        ProbeConfig(size=size)


def test_directions_of_no_level_are_refused():
    with pytest.raises(ProbeError, match="directions 'some': choose of heads, all, image, off"):
        ProbeConfig(directions="some")


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_out_of_range_is_refused(seed):
    with pytest.raises(ProbeError, match="seed"):
        ProbeConfig(seed=seed)


@pytest.mark.parametrize("setting", ["n_permutations", "n_splits"])
def test_at_least_one_flip_and_one_split_are_needed(setting):
    with pytest.raises(ProbeError, match="at least one"):
        ProbeConfig(**{setting: 0})


def test_without_a_size_the_cpu_takes_256(pipe, small_set):
    assert plan_run(identify(pipe), small_set).conditions.size == 256
    assert plan_run(identify(pipe), small_set, ProbeConfig(size=80)).conditions.size == 80


def test_the_largest_seed_works(pipe, small_set):
    run = run_probe(pipe, small_set, replace(CONFIG, seed=2**63 - 1))
    assert np.isfinite(run.sums.streams["single"]).all()


@pytest.mark.parametrize(
    ("prompt", "match"),
    [("y" * 600, "625 tokens, 512 are possible"), ("a <|im_end|> b", "control token")],
)
def test_a_bad_prompt_in_the_last_pair_is_refused_before_the_first_pass(pipe, moral_set, passes, prompt, match):
    last = replace(moral_set.pairs[-1], negative=prompt)
    bad = replace(moral_set, pairs=moral_set.pairs[:-1] + (last,))
    kept = []
    with pytest.raises(PromptError, match=f"pair '{last.id}', negative side: .*{match}"):
        run_probe(pipe, bad, CONFIG, keep=kept.append)
    assert passes == [] and kept == []


def test_an_empty_prompt_in_the_last_pair_is_refused_as_in_a_file(pipe, moral_set, passes):
    bad = replace(moral_set, pairs=moral_set.pairs[:-1] + (replace(moral_set.pairs[-1], negative="  "),))
    with pytest.raises(PromptError, match=f"{bad.pairs[-1].id}.*'negative' must be a text that is not empty"):
        run_probe(pipe, bad, CONFIG)
    assert passes == []


# --- resuming ----------------------------------------------------------------------------------------------


class Stop(Exception):
    """Raised by a test in the middle of a run."""


def test_an_interrupted_run_goes_on_where_it_stopped(pipe, moral_set, moral_run, captured, tmp_path):
    def keep(plan):
        return Checkpoint(tmp_path / "run", plan.settings())

    def stop_after_nine(done, _total):
        if done == 9:
            raise Stop

    with pytest.raises(Stop):
        run_probe(pipe, moral_set, CONFIG, stop_after_nine, keep)
    assert captured == [pair.id for pair in moral_set.pairs[:9]]
    captured.clear()
    told = []
    run = run_probe(pipe, moral_set, CONFIG, lambda *step: told.append(step), keep)
    assert captured == [*(pair.id for pair in moral_set.pairs[9:]), moral_set.pairs[0].id]  # the placebo
    assert told[-1] == (25, 25)
    assert run_bytes(run) == run_bytes(moral_run)
    assert run.pairs == moral_run.pairs


def test_a_pair_in_the_middle_that_got_lost_is_the_only_one_computed(pipe, small_set, captured, tmp_path):
    unfinished = Checkpoint(tmp_path / "run", plan_run(identify(pipe), small_set, CONFIG).settings())
    whole = list(iter_pairs(Passes(pipe, Conditions(64)), small_set.pairs, unfinished))
    captured.clear()
    (unfinished.folder / "pair-0002.safetensors").unlink()
    again = list(iter_pairs(Passes(pipe, Conditions(64)), small_set.pairs, unfinished))
    assert captured == [small_set.pairs[2].id]
    for (one, _), (other, _) in zip(whole, again, strict=True):
        assert np.array_equal(one.sums.streams["single"], other.sums.streams["single"])


def test_all_that_a_pairs_numbers_depend_on_tells_unfinished_runs_apart(pipe, small_set, moral_set):
    plan = plan_run(identify(pipe), small_set, CONFIG)
    others = [
        plan_run(identify(pipe), moral_set, CONFIG),
        plan_run(identify(pipe), small_set, ProbeConfig(size=80)),
        plan_run(identify(pipe), small_set, ProbeConfig(size=64, seed=1)),
        replace(plan, model=replace(plan.model, fingerprint="other")),
        replace(plan, model=replace(plan.model, dtype="bfloat16")),
        replace(plan, model=replace(plan.model, device="cuda")),
        *(plan_run(identify(pipe), small_set, replace(CONFIG, directions=level)) for level in ("all", "off")),
    ]
    assert plan_run(identify(pipe), small_set, CONFIG).settings() == plan.settings()
    assert all(other.settings() != plan.settings() for other in others)


# --- one more pair -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("units", UNITS)
def test_a_pair_of_the_run_gives_exactly_the_runs_differences(pipe, moral_run, units):
    index = 11
    pair = moral_run.pairs[index].pair
    result = probe_pair(identify(pipe), moral_run, pair.positive, pair.negative, units)
    assert len(result.top) == min(20, moral_run.analysis(Selection(units)).table.n_units)
    analysis = moral_run.analysis(Selection(units))
    for score in result.top:
        own = analysis.differences[:, analysis.table.names.index(score.unit)]
        assert score.new == own[index] and score.differences == tuple(np.delete(own, index))
    t = np.abs(scipy_t(np.delete(analysis.differences, index, axis=0)))
    assert [abs(score.t) for score in result.top] == pytest.approx(np.sort(t)[::-1][:20], rel=1e-5)


def test_a_pairs_tokens_are_compared(pipe, moral_run):
    result = probe_pair(identify(pipe), moral_run, " Ana helps. ", "Ana naps.")
    assert result.tokens == (10, 9) and not result.comparable
    assert result.pair.positive == "Ana helps."


def test_another_model_is_refused_before_any_pass(pipe, moral_run, passes):
    bfloat = load_pipeline("tiny-random", dtype="bfloat16")
    with pytest.raises(NotComparableError, match="load it in float32"):
        probe_pair(identify(bfloat), moral_run, "Ana helps.", "Ana naps.")
    other = replace(moral_run, info=replace(moral_run.info, fingerprint="e" * 64))
    with pytest.raises(NotComparableError, match="configuration or weights differ"):
        probe_pair(identify(pipe), other, "Ana helps.", "Ana naps.")
    assert passes == []


@pytest.mark.parametrize(
    ("positive", "negative", "match"),
    [
        ("", "Ana naps.", "the positive prompt is empty"),
        ("Ana helps.", " \n", "the negative prompt is empty"),
        ("Same.", " Same. ", "both prompts are the same"),
        ("<think> helps", "Ana naps.", "control token"),
        ("Ana helps.", "z" * 600, "512 are possible"),
    ],
)
def test_a_bad_pair_is_refused_before_any_pass(pipe, moral_run, passes, positive, negative, match):
    with pytest.raises(PromptError, match=match):
        probe_pair(identify(pipe), moral_run, positive, negative)
    assert passes == []
