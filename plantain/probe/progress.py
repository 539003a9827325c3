"""Progress on a terminal, by tqdm."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any


@contextmanager
def bar(name: str, unit: str = "pair", shown: bool = True) -> Iterator[Callable[[int, int], None]]:
    """Show progress once something is under way; gone at the end, so that an error stays the only line.

    Parameters
    ----------
    name : str
        What is done.
    unit : str
        What is counted; ``B`` for bytes.
    shown : bool
        Of several processes only one shows a bar.

    Yields
    ------
    callable
        Takes what is done and what there is in all.
    """
    from tqdm import tqdm

    with tqdm(unit=unit, unit_scale=unit == "B", desc=name, delay=0.1, leave=False, disable=not shown) as shown_bar:

        def show(done: int, total: int) -> None:
            shown_bar.total = total
            shown_bar.update(done - shown_bar.n)

        yield show


@contextmanager
def stages() -> Iterator[Callable[[str, int, int], None]]:
    """Show the progress of work in stages, a bar for each; gone at the end.

    Yields
    ------
    callable
        Takes the stage, what is done of it and what there is in all.
    """
    from tqdm import tqdm

    with ExitStack() as opened:
        bars: dict[str, Any] = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in bars:
                opened.close()  # the bar of the stage before
                shown = tqdm(unit="step", desc=stage, total=total, initial=max(0, done - 1), leave=False)
                bars[stage] = opened.enter_context(shown)
            bars[stage].update(done - bars[stage].n)

        yield show
