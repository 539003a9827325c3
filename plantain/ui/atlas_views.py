"""An atlas as HTML: what it comes to, figures, tables. Pure functions; everything is escaped.

`atlas_html`     all of it
`runs_html`      which runs belong together, and which do not
`too_few_html`   what to run where they are too few
`making_html`    how far the comparison is
"""

from __future__ import annotations

import shlex
from html import escape

from plantain.atlas import Axis
from plantain.atlas_figures import ATLAS_FIGURES, AtlasFigure, Shown
from plantain.atlas_words import Part, atlas_parts, finding, siblings_part, size_caution
from plantain.figures import NoFigureError
from plantain.prompts import shipped_sets
from plantain.provenance import RunInfo
from plantain.tables import weights_label, weights_words
from plantain.ui import html


def atlas_html(shown: Shown, published: float) -> str:
    """Show an atlas.

    Parameters
    ----------
    shown : Shown
    published : float
        The share of units over |t| > 3 on the axis' card, in percent.
    """
    first, *rest = (escape(line) for line in finding(shown.atlas))
    run = shown.axes[0].run
    return (
        f'<div class="pl-atlas">{html.chip_html(run)}<p class="pl-sentence">{first}</p>'
        f"<ul>{''.join(f'<li>{line}</li>' for line in rest)}</ul>"
        f'<div class="pl-axes">{"".join(_figure(figure, shown) for figure in ATLAS_FIGURES.values())}</div>'
        f'<div class="pl-axes pl-beside-cards">{_beside(shown, published)}</div>'
        f"{''.join(_folded(part) for part in atlas_parts(shown.atlas))}</div>"
    )


def _figure(figure: AtlasFigure, shown: Shown) -> str:
    try:
        title = figure.title(shown)
        drawn = figure.draw(shown, title)
    except NoFigureError as error:
        return f"<div>{html.message_html(str(error))}</div>"
    return html.figure_html(drawn, f"{title}. {figure.how(shown)} {weights_words(shown.axes[0].run)}")


def _beside(shown: Shown, published: float) -> str:
    """Set the published percentages beside, and say what limits every comparison of counts."""
    part = siblings_part(shown.atlas, published)
    if part is None:
        table = "<p>The cards' percentages are of the card's slices over all tokens: choose these to see them here.</p>"
    else:
        table = (
            f'<p class="pl-beside-name">{escape(part.heading)}</p>{html.table_html(part.heading, part.head, part.rows)}'
        )
    tests = (
        "The tests between two axes deal their pairs anew (a membership test): they ask whether two distributions are "
        "equal, their direction included, not two counts alone."
    )
    caution = size_caution(shown.atlas)
    if caution:
        caution += " (How large their differences are, whichever way they point; the first table below has it.)"
    notes = (*(part.after if part else ()), tests, caution)
    return f"<div>{table}</div><div>{_paragraphs(notes)}</div>"


def _folded(part: Part) -> str:
    words = f"{_paragraphs(part.before)}{html.table_html(part.heading, part.head, part.rows)}{_paragraphs(part.after)}"
    return f'<details class="pl-careful"><summary>{escape(part.heading)}</summary>{words}</details>'


def _paragraphs(texts: tuple[str, ...]) -> str:
    return "".join(f"<p>{escape(text)}</p>" for text in texts if text)


def runs_html(axes: list[Axis], left_out: tuple[str, ...]) -> str:
    """Say which runs are compared, which are not, and which of the project's sets have no run."""
    known = {prompt_set.sha256: path.name for path, prompt_set in shipped_sets().values()}
    missing = [name for sha, name in known.items() if sha not in {axis.run.info.prompts_sha256 for axis in axes}]
    names = ", ".join(f"{axis.name} ({axis.role})" for axis in axes)
    lines = [f"{len(axes)} runs of one model and setting belong together here: {names}."]
    lines += [f"No run of {', '.join(missing)}."] if missing else []
    return _paragraphs(tuple(lines)) + _left_out(left_out)


def too_few_html(info: RunInfo, why: str, left_out: tuple[str, ...]) -> str:
    """Say why there is nothing to compare, and what to run."""
    model = shlex.quote(info.model)
    run = f"python -m plantain run --model {model} --prompts prompts/*.toml {' '.join(info.options)} --out runs/all"
    commands = "\n".join((run, "PLANTAIN_RUNS=runs/all python app.py"))
    words = (
        f"Nothing can be compared yet: {why} A comparison needs saved runs of several prompt sets, made by one model "
        f"in one way. These commands make one run of each of the project's {len(shipped_sets())} sets with the "
        f"chosen run's settings ({weights_label(info)}, {info.settings_words}), and open this page on them:"
    )
    return (
        f'{html.message_html(words)}<pre class="pl-command"><code>{escape(commands)}</code></pre>{_left_out(left_out)}'
    )


def _left_out(sentences: tuple[str, ...]) -> str:
    if not sentences:
        return ""
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f"<p>Left out, of the same model:</p><ul>{items}</ul>"


def making_html(done: int, total: int) -> str:
    """Show how far a comparison is."""
    bar = f'<progress aria-label="steps of the comparison" value="{done}" max="{total}"></progress>'
    return f'<div class="pl-progress">{bar}<p role="status">Comparing: {done} of {total} steps</p></div>'
