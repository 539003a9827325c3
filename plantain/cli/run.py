"""The command ``run``."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plantain import UsageError
from plantain._files import printable
from plantain.cli.options import (
    MODELS,
    add_model_options,
    add_pass_options,
    at_least_one,
    not_empty,
    seed_list,
    time_list,
)
from plantain.models.load import LoadedModel, PhasedPipeline, own_device
from plantain.probe.checkpoint import Checkpoint
from plantain.probe.distributed import Distributed, find_distributed
from plantain.probe.progress import bar
from plantain.prompts.confounds import confounds_of_own_set
from plantain.prompts.overlap import overlap
from plantain.prompts.sets import PromptSet, load_prompt_set
from plantain.report.labels import provenance
from plantain.runs.io import check_target, save_run
from plantain.runs.run import Run
from plantain.runs.words import check_words

if TYPE_CHECKING:
    from plantain.probe.reference import ReferenceSet
    from plantain.probe.runner import Plan


def add_commands(commands: Any) -> None:
    """Add ``run`` to argparse's subparsers."""
    parser = commands.add_parser("run", help="probe a model with a prompt set and save the run")
    add, text = parser.add_argument, {"type": not_empty}
    add("--model", required=True, **text, metavar="M", help=MODELS)
    prompts = "prompt set (TOML, CSV or TSV), e.g. prompts/moral_valence.toml; of several, DIR gets a run each"
    add("--prompts", required=True, **text, nargs="+", metavar="FILE", help=prompts)
    add("--out", required=True, **text, metavar="DIR", help="folder of the run, or of the runs")
    add(
        "--size",
        type=int,
        metavar="PX",
        help="image size (default: the picture book's 64; else 1024 on CUDA, 256 elsewhere)",
    )
    add("--seed", type=int, metavar="N", help="seed of noise, flips and halves (default: 0)")
    seeds = "several seeds of the noise: repeated measures, averaged within a pair (the first is --seed)"
    add("--seeds", type=seed_list, metavar="N,N,…", help=seeds)
    steps = "denoising steps, each a repeated measure (default: 1, pure noise)"
    add("--steps", type=at_least_one, default=1, metavar="N", help=steps)
    masked = "control: keep the padding out of the transformer's attention"
    same = "later times (sigmas below 1) at which both sides see the same picture, of the words that they share"
    cost = "28 passes a pair and 2 a time (default: 1)"
    add("--times", type=time_list, default=(1.0,), metavar="1,T,…", help=f"{same}; {cost}")
    add("--mask-padding", action="store_true", help=masked)
    images = parser.add_mutually_exclusive_group()
    images.add_argument("--reference", **text, metavar="IMAGE", help="reference image of both sides, all pairs")
    folder = "folder with a reference image ID.png for every pair"
    images.add_argument("--reference-set", **text, metavar="DIR", help=folder)
    add_model_options(parser)
    add_pass_options(parser)
    add("--overwrite", action="store_true", help="replace an existing run")
    parser.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> None:
    # Everything that can be refused is refused before the model loads.
    sets = {path: load_prompt_set(path) for path in options.prompts}
    for path, prompt_set in sets.items():
        check_words(prompt_set, options.model, path)
    several = len(options.prompts) > 1
    targets = {path: Path(options.out) / Path(path).stem if several else Path(options.out) for path in sets}
    if len(set(targets.values())) < len(options.prompts):
        raise UsageError("two prompt sets have one file name and would be one run; rename a file")
    for out in targets.values():
        check_target(out, options.overwrite)
    from plantain.probe.reference import check_images, encode_with, find_images

    images = {path: find_images(s.pairs, options.reference, options.reference_set) for path, s in sets.items()}
    for files in images.values():
        check_images(files)
    config, distributed = _config(options), find_distributed(options.device)
    for path, prompt_set in sets.items():  # loading takes a while: say what would make one stop before it
        if distributed.is_main:
            warn_of_words(path, prompt_set)
    if distributed.is_main:
        warn_of_pairs(sets)
    model, whole = load_model(options, distributed)
    for path, prompt_set in sets.items():
        references, out = encode_with(model, images[path]), targets[path]
        run = probe_set(
            prompt_set, out, config, whole or model, distributed, options.batch, references, options.overwrite
        )
        if distributed.is_main:
            print(f"{out}: {provenance(run)}")
            print(f"Look at it: python -m plantain report {shlex.quote(str(out))}")
    if distributed.is_main and several:
        print(f"Compare them: python -m plantain atlas {shlex.join(map(str, targets.values()))}")


def warn_of_words(path: str, prompt_set: PromptSet) -> None:
    """Say on stderr what besides meaning separates the sides of somebody's own set."""
    for warning in confounds_of_own_set(prompt_set):
        print(f"plantain: warning: {printable(f'{path}: {warning}')}", file=sys.stderr)


def warn_of_pairs(sets: dict[str, PromptSet]) -> None:
    """Say on stderr where two sets hold the same pairs, as they are or with their sides exchanged."""
    for (one, here), (other, there) in combinations(sets.items(), 2):
        found = overlap(there.pairs, here.pairs)
        if found.is_whole:
            print(f"plantain: warning: {printable(found.words(other, one))}", file=sys.stderr)


def load_model(options: argparse.Namespace, distributed: Distributed) -> tuple[PhasedPipeline, LoadedModel | None]:
    """Load the model that was asked for: as a whole too, where memory allows and nobody said otherwise."""
    device = own_device(options.device, distributed.local_rank) if distributed.size > 1 else options.device
    model = PhasedPipeline(options.model, device, options.dtype)
    whole = None if options.low_memory or not model.fit_together() else model.load_both()
    return model, whole


def _config(options: argparse.Namespace) -> Any:
    from plantain.probe.runner import ProbeConfig

    if options.seeds and options.seed not in (None, options.seeds[0]):
        raise UsageError("--seed and --seeds contradict each other: the first of --seeds seeds the flips and halves")
    seed = options.seeds[0] if options.seeds else options.seed or 0
    named = {name: getattr(options, name) for name in ("size", "steps", "mask_padding", "directions", "times")}
    return ProbeConfig(seed=seed, seeds=options.seeds or (seed,), **named)


def probe_set(
    prompt_set: PromptSet,
    out: Path,
    config: Any,
    model: LoadedModel | PhasedPipeline,
    distributed: Distributed,
    batch: int | None = None,
    references: ReferenceSet | None = None,
    overwrite: bool = False,
    check: Callable[[Plan], None] = lambda _plan: None,
) -> Run:
    """Probe one prompt set and save its run, from the pairs that are kept.

    Parameters
    ----------
    prompt_set, config, model, distributed, batch, references
        As for `probe.runner.run_probe`.
    out : Path
        Folder of the run.
    overwrite : bool
        Replace an existing run.
    check : callable
        Called with the plan before the first pass; raises where the run must not be made.

    Returns
    -------
    Run
        In every process; the first one saves it.
    """
    from plantain.probe.runner import run_probe

    kept: list[Checkpoint] = []

    def keep(plan: Plan) -> Checkpoint:
        check(plan)
        with distributed.leader_first():  # the others find the folder as the first one left it
            kept.append(Checkpoint(out, plan.settings(), overwrite and distributed.is_main))
        return kept[0]

    shown = distributed.is_main
    with bar("probing", shown=shown) as probing, bar("encoding", shown=shown) as encoding:
        run = run_probe(
            model, prompt_set, config, probing, keep, batch, distributed, references, encoding, as_read=True
        )
    if distributed.is_main:
        save_run(run, out, overwrite)
        kept[0].discard()
    return run
