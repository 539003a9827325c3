"""What a run shows, as JSON values: all that the text of ``report`` has, for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from plantain._files import plain
from plantain.findings.directions import unit_directions
from plantain.findings.held_out import HeldOut, held_out, told_by_kind
from plantain.findings.pairs import by_pair
from plantain.findings.published import Published, comparable
from plantain.findings.unit import profile_unit
from plantain.report import tables
from plantain.report.directions import direction_answer
from plantain.report.interventions import cause_answers
from plantain.report.labels import weights_label
from plantain.report.statements import (
    Statement,
    careful_statements,
    notes,
    pair_statements,
    prompt_warnings,
    unit_statements,
)
from plantain.report.verdict import standing, verdict_lines
from plantain.runs.analysis import THRESHOLDS, blocks, finite
from plantain.runs.inference import columns_of
from plantain.runs.info import pair_facts
from plantain.runs.run import Run
from plantain.runs.scopes import UNITS
from plantain.runs.units import CARD, Selection

COLUMNS = {
    "top_units": tables.UNIT_COLUMNS,
    "pairs": {
        "id": "of the pair; its prompts, category and tokens stand beside it",
        "score": tables.PAIR_COLUMNS["score"],
        "size": tables.PAIR_COLUMNS["size"],
        "without": "units over each |t| when this pair is left out",
        "first_difference": tables.PAIR_COLUMNS["first differing token"],
        "n_differing": tables.PAIR_COLUMNS["differing tokens"],
    },
    "categories": tables.CATEGORY_COLUMNS,
    "pair_kinds": {"kind": "of pairs, as in the prompt set", **tables.CATEGORY_COLUMNS},
}
"""What the columns of an answer's tables mean."""

CAPTIONS = {
    "metrics": tables.METRIC_NOTE,
    "top_units": tables.CHOSEN_NOTE,
    "repeats": tables.REPEATS_NOTE,
    "categories": tables.CATEGORY_NOTE,
    "pair_kinds": tables.KIND_NOTE,
}
"""What the text says below each table, whatever the run."""


def answer(
    run: Run,
    published: Published,
    selection: Selection = CARD,
    headline: HeldOut | None = None,
    top: int | None = tables.N_SHOWN,
    sort: str = "t",
) -> dict[str, Any]:
    """Return all that `run.report_text` writes, with the same parameters.

    Returns
    -------
    dict
        JSON values: the figures of `Run.summary`, ``held_out``, ``directions`` (None where the run keeps magnitudes
        alone), ``interventions`` (those in its folder) and ``kinds``, and what stands around them: ``verdict``,
        ``standing``, ``notes`` (each with its kind), ``settings``, ``top_units``, ``blocks``, ``pairs``,
        ``categories``, ``pair_kinds``, ``repeats``, ``published`` (``comparable``: whether its figures may stand beside
        these), ``columns``, which says what the tables' columns mean, and ``captions``, what to know of each table.
    """
    summary, pairs = run.summary(selection), by_pair(run, selection)
    found = headline or held_out(run)
    said = [
        *notes(run, summary), *prompt_warnings(run), *careful_statements(run, selection),
        *pair_statements(run, pairs, selection),
    ]  # fmt: skip
    of_pairs = zip(run.pairs, pairs, run.sums.tokens.transpose(1, 0, 2).tolist(), strict=True)
    return {
        **plain(summary),
        **_of_run(run, selection, found, top, sort),
        "notes": [_note(statement) for statement in said],
        "top_units": _units(run, selection, top, sort),
        "blocks": [asdict(row) for row in blocks(run.analysis(selection))],
        "pairs": [
            {
                **pair_facts(record.pair), "score": finite(part.score), "size": finite(part.size),
                "without": dict(zip(map(str, THRESHOLDS), part.without, strict=True)),
                "first_difference": part.first_difference, "n_differing": part.n_differing,
                "tokens": [dict(zip(run.sums.token_scopes, side, strict=True)) for side in tokens],
            }
            for record, part, tokens in of_pairs
        ],
        "categories": tables.records(tables.categories_frame(run, selection)),
        "pair_kinds": tables.records(tables.kinds_frame(run, selection)),
        "repeats": tables.records(tables.repeats_frame(run, selection)) if run.repeats else [],
        "published": {**plain(published), "comparable": comparable(run, selection)},
        "columns": {**COLUMNS, "top_units": tables.unit_columns(run)},
        "captions": CAPTIONS,
    }  # fmt: skip


def _of_run(run: Run, selection: Selection, headline: HeldOut, top: int | None, sort: str) -> dict[str, Any]:
    """Return what is said of a run whichever units are listed."""
    return {
        "held_out": plain(headline),
        "directions": direction_answer(run, top),
        "interventions": cause_answers(run),
        "kinds": [plain(part) for part in told_by_kind(run)],
        "title": run.info.title, "positive": run.info.positive, "negative": run.info.negative,
        "verdict": verdict_lines(run, headline),
        "standing": standing(run, selection),
        "weights_label": weights_label(run.info),
        "settings": {**plain(run.info), "capture_sha256": run.capture_sha256},
        "sort": sort,
    }  # fmt: skip


def _units(run: Run, selection: Selection, top: int | None, sort: str) -> list[dict[str, Any]]:
    directed = unit_directions(run, selection)
    frame = tables.top_units_frame(run.analysis(selection), top, None, run.inference(selection), sort, directed)
    return tables.records(frame)


def _note(statement: Statement) -> dict[str, str]:
    return {"kind": statement.kind.name.lower(), "text": statement.text}


def selections_of(run: Run, scope: str) -> list[Selection]:
    """Return every kind of units that has a scope in a run."""
    return [Selection(units, scope) for units in UNITS if scope in run.scopes(units)]


def kinds_without(run: Run, scope: str) -> list[str]:
    """Return the kinds of units that have no tokens of a scope in a run."""
    return [units for units in UNITS if scope not in run.scopes(units)]


def answer_of_all(
    run: Run, scope: str, headline: HeldOut, top: int | None = tables.N_SHOWN, sort: str = "t"
) -> dict[str, Any]:
    """Return the figures of every kind of units side by side, with the top units of each.

    Returns
    -------
    dict
        JSON values: ``unit_kinds``, a list of the figures of `Run.summary` with ``top_units`` and ``notes``;
        ``left_out``, the kinds that have no such tokens; and what all have in common.
    """
    return {
        "units": "all", "scope": scope, "n_pairs": len(run.pairs),
        **_of_run(run, Selection("card", scope), headline, top, sort),
        "unit_kinds": [
            {
                **plain(run.summary(of)), "top_units": _units(run, of, top, sort),
                "notes": [_note(s) for s in (*notes(run, run.headline(of)), *careful_statements(run, of))],
            }
            for of in selections_of(run, scope)
        ],
        "left_out": kinds_without(run, scope),
        "columns": {"top_units": tables.unit_columns(run)},
    }  # fmt: skip


# --- one unit ----------------------------------------------------------------------------------------------

_NUMBERS = ("t", "dz", "p", "p_error", "mean", "percent", "rms_percent")


def unit_answer(run: Run, name: str, scope: str = "all") -> dict[str, Any]:
    """Return what one unit shows.

    Parameters
    ----------
    run : Run
    name : str
        As in `units.UnitTable.names`, such as ``single[7] head 3``.
    scope : str
        Where the unit has no tokens of it, ``all`` is taken; the answer says which.

    Returns
    -------
    dict
        JSON values: the fields of `UnitProfile` with a row a pair, ``notes``, ``weights_label``, ``direction`` (the
        fields of `UnitDirection`, None where the run keeps no directions of the unit), and ``corrected`` (the
        columns of `Inference`), None until the statistics of its kind have been computed.

    Raises
    ------
    SelectionError
        The run has no unit of that name.
    """
    found = profile_unit(run, name, scope)
    numbers = {name: finite(getattr(found, name)) for name in _NUMBERS}
    inference = run.inferences.get(Selection(found.units, found.scope))
    pairs = zip(run.pairs, found.magnitudes.T.tolist(), found.differences.tolist(), strict=True)
    return {
        "unit": found.name, "units": found.units, "scope": found.scope, "rank": found.rank, "n_units": found.n_units,
        **numbers, "interval": [finite(end) for end in found.interval],
        "scopes": _finite(found.scopes), "slices": _finite(found.slices),
        "positive": run.info.positive, "negative": run.info.negative,
        "pairs": [
            {"pair": record.pair.id, "positive": sides[0], "negative": sides[1], "difference": difference}
            for record, sides, difference in pairs
        ],
        "direction": found.direction and {
            **{key: getattr(found.direction, key) for key in ("told", "n_pairs", "agreement", "p", "p_fwer")},
            "cosines": found.direction.cosines.tolist(),
        },
        "corrected": inference and {
            column: finite(inference.columns[column][found.index]) for column in columns_of(len(run.pairs))
        },
        "notes": [_note(statement) for statement in unit_statements(run, found)],
        "weights_label": weights_label(run.info), "settings": run.info.settings_words,
    }  # fmt: skip


def _finite(values: dict[str, float]) -> dict[str, float | None]:
    return {name: finite(value) for name, value in values.items()}
