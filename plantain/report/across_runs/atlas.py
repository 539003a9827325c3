"""An atlas in words: what it comes to, and its tables with what it takes to read them. Nothing is escaped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from plantain.findings.across_runs.atlas import (
    Atlas,
    AxisFacts,
    Between,
    Competition,
    Likeness,
    Replication,
    Selectivity,
    Unique,
)
from plantain.findings.directions import Transfers
from plantain.findings.published import SIDES
from plantain.report.labels import UNIT_WORDS
from plantain.report.numbers import DASH, LEVEL, count, counted, interval, number, percent
from plantain.report.statements import Kind, Statement
from plantain.report.tables import markdown_table
from plantain.runs.info import NOT_KLEIN
from plantain.runs.registration import REGISTRATION

MOST = 0.5  # an axis of its own shares most of it with no rival: the whole interval lies above

NOT_ESTIMABLE = "not estimable"

_Z = 1.645  # one-sided 5%

_NAMED = 4  # rivals in a sentence; the table has all

SIBLINGS = {  # share of units over |t| > 3 on the siblings' own cards, of the same author; not run by this project
    "Physical scale": "about 43%", "Perspective taking": "about 74%", "Self-reference": "about 13%",
    "Post-event": "about 1%",
}  # fmt: skip


@dataclass(frozen=True)
class Part:
    """A table of an atlas.

    Attributes
    ----------
    heading : str
    before, after : tuple of str
        Paragraphs above and below.
    head : list of str
    rows : list of list of str
    """

    heading: str
    before: tuple[str, ...]
    head: list[str]
    rows: list[list[str]]
    after: tuple[str, ...] = ()


def atlas_text(atlas: Atlas) -> str:
    """Write an atlas for a terminal: what was measured, and what it does not show."""
    blocks = []
    for part in atlas_parts(atlas):
        title = f"{'##' if blocks else '#'} {part.heading}"
        blocks += [title, *part.before, markdown_table(part.head, part.rows), *part.after]
    return "\n\n".join(blocks)


def atlas_parts(atlas: Atlas) -> list[Part]:
    """Return the tables of an atlas; the first is that of its axes, and those that it does not have are left out."""
    parts = {
        _competition: atlas.competition, _replication: atlas.replication, _unique: atlas.unique,
        _selectivity: atlas.selectivity, _transfers: atlas.transfers,
    }  # fmt: skip
    return [_axes(atlas), _between(atlas), *(make(atlas, found) for make, found in parts.items() if found)]


# --- what it comes to --------------------------------------------------------------------------------------


def finding(atlas: Atlas, weights: str) -> list[Statement]:
    """Write what an atlas comes to: which signs of an axis it shows, then a statement on each of the three.

    Parameters
    ----------
    atlas : Atlas
    weights : str
        The kind of the runs' weights; those that are never Klein's are named first.

    Notes
    -----
    An axis of its own would move more units than every rival, move the same ones on new pairs, and share most of this
    with no rival. A sign that could not be asked for is not counted.
    """
    found = (atlas.competition, atlas.replication, atlas.unique)
    asked = [
        (*row, said(atlas, part) if part else (None, why))
        for (*row, why, said), part in zip(_QUESTIONS, found, strict=True)
    ]
    answers, axis = [shown for *_, (shown, _) in asked], atlas.axes[0]
    n_shown = answers.count(True)
    words = {True: "yes", False: "not shown", None: "not asked"}
    said = (
        f"“{axis.positive} / {axis.negative}” shows {_COUNTED[n_shown]} signs of an axis "
        f"of its own. {' '.join(f'{sign}: {words[shown]}.' for _, sign, (shown, _) in asked)}"
    )
    found = [Statement(kind, f"{sign}? {words[shown].capitalize()}: {text}") for kind, sign, (shown, text) in asked]
    return [Statement(Kind.FINDING, f"{NOT_KLEIN[weights]} {said}" if weights in NOT_KLEIN else said), *found]


def _rank(atlas: Atlas, found: Competition) -> tuple[bool, str]:
    """Say whether the axis' count stands above all rivals', and in words."""
    above, others, p = found.rank - 1, counted(found.of - 1, "other contrast"), found.p_exceeds_all
    said = f"none of {others} moves as many (largest p against one of them: {p:.2g})"
    if above:
        said = f"{above} of {others} {'moves' if above == 1 else 'move'} as many or more"
    caution = size_caution(atlas)
    return not above and p <= LEVEL, (
        f"{found.against[0].counts[0]:,} units over |t| > {found.threshold:g}, and {said}. This is rank {found.rank} "
        f"of {found.of}.{caution and f' {caution}'}"
    )


def _again(_atlas: Atlas, found: Replication) -> tuple[bool, str]:
    """Say whether chosen units come again on new pairs."""
    low = found.interval[0]
    return low is not None and low > 0, (
        f"of the {len(found.units)} units that its pairs chose, {found.n_same_sign} keep their sign, and "
        f"{found.n_pairs} new pairs score {found.score:+.2f} SD on them (95% interval {interval(found.interval)})."
    )


def _own(atlas: Atlas, found: Unique) -> tuple[bool | None, str]:
    """Say whether most of what the axis and its replication share is its own, and which rival is nearest."""
    shown, said = _share(found)
    return shown, " ".join([said, *_nearest(found.nearest), *_selective(atlas.selectivity)])


def _share(found: Unique) -> tuple[bool | None, str]:
    """Say how much of it is not its rivals'; None where no rival has a map that could take anything out."""
    low, mapped = found.interval[0], [rival.name for rival in found.rivals if rival.has_map]
    weak = [rival.name for rival in found.rivals if rival.is_weak]
    if found.own <= 0 or found.own_p > LEVEL:
        return False, (
            f"what the axis and its replication share is not above zero (sign-flip p = {found.own_p:.2g}): there is "
            "nothing to call its own."
        )
    if found.share is None and low is not None:
        span = " to ".join(f"{100 * end:,.0f}%" for end in found.interval)
        return False, (
            f"how much of what the axis and its replication share is not what {_named(mapped)} {_verb(mapped)} too is "
            f"{NOT_ESTIMABLE}: its 95% interval, {span}, holds all that a share can be."
        )
    if found.share is None:
        return None, (
            f"no sibling or control has a map of its own (sign-flip p ≤ {LEVEL:g}), so that there is nothing to take "
            "out of what the axis and its replication share."
        )
    share = percent(found.share, found.interval)
    said = f"of what the axis and its replication share, {share} is not what {_named(mapped)} {_verb(mapped)} too"
    if low is None:
        return False, f"{said}; its interval does not exist."
    if low <= 0:
        return False, f"{said}: the interval is not above 0, so that none of it need be its own."
    if found.z <= _Z:
        return False, f"{said}, but what is left is not surely above zero (z = {found.z:.1f})."
    if low <= MOST:
        return False, f"{said}: some of it is its own, but not surely most of it."
    if weak:
        return False, (
            f"{said}, but {_named(weak)} may share more: not independent of the axis, with a map too weak to be taken "
            "out in full."
        )
    return True, f"{said}."


def _verb(names: list[str]) -> str:
    return "shares" if len(names) == 1 else "share"


def _named(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def _nearest(rival: Likeness | None) -> Iterator[str]:
    if rival is not None:
        yield (
            f"Nearest rival: {rival.name}, true r = {number(rival.true_r)} {interval(rival.interval)}, uncentred "
            f"{number(rival.uncentred, missing=NOT_ESTIMABLE)}."
        )


def _selective(found: Selectivity | None) -> Iterator[str]:
    if found is not None:
        n = sum(unit.p is not None and unit.p <= LEVEL for unit in found.units)
        yield (
            f"Selective against each control by itself (family-wise p ≤ {LEVEL:g}): {n} of the {len(found.units)} "
            "units that its pairs chose."
        )


def share_words(found: Unique) -> str:
    """Write the unique share with its interval; a dash where there is nothing to share, or nothing to take out."""
    if found.own_p > LEVEL or (found.share is None and None in found.interval):
        return DASH
    if found.share is None:
        return NOT_ESTIMABLE
    return percent(found.share, found.interval)


_COUNTED = ("none of the three", "one of the three", "two of the three", "all three")

_QUESTIONS = (
    (Kind.RIVALS, "More units than its rivals", "there is no run of a sibling or a control.", _rank),
    (Kind.REPLICATION, "The same units on new pairs", "there is no run of the replication.", _again),
    (
        Kind.UNIQUE,
        "Its own, and not its rivals'",
        "it needs runs of the replication and of a sibling or a control.",
        _own,
    ),
)
"""Each sign of an axis with its kind, why it may not have been asked, and what answers it."""


# --- tables ------------------------------------------------------------------------------------------------


def _axes(atlas: Atlas) -> Part:
    head = [
        "axis", "role", "sides", "|t| > 3", "|t| > 5", "|d| > 0.8", "split-half r", "max |t|", "size",
        "sibling's card",
    ]  # fmt: skip
    rows = [
        [
            a.name, a.role, f"{a.positive} / {a.negative}", count(a.thresholds[3]),
            count(a.thresholds[5]), count(a.large_effect), number(a.split_half.median, ".3f"),
            number(a.max_abs_t), DASH if a.size is None else f"{a.size:.2f}%", _card(a) or DASH,
        ]
        for a in atlas.axes
    ]  # fmt: skip
    heading = f"Atlas of {len(rows)} axes: {atlas.n_units:,} {UNIT_WORDS[atlas.units]}, scope {atlas.scope}"
    size = (
        "size: RMS of the differences in percent of the magnitude, whichever way they point, median over units. t "
        f"grows with how alike the pairs are, not with the size. {size_caution(atlas)}"
    )
    registered = f"Exploratory: {REGISTRATION.name} fixes no figure of an atlas."
    return Part(heading, (atlas.weights, registered), head, rows, (size.strip(),))


def _card(axis: AxisFacts) -> str:
    return SIBLINGS.get(axis.title, "") if axis.role == "sibling" else ""


def siblings_part(atlas: Atlas, published: float) -> Part | None:
    """Set the axis and its siblings beside their cards' percentages; None for what the cards did not count or ask.

    Parameters
    ----------
    atlas : Atlas
    published : float
        The axis' own share of units over |t| > 3 on its card, in percent.
    """
    asked = atlas.axes[0].positive, atlas.axes[0].negative
    if (atlas.units, atlas.scope) != ("card", "all") or asked != SIDES:
        return None
    cards = [f"{published:.1f}%", *map(_card, atlas.axes[1:])]
    rows = [
        [a.name, f"{a.thresholds[3].percent:.1f}%", card] for a, card in zip(atlas.axes, cards, strict=True) if card
    ]
    after = (
        "The cards' figures are of Klein's real weights and of the author's own pairs, which this project does not "
        "have. They were not run here.",
    )
    return Part("Beside the published cards", (), ["axis", "|t| > 3 here", "|t| > 3, card"], rows, after)


def size_caution(atlas: Atlas) -> str:
    """Say where the axes' sizes or numbers of pairs differ so much that counts mislead; empty elsewhere."""
    sizes, pairs, said = [a.size for a in atlas.axes if a.size], [a.n_pairs for a in atlas.axes], []
    if sizes and max(sizes) > 1.5 * min(sizes):
        said.append(f"The sets differ in size by a factor of {max(sizes) / min(sizes):.1f}: compare counts with care.")
    if min(pairs) < max(pairs):
        said.append(
            f"The sets have {min(pairs)} to {max(pairs)} pairs, and counts over |t| grow with their number: only the p "
            "of a count takes that into account."
        )
    return " ".join(said)


def _between(atlas: Atlas) -> Part:
    head = [
        "first", "second", "r of t", "without noise", "95% interval", "uncentred", "top shared", "by chance",
        "same sign",
    ]  # fmt: skip
    rows = [
        [
            b.first, b.second, number(b.r, ".3f"), *_true_r(b), f"{b.n_shared}/{b.n_top}",
            number(b.n_expected, ".1f"), str(b.n_same_sign),
        ]
        for b in atlas.between
    ]  # fmt: skip
    how = (
        "without noise: the correlation of the maps of t, corrected for their split-half reliability (it may exceed 1 "
        f"by chance); its interval is a jackknife over the pairs. {NOT_ESTIMABLE}: a map does not agree with itself, "
        "the interval holds all that a correlation can be, or the estimate is far from it. uncentred: the same with "
        "what all units share counted in. Where the two differ, read the uncentred one: maps that move other units, "
        "one up and one down, correlate though they have nothing in common. by chance: of tops drawn at random, as if "
        "units were independent."
    )
    return Part("Between axes", (), head, rows, (how,))


def _true_r(found: Between | Likeness) -> list[str]:
    """Write a correlation without noise, its interval, and the uncentred one."""
    ends = (None, None) if found.true_r is None else found.interval
    uncentred = number(found.uncentred, ".3f", NOT_ESTIMABLE)
    return [number(found.true_r, ".3f", NOT_ESTIMABLE), interval(ends), uncentred]


def _competition(atlas: Atlas, found: Competition) -> Part:
    rows = [[r.name, r.role, f"{r.counts[0]:,} / {r.counts[1]:,}", f"{r.p:.2g}"] for r in found.against]
    rank = (
        f"By its count over |t| > {found.threshold:g} it has rank {found.rank} of {found.of}. (No p of the "
        f"rank: among {found.of - 1} others it could not fall below 1/{found.of}.)"
    )
    how = (
        f"p: one-sided, by permuting which pair belongs to which set ({atlas.n_permutations:,} times). It tests the "
        "equality of two distributions, their orientation included, not of two counts alone. Exceeds all others: p = "
        f"{found.p_exceeds_all:.2g}, the largest of these."
    )
    heading = f"{atlas.axes[0].name} against the others"
    return Part(heading, (rank,), ["other", "role", "counts", "p"], rows, (how,))


def _replication(atlas: Atlas, found: Replication) -> Part:
    rows = [[u.unit, f"{u.t:.2f}", number(u.t_again), number(u.d_z)] for u in found.units]
    how = f" ± {found.p_error:.1g}" if found.p_error else ""
    p = f", {'' if how else 'exact '}sign-flip p = {found.p:.2g}{how}"
    said = (
        f"The {len(rows)} units with the largest |t| were chosen, with their signs, on {atlas.axes[0].name}; "
        f"everything else here is measured on {found.name}. {found.n_same_sign} of {len(rows)} keep their sign. "
        f"A new pair scores {found.score:+.2f} SD on them on average, 95% interval {interval(found.interval)}{p}."
    )
    return Part("On new pairs", (said,), ["unit", "t (chosen by it)", "t on new pairs", "signed d_z"], rows)


def _unique(_atlas: Atlas, found: Unique) -> Part:
    rows = [
        [
            rival.name, rival.role, _map(rival), *_true_r(rival),
        ]
        for rival in found.rivals
    ]  # fmt: skip
    said = (
        f"Unique share: {share_words(found)}. The product of the "
        f"mean maps of the axis and of {found.replication} is {found.own:.3g} (squared SDs a unit; sign-flip p = "
        f"{found.own_p:.2g}), of which rivals with a map explain {found.explained:.3g}; what is left is {found.z:.1f} "
        "of its standard errors."
    )
    how = (
        "A rival explains what its mean map, in any strength and direction and together with the others', has in "
        "common with both. map: whether its pairs agree beyond sign flips, else it explains nothing; weak: its map is "
        "not sure, and yet it goes the way of the axis, or against it, so that the share may be too high. The "
        "interval is a jackknife over the pairs of all sets. A share can fall below 0% or exceed 100% by chance. r "
        "(true, of the maps of t) is with the axis."
    )
    head = ["rival", "role", "map", "true r", "95% interval", "uncentred"]
    return Part("Its own, or its rivals'", (said,), head, rows, (how,))


def _transfers(_atlas: Atlas, found: Transfers) -> Part:
    def cell(cosine: float | None, ends: tuple[float, float] | None, k: int, n: int) -> str:
        return f"{number(cosine, '.2f', DASH)}{f' {interval(ends)}' if ends else ''} ({k} of {n})"

    by_row = zip(found.names, found.cosine, found.interval, found.k, strict=True)
    rows = [[name, *map(cell, cosines, ends, counts, found.n)] for name, cosines, ends, counts in by_row]
    said = (
        "The rule of all heads' directions at image tokens, learned on the set of the row and tried, frozen, on the "
        "pairs of the column: its cosine with the pairs' own rule, with the 95% interval of a jackknife over the pairs "
        "of both sets, and how many pairs it tells right."
    )
    how = (
        "On the diagonal each pair is told by the others of its set. Where all pairs of a set share what a rule hardly "
        "goes by, it tells all of them right or all wrong: the cosine says how far it fits. Below 0 the two sets go "
        "opposite ways; a dash stands where one of the two does not tell its own pairs. A cosine above 1 is "
        "chance."
    )
    return Part("From set to set, by directions", (said,), ["learned on", *found.names], rows, (how,))


def _map(rival: Likeness) -> str:
    return ("yes" if rival.has_map else "no") + (", weak" if rival.is_weak else "")


def _selectivity(atlas: Atlas, found: Selectivity) -> Part:
    rows = [[u.unit, *(number(s, "+.2f") for s in u.against), number(u.p, ".2g")] for u in found.units]
    said = (
        f"Signed d_z on {found.on} minus |d_z| on each control. |d_z| is never negative, so that noise alone lowers "
        "this."
    )
    how = (
        "p: the largest over the controls, each against the largest selectivity of all these units where the pairs of "
        f"both sets are dealt at random ({atlas.n_permutations:,} times). A unit that responds more to the axis than "
        "to a control may still be the control's: the unique share sees that, this does not."
    )
    return Part("Selectivity against each control", (said,), ["unit", *found.controls, "largest p"], rows, (how,))
