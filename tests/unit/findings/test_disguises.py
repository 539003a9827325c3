"""Forged atlases: a control in a disguise is not called an axis of its own, and an axis of its own is.

360 slices, of which the moral sets move 60; a difference has SD 1 around its effect (d_z).
"""

import numpy as np
import pytest
from made import SETS, made_run

from plantain.findings.across_runs import atlas as atlas_module
from plantain.findings.across_runs.atlas import make_atlas, read_axes
from plantain.report.across_runs.atlas import finding
from plantain.runs.units import Layout

LAYOUT = Layout(n_joint=20, n_single=80, n_heads=2, head_dim=16, mlp_dim=32, text_dim=48)
N_SLICES = 360

AXIS = (0, 60, 1.0)
ELSEWHERE = {"nonmoral_valence": (100, 140, 0.8), "tempo": (160, 200, 0.8)}
DISGUISES = {
    "contact under another name": (AXIS, {**ELSEWHERE, "contact": AXIS}),
    "contact, twice as strong": ((0, 60, 1.5), {**ELSEWHERE, "contact": (0, 60, 0.75)}),
    "contact and pleasantness joined": (
        AXIS,
        {**ELSEWHERE, "contact": (0, 30, 1.0), "nonmoral_valence": (30, 60, 1.0)},
    ),
    "contact in two thirds of its units": (AXIS, {**ELSEWHERE, "contact": (0, 40, 1.5)}),
    "contact, many times as strong": ((0, 60, 1.5), {**ELSEWHERE, "contact": (0, 60, 0.15)}),
}


@pytest.fixture
def forge(monkeypatch):
    """Return a function that makes an atlas of the moral sets and three controls with chosen effects."""
    monkeypatch.setattr(atlas_module, "N_PERMUTATIONS", 199)
    monkeypatch.setattr(atlas_module, "N_SPLITS", 3)

    def run(name, effect, rng):
        differences = rng.normal(size=(25, N_SLICES))
        differences[:, effect[0] : effect[1]] += effect[2]
        chosen = SETS[name]
        sides = {"positive": chosen.positive, "negative": chosen.negative}
        return made_run(differences, base=64.0, layout=LAYOUT, prompts_sha256=chosen.sha256, **sides)

    def forge(moral, controls, seed=0):
        rng = np.random.default_rng(seed)
        effects = {"moral_valence": moral, "moral_valence_replication": moral, **controls}
        return make_atlas(read_axes({name: run(name, effect, rng) for name, effect in effects.items()}))

    return forge


def last(atlas):
    """Return the first sentence, and what is said of the axis against the controls."""
    first, *_, own = finding(atlas, "pretrained")
    return first.text, own.text


@pytest.mark.parametrize("name", DISGUISES)
def test_a_disguise_is_not_called_an_axis(forge, name):
    first, own = last(forge(*DISGUISES[name]))
    assert "all three signs" not in first and "? Not shown: " in own


def test_the_nearest_rival_is_named(forge):
    found = forge(*DISGUISES["contact, twice as strong"])
    assert found.unique.nearest.name == "contact" and found.unique.nearest.true_r == pytest.approx(1.0, abs=0.15)
    assert "Nearest rival: contact, true r = " in last(found)[1]
    assert "interval is not above 0" in last(found)[1]


def test_a_part_of_ones_own_is_called_a_part(forge):
    found = forge(*DISGUISES["contact in two thirds of its units"])
    assert found.unique.share == pytest.approx(1 / 3, abs=0.12) and "some of it is its own" in last(found)[1]


def test_an_axis_of_its_own_is_called_one(forge):
    found = forge(AXIS, {**ELSEWHERE, "contact": (220, 260, 0.8)})
    first, own = last(found)
    assert "all three signs" in first and "? Yes: of what the axis and its replication share, " in own
    assert found.unique.share == pytest.approx(1.0, abs=0.1)
    low, high = found.unique.interval
    assert low < 1 < high and f"[{100 * low:.0f}, {100 * high:.0f}] is not what " in own


def test_nothing_in_common_is_said(forge):
    found = forge((0, 0, 0.0), {**ELSEWHERE, "contact": (220, 260, 0.8)}, seed=1)
    assert "shows none" in last(found)[0] and "share is not above zero (sign-flip p = " in last(found)[1]


def test_controls_without_a_map_leave_the_question_open(forge):
    found = forge(AXIS, {"contact": (0, 0, 0.0)}, seed=4)
    assert not any(rival.has_map or rival.is_weak for rival in found.unique.rivals)
    assert (found.unique.share, found.unique.interval, found.unique.nearest) == (None, (None, None), None)
    assert "? Not asked: no sibling or control has a map" in last(found)[1]


def test_disjoint_effects_of_opposite_sign_have_nothing_in_common_though_they_correlate(forge):
    found = forge((0, 180, 1.0), {"contact": (180, 360, -1.0)}).unique
    assert found.nearest.true_r > 0.5 and abs(found.nearest.uncentred) < 0.1
    assert found.share == pytest.approx(1.0, abs=0.1)
