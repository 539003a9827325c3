"""Every figure of the card, published and obtained: the table, and what is said above it."""

import dataclasses

import numpy as np
import pytest
from browser import ROOT
from made import made_differences, made_run

from plantain.findings.across_runs.reproduction import Prompts, reproduce
from plantain.findings.published import PublishedCount, load_published
from plantain.report.across_runs.reproduction import block_rows, figure_rows, reproduction_text, reservations
from plantain.runs.info import NotComparableError
from plantain.runs.io import load_run

PUBLISHED = load_published()
SIDES = {"positive": "helping", "negative": "ignoring"}


@pytest.fixture(scope="module")
def klein():
    """A run with the card's 16,320 slices."""
    return load_run(ROOT / "precomputed" / "untrained-klein-4b")


def test_every_figure_of_the_card_stands_beside_that_of_the_run(klein):
    found = reproduce(klein, PUBLISHED, False)
    t = np.abs(klein.analysis().t)
    d = np.abs(klein.analysis().dz)
    rows = {row[0]: row[1:] for row in figure_rows(found)}
    assert list(rows) == [
        "|t| > 3", "|t| > 3, times the null's p99", "|t| > 5", "|t| > 5, times the null's p99", "|d| > 0.8 (large)",
        "Split-half r, median", "Split-half r, quartiles", "Max |t|",
    ]  # fmt: skip
    n3, n8 = int((t > 3).sum()), int((d > 0.8).sum())
    share = 100 * n3 / 16320
    assert rows["|t| > 3"] == ["3,221 (19.7%)", f"{n3} ({share:.1f}%)", f"−{3221 - n3:,} (−{19.7 - share:.1f} points)"]
    assert rows["|d| > 0.8 (large)"][:2] == ["1,386 (8.5%)", f"{n8} ({100 * n8 / 16320:.1f}%)"]
    assert rows["Max |t|"] == ["10.05", f"{t.max():.2f}", f"−{10.05 - t.max():.2f}"]
    median = np.median(klein.analysis().split_r)
    assert rows["Split-half r, median"] == ["0.573", f"{median:.3f}", f"−{0.573 - median:.3f}"]
    assert rows["|t| > 5, times the null's p99"][0] == "102×"

    blocks = {row[0]: row[1:] for row in block_rows(found)}
    assert list(blocks) == ["single[19]", "joint[3]", "single[12]", "single[16]", "single[13]"]
    mine = klein.analysis().table.block == "joint[3]"
    over, top, median_d = int((t[mine] > 3).sum()), t[mine].max(), np.median(d[mine])
    theirs, obtained, differs, rank = blocks["joint[3]"]
    assert theirs == "max |t| 8.98; 38/192 over 3; median |d| 0.38"
    assert obtained == f"max |t| {top:.2f}; {over}/192 over 3; median |d| {median_d:.2f}"
    points = 100 * (38 - over) / 192
    assert differs == f"−{8.98 - top:.2f}; −{points:.1f} points; −{0.38 - median_d:.2f}"
    tops = [t[klein.analysis().table.block == b].max() for b in dict.fromkeys(klein.analysis().table.block.tolist())]
    assert rank == f"{1 + sum(other > top for other in tops)} of 25"


def test_a_run_that_finds_just_what_was_published_differs_in_nothing(klein):
    mine = klein.headline()
    same = dataclasses.replace(
        PUBLISHED,
        thresholds={t: PublishedCount(c.count, c.percent, c.ratio) for t, c in mine.thresholds.items()},
        large_effect=mine.large_effect, split_half=mine.split_half, max_abs_t=mine.max_abs_t,
        top_blocks=mine.top_blocks,
    )  # fmt: skip
    found = reproduce(klein, same, False)
    assert [row[3] for row in figure_rows(found)] == [
        "0 (0.0 points)", "0", "0 (0.0 points)", "0", "0 (0.0 points)", "0.000", "0.00, 0.00", "0.00",
    ]  # fmt: skip
    assert [row[3:] for row in block_rows(found)] == [
        ["0.00; 0.0 points; 0.00", f"{place} of 25"] for place in range(1, 6)
    ]


def test_more_than_was_published_has_a_plus_and_other_units_compare_by_share_only():
    run = made_run(made_differences(effect=8.0), **SIDES)
    found = reproduce(run, PUBLISHED, False)
    rows = {row[0]: row[1:] for row in figure_rows(found)}
    n3 = int((np.abs(run.analysis().t) > 3).sum())
    assert n3 > 0.2 * 24  # of 24 slices, more than on the card
    assert rows["|t| > 3"] == ["3,221 (19.7%)", f"{n3} ({100 * n3 / 24:.1f}%)", f"+{100 * n3 / 24 - 19.7:.1f} points"]
    assert [row[2:] for row in block_rows(found)] == [["no such block", "–", "–"]] * 5  # it has five single blocks
    said = list(reservations(found, run, PUBLISHED))
    assert "Units: 24, on the card 16,320. Shares and split-half r compare; counts" in said[-1]


def test_of_unlike_things_no_difference_is_given():
    """The largest |t| of 680 slices is no lower than that of 16,320 for being lower, and block 19 another block."""
    stand_in = load_run(ROOT / "precomputed" / "tiny-random")
    found = reproduce(stand_in, PUBLISHED, False)
    rows = {row[0]: row[3] for row in figure_rows(found)}
    given = {"|t| > 3", "|t| > 5", "|d| > 0.8 (large)", "Split-half r, median", "Split-half r, quartiles"}
    assert {name for name, differs in rows.items() if differs != "–"} == given
    assert [row[2][:7] + row[3] for row in block_rows(found)] == ["max |t|–"] * 5  # obtained, but not subtracted
    few = made_run(made_differences(8), **SIDES)
    found = reproduce(few, PUBLISHED, False)
    assert {row[3] for row in figure_rows(found) + block_rows(found)} == {"–"}


def test_whose_prompts_they_are_is_said_first(klein):
    own = made_run(made_differences(), **SIDES)
    cases = [
        (klein, False, Prompts.OURS, "Other prompts of ours"),
        (own, False, Prompts.GIVEN, "Other prompts, as far as is known"),
        (own, True, Prompts.SAME, "Same prompts: whoever ran this says"),
    ]
    for run, same, prompts, words in cases:
        found = reproduce(run, PUBLISHED, same)
        assert found.prompts is prompts and next(reservations(found, run, PUBLISHED)).startswith(words)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": PUBLISHED.base_model}, f"Same model: {PUBLISHED.base_model}."),
        (
            {"model": "black-forest-labs/FLUX.2-klein-4B"},
            f"Weights: the card's figures are of {PUBLISHED.base_model}, these of black-forest-labs/FLUX.2-klein-4B at",
        ),
        ({"model": PUBLISHED.base_model, "weights": "local"}, "origin unknown"),
        ({"size": 1024}, "Size: 1024 px, the pipeline's default. Seed: 0. The card states neither."),
        ({"size": 64}, "Size: 64 px, not the pipeline's default of 1024 px. Seed: 0."),
    ],
)
def test_what_else_differs_from_the_card_is_said(changes, words):
    run = made_run(made_differences(), **SIDES, **changes)
    assert words in reproduction_text(reproduce(run, PUBLISHED, False), run, PUBLISHED)


def test_fewer_pairs_are_said():
    run = made_run(made_differences(8), **SIDES)
    assert "Pairs: 8, on the card 25. No difference is given" in " ".join(
        reservations(reproduce(run, PUBLISHED, False), run, PUBLISHED)
    )


def test_another_question_does_not_compare():
    with pytest.raises(NotComparableError, match="kind against unkind"):
        reproduce(made_run(made_differences()), PUBLISHED, False)
