"""PREREGISTRATION.md: it is about the prompts that are shipped, and says what the code does."""

import hashlib
import re
from dataclasses import replace

import pytest
from made import made_info
from scipy.stats import binom

from plantain.findings.held_out import N_TOP
from plantain.findings.told import DIRECTION, IMAGE, MAGNITUDE, N_FLIPS
from plantain.models.load import KLEIN
from plantain.prompts.sets import is_shipped, known_sets, shipped_sets
from plantain.report.numbers import LEVEL
from plantain.runs.registration import CONDITIONS, MEASURE, REGISTRATION, SELECTION, departures, registration_sha256
from plantain.runs.units import Selection

TEXT = " ".join(REGISTRATION.read_text(encoding="utf-8").split())


def test_the_prompts_are_those_that_are_shipped():
    rows = re.findall(r"^\| `(\w+)` \| ([\w ]+) \| `(\w+)` \|$", REGISTRATION.read_text(encoding="utf-8"), re.M)
    fixed = {name: (role, sha256) for name, role, sha256 in rows}
    shipped = {path.stem: (s.role, sha256) for sha256, (path, s) in shipped_sets().items()}
    changed = [
        f"{name}: PREREGISTRATION.md has {fixed.get(name)}, prompts/{name}.toml is {shipped.get(name)}"
        for name in sorted(fixed.keys() | shipped.keys())
        if fixed.get(name) != shipped.get(name)
    ]
    assert changed == [], "\n".join(changed)


def test_former_texts_are_named_keep_their_role_and_depart_from_it():
    rows = re.findall(r"^\| `(former/\w+)` \| ([\w ]+) \| `(\w+)` \|$", REGISTRATION.read_text(encoding="utf-8"), re.M)
    known = {sha256: found for sha256, found in known_sets().items() if not is_shipped(sha256)}
    former = {(f"former/{path.stem}", s.role, sha256) for sha256, (path, s) in known.items()}
    assert set(rows) == former and len(rows) == 2
    for _, _, sha256 in rows:
        assert departures(registered(prompts_sha256=sha256)) == ("prompts",)


def test_the_figure_is_the_one_that_is_computed():
    assert SELECTION == IMAGE == Selection("heads", "image") and MEASURE == DIRECTION and "by directions.**" in TEXT
    assert f"the {N_TOP} heads with the largest |t|" in TEXT and f"{N_FLIPS:,} sign flips" in TEXT
    assert (CONDITIONS.size, CONDITIONS.seeds, CONDITIONS.steps) == (1024, (0,), 1) and "1024 px" in TEXT
    assert "at most .05" in TEXT and LEVEL == 0.05 and f"`{KLEIN}`" in TEXT


def registered(**changes):
    sha256 = next(h for h, (_, s) in shipped_sets().items() if s.role == "axis")
    facts = {"model": KLEIN, "size": 1024, "prompts_sha256": sha256, "preregistration": registration_sha256()}
    return made_info(**{**facts, **changes})


def test_the_registered_run_departs_in_nothing():
    assert departures(registered()) == ()
    again = next(h for h, (_, s) in shipped_sets().items() if s.role == "replication")
    assert departures(registered(prompts_sha256=again)) == ("prompts",), "the headline is of the moral pairs"
    assert departures(registered(prompts_sha256=again), role="replication") == ()
    assert departures(registered(), role="replication") == ("prompts",)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"weights": "untrained"}, "weights"),
        ({"model": "some/model"}, "weights"),
        ({"prompts_sha256": "0" * 64}, "prompts"),
        ({"size": 256}, "image size, seeds or steps"),
        ({"seeds": (0, 1)}, "image size, seeds or steps"),
        ({"seed": 1}, "image size, seeds or steps"),
        ({"preregistration": None}, "the file itself"),
        ({"preregistration": "0" * 64}, "the file itself"),
        ({"references": {"a": "0" * 64}}, "reference images"),
    ],
)
def test_what_departs_is_named(changes, words):
    assert departures(registered(**changes)) == (words,)


def test_a_figure_of_magnitudes_departs():
    assert departures(registered(), measure=MAGNITUDE) == ("measure",)


def test_the_power_that_a_no_claims_is_the_binomials():
    assert binom.sf(17, 25, 0.5) <= 0.05 < binom.sf(16, 25, 0.5) and "(18 of 25 are needed)" in TEXT
    assert binom.sf(17, 25, 0.765) < 0.8 < binom.sf(17, 25, 0.775) and "tells 77% of all new pairs right" in TEXT


def test_other_units_or_tokens_depart():
    assert departures(registered(), Selection("card", "all")) == ("units or tokens",)


def test_the_hash_is_of_the_files_bytes_and_nothing_where_there_is_no_file(monkeypatch, tmp_path):
    assert registration_sha256() == hashlib.sha256(REGISTRATION.read_bytes()).hexdigest()
    monkeypatch.setattr("plantain.runs.registration.REGISTRATION", tmp_path / "none")
    assert registration_sha256() is None
    assert replace(registered(), preregistration=None).preregistration is None
