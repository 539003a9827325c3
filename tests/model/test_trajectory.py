"""Later times, at which both sides of a pair see the same picture."""

import numpy as np
import pytest
import torch

from plantain.models.load import PhasedPipeline
from plantain.probe import trajectory
from plantain.probe.checkpoint import Checkpoint
from plantain.probe.denoising import denoise, denoising_schedule, encode
from plantain.probe.passes import Passes, layout_of
from plantain.probe.pictures.generate import shared_text
from plantain.probe.placebo import placebo
from plantain.probe.runner import ProbeConfig, run_probe
from plantain.probe.tokens import ProbeError
from plantain.probe.trajectory import neutral_latents
from plantain.report.labels import provenance
from plantain.runs.info import Conditions
from plantain.runs.io import load_run, save_run
from plantain.runs.run import directions_bytes
from plantain.runs.units import Selection

SIZE, TIMES = 64, (1.0, 0.9, 0.1)
CONFIG = ProbeConfig(size=SIZE, seed=3, times=TIMES)


@pytest.fixture(scope="module", autouse=True)
def few_steps():
    """A shorter trajectory than the real one, which the first test goes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trajectory, "TRAJECTORY", 4)
        yield


@pytest.fixture(scope="module")
def run(pipe, small_set):
    return run_probe(pipe, small_set, CONFIG)


def same(one, other):
    assert directions_bytes(one.directions) == directions_bytes(other.directions)


def test_the_latents_are_those_of_euler_steps_through_the_schedule_and_the_times(pipe, monkeypatch):
    monkeypatch.setattr(trajectory, "TRAJECTORY", 28)
    embeds, seen = encode(pipe, ["Ana and Tom are in a park."]), []
    hook = pipe.transformer.register_forward_hook(
        lambda _m, _a, given, out: seen.append((given["hidden_states"], float(given["timestep"]), out[0])),
        with_kwargs=True,
    )
    found = {time: noise.latents for time, noise in neutral_latents(pipe, embeds, SIZE, 3, TIMES[1:])}
    hook.remove()
    _, schedule = denoising_schedule(pipe, 28, 16)
    wanted = sorted({*(schedule / 1000).tolist(), *TIMES[1:]}, reverse=True)
    wanted = [time for time in wanted if time > 0.1]  # at .1 nothing more is run
    assert [time for _, time, _ in seen] == pytest.approx(wanted, abs=1e-6)
    latents, stops = seen[0][0].double(), [*wanted, 0.1]
    assert torch.equal(seen[0][0], next(denoise(pipe, embeds, SIZE, 3)).latents)
    for (given, now, out), after in zip(seen, stops[1:], strict=True):
        torch.testing.assert_close(given.double(), latents, rtol=1e-4, atol=1e-5)
        latents = latents + (after - now) * out.double()
        if after in found:
            torch.testing.assert_close(found[after].double(), latents, rtol=1e-4, atol=1e-5)
    assert list(found) == list(TIMES[1:])


def test_both_sides_see_the_pairs_own_latents_and_their_own_text(pipe, small_set):
    """Against passes of the test's own, whose hooks average what comes to single[7] over the image tokens."""
    pair, seen = small_set.pairs[1], []
    (capture,) = Passes(pipe, Conditions(SIZE, (3,)), directions="heads", times=TIMES).capture([pair])
    site = pipe.transformer.single_transformer_blocks[7].attn.to_out
    neutral = encode(pipe, [shared_text(pair)])
    for place, (time, noise) in enumerate(neutral_latents(pipe, neutral, SIZE, 3, TIMES[1:])):
        for side, text in enumerate((pair.positive, pair.negative)):
            hook = site.register_forward_pre_hook(lambda _m, args: seen.append(args[0][0, 512:].double().mean(0)))
            with torch.no_grad():
                pipe.transformer(
                    hidden_states=noise.latents, encoder_hidden_states=encode(pipe, [text]),
                    timestep=torch.tensor([time]), guidance=None, img_ids=noise.image_ids, txt_ids=noise.text_ids,
                )  # fmt: skip
            hook.remove()
            width = layout_of(pipe).attention_dim
            got = capture.means.later["single"][place, side, 0, 7 * width : 8 * width]
            np.testing.assert_allclose(got, seen.pop()[:width].numpy(), rtol=2e-3, atol=1e-4)  # kept in 16 bits


def test_equal_text_gives_exactly_nothing_at_every_time(pipe, small_set):
    for batch in (1, 2):
        passes = Passes(pipe, Conditions(SIZE, (3,)), batch, directions="heads", times=TIMES)
        (capture,) = passes.capture([placebo(small_set.pairs[0])])
        for values in capture.means.later.values():
            assert values.any() and np.array_equal(values[:, 0], values[:, 1])


def test_what_happens_late_only_shows_late_only(pipe, small_set, run):
    """A head of the positive sides is turned where less than half of the latents is noise."""
    sides = {encode(pipe, [p.positive]).double().sum().item() for p in small_set.pairs}
    now, width = {}, layout_of(pipe).head_dim

    def look(_module, _args, given):
        now["late"] = float(given["timestep"][0]) < 0.5
        now["positive"] = given["encoder_hidden_states"].double().sum().item() in sides

    def push(_module, args):
        if not (now["late"] and now["positive"]):
            return None
        z = args[0].clone()
        z[:, 512:, width : 2 * width] += 0.3 * torch.linspace(-1, 1, width)
        return (z,)

    site = pipe.transformer.single_transformer_blocks[19].attn.to_out
    hooks = [
        pipe.transformer.register_forward_pre_hook(look, with_kwargs=True),
        site.register_forward_pre_hook(push),
    ]
    planted = run_probe(pipe, small_set, CONFIG, batch=1)
    for hook in hooks:
        hook.remove()
    head = -layout_of(pipe).n_heads + 1
    for time in TIMES:
        moved = np.abs(planted.vectors_at(time) - run.vectors_at(time)).max(axis=(1, 3))  # sides, heads
        assert (moved[:, :head] == 0).all() and (moved[1] == 0).all()
        assert (moved[0, head] > 0.1) == (time < 0.5), time


def test_the_first_time_is_the_run_without_later_ones(pipe, small_set, run):
    plain = run_probe(pipe, small_set, ProbeConfig(size=SIZE, seed=3))
    assert run.capture_sha256 == plain.capture_sha256 and run.info.floor == plain.info.floor
    assert run.seconds_per_pair == 0 < plain.seconds_per_pair  # nobody takes its seconds for those of plain pairs
    np.testing.assert_array_equal(run.vectors_at(1), plain.vectors(Selection("heads", "image")))
    later = ", ".join(f"{time:g}" for time in TIMES[1:])
    assert f" · times 1, {later} · " in provenance(run) and "times" not in provenance(plain)


def test_batches_phases_and_a_stop_give_the_same(pipe, small_set, tmp_path, run):
    class Stop(Exception):
        pass

    def stop(done, _total):
        if done == 2:
            raise Stop

    def keep(plan):
        return Checkpoint(tmp_path / "run", plan.settings())

    batched = run_probe(pipe, small_set, CONFIG, batch=8)
    for time in TIMES:
        np.testing.assert_allclose(batched.vectors_at(time), run.vectors_at(time), rtol=2e-3, atol=2e-4)
    with pytest.raises(Stop):
        run_probe(PhasedPipeline("tiny-random", device="cpu"), small_set, CONFIG, keep=keep, progress=stop)
    again = run_probe(PhasedPipeline("tiny-random", device="cpu"), small_set, CONFIG, keep=keep)
    same(again, run)


def test_they_are_kept_in_the_file_of_directions(run, tmp_path):
    again = load_run(save_run(run, tmp_path / "run"))
    same(again, run)
    assert again.directions.times == TIMES[1:]
    for time in TIMES:
        np.testing.assert_array_equal(again.vectors_at(time), run.vectors_at(time))


def test_with_masked_padding_they_are_made_without_it_as_well(pipe, small_set):
    masked = run_probe(pipe, small_set, ProbeConfig(size=SIZE, seed=3, times=TIMES, mask_padding=True))
    assert masked.vectors_at(0.1).any()


@pytest.mark.parametrize(
    "bad",
    [
        {"times": ()}, {"times": (0.9, 0.5)}, {"times": (1, 0.5, 0.7)}, {"times": (1, 0.5, 0.5)}, {"times": (1, 0.0)},
        {"times": (1, float("nan"))}, {"times": tuple(1 - i / 20 for i in range(14))},
        {"times": TIMES, "directions": "off"}, {"times": TIMES, "steps": 2}, {"times": TIMES, "seeds": (0, 1)},
    ],
)  # fmt: skip
def test_times_that_make_no_sense_are_refused(bad):
    with pytest.raises(ProbeError, match="times"):
        ProbeConfig(size=SIZE, **bad)


def test_the_command_line_takes_times(cli, tmp_path, moral_file):
    few = tmp_path / "few.toml"
    head, *pairs = moral_file.read_text().split("[[pair]]")
    few.write_text("[[pair]]".join([head, *pairs[:4]]))
    args = [
        "run",
        "--model",
        "tiny-random",
        "--device",
        "cpu",
        "--prompts",
        few,
        "--size",
        SIZE,
        "--out",
        tmp_path / "r",
    ]
    code, _, _ = cli(*args, "--times", "1,.5")
    assert code == 0 and load_run(tmp_path / "r").directions.times == (0.5,)
    for bad in ("a", "1,", ".5", "1,2"):
        code, _, error = cli(*args, "--overwrite", "--times", bad)
        assert code == 2 and error.count("\n") == 1 and "times" in error, bad
