"""The visitor's tab without a browser: what is said before, the answer, its link and its file."""

import base64
import dataclasses
import json
import re
from html import unescape
from urllib.parse import parse_qs

import pytest
from layouts import on_phone

from plantain import stats
from plantain.findings.held_out import IMAGE
from plantain.findings.new_pair import N_TOP
from plantain.findings.published import load_published
from plantain.models.picture_book.architecture import build_tokenizer
from plantain.models.picture_book.grammar import vocabulary
from plantain.prompts.sets import first_set, shipped_sets
from plantain.report.new_pair import pair_record, pair_sentence, plain_sentence
from plantain.ui import RunStore, build_demo, html
from plantain.ui.address import share_base
from plantain.ui.engine import Engine
from plantain.ui.state import Page
from plantain.ui.tabs.new_pair import OLD, _label, actions_html, note_html, side_html
from plantain.ui.tabs.pair_answer import (
    KEPT,
    Answer,
    answer_html,
    answer_to,
    measure_html,
    pictures_caution,
    pictures_html,
    tries_html,
    with_answer,
)
from plantain.ui.tabs.pair_words import (
    endings,
    examples_html,
    known_words,
    marked_words,
    picked,
    shortened_pair,
    unknown_sentence,
    unknown_words,
)
from plantain.ui.texts import EXAMPLES, EXAMPLES_IN

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
    for positive, negative in [pair for examples in EXAMPLES_IN.values() for pair in examples.values()]:
        a, b = html.marked(positive, negative)
        assert 1 <= a.count("<mark>") <= 2 and "Most words" not in note(positive, negative, (9, 9))[0], b


def test_the_picture_books_examples_are_new_pairs_of_its_words_with_equal_tokens():
    tokenizer, known = build_tokenizer(), {word.lower() for word in vocabulary()}
    pairs = {
        (pair.positive, pair.negative) for _, found in shipped_sets("picture-book").values() for pair in found.pairs
    }
    for pair in EXAMPLES_IN["picture-book"].values():
        counts = [len(tokenizer(text)["input_ids"]) for text in pair]
        assert counts[0] == counts[1] and pair not in pairs
        assert {word.lower() for text in pair for word in re.findall(r"\w+", text)} <= known
    assert EXAMPLES_IN[""] is EXAMPLES and EXAMPLES.keys().isdisjoint(EXAMPLES_IN["picture-book"])


def test_the_tab_begins_with_an_example_in_the_models_words(moral_set, tmp_path):
    for model, words in (("tiny-random", ""), ("picture-book", "picture-book")):
        demo = build_demo(RunStore(tmp_path), Engine(model), load_published(), moral_set)
        values = {block.elem_id: block for block in demo.blocks.values() if getattr(block, "elem_id", None)}
        (name, first), *_ = EXAMPLES_IN[words].items()
        assert (values["pair-positive"].value, values["pair-negative"].value) == first
        assert any(f'data-name="{name}"' in str(getattr(block, "value", "")) for block in demo.blocks.values())
        sides = ("helping", "not helping") if words else ("helping", "ignoring")
        assert values["pair-negative"].label == f"Negative ({sides[1]})"
        assert values["prompt-set"].value == first_set(words).sha256


# --- the answer --------------------------------------------------------------------------------------------


def text_of(shown):
    return " ".join(unescape(re.sub("<.*?>", " ", shown)).split())


@pytest.fixture(scope="module")
def answer(result):
    return Answer("tiny", *TEXTS, "2026-01-02T03:04:05+00:00", result, pictures="<img>", caution="Blurry.")


def test_the_answer_starts_with_one_plain_sentence_and_shows_five_heads(answer, moral_run):
    result = answer.result
    page = on_phone(answer_html(answer, (answer,), moral_run))
    assert text_of(page.split("</p>")[0]) == plain_sentence(result)
    open_part, folded = page.split("<details", 1)
    assert len(result.top) == N_TOP == 20
    named = r">([a-z]+\[\d+\] head \d+)</text>"
    assert re.findall(named, open_part) == [unit.unit for unit in result.top[:5]]
    assert re.findall(named, folded) == [unit.unit for unit in result.top[5:]]
    place = result.directions  # this run's headline is of them
    assert f"yours {place.score:+.3f}".replace("-", "−") in open_part and "random weights" in open_part
    assert "How strong are the 5 heads" in open_part and "1: the same directions in every head." in open_part
    for words in (
        pair_sentence(result),
        f"p = {place.n_at_or_below}/26",
        "By magnitudes: ",
        "One pair is one pair",
        "Blurry.",
    ):
        assert words in text_of(folded) and words not in text_of(open_part)
    rows = re.findall(r'<th scope="row">([^<]+)</th>', folded.split('id="pair-table"')[1])
    assert rows == [unit.unit for unit in result.top]


@pytest.mark.parametrize(("sign", "turned"), [(1, ""), (-1, " with its sides exchanged")])
def test_the_runs_own_pair_is_named_before_all_else_and_shown_without_a_p(moral_run, sign, turned):
    mine = moral_run.pairs[2].pair
    texts = (mine.positive, mine.negative)[::sign]
    engine = Engine("tiny-random")
    engine.load()
    own = Answer("tiny", *texts, "now", engine.probe_pair(moral_run, *texts))
    held_out = stats.direction_scores(stats.direction_grams(moral_run.vectors(IMAGE)).mean(axis=0))
    assert own.result.directions.score == pytest.approx(sign * held_out[2], rel=1e-3)  # kept in 16 bits
    page = on_phone(answer_html(own, (own,), moral_run))
    shown, folded = page.split("<details", 1)
    assert f"only: This is one of the run's own pairs{turned}, scored by the others." in text_of(shown)
    assert f"own pair “{mine.id}”{turned}, and no new one" in text_of(folded) and "no p, for it" in text_of(folded)
    assert "conformal" not in text_of(page) and "24 pairs of this run" in page


def test_what_is_read_before_anything_is_opened_is_short(answer, moral_run):
    page = answer_html(answer, (answer,), moral_run)
    seen = re.sub("<details.*", "", re.sub("<svg.*?</svg>", " ", page, flags=re.DOTALL), flags=re.DOTALL)
    assert len(text_of(seen).split()) < 80
    assert len(re.findall('class="pl-chip', seen)) == 1  # says once whose the weights are


def test_a_pair_of_unequal_lengths_says_so_first(answer, moral_run):
    unequal = dataclasses.replace(answer, result=dataclasses.replace(answer.result, tokens=(42, 43), comparable=False))
    page = text_of(answer_html(unequal, (unequal,), moral_run))
    assert page.startswith("NOT COMPARABLE: the prompts have 42 and 43 tokens") and "For orientation only: " in page


def test_an_answer_is_for_its_texts_and_run_only():
    answer = Answer("a-run", " Ana helps.", "Ana hits.", "now")
    assert answer.is_for("a-run", "Ana helps. ", "Ana hits.")
    assert not answer.is_for("b-run", "Ana helps.", "Ana hits.")
    assert not answer.is_for("a-run", "Ana hits.", "Ana helps.")


# --- what was tried ----------------------------------------------------------------------------------------


def tried(answer, *scores):
    """Return tries of other texts with these scores, the newest first."""
    tries = ()
    for i, score in enumerate(scores):
        result = dataclasses.replace(
            answer.result, score=score, directions=dataclasses.replace(answer.result.directions, score=score)
        )
        tries = with_answer(tries, dataclasses.replace(answer, positive=f"Lena gathers {i}.", result=result))
    return tries


def test_tries_are_kept_newest_first_each_pair_once_and_ten_at_most(answer):
    tries = tried(answer, *range(12))
    assert [old.result.score for old in tries] == [*range(11, 1, -1)] and len(tries) == KEPT == 10
    again = with_answer(tries, dataclasses.replace(tries[3], date="later"))
    assert len(again) == 10 and again[0].date == "later" and again[0].positive == tries[3].positive
    assert answer_to(again, "tiny", "Lena gathers 8.", TEXTS[1]) is again[0]
    assert answer_to(again, "other", "Lena gathers 8.", TEXTS[1]) is None


def test_a_failure_stands_until_the_next_answer(answer):
    failed = Answer("tiny", "a", "b", "now", failure="<p>No</p>")
    tries = with_answer((answer,), failed)
    assert answer_to(tries, "tiny", "a", "b") is failed
    assert with_answer(tries, dataclasses.replace(answer, positive="c"))[1:] == (answer,)


def test_each_try_is_a_line_with_its_score_and_a_mark_on_the_strip(answer, moral_run):
    tries = tried(answer, 0.5, -1.25, 2.0)
    page = on_phone(answer_html(tries[0], tries, moral_run))
    assert re.findall(r'data-name="(\d)"><b>(.*?)</b>', page) == [("0", "+2.000"), ("1", "−1.250"), ("2", "+0.500")]
    assert re.findall("an earlier try: ([^<]*)", page) == ["-1.250", "+0.500"]
    alone = tuple(dataclasses.replace(t, result=dataclasses.replace(t.result, directions=None)) for t in tries)
    page = on_phone(answer_html(alone[0], alone, moral_run))
    assert re.findall("an earlier try: ([^<]*)", page) == ["-1.25", "+0.50"] and "The same on the 5 heads" in page
    elsewhere = (tries[0], *(dataclasses.replace(old, run="another") for old in tries[1:]))
    assert "an earlier try" not in answer_html(tries[0], elsewhere, moral_run)
    assert tries_html(tries[:1]) == "" and 'data-name="0"' in tries_html(tries[:1], least=1)
    assert "<b>x" not in tries_html(tuple(dataclasses.replace(old, positive="<b>x") for old in tries))
    assert 'data-name="back"' in OLD and "previous texts" in OLD


def test_shortened_texts_keep_what_tells_them_apart():
    assert shortened_pair("Ana helps.", "Ana hits.") == ("Ana helps.", "Ana hits.")
    long = "In the old town on a wet morning Ana {} the very old man with the dog up the stairs."
    a, b = shortened_pair(long.format("helps"), long.format("trips"))
    assert "helps" in a and "trips" in b and max(len(a), len(b)) <= 34 and a.startswith("…") and a.endswith("…")


# --- the practice model's words ----------------------------------------------------------------------------


def test_words_that_the_practice_model_never_saw_are_marked_and_named():
    known = known_words("picture-book")
    assert known_words("") is None and unknown_words(("Anything goes.",), None) == []
    texts = ("Tall Ana cuddles Ben, in the park.", "Tall Ana <robs> cat Ben, in the park.")
    assert unknown_words(texts, known) == ["cuddles", "cat"]
    a, b = marked_words(*texts, known)
    assert '<mark><span class="pl-unknown">cuddles</span></mark>' in a and "&lt;" in b and "<robs>" not in b
    said = unknown_sentence(["cuddles", "cat"])
    assert "never seen “cuddles”, “cat”" in said and "Ana to Hana, 6 places, 5 needs and 100 verbs" in said
    assert unknown_sentence([]) == "" and unknown_sentence(["x"] * 9).count("“x”") == 5
    assert marked_words("Ana helps.", "Ana hits.", None) == html.marked("Ana helps.", "Ana hits.")


def test_every_sentence_of_the_lists_is_one_that_the_practice_model_knows():
    lists = examples_html("picture-book")
    assert "data-part" not in examples_html("")
    options = {
        part: re.findall('<option value="([^"]+)"', inner)
        for part, inner in re.findall(r'data-part="(\w+)">(.*?)</select>', lists)
    }
    first = {part: values[0] for part, values in options.items()}
    verbs = json.loads(unescape(re.search('data-verbs="([^"]+)"', lists)[1]))
    known, n = known_words("picture-book"), 0
    for part, values in options.items():
        for value in values:
            chosen = {**first, part: value}
            if part == "need":
                chosen |= {side: verbs[value][side][0] for side in ("positive", "negative")}
            pair = picked(chosen)
            if chosen["actor"] != chosen["other"]:
                assert unknown_words(pair, known) == [] and pair[0] != pair[1]
                n += 1
    assert n > 40
    assert picked(first) == ("Tall Ana lifts Ben, who has fallen, in the park.",
                             "Tall Ana ignores Ben, who has fallen, in the park.")  # fmt: skip


@pytest.mark.parametrize(
    "change", [{"need": "gold"}, {"actor": "Ben"}, {"place": ["park"]}, {"positive": "feeds"}, {"size": 1}]
)
def test_what_the_lists_do_not_have_makes_no_pair(change):
    chosen = {
        "need": "fallen", "positive": "lifts", "negative": "ignores", "actor": "Ana", "other": "Ben", "size": "tall",
        "place": "park",
    }  # fmt: skip
    assert picked(chosen) and picked({**chosen, **change}) is None
    assert picked("lifts") is None and picked(None) is None


def test_in_the_practice_models_words_only_what_one_prompt_says_is_an_edit():
    texts = ("Tall Ana feeds Ben, close by.", "Tall Ana teases Ben.")
    assert endings("picture-book", texts) == (", close by",)
    assert " now" in endings("", texts)


def test_an_edit_is_offered_and_never_made():
    words = note_html("Ana helps him up.", "Ana hits him.", (5, 4), better=("Ana helps him up.", "Ana hits him <now>."))
    assert 'data-name="even">Use: “Ana hits him &lt;now&gt;.”</button>' in words
    assert "data-name" not in note_html("Ana helps him up.", "Ana hits him.", (5, 4))


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
        page = Page(RunStore(folder), engine, load_published(), moral_set)
        labels = [_label(page, next(iter(page.store.saved), None))]
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
    answer = Answer(None, *TEXTS, "now", measure=measured.measure)
    page = measure_html(answer, (answer,))
    shown, folded = map(text_of, page.split("<details", 1))
    assert f"attention heads differ by {measured.measure.rms_percent:.3g}%" in shown and "no test" in shown
    assert [u.unit for u in measured.measure.strongest] == re.findall(r"[a-z]+\[\d+\] head \d+", shown)
    assert "STAND-IN" in shown and "no t, no p and no rank" in folded and "These weights are random" in folded
    assert "NOT COMPARABLE" not in page
    unequal = dataclasses.replace(answer, measure=dataclasses.replace(measured.measure, tokens=(42, 43)))
    assert "NOT COMPARABLE: the prompts have 42 and 43 tokens" in measure_html(unequal, (unequal,))


def test_expected_pictures_have_names_and_say_what_they_are(measured):
    shown = pictures_html(measured.pictures, ("Positive (<b>)", "Negative (ignoring)"))
    assert shown.count('src="data:image/webp;base64,') == 2 and "<b>" not in shown
    assert 'alt="Expected picture: Positive (&lt;b&gt;)"' in shown and "average" in shown
    caution = pictures_caution(measured.model)
    assert "tiny-random" in caution and "look like noise" in caution
    klein = dataclasses.replace(measured.model, weights="pretrained")
    assert "look like noise" not in pictures_caution(klein)
