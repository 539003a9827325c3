"""A run turned into files to take away, and into references. Knows nothing about where they are offered.

`units_csv`, `report_json`, `run_zip`   bytes of a file
`FIGURES`, `standalone_svg`             the figures of a run, and a figure that stands without the page
`cite_text`, `cite_bibtex`              how to cite the software, the run and the published card
`file_name`                             a safe name that says what is in the file
"""

from __future__ import annotations

import io
import json
import re
import textwrap
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd

from plantain import PlantainError, __version__
from plantain.analysis import THRESHOLDS
from plantain.breakdown import by_pair
from plantain.closeup import close_up
from plantain.inference import null_reliability
from plantain.plots import drawn_units, heat_map, null_histogram, score_dots, split_histogram, unit_dots
from plantain.results import Run, RunInfo, save_run
from plantain.tables import UNIT_WORDS, provenance, weights_label, weights_words

RANDOM = "The weights are random: the numbers say nothing about FLUX.2 Klein."
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the same run gives the same bytes


class NoFigureError(PlantainError, ValueError):
    """A figure that this choice of units and scope does not have."""


def file_name(run: str, *parts: str, suffix: str) -> str:
    """Join words to a name that every file system and shell takes: ``plantain-<run>-<units>-<scope>.csv``."""
    words = (re.sub(r"[^A-Za-z0-9._]+", "-", part).strip("-.")[:60].rstrip("-.") for part in (run, *parts))
    return "-".join(["plantain", *(word or "unnamed" for word in words)]) + suffix


# --- data --------------------------------------------------------------------------------------------------


def units_csv(run: Run, units: str = "card", scope: str = "all") -> bytes:
    """Write a row a unit in the model's order, every number in full; empty where a value does not exist.

    Parameters
    ----------
    run : Run
    units, scope : str
        As for `units.magnitudes`.

    Returns
    -------
    bytes
        CSV with the columns of a run's units.csv, and ``scope``, ``rank`` (among the tested units, by falling |t|)
        and ``weights_label``.
    """
    a, inference = run.analysis(units, scope), run.inference(units, scope)
    table, n = a.table, a.table.n_units
    rank = pd.array([pd.NA] * n, dtype="Int64")
    rank[a.ranking] = np.arange(1, len(a.ranking) + 1)
    frame = pd.DataFrame({
        "units": units, "scope": scope, "unit": table.names, "block": table.block, "kind": table.kind,
        "head": pd.array([h if h >= 0 else pd.NA for h in table.head.tolist()], dtype="Int64"),
        "first_channel": table.channel, "n_channels": table.width, "rank": rank,
        "mean_positive": a.magnitudes[0].mean(axis=0), "mean_negative": a.magnitudes[1].mean(axis=0),
        "mean_difference": a.differences.mean(axis=0), "t": a.t, "d_z": a.dz, **inference.columns,
        "weights_label": _cell(weights_label(run.info)),
    })  # fmt: skip
    return frame.to_csv(index=False, lineterminator="\n").encode()


def _cell(text: str) -> str:
    """Keep a stranger's text from being a formula when a spreadsheet opens the file."""
    return f"'{text}" if text[:1] in tuple("=+-@\t\r") else text


def report_json(run: Run, units: str = "card", scope: str = "all") -> bytes:
    """Write what ``report --json`` prints, with the run's weights in words and its provenance."""
    content = {
        **run.summary(units, scope),
        "weights_label": weights_label(run.info),
        "provenance": {**asdict(run.info), "capture_sha256": run.capture_sha256},
    }
    return (json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def run_zip(run: Run, folder: str) -> bytes:
    """Pack a run's folder under the given name; unpacked, `results.load_run` reads it to the bit."""
    out = io.BytesIO()
    with TemporaryDirectory() as temporary, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        root = save_run(run, Path(temporary) / "run")
        for path in sorted(p for p in root.rglob("*") if p.is_file()):
            entry = zipfile.ZipInfo(f"{folder}/{path.relative_to(root).as_posix()}", _ZIP_DATE)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, path.read_bytes())
    return out.getvalue()


# --- figures -----------------------------------------------------------------------------------------------


Draw = Callable[[Run, str, str, str], str]
"""(run, units, scope, a unit's name or nothing) -> SVG"""


def _map_of_units(run: Run, units: str, scope: str, _unit: str) -> str:
    if units == "embedding":
        raise NoFigureError("The prompt embedding has no blocks and no heads to draw. Choose other units.")
    drawn = drawn_units(units)
    title = f"t of {UNIT_WORDS[drawn]}, {run.info.positive} minus {run.info.negative}, scope {scope}."
    return heat_map(run.analysis(drawn, scope), f"{title} {weights_words(run)}")


def _null(row: int) -> Draw:
    def draw(run: Run, units: str, scope: str, _unit: str) -> str:
        a = run.analysis(units, scope)
        what = f"{UNIT_WORDS[units]} over |t| > {THRESHOLDS[row]:g}, scope {scope}"
        return null_histogram(
            a, row, f"{what}, under {len(a.null.signs):,} sign flips, and in the run. {weights_words(run)}"
        )

    return draw


def _halves(run: Run, units: str, scope: str, _unit: str) -> str:
    a = run.analysis(units, scope)
    what = (
        f"Split-half r of t, {UNIT_WORDS[units]}, scope {scope}: above, a value a split of the same pairs (their "
        "spread is no interval); below, of sign-flipped data, medians over splits."
    )
    return split_histogram(a.split_r, null_reliability(a, run.halves), f"{what} {weights_words(run)}")


def _one_unit(run: Run, units: str, scope: str, unit: str) -> str:
    a = run.analysis(units, scope)
    seen = close_up(run, unit or a.table.names[a.ranking[0]], scope)
    what = (
        f"{seen.name}: {len(seen.differences)} differences, scope {seen.scope}. The line is the mean, the band its 95%"
    )
    chosen = ""
    if seen.rank is not None:
        chosen = f" Rank {seen.rank:,} of {seen.n_units:,} by |t|: expect a large one to be smaller elsewhere."
    title = f"{what} interval.{chosen} {weights_words(run)}"
    return unit_dots(seen, run.pairs, (run.info.positive, run.info.negative), title)


def _pairs(run: Run, units: str, scope: str, _unit: str) -> str:
    what = f"How far each pair goes the way of the others, in SDs; {UNIT_WORDS[units]}, scope {scope}."
    return score_dots(by_pair(run, units, scope), f"{what} {weights_words(run)}")


FIGURES: dict[str, Draw] = {
    "map of heads": _map_of_units,
    **{f"null of |t| over {threshold:g}": _null(row) for row, threshold in enumerate(THRESHOLDS)},
    "split halves": _halves,
    "one head": _one_unit,
    "pairs": _pairs,
}
"""Name -> what draws it; raises `NoFigureError` where there is nothing to draw."""

# The theme's light colours; a picture on paper has no theme.
_INK = "#27272a"
LIGHT = {
    "--body-text-color": _INK,
    "--body-text-color-subdued": "#3f3f46",
    "--body-background-fill": "white",
    "--background-fill-primary": "white",
    "--background-fill-secondary": "#fafafa",
    "--border-color-primary": "#e4e4e7",
}
_FONT = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', 'DejaVu Sans', sans-serif"
_SVG = "http://www.w3.org/2000/svg"
_NARROWEST, _MARGIN, _LINE, _LETTER = 300, 12, 15, 5.9  # pixels; of a line of the legend, and of one of its letters


def standalone_svg(svg: str, css: str) -> str:
    """Make a figure that looks the same outside the page: light colours, white ground, its title written below.

    Parameters
    ----------
    svg : str
        A figure of `plots`; its ``aria-label`` says what it shows and which weights made it.
    css : str
        The page's styles; the rules for the figure's classes are taken over, with the theme's variables resolved.

    Returns
    -------
    str
        An SVG document.
    """
    ElementTree.register_namespace("", _SVG)
    drawn = ElementTree.fromstring(_resolved(svg))
    words = drawn.get("aria-label", "")
    width, height = (float(drawn.get(side, "0")) for side in ("width", "height"))
    wide = max(width, _NARROWEST) + 2 * _MARGIN
    lines = textwrap.wrap(words, int((wide - 2 * _MARGIN) / _LETTER), break_on_hyphens=False)
    tall = height + _LINE * len(lines) + 3 * _MARGIN
    root = _element("svg", width=f"{wide:g}", height=f"{tall:g}", viewBox=f"0 0 {wide:g} {tall:g}", role="img")
    root.append(_element("title", words))
    root.append(_element("style", _styles(svg, css)))
    root.append(_element("rect", width="100%", height="100%", fill="#ffffff"))
    figure = _element("g", transform=f"translate({_MARGIN} {_MARGIN})")
    figure.extend(list(drawn))
    root.append(figure)
    for i, line in enumerate(lines):
        y = height + 2 * _MARGIN + _LINE * i + 10
        root.append(_element("text", line, x=f"{_MARGIN}", y=f"{y:g}", fill=_INK, style="font-size: 11px"))
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _element(tag: str, words: str | None = None, **attributes: str) -> ElementTree.Element:
    made = ElementTree.Element(f"{{{_SVG}}}{tag}", attributes)
    made.text = words
    return made


def _styles(svg: str, css: str) -> str:
    """Take over the rules whose selectors are nothing but classes of the figure."""
    used = {name for names in re.findall(r'class="([^"]*)"', svg) for name in names.split()}
    rules = [f"text {{font-family: {_FONT};}}"]
    for selector, body in re.findall(r"([^{}]+)\{([^{}]*)\}", re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL)):
        chosen = [s.strip() for s in selector.split(",") if re.fullmatch(r"(\.[\w-]+)+", s.strip())]
        chosen = [s for s in chosen if set(s[1:].split(".")) <= used - {"pl-svg"}]
        if chosen:
            kept = "; ".join(d.strip() for d in body.split(";") if d.strip() and "inherit" not in d)
            rules.append(f"{', '.join(chosen)} {{{_resolved(kept)}}}")
    return "\n".join(rules)


def _resolved(text: str) -> str:
    """Put the light colours in; one that is not known would draw something else than the page does."""

    def light(found: re.Match[str]) -> str:
        if found[1] not in LIGHT:
            raise ValueError(f"the figure's {found[1]} has no light colour; add it to export.LIGHT.")
        return LIGHT[found[1]]

    return re.sub(r"var\((--[\w-]+)(?:,[^()]*)?\)", light, text)


# --- references --------------------------------------------------------------------------------------------


def cite_text(run: Run, name: str, published: dict[str, Any], url: str | None = None) -> str:
    """Write the references in plain text: software, run, and the published card by itself.

    Parameters
    ----------
    run : Run
    name : str
        The run's, as a reader may see it.
    published : dict
        From `published.load_published`.
    url : str, optional
        Where the page stands for everyone.

    Returns
    -------
    str
        Three paragraphs.
    """
    where = f" {url}" if url else ""
    return "\n\n".join([
        f"plantain, version {__version__}. Software, Apache 2.0.{where}",
        f"Run “{name}” made with plantain {_made_with(run.info)}. {provenance(run)}. {_facts(run)}",
        f"{published['name']}. Model card. {published['source']} (cited separately: its figures are not of this run, "
        "and were not run by this project).",
    ])  # fmt: skip


def cite_bibtex(run: Run, name: str, published: dict[str, Any], url: str | None = None) -> str:
    """Write the same references as BibTeX entries; parameters as for `cite_text`."""
    i = run.info
    where = {"url": url} if url else {}
    title = f"Run {name} of plantain: {i.title}, {i.positive} against {i.negative}"
    author, _, card = published["name"].partition("/")
    return "\n\n".join([
        _entry("plantain", title="plantain", note=f"Software, version {__version__}, Apache 2.0", **where),
        _entry(file_name(name, suffix=""), title=title, year=i.date[:4], note=f"{provenance(run)}. {_facts(run)}"),
        _entry(file_name("card", card, suffix=""), author=author, title=card, howpublished="Model card",
               url=published["source"], note="Its figures were not run by this project"),
    ])  # fmt: skip


def _made_with(info: RunInfo) -> str:
    return info.versions.get("plantain", "of an unknown version")


def _facts(run: Run) -> str:
    i = run.info
    facts = f"Model revision: {i.revision or 'none'}. Prompts SHA-256: {i.prompts_sha256}. Date: {i.date}."
    return f"{facts} {RANDOM}" if i.is_random else facts


def _entry(key: str, **fields: str) -> str:
    lines = (f"  {name} = {{{value if name == 'url' else _tex(value)}}},\n" for name, value in fields.items())
    return f"@misc{{{key},\n{''.join(lines)}}}"


_TEX = {"\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
        **{sign: f"\\{sign}" for sign in "&%$#_"}}  # fmt: skip


def _tex(text: str) -> str:
    return "".join(_TEX.get(sign, sign) for sign in text.replace(" · ", "; "))
