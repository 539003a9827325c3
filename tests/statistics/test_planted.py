"""Planted truth: a head of the stand-in is made stronger on the positive side, and the probe has to find it."""

from contextlib import contextmanager

import numpy as np
import pytest

from plantain import stats
from plantain.passes import capture_pair, layout_of
from plantain.scopes import STREAM_SCOPES
from plantain.sums import SumsOfSquares
from plantain.units import magnitudes, unit_table

SIZE, HEAD = 64, 2
PLACES = ["joint[0]", "joint[2]", "joint[4]", "single[0]", "single[10]", "single[19]"]
GAINS = [0.01, 0.02, 0.05, 0.15, 1.0]


def projection(pipe, block):
    kind, index = block.rstrip("]").split("[")
    if kind == "joint":
        return pipe.transformer.transformer_blocks[int(index)].attn.to_out[0]
    return pipe.transformer.single_transformer_blocks[int(index)].attn.to_out


@contextmanager
def planted(pipe, block, gain, head=HEAD, every=2):
    """Multiply one head's channels by 1 + gain in every second pass: on the positive side, which a pair runs first."""
    passes = []
    width = layout_of(pipe).head_dim

    def plant(_module, args):
        passes.append(1)
        if (len(passes) - 1) % every:
            return None
        x = args[0].clone()
        x[..., head * width : (head + 1) * width] *= 1 + gain
        return (x,)

    handle = projection(pipe, block).register_forward_pre_hook(plant)
    try:
        yield
    finally:
        handle.remove()


def capture(pipe, pairs) -> SumsOfSquares:
    return SumsOfSquares.concatenate([capture_pair(pipe, pair, SIZE, 0).sums for pair in pairs])


def logs(pipe, sums):
    """Log-RMS difference of every true head, (n_pairs, n_heads)."""
    values = magnitudes(sums, layout_of(pipe), "heads")
    return np.log(values[0]) - np.log(values[1])


@pytest.fixture(scope="module")
def table(pipe):
    return unit_table(layout_of(pipe), "heads")


@pytest.fixture(scope="module")
def untouched(pipe, moral_set):
    return capture(pipe, moral_set.pairs[:1])


@pytest.mark.parametrize("gain", GAINS)
@pytest.mark.parametrize("block", PLACES)
def test_a_planted_gain_moves_its_head_by_its_logarithm_and_nothing_before_it(
    pipe, moral_set, table, untouched, block, gain
):
    with planted(pipe, block, gain):
        sums = capture(pipe, moral_set.pairs[:1])
    before, after = logs(pipe, untouched)[0], logs(pipe, sums)[0]
    unit = table.names.index(f"{block} head {HEAD}")
    assert after[unit] - before[unit] == pytest.approx(np.log1p(gain), abs=1e-6)
    blocks = list(dict.fromkeys(table.block.tolist()))
    earlier = np.isin(table.block, blocks[: blocks.index(block)])
    mates = (table.block == block) & (np.arange(table.n_units) != unit)
    np.testing.assert_array_equal(after[earlier | mates], before[earlier | mates])
    later = np.isin(table.block, blocks[blocks.index(block) + 1 :])
    assert not later.any() or (after[later] != before[later]).any()  # the pass goes on with what was planted
    for stream in STREAM_SCOPES:
        np.testing.assert_array_equal(sums.streams[stream][1], untouched.streams[stream][1])


@pytest.mark.parametrize("block", PLACES)
def test_a_head_planted_at_15_percent_ranks_first_and_survives_the_correction(pipe, moral_set, table, block):
    with planted(pipe, block, 0.15):
        values = magnitudes(capture(pipe, moral_set.pairs), layout_of(pipe), "heads")
    diffs = stats.paired_differences(*values)
    unit = table.names.index(f"{block} head {HEAD}")
    t = np.abs(stats.paired_t(diffs))
    p = stats.max_t_p(diffs, 999, rng=np.random.default_rng(0))
    assert t.argmax() == unit, f"t = {t[unit]:.2f}, the largest is {table.names[t.argmax()]} with {t.max():.2f}"
    assert p[unit] <= 0.05


@pytest.mark.parametrize("block", ["joint[2]", "single[10]"])
def test_what_responds_to_a_doubled_head_is_spread_downstream(pipe, moral_set, moral_run, table, block):
    with planted(pipe, block, 1.0):
        values = magnitudes(capture(pipe, moral_set.pairs), layout_of(pipe), "heads")
    diffs, clean = stats.paired_differences(*values), moral_run.analysis("heads")
    p = stats.max_t_p(diffs, 999, rng=np.random.default_rng(0))
    spread = [name for name, own in zip(table.names, p, strict=True) if own <= 0.05]
    print("spread:", ", ".join(spread))
    unit = table.names.index(f"{block} head {HEAD}")
    assert f"{block} head {HEAD}" in spread and np.abs(stats.paired_t(diffs)).argmax() == unit
    blocks = list(dict.fromkeys(table.block.tolist()))
    untouched = np.isin(table.block, blocks[: blocks.index(block)])
    np.testing.assert_array_equal(diffs[:, untouched], clean.differences[:, untouched])
    assert all(blocks.index(name.split(" ")[0]) >= blocks.index(block) for name in spread)
    # Against the clean run, in which nothing was planted: without an effect downstream these changes are all zero.
    changed = stats.max_t_p(diffs - clean.differences, 999, rng=np.random.default_rng(0)) <= 0.05
    later = np.isin(table.block, blocks[blocks.index(block) + 1 :])
    assert (changed & later).any() and not (changed & untouched).any()
