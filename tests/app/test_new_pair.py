"""The tab "Try a pair" as a visitor meets it in Chromium, also under ZeroGPU as emulated on the CPU."""

import json
import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest
from browser import OUTPUT, ROOT, app_command, serving
from visit import download, open_page, pick, show_tab

from plantain import __version__
from plantain.ui.texts import EXAMPLES

FIRST, *_ = EXAMPLES.values()
CUT_OFF = re.compile("AbortError|errored out")
NO_COPYING = "() => { navigator.clipboard.writeText = () => Promise.reject(new Error('no')); }"


@pytest.fixture
def opened(browser):
    """Return a function that opens an address at the tab; at the end no page may have had a console error."""
    contexts, errors = [], []

    def open_(address, width=1280, cut_off=False, run="tiny-random", **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()

        def note(text):
            if not (cut_off and CUT_OFF.search(text)):  # a reload ends Gradio's own streams, and its client complains
                errors.append(text)

        page.on("console", lambda m: note(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: note(str(e)))
        if "?" in address:
            page.goto(address)
            page.wait_for_selector("#hero .pl-chip", state="attached")  # a link opens the tab itself
        else:
            open_page(page, address, run)
        show_tab(page, "Try a pair")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert errors == []


def texts(page):
    return page.input_value("#pair-positive textarea"), page.input_value("#pair-negative textarea")


def counts(page, positive, negative):
    page.wait_for_selector(f"#under-positive >> text={positive} token")
    page.wait_for_selector(f"#under-negative >> text={negative} token")


def scored(page):
    page.click("#score-pair")
    page.wait_for_selector("#pair-actions a[download]", timeout=60_000)  # there is one under an answer to these texts
    page.wait_for_selector("#pair-answer svg")


def folded(page, summary):
    """Open what is folded in the answer, and return it."""
    part = page.locator("#pair-answer details").filter(has=page.locator(f"summary >> text=/^{summary}$/"))
    part.locator("summary").click()
    return part


def is_of_other_texts(page):
    """Look at an answer to other texts than those in the boxes: it says so, and is no file."""
    page.wait_for_selector("#pair-old [role=status] >> text=The answer below is to the previous texts.")
    drawn = "[...document.querySelectorAll('#pair-answer .pl-verdict :is(img, svg)')]"
    page.wait_for_function(f"{drawn}.length && {drawn}.every((e) => getComputedStyle(e).opacity < 1)")
    assert page.locator("a[download]").count() == 0


def test_tokens_are_counted_while_typing_and_unequal_lengths_are_warned_of(opened, url):
    page = opened(url)
    counts(page, len(FIRST[0]), len(FIRST[1]))  # the stand-in: a byte is a token
    assert page.inner_text("#under-negative mark") == "ignores"
    assert f"Both prompts have {len(FIRST[0])} tokens" in page.inner_text("#pair-note")
    box = page.locator("#pair-positive textarea")
    box.press("End")
    box.type(" Now.")
    counts(page, len(FIRST[0]) + 5, len(FIRST[1]))
    assert "the lengths differ" in page.inner_text("#pair-note") and "NOT COMPARABLE" in page.inner_text("#pair-note")
    box.fill("x" * 600)
    page.wait_for_selector("#pair-note >> text=tokens, 512 are possible")
    box.fill(FIRST[1])
    page.wait_for_selector("#pair-note >> text=Both prompts are the same")
    box.fill("  ")
    page.wait_for_selector("#pair-note >> text=Positive prompt: the prompt is empty")
    box.fill("<img src=x onerror=alert(1)>")
    page.wait_for_selector("#under-positive >> text=<img src=x")
    assert page.locator("#under-positive img").count() == 0


def test_an_example_fills_both_boxes_and_sides_can_be_swapped(opened, url):
    page = opened(url)
    for name, pair in EXAMPLES.items():
        page.get_by_role("button", name=name, exact=True).click()
        counts(page, len(pair[0].encode()), len(pair[1].encode()))
        page.wait_for_function("t => document.querySelector('#pair-positive textarea').value === t", arg=pair[0])
        assert texts(page) == pair
    page.get_by_role("button", name="Swap sides").click()
    page.wait_for_function("t => document.querySelector('#pair-positive textarea').value === t", arg=pair[1])
    assert texts(page) == pair[::-1]


WIDTHS = (1280, 390)  # the layout follows from the window's, also while the page is open


def test_the_answer_is_a_sentence_a_picture_and_a_file_that_says_the_same(opened, url):
    page = opened(url)
    scored(page)
    n, strip, heads = 25, page.locator(".pl-verdict-strip svg:visible"), page.locator(".pl-verdict-heads svg:visible")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download this answer").click()
    record = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
    below = sum(row["score"] <= record["score"] + 1e-9 for row in record["scores"])
    assert record["n_at_or_below"] == below + 1 and len(record["scores"]) == n
    assert record["way"] == "none" and page.inner_text("#pair-answer .pl-sentence").startswith(
        "The run's own pairs do not agree with one another"
    )
    first = record["directions"]  # this run's headline is of them
    shown = folded(page, "Details").inner_text()
    assert record["sentence"] in shown
    assert f"p = {first['n_at_or_below']}/26" in shown and f"Score {first['score']:+.3f}" in shown
    assert "By magnitudes: " in shown and f"Score {record['score']:+.2f}: the pair's mean difference" in shown
    assert record["prompts"] == dict(zip(("positive", "negative"), texts(page), strict=True))
    assert record["tokens"] == {"positive": 42, "negative": 42}
    run = json.loads((ROOT / "precomputed" / "tiny-random" / "run.json").read_text(encoding="utf-8"))
    assert record["run"]["name"] == "tiny-random" and record["run"]["fingerprint"] == run["info"]["fingerprint"]
    assert record["run"]["capture_sha256"] == run["capture_sha256"]
    assert record["versions"]["plantain"] == __version__ and "torch" in record["versions"]
    assert "random weights" in record["weights_label"] and "The weights are random" in shown
    named = [unit["unit"] for unit in record["top"]]
    more, cells = folded(page, "More heads"), page.locator("#pair-table tbody tr").first.locator("th, td")
    assert folded(page, "All heads").locator("tbody tr").count() == 20
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function("(width) => innerWidth === width", arg=width)
        assert strip.locator("circle.pl-dot").count() == n and strip.locator("circle.pl-new").count() == 1
        assert heads.locator("circle.pl-new").count() == 5
        assert heads.locator("circle.pl-dot").count() == 5 * n + 1  # and one in the legend
        assert all(box["x"] + box["width"] <= width for box in (strip.bounding_box(), heads.bounding_box()))
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert f"yours {first['score']:+.3f}".replace("-", "−") in strip.text_content()
        assert heads_named(heads) == named[:5]
        assert heads_named(more.locator("svg:visible")) == named[5:]
        assert cells.nth(0).inner_text() == record["top"][0]["unit"]
        assert float(cells.nth(1).inner_text()) == round(record["top"][0]["with_run"], 2)
        assert float(cells.nth(2).inner_text()) == round(record["top"][0]["t"], 2)
        assert cells.nth(2).bounding_box()["x"] + 50 < width  # to be seen
        pictures_are_shown(page, width)


def heads_named(drawn):
    return [name for name in drawn.locator("text").all_text_contents() if " head " in name]


def test_the_pictures_of_an_answer_can_be_kept_while_it_stands(opened, url):
    page = opened(url)
    assert not page.is_visible("#pair-figure-svg")
    scored(page)
    page.get_by_role("button", name="Save a figure of the answer").click()
    name, content = download(page, "Figure as SVG")
    assert re.fullmatch(r"plantain-pair-\d{4}-\d\d-\d\dT\d{6}-scores\.svg", name)
    drawn = ElementTree.fromstring(content).find("{http://www.w3.org/2000/svg}title").text
    assert "Your pair among the run's 25" in drawn and "STAND-IN" in drawn
    assert FIRST[0] not in content.decode()  # a picture that is passed on does not tell what was typed
    pick(page, "Figure", "top heads")
    name, content = download(page, "Figure as PNG")
    assert name.endswith("-top-heads.png") and content.startswith(b"\x89PNG") and len(content) > 20_000
    page.locator("#pair-positive textarea").fill("Something else.")
    page.locator("#pair-figure-svg").wait_for(state="hidden")
    page.fill("#pair-negative textarea", "Something other.")
    scored(page)  # the column comes back: with the buttons, and nothing else
    assert page.is_visible("#pair-figure-svg") and not page.is_visible("text=Figure as text")
    assert not page.is_visible("text=Name of the figure's file")


def test_under_other_texts_an_answer_says_that_it_is_not_theirs_and_can_be_brought_back(opened, url):
    page = opened(url)
    scored(page)
    sentence = page.inner_text("#pair-answer .pl-sentence")
    page.locator("#pair-negative textarea").fill("Sam drops his books and Lena admires them.")
    is_of_other_texts(page)
    assert not page.is_visible("text=Save a figure of the answer")
    page.click("#last-answer")
    page.wait_for_selector("#pair-actions a[download]")
    page.wait_for_selector("#last-answer", state="detached")
    assert texts(page) == FIRST and page.inner_text("#pair-answer .pl-sentence") == sentence


def test_every_try_is_listed_and_brought_back_and_an_edit_that_fits_is_offered(opened, url):
    page = opened(url)
    counts(page, 42, 42)
    scored(page)
    assert page.locator(".pl-tries").count() == 0  # one alone is no list
    page.fill("#pair-negative textarea", "Sam drops his books and Lena laughs.")
    counts(page, 42, 36)
    offered = page.locator("#pair-note button")
    words = offered.inner_text().removeprefix("Use: “").removesuffix("”")
    offered.click()
    page.wait_for_selector("#pair-note >> text=Both prompts have", state="attached")
    mine = texts(page)
    assert words in mine and mine != FIRST and len(mine[0].encode()) == len(mine[1].encode())
    scored(page)
    tries = page.locator(".pl-tries button")
    assert tries.count() == 2 and page.locator(".pl-verdict-strip svg line.pl-limit").count() >= 1  # the try before
    tries.nth(1).click()
    page.wait_for_function("t => document.querySelector('#pair-negative textarea').value === t", arg=FIRST[1])
    page.wait_for_selector("#pair-actions a[download]")
    assert texts(page) == FIRST and page.locator("#last-answer").count() == 0


def test_an_answer_that_comes_late_says_that_it_is_to_other_texts(opened, url):
    page = opened(url)
    page.click("#score-pair")
    page.locator("#pair-positive textarea").fill("Sam drops his books and Lena collects them.")
    page.wait_for_selector("#last-answer", timeout=60_000)  # it came, for the texts of before
    page.wait_for_selector("#score-pair:enabled")
    is_of_other_texts(page)
    scored(page)
    assert page.locator("#last-answer").count() == 0
    with page.expect_download() as download:
        page.get_by_role("link", name="Download this answer").click()
    record = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
    assert record["prompts"]["positive"] == "Sam drops his books and Lena collects them."


def test_a_copied_link_fills_the_boxes_of_another_visitor_and_runs_nothing(opened, url):
    page = opened(url, permissions=["clipboard-read", "clipboard-write"])
    pair = ('Ana & Bo say "50% + 1?" <b>', "Ana & Bo say\n“no” to #2")
    for side, text in zip(("positive", "negative"), pair, strict=True):
        page.locator(f"#pair-{side} textarea").fill(text)
    page.wait_for_selector("#under-negative >> text=to #2")
    page.get_by_role("button", name="Copy link to these prompts").click()
    page.wait_for_selector("#pair-actions >> text=Copied.")
    link = page.evaluate("navigator.clipboard.readText()")
    assert link.startswith(f"{url}/?tab=pair&") and link.endswith("&run=tiny-random")
    other = opened(link)
    other.wait_for_selector("#under-negative >> text=to #2")
    assert texts(other) == pair
    assert other.inner_text("#pair-answer").strip() == "" and other.inner_text("#pair-said").strip() == ""


def test_a_reload_loses_nothing_that_was_typed_and_a_link_comes_first(opened, url):
    page = opened(url, cut_off=True)
    counts(page, len(FIRST[0]), len(FIRST[1]))
    mine = ("Otto lifts the branch off the path.", "Otto kicks the branch off the path.")
    for side, text in zip(("positive", "negative"), mine, strict=True):
        page.fill(f"#pair-{side} textarea", text)
    counts(page, len(mine[0]), len(mine[1]))
    page.click("#score-pair")  # a reload while a pair is under way is the worst moment
    page.reload()
    show_tab(page, "Try a pair")
    counts(page, len(mine[0]), len(mine[1]))
    assert texts(page) == mine
    page.goto(f"{url}?run=tiny-random&positive=Anna%20helps.&negative=Anna%20waits.")
    show_tab(page, "Try a pair")
    counts(page, 11, 11)
    page.fill("#pair-negative textarea", "Anna sits.")
    counts(page, 11, 10)
    page.reload()
    show_tab(page, "Try a pair")
    counts(page, 11, 10)
    assert texts(page) == ("Anna helps.", "Anna sits.")
    page.goto(f"{url}?run=tiny-random&positive=Otto%20sings.&negative=Otto%20hums.")
    show_tab(page, "Try a pair")
    counts(page, 11, 10)
    while "Otto" in page.url:  # a tab that was chosen soon after the load is no step of its own
        page.go_back()  # what was kept belongs to the other link
    show_tab(page, "Try a pair")
    counts(page, 11, 11)
    assert texts(page) == ("Anna helps.", "Anna waits.")
    assert texts(opened(url)) == FIRST, "another tab has its own"


def test_where_copying_is_refused_the_link_can_be_selected(opened, url):
    page = opened(url)
    page.evaluate(NO_COPYING)
    page.get_by_role("button", name="Copy link to these prompts").click()
    link = page.get_by_label("Link to these prompts")
    link.wait_for()
    assert link.input_value().startswith(f"{url}/?tab=pair&positive=Sam%20drops")
    assert link.evaluate("e => e.selectionEnd - e.selectionStart === e.value.length && document.activeElement === e")


def test_everything_can_be_done_by_keyboard(opened, url):
    page = opened(url)
    counts(page, 42, 42)
    page.get_by_role("tab", name="Try a pair").focus()

    def walk_to(selector):
        for _ in range(25):
            page.keyboard.press("Tab")
            if page.evaluate("s => document.activeElement.matches(s)", selector):
                return
        raise AssertionError(f"{selector} is not reached with Tab")

    walk_to(".pl-examples button:nth-of-type(3)")
    page.keyboard.press("Enter")
    counts(page, 37, 37)
    walk_to("#pair-positive textarea")
    page.keyboard.press("End")
    page.keyboard.type("!")
    counts(page, 38, 37)
    page.keyboard.press("Backspace")
    counts(page, 37, 37)
    walk_to("#score-pair")
    page.keyboard.press("Space")
    page.wait_for_selector("#pair-answer svg", timeout=60_000)
    page.wait_for_selector("#score-pair:enabled")
    walk_to(".pl-verdict-folds details:last-child summary")
    page.keyboard.press("Enter")
    page.wait_for_selector("#pair-answer li >> text=yours included")
    walk_to("#pair-actions a[download]")
    with page.expect_download():
        page.keyboard.press("Enter")
    walk_to("#pair-actions button")


def test_a_run_of_another_model_names_one_that_fits(opened, tmp_path):
    run = json.loads((ROOT / "precomputed" / "tiny-random" / "run.json").read_text(encoding="utf-8"))
    for name in ("a-stranger", "the-stand-in"):
        shutil.copytree(ROOT / "precomputed" / "tiny-random", tmp_path / name)
    run["info"]["fingerprint"], run["info"]["model"] = "0" * 64, "some/other-model"
    del run["sha256"]  # of its facts; older runs have none
    (tmp_path / "a-stranger" / "run.json").write_text(json.dumps(run), encoding="utf-8")
    with serving(app_command(), tmp_path / "log", PLANTAIN_MODEL="tiny-random", PLANTAIN_RUNS=str(tmp_path)) as url:
        page = opened(url, run="a-stranger")
        page.wait_for_selector("#pair-warning >> text=choose “the-stand-in (stand-in)”")  # also while it still loads
        page.wait_for_selector("#score-pair:enabled >> text=Measure this pair")
        page.click("#fitting-run")
        page.wait_for_selector("#score-pair:enabled >> text=Score this pair")
        assert page.input_value("#run input") == "the-stand-in (stand-in)"
        scored(page)
        pick(page, "Run", "a-stranger")
        page.click("#pair-warning summary >> text=Why not against the chosen run?")
        page.wait_for_selector("#pair-warning >> text=some/other-model")
        page.wait_for_selector("#pair-answer .pl-verdict", state="detached")  # it is another run's
        page.close()


def test_a_pair_is_measured_and_drawn_where_there_is_no_run(browser, without_runs):
    page = browser.new_page(viewport={"width": WIDTHS[0], "height": 900})
    open_page(page, without_runs, run=None)
    show_tab(page, "Try a pair")
    page.wait_for_selector("#pair-note >> text=Both prompts have 42 tokens")  # the model is there
    assert "ranked only against a run: nobody has run this model here yet" in page.inner_text("#pair-warning")
    assert not page.is_visible("#fitting-run")
    page.wait_for_selector("#score-pair:enabled >> text=Measure this pair")
    page.click("#score-pair")
    page.wait_for_selector("#pair-answer .pl-sentence >> text=attention heads differ by", timeout=60_000)
    assert page.locator("#pair-answer tbody tr").count() == 5
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        pictures_are_shown(page, width)
    page.locator("#pair-negative textarea").fill("Sam drops his books and Lena admires them.")
    is_of_other_texts(page)
    page.click("#last-answer")
    page.wait_for_selector("#last-answer", state="detached")
    page.wait_for_selector("#pair-answer .pl-sentence")
    page.locator("#pair-negative textarea").fill(texts(page)[0])
    page.click("#score-pair")
    page.wait_for_selector("#pair-answer [role=alert] >> text=Both prompts are the same")
    page.close()


def test_a_program_is_still_refused_where_there_is_no_run(without_runs):
    from gradio_client import Client
    from gradio_client.exceptions import AppError

    with pytest.raises(AppError, match="no run of that name"):
        Client(without_runs, verbose=False).predict("tiny-random", *FIRST, api_name="/probe_pair")


@pytest.fixture(scope="module")
def without_runs(tmp_path_factory):
    """The address of a page that has the stand-in and no run."""
    folder = tmp_path_factory.mktemp("without")
    (folder / "runs").mkdir()
    options = {"PLANTAIN_MODEL": "tiny-random", "PLANTAIN_RUNS": str(folder / "runs")}
    with serving(app_command(), folder / "log", **options) as url:
        yield url


def pictures_are_shown(page, width):
    """Look at the two expected pictures of an answer."""
    page.wait_for_function(
        "[...document.querySelectorAll('.pl-expected img')].filter(i => i.naturalWidth === 256).length === 2"
    )
    named = [image.get_attribute("alt") for image in page.locator(".pl-expected img").all()]
    assert named == ["Expected picture: Positive (helping)", "Expected picture: Negative (ignoring)"]
    assert "average" in page.inner_text(".pl-expected figcaption")
    assert "tiny-random (STAND-IN" in page.inner_text("#pair-answer .pl-chip")
    words = page.locator("#pair-answer details").last.text_content()
    assert "tiny-random (STAND-IN" in words and "The weights are random" in words
    # All at once, for the answer scrolls into view.
    boxes = page.evaluate(
        "[...document.querySelectorAll('.pl-expected img')].map((i) => i.getBoundingClientRect().toJSON())"
    )
    assert boxes[0]["y"] == boxes[1]["y"] and boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"]
    assert boxes[1]["x"] + boxes[1]["width"] <= width
    page.screenshot(path=OUTPUT / f"expected-{width}.png", full_page=True)


def test_a_full_queue_is_said_and_the_button_works_again(browser, url):
    page = browser.new_page()
    open_page(page, url)
    show_tab(page, "Try a pair")
    page.route("**/queue/join*", lambda route: route.fulfill(status=503, json={"detail": "Queue is full."}))
    page.click("#score-pair")
    page.wait_for_selector("#pair-said [role=alert] >> text=Nothing was scored")
    page.wait_for_selector("#score-pair:enabled")
    page.unroute("**/queue/join*")
    scored(page)
    assert page.inner_text("#pair-said").strip() == "" and texts(page) == FIRST
    page.close()
