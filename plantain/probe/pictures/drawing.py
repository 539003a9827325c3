"""Both sides of a run's pairs as pictures: drawn or expected, from the same noise, with and without edited heads."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from plantain import __version__
from plantain._files import write_atomic
from plantain._files.pictures import webp
from plantain.models.drawing import draw, text_tokens
from plantain.models.fingerprint import vae_fingerprint
from plantain.models.info import software_versions
from plantain.models.load import LoadedModel
from plantain.models.picture_book.folder import Drawing
from plantain.probe.denoising import denoise, encode, image_tokens
from plantain.probe.edits import Edit, ablate, editing, patch, scale, steer
from plantain.probe.passes import usual_batch
from plantain.probe.pictures.expected import pictures
from plantain.probe.tokens import ProbeError, tokenize
from plantain.prompts.sets import SIDES, PromptPair
from plantain.runs.attached.pictures import (
    DRAWN,
    EXPECTED,
    MOST,
    QUALITY,
    SETTINGS,
    Picture,
    PictureEdit,
    PictureSettings,
    picture_bytes,
    picture_file,
    pictures_there,
    read_pictures,
)
from plantain.runs.info import check_same_model, seed_fault, size_fault
from plantain.runs.io import IMAGES
from plantain.runs.run import Run
from plantain.runs.units import Selection, find_units

SCOPE = "image"
"""The tokens at which heads are edited: those of the image, as in interventions."""

_HEADS = Selection("heads", SCOPE)


@dataclass(frozen=True)
class Request:
    """Which pictures are wanted of a run.

    Attributes
    ----------
    drawing : Drawing
    seeds : tuple of int
        Of the noise; both sides of a pair are drawn from each.
    pairs : tuple of str
        Ids; all pairs unless given.
    kinds : tuple of str
        Of `runs.pictures.KINDS`.
    edits : tuple of PictureEdit
        Drawn beside the pictures without edits, from the same noise.

    Raises
    ------
    ProbeError
        A size, seed, step or guidance that cannot be drawn with.
    """

    drawing: Drawing
    seeds: tuple[int, ...] = (0,)
    pairs: tuple[str, ...] = ()
    kinds: tuple[str, ...] = (DRAWN,)
    edits: tuple[PictureEdit, ...] = ()

    def __post_init__(self) -> None:
        faults = [size_fault(self.drawing.size), *map(seed_fault, self.seeds)]
        if not 1 <= self.drawing.steps <= 1000:
            faults.append(f"steps {self.drawing.steps}: choose a whole number from 1 to 1000.")
        if not 1 <= self.drawing.guidance <= 100:  # NaN is none of them
            faults.append(f"guidance {self.drawing.guidance}: choose a number from 1 (none) to 100.")
        if len(set(self.seeds)) < len(self.seeds):
            faults.append("a seed stands twice; give each once.")
        if len({edit.name for edit in self.edits}) < len(self.edits):
            faults.append("a scale stands twice; give each once.")
        if fault := next(filter(None, faults), ""):
            raise ProbeError(fault)


@dataclass(frozen=True)
class Job:
    """Both sides of one pair from one noise.

    Attributes
    ----------
    number : int
        Of the pair in its run, from 1.
    pair : PromptPair
    seed : int
    kind : str
    edit : PictureEdit or None
    """

    number: int
    pair: PromptPair
    seed: int
    kind: str
    edit: PictureEdit | None

    @property
    def rows(self) -> int:
        """Prompts that go through together: the patched ones beside those that they are patched from."""
        return 4 if self.edit and self.edit.method == "patch" else 2

    def file(self, side: str) -> str:
        """Name one side's file."""
        edit = self.edit.name if self.edit else ""
        return picture_file(self.number, self.pair.id, side, self.seed, self.kind, edit)


def jobs_of(run: Run, request: Request) -> list[Job]:
    """List what a request asks for: pictures without edits first.

    Raises
    ------
    ProbeError
        There is no pair of an id, or the pictures are too many.
    """
    pairs = [(number, record.pair) for number, record in enumerate(run.pairs, 1)]
    ids = {pair.id for _, pair in pairs}
    if unknown := [one for one in request.pairs if one not in ids]:
        raise ProbeError(f"the run has no pair {unknown[0][:60]!r}; it has {', '.join(sorted(ids))[:400]}.")
    jobs = [
        Job(number, pair, seed, kind, edit)
        for kind in sorted(request.kinds, reverse=True)  # what is expected costs next to nothing
        for edit in (None, *request.edits)
        for seed in request.seeds
        for number, pair in pairs
        if not request.pairs or pair.id in request.pairs
    ]
    if 2 * len(jobs) > MOST:
        raise ProbeError(f"{2 * len(jobs):,} pictures are more than the {MOST:,} that a run keeps. Choose fewer pairs.")
    return jobs


def missing(run: Run, folder: Path, request: Request) -> list[Job]:
    """List the jobs of which a picture is not in the run's folder.

    Raises
    ------
    ProbeError
        As `jobs_of`; or the folder's pictures were drawn with other settings, or are somebody's own.
    RunError
        The pictures that are there cannot be read.
    """
    found, jobs = read_pictures(folder, run.info), jobs_of(run, request)
    place = folder / IMAGES
    if found is None:
        if place.exists() and (not place.is_dir() or any(place.iterdir())):
            raise ProbeError(f"{place}: holds something other than pictures that were drawn here. Move it away.")
        return jobs
    wanted = {"size": request.drawing.size, "steps": request.drawing.steps, "guidance": request.drawing.guidance}
    _refuse_others(place, found, wanted)
    known = {edit.name: edit for edit in found.edits}
    for edit in request.edits:
        if known.get(edit.name, edit) != edit:
            raise ProbeError(f"{place}: has pictures {edit.name} of other heads. Move the folder away, and draw anew.")
    there = pictures_there(folder, found)
    for picture in there:
        picture_bytes(folder, picture)
    files = {picture.file for picture in there}
    return [job for job in jobs if not {job.file(side) for side in SIDES} <= files]


def draw_pairs(
    model: LoadedModel,
    run: Run,
    folder: Path,
    request: Request,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> int:
    """Draw both sides of a run's pairs into its folder; a picture that is there is not drawn again.

    Parameters
    ----------
    model : LoadedModel
        The run's, with its VAE.
    run : Run
    folder : Path
        Of the run. ``images/`` in it gets the pictures and their settings; nothing else of it is touched.
    request : Request
    progress : callable, optional
        Told the pictures that are done and those in all.

    Returns
    -------
    int
        How many pictures were drawn now.

    Raises
    ------
    NotComparableError
        The model is not the run's.
    ProbeError
        As `missing`; or the pictures there were drawn otherwise (device, precision, versions), or cannot be written.

    Notes
    -----
    Both sides of a pair begin with the same noise and go through in one batch. A *patched* side has the other side
    beside it, of which it takes the heads' values at every step and in both branches of the guidance. *Steering* adds
    the mean difference of the two sides' vectors over the run's pairs, the drawn one among them, at sigma 1, to the
    negative side, and takes it from the positive one: a positive scale moves each side towards the other. *Ablation*
    puts the mean vector of all prompts there. All edits are at image tokens.
    """
    check_same_model(model.info, run.info)
    jobs, place = missing(run, folder, request), folder / IMAGES
    now = PictureSettings(
        model=model.info.model,
        weights=model.info.weights,
        fingerprint=model.info.fingerprint,
        dtype=model.info.dtype,
        device=model.info.device,
        vae=vae_fingerprint(model.pipe.vae),
        versions={"plantain": __version__, **software_versions()},
        size=request.drawing.size,
        steps=request.drawing.steps,
        guidance=float(request.drawing.guidance),
        seeds=request.seeds,
        edits=request.edits,
    )
    found = read_pictures(folder, run.info)
    if found is not None:
        facts = ("fingerprint", "dtype", "device", "vae", "versions", "size", "steps", "guidance")
        _refuse_others(place, found, {name: getattr(now, name) for name in facts})
        edits = {edit.name: edit for edit in (*found.edits, *request.edits)}
        seeds = dict.fromkeys((*found.seeds, *request.seeds))
        now = replace(found, seeds=tuple(seeds), edits=tuple(edits.values()))
        now = replace(now, pictures=pictures_there(folder, found))
    total = 2 * len(jobs_of(run, request))
    drawn = 0
    progress(total - 2 * len(jobs), total)
    try:
        if jobs:
            place.mkdir(exist_ok=True)
        for batch in _batches(model.pipe, jobs, request.drawing.size):
            for job, sides in zip(batch, drawn_together(model.pipe, run, batch, request.drawing), strict=True):
                there = {picture.file for picture in now.pictures}
                for side, image in zip(SIDES, sides, strict=True):
                    if job.file(side) not in there:
                        now = replace(now, pictures=(*now.pictures, _written(place, job, side, image)))
                        drawn += 1
                write_atomic(place / SETTINGS, now.packed())
                progress(total - 2 * len(jobs) + drawn, total)
    except OSError as error:
        raise ProbeError(f"{place}: cannot be written ({error.strerror}).") from error
    return drawn


def _refuse_others(place: Path, found: PictureSettings, wanted: dict[str, Any]) -> None:
    """Refuse to draw beside pictures that were drawn otherwise."""
    for name, value in wanted.items():
        there = getattr(found, name)
        if there != value:
            words = f"{there!s:.60} there, {value!s:.60} now" if name != "versions" else "of software"
            raise ProbeError(
                f"{place}: has pictures that were drawn otherwise ({name}: {words}). Give their settings, or move the "
                "folder away and draw anew."
            )


def _written(place: Path, job: Job, side: str, image: Any) -> Picture:
    content = webp(image, QUALITY)
    write_atomic(place / job.file(side), content)
    edit = job.edit.name if job.edit else ""
    return Picture(job.file(side), job.pair.id, side, job.seed, job.kind, edit, hashlib.sha256(content).hexdigest())


def _batches(pipe: Any, jobs: Sequence[Job], size: int) -> Iterator[list[Job]]:
    """Put jobs of one kind, seed and edit together; on a processor each stays alone."""
    batch: list[Job] = []
    for job in jobs:
        most = max(1, usual_batch(pipe, size) // job.rows)
        if batch and (len(batch) >= most or (job.kind, job.seed, job.edit) != _like(batch[0])):
            yield batch
            batch = []
        batch.append(job)
    if batch:
        yield batch


def _like(job: Job) -> tuple[str, int, PictureEdit | None]:
    return job.kind, job.seed, job.edit


def drawn_together(pipe: Any, run: Run, jobs: Sequence[Job], drawing: Drawing) -> list[tuple[Any, Any]]:
    """Draw both sides of pairs that are alike in all but their prompts."""
    first = jobs[0]
    times = first.rows // len(SIDES)  # patched prompts follow those that they are patched from
    prompts = [getattr(job.pair, side) for job in jobs for _ in range(times) for side in SIDES]
    edits = [edit for i, job in enumerate(jobs) for edit in edits_of(run, job.edit, i * first.rows)]
    n_text = text_tokens(pipe)
    texts = [tokenize(pipe.tokenizer, prompt, n_text).segments for prompt in prompts]
    with editing(pipe.transformer, edits, texts, image_tokens(pipe, drawing.size)):
        if first.kind == EXPECTED:
            step = next(denoise(pipe, encode(pipe, prompts), drawing.size, first.seed))
            images = pictures(pipe, [step.expected()])
        else:
            images = draw(pipe, prompts, drawing, [first.seed] * len(prompts))
    ends = [(i + 1) * first.rows for i in range(len(jobs))]
    return [(images[end - 2], images[end - 1]) for end in ends]


def edits_of(run: Run, asked: PictureEdit | None, row: int = 0) -> list[Edit]:
    """Return the edits of a pair whose rows in a batch begin at one: positive, negative, and so again for patches."""
    if asked is None:
        return []
    places = find_units(run.info.layout, _HEADS, asked.heads)
    positive, negative = row, row + 1
    if asked.method == "patch":
        return [
            patch(places, negative, scope=SCOPE, rows=row + 2),
            patch(places, positive, scope=SCOPE, rows=row + 3),
        ]
    both = (positive, negative)
    if asked.method == "scale":
        return [scale(places, asked.scale, scope=SCOPE, rows=both)]
    vectors = run.vectors(_HEADS)[:, :, places].astype(np.float64)
    if asked.method == "ablate":
        return [ablate(places, "mean", source=vectors.mean(axis=(0, 1)), scope=SCOPE, rows=both)]
    towards = (vectors[0] - vectors[1]).mean(axis=0)
    return [
        steer(places, -towards, asked.scale, scope=SCOPE, rows=positive),
        steer(places, towards, asked.scale, scope=SCOPE, rows=negative),
    ]
