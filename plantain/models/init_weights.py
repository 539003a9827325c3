"""Draw a model's weights from a seed, a few tensors at a time, as its library would have initialised them.

Knows nothing about which model it is, nor where the files go. torch and huggingface_hub are imported on use.

`split_in_shards`  a model without memory -> the files that its weights are spread over
`draw_shard`       one file's tensors
"""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Shard:
    """One file of weights.

    Attributes
    ----------
    file : str
        Name of the file.
    tensors : tuple of str
        Names of its tensors, in the model's order.
    n_bytes : int
        Their size.
    """

    file: str
    tensors: tuple[str, ...]
    n_bytes: int


def split_in_shards(model: torch.nn.Module, pattern: str, max_bytes: int, dtype: torch.dtype) -> tuple[Shard, ...]:
    """Spread a model's weights over files, as the libraries' `save_pretrained` does.

    Parameters
    ----------
    model : torch.nn.Module
        On the meta device.
    pattern : str
        File name with ``{suffix}``, e.g. ``model{suffix}.safetensors``.
    max_bytes : int
        Most bytes a file may hold; a larger tensor has a file of its own.
    dtype : torch.dtype
        That floating-point tensors are saved in.

    Returns
    -------
    tuple of Shard
    """
    from huggingface_hub import split_torch_state_dict_into_shards

    tensors = {name: _saved(tensor, dtype) for name, tensor in _saved_once(model).items()}
    split = split_torch_state_dict_into_shards(tensors, filename_pattern=pattern, max_shard_size=max_bytes)
    return tuple(
        Shard(file, tuple(names), sum(tensors[name].nbytes for name in names))
        for file, names in split.filename_to_tensors.items()
    )


def draw_shard(model: torch.nn.Module, shard: Shard, seed: int, label: str, dtype: torch.dtype) -> dict:
    """Draw the tensors of one file. They do not depend on what was drawn before, nor on the shards' size.

    Each module that owns weights gets memory and a generator state of its own, from seed, label and name, and is
    initialised by its library: by transformers' `_init_weights`, else by torch's `reset_parameters`.

    Parameters
    ----------
    model : torch.nn.Module
        On the meta device, in float32; it stays there.
    shard : Shard
    seed : int
    label : str
        Tells the models of one seed apart.
    dtype : torch.dtype
        Of the result; drawn in float32.

    Returns
    -------
    dict of str to torch.Tensor

    Raises
    ------
    ValueError
        Nobody initialises a tensor.
    """
    drawn: dict[str, torch.Tensor] = {}
    owner, own = None, {}
    for name in shard.tensors:
        module, _, tensor = name.rpartition(".")
        if module != owner:
            own = {}  # before the next is drawn: the largest are gigabytes
            owner, own = module, _draw_module(model, module, _module_seed(seed, f"{label}.{module}"))
        drawn[name] = _saved(own[tensor], dtype).contiguous()
    return drawn


def _saved_once(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return what a file has to hold: a tied weight once, under its first name."""
    seen: dict[int, str] = {}
    tensors = model.state_dict(keep_vars=True)
    return {name: tensor for name, tensor in tensors.items() if seen.setdefault(id(tensor), name) == name}


def _saved(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return tensor.detach().to(dtype) if tensor.is_floating_point() else tensor.detach()


def _module_seed(seed: int, name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:8]) >> 1


def _draw_module(model: torch.nn.Module, name: str, seed: int) -> dict[str, torch.Tensor]:
    """Give one module memory and let its library initialise it."""
    import torch

    fresh = copy.deepcopy(model.get_submodule(name)).to_empty(device="cpu", recurse=False)
    own = dict((*fresh.named_parameters(recurse=False), *fresh.named_buffers(recurse=False)))
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        for tensor in own.values():
            tensor.fill_(_unset(tensor))
        torch.default_generator.manual_seed(seed)
        if hasattr(model, "_init_weights"):
            model._init_weights(fresh)
        elif hasattr(fresh, "reset_parameters"):
            fresh.reset_parameters()
        for tensor_name, tensor in own.items():
            if _any_unset(tensor):
                raise ValueError(f"{name}.{tensor_name}: nobody initialises it")
    return own


def _unset(tensor: torch.Tensor) -> float:
    """Return a number that no initialisation leaves: memory that stays as it was is found out."""
    import torch

    return float("nan") if tensor.is_floating_point() else torch.iinfo(tensor.dtype).max


def _any_unset(tensor: torch.Tensor) -> bool:
    unset = _unset(tensor)
    return bool((tensor == unset).any() if unset == unset else tensor.isnan().any())
