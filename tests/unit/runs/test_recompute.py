"""Every reported figure of the shipped stand-in run, recomputed from its raw material by other means.

Written from the definitions of the method and from the file's own description of its axes. Nothing of the
package takes part except the command line, whose answers are compared.
"""

import csv
import json
import math
import re
import shutil
import subprocess
import sys
from functools import cache

import numpy as np
import pytest
from browser import ROOT
from made import leaves
from safetensors import safe_open
from scipy import linalg, stats

from plantain.cli import main

RUN = ROOT / "precomputed" / "tiny-random"

UNITS = ("card", "heads", "text-heads", "mlp", "embedding")

# Which tokens a scope is made of; the joint blocks' image stream sees image tokens only, their text stream
# text tokens only, a single block all of them.
TOKENS_OF = {
    "all": {"template", "words", "padding", "image"},
    "image": {"image"},
    "prompt": {"template", "words"},
    "words": {"words"},
    "padding": {"padding"},
    "template": {"template"},
}
CHOICES = [
    (units, scope)
    for units in UNITS
    for scope in TOKENS_OF
    if units not in ("text-heads", "embedding") or scope != "image"
]


@cache
def raw():
    """Read the arrays and, from the file's metadata, what their axes are."""
    with safe_open(RUN / "capture.safetensors", "np") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        axes = json.loads(file.metadata()["axes"])
    return arrays, axes


@cache
def layout():
    return json.loads((RUN / "run.json").read_text(encoding="utf-8"))["info"]["layout"]


def channel_range(units, stream):
    """First channel, end and width of the units in one block's projection input; None: not there."""
    heads, whole = layout()["n_heads"] * layout()["head_dim"], layout()["head_dim"]
    mlp_end = heads + layout()["mlp_dim"]
    return {
        ("card", "joint_image"): (0, heads, 16),
        ("card", "single"): (0, mlp_end, 16),
        ("heads", "joint_image"): (0, heads, whole),
        ("heads", "single"): (0, heads, whole),
        ("text-heads", "joint_text"): (0, heads, whole),
        ("mlp", "single"): (heads, mlp_end, whole),
        ("embedding", "embedding"): (0, layout()["text_dim"], 16),
    }.get((units, stream))


@cache
def differences(units, scope):
    """Return helping minus ignoring of every unit's RMS, (n_pairs, n_units), and the units' blocks."""
    arrays, axes = raw()
    token_scopes = axes["tokens"][2]
    columns, blocks = [], []
    for stream, kind, n_blocks in (
        ("embedding", "embedding", 1),
        ("joint_image", "joint", layout()["n_joint"]),
        ("joint_text", "joint", layout()["n_joint"]),
        ("single", "single", layout()["n_single"]),
    ):
        found = channel_range(units, stream)
        own_scopes = axes[f"sum_squares.{stream}"][2]
        wanted = [s for s in own_scopes if s in TOKENS_OF[scope]]
        if found is None or not wanted:
            continue
        squares = sum(arrays[f"sum_squares.{stream}"][:, :, own_scopes.index(s)].astype(float) for s in wanted)
        count = sum(arrays["tokens"][:, :, token_scopes.index(s)] for s in wanted)
        first, end, width = found
        per_block = squares.shape[2] // n_blocks
        for block in range(n_blocks):
            for channel in range(first, end, width):
                start = block * per_block + channel // 16
                total = sum(squares[:, :, start + i] for i in range(width // 16))
                rms = np.sqrt(total / count / width)
                columns.append(rms[0] - rms[1])
                blocks.append(kind if kind == "embedding" else f"{kind}[{block}]")
    return np.stack(columns, axis=1), np.array(blocks)


def usable(diffs):
    """Drop units whose differences are all the same; all zero counts as t = 0 and stays."""
    return np.array([len(set(column)) > 1 or column[0] == 0 for column in diffs.T])


def scipy_t(diffs):
    """Return scipy's t; a unit without any difference has t = 0."""
    t = np.zeros(diffs.shape[1])
    moving = (diffs != 0).any(axis=0)
    t[moving] = stats.ttest_1samp(diffs[:, moving], 0).statistic
    return t


@cache
def flipped_counts(units, scope):
    """Count the units over 3 and 5 under each stored flip, from mean and SD of the flipped differences."""
    diffs, _ = differences(units, scope)
    diffs = diffs[:, usable(diffs)]
    diffs = diffs[:, (diffs != 0).any(axis=0)]
    counts = []
    for row in raw()[0]["signs"]:
        flipped = diffs * row[:, None]
        t = np.abs(flipped.mean(axis=0)) / (flipped.std(axis=0, ddof=1) / math.sqrt(len(flipped)))
        counts.append([np.count_nonzero(t > 3), np.count_nonzero(t > 5)])
    return np.array(counts)


def split_half_r(units, scope):
    diffs, _ = differences(units, scope)
    diffs = diffs[:, usable(diffs)]
    halves = raw()[0]["halves"]
    return [stats.pearsonr(scipy_t(diffs[half]), scipy_t(diffs[~half])).statistic for half in halves]


def nth_percentile_above(values, percent):
    """Return the smallest of the values with at least that share of the way through the sorted list."""
    return sorted(values)[math.ceil(percent / 100 * (len(values) - 1) - 1e-9)]


def report(capsys, units, scope, run=RUN):
    assert main(["report", str(run), "--units", units, "--scope", scope, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


# --- the tests ---------------------------------------------------------------------------------------------


def test_the_raw_material_is_what_its_metadata_says():
    arrays, axes = raw()
    assert set(arrays) == set(axes)
    sizes = {"side": 2, "pair": 25, "flip": 1000, "split": 100}
    for name, names in axes.items():
        for size, axis in zip(arrays[name].shape, names, strict=True):
            if axis != "slice":
                assert size == (len(axis) if isinstance(axis, list) else sizes[axis])
    assert set(np.unique(arrays["signs"])) == {-1, 1}
    assert set(arrays["halves"].sum(axis=1)) <= {12, 13}
    assert (arrays["tokens"] > 0).all() and (arrays["tokens"][..., :3].sum(axis=2) == 512).all()


def test_t_and_d_of_every_unit_are_those_of_the_table_for_people():
    with open(RUN / "units.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for units in UNITS:
        mine = [row for row in rows if row["units"] == units]
        diffs, blocks = differences(units, "all")
        assert [row["block"] for row in mine] == blocks.tolist()
        tested = usable(diffs)
        assert [row["t"] != "" for row in mine] == tested.tolist()
        t = scipy_t(diffs[:, tested])
        np.testing.assert_allclose([float(row["t"]) for row in mine if row["t"]], t, rtol=1e-6)
        np.testing.assert_allclose([float(row["d_z"]) for row in mine if row["d_z"]], t / 5, rtol=1e-6)
        means = [float(row["mean_difference"]) for row in mine]
        np.testing.assert_allclose(means, diffs.mean(axis=0), rtol=1e-6)
    assert len(rows) == sum(differences(units, "all")[0].shape[1] for units in UNITS)


@pytest.mark.parametrize(("units", "scope"), CHOICES)
def test_every_reported_figure_follows_from_the_raw_material(capsys, units, scope):
    reported = report(capsys, units, scope)
    diffs, blocks = differences(units, scope)
    tested = usable(diffs)
    t = np.abs(scipy_t(diffs[:, tested]))
    n = len(t)
    assert (reported["units"], reported["scope"]) == (units, scope)
    assert (reported["n_units"], reported["n_pairs"]) == (n, 25)
    assert len(reported["degenerate_units"]) == np.count_nonzero(~tested)
    for column, (name, limit) in enumerate([("3", 3), ("5", 5)]):
        count = np.count_nonzero(t > limit)
        p99 = nth_percentile_above(flipped_counts(units, scope)[:, column], 99)
        assert reported["thresholds"][name] == {
            "count": count,
            "percent": pytest.approx(100 * count / n, rel=1e-12),
            "null_p99": p99,
            "ratio": pytest.approx(count / p99, rel=1e-12) if p99 else None,
        }
    large = np.count_nonzero(t / 5 > 0.8)
    assert reported["large_effect"] == {"threshold": 0.8, "count": large, "percent": pytest.approx(100 * large / n)}
    assert reported["max_abs_t"] == pytest.approx(t.max(), rel=1e-9)
    check_split_half(reported["split_half"], split_half_r(units, scope))
    check_top_blocks(reported["top_blocks"], t, blocks[tested])


def check_split_half(reported, r):
    quartiles = np.percentile(r, [50, 25, 75])
    assert [reported[name] for name in ("median", "q25", "q75")] == pytest.approx(quartiles.tolist(), abs=1e-9)
    assert reported["n_splits"] == len(r) == 100


def check_top_blocks(reported, t, blocks):
    largest = {block: t[blocks == block].max() for block in set(blocks)}
    assert [row["block"] for row in reported] == sorted(largest, key=largest.get, reverse=True)[:5]
    for row in reported:
        mine = t[blocks == row["block"]]
        assert (row["n_over_3"], row["n_units"]) == (np.count_nonzero(mine > 3), len(mine))
        assert row["max_abs_t"] == pytest.approx(mine.max(), rel=1e-9)
        assert row["median_abs_d"] == pytest.approx(np.median(mine) / 5, rel=1e-9)


def test_the_command_line_prints_the_same_object(capsys):
    command = [sys.executable, "-m", "plantain", "report", str(RUN), "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == report(capsys, "card", "all")
    assert done.stderr == ""


def test_the_summaries_kept_in_the_run_are_the_reported_ones(capsys, tmp_path):
    """From a copy without its kept statistics, which would come back as they were though the numbers had changed."""
    copy = shutil.copytree(RUN, tmp_path / RUN.name, ignore=shutil.ignore_patterns("statistics"))
    kept = json.loads((RUN / "run.json").read_text(encoding="utf-8"))["summaries"]
    ours, theirs = dict(leaves([report(capsys, units, "all", copy) for units in UNITS])), dict(leaves(kept))
    assert theirs.keys() <= ours.keys() and len(theirs) > 100  # the report says more than is kept
    for place, value in theirs.items():
        assert ours[place] == (pytest.approx(value, rel=1e-9) if isinstance(value, float) else value), place


# --- the headline and what stands beside it ----------------------------------------------------------------------


def told_right(diffs):
    """Leave each pair out: of the others the 20 units with the largest |t|, each with its sign and its SD."""
    right = 0
    for i in range(len(diffs)):
        others = np.delete(diffs, i, axis=0)
        mean, sd = others.mean(axis=0), others.std(axis=0, ddof=1)
        t = np.divide(mean, sd / math.sqrt(len(others)), out=np.zeros_like(mean), where=sd > 0)
        top = [unit for unit in np.argsort(-np.abs(t), kind="stable")[:20] if t[unit]]
        right += sum(np.sign(t[top]) * diffs[i, top] / sd[top]) > 0
    return right


@pytest.mark.parametrize(
    ("place", "units", "scope"),
    [(None, "heads", "image"), ("all_tokens", "heads", "all"), ("embedding", "embedding", "all")],
)
def test_the_headline_is_the_count_of_left_out_pairs_with_the_p_of_flipped_ones(capsys, place, units, scope):
    found = report(capsys, "card", "all")["held_out"]["magnitudes"]
    found = found[place] if place else found
    diffs, _ = differences(units, scope)
    k = told_right(diffs)
    assert (found["k"], found["n"], found["units"], found["scope"]) == (k, 25, units, scope)
    rng, n_flips = np.random.default_rng(2026), 200
    told = [told_right(diffs * rng.choice([-1, 1], size=(25, 1))) for _ in range(n_flips)]
    mine = np.mean(np.array(told) >= k)
    error = math.sqrt(max(mine * (1 - mine), 0.01) * (1 / n_flips + 1 / 9_999))
    assert found["p"] == pytest.approx(mine, abs=4 * error)
    assert found["error"] == pytest.approx(math.sqrt(found["p"] * (1 - found["p"]) / 9_999), rel=1e-9)


def test_the_size_beside_the_headline_is_the_median_heads_change(capsys):
    arrays, axes = raw()
    rms = {}
    for side in (0, 1):
        columns = []
        for stream, n_blocks in (("joint_image", layout()["n_joint"]), ("single", layout()["n_single"])):
            at = axes[f"sum_squares.{stream}"][2].index("image")
            squares = arrays[f"sum_squares.{stream}"][side, :, at].astype(float)
            count = arrays["tokens"][side, :, axes["tokens"][2].index("image")]
            per_block, per_head = squares.shape[1] // n_blocks, layout()["head_dim"] // 16
            for block in range(n_blocks):
                for head in range(layout()["n_heads"]):
                    first = block * per_block + head * per_head
                    total = squares[:, first : first + per_head].sum(axis=1)
                    columns.append(np.sqrt(total / count / layout()["head_dim"]))
        rms[side] = np.stack(columns, axis=1)
    percent = 100 * np.abs((rms[0] - rms[1]).mean(axis=0)) / ((rms[0] + rms[1]) / 2).mean(axis=0)
    assert report(capsys, "card", "all")["held_out"]["percent"] == pytest.approx(np.median(percent), rel=1e-9)


def test_agreement_that_sees_a_common_change_is_the_cosine_of_the_halves_t(capsys):
    found = report(capsys, "heads", "all")["inference"]["reliability"]["uncentred"]
    diffs, _ = differences("heads", "all")
    cosines = []
    for half in raw()[0]["halves"]:
        first, second = scipy_t(diffs[half]), scipy_t(diffs[~half])
        cosines.append(first @ second / math.sqrt(first @ first * (second @ second)))
    quartiles = np.percentile(cosines, [50, 25, 75])
    assert [found[name] for name in ("median", "q25", "q75")] == pytest.approx(quartiles.tolist(), abs=1e-9)


def printed(capsys, *options):
    assert main(["report", str(RUN), "--units", "heads", *options]) == 0
    return capsys.readouterr().out


def test_the_smallest_effect_that_is_found_is_that_of_scipys_noncentral_t(capsys):
    said = re.search(r"family-wise \.05 \(\|t\| > ([\d.]+)\) where its \|d_z\| is at least ([\d.]+)", printed(capsys))
    critical, effect = map(float, said.groups())
    diffs, _ = differences("heads", "all")
    rng = np.random.default_rng(5)
    largest = [np.abs(scipy_t(diffs * rng.choice([-1, 1], size=(25, 1)))).max() for _ in range(1_000)]
    low, high = np.percentile(largest, [92.5, 97])  # 95% of 1,000 drawn flips, give or take four standard errors
    assert low <= critical <= high
    reached = stats.nct.sf(critical, 24, 5 * effect) + stats.nct.cdf(-critical, 24, 5 * effect)
    assert reached == pytest.approx(0.8, abs=0.015)  # as far as two printed decimals tell


def test_agreement_within_and_between_categories_is_that_of_products_of_standardised_differences(capsys):
    said = re.search(r"differences ([+-][\d.]+) and ([+-][\d.]+), p = ([\d.]+)", printed(capsys)).groups()
    diffs, _ = differences("heads", "all")
    labels = [pair["category"] for pair in json.loads((RUN / "run.json").read_text(encoding="utf-8"))["pairs"]]
    unit = diffs / diffs.std(axis=0, ddof=1)
    root = linalg.sqrtm(unit @ unit.T / unit.shape[1]).real
    pairs = [(i, j) for i in range(25) for j in range(i)]
    same = np.array([labels[i] == labels[j] for i, j in pairs])
    products = np.array([np.mean(unit[i] * unit[j]) for i, j in pairs])
    assert [float(said[0]), float(said[1])] == pytest.approx([products[same].mean(), products[~same].mean()], abs=6e-4)

    def apart(names):
        alike = np.array([names[i] == names[j] for i, j in pairs])
        values = np.array([root[i, j] for i, j in pairs])
        return values[alike].mean() - values[~alike].mean()

    rng = np.random.default_rng(8)
    p = np.mean([apart(rng.permutation(labels)) >= apart(labels) for _ in range(1_000)])
    assert float(said[2]) == pytest.approx(p, abs=4 * math.sqrt(max(p * (1 - p), 0.01) / 1_000) + 0.005)
