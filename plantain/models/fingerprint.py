"""Who a model is: its name, kind, fingerprint, precision and device. Knows nothing about how it was loaded.

torch, diffusers and transformers are imported on use.

`describe`          which weights a pipeline holds
`identify`          the part of it that does not change while the pipeline lives
`transformer_facts`, `encoder_facts`   what the fingerprint holds of each half
`layers_needed`     how many layers of the text encoder take part in the prompt embedding
`vae_fingerprint`   the part that encodes reference images, which a probe without them never loads
`software_versions` the libraries that a result depends on
"""

from __future__ import annotations

import hashlib
import inspect
import json
import platform
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plantain.models.info import WEIGHTS, ModelInfo
from plantain.models.stand_in import WEIGHTS_MARK

if TYPE_CHECKING:
    import torch
    from diffusers import Flux2KleinPipeline


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


def describe(pipe: Flux2KleinPipeline) -> ModelInfo:
    """Say which model a pipeline holds, and where and in which precision it runs now.

    A pipeline that did not come from `load_pipeline` is fingerprinted here, which reads all its weights. The
    fingerprint is taken once: after changing weights (a LoRA, say), delete ``pipe.plantain_identity``.
    """
    identity = getattr(pipe, "plantain_identity", None)
    if identity is None:
        identity = identify(pipe, Path(str(pipe.config.get("_name_or_path") or "in memory")).name, None)
    weight = next((pipe.transformer or pipe.text_encoder).parameters())  # one half may be out of memory
    return ModelInfo(**identity, dtype=str(weight.dtype).removeprefix("torch."), device=_device_name(weight.device))


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


def identify(
    pipe: Flux2KleinPipeline, name: str, revision: str | None, facts: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Fingerprint a pipeline and leave with it what `describe` says.

    Parameters
    ----------
    pipe : Flux2KleinPipeline
    name : str
        Hub id, folder name or ``tiny-random``.
    revision : str or None
        Commit of the hub repository.
    facts : dict, optional
        `transformer_facts` and `encoder_facts` together, where the pipeline never held both halves at once.

    Returns
    -------
    dict
        Name, revision, kind of weights and fingerprint.
    """
    facts = facts or {**transformer_facts(pipe), **encoder_facts(pipe)}
    mark, computation = facts["mark"], {**facts, **_shared_facts(pipe)}
    computation.pop("mark")
    pipe.plantain_identity = {
        "model": name,
        "revision": revision,
        # The configuration first: a copy of random weights stays known as such.
        "weights": mark if mark in WEIGHTS else "local" if revision is None else "pretrained",
        "fingerprint": hashlib.sha256(json.dumps(computation, sort_keys=True).encode()).hexdigest(),
    }
    return pipe.plantain_identity


def transformer_facts(pipe: Flux2KleinPipeline) -> dict[str, Any]:
    """Return what a fingerprint holds of the transformer; reads all its weights."""
    return {
        "transformer": {key: pipe.transformer.config.get(key) for key in _TRANSFORMER_KEYS},
        "transformer_weights": _digest(pipe.transformer.named_parameters()),
    }


def encoder_facts(pipe: Flux2KleinPipeline) -> dict[str, Any]:
    """Return what a fingerprint holds of the text encoder, with its mark; reads all the weights that take part."""
    encoder, n_layers = pipe.text_encoder.config.to_dict(), layers_needed(pipe)
    # Named alike in the whole language model and in its cut base model.
    weights = pipe.text_encoder.base_model.named_parameters()
    return {
        "text_encoder": {key: encoder.get(key) for key in _TEXT_ENCODER_KEYS},
        "rope": encoder.get("rope_parameters"),
        "text_encoder_weights": _digest((name, w) for name, w in weights if _encoder_uses(name, n_layers)),
        "mark": encoder.get(WEIGHTS_MARK),
    }


def vae_fingerprint(vae: Any) -> str:
    """Return SHA-256 (hex) over a VAE's configuration and weights, on which the tokens of a reference image depend."""
    shape = {key: vae.config.get(key) for key in ("block_out_channels", "latent_channels", "batch_norm_eps")}
    weights = _digest([*vae.named_parameters(), *vae.named_buffers()])
    return hashlib.sha256(json.dumps([shape, weights]).encode()).hexdigest()


def _shared_facts(pipe: Flux2KleinPipeline) -> dict[str, Any]:
    return {
        "pixels_per_latent": pipe.vae_scale_factor,
        "tokenizer": _tokenizer_rules(pipe.tokenizer),
        "vocabulary": hashlib.sha256(json.dumps(sorted(pipe.tokenizer.get_vocab().items())).encode()).hexdigest(),
        "chat_template": pipe.tokenizer.chat_template,
    }


def _digest(weights: Iterable[tuple[str, torch.Tensor]]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(weights, key=lambda item: item[0]):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(_raw_bytes(tensor))
    return digest.hexdigest()


def layers_needed(pipe: Flux2KleinPipeline) -> int:
    """Return how many layers of the text encoder the prompt embedding takes, as the pipeline says (27 of 36).

    Later layers, the final norm and the language-model head take no part in the probe.
    """
    return max(inspect.signature(pipe.encode_prompt).parameters["text_encoder_out_layers"].default)


def _tokenizer_rules(tokenizer: Any) -> dict[str, Any]:
    """Return what beside the vocabulary decides how a text is cut; libraries write merges in two ways."""
    rules = json.loads(tokenizer.backend_tokenizer.to_str())
    merges = [m if isinstance(m, str) else " ".join(m) for m in rules["model"].get("merges") or []]
    return {
        "merges": hashlib.sha256("\n".join(merges).encode()).hexdigest(),
        "padding": [tokenizer.padding_side, tokenizer.pad_token_id],
        **{step: rules.get(step) for step in ("normalizer", "pre_tokenizer")},
    }


def _encoder_uses(name: str, n_layers: int) -> bool:
    layer = re.search(r"layers\.(\d+)\.", name)
    return int(layer[1]) < n_layers if layer else "embed_tokens" in name


def _raw_bytes(tensor: torch.Tensor) -> memoryview:
    import torch

    return memoryview(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
