"""What is said of interventions: the finding with its figures and weights, and what may not be said."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from browser import ROOT
from interventions_made import CONTROL, made_result, result_of
from made import small_run

from plantain.findings.interventions import cause
from plantain.report.figures.catalogue import OneIntervention, figure
from plantain.report.interventions import (
    CLAIM,
    brief,
    cause_answers,
    cause_blocks,
    finding,
    intervention_answer,
    intervention_text,
    run_interventions,
)
from plantain.runs.attached.interventions import write_interventions
from plantain.runs.info import RANDOM
from plantain.runs.io import load_run, save_run

RUN = small_run()


def test_a_yes_has_its_figures_its_floor_and_its_weights():
    found = made_result(39, chosen=0.8125)
    said = finding(found.info, cause(found))
    assert said.startswith(
        "Yes: the 2 heads that the other categories choose restore 0.81 of the difference between both sides when "
        "patched from the other side of their pair; redraws within blocks restore 0."
    )
    assert said.count("p = 0.025") == 2 and "the smallest p that 39 redraws can give is 0.025" in said
    assert said.endswith("Weights: some/model (pretrained weights from the Hub).")


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (made_result(39, chosen=0.01), "Not shown: "),
        (made_result(9, chosen=0.9), "Too few redraws to tell: "),
        (made_result(39, chosen=0.9, method="steer"), "moved by the mean difference of other pairs"),
        (made_result(39, chosen=0.9, method="ablate"), "take away 0.90 of the difference"),
        (made_result(39, heads_from="again"), "the 2 heads that again chooses"),
        (made_result(39, chosen_by="names"), "the 2 heads that were named"),
        (made_result(39, fold_rule="hash"), "the 2 heads that the other folds choose"),
    ],
)
def test_the_finding_says_what_was_done(result, said):
    assert said in finding(result.info, cause(result))


def test_it_is_said_how_much_more_the_chosen_heads_write_where_that_was_measured():
    found = made_result(39, written=True)
    for name, length in (("chosen", [3, 5]), ("within", [[2], [4]]), ("matched", [[3], [5]])):
        found.arrays[f"written.{name}"][:] = length
    text = intervention_text(found, RUN)
    for within, matched in (("1.50", "1.00"), ("1.25", "1.00")):
        said = f"{within} times as much as in the median redraw within blocks (0 of 39 have as much); "
        said += f"{matched} times as much as in the median redraw in strata (39 of 39 have as much)."
        assert f"Lengths of what heads write differently on the two sides, summed: {said}" in text
    assert "Lengths" not in intervention_text(made_result(39), RUN)
    other = intervention_text(made_result(39, written=True, heads_from="again"), RUN)
    assert "Lengths of what heads write differently on the two sides in the pairs of again, summed: " in other


def test_a_part_of_the_pairs_has_neither_yes_nor_p():
    text = intervention_text(made_result(39, chosen=0.9, n_pairs=25), RUN)
    assert "In 4 of the run's 25 pairs the 2 heads" in text and "A part of the pairs: no p of the run." in text
    part = made_result(39, chosen=0.9, n_pairs=25)
    for said in (text, brief(part.info, cause(part))):
        assert not re.search(r"Yes|Not shown|p = ", said)
    assert said.startswith("Top 2 heads patched, 0.")


def test_the_text_has_at_most_twelve_lines_and_what_may_be_claimed():
    controls = tuple(replace(CONTROL, name=f"size-{i}") for i in range(8))
    text = intervention_text(made_result(39, controls=controls), RUN)
    lines = text.splitlines()
    assert lines[0] == "## Do these heads matter more than others? Patching" and len(lines) <= 12
    assert CLAIM in lines and "All heads at once 1.0000 (1 by construction: a check)" in text
    assert text.count("; together ") == 8  # and once in the claim


def test_numbers_of_random_weights_are_named_so():
    assert RANDOM in intervention_text(made_result(weights="untrained"), RUN)
    assert "UNTRAINED" in intervention_text(made_result(weights="untrained"), RUN)


def test_named_heads_and_equal_sides_are_said():
    found = made_result(39, chosen_by="names")
    found.arrays["effect"][1] = 0
    text = intervention_text(found, RUN)
    assert "the p is too small" in text and "In 1 of 4 pairs the sides do not differ" in text


def test_json_has_what_the_text_has():
    found = made_result(39, controls=(CONTROL,))
    told = json.loads(json.dumps(intervention_answer(found, RUN), allow_nan=False))
    assert told["finding"] == finding(found.info, cause(found)) and told["claim"] == CLAIM
    assert told["settings"]["asked"]["ks"] == [1, 2]
    assert told["sizes"][1]["redraws"][0]["p"] == cause(found).headline.redraws[0].p
    assert len(told["lines"]) > 5 and all(line in intervention_text(found, RUN) for line in told["lines"])


def test_a_run_brings_its_interventions(made_run, tmp_path):
    folder = save_run(made_run(), tmp_path / "run")
    assert cause_blocks(load_run(folder)) == [] and cause_answers(load_run(folder)) == []
    found = result_of(load_run(folder))
    write_interventions(folder, found, {})
    assert cause_blocks(load_run(folder)) == [intervention_text(found, load_run(folder))]
    assert cause_answers(load_run(folder)) == [intervention_answer(found, load_run(folder))]
    assert cause_blocks(made_run()) == [], "a run in memory has none"


def test_the_figure_says_what_its_redraws_are_and_of_no_others(made_run):
    patched, steered = (
        figure("redraws", OneIntervention(made_run(), made_result(39, chosen=0.8, method=method))).more
        for method in ("patch", "steer")
    )
    assert patched.count("Within blocks: ") == patched.count("In strata: ") == 1 and "flipped" not in patched
    assert steered.count("With flipped signs: ") == 1 and "blocks" not in steered


def test_the_figure_shows_every_redraw_and_the_chosen_set(made_run):
    found = made_result(39, chosen=0.8125)
    drawn = figure("redraws", OneIntervention(made_run(), found))
    shown = "".join(drawn.draw(480).marks)
    assert shown.count("<circle") == 2 * 2 * 39 + 1  # and one in the legend
    assert shown.count("<polygon") == 4 + 2
    looks = re.findall(r'class="(pl-new|pl-hollow)"', shown)
    assert looks[:4] == ["pl-new", *["pl-hollow"] * 3], "the test comes first; the others stand beside it"
    rows = [
        f"{'1 head' if k == 1 else f'{k} heads'}, {kind}"
        for k in found.info.asked.ks
        for kind in ("within blocks", "in strata")
    ]
    test = f"{cause(found).headline_k} heads, within blocks"
    rows.remove(test)
    assert re.findall(r">(\d+ heads?, [^<]*)<", shown) == [test, *rows]
    assert "chosen: 0.812; 0 of 39 redraws reach it (p 0.025)" in shown
    (where,) = {float(x) for x in re.findall(r'points="([\d.]+),', shown)[:4]}
    zero, part = (float(re.findall(rf'<text x="([\d.]+)"[^>]*>{tick}<', shown)[0]) for tick in "01")
    assert where - 8 == pytest.approx(zero + 0.8125 * (part - zero), abs=0.2)
    assert "distance is not meaning" in drawn.caption
    places = np.array([float(y) for y in re.findall(r'cy="([\d.]+)"', shown)[:39]])
    assert places.min() >= 18 - 10 and places.max() <= 18 + 10, "a redraw stays in its row"


def test_a_part_of_the_pairs_has_no_mark_of_a_test(made_run):
    """It has no p."""

    def shown(found):
        return "".join(figure("redraws", OneIntervention(made_run(), found)).draw(480).marks)

    whole, part = shown(made_result(39, method="steer")), shown(made_result(39, n_pairs=25))
    assert "chosen heads, the test<" in whole and "beside the test<" in whole and whole.count("pl-hollow") == 1 + 1
    assert "chosen heads<" in part and "the test<" not in part and "pl-hollow" not in part and "()" not in part


def test_the_short_finding_says_the_answer_first_and_what_random_heads_do():
    """From the shipped runs of the practice model, whose figures docs/picture-book.md gives."""
    said = {
        found.info.asked.method: brief(found.info, cause(found))
        for found in run_interventions(load_run(ROOT / "precomputed" / "picture-book-moral"))
    }
    assert said["patch"] == (
        "Not shown: top 10 heads patched, 0.72 of the way over; random heads of their blocks, 0.65 (p = 0.25)."
    )
    assert said["steer"] == "Yes: top 10 heads steered, 0.18 of the way over; with flipped signs, 0.00 (p = 0.005)."
