"""Every figure of the catalogue: drawn from made-up runs, its words once for page and file, its text in its frame."""

import io
import re
from dataclasses import replace
from html import unescape
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from interventions_made import made_result
from made import SETS, made, small_run, with_directions
from PIL import Image

from plantain.findings.across_runs.atlas import make_atlas, read_axes
from plantain.findings.known import Known
from plantain.findings.new_pair import score_pair
from plantain.findings.published import load_published
from plantain.findings.told import LEFT_OUT, Told
from plantain.prompts.sets import user_pair
from plantain.report.figures import png as png_module
from plantain.report.figures import svg
from plantain.report.figures.catalogue import (
    FIGURES,
    LONGEST,
    FigureError,
    InContext,
    KnownTruths,
    ManyAxes,
    OnCard,
    OneIntervention,
    OnePair,
    OneRun,
    TwoRuns,
    figure,
    t_difference,
)
from plantain.report.figures.png import png
from plantain.runs.capture import PairCapture, SumsOfSquares
from plantain.runs.info import NotComparableError
from plantain.runs.units import Selection
from plantain.ui import html, theme

SVG = "{http://www.w3.org/2000/svg}"
NUMBER = re.compile(r"[+−]?[\d,.]+$")
NAMES = [(kind, name) for kind, figures in FIGURES.items() for name in figures]


@pytest.fixture(scope="module")
def inputs():
    """What each kind of figure is drawn from, with names and words that are too long for their places."""

    def strange(run):
        long = "a strange <b>side</b> & one that is much too long for any figure on a phone"
        pairs = tuple(replace(r, pair=replace(r.pair, category=f"{long} {i % 2}")) for i, r in enumerate(run.pairs))
        info = replace(run.info, positive=long, negative=long[::-1], model="owner/model")
        return replace(run, info=info, pairs=pairs)

    run, other = strange(small_run(0, 6)), strange(small_run(1, 6))
    practice = replace(run, info=replace(run.info, weights="practice"))
    axes = read_axes({name: made(name, 1.5, weights="stand-in", model="tiny-random") for name in SETS})
    return {
        OneRun: OneRun(with_directions(run), Selection("heads", "all")),
        TwoRuns: TwoRuns(
            (run, other), ("a-run-with-a-name-that-nobody-wants-to-read-to-its-end", "b"), Selection("card", "all")
        ),
        OnePair: OnePair(of_a_pair(run), run),
        ManyAxes: ManyAxes(make_atlas(axes), axes),
        OnCard: OnCard(run, other),
        KnownTruths: KnownTruths(
            [
                Known("a name", practice, Told(6, 6, 0.02, 0.0, LEFT_OUT, "heads", "image")),
                Known("b" * 60, practice, None),
            ]
        ),
        OneIntervention: OneIntervention(run, made_result(n_redraws=39)),
        InContext: InContext(replace(run, info=replace(run.info, weights="pretrained")), load_published(), other),
    }


def of_a_pair(run):
    """Score the run's own first pair once more, as if a visitor had typed it."""
    streams = {stream: values[:, :1] for stream, values in run.sums.streams.items()}
    capture = PairCapture(SumsOfSquares(streams, run.sums.tokens[:, :1]), 2, 1)
    return score_pair(run, user_pair("A plain dog.", "A plain cat."), capture)


def places(drawing):
    """Return every text of a drawing with its left and right end and its base line."""
    root = ElementTree.fromstring(drawing.svg("x"))
    shares = {"start": 0.0, "middle": 0.5, "end": 1.0}
    for text in root.iter(f"{SVG}text"):
        wide, x = svg.text_width(text.text), float(text.get("x"))
        left = x - wide * shares[text.get("text-anchor")]
        yield text.text, left, left + wide, float(text.get("y"))


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_page_and_file_say_the_same_of_a_figure(inputs, kind, name):
    made = figure(name, inputs[kind])
    assert made.title.endswith(".") and 10 < len(made.title) <= LONGEST == 90 and made.more.strip()
    assert "Weights: " in made.caption and "Weights: " not in made.title + made.more
    document = made.document
    root = ElementTree.fromstring(document)
    assert root.find(f"{SVG}title").text == f"{made.title} {made.caption}"
    written = "".join(text.text for text in root.findall(f"{SVG}text"))  # below the figure, for those who see it
    assert re.sub(r"\s", "", written) == re.sub(r"\s", "", made.title + made.caption)
    page = html.figure_html(made)
    said = re.search('<figcaption>(.*?)<details class="pl-how"><summary>.*?</summary><p>(.*)</p></details>', page)
    assert (unescape(said[1]), unescape(said[2])) == (made.title, made.caption) and "<b>side" not in page
    assert "var(" not in document and root.find(f"{SVG}rect").get("fill") == "#ffffff"
    rules, classes = root.find(f"{SVG}style").text, set(re.findall(r'class="([\w-]+)"', document))
    assert classes and all(f".{used} " in rules for used in classes)


@pytest.mark.parametrize("width", svg.LAYOUTS)
@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_every_word_of_a_figure_lies_in_its_frame_and_on_no_other(inputs, kind, name, width):
    drawing = figure(name, inputs[kind]).draw(width)
    assert drawing.width <= width
    boxes = list(places(drawing))
    assert boxes
    for words, left, right, y in boxes:
        assert left >= -0.5 and right <= drawing.width + 0.5 and svg.LETTERS - 2 <= y <= drawing.height - 2, words
    rows = sorted(boxes, key=lambda box: (box[3], box[1]))
    for (words, _, end, y), (more, start, _, other_y) in pairwise(rows):
        assert y != other_y or end <= start + 0.5, (words, more)


@pytest.mark.parametrize("width", svg.LAYOUTS)
@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_every_axis_has_three_numbers(inputs, kind, name, width):
    drawing = figure(name, inputs[kind]).draw(width)
    root = ElementTree.fromstring(drawing.svg("x"))
    texts = [(t.text, float(t.get("x")), float(t.get("y"))) for t in root.iter(f"{SVG}text") if NUMBER.match(t.text)]
    lines = [line for line in root.iter(f"{SVG}line") if line.get("class") == "pl-axis"]
    below = {float(line.get("y1")) for line in lines if float(line.get("x2")) - float(line.get("x1")) > 100}
    axes = [y for y in below if any(abs(at - y - 17) < 0.6 for *_, at in texts)]
    assert axes or "map" in name or name in ("heads", "correlations")
    for y in axes:
        assert len([1 for *_, at in texts if abs(at - y - 17) < 0.6]) >= 3
    if name.startswith(("null", "split")) or name in ("replication", "t against t"):
        beside = [t for t in root.iter(f"{SVG}text") if t.get("text-anchor") == "end" and NUMBER.match(t.text)]
        assert len(beside) >= 3 * (1 + (name == "split halves"))


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_a_figures_words_lie_in_its_file(inputs, kind, name):
    root = ElementTree.fromstring(figure(name, inputs[kind]).document)
    wide, tall = float(root.get("width")), float(root.get("height"))
    for text in root.findall(f"{SVG}text"):
        end = float(text.get("x")) + svg.text_width(text.text, float(text.get("font-size")))
        assert end <= wide and float(text.get("y")) < tall, text.text


def pixels(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)


def near(image, colour):
    return int((np.abs(image - colour).max(axis=2) < 12).sum())


@pytest.mark.parametrize("name", ["map of heads", "one head by scope", "null of |t| over 3"])
def test_a_png_is_the_figure_twice_as_large_and_the_same_each_time(inputs, name):
    document = figure(name, inputs[OneRun]).document
    content = png(document)
    assert content == png(document)
    root, image = ElementTree.fromstring(document), pixels(content)
    assert image.shape[:2] == (round(2 * float(root.get("height"))), round(2 * float(root.get("width"))))
    assert (image[0] == 255).all() and (image[-1] == 255).all() and near(image, (0x27, 0x27, 0x2A)) > 500
    words = min(float(text.get("y")) for text in root.findall(f"{SVG}text"))
    assert near(image[round(2 * words) - 24 :], (0x27, 0x27, 0x2A)) > 200  # title and caption are written


def test_the_colours_of_a_png_are_those_of_the_signs():
    t = np.array([[4.9, -4.9, 0.0]])
    marks = [svg.cell(20 * i, 0, 20, 20, value / 5, "x") for i, value in enumerate(t[0])]
    image = pixels(png(svg.standalone(svg.Drawing(416, 20, marks), "a", "b")))
    assert image[28 + 20, 28 + 20].tolist() == pytest.approx((0xD9, 0x69, 0x0F), abs=8)
    assert image[28 + 20, 28 + 60].tolist() == pytest.approx((0x2F, 0x78, 0xC4), abs=8)
    assert image[28 + 20, 28 + 100].tolist() == pytest.approx((0xE4, 0xE4, 0xE7), abs=2)


def test_a_png_uses_no_font_of_the_machine(inputs, monkeypatch, tmp_path):
    document = svg.standalone(svg.Drawing(416, 20, [svg.text(0, 15, "words")]), "a title", "a caption")
    assert near(pixels(png(document)), (0x27, 0x27, 0x2A)) > 100
    monkeypatch.setattr(png_module, "FONT", tmp_path / "none.ttf")
    assert (pixels(png(document)) == 255).all()


@pytest.mark.parametrize("dark", ["", "_dark"])
def test_text_and_ground_have_the_pages_colours(dark):
    page = theme.page_theme()
    css = svg.STYLES.read_text(encoding="utf-8")
    colours = dict(re.findall(r"(--[\w-]+): ([^;]+);", re.search(r"\.dark \{.*" if dark else ":root {.*", css)[0]))

    def value(name):
        found = getattr(page, name + dark, None) or getattr(page, name)
        while found.startswith("*"):
            found = getattr(page, found[1:] + dark, None) or getattr(page, found[1:])
        return found.replace("white", "#ffffff")

    assert colours["--pl-ink"] == value("body_text_color")
    assert colours["--pl-ground"].replace("white", "#ffffff") == value("body_background_fill")


# --- what single figures say -------------------------------------------------------------------------------


def marks(name, of):
    return "".join(figure(name, of).draw(svg.FILE).marks)


def test_one_unit_is_the_one_that_was_chosen_or_the_largest(made_run):
    run = made_run()
    chosen = figure("one head", OneRun(run, Selection("card", "all"), "single[1] head 1"))
    assert chosen.title == "single[1] head 1: the difference of each of the 4 pairs." and "Rank " in chosen.caption
    a = run.analysis(Selection("mlp", "image"))
    largest = figure("one head", OneRun(run, Selection("mlp", "image")))
    assert largest.title.startswith(f"{a.table.names[a.ranking[0]]}: the difference")
    assert "Rank 1 of " in largest.caption and "to be smaller elsewhere" in largest.caption
    elsewhere = figure("one head", OneRun(run, Selection("heads", "words"), "joint[0] head 1"))
    assert "scope all." in elsewhere.more  # the joint image stream has no words


def test_the_embedding_has_no_map(made_run):
    with pytest.raises(FigureError, match="Choose other units"):
        figure("map of heads", OneRun(made_run(), Selection("embedding", "all")))


def test_only_a_head_has_slices_inside(made_run):
    run = made_run()
    with pytest.raises(FigureError, match="has no slices inside"):
        figure("slices of one head", OneRun(run, Selection("card", "all"), "single[1] slice 3"))
    of = OneRun(run, Selection("card", "all"), "single[1] head 1")
    drawn = marks("slices of one head", of)
    assert of.profile.slices and all(svg.minus(f">{t:+.2f}<") in drawn for t in of.profile.slices.values())


def test_the_maps_of_two_runs_are_theirs_and_their_difference(made_run):
    of = TwoRuns((made_run(), made_run(1)), ("this one", "that one"), Selection("card", "all"))
    first, second = (run.analysis(Selection("heads", "all")) for run in of.runs)
    unit = first.table.names[3]
    for which, name, t in (("first", "this one", first.t[3]), ("second", "that one", second.t[3])):
        assert f"{unit}: t = {t:+.2f}<" in marks(f"map of the {which} run", of)
        assert figure(f"map of the {which} run", of).title.startswith(f"{name}: ")
    assert f"{unit}: difference of t = {first.t[3] - second.t[3]:+.2f}<" in marks("map of the difference", of)
    assert t_difference(of).t[3] == first.t[3] - second.t[3]
    assert "no scale of chance" in figure("map of the difference", of).caption


def test_a_map_of_one_of_two_runs_names_its_weights_alone(made_run):
    runs = [replace(run, info=replace(run.info, model=name)) for run, name in ((made_run(), "A"), (made_run(1), "B"))]
    of = TwoRuns(tuple(runs), ("a", "b"), Selection("heads", "all"))
    assert "Weights: A (" in figure("map of the first run", of).caption
    assert " B (" not in figure("map of the first run", of).caption
    assert "; B (" in figure("t against t", of).caption


def test_models_of_another_shape_have_no_common_figure(made_run):
    of = TwoRuns((made_run(), made("tempo")), ("a", "b"), Selection("heads", "all"))
    with pytest.raises(NotComparableError):
        figure("t against t", of)
    with pytest.raises(NotComparableError):
        figure("map of the difference", of).draw(svg.FILE)
    assert "<rect" in marks("map of the second run", of)
