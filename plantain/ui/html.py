"""Pieces of HTML that several tabs use. Pure functions; everything that is not ours is escaped."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape

from plantain.prompts.diff import differing_words
from plantain.report.figures.catalogue import Figure
from plantain.report.labels import weights_label
from plantain.report.statements import Statement
from plantain.runs.info import NOT_KLEIN
from plantain.runs.run import Run


def chip_html(run: Run) -> str:
    """Say which weights made the numbers, when and on what, loudly where they are never Klein's."""
    loud = " pl-warn" if run.info.weights in NOT_KLEIN else ""
    made = f"{run.info.size} px" if run.info.is_plain else run.info.settings_words
    words = f"{weights_label(run.info)} · {made} · {run.info.date[:10]}"
    return f'<p><span class="pl-chip{loud}">{escape(words)}</span></p>'


def figure_html(figure: Figure) -> str:
    """Show a figure in the layout that fits its column, with its words; one that is too wide scrolls inside itself."""
    return f"<figure>{drawing_html(figure)}{words_html(figure)}</figure>"


def drawing_html(figure: Figure) -> str:
    """Show a figure without its words, where they stand elsewhere."""
    # Focusable: the keyboard scrolls it, and goes through its marks.
    return f'<div class="pl-scroll pl-fluid" tabindex="0" role="group" aria-label="figure">{figure.svg}</div>'


def pictures_html(pictures: Iterable[tuple[str, bytes]], title: str, caption: str) -> str:
    """Show pictures (WebP) side by side, each with its name, and what they are."""
    shown = "".join(
        f'<div><img src="data:image/webp;base64,{base64.b64encode(packed).decode()}" '
        f'alt="{escape(f"{title}: {name}", quote=True)}"><p>{escape(name)}</p></div>'
        for name, packed in pictures
    )
    words = f"<figcaption><strong>{escape(title)}.</strong> {escape(caption)}</figcaption>"
    return f'<figure class="pl-expected"><div class="pl-pictures">{shown}</div>{words}</figure>'


def words_html(figure: Figure, more: str = "") -> str:
    """Write what a figure shows, and how to read it under a line; `more` stands there last."""
    folded = f"<p>{escape(f'{figure.caption}{more}')}</p>"
    return f"<figcaption>{escape(figure.title)}{folded_html('How to read it', folded, 'pl-how')}</figcaption>"


def marked(positive: str, negative: str) -> tuple[str, ...]:
    """Return both texts as HTML, with <mark> around the words that the other does not have in that place."""
    return tuple(
        "".join(f"<mark>{escape(text)}</mark>" if differs else escape(text) for text, differs in spans)
        for spans in differing_words(positive, negative)
    )


def table_html(
    label: str, head: Iterable[str], rows: Iterable[Sequence[str]], caption: str = "", look: str = "pl-table"
) -> str:
    """Write a table that scrolls inside itself; the first cell of a row heads it, a line break in a cell stays one."""
    top = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{_cell(first)}</th>{"".join(f"<td>{_cell(cell)}</td>" for cell in rest)}</tr>'
        for first, *rest in rows
    )
    above = f"{caption and f'<caption>{escape(caption)}</caption>'}<thead><tr>{top}</tr></thead>"
    return (
        f'<div class="pl-scroll" tabindex="0" role="group" aria-label="{escape(label)}">'
        f'<table class="{look}">{above}<tbody>{body}</tbody></table></div>'
    )


def _cell(text: str) -> str:
    return escape(text).replace("\n", "<br>")


def folded_html(summary: str, content: str, look: str = "pl-careful") -> str:
    """Fold HTML under a line."""
    return f'<details class="{look}"><summary>{escape(summary)}</summary>{content}</details>'


def paragraphs_html(texts: Iterable[str]) -> str:
    """Write every text as a paragraph; an empty one as nothing."""
    return "".join(f"<p>{escape(text)}</p>" for text in texts if text)


def progress_html(label: str, done: int, total: int, words: str, more: str = "") -> str:
    """Show how far something is; `more` is HTML."""
    bar = f'<progress aria-label="{label}" value="{done}" max="{total}"></progress>'
    return f'<div class="pl-progress">{bar}<p role="status">{escape(words)}</p>{more}</div>'


def warnings_html(heading: str, warnings: list[str]) -> str:
    """List what the words of a prompt set give away; nothing where there are no warnings."""
    if not warnings:
        return ""
    summary = f"<summary>{escape(heading)} ({len(warnings)})</summary>"
    return f'<details open class="pl-careful pl-warnings">{summary}{list_html(warnings)}</details>'


def statements_html(statements: Iterable[Statement]) -> str:
    """List statements; nothing where there are none."""
    return list_html(statement.text for statement in statements)


def list_html(texts: Iterable[str]) -> str:
    """List texts; nothing where there are none."""
    lines = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return lines and f"<ul>{lines}</ul>"


def error_html(message: str) -> str:
    """Show what went wrong and what to do."""
    return f'<p class="pl-error" role="alert">{escape(message)}</p>'


def message_html(message: str) -> str:
    """Show a plain message."""
    return f'<p role="status">{escape(message)}</p>'
