"""Load a FLUX.2 Klein pipeline, or build the stand-in. With `stand_in`, the only importer of
diffusers and transformers.

Knows nothing about prompts or statistics. torch, diffusers and transformers are imported on first use, so
that importing this module costs nothing.

`load_pipeline`   a hub repository, a local folder, or ``tiny-random``
`describe`        which weights a pipeline holds: name, revision, kind, fingerprint, dtype, device
`default_model`   Klein where there is a CUDA device, the stand-in otherwise
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from plantain import PlantainError
from plantain.stand_in import WEIGHTS_MARK, build_stand_in

if TYPE_CHECKING:
    import torch
    from diffusers import Flux2KleinPipeline

KLEIN = "black-forest-labs/FLUX.2-klein-base-4B"
STAND_IN = "tiny-random"
PIPELINE_CLASS = "Flux2KleinPipeline"

# Kinds of weights: from the Hub; from a folder without a mark; random in Klein's architecture (the
# untrained control); the tiny stand-in. The last two are random and are never presented as Klein.
WEIGHTS = ("pretrained", "local", "untrained", "stand-in")

# The hidden states of Qwen3 that make up the prompt embedding (the pipeline's default); later layers
# and the LM head take no part in the probe, nor in the fingerprint.
TEXT_ENCODER_LAYERS = 27

# What shapes the computation beside the weights. Named one by one: a library that adds a key with a
# default must not change the fingerprint of an old run.
_TRANSFORMER_KEYS = (
    "patch_size", "in_channels", "num_layers", "num_single_layers", "attention_head_dim",
    "num_attention_heads", "joint_attention_dim", "timestep_guidance_channels", "mlp_ratio",
    "axes_dims_rope", "rope_theta", "eps", "guidance_embeds",
)  # fmt: skip
_TEXT_ENCODER_KEYS = (
    "hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads", "head_dim",
    "hidden_act", "rms_norm_eps", "use_sliding_window", "sliding_window",
)  # fmt: skip


class ModelError(PlantainError, RuntimeError):
    """A model that cannot be loaded; the message says why and what to do."""


@dataclass(frozen=True)
class ModelInfo:
    """What a result must say about the model that made it.

    Attributes
    ----------
    model : str
        Hub id, folder name or ``tiny-random``.
    revision : str or None
        Commit of the hub repository.
    weights : str
        A key of `WEIGHTS`.
    fingerprint : str
        SHA-256 (hex) over configuration, tokenizer and all weights that the probe uses, as they were loaded.
    dtype, device : str
        E.g. ``bfloat16`` and ``NVIDIA H200``.
    """

    model: str
    revision: str | None
    weights: str
    fingerprint: str
    dtype: str
    device: str


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
    """Load a FLUX.2 Klein pipeline, ready to probe.

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
        if wanted is not None:
            pipe.to(dtype=wanted)
    else:
        pipe, revision = _load_saved(model, wanted, revision)
    pipe.set_progress_bar_config(disable=True)
    # The fingerprint is taken before the move: on ZeroGPU the parent cannot read the weights afterwards.
    # A folder goes by its last name: its path is nobody's business once a run is published.
    identity = _identity(pipe, Path(model).resolve().name if Path(model).is_dir() else model, revision)
    pipe.plantain_identity = identity
    return pipe.to(target)


def describe(pipe: Flux2KleinPipeline) -> ModelInfo:
    """Say which model a pipeline holds, and where and in which precision it runs now.

    A pipeline that did not come from `load_pipeline` is fingerprinted here, which reads all its weights. The
    fingerprint is taken once: after changing weights (a LoRA, say), delete ``pipe.plantain_identity``.
    """
    identity = getattr(pipe, "plantain_identity", None)
    if identity is None:
        identity = _identity(pipe, Path(str(pipe.config.get("_name_or_path") or "in memory")).name, None)
        pipe.plantain_identity = identity
    weight = next(pipe.transformer.parameters())
    return ModelInfo(**identity, dtype=str(weight.dtype).removeprefix("torch."), device=_device_name(weight.device))


def software_versions() -> dict[str, str]:
    """Return the versions of the libraries that a result depends on."""
    import diffusers
    import tokenizers
    import torch
    import transformers

    modules = (torch, diffusers, transformers, tokenizers, np)
    versions = {"python": platform.python_version(), **{m.__name__: str(m.__version__) for m in modules}}
    return {**versions, "cuda": torch.version.cuda} if torch.version.cuda else versions


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


def _device_name(device: torch.device) -> str:
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} ({_processor()})"


def _processor() -> str:
    """Name the processor; only Linux tells it without another program."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


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
        pipe = Flux2KleinPipeline.from_pretrained(folder, dtype=dtype, local_files_only=True)
    except Exception as error:  # the libraries raise many kinds for a damaged folder
        raise ModelError(f"{model}: the pipeline's files cannot be loaded ({_first_line(error)}).") from error
    return pipe, revision


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
    from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        # The index first: a wrong repository is refused before gigabytes are fetched.
        index = Path(hf_hub_download(repo_id, "model_index.json", revision=revision))
        _require_klein(index, repo_id)
        folder = Path(Flux2KleinPipeline.download(repo_id, revision=index.parent.name))
    except ModelError:
        raise
    except GatedRepoError as error:
        raise ModelError(f"{repo_id}: access is gated. Accept its terms on the Hub, then `hf auth login`.") from error
    except RepositoryNotFoundError as error:
        raise ModelError(f"{repo_id}: no such model on the Hub (or it is private: `hf auth login`).") from error
    except LocalEntryNotFoundError as error:
        raise ModelError(
            f"{repo_id}: the Hub cannot be reached and the model is not in the local cache. "
            f"Check the network, or use --model {STAND_IN} (random weights)."
        ) from error
    except Exception as error:  # httpx2, OSError and ValueError, depending on where the hub failed
        raise ModelError(f"{repo_id}: the download failed ({_first_line(error)}). Try again.") from error
    return folder, folder.name


def _require_klein(index: Path, model: str) -> None:
    try:
        found = json.loads(index.read_text(encoding="utf-8")).get("_class_name")
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(f"{model}: has no readable model_index.json, so it is no diffusers pipeline.") from error
    if found != PIPELINE_CLASS:
        raise ModelError(f"{model}: holds a {found}, not a {PIPELINE_CLASS}. Choose a FLUX.2 Klein model.")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


# --- identity ----------------------------------------------------------------------------------------------


def _identity(pipe: Flux2KleinPipeline, name: str, revision: str | None) -> dict[str, Any]:
    return {
        "model": name,
        "revision": revision,
        "weights": _weights_kind(pipe, revision),
        "fingerprint": _fingerprint(pipe),
    }


def _weights_kind(pipe: Flux2KleinPipeline, revision: str | None) -> str:
    """Read the kind from the configuration first: a copy of random weights stays known as such."""
    mark = getattr(pipe.text_encoder.config, WEIGHTS_MARK, None)
    if mark in WEIGHTS:
        return mark
    return "local" if revision is None else "pretrained"


def _fingerprint(pipe: Flux2KleinPipeline) -> str:
    digest = hashlib.sha256()
    digest.update(json.dumps(_computation(pipe), sort_keys=True).encode())
    for prefix, module in (("transformer", pipe.transformer), ("text_encoder", pipe.text_encoder)):
        for name, tensor in sorted(module.named_parameters()):
            if prefix == "text_encoder" and not _encoder_uses(name):
                continue
            digest.update(f"{prefix}.{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            digest.update(_raw_bytes(tensor))
    return digest.hexdigest()


def _computation(pipe: Flux2KleinPipeline) -> dict[str, Any]:
    encoder = pipe.text_encoder.config.to_dict()
    return {
        "transformer": {key: pipe.transformer.config.get(key) for key in _TRANSFORMER_KEYS},
        "text_encoder": {key: encoder.get(key) for key in _TEXT_ENCODER_KEYS},
        "rope": encoder.get("rope_parameters"),
        "pixels_per_latent": pipe.vae_scale_factor,
        "tokenizer": _tokenizer_rules(pipe.tokenizer),
        "vocabulary": hashlib.sha256(json.dumps(sorted(pipe.tokenizer.get_vocab().items())).encode()).hexdigest(),
        "chat_template": pipe.tokenizer.chat_template,
    }


def _tokenizer_rules(tokenizer: Any) -> dict[str, Any]:
    """Return what beside the vocabulary decides how a text is cut; libraries write merges in two ways."""
    rules = json.loads(tokenizer.backend_tokenizer.to_str())
    merges = [m if isinstance(m, str) else " ".join(m) for m in rules["model"].get("merges") or []]
    return {
        "merges": hashlib.sha256("\n".join(merges).encode()).hexdigest(),
        "padding": [tokenizer.padding_side, tokenizer.pad_token_id],
        **{step: rules.get(step) for step in ("normalizer", "pre_tokenizer")},
    }


def _encoder_uses(name: str) -> bool:
    layer = re.search(r"layers\.(\d+)\.", name)
    return int(layer[1]) < TEXT_ENCODER_LAYERS if layer else "embed_tokens" in name


def _raw_bytes(tensor: torch.Tensor) -> memoryview:
    import torch

    return memoryview(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
