"""Passes that go wrong, or wait, where a test asks for it: a test writes orders, the app's passes read them.

`Orders`    what a test says, in a folder that is the app's HOME
`install`   called in the app's process, before it starts
`few_pairs` the first pairs of a set, as many as a test asks for: a pass takes as long as most of what is tested
"""

import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

from plantain.probe.tokens import ProbeError
from plantain.prompts.sets import PromptSet


class Orders:
    """What the passes of an app are told to do wrong.

    Parameters
    ----------
    home : Path
        The app's HOME.
    """

    def __init__(self, home: Path) -> None:
        self._file, self._log, self._processes = home / "orders.json", home / "passes", home / "processes"

    def give(self, how: str, after: int = 0) -> None:
        """Order what happens once `after` more pairs have begun.

        ``die`` (the process, once), ``fail`` (words of ours), ``break`` (a fault), ``midway`` (words of ours, with
        all hooks in place), ``memory``, or ``wait`` until a new order comes.
        """
        part = self._file.with_suffix(".part")
        part.write_text(json.dumps({"how": how, "until": self.begun() + after}))
        part.replace(self._file)

    def clear(self) -> None:
        """Let everything pass."""
        self._file.unlink(missing_ok=True)

    def begun(self) -> int:
        """Return how many pairs have begun so far, in all processes; one that waits is among them."""
        return self._log.stat().st_size if self._log.exists() else 0

    def note(self) -> None:
        """Note that a pair begins."""
        with self._processes.open("a") as processes:
            processes.write(f"{os.getpid()}\n")
        with self._log.open("ab") as log:
            log.write(b".")

    def processes(self) -> list[int]:
        """Return in which process each pair began so far."""
        return [int(line) for line in self._processes.read_text().split()] if self._processes.exists() else []

    def due(self) -> str | None:
        """Return what is to happen to the pair that has begun."""
        try:
            order = json.loads(self._file.read_text())
        except FileNotFoundError:
            return None
        return order["how"] if self.begun() > order["until"] else None


def few_pairs(prompt_set: PromptSet) -> PromptSet:
    """Leave as many pairs as the variable `PAIRS` says; all of them where it is not set."""
    return replace(prompt_set, pairs=prompt_set.pairs[: int(os.environ.get("PAIRS") or len(prompt_set.pairs))])


def install() -> None:
    """Put the orders before every pass of this process and its children."""
    import torch
    from diffusers.models.transformers.transformer_flux2 import Flux2SingleTransformerBlock as Block

    from plantain.probe.passes import Passes

    orders, capture, run = Orders(Path.home()), Passes.capture, Passes._run

    def obedient_capture(*args: object) -> object:
        orders.note()
        while (how := orders.due()) == "wait":
            time.sleep(0.02)
        if how == "die":
            orders.clear()
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "fail":
            raise ProbeError("single[3]: NaN or infinite activation")
        if how == "break":
            raise ValueError("words that stay in the log")
        return capture(*args)

    def obedient_run(*args: object) -> object:
        if orders.due() == "memory":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return run(*args)

    def obedient_forward(*args: object, **more: object) -> object:
        if orders.due() == "midway":
            raise ProbeError("single[3]: NaN or infinite activation")
        return block(*args, **more)

    block, Block.forward = Block.forward, obedient_forward
    Passes.capture, Passes._run = obedient_capture, obedient_run
