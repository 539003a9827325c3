"""Effect sizes against scipy's noncentral t and simulated truth; directions against numpy's singular values."""

import os
import subprocess
import sys

import numpy as np
import pytest
from browser import ROOT
from scipy import optimize
from scipy import stats as reference

from plantain.stats import cohens_dz, dimension, dz_interval, hedges_g, mean_interval

T_VALUES = [0.0, 1e-9, 0.3, 1.0, 2.064, 3.0, 5.0, 10.0, 20.0, 40.0, 60.0]


def by_brentq(t, n, p):
    """Noncentrality at which t is the p-quantile, as d_z."""
    spread = 3 + 0.6 * t
    root = optimize.brentq(lambda nc: reference.nct.cdf(t, n - 1, nc) - p, t - spread, t + spread, xtol=1e-12)
    return root / np.sqrt(n)


@pytest.mark.parametrize("n", [8, 24, 25, 60])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_the_interval_inverts_scipys_noncentral_t(n, level):
    dz = np.array(T_VALUES) / np.sqrt(n)
    low, high = dz_interval(dz, n, level)
    np.testing.assert_allclose(low, [by_brentq(t, n, (1 + level) / 2) for t in T_VALUES], atol=1e-9)
    np.testing.assert_allclose(high, [by_brentq(t, n, (1 - level) / 2) for t in T_VALUES], atol=1e-9)


def test_the_interval_of_no_effect_by_hand():
    # T <= 0 is Z <= -nc, so the ends are +-1.959964 / sqrt(n)
    low, high = dz_interval(0.0, 25)
    np.testing.assert_allclose([low, high], [-0.3919928, 0.3919928], atol=1e-7)


def test_swapping_the_sides_mirrors_the_interval_and_the_shape_is_kept():
    dz = np.array([[-2.0, -0.1, 0.0], [np.nan, 0.7, 12.0]])
    (low, high), (low_swapped, high_swapped) = dz_interval(dz, 25), dz_interval(-dz, 25)
    np.testing.assert_allclose(low, -high_swapped, rtol=1e-14)
    np.testing.assert_allclose(high, -low_swapped, rtol=1e-14)
    assert np.isnan(low[1, 0]) and np.isnan(high[1, 0]) and np.isfinite(low).sum() == 5
    assert (low[0] < dz[0]).all() and (dz[0] < high[0]).all()


@pytest.mark.parametrize("n", [2, 3, 5, 25, 200])
def test_no_interval_is_missing_and_ends_rise_with_d(n):
    low, high = dz_interval(np.linspace(-60, 60, 801) / np.sqrt(n), n)
    assert (np.diff(low) > 0).all() and (np.diff(high) > 0).all() and (low < high).all()


@pytest.mark.parametrize("truth", [0.0, 0.5, 1.0])
def test_the_interval_covers(truth):
    diffs = np.random.default_rng(8).normal(truth, 1, size=(25, 4000))  # one unit per data set
    low, high = dz_interval(cohens_dz(diffs), 25)
    assert 0.93 <= ((low <= truth) & (truth <= high)).mean() <= 0.97


def test_hedges_correction_takes_the_bias_away():
    assert hedges_g(1.0, 25) == pytest.approx(0.968365, abs=1e-6)  # gamma(12) / (sqrt(12) gamma(11.5))
    assert hedges_g(1.0, 25) == pytest.approx(1 - 3 / (4 * 24 - 1), abs=1e-3)  # Hedges' approximation
    assert hedges_g(1.0, 3) == pytest.approx(1 / np.sqrt(np.pi), rel=1e-14)  # gamma(1) / gamma(1/2)
    diffs = np.random.default_rng(9).normal(1, 1, size=(6, 40_000))
    dz = cohens_dz(diffs)
    assert abs(hedges_g(dz, 6).mean() - 1) < 0.02 < abs(dz.mean() - 1)
    assert np.isnan(hedges_g(np.array([np.nan, 1.0]), 9)).tolist() == [True, False]


def test_too_few_pairs_and_odd_levels_are_refused():
    with pytest.raises(ValueError, match="at least 3 pairs, not 2"):
        hedges_g(1.0, 2)
    with pytest.raises(ValueError, match="at least 2 pairs, not 1"):
        dz_interval(1.0, 1)
    for level in (0, 1, 95):
        with pytest.raises(ValueError, match="confidence level"):
            dz_interval(1.0, 25, level)


# --- directions --------------------------------------------------------------------------------------------


def test_directions_are_the_squared_singular_values():
    diffs = np.random.default_rng(0).normal(size=(9, 50)) + 0.5
    found = dimension(diffs)
    squares = np.linalg.svd(diffs, compute_uv=False) ** 2
    assert found.first_share == pytest.approx(squares[0] / squares.sum(), rel=1e-12)
    assert found.participation == pytest.approx(squares.sum() ** 2 / (squares**2).sum(), rel=1e-12)
    assert found.gain_share <= found.first_share
    total, centred = (diffs**2).sum(), diffs - diffs.mean(axis=0)
    assert found.gain_share == pytest.approx(50 * (diffs.mean(axis=1) ** 2).sum() / total, rel=1e-12)
    assert found.mean_share == pytest.approx(1 - (centred**2).sum() / total, rel=1e-12)


def test_one_gain_one_axis_and_many_directions():
    rng = np.random.default_rng(1)
    gain = dimension(rng.normal(size=(10, 1)) * np.ones(40))  # all units move by one amount, each pair by its own
    assert (gain.gain_share, gain.first_share, gain.participation) == pytest.approx((1, 1, 1))
    axis = np.resize([1.0, -1.0], 40)  # one direction, but no common gain
    one = dimension(rng.normal(size=(10, 1)) * axis)
    assert (one.gain_share, one.first_share) == pytest.approx((0, 1), abs=1e-12)
    many = dimension(np.eye(10))
    assert (many.participation, many.first_share) == pytest.approx((10, 0.1))


def test_what_has_no_direction_has_no_share():
    nothing = dimension(np.zeros((4, 3)))
    assert np.isnan([nothing.gain_share, nothing.mean_share, nothing.participation]).all()
    same = dimension(np.tile([0.1, 0.2, 0.7], (7, 1)))  # no pair varies
    assert (same.mean_share, same.first_share) == pytest.approx((1, 1))


def test_scale_sides_and_order_do_not_matter_to_shares():
    diffs = np.random.default_rng(2).normal(size=(8, 30)) + 0.2
    first = dimension(diffs)
    for other in (-diffs, 1e-9 * diffs, diffs[::-1], diffs[:, ::-1]):
        again = dimension(other)
        assert again.gain_share == pytest.approx(first.gain_share)
        assert again.participation == pytest.approx(first.participation)
        assert again.first_share == pytest.approx(first.first_share)
    with pytest.raises(ValueError, match="NaN"):
        dimension(np.full((3, 3), np.nan))


def test_the_interval_of_a_mean_is_scipys_and_covers_at_its_level():
    rng = np.random.default_rng(7)
    diffs = rng.normal(0.3, 2.0, 25)
    expected = reference.ttest_1samp(diffs, 0).confidence_interval(0.9)
    assert mean_interval(diffs, 0.9) == pytest.approx(tuple(expected), rel=1e-12)
    covered = sum(low <= 0.3 <= high for low, high in (mean_interval(d) for d in rng.normal(0.3, 2.0, (2000, 8))))
    assert reference.binomtest(covered, 2000, 0.95).pvalue > 1e-3
    for bad in ([1.0], [1.0, np.nan]):
        with pytest.raises(ValueError, match="pairs are too few|NaN"):
            mean_interval(np.array(bad))


def test_the_last_digits_do_not_depend_on_the_number_of_threads():
    script = (
        "import numpy as np; from plantain.stats import dimension, pearson;"
        "d = np.random.default_rng(0).normal(size=(25, 1600)); f = dimension(d);"
        "found = f.gain_share, f.mean_share, f.first_share, f.participation;"
        "print(*map(float.hex, (*found, pearson(d.ravel(), d[::-1].ravel()))))"
    )
    said = set()
    for n in ("1", "2"):
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": n, "OMP_NUM_THREADS": n}
        command = [sys.executable, "-c", script]
        said.add(subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, check=True).stdout)
    assert len(said) == 1 and len(said.pop().split()) == 5
