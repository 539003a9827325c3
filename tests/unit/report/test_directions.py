"""The block of directions in a report, its JSON, the columns of units, and the headline that goes by them."""

import io
import json
from dataclasses import replace

import by_hand
import numpy as np
import pandas as pd
import pytest
from made import directed_set, with_kinds

from plantain import UsageError
from plantain.findings.directions import directions
from plantain.findings.held_out import held_out
from plantain.findings.published import load_published
from plantain.report import tables, verdict
from plantain.report.answer import answer, answer_of_all, unit_answer
from plantain.report.export import units_csv
from plantain.report.figures.catalogue import FigureError, OneRun, figure
from plantain.report.run import report_text, report_text_of_all
from plantain.report.verdict import p_words, standing, verdict_lines
from plantain.runs.units import CARD, HEADS, Selection

PUBLISHED, IMAGE = load_published(), Selection("heads", "image")
PUSH = {"joint_image": 0.4, "single": 0.4}


@pytest.fixture(scope="module")
def run():
    return with_kinds(directed_set(1, 1, PUSH))


def silent(run):
    return replace(run, directions=None, _directed={})


def words(told, of="cosine with their own rule "):
    ends = told.cosine_interval and " [{:.2f}, {:.2f}]".format(*told.cosine_interval)
    cosine = "" if told.cosine is None else f", {of}{told.cosine:.2f}{ends or ''}"
    return f"{told.k} of {told.n} ({p_words(told)}{cosine})"


def test_the_headline_names_both_measures(run):
    found = held_out(run)
    first, beside, *_ = verdict_lines(run, found)
    assert first == (
        f"{found.k} of 25 held-out pairs are told right by the directions of all 14 heads, more than chance gives "
        f"(p < 0.001); by magnitudes {words(found.magnitudes)}. The rule for each pair is learned on all other "
        "pairs, at image tokens alone."
    )
    assert beside == (
        f"From the prompt embedding, before the transformer: {words(found.embedding)}. From the heads over all tokens: "
        f"{words(found.all_tokens)}."
    )
    assert "by the magnitudes of the 20 heads" in verdict_lines(silent(run), held_out(silent(run)))[0]


def test_frozen_rules_stand_with_both_measures_and_say_what_a_silent_run_lacks(run):
    again, control = directed_set(2, 2, PUSH), directed_set(3, 3)
    found = held_out(run, ("again", again), {"contact": control})
    (line,) = (line for line in verdict_lines(run, found) if "frozen" in line)
    cosine = "" if found.controls[0].cosine is None else ", and the cosine with the pairs' own rule"
    assert line == (
        f"The rule of all 25 pairs, frozen, on the new pairs of again: {words(found.replication)}; by magnitudes "
        f"{words(found.magnitudes.replication)}. By rules that controls learned (two-sided p"
        f"{cosine}): contact {words(found.controls[0], '')}."
    )
    found = held_out(run, ("again", silent(again)), {"contact": silent(control)})
    (line,) = (line for line in verdict_lines(run, found) if "frozen" in line)
    assert line == (
        f"The rule of all 25 pairs, frozen, on the new pairs of again: {words(found.magnitudes.replication)} (by "
        f"magnitudes: it keeps no directions). By magnitudes alone, since these controls keep no directions: contact "
        f"{words(found.magnitudes.controls[0])}."
    )


def test_the_block_says_what_the_json_says(run):
    found, text = answer(run, PUBLISHED), report_text(run, PUBLISHED)
    block = text[text.index("## Directions") : text.index("## The card's figures")]
    said, own = found["directions"], directions(run)
    assert found == json.loads(json.dumps(found, allow_nan=False))
    assert (said["rule"]["k"], said["n_units"], said["n_fwer_05"]) == (own.rule.k, 14, own.n_fwer_05)
    assert f"At image tokens {own.n_fwer_05} of 14 heads have a family-wise p of at most 0.05." in block
    assert (
        f"learned on the other categories alone: {words(own.categories)}; by flips of whole categories "
        f"p = {own.categories_p:.2g}, which" in block
    )
    for part in said["kinds"]:
        of = f"A rule learned on {part['learned']} and tested on {part['tested']} "
        tail = (
            f"tells {part['k']} of {part['n']} pairs right (p = " if part["k"] is not None else "is not estimable with"
        )
        assert of + tail in block
    for strength in said["strengths"].values():
        assert f"{strength:.2f}" in block
    rows = [line.split("|")[1:-1] for line in block.splitlines() if line.startswith("| joint") or "| single" in line]
    assert [row[0].strip() for row in rows] == [row["head"] for row in said["top"]] and len(rows) == tables.N_SHOWN
    assert all(f"{name}: " in block for name in said["columns"])


def test_the_heads_that_agree_most_stand_first(run):
    a, names = run.direction_analysis(IMAGE).agreement, run.direction_analysis(IMAGE).table.names
    top = answer(run, PUBLISHED, top=None)["directions"]["top"]
    assert len(top) == 14
    by_name = {name: i for i, name in enumerate(names)}
    places = [by_name[row["head"]] for row in top]
    assert sorted(places) == list(range(14))
    keys = [(a.p_fwer[i], -a.mean[i]) for i in places]
    assert keys == sorted(keys)
    for i, row in zip(places, top, strict=True):
        assert (row["pairs told right"], row["agreement"]) == (a.told[i], a.mean[i])
        assert (row["p"], row["family-wise p"]) == (a.p[i], a.p_fwer[i])


def test_units_have_the_columns_where_their_directions_are_kept(run):
    a = run.direction_analysis(HEADS).agreement
    frame = pd.read_csv(io.BytesIO(units_csv(run, HEADS)))
    np.testing.assert_array_equal(frame["k_direction"], a.told)
    np.testing.assert_allclose(frame["agreement"], a.mean)
    np.testing.assert_allclose(frame["p_direction_fwer"], a.p_fwer)
    for selection, other in ((CARD, run), (HEADS, silent(run))):
        assert not set(tables.DIRECTION_COLUMNS) & set(pd.read_csv(io.BytesIO(units_csv(other, selection))))
    found = answer(run, PUBLISHED, HEADS, top=3, sort="agreement")
    assert [row["agreement"] for row in found["top_units"]] == sorted(abs(a.mean), reverse=True)[:3]
    assert set(found["top_units"][0]) <= set(found["columns"]["top_units"])
    text = report_text(run, PUBLISHED, HEADS, top=3, sort="p_direction_fwer")
    assert "3 of 14 by p_direction_fwer" in text and f"agreement: {tables.DIRECTION_COLUMNS['agreement']}" in text
    with pytest.raises(UsageError, match="no unit has a value of 'agreement' here"):
        report_text(silent(run), PUBLISHED, HEADS, sort="agreement")
    with pytest.raises(UsageError, match=r"sort by one of t, .*\. Heads have directions \(--units heads\)"):
        report_text(run, PUBLISHED, CARD, sort="agreement")


def test_a_run_without_directions_has_no_block_and_no_new_columns(run):
    plain = silent(run)
    found, text = answer(plain, PUBLISHED, HEADS), report_text(plain, PUBLISHED, HEADS)
    assert found["directions"] is None and "## Directions" not in text and "agreement" not in text
    assert found["columns"]["top_units"] == tables.UNIT_COLUMNS
    assert found["held_out"]["measure"] == "magnitude" and found["held_out"]["magnitudes"] is None


def test_all_kinds_of_units_have_the_block_once(run):
    headline = held_out(run)
    text, found = report_text_of_all(run, "all", headline), answer_of_all(run, "all", headline)
    assert text.count("## Directions") == 1 and found["directions"] == answer(run, PUBLISHED)["directions"]
    listed = {kind["units"]: kind["top_units"][0] for kind in found["unit_kinds"]}
    assert {units for units, row in listed.items() if "agreement" in row} == {"heads", "text-heads", "embedding"}


def test_one_head_shows_its_directions_in_words_numbers_and_a_picture(run):
    name = "single[1] head 1"
    vectors = run.vectors(IMAGE)[:, :, [run.analysis(IMAGE).table.names.index(name)]].astype(float)
    (rows,), (gram,) = by_hand.directions(vectors), by_hand.cosines(vectors)
    others = [sum(row for j, row in enumerate(rows) if j != i) for i in range(25)]
    cosines = [own @ mean / np.linalg.norm(mean) for own, mean in zip(rows, others, strict=True)]
    found = unit_answer(run, name, "image")
    own = found["direction"]
    np.testing.assert_allclose(own["cosines"], cosines, rtol=1e-6)
    assert (own["told"], own["n_pairs"]) == (by_hand.told(gram), 25) and sum(c > 0 for c in cosines) == own["told"]
    assert own["agreement"] == pytest.approx(by_hand.agreement(gram))
    (said,) = (note["text"] for note in found["notes"] if note["kind"] == "direction")
    assert f"{own['told']} of 25 pairs" in said and f"is {own['agreement']:+.2f} (p = {own['p']:.2g} for" in said
    drawn = figure("one head by direction", OneRun(run, IMAGE, name)).svg
    assert all(f"{record.pair.id}: {c:+.2f}. " in drawn for record, c in zip(run.pairs, cosines, strict=True))
    assert unit_answer(silent(run), name, "image")["direction"] is None
    assert not any(note["kind"] == "direction" for note in unit_answer(silent(run), name)["notes"])
    for missing in ("one head by direction", "map of directions"):
        with pytest.raises(FigureError, match="keeps no directions"):
            figure(missing, OneRun(silent(run), IMAGE, name))


def test_the_map_of_directions_draws_what_the_family_wise_p_is_of(run):
    a, names = run.direction_analysis(IMAGE).agreement, run.direction_analysis(IMAGE).table.names
    drawn = figure("map of directions", OneRun(run, IMAGE)).svg
    assert all(f"{name}: z of agreement = {z:+.2f}" in drawn for name, z in zip(names, a.z, strict=True))
    assert a.p_fwer[a.z.argmax()] == a.p_fwer.min()


def test_a_headline_of_magnitudes_departs_from_what_is_fixed(run, monkeypatch):
    asked = []

    def departs(info, selection=IMAGE, role="axis", measure="direction"):
        asked.append(measure)
        return ("measure",) if measure != "direction" else ()

    monkeypatch.setattr(verdict, "departures", departs)
    assert standing(run, IMAGE).startswith("The headline is the one of PREREGISTRATION.md")
    assert "depart" not in standing(run, IMAGE)
    assert set(asked) == {"direction"}
    standing(silent(run), IMAGE)
    assert asked[-1] == "magnitude"
