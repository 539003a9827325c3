"""An atlas in words, as markdown. Pure functions on `atlas.make_atlas`'s values.

`atlas_text`   tables and sentences
"""

from __future__ import annotations

from typing import Any

from plantain.tables import UNIT_WORDS, markdown_table

SIBLINGS = {  # share of units over |t| > 3 on the siblings' own cards, of the same author; not run by this project
    "Physical scale": "about 43%", "Perspective taking": "about 74%", "Self-reference": "about 13%",
    "Post-event": "about 1%",
}  # fmt: skip


def atlas_text(atlas: dict[str, Any]) -> str:
    """Write an atlas for a terminal or a page: what was measured, and what it does not show."""
    parts = [_axes(atlas), _between(atlas), _competition(atlas), _replication(atlas), _selectivity(atlas)]
    return "\n\n".join(part for part in parts if part)


def _axes(atlas: dict[str, Any]) -> str:
    head = [
        "axis",
        "role",
        "sides",
        "|t| > 3",
        "|t| > 5",
        "|d| > 0.8",
        "split-half r",
        "max |t|",
        "size",
        "sibling's card",
    ]
    rows = [
        [
            a["name"], a["role"], f"{a['positive']} / {a['negative']}", _count(a["thresholds"]["3"]),
            _count(a["thresholds"]["5"]), _count(a["large_effect"]), _three(a["split_half"]["median"]),
            f"{a['max_abs_t']:.2f}", "–" if a["size"] is None else f"{a['size']:.2f}%",
            SIBLINGS.get(a["title"], "–") if a["role"] == "sibling" else "–",
        ]
        for a in atlas["axes"]
    ]  # fmt: skip
    sizes = [a["size"] for a in atlas["axes"] if a["size"]]
    said = (
        f"# Atlas of {len(rows)} axes: {atlas['n_units']:,} {UNIT_WORDS[atlas['units']]}, scope "
        f"{atlas['scope']}\n\n{atlas['weights']}\n\n{_table(head, rows)}\n\n"
        "size: RMS of the differences in percent of the magnitude, whichever way they point, median over units. t "
        "grows with how alike the pairs are, not with the size."
    )
    if sizes and max(sizes) > 1.5 * min(sizes):
        said += f" The sets differ in size by a factor of {max(sizes) / min(sizes):.1f}: compare counts with care."
    return said


def _between(atlas: dict[str, Any]) -> str:
    head = ["first", "second", "r of t", "without noise", "95% interval", "top shared", "by chance", "same sign"]
    rows = [
        [
            b["first"], b["second"], _three(b["r"]), _three(b["true_r"]), _interval(b["interval"]),
            f"{b['n_shared']}/{b['n_top']}", "–" if b["n_expected"] is None else f"{b['n_expected']:.1f}",
            str(b["n_same_sign"]),
        ]
        for b in atlas["between"]
    ]  # fmt: skip
    how = (
        "without noise: the correlation of the maps of t, corrected for their split-half reliability (it may exceed 1 "
        "by chance, and does not exist where a map does not agree with itself); its interval is a jackknife over the "
        "pairs. by chance: of tops drawn at random, as if units were independent."
    )
    return f"## Between axes\n\n{_table(head, rows)}\n\n{how}"


def _competition(atlas: dict[str, Any]) -> str:
    found = atlas["competition"]
    if found is None:
        return ""
    against = found["against"]
    rows = [[r["name"], r["role"], f"{r['counts'][0]:,} / {r['counts'][1]:,}", f"{r['p']:.2g}"] for r in against]
    ending = {1: "st", 2: "nd", 3: "rd"}.get(found["rank"], "th")
    rank = (
        f"By its count over |t| > {found['threshold']:g} it stands {found['rank']}{ending} of {found['of']}. (No p of "
        f"the rank: among {found['of'] - 1} others it could not fall below 1/{found['of']}.)"
    )
    how = (
        f"p: one-sided, by permuting which pair belongs to which set ({atlas['n_permutations']:,} times). It tests the "
        "equality of two distributions, their orientation included, not of two counts alone. Exceeds all others: p = "
        f"{found['p_exceeds_all']:.2g}, the largest of these."
    )
    table = _table(["other", "role", "counts", "p"], rows)
    return f"## {atlas['axes'][0]['name']} against the others\n\n{rank}\n\n{table}\n\n{how}"


def _replication(atlas: dict[str, Any]) -> str:
    found = atlas["replication"]
    if found is None:
        return ""
    rows = [[u["unit"], f"{u['t']:.2f}", _two(u["t_again"]), _two(u["d_z"])] for u in found["units"]]
    p = "" if found["p"] is None else f", exact sign-flip p = {found['p']:.2g}"
    said = (
        f"The {len(rows)} units with the largest |t| were chosen, with their signs, on {atlas['axes'][0]['name']}; "
        f"everything else here is measured on {found['name']}. {found['n_same_sign']} of {len(rows)} keep their sign. "
        f"A new pair scores {found['score']:+.2f} SD on them on average, 95% interval "
        f"{_interval(found['interval'])}{p}."
    )
    return f"## On new pairs\n\n{said}\n\n{_table(['unit', 't (chosen by it)', 't on new pairs', 'signed d_z'], rows)}"


def _selectivity(atlas: dict[str, Any]) -> str:
    found = atlas["selectivity"]
    if found is None:
        return ""
    rows = [[u["unit"], _two(u["selectivity"]), "–" if u["p"] is None else f"{u['p']:.2g}"] for u in found["units"]]
    said = (
        f"Signed d_z on {found['on']} minus the mean |d_z| over {', '.join(found['controls'])}. |d_z| is never "
        "negative, so that noise alone lowers this."
    )
    how = (
        "p: against the largest selectivity of all these units where pairs are dealt to the sets at random "
        f"({atlas['n_permutations']:,} times)."
    )
    return f"## Selectivity\n\n{said}\n\n{_table(['unit', 'selectivity', 'family-wise p'], rows)}\n\n{how}"


def _interval(ends: list[float | None]) -> str:
    return "–" if ends[0] is None or ends[1] is None else f"[{ends[0]:.2f}, {ends[1]:.2f}]"


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(markdown_table(head, rows))


def _count(part: dict[str, Any]) -> str:
    return f"{part['count']:,} ({part['percent']:.1f}%)"


def _three(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _two(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
