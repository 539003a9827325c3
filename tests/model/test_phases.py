"""One half of the model in memory at a time: the same bits, half of the memory, nothing lost when it is killed."""

import inspect
import json
from collections import namedtuple

import psutil
import pytest
import torch
from helpers import run_bytes

from plantain.cli import main
from plantain.models.fingerprint import describe
from plantain.models.load import PhasedPipeline, load_pipeline
from plantain.models.untrained import write_untrained
from plantain.probe.checkpoint import Checkpoint
from plantain.probe.runner import ProbeConfig, run_probe
from plantain.prompts.sets import PromptError
from plantain.runs.io import RunError, load_run

CONFIG = ProbeConfig(size=64)


@pytest.fixture(scope="module")
def folder(tiny, tmp_path_factory):
    """An untrained model in small, in bfloat16."""
    return str(write_untrained(tiny, tmp_path_factory.mktemp("models") / "small"))


@pytest.fixture
def held(monkeypatch):
    """What is in memory, one entry a change: text encoder, transformer."""
    seen, hold = [], PhasedPipeline._hold

    def watch(halves, **half):
        hold(halves, **half)
        seen.append((halves.pipe.text_encoder is not None, halves.pipe.transformer is not None))

    monkeypatch.setattr(PhasedPipeline, "_hold", watch)
    return seen


def keep_in(path):
    return lambda plan: Checkpoint(path / "run", plan.settings())


def phased(model, prompt_set, path, progress=None, **options):
    return run_probe(PhasedPipeline(model), prompt_set, CONFIG, progress, keep_in(path), **options)


# --- the same run ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(small_set):
    """The run with both halves in memory."""
    return run_probe(load_pipeline("tiny-random"), small_set, CONFIG)


def assert_same(got, expected):
    assert run_bytes(got) == run_bytes(expected)
    assert got.info.fingerprint == expected.info.fingerprint and got.info.weights == expected.info.weights
    assert (got.info.model, got.info.dtype, got.info.device) == (
        expected.info.model, expected.info.dtype, expected.info.device,
    )  # fmt: skip


def test_a_run_of_an_untrained_folder_in_phases_is_the_run_to_the_bit(folder, small_set, tmp_path):
    got = phased(folder, small_set, tmp_path)
    assert_same(got, run_probe(load_pipeline(folder), small_set, CONFIG))
    assert (got.info.weights, got.info.model, got.info.dtype) == ("untrained", "small", "bfloat16")


def test_a_run_in_phases_never_has_both_halves_in_memory_and_is_the_run_to_the_bit(whole, small_set, tmp_path, held):
    got = phased("tiny-random", small_set, tmp_path)
    assert_same(got, whole)
    assert (True, True) not in held
    assert held.count((True, False)) == 2 and held.count((False, True)) == 2  # fingerprinted, then used
    held.clear()
    PhasedPipeline("tiny-random").load_both()
    assert held == [(True, True)]  # the check can fail
    settings = json.loads((tmp_path / "run.unfinished" / "settings.json").read_text())
    passes = sum(Checkpoint(tmp_path / "run", settings).load(i)[1] for i in range(4))
    assert got.info.seconds > passes  # the seconds of encoding count


def test_batches_give_the_same_up_to_rounding(whole, small_set, tmp_path):
    batched = phased("tiny-random", small_set, tmp_path, batch=8)
    one, other = (torch.from_numpy(run.analysis().magnitudes) for run in (whole, batched))
    torch.testing.assert_close(one, other, rtol=1e-5, atol=0)


# --- killed and started again ------------------------------------------------------------------------------


class Stop(Exception):
    """Raised by a test in the middle of a run."""


def stop_at(n):
    def progress(done, _total):
        if done == n:
            raise Stop

    return progress


@pytest.fixture
def encoded(monkeypatch):
    """The pairs that went through the text encoder."""
    from plantain.probe import runner

    seen, pack = [], runner.pack_embeddings
    monkeypatch.setattr(
        runner, "pack_embeddings", lambda pipe, pair, *how: seen.append(pair.id) or pack(pipe, pair, *how)
    )
    return seen


def test_stopped_while_encoding_it_encodes_the_rest(whole, small_set, tmp_path, encoded):
    with pytest.raises(Stop):
        phased("tiny-random", small_set, tmp_path, encoded=stop_at(3))
    assert encoded == [pair.id for pair in small_set.pairs[:3]]
    told = []
    run = phased("tiny-random", small_set, tmp_path, encoded=lambda *step: told.append(step))
    assert encoded == [pair.id for pair in small_set.pairs] and told == [(3, 4), (4, 4)]
    assert run_bytes(run) == run_bytes(whole)


def test_stopped_among_the_passes_it_encodes_nothing_again(small_set, tmp_path, encoded, held):
    with pytest.raises(Stop):
        phased("tiny-random", small_set, tmp_path, progress=stop_at(2))
    encoded.clear()
    held.clear()
    told = []
    phased("tiny-random", small_set, tmp_path, progress=lambda *step: told.append(step))
    assert encoded == [] and held.count((True, False)) == 1  # only to take its fingerprint
    assert told == [(done, 4) for done in range(5)]


def test_damaged_embeddings_are_made_again(small_set, tmp_path, encoded):
    with pytest.raises(Stop):
        phased("tiny-random", small_set, tmp_path, encoded=stop_at(4))
    damaged = tmp_path / "run.unfinished" / "embeddings-0001.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:1000])
    encoded.clear()
    phased("tiny-random", small_set, tmp_path)
    assert encoded == [small_set.pairs[1].id]


def test_embeddings_that_vanish_are_an_error_that_says_what_to_do(small_set, tmp_path):
    def vanish(done, total):
        if done == total:
            (tmp_path / "run.unfinished" / "embeddings-0002.safetensors").unlink()

    with pytest.raises(RunError, match="prompt embeddings are gone. Repeat the command"):
        phased("tiny-random", small_set, tmp_path, encoded=vanish)


def test_a_bad_prompt_is_refused_before_anything_is_read(moral_set, tmp_path, held):
    from dataclasses import replace

    bad = replace(moral_set, pairs=(replace(moral_set.pairs[0], positive="y" * 600), *moral_set.pairs[1:]))
    with pytest.raises(PromptError, match="512 are possible"):
        phased("tiny-random", bad, tmp_path)
    assert held == [] and list(tmp_path.iterdir()) == []


# --- when ---------------------------------------------------------------------------------------------------

Free = namedtuple("Free", "available")


@pytest.mark.parametrize(("free", "together"), [(33e9, True), (31e9, False)])
def test_on_a_processor_both_halves_have_to_fit_twice(monkeypatch, free, together):
    halves = PhasedPipeline("tiny-random", "cpu")
    monkeypatch.setattr(halves._source, "n_bytes", lambda: 16 * 10**9)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: Free(free))
    assert halves.fit_together() is together


@pytest.mark.parametrize(("free", "together"), [(21e9, True), (16e9, False), (12e9, False)])
def test_on_cuda_a_pass_has_to_fit_beside_them(monkeypatch, free, together):
    halves = PhasedPipeline("tiny-random", "cpu")
    halves.device = torch.device("cuda")
    monkeypatch.setattr(halves._source, "n_bytes", lambda: 16 * 10**9)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (free, 80e9))
    assert halves.fit_together() is together


def test_a_folder_takes_as_much_as_its_weights(folder, tiny):
    from pathlib import Path

    files = [f for part in ("text_encoder", "transformer") for f in Path(folder, part).glob("*.safetensors")]
    assert PhasedPipeline(folder)._source.n_bytes() == sum(f.stat().st_size for f in files) > 10**5


# --- the command line --------------------------------------------------------------------------------------


@pytest.fixture
def small_file(small_set, tmp_path):
    lines = [f"{key} = {json.dumps(getattr(small_set, key))}" for key in ("name", "title", "positive", "negative")]
    for pair in small_set.pairs:
        lines.append("[[pair]]")
        lines += [f"{key} = {json.dumps(getattr(pair, key))}" for key in ("id", "category", "positive", "negative")]
    path = tmp_path / "small.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def command(prompts, out, *more):
    return ["run", "--model", "tiny-random", "--prompts", str(prompts), "--out", str(out), "--size", "64", *more]


def test_the_command_line_takes_phases_and_leaves_nothing_behind(small_file, tmp_path, held, monkeypatch):
    assert main(command(small_file, tmp_path / "whole")) == 0
    assert (True, True) in held
    for way, asked in (("asked for", ["--low-memory"]), ("memory is short", [])):
        held.clear()
        if not asked:
            monkeypatch.setattr(PhasedPipeline, "fit_together", lambda _self: False)
        assert main(command(small_file, tmp_path / way, *asked)) == 0
        assert held and (True, True) not in held
        assert run_bytes(load_run(tmp_path / way)) == run_bytes(load_run(tmp_path / "whole"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["asked for", "memory is short", "small.toml", "whole"]


@pytest.mark.parametrize("batch", ["0", "-1", "two", "1.5"])
def test_a_batch_that_is_none_is_refused(small_file, tmp_path, capsys, batch):
    assert main(command(small_file, tmp_path / "run", "--batch", batch)) == 2
    assert "--batch: give a whole number from 1" in capsys.readouterr().err


def test_a_batch_is_handed_on(small_file, tmp_path, monkeypatch):
    from plantain.probe import runner

    seen, signature = [], inspect.signature(runner.run_probe)

    def stop(*args, **named):
        seen.append(signature.bind(*args, **named).arguments["batch"])
        raise RunError("x")

    monkeypatch.setattr(runner, "run_probe", stop)
    assert main(command(small_file, tmp_path / "run", "--batch", "6")) == 2 and seen == [6]


def test_the_model_in_phases_says_who_it_is():
    halves = PhasedPipeline("tiny-random")
    loaded = halves.load_in_turn()
    assert loaded.pipe.text_encoder is None
    assert loaded.info == describe(load_pipeline("tiny-random")) == halves.load_both().info
