"""The tab that sets two runs side by side."""

from __future__ import annotations

from dataclasses import replace
from html import escape
from typing import Any

import gradio as gr

from plantain import PlantainError
from plantain.findings.comparison import compare, differences
from plantain.findings.published import comparable
from plantain.report.export import file_name
from plantain.report.figures import drawn_units, t_density
from plantain.report.figures.catalogue import COMPARED
from plantain.report.labels import CONTRAST, UNIT_WORDS, difference_words, weights_label, weights_words
from plantain.report.statements import Statement, comparison_statements, notes, prompt_warnings
from plantain.report.tables import metrics
from plantain.runs.run import Run
from plantain.ui import html
from plantain.ui.downloads import saver
from plantain.ui.errors import listener
from plantain.ui.state import LATER, VIEW, Choice, Page
from plantain.ui.tabs.export import public_name
from plantain.ui.tabs.map import PANEL_WORDS, map_html, opens_units, unit_map
from plantain.ui.texts import COMPARE_HELP, OWN_PROMPTS

Shown = tuple[str, str, str, str, str]


def compare_tab(page: Page, choice: Choice, tabs: gr.Tabs) -> None:
    """Build the tab; it is filled when it is opened."""

    def show(name: str | None, units: str, scope: str, other: str | None, mine: list[tuple[str, str]]) -> Shown:
        try:
            a, b = _both(page, name, other)
            return _content(a, b, _labels(page, mine, name, other), units, scope, page)
        except PlantainError as error:
            return html.error_html(str(error)), "", "", "", ""

    def picture(
        figure: str, name: str | None, units: str, scope: str, other: str | None, mine: list[tuple[str, str]]
    ) -> tuple[str, str]:
        runs = _both(page, name, other)
        made = [public_name(page, n, run) for n, run in zip((name, other), runs, strict=True)]
        drawn = COMPARED[figure](runs, _labels(page, mine, name, other), units, scope)
        return file_name("-and-".join(made), units, scope, figure, suffix=""), drawn

    def others(name: str | None, other: str | None, mine: list[tuple[str, str]], last: str | None) -> tuple:
        """Offer all runs; where the other one is gone, or was just chosen above too, take another."""
        choices = page.saved_choices() + mine
        known = [value for _, value in choices]
        kept = other in known and (other != name or name == last)
        value = other if kept else _default(page, name, known)
        return gr.Dropdown(choices, value=value), value

    def opens(name: str | None, units: str, scope: str, other: str | None, mine: list, last: str | None) -> tuple:
        offered, other = others(name, other, mine, last)
        return offered, name, *show(name, units, scope, other, mine)

    def follows(name: str | None, units: str, scope: str, other: str | None, mine: list, last: str | None) -> tuple:
        """Follow the choice above, once the tab was opened."""
        return (gr.skip(),) * 7 if last is None else opens(name, units, scope, other, mine, last)

    with gr.Tab("Compare", id="compare") as tab:
        gr.Markdown(COMPARE_HELP)
        known = list(page.store.saved)
        other = gr.Dropdown(
            page.saved_choices(),
            value=_default(page, choice.run.value, known),
            label="Compare with",
            filterable=False,
            elem_id="other-run",
        )
        outputs = [gr.HTML(elem_id="comparison")]
        with gr.Row():
            for number in ("first", "second", "difference"):
                with gr.Column(min_width=300):
                    outputs.append(unit_map("", f"compare-{number}"))
        outputs.append(gr.HTML(elem_id="compare-density"))
        now = [other, choice.mine]
        saver("compare-figure", list(COMPARED), picture, [*choice.inputs, *now])
        last = gr.State(None)  # the run above when this was last drawn; None while the tab was never opened
    for drawn in outputs[1:4]:
        opens_units(drawn, choice, tabs)
    tab.select(listener(opens), [*choice.inputs, *now, last], [other, last, *outputs], **VIEW)
    other.input(listener(show), [*choice.inputs, *now], outputs, **LATER)
    choice.on_change(follows, [*now, last], [other, last, *outputs])


def _both(page: Page, name: str | None, other: str | None) -> tuple[Run, Run]:
    a, b = page.run_or_none(name), page.run_or_none(other)
    if a is None or b is None:
        raise PlantainError("Choose two runs: one above, the other here.")
    return a, b


def _labels(page: Page, mine: list[tuple[str, str]], *names: str) -> tuple[str, ...]:
    """Name runs as the lists do."""
    labels = {value: label for label, value in page.saved_choices() + mine}
    return tuple(labels.get(name, name) for name in names)


def _default(page: Page, name: str | None, known: list[str]) -> str | None:
    run = page.store.find(name)
    control = page.control_for(run)
    names = [n for n in known if n != name]
    return next((n for n in names if page.store.find(n) is control), names[0] if names else None)


def _content(a: Run, b: Run, names: tuple[str, str], units: str, scope: str, page: Page) -> Shown:
    for run, name in zip((a, b), names, strict=True):
        if scope not in run.scopes(units):
            raise PlantainError(f"“{name}” has no tokens of scope {scope!r}: choose another scope, or another run.")
    words = figures_html(a, b, names, units, scope, page.published)
    try:
        found = compare(a, b, units, scope)
    except PlantainError as error:
        words += f"<p>{escape(str(error))}</p>"
        return words, _map(a, units, scope, names[0]), _map(b, units, scope, names[1]), "", ""
    words += "".join(f"<p>{escape(line.text)}</p>" for line in comparison_statements(found, a, b, units))
    title = f"t of {UNIT_WORDS[units]} in {names[1]} against {names[0]}, scope {scope}"
    caption = f"{title}: {found.n_units:,} units counted in squares; the stronger a square, the more. {_weights(a, b)}"
    density = html.figure_html(t_density(found.t, names, title), caption)
    maps = [_map(a, units, scope, names[0]), _map(b, units, scope, names[1]), _difference_map(a, b, units, scope)]
    return words, *maps, density


def _weights(a: Run, b: Run) -> str:
    return f"Weights: {weights_label(a.info)}; {weights_label(b.info)}."


def _map(run: Run, units: str, scope: str, name: str) -> str:
    if units == "embedding":
        return ""
    drawn = drawn_units(units)
    title = f"{PANEL_WORDS[drawn]}, t of {run.info.positive} minus {run.info.negative} in {name}, scope {scope}"
    return _headed(name) + map_html(run.analysis(drawn, scope), title, f"{title}. {weights_words(run)}")


def _difference_map(a: Run, b: Run, units: str, scope: str) -> str:
    if units == "embedding":
        return ""
    drawn = drawn_units(units)
    first, second = a.analysis(drawn, scope), b.analysis(drawn, scope)
    title = f"{PANEL_WORDS[drawn]}, difference of t: the first minus the second run, scope {scope}"
    caption = f"{title}. A difference of two t is no t: it has no scale of chance of its own. {_weights(a, b)}"
    return _headed("the first minus the second") + map_html(
        replace(first, t=first.t - second.t), title, caption, "difference of t"
    )


def _headed(words: str) -> str:
    return f'<p class="pl-beside-name">{escape(words)}</p>'


def figures_html(a: Run, b: Run, names: tuple[str, str], units: str, scope: str, published: dict[str, Any]) -> str:
    """Show the headline figures of two runs in one table, and say in what the runs differ."""
    columns = [metrics(run.headline(units, scope), published) for run in (a, b)]
    # What the card counted and asked; beside other units, or other questions alone, it would mislead.
    asks = [comparable(run, units, scope) for run in (a, b)]
    beside = any(asks)
    rows = "".join(
        f'<tr><th scope="row">{escape(x.name)}</th><td>{escape(x.value)}<br>{escape(x.significance)}</td>'
        f"<td>{escape(y.value)}<br>{escape(y.significance)}</td>"
        f"{f'<td>{escape(x.published)}</td>' if beside else ''}</tr>"
        for x, y in zip(*columns, strict=True)
    )
    titles = ("Figure", *names, *([f"Published card{'' if all(asks) else f', of {CONTRAST}'}"] if beside else []))
    heads = "".join(f'<th scope="col">{escape(h)}</th>' for h in titles)
    runs = {id(run): (run, name) for run, name in zip((a, b), names, strict=True)}.values()
    warned = _of_both([(notes(run, run.headline(units, scope)), name) for run, name in runs])
    prompts = [warning.text for warning in _of_both([(prompt_warnings(run), name) for run, name in runs])]
    said = difference_words(differences(a, b))
    if a is b:
        line = "This is one run beside itself."
    else:
        line = f"The runs differ in: {'; '.join(said)}." if said else "The runs have the same pairs and settings."
    return (
        f"{html.chip_html(a)}{html.chip_html(b)}<p>{escape(line)}</p>"
        '<div class="pl-scroll" tabindex="0" role="group" aria-label="figures of two runs">'
        '<table class="pl-table pl-beside">'
        f"<caption>{escape(UNIT_WORDS[units])}, scope {escape(scope)}</caption>"
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
        f"{html.statements_html(warned)}{html.warnings_html(OWN_PROMPTS, prompts)}"
    )


def _of_both(said: list[tuple[list[Statement], str]]) -> list[Statement]:
    """Put the notes of two runs together; a note on one of them only begins with its name."""
    first, *others = (found for found, _ in said)
    common = [note for note in first if all(note in other for other in others)]
    alone = ((note, name) for found, name in said for note in found if note not in common)
    return common + [note._replace(text=f"{name}: {note.text}") for note, name in alone]
