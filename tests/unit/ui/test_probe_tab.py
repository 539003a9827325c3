"""What the probe's tab says, and what is said of failures: pure words."""

import re
from dataclasses import replace
from types import SimpleNamespace

import gradio as gr
import pytest

from plantain import UsageError
from plantain.findings.published import load_published
from plantain.probe.runner import ProbeConfig, run_probe
from plantain.prompts.pasted import read_pasted
from plantain.prompts.sets import PromptError, PromptPair, first_set, load_prompt_set, shipped_sets
from plantain.report.run import report_text
from plantain.runs.io import save_run
from plantain.runs.units import Selection
from plantain.ui import build_demo
from plantain.ui.engine import Engine, EngineError, PassError, Step
from plantain.ui.errors import ZERO_GPU, explain, failure_html, failure_text, kept_words
from plantain.ui.state import HIDDEN, Page, RunStore
from plantain.ui.tabs.compare import figures_html
from plantain.ui.tabs.probe import LARGEST_SEED, _Probes, button_words, cost_words, progress_html, seed_of
from plantain.ui.tabs.prompt_set import _EXAMPLES, PromptSets, about_html, own_html, set_chooser
from plantain.ui.tabs.result import blocks_html, findings_html


class Titled(Exception):
    """As gr.Error: a title, and a message."""

    def __init__(self, title, message=""):
        super().__init__(message)
        self.title, self.message = title, message


def quota(message):
    return explain(Titled("ZeroGPU quota exceeded", message), 60)


# --- failures ---


def test_a_quota_that_does_not_suffice_is_told_by_its_numbers_and_by_who_asks():
    numbers = "quota (60s requested vs. 10s left). Try again in {}. "
    anonymous = quota(f"You have exceeded your ZeroGPU {numbers.format('1:02:03')}")
    assert anonymous.happened == "Your GPU quota does not suffice: 60 s are asked for, 10 s are left."
    assert "no GPU second was spent" in anonymous.cost and anonymous.elsewhere
    assert anonymous.advice.startswith("Wait 1:02 h, ") and "not signed in" in anonymous.advice
    assert "PRO has a larger" in quota(f"You have exceeded your free ZeroGPU {numbers.format('0:05:00')}").advice
    pro = quota(f"You have exceeded your Pro ZeroGPU {numbers.format('1 day, 2:00:00')}").advice
    assert pro.startswith("Wait 1 day, 2:00 h, ") and "credits" in pro


def test_what_shares_the_title_of_the_quota_is_told_apart():
    assert "number of GPU calls" in quota("You have exceeded your ZeroGPU runs limit. ").happened
    assert "does not know" in quota("Space app has reached its GPU limit. Try re-running outside of examples").happened
    assert "within a minute" in quota("No GPU was available after 60s. Try re-running outside of examples").happened


@pytest.mark.parametrize("title", ZERO_GPU)
def test_every_refusal_says_all_three_things_whatever_its_message_is(title):
    for message in ("", "something new (with numbers 1s)"):
        found = explain(Titled(title, message), 60)
        assert found.happened.endswith(".") and found.advice
        spent = title == "ZeroGPU worker error"
        assert found.cost == (
            "It may have cost up to 60 s of your GPU quota."
            if spent
            else "Nothing was started: no GPU second was spent."
        )


def test_a_title_that_is_newer_than_the_table_is_shown_as_it_is():
    assert failure_text(Titled("ZeroGPU moon phase", "It is waning"), 60).startswith(
        "ZeroGPU moon phase: It is waning. "
    )


def test_an_aborted_task_may_have_cost_what_was_asked_for():
    found = explain(Titled("ZeroGPU worker error", "GPU task aborted"), 98)
    assert "taken away" in found.happened and "up to 98 s" in found.cost and "fewer pairs" in found.advice
    assert "Something broke on the GPU (KeyError)." in failure_text(Titled("ZeroGPU worker error", "KeyError"), 98)


def test_a_failed_pass_used_the_card_and_a_refused_setting_did_not():
    assert "up to 60 s" in failure_text(PassError("too little memory; choose a smaller image."), 60)
    assert failure_text(PromptError("the positive prompt is empty"), 60) == (
        "the positive prompt is empty. Nothing was started: no GPU second was spent."
    )


def test_without_a_quota_no_seconds_are_spoken_of():
    for error in (PassError("x"), EngineError("x"), ValueError("x"), Titled("ZeroGPU worker error", "x")):
        assert "quota" not in failure_text(error) and "second" not in failure_text(error)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("ZeroGPU API /schedule error: 500 (Internal Server Error)"), "(500 Internal Server Error)"),
        (RuntimeError("Unexpected end of stream"), "queue broke off"),
        (RuntimeError("Error while re-trying after queue disconnect"), "queue broke off"),
    ],
)
def test_what_zero_gpus_client_raises_without_a_title_cost_nothing(error, said):
    words = failure_text(error, 60)
    assert said in words and "no GPU second was spent" in words


def test_of_a_fault_of_ours_only_the_kind_is_said():
    words = failure_text(ValueError("/home/secret"), 60)
    assert "(ValueError)" in words and "secret" not in words and "at most 60 s" in words


def test_failures_are_escaped_and_the_command_stands_only_where_it_helps():
    page = failure_html(PromptError("<img src=x>"), "kept & safe", None, "python -m <x>")
    assert "<img" not in page and "&lt;img" in page and "kept &amp; safe" in page and "python" not in page
    page = failure_html(Titled("ZeroGPU client error", "No GPU was available"), "", 60, "python -m <x>")
    assert "<code>python -m &lt;x&gt;</code>" in page and 'role="alert"' in page and "machine of your own:" in page


def test_what_is_kept_is_said_only_where_something_is():
    assert kept_words(0, 25) == "" and kept_words(7, 25).startswith("7 of 25 pairs are done and kept")


# --- the tab ---


@pytest.mark.parametrize(("typed", "seed"), [(0, 0), (7.0, 7), (LARGEST_SEED, LARGEST_SEED)])
def test_a_whole_number_is_a_seed(typed, seed):
    assert seed_of(typed) == seed and type(seed_of(typed)) is int


@pytest.mark.parametrize("typed", [None, -1, 1.5, LARGEST_SEED + 1, float("inf"), float("nan")])
def test_anything_else_is_refused_with_what_is_allowed(typed):
    with pytest.raises(UsageError, match=f"whole number from 0 to {LARGEST_SEED}"):
        seed_of(typed)


def test_the_button_says_what_is_left():
    assert button_words(0, 25, 25) == "Run all 25 pairs"
    assert button_words(0, 5, 25) == "Run 5 of 25 pairs"
    assert button_words(7, 18, 25) == "Go on: 18 pairs left"
    assert button_words(7, 5, 25) == "Go on with 5 of the 18 pairs left"
    assert button_words(25, 0, 25) == "Finish: all 25 pairs are done"


def test_the_cost_is_quota_where_there_is_one_and_else_time_by_pairs_timed_before():
    assert "asks ZeroGPU for up to 45 s of your daily GPU quota for 18 pairs" in re.sub(
        r"\s+", " ", cost_words(18, 19, 45, 0.5)
    )
    assert cost_words(18, 19, None, 0.5).startswith("About 10 s for 18 pairs")
    assert cost_words(18, 18, None, 50.0).startswith("About 15 min for 18 pairs")
    assert cost_words(18, 18, None, None).startswith("No pair of this size was timed here yet")
    assert cost_words(0, 1, 22, 0.5).startswith("A click asks ZeroGPU for up to 22 s")
    assert "one prompt beside itself" in cost_words(0, 1, None, 0.5)
    assert cost_words(0, 0, 22, 0.5) == "Nothing is left to be run."


def test_progress_says_pairs_time_left_and_the_pair_just_done():
    pair = PromptPair("p", "care & cure", "She <helps>.", "She leaves.")
    bar = progress_html(Step(7, 25, 11.6, pair, 0.64))
    assert 'value="7" max="25"' in bar and "7 of 25 pairs, about 12 s left" in bar and "aria-label" in bar
    assert "in 0.6 s (care &amp; cure)" in bar and "She &lt;helps&gt;." in bar and "She leaves." in bar
    start = progress_html(Step(0, 25, None))
    assert " left" not in start and "the first pair takes longest" in start


# --- the prompt set ---


@pytest.fixture
def page(tmp_path, moral_set):
    return Page(RunStore(tmp_path), Engine("tiny-random"), load_published(), moral_set)


PASTED = "positive\tnegative\n" + "\n".join(f"Lea{i} very <b>runs</b>.\tLea{i} walks." for i in range(4))


def test_every_shipped_set_can_be_chosen_and_the_pages_own_comes_first(page):
    sets = PromptSets(page)
    choices = sets.choices()
    assert choices[0] == ("Ethical valence (axis)", page.prompt_set.sha256) and choices[-1][1] == "own"
    assert {sha for _, sha in choices[:-1]} == set(shipped_sets())
    tempo = next(found for _, found in shipped_sets().values() if found.name == "tempo")
    assert sets.find(tempo.sha256, "", "", "", "") is tempo
    said = about_html(tempo)
    assert "25 pairs, 50 passes: quickly against slowly." in said and tempo.about in said
    own = sets.find("own", PASTED, "Pace", "fast", "slow")
    assert (own.title, len(own.pairs)) == ("Pace", 4)


@pytest.fixture
def book_page(page):
    """The page of the picture book, whose model is not there yet: its name is enough."""
    return Page(page.store, Engine("picture-book"), page.published, page.prompt_set)


def test_for_the_picture_book_its_own_sets_are_offered_and_others_refused(book_page):
    sets, moral, book = PromptSets(book_page), first_set("picture-book"), shipped_sets("picture-book")
    choices = sets.choices()
    assert choices[0] == ("Picture book: helping (axis)", moral.sha256) and sets.first == moral.sha256
    assert {sha for _, sha in choices[:-1]} == set(book) and len(choices) == 9
    assert ("Picture book: helping, distance and look said", load_prompt_set("picture-book/moral_crossed").sha256) in (
        choices
    )
    assert sets.find(moral.sha256, "", "", "", "") == book_page.first_set == moral
    for which, text in ((book_page.prompt_set.sha256, ""), ("own", PASTED)):
        with pytest.raises(
            PromptError, match=r"picture-book takes the words of picture-book. Sets that fit: prompts/pi"
        ):
            sets.find(which, text, "", "", "")
    assert "is in plain sentences" in own_html(book_page, PASTED, "", "", "")
    probes = _Probes(book_page)
    assert not probes.settings("256 px", 0, "all that are left", "own", PASTED, "", "", "")[0]["interactive"]
    rows = "".join(f"\nAna meets {n}.\tAna meets tall {n}.\tpicture-book" for n in ("Ben", "Cleo", "Dan", "Eva"))
    mine = sets.find("own", "positive\tnegative\tmodel" + rows, "", "", "")
    assert (mine.model, len(mine.pairs)) == ("picture-book", 4)


def test_a_page_that_is_there_before_its_model_is_known_offers_its_sets_once_it_is(page, monkeypatch):
    page = Page(page.store, Engine(), page.published, page.prompt_set)  # which model it will be is known on loading
    with gr.Blocks():
        chooser = set_chooser(page, PromptSets(page))
    which, text = chooser.renewed
    assert which.value == page.prompt_set.sha256 and len(which.choices) == 17 and "gallops" in text.placeholder
    assert chooser.renew() == [gr.skip(), gr.skip()]
    monkeypatch.setattr(Engine, "words", "picture-book")
    moral = first_set("picture-book")
    renewed, typed = chooser.renew()
    assert renewed.value == moral.sha256 and len(renewed.choices) == 9 and "picture-book" in typed["placeholder"]
    chooser.serve()
    assert which.value == moral.sha256 and list(which.choices) == list(renewed.choices)
    assert text.placeholder == typed["placeholder"]
    assert "Picture book" in PromptSets(page).choices()[0][0] and page.first_set == moral


def test_the_examples_of_a_table_are_read_as_they_stand():
    for words, table in _EXAMPLES.items():
        head, row, _ = table.split("\n")
        rows = [row.replace("Ana", name).replace("horse", name) for name in ("Eva", "Dan", "Gus", "Ana")]
        found = read_pasted("\n".join([head, *rows]))
        assert found.model == words and len(found.pairs) == 4


def test_a_pasted_set_is_shown_escaped_with_its_warnings_or_its_fault(page):
    said = own_html(page, PASTED, "<i>Pace</i>", "fast", "slow")
    assert "<b>runs" not in said and "Lea0 very &lt;b&gt;runs&lt;/b&gt;." in said and "&lt;i&gt;Pace" in said
    assert "4 pairs, “fast” against “slow”" in said and "row-2 (all)" in said
    assert "4 of 4 pairs have unequal numbers of words" in said and "“very” 4/0" in said
    assert "Tokens are counted once the model is loaded" in said and "tokens of the loaded" not in said
    page.engine.load()
    assert "4 of 4 pairs have unequal numbers of tokens of the loaded model" in own_html(page, PASTED, "", "", "")
    long = PASTED + f"\n{'x' * 600}\ty"
    assert "Pair &#x27;row-6&#x27;, positive side: " in own_html(page, long, "", "", "")
    wrong = own_html(page, "<u>one</u>\ttwo\tthree", "", "", "")
    assert 'role="alert"' in wrong and "row 1 has 3 cells" in wrong and own_html(page, " ", "", "", "") == ""


def test_the_button_waits_for_a_set_and_counts_its_pairs(page):
    probes, controls = _Probes(page), ("256 px", 0, "all that are left")
    button, cost = probes.settings(*controls, "own", "", "", "", "")
    assert not button["interactive"] and "no prompt set to run yet" in cost
    button, _ = probes.settings(*controls, "own", PASTED, "", "", "")
    assert button["interactive"] and button["value"] == "Run all 4 pairs"


def test_a_failure_names_the_sets_file_and_a_run_its_title(page, moral_run):
    probes, refusal = _Probes(page), Titled("ZeroGPU client error", "No GPU was available")
    tempo = next(sha for sha, (_, found) in shipped_sets().items() if found.name == "tempo")
    controls = ("256 px", 3, "all that are left")
    own = probes.read(*controls, "own", PASTED, "", "", "")
    others = probes.read(*controls, tempo, "", "", "", "")
    assert "--prompts YOUR-SET.toml --out runs/mine --size 256 --seed 3<" in probes.failed(refusal, own, 60)
    assert "--prompts prompts/tempo.toml " in probes.failed(refusal, others, 60)
    assert "<pre" not in probes.failed(refusal, None, None)
    _, _, [(label, name)] = probes.finished(moral_run, others, [])
    assert label.startswith(f"yours: Tempo, {moral_run.info.date[11:16]} UTC, ") and page.store.find(name) is moral_run
    pages = probes.read(*controls, page.prompt_set.sha256, "", "", "", "")
    _, _, [_, (label, _)] = probes.finished(moral_run, pages, [("a", "b")])
    assert label.startswith(f"yours: {moral_run.info.date[11:16]} UTC, ")


def test_a_run_of_other_prompts_brings_its_warnings_and_no_published_figures(pipe):
    own = read_pasted(PASTED, "Pace", "fast", "slow")
    run = run_probe(pipe, own, ProbeConfig(size=64))
    shown = findings_html(run, load_published(), Selection("card", "all")) + blocks_html(
        run, load_published(), Selection("card", "all")
    )
    assert "These prompts ask something else: “fast” against “slow”." in shown and "“very” 4/0" in shown
    assert "4 pairs of prompts, fast against slow." in shown
    assert "Published" not in shown and "3,221" not in shown and "helping against ignoring" in shown
    report = report_text(run, load_published())
    assert "PROMPTS: " in report and "published, of helping against ignoring" in report


def test_a_run_of_the_same_question_stands_beside_the_card(moral_run, made_run):
    shown = findings_html(moral_run, load_published(), Selection("card", "all"))
    assert "3,221" in shown and "pl-warnings" not in shown and "something else" not in shown
    names = ("one", "two")
    both = figures_html(moral_run, made_run(), names, Selection("card", "all"), load_published())
    assert "Published card, of helping against ignoring" in both and "pl-warnings" in both
    assert "Published card" not in figures_html(
        made_run(), made_run(1), names, Selection("card", "all"), load_published()
    )


def test_a_saved_run_of_the_same_settings_is_offered_from_the_shelf(page, moral_run, tmp_path):
    probes, first = _Probes(page), page.prompt_set.sha256
    page.engine.load()
    save_run(moral_run, tmp_path / "saved")
    page = replace(page, store=RunStore(tmp_path))
    probes.page = page
    rest = "all that are left", first, "", "", "", ""
    assert probes.on_shelf("256 px", 0, *rest) == probes.on_shelf("the device's default", 0, *rest) == "saved"
    words, button = probes.offer("256 px", 0, *rest)
    assert f"This was run on {moral_run.info.date[:10]}: “saved (stand-in)”" in words and button["visible"]
    assert probes.settings("256 px", 0, *rest)[0]["interactive"]  # to run it again stays possible
    assert probes.offer("512 px", 0, *rest) == probes.offer("256 px", 1, *rest) == ("", HIDDEN)
    assert probes.offer("256 px", 1.5, *rest) == ("", HIDDEN)  # which is said elsewhere


def test_a_probe_that_a_restart_has_ended_is_not_said_to_have_cost_nothing(page):
    """The browser asks the new process what became of it, which knows nothing of the click."""
    demo = build_demo(page.store, page.engine, page.published, page.prompt_set)
    button = next(block for block in demo.blocks.values() if block.elem_id == "run-probe")
    mine = [d for d in demo.fns.values() if d.fn and button in d.outputs]
    broke = next(d for d in mine if any(event == "failure" for _, event in d.targets))
    click = next(d for d in mine if (button._id, "click") in d.targets)
    request, values = SimpleNamespace(session_hash="visitor"), [component.value for component in broke.inputs]
    said, freed, *_ = broke.fn(request, *values)
    assert "started anew" in said and "gone" in said and "Nothing was run" not in said and freed["interactive"]
    click.fn(request)
    assert "Nothing was run: the queue is full" in broke.fn(request, *values)[0]


def test_a_stop_that_comes_before_the_queue_has_the_probe_holds_for_it(page):
    """Gradio has nothing to cancel then: the probe itself must end when it comes, and the next click runs again."""
    demo = build_demo(page.store, page.engine, page.published, page.prompt_set)
    stop = next(block for block in demo.blocks.values() if getattr(block, "value", "") == "Stop")
    button = next(block for block in demo.blocks.values() if block.elem_id == "run-probe")
    click = next(d for d in demo.fns.values() if (button._id, "click") in d.targets)
    taken_back = next(d for d in demo.fns.values() if (stop._id, "click") in d.targets and stop in d.outputs)
    work = next(d for d in demo.fns.values() if d.concurrency_id == "probe")
    request, values = SimpleNamespace(session_hash="visitor"), [component.value for component in work.inputs]
    click.fn(request)
    assert "Stopping" in taken_back.fn(request)[0]
    found = list(work.fn(request, *values))
    assert found == [(gr.skip(),) * 3]  # what was said last stays
    page.engine.load()
    click.fn(request)
    steps = work.fn(request, *values)
    assert "Waiting for the model" in next(steps)[0] and "<progress" in next(steps)[0]
    taken_back.fn(request)
    assert len(list(steps)) == 0
