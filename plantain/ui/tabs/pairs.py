"""The section with the pairs: their prompts and scores, and their influence, by category and one by one."""

from __future__ import annotations

import base64
from html import escape

import gradio as gr

from plantain.findings.pairs import PairPart
from plantain.prompts.sets import SIDES, PromptPair
from plantain.report.figures.catalogue import OneRun, figure
from plantain.report.labels import UNIT_WORDS, pair_sides, weights_label, weights_words
from plantain.report.statements import pair_statements
from plantain.report.tables import CATEGORY_NOTE, KIND_NOTE, categories_frame, kinds_frame, pairs_frame, people_frame
from plantain.runs.attached.pictures import DRAWN, picture_bytes, read_pictures
from plantain.runs.attached.pictures import EXPECTED as EXPECTED_KIND
from plantain.runs.info import PairRecord
from plantain.runs.io import RunError
from plantain.runs.run import Run
from plantain.runs.units import Selection
from plantain.ui import html
from plantain.ui.lazy import fill
from plantain.ui.state import HIDDEN, Choice, Page, or_error
from plantain.ui.texts import DRAWN_IN, EXPECTED, PICTURES_OF

MARKS = "Bold and underlined: the words that the other prompt of the pair does not have in that place. "


def pairs_section(page: Page, choice: Choice) -> None:
    """Build the section, lazily: it takes half a second at full size."""

    @or_error("", HIDDEN, HIDDEN, HIDDEN)
    def show(name: str | None, units: str, scope: str) -> tuple[str, str, dict, dict, dict]:
        of = OneRun(page.run(name), Selection(units, scope))
        frames = categories_frame(of.run, of.selection), kinds_frame(of.run, of.selection), pairs_frame(of.parts)
        tables = (gr.update(value=people_frame(frame), visible=True) if len(frame) else HIDDEN for frame in frames)
        return pairs_html(of), prompts_html(of), *tables

    options = {"interactive": False, "visible": False}
    outputs = [gr.HTML(elem_id="pairs"), gr.HTML(elem_id="prompts")]
    with gr.Accordion("As tables: by category, by kind, by pair", open=False, elem_id="pair-tables"):
        gr.HTML(html.paragraphs_html((CATEGORY_NOTE, KIND_NOTE)))
        outputs += [
            gr.Dataframe(label="By category", elem_id="by-category", **options),
            gr.Dataframe(label="By kind", elem_id="by-kind", **options),
            gr.Dataframe(label="By pair", buttons=["copy", "fullscreen"], elem_id="by-pair", **options),
        ]
    fill(choice, show, [], outputs)


def prompts_html(of: OneRun) -> str:
    """Show the run's prompts, a category at a time, a pair's two side by side where there is room.

    Where the run has pictures, each pair's stand under its prompts.
    """
    run = of.run
    words = (
        f"{MARKS}Score: how far a pair goes the way of the others, in SDs, on the 20 "
        f"{UNIT_WORDS[of.selection.units]} that they choose; size: how large its differences are, whatever their sign, "
        f"beside those of all pairs (1). Scope {of.selection.scope}. {weights_words(run)}"
    )
    said, pictures = _pictures(run)
    sides = (run.info.positive, run.info.negative)
    both = list(zip(run.pairs, of.parts, strict=True))
    groups = [
        (
            category,
            "".join(
                _pair_html(record, part, sides, pictures.get(part.id, ""))
                for record, part in both
                if part.category == category
            ),
        )
        for category in dict.fromkeys(run.categories)
    ]
    how = html.folded_html("How the prompts are marked and scored", f"<p>{escape(words)}</p>{said}")
    return how + "".join(
        f'<details class="pl-careful"><summary>{escape(category)} ({run.categories.count(category)})</summary>'
        f"<ul class='pl-pairs'>{pairs}</ul></details>"
        for category, pairs in groups
    )


def _pair_html(record: PairRecord, part: PairPart, sides: tuple[str, str], pictures: str) -> str:
    texts = html.marked(record.pair.positive, record.pair.negative)
    prompts = "".join(
        f'<p><span class="pl-side">{escape(side)}</span> {text}</p>'
        for side, text in zip(pair_sides(record.pair, sides), texts, strict=True)
    )
    return (
        f'<li class="pl-pair"><p class="pl-pair-name"><b>{escape(part.id)}</b> '
        f"<span>score {part.score:+.2f}, size {part.size:.2f}</span></p>{prompts}{pictures}</li>"
    )


def _pictures(run: Run) -> tuple[str, dict[str, str]]:
    """Return what is said of a run's pictures, and the HTML of every pair's, by its id; nothing where it has none."""
    try:
        settings = read_pictures(run.folder, run.info) if run.folder else None
        if settings is None:
            return "", {}
        listed = sorted(settings.pictures, key=lambda picture: (picture.edit != "", picture.kind))  # drawn comes first
        content = {picture: picture_bytes(run.folder, picture) for picture in listed}
    except RunError as error:
        return html.error_html(f"The run's pictures are not shown. {error}"), {}
    edits = {"": "", **{edit.name: f", {edit.words}" for edit in settings.edits}}
    shown = {}
    for record in run.pairs:
        rows: dict[str, dict[str, bytes]] = {}
        for picture, packed in content.items():
            if picture.pair == record.pair.id and picture.seed == settings.seeds[0]:
                label = f"{picture.kind.capitalize()}{edits[picture.edit]}"
                rows.setdefault(label, {})[picture.side] = packed
        sides = pair_sides(record.pair, (run.info.positive, run.info.negative))
        figures = "".join(_sides_html(record.pair, label, sides, row) for label, row in rows.items())
        shown[record.pair.id] = f'<div class="pl-pair-pictures">{figures}</div>' if figures else ""
    kinds = {picture.kind for picture in settings.pictures}
    words = [
        f"Pictures by {weights_label(run.info)}, {settings.size} px, both sides from the same noise (seed "
        f"{settings.seeds[0]}).",
        DRAWN_IN.format(steps=settings.steps, guidance=settings.guidance) if DRAWN in kinds else "",
        f"Expected: {EXPECTED[0].lower()}{EXPECTED[1:]}" if EXPECTED_KIND in kinds else "",
        PICTURES_OF.get(run.info.weights, ""),
    ]
    return f"<p>{escape(' '.join(' '.join(words).split()))}</p>", shown


def _sides_html(pair: PromptPair, label: str, sides: tuple[str, str], row: dict[str, bytes]) -> str:
    """Show the pictures of a pair's two sides, one beside the other."""
    shown = "".join(
        f'<img src="data:image/webp;base64,{base64.b64encode(row[side]).decode()}" loading="lazy" '
        f'alt="{escape(f"{label}: {getattr(pair, side)}", quote=True)}">'
        for side in SIDES
        if side in row
    )
    names = " | ".join(name for side, name in zip(SIDES, sides, strict=True) if side in row)
    return f"<figure><div>{shown}</div><figcaption>{escape(label)}: {escape(names)}</figcaption></figure>"


def pairs_html(of: OneRun) -> str:
    """Show how the pairs go with one another, by category, and the influence of single ones."""
    lines = html.statements_html(pair_statements(of.run, of.parts, of.selection))
    return html.figure_html(figure("pairs", of)) + html.folded_html("What single pairs bring about", lines)
