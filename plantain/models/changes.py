"""What of a pipeline is not as its classes make it: hooks, processors, adapters, fused projections, other modules.

A pipeline is held against one that is built of the same configurations on the meta device, without memory, and a hook
of ours, put on and taken off again, leads to those that somebody else has put there. So whatever changes what the model
computes is found without knowing the tool that did it. torch is imported on use.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from diffusers import Flux2KleinPipeline

PARTS = {"transformer": "transformer", "text_encoder": "text encoder"}
"""What a probe runs of a pipeline, and what it is called."""

_METHODS = ("encode_prompt", "prepare_latents")  # of the pipeline, that a probe calls

_LIBRARIES = ("transformers", "accelerate")  # the one listens to hidden states, the other moves weights to the device

_SHOWN = 3  # names of modules in a line

_MOST, _LETTERS = 50, 500  # phrases, and letters of one: a run keeps no more


def structural_changes(pipe: Flux2KleinPipeline) -> tuple[str, ...]:
    """Name what of a pipeline is not as its classes make it; no weight is read.

    Parameters
    ----------
    pipe : Flux2KleinPipeline
        With both halves in memory. Hooks of ours must not be on it.

    Returns
    -------
    tuple of str
        One phrase for each kind of change, with the modules; empty where there is none.
    """
    from diffusers import Flux2KleinPipeline

    found = [] if type(pipe) is Flux2KleinPipeline else [f"the pipeline is a {type(pipe).__name__}"]
    found += [f"the pipeline's {name} is replaced" for name in _METHODS if name in vars(pipe)]
    for part, words in PARTS.items():
        found += _of_part(getattr(pipe, part), words)
    if hooks := list(_global_hooks()):
        found.append(f"hooks on all modules ({_names(hooks)})")
    more = len(found) - _MOST
    told = [phrase[:_LETTERS] for phrase in found[:_MOST]]
    return (*told, f"and {more} more kinds of changes") if more > 0 else tuple(told)


def _of_part(model: torch.nn.Module, part: str) -> list[str]:
    plain = _plain(model)
    if plain is None:
        return [f"the {part} is a {type(model).__name__}"]
    found: dict[str, list[str]] = defaultdict(list)
    theirs, seen = dict(plain.named_modules()), []
    for name, module in model.named_modules():
        if any(name.startswith(f"{above}.") for above in seen):
            continue  # what hangs under a module that was named
        if getattr(module, "fused_projections", False) and not getattr(theirs.get(name), "fused_projections", False):
            found["fused projections"].append(name)
            seen.append(name)
        elif what := _replaced(module, theirs.get(name)):
            if not _takes_no_part(name, module):
                found[what].append(name)
            seen.append(name)
    for name in theirs.keys() - dict(model.named_modules()).keys():
        if not any(name.startswith(f"{above}.") for above in seen):
            found["without modules"].append(name)
            seen.append(name)
    for name, module in model.named_modules():
        for hook in _hooks(module):
            found[f"hook {hook}"].append(name or "the whole")
        forward = vars(module).get("forward")
        if forward is not None and not _is_librarys(forward):
            found["replaced forward"].append(name or "the whole")
    for name, processor in getattr(model, "attn_processors", {}).items():
        if type(processor) is not type(getattr(plain, "attn_processors", {}).get(name, processor)):
            found[f"attention processor {type(processor).__name__}"].append(name.removesuffix(".processor"))
    return [f"{part}: {what} ({_names(names)})" for what, names in found.items()]


def _plain(model: torch.nn.Module) -> torch.nn.Module | None:
    """Build the same model anew, without memory; None where its class is none that a pipeline is loaded with."""
    import torch
    from diffusers import Flux2Transformer2DModel
    from transformers import Qwen3ForCausalLM, Qwen3Model

    with torch.device("meta"):
        if type(model) is Flux2Transformer2DModel:
            return Flux2Transformer2DModel.from_config(model.config)
        if type(model) in (Qwen3Model, Qwen3ForCausalLM):
            return type(model)(copy.deepcopy(model.config))
    return None


def _replaced(module: torch.nn.Module, plain: torch.nn.Module | None) -> str:
    """Say what stands in a module's place; nothing where it is the class's own."""
    if type(module) is type(plain):
        return ""
    home = type(module).__module__.split(".")
    if home[0] == "peft":  # peft.tuners.lora.layer
        names = [str(name)[:40] for name in getattr(module, "active_adapters", ())]
        return f"adapter {(home[2:] or home)[0]} {', '.join(names)}".strip()
    return f"{'added' if plain is None else 'replaced by'} {type(module).__name__}"


def _takes_no_part(name: str, module: torch.nn.Module) -> bool:
    """Tell whether a module is the final norm that `models.sources` takes off a cut text encoder."""
    import torch

    return name in ("norm", "model.norm") and type(module) is torch.nn.Identity


def _nothing(*_: Any) -> None: ...


def _hooks(module: torch.nn.Module) -> Iterator[str]:
    return _others(module.register_forward_pre_hook, module.register_forward_hook)


def _global_hooks() -> Iterator[str]:
    from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

    return _others(register_module_forward_pre_hook, register_module_forward_hook)


def _others(*registers: Callable[[Callable], Any]) -> Iterator[str]:
    """Name the hooks that stand where one of ours is put for a moment."""
    for register in registers:
        handle = register(_nothing)
        there = list(handle.hooks_dict_ref().values())
        handle.remove()
        for hook in there:
            if hook is not _nothing and not _is_librarys(hook):
                yield str(getattr(hook, "__name__", type(hook).__name__))[:40]


def _is_librarys(function: Any) -> bool:
    """Tell whether a function is of a library that leaves the numbers as they are."""
    home = getattr(getattr(function, "func", function), "__module__", None) or ""
    return home.partition(".")[0] in _LIBRARIES


def _names(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(name[:80] for name in names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
