"""How numbers are written."""

import pytest

from plantain.report.numbers import count, counted, interval, number, share, span
from plantain.runs.analysis import LargeEffects


@pytest.mark.parametrize(
    ("value", "given", "text"),
    [
        (1.005, (), "1.00"),
        (-1234.5, (",.1f",), "-1,234.5"),
        (None, (), "–"),
        (float("nan"), (), "–"),
        (None, (".2f", "no limit"), "no limit"),
        (0, ("+.2f",), "+0.00"),
    ],
)
def test_a_number_is_formatted_and_a_missing_one_is_said(value, given, text):
    assert number(value, *given) == text


def test_counts_have_shares_and_thousands():
    assert count(LargeEffects(0.8, 3221, 19.74)) == "3,221 (19.7%)" and count(None) == "–"
    assert [counted(n, "control") for n in (0, 1, 2)] == ["0 controls", "1 control", "2 controls"]


def test_an_interval_needs_both_ends_and_a_range_of_counts_may_be_open():
    assert interval([-0.104, 2]) == "[-0.10, 2.00]" and interval([None, 2.0]) == interval([1.0, None]) == "–"
    assert span([40.4, 1200]) == "40 to 1,200" and span([3, None]) == "3 to no limit"


@pytest.mark.parametrize(
    ("p", "text"), [(0.416, "42%"), (0.0314, "3.1%"), (0.00012, "0.012%"), (9e-5, "fewer than 1 in 10,000")]
)
def test_a_share_has_two_digits(p, text):
    assert share(p) == text
