"""Which weights a pipeline holds: its name, kind, fingerprint, precision and device.

The fingerprint covers what the probe runs and nothing else, so that a whole model and the part of it that a probe
loads are the same model. torch is imported on use.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import platform
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plantain.models.info import WEIGHTS, ModelInfo
from plantain.models.stand_in import STAND_IN, WEIGHTS_MARK

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


def describe(pipe: Flux2KleinPipeline, facts: dict[str, Any] | None = None) -> ModelInfo:
    """Say which model a pipeline holds; reads all its weights.

    The weights are ``local`` unless they are marked as random or as the practice model's: nothing in memory proves that
    they are still those of the Hub, which only `models.load.PhasedPipeline` states, of what it has just read. The name
    is a label: the Hub's id where the folder looks like one of the Hub's cache, else the last name of the folder. A
    path is nobody's business once a run is published.

    Parameters
    ----------
    pipe : Flux2KleinPipeline
    facts : dict, optional
        `facts_of` the pipeline, where they are known; where it never held both halves at once, `transformer_facts`,
        `encoder_facts` and `pipeline_facts` together.

    Returns
    -------
    ModelInfo
    """
    facts = dict(facts or facts_of(pipe))
    mark = facts.pop("mark")
    info = ModelInfo(
        model=label_of(pipe.name_or_path) or (STAND_IN if mark == "stand-in" else "in memory"),
        revision=None,
        # The configuration first: a copy of random weights, or of the practice model's, stays known as such.
        weights=mark if mark in WEIGHTS else "local",
        fingerprint=hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest(),
        dtype="",
        device="",
    )
    return located(info, pipe)


def facts_of(pipe: Flux2KleinPipeline) -> dict[str, Any]:
    """Return what a fingerprint is made of, with the weights' mark; reads all weights of a pipeline."""
    return {**transformer_facts(pipe), **encoder_facts(pipe), **pipeline_facts(pipe)}


def pipeline_facts(pipe: Flux2KleinPipeline) -> dict[str, Any]:
    """Return what a fingerprint holds beside the two halves: the tokenizer, mostly."""
    return {
        "pixels_per_latent": pipe.vae_scale_factor,
        "tokenizer": _tokenizer_rules(pipe.tokenizer),
        "vocabulary": hashlib.sha256(json.dumps(sorted(pipe.tokenizer.get_vocab().items())).encode()).hexdigest(),
        "chat_template": pipe.tokenizer.chat_template,
    }


def changed(info: ModelInfo, changes: tuple[str, ...]) -> ModelInfo:
    """Return the description of a model that was changed: nothing takes it for the plain one any more."""
    told = json.dumps([info.fingerprint, *changes])
    return replace(
        info,
        model=f"{info.model} (changed)",
        revision=None,
        weights="local" if info.weights == "pretrained" else info.weights,
        fingerprint=hashlib.sha256(told.encode()).hexdigest(),
        changes=changes,
    )


def located(info: ModelInfo, pipe: Flux2KleinPipeline) -> ModelInfo:
    """Return a model's description with the precision and the device that it has now, in this process."""
    half = pipe.text_encoder if pipe.transformer is None else pipe.transformer  # one may be out of memory
    weight = next(half.parameters())
    return replace(info, dtype=str(weight.dtype).removeprefix("torch."), device=name_of_device(weight.device))


def label_of(name_or_path: str | None) -> str:
    """Return what a pipeline from a folder is called: a path is nobody's business."""
    path = Path(name_or_path).resolve() if name_or_path else Path()
    cached = re.search(r"models--([^/]+)--([^/]+)/snapshots/[0-9a-f]{40}$", path.as_posix())
    return f"{cached[1]}/{cached[2]}" if cached else path.name


def name_of_device(device: torch.device) -> str:
    """Return what a result calls a device."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    facts = Path("/proc/cpuinfo")  # only Linux names the processor without another program
    text = facts.read_text(encoding="utf-8", errors="replace") if facts.exists() else ""
    name = re.search(r"^model name[ \t]*:[ \t]*(.*?)[ \t]*$", text, re.MULTILINE)
    return f"{device.type} ({name[1] if name else platform.machine()})"


def transformer_facts(pipe: Flux2KleinPipeline) -> dict[str, Any]:
    """Return what a fingerprint holds of the transformer; reads all its weights."""
    return {
        "transformer": {key: pipe.transformer.config.get(key) for key in _TRANSFORMER_KEYS},
        "transformer_weights": _digest(pipe.transformer.named_parameters()),
    }


def encoder_facts(pipe: Flux2KleinPipeline) -> dict[str, Any]:
    """Return what a fingerprint holds of the text encoder, with its mark; reads all the weights that take part."""
    encoder, n_layers = pipe.text_encoder.config.to_dict(), layers_needed(pipe)

    def uses(name: str) -> bool:
        layer = re.search(r"layers\.(\d+)\.", name)
        return int(layer[1]) < n_layers if layer else "embed_tokens" in name

    # Named alike in the whole language model and in its cut base model.
    weights = pipe.text_encoder.base_model.named_parameters()
    return {
        "text_encoder": {key: encoder.get(key) for key in _TEXT_ENCODER_KEYS},
        "rope": encoder.get("rope_parameters"),
        "text_encoder_weights": _digest((name, w) for name, w in weights if uses(name)),
        "mark": encoder.get(WEIGHTS_MARK),
    }


def vae_fingerprint(vae: Any) -> str:
    """Return SHA-256 (hex) over a VAE's configuration and weights, on which the tokens of a reference image depend."""
    shape = {key: vae.config.get(key) for key in ("block_out_channels", "latent_channels", "batch_norm_eps")}
    weights = _digest([*vae.named_parameters(), *vae.named_buffers()])
    return hashlib.sha256(json.dumps([shape, weights]).encode()).hexdigest()


def _digest(weights: Iterable[tuple[str, torch.Tensor]]) -> str:
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(weights, key=lambda item: item[0]):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(memoryview(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()))
    return digest.hexdigest()


def layers_needed(pipe: Flux2KleinPipeline) -> int:
    """Return how many layers of the text encoder the prompt embedding takes, as the pipeline says (27 of 36).

    Later layers, the final norm and the language-model head take no part in the probe.
    """
    encoding = getattr(type(pipe), "encode_prompt", pipe.encode_prompt)  # the class's, whatever is put over it
    return max(inspect.signature(encoding).parameters["text_encoder_out_layers"].default)


def _tokenizer_rules(tokenizer: Any) -> dict[str, Any]:
    """Return what beside the vocabulary decides how a text is cut; libraries write merges in two ways."""
    rules = json.loads(tokenizer.backend_tokenizer.to_str())
    merges = [m if isinstance(m, str) else " ".join(m) for m in rules["model"].get("merges") or []]
    return {
        "merges": hashlib.sha256("\n".join(merges).encode()).hexdigest(),
        "padding": [tokenizer.padding_side, tokenizer.pad_token_id],
        **{step: rules.get(step) for step in ("normalizer", "pre_tokenizer")},
    }
