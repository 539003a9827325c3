"""Agreement within categories and between them, by hand."""

import itertools

import numpy as np
import pytest
from scipy import linalg
from scipy import stats as reference

from plantain.stats import dependence, left_out_categories

LABELS = np.repeat(list("abc"), 4)


def test_the_means_are_those_of_standardised_products():
    rng = np.random.default_rng(1)
    diffs = rng.normal(size=(12, 30))
    found = dependence(diffs, LABELS, 99, np.random.default_rng(2))
    z = diffs / diffs.std(axis=0, ddof=1)
    pairs = list(itertools.combinations(range(12), 2))
    assert found.within == pytest.approx(np.mean([(z[i] * z[j]).mean() for i, j in pairs if LABELS[i] == LABELS[j]]))
    assert found.between == pytest.approx(np.mean([(z[i] * z[j]).mean() for i, j in pairs if LABELS[i] != LABELS[j]]))


def test_the_p_is_that_of_permuted_labels():
    rng = np.random.default_rng(3)
    diffs = rng.normal(size=(12, 30)) + 0.4 * rng.normal(size=(3, 30)).repeat(4, axis=0)
    found = dependence(diffs, LABELS, 4000, np.random.default_rng(4))
    z = diffs / diffs.std(axis=0, ddof=1)
    root = linalg.sqrtm(z @ z.T / 30).real
    pairs = list(itertools.combinations(range(12), 2))

    def difference(labels):
        same = [root[i, j] for i, j in pairs if labels[i] == labels[j]]
        other = [root[i, j] for i, j in pairs if labels[i] != labels[j]]
        return np.mean(same) - np.mean(other)

    null = [difference(rng.permutation(LABELS)) for _ in range(2000)]
    p = np.mean(np.array(null) >= difference(LABELS))
    low, high = reference.binom.interval(0.999, 2000, found.p)
    assert low / 2000 <= p <= high / 2000 and 0 < p < 0.5


@pytest.mark.parametrize(
    ("diffs", "labels"), [(np.ones((4, 3)), "aaaa"), (np.eye(4), "abcd"), (np.zeros((4, 2)), "aabb")]
)
def test_where_there_is_nothing_to_compare_nothing_is_said(diffs, labels):
    assert dependence(diffs, list(labels), 9, np.random.default_rng(0)) is None


def test_a_left_out_category_is_told_by_the_others():
    rng = np.random.default_rng(5)
    diffs = rng.normal(0.7, 1, size=(12, 50))
    told = 0
    for name in "abc":
        others, mine = diffs[name != LABELS], diffs[name == LABELS]
        t = reference.ttest_1samp(others, 0).statistic
        top = np.argsort(-abs(t))[:20]
        told += ((np.sign(t[top]) / others[:, top].std(axis=0, ddof=1) * mine[:, top]).sum(axis=1) > 0).sum()
    assert left_out_categories(diffs, LABELS) == told > 6
