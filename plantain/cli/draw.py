"""The command ``draw``: both sides of a run's pairs as pictures."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plantain import UsageError
from plantain.cli.options import add_model_options, at_least_one, not_empty, seed_list
from plantain.findings.across_runs.study import Shape, drawing_seconds, known_seconds, passes_of
from plantain.findings.heads import SPEC, chosen_heads
from plantain.findings.told import IMAGE
from plantain.models.drawing import USUAL
from plantain.models.load import LoadedModel, PhasedPipeline, device_name
from plantain.models.picture_book.folder import Drawing
from plantain.models.sources import drawing_of
from plantain.probe.progress import bar
from plantain.report.labels import weights_label
from plantain.report.numbers import counted, duration
from plantain.runs.attached.pictures import DRAWN, EXPECTED, METHODS, PictureEdit
from plantain.runs.io import IMAGES, load_run
from plantain.runs.run import Run
from plantain.runs.units import Selection, unit_table

if TYPE_CHECKING:
    from plantain.probe.pictures.drawing import Job, Request

_SCALES = {"scale": (0.0,), "steer": (1.0,), "patch": (None,), "ablate": (None,)}


def add_commands(commands: Any) -> None:
    """Add ``draw`` to argparse's subparsers."""
    parser = commands.add_parser("draw", help="draw both sides of a run's pairs, with and without edited heads")
    add, text = parser.add_argument, {"type": not_empty}
    add("run", **text, metavar="DIR", help=f"folder of a run; the pictures go into DIR/{IMAGES}")
    add("--model", **text, metavar="M", help="default: the model that made the run; it has to be that model")
    add("--pairs", **text, nargs="+", default=[], metavar="ID", help="of these pairs only")
    size = f"height and width (default: {USUAL.size}; the picture book's 64)"
    add("--size", type=int, metavar="PX", help=size)
    add("--steps", type=at_least_one, metavar="N", help=f"(default: {USUAL.steps}; the picture book's 20)")
    guidance = f"scale of the guidance, 1 for none (default: {USUAL.guidance:g}; the picture book's 2)"
    add("--guidance", type=float, metavar="G", help=guidance)
    add("--seeds", type=seed_list, default=(0,), metavar="N,N,…", help="of the noise (default: 0)")
    expected = "not drawn, but what the model expects at pure noise: the probe's own two passes a pair, decoded"
    add("--expected", action="store_true", help=expected)
    add("--heads", **text, metavar="SPEC", help=f"edit these heads at image tokens as well: {SPEC}")
    method = "patch: the other side's values; scale: times X; steer: X times towards the other side; ablate: the mean"
    add("--method", choices=METHODS, help=f"{method} (default: patch)")
    add("--scale", type=_scales, metavar="X,X,…", help="of scale (default: 0, off) and steer (default: 1)")
    add_model_options(parser)
    parser.set_defaults(command=_draw)


def _scales(text: str) -> tuple[float, ...]:
    """Read numbers with commas between them."""
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = (math.nan,)
    if not all(math.isfinite(one) and abs(one) <= 1000 for one in found):
        raise argparse.ArgumentTypeError("give numbers from -1000 to 1000 with commas between them, as 0,.5,2")
    return found


def _draw(options: argparse.Namespace) -> None:
    # Everything that can be refused is refused before the model loads.
    run = load_run(options.run)
    folder, name = run.folder or Path(options.run), options.model or run.info.model
    edits = _edits(options, run)
    from plantain.probe.pictures.drawing import Request, missing

    own = drawing_of(name) or USUAL
    drawing = Drawing(
        own.size if options.size is None else options.size,
        own.steps if options.steps is None else options.steps,
        own.guidance if options.guidance is None else options.guidance,
    )
    kinds = (EXPECTED,) if options.expected else (DRAWN,)
    request = Request(drawing, options.seeds, tuple(options.pairs), kinds, edits)
    jobs = missing(run, folder, request)
    if not jobs:
        print(f"{folder / IMAGES}: all pictures that were asked for are there.")
        return
    print(_price(run, jobs, request, device_name(options.device)), flush=True)
    model = PhasedPipeline(name, options.device, options.dtype or run.info.dtype)
    draw(run, folder, request, model)


def draw(run: Run, folder: Path, request: Request, model: PhasedPipeline, whole: LoadedModel | None = None) -> None:
    """Draw what is missing of a request into a run's folder, and say how much that was.

    Parameters
    ----------
    run : Run
    folder : Path
        Of the run.
    request : Request
    model : PhasedPipeline
    whole : LoadedModel, optional
        The same with both halves in memory; they are loaded unless given.

    Raises
    ------
    ModelError
        The model has no VAE.
    NotComparableError
        The model is not the run's.
    ProbeError
        The pictures there were drawn otherwise, or cannot be written.
    """
    from plantain.probe.pictures.drawing import draw_pairs

    loaded = whole or model.load_both()
    with model.with_vae(), bar("drawing", "image") as show:
        drawn = draw_pairs(loaded, run, folder, request, show)
    print(f"{folder / IMAGES}: {counted(drawn, 'picture')} drawn now. {weights_label(run.info)}.")


def _edits(options: argparse.Namespace, run: Run) -> tuple[PictureEdit, ...]:
    """Return what is changed, one edit a scale."""
    if options.heads is None:
        if options.method or options.scale:
            raise UsageError(f"--method and --scale go with --heads: {SPEC}.")
        return ()
    method = options.method or "patch"
    if options.scale and _SCALES[method] == (None,):
        raise UsageError(f"--scale goes with --method scale or steer, not with {method}.")
    if method in ("steer", "ablate"):
        run.vectors(Selection("heads", "image"))  # refuses a run without directions
    table = unit_table(run.info.layout, IMAGE)
    heads = tuple(table.names[i] for i in chosen_heads(run, options.heads))
    asked = options.heads.strip()[:1000]
    return tuple(PictureEdit(method, asked, heads, scale) for scale in options.scale or _SCALES[method])


def _price(run: Run, jobs: list[Job], request: Request, device: str) -> str:
    """Say how many pictures are drawn, and about how long that takes."""
    known = known_seconds(Shape(run.info.layout), [run])
    how = request.drawing
    found = drawing_seconds(known, how, device, sum(job.rows * passes_of(how, job.kind) for job in jobs), 2 * len(jobs))
    n = counted(2 * len(jobs), "picture")
    made = (
        f"{how.size} px"
        if request.kinds == (EXPECTED,)
        else f"{how.size} px, {how.steps} steps, guidance {how.guidance:g}"
    )
    if found is None:
        return f"{n} ({made}): how long it takes on {device} is known after the first."
    return f"{n} ({made}): at most about {duration(found.seconds)} on {device}, loading left out ({found.source})."
