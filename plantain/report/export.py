"""A run as files to download, and as references to cite."""

from __future__ import annotations

import io
import json
import re
import zipfile
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from plantain import __version__
from plantain._files import plain
from plantain.findings.held_out import held_out, told_by_kind
from plantain.findings.published import Published
from plantain.report.labels import provenance, weights_label
from plantain.runs.info import RANDOM
from plantain.runs.io import save_run
from plantain.runs.run import Run
from plantain.runs.units import CARD, Selection

_ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the same run gives the same bytes


def file_name(run: str, *parts: str, suffix: str) -> str:
    """Join words to a name that every file system and shell takes: ``plantain-<run>-<units>-<scope>.csv``."""
    words = (re.sub(r"[^A-Za-z0-9._]+", "-", part).strip("-.")[:60].rstrip("-.") for part in (run, *parts))
    return "-".join(["plantain", *(word or "unnamed" for word in words)]) + suffix


# --- data --------------------------------------------------------------------------------------------------


def units_csv(run: Run, selection: Selection = CARD) -> bytes:
    """Write a row a unit in the model's order, every number in full; empty where a value does not exist.

    Parameters
    ----------
    run : Run
    selection : Selection

    Returns
    -------
    bytes
        CSV with the columns of a run's units.csv, and ``scope``, ``rank`` (among the tested units, by falling |t|)
        and ``weights_label``.
    """
    a, inference = run.analysis(selection), run.inference(selection)
    table, n = a.table, a.table.n_units
    label = weights_label(run.info)
    formula = label.startswith(tuple("=+-@\t\r"))  # a stranger's word is none when a spreadsheet opens the file
    rank = pd.array([pd.NA] * n, dtype="Int64")
    rank[a.ranking] = np.arange(1, len(a.ranking) + 1)
    frame = pd.DataFrame({
        "units": selection.units, "scope": selection.scope, "unit": table.names,
        "block": table.block, "kind": table.kind,
        "head": pd.array([h if h >= 0 else pd.NA for h in table.head.tolist()], dtype="Int64"),
        "first_channel": table.channel, "n_channels": table.width, "rank": rank,
        "mean_positive": a.magnitudes[0].mean(axis=0), "mean_negative": a.magnitudes[1].mean(axis=0),
        "mean_difference": a.differences.mean(axis=0), "t": a.t, "d_z": a.dz, **inference.columns,
        "rms_percent": a.rms_percent,
        "weights_label": f"'{label}" if formula else label, "settings": run.info.settings_words,
    })  # fmt: skip
    return frame.to_csv(index=False, lineterminator="\n").encode()


def report_json(run: Run, selection: Selection = CARD) -> bytes:
    """Write what ``report --json`` prints, with the run's weights in words and its provenance."""
    content = {
        **plain(run.summary(selection)),
        "held_out": plain(held_out(run)),
        "kinds": [plain(part) for part in told_by_kind(run)],
        "weights_label": weights_label(run.info),
        "provenance": {**asdict(run.info), "capture_sha256": run.capture_sha256},
    }
    return (json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def run_zip(run: Run, folder: str) -> bytes:
    """Pack a run's folder under the given name; unpacked, `runs.io.load_run` reads it to the bit."""
    out = io.BytesIO()
    with TemporaryDirectory() as temporary, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        root = save_run(run, Path(temporary) / "run")
        for path in sorted(p for p in root.rglob("*") if p.is_file()):
            entry = zipfile.ZipInfo(f"{folder}/{path.relative_to(root).as_posix()}", _ZIP_DATE)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, path.read_bytes())
    return out.getvalue()


# --- references --------------------------------------------------------------------------------------------


def cite_text(run: Run, name: str, published: Published, url: str | None = None) -> str:
    """Write the references in plain text: software, run, and the published card by itself.

    Parameters
    ----------
    run : Run
    name : str
        The run's, as a reader may see it.
    published : Published
        From `findings.published.load_published`.
    url : str, optional
        Where the page stands for everyone.

    Returns
    -------
    str
        Three paragraphs.
    """
    where, version = f" {url}" if url else "", run.info.versions.get("plantain", "of an unknown version")
    return "\n\n".join([
        f"plantain, version {__version__}. Software, Apache 2.0.{where}",
        f"Run “{name}” made with plantain {version}. {provenance(run)}. {_facts(run)}",
        f"{published.name}. Model card. {published.source} (cited separately: its figures are not of this run, "
        "and were not run by this project).",
    ])  # fmt: skip


def cite_bibtex(run: Run, name: str, published: Published, url: str | None = None) -> str:
    """Write the same references as BibTeX entries; parameters as for `cite_text`."""
    i = run.info
    where = {"url": url} if url else {}
    title = f"Run {name} of plantain: {i.title}, {i.positive} against {i.negative}"
    author, _, card = published.name.partition("/")
    return "\n\n".join([
        _entry("plantain", title="plantain", note=f"Software, version {__version__}, Apache 2.0", **where),
        _entry(file_name(name, suffix=""), title=title, year=i.date[:4], note=f"{provenance(run)}. {_facts(run)}"),
        _entry(file_name("card", card, suffix=""), author=author, title=card, howpublished="Model card",
               url=published.source, note="Its figures were not run by this project"),
    ])  # fmt: skip


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
