"""Two runs side by side, by other means."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats as reference

from plantain.findings.across_runs.comparison import compare, differences
from plantain.report.figures.scatter import t_density
from plantain.report.labels import difference_words
from plantain.runs.info import NotComparableError
from plantain.runs.units import Selection


def test_correlations_and_shared_tops_are_scipys(moral_run, other_run):
    found = compare(moral_run, other_run, Selection("heads"))
    a, b = moral_run.analysis(Selection("heads")).t, other_run.analysis(Selection("heads")).t
    assert found.n_units == 100
    assert found.pearson == pytest.approx(reference.pearsonr(a, b).statistic, rel=1e-9)
    assert found.spearman == pytest.approx(reference.spearmanr(a, b).statistic, rel=1e-9)
    tops = [set(np.argsort(-np.abs(t))[:20].tolist()) for t in (a, b)]
    names = moral_run.analysis(Selection("heads")).table.names
    assert set(found.shared) == {names[i] for i in tops[0] & tops[1]} and len(found.shared) > 0
    assert found.same_sign == sum(a[i] * b[i] > 0 for i in tops[0] & tops[1])
    assert found.expected == pytest.approx(4.0)
    drawn = reference.hypergeom(100, 20, 20)
    assert found.p == pytest.approx(1 - drawn.cdf(len(found.shared) - 1), rel=1e-9)


def test_a_run_agrees_with_itself(moral_run):
    found = compare(moral_run, moral_run)
    assert found.pearson == pytest.approx(1) and len(found.shared) == found.n_top == found.same_sign == 20
    assert differences(moral_run, moral_run) == []


def test_differing_settings_are_named(moral_run, other_run):
    assert differences(moral_run, other_run) == [("seed", 0, 3)]
    assert difference_words(differences(moral_run, other_run)) == ["seed 0 / 3"]
    changed = replace(moral_run, info=replace(moral_run.info, size=512, prompts_sha256="ab" * 32))
    assert difference_words(differences(moral_run, changed)) == [
        "size 256 / 512 px",
        f"prompts {moral_run.info.prompts_sha256[:12]} / {'ab' * 6}",
    ]


def test_models_of_another_shape_are_refused(moral_run, made_run):
    with pytest.raises(NotComparableError, match="no unit of one is a unit of the other"):
        compare(moral_run, made_run())


def test_few_units_have_a_smaller_top_and_degenerate_ones_take_no_part(made_run):
    a, b = made_run(0), made_run(1)
    assert compare(a, b, Selection("text-heads")).n_top == 1
    broken = a.analysis(Selection("heads"))
    t = broken.t.copy()
    t[0] = np.nan
    a._analyses[Selection("heads")] = replace(broken, t=t)
    assert compare(a, b, Selection("heads")).n_units == b.analysis(Selection("heads")).table.n_units - 1


def test_the_density_counts_every_unit(moral_run, other_run):
    import re

    svg = "".join(t_density(compare(moral_run, other_run).t, ("a <b>", "c"), 330).marks)
    assert sum(int(n.replace(",", "")) for n in re.findall(r"<title>([\d,]+) units?: t about", svg)) == 680
    assert "a &lt;b&gt;" in svg
