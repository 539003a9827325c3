"""The command ``intervene``."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plantain import __version__
from plantain._files import plain, printable_lines
from plantain.cli.options import MODELS, add_model_options, at_least_one, not_empty
from plantain.cli.report import model_for
from plantain.findings.interventions import (
    TOP,
    Job,
    Plan,
    Question,
    Sets,
    assemble,
    cause,
    plan,
    seconds_a_row,
    usual_redraws,
)
from plantain.models.info import software_versions
from plantain.models.load import LoadedModel, PhasedPipeline, device_name, find_device
from plantain.probe.progress import bar
from plantain.report.interventions import intervention_answer, intervention_text
from plantain.report.numbers import duration
from plantain.runs.attached.interventions import (
    METHODS,
    InterventionInfo,
    Interventions,
    Unfinished,
    read_interventions,
    write_interventions,
)
from plantain.runs.info import NotComparableError, check_same_model
from plantain.runs.io import RunError, load_run
from plantain.runs.run import Run

if TYPE_CHECKING:
    import torch


def add_commands(commands: Any) -> None:
    """Add ``intervene`` to argparse's subparsers."""
    parser = commands.add_parser("intervene", help="change heads in a saved run's pairs, against redrawn heads")
    add, text = parser.add_argument, {"type": not_empty}
    add("run", **text, metavar="DIR", help="folder of a run, which gets the result in DIR/interventions")
    add("--model", **text, metavar="M", help=f"default: the model that made the run; {MODELS}")
    how = "patch from the other side, steer by the other pairs' mean direction, or ablate to the mean (default: patch)"
    add("--method", choices=METHODS, default=METHODS[0], help=how)
    heads = "top (1, 10, 100, up to a quarter of the heads), top:K, or names as single[19].3,joint[2].0 (default: top)"
    add("--heads", **text, default=TOP, metavar="SPEC", help=heads)
    add("--heads-from", **text, metavar="DIR", help="run of other pairs that chooses the heads")
    sets = "redraws of each kind (default: 199 on small models and accelerators, else 19)"
    add("--random-sets", type=at_least_one, metavar="N", help=sets)
    labels = "labels permuted within blocks, over all blocks among heads that write alike, or both (default: both)"
    add("--redraws", choices=("within", "matched", "both"), default="both", help=labels)
    controls = "runs of control contrasts, whose pairs and heads stand beside"
    add("--control-runs", **text, nargs="+", default=[], metavar="DIR", help=controls)
    add("--pairs", **text, nargs="+", default=[], metavar="ID", help="only these pairs: no p of the run")
    add("--no-blocks", action="store_true", help="leave out all heads of each block at once")
    add_model_options(parser)
    add("--batch", type=at_least_one, metavar="N", help="prompts in one pass (default: 1 on a processor, more on CUDA)")
    add("--dry-run", action="store_true", help="say what it takes, and stop")
    add("--overwrite", action="store_true", help="replace a result of other settings")
    add("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(command=_intervene)


def _intervene(options: argparse.Namespace) -> None:
    # Everything that can be refused is refused before the model loads.
    run = load_run(options.run)
    planned = _plan(options, run)
    say = _say_nothing if options.json else print
    if (old := None if options.overwrite else find_result(planned)) is not None:
        say(f"{run.folder}: has this result already.")
        _print(old, run, options.json)
        return
    name, revision = model_for(run, options.model)
    say(_price(planned, planned.most_rows(), options.device, "at most "))
    if options.dry_run:
        return
    from plantain.probe.runner import check_prompts

    model = PhasedPipeline(name, options.device, options.dtype or run.info.dtype, revision)
    for job in planned.jobs:
        check_prompts(model.pipe, job.pair)
    whole = model.load_both() if model.fit_together() else None
    path, found = intervene(planned, model, whole, options.batch, options.overwrite, say)
    say(f"{path}: written.")
    _print(found, run, options.json)


def find_result(planned: Plan) -> Interventions | None:
    """Return what was planned, where the run has it already.

    Raises
    ------
    RunError
        The run has a result of that name and of other settings, or a damaged one.
    """
    run, asked = planned.run, planned.asked
    old = next((each for each in read_interventions(run.folder, run) if each.info.asked.name == asked.name), None)
    if old is not None and not old.info.asked.asks_the_same(asked):
        raise RunError(
            f"{run.folder}: has a result {asked.name} of other settings. Replace it (`intervene … --overwrite`), or "
            "ask it of a copy of the run in another folder."
        )
    return old


def _say_nothing(_words: str) -> None: ...


def _print(found: Interventions, run: Run, as_json: bool) -> None:
    if as_json:
        print(json.dumps(intervention_answer(found, run), allow_nan=False))
    else:
        print(printable_lines(intervention_text(found, run)))


def _plan(options: argparse.Namespace, run: Run) -> Plan:
    accelerated = find_device(options.device).type != "cpu"
    question = Question(
        method=options.method,
        heads=options.heads,
        n_redraws=options.random_sets or usual_redraws(run.info.layout, accelerated),
        redraws=options.redraws,
        blocks=not options.no_blocks,
        pairs=tuple(options.pairs),
    )
    source = None
    if options.heads_from:
        source = Path(options.heads_from).resolve().name, load_run(options.heads_from)
    paths = {Path(folder).resolve(): folder for folder in options.control_runs}
    controls = {path.name: load_run(folder) for path, folder in paths.items()}
    if len(controls) < len(paths):
        raise NotComparableError("two control runs have one name; rename a folder.")
    return plan(run, question, source, controls)


def _price(planned: Plan, rows: int, device: str | None, most: str = "") -> str:
    """Say what goes through the transformer, and about how long it takes where the run knows."""
    run, n = planned.run, planned.asked.n_redraws
    words = (
        f"{planned.asked.method}: {most}{rows:,} prompts go through the transformer, of {len(planned.jobs)} pairs with "
        f"{n} redraws of each kind; the smallest p is {1 / (1 + n):.2g}."
    )
    seconds = rows * seconds_a_row(run)
    if not seconds or device_name(device) != run.info.device:
        return f"{words} The run does not say how long that takes on this device."
    return f"{words} That takes about {duration(seconds)}, by what the run took."


# --- the passes --------------------------------------------------------------------------------------------


def intervene(
    planned: Plan,
    model: PhasedPipeline,
    whole: LoadedModel | None = None,
    batch: int | None = None,
    overwrite: bool = False,
    say: Callable[[str], None] = print,
) -> tuple[Path, Interventions]:
    """Send all pairs that are not kept through the model, and write the result into the run's folder.

    Parameters
    ----------
    planned : Plan
    model : PhasedPipeline
    whole : LoadedModel, optional
        The same with both halves in memory, where memory allows that.
    batch : int, optional
        Prompts in one pass.
    overwrite : bool
        Replace a result, and kept pairs, of other settings.
    say : callable
        Is told the price, once it is known which sets are equal.

    Returns
    -------
    path, found : Path, Interventions
        The result's JSON file, and the result.

    Raises
    ------
    NotComparableError
        The model is not the run's, or the sides of no pair differ.
    RunError
        Pairs of other settings are kept, or nothing can be written.
    """
    from plantain.probe.interventions import intervene_pair, write_norms

    jobs, asked, conditions = planned.jobs, planned.asked, planned.run.info.conditions
    info = (whole or model.load_in_turn()).info
    check_same_model(info, planned.run.info)
    versions = {"plantain": __version__, **software_versions()}
    made_by = {key: getattr(info, key) for key in ("fingerprint", "dtype", "device")}
    of_pairs = {key: value for key, value in plain(asked).items() if key != "written"}  # no pair's figures depend on it
    settings = {"asked": of_pairs, **made_by, "versions": versions}
    kept = Unfinished(planned.run.folder, asked.name, settings, overwrite)
    norms = write_norms(model.pipe.transformer, planned.chooser) if asked.written else None
    sets = Sets(planned, norms)
    n_rows = [2 + 2 * len(sets.changes(i)) for i in range(len(jobs))]
    missing = [i for i in range(len(jobs)) if kept.load(i) is None]
    total, done = sum(n_rows[i] for i in missing), 0
    say(_price(planned, total, str(model.device)))
    if not whole:
        _encode(model, kept, jobs, missing)
    with bar("intervening", "prompt") as show:
        for i in missing:
            begin, embeds = time.perf_counter(), None if whole else _embeddings(kept, i)
            changes, before = sets.changes(i), done
            outcome = intervene_pair(
                model.pipe, jobs[i].pair, conditions, asked.method, changes, batch, embeds,
                lambda rows, _all, before=before: show(before + rows, total),
            )  # fmt: skip
            batch = outcome.batch
            kept.save(i, outcome.effect, outcome.shares, time.perf_counter() - begin)
            done += n_rows[i]
            show(done, total)
    outcomes = [kept.load(i) for i in range(len(jobs))]
    if not all(outcomes):
        raise RunError(f"{planned.run.folder}: pairs that were kept are gone. Repeat the command.")
    for run in (planned.run, *planned.controls):
        if not any(effect > 0 for job, (effect, *_) in zip(jobs, outcomes, strict=True) if job.run is run):
            raise NotComparableError(
                f"the two sides of no pair of {run.info.title!r} differ: there is nothing to restore."
            )
    found = Interventions(
        InterventionInfo(
            asked=asked,
            model=info.model,
            revision=info.revision,
            weights=info.weights,
            **made_by,
            title=planned.run.info.title[:1000],
            versions=versions,
            date=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds=round(sum(seconds for *_, seconds in outcomes), 3),
            n_rows=sum(n if effect else 2 for n, (effect, *_) in zip(n_rows, outcomes, strict=True)),
        ),
        assemble(planned, sets, [(effect, shares) for effect, shares, _ in outcomes]),
    )
    path = write_interventions(planned.run.folder, found, plain(cause(found)))
    kept.discard()
    return path, found


def _encode(model: PhasedPipeline, kept: Unfinished, jobs: Sequence[Job], missing: Sequence[int]) -> None:
    """Encode the prompts of all pairs before any pass, where only half of the model fits into memory."""
    from plantain.probe.passes import pack_embeddings, unpack_embeddings

    wanted = [i for i in missing if unpack_embeddings(kept.load_embeddings(i)) is None]
    if wanted:
        pipe = model.load_encoder()
        with bar("encoding") as show:
            for done, i in enumerate(wanted, start=1):
                masked = jobs[i].run.info.mask_padding
                kept.save_embeddings(i, pack_embeddings(pipe, jobs[i].pair, masked))
                show(done, len(wanted))
        model.load_transformer()


def _embeddings(kept: Unfinished, index: int) -> torch.Tensor:
    from plantain.probe.passes import unpack_embeddings

    found = unpack_embeddings(kept.load_embeddings(index))
    if found is None:
        raise RunError("prompt embeddings that were kept are gone. Repeat the command.")
    return found[0]
