"""Runs in words: the card's lines, the published figures beside them, and what a reader has to be told."""

import re
from dataclasses import replace

import numpy as np
import pytest
from made import N_SLICES, PAIR, made_capture, made_differences, made_info, made_run, rounded, with_degenerate

from plantain.findings.new_pair import score_pair
from plantain.findings.published import comparable, load_published
from plantain.report.labels import block_line, provenance, run_label, weights_label
from plantain.report.new_pair import pair_text
from plantain.report.run import report_text
from plantain.report.tables import metrics, top_units_frame
from plantain.runs.analysis import ThresholdCount, summarize
from plantain.runs.units import Selection

PUBLISHED = load_published()
OF = ", of helping against ignoring"  # said beside a run that asks something else, as the made-up one does


@pytest.fixture(scope="module")
def run():
    return made_run(made_differences(25, seed=1, effect=1.5))


def tables(text):
    """Return the lines of each markdown table."""
    blocks = re.split(r"\n(?!\|)", text)
    return [[line for line in block.splitlines() if line.startswith("|")] for block in blocks if "\n|" in block]


def table_rows(text, number=0):
    """Return the cells of a markdown table's lines, without the rule below the head."""
    lines = [line for line in tables(text)[number] if line.startswith("| ")]
    return [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_the_report_tells_results_by_kind_where_the_pairs_have_one(run, moral_run):
    text = report_text(moral_run, PUBLISHED)
    (line,) = re.findall(r"^Held-out pairs told right \(the headline, by kind\): (.*)\.$", text, re.M)
    parts = re.findall(r"(\w+) (\d+) of (\d+)", line)
    assert [(kind, n) for kind, _, n in parts] == [("neglect", "10"), ("exclusion", "5"), ("wrongdoing", "10")]
    assert text.startswith("# Ethical valence") and f"{sum(int(k) for _, k, _ in parts)} of 25 held-out pairs" in text
    shown = text.partition("## By kind")[2].partition("## ")[0]
    assert [row[:2] for row in table_rows(shown)[1:]] == [[kind, n] for kind, _, n in parts]
    assert "By kind" not in report_text(run, PUBLISHED)


# --- the published card ------------------------------------------------------------------------------------

CARDS_TABLE = [  # metric, value and significance as the card has them; "heads" are units here
    ("|t| > 3", "3,221 (19.7%)", "6.4× null p99"),
    ("|t| > 5", "509 (3.1%)", "102× null p99"),
    ("|d| > 0.8 (large)", "1,386 (8.5%)", "–"),
    ("Split-half r (median)", "0.573", "[0.55, 0.60] IQR"),
    ("Max |t|", "10.05", "–"),
]
CARDS_BLOCKS = [
    "single[19]: max|t|=10.05, 132/768 units at |t|>3, median |d|=0.16",
    "joint[3]: max|t|=8.98, 38/192 units at |t|>3, median |d|=0.38",
    "single[12]: max|t|=8.69, 143/768 units at |t|>3, median |d|=0.31",
    "single[16]: max|t|=8.62, 184/768 units at |t|>3, median |d|=0.36",
    "single[13]: max|t|=8.53, 173/768 units at |t|>3, median |d|=0.36",
]


@pytest.mark.parametrize(("units", "scope"), [("card", "all"), ("heads", "words"), ("text-heads", "padding")])
def test_every_published_figure_stands_in_every_report(run, units, scope):
    text = report_text(run, PUBLISHED, Selection(units, scope))
    head, *rows = table_rows(text)
    names = ["Metric", "This run", "Against its null", "Prompt embedding", f"Published card{OF}", "Against its null"]
    assert head == names
    assert [(row[0], row[4], row[5]) for row in rows] == CARDS_TABLE
    published_part = text.split(f"Top blocks by max |t|, published{OF}:")[1].split("##")[0]
    assert [line[2:] for line in published_part.splitlines() if line.startswith("- ")] == CARDS_BLOCKS
    assert "https://huggingface.co/phanerozoic/moral-plantain (16,320 units)" in text
    assert "Not run by this project" in text and "inferred from the counts" in text


@pytest.mark.parametrize("n", [12, 26])
def test_the_published_counts_stand_beside_25_pairs_only(n):
    other = made_run(made_differences(n), positive="helping", negative="ignoring")
    assert not comparable(other, Selection("card"))
    assert comparable(made_run(made_differences(25), positive="helping", negative="ignoring"), Selection("card"))
    text = report_text(other, PUBLISHED)
    assert table_rows(text)[0] == ["Metric", "This run", "Against its null", "Prompt embedding"]
    assert f"The published counts are of 25 pairs, this run has {n}" in text


def test_the_runs_own_figures_stand_in_the_same_rows(run):
    summary = summarize(run.analysis(Selection("card")))
    three, five, large = summary.thresholds[3], summary.thresholds[5], summary.large_effect
    half = summary.split_half
    _, *rows = table_rows(report_text(run, PUBLISHED))
    assert [row[1] for row in rows] == [
        f"{three.count} ({three.percent:.1f}%)",
        f"{five.count} ({five.percent:.1f}%)",
        f"{large.count} ({large.percent:.1f}%)",
        f"{half.median:.3f}",
        f"{summary.max_abs_t:.2f}",
    ]
    assert rows[0][2] == f"{three.ratio:.1f}× null p99 ({three.null_p99})"
    assert rows[3][2] == f"[{half.q25:.2f}, {half.q75:.2f}] IQR"


def test_the_prompt_embedding_stands_beside_the_runs_figures(run):
    text = summarize(run.analysis(Selection("embedding")))
    _, *rows = table_rows(report_text(run, PUBLISHED))
    three = text.thresholds[3]
    assert rows[0][3] == f"{three.count} ({three.percent:.1f}%), {three.ratio:.1f}×"
    assert rows[3][3] == f"{text.split_half.median:.3f}" and rows[4][3] == f"{text.max_abs_t:.2f}"
    _, *rows = table_rows(report_text(run, PUBLISHED, Selection("embedding")))
    assert [row[3] for row in rows] == ["–"] * 5  # beside itself it says nothing
    _, *rows = table_rows(report_text(run, PUBLISHED, Selection("heads", "image")))
    assert rows[4][3] == f"{text.max_abs_t:.2f}"  # the embedding has no image tokens: all of its tokens then


def test_pairs_and_categories_stand_in_the_report(run):
    text = report_text(run, PUBLISHED)
    head, *rows = table_rows(text, 2)
    a = run.analysis(Selection("card"))
    assert head[:4] == ["category", "pairs", "median |t|", "r with others"]
    assert [name.removeprefix("t of ") for name in head[4:]] == [a.table.names[u] for u in a.ranking[:5]]
    ((name, n, median, r, *t),) = rows  # one category holds all pairs: there are no others
    assert (name, n, r) == ("c", "25", "–") and t == [f"{a.t[u]:.2f}" for u in a.ranking[:5]]
    assert median == f"{np.median(np.abs(a.t)):.2f}"
    _, *rows = table_rows(text, 3)
    assert [row[0] for row in rows] == [f"pair-{i}" for i in range(25)]


def test_the_top_units_stand_in_the_report_with_their_p_and_a_warning(run):
    text, frame = report_text(run, PUBLISHED), top_units_frame(run.analysis(), 5, inference=run.inference())
    head, *rows = table_rows(text, 1)
    assert head == list(frame.columns) and {"p_exact", "p_fwer", "q_bh", "q_by", "g", "d_low", "d_high"} <= set(head)
    assert [row[1] for row in rows] == frame["unit"].tolist()
    assert [float(row[head.index("p_fwer")]) for row in rows] == pytest.approx(frame["p_fwer"].tolist(), rel=1e-2)
    assert "## Top units\n\n5 of 24 by |t|. They were chosen for their size: their d is larger than the truth" in text


def test_the_runs_own_top_blocks_stand_in_the_report(run):
    own = report_text(run, PUBLISHED).split("this run:")[1].split(f"Top blocks by max |t|, published{OF}:")[0]
    expected = [f"- {block_line(row)}" for row in summarize(run.analysis(Selection("card"))).top_blocks]
    assert [line for line in own.splitlines() if line] == expected
    assert len(expected) == 5


def test_thousands_are_marked_and_all_columns_line_up(run):
    headline = run.headline()
    headline = replace(headline, thresholds={**headline.thresholds, 3: ThresholdCount(16320, 100.0, 1234, 13.225)})
    first = metrics(headline, PUBLISHED)[0]
    assert (first.value, first.significance) == ("16,320 (100.0%)", "13.2× null p99 (1,234)")
    found = tables(report_text(run, PUBLISHED))
    assert len(found) == 4 and all(len({len(line) for line in lines}) == 1 for lines in found)


def test_the_report_says_units_scope_pairs_and_provenance(run):
    text = report_text(run, PUBLISHED, Selection("heads", "words"))
    assert text.startswith("# Kindness: kind against unkind\n")
    assert "Units: 10 attention heads. Scope: words. Pairs: 25." in text
    assert provenance(run) in text
    for fact in ("some/model at 0123456789ab (pretrained weights from the Hub)", "float32 on cpu", "256 px", "seed 0",
                 "2020-02-03", "12 s"):  # fmt: skip
        assert fact in provenance(run)


def test_without_a_run_only_the_published_figures_stand():
    rows = metrics(None, PUBLISHED)
    assert {(row.value, row.significance) for row in rows} == {("–", "")}
    published = [
        (row.name.replace(", 100 splits", ""), row.published, row.published_significance or "–") for row in rows
    ]
    assert published == CARDS_TABLE


# --- what a reader has to be told --------------------------------------------------------------------------

RANDOM = "These weights are random. The numbers say nothing about FLUX.2 Klein."


@pytest.mark.parametrize(("weights", "mark"), [("stand-in", "STAND-IN"), ("untrained", "UNTRAINED")])
def test_random_weights_are_never_presented_as_klein(weights, mark):
    made = made_run(made_differences(), weights=weights, model="x")
    text = report_text(made, PUBLISHED)
    assert f"NOTE: {RANDOM}" in text and mark in text
    assert mark in weights_label(made.info)
    assert weights in run_label("first", made.info)
    assert "random" in pair_text(score_pair(made, PAIR, made_capture(np.zeros(N_SLICES)), Selection("card")), made)


@pytest.mark.parametrize("weights", ["pretrained", "local"])
def test_other_weights_are_not_called_random(weights):
    made = made_run(made_differences(), weights=weights)
    assert "random" not in report_text(made, PUBLISHED)
    assert run_label("first", made.info) == "first"
    assert "random" not in pair_text(score_pair(made, PAIR, made_capture(np.zeros(N_SLICES)), Selection("card")), made)


def test_a_model_without_a_revision_has_none_in_its_label():
    label = weights_label(made_info(model="folder", revision=None, weights="local"))
    assert label == "folder (weights from a local folder, origin unknown)"


def test_pairs_of_unequal_length_are_counted(run):
    words = np.full((2, 25), 4)
    words[0, [3, 8]] = 5
    text = report_text(made_run(made_differences(), words=words), PUBLISHED)
    assert "NOTE: 2 of 25 pairs have unequal token counts" in text
    assert "unequal" not in report_text(run, PUBLISHED)


def test_degenerate_units_are_counted_and_named(run):
    text = report_text(made_run(with_degenerate(made_differences())), PUBLISHED)
    assert "NOTE: 2 units left out" in text and "(joint[1] slice 0, single[1] slice 1)" in text
    assert "Units: 22 slices" in text
    many = made_differences()
    many[:, :7] = 0.5
    text = report_text(made_run(many), PUBLISHED)
    assert "NOTE: 7 units left out" in text and "single[0] slice 0 …)" in text
    assert "units left out" not in report_text(run, PUBLISHED)


def test_a_null_of_zero_is_said_and_no_ratio_is_made_up():
    text = report_text(made_run(made_differences(effect=4.0), n_permutations=20), PUBLISHED)
    assert table_rows(text)[2][2] == "null p99 is 0: no ratio"


def test_a_split_half_that_does_not_exist_is_said():
    row = table_rows(report_text(made_run(np.zeros((25, N_SLICES))), PUBLISHED))[4]
    assert (row[1], row[2]) == ("not defined", "–")


# --- frames ------------------------------------------------------------------------------------------------


def test_the_top_units_are_sorted_by_size_of_t_and_numbered(run):
    a = run.analysis(Selection("card"))
    frame = top_units_frame(a, n=10)
    assert list(frame.columns) == [
        "rank", "unit", "block", "kind", "t", "d_z", "mean_difference", "percent", "rms_percent",
    ]  # fmt: skip
    assert frame["rank"].tolist() == list(range(1, 11))
    assert frame["t"].abs().tolist() == sorted(np.abs(a.t), reverse=True)[:10]
    for row in frame.itertuples():
        i = a.table.names.index(row.unit)
        assert (row.block, row.kind, row.t, row.d_z) == (a.table.block[i], a.table.kind[i], a.t[i], a.dz[i])
        assert row.mean_difference == pytest.approx(a.differences[:, i].mean(), rel=1e-12)
        both_sides = (16 + (16 + a.differences[:, i]).mean()) / 2
        assert row.percent == pytest.approx(100 * row.mean_difference / both_sides, rel=1e-12)
        size = np.sqrt(np.mean(a.differences[:, i] ** 2))
        assert row.rms_percent == pytest.approx(100 * size / both_sides, rel=1e-12)


def test_ranks_within_a_block_are_those_among_all_units(run):
    a = run.analysis(Selection("card"))
    everything = top_units_frame(a, n=N_SLICES).set_index("unit")["rank"]
    for block in a.table.blocks:
        inside = top_units_frame(a, n=3, block=block)
        assert set(inside["block"]) == {block} and 2 <= len(inside) <= 3
        assert inside["rank"].tolist() == everything[inside["unit"]].tolist()
    assert top_units_frame(a, block="joint[1]")["rank"].tolist() != [1, 2]  # the case tells both apart
    assert top_units_frame(a, block="nowhere").empty


def test_degenerate_units_are_in_no_top_list():
    a = made_run(with_degenerate(made_differences())).analysis(Selection("card"))
    frame = top_units_frame(a)
    assert len(frame) == 22 and not set(frame["unit"]) & {"joint[1] slice 0", "single[1] slice 1"}


def test_a_unit_that_is_always_zero_has_no_percentage():
    differences = np.zeros((25, N_SLICES))
    differences[:, 5] = rounded(np.linspace(1, 2, 25))
    frame = top_units_frame(made_run(differences, base=0.0).analysis(Selection("card")))
    assert np.isnan(frame["percent"]).sum() == 23
    assert frame["percent"][0] == pytest.approx(200)  # positive side 1.5, negative side 0: 1.5 / 0.75


def test_blocks_are_named_in_the_models_order(run):
    expected = ["joint[0]", "joint[1]", "single[0]", "single[1]", "single[2]", "single[3]", "single[4]"]
    assert run.analysis(Selection("card")).table.blocks == expected
