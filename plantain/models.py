"""Load a FLUX.2 Klein pipeline, or build the stand-in, and of it only what the probe runs.

Knows nothing about prompts or statistics. torch, diffusers and transformers are imported on first use, so
that importing this module costs nothing.

`load_pipeline`   a hub repository, a local folder, or ``tiny-random``
`describe`        which weights a pipeline holds: name, revision, kind, fingerprint, dtype, device
`default_model`   Klein where there is a CUDA device, the stand-in otherwise
`hub_errors`      what the Hub may raise, as one error that says what to do
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plantain import PlantainError
from plantain.identity import WEIGHTS, ModelInfo, describe, identify, layers_needed, software_versions
from plantain.stand_in import WEIGHTS_MARK, build_stand_in

if TYPE_CHECKING:
    import torch
    from diffusers import Flux2KleinPipeline
    from transformers import Qwen3Model

__all__ = [
    "KLEIN", "STAND_IN", "WEIGHTS", "ModelError", "ModelInfo", "default_model", "describe", "hub_errors",
    "load_pipeline", "software_versions",
]  # fmt: skip

KLEIN = "black-forest-labs/FLUX.2-klein-base-4B"
STAND_IN = "tiny-random"
PIPELINE_CLASS = "Flux2KleinPipeline"


class ModelError(PlantainError, RuntimeError):
    """A model that cannot be loaded; the message says why and what to do."""


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
    target = _resolve_device(device)
    wanted = _resolve_dtype(dtype)
    if model == STAND_IN:
        pipe, revision = build_stand_in(), None
        pipe.register_modules(text_encoder=_first_layers(pipe.text_encoder.model, layers_needed(pipe)), vae=None)
        if wanted is not None:
            pipe.to(dtype=wanted)
    else:
        pipe, revision = _load_saved(model, wanted, revision)
    pipe.set_progress_bar_config(disable=True)
    # The fingerprint is taken before the move: on ZeroGPU the parent cannot read the weights afterwards.
    # A folder goes by its last name: its path is nobody's business once a run is published.
    identify(pipe, Path(model).resolve().name if Path(model).is_dir() else model, revision)
    return pipe.to(target)


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


# --- saved pipelines ---------------------------------------------------------------------------------------


def _load_saved(model: str, dtype: torch.dtype | None, revision: str | None) -> tuple[Flux2KleinPipeline, str | None]:
    import diffusers
    import torch
    import transformers
    from diffusers import Flux2KleinPipeline

    folder, revision = _locate(model, revision)
    for library in (diffusers, transformers):
        library.utils.logging.disable_progress_bar()  # loading is quick; the download, the slow part, shows its own
    if dtype is None:
        dtype = torch.float32 if _saved_mark(folder) == "stand-in" else torch.bfloat16
    try:
        pipe = Flux2KleinPipeline.from_pretrained(
            folder, text_encoder=None, vae=None, dtype=dtype, local_files_only=True
        )
        encoder = _load_first_layers(folder / "text_encoder", layers_needed(pipe), dtype)
        pixels = _pixels_per_latent(folder, pipe.vae_scale_factor)
    except Exception as error:  # the libraries raise many kinds for a damaged folder
        raise ModelError(f"{model}: the pipeline's files cannot be loaded ({_first_line(error)}).") from error
    pipe.register_modules(text_encoder=encoder)
    pipe.vae_scale_factor = pixels
    return pipe, revision


def _pixels_per_latent(folder: Path, default: int) -> int:
    """Return what the pipeline would take from its VAE, had it been loaded; its default where there is none."""
    if json.loads((folder / "model_index.json").read_text(encoding="utf-8")).get("vae") == [None, None]:
        return default
    try:
        config = json.loads((folder / "vae" / "config.json").read_text(encoding="utf-8"))
        return 2 ** (len(config["block_out_channels"]) - 1)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError("vae/config.json does not say how deep the VAE is") from error


def _load_first_layers(folder: Path, n_layers: int, dtype: torch.dtype) -> Qwen3Model:
    """Read the text encoder's first layers; the files' other tensors stay on the disk."""
    from transformers import Qwen3Config, Qwen3Model

    config = Qwen3Config.from_pretrained(folder, local_files_only=True)
    whole = config.num_hidden_layers
    _cut_config(config, n_layers)
    with _quiet_transformers():  # it would list the layers that are left out
        encoder, found = Qwen3Model.from_pretrained(
            folder, config=config, dtype=dtype, local_files_only=True, output_loading_info=True
        )
    # transformers fills what a file lacks with random numbers. A saved half encoder has no final norm.
    missing = set(found["missing_keys"]) - {"norm.weight"}
    if missing:
        raise ValueError(f"text_encoder: {sorted(missing)[0]} is missing")
    return encoder if whole == n_layers and not found["missing_keys"] else _without_norm(encoder)


def _first_layers(encoder: Qwen3Model, n_layers: int) -> Qwen3Model:
    """Cut a text encoder in memory."""
    _cut_config(encoder.config, n_layers)
    encoder.layers = encoder.layers[:n_layers]
    return _without_norm(encoder)


def _cut_config(config: Any, n_layers: int) -> None:
    if config.num_hidden_layers < n_layers:
        raise ValueError(f"text_encoder: has {config.num_hidden_layers} layers, the prompt embedding takes {n_layers}")
    config.num_hidden_layers = n_layers
    config.layer_types = config.layer_types[:n_layers]


def _without_norm(encoder: Qwen3Model) -> Qwen3Model:
    """Take the final norm off a cut encoder.

    transformers gives the last hidden state after the norm. In the whole encoder the last one that the prompt
    embedding takes is not the last, and so comes as its layer leaves it.
    """
    import torch

    encoder.norm = torch.nn.Identity()
    return encoder


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def _saved_mark(folder: Path) -> str | None:
    try:
        return json.loads((folder / "text_encoder" / "config.json").read_text(encoding="utf-8")).get(WEIGHTS_MARK)
    except (OSError, ValueError):
        return None  # from_pretrained says what is wrong with the folder


def _locate(model: str, revision: str | None) -> tuple[Path, str | None]:
    """Return the folder with the pipeline, downloaded if need be, and the hub's commit."""
    folder = Path(model)
    if folder.is_dir():
        _require_klein(folder / "model_index.json", model)
        return folder, None
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", model) or model.startswith((".", "/")):
        raise ModelError(f"{model}: no such folder. Give a local folder, a Hub id (owner/name) or {STAND_IN}.")
    return _download(model, revision)


def _download(repo_id: str, revision: str | None) -> tuple[Path, str]:
    from diffusers import Flux2KleinPipeline
    from huggingface_hub import hf_hub_download

    with hub_errors(repo_id, f"use --model {STAND_IN} (random weights)"):
        # The index first: a wrong repository is refused before gigabytes are fetched.
        index = Path(hf_hub_download(repo_id, "model_index.json", revision=revision))
        _require_klein(index, repo_id)
        folder = Path(Flux2KleinPipeline.download(repo_id, revision=index.parent.name))
    return folder, folder.name


@contextmanager
def hub_errors(repo_id: str, instead: str) -> Iterator[None]:
    """Turn whatever the Hub raises while something is downloaded into one error that says what to do.

    Parameters
    ----------
    repo_id : str
    instead : str
        What can be done without the Hub.

    Raises
    ------
    ModelError
        Access is gated, there is no such repository, the network is down, or the download failed.
    """
    from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        yield
    except ModelError:
        raise
    except GatedRepoError as error:
        raise ModelError(f"{repo_id}: access is gated. Accept its terms on the Hub, then `hf auth login`.") from error
    except RepositoryNotFoundError as error:
        raise ModelError(f"{repo_id}: no such model on the Hub (or it is private: `hf auth login`).") from error
    except LocalEntryNotFoundError as error:
        raise ModelError(
            f"{repo_id}: the Hub cannot be reached and the model is not in the local cache. "
            f"Check the network, or {instead}."
        ) from error
    except Exception as error:  # httpx2, OSError and ValueError, depending on where the hub failed
        raise ModelError(f"{repo_id}: the download failed ({_first_line(error)}). Try again.") from error


def _require_klein(index: Path, model: str) -> None:
    try:
        found = json.loads(index.read_text(encoding="utf-8")).get("_class_name")
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(f"{model}: has no readable model_index.json, so it is no diffusers pipeline.") from error
    if found != PIPELINE_CLASS:
        raise ModelError(f"{model}: holds a {found}, not a {PIPELINE_CLASS}. Choose a FLUX.2 Klein model.")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
