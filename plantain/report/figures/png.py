"""The card's figure as PNG. Cards show no inline SVG; matplotlib brings a font of its own, which a server may lack.

`heads_png`   t of every true head, with the control below
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from plantain.report.figures.svg import NEGATIVE, POSITIVE
from plantain.report.labels import weights_label
from plantain.runs.run import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage


_WIDTH, _ROW, _DPI = 8.0, 0.2, 150  # inches, of the figure and of a block's row


def heads_png(run: Run, control: Run | None) -> bytes:
    """Draw t of every true head, a row a block; the same runs give the same bytes under one version of matplotlib.

    Parameters
    ----------
    run : Run
    control : Run or None
        Drawn below, on the same scale.

    Returns
    -------
    bytes
        PNG, 1,200 pixels wide, on white.
    """
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # whatever is set up on this machine
        return _png(run, control)


def _png(run: Run, control: Run | None) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    runs = [run, *([control] if control else [])]
    limit = max(5.0, *(float(np.nanmax(np.abs(r.analysis("heads").t), initial=0.0)) for r in runs))
    rows = [len(r.analysis("heads").table.blocks) for r in runs]
    height = sum(_ROW * n + 0.75 for n in rows) + 0.9
    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    places = figure.subplots(len(runs), 1, height_ratios=rows, squeeze=False)[:, 0]
    for axes, shown in zip(places, runs, strict=True):
        image = _draw(axes, shown, limit)
    words = f"paired t: {run.info.negative} ← 0 → {run.info.positive}"
    figure.colorbar(image, ax=list(places), location="bottom", shrink=0.6, aspect=40).set_label(
        _drawable(words), parse_math=False
    )
    out = io.BytesIO()
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def _draw(axes: Axes, run: Run, limit: float) -> AxesImage:
    """Draw a run's heads; a head without t stays grey."""
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("signed", [NEGATIVE, "#ffffff", POSITIVE]).with_extremes(bad="#a1a1aa")
    analysis = run.analysis("heads")
    blocks = analysis.table.blocks
    cells = [analysis.t[analysis.table.block == block] for block in blocks]
    grid = np.full((len(blocks), max(map(len, cells))), np.nan)
    for row, values in enumerate(cells):
        grid[row, : len(values)] = values
    image = axes.imshow(grid, cmap=colours, vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
    axes.set_yticks(range(len(blocks)), blocks, fontsize=7)
    axes.set_xticks(range(0, grid.shape[1], 4))
    axes.tick_params(axis="x", labelsize=7)
    axes.set_xlabel("head", fontsize=8)
    axes.set_title(_drawable(weights_label(run.info)), fontsize=8, wrap=True, parse_math=False)
    return image


def _drawable(words: str) -> str:
    """Replace what matplotlib's own font has no letter for."""
    from matplotlib.font_manager import findfont
    from matplotlib.ft2font import FT2Font

    known = FT2Font(findfont("DejaVu Sans")).get_charmap()
    return "".join(letter if ord(letter) in known else "?" for letter in words)
