"""Draw a model's weights from a seed, module by module, as its library would have initialised them.

Every module has a generator state of its own, so that its numbers do not depend on what was drawn before.
torch and transformers are imported on use.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


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
    saved = model.state_dict(keep_vars=True)
    names: dict[str, list[str]] = {}
    for name in saved:
        owner, _, own = name.rpartition(".")
        names.setdefault(owner, []).append(own)
    new: dict[int, torch.Tensor] = {}  # by the tensor on the meta device: a tied weight is drawn once
    done = 0
    for owner, own in names.items():
        module = model.get_submodule(owner)
        before = {name: getattr(module, name) for name in own}
        if any(id(tensor) not in new for tensor in before.values()):
            drawn = _draw_module(model, owner, own, _module_seed(seed, f"{label}.{owner}"))
            for name, tensor in before.items():
                new[id(tensor)] = _kept(drawn.pop(name), dtype)
                done += new[id(tensor)].nbytes
        for name, tensor in before.items():
            setattr(module, name, new[id(tensor)])
        if progress:
            progress(done)


def n_bytes(model: torch.nn.Module, dtype: torch.dtype) -> int:
    """Return the size of a model's weights in files of a precision; a tied weight counts once."""
    tensors = {id(tensor): tensor for tensor in model.state_dict(keep_vars=True).values()}.values()
    return sum(t.numel() * (dtype if t.is_floating_point() else t.dtype).itemsize for t in tensors)


def _kept(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return a drawn tensor in its precision: a parameter again where it was one."""
    import torch

    value = tensor.detach().to(dtype) if tensor.is_floating_point() else tensor
    return torch.nn.Parameter(value, requires_grad=False) if isinstance(tensor, torch.nn.Parameter) else value


def _module_seed(seed: int, name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:8]) >> 1


def _draw_module(model: torch.nn.Module, name: str, own: list[str], seed: int) -> dict[str, torch.Tensor]:
    """Give a copy of one module memory, and initialise it; the other modules stay as they are."""
    import torch

    module = model.get_submodule(name)
    fresh = copy.deepcopy(module).to_empty(device="cpu", recurse=False)
    drawn = {tensor: getattr(fresh, tensor) for tensor in own}
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        for tensor in drawn.values():
            tensor.fill_(_unset(tensor))
        torch.default_generator.manual_seed(seed)
        _initialise(model, fresh, drawn)
        for tensor_name, tensor in drawn.items():
            if _any_unset(tensor):
                raise ValueError(f"{name}.{tensor_name}: nobody initialises it")
    return drawn


def _initialise(model: torch.nn.Module, module: torch.nn.Module, own: dict[str, torch.Tensor]) -> None:
    """Initialise a module as its library does: Qwen3's matrices are normal and its norms 1, else torch decides."""
    import torch
    from transformers import PreTrainedModel

    if not isinstance(model, PreTrainedModel):
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
        return
    for name, tensor in own.items():
        if tensor.ndim >= 2:
            torch.nn.init.normal_(tensor, std=model.config.initializer_range)
        else:
            torch.nn.init.constant_(tensor, float(name != "bias"))


def _unset(tensor: torch.Tensor) -> float:
    """Return a number that no initialisation leaves: memory that stays as it was is found out."""
    import torch

    return float("nan") if tensor.is_floating_point() else torch.iinfo(tensor.dtype).max


def _any_unset(tensor: torch.Tensor) -> bool:
    unset = _unset(tensor)
    return bool((tensor == unset).any() if unset == unset else tensor.isnan().any())
