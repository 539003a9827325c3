"""The shipped untrained controls: full-size runs, known as random, in the shape of the card."""

import json
import re
from dataclasses import replace
from html import escape

import numpy as np
import pytest
from browser import ROOT
from made import leaves, made_differences
from made import made_run as made_slices
from scipy import stats as reference

from plantain._files import plain
from plantain.findings.published import load_published
from plantain.prompts.sets import FORMER, load_prompt_set
from plantain.report.model_card import verdict
from plantain.report.run import report_text
from plantain.report.tables import metrics
from plantain.runs.analysis import LargeEffects, SplitHalf, ThresholdCount, summarize
from plantain.runs.capture import SumsOfSquares
from plantain.runs.io import load_run
from plantain.runs.units import Selection
from plantain.ui import RunStore
from plantain.ui.state import Page
from plantain.ui.tabs.result import CONTROL, findings_html

FOLDERS = {256: ROOT / "precomputed" / "untrained-klein-4b", 1024: ROOT / "precomputed" / "untrained-klein-4b-1024"}


@pytest.fixture(scope="module")
def controls():
    """The shipped runs by size, with their shipped statistics; robust/test_shipped.py computes them anew."""
    return {size: load_run(folder) for size, folder in FOLDERS.items()}


@pytest.fixture(scope="module")
def control(controls):
    return controls[256]


@pytest.fixture(scope="module")
def report(control):
    return report_text(control, load_published())


@pytest.mark.parametrize("size", FOLDERS)
def test_it_is_a_full_size_run_of_the_25_pairs_with_random_weights(controls, size):
    control = controls[size]
    info = control.info
    assert (info.weights, info.dtype, info.size) == ("untrained", "bfloat16", size)
    assert info.prompts_sha256 == load_prompt_set("moral_valence").sha256 and len(control.pairs) == 25
    counts = [control.analysis(Selection(u)).table.n_units for u in ("card", "heads", "text-heads", "mlp", "embedding")]
    assert counts == [16_320, 600, 120, 1_440, 480]
    assert control.unequal_pairs() == []  # its tokenizer cuts prompts as Klein's does


def test_the_two_are_of_the_same_weights_and_prompts_and_differ_in_their_size_alone(controls):
    small, large = (
        replace(run.info, size=256, date="", seconds=0.0, preregistration=None) for run in controls.values()
    )
    assert small == large and [run.info.size for run in controls.values()] == [256, 1024]


@pytest.mark.parametrize("size", FOLDERS)
def test_it_takes_at_most_16_mb_its_directions_8_and_its_statistics_2(controls, size):
    shipped, folder = ("run.json", "capture.safetensors", "units.csv"), FOLDERS[size]
    level = controls[size].directions.level
    assert sum((folder / name).stat().st_size for name in shipped) <= 16 * 2**20
    assert (folder / "directions.safetensors").stat().st_size <= 8 * 2**20 and level == "image"
    assert sum(path.stat().st_size for path in (folder / "statistics").glob("*-all.safetensors")) <= 2 * 2**20


@pytest.mark.parametrize("size", FOLDERS)
def test_its_figures_follow_from_its_raw_material(controls, size):
    control = controls[size]
    a = control.analysis()
    t = reference.ttest_1samp(a.differences, 0).statistic
    np.testing.assert_allclose(a.t, t, rtol=1e-6)
    kept = json.loads((FOLDERS[size] / "run.json").read_text(encoding="utf-8"))["summaries"][0]
    assert kept["thresholds"]["3"]["count"] == (np.abs(t) > 3).sum() and kept["n_units"] == 16_320
    ours, theirs = dict(leaves(plain(control.summary()))), dict(leaves(kept))
    added = ours.keys() - theirs.keys()  # since the run was saved
    assert theirs.keys() <= ours.keys() and all("uncentred" in place for place in added), added
    for place, value in theirs.items():
        assert ours[place] == (pytest.approx(value, rel=1e-6) if isinstance(value, float) else value), place


def test_its_report_has_the_shape_of_the_card_number_for_number(report):
    ours, theirs = report.split("Top blocks by max |t|, published:")
    blocks = re.findall(
        r"^- (\S+): max\|t\|=([\d.]+), (\d+)/(\d+) units at \|t\|>3, median \|d\|=([\d.]+)$", ours, re.M
    )
    assert len(blocks) == len(re.findall(r"^- .*units at \|t\|>3, median \|d\|=[\d.]+$", theirs, re.M)) == 5
    assert {(block.split("[")[0], total) for block, _, _, total, _ in blocks} <= {("single", "768"), ("joint", "192")}
    rows = [[cell.strip() for cell in line.split(" | ")] for line in ours.splitlines() if line.startswith("| \\|t\\|")]
    for row in rows:  # |t| > 3 and |t| > 5: count (percent), ratio to the null's p99, for the run and the card
        assert re.fullmatch(r"[\d,]+ \([\d.]+%\)", row[1]) and re.fullmatch(r"[\d.]+× null p99 \([\d,]+\)", row[2])
        assert re.fullmatch(r"[\d,]+ \([\d.]+%\)", row[4])
    assert len(rows) == 2 and "UNTRAINED" in ours and "say nothing about FLUX.2 Klein" in ours


# --- beside other runs -------------------------------------------------------------------------------------


@pytest.fixture
def page(control, tmp_path, moral_set):
    store = RunStore(tmp_path)
    store.saved["control"] = control
    return Page(store, None, load_published(), moral_set)


def test_it_stands_beside_runs_of_its_prompt_set_only_whichever_their_text(page, control, moral_run, made_run):
    former = of_former_text(moral_run)
    assert page.control_for(moral_run) is page.control_for(former) is control
    earlier = of_former_text(control)
    page.store.saved["earlier"] = earlier
    assert page.control_for(moral_run) is control and page.control_for(former) is earlier  # one's own text comes first
    assert page.control_for(control) is None and page.control_for(None) is None
    assert page.control_for(made_run()) is None  # other prompts


def test_of_two_the_one_of_the_runs_own_size_stands_beside_it_else_the_smaller(page, controls, control, moral_run):
    page.store.saved |= {"a large one": controls[1024], "control": control}

    def of_size(run, size):
        return replace(run, info=replace(run.info, size=size))

    for order in (list(page.store.saved.items()), list(page.store.saved.items())[::-1]):
        page.store.saved = dict(order)
        found = {size: page.control_for(of_size(moral_run, size)) for size in (256, 512, 1024)}
        assert found == {256: control, 512: control, 1024: controls[1024]}
    former = of_size(of_former_text(control), 256)
    page.store.saved["former"] = former
    assert page.control_for(of_size(of_former_text(moral_run), 1024)) is former  # its own text counts before its size


def test_that_its_size_is_another_one_is_said_where_it_stands(control, moral_run):
    selection, count = Selection("card", "all"), control.headline().thresholds[3].count
    large = replace(moral_run, info=replace(moral_run.info, size=1024))
    assert "256 px beside this run&#x27;s 1024.)" in findings_html(large, load_published(), selection, control)
    assert "256 px.)" in findings_html(moral_run, load_published(), selection, control)
    said = [verdict(run, run.summary(), control, load_published()) for run in (large, moral_run)]
    assert f"random weights has {count}, at 256 px." in said[0] and f"random weights has {count}." in said[1]


def of_former_text(run):
    former = load_prompt_set(FORMER / "moral_valence.toml")
    pairs = tuple(replace(record, pair=pair) for record, pair in zip(run.pairs, former.pairs, strict=True))
    return replace(run, pairs=pairs, info=replace(run.info, prompts_sha256=former.sha256))


def test_that_its_text_is_another_one_is_said_where_it_stands(control, moral_run):
    selection, other = Selection("card", "all"), "another text of this prompt set"
    former = of_former_text(moral_run)
    assert other in findings_html(former, load_published(), selection, control)
    assert other not in findings_html(moral_run, load_published(), selection, control)
    said = [verdict(run, run.summary(), control, load_published()) for run in (former, moral_run)]
    assert f"random weights has {control.headline().thresholds[3].count}, on {other}." in said[0]
    assert other not in said[1]


def test_its_figures_stand_on_every_card_with_what_they_mean(control, moral_run):
    shown = findings_html(moral_run, load_published(), Selection("card", "all"), control)
    summary = control.summary()
    three = summary.thresholds[3]
    figures = [
        f"{three.count:,} ({three.percent:.1f}%)", f"{summary.large_effect.count:,}",
        f"{summary.split_half.median:.3f}",
    ]  # fmt: skip
    assert all(f"Control: {figure}" in shown for figure in figures)
    assert f"control {summary.max_abs_t:.2f})" in shown
    assert escape(CONTROL) in shown and "UNTRAINED" in shown
    assert "25 pairs of prompts, prosocial or not (in 10 pairs, of neglect: helping or ignoring)." in shown
    alone = findings_html(moral_run, load_published(), Selection("card", "all"))
    assert "Control:" not in alone and escape(CONTROL) not in alone


def test_each_of_the_controls_figures_stands_in_its_own_row(monkeypatch, moral_run, control):
    figures = replace(
        control.headline(),
        thresholds={3: ThresholdCount(1234, 12.3, 823, 1.5), 5: ThresholdCount(56, 4.5, 22, 2.5)},
        large_effect=LargeEffects(0.8, 789, 7.8),
        split_half=SplitHalf(0.321, 0.3, 0.35, 100),
        max_abs_t=6.54,
    )
    wanted = {
        "|t| > 3": "1,234 (12.3%), 1.5×", "|t| > 5": "56 (4.5%), 2.5×", "|d| > 0.8 (large)": "789 (7.8%)",
        "Split-half r": "0.321", "Max |t|": "6.54",
    }  # fmt: skip
    rows = metrics(moral_run.summary(), load_published(), figures)
    assert {row.name.split(" (median")[0]: row.control for row in rows} == wanted
    true = type(control).headline
    made_up = lambda run, *choice: figures if run is control else true(run, *choice)  # noqa: E731
    monkeypatch.setattr(type(control), "headline", made_up)
    shown = findings_html(moral_run, load_published(), Selection("card", "all"), control)
    *on_cards, largest = wanted.values()
    assert re.findall(r"Control: ([^<]*)<", shown) == on_cards and f"control {largest})" in shown


def test_the_text_baseline_is_that_of_the_scope():
    run = made_slices(made_differences())
    embedding = run.sums.streams["embedding"].copy()
    embedding[0] *= np.random.default_rng(3).uniform(0.8, 1.3, embedding.shape[1:])  # every scope has its own
    run = replace(run, sums=SumsOfSquares({**run.sums.streams, "embedding": embedding}, run.sums.tokens))
    words, whole = run.text_baseline(Selection("card", "words")), run.text_baseline(Selection("card", "all"))
    assert words == summarize(run.analysis(Selection("embedding", "words"))) and whole == run.text_baseline(
        Selection("card", "image")
    )
    for found, rows in ((words, [1]), (whole, [0, 1, 2])):
        rms = np.sqrt(embedding[:, :, rows].mean(axis=2) / 16)  # one token of 16 channels per scope
        t = reference.ttest_1samp(rms[0] - rms[1], 0).statistic
        assert found.max_abs_t == pytest.approx(np.abs(t).max(), rel=1e-9)
    assert words.max_abs_t != pytest.approx(whole.max_abs_t, rel=1e-3)
