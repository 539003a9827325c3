"""The one pair that stands for a run where there is room for one, with its two pictures."""

from __future__ import annotations

from dataclasses import dataclass

from plantain._files.pictures import fitted, opened, webp
from plantain.runs.attached.pictures import DRAWN, EXPECTED, PictureSettings, picture_bytes, read_pictures
from plantain.runs.info import PairRecord
from plantain.runs.io import RunError
from plantain.runs.run import Run

SIDE = 384  # pixels: twice what a phone shows of one of two pictures side by side

_SMALL = 60_000  # bytes: such pictures are shown as they are


@dataclass(frozen=True)
class Example:
    """A pair of a run and its pictures.

    Attributes
    ----------
    record : PairRecord
    pictures : tuple of bytes, or None
        WebP, the positive side first; None where the run has none of any pair.
    kind : str
        ``drawn`` or ``expected``; empty without pictures.
    n_pairs : int
        Pairs that have both pictures of this kind.
    """

    record: PairRecord
    pictures: tuple[bytes, bytes] | None = None
    kind: str = ""
    n_pairs: int = 0


def example(run: Run) -> Example:
    """Choose the pair by a rule that looks at no result: the first, in the set's order, that has both pictures.

    Whole drawings come before what the model expects; only pictures without any edit count, from the first seed. A run
    without pictures has its first pair. What cannot be read is as if it were not there: the list of pairs says why.
    """
    try:
        settings = read_pictures(run.folder, run.info) if run.folder else None
        if settings is None:
            return Example(run.pairs[0])
        for kind in (DRAWN, EXPECTED):
            both = _with_both(settings, kind)
            found = [record for record in run.pairs if record.pair.id in both]
            if found:
                files = both[found[0].pair.id]
                pictures = (picture_bytes(run.folder, files["positive"]), picture_bytes(run.folder, files["negative"]))
                return Example(found[0], pictures, kind, len(found))
    except RunError:
        pass
    return Example(run.pairs[0])


def _with_both(settings: PictureSettings, kind: str) -> dict:
    """Return the pictures of one kind by pair and side, of the pairs that have both sides."""
    found: dict = {}
    for picture in settings.pictures:
        if (picture.kind, picture.edit, picture.seed) == (kind, "", settings.seeds[0]):
            found.setdefault(picture.pair, {})[picture.side] = picture
    return {pair: sides for pair, sides in found.items() if len(sides) == 2}


def shrunk(content: bytes, side: int = SIDE) -> bytes:
    """Make a picture (WebP) as small as it is shown; one of few bytes stays."""
    if len(content) <= min(_SMALL, side * side):
        return content
    return webp(fitted(opened(content, ("WEBP",)), side * side))
