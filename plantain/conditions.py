"""Under which conditions a prompt goes through the model. Plain data; knows nothing about models.

`Conditions`   image size, seeds of the noise, denoising steps, whether padding is attended
"""

from __future__ import annotations

from dataclasses import dataclass

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
