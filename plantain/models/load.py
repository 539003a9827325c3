"""Load a FLUX.2 Klein pipeline or the picture book, or build the stand-in, and of it only what the probe runs.

torch, diffusers and transformers are imported on first use, so that importing this module costs nothing.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from plantain.models.changes import PARTS, structural_changes
from plantain.models.fingerprint import (
    changed,
    describe,
    encoder_facts,
    facts_of,
    layers_needed,
    located,
    name_of_device,
    pipeline_facts,
    transformer_facts,
)
from plantain.models.info import ModelInfo
from plantain.models.picture_book.folder import PICTURE_BOOK
from plantain.models.sources import ModelError, Saved, StandIn
from plantain.models.stand_in import STAND_IN

if TYPE_CHECKING:
    import torch
    from diffusers import Flux2KleinPipeline
    from transformers import Qwen3Model


KLEIN = "black-forest-labs/FLUX.2-klein-base-4B"

_ROOM = 4 * 10**9  # bytes that a pass takes beside the weights


def default_model() -> str:
    """Return Klein's id where torch sees a CUDA device, the picture book's name otherwise."""
    import torch

    return KLEIN if torch.cuda.is_available() else PICTURE_BOOK


@dataclass(frozen=True)
class LoadedModel:
    """A pipeline, and what a result says about it.

    Attributes
    ----------
    pipe : Flux2KleinPipeline
    info : ModelInfo
        As of the moment when the weights were read: after changing them (a LoRA, say), `identify` the pipeline anew.
    """

    pipe: Flux2KleinPipeline
    info: ModelInfo


_LOADED: weakref.WeakKeyDictionary[Flux2KleinPipeline, dict[str, Any]] = weakref.WeakKeyDictionary()
"""What a fingerprint is made of, of the pipelines that were loaded here, as they were then."""


def identify(pipe: Flux2KleinPipeline) -> LoadedModel:
    """Fingerprint a pipeline with both its halves, which reads all its weights.

    The weights are ``local`` unless they are marked as random or as the practice model's, also where the pipeline was
    loaded from the Hub: somebody may have changed them since. `as_it_is` notices changes.
    """
    return LoadedModel(pipe, describe(pipe))


def as_it_is(model: Flux2KleinPipeline | LoadedModel) -> LoadedModel:
    """Fingerprint a model as it is now, which reads all its weights, and notice what was changed.

    Hooks, other attention processors, fused projections, adapters and other modules are found on any pipeline; changed
    weights, configurations and tokenizers on a `LoadedModel`, and on a pipeline that `load_pipeline` has loaded.

    Returns
    -------
    LoadedModel
        As `identify`'s, or as it was given. A changed model has `info.changes`, and another name and fingerprint than
        the plain one.
    """
    known = isinstance(model, LoadedModel)
    pipe = model.pipe if known else model
    facts = facts_of(pipe)
    found = structural_changes(pipe) + _since_loading(facts, _LOADED.get(pipe, facts))
    info = describe(pipe, facts)
    if known and model.info.fingerprint == info.fingerprint:
        info = model.info
    elif known and not found:
        found = ("weights, configuration or tokenizer changed since it was identified",)
    return LoadedModel(pipe, changed(info, found) if found else info)


def _since_loading(facts: dict[str, Any], before: dict[str, Any]) -> tuple[str, ...]:
    """Name what of a pipeline's facts is not what it was."""
    names = {f"{part}_weights": f"{words}: weights changed since they were loaded" for part, words in PARTS.items()}
    keys = [key for key in facts if facts[key] != before[key]]
    return tuple(names.get(key, f"{key.replace('_', ' ')}: changed since it was loaded") for key in keys)


def load_pipeline(
    model: str,
    device: str | None = None,
    dtype: str | torch.dtype | None = None,
    images: bool = False,
    revision: str | None = None,
) -> Flux2KleinPipeline:
    """Load a FLUX.2 Klein pipeline, ready to probe.

    Its weights are fingerprinted as they are read, so that a run notices if somebody changes them later. What a probe
    never runs stays on the disk: the text encoder's layers after the last one that the prompt embedding takes, its
    language-model head and, unless images are wanted, the VAE.

    Parameters
    ----------
    model : str
        A Hub id (``owner/name``), a local diffusers folder, ``picture-book`` (shipped) or ``tiny-random``.
    device : str, optional
        CUDA, then MPS, then the CPU, unless given.
    dtype : str or torch.dtype, optional
        bfloat16, and float32 for the picture book and the stand-in, unless given.
    images : bool
        Load the VAE as well, so that ``pipe(prompt)`` draws.
    revision : str, optional
        Commit, branch or tag of a Hub repository; its newest commit unless given.

    Returns
    -------
    Flux2KleinPipeline
        Its `text_encoder` is a `Qwen3Model` of as many layers as `encode_prompt` reads (27 for Klein).

    Raises
    ------
    ModelError
        The model is missing, the Hub cannot be reached, the folder is no Klein pipeline, or the device
        or dtype does not exist.

    Examples
    --------
    >>> import plantain
    >>> pipe = plantain.load_pipeline("tiny-random", device="cpu", images=True)
    >>> pipe(prompt="a plantain", height=64, width=64, num_inference_steps=1).images[0].size
    (64, 64)
    """
    pipe = PhasedPipeline(model, device, dtype, revision).assembled(images)
    _LOADED[pipe] = facts_of(pipe)
    return pipe


class PhasedPipeline:
    """A model that is put in memory as a whole, or one half at a time: its text encoder or its transformer.

    Parameters
    ----------
    model, device, dtype, revision
        As for `load_pipeline`.

    Attributes
    ----------
    pipe : Flux2KleinPipeline
        The one pipeline that holds now one half, now the other; at first neither.
    vae_fault : str
        Why `keep_vae` could not keep it; empty unless it was tried.

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
        self.device, wanted = find_device(device), _resolve_dtype(dtype)
        self._source = StandIn(wanted) if model == STAND_IN else Saved(model, wanted, revision)
        self.pipe = self._source.skeleton()
        self.pipe.set_progress_bar_config(disable=True)
        self.vae_fault = ""

    def assembled(self, images: bool = False) -> Flux2KleinPipeline:
        """Put both halves in memory, and the VAE where images are wanted; nothing is fingerprinted."""
        self._hold(text_encoder=self._read_encoder(), transformer=self._source.transformer())
        if images:
            self.pipe.register_modules(vae=self._source.vae())
        return self.pipe.to(self.device)

    def load_both(self) -> LoadedModel:
        """Put both halves in memory, for good, and fingerprint them."""
        self._hold(text_encoder=self._read_encoder(), transformer=self._source.transformer())
        facts = facts_of(self.pipe)  # before the move: on ZeroGPU the parent cannot read the weights afterwards
        _LOADED[self.pipe] = facts
        info = self._source.stated(describe(self.pipe, facts))
        return LoadedModel(self.pipe.to(self.device), located(info, self.pipe))

    def load_in_turn(self) -> LoadedModel:
        """Fingerprint both halves, one after the other; the transformer stays."""
        facts = encoder_facts(self._swap("text_encoder", self._read_encoder))
        pipe = self._swap("transformer", self._source.transformer)
        info = self._source.stated(describe(pipe, {**facts, **transformer_facts(pipe), **pipeline_facts(pipe)}))
        return LoadedModel(pipe.to(self.device), located(info, pipe))

    def load_encoder(self) -> Flux2KleinPipeline:
        """Put the text encoder in the transformer's place, on the device."""
        return self._swap("text_encoder", self._read_encoder).to(self.device)

    def load_transformer(self) -> Flux2KleinPipeline:
        """Put the transformer in the text encoder's place, on the device."""
        return self._swap("transformer", self._source.transformer).to(self.device)

    def keep_vae(self) -> bool:
        """Put the VAE in memory as well, for good; tell whether the model has one that can be read."""
        try:
            vae = self._source.vae()
        except ModelError as error:  # its other parts were read: it can be probed, without pictures
            self.vae_fault = str(error)
            return False
        self.pipe.register_modules(vae=vae.to(self.device))
        return True

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

    def _swap(self, half: str, read: Callable[[], Any]) -> Flux2KleinPipeline:
        """Let the one half go before the other is read."""
        import torch

        self._hold()
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        self._hold(**{half: read()})
        return self.pipe

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


def device_name(device: str | None) -> str:
    """Name the device that a model would be loaded on, as a run does; arguments and errors of `load_pipeline`."""
    return name_of_device(find_device(device))


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


def find_device(device: str | None) -> torch.device:
    """Return the device that a model would be loaded on; arguments and errors of `load_pipeline`."""
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
