"""What came of a visitor's pair, as HTML: a sentence, both pictures, the needle, single heads, the tries so far."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from plantain.findings.new_pair import Control, PairMeasure, PairResult
from plantain.models.info import ModelInfo
from plantain.report.figures.catalogue import N_STRIPS, Figure, OnePair, figure
from plantain.report.labels import weights_label
from plantain.report.new_pair import (
    length_warning,
    measure_remarks,
    measure_rows,
    measure_sentence,
    pair_frame,
    pair_remarks,
    pair_sentence,
    plain_sentence,
    score_words,
)
from plantain.report.numbers import minus, number
from plantain.report.statements import Kind
from plantain.runs.info import NOT_KLEIN
from plantain.runs.run import Run
from plantain.ui import html
from plantain.ui.engine import Pictures
from plantain.ui.tabs.pair_words import shortened_pair
from plantain.ui.texts import EXPECTED, PICTURES_OF

KEPT = 10  # tries of one visit


@dataclass(frozen=True)
class Answer:
    """What came of a pair, and for which texts and run: it is shown under these only.

    Attributes
    ----------
    run, positive, negative : str
        As they were when the pair was sent.
    date : str
        ISO 8601, UTC.
    result : PairResult or None
        Where it was ranked in the run.
    measure : PairMeasure or None
        Where there was no run to rank it in.
    pictures : str
        HTML of the expected pictures; empty where there are none.
    caution : str
        What has to be known of the pictures.
    failure : str
        HTML that says why it failed; empty where it did not.
    """

    run: str | None
    positive: str
    negative: str
    date: str
    result: PairResult | None = None
    measure: PairMeasure | None = None
    pictures: str = ""
    caution: str = ""
    failure: str = ""

    def is_for(self, run: str | None, positive: str, negative: str) -> bool:
        """Tell whether the answer is to these texts, blanks around them left out."""
        texts = (positive.strip(), negative.strip())
        return run == self.run and texts == (self.positive.strip(), self.negative.strip())


Tries = tuple[Answer, ...]
"""The answers of one visit, the newest first."""


def with_answer(tries: Tries, new: Answer) -> Tries:
    """Put an answer first; an older one to the same texts, and one that failed, goes."""
    others = [old for old in tries if not old.failure and not old.is_for(new.run, new.positive, new.negative)]
    return (new, *others)[:KEPT]


def answer_to(tries: Tries, run: str | None, positive: str, negative: str) -> Answer | None:
    """Return the answer to these texts, or None."""
    return next((answer for answer in tries if answer.is_for(run, positive, negative)), None)


def drawn_of(shown: Answer, tries: Tries, run: Run, control: Control | None) -> OnePair:
    """Gather what the figures of an answer are drawn from: other tries in the run are marks on its strip."""
    others = (old for old in tries if old.result and old.run == shown.run and old is not shown)
    return OnePair(shown.result, run, control, tuple(old.result.first.score for old in others))


# --- ranked in a run ---------------------------------------------------------------------------------------


def answer_html(shown: Answer, tries: Tries, run: Run, control: Control | None = None) -> str:
    """Show a visitor's result: one plain sentence, both pictures and the needle; the rest below, or folded."""
    result, of = shown.result, drawn_of(shown, tries, run, control)
    measured = "1: the same directions in every head." if result.directions else "SD: their usual spread."
    needle = _bare(figure("scores", of), f"A dot is a pair. Right: the way this run's pairs go. {measured}")
    same = "How strong are" if result.directions else "The same on"
    heads = _bare(figure("top heads", of), f"{same} the {N_STRIPS} heads that part the run's pairs most clearly.")
    folds = [html.folded_html("More heads", _bare(figure("more heads", of), ""))] if len(result.top) > N_STRIPS else []
    folds += [html.folded_html("All heads", heads_html(result))]
    folds += [html.folded_html("Details", _details(shown, run))]
    return _laid_out(_sentence(result) + html.chip_html(run), shown.pictures, needle, heads, tries, folds)


def _sentence(result: PairResult) -> str:
    said = escape(plain_sentence(result))
    if result.comparable:
        return f'<p class="pl-sentence">{said}</p>'
    return f"{html.error_html(length_warning(result))}<p>For orientation only: {said}</p>"


def _details(shown: Answer, run: Run) -> str:
    """Write what is exact: the rank with its p, what to read with care, and what the pictures are."""
    result = shown.result
    place = result.first
    low, n, unit = place.n_at_or_below, len(place.scores) + 1, "mean cosine" if result.directions else "SD"
    p = "no p, for it is the run's own pair."
    if place.p is not None:
        p = (
            f"conformal p = {low}/{n} = {place.p:.2g}, small where your pair goes less with the others than they do; "
            "one that goes farther than all has p = 1."
        )
    exact = (
        pair_sentence(result),
        f"Score {score_words(place.score, place.measure)} {unit}; {p} One pair is one pair: this is its place among "
        "the run's pairs, no test of the axis.",
    )
    return html.paragraphs_html((*exact, shown.caution)) + html.statements_html(pair_remarks(result, run))


def heads_html(result: PairResult) -> str:
    """List all heads that the score is the mean of."""
    frame = pair_frame(result)
    columns = (frame[name].tolist() for name in ("unit", "with_run", "t", "new", "low", "high"))
    rows = (
        (unit, number(yours, "+.2f", "none"), f"{t:+.2f}", f"{new:+.3g}", _span(low, high))
        for unit, yours, t, new, low, high in zip(*columns, strict=True)
    )
    head = ("Head", "Yours, SDs", "Run's t", "Yours, as measured", "95% of further pairs")
    words = (
        "The run's top heads, chosen on its pairs: a new one looks weaker on them (regression to the mean). Above "
        "zero, yours goes where they point."
    )
    return f'<div id="pair-table">{html.table_html("all heads", head, rows, words)}</div>'


def _span(low: float, high: float) -> str:
    return "not known" if low != low else f"{low:+.3g} to {high:+.3g}"


# --- by itself ---------------------------------------------------------------------------------------------


def measure_html(shown: Answer, tries: Tries) -> str:
    """Show a pair that was measured by itself: one plain sentence, pictures, the strongest heads; the rest folded."""
    measure = shown.measure
    heads = html.table_html(
        "strongest heads", ("Head", "Difference", "Of its strength"), measure_rows(measure),
        "The heads that differ most. Above zero the positive prompt is stronger.",
    )  # fmt: skip
    remarks = measure_remarks(measure)
    first = f'<p class="pl-sentence">{escape(_measured(measure))}</p>'
    if not measure.comparable:
        first = html.error_html(length_warning(measure)) + first
    loud = " pl-warn" if measure.model.weights in NOT_KLEIN else ""
    badge = f'<p><span class="pl-chip{loud}">{escape(weights_label(measure.model))}</span></p>'
    folded = (measure_sentence(measure), *(r.text for r in remarks if r.kind is not Kind.LENGTHS), shown.caution)
    details = html.folded_html("Details", html.paragraphs_html(folded))
    first += f"{badge}<p>Any two prompts differ: this is no test.</p>"
    return _laid_out(first, shown.pictures, heads, "", tries, [details])


def _measured(measure: PairMeasure) -> str:
    return (
        f"Between your two prompts the {len(measure.names)} attention heads differ by {measure.rms_percent:.3g}% in "
        "strength."
    )


# --- pieces ------------------------------------------------------------------------------------------------


def _laid_out(first: str, pictures: str, strip: str, heads: str, tries: Tries, folds: Iterable[str]) -> str:
    parts = {"words": first, "pictures": pictures, "strip": strip, "heads": heads, "tries": tries_html(tries)}
    drawn = (f'<div class="pl-verdict-{name}">{part}</div>' for name, part in parts.items() if part)
    return f'<div class="pl-verdict">{"".join(drawn)}<div class="pl-verdict-folds">{"".join(folds)}</div></div>'


def _bare(made: Figure, words: str) -> str:
    """Show a figure with a line of its own: its weights stand once, beside all of them."""
    caption = f"<figcaption>{escape(words)}</figcaption>" if words else ""
    return f"<figure>{html.drawing_html(made)}{caption}</figure>"


def pictures_html(pictures: Pictures, sides: tuple[str, str]) -> str:
    """Show the two expected pictures of a pair side by side."""
    words = "What the model expects before it draws: an average, so blurry."
    return html.pictures_html(zip(sides, pictures.webp, strict=True), "Expected picture", words)


def pictures_caution(model: ModelInfo) -> str:
    """Say what expected pictures are, and whose."""
    return f"{EXPECTED} Weights: {weights_label(model)}. {PICTURES_OF.get(model.weights, '')}".strip()


def tries_html(tries: Tries, least: int = 2) -> str:
    """List what was tried in this visit, each line a button that brings its texts back; nothing for fewer."""
    told = [(i, answer) for i, answer in enumerate(tries) if not answer.failure]
    if len(told) < least:
        return ""
    return f'<h3 class="pl-h">Your tries</h3><ol class="pl-tries">{"".join(_try_lines(told))}</ol>'


def _try_lines(told: Sequence[tuple[int, Answer]]) -> Iterator[str]:
    for i, answer in told:
        a, b = (escape(text) for text in shortened_pair(answer.positive, answer.negative))
        said, measured = _said(answer), answer.result or answer.measure
        not_so = "" if measured.comparable else "<small>not comparable</small>"
        yield (
            f'<li><button type="button" data-name="{i}"><b>{minus(said)}{not_so}</b>'
            f"<span><span>{a}</span><span>{b}</span></span></button></li>"
        )


def _said(answer: Answer) -> str:
    if answer.result:
        return score_words(answer.result.first.score, answer.result.first.measure)
    return f"{answer.measure.rms_percent:.3g}%"
