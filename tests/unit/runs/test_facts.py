"""Every fact of a run's slower statistics, recomputed by scipy, plain loops and hand counts.

The draws are replayed from their streams; of the package's statistics nothing else takes part.
"""

import csv
import itertools
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from made import BLOCKS, LAYOUT, leaves, made_differences, made_run, rounded, scipy_t, with_degenerate
from scipy import stats as reference

from plantain._files import plain
from plantain.findings.published import load_published
from plantain.findings.unit import profile_unit
from plantain.report.run import report_text
from plantain.report.statements import Kind, careful_statements, corrected_count, unit_statements
from plantain.runs.capture import SumsOfSquares
from plantain.runs.inference import COLUMNS, cache_key, read_cached, unit_p, write_cached
from plantain.runs.io import save_run
from plantain.runs.scopes import PLAIN_SCOPES, STREAM_SCOPES, UNITS, recorded_scopes
from plantain.runs.units import CARD, Selection, scope_changes
from plantain.stats import draw_halves, draw_signs, sign_flip_p

SEED, N_FLIPS, N_DRAWS, N_NULL, NULL_SPLITS = 7, 10_000, 2000, 100, 20
LABELS = [name for name in "abcde" for _ in range(5)]
IN_SINGLE = [block.startswith("single") for block in BLOCKS]
IS_MLP = [single and (i - 4) % 4 >= 2 for i, single in enumerate(IN_SINGLE)]
CHOSEN = {"card": range(24), "heads": [i for i in range(24) if not IS_MLP[i]]}  # columns of the made differences


def labelled_run():
    """Make a run with categories, degenerate units and something that its pairs share beside the effects."""
    shared = 0.8 * np.random.default_rng(5).normal(size=(25, 1))
    diffs = with_degenerate(rounded(made_differences(seed=3, effect=0.8) + shared))
    run, rng = made_run(diffs, seed=SEED), np.random.default_rng(6)
    # Signs that turn one pair in ten, which a run never draws: the counts' median is not zero, and p is not its least.
    signs = np.where(rng.random((1000, 25)) < 0.1, -1, 1).astype(np.int8)
    pairs = tuple(replace(r, pair=replace(r.pair, category=c)) for r, c in zip(run.pairs, LABELS, strict=True))
    # More halves than the reliability's reference takes.
    return replace(run, pairs=pairs, signs=signs, halves=draw_halves(30, 25, rng)), diffs


@pytest.fixture(scope="module")
def made():
    return labelled_run()


def stream(number):
    return np.random.default_rng((SEED, number))


def plain_t(diffs):
    """Divide the mean by its standard error; 0 for a unit without any difference."""
    t, moving = np.zeros(diffs.shape[1]), diffs.any(axis=0)
    own = diffs[:, moving]
    t[moving] = own.mean(axis=0) / (own.std(axis=0, ddof=1) / math.sqrt(len(own)))
    return t


def over(t, limit):
    return int((np.abs(t) > limit).sum())


def usable(diffs):
    """Leave out the units whose differences are all the same and not zero."""
    return diffs[:, [len(set(column)) > 1 or column[0] == 0 for column in diffs.T.tolist()]]


def higher(values, q):
    """Return the smallest value with at least that share of the way through the sorted list."""
    return sorted(values)[math.ceil(q * (len(values) - 1) - 1e-9)]


# --- thresholds --------------------------------------------------------------------------------------------


def p99_interval(counts):
    """Count up to the order statistics that the binomial allows."""
    m, binomial = len(counts), reference.binom(len(counts), 0.99)
    low = max(i for i in range(1, m + 1) if binomial.cdf(i - 1) <= 0.025)
    high = min(i for i in range(1, m + 1) if binomial.sf(i - 1) <= 0.025)
    return [float(sorted(counts)[low - 1]), float(sorted(counts)[high - 1])]


def wild_interval(diffs, limit):
    """Draw d* = mean sqrt(s) + e (d - mean) sqrt(n / (n - 1)) and count by scipy."""
    diffs, n = diffs[:, diffs.any(axis=0)], len(diffs)
    mean = diffs.mean(axis=0)
    s = max(0.0, 1 - ((n - 1) / (n - 3)) / np.mean(scipy_t(diffs) ** 2))
    counts = []
    for signs in draw_signs(N_DRAWS, n, stream(3)):
        drawn = mean * math.sqrt(s) + signs[:, None] * (diffs - mean) * math.sqrt(n / (n - 1))
        counts.append(over(plain_t(drawn), limit))
    return np.percentile(counts, [2.5, 97.5]).tolist()


def jackknife_interval(diffs, limit):
    n, count = len(diffs), over(plain_t(diffs), limit)
    logs = [math.log(over(plain_t(np.delete(diffs, i, axis=0)), limit) + 0.5) for i in range(n)]
    error = math.sqrt((n - 1) / n * sum((x - np.mean(logs)) ** 2 for x in logs))
    ends = [math.exp(math.log(count + 0.5) + q * error) - 0.5 for q in reference.t(n - 1).ppf([0.025, 0.975])]
    return [min(max(end, 0.0), float(diffs.shape[1])) for end in ends]


def threshold_facts(run, diffs, limit):
    diffs = usable(diffs)
    counts = [over(plain_t(diffs * signs[:, None]), limit) for signs in run.signs]
    observed = over(plain_t(diffs), limit)
    return {
        "p": (sum(count >= observed for count in counts) + 1) / (len(counts) + 1),
        "null_median": float(np.median(counts)),
        "null_max": max(counts),
        "null_p99_interval": p99_interval(counts),
        "count_interval": wild_interval(diffs, limit),
        "count_jackknife": jackknife_interval(diffs, limit),
    }


# --- corrected p -------------------------------------------------------------------------------------------


def family_wise(diffs):
    largest = [np.abs(plain_t(diffs * signs[:, None])).max() for signs in draw_signs(N_FLIPS, 25, stream(2))]
    return np.array([(sum(x >= t for x in largest) + 1) / (N_FLIPS + 1) for t in np.abs(plain_t(diffs))])


def exact_p(differences):
    """Count the sign patterns with as large a sum: the differences are multiples of 1/1024, so sums are exact."""
    first, last = (
        np.array(list(itertools.product((-1, 1), repeat=len(part)))) @ part
        for part in (differences[:12], differences[12:])
    )
    last, size = np.sort(last), abs(differences.sum())
    above = len(last) - np.searchsorted(last, size - first, side="left")
    below = np.searchsorted(last, -size - first, side="right")
    return min(1.0, (above.sum() + below.sum()) / 2**25) if size else 1.0


# --- reliability and gain ----------------------------------------------------------------------------------


def half_r(diffs, half):
    return np.corrcoef(plain_t(diffs[half]), plain_t(diffs[~half]))[0, 1]


def reliability_facts(run, diffs):
    diffs = usable(diffs)
    median = np.median([half_r(diffs, half) for half in run.halves])
    null = [
        np.median([half_r(diffs * signs[:, None], half) for half in run.halves[:NULL_SPLITS]])
        for signs in run.signs[:N_NULL]
    ]
    even = [half_r(diffs, half) for half in draw_halves(len(run.halves), 25, stream(4), LABELS)]
    q25, q50, q75 = np.percentile(even, [25, 50, 75])
    maps = [(plain_t(diffs[half]), plain_t(diffs[~half])) for half in run.halves]
    alike = np.percentile([a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in maps], [25, 50, 75])
    return {
        "spearman_brown": 2 * median / (1 + median),
        "null_median": np.median(null),
        "null_p95": higher(null, 0.95),
        "n_flips": N_NULL,
        "stratified": {"median": q50, "q25": q25, "q75": q75, "n_splits": 30},
        "uncentred": {**dict(zip(("q25", "median", "q75"), alike, strict=True)), "n_splits": len(run.halves)},
    }


def gain_facts(diffs, blocks):
    """Take the logarithms of the magnitudes 16 + d and 16 apart by their singular values."""
    logs = np.log(16 + diffs) - math.log(16)
    squares = np.linalg.svd(logs, compute_uv=False) ** 2
    total = (logs**2).sum()
    centred = logs.copy()
    for pair, block in itertools.product(range(25), set(blocks)):
        mine = [own == block for own in blocks]
        centred[pair, mine] -= logs[pair, mine].mean()
    t = plain_t(centred)
    return {
        "gain_share": logs.shape[1] * sum(row.mean() ** 2 for row in logs) / total,
        "mean_share": 25 * sum(column.mean() ** 2 for column in logs.T) / total,
        "first_share": squares[0] / squares.sum(),
        "participation": squares.sum() ** 2 / (squares**2).sum(),
        "counts_without_block_mean": {"3": over(t, 3), "5": over(t, 5)},
    }


def all_facts(run, diffs, blocks):
    tested = usable(diffs)
    p = [exact_p(column) for column in tested.T]
    return {
        "n_flips": N_FLIPS,
        "thresholds": {"3": threshold_facts(run, diffs, 3), "5": threshold_facts(run, diffs, 5)},
        "n_fwer_05": int((family_wise(tested) <= 0.05).sum()),
        "n_bh_05": int((reference.false_discovery_control(p, method="bh") <= 0.05).sum()),
        "n_by_05": int((reference.false_discovery_control(p, method="by") <= 0.05).sum()),
        "reliability": reliability_facts(run, diffs),
        "gain": gain_facts(diffs, blocks),
    }


@pytest.mark.parametrize("units", CHOSEN)
def test_every_fact_follows_from_the_differences(made, units):
    run, diffs = made
    columns = list(CHOSEN[units])
    ours = dict(leaves(all_facts(run, diffs[:, columns], [BLOCKS[i] for i in columns])))
    theirs = dict(leaves(plain(run.inference(Selection(units)).facts)))
    assert theirs.keys() == ours.keys()
    for place, value in ours.items():
        assert theirs[place] == pytest.approx(value, rel=1e-9), place


def test_no_two_facts_of_the_made_run_can_stand_for_each_other(made):
    """What the comparison rests on: a fact that took another's place would be seen."""
    facts = plain(made[0].inference(Selection("card")).facts)
    assert len({facts["n_fwer_05"], facts["n_bh_05"], facts["n_by_05"], over(plain_t(usable(made[1])), 3)}) == 4
    for name, three in facts["thresholds"]["3"].items():
        assert three != facts["thresholds"]["5"][name], name
    assert facts["thresholds"]["3"]["count_interval"] != facts["thresholds"]["3"]["count_jackknife"]
    left = facts["gain"]["counts_without_block_mean"]
    assert [left["3"], left["5"]] != [over(plain_t(usable(made[1])), limit) for limit in (3, 5)] and left["3"] > 0


# --- scopes and kinds --------------------------------------------------------------------------------------

# Slices of each stream that the units are made of, by plain counting: a single block has 2 of attention and 2 of MLP.
ATTENTION, MLP = 5 * [True, True, False, False], 5 * [False, False, True, True]
OF_UNITS = {
    "card": {"joint_image": [True] * 4, "single": [True] * 20},
    "heads": {"joint_image": [True] * 4, "single": ATTENTION},
    "text-heads": {"joint_text": [True] * 4},
    "mlp": {"single": MLP},
    "embedding": {"embedding": [True] * 3},
}


def uneven_sums(seed=8):
    """Draw sums of squares whose positive side is larger or smaller by another factor in every stream and scope."""
    rng, streams = np.random.default_rng(seed), {}
    for name in STREAM_SCOPES:
        scopes = recorded_scopes(name, PLAIN_SCOPES)
        squares = rng.uniform(1, 2, (2, 25, len(scopes), LAYOUT.n_slices(name)))
        squares[0] *= rng.uniform(0.5, 1.8, (1, len(scopes), 1))
        streams[name] = squares * rng.uniform(0.3, 3, (1, 1, len(scopes), 1))
    return SumsOfSquares(streams, np.ones((2, 25, 4), dtype=np.int64))


@pytest.mark.parametrize("units", UNITS)
def test_each_scope_has_its_own_change(units):
    sums = uneven_sums()
    per_scope, whole = dict.fromkeys(("template", "words", "padding", "image"), 0.0), 0.0
    for name, chosen in OF_UNITS[units].items():
        for row, scope in enumerate(sums.scopes(name)):
            for pair, i in itertools.product(range(25), np.flatnonzero(chosen)):
                positive, negative = sums.streams[name][:, pair, row, i]
                per_scope[scope] += (positive - negative) / 25
                whole += (positive + negative) / 2 / 25
    expected = {scope: 100 * change / whole for scope, change in per_scope.items()}
    assert scope_changes(sums, LAYOUT, units) == pytest.approx(expected, rel=1e-9)
    assert len({round(change, 3) for change in expected.values()}) == 4  # no scope can stand for another


def said(run, kind):
    """Return the one statement of a kind."""
    (text,) = (
        statement.text for statement in careful_statements(run, Selection("card", "all")) if statement.kind is kind
    )
    return text


def test_the_changes_of_the_scopes_are_said_under_their_names():
    run = replace(made_run(made_differences()), sums=uneven_sums())
    line = said(run, Kind.WHERE)
    changes = scope_changes(run.sums, LAYOUT, "card")
    assert all(f"{scope} {changes[scope]:+.3g}%" in line for scope in PLAIN_SCOPES)


def test_the_slices_over_3_are_told_by_kind():
    diffs = made_differences()
    large = np.abs(scipy_t(diffs)) > 3
    attention, mlp = sum(large[i] for i in range(24) if not IS_MLP[i]), sum(large[i] for i in range(24) if IS_MLP[i])
    assert attention != mlp and min(attention, mlp) > 0
    line = f"Over |t| > 3 are {attention} of 14 attention slices and {mlp} of 10 MLP slices."
    assert said(made_run(diffs), Kind.PARTS) == line


# --- where a fact does not exist ---------------------------------------------------------------------------


def test_above_30_pairs_p_is_of_drawn_flips_with_its_error_and_q_from_it(tmp_path):
    """All of it by code that shares nothing with the package: other flips, of which there are more."""
    diffs = made_differences(40, effect=0.5)
    run = made_run(diffs)
    found = run.inference(Selection("card"))
    p, error = found.columns["p_flips"], found.columns["p_flips_error"]
    flips = np.random.default_rng(4711).choice([-1.0, 1.0], size=(100_000, 40))
    own = np.mean(np.abs(flips @ diffs) >= np.abs(diffs.sum(axis=0)) - 1e-9, axis=0)
    assert (np.abs(p - own) < 4.5 * np.hypot(np.sqrt(own * (1 - own) / len(flips)), error) + 1e-5).all()
    drawn = np.where(p > 0.0101, 9_999, 99_999)
    np.testing.assert_allclose(error, np.sqrt(p * (1 - p) / drawn), rtol=1e-12)
    np.testing.assert_allclose(p * (drawn + 1), np.rint(p * (drawn + 1)), atol=1e-6)
    assert {9_999, 99_999} == set(drawn.tolist()) and p.min() < 0.001 and np.isnan(found.columns["p_exact"]).all()
    for name, method in (("q_bh", "bh"), ("q_by", "by")):
        np.testing.assert_allclose(found.columns[name], reference.false_discovery_control(p, method=method))
    assert found.facts.n_bh_05 == np.count_nonzero(found.columns["q_bh"] <= 0.05) > 0
    text = report_text(run, load_published())
    assert "a Benjamini-Hochberg q ≤ .05 on the p of up to 99,999 drawn sign flips" in text
    assert "| p_flips | p_flips_error |" in text and "p_exact" not in text
    unit = profile_unit(run, run.analysis().table.names[3])
    assert (unit.p, unit.p_error) == (p[3], error[3])
    assert f"p = {p[3]:.2g} ± {error[3]:.1g}, of up to 99,999 drawn sign flips" in unit_statements(run, unit)[-1].text
    write_cached(tmp_path, run, CARD, found)
    again = read_cached(tmp_path, run, CARD)
    assert list(again.columns) == list(found.columns) and again.facts == found.facts
    assert all(np.array_equal(values, again.columns[name], equal_nan=True) for name, values in found.columns.items())
    save_run(run, tmp_path / "run")
    with (tmp_path / "run" / "units.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["units"] == "card"]
    assert [float(row["p_flips"]) for row in rows] == pytest.approx(p.tolist(), rel=1e-3)


def test_where_drawn_flips_are_too_few_for_a_q_the_units_that_it_takes_are_said():
    of = {n: made_run(made_differences(n), n_permutations=20).summary(CARD) for n in (25, 40)}
    said = corrected_count(replace(of[40], n_units=16_320))
    assert "No drawn p is below 1e-05" in said
    assert "needs at least 4 units with so small a p, by Benjamini-Yekutieli 34." in said
    for n, method in ((4, "bh"), (34, "by")):  # by scipy: so many smallest p are just enough
        for k in (n - 1, n):
            p = np.repeat([1e-5, 1.0], [k, 16_320 - k])
            assert (reference.false_discovery_control(p, method=method).min() <= 0.05) == (k == n)
    assert "No drawn p" not in corrected_count(of[40]) + corrected_count(replace(of[25], n_units=16_320))


def test_flips_of_a_units_p_are_not_those_of_the_headline():
    run = made_run(made_differences(40, effect=0.2), n_permutations=20)
    a = run.analysis(Selection("heads", "image"))
    others = [draw_signs(99_999, 40, np.random.default_rng((0, stream))) for stream in range(8)]
    p, _ = unit_p(a.differences, run.info.seed)
    assert all((sign_flip_p(a.differences, signs=signs).p != p).any() for signs in others)


def test_up_to_30_pairs_p_is_exact_and_nothing_else_is_kept():
    run = made_run(made_differences(30))
    found = run.inference()
    assert list(found.columns) == list(COLUMNS) and not np.isnan(found.columns["p_exact"]).any()
    assert "n_flips_p" not in cache_key(run, CARD) and "n_flips_p" in cache_key(made_run(made_differences(31)), CARD)
    assert "p_flips" not in report_text(run, load_published())


def test_without_any_difference_the_gain_says_so():
    run = made_run(np.zeros((25, 24)))
    assert said(run, Kind.GAIN) == "One gain or many axes: all differences are zero."


def test_halves_that_go_against_each_other_are_not_stepped_up():
    diffs = made_differences(effect=0.0)
    run = made_run(rounded(diffs - 0.7 * diffs.mean(axis=0)))
    assert np.median([half_r(run.analysis().differences, half) for half in run.halves]) < 0
    assert said(run, Kind.RELIABILITY).startswith(
        "Beyond a change that all units share, the halves do not agree: there is no split-half reliability to step "
        "up to all pairs."
    )


def test_halves_that_agree_in_one_common_change_are_not_said_to_disagree():
    """F3: every unit rises in every pair, and r over units is blind to it."""
    rng = np.random.default_rng(5)
    run = made_run(rounded(3 + 0.25 * rng.normal(size=(25, 24))))
    assert (run.analysis().t > 30).all()
    facts = run.inference().facts.reliability
    assert facts.uncentred.median > 0.9
    text = said(run, Kind.RELIABILITY)
    assert f"the halves' maps of t agree by {facts.uncentred.median:.3f} (uncentred, median)" in text
    assert "The halves do not agree" not in text


def test_an_interval_of_a_count_stands_only_where_its_coverage_was_simulated():
    for n, shown in ((8, False), (19, False), (20, True), (25, True), (30, True), (31, False)):
        run = made_run(made_differences(n, effect=2.0))
        text = careful_statements(run, Selection("card", "all"))[0].text  # of |t| > 3
        assert run.headline().thresholds[3].count >= 5
        assert ("Expected in a new sample" in text) == shown
        assert "bootstrap" not in text


def test_the_report_says_which_effect_so_many_pairs_find():
    run = made_run(made_differences())
    rng = np.random.default_rng(3)
    critical, d = map(
        float, re.search(r"\|t\| > (\S+)\) where its \|d_z\| is at least (\S+):", said(run, Kind.POWER)).groups()
    )
    assert critical == pytest.approx(higher(run.analysis().null.max_abs_t, 0.95), abs=0.005)
    t = reference.ttest_1samp(rng.normal(d, 1, size=(25, 20_000)), 0).statistic
    assert (abs(t) > critical).mean() == pytest.approx(0.8, abs=0.015)
    assert said(run, Kind.POWER).startswith("25 pairs find one unit of 24 with 80% power at a family-wise .05")
