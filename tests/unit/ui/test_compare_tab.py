"""Two runs, and the pairs, as HTML."""

import re
from dataclasses import replace

import pytest
from layouts import on_phone

from plantain.findings.across_runs.comparison import compare
from plantain.findings.pairs import by_pair
from plantain.findings.published import load_published
from plantain.prompts.sets import PromptPair
from plantain.report.figures.catalogue import OneRun
from plantain.report.statements import comparison_statements
from plantain.runs.analysis import summarize
from plantain.runs.info import PairRecord
from plantain.runs.run import Run
from plantain.runs.units import Selection
from plantain.ui.tabs.compare import beginning_html, figures_html
from plantain.ui.tabs.pairs import pairs_html, prompts_html


def table(a: Run, b: Run, names=("a", "b"), units="card"):
    return beginning_html(a, b) + figures_html(a, b, names, Selection(units, "all"), load_published())


@pytest.mark.parametrize("units", ["card", "text-heads", "embedding"])
def test_both_runs_figures_stand_in_one_table(moral_run, other_run, units):
    rows = re.findall(r"<td>([^<]*)<br>[^<]*</td><td>([^<]*)<br>", table(moral_run, other_run, units=units))
    for column, run in enumerate((moral_run, other_run)):
        s = summarize(run.analysis(Selection(units)))
        counts = [s.thresholds[3], s.thresholds[5], s.large_effect]
        expected = [f"{part.count:,} ({part.percent:.1f}%)" for part in counts]
        assert [row[column] for row in rows] == [
            *expected, f"{s.split_half.median:.3f}", f"{s.max_abs_t:.2f}"
        ]  # fmt: skip


def test_what_two_runs_differ_in_is_said(moral_run, other_run, made_run):
    assert "The runs differ in: seed 0 / 3." in table(moral_run, other_run)
    assert "This is one run beside itself." in table(moral_run, moral_run)
    assert "The runs have the same pairs and settings." in table(moral_run, replace(moral_run))
    other = table(moral_run, made_run())
    assert "contrast “helping” minus “ignoring” / “yes” minus “no”" in other and "number of pairs 25 / 4" in other


def test_shared_pairs_are_no_replication_and_other_numbers_of_pairs_no_one_scale(moral_run, other_run, made_run):
    def said(a, b):
        return " ".join(x.text for x in comparison_statements(compare(a, b, Selection("heads")), a, b, "heads"))

    assert "share their model and pairs" in said(moral_run, other_run) and "No p:" in said(moral_run, other_run)
    weights = replace(other_run, info=replace(other_run.info, fingerprint="0" * 64))
    assert "share their pairs, and so what these 25" in said(moral_run, weights)
    assert "replication" not in said(moral_run, moral_run)
    assert "With 4 and 6 pairs" in said(made_run(0), made_run(1, n_pairs=6))


def test_names_and_models_of_runs_are_text(moral_run):
    strange = replace(
        moral_run, info=replace(moral_run.info, model="<img src=x>", positive="<b>", fingerprint="1" * 64)
    )
    page = table(moral_run, strange, ("<i>a", "b&c"))
    assert "<img" not in page and "<b>" not in page and "<i>a" not in page
    assert "&lt;img src=x&gt;" in page and "b&amp;c" in page


def test_prompts_stand_by_category_with_their_scores_and_the_words_marked(moral_run, moral_set):
    parts = by_pair(moral_run, Selection("heads", "image"))
    page = prompts_html(OneRun(moral_run, Selection("heads", "image")))
    assert re.findall(r"<summary>([^<]*)</summary>", page)[1:] == [
        f"{c} (5)" for c in dict.fromkeys(moral_run.categories)
    ]
    items = re.findall(r"<li.*?</li>", page)
    for item, pair, part in zip(items, moral_set.pairs, parts, strict=True):
        assert f"<b>{pair.id}</b>" in item and f"score {part.score:+.2f}, size {part.size:.2f}" in item
    assert '<span class="pl-side">helping</span> Maria stands beside Mr. Okafor and <mark>catches</mark>' in items[0]
    for item, pair in zip(items, moral_set.pairs, strict=True):
        names = ["helping", "ignoring"] if pair.kind == "neglect" else ["prosocial", "not prosocial"]
        assert re.findall(r'"pl-side">([^<]*)<', item) == names
    assert "Scope image" in page and "attention heads" in page and "STAND-IN" in page
    assert (
        on_phone(pairs_html(OneRun(moral_run, Selection("heads", "image")))).count("<circle") == 25 + 1
    )  # the legend's


def test_a_runs_prompts_are_text_and_never_markup(made_run):
    run = made_run()
    bad = PromptPair("<u>id", "<script>x</script>", "<b onclick=x> a & b", "<b onclick=y> a & c")
    run = replace(run, pairs=(PairRecord(bad, 1, 1), *run.pairs[1:]))
    page = prompts_html(OneRun(run, Selection("heads", "all")))
    assert "<script" not in page and "<b o" not in page and "<u>" not in page
    assert "&lt;b onclick=<mark>x</mark>&gt; a &amp; <mark>b</mark>" in page
    assert page.count("<details") == 1 + 2 and page.count("<li") == 4
