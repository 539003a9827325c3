"""The processes that share a run's pairs, started by ``accelerate launch``."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from plantain.probe.tokens import ProbeError


@dataclass(frozen=True)
class Distributed:
    """Processes that do one thing together.

    Attributes
    ----------
    rank, size : int
        This process's number and how many there are.
    local_rank : int
        Its number on its own machine, which is that of its CUDA device.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_main(self) -> bool:
        """Whether this process speaks and writes for all."""
        return self.rank == 0

    def share(self, n: int) -> range:
        """Return which of n things are this process's: every size-th, so that all end at about the same time."""
        return range(self.rank, n, self.size)

    def gather(self, mine: list[Any]) -> list[Any]:
        """Return what all processes have, in every one of them."""
        if self.size == 1:
            return mine
        from accelerate.utils import gather_object

        return gather_object(mine)

    def leader_first(self) -> AbstractContextManager[None]:
        """Let the others in when the first process is through."""
        if self.size == 1:
            return nullcontext()
        from accelerate import PartialState

        return PartialState().main_process_first()


ALONE = Distributed()


def find_distributed(device: str | None) -> Distributed:
    """Join the processes that ``accelerate launch`` started, or be alone.

    Parameters
    ----------
    device : str or None
        ``cpu`` keeps the processes off CUDA devices.

    Returns
    -------
    Distributed

    Raises
    ------
    ProbeError
        The processes did not find one another.
    """
    expected = int(os.environ.get("WORLD_SIZE", "1"))
    if expected == 1:
        return ALONE
    from accelerate import PartialState
    from accelerate.utils import is_cuda_available

    state = PartialState(cpu=device == "cpu" or not is_cuda_available())
    if state.num_processes != expected:  # each would believe to be alone, and all would write one folder
        raise ProbeError(f"{expected} processes were started, but {state.num_processes} came together.")
    return Distributed(state.process_index, state.num_processes, state.local_process_index)
