"""Draw a model's weights from a seed, module by module, as its library would have initialised them.

Every module has a generator state of its own, so that its numbers do not depend on what was drawn before.
torch and transformers are imported on use.
"""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_UNSET = -12_345_678  # in whole numbers, as NaN in others: no initialisation leaves it, so that forgotten memory shows


def draw_weights(
    model: torch.nn.Module,
    seed: int,
    label: str,
    dtype: torch.dtype,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Give a model memory and random weights.

    Parameters
    ----------
    model : torch.nn.Module
        On the meta device, in float32. What is not saved with it stays there.
    seed : int
    label : str
        Tells the models of one seed apart.
    dtype : torch.dtype
        Of the floating-point weights; they are drawn in float32, one module in memory at a time.
    progress : callable, optional
        Called with the bytes drawn so far.

    Raises
    ------
    ValueError
        Nobody initialises a tensor.
    """
    import torch

    names: dict[str, list[str]] = {}
    for name in model.state_dict(keep_vars=True):
        owner, _, own = name.rpartition(".")
        names.setdefault(owner, []).append(own)
    new: dict[int, torch.Tensor] = {}  # by the tensor on the meta device: a tied weight is drawn once
    done = 0
    for owner, own in names.items():
        module = model.get_submodule(owner)
        before = {name: getattr(module, name) for name in own}
        if any(id(tensor) not in new for tensor in before.values()):
            own_seed = hashlib.sha256(f"{seed} {label}.{owner}".encode()).digest()[:8]
            drawn = _draw_module(model, owner, own, int.from_bytes(own_seed) >> 1)
            for name, tensor in before.items():
                value = drawn.pop(name)
                kept = value.detach().to(dtype) if value.is_floating_point() else value
                new[id(tensor)] = torch.nn.Parameter(kept, False) if isinstance(value, torch.nn.Parameter) else kept
                done += kept.nbytes
                del value  # in float32, before the next
        for name, tensor in before.items():
            setattr(module, name, new[id(tensor)])
        if progress:
            progress(done)


def n_bytes(model: torch.nn.Module, dtype: torch.dtype) -> int:
    """Return the size of a model's weights in files of a precision; a tied weight counts once."""
    tensors = {id(tensor): tensor for tensor in model.state_dict(keep_vars=True).values()}.values()
    return sum(t.numel() * (dtype if t.is_floating_point() else t.dtype).itemsize for t in tensors)


def _draw_module(model: torch.nn.Module, name: str, own: list[str], seed: int) -> dict[str, torch.Tensor]:
    """Give a copy of one module memory, and initialise it as its library does; the other modules stay as they are."""
    import torch
    from transformers import PreTrainedModel

    module = model.get_submodule(name)
    fresh = copy.deepcopy(module).to_empty(device="cpu", recurse=False)
    drawn = {tensor: getattr(fresh, tensor) for tensor in own}
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        for tensor in drawn.values():
            tensor.fill_(math.nan if tensor.is_floating_point() else _UNSET)
        torch.default_generator.manual_seed(seed)
        if not isinstance(model, PreTrainedModel):
            if hasattr(fresh, "reset_parameters"):
                fresh.reset_parameters()
        else:  # Qwen3's matrices are normal and its norms 1
            for tensor_name, tensor in drawn.items():
                if tensor.ndim >= 2:
                    tensor.normal_(std=model.config.initializer_range)
                else:
                    tensor.fill_(float(tensor_name != "bias"))
        for tensor_name, tensor in drawn.items():
            if tensor.isnan().any() or (tensor == _UNSET).any():
                raise ValueError(f"{name}.{tensor_name}: nobody initialises it")
    return drawn
