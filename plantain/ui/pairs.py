"""The tab with the pairs behind a result: their prompts, by category, one by one, and by where they differ.

`pairs_tab`     builds it and keeps it up to date
`prompts_html`  the pairs with the words marked that differ
"""

from __future__ import annotations

from html import escape

import gradio as gr
import pandas as pd

from plantain import PlantainError
from plantain.breakdown import PairPart, by_pair
from plantain.plots import score_dots
from plantain.results import Run
from plantain.statements import pair_statements
from plantain.tables import CATEGORY_NOTE, UNIT_WORDS, categories_frame, pairs_frame
from plantain.ui import html
from plantain.ui.drafts import marked
from plantain.ui.shared import VIEW, Choice, Page, short

FIRST_COLUMNS = ["pair", "score", "size"]  # on a phone these are on the screen
Shown = tuple[str, str, pd.DataFrame, pd.DataFrame]


def pairs_tab(page: Page, choice: Choice) -> None:
    """Build the tab; it is filled when it is opened, since it takes a second at full size."""

    def show(name: str | None, units: str, scope: str, opened: bool) -> Shown:
        empty = pd.DataFrame()
        if not opened:
            return "", "", empty, empty
        try:
            run = page.run_or_none(name)
            if run is None:
                raise PlantainError("There is no run whose pairs could be shown.")
            return _content(run, units, scope)
        except PlantainError as error:
            return html.error_html(str(error)), "", empty, empty

    with gr.Tab("Pairs", id="pairs") as tab:
        outputs = [
            gr.HTML(elem_id="prompts"),
            gr.HTML(elem_id="pairs"),
            gr.Dataframe(label=f"By category. {CATEGORY_NOTE}", interactive=False, elem_id="by-category"),
            gr.Dataframe(label="By pair", buttons=["copy", "fullscreen"], interactive=False, elem_id="by-pair"),
        ]
        opened = gr.State(False)
    tab.select(lambda *now: (True, *show(*now, True)), choice.inputs, [opened, *outputs], **VIEW)
    choice.on_change(show, [opened], outputs)


def _content(run: Run, units: str, scope: str) -> Shown:
    parts = by_pair(run, units, scope)
    words = pairs_html(run, parts, units, scope, UNIT_WORDS[units])
    frame = pairs_frame(parts)
    frame = frame[[*FIRST_COLUMNS, *(c for c in frame if c not in FIRST_COLUMNS)]]
    return prompts_html(run, parts), words, categories_frame(run, units, scope).map(short), frame.map(short)


def prompts_html(run: Run, parts: list[PairPart]) -> str:
    """Show every pair's two prompts, by category, with the words marked that differ.

    Parameters
    ----------
    run : Run
    parts : list of PairPart
        In the order of the run's pairs.

    Returns
    -------
    str
        A fold a category, open; left the positive prompt, right (on a phone below it) the negative one.
    """
    head = (
        f"<p>{len(run.pairs)} pairs: {escape(run.info.positive)}, then {escape(run.info.negative)}. What differs is "
        "marked. A score says how far a pair goes the way of the others, in SDs.</p>"
    )
    folds = []
    for category in dict.fromkeys(run.categories):
        mine = [(r, p) for r, p in zip(run.pairs, parts, strict=True) if r.pair.category == category]
        pairs = "".join(_pair_html(record.pair.positive, record.pair.negative, part) for record, part in mine)
        title = f"{escape(category)} ({len(mine)})"
        folds.append(f"<details class='pl-careful' open><summary>{title}</summary>{pairs}</details>")
    return head + "".join(folds)


def _pair_html(positive: str, negative: str, part: PairPart) -> str:
    first, second = marked(positive, negative)
    facts = (
        f"{part.id}: score {part.score:+.2f}, {part.n_differing} token position{'s' * (part.n_differing != 1)} differ"
    )
    return f'<div class="pl-prompts"><p>{first}</p><p>{second}</p><p class="pl-small">{escape(facts)}</p></div>'


def pairs_html(run: Run, parts: list[PairPart], units: str, scope: str, what: str) -> str:
    """Show how the pairs go with one another, by category, and what hangs on single ones."""
    caption = (
        f"How far each pair goes the way of the others on the 20 {what} that the others choose, in SDs; a dot is a "
        "pair, the bar its category's mean. A pair's size, in the table, is how large its differences are beside those "
        f"of all pairs, whatever their sign. Scope {scope}. {html.weights_words(run)}"
    )
    lines = "".join(f"<li>{escape(line)}</li>" for line in pair_statements(run, parts, units, scope))
    return html.figure_html(score_dots(parts, caption), caption) + f"<ul>{lines}</ul>"
