"""The visitor's tab without a browser: what is said before, the answer, its link and its file."""

import base64
import dataclasses
import json
import re
from html import unescape
from urllib.parse import parse_qs

import pytest

from plantain.findings.new_pair import N_TOP
from plantain.findings.published import load_published
from plantain.report.figures.rows import pair_dots, rank_dots
from plantain.report.new_pair import pair_record, pair_sentence
from plantain.ui import RunStore, build_demo, html
from plantain.ui.address import share_base
from plantain.ui.engine import Engine
from plantain.ui.state import Page
from plantain.ui.tabs.new_pair import (
    Answer,
    actions_html,
    answer_html,
    expected_html,
    measure_html,
    note_html,
    side_html,
)
from plantain.ui.texts import EXAMPLES

TEXTS = ("Sam drops his books and Lena gathers them.", "Sam drops his books and Lena ignores them.")


@pytest.fixture(scope="module")
def result(moral_run):
    engine = Engine("tiny-random")
    engine.load()
    return engine.probe_pair(moral_run, *TEXTS)


# --- before ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("positive", "negative", "expected"),
    [
        ("Ana helps him.", "Ana hits him.", ("Ana <mark>helps</mark> him.", "Ana <mark>hits</mark> him.")),
        ("Ana helps.", "Ana helps him up.", ("Ana helps.", "Ana helps <mark>him up</mark>.")),
        ("same", "same", ("same", "same")),
        ("", "new", ("", "<mark>new</mark>")),
        (
            "Léa's <b>",
            "Léa's & b",
            ("Léa&#x27;s <mark>&lt;</mark>b<mark>&gt;</mark>", "Léa&#x27;s <mark>&amp;</mark> b"),
        ),
    ],
)
def test_the_words_that_differ_are_marked_and_text_stays_text(positive, negative, expected):
    assert html.marked(positive, negative) == expected


def test_a_prompt_shows_its_tokens_and_what_cannot_be_counted_shows_none():
    assert "<b>9 tokens</b> <span>Ana <mark>helps</mark>" in side_html(9, "Ana <mark>helps</mark>")
    assert "<b>1 token</b>" in side_html(1, "x")
    assert "token" not in side_html(None, "x") and "token" not in side_html("the prompt is empty", "x")


def note(positive, negative, counts, model=""):
    html = note_html(positive, negative, counts, model)
    return unescape(re.sub("<.*?>", " ", html)), "pl-note-loud" in html


def test_equal_lengths_are_said_quietly_and_unequal_ones_loudly():
    assert note(*TEXTS, (9, 9)) == ("  Both prompts have 9 tokens. What differs is marked.  ", False)
    words, loud = note(*TEXTS, (9, 12))
    assert "9 and 12 tokens: the lengths differ" in words and "NOT COMPARABLE" in words and loud


def test_what_would_be_refused_is_said_before():
    assert note("", "Ana hits.", ("the prompt is empty; write a sentence.", 9)) == (
        "  Positive prompt: the prompt is empty; write a sentence.  ",
        True,
    )
    words, loud = note("a", "b", (3, "the prompt has 600 tokens, 512 are possible; shorten it."))
    assert "Negative prompt: the prompt has 600 tokens, 512 are possible; shorten it." in words and loud
    words, _ = note("a", "b", ("the model's chat template changes this prompt; remove leading and trailing blanks.", 3))
    assert "Positive prompt: the model's chat template changes" in words
    words, loud = note("Ana helps.", "Ana helps.", (9, 9))
    assert "Both prompts are the same: change one" in words and "Both prompts have" not in words and loud


def test_other_words_than_the_act_are_noticed():
    assert "Most words differ" in note("Ana helps him.", "Today it is raining in the hills.", (9, 9))[0]
    assert "only blanks differ" in note("Ana helps.", "Ana  helps.", (9, 9))[0]
    assert "Most words differ" not in note(*TEXTS, (9, 9))[0]


def test_without_a_model_its_state_is_said_instead_of_counts():
    words, _ = note(*TEXTS, (None, None), "The model is loading.")
    assert "The model is loading. Tokens cannot be counted now." in words and "Both prompts have" not in words


def test_every_example_marks_few_words():
    for positive, negative in EXAMPLES.values():
        a, b = html.marked(positive, negative)
        assert 1 <= a.count("<mark>") <= 2 and "Most words" not in note(positive, negative, (9, 9))[0], b


# --- the answer --------------------------------------------------------------------------------------------


def test_the_answer_starts_with_one_sentence_and_shows_the_top_twelve(result, moral_run):
    html = answer_html(result, moral_run)
    first = re.sub("<.*?>", "", html.split("</p>")[0])
    assert unescape(first) == pair_sentence(result)
    assert len(result.top) == N_TOP == 20
    drawn = re.findall(r">([a-z]+\[\d+\] head \d+)</text>", html)
    assert drawn == [unit.unit for unit in result.top[:12]]
    assert f"p = {result.n_at_or_below}/26" in html and "One pair is one pair" in html
    assert "The weights are random" in html.split("<details")[0]  # seen without opening anything


def test_the_figures_are_no_wider_than_a_phone_shows(result):
    for drawing in (rank_dots(result), pair_dots(result, 12)):
        assert drawing.width <= 324
        places = [float(x) for x in re.findall(r'(?:cx|x|x1)="([-\d.]+)"', "".join(drawing.marks))]
        assert min(places) >= 0 and max(places) <= drawing.width


def test_the_rank_figure_has_every_pair_and_the_new_one_in_its_place(result):
    svg = "".join(rank_dots(result).marks)
    dots = [float(x) for x in re.findall(r'cx="([\d.]+)"', svg)][:-1]  # the last one is the legend's
    assert len(dots) == 25
    mine = float(re.search(r'points="([\d.]+),', svg)[1])
    strictly_below = sum(score < result.score - 0.01 for score in result.scores)
    assert sum(x < mine - 0.05 for x in dots) >= strictly_below
    assert sorted(dots) == pytest.approx([dots[i] for i in sorted(range(25), key=lambda i: result.scores[i])])


def test_an_answer_is_for_its_texts_and_run_only():
    answer = Answer("a-run", " Ana helps.", "Ana hits.", "now")
    assert answer.is_for("a-run", "Ana helps. ", "Ana hits.")
    assert not answer.is_for("b-run", "Ana helps.", "Ana hits.")
    assert not answer.is_for("a-run", "Ana hits.", "Ana helps.")


# --- to keep -----------------------------------------------------------------------------------------------


def test_a_spaces_link_is_the_hubs_and_elsewhere_there_is_none(monkeypatch):
    monkeypatch.delenv("SPACE_ID", raising=False)
    assert share_base() is None and 'data-base=""' in actions_html("r", "a", "b", None)
    monkeypatch.setenv("SPACE_ID", "owner/space")
    assert share_base() == "https://huggingface.co/spaces/owner/space"
    assert 'data-base="https://huggingface.co/spaces/owner/space"' in actions_html("r", "a", "b", None)


def test_the_link_carries_both_prompts_and_a_run_that_lasts():
    texts = ('Ana & "Bo" <x>?', "50% = ü\n#2 +1")
    query = re.search(r'data-query="([^"]*)"', actions_html("tiny", *texts, None))[1].replace("&amp;", "&")
    assert parse_qs(query, strict_parsing=True) == {
        "tab": ["pair"],
        "positive": [texts[0]],
        "negative": [texts[1]],
        "run": ["tiny"],
    }
    fleeting = actions_html(None, *texts, None)
    assert "run=" not in fleeting and "does not name the run" in fleeting


def test_the_file_is_the_record(result, moral_run):
    record = pair_record(result, moral_run, "tiny", "2026-01-02T03:04:05+00:00", {"plantain": "0"})
    html = actions_html("tiny", *TEXTS, record)
    name, content = re.search(r'download="([^"]+)" href="data:application/json;base64,([^"]+)"', html).groups()
    assert name == "plantain-pair-2026-01-02T030405.json"
    kept = json.loads(base64.b64decode(content))
    assert kept == json.loads(json.dumps(record)) and kept["score"] == result.score
    assert "download=" not in actions_html("tiny", *TEXTS, None)


# --- what it costs -----------------------------------------------------------------------------------------


def test_the_button_says_the_seconds_that_are_requested_times_zero_gpus_factor(tmp_path, moral_set, moral_folder):
    import app

    engine = Engine("tiny-random", quota=app.quota_seconds)
    for folder, words in ((tmp_path, "Measure"), (moral_folder.parent, "Score")):
        demo = build_demo(RunStore(folder), engine, load_published(), moral_set)
        labels = [b.value for b in demo.blocks.values() if getattr(b, "elem_id", None) == "score-pair"]
        asked = engine.prices.seconds(1, None if words == "Measure" else 64)
        assert labels == [f"{words} this pair (up to {round(1.5 * asked)} s of your GPU quota)"]


def test_pictures_are_paid_for(tmp_path, moral_set):
    import app

    engine = Engine("tiny-random", quota=app.quota_seconds)
    without = Page(RunStore(tmp_path), engine, load_published(), moral_set).cost(1, 1024)
    assert without != Page(RunStore(tmp_path), engine, load_published(), moral_set).cost(1, 1024, 20)


# --- without a run -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def measured():
    engine = Engine("tiny-random")
    engine.load()
    return engine.measured(*TEXTS, size=64)


def test_a_pair_without_a_run_is_a_sentence_the_strongest_heads_and_what_limits_it(measured):
    shown = unescape(re.sub("<.*?>", " ", measure_html(measured.measure)))
    assert f"attention heads differ by {measured.measure.rms_percent:.3g}%" in shown
    assert [u.unit for u in measured.measure.strongest] == re.findall(r"[a-z]+\[\d+\] head \d+", shown)
    assert "no t, no p and no rank" in shown and "These weights are random" in shown and "STAND-IN" in shown
    assert "NOT COMPARABLE" not in shown
    unequal = dataclasses.replace(measured.measure, tokens=(42, 43))
    assert "NOT COMPARABLE: the prompts have 42 and 43 tokens" in measure_html(unequal)


def test_expected_pictures_have_names_and_say_what_they_are(measured):
    shown = expected_html(measured.pictures, measured.model, ("Positive (<b>)", "Negative (ignoring)"))
    assert shown.count('src="data:image/webp;base64,') == 2 and "<b>" not in shown
    assert 'alt="Expected picture: Positive (&lt;b&gt;)"' in shown and "average" in shown
    assert "tiny-random" in shown and "look like noise" in shown
    klein = dataclasses.replace(measured.model, weights="pretrained")
    assert "look like noise" not in expected_html(measured.pictures, klein, ("a", "b"))
