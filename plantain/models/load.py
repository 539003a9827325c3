"""Load a FLUX.2 Klein pipeline, or build the stand-in, and of it only what the probe runs.

Knows nothing about prompts or statistics. torch, diffusers and transformers are imported on first use, so
that importing this module costs nothing.

`load_pipeline`   a hub repository, a local folder, or ``tiny-random``
`PhasedPipeline`     the same with one half in memory at a time
`own_device`      a CUDA device for each of several processes
`denoising_schedule`  the times of a pipeline's denoising steps
`describe`        which weights a pipeline holds: name, revision, kind, fingerprint, dtype, device
`default_model`   Klein where there is a CUDA device, the stand-in otherwise
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plantain.models.fingerprint import encoder_facts, identify, layers_needed, transformer_facts
from plantain.models.sources import STAND_IN, ModelError, Saved, StandIn

if TYPE_CHECKING:
    import torch
    from diffusers import Flux2KleinPipeline
    from transformers import Qwen3Model


KLEIN = "black-forest-labs/FLUX.2-klein-base-4B"

_ROOM = 4 * 10**9  # bytes that a pass takes beside the weights


def default_model() -> str:
    """Return Klein's id where torch sees a CUDA device, the stand-in's name otherwise."""
    import torch

    return KLEIN if torch.cuda.is_available() else STAND_IN


def load_pipeline(
    model: str,
    device: str | None = None,
    dtype: str | torch.dtype | None = None,
    revision: str | None = None,
) -> Flux2KleinPipeline:
    """Load a FLUX.2 Klein pipeline, ready to probe: without what a probe never runs.

    That is the text encoder's layers after the last one that the prompt embedding takes, its language-model
    head, and the VAE. So the pipeline encodes prompts and runs the transformer, and cannot make images.

    Parameters
    ----------
    model : str
        A hub id (``owner/name``), a local diffusers folder, or ``tiny-random``.
    device : str, optional
        CUDA, then MPS, then the CPU, unless given.
    dtype : str or torch.dtype, optional
        bfloat16, and float32 for the stand-in, unless given.
    revision : str, optional
        Commit, branch or tag of a hub repository; its newest commit unless given.

    Returns
    -------
    Flux2KleinPipeline
        Its `text_encoder` is a `Qwen3Model` of as many layers as `encode_prompt` reads (27), its `vae` None.

    Raises
    ------
    ModelError
        The model is missing, the hub cannot be reached, the folder is no Klein pipeline, or the device
        or dtype does not exist.
    """
    return PhasedPipeline(model, device, dtype, revision).load_both()


class PhasedPipeline:
    """A model of which one half is in memory at a time: its text encoder or its transformer.

    Parameters
    ----------
    model, device, dtype, revision
        As for `load_pipeline`.

    Attributes
    ----------
    pipe : Flux2KleinPipeline
        The one pipeline that holds now one half, now the other; at first neither.
    name : str
        Of the model. A folder goes by its last name: its path is nobody's business once a run is published.

    Raises
    ------
    ModelError
        As `load_pipeline`.
    """

    def __init__(
        self,
        model: str,
        device: str | None = None,
        dtype: str | torch.dtype | None = None,
        revision: str | None = None,
    ) -> None:
        self.device, wanted = _resolve_device(device), _resolve_dtype(dtype)
        self._source = StandIn(wanted) if model == STAND_IN else Saved(model, wanted, revision)
        self.name = Path(model).resolve().name if Path(model).is_dir() else model
        self.revision = self._source.revision
        self.pipe = self._source.skeleton()
        self.pipe.set_progress_bar_config(disable=True)

    def load_both(self) -> Flux2KleinPipeline:
        """Put both halves in memory, for good."""
        self._hold(text_encoder=self._read_encoder(), transformer=self._source.transformer())
        # The fingerprint is taken before the move: on ZeroGPU the parent cannot read the weights afterwards.
        identify(self.pipe, self.name, self.revision)
        return self.pipe.to(self.device)

    def identified(self) -> Flux2KleinPipeline:
        """Fingerprint both halves, one after the other; the transformer stays."""
        self._empty()
        self._hold(text_encoder=self._read_encoder())
        facts = encoder_facts(self.pipe)
        self._empty()
        self._hold(transformer=self._source.transformer())
        identify(self.pipe, self.name, self.revision, {**facts, **transformer_facts(self.pipe)})
        return self.pipe.to(self.device)

    def load_encoder(self) -> Flux2KleinPipeline:
        """Put the text encoder in the transformer's place, on the device."""
        self._empty()
        self._hold(text_encoder=self._read_encoder())
        return self.pipe.to(self.device)

    def load_transformer(self) -> Flux2KleinPipeline:
        """Put the transformer in the text encoder's place, on the device."""
        self._empty()
        self._hold(transformer=self._source.transformer())
        return self.pipe.to(self.device)

    @contextmanager
    def with_vae(self) -> Iterator[Flux2KleinPipeline]:
        """Lend the pipeline its VAE as well, for pictures; a probe runs without."""
        self.pipe.register_modules(vae=self._source.vae().to(self.device))
        try:
            yield self.pipe
        finally:
            self.pipe.register_modules(vae=None)

    def _read_encoder(self) -> Qwen3Model:
        return self._source.encoder(layers_needed(self.pipe))

    def _hold(self, **half: Any) -> None:
        self.pipe.register_modules(**{"text_encoder": None, "transformer": None, **half})

    def _empty(self) -> None:
        """Let the one half go before the other comes."""
        import torch

        self._hold()
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def fit_together(self) -> bool:
        """Tell whether both halves may be in memory at once without crowding out everything else.

        On a processor one half at a time costs next to nothing, so they have to fit twice over.
        """
        import psutil
        import torch

        needed = self._source.n_bytes()
        if self.device.type == "cuda":
            return needed + _ROOM <= torch.cuda.mem_get_info(self.device)[0]
        return 2 * needed <= psutil.virtual_memory().available


def own_device(device: str | None, index: int) -> str | None:
    """Give one of several processes of a machine a CUDA device of its own, where CUDA is what it would take.

    Parameters
    ----------
    device : str or None
        As for `load_pipeline`.
    index : int
        The process's number on its machine.

    Returns
    -------
    str or None
    """
    import torch

    wants_cuda = device == "cuda" or (device is None and torch.cuda.is_available())
    return f"cuda:{index}" if wants_cuda else device


def _resolve_device(device: str | None) -> torch.device:
    import torch

    if device is None:
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        target = torch.device(device)
        if target.type == "meta":
            raise NotImplementedError("it holds no numbers")
        torch.empty(1, device=target)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ModelError(f"device {device!r} is not available here; try --device cpu.") from error
    return target


def _resolve_dtype(dtype: str | torch.dtype | None) -> torch.dtype | None:
    import torch

    if dtype is None or isinstance(dtype, torch.dtype):
        return dtype
    names = {"bfloat16": torch.bfloat16, "bf16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
    if dtype not in names:
        raise ModelError(f"unknown dtype {dtype!r}; choose one of {', '.join(names)}.")
    return names[dtype]
