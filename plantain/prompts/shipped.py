"""Where the files lie that are shipped with the package: prompt sets, saved runs, what was fixed before anyone looked.

In a checkout and on the Space they lie beside the package, where people look for them. An installed package has them
inside, in ``shipped`` (pyproject.toml puts them there).
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]

CHECKOUT = _PACKAGE.parent
"""The folder of the project, where the package was not installed."""

ROOT = _PACKAGE / "shipped" if (_PACKAGE / "shipped").is_dir() else CHECKOUT

PROMPTS = ROOT / "prompts"

RUNS = ROOT / "precomputed"

REGISTRATION = ROOT / "PREREGISTRATION.md"


def find(path: str | Path, folder: Path, ending: str = "") -> Path:
    """Return a path as it is, or what is shipped under that name where nothing lies there.

    Parameters
    ----------
    path : str or Path
        E.g. ``tiny-random`` or ``precomputed/tiny-random``, from whatever folder.
    folder : Path
        `PROMPTS` or `RUNS`.
    ending : str
        May be left out of the name; of what has one, a folder of the name does not count.

    Returns
    -------
    Path
    """
    path = Path(path)
    there = path.is_file() if ending else path.exists()
    if there or path.parent not in (Path(), Path(folder.name)):
        return path
    named = (folder / name for name in (path.name, f"{path.name}{ending}"))
    return next((shipped for shipped in named if path.name and shipped.exists()), path)
