"""Runs with a reference image, with masked padding and several seeds, through everything that shows a run."""

import csv
import dataclasses
import io
import json
import re
from contextlib import suppress

import numpy as np
import pytest
from made import small_run

from plantain.findings.across_runs.atlas import unlike_settings
from plantain.findings.across_runs.comparison import differences
from plantain.findings.published import comparable, load_published
from plantain.findings.unit import profile_unit
from plantain.models.load import identify
from plantain.probe.runner import Plan, ProbeConfig
from plantain.probe.tokens import ProbeError
from plantain.report.export import cite_text, report_json, run_zip, units_csv
from plantain.report.figures.catalogue import FIGURES, FigureError, OneRun, figure
from plantain.report.labels import difference_words, unlike_card
from plantain.report.model_card import results_section
from plantain.report.run import report_text
from plantain.report.statements import careful_statements, notes
from plantain.runs.capture import SumsOfSquares
from plantain.runs.info import Conditions, is_control
from plantain.runs.io import CAPTURE, DIRECTIONS, LARGEST, load_run, save_run
from plantain.runs.scopes import STREAM_SCOPES, UNITS, recorded_scopes
from plantain.runs.units import Layout, Selection
from plantain.ui.html import chip_html
from plantain.ui.tabs.chance import repeats_html
from plantain.ui.tabs.result import findings_html

KLEIN = Layout(n_joint=5, n_single=20, n_heads=24, head_dim=128, mlp_dim=9216, text_dim=7680)


def referenced() -> object:
    """A made-up run with a reference image of its own for every pair."""
    run, rng = small_run(1, n_pairs=8), np.random.default_rng(2)
    streams = {}
    for stream, values in run.sums.streams.items():
        more = rng.uniform(1, 2, (*values.shape[:2], 1, values.shape[3])).astype(np.float32)
        streams[stream] = np.concatenate([values, more], axis=2) if "reference" in STREAM_SCOPES[stream] else values
    tokens = np.concatenate([run.sums.tokens, np.full((2, 8, 1), 24)], axis=2)
    images = {record.pair.id: f"{i:064x}" for i, record in enumerate(run.pairs)}
    info = dataclasses.replace(run.info, references=images, vae="a" * 64)
    return dataclasses.replace(run, info=info, sums=SumsOfSquares(streams, tokens))


def repeated() -> object:
    """A made-up run of three seeds and two steps with masked padding."""
    parts = [small_run(seed, n_pairs=8) for seed in range(6)]
    sums = tuple(part.sums.without("padding") for part in parts)
    info = dataclasses.replace(parts[0].info, seeds=(0, 1, 2), steps=2, mask_padding=True)
    return dataclasses.replace(parts[0], info=info, sums=SumsOfSquares.average(sums), repeats=sums)


def with_info(run, **changes):
    return dataclasses.replace(run, info=dataclasses.replace(run.info, **changes))


RUNS = {"referenced": referenced, "repeated": repeated}


@pytest.fixture(params=RUNS)
def run(request):
    return RUNS[request.param]()


def choices(run):
    return [(units, scope) for units in UNITS for scope in run.scopes(units)]


def test_they_come_back_to_the_bit(run, tmp_path):
    again = load_run(save_run(run, tmp_path / "run"))
    assert again.info == run.info and again.capture_sha256 == run.capture_sha256
    assert len(again.repeats) == len(run.repeats)


def test_every_choice_is_shown_on_the_first_tab_and_in_the_report(run):
    assert ("heads", "reference") in choices(run) or not run.info.references
    assert all(scope != "padding" for _, scope in choices(run)) or not run.info.mask_padding
    for units, scope in choices(run):
        page = findings_html(run, load_published(), Selection(units, scope), small_run(1, n_pairs=8))
        assert "pl-card" in page and "Published" not in page and "do not compare" in page
        assert run.info.settings_words in report_text(run, load_published(), Selection(units, scope))
        assert careful_statements(run, Selection(units, scope))


def test_a_unit_is_looked_at_in_the_scope_that_is_asked_for(run):
    for units, scope in choices(run):
        name = run.analysis(Selection(units, scope)).table.names[0]
        seen = profile_unit(run, name, scope)
        assert seen.scope == scope
        assert list(seen.scopes) == [
            s for s in run.scopes(units) if name in run.analysis(Selection(units, s)).table.names
        ]


def test_every_figure_and_file_says_how_the_run_was_made(run, tmp_path):
    words = run.info.settings_words
    assert words in chip_html(run).replace("&#x27;", "'")
    for units, scope in choices(run):
        for name in FIGURES[OneRun]:
            with suppress(FigureError):
                assert words in figure(name, OneRun(run, Selection(units, scope))).caption
        (first, *_) = csv.DictReader(io.StringIO(units_csv(run, Selection(units, scope)).decode()))
        assert first["settings"] == words
        assert json.loads(report_json(run, Selection(units, scope)))["provenance"]["seeds"] == list(run.info.seeds)
    assert run_zip(run, "folder") and words in cite_text(run, "mine", load_published())


def test_the_cards_figures_stand_beside_plain_runs_only(run):
    plain = small_run(1, n_pairs=25)
    alike = [with_info(r, positive="helping", negative="ignoring") for r in (plain, run)]
    assert [comparable(r, Selection("card", "all")) for r in alike] == [True, False]
    said = [" ".join(note.text for note in notes(r, r.headline())) for r in alike]
    assert f"were made with {unlike_card(run.info)}: do not compare" in said[1] and "were made with" not in said[0]
    assert unlike_card(run.info) in ("8 reference images", "3 seeds, 2 steps, masked padding")
    text = int(run.sums.tokens[0, 0, :3].sum())
    assert f"beside {text} of text" in said[1] and text == (85 if run.info.mask_padding else 512)


def test_what_makes_two_runs_unlike_is_named(run):
    plain = small_run(run.info.seed, n_pairs=8)
    assert "settings" in unlike_settings(plain.info, run.info) and unlike_settings(run.info, run.info) == ""
    assert differences(plain, run) and not is_control(plain.info, run.info) and is_control(run.info, run.info)
    if run.info.references:
        one, other = (with_info(run, references=dict.fromkeys(run.info.references, digit * 64)) for digit in "ab")
        assert unlike_settings(one.info, other.info) == "reference images"
        assert [found.key for found in differences(one, other)] == ["references_sha256"]
        assert difference_words(differences(run, with_info(run, vae="b" * 64))) == [
            f"VAE {run.info.vae[:12]} / {12 * 'b'}"
        ]


def test_the_card_says_how_and_the_command_makes_it_again(run):
    info = dataclasses.replace(run.info, model="owner/model", weights="pretrained", revision="a" * 40)
    published = load_published()
    text = results_section(dataclasses.replace(run, info=info), "mine", "owner/repo", None, published, "figure.png")
    command = re.search(r"python -m plantain run .*", text)[0]
    wanted = ["--reference-set IMAGES"] if run.info.references else ["--seeds 0,1,2", "--steps 2", "--mask-padding"]
    assert all(option in command for option in wanted)
    if run.info.references:
        assert run.info.references_sha256 in text and run.info.vae in text
    else:
        assert "but the padding, which is masked" in text


def test_seeds_and_steps_stand_on_the_page_where_there_are_any(run):
    page = repeats_html(run, Selection("heads", "all"))
    assert ("seed 2, step 2 of 2" in page) == bool(run.repeats) and page.count("<tr>") == (7 if run.repeats else 0)


def test_a_run_that_no_reader_would_take_is_refused_before_its_first_pass(moral_set):
    class Images:
        hashes, vae = {}, "a" * 64

    def size(seeds, images):
        conditions = Conditions(256, tuple(range(seeds)))
        return Plan(moral_set, None, KLEIN, {}, conditions, ProbeConfig(), images).capture_size()

    assert size(1, None) == 25 * 533_760  # the shipped full-size run's, without draws and head
    assert size(16, None) < LARGEST[CAPTURE] < size(16, Images)
    assert recorded_scopes("single", ("words",)) == ("words",)


def test_the_plan_refuses_it(pipe, small_set, monkeypatch):
    from plantain.probe import runner

    monkeypatch.setitem(runner.LARGEST, CAPTURE, 1000)
    with pytest.raises(ProbeError, match="4 pairs of 1 repeated measures would be a file that no reader takes"):
        runner.plan_run(identify(pipe), small_set, ProbeConfig(size=64))


def test_the_plan_refuses_directions_that_no_reader_would_take(pipe, small_set, monkeypatch):
    from plantain.probe import runner

    plan = runner.plan_run(identify(pipe), small_set, ProbeConfig(size=64))
    monkeypatch.setitem(runner.LARGEST, DIRECTIONS, plan.directions_size())
    runner.plan_run(identify(pipe), small_set, ProbeConfig(size=64))
    with pytest.raises(ProbeError, match="the directions of 4 pairs would be a file .*--directions heads.off"):
        runner.plan_run(identify(pipe), small_set, ProbeConfig(size=64, directions="all"))
