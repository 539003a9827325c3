"""The tab that turns heads without a browser and without a model: what it shows of made-up answers."""

import re
import threading
import time
from dataclasses import replace
from html import escape, unescape
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from browser import ROOT
from interventions_made import result_of
from made import made_run, small_run
from pictured import packed, webp
from PIL import Image

from plantain.models.info import ModelInfo
from plantain.models.picture_book.folder import Drawing
from plantain.report.interventions import CLAIM
from plantain.report.turning import CHANGE_WORDS, CHANGES, heads_words, turn_sentences
from plantain.runs.attached.interventions import write_interventions
from plantain.runs.io import load_run, save_run
from plantain.ui.engine import EngineError, Status
from plantain.ui.state import RunStore
from plantain.ui.tabs import turn as tab
from plantain.ui.turns import DrawAnswer, DrawnPair, DrawStep, DrawWork, TurnAnswer, TurnedPair, asked_of, beside

ANY = ("rolling-oranges", "top:1", "patch", "negative")


@pytest.fixture
def run():
    return made_run(
        np.random.default_rng(0).normal(size=(6, 24)), title="<b>Kindness", positive="<i>kind", weights="local"
    )


@pytest.fixture
def model(run):
    facts = {
        name: getattr(run.info, name) for name in ("model", "revision", "weights", "fingerprint", "dtype", "device")
    }
    return ModelInfo(**facts)


@pytest.fixture
def answer(run, model):
    asked = asked_of(run, "pair-2", "top:3", "patch", "negative")
    grids = (np.array([[0.0, 1.0], [2.0, 4.0]], np.float32), np.array([[0.1, 0.0], [0.0, 0.0]], np.float32))
    turned = TurnedPair(0.5, ((0.75, 0.125), (-0.001, 0.25)), grids, 0.1)
    return TurnAnswer((asked, beside(run, asked)), turned, (b"POS", b"NEG", b"AFTER", b"OTHER"), model)


def text(shown):
    return unescape(re.sub("<.*?>", " ", shown))


# --- words -------------------------------------------------------------------------------------------------


def test_heads_are_named_as_they_were_asked_for():
    assert heads_words("random:10", ["x"] * 10) == "the random 10 heads"
    assert heads_words("single[0].1", ["single[0] head 1"]) == "single[0] head 1"
    assert heads_words("a,b,c,d", ["a", "b", "c", "d"]) == "4 heads"
    assert heads_words("others", ["single[0] head 1"]) == "another head of the same block (single[0] head 1)"


def test_the_sentences_have_both_shares_of_both_sets_and_whose_weights(run):
    said = turn_sentences(run.info, ["A", "B"], "double", ("idle", "kind"), ((0.5, 0.25), (-0.001, 1.234)))
    assert said[0] == (
        "With A at double strength, the picture that the model expects for “idle” moves 0.50 of the way to that for "
        "“kind”, and 0.25 in other directions."
    )
    assert said[1] == "With B at double strength, it moves 0.00 of it, and 1.23 in others."
    assert said[2].startswith("Weights: some/model") and CHANGES.keys() == CHANGE_WORDS.keys()


def test_an_answer_is_text_whatever_a_run_is_called(run, answer):
    shown = tab.answer_html(answer, run)
    assert "<i>kind" not in shown and "“<i>kind”" in text(shown)
    assert "moves 0.75 of the way" in text(shown) and "it moves 0.00 of it" in text(shown)
    assert "weights from a local folder" in text(shown) and "says nothing of why" in shown
    assert all(name in shown for one in answer.asked for name in one.names)


def test_of_weights_that_are_not_kleins_it_is_said_loudly(run, answer):
    own = replace(run, info=replace(run.info, weights="practice"))
    assert "pl-warn" in tab.answer_html(answer, own) and "pl-warn" not in tab.answer_html(answer, run)


# --- pictures ----------------------------------------------------------------------------------------------


def test_the_slider_has_the_changed_side_before_and_after_and_writes_no_file(run, answer):
    shown = tab.slider(answer, run)
    before, after = (tab._data(picture) for picture in (b"NEG", b"AFTER"))
    assert [one["url"] for one in shown["value"]] == [before, after] and shown["visible"] is True
    assert {one["path"] for one in shown["value"]} == {None}
    other = replace(answer, asked=tuple(replace(one, side="positive") for one in answer.asked))
    assert tab.slider(other, run)["value"][0]["url"] == tab._data(b"POS")
    assert tab.slider(replace(answer, webp=()), run)["visible"] is False


def test_an_overlay_is_the_stronger_the_further_a_token_went():
    grid = np.array([[0.0, 1.0], [2.0, 4.0], [4.0, 0.1]], np.float32)
    svg = tab.overlay_svg(b"PICTURE", grid, 4.0, "<where>")
    found = dict(re.findall(r'fill-opacity="([\d.]+)" d="(.*?)"', svg))
    assert found == {"0.21": "M1 0h1v1h-1z", "0.42": "M0 1h1v1h-1z", "0.85": "M1 1h1v1h-1zM0 2h1v1h-1z"}
    assert 'viewBox="0 0 100 150"' in svg and 'transform="scale(50)"' in svg
    assert "<title>&lt;where&gt;</title>" in svg and "data:image/webp;base64,UElDVFVSRQ==" in svg
    still = tab.overlay_svg(b"", np.zeros((2, 2), np.float32), 0.0, "still")
    assert "<path" not in still and "<image" not in still


def test_both_overlays_have_one_scale_and_the_other_side_stands_beside(run, answer):
    shown = tab.changes_html(answer, run)
    assert shown.count("<svg") == 2 and shown.count("<img") == 1
    first, second = shown.split("<svg")[1:]
    assert 'fill-opacity="0.85"' in first and "<path" not in second.split("</svg>")[0]  # 0.1 of 4 is no level
    assert tab._data(b"AFTER") in first and tab._data(b"OTHER") in second and tab._data(b"POS") in second
    assert "full colour is 4.00 of" in shown and "<i>kind" not in shown
    bare = tab.changes_html(replace(answer, webp=()), run)
    assert bare.count("<svg") == 2 and "<img" not in bare and "<image" not in bare


def test_a_whole_drawing_shows_unchanged_changed_and_the_other_side(run, answer, model):
    work = DrawWork(answer.asked[0].pair, answer.asked[0], Drawing(512, 24, 4.0), 7)
    drawn = tuple(packed(Image.new("RGB", (16, 16), (grey,) * 3), lossless=True) for grey in (40, 100, 90))
    shown = tab.drawn_html(DrawAnswer(work, DrawnPair(drawn, 1.0), model), run)
    order = [shown.index(tab._data(drawn[i])) for i in (1, 2, 0)]  # of the negative side
    assert "by 10.0 of 255 with the heads turned, and by 60.0 in the other side" in text(shown)
    assert order == sorted(order) and "<i>kind" not in shown
    assert "unkind, with the top 3 heads patched from the other side" in text(shown)
    assert "512 px" in shown and "24 steps, guidance 4" in shown and "seed 7" in shown
    assert "weights from a local folder" in shown


def test_progress_is_a_bar_with_its_steps():
    assert 'value="3" max="24"' in tab.progress_html(DrawStep(3, 24)) and "3 of 24 steps" in tab.progress_html(
        DrawStep(3, 24)
    )


# --- the run's interventions -------------------------------------------------------------------------------


def test_a_run_without_interventions_says_how_to_make_them(run, tmp_path):
    assert "python -m plantain intervene DIR" in tab.found_html(run)
    saved = RunStore(save_run(small_run(), tmp_path / "mine").parent).get("mine")
    assert "python -m plantain intervene runs/mine" in tab.found_html(saved)


def test_interventions_are_a_sentence_and_a_figure_each_and_damaged_ones_an_error(tmp_path):
    folder = save_run(small_run(), tmp_path / "mine")
    saved = RunStore(tmp_path).get("mine")
    for method in ("patch", "ablate"):
        write_interventions(folder, result_of(saved, method=method), {})
    shown = tab.found_html(saved)
    assert (
        shown.count('class="pl-answer"') == 2
        and shown.count("pl-svg pl-narrow") == 2
        and shown.count(escape(CLAIM)) == 2
    )
    assert shown.count(" patched, 0.") and "replaced by their mean" in shown
    (folder / "interventions" / "patch.json").write_text("{}")
    assert 'class="pl-error"' in tab.found_html(saved)


# --- what is offered ---------------------------------------------------------------------------------------


def page_with(state="ready", mismatch=None, fits=None):
    engine = SimpleNamespace(status=lambda: Status(state, "The model says so."))
    return SimpleNamespace(engine=engine, mismatch=lambda _name: mismatch, fitting=lambda _mine: fits)


def test_where_no_heads_can_be_turned_it_says_why_and_what_to_do():
    assert tab.unfit_html(page_with(), "a", []) == ""
    said = tab.unfit_html(page_with(mismatch="another <model>.", fits=("theirs", "b")), "a", [])
    assert "another &lt;model&gt;." in said and "choose “theirs”, which the loaded model made" in said
    assert "run the probe first" in tab.unfit_html(page_with(mismatch="another model."), "a", [])
    assert "The model says so." in tab.unfit_html(page_with("failed"), "a", [])


def test_ten_heads_are_offered_where_there_are_enough(run):
    assert [value for _, value in tab.head_choices(run)] == ["top:1", tab.ONE]  # 14 heads
    moral = load_run(ROOT / "precomputed" / "tiny-random")  # 100
    assert [value for _, value in tab.head_choices(moral)] == ["top:1", "top:10", "random:10", tab.ONE]
    assert tab.head_choices(moral)[0][0] == f"the top one ({asked_of(moral, *ANY).names[0]})"


def test_the_prompts_of_a_pair_are_marked_and_of_another_run_none_are_shown(run):
    shown = tab.texts_html(run, "pair-1")
    assert "<mark>kind</mark> 1" in shown and "<mark>unkind</mark> 1" in shown and "&lt;i&gt;kind" in shown
    assert tab.texts_html(run, "elsewhere") == tab.texts_html(None, "pair-1") == tab.texts_html(run, None) == ""


class Made:
    """An engine that answers with what it was given, or raises it."""

    def __init__(self, answer):
        self.answer = answer

    def turn_work(self, run, asked, pictures=True):
        return SimpleNamespace(whole_pairs=1.6, conditions=SimpleNamespace(size=64))

    def draw_work(self, run, pair, asked):
        return SimpleNamespace(whole_pairs=55.0, drawing=SimpleNamespace(size=512))

    def turn_asks(self, work):
        return 20

    def draw_asks(self, work):
        return 73

    def intervene_pair(self, run, asked):
        return self._given(asked)

    def draw_pair(self, run, work):
        yield DrawStep(0, 2)
        yield self._given(work)

    def _given(self, asked):
        self.asked = asked
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def clicked(run, engine, method="turn", heads="top:3", head="single[4] head 0"):
    page = SimpleNamespace(engine=engine, run=lambda _name: run, cost_of=lambda asked, pairs, size: f" ({asked} s)")
    turning = tab._Turning(page)
    request = SimpleNamespace(session_hash="me")
    found = list(getattr(turning, method)(request, "mine", "pair-2", heads, head, "half", "positive"))
    assert turning.begun == {"me"} and not turning.running
    return turning, found


def test_a_click_is_answered_at_once_and_then_with_everything(run, answer):
    engine = Made(answer)
    turning, (first, last) = clicked(run, engine)
    assert "goes through the model" in first[0] and last[0] == "" and "pl-sentence" in last[1]
    assert last[2]["visible"] and "<svg" in last[3]
    now = "mine", "pair-2", "top:3", "single[4] head 0", "half", "positive"
    assert last[4] == turning.chosen(*now) == turning.chosen(*now[:3], "another head, unseen", *now[4:])
    assert last[4] != turning.chosen(*now[:2], tab.ONE, *now[3:]) and last[4] != turning.chosen("other", *now[1:])
    assert (engine.asked.change, engine.asked.side, engine.asked.pair.id) == ("half", "positive", "pair-2")
    assert turning.labels(run) == ("Turn the heads (20 s)", "Draw it whole (73 s)")


def test_one_head_is_turned_by_its_name(run, answer):
    engine = Made(answer)
    clicked(run, engine, heads=tab.ONE)
    assert engine.asked.names == ("single[4] head 0",)


@pytest.mark.parametrize("method", ["turn", "draw"])
def test_whatever_breaks_a_click_is_answered_and_no_answer_before_is_lost(run, method):
    _, found = clicked(run, Made(EngineError("The model <b>is gone.")), method)
    assert "The model &lt;b&gt;is gone." in found[-1][0] and 'role="alert"' in found[-1][0]
    assert all("value" not in one for one in found[-1][1:])
    _, found = clicked(run, Made(None), method, heads="single[99].0")
    assert 'role="alert"' in found[-1][0]


def test_a_drawing_shows_its_steps(run, answer, model):
    work = DrawWork(answer.asked[0].pair, answer.asked[0], Drawing(64, 2, 4.0), 0)
    _, found = clicked(run, Made(DrawAnswer(work, DrawnPair((webp(0), webp(1), webp(2)), 1.0), model)), "draw")
    assert "<progress" in found[1][0] and found[2][0] == "" and "Drawn whole" in found[2][1]


def test_a_stop_is_no_refusal_and_a_full_queue_is(run, answer):
    turning, _ = clicked(run, Made(answer))
    request = SimpleNamespace(session_hash="other")
    assert tab.REFUSED in turning.broke(request)
    assert "Stopping" in turning.taken_back(request)[0] and turning.broke(request)["__type__"] == "update"
    assert "Stopped." in turning.stopped(request)


def test_a_stop_waits_for_the_step_in_hand(run, answer):
    """Else its progress would come last, and stay."""
    page = SimpleNamespace(engine=Made(answer), run=lambda _name: run)
    turning, request = tab._Turning(page), SimpleNamespace(session_hash="me")
    steps = turning.draw(request, "mine", "pair-2", "top:3", "", "off", "positive")
    next(steps), next(steps)
    threading.Timer(0.3, steps.close).start()
    start = time.monotonic()
    assert "Stopped." in turning.stopped(request) and time.monotonic() - start >= 0.25 and not turning.running


@pytest.mark.parametrize("method", ["turn", "draw"])
def test_a_stop_that_comes_before_the_queue_has_the_work_holds_for_it(run, answer, method):
    """Gradio has nothing to cancel then: the work itself must end when it comes."""
    engine = Made(answer)
    turning = tab._Turning(SimpleNamespace(engine=engine, run=lambda _name: run))
    request = SimpleNamespace(session_hash="me")
    turning.taken_back(request)
    found = list(getattr(turning, method)(request, "mine", "pair-2", "top:3", "", "off", "positive"))
    assert found == [(gr.skip(),) * len(found[0])]  # what was said last stays
    assert not turning.running and "Stopped." in turning.stopped(request)
