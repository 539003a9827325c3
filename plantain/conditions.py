"""Under which conditions a prompt goes through the model. Plain data; knows nothing about models.

`Conditions`   image size, seeds of the noise, denoising steps, whether padding is attended
`size_fault`, `seed_fault`   what is wrong with a number that somebody gave, in words
"""

from __future__ import annotations

from dataclasses import dataclass

SIZES = range(64, 2048 + 1, 16)
MOST_REPEATS = 16  # passes of one prompt; every one is kept, 0.5 MB a pair at full size


@dataclass(frozen=True)
class Conditions:
    """What a prompt's numbers depend on beside prompt, model and reference image.

    Attributes
    ----------
    size : int
        Height and width of the image in pixels.
    seeds : tuple of int
        Seeds of the noise, one pass each. Several are repeated measures: a pair's numbers are averaged over them, they
        are never more pairs.
    steps : int
        Denoising steps, guidance 1. Every step is a repeated measure as well; the first is at sigma 1, pure noise.
    mask_padding : bool
        Keep the padding out of the transformer's attention. It is not recorded then, so that scope ``all`` is without
        it.
    """

    size: int
    seeds: tuple[int, ...] = (0,)
    steps: int = 1
    mask_padding: bool = False

    @property
    def n_repeats(self) -> int:
        """Passes of every prompt."""
        return len(self.seeds) * self.steps

    @property
    def repeats(self) -> tuple[str, ...]:
        """Name the repeated measures, in the order in which they are recorded."""
        steps = [f", step {i} of {self.steps}" for i in range(1, self.steps + 1)] if self.steps > 1 else [""]
        return tuple(f"seed {seed}{step}" for seed in self.seeds for step in steps)

    @property
    def words(self) -> str:
        """Say them in words."""
        seeds = f"seed {self.seeds[0]}" if len(self.seeds) == 1 else f"seeds {', '.join(map(str, self.seeds))}"
        steps = f" · {self.steps} steps" if self.steps > 1 else ""
        masked = " · padding masked" if self.mask_padding else ""
        return f"{self.size} px · {seeds}{steps}{masked}"


def size_fault(size: int) -> str:
    """Say why a size cannot be taken; empty where it can."""
    return "" if size in SIZES else f"size {size}: choose a multiple of 16 from {SIZES[0]} to {SIZES[-1]}."


def seed_fault(seed: int) -> str:
    """Say why a seed cannot be taken; empty where it can."""
    good = type(seed) is int and 0 <= seed < 2**63
    return "" if good else f"seed {seed}: choose a whole number from 0 to 2^63 - 1."
