"""Planted truth: a head of the stand-in is made stronger on the positive side, and the probe has to find it.

Three places and three gains; `benchmarks/bench_power.py` takes more of both, and every head.
"""

import numpy as np
import pytest
from planting import HEAD, capture, logs, planted

from plantain import stats
from plantain.probe.passes import layout_of
from plantain.runs.scopes import STREAM_SCOPES
from plantain.runs.units import Selection, magnitudes, unit_table

PLACES = ["joint[0]", "single[0]", "single[19]"]  # the first blocks of both kinds, and the last
GAINS = [0.01, 0.15, 1.0]


@pytest.fixture(scope="module")
def table(pipe):
    return unit_table(layout_of(pipe), Selection("heads"))


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


@pytest.mark.parametrize("block", [PLACES[0], PLACES[-1]])
def test_a_head_planted_at_15_percent_ranks_first_and_survives_the_correction(pipe, moral_set, table, block):
    with planted(pipe, block, 0.15):
        values = magnitudes(capture(pipe, moral_set.pairs), layout_of(pipe), Selection("heads"))
    diffs = stats.paired_differences(*values)
    unit = table.names.index(f"{block} head {HEAD}")
    t = np.abs(stats.paired_t(diffs))
    p = stats.max_t_p(diffs, 999, rng=np.random.default_rng(0))
    assert t.argmax() == unit, f"t = {t[unit]:.2f}, the largest is {table.names[t.argmax()]} with {t.max():.2f}"
    assert p[unit] <= 0.05


@pytest.mark.parametrize("block", ["single[10]"])
def test_what_responds_to_a_doubled_head_is_spread_downstream(pipe, moral_set, moral_run, table, block):
    with planted(pipe, block, 1.0):
        values = magnitudes(capture(pipe, moral_set.pairs), layout_of(pipe), Selection("heads"))
    diffs, clean = stats.paired_differences(*values), moral_run.analysis(Selection("heads"))
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
