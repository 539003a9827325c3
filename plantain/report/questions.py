"""The six questions of the project, each answered for one run in a line, with one small figure."""

from __future__ import annotations

from dataclasses import dataclass

from plantain import PlantainError
from plantain.findings.example import Example, shrunk
from plantain.findings.held_out import HeldOut, pair_scores
from plantain.findings.interventions import cause, set_shares
from plantain.findings.roles import known_role
from plantain.findings.told import Told
from plantain.report.figures import small
from plantain.report.figures.svg import Drawing
from plantain.report.interventions import main_intervention, run_interventions, yes_or_no
from plantain.report.numbers import LEVEL, counted, minus, number
from plantain.runs.attached.interventions import FLIPS
from plantain.runs.attached.pictures import DRAWN
from plantain.runs.run import Run
from plantain.runs.units import Selection

PENDING = "Being computed …"

_THUMB = 2 * small.HEIGHT  # pixels of a picture's side, for screens with two to a point


@dataclass(frozen=True)
class Question:
    """One of the six questions.

    Attributes
    ----------
    asked, answer : str
    figure : Drawing or None
        None where there is nothing to draw yet.
    section : str
        Where more is said of it: a section of the evidence, or ``turn`` or ``pair``.
    """

    asked: str
    answer: str
    figure: Drawing | None
    section: str


def questions(run: Run, scope: str, shown: Example, found: HeldOut | None, beside: bool = False) -> list[Question]:
    """Answer the six questions.

    Parameters
    ----------
    run : Run
    scope : str
        Of the map's tokens.
    shown : Example
        The run's, from `findings.example`.
    found : HeldOut or None
        None while it is being computed.
    beside : bool
        Whether it has what stands beside the headline.

    Returns
    -------
    list of Question
        In the project's order. Where the run has no answer, the line says what to do.
    """
    axis = _axis(run, found) if found and beside else (PENDING, None)
    first = (PENDING, None)
    if found:
        first = f"{found.k} of {found.n} pairs.", small.told_dots(found.k, found.n)
    return [
        Question("Is there anything?", *first, "chance"),
        Question("Where?", *_where(run, scope), "head"),
        Question("Is it an axis of its own?", *axis, "axis"),
        Question("Does it matter?", *_cause(run), "turn"),
        Question("What does it look like?", *_look(shown), "pairs"),
        Question("And yours?", "Write two prompts.", small.needle(pair_scores(run).tolist()), "pair"),
    ]


def _where(run: Run, scope: str) -> tuple[str, Drawing]:
    analysis = run.analysis(Selection("heads", scope))
    if not len(analysis.ranking):
        return "No head differs.", small.tiny_map(analysis)
    top = analysis.ranking[0]
    return f"Most in {analysis.table.names[top]}.", small.tiny_map(analysis)


def _axis(run: Run, found: HeldOut) -> tuple[str, Drawing | None]:
    if known_role(run.info.prompts_sha256, run.info.role) != "axis":
        return "Choose a run of the axis.", None
    again, controls = found.replication, [told for told in found.controls if told.cosine is not None]
    said = [f"New pairs: {again.k} of {again.n}{_cosine(again)}"] if again else []
    if controls:  # a count says little there: what all pairs of a set have in common is told in all of them
        nearest = max(controls, key=lambda told: abs(told.cosine))
        said.append(f"nearest control{_cosine(nearest, again is None or again.cosine is None)}")
    elif found.controls:
        farthest = max(found.controls, key=_from_chance)
        said.append(f"a control's rule: {farthest.k} of {farthest.n} ({farthest.n / 2:g} by chance)")
    if not said:
        return "Run the replication and controls too.", None
    known = again.cosine if again else None
    drawn = small.among(known, [told.cosine for told in controls], (-1.0, 1.1)) if controls or known else None
    line = "; ".join(said)
    return f"{line[0].upper()}{line[1:]}.", drawn


def _cosine(told: Told, named: bool = True) -> str:
    value = minus(number(told.cosine, ".1f"))
    return "" if told.cosine is None else f"{', cosine' * named} {value}"


def _from_chance(told: Told) -> float:
    """Return how far a rule that has no sign of its own is from telling half of the pairs right."""
    return abs(told.k / told.n - 0.5)


def _cause(run: Run) -> tuple[str, Drawing | None]:
    try:
        main = main_intervention(run_interventions(run))
    except PlantainError:
        return "Its interventions cannot be read.", None
    if main is None:
        return "Not tried yet: run plantain intervene.", None
    found = cause(main)
    size, against = found.headline, found.test
    do = "taken away" if found.method == "ablate" else "restored"
    others = "sign-flipped" if against.kind == FLIPS else "random"
    p = "" if against.p is None or found.floor > LEVEL else f" (p = {against.p:.2g})"
    drawn = set_shares(main, f"redraws.{against.kind}")[main.arrays["effect"] > 0, found.sizes.index(size)].mean(axis=0)
    return (
        f"{yes_or_no(found)}{p}: {100 * size.share:.0f}% {do}, {others} {100 * against.median:.0f}%.",
        small.among(size.share, drawn.tolist(), (-0.1, 1.1)),
    )


def _look(shown: Example) -> tuple[str, Drawing | None]:
    if shown.pictures is None:
        return "Run plantain draw on this run.", None
    one, other = (shrunk(packed, _THUMB) for packed in shown.pictures)
    how = "drawn" if shown.kind == DRAWN else "expected"
    return f"{counted(shown.n_pairs, 'pair')}, {how}.", small.two_pictures((one, other))
