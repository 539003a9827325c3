"""What work costs: the shipped table, what is measured on top of it, and what lies between two sizes."""

import pytest

from plantain.runs.seconds import COLD, H200, PAIR, PICTURE, ZERO_GPU, Seconds, klein_table


def test_the_shipped_table_holds_what_was_measured():
    known = Seconds(klein_table())
    for size, seconds in ((256, 1.6), (512, 2.2), (1024, 7.5)):  # 24 pairs on an H200, random weights
        assert 24 * known.estimate(PAIR, size, H200).seconds == pytest.approx(seconds, rel=0.02)
    assert known.estimate(COLD, 0, ZERO_GPU).seconds == 15
    assert not known.estimate(PAIR, 1024, H200).measured


@pytest.mark.parametrize("device", ["H200", "cuda (NVIDIA H200)", "nvidia h200"])
def test_a_device_is_found_by_the_names_that_people_and_torch_give_it(device):
    assert Seconds(klein_table()).estimate(PAIR, 1024, device).seconds == 0.3125


@pytest.mark.parametrize(
    "device", ["NVIDIA T4", "", "H20", "cuda (NVIDIA H20)", "cuda (NVIDIA H200 MIG 1g.18gb)", "NVIDIA H2"]
)
def test_of_an_unknown_device_nothing_is_said(device):
    assert Seconds(klein_table()).estimate(PAIR, 1024, device) is None
    assert Seconds().estimate(PAIR, 1024, H200) is None


def test_what_was_measured_here_comes_first_as_a_median_of_the_last():
    known = Seconds(klein_table())
    for seconds in (9.0, 1.0, 2.0, 3.0):
        known.learn(PAIR, 1024, seconds, H200)
    assert known.estimate(PAIR, 1024, H200).seconds == 2.5
    assert known.estimate(PAIR, 1024, H200).measured
    for _ in range(25):
        known.learn(PAIR, 1024, 0.5, H200)
    assert known.estimate(PAIR, 1024, H200).seconds == 0.5
    assert known.count(PAIR, 1024, H200) == 25
    assert known.estimate(PAIR, 1024, ZERO_GPU).seconds == 1.25  # another device knows nothing of it


def test_another_size_is_scaled_as_the_table_scales():
    known = Seconds(klein_table())
    known.learn(PAIR, 256, 0.67, H200)  # ten times the table's seconds
    found = known.estimate(PAIR, 1024, H200)
    assert found.seconds == pytest.approx(3.125)
    assert not found.measured


def test_another_size_is_scaled_with_the_tokens_where_there_is_no_table():
    known = Seconds()
    known.learn(PAIR, 256, 1.0, "here")
    assert known.estimate(PAIR, 512, "here").seconds == pytest.approx((512 + 1024) / (512 + 256))


def test_between_and_beyond_the_sizes_of_the_table():
    known = Seconds(klein_table())
    between = known.estimate(PAIR, 768, H200).seconds
    assert between == pytest.approx(0.092 + (2304 - 1024) / (4096 - 1024) * (0.3125 - 0.092))
    assert known.estimate(PAIR, 64, H200).seconds == 0.067  # never less than the smallest size
    assert known.estimate(PAIR, 2048, H200).seconds == pytest.approx(0.3125 * (512 + 16384) / (512 + 4096))
    assert known.estimate(PICTURE, 512, H200).seconds == pytest.approx(0.086 / 4)
