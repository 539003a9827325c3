"""A run as files to download, and as references to cite."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from plantain import UsageError, __version__
from plantain.findings.directions import unit_directions
from plantain.findings.pairs import by_pair
from plantain.findings.published import Published, load_published
from plantain.report.answer import COLUMNS, answer
from plantain.report.labels import provenance, subject_words, weights_label
from plantain.report.tables import DIRECTION_COLUMNS, UNIT_COLUMNS
from plantain.runs.analysis import THRESHOLDS
from plantain.runs.attached import attached_files
from plantain.runs.info import NOT_KLEIN, pair_facts
from plantain.runs.io import save_run
from plantain.runs.run import Run
from plantain.runs.units import CARD, Selection

PAIR_FIELDS = {
    **COLUMNS["pairs"],
    "tokens_positive": "tokens of the positive prompt's words",
    "tokens_negative": "tokens of the negative prompt's words",
    **{f"without_over_{t:g}": f"units over |t| > {t:g} when this pair is left out" for t in THRESHOLDS},
}
"""What the columns of `pairs_data` mean."""

DATASET = ("units.parquet", "pairs.parquet", "README.md")
"""The files of `dataset_files`."""

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
    frame = units_data(run, selection)
    label = frame["weights_label"].iloc[0]
    if label.startswith(tuple("=+-@\t\r")):  # a stranger's word is no formula when a spreadsheet opens the file
        frame["weights_label"] = f"'{label}"
    return frame.to_csv(index=False, lineterminator="\n").encode()


def units_data(run: Run, selection: Selection = CARD) -> pd.DataFrame:
    """List all units in the model's order, with the columns of `units_csv`; NaN where a value does not exist."""
    a, inference = run.analysis(selection), run.inference(selection)
    table, n, directed = a.table, a.table.n_units, unit_directions(run, selection)
    rank = pd.array([pd.NA] * n, dtype="Int64")
    rank[a.ranking] = np.arange(1, len(a.ranking) + 1)
    return pd.DataFrame({
        "units": selection.units, "scope": selection.scope, "unit": table.names,
        "block": table.block, "kind": table.kind,
        "head": pd.array([h if h >= 0 else pd.NA for h in table.head.tolist()], dtype="Int64"),
        "first_channel": table.channel, "n_channels": table.width, "rank": rank,
        "mean_positive": a.magnitudes[0].mean(axis=0), "mean_negative": a.magnitudes[1].mean(axis=0),
        "mean_difference": a.differences.mean(axis=0), "t": a.t, "d_z": a.dz, **inference.columns,
        "rms_percent": a.rms_percent, **(directed.columns if directed else {}),
        "weights_label": weights_label(run.info), "settings": run.info.settings_words,
    })  # fmt: skip


def pairs_data(run: Run, selection: Selection = CARD) -> pd.DataFrame:
    """List all pairs: their prompts and tokens, and how they go with the others, as `findings.pairs.by_pair` says."""
    words = list(run.sums.token_scopes).index("words")
    rows = [
        {
            **pair_facts(record.pair), "tokens_positive": int(tokens[0]), "tokens_negative": int(tokens[1]),
            "first_difference": part.first_difference, "n_differing": part.n_differing, "units": selection.units,
            "scope": selection.scope, "score": part.score, "size": part.size,
            **{f"without_over_{t:g}": n for t, n in zip(THRESHOLDS, part.without, strict=True)},
            "weights_label": weights_label(run.info), "settings": run.info.settings_words,
        }
        for record, part, tokens in zip(run.pairs, by_pair(run, selection), run.sums.tokens[:, :, words].T, strict=True)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def dataset_files(run: Run, name: str, selections: Sequence[Selection]) -> dict[str, bytes]:
    """Write a run as a dataset for the Hub, whose viewer shows both tables.

    Parameters
    ----------
    run : Run
    name : str
        The run's, as a reader may see it.
    selections : sequence of Selection
        Kinds of units, one below the other; the pairs' scores are of the first.

    Returns
    -------
    dict of str to bytes
        ``units.parquet`` (a row a unit), ``pairs.parquet`` (a row a pair) and ``README.md``, which says what they are.

    Raises
    ------
    UsageError
        pyarrow is not installed.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise UsageError("a Parquet file needs pyarrow, which is not installed: pip install pyarrow") from error
    tables = {
        "units": pd.concat([units_data(run, of) for of in selections], ignore_index=True),
        "pairs": pairs_data(run, selections[0]),
    }
    files = {
        f"{table}.parquet": frame.to_parquet(None, engine="pyarrow", index=False) for table, frame in tables.items()
    }
    return {**files, "README.md": _dataset_card(run, name, tables).encode()}


def _dataset_card(run: Run, name: str, tables: dict[str, pd.DataFrame]) -> str:
    configs = "".join(f"- config_name: {table}\n  data_files: {table}.parquet\n" for table in tables)
    known = {**UNIT_COLUMNS, **DIRECTION_COLUMNS, **PAIR_FIELDS}
    lines = [f"- {column}: {known[column]}" for frame in tables.values() for column in frame if column in known]
    said = _plain_line(f"{provenance(run)}. {NOT_KLEIN.get(run.info.weights, '')}")
    return (
        f"---\nconfigs:\n{configs}---\n\n# Run {_plain_line(name)} of plantain\n\n{said}\n\n"
        f"`units`: a row a unit, {len(tables['units']):,} in all; filter by its column `units` first, since the kinds "
        f"overlap. `pairs`: a row a pair, {len(tables['pairs']):,} in all.\n\n" + "\n".join(dict.fromkeys(lines)) + "\n"
    )


def _plain_line(text: str) -> str:
    """Write a stranger's words so that markdown and HTML show them as they are."""
    return re.sub(r"([\\`*_{}\[\]<>#|&])", lambda found: f"&#{ord(found[0])};", " ".join(text.split()))


def report_json(run: Run, selection: Selection = CARD) -> bytes:
    """Write what ``report --json --top all`` prints of a run alone: no replication or control beside it."""
    content = answer(run, load_published(), selection, top=None)
    content["provenance"] = content["settings"]  # an earlier name
    return (json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def run_zip(run: Run, folder: str) -> bytes:
    """Pack a run's folder under the given name, with its pictures and interventions.

    Unpacked, `runs.io.load_run` reads it to the bit.
    """
    out = io.BytesIO()
    with TemporaryDirectory() as temporary, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        root = save_run(run, Path(temporary) / "run", attached=attached_files(run))
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
    title = f"Run {name} of plantain: {subject_words(run)}"
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
    return f"{facts} {NOT_KLEIN[i.weights]}" if i.weights in NOT_KLEIN else facts


def _entry(key: str, **fields: str) -> str:
    lines = (f"  {name} = {{{value if name == 'url' else _tex(value)}}},\n" for name, value in fields.items())
    return f"@misc{{{key},\n{''.join(lines)}}}"


_TEX = {"\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
        **{sign: f"\\{sign}" for sign in "&%$#_"}}  # fmt: skip


def _tex(text: str) -> str:
    return "".join(_TEX.get(sign, sign) for sign in text.replace(" · ", "; "))
